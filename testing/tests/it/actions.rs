//! Actions that hang, panic, or are stopped with their process, on the real engine with a clock that moves when a
//! caller sleeps.

use std::future::pending;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use async_trait::async_trait;
use chrono::{DateTime, TimeDelta};
use pumice_core::Timestamp;
use pumice_core::duration::Span;
use pumice_core::engine::{Engine, Halt, Limits};
use pumice_core::ids::{JobId, RealmName, RunKey, WorkerName};
use pumice_core::job_type::{
    ACTION_TIMEOUT, Action, ActionContext, JobError, Performer, Registry, Runners, Site, Stop,
};
use pumice_core::message::Message;
use pumice_core::ports::{AtOnce, Clock, Ports, RunStore};
use pumice_core::request::DispatchRequest;
use pumice_core::run::{Run, Status};
use pumice_core::spec::{JobSpec, RealmSpec, Settings};
use pumice_host::DiskWorkspaces;
use pumice_template::Zone;
use pumice_testing::memory::{ManualClock, Memory, SeededRandom};
use serde_json::{Map, Value, json};

/// An action that does as its field `how` says.
struct Probe;

impl Action for Probe {
    const NAME: &'static str = "probe";
    const ABOUT: &'static str = "Does as its field says.";
    type Fields = Map<String, Value>;
}

/// Performs the action `probe`, and records its calls.
#[derive(Clone)]
struct Prober {
    halt: Halt,
    timeout: Span,
    begun: Arc<AtomicUsize>,
    done: Arc<AtomicUsize>,
}

#[async_trait]
impl Performer for Prober {
    type Of = Probe;

    fn timeout(&self) -> Span {
        self.timeout
    }

    async fn perform(&self, context: &ActionContext<'_>, fields: Map<String, Value>) -> Result<(), JobError> {
        self.begun.fetch_add(1, Ordering::Relaxed);
        let wait = |seconds| context.clock.sleep_until(context.clock.now() + TimeDelta::seconds(seconds));
        match fields["how"].as_str().unwrap_or_default() {
            "hang" => pending().await,
            "panic" => std::panic::resume_unwind(Box::new("out of order")),
            "fail" => return Err(JobError::permanent("no listener answers")),
            "29 s" => wait(29).await,
            // Its process is asked to stop while it is under way, the first time.
            "stop and hang" if self.begun.load(Ordering::Relaxed) == 1 => {
                self.halt.stop();
                pending().await
            }
            "stop and end" | "stop and fail" if self.begun.load(Ordering::Relaxed) == 1 => {
                self.halt.stop();
                assert_eq!(context.cancel.stopped().await, Stop::Halted);
                if fields["how"] == "stop and fail" {
                    return Err(JobError::failed("interrupted"));
                }
            }
            _ => {}
        }
        self.done.fetch_add(1, Ordering::Relaxed);
        Ok(())
    }
}

/// A realm in memory with one job.
struct Realm {
    memory: Memory,
    clock: ManualClock,
    site: Arc<Site>,
    prober: Prober,
    runners: Arc<Runners>,
    key: RunKey,
}

fn start() -> Timestamp {
    DateTime::UNIX_EPOCH + TimeDelta::days(20_000)
}

impl Realm {
    /// One whose job has been dispatched, and has these actions when it succeeds.
    async fn new(actions: &Value, timeout: Span, alone: bool) -> Self {
        let clock = ManualClock::at(start());
        let realm = RealmSpec::parse(&json!({ "realm": "test" })).expect("a realm");
        let memory = Memory::new(realm, Arc::new(clock.clone()));
        let job = json!({ "job_id": "a", "type": "log", "worker": "core", "enabled": true, "payload": null, "on_success": actions });
        memory.put_job(JobSpec::parse(&job).expect("a job"));
        let halt = Halt::default();
        let prober = Prober { halt, timeout, begun: Arc::default(), done: Arc::default() };
        let registry = pumice_job_types::add(Registry::builder()).action(Probe).build().expect("a registry");
        let runners = pumice_job_runners::add(Runners::builder()).performer(prober.clone());
        let runners = Arc::new(runners.build(Arc::new(registry)).expect("runners"));
        let store = Arc::new(memory.clone());
        let site = Arc::new(Site {
            realm: RealmName::new("test").expect("a name"),
            settings: Settings::default(),
            zone: Zone::Utc,
            hostname: "host".to_owned(),
            alone,
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
                http: Arc::new(pumice_core::ports::NoHttp),
                messaging: Arc::new(pumice_core::ports::WITHOUT_AWS),
                servers: pumice_core::ports::Servers::default(),
                clock: Arc::new(clock.clone()),
                random: Arc::new(SeededRandom::new(1)),
                pool: Arc::new(AtOnce),
                workspaces: Arc::new(DiskWorkspaces),
            },
        });
        let mut realm = Self {
            memory,
            clock,
            site,
            prober,
            runners,
            key: RunKey::root(pumice_core::ids::RunId(uuid::Uuid::nil())),
        };
        let request = DispatchRequest::new(JobId::new("a").expect("an id"));
        let accepted = realm.engine().dispatcher().dispatch(vec![request], None).await.remove(0);
        realm.key = RunKey::root(accepted.expect("it is taken").run_id);
        realm
    }

    fn engine(&self) -> Engine {
        let worker = WorkerName::new("core").expect("a name");
        Engine::new(self.site.clone(), self.runners.clone(), worker, Limits::default())
    }

    async fn run(&self) -> Run {
        self.memory.load(&self.key).await.expect("it answers").expect("it is there")
    }

    /// Handles the message of the run in an invocation that has so many seconds, if it has an end.
    async fn handle(&self, engine: &Engine, seconds: Option<i64>) -> Run {
        let body = Message::about(&self.site.realm, &self.run().await).body();
        let ends = seconds.map(|seconds| self.clock.now() + TimeDelta::seconds(seconds));
        engine.handle(&body, 1, ends).await;
        self.run().await
    }

    fn counts(&self) -> (usize, usize) {
        (self.prober.begun.load(Ordering::Relaxed), self.prober.done.load(Ordering::Relaxed))
    }
}

