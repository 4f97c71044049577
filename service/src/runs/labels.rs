//! Labels of steps: the item of a foreach, the attempt of the parent.

use std::collections::{BTreeSet, HashMap, HashSet};

use pumice_core::ids::RunKey;
use pumice_core::ports::RunStore;
use pumice_core::run::Run;
use pumice_core::secret::mask_fields;
use pumice_core::text::{cut, escaped};
use serde_json::{Map, Value};

use super::whole::whole_with_spec;
use crate::failure::Error;

/// Most jobs of steps whose items are looked up.
const MAX_PARENTS: usize = 100;
/// Most fields of an item that are shown.
const MAX_FIELDS: usize = 3;

/// Labels by run key.
pub(super) type Labels = HashMap<RunKey, String>;

/// The labels of steps: `item 3: customer=12`, `attempt 2`.
pub(super) async fn labels(store: &dyn RunStore, runs: &[Run]) -> Result<Labels, Error> {
    let mut parents: BTreeSet<RunKey> = BTreeSet::new();
    let mut retried: HashSet<RunKey> = HashSet::new();
    for run in runs {
        let Some(parent) = run.key.parent() else { continue };
        if run.foreach_index.is_some() {
            parents.insert(parent.clone());
        }
        if attempt_above(&run.key).is_some_and(|attempt| attempt > 1) {
            retried.insert(parent);
        }
    }
    let mut items: HashMap<RunKey, Value> = HashMap::new();
    for parent in parents.into_iter().take(MAX_PARENTS) {
        if let Some((run, spec)) = whole_with_spec(store, &parent).await? {
            let rendered = run.rendered.or(spec.rendered).map(|rendered| Value::Object(rendered.parameters));
            let parameters = rendered.or_else(|| spec.job.get("parameters").cloned()).unwrap_or_default();
            items.insert(parent, parameters["foreach"].clone());
        }
    }
    let label = |run: &Run| {
        let parent = run.key.parent()?;
        let mut parts = Vec::new();
        if let Some(index) = run.foreach_index {
            let fields = items.get(&parent).map(|source| item(source, index)).unwrap_or_default();
            let fields = if fields.is_empty() { fields } else { format!(": {fields}") };
            parts.push(format!("item {index}{fields}"));
        }
        if retried.contains(&parent) {
            parts.extend(attempt_above(&run.key).map(|attempt| format!("attempt {attempt}")));
        }
        (!parts.is_empty()).then(|| (run.key.clone(), parts.join(", ")))
    };
    Ok(runs.iter().filter_map(label).collect())
}

/// The attempt of the run above in which a step was made.
#[must_use]
pub fn attempt_above(key: &RunKey) -> Option<u32> {
    key.as_str().rsplit_once('/')?.1.split_once('.')?.0.parse().ok()
}

/// The item of a foreach at a place, as `name=value` in a few words.
fn item(source: &Value, index: u32) -> String {
    let shown = |value: &Value| match value {
        Value::String(text) => text.clone(),
        other => other.to_string(),
    };
    let short = |text: String| -> String { escaped(&cut(&text)).chars().take(24).collect() };
    // Before it is cut: the beginning of a secret would not be known any more.
    let masked = |mut item: Map<String, Value>| {
        mask_fields(&mut item);
        item
    };
    match source["type"].as_str() {
        Some("inline") => {
            let item = source["values"].get(index as usize).and_then(Value::as_object);
            let fields = item.into_iter().cloned().flat_map(masked).take(MAX_FIELDS);
            fields
                .map(|(name, value)| short(format!("{name}={}", shown(&value))))
                .collect::<Vec<_>>()
                .join(", ")
        }
        Some("range") => {
            let number = |name: &str, usual: i64| source[name].as_i64().unwrap_or(usual);
            let value = number("step", 1)
                .checked_mul(i64::from(index))
                .and_then(|by| number("start", 0).checked_add(by));
            match (source["name"].as_str(), value) {
                (Some(name), Some(value)) => {
                    let item = masked(Map::from_iter([(name.to_owned(), value.into())]));
                    short(format!("{name}={}", shown(&item[name])))
                }
                _ => String::new(),
            }
        }
        _ => String::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn items_are_shown_in_a_few_words() {
        let inline = json!({ "type": "inline", "values": [{ "customer": 12, "region": "apac" }, { "x": "y".repeat(1000) }] });
        assert_eq!(item(&inline, 0), "customer=12, region=apac");
        assert!(item(&inline, 1).chars().count() <= 24);
        assert_eq!(item(&inline, 9), "");
        assert_eq!(
            item(&json!({ "type": "range", "name": "n", "start": 10, "stop": 0, "step": -3 }), 2),
            "n=4"
        );
        assert_eq!(item(&json!({ "type": "range", "stop": 3 }), 2), "");
        assert_eq!(item(&json!({ "type": "csv", "filename": "x" }), 0), "");
        pumice_core::secret::mark_names(&["labelled_token".to_owned()]);
        let marked =
            json!({ "type": "inline", "values": [{ "labelled_token": "of-many-letters-and-more", "a": 1 }] });
        assert_eq!(item(&marked, 0), "labelled_token=*****, a=1");
    }
}
