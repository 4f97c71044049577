//! Runs that are due, page by page.

use crate::Timestamp;
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
    /// The store's tie-breaker between runs of the same time.
    pub key: String,
}
