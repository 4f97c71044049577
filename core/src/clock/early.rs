//! Runs that are made ahead of their time, so that they begin to the second: pure rules.
//!
//! A start that is still to come is named in its timetable first, and its run is made by the look after that. So a look that is
//! given up, or is passed by another one, leaves only runs that a record names. A run that is not wanted any more is named as one to
//! be cancelled in the same way; its slot is due again, and has another run where it is wanted once more.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};

use super::cursor::{Cursor, IN_TIME, Missed};
use super::timetable::{Looked, Start, Timetable};
use crate::Timestamp;
use crate::ids::HostId;
use crate::request::anew_key;

/// A run that was made ahead of its time, or is to be made.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Ahead {
    /// When it is to start.
    #[serde(with = "chrono::serde::ts_microseconds")]
    pub at: Timestamp,
    /// Its idempotency key.
    pub key: String,
    /// Its slot; `None` where that is the time of its start, and in a record of an earlier version.
    #[serde(
        default,
        with = "chrono::serde::ts_microseconds_option",
        skip_serializing_if = "Option::is_none"
    )]
    pub slot: Option<Timestamp>,
    /// The last slot of its entry before it was started.
    #[serde(
        default,
        with = "chrono::serde::ts_microseconds_option",
        skip_serializing_if = "Option::is_none"
    )]
    pub after: Option<Timestamp>,
    /// The digest of the job and the realm that its run was made by.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub made_by: Option<String>,
    /// What its run is given, where it is still to be made: it is named here first, so that none is made which nothing names.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pending: Option<Pending>,
}

/// The rest of a start whose run is still to be made.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Pending {
    /// The slot before, as its run sees it.
    #[serde(
        default,
        with = "chrono::serde::ts_microseconds_option",
        skip_serializing_if = "Option::is_none"
    )]
    pub previous: Option<Timestamp>,
    /// Slots that were missed up to this one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub missed: Option<Missed>,
    /// The host that it is for alone.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub host: Option<HostId>,
}

/// A run that is not wanted any more.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Withdrawn {
    /// When it was to start: until then other runs of the slot have other keys.
    #[serde(with = "chrono::serde::ts_microseconds")]
    pub at: Timestamp,
    /// Its idempotency key.
    pub key: String,
    /// Whether it is cancelled.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub done: bool,
}

impl Ahead {
    /// Its slot.
    #[must_use]
    pub fn slot(&self) -> Timestamp {
        self.slot.unwrap_or(self.at)
    }
}

impl Cursor {
    /// Takes back the starts whose time is still to come: their runs are no longer wanted. Gives their idempotency keys.
    pub(super) fn take_back(&mut self, now: Timestamp) -> Vec<String> {
        let early = self.put_back(|made| made.at > now);
        let withdrawn =
            early.iter().map(|made| Withdrawn { at: made.at, key: made.key.clone(), done: false });
        self.withdrawn.extend(withdrawn);
        early.into_iter().map(|made| made.key).collect()
    }

    /// Takes back the starts that were to be made and are too late for that by now: whether they are made up for is decided anew.
    /// A run of them that a look has made all the same is found under its key.
    pub(super) fn forget_late(&mut self, now: Timestamp) {
        let is_pending = |made: &Ahead| made.pending.is_some();
        if self.ahead.iter().any(|made| is_pending(made) && made.at < now - IN_TIME) {
            self.put_back(is_pending);
        }
    }

    /// Takes back the starts that were due and still to be made, whose keys are others by now.
    pub(super) fn forget_due(&mut self, now: Timestamp) {
        self.put_back(|made| made.pending.is_some() && made.at <= now);
    }

    /// Has the slots of some starts due again, as if nothing had looked yet.
    fn put_back(&mut self, which: impl Fn(&Ahead) -> bool) -> Vec<Ahead> {
        let (back, kept): (Vec<Ahead>, _) = std::mem::take(&mut self.ahead).into_iter().partition(which);
        self.ahead = kept;
        let Some(first) = back.iter().min_by_key(|made| made.slot()) else { return back };
        self.next = Some(self.next.map_or(first.slot(), |next| next.min(first.slot())));
        if self.last.is_some_and(|last| last >= first.slot()) {
            self.last = first.after;
        }
        let slots: BTreeSet<Timestamp> = back.iter().map(Ahead::slot).collect();
        self.started = self.started.saturating_sub(u32::try_from(slots.len()).unwrap_or(u32::MAX));
        self.watch.open.retain(|open| back.iter().all(|made| made.key != open.key));
        back
    }

