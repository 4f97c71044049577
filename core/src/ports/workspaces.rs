//! The directories of the host that jobs work in.

use std::io;
use std::path::{Path, PathBuf};

/// Gives each invocation directories of its own.
pub trait Workspaces: Send + Sync {
    /// The directories of an invocation, below `scratch/name`; files that the steps of the run share are below `shared`
    /// where that is given. Nothing is made yet.
    fn open(&self, scratch: &Path, name: &str, shared: Option<PathBuf>) -> Box<dyn Workspace>;
}

/// The directories of one invocation, each made when it is first asked for. Files that the steps of a run share stay
/// until [`remove_shared`](Self::remove_shared); all else goes when this is dropped.
pub trait Workspace: Send + Sync {
    /// The directory that commands start in.
    ///
    /// # Errors
    /// The system's error when it cannot be made.
    fn work(&self) -> io::Result<&Path>;
    /// The directory that commands start in, when it was asked for before and something is in it.
    fn work_in_use(&self) -> Option<&Path>;
    /// The home directory of commands.
    ///
    /// # Errors
    /// The system's error when it cannot be made.
    fn home(&self) -> io::Result<&Path>;
    /// An empty directory for the temporary files of one command.
    ///
    /// # Errors
    /// The system's error when it cannot be made.
    fn temp(&self) -> io::Result<Box<dyn TempDir>>;
    /// Removes what the steps of the run share: the run has ended.
    fn remove_shared(&self);
}

/// A directory of one command, given back when this is dropped.
pub trait TempDir: Send + Sync {
    /// Its path.
    fn path(&self) -> &Path;
}
