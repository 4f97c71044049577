//! Job type `log`: writes the job to the log (lava guide, Job type: log).

use async_trait::async_trait;
use pumice_core::job_type::{Ended, JobContext, JobError, JobType, Kind, Leaf, Rendered, Templates};
use pumice_core::problem::Problem;
use pumice_core::schema::schema_of;
use pumice_core::spec::JobSpec;
use pumice_template::Renderer;
use serde_json::{Map, Value, json};

/// The job with all that templates see of it: `globals.lava`, state as found, times (lava's handler `log`).
const WHOLE_JOB: &str = "{{ utils.tojson(job, sort_keys=true) }}";

/// The job type `log`.
pub(crate) struct Log;

impl JobType for Log {
    fn name(&self) -> &'static str {
        "log"
    }

    fn about(&self) -> &'static str {
        "Writes the job to the log; payload and parameters are ignored."
    }

    fn schemas(&self) -> (Value, Value) {
        (schema_of::<Value>(), schema_of::<Map<String, Value>>())
    }

    fn check(&self, _: &JobSpec, _: &Renderer) -> Vec<Problem> {
        Vec::new()
    }

    fn render(&self, job: &JobSpec, _: &Templates) -> Result<Rendered, JobError> {
        Ok(Rendered { payload: job.fields.payload.clone(), parameters: job.parameters() })
    }

    fn kind(&self) -> Kind<'_> {
        Kind::Leaf(self)
    }
}

#[async_trait]
impl Leaf for Log {
    async fn run(&self, context: &JobContext<'_>, _: &Rendered) -> Result<Ended, JobError> {
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
