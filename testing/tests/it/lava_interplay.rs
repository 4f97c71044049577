//! Pumice and lava itself, on one realm: each dispatches jobs that the other runs.

use std::process::Command;
use std::time::Duration;

use aws_sdk_dynamodb::types::{
    AttributeDefinition, AttributeValue, BillingMode, GlobalSecondaryIndex, KeySchemaElement, KeyType,
    Projection, ProjectionType, ScalarAttributeType,
};
use pumice_core::ids::{RunKey, WorkerName};
use pumice_core::ports::{Catalog, Clock, Consumer};
use pumice_core::request::When;
use pumice_core::run::Status;
use pumice_local::SystemClock;
use pumice_testing::standins::{Cloud, Faulty, dispatch, folder, key_of, request, until};
use serde_json::{Value, json};

/// A job as lava wants it: with all that lava's schema asks for.
fn job(id: &str, worker: &str, kind: &str, payload: Value) -> Value {
    json!({
        "job_id": id, "type": kind, "worker": worker, "enabled": true, "payload": payload,
        "description": "of both", "owner": "us",
    })
}

/// The table that only lava uses, and the realm as lava wants it, with its own workers named.
async fn add_lavas(cloud: &Cloud, foreign: &str) {
    add_lavas_with(cloud, &json!({ "FOREIGN_WORKERS": foreign })).await;
}

/// The same with these settings. The table has the index that lava's tools read (lava guide, The Events Table).
async fn add_lavas_with(cloud: &Cloud, config: &Value) {
    let mut request = cloud.clients.dynamodb.create_table().table_name("lava.test.events");
    let key = |name: &str, kind| {
        KeySchemaElement::builder().attribute_name(name).key_type(kind).build().expect("a key")
    };
    let index = GlobalSecondaryIndex::builder()
        .index_name("job_id-tu_event-index")
        .key_schema(key("job_id", KeyType::Hash))
        .key_schema(key("tu_event", KeyType::Range))
        .projection(Projection::builder().projection_type(ProjectionType::All).build());
    let sorted = AttributeDefinition::builder().attribute_name("tu_event");
    request = request
        .global_secondary_indexes(index.build().expect("an index"))
        .attribute_definitions(sorted.attribute_type(ScalarAttributeType::S).build().expect("an attribute"));
    for (name, kind) in [("job_id", KeyType::Hash), ("run_id", KeyType::Range)] {
        let key = KeySchemaElement::builder().attribute_name(name).key_type(kind);
        let attribute = AttributeDefinition::builder().attribute_name(name);
        request = request.key_schema(key.build().expect("a key")).attribute_definitions(
            attribute.attribute_type(ScalarAttributeType::S).build().expect("an attribute"),
        );
    }
    request.billing_mode(BillingMode::PayPerRequest).send().await.expect("it is made");
    let realm = json!({
        "realm": "test", "s3_temp": "s3://test-bucket/tmp", "s3_payloads": "s3://test-bucket/payloads",
        "s3_key": "alias/lava-test-user", "config": config,
    });
    cloud.realm.store().put_realm(realm.as_object().cloned().expect("an object")).await.expect("it is put");
}

/// One of lava's programs on the realm.
fn lava(cloud: &Cloud, program: &str, home: &std::path::Path) -> Command {
    let mut command = Command::new(folder().join("lava/bin").join(program));
    command.env_clear().env("PATH", std::env::var_os("PATH").unwrap_or_default()).env("HOME", home);
    command.env("AWS_ENDPOINT_URL", cloud.server.url()).env("AWS_DEFAULT_REGION", "eu-west-1");
    command.env("AWS_ACCESS_KEY_ID", "test").env("AWS_SECRET_ACCESS_KEY", "test");
    command.env("AWS_EC2_METADATA_DISABLED", "true").env("LAVA_TMPDIR", home);
    command
}

