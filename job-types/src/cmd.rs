//! Job type `cmd`: runs a command, never through a shell (lava guide, Job type: cmd).

use std::collections::BTreeMap;

use pumice_core::duration::Span;
use pumice_core::job_type::{CommandLine, Given, JobError, JobType, Rendered, Template, Templates};
use pumice_core::problem::{JsonPath, Problem};
use pumice_core::spec::{JobSpec, Settings};
use pumice_template::split_command_line;
use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::{Map, Value};

use crate::command::{CommandParameters, has_command_parameters};
use crate::command_line;
use crate::connections::{LabelledConnections, check_given};
use crate::words;
pub use crate::words::{Bytes, Line, Text};

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
    pub connections: Option<LabelledConnections>,
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
    /// The values that templates see as `vars`.
    #[serde(default)]
    pub vars: Option<Map<String, Value>>,
}

has_command_parameters!(Parameters);

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
        let mut problems = check_given(connections);
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
        words::with_scalar_args(parameters)
    }

    /// Arguments that lava makes a text of by Python's `str`, as `None`.
    fn check_beside(&self, job: &JobSpec) -> Vec<Problem> {
        words::odd_args(job)
    }

    fn advise(&self, given: &Given<'_, Self>, _: &Settings) -> Vec<Problem> {
        let fields = &given.job.fields;
        let line = fields.payload.as_str().unwrap_or_default();
        let mut advice = command_line::advise(line);
        let Some(parameters) = &given.parameters else { return advice };
        let env = parameters.env.iter().flat_map(|env| env.keys());
        advice.extend(command_line::advise_parameters(
            &given.job.fields,
            &command_line::Timed { what: "the command", timeout: parameters.timeout },
            env,
            parameters.jinja,
        ));
        advice
    }

    /// The words of the command line and the arguments become one list.
    fn render(&self, job: &JobSpec, templates: &Templates) -> Option<Result<Rendered, JobError>> {
        Some(render(job, templates))
    }
}

/// The command line as a list of words, the arguments behind it, and the environment, with their templates rendered.
fn render(job: &JobSpec, templates: &Templates) -> Result<Rendered, JobError> {
    let given = Rendered { payload: job.fields.payload.clone(), parameters: job.parameters() };
    let CommandLine(Line(line)) = given.payload()?;
    let typed = CommandParameters::from(given.parameters::<Parameters>()?);
    let (words, parameters) = typed.rendered(job, templates, |rendering| rendering.line("payload", &line))?;
    Ok(Rendered { payload: words.into(), parameters })
}
