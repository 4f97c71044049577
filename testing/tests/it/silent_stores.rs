//! Stores that do not answer: unfinished work is reported, or done later, and never taken for done.

use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use chrono::{DateTime, TimeDelta, Utc};
use pumice_core::Timestamp;
use pumice_core::clock::backfill::{BackfillRequest, Only};
use pumice_core::clock::{Backfill, JobSchedule};
use pumice_core::engine::{BackfillError, Engine, Handled, Housekeeper, Limits};
use pumice_core::ids::{JobId, RealmName, RunId, RunKey, WorkerName};
use pumice_core::job_type::{Runners, Site};
use pumice_core::message::Message;
use pumice_core::ports::{
    AtOnce, Change, Clock, CommitError, Created, JobStore, Outgoing, Ports, RunPage, RunQuery, RunStore,
    ScheduleStore, StoreError,
};
use pumice_core::request::DispatchRequest;
use pumice_core::run::{NewRun, Run, Status};
use pumice_core::spec::{JobSpec, RealmSpec, RunSpec, Settings};
use pumice_host::DiskWorkspaces;
use pumice_testing::memory::{ManualClock, Memory, SeededRandom};
use serde_json::{Value, json};

/// The calls that a store does not answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Silent {
    Nothing,
    /// A record that is to be looked at.
    Peeks,
    /// A write of a record that cancels its run.
    Cancelling,
    /// New records, as a store in memory or on disk says it: none is known to be made.
    Creating,
    /// New records, as a store says it that makes each by itself.
    CreatingEach,
    /// New records: it refuses them for good.
    Refusing,
}

/// A store of records that does not answer everything.
struct Records {
    store: Memory,
    silent: Arc<Mutex<Silent>>,
}

impl Records {
    fn is(&self, silent: Silent) -> bool {
        *self.silent.lock().expect("no test panics with it") == silent
    }

    fn answer<T>(&self, value: T, silent: Silent) -> Result<T, StoreError> {
        if self.is(silent) { Err(StoreError::unreachable("no answer")) } else { Ok(value) }
    }
}

#[async_trait]
impl RunStore for Records {
    async fn create(&self, runs: &[(NewRun, Option<Outgoing>)]) -> Result<Vec<Created>, StoreError> {
        if runs.iter().any(|(new, _)| new.run.is_child()) {
            // The watch over its parent looks meanwhile.
            tokio::task::yield_now().await;
        }
        self.answer((), Silent::Creating)?;
        let failed = || Created { failed: Some(StoreError::unreachable("no answer")), ..Created::default() };
        let refused = || Created { refused: Some("too large".to_owned()), ..Created::default() };
        if self.is(Silent::CreatingEach) {
            return Ok(runs.iter().map(|_| failed()).collect());
        }
        if self.is(Silent::Refusing) {
            return Ok(runs.iter().map(|_| refused()).collect());
        }
        self.store.create(runs).await
    }

    async fn load(&self, key: &RunKey) -> Result<Option<Run>, StoreError> {
        RunStore::load(&self.store, key).await
    }

    async fn peek(&self, key: &RunKey) -> Result<Option<Run>, StoreError> {
        self.answer((), Silent::Peeks)?;
        self.store.peek(key).await
    }

    async fn load_with_spec(&self, key: &RunKey) -> Result<Option<(Run, RunSpec)>, StoreError> {
        self.store.load_with_spec(key).await
    }

    async fn commit(&self, change: &Change) -> Result<bool, CommitError> {
        if change.run.cancel || change.run.status == Status::Cancelled {
            self.answer((), Silent::Cancelling)?;
        }
        self.store.commit(change).await
    }

    async fn children(&self, key: &RunKey, attempt: u32) -> Result<Vec<Run>, StoreError> {
        self.store.children(key, attempt).await
    }

    async fn due(&self, now: Timestamp, limit: usize) -> Result<Vec<Run>, StoreError> {
        RunStore::due(&self.store, now, limit).await
    }

    async fn page(&self, query: &RunQuery) -> Result<RunPage, StoreError> {
        self.store.page(query).await
    }

