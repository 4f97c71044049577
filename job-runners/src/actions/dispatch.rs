//! Performs the action `dispatch`.

use async_trait::async_trait;
use pumice_core::job_type::{ActionContext, FieldsOf, JobError, Performer};
use pumice_core::request::DispatchRequest;
use pumice_job_types::actions::dispatch;

/// Performs the action `dispatch`.
pub(crate) struct Dispatch;

#[async_trait]
impl Performer for Dispatch {
    type Of = dispatch::Dispatch;

    async fn perform(
        &self,
        context: &ActionContext<'_>,
        fields: FieldsOf<dispatch::Dispatch>,
    ) -> Result<(), JobError> {
        let request = DispatchRequest {
            parameters: fields.parameters.unwrap_or_default(),
            when: DispatchRequest::after(fields.delay.unwrap_or_default()).map_err(JobError::permanent)?,
            ..DispatchRequest::new(fields.job_id)
        };
        for outcome in context.dispatches.dispatch(vec![request]).await {
            outcome.map_err(|error| JobError::failed(error.to_string()))?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use pumice_core::duration::Span;
    use pumice_core::ids::JobId;
    use pumice_core::request::When;
    use serde_json::{Map, Value, json};

    use super::*;
    use crate::fakes::World;

    fn fields(job_id: &str, delay: Option<Span>) -> dispatch::Fields {
        let parameters = Map::from_iter([("day".to_owned(), json!("today"))]);
        dispatch::Fields { job_id: JobId::new(job_id).unwrap(), delay, parameters: Some(parameters) }
    }

    #[tokio::test]
    async fn dispatch_action_asks_for_the_job_with_parameters_and_delay() {
        let world = World::of("log", Value::Null, json!({}));
        for (delay, when) in [(None, When::Now), (Some(Span::from_mins(1)), When::After(Span::from_mins(1)))]
        {
            Dispatch.perform(&world.action_context(), fields("next", delay)).await.unwrap();
            let sent = world.dispatches.requests().pop().unwrap();
            assert_eq!((sent.job_id.as_str(), sent.when), ("next", when));
            assert_eq!(sent.parameters["day"], "today");
        }
    }

    #[tokio::test]
    async fn dispatch_action_refused_fails_with_the_reason() {
        let world = World::of("log", Value::Null, json!({}));
        let error = Dispatch.perform(&world.action_context(), fields("gone", None)).await.unwrap_err();
        assert_eq!((error.message.as_str(), error.retryable), ("no such job gone", true));
        let late = fields("next", Some(Span::from_mins(16)));
        let error = Dispatch.perform(&world.action_context(), late).await.unwrap_err();
        assert!(error.message.contains("a delay of 16m is more than 15m") && !error.retryable, "{error}");
        assert_eq!(world.dispatches.requests().len(), 1);
    }
}
