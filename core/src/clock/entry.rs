//! One entry of a schedule: when it is due, and within which time it holds.

use chrono::{Days, NaiveDate, NaiveDateTime, NaiveTime, TimeDelta, TimeZone};
use chrono_tz::Tz;

use super::cron::{ClockChange, Cron, Slot, time_of_day};
use crate::Timestamp;
use crate::spec::{Calendar, Shift};

/// How far ahead to search for a day that the calendars leave: an entry without one within ten years has no slot.
const HORIZON: Days = Days::new(3_660);
/// How far back to search for the slot before another one: as far as ahead for the next.
const BEFORE: TimeDelta = TimeDelta::days(3_660);
/// Most slots that are looked at one by one for the slot before another one.
const STEPS: usize = 8;
const SECOND: TimeDelta = TimeDelta::seconds(1);
const DAY: TimeDelta = TimeDelta::days(1);
/// How many days a change of clock can move a slot, and one more.
const MARGIN: Days = Days::new(2);

/// The calendars that an entry keeps to.
#[derive(Clone, Debug, Default)]
pub struct Calendars {
    /// Calendars on whose days it is never due.
    pub skip: Vec<Calendar>,
    /// Calendars on whose days alone it is due, where there are any.
    pub only: Vec<Calendar>,
    /// Where a slot goes that they leave out.
    pub shift: Option<Shift>,
}

impl Calendars {
    /// Whether they leave a day.
    #[must_use]
    pub fn leave(&self, day: NaiveDate) -> bool {
        let is_in = |calendars: &[Calendar]| calendars.iter().any(|calendar| calendar.has(day));
        !is_in(&self.skip) && (self.only.is_empty() || is_in(&self.only))
    }

    /// The first day of those before a day that they leave out, one after the other: slots from there on are shifted to
    /// that day or later ones. As far back as `earliest`.
    fn left_out_before(&self, day: NaiveDate, earliest: NaiveDate) -> NaiveDate {
        let before = std::iter::successors(day.pred_opt(), NaiveDate::pred_opt);
        before.take_while(|day| *day >= earliest && !self.leave(*day)).last().unwrap_or(day)
    }
}

/// The days that slots are shifted to, asked in the order of the slots: no day is looked at twice.
struct Shifted<'a> {
    calendars: &'a Calendars,
    shift: Shift,
    /// The last day to search, and the first.
    last: NaiveDate,
    first: NaiveDate,
    /// The day that was found last.
    found: Option<NaiveDate>,
}

impl Shifted<'_> {
    /// The nearest day that the calendars leave, from one that they leave out; `None` where there is none as far as slots
    /// are searched.
    fn nearest(&mut self, day: NaiveDate) -> Option<NaiveDate> {
        let leaves = |day: &NaiveDate| self.calendars.leave(*day);
        match self.shift {
            Shift::Next => {
                if self.found.is_none_or(|found| found < day) {
                    let after = std::iter::successors(day.succ_opt(), NaiveDate::succ_opt);
                    self.found = after.take_while(|day| *day <= self.last).find(leaves);
                }
                self.found
            }
            Shift::Previous => {
                let before = std::iter::successors(day.pred_opt(), NaiveDate::pred_opt);
                let found = before.take_while(|day| *day >= self.first).find(leaves);
                self.found = found.or(self.found);
                self.first = self.first.max(day);
                self.found
            }
        }
    }
}

/// The timing of an entry.
#[derive(Clone, Debug)]
pub enum Recurrence {
    /// A crontab.
    Cron(Cron),
    /// Each time so much has passed since an instant, through changes of clock.
    Every {
        /// How much, at least a second.
        interval: TimeDelta,
        /// Since when; due for the first time at that instant.
        from: Timestamp,
    },
    /// These slots, in order.
    At(Vec<Slot>),
}

/// An entry that can be asked when it is due.
#[derive(Clone, Debug)]
pub struct Entry {
    /// Its timing.
    pub when: Recurrence,
    /// The zone of its local times.
    pub zone: Tz,
    /// From when it holds. With `from` after `to` it holds outside the two (lava guide, Lava Scheduling Objects).
    pub from: Option<Timestamp>,
    /// Until when it holds, that instant included.
    pub to: Option<Timestamp>,
    /// The calendars that it keeps to; `None` where there are none.
    pub calendars: Option<Calendars>,
}

/// The slot of an instant that a spec names, as a local time where `wall` is one.
pub(super) fn named(at: Timestamp, wall: Option<NaiveDateTime>, zone: Tz) -> Slot {
    use chrono::LocalResult::{Ambiguous, None as Skipped, Single};
    let change = wall.and_then(|wall| match zone.from_local_datetime(&wall) {
        Single(_) => None,
        Ambiguous(..) => Some(ClockChange::First),
        Skipped => Some(ClockChange::Later),
    });
    let local = wall.unwrap_or_else(|| at.with_timezone(&zone).naive_local());
    Slot { at, local, change, moved_from: None }
}

impl Entry {
    /// The first slot after an instant; `None` when there is none any more.
    #[must_use]
    pub fn next(&self, after: Timestamp) -> Option<Slot> {
        let before = |from: Timestamp| from.checked_sub_signed(SECOND).unwrap_or(from);
        match (self.from, self.to) {
            (Some(from), Some(to)) if from > to => {
                let slot = self.fitting_after(after)?;
                if slot.at <= to || slot.at >= from {
                    Some(slot)
                } else {
                    self.fitting_after(after.max(before(from)))
                }
            }
            (from, to) => {
                let begin = from.map_or(after, |from| after.max(before(from)));
                self.fitting_after(begin).filter(|slot| to.is_none_or(|to| slot.at <= to))
            }
        }
    }

