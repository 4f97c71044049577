//! Requests to stop a run.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::Timestamp;

/// Longest name on a request, and longest reason, in bytes.
pub const MAX_STOP_TEXT: usize = 512;

/// A person's or a program's request that a run stops.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct StopRequest {
    /// The person or program that asks.
    pub by: String,
    /// Why.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub why: Option<String>,
    /// When it was written: it distinguishes two requests of one person.
    #[serde(
        default,
        skip_serializing_if = "Option::is_none",
        with = "chrono::serde::ts_microseconds_option"
    )]
    pub at: Option<Timestamp>,
}

impl StopRequest {
    /// A request within its bounds: longer texts are cut.
    #[must_use]
    pub fn new(by: &str, why: Option<&str>) -> Self {
        let cut = |text: &str| text[..text.floor_char_boundary(MAX_STOP_TEXT)].to_owned();
        Self { by: cut(by), why: why.filter(|why| !why.is_empty()).map(cut), at: None }
    }
}

impl fmt::Display for StopRequest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "by {}", self.by)?;
        self.why.as_ref().map_or(Ok(()), |why| write!(f, ": {why}"))
    }
}
