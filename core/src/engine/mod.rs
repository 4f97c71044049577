//! Carries out decisions: from a request to a record, from a message to an attempt, from its end
//! to what follows. One path, embedded and on AWS.
//!
//! The floors, from the ground: the ledger, the jobs, lava's workers, dispatch, housekeeping, work. Each uses those
//! below it alone (docs/ARCHITECTURE.md).

mod answer;
mod dispatch;
mod foresee;
mod fresh;
mod halt;
mod housekeeping;
mod jobs;
mod lava;
mod ledger;
mod limits;
mod pausing;
mod redo;
mod rendered;
mod replays;
mod slots;
mod triggers;
mod trouble;
mod work;

pub use answer::{Accepted, Foreseen};
pub use dispatch::{Dispatcher, PreparedBatch, Preview};
pub use halt::Halt;
pub use housekeeping::Housekeeper;
pub use housekeeping::backfill::{BackfillError, BegunBackfill};
pub use housekeeping::strike::Struck;
pub use housekeeping::sweep::Swept;
pub use jobs::no_such_job;
pub use ledger::apply::ApplyError;
pub use limits::{LEASE_MARGIN, Limits, MAX_STEPS};
pub use pausing::{ChangedPauses, KEPT as PAUSES_KEPT, KEPT_ALONE as PAUSES_KEPT_ALONE};
pub use redo::{Again, RedoError, RedoRequest, may_redo};
pub use rendered::{Hidden, WhenRendered};
pub use replays::{done_again, has_replay, replays};
pub use slots::start_request;
pub use triggers::{Fired, NotFired, Triggers, receive};
pub use work::Engine;
pub use work::handle::Handled;
