//! Job type `cmd`: runs a command, never through a shell (lava guide, Job type: cmd).

use std::collections::BTreeMap;

use pumice_core::duration::Span;
use pumice_core::job_type::{
    CommandLine, Given, JobError, JobType, Rendered, Template, Templates, zero_timeout,
};
use pumice_core::problem::{JsonPath, Problem, show};
use pumice_core::size::parse_size;
use pumice_core::spec::{JobSpec, Settings};
use pumice_template::split_command_line;
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Deserializer, Serialize};
use serde_json::{Map, Value};

use crate::command_line;
use crate::connections::{Connections, check_labels};

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
            other => other.to_string(),
        }
    }
}

/// Whether a value is a text as it is; lava takes any for an argument.
fn is_scalar(argument: &Value) -> bool {
    matches!(argument, Value::String(_) | Value::Number(_) | Value::Bool(_))
}

/// The parameters with a text in place of each argument that is none.
fn with_scalar_args(mut parameters: Map<String, Value>) -> Map<String, Value> {
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

/// Parameters of a cmd job.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(rename = "CmdParameters")]
pub struct Parameters {
    /// More arguments, after those of the payload.
    #[serde(default)]
    pub args: Option<Vec<Template<Text>>>,
    /// Connections by label: the command finds a script for each in `LAVA_CONN_<LABEL>`. lava has them for exe and pkg only.
    #[serde(default)]
    pub connections: Option<Connections>,
    /// Environment variables.
    #[serde(default)]
    pub env: Option<BTreeMap<String, Template<Text>>>,
    /// Whether arguments and variables are rendered; default true.
    #[serde(default)]
    pub jinja: Option<bool>,
    /// How long the command may run; default the job's `timeout`, else the realm's `CMD_TIMEOUT` of 10 minutes.
    #[serde(default)]
    pub timeout: Option<Span>,
    /// Whether the command gets the worker's AWS credentials; default false. Where jobs run in the
    /// worker's own environment, as in an embedded realm, they have them anyway.
    #[serde(default)]
    pub aws_credentials: Option<bool>,
    /// The largest file that the command may write; default: no limit.
    #[serde(default)]
    pub file_size: Option<Bytes>,
    /// What templates see as `vars`.
    #[serde(default)]
    pub vars: Option<Map<String, Value>>,
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

/// The payload of a cmd job: a command line.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(transparent)]
#[schemars(inline)]
pub struct Line(#[schemars(length(min = 1))] pub String);

/// The job type `cmd`.
#[derive(Clone, Copy, Debug)]
pub struct Cmd;

impl JobType for Cmd {
    const NAME: &'static str = "cmd";
    const ABOUT: &'static str = "Runs a command, never through a shell.";
    type Payload = CommandLine<Line>;
    type Parameters = Parameters;

    fn check(&self, given: &Given<'_, Self>) -> Vec<Problem> {
        let connections = given.parameters.as_ref().and_then(|parameters| parameters.connections.as_ref());
        let path = JsonPath::root().field("parameters").field("connections");
        let mut problems = connections.map(|named| check_labels(named, &path)).unwrap_or_default();
        let Some(line) = given.job.fields.payload.as_str() else { return problems };
        let path = JsonPath::root().field("payload");
        problems.extend(match split_command_line(line) {
            Ok(words) if words.is_empty() => Some(Problem::new(path, "the command line is empty")),
            Ok(_) => None,
            Err(error) => Some(Problem::new(path, error.to_string())),
        });
        problems
    }

    fn runnable(&self, parameters: Map<String, Value>) -> Map<String, Value> {
        with_scalar_args(parameters)
    }

    /// Arguments that lava makes a text of by Python's `str`, as `None`.
    fn check_beside(&self, job: &JobSpec) -> Vec<Problem> {
        let parameters = job.parameters();
        let args = parameters.get("args").and_then(Value::as_array).into_iter().flatten();
        let path = JsonPath::root().field("parameters").field("args");
        let odd = args.enumerate().filter(|(_, argument)| !is_scalar(argument));
        odd.map(|(index, argument)| {
            let message = format!("{} is no text, number or boolean", show(argument));
            Problem::new(path.item(index), message)
        })
        .collect()
    }

    fn advise(&self, given: &Given<'_, Self>, _: &Settings) -> Vec<Problem> {
        let fields = &given.job.fields;
        let line = fields.payload.as_str().unwrap_or_default();
        let mut advice = command_line::advise(line);
        let Some(parameters) = &given.parameters else { return advice };
        let path = JsonPath::root().field("parameters");
        advice.extend(zero_timeout(parameters.timeout, path.field("timeout")));
        if let (Some(whole), Some(command)) = (fields.timeout, parameters.timeout)
            && whole > command
        {
            let message =
                format!("the command is stopped after {command}, before the {whole} of the job's timeout");
            let told = Problem::warning("timeout-above-command", path.field("timeout"), message);
            advice.push(told.with_hint("without it, the job's timeout is the command's"));
        }
        advice.extend(command_line::advise_environment(
            parameters.env.iter().flat_map(|env| env.keys()).map(String::as_str),
        ));
        if parameters.jinja != Some(false) {
            advice.extend(command_line::advise_comments(&fields.payload, &JsonPath::root().field("payload")));
            for name in ["args", "env"] {
                let value = fields.parameters.as_ref().and_then(|parameters| parameters.get(name));
                advice.extend(
                    value
                        .into_iter()
                        .flat_map(|value| command_line::advise_comments(value, &path.field(name))),
                );
            }
        }
        advice
    }

    /// The words of the command line and the arguments become one list.
    fn render(&self, job: &JobSpec, templates: &Templates) -> Option<Result<Rendered, JobError>> {
        Some(render(job, templates))
    }
}

/// The command line as a list of words, the arguments behind it, and the environment, with their templates rendered.
fn render(job: &JobSpec, templates: &Templates) -> Result<Rendered, JobError> {
    let mut parameters = job.parameters();
    let given = Rendered { payload: job.fields.payload.clone(), parameters: parameters.clone() };
    let CommandLine(Line(line)) = given.payload()?;
    let typed: Parameters = given.parameters()?;
    let jinja = typed.jinja.unwrap_or(true);
    let vars = [("vars", Value::Object(typed.vars.unwrap_or_default()))];
    let more: Vec<String> = typed
        .args
        .unwrap_or_default()
        .into_iter()
        .map(|Template(Text(argument))| match is_scalar(&argument) {
            true => Ok(Text(argument).into_text()),
            false => templates.text("{{ argument }}", &[("argument", argument)]),
        })
        .collect::<Result<_, _>>()
        .map_err(|error| JobError::template("parameters.args", &error))?;
    let mut argv = if jinja {
        templates.args(&line, &vars).map_err(|error| JobError::template("payload", &error))?
    } else {
        split_command_line(&line).map_err(|error| JobError::permanent(error.to_string()))?
    };
    for (index, argument) in more.into_iter().enumerate() {
        argv.push(if jinja {
            templates
                .text(&argument, &vars)
                .map_err(|error| JobError::template(&format!("parameters.args[{index}]"), &error))?
        } else {
            argument
        });
    }
    let mut env = Map::new();
    for (name, value) in typed.env.unwrap_or_default() {
        let text = value.0.into_text();
        let text = if jinja {
            templates
                .text(&text, &vars)
                .map_err(|error| JobError::template(&format!("parameters.env.{name}"), &error))?
        } else {
            text
        };
        env.insert(name, text.into());
    }
    parameters.remove("args");
    if !env.is_empty() {
        parameters.insert("env".to_owned(), env.into());
    }
    Ok(Rendered { payload: argv.into(), parameters })
}
