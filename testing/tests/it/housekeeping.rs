//! Sweeps over many runs, and messages that are put back, on the real engine over memory.

use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use chrono::{DateTime, TimeDelta};
use pumice_core::Timestamp;
use pumice_core::engine::{Engine, Handled, Housekeeper, Limits, Swept};
use pumice_core::ids::{JobId, RealmName, RunId, RunKey, WorkerName};
use pumice_core::job_type::{Runners, Site};
use pumice_core::ports::{
    AtOnce, Change, Clock, CommitError, Created, Depth, Doc, DuePage, DuePlace, LavaEvent, LavaEvents,
    Outgoing, Ports, Queue, RunPage, RunQuery, RunStore, StoreError, StoreErrorKind,
};
use pumice_core::request::{DispatchRequest, When};
use pumice_core::run::{NewRun, Run, Status};
use pumice_core::spec::{JobSpec, RealmSpec, RunSpec};
use pumice_host::DiskWorkspaces;
use pumice_template::Zone;
use pumice_testing::memory::{ManualClock, Memory, SeededRandom};
use serde_json::{Value, json};

/// The pages of due runs that were read.
#[derive(Default)]
struct Pages {
    /// How long each takes.
    takes: TimeDelta,
    count: usize,
}

/// Records in memory; each write of one takes a while.
struct Slow {
    pages: Arc<Mutex<Pages>>,
    memory: Memory,
    clock: ManualClock,
    write: TimeDelta,
    /// Whether the queue is another service's, as on AWS: messages are sent after the records are made.
    apart: bool,
}

#[async_trait]
impl RunStore for Slow {
    async fn create(&self, runs: &[(NewRun, Option<Outgoing>)]) -> Result<Vec<Created>, StoreError> {
        if !self.apart {
            return self.memory.create(runs).await;
        }
        let alone: Vec<_> = runs.iter().map(|(new, _)| (new.clone(), None)).collect();
        let created = self.memory.create(&alone).await?;
        Ok(created.into_iter().map(|created| Created { sent: false, ..created }).collect())
    }

    async fn make_anew(&self, new: &NewRun) -> Result<bool, CommitError> {
        self.memory.make_anew(new).await
    }

    async fn load(&self, key: &RunKey) -> Result<Option<Run>, StoreError> {
        self.memory.load(key).await
    }

    async fn load_with_spec(&self, key: &RunKey) -> Result<Option<(Run, RunSpec)>, StoreError> {
        self.memory.load_with_spec(key).await
    }

    async fn commit(&self, change: &Change) -> Result<bool, CommitError> {
        self.clock.advance_to(self.clock.now() + self.write);
        if self.apart {
            let bare = Change { message: None, ..change.clone() };
            return self.memory.commit(&bare).await.map(|_| false);
        }
        self.memory.commit(change).await
    }

    async fn children(&self, key: &RunKey, attempt: u32) -> Result<Vec<Run>, StoreError> {
        self.memory.children(key, attempt).await
    }

    async fn due(&self, now: Timestamp, limit: usize) -> Result<Vec<Run>, StoreError> {
        RunStore::due(&self.memory, now, limit).await
    }

    async fn due_page(
        &self,
        part: usize,
        now: Timestamp,
        after: Option<&DuePlace>,
        limit: usize,
    ) -> Result<DuePage, StoreError> {
        let takes = {
            let mut pages = self.pages.lock().expect("no test panics within");
            pages.count += 1;
            pages.takes
        };
        self.clock.advance_to(self.clock.now() + takes);
        self.memory.due_page(part, now, after, limit).await
    }

    async fn page(&self, query: &RunQuery) -> Result<RunPage, StoreError> {
        self.memory.page(query).await
    }

    async fn in_line(&self, job_id: &JobId, limit: usize) -> Result<Vec<Run>, StoreError> {
        self.memory.in_line(job_id, limit).await
    }
}

/// The queues in memory, which may be out of order, and may list the runs that have a message on them.
struct Troubled {
    memory: Memory,
    told: Arc<Mutex<Option<Vec<RunKey>>>>,
    trouble: Arc<Mutex<Option<StoreErrorKind>>>,
}

#[async_trait]
impl Queue for Troubled {
    async fn send(&self, messages: Vec<Outgoing>) -> Vec<Result<(), StoreError>> {
        let trouble = *self.trouble.lock().expect("no test panics within");
        match trouble {
            Some(kind) => messages.iter().map(|_| Err(StoreError::of(kind, "not these contents"))).collect(),
            None => self.memory.send(messages).await,
        }
    }

