//! One attempt of a job that runs by itself, watched: cancelled, timed out, its claim extended.

use std::panic::AssertUnwindSafe;
use std::path::Path;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Mutex, PoisonError};

use async_trait::async_trait;
use futures_util::FutureExt;
use futures_util::future::{Either, select};

use super::Engine;
use super::files::{Needs, Use};
use super::lease::LeaseGuard;
use super::task::{Invocation, Task};
use super::watch::{TimeLimit, Watch};
use crate::Timestamp;
use crate::connection::Connections;
use crate::duration::Span;
use crate::engine::answer::Accepted;
use crate::engine::dispatch::Dispatcher;
use crate::ids::RunId;
use crate::job_type::{
    Cancel, Directories, DispatchError, Dispatches, Ended, JobContext, JobError, Machine, OriginRun,
    Rendered, RunsJob, Site, Stop, Templates, made,
};
use crate::ports::StoreError;
use crate::ports::TempDir;
use crate::request::DispatchRequest;
use crate::run::{Lineage, Outcome, Run, failed_result};
use crate::spec::{JobSpec, RealmSpec, RunSpec};

/// The outcome of an attempt.
pub(super) enum Attempted {
    /// An outcome to record, with what was rendered for this attempt alone.
    Ended(Outcome, Option<Rendered>),
    /// Another worker has the run; the work of this attempt does not count.
    Lost,
    /// It was stopped with its process; its work does not count either.
    Halted,
    /// It could not begin for a fault of the host.
    Unbegun(JobError),
}

impl Engine {
    /// Makes one attempt of a claimed run.
    pub(super) async fn attempt(
        &self,
        leaf: &dyn RunsJob,
        task: &Task<'_>,
        realm: &RealmSpec,
    ) -> Result<Attempted, StoreError> {
        let Task { run, spec, job, invocation, .. } = task;
        let templates = self.templates(run, job, realm).await?;
        let rendered = match self.rendered(spec, job, &templates).await {
            Ok(rendered) => rendered,
            Err(error) => return Ok(Attempted::Ended(failure(error), None)),
        };
        let cancel = Cancel::default();
        let dispatches = RunDispatches::new(self.dispatcher(), run, job, "run");
        let directories = RunDirectories::new(&self.site, task, realm);
        let context = self.job_context(&directories, &templates, &dispatches, &cancel);
        let lease = LeaseGuard::of(run, self.limits.lease, self.site.alone);
        if !lease.is_firm(self.now()) {
            // This host stood still; another may have the run by now.
            return Ok(Attempted::Lost);
        }
        let watch = Watch { engine: self, run, invocation, lease: &lease, cancel: &cancel, news: None };
        if lease.is_outdated(self.now()) {
            // No worker has taken the run, but its parent may have gone on without it meanwhile.
            match Box::pin(watch.look()).await {
                Some(Stop::Cancelled) => return Ok(Attempted::Ended(Outcome::Cancelled, None)),
                Some(_) => return Ok(Attempted::Lost),
                None => {}
            }
        }
        if self.halt.is_stopping() {
            return Ok(Attempted::Halted);
        }
        let running = caught(leaf.run(&context, &rendered));
        let limit = self.time_limit(self.now(), job, invocation);
        let watching = async {
            match select(std::pin::pin!(watch.stopped(limit)), std::pin::pin!(self.halt.stopped())).await {
                Either::Left((stop, _)) | Either::Right((stop, _)) => stop,
            }
        };
        let ended = match select(std::pin::pin!(running), std::pin::pin!(watching)).await {
            Either::Left((ended, _)) => Some(ended),
            Either::Right((stop, running)) => {
                cancel.stop(stop);
                let grace = self.site.ports.clock.sleep_until(self.now() + self.limits.grace.delta());
                match select(running, std::pin::pin!(grace)).await {
                    Either::Left((ended, _)) => Some(ended),
                    Either::Right(_) => None,
                }
            }
        };
        let own = spec.rendered_for_good().is_none().then(|| rendered.masked());
        Ok(match conclude(ended, cancel.is_stopped()) {
            Concluded::Ended(outcome) => Attempted::Ended(outcome, own),
            Concluded::Lost => Attempted::Lost,
            Concluded::Halted => Attempted::Halted,
            Concluded::Unbegun(error) => Attempted::Unbegun(error),
        })
    }

    /// The templates of a run that has started.
    pub(super) async fn templates(
        &self,
        run: &Run,
        job: &JobSpec,
        realm: &RealmSpec,
    ) -> Result<Templates, StoreError> {
        let start = run.ts_start.unwrap_or_else(|| self.now());
        let (scene, _) = self.jobs().scene(run, job, realm, start).await?;
        Ok(Templates::new(self.registry.renderer().clone(), scene))
    }

