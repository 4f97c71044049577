//! What happens to runs of workers that are lava's own.

use serde_json::{Value, json};

use super::decide::{WAKE_GRACE, end, plain};
use super::fits::without_duties;
use super::input::{Decision, IllegalTransition, Told};
use super::record::Run;
use super::status::Status;
use super::wake::lull;
use crate::Timestamp;

/// Of several that would send the same message, one may.
pub(super) fn giving(run: &Run, now: Timestamp) -> Result<Decision, IllegalTransition> {
    without_duties(run, now)?;
    let due = run.due_at.is_some_and(|due| due <= now);
    if !due || !run.may_be_foreign() || run.handed_over.is_some() {
        return Err(IllegalTransition::Nothing);
    }
    Ok(plain(Run { due_at: Some(now + lull(run, now)), ..run.clone() }))
}

pub(super) fn hand_over(run: &Run, now: Timestamp) -> Result<Decision, IllegalTransition> {
    without_duties(run, now)?;
    if !run.may_be_foreign() || run.handed_over.is_some() {
        return Err(IllegalTransition::Nothing);
    }
    let mut next = run.clone();
    next.handed_over = Some(now);
    next.due_at = Some(run.not_before.max(now) + WAKE_GRACE.delta());
    let about = format!("given to worker {}, which is lava's own", run.worker);
    next.log.push(Status::Dispatched, now, Value::String(about));
    Ok(plain(next))
}

/// The end that a worker of lava's own has recorded. Retries and actions were its own business.
pub(super) fn foreign_end(run: &Run, told: Told, now: Timestamp) -> Result<Decision, IllegalTransition> {
    without_duties(run, now)?;
    if !run.may_be_foreign() || !told.status.is_end() {
        return Err(IllegalTransition::Nothing);
    }
    let mut next = run.clone();
    // Nobody may claim what was read before.
    next.epoch += 1;
    next.reason = told.reason();
    next.hostname = told.hostname;
    let info = if told.status == Status::Complete { Value::Null } else { told.info.clone() };
    next.log.push(told.status, told.ended, info);
    next.set_result(match told.info {
        Value::String(text) => json!({ "error": text }),
        info => info,
    });
    let mut decision = end(next, told.status, None, false, told.ended);
    // Only now: what was never claimed has no lock to free.
    decision.run.ts_start = told.began;
    Ok(decision)
}
