//! Sweeps by an index of what is due that lags, and by one that shows only a part of each job: tried on stores in memory.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use chrono::TimeDelta;
use pumice_core::Timestamp;
use pumice_core::clock::{Backfill, State, Timetable};
use pumice_core::engine::Housekeeper;
use pumice_core::ids::JobId;
use pumice_core::job_type::Site;
use pumice_core::ports::{
    AtOnce, BackfillStore, Clock, CommitError, DuePlace, DueTimetables, JobStore, Ports, ScheduleStore,
    StoreError,
};
use pumice_core::spec::{JobSpec, RealmSpec, Settings};
use pumice_host::DiskWorkspaces;
use pumice_testing::memory::{ManualClock, Memory, SeededRandom};
use serde_json::{Value, json};

const AHEAD: TimeDelta = TimeDelta::seconds(90);

fn instant(text: &str) -> Timestamp {
    text.parse().expect("a time")
}

fn job_id(id: &str) -> JobId {
    JobId::new(id).expect("an id")
}

/// A store whose index shows timetables as due that it showed at one time, once that is set.
#[derive(Clone)]
struct Lagging {
    store: Memory,
    index: Arc<Mutex<Option<BTreeMap<JobId, Timestamp>>>>,
}

impl Lagging {
    async fn as_it_is(&self) -> BTreeMap<JobId, Timestamp> {
        let all = self.store.all().await.expect("it answers").into_iter();
        all.filter_map(|one| Some((one.job_id, one.due_at?))).collect()
    }

    /// From now on the index shows nothing that is written.
    async fn freeze(&self) {
        let shown = self.as_it_is().await;
        *self.index.lock().expect("it is free") = Some(shown);
    }
}

#[async_trait]
impl BackfillStore for Lagging {
    async fn load_backfill(&self, id: &str) -> Result<Option<Backfill>, StoreError> {
        self.store.load_backfill(id).await
    }

    async fn all_backfills(&self) -> Result<Vec<Backfill>, StoreError> {
        self.store.all_backfills().await
    }

    async fn due_backfills(&self, until: Timestamp, limit: usize) -> Result<Vec<Backfill>, StoreError> {
        self.store.due_backfills(until, limit).await
    }

    async fn create_backfill(&self, backfill: &Backfill) -> Result<(), CommitError> {
        self.store.create_backfill(backfill).await
    }

    async fn put_backfill(&self, backfill: &Backfill) -> Result<(), CommitError> {
        self.store.put_backfill(backfill).await
    }
}

#[async_trait]
impl ScheduleStore for Lagging {
    async fn load(&self, job_ids: &[JobId]) -> Result<Vec<Option<Timetable>>, StoreError> {
        ScheduleStore::load(&self.store, job_ids).await
    }

    async fn due(
        &self,
        _: usize,
        until: Timestamp,
        after: Option<&DuePlace>,
        limit: usize,
    ) -> Result<DueTimetables, StoreError> {
        let frozen = self.index.lock().expect("it is free").clone();
        let shown = match frozen {
            Some(shown) => shown,
            None => self.as_it_is().await,
        };
        let places = shown.into_iter().map(|(job_id, at)| DuePlace { at, key: job_id.to_string() });
        let is_next = |place: &DuePlace| place.at <= until && after.is_none_or(|after| place > after);
        let mut places: Vec<DuePlace> = places.filter(is_next).collect();
        places.sort();
        let is_full = places.len() >= limit;
        places.truncate(limit);
        let ids: Vec<JobId> = places.iter().map(|place| job_id(&place.key)).collect();
        let found = ScheduleStore::load(&self.store, &ids).await?.into_iter().flatten();
        let found = found.filter(|one| one.due_at.is_some_and(|due| due <= until)).collect();
        Ok(DueTimetables { found, next: places.pop().filter(|_| is_full) })
    }

    async fn shown(&self, dispatchers: &[String]) -> Result<Option<Vec<(JobId, Value)>>, StoreError> {
        let ids = self.store.job_ids().await?.unwrap_or_default();
        let jobs = self.store.jobs(&ids).await?.into_iter().flatten().flatten();
        let is_one = |job: &Arc<JobSpec>| {
            job.fields.dispatcher.as_ref().is_some_and(|name| dispatchers.contains(name))
        };
        let schedule = |job: Arc<JobSpec>| (job.fields.job_id.clone(), job.document["schedule"].clone());
        Ok(Some(jobs.filter(is_one).map(schedule).collect()))
    }

    async fn next_due(&self) -> Result<Option<Timestamp>, StoreError> {
        self.store.next_due().await
    }

    async fn all(&self) -> Result<Vec<Timetable>, StoreError> {
        self.store.all().await
    }

    async fn put(&self, timetables: Vec<Timetable>) -> Result<Vec<Result<(), CommitError>>, StoreError> {
        ScheduleStore::put(&self.store, timetables).await
    }

    async fn hurry(&self, job_id: &JobId, at: Timestamp) -> Result<(), StoreError> {
        self.store.hurry(job_id, at).await
    }

    async fn touch(&self, job_ids: &[JobId], at: Timestamp) -> Result<(), StoreError> {
        self.store.touch(job_ids, at).await
    }
}

