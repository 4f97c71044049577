//! The values that schedules are written with: zones, crontabs, times.

use std::fmt;
use std::str::FromStr;

use chrono::NaiveDateTime;
use chrono_tz::Tz;
use croner::errors::CronError;
use pumice_template::{Context, Renderer, Zone};
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Deserializer, Serialize, Serializer, de};
use serde_json::Value;

use crate::Timestamp;
use crate::problem::did_you_mean;
use crate::request::{Instant, parse_instant};
use crate::text::quoted;

/// An IANA time zone, such as `Australia/Sydney`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Timezone(pub Tz);

/// A text that names no time zone.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{} is not an IANA time zone{}", quoted(name), hint.as_deref().map(|h| format!(" ({h})")).unwrap_or_default())]
pub struct BadTimezone {
    name: String,
    hint: Option<String>,
}

impl FromStr for Timezone {
    type Err = BadTimezone;

    fn from_str(name: &str) -> Result<Self, Self::Err> {
        name.parse::<Tz>().map(Self).map_err(|_| {
            let known = chrono_tz::TZ_VARIANTS.iter().map(|zone| zone.name());
            let hint = did_you_mean(name, known).or_else(|| Some("as in Europe/Berlin".to_owned()));
            BadTimezone { name: name.to_owned(), hint }
        })
    }
}

/// A crontab of five fields, or an `@` form such as `@daily` (lava guide, Schedule Specifications; crontab(5)).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Crontab(String);

/// A text that is not a crontab.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{} is not a crontab: {reason}", quoted(text))]
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

impl Crontab {
    /// The crontab in the words that croner reads, which knows no `@midnight` and no `*` in a list. `None` for `@reboot`,
    /// which names no time.
    #[must_use]
    pub fn pattern(&self) -> Option<String> {
        let lower = self.0.to_ascii_lowercase();
        match lower.as_str() {
            "@reboot" => None,
            "@midnight" => Some("@daily".to_owned()),
            form if form.starts_with('@') => Some(lower),
            _ => Some(in_croners_words(&self.0)),
        }
    }
}

/// The longest crontab, in characters: all values of all fields, one by one, are shorter.
const MAX_CRONTAB: usize = 1_000;

/// The whole range of each field (crontab(5)).
const RANGES: [&str; 5] = ["0-59", "0-23", "1-31", "1-12", "0-6"];

/// The name of each field, and its values.
const FIELDS: [(&str, &str); 5] = [
    ("minute", "0 to 59"),
    ("hour", "0 to 23"),
    ("day", "1 to 31"),
    ("month", "1 to 12 or Jan to Dec"),
    ("weekday", "0 to 7 or Sun to Sat"),
];

/// Whether an item of the field of weekdays is a range from Sunday to Sunday: in cron that is Sunday, and croner takes the end
/// for the day after Saturday.
fn is_sunday_alone(item: &str) -> bool {
    let is_sunday = |name: &str| name.eq_ignore_ascii_case("sun");
    item.split_once('-').is_some_and(|(first, last)| (first == "0" || is_sunday(first)) && is_sunday(last))
}

/// A list that begins with `*` is `*`, as cron takes it; elsewhere in a list `*` is the whole range. Where the day of the month or the
/// weekday begins with `*`, as in `*/2`, days must fit both (crontab(5), Notes).
fn in_croners_words(text: &str) -> String {
    let field = |(field, range): (&str, &str)| {
        if field.starts_with("*,") {
            return "*".to_owned();
        }
        let whole = field.contains(',');
        let items = field.split(',').map(|item| if whole && item == "*" { range } else { item });
        items.collect::<Vec<_>>().join(",")
    };
    let mut fields: Vec<String> = text.split_whitespace().zip(RANGES).map(field).collect();
    if let Some(weekdays) = fields.get_mut(4) {
        let items = weekdays.split(',').map(|item| if is_sunday_alone(item) { "0" } else { item });
        *weekdays = items.collect::<Vec<_>>().join(",");
    }
    if let [_, _, days, _, weekdays] = fields.as_mut_slice() {
        let is_given = |field: &str| !matches!(field, "*" | "?") && !field.starts_with('+');
        let is_star = days.starts_with('*') || weekdays.starts_with('*');
        if is_star && is_given(days) && is_given(weekdays) {
            weekdays.insert(0, '+');
        }
    }
    fields.join(" ")
}

