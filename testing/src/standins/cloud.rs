//! A realm on ministack with its functions deployed: the binaries that would be deployed on AWS, as
//! the archives that would be.

use std::collections::{BTreeMap, HashMap};
use std::io::{Cursor, Write};
use std::path::PathBuf;
use std::time::{Duration, Instant};

use aws_sdk_dynamodb::types::AttributeValue;
use aws_sdk_s3::types::CreateBucketConfiguration;
use aws_sdk_scheduler::operation::get_schedule::GetScheduleOutput;
use pumice_aws::{Clients, Names, Realm};
use pumice_core::ids::{RealmName, RunId, RunKey, WorkerName};
use pumice_core::ports::{Catalog, RunQuery, RunStore};
use pumice_core::run::{Run, Status};
use pumice_core::spec::JobSpec;
use serde_json::{Value, json};
use zip::write::SimpleFileOptions;

use super::realm::{make_queue, make_realm, make_schedule_group};
use super::server::{REGION, Server, command, config, printed};

/// ministack's account.
pub const ACCOUNT: &str = "000000000000";
/// The dispatcher's function, named as template.yaml names it.
pub const DISPATCHER: &str = "lava-test-pumice-dispatcher";
/// The dispatcher by its alias, as everything invokes it.
pub const LIVE_DISPATCHER: &str = "lava-test-pumice-dispatcher:live";
/// The settings that turn one-off schedules on, as template.yaml gives them to the dispatcher: their group, and their
/// role.
pub const SCHEDULES: [(&str, &str); 3] = [
    ("PUMICE_SCHEDULE_GROUP", "lava-test-runs"),
    ("PUMICE_SCHEDULE_ROLE_ARN", "arn:aws:iam::000000000000:role/lava-test-one-off-schedules"),
    (
        "PUMICE_CLOCK_FUNCTION",
        "arn:aws:lambda:eu-west-1:000000000000:function:lava-test-pumice-dispatcher:sweep",
    ),
];
/// The access key, and its secret, of the account itself.
pub(super) const ROOT: [&str; 2] = ["test", "test"];
/// How long to wait for what must come.
const PATIENCE: Duration = Duration::from_secs(90);
const PAUSE: Duration = Duration::from_millis(50);

/// A realm named `test` on a ministack of its own.
pub struct Cloud {
    /// The server.
    pub server: Server,
    /// Clients of it.
    pub clients: Clients,
    /// The realm.
    pub realm: Realm,
    pub(super) names: Names,
    pub(super) endpoint: String,
    /// The access key, and its secret, of the user of the `pumice` command.
    pub(super) user: [String; 2],
}

/// A function to be deployed.
pub struct FunctionSpec<'a> {
    /// Its name.
    pub name: &'a str,
    /// The binary, as in `worker-lambda`.
    pub binary: &'a str,
    /// The most seconds an invocation takes.
    pub timeout: u32,
    /// Variables besides `LAVA_REALM` and `LAVA_QUEUE_URL_PREFIX`.
    pub environment: &'a [(&'a str, &'a str)],
}

/// The folder of the binaries as they would be deployed: `cargo xtask test` builds them.
///
/// # Panics
/// When `PUMICE_FUNCTIONS` does not name it.
#[must_use]
pub fn function_folder() -> PathBuf {
    let folder = std::env::var_os("PUMICE_FUNCTIONS");
    let folder = folder.expect("PUMICE_FUNCTIONS names the folder of the functions: run `cargo xtask test`");
    std::path::absolute(folder).expect("it names a place")
}

/// A binary as it would be deployed.
///
/// # Panics
/// When `PUMICE_FUNCTIONS` does not name their folder.
#[must_use]
pub fn binary(name: &str) -> PathBuf {
    function_folder().join(name)
}

