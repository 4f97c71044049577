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
        // Putting the job together costs more than the rest of the run: only where a subscriber listens.
        if tracing::enabled!(target: "pumice::job", tracing::Level::INFO) {
            let job = context.templates.text(WHOLE_JOB, &[]);
            let job = job.unwrap_or_else(|error| format!("the job cannot be shown: {error}"));
            tracing::info!(target: "pumice::job", job_id = %run.job_id, run_id = %run.run_id, iteration = run.attempt, spec = %job, "log");
        }
        Ok(Ended::Done(json!({ "exit_status": 0 })))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fakes::{World, logged};

    #[test]
    fn log_writes_the_job_as_templates_see_it_and_completes() {
        let world = World::of("log", json!({ "a": "{{ start }}" }), json!({}));
        let context = world.context();
        let (ended, lines) = logged(Log.run(&context, Value::Null, serde_json::Map::new()));
        assert_eq!(ended, Some(Ok(Ended::Done(json!({ "exit_status": 0 })))));
        let [(target, line)] = lines.as_slice() else { panic!("{lines:?}") };
        assert_eq!(target, "pumice::job");
        for part in ["job_id=top", "master_job_id", "{{ start }}"] {
            assert!(line.contains(part), "{part}: {line}");
        }
    }
}
