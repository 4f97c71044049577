//! Performs the action `sqs`.

use async_trait::async_trait;
use pumice_core::job_type::{ActionContext, FieldsOf, JobError, Performer};
use pumice_core::ports::QueueMessage;
use pumice_core::secret::holds_secret;
use pumice_job_types::actions::sqs;

/// Performs the action `sqs`.
pub(crate) struct Sqs;

#[async_trait]
impl Performer for Sqs {
    type Of = sqs::Sqs;

    async fn perform(&self, context: &ActionContext<'_>, fields: FieldsOf<sqs::Sqs>) -> Result<(), JobError> {
        if let Some(fault) = fields.fault() {
            return Err(JobError::permanent(fault));
        }
        // A mask in its place would make one id of several.
        for (name, id) in [("dedup_id", &fields.dedup_id), ("group_id", &fields.group_id)] {
            if id.as_deref().is_some_and(holds_secret) {
                return Err(JobError::permanent(format!("{name} has a secret: name something else")));
            }
        }
        let is_given = |text: &String| !text.is_empty();
        let message = QueueMessage {
            queue: fields.queue,
            message: fields.message.masked().into_text(),
            delay: fields.delay.unwrap_or_default(),
            dedup_id: fields.dedup_id.filter(is_given),
            group_id: fields.group_id.filter(is_given),
        };
        context.messaging.send(message).await.map_err(|error| JobError::failed(error.to_string()))
    }
}

#[cfg(test)]
mod tests {
    use pumice_core::duration::Span;
    use pumice_core::ports::{StoreError, StoreErrorKind};
    use serde::Deserialize;
    use serde_json::{Value, json};

    use super::*;
    use crate::fakes::World;

    #[tokio::test]
    async fn sqs_message_is_sent_with_its_fields() {
        let world = World::of("log", Value::Null, json!({}));
        for (fields, wanted) in [
            (json!({ "message": "m" }), ("m", Span::default(), None, None)),
            (
                json!({ "message": { "a": 1 }, "delay": "15m" }),
                (r#"{"a":1}"#, Span::from_mins(15), None, None),
            ),
            (json!({ "message": "m", "dedup_id": "", "group_id": "" }), ("m", Span::default(), None, None)),
            (
                json!({ "message": "m", "dedup_id": "d", "group_id": "g" }),
                ("m", Span::default(), Some("d"), Some("g")),
            ),
        ] {
            let mut given = json!({ "queue": "q" });
            given.as_object_mut().unwrap().extend(fields.as_object().unwrap().clone());
            let fields = sqs::Fields::deserialize(given).unwrap();
            Sqs.perform(&world.action_context(), fields).await.unwrap();
            let sent = world.messages.sent.lock().unwrap().pop().unwrap();
            let had = (sent.message.as_str(), sent.delay, sent.dedup_id.as_deref(), sent.group_id.as_deref());
            assert_eq!((sent.queue.as_str(), had), ("q", wanted));
        }
    }

    #[tokio::test]
    async fn sqs_message_refused_fails_with_the_reason() {
        let mut world = World::of("log", Value::Null, json!({}));
        let late = json!({ "queue": "q", "message": "m", "delay": "16m" });
        let error =
            Sqs.perform(&world.action_context(), sqs::Fields::deserialize(late).unwrap()).await.unwrap_err();
        assert_eq!(error.message, "a delay of 16m is more than 15m, the limit of SQS");
        assert!(world.messages.sent.lock().unwrap().is_empty());
        world.messages.refused = Some(StoreError::of(StoreErrorKind::Missing, "no such queue"));
        let fields = sqs::Fields::deserialize(json!({ "queue": "q", "message": "m" })).unwrap();
        let error = Sqs.perform(&world.action_context(), fields).await.unwrap_err();
        assert_eq!(error.message, "no such queue");
    }
}