#[tokio::test]
async fn run_dispatched_by_lava_is_run_by_pumice() {
    let mut reads = job("reads", "core", "cmd", json!("echo '{{ state.mark }}' '{{ globals.who }}'"));
    reads["state"] = json!({ "mark": "none" });
    let cloud = Cloud::start(&[reads]).await;
    add_lavas(&cloud, "").await;
    cloud.deploy_worker("core", 30, 1);
    let home = tempfile::tempdir().expect("a folder");
    // A state item that lava put.
    let put = "import sys; from lava.lib.state import LavaStateItem; \
               LavaStateItem.new(state_id='mark', realm='test', value=[1, 'two']).put()";
    let put = lava(&cloud, "python", home.path()).args(["-c", put]).output().expect("python runs");
    assert!(put.status.success(), "{}", String::from_utf8_lossy(&put.stderr));
    let mut dispatcher = lava(&cloud, "lava-dispatcher", home.path());
    let sent = dispatcher.args(["-r", "test", "-g", "who=lava", "reads"]).output().expect("lava runs");
    let told = format!("{}{}", String::from_utf8_lossy(&sent.stdout), String::from_utf8_lossy(&sent.stderr));
    assert!(sent.status.success(), "{told}");
    let run = cloud.ended_run_of("reads").await;
    assert_eq!(run.status, Status::Complete, "{run:#?}");
    assert!(told.contains(&run.run_id.to_string()), "lava printed another run id: {told}");
    let output = cloud.object(run.result["output"][0]["stdout"].as_str().expect("it wrote")).await;
    assert_eq!(output, "[1, 'two'] lava\n");
}

#[tokio::test]
async fn run_dispatched_to_lava_has_its_end_recorded() {
    let realm = Faulty::start(&[job("note", "other", "log", Value::Null)]).await;
    add_lavas(&realm.cloud, "other").await;
    realm.cloud.deploy_dispatcher();
    let key = realm.cloud.dispatch(&json!({ "job_id": "note", "globals": { "who": "pumice" } }));
    assert!(realm.load(&key).await.is_some_and(|run| run.handed_over.is_some()), "it is given once");
    work_as_lava(&realm.cloud, &key).await;
    // Two minutes later the sweeper looks at its outcome.
    assert_eq!(realm.housekeeper_at(realm.skewed_site(120).await).sweep().await.expect("it sweeps"), 1);
    let run = realm.load(&key).await.expect("it is there");
    assert_eq!((run.status, run.due_at, run.reason), (Status::Complete, None, None));
    assert!(run.ts_start <= run.ts_end && run.ts_start.is_some() && run.hostname.is_some());
    assert_eq!(messages(&realm).await, Vec::<Value>::new(), "lava would run it once more");
}

#[tokio::test]
async fn lava_worker_without_a_setting_is_known_by_its_events() {
    let realm = Faulty::start(&[job("note", "other", "log", Value::Null)]).await;
    add_lavas(&realm.cloud, "").await;
    let run = dispatch(&realm.dispatcher().await, request("note")).await.expect("it is taken");
    let key = key_of(&run);
    assert!(realm.load(&key).await.is_some_and(|run| run.handed_over.is_none()));
    work_as_lava(&realm.cloud, &key).await;
    realm.housekeeper_at(realm.skewed_site(120).await).sweep().await.expect("it sweeps");
    assert_eq!(realm.load(&key).await.map(|run| run.status), Some(Status::Complete));
    assert_eq!(messages(&realm).await, Vec::<Value>::new(), "lava would run it once more");
}

#[tokio::test]
async fn run_far_ahead_is_sent_to_lava_in_time_with_its_request() {
    let realm = Faulty::start(&[job("note", "other", "log", Value::Null)]).await;
    add_lavas(&realm.cloud, "oth*").await;
    let mut far = request("note");
    far.when = When::At(SystemClock.now() + chrono::TimeDelta::hours(1));
    far.globals.insert("who".to_owned(), json!("pumice"));
    let run = dispatch(&realm.dispatcher().await, far).await.expect("it is taken");
    assert_eq!(messages(&realm).await, Vec::<Value>::new(), "it is early");
    let sweep = async |seconds| {
        let sweeper = realm.housekeeper_at(realm.skewed_site(seconds).await);
        sweeper.sweep().await.expect("it sweeps")
    };
    assert_eq!(sweep(2_600).await, 0, "it is early");
    // Its queue holds it for the five seconds that are left.
    assert_eq!(sweep(3_595).await, 1);
    let key = key_of(&run);
    assert!(realm.load(&key).await.is_some_and(|run| run.handed_over.is_some()));
    assert_eq!(messages(&realm).await, Vec::<Value>::new(), "it is early");
    let sent = until(async || Some(messages(&realm).await).filter(|sent| !sent.is_empty())).await;
    let sent = sent.expect("it comes in time");
    let globals: Vec<&Value> = sent.iter().map(|message| &message["globals"]).collect();
    assert_eq!(globals, [&json!({ "who": "pumice" })], "{sent:?}");
    // lava counts from here how late a run is.
    let told =
        sent[0]["ts_dispatch"].as_str().and_then(|at| at.parse::<chrono::DateTime<chrono::Utc>>().ok());
    assert!(told.is_some_and(|at| at > SystemClock.now() + chrono::TimeDelta::minutes(59)), "{told:?}");
    let later = realm.housekeeper_at(realm.skewed_site(4_000).await);
    assert_eq!(later.sweep().await.expect("it sweeps"), 1, "lava has reported nothing yet");
    assert_eq!(messages(&realm).await, Vec::<Value>::new(), "it is sent once");
    let cancelled = later.dispatcher().cancel(&key).await.expect("it is let go");
    assert!(cancelled.reason.is_some_and(|reason| reason.contains("may run it all the same")));
    assert_eq!(realm.load(&key).await.map(|run| run.status), Some(Status::Cancelled));
}

