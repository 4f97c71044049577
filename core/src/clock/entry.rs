//! One entry of a schedule: when it is due, and within which time it holds.

use chrono::{NaiveDateTime, TimeDelta};
use chrono_tz::Tz;

use super::cron::{Cron, Slot};
use crate::Timestamp;

/// What makes an entry due.
#[derive(Clone, Debug)]
pub enum When {
    /// A crontab.
    Cron(Cron),
    /// Each time so much has passed since an instant, through changes of clock.
    Every {
        /// How much, at least a second.
        interval: TimeDelta,
        /// Since when; due for the first time at that instant.
        from: Timestamp,
    },
    /// These instants, in order.
    At(Vec<Timestamp>),
}

/// An entry that can be asked when it is due.
#[derive(Clone, Debug)]
pub struct Entry {
    /// What makes it due.
    pub when: When,
    /// The zone of its local times.
    pub zone: Tz,
    /// From when it holds. With `from` after `to` it holds outside the two (lava guide, Lava Scheduling Objects).
    pub from: Option<Timestamp>,
    /// Until when it holds, that instant included.
    pub to: Option<Timestamp>,
}

impl Entry {
    /// The first slot after an instant; `None` when there is none any more.
    #[must_use]
    pub fn next(&self, after: Timestamp) -> Option<Slot> {
        let before = |from: Timestamp| from.checked_sub_signed(TimeDelta::seconds(1)).unwrap_or(from);
        match (self.from, self.to) {
            (Some(from), Some(to)) if from > to => {
                let slot = self.due_after(after)?;
                if slot.at <= to || slot.at >= from {
                    Some(slot)
                } else {
                    self.due_after(after.max(before(from)))
                }
            }
            (from, to) => {
                let begin = from.map_or(after, |from| after.max(before(from)));
                self.due_after(begin).filter(|slot| to.is_none_or(|to| slot.at <= to))
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

    fn due_after(&self, after: Timestamp) -> Option<Slot> {
        match &self.when {
            When::Cron(cron) => cron.next(after, self.zone),
            When::Every { interval, from } => {
                let seconds = interval.num_seconds().max(1);
                let passed = (after - *from).num_seconds();
                let turns = if after < *from { 0 } else { passed / seconds + 1 };
                let at = from.checked_add_signed(TimeDelta::try_seconds(turns.checked_mul(seconds)?)?)?;
                Some(self.plain(at))
            }
            When::At(instants) => {
                let place = instants.partition_point(|at| *at <= after);
                instants.get(place).map(|at| self.plain(*at))
            }
        }
    }

    fn plain(&self, at: Timestamp) -> Slot {
        let local: NaiveDateTime = at.with_timezone(&self.zone).naive_local();
        Slot { at, local, change: None }
    }
}
