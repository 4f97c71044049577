//! The differences between two documents, place by place.

use pumice_core::ports::Doc;
use pumice_core::problem::JsonPath;
use pumice_core::secret::{MASK, is_marked};
use pumice_core::spec::APPLIED;
use serde_json::Value;

use super::FieldChange;

/// Most differences of one document that are named one by one.
const MAX_PLACES: usize = 500;
/// Deepest level that is looked into: what is below counts as one value.
const MAX_LEVELS: usize = 32;

/// The places of a document that are not what they were, in the order of their names, its mark aside. Objects and lists are looked into;
/// where items came or went in the middle of a list, those before and after them count as the same. Values under names that
/// the realm marks are masked.
#[must_use]
pub fn places(before: &Doc, after: &Doc) -> Vec<FieldChange> {
    let mut found = Vec::new();
    of_objects(&JsonPath::root(), before, after, 0, &mut found);
    found
}

fn add(path: &JsonPath, before: Option<&Value>, after: Option<&Value>, found: &mut Vec<FieldChange>) {
    if found.len() < MAX_PLACES {
        found.push(FieldChange { field: path.to_string(), before: before.cloned(), after: after.cloned() });
    }
}

/// A value under a marked name.
fn masked(value: Option<&Value>) -> Option<Value> {
    value.map(|value| if value.is_null() { Value::Null } else { MASK.into() })
}

fn of_objects(path: &JsonPath, before: &Doc, after: &Doc, level: usize, found: &mut Vec<FieldChange>) {
    let is_shown = |name: &&String| level > 0 || **name != APPLIED;
    let mut names: Vec<&String> = before.keys().chain(after.keys()).filter(is_shown).collect();
    names.sort();
    names.dedup();
    for name in names {
        let (path, before, after) = (path.field(name), before.get(name), after.get(name));
        // The values below no longer have the name that marks them.
        match is_marked(name) {
            true if before != after => add(&path, masked(before).as_ref(), masked(after).as_ref(), found),
            true => {}
            false => compare(&path, before, after, level + 1, found),
        }
    }
}

fn compare(
    path: &JsonPath,
    before: Option<&Value>,
    after: Option<&Value>,
    level: usize,
    found: &mut Vec<FieldChange>,
) {
    match (before, after) {
        _ if before == after => {}
        (Some(Value::Object(before)), Some(Value::Object(after))) if level < MAX_LEVELS => {
            of_objects(path, before, after, level, found);
        }
        (Some(Value::Array(before)), Some(Value::Array(after))) if level < MAX_LEVELS => {
            of_lists(path, before, after, level, found);
        }
        _ => add(path, before, after, found),
    }
}

fn of_lists(path: &JsonPath, before: &[Value], after: &[Value], level: usize, found: &mut Vec<FieldChange>) {
    let same = |(a, b): &(&Value, &Value)| a == b;
    let head = before.iter().zip(after).take_while(same).count();
    let (before_rest, after_rest) = (&before[head..], &after[head..]);
    let tail = before_rest.iter().rev().zip(after_rest.iter().rev()).take_while(same).count();
    let before_rest = &before_rest[..before_rest.len() - tail];
    let after_rest = &after_rest[..after_rest.len() - tail];
    for index in 0..before_rest.len().max(after_rest.len()) {
        let path = path.item(head + index);
        compare(&path, before_rest.get(index), after_rest.get(index), level + 1, found);
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn shown(before: &Value, after: &Value) -> Vec<String> {
        let [before, after] = [before, after].map(|value| value.as_object().cloned().unwrap());
        let text = |value: &Option<Value>| value.as_ref().map_or_else(|| "-".to_owned(), Value::to_string);
        let line = |one: &FieldChange| format!("{} {} {}", one.field, text(&one.before), text(&one.after));
        places(&before, &after).iter().map(line).collect()
    }

    #[test]
    fn differences_name_their_places() {
        for (before, after, wanted) in [
            (json!({ "a": 1 }), json!({ "a": 1 }), vec![]),
            (
                json!({ "a": 1, "b": { "c": [1, 2] } }),
                json!({ "b": { "c": [1, 3] } }),
                vec!["a 1 -", "b.c[1] 2 3"],
            ),
            (json!({ "a": [1, 2, 3] }), json!({ "a": [1, 9, 2, 3] }), vec!["a[1] - 9"]),
            (json!({ "a": [1, 2, 3] }), json!({ "a": [1, 3] }), vec!["a[1] 2 -"]),
            (json!({ "a": { "x": 1 } }), json!({ "a": [1] }), vec!["a {\"x\":1} [1]"]),
            (json!({ "a": null }), json!({}), vec!["a null -"]),
            (json!({ "a b": { "c": 1 } }), json!({ "a b": { "c": 2 } }), vec!["[\"a b\"].c 1 2"]),
        ] {
            assert_eq!(shown(&before, &after), wanted, "{before} {after}");
        }
    }

    #[test]
    fn values_under_marked_names_are_masked_at_every_level() {
        pumice_core::secret::mark_names(&["*_differing_token".to_owned()]);
        let of =
            |value: &str| json!({ "a_differing_token": value, "b": { "C_DIFFERING_TOKEN": { "d": value } } });
        assert_eq!(
            shown(&of("old"), &of("new")),
            [
                format!("a_differing_token \"{MASK}\" \"{MASK}\""),
                format!("b.C_DIFFERING_TOKEN \"{MASK}\" \"{MASK}\"")
            ]
        );
        assert_eq!(
            shown(&of("old"), &json!({ "a_differing_token": null, "b": {} }))[0],
            format!("a_differing_token \"{MASK}\" null")
        );
    }

    #[test]
    fn differences_are_bounded() {
        let list = |value: u32| json!({ "a": vec![value; 2 * MAX_PLACES] });
        assert_eq!(shown(&list(1), &list(2)).len(), MAX_PLACES);
        let nested = |value: u32| (0..60).fold(json!(value), |below, _| json!({ "a": below }));
        let deep = shown(&nested(1), &nested(2));
        assert!(deep.len() == 1 && deep[0].starts_with(&"a.".repeat(MAX_LEVELS - 1)), "{deep:?}");
    }
}
