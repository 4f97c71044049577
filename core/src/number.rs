//! Whole numbers as people write them: `3`, `3.0`, `"3"`.

use std::fmt;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Deserializer, Serialize, Serializer, de};
use serde_json::{Number, Value};

use crate::problem::given;
use crate::text::shown;

/// The `format` of whole numbers in schemas: a text of this format is held to `minimum` and `maximum` as a number is.
pub(crate) const FORMAT: &str = "whole-number";

/// The floats below 2^63 in size are those that fit into 64 bits.
const TOO_LARGE: f64 = 9_223_372_036_854_775_808.0;

/// A whole number within bounds: an integer, a float without a fraction, or a text of digits that Python's `int()` reads, of
/// any script, as lava reads it (`iteration_limit`, `workers`, `limit`, `start`, `stop`, `step`). A fraction is refused where `int()` cuts
/// it off.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Whole<const LEAST: i64, const MOST: i64>(i64);

/// How many of something: 1 or more.
pub type Count = Whole<1, { u32::MAX as i64 }>;
/// How many of something, or none.
pub type CountOrNone = Whole<0, { u32::MAX as i64 }>;
/// Any whole number of 64 bits.
pub type Integer = Whole<{ i64::MIN }, { i64::MAX }>;

/// A value that is not a whole number, or out of bounds.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum BadNumber {
    /// Not a whole number at all.
    #[error("expected a whole number, got {0}")]
    NotWhole(String),
    /// Below the least.
    #[error("{0} is less than {1}")]
    TooSmall(String, i64),
    /// Above the most.
    #[error("{0} is more than {1}")]
    TooLarge(String, i64),
}

/// The whole number that a value is, whatever its size within 64 bits.
///
/// # Errors
/// [`BadNumber::NotWhole`] when it is none; [`BadNumber::TooSmall`] and [`BadNumber::TooLarge`] when it is one beyond 64
/// bits.
pub fn whole(value: &Value) -> Result<i64, BadNumber> {
    let found = match value {
        Value::Number(number) if number.is_u64() => Some(within_64_bits(&number.to_string())),
        Value::Number(number) => number.as_i64().map(Ok).or_else(|| of_float(number)),
        Value::String(text) => of_text(text),
        _ => None,
    };
    found.unwrap_or_else(|| Err(BadNumber::NotWhole(given(value))))
}

/// An integer of an optional sign and ASCII digits.
fn within_64_bits(digits: &str) -> Result<i64, BadNumber> {
    digits.parse().map_err(|_| match digits.starts_with('-') {
        true => BadNumber::TooSmall(shown(digits), i64::MIN),
        false => BadNumber::TooLarge(shown(digits), i64::MAX),
    })
}

/// `2.0` as 2.
fn whole_float(number: &Number) -> Option<i64> {
    let float = number.as_f64().filter(|float| float.fract() == 0.0 && float.abs() < TOO_LARGE)?;
    // Exact: it has no fraction and fits.
    Some(float as i64)
}

/// The same of a float of any size: without a fraction it is a whole number, as `1e20` is.
fn of_float(number: &Number) -> Option<Result<i64, BadNumber>> {
    let beyond = || match number.as_f64()? {
        float if float.fract() != 0.0 => None,
        float if float < 0.0 => Some(Err(BadNumber::TooSmall(number.to_string(), i64::MIN))),
        _ => Some(Err(BadNumber::TooLarge(number.to_string(), i64::MAX))),
    };
    whole_float(number).map(Ok).or_else(beyond)
}

/// Whether a number is one that JSON Schema calls an integer: `2.0` is one.
pub(crate) fn is_whole(value: &Value) -> bool {
    value.is_u64() || value.as_number().is_some_and(|number| number.is_i64() || whole_float(number).is_some())
}

/// Reads ` +1_000 ` (Python, Integer literals and `int()`); none when the text is not an integer.
fn of_text(text: &str) -> Option<Result<i64, BadNumber>> {
    let text = &*pumice_template::ascii_digits(text.trim());
    let digits = text.strip_prefix(['+', '-']).unwrap_or(text);
    let well_formed =
        digits.split('_').all(|group| !group.is_empty() && group.bytes().all(|byte| byte.is_ascii_digit()));
    well_formed.then(|| within_64_bits(&text.replace('_', "")))
}

impl<const LEAST: i64, const MOST: i64> Whole<LEAST, MOST> {
    /// The number that a value is.
    ///
    /// # Errors
    /// [`BadNumber`] when it is not a whole number or out of bounds.
    pub fn read(value: &Value) -> Result<Self, BadNumber> {
        Self::bounded(whole(value)?)
    }

    fn bounded(number: i64) -> Result<Self, BadNumber> {
        if number < LEAST {
            Err(BadNumber::TooSmall(number.to_string(), LEAST))
        } else if number > MOST {
            Err(BadNumber::TooLarge(number.to_string(), MOST))
        } else {
            Ok(Self(number))
        }
    }

    /// As a number.
    #[must_use]
    pub const fn get(self) -> i64 {
        self.0
    }

