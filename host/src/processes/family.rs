//! A command and all that it starts.

use std::collections::hash_map::Entry;
use std::collections::{HashMap, HashSet, VecDeque};
use std::io;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::{Duration, Instant};

use pumice_core::duration::Span;
use pumice_core::ports::Clock;
use rustix::process::{
    Pid, Resource, Rlimit, Signal, WaitId, WaitIdOptions, WaitOptions, getrlimit, kill_process,
    kill_process_group, setrlimit, waitid, waitpid,
};
use tokio::process::{Child, Command};

use uuid::Uuid;

use super::cgroup::{self, Cgroup};
use super::mark::{Instance, Mark, Place};
use super::table::{self, MARK_VARIABLE, Process};
use super::{guard, limits};

/// The variable that names the scratch folder of a command's jobs.
pub const SCRATCH_VARIABLE: &str = "PUMICE_SCRATCH";

/// The pause before the first look whether terminated processes have ended; it doubles with each look, up to a
/// limit: a look goes through all processes of the machine.
const POLL: Duration = Duration::from_millis(10);
const MAX_POLL: Duration = Duration::from_millis(160);
/// How long processes may take to go away once they were killed: one that waits for a dead disk may take
/// for ever.
const KILL_PATIENCE: Span = Span::from_secs(20);
/// Within this time of a command's start no machine uses up its process ids: the processes that it left have higher
/// ones.
const NO_WRAP: Duration = Duration::from_secs(1);
/// Most times a family is looked through for processes to kill when nothing may wait.
const MAX_PASSES: usize = 200;
/// Most children that were waited for lately which are kept in mind.
const MAX_ENDED: usize = 128;
/// Most ids newer than a command's that are looked at one by one before all processes are looked at.
const MAX_NEWER: i32 = 512;
/// Most looks for processes until none vanished meanwhile.
const MAX_LOOKS: usize = 20;

/// Processes that could not be killed, or not be looked for.
#[derive(Debug, thiserror::Error)]
pub enum Survivors {
    /// They are there.
    #[error("processes {0:?} of the command cannot be killed; a dead disk or network may hold them")]
    Alive(Vec<i32>),
    /// They may be there.
    #[error("cannot look for processes that the command has left: {0}")]
    Unknown(io::Error),
}

/// The commands that this process has started.
#[derive(Default)]
struct Live {
    /// How many commands were started, which numbers their marks.
    started: u32,
    /// Children that a task waits for: they are neither orphans nor to be reaped here.
    awaited: HashSet<Pid>,
    /// Children that were waited for lately: their end says nothing about other processes.
    ended: VecDeque<Pid>,
    /// The commands that are not gone yet, and when each began, in the kernel's ticks.
    commands: HashMap<Mark, u64>,
    /// The command that is being started: its process is there before it is awaited.
    starting: Option<Mark>,
}

impl Live {
    /// A mark that no living process has.
    fn new_mark(&mut self, scratch: &Path) -> Mark {
        loop {
            self.started = self.started.wrapping_add(1);
            let mark = Mark::new(instance(scratch), self.started);
            if let Entry::Vacant(free) = self.commands.entry(mark) {
                free.insert(0);
                return mark;
            }
        }
    }
}

impl Live {
    /// Whether a process is one of a command's: it has its mark, or it has got rid of every mark and lost its parent,
    /// and no other command was there when it began.
    fn is_of(&self, process: &Process, mark: Mark) -> bool {
        match process.mark {
            Some(found) if found == mark => true,
            Some(found) if found.instance() == mark.instance() => false,
            _ => {
                let mut owners = self.commands.iter().filter(|(_, began)| **began <= process.began);
                self.is_orphan(process) && owners.all(|(owner, _)| *owner == mark)
            }
        }
    }

    /// Whether a process came to this one because it lost its parent. A child that this program started for itself
    /// stays in its process group; a process that a command started is in another.
    fn is_orphan(&self, process: &Process) -> bool {
        ADOPTS.load(Ordering::Relaxed)
            && process.parent == own_id()
            && process.group != own_group()
            && !self.awaited.contains(&process.id)
    }
}

/// This process as the one that starts the commands of a folder.
pub(super) fn instance(scratch: &Path) -> Instance {
    static RANDOM: OnceLock<u16> = OnceLock::new();
    let random = RANDOM.get_or_init(|| {
        let bytes = Uuid::new_v4().into_bytes();
        u16::from_be_bytes([bytes[0], bytes[1]])
    });
    Instance::new(Place::of(scratch), *random)
}

fn live() -> MutexGuard<'static, Live> {
    static LIVE: OnceLock<Mutex<Live>> = OnceLock::new();
    // A number and a set: whole even if another holder panicked.
    LIVE.get_or_init(Mutex::default).lock().unwrap_or_else(PoisonError::into_inner)
}

