//! Inputs to a run's state machine, and the decision that follows.

use serde_json::{Value, json};

use super::event::bounded_text;
use super::record::Run;
use super::status::Status;
use super::stop::StopRequest;
use super::waits::Gathering;
use super::worker::{WorkPlace, Worker};
use crate::Timestamp;
use crate::duration::Span;
use crate::ids::RunKey;
use crate::job_type::Rendered;
use crate::permits::{Admit, PermitChange};

/// How an attempt ended.
#[derive(Clone, Debug, PartialEq)]
pub enum Outcome {
    /// Well, with a result.
    Success(Value),
    /// Not well.
    Failure {
        /// Why: a lower-case fragment.
        reason: String,
        /// Details besides the reason.
        result: Value,
        /// Whether another attempt could help.
        retryable: bool,
    },
    /// Stopped by request.
    Cancelled,
}

/// An event of a run, or a request to it.
#[derive(Clone, Debug)]
pub enum Input {
    /// A worker starts or resumes it.
    Claim {
        /// The worker.
        worker: Worker,
        /// On which host.
        hostname: String,
        /// Until when the claim holds unless it is extended.
        until: Timestamp,
        /// The rendered `event_log` of the job, when this is the first start.
        event_log: Option<Value>,
        /// How it passes its gate, when this is the first start of a run that has one.
        admit: Option<Admit>,
    },
    /// It ends without running an attempt.
    Close {
        /// The epoch of the record that was looked at: after a claim since then, the finding is void.
        epoch: u64,
        /// The final status.
        status: Status,
        /// Why.
        reason: String,
        /// Whether `on_fail` has actions.
        on_fail: bool,
        /// Whether to notify the parent: not when it runs in the same invocation.
        tell_parent: bool,
        /// The worker that ends it, and sees to the duties that are left.
        worker: Worker,
        /// Until when.
        until: Timestamp,
    },
    /// It must wait until another run of its job has ended.
    Hold {
        /// The run that is in the way.
        by: RunKey,
    },
    /// It must wait for a permit of its gate, in line.
    Queue {
        /// Its place in line; the one that it has stays.
        ticket: u64,
        /// How many are before it, as far as was looked.
        ahead: usize,
    },
    /// It was called from the line of its gate and does not come: those behind it pass it.
    Absent,
    /// A worker sees to the actions and reports that are left.
    ClaimDuties {
        /// The worker.
        worker: Worker,
        /// Until when the claim holds.
        until: Timestamp,
    },
    /// The attempt ended.
    Finish {
        /// The worker of the attempt.
        worker: Worker,
        /// The epoch that its claim granted.
        epoch: u64,
        /// How it ended.
        outcome: Outcome,
        /// Which of the lists `on_success`, `on_retry`, `on_fail` have actions.
        actions: [bool; 3],
        /// Whether to notify the parent: not when it runs in the same invocation.
        tell_parent: bool,
        /// A random number from 0 up to 1.
        jitter: f64,
        /// Payload and parameters that were rendered for this attempt alone.
        rendered: Option<Rendered>,
        /// Where the files are that it shares with other steps.
        work: Option<Box<WorkPlace>>,
    },
    /// It gives way until its children have ended, or its worker's time is up.
    Suspend {
        /// The worker.
        worker: Worker,
        /// The epoch that its claim granted.
        epoch: u64,
        /// After how long it goes on in another invocation, if not when a child ends.
        resume: Option<Span>,
        /// When the time of its attempt is up, if it has a limit.
        ends: Option<Timestamp>,
        /// How it hears of its steps from now on, where these are spread.
        gathers: Option<Gathering>,
        /// Where the files are that it shares with other steps.
        work: Option<Box<WorkPlace>>,
        /// The fault of the host for which its attempt could not begin, if it is put back for one.
        fault: Option<String>,
    },
    /// Its steps are spread: it gathers their reports.
    Gather {
        /// The worker.
        worker: Worker,
        /// The epoch that its claim granted.
        epoch: u64,
        /// For how long.
        gathers: Gathering,
    },
    /// The values that it looked up at its start are kept for good.
    Pin {
        /// The worker.
        worker: Worker,
        /// The epoch that its claim granted.
        epoch: u64,
        /// Payload and parameters from now on.
        rendered: Rendered,
    },
    /// One of its actions is done.
    ActionDone {
        /// The worker.
        worker: Worker,
        /// The epoch that its claim granted.
        epoch: u64,
        /// Its place in the list, from 0: reported twice, it counts once.
        index: u32,
        /// The error, if it failed.
        error: Option<String>,
    },
    /// All its actions are done and its parent has been notified.
    DutiesDone {
        /// The worker.
        worker: Worker,
        /// The epoch that its claim granted.
        epoch: u64,
    },
    /// The worker leaves what is left of its actions and reports to another one, and performs none of them now.
    LeaveDuties {
        /// The worker.
        worker: Worker,
        /// The epoch that its claim granted.
        epoch: u64,
    },
    /// The worker needs more time.
    Extend {
        /// The worker.
        worker: Worker,
        /// The epoch that its claim granted.
        epoch: u64,
        /// Until when the claim holds from now on.
        until: Timestamp,
    },
    /// The writer is about to send its message to a lava worker.
    Giving,
    /// Its message has been given to a lava worker.
    HandOver,
    /// It has ended, as a lava worker has recorded.
    LavaEnded(LavaEnd),
    /// A child of it has ended.
    ChildEnded,
    /// The run of its job that was in its way has ended.
    Freed,
    /// The engine asks for it to stop.
    Cancel,
    /// A person or a program asks for it to stop.
    Stop(Box<StopRequest>),
    /// It has not started, and a newer run of its job is to be run in its place.
    PassOver {
        /// The newer run.
        by: RunKey,
    },
    /// It is to stop, as a newer run of its job takes its place.
    Replace {
        /// The newer run.
        by: RunKey,
    },
    /// The host that it is for is gone: it ends, and no other host starts it.
    HostGone {
        /// Whether the host was stopped in order.
        stopped: bool,
        /// Whether `on_fail` has actions.
        on_fail: bool,
    },
    /// It may not start, as it is paused.
    Paused {
        /// Until when, if that is known.
        until: Option<Timestamp>,
    },
    /// The pause that it waited for is over.
    Resumed,
    /// Its time to be looked at has passed.
    Sweep,
    /// Its time to be looked at has passed, and its queue has a backlog, in which its message is.
    StillQueued,
    /// Its queue did not take its message.
    Unsent,
}

