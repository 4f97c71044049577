//! Job type `dispatch`: starts other jobs and does not wait for them (lava guide, Job type: dispatch).

use pumice_core::duration::Span;
use pumice_core::ids::JobId;
use pumice_core::job_type::{Given, JobType, Named, Template, Uses};
use pumice_core::problem::{JsonPath, Problem};
use pumice_core::request::DispatchRequest;
use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::{Map, Value};

use crate::job_list::JobIds;

/// Parameters of a dispatch.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(rename = "DispatchParameters")]
pub struct Parameters {
    /// How long the jobs wait before they start, at most 15 minutes.
    #[serde(default)]
    pub delay: Option<Span>,
    /// Whether `parameters` is rendered; default true.
    #[serde(default)]
    pub jinja: Option<bool>,
    /// Put before each job id.
    #[serde(default)]
    pub job_prefix: Option<String>,
    /// Sent to each job, over its own parameters.
    #[serde(default)]
    pub parameters: Option<Template<Map<String, Value>>>,
}

/// The job type `dispatch`.
#[derive(Clone, Copy, Debug)]
pub struct Dispatch;

impl JobType for Dispatch {
    const NAME: &'static str = "dispatch";
    const ABOUT: &'static str =
        "Starts other jobs, each with a run id of its own, and does not wait for them.";
    type Payload = JobIds;
    type Parameters = Parameters;

    fn check(&self, given: &Given<'_, Self>) -> Vec<Problem> {
        let root = JsonPath::root();
        let Some(parameters) = &given.parameters else { return Vec::new() };
        let mut problems = Vec::new();
        if let Err(message) = DispatchRequest::after(parameters.delay.unwrap_or_default()) {
            problems.push(Problem::new(root.field("parameters").field("delay"), message));
        }
        let job_id = &given.job.fields.job_id;
        match given.payload.as_ref().map(|list| list.prefixed(parameters.job_prefix.as_deref())) {
            Some(Ok(jobs)) if jobs.contains(job_id) => {
                problems.push(Problem::new(root.field("payload"), itself(job_id)));
            }
            Some(Err(message)) => problems.push(Problem::new(root.field("payload"), message)),
            Some(Ok(_)) | None => {}
        }
        problems
    }

    fn names(&self, given: &Given<'_, Self>) -> Vec<Named> {
        // A job whose other parameters are wrong still names the jobs that it starts.
        let parameters = given.job.parameters();
        let prefix = parameters.get("job_prefix").and_then(Value::as_str);
        let jobs = given.payload.as_ref().and_then(|list| list.prefixed(prefix).ok()).unwrap_or_default();
        let delay = given.parameters.as_ref().and_then(|parameters| parameters.delay);
        let uses = Uses::after(delay.unwrap_or_default());
        let named = |job_id| Named { job_id, path: JsonPath::root().field("payload"), uses };
        jobs.into_iter().map(named).collect()
    }
}

/// Why a job of this type may not be in its own list (lava guide, Job type: dispatch).
#[must_use]
pub fn itself(job_id: &JobId) -> String {
    format!("job {job_id} may not dispatch itself")
}