/// A function as the archive that would be deployed.
///
/// # Panics
/// When its binary is not there.
#[must_use]
pub fn archive(name: &str) -> Vec<u8> {
    let binary = binary(name);
    let bytes = std::fs::read(&binary).unwrap_or_else(|error| panic!("{}: {error}", binary.display()));
    let mut archive = zip::ZipWriter::new(Cursor::new(Vec::new()));
    archive
        .start_file("bootstrap", SimpleFileOptions::default().unix_permissions(0o755))
        .expect("it is begun");
    archive.write_all(&bytes).expect("it is written");
    archive.finish().expect("it is finished").into_inner()
}

impl Cloud {
    /// A realm with these jobs, an `s3_temp`, and queues of workers `core` and `other`.
    ///
    /// # Panics
    /// When the stand-in refuses, or a job is invalid.
    pub async fn start(jobs: &[Value]) -> Self {
        Self::start_with(jobs, 2).await
    }

    /// The same; messages of the queues stay hidden for so many seconds.
    ///
    /// # Panics
    /// When the stand-in refuses, or a job is invalid.
    pub async fn start_with(jobs: &[Value], visibility: u32) -> Self {
        Self::start_on(Server::ministack(), jobs, visibility).await
    }

    /// The same on this ministack.
    ///
    /// # Panics
    /// When the stand-in refuses, or a job is invalid.
    pub async fn start_on(server: Server, jobs: &[Value], visibility: u32) -> Self {
        let names = Names::new("lava", RealmName::new("test").expect("a name"));
        let endpoint = server.url();
        let clients = Clients::new(&config(&endpoint).await);
        make_realm(&clients, &names).await;
        for worker in ["core", "other"] {
            make_queue(&clients, &names, &WorkerName::new(worker).expect("a name"), visibility, 5).await;
        }
        let place = CreateBucketConfiguration::builder().location_constraint(REGION.into()).build();
        let bucket = clients.s3.create_bucket().bucket("test-bucket").create_bucket_configuration(place);
        bucket.send().await.expect("a bucket is made");
        let realm = Realm::new(&clients, &names, None).with_hints();
        let document = json!({ "realm": "test", "s3_temp": "s3://test-bucket/tmp" });
        realm.store().put_realm(document.as_object().cloned().unwrap_or_default()).await.expect("it is put");
        let cloud = Self { server, clients, realm, names, endpoint, user: ROOT.map(str::to_owned) };
        cloud.put_jobs(jobs).await;
        cloud
    }

    /// Puts jobs.
    ///
    /// # Panics
    /// When one is invalid.
    pub async fn put_jobs(&self, jobs: &[Value]) {
        let specs = jobs.iter().map(|job| JobSpec::parse(job).expect("the job holds")).collect();
        self.realm.store().put_jobs(specs, false).await.expect("jobs are put");
    }

    /// Puts a job that starts so often into the table as any tool would, past everything of Pumice's.
    ///
    /// # Panics
    /// When the stand-in refuses.
    pub async fn put_straight(&self, id: &str, every: &str) {
        self.put_straight_of(id, every, None).await;
    }

    /// The same with the name of a dispatcher of lava's, if one is given.
    ///
    /// # Panics
    /// When the stand-in refuses.
    pub async fn put_straight_of(&self, id: &str, every: &str, dispatcher: Option<&str>) {
        let text = |text: &str| AttributeValue::S(text.to_owned());
        let mut item = HashMap::from([
            ("job_id".to_owned(), text(id)),
            ("type".to_owned(), text("log")),
            ("worker".to_owned(), text("core")),
            ("payload".to_owned(), AttributeValue::Null(true)),
            ("enabled".to_owned(), AttributeValue::Bool(true)),
            ("schedule".to_owned(), AttributeValue::M(HashMap::from([("every".to_owned(), text(every))]))),
        ]);
        item.extend(dispatcher.map(|name| ("dispatcher".to_owned(), text(name))));
        let put = self.clients.dynamodb.put_item().table_name(self.names.jobs()).set_item(Some(item));
        put.send().await.expect("it is put");
    }

    /// Makes the group of [`SCHEDULES`].
    ///
    /// # Panics
    /// When the stand-in refuses.
    pub async fn make_schedule_group(&self) {
        make_schedule_group(&config(&self.server.url()).await, SCHEDULES[0].1).await;
    }

