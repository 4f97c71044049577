//! The folder where a function's jobs work.

use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

/// Where a function may write (Lambda Developer Guide, Ephemeral storage).
const TMP: &str = "/tmp";
/// Where Lambda starts the program of a function that runs on `provided.al2023`.
const BOOTSTRAP: &str = "/var/task/bootstrap";
/// The folder there with a folder for each process.
pub(super) const OURS: &str = "pumice";

/// Where the jobs of a function's process work.
#[derive(Debug)]
pub(super) struct Scratch {
    /// Where the function may write.
    pub(super) tmp: PathBuf,
    /// Whether no other process writes there, so that all of it may be cleared.
    pub(super) is_alone: bool,
    path: Mutex<PathBuf>,
}

impl Scratch {
    /// The scratch folder of this process. `tmp` is the value of `PUMICE_TMP`: a folder that this function has for itself.
    /// Without it that is `/tmp` on Lambda; elsewhere others write to `/tmp` too.
    pub(super) fn new(tmp: Option<PathBuf>) -> Self {
        let on_lambda = || std::env::current_exe().is_ok_and(|program| program == Path::new(BOOTSTRAP));
        let is_alone = tmp.is_some() || on_lambda();
        let tmp = tmp.unwrap_or_else(|| TMP.into());
        let path = Mutex::new(tmp.join(OURS).join(std::process::id().to_string()));
        Self { tmp, is_alone, path }
    }

    /// Has the jobs work in another folder from now on.
    #[cfg(feature = "commands")]
    pub(super) fn move_to(&self, path: PathBuf) {
        *self.path.lock().unwrap_or_else(PoisonError::into_inner) = path;
    }

    /// The folder.
    pub(super) fn path(&self) -> PathBuf {
        self.path.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}
