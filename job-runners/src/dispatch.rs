//! Runs jobs of type `dispatch`.

use async_trait::async_trait;
use pumice_core::ids::{JobId, RunId};
use pumice_core::job_type::{DispatchError, Ended, JobContext, JobError, Leaf, ParametersOf, Template};
use pumice_core::request::DispatchRequest;
use pumice_job_types::{JobList, dispatch};
use serde_json::json;

/// Runs jobs of type `dispatch`.
pub(crate) struct Dispatch;

#[async_trait]
impl Leaf for Dispatch {
    type Of = dispatch::Dispatch;
    type Payload = JobList;

    async fn run(
        &self,
        context: &JobContext<'_>,
        list: JobList,
        parameters: ParametersOf<dispatch::Dispatch>,
    ) -> Result<Ended, JobError> {
        let jobs = list.prefixed(parameters.job_prefix.as_deref()).map_err(JobError::permanent)?;
        let when =
            DispatchRequest::after(parameters.delay.unwrap_or_default()).map_err(JobError::permanent)?;
        let Template(sent) = parameters.parameters.unwrap_or_default();
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
            return Err(JobError::permanent(dispatch::itself(&context.run.job_id)));
        }
        let outcomes = context.dispatches.dispatch_together(requests).await;
        result_of(&jobs, outcomes)
    }
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
