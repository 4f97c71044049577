//! Processes that jobs start: how they are started, found again wherever they went, and ended.

mod family;
mod guard;
mod limits;
mod mark;
mod starter;
mod table;

use std::ffi::OsString;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

pub use family::{Family, Root, SCRATCH_VARIABLE, Survivors, adopt_orphans};
pub use guard::{GUARD, run_guard, use_guard};
pub use limits::{limit_file_size, raise_limits};
use mark::Place;
pub use starter::spawn;

/// Kills what the jobs of a scratch folder left running when their process was killed, and waits until it is gone,
/// so that no job runs beside its own repetition. Only for a caller that knows that no other process runs jobs in
/// this folder. Gives how many processes there were.
pub async fn kill_leftovers(scratch: &Path) -> usize {
    let scratch = scratch.to_owned();
    tokio::task::spawn_blocking(move || {
        let mut entry = OsString::from(format!("{SCRATCH_VARIABLE}="));
        entry.push(&scratch);
        // Of versions that had no other mark, and where the kernel keeps none.
        let is_known = |id| {
            let folder = table::of(id);
            let is_marked = std::fs::read(folder.join("environ"))
                .is_ok_and(|environ| environ.split(|byte| *byte == 0).any(|e| e == entry.as_bytes()));
            is_marked || std::fs::read_link(folder.join("cwd")).is_ok_and(|cwd| cwd.starts_with(&scratch))
        };
        let place = Place::of(&scratch);
        family::kill_all(&|id, mark| mark.is_some_and(|mark| mark.place() == place) || is_known(id))
    })
    .await
    .unwrap_or_default()
}

/// Hides what this process holds, secrets and open files among it, from the commands that it starts: they run as
/// the same user (PR_SET_DUMPABLE, prctl(2)).
///
/// # Errors
/// What the kernel says when it refuses.
pub fn hide_from_commands() -> std::io::Result<()> {
    use rustix::process::{DumpableBehavior, set_dumpable_behavior};
    Ok(set_dumpable_behavior(DumpableBehavior::NotDumpable)?)
}