    async fn in_line(&self, job_id: &JobId, limit: usize) -> Result<Vec<Run>, StoreError> {
        self.store.in_line(job_id, limit).await
    }
}

/// A realm in memory whose clock is set by hand.
struct Realm {
    memory: Memory,
    clock: ManualClock,
    silent: Arc<Mutex<Silent>>,
    site: Arc<Site>,
}

fn instant(text: &str) -> Timestamp {
    text.parse::<DateTime<Utc>>().expect("a time")
}

fn job_id(id: &str) -> JobId {
    JobId::new(id).expect("an id")
}

impl Realm {
    fn at(now: &str) -> Self {
        let clock = ManualClock::at(instant(now));
        let realm = RealmSpec::parse(&json!({ "realm": "r" })).expect("a realm");
        let memory = Memory::new(realm, Arc::new(clock.clone()));
        let silent = Arc::new(Mutex::new(Silent::Nothing));
        let store = Arc::new(memory.clone());
        let ports = Ports {
            jobs: store.clone(),
            runs: Arc::new(Records { store: memory.clone(), silent: silent.clone() }),
            schedules: store.clone(),
            state: store.clone(),
            queue: store.clone(),
            wake_ups: None,
            hosts: None,
            lava_events: None,
            objects: store,
            connections: Arc::new(pumice_core::connection::NoConnections),
            secrets: Arc::new(pumice_core::connection::NoSecrets),
            http: Arc::new(pumice_core::ports::NoHttp),
            messaging: Arc::new(pumice_core::ports::WITHOUT_AWS),
            servers: pumice_core::ports::Servers::default(),
            clock: Arc::new(clock.clone()),
            random: Arc::new(SeededRandom::new(1)),
            pool: Arc::new(AtOnce),
            workspaces: Arc::new(DiskWorkspaces),
        };
        let site = Site {
            realm: RealmName::new("r").expect("a name"),
            settings: Settings::default(),
            zone: pumice_template::Zone::Utc,
            hostname: "box".to_owned(),
            alone: false,
            scratch: std::env::temp_dir(),
            shared: None,
            environment: Vec::new(),
            credentials: Vec::new(),
            ports,
        };
        Self { memory, clock, silent, site: Arc::new(site) }
    }

    fn set(&self, silent: Silent) {
        *self.silent.lock().expect("no test panics with it") = silent;
    }

    fn housekeeper(&self) -> Housekeeper {
        Housekeeper::new(self.site.clone(), Arc::new(pumice_job_types::registry().expect("job types")))
    }

    fn engine(&self) -> Engine {
        let registry = Arc::new(pumice_job_types::registry().expect("job types"));
        let runners = pumice_job_runners::add(Runners::builder()).build(registry).expect("runners");
        let worker = WorkerName::new("core").expect("a name");
        Engine::new(self.site.clone(), Arc::new(runners), worker, Limits::default())
    }

    fn put(&self, job: &Value) {
        self.memory.put_job(JobSpec::parse(job).expect("a job"));
    }

    /// Puts a job with a schedule and has the clock look at it.
    async fn put_scheduled(&self, enabled: bool, schedule: &Value) {
        self.put(&json!({
            "job_id": "timed", "type": "log", "worker": "core", "enabled": enabled, "payload": null,
            "schedule": schedule,
        }));
        self.housekeeper().touch(&[job_id("timed")], self.clock.now()).await.expect("it answers");
    }

    async fn runs(&self) -> Vec<Run> {
        let query = RunQuery { limit: 10, children: true, ..RunQuery::default() };
        RunStore::list(&self.memory, &query).await.expect("it answers")
    }

    async fn plan(&self) -> JobSchedule {
        let realm = self.memory.realm().await.expect("it answers");
        let job = self.memory.jobs(&[job_id("timed")]).await.expect("it answers").remove(0);
        JobSchedule::of(&job.expect("it is there").expect("it holds"), &realm, &self.site.settings)
    }

