//! The invocations of a process that have not ended.

use std::collections::HashSet;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::run::{Input, Run, Worker};

/// The invocations of a process that have not ended. Cheap to clone; all clones are one.
#[derive(Clone, Debug, Default)]
pub(in crate::engine) struct Live(Arc<Mutex<HashSet<Worker>>>);

impl Live {
    fn owners(&self) -> MutexGuard<'_, HashSet<Worker>> {
        // A set of names: whole whatever became of another holder.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether an invocation has a run that has not ended itself.
    pub(in crate::engine) fn has(&self, run: &Run) -> bool {
        run.lease.as_ref().is_some_and(|lease| self.owners().contains(&lease.owner))
    }

    /// Whether an input takes a run from an invocation that has it, as far as the time of its lease goes.
    pub(in crate::engine) fn is_taken(&self, run: &Run, input: &Input) -> bool {
        let taker = match input {
            Input::Claim { worker, .. } | Input::ClaimDuties { worker, .. } | Input::Close { worker, .. } => {
                Some(worker)
            }
            Input::Hold { .. } => None,
            _ => return false,
        };
        let owner = run.lease.as_ref().map(|lease| &lease.owner);
        owner != taker && self.has(run)
    }

    /// Counts an invocation among them until what this gives is dropped.
    pub(in crate::engine) fn begin(&self, owner: Worker) -> Alive {
        self.owners().insert(owner.clone());
        Alive { live: self.clone(), owner }
    }
}

/// An invocation that has not ended.
pub(in crate::engine) struct Alive {
    live: Live,
    owner: Worker,
}

impl Drop for Alive {
    fn drop(&mut self) {
        self.live.owners().remove(&self.owner);
    }
}
