//! One attempt of a job that runs by itself, watched: cancelled, timed out, its claim extended.

use std::panic::AssertUnwindSafe;
use std::sync::atomic::{AtomicU32, Ordering};

use async_trait::async_trait;
use futures_util::FutureExt;
use futures_util::future::{Either, select};

use super::apply::{ApplyError, log_gone};
use super::contexts::RunDirectories;
use super::dispatch::{Accepted, Dispatcher};
use super::told::Told;
use super::{Engine, Grip, Invocation};
use crate::Timestamp;
use crate::duration::Span;
use crate::ids::RunId;
use crate::job_type::{
    Cancel, DispatchError, Dispatches, Ended, JobError, Origin, Rendered, RunsJob, Stop, Templates,
};
use crate::ports::StoreError;
use crate::request::DispatchRequest;
use crate::run::{Input, Lineage, Outcome, Run, failed_result};
use crate::spec::{JobSpec, RealmSpec, RunSpec};

/// What an attempt came to.
#[expect(clippy::large_enum_variant, reason = "one at a time, and taken apart at once")]
pub(super) enum Attempted {
    /// An outcome to record, with what was rendered for this attempt alone.
    Ended(Outcome, Option<Rendered>),
    /// Another worker has the run; what this attempt did does not count.
    Lost,
    /// It was told to stop with its process; what it did does not count either.
    Halted,
    /// The host has run out of something, so that it could not begin.
    Unbegun(String),
}

