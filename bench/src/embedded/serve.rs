//! Figures of the program as a user starts it.

use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use pumice_local::Durability;

/// The `pumice` command of the same build, built when it is not there.
pub(super) fn pumice() -> Result<PathBuf, String> {
    let own = std::env::current_exe().map_err(|error| error.to_string())?;
    let beside = own.with_file_name("pumice");
    if !beside.exists() {
        let status =
            Command::new("cargo").args(["build", "--release", "--quiet", "--package", "pumice"]).status();
        let built = status.is_ok_and(|status| status.success());
        if !built || !beside.exists() {
            return Err(format!("{} is not there: cargo build --release --package pumice", beside.display()));
        }
    }
    Ok(beside)
}

/// The memory of an idle `serve` in MB, and the time from its start until it serves in ms.
pub(super) fn measure(_: Durability) -> Result<Vec<f64>, String> {
    let folder = tempfile::tempdir().map_err(|error| error.to_string())?;
    served(folder.path(), Duration::ZERO)
}

/// The memory of a `serve` of a copy of a folder, in MB, once it has looked at its clock.
pub(super) fn resident(folder: &Path) -> Result<f64, String> {
    let copy = tempfile::tempdir().map_err(|error| error.to_string())?;
    let store = rusqlite::Connection::open(folder.join("pumice.db")).map_err(|error| error.to_string())?;
    let into = copy.path().join("pumice.db").display().to_string();
    store.execute("VACUUM INTO ?", [into]).map_err(|error| error.to_string())?;
    Ok(served(copy.path(), Duration::from_secs(2))?[0])
}

fn served(folder: &Path, pause: Duration) -> Result<Vec<f64>, String> {
    let began = Instant::now();
    let mut child = Command::new(pumice()?)
        .args(["serve", "--home"])
        .arg(folder)
        .stderr(Stdio::piped())
        .spawn()
        .map_err(|error| error.to_string())?;
    let stderr = child.stderr.take().ok_or("no stderr")?;
    let serves = BufReader::new(stderr).lines().map_while(Result::ok).any(|line| line.contains("serving"));
    let startup = began.elapsed().as_secs_f64() * 1_000.0;
    std::thread::sleep(pause);
    let resident = resident_mb(&child);
    child.kill().map_err(|error| error.to_string())?;
    child.wait().map_err(|error| error.to_string())?;
    if !serves {
        return Err("serve did not come up".to_owned());
    }
    Ok(vec![resident?, startup])
}

/// The memory of a process, in MB (proc(5), VmRSS).
pub(super) fn resident_mb(process: &Child) -> Result<f64, String> {
    memory_mb(process, "VmRSS")
}

/// A figure of a process's memory that `/proc/PID/status` has in KiB, in MiB: `RssAnon` is what it has written, `RssFile` are
/// pages of files, as of the program itself, which other processes of it share.
pub(super) fn memory_mb(process: &Child, name: &str) -> Result<f64, String> {
    let status = std::fs::read_to_string(format!("/proc/{}/status", process.id()));
    let status = status.map_err(|error| error.to_string())?;
    let figure = status.lines().find_map(|line| {
        line.strip_prefix(name)?.strip_prefix(':')?.split_whitespace().next()?.parse::<f64>().ok()
    });
    Ok(figure.ok_or_else(|| format!("no {name}"))? / 1024.0)
}
