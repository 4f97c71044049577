//! How many runs were dispatched in each minute.

use std::collections::BTreeMap;

use super::{Order, RunQuery, RunStore, StoreError};
use crate::Timestamp;
use crate::run::Status;

/// Most runs that are read to be counted, and most records that are looked at for them.
const MAX_READ: usize = 2_000;
const MAX_LOOKED: usize = 10_000;
/// How many microseconds a minute has.
const MICROS: i64 = 60_000_000;

/// A minute, counted from 1970 on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Minute(pub i64);

impl Minute {
    /// The minute that a time is in.
    #[must_use]
    pub const fn of(at: Timestamp) -> Self {
        Self(at.timestamp_micros().div_euclid(MICROS))
    }

    /// Its first moment.
    #[must_use]
    pub fn begin(self) -> Timestamp {
        Timestamp::from_timestamp_micros(self.0.saturating_mul(MICROS)).unwrap_or_default()
    }
}

/// How many runs were dispatched in a minute.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct MinuteCount {
    /// All of them.
    pub runs: u64,
    /// Those that failed or were rejected. A run that was cancelled ended by request.
    pub failed: u64,
}

impl MinuteCount {
    /// The statuses of runs that count as failed.
    pub const FAILED: [Status; 2] = [Status::Failed, Status::Rejected];

    /// The count of one run.
    #[must_use]
    pub fn of(status: Status) -> Self {
        Self { runs: 1, failed: u64::from(Self::FAILED.contains(&status)) }
    }
}

/// How many runs of their own were dispatched in each minute.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Starts {
    /// The counts; a minute in which nothing was dispatched is missing.
    pub by_minute: BTreeMap<Minute, MinuteCount>,
    /// The first minute that was counted: a later one than was asked for where there were too many to be read.
    pub since: Minute,
    /// Whether there are so many runs under way that not all were counted.
    pub is_cut: bool,
}

impl Starts {
    /// Counts of nothing yet.
    #[must_use]
    pub const fn from(since: Minute) -> Self {
        Self { by_minute: BTreeMap::new(), since, is_cut: false }
    }

    /// Adds to the counts of a minute.
    pub fn add(&mut self, minute: Minute, count: MinuteCount) {
        let known = self.by_minute.entry(minute).or_default();
        known.runs += count.runs;
        known.failed += count.failed;
    }

    /// Leaves out the minutes before one, as not all of their runs were read.
    pub fn begin_at(&mut self, minute: Minute) {
        self.since = self.since.max(minute);
        self.by_minute.retain(|one, _| *one >= self.since);
    }

    /// How many there are in all.
    #[must_use]
    pub fn all(&self) -> u64 {
        self.by_minute.values().map(|count| count.runs).sum()
    }
}

/// Counts runs by reading the newest of them, for a store that keeps no count.
pub(super) async fn read(
    store: &(impl RunStore + ?Sized),
    since: Minute,
    until: Minute,
) -> Result<Starts, StoreError> {
    let query = RunQuery {
        since: Some(since.begin()),
        order: Order::Newest,
        limit: MAX_READ,
        look_limit: Some(MAX_LOOKED),
        ..RunQuery::default()
    };
    let page = store.page(&query).await?;
    let mut starts = Starts::from(since);
    for run in &page.runs {
        starts.add(Minute::of(run.ts_dispatch).min(until), MinuteCount::of(run.status));
    }
    if page.next.is_some() {
        // Of the minute of the last one more may follow.
        let last = page.runs.last().map_or(until, |run| Minute::of(run.ts_dispatch));
        starts.begin_at(Minute(last.0.saturating_add(1)));
    }
    Ok(starts)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn minute_has_its_moments_and_no_other() {
        for (micros, minute) in [(0, 0), (59_999_999, 0), (60_000_000, 1), (-1, -1)] {
            let at = Timestamp::from_timestamp_micros(micros).unwrap();
            assert_eq!(Minute::of(at), Minute(minute), "{micros}");
        }
        assert_eq!(Minute(7).begin().timestamp(), 420);
    }

    #[test]
    fn minutes_left_out_are_counted_no_more() {
        let mut starts = Starts::from(Minute(5));
        for minute in 5..8 {
            starts.add(Minute(minute), MinuteCount { runs: 2, failed: 1 });
        }
        starts.begin_at(Minute(3));
        assert_eq!((starts.since, starts.all()), (Minute(5), 6));
        starts.begin_at(Minute(7));
        assert_eq!((starts.since, starts.all()), (Minute(7), 2));
    }
}
