//! The capabilities of a job and an action while they run.

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Poll, Waker};

use async_trait::async_trait;
use futures_util::future::{Either, select};
use pumice_template::Zone;
use serde_json::{Map, Value};

use super::outputs::{Execution, Pieces, kept_at, temp_at};
use super::{Directories, JobError, Templates};
use crate::connection::Connections;
use crate::duration::Span;
use crate::ids::{JobId, RealmName, RunId, RunKey, WorkerName};
use crate::ports::{
    BlockingPool, Clock, Databases, Http, Mail, Messaging, ObjectStore, PoolError, Ports, StateStore,
    StoreError,
};
use crate::problem::SpecError;
use crate::request::DispatchRequest;
use crate::run::{Lineage, Run};
use crate::spec::{JobSpec, Keep, RealmSpec, Settings};
use crate::text::{quoted, shown};

/// A request that was not taken.
#[derive(Clone, Debug, thiserror::Error)]
pub enum DispatchError {
    /// There is no such job.
    #[error("no such job {}{}", shown(job_id), hint.as_deref().map(|h| format!(" ({h})")).unwrap_or_default())]
    NoSuchJob {
        /// The id that was asked for.
        job_id: String,
        /// The nearest one that exists.
        hint: Option<String>,
    },
    /// The job's spec is invalid.
    #[error("job {} has an invalid spec: {error}", shown(job_id))]
    BadSpec {
        /// The job.
        job_id: String,
        /// The mistakes.
        error: SpecError,
    },
    /// The job's spec is valid, and is not with the request's parameters in it.
    #[error("the request's parameters do not fit job {}: {error}", shown(job_id))]
    BadParameters {
        /// The job.
        job_id: String,
        /// The mistakes.
        error: SpecError,
    },
    /// The idempotency key was used by another request.
    #[error(
        "idempotency key {} of job {} was already used by another request: run {run_id} was made by {theirs}, this one is {ours}; give it another key",
        quoted(key),
        shown(job_id)
    )]
    KeyTaken {
        /// The job.
        job_id: String,
        /// The key.
        key: String,
        /// The run that was made under the key.
        run_id: RunId,
        /// The request that made it; its beginning when that is long.
        theirs: String,
        /// This request.
        ours: String,
    },
    /// The name of a delivery was used by another request over HTTP.
    #[error(
        "the delivery {} came before with another body, and run {run_id} of job {} was made for it: this one starts nothing",
        quoted(delivery),
        shown(job_id)
    )]
    DeliveryTaken {
        /// The job.
        job_id: String,
        /// The name of the delivery.
        delivery: String,
        /// The run that was made for the first.
        run_id: RunId,
    },
    /// It belongs together with others, one of which is refused.
    #[error("not sent, for another job of the list cannot be")]
    Withheld,
    /// The request has the value of a secret, which its record would show.
    #[error(
        "parameters or globals for job {} have a secret, and records must not: let the job read it itself, by a connection or a state item",
        shown(job_id)
    )]
    HoldsSecret {
        /// The job.
        job_id: String,
    },
    /// Jobs that start jobs that start jobs without a delay, too deep.
    #[error(
        "job {} would be {depth} levels below the job that began it all; the limit is {limit} (DISPATCH_MAX_DEPTH), but for jobs that start after a delay of a second or more",
        shown(job_id)
    )]
    TooDeep {
        /// The job.
        job_id: String,
        /// Its level.
        depth: u32,
        /// The highest level.
        limit: u32,
    },
    /// Something is too large.
    #[error("{0}")]
    TooLarge(String),
    /// The store or the queue could not be reached.
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl DispatchError {
    /// Its kind in a word, for metrics.
    #[must_use]
    pub const fn kind(&self) -> &'static str {
        match self {
            Self::NoSuchJob { .. } => "no_such_job",
            Self::BadSpec { .. } | Self::BadParameters { .. } => "bad_spec",
            Self::KeyTaken { .. } => "key_taken",
            Self::DeliveryTaken { .. } => "delivery_taken",
            Self::Withheld => "withheld",
            Self::HoldsSecret { .. } => "holds_secret",
            Self::TooDeep { .. } => "too_deep",
            Self::TooLarge(_) => "too_large",
            Self::Store(error) => error.kind.as_str(),
        }
    }
}

