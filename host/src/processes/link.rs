//! The subreapers of this process, and the links to those that have a command.

use std::io::{self, ErrorKind::WouldBlock};
use std::net::Shutdown;
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::process::{Command, ExitStatus, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::Duration;

use pumice_core::job_type::is_exhausted;
use rustix::io::Errno;
use rustix::net::{RecvFlags, recv};
use rustix::process::{Pid, Signal, WaitOptions, kill_process, waitpid};
use tokio::io::Interest;
use tokio::sync::Notify;

use super::limits;
use super::live::{forget_own, spawn_apart};
use super::subreaper::{Message, Order};

/// Most subreapers kept for later commands.
const MAX_SPARE: usize = 64;
/// How long a subreaper may take to start a command. One that was stopped must not hold up the others' starts.
const START_LIMIT: Duration = Duration::from_secs(10);
/// Most messages that are read at once.
const MAX_MESSAGES: usize = 4;

/// A process that this one has started to be a subreaper. It ends with what is below it when this is dropped.
#[derive(Debug)]
pub(super) struct Subreaper {
    id: Pid,
    socket: UnixStream,
}

#[derive(Default)]
struct Pool {
    /// By these arguments this program becomes a subreaper; `None` where it has none.
    arguments: Option<Vec<String>>,
    spare: Vec<Subreaper>,
}

fn pool() -> MutexGuard<'static, Pool> {
    static POOL: OnceLock<Mutex<Pool>> = OnceLock::new();
    // A list and a number: whole even if another holder panicked.
    POOL.get_or_init(Mutex::default).lock().unwrap_or_else(PoisonError::into_inner)
}

/// Those that were let go and may not have ended yet.
fn retired() -> MutexGuard<'static, Vec<Pid>> {
    static RETIRED: Mutex<Vec<Pid>> = Mutex::new(Vec::new());
    RETIRED.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Has each command that gets no cgroup start below a subreaper of its own: this program must call
/// [`super::run_subreaper`] when it gets these arguments.
pub fn use_subreapers(arguments: &[&str]) {
    pool().arguments = Some(arguments.iter().map(|text| (*text).to_owned()).collect());
}

/// A subreaper without a command; `None` where there may be none.
pub(super) fn take() -> Option<Subreaper> {
    reap_retired();
    loop {
        // Taken out under the lock and looked at without it.
        let spare = pool().spare.pop();
        match spare {
            Some(spare) if spare.is_ready() => return Some(spare),
            // It was killed.
            Some(_) => {}
            None => break,
        }
    }
    let arguments = pool().arguments.clone()?;
    match Subreaper::start(&arguments) {
        Ok(started) => Some(started),
        Err(error) if is_exhausted(&error) => {
            tracing::debug!(%error, "no subreaper for a command for now");
            None
        }
        Err(error) => {
            tracing::warn!(%error, "no subreapers: commands are known by their marks alone");
            pool().arguments = None;
            None
        }
    }
}

fn reap_retired() {
    let mut retired = retired();
    retired.retain(|id| {
        let is_alive = matches!(waitpid(Some(*id), WaitOptions::NOHANG), Ok(None));
        if !is_alive {
            forget_own(*id);
        }
        is_alive
    });
}

impl Subreaper {
    fn start(arguments: &[String]) -> io::Result<Self> {
        let (socket, theirs) = UnixStream::pair()?;
        socket.set_read_timeout(Some(START_LIMIT))?;
        let mut command = Command::new("/proc/self/exe");
        command.args(arguments).env_clear().current_dir("/");
        command.stdin(OwnedFd::from(theirs)).stdout(Stdio::null()).stderr(Stdio::null());
        // Signals that a terminal sends to the program's group are not for it.
        command.process_group(0);
        let id = i32::try_from(spawn_apart(&mut command)?.id()).ok().and_then(Pid::from_raw);
        let id = id.ok_or_else(|| io::Error::other("the subreaper has no process id"))?;
        // Its commands inherit them.
        limits::restore(id);
        Ok(Self { id, socket })
    }