    /// A backfill of the last three hours.
    async fn backfill(&self, only: Only) -> Backfill {
        let ids = [job_id("timed")];
        let timetable = ScheduleStore::load(&self.memory, &ids).await.expect("it answers").remove(0);
        let now = self.clock.now();
        let asked = BackfillRequest {
            entry: None,
            from: now - TimeDelta::hours(3),
            to: now,
            only,
            max_active: 10,
            reverse: false,
            key: None,
            by: "ann".to_owned(),
            why: String::new(),
        };
        let timetable = timetable.expect("it was looked at");
        Backfill::begin(job_id("timed"), &self.plan().await, &timetable, asked, now).expect("it begins")
    }
}

const AHEAD: TimeDelta = TimeDelta::seconds(90);

#[tokio::test]
async fn withdrawal_unanswered_is_made_by_the_next_look() {
    let (nine, ten) = (json!({ "crontab": "0 9 * * *" }), json!({ "crontab": "0 10 * * *" }));
    for silent in [Silent::Peeks, Silent::Cancelling] {
        for (enabled, schedule) in [(false, &nine), (true, &ten), (true, &json!([]))] {
            let realm = Realm::at("2026-03-01T08:30:00Z");
            realm.put_scheduled(true, &nine).await;
            realm.housekeeper().strike(AHEAD).await.expect("it answers");
            realm.clock.advance_to(instant("2026-03-01T08:59:00Z"));
            assert_eq!(realm.housekeeper().strike(AHEAD).await.expect("it answers").started, 1);
            realm.put_scheduled(enabled, schedule).await;
            realm.set(silent);
            let struck = realm.housekeeper().strike(AHEAD).await.expect("the rest is due");
            // The record names the run as one to be cancelled, and keeps it until it is.
            assert_eq!((struck.moved, realm.runs().await[0].status), (1, Status::Dispatched));
            realm.set(Silent::Nothing);
            realm.housekeeper().strike(AHEAD).await.expect("it answers");
            assert!(realm.clock.now() < instant("2026-03-01T09:00:00Z"));
            let runs = realm.runs().await;
            assert_eq!(
                (runs.len(), runs[0].status),
                (1, Status::Cancelled),
                "{silent:?} {enabled} {schedule}"
            );
        }
    }
}

#[tokio::test]
async fn start_with_the_service_unanswered_is_made_once() {
    for silent in [Silent::Creating, Silent::CreatingEach] {
        let realm = Realm::at("2026-03-01T08:30:00Z");
        realm.put_scheduled(true, &json!({ "crontab": "@reboot" })).await;
        realm.housekeeper().strike(AHEAD).await.expect("it answers");
        let began = realm.clock.now();
        realm.set(silent);
        realm.housekeeper().strike_at_start(began).await.expect_err("it does not answer");
        realm.set(Silent::Nothing);
        realm.clock.advance_to(began + TimeDelta::minutes(3));
        let started = [
            realm.housekeeper().strike_at_start(began).await,
            realm.housekeeper().strike_at_start(began).await,
        ];
        assert_eq!(started.map(|count| count.expect("it answers")), [1, 0], "{silent:?}");
        assert_eq!(realm.runs().await.len(), 1);
    }
}

#[tokio::test]
async fn stale_backfill_is_foreseen_with_its_reason() {
    let realm = Realm::at("2026-03-01T08:30:00Z");
    realm.put_scheduled(true, &json!({ "crontab": "0 * * * *" })).await;
    realm.housekeeper().strike(AHEAD).await.expect("it answers");
    let (backfill, before) = (realm.backfill(Only::All).await, realm.plan().await);
    let housekeeper = realm.housekeeper();
    assert_eq!(housekeeper.foresee_backfill(&backfill, &before).await.expect("it is the same").len(), 3);
    realm.put_scheduled(true, &json!({ "crontab": "5 * * * *" })).await;
    let foreseen = housekeeper.foresee_backfill(&backfill, &realm.plan().await).await;
    assert!(matches!(foreseen, Err(BackfillError::Stale(_))), "{foreseen:?}");
}