/// The one that starts other jobs: a run.
#[derive(Clone, Debug)]
pub struct OriginRun {
    /// Its record's key.
    pub key: RunKey,
    /// Its job.
    pub job_id: JobId,
    /// Where the started jobs come from.
    pub lineage: Lineage,
    /// Its globals, which go along and win over those of the started jobs' specs.
    pub globals: Map<String, Value>,
    /// A label that makes the request of this run unique: requests of one origin with one label make one run.
    pub label: String,
}

/// Starts other jobs.
#[async_trait]
pub trait Dispatches: Send + Sync {
    /// Takes each request, once however often it is repeated; the outcomes are in the same order.
    async fn dispatch(&self, requests: Vec<DispatchRequest>) -> Vec<Result<RunId, DispatchError>>;

    /// The same for requests that belong together: where one is refused, none is taken, and the others come to
    /// [`DispatchError::Withheld`].
    async fn dispatch_together(&self, requests: Vec<DispatchRequest>) -> Vec<Result<RunId, DispatchError>>;
}

/// Where the engine runs: the realm, its settings and the world.
#[derive(Clone, Debug)]
pub struct Site {
    /// The realm's name.
    pub realm: RealmName,
    /// The realm's settings, with what the environment says.
    pub settings: Settings,
    /// The worker's zone.
    pub zone: Zone,
    /// The host's name.
    pub hostname: String,
    /// Whether no other process can run the realm's jobs, as the lock of a realm's folder sees to: no other can have
    /// claimed the runs of this one, however long it stood still.
    pub alone: bool,
    /// Where work directories are made that end with their invocation.
    pub scratch: PathBuf,
    /// Where the directories that the steps of a run share are kept until it has ended; `None` where they end with
    /// their invocation.
    pub shared: Option<PathBuf>,
    /// The environment that commands get, besides what their job gives them.
    pub environment: Vec<(OsString, OsString)>,
    /// Variables that they get besides when their job asks for AWS credentials, where the environment above
    /// holds none.
    pub credentials: Vec<(OsString, OsString)>,
    /// The world.
    pub ports: Ports,
}

/// Why an attempt is to stop.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stop {
    /// A person, a program or the engine asked for it.
    Cancelled,
    /// It has taken this long, which is its limit.
    TimedOut(Span),
    /// Another worker has the run now: whatever comes of this attempt does not count.
    Lost,
    /// The worker's process is to stop: the attempt is made again elsewhere, and does not count.
    Halted,
}

/// The request to an attempt to stop.
#[derive(Clone, Debug, Default)]
pub struct Cancel {
    inner: Arc<Mutex<CancelState>>,
}

#[derive(Debug, Default)]
struct CancelState {
    stop: Option<Stop>,
    waiting: Vec<Waker>,
}

impl Cancel {
    fn lock(&self) -> MutexGuard<'_, CancelState> {
        // The state is a flag and a list: whole whatever became of another holder.
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Asks for the stop; the first reason stays.
    pub fn stop(&self, why: Stop) {
        let waiting = {
            let mut state = self.lock();
            state.stop.get_or_insert(why);
            std::mem::take(&mut state.waiting)
        };
        waiting.into_iter().for_each(Waker::wake);
    }

    /// Whether it is to stop, and why.
    #[must_use]
    pub fn is_stopped(&self) -> Option<Stop> {
        self.lock().stop
    }

    /// Returns when it is to stop.
    pub async fn stopped(&self) -> Stop {
        std::future::poll_fn(|task| {
            let mut state = self.lock();
            if let Some(stop) = state.stop {
                return Poll::Ready(stop);
            }
            state.waiting.retain(|waker| !waker.will_wake(task.waker()));
            state.waiting.push(task.waker().clone());
            Poll::Pending
        })
        .await
    }
}

/// The host's part of the environment of commands that a job starts.
#[derive(Clone, Copy, Debug)]
pub struct Machine<'a> {
    /// Where files are made that end with the worker.
    pub scratch: &'a Path,
    /// The environment of commands, besides what their job gives them.
    pub environment: &'a [(OsString, OsString)],
    /// Variables that they get besides when their job asks for AWS credentials.
    pub credentials: &'a [(OsString, OsString)],
}

