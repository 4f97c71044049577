//! The worker that performs the actions of a broken limit, where the job's own may be the one that is out.

use std::sync::Arc;
use std::time::Duration;

use chrono::{DateTime, TimeDelta};
use pumice_core::Timestamp;
use pumice_core::engine::{Dispatcher, Engine, Handled, Housekeeper, Limits};
use pumice_core::ids::{JobId, RealmName, RunKey, StateId, WorkerName};
use pumice_core::job_type::{Runners, Site};
use pumice_core::ports::{AtOnce, Consumer, Ports, RunQuery, RunStore, ScheduleStore, Servers, StateStore};
use pumice_core::run::Run;
use pumice_core::spec::{JobSpec, RealmSpec};
use pumice_host::DiskWorkspaces;
use pumice_template::Zone;
use pumice_testing::memory::{ManualClock, Memory, SeededRandom};
use serde_json::{Value, json};

struct Realm {
    memory: Memory,
    clock: ManualClock,
    site: Arc<Site>,
}

fn worker(name: &str) -> WorkerName {
    WorkerName::new(name).expect("a name")
}

fn id(name: &str) -> JobId {
    JobId::new(name).expect("an id")
}

impl Realm {
    fn new(config: &Value) -> Self {
        let clock = ManualClock::at(DateTime::UNIX_EPOCH + TimeDelta::days(20_000));
        let realm = RealmSpec::parse(&json!({ "realm": "test", "config": config })).expect("a realm");
        let settings = realm.settings.clone();
        let memory = Memory::new(realm, Arc::new(clock.clone()));
        let store = Arc::new(memory.clone());
        let site = Arc::new(Site {
            realm: RealmName::new("test").expect("a name"),
            settings,
            zone: Zone::Utc,
            hostname: "host".to_owned(),
            alone: false,
            scratch: std::env::temp_dir(),
            shared: None,
            environment: Vec::new(),
            credentials: Vec::new(),
            ports: Ports {
                jobs: store.clone(),
                runs: store.clone(),
                schedules: store.clone(),
                state: store.clone(),
                connections: Arc::new(pumice_core::connection::NoConnections),
                secrets: Arc::new(pumice_core::connection::NoSecrets),
                queue: store.clone(),
                wake_ups: None,
                hosts: None,
                lava_events: None,
                objects: store,
                servers: Servers::default(),
                http: Arc::new(pumice_core::ports::NoHttp),
                messaging: Arc::new(pumice_core::ports::WITHOUT_AWS),
                clock: Arc::new(clock.clone()),
                random: Arc::new(SeededRandom::new(1)),
                pool: Arc::new(AtOnce),
                workspaces: Arc::new(DiskWorkspaces),
            },
        });
        Self { memory, clock, site }
    }

    /// A process that sweeps and performs nothing, as the dispatcher function does.
    fn sweeper(&self) -> Housekeeper {
        let registry = Arc::new(pumice_job_types::registry().expect("a registry"));
        Housekeeper::with(Dispatcher::new(self.site.clone(), registry))
    }

    fn engine(&self, name: &str) -> Engine {
        let registry = Arc::new(pumice_job_types::registry().expect("a registry"));
        let runners = pumice_job_runners::add(Runners::builder()).build(registry).expect("runners");
        Engine::new(self.site.clone(), Arc::new(runners), worker(name), Limits::default())
    }

    fn now(&self) -> Timestamp {
        pumice_core::ports::Clock::now(&self.clock)
    }

    fn pass(&self, seconds: i64) {
        self.clock.advance_to(self.now() + TimeDelta::seconds(seconds));
    }

    async fn look(&self) {
        self.sweeper().strike(TimeDelta::seconds(90)).await.expect("it looks");
    }

