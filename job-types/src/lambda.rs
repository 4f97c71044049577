//! Job type `lambda`: calls a function and waits for its answer. lava has no such type.

use pumice_core::duration::Span;
use pumice_core::job_type::{Given, JobType, Template};
use pumice_core::problem::Problem;
use pumice_core::spec::Settings;
use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::{Map, Value};

use crate::command_line::{self, Timed};

/// Parameters of a lambda job.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(rename = "LambdaParameters")]
pub struct Parameters {
    /// The event to call the function with; default an empty map.
    #[serde(default)]
    pub event: Option<Template<Value>>,
    /// The version or alias of the function; default `$LATEST`.
    #[serde(default)]
    #[schemars(length(min = 1, max = 128))]
    pub qualifier: Option<String>,
    /// How long to wait for the answer; default the job's `timeout`, else the realm's `CMD_TIMEOUT` of 10 minutes.
    #[serde(default)]
    pub timeout: Option<Span>,
    /// Whether the function's name and `event` are rendered; default true.
    #[serde(default)]
    pub jinja: Option<bool>,
    /// The values that templates see as `vars`.
    #[serde(default)]
    pub vars: Option<Map<String, Value>>,
}

/// The payload of a lambda job: the function's name or ARN.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(transparent)]
#[schemars(inline)]
pub struct Function(#[schemars(length(min = 1, max = 256))] pub String);

/// The job type `lambda`.
#[derive(Clone, Copy, Debug)]
pub struct Lambda;

impl JobType for Lambda {
    const NAME: &'static str = "lambda";
    const ABOUT: &'static str = "Calls an AWS Lambda function, waits for its answer, and keeps it.";
    type Payload = Template<Function>;
    type Parameters = Parameters;

    fn advise(&self, given: &Given<'_, Self>, _: &Settings) -> Vec<Problem> {
        let Some(parameters) = &given.parameters else { return Vec::new() };
        command_line::advise_timeout(
            &given.job.fields,
            &Timed { what: "the call", timeout: parameters.timeout },
        )
    }
}
