//! Whether a claim surely holds, as its owner can decide without asking the store.

use std::sync::atomic::{AtomicI64, Ordering};

use chrono::{DateTime, TimeDelta};

use crate::Timestamp;
use crate::duration::Span;
use crate::engine::limits::LEASE_MARGIN;
use crate::job_type::{Cancel, Stop};
use crate::run::Run;

/// A claim as its owner knows it. A host may stand still for any time between two instructions;
/// before anything that others can see, its owner looks whether the claim still has time left.
#[derive(Debug)]
pub(super) struct LeaseGuard {
    until_micros: AtomicI64,
    /// How much of it must be left: clocks differ.
    margin: TimeDelta,
    /// Whether no other process can make a claim, so that it holds for as long as its owner lives.
    alone: bool,
}

impl LeaseGuard {
    /// The claim that was just made on a run; `lease` is how long claims hold, `alone` whether no other can make one.
    pub(super) fn of(run: &Run, lease: Span, alone: bool) -> Self {
        let until = run.lease.as_ref().map_or(DateTime::UNIX_EPOCH, |lease| lease.until);
        let margin = LEASE_MARGIN.delta().min(lease.delta() / 4);
        Self { until_micros: AtomicI64::new(until.timestamp_micros()), margin, alone }
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
        self.alone || now + self.margin <= self.until()
    }

    /// Until when it surely holds; `None` where it does for as long as its owner lives.
    pub(super) fn firm_until(&self) -> Option<Timestamp> {
        (!self.alone).then(|| self.until() - self.margin)
    }

    /// Whether its time has run out, although no other worker can have the run: its record may have news.
    pub(super) fn is_outdated(&self, now: Timestamp) -> bool {
        now >= self.until()
    }

    /// Whether it may have run out, so that others can have the run.
    pub(super) fn is_over(&self, now: Timestamp) -> bool {
        !self.alone && now >= self.until()
    }
}

/// The parent of a run that runs in the same invocation.
#[derive(Clone, Copy)]
pub(super) struct Parent<'a> {
    /// Stops the parent, with a reason.
    pub(super) cancel: &'a Cancel,
    /// The claim on the parent.
    pub(super) lease: &'a LeaseGuard,
}

impl Parent<'_> {
    /// Whether the parent is still this invocation's, and sees by itself how its steps end.
    pub(super) fn sees(self, now: Timestamp) -> bool {
        self.cancel.is_stopped() != Some(Stop::Lost) && !self.lease.is_over(now)
    }

    /// Whether a step may begin: the parent surely is this invocation's. If not, the parent is stopped.
    pub(super) fn may_begin(self, now: Timestamp) -> bool {
        let firm = self.lease.is_firm(now);
        if !firm {
            self.cancel.stop(Stop::Lost);
        }
        firm
    }
}
