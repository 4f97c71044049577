//! A realm behind a proxy that lets calls fail, with a dispatcher and a worker in this process.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use pumice_aws::{Clients, EngineHost, Queues, Realm};
use pumice_core::Timestamp;
use pumice_core::engine::{Accepted, Dispatcher, Engine, Handled, Housekeeper, Limits};
use pumice_core::ids::{JobId, RunKey, WorkerName};
use pumice_core::job_type::{DispatchError, Runners, Site};
use pumice_core::ports::{Clock, Consumer, RunStore};
use pumice_core::request::DispatchRequest;
use pumice_core::run::Run;
use pumice_local::SystemClock;
use serde_json::{Value, json};

use super::cloud::{ACCOUNT, Cloud, SCHEDULES};
use super::proxy::Proxy;
use super::server::{REGION, config};

/// How long one look into the queue waits.
const WAIT: Duration = Duration::from_secs(1);
/// Most looks into the queue until a run must have ended.
const MAX_LOOKS: usize = 20;
/// How long a message stays hidden from others, in seconds: no other consumer takes it.
const VISIBILITY: u32 = 120;

/// A clock that is wrong by so much.
struct Skewed(chrono::TimeDelta);

#[async_trait]
impl Clock for Skewed {
    fn now(&self) -> Timestamp {
        SystemClock.now() + self.0
    }

    async fn sleep_until(&self, until: Timestamp) {
        SystemClock.sleep_until(until - self.0).await;
    }
}

/// A realm named `test` with worker `core`, behind a proxy.
pub struct Faulty {
    /// The realm as it is without the proxy.
    pub cloud: Cloud,
    /// The proxy.
    pub proxy: Proxy,
    runners: Arc<Runners>,
    folder: tempfile::TempDir,
}

/// A worker, and the outcomes of the messages that it took.
pub struct Worked {
    /// The run at last.
    pub run: Run,
    /// The outcome of each message.
    pub handled: Vec<Handled>,
}

/// The job of a name that only writes its payload to the log.
#[must_use]
pub fn log_job(id: &str) -> Value {
    json!({ "job_id": id, "type": "log", "worker": "core", "enabled": true, "payload": {} })
}

impl Faulty {
    /// A realm with these jobs and an `s3_temp`.
    ///
    /// # Panics
    /// When the stand-in refuses, or a job is invalid.
    pub async fn start(jobs: &[Value]) -> Self {
        let cloud = Cloud::start_with(jobs, VISIBILITY).await;
        let proxy = Proxy::before(cloud.server.port());
        let runners = Arc::new(pumice_job_runners::runners().expect("the job types hold"));
        Self { cloud, proxy, runners, folder: tempfile::tempdir().expect("a folder is made") }
    }

    /// A job whose every attempt leaves a mark, after so many seconds.
    #[must_use]
    pub fn marking_job(&self, id: &str, seconds: u32) -> Value {
        let marks = self.marks_file();
        let line = format!("sh -c 'sleep {seconds}; echo x >> {}'", marks.display());
        json!({ "job_id": id, "type": "cmd", "worker": "core", "enabled": true, "payload": line })
    }

    fn marks_file(&self) -> PathBuf {
        self.folder.path().join("marks")
    }

    /// How often jobs that leave marks have run.
    #[must_use]
    pub fn marks(&self) -> usize {
        std::fs::read_to_string(self.marks_file()).map_or(0, |marks| marks.lines().count())
    }

    /// The realm with a cold cache.
    pub async fn realm(&self) -> Realm {
        let urls = format!("https://sqs.{REGION}.amazonaws.com/{ACCOUNT}/");
        let clients = Clients::new(&config(&self.proxy.url()).await);
        Realm::new(&clients, self.cloud.names(), Some(&urls))
    }

    /// The realm as [`Self::realm`] gives it, with one-off schedules. Their group is there.
    ///
    /// # Panics
    /// When the stand-in refuses.
    pub async fn realm_with_schedules(&self) -> Realm {
        let variable = |name: &str| {
            SCHEDULES.iter().find(|(known, _)| *known == name).map(|(_, value)| (*value).to_owned())
        };
        let realm = self.realm().await.with_schedules(&config(&self.proxy.url()).await, &variable);
        realm.expect("the variables hold")
    }

    /// The realm as reached past the proxy.
    #[must_use]
    pub fn direct(&self) -> Realm {
        let urls = format!("https://sqs.{REGION}.amazonaws.com/{ACCOUNT}/");
        Realm::new(&self.cloud.clients, self.cloud.names(), Some(&urls))
    }

    /// Where an engine of a realm runs.
    ///
    /// # Panics
    /// When the realm cannot be read.
    pub async fn site(&self, realm: &Realm) -> Arc<Site> {
        let scratch = self.folder.path().join("scratch");
        std::fs::create_dir_all(&scratch).expect("a folder is made");
        let host =
            EngineHost { name: "test".to_owned(), scratch, environment: Vec::new(), credentials: Vec::new() };
        realm.site(host).await.expect("the realm is read")
    }

    /// The same on a host whose clock is wrong by so many seconds.
    pub async fn skewed_site(&self, seconds: i64) -> Arc<Site> {
        self.skewed_site_of(&self.realm().await, seconds).await
    }

