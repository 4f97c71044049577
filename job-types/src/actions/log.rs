//! Action `log`: writes a message to the worker's log (lava guide, Action type: log).

use pumice_core::job_type::Action;
use schemars::JsonSchema;
use serde::Deserialize;

/// Fields of the action.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(rename = "LogAction")]
pub struct Fields {
    /// The text to write.
    pub message: String,
}

/// The action `log`.
#[derive(Clone, Copy, Debug)]
pub struct Log;

impl Action for Log {
    const NAME: &'static str = "log";
    const ABOUT: &'static str = "Writes a message to the worker's log.";
    const IGNORES_UNKNOWN: bool = true;
    type Fields = Fields;
}