#[tokio::test]
async fn run_without_lava_events_fails_when_no_queue_can_have_it() {
    let realm = Faulty::start(&[job("note", "other", "log", Value::Null)]).await;
    add_lavas(&realm.cloud, "other").await;
    let run = dispatch(&realm.dispatcher().await, request("note")).await.expect("it is taken");
    let status_after = async |days: i64| {
        let sweeper = realm.housekeeper_at(realm.skewed_site(days * 86_400).await);
        sweeper.sweep().await.expect("it sweeps");
        realm.load(&key_of(&run)).await.map(|run| (run.status, run.reason))
    };
    assert_eq!(status_after(13).await, Some((Status::Dispatched, None)));
    let reason = "the lava worker has reported no end of it for 14 days".to_owned();
    assert_eq!(status_after(15).await, Some((Status::Failed, Some(reason))));
}

#[tokio::test]
async fn jobs_of_types_that_only_lava_has_are_sent_to_lava() {
    let jobs = [
        job("theirs", "other", "docker", json!("{{ not.a.template")),
        job("ours", "core", "docker", json!("x")),
    ];
    let realm = Faulty::start(&jobs).await;
    add_lavas(&realm.cloud, "other").await;
    let dispatcher = realm.dispatcher().await;
    dispatch(&dispatcher, request("theirs")).await.expect("it is lava's to check");
    assert_eq!(messages(&realm).await.len(), 1);
    let refused = dispatch(&dispatcher, request("ours")).await.expect_err("no worker can run it").to_string();
    assert!(refused.contains("no such job type"), "{refused}");
}

/// The messages in the queue of worker `other`; they are taken out.
async fn messages(realm: &Faulty) -> Vec<Value> {
    let (queues, other) = (realm.cloud.realm.queues(), WorkerName::new("other").expect("a name"));
    let taken = queues.receive(&other, 10, Duration::from_secs(1)).await.expect("the queue answers");
    queues.delete(taken.iter().map(|it| it.receipt.clone()).collect()).await.expect("the queue answers");
    taken.iter().map(|it| serde_json::from_str(&it.body).expect("it is JSON")).collect()
}

/// Lets a lava worker take its messages, until its events say that a run is complete.
async fn work_as_lava(cloud: &Cloud, key: &RunKey) {
    let home = tempfile::tempdir().expect("a folder");
    let mut worker = lava(cloud, "lava-worker", home.path());
    worker.args([
        "--root",
        "--batch",
        "-r",
        "test",
        "-w",
        "other",
        "--wait",
        "1",
        "--sleep",
        "1",
        "-t",
        "1",
        "--no-colour",
    ]);
    let worked = worker.output().expect("lava runs");
    let told = String::from_utf8_lossy(&worked.stderr).into_owned();
    let found = until(async || {
        let asked = cloud.clients.dynamodb.get_item().table_name("lava.test.events");
        let asked = asked.key("job_id", AttributeValue::S("note".to_owned()));
        asked.key("run_id", AttributeValue::S(key.to_string())).send().await.expect("it answers").item
    });
    let item = found.await.unwrap_or_else(|| panic!("lava has no record of the run: {told}"));
    assert_eq!(item["status"], AttributeValue::S("complete".to_owned()), "{told}");
}

