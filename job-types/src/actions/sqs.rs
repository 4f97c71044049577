//! Action `sqs`: sends a message to a queue (lava guide, Action type: sqs).

use pumice_core::duration::Span;
use pumice_core::job_type::Action;
use pumice_core::problem::{JsonPath, Problem};
use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::Value;

use super::message::{MessageBody, check_message};

/// Longest delay of a message (SQS, SendMessage).
pub const MAX_DELAY: Span = Span::from_mins(15);

/// Fields of the action.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(rename = "SqsAction")]
pub struct Fields {
    /// The name of the queue, or its URL.
    #[schemars(length(min = 1))]
    pub queue: String,
    /// A text, or a map that is sent as JSON.
    pub message: MessageBody,
    /// How long the queue keeps the message back, at most 15 minutes.
    #[serde(default)]
    pub delay: Option<Span>,
    /// A FIFO queue takes one message with this id in five minutes; other queues get none.
    #[serde(default)]
    pub dedup_id: Option<String>,
    /// A FIFO queue hands out messages of a group in order; other queues get none.
    #[serde(default)]
    pub group_id: Option<String>,
}

/// The action `sqs`.
#[derive(Clone, Copy, Debug)]
pub struct Sqs;

impl Fields {
    /// Why the delay is refused, if it is.
    #[must_use]
    pub fn fault(&self) -> Option<String> {
        let delay = self.delay.filter(|delay| *delay > MAX_DELAY)?;
        Some(format!("a delay of {delay:#} is more than {MAX_DELAY}, the limit of SQS"))
    }
}

impl Action for Sqs {
    const NAME: &'static str = "sqs";
    const ABOUT: &'static str = "Sends a message to an SQS queue.";
    const IGNORES_UNKNOWN: bool = true;
    type Fields = Fields;

    fn check(&self, fields: &Value, typed: Option<Fields>) -> Vec<Problem> {
        let fault = typed.and_then(|fields| fields.fault());
        let fault = fault.map(|message| Problem::new(JsonPath::root().field("delay"), message));
        check_message(fields).into_iter().chain(fault).collect()
    }
}
