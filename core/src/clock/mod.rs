//! When a schedule is due, and how missed times are made up for: pure rules, which know nothing of stores or of the
//! time it is.

pub mod backfill;
mod cron;
mod cursor;
mod early;
mod entry;
mod eventbridge;
mod hold;
mod limits;
mod matched;
mod outage;
mod planned;
mod preview;
mod seen;
mod superseded;
mod timetable;
mod watch;
mod words;

pub use backfill::Backfill;
pub use cron::{ClockChange, Cron, Slot};
pub use cursor::{Cursor, Due, IN_TIME, MAX_COUNTED, MAX_MISSED, Missed, Missing, State, WINDOW};
pub use early::{Ahead, Pending, Withdrawn};
pub use entry::{Calendars, Entry, Recurrence};
pub use eventbridge::{Expression, Native, native};
pub use hold::{EntryPause, HeldTimetable, HoldOutcome, MadeUp};
pub use limits::{LimitKind, PAUSED_BY, Runs, Watched};
pub use outage::{Recovery, after_outage};
pub use planned::{
    BadEntry, JobSchedule, NO_SERVICE, PlannedEntry, digest, is_clock_changed, is_schedule, is_scheduled,
    rules_of,
};
pub use preview::{Standing, Touched, Upcoming, local, standings, utc};
pub use superseded::Superseded;
pub use timetable::{Looked, Start, Timetable};
pub use watch::{Alert, Broken, MAX_OPEN, Open, Silence, Watch};
pub use words::{describe, limits_in_words, starts_in_words};
