//! What commands printed whose worker was lost: it stays readable for as long as the record of its run.

use std::fs::DirBuilder;
use std::io::{self, ErrorKind};
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};

use pumice_core::ids::RunId;
use pumice_core::job_type::{live_folder, run_of_live_output};

use crate::home::SCRATCH;

/// Where a realm's folder has the outputs of executions whose worker is gone, by the names that they had while they were
/// written.
#[must_use]
pub fn lost_outputs(home: &Path) -> PathBuf {
    home.join("lost")
}

/// Puts aside what was printed to a scratch folder, before that is removed.
pub(crate) fn put_aside(home: &Path) -> io::Result<()> {
    let lost = lost_outputs(home);
    let entries = match std::fs::read_dir(live_folder(&home.join(SCRATCH))) {
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(()),
        entries => entries?,
    };
    for entry in entries {
        let entry = entry?;
        // A command may have put something else there.
        if entry.file_type()?.is_file() {
            DirBuilder::new().recursive(true).mode(0o700).create(&lost)?;
            std::fs::rename(entry.path(), lost.join(entry.file_name()))?;
        }
    }
    Ok(())
}

/// The files that are put aside, by run.
pub(crate) fn of_runs(home: &Path) -> Vec<(RunId, PathBuf)> {
    let entries = std::fs::read_dir(lost_outputs(home)).into_iter().flatten().flatten();
    let file =
        |entry: std::fs::DirEntry| Some((run_of_live_output(entry.file_name().to_str()?)?, entry.path()));
    entries.filter_map(file).collect()
}
