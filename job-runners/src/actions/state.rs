//! Performs the action `state`.

use async_trait::async_trait;
use pumice_core::ids::StateId;
use pumice_core::job_type::{ActionContext, FieldsOf, JobError, Performer, Structure};
use pumice_core::ports::{StateItem, StateType};
use pumice_core::secret::{holds_secret, is_marked, value_holds_secret, value_shows_masked};
use pumice_core::spec::is_reserved_global;
use pumice_job_types::actions::state;
use serde_json::Value;

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
        if let Some(fault) = fault(&fields.state_id, &value, fields.r#type, fields.publisher.as_deref()) {
            return Err(JobError::permanent(fault));
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

/// Why an item is refused: its id and publisher lie in the clear, and so does a value that is not secure.
fn fault(id: &StateId, value: &Value, r#type: Option<StateType>, publisher: Option<&str>) -> Option<String> {
    if holds_secret(id.as_str()) {
        return Some(format!("the state id {id:?} has a secret: name something else"));
    }
    if publisher.is_some_and(holds_secret) {
        return Some(format!("the publisher of state item {id} has a secret: name something else"));
    }
    if r#type == Some(StateType::Secure) {
        return None;
    }
    if value_holds_secret(value) {
        return Some(format!("the value of state item {id} has a secret: its type must be secure"));
    }
    // An id that the realm marks has its value masked wherever it is shown, as any name has.
    (!is_marked(id.as_str()) && value_shows_masked(value)).then(|| {
        format!(
            "the value of state item {id} has a value that the realm marks (REDACT): its type must be secure, or its id one that is marked too"
        )
    })
}

#[cfg(test)]
mod tests {
    use pumice_core::duration::Span;
    use pumice_core::secret::{mark_names, remember, remember_marked};
    use serde_json::json;

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

    #[tokio::test]
    async fn state_action_puts_no_secret_in_the_clear() {
        remember("secret-canary-8811");
        mark_names(&["*_stated_token".to_owned()]);
        remember_marked(json!({ "my_stated_token": "marked-canary-8812" }).as_object().unwrap());
        let (secret, marked) = ("of secret-canary-8811", "of marked-canary-8812");
        let fields = |id: &str, value: Value, publisher: Option<&str>| state::Fields {
            value: Structure(value),
            publisher: publisher.map(str::to_owned),
            ..fields(id)
        };
        let world = world();
        let (has_secret, has_marked) = ("value of state item x has a secret: ", "value that the realm marks");
        for (id, value, publisher, is_secure_enough, why) in [
            ("x", json!(secret), None, true, has_secret),
            ("x", json!([{ "a": secret }]), None, true, has_secret),
            ("x", json!({ secret: 1 }), None, true, has_secret),
            ("x", json!({ "a_stated_token": secret }), None, true, has_secret),
            (
                "my_stated_token",
                json!(secret),
                None,
                true,
                "value of state item my_stated_token has a secret: ",
            ),
            ("x", json!(marked), None, true, has_marked),
            ("x", json!({ "a": [marked] }), None, true, has_marked),
            ("secret-canary-8811", json!(1), None, false, "the state id \""),
            ("marked-canary-8812", json!(1), None, false, "the state id \""),
            ("x", json!(1), Some(secret), false, "the publisher of state item x has a secret: "),
        ] {
            let open = fields(id, value.clone(), publisher);
            let secure =
                state::Fields { r#type: Some(StateType::Secure), ..fields(id, value.clone(), publisher) };
            let error = State.perform(&world.action_context(), open).await.unwrap_err();
            assert!(error.message.contains(why) && !error.retryable, "{id} {value}: {error}");
            let outcome = State.perform(&world.action_context(), secure).await;
            assert_eq!(outcome.is_ok(), is_secure_enough, "{id} {value}: {outcome:?}");
        }
        let kept = world.items.items();
        assert!(kept.iter().all(|item| item.r#type == StateType::Secure), "{kept:?}");
        // Under a name that the realm marks it is masked wherever it is shown.
        for given in [
            fields("my_stated_token", json!(marked), None),
            fields("x", json!({ "next_stated_token": marked, "page": 7 }), None),
        ] {
            State.perform(&world.action_context(), given).await.unwrap();
        }
    }
}
