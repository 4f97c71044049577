//! The fields of the form that runs a job: its globals, and the parameters that its type's JSON Schema has.

use pumice_core::document::parse_json;
use pumice_core::ports::Doc;
use pumice_core::request::set_given;
use pumice_core::secret::{mask_value, value_holds_secret};
use pumice_core::text::{escaped, quoted};
use serde_json::{Map, Value, json};

use crate::answer::Fault;
use crate::ask::Fields;
use crate::view::Words;

/// Most fields of a form; the lines NAME=VALUE take any.
const MAX_FIELDS: usize = 60;
/// Longest value of the spec that a field shows as its default, in characters.
const MAX_DEFAULT: usize = 80;

/// The form of a field's value.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Kind {
    Text,
    Number,
    Switch,
    /// One of these texts.
    Choice(Vec<String>),
    Json,
}

/// A field: a global or a parameter.
#[derive(Clone, Debug)]
struct Field {
    /// Its name in the form: `global:day`.
    input: String,
    name: String,
    is_global: bool,
    kind: Kind,
    /// The value that the spec gives it.
    default: Option<Value>,
    about: String,
}

/// The fields of a job's form, by its spec and the schema of its type's parameters.
fn fields_of(spec: &Doc, schema: Option<&Value>) -> Vec<Field> {
    let own = |name: &str| spec.get(name).and_then(Value::as_object);
    let globals = own("globals").into_iter().flatten().map(|(name, value)| Field {
        input: format!("global:{name}"),
        name: name.clone(),
        is_global: true,
        kind: match value {
            Value::Bool(_) => Kind::Switch,
            Value::Number(_) => Kind::Number,
            Value::Array(_) | Value::Object(_) => Kind::Json,
            Value::String(_) | Value::Null => Kind::Text,
        },
        default: Some(value.clone()),
        about: String::new(),
    });
    let properties = schema.and_then(|schema| schema["properties"].as_object());
    let parameters = properties.into_iter().flatten().map(|(name, property)| Field {
        input: format!("param:{name}"),
        name: name.clone(),
        is_global: false,
        kind: kind_of(schema.unwrap_or(&Value::Null), property),
        default: own("parameters").and_then(|own| own.get(name)).filter(|value| !value.is_null()).cloned(),
        about: property["description"].as_str().unwrap_or_default().to_owned(),
    });
    globals.chain(parameters).take(MAX_FIELDS).collect()
}

/// The form of a value that a schema describes.
fn kind_of(root: &Value, schema: &Value) -> Kind {
    let mut schema = schema;
    while let Some(place) = schema["$ref"].as_str().and_then(|place| place.strip_prefix('#')) {
        let Some(found) = root.pointer(place) else { return Kind::Json };
        schema = found;
    }
    for word in ["anyOf", "oneOf"] {
        let Some(branches) = schema[word].as_array() else { continue };
        let branches: Vec<&Value> = branches.iter().filter(|one| one["type"] != "null").collect();
        let constants: Vec<String> =
            branches.iter().filter_map(|one| one["const"].as_str().map(str::to_owned)).collect();
        return match branches[..] {
            _ if !constants.is_empty() && constants.len() == branches.len() => Kind::Choice(constants),
            [one] => kind_of(root, one),
            _ if branches.iter().any(|one| kind_of(root, one) == Kind::Text) => Kind::Text,
            _ => Kind::Json,
        };
    }
    if let Some(choices) = schema["enum"].as_array() {
        return Kind::Choice(choices.iter().filter_map(Value::as_str).map(str::to_owned).collect());
    }
    let types: Vec<&str> = match &schema["type"] {
        Value::String(one) => vec![one],
        Value::Array(all) => all.iter().filter_map(Value::as_str).filter(|one| *one != "null").collect(),
        _ => Vec::new(),
    };
    match types[..] {
        ["boolean"] => Kind::Switch,
        ["integer" | "number"] => Kind::Number,
        _ if types.contains(&"string") => Kind::Text,
        _ => Kind::Json,
    }
}

