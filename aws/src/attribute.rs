//! DynamoDB's values and JSON's.

use std::collections::HashMap;

use aws_sdk_dynamodb::types::AttributeValue;
use pumice_core::document::too_large;
use serde_json::{Map, Number, Value};

/// An item of a table.
pub(crate) type Item = HashMap<String, AttributeValue>;

/// Above this a whole number is read as a float: JSON's integers end here.
const MAX_WHOLE: f64 = 18_446_744_073_709_551_616.0;

/// A JSON value as DynamoDB keeps it.
pub(crate) fn attribute(value: Value) -> AttributeValue {
    match value {
        Value::Null => AttributeValue::Null(true),
        Value::Bool(yes) => AttributeValue::Bool(yes),
        Value::Number(number) => AttributeValue::N(number_text(&number)),
        Value::String(text) => AttributeValue::S(text),
        Value::Array(items) => AttributeValue::L(items.into_iter().map(attribute).collect()),
        Value::Object(fields) => AttributeValue::M(item(fields)),
    }
}

/// A JSON object as an item.
pub(crate) fn item(fields: Map<String, Value>) -> Item {
    fields.into_iter().map(|(name, value)| (name, attribute(value))).collect()
}

/// A value of DynamoDB as JSON. Sets become lists and bytes Base64, as lava's tools print them.
pub(crate) fn json(value: AttributeValue) -> Value {
    match value {
        AttributeValue::Bool(yes) => Value::Bool(yes),
        AttributeValue::N(text) => number(&text),
        AttributeValue::S(text) => Value::String(text),
        AttributeValue::L(items) => items.into_iter().map(json).collect(),
        AttributeValue::M(fields) => Value::Object(object(fields)),
        AttributeValue::Ss(texts) => texts.into_iter().map(Value::String).collect(),
        AttributeValue::Ns(texts) => texts.iter().map(|text| number(text)).collect(),
        AttributeValue::B(bytes) => Value::String(aws_smithy_types::base64::encode(bytes)),
        AttributeValue::Bs(all) => {
            all.into_iter().map(|bytes| Value::String(aws_smithy_types::base64::encode(bytes))).collect()
        }
        _ => Value::Null,
    }
}

/// An item as a JSON object, its fields in the order of their names.
pub(crate) fn object(item: Item) -> Map<String, Value> {
    let mut fields: Vec<(String, AttributeValue)> = item.into_iter().collect();
    fields.sort_by(|a, b| a.0.cmp(&b.0));
    fields.into_iter().map(|(name, value)| (name, json(value))).collect()
}

/// A number as DynamoDB gives it back: it keeps neither a zero after the point nor an exponent.
fn number_text(number: &Number) -> String {
    let float = number.as_f64().filter(|float| number.is_f64() && float.fract() == 0.0);
    match float {
        // Not minus zero either.
        Some(0.0) => "0".to_owned(),
        Some(float) if float.abs() < MAX_WHOLE => format!("{float:.0}"),
        _ => number.to_string(),
    }
}

/// A document as it comes back when it is kept.
pub(crate) fn as_kept(document: Map<String, Value>) -> Map<String, Value> {
    object(item(document))
}

/// A number as JSON has it: an integer within 64 bits, else a float. A longer integer than either holds exactly becomes a
/// text with all its digits.
fn number(text: &str) -> Value {
    let whole = text.parse::<i64>().map(Number::from).or_else(|_| text.parse::<u64>().map(Number::from));
    whole.ok().or_else(|| float(text)).map_or_else(|| Value::String(text.to_owned()), Value::Number)
}

/// The float of a text, unless the text is an integer that the float would round. DynamoDB gives a whole float back as
/// its shortest digits, with zeros behind.
fn float(text: &str) -> Option<Number> {
    let float: f64 = text.parse().ok()?;
    let is_integer = text.trim_start_matches(['-', '+']).bytes().all(|byte| byte.is_ascii_digit());
    let is_exact = !is_integer || text == float.to_string() || text == format!("{float:.0}");
    is_exact.then(|| Number::from_f64(float)).flatten()
}

/// Refuses an item with an integer that JSON cannot hold exactly: a text in its place would change what a template
/// computes.
///
/// # Errors
/// A message with the first such number.
pub(crate) fn check_numbers(item: &Item) -> Result<(), String> {
    item.values().try_for_each(check_number)
}

