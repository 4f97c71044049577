//! A pool of clean folders for commands. On ext4, making and removing a folder takes longer than everything else that a
//! short command costs; a rename takes a fraction of that.

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use pumice_host::{OwnFolder, is_clean};

/// Most folders that are kept.
const MAX_SPARE: usize = 64;

/// A pool of clean folders, kept in a place that is removed with the process's scratch folder.
#[derive(Clone, Debug)]
pub(crate) struct Spare {
    home: PathBuf,
    place: PathBuf,
    folders: Arc<Mutex<Vec<PathBuf>>>,
}

impl Spare {
    /// An empty pool that keeps its folders in `place`, below `home`.
    pub(crate) fn below(home: &Path, place: PathBuf) -> Self {
        Self { home: home.to_owned(), place, folders: Arc::default() }
    }

    /// Moves a folder of the pool to `wanted`, whose parent must exist. Returns false when the pool is empty or the folder
    /// cannot be moved there.
    pub(crate) fn give(&self, wanted: &Path) -> bool {
        loop {
            let Some(folder) = self.lock().pop() else { return false };
            // A process that held the folder open may have written into it since.
            if !is_clean(&folder) {
                continue;
            }
            if std::fs::rename(&folder, wanted).is_ok() {
                return true;
            }
            // The fault is at the target; the folder is still clean.
            self.lock().push(folder);
            return false;
        }
    }

    /// Moves a clean folder into the pool. Returns false when it is not clean, the pool is full or it cannot be moved.
    pub(crate) fn take(&self, folder: &Path) -> bool {
        static NUMBER: AtomicU64 = AtomicU64::new(0);
        if self.lock().len() >= MAX_SPARE || !is_clean(folder) {
            return false;
        }
        let name = NUMBER.fetch_add(1, Ordering::Relaxed).to_string();
        let Ok(place) = OwnFolder::make(&self.home, &self.place) else { return false };
        let moved = std::fs::rename(folder, place.path().join(&name)).is_ok();
        if moved {
            self.lock().push(self.place.join(name));
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
    use std::fs::DirBuilder;
    use std::os::unix::fs::DirBuilderExt;

    use pumice_host::PRIVATE;

    use super::*;

    fn made(path: PathBuf) -> PathBuf {
        DirBuilder::new().mode(PRIVATE).create(&path).unwrap();
        path
    }

    #[test]
    fn clean_folder_is_reused_and_used_one_is_not_taken() {
        let folder = tempfile::tempdir().unwrap();
        let at = |name: &str| folder.path().join(name);
        let spare = Spare::below(folder.path(), at("scratch/spare"));
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
    fn folder_written_to_in_the_pool_is_not_given() {
        let folder = tempfile::tempdir().unwrap();
        let spare = Spare::below(folder.path(), folder.path().join("spare"));
        assert!(spare.take(&made(folder.path().join("clean"))));
        let kept = spare.lock()[0].clone();
        std::fs::write(kept.join("late"), "x").unwrap();
        assert!(!spare.give(&folder.path().join("wanted")));
        assert!(!folder.path().join("wanted").exists());
    }
}
