//! The README's first command, in a fresh clone.

use std::path::PathBuf;
use std::process::Command;

use crate::process::{Outcome, run, say};

/// Clones the repository into an empty folder and does there what the README says first.
pub(crate) fn readme_command() -> Outcome {
    let readme = std::fs::read_to_string("README.md").map_err(|error| format!("README.md: {error}"))?;
    let first = readme
        .lines()
        .map(str::trim)
        .find(|line| line.starts_with("cargo run"))
        .ok_or("README.md has no line that begins with `cargo run`")?;
    say(&format!("in a fresh clone: {first}"));
    let folder = std::env::temp_dir().join(format!("pumice-clone-{}", std::process::id()));
    let outcome = in_clone(&folder, first);
    std::fs::remove_dir_all(&folder).map_err(|error| format!("{}: {error}", folder.display()))?;
    outcome
}

fn in_clone(folder: &PathBuf, command: &str) -> Outcome {
    run(Command::new("git").args(["clone", "--quiet", "--no-hardlinks", "."]).arg(folder))?;
    // Other crates' builds are shared; the clone's own are made anew.
    let target = std::env::var_os("CARGO_TARGET_DIR").map_or_else(|| PathBuf::from("target"), PathBuf::from);
    let target = std::path::absolute(target).map_err(|error| error.to_string())?;
    run(Command::new("sh").args(["-c", command]).current_dir(folder).env("CARGO_TARGET_DIR", target))
}
