//! Lossless reading of JSON and YAML: duplicate keys and integers beyond 64 bits are errors, where the parsers
//! drop a key or round the number.

use std::borrow::Cow;
use std::fmt;

use serde::de::{self, Deserialize, Deserializer, MapAccess, SeqAccess, Visitor};
use serde_json::{Map, Number, Value};

use crate::text::{quoted, shown};

/// The first character of UTF-8 files by Excel, Notepad and PowerShell.
const BYTE_ORDER_MARK: &str = "\u{feff}";

/// A text without the byte order mark that it may begin with.
#[must_use]
pub fn without_mark(text: &str) -> &str {
    text.strip_prefix(BYTE_ORDER_MARK).unwrap_or(text)
}

/// Bytes without the byte order mark that they may begin with.
#[must_use]
pub fn bytes_without_mark(bytes: &[u8]) -> &[u8] {
    bytes.strip_prefix(BYTE_ORDER_MARK.as_bytes()).unwrap_or(bytes)
}

/// Why a document cannot be read, and where.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct ReadError(String);

impl From<ReadError> for String {
    fn from(error: ReadError) -> Self {
        error.0
    }
}

/// Bytes as text, without a byte order mark.
///
/// # Errors
/// [`ReadError`] naming the first byte that is not part of a character, or that the text is UTF-16.
pub fn text_of(bytes: &[u8]) -> Result<&str, ReadError> {
    if matches!(bytes, [0xff, 0xfe, ..] | [0xfe, 0xff, ..]) {
        return Err(ReadError("UTF-16, by its first two bytes: save it as UTF-8".to_owned()));
    }
    std::str::from_utf8(bytes).map(without_mark).map_err(|error| {
        ReadError(format!("not UTF-8: byte {} is not part of a character", error.valid_up_to() + 1))
    })
}

/// The same of bytes, in UTF-8.
///
/// # Errors
/// [`ReadError`] when it is not UTF-8, or as [`parse_json`].
pub fn parse_json_bytes(bytes: &[u8]) -> Result<Value, ReadError> {
    text_of(bytes).and_then(parse_json)
}

/// Reads a JSON text. A number with a fraction or an exponent is a float, the nearest there is, as Python's `json` reads
/// it; any other is an integer, and `-0` is 0.
///
/// # Errors
/// [`ReadError`] with the line and column of what is not JSON, given twice or too large a number.
pub fn parse_json(text: &str) -> Result<Value, ReadError> {
    let text = without_mark(text);
    let text = with_plain_zeros(text);
    match serde_json::from_str(&text) {
        Ok(StrictJson(value)) => check_numbers(&text).map(|()| value),
        Err(error) if error.is_syntax() => {
            Err(beyond_floats(&text).unwrap_or_else(|| ReadError(format!("not JSON: {error}"))))
        }
        Err(error) => Err(ReadError(format!("not JSON: {error}"))),
    }
}

/// Refuses a JSON text with an integer that serde_json would round to a float, as it does with all beyond 64 bits.
///
/// # Errors
/// [`ReadError`] with the line and column of the first such number.
fn check_numbers(text: &str) -> Result<(), ReadError> {
    let rounded = |number: &&str| {
        is_integer(number) && number.parse::<i64>().is_err() && number.parse::<u64>().is_err()
    };
    match numbers(text).find(|(_, number)| rounded(number)) {
        Some((at, number)) => {
            Err(ReadError(format!("not JSON: {} at {}", too_large(number), place(text, at))))
        }
        None => Ok(()),
    }
}

/// The message for the first number that is too large for a float, if there is one.
fn beyond_floats(text: &str) -> Option<ReadError> {
    let infinite = |number: &str| number.parse::<f64>().is_ok_and(f64::is_infinite);
    let (at, number) = numbers(text).find(|(_, number)| !is_integer(number) && infinite(number))?;
    let number = shown(number);
    Some(ReadError(format!(
        "not JSON: the number {number} is larger than any float: write it as a text, in quotes at {}",
        place(text, at)
    )))
}

