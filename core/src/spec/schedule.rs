//! Schedules: crontabs with a beginning and an end.

use std::fmt;
use std::str::FromStr;

use chrono_tz::Tz;
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Deserializer, Serialize, Serializer, de};
use serde_json::Value;

use crate::problem::did_you_mean;
use crate::text::quoted;

/// An IANA time zone, such as `Australia/Sydney`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Timezone(pub Tz);

/// A text that names no time zone.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{} is no IANA time zone{}", quoted(name), hint.as_deref().map(|h| format!(" ({h})")).unwrap_or_default())]
pub struct BadTimezone {
    name: String,
    hint: Option<String>,
}

impl FromStr for Timezone {
    type Err = BadTimezone;

    fn from_str(name: &str) -> Result<Self, Self::Err> {
        name.parse::<Tz>().map(Self).map_err(|_| {
            let known = chrono_tz::TZ_VARIANTS.iter().map(|zone| zone.name());
            BadTimezone { name: name.to_owned(), hint: did_you_mean(name, known) }
        })
    }
}

/// A crontab of five fields, or an `@` form such as `@daily` (lava guide, Schedule Specifications).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Crontab(String);

/// A text that is no crontab.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{} is no crontab: {reason}", quoted(text))]
pub struct BadCrontab {
    text: String,
    reason: String,
}

impl Crontab {
    /// The crontab as given.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for Crontab {
    type Err = BadCrontab;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let bad = |reason: String| BadCrontab { text: text.to_owned(), reason };
        let trimmed = text.trim();
        let fields = trimmed.split_whitespace().count();
        if !trimmed.starts_with('@') && fields != 5 {
            return Err(bad(format!("expected 5 fields (minute hour day month weekday), got {fields}")));
        }
        trimmed.parse::<croner::Cron>().map_err(|error| bad(error.to_string()))?;
        Ok(Self(trimmed.to_owned()))
    }
}

macro_rules! text_type {
    ($type:ty, $name:literal, $format:literal, $show:expr) => {
        impl fmt::Display for $type {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                let show: fn(&$type) -> &str = $show;
                f.write_str(show(self))
            }
        }

        impl Serialize for $type {
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.collect_str(self)
            }
        }

        impl<'de> Deserialize<'de> for $type {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                String::deserialize(deserializer)?.parse().map_err(de::Error::custom)
            }
        }

        impl JsonSchema for $type {
            fn schema_name() -> std::borrow::Cow<'static, str> {
                $name.into()
            }

            fn inline_schema() -> bool {
                true
            }

            fn json_schema(_: &mut SchemaGenerator) -> Schema {
                json_schema!({ "type": "string", "format": $format })
            }
        }
    };
}
text_type!(Timezone, "Timezone", "timezone", |zone| zone.0.name());
text_type!(Crontab, "Crontab", "crontab", |crontab| &crontab.0);

/// A crontab with the time in which it holds. With `from` after `to` it holds outside the two
/// (lava guide, Lava Scheduling Objects).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ScheduleEntry {
    /// When the job is dispatched.
    pub crontab: Crontab,
    /// The ISO 8601 instant from which the entry holds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(extend("format" = "instant"))]
    pub from: Option<String>,
    /// The ISO 8601 instant until which the entry holds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(extend("format" = "instant"))]
    pub to: Option<String>,
}

/// A job's schedule: any number of entries.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Schedule(pub Vec<ScheduleEntry>);

impl Schedule {
    /// Takes a crontab, an object, a list of both; null, an empty text and `--` mean none, as lava
    /// users write them.
    fn from_value(value: &Value) -> Result<Self, String> {
        match value {
            Value::Null => Ok(Self::default()),
            Value::String(text) if text.is_empty() || text == "--" => Ok(Self::default()),
            Value::Array(items) => items.iter().map(Self::entry).collect::<Result<_, _>>().map(Self),
            one => Ok(Self(vec![Self::entry(one)?])),
        }
    }

    fn entry(value: &Value) -> Result<ScheduleEntry, String> {
        match value {
            Value::String(text) => {
                let crontab = text.parse().map_err(|error: BadCrontab| error.to_string())?;
                Ok(ScheduleEntry { crontab, from: None, to: None })
            }
            object => ScheduleEntry::deserialize(object).map_err(|error| error.to_string()),
        }
    }
}

impl<'de> Deserialize<'de> for Schedule {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let value = Value::deserialize(deserializer)?;
        Self::from_value(&value).map_err(de::Error::custom)
    }
}

impl JsonSchema for Schedule {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "Schedule".into()
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        let entry = generator.subschema_for::<ScheduleEntry>();
        json_schema!({
            "anyOf": [
                { "type": "null" },
                { "type": "string", "format": "schedule" },
                entry,
                { "type": "array", "items": { "anyOf": [{ "type": "string", "format": "crontab" }, entry] } }
            ]
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn schedule(value: Value) -> Result<Schedule, String> {
        Schedule::from_value(&value)
    }

    #[test]
    fn takes_every_form_of_lava() {
        assert_eq!(schedule(json!("--")).unwrap().0.len(), 0);
        assert_eq!(schedule(json!(null)).unwrap().0.len(), 0);
        assert_eq!(schedule(json!("0 12 * * Mon")).unwrap().0.len(), 1);
        assert_eq!(
            schedule(json!(["0 12 * * 1-5", {"crontab": "0 14 * * 0,6", "to": "2019-06-30T00:00:00Z"}]))
                .unwrap()
                .0
                .len(),
            2
        );
        assert_eq!(schedule(json!("@daily")).unwrap().0.len(), 1);
    }

    #[test]
    fn refuses_what_is_no_crontab() {
        assert!(schedule(json!("0 12 * *")).unwrap_err().contains("got 4"));
        assert!(schedule(json!("99 12 * * *")).is_err());
        assert!(schedule(json!({"cron": "0 12 * * *"})).is_err());
    }

    #[test]
    fn zones_are_known_by_name() {
        assert!("Australia/Sydney".parse::<Timezone>().is_ok());
        let error = "Australia/Sidney".parse::<Timezone>().unwrap_err().to_string();
        assert!(error.contains("Australia/Sydney"), "{error}");
    }
}
