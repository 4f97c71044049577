//! Days of a realm's calendars in files next to its document: they are put in their place, so that the realm that
//! is stored has them all.

use std::path::Path;

use pumice_core::problem::{JsonPath, Problem};
use pumice_core::spec::Days;
use pumice_core::text::quoted;
use serde_json::Value;

use crate::files::{Unreadable, read_text};

/// Puts the days of each calendar's `file` among its `days`. Gives what is wrong with the files.
pub(crate) fn put_in_place(document: &mut Value, realm_file: &Path) -> Vec<Problem> {
    let mut mistakes = Vec::new();
    let calendars = document.get_mut("calendars").and_then(Value::as_object_mut);
    for (name, calendar) in calendars.into_iter().flatten() {
        let Some(calendar) = calendar.as_object_mut() else { continue };
        // The reader of the realm refuses what is not a text.
        let Some(file) = calendar.get("file").and_then(Value::as_str).map(str::to_owned) else { continue };
        let place = JsonPath::root().field("calendars").field(name).field("file");
        let folder = realm_file.parent().unwrap_or_else(|| Path::new(""));
        match days(&folder.join(&file)) {
            Ok(read) => {
                calendar.shift_remove("file");
                let days = calendar.entry("days").or_insert_with(|| Value::Array(Vec::new()));
                if let Some(days) = days.as_array_mut() {
                    days.extend(read.into_iter().map(Value::String));
                }
            }
            Err(why) => mistakes.push(Problem::new(place, format!("{}: {why}", quoted(&file)))),
        }
    }
    mistakes
}

/// Separators of a day and the remark on it.
const BEFORE_REMARKS: [char; 4] = [' ', '\t', ',', ';'];

/// The day that a remark begins with, if it does: at least a year and a month.
fn second_day(remark: &str) -> Option<&str> {
    let is_between = |c: char| BEFORE_REMARKS.contains(&c) || "-–—/&+".contains(c);
    let rest = remark.trim_start_matches(is_between);
    let rest = ["to ", "until ", "till ", "bis ", "and "]
        .iter()
        .find_map(|word| rest.strip_prefix(word))
        .unwrap_or(rest);
    let word = rest.split([' ', '\t', ',', ';']).next().unwrap_or_default();
    let bytes = word.as_bytes();
    let is_year = bytes.len() >= 7 && bytes[..4].iter().all(u8::is_ascii_digit);
    (is_year && matches!(bytes[4], b'-' | b'/' | b'.')).then_some(word)
}

/// The days of a file: one a line, or a span of them; what stands behind a blank, a comma or a semicolon is a remark, and so
/// is a line that begins with `#`. A remark that begins with a day is refused: it would be lost.
fn days(file: &Path) -> Result<Vec<String>, Unreadable> {
    let mut days = Vec::new();
    for (number, line) in read_text(file)?.lines().enumerate() {
        let line = line.trim();
        if line.is_empty() || line.starts_with('#') {
            continue;
        }
        let (day, remark) = line.split_at(line.find(BEFORE_REMARKS).unwrap_or(line.len()));
        let read: Days = day.parse().map_err(|why| format!("line {}: {why}", number + 1))?;
        if let Some(other) = second_day(remark) {
            let (number, other) = (number + 1, quoted(other));
            let why = format!(
                "line {number}: {other} after the first day would be a remark: write one day a line, and a span as 2026-12-24/2027-01-02"
            );
            return Err(Unreadable(why));
        }
        days.push(read.to_string());
    }
    if days.is_empty() { Err(Unreadable("it has no day".to_owned())) } else { Ok(days) }
}