struct Realm {
    memory: Memory,
    schedules: Lagging,
    clock: ManualClock,
    housekeeper: Housekeeper,
}

impl Realm {
    fn new() -> Self {
        let clock = ManualClock::at(instant("2026-03-01T08:30:00Z"));
        let realm = json!({ "realm": "r", "config": { "DISPATCHERS": ["main"] } });
        let realm = RealmSpec::parse(&realm).expect("a realm");
        let store = Memory::new(realm, Arc::new(clock.clone()));
        let memory = Arc::new(store.clone());
        let schedules = Lagging { store: store.clone(), index: Arc::default() };
        let ports = Ports {
            jobs: memory.clone(),
            runs: memory.clone(),
            schedules: Arc::new(schedules.clone()),
            state: memory.clone(),
            connections: Arc::new(pumice_core::connection::NoConnections),
            secrets: Arc::new(pumice_core::connection::NoSecrets),
            queue: memory.clone(),
            wake_ups: None,
            hosts: None,
            lava_events: None,
            objects: memory,
            http: Arc::new(pumice_core::ports::NoHttp),
            messaging: Arc::new(pumice_core::ports::WITHOUT_AWS),
            servers: pumice_core::ports::Servers::default(),
            clock: Arc::new(clock.clone()),
            random: Arc::new(SeededRandom::new(1)),
            pool: Arc::new(AtOnce),
            workspaces: Arc::new(DiskWorkspaces),
        };
        let site = Site {
            realm: pumice_core::ids::RealmName::new("r").expect("a name"),
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
        let registry = Arc::new(pumice_job_types::registry().expect("job types"));
        Self { memory: store, schedules, clock, housekeeper: Housekeeper::new(Arc::new(site), registry) }
    }

    fn put(&self, id: &str, enabled: bool) {
        let job = json!({
            "job_id": id, "type": "log", "worker": "core", "enabled": enabled, "payload": null,
            "dispatcher": "main", "schedule": { "crontab": "0 9 * * *", "timezone": "UTC" },
        });
        self.memory.put_job(JobSpec::parse(&job).expect("a job"));
    }

    async fn touch(&self, ids: &[JobId]) {
        self.housekeeper.touch(ids, self.clock.now()).await.expect("it answers");
    }

    async fn strike(&self) -> usize {
        self.housekeeper.strike(AHEAD).await.expect("it strikes").started
    }

    async fn strike_jobs(&self, ids: &[JobId]) -> usize {
        self.housekeeper.strike_jobs(ids, AHEAD).await.expect("it strikes").started
    }
}

#[tokio::test]
async fn sweep_goes_on_past_pages_of_stale_rows() {
    let realm = Realm::new();
    let ids: Vec<JobId> = (0..1_200).map(|number| job_id(&format!("job-{number:04}"))).collect();
    ids.iter().for_each(|id| realm.put(id.as_str(), true));
    realm.touch(&ids).await;
    assert_eq!(realm.strike().await, 0, "nothing is due yet");
    realm.schedules.freeze().await;
    realm.clock.advance_to(instant("2026-03-01T09:00:00Z"));
    // The index goes on to show those of another sweeper, on its first page and on the second.
    assert_eq!(realm.strike_jobs(&ids[..700]).await, 700);
    assert_eq!(realm.strike().await, 500, "each of the rest");
    assert_eq!(realm.strike().await, 0);
}

#[tokio::test]
async fn touched_job_is_struck_that_the_index_does_not_show() {
    let realm = Realm::new();
    realm.schedules.freeze().await;
    realm.clock.advance_to(instant("2026-03-01T08:59:00Z"));
    realm.put("once", true);
    let ids = [job_id("once")];
    realm.touch(&ids).await;
    assert_eq!(realm.strike().await, 0, "the index has nothing");
    assert_eq!(realm.strike_jobs(&ids).await, 1);
    assert_eq!(realm.strike_jobs(&ids).await, 0);
}

#[tokio::test]
async fn job_enabled_past_the_index_is_noticed_once() {
    let realm = Realm::new();
    let ids = [job_id("idle")];
    realm.put("idle", false);
    let notice = async || realm.housekeeper.notice().await.expect("it answers");
    assert_eq!(notice().await, ids);
    assert_eq!(realm.strike_jobs(&ids).await, 0);
    let state = async || {
        let found = ScheduleStore::load(&realm.memory, &ids).await.expect("it answers").remove(0);
        found.expect("it is there").cursors[0].state.clone()
    };
    assert_eq!(state().await, State::Disabled);
    assert_eq!(notice().await, [], "nothing was changed");
    realm.clock.advance_to(instant("2026-03-01T08:59:00Z"));
    realm.put("idle", true);
    assert_eq!(notice().await, ids);
    assert_eq!(notice().await, [], "it waits for its look");
    assert_eq!(realm.strike_jobs(&ids).await, 1);
    assert_eq!(state().await, State::Active);
    assert_eq!(notice().await, []);
    // And again, with the very same document.
    realm.put("idle", false);
    realm.touch(&ids).await;
    assert_eq!(realm.strike_jobs(&ids).await, 0);
    assert_eq!(notice().await, []);
    realm.put("idle", true);
    assert_eq!(notice().await, ids);
}
