//! Whether two documents are the same to a template, which sees the order of their fields.

use serde_json::{Map, Number, Value};

/// Whether two documents have the same fields with the same values in the same order.
pub(super) fn same(a: &Map<String, Value>, b: &Map<String, Value>) -> bool {
    a.len() == b.len()
        && a.iter().zip(b).all(|((name, own), (other, theirs))| name == other && same_value(own, theirs))
}

fn same_value(a: &Value, b: &Value) -> bool {
    match (a, b) {
        (Value::Object(a), Value::Object(b)) => same(a, b),
        (Value::Array(a), Value::Array(b)) => {
            a.len() == b.len() && a.iter().zip(b).all(|(a, b)| same_value(a, b))
        }
        (Value::Number(a), Value::Number(b)) => same_number(a, b),
        _ => a == b,
    }
}

/// Zero and minus zero are equal, but are written differently.
fn same_number(a: &Number, b: &Number) -> bool {
    a == b && (!a.is_f64() || a.as_f64().map(f64::to_bits) == b.as_f64().map(f64::to_bits))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn are_same(a: &str, b: &str) -> bool {
        let map = |text: &str| serde_json::from_str::<Map<String, Value>>(text).unwrap();
        assert!(same(&map(a), &map(a)) && same(&map(b), &map(b)), "each is the same as itself");
        same(&map(a), &map(b))
    }

    #[test]
    fn what_a_template_could_tell_apart_is_not_the_same() {
        for (a, b) in [
            (r#"{"a": 1, "b": 2}"#, r#"{"b": 2, "a": 1}"#),
            (r#"{"x": [{"y": {"a": 1, "b": 2}}]}"#, r#"{"x": [{"y": {"b": 2, "a": 1}}]}"#),
            (r#"{"a": 0.0}"#, r#"{"a": -0.0}"#),
            (r#"{"a": 1}"#, r#"{"a": 1.0}"#),
            (r#"{"a": 1}"#, r#"{"a": 1, "b": 2}"#),
            (r#"{"a": [1]}"#, r#"{"a": [1, 2]}"#),
            (r#"{"a": null}"#, r#"{"a": "null"}"#),
        ] {
            assert!(!are_same(a, b), "{a} {b}");
        }
        let spaced = r#"{ "a": 1.5, "b": [null, {"c": true}] }"#;
        assert!(are_same(spaced, r#"{"a":1.5,"b":[null,{"c":true}]}"#));
    }
}
