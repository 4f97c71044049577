//! Workers as processes, and schedules that start a job on each of them.

use std::sync::Arc;
use std::time::Duration;

use chrono::{SubsecRound, TimeDelta, Utc};
use pumice_aws::QueueWorker;
use pumice_core::engine::{Engine, Housekeeper, Limits};
use pumice_core::hosts::Host;
use pumice_core::ids::{JobId, WorkerName};
use pumice_core::job_type::Site;
use pumice_core::ports::{HostStore, RunQuery, RunStore, ScheduleStore};
use pumice_core::run::{Run, Status};
use pumice_testing::standins::{Cloud, log_job, until};
use serde_json::json;
use tokio::sync::oneshot;
use tokio::task::JoinHandle;

/// How far ahead the sweeper makes runs.
const AHEAD: TimeDelta = TimeDelta::seconds(90);

fn core() -> WorkerName {
    WorkerName::new("core").expect("a name")
}

/// A process that takes the runs of worker `core`.
struct Process {
    host: Host,
    stop: oneshot::Sender<()>,
    working: JoinHandle<()>,
}

async fn site(cloud: &Cloud, scratch: &std::path::Path, machine: &str) -> Arc<Site> {
    let host = pumice_aws::EngineHost {
        name: machine.to_owned(),
        scratch: scratch.to_owned(),
        environment: Vec::new(),
        credentials: Vec::new(),
    };
    cloud.realm.site(host).await.expect("a site")
}

fn registry() -> Arc<pumice_core::job_type::Registry> {
    Arc::new(pumice_job_types::registry().expect("job types"))
}

fn runners() -> Arc<pumice_core::job_type::Runners> {
    Arc::new(pumice_job_runners::runners().expect("job types"))
}

async fn start(cloud: &Cloud, scratch: &std::path::Path, machine: &str) -> Process {
    let site = site(cloud, scratch, machine).await;
    let now = site.ports.clock.now();
    let host = Host::new(core(), machine, site.ports.random.uuid(now), now);
    let engine = Engine::new(site, runners(), core(), Limits::default());
    let queues = cloud.realm.queues().clone();
    let worker = QueueWorker::new(engine, queues, core(), 2, Duration::from_secs(5)).on_host(host.clone());
    let (stop, stopped) = oneshot::channel();
    let working = tokio::spawn(async move {
        let stopped = async {
            let _ = stopped.await;
        };
        worker.work(stopped, std::future::pending()).await.expect("it works");
    });
    Process { host, stop, working }
}

async fn runs_of(cloud: &Cloud, job: &str) -> Vec<Run> {
    let query = RunQuery { job: Some(job.to_owned()), limit: 100, ..RunQuery::default() };
    RunStore::list(cloud.realm.store(), &query).await.expect("it answers")
}

async fn alive(cloud: &Cloud, count: usize) {
    let are_there = until(async || {
        let hosts = cloud.realm.store().hosts(&core()).await.expect("it answers");
        (hosts.iter().filter(|host| host.is_alive(Utc::now())).count() == count).then_some(())
    });
    are_there.await.unwrap_or_else(|| panic!("{count} hosts are not alive"));
}

/// Puts a job that is due on each host in a moment, and makes its runs as the sweeper would.
async fn due_on_each(cloud: &Cloud, scratch: &std::path::Path, id: &str) -> usize {
    let mut job = log_job(id);
    let slot = (Utc::now() + TimeDelta::seconds(3)).trunc_subsecs(0);
    job["schedule"] = json!({ "at": slot.to_rfc3339(), "nodes": "all" });
    cloud.put_jobs(&[job]).await;
    let housekeeper = Housekeeper::new(site(cloud, scratch, "dispatcher").await, registry());
    housekeeper.touch(&[JobId::new(id).expect("an id")], Utc::now()).await.expect("it answers");
    housekeeper.strike(AHEAD).await.expect("it answers").started
}