/// The capabilities of a job while it runs, by name, and no more of the world.
pub struct JobContext<'a> {
    /// The run's record.
    pub run: &'a Run,
    /// The job.
    pub job: &'a JobSpec,
    /// The realm's name.
    pub realm_name: &'a RealmName,
    /// The realm.
    pub realm: &'a RealmSpec,
    /// The realm's settings, with what the environment says.
    pub settings: &'a Settings,
    /// Renders templates with the run's variables.
    pub templates: &'a Templates,
    /// Starts other jobs.
    pub dispatches: &'a dyn Dispatches,
    /// Opens connections.
    pub connections: Connections<'a>,
    /// Files that outlive the run.
    pub objects: &'a dyn ObjectStore,
    /// Requests to servers of the web.
    pub http: &'a dyn Http,
    /// Topics, queues, event buses and functions.
    pub messaging: &'a dyn Messaging,
    /// Databases.
    pub databases: &'a dyn Databases,
    /// The time.
    pub clock: &'a dyn Clock,
    /// Threads for what may take long; see [`on_pool`].
    pub pool: &'a dyn BlockingPool,
    /// The directories of the run.
    pub directories: &'a dyn Directories,
    /// The host's part of the environment of commands.
    pub machine: Machine<'a>,
    /// The request to stop.
    pub cancel: &'a Cancel,
}

/// The capabilities of an action, by name, and no more of the world.
pub struct ActionContext<'a> {
    /// The realm's name.
    pub realm_name: &'a RealmName,
    /// The job whose attempt ended.
    pub job_id: &'a JobId,
    /// Its run.
    pub run_id: RunId,
    /// The worker that the run is for.
    pub worker: &'a WorkerName,
    /// The result of the attempt, as templates see it as `result`.
    pub result: &'a Value,
    /// The realm's settings, with what the environment says.
    pub settings: &'a Settings,
    /// Starts other jobs.
    pub dispatches: &'a dyn Dispatches,
    /// Opens connections.
    pub connections: Connections<'a>,
    /// State items.
    pub state: &'a dyn StateStore,
    /// Files that outlive the run.
    pub objects: &'a dyn ObjectStore,
    /// Mail servers.
    pub mail: &'a dyn Mail,
    /// Requests to servers of the web.
    pub http: &'a dyn Http,
    /// Topics, queues, event buses and functions.
    pub messaging: &'a dyn Messaging,
    /// The time.
    pub clock: &'a dyn Clock,
    /// The request to stop.
    pub cancel: &'a Cancel,
}

/// The result of a piece of work that reads files or takes long: on a thread of the pool's own, so that no other run
/// waits for it. `what` names the work in errors.
///
/// # Errors
/// [`JobError`] when the work took too long, or panicked.
pub async fn on_pool<T: Send + 'static>(
    pool: &dyn BlockingPool,
    what: &str,
    work: impl FnOnce() -> T + Send + 'static,
) -> Result<T, JobError> {
    let (given, work) = into_place(work);
    taken(what, pool.run(work).await, &given)
}

type Placed<T> = Arc<Mutex<Option<T>>>;

/// A piece of work that leaves what it gives in a place.
fn into_place<T: Send + 'static>(
    work: impl FnOnce() -> T + Send + 'static,
) -> (Placed<T>, Box<dyn FnOnce() + Send>) {
    let given = Arc::new(Mutex::new(None));
    let place = given.clone();
    let work = move || {
        let value = work();
        *place.lock().unwrap_or_else(PoisonError::into_inner) = Some(value);
    };
    (given, Box::new(work))
}

fn taken<T>(what: &str, done: Result<(), PoolError>, given: &Placed<T>) -> Result<T, JobError> {
    let value = given.lock().unwrap_or_else(PoisonError::into_inner).take();
    match (done, value) {
        (Ok(()), Some(value)) => Ok(value),
        (Err(why), _) => Err(JobError::failed(format!("{what} {why}"))),
        (Ok(()), None) => Err(JobError::failed(format!("{what} gave nothing"))),
    }
}