    /// The schedule of a run, if it has one.
    ///
    /// # Panics
    /// When the stand-in does not answer.
    pub async fn schedule_of(&self, key: &RunKey) -> Option<GetScheduleOutput> {
        self.schedule_named(key.as_str()).await
    }

    /// The one-off schedule of this name, where there is one.
    ///
    /// # Panics
    /// When the stand-in refuses.
    pub async fn schedule_named(&self, name: &str) -> Option<GetScheduleOutput> {
        let client = aws_sdk_scheduler::Client::new(&config(&self.server.url()).await);
        let asked = client.get_schedule().group_name(SCHEDULES[0].1).name(name);
        match asked.send().await {
            Ok(schedule) => Some(schedule),
            Err(error) if error.as_service_error().is_some_and(|e| e.is_resource_not_found_exception()) => {
                None
            }
            Err(error) => panic!("{error:?}"),
        }
    }

    /// Names of its tables and queues.
    #[must_use]
    pub fn names(&self) -> &Names {
        &self.names
    }

    /// Functions deployed from now on talk to this address instead of the stand-in's own.
    pub fn set_endpoint(&mut self, endpoint: &str) {
        endpoint.clone_into(&mut self.endpoint);
    }

    /// Calls a service of the stand-in. Gives the answer's body.
    ///
    /// # Panics
    /// When it is refused.
    pub fn call(&self, service: &str, method: &str, path: &str, body: Option<&Value>) -> Value {
        self.try_call(service, method, path, body).unwrap_or_else(|error| panic!("{method} {path}: {error}"))
    }

    fn try_call(
        &self,
        service: &str,
        method: &str,
        path: &str,
        body: Option<&Value>,
    ) -> Result<Value, String> {
        let scope = format!("AWS4-HMAC-SHA256 Credential=test/20260101/{REGION}/{service}/aws4_request");
        let request = ureq::http::Request::builder()
            .method(method)
            .uri(format!("{}{path}", self.server.url()))
            .header("authorization", scope)
            .header("content-type", "application/json");
        let text = body.map(Value::to_string).unwrap_or_default();
        let request = request.body(text).map_err(|error| error.to_string())?;
        let agent: ureq::Agent = ureq::Agent::config_builder()
            .http_status_as_error(false)
            .allow_non_standard_methods(true)
            .build()
            .into();
        let mut answer = agent.run(request).map_err(|error| error.to_string())?;
        let text = answer.body_mut().read_to_string().map_err(|error| error.to_string())?;
        if !answer.status().is_success() {
            return Err(format!("{}: {text}", answer.status()));
        }
        Ok(serde_json::from_str(&text).unwrap_or(Value::String(text)))
    }

    /// Calls an action of a service that takes JSON, named as its header `x-amz-target` names it.
    ///
    /// # Panics
    /// When it is refused.
    pub fn call_json(&self, service: &str, target: &str, body: &Value) {
        let scope = format!("AWS4-HMAC-SHA256 Credential=test/20260101/{REGION}/{service}/aws4_request");
        let request = ureq::post(self.server.url()).header("authorization", scope);
        let request =
            request.header("x-amz-target", target).header("content-type", "application/x-amz-json-1.1");
        request.send(body.to_string()).unwrap_or_else(|error| panic!("{target}: {error}"));
    }

