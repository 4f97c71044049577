//! The log of a run: what happened, in order, bounded.

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::status::Status;
use crate::Timestamp;

/// Most entries a run's log keeps.
pub const MAX_LOG_ENTRIES: usize = 200;
/// Most bytes that the `info` of a run's log takes, together.
pub const MAX_LOG_BYTES: usize = 32 * 1024;

/// One entry: a change of status, or something worth recording.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct RunEvent {
    /// The new status, or the kind of entry.
    #[serde(rename = "s")]
    pub status: Status,
    /// When.
    #[serde(rename = "t", with = "chrono::serde::ts_microseconds")]
    pub at: Timestamp,
    /// More about it: a text or an object.
    #[serde(rename = "i", default, skip_serializing_if = "Value::is_null")]
    pub info: Value,
}

/// The entries, oldest first. When the log is full the oldest entries after the first are
/// dropped, and counted, so that how a run began and how it ended are always there.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct RunLog {
    /// The entries that are kept.
    #[serde(rename = "e", default)]
    pub entries: Vec<RunEvent>,
    /// How many were dropped.
    #[serde(rename = "d", default, skip_serializing_if = "crate::omit::is_default")]
    pub dropped: u32,
}

impl RunLog {
    /// Adds an entry; its info is cut when it alone would fill the log.
    pub fn push(&mut self, status: Status, at: Timestamp, info: Value) {
        let info = bounded(info);
        self.entries.push(RunEvent { status, at, info });
        while self.entries.len() > MAX_LOG_ENTRIES || (self.entries.len() > 2 && self.bytes() > MAX_LOG_BYTES)
        {
            self.entries.remove(1);
            self.dropped += 1;
        }
    }

    fn bytes(&self) -> usize {
        self.entries.iter().map(|entry| size(&entry.info)).sum()
    }
}

/// Longest info of one entry, in bytes.
pub(super) const MAX_INFO_BYTES: usize = MAX_LOG_BYTES / 4;

fn bounded(info: Value) -> Value {
    if size(&info) <= MAX_INFO_BYTES {
        return info;
    }
    Value::String(bounded_text(match info {
        Value::String(text) => text,
        other => other.to_string(),
    }))
}

/// The text, or its beginning when it alone would fill the log: a record must fit into its store.
/// One that was cut before, as the reason of a step, still says how long it was at first.
pub(super) fn bounded_text(text: String) -> String {
    let (body, bytes) = cut_before(&text).unwrap_or((&text, text.len()));
    if body.len() <= MAX_INFO_BYTES {
        return text;
    }
    let end = body.floor_char_boundary(MAX_INFO_BYTES);
    format!("{}… ({bytes} bytes in all)", &body[..end])
}

/// The rest of a text that was cut, and how long it was.
fn cut_before(text: &str) -> Option<(&str, usize)> {
    let (body, bytes) = text.strip_suffix(" bytes in all)")?.rsplit_once("… (")?;
    Some((body, bytes.parse().ok()?))
}

/// About how many bytes a value takes as JSON.
pub(super) fn size(value: &Value) -> usize {
    match value {
        Value::Null | Value::Bool(_) | Value::Number(_) => 8,
        Value::String(text) => text.len() + 2,
        Value::Array(items) => items.iter().map(|item| size(item) + 1).sum::<usize>() + 2,
        Value::Object(fields) => fields.iter().map(|(n, v)| n.len() + 4 + size(v)).sum::<usize>() + 2,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use chrono::DateTime;

    #[test]
    fn the_log_stays_bounded_and_keeps_both_ends() {
        let mut log = RunLog::default();
        for number in 0..1_000_u32 {
            log.push(
                Status::Running,
                DateTime::UNIX_EPOCH,
                Value::String("x".repeat(1_000) + &number.to_string()),
            );
        }
        assert!(log.bytes() <= MAX_LOG_BYTES && log.entries.len() <= MAX_LOG_ENTRIES);
        assert!(log.entries[0].info.as_str().unwrap().ends_with("x0"));
        assert!(log.entries.last().unwrap().info.as_str().unwrap().ends_with("999"));
        assert_eq!(log.entries.len() + log.dropped as usize, 1_000);
    }

    #[test]
    fn one_huge_entry_is_cut() {
        let mut log = RunLog::default();
        log.push(Status::Logging, DateTime::UNIX_EPOCH, Value::String("é".repeat(100_000)));
        assert!(log.bytes() < MAX_LOG_BYTES);
    }

    #[test]
    fn text_cut_again_keeps_its_first_length() {
        let once = bounded_text("x".repeat(20_000));
        assert!(once.ends_with("x… (20000 bytes in all)"));
        assert_eq!(bounded_text(once.clone()), once);
        let twice = bounded_text(format!("job a: {once}"));
        assert!(twice.starts_with("job a: x") && twice.ends_with("x… (20000 bytes in all)"));
        assert_eq!(twice.len(), once.len());
    }
}