    /// The slots after an instant.
    pub fn slots(&self, after: Timestamp) -> impl Iterator<Item = Slot> + '_ {
        std::iter::successors(self.next(after), |slot| self.next(slot.at))
    }

    /// The last slot that is not before `from` and not after `to`, in a number of steps that does not depend on how many
    /// there are.
    #[must_use]
    pub fn last(&self, from: Timestamp, to: Timestamp) -> Option<Slot> {
        let first_after = |seconds: i64| {
            let slot = self.next(to - TimeDelta::seconds(seconds))?;
            (slot.at <= to).then_some(slot)
        };
        // How far back one must look to see one at all: all looks from farther see one, too.
        let (mut none, mut some) = (0, (to - from).num_seconds().checked_add(1)?);
        let mut found = first_after(some).filter(|slot| slot.at >= from)?;
        while some - none > 1 {
            let middle = none + (some - none) / 2;
            match first_after(middle) {
                Some(slot) => (some, found) = (middle, slot),
                None => none = middle,
            }
        }
        Some(found)
    }

    /// The slot before an instant, whatever was started: `None` when there is none within ten years.
    #[must_use]
    pub fn previous(&self, at: Timestamp) -> Option<Slot> {
        // Mostly one is as far behind as the next is ahead, or some are between.
        let mut reach = self.next(at).map_or(DAY, |next| next.at - at).max(SECOND);
        loop {
            reach = reach.min(BEFORE);
            let mut found: Option<Slot> = None;
            for slot in self.slots(at.checked_sub_signed(reach)? - SECOND).take(STEPS) {
                if slot.at >= at {
                    break;
                }
                found = Some(slot);
            }
            if let Some(slot) = found {
                let is_it = self.next(slot.at).is_none_or(|next| next.at >= at);
                return if is_it { found } else { self.last(slot.at, at - SECOND) };
            }
            if reach == BEFORE {
                return None;
            }
            reach = reach * 2;
        }
    }

    /// Whether it holds at an instant, by its window and its calendars.
    #[must_use]
    pub fn holds(&self, at: Timestamp) -> bool {
        let is_begun = self.from.is_none_or(|from| at >= from);
        let goes_on = self.to.is_none_or(|to| at <= to);
        let is_within = match (self.from, self.to) {
            (Some(from), Some(to)) if from > to => is_begun || goes_on,
            _ => is_begun && goes_on,
        };
        let day = at.with_timezone(&self.zone).date_naive();
        is_within && self.calendars.as_ref().is_none_or(|calendars| calendars.leave(day))
    }

    /// The first slot after an instant that the calendars leave, or that is shifted there.
    fn fitting_after(&self, after: Timestamp) -> Option<Slot> {
        let Some(calendars) = &self.calendars else { return self.due_after(after) };
        let today = after.with_timezone(&self.zone).date_naive();
        let horizon = today.checked_add_days(HORIZON)?;
        let earliest = today.checked_sub_days(HORIZON)?;
        let mut at = after;
        if calendars.shift == Some(Shift::Next) {
            // A slot before it may be shifted to after it.
            let from = calendars.left_out_before(today, earliest).checked_sub_days(MARGIN)?;
            let from = calendars.left_out_before(from, earliest).checked_sub_days(MARGIN)?;
            at = from.and_time(NaiveTime::MIN).and_utc();
        }
        let mut shifted = calendars.shift.map(|shift| {
            let first = today.checked_sub_days(MARGIN).unwrap_or(today);
            Shifted { calendars, shift, last: horizon, first, found: None }
        });
        loop {
            let slot = self.due_after(at).filter(|slot| slot.local.date() <= horizon)?;
            at = slot.at;
            let day = slot.local.date();
            let fitting = match &mut shifted {
                _ if calendars.leave(day) => Some(slot),
                Some(shifted) => match shifted.nearest(day) {
                    // Of the days to come they leave none: no later slot has one either.
                    None if shifted.shift == Shift::Next => return None,
                    to => to.and_then(|to| self.moved(slot, to)),
                },
                None => {
                    // Not one by one: a crontab may name each minute of the day.
                    let midnight = day.succ_opt()?.and_time(NaiveTime::MIN);
                    at = time_of_day(midnight, self.zone)?.at.max(at + SECOND) - SECOND;
                    None
                }
            };
            if let Some(slot) = fitting.filter(|slot| slot.at > after) {
                return Some(slot);
            }
        }
    }

    /// A slot on another day, at the same time of it.
    fn moved(&self, slot: Slot, day: NaiveDate) -> Option<Slot> {
        let moved = time_of_day(day.and_time(slot.local.time()), self.zone)?;
        Some(Slot { moved_from: Some(slot.local.date()), ..moved })
    }

    fn due_after(&self, after: Timestamp) -> Option<Slot> {
        match &self.when {
            Recurrence::Cron(cron) => cron.next(after, self.zone),
            Recurrence::Every { interval, from } => {
                let seconds = interval.num_seconds().max(1);
                let passed = (after - *from).num_seconds();
                let turns = if after < *from { 0 } else { passed / seconds + 1 };
                let at = from.checked_add_signed(TimeDelta::try_seconds(turns.checked_mul(seconds)?)?)?;
                Some(self.plain(at))
            }
            Recurrence::At(slots) => slots.get(slots.partition_point(|slot| slot.at <= after)).copied(),
        }
    }

    fn plain(&self, at: Timestamp) -> Slot {
        let local: NaiveDateTime = at.with_timezone(&self.zone).naive_local();
        Slot { at, local, change: None, moved_from: None }
    }
}
