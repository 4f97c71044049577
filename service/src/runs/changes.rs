//! In what the specs of two runs differ.

use pumice_core::ports::Doc;
use serde_json::Value;

use crate::specs::{FieldChange, differences};

/// The fields in which two specs differ: parameters and globals by their names, or all but these.
pub(super) fn changes(was: &Doc, is: &Doc, input: bool) -> Vec<FieldChange> {
    const INPUT: [&str; 2] = ["parameters", "globals"];
    if !input {
        let without = |doc: &Doc| -> Doc {
            let fields = doc.iter().filter(|(name, _)| !INPUT.contains(&name.as_str()));
            fields.map(|(name, value)| (name.clone(), value.clone())).collect()
        };
        return differences(&without(was), &without(is));
    }
    let of = |doc: &Doc, name: &str| doc.get(name).and_then(Value::as_object).cloned().unwrap_or_default();
    let named = |name: &'static str| {
        let changes = differences(&of(was, name), &of(is, name));
        changes.into_iter().map(move |one| FieldChange { field: format!("{name}.{}", one.field), ..one })
    };
    INPUT.into_iter().flat_map(named).collect()
}