impl Engine {
    /// Makes one attempt of a claimed run.
    pub(super) async fn attempt(
        &self,
        leaf: &dyn RunsJob,
        run: &Run,
        spec: &RunSpec,
        job: &JobSpec,
        realm: &RealmSpec,
        invocation: &Invocation,
    ) -> Result<Attempted, StoreError> {
        let templates = self.templates(run, job, realm).await?;
        let rendered = match self.rendered(spec, job, &templates).await {
            Ok(rendered) => rendered,
            Err(error) => return Ok(Attempted::Ended(failure(error), None)),
        };
        let cancel = Cancel::default();
        let dispatches = RunDispatches::new(self.dispatcher.clone(), origin(run, job, "run"));
        let directories = RunDirectories { site: &self.site, run, job, realm, invocation };
        let context = self.job_context(&directories, &templates, &dispatches, &cancel);
        let grip = Grip::of(run, self.limits.lease, self.site.alone);
        if !grip.is_firm(self.now()) {
            // This host stood still; another may have the run by now.
            return Ok(Attempted::Lost);
        }
        if grip.is_outdated(self.now()) {
            // Nobody has taken the run, but its parent may have gone on without it meanwhile.
            match self.look_after(run, &grip, invocation, None).await {
                Some(Stop::Cancelled) => return Ok(Attempted::Ended(Outcome::Cancelled, None)),
                Some(_) => return Ok(Attempted::Lost),
                None => {}
            }
        }
        if self.halt.is_stopping() {
            return Ok(Attempted::Halted);
        }
        // A panic in a job type is a failed attempt, not a lost worker.
        let running = AssertUnwindSafe(leaf.run(&context, &rendered)).catch_unwind();
        let limit = self.time_limit(self.now(), job, invocation);
        let watching = async {
            let watching = self.watch(run, limit, &grip, invocation, &cancel, None);
            match select(std::pin::pin!(watching), std::pin::pin!(self.halt.stopped())).await {
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
        let own = spec.rendered_for_good().is_none().then(|| rendered.clone());
        Ok(match conclude(ended, cancel.is_stopped()) {
            Concluded::Ended(outcome) => Attempted::Ended(outcome, own),
            Concluded::Lost => Attempted::Lost,
            Concluded::Halted => Attempted::Halted,
            Concluded::Unbegun(why) => Attempted::Unbegun(why),
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
        let (scene, _) = self.dispatcher.scene(run, job, realm, start).await?;
        Ok(Templates::new(self.registry.renderer().clone(), scene))
    }

    /// Payload and parameters: as the dispatcher rendered them, else rendered now.
    pub(super) async fn rendered(
        &self,
        spec: &RunSpec,
        job: &JobSpec,
        templates: &Templates,
    ) -> Result<Rendered, JobError> {
        if let Some(rendered) = spec.rendered_for_good() {
            return Ok(rendered.clone());
        }
        self.dispatcher.render(job, templates).await
    }

    /// Returns when the attempt is to stop, and why. `limit` is when its time is up, and how long
    /// that is; `told` is told when somebody else wrote the record.
    pub(super) async fn watch(
        &self,
        run: &Run,
        limit: Option<(Timestamp, Span)>,
        grip: &Grip,
        invocation: &Invocation,
        cancel: &Cancel,
        told: Option<&Told>,
    ) -> Stop {
        let clock = &self.site.ports.clock;
        loop {
            let now = self.now();
            if let Some(stop) = cancel.is_stopped() {
                return stop;
            }
            if let Some((ends, limit)) = limit
                && now >= ends
            {
                return Stop::TimedOut(limit);
            }
            let next = now + self.limits.watch.delta();
            clock.sleep_until(limit.map_or(next, |(ends, _)| next.min(ends))).await;
            if let Some(stop) = self.look_after(run, grip, invocation, told).await {
                return stop;
            }
        }
    }

    /// When the attempt must have ended, and how long that is.
    fn time_limit(
        &self,
        started: Timestamp,
        job: &JobSpec,
        invocation: &Invocation,
    ) -> Option<(Timestamp, Span)> {
        let own = job.fields.timeout.map(|timeout| started + timeout.delta());
        // Twice: once to stop, once to record that it did.
        let given = invocation.ends.map(|ends| ends - self.limits.grace.delta() * 2);
        let ends = match (own, given) {
            (Some(own), Some(given)) => own.min(given),
            (one, other) => one.or(other)?,
        };
        let span = (ends - started).to_std().unwrap_or_default();
        Some((ends, Span::from(span)))
    }

    /// Looks whether the run is still this invocation's and not cancelled, and extends the claim.
    async fn look_after(
        &self,
        run: &Run,
        grip: &Grip,
        invocation: &Invocation,
        told: Option<&Told>,
    ) -> Option<Stop> {
        let stored = match self.site.ports.runs.peek(&run.key).await {
            Ok(Some(stored)) => stored,
            Ok(None) => {
                log_gone(run);
                return Some(Stop::Lost);
            }
            // A store that does not answer now may answer next time; the lease bounds the wait.
            Err(_) => return grip.is_over(self.now()).then_some(Stop::Lost),
        };
        if !stored.is_held(&invocation.owner, run.epoch) {
            return Some(Stop::Lost);
        }
        if stored.cancel {
            return Some(Stop::Cancelled);
        }
        if let Some(told) = told {
            told.see(&stored);
        }
        let now = self.now();
        let half = self.limits.lease.delta() / 2;
        if invocation.ends.is_none() && grip.until() - now < half {
            let until = now + self.limits.lease.delta();
            let input = Input::Extend { worker: invocation.owner.clone(), epoch: run.epoch, until };
            match self.dispatcher.apply(stored, input).await {
                Ok(extended) => {
                    grip.extend(until);
                    if let Some(told) = told {
                        told.wrote(&extended);
                    }
                }
                Err(ApplyError::Illegal(..)) => return Some(Stop::Lost),
                Err(_) if grip.is_over(now) => return Some(Stop::Lost),
                Err(_) => {}
            }
        }
        None
    }
}

type Caught = Result<Result<Ended, JobError>, Box<dyn std::any::Any + Send>>;

/// What an attempt comes to.
enum Concluded {
    /// This is recorded.
    Ended(Outcome),
    Lost,
    Halted,
    Unbegun(String),
}

/// What is recorded of an attempt: how it ended, or why it was stopped. Nothing when it was lost, or stopped with its
/// process before it ended well.
fn conclude(ended: Option<Caught>, stop: Option<Stop>) -> Concluded {
    Concluded::Ended(match (ended, stop) {
        (_, Some(Stop::Lost)) => return Concluded::Lost,
        (Some(Ok(Err(error))), None) if error.host_exhausted => return Concluded::Unbegun(error.message),
        (Some(Ok(Ok(Ended::Done(result)))), _) => Outcome::Success(result),
        (Some(Ok(Err(error))), Some(Stop::TimedOut(_))) if error.settled => failure(error),
        (Some(Ok(Err(error))), Some(Stop::TimedOut(limit))) => {
            failure(JobError { data: error.data, ..JobError::timed_out(limit) })
        }
        (_, Some(Stop::Halted)) => return Concluded::Halted,
        (_, Some(Stop::Cancelled)) | (Some(Ok(Ok(Ended::Cancelled))), None) => Outcome::Cancelled,
        (_, Some(Stop::TimedOut(limit))) => failure(JobError::timed_out(limit)),
        (Some(Ok(Err(error))), _) => failure(error),
        (Some(Err(panic)), _) => {
            failure(JobError::failed(format!("the job type panicked: {}", panic_text(&*panic))))
        }
        (None, None) => failure(JobError::failed("the attempt did not end")),
    })
}

pub(super) fn panic_text(panic: &(dyn std::any::Any + Send)) -> &str {
    let text = panic.downcast_ref::<String>().map(String::as_str);
    text.or_else(|| panic.downcast_ref::<&str>().copied()).unwrap_or("no message")
}

/// A failure as it is recorded: templates of actions see it as `result` (lava guide, Job Actions).
pub(super) fn failure(error: JobError) -> Outcome {
    let result = failed_result(error.error.as_deref(), &error.message, error.data);
    Outcome::Failure { reason: error.message, result, retryable: error.retryable }
}

/// A run as the one that starts other jobs. `label` tells apart its attempt and its actions.
pub(super) fn origin(run: &Run, job: &JobSpec, label: &str) -> Origin {
    Origin {
        key: run.key.clone(),
        job_id: run.job_id.clone(),
        lineage: child_lineage(run),
        globals: job.fields.globals.clone().unwrap_or_default(),
        label: format!("{}.{label}", run.attempt),
    }
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
    }
}

/// Starts other jobs for a run, each request once however often the attempt is repeated.
pub(super) struct RunDispatches {
    dispatcher: Dispatcher,
    origin: Origin,
    calls: AtomicU32,
}

impl RunDispatches {
    pub(super) fn new(dispatcher: Dispatcher, origin: Origin) -> Self {
        Self { dispatcher, origin, calls: AtomicU32::new(0) }
    }

    /// The origin of the next call: each has a label of its own.
    fn next(&self) -> Origin {
        let call = self.calls.fetch_add(1, Ordering::Relaxed);
        Origin { label: format!("{}.{call}", self.origin.label), ..self.origin.clone() }
    }
}

#[async_trait]
impl Dispatches for RunDispatches {
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