/// The fields as a template shows them, with what was typed.
pub(super) fn shown(spec: &Doc, schema: Option<&Value>, form: &Fields) -> Value {
    let shown = |field: &Field| {
        let choices = match &field.kind {
            Kind::Switch => vec!["true".to_owned(), "false".to_owned()],
            Kind::Choice(choices) => choices.clone(),
            Kind::Text | Kind::Number | Kind::Json => Vec::new(),
        };
        let typed = form.typed(&field.input).unwrap_or_default();
        json!({ "input": field.input, "name": escaped(&field.name), "choices": choices, "is_json": field.kind == Kind::Json,
            "is_number": field.kind == Kind::Number, "default": default_of(field), "value": typed, "about": field.about })
    };
    let (globals, parameters): (Vec<Field>, Vec<Field>) =
        fields_of(spec, schema).into_iter().partition(|field| field.is_global);
    let is_typed = parameters.iter().any(|field| form.get(&field.input).is_some());
    json!({ "globals": globals.iter().map(shown).collect::<Vec<_>>(), "is_typed": is_typed,
        "parameters": parameters.iter().map(shown).collect::<Vec<_>>() })
}

/// The value that the spec gives a field, in few characters.
fn default_of(field: &Field) -> Option<String> {
    let mut named = json!({ &field.name: field.default.as_ref()? });
    mask_value(&mut named);
    let text = match named.get(&field.name)? {
        Value::String(text) => text.clone(),
        other => other.to_string(),
    };
    let short: String = text.chars().take(MAX_DEFAULT).collect();
    let mark = if short.len() < text.len() { "…" } else { "" };
    Some(format!("{}{mark}", escaped(&short)))
}

/// The input that a form gives a job.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Inputs {
    pub(super) globals: Map<String, Value>,
    pub(super) parameters: Map<String, Value>,
}

/// Reads a form: its fields, and its lines NAME=VALUE.
///
/// # Errors
/// [`Fault`] with the field that cannot be read, or is given twice.
pub(super) fn read(spec: &Doc, schema: Option<&Value>, form: &Fields) -> Result<Inputs, Fault> {
    let mut inputs = Inputs { globals: given(form, "globals")?, parameters: given(form, "params")? };
    for field in fields_of(spec, schema) {
        let Some(typed) = form.typed(&field.input) else { continue };
        // Of a text blanks are a part.
        let text = if field.kind == Kind::Text { &*typed } else { typed.trim() };
        if text.is_empty() {
            continue;
        }
        let wrong = |why: &str| Fault::bad(format!("{}: {} {why}", field.name, quoted(text)));
        let value = match &field.kind {
            Kind::Text => Value::from(text),
            Kind::Choice(choices) if choices.iter().any(|choice| choice == text) => Value::from(text),
            Kind::Choice(choices) => return Err(wrong(&format!("is none of {}", choices.join(", ")))),
            Kind::Switch => match text {
                "true" => Value::Bool(true),
                "false" => Value::Bool(false),
                _ => return Err(wrong("is neither true nor false")),
            },
            Kind::Number => match parse_json(text) {
                Ok(value @ Value::Number(_)) => value,
                _ => return Err(wrong("is not a number")),
            },
            Kind::Json => parse_json(text).map_err(|error| wrong(&format!("is not JSON: {error}")))?,
        };
        let all = if field.is_global { &mut inputs.globals } else { &mut inputs.parameters };
        if all.insert(field.name.clone(), value).is_some() {
            return Err(Fault::bad(format!("{}: it is there as a field and as a line", field.name)));
        }
    }
    Ok(inputs)
}

/// The lines of a field, without those that are empty. Blanks behind a value are a part of it.
fn lines(fields: &Fields, name: &str) -> Vec<String> {
    let text = fields.typed(name).unwrap_or_default();
    let lines = text.lines().map(str::trim_start).filter(|line| !line.is_empty());
    lines.map(str::to_owned).collect()
}

