//! Folders that commands left as they were made, kept for the next that need one: to make a folder and to remove it again
//! takes a file system longer than the rest of what a short command costs.

use std::fs::DirBuilder;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use pumice_core::job_type::{PRIVATE, is_clean};

/// Most folders that are kept.
const MAX_SPARE: usize = 64;

/// Folders for later, in a place that goes with the process.
#[derive(Clone, Debug)]
pub(crate) struct Spare {
    place: PathBuf,
    folders: Arc<Mutex<Vec<PathBuf>>>,
}

impl Spare {
    /// None yet; they are to be kept in `place`.
    pub(crate) fn in_place(place: PathBuf) -> Self {
        Self { place, folders: Arc::default() }
    }

    /// Moves one to where a folder is wanted, if there is one, the place is free and its parent is there; tells whether it
    /// did.
    pub(crate) fn give(&self, wanted: &Path) -> bool {
        loop {
            let Some(folder) = self.lock().pop() else { return false };
            // Something may have been put there by a process that held it open.
            if !is_clean(&folder) {
                continue;
            }
            if std::fs::rename(&folder, wanted).is_ok() {
                return true;
            }
            // It is still good; what stands in the way is at the other end.
            self.lock().push(folder);
            return false;
        }
    }

    /// Takes a folder away, if it is as it was made and there is room; tells whether it did.
    pub(crate) fn take(&self, folder: &Path) -> bool {
        static NUMBER: AtomicU64 = AtomicU64::new(0);
        if self.lock().len() >= MAX_SPARE || !is_clean(folder) {
            return false;
        }
        let own = self.place.join(NUMBER.fetch_add(1, Ordering::Relaxed).to_string());
        let moved = std::fs::rename(folder, &own).is_ok() || {
            let made = DirBuilder::new().recursive(true).mode(PRIVATE).create(&self.place);
            made.is_ok() && std::fs::rename(folder, &own).is_ok()
        };
        if moved {
            self.lock().push(own);
        }
        moved
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Vec<PathBuf>> {
        // A list of paths: whole whatever became of another holder.
        self.folders.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn made(path: PathBuf) -> PathBuf {
        DirBuilder::new().mode(PRIVATE).create(&path).unwrap();
        path
    }

    #[test]
    fn clean_folder_is_given_again_and_another_is_not_taken() {
        let folder = tempfile::tempdir().unwrap();
        let at = |name: &str| folder.path().join(name);
        let spare = Spare::in_place(at("scratch/spare"));
        assert!(!spare.give(&at("wanted")));
        assert!(spare.take(&made(at("clean"))) && !at("clean").exists());
        let used = made(at("used"));
        std::fs::write(used.join("file"), "x").unwrap();
        assert!(!spare.take(&used) && used.join("file").exists());
        // Its parent is not there yet: it is kept.
        assert!(!spare.give(&at("run/wanted")));
        // A folder that holds something does not give way.
        assert!(!spare.give(&used));
        assert!(spare.give(&at("wanted")) && is_clean(&at("wanted")));
        assert!(!spare.give(&at("second")));
    }

    #[test]
    fn folder_that_something_was_put_into_meanwhile_is_given_to_nobody() {
        let folder = tempfile::tempdir().unwrap();
        let spare = Spare::in_place(folder.path().join("spare"));
        assert!(spare.take(&made(folder.path().join("clean"))));
        let kept = spare.lock()[0].clone();
        std::fs::write(kept.join("late"), "x").unwrap();
        assert!(!spare.give(&folder.path().join("wanted")));
        assert!(!folder.path().join("wanted").exists());
    }
}
