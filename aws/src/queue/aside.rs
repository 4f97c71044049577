//! Messages that go to the dead-letter queue, with the reason why.

use aws_sdk_sqs::types::MessageAttributeValue;
use pumice_core::ids::WorkerName;
use pumice_core::ports::StoreError;

use super::{Queues, is_invalid};
use crate::failure::store_error;

/// The attribute of a dead letter that says why it is one.
pub(super) const REASON: &str = "pumice.reason";
/// That attribute's type.
const REASON_TYPE: &str = "String";
/// Longest reason, in bytes.
const MAX_REASON: usize = 1024;
/// Most bytes of a message, its attributes included (SQS, message size: 1 MiB).
const MAX_MESSAGE_BYTES: usize = 1024 * 1024;

impl Queues {
    /// Sends a message to the dead-letter queue of its queue, with as much of the reason as fits. The
    /// message arrives whole, if need be without its reason: that is in the worker's log, and in the
    /// run's record.
    ///
    /// # Errors
    /// [`StoreError`] when the queue cannot be reached.
    pub async fn put_aside(&self, worker: &WorkerName, body: &str, reason: &str) -> Result<(), StoreError> {
        let queue = self.names.dead_letters(worker);
        let what = format!("sending to queue {queue}");
        let mut reason = fitting(body, reason);
        loop {
            let mut request = self.client.send_message().queue_url(&*self.url(&queue).await?);
            if let Some(reason) = &reason {
                let value = MessageAttributeValue::builder().data_type(REASON_TYPE).string_value(reason);
                let value = value.build().map_err(|error| StoreError::invalid(format!("{what}: {error}")))?;
                request = request.message_attributes(REASON, value);
            }
            match request.message_body(body).send().await {
                Ok(_) => return Ok(()),
                // The queue takes less than SQS does at most, or not this reason.
                Err(error) if reason.is_some() && error.as_service_error().is_some_and(is_invalid) => {
                    reason = None;
                }
                Err(error) => return Err(store_error(&what, &error)),
            }
        }
    }
}

impl Queues {
    /// Sends a request that the dispatcher refused to its dead-letter queue.
    ///
    /// # Errors
    /// [`StoreError`] when the queue is missing, or cannot be reached.
    pub async fn put_request_aside(&self, body: &str) -> Result<(), StoreError> {
        let queue = self.names.dispatcher_dead_letters();
        let request = self.client.send_message().queue_url(&*self.url(&queue).await?).message_body(body);
        let sent = request.send().await;
        sent.map(drop).map_err(|error| store_error(&format!("sending to queue {queue}"), &error))
    }
}

/// As much of a reason as fits next to a body; `None` when nothing does.
fn fitting(body: &str, reason: &str) -> Option<String> {
    // A message's size is that of its body and of its attributes' names, types and values.
    let room = MAX_MESSAGE_BYTES.saturating_sub(body.len() + REASON.len() + REASON_TYPE.len());
    let mut reason = printable(reason);
    reason.truncate(reason.floor_char_boundary(room.min(MAX_REASON)));
    (!reason.is_empty()).then_some(reason)
}

/// The text with the characters replaced that SQS refuses in an attribute: control characters, and
/// those that XML lacks.
fn printable(text: &str) -> String {
    let taken = |c: char| !c.is_control() && !matches!(c, '\u{fffe}' | '\u{ffff}');
    text.chars().map(|c| if taken(c) { c } else { ' ' }).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reason_takes_the_room_that_its_message_leaves() {
        let beside = |body: usize, reason: &str| fitting(&"x".repeat(body), reason);
        let attribute = REASON.len() + REASON_TYPE.len();
        assert_eq!(beside(10, "it is\nbad\u{ffff}").as_deref(), Some("it is bad "));
        assert_eq!(beside(10, &"é".repeat(1_000)).map(|reason| reason.len()), Some(MAX_REASON));
        assert_eq!(beside(MAX_MESSAGE_BYTES - attribute - 5, "éééé").as_deref(), Some("éé"));
        assert_eq!(beside(MAX_MESSAGE_BYTES - attribute, "no room"), None);
        assert_eq!(beside(MAX_MESSAGE_BYTES, "no room"), None);
        assert_eq!(beside(10, ""), None, "SQS takes no empty attribute");
    }
}
