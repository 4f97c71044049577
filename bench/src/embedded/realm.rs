//! A realm in a folder of its own, with the jobs that are measured.

use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use pumice_core::engine::Dispatcher;
use pumice_core::ids::JobId;
use pumice_core::job_type::Runners;
use pumice_core::ports::{Catalog, Clock};
use pumice_core::request::DispatchRequest;
use pumice_core::spec::JobSpec;
use pumice_local::{Database, Durability, Home, Serve, ServeLock, SystemClock, Workers};
use rustix::time::{ClockId, clock_gettime};
use serde_json::{Value, json};
use tokio::sync::oneshot;
use tokio::task::JoinHandle;

/// A realm that is measured.
#[derive(Debug)]
pub(super) struct Realm {
    home: Home,
    dispatcher: Dispatcher,
    runners: Arc<Runners>,
    _lock: ServeLock,
    _folder: tempfile::TempDir,
}

/// Workers that run until they are stopped.
pub(super) struct Running {
    stop: oneshot::Sender<()>,
    task: JoinHandle<Result<(), pumice_core::ports::StoreError>>,
}

fn job(id: &str, kind: &str, payload: Value, parameters: Value) -> Value {
    json!({ "job_id": id, "type": kind, "worker": "core", "enabled": true, "payload": payload, "parameters": parameters })
}

/// How many children the composite jobs have.
pub(super) const CHILDREN: usize = 500;

/// A dag of 1,000 steps, in ten rows that each wait for the one before.
pub(super) const LARGE_DAG: &str = "large-dag";
const LARGE_DAG_STEPS: usize = 1_000;

/// The payload of the job `payload`: a script of 1 MB that does nothing.
const PAYLOAD: &str = "large.sh";
const PAYLOAD_BYTES: usize = 1_000_000;

fn jobs() -> Vec<Value> {
    let chain: Vec<&str> = vec!["noop"; CHILDREN];
    let dag: serde_json::Map<String, Value> =
        (0..CHILDREN).map(|n| (format!("noop-{n}"), Value::Null)).collect();
    let large: serde_json::Map<String, Value> = (0..LARGE_DAG_STEPS)
        .map(|n| {
            let before = n.checked_sub(LARGE_DAG_STEPS / 10).map(|before| format!("part-{before}"));
            (format!("part-{n}"), before.map_or(Value::Null, |before| json!([before])))
        })
        .collect();
    let mut jobs = vec![
        job(LARGE_DAG, "dag", Value::Object(large), json!({})),
        job("noop", "log", Value::Null, json!({})),
        job("true", "cmd", json!("/bin/true"), json!({})),
        job("payload", "exe", json!(PAYLOAD), json!({})),
        job("chain", "chain", json!(chain), json!({})),
        job("dag", "dag", Value::Object(dag), json!({ "workers": 1 })),
        job(
            "foreach",
            "foreach",
            json!("noop"),
            json!({ "limit": CHILDREN, "foreach": { "type": "range", "stop": CHILDREN } }),
        ),
    ];
    let steps = (0..CHILDREN).map(|n| format!("noop-{n}"));
    let parts = (0..LARGE_DAG_STEPS).map(|n| format!("part-{n}"));
    jobs.extend(steps.chain(parts).map(|id| job(&id, "log", Value::Null, json!({}))));
    jobs
}

impl Realm {
    /// Makes a realm.
    pub(super) async fn new(durability: Durability) -> Result<Self, String> {
        let folder = tempfile::tempdir().map_err(|error| error.to_string())?;
        let home =
            Home::open(folder.path(), None, true, durability).await.map_err(|error| error.to_string())?;
        let lock = home.lock(SystemClock.now()).await.map_err(|error| error.to_string())?;
        let document = json!({ "realm": "local", "config": { "FOREACH_MAX_LIMIT": CHILDREN } });
        home.database()
            .put_realm(document.as_object().cloned().unwrap_or_default())
            .await
            .map_err(|error| error.to_string())?;
        let payload = folder.path().join("payloads").join(PAYLOAD);
        // The same script as a command of the host, to compare with.
        let script = job("script", "cmd", json!(format!("/bin/sh {}", payload.display())), json!({}));
        let text = format!("#!/bin/sh\nexit 0\n{}", "#".repeat(PAYLOAD_BYTES));
        std::fs::create_dir_all(folder.path().join("payloads")).map_err(|error| error.to_string())?;
        std::fs::write(payload, text).map_err(|error| error.to_string())?;
        let specs: Result<Vec<JobSpec>, _> = jobs().iter().chain([&script]).map(JobSpec::parse).collect();
        home.database()
            .put_jobs(specs.map_err(|error| error.to_string())?, false)
            .await
            .map_err(|error| error.to_string())?;
        let runners = Arc::new(pumice_job_runners::runners().map_err(|error| error.to_string())?);
        let site = home.site().await.map_err(|error| error.to_string())?;
        let dispatcher = Dispatcher::new(site, runners.registry().clone());
        Ok(Self { home, dispatcher, runners, _lock: lock, _folder: folder })
    }