impl JobContext<'_> {
    /// Reads files that a job names, apart from the threads that look after runs, and within `limit` by the context's
    /// clock. A read that is given up goes on until the system ends it, and holds up other reads at most.
    ///
    /// # Errors
    /// [`JobError`] when the read, which `what` names, takes longer or panics.
    pub async fn read_on_pool<T: Send + 'static>(
        &self,
        what: &str,
        limit: Span,
        read: impl FnOnce() -> T + Send + 'static,
    ) -> Result<T, JobError> {
        let (given, work) = into_place(read);
        let late = self.clock.sleep_until(self.clock.now() + limit.delta());
        match select(self.pool.read(work), late).await {
            Either::Left((done, _)) => taken(&format!("reading {what}"), done, &given),
            Either::Right(_) => {
                Err(JobError::failed(format!("cannot read {what} within {} s", limit.get().as_secs())))
            }
        }
    }

    /// Does work that takes long on a thread of the pool's own, within `limit`, the wait for its turn included. Work that is
    /// given up goes on until it ends by itself.
    ///
    /// # Errors
    /// [`JobError`] when the work, which `what` names, takes longer or panics.
    pub async fn work_on_pool<T: Send + 'static>(
        &self,
        what: &str,
        limit: Span,
        work: impl FnOnce() -> T + Send + 'static,
    ) -> Result<T, JobError> {
        let (given, work) = into_place(work);
        taken(what, self.pool.run_within(limit.get(), work).await, &given)
    }

    /// Where this attempt may keep files, as commands find it in `LAVA_S3_TMP`: a folder of the run's step, and of the
    /// attempt unless the job keeps it over attempts (lava guide, Job type: cmd). `None` when the realm has no
    /// place for temporary files.
    #[must_use]
    pub fn temp_location(&self) -> Option<String> {
        let attempt = if self.job.fields.keep == Some(Keep::Attempts) { 1 } else { self.run.attempt };
        self.temp_of(attempt)
    }

    /// Where lava keeps a file of this attempt's own that no command writes, as the rows of a statement; `None` when the realm
    /// has no place for temporary files.
    #[must_use]
    pub fn rows_location(&self, name: &str) -> Option<String> {
        Some(format!("{}/{name}", self.temp_of(self.run.attempt)?))
    }

    fn temp_of(&self, attempt: u32) -> Option<String> {
        Some(temp_at(self.realm.fields.s3_temp.as_deref()?, &self.run.job_id, &self.run.key, attempt))
    }

    /// Where what this attempt prints is kept; `None` when the realm has no place for it.
    #[must_use]
    pub fn output_location(&self, stream: &str) -> Option<String> {
        Some(format!("{}/{stream}", self.output_folder()?))
    }

    /// Where what this execution of the attempt prints is kept in pieces; `None` when the realm has no place for it.
    #[must_use]
    pub fn output_pieces(&self, stream: &str) -> Option<Pieces> {
        Some(Pieces::new(&self.output_folder()?, self.run.epoch, stream))
    }

    fn output_folder(&self) -> Option<String> {
        let base = self.realm.fields.s3_temp.as_deref()?;
        Some(kept_at(base, &self.run.job_id, &self.run.key, self.run.attempt))
    }

    /// Which execution of the run this is.
    #[must_use]
    pub const fn execution(&self) -> Execution {
        Execution { attempt: self.run.attempt, epoch: self.run.epoch }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    /// The fields of a context but for these: its capabilities.
    fn capabilities(context: &str, facts: &[&str]) -> BTreeSet<String> {
        let source = include_str!("context.rs");
        let (_, fields) = source.split_once(&format!("pub struct {context}<'a> {{")).unwrap();
        let (fields, _) = fields.split_once("\n}").unwrap();
        let names = fields.lines().filter_map(|line| line.trim().strip_prefix("pub ")?.split_once(':'));
        names.map(|(name, _)| name.to_owned()).filter(|name| !facts.contains(&name.as_str())).collect()
    }

    #[test]
    fn page_has_each_capability_of_the_contexts_and_no_other() {
        let page = include_str!("../../../docs/job-types.md");
        let (_, table) = page.split_once("| capability |").unwrap();
        let (table, _) = table.split_once("\n\n").unwrap();
        let rows: Vec<Vec<&str>> =
            table.lines().skip(2).map(|row| row.split('|').map(str::trim).collect()).collect();
        let of = |column: usize| -> BTreeSet<String> {
            let having = rows.iter().filter(|row| row[column] == "yes");
            having.map(|row| row[1].trim_matches('`').to_owned()).collect()
        };
        assert_eq!(of(3), capabilities("JobContext", &["run", "job", "realm_name", "realm"]));
        assert_eq!(of(4), capabilities("ActionContext", &["realm_name", "job_id", "run_id", "worker"]));
        assert!(rows.iter().all(|row| row.len() == 6 && !row[2].is_empty()), "{rows:?}");
    }
}
