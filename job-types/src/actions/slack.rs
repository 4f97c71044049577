//! Action `slack`: posts a message to a channel of Slack (lava guide, Action type: slack).

use pumice_core::connection::SlackStyle;
use pumice_core::ids::{ConnId, FieldText};
use pumice_core::job_type::Action;
use pumice_core::problem::{JsonPath, Problem};
use pumice_core::text::quoted;
use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::Value;

use crate::web::is_open;

/// Longest message, in characters. A longer one is cut, as lava does.
pub const MAX_MESSAGE: usize = 3000;
/// Longest subject, in characters. A longer one is cut, as lava does.
pub const MAX_SUBJECT: usize = 250;

/// Colours that Slack knows by name.
pub const COLOURS: [&str; 3] = ["good", "warning", "danger"];

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

    fn check(&self, fields: &Value, _: Option<Fields>) -> Vec<Problem> {
        let colour = fields.get("colour").and_then(Value::as_str);
        let wrong = colour.filter(|colour| !colour.is_empty() && !is_open(colour) && !is_colour(colour));
        let message = |colour: &str| {
            format!(
                "{} is not a colour: write good, warning, danger or six hexadecimal digits",
                quoted(colour)
            )
        };
        let problem = |colour| Problem::new(JsonPath::root().field("colour"), message(colour));
        wrong.map(problem).into_iter().collect()
    }
}

/// Whether Slack takes a colour (Slack, Attachments).
fn is_colour(text: &str) -> bool {
    let digits = text.strip_prefix('#').unwrap_or(text);
    COLOURS.contains(&text)
        || matches!(digits.len(), 3 | 6) && digits.bytes().all(|digit| digit.is_ascii_hexdigit())
}
