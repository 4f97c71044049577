//! When somebody looks at a run next, and the message for it.

use chrono::TimeDelta;

use super::decide::{MAX_LULL, WAKE_GRACE, plain};
use super::input::{Decision, IllegalTransition, Wake};
use super::record::Run;
use crate::Timestamp;
use crate::request::MAX_DELAY;

/// Sets the time of the next look, and gives the message for it when a queue can hold it that long.
pub(super) fn wake(run: &mut Run, now: Timestamp) -> Option<Wake> {
    let at = run.not_before.max(now);
    if run.is_addressed() {
        // Its host looks for it by itself: a message on the queue could come to any.
        run.due_at = Some(at + WAKE_GRACE.delta());
        return None;
    }
    if at - now > MAX_DELAY.delta() {
        run.due_at = Some(at - MAX_DELAY.delta());
        return None;
    }
    run.due_at = Some(at + WAKE_GRACE.delta());
    Some(Wake { at })
}

/// The message that a run which was just made needs; `None` when the sweeper sends it later.
#[must_use]
pub fn first_wake(run: &mut Run, now: Timestamp) -> Option<Wake> {
    wake(run, now)
}

/// Somebody looks at what is due: a message for it, and a later time for the next look.
pub(super) fn sweep(run: &Run, now: Timestamp) -> Result<Decision, IllegalTransition> {
    if run.due_at.is_none_or(|due| now < due) {
        return Err(IllegalTransition::Nothing);
    }
    let mut next = run.clone();
    if run.handed_over.is_some() && run.may_be_foreign() {
        // A message of its own would start it once more: lava runs what it is sent.
        next.due_at = Some(now + lull(run, now));
        return Ok(plain(next));
    }
    let wake = wake(&mut next, now);
    if let Some(wake) = &wake {
        next.due_at = Some(wake.at + lull(run, now));
    }
    Ok(Decision { run: next, wake, lock: None })
}

/// How long a run is left alone that was looked at: the longer it has waited the longer, for one that stands
/// in a long line must not get a further message every minute.
pub(super) fn lull(run: &Run, now: Timestamp) -> TimeDelta {
    let since = run.lease.as_ref().map_or(run.not_before, |lease| lease.until.max(run.not_before));
    let waited = now - run.ts_end.map_or(since, |end| end.max(since));
    waited.min(MAX_LULL.delta()).max(WAKE_GRACE.delta())
}
