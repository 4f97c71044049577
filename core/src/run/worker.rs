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
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct WorkPlace {
    /// The invocation.
    pub id: String,
    /// How often the files were kept for others before: each time is an object of its own.
    #[serde(skip_serializing_if = "is_first")]
    pub version: u32,
    /// The place that they came from, as [`name`](Self::name) gives it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub after: Option<String>,
    /// The places before that one, the latest last, as far as they are kept.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub earlier: Vec<String>,
    /// The place that the run of the record began with: all that it did came after.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub since: Option<String>,
    /// Whether nothing is in it any more.
    #[serde(skip_serializing_if = "is_false")]
    pub empty: bool,
    /// Why its directory was not kept for others, if it was to be and could not.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub not_kept: Option<String>,
    /// Why files are not among these that steps left before.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub lost: Option<String>,
}

/// Most places that a place names as those before it.
const MAX_EARLIER: usize = 32;

impl WorkPlace {
    /// The place of an invocation.
    #[must_use]
    pub fn of(owner: &Worker) -> Self {
        let id = owner.0.rsplit('/').next().unwrap_or_default().to_owned();
        Self { id, ..Self::default() }
    }

    /// The name of what was kept there.
    #[must_use]
    pub fn name(&self) -> String {
        format!("{}.{}", self.id, self.version)
    }

    /// Whether steps left files there, or had left some that are lost.
    #[must_use]
    pub const fn has_files(&self) -> bool {
        !self.empty || self.lost.is_some()
    }

    /// The places that came before it, the latest last.
    pub fn before(&self) -> impl Iterator<Item = &String> {
        self.since.iter().filter(|since| **since != self.name()).chain(&self.earlier).chain(&self.after)
    }

    /// Makes it one whose files came from another.
    pub fn follow(&mut self, from: &Self) {
        self.after = Some(from.name());
        let mut earlier: Vec<String> = from.before().cloned().collect();
        earlier.drain(..earlier.len().saturating_sub(MAX_EARLIER));
        self.earlier = earlier;
        self.lost.clone_from(&from.lost);
    }

    /// As the first record of a run has it, which begins with these files.
    #[must_use]
    pub fn begins(self) -> Self {
        Self { since: Some(self.name()), ..self }
    }

    /// As a further record of a run has it, whose record had this place before.
    #[must_use]
    pub fn goes_on(self, before: Option<&Self>) -> Self {
        Self { since: before.and_then(|before| before.since.clone()), ..self }
    }
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde passes a reference")]
const fn is_first(version: &u32) -> bool {
    *version == 0
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde passes a reference")]
const fn is_false(value: &bool) -> bool {
    !*value
}