    /// Deploys a function with an alias `live`, the dispatcher with `sweep` too, and gives its ARN.
    pub fn deploy(&self, function: &FunctionSpec<'_>) -> String {
        let mut environment: BTreeMap<&str, &str> = BTreeMap::from([("LAVA_REALM", "test")]);
        let urls = format!("https://sqs.{REGION}.amazonaws.com/{ACCOUNT}/");
        environment.insert("LAVA_QUEUE_URL_PREFIX", &urls);
        environment.extend(function.environment.iter().copied());
        let body = json!({
            "FunctionName": function.name,
            "Runtime": "provided.al2023",
            "Handler": "bootstrap",
            "Role": format!("arn:aws:iam::{ACCOUNT}:role/test"),
            "Timeout": function.timeout,
            "MemorySize": 256,
            "Code": { "ZipFile": aws_smithy_types::base64::encode(archive(function.binary)) },
            "Environment": { "Variables": environment },
        });
        let made = self.call("lambda", "POST", "/2015-03-31/functions", Some(&body));
        let aliases = if function.name == DISPATCHER { &["live", "sweep"][..] } else { &["live"] };
        for name in aliases {
            let alias = json!({ "Name": name, "FunctionVersion": "$LATEST" });
            let path = format!("/2015-03-31/functions/{}/aliases", function.name);
            self.call("lambda", "POST", &path, Some(&alias));
        }
        made["FunctionArn"].as_str().expect("it has an ARN").to_owned()
    }

    /// The dispatcher.
    pub fn deploy_dispatcher(&self) -> String {
        self.deploy(&FunctionSpec {
            name: DISPATCHER,
            binary: "dispatcher-lambda",
            timeout: 60,
            environment: &[],
        })
    }

    /// A worker with its queue mapped to it, `batch` messages at a time.
    pub fn deploy_worker(&self, worker: &str, timeout: u32, batch: u32) -> String {
        let arn = self.deploy(&FunctionSpec {
            name: &format!("worker-{worker}"),
            binary: "worker-lambda",
            timeout,
            environment: &[("LAVA_WORKER", worker)],
        });
        let queue = self.names.queue(&WorkerName::new(worker).expect("a name"));
        self.map_queue(&queue, &format!("worker-{worker}"), batch);
        arn
    }

    /// Maps a queue to a function.
    pub fn map_queue(&self, queue: &str, function: &str, batch: u32) {
        let mapping = json!({
            "EventSourceArn": format!("arn:aws:sqs:{REGION}:{ACCOUNT}:{queue}"),
            "FunctionName": function,
            "BatchSize": batch,
            "FunctionResponseTypes": ["ReportBatchItemFailures"],
        });
        self.call("lambda", "POST", "/2015-03-31/event-source-mappings", Some(&mapping));
    }

    /// Invokes a function, and gives its answer.
    pub fn invoke(&self, function: &str, event: &Value) -> Value {
        self.call("lambda", "POST", &format!("/2015-03-31/functions/{function}/invocations"), Some(event))
    }

    /// Dispatches a job by the dispatcher, and gives the run's key.
    ///
    /// # Panics
    /// When it is refused.
    pub fn dispatch(&self, request: &Value) -> RunKey {
        let answer = self.invoke(LIVE_DISPATCHER, request);
        let run_id =
            answer["accepted"][0]["run_id"].as_str().unwrap_or_else(|| panic!("{request}: {answer}"));
        RunKey::root(run_id.parse::<RunId>().expect("a run id"))
    }

    /// Waits until a run has ended and nothing is left to do about it.
    ///
    /// # Panics
    /// When it takes too long: with what the functions logged.
    pub async fn ended(&self, key: &RunKey) -> Run {
        let mut last = None;
        let found = until(async || {
            last = self.realm.store().load(key).await.expect("the store answers");
            last.clone().filter(Run::is_done)
        });
        match found.await {
            Some(run) => run,
            None => panic!("run {key} does not end: {last:#?}\n{}", self.logs()),
        }
    }

    /// Waits until there is a run of a job, and gives the newest.
    ///
    /// # Panics
    /// When no run comes in time.
    pub async fn run_of(&self, job: &str) -> Run {
        let query = RunQuery { job: Some(job.to_owned()), limit: 1, ..RunQuery::default() };
        let found =
            until(async || self.realm.store().list(&query).await.expect("the store answers").pop()).await;
        found.unwrap_or_else(|| panic!("there is no run of {job}\n{}", self.logs()))
    }

    /// Waits until a job's newest run has ended.
    pub async fn ended_run_of(&self, job: &str) -> Run {
        let run = self.run_of(job).await;
        self.ended(&run.key).await
    }