/// The lines NAME=VALUE and NAME:=JSON of a field, as the options `-g` and `-p` take them.
pub(super) fn given(fields: &Fields, name: &str) -> Result<Map<String, Value>, Fault> {
    let mut map = Map::new();
    for line in lines(fields, name) {
        set_given(&mut map, &line)
            .map_err(|error| Fault::bad(format!("{name}: {}: {error}", quoted(&line))))?;
    }
    Ok(map)
}

/// Those of the lines that are texts, NAME=VALUE.
pub(super) fn texts(fields: &Fields, name: &str) -> Result<Map<String, Value>, Fault> {
    let mut map = Map::new();
    let is_json = |line: &String| line.split_once('=').is_some_and(|(name, _)| name.ends_with(':'));
    for line in lines(fields, name).iter().filter(|line| !is_json(line)) {
        set_given(&mut map, line)
            .map_err(|error| Fault::bad(format!("{name}: {}: {error}", quoted(line))))?;
    }
    Ok(map)
}

/// A command with the globals and parameters of a form's lines.
pub(super) fn with_inputs(words: Words, fields: &Fields) -> Words {
    let (globals, parameters) = (lines(fields, "globals"), lines(fields, "params"));
    let words = words.each("--global", globals.iter().map(String::as_str));
    words.each("--param", parameters.iter().map(String::as_str))
}

/// A command with the input of a form, where options can have it: they are texts, and a dot in a name nests.
pub(super) fn with_options(words: Words, inputs: &Inputs) -> Option<Words> {
    let mut options = Vec::new();
    for (option, all) in [("--global", &inputs.globals), ("--param", &inputs.parameters)] {
        for (name, value) in all {
            if name.contains('.') {
                return None;
            }
            flatten(option, name, value, &mut options)?;
        }
    }
    Some(options.into_iter().fold(words, |words, (option, text)| words.option(option, Some(&text))))
}

