//! Commands that outlived the process that started them.

use std::ffi::OsString;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};

/// The variable that marks every command started for a realm's folder, and what they start in turn.
pub(crate) const MARK: &str = "PUMICE_SCRATCH";

/// Most times the processes are looked through: one that is killed may have started another meanwhile.
const MAX_PASSES: usize = 200;
/// How long to wait between two looks.
const PAUSE: Duration = Duration::from_millis(10);

/// Kills what a process that is gone has left running, so that no job runs beside its own repetition,
/// and waits until it is gone. Only for a caller that knows that no other process works on this
/// folder. Gives how many.
pub(crate) async fn kill(scratch: &Path) -> usize {
    let mut killed = 0;
    for _ in 0..MAX_PASSES {
        match kill_once(scratch) {
            0 => break,
            count => killed = killed.max(count),
        }
        tokio::time::sleep(PAUSE).await;
    }
    killed
}

fn kill_once(scratch: &Path) -> usize {
    let mut mark = OsString::from(format!("{MARK}="));
    mark.push(scratch);
    // Where there is no /proc there is no telling.
    let Ok(processes) = std::fs::read_dir("/proc") else { return 0 };
    let own = std::process::id();
    let mut killed = 0;
    for process in processes.flatten() {
        let Some(id) = process.file_name().to_str().and_then(|name| name.parse::<u32>().ok()) else {
            continue;
        };
        // A command may clear its environment, but it starts in its work directory.
        let inside =
            || std::fs::read_link(process.path().join("cwd")).is_ok_and(|cwd| cwd.starts_with(scratch));
        let marked = std::fs::read(process.path().join("environ"))
            .is_ok_and(|environ| environ.split(|byte| *byte == 0).any(|entry| entry == mark.as_bytes()))
            || inside();
        if id != own
            && marked
            && let Some(pid) = i32::try_from(id).ok().and_then(Pid::from_raw)
            && kill_process(pid, Signal::KILL).is_ok()
        {
            killed += 1;
        }
    }
    killed
}
