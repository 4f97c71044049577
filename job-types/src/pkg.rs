//! Job type `pkg`: unpacks archives of the payload area and runs a file of each (lava guide, Job type: pkg).

use std::collections::BTreeMap;

use pumice_core::duration::Span;
use pumice_core::job_type::{CommandLine, Given, JobError, JobType, Rendered, Template, Templates};
use pumice_core::payload::bad_member;
use pumice_core::problem::{JsonPath, Problem};
use pumice_core::spec::{JobSpec, Settings};
use pumice_template::split_command_line;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

use crate::command::{CommandParameters, has_command_parameters};
use crate::command_line::{self, Timed};
use crate::connections::{LabelledConnections, check_given};
use crate::words::{self, Bytes, Line, Text};

/// Parameters of a pkg job.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(rename = "PkgParameters")]
pub struct Parameters {
    /// More arguments, after those of the command.
    #[serde(default)]
    pub args: Option<Vec<Template<Text>>>,
    /// The file of the package to run, seen from its top, and arguments; default: the one file whose name ends in
    /// `_run.sh`, as Talend's jobs have it.
    #[serde(default)]
    pub command: Option<CommandLine<Line>>,
    /// The old name of `command`.
    #[serde(default)]
    pub main: Option<CommandLine<Line>>,
    /// Environment variables.
    #[serde(default)]
    pub env: Option<BTreeMap<String, Template<Text>>>,
    /// Whether arguments and variables are rendered; default true.
    #[serde(default)]
    pub jinja: Option<bool>,
    /// How long each package may run; default the job's `timeout`, else the realm's `PKG_TIMEOUT` of 10 minutes.
    #[serde(default)]
    pub timeout: Option<Span>,
    /// Whether the packages get the worker's AWS credentials; default false. Where jobs run in the
    /// worker's own environment, as in an embedded realm, they have them anyway.
    #[serde(default)]
    pub aws_credentials: Option<bool>,
    /// The largest file that the payload may write; default: no limit.
    #[serde(default)]
    pub file_size: Option<Bytes>,
    /// Connections by label: each file finds them in `LAVA_CONN_<LABEL>` and `LAVA_CONNID_<LABEL>`.
    #[serde(default)]
    pub connections: Option<LabelledConnections>,
    /// The values that templates see as `vars`.
    #[serde(default)]
    pub vars: Option<Map<String, Value>>,
}

has_command_parameters!(Parameters);

