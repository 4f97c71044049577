//! Job type `cmd`: runs a command, never through a shell (lava guide, Job type: cmd).

use std::collections::BTreeMap;

use async_trait::async_trait;
use pumice_core::duration::Span;
use pumice_core::job_type::{
    Ended, JobContext, JobError, JobType, Kind, Leaf, Rendered, Templates, unknown_variables, zero_timeout,
};
use pumice_core::problem::{JsonPath, Problem, show};
use pumice_core::schema::schema_of;
use pumice_core::size::parse_size;
use pumice_core::spec::{JobSpec, Settings};
use pumice_core::text::quoted;
use pumice_template::{Renderer, split_command_line};
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Deserializer, Serialize};
use serde_json::{Map, Value};

use crate::process::{self, Command};
use crate::{command_line, typed};

/// An argument or a variable's value: a text, or a number or boolean that becomes one.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(transparent)]
struct Text(Value);

impl Text {
    fn into_text(self) -> String {
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
struct Parameters {
    /// More arguments, after those of the payload.
    #[serde(default)]
    args: Option<Vec<Text>>,
    /// Environment variables.
    #[serde(default)]
    env: Option<BTreeMap<String, Text>>,
    /// Whether arguments and variables are rendered; default true.
    #[serde(default)]
    jinja: Option<bool>,
    /// How long the command may run; default the job's `timeout`, else the realm's `CMD_TIMEOUT` of 10 minutes.
    #[serde(default)]
    timeout: Option<Span>,
    /// Whether the command gets the worker's AWS credentials; default false. Where jobs run in the
    /// worker's own environment, as in an embedded realm, they have them anyway.
    #[serde(default)]
    aws_credentials: Option<bool>,
    /// The largest file that the command may write; default: no limit.
    #[serde(default)]
    file_size: Option<Bytes>,
    /// What templates see as `vars`.
    #[serde(default)]
    vars: Option<Map<String, Value>>,
}

/// A size: a number of bytes, or a number and a unit.
#[derive(Clone, Copy, Debug)]
struct Bytes(u64);

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
struct CommandLine(#[schemars(length(min = 1))] String);

/// The job type `cmd`.
pub(crate) struct Cmd;

impl JobType for Cmd {
    fn name(&self) -> &'static str {
        "cmd"
    }

    fn about(&self) -> &'static str {
        "Runs a command, never through a shell."
    }

    fn schemas(&self) -> (Value, Value) {
        (schema_of::<CommandLine>(), schema_of::<Parameters>())
    }

    fn check(&self, job: &JobSpec, renderer: &Renderer) -> Vec<Problem> {
        let root = JsonPath::root();
        let mut problems = typed::check_at::<CommandLine>(&job.fields.payload, &root.field("payload"));
        let scalar = Value::Object(with_scalar_args(job.parameters()));
        problems.extend(typed::check_at::<Parameters>(&scalar, &root.field("parameters")));
        let Some(line) = job.fields.payload.as_str() else { return problems };
        let words = match split_command_line(line) {
            Ok(words) => words,
            Err(error) => {
                problems.push(Problem::new(root.field("payload"), error.to_string()));
                return problems;
            }
        };
        if words.is_empty() {
            problems.push(Problem::new(root.field("payload"), "the command line is empty"));
        }
        let jinja = job.fields.parameters.as_ref().and_then(|map| map.get("jinja"));
        if jinja != Some(&Value::Bool(false)) {
            // Each word is a template of its own. One that is torn apart makes several bad ones.
            let bad = words.iter().find_map(|word| renderer.check(word).err().map(|error| (word, error)));
            if let Some((word, error)) = bad {
                let mut problem = Problem::template(&root.field("payload"), &error);
                problem.message = format!("in the argument {}: {error}", quoted(word));
                if renderer.check(line).is_ok() {
                    problem = problem.with_hint("a command line is split at blanks first: put quotes around an argument whose template has blanks");
                }
                problems.push(problem);
            }
            problems.extend(typed::check_texts(job, &["args", "env"], renderer));
        }
        problems
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

    fn advise(&self, job: &JobSpec, _: &Settings, renderer: &Renderer) -> Vec<Problem> {
        let mut advice = command_line::advise(job.fields.payload.as_str().unwrap_or_default());
        let Ok(typed) = typed::parameters::<Parameters>(&job.parameters()) else { return advice };
        let path = JsonPath::root().field("parameters");
        advice.extend(zero_timeout(typed.timeout, path.field("timeout")));
        if let (Some(whole), Some(command)) = (job.fields.timeout, typed.timeout)
            && whole > command
        {
            let message =
                format!("the command is stopped after {command}, before the {whole} of the job's timeout");
            let told = Problem::warning("timeout-above-command", path.field("timeout"), message);
            advice.push(told.with_hint("without it, the job's timeout is the command's"));
        }
        advice.extend(command_line::advise_environment(
            typed.env.iter().flat_map(|env| env.keys()).map(String::as_str),
        ));
        if typed.jinja != Some(false) {
            for (value, path) in typed::rendered_values(job, &["payload", "args", "env"]) {
                advice.extend(command_line::advise_comments(value, &path));
                advice.extend(unknown_variables(job, renderer, value, &path, &["vars"]));
            }
        }
        advice
    }

    fn render(&self, job: &JobSpec, templates: &Templates) -> Result<Rendered, JobError> {
        let CommandLine(line) = typed::payload(&job.fields.payload)?;
        let mut parameters = job.parameters();
        let typed: Parameters = typed::parameters(&parameters)?;
        let jinja = typed.jinja.unwrap_or(true);
        let vars = [("vars", Value::Object(typed.vars.unwrap_or_default()))];
        let more: Vec<String> = typed
            .args
            .unwrap_or_default()
            .into_iter()
            .map(|Text(argument)| match is_scalar(&argument) {
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
            let text = value.into_text();
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

    fn kind(&self) -> Kind<'_> {
        Kind::Leaf(self)
    }
}

#[async_trait]
impl Leaf for Cmd {
    async fn run(&self, context: &JobContext<'_>, rendered: &Rendered) -> Result<Ended, JobError> {
        let argv: Vec<String> = typed::payload(&rendered.payload)?;
        let parameters: Parameters = typed::parameters(&rendered.parameters)?;
        let env =
            parameters.env.unwrap_or_default().into_iter().map(|(name, value)| (name, value.into_text()));
        let command = Command {
            line: typed::payload(&context.job.fields.payload)?,
            argv,
            env: env.collect(),
            timeout: parameters
                .timeout
                .or(context.job.fields.timeout)
                .unwrap_or(context.site.settings.cmd_timeout),
            aws_credentials: parameters.aws_credentials.unwrap_or(false),
            file_size: parameters.file_size.map(|Bytes(bytes)| bytes),
        };
        process::run(context, command).await
    }
}
