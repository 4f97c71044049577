//! The coming starts of a schedule: pure rules, over the functions that fire.

use chrono::{Offset, SecondsFormat, SubsecRound, TimeDelta, TimeZone};
use chrono_tz::Tz;

use super::cron::{ClockChange, Slot};
use super::cursor::{Cursor, State};
use super::entry::Entry;
use super::planned::{JobSchedule, PlannedEntry};
use super::timetable::Timetable;
use crate::Timestamp;

/// Most starts that are counted to learn when the last one of an entry with `max_runs` comes.
const MAX_COUNTED: u32 = 100_000;

/// An entry as it stands at a time.
#[derive(Clone, Debug)]
pub struct Standing<'a> {
    /// Its place in the schedule, from 0.
    pub entry: usize,
    /// The entry; `None` where its spec cannot be used.
    pub planned: Option<&'a PlannedEntry>,
    /// How far it has come: as stored, else as it is when it is first seen.
    pub cursor: Cursor,
    /// Slots that are due and wait for a server to start them.
    pub overdue: Vec<Slot>,
    /// That of them whose start is not late by the jitter: the one of an entry that starts its job as soon as it is seen.
    pub at_once: Option<Timestamp>,
    /// Slots whose runs were made ahead of their time and wait for it, in order.
    pub waiting: Vec<Timestamp>,
    /// The last slot that was started or passed over, as far as that is known: none that is still to come.
    pub last: Option<Timestamp>,
    /// How many starts were made, as far as that is known, without those that wait.
    pub started: u32,
    /// Why its spec cannot be used, or why its last start was refused.
    pub trouble: Option<String>,
}

/// Each entry of a job as it stands at a time, in order. Nothing is started by this.
#[must_use]
pub fn standings<'a>(plan: &'a JobSchedule, timetable: &Timetable, now: Timestamp) -> Vec<Standing<'a>> {
    let looked = timetable.look(plan, now, TimeDelta::zero());
    let entries = plan.entries.iter().zip(looked.next.cursors).enumerate();
    let standing = |(entry, (planned, cursor)): (usize, (&'a Result<PlannedEntry, _>, Cursor))| {
        // A run that is named and still to be made may come later.
        let own = || looked.starts.iter().filter(move |start| start.entry == entry && start.at <= now);
        let overdue = own().map(|start| start.slot);
        let at_once = own().find(|start| start.at == start.slot.at).map(|start| start.at);
        // The look says what it would start as the last; the record says what was started.
        let is_same =
            |known: &&Cursor| known.fingerprint == cursor.fingerprint && known.given == cursor.given;
        let at_place = timetable.cursors.get(entry).filter(is_same);
        let stored = at_place.or_else(|| timetable.cursors.iter().find(is_same));
        let usable = planned.as_ref().ok();
        let (last, started) = stored.map_or((None, 0), |known| begun(known, usable, now));
        let last = last.max(stored.and_then(|known| known.at_once));
        let waiting = waiting(&cursor, usable, now);
        let trouble = match planned {
            Ok(_) => {
                let stored = at_place.and_then(|known| known.trouble.clone());
                cursor.trouble.clone().or(stored)
            }
            Err(error) => Some(error_text(error)),
        };
        Standing {
            entry,
            planned: usable,
            overdue: overdue.collect(),
            at_once,
            waiting,
            last,
            started,
            trouble,
            cursor,
        }
    };
    entries.map(standing).collect()
}

/// The slots whose runs were made ahead of their time, which is still to come, in order. On each of several hosts it is one.
fn waiting(cursor: &Cursor, planned: Option<&PlannedEntry>, now: Timestamp) -> Vec<Timestamp> {
    let made = cursor.ahead.iter().filter(|made| made.at > now);
    let made = made.map(|made| planned.map_or(made.at, |planned| planned.begun_by(made.at)));
    let mut slots: Vec<Timestamp> = made.collect();
    slots.sort_unstable();
    slots.dedup();
    slots
}