    /// Whether it is there, and has said nothing since its last command.
    fn is_ready(&self) -> bool {
        let flags = RecvFlags::DONTWAIT | RecvFlags::PEEK;
        matches!(recv(&self.socket, &mut [0; 1], flags), Err(Errno::AGAIN))
    }

    /// Has it start a command, whose process id this gives.
    ///
    /// # Errors
    /// [`NotBegun`], which says whether the subreaper is to blame.
    pub(super) fn begin(&self, order: &Order, outputs: [&OwnedFd; 2]) -> Result<Pid, NotBegun> {
        // The link of the command before had it otherwise.
        self.socket.set_nonblocking(false).map_err(NotBegun::Unsent)?;
        order.send(&self.socket, outputs).map_err(|error| {
            let is_too_long = error.raw_os_error() == Some(Errno::TOOBIG.raw_os_error());
            if is_too_long { NotBegun::Command(error) } else { NotBegun::Unsent(error) }
        })?;
        let mut bytes = [0; Message::LENGTH];
        let read = io::Read::read_exact(&mut &self.socket, &mut bytes);
        let answer = read.map(|()| Message::from_bytes(bytes));
        match answer {
            Ok(Some(Message::Started(id))) if let Some(id) = Pid::from_raw(id) => Ok(id),
            Ok(Some(Message::Failed(error))) => Err(NotBegun::Command(io::Error::from_raw_os_error(error))),
            answer => {
                // It must not start the command later.
                let _ = kill_process(self.id, Signal::KILL);
                Err(NotBegun::Silent(answer.err().unwrap_or_else(|| io::ErrorKind::InvalidData.into())))
            }
        }
    }

    /// Has it end, with all that is below it.
    fn end(&self) {
        // A link may still have the socket.
        let _ = self.socket.shutdown(Shutdown::Both);
        // One that the command has stopped would not hear of it.
        let _ = kill_process(self.id, Signal::CONT);
    }

    /// Keeps it for a later command. It must have none.
    pub(super) fn give_back(self) {
        let mut pool = pool();
        if pool.arguments.is_some() && pool.spare.len() < MAX_SPARE {
            pool.spare.push(self);
        }
    }
}

impl Drop for Subreaper {
    fn drop(&mut self) {
        self.end();
        retired().push(self.id);
    }
}

/// Why a subreaper has started no command.
#[derive(Debug)]
pub(super) enum NotBegun {
    /// The command cannot be started.
    Command(io::Error),
    /// The subreaper was killed before it got the order.
    Unsent(io::Error),
    /// The subreaper did not answer: it may have started the command.
    Silent(io::Error),
}

/// The state of a subreaper's command, as far as it is known.
#[derive(Clone, Copy, Debug, Default)]
struct State {
    status: Option<ExitStatus>,
    is_empty: bool,
    is_broken: bool,
}

/// A subreaper with a command.
#[derive(Debug)]
pub(super) struct Link {
    /// A descriptor of its own of the subreaper's socket.
    ready: tokio::net::UnixStream,
    state: Mutex<State>,
    /// Notified with each change of the state.
    news: Notify,
    /// Dropped after `ready`, which is for one command.
    held: Held,
}

/// A subreaper that is kept for a later command when this is dropped, if it is free.
#[derive(Debug)]
struct Held {
    subreaper: Option<Subreaper>,
    id: Pid,
    is_free: AtomicBool,
}

impl Drop for Held {
    fn drop(&mut self) {
        if let Some(free) = self.subreaper.take().filter(|_| self.is_free.load(Ordering::Relaxed)) {
            free.give_back();
        }
    }
}

impl Link {
    /// To be called within the runtime that is to wait for the command.
    pub(super) fn new(subreaper: Subreaper) -> io::Result<Self> {
        let own = subreaper.socket.try_clone()?;
        own.set_nonblocking(true)?;
        let ready = tokio::net::UnixStream::from_std(own)?;
        let held = Held { id: subreaper.id, subreaper: Some(subreaper), is_free: AtomicBool::new(false) };
        Ok(Self { ready, state: Mutex::default(), news: Notify::new(), held })
    }

