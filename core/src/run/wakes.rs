//! When a run is looked at next: by its message, or else by the sweeper.

use chrono::TimeDelta;

use super::input::{Decision, Wake};
use super::look::EARLY;
use super::record::Run;
use super::waits::{MAX_LULL, WAKE_GRACE};
use crate::Timestamp;
use crate::request::MAX_DELAY;

/// The record, with nothing that follows.
pub(super) fn plain(run: Run) -> Decision {
    Decision { run, wake: None, lock: None, permit: None }
}

/// Keeps the time at which a run was due at first, before `not_before` is moved. In a record of a version that did not keep
/// it, `not_before` may be that of a later look: a run does not start before its time.
pub(super) fn keep_first_due(run: &mut Run) {
    if run.ts_start.is_none_or(|start| run.not_before <= start + EARLY.delta()) {
        run.first_due.get_or_insert(run.not_before);
    }
}

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

/// Back-off before the next sweep. It grows with the time that the run has waited: a run in a long line must not get a
/// message every minute.
pub(super) fn lull(run: &Run, now: Timestamp) -> TimeDelta {
    let since = run.lease.as_ref().map_or(run.not_before, |lease| lease.until.max(run.not_before));
    let waited = now - run.ts_end.map_or(since, |end| end.max(since));
    waited.min(MAX_LULL.delta()).max(WAKE_GRACE.delta())
}
