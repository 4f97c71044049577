//! The setting `EVENT_TTL`: how long records of runs are kept.

use std::collections::BTreeMap;

use serde_json::{Map, Value};

use super::values::span;
use crate::duration::Span;
use crate::problem::Invalid;

/// How runs end, by the names of their statuses.
pub(crate) const OUTCOMES: [&str; 5] = ["complete", "failed", "skipped", "rejected", "cancelled"];
/// The name under which a map of outcomes has the rest.
const REST: &str = "default";

/// How long records of runs are kept from the end of each run, by outcome. That of a run which has not ended is kept.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Retention {
    /// For each outcome that is named; `None` is for good.
    by: BTreeMap<&'static str, Option<Span>>,
    /// For the others.
    rest: Option<Span>,
}

impl Default for Retention {
    fn default() -> Self {
        Self::of(Span::from_days(30))
    }
}

impl Retention {
    /// The same for all outcomes; `None` is for good.
    pub fn of(keep: impl Into<Option<Span>>) -> Self {
        Self { by: BTreeMap::new(), rest: keep.into() }
    }

    /// Reads the setting: a duration, or a map of outcomes to durations, in which `default` is for those that it does not
    /// name. A value that Python takes for false is for good (lava guide, Lava Worker Configuration).
    ///
    /// # Errors
    /// The mistake in it.
    pub fn read(value: &Value) -> Result<Self, Invalid> {
        match value {
            Value::Object(map) => Ok(Self::read_map(map)?),
            // As an environment variable has it.
            Value::String(text) if text.trim_start().starts_with('{') => match serde_json::from_str(text) {
                Ok(Value::Object(map)) => Ok(Self::read_map(&map)?),
                Ok(_) | Err(_) => Err(format!("not a JSON object: {text}").into()),
            },
            value => Ok(Self::of(keep(value)?)),
        }
    }

    fn read_map(map: &Map<String, Value>) -> Result<Self, String> {
        let mut retention = Self::default();
        for (name, value) in map {
            let kept = keep(value).map_err(|error| format!("{name}: {error}"))?;
            match OUTCOMES.into_iter().find(|outcome| outcome == name) {
                Some(outcome) => {
                    retention.by.insert(outcome, kept);
                }
                None if name == REST => retention.rest = kept,
                None => {
                    let known = OUTCOMES.join(", ");
                    return Err(format!("{name} is not how a run ends: {known}, and {REST} for the rest"));
                }
            }
        }
        Ok(retention)
    }

    /// How long the record of a run with this outcome, the name of its status, is kept; `None` is for good.
    #[must_use]
    pub fn keeps(&self, outcome: &str) -> Option<Span> {
        self.by.get(outcome).copied().unwrap_or(self.rest)
    }

    /// How long the record that is kept longest is kept; `None` is for good.
    #[must_use]
    pub fn longest(&self) -> Option<Span> {
        let kept: Option<Vec<Span>> = OUTCOMES.into_iter().map(|outcome| self.keeps(outcome)).collect();
        kept.and_then(|kept| kept.into_iter().max())
    }

    /// How long the record that leaves first is kept; `None` is for good.
    #[must_use]
    pub fn shortest(&self) -> Option<Span> {
        OUTCOMES.into_iter().filter_map(|outcome| self.keeps(outcome)).min()
    }
}

/// A value that Python takes for false is for good.
fn keep(value: &Value) -> Result<Option<Span>, String> {
    if value.is_null() || value == "" {
        return Ok(None);
    }
    Ok(Some(span(value)?).filter(|kept| !kept.is_zero()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn setting_is_a_duration_or_a_map_of_outcomes() {
        let days = |days| Some(Span::from_days(days));
        for (value, [complete, failed, skipped], longest, shortest) in [
            (json!("2d"), [days(2); 3], days(2), days(2)),
            (json!(86_400), [days(1); 3], days(1), days(1)),
            (Value::Null, [None; 3], None, None),
            (json!({}), [days(30); 3], days(30), days(30)),
            (json!({ "complete": "2d", "failed": "90d" }), [days(2), days(90), days(30)], days(90), days(2)),
            (json!({ "complete": "2d", "default": "5d" }), [days(2), days(5), days(5)], days(5), days(2)),
            (json!({ "failed": null, "default": "5d" }), [days(5), None, days(5)], None, days(5)),
            (json!(r#"{"complete": "2d", "failed": 0}"#), [days(2), None, days(30)], None, days(2)),
        ] {
            let read = Retention::read(&value).unwrap();
            assert_eq!(
                ["complete", "failed", "skipped"].map(|name| read.keeps(name)),
                [complete, failed, skipped]
            );
            assert_eq!((read.longest(), read.shortest()), (longest, shortest), "{value}");
        }
    }

    #[test]
    fn mistakes_in_retention_are_named() {
        for (value, message) in [
            (
                json!({ "completed": "2d" }),
                "completed is not how a run ends: complete, failed, skipped, rejected",
            ),
            (json!({ "running": "2d" }), "running is not how a run ends"),
            (json!({ "failed": "soon" }), "failed: "),
            (json!({ "failed": { "default": "2d" } }), "failed: expected a duration"),
            (json!("{complete: 2d}"), "not a JSON object: {complete: 2d}"),
            (json!(["2d"]), "expected a duration"),
            (json!(true), "expected a duration"),
        ] {
            let error = Retention::read(&value).unwrap_err();
            assert!(error.0.contains(message), "{value}: {error}");
        }
    }
}