fn probes(how: &[&str]) -> Value {
    how.iter().map(|how| json!({ "action": "probe", "how": how })).collect()
}

fn failures(run: &Run) -> Vec<String> {
    let failed = run.log.entries.iter().filter(|entry| entry.status == Status::ActionFailed);
    failed.map(|entry| entry.info.as_str().unwrap_or_default().to_owned()).collect()
}

#[tokio::test]
async fn hanging_action_fails_at_its_limit_and_next_is_performed() {
    for (timeout, limit) in [(ACTION_TIMEOUT, "30s"), (Span::from_secs(7), "7s")] {
        for alone in [true, false] {
            let realm = Realm::new(&probes(&["hang", "well"]), timeout, alone).await;
            let run = realm.handle(&realm.engine(), None).await;
            assert_eq!(failures(&run), [format!("on_success[0] probe: timed out after {limit}")]);
            assert!(run.is_done() && run.status == Status::Complete, "{:?}", run.status);
            assert_eq!(realm.counts(), (2, 1));
            assert_eq!(realm.clock.now() - start(), timeout.delta());
        }
    }
}

#[tokio::test]
async fn action_within_its_limit_is_done() {
    let realm = Realm::new(&probes(&["29 s"]), ACTION_TIMEOUT, false).await;
    let run = realm.handle(&realm.engine(), None).await;
    assert_eq!((failures(&run), run.is_done(), realm.counts()), (vec![], true, (1, 1)));
}

#[tokio::test]
async fn failing_action_is_recorded_and_next_is_performed() {
    let realm = Realm::new(&probes(&["fail", "panic", "well"]), ACTION_TIMEOUT, false).await;
    let run = realm.handle(&realm.engine(), None).await;
    let wanted = [
        "on_success[0] probe: no listener answers",
        "on_success[1] probe: the action panicked: out of order",
    ];
    assert_eq!(failures(&run), wanted);
    assert!(run.is_done() && run.status == Status::Complete);
    assert_eq!(realm.counts(), (3, 1));
}

#[tokio::test]
async fn list_of_hanging_actions_is_gone_through_by_several_claims() {
    let realm = Realm::new(&probes(&["hang"; 12]), ACTION_TIMEOUT, false).await;
    let mut run = realm.handle(&realm.engine(), None).await;
    assert!(!run.is_done(), "a claim of five minutes is not enough for six minutes");
    realm.clock.advance_to(run.lease.as_ref().expect("it is claimed").until + TimeDelta::seconds(1));
    run = realm.handle(&realm.engine(), None).await;
    assert!(run.is_done());
    let places: Vec<String> =
        (0..12).map(|at| format!("on_success[{at}] probe: timed out after 30s")).collect();
    assert_eq!(failures(&run), places);
    assert_eq!(realm.counts(), (12, 0));
}

#[tokio::test]
async fn action_stopped_with_its_process_stays_and_is_performed_again() {
    for how in ["stop and hang", "stop and fail"] {
        let realm = Realm::new(&probes(&[how, "well"]), ACTION_TIMEOUT, false).await;
        let run = realm.handle(&realm.engine().halted_by(realm.prober.halt.clone()), None).await;
        assert_eq!((run.status, run.is_done(), failures(&run)), (Status::Complete, false, vec![]), "{how}");
        assert_eq!(realm.counts(), (1, 0), "{how}");
        assert_eq!(run.lease, None, "another one may perform it at once");
        let run = realm.handle(&realm.engine(), None).await;
        assert_eq!((run.is_done(), failures(&run), realm.counts()), (true, vec![], (3, 2)), "{how}");
    }
}

#[tokio::test]
async fn action_ending_while_its_process_stops_is_not_repeated() {
    let realm = Realm::new(&probes(&["stop and end", "well"]), ACTION_TIMEOUT, false).await;
    let run = realm.handle(&realm.engine().halted_by(realm.prober.halt.clone()), None).await;
    // The next one is not begun.
    assert_eq!((run.is_done(), realm.counts()), (false, (1, 1)));
    assert_eq!(run.lease, None);
    let run = realm.handle(&realm.engine(), None).await;
    assert_eq!((run.is_done(), failures(&run), realm.counts()), (true, vec![], (2, 2)));
}

#[tokio::test]
async fn action_cut_off_by_its_invocation_is_performed_in_another() {
    let realm = Realm::new(&probes(&["29 s", "hang"]), ACTION_TIMEOUT, false).await;
    // The time of the second one would be up when the invocation has ended.
    let run = realm.handle(&realm.engine(), Some(60)).await;
    assert_eq!((run.is_done(), failures(&run), realm.counts()), (false, vec![], (2, 1)));
    assert_eq!(run.lease, None);
    let run = realm.handle(&realm.engine(), Some(60)).await;
    assert_eq!(failures(&run), ["on_success[1] probe: timed out after 30s"]);
    assert_eq!((run.is_done(), realm.counts()), (true, (3, 1)));
}

#[tokio::test]
async fn hanging_action_in_short_invocations_fails_for_good() {
    let realm = Realm::new(&probes(&["hang"]), ACTION_TIMEOUT, false).await;
    let run = realm.handle(&realm.engine(), Some(30)).await;
    assert_eq!(failures(&run), ["on_success[0] probe: timed out after 20s"]);
    assert_eq!((run.is_done(), realm.counts()), (true, (1, 0)));
}
