//! Messages to topics, queues and event buses, and calls of functions.

use async_trait::async_trait;

use super::{StoreError, StoreErrorKind};
use crate::Timestamp;
use crate::connection::AwsKeys;
use crate::duration::Span;

/// A message for the subscribers of a topic (SNS, Publish).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TopicMessage {
    /// The ARN of the topic.
    pub topic: String,
    /// The message.
    pub message: String,
    /// The subject: a line of at most 100 characters.
    pub subject: Option<String>,
}

/// A message for a queue (SQS, SendMessage).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct QueueMessage {
    /// The name of the queue, or its URL.
    pub queue: String,
    /// The message.
    pub message: String,
    /// How long the queue keeps it back, at most 15 minutes; a FIFO queue has a delay of its own only.
    pub delay: Span,
    /// A FIFO queue takes one message with this id in five minutes. Left out for other queues.
    pub dedup_id: Option<String>,
    /// A FIFO queue hands messages of a group out in order. Left out for other queues.
    pub group_id: Option<String>,
}

/// An event for a bus (EventBridge, PutEvents).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BusEvent {
    /// The bus, by name or ARN; `None` for the account's default bus.
    pub bus: Option<String>,
    /// Its source, as EventBridge names it.
    pub source: String,
    /// Its `detail-type`.
    pub detail_type: String,
    /// ARNs of what it concerns.
    pub resources: Vec<String>,
    /// The detail, as JSON.
    pub detail: String,
    /// When it happened.
    pub time: Timestamp,
}

/// A call of a function (Lambda, Invoke, RequestResponse).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FunctionCall {
    /// The function: its name, ARN, or a part of that.
    pub function: String,
    /// The version or alias.
    pub qualifier: Option<String>,
    /// The event, as JSON.
    pub event: Vec<u8>,
}

/// A function's answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FunctionAnswer {
    /// The answer, as JSON; of a function that failed, its report of the error.
    pub answer: Vec<u8>,
    /// The kind of error of a function that failed: `Handled` or `Unhandled`.
    pub error: Option<String>,
    /// The version that ran.
    pub version: Option<String>,
}

/// An e-mail that Amazon SES sends (SES, SendRawEmail).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SesEmail {
    /// The e-mail as it is sent (RFC 5322), with headers and attachments.
    pub mime: Vec<u8>,
    /// The recipients' addresses.
    pub to: Vec<String>,
    /// The address that bounces go to; `None` for the sender's.
    pub return_path: Option<String>,
    /// The region of SES.
    pub region: String,
    /// The configuration set.
    pub configuration_set: Option<String>,
}

/// Reaches what is outside the realm. Errors say what was refused, and by whom.
#[async_trait]
pub trait Messaging: Send + Sync {
    /// Publishes a message to a topic.
    ///
    /// # Errors
    /// [`StoreError`] when the topic did not take it.
    async fn publish(&self, message: TopicMessage) -> Result<(), StoreError>;
    /// Sends a message to a queue.
    ///
    /// # Errors
    /// [`StoreError`] when the queue did not take it.
    async fn send(&self, message: QueueMessage) -> Result<(), StoreError>;
    /// Puts an event on a bus.
    ///
    /// # Errors
    /// [`StoreError`] when the bus did not take it.
    async fn put_event(&self, event: BusEvent) -> Result<(), StoreError>;
    /// Calls a function and waits for its answer.
    ///
    /// # Errors
    /// [`StoreError`] when it was not called, or the outcome is unknown.
    async fn invoke(&self, call: FunctionCall) -> Result<FunctionAnswer, StoreError>;
    /// Sends an e-mail by Amazon SES.
    ///
    /// # Errors
    /// [`StoreError`] when SES did not take the e-mail; of the kind [`StoreErrorKind::Invalid`] when SES never will.
    async fn send_email(&self, email: SesEmail) -> Result<(), StoreError>;
    /// The first domain from which SES may send e-mail in a region, in the order that SES lists them (SES, ListIdentities
    /// and GetIdentityVerificationAttributes).
    ///
    /// # Errors
    /// [`StoreError`] when SES cannot be asked.
    async fn verified_domain(&self, region: &str) -> Result<Option<String>, StoreError>;
    /// Asks AWS for the identity of some keys (STS, GetCallerIdentity); returns the ARN.
    ///
    /// # Errors
    /// [`StoreError`] when AWS does not know them; of the kind [`StoreErrorKind::Missing`] when AWS cannot be asked.
    async fn caller(&self, keys: &AwsKeys, region: Option<&str>) -> Result<String, StoreError>;
}

/// Reaches nothing.
#[derive(Clone, Copy, Debug)]
pub struct NoMessaging {
    /// Why: completes "cannot publish to a topic: …".
    pub why: &'static str,
}

/// Of a program that was built without AWS.
pub const WITHOUT_AWS: NoMessaging = NoMessaging {
    why: "this pumice was built without AWS: install it with `cargo install --path cli --features aws`",
};

impl NoMessaging {
    fn refused(self, what: &str) -> StoreError {
        StoreError::of(StoreErrorKind::Missing, format!("cannot {what}: {}", self.why))
    }
}

#[async_trait]
impl Messaging for NoMessaging {
    async fn publish(&self, _: TopicMessage) -> Result<(), StoreError> {
        Err(self.refused("publish to a topic"))
    }

    async fn send(&self, _: QueueMessage) -> Result<(), StoreError> {
        Err(self.refused("send to a queue"))
    }

    async fn put_event(&self, _: BusEvent) -> Result<(), StoreError> {
        Err(self.refused("put an event"))
    }

    async fn invoke(&self, _: FunctionCall) -> Result<FunctionAnswer, StoreError> {
        Err(self.refused("call a function"))
    }

    async fn send_email(&self, _: SesEmail) -> Result<(), StoreError> {
        Err(self.refused("send an e-mail by SES"))
    }

    async fn verified_domain(&self, _: &str) -> Result<Option<String>, StoreError> {
        Err(self.refused("ask SES for its domains"))
    }

    async fn caller(&self, _: &AwsKeys, _: Option<&str>) -> Result<String, StoreError> {
        Err(self.refused("ask whose keys these are"))
    }
}