    async fn depth(&self, worker: &WorkerName) -> Result<Depth, StoreError> {
        self.memory.depth(worker).await
    }

    async fn runs_on_it(&self, _: &WorkerName, _: usize) -> Result<Option<Vec<RunKey>>, StoreError> {
        Ok(self.told.lock().expect("no test panics within").clone())
    }
}

/// lava's table of events, which is empty.
struct Silent;

#[async_trait]
impl LavaEvents for Silent {
    async fn event(&self, _: &JobId, _: RunId) -> Result<Option<Doc>, StoreError> {
        Ok(None)
    }

    async fn put_event(&self, _: &LavaEvent) -> Result<(), StoreError> {
        Err(StoreError::missing("there is no table"))
    }
}

struct Realm {
    memory: Memory,
    told: Arc<Mutex<Option<Vec<RunKey>>>>,
    clock: ManualClock,
    engine: Engine,
    trouble: Arc<Mutex<Option<StoreErrorKind>>>,
    pages: Arc<Mutex<Pages>>,
}

fn job(id: &str) -> JobSpec {
    job_of(id, "core")
}

fn job_of(id: &str, worker: &str) -> JobSpec {
    let job = json!({ "job_id": id, "type": "log", "worker": worker, "enabled": true, "payload": null });
    JobSpec::parse(&job).expect("a job")
}

fn core() -> WorkerName {
    WorkerName::new("core").expect("a name")
}

impl Realm {
    /// One whose writes of records take so long each.
    fn new(write: TimeDelta) -> Self {
        Self::with(write, false)
    }

    /// One whose queue may be another service's.
    fn with(write: TimeDelta, apart: bool) -> Self {
        let clock = ManualClock::at(DateTime::UNIX_EPOCH + TimeDelta::days(20_000));
        let document = json!({ "realm": "test", "config": { "FOREIGN_WORKERS": "lavas" } });
        let (realm, _) = RealmSpec::parse(&document).expect("a realm").with_lava_table();
        let (settings, trouble) = (realm.settings.clone(), Arc::<Mutex<_>>::default());
        let told = Arc::<Mutex<_>>::default();
        let pages = Arc::<Mutex<Pages>>::default();
        let memory = Memory::new(realm, Arc::new(clock.clone()));
        let registry = Arc::new(pumice_job_types::registry().expect("a registry"));
        let runners = pumice_job_runners::add(Runners::builder()).build(registry).expect("runners");
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
                runs: Arc::new(Slow {
                    pages: pages.clone(),
                    memory: memory.clone(),
                    clock: clock.clone(),
                    write,
                    apart,
                }),
                schedules: store.clone(),
                state: store.clone(),
                connections: Arc::new(pumice_core::connection::NoConnections),
                secrets: Arc::new(pumice_core::connection::NoSecrets),
                queue: Arc::new(Troubled {
                    memory: memory.clone(),
                    told: told.clone(),
                    trouble: trouble.clone(),
                }),
                wake_ups: None,
                hosts: None,
                lava_events: Some(Arc::new(Silent)),
                objects: store,
                servers: pumice_core::ports::Servers::default(),
                http: Arc::new(pumice_core::ports::NoHttp),
                messaging: Arc::new(pumice_core::ports::WITHOUT_AWS),
                clock: Arc::new(clock.clone()),
                random: Arc::new(SeededRandom::new(1)),
                pool: Arc::new(AtOnce),
                workspaces: Arc::new(DiskWorkspaces),
            },
        });
        let engine = Engine::new(site, Arc::new(runners), core(), Limits::default());
        Self { memory, told, clock, engine, trouble, pages }
    }

    /// Dispatches a job so many times, for a time after now.
    async fn dispatch(&self, count: usize, after: TimeDelta) -> Vec<RunKey> {
        let request = || DispatchRequest {
            when: When::At(self.clock.now() + after),
            ..DispatchRequest::new(JobId::new("a").expect("an id"))
        };
        let taken = self.engine.dispatcher().dispatch((0..count).map(|_| request()).collect(), None).await;
        taken.into_iter().map(|taken| RunKey::root(taken.expect("it is taken").run_id)).collect()
    }

    async fn sweep(&self, lasts: TimeDelta) -> Swept {
        let housekeeper = Housekeeper::with(self.engine.dispatcher().clone());
        housekeeper.sweep_until(self.clock.now() + lasts).await.expect("the store answers")
    }

    async fn run(&self, key: &RunKey) -> Run {
        self.memory.load(key).await.expect("it answers").expect("it is there")
    }

    async fn queued(&self) -> u64 {
        let depth = self.memory.depth(&core()).await.expect("it answers");
        depth.ready + depth.delayed
    }

    fn pass(&self, time: TimeDelta) {
        self.clock.advance_to(self.clock.now() + time);
    }
}

