//! When a schedule is due, and what becomes of times that were missed: pure rules, which know nothing of stores or of the
//! time it is.

mod cron;
mod cursor;
mod entry;

pub use cron::{ClockChange, Cron, Slot};
pub use cursor::{CatchUp, Cursor, Due, IN_TIME, MAX_COUNTED, MAX_MISSED, Missing, State, WINDOW};
pub use entry::{Entry, When};
