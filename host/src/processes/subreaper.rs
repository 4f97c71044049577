//! A process between this one and a command: every orphan of the command comes to it (PR_SET_CHILD_SUBREAPER, prctl(2)), so
//! that none gets away, whatever marks it sheds and whatever other commands go on. It serves one command after the other.
//!
//! Its standard input is a socket. The worker sends an [`Order`] there with the descriptors of both outputs, and reads
//! [`Message`]s. When the worker's end is closed, the subreaper kills what is below it and ends.

use std::ffi::{OsStr, OsString};
use std::io::{self, IoSlice, IoSliceMut, Read, Write};
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::os::unix::net::UnixStream;
use std::os::unix::process::CommandExt;
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::time::Duration;

use rustix::event::{PollFd, PollFlags, poll};
use rustix::io::Errno;
use rustix::net::{
    RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, SendAncillaryBuffer, SendAncillaryMessage,
    SendFlags, recvmsg, sendmsg,
};
use rustix::process::{
    Pid, Signal, WaitOptions, WaitStatus, getpid, kill_process, set_child_subreaper, wait,
};

use super::family::Marked;
use super::guard::{Known, add_below, outlive_signals};
use super::hide_from_commands;
use super::mark::Mark;
use super::table::Process;

/// The first argument of the program when it is to be a subreaper.
pub const SUBREAPER: &str = "__subreaper";

/// Largest order, in bytes: no system takes longer arguments (execve(2)).
const MAX_ORDER: usize = 16 * 1024 * 1024;
/// How many descriptors come with an order: those of both outputs.
const OUTPUTS: usize = 2;
/// How long after each time that processes are killed, whose worker is gone, the next time is.
const PASS: Duration = Duration::from_millis(10);

/// A command to start: it has no environment but this, and nothing on its standard input.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Launch {
    /// The program's file.
    pub file: PathBuf,
    /// The name that the program sees as its own.
    pub arg0: OsString,
    /// Its arguments.
    pub args: Vec<OsString>,
    /// Its variables; of several with one name the last counts.
    pub env: Vec<(OsString, OsString)>,
    /// The directory that it starts in.
    pub folder: PathBuf,
}

impl Launch {
    /// The command, in a process group of its own.
    pub(super) fn command(&self) -> Command {
        let mut command = Command::new(&self.file);
        let env = self.env.iter().map(|(name, value)| (name, value));
        command.arg0(&self.arg0).args(&self.args).env_clear().envs(env).current_dir(&self.folder);
        command.stdin(Stdio::null()).process_group(0);
        command
    }
}

/// A command and its mark, as they are sent.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Order {
    pub(super) launch: Launch,
    pub(super) mark: Mark,
}

impl Order {
    fn to_bytes(&self) -> Vec<u8> {
        let Launch { file, arg0, args, env, folder } = &self.launch;
        let mut bytes = self.mark.limit().to_le_bytes().to_vec();
        let mut put = |text: &OsStr| {
            // A length that has no place here is too long for the whole.
            bytes.extend(u32::try_from(text.len()).unwrap_or(u32::MAX).to_le_bytes());
            bytes.extend(text.as_bytes());
        };
        put(file.as_os_str());
        put(arg0);
        put(folder.as_os_str());
        put(OsStr::new(&args.len().to_string()));
        args.iter().for_each(|text| put(text));
        env.iter().for_each(|(name, value)| {
            put(name);
            put(value);
        });
        bytes
    }

    fn from_bytes(bytes: &[u8]) -> Option<Self> {
        let (mark, mut rest) = bytes.split_first_chunk()?;
        let mark = Mark::from_limit(u64::from_le_bytes(*mark))?;
        let mut texts = Vec::new();
        while let Some((length, behind)) = rest.split_first_chunk() {
            let (text, behind) = behind.split_at_checked(u32::from_le_bytes(*length).try_into().ok()?)?;
            texts.push(OsString::from_vec(text.to_vec()));
            rest = behind;
        }
        let mut texts = texts.into_iter();
        let (file, arg0, folder) = (texts.next()?.into(), texts.next()?, texts.next()?.into());
        let count = texts.next()?.to_str()?.parse().ok()?;
        let args: Vec<OsString> = texts.by_ref().take(count).collect();
        let env = std::iter::from_fn(|| Some((texts.next()?, texts.next()?))).collect();
        Some(Self { launch: Launch { file, arg0, args, env, folder }, mark })
    }