#[tokio::test]
async fn lava_tools_show_pumice_runs_if_the_realm_asks() {
    let mut breaks = job("breaks", "core", "cmd", json!("exit 3"));
    breaks["iteration_limit"] = json!(2);
    breaks["iteration_delay"] = json!("1s");
    let chain = job("both", "core", "chain", json!(["takes", "takes"]));
    // lava's tool counts whole seconds.
    let cloud = Cloud::start(&[job("takes", "core", "cmd", json!("sleep 1.2")), breaks, chain]).await;
    add_lavas_with(&cloud, &json!({ "LAVA_EVENTS": "on" })).await;
    cloud.deploy_dispatcher();
    cloud.deploy_worker("core", 30, 1);
    let home = tempfile::tempdir().expect("a folder");
    let key = cloud.dispatch(&json!({ "job_id": "takes" }));
    for (job, status) in [("takes", Status::Complete), ("breaks", Status::Failed), ("both", Status::Complete)]
    {
        if job != "takes" {
            cloud.dispatch(&json!({ "job_id": job }));
        }
        assert_eq!(cloud.ended_run_of(job).await.status, status, "{job}");
    }
    let print = |program: &str, arguments: &[&str]| {
        let ran = lava(&cloud, program, home.path()).args(["-r", "test"]).args(arguments).output();
        let ran = ran.expect("lava runs");
        assert!(ran.status.success(), "{program}: {}", String::from_utf8_lossy(&ran.stderr));
        String::from_utf8(ran.stdout).expect("UTF-8")
    };
    let events = |arguments: &[&str]| {
        let printed = print("lava-events", &[&["-c", "-f", "json"], arguments].concat());
        let all = serde_json::Deserializer::from_str(&printed).into_iter::<Value>();
        all.collect::<Result<Vec<Value>, _>>().unwrap_or_else(|error| panic!("{error}: {printed}"))
    };
    let statuses = |event: &Value| {
        let log = event["log"].as_array().expect("a log").iter();
        log.map(|one| one["status"].as_str().expect("a status").to_owned()).collect::<Vec<_>>()
    };
    // By its id, and by its job within a day: two steps of the chain are of this job too.
    let of_run = events(&["takes", key.as_str()]);
    assert_eq!(
        (of_run.len(), &of_run[0]["status"], &of_run[0]["worker"]),
        (1, &json!("complete"), &json!("core"))
    );
    assert_eq!(statuses(&of_run[0]), ["starting", "running", "complete"]);
    assert_eq!(events(&["takes"]).len(), 3);
    let failed = events(&["--status", "failed", "breaks"]);
    assert_eq!(statuses(&failed[0]), ["starting", "running", "retrying", "running", "failed"]);
    assert_eq!(events(&["--status", "complete", "breaks"]), Vec::<Value>::new());
    // Each run took a second, at the worker too.
    let today = chrono::Utc::now() - chrono::TimeDelta::hours(1);
    let start = today.format("%Y-%m-%dT%H:%M:%S+00:00").to_string();
    let printed = print("lava-job-activity", &["-q", "-s", &start, "-i", "1440", "takes", "both"]);
    let row = |name: &str| {
        let found = printed.lines().find_map(|line| line.strip_prefix(&format!("{name},")));
        found
            .and_then(|seconds| seconds.trim().parse::<u64>().ok())
            .unwrap_or_else(|| panic!("{name}: {printed}"))
    };
    assert!(row("takes") >= 3 && row("both") >= 2 && row("core") >= 5, "{printed}");
}

#[tokio::test]
async fn run_ends_as_it_would_where_lavas_table_is_missing() {
    let realm = Faulty::start(&[job("note", "core", "log", Value::Null)]).await;
    let definition = json!({ "realm": "test", "config": { "LAVA_EVENTS": true } });
    let definition = definition.as_object().cloned().expect("an object");
    realm.cloud.realm.store().put_realm(definition).await.expect("it is put");
    let (dispatcher, engine) = (realm.dispatcher().await, realm.engine().await);
    let run = dispatch(&dispatcher, request("note")).await.expect("it is taken");
    assert_eq!(realm.work(&engine, &key_of(&run)).await.run.status, Status::Complete);
}
