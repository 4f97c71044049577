//! Performs the action `log`.

use async_trait::async_trait;
use pumice_core::job_type::{ActionContext, FieldsOf, JobError, Performer};
use pumice_job_types::actions::log;

/// Performs the action `log`.
pub(crate) struct Log;

#[async_trait]
impl Performer for Log {
    type Of = log::Log;

    async fn perform(&self, context: &ActionContext<'_>, fields: FieldsOf<log::Log>) -> Result<(), JobError> {
        tracing::info!(target: "pumice::job", job_id = %context.job_id, run_id = %context.run_id, "{}", fields.message);
        Ok(())
    }
}
