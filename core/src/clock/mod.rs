//! When a schedule is due: pure rules, which know nothing of stores or of the time it is.

mod cron;

pub use cron::{ClockChange, Cron, Slot};