#[tokio::test]
async fn sweep_goes_on_until_nothing_is_due() {
    let realm = Realm::new(TimeDelta::zero());
    realm.memory.put_job(job("a"));
    realm.dispatch(3_500, TimeDelta::hours(1)).await;
    assert_eq!(realm.queued().await, 0, "a queue holds messages for 15 minutes");
    realm.pass(TimeDelta::minutes(50));
    let swept = realm.sweep(TimeDelta::minutes(1)).await;
    assert_eq!(swept, Swept { looked_at: 3_500, ..Swept::default() });
    assert_eq!(realm.queued().await, 3_500);
    assert_eq!(realm.sweep(TimeDelta::minutes(1)).await, Swept::default());
}

#[tokio::test]
async fn sweep_that_has_no_time_left_says_so_and_the_next_goes_on() {
    let realm = Realm::new(TimeDelta::milliseconds(100));
    realm.memory.put_job(job("a"));
    realm.dispatch(200, TimeDelta::hours(1)).await;
    realm.pass(TimeDelta::minutes(50));
    let first = realm.sweep(TimeDelta::seconds(10)).await;
    assert!(first.is_cut_off && (100..200).contains(&first.looked_at), "{first:?}");
    let second = realm.sweep(TimeDelta::minutes(1)).await;
    assert_eq!((first.looked_at + second.looked_at, second.is_cut_off), (200, false));
}

#[tokio::test]
async fn timed_run_is_sent_before_those_that_wait() {
    let realm = Realm::new(TimeDelta::milliseconds(100));
    realm.memory.put_job(job("a"));
    let timed = realm.dispatch(1, TimeDelta::minutes(17)).await.remove(0);
    realm.dispatch(2_000, TimeDelta::zero()).await;
    // Due are the 2,000, since a minute from their start, and the timed one, for seconds only.
    realm.pass(TimeDelta::seconds(125));
    let swept = realm.sweep(TimeDelta::seconds(5)).await;
    assert!(swept.is_cut_off && swept.looked_at < 100, "{swept:?}");
    let run = realm.run(&timed).await;
    assert!(run.due_at > Some(run.not_before), "it waits in its queue: {run:?}");
}

#[tokio::test]
async fn sweep_without_time_reads_no_page() {
    let realm = Realm::new(TimeDelta::zero());
    realm.memory.put_job(job("a"));
    realm.dispatch(200, TimeDelta::zero()).await;
    realm.pass(TimeDelta::seconds(61));
    for lasts in [TimeDelta::seconds(-5), TimeDelta::zero()] {
        let swept = realm.sweep(lasts).await;
        assert_eq!(swept, Swept { is_cut_off: true, ..Swept::default() });
    }
    assert_eq!(realm.pages.lock().unwrap().count, 0);
}

/// More runs than are kept in memory, of which reading alone takes longer than a sweep has.
#[tokio::test]
async fn long_backlog_is_left_alone_in_the_time_of_sweeps() {
    for takes in [0, 2] {
        let realm = Realm::new(TimeDelta::zero());
        realm.memory.put_job(job("a"));
        realm.dispatch(10_000, TimeDelta::zero()).await;
        let timed = realm.dispatch(1, TimeDelta::minutes(17)).await.remove(0);
        realm.pass(TimeDelta::seconds(125));
        realm.pages.lock().unwrap().takes = TimeDelta::seconds(takes);
        let (mut looked_at, mut sweeps) = (0, 0);
        loop {
            let began = realm.clock.now();
            let swept = realm.sweep(TimeDelta::seconds(10)).await;
            assert!(realm.clock.now() - began <= TimeDelta::seconds(10 + takes), "it ends in time");
            assert!(swept.looked_at > 0, "each sweep comes further");
            (looked_at, sweeps) = (looked_at + swept.looked_at, sweeps + 1);
            if !swept.is_cut_off {
                break;
            }
        }
        assert_eq!((looked_at, realm.queued().await), (10_001, 10_001), "each once, and no second message");
        assert!(sweeps == 1 || takes > 0, "{sweeps}");
        let run = realm.run(&timed).await;
        assert!(run.due_at > Some(run.not_before), "it waits in its queue: {run:?}");
    }
}

