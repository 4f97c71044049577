//! Durations as lava writes them: `90`, `1.5h`, `10 m`.

use std::fmt;
use std::time::Duration;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Deserializer, Serialize, Serializer, de};
use serde_json::Value;

use crate::text::quoted;

/// Longest span taken, in seconds: a hundred years, so that sums of times never overflow.
const MAX_SECONDS: f64 = 100.0 * 366.0 * 86_400.0;

/// A span of time: a number and one of `s m h d w`, no unit meaning seconds; several of these, the largest
/// unit first, as in `15m30s`; or a plain number of seconds. Fractions, exponents and blanks are allowed (lava guide, The Jobs Table; lava's
/// `duration_to_seconds`). Never negative.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Span(Duration);

/// A text that is not a duration.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum BadDuration {
    /// Not a number with a unit.
    #[error(
        "{} is not a duration: write numbers and units of s, m, h, d, w, as in 90s, 1.5h or 15m30s",
        quoted(_0)
    )]
    Malformed(String),
    /// Below zero.
    #[error("{} is negative: a duration is zero or more", quoted(_0))]
    Negative(String),
    /// More than a hundred years.
    #[error("{} is longer than a hundred years", quoted(_0))]
    TooLong(String),
}

impl Span {
    /// No time at all.
    pub const ZERO: Self = Self(Duration::ZERO);

    /// So many seconds.
    #[must_use]
    pub const fn from_secs(seconds: u64) -> Self {
        Self(Duration::from_secs(seconds))
    }

    /// So many minutes.
    #[must_use]
    pub const fn from_mins(minutes: u64) -> Self {
        Self::from_secs(minutes * 60)
    }

    /// So many days.
    #[must_use]
    pub const fn from_days(days: u64) -> Self {
        Self::from_secs(days * 86_400)
    }

    /// Reads `90`, `1.5h`, ` 10 m `, `15m1s`.
    ///
    /// # Errors
    /// [`BadDuration`] when the text is not a duration, is negative or far too long.
    pub fn parse(text: &str) -> Result<Self, BadDuration> {
        let trimmed = text.trim();
        let malformed = || BadDuration::Malformed(text.to_owned());
        if let Some(seconds) = several(trimmed) {
            return Self::from_seconds(seconds, text);
        }
        let (number, unit) = match trimmed.char_indices().last() {
            Some((at, unit)) if unit.is_ascii_alphabetic() => (trimmed[..at].trim_end(), unit),
            Some(_) => (trimmed, 's'),
            None => return Err(malformed()),
        };
        let unit_seconds = unit_seconds(unit).ok_or_else(malformed)?;
        // Rust's float grammar also takes "inf" and "nan", which are not numbers here.
        if number.chars().any(|c| c.is_ascii_alphabetic() && !matches!(c, 'e' | 'E')) {
            return Err(malformed());
        }
        let value: f64 = number.parse().map_err(|_| malformed())?;
        Self::from_seconds(value * unit_seconds, text)
    }

    fn from_seconds(seconds: f64, text: &str) -> Result<Self, BadDuration> {
        if seconds < 0.0 {
            Err(BadDuration::Negative(text.to_owned()))
        } else if !seconds.is_finite() || seconds > MAX_SECONDS {
            Err(BadDuration::TooLong(text.to_owned()))
        } else {
            Ok(Self(Duration::from_secs_f64(seconds)))
        }
    }

    /// As the standard library's duration.
    #[must_use]
    pub const fn get(self) -> Duration {
        self.0
    }

    /// As chrono's signed duration, for sums with instants.
    #[must_use]
    pub fn delta(self) -> chrono::TimeDelta {
        // MAX_SECONDS keeps every span far inside chrono's range.
        chrono::TimeDelta::from_std(self.0).unwrap_or(chrono::TimeDelta::MAX)
    }

    /// Whether this is zero.
    #[must_use]
    pub const fn is_zero(self) -> bool {
        self.0.is_zero()
    }
}

/// Units of a span, and how many seconds each has, the largest first.
const UNITS: [(&str, u64); 4] = [("w", 604_800), ("d", 86_400), ("h", 3_600), ("m", 60)];

impl Span {
    fn write_parts(self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut seconds = self.0.as_secs();
        let is_fraction = self.0.subsec_nanos() != 0;
        if seconds == 0 && !is_fraction {
            return f.write_str("0s");
        }
        for (unit, size) in UNITS {
            if seconds >= size {
                write!(f, "{}{unit}", seconds / size)?;
                seconds %= size;
            }
        }
        match (seconds, is_fraction) {
            (0, false) => Ok(()),
            (_, false) => write!(f, "{seconds}s"),
            (_, true) => write!(f, "{}s", Duration::new(seconds, self.0.subsec_nanos()).as_secs_f64()),
        }
    }
}

fn unit_seconds(unit: char) -> Option<f64> {
    match unit {
        's' => Some(1.0),
        'm' => Some(60.0),
        'h' => Some(3_600.0),
        'd' => Some(86_400.0),
        'w' => Some(7.0 * 86_400.0),
        _ => None,
    }
}

/// The seconds of several numbers with units, the largest unit first and none twice; `None` of a text of
/// another form.
fn several(text: &str) -> Option<f64> {
    let (mut seconds, mut parts, mut before) = (0.0, 0, f64::INFINITY);
    let mut rest = text;
    while !rest.is_empty() {
        let (number, after) = rest.split_at(rest.find(|c: char| c.is_ascii_alphabetic())?);
        let number = number.trim_end();
        let plain = !number.is_empty() && number.bytes().all(|byte| byte.is_ascii_digit() || byte == b'.');
        let unit = unit_seconds(after.chars().next()?).filter(|unit| plain && *unit < before)?;
        seconds += number.parse::<f64>().ok()? * unit;
        (before, parts, rest) = (unit, parts + 1, after[1..].trim_start());
    }
    (parts > 1).then_some(seconds)
}