fn flatten(
    option: &'static str,
    name: &str,
    value: &Value,
    options: &mut Vec<(&'static str, String)>,
) -> Option<()> {
    let last = name.rsplit('.').next().unwrap_or_default();
    if last.is_empty() || last.contains('=') || last.ends_with(':') || last.trim() != last {
        return None;
    }
    match value {
        Value::String(text) => options.push((option, format!("{name}={text}"))),
        Value::Object(fields) if !fields.is_empty() => {
            for (field, value) in fields {
                if field.contains('.') {
                    return None;
                }
                flatten(option, &format!("{name}.{field}"), value, options)?;
            }
        }
        _ => return None,
    }
    Some(())
}

/// The request of a form, for `dispatch --file=-`; `None` where it has a secret.
pub(super) fn as_request(id: &str, inputs: &Inputs, delay: Option<&str>) -> Option<String> {
    let mut request = json!({ "job_id": id, "globals": inputs.globals, "parameters": inputs.parameters });
    if let Some(delay) = delay {
        request["delay"] = json!(delay);
    }
    (!value_holds_secret(&request)).then(|| request.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn spec() -> Doc {
        let spec = json!({ "job_id": "a", "globals": { "day": "x", "n": 3, "on": true, "list": [1] },
            "parameters": { "timeout": "5s" } });
        spec.as_object().unwrap().clone()
    }

    fn schema() -> Value {
        json!({
            "properties": {
                "timeout": { "anyOf": [{ "$ref": "#/$defs/Duration" }, { "type": "null" }], "description": "How long." },
                "jinja": { "type": ["boolean", "null"] },
                "args": { "type": ["array", "null"] },
                "size": { "type": ["string", "integer", "null"] },
                "limit": { "type": "integer" },
                "method": { "anyOf": [{ "oneOf": [{ "const": "GET" }, { "const": "PUT" }] }, { "type": "null" }] },
            },
            "$defs": { "Duration": { "type": ["string", "integer"] } },
        })
    }

    fn fields(text: &[(&str, &str)]) -> Fields {
        let mut form = form_urlencoded::Serializer::new(String::new());
        form.extend_pairs(text);
        Fields::read(form.finish().as_bytes()).unwrap()
    }

    #[test]
    fn form_has_a_field_for_each_global_and_parameter() {
        let form = fields(&[("param:jinja", "false")]);
        let shown = shown(&spec(), Some(&schema()), &form);
        let names = |of: &str| {
            let all = shown[of].as_array().unwrap().iter();
            all.map(|one| one["name"].as_str().unwrap().to_owned()).collect::<Vec<_>>()
        };
        assert_eq!(names("globals"), ["day", "n", "on", "list"]);
        assert_eq!(names("parameters"), ["timeout", "jinja", "args", "size", "limit", "method"]);
        let parameters = &shown["parameters"];
        assert_eq!((&parameters[0]["default"], &parameters[0]["about"]), (&json!("5s"), &json!("How long.")));
        assert_eq!(
            (&parameters[1]["choices"], &parameters[1]["value"]),
            (&json!(["true", "false"]), &json!("false"))
        );
        assert_eq!((&parameters[2]["is_json"], &parameters[3]["is_json"]), (&json!(true), &json!(false)));
        assert_eq!(
            (&parameters[4]["is_number"], &parameters[5]["choices"]),
            (&json!(true), &json!(["GET", "PUT"]))
        );
    }

    #[test]
    fn field_is_read_by_its_type() {
        let form = fields(&[
            ("global:day", "2026-03-01"),
            ("global:n", "4"),
            ("global:on", "false"),
            ("global:list", "[2]"),
            ("globals", "vars.a=b"),
            ("param:jinja", "true"),
            ("param:args", "[\"-x\"]"),
            ("param:size", "10k"),
            ("param:limit", ""),
            ("param:method", "PUT"),
        ]);
        let read_all = read(&spec(), Some(&schema()), &form).unwrap();
        let globals = json!({ "vars": { "a": "b" }, "day": "2026-03-01", "n": 4, "on": false, "list": [2] });
        assert_eq!(Value::Object(read_all.globals.clone()), globals);
        let parameters = json!({ "jinja": true, "args": ["-x"], "size": "10k", "method": "PUT" });
        assert_eq!(Value::Object(read_all.parameters.clone()), parameters);
        assert!(with_options(Words::new(&[], &["dispatch"]), &read_all).is_none(), "no option has a list");
        let dotted = fields(&[("global:a.b", "new")]);
        let with_dot =
            json!({ "globals": { "a.b": "old", "a": { "b": "inner" } } }).as_object().unwrap().clone();
        let dotted = read(&with_dot, None, &dotted).unwrap();
        assert_eq!(Value::Object(dotted.globals.clone()), json!({ "a.b": "new" }));
        assert!(with_options(Words::new(&[], &["render"]), &dotted).is_none(), "an option would nest");
        assert!(as_request("a", &dotted, None).unwrap().contains(r#""a.b":"new""#));
        let texts = read(&spec(), None, &fields(&[("global:day", "x y"), ("globals", "vars.a=b")])).unwrap();
        let line = with_options(Words::new(&[], &["dispatch", "a"]), &texts).unwrap().line();
        assert_eq!(line, "dispatch a --global=vars.a=b '--global=day=x y'");
        for (wrong, why) in [
            (vec![("param:jinja", "maybe")], "jinja: \"maybe\" is neither true nor false"),
            (vec![("param:limit", "many")], "limit: \"many\" is not a number"),
            (vec![("param:method", "EAT")], "method: \"EAT\" is none of GET, PUT"),
            (vec![("param:args", "-x")], "args: \"-x\" is not JSON"),
            (vec![("global:day", "x"), ("globals", "day=y")], "day: it is there as a field and as a line"),
            (vec![("params", "day")], "params: \"day\": expected NAME=VALUE"),
        ] {
            let fault = read(&spec(), Some(&schema()), &fields(&wrong)).unwrap_err();
            assert!(fault.message.starts_with(why), "{}", fault.message);
        }
    }
}