/// The last slot of an entry that was started or passed over, and how many starts there were. The record counts runs that
/// were made ahead of their time, of which nothing has begun.
fn begun(known: &Cursor, planned: Option<&PlannedEntry>, now: Timestamp) -> (Option<Timestamp>, u32) {
    let waiting = waiting(known, planned, now);
    let started = known.started.saturating_sub(u32::try_from(waiting.len()).unwrap_or(u32::MAX));
    let before = waiting.first().map(|first| *first - TimeDelta::microseconds(1));
    let begun = planned.map_or(now, |planned| planned.begun_by(now));
    let latest = before.into_iter().chain([begun]).min().unwrap_or(now);
    if known.last.is_none_or(|last| last <= latest) {
        return (known.last, started);
    }
    // All slots up to the last of the record were started or passed over, since the entry was first seen.
    let first = known.since.trunc_subsecs(0) + TimeDelta::seconds(1);
    let last = planned
        .filter(|_| first <= latest)
        .and_then(|planned| planned.entry(known.since).last(first, latest).map(|slot| slot.at));
    (last, started)
}

fn error_text(error: &super::planned::BadEntry) -> String {
    error.0.clone()
}

impl<'a> Standing<'a> {
    /// The state in one word: that of its cursor, else `broken` where the spec cannot be used, `over` where no slot comes
    /// any more, and `reboot` where it waits for the start of the service.
    #[must_use]
    pub fn word(&self) -> &'static str {
        match &self.cursor.state {
            State::Paused { .. } => "paused",
            State::Halted => "halted",
            _ if self.planned.is_none() => "broken",
            State::Disabled => "disabled",
            State::Active if self.planned.is_some_and(PlannedEntry::is_reboot) => "reboot",
            State::Active if self.next_slot().is_none() => "over",
            State::Active => "active",
        }
    }

    /// Why nothing is started by it, in a sentence; `None` where something is.
    #[must_use]
    pub fn silence(&self) -> Option<String> {
        let told = match &self.cursor.state {
            _ if self.planned.is_none() => {
                format!("cannot be used: {}", self.trouble.as_deref().unwrap_or("its spec is invalid"))
            }
            State::Paused { until, by, why } => {
                let until = until.map(|until| format!(" until {}", utc(until))).unwrap_or_default();
                let by = if by.is_empty() { String::new() } else { format!(" by {by}") };
                let why = if why.is_empty() { String::new() } else { format!(": {why}") };
                format!("paused{until}{by}{why}")
            }
            State::Halted => match &self.trouble {
                Some(why) => format!("halted: {why}"),
                None => "halted: it missed more starts than it may make up for".to_owned(),
            },
            State::Disabled => "the job is not enabled: nothing starts it".to_owned(),
            State::Active => match self.word() {
                "reboot" => "starts when the service starts, at no time".to_owned(),
                "over" => "no slot comes any more".to_owned(),
                _ => return None,
            },
        };
        Some(told)
    }

    /// The same at a time to come: a pause may have ended by then.
    #[must_use]
    pub fn silence_at(&self, at: Timestamp) -> Option<String> {
        match self.cursor.state {
            State::Paused { until: Some(until), .. } if until <= at => None,
            _ => self.silence(),
        }
    }

    /// The next slot that is started: one that is overdue, one whose run waits for its time, or one to come.
    #[must_use]
    pub fn next_slot(&self) -> Option<Timestamp> {
        match self.cursor.state {
            State::Active => {
                let overdue = self.overdue.first().map(|slot| slot.at);
                overdue.into_iter().chain(self.waiting.first().copied()).chain(self.cursor.next).min()
            }
            State::Paused { until: Some(until), .. } => self.upcoming(until).next().map(|slot| slot.at),
            _ => None,
        }
    }

    /// The entry as it is asked when it is due; `None` where its spec cannot be used.
    #[must_use]
    pub fn asked(&self) -> Option<Entry> {
        self.planned.map(|planned| planned.entry(self.cursor.since))
    }

    /// The slots that will be started after a time, in order: those that are overdue, then those to come. A pause without
    /// an end, a halt and a job that is not enabled leave none; starts that `max_runs` cuts off are not among them.
    #[must_use]
    pub fn upcoming(&self, now: Timestamp) -> Upcoming {
        let none = Upcoming { overdue: Vec::new().into_iter(), entry: None, next: None, left: None };
        let (Some(planned), Some(entry)) = (self.planned, self.asked()) else { return none };
        let cursor = match &self.cursor.state {
            State::Active => self.cursor.clone(),
            State::Paused { until: Some(until), .. } => {
                self.cursor.awake(&entry, planned.jitter, (*until).max(now))
            }
            _ => return none,
        };
        // A run that was made ahead of its time is still to come.
        let first = self.waiting.first().copied().into_iter().chain(cursor.next).min();
        let next = first.and_then(|first| entry.next(first - TimeDelta::seconds(1)));
        let max = planned.spec.max_runs.map(|max| max.as_u32());
        let waiting = u32::try_from(self.waiting.len()).unwrap_or(0);
        // The cursor counts what is overdue and what was made ahead as started.
        let left = max.map(|max| max.saturating_sub(cursor.started).saturating_add(waiting));
        Upcoming { overdue: self.overdue.clone().into_iter(), entry: Some(entry), next, left }
    }

    /// How much later than a slot its start is.
    #[must_use]
    pub fn later(&self, slot: Timestamp) -> TimeDelta {
        let later = self.planned.map_or(TimeDelta::zero(), |planned| planned.start_of(slot) - slot);
        if self.at_once == Some(slot) { TimeDelta::zero() } else { later }
    }

    /// Notes on a slot: a change of clock, a move by calendars, jitter.
    #[must_use]
    pub fn notes(&self, slot: &Slot) -> Vec<String> {
        let mut notes = self.changes(slot);
        if self.planned.is_some_and(PlannedEntry::is_for_all_nodes) {
            notes.push("on each host".to_owned());
        }
        let later = self.later(slot.at);
        if later > TimeDelta::zero() {
            notes.push(format!("starts {}s later (jitter)", later.num_seconds()));
        }
        notes
    }

    /// What a change of clock and calendars do to a slot.
    #[must_use]
    pub fn changes(&self, slot: &Slot) -> Vec<String> {
        let mut notes = Vec::new();
        let Some(planned) = self.planned else { return notes };
        let local =
            slot.local.format(if slot.local.format("%S").to_string() == "00" { "%H:%M" } else { "%H:%M:%S" });
        match slot.change {
            Some(ClockChange::Skipped(1)) => {
                notes.push(format!("{local} does not exist: first instant after it"));
            }
            Some(ClockChange::Skipped(count)) => {
                notes.push(format!("{local} does not exist: first instant after it, for {count} slots"));
            }
            Some(ClockChange::Later) => {
                let zone = planned.zone;
                let later = slot.at.with_timezone(&zone).format("%H:%M");
                notes.push(format!("{local} does not exist: it is {later}"));
            }
            Some(ClockChange::First) => notes.push(format!("{local} comes twice: the first")),
            Some(ClockChange::Second) => notes.push(format!("{local} comes twice: the second")),
            None => {}
        }
        notes.extend(slot.moved_from.map(|from| format!("moved from {from} by its calendars")));
        notes
    }

    /// The slots from one instant to another, whatever the entry's state is, which a change of clock or its calendars touch.
    /// Where no calendar moves slots, only the days around changes of the clock are looked at.
    #[must_use]
    pub fn touched(&self, from: Timestamp, to: Timestamp) -> Touched {
        let (mut touched, mut looked_at) = (Touched::default(), 0);
        let Some(planned) = self.planned else { return touched };
        let windows = match planned.has_calendars() {
            true => vec![(from, to)],
            false => around_changes(planned.zone, from, to),
        };
        for (begin, end) in windows {
            let slots = self.named_after(begin - TimeDelta::microseconds(1));
            for slot in slots.take_while(|slot| slot.at <= end) {
                looked_at += 1;
                if looked_at > MAX_COUNTED {
                    touched.looked_to = Some(slot.at);
                    return touched;
                }
                if slot.change.is_some() || slot.moved_from.is_some() {
                    touched.slots.push(slot);
                }
            }
        }
        touched
    }

    /// The slots that the entry names after an instant, whatever its state is.
    #[must_use]
    pub fn named_after(&self, after: Timestamp) -> Upcoming {
        let entry = self.asked();
        let next = entry.as_ref().and_then(|entry| entry.next(after));
        Upcoming { overdue: Vec::new().into_iter(), entry, next, left: None }
    }
}

