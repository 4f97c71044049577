//! How a run that has ended is done again: by a new run that refers to it.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::ids::RunKey;

/// Which steps of the run that ended are run again; the others are kept, if they ended well.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum RedoFrom {
    /// Those that did not end well.
    #[default]
    Failed,
    /// This one of the run that ended, however deep, and all that come after it; and those that did not end well. No item of
    /// a foreach comes after another.
    Step(RunKey),
    /// All.
    All,
}

/// Which spec of its job, and of its steps, a run uses that is done again.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum SpecOf {
    /// The one that is there now.
    #[default]
    Latest,
    /// The one that the run had which ended; of a step that had not begun, the one that is there now.
    Pinned,
}

/// The run that a run does again, and how. A step has it where its parent does.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Redo {
    /// The run that ended, or the step in this one's place.
    pub of: RunKey,
    /// The part to run again.
    #[serde(default)]
    pub from: RedoFrom,
    /// With which spec.
    #[serde(default)]
    pub spec: SpecOf,
    /// The name under which that was asked for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub key: Option<String>,
    /// How often the run has been done again, with this; 0 of a step.
    #[serde(default, skip_serializing_if = "crate::omit::is_default")]
    pub number: u32,
}

impl Redo {
    /// A run that is done again with the spec that is there now, for the first time as far as this knows.
    #[must_use]
    pub const fn of(of: RunKey, from: RedoFrom, spec: SpecOf) -> Self {
        Self { of, from, spec, key: None, number: 0 }
    }
}

/// The idempotency key of the run that does another again for this time. Two requests at the same time have the same key,
/// so that it is done once.
#[must_use]
pub fn replay_key(of: &RunKey, number: u32) -> String {
    match number {
        0 | 1 => format!("retry of {of}"),
        number => format!("retry {number} of {of}"),
    }
}
