//! Requests as queries: each field by its name, in the form that its schema asks for.

use pumice_core::document::parse_json;
use pumice_core::text::quoted;
use serde_json::{Map, Value};

use crate::answer::Fault;
use crate::ask::Fields;

/// The request that a query asks for.
///
/// # Errors
/// [`Fault`] when a field is not known, or its value has another form.
pub(super) fn request(schema: &Value, query: &Fields) -> Result<Map<String, Value>, Fault> {
    let mut asked = Map::new();
    for (name, text) in query.iter() {
        let Some(property) = schema.pointer("/properties").and_then(|all| all.get(name)) else {
            return Err(Fault::bad(format!("the request has no field {}", quoted(name))));
        };
        let wrong = |why: &str| Fault::bad(format!("{name}: {} {why}", quoted(text)));
        match form_of(schema, property) {
            Form::List => {
                let list = asked.entry(name).or_insert_with(|| Value::Array(Vec::new()));
                if let Value::Array(items) = list {
                    items.push(Value::String(text.to_owned()));
                }
                continue;
            }
            _ if asked.contains_key(name) => return Err(wrong("is there twice")),
            Form::Text => asked.insert(name.to_owned(), Value::String(text.to_owned())),
            Form::Number => {
                let number = text.parse::<u64>().map_err(|_| wrong("is not a whole number"))?;
                asked.insert(name.to_owned(), number.into())
            }
            Form::Switch => {
                let is_on = match text {
                    "" | "true" | "1" => true,
                    "false" | "0" => false,
                    _ => return Err(wrong("is neither true nor false")),
                };
                asked.insert(name.to_owned(), is_on.into())
            }
            Form::Other => {
                let value = parse_json(text).map_err(|error| wrong(&format!("cannot be read: {error}")))?;
                asked.insert(name.to_owned(), value)
            }
        };
    }
    Ok(asked)
}

/// Refuses the fields of a query next to a body, which says everything but whether it is a dry run.
///
/// # Errors
/// [`Fault`] when there are others, or it is ambiguous which is meant.
pub(super) fn only_dry_run(query: &Fields) -> Result<(), Fault> {
    for (name, value) in query.iter() {
        match (name, value) {
            ("dry_run", "true") => {}
            ("dry_run", other) => return Err(Fault::bad(format!("dry_run: {} is not true", quoted(other)))),
            _ => return Err(Fault::bad(format!("{}: fields are sent in the body", quoted(name)))),
        }
    }
    Ok(())
}

/// Whether a field is written as JSON, having none of the simpler forms.
pub(super) fn is_json(schema: &Value, name: &str) -> bool {
    form_of(schema, &schema["properties"][name]) == Form::Other
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Form {
    Text,
    Number,
    Switch,
    List,
    Other,
}

/// The form of a field's value.
fn form_of(root: &Value, schema: &Value) -> Form {
    let mut schema = schema;
    while let Some(name) = schema.get("$ref").and_then(Value::as_str) {
        let Some(found) = name.strip_prefix('#').and_then(|pointer| root.pointer(pointer)) else {
            return Form::Other;
        };
        schema = found;
    }
    if let Some(branches) = ["anyOf", "oneOf"].iter().find_map(|word| schema.get(*word)?.as_array()) {
        let forms = branches.iter().filter(|branch| branch.get("type") != Some(&Value::from("null")));
        let mut forms: Vec<Form> = forms.map(|branch| form_of(root, branch)).collect();
        forms.dedup();
        // A text may be any type: the function reads it.
        return match forms[..] {
            [one] => one,
            _ if forms.contains(&Form::Text) => Form::Text,
            _ => Form::Other,
        };
    }
    if schema.get("const").is_some_and(Value::is_string) {
        return Form::Text;
    }
    let types: Vec<&str> = match schema.get("type") {
        Some(Value::String(one)) => vec![one],
        Some(Value::Array(all)) => all.iter().filter_map(Value::as_str).collect(),
        _ => Vec::new(),
    };
    match types.into_iter().find(|kind| *kind != "null") {
        Some("string") => Form::Text,
        Some("integer") => Form::Number,
        Some("boolean") => Form::Switch,
        Some("array") => Form::List,
        _ => Form::Other,
    }
}

#[cfg(test)]
mod tests {
    use pumice_service::{Access, operations};
    use serde_json::json;

    use super::*;

    fn asked(command: &str, query: &str) -> Result<Value, String> {
        let operation = operations().into_iter().find(|one| one.command == command).unwrap();
        let fields = Fields::read(query.as_bytes()).unwrap();
        request(&operation.request(), &fields).map(Value::Object).map_err(|fault| fault.message)
    }

    #[test]
    fn query_is_read_as_its_schema_says() {
        assert_eq!(
            asked(
                "runs list",
                "job=etl/*&statuses=failed&statuses=running&since=1d&limit=5&children=true&order=oldest"
            ),
            Ok(
                json!({ "job": "etl/*", "statuses": ["failed", "running"], "since": "1d", "limit": 5, "children": true,
                "order": "oldest" })
            )
        );
        assert_eq!(asked("jobs show", "job=a%2Fb"), Ok(json!({ "job": "a/b" })));
        assert_eq!(
            asked("schedules next", "number=3&zone=Europe/Berlin"),
            Ok(json!({ "number": 3, "zone": "Europe/Berlin" }))
        );
        assert_eq!(
            asked("render", "job=a&globals=%7B%22x%22:1%7D"),
            Ok(json!({ "job": "a", "globals": { "x": 1 } }))
        );
        for (query, wrong) in [
            ("jobs=x", "the request has no field \"jobs\""),
            ("limit=many", "limit: \"many\" is not a whole number"),
            ("limit=-1", "limit: \"-1\" is not a whole number"),
            ("children=maybe", "children: \"maybe\" is neither true nor false"),
            ("job=a&job=b", "job: \"b\" is there twice"),
        ] {
            assert_eq!(asked("runs list", query), Err(wrong.to_owned()));
        }
    }

    #[test]
    fn every_field_of_what_can_be_asked_has_a_form() {
        for operation in operations().iter().filter(|one| one.access == Access::Read) {
            let schema = operation.request();
            let Some(fields) = schema["properties"].as_object() else { continue };
            for (name, property) in fields {
                let form = form_of(&schema, property);
                let is_structured = matches!(name.as_str(), "globals" | "parameters" | "specs");
                assert_eq!(form == Form::Other, is_structured, "{} {name}: {property}", operation.command);
            }
        }
    }

    #[test]
    fn field_next_to_a_body_is_refused() {
        let read =
            |query: &str| only_dry_run(&Fields::read(query.as_bytes()).unwrap()).map_err(|one| one.message);
        assert_eq!((read(""), read("dry_run=true")), (Ok(()), Ok(())));
        for bad in ["dry_run=yes", "dry_run", "dry-run=true", "job=a", "dry_run=true&x=1"] {
            assert!(read(bad).is_err(), "{bad}");
        }
    }
}
