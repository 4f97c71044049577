//! Dead-man limits of an entry: by when its runs must have begun or ended, and how long it may be without a success.

use std::fmt;
use std::str::FromStr;

use chrono::NaiveTime;
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Deserializer, Serialize, Serializer, de};
use serde_json::{Map, Value};

use crate::duration::Span;
use crate::problem::show;
use crate::text::quoted;

/// The shortest limit.
const MIN: Span = Span::from_secs(1);
/// The longest limit: a leap year.
const MAX: Span = Span::from_days(366);

/// A limit: so long after a start was meant, or by a time of day.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Limit {
    /// So long after.
    After(Span),
    /// By this time of day in the entry's zone: the first one after the slot.
    At(NaiveTime),
}

/// A text that is not a limit.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{} is neither a duration such as 90m nor a time of day such as 06:00", quoted(_0))]
pub struct BadLimit(String);

impl FromStr for Limit {
    type Err = BadLimit;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let bad = || BadLimit(text.to_owned());
        let trimmed = text.trim();
        if trimmed.contains(':') {
            let time = ["%H:%M", "%H:%M:%S"].iter().find_map(|form| {
                let time = NaiveTime::parse_from_str(trimmed, form).ok()?;
                // chrono takes a leap second.
                (!trimmed.ends_with(":60")).then_some(time)
            });
            return time.map(Self::At).ok_or_else(bad);
        }
        Span::parse(trimmed).map(Self::After).map_err(|_| bad())
    }
}

impl fmt::Display for Limit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::After(span) => span.fmt(f),
            Self::At(time) if time.format("%S").to_string() == "00" => time.format("%H:%M").fmt(f),
            Self::At(time) => time.format("%H:%M:%S").fmt(f),
        }
    }
}

impl Serialize for Limit {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Limit {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        match Value::deserialize(deserializer)? {
            Value::String(text) => text.parse().map_err(de::Error::custom),
            number @ Value::Number(_) => {
                Span::deserialize(number).map(Self::After).map_err(de::Error::custom)
            }
            other => Err(de::Error::custom(format!(
                "expected a duration or a time of day, got {}",
                crate::problem::kind(&other)
            ))),
        }
    }
}

impl JsonSchema for Limit {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "Limit".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "description": "A duration, as in 90m, or a time of day in the entry's zone, as in 06:00.",
            "type": ["string", "number"],
            "format": "limit"
        })
    }
}

/// The fields that only an entry with times can keep.
const OF_TIMES: [&str; 10] = [
    "must_start",
    "finish_by",
    "max_silence",
    "pause_after",
    "jitter",
    "max_runs",
    "catch_up",
    "window",
    "max",
    "nodes",
];

/// The rule of limits that an entry breaks. A value that does not parse is reported elsewhere.
pub(super) fn broken_limit(fields: &Map<String, Value>) -> Option<String> {
    let given = |name: &str| fields.get(name).filter(|value| !value.is_null());
    let is_reboot = given("crontab")
        .and_then(Value::as_str)
        .is_some_and(|crontab| crontab.trim().eq_ignore_ascii_case("@reboot"));
    let is_default = |value: &Value| matches!(value.as_str(), Some("none" | "one"));
    let is_kept_by_times = |name: &&str| given(name).is_some_and(|value| !is_default(value));
    if let Some(name) = OF_TIMES.into_iter().find(|name| is_reboot && is_kept_by_times(name)) {
        return Some(format!("{name} is for an entry with times, and @reboot names none"));
    }
    let is_out = |span: Span| span < MIN || span > MAX;
    for name in ["must_start", "finish_by"] {
        if let Some(Ok(Limit::After(span))) = given(name).map(Limit::deserialize)
            && is_out(span)
        {
            return Some(format!(
                "{name} is from {MIN} to {MAX}, or a time of day such as 06:00, not {}",
                show(&fields[name])
            ));
        }
    }
    let silence = given("max_silence").and_then(|value| Span::deserialize(value).ok());
    silence
        .filter(|span| is_out(*span))
        .map(|_| format!("max_silence is from {MIN} to {MAX}, not {}", show(&fields["max_silence"])))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn limit(text: &str) -> Limit {
        text.parse().unwrap_or_else(|error| panic!("{error}"))
    }

    #[test]
    fn limit_is_a_duration_or_a_time_of_day() {
        for (text, shown) in [
            ("10m", "10m"),
            ("90", "90s"),
            ("1h30m", "90m"),
            ("06:00", "06:00"),
            ("6:00", "06:00"),
            ("23:59:59", "23:59:59"),
        ] {
            assert_eq!(limit(text).to_string(), shown, "{text}");
            assert_eq!(limit(&limit(text).to_string()), limit(text));
        }
        assert_eq!(serde_json::from_value::<Limit>(json!(600)).unwrap(), limit("10m"));
        for text in ["", "24:00", "6:", ":30", "06:60", "06:00:60", "06:00 Europe/Berlin", "noon", "-5m"] {
            assert!(text.parse::<Limit>().is_err(), "{text}");
        }
        assert!(serde_json::from_value::<Limit>(json!(["10m"])).is_err());
    }

    #[test]
    fn limit_out_of_range_is_refused() {
        for (field, value) in [
            ("must_start", json!(0)),
            ("must_start", json!("0.5s")),
            ("finish_by", json!("367d")),
            ("finish_by", json!("0s")),
            ("max_silence", json!(0)),
            ("max_silence", json!("53w")),
        ] {
            let fields = json!({ field: value });
            let told = broken_limit(fields.as_object().unwrap()).unwrap_or_default();
            assert!(told.starts_with(field) && told.contains("1s to 366d"), "{field} {value}: {told}");
        }
        let good = json!({ "must_start": "1s", "finish_by": "366d", "max_silence": "26h" });
        assert_eq!(broken_limit(good.as_object().unwrap()), None);
        assert_eq!(broken_limit(json!({ "must_start": "00:00" }).as_object().unwrap()), None);
    }

    #[test]
    fn limit_of_an_entry_without_times_is_refused() {
        for (field, value) in [
            ("must_start", json!("5m")),
            ("finish_by", json!("06:00")),
            ("max_silence", json!("1d")),
            ("pause_after", json!(3)),
            ("jitter", json!("5m")),
            ("max_runs", json!(1)),
            ("catch_up", json!("last")),
            ("window", json!("1h")),
            ("max", json!(5)),
            ("nodes", json!("all")),
        ] {
            let fields = json!({ "crontab": "@Reboot", field: value });
            let told = broken_limit(fields.as_object().unwrap()).unwrap_or_default();
            assert!(told.starts_with(field) && told.contains("@reboot"), "{field}: {told}");
        }
        let kept = json!({ "crontab": "@reboot", "from": "2027-01-01", "skip": "nyse", "catch_up": "none", "nodes": "one" });
        assert_eq!(broken_limit(kept.as_object().unwrap()), None);
    }
}