/// The slots that a change of clock or calendars touch, in order.
#[derive(Clone, Debug, Default)]
pub struct Touched {
    /// The slots.
    pub slots: Vec<Slot>,
    /// Up to when slots were looked at, where there are too many to look at all.
    pub looked_to: Option<Timestamp>,
}

/// The slots of an entry, in order.
#[derive(Clone, Debug)]
pub struct Upcoming {
    overdue: std::vec::IntoIter<Slot>,
    entry: Option<Entry>,
    next: Option<Slot>,
    /// How many starts are left, where `max_runs` says so.
    left: Option<u32>,
}

impl Iterator for Upcoming {
    type Item = Slot;

    fn next(&mut self) -> Option<Slot> {
        if let Some(overdue) = self.overdue.next() {
            return Some(overdue);
        }
        if self.left == Some(0) {
            return None;
        }
        let slot = self.next?;
        self.next = self.entry.as_ref()?.next(slot.at);
        self.left = self.left.map(|left| left - 1);
        Some(slot)
    }
}

impl Upcoming {
    /// The same without slots before an instant, which count for `max_runs`.
    #[must_use]
    pub fn from(mut self, from: Timestamp) -> Self {
        self.overdue = self.overdue.filter(|slot| slot.at >= from).collect::<Vec<_>>().into_iter();
        let mut counted = 0;
        while self.left.is_some() && counted < MAX_COUNTED && self.next.is_some_and(|slot| slot.at < from) {
            if Iterator::next(&mut self).is_none() {
                return self;
            }
            counted += 1;
        }
        if self.next.is_some_and(|slot| slot.at < from) {
            self.next = self.entry.as_ref().and_then(|entry| entry.next(from - TimeDelta::seconds(1)));
        }
        self
    }
}

