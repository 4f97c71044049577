//! Processes next to the one that runs jobs, which end its commands should it be killed.

use std::ffi::OsString;
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::{Mutex, OnceLock, PoisonError};

use pumice_core::job_type::is_exhausted;
use tokio::signal::unix::{Signal, SignalKind, signal};

use super::cgroup;
use super::family::{instance, kill_all, spawn_apart};
use super::mark::Instance;

/// The first argument of the program when it is to be a guard.
pub const GUARD: &str = "__guard";

/// How guards are started, and those that are there, one for each folder: a guard ends when its standard input does.
#[derive(Default)]
struct Post {
    enabled: bool,
    remove: Option<PathBuf>,
    guards: Vec<(Instance, Child)>,
}

fn post() -> &'static Mutex<Post> {
    static POST: OnceLock<Mutex<Post>> = OnceLock::new();
    POST.get_or_init(Mutex::default)
}

/// Has a guard started with the first command of each folder: this program must call [`run_guard`] when its first
/// argument is [`GUARD`]. `remove` is a folder that goes when this process was killed.
pub fn use_guard(remove: Option<&Path>) {
    let mut post = post().lock().unwrap_or_else(PoisonError::into_inner);
    post.enabled = true;
    post.remove = remove.map(Path::to_owned);
}

/// Sees to it that there is a guard for the commands of a folder, where this program has one.
pub(super) fn watch_over(scratch: &Path) {
    let mut post = post().lock().unwrap_or_else(PoisonError::into_inner);
    if !post.enabled {
        return;
    }
    let instance = instance(scratch);
    let known = post.guards.iter().position(|(other, _)| *other == instance);
    if let Some(known) = known {
        let ended = post.guards.get_mut(known).is_none_or(|(_, guard)| !matches!(guard.try_wait(), Ok(None)));
        if !ended {
            return;
        }
        // It was killed.
        post.guards.swap_remove(known);
    }
    let mut command = Command::new("/proc/self/exe");
    command.arg(GUARD).arg(instance.to_text());
    command.args(post.remove.as_deref());
    command.env_clear().current_dir("/");
    command.stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::null());
    // Signals that a terminal sends to the program's group are not for the guard.
    std::os::unix::process::CommandExt::process_group(&mut command, 0);
    match spawn_apart(&mut command) {
        Ok(guard) => post.guards.push((instance, guard)),
        // The next command brings it.
        Err(error) if is_exhausted(&error) => tracing::warn!(%error, "no guard for now"),
        Err(error) => {
            tracing::warn!(%error, "no guard: commands outlive this process should it be killed");
            post.enabled = false;
        }
    }
}

/// Waits until the process that started this one is gone, then kills the processes that it left running. Gives
/// the status to end with: 2 when the arguments are not a guard's.
#[must_use]
pub fn run_guard(arguments: &[OsString]) -> u8 {
    let Some(instance) = arguments.first().and_then(|text| Instance::from_text(text.to_str()?)) else {
        return 2;
    };
    let ignored = ignore_signals();
    // Nothing is ever written, so this returns when the other end is closed.
    if let Err(error) = std::io::stdin().read_to_end(&mut Vec::new()) {
        // The process may live: its commands must.
        tracing::debug!(%error, "a guard cannot wait");
        return 1;
    }
    cgroup::kill_left(&|other| other == instance);
    kill_all(&|process| process.mark.is_some_and(|mark| mark.instance() == instance));
    if let Some(folder) = arguments.get(1) {
        // A process that ended by itself has removed it.
        let _ = std::fs::remove_dir_all(folder);
    }
    drop(ignored);
    0
}

/// Ignores the signals that ask a process to end, until it is dropped: a supervisor sends them to every process of a
/// service, and the guard must outlive the worker.
fn ignore_signals() -> Option<(tokio::runtime::Runtime, Vec<Signal>)> {
    let listen = || -> io::Result<_> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_io().build()?;
        let entered = runtime.enter();
        let kinds =
            [SignalKind::terminate(), SignalKind::interrupt(), SignalKind::hangup(), SignalKind::quit()];
        let signals = kinds.into_iter().map(signal).collect::<io::Result<Vec<_>>>()?;
        drop(entered);
        Ok((runtime, signals))
    };
    // Without handlers the guard still works until such a signal arrives.
    listen().ok()
}