    /// Starts a job whose worker takes nothing, and lets its limit pass.
    async fn alert(&self) -> Run {
        let due = self.now() + TimeDelta::seconds(60);
        let value = "{{ job.worker }} {{ job.job_id }} {{ late.limit }}";
        let job = json!({
            "job_id": "a", "type": "log", "worker": "core", "enabled": true, "payload": null,
            "schedule": { "at": due.to_rfc3339(), "must_start": "20s" },
            "on_late": [{ "action": "state", "state_id": "told", "value": value }],
        });
        self.memory.put_job(JobSpec::parse(&job).expect("a job"));
        ScheduleStore::touch(&self.memory, &[id("a")], self.now()).await.expect("it is touched");
        self.look().await;
        self.pass(90);
        // A look judges the limit, and the next one makes the alert.
        self.look().await;
        self.look().await;
        let runs = self.memory.list(&RunQuery { limit: 10, ..RunQuery::default() }).await.expect("it lists");
        let mut alerts = runs.into_iter().filter(|run| run.late.is_some());
        let alert = alerts.next().expect("an alert");
        assert!(alerts.next().is_none());
        alert
    }

    async fn run(&self, key: &RunKey) -> Run {
        RunStore::load(&self.memory, key).await.expect("it answers").expect("it is there")
    }

    /// The messages about a run that a worker has, each taken for good.
    async fn messages(&self, name: &str, key: &RunKey) -> Vec<String> {
        let all = self.memory.receive(&worker(name), 10, Duration::ZERO).await.expect("it answers");
        let receipts = all.iter().map(|one| one.receipt.clone()).collect();
        self.memory.delete(receipts).await.expect("it answers");
        let all = all.into_iter().map(|one| one.body);
        all.filter(|body| body.contains(&key.to_string())).collect()
    }

    async fn told(&self) -> Option<Value> {
        let ids = [StateId::new("told").expect("an id")];
        let found = StateStore::get(&self.memory, &ids, self.now()).await.expect("it answers");
        found.into_iter().flatten().next().map(|item| item.value)
    }
}

#[tokio::test]
async fn alert_goes_to_the_worker_that_the_realm_names() {
    for (config, wanted) in [
        (json!({}), "core"),
        (json!({ "ON_LATE_WORKER": "core" }), "core"),
        (json!({ "ON_LATE_WORKER": "ops" }), "ops"),
    ] {
        let realm = Realm::new(&config);
        let alert = realm.alert().await;
        assert_eq!(alert.worker, worker(wanted), "{config}");
        assert_eq!(alert.late.as_ref().and_then(|late| late.worker.clone()).is_some(), wanted == "ops");
        let messages = realm.messages(wanted, &alert.key).await;
        assert_eq!(messages.len(), 1, "{config}");
        assert_eq!(realm.told().await, None);
        let handled = realm.engine(wanted).handle(&messages[0], 1, None).await;
        assert!(matches!(handled, Handled::Delete), "{config}: {handled:?}");
        // The job is shown as it is, whichever worker performs its actions.
        assert_eq!(realm.told().await, Some(json!("core a must_start")), "{config}");
        let done = realm.run(&alert.key).await;
        assert!(done.duties.is_none() && done.undone_since(realm.now() + TimeDelta::days(1)).is_none());
    }
}

#[tokio::test]
async fn alert_whose_worker_is_out_is_undone_until_it_is_back() {
    let realm = Realm::new(&json!({}));
    let alert = realm.alert().await;
    assert_eq!(alert.undone_since(realm.now()), None, "its worker has a moment");
    assert_eq!(realm.messages("core", &alert.key).await.len(), 1, "the message is lost with its worker");
    realm.pass(150);
    realm.sweeper().sweep().await.expect("it sweeps");
    let waits = realm.run(&alert.key).await;
    assert_eq!(waits.undone_since(realm.now()), alert.ts_end);
    let messages = realm.messages("core", &alert.key).await;
    assert_eq!(messages.len(), 1, "the sweeper sends another");
    realm.engine("core").handle(&messages[0], 1, None).await;
    assert_eq!(realm.told().await, Some(json!("core a must_start")));
    assert_eq!(realm.run(&alert.key).await.undone_since(realm.now()), None);
}