#[tokio::test]
async fn runs_in_a_backlog_get_no_second_message_and_are_left_alone() {
    let realm = Realm::new(TimeDelta::zero());
    realm.memory.put_job(job("a"));
    let keys = realm.dispatch(1_200, TimeDelta::zero()).await;
    realm.pass(TimeDelta::seconds(61));
    assert_eq!(realm.sweep(TimeDelta::minutes(1)).await.looked_at, 1_200);
    assert_eq!(realm.queued().await, 1_200);
    for _ in 0..13 {
        realm.pass(TimeDelta::minutes(1));
        assert_eq!(realm.sweep(TimeDelta::minutes(1)).await.looked_at, 0);
    }
    // A few that wait behind none get another: theirs may be lost.
    let few = Realm::new(TimeDelta::zero());
    few.memory.put_job(job("a"));
    few.dispatch(99, TimeDelta::zero()).await;
    few.pass(TimeDelta::seconds(61));
    few.sweep(TimeDelta::minutes(1)).await;
    assert_eq!(few.queued().await, 2 * 99);
    assert_eq!(realm.run(&keys[0]).await.status, Status::Dispatched);
}

/// Its queue did not take its message, and has others ever since.
#[tokio::test]
async fn unsent_run_is_sent_by_the_next_sweep_whatever_waits() {
    let realm = Realm::with(TimeDelta::zero(), true);
    realm.memory.put_job(job("a"));
    realm.dispatch(150, TimeDelta::zero()).await;
    let trouble = |kind| *realm.trouble.lock().expect("no test panics within") = kind;
    trouble(Some(StoreErrorKind::Throttled));
    let unsent = [TimeDelta::zero(), TimeDelta::minutes(5)].map(|after| realm.dispatch(1, after));
    let [now, later] = futures_util::future::join_all(unsent).await.try_into().expect("two");
    // The sweep cannot send it either.
    realm.pass(TimeDelta::seconds(61));
    realm.sweep(TimeDelta::minutes(1)).await;
    assert_eq!(realm.queued().await, 150);
    trouble(None);
    realm.pass(TimeDelta::seconds(60));
    realm.sweep(TimeDelta::minutes(1)).await;
    assert_eq!(realm.queued().await, 152);
    for key in [&now[0], &later[0]] {
        assert!(realm.run(key).await.waits_in_queue(), "{key}");
    }
    realm.pass(TimeDelta::seconds(120));
    realm.sweep(TimeDelta::minutes(1)).await;
    assert_eq!(realm.queued().await, 152, "once");
}

#[tokio::test]
async fn message_that_may_be_lost_in_a_lasting_backlog_is_sent_again_more_and_more_rarely() {
    let realm = Realm::new(TimeDelta::zero());
    realm.memory.put_job(job("a"));
    realm.dispatch(150, TimeDelta::zero()).await;
    let mut queued = Vec::new();
    for _ in 0..9 {
        for _ in 0..60 {
            realm.pass(TimeDelta::minutes(1));
            realm.sweep(TimeDelta::minutes(1)).await;
        }
        queued.push(realm.queued().await / 150);
    }
    assert_eq!(queued.first(), Some(&1), "{queued:?}");
    // After one, two, four and eight hours, each within a quarter of an hour.
    assert_eq!(queued[2], 3, "{queued:?}");
    assert_eq!(queued.last(), Some(&5), "{queued:?}");
}

/// A message that the queue of a lava worker refuses for its contents would be sent for ever.
#[tokio::test]
async fn run_whose_message_is_refused_ends_with_the_reason() {
    for at_dispatch in [true, false] {
        let realm = Realm::with(TimeDelta::zero(), true);
        realm.memory.put_job(job_of("a", "lavas"));
        let trouble = |kind| *realm.trouble.lock().expect("no test panics within") = Some(kind);
        trouble(if at_dispatch { StoreErrorKind::Invalid } else { StoreErrorKind::Unreachable });
        let key = realm.dispatch(1, TimeDelta::zero()).await.remove(0);
        if !at_dispatch {
            assert!(!realm.run(&key).await.status.is_end(), "it is tried again");
            trouble(StoreErrorKind::Invalid);
            realm.pass(TimeDelta::minutes(5));
            realm.sweep(TimeDelta::minutes(1)).await;
        }
        let run = realm.run(&key).await;
        let reason = "its message cannot be sent to worker lavas: not these contents";
        assert_eq!((run.status, run.reason.as_deref()), (Status::Failed, Some(reason)), "{at_dispatch}");
        assert_eq!(run.due_at, None, "nothing more is sent");
    }
}

