//! How far an entry of a schedule has come, and what is due: pure rules.
//!
//! A cursor is kept for each entry. The sweeper that finds it due makes the runs of the slots that [`Cursor::due`] names, each under
//! the key of its slot, and only then moves the cursor on. A crash in between repeats the same slots, whose runs are there.

use chrono::TimeDelta;
use serde::{Deserialize, Serialize};

use super::cron::Slot;
use super::early::{Ahead, Withdrawn};
use super::entry::Entry;
use super::watch::Watch;
use crate::Timestamp;
use crate::spec::CatchUp;

/// How late a start may be and still be on time: the sweeper looks each minute.
pub const IN_TIME: TimeDelta = TimeDelta::seconds(90);
/// The longest time, unless an entry says so, for which a slot that was missed is made up for.
pub const WINDOW: TimeDelta = TimeDelta::hours(1);
/// The most slots that are made up for at once, unless an entry says so.
pub const MAX_MISSED: u32 = 20;
/// How far slots that were missed are counted.
pub const MAX_COUNTED: u32 = 1_000;

/// How an entry makes up for what it missed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Missing {
    /// Which slots.
    pub catch_up: CatchUp,
    /// For how long after its time a slot is made up for; the entry's period and at most [`WINDOW`] where `None`.
    pub window: Option<TimeDelta>,
    /// The most at once; [`MAX_MISSED`] where `None`. With more the entry halts.
    pub max: Option<u32>,
}

/// Whether an entry starts anything.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "state", rename_all = "lowercase")]
pub enum State {
    /// It does.
    #[default]
    Active,
    /// It was paused.
    Paused {
        /// Until when; until it is resumed where `None`.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        until: Option<Timestamp>,
        /// The person or program that paused it.
        #[serde(default, skip_serializing_if = "String::is_empty")]
        by: String,
        /// Why.
        #[serde(default, skip_serializing_if = "String::is_empty")]
        why: String,
    },
    /// It missed more than it may make up for: an operator must resume it.
    Halted,
    /// Its job is not enabled.
    Disabled,
}

/// How far an entry has come.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Cursor {
    /// The digest of the fields that decide when it is due: with another one it begins anew.
    pub fingerprint: String,
    /// The digest of what it gives to its runs, as [`PlannedEntry::given`](super::PlannedEntry::given) has it: which of
    /// several entries that are due at the same times it is.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub given: String,
    /// When the entry was first seen as it is.
    #[serde(with = "chrono::serde::ts_microseconds")]
    pub since: Timestamp,
    /// The last slot that was started or passed over.
    #[serde(
        default,
        with = "chrono::serde::ts_microseconds_option",
        skip_serializing_if = "Option::is_none"
    )]
    pub last: Option<Timestamp>,
    /// The next slot, as far as there is one.
    #[serde(
        default,
        with = "chrono::serde::ts_microseconds_option",
        skip_serializing_if = "Option::is_none"
    )]
    pub next: Option<Timestamp>,
    /// Whether it starts anything.
    #[serde(default, flatten)]
    pub state: State,
    /// How many starts were made.
    #[serde(default, skip_serializing_if = "crate::omit::is_default")]
    pub started: u32,
    /// Runs that were made ahead of their time, which is still to come, and those that are to be made.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub ahead: Vec<Ahead>,
    /// Runs that were made ahead, or were to be, and are no longer wanted.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub withdrawn: Vec<Withdrawn>,
    /// Why nothing can be started, or why the last start was refused: until the next one, or until the job is changed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub trouble: Option<String>,
    /// Whether no look has started anything of its entry yet: to the next one it is new.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub unseen: bool,
    /// Whether its job was not enabled, while it was paused or halted, or could not be read: it has no slots of that time.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub lapsed: bool,
    /// The time of the start that it made as soon as it was seen.
    #[serde(
        default,
        with = "chrono::serde::ts_microseconds_option",
        skip_serializing_if = "Option::is_none"
    )]
    pub at_once: Option<Timestamp>,
    /// The state of its limits.
    #[serde(default, skip_serializing_if = "crate::omit::is_default")]
    pub watch: Watch,
}

/// Slots that nothing was started for in time.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Missed {
    /// The policy for them.
    pub kind: CatchUp,
    /// The first.
    pub from: Timestamp,
    /// The last.
    pub to: Timestamp,
    /// How many, as far as they were counted: [`MAX_COUNTED`] at most.
    pub count: u32,
}

