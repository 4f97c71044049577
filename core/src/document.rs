//! Lossless reading of JSON and YAML: duplicate keys and numbers beyond 64 bits are errors, where the parsers
//! drop a key or round the number.

use std::fmt;

use serde::de::{self, Deserialize, Deserializer, MapAccess, SeqAccess, Visitor};
use serde_json::{Map, Number, Value};

use crate::text::quoted;

/// Above this a number needs more than 64 bits, and would be rounded.
const TOO_LARGE: f64 = 18_446_744_073_709_551_616.0;
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

/// Bytes as text, without a byte order mark.
///
/// # Errors
/// A message naming the first byte that is not part of a character, or that the text is UTF-16.
pub fn text_of(bytes: &[u8]) -> Result<&str, String> {
    if matches!(bytes, [0xff, 0xfe, ..] | [0xfe, 0xff, ..]) {
        return Err("UTF-16, by its first two bytes: save it as UTF-8".to_owned());
    }
    let text = std::str::from_utf8(bytes);
    text.map(without_mark)
        .map_err(|error| format!("not UTF-8: byte {} is not part of a character", error.valid_up_to() + 1))
}

/// Reads a JSON text.
///
/// # Errors
/// A message with the line and column of what is not JSON, given twice or too large a number.
pub fn parse_json(text: &str) -> Result<Value, String> {
    let parsed = serde_json::from_str(without_mark(text));
    parsed.map(|Document(value)| value).map_err(|error| format!("not JSON: {error}"))
}

/// A JSON value that refuses duplicate keys and numbers beyond 64 bits when it is deserialised.
#[derive(Debug)]
pub struct Document(pub Value);

impl<'de> Deserialize<'de> for Document {
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
        Err(too_large(value))
    }

    fn visit_u128<E: de::Error>(self, value: u128) -> Result<Value, E> {
        Err(too_large(value))
    }

    fn visit_f64<E: de::Error>(self, value: f64) -> Result<Value, E> {
        // A whole number that is too long comes as a float, and was rounded.
        if value.abs() >= TOO_LARGE && value.is_finite() {
            return Err(too_large(value));
        }
        let number =
            Number::from_f64(value).ok_or_else(|| E::custom(format!("{value} is no JSON number")))?;
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
        while let Some(Document(item)) = items.next_element()? {
            list.push(item);
        }
        Ok(Value::Array(list))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut entries: A) -> Result<Value, A::Error> {
        let mut map = Map::new();
        while let Some(Document(key)) = entries.next_key()? {
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
            let Document(value) = entries.next_value()?;
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

fn too_large<E: de::Error>(value: impl fmt::Display) -> E {
    E::custom(format!("the number {value} needs more than 64 bits: write it as a text, in quotes"))
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
            ("1e20", "more than 64 bits"),
            ("1e400", "out of range"),
            ("{", "line 1 column 1"),
        ] {
            let error = parse_json(text).unwrap_err();
            assert!(error.contains(wanted), "{text}: {error}");
        }
        let exact = "[18446744073709551615,-9223372036854775808,1.5,0.1,12345678.25]";
        assert_eq!(parse_json(exact).unwrap().to_string(), exact);
    }

    #[test]
    fn byte_order_mark_is_skipped() {
        assert_eq!(parse_json("\u{feff} {\"a\": 1}").unwrap(), json!({ "a": 1 }));
        assert_eq!(text_of(b"\xef\xbb\xbfx"), Ok("x"));
        assert!(text_of(b"\xff\xfea\0").unwrap_err().contains("UTF-16"));
        assert!(text_of(b"caf\xe9").unwrap_err().contains("byte 4"));
    }

    #[test]
    fn deep_nesting_is_refused_at_once() {
        let error = parse_json(&"[".repeat(200_000)).unwrap_err();
        assert!(error.contains("recursion limit"), "{error}");
    }
}
