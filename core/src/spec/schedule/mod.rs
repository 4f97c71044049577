//! A job's schedule: any number of entries, each with its crontab, interval or instants.

/// A type that is written as the text that it is shown as, and read as it is parsed.
macro_rules! written_as_text {
    ($type:ty, $name:literal, $format:literal) => {
        impl serde::Serialize for $type {
            fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.collect_str(self)
            }
        }

        impl<'de> serde::Deserialize<'de> for $type {
            fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                <String as serde::Deserialize>::deserialize(deserializer)?.parse().map_err(serde::de::Error::custom)
            }
        }

        impl schemars::JsonSchema for $type {
            fn schema_name() -> std::borrow::Cow<'static, str> {
                $name.into()
            }

            fn inline_schema() -> bool {
                true
            }

            fn json_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
                schemars::json_schema!({ "type": "string", "format": $format })
            }
        }
    };
}

mod calendar;
mod entry;
mod limit;
mod times;

pub use calendar::{Calendar, Days, Weekdays};
pub use entry::{CatchUp, Nodes, OneOrMany, RecurrenceSpec, ScheduleEntry, Shift};
pub use limit::Limit;
pub(super) use times::BadTimezone;
pub use times::{Bound, Crontab, Timezone};

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Deserializer, de};
use serde_json::Value;

pub(crate) use entry::{MAX_INSTANTS, broken_rule, locked_nodes};

/// Most entries of a schedule.
pub(crate) const MAX_ENTRIES: usize = 1_000;

/// A job's schedule: any number of entries.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Schedule(pub Vec<ScheduleEntry>);

/// A mistake in an entry of a schedule, or in the schedule as a whole.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct BadScheduleEntry(String);

impl Schedule {
    /// Takes a crontab, an object, a list of both; null, an empty text, `--` and an empty list mean none, as lava's
    /// users write them.
    fn from_value(value: &Value) -> Result<Self, BadScheduleEntry> {
        Self::entries(value).into_iter().collect::<Result<_, _>>().map(Self)
    }

    /// Each entry of a schedule as it is written, or what is wrong with it: an invalid one is not in the way of the
    /// others.
    #[must_use]
    pub fn entries(value: &Value) -> Vec<Result<ScheduleEntry, BadScheduleEntry>> {
        let entry = |value: &Value| ScheduleEntry::from_value(value).map_err(BadScheduleEntry);
        match value {
            Value::Null => Vec::new(),
            Value::String(text) if text.is_empty() || text == "--" => Vec::new(),
            Value::Array(items) if items.len() > MAX_ENTRIES => {
                vec![Err(BadScheduleEntry(too_many(items.len())))]
            }
            Value::Array(items) => items.iter().map(entry).collect(),
            one => vec![entry(one)],
        }
    }
}

