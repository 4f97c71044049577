//! The worker loop, over queues in memory that record the fate of each message.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use pumice_core::engine::{Dispatcher, Engine, Halt, Handled, Limits};
use pumice_core::ids::{JobId, RealmName, WorkerName};
use pumice_core::job_type::{Runners, Site};
use pumice_core::ports::{AtOnce, Consumer, Delivery, Ports, RunQuery, RunStore, StoreError};
use pumice_core::request::DispatchRequest;
use pumice_core::run::Status;
use pumice_core::spec::{JobSpec, RealmSpec, Settings};
use pumice_host::{DiskWorkspaces, Engines, SystemClock, SystemRandom, Taking, WorkerLoop, settle};
use pumice_template::Zone;
use pumice_testing::memory::Memory;
use serde_json::json;
use tokio::sync::Notify;

/// A consumer that passes on what a realm in memory holds, and records every call.
struct Recorder {
    memory: Memory,
    /// Handed out before everything else.
    first: Mutex<Vec<Delivery>>,
    /// Handed out once the loop was asked to stop.
    last: Mutex<Vec<Delivery>>,
    calls: Mutex<Vec<String>>,
    /// How often the queue cannot be reached.
    faults: Mutex<u32>,
    settled: Notify,
    /// A call waits for messages.
    waits: Notify,
    stop: Notify,
}

fn lock<T>(of: &Mutex<T>) -> MutexGuard<'_, T> {
    of.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Recorder {
    fn of(memory: Memory) -> Arc<Self> {
        let (first, last, calls, faults) = <_>::default();
        let (settled, waits, stop) = (Notify::new(), Notify::new(), Notify::new());
        Arc::new(Self { memory, first, last, calls, faults, settled, waits, stop })
    }

    fn record(&self, call: String) {
        lock(&self.calls).push(call);
        self.settled.notify_one();
    }

    fn calls(&self) -> Vec<String> {
        lock(&self.calls).clone()
    }

    /// Returns when so many messages were settled.
    async fn settled(&self, count: usize) {
        let is_kept = |call: &&String| !call.starts_with("keep ");
        while self.calls().iter().filter(is_kept).count() < count {
            self.settled.notified().await;
        }
    }
}

#[async_trait]
impl Consumer for Recorder {
    async fn receive(
        &self,
        worker: &WorkerName,
        max: usize,
        wait: Duration,
    ) -> Result<Vec<Delivery>, StoreError> {
        let left = lock(&self.faults).checked_sub(1);
        if let Some(left) = left {
            *lock(&self.faults) = left;
            return Err(StoreError::unreachable("out of order"));
        }
        let first = std::mem::take(&mut *lock(&self.first));
        if !first.is_empty() {
            return Ok(first);
        }
        let taken = self.memory.receive(worker, max, Duration::ZERO).await?;
        if !taken.is_empty() || wait.is_zero() {
            return Ok(taken);
        }
        self.waits.notify_one();
        if tokio::time::timeout(wait, self.stop.notified()).await.is_err() {
            return Ok(Vec::new());
        }
        Ok(std::mem::take(&mut *lock(&self.last)))
    }

    async fn delete(&self, receipts: Vec<String>) -> Result<(), StoreError> {
        self.record(format!("delete {}", receipts.join(" ")));
        Ok(())
    }

    async fn release(&self, receipt: &str, after: Duration) -> Result<(), StoreError> {
        self.record(format!("release {receipt} after {after:?}"));
        Ok(())
    }

    async fn keep(&self, receipt: &str, hidden: Duration) -> Result<(), StoreError> {
        self.record(format!("keep {receipt} for {hidden:?}"));
        Ok(())
    }

    async fn bury(&self, receipt: &str, reason: &str) -> Result<(), StoreError> {
        self.record(format!("bury {receipt}: {reason}"));
        Ok(())
    }
}

fn worker(name: &str) -> WorkerName {
    WorkerName::new(name).expect("a name")
}

