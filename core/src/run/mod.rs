//! A run: one execution of a job, from dispatch to end.

mod apart;
mod decide;
mod event;
mod gated;
mod guards;
mod input;
mod late;
mod look;
mod masked;
mod origin;
pub mod reason;
mod record;
mod redo;
mod status;
mod trigger;
mod waits;
mod why;
mod words;
mod worker;

pub use apart::{Apart, Part};
pub use decide::{decide, first_wake};
pub use event::{MAX_LOG_BYTES, MAX_LOG_ENTRIES, RunEvent, RunLog};
pub use input::{Decision, IllegalTransition, Input, LockChange, Outcome, Told, Wake};
pub use late::Late;
pub use look::{Drop, EARLY, Look, MAX_CRASHES, NOT_ENABLED, calls_next, look, look_on, too_late};
pub use origin::{Keyed, Lineage, Scheduled};
pub use reason::Why;
pub(crate) use reason::failed_result;
pub use record::{Duties, NEVER, NewRun, RetryRule, Run};
pub use redo::{Redo, RedoFrom, SpecOf};
pub use status::{Status, UnknownStatus};
pub use trigger::Trigger;
pub use waits::{DUTIES, HOLD, MAX_LULL, POLL, WAKE_GRACE};
pub use why::{Cause, Explained, Facts, GateFact, Line, PausedBy, StepFact, Workers, explain};
pub use worker::{Lease, WorkPlace, Worker};