/// How a run ended that a lava worker ran.
#[derive(Clone, Debug, PartialEq)]
pub struct LavaEnd {
    /// As what.
    pub status: Status,
    /// Its result or error, as lava records it.
    pub info: Value,
    /// When it started.
    pub began: Option<Timestamp>,
    /// When it ended.
    pub ended: Timestamp,
    /// Where.
    pub hostname: Option<String>,
}

impl LavaEnd {
    /// Why it failed, if it did: a text, or the error in lava's details (lava's run_job).
    pub(super) fn reason(&self) -> Option<String> {
        match &self.info {
            _ if self.status == Status::Complete => None,
            Value::String(text) => Some(bounded_text(text.clone())),
            info => info["error"].as_str().map(|text| bounded_text(text.to_owned())),
        }
    }

    /// The same with the reason alone of lava's details.
    fn without_info(&self, why: &str) -> Option<Self> {
        let left_out = bounded_text(format!("lava's details are left out: {why}"));
        let bare = json!({ "error": self.reason(), "left_out": left_out });
        (self.info.get("left_out").is_none()).then(|| Self { info: bare, ..self.clone() })
    }
}

impl Input {
    /// The same with less, after a store has said for this reason that it can never record it; `None`
    /// when there is nothing to leave out. From a claim, that is the rendered `event_log`; from the end
    /// of an attempt, first its rendered payload and parameters, and only then its result; from an end
    /// that lava reports, its details besides the reason.
    #[must_use]
    pub fn without_what_can_be_left_out(&self, why: &str) -> Option<Self> {
        let mut less = self.clone();
        match &mut less {
            Self::Claim { event_log: Some(info), .. } if !is_left_out(info) => {
                *info = bounded_text(format!("{LEFT_OUT}{why}")).into();
            }
            // The reason itself is too much.
            Self::Claim { event_log: event_log @ Some(_), .. } => *event_log = None,
            Self::Finish { rendered: rendered @ Some(_), .. } => *rendered = None,
            Self::Finish { outcome, .. } => *outcome = outcome.without_result(why)?,
            Self::LavaEnded(report) => *report = report.without_info(why)?,
            _ => return None,
        }
        Some(less)
    }
}

/// The entry of a run's log in place of its rendered `event_log`.
const LEFT_OUT: &str = "bad event_log: it cannot be recorded: ";

fn is_left_out(info: &Value) -> bool {
    info.as_str().is_some_and(|text| text.starts_with(LEFT_OUT))
}

impl Outcome {
    /// The outcome without its result. An attempt that went well has failed then, and no other attempt
    /// would help; the recorded reason says that the work was done.
    fn without_result(&self, why: &str) -> Option<Self> {
        let bare = |reason: &str| json!({ "error": reason });
        match self {
            Self::Success(_) => {
                let reason = bounded_text(format!("its work is done, but its end cannot be recorded: {why}"));
                Some(Self::Failure { result: bare(&reason), reason, retryable: false })
            }
            Self::Failure { reason, result, .. } if *result == bare(reason) => None,
            Self::Failure { reason, retryable, .. } => {
                let reason = bounded_text(format!("{reason} (its details are left out: {why})"));
                Some(Self::Failure { result: bare(&reason), reason, retryable: *retryable })
            }
            Self::Cancelled => None,
        }
    }
}

