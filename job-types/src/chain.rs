//! Job type `chain`: jobs one after the other (lava guide, Job type: chain).

use pumice_core::job_type::{Composite, JobError, JobType, Kind, Named, Plan, Rendered, Templates};
use pumice_core::problem::Problem;
use pumice_core::schema::schema_of;
use pumice_core::spec::JobSpec;
use pumice_template::Renderer;
use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::Value;

use crate::job_list::{Globs, JobList};
use crate::typed;

/// Parameters of a chain.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(rename = "ChainParameters")]
struct Parameters {
    /// Jobs that may fail without failing the chain.
    #[serde(default)]
    can_fail: Option<Globs>,
    /// Put before each job id, `start` included.
    #[serde(default)]
    job_prefix: Option<String>,
    /// The job to begin with, instead of the first.
    #[serde(default)]
    start: Option<String>,
}

/// The job type `chain`.
pub(crate) struct Chain;

impl JobType for Chain {
    fn name(&self) -> &'static str {
        "chain"
    }

    fn about(&self) -> &'static str {
        "Runs jobs one after the other, under one run id."
    }

    fn schemas(&self) -> (Value, Value) {
        (schema_of::<JobList>(), schema_of::<Parameters>())
    }

    fn check(&self, job: &JobSpec, _: &Renderer) -> Vec<Problem> {
        typed::check_plan::<JobList, Parameters>(self, job)
    }

    fn names(&self, job: &JobSpec) -> Vec<Named> {
        typed::steps(self, job)
    }

    fn render(&self, job: &JobSpec, _: &Templates) -> Result<Rendered, JobError> {
        Ok(Rendered { payload: job.fields.payload.clone(), parameters: job.parameters() })
    }

    fn kind(&self) -> Kind<'_> {
        Kind::Composite(self)
    }
}

impl Composite for Chain {
    fn plan(&self, job: &JobSpec, rendered: &Rendered) -> Result<Plan, JobError> {
        let list: JobList = typed::payload(&rendered.payload)?;
        let parameters: Parameters = typed::parameters(&rendered.parameters)?;
        let prefix = parameters.job_prefix.as_deref();
        let mut jobs = list.prefixed(prefix).map_err(JobError::permanent)?;
        if let Some(start) = &parameters.start {
            let start = format!("{}{start}", prefix.unwrap_or_default());
            let Some(at) = jobs.iter().position(|job| job.as_str() == start) else {
                return Err(JobError::permanent(format!("the start job {start:?} is not in the chain")));
            };
            jobs.drain(..at);
        }
        if jobs.contains(&job.fields.job_id) {
            return Err(JobError::permanent(format!("job {} is a step of itself", job.fields.job_id)));
        }
        Ok(Plan::in_order(jobs, parameters.can_fail.unwrap_or_default().0))
    }
}