    /// Sends it with the descriptors of the outputs.
    pub(super) fn send(&self, to: &UnixStream, outputs: [&OwnedFd; OUTPUTS]) -> io::Result<()> {
        let body = self.to_bytes();
        if body.len() > MAX_ORDER {
            return Err(Errno::TOOBIG.into());
        }
        let mut bytes = u32::try_from(body.len()).unwrap_or_default().to_le_bytes().to_vec();
        bytes.extend(body);
        let fds = outputs.map(AsFd::as_fd);
        let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(OUTPUTS))];
        let mut control = SendAncillaryBuffer::new(&mut space);
        control.push(SendAncillaryMessage::ScmRights(&fds));
        let sent = sendmsg(to, &[IoSlice::new(&bytes)], &mut control, SendFlags::NOSIGNAL)?;
        let mut to = to;
        to.write_all(bytes.get(sent..).unwrap_or_default())
    }

    /// Waits for the next one; `None` when the other end is closed.
    fn receive(mut from: &UnixStream) -> Option<(Self, [OwnedFd; OUTPUTS])> {
        let mut length = [0; 4];
        let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(OUTPUTS))];
        let mut control = RecvAncillaryBuffer::new(&mut space);
        let count = loop {
            let into = &mut [IoSliceMut::new(&mut length)];
            match recvmsg(from, into, &mut control, RecvFlags::CMSG_CLOEXEC) {
                Err(Errno::INTR) => {}
                received => break received.ok()?.bytes,
            }
        };
        from.read_exact(length.get_mut(count..).filter(|_| count > 0)?).ok()?;
        let length =
            usize::try_from(u32::from_le_bytes(length)).ok().filter(|length| *length <= MAX_ORDER)?;
        let mut body = vec![0; length];
        from.read_exact(&mut body).ok()?;
        let mut fds = Vec::new();
        for message in control.drain() {
            if let RecvAncillaryMessage::ScmRights(received) = message {
                fds.extend(received);
            }
        }
        Some((Self::from_bytes(&body)?, fds.try_into().ok()?))
    }
}

/// A report of a subreaper on its command.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Message {
    /// It was started, and has this process id.
    Started(i32),
    /// It could not be started, for this reason of the system's.
    Failed(i32),
    /// Its own process has ended with this status, as wait(2) gives it.
    Ended(i32),
    /// Nothing of it is left.
    Empty,
}

impl Message {
    /// How long one is, in bytes.
    pub(super) const LENGTH: usize = 5;

    fn to_bytes(self) -> [u8; Self::LENGTH] {
        let (kind, number) = match self {
            Self::Started(id) => (1, id),
            Self::Failed(error) => (2, error),
            Self::Ended(status) => (3, status),
            Self::Empty => (4, 0),
        };
        let [a, b, c, d] = number.to_le_bytes();
        [kind, a, b, c, d]
    }

    pub(super) fn from_bytes([kind, number @ ..]: [u8; Self::LENGTH]) -> Option<Self> {
        let number = i32::from_le_bytes(number);
        match kind {
            1 => Some(Self::Started(number)),
            2 => Some(Self::Failed(number)),
            3 => Some(Self::Ended(number)),
            4 => Some(Self::Empty),
            _ => None,
        }
    }
}

/// Sends messages at once. A worker that is gone reads none.
fn send(mut to: &UnixStream, messages: &[Message]) {
    let bytes: Vec<u8> = messages.iter().flat_map(|message| message.to_bytes()).collect();
    let _ = to.write_all(&bytes);
}

/// Is a subreaper until the worker's end of the socket is closed and nothing is left of its command. Gives the status to end
/// with.
#[must_use]
pub fn run_subreaper() -> u8 {
    let Ok(socket) = std::io::stdin().as_fd().try_clone_to_owned().map(UnixStream::from) else { return 2 };
    // Else its command outlives it when a supervisor signals every process of a service.
    let deaf = outlive_signals();
    if set_child_subreaper(Some(getpid())).is_err() || hide_from_commands().is_err() {
        return 1;
    }
    let Ok(watched) = socket.try_clone() else { return 1 };
    let watching = std::thread::Builder::new().name("watcher".to_owned()).spawn(move || watch(&watched));
    if watching.is_err() {
        return 1;
    }
    while let Some((order, outputs)) = Order::receive(&socket) {
        match start(&order, outputs) {
            Ok(root) => see_through(root, &socket),
            Err(error) => {
                let known = error.raw_os_error().unwrap_or(Errno::INVAL.raw_os_error());
                send(&socket, &[Message::Failed(known)]);
            }
        }
    }
    drop(deaf);
    0
}

