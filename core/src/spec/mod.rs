//! Jobs and realms, as their JSON defines them.

mod action;
mod applied;
mod concurrency;
mod job;
mod overlap;
mod realm;
mod retention;
mod schedule;
mod settings;
mod sql_settings;
mod stored;
mod values;

pub use crate::globals::{RESERVED_GLOBAL, is_reserved_global};
pub use action::{ActionSpec, Actions, ActionsWhen};
pub use applied::{APPLIED, has_drifted, mark_applied, take_mark};
pub use concurrency::{Concurrency, PermitCount, Pool};
pub use job::{Asked, Enabled, JobFields, JobSpec, Keep, RenderAt, RetryBackoff, RunSpec, WorkDirs};
pub use overlap::Overlap;
pub use realm::{RealmFields, RealmSpec};
#[cfg(test)]
pub(crate) use retention::OUTCOMES;
pub use retention::Retention;
pub use schedule::{
    Bound, Calendar, CatchUp, Crontab, Days, Limit, Nodes, OneOrMany, RecurrenceSpec, Schedule,
    ScheduleEntry, Shift, Timezone, Weekdays,
};
pub(crate) use schedule::{MAX_ENTRIES, MAX_INSTANTS, broken_rule, locked_nodes, too_many};
pub use settings::{Environment, Settings, WorkerKind};
pub use sql_settings::{CsvDialect, Quoting, SqlSettings};
