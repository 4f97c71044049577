//! Action `event`: puts an event on a bus of EventBridge (lava guide, Action type: event).

use std::collections::BTreeMap;

use pumice_core::job_type::Action;
use schemars::JsonSchema;
use serde::Deserialize;

/// The default detail type of events, as in lava.
pub const DETAIL_TYPE: &str = "Lava Job Action";

/// The detail of an event: a text, which becomes a JSON string, or texts by name.
#[derive(Clone, Debug, PartialEq, Deserialize, JsonSchema)]
#[serde(untagged)]
#[schemars(inline)]
pub enum Detail {
    /// A text.
    Text(String),
    /// Texts by name.
    Map(BTreeMap<String, String>),
}

/// Fields of the action.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(rename = "EventAction")]
pub struct Fields {
    /// The source of the event; default `lava.<realm>`.
    #[serde(default)]
    pub source: Option<String>,
    /// The detail type of the event; default `Lava Job Action`.
    #[serde(default)]
    pub detail_type: Option<String>,
    /// The event bus, by name or ARN; default the account's default bus.
    #[serde(default)]
    pub event_bus: Option<String>,
    /// ARNs of what the event concerns.
    #[serde(default)]
    pub resources: Option<Vec<String>>,
    /// A text, or a map of texts; default realm, worker, `job_id`, `run_id` and `exit_status`.
    #[serde(default)]
    pub detail: Option<Detail>,
}

/// The action `event`.
#[derive(Clone, Copy, Debug)]
pub struct Event;

impl Action for Event {
    const NAME: &'static str = "event";
    const ABOUT: &'static str = "Puts an event on an EventBridge bus.";
    type Fields = Fields;
}
