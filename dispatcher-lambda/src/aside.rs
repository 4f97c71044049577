//! Refused requests whose outcome no caller sees: sent to where Lambda sends invocations that it gave
//! up.

use async_trait::async_trait;
use chrono::Utc;
use pumice_aws::CUT_PAYLOAD;
use pumice_core::message::for_sqs;
use pumice_core::ports::{StoreError, StoreErrorKind};
use serde_json::{Value, json};

use crate::Failed;

/// Longest message, in bytes (SQS, message size: 1 MiB).
const MAX_MESSAGE: usize = 1024 * 1024;
/// How much of an event is kept, in bytes, where all of it is too long: as a text within JSON it may take twice that.
const KEPT: usize = 400 * 1024;

/// The dispatcher's dead letters.
#[async_trait]
pub trait Aside: Send + Sync {
    /// Puts a message there.
    ///
    /// # Errors
    /// [`StoreError`] when it cannot: [`StoreErrorKind::Missing`] where there is no such queue.
    async fn put(&self, body: String) -> Result<(), StoreError>;
}

#[async_trait]
impl Aside for pumice_aws::Queues {
    async fn put(&self, body: String) -> Result<(), StoreError> {
        self.put_request_aside(&body).await
    }
}

/// Sends an event to the dead letters, in the form in which Lambda sends one that it gave up (Lambda Developer Guide,
/// Capturing records of asynchronous invocations). Of an event that is too long for a message the letter has the
/// beginning, and cannot be handed out once more.
///
/// # Errors
/// [`Failed`] when it cannot be put there: the invocation fails then, so that Lambda does it.
pub(crate) async fn put(aside: &dyn Aside, event: &Value, id: &str, reasons: &str) -> Result<(), Failed> {
    match aside.put(letter(event, id, reasons)).await {
        Err(error) if error.kind == StoreErrorKind::Missing => {
            tracing::warn!(%error, "refused requests are dropped: the dead-letter queue is missing");
            Ok(())
        }
        Err(error) => Err(error.into()),
        Ok(()) => Ok(()),
    }
}

/// The message about an event.
fn letter(event: &Value, id: &str, reasons: &str) -> String {
    let mut record = json!({
        "version": "1.0",
        "timestamp": Utc::now().to_rfc3339_opts(chrono::SecondsFormat::Millis, true),
        "requestContext": { "requestId": id, "condition": "Refused", "approximateInvokeCount": 1 },
        "requestPayload": event,
        "responsePayload": { "errorType": "Refused", "errorMessage": reasons },
    });
    let whole = for_sqs(record.to_string());
    if whole.len() <= MAX_MESSAGE {
        return whole;
    }
    let text = event.to_string();
    let bytes = text.len();
    tracing::warn!(
        event = id,
        bytes,
        "the dead letter of refused requests has a part of its event: it is too long"
    );
    if let Value::Object(fields) = &mut record {
        fields.remove("requestPayload");
        let kept = &text[..text.floor_char_boundary(KEPT)];
        fields.insert(CUT_PAYLOAD.to_owned(), json!({ "bytes": bytes, "begins": kept }));
    }
    for_sqs(record.to_string())
}
