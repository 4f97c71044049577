//! The overlap policy: how a run behaves when its job is already running.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// How a run behaves when its job is already running.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
#[schemars(inline)]
pub enum Overlap {
    /// Both run.
    #[default]
    Allow,
    /// The later one is skipped.
    Skip,
    /// The later one waits for the earlier one to end.
    Queue,
    /// The later one waits; of those that wait the newest alone is run.
    Latest,
    /// The earlier one is cancelled, and the later one takes its place.
    CancelRunning,
}

impl Overlap {
    /// As specs have it.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Allow => "allow",
            Self::Skip => "skip",
            Self::Queue => "queue",
            Self::Latest => "latest",
            Self::CancelRunning => "cancel_running",
        }
    }

    /// Whether a run makes way for a newer one before it has started.
    #[must_use]
    pub const fn newest_wins(self) -> bool {
        matches!(self, Self::Latest | Self::CancelRunning)
    }
}
