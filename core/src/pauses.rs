//! Pauses: of jobs, of workers, of the whole realm. Runs that have begun go on; those that have not wait, and say so.
//!
//! One pause is stricter: that of a realm that was restored from a backup. The realm that it was copied from may still do what
//! was under way, so the copy stands still: nothing is run, begun or not, until the pause is ended. See [`Pauses::stands_still`].
//!
//! All pauses of a realm are one record, so that each change is one conditional write, and a worker reads one thing.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::Timestamp;
use crate::glob::matches;
use crate::ids::WorkerName;
use crate::run::{PausedBy, Run};

/// Most pauses of a realm.
pub const MAX_PAUSES: usize = 1_000;
/// Longest name on a pause, and longest reason, in bytes.
pub const MAX_PAUSE_TEXT: usize = 512;

/// The scope of a pause.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Scope {
    /// The whole realm.
    Realm,
    /// A worker.
    Worker(WorkerName),
    /// The jobs whose ids a pattern matches.
    Job(String),
}

impl Scope {
    /// Whether a run is paused with it.
    #[must_use]
    pub fn has(&self, run: &Run) -> bool {
        match self {
            Self::Realm => true,
            Self::Worker(worker) => *worker == run.worker,
            Self::Job(pattern) => matches(pattern, run.job_id.as_str()),
        }
    }

    /// The scope, in words.
    #[must_use]
    pub fn words(&self) -> String {
        match self {
            Self::Realm => "the realm".to_owned(),
            Self::Worker(worker) => format!("worker {worker}"),
            Self::Job(pattern) => format!("job {pattern}"),
        }
    }
}

/// A pause.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Pause {
    /// Its scope.
    pub scope: Scope,
    /// Since when.
    #[serde(with = "chrono::serde::ts_microseconds")]
    pub since: Timestamp,
    /// Until when; until it is resumed where `None`.
    #[serde(
        default,
        with = "chrono::serde::ts_microseconds_option",
        skip_serializing_if = "Option::is_none"
    )]
    pub until: Option<Timestamp>,
    /// The person or program that paused it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub by: Option<String>,
    /// Why.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub why: Option<String>,
    /// Whether what has begun waits too, with its steps, further attempts and actions.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub everything: bool,
}

impl Pause {
    /// Whether it is over.
    #[must_use]
    pub fn is_over(&self, now: Timestamp) -> bool {
        self.until.is_some_and(|until| until <= now)
    }

    /// Whether it ends before another does.
    #[must_use]
    pub fn ends_before(&self, other: &Self) -> bool {
        self.until.is_some_and(|until| other.until.is_none_or(|other| until < other))
    }

    /// The facts for a sentence about it.
    #[must_use]
    pub fn paused_by(&self) -> PausedBy {
        PausedBy {
            what: self.scope.words(),
            since: self.since,
            until: self.until,
            by: self.by.clone(),
            reason: self.why.clone(),
        }
    }
}

/// The way with a scope that is paused already.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum IfPaused {
    /// The new pause takes the place of the other.
    Replace,
    /// The other stays.
    Keep,
}

/// All pauses of a realm.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Pauses {
    /// How often the record was written; a write is conditional on it.
    pub rev: u64,
    /// The pauses, one for each scope; those that are over may still be there.
    #[serde(default)]
    pub all: Vec<Pause>,
}

impl Pauses {
    /// The pause that keeps a run from starting: of several the one that lasts longest. A run that has begun goes on; a
    /// step begins with its parent, and an alert only does its actions. A realm that stands still holds everything.
    #[must_use]
    pub fn of(&self, run: &Run, now: Timestamp) -> Option<&Pause> {
        let has_more = !run.status.is_end() || run.duties.is_some();
        if let Some(still) = self.stands_still(now).filter(|_| has_more) {
            return Some(still);
        }
        if run.is_child() || run.late.is_some() || run.cancel || run.ts_start.is_some() || run.status.is_end()
        {
            return None;
        }
        let ends = |pause: &&Pause| pause.until.map_or(i64::MAX, |until| until.timestamp_micros());
        self.all.iter().filter(|pause| !pause.is_over(now) && pause.scope.has(run)).max_by_key(ends)
    }

    /// The pause with which the whole realm stands still: its workers take nothing, its schedules and buckets are not looked
    /// at, and no action is done, as though nothing served the realm.
    #[must_use]
    pub fn stands_still(&self, now: Timestamp) -> Option<&Pause> {
        self.live(now).find(|pause| pause.everything && pause.scope == Scope::Realm)
    }

    /// The pauses that are not over.
    pub fn live(&self, now: Timestamp) -> impl Iterator<Item = &Pause> {
        self.all.iter().filter(move |pause| !pause.is_over(now))
    }

    /// The pause of a scope that there is.
    #[must_use]
    pub fn of_scope(&self, scope: &Scope, now: Timestamp) -> Option<&Pause> {
        self.live(now).find(|pause| pause.scope == *scope)
    }

    /// Whether a run is to be looked at now, after a pause of it was changed or taken away: nothing keeps it any more, or it may
    /// have been put off for longer than the pause that is left lasts.
    #[must_use]
    pub fn calls(&self, run: &Run, now: Timestamp) -> bool {
        // One in a line is called when its turn comes; one that was put off has left it.
        let is_put_off = run.ts_start.is_none() && !run.status.is_end() && !run.waits_for_permit();
        is_put_off && self.of(run, now).is_none_or(|left| left.until.is_some())
    }

    /// The next record, with a pause, in place of the one that its scope may have; those that are over are left out. A realm
    /// that stands still goes on doing so for as long as either says: else a pause would set going what had begun.
    #[must_use]
    pub fn with(&self, mut pause: Pause, now: Timestamp) -> Self {
        if let Some(still) = self.live(now).find(|other| other.scope == pause.scope && other.everything) {
            pause.everything = true;
            pause.until = still.until.zip(pause.until).map(|(one, other)| one.max(other));
        }
        let others = self.live(now).filter(|other| other.scope != pause.scope).cloned();
        let all = others.chain([pause.clone()]).collect();
        Self { rev: self.rev + 1, all }
    }

    /// The next record, with pauses.
    #[must_use]
    pub fn with_all(&self, pauses: &[Pause], paused: IfPaused, now: Timestamp) -> Self {
        let is_kept = |pause: &&Pause| paused == IfPaused::Keep && self.of_scope(&pause.scope, now).is_some();
        let new = pauses.iter().filter(|pause| !is_kept(pause));
        new.fold(self.clone(), |all, pause| all.with(pause.clone(), now))
    }

    /// The next record, without the pauses of a scope.
    #[must_use]
    pub fn without(&self, scope: &Scope, now: Timestamp) -> Self {
        let all = self.live(now).filter(|other| other.scope != *scope).cloned().collect();
        Self { rev: self.rev + 1, all }
    }
}
