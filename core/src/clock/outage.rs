//! The catch-up after an outage, foretold by the rules that catch up.

use chrono::TimeDelta;

use super::cron::Slot;
use super::cursor::{Cursor, IN_TIME, Missed, State};
use super::planned::JobSchedule;
use super::preview::standings;
use super::timetable::Timetable;
use crate::Timestamp;

/// The recovery of an entry after an outage.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Recovery {
    /// Its place in the schedule, from 0.
    pub entry: usize,
    /// The slots that were missed; `None` where none was.
    pub missed: Option<Missed>,
    /// Missed slots that are started at the end of the outage.
    pub made_up: Vec<Slot>,
    /// Slots of the last [`IN_TIME`], which are started as if nothing had been.
    pub in_time: Vec<Slot>,
    /// Whether it missed more than it may make up for, and waits to be resumed.
    pub halts: bool,
    /// Why it starts nothing anyway, at the end of the outage.
    pub silence: Option<String>,
}

impl Recovery {
    /// How many of the missed slots are never started, as far as they were counted.
    #[must_use]
    pub fn passed_over(&self) -> u32 {
        let missed = self.missed.as_ref().map_or(0, |missed| missed.count);
        missed.saturating_sub(u32::try_from(self.made_up.len()).unwrap_or(u32::MAX))
    }
}

/// The recovery of each entry of a job when nothing looks at the clock between two times, by order. `now` is when the
/// question is asked: entries that are paused then start nothing until their pause ends, which may be before the outage or
/// within it.
#[must_use]
pub fn after_outage(
    plan: &JobSchedule,
    timetable: &Timetable,
    down: (Timestamp, Timestamp),
    now: Timestamp,
) -> Vec<Recovery> {
    let (from, to) = down;
    let standings = standings(plan, timetable, now);
    let silences: Vec<Option<String>> = standings.iter().map(|standing| standing.silence_at(to)).collect();
    let at_from = |standing: &super::preview::Standing<'_>| {
        let Some(planned) = standing.planned else { return standing.cursor.clone() };
        let entry = planned.entry(standing.cursor.since);
        // It was looked at up to the moment before, and has no slots of the time before it was put.
        let since = standing.cursor.since;
        let before = planned.begun_by(from) - TimeDelta::microseconds(1);
        let before = if since <= from { before.max(since) } else { before };
        let next = entry.next(before).map(|slot| slot.at);
        let fingerprint = planned.fingerprint.clone();
        let woken = standing.cursor.awake(&entry, planned.jitter, from);
        Cursor { fingerprint, next, last: None, ahead: Vec::new(), trouble: None, ..woken }
    };
    let cursors = standings.iter().map(at_from).collect();
    let before = Timetable { changed: None, superseded: Vec::new(), cursors, ..timetable.clone() };
    let plan = &JobSchedule { superseded: Vec::new(), ..plan.clone() };
    let looked = before.look(plan, to, TimeDelta::zero());
    let recovery = |(entry, silence): (usize, Option<String>)| {
        let begun = standings[entry].planned.map_or(to, |planned| planned.begun_by(to));
        let starts = looked.starts.iter().filter(|start| start.entry == entry);
        let in_time = begun - IN_TIME;
        let (in_time, made_up): (Vec<_>, Vec<_>) = starts.partition(|start| start.slot.at >= in_time);
        let slots = |starts: &[&super::timetable::Start]| starts.iter().map(|start| start.slot).collect();
        let missed = standings[entry].planned.and_then(|planned| {
            let cursor = &before.cursors[entry];
            let asked = planned.entry(cursor.since);
            let woken = cursor.awake(&asked, planned.jitter, to);
            woken.due(&asked, planned.missing, begun, TimeDelta::zero())?.missed
        });
        let halts = looked.next.cursors[entry].state == State::Halted && silence.is_none();
        Recovery { entry, missed, made_up: slots(&made_up), in_time: slots(&in_time), halts, silence }
    };
    silences.into_iter().enumerate().map(recovery).collect()
}