#[tokio::test]
async fn backfills_runs_not_asked_to_stop_are_an_error() {
    let realm = Realm::at("2026-03-01T08:30:00Z");
    realm.put_scheduled(true, &json!({ "crontab": "0 * * * *" })).await;
    realm.housekeeper().strike(AHEAD).await.expect("it answers");
    let begun = realm.housekeeper().begin_backfill(realm.backfill(Only::All).await).await.expect("it begins");
    realm.set(Silent::Cancelling);
    realm.housekeeper().cancel_runs_of(&begun.backfill).await.expect_err("it does not answer");
    realm.set(Silent::Nothing);
    let asked = [
        realm.housekeeper().cancel_runs_of(&begun.backfill).await,
        realm.housekeeper().cancel_runs_of(&begun.backfill).await,
    ];
    assert_eq!(asked.map(|asked| asked.expect("it answers")), [3, 0]);
}

#[tokio::test]
async fn message_is_not_buried_before_its_record_is_made() {
    let invalid = json!({ "job_id": "bad", "type": "no such type", "worker": "core", "enabled": true, "payload": null });
    for (id, is_put) in [("missing", false), ("bad", true)] {
        for (silent, goes_back) in
            [(Silent::Creating, true), (Silent::CreatingEach, true), (Silent::Refusing, false)]
        {
            let realm = Realm::at("2026-03-01T08:30:00Z");
            if is_put {
                realm.put(&invalid);
            }
            let message = Message {
                realm: RealmName::new("r").expect("a name"),
                worker: WorkerName::new("core").expect("a name"),
                job_id: job_id(id),
                run_id: RunId(uuid::Uuid::from_u128(7)),
                ts_dispatch: "2026-03-01T08:29:00Z".to_owned(),
                parameters: None,
                globals: None,
                run_key: None,
            };
            let (engine, body) = (realm.engine(), message.body());
            realm.set(silent);
            let handled = engine.handle(&body, 1, None).await;
            assert_eq!(matches!(handled, Handled::Again(_)), goes_back, "{id} {silent:?}: {handled:?}");
            assert!(realm.runs().await.is_empty());
            realm.set(Silent::Nothing);
            assert!(matches!(engine.handle(&body, 2, None).await, Handled::Bury(_)));
            let statuses: Vec<Status> = realm.runs().await.iter().map(|run| run.status).collect();
            assert_eq!(statuses, [Status::Rejected], "{id} {silent:?}");
        }
    }
}

#[tokio::test]
async fn step_made_while_its_parent_stops_does_not_run() {
    let realm = Realm::at("2026-03-01T08:30:00Z");
    let step = json!({ "job_id": "step", "type": "log", "worker": "core", "enabled": true, "payload": null });
    realm.put(&step);
    realm.put(&json!({
        "job_id": "whole", "type": "chain", "worker": "core", "enabled": true, "payload": ["step"], "timeout": "10s",
    }));
    let engine = realm.engine();
    let asked =
        engine.dispatcher().dispatch(vec![DispatchRequest::new(job_id("whole"))], None).await.remove(0);
    let key = RunKey::root(asked.expect("it is taken").run_id);
    let record =
        || async { RunStore::load(&realm.memory, &key).await.expect("it answers").expect("it is there") };
    let body = Message::about(&realm.site.realm, &record().await).body();
    realm.set(Silent::Cancelling);
    let handled = engine.handle(&body, 1, None).await;
    assert!(matches!(handled, Handled::Again(_)), "{handled:?}");
    let child = realm.runs().await.into_iter().find(Run::is_child).expect("it was made");
    assert!(!child.status.is_end() && child.lease.is_none() && child.crashes == 0, "{child:?}");
    realm.set(Silent::Nothing);
    realm.clock.advance_to(record().await.not_before);
    // The parent asks it again, and waits for its end.
    let of_child = Message::about(&realm.site.realm, &child).body();
    for body in [&body, &of_child, &body] {
        engine.handle(body, 2, None).await;
    }
    let statuses: Vec<(bool, Status)> =
        realm.runs().await.iter().map(|run| (run.is_child(), run.status)).collect();
    assert!(
        statuses.contains(&(false, Status::Failed)) && statuses.contains(&(true, Status::Cancelled)),
        "{statuses:?}"
    );
}
