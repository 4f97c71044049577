//! Where a run stands.

use std::fmt;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::problem::nearest;

/// The status of a run, or of one entry of its log. The names are lava's (lava guide, The Events
/// Table), with `dispatched`, `cancelled` and `waiting` added.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Status {
    /// Recorded, not started.
    Dispatched,
    /// Picked up by a worker; an entry of the log only.
    Starting,
    /// An attempt is under way.
    Running,
    /// Suspended: for children to end, or for another run of the job to make way.
    Waiting,
    /// An attempt failed and another follows.
    Retrying,
    /// Ended well.
    Complete,
    /// Ended after its last attempt failed.
    Failed,
    /// Not run, because the job is not enabled or already runs.
    Skipped,
    /// Not run, because it was too old, was tried too often or its spec is invalid.
    Rejected,
    /// Ended by request.
    Cancelled,
    /// The rendered `event_log` of the job; an entry of the log only.
    Logging,
    /// An action failed; an entry of the log only.
    ActionFailed,
}

impl Status {
    /// Every status, in the order of a run's life.
    pub const ALL: [Self; 12] = [
        Self::Dispatched,
        Self::Starting,
        Self::Running,
        Self::Waiting,
        Self::Retrying,
        Self::Complete,
        Self::Failed,
        Self::Skipped,
        Self::Rejected,
        Self::Cancelled,
        Self::Logging,
        Self::ActionFailed,
    ];

    /// The statuses that runs have: the others stand in logs alone.
    pub fn of_runs() -> impl Iterator<Item = Self> {
        let steps = [Self::Starting, Self::Logging, Self::ActionFailed];
        Self::ALL.into_iter().filter(move |status| !steps.contains(status))
    }

    /// The name as written in records.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Dispatched => "dispatched",
            Self::Starting => "starting",
            Self::Running => "running",
            Self::Waiting => "waiting",
            Self::Retrying => "retrying",
            Self::Complete => "complete",
            Self::Failed => "failed",
            Self::Skipped => "skipped",
            Self::Rejected => "rejected",
            Self::Cancelled => "cancelled",
            Self::Logging => "logging",
            Self::ActionFailed => "action_failed",
        }
    }

    /// Whether a run in this status has ended, for good.
    #[must_use]
    pub const fn is_end(self) -> bool {
        matches!(self, Self::Complete | Self::Failed | Self::Skipped | Self::Rejected | Self::Cancelled)
    }

    /// Whether an end counts as a failure for those that wait for it.
    #[must_use]
    pub const fn is_failure(self) -> bool {
        matches!(self, Self::Failed | Self::Rejected | Self::Cancelled)
    }
}

impl fmt::Display for Status {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

/// The statuses that a run can have, separated by commas.
fn all_names() -> String {
    Status::of_runs().map(Status::as_str).collect::<Vec<_>>().join(", ")
}

/// A text that is not a status.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{text:?} is not a status ({})", near.map_or_else(all_names, |n| format!("did you mean {n:?}?")))]
pub struct UnknownStatus {
    text: String,
    near: Option<&'static str>,
}

impl std::str::FromStr for Status {
    type Err = UnknownStatus;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Self::ALL.into_iter().find(|status| status.as_str() == text).ok_or_else(|| UnknownStatus {
            text: text.to_owned(),
            near: nearest(text, Self::ALL.into_iter().map(Self::as_str)),
        })
    }
}
