//! In what the specs of two runs differ, and what was asked for with them.

use pumice_core::ports::Doc;
use pumice_core::spec::{Asked, RunSpec};
use serde_json::{Map, Value};

use crate::specs::{FieldChange, places};

/// The fields of a job that a request may give values of its own, key by key.
const GIVEN: [&str; 2] = ["parameters", "globals"];

/// The spec of a run, and the input that it was given over the job's own spec, where its record says that.
#[derive(Clone, Copy)]
pub(super) struct Used<'a> {
    pub(super) job: &'a Doc,
    pub(super) asked: Option<&'a Asked>,
}

impl<'a> From<&'a RunSpec> for Used<'a> {
    fn from(spec: &'a RunSpec) -> Self {
        Self { job: &spec.job, asked: spec.asked.as_deref() }
    }
}

/// In what two runs differ.
#[derive(Debug, Default, PartialEq)]
pub(super) struct Changes {
    /// Places of the spec.
    pub(super) spec: Vec<FieldChange>,
    /// Places of what was asked for.
    pub(super) input: Vec<FieldChange>,
}

/// The places in which what two runs use differs.
pub(super) fn changes(was: Used<'_>, is: Used<'_>) -> Changes {
    let without = |doc: &Doc| -> Doc {
        let fields = doc.iter().filter(|(name, _)| !GIVEN.contains(&name.as_str()));
        fields.map(|(name, value)| (name.clone(), value.clone())).collect()
    };
    let mut found = Changes { spec: places(&without(was.job), &without(is.job)), input: Vec::new() };
    for field in GIVEN {
        let of = |doc: &Doc| doc.get(field).and_then(Value::as_object).cloned().unwrap_or_default();
        let (before, after) = (of(was.job), of(is.job));
        let mut keys: Vec<&String> = before.keys().chain(after.keys()).collect();
        keys.sort();
        keys.dedup();
        for key in keys {
            let alone = |of: &Doc| {
                let one = of.get(key).map(|value| Doc::from_iter([(key.clone(), value.clone())]));
                Doc::from_iter([(field.to_owned(), Value::Object(one.unwrap_or_default()))])
            };
            let differ = places(&alone(&before), &alone(&after));
            let side =
                if is_asked(field, key, was.asked, is.asked) { &mut found.input } else { &mut found.spec };
            side.extend(differ);
        }
    }
    found
}

/// The places in which the spec that a step had differs from a job's. A step is given no parameters but its job's; its globals are
/// those of the run that it is a step of.
pub(super) fn changes_of_step(was: &RunSpec, is: &Doc) -> Vec<FieldChange> {
    let Changes { mut spec, input } = changes(was.into(), Used { job: is, asked: was.asked.as_deref() });
    spec.extend(input.into_iter().filter(|change| change.field.starts_with(GIVEN[0])));
    spec
}

/// Whether a key that is not what it was is another as something else was asked for, and not as the job's own spec is.
fn is_asked(field: &str, key: &str, was: Option<&Asked>, is: Option<&Asked>) -> bool {
    let of = |asked: &Asked| -> Option<Value> {
        let given: &Map<String, Value> = if field == "globals" { &asked.globals } else { &asked.parameters };
        given.get(key).cloned()
    };
    match (was, is) {
        (Some(was), Some(is)) => of(was) != of(is),
        // A record of before does not say what was asked for.
        (None, Some(is)) => of(is).is_some(),
        (_, None) => true,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn object(value: Value) -> Doc {
        value.as_object().cloned().unwrap()
    }

    fn named(changes: &[FieldChange]) -> Vec<&str> {
        changes.iter().map(|one| &*one.field).collect()
    }

    #[test]
    fn edited_parameter_is_of_the_spec_and_a_given_one_of_the_input() {
        let was = object(json!({
            "enabled": true,
            "parameters": { "env": { "COLUMN": "4", "MODE": "x" }, "timeout": "5m", "vars": { "day": 1 } },
            "globals": { "day": 1, "site": "a" },
        }));
        let is = object(json!({
            "enabled": true, "worker": "edge",
            "parameters": { "env": { "COLUMN": "5", "MODE": "x" }, "timeout": "6m", "vars": { "day": 1 } },
            "globals": { "day": 2, "site": "b" },
        }));
        let asked = |day: u8, timeout: &str| Asked {
            parameters: object(json!({ "timeout": timeout })),
            globals: object(json!({ "day": day })),
        };
        let (before, after) = (asked(1, "5m"), asked(2, "6m"));
        let found = changes(Used { job: &was, asked: Some(&before) }, Used { job: &is, asked: Some(&after) });
        assert_eq!(named(&found.spec), ["worker", "parameters.env.COLUMN", "globals.site"]);
        assert_eq!(named(&found.input), ["parameters.timeout", "globals.day"]);
        assert_eq!(found.spec[1].before, Some(json!("4")));
        // The same was asked for: what differs is the spec's.
        let found =
            changes(Used { job: &was, asked: Some(&before) }, Used { job: &is, asked: Some(&before) });
        assert_eq!(found.input, []);
        // All of a step's is the spec's but the globals, which the run gives it.
        let step = RunSpec::of_job(std::sync::Arc::new(was.clone()));
        let found = changes_of_step(&step, &is);
        assert_eq!(named(&found), ["worker", "parameters.env.COLUMN", "parameters.timeout"]);
        // A record of before: what the new one was asked for is the input, the rest is the spec's.
        let found = changes(Used { job: &was, asked: None }, Used { job: &is, asked: Some(&after) });
        assert_eq!(named(&found.input), ["parameters.timeout", "globals.day"]);
        let found = changes(Used { job: &was, asked: None }, Used { job: &is, asked: None });
        assert_eq!(named(&found.spec), ["worker"], "it is not known which");
    }
}
