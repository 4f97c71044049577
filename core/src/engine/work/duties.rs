//! Duties after an attempt has ended: actions, the parent, the next in line.

use futures_util::future::{Either, select};
use serde_json::Value;

use super::Engine;
use super::attempt::{Caught, RunDispatches, caught};
use super::lease::LeaseGuard;
use super::task::Invocation;
use crate::Timestamp;
use crate::connection::Connections;
use crate::duration::Span;
use crate::engine::ledger::apply::rest;
use crate::engine::rendered::action_fields;
use crate::job_type::{ActionContext, Cancel, JobError, Stop, Templates};
use crate::ports::{ObjectStore, StoreError};
use crate::run::{Duties, Input, Run, Status};
use crate::spec::{ActionSpec, ActionsWhen, JobSpec};

impl Engine {
    /// Does what is left about an attempt that has ended, if anything.
    pub(super) async fn see_to_duties(
        &self,
        run: Run,
        job: &JobSpec,
        invocation: &Invocation,
    ) -> Result<Run, StoreError> {
        if let Some(duties) = run.duties.clone() {
            // Boxed: most runs have none, and would carry its room about.
            return Box::pin(self.carry_out_duties(run, duties, job, invocation)).await;
        }
        self.ledger().call_next(&run).await;
        Ok(run)
    }

    async fn carry_out_duties(
        &self,
        mut run: Run,
        duties: Duties,
        job: &JobSpec,
        invocation: &Invocation,
    ) -> Result<Run, StoreError> {
        if let Some(when) = duties.actions {
            let realm = self.site.ports.jobs.realm().await?;
            let (own, inherited) = (job.actions(), realm.actions());
            let actions = own.or(&inherited, when);
            let templates = self.templates(&run, job, &realm).await?;
            for (index, action) in actions.iter().enumerate().skip(duties.done as usize) {
                let lease = LeaseGuard::of(&run, self.limits.lease, self.site.alone);
                let firm = lease.firm_until().is_none_or(|until| self.now() < until);
                if !firm {
                    // This host stood still, or they took too long: another one performs the rest.
                    return Ok(run);
                }
                if self.halt.is_stopping() {
                    return self.leave_duties(run, invocation).await;
                }
                let error =
                    match self.perform((when, index), action, (&run, job), &templates, invocation).await {
                        Performed::Done => None,
                        Performed::Failed(error) => Some(error),
                        Performed::Left => return self.leave_duties(run, invocation).await,
                    };
                let last = index + 1 == actions.len();
                // The last one that went well needs no record of its own: clearing the duties shows it.
                if error.is_some() || !last {
                    let place = u32::try_from(index).unwrap_or(u32::MAX);
                    let input = Input::ActionDone {
                        worker: invocation.owner.clone(),
                        epoch: run.epoch,
                        index: place,
                        error,
                    };
                    run = match self.ledger().apply(run, input).await {
                        Ok(next) => next,
                        Err(error) => return rest(error),
                    };
                }
            }
        }
        self.tell_and_clear(run, invocation).await
    }

    /// Gives up the claim on duties that this process or invocation has no time for: another one performs them at once.
    async fn leave_duties(&self, run: Run, invocation: &Invocation) -> Result<Run, StoreError> {
        let input = Input::LeaveDuties { worker: invocation.owner.clone(), epoch: run.epoch };
        self.ledger().apply(run, input).await.or_else(rest)
    }

    /// Notifies the parent where that is a duty, and records that no duties are left.
    pub(super) async fn tell_and_clear(&self, run: Run, invocation: &Invocation) -> Result<Run, StoreError> {
        let Some(duties) = &run.duties else {
            self.ledger().call_next(&run).await;
            return Ok(run);
        };
        if duties.wake_parent
            && let Some(parent) = run.key.parent()
            && let Some(parent) = self.site.ports.runs.peek(&parent).await?
        {
            // A parent that does not wait for this child any more needs no notification.
            if let Err(error) = self.ledger().apply(parent, Input::ChildEnded).await {
                rest(error)?;
            }
        }
        let input = Input::DutiesDone { worker: invocation.owner.clone(), epoch: run.epoch };
        match self.ledger().apply(run, input).await {
            Ok(done) => {
                self.ledger().call_next(&done).await;
                Ok(done)
            }
            Err(error) => rest(error),
        }
    }