    /// The same for a realm.
    pub async fn skewed_site_of(&self, realm: &Realm, seconds: i64) -> Arc<Site> {
        let clients = Clients::new(&config(&self.proxy.url()).await);
        let urls = format!("https://sqs.{REGION}.amazonaws.com/{ACCOUNT}/");
        let clock = Arc::new(Skewed(chrono::TimeDelta::seconds(seconds)));
        let queues = Queues::new(clients.sqs, self.cloud.names().clone(), clock.clone(), Some(&urls));
        let mut site = Site::clone(&*self.site(realm).await);
        site.ports.clock = clock;
        site.ports.queue = Arc::new(queues);
        Arc::new(site)
    }

    /// A dispatcher at a site.
    #[must_use]
    pub fn dispatcher_at(&self, site: Arc<Site>) -> Dispatcher {
        Dispatcher::new(site, self.runners.registry().clone())
    }

    /// A housekeeper at a site.
    #[must_use]
    pub fn housekeeper_at(&self, site: Arc<Site>) -> Housekeeper {
        Housekeeper::with(self.dispatcher_at(site))
    }

    /// A worker at a site.
    ///
    /// # Panics
    /// Never: the name is one.
    #[must_use]
    pub fn engine_at(&self, site: Arc<Site>) -> Engine {
        Engine::new(site, self.runners.clone(), core(), Limits::default())
    }

    /// A dispatcher that has read the realm's settings.
    pub async fn dispatcher(&self) -> Dispatcher {
        self.dispatcher_at(self.site(&self.realm().await).await)
    }

    /// A worker that has read the realm's settings.
    pub async fn engine(&self) -> Engine {
        self.engine_at(self.site(&self.realm().await).await)
    }

    /// Takes one message and gives its body.
    ///
    /// # Panics
    /// When no message comes.
    pub async fn message(&self) -> String {
        let queues = self.cloud.realm.queues();
        let taken = queues.receive(&core(), 1, WAIT).await.expect("the queue answers");
        taken.into_iter().next().expect("there is a message").body
    }

    /// Lets a worker take messages until a run is done, as the consumer of a queue does. One that is
    /// to come again comes at once.
    ///
    /// # Panics
    /// When the run is not done in time.
    pub async fn work(&self, engine: &Engine, key: &RunKey) -> Worked {
        let mut handled = Vec::new();
        for _ in 0..MAX_LOOKS {
            handled.extend(self.take(engine).await);
            if let Some(run) = self.load(key).await.filter(|run| run.due_at.is_none()) {
                return Worked { run, handled };
            }
        }
        panic!("run {key} is not done: {handled:?}, {:#?}", self.load(key).await);
    }

    /// Lets a worker take the messages that are in its queue now, and gives their outcomes.
    ///
    /// # Panics
    /// When the queue does not answer.
    pub async fn take(&self, engine: &Engine) -> Vec<Handled> {
        let queues = self.cloud.realm.queues();
        let mut handled = Vec::new();
        for delivery in queues.receive(&core(), 10, WAIT).await.expect("the queue answers") {
            let outcome = engine.handle(&delivery.body, delivery.receives, None).await;
            let put = match &outcome {
                Handled::Delete => queues.delete(vec![delivery.receipt]).await,
                Handled::Again(_) => queues.release(&delivery.receipt, Duration::ZERO).await,
                Handled::Bury(reason) => queues.bury(&delivery.receipt, reason).await,
            };
            put.expect("the queue answers");
            handled.push(outcome);
        }
        handled
    }

    /// Removes a run's record, as an operator may by hand.
    ///
    /// # Panics
    /// When the stand-in refuses.
    pub async fn remove(&self, key: &RunKey) {
        use aws_sdk_dynamodb::types::AttributeValue::S;
        let gone = self.cloud.clients.dynamodb.delete_item().table_name(self.cloud.names().runs());
        let gone = gone.key("run_id", S(key.to_string())).key("path", S("/".to_owned()));
        gone.send().await.expect("it is removed");
    }

    /// A run's record.
    ///
    /// # Panics
    /// When the store does not answer.
    pub async fn load(&self, key: &RunKey) -> Option<Run> {
        self.cloud.realm.store().load(key).await.expect("the store answers")
    }
}

fn core() -> WorkerName {
    WorkerName::new("core").expect("a name")
}

/// A request for a job.
///
/// # Panics
/// When the id is invalid.
#[must_use]
pub fn request(job: &str) -> DispatchRequest {
    DispatchRequest::new(JobId::new(job).expect("an id"))
}

/// Dispatches one request.
///
/// # Errors
/// The error that it is refused with.
///
/// # Panics
/// Never: a request has an outcome.
pub async fn dispatch(dispatcher: &Dispatcher, request: DispatchRequest) -> Result<Accepted, DispatchError> {
    dispatcher.dispatch(vec![request], None).await.pop().expect("a request has an outcome")
}

/// The key of a run that was taken.
#[must_use]
pub fn key_of(accepted: &Accepted) -> RunKey {
    RunKey::root(accepted.run_id)
}
