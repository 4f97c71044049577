//! A command and all that it starts.

use std::collections::HashSet;
use std::io;
use std::os::fd::OwnedFd;
use std::path::Path;
use std::process::{self, ExitStatus, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

use pumice_core::Timestamp;
use pumice_core::duration::Span;
use pumice_core::ports::Clock;
use rustix::process::{
    Pid, Resource, Rlimit, Signal, WaitId, WaitIdOptions, getrlimit, kill_process, kill_process_group,
    setrlimit, waitid,
};
use tokio::process::{Child, ChildStderr, ChildStdout, Command};

use super::cgroup::{self, Cgroup};
use super::link::{self, Link, NotBegun, Subreaper};
use super::live::{Owner, instance, live, own_id, reap_orphan};
use super::mark::Mark;
use super::subreaper::{Launch, Order};
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
/// Most ids newer than a command's that are looked at one by one before all processes are looked at.
const MAX_NEWER: i32 = 512;
/// Most looks for processes until none vanished meanwhile.
const MAX_LOOKS: usize = 20;
/// Most looks that find no process while a subreaper does not say that nothing is left: it waits for the last one then.
const MAX_UNSEEN: u32 = 3;

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
    /// The subreaper that its own process is below; none where it is a child of this process.
    link: Option<Arc<Link>>,
    started: Instant,
    /// Whether nothing of it is left.
    gone: bool,
}

/// A command that was started.
#[derive(Debug)]
pub struct Running {
    /// What it prints.
    pub stdout: ChildStdout,
    /// The same of its errors.
    pub stderr: ChildStderr,
    /// Its own process, to be waited for. It is killed when this is dropped, or the family.
    pub root: Root,
    /// All of its processes.
    pub family: ProcessFamily,
}

/// Starts a command of the jobs of a scratch folder, in a process group of its own. Only one is started at a time: this
/// process has its mark for so long.
pub(super) fn start(mut launch: Launch, scratch: &Path) -> io::Result<Running> {
    guard::watch_over(scratch);
    let mark = {
        // A look at processes does not wait until this one has started.
        let mut live = live();
        let mark = live.new_mark(scratch);
        live.starting = Some(mark);
        mark
    };
    launch.env.push((SCRATCH_VARIABLE.into(), scratch.into()));
    launch.env.push((MARK_VARIABLE.into(), mark.to_text().into()));
    let cgroup = cgroup::take(instance(scratch));
    let below = if cgroup.is_none() { start_below(&launch, mark) } else { None };
    let started = below.unwrap_or_else(|| start_directly(&launch, mark, cgroup));
    let mut live = live();
    live.starting = None;
    if started.is_err() {
        live.commands.remove(&mark);
    }
    started
}

/// Starts a command as a child of this process.
fn start_directly(launch: &Launch, mark: Mark, cgroup: Option<Arc<Cgroup>>) -> io::Result<Running> {
    let mut command = Command::from(launch.command());
    command.stdout(Stdio::piped()).stderr(Stdio::piped()).kill_on_drop(true);
    let (spawned, is_marked, cgroup) = spawn_in(&mut command, mark, cgroup);
    let parts = spawned.and_then(|mut child| {
        let root = child.id().and_then(|id| Pid::from_raw(i32::try_from(id).ok()?));
        let outputs = child.stdout.take().zip(child.stderr.take());
        let missing = || io::Error::other("the command has no process id or outputs");
        root.zip(outputs).map(|(root, outputs)| (child, root, outputs)).ok_or_else(missing)
    });
    let (child, root, (stdout, stderr)) = match parts {
        Ok(parts) => parts,
        Err(error) => {
            if let Some(unused) = cgroup {
                cgroup::give_back(unused);
            }
            return Err(error);
        }
    };
    let mut live = live();
    live.awaited.insert(root);
    live.ended.retain(|id| *id != root);
    live.commands.insert(mark, Owner { began: table::began(root).unwrap_or_default(), loses: true });
    drop(live);
    limits::restore(root);
    let family =
        ProcessFamily { root, mark, is_marked, cgroup, link: None, started: Instant::now(), gone: false };
    Ok(Running { stdout, stderr, root: Root(Way::Own(child, root)), family })
}