    /// Logs how a run went, once it has ended, when its job or else its realm asks for metrics (lava guide, The Jobs Table, `cw_metrics`). A log that CloudWatch reads
    /// makes metrics of it.
    pub(super) fn measure(&self, run: &Run, job: &JobSpec) {
        let settings = &self.site.settings;
        let is_measured = matches!(run.status, Status::Complete | Status::Failed);
        if !is_measured || !job.fields.cw_metrics.unwrap_or(settings.cw_metrics_job) {
            return;
        }
        let Some(start) = run.ts_start else { return };
        let run_time_ms = (run.ts_end.unwrap_or_else(|| self.now()) - start).num_milliseconds();
        let run_delay_ms = (start - run.ts_dispatch).num_milliseconds();
        let (namespace, failed) = (&settings.cw_namespace, run.status == Status::Failed);
        tracing::info!(target: "pumice::metrics", job_id = %run.job_id, run_id = %run.run_id, worker = %run.worker, %namespace, run_time_ms, run_delay_ms, failed, "metrics");
    }

    async fn perform(
        &self,
        (when, index): (ActionsWhen, usize),
        spec: &ActionSpec,
        (run, job): (&Run, &JobSpec),
        templates: &Templates,
        invocation: &Invocation,
    ) -> Performed {
        let place = format!("{}[{index}]", when.field());
        let fields = match self.action(when, spec, run, templates).await {
            Ok(fields) => fields,
            Err(NotPerformed::Malformed(fault)) => return failed(run, format!("{place}: {fault}")),
            Err(NotPerformed::Failed(error)) => {
                return failed(run, format!("{place} {}: {error}", spec.kind()));
            }
        };
        let Some(performer) = self.runners.performer(spec.kind()) else {
            return failed(run, format!("{place} {}: no such action", spec.kind()));
        };
        let label = format!("{}.{index}", when.field());
        let dispatches = RunDispatches::new(self.dispatcher(), run, job, &label);
        let cancel = Cancel::default();
        let context = ActionContext {
            realm_name: &self.site.realm,
            job_id: &run.job_id,
            run_id: run.run_id,
            worker: &run.worker,
            result: &run.result,
            settings: &self.site.settings,
            dispatches: &dispatches,
            connections: Connections {
                store: &*self.site.ports.connections,
                secrets: &*self.site.ports.secrets,
            },
            state: &*self.site.ports.state,
            objects: &*self.site.ports.objects,
            mail: &*self.site.ports.servers.mail,
            http: &*self.site.ports.http,
            messaging: &*self.site.ports.messaging,
            clock: &*self.site.ports.clock,
            cancel: &cancel,
        };
        let time = self.action_time(performer.timeout(), run, invocation);
        let performing = caught(performer.perform(&context, &fields));
        match self.watch_action(performing, &time, &cancel).await {
            Watched::Ended(Caught::Done(())) => Performed::Done,
            Watched::Ended(Caught::Failed(error)) => failed(run, format!("{place} {}: {error}", spec.kind())),
            Watched::Ended(Caught::Panicked(text)) => {
                failed(run, format!("{place} {}: the action panicked: {text}", spec.kind()))
            }
            Watched::TimedOut(limit) => {
                failed(run, format!("{place} {}: {}", spec.kind(), JobError::timed_out(limit)))
            }
            Watched::Left => {
                let (job_id, run_id) = (&run.job_id, run.run_id);
                tracing::warn!(%job_id, %run_id, action = %place, "an action was stopped; it is performed again");
                Performed::Left
            }
        }
    }

    /// The fields of an action with their templates rendered.
    async fn action(
        &self,
        when: ActionsWhen,
        spec: &ActionSpec,
        run: &Run,
        templates: &Templates,
    ) -> Result<Value, NotPerformed> {
        if let Some(fault) = spec.fault() {
            return Err(NotPerformed::Malformed(fault));
        }
        let no_such = || NotPerformed::Failed(JobError::permanent("no such action"));
        let action = self.registry.action(spec.kind()).ok_or_else(no_such)?;
        let mut result = with_locations(&run.result, &*self.site.ports.objects);
        if when == ActionsWhen::OnSuccess
            && let Some(fields) = result.as_object_mut()
            && fields.get("error").is_some_and(Value::is_null)
        {
            // lava adds it when the actions are done (lava's run_job).
            fields.remove("error");
        }
        let given = match spec.fields() {
            Value::Object(given) => given,
            _ => serde_json::Map::new(),
        };
        let fields = action_fields(self.jobs(), templates, given, action.structures(), result).await;
        fields.map_err(NotPerformed::Failed)
    }