impl From<Duration> for Span {
    fn from(duration: Duration) -> Self {
        Self(duration)
    }
}

/// One number and unit, as lava reads it; `{:#}` writes several where people may: `15m1s`.
impl fmt::Display for Span {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let seconds = self.0.as_secs();
        if f.alternate() {
            return self.write_parts(f);
        }
        if self.0.subsec_nanos() != 0 {
            return write!(f, "{}s", self.0.as_secs_f64());
        }
        for (unit, size) in UNITS {
            if seconds != 0 && seconds.is_multiple_of(size) {
                return write!(f, "{}{unit}", seconds / size);
            }
        }
        write!(f, "{seconds}s")
    }
}

impl std::str::FromStr for Span {
    type Err = BadDuration;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Self::parse(text)
    }
}

impl Serialize for Span {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Span {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Visitor;
        impl de::Visitor<'_> for Visitor {
            type Value = Span;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a duration such as 90s or 1.5h")
            }
            fn visit_str<E: de::Error>(self, text: &str) -> Result<Span, E> {
                Span::parse(text).map_err(E::custom)
            }
            fn visit_u64<E: de::Error>(self, value: u64) -> Result<Span, E> {
                self.visit_f64(value as f64)
            }
            fn visit_i64<E: de::Error>(self, value: i64) -> Result<Span, E> {
                self.visit_f64(value as f64)
            }
            fn visit_f64<E: de::Error>(self, value: f64) -> Result<Span, E> {
                Span::from_seconds(value, &value.to_string()).map_err(E::custom)
            }
        }
        deserializer.deserialize_any(Visitor)
    }
}

/// Reads a duration that an empty text leaves out: for serde's `deserialize_with`. So lava reads durations that it tests
/// for being there first (`max_run_delay`, a state item's `ttl`, `EVENT_TTL`).
///
/// # Errors
/// The deserializer's, and [`BadDuration`] in its words.
pub fn unless_empty<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Span>, D::Error> {
    match Value::deserialize(deserializer)? {
        Value::Null => Ok(None),
        Value::String(text) if text.is_empty() => Ok(None),
        value => Span::deserialize(value).map(Some).map_err(de::Error::custom),
    }
}

/// The schema of what [`unless_empty`] reads.
#[derive(Debug)]
pub enum SpanOrEmpty {}

impl JsonSchema for SpanOrEmpty {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "DurationOrEmpty".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "description": "A duration as elsewhere, or an empty text for none.",
            "type": ["string", "number"],
            "format": "duration-or-empty"
        })
    }
}

impl JsonSchema for Span {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "Duration".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "description": "A number and one of s, m, h, d, w (no unit: seconds), as in 90s or 1.5h, or several, as in 15m30s; or a number of seconds.",
            "type": ["string", "number"],
            "format": "duration"
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn span_is_written_in_parts_where_people_read_it() {
        for (text, wanted) in [
            ("15m1s", "15m1s"),
            ("901", "15m1s"),
            ("90m", "1h30m"),
            ("0", "0s"),
            ("61.5", "1m1.5s"),
            ("14d", "2w"),
        ] {
            assert_eq!(format!("{:#}", Span::parse(text).unwrap()), wanted, "{text}");
        }
        assert_eq!(Span::parse("15m1s").unwrap().to_string(), "901s");
    }

    #[test]
    fn reads_lava_forms() {
        for (text, seconds) in [
            ("0", 0.0),
            ("90", 90.0),
            ("90s", 90.0),
            (" 10 m ", 600.0),
            ("1.5h", 5_400.0),
            (".5d", 43_200.0),
            ("1.w", 604_800.0),
            ("1e2s", 100.0),
            ("+5s", 5.0),
            ("15m1s", 901.0),
            ("1h30m", 5_400.0),
            ("1w 2d 3h 4m 5.5s", 788_645.5),
        ] {
            assert_eq!(Span::parse(text).unwrap().get().as_secs_f64(), seconds, "{text}");
        }
    }

    #[test]
    fn refuses_the_rest() {
        for text in [
            "", " ", "abc", "s", "5x", "5 5", "5M", "inf", "nan", "infs", "1s15m", "1m1m", "15m1", "1h-30m",
            "1h1e2m", "1h 30", "m1s", "1hm",
        ] {
            assert!(matches!(Span::parse(text), Err(BadDuration::Malformed(_))), "{text}");
        }
        assert!(matches!(Span::parse("-1s"), Err(BadDuration::Negative(_))));
        assert!(matches!(Span::parse("1e300w"), Err(BadDuration::TooLong(_))));
    }

    #[test]
    fn shows_the_largest_whole_unit() {
        for (seconds, text) in [(0, "0s"), (90, "90s"), (120, "2m"), (86_400, "1d"), (604_800, "1w")] {
            assert_eq!(Span::from_secs(seconds).to_string(), text);
        }
    }

    proptest! {
        #[test]
        fn shown_text_reads_back(millis in 0_u64..1_000_000_000_000) {
            let span = Span::from(Duration::from_millis(millis));
            let back = Span::parse(&span.to_string()).unwrap();
            prop_assert!(back.get().abs_diff(span.get()) < Duration::from_micros(200));
        }

        #[test]
        fn never_panics(text in ".*") {
            let _ = Span::parse(&text);
        }
    }
}
