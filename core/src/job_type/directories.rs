//! The directories of a run, as a job sees them.

use std::io;
use std::path::Path;

use async_trait::async_trait;

use super::JobError;
use crate::ports::{TempDir, Workspace};

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
    fn temp(&self) -> Result<Box<dyn TempDir>, JobError>;
}

/// A directory that the host made, or why the attempt cannot begin.
pub(crate) fn made<T>(made: io::Result<T>) -> Result<T, JobError> {
    made.map_err(|error| JobError::cannot_begin(format!("cannot make a work directory: {error}"), &error))
}

/// The directories of one invocation, without files of other invocations.
#[async_trait]
impl<W: Workspace> Directories for W {
    async fn work(&self) -> Result<&Path, JobError> {
        made(Workspace::work(self))
    }

    fn home(&self) -> Result<&Path, JobError> {
        made(Workspace::home(self))
    }

    fn temp(&self) -> Result<Box<dyn TempDir>, JobError> {
        made(Workspace::temp(self))
    }
}