    /// Payload and parameters: as the dispatcher rendered them, else rendered now.
    pub(super) async fn rendered(
        &self,
        spec: &RunSpec,
        job: &JobSpec,
        templates: &Templates,
    ) -> Result<Rendered, JobError> {
        let rendered = match spec.rendered_for_good() {
            Some(rendered) => rendered.clone(),
            None => Box::pin(self.jobs().render(job, templates)).await?,
        };
        rendered.remember_marked();
        Ok(rendered)
    }

    /// When the attempt must have ended, and how long that is.
    fn time_limit(&self, started: Timestamp, job: &JobSpec, invocation: &Invocation) -> Option<TimeLimit> {
        let own = job.fields.timeout.map(|timeout| started + timeout.delta());
        // Twice: once to stop, once to record that it did.
        let given = invocation.ends.map(|ends| ends - self.limits.grace.delta() * 2);
        let ends = match (own, given) {
            (Some(own), Some(given)) => own.min(given),
            (one, other) => one.or(other)?,
        };
        let limit = Span::from((ends - started).to_std().unwrap_or_default());
        Some(TimeLimit { ends, limit })
    }
}

/// The outcome of code of a job type or an action, which may panic.
pub(super) enum Caught<T> {
    Done(T),
    Failed(JobError),
    /// It panicked, with this text.
    Panicked(String),
}

/// Runs code of a job type or an action: a panic in it is a failure of it, not a lost worker.
pub(super) async fn caught<T>(code: impl Future<Output = Result<T, JobError>>) -> Caught<T> {
    match AssertUnwindSafe(code).catch_unwind().await {
        Ok(Ok(done)) => Caught::Done(done),
        Ok(Err(error)) => Caught::Failed(error),
        Err(panic) => Caught::Panicked(panic_text(&*panic).to_owned()),
    }
}

/// The conclusion of an attempt.
enum Concluded {
    /// This is recorded.
    Ended(Outcome),
    Lost,
    Halted,
    Unbegun(JobError),
}

/// The recorded end of an attempt: how it ended, or why it was stopped. Nothing when it was lost, or stopped with its
/// process before it ended well.
fn conclude(ended: Option<Caught<Ended>>, stop: Option<Stop>) -> Concluded {
    Concluded::Ended(match (ended, stop) {
        (_, Some(Stop::Lost)) => return Concluded::Lost,
        (Some(Caught::Failed(error)), None) if error.host_fault().is_some() => {
            return Concluded::Unbegun(error);
        }
        (Some(Caught::Done(Ended::Done(result))), _) => Outcome::Success(result),
        (Some(Caught::Failed(error)), Some(Stop::TimedOut(_))) if error.settled => failure(error),
        (Some(Caught::Failed(error)), Some(Stop::TimedOut(limit))) => {
            failure(JobError { data: error.data, ..JobError::timed_out(limit) })
        }
        (_, Some(Stop::Halted)) => return Concluded::Halted,
        (_, Some(Stop::Cancelled)) | (Some(Caught::Done(Ended::Cancelled)), None) => Outcome::Cancelled,
        (_, Some(Stop::TimedOut(limit))) => failure(JobError::timed_out(limit)),
        (Some(Caught::Failed(error)), _) => failure(error),
        (Some(Caught::Panicked(text)), _) => {
            failure(JobError::failed(format!("the job type panicked: {text}")))
        }
        (None, None) => failure(JobError::failed("the attempt did not end")),
    })
}

fn panic_text(panic: &(dyn std::any::Any + Send)) -> &str {
    let text = panic.downcast_ref::<String>().map(String::as_str);
    text.or_else(|| panic.downcast_ref::<&str>().copied()).unwrap_or("no message")
}

/// A failure as it is recorded: templates of actions see it as `result` (lava guide, Job Actions).
pub(super) fn failure(error: JobError) -> Outcome {
    let worded = error.lava_error().map(str::to_owned);
    let result = failed_result(worded.as_deref(), &error.message, error.data);
    Outcome::Failure { reason: error.message, result, retryable: error.retryable }
}

/// Where the jobs that a run starts come from.
pub(super) fn child_lineage(run: &Run) -> Lineage {
    let start = run.ts_start.unwrap_or(run.ts_dispatch);
    let above = run.lineage.as_ref();
    Lineage {
        master_job_id: above.map_or_else(|| run.job_id.clone(), |l| l.master_job_id.clone()),
        master_start: above.map_or(start, |l| l.master_start),
        parent_job_id: run.job_id.clone(),
        parent_start: start,
        depth: above.map_or(0, |l| l.depth) + 1,
        foreach_index: run.foreach_index.or(above.and_then(|l| l.foreach_index)),
        master_sent: above.is_some_and(|l| l.master_sent || !run.is_child()),
    }
}

