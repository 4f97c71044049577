//! Action `slack`: posts a message to a channel of Slack (lava guide, Action type: slack).

use pumice_core::connection::SlackStyle;
use pumice_core::ids::{ConnId, FieldText};
use pumice_core::job_type::Action;
use schemars::JsonSchema;
use serde::Deserialize;

/// Longest message, in characters. A longer one is cut, as lava does.
pub const MAX_MESSAGE: usize = 3000;
/// Longest subject, in characters. A longer one is cut, as lava does.
pub const MAX_SUBJECT: usize = 250;

/// Fields of the action.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(rename = "SlackAction")]
pub struct Fields {
    /// The connection of type `slack`, which has the channel's webhook.
    pub slack_conn: ConnId,
    /// The message, in Slack's markup; what is longer than 3,000 characters is cut, and says so.
    #[schemars(length(min = 1))]
    pub message: String,
    /// The subject; a longer one than 250 characters is cut, and says so.
    #[serde(default)]
    pub subject: Option<String>,
    /// The sender that the message shows; default that of the connection, else `lava@<realm>`.
    #[serde(default)]
    pub from: Option<String>,
    /// The beginning of the message, as `<!here>`; default that of the connection.
    #[serde(default)]
    pub preamble: Option<String>,
    /// How the message looks; default that of the connection, else `block`.
    #[serde(default)]
    pub style: Option<SlackStyle>,
    /// The colour of the bar of style `attachment`: `good`, `warning`, `danger` or hexadecimal; default that of the
    /// connection, else grey.
    #[serde(default)]
    pub colour: Option<FieldText>,
}

/// The action `slack`.
#[derive(Clone, Copy, Debug)]
pub struct Slack;

impl Action for Slack {
    const NAME: &'static str = "slack";
    const ABOUT: &'static str = "Posts a message to a channel of Slack.";
    type Fields = Fields;
}