#[tokio::test]
async fn queue_listing_its_runs_is_sent_only_lost_messages_again() {
    let realm = Realm::new(TimeDelta::zero());
    realm.memory.put_job(job("a"));
    let keys = realm.dispatch(3, TimeDelta::zero()).await;
    *realm.told.lock().unwrap() = Some(keys[..2].to_vec());
    let mut looked_at = 0;
    // As often as the sweeper of a folder that nothing serves for its worker.
    for _ in 0..180 {
        realm.pass(TimeDelta::minutes(1));
        looked_at += realm.sweep(TimeDelta::minutes(1)).await.looked_at;
    }
    assert!(looked_at > 3 * 10, "each is looked at again and again: {looked_at}");
    // Three for the three at first; the rest are for the one whose message was lost.
    let of_lost = realm.queued().await - 3;
    assert!(of_lost >= 10, "{of_lost}");
    *realm.told.lock().unwrap() = Some(keys.clone());
    for _ in 0..60 {
        realm.pass(TimeDelta::minutes(1));
        realm.sweep(TimeDelta::minutes(1)).await;
    }
    assert_eq!(realm.queued().await, 3 + of_lost);
    // Every message is gone: each run gets one anew within the longest lull.
    *realm.told.lock().unwrap() = Some(Vec::new());
    for _ in 0..16 {
        realm.pass(TimeDelta::minutes(1));
        realm.sweep(TimeDelta::minutes(1)).await;
    }
    assert!(realm.queued().await >= 3 + of_lost + 3, "{}", realm.queued().await);
}

fn message(job_id: &str) -> String {
    json!({
        "realm": "test", "worker": "core", "job_id": job_id, "run_id": "0190a8f2-7c1e-7b50-9d6f-2f1d6a1f3c55",
        "ts_dispatch": "2024-10-04T00:00:00+00:00", "parameters": {}, "globals": { "x": 1 },
    })
    .to_string()
}

#[tokio::test]
async fn message_put_back_is_run_once_its_job_is_there() {
    let missing = |_: &Realm| "no such job late".to_owned();
    let invalid = |realm: &Realm| {
        let mut bad = job("late");
        let document =
            json!({ "job_id": "late", "type": "cmd", "worker": "core", "enabled": true, "payload": 7 });
        let Value::Object(document) = document else { panic!("an object") };
        bad.document = Arc::new(document);
        bad.fields.r#type = "cmd".to_owned();
        bad.fields.payload = json!(7);
        realm.memory.put_job(bad);
        "job late has an invalid spec".to_owned()
    };
    let ways: [fn(&Realm) -> String; 2] = [missing, invalid];
    for way in ways {
        let realm = Realm::new(TimeDelta::zero());
        let wanted = way(&realm);
        let key: RunKey = "0190a8f2-7c1e-7b50-9d6f-2f1d6a1f3c55".parse().expect("a key");
        for _ in 0..2 {
            let handled = realm.engine.handle(&message("late"), 1, None).await;
            assert!(matches!(&handled, Handled::Bury(why) if why.starts_with(&wanted)), "{handled:?}");
            assert_eq!(realm.run(&key).await.status, Status::Rejected);
        }
        let mut elsewhere = job("late");
        elsewhere.fields.worker = WorkerName::new("other").expect("a name");
        realm.memory.put_job(elsewhere);
        let handled = realm.engine.handle(&message("late"), 1, None).await;
        let why = "sent to worker core, but its job is for other";
        assert_eq!(handled, Handled::Bury(why.to_owned()), "it can be put back once more");
        realm.memory.put_job(job("late"));
        assert_eq!(realm.engine.handle(&message("late"), 1, None).await, Handled::Delete);
        let run = realm.run(&key).await;
        assert_eq!((run.status, run.job_type.as_str(), run.reason), (Status::Complete, "log", None));
        let statuses: Vec<Status> = run.log.entries.iter().map(|entry| entry.status).collect();
        assert!(statuses.contains(&Status::Rejected), "the earlier statuses are reported: {statuses:?}");
        // A third delivery finds a run that has ended.
        assert_eq!(realm.engine.handle(&message("late"), 2, None).await, Handled::Delete);
        assert_eq!(realm.run(&key).await.epoch, run.epoch);
    }
}