impl FromStr for Crontab {
    type Err = BadCrontab;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let bad = |reason: String| BadCrontab { text: text.to_owned(), reason };
        let trimmed = text.trim();
        if trimmed.len() > MAX_CRONTAB {
            return Err(bad(format!("{} characters are more than {MAX_CRONTAB}", trimmed.chars().count())));
        }
        if trimmed.starts_with('@') {
            let known = AT_FORMS.iter().any(|form| form.eq_ignore_ascii_case(trimmed));
            let hint = || {
                did_you_mean(trimmed, AT_FORMS).unwrap_or_else(|| format!("known: {}", AT_FORMS.join(", ")))
            };
            return if known { Ok(Self(trimmed.to_owned())) } else { Err(bad(hint())) };
        }
        let fields: Vec<&str> = trimmed.split_whitespace().collect();
        if fields.len() != 5 {
            let count = fields.len();
            return Err(bad(format!("expected 5 fields (minute hour day month weekday), got {count}")));
        }
        // Parsing is slow, and jobs are read often: a field that is one item is checked with the whole.
        let whole = in_croners_words(trimmed).parse::<croner::Cron>();
        for (index, field) in fields.iter().enumerate() {
            if whole.is_err() || field.contains(',') {
                check_field(index, field).map_err(bad)?;
            }
        }
        whole.map_err(|error| bad(error.to_string()))?;
        Ok(Self(trimmed.to_owned()))
    }
}

impl Crontab {
    /// The crontab of a text as a user gives it: what no crontab can mean is refused as well, which a stored one may have.
    ///
    /// # Errors
    /// [`BadCrontab`] with what is wrong.
    pub(crate) fn checked(text: &str) -> Result<Self, BadCrontab> {
        let crontab: Self = text.parse()?;
        let Some(weekday) = crontab.0.split_whitespace().nth(4) else { return Ok(crontab) };
        let items = weekday.trim_start_matches('+').split(',');
        if let Some(item) = items.map(|item| item.trim_start_matches('+')).find(|item| is_no_weekday(item)) {
            let shown = quoted(if item.is_empty() { weekday } else { item });
            let reason = format!(
                "its weekday is {shown}, which names no day: say 5L for the last Friday, +5 for a Friday that is also one of the days of the month"
            );
            return Err(BadCrontab { text: text.to_owned(), reason });
        }
        Ok(crontab)
    }
}

/// Whether an item of a weekday field has what goes with a weekday, and none.
fn is_no_weekday(item: &str) -> bool {
    item.is_empty() || item.eq_ignore_ascii_case("L")
}

/// The short forms of five fields, and `@reboot`, which names an event instead of a time (crontab(5)).
const AT_FORMS: [&str; 8] =
    ["@annually", "@daily", "@hourly", "@midnight", "@monthly", "@reboot", "@weekly", "@yearly"];