    /// How long an action may take that begins now, whose limit is `limit`. The claim must hold for all of it, and so
    /// must the invocation.
    fn action_time(&self, limit: Span, run: &Run, invocation: &Invocation) -> ActionTime {
        let (began, grace) = (self.now(), self.limits.grace.delta());
        let lease = LeaseGuard::of(run, self.limits.lease, self.site.alone);
        let given = invocation.ends.map(|ends| ends - grace);
        let ends = lease.firm_until().into_iter().chain(given).min().map(|ends| ends.max(began));
        let whole = invocation.ends.map_or(self.limits.lease.delta(), |ends| ends - invocation.began);
        match ends.filter(|ends| *ends < began + limit.delta()) {
            None => ActionTime { until: began + limit.delta(), limit, is_cut: false },
            Some(ends) => {
                let left = ends - began;
                // Another invocation has little more time for it than this one.
                let is_most = left * 2 >= whole;
                ActionTime {
                    until: ends,
                    limit: Span::from(left.to_std().unwrap_or_default()),
                    is_cut: !is_most,
                }
            }
        }
    }

    /// Waits for an action to end, for no longer than its time and than the process goes on.
    async fn watch_action(
        &self,
        performing: impl Future<Output = Caught<()>>,
        time: &ActionTime,
        cancel: &Cancel,
    ) -> Watched {
        let clock = &self.site.ports.clock;
        let (performing, halted) = (std::pin::pin!(performing), std::pin::pin!(self.halt.stopped()));
        // Where both come at once the process stops: an action that is cut off by that has not failed.
        let stopping = select(halted, clock.sleep_until(time.until));
        let (halted, performing) = match select(performing, stopping).await {
            Either::Left((ended, _)) => return Watched::Ended(ended),
            Either::Right((Either::Left(_), performing)) => (true, performing),
            Either::Right((Either::Right(_), performing)) => (false, performing),
        };
        if !halted {
            cancel.stop(Stop::TimedOut(time.limit));
            return if time.is_cut { Watched::Left } else { Watched::TimedOut(time.limit) };
        }
        cancel.stop(Stop::Halted);
        // One that is nearly done may end, so that it is not performed twice.
        let grace = clock.sleep_until(self.now() + self.limits.grace.delta());
        match select(performing, grace).await {
            // The error of an action that was stopped says nothing about the action.
            Either::Left((ended, _)) if matches!(ended, Caught::Done(())) => Watched::Ended(ended),
            _ => Watched::Left,
        }
    }
}

/// The outcome of an action.
enum Performed {
    Done,
    /// It is recorded as `action_failed`, for this reason.
    Failed(String),
    /// It was stopped with its process or its invocation, and stays a duty.
    Left,
}

/// Why an action was not begun.
enum NotPerformed {
    /// It names no kind.
    Malformed(String),
    Failed(JobError),
}

/// The time of an action.
struct ActionTime {
    until: Timestamp,
    /// How long that is.
    limit: Span,
    /// Whether its own limit is longer, and another invocation gives it more time.
    is_cut: bool,
}

/// The outcome of watching an action.
enum Watched {
    Ended(Caught<()>),
    TimedOut(Span),
    Left,
}

fn failed(run: &Run, error: String) -> Performed {
    tracing::warn!(job_id = %run.job_id, run_id = %run.run_id, %error, "an action failed");
    Performed::Failed(error)
}

/// A result with the whole locations of what commands printed, for templates: records keep them short.
fn with_locations(result: &Value, objects: &dyn ObjectStore) -> Value {
    let mut result = result.clone();
    let below = if result.get("error_data").is_some_and(Value::is_object) {
        result.pointer_mut("/error_data/output")
    } else {
        result.pointer_mut("/output")
    };
    for output in below.and_then(Value::as_array_mut).into_iter().flatten() {
        for stream in ["stdout", "stderr"] {
            if let Some(Value::String(place)) = output.get_mut(stream) {
                *place = objects.located(place);
            }
        }
    }
    result
}
