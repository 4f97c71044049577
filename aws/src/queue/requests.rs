//! Dead letters of the dispatcher: what they say, and how they are handed to it once more.
//!
//! Three kinds of senders put requests there: Lambda, and the function itself, records of invocations that failed; EventBridge,
//! events as they are; SNS, its envelopes.

use pumice_core::document::parse_json;
use pumice_core::ports::{FunctionCall, StoreError, StoreErrorKind};
use serde_json::{Value, json};

use super::{CUT_PAYLOAD, Queues};
use crate::names::LIVE;

/// Most characters of what the function answers that are kept.
const MAX_ANSWER: usize = 2_000;

impl Queues {
    /// Hands a dead letter to the dispatcher once more, which knows it by its own name; says why it does not take it, where it
    /// does not.
    pub(super) async fn hand_over(&self, body: &str) -> Result<Option<String>, StoreError> {
        let event = match event_of(body) {
            Ok(event) => event,
            Err(reason) => return Ok(Some(reason)),
        };
        let Some(messaging) = &self.messaging else {
            let message = "this process cannot call the dispatcher";
            return Err(StoreError::of(StoreErrorKind::Missing, message));
        };
        let call = FunctionCall {
            function: self.names.dispatcher(),
            qualifier: Some(LIVE.to_owned()),
            event: event.to_string().into_bytes(),
        };
        let answer = messaging.invoke(call).await?;
        Ok(answer.error.map(|kind| {
            let failure = serde_json::from_slice::<Value>(&answer.answer).unwrap_or_default();
            let why = failure["errorMessage"].as_str().unwrap_or(&kind);
            why.chars().take(MAX_ANSWER).collect()
        }))
    }
}

/// The event that a dead letter is about, as the dispatcher takes it; a reason if the letter has none.
fn event_of(body: &str) -> Result<Value, String> {
    let letter = parse_json(body).map_err(|error| format!("it cannot be read: {error}"))?;
    let Some(fields) = letter.as_object() else { return Err("it is not an event".to_owned()) };
    if fields.contains_key("DDBStreamBatchInfo") {
        // Lambda keeps no event with it.
        return Err("it reports changed jobs, whose schedules are looked at in any case: drop it".to_owned());
    }
    if fields.contains_key(CUT_PAYLOAD) {
        let why = "its event was too long for a message and is not whole: \
                   send it again from where it came, and drop this letter";
        return Err(why.to_owned());
    }
    if fields.get("Type").and_then(Value::as_str) == Some("Notification") && fields.contains_key("TopicArn") {
        return Ok(json!({ "Records": [{ "EventSource": "aws:sns", "Sns": letter }] }));
    }
    Ok(letter)
}

/// Why an invocation failed, as its record says.
pub(super) fn reason(body: &str) -> Option<String> {
    let letter = parse_json(body).ok()?;
    let (answer, context) = (&letter["responsePayload"], &letter["requestContext"]);
    let message = answer["errorMessage"].as_str().or_else(|| context["condition"].as_str())?;
    Some(message.chars().take(MAX_ANSWER).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn letter_of_the_dispatcher_is_an_event() {
        let record = json!({ "requestContext": { "requestId": "r", "condition": "RetriesExhausted" }, "requestPayload": { "job_id": "a" },
            "responsePayload": { "errorType": "Unreachable", "errorMessage": "the table is busy" } });
        assert_eq!(event_of(&record.to_string()), Ok(record.clone()));
        assert_eq!(reason(&record.to_string()).as_deref(), Some("the table is busy"));
        let rule = json!({ "detail-type": "x", "id": "1", "detail": { "job_id": "a" } });
        assert_eq!(event_of(&rule.to_string()), Ok(rule.clone()));
        assert_eq!(reason(&rule.to_string()), None);
        let topic = json!({ "Type": "Notification", "TopicArn": "arn:x", "MessageId": "m", "Message": "a" });
        let records = json!({ "Records": [{ "EventSource": "aws:sns", "Sns": topic }] });
        assert_eq!(event_of(&topic.to_string()), Ok(records));
        for (body, wanted) in [
            ("{", "it cannot be read"),
            ("[1]", "it is not an event"),
            (r#"{"DDBStreamBatchInfo": {}, "requestContext": {}}"#, "drop it"),
            (r#"{"requestPayloadCut": {}, "requestContext": {}}"#, "drop this letter"),
        ] {
            let error = event_of(body).unwrap_err();
            assert!(error.contains(wanted), "{body}: {error}");
        }
    }
}
