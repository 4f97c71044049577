//! Backfills: the slots of a schedule between two times, started after the fact. Pure rules.
//!
//! A backfill is a record of its own. A look at it takes the runs that it has under way, and the slots that come next, and
//! gives the record as it is then with the runs to make before it is written ([`Backfill::settled`],
//! [`Backfill::taken`]). The next record follows from the stored one and from facts that do not change any more (a run
//! that is done, a run that is there, what had ended when the backfill began), so that of several sweepers all make the
//! same runs.

mod begin;
mod walk;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::Timestamp;
use crate::duration::Span;
use crate::ids::{JobId, RunId};
use crate::run::{Run, Status};

pub use begin::{BackfillRequest, Refused};
pub use walk::{Stale, WantedSlot};

/// Most slots of one backfill.
pub const MAX_SLOTS: usize = 10_000;
/// Most runs that a backfill may have under way at the same time.
pub const MAX_ACTIVE: u32 = 100;
/// Most runs that did not complete whose names are kept.
pub const MAX_BAD: usize = 20;

/// Which slots are started.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Only {
    /// Those without a run, each under the key that the clock would give it.
    #[default]
    Missing,
    /// Those whose newest run had ended when the backfill began, and not as complete. They get a run under a key of the
    /// backfill's own.
    Failed,
    /// All of them, each under a key of the backfill's own.
    All,
}

/// Whether it goes on.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "state", rename_all = "lowercase")]
pub enum Progress {
    /// It does.
    Active,
    /// All its slots are dealt with, and all its runs are done.
    Complete,
    /// An operator ended it.
    Cancelled {
        /// The person or program that stopped it.
        #[serde(default, skip_serializing_if = "String::is_empty")]
        by: String,
        /// Why.
        #[serde(default, skip_serializing_if = "String::is_empty")]
        why: String,
    },
    /// It cannot go on as it was asked for, until it is resumed.
    Stopped {
        /// Why.
        why: String,
    },
}

impl Progress {
    /// The names.
    pub const WORDS: [&'static str; 4] = ["active", "complete", "cancelled", "stopped"];

    /// Its name.
    #[must_use]
    pub const fn word(&self) -> &'static str {
        let [active, complete, cancelled, stopped] = Self::WORDS;
        match self {
            Self::Active => active,
            Self::Complete => complete,
            Self::Cancelled { .. } => cancelled,
            Self::Stopped { .. } => stopped,
        }
    }
}

/// An entry of the schedule, as it was when the backfill began.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct BackfillEntry {
    /// Its place in the schedule, from 0.
    pub entry: usize,
    /// The digest of the fields that decide when it is due. With another one the backfill stops.
    pub fingerprint: String,
    /// The digest of what it gives to its runs; with another one it stops as well. `None` in a record of an earlier release.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub given: Option<String>,
    /// When it was first seen: intervals without `from` count from there.
    #[serde(with = "chrono::serde::ts_microseconds")]
    pub since: Timestamp,
    /// The last time that a slot of it may have. Later ones were the clock's to start when the backfill began.
    #[serde(with = "chrono::serde::ts_microseconds")]
    pub until: Timestamp,
}

/// How far it has come: the last slot that was dealt with.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Place {
    /// The slot.
    #[serde(with = "chrono::serde::ts_microseconds")]
    pub slot: Timestamp,
    /// Of which of [`Backfill::parts`]: entries may have slots at the same time.
    pub part: usize,
}

/// A run that it made and that is not known to be done.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Underway {
    /// The slot.
    #[serde(with = "chrono::serde::ts_microseconds")]
    pub slot: Timestamp,
    /// The place of its entry in the schedule.
    pub entry: usize,
    /// The idempotency key of its request.
    pub key: String,
}

/// A run that did not complete.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Bad {
    /// The slot.
    #[serde(with = "chrono::serde::ts_microseconds")]
    pub slot: Timestamp,
    /// The place of its entry in the schedule.
    pub entry: usize,
    /// The run; `None` where its record is gone.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub run_id: Option<RunId>,
    /// How it ended; `None` where its record is gone.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub status: Option<Status>,
}

