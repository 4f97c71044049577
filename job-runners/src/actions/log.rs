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

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;
    use crate::fakes::{World, logged};

    #[test]
    fn log_action_writes_its_message_with_the_run() {
        let world = World::of("log", Value::Null, json!({}));
        let context = world.action_context();
        let (done, lines) = logged(Log.perform(&context, log::Fields { message: "it is done".to_owned() }));
        assert_eq!(done, Some(Ok(())));
        let [(target, line)] = lines.as_slice() else { panic!("{lines:?}") };
        assert_eq!(target, "pumice::job");
        assert!(line.contains("job_id=top") && line.contains("message=it is done"), "{line}");
    }
}
