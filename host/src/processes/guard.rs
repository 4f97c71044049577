//! Processes next to the one that runs jobs, which end its commands should it be killed.

use std::collections::HashMap;
use std::ffi::OsString;
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::Duration;

use pumice_core::job_type::is_exhausted;
use rustix::process::{Pid, Signal, getpid, getppid, kill_process};
use tokio::signal::unix::{Signal as Heard, SignalKind, signal};

use super::cgroup;
use super::family::kill_all;
use super::live::{forget_own, instance, spawn_apart};
use super::mark::Instance;
use super::subreaper::SUBREAPER;
use super::table::{self, Process};

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
        let (_, gone) = post.guards.swap_remove(known);
        i32::try_from(gone.id()).ok().and_then(Pid::from_raw).into_iter().for_each(forget_own);
    }
    let mut command = Command::new("/proc/self/exe");
    command.arg(GUARD).arg(instance.to_text()).arg(std::process::id().to_string());
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
    let server = arguments.get(1).and_then(|id| Pid::from_raw(id.to_str()?.parse().ok()?));
    let Some(server) = server else { return 2 };
    let deaf = outlive_signals();
    let adopted = Arc::new(Mutex::new(Known::new()));
    watch(server, adopted.clone());
    // Nothing is ever written, so this returns when the other end is closed.
    if let Err(error) = std::io::stdin().read_to_end(&mut Vec::new()) {
        // The process may live: its commands must.
        tracing::debug!(%error, "a guard cannot wait");
        return 1;
    }
    let is_marked = |process: &Process| process.mark.is_some_and(|mark| mark.instance() == instance);
    let mut doomed = std::mem::take(&mut *adopted.lock().unwrap_or_else(PoisonError::into_inner));
    // While those are alive that they were started by.
    add_below(&mut doomed, &is_marked);
    cgroup::kill_left(&|other| other == instance);
    kill_all(&is_marked);
    kill_known(&mut doomed);
    if let Some(folder) = arguments.get(2) {
        // A process that ended by itself has removed it.
        let _ = std::fs::remove_dir_all(folder);
    }
    drop(deaf);
    0
}

/// Processes by their ids, and when each began: ids are given again.
pub(super) type Known = HashMap<Pid, u64>;

/// How often the guard looks for what its server has adopted.
const LOOK: Duration = Duration::from_millis(500);
/// Most times that processes are killed which others start meanwhile, and how long after each time the next is.
const MAX_PASSES: usize = 200;
const PASS: Duration = Duration::from_millis(10);

/// Notes the processes below the server for as long as it lives. An orphan that has lost every mark is its child until then,
/// and nobody's afterwards.
fn watch(server: Pid, adopted: Arc<Mutex<Known>>) {
    let looking = std::thread::Builder::new().name("looker".to_owned()).spawn(move || {
        while getppid() == Some(server) {
            let found = children_of(server);
            let mut known = adopted.lock().unwrap_or_else(PoisonError::into_inner);
            // A subreaper that was just started had the worker's arguments.
            known.retain(|id, began| {
                table::began(*id) == Some(*began) && !table::has_first_argument(*id, SUBREAPER)
            });
            known.extend(found);
            drop(known);
            std::thread::sleep(LOOK);
        }
    });
    if let Err(error) = looking {
        tracing::debug!(%error, "a guard knows its server's commands by their marks alone");
    }
}

/// What the server has started or adopted, but for guards and what was there before this one: a process of a command may be
/// in the server's process group. Of subreapers those below: they end by themselves once that has ended.
fn children_of(server: Pid) -> Known {
    let group_of = |id| table::process_where(id, |_| false).ok().flatten().map(|process| process.group);
    let Some(group) = group_of(server) else { return Known::new() };
    let own = getpid();
    let own_begin = table::began(own).unwrap_or_default();
    let is_own = |process: &Process| {
        process.id == own
            || process.group == group && process.began <= own_begin
            || table::has_first_argument(process.id, GUARD)
    };
    let mut known = Known::new();
    for child in table::living_children(server).into_iter().filter(|child| !is_own(child)) {
        if table::has_first_argument(child.id, SUBREAPER) {
            known.extend(table::living_children(child.id).into_iter().map(|below| (below.id, below.began)));
        } else {
            known.insert(child.id, child.began);
        }
    }
    known
}

/// Adds the processes that are meant, and all that stand below any.
pub(super) fn add_below(doomed: &mut Known, is_meant: &dyn Fn(&Process) -> bool) {
    let Ok(all) = table::processes() else { return };
    let own = getpid();
    // Another process may have the id of one that has gone.
    doomed.retain(|id, began| all.iter().any(|process| process.id == *id && process.began == *began));
    loop {
        let is_below = |process: &Process| {
            is_meant(process)
                || Pid::from_raw(process.parent).is_some_and(|parent| doomed.contains_key(&parent))
        };
        let more: Vec<(Pid, u64)> = all
            .iter()
            .filter(|process| process.id != own && !doomed.contains_key(&process.id) && is_below(process))
            .map(|process| (process.id, process.began))
            .collect();
        if more.is_empty() {
            return;
        }
        doomed.extend(more);
    }
}

/// Kills processes and all that they start meanwhile.
fn kill_known(doomed: &mut Known) {
    for _ in 0..MAX_PASSES {
        add_below(doomed, &|_| false);
        if doomed.is_empty() {
            return;
        }
        for id in doomed.keys() {
            // It may have ended by itself.
            let _ = kill_process(*id, Signal::KILL);
        }
        std::thread::sleep(PASS);
    }
}

/// Does nothing about the signals that ask a process to end, until it is dropped: a supervisor sends them to every process of
/// a service, and the guard must outlive the worker. A signal that was ignored before stays so, also for what is started.
pub(super) fn outlive_signals() -> Option<(tokio::runtime::Runtime, Vec<Heard>)> {
    let listen = || -> io::Result<_> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_io().build()?;
        let entered = runtime.enter();
        let kinds =
            [SignalKind::terminate(), SignalKind::interrupt(), SignalKind::hangup(), SignalKind::quit()];
        let heard = kinds.into_iter().filter(|kind| !table::ignores(kind.as_raw_value()));
        let signals = heard.map(signal).collect::<io::Result<Vec<_>>>()?;
        drop(entered);
        Ok((runtime, signals))
    };
    // Without handlers the guard still works until such a signal arrives.
    listen().ok()
}