/// A message to be sent: time to look at a run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Wake {
    /// Not before this.
    pub at: Timestamp,
}

/// A change of a lock.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LockChange {
    /// Take the job's lock; it must be free or this run's own.
    Take,
    /// Give it up, if this run holds it.
    Free,
}

/// The decision on an input.
#[derive(Clone, Debug, PartialEq)]
pub struct Decision {
    /// The next record, to be written unless another write came first.
    pub run: Run,
    /// The message to send after that.
    pub wake: Option<Wake>,
    /// The change to the job's lock, in the same write.
    pub lock: Option<LockChange>,
    /// The change to its permit, in the same write.
    pub permit: Option<PermitChange>,
}

/// An input that does not fit the record.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum IllegalTransition {
    /// The lease was superseded: another worker has the run, or the lease was given up.
    #[error("the lease was superseded")]
    Fenced,
    /// The run has ended.
    #[error("the run has ended")]
    Ended,
    /// Another worker holds the run.
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
        Input::Finish {
            worker,
            epoch: 1,
            outcome,
            actions,
            tell_parent: true,
            jitter: 0.5,
            rendered,
            work: None,
        }
    }

    fn rendered() -> Option<Rendered> {
        Some(Rendered { payload: Value::Null, parameters: serde_json::Map::new() })
    }

    fn left(outcome: Outcome) -> Option<Outcome> {
        match finish(outcome, None).without_what_can_be_left_out("it is large")? {
            Input::Finish { outcome, rendered: None, .. } => Some(outcome),
            other => panic!("{other:?}"),
        }
    }

    fn failure(reason: &str, result: Value, retryable: bool) -> Outcome {
        Outcome::Failure { reason: reason.to_owned(), result, retryable }
    }

    #[test]
    fn result_that_cannot_be_recorded_is_left_out_once_and_reported() {
        let done = left(Outcome::Success(json!("x"))).unwrap();
        let told = "its work is done, but its end cannot be recorded: it is large";
        assert_eq!(done, failure(told, json!({ "error": told }), false));
        assert_eq!(left(done), None, "there is nothing more to leave out");
        let failed = left(failure("it broke", json!({ "error": "it broke", "data": 1 }), true));
        let told = "it broke (its details are left out: it is large)";
        assert_eq!(failed, Some(failure(told, json!({ "error": told }), true)), "it may be tried again");
        assert_eq!(left(Outcome::Cancelled), None);
        assert!(Input::Sweep.without_what_can_be_left_out("it is large").is_none());
        match left(failure(&"é".repeat(200_000), json!(1), false)) {
            Some(Outcome::Failure { reason, .. }) => assert!(reason.len() < 9_000, "{}", reason.len()),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn lava_details_are_left_out_but_for_the_reason() {
        let info = json!({ "error": "it broke", "output": "x" });
        let (began, ended, hostname) = (None, Timestamp::UNIX_EPOCH, None);
        let input = Input::LavaEnded(LavaEnd { status: Status::Failed, info, began, ended, hostname });
        let less = input.without_what_can_be_left_out("it is large").unwrap();
        let Input::LavaEnded(report) = &less else { panic!("{less:?}") };
        let left_out = "lava's details are left out: it is large";
        assert_eq!(report.info, json!({ "error": "it broke", "left_out": left_out }));
        assert!(less.without_what_can_be_left_out("it is large").is_none(), "there is nothing more");
    }

    #[test]
    fn rendered_values_are_left_out_before_the_result() {
        for outcome in [Outcome::Success(json!("x")), failure("it broke", json!(1), true), Outcome::Cancelled]
        {
            match finish(outcome.clone(), rendered()).without_what_can_be_left_out("it is large") {
                Some(Input::Finish { outcome: kept, rendered: None, .. }) => assert_eq!(kept, outcome),
                other => panic!("{other:?}"),
            }
        }
    }

    #[test]
    fn a_claim_does_without_its_event_log() {
        let (worker, until) = (Worker("one".to_owned()), Timestamp::UNIX_EPOCH);
        let event_log = Some(json!({ "number": 1e300 }));
        let mut claim = Input::Claim { worker, hostname: "one".to_owned(), until, event_log, admit: None };
        for expected in [Some(json!("bad event_log: it cannot be recorded: a number is large")), None] {
            claim = claim.without_what_can_be_left_out("a number is large").unwrap();
            assert!(matches!(&claim, Input::Claim { event_log, .. } if *event_log == expected), "{claim:?}");
        }
        assert!(claim.without_what_can_be_left_out("a number is large").is_none());
    }
}
