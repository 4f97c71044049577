//! A run's lease, and the place of the files that its steps share.

use serde::{Deserialize, Serialize};

use crate::Timestamp;

/// The runner of a run: one invocation of a worker, or one process. A new name each time.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Worker(pub String);

/// The right to run, until a time: no other worker may start the run before.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Lease {
    /// The worker that holds it.
    pub owner: Worker,
    /// Until when.
    #[serde(with = "chrono::serde::ts_microseconds")]
    pub until: Timestamp,
}

/// The invocation in whose directory the files were that the steps of a run share, when a record was written.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct WorkPlace {
    /// The invocation.
    pub id: String,
    /// How often the files were kept for others before: each time is an object of its own.
    #[serde(default, skip_serializing_if = "is_first")]
    pub version: u32,
    /// The place that they came from, as [`name`](Self::name) gives it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub after: Option<String>,
    /// Why its directory was not kept for others, if it was to be and could not.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub not_kept: Option<String>,
}

impl WorkPlace {
    /// The place of an invocation.
    #[must_use]
    pub fn of(owner: &Worker) -> Self {
        let id = owner.0.rsplit('/').next().unwrap_or_default().to_owned();
        Self { id, version: 0, after: None, not_kept: None }
    }

    /// The name of what was kept there.
    #[must_use]
    pub fn name(&self) -> String {
        format!("{}.{}", self.id, self.version)
    }
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde passes a reference")]
const fn is_first(version: &u32) -> bool {
    *version == 0
}
