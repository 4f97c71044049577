//! The slots of a backfill, in its order: those of the function that fires.

use std::collections::BTreeSet;

use chrono::TimeDelta;
use serde_json::{Map, Value};

use super::super::cron::Slot;
use super::super::entry::Entry;
use super::super::planned::{JobSchedule, PlannedEntry};
use super::super::timetable::Start;
use super::{Backfill, Only, Place, Underway};
use crate::Timestamp;
use crate::request::schedule_key;

/// Less than any two slots are apart.
const MOMENT: TimeDelta = TimeDelta::microseconds(1);

/// The job's schedule is not as it was when the backfill began.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("entry {entry} of the schedule was changed since the backfill began")]
pub struct Stale {
    /// The entry, as it was counted then.
    pub entry: usize,
}

/// A slot that is to be dealt with.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WantedSlot {
    /// Where it stands.
    pub place: Place,
    /// The start, under the key that a run of this backfill has; without the slot before it.
    pub start: Start,
    /// The key that the clock gives to a run of the slot.
    pub clocks: String,
}

impl WantedSlot {
    pub(super) fn underway(&self) -> Underway {
        let Start { entry, slot, key, .. } = &self.start;
        Underway { slot: slot.at, entry: *entry, key: key.clone() }
    }

    /// The key that another backfill, with this id, gives to a run of the slot where it does not give it the clock's.
    #[must_use]
    pub fn key_of(&self, other: &str) -> String {
        format!("backfill:{other}:{}", self.clocks)
    }
}

/// An entry whose slots are walked along.
struct Line<'a> {
    entry: usize,
    planned: &'a PlannedEntry,
    asked: Entry,
    until: Timestamp,
    /// The slot that comes next.
    head: Option<Slot>,
}

/// Walks along the slots.
struct Walk<'a> {
    of: &'a Backfill,
    /// One for each part.
    lines: Vec<Line<'a>>,
    /// Slots of the instant under way, from the last to the next.
    ready: Vec<WantedSlot>,
}

impl Backfill {
    /// The slots that are still to be dealt with, in order. Of entries that give their runs the same at the same time it
    /// is the first: they are one run by the clock, too.
    ///
    /// # Errors
    /// [`Stale`] when an entry is not what it was when the backfill began.
    pub fn coming<'a>(
        &'a self,
        plan: &'a JobSchedule,
    ) -> Result<impl Iterator<Item = WantedSlot> + 'a, Stale> {
        let lines = self.parts.iter().map(|part| {
            let gives_the_same =
                |planned: &PlannedEntry| part.given.as_ref().is_none_or(|given| planned.given == *given);
            let is_same =
                |planned: &&PlannedEntry| planned.fingerprint == part.fingerprint && gives_the_same(planned);
            let at_place = plan.entries.get(part.entry).and_then(|planned| planned.as_ref().ok());
            let moved = || {
                let all = plan.entries.iter().enumerate();
                let mut all = all.filter_map(|(entry, planned)| Some((entry, planned.as_ref().ok()?)));
                all.find(|(_, planned)| is_same(planned))
            };
            let found = at_place.filter(is_same).map(|planned| (part.entry, planned)).or_else(moved);
            let (entry, planned) = found.ok_or(Stale { entry: part.entry })?;
            let asked = planned.entry(part.since);
            let (from, until) = (self.from, part.until);
            let head = match (self.at, self.reverse) {
                (None, false) => first(&asked, from, until),
                (None, true) => last(&asked, from, until),
                (Some(place), false) => first(&asked, place.slot.max(from), until),
                (Some(place), true) => last(&asked, from, place.slot.min(until)),
            };
            Ok(Line { entry, planned, asked, until, head })
        });
        let lines = lines.collect::<Result<Vec<_>, _>>()?;
        let walk = Walk { of: self, lines, ready: Vec::new() };
        Ok(walk.skip_while(|wanted| {
            self.at.is_some_and(|at| wanted.place.slot == at.slot && wanted.place.part <= at.part)
        }))
    }

    /// The start of a slot, with the slot before it, and its entry; `None` when it is not a slot of the plan.
    #[must_use]
    pub fn start<'a>(&self, plan: &'a JobSchedule, wanted: &WantedSlot) -> Option<(&'a PlannedEntry, Start)> {
        let planned = plan.entries.get(wanted.start.entry)?.as_ref().ok()?;
        let asked = planned.entry(self.parts.get(wanted.place.part)?.since);
        let at = wanted.start.slot.at;
        let previous = asked.previous(at).map(|slot| slot.at);
        Some((planned, Start { previous, ..wanted.start.clone() }))
    }

    /// The key of a run of this backfill, for a slot that the clock gives a key.
    pub(super) fn own_key(&self, clocks: &str) -> String {
        match self.only {
            Only::Missing => clocks.to_owned(),
            Only::Failed | Only::All => format!("backfill:{}:{clocks}", self.id),
        }
    }
}

impl Walk<'_> {
    /// Takes the slots of the next instant.
    fn take(&mut self) -> Option<()> {
        let heads = self.lines.iter().filter_map(|line| line.head.map(|slot| slot.at));
        let at = if self.of.reverse { heads.max() } else { heads.min() }?;
        let (mut taken, mut keys) = (Vec::new(), BTreeSet::new());
        for (part, line) in self.lines.iter_mut().enumerate() {
            let Some(slot) = line.head.filter(|slot| slot.at == at) else { continue };
            line.head = if self.of.reverse {
                last(&line.asked, self.of.from, at - MOMENT)
            } else {
                first(&line.asked, at + MOMENT, line.until)
            };
            let wanted = line.wanted(self.of, part, slot);
            if keys.insert(wanted.clocks.clone()) {
                taken.push(wanted);
            }
        }
        taken.reverse();
        self.ready = taken;
        Some(())
    }
}

impl Iterator for Walk<'_> {
    type Item = WantedSlot;

    fn next(&mut self) -> Option<WantedSlot> {
        if self.ready.is_empty() {
            self.take()?;
        }
        self.ready.pop()
    }
}

impl Line<'_> {
    fn wanted(&self, of: &Backfill, part: usize, slot: Slot) -> WantedSlot {
        let given = |given: &Option<Map<String, Value>>| given.clone().map(Value::Object);
        let (parameters, globals) = (given(&self.planned.spec.parameters), given(&self.planned.spec.globals));
        let clocks = schedule_key(slot.at, None, parameters.as_ref(), globals.as_ref());
        let key = of.own_key(&clocks);
        let (previous, missed, host) = (None, None, None);
        let start = Start { entry: self.entry, slot, previous, at: slot.at, missed, key, host };
        WantedSlot { place: Place { slot: slot.at, part }, start, clocks }
    }
}

/// The first slot from one instant to another, both included.
pub(super) fn first(entry: &Entry, from: Timestamp, to: Timestamp) -> Option<Slot> {
    entry.next(from - MOMENT).filter(|slot| slot.at <= to)
}

/// The last slot from one instant to another, both included.
pub(super) fn last(entry: &Entry, from: Timestamp, to: Timestamp) -> Option<Slot> {
    let first = first(entry, from, to)?;
    Some(entry.last(first.at, to).unwrap_or(first))
}
