//! Resource limits of this process and of the commands that it starts (getrlimit(2)).

use std::sync::OnceLock;

use rustix::process::{Pid, Resource, Rlimit, getrlimit, prlimit, setrlimit};

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

/// Gives a command that was just started the limits that it would have without this process.
pub(super) fn restore(command: Pid) {
    if let Some(before) = OPEN_FILES.get() {
        // It may have ended already.
        let _ = prlimit(Some(command), Resource::Nofile, *before);
    }
}
