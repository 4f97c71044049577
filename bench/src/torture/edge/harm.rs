//! Harms that are done to a server.

use std::fs::{File, OpenOptions};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::Command;

use rustix::process::{Pid, Resource, Rlimit, prlimit};

/// The size of a small disk, in MiB.
const DISK: usize = 192;

/// Something that happens to a server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Harm {
    /// SIGTERM: it drains.
    Stop,
    /// SIGTERM twice: it stops what runs.
    Halt,
    /// SIGKILL.
    Kill,
    /// SIGSTOP for longer than its lease.
    Freeze,
    /// No room on the disk for a while.
    Disk,
    /// No descriptors for a while.
    Descriptors,
}

impl Harm {
    /// The harms of a round. In every third one none that may cost an execution.
    pub(super) fn of_round(number: usize) -> Vec<Self> {
        match number % 3 {
            0 => vec![Self::Kill, Self::Disk, Self::Freeze, Self::Stop, Self::Descriptors, Self::Halt],
            1 => vec![Self::Freeze, Self::Stop, Self::Descriptors],
            _ => vec![Self::Kill, Self::Freeze, Self::Halt, Self::Descriptors, Self::Stop],
        }
    }

    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Stop => "stops",
            Self::Halt => "halts",
            Self::Kill => "kills",
            Self::Freeze => "freezes",
            Self::Disk => "full disks",
            Self::Descriptors => "descriptors",
        }
    }
}

/// A disk in memory; unmounted when dropped.
pub(super) struct SmallDisk(PathBuf);

impl SmallDisk {
    pub(super) fn mount(at: &Path) -> Result<Self, String> {
        std::fs::create_dir(at).map_err(|error| error.to_string())?;
        let options = format!("size={DISK}m,mode=700");
        let mount = Command::new("mount").args(["-t", "tmpfs", "-o", &options, "tmpfs"]).arg(at).output();
        let mount = mount.map_err(|error| format!("mount: {error}"))?;
        if mount.status.success() {
            return Ok(Self(at.to_owned()));
        }
        Err(String::from_utf8_lossy(&mount.stderr).trim().to_owned())
    }

    fn ballast(&self) -> PathBuf {
        self.0.join("ballast")
    }

    /// Fills it but for so many bytes.
    pub(super) fn fill(&self, left: u64) -> Result<(), String> {
        let failed = |error: std::io::Error| error.to_string();
        let mut ballast = File::create(self.ballast()).map_err(failed)?;
        let chunk = vec![0; 64 * 1024];
        while ballast.write_all(&chunk).is_ok() {}
        let length = ballast.metadata().map_err(failed)?.len();
        OpenOptions::new()
            .write(true)
            .open(self.ballast())
            .and_then(|ballast| ballast.set_len(length.saturating_sub(left)))
            .map_err(failed)
    }

    /// Makes room again.
    pub(super) fn free(&self) {
        // It may not be full.
        let _ = std::fs::remove_file(self.ballast());
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        super::leftovers::make_removable(&self.0);
        let unmounted = Command::new("umount").arg("--lazy").arg(&self.0).status();
        if !unmounted.is_ok_and(|status| status.success()) {
            eprintln!("{} stays mounted", self.0.display());
        }
    }
}

/// Lets a process open few files more than it has open, for a while.
pub(super) async fn few_descriptors<F: Future<Output = ()>>(
    process: Pid,
    more: u64,
    a_while: impl FnOnce() -> F,
) -> Result<(), String> {
    let open = std::fs::read_dir(format!("/proc/{}/fd", process.as_raw_nonzero()));
    let open = open.map_err(|error| error.to_string())?.count() as u64;
    let failed = |error: rustix::io::Errno| error.to_string();
    let most = prlimit_of(process)?;
    let few = Rlimit { current: Some((open + more).saturating_sub(6)), maximum: most };
    let was = prlimit(Some(process), Resource::Nofile, few).map_err(failed)?;
    a_while().await;
    prlimit(Some(process), Resource::Nofile, was).map(drop).map_err(failed)
}

/// The highest number of open files that a process may ask for (proc(5), `/proc/PID/limits`).
fn prlimit_of(process: Pid) -> Result<Option<u64>, String> {
    let limits = std::fs::read_to_string(format!("/proc/{}/limits", process.as_raw_nonzero()));
    let limits = limits.map_err(|error| error.to_string())?;
    let line = limits.lines().find_map(|line| line.strip_prefix("Max open files"));
    Ok(line.and_then(|line| line.split_whitespace().nth(1)?.parse().ok()))
}
