//! What a store holds, whoever put it there: a warning for all that keeps nothing from running.

use serde_json::{Map, Value};

use crate::problem::{JsonPath, Problem, did_you_mean};
use crate::schema::{self, is_own};

/// The lists of actions: a malformed action fails when its time comes, and only then.
const ACTION_LISTS: [&str; 3] = ["on_success", "on_retry", "on_fail"];

/// The fields of a stored document that can be read, and warnings about the others: about unknown ones, and about those
/// of `dispensable` whose values do not hold. What is wrong elsewhere is left in, for the reader to refuse.
pub(super) fn sift(
    schema: &Value,
    document: &Map<String, Value>,
    dispensable: &[&str],
) -> (Map<String, Value>, Vec<Problem>) {
    let (mut kept, mut warnings) = (Map::new(), Vec::new());
    for (name, value) in document.iter().filter(|(name, _)| !is_own(name)) {
        let Some(problems) = schema::check_field(schema, name, value) else {
            // A schema that lets others pass does so because lava's other parts read them.
            if schema["additionalProperties"] == false {
                let known = schema["properties"].as_object().into_iter().flat_map(Map::keys);
                let mut told = Problem::new(JsonPath::root().field(name), "no such field: it is ignored");
                told.hint = did_you_mean(name, known.map(String::as_str));
                warnings.push(told);
            }
            continue;
        };
        let is_list = ACTION_LISTS.contains(&name.as_str());
        let is_dropped = !problems.is_empty() && dispensable.contains(&name.as_str());
        if is_list || is_dropped {
            warnings.extend(problems);
        }
        if !is_dropped {
            kept.insert(name.clone(), value.clone());
        }
    }
    (kept, warnings)
}
