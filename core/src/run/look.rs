//! The next step for a run, decided from the record alone.

use chrono::TimeDelta;

use super::event::bounded_text;
use super::record::Run;
use super::status::Status;
use super::waits::{DUTIES, MAX_LULL};
use crate::Timestamp;
use crate::duration::Span;
use crate::ids::HostId;
use crate::spec::Overlap;

/// How often a worker may be lost while it runs the same run.
pub const MAX_CRASHES: u32 = 5;
/// How much too early a message may come and still start its run: the clocks of two hosts differ.
pub const EARLY: Span = Span::from_secs(2);

/// In the reason of a run that was started too often, and of one that is too old.
pub(super) const MORE_THAN_MAX_TRIES: &str = "more than its max_tries of";
pub(super) const MORE_THAN_MAX_RUN_DELAY: &str = "more than its max_run_delay of";
/// Beginning of the reason of a run that lost its worker, and of one whose host is gone.
pub(super) const WORKER_LOST: &str = "its worker was lost";
pub(super) const HOST: &str = "its host ";
/// Beginning of the reason of a run whose job is not enabled.
pub const NOT_ENABLED: &str = "the job is not enabled";
/// In the reason of a run that another run of its job keeps out.
pub(super) const OF_THE_SAME_JOB: &str = "of the same job";

/// Beginning of the reason of a run whose attempt could not begin for a fault of the host.
pub const CANNOT_BEGIN: &str = "cannot begin: ";

/// Why a message needs nothing done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DropReason {
    /// The run has ended and nothing is left to do.
    Ended,
    /// Another worker holds the run.
    Held,
    /// The run is not to start yet; another message will come.
    Early,
    /// The run is for another host.
    Elsewhere,
}

/// The next step for a run, on a message about it.
#[derive(Clone, Debug, PartialEq)]
pub enum Look {
    /// Nothing.
    Drop(DropReason),
    /// The actions and reports of an attempt that has ended: [`Input::ClaimDuties`](super::Input::ClaimDuties).
    Duties,
    /// An end without running: [`Input::Close`](super::Input::Close).
    Close(Status, String),
    /// An attempt, the first of the run when `first`: [`Input::Claim`](super::Input::Claim).
    Start {
        /// Whether no worker has started this run before.
        first: bool,
    },
}

/// The next step for a run now. `composite` says that the job is run step by step with children,
/// so that a cancelled one must first see to them.
#[must_use]
pub fn look(run: &Run, composite: bool, now: Timestamp) -> Look {
    look_on(run, None, composite, now)
}

/// The same on a host of this id.
#[must_use]
pub fn look_on(run: &Run, host: Option<&HostId>, composite: bool, now: Timestamp) -> Look {
    if run.due_at.is_none() {
        return Look::Drop(DropReason::Ended);
    }
    if run.lease.as_ref().is_some_and(|lease| now < lease.until) {
        return Look::Drop(DropReason::Held);
    }
    if run.status.is_end() || run.duties.is_some() {
        return Look::Duties;
    }
    if run.is_addressed() && run.host.as_ref() != host {
        return Look::Drop(DropReason::Elsewhere);
    }
    if is_early(run, now) {
        return Look::Drop(DropReason::Early);
    }
    let started = matches!(run.status, Status::Running) || is_suspended(run);
    if run.cancel && !(composite && started) {
        let reason = if run.ts_start.is_none() {
            "cancelled before it ran"
        } else if run.status == Status::Running {
            "cancelled; its worker was lost while it ran"
        } else {
            "cancelled while it waited to go on"
        };
        return Look::Close(Status::Cancelled, cancelled_because(run, reason));
    }
    let lost = crashes_so_far(run);
    if lost > MAX_CRASHES {
        return Look::Close(Status::Failed, format!("{WORKER_LOST} {lost} times"));
    }
    // Starts, not deliveries: a message that could not be handled because a store did not answer
    // comes again, and started nothing.
    let tried = lost + 1;
    if run.retry.max_tries > 0 && tried > run.retry.max_tries {
        let reason = format!("try {tried} is {MORE_THAN_MAX_TRIES} {}", run.retry.max_tries);
        return Look::Close(Status::Rejected, reason);
    }
    Look::Start { first: run.ts_start.is_none() }
}

/// Why a run that has not been started may not start any more, when `limit` is the longest time
/// between when it was due at first and its start. A delay that it was asked for is not waiting.
#[must_use]
pub fn too_late(run: &Run, limit: Option<Span>, now: Timestamp) -> Option<String> {
    let limit = limit.filter(|limit| !limit.is_zero())?;
    let due = run.was_due();
    let waited = match (run.first_due, run.gate()) {
        (None, _) => String::new(),
        (Some(_), Some(gate)) => format!(", and waited for a permit of {}", gate.words()),
        (Some(_), None) => ", and waited for another run of its job".to_owned(),
    };
    (now - due > limit.delta()).then(|| format!("was due {MORE_THAN_MAX_RUN_DELAY} {limit} ago{waited}"))
}

/// Whether a run that is done calls the next one in line for its job's lock: when it had the lock, or
/// stood first in line and was called itself. One that had yet to be called leaves a line that others
/// will call.
#[must_use]
pub fn calls_next(run: &Run, now: Timestamp) -> bool {
    let called = run.first_due.is_some() && !is_early(run, now);
    run.overlap != Overlap::Allow && run.is_done() && (run.ts_start.is_some() || called)
}

