//! Job type `dispatch`: starts other jobs and does not wait for them (lava guide, Job type: dispatch).

use async_trait::async_trait;
use pumice_core::duration::Span;
use pumice_core::ids::{JobId, RunId};
use pumice_core::job_type::{
    DispatchError, Ended, JobContext, JobError, JobType, Kind, Leaf, Named, Rendered, Templates, Uses,
    unknown_variables,
};
use pumice_core::problem::{JsonPath, Problem};
use pumice_core::request::DispatchRequest;
use pumice_core::schema::schema_of;
use pumice_core::spec::{JobSpec, Settings};
use pumice_template::Renderer;
use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::{Map, Value, json};

use crate::job_list::JobList;
use crate::typed;

/// Parameters of a dispatch.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(rename = "DispatchParameters")]
struct Parameters {
    /// How long the jobs wait before they start, at most 15 minutes.
    #[serde(default)]
    delay: Option<Span>,
    /// Whether `parameters` is rendered; default true.
    #[serde(default)]
    jinja: Option<bool>,
    /// Put before each job id.
    #[serde(default)]
    job_prefix: Option<String>,
    /// Sent to each job, over its own parameters.
    #[serde(default)]
    parameters: Option<Map<String, Value>>,
}

/// The job type `dispatch`.
pub(crate) struct Dispatch;

impl JobType for Dispatch {
    fn name(&self) -> &'static str {
        "dispatch"
    }

    fn about(&self) -> &'static str {
        "Starts other jobs, each with a run id of its own, and does not wait for them."
    }

    fn schemas(&self) -> (Value, Value) {
        (schema_of::<JobList>(), schema_of::<Parameters>())
    }

    fn check(&self, job: &JobSpec, renderer: &Renderer) -> Vec<Problem> {
        let mut problems = typed::check::<JobList, Parameters>(job);
        let Ok(parameters) = typed::parameters::<Parameters>(&job.parameters()) else { return problems };
        if parameters.jinja != Some(false) {
            problems.extend(typed::check_templates(job, &["parameters"], renderer));
        }
        let root = JsonPath::root();
        if let Err(message) = DispatchRequest::after(parameters.delay.unwrap_or_default()) {
            problems.push(Problem::new(root.field("parameters").field("delay"), message));
        }
        if let Ok(list) = typed::payload::<JobList>(&job.fields.payload) {
            match list.prefixed(parameters.job_prefix.as_deref()) {
                Ok(jobs) if jobs.contains(&job.fields.job_id) => {
                    problems.push(Problem::new(root.field("payload"), itself(&job.fields.job_id)));
                }
                Ok(_) => {}
                Err(message) => problems.push(Problem::new(root.field("payload"), message)),
            }
        }
        problems
    }

    fn advise(&self, job: &JobSpec, _: &Settings, renderer: &Renderer) -> Vec<Problem> {
        if job.parameters().get("jinja") == Some(&Value::Bool(false)) {
            return Vec::new();
        }
        let rendered = typed::rendered_values(job, &["parameters"]).into_iter();
        rendered.flat_map(|(value, path)| unknown_variables(job, renderer, value, &path, &[])).collect()
    }

    fn names(&self, job: &JobSpec) -> Vec<Named> {
        let prefix = job.parameters().get("job_prefix").and_then(Value::as_str).map(str::to_owned);
        let list = typed::payload::<JobList>(&job.fields.payload).ok();
        let jobs = list.and_then(|list| list.prefixed(prefix.as_deref()).ok()).unwrap_or_default();
        let parameters = typed::parameters::<Parameters>(&job.parameters()).ok();
        let uses = Uses::after(parameters.and_then(|parameters| parameters.delay).unwrap_or_default());
        let named = |job_id| Named { job_id, path: JsonPath::root().field("payload"), uses };
        jobs.into_iter().map(named).collect()
    }

    fn render(&self, job: &JobSpec, templates: &Templates) -> Result<Rendered, JobError> {
        let mut parameters = job.parameters();
        if parameters.get("jinja") != Some(&Value::Bool(false))
            && let Some(inner) = parameters.get_mut("parameters")
        {
            let rendered = templates.json(inner, &[]);
            *inner = rendered.map_err(|error| JobError::template("parameters.parameters", &error))?;
        }
        Ok(Rendered { payload: job.fields.payload.clone(), parameters })
    }

    fn kind(&self) -> Kind<'_> {
        Kind::Leaf(self)
    }
}

#[async_trait]
impl Leaf for Dispatch {
    async fn run(&self, context: &JobContext<'_>, rendered: &Rendered) -> Result<Ended, JobError> {
        let list: JobList = typed::payload(&rendered.payload)?;
        let parameters: Parameters = typed::parameters(&rendered.parameters)?;
        let jobs = list.prefixed(parameters.job_prefix.as_deref()).map_err(JobError::permanent)?;
        let when =
            DispatchRequest::after(parameters.delay.unwrap_or_default()).map_err(JobError::permanent)?;
        let sent = parameters.parameters.unwrap_or_default();
        let requests = jobs
            .iter()
            .map(|job| DispatchRequest {
                parameters: sent.clone(),
                when,
                ..DispatchRequest::new(job.clone())
            })
            .collect();
        // Parameters of the request may have made it so.
        if jobs.contains(&context.run.job_id) {
            return Err(JobError::permanent(itself(&context.run.job_id)));
        }
        let outcomes = context.dispatches.dispatch_together(requests).await;
        result_of(&jobs, outcomes)
    }
}

/// Why a job of this type may not be in its own list (lava guide, Job type: dispatch).
fn itself(job_id: &JobId) -> String {
    format!("job {job_id} may not dispatch itself")
}

/// What came of the requests, by lava's names; the run ids and the jobs that failed are ours.
fn result_of(jobs: &[JobId], outcomes: Vec<Result<RunId, DispatchError>>) -> Result<Ended, JobError> {
    let (mut sent, mut runs) = (Vec::new(), Vec::new());
    let (mut failed, mut errors, mut worded) = (Vec::new(), Vec::new(), None);
    for (job, outcome) in jobs.iter().zip(outcomes) {
        match outcome {
            Ok(run_id) => {
                sent.push(job);
                runs.push(run_id.to_string());
            }
            Err(DispatchError::Withheld) => {}
            Err(error) => {
                worded.get_or_insert_with(|| match &error {
                    DispatchError::NoSuchJob { .. } => format!("{job}: No such job"),
                    other => format!("{job}: {other}"),
                });
                failed.push(job);
                errors.push(error.to_string());
            }
        }
    }
    let mut result = json!({
        "exit_status": i32::from(!errors.is_empty()),
        "jobs": sent,
        "run_ids": runs,
        "failed_jobs": failed,
    });
    let Some(worded) = worded else { return Ok(Ended::Done(result)) };
    result["error"] = worded.as_str().into();
    let unsent = if sent.is_empty() && jobs.len() > failed.len() { "; the others are left out" } else { "" };
    Err(JobError::failed(format!("{}{unsent}", errors.join("; "))).worded(worded).with_data(result))
}
