//! Action `sns`: publishes a message to a topic (lava guide, Action type: sns).

use pumice_core::job_type::Action;
use pumice_core::problem::Problem;
use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::Value;

use super::message::{MessageBody, check_message};

/// Longest subject, in characters (SNS, Publish). A longer one is cut, as lava does.
pub const MAX_SUBJECT: usize = 100;

/// Fields of the action.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(rename = "SnsAction")]
pub struct Fields {
    /// The ARN of the topic.
    #[schemars(length(min = 1))]
    pub topic: String,
    /// A text, or a map that is sent as JSON.
    pub message: MessageBody,
    /// The subject; a longer one than 100 characters is cut and ends in `...`.
    #[serde(default)]
    pub subject: Option<String>,
}

/// The action `sns`.
#[derive(Clone, Copy, Debug)]
pub struct Sns;

impl Action for Sns {
    const NAME: &'static str = "sns";
    const ABOUT: &'static str = "Publishes a message to an SNS topic.";
    const IGNORES_UNKNOWN: bool = true;
    type Fields = Fields;

    fn check(&self, fields: &Value, _: Option<Fields>) -> Vec<Problem> {
        check_message(fields).into_iter().collect()
    }
}
