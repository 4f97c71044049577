//! The words and variables that commands are given: arguments, environment, sizes.

use std::collections::BTreeMap;

use pumice_core::job_type::{JobError, Template, Templates};
use pumice_core::payload::bad_key;
use pumice_core::problem::{JsonPath, Problem, show};
use pumice_core::size::parse_size;
use pumice_core::spec::JobSpec;
use pumice_template::{float_text, split_command_line};
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Deserializer, Serialize};
use serde_json::{Map, Value};

/// An argument or a variable's value: a text, or a number or boolean that becomes one.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(transparent)]
pub struct Text(Value);

impl Text {
    /// The text, as Python's `str` gives it.
    #[must_use]
    pub fn into_text(self) -> String {
        match self.0 {
            Value::String(text) => text,
            // As Python's str() shows them, which is what lava passes on.
            Value::Bool(true) => "True".to_owned(),
            Value::Bool(false) => "False".to_owned(),
            Value::Number(number) if number.is_f64() => {
                number.as_f64().map_or_else(|| number.to_string(), float_text)
            }
            other => other.to_string(),
        }
    }
}

/// Whether a value is a text as it is; lava takes any for an argument.
fn is_scalar(argument: &Value) -> bool {
    matches!(argument, Value::String(_) | Value::Number(_) | Value::Bool(_))
}

/// The parameters with a text in place of each argument that is not one.
pub(crate) fn with_scalar_args(mut parameters: Map<String, Value>) -> Map<String, Value> {
    for argument in parameters.get_mut("args").and_then(Value::as_array_mut).into_iter().flatten() {
        if !is_scalar(argument) {
            *argument = Value::from("");
        }
    }
    parameters
}

impl JsonSchema for Text {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "Text".into()
    }

    fn inline_schema() -> bool {
        true
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "type": ["string", "number", "boolean"] })
    }
}

/// A size: a number of bytes, or a number and a unit.
#[derive(Clone, Copy, Debug)]
pub struct Bytes(pub u64);

impl<'de> Deserialize<'de> for Bytes {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        use serde::de::Error;
        let text = match Value::deserialize(deserializer)? {
            Value::String(text) => text,
            other => other.to_string(),
        };
        let bytes = parse_size(&text).map_err(D::Error::custom)?;
        let bytes = u64::try_from(bytes).ok().filter(|bytes| *bytes > 0);
        bytes.map(Self).ok_or_else(|| D::Error::custom(format!("a size must be more than 0, not {text}")))
    }
}

impl JsonSchema for Bytes {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "Bytes".into()
    }

    fn inline_schema() -> bool {
        true
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "type": ["string", "integer"], "minimum": 1, "format": "size" })
    }
}