/// The slots that are due.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Due {
    /// The slots to start, in order.
    pub start: Vec<Slot>,
    /// Those that were missed, made up for or not.
    pub missed: Option<Missed>,
    /// The cursor when that is done.
    pub cursor: Cursor,
}

impl Cursor {
    /// The cursor of an entry that is seen for the first time: nothing before that is due.
    #[must_use]
    pub fn new(entry: &Entry, fingerprint: String, now: Timestamp) -> Self {
        let next = entry.next(now).map(|slot| slot.at);
        Self { fingerprint, next, ..Self::unusable(now) }
    }

    /// The cursor of an entry that cannot be used, and never could.
    #[must_use]
    pub fn unusable(now: Timestamp) -> Self {
        let (fingerprint, state, ahead, watch) = (String::new(), State::Active, Vec::new(), Watch::default());
        Self {
            fingerprint,
            given: String::new(),
            since: now,
            last: None,
            next: None,
            state,
            started: 0,
            ahead,
            withdrawn: Vec::new(),
            trouble: None,
            unseen: false,
            lapsed: false,
            at_once: None,
            watch,
        }
    }

    /// Whether its entry was never usable at a look, or no look has started anything of it yet.
    pub(super) fn is_unseen(&self) -> bool {
        self.unseen || self.fingerprint.is_empty()
    }

    /// The cursor of an entry as its spec has it now: itself where nothing changed that decides when it is due; else it
    /// begins at this time, and earlier slots of the new entry are never due.
    #[must_use]
    pub fn seen(&self, entry: &Entry, fingerprint: &str, now: Timestamp) -> Self {
        if self.fingerprint == fingerprint {
            return self.clone();
        }
        let from = self.last.map_or(now, |last| last.max(now));
        let next = entry.next(from).map(|slot| slot.at);
        let (fingerprint, watch) = (fingerprint.to_owned(), self.watch.restarted());
        Self { fingerprint, since: now, next, started: 0, trouble: None, watch, ..self.clone() }
    }

    /// Starts nothing until it is resumed, or until a time.
    #[must_use]
    pub fn paused(&self, until: Option<Timestamp>, by: String, why: String) -> Self {
        Self { state: State::Paused { until, by, why }, watch: self.watch.restarted(), ..self.clone() }
    }

    /// Goes on with the next slot after an instant; with `catch_up` as if nothing had looked at the clock meanwhile.
    #[must_use]
    pub fn resumed(&self, entry: &Entry, catch_up: bool, after: Timestamp) -> Self {
        if catch_up {
            return Self { state: State::Active, watch: self.watch.restarted(), ..self.clone() };
        }
        self.beginning(entry, after)
    }

    /// The same where its pause is over: it goes on with the slots whose starts, later by a jitter, come after that.
    #[must_use]
    pub fn awake(&self, entry: &Entry, jitter: TimeDelta, now: Timestamp) -> Self {
        match self.state {
            State::Paused { until: Some(until), .. } if until <= now => self.beginning(entry, until - jitter),
            _ => self.clone(),
        }
    }

    /// With its next slot after an instant, as it has none of the time before. A pause and a halt stay.
    #[must_use]
    pub(super) fn anew(&self, entry: &Entry, after: Timestamp) -> Self {
        let state = match &self.state {
            State::Disabled => State::Active,
            other => other.clone(),
        };
        Self { state, lapsed: false, ..self.beginning(entry, after) }
    }

    /// Active, with its next slot after an instant; it never goes back, and has no slot before it was first seen.
    #[must_use]
    pub fn beginning(&self, entry: &Entry, after: Timestamp) -> Self {
        let after = self.last.map_or(after, |last| last.max(after)).max(self.since);
        let next = entry.next(after).map(|slot| slot.at);
        let next = match (self.next, next) {
            (Some(known), Some(next)) => Some(next.max(known)),
            (_, next) => next,
        };
        Self { next, state: State::Active, watch: self.watch.restarted(), ..self.clone() }
    }

    /// When it must be looked at again, where its starts are later than its slots by a jitter; `None` when nothing comes of
    /// that.
    #[must_use]
    pub fn due_at(&self, jitter: TimeDelta) -> Option<Timestamp> {
        match self.state {
            State::Active => self.next.map(|next| next + jitter),
            State::Paused { until, .. } => until.filter(|_| self.next.is_some()),
            State::Halted | State::Disabled => None,
        }
    }