/// Checks each item of a field by itself: in a list with others croner refuses `*`, and passes over an item that is empty.
fn check_field(index: usize, field: &str) -> Result<(), String> {
    for item in field.split(',') {
        if item.is_empty() {
            return Err(format!("the list {} has an empty item", quoted(field)));
        }
        let (name, values) = FIELDS[index];
        let wrong = |why: &str| format!("its {name} is {}: {why} ({name}s are {values})", quoted(item));
        if let Some(word) = unknown_name(index, item) {
            let mut start = word.to_ascii_lowercase();
            start.truncate(3);
            let known = NAMES[index].contains(&start.as_str());
            let meant = if known { format!(", did you mean {}?", quoted(&start)) } else { String::new() };
            return Err(wrong(&format!("{} is not a name of one{meant}", quoted(word))));
        }
        let mut alone = ["*"; 5];
        alone[index] = item;
        let names = |error: CronError| {
            let why = error.to_string().to_lowercase();
            // The kind of the error, in front, is of no use to users.
            let why = why.rsplit(": ").next().unwrap_or_default().trim_start_matches("cronpattern contains ");
            wrong(why.trim_end_matches('.'))
        };
        alone.join(" ").parse::<croner::Cron>().map_err(names)?;
    }
    if field.contains(",+") {
        return Err(format!(
            "its weekday is {}: a + stands before the whole list, as in +1,5",
            quoted(field)
        ));
    }
    Ok(())
}

/// The names of the values of each field.
const NAMES: [&[&str]; 5] = [
    &[],
    &[],
    &[],
    &["jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec"],
    &["sun", "mon", "tue", "wed", "thu", "fri", "sat"],
];

/// The first word of an item that is not a name of the field's values: croner takes such a name within another word.
fn unknown_name(index: usize, item: &str) -> Option<&str> {
    let mut words = item.split(|c: char| !c.is_ascii_alphabetic()).filter(|word| word.len() > 1);
    let is_known = |word: &&str| {
        let name = word.to_ascii_lowercase();
        // 5L and friL name the last one of a month.
        let name = name.strip_suffix('l').filter(|name| name.len() == 3).unwrap_or(&name);
        NAMES[index].contains(&name)
    };
    words.find(|word| !NAMES[index].is_empty() && !is_known(word))
}

macro_rules! text_type {
    ($type:ty, $name:literal, $format:literal, $show:expr) => {
        impl fmt::Display for $type {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                let show: fn(&$type) -> &str = $show;
                f.write_str(show(self))
            }
        }

        written_as_text!($type, $name, $format);
    };
}
text_type!(Timezone, "Timezone", "timezone", |zone| zone.0.name());
text_type!(Crontab, "Crontab", "crontab", |crontab| &crontab.0);

/// A time at which a schedule begins or ends to hold: ISO 8601, else what Python's dateutil reads, as `1 March 2019`
/// (lava guide, Lava Scheduling Objects).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Bound(String);

/// A text that is not a time.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "{} is not a time: write it as 2026-03-01T15:05:00+11:00, or as dateutil reads it: 1 March 2026",
    quoted(_0)
)]
pub struct BadBound(String);

impl Bound {
    /// The time as given.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The instant, in `zone` where the text names none. `None` where dateutil no longer reads it.
    #[must_use]
    pub fn instant(&self, zone: Tz) -> Option<Timestamp> {
        Some(self.reading(zone)?.0)
    }

    /// The instant as with [`instant`](Self::instant), with the local time where the text names no zone.
    #[must_use]
    pub fn reading(&self, zone: Tz) -> Option<(Timestamp, Option<NaiveDateTime>)> {
        let read = parse_instant(&self.0).ok().or_else(|| parse_instant(&dateutils(&self.0)?).ok())?;
        let wall = match read {
            Instant::Absolute(_) => None,
            Instant::Wall(wall) => Some(wall),
        };
        Some((read.in_zone(zone), wall))
    }

    /// The time that a user gives, text or number: one whose day or zone would not be the one that is written is refused as
    /// well, which a stored one may have.
    ///
    /// # Errors
    /// What is wrong, and what would be right.
    pub(crate) fn checked(value: &Value) -> Result<Self, String> {
        let bound = Self::deserialize(value).map_err(|error| error.to_string())?;
        bound.doubt().map_or(Ok(bound), Err)
    }