fn check_number(value: &AttributeValue) -> Result<(), String> {
    let is_rounded = |text: &&String| number(text).is_string();
    match value {
        AttributeValue::N(text) if is_rounded(&text) => Err(too_large(text)),
        AttributeValue::Ns(texts) => {
            texts.iter().find(is_rounded).map_or(Ok(()), |text| Err(too_large(text)))
        }
        AttributeValue::L(items) => items.iter().try_for_each(check_number),
        AttributeValue::M(fields) => check_numbers(fields),
        _ => Ok(()),
    }
}

/// A text attribute.
pub(crate) fn text(value: impl Into<String>) -> AttributeValue {
    AttributeValue::S(value.into())
}

/// A number attribute.
pub(crate) fn whole(value: impl Into<i128>) -> AttributeValue {
    AttributeValue::N(value.into().to_string())
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn documents_come_back_as_they_were() {
        let document = json!({ "a": [1, -2, 1.5, null, true, "ü", ""], "b": { "c": {} }, "n": u64::MAX });
        assert_eq!(super::json(attribute(document.clone())), document);
    }

    /// The text in which DynamoDB returns a number: its digits, without an exponent.
    fn given_back(text: &str) -> String {
        let float: f64 = text.parse().unwrap();
        if text.contains(['e', 'E', '.']) { float.to_string() } else { text.to_owned() }
    }

    #[test]
    fn numbers_come_back_as_they_are_said_to_be_kept() {
        for text in [
            "0",
            "-0.0",
            "1.0",
            "-2.0",
            "1.5",
            "0.1",
            "907.3038322028689",
            "1e5",
            "1e15",
            "1e20",
            "-1e20",
            "1.2345678901234568e17",
            "1.5e-7",
            "18446744073709551615",
            "-9223372036854775808",
            "2.5e30",
        ] {
            let document = json!({ "n": serde_json::from_str::<Value>(text).unwrap() });
            let document = document.as_object().unwrap();
            let AttributeValue::N(kept) = attribute(document["n"].clone()) else { panic!("{text}") };
            let back = super::json(AttributeValue::N(given_back(&kept)));
            assert_eq!(back, as_kept(document.clone())["n"], "{text}");
        }
    }

    #[test]
    fn integer_beyond_64_bits_is_refused_or_shown_exactly() {
        for text in ["12345678901234567890123", "-9223372036854775809", "18446744073709551617"] {
            assert_eq!(json(AttributeValue::N(text.to_owned())), json!(text));
            for value in [
                AttributeValue::N(text.to_owned()),
                AttributeValue::Ns(vec!["1".to_owned(), text.to_owned()]),
                AttributeValue::L(vec![AttributeValue::M(Item::from([(
                    "n".to_owned(),
                    AttributeValue::N(text.to_owned()),
                )]))]),
            ] {
                let error = check_numbers(&Item::from([("a".to_owned(), value)])).unwrap_err();
                assert!(error.contains(text) && error.contains("more than 64 bits"), "{error}");
            }
        }
        for number in [json!(1e20), json!(2.5e30), json!(1e16), json!(-1e38), json!(u64::MAX), json!(0.1)] {
            let AttributeValue::N(kept) = attribute(number.clone()) else { panic!("{number}") };
            let back = AttributeValue::N(given_back(&kept));
            assert_eq!(check_numbers(&Item::from([("a".to_owned(), back)])), Ok(()), "{number}");
        }
        for text in ["18446744073709551616", "36893488147419103232", "12345678901234567890", "1E+20", "2.50"]
        {
            let item = Item::from([("a".to_owned(), AttributeValue::N(text.to_owned()))]);
            assert_eq!(check_numbers(&item), Ok(()), "{text}");
        }
    }

    #[test]
    fn numbers_and_sets_of_others_are_read() {
        assert_eq!(super::json(AttributeValue::N("1E+2".to_owned())), json!(100.0));
        assert_eq!(super::json(AttributeValue::Ss(vec!["a".to_owned()])), json!(["a"]));
        assert_eq!(super::json(AttributeValue::Ns(vec!["1".to_owned()])), json!([1]));
        let bytes = AttributeValue::B(aws_sdk_dynamodb::primitives::Blob::new("hi"));
        assert_eq!(super::json(bytes), json!("aGk="));
    }
}
