//! The mark of what was applied: a digest that stays with a document, so that changes by other hands show.
//!
//! It is a field of the document in the store alone: what the engine reads, runs keep and people see is without it.

use serde_json::{Map, Number, Value};
use uuid::Uuid;

/// The field that has the digest; lava passes over fields that begin with `x-`.
pub const APPLIED: &str = "x-pumice-applied";
/// Digits of the digest: a slip is to show, not an attack.
const DIGITS: usize = 16;
/// Floats from here on are not written as whole numbers: JSON's integers end there.
const MAX_WHOLE: f64 = 9_223_372_036_854_775_807.0;

/// Marks a document as applied as it is.
pub fn mark_applied(document: &mut Map<String, Value>) {
    document.shift_remove(APPLIED);
    let digest = digest(document);
    document.insert(APPLIED.to_owned(), Value::String(digest));
}

/// Takes the mark off a document; says whether the document has changed since it was marked.
pub fn take_mark(document: &mut Map<String, Value>) -> bool {
    let is_changed = has_drifted(document);
    document.shift_remove(APPLIED);
    is_changed
}

/// Whether a document was changed otherwise than by `apply` since it was applied. One that never was is not known to be.
#[must_use]
pub fn has_drifted(document: &Map<String, Value>) -> bool {
    document.get(APPLIED).is_some_and(|mark| *mark != Value::String(digest(document)))
}

/// A digest of a document, the same wherever it is kept: DynamoDB knows no `1.0`, and stores leave out some fields that are
/// null or empty.
fn digest(document: &Map<String, Value>) -> String {
    let is_part = |(name, value): &(&String, &Value)| {
        *name != APPLIED && !value.is_null() && !(*name == "dispatcher" && *value == "")
    };
    let kept = document.iter().filter(is_part).map(|(name, value)| (name.clone(), canonical(value)));
    let mut kept = Value::Object(kept.collect());
    kept.sort_all_objects();
    let digest = Uuid::new_v5(&Uuid::NAMESPACE_OID, kept.to_string().as_bytes());
    digest.simple().to_string()[..DIGITS].to_owned()
}

fn canonical(value: &Value) -> Value {
    match value {
        Value::Number(number) => Value::Number(whole(number)),
        Value::Array(items) => items.iter().map(canonical).collect(),
        Value::Object(fields) => {
            fields.iter().map(|(name, value)| (name.clone(), canonical(value))).collect::<Map<_, _>>().into()
        }
        other => other.clone(),
    }
}

/// A float without a fraction as the integer that it is.
fn whole(number: &Number) -> Number {
    let float = number.as_f64().filter(|float| number.is_f64() && float.fract() == 0.0);
    let text = float.filter(|float| float.abs() < MAX_WHOLE).map(|float| format!("{float:.0}"));
    text.and_then(|text| text.parse::<i64>().ok()).map_or_else(|| number.clone(), Number::from)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn doc(value: &Value) -> Map<String, Value> {
        value.as_object().cloned().unwrap()
    }

    #[test]
    fn mark_shows_changes_and_no_other_form_of_the_same() {
        let mut marked =
            doc(&json!({ "job_id": "a", "n": 1.0, "list": [2.0, -0.0, 1.5], "dispatcher": null }));
        mark_applied(&mut marked);
        assert!(!has_drifted(&marked));
        // As DynamoDB gives it back.
        let mark = marked[APPLIED].clone();
        let kept = json!({ "list": [2, 0, 1.5], "n": 1, "job_id": "a", "x-pumice-applied": mark });
        assert!(!has_drifted(&doc(&kept)));
        for other in [json!({ "job_id": "a", "n": 2 }), json!({ "job_id": "a" })] {
            let mut other = doc(&other);
            other.insert(APPLIED.to_owned(), mark.clone());
            assert!(has_drifted(&other));
            assert!(take_mark(&mut other) && !other.contains_key(APPLIED));
        }
        let mut never = doc(&json!({ "job_id": "a" }));
        assert!(!has_drifted(&never) && !take_mark(&mut never));
        let again = marked.clone();
        mark_applied(&mut marked);
        assert_eq!(marked, again);
    }
}