/// Starts a command. This process has no other child then.
fn start(order: &Order, outputs: [OwnedFd; OUTPUTS]) -> io::Result<Pid> {
    let [stdout, stderr] = outputs;
    let mut command = order.launch.command();
    command.stdout(stdout).stderr(stderr);
    let marked = Marked::set(order.mark);
    let child = command.spawn();
    drop(marked);
    let id = i32::try_from(child?.id()).ok().and_then(Pid::from_raw);
    id.ok_or_else(|| io::Error::other("the command has no process id"))
}

/// Reports a command's start and end, and waits for all that it left.
fn see_through(root: Pid, socket: &UnixStream) {
    send(socket, &[Message::Started(root.as_raw_nonzero().get())]);
    let mut ended = None;
    loop {
        // Processes that have ended already are waited for first, so that both ends are one message as a rule.
        let options = if ended.is_some() { WaitOptions::NOHANG } else { WaitOptions::empty() };
        match wait(options) {
            Ok(Some((id, status))) if id == root => ended = Some(status),
            Ok(Some(_)) | Err(Errno::INTR) => {}
            Ok(None) => send_end(socket, &mut ended, &[]),
            Err(_) => return send_end(socket, &mut ended, &[Message::Empty]),
        }
    }
}

fn send_end(socket: &UnixStream, ended: &mut Option<WaitStatus>, more: &[Message]) {
    let status = ended.take().map(|status| Message::Ended(status.as_raw()));
    let messages: Vec<Message> = status.into_iter().chain(more.iter().copied()).collect();
    send(socket, &messages);
}

/// Waits until the worker's end is closed, then kills what is below this process until that has ended.
fn watch(socket: &UnixStream) {
    loop {
        let mut polled = [PollFd::new(socket, PollFlags::RDHUP)];
        let waited = poll(&mut polled, None);
        if waited.is_ok() && polled[0].revents().intersects(PollFlags::RDHUP | PollFlags::HUP) {
            break;
        }
    }
    let own = getpid();
    loop {
        let mut below = Known::new();
        add_below(&mut below, &|process: &Process| process.parent == own.as_raw_nonzero().get());
        for id in below.keys() {
            // It may have ended by itself.
            let _ = kill_process(*id, Signal::KILL);
        }
        std::thread::sleep(PASS);
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::super::live::instance;
    use super::*;

    #[test]
    fn order_is_received_as_it_was_sent() {
        let text = |text: &str| OsString::from(text);
        let launch = Launch {
            file: "/bin/sh".into(),
            arg0: text("sh"),
            args: vec![text("-c"), text(""), OsString::from_vec(vec![0xff, b'\n'])],
            env: vec![(text("A"), text("1=2")), (text("B"), text(""))],
            folder: "/tmp".into(),
        };
        let order = Order { launch, mark: Mark::new(instance(Path::new("/scratch")), 7) };
        let (one, other) = UnixStream::pair().unwrap();
        let outputs: [OwnedFd; OUTPUTS] = std::io::pipe().map(|(from, to)| [from.into(), to.into()]).unwrap();
        order.send(&one, outputs.each_ref()).unwrap();
        drop(outputs);
        let (received, [from, to]) = Order::receive(&other).unwrap();
        assert_eq!(received, order);
        std::fs::File::from(to).write_all(b"x").unwrap();
        assert_eq!(std::io::read_to_string(std::fs::File::from(from)).unwrap(), "x");
        drop(one);
        assert!(Order::receive(&other).is_none());
    }

    #[test]
    fn message_is_read_as_it_was_written() {
        for message in [Message::Started(1), Message::Failed(2), Message::Ended(0x7f00), Message::Empty] {
            assert_eq!(Message::from_bytes(message.to_bytes()), Some(message));
        }
        assert_eq!(Message::from_bytes([9; Message::LENGTH]), None);
    }
}