struct Realm {
    memory: Memory,
    site: Arc<Site>,
    runners: Arc<Runners>,
    halt: Halt,
    _scratch: tempfile::TempDir,
}

impl Realm {
    fn new() -> Self {
        let realm = RealmSpec::parse(&json!({ "realm": "test" })).expect("a realm");
        let memory = Memory::new(realm, Arc::new(SystemClock));
        let scratch = tempfile::tempdir().expect("a folder");
        let store = Arc::new(memory.clone());
        let site = Arc::new(Site {
            realm: RealmName::new("test").expect("a name"),
            settings: Settings::default(),
            zone: Zone::Utc,
            hostname: "host".to_owned(),
            alone: false,
            scratch: scratch.path().to_owned(),
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
                http: Arc::new(pumice_core::ports::NoHttp),
                messaging: Arc::new(pumice_core::ports::WITHOUT_AWS),
                servers: pumice_core::ports::Servers::default(),
                clock: Arc::new(SystemClock),
                random: Arc::new(SystemRandom),
                pool: Arc::new(AtOnce),
                workspaces: Arc::new(DiskWorkspaces),
            },
        });
        let runners = Arc::new(pumice_job_runners::runners().expect("runners"));
        Self { memory, site, runners, halt: Halt::default(), _scratch: scratch }
    }

    async fn dispatch(&self, id: &str, kind: &str, of: &str) {
        let job =
            json!({ "job_id": id, "type": kind, "worker": of, "enabled": true, "payload": "/bin/true" });
        self.memory.put_job(JobSpec::parse(&job).expect("a job"));
        let dispatcher = Dispatcher::new(self.site.clone(), self.runners.registry().clone());
        let request = DispatchRequest::new(JobId::new(id).expect("an id"));
        dispatcher.dispatch(vec![request], None).await.remove(0).expect("it is taken");
    }

    fn engines(&self, names: &[&str]) -> Engines {
        let engines = Engines::default();
        names.iter().for_each(|name| self.add(&engines, name));
        engines
    }

    fn add(&self, engines: &Engines, name: &str) {
        engines.add(worker(name), |name| {
            let (site, runners) = (self.site.clone(), self.runners.clone());
            Engine::new(site, runners, name, Limits::default()).halted_by(self.halt.clone())
        });
    }

    fn work(&self, consumer: &Arc<Recorder>, engines: Engines, hidden: Option<Duration>) -> WorkerLoop {
        let (wait, pause, drain) = (Duration::from_millis(50), Duration::ZERO, Duration::from_secs(60));
        let taking = Taking { slots: 1, max_take: 10, wait, pause, hidden, drain, grace: drain };
        WorkerLoop::new(consumer.clone(), engines, self.halt.clone(), taking)
    }

    async fn complete(&self) -> usize {
        let query = RunQuery { statuses: vec![Status::Complete], limit: 100, ..RunQuery::default() };
        RunStore::list(&self.memory, &query).await.expect("it answers").len()
    }
}

fn delivery(receipt: &str, body: &str) -> Delivery {
    Delivery { body: body.to_owned(), receives: 1, receipt: receipt.to_owned(), found: None }
}

/// Asks the loop to stop when so many messages were settled.
async fn stop_after(consumer: &Recorder, count: usize) {
    consumer.settled(count).await;
    consumer.stop.notify_one();
}

#[tokio::test]
async fn message_handled_is_deleted_released_or_buried() {
    let recorder = Recorder::of(Realm::new().memory);
    let after = Duration::from_secs(7);
    for handled in [Handled::Delete, Handled::Again(after), Handled::Bury("no such thing".to_owned())] {
        settle(&*recorder, delivery("r", "hello"), handled).await;
    }
    assert_eq!(recorder.calls(), ["delete r", "release r after 7s", "bury r: no such thing"]);
}

