//! Preparation of a worker function for commands.

use pumice_core::ports::{StoreError, StoreErrorKind};
use pumice_host::processes;

use super::Function;

impl Function {
    /// Ends the processes that earlier invocations left running, and removes their files from where jobs can write:
    /// `/tmp` stays from one invocation to the next, and when the process is replaced. A file that cannot be removed is
    /// left with a warning, and the jobs get another folder. To be called before an invocation starts commands, and
    /// before [`Function::site`].
    ///
    /// # Errors
    /// [`StoreError`] when no folder can be made.
    pub async fn clear_scratch(&self) -> Result<(), StoreError> {
        let before = self.scratch.path();
        if self.scratch.clear().await? != before {
            // It names the folder of before.
            *self.site.lock().await = None;
        }
        Ok(())
    }

    /// Prepares this process for starting commands: it hides its memory, with its credentials, from them, for they run
    /// as the same user; and it becomes the parent of orphaned processes. The function must call [`processes::run_subreaper`] when
    /// its first argument is [`processes::SUBREAPER`].
    ///
    /// # Errors
    /// [`StoreError`] when the kernel refuses.
    pub fn prepare_for_commands(&self) -> Result<(), StoreError> {
        processes::adopt_orphans();
        processes::use_subreapers(&[processes::SUBREAPER]);
        processes::hide_from_commands().map_err(|error| {
            StoreError::of(
                StoreErrorKind::Denied,
                format!("cannot hide the environment from commands: {error}"),
            )
        })
    }
}