/// The text with its integers `-0` as ` 0`: serde_json would read the float -0.0.
fn with_plain_zeros(text: &str) -> Cow<'_, str> {
    let signs: Vec<usize> = numbers(text).filter(|(_, number)| *number == "-0").map(|(at, _)| at).collect();
    if signs.is_empty() {
        return Cow::Borrowed(text);
    }
    let mut plain = text.to_owned();
    for at in signs {
        plain.replace_range(at..=at, " ");
    }
    Cow::Owned(plain)
}

fn is_integer(number: &str) -> bool {
    let digits = number.strip_prefix('-').unwrap_or(number);
    !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit())
}

/// The numbers of a JSON text, and where they begin.
fn numbers(text: &str) -> impl Iterator<Item = (usize, &str)> {
    let bytes = text.as_bytes();
    let mut at = 0;
    std::iter::from_fn(move || {
        while let Some(byte) = bytes.get(at) {
            match byte {
                b'"' => at = after_string(bytes, at),
                b'-' | b'0'..=b'9' => {
                    let from = at;
                    let of_number =
                        |byte: &u8| matches!(byte, b'0'..=b'9' | b'-' | b'+' | b'.' | b'e' | b'E');
                    at += bytes[at..].iter().take_while(|byte| of_number(byte)).count();
                    return Some((from, &text[from..at]));
                }
                _ => at += 1,
            }
        }
        None
    })
}

/// Where the string that begins at a quote ends.
fn after_string(bytes: &[u8], quote: usize) -> usize {
    let mut at = quote + 1;
    while let Some(byte) = bytes.get(at) {
        match byte {
            b'"' => return at + 1,
            b'\\' => at += 2,
            _ => at += 1,
        }
    }
    bytes.len()
}

/// A place as serde_json names it.
fn place(text: &str, at: usize) -> String {
    let before = &text[..at];
    let line = before.bytes().filter(|byte| *byte == b'\n').count() + 1;
    let column = at - before.rfind('\n').map_or(0, |end| end + 1) + 1;
    format!("line {line} column {column}")
}

/// A JSON value that refuses duplicate keys when it is deserialised, and numbers that the deserializer says are beyond
/// 64 bits. serde_json does not say it: its texts are read with [`parse_json`].
#[derive(Debug)]
pub struct StrictJson(pub Value);

impl<'de> Deserialize<'de> for StrictJson {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(Reader).map(Self)
    }
}

struct Reader;

impl<'de> Visitor<'de> for Reader {
    type Value = Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a JSON value")
    }

    fn visit_bool<E: de::Error>(self, value: bool) -> Result<Value, E> {
        Ok(Value::Bool(value))
    }

    fn visit_i64<E: de::Error>(self, value: i64) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_u64<E: de::Error>(self, value: u64) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_i128<E: de::Error>(self, value: i128) -> Result<Value, E> {
        Err(E::custom(too_large(&value.to_string())))
    }

    fn visit_u128<E: de::Error>(self, value: u128) -> Result<Value, E> {
        Err(E::custom(too_large(&value.to_string())))
    }

    fn visit_f64<E: de::Error>(self, value: f64) -> Result<Value, E> {
        let number =
            Number::from_f64(value).ok_or_else(|| E::custom(format!("{value} is not a JSON number")))?;
        Ok(Value::Number(number))
    }

    fn visit_str<E: de::Error>(self, value: &str) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_unit<E: de::Error>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_none<E: de::Error>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_some<D: Deserializer<'de>>(self, deserializer: D) -> Result<Value, D::Error> {
        deserializer.deserialize_any(self)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Value, A::Error> {
        let mut list = Vec::new();
        while let Some(StrictJson(item)) = items.next_element()? {
            list.push(item);
        }
        Ok(Value::Array(list))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut entries: A) -> Result<Value, A::Error> {
        let mut map = Map::new();
        while let Some(StrictJson(key)) = entries.next_key()? {
            let key = match key {
                Value::String(key) => key,
                // YAML takes numbers and booleans for keys; JSON knows texts only.
                Value::Number(_) | Value::Bool(_) => key.to_string(),
                other => {
                    return Err(de::Error::custom(format!("{} cannot be a key", quoted(&other.to_string()))));
                }
            };
            if map.contains_key(&key) {
                return Err(de::Error::custom(format!("the key {} is given twice", quoted(&key))));
            }
            let StrictJson(value) = entries.next_value()?;
            map.insert(key, value);
        }
        Ok(Value::Object(map))
    }

    /// A tag of YAML.
    fn visit_enum<A: de::EnumAccess<'de>>(self, data: A) -> Result<Value, A::Error> {
        let (tag, _) = data.variant::<String>()?;
        let tag = quoted(&tag);
        Err(de::Error::custom(format!("the tag {tag} has no meaning here: write the value without a tag")))
    }
}

