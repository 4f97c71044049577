//! Looks at runs whose time has passed: what makes a lost message or a lost worker cost time only.

use super::dispatch::Dispatcher;
use super::handle::rest;
use crate::ports::StoreError;
use crate::run::Input;

/// Most runs looked at in one sweep.
const MAX_SWEPT: usize = 1_000;

impl Dispatcher {
    /// Sends a message for each run that somebody should have looked at by now. Gives how many.
    ///
    /// # Errors
    /// [`StoreError`] when the store cannot be reached.
    pub async fn sweep(&self) -> Result<usize, StoreError> {
        let due = self.site().ports.runs.due(self.now(), MAX_SWEPT).await?;
        let mut sent = 0;
        for run in due {
            match self.apply(run, Input::Sweep).await {
                Ok(_) => sent += 1,
                Err(error) => {
                    rest(error)?;
                }
            }
        }
        Ok(sent)
    }
}
