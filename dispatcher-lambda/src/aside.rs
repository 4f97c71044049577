//! Refused requests whose outcome no caller sees: sent to where Lambda sends invocations that it gave
//! up.

use async_trait::async_trait;
use chrono::Utc;
use pumice_core::message::for_sqs;
use pumice_core::ports::{StoreError, StoreErrorKind};
use serde_json::{Value, json};

use crate::Failed;

/// Longest message (SQS, message size: 1 MiB), less the rest of Lambda's records.
const MAX_PAYLOAD: usize = 1024 * 1024 - 16 * 1024;

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
/// Capturing records of asynchronous invocations).
///
/// # Errors
/// [`Failed`] when it cannot be put there: the invocation fails then, so that Lambda does it.
pub(crate) async fn put(aside: &dyn Aside, event: &Value, id: &str, reasons: &str) -> Result<(), Failed> {
    if event.to_string().len() > MAX_PAYLOAD {
        // No asynchronous event is that large.
        return Ok(());
    }
    let record = json!({
        "version": "1.0",
        "timestamp": Utc::now().to_rfc3339_opts(chrono::SecondsFormat::Millis, true),
        "requestContext": { "requestId": id, "condition": "Refused", "approximateInvokeCount": 1 },
        "requestPayload": event,
        "responsePayload": { "errorType": "Refused", "errorMessage": reasons },
    });
    match aside.put(for_sqs(record.to_string())).await {
        Err(error) if error.kind == StoreErrorKind::Missing => {
            tracing::warn!(%error, "refused requests are dropped: the dead-letter queue is missing");
            Ok(())
        }
        Err(error) => Err(error.into()),
        Ok(()) => Ok(()),
    }
}