/// A command's processes, wherever they went. They are killed when this is dropped.
#[derive(Debug)]
pub struct ProcessFamily {
    /// The command's own process.
    root: Pid,
    mark: Mark,
    /// Whether its limits carry the mark: else its environment alone does.
    is_marked: bool,
    /// Where there may be one.
    cgroup: Option<Arc<Cgroup>>,
    started: Instant,
    /// Whether nothing of it is left.
    gone: bool,
}

/// Starts a command of the jobs of a scratch folder, in a process group of its own. Only one is started at a time: this
/// process has its mark for so long.
pub(super) fn start(command: &mut Command, scratch: &Path) -> io::Result<(Child, ProcessFamily)> {
    guard::watch_over(scratch);
    command.env(SCRATCH_VARIABLE, scratch).process_group(0).kill_on_drop(true);
    let own = {
        // A look at processes does not wait until this one has started.
        let mut live = live();
        let own = live.new_mark(scratch);
        live.starting = Some(own);
        own
    };
    command.env(MARK_VARIABLE, own.to_text());
    let cgroup = cgroup::take(instance(scratch));
    let (spawned, is_marked, cgroup) = spawn_in(command, own, cgroup);
    let mut live = live();
    live.starting = None;
    let started = spawned.and_then(|child| {
        let root = child.id().and_then(|id| Pid::from_raw(i32::try_from(id).ok()?));
        Ok((child, root.ok_or_else(|| io::Error::other("the command has no process id"))?))
    });
    let (child, root) = match started {
        Ok(started) => started,
        Err(error) => {
            live.commands.remove(&own);
            drop(live);
            if let Some(unused) = cgroup {
                cgroup::give_back(unused);
            }
            return Err(error);
        }
    };
    live.awaited.insert(root);
    live.ended.retain(|id| *id != root);
    live.commands.insert(own, table::began(root).unwrap_or_default());
    drop(live);
    limits::restore(root);
    Ok((child, ProcessFamily { root, mark: own, is_marked, cgroup, started: Instant::now(), gone: false }))
}

/// Starts a command with a mark and in a cgroup. Gives also whether it has the mark, and its cgroup.
fn spawn_in(
    command: &mut Command,
    mark: Mark,
    cgroup: Option<Arc<Cgroup>>,
) -> (io::Result<Child>, bool, Option<Arc<Cgroup>>) {
    let inside = cgroup.as_deref().and_then(|cgroup| {
        let entered = cgroup.enter();
        // Another program has removed it.
        entered.inspect_err(|error| tracing::debug!(%error, "a command starts without a cgroup")).ok()
    });
    let marked = Marked::set(mark);
    let spawned = command.spawn();
    let is_marked = marked.is_some();
    drop(marked);
    let is_inside = inside.is_some();
    drop(inside);
    (spawned, is_marked, cgroup.filter(|_| is_inside))
}

/// Starts a process of the program's own, which outlives no command and is not one.
pub(super) fn spawn_apart(command: &mut std::process::Command) -> io::Result<std::process::Child> {
    let mut live = live();
    let child = command.spawn()?;
    live.awaited.extend(i32::try_from(child.id()).ok().and_then(Pid::from_raw));
    Ok(child)
}

/// This process has the mark, and so do the processes that it starts, until this is dropped.
struct Marked {
    before: Rlimit,
}

impl Marked {
    fn set(mark: Mark) -> Option<Self> {
        let before = getrlimit(Resource::Locks);
        let limit = Rlimit { current: Some(mark.limit()), maximum: before.maximum };
        setrlimit(Resource::Locks, limit).ok()?;
        Some(Self { before })
    }
}

impl Drop for Marked {
    fn drop(&mut self) {
        // It was so a moment ago.
        let _ = setrlimit(Resource::Locks, self.before);
    }
}

/// Whether every child of this process that is not waited for is an orphan of a command.
static ADOPTS: AtomicBool = AtomicBool::new(false);

/// Makes this process the parent of all orphans below it (PR_SET_CHILD_SUBREAPER, prctl(2)), so that processes without
/// any mark are found, too. Only for a program that starts no children but commands of jobs: others would be taken for
/// theirs.
pub fn adopt_orphans() {
    match rustix::process::set_child_subreaper(Some(rustix::process::getpid())) {
        Ok(()) => ADOPTS.store(true, Ordering::Relaxed),
        // They go to process 1, and are found by their mark all the same.
        Err(error) => tracing::debug!(%error, "orphans of commands go to process 1"),
    }
}

/// A command's own process.
#[derive(Clone, Copy, Debug)]
pub struct Root(Pid);

impl Root {
    /// It has ended and was waited for: its id may become another process's.
    pub fn was_waited_for(self) {
        let mut live = live();
        live.awaited.remove(&self.0);
        if live.ended.len() >= MAX_ENDED {
            live.ended.pop_front();
        }
        live.ended.push_back(self.0);
    }

