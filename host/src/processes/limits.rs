//! Resource limits of this process and of the commands that it starts (getrlimit(2)).

use std::path::{Path, PathBuf};
use std::sync::OnceLock;

use rustix::process::{Pid, Resource, Rlimit, getrlimit, getuid, prlimit, setrlimit};

use super::table::ids;

/// The limit of open files that commands get: the one that this process was started with.
static OPEN_FILES: OnceLock<Rlimit> = OnceLock::new();

/// Lets this process open as many files as it may, and keeps a crash from writing its memory to disk.
/// Commands keep the limit of open files that they would have without this. Gives how many files may be open.
pub fn raise_limits() -> Option<u64> {
    let before = OPEN_FILES.get_or_init(|| getrlimit(Resource::Nofile));
    let most = Rlimit { current: before.maximum, maximum: before.maximum };
    if let Err(error) = setrlimit(Resource::Nofile, most) {
        tracing::debug!(%error, "the limit of open files stays as it is");
    }
    let core = Rlimit { current: Some(0), maximum: getrlimit(Resource::Core).maximum };
    if let Err(error) = setrlimit(Resource::Core, core) {
        tracing::debug!(%error, "a crash may write this process's memory to disk");
    }
    getrlimit(Resource::Nofile).current
}

/// How many processes and threads this process's user and its cgroups may still have; `None` where no limit is in reach
/// of so many that are `wanted`.
#[must_use]
pub fn room_for_processes(wanted: u64) -> Option<u64> {
    // To count what runs takes a while, and most limits are far away.
    let near = wanted.saturating_add(FAR);
    let of_user = || {
        let limit = getrlimit(Resource::Nproc).current.filter(|limit| *limit < near)?;
        // It does not apply to root.
        let user = getuid();
        (!user.is_root()).then(|| limit.saturating_sub(tasks_of(user.as_raw())))
    };
    let of_cgroups = own_cgroups().into_iter().filter_map(|folder| {
        let number = |name: &str| std::fs::read_to_string(folder.join(name)).ok()?.trim().parse::<u64>().ok();
        Some(number("pids.max")?.saturating_sub(number("pids.current")?))
    });
    of_user().into_iter().chain(of_cgroups).min()
}

/// How far above the wanted processes a limit is out of reach.
const FAR: u64 = 10_000;

/// How many processes and threads a user has.
fn tasks_of(user: u32) -> u64 {
    let count = |id: Pid| {
        let status = std::fs::read_to_string(format!("/proc/{}/status", id.as_raw_nonzero())).ok()?;
        let field = |name: &str| {
            let line = status.lines().find_map(|line| line.strip_prefix(name))?;
            line.split_whitespace().next()?.parse::<u64>().ok()
        };
        (field("Uid:")? == u64::from(user)).then(|| field("Threads:"))?
    };
    ids().unwrap_or_default().into_iter().filter_map(count).sum()
}

/// The folders of the cgroup that this process is in, and of those above it, where processes are counted.
fn own_cgroups() -> Vec<PathBuf> {
    let listed = std::fs::read_to_string("/proc/self/cgroup").unwrap_or_default();
    listed.lines().flat_map(|line| cgroups_of(line, Path::new("/sys/fs/cgroup"))).collect()
}

/// The folders that a line of `/proc/self/cgroup` names (cgroups(7)), the innermost first.
fn cgroups_of(line: &str, mounted: &Path) -> Vec<PathBuf> {
    let mut parts = line.splitn(3, ':').skip(1);
    let (Some(controllers), Some(path)) = (parts.next(), parts.next()) else { return Vec::new() };
    let root = match controllers {
        "" => mounted.to_owned(),
        _ if controllers.split(',').any(|name| name == "pids") => mounted.join("pids"),
        _ => return Vec::new(),
    };
    let own = match path.trim_start_matches('/') {
        "" => root.clone(),
        path => root.join(path),
    };
    own.ancestors().take_while(|folder| folder.starts_with(&root)).map(Path::to_owned).collect()
}

/// Gives a command that was just started the limits that it would have without this process.
pub(super) fn restore(command: Pid) {
    if let Some(before) = OPEN_FILES.get() {
        // It may have ended already.
        let _ = prlimit(Some(command), Resource::Nofile, *before);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn line_of_a_cgroup_names_it_and_those_above() {
        let of = |line: &str| {
            let found = cgroups_of(line, Path::new("/cg")).into_iter();
            found.map(|folder| folder.display().to_string()).collect::<Vec<_>>()
        };
        assert_eq!(of("0::/a/b"), ["/cg/a/b", "/cg/a", "/cg"]);
        assert_eq!(of("0::/"), ["/cg"]);
        assert_eq!(of("7:cpu,pids:/a"), ["/cg/pids/a", "/cg/pids"]);
        for other in ["3:memory:/a", "0:", ""] {
            assert!(of(other).is_empty(), "{other}");
        }
    }

    #[test]
    fn own_processes_are_counted_by_thread() {
        let (hold, held) = std::sync::mpsc::channel::<()>();
        let other = std::thread::spawn(move || held.recv());
        assert!(tasks_of(getuid().as_raw()) >= 2, "this thread and one more");
        drop(hold);
        drop(other.join());
    }
}
