//! Processes that jobs start: how they are started, found again wherever they went, and ended.

mod cgroup;
mod family;
mod guard;
mod limits;
mod link;
mod live;
mod mark;
mod starter;
mod subreaper;
mod table;

use std::ffi::OsString;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

pub use cgroup::use_cgroups;
pub use family::{ProcessFamily, Root, Running, SCRATCH_VARIABLE, Survivors};
pub use guard::{GUARD, run_guard, use_guard};
pub use limits::{raise_limits, room_for_processes};
pub use link::use_subreapers;
pub use live::{OwnChild, adopt_orphans, spawn_own};
use mark::Place;
pub use starter::spawn;
pub use subreaper::{Launch, SUBREAPER, run_subreaper};

/// Kills the processes that the jobs of a scratch folder left running when their own process was killed, and waits
/// until they are gone, so that no job runs at the same time as its own repetition. Only for a caller that knows
/// that no other process runs jobs in this folder. Gives how many processes there were.
pub async fn kill_leftovers(scratch: &Path) -> usize {
    kill(scratch, false).await
}

/// The same, and with them all that came back to this process because it lost its parent: it may have got rid of every
/// mark. Only for a caller that knows that this process runs no jobs now.
pub async fn kill_all_leftovers(scratch: &Path) -> usize {
    kill(scratch, true).await
}

async fn kill(scratch: &Path, orphans: bool) -> usize {
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
        let in_cgroups = cgroup::kill_left(&|instance| instance.place() == place);
        in_cgroups.iter().copied().for_each(live::reap_orphan);
        in_cgroups.len()
            + family::kill_all(&|process| {
                process.mark.is_some_and(|mark| mark.place() == place)
                    || is_known(process.id)
                    || orphans && live::is_orphan(process)
            })
    })
    .await
    .unwrap_or_default()
}

/// Hides what this process holds, secrets and open files among it, from the commands that it starts: they run as
/// the same user (PR_SET_DUMPABLE, prctl(2)).
///
/// # Errors
/// The kernel's error when it refuses.
pub fn hide_from_commands() -> std::io::Result<()> {
    use rustix::process::{DumpableBehavior, set_dumpable_behavior};
    Ok(set_dumpable_behavior(DumpableBehavior::NotDumpable)?)
}