    /// After a look has cancelled the runs that are not wanted: their keys are kept until their time.
    pub(super) fn withdraw_all(&mut self, now: Timestamp) {
        self.withdrawn.retain(|one| one.at > now);
        self.withdrawn.iter_mut().for_each(|one| one.done = true);
    }

    /// The key for a start: another one where a run of its slot was withdrawn, which may still be made by a look that is late.
    pub(super) fn key_for(&self, key: &str) -> String {
        let is_free = |key: &String| self.withdrawn.iter().all(|one| one.key != *key);
        (0..).map(|number| anew_key(key, number)).find(is_free).unwrap_or_default()
    }
}

impl Timetable {
    /// Whether runs are named in it that are still to be made, or to be cancelled.
    #[must_use]
    pub fn is_unfinished(&self) -> bool {
        let is_pending = |cursor: &Cursor| cursor.ahead.iter().any(|made| made.pending.is_some());
        self.cursors.iter().any(is_pending) || self.withdrawing().next().is_some()
    }

    /// The idempotency keys of runs that are to be cancelled.
    pub fn withdrawing(&self) -> impl Iterator<Item = &str> {
        let withdrawn = self.cursors.iter().flat_map(|cursor| &cursor.withdrawn);
        withdrawn.filter(|one| !one.done).map(|one| one.key.as_str())
    }

    /// Notes that the run of a start has another key: those before it were withdrawn.
    pub fn rename(&mut self, entry: usize, key: &str, by: &str) {
        let Some(cursor) = self.cursors.get_mut(entry) else { return };
        for made in cursor.ahead.iter_mut().filter(|made| made.key == key) {
            by.clone_into(&mut made.key);
        }
        for open in cursor.watch.open.iter_mut().filter(|open| open.key == key) {
            by.clone_into(&mut open.key);
        }
    }

    /// The run that a key names: one that was made ahead, or is to be made.
    #[must_use]
    pub fn named(&self, key: &str) -> Option<&Ahead> {
        self.cursors.iter().flat_map(|cursor| &cursor.ahead).find(|made| made.key == key)
    }
}

impl Looked {
    /// The look at a record, in two steps: the runs to make are those that are due, and those that the record names; the runs
    /// to cancel are those that it names. The others are named in the next record, which is looked at at once.
    #[must_use]
    pub fn in_steps(mut self, record: &Timetable, now: Timestamp) -> Self {
        let is_named = |key: &str| record.named(key).is_some_and(|made| made.pending.is_some());
        let is_ready = |start: &Start| is_named(&start.key) || start.at <= now;
        let (ready, named): (Vec<Start>, Vec<Start>) =
            std::mem::take(&mut self.starts).into_iter().partition(is_ready);
        self.starts = ready;
        for start in named {
            self.next.name(start);
        }
        let withdrawn =
            std::mem::replace(&mut self.withdrawn, record.withdrawing().map(str::to_owned).collect());
        // Of entries that are gone. Their record outlives them until their runs are cancelled.
        let known: BTreeSet<String> = self.next.withdrawing().map(str::to_owned).collect();
        for key in withdrawn.into_iter().filter(|key| !known.contains(key)) {
            if self.next.cursors.is_empty() {
                self.next.cursors.push(Cursor::unusable(now));
            }
            self.next.cursors[0].withdrawn.push(Withdrawn { at: now, key, done: false });
        }
        if self.next.is_unfinished() {
            // As it was due: a sweeper that comes after a crash finds it, and its place in an index stays.
            (self.again, self.next.due_at) = (true, Some(record.due_at.unwrap_or(now)));
        }
        self
    }
}

impl Timetable {
    /// Names a start whose run is to be made.
    fn name(&mut self, start: Start) {
        let Some(cursor) = self.cursors.get_mut(start.entry) else { return };
        if let Some(made) = cursor.ahead.iter_mut().find(|made| made.key == start.key) {
            let Start { previous, missed, host, .. } = start;
            made.pending = Some(Pending { previous, missed, host });
        }
    }
}
