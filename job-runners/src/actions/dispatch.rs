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