/// The error for an integer that would be rounded.
#[must_use]
pub fn too_large(number: &str) -> String {
    format!("the number {} needs more than 64 bits: write it as a text, in quotes", shown(number))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn json_that_would_lose_something_is_refused() {
        for (text, wanted) in [
            (r#"{"a": 1, "a": 2}"#, "the key \"a\" is given twice"),
            (r#"[{"x": {"b": 1, "c": 2, "b": 3}}]"#, "the key \"b\" is given twice"),
            ("18446744073709551616", "more than 64 bits"),
            ("[-99999999999999999999]", "more than 64 bits"),
            (r#"{"n": 123456789012345678901234567890}"#, "more than 64 bits"),
            ("[\n1, 123456789012345678901]", "line 2 column 4"),
            ("{\"a\": \"\\\"\", \"b\": -9223372036854775809}", "more than 64 bits"),
            ("1e400", "the number 1e400 is larger than any float"),
            ("[1E400]", "line 1 column 2"),
            ("-1.5e999", "larger than any float"),
            ("1e", "line 1 column 2"),
            ("{", "line 1 column 1"),
        ] {
            let error = parse_json(text).unwrap_err();
            assert!(error.to_string().contains(wanted), "{text}: {error}");
        }
        let exact = "[18446744073709551615,-9223372036854775808,1.5,0.1,12345678.25]";
        assert_eq!(parse_json(exact).unwrap().to_string(), exact);
    }

    #[test]
    fn number_with_fraction_or_exponent_is_a_float() {
        for (text, wanted) in [
            ("1e20", json!(1e20)),
            ("-1E+20", json!(-1e20)),
            ("1e16", json!(1e16)),
            ("2e0", json!(2.0)),
            ("1.5e3", json!(1500.0)),
            ("0.1e1", json!(1.0)),
            ("123456789012345678901.0", json!(123_456_789_012_345_678_901.0)),
            ("1e308", json!(1e308)),
            ("1e-400", json!(0.0)),
            ("0", json!(0)),
            ("12345678901234567890", json!(12_345_678_901_234_567_890_u64)),
            ("\"12345678901234567890123 -0 1e400\"", json!("12345678901234567890123 -0 1e400")),
        ] {
            assert_eq!(parse_json(text), Ok(wanted), "{text}");
        }
        // Equality does not distinguish the zeros.
        assert_eq!(
            parse_json("[-0, -0.0, -0e0, {\"a\":-0}]").unwrap().to_string(),
            r#"[0,-0.0,-0.0,{"a":0}]"#
        );
    }

    #[test]
    fn byte_order_mark_is_skipped() {
        assert_eq!(parse_json("\u{feff} {\"a\": 1}").unwrap(), json!({ "a": 1 }));
        assert_eq!(text_of(b"\xef\xbb\xbfx"), Ok("x"));
        assert!(text_of(b"\xff\xfea\0").unwrap_err().to_string().contains("UTF-16"));
        assert!(text_of(b"caf\xe9").unwrap_err().to_string().contains("byte 4"));
    }

    #[test]
    fn deep_nesting_is_refused_at_once() {
        let error = parse_json(&"[".repeat(200_000)).unwrap_err();
        assert!(error.to_string().contains("recursion limit"), "{error}");
    }
}
