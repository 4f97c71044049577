//! Runs and timetables that are due, page by page.

use crate::Timestamp;
use crate::clock::Timetable;
use crate::run::Run;

/// A page of what is due.
#[derive(Clone, Debug, Default)]
pub struct DuePage {
    /// The runs, the longest due first.
    pub runs: Vec<Run>,
    /// How many records cannot be read.
    pub unreadable: usize,
    /// The first of them, and why.
    pub why: Option<String>,
    /// Where the next page begins; `None` when this is the last.
    pub next: Option<DuePlace>,
}

/// A place in what is due.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct DuePlace {
    /// The time.
    pub at: Timestamp,
    /// The store's tie-breaker between those of the same time.
    pub key: String,
}

/// A page of the timetables that are due.
#[derive(Clone, Debug, Default)]
pub struct DueTimetables {
    /// The timetables, the longest due first.
    pub found: Vec<Timetable>,
    /// Where the next page begins; `None` when this is the last. A page may have fewer than were asked for, or none, and not
    /// be the last: an index lags, and shows some that are not due any more.
    pub next: Option<DuePlace>,
}
