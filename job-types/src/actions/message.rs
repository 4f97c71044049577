//! The messages of the actions `sns` and `sqs`, and the detail of `event`.

use pumice_core::problem::{JsonPath, Problem};
use pumice_core::secret::{mask, mask_fields};
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
    /// The same without secrets.
    #[must_use]
    pub fn masked(self) -> Self {
        match self {
            Self::Text(text) => Self::Text(mask(&text).into_owned()),
            Self::Map(mut map) => {
                mask_fields(&mut map);
                Self::Map(map)
            }
        }
    }

    /// The text that is sent.
    #[must_use]
    pub fn into_text(self) -> String {
        match self {
            Self::Text(text) => text,
            Self::Map(map) => Value::Object(map).to_string(),
        }
    }
}

/// The problem of a message without a character, which AWS refuses.
pub(crate) fn check_message(fields: &Value) -> Option<Problem> {
    let is_empty = fields.get("message").and_then(Value::as_str).is_some_and(str::is_empty);
    is_empty.then(|| Problem::new(JsonPath::root().field("message"), "must not be empty"))
}
