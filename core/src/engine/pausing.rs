//! Pauses of jobs, of workers and of the realm: written, and taken away again.

use std::sync::{Mutex, PoisonError};

use super::dispatch::Dispatcher;
use super::ledger::apply::ApplyError;
use crate::Timestamp;
use crate::duration::Span;
use crate::ids::RunKey;
use crate::job_type::Site;
use crate::pauses::{IfPaused, MAX_PAUSES, Pause, Pauses, Scope};
use crate::permits::Gate;
use crate::ports::{CommitError, StoreError, StoreErrorKind};
use crate::run::{Input, Run};

/// How often the record is read again when another process wrote it first.
const MAX_TRIES: usize = 20;
/// How long a worker goes by what it read of the pauses: where it is alone, and elsewhere, where each look is paid for.
pub const KEPT_ALONE: Span = Span::from_secs(1);
/// The same elsewhere.
pub const KEPT: Span = Span::from_secs(10);

/// A worker's knowledge of the pauses.
#[derive(Debug, Default)]
pub(super) struct KnownPauses {
    read: Mutex<Option<(Timestamp, Pauses)>>,
}

impl KnownPauses {
    /// Until when a run is paused that may start otherwise: `None` where it is not, `Some(None)` where the pause has no
    /// end. A pause that keeps a run from starting is read anew, so that a resumed run starts at once.
    pub(super) async fn of(&self, site: &Site, run: &Run) -> Result<Option<Option<Timestamp>>, StoreError> {
        if run.is_child() {
            // It begins with its parent.
            return Ok(None);
        }
        let now = site.ports.clock.now();
        let kept = if site.alone { KEPT_ALONE } else { KEPT };
        let until = |pauses: &Pauses| pauses.of(run, now).map(|pause| pause.until);
        let known = {
            let read = self.read.lock().unwrap_or_else(PoisonError::into_inner);
            read.as_ref()
                .filter(|(at, _)| *at <= now && now - *at < kept.delta())
                .map(|(_, pauses)| until(pauses))
        };
        if known == Some(None) {
            return Ok(None);
        }
        let pauses = site.ports.runs.pauses().await?;
        let found = until(&pauses);
        *self.read.lock().unwrap_or_else(PoisonError::into_inner) = Some((now, pauses));
        Ok(found)
    }
}

/// The pauses of a realm before a write and after it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ChangedPauses {
    /// Before.
    pub before: Pauses,
    /// After.
    pub after: Pauses,
}

impl Dispatcher {
    /// Pauses what the pauses name, unless that is paused and its pause is to be kept.
    ///
    /// # Errors
    /// [`CommitError`] when others write the record again and again, there would be too many, or the store cannot be reached.
    pub async fn pause(&self, pauses: &[Pause], paused: IfPaused) -> Result<ChangedPauses, CommitError> {
        self.change(|before, now| before.with_all(pauses, paused, now)).await
    }

    /// Takes the pauses of scopes away. The runs that waited for it are woken by [`Dispatcher::wake_resumed`].
    ///
    /// # Errors
    /// [`CommitError`] when others write the record again and again, or the store cannot be reached.
    pub async fn resume(&self, scopes: &[Scope]) -> Result<Pauses, CommitError> {
        let without =
            |before: &Pauses, now| scopes.iter().fold(before.clone(), |all, scope| all.without(scope, now));
        Ok(self.change(without).await?.after)
    }

    /// How many permits the gate of a run has now; `None` where the realm has no such pool, or the run has no gate.
    ///
    /// # Errors
    /// [`StoreError`] when the store cannot be reached.
    pub async fn permits_of(&self, run: &Run) -> Result<Option<u32>, StoreError> {
        self.ledger().permits_of(run).await
    }

    /// Calls the runs in line for a permit that may come, after there are more permits.
    pub async fn call_waiting(&self, gate: &Gate) {
        self.ledger().call_waiting(gate).await;
    }

    async fn change(
        &self,
        next: impl Fn(&Pauses, Timestamp) -> Pauses,
    ) -> Result<ChangedPauses, CommitError> {
        let runs = &self.site().ports.runs;
        for _ in 0..MAX_TRIES {
            let before = runs.pauses().await?;
            let next = Pauses { rev: before.rev + 1, ..next(&before, self.ledger().now()) };
            if next.all.len() > MAX_PAUSES {
                let why = format!("{} pauses are more than {MAX_PAUSES}", next.all.len());
                return Err(StoreError::of(StoreErrorKind::Invalid, why).into());
            }
            match runs.put_pauses(&next).await {
                Err(CommitError::Conflict) => {}
                Ok(()) => return Ok(ChangedPauses { before, after: next }),
                Err(error) => return Err(error),
            }
        }
        Err(CommitError::Conflict)
    }

    /// Has a run looked at now that was paused; returns whether it was: not one that has begun, ended or is not due.
    ///
    /// # Errors
    /// [`ApplyError`] when that could not be recorded: the sweeper looks at it later.
    pub async fn wake_resumed(&self, key: &RunKey) -> Result<bool, ApplyError> {
        let Some(run) = self.site().ports.runs.peek(key).await? else { return Ok(false) };
        match self.ledger().apply(run, Input::Resumed).await {
            Ok(_) => Ok(true),
            Err(ApplyError::Illegal(..) | ApplyError::Gone(_) | ApplyError::Removed(_)) => Ok(false),
            Err(error) => Err(error),
        }
    }
}