/// The reason of a run whose attempt could not begin for a fault of the host.
pub(super) fn cannot_begin(fault: String) -> String {
    bounded_text(format!("{CANNOT_BEGIN}{fault}"))
}

impl Run {
    /// Why its attempt could not begin, where it waits to be made later for a fault of the host.
    #[must_use]
    pub fn host_fault(&self) -> Option<&str> {
        self.reason.as_deref().filter(|reason| is_suspended(self) && reason.starts_with(CANNOT_BEGIN))
    }

    /// When it could have started first: none of the things that it waited for since moves that.
    #[must_use]
    pub fn was_due(&self) -> Timestamp {
        // A version before this one forgot it at the start, and each further attempt moves `not_before`.
        let moved = self.attempt > 1;
        let due = self.first_due.unwrap_or(if moved { self.ts_dispatch } else { self.not_before });
        due.max(self.ts_dispatch)
    }

    /// Whether the clock took it back before it began, so that its slot may have another run. A run that a person or a newer run
    /// stopped was not.
    #[must_use]
    pub fn was_withdrawn(&self) -> bool {
        let is_by_the_clock = self.scheduled.as_ref().is_some_and(|scheduled| scheduled.backfill.is_none());
        let is_stopped = self.status == Status::Cancelled && self.ts_start.is_none();
        let has_asker = self.stopped_by.is_some() || self.replaced_by.is_some();
        is_by_the_clock && is_stopped && !has_asker && !self.is_child()
    }

    /// Since when the actions of an alert wait for their worker, where that is longer than a worker needs: it is out, or has
    /// no queue.
    #[must_use]
    pub fn undone_since(&self, now: Timestamp) -> Option<Timestamp> {
        let is_left = self.duties.is_some() && self.lease.as_ref().is_none_or(|lease| lease.until <= now);
        let is_alert = self.late.is_some() && is_left;
        self.ts_end.filter(|end| is_alert && *end + DUTIES.delta() <= now)
    }

    /// Whether it waits for what others see to: its queue, which has its message, or the run that holds its job's lock.
    #[must_use]
    pub fn only_waits(&self) -> bool {
        let is_free = self.lease.is_none() && self.duties.is_none() && !self.status.is_end();
        let was_sent = self.due_at.is_some_and(|due| due >= self.not_before);
        is_free && was_sent && !self.is_addressed() && !is_suspended(self)
    }

    /// Whether its message is taken for lost, however many others its queue has: it is not known which, and it has waited for
    /// an hour, two, four or another power of two since it was looked at last. A second message does no harm.
    #[must_use]
    pub fn may_be_lost(&self, now: Timestamp) -> bool {
        let Some(due) = self.due_at else { return false };
        let hours =
            |at: Timestamp| (at - self.not_before.max(self.ts_dispatch)).num_hours().max(0).cast_unsigned();
        let looked_at = due - MAX_LULL.delta();
        hours(now).checked_ilog2() > hours(looked_at).checked_ilog2()
    }

    /// Whether its message was sent when it was looked at last, and its queue is to hand that out.
    #[must_use]
    pub fn waits_in_queue(&self) -> bool {
        self.only_waits() && self.status != Status::Waiting && self.handed_over.is_none()
    }
}

/// A run that waits in a queue with a backlog, left alone for as long as any: should its message have been lost, that shows
/// when the backlog is gone.
pub(super) fn left_in_queue(run: &Run, now: Timestamp) -> Option<Run> {
    let is_due = run.due_at.is_some_and(|due| due <= now);
    (is_due && run.waits_in_queue()).then(|| Run { due_at: Some(now + MAX_LULL.delta()), ..run.clone() })
}

/// A run whose queue did not take its message: due before it may start, as one that no queue was given yet, so that a
/// sweep sends it before those that wait in their queues.
pub(super) fn unsent(run: &Run, now: Timestamp) -> Option<Run> {
    let first = now.min(run.not_before - TimeDelta::microseconds(1));
    (run.only_waits() && run.handed_over.is_none()).then(|| Run { due_at: Some(first), ..run.clone() })
}

/// Why a run was cancelled: for a newer one that takes its place, or else this reason and the name on the request.
pub(super) fn cancelled_because(run: &Run, reason: &str) -> String {
    match (&run.replaced_by, &run.stopped_by) {
        (Some(by), _) => format!("cancelled: run {by} {OF_THE_SAME_JOB} takes its place"),
        (None, Some(request)) => match reason.strip_prefix("cancelled;") {
            // The rest is not what was asked for.
            Some(rest) => format!("cancelled {request};{rest}"),
            None => format!("{reason}, {request}"),
        },
        (None, None) => reason.to_owned(),
    }
}

/// A run that was started and gave way, rather than one that never started.
pub(super) fn is_suspended(run: &Run) -> bool {
    run.status == Status::Waiting && run.ts_start.is_some()
}

/// How many workers were lost on this run, the one that let its lease run out included.
pub(super) fn crashes_so_far(run: &Run) -> u32 {
    run.crashes + u32::from(run.status == Status::Running && run.lease.is_some())
}

/// Whether it is not to start yet.
pub(super) fn is_early(run: &Run, now: Timestamp) -> bool {
    now + EARLY.delta() < run.not_before
}
