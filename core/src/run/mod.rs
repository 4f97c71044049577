//! A run: one execution of a job, from dispatch to end.

mod decide;
mod event;
mod record;
mod status;

pub use decide::{
    DUTIES, Decision, Drop, EARLY, HOLD, IllegalTransition, Input, LockChange, Look, MAX_CRASHES, MAX_LULL,
    Outcome, POLL, Tries, WAKE_GRACE, Wake, decide, first_wake, look,
};
pub use event::{MAX_LOG_BYTES, MAX_LOG_ENTRIES, RunEvent, RunLog};
pub use record::{Duties, Keyed, Lease, Lineage, NewRun, RetryRule, Run, Worker};
pub use status::{Status, UnknownStatus};
