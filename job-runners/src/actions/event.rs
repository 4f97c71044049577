//! Performs the action `event`.

use async_trait::async_trait;
use pumice_core::job_type::{ActionContext, FieldsOf, JobError, Performer};
use pumice_core::ports::BusEvent;
use pumice_core::secret::{mask, mask_value};
use pumice_job_types::actions::event::{self, DETAIL_TYPE, Detail};
use serde_json::{Value, json};

/// Performs the action `event`.
pub(crate) struct Event;

#[async_trait]
impl Performer for Event {
    type Of = event::Event;

    async fn perform(
        &self,
        context: &ActionContext<'_>,
        fields: FieldsOf<event::Event>,
    ) -> Result<(), JobError> {
        let mut detail = match fields.detail {
            Some(Detail::Text(text)) => Value::from(text),
            Some(Detail::Map(map)) => json!(map),
            None => json!({
                "realm": context.realm_name,
                "worker": context.worker,
                "job_id": context.job_id,
                "run_id": context.run_id,
                "exit_status": super::exit_status(context.result),
            }),
        };
        mask_value(&mut detail);
        let masked = |text: String| mask(&text).into_owned();
        let event = BusEvent {
            bus: fields.event_bus.filter(|bus| !bus.is_empty()),
            source: fields.source.map(masked).unwrap_or_else(|| format!("lava.{}", context.realm_name)),
            detail_type: fields.detail_type.map(masked).unwrap_or_else(|| DETAIL_TYPE.to_owned()),
            resources: fields.resources.unwrap_or_default().into_iter().map(masked).collect(),
            detail: detail.to_string(),
            time: context.clock.now(),
        };
        context.messaging.put_event(event).await.map_err(|error| JobError::failed(error.to_string()))
    }
}

#[cfg(test)]
mod tests {
    use serde::Deserialize;

    use super::*;
    use crate::fakes::{World, start};

    async fn put(fields: Value, result: Value) -> BusEvent {
        let mut world = World::of("log", Value::Null, json!({}));
        world.run.result = result;
        world.clock = Box::new(crate::fakes::Standing { wakes: false });
        let fields = event::Fields::deserialize(fields).unwrap();
        Event.perform(&world.action_context(), fields).await.unwrap();
        world.messages.events.lock().unwrap().pop().unwrap()
    }

    #[tokio::test]
    async fn event_has_lavas_defaults_after_success_and_failure() {
        for (result, status) in [
            (json!({ "exit_status": 0 }), json!(0)),
            (json!({ "error": "e", "error_data": { "exit_status": 3 } }), json!(3)),
            (Value::Null, Value::Null),
        ] {
            let event = put(json!({}), result).await;
            assert_eq!((event.source.as_str(), event.detail_type.as_str()), ("lava.test", "Lava Job Action"));
            assert_eq!((event.bus, event.resources, event.time), (None, Vec::new(), start()));
            let detail: Value = serde_json::from_str(&event.detail).unwrap();
            let run_id = uuid::Uuid::from_u128(1).to_string();
            let wanted = json!({
                "realm": "test", "worker": "core", "job_id": "top", "run_id": run_id, "exit_status": status,
            });
            assert_eq!(detail, wanted);
        }
    }

    #[tokio::test]
    async fn event_has_its_fields_values() {
        let fields = json!({
            "source": "s", "detail_type": "t", "event_bus": "b", "resources": ["arn:1"], "detail": { "b": "1", "a": "2" },
        });
        let event = put(fields, Value::Null).await;
        assert_eq!(
            (event.source.as_str(), event.detail_type.as_str(), event.bus.as_deref()),
            ("s", "t", Some("b"))
        );
        assert_eq!(
            (event.resources, event.detail.as_str()),
            (vec!["arn:1".to_owned()], r#"{"a":"2","b":"1"}"#)
        );
        assert_eq!(put(json!({ "detail": "a \"text\"" }), Value::Null).await.detail, r#""a \"text\"""#);
    }
}
