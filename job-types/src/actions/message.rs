//! The messages of the actions `sns` and `sqs`, and the detail of `event`.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

/// A text, or a map that is sent as JSON.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(untagged)]
#[schemars(inline)]
pub enum MessageBody {
    /// A text, as it is.
    Text(String),
    /// A map.
    Map(Map<String, Value>),
}

impl MessageBody {
    /// The text that is sent.
    #[must_use]
    pub fn into_text(self) -> String {
        match self {
            Self::Text(text) => text,
            Self::Map(map) => Value::Object(map).to_string(),
        }
    }
}
