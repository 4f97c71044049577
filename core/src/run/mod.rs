//! A run: one execution of a job, from dispatch to end.

mod cause;
mod dates;
mod decide;
mod event;
mod figures;
mod fingerprint;
mod gated;
mod guards;
mod input;
mod late;
mod look;
mod masked;
mod offloaded;
mod origin;
pub mod reason;
mod record;
mod redo;
mod reports;
mod retention;
mod status;
mod stop;
mod trigger;
mod waits;
mod wakes;
mod why;
mod words;
mod worker;

pub use cause::Cause;
pub use decide::decide;
pub use event::{MAX_LOG_BYTES, MAX_LOG_ENTRIES, RunEvent, RunLog};
pub use figures::{Figures, failures_per_mille};
pub use fingerprint::{Fingerprint, MAX_NORMALISED, NoFingerprint, normalised, normalised_of};
pub use input::{Decision, IllegalTransition, Input, LavaEnd, LockChange, Outcome, Wake};
pub use late::Late;
pub use look::{
    CANNOT_BEGIN, DropReason, EARLY, Look, MAX_CRASHES, NOT_ENABLED, calls_next, look, look_on, too_late,
};
pub use offloaded::{Offloaded, Part};
pub use origin::{Keyed, Lineage, Scheduled};
pub use reason::Why;
pub(crate) use reason::failed_result;
pub use record::{Duties, NEVER, NewRun, RetryRule, Run};
pub use redo::{Redo, RedoFrom, SpecOf, replay_key};
pub(crate) use retention::settle;
pub use status::{Status, UnknownStatus};
pub use stop::{MAX_STOP_TEXT, StopRequest};
pub use trigger::Trigger;
pub use waits::{DUTIES, Gathering, HOLD, MAX_LULL, POLL, WAKE_GRACE};
pub use wakes::first_wake;
pub use why::{Explained, Facts, GateFact, LockLine, PausedBy, StepFact, WorkerFacts, explain};
pub use words::not_served;
pub use worker::{Lease, WorkPlace, Worker};
