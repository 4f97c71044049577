//! The gates: a run that gives its permit back, or leaves the line, calls the next.

use super::Ledger;
use super::apply::ApplyError;
use crate::ids::RunKey;
use crate::permits::{Gate, LINE_LOOK, is_absent};
use crate::ports::StoreError;
use crate::run::{Input, Run};

/// How often a line is looked at again because some of it did not come.
const MAX_LOOKS: usize = 4;
/// Most holders of a gate that are looked at for one whose record is gone.
const MAX_HOLDERS: usize = 50;

impl Ledger {
    /// How many permits the gate of a run has now: as the realm has its pool, or as its job says today. `None` where the realm
    /// has no such pool.
    pub(in crate::engine) async fn permits_of(&self, run: &Run) -> Result<Option<u32>, StoreError> {
        let jobs = &self.site().ports.jobs;
        match run.gate() {
            None => Ok(None),
            Some(Gate::Pool(pool)) => Ok(jobs.realm().await?.pool_size(pool)),

            Some(Gate::Key(_)) => {
                let stored = jobs.jobs(std::slice::from_ref(&run.job_id)).await?.pop().flatten();
                let today = stored.and_then(Result::ok);
                let today = today.and_then(|job| job.fields.concurrency.as_ref().map(|one| one.max()));
                Ok(today.or_else(|| run.permit.as_ref().and_then(|permit| permit.max)))
            }
        }
    }

    /// Calls as many of a gate's line as there are permits left. Those that are not called look by themselves.
    pub(in crate::engine) async fn call_waiting(&self, gate: &Gate) {
        for _ in 0..MAX_LOOKS {
            match self.call_some(gate).await {
                Ok(true) => {}
                Ok(false) => return,
                Err(error) => {
                    tracing::warn!(%gate, %error, "the next runs in line for a permit were not called");
                    return;
                }
            }
        }
    }

    /// Calls the runs of the line that may come; returns whether some had been called, did not come and were taken out.
    async fn call_some(&self, gate: &Gate) -> Result<bool, ApplyError> {
        let view = self.site().ports.runs.gate(gate, LINE_LOOK).await?;
        let mut is_changed = false;
        for (ahead, (ticket, key)) in view.line.iter().enumerate() {
            let Some(run) = self.site().ports.runs.peek(key).await?.filter(Run::waits_for_permit) else {
                is_changed |= self.forget(gate, key, Some(*ticket)).await?;
                continue;
            };
            let max = self.permits_of(&run).await?.unwrap_or(0);
            if ahead >= view.free(max) {
                break;
            }
            let now = self.now();
            let is_called = run.permit.as_ref().is_some_and(|permit| permit.called.is_some());
            let input = match (is_absent(&run, now), is_called) {
                (true, _) => Input::Absent,
                (false, true) => continue,
                (false, false) => Input::Freed,
            };
            is_changed |= matches!(input, Input::Absent);
            match self.apply(run, input).await {
                // It looks at this moment, has started, or has ended.
                Ok(_) | Err(ApplyError::Illegal(..) | ApplyError::Removed(_)) => {}
                Err(error) => return Err(error),
            }
        }
        Ok(is_changed)
    }

    /// Takes a run out of a gate whose record is gone or done, or of which another version has not written that it left the
    /// line; returns whether it did.
    async fn forget(&self, gate: &Gate, key: &RunKey, ticket: Option<u64>) -> Result<bool, StoreError> {
        let run = self.site().ports.runs.peek(key).await?;
        let is_there = run.as_ref().is_some_and(|run| !run.is_done() && run.gate() == Some(gate));
        if is_there {
            // It has just started, or leaves by itself.
            return Ok(false);
        }
        self.site().ports.runs.leave_gate(gate, key, ticket).await?;
        tracing::warn!(%gate, %key, "a run that is done or gone is taken from its gate");
        Ok(true)
    }

    /// Takes holders out of a gate whose record is gone or done: a store forgets records after their time, and an older
    /// version of the program does not give permits back. For the first in line, which would wait for good.
    pub(in crate::engine) async fn weed(&self, gate: &Gate, holders: &[RunKey]) -> Result<bool, StoreError> {
        let mut is_changed = false;
        for key in holders.iter().take(MAX_HOLDERS) {
            is_changed |= self.forget(gate, key, None).await?;
        }
        Ok(is_changed)
    }
}
