//! What can happen to a run, and what follows from it.

use serde_json::Value;

use super::record::{Run, Worker};
use super::status::Status;
use crate::Timestamp;
use crate::duration::Span;
use crate::ids::RunKey;
use crate::job_type::Rendered;

/// How an attempt ended.
#[derive(Clone, Debug, PartialEq)]
pub enum Outcome {
    /// Well, with a result.
    Success(Value),
    /// Not well.
    Failure {
        /// Why: a lower-case fragment.
        reason: String,
        /// What there is to tell besides.
        result: Value,
        /// Whether another attempt could help.
        retryable: bool,
    },
    /// Stopped by request.
    Cancelled,
}

/// What happened to a run, or is asked of it.
#[derive(Clone, Debug)]
pub enum Input {
    /// A worker starts or resumes it.
    Claim {
        /// Who.
        worker: Worker,
        /// On which host.
        hostname: String,
        /// Until when the claim holds unless it is extended.
        until: Timestamp,
        /// What the job's `event_log` gave, when this is the first start.
        event_log: Option<Value>,
    },
    /// It ends without running an attempt.
    Close {
        /// The epoch of the record that was looked at: when somebody has claimed it since, what was
        /// found then does not hold any more.
        epoch: u64,
        /// As what.
        status: Status,
        /// Why.
        reason: String,
        /// Whether `on_fail` has actions.
        on_fail: bool,
        /// Whether the parent must be told: not when it runs in the same invocation.
        tell_parent: bool,
        /// Who ends it, and until when that one sees to what is left.
        worker: Worker,
        /// Until when.
        until: Timestamp,
    },
    /// It must wait until another run of its job has ended.
    Hold {
        /// The run that is in the way.
        by: RunKey,
    },
    /// A worker sees to the actions and reports that are left.
    ClaimDuties {
        /// Who.
        worker: Worker,
        /// Until when the claim holds.
        until: Timestamp,
    },
    /// The attempt ended.
    Finish {
        /// Whose attempt.
        worker: Worker,
        /// The epoch that its claim granted.
        epoch: u64,
        /// How it ended.
        outcome: Outcome,
        /// Which of the lists `on_success`, `on_retry`, `on_fail` have actions.
        actions: [bool; 3],
        /// Whether the parent must be told: not when it runs in the same invocation.
        tell_parent: bool,
        /// A random number from 0 up to 1.
        jitter: f64,
        /// What was rendered for this attempt alone.
        rendered: Option<Rendered>,
    },
    /// It gives way until its children have ended, or its worker's time is up.
    Suspend {
        /// Who.
        worker: Worker,
        /// The epoch that its claim granted.
        epoch: u64,
        /// After how long it goes on in another invocation, if not when a child ends.
        resume: Option<Span>,
        /// When the time of its attempt is up, if it has a limit.
        ends: Option<Timestamp>,
    },
    /// What it looked up at its start is kept for good.
    Pin {
        /// Who.
        worker: Worker,
        /// The epoch that its claim granted.
        epoch: u64,
        /// Payload and parameters from now on.
        rendered: Rendered,
    },
    /// One of its actions is done.
    ActionDone {
        /// Who.
        worker: Worker,
        /// The epoch that its claim granted.
        epoch: u64,
        /// Its place in the list, from 0: told twice, it counts once.
        index: u32,
        /// What went wrong, if anything.
        error: Option<String>,
    },
    /// All its actions are done and its parent has been told.
    DutiesDone {
        /// Who.
        worker: Worker,
        /// The epoch that its claim granted.
        epoch: u64,
    },
    /// The worker needs more time.
    Extend {
        /// Who.
        worker: Worker,
        /// The epoch that its claim granted.
        epoch: u64,
        /// Until when the claim holds from now on.
        until: Timestamp,
    },
    /// A child of it has ended.
    ChildEnded,
    /// The run of its job that was in its way has ended.
    Freed,
    /// Somebody asks for it to stop.
    Cancel,
    /// Its time to be looked at has passed.
    Sweep,
}

/// A message to be sent: time to look at a run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Wake {
    /// Not before this.
    pub at: Timestamp,
}

/// What a lock change does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LockChange {
    /// Take the job's lock; it must be free or this run's own.
    Take,
    /// Give it up, if this run holds it.
    Free,
}

/// What follows from an input.
#[derive(Clone, Debug, PartialEq)]
pub struct Decision {
    /// The next record, to be written on the condition that nobody has written since.
    pub run: Run,
    /// The message to send after that.
    pub wake: Option<Wake>,
    /// What happens to the lock of the job, in the same write.
    pub lock: Option<LockChange>,
}

/// An input that does not fit the record.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum IllegalTransition {
    /// The claim is history: somebody else has the run, or its lease was given up.
    #[error("the claim on the run is history")]
    Fenced,
    /// The run has ended.
    #[error("the run has ended")]
    Ended,
    /// Somebody holds the run.
    #[error("another worker holds the run")]
    Held,
    /// It is not to start yet.
    #[error("the run is not to start yet")]
    Early,
    /// Nothing would change.
    #[error("there is nothing to change")]
    Nothing,
}