    /// Whether it has ended, and was not waited for yet.
    #[must_use]
    pub fn has_ended(self) -> bool {
        let options = WaitIdOptions::EXITED | WaitIdOptions::NOHANG | WaitIdOptions::NOWAIT;
        matches!(waitid(WaitId::Pid(self.0), options), Ok(Some(_)))
    }
}

impl ProcessFamily {
    /// The command's own process.
    #[must_use]
    pub fn root(&self) -> Root {
        Root(self.root)
    }

    /// Asks all of it to end, and returns when nothing of it is left; after `grace` it is killed. The caller
    /// waits for the command's own process before or at the same time, and says so by [`Root::was_waited_for`].
    ///
    /// # Errors
    /// [`Survivors`] when something of it cannot be killed.
    pub async fn end(&mut self, clock: &dyn Clock, grace: Span) -> Result<(), Survivors> {
        if self.is_surely_gone() {
            self.leave();
            return Ok(());
        }
        let (killing, patience) = (clock.now() + grace.delta(), grace.delta() + KILL_PATIENCE.delta());
        let giving_up = clock.now() + patience;
        let (mut asked, mut killed) = (HashSet::new(), HashSet::new());
        let mut pause = POLL;
        loop {
            let members = self.members().await;
            let now = clock.now();
            let survivors = match &members {
                Ok(members) if members.is_empty() => {
                    self.leave();
                    return Ok(());
                }
                Ok(members) => Survivors::Alive(members.iter().map(|id| id.as_raw_nonzero().get()).collect()),
                Err(error) => Survivors::Unknown(io::Error::new(error.kind(), error.to_string())),
            };
            if now >= giving_up {
                // To look again would find the same.
                self.leave();
                return Err(survivors);
            }
            if let Some(cgroup) = self.cgroup.as_ref().filter(|_| now >= killing) {
                cgroup.freeze(true);
            }
            for member in members.unwrap_or_default() {
                let is_new = if now >= killing { killed.insert(member) } else { asked.insert(member) };
                if is_new {
                    // It may go at once.
                    pause = POLL;
                }
                if now >= killing {
                    signal(member, Signal::KILL);
                } else if is_new {
                    signal(member, Signal::TERM);
                    // One that was stopped would not hear of it.
                    signal(member, Signal::CONT);
                }
            }
            let next = now + pause;
            clock.sleep_until(if now < killing { next.min(killing) } else { next }).await;
            pause = (pause * 2).min(MAX_POLL);
        }
    }

    /// Whether the ids that are newer than the command's show that it left no process.
    fn is_surely_gone(&self) -> bool {
        if self.cgroup.as_ref().is_some_and(|cgroup| !cgroup.is_unpopulated()) {
            return false;
        }
        if !self.is_marked || self.started.elapsed() > NO_WRAP || live().awaited.contains(&self.root) {
            return false;
        }
        let root = self.root.as_raw_nonzero().get();
        let mut seen = root;
        loop {
            let Some(newest) = table::newest() else { return false };
            if newest == seen {
                return true;
            }
            // Ids that began anew after the highest, or too many.
            if newest < seen || newest - root > MAX_NEWER {
                return false;
            }
            // In this order: a process that is gone by now has started only processes with later ids.
            if (seen + 1..=newest).filter_map(Pid::from_raw).any(|id| self.may_be(id)) {
                return false;
            }
            seen = newest;
        }
    }

    /// Whether something of the command may have this id.
    fn may_be(&self, id: Pid) -> bool {
        let since = {
            let live = live();
            if live.awaited.contains(&id) || live.ended.contains(&id) {
                return false;
            }
            live.commands.get(&self.mark).copied().unwrap_or_default()
        };
        match table::process_where(id, |process| process.began >= since) {
            Ok(Some(process)) if process.began < since || table::is_own_thread(id) => false,
            Ok(Some(process)) => live().is_of(&process, self.mark),
            Ok(None) => {
                reap_orphan(id);
                false
            }
            Err(_) => true,
        }
    }

    /// The ids of all that is alive of it.
    async fn members(&self) -> io::Result<Vec<Pid>> {
        let (root, mark, cgroup) = (self.root, self.mark, self.cgroup.clone());
        // There may be many processes, and this thread has others to see to.
        tokio::task::spawn_blocking(move || members_of(root, mark, cgroup.as_deref()))
            .await
            .map_err(io::Error::other)?
    }

    fn leave(&mut self) {
        self.gone = true;
        live().commands.remove(&self.mark);
        if let Some(left) = self.cgroup.take() {
            cgroup::give_back(left);
        }
    }
}

