//! Pausing and resuming entries of a schedule: pure rules. The caller writes the timetable on its `rev`, and decides again
//! when another one was first.

use chrono::TimeDelta;

use super::cursor::{Cursor, State};
use super::planned::{JobSchedule, PlannedEntry};
use super::timetable::Timetable;
use crate::Timestamp;

/// The fingerprint of a cursor that was paused while its entry cannot be used, so that the pause is kept once it can.
const UNUSABLE: &str = "-";

/// A pause as it is asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EntryPause {
    /// Until when; until it is resumed where `None`.
    pub until: Option<Timestamp>,
    /// The person or program that asks for it.
    pub by: String,
    /// Why.
    pub why: String,
}

/// The outcome for an entry.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum HoldOutcome {
    /// It was paused, or its pause was replaced.
    Paused,
    /// It goes on.
    Resumed,
    /// It was neither paused nor halted.
    Unchanged,
    /// It would halt again at once, as it missed more than it may make up for.
    WouldHalt,
}

/// A timetable with entries paused or resumed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HeldTimetable {
    /// The record to write: due at once, so that runs which were made ahead are withdrawn. `None` where nothing changes.
    pub next: Option<Timetable>,
    /// The outcome for each entry that was asked for, by its place.
    pub outcomes: Vec<(usize, HoldOutcome)>,
}

impl Timetable {
    /// The timetable with entries paused: all of them, or one. An entry that nothing has looked at yet is taken as it was
    /// when its spec was put, so that it is found paused when something does.
    #[must_use]
    pub fn paused(
        &self,
        plan: &JobSchedule,
        which: Option<usize>,
        pause: &EntryPause,
        now: Timestamp,
    ) -> HeldTimetable {
        self.hold(plan, which, now, |mut cursor, _| {
            // The runs are cancelled by the caller, or else by the next look.
            cursor.take_back(now);
            let EntryPause { until, by, why } = pause.clone();
            let fingerprint = match cursor.fingerprint.as_str() {
                "" => UNUSABLE.to_owned(),
                known => known.to_owned(),
            };
            (Cursor { fingerprint, ..cursor.paused(until, by, why) }, HoldOutcome::Paused)
        })
    }

    /// The timetable with entries resumed that are paused or halted: all of them, or one. They wait for their next slot
    /// after `now`; with `catch_up` they make up for what they missed, as their specs say.
    #[must_use]
    pub fn resumed(
        &self,
        plan: &JobSchedule,
        which: Option<usize>,
        catch_up: bool,
        now: Timestamp,
    ) -> HeldTimetable {
        self.hold(plan, which, now, |cursor, planned| {
            if !matches!(cursor.state, State::Paused { .. } | State::Halted) {
                return (cursor, HoldOutcome::Unchanged);
            }
            let Some(planned) = planned else {
                let watch = cursor.watch.restarted();
                return (Cursor { state: State::Active, watch, ..cursor }, HoldOutcome::Resumed);
            };
            let (entry, local) = (planned.entry(cursor.since), now - planned.jitter);
            if catch_up {
                let next = cursor.resumed(&entry, true, local);
                let due = next.due(&entry, planned.missing, local, TimeDelta::zero());
                let halts = due.is_some_and(|due| due.cursor.state == State::Halted);
                return if halts { (cursor, HoldOutcome::WouldHalt) } else { (next, HoldOutcome::Resumed) };
            }
            // An edit that nothing has looked at yet counts from now on, not from when it was made.
            let is_edited = cursor.fingerprint != planned.fingerprint && cursor.ahead.is_empty();
            let cursor = if is_edited {
                let seen = planned.first_seen(now);
                cursor.seen(&planned.entry(seen), &planned.fingerprint, seen)
            } else {
                cursor
            };
            let entry = planned.entry(cursor.since);
            (cursor.resumed(&entry, false, local), HoldOutcome::Resumed)
        })
    }

    fn hold(
        &self,
        plan: &JobSchedule,
        which: Option<usize>,
        now: Timestamp,
        change: impl Fn(Cursor, Option<&PlannedEntry>) -> (Cursor, HoldOutcome),
    ) -> HeldTimetable {
        let seen = self.changed.map_or(now, |changed| changed.min(now));
        // How each entry is when it is seen for the first time. Nothing is due then.
        let fresh = Self::new(self.job_id.clone(), seen).look(plan, seen, TimeDelta::zero()).next.cursors;
        let mut outcomes = Vec::new();
        let mut changes = false;
        let current = self.caught_up(plan, now);
        let matched = current.matched(plan);
        let mut cursors = Vec::with_capacity(matched.len());
        for (index, known) in matched.into_iter().enumerate() {
            let planned = plan.entries.get(index).and_then(|planned| planned.as_ref().ok());
            let known = known.unwrap_or_else(|| match planned {
                // By its fingerprint it is found again, whatever becomes of its place.
                Some(_) => Cursor { unseen: true, ..fresh[index].clone() },
                None => Cursor::unusable(seen),
            });
            let is_asked = index < plan.entries.len() && which.is_none_or(|which| which == index);
            if !is_asked {
                cursors.push(known);
                continue;
            }
            let is_known = planned.is_none_or(|planned| !known.is_unseen() || known.is_due_as(planned));
            let before = if is_known { known.clone() } else { fresh[index].clone() };
            let (after, outcome) = change(before, planned);
            outcomes.push((index, outcome));
            if matches!(outcome, HoldOutcome::Paused | HoldOutcome::Resumed) {
                changes = true;
                cursors.push(after);
            } else {
                cursors.push(known);
            }
        }
        let next = changes.then(|| Self { rev: self.rev + 1, due_at: Some(now), cursors, ..current });
        HeldTimetable { next, outcomes }
    }
}