/// A backfill: what was asked for, and how far it has come.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Backfill {
    /// Its id, which follows from what was asked for.
    pub id: String,
    /// The job.
    #[serde(deserialize_with = "JobId::deserialize_stored")]
    pub job_id: JobId,
    /// How often the record was written; the store raises it by one with each change.
    pub rev: u64,
    /// Since when it is to be looked at; `None` once it is over and no run of it is under way.
    #[serde(
        default,
        with = "chrono::serde::ts_microseconds_option",
        skip_serializing_if = "Option::is_none"
    )]
    pub due_at: Option<Timestamp>,
    /// Whether it goes on.
    pub progress: Progress,
    /// The entry that was asked for, as it was counted then; all where `None`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub entry: Option<usize>,
    /// The entries whose slots it starts, in the order of the schedule.
    pub parts: Vec<BackfillEntry>,
    /// The first time that a slot may have.
    #[serde(with = "chrono::serde::ts_microseconds")]
    pub from: Timestamp,
    /// The last.
    #[serde(with = "chrono::serde::ts_microseconds")]
    pub to: Timestamp,
    /// Which slots are started.
    #[serde(default)]
    pub only: Only,
    /// How many of its runs may be under way at the same time.
    pub max_active: u32,
    /// Whether the newest slot comes first.
    #[serde(default)]
    pub reverse: bool,
    /// Other backfills of the job that were begun before and gave their runs keys of their own: where runs and
    /// failures are looked for.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub others: Vec<String>,
    /// The caller's key, if one was given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub key: Option<String>,
    /// The person or program that asked for it.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub by: String,
    /// Why.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub why: String,
    /// When.
    #[serde(with = "chrono::serde::ts_microseconds")]
    pub begun: Timestamp,
    /// When it was over; `None` while it goes on.
    #[serde(
        default,
        with = "chrono::serde::ts_microseconds_option",
        skip_serializing_if = "Option::is_none"
    )]
    pub ended: Option<Timestamp>,
    /// When the record expires; `None` while it goes on, and for one that is kept for good.
    #[serde(
        default,
        with = "chrono::serde::ts_microseconds_option",
        skip_serializing_if = "Option::is_none"
    )]
    pub expires: Option<Timestamp>,
    /// The last slot that was dealt with; `None` before the first.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub at: Option<Place>,
    /// Its runs that are not known to be done.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub active: Vec<Underway>,
    /// How many slots there are.
    pub planned: u32,
    /// How many needed no run of it.
    #[serde(default)]
    pub skipped: u32,
    /// How many of its runs completed.
    #[serde(default)]
    pub completed: u32,
    /// How many of its runs ended otherwise, or are gone.
    #[serde(default)]
    pub failed: u32,
    /// The last of these.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub bad: Vec<Bad>,
}

/// The finding about a slot that comes next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Found {
    /// It needs a run.
    Nothing,
    /// It needs none.
    Enough,
    /// This very backfill made its run, and another process was lost, or is, before it could write so.
    Own,
}

/// A record as it is to be written, and what is to be done before.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Taken {
    /// The record.
    pub next: Backfill,
    /// The runs to make, in order.
    pub starts: Vec<WantedSlot>,
}

impl Backfill {
    /// How many runs it made, of which some may be under way.
    #[must_use]
    pub fn started(&self) -> u32 {
        let active = u32::try_from(self.active.len()).unwrap_or(u32::MAX);
        self.completed.saturating_add(self.failed).saturating_add(active)
    }

    /// How many slots are still to be dealt with.
    #[must_use]
    pub fn left(&self) -> u32 {
        self.planned.saturating_sub(self.skipped).saturating_sub(self.started())
    }

    /// How many runs may be made now.
    #[must_use]
    pub fn free(&self) -> usize {
        match self.progress {
            Progress::Active => (self.max_active as usize).saturating_sub(self.active.len()),
            _ => 0,
        }
    }

    /// The record without the runs that are done, with these counted. `runs` are the records of [`Self::active`], in the
    /// same order. A run that counts here is another's where the slot had one by the time it was to be made. A run is
    /// under way until its actions are done: until then it has its job's lock.
    #[must_use]
    pub fn settled(&self, runs: &[Option<Run>]) -> Self {
        let mut next = Self { active: Vec::new(), ..self.clone() };
        for (one, run) in self.active.iter().zip(runs) {
            let Some(run) = run else {
                next.count_bad(one, None);
                continue;
            };
            if !self.made(run) {
                next.skipped += 1;
            } else if !run.is_done() {
                next.active.push(one.clone());
            } else if run.status == Status::Complete {
                next.completed += 1;
            } else {
                next.count_bad(one, Some(run));
            }
        }
        next
    }

    /// Notes that the run of a slot that it has started has another key: those before it were withdrawn.
    pub fn rename(&mut self, key: &str, by: String) {
        if let Some(one) = self.active.iter_mut().find(|one| one.key == key) {
            one.key = by;
        }
    }