    /// As a number of another type, the nearest where it does not fit.
    #[must_use]
    pub fn as_u32(self) -> u32 {
        u32::try_from(self.0.max(0)).unwrap_or(u32::MAX)
    }

    /// As a number of another type, the nearest where it does not fit.
    #[must_use]
    pub fn as_usize(self) -> usize {
        usize::try_from(self.0.max(0)).unwrap_or(usize::MAX)
    }

    /// Reads a field that may be null, as a plain number: for serde's `deserialize_with`.
    ///
    /// # Errors
    /// The deserializer's, and [`BadNumber`] in its words.
    pub fn optional_u32<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<u32>, D::Error> {
        Ok(Option::<Self>::deserialize(deserializer)?.map(Self::as_u32))
    }
}

impl<const LEAST: i64, const MOST: i64> fmt::Display for Whole<LEAST, MOST> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl<const LEAST: i64, const MOST: i64> Serialize for Whole<LEAST, MOST> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_i64(self.0)
    }
}

impl<'de, const LEAST: i64, const MOST: i64> Deserialize<'de> for Whole<LEAST, MOST> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Self::read(&Value::deserialize(deserializer)?).map_err(de::Error::custom)
    }
}

impl<const LEAST: i64, const MOST: i64> JsonSchema for Whole<LEAST, MOST> {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "WholeNumber".into()
    }

    fn inline_schema() -> bool {
        true
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        // The pattern is for editors: here the format sees to texts.
        let mut schema = json_schema!({ "type": ["integer", "string"], "format": FORMAT, "pattern": r"^\s*[+-]?[0-9]+(_[0-9]+)*\s*$" });
        if LEAST != i64::MIN {
            schema.insert("minimum".to_owned(), LEAST.into());
        }
        if MOST != i64::MAX {
            schema.insert("maximum".to_owned(), MOST.into());
        }
        schema
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn whole_number_of_every_form_is_read() {
        for (value, number) in [
            (json!(3), 3),
            (json!(3.0), 3),
            (json!(-0.0), 0),
            (json!("3"), 3),
            (json!(" +3\n"), 3),
            (json!("-3"), -3),
            (json!("1_000"), 1000),
            (json!("２"), 2),
            (json!("-１_0٠"), -100),
            (json!("007"), 7),
            (json!("9223372036854775807"), i64::MAX),
            (json!(i64::MIN), i64::MIN),
        ] {
            assert_eq!(Integer::read(&value).map(Integer::get), Ok(number), "{value}");
        }
    }

    #[test]
    fn anything_else_is_refused_in_our_words() {
        for (value, shown) in [
            (json!(2.5), "a number 2.5"),
            (json!("2.5"), "a string \"2.5\""),
            (json!("2.0"), "a string \"2.0\""),
            (json!(""), "a string \"\""),
            (json!("_1"), "a string \"_1\""),
            (json!("1__0"), "a string \"1__0\""),
            (json!("+ 1"), "a string \"+ 1\""),
            (json!("0x10"), "a string \"0x10\""),
            (json!("²"), "a string \"²\""),
            (json!(true), "true or false true"),
            (json!(null), "null"),
            (json!([1]), "a list [1]"),
        ] {
            let error = Integer::read(&value).unwrap_err().to_string();
            assert!(error.starts_with(&format!("expected a whole number, got {}", &shown[..4])), "{error}");
            assert!(error.ends_with(shown), "{value}: {error}");
        }
    }

    #[test]
    fn number_out_of_bounds_is_refused_in_every_form() {
        for value in [json!(0), json!(0.0), json!("0")] {
            assert_eq!(Count::read(&value), Err(BadNumber::TooSmall("0".to_owned(), 1)), "{value}");
            assert_eq!(CountOrNone::read(&value).map(CountOrNone::get), Ok(0), "{value}");
        }
        for value in [json!(4_294_967_296_i64), json!(4_294_967_296.0), json!("4294967296")] {
            assert!(matches!(Count::read(&value), Err(BadNumber::TooLarge(..))), "{value}");
        }
        for value in [json!(1e20), json!(1e300), json!(9_223_372_036_854_775_808.0)] {
            assert!(matches!(Integer::read(&value), Err(BadNumber::TooLarge(_, i64::MAX))), "{value}");
        }
        for value in [json!(-1e20), json!(-1e300)] {
            assert!(matches!(Count::read(&value), Err(BadNumber::TooSmall(..))), "{value}");
        }
        let long = "1".repeat(50);
        for (value, told) in [
            (json!(u64::MAX), "18446744073709551615 is more than 9223372036854775807".to_owned()),
            (json!("9223372036854775808"), "9223372036854775808 is more than 9223372036854775807".to_owned()),
            (
                json!("-9_223_372_036_854_775_809"),
                "-9223372036854775809 is less than -9223372036854775808".to_owned(),
            ),
            (json!(long), format!("{long} is more than 9223372036854775807")),
        ] {
            assert_eq!(Integer::read(&value).unwrap_err().to_string(), told);
            assert!(!matches!(Count::read(&value), Err(BadNumber::NotWhole(_))), "{value}");
        }
    }
}
