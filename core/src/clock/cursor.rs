//! How far an entry of a schedule has come, and what is due: pure rules.
//!
//! A cursor is kept for each entry. The sweeper that finds it due makes the runs of the slots that [`Cursor::due`] names, each under
//! the key of its slot, and only then moves the cursor on. A crash in between repeats the same slots, whose runs are there.

use chrono::TimeDelta;
use serde::{Deserialize, Serialize};

use super::cron::Slot;
use super::entry::Entry;
use crate::Timestamp;

/// How late a start may be and still be on time: the sweeper looks each minute.
pub const IN_TIME: TimeDelta = TimeDelta::seconds(90);
/// The longest time, unless an entry says so, for which a slot that was missed is made up for.
pub const WINDOW: TimeDelta = TimeDelta::hours(1);
/// The most slots that are made up for at once, unless an entry says so.
pub const MAX_MISSED: u32 = 20;

/// What becomes of slots that were missed, as nothing looked at the clock.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum CatchUp {
    /// They are passed over.
    None,
    /// The last one is made up for.
    #[default]
    Last,
    /// All are made up for.
    All,
}

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
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "state", rename_all = "lowercase")]
pub enum State {
    /// It does.
    Active,
    /// It was paused.
    Paused {
        /// Until when; until it is resumed where `None`.
        until: Option<Timestamp>,
        /// Who did.
        by: String,
        /// Why.
        why: String,
    },
    /// It missed more than it may make up for: an operator must resume it.
    Halted,
}

/// How far an entry has come.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Cursor {
    /// What decides when it is due, as a digest: with another one it begins anew.
    pub fingerprint: String,
    /// The last slot that was started or passed over.
    pub last: Option<Timestamp>,
    /// The next slot, as far as there is one.
    pub next: Option<Timestamp>,
    /// Whether it starts anything.
    pub state: State,
}

/// What is due.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Due {
    /// The slots to start, in order.
    pub start: Vec<Slot>,
    /// How many others were passed over, as far as they were counted: [`MAX_COUNTED`] at most.
    pub passed_over: u32,
    /// The cursor when that is done.
    pub cursor: Cursor,
}

/// How far slots that were missed are counted.
pub const MAX_COUNTED: u32 = 1_000;

impl Cursor {
    /// The cursor of an entry that is seen for the first time: nothing before that is due.
    #[must_use]
    pub fn new(entry: &Entry, fingerprint: String, now: Timestamp) -> Self {
        let next = entry.next(now).map(|slot| slot.at);
        Self { fingerprint, last: None, next, state: State::Active }
    }

    /// The cursor of an entry as its spec has it now: itself where nothing changed that decides when it is due; else it
    /// begins at this time, and what the new entry names before is never due.
    #[must_use]
    pub fn seen(&self, entry: &Entry, fingerprint: &str, now: Timestamp) -> Self {
        if self.fingerprint == fingerprint {
            return self.clone();
        }
        let from = self.last.map_or(now, |last| last.max(now));
        let next = entry.next(from).map(|slot| slot.at);
        Self { fingerprint: fingerprint.to_owned(), next, ..self.clone() }
    }

    /// Starts nothing until it is resumed, or until a time.
    #[must_use]
    pub fn paused(&self, until: Option<Timestamp>, by: String, why: String) -> Self {
        Self { state: State::Paused { until, by, why }, ..self.clone() }
    }

    /// Goes on with the next slot in the future; with `catch_up` as if nothing had looked at the clock meanwhile.
    #[must_use]
    pub fn resumed(&self, entry: &Entry, catch_up: bool, now: Timestamp) -> Self {
        let state = State::Active;
        if catch_up {
            return Self { state, ..self.clone() };
        }
        self.beginning(entry, now, state)
    }

    /// The same, with its next slot after an instant; it never goes back.
    fn beginning(&self, entry: &Entry, after: Timestamp, state: State) -> Self {
        let after = self.last.map_or(after, |last| last.max(after));
        let next = entry.next(after).map(|slot| slot.at);
        let next = match (self.next, next) {
            (Some(known), Some(next)) => Some(next.max(known)),
            (_, next) => next,
        };
        Self { next, state, ..self.clone() }
    }

    /// What is due at a time, and at the times up to `ahead` after it: a start is made before its time, and waits. `None`
    /// when nothing is, and the cursor stays. With `enabled` false all slots are passed over.
    ///
    /// A slot of the last [`IN_TIME`] is in time, and is started whatever the entry says of missed ones. Of those before,
    /// the entry says which are made up for.
    #[must_use]
    pub fn due(
        &self,
        entry: &Entry,
        missing: Missing,
        enabled: bool,
        now: Timestamp,
        ahead: TimeDelta,
    ) -> Option<Due> {
        let active = match &self.state {
            State::Active => self.clone(),
            State::Paused { until: Some(until), .. } if *until <= now => {
                self.beginning(entry, *until, State::Active)
            }
            State::Paused { .. } | State::Halted => return None,
        };
        let until = now + ahead;
        let first = active.next.filter(|next| *next <= until)?;
        let last = entry.last(first, until).map_or(first, |slot| slot.at);
        let moved = |state: State| Cursor {
            last: Some(last),
            next: entry.next(last).map(|slot| slot.at),
            state,
            ..active.clone()
        };
        let passed = |started: usize| {
            let all = count(entry, first, last);
            all.saturating_sub(u32::try_from(started).unwrap_or(u32::MAX))
        };
        if !enabled {
            return Some(Due { start: Vec::new(), passed_over: passed(0), cursor: moved(State::Active) });
        }
        let late = now - IN_TIME;
        let in_time: Vec<Slot> = from(entry, first.max(late), last).collect();
        let made_up_for = first.max(now - missing.window.unwrap_or_else(|| period(entry, last).min(WINDOW)));
        let start = match missing.catch_up {
            CatchUp::Last if in_time.is_empty() => from(entry, last.max(made_up_for), last).collect(),
            CatchUp::None | CatchUp::Last => in_time,
            CatchUp::All => {
                let max = missing.max.unwrap_or(MAX_MISSED) as usize;
                let missed = from(entry, made_up_for, last).take_while(|slot| slot.at < late);
                let missed: Vec<Slot> = missed.take(max + 1).collect();
                if missed.len() > max {
                    let cursor = Cursor { state: State::Halted, ..active };
                    return Some(Due { start: Vec::new(), passed_over: 0, cursor });
                }
                missed.into_iter().chain(in_time).collect()
            }
        };
        Some(Due { passed_over: passed(start.len()), start, cursor: moved(State::Active) })
    }
}

/// The slots from one instant to another, both included.
fn from(entry: &Entry, first: Timestamp, last: Timestamp) -> impl Iterator<Item = Slot> + '_ {
    entry.slots(first - TimeDelta::seconds(1)).take_while(move |slot| slot.at <= last)
}

/// How many slots there are from one instant to another, as far as they are counted.
fn count(entry: &Entry, first: Timestamp, last: Timestamp) -> u32 {
    from(entry, first, last).take(MAX_COUNTED as usize).count().try_into().unwrap_or(MAX_COUNTED)
}

/// The time from a slot to the next.
fn period(entry: &Entry, slot: Timestamp) -> TimeDelta {
    entry.next(slot).map_or(WINDOW, |next| next.at - slot)
}
