//! When a schedule is due, and what becomes of times that were missed: pure rules, which know nothing of stores or of the
//! time it is.

mod cron;
mod cursor;
mod entry;
mod planned;
mod timetable;

pub use cron::{ClockChange, Cron, Slot};
pub use cursor::{Ahead, Cursor, Due, IN_TIME, MAX_COUNTED, MAX_MISSED, Missed, Missing, State, WINDOW};
pub use entry::{Calendars, Entry, When};
pub use planned::{BadEntry, Plan, Planned, is_clock_changed, is_scheduled};
pub use timetable::{Looked, Start, Timetable};