/// A command line.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(transparent)]
#[schemars(inline)]
pub struct Line(#[schemars(length(min = 1))] pub String);

/// The problem of a payload's key at a path.
pub(crate) fn check_key(key: &str, path: JsonPath) -> Option<Problem> {
    bad_key(key).map(|why| Problem::new(path, why))
}

/// Problems of the keys of a payload, of which there must be one at least.
pub(crate) fn check_keys(keys: Option<&[String]>) -> Vec<Problem> {
    let path = JsonPath::root().field("payload");
    match keys {
        None => Vec::new(),
        Some([]) => vec![Problem::new(path, "there is no payload: name the key of one")],
        Some([key]) => check_key(key, path).into_iter().collect(),
        Some(keys) => {
            let keys = keys.iter().enumerate();
            keys.filter_map(|(index, key)| check_key(key, path.item(index))).collect()
        }
    }
}

/// Problems of arguments that lava makes a text of by Python's `str`, as `None`.
pub(crate) fn odd_args(job: &JobSpec) -> Vec<Problem> {
    let parameters = job.parameters();
    let args = parameters.get("args").and_then(Value::as_array).into_iter().flatten();
    let path = JsonPath::root().field("parameters").field("args");
    let odd = args.enumerate().filter(|(_, argument)| !is_scalar(argument));
    odd.map(|(index, argument)| {
        let message = format!("{} is not a text, number or boolean", show(argument));
        Problem::new(path.item(index), message)
    })
    .collect()
}

/// Renders the words of a command, unless `jinja` is false.
pub(crate) struct Rendering<'a> {
    templates: &'a Templates,
    jinja: bool,
    vars: [(&'static str, Value); 1],
}

impl<'a> Rendering<'a> {
    /// One with the parameters `jinja` and `vars` of a job.
    pub(crate) fn new(
        templates: &'a Templates,
        jinja: Option<bool>,
        vars: Option<Map<String, Value>>,
    ) -> Self {
        let vars = [("vars", Value::Object(vars.unwrap_or_default()))];
        Self { templates, jinja: jinja.unwrap_or(true), vars }
    }

    /// The words of a command line, each rendered; `place` says where the line stands.
    pub(crate) fn line(&self, place: &str, line: &str) -> Result<Vec<String>, JobError> {
        if self.jinja {
            return self.templates.args(line, &self.vars).map_err(|error| JobError::template(place, &error));
        }
        split_command_line(line).map_err(|error| JobError::permanent(error.to_string()))
    }

    /// The same, with the first word as it stands (lava guide, Job type: exe).
    pub(crate) fn line_but_first(&self, place: &str, line: &str) -> Result<Vec<String>, JobError> {
        let words = split_command_line(line).map_err(|error| JobError::permanent(error.to_string()))?;
        let rendered = words.into_iter().enumerate().map(|(index, word)| match index {
            0 => Ok(word),
            _ => self.text(place, word),
        });
        rendered.collect()
    }

    fn text(&self, place: &str, text: String) -> Result<String, JobError> {
        if !self.jinja {
            return Ok(text);
        }
        self.templates.text(&text, &self.vars).map_err(|error| JobError::template(place, &error))
    }

    /// The parameter `args`.
    pub(crate) fn args(&self, args: Option<Vec<Template<Text>>>) -> Result<Vec<String>, JobError> {
        let shown = |Template(Text(argument))| match is_scalar(&argument) {
            true => Ok(Text(argument).into_text()),
            false => self.templates.text("{{ argument }}", &[("argument", argument)]),
        };
        let shown: Vec<String> = args
            .unwrap_or_default()
            .into_iter()
            .map(shown)
            .collect::<Result<_, _>>()
            .map_err(|error| JobError::template("parameters.args", &error))?;
        let rendered = shown.into_iter().enumerate();
        rendered.map(|(index, argument)| self.text(&format!("parameters.args[{index}]"), argument)).collect()
    }

    /// Puts the parameter `env` in its place, and takes `args` away, which are words by now.
    pub(crate) fn put_env(
        &self,
        env: Option<BTreeMap<String, Template<Text>>>,
        parameters: &mut Map<String, Value>,
    ) -> Result<(), JobError> {
        let mut rendered = Map::new();
        for (name, Template(value)) in env.unwrap_or_default() {
            let text = self.text(&format!("parameters.env.{name}"), value.into_text())?;
            rendered.insert(name, text.into());
        }
        parameters.remove("args");
        if !rendered.is_empty() {
            parameters.insert("env".to_owned(), rendered.into());
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn argument_of_another_kind_is_written_as_python_writes_it() {
        for (value, wanted) in [
            (json!("a"), "a"),
            (json!(true), "True"),
            (json!(7), "7"),
            (json!(2.5), "2.5"),
            (json!(1.0e-7), "1e-07"),
            (json!(1.0e-5), "1e-05"),
            (json!(-3.0e-6), "-3e-06"),
            (json!(0.0001), "0.0001"),
            (json!(1.0e16), "1e+16"),
            (json!(1.0e15), "1000000000000000.0"),
        ] {
            assert_eq!(Text(value.clone()).into_text(), wanted, "{value}");
        }
    }
}
