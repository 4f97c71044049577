//! What a worker function does before it runs commands.

use std::path::Path;

use pumice_core::ports::StoreError;
use pumice_host::{processes, remove_tree};

use super::{Function, SCRATCH};

impl Function {
    /// Ends what invocations that were cut off left running, and removes what they left where jobs work: `/tmp` stays
    /// from one to the next, and when the process is replaced. To be called before an invocation starts commands.
    ///
    /// # Errors
    /// [`StoreError`] when it cannot be removed or made anew.
    pub async fn clear_scratch(&self) -> Result<(), StoreError> {
        let scratch = &self.host.scratch;
        let cleared = async || -> std::io::Result<()> {
            std::fs::create_dir_all(scratch)?;
            for entry in std::fs::read_dir(SCRATCH)? {
                let folder = entry?.path();
                let alive = folder.file_name().is_some_and(|pid| Path::new("/proc").join(pid).exists());
                if folder == *scratch || !alive {
                    let killed = processes::kill_all_leftovers(&folder).await;
                    if killed > 0 {
                        tracing::warn!(killed, "ended what an earlier invocation left running");
                    }
                    remove_tree(&folder)?;
                }
            }
            std::fs::create_dir_all(scratch)
        };
        let cleared = cleared().await;
        cleared.map_err(|error| StoreError::new(format!("cannot clear {}: {error}", scratch.display())))
    }

    /// Prepares this process for starting commands: it hides what it holds, its credentials among it, from them, for they
    /// run as the same user; and what loses its parent comes back to it.
    ///
    /// # Errors
    /// [`StoreError`] when the kernel refuses.
    pub fn prepare_for_commands(&self) -> Result<(), StoreError> {
        processes::adopt_orphans();
        processes::hide_from_commands()
            .map_err(|error| StoreError::new(format!("cannot hide the environment from commands: {error}")))
    }
}
