//! Whether a claim surely holds, as the one who made it can tell without asking.

use std::sync::atomic::{AtomicI64, Ordering};

use chrono::{DateTime, TimeDelta};

use super::LEASE_MARGIN;
use crate::Timestamp;
use crate::duration::Span;
use crate::run::Run;

/// A claim as its owner knows it. A host may stand still for any time between two instructions;
/// before anything that others can see, its owner looks whether the claim still has time left.
#[derive(Debug)]
pub(crate) struct Grip {
    until_micros: AtomicI64,
    /// How much of it must be left: clocks differ.
    margin: TimeDelta,
}

impl Grip {
    /// The claim that was just made on a run; `lease` is how long claims hold.
    pub(super) fn of(run: &Run, lease: Span) -> Self {
        let until = run.lease.as_ref().map_or(DateTime::UNIX_EPOCH, |lease| lease.until);
        let margin = LEASE_MARGIN.delta().min(lease.delta() / 4);
        Self { until_micros: AtomicI64::new(until.timestamp_micros()), margin }
    }

    /// Until when it holds.
    pub(super) fn until(&self) -> Timestamp {
        let micros = self.until_micros.load(Ordering::Relaxed);
        DateTime::from_timestamp_micros(micros).unwrap_or(DateTime::UNIX_EPOCH)
    }

    /// It was extended.
    pub(super) fn extend(&self, until: Timestamp) {
        self.until_micros.store(until.timestamp_micros(), Ordering::Relaxed);
    }

    /// Whether it surely holds now.
    pub(super) fn is_firm(&self, now: Timestamp) -> bool {
        now + self.margin <= self.until()
    }
}
