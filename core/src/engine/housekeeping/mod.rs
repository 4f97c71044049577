//! Periodic work: sweeps runs, starts schedules, judges their limits, advances backfills.

pub(super) mod backfill;
mod hosts;
mod late;
mod looking;
mod notice;
mod rules;
mod second;
pub(super) mod strike;
pub(super) mod sweep;

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use chrono::TimeDelta;

use super::dispatch::Dispatcher;
use super::ledger::Ledger;
use crate::Timestamp;
use crate::ids::JobId;
use crate::job_type::{Registry, Site};
use crate::ports::StoreError;

/// How far a host's clock may differ from the store's.
const MAX_SKEW: TimeDelta = TimeDelta::seconds(60);

/// A process's knowledge of schedules that other tools may change.
#[derive(Debug, Default)]
struct Known {
    /// The schedules that an index showed last, each as a digest.
    shown: HashMap<JobId, String>,
    /// The jobs that were enabled though their timetables say otherwise, each as a digest: they were touched.
    enabled: HashMap<JobId, String>,
}

/// The same, for all clones of a housekeeper; none yet for a process that has just begun.
#[derive(Debug, Default)]
pub(super) struct Noticed(Mutex<Option<Known>>);

impl Noticed {
    fn take(&self) -> Option<Known> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).take()
    }

    fn keep(&self, known: Known) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Some(known);
    }
}

/// Sees to what is due in a realm. Cheap to clone; all clones are one.
#[derive(Clone, Debug)]
pub struct Housekeeper {
    dispatcher: Dispatcher,
    /// The schedules that other tools may change, as they were seen last.
    noticed: Arc<Noticed>,
}

impl Housekeeper {
    /// A housekeeper of a realm.
    #[must_use]
    pub fn new(site: Arc<Site>, registry: Arc<Registry>) -> Self {
        Self::with(Dispatcher::new(site, registry))
    }

    /// One that starts runs by way of this dispatcher.
    #[must_use]
    pub fn with(dispatcher: Dispatcher) -> Self {
        Self { dispatcher, noticed: Arc::default() }
    }

    /// The part that takes requests.
    #[must_use]
    pub const fn dispatcher(&self) -> &Dispatcher {
        &self.dispatcher
    }

    pub(super) const fn ledger(&self) -> &Ledger {
        self.dispatcher.ledger()
    }

    pub(super) fn site(&self) -> &Arc<Site> {
        self.ledger().site()
    }

    fn now(&self) -> Timestamp {
        self.ledger().now()
    }

    /// Refuses a clock that differs too much from the store's: it would start slots of the future, or none.
    ///
    /// # Errors
    /// [`StoreError`] when it differs by more than [`MAX_SKEW`].
    pub(in crate::engine) fn check_clock(&self) -> Result<(), StoreError> {
        let Some(ahead) = self.site().ports.clock.store_ahead().filter(|ahead| ahead.abs() > MAX_SKEW) else {
            return Ok(());
        };
        let word = if ahead < TimeDelta::zero() { "ahead of" } else { "behind" };
        let seconds = ahead.num_seconds().abs();
        Err(StoreError::unreachable(format!(
            "the clock of host {} is {seconds}s {word} the store's: set it right, until then it starts nothing by the clock",
            self.site().hostname
        )))
    }

    /// Has the schedules of jobs looked at, as their specs were changed at a time.
    ///
    /// # Errors
    /// [`StoreError`] when the store cannot be reached.
    pub async fn touch(&self, job_ids: &[JobId], at: Timestamp) -> Result<(), StoreError> {
        self.site().ports.schedules.touch(job_ids, at).await
    }
}
