//! A run that is about to be made: its record and its first message.

use serde_json::{Map, Value};

use super::lava::message::{message_for_lava, own_globals};
use super::limits::Limits;
use crate::Timestamp;
use crate::duration::Span;
use crate::globals::merge_globals;
use crate::ids::{JobId, RealmName, RunId, RunKey};
use crate::job_type::{DispatchError, OriginRun};
use crate::message::{MAX_MESSAGE_BYTES, Message};
use crate::ports::Outgoing;
use crate::request::{DispatchRequest, When};
use crate::run::{IllegalTransition, Input, NOT_ENABLED, RetryRule, Run, Status, Worker, decide, first_wake};
use crate::spec::{Asked, JobSpec, WorkerKind};

/// The first message of a run.
#[derive(Debug)]
pub(super) enum First {
    /// There is none: the run has ended already, the sweeper alone sends it, or one host looks for it.
    None,
    /// Its queue takes it now, and holds it until the run is due.
    Now(Outgoing),
    /// The run is due later than a queue holds a message: the sweeper sends one in time, and the port
    /// for wake-ups, where there is one, this one.
    Later(Outgoing),
}

/// The run that a job has under an idempotency key.
pub(super) fn keyed_run(realm: &RealmName, job_id: &JobId, key: &str) -> RunId {
    RunId::from_key(realm, job_id, &format!("key:{key}"))
}

/// The record of a run of this job, kept for so long, or for good.
pub(super) fn record(
    job: &JobSpec,
    key: RunKey,
    run_id: RunId,
    now: Timestamp,
    not_before: Timestamp,
    keep: Option<Span>,
) -> Run {
    let fields = &job.fields;
    let about = (fields.job_id.clone(), fields.r#type.clone(), fields.worker.clone());
    let mut run = Run::dispatched(key, run_id, about, now, not_before, keep);
    run.retry = RetryRule {
        limit: fields.iteration_limit.unwrap_or(1),
        delay: fields.iteration_delay.unwrap_or_default(),
        backoff: fields.retry_backoff.unwrap_or_default(),
        max_tries: fields.max_tries.unwrap_or(0),
    };
    run.set_overlap(fields.overlap.unwrap_or_default());
    run
}

/// The message that says that the run is there, for the holder of the message until its time.
pub(super) fn first_message(
    realm: &RealmName,
    run: &mut Run,
    (job, worker): (&JobSpec, WorkerKind),
    request: &DispatchRequest,
    origin: Option<&OriginRun>,
    now: Timestamp,
) -> Result<First, DispatchError> {
    let wake = first_wake(run, now);
    if run.is_addressed() {
        return Ok(First::None);
    }
    if wake.is_none() && !worker.is_lavas() {
        let message = Message::reminder(realm, run);
        return Ok(First::Later(Outgoing { message, at: run.not_before }));
    }
    let message = if worker.is_lavas() {
        message_for_lava(realm, run, &job.document)
    } else {
        let mut message = Message::about(realm, run);
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
    // A lava worker has no use for a reminder.
    Ok(wake.map_or(First::None, |wake| First::Now(Outgoing { message, at: wake.at })))
}

/// The globals that go along in a message: the parent's, the request's over them, and, as in lava,
/// the engine's own.
fn origin_globals(request: &DispatchRequest, origin: Option<&OriginRun>) -> Map<String, Value> {
    let Some(origin) = origin else { return request.globals.clone() };
    let mut globals = merge_globals(&Map::new(), &origin.globals, &request.globals);
    globals.insert("lava".to_owned(), own_globals(&origin.lineage));
    globals
}

/// The values that a request gives its run over those of the job's spec.
pub(super) fn asked(request: &DispatchRequest, origin: Option<&OriginRun>) -> Box<Asked> {
    let none = Map::new();
    let globals = merge_globals(&none, origin.map_or(&none, |origin| &origin.globals), &request.globals);
    Box::new(Asked { parameters: request.parameters.clone(), globals })
}

pub(super) fn not_before(when: When, now: Timestamp) -> Timestamp {
    match when {
        When::Now => now,
        When::After(delay) => now + delay.delta(),
        When::At(at) => at.max(now),
    }
}

/// The record of a run that its job's `enabled: false` ends at once.
///
/// # Errors
/// [`IllegalTransition`] when the record is not a new one.
pub(super) fn skipped(run: &Run, now: Timestamp) -> Result<Run, IllegalTransition> {
    let input = Input::Close {
        epoch: run.epoch,
        status: Status::Skipped,
        reason: NOT_ENABLED.to_owned(),
        on_fail: false,
        tell_parent: false,
        worker: Worker("dispatcher".to_owned()),
        until: now + Limits::default().lease.delta(),
    };
    decide(run, input, now).map(|decision| decision.run)
}
