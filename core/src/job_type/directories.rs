//! The directories of a run, as a job sees them.

use std::path::Path;

use async_trait::async_trait;

use super::{JobError, TempDir, WorkDir};

/// The directories that a job may work in, each made when it is first asked for.
#[async_trait]
pub trait Directories: Send + Sync {
    /// The directory to work in, with the files of the steps before this one.
    ///
    /// # Errors
    /// [`JobError`] when it cannot be made, or those files were lost.
    async fn work(&self) -> Result<&Path, JobError>;
    /// The home directory of commands.
    ///
    /// # Errors
    /// [`JobError`] when it cannot be made.
    fn home(&self) -> Result<&Path, JobError>;
    /// A directory for temporary files of one command.
    ///
    /// # Errors
    /// [`JobError`] when it cannot be made.
    fn temp(&self) -> Result<TempDir, JobError>;
}

/// The directories of one invocation, without files of other invocations.
#[async_trait]
impl Directories for WorkDir {
    async fn work(&self) -> Result<&Path, JobError> {
        self.path()
    }

    fn home(&self) -> Result<&Path, JobError> {
        Self::home(self)
    }

    fn temp(&self) -> Result<TempDir, JobError> {
        Self::temp(self)
    }
}