#[tokio::test]
async fn nodes_all_runs_once_on_each_host_that_is_alive() {
    let cloud = Cloud::start(&[]).await;
    let scratch = tempfile::tempdir().expect("a folder");
    let (one, two) = (start(&cloud, scratch.path(), "one").await, start(&cloud, scratch.path(), "two").await);
    alive(&cloud, 2).await;
    assert_eq!(due_on_each(&cloud, scratch.path(), "both").await, 2);
    let ended = until(async || {
        let runs = runs_of(&cloud, "both").await;
        (runs.len() == 2 && runs.iter().all(Run::is_done)).then_some(runs)
    });
    let mut runs = ended.await.expect("both end");
    runs.sort_by(|a, b| a.host.cmp(&b.host));
    for (run, process, machine) in [(&runs[0], &one, "one"), (&runs[1], &two, "two")] {
        assert_eq!(run.host, Some(process.host.id.clone()));
        assert_eq!((run.status, run.hostname.as_deref()), (Status::Complete, Some(machine)), "{run:?}");
        assert_eq!((run.crashes, run.attempt, run.epoch), (0, 1, 1), "{run:?}");
    }

    // One is stopped in order: the next slot is for the other alone, and its runs that had not begun end.
    let id = one.host.id.clone();
    one.stop.send(()).expect("it works");
    one.working.await.expect("it stops");
    let gone = cloud.realm.store().host(&core(), &id).await.expect("it answers").expect("it is there");
    assert!(gone.ended.is_some());
    assert_eq!(due_on_each(&cloud, scratch.path(), "other").await, 1);
    let done = until(async || runs_of(&cloud, "other").await.pop().filter(Run::is_done));
    assert_eq!(done.await.expect("it ends").host, Some(two.host.id.clone()));
    two.stop.send(()).expect("it works");
    two.working.await.expect("it stops");
}

#[tokio::test]
async fn run_of_a_host_that_is_gone_ends_with_the_reason() {
    let cloud = Cloud::start(&[]).await;
    let scratch = tempfile::tempdir().expect("a folder");
    let store = cloud.realm.store();
    let gone = Host::new(core(), "gone", uuid::Uuid::from_u128(1), Utc::now().trunc_subsecs(6));
    store.put_host(&gone).await.expect("it is written");
    assert_eq!(due_on_each(&cloud, scratch.path(), "lost").await, 1);
    let long_ago = gone.seen - TimeDelta::minutes(5);
    store.put_host(&Host { seen: long_ago, ..gone.clone() }).await.expect("it is written");
    // Nothing on the queue could bring the run to another host.
    let other = start(&cloud, scratch.path(), "other").await;
    alive(&cloud, 1).await;
    let late = site(&cloud, scratch.path(), "dispatcher").await;
    let ports =
        pumice_core::ports::Ports { clock: Arc::new(Ahead(TimeDelta::minutes(2))), ..late.ports.clone() };
    let housekeeper = Housekeeper::new(Arc::new(Site { ports, ..Site::clone(&late) }), registry());
    housekeeper.sweep().await.expect("it answers");
    let run = runs_of(&cloud, "lost").await.pop().expect("it is there");
    let reason = format!("its host {} is gone before it ran", gone.id);
    assert_eq!((run.status, run.reason), (Status::Failed, Some(reason)));
    assert_eq!((run.ts_start, run.hostname), (None, None), "nothing ran it");
    other.stop.send(()).expect("it works");
    other.working.await.expect("it stops");
}

#[tokio::test]
async fn worker_without_hosts_halts_the_entry_and_says_why() {
    let cloud = Cloud::start(&[]).await;
    let scratch = tempfile::tempdir().expect("a folder");
    assert_eq!(due_on_each(&cloud, scratch.path(), "none").await, 0);
    let ids = [JobId::new("none").expect("an id")];
    let found = ScheduleStore::load(cloud.realm.store(), &ids).await.expect("it answers").remove(0);
    let cursor = found.expect("it is there").cursors.remove(0);
    assert_eq!(cursor.state, pumice_core::clock::State::Halted);
    assert!(cursor.trouble.is_some_and(|why| why.contains("a function has no hosts")));
}

/// A clock that is fast.
struct Ahead(TimeDelta);

#[async_trait::async_trait]
impl pumice_core::ports::Clock for Ahead {
    fn now(&self) -> pumice_core::Timestamp {
        Utc::now() + self.0
    }

    async fn sleep_until(&self, until: pumice_core::Timestamp) {
        let left = (until - self.now()).to_std().unwrap_or_default();
        tokio::time::sleep(left).await;
    }
}
