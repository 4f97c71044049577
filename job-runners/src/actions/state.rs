//! Performs the action `state`.

use async_trait::async_trait;
use pumice_core::job_type::{ActionContext, FieldsOf, JobError, Performer, Structure};
use pumice_core::ports::StateItem;
use pumice_core::spec::is_reserved_global;
use pumice_job_types::actions::state;

/// Performs the action `state`.
pub(crate) struct State;

#[async_trait]
impl Performer for State {
    type Of = state::State;

    async fn perform(
        &self,
        context: &ActionContext<'_>,
        fields: FieldsOf<state::State>,
    ) -> Result<(), JobError> {
        if is_reserved_global(fields.state_id.as_str()) {
            return Err(JobError::permanent(format!("the state id {:?} is reserved", fields.state_id)));
        }
        let settings = context.settings;
        let ttl = fields.ttl.unwrap_or(settings.state_ttl).min(settings.state_max_ttl);
        let now = context.clock.now();
        let Structure(value) = fields.value;
        let item = StateItem {
            state_id: fields.state_id,
            r#type: fields.r#type.unwrap_or_default(),
            value,
            publisher: Some(fields.publisher.unwrap_or_else(|| context.job_id.to_string())),
            timestamp: now,
            expires: now + ttl.delta(),
        };
        context.state.put(item).await.map_err(|error| JobError::failed(error.to_string()))
    }
}
