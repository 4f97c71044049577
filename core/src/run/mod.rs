//! A run: one execution of a job, from dispatch to end.

mod apart;
mod decide;
mod event;
mod input;
mod late;
mod look;
mod masked;
mod origin;
pub mod reason;
mod record;
mod status;
mod trigger;
mod waits;

pub use apart::{Apart, Part};
pub use decide::{decide, first_wake};
pub use event::{MAX_LOG_BYTES, MAX_LOG_ENTRIES, RunEvent, RunLog};
pub use input::{Decision, IllegalTransition, Input, LockChange, Outcome, Told, Wake};
pub use late::Late;
pub use look::{Drop, EARLY, Look, MAX_CRASHES, calls_next, look, look_on, too_late};
pub use origin::{Keyed, Lineage, Scheduled};
pub use reason::Why;
pub(crate) use reason::failed_result;
pub use record::{Duties, Lease, NEVER, NewRun, RetryRule, Run, WorkPlace, Worker};
pub use status::{Status, UnknownStatus};
pub use trigger::Trigger;
pub use waits::{DUTIES, HOLD, MAX_LULL, POLL, WAKE_GRACE};
