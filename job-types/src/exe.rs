//! Job type `exe`: runs files of the payload area (lava guide, Job type: exe).

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
use crate::command_line::{self, Timed};
use crate::connections::{LabelledConnections, check_given};
use crate::words::{self, Bytes, Line, Text};

/// Parameters of an exe job.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(rename = "ExeParameters")]
pub struct Parameters {
    /// More arguments, after those of the payload.
    #[serde(default)]
    pub args: Option<Vec<Template<Text>>>,
    /// Environment variables.
    #[serde(default)]
    pub env: Option<BTreeMap<String, Template<Text>>>,
    /// Whether arguments and variables are rendered; default true.
    #[serde(default)]
    pub jinja: Option<bool>,
    /// How long each file may run; default the job's `timeout`, else the realm's `EXE_TIMEOUT` of 10 minutes.
    #[serde(default)]
    pub timeout: Option<Span>,
    /// Whether the files get the worker's AWS credentials; default false. Where jobs run in the
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

/// The job type `exe`.
#[derive(Clone, Copy, Debug)]
pub struct Exe;

impl JobType for Exe {
    const NAME: &'static str = "exe";
    const ABOUT: &'static str = "Runs a file of the payload area, or all of a folder, one after the other.";
    const KEEPS_OUTPUT_BY_PAYLOAD: bool = true;
    type Payload = CommandLine<Line>;
    type Parameters = Parameters;

    fn check(&self, given: &Given<'_, Self>) -> Vec<Problem> {
        let connections = given.parameters.as_ref().and_then(|parameters| parameters.connections.as_ref());
        let mut problems = check_given(connections);
        let Some(line) = given.job.fields.payload.as_str() else { return problems };
        let path = JsonPath::root().field("payload");
        problems.extend(match split_command_line(line) {
            Ok(words) => words::check_key(words.first().map(String::as_str).unwrap_or_default(), path),
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
        let line = given.job.fields.payload.as_str().unwrap_or_default();
        let mut advice = command_line::advise_signs(line, JsonPath::root().field("payload"));
        let Some(parameters) = &given.parameters else { return advice };
        let timed = Timed { what: "the payload", timeout: parameters.timeout };
        let env = parameters.env.iter().flat_map(|env| env.keys());
        advice.extend(command_line::advise_parameters(&given.job.fields, &timed, env, parameters.jinja));
        advice
    }

    /// The key as it stands, and the arguments.
    fn render(&self, job: &JobSpec, templates: &Templates) -> Option<Result<Rendered, JobError>> {
        Some(render(job, templates))
    }
}

fn render(job: &JobSpec, templates: &Templates) -> Result<Rendered, JobError> {
    let given = Rendered { payload: job.fields.payload.clone(), parameters: job.parameters() };
    let CommandLine(Line(line)) = given.payload()?;
    let typed = CommandParameters::from(given.parameters::<Parameters>()?);
    let (words, parameters) =
        typed.rendered(job, templates, |rendering| rendering.line_but_first("payload", &line))?;
    Ok(Rendered { payload: words.into(), parameters })
}