    /// The subreaper's process id.
    pub(super) fn id(&self) -> Pid {
        self.held.id
    }

    /// Whether nothing of the command is left, for sure.
    pub(super) fn is_empty(&self) -> bool {
        self.look().is_empty
    }

    /// Whether the subreaper was killed: orphans of the command come to this process.
    pub(super) fn is_broken(&self) -> bool {
        self.look().is_broken
    }

    /// Whether the command's own process has ended.
    pub(super) fn has_ended(&self) -> bool {
        self.look().status.is_some()
    }

    /// Waits for the end of the command's own process.
    ///
    /// # Errors
    /// When the subreaper was killed: the status is not known then.
    pub(super) async fn ended(&self) -> io::Result<ExitStatus> {
        loop {
            let news = self.news.notified();
            let mut news = std::pin::pin!(news);
            // From now on, so that a change after the look is not missed.
            news.as_mut().enable();
            match self.look() {
                State { status: Some(status), .. } => return Ok(status),
                State { is_broken: true, .. } => {
                    return Err(io::Error::other("the process that it ran under was killed"));
                }
                _ => {}
            }
            tokio::select! {
                () = news => {}
                () = self.readable() => {}
            }
        }
    }

    /// Waits for the next change of what is known.
    pub(super) async fn changed(&self) {
        tokio::select! {
            () = self.news.notified() => {}
            () = self.readable() => {}
        }
    }

    async fn readable(&self) {
        loop {
            if self.state().is_broken {
                // It is readable for ever, and nothing comes any more.
                return std::future::pending().await;
            }
            if self.ready.readable().await.is_err() || self.read() {
                return;
            }
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn look(&self) -> State {
        self.read();
        *self.state()
    }

    /// Reads what the subreaper has said since, without waiting. Gives whether anything is new.
    fn read(&self) -> bool {
        let mut bytes = [0; Message::LENGTH * MAX_MESSAGES];
        let mut receive = || loop {
            match recv(&self.ready, &mut bytes, RecvFlags::DONTWAIT) {
                Err(Errno::INTR) => {}
                received => break received.map(|(_, count)| count).map_err(io::Error::from),
            }
        };
        // The runtime may not know yet that something is there. Where it does, it must learn that nothing is left.
        let received = match receive() {
            Err(error) if error.kind() == WouldBlock => self.ready.try_io(Interest::READABLE, receive),
            received => received,
        };
        let received = match received {
            Err(error) if error.kind() == WouldBlock => return false,
            received => received.unwrap_or(0),
        };
        let mut state = self.state();
        let before = (state.status.is_some(), state.is_empty, state.is_broken);
        let (messages, rest) = bytes.get(..received).unwrap_or_default().as_chunks();
        for message in messages {
            match Message::from_bytes(*message) {
                Some(Message::Ended(status)) => state.status = Some(ExitStatus::from_raw(status)),
                Some(Message::Empty) => state.is_empty = true,
                _ => state.is_broken = true,
            }
        }
        // The socket's end, or something that no subreaper says.
        state.is_broken |= received == 0 || !rest.is_empty();
        let is_new = before != (state.status.is_some(), state.is_empty, state.is_broken);
        drop(state);
        if is_new {
            self.news.notify_waiters();
        }
        is_new
    }

    /// The command is over: its subreaper is kept for another if nothing is below it, and ends with that otherwise.
    pub(super) fn leave(&self) {
        let State { is_empty, is_broken, .. } = self.look();
        if is_empty && !is_broken {
            self.held.is_free.store(true, Ordering::Relaxed);
        } else {
            // The task that waits for the command may hold the link a while longer.
            self.held.subreaper.iter().for_each(Subreaper::end);
        }
    }
}
