//! Writes jobs to the log.

use async_trait::async_trait;
use pumice_core::job_type::{Ended, JobContext, JobError, Leaf, ParametersOf};
use pumice_job_types::log;
use serde_json::{Value, json};

/// The job with all that templates see of it: `globals.lava`, state as found, times (lava's handler `log`).
const WHOLE_JOB: &str = "{{ utils.tojson(job, sort_keys=true) }}";

/// Runs jobs of type `log`.
pub(crate) struct Log;

#[async_trait]
impl Leaf for Log {
    type Of = log::Log;
    type Payload = Value;

    async fn run(
        &self,
        context: &JobContext<'_>,
        _: Value,
        _: ParametersOf<log::Log>,
    ) -> Result<Ended, JobError> {
        let run = context.run;
        // Putting the job together costs more than the rest of the run: only where somebody listens.
        if tracing::enabled!(target: "pumice::job", tracing::Level::INFO) {
            let job = context.templates.text(WHOLE_JOB, &[]);
            let job = job.unwrap_or_else(|error| format!("the job cannot be shown: {error}"));
            tracing::info!(target: "pumice::job", job_id = %run.job_id, run_id = %run.run_id, iteration = run.attempt, spec = %job, "log");
        }
        Ok(Ended::Done(json!({ "exit_status": 0 })))
    }
}