    /// Why the instant is hardly the one that is written: dateutil takes the present day where a text has none, and leaves
    /// out the name of a zone.
    #[must_use]
    pub fn doubt(&self) -> Option<String> {
        let text = self.0.as_str();
        if parse_instant(text).is_ok() {
            return None;
        }
        let at = |day: &str| dateutils_on(text, Some(day));
        let day = |at: Option<String>| at.map(|at| at.chars().take_while(|c| *c != 'T').collect::<String>());
        if day(at(SOME_DAY)) != day(at(ANOTHER_DAY)) {
            return Some(format!(
                "{} names no full date: it would be another day each time that it is read; write it as 2026-03-01T15:05:00",
                quoted(text)
            ));
        }
        let naive = parse_instant(&dateutils(text)?).is_ok_and(|read| matches!(read, Instant::Wall(_)));
        let zone = lost_zone(text).filter(|_| naive)?;
        Some(format!(
            "{} names the zone {}, which is not read: write the offset, as in 2026-03-01T15:05:00-05:00, or say timezone",
            quoted(text),
            quoted(zone)
        ))
    }

    /// Reads a text, or a number of eight digits, which a day of the basic form is in YAML.
    fn from_value(value: &Value) -> Result<Self, BadBound> {
        let text = match value {
            Value::String(text) => return text.parse(),
            other => other.to_string(),
        };
        if parse_instant(&text).is_ok() { Ok(Self(text)) } else { Err(BadBound(text)) }
    }
}

/// Two days that have no part in common, nor their weekday.
const SOME_DAY: &str = "2001-02-03";
const ANOTHER_DAY: &str = "2004-11-17";

/// A time that dateutil reads, in ISO 8601.
fn dateutils(text: &str) -> Option<String> {
    dateutils_on(text, None)
}

/// The same, as it is read on a day.
fn dateutils_on(text: &str, day: Option<&str>) -> Option<String> {
    let mut context = Context::new(Zone::Named(Tz::UTC));
    context.insert("text", pumice_template::Value::text(text));
    let template = match day {
        None => "{{ utils.parsedate.parse(text).isoformat() }}",
        Some(day) => {
            context.insert("day", pumice_template::Value::text(day));
            "{{ utils.parsedate.parse(text, default=utils.parsedate.isoparse(day)).isoformat() }}"
        }
    };
    Renderer::default().render(template, &context).ok()
}

/// Words in capitals that dateutil reads otherwise than as a zone.
const NO_ZONES: [&str; 30] = [
    "AM", "PM", "A", "P", "T", "H", "M", "S", "AD", "AT", "ON", "OF", "AND", "ST", "ND", "RD", "TH", "JUNE",
    "JULY", "SEPT", "MARCH", "APRIL", "HOUR", "HOURS", "MON", "TUE", "WED", "THU", "FRI", "SAT",
];

/// A word of a time that dateutil takes for the name of a zone: up to five capitals.
fn lost_zone(text: &str) -> Option<&str> {
    let is_name = |word: &&str| {
        let lower = word.to_ascii_lowercase();
        let is_date = *word == "SUN" || NAMES[3].contains(&lower.as_str()) || NO_ZONES.contains(word);
        (1..=5).contains(&word.len()) && word.bytes().all(|b| b.is_ascii_uppercase()) && !is_date
    };
    text.split(|c: char| !c.is_ascii_alphabetic()).find(is_name)
}

impl FromStr for Bound {
    type Err = BadBound;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        if parse_instant(text).is_ok() || dateutils(text).is_some() {
            Ok(Self(text.to_owned()))
        } else {
            Err(BadBound(text.to_owned()))
        }
    }
}

impl fmt::Display for Bound {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl Serialize for Bound {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Bound {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Self::from_value(&Value::deserialize(deserializer)?).map_err(de::Error::custom)
    }
}

impl JsonSchema for Bound {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "ScheduleTime".into()
    }

    fn inline_schema() -> bool {
        true
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "type": ["string", "integer"], "format": "schedule-time" })
    }
}
