//! What can happen to a run, and what follows from it.

use serde_json::{Value, json};

use super::event::bounded_text;
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

impl Input {
    /// The end of an attempt without what is too large to be recorded, for this reason; `None` when
    /// there is nothing to leave out. An attempt that went well has failed then, and no other attempt
    /// would help; what is recorded says that the work was done.
    #[must_use]
    pub fn without_result(&self, why: &str) -> Option<Self> {
        let Self::Finish { worker, epoch, outcome, actions, tell_parent, jitter, rendered } = self else {
            return None;
        };
        let bare = |reason: &str| json!({ "error": reason });
        let outcome = match outcome {
            Outcome::Failure { reason, result, .. } if *result == bare(reason) && rendered.is_none() => {
                return None;
            }
            Outcome::Cancelled if rendered.is_none() => return None,
            Outcome::Cancelled => Outcome::Cancelled,
            Outcome::Success(_) => {
                let reason = bounded_text(format!("its work is done, but its end cannot be recorded: {why}"));
                Outcome::Failure { result: bare(&reason), reason, retryable: false }
            }
            Outcome::Failure { reason, retryable, .. } => {
                let reason =
                    bounded_text(format!("{reason} (what there is to tell besides is left out: {why})"));
                Outcome::Failure { result: bare(&reason), reason, retryable: *retryable }
            }
        };
        Some(Self::Finish {
            worker: worker.clone(),
            epoch: *epoch,
            outcome,
            actions: *actions,
            tell_parent: *tell_parent,
            jitter: *jitter,
            rendered: None,
        })
    }
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

#[cfg(test)]
mod tests {
    use super::*;

    fn finish(outcome: Outcome, rendered: Option<Rendered>) -> Input {
        let (worker, actions) = (Worker("one".to_owned()), [true; 3]);
        Input::Finish { worker, epoch: 1, outcome, actions, tell_parent: true, jitter: 0.5, rendered }
    }

    fn left(outcome: Outcome, rendered: bool) -> Option<Outcome> {
        let rendered =
            rendered.then(|| Rendered { payload: Value::Null, parameters: serde_json::Map::new() });
        match finish(outcome, rendered).without_result("it is large")? {
            Input::Finish { outcome, rendered: None, .. } => Some(outcome),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn what_is_too_large_to_be_recorded_is_left_out_once_and_told() {
        let failure = |reason: &str, result: Value, retryable| {
            let reason = reason.to_owned();
            Outcome::Failure { reason, result, retryable }
        };
        let done = left(Outcome::Success(json!("x")), false).unwrap();
        let told = "its work is done, but its end cannot be recorded: it is large";
        assert_eq!(done, failure(told, json!({ "error": told }), false));
        assert_eq!(left(done, false), None, "there is nothing more to leave out");
        let failed = left(failure("it broke", json!({ "error": "it broke", "data": 1 }), true), true);
        let told = "it broke (what there is to tell besides is left out: it is large)";
        assert_eq!(failed, Some(failure(told, json!({ "error": told }), true)), "it may be tried again");
        assert_eq!(left(Outcome::Cancelled, true), Some(Outcome::Cancelled));
        assert_eq!(left(Outcome::Cancelled, false), None);
        assert!(Input::Sweep.without_result("it is large").is_none());
        match left(failure(&"é".repeat(200_000), json!(1), false), false) {
            Some(Outcome::Failure { reason, .. }) => assert!(reason.len() < 9_000, "{}", reason.len()),
            other => panic!("{other:?}"),
        }
    }
}
