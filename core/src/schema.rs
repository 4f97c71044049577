//! Checks a JSON document against the schema of a Rust type, and finds every mistake at once.
//!
//! The schema that is published for editors, the check made here and the type that the document is
//! then read into are one definition: the type. Only the JSON Schema words that such types make
//! are known; another one stops the tests.

use schemars::{JsonSchema, generate::SchemaSettings};
use serde::Deserialize as _;
use serde::de::DeserializeOwned;
use serde_json::{Map, Value};

use crate::duration::Span;
use crate::ids::{ConnId, FieldText, JobId, RealmName, SecretName, StateId, TriggerId, WorkerName};
use crate::number::{self, BadNumber};
use crate::problem::{JsonPath, Problem, SpecError, did_you_mean, given, show};
use crate::spec::{
    Bound, Crontab, Days, Limit, MAX_ENTRIES, MAX_INSTANTS, Timezone, Weekdays, broken_rule, too_many,
};
use crate::text::quoted;
use crate::trigger::{OBJECT_SIZE, ObjectSize};

/// Deepest nesting that is followed, in levels.
const MAX_DEPTH: usize = 64;

/// The JSON Schema of `T`, draft 2020-12.
#[must_use]
pub fn schema_of<T: JsonSchema>() -> Value {
    SchemaSettings::draft2020_12().into_generator().into_root_schema_for::<T>().to_value()
}

/// Reads a document into `T` after checking all of it.
///
/// # Errors
/// [`SpecError`] with every mistake: unknown and missing fields, wrong types, bad values.
pub fn read<T: JsonSchema + DeserializeOwned>(document: &Value) -> Result<T, SpecError> {
    SpecError::check(check(&schema_of::<T>(), document))?;
    read_unchecked(document)
}

/// As [`read`], of a document in which fields beginning `x-` are the user's own, and are passed over. `schema` is that of
/// the type: making it takes longer than reading a small document.
///
/// # Errors
/// As [`read`].
pub fn read_known<T: DeserializeOwned>(schema: &Value, document: &Value) -> Result<T, SpecError> {
    SpecError::check(check(schema, document))?;
    match document {
        Value::Object(fields) if fields.keys().any(|name| is_own(name)) => {
            let known = fields.iter().filter(|(name, _)| !is_own(name));
            read_unchecked(&Value::Object(known.map(|(n, v)| (n.clone(), v.clone())).collect()))
        }
        document => read_unchecked(document),
    }
}

/// Whether a field is the user's own (lava guide, The Jobs Table).
#[must_use]
pub fn is_own(name: &str) -> bool {
    name.starts_with("x-") || name.starts_with("X-")
}

/// Reads a document that has been checked against its schema.
///
/// # Errors
/// [`SpecError`] with the first mistake, should the check have missed one.
pub fn read_unchecked<T: DeserializeOwned>(document: &Value) -> Result<T, SpecError> {
    serde_path_to_error::deserialize(document).map_err(|error| {
        let path = error.path().to_string();
        let path = if path == "." { String::new() } else { format!(".{path}") };
        SpecError::one(Problem::new(JsonPath::root().join(&path), error.into_inner().to_string()))
    })
}

/// Every way in which a document breaks a schema.
#[must_use]
pub fn check(schema: &Value, document: &Value) -> Vec<Problem> {
    let mut checker = Checker { root: schema, problems: Vec::new() };
    checker.visit(schema, document, &JsonPath::root(), 0);
    checker.problems
}

/// Every way in which the value of one field of an object breaks the object's schema; `None` when the schema knows no
/// such field.
#[must_use]
pub fn check_field(schema: &Value, name: &str, value: &Value) -> Option<Vec<Problem>> {
    let property = schema.get("properties")?.get(name)?;
    let mut checker = Checker { root: schema, problems: Vec::new() };
    checker.visit(property, value, &JsonPath::root().field(name), 1);
    Some(checker.problems)
}

/// The schema that a `$ref` names, within the schema `root`; nothing for `true`, which allows anything.
pub(crate) fn resolve<'a>(root: &'a Value, schema: &'a Value) -> Option<&'a Map<String, Value>> {
    let mut schema = schema.as_object()?;
    while let Some(name) = schema.get("$ref").and_then(Value::as_str) {
        schema = root.pointer(name.strip_prefix('#')?)?.as_object()?;
    }
    Some(schema)
}

struct Checker<'a> {
    root: &'a Value,
    problems: Vec<Problem>,
}

