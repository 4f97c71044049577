//! DynamoDB's values and JSON's.

use std::collections::HashMap;

use aws_sdk_dynamodb::types::AttributeValue;
use serde_json::{Map, Number, Value};

/// An item of a table.
pub(crate) type Item = HashMap<String, AttributeValue>;

/// A JSON value as DynamoDB keeps it.
pub(crate) fn attribute(value: Value) -> AttributeValue {
    match value {
        Value::Null => AttributeValue::Null(true),
        Value::Bool(yes) => AttributeValue::Bool(yes),
        Value::Number(number) => AttributeValue::N(number.to_string()),
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

fn number(text: &str) -> Value {
    let whole = text.parse::<i64>().map(Number::from).or_else(|_| text.parse::<u64>().map(Number::from));
    whole
        .ok()
        .or_else(|| Number::from_f64(text.parse().ok()?))
        .map_or_else(|| Value::String(text.to_owned()), Value::Number)
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

    #[test]
    fn numbers_and_sets_of_others_are_read() {
        assert_eq!(super::json(AttributeValue::N("1E+2".to_owned())), json!(100.0));
        assert_eq!(super::json(AttributeValue::Ss(vec!["a".to_owned()])), json!(["a"]));
        assert_eq!(super::json(AttributeValue::Ns(vec!["1".to_owned()])), json!([1]));
        let bytes = AttributeValue::B(aws_sdk_dynamodb::primitives::Blob::new("hi"));
        assert_eq!(super::json(bytes), json!("aGk="));
    }
}
