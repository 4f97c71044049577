//! Transitions of a run in the line of its gate.

use serde_json::Value;

use super::guards::unbegun;
use super::input::{Decision, IllegalTransition, Wake};
use super::record::Run;
use super::status::Status;
use super::waits::{HOLD, POLL};
use super::wakes::{keep_first_due, lull, plain, wake};
use crate::Timestamp;
use crate::permits::{Admit, Gate, is_absent};

/// Has a run wait in line. It is called when its turn comes; should that be lost, it looks by itself: the sooner, the
/// nearer it stands to the front.
pub(super) fn queue(
    run: &Run,
    ticket: u64,
    ahead: usize,
    now: Timestamp,
) -> Result<Decision, IllegalTransition> {
    unbegun(run, now)?;
    let mut next = run.clone();
    let Some(permit) = &mut next.permit else { return Err(IllegalTransition::Nothing) };
    permit.ticket.get_or_insert(ticket);
    permit.called = None;
    let gate = permit.gate.as_ref().map(Gate::words).unwrap_or_default();
    if run.status != Status::Waiting {
        next.log.push(Status::Waiting, now, Value::String(format!("for a permit of {gate}")));
    }
    next.status = Status::Waiting;
    keep_first_due(&mut next);
    let places = i32::try_from(ahead.saturating_add(1)).unwrap_or(i32::MAX);
    let pause = HOLD.delta().checked_mul(places).map_or(POLL.delta(), |pause| pause.min(POLL.delta()));
    next.not_before = now + pause;
    next.due_at = Some(next.not_before);
    Ok(plain(next))
}

/// Calls a run from the line. Its message goes before those that wait in its queue, as it has waited already.
pub(super) fn called(run: &Run, now: Timestamp) -> Result<Decision, IllegalTransition> {
    let mut next = run.clone();
    let Some(permit) = &mut next.permit else { return Err(IllegalTransition::Nothing) };
    if permit.called.is_some() {
        return Err(IllegalTransition::Nothing);
    }
    permit.called = Some(now);
    next.not_before = now;
    let at = next.first_due.unwrap_or(now).min(now);
    let wake = wake(&mut next, now).map(|_| Wake { at });
    Ok(Decision { wake, ..plain(next) })
}

/// Takes a run out of the line that does not come. It goes to the end of the line when it does.
pub(super) fn absent(run: &Run, now: Timestamp) -> Result<Decision, IllegalTransition> {
    unbegun(run, now)?;
    if !run.waits_for_permit() || !is_absent(run, now) {
        return Err(IllegalTransition::Nothing);
    }
    let mut next = run.clone();
    next.leave_line();
    next.due_at = Some(now + lull(run, now));
    Ok(plain(next))
}

/// Whether a run that is to pass its gate stands where it stood when that was looked at: others may have passed it since.
pub(super) fn still_in_its_place(run: &Run, admit: Option<Admit>) -> Result<(), IllegalTransition> {
    let ticket = run.permit.as_ref().and_then(|permit| permit.ticket);
    if admit.is_some_and(|admit| admit.ticket != ticket) {
        return Err(IllegalTransition::Nothing);
    }
    Ok(())
}
