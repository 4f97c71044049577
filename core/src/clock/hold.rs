//! Pausing and resuming entries of a schedule: pure rules. The caller writes the timetable on its `rev`, and decides again
//! when another one was first.

use chrono::TimeDelta;

use super::cursor::{Cursor, IN_TIME, State, WINDOW, period};
use super::planned::{JobSchedule, PlannedEntry};
use super::timetable::Timetable;
use crate::Timestamp;
use crate::duration::Span;
use crate::spec::CatchUp;

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

/// The starts of an entry that is resumed, with catching up.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct MadeUp {
    /// How many of its slots are started at the next look.
    pub starts: u32,
    /// How many are passed over, as far as they are counted.
    pub passed_over: u32,
    /// Why those are passed over.
    pub why: Option<String>,
}

/// A timetable with entries paused or resumed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HeldTimetable {
    /// The record to write: due at once, so that runs which were made ahead are withdrawn. `None` where nothing changes.
    pub next: Option<Timetable>,
    /// The outcome for each entry that was asked for, by its place.
    pub outcomes: Vec<(usize, HoldOutcome)>,
    /// The starts of those entries that are resumed with catching up.
    pub made_up: Vec<(usize, MadeUp)>,
}

/// The outcome for an entry, with its cursor.
struct Held {
    cursor: Cursor,
    outcome: HoldOutcome,
    made_up: Option<MadeUp>,
}

impl Held {
    const fn new(cursor: Cursor, outcome: HoldOutcome) -> Self {
        Self { cursor, outcome, made_up: None }
    }
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
            Held::new(Cursor { fingerprint, ..cursor.paused(until, by, why) }, HoldOutcome::Paused)
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
                return Held::new(cursor, HoldOutcome::Unchanged);
            }
            let Some(planned) = planned else {
                let watch = cursor.watch.restarted();
                return Held::new(Cursor { state: State::Active, watch, ..cursor }, HoldOutcome::Resumed);
            };
            if catch_up {
                return caught_up(cursor, planned, plan.enabled, now);
            }
            // An edit that nothing has looked at yet counts from now on, not from when it was made.
            let is_edited = cursor.fingerprint != planned.fingerprint && cursor.ahead.is_empty();
            let cursor =
                if is_edited { cursor.seen(&planned.entry(now), &planned.fingerprint, now) } else { cursor };
            let entry = planned.entry(cursor.since);
            Held::new(cursor.resumed(&entry, false, planned.begun_by(now)), HoldOutcome::Resumed)
        })
    }

    fn hold(
        &self,
        plan: &JobSchedule,
        which: Option<usize>,
        now: Timestamp,
        change: impl Fn(Cursor, Option<&PlannedEntry>) -> Held,
    ) -> HeldTimetable {
        let seen = self.changed.map_or(now, |changed| changed.min(now));
        // How each entry is when it is seen for the first time. Nothing is due then.
        let fresh = Self::new(self.job_id.clone(), seen).look(plan, seen, TimeDelta::zero()).next.cursors;
        let (mut outcomes, mut made_up) = (Vec::new(), Vec::new());
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
            let before = match planned {
                Some(planned) if before.lapsed && plan.enabled => {
                    before.anew(&planned.entry(before.since), seen)
                }
                _ => before,
            };
            let Held { cursor: after, outcome, made_up: caught_up } = change(before, planned);
            outcomes.push((index, outcome));
            made_up.extend(caught_up.map(|caught_up| (index, caught_up)));
            if matches!(outcome, HoldOutcome::Paused | HoldOutcome::Resumed) {
                changes = true;
                cursors.push(after);
            } else {
                cursors.push(known);
            }
        }
        let next = changes.then(|| Self { rev: self.rev + 1, due_at: Some(now), cursors, ..current });
        HeldTimetable { next, outcomes, made_up }
    }
}

/// An entry that goes on with what it missed, unless it would halt again.
fn caught_up(cursor: Cursor, planned: &PlannedEntry, enabled: bool, now: Timestamp) -> Held {
    let (entry, begun) = (planned.entry(cursor.since), planned.begun_by(now));
    let next = cursor.resumed(&entry, true, begun);
    let Some(due) = next.due(&entry, planned.missing, begun, TimeDelta::zero()) else {
        return Held { made_up: Some(MadeUp::default()), ..Held::new(next, HoldOutcome::Resumed) };
    };
    if due.cursor.state == State::Halted {
        return Held::new(cursor, HoldOutcome::WouldHalt);
    }
    let left = planned.spec.max_runs.map_or(u32::MAX, |max| max.as_u32().saturating_sub(next.started));
    let left = if enabled { left } else { 0 };
    let starts = u32::try_from(due.start.len()).unwrap_or(u32::MAX).min(left);
    let late = due.start.iter().filter(|slot| slot.at < begun - IN_TIME).count();
    let late = u32::try_from(late).unwrap_or(u32::MAX);
    let missed = due.missed.as_ref().map_or(0, |missed| missed.count);
    let passed_over = missed.saturating_sub(late.min(left));
    let last = due.cursor.last.unwrap_or(begun);
    let window = planned.missing.window.unwrap_or_else(|| period(&entry, last).min(WINDOW));
    let is_old = due.missed.as_ref().is_some_and(|missed| missed.to < begun - window);
    let span = Span::from(window.to_std().unwrap_or_default());
    let why = match planned.missing.catch_up {
        _ if passed_over == 0 => None,
        _ if !enabled => Some("the job is not enabled".to_owned()),
        _ if left < late => Some("max_runs allows no more".to_owned()),
        CatchUp::None => Some("catch_up is none".to_owned()),
        CatchUp::Last if !is_old => Some("catch_up is last".to_owned()),
        CatchUp::Last | CatchUp::All => Some(format!("they are older than the window of {span}")),
    };
    let made_up = Some(MadeUp { starts, passed_over, why });
    Held { made_up, ..Held::new(next, HoldOutcome::Resumed) }
}
