//! What a job and a realm are, as their JSON says it.

mod action;
mod job;
mod realm;
mod schedule;
mod settings;
mod stored;

pub use action::{ActionSpec, Actions, ActionsWhen};
pub use job::{Enabled, JobFields, JobSpec, Keep, Overlap, RenderAt, RetryBackoff, RunSpec, WorkDirs};
pub use realm::{RealmFields, RealmSpec};
pub use schedule::{
    Bound, Calendar, CatchUp, Crontab, Days, Limit, Nodes, OneOrMany, Schedule, ScheduleEntry, Shift, Starts,
    Timezone, Weekdays,
};
pub(crate) use schedule::{MAX_ENTRIES, MAX_INSTANTS, broken_rule, locked_nodes, too_many};
pub use settings::{Environment, Settings};

/// Names of globals that begin so, in any case, are the engine's own (lava guide, Globals Owned by Lava).
pub const RESERVED_GLOBAL: &str = "lava";

/// Whether a global's name is the engine's own.
#[must_use]
pub fn is_reserved_global(name: &str) -> bool {
    name.get(..RESERVED_GLOBAL.len()).is_some_and(|head| head.eq_ignore_ascii_case(RESERVED_GLOBAL))
}
