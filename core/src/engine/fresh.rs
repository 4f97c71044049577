//! A run that is about to be made: its record and its first message.

use serde_json::{Map, Value, json};

use super::Limits;
use super::dispatch::Dispatcher;
use super::foreign::message_for_lava;
use crate::Timestamp;
use crate::globals::merge_globals;
use crate::ids::{RunId, RunKey};
use crate::job_type::{DispatchError, Origin};
use crate::message::{MAX_MESSAGE_BYTES, Message, iso};
use crate::ports::Outgoing;
use crate::request::{DispatchRequest, When};
use crate::run::{Input, Lineage, RetryRule, Run, Status, Worker, decide, first_wake};
use crate::spec::JobSpec;

/// The first message of a run.
pub(super) enum First {
    /// There is none: the run has ended already, the sweeper alone sends it, or one host looks for it.
    None,
    /// Its queue takes it now, and holds it until the run is due.
    Now(Outgoing),
    /// The run is due later than a queue holds a message: the sweeper sends one in time, and a
    /// scheduler, where there is one, this one.
    Later(Outgoing),
}

impl Dispatcher {
    /// The record of a run of this job.
    pub(super) fn record(
        &self,
        job: &JobSpec,
        key: RunKey,
        run_id: RunId,
        now: Timestamp,
        not_before: Timestamp,
    ) -> Run {
        let fields = &job.fields;
        let about = (fields.job_id.clone(), fields.r#type.clone(), fields.worker.clone());
        let mut run = Run::dispatched(key, run_id, about, now, not_before, self.site().settings.event_ttl);
        run.retry = RetryRule {
            limit: fields.iteration_limit.unwrap_or(1),
            delay: fields.iteration_delay.unwrap_or_default(),
            backoff: fields.retry_backoff.unwrap_or_default(),
            max_tries: fields.max_tries.unwrap_or(0),
        };
        run.set_overlap(fields.overlap.unwrap_or_default());
        run
    }

    /// The message that says that the run is there, for whoever holds it until its time.
    pub(super) fn first_message(
        &self,
        run: &mut Run,
        job: &JobSpec,
        request: &DispatchRequest,
        origin: Option<&Origin>,
        now: Timestamp,
    ) -> Result<First, DispatchError> {
        let wake = first_wake(run, now);
        if run.is_addressed() {
            return Ok(First::None);
        }
        if wake.is_none() && !self.is_foreign(&run.worker) {
            let message = Message::reminder(&self.site().realm, run);
            return Ok(First::Later(Outgoing { message, at: run.not_before }));
        }
        let message = if self.is_foreign(&run.worker) {
            message_for_lava(&self.site().realm, run, &job.document)
        } else {
            let mut message = Message::about(&self.site().realm, run);
            let globals = origin_globals(request, origin);
            message.parameters = Some(request.parameters.clone()).filter(|map| !map.is_empty());
            message.globals = Some(globals).filter(|map| !map.is_empty());
            message
        };
        if message.parameters.is_some() || message.globals.is_some() {
            let bytes = message.body().len();
            if bytes > MAX_MESSAGE_BYTES {
                let text = format!(
                    "parameters and globals make a message of {bytes} bytes; the limit is {MAX_MESSAGE_BYTES}"
                );
                return Err(DispatchError::TooLarge(text));
            }
        }
        // To a worker of lava's own a reminder would say nothing.
        Ok(wake.map_or(First::None, |wake| First::Now(Outgoing { message, at: wake.at })))
    }
}

/// The globals that go along in a message: the parent's, the request's over them, and, as lava
/// does, what the engine itself tells.
fn origin_globals(request: &DispatchRequest, origin: Option<&Origin>) -> Map<String, Value> {
    let Some(origin) = origin else { return request.globals.clone() };
    let mut globals = merge_globals(&Map::new(), &origin.globals, &request.globals);
    globals.insert("lava".to_owned(), own_globals(&origin.lineage));
    globals
}

/// What lava keeps under `globals.lava` in a message (lava guide, Globals Owned by Lava).
pub(super) fn own_globals(lineage: &Lineage) -> Value {
    let mut own = json!({
        "master_job_id": lineage.master_job_id,
        "master_start": iso(lineage.master_start),
        "master_ustart": iso(lineage.master_start),
        "parent_job_id": lineage.parent_job_id,
        "parent_start": iso(lineage.parent_start),
        "parent_ustart": iso(lineage.parent_start),
    });
    if let Some(index) = lineage.foreach_index {
        own["foreach_index"] = index.into();
    }
    own
}

pub(super) fn not_before(when: When, now: Timestamp) -> Timestamp {
    match when {
        When::Now => now,
        When::After(delay) => now + delay.delta(),
        When::At(at) => at.max(now),
    }
}

/// The record of a run that its job's `enabled: false` ends at once.
pub(super) fn skipped(run: &Run, now: Timestamp) -> Run {
    let input = Input::Close {
        epoch: run.epoch,
        status: Status::Skipped,
        reason: "the job is not enabled".to_owned(),
        on_fail: false,
        tell_parent: false,
        worker: Worker("dispatcher".to_owned()),
        until: now + Limits::default().lease.delta(),
    };
    // A record that was just made can always be closed.
    decide(run, input, now).map_or_else(|_| run.clone(), |decision| decision.run)
}
