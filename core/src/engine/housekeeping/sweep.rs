//! Looks at runs whose time has passed: what makes a lost message or a lost worker cost time only.

use futures_util::future::join_all;

use super::Housekeeper;
use crate::engine::lava::follow;
use crate::engine::ledger::apply::{ApplyError, rest};
use crate::ports::StoreError;
use crate::run::{Input, Run};

/// Most runs looked at in one sweep.
const MAX_SWEPT: usize = 1_000;
/// Most of them that are looked at at the same time: a store far away answers many as fast as one.
const AT_ONCE: usize = 16;

impl Housekeeper {
    /// Sends a message for each run whose time to be looked at has passed. Returns how many runs it looked at.
    ///
    /// # Errors
    /// [`StoreError`] when the store cannot be reached.
    pub async fn sweep(&self) -> Result<usize, StoreError> {
        let due = self.site().ports.runs.due(self.now(), MAX_SWEPT).await?;
        let mut looked_at = 0;
        for part in due.chunks(AT_ONCE) {
            let looking = part.iter().map(|run| self.look_at(run.clone()));
            for outcome in join_all(looking).await {
                match outcome {
                    Ok(_) => looked_at += 1,
                    // What is wrong with one record alone is not in the way of the others.
                    Err(error @ (ApplyError::Removed(_) | ApplyError::Unrecordable(_))) => {
                        tracing::warn!(%error, "a run that is due cannot be looked at");
                    }
                    Err(error) => {
                        rest(error)?;
                    }
                }
            }
        }
        Ok(looked_at)
    }

    /// Sends a message for a run, or records what a worker of lava's has made of it.
    async fn look_at(&self, run: Run) -> Result<Run, ApplyError> {
        if run.is_addressed() {
            self.look_at_addressed(run).await
        } else if run.may_be_foreign() {
            follow::look_at(self.ledger(), run).await
        } else {
            self.ledger().apply(run, Input::Sweep).await
        }
    }
}
