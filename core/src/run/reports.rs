//! The rules for a report that a step of a run has ended.

use super::guards::not_ended;
use super::input::{Decision, IllegalTransition};
use super::look::is_suspended;
use super::record::Run;
use super::status::Status;
use super::waits::WAKE_GRACE;
use super::wakes::{plain, wake};
use crate::Timestamp;

/// Whether a step has reported since a run that gathers was claimed.
pub(super) fn has_news(run: &Run) -> bool {
    run.gathers.is_some_and(|gathers| gathers.news)
}

/// Whether the message that has a suspended run looked at is under way.
fn is_called(run: &Run) -> bool {
    run.due_at == Some(run.not_before + WAKE_GRACE.delta())
}

/// A step of a run has ended.
pub(super) fn child_ended(run: &Run, now: Timestamp) -> Result<Decision, IllegalTransition> {
    not_ended(run)?;
    let mut next = run.clone();
    if is_suspended(run) {
        next.not_before = now;
        if let Some(gathers) = run.gathers {
            next.not_before = now + gathers.span().delta();
            if is_called(run) && run.not_before <= next.not_before {
                return Err(IllegalTransition::Nothing);
            }
        }
        let wake = wake(&mut next, now);
        return Ok(Decision { run: next, wake, lock: None, permit: None });
    }
    if run.status == Status::Running {
        if let Some(gathers) = &mut next.gathers {
            if gathers.news {
                return Err(IllegalTransition::Nothing);
            }
            gathers.news = true;
        }
        // The write alone makes a parent that is about to suspend look again.
        return Ok(plain(next));
    }
    Err(IllegalTransition::Nothing)
}