/// Starts a command below a subreaper; `None` where there may be none.
fn start_below(launch: &Launch, mark: Mark) -> Option<io::Result<Running>> {
    let order = Order { launch: launch.clone(), mark };
    // Each that was killed goes.
    while let Some(subreaper) = link::take() {
        let begun = begin_below(subreaper, &order);
        if let Err(NotBegun::Unsent(error)) = begun {
            tracing::debug!(%error, "a subreaper was killed");
            continue;
        }
        return Some(begun.map_err(|error| match error {
            NotBegun::Command(error) | NotBegun::Unsent(error) => error,
            NotBegun::Silent(error) => {
                kill_all(&|process| process.mark == Some(mark));
                io::Error::new(error.kind(), format!("its subreaper does not answer: {error}"))
            }
        }));
    }
    None
}

fn begin_below(subreaper: Subreaper, order: &Order) -> Result<Running, NotBegun> {
    let outputs = || -> io::Result<_> { Ok((io::pipe()?, io::pipe()?)) };
    let ((stdout, to_stdout), (stderr, to_stderr)) = outputs().map_err(NotBegun::Command)?;
    let (stdout, stderr) = (OwnedFd::from(stdout), OwnedFd::from(stderr));
    let opened = || -> io::Result<_> {
        let (stdout, stderr) = (process::ChildStdout::from(stdout), process::ChildStderr::from(stderr));
        Ok((ChildStdout::from_std(stdout)?, ChildStderr::from_std(stderr)?))
    };
    let (stdout, stderr) = opened().map_err(NotBegun::Command)?;
    let root = match subreaper.begin(order, [&to_stdout.into(), &to_stderr.into()]) {
        Err(NotBegun::Command(error)) => {
            subreaper.give_back();
            return Err(NotBegun::Command(error));
        }
        begun => begun?,
    };
    let began = table::began(root).unwrap_or_default();
    live().commands.insert(order.mark, Owner { began, loses: false });
    let link = Arc::new(Link::new(subreaper).map_err(NotBegun::Silent)?);
    let family = ProcessFamily {
        root,
        mark: order.mark,
        is_marked: true,
        cgroup: None,
        link: Some(link.clone()),
        started: Instant::now(),
        gone: false,
    };
    Ok(Running { stdout, stderr, root: Root(Way::Below(link)), family })
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

/// This process has the mark, and so do the processes that it starts, until this is dropped.
pub(super) struct Marked {
    before: Rlimit,
}

impl Marked {
    pub(super) fn set(mark: Mark) -> Option<Self> {
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

/// A command's own process.
#[derive(Debug)]
pub struct Root(Way);

/// How a command's own process is waited for.
#[derive(Debug)]
enum Way {
    /// It is a child of this process.
    Own(Child, Pid),
    /// It is one of a subreaper's.
    Below(Arc<Link>),
}

impl Root {
    /// Waits for its end.
    ///
    /// # Errors
    /// When the end cannot be known.
    pub async fn wait(&mut self) -> io::Result<ExitStatus> {
        match &mut self.0 {
            Way::Own(child, id) => {
                let status = child.wait().await;
                live().forget(*id);
                status
            }
            Way::Below(link) => link.ended().await,
        }
    }
}

impl ProcessFamily {
    /// Whether the command's own process has ended, whether it was waited for or not.
    #[must_use]
    pub fn root_has_ended(&self) -> bool {
        if let Some(link) = &self.link {
            return link.has_ended();
        }
        let options = WaitIdOptions::EXITED | WaitIdOptions::NOHANG | WaitIdOptions::NOWAIT;
        matches!(waitid(WaitId::Pid(self.root), options), Ok(Some(_)))
    }

    /// Asks all of it to end, and returns when nothing of it is left; after `grace` it is killed. The caller
    /// waits for the command's own process before or at the same time ([`Root::wait`]).
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
        let (mut pause, mut unseen) = (POLL, 0);
        loop {
            let members = self.members().await;
            let now = clock.now();
            unseen = if members.as_ref().is_ok_and(Vec::is_empty) { unseen + 1 } else { 0 };
            let survivors = match &members {
                // A subreaper says so itself, unless it was stopped.
                Ok(_) if unseen > 0 && (self.is_known_to_be_gone() || unseen > MAX_UNSEEN) => {
                    self.leave();
                    return Ok(());
                }
                Ok(members) => Survivors::Alive(members.iter().map(|id| id.as_raw_nonzero().get()).collect()),
                Err(error) => Survivors::Unknown(io::Error::new(error.kind(), error.to_string())),
            };
            if now >= giving_up {
                // To look again would find the same.
                self.give_up();
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
            self.rest(clock, if now < killing { next.min(killing) } else { next }).await;
            pause = (pause * 2).min(MAX_POLL);
        }
    }

    /// Waits until then, or until a subreaper has something to say.
    async fn rest(&self, clock: &dyn Clock, until: Timestamp) {
        let Some(link) = &self.link else { return clock.sleep_until(until).await };
        tokio::select! {
            () = clock.sleep_until(until) => {}
            () = link.changed() => {}
        }
    }

    /// Whether a look that found no process is enough to know that none is left.
    fn is_known_to_be_gone(&self) -> bool {
        self.link.as_ref().is_none_or(|link| link.is_empty() || link.is_broken())
    }

    /// Whether the subreaper, or the ids that are newer than the command's, show that it left no process.
    fn is_surely_gone(&self) -> bool {
        if let Some(link) = &self.link {
            return link.is_empty();
        }
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
            live.commands.get(&self.mark).map_or(0, |owner| owner.began)
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
        let places = self.places();
        // There may be many processes, and this thread has others to see to.
        tokio::task::spawn_blocking(move || places.members()).await.map_err(io::Error::other)?
    }

    /// Where its processes are looked for now.
    fn places(&self) -> Places {
        let Self { root, mark, .. } = *self;
        if self.link.as_ref().is_some_and(|link| link.is_broken())
            && let Some(owner) = live().commands.get_mut(&mark)
        {
            owner.loses = true;
        }
        Places { root, mark, cgroup: self.cgroup.clone(), link: self.link.clone() }
    }

    fn leave(&mut self) {
        live().commands.remove(&self.mark);
        self.let_go();
    }

    /// Leaves processes that cannot be killed: they are no other command's.
    fn give_up(&mut self) {
        if let Some(owner) = live().commands.get_mut(&self.mark) {
            owner.loses = false;
        }
        self.let_go();
    }

    fn let_go(&mut self) {
        self.gone = true;
        if let Some(left) = self.cgroup.take() {
            cgroup::give_back(left);
        }
        if let Some(left) = self.link.take() {
            left.leave();
        }
    }
}

impl Drop for ProcessFamily {
    fn drop(&mut self) {
        if self.gone {
            return;
        }
        let is_awaited = self.link.as_ref().map_or_else(
            || live().awaited.contains(&self.root),
            |link| !link.has_ended() && !link.is_broken(),
        );
        if is_awaited {
            // The group may have ended by itself.
            let _ = kill_process_group(self.root, Signal::KILL);
        }
        if let Some(cgroup) = &self.cgroup {
            cgroup.freeze(true);
        }
        for _ in 0..MAX_PASSES {
            match self.places().members() {
                Ok(members) if members.is_empty() => break,
                Ok(members) => members.into_iter().for_each(|id| signal(id, Signal::KILL)),
                // The next look may see them.
                Err(_) => {}
            }
            std::thread::sleep(Duration::from_millis(1));
        }
        if self.link.is_none() {
            live().awaited.remove(&self.root);
        }
        self.leave();
    }
}

/// Where the processes of a command are looked for.
struct Places {
    root: Pid,
    mark: Mark,
    cgroup: Option<Arc<Cgroup>>,
    link: Option<Arc<Link>>,
}

impl Places {
    /// The living processes of a command: those in its cgroup, below its subreaper or with its mark, and the descendants of
    /// any.
    fn members(&self) -> io::Result<Vec<Pid>> {
        for _ in 0..MAX_LOOKS {
            if self.link.as_ref().is_some_and(|link| link.is_empty()) {
                break;
            }
            let (members, is_sure) = self.look()?;
            if is_sure || !members.is_empty() {
                return Ok(members);
            }
        }
        Ok(Vec::new())
    }

    /// The living processes of a command at one look, and whether every process could be looked at: one that vanished
    /// meanwhile may have started another.
    fn look(&self) -> io::Result<(Vec<Pid>, bool)> {
        let mut processes = Vec::new();
        let mut is_sure = true;
        let since = live().commands.get(&self.mark).map_or(0, |owner| owner.began);
        let own = own_id();
        let subreaper = self.link.as_ref().map(|link| link.id().as_raw_nonzero().get());
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
            let belongs = |process: &&Process| {
                // Another process may have the id of a command that has ended.
                let is_root = process.id == self.root && live.awaited.contains(&self.root);
                is_root || Some(process.parent) == subreaper || live.is_of(process, self.mark)
            };
            processes.iter().filter(belongs).map(|process| process.id).collect()
        };
        if let Some(cgroup) = &self.cgroup {
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
}

fn signal(id: Pid, signal: Signal) {
    // It may have ended by itself.
    let _ = kill_process(id, signal);
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
