//! Leftovers that a tortured realm must not have.

use std::path::Path;
use std::process::Command;

/// The processes that are alive of a round: those of its program, and those with the command line that its jobs start.
pub(super) fn alive(pumice: &Path, sleep: &str) -> Vec<String> {
    let Ok(entries) = std::fs::read_dir("/proc") else { return Vec::new() };
    let mut alive = Vec::new();
    for entry in entries.flatten() {
        let folder = entry.path();
        let Ok(line) = std::fs::read(folder.join("cmdline")) else { continue };
        let words: Vec<String> =
            line.split(|byte| *byte == 0).map(|word| String::from_utf8_lossy(word).into_owned()).collect();
        let text = words.join(" ");
        let is_own = std::fs::read_link(folder.join("exe")).is_ok_and(|exe| exe == pumice);
        if is_own || text.contains(sleep) {
            alive.push(text);
        }
    }
    alive
}

/// Takes away what a job may have done to make files hard to remove.
pub(super) fn make_removable(folder: &Path) {
    // Only root may make files immutable, and only some file systems know such.
    let _ = Command::new("chattr").args(["-R", "-f", "-i"]).arg(folder).output();
    let _ = Command::new("chmod").args(["-R", "-f", "u+rwX"]).arg(folder).output();
}