/// The times around changes of a zone's clock, with a day before and after each: they do not overlap.
fn around_changes(zone: Tz, from: Timestamp, to: Timestamp) -> Vec<(Timestamp, Timestamp)> {
    let day = TimeDelta::days(1);
    let offset = |at: Timestamp| zone.offset_from_utc_datetime(&at.naive_utc()).fix();
    let days = std::iter::successors(Some(from - day), |at| Some(*at + day)).take_while(|at| *at <= to);
    let mut windows: Vec<(Timestamp, Timestamp)> = Vec::new();
    for at in days.filter(|at| offset(*at) != offset(*at + day)) {
        let begin = windows.last().map_or(from, |(_, end)| *end + TimeDelta::microseconds(1)).max(at - day);
        windows.push((begin, to.min(at + day * 2)));
    }
    windows
}

/// An instant in UTC: `2026-11-29T01:30:00Z`.
#[must_use]
pub fn utc(at: Timestamp) -> String {
    at.to_rfc3339_opts(SecondsFormat::Secs, true)
}

/// An instant in a zone, with its offset: `2026-11-29T02:30:00+01:00`.
#[must_use]
pub fn local(at: Timestamp, zone: Tz) -> String {
    at.with_timezone(&zone).to_rfc3339_opts(SecondsFormat::Secs, false)
}
