//! The description of the API (OpenAPI 3.1), made of the schemas that the operations have.

use pumice_service::Operation;
use serde_json::{Map, Value, json};

use super::BASE;
use crate::access::Role;

/// The document.
pub(super) fn document(operations: impl Iterator<Item = Operation>, cookie: &str) -> Value {
    let mut schemas = Map::new();
    schemas.insert("Problem".to_owned(), problem());
    let mut paths = Map::new();
    for operation in operations {
        let name = type_name(operation.command);
        let request = hoisted(operation.request(), &mut schemas);
        let response = hoisted(operation.response(), &mut schemas);
        schemas.insert(format!("{name}Request"), request.clone());
        schemas.insert(format!("{name}Response"), response);
        let mut methods = Map::new();
        if Role::only_looks(&operation) {
            methods.insert("get".to_owned(), described(&operation, &name, Some(&request)));
        }
        methods.insert("post".to_owned(), described(&operation, &name, None));
        paths.insert(format!("{BASE}/{}", operation.path()), Value::Object(methods));
    }
    let all = pumice_service::operations();
    let apart: Vec<&str> = all.iter().filter(|one| !one.is_offered()).map(|one| one.command).collect();
    json!({
        "openapi": "3.1.0",
        "info": {
            "title": "Pumice",
            "version": env!("CARGO_PKG_VERSION"),
            "description": format!("Each operation is the command of its words. Not offered: {}, which read and write files of the machine that they are called on.", apart.join(", ")),
        },
        "paths": paths,
        "components": {
            "schemas": schemas,
            "securitySchemes": {
                "token": { "type": "http", "scheme": "bearer" },
                "session": { "type": "apiKey", "in": "cookie", "name": cookie },
            },
        },
        "security": [{ "token": [] }, { "session": [] }],
    })
}

/// The name of a command's types: `runs list` has `RunsListRequest`.
fn type_name(command: &str) -> String {
    let capital = |word: &str| {
        let mut letters = word.chars();
        letters
            .next()
            .map(|first| first.to_uppercase().chain(letters).collect::<String>())
            .unwrap_or_default()
    };
    command.replace("--", "").split(' ').map(capital).collect()
}

/// An operation by one method; with the request's schema where its fields are those of the query.
fn described(operation: &Operation, name: &str, query: Option<&Value>) -> Value {
    let method = if query.is_some() { "get" } else { "post" };
    let has = |field: &str| operation.request().pointer(&format!("/properties/{field}")).is_some();
    let mut parameters = Vec::new();
    if let Some(schema) = query {
        let needed = schema["required"].as_array().cloned().unwrap_or_default();
        for (field, property) in schema["properties"].as_object().into_iter().flatten() {
            let mut parameter =
                json!({ "name": field, "in": "query", "required": needed.contains(&json!(field)) });
            match super::query::is_json(&operation.request(), field) {
                // Written as JSON, within the query.
                true => parameter["content"] = json!({ "application/json": { "schema": property } }),
                false => parameter["schema"] = property.clone(),
            }
            parameters.push(parameter);
        }
    } else {
        if has("dry_run") || super::nested_dry_run(&operation.request()).is_some() {
            parameters.push(json!({ "name": "dry_run", "in": "query", "schema": { "const": true },
                "description": "Show what would change, and change nothing." }));
        }
        if has("key") && !Role::only_looks(operation) {
            parameters.push(json!({ "name": "Idempotency-Key", "in": "header", "schema": { "type": "string", "minLength": 1 },
                "description": "Sent again with the same key, the request is not carried out twice." }));
        }
        if has("if_match") {
            parameters.push(json!({ "name": "If-Match", "in": "header", "schema": { "type": "string", "minLength": 1 },
                "description": "The ETag of the one document that is meant, several with commas between, or *. Nothing is done when it is another by now, or gone." }));
        }
    }
    let problem = json!({ "description": "Why it was not done.", "content": { "application/problem+json": {
        "schema": { "$ref": "#/components/schemas/Problem" } } } });
    let mut described = json!({
        "operationId": format!("{}{}", name, if method == "get" { "Get" } else { "" }),
        "summary": operation.command,
        "description": format!("Asks for the role {}.", Role::needed_for(operation)),
        "parameters": parameters,
        "responses": {
            "200": { "description": "The response.", "content": { "application/json": {
                "schema": { "$ref": format!("#/components/schemas/{name}Response") } } } },
            "default": problem,
        },
    });
    if operation.response().pointer("/properties/refused/type") == Some(&json!("array")) {
        let same = &described["responses"]["200"]["content"];
        let answered = |what: &str| json!({ "description": what, "content": same });
        let (part, none) = (
            answered("A part was refused; the rest was done."),
            answered("All was refused: nothing was done."),
        );
        described["responses"]["207"] = part;
        described["responses"]["422"] = none;
    }
    if operation.shows_document() {
        described["responses"]["200"]["headers"] = json!({ "ETag": { "schema": { "type": "string" },
            "description": "The tag of the document, for If-Match." } });
    }
    if query.is_none() && has("if_match") {
        described["responses"]["412"] = json!({
            "description": "The document is another than the one that was meant: nothing was done.",
            "headers": { "ETag": { "schema": { "type": "string" }, "description": "The tag of what there is now." } },
            "content": { "application/problem+json": { "schema": { "$ref": "#/components/schemas/Problem" } } } });
    }
    if query.is_none() {
        let needs_fields =
            operation.request()["required"].as_array().is_some_and(|fields| !fields.is_empty());
        described["requestBody"] = json!({ "required": needs_fields, "content": { "application/json": {
            "schema": { "$ref": format!("#/components/schemas/{name}Request") } } } });
    }
    described
}

