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
    /// Whether the directory that commands start in is there, also from another invocation, and no link in its place.
    fn has_work(&self) -> bool;
    /// The directory that commands start in, when it is there and something is in it.
    fn work_in_use(&self) -> Option<PathBuf>;
    /// How the directory that commands start in looks: another value once any of its files is another. `None` where that
    /// takes too long to say.
    fn work_state(&self) -> Option<u64> {
        None
    }
    /// Removes what is in the directory that commands start in.
    ///
    /// # Errors
    /// The system's error when something cannot be removed.
    fn clear_work(&self) -> io::Result<()>;
    /// The name that the directory which the steps of the run share was given when it was made, where it is there and
    /// outlives invocations: another one once it is made anew.
    fn work_id(&self) -> Option<String> {
        None
    }
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
