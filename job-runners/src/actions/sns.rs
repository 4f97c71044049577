//! Performs the action `sns`.

use async_trait::async_trait;
use pumice_core::job_type::{ActionContext, FieldsOf, JobError, Performer};
use pumice_core::ports::TopicMessage;
use pumice_core::secret::mask;
use pumice_job_types::actions::sns::{self, MAX_SUBJECT};

/// The end of a subject that was cut.
const CUT: &str = "...";

/// Performs the action `sns`.
pub(crate) struct Sns;

#[async_trait]
impl Performer for Sns {
    type Of = sns::Sns;

    async fn perform(&self, context: &ActionContext<'_>, fields: FieldsOf<sns::Sns>) -> Result<(), JobError> {
        let message = TopicMessage {
            topic: fields.topic,
            message: fields.message.masked().into_text(),
            subject: fields.subject.as_deref().and_then(|subject| subject_of(&mask(subject), context)),
        };
        context.messaging.publish(message).await.map_err(|error| JobError::failed(error.to_string()))
    }
}

/// A subject as SNS takes it: one line, cut as lava cuts it; `None` for an empty one.
fn subject_of(given: &str, context: &ActionContext<'_>) -> Option<String> {
    let line = given.split(char::is_control).filter(|part| !part.is_empty()).collect::<Vec<_>>().join(" ");
    let line = line.trim();
    if line.chars().count() <= MAX_SUBJECT {
        return Some(line.to_owned()).filter(|line| !line.is_empty());
    }
    let (job_id, run_id) = (context.job_id, context.run_id);
    tracing::warn!(target: "pumice::job", %job_id, %run_id, "the subject of a message was cut to {MAX_SUBJECT} characters");
    Some(line.chars().take(MAX_SUBJECT - CUT.len()).chain(CUT.chars()).collect())
}

#[cfg(test)]
mod tests {
    use pumice_core::ports::{StoreError, StoreErrorKind};
    use serde::Deserialize;
    use serde_json::{Value, json};

    use super::*;
    use crate::fakes::World;

    async fn published(fields: Value) -> TopicMessage {
        let world = World::of("log", Value::Null, json!({}));
        let fields = sns::Fields::deserialize(fields).unwrap();
        Sns.perform(&world.action_context(), fields).await.unwrap();
        world.messages.published.lock().unwrap().pop().unwrap()
    }

    #[tokio::test]
    async fn sns_message_is_a_text_or_json() {
        let sent = published(json!({ "topic": "arn:t", "message": "it failed", "subject": "job" })).await;
        let wanted = TopicMessage {
            topic: "arn:t".to_owned(),
            message: "it failed".to_owned(),
            subject: Some("job".to_owned()),
        };
        assert_eq!(sent, wanted);
        let sent = published(json!({ "topic": "arn:t", "message": { "b": 1, "a": "x" } })).await;
        assert_eq!((sent.message.as_str(), sent.subject), (r#"{"b":1,"a":"x"}"#, None));
    }

    #[tokio::test]
    async fn sns_subject_is_one_line_of_at_most_100_characters() {
        let (full, long) = ("ü".repeat(100), "ü".repeat(101));
        let cut = format!("{}...", "ü".repeat(97));
        for (given, wanted) in [
            ("a", Some("a")),
            ("a\nb\r\n\tc", Some("a b c")),
            ("  ", None),
            ("", None),
            (&*full, Some(&*full)),
            (&*long, Some(&*cut)),
        ] {
            let sent = published(json!({ "topic": "t", "message": "m", "subject": given })).await;
            assert_eq!(sent.subject.as_deref(), wanted, "{given}");
        }
    }

    #[tokio::test]
    async fn sns_message_refused_fails_with_the_reason() {
        let mut world = World::of("log", Value::Null, json!({}));
        world.messages.refused = Some(StoreError::of(StoreErrorKind::Missing, "no such topic"));
        let fields = sns::Fields::deserialize(json!({ "topic": "t", "message": "m" })).unwrap();
        let error = Sns.perform(&world.action_context(), fields).await.unwrap_err();
        assert_eq!(error.message, "no such topic");
    }
}
