//! Outputs of commands whose worker was lost: they stay readable for as long as the record of their run.

use std::io;
use std::path::{Path, PathBuf};

use pumice_core::ids::RunId;
use pumice_core::job_type::{live_folder, run_of_live_output};
use pumice_host::OwnFolder;

use crate::home::SCRATCH;

/// Where a realm's folder has the outputs of executions whose worker is gone, by the names that they had while they were
/// written.
#[must_use]
pub fn lost_outputs(home: &Path) -> PathBuf {
    home.join("lost")
}

/// Moves outputs out of a scratch folder before it is removed.
pub(crate) fn keep_outputs(home: &Path) -> io::Result<()> {
    // A command may have put a link there, to files of others.
    let Some(live) = OwnFolder::find(home, &live_folder(&home.join(SCRATCH)))? else { return Ok(()) };
    let mut lost = None;
    for entry in std::fs::read_dir(live.path())? {
        let entry = entry?;
        // Nor is all that is there an output.
        if entry.file_type()?.is_file() {
            let made = match lost.take() {
                Some(made) => made,
                None => OwnFolder::make(home, &lost_outputs(home))?,
            };
            let (from, to) = (entry.path(), made.path().join(entry.file_name()));
            live.with_rights(|| made.with_rights(|| std::fs::rename(&from, &to)))?;
            lost = Some(made);
        }
    }
    Ok(())
}

/// The outputs that were kept, by run.
pub(crate) fn of_runs(home: &Path) -> Vec<(RunId, PathBuf)> {
    let entries = std::fs::read_dir(lost_outputs(home)).into_iter().flatten().flatten();
    let file =
        |entry: std::fs::DirEntry| Some((run_of_live_output(entry.file_name().to_str()?)?, entry.path()));
    entries.filter_map(file).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn link_in_place_of_the_folder_brings_no_files_of_others() {
        let home = tempfile::tempdir().unwrap();
        let elsewhere = tempfile::tempdir().unwrap();
        std::fs::write(elsewhere.path().join("file"), "x").unwrap();
        let live = live_folder(&home.path().join(SCRATCH));
        std::fs::create_dir_all(live.parent().unwrap()).unwrap();
        std::os::unix::fs::symlink(elsewhere.path(), &live).unwrap();
        keep_outputs(home.path()).unwrap();
        assert!(elsewhere.path().join("file").exists());
        std::fs::remove_file(&live).unwrap();
        std::fs::create_dir(&live).unwrap();
        for name in ["one", "two"] {
            std::fs::write(live.join(name), "x").unwrap();
        }
        std::os::unix::fs::symlink(elsewhere.path(), lost_outputs(home.path())).unwrap();
        keep_outputs(home.path()).unwrap();
        assert_eq!(std::fs::read_dir(lost_outputs(home.path())).unwrap().count(), 2);
        assert_eq!(std::fs::read_dir(elsewhere.path()).unwrap().count(), 1);
    }
}