    /// Waits for a message in a queue, and gives its body and its attributes.
    ///
    /// # Panics
    /// When none comes.
    pub async fn message_of(&self, queue: &str) -> (String, BTreeMap<String, String>) {
        let found = until(async || self.take(queue).await).await;
        found.unwrap_or_else(|| panic!("no message comes to {queue}\n{}", self.logs()))
    }

    /// A message that is in a queue now: its body and its attributes.
    ///
    /// # Panics
    /// When there is no such queue.
    pub async fn take(&self, queue: &str) -> Option<(String, BTreeMap<String, String>)> {
        let url = format!("{}/{ACCOUNT}/{queue}", self.server.url());
        let asked = self.clients.sqs.receive_message().queue_url(&url).message_attribute_names("All");
        let message = asked.send().await.expect("the queue answers").messages?.pop()?;
        let attributes = message.message_attributes.unwrap_or_default();
        let attributes = attributes.into_iter().filter_map(|(name, value)| Some((name, value.string_value?)));
        Some((message.body.unwrap_or_default(), attributes.collect()))
    }

    /// Sends a message to a worker's queue.
    ///
    /// # Panics
    /// When it is refused.
    pub async fn send(&self, worker: &str, body: &str) {
        let queue = self.names.queue(&WorkerName::new(worker).expect("a name"));
        let url = format!("{}/{ACCOUNT}/{queue}", self.server.url());
        self.clients.sqs.send_message().queue_url(url).message_body(body).send().await.expect("it is sent");
    }

    /// The text of an object.
    ///
    /// # Panics
    /// When the object is missing, or is not a text.
    pub async fn object(&self, location: &str) -> String {
        let (bucket, key) = location.trim_start_matches("s3://").split_once('/').expect("a place");
        let object = self.clients.s3.get_object().bucket(bucket).key(key).send().await.expect("it is there");
        let bytes = object.body.collect().await.expect("it is read").to_vec();
        String::from_utf8(bytes).expect("it is text")
    }

    /// Removes an object, which must be there.
    ///
    /// # Panics
    /// When the object is missing, or the stand-in refuses.
    pub async fn remove_object(&self, location: &str) {
        let (bucket, key) = location.trim_start_matches("s3://").split_once('/').expect("a place");
        self.clients.s3.head_object().bucket(bucket).key(key).send().await.expect("it is there");
        self.clients.s3.delete_object().bucket(bucket).key(key).send().await.expect("it is removed");
    }

    /// Runs the `pumice` command on the realm, and gives what it prints.
    ///
    /// # Panics
    /// When it does not end well.
    pub fn pumice(&self, arguments: &[&str]) -> String {
        printed(&mut self.pumice_command(arguments))
    }

    /// The `pumice` command on the realm, to be run.
    ///
    /// # Panics
    /// When `PUMICE_COMMAND` does not name it.
    #[must_use]
    pub fn pumice_command(&self, arguments: &[&str]) -> std::process::Command {
        let program = std::env::var_os("PUMICE_COMMAND");
        let program =
            program.expect("PUMICE_COMMAND names the command with AWS built in: run `cargo xtask test`");
        let mut command = command(program.as_ref());
        command.args(["--aws", "--realm", "test"]).args(arguments);
        command.env("AWS_ENDPOINT_URL", &self.endpoint).env("AWS_REGION", REGION);
        command.env("AWS_ACCESS_KEY_ID", &self.user[0]).env("AWS_SECRET_ACCESS_KEY", &self.user[1]);
        command
    }
}

/// Asks again and again until there is an answer, for as long as patience lasts.
pub async fn until<T>(mut ask: impl AsyncFnMut() -> Option<T>) -> Option<T> {
    let began = Instant::now();
    loop {
        if let Some(found) = ask().await {
            return Some(found);
        }
        if began.elapsed() > PATIENCE {
            return None;
        }
        tokio::time::sleep(PAUSE).await;
    }
}

/// The statuses of a run's log, in order.
#[must_use]
pub fn statuses(run: &Run) -> Vec<Status> {
    run.log.entries.iter().map(|entry| entry.status).collect()
}