/// A schema whose own definitions stand among those of the document.
fn hoisted(mut schema: Value, schemas: &mut Map<String, Value>) -> Value {
    if let Some(fields) = schema.as_object_mut() {
        fields.remove("$schema");
        if let Some(Value::Object(definitions)) = fields.remove("$defs") {
            for (name, mut definition) in definitions {
                point_elsewhere(&mut definition);
                schemas.insert(name, definition);
            }
        }
    }
    point_elsewhere(&mut schema);
    schema
}

fn point_elsewhere(value: &mut Value) {
    match value {
        Value::Object(fields) => {
            for (name, field) in fields.iter_mut() {
                match field {
                    Value::String(place) if name == "$ref" => {
                        *place = place.replace("#/$defs/", "#/components/schemas/")
                    }
                    other => point_elsewhere(other),
                }
            }
        }
        Value::Array(items) => items.iter_mut().for_each(point_elsewhere),
        _ => {}
    }
}

fn problem() -> Value {
    json!({
        "description": "Why a request was not carried out (RFC 9457).",
        "type": "object",
        "required": ["type", "title", "status", "detail"],
        "properties": {
            "type": { "type": "string" },
            "title": { "type": "string" },
            "status": { "type": "integer" },
            "detail": { "type": "string" },
            "kind": { "type": "string" },
            "current": { "description": "What there is in place of the document that the request was meant for; null for nothing." },
            "problems": { "type": "array", "items": { "type": "string" } },
        },
    })
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::super::offered;
    use super::*;

    /// Every `$ref` within a value.
    fn refs<'a>(value: &'a Value, found: &mut Vec<&'a str>) {
        match value {
            Value::Object(fields) => fields.iter().for_each(|(name, field)| match field {
                Value::String(place) if name == "$ref" => found.push(place),
                other => refs(other, found),
            }),
            Value::Array(items) => items.iter().for_each(|item| refs(item, found)),
            _ => {}
        }
    }

    #[test]
    fn document_has_every_operation_and_names_only_what_it_has() {
        let document = document(offered(), "c");
        let paths = document["paths"].as_object().unwrap();
        assert_eq!(paths.len(), offered().count());
        let mut found = Vec::new();
        refs(&document, &mut found);
        for place in found {
            let pointer = place.strip_prefix('#').unwrap();
            assert!(document.pointer(pointer).is_some(), "{place}");
        }
    }

    #[test]
    fn types_of_one_name_are_one_type() {
        // Definitions of all operations stand side by side in the document.
        let mut known: BTreeMap<String, Value> = BTreeMap::new();
        for operation in offered() {
            for schema in [operation.request(), operation.response()] {
                for (name, definition) in schema["$defs"].as_object().into_iter().flatten() {
                    let before = known.entry(name.clone()).or_insert_with(|| definition.clone());
                    assert_eq!(before, definition, "{name} of {}", operation.command);
                }
            }
        }
    }
}