impl Drop for ProcessFamily {
    fn drop(&mut self) {
        if self.gone {
            return;
        }
        if live().awaited.contains(&self.root) {
            // The group may have ended by itself.
            let _ = kill_process_group(self.root, Signal::KILL);
        }
        if let Some(cgroup) = &self.cgroup {
            cgroup.freeze(true);
        }
        for _ in 0..MAX_PASSES {
            match members_of(self.root, self.mark, self.cgroup.as_deref()) {
                Ok(members) if members.is_empty() => break,
                Ok(members) => members.into_iter().for_each(|id| signal(id, Signal::KILL)),
                // The next look may see them.
                Err(_) => {}
            }
            std::thread::sleep(Duration::from_millis(1));
        }
        self.leave();
        live().awaited.remove(&self.root);
    }
}

/// The living processes of a command: those in its cgroup, those with its mark, and the descendants of either.
fn members_of(root: Pid, mark: Mark, cgroup: Option<&Cgroup>) -> io::Result<Vec<Pid>> {
    for _ in 0..MAX_LOOKS {
        let (members, is_sure) = look_for_members(root, mark, cgroup)?;
        if is_sure || !members.is_empty() {
            return Ok(members);
        }
    }
    Ok(Vec::new())
}

/// The living processes of a command at one look, and whether every process could be looked at: one that vanished
/// meanwhile may have started another.
fn look_for_members(root: Pid, mark: Mark, cgroup: Option<&Cgroup>) -> io::Result<(Vec<Pid>, bool)> {
    let mut processes = Vec::new();
    let mut is_sure = true;
    let since = live().commands.get(&mark).copied().unwrap_or_default();
    let own = own_id();
    for id in table::ids()? {
        // A process that began before the command is not its own, unless it is an orphan that no other command owns.
        match table::process_where(id, |process| process.began >= since || process.parent == own)? {
            Some(process) => processes.push(process),
            None if table::zombie(id)?.is_some() => reap_orphan(id),
            None => is_sure = false,
        }
    }
    let mut members: HashSet<Pid> = {
        let live = live();
        // Another process may have the id of a command that has ended.
        let is_root = |process: &Process| process.id == root && live.awaited.contains(&root);
        let belongs = |process: &&Process| is_root(process) || live.is_of(process, mark);
        processes.iter().filter(belongs).map(|process| process.id).collect()
    };
    if let Some(cgroup) = cgroup {
        members.extend(cgroup.processes()?);
    }
    loop {
        let below = |process: &&Process| {
            !members.contains(&process.id)
                && Pid::from_raw(process.parent).is_some_and(|parent| members.contains(&parent))
        };
        let more: Vec<Pid> = processes.iter().filter(below).map(|process| process.id).collect();
        if more.is_empty() {
            return Ok((members.into_iter().collect(), is_sure));
        }
        members.extend(more);
    }
}

/// Waits for a process that has ended, if it is an orphan of a command: nothing else does.
pub(super) fn reap_orphan(id: Pid) {
    let Ok(Some((parent, group))) = table::zombie(id) else { return };
    // The one that is being started is waited for by another thread in a moment.
    let is_starting = |live: &Live| {
        live.starting.is_some_and(|mark| !matches!(table::mark(id), Ok(Some(other)) if other != mark))
    };
    let live = live();
    let adopts = ADOPTS.load(Ordering::Relaxed);
    if adopts
        && parent == own_id()
        && group != own_group()
        && !live.awaited.contains(&id)
        && !is_starting(&live)
    {
        // Another thread may have done so.
        let _ = waitpid(Some(id), WaitOptions::NOHANG);
    }
}

/// The id of this process.
fn own_id() -> i32 {
    rustix::process::getpid().as_raw_nonzero().get()
}

/// The process group of this process.
fn own_group() -> i32 {
    rustix::process::getpgrp().as_raw_nonzero().get()
}

fn signal(id: Pid, signal: Signal) {
    // It may have ended by itself.
    let _ = kill_process(id, signal);
}

/// Whether a process came to this one because it lost its parent.
pub(super) fn is_orphan(process: &Process) -> bool {
    live().is_orphan(process)
}

/// Kills the processes that `is_left` selects, and waits until they are gone. Gives their number.
pub(super) fn kill_all(is_left: &dyn Fn(&Process) -> bool) -> usize {
    let own = rustix::process::getpid();
    let mut killed = HashSet::new();
    for _ in 0..MAX_PASSES {
        let Ok(all) = table::processes() else {
            // This process has run out of something for a moment.
            std::thread::sleep(POLL);
            continue;
        };
        let left: Vec<Pid> = all
            .iter()
            .filter(|process| process.id != own && is_left(process))
            .map(|process| process.id)
            .collect();
        if left.is_empty() {
            break;
        }
        for id in left {
            signal(id, Signal::KILL);
            killed.insert(id);
        }
        std::thread::sleep(POLL);
    }
    killed.iter().copied().for_each(reap_orphan);
    killed.len()
}