    /// The slots due at a time, and at the times up to `ahead` after it: a start is made before its time, and waits.
    /// `None` when nothing is, and the cursor stays.
    ///
    /// A slot of the last [`IN_TIME`] is in time, and is started whatever the entry says of missed ones. Of those before,
    /// the entry says which are made up for.
    #[must_use]
    pub fn due(&self, entry: &Entry, missing: Missing, now: Timestamp, ahead: TimeDelta) -> Option<Due> {
        if self.state != State::Active {
            return None;
        }
        let until = now + ahead;
        let first = self.next.filter(|next| *next <= until)?;
        let last = entry.last(first, until).map_or(first, |slot| slot.at);
        let late = now - IN_TIME;
        let missed = missed(entry, missing.catch_up, first, late.min(last + TimeDelta::microseconds(1)));
        let in_time: Vec<Slot> = from(entry, first.max(late), last).collect();
        // A slot to come does not stand in the way of the last one that was missed.
        let latest = if last <= now { last } else { last_of(entry, first, now).unwrap_or(last) };
        let made_up_for =
            first.max(now - missing.window.unwrap_or_else(|| period(entry, latest).min(WINDOW)));
        let start = match missing.catch_up {
            CatchUp::Last if latest < late => {
                from(entry, latest.max(made_up_for), latest).chain(in_time).collect()
            }
            CatchUp::None | CatchUp::Last => in_time,
            CatchUp::All => {
                let max = missing.max.unwrap_or(MAX_MISSED) as usize;
                let late = from(entry, made_up_for, last).take_while(|slot| slot.at < late);
                let late: Vec<Slot> = late.take(max + 1).collect();
                if late.len() > max {
                    let cursor = Self { state: State::Halted, ..self.clone() };
                    return Some(Due { start: Vec::new(), missed, cursor });
                }
                late.into_iter().chain(in_time).collect()
            }
        };
        let next = entry.next(last).map(|slot| slot.at);
        let cursor = Self { last: Some(last), next, ..self.clone() };
        Some(Due { start, missed, cursor })
    }
}

/// The last slot that is due from one instant to another, where there is one.
fn last_of(entry: &Entry, first: Timestamp, to: Timestamp) -> Option<Timestamp> {
    (first <= to).then(|| entry.last(first, to)).flatten().map(|slot| slot.at)
}

/// The slots from the first that is due to the last that is too late to be in time.
fn missed(entry: &Entry, kind: CatchUp, first: Timestamp, late: Timestamp) -> Option<Missed> {
    if first >= late {
        return None;
    }
    let to = entry.last(first, late - TimeDelta::microseconds(1))?.at;
    Some(Missed { kind, from: first, to, count: counted(entry, first, to) })
}

/// The missed slots that the run of each slot sees, for slots that follow one another: those up to its own, and none
/// after one that was in time, so that each outage is reported to its end and once. A slot that is to come sees them only
/// where no other has been started since.
pub(super) fn told_of(
    missed: Option<Missed>,
    entry: &Entry,
    slots: &[Slot],
    now: Timestamp,
) -> Vec<Option<Missed>> {
    let (mut left, mut count) = (missed, None);
    let begins_to_come = slots.first().is_none_or(|slot| slot.at > now);
    let mut told = |slot: &Slot| {
        if slot.at > now && !begins_to_come {
            return None;
        }
        let all = left.clone()?;
        if slot.at >= now - IN_TIME {
            left = None;
        }
        if slot.at >= all.to {
            return Some(all);
        }
        let so_far = count.map_or_else(|| counted(entry, all.from, slot.at), |before: u32| before + 1);
        let so_far = so_far.min(MAX_COUNTED);
        count = Some(so_far);
        Some(Missed { to: slot.at, count: so_far, ..all })
    };
    slots.iter().map(&mut told).collect()
}

/// How many slots there are from one instant to another, as far as they are counted.
fn counted(entry: &Entry, first: Timestamp, last: Timestamp) -> u32 {
    let count = from(entry, first, last).take(MAX_COUNTED as usize).count();
    u32::try_from(count).unwrap_or(MAX_COUNTED)
}

/// The slots from one instant to another, both included.
fn from(entry: &Entry, first: Timestamp, last: Timestamp) -> impl Iterator<Item = Slot> + '_ {
    let slots = entry.slots(first - TimeDelta::seconds(1)).skip_while(move |slot| slot.at < first);
    slots.take_while(move |slot| slot.at <= last)
}

/// The time from a slot to the next.
pub(super) fn period(entry: &Entry, slot: Timestamp) -> TimeDelta {
    entry.next(slot).map_or(WINDOW, |next| next.at - slot)
}
