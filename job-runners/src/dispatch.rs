//! Runs jobs of type `dispatch`.

use async_trait::async_trait;
use pumice_core::ids::{JobId, RunId};
use pumice_core::job_type::{DispatchError, Ended, JobContext, JobError, Leaf, ParametersOf, Template};
use pumice_core::request::DispatchRequest;
use pumice_job_types::{JobIds, dispatch};
use serde_json::json;

/// Runs jobs of type `dispatch`.
pub(crate) struct Dispatch;

#[async_trait]
impl Leaf for Dispatch {
    type Of = dispatch::Dispatch;
    type Payload = JobIds;

    async fn run(
        &self,
        context: &JobContext<'_>,
        list: JobIds,
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

/// The result of the requests, by lava's names; the run ids and the jobs that failed are ours.
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

#[cfg(test)]
mod tests {
    use pumice_core::duration::Span;
    use pumice_core::request::When;
    use serde::Deserialize;
    use serde_json::Value;

    use super::*;
    use crate::fakes::{World, run_id};

    async fn run(payload: Value, parameters: Value) -> (Result<Ended, JobError>, World) {
        let world = World::of("dispatch", payload.clone(), parameters.clone());
        let list = JobIds::deserialize(payload).unwrap();
        let parameters = ParametersOf::<dispatch::Dispatch>::deserialize(parameters).unwrap();
        let ended = Dispatch.run(&world.context(), list, parameters).await;
        (ended, world)
    }

    #[tokio::test]
    async fn dispatch_asks_for_each_job_and_gives_the_run_ids() {
        let parameters = json!({ "job_prefix": "etl/", "delay": "5s", "parameters": { "day": 1 } });
        let (ended, world) = run(json!("a, b"), parameters).await;
        let runs = [run_id(0).to_string(), run_id(1).to_string()];
        let wanted =
            json!({ "exit_status": 0, "jobs": ["etl/a", "etl/b"], "run_ids": runs, "failed_jobs": [] });
        assert_eq!(ended, Ok(Ended::Done(wanted)));
        let sent = world.dispatches.requests();
        assert_eq!(sent.iter().map(|one| one.job_id.as_str()).collect::<Vec<_>>(), ["etl/a", "etl/b"]);
        assert!(
            sent.iter().all(|one| one.when == When::After(Span::from_secs(5)) && one.parameters["day"] == 1)
        );
    }

    #[tokio::test]
    async fn dispatch_of_a_job_that_is_gone_starts_none_and_says_so() {
        let (ended, world) = run(json!(["a", "gone"]), json!({})).await;
        let error = ended.unwrap_err();
        assert_eq!(error.message, "no such job gone; the others are left out");
        assert_eq!(error.lava_error(), Some("gone: No such job"));
        assert_eq!((&error.data["failed_jobs"], &error.data["jobs"]), (&json!(["gone"]), &json!([])));
        assert!(error.retryable && world.dispatches.requests().is_empty());
    }

    #[tokio::test]
    async fn dispatch_that_can_never_be_is_permanent() {
        for (payload, parameters, wanted) in [
            (json!(["top"]), json!({}), "may not dispatch itself"),
            (json!(["a"]), json!({ "delay": "16m" }), "a delay of 16m is more than 15m"),
            (json!([]), json!({}), "the list of jobs is empty"),
            (json!([" "]), json!({}), "job id"),
        ] {
            let (ended, world) = run(payload, parameters).await;
            let error = ended.unwrap_err();
            assert!(error.message.contains(wanted) && !error.retryable, "{error}");
            assert!(world.dispatches.requests().is_empty());
        }
    }
}