#[tokio::test]
async fn loop_over_several_queues_runs_each_message_once() {
    let realm = Realm::new();
    for (id, of) in [("a", "core"), ("b", "other"), ("c", "core"), ("d", "nobody")] {
        realm.dispatch(id, "log", of).await;
    }
    let recorder = Recorder::of(realm.memory.clone());
    lock(&recorder.first).push(delivery("bad", "hello"));
    let work = realm.work(&recorder, realm.engines(&["core", "other"]), None);
    work.work(stop_after(&recorder, 4), std::future::pending()).await.expect("it works");
    let calls = recorder.calls();
    assert!(
        calls.iter().any(|call| call.starts_with("bury bad: the body is not a dispatch message")),
        "{calls:?}"
    );
    let deleted: BTreeSet<&String> = calls.iter().filter(|call| call.starts_with("delete ")).collect();
    assert_eq!((deleted.len(), calls.len(), realm.complete().await), (3, 4, 3), "{calls:?}");
}

#[tokio::test]
async fn message_taken_while_stopping_is_released_at_once() {
    let realm = Realm::new();
    realm.dispatch("a", "log", "core").await;
    let taken = realm.memory.receive(&worker("core"), 1, Duration::ZERO).await.expect("it answers");
    let recorder = Recorder::of(realm.memory.clone());
    *lock(&recorder.last) = taken.clone();
    let work = realm.work(&recorder, realm.engines(&["core"]), None);
    let stop = async {
        recorder.waits.notified().await;
        recorder.stop.notify_one();
    };
    work.work(stop, std::future::pending()).await.expect("it works");
    assert_eq!(recorder.calls(), [format!("release {} after 0ns", taken[0].receipt)]);
    assert_eq!(realm.complete().await, 0);
}

#[tokio::test]
async fn message_worked_on_is_kept_hidden() {
    let realm = Realm::new();
    realm.dispatch("a", "cmd", "core").await;
    let recorder = Recorder::of(realm.memory.clone());
    let work = realm.work(&recorder, realm.engines(&["core"]), Some(Duration::from_secs(300)));
    work.work(stop_after(&recorder, 1), std::future::pending()).await.expect("it works");
    let calls = recorder.calls();
    assert!(calls[0].starts_with("keep ") && calls[0].ends_with(" for 300s"), "{calls:?}");
    assert!(calls.len() == 2 && calls[1].starts_with("delete "), "{calls:?}");
    assert_eq!(realm.complete().await, 1);
}

#[tokio::test]
async fn unreachable_queue_fails_at_start_and_is_tried_again_later() {
    let realm = Realm::new();
    realm.dispatch("a", "log", "core").await;
    let recorder = Recorder::of(realm.memory.clone());
    *lock(&recorder.faults) = 1;
    let work = realm.work(&recorder, realm.engines(&["core"]), None);
    let error = work.work(std::future::pending(), std::future::pending()).await.expect_err("out of reach");
    assert_eq!(error.message, "out of order");
    // A message is settled first, so that the faults come later.
    lock(&recorder.first).push(delivery("bad", "hello"));
    let work = realm.work(&recorder, realm.engines(&["core"]), None);
    let stop = async {
        recorder.settled(1).await;
        *lock(&recorder.faults) = 3;
        stop_after(&recorder, 2).await;
    };
    work.work(stop, std::future::pending()).await.expect("it works");
    assert_eq!((recorder.calls().len(), realm.complete().await), (2, 1), "{:?}", recorder.calls());
}

#[tokio::test]
async fn engine_added_while_the_loop_runs_is_served() {
    let realm = Realm::new();
    realm.dispatch("a", "log", "core").await;
    let recorder = Recorder::of(realm.memory.clone());
    let engines = Engines::default();
    let work = realm.work(&recorder, engines.clone(), None);
    let stop = async {
        realm.add(&engines, "core");
        stop_after(&recorder, 1).await;
    };
    work.work(stop, std::future::pending()).await.expect("it works");
    assert_eq!(realm.complete().await, 1);
}