    /// The store.
    pub(super) fn database(&self) -> &Database {
        self.home.database()
    }

    /// Its folder.
    pub(super) fn folder(&self) -> &Path {
        self.home.path()
    }

    /// Its dispatcher.
    pub(super) const fn dispatcher(&self) -> &Dispatcher {
        &self.dispatcher
    }

    /// Asks for `count` runs of a job in one batch.
    pub(super) async fn dispatch(&self, job_id: &str, count: usize) -> Result<(), String> {
        let job_id = JobId::new(job_id).map_err(|error| error.to_string())?;
        let requests = vec![DispatchRequest::new(job_id); count];
        for outcome in self.dispatcher.dispatch(requests, None).await {
            outcome.map_err(|error| error.to_string())?;
        }
        Ok(())
    }

    /// Starts workers.
    pub(super) async fn start(&self) -> Result<Running, String> {
        let (stop, stopped) = oneshot::channel();
        let site = self.home.site().await.map_err(|error| error.to_string())?;
        let workers = Workers::new(self.database().clone(), site, self.runners.clone(), Serve::default());
        let stopped = async move {
            // A sender that was dropped says the same.
            let _ = stopped.await;
        };
        let task = tokio::spawn(workers.serve(stopped, std::future::ready(())));
        Ok(Running { stop, task })
    }

    /// Waits until all that was written is on the disk.
    pub(super) async fn settle(&self) -> Result<(), String> {
        let file = self.home.path().join("pumice.db");
        let settled = tokio::task::spawn_blocking(move || {
            let failed = |error: rusqlite::Error| error.to_string();
            let connection = rusqlite::Connection::open(&file).map_err(failed)?;
            connection.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |_| Ok(())).map_err(failed)?;
            let file = std::fs::File::open(&file).map_err(|error| error.to_string())?;
            file.sync_all().map_err(|error| error.to_string())
        });
        settled.await.map_err(|error| error.to_string())?
    }

    /// Has the oldest runs expired.
    pub(super) async fn expire(&self, count: usize) -> Result<(), String> {
        let count = count.cast_signed();
        let sql = "UPDATE runs SET expires = 1 WHERE id IN (SELECT id FROM runs WHERE due_at IS NULL ORDER BY id LIMIT ?)";
        self.on_file(move |connection| connection.execute(sql, [count]).map(drop)).await?;
        self.settle().await
    }

    /// Whether expired runs are left: the oldest run is one of them.
    pub(super) async fn has_expired(&self) -> Result<bool, String> {
        let sql = "SELECT coalesce((SELECT expires = 1 FROM runs ORDER BY id LIMIT 1), FALSE)";
        self.on_file(move |connection| connection.query_row(sql, [], |row| row.get(0))).await
    }

    /// What a connection of its own gives.
    async fn on_file<T: Send + 'static>(
        &self,
        ask: impl FnOnce(&rusqlite::Connection) -> Result<T, rusqlite::Error> + Send + 'static,
    ) -> Result<T, String> {
        let file = self.home.path().join("pumice.db");
        let asked = tokio::task::spawn_blocking(move || {
            let connection = rusqlite::Connection::open(&file)?;
            connection.busy_timeout(Duration::from_secs(60))?;
            ask(&connection)
        });
        asked.await.map_err(|error| error.to_string())?.map_err(|error| error.to_string())
    }

    /// How many runs are unfinished, counted up to a limit.
    pub(super) async fn unfinished(&self, limit: usize) -> Result<usize, String> {
        self.database().unfinished(limit).await.map_err(|error| error.to_string())
    }
}

impl Running {
    /// Waits until nothing is left to do.
    pub(super) async fn drained(&mut self, realm: &Realm) -> Result<(), String> {
        while realm.unfinished(1).await? > 0 {
            if self.task.is_finished() {
                (&mut self.task)
                    .await
                    .map_err(|error| error.to_string())?
                    .map_err(|error| error.to_string())?;
                return Err("the workers stopped before all was done".to_owned());
            }
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
        Ok(())
    }

    /// Stops the workers.
    pub(super) async fn stop(self) -> Result<(), String> {
        drop(self.stop);
        self.task.await.map_err(|error| error.to_string())?.map_err(|error| error.to_string())
    }
}

/// Runs a measurement on a runtime like that of the command.
pub(super) fn block_on<F: Future>(future: F) -> Result<F::Output, String> {
    let mut builder = tokio::runtime::Builder::new_multi_thread();
    let runtime = builder.worker_threads(2).enable_all().build().map_err(|error| error.to_string())?;
    Ok(runtime.block_on(future))
}

/// So many a second.
pub(super) fn rate(count: usize, since: Instant) -> f64 {
    count as f64 / since.elapsed().as_secs_f64()
}

/// The processor time that this process has had.
pub(super) fn processor_time() -> Duration {
    let spent = clock_gettime(ClockId::ProcessCPUTime);
    Duration::new(spent.tv_sec.unsigned_abs(), u32::try_from(spent.tv_nsec).unwrap_or(0))
}
