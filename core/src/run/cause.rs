//! The causes for which a run does not go on, or has ended.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::look::{HOST, MORE_THAN_MAX_RUN_DELAY, MORE_THAN_MAX_TRIES, OF_THE_SAME_JOB, WORKER_LOST};

/// The reason why a run does not go on, or has ended: one word for programs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Cause {
    /// It is not due yet.
    NotBefore,
    /// Its next attempt is not due yet.
    Retry,
    /// Another run of its job has the job's lock.
    Lock,
    /// As many runs of its pool or its key run as may.
    Permit,
    /// Its job, its worker or the realm is paused.
    Paused,
    /// Its attempt could not begin for a fault of the host, and is made later.
    HostFault,
    /// It waits for its steps.
    Steps,
    /// It waits for a worker to take its message.
    Queue,
    /// No worker is there.
    NoWorker,
    /// Nothing has looked at it for long after it was due.
    NoSweeper,
    /// It is for one host, which has not taken it yet.
    Host,
    /// An attempt is under way.
    Running,
    /// Its worker is gone.
    WorkerLost,
    /// A lava worker has it.
    Foreign,
    /// The actions of an attempt that ended are being done.
    Actions,
    /// It ends at the next look.
    Ending,
    /// It ended well.
    Complete,
    /// It is a step that ended well in another run, and is not run again.
    Kept,
    /// It reports a broken limit.
    Alert,
    /// One of its steps failed.
    Step,
    /// Its command gave an exit status.
    ExitStatus,
    /// Its time was up.
    Timeout,
    /// It was started more often than its `max_tries`.
    MaxTries,
    /// It was due longer ago than its `max_run_delay`.
    MaxRunDelay,
    /// Its host is gone.
    HostGone,
    /// Its job is not enabled.
    NotEnabled,
    /// Its job was running already.
    Overlap,
    /// A newer run of its job took its place.
    Replaced,
    /// It was cancelled.
    Cancelled,
    /// It failed otherwise.
    Failed,
    /// It was rejected otherwise.
    Rejected,
}

/// The rule by which a run was rejected.
pub(super) fn rejected(why: &str) -> Cause {
    if why.contains(MORE_THAN_MAX_TRIES) {
        Cause::MaxTries
    } else if why.contains(MORE_THAN_MAX_RUN_DELAY) {
        Cause::MaxRunDelay
    } else {
        Cause::Rejected
    }
}

/// The cause of a failure.
pub(super) fn failed(why: &str) -> Cause {
    if why.starts_with(WORKER_LOST) {
        Cause::WorkerLost
    } else if why.starts_with(HOST) {
        Cause::HostGone
    } else if why.starts_with("timed out after") {
        Cause::Timeout
    } else if why.starts_with("exit status") {
        Cause::ExitStatus
    } else if why.contains(OF_THE_SAME_JOB) {
        Cause::Overlap
    } else {
        Cause::Failed
    }
}
