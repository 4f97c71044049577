//! Performs the action `state`.

use async_trait::async_trait;
use pumice_core::job_type::{ActionContext, FieldsOf, JobError, Performer, Structure};
use pumice_core::ports::{StateItem, StateType};
use pumice_core::secret::value_holds_secret;
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
        if fields.r#type != Some(StateType::Secure) && value_holds_secret(&value) {
            let message =
                format!("the value of state item {} has a secret: its type must be secure", fields.state_id);
            return Err(JobError::permanent(message));
        }
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

#[cfg(test)]
mod tests {
    use pumice_core::duration::Span;
    use pumice_core::ids::StateId;
    use serde_json::{Value, json};

    use super::*;
    use crate::fakes::{Standing, World, start};

    fn world() -> World {
        let mut world = World::of("log", Value::Null, json!({}));
        world.clock = Box::new(Standing { wakes: false });
        world
    }

    fn fields(id: &str) -> state::Fields {
        let (state_id, value) = (StateId::stored(id).unwrap(), Structure(json!({ "a": [1] })));
        state::Fields { state_id, value, r#type: None, ttl: None, publisher: None, kms_key: None }
    }

    #[tokio::test]
    async fn state_action_puts_the_item_with_defaults() {
        let world = world();
        State.perform(&world.action_context(), fields("etl/last")).await.unwrap();
        let item = world.items.items().pop().unwrap();
        assert_eq!((item.state_id.as_str(), &item.value), ("etl/last", &json!({ "a": [1] })));
        assert_eq!((item.r#type, item.publisher.as_deref()), (StateType::Json, Some("top")));
        assert_eq!((item.timestamp, item.expires), (start(), start() + world.settings.state_ttl.delta()));
    }

    #[tokio::test]
    async fn state_action_keeps_its_value_and_an_end_within_limits() {
        let world = world();
        let longest = world.settings.state_max_ttl;
        for (ttl, wanted) in
            [(Span::from_mins(5), Span::from_mins(5)), (Span::from(longest.get() * 2), longest)]
        {
            let given = state::Fields {
                r#type: Some(StateType::Raw),
                ttl: Some(ttl),
                publisher: Some("ann".to_owned()),
                ..fields("x")
            };
            State.perform(&world.action_context(), given).await.unwrap();
            let item = world.items.items().pop().unwrap();
            assert_eq!((item.r#type, item.publisher.as_deref()), (StateType::Raw, Some("ann")));
            assert_eq!(item.expires - item.timestamp, wanted.delta());
        }
    }

    #[tokio::test]
    async fn state_action_reserved_or_unreachable_fails_with_the_reason() {
        let mut world = world();
        let error = State.perform(&world.action_context(), fields("lava.x")).await.unwrap_err();
        assert_eq!((error.message.as_str(), error.retryable), ("the state id \"lava.x\" is reserved", false));
        world.items.refused = Some("the store is away".to_owned());
        let error = State.perform(&world.action_context(), fields("x")).await.unwrap_err();
        assert_eq!((error.message.as_str(), error.retryable), ("the store is away", true));
        assert!(world.items.items().is_empty());
    }
}