impl<'a> Checker<'a> {
    fn visit(&mut self, schema: &'a Value, value: &Value, path: &JsonPath, depth: usize) {
        if depth > MAX_DEPTH {
            self.add(path, format!("nested deeper than {MAX_DEPTH} levels"));
            return;
        }
        let Some(schema) = self.resolve(schema) else { return };
        if let Some(branches) = schema.get("anyOf").or_else(|| schema.get("oneOf")) {
            self.visit_branches(branches, value, path, depth);
            return;
        }
        if !self.type_holds(schema, value, path) {
            return;
        }
        if let Some(allowed) = schema.get("enum").and_then(Value::as_array) {
            self.visit_enum(allowed, value, path);
        }
        self.visit_scalar(schema, value, path);
        match value {
            Value::Object(fields) => self.visit_object(schema, fields, path, depth),
            // The length is reported already.
            Value::Array(items) if items.len() > most_items(schema) => {}
            Value::Array(items) => {
                if let Some(item_schema) = schema.get("items") {
                    for (index, item) in items.iter().enumerate() {
                        self.visit(item_schema, item, &path.item(index), depth + 1);
                    }
                }
            }
            _ => {}
        }
    }

    fn resolve(&self, schema: &'a Value) -> Option<&'a Map<String, Value>> {
        resolve(self.root, schema)
    }

    /// A value for which one branch must hold: the problems reported are those of the branch that
    /// takes this kind of value.
    fn visit_branches(&mut self, branches: &'a Value, value: &Value, path: &JsonPath, depth: usize) {
        let branches: Vec<&'a Value> = branches.as_array().into_iter().flatten().collect();
        let mut nearest: Option<Vec<Problem>> = None;
        if let Some(allowed) = self.constants(&branches) {
            self.visit_enum(&allowed, value, path);
            return;
        }
        if let Some(problem) = self.unknown_tag(&branches, value, path) {
            self.problems.push(problem);
            return;
        }
        for branch in &branches {
            let mut attempt = Checker { root: self.root, problems: Vec::new() };
            attempt.visit(branch, value, path, depth + 1);
            if attempt.problems.is_empty() {
                return;
            }
            let takes_kind = self.resolve(branch).is_none_or(|schema| type_matches(schema, value));
            if takes_kind && nearest.as_ref().is_none_or(|n| n.len() > attempt.problems.len()) {
                nearest = Some(attempt.problems);
            }
        }
        if let Some(problems) = nearest {
            self.problems.extend(problems);
        } else {
            let kinds: Vec<String> =
                branches.iter().filter_map(|branch| self.resolve(branch)).flat_map(kinds_of).collect();
            self.add(path, format!("expected {}, got {}", either(&kinds), given(value)));
        }
    }

    /// The values of branches that allow one value each, as an enum whose variants are described does.
    fn constants(&self, branches: &[&'a Value]) -> Option<Vec<Value>> {
        branches.iter().map(|branch| self.resolve(branch)?.get("const").cloned()).collect()
    }

    /// The mistake in an object whose `type` chooses the branch, when it chooses none of them.
    fn unknown_tag(&self, branches: &[&'a Value], value: &Value, path: &JsonPath) -> Option<Problem> {
        let tag =
            |branch: &&'a Value| self.resolve(branch)?.get("properties")?.get("type")?.get("const")?.as_str();
        let known: Vec<&str> = branches.iter().map(tag).collect::<Option<_>>()?;
        let given = value.as_object()?.get("type")?.as_str()?;
        if known.contains(&given) {
            return None;
        }
        let mut problem =
            Problem::new(path.field("type"), format!("{} is none of {}", quoted(given), known.join(", ")));
        problem.hint = did_you_mean(given, known);
        Some(problem)
    }

    fn type_holds(&mut self, schema: &Map<String, Value>, value: &Value, path: &JsonPath) -> bool {
        if type_matches(schema, value) {
            return true;
        }
        let kinds = kinds_of(schema);
        self.add(path, format!("expected {}, got {}", either(&kinds), given(value)));
        false
    }

    fn visit_enum(&mut self, allowed: &[Value], value: &Value, path: &JsonPath) {
        if allowed.contains(value) {
            return;
        }
        let names: Vec<&str> = allowed.iter().filter_map(Value::as_str).collect();
        if !value.is_string() {
            return self.add(path, format!("expected one of {}, got {}", names.join(", "), given(value)));
        }
        let mut problem =
            Problem::new(path.clone(), format!("{} is none of {}", show(value), names.join(", ")));
        problem.hint = value.as_str().and_then(|text| did_you_mean(text, names));
        self.problems.push(problem);
    }

    fn visit_scalar(&mut self, schema: &Map<String, Value>, value: &Value, path: &JsonPath) {
        if let Some(wanted) = schema.get("const")
            && wanted != value
        {
            self.add(path, format!("expected {}, got {}", show(wanted), show(value)));
        }
        let told = self.problems.len();
        if let Some(number) = number_of(schema, value) {
            let limit = |name: &str| schema.get(name).and_then(Value::as_f64);
            let most = limit("maximum").or_else(|| largest(schema));
            if limit("minimum").is_some_and(|least| number < least) {
                self.add(path, format!("{} is less than {}", show(value), show(&schema["minimum"])));
            } else if let Some(most) = most.filter(|most| number > *most) {
                self.add(path, format!("{} is more than {most}", show(value)));
            }
        }
        // A number that is out of its bounds needs no second message.
        if self.problems.len() == told
            && let Some(format) = schema.get("format").and_then(Value::as_str)
            && let Err(message) = format_holds(format, value)
        {
            self.add(path, message);
        }
        let least = schema.get("minLength").and_then(Value::as_u64).unwrap_or(0);
        if self.problems.len() == told
            && value.as_str().is_some_and(|text| (text.chars().count() as u64) < least)
        {
            self.add(path, "must not be empty".to_owned());
        }
        let most = schema.get("maxLength").and_then(Value::as_u64);
        // Templates render to something shorter or longer.
        let text = value.as_str().filter(|text| !text.contains("{{") && !text.contains("{%"));
        if let (Some(most), Some(text)) = (most, text) {
            let count = text.chars().count() as u64;
            if self.problems.len() == told && count > most {
                self.add(path, format!("{count} characters are more than {most}, the limit"));
            }
        }
    }

    fn visit_object(
        &mut self,
        schema: &'a Map<String, Value>,
        fields: &Map<String, Value>,
        path: &JsonPath,
        depth: usize,
    ) {
        let none = Map::new();
        let properties = schema.get("properties").and_then(Value::as_object);
        let known = || properties.unwrap_or(&none).keys().map(String::as_str);
        for name in
            schema.get("required").and_then(Value::as_array).into_iter().flatten().filter_map(Value::as_str)
        {
            if !fields.contains_key(name) {
                self.add(path, format!("the field {name:?} is missing"));
            }
        }
        let others = schema.get("additionalProperties");
        for (name, value) in fields {
            if let Some(property) = properties.and_then(|p| p.get(name)) {
                self.visit(property, value, &path.field(name), depth + 1);
            } else if is_extension(schema, name) {
            } else if others == Some(&Value::Bool(false)) {
                let mut problem = Problem::new(path.field(name), "no such field".to_owned());
                problem.hint = did_you_mean(name, known())
                    .or_else(|| Some(format!("known: {}", known().collect::<Vec<_>>().join(", "))));
                self.problems.push(problem);
            } else if let Some(other) = others {
                self.visit(other, value, &path.field(name), depth + 1);
            }
        }
    }

    fn add(&mut self, path: &JsonPath, message: String) {
        self.problems.push(Problem::new(path.clone(), message));
    }
}

/// How many items of a list are looked at: each of a schedule's takes its time.
fn most_items(schema: &Map<String, Value>) -> usize {
    let format = |schema: Option<&Value>| schema?.get("format")?.as_str().map(str::to_owned);
    let own = schema.get("format").and_then(Value::as_str);
    match (own, format(schema.get("items")).as_deref()) {
        (Some("schedule-entries"), _) => MAX_ENTRIES,
        (_, Some("schedule-time")) => MAX_INSTANTS,
        _ => usize::MAX,
    }
}

/// Whether the schema lets fields beginning `x-` pass, and this is one.
fn is_extension(schema: &Map<String, Value>, name: &str) -> bool {
    is_own(name) && schema.get("patternProperties").is_some_and(|p| p.get(EXTENSION_PATTERN).is_some())
}

/// The pattern of field names that are the user's own (lava guide, The Jobs Table).
pub(crate) const EXTENSION_PATTERN: &str = "^[xX]-";

/// The largest value of a Rust type of whole numbers that is smaller than 64 bits.
fn largest(schema: &Map<String, Value>) -> Option<f64> {
    match schema.get("format")?.as_str()? {
        "uint32" => Some(f64::from(u32::MAX)),
        "int32" => Some(f64::from(i32::MAX)),
        _ => None,
    }
}

fn type_names(schema: &Map<String, Value>) -> Vec<&str> {
    match schema.get("type") {
        Some(Value::String(name)) => vec![name],
        Some(Value::Array(names)) => names.iter().filter_map(Value::as_str).collect(),
        _ => Vec::new(),
    }
}

fn type_matches(schema: &Map<String, Value>, value: &Value) -> bool {
    let names = type_names(schema);
    names.is_empty()
        || names.iter().any(|name| match *name {
            "null" => value.is_null(),
            "boolean" => value.is_boolean(),
            "integer" => {
                number::is_whole(value) || is_of_numbers(schema) && number_of(schema, value).is_some()
            }
            "number" => value.is_number(),
            "string" => value.is_string(),
            "array" => value.is_array(),
            "object" => value.is_object(),
            _ => false,
        })
}

/// Whether a schema is one of whole numbers, which may be written as texts.
fn is_of_numbers(schema: &Map<String, Value>) -> bool {
    schema.get("format").is_some_and(|format| format == number::FORMAT)
}

/// The number that a value is, for its bounds.
fn number_of(schema: &Map<String, Value>, value: &Value) -> Option<f64> {
    let whole = || match number::whole(value) {
        Ok(number) => Some(number as f64),
        Err(BadNumber::TooSmall(..)) => Some(f64::NEG_INFINITY),
        Err(BadNumber::TooLarge(..)) => Some(f64::INFINITY),
        Err(BadNumber::NotWhole(_)) => None,
    };
    if is_of_numbers(schema) { whole() } else { value.as_f64() }
}

/// The values that a schema takes, in words.
fn kinds_of(schema: &Map<String, Value>) -> Vec<String> {
    if is_of_numbers(schema) {
        return vec![type_in_words("integer")];
    }
    type_names(schema).into_iter().map(type_in_words).collect()
}

fn type_in_words(name: &str) -> String {
    match name {
        "boolean" => "true or false",
        "integer" => "a whole number",
        "number" => "a number",
        "string" => "a string",
        "array" => "a list",
        "object" => "an object",
        other => other,
    }
    .to_owned()
}

fn either(kinds: &[String]) -> String {
    let mut distinct: Vec<&str> = Vec::new();
    for kind in kinds {
        if kind != "null" && !distinct.contains(&kind.as_str()) {
            distinct.push(kind);
        }
    }
    match distinct.split_last() {
        None => "null".to_owned(),
        Some((last, [])) => (*last).to_owned(),
        Some((last, rest)) => format!("{} or {last}", rest.join(", ")),
    }
}

/// Whether a value is of one of the formats that core's types give their schemas.
fn format_holds(format: &str, value: &Value) -> Result<(), String> {
    fn parsed<T, E: std::fmt::Display>(result: Result<T, E>) -> Result<(), String> {
        result.map(drop).map_err(|error| error.to_string())
    }
    match format {
        "duration-or-empty" if value == "" => return Ok(()),
        "duration" | "duration-or-empty" => return parsed(Span::deserialize(value)),
        "limit" if !value.is_null() => return parsed(Limit::deserialize(value)),
        number::FORMAT if !value.is_null() => return parsed(number::whole(value)),
        OBJECT_SIZE if !value.is_null() => return parsed(ObjectSize::deserialize(value)),
        "schedule-entry" => return broken_rule(value).map_or(Ok(()), Err),
        "schedule-entries" => {
            let count = value.as_array().map_or(0, Vec::len);
            return if count > MAX_ENTRIES { Err(too_many(count)) } else { Ok(()) };
        }
        _ => {}
    }
    if format == "schedule-time" && !value.is_null() {
        return parsed(Bound::checked(value));
    }
    let Some(text) = value.as_str() else { return Ok(()) };
    match format {
        "job-id" => parsed(JobId::new(text)),
        "worker-name" => parsed(WorkerName::new(text)),
        "realm-name" => parsed(RealmName::new(text)),
        "state-id" => parsed(StateId::new(text)),
        "trigger-id" => parsed(TriggerId::new(text)),
        "conn-id" => parsed(ConnId::new(text)),
        "secret-name" => parsed(SecretName::new(text)),
        "field-text" => parsed(FieldText::new(text)),
        "timezone" => parsed(text.parse::<Timezone>()),
        "days" => parsed(text.parse::<Days>()),
        "weekdays" => parsed(text.parse::<Weekdays>()),
        // The text that lava users write for no schedule at all passes too.
        "schedule" if matches!(text, "" | "--") => Ok(()),
        "crontab" | "schedule" => parsed(Crontab::checked(text)),
        "size" => match crate::size::parse_size(text) {
            Ok(1..) => Ok(()),
            Ok(_) => Err(format!("a size must be more than 0, not {text}")),
            Err(error) => Err(error.to_string()),
        },
        "instant" => parsed(crate::request::parse_instant(text)),
        _ => Ok(()),
    }
}
