//! Job type `chain`: jobs one after the other (lava guide, Job type: chain).

use pumice_core::job_type::{Composite, JobError, JobType, Plan};
use pumice_core::spec::JobSpec;
use schemars::JsonSchema;
use serde::Deserialize;

use crate::job_list::{Globs, JobIds};

/// Parameters of a chain.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(rename = "ChainParameters")]
pub struct Parameters {
    /// Jobs that may fail without failing the chain.
    #[serde(default)]
    pub can_fail: Option<Globs>,
    /// Put before each job id, `start` included.
    #[serde(default)]
    pub job_prefix: Option<String>,
    /// The job to begin with, instead of the first.
    #[serde(default)]
    pub start: Option<String>,
}

/// The job type `chain`.
#[derive(Clone, Copy, Debug)]
pub struct Chain;

impl JobType for Chain {
    const NAME: &'static str = "chain";
    const ABOUT: &'static str = "Runs jobs one after the other, under one run id.";
    type Payload = JobIds;
    type Parameters = Parameters;
}

impl Composite for Chain {
    fn plan(&self, job: &JobSpec, list: JobIds, parameters: Parameters) -> Result<Plan, JobError> {
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
