//! Reports of other schedulers' users about hosts and stores that misbehave, by their numbers: tried on stores in memory,
//! by a clock that is set by hand.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use async_trait::async_trait;
use chrono::{DateTime, TimeDelta, Utc};
use pumice_core::Timestamp;
use pumice_core::engine::Housekeeper;
use pumice_core::ids::JobId;
use pumice_core::job_type::Site;
use pumice_core::ports::{AtOnce, Clock, JobStore, Ports, RunQuery, RunStore, StoreError, StoredJob};
use pumice_core::run::Run;
use pumice_core::spec::{JobSpec, RealmSpec, Settings};
use pumice_host::DiskWorkspaces;
use pumice_testing::memory::{ManualClock, Memory, SeededRandom};
use serde_json::json;

fn instant(text: &str) -> Timestamp {
    text.parse::<DateTime<Utc>>().expect("a time")
}

/// A clock that differs from the store's.
struct Skewed {
    clock: ManualClock,
    store_ahead: TimeDelta,
}

#[async_trait]
impl Clock for Skewed {
    fn now(&self) -> Timestamp {
        self.clock.now()
    }

    async fn sleep_until(&self, until: Timestamp) {
        self.clock.sleep_until(until).await;
    }

    fn store_ahead(&self) -> Option<TimeDelta> {
        Some(self.store_ahead)
    }
}

/// A store that gives no answer while `hangs` is set.
struct Hanging {
    store: Memory,
    hangs: Arc<AtomicBool>,
}

#[async_trait]
impl JobStore for Hanging {
    async fn realm(&self) -> Result<Arc<RealmSpec>, StoreError> {
        self.store.realm().await
    }

    async fn jobs(&self, ids: &[JobId]) -> Result<Vec<Option<StoredJob>>, StoreError> {
        if self.hangs.load(Ordering::Relaxed) {
            std::future::pending::<()>().await;
        }
        self.store.jobs(ids).await
    }

    async fn job_ids(&self) -> Result<Option<Vec<JobId>>, StoreError> {
        self.store.job_ids().await
    }
}

/// A realm with a job that is due at nine, as its clock shows half past eight.
struct Realm {
    memory: Memory,
    clock: ManualClock,
    hangs: Arc<AtomicBool>,
}

impl Realm {
    async fn new() -> Self {
        let clock = ManualClock::at(instant("2026-03-01T08:30:00Z"));
        let realm = RealmSpec::parse(&json!({ "realm": "r" })).expect("a realm");
        let memory = Memory::new(realm, Arc::new(clock.clone()));
        let job = json!({
            "job_id": "once", "type": "log", "worker": "core", "enabled": true, "payload": null,
            "schedule": { "crontab": "0 9 * * *", "timezone": "UTC" },
        });
        memory.put_job(JobSpec::parse(&job).expect("a job"));
        let realm = Self { memory, clock, hangs: Arc::default() };
        let housekeeper = realm.housekeeper(TimeDelta::zero());
        housekeeper
            .touch(&[JobId::new("once").expect("an id")], realm.clock.now())
            .await
            .expect("it answers");
        housekeeper.strike(TimeDelta::zero()).await.expect("it answers");
        realm
    }

    /// A sweeper on a host whose clock is so far behind the store's.
    fn housekeeper(&self, store_ahead: TimeDelta) -> Housekeeper {
        let memory = Arc::new(self.memory.clone());
        let jobs = Arc::new(Hanging { store: self.memory.clone(), hangs: self.hangs.clone() });
        let ports = Ports {
            jobs,
            runs: memory.clone(),
            schedules: memory.clone(),
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
            clock: Arc::new(Skewed { clock: self.clock.clone(), store_ahead }),
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
        Housekeeper::new(Arc::new(site), Arc::new(pumice_job_types::registry().expect("job types")))
    }

    async fn runs(&self) -> Vec<Run> {
        RunStore::list(&self.memory, &RunQuery { limit: 10, ..RunQuery::default() })
            .await
            .expect("it answers")
    }
}

#[tokio::test]
async fn report_29_host_with_a_wrong_clock_says_so_and_starts_none() {
    let realm = Realm::new().await;
    // Nine o'clock by this host's clock is in the future.
    realm.clock.advance_to(instant("2026-03-01T09:00:00Z"));
    for (seconds, wanted) in [
        (-61, "the clock of host box is 61s ahead of the store's"),
        (-86_400, "86400s ahead of the store's"),
        (61, "61s behind the store's"),
    ] {
        let refused = realm.housekeeper(TimeDelta::seconds(seconds)).strike(TimeDelta::zero()).await;
        let error = refused.expect_err("it refuses").to_string();
        assert!(error.contains(wanted), "{error}");
        assert!(realm.runs().await.is_empty(), "{seconds}");
    }
    // Another sweeper, whose clock is right, makes the start.
    let struck = realm.housekeeper(TimeDelta::seconds(-60)).strike(TimeDelta::zero()).await;
    assert_eq!((struck.expect("it strikes").started, realm.runs().await.len()), (1, 1));
}

#[tokio::test]
async fn report_30_store_hanging_in_the_fire_waits_for_next_sweep() {
    let realm = Realm::new().await;
    let housekeeper = realm.housekeeper(TimeDelta::zero());
    realm.clock.advance_to(instant("2026-03-01T09:00:00Z"));
    realm.hangs.store(true, Ordering::Relaxed);
    let error = housekeeper.strike(TimeDelta::zero()).await.expect_err("it is given up").to_string();
    assert!(error.contains("given up after 60s without an answer"), "{error}");
    assert!(realm.runs().await.is_empty());
    realm.hangs.store(false, Ordering::Relaxed);
    let struck = housekeeper.strike(TimeDelta::zero()).await.expect("it strikes");
    assert_eq!((struck.started, realm.runs().await.len()), (1, 1));
    let slot = realm.runs().await[0].scheduled.as_ref().map(|scheduled| scheduled.slot);
    assert_eq!(slot, Some(instant("2026-03-01T09:00:00Z")));
}
