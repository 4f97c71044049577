//! Commands that outlived the process that started them.

use std::ffi::OsString;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use rustix::process::{Pid, Signal, kill_process};

/// The variable that marks every command started for a realm's folder, and what they start in turn.
pub(crate) const MARK: &str = "PUMICE_SCRATCH";

/// Kills what a process that is gone has left running, so that no job runs beside its own repetition.
/// Only for a caller that knows that no other process works on this folder. Gives how many.
pub(crate) fn kill(scratch: &Path) -> usize {
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
        let marked = std::fs::read(process.path().join("environ"))
            .is_ok_and(|environ| environ.split(|byte| *byte == 0).any(|entry| entry == mark.as_bytes()));
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