    fn count_bad(&mut self, one: &Underway, run: Option<&Run>) {
        self.failed += 1;
        let (run_id, status) = (run.map(|run| run.run_id), run.map(|run| run.status));
        self.bad.push(Bad { slot: one.slot, entry: one.entry, run_id, status });
        let over = self.bad.len().saturating_sub(MAX_BAD);
        self.bad.drain(..over);
    }

    /// Whether a run is one of its own.
    #[must_use]
    pub fn made(&self, run: &Run) -> bool {
        run.is_of_backfill(&self.id)
    }

    /// The finding about a slot, by the run under the key that a start of it would have and by the other runs of the
    /// slot: those of the clock and of other backfills.
    #[must_use]
    pub fn found(&self, own: Option<&Run>, others: &[Run]) -> Found {
        match (own, self.only) {
            (Some(run), _) if self.made(run) => Found::Own,
            (Some(_), _) => Found::Enough,
            (None, Only::All) => Found::Nothing,
            (None, Only::Missing) if others.is_empty() => Found::Nothing,
            (None, Only::Missing) => Found::Enough,
            (None, Only::Failed) => {
                // Later runs must not decide: two looks at different times would make different runs.
                let before = others.iter().filter(|run| run.ts_dispatch <= self.begun);
                let newest = before.clone().max_by_key(|run| (run.ts_dispatch, run.run_id));
                let had_ended =
                    |run: &&Run| run.status.is_end() && run.ts_end.is_none_or(|end| end <= self.begun);
                // A run that does one again replaces it, and one that ended well does, whatever came after it.
                let is_done = before
                    .clone()
                    .any(|run| run.redo.is_some() && run.status == Status::Complete && had_ended(&run));
                let is_wanted =
                    !is_done && newest.filter(had_ended).is_some_and(|run| run.status != Status::Complete);
                if is_wanted { Found::Nothing } else { Found::Enough }
            }
        }
    }

    /// The record with slots dealt with that come next, as far as it may make runs, and the runs to make. `slots` are the
    /// next ones in order, with what is known of each; `is_all` when there are no further ones.
    #[must_use]
    pub fn taken(&self, slots: &[(WantedSlot, Found)], is_all: bool) -> Taken {
        let (mut next, mut starts) = (self.clone(), Vec::new());
        for (wanted, found) in slots {
            if *found == Found::Enough {
                next.skipped += 1;
            } else if next.free() == 0 {
                return Taken { next, starts };
            } else if next.active.iter().all(|one| one.key != wanted.start.key) {
                next.active.push(wanted.underway());
                starts.extend((*found == Found::Nothing).then(|| wanted.clone()));
            }
            next.at = Some(wanted.place);
        }
        if is_all && next.active.is_empty() && next.progress == Progress::Active {
            next.progress = Progress::Complete;
        }
        Taken { next, starts }
    }

    /// The record of one that cannot go on.
    #[must_use]
    pub fn stopped(&self, why: String) -> Self {
        match self.progress {
            Progress::Active => Self { progress: Progress::Stopped { why }, ..self.clone() },
            _ => self.clone(),
        }
    }

    /// The record as it is written over `before` at a time, and kept for so long once it is over; `None` when there is
    /// nothing to write.
    #[must_use]
    pub fn written(&self, before: &Self, now: Timestamp, keep: Option<Span>) -> Option<Self> {
        if self == before {
            return None;
        }
        let is_over = self.progress != Progress::Active;
        let ended = is_over.then(|| before.ended.unwrap_or(now));
        let is_done = is_over && self.active.is_empty();
        let due_at = if is_done { None } else { self.due_at.or(Some(now)) };
        let expires = keep.filter(|_| is_done).map(|keep| now + keep.delta());
        Some(Self { rev: before.rev + 1, due_at, ended, expires, ..self.clone() })
    }

    /// The record cancelled; `None` when it is over. Its runs that are under way go on.
    #[must_use]
    pub fn cancelled(&self, by: String, why: String) -> Option<Self> {
        let goes_on = matches!(self.progress, Progress::Active | Progress::Stopped { .. });
        goes_on.then(|| Self { progress: Progress::Cancelled { by, why }, ..self.clone() })
    }

    /// The record going on where it was cancelled or stopped; `None` when it goes on or is complete.
    #[must_use]
    pub fn resumed(&self) -> Option<Self> {
        let is_over = matches!(self.progress, Progress::Cancelled { .. } | Progress::Stopped { .. });
        is_over.then(|| Self { progress: Progress::Active, ..self.clone() })
    }
}
