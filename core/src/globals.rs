//! Merging: what a job gets from its spec, from the one that started it and from the request.

use serde_json::{Map, Value};

/// Names of globals that begin so, in any case, are the engine's own (lava guide, Globals Owned by Lava).
pub const RESERVED_GLOBAL: &str = "lava";

/// Whether a global's name is the engine's own.
#[must_use]
pub fn is_reserved_global(name: &str) -> bool {
    name.get(..RESERVED_GLOBAL.len()).is_some_and(|head| head.eq_ignore_ascii_case(RESERVED_GLOBAL))
}

/// Parameters of a run: the request's over the spec's, key by key at the top level
/// (lava guide, Handling of Parameters and Globals During Dispatch).
#[must_use]
pub fn merge_parameters(spec: &Map<String, Value>, request: &Map<String, Value>) -> Map<String, Value> {
    overlay(spec.clone(), request)
}

/// Globals of a run: the request's over the dispatching parent's over the spec's, key by key at the
/// top level. The engine's own globals, under `lava`, never come through here.
#[must_use]
pub fn merge_globals(
    spec: &Map<String, Value>,
    parent: &Map<String, Value>,
    request: &Map<String, Value>,
) -> Map<String, Value> {
    overlay(overlay(spec.clone(), parent), request)
}

fn overlay(mut under: Map<String, Value>, over: &Map<String, Value>) -> Map<String, Value> {
    for (name, value) in over {
        under.insert(name.clone(), value.clone());
    }
    under
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use serde_json::json;

    fn map(value: Value) -> Map<String, Value> {
        value.as_object().cloned().unwrap()
    }

    #[test]
    fn later_ones_win_whole_keys() {
        let merged = merge_globals(
            &map(json!({"a": 1, "b": {"x": 1, "y": 2}, "c": 1})),
            &map(json!({"b": {"x": 9}, "c": 2})),
            &map(json!({"c": 3, "d": 4})),
        );
        assert_eq!(Value::Object(merged), json!({"a": 1, "b": {"x": 9}, "c": 3, "d": 4}));
    }

    proptest! {
        #[test]
        fn every_key_comes_from_the_strongest_that_has_it(
            spec in proptest::collection::btree_map("[a-d]", 0..9_i32, 0..4),
            parent in proptest::collection::btree_map("[a-d]", 10..19_i32, 0..4),
            request in proptest::collection::btree_map("[a-d]", 20..29_i32, 0..4),
        ) {
            let of = |entries: &std::collections::BTreeMap<String, i32>| -> Map<String, Value> {
                entries.iter().map(|(k, v)| (k.clone(), json!(v))).collect()
            };
            let merged = merge_globals(&of(&spec), &of(&parent), &of(&request));
            for name in ["a", "b", "c", "d"] {
                let strongest = request.get(name).or(parent.get(name)).or(spec.get(name));
                prop_assert_eq!(merged.get(name).cloned(), strongest.map(|v| json!(v)));
            }
        }
    }
}