/// The error for a schedule with too many entries.
pub(crate) fn too_many(count: usize) -> String {
    format!("{count} entries are more than {MAX_ENTRIES}")
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
                {
                    "type": "array",
                    "format": "schedule-entries",
                    "items": { "anyOf": [{ "type": "string", "format": "crontab" }, entry] }
                }
            ]
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn schedule(value: Value) -> Result<Schedule, String> {
        Schedule::from_value(&value).map_err(|error| error.to_string())
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
    fn text_that_is_not_a_crontab_is_refused() {
        assert!(schedule(json!("0 12 * *")).unwrap_err().contains("got 4"));
        assert!(schedule(json!("99 12 * * *")).is_err());
        assert!(schedule(json!({"cron": "0 12 * * *"})).is_err());
    }

    #[test]
    fn crontab_is_crons() {
        for text in [
            "@reboot",
            "@midnight",
            "@annually",
            "*,5 * * * *",
            "5,* * * * *",
            "*/15,7 * * * *",
            "0 0 1,15 * *",
            "0 12 * Jan-Mar,Jun Mon,Wed-Fri",
            "0 12 * * 7",
            "0 22-23/1,0-6 * * *",
        ] {
            let crontab: Crontab = text.parse().unwrap_or_else(|error| panic!("{error}"));
            let pattern = crontab.pattern();
            let is_read = |pattern: &String| pattern.parse::<croner::Cron>().is_ok();
            assert!(pattern.as_ref().map_or(text == "@reboot", is_read), "{text}: {pattern:?}");
        }
        for (text, pattern) in [
            ("*,5 * * * *", "* * * * *"),
            ("5,* 3,* * * Mon", "5,0-59 3,0-23 * * Mon"),
            ("*/15,7 * * * *", "*/15,7 * * * *"),
            ("@Midnight", "@daily"),
            ("@HOURLY", "@hourly"),
        ] {
            assert_eq!(text.parse::<Crontab>().unwrap().pattern().as_deref(), Some(pattern), "{text}");
        }
        for (text, wanted) in [
            ("1,,2 * * * *", "the list \"1,,2\" has an empty item"),
            (",1 * * * *", "has an empty item"),
            ("1, * * * *", "has an empty item"),
            ("* * * 1,,2 *", "has an empty item"),
            (", * * * *", "has an empty item"),
            ("*,60 * * * *", "is not a crontab"),
            ("* * * * Mon,Fry", "is not a crontab"),
            ("@midnigth", "did you mean \"@midnight\"?"),
            ("@nonsense", "known: @annually"),
            ("@", "known: @annually"),
        ] {
            let error = schedule(json!(text)).unwrap_err();
            assert!(error.contains(wanted), "{text}: {error}");
            let error = schedule(json!([{ "crontab": text }])).unwrap_err();
            assert!(error.contains(wanted), "{text}: {error}");
        }
    }

    #[test]
    fn bad_field_of_a_crontab_is_named_with_its_values() {
        for (text, wanted) in [
            ("99 * * * *", "its minute is \"99\": number out of bounds (minutes are 0 to 59)"),
            ("0 1,24 * * *", "its hour is \"24\": number out of bounds (hours are 0 to 23)"),
            ("0 0 31-1 * *", "its day is \"31-1\": range out of bounds (days are 1 to 31)"),
            ("0 0 * Foo *", "its month is \"Foo\": \"Foo\" is not a name of one (months are"),
            (
                "0 0 * * Mon,8",
                "its weekday is \"8\": number out of bounds (weekdays are 0 to 7 or Sun to Sat)",
            ),
            ("*/0 * * * *", "its minute is \"*/0\": step cannot be zero"),
            ("1-100000000 * * * *", "its minute is \"1-100000000\": invalid end of range"),
        ] {
            let error = schedule(json!(text)).unwrap_err();
            assert!(error.contains(wanted), "{text}: {error}");
        }
    }

    #[test]
    fn bound_is_iso_8601_or_dateutils() {
        let bounds = |value: Value| schedule(json!({ "crontab": "@daily", "from": value, "to": value }));
        for value in [
            json!("20190301"),
            json!(20_190_301),
            json!(2019),
            json!("2019-03-01"),
            json!("20190301T120000Z"),
            json!("1 March 2019"),
            json!("Mar 1, 2019 10:00 +1100"),
            json!("1/3/2019"),
            json!("2019-03-01 10:00 PM"),
        ] {
            assert!(bounds(value.clone()).is_ok(), "{value}: {:?}", bounds(value.clone()));
        }
        for value in [json!("soon"), json!(""), json!("31 February 2019"), json!(201), json!("{{ start }}")] {
            let error = bounds(value.clone()).unwrap_err();
            assert!(error.contains("is not a time"), "{value}: {error}");
        }
        for value in [json!(1.5), json!(true), json!([])] {
            let error = bounds(value.clone()).unwrap_err();
            assert!(error.contains("from: expected a string or a whole number"), "{value}: {error}");
        }
    }

    #[test]
    fn zones_are_known_by_name() {
        assert!("Australia/Sydney".parse::<Timezone>().is_ok());
        let error = "Australia/Sidney".parse::<Timezone>().unwrap_err().to_string();
        assert!(error.contains("Australia/Sydney"), "{error}");
    }
}