/// Starts other jobs for a run, each request once however often the attempt is repeated.
pub(super) struct RunDispatches<'a> {
    dispatcher: &'a Dispatcher,
    run: &'a Run,
    job: &'a JobSpec,
    /// Distinguishes the attempt from the actions of the run.
    label: &'a str,
    calls: AtomicU32,
}

impl<'a> RunDispatches<'a> {
    pub(super) fn new(dispatcher: &'a Dispatcher, run: &'a Run, job: &'a JobSpec, label: &'a str) -> Self {
        Self { dispatcher, run, job, label, calls: AtomicU32::new(0) }
    }

    /// The origin of the next call: each has a label of its own.
    fn next(&self) -> OriginRun {
        let Self { run, job, label, .. } = self;
        let call = self.calls.fetch_add(1, Ordering::Relaxed);
        OriginRun {
            key: run.key.clone(),
            job_id: run.job_id.clone(),
            lineage: child_lineage(run),
            globals: job.fields.globals.clone().unwrap_or_default(),
            label: format!("{}.{label}.{call}", run.attempt),
        }
    }
}

#[async_trait]
impl Dispatches for RunDispatches<'_> {
    async fn dispatch(&self, requests: Vec<DispatchRequest>) -> Vec<Result<RunId, DispatchError>> {
        run_ids(self.dispatcher.dispatch(requests, Some(&self.next())).await)
    }

    async fn dispatch_together(&self, requests: Vec<DispatchRequest>) -> Vec<Result<RunId, DispatchError>> {
        run_ids(self.dispatcher.dispatch_together(requests, &self.next()).await)
    }
}

fn run_ids(outcomes: Vec<Result<Accepted, DispatchError>>) -> Vec<Result<RunId, DispatchError>> {
    outcomes.into_iter().map(|outcome| outcome.map(|accepted| accepted.run_id)).collect()
}

/// The directories of an invocation, with the files that the steps of the run share.
pub(super) struct RunDirectories<'a> {
    pub(super) site: &'a Site,
    pub(super) task: &'a Task<'a>,
    pub(super) realm: &'a RealmSpec,
    /// Held from the first use on: the attempt may change the files for as long as this is there.
    using: Mutex<Option<Use<'a>>>,
}

impl<'a> RunDirectories<'a> {
    pub(super) fn new(site: &'a Site, task: &'a Task<'a>, realm: &'a RealmSpec) -> Self {
        Self { site, task, realm, using: Mutex::default() }
    }
}

#[async_trait]
impl Directories for RunDirectories<'_> {
    async fn work(&self) -> Result<&Path, JobError> {
        let Task { run, job, invocation: Invocation { files, work_dir, .. }, .. } = self.task;
        let needs = Needs { work_dir: &**work_dir, site: self.site, realm: self.realm, run, job };
        let using = files.fetch(needs).await?;
        self.using.lock().unwrap_or_else(PoisonError::into_inner).get_or_insert(using);
        made(work_dir.work())
    }

    fn home(&self) -> Result<&Path, JobError> {
        made(self.task.invocation.work_dir.home())
    }

    fn temp(&self) -> Result<Box<dyn TempDir>, JobError> {
        made(self.task.invocation.work_dir.temp())
    }
}

impl Engine {
    /// The context of a job that runs in these directories.
    pub(super) fn job_context<'a, 'b: 'a>(
        &'a self,
        directories: &'a RunDirectories<'b>,
        templates: &'a Templates,
        dispatches: &'a dyn Dispatches,
        cancel: &'a Cancel,
    ) -> JobContext<'a> {
        let Site { realm: realm_name, settings, scratch, environment, credentials, ports, .. } = &*self.site;
        let RunDirectories { task: Task { run, job, .. }, realm, .. } = directories;
        JobContext {
            run,
            job,
            realm_name,
            realm,
            settings,
            templates,
            dispatches,
            connections: Connections { store: &*ports.connections, secrets: &*ports.secrets },
            objects: &*ports.objects,
            http: &*ports.http,
            messaging: &*ports.messaging,
            databases: &*ports.servers.databases,
            clock: &*ports.clock,
            pool: &*ports.pool,
            directories,
            machine: Machine { scratch, environment, credentials },
            cancel,
        }
    }
}