/// The payload: a key or a prefix, or several.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(untagged)]
#[schemars(inline)]
pub enum Payload {
    /// One.
    One(#[schemars(length(min = 1))] String),
    /// Several, one after the other.
    Several(#[schemars(length(min = 1))] Vec<String>),
}

impl Payload {
    fn keys(&self) -> &[String] {
        match self {
            Self::One(key) => std::slice::from_ref(key),
            Self::Several(keys) => keys,
        }
    }
}

/// The payload as a worker gets it.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
pub struct Rendition {
    /// The keys and prefixes.
    pub packages: Vec<String>,
    /// The file to run; `None` for the one whose name ends in `_run.sh`.
    pub command: Option<String>,
    /// Its arguments.
    pub args: Vec<String>,
}

/// The job type `pkg`.
#[derive(Clone, Copy, Debug)]
pub struct Pkg;

impl JobType for Pkg {
    const NAME: &'static str = "pkg";
    const ABOUT: &'static str = "Unpacks an archive of the payload area, and runs a file of it.";
    const KEEPS_OUTPUT_BY_PAYLOAD: bool = true;
    type Payload = Payload;
    type Parameters = Parameters;

    fn check(&self, given: &Given<'_, Self>) -> Vec<Problem> {
        let mut problems = words::check_keys(given.payload.as_ref().map(Payload::keys));
        let Some(parameters) = &given.parameters else { return problems };
        problems.extend(check_given(parameters.connections.as_ref()));
        let path = JsonPath::root().field("parameters");
        if parameters.command.is_some() && parameters.main.is_some() {
            let told = Problem::new(path.field("main"), "command is given too");
            problems.push(told.with_hint("main is the old name of command: leave it out"));
        }
        for (name, line) in [("command", &parameters.command), ("main", &parameters.main)] {
            let Some(CommandLine(Line(line))) = line else { continue };
            let why = match split_command_line(line) {
                Ok(words) => bad_member(words.first().map(String::as_str).unwrap_or_default()),
                Err(error) => Some(error.to_string()),
            };
            problems.extend(why.map(|why| Problem::new(path.field(name), why)));
        }
        problems
    }

    fn runnable(&self, parameters: Map<String, Value>) -> Map<String, Value> {
        words::with_scalar_args(parameters)
    }

    /// Arguments that lava makes a text of by Python's `str`, as `None`.
    fn check_beside(&self, job: &JobSpec) -> Vec<Problem> {
        words::odd_args(job)
    }

    fn advise(&self, given: &Given<'_, Self>, _: &Settings) -> Vec<Problem> {
        let Some(parameters) = &given.parameters else { return Vec::new() };
        let timed = Timed { what: "the package", timeout: parameters.timeout };
        let env = parameters.env.iter().flat_map(|env| env.keys());
        let mut advice = command_line::advise_parameters(&given.job.fields, &timed, env, parameters.jinja);
        let path = JsonPath::root().field("parameters");
        for (name, line) in [("command", &parameters.command), ("main", &parameters.main)] {
            if let Some(CommandLine(Line(line))) = line {
                advice.extend(command_line::advise_signs(line, path.field(name)));
            }
        }
        advice
    }

    /// The keys as they stand, the command and its arguments.
    fn render(&self, job: &JobSpec, templates: &Templates) -> Option<Result<Rendered, JobError>> {
        Some(render(job, templates))
    }
}

fn render(job: &JobSpec, templates: &Templates) -> Result<Rendered, JobError> {
    let given = Rendered { payload: job.fields.payload.clone(), parameters: job.parameters() };
    let packages = given.payload::<Payload>()?.keys().to_vec();
    let mut typed: Parameters = given.parameters()?;
    let (name, line) = match (typed.command.take(), typed.main.take()) {
        (Some(_), Some(_)) => return Err(JobError::permanent("both command and main are given")),
        (None, main) => ("parameters.main", main),
        (command, None) => ("parameters.command", command),
    };
    let mut has_command = false;
    let (words, parameters) = CommandParameters::from(typed).rendered(job, templates, |rendering| {
        let words = match line {
            Some(CommandLine(Line(line))) => rendering.line_but_first(name, &line)?,
            None => Vec::new(),
        };
        has_command = !words.is_empty();
        Ok(words)
    })?;
    let mut args = words.into_iter();
    let command = if has_command { args.next() } else { None };
    Ok(Rendered { payload: json!(Rendition { packages, command, args: args.collect() }), parameters })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told(document: &Value) -> Vec<String> {
        let job = JobSpec::parse(document).unwrap();
        Pkg.check(&Given::of(&job)).iter().map(ToString::to_string).collect()
    }

    #[test]
    fn commands_and_keys_are_checked() {
        let job = |payload: Value, parameters: Value| json!({ "job_id": "a", "type": "pkg", "worker": "w", "payload": payload, "parameters": parameters });
        for (payload, parameters, wanted) in [
            (json!("a.zip"), json!({ "command": "a", "main": "b" }), "command is given too"),
            (json!("a.zip"), json!({ "command": "/bin/sh -c x" }), "is not a file of the package"),
            (json!("a.zip"), json!({ "main": "../x" }), "is not a file of the package"),
            (json!("a.zip"), json!({ "main": "'x" }), "main: "),
            (json!("../a.zip"), json!({}), "leads elsewhere"),
            (json!(["a.zip", "/b.zip"]), json!({}), "payload[1]: "),
        ] {
            let told = told(&job(payload, parameters));
            assert!(told.len() == 1 && told[0].contains(wanted), "{wanted}: {told:?}");
        }
        assert_eq!(told(&job(json!("demo/"), json!({ "command": "bin/run.sh -v" }))), [] as [&str; 0]);
        assert_eq!(told(&job(json!(["a.zip", "b/"]), json!({}))), [] as [&str; 0]);
    }
}
