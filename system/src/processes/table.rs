//! The system's processes, as `/proc` shows them (proc(5)).

use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};

use rustix::process::Pid;

use super::mark::Mark;

/// The variable that carries a command's mark.
pub(super) const MARK_VARIABLE: &str = "PUMICE_COMMAND";

/// One process that is not a zombie.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Process {
    /// Its id.
    pub(super) id: Pid,
    /// The process that it belongs below.
    pub(super) parent: i32,
    /// The mark that it inherited.
    pub(super) mark: Option<Mark>,
    /// When it began, in the kernel's ticks since the machine started.
    pub(super) began: u64,
    /// Its process group.
    pub(super) group: i32,
}

/// The ids of all processes; none where there is no `/proc`.
pub(super) fn ids() -> Vec<Pid> {
    let Ok(entries) = std::fs::read_dir("/proc") else { return Vec::new() };
    let numbers = entries.flatten().filter_map(|entry| entry.file_name().to_str()?.parse().ok());
    numbers.filter_map(Pid::from_raw).collect()
}

/// The id that was given last to a process or a thread (proc(5), `/proc/loadavg`).
pub(super) fn newest() -> Option<i32> {
    let text = read_short("/proc/loadavg".as_ref())?;
    text.split_whitespace().last()?.parse().ok()
}

/// Whether this is the id of a thread of this process.
pub(super) fn is_own_thread(id: Pid) -> bool {
    PathBuf::from(format!("/proc/self/task/{}", id.as_raw_nonzero())).exists()
}

/// All processes that are alive.
pub(super) fn processes() -> Vec<Process> {
    ids().into_iter().filter_map(process).collect()
}

/// The process with this id, unless it is gone or a zombie.
pub(super) fn process(id: Pid) -> Option<Process> {
    process_since(id, 0)
}

/// The same, unless it began before that: then it is no concern, and its mark is not read.
pub(super) fn process_since(id: Pid, since: u64) -> Option<Process> {
    let found = stat(id).filter(|found| !found.has_ended())?;
    let mark = if found.began >= since { mark(id) } else { None };
    Some(Process { id, parent: found.parent, mark, began: found.began, group: found.group })
}

/// When a process began, in the kernel's ticks since the machine started.
pub(super) fn began(id: Pid) -> Option<u64> {
    stat(id).map(|stat| stat.began)
}

/// Whether a process has ended and waits for its parent; then, its parent and its process group.
pub(super) fn zombie(id: Pid) -> Option<(i32, i32)> {
    stat(id).filter(Stat::has_ended).map(|stat| (stat.parent, stat.group))
}

/// The mark of a process; `None` also for one that is gone or a zombie.
pub(super) fn mark(id: Pid) -> Option<Mark> {
    mark_in_limits(id).or_else(|| mark_in_environment(id))
}

fn mark_in_limits(id: Pid) -> Option<Mark> {
    let limits = std::fs::read_to_string(of(id).join("limits")).ok()?;
    let line = limits.lines().find_map(|line| line.strip_prefix("Max file locks"))?;
    Mark::from_limit(line.split_whitespace().next()?.parse().ok()?)
}

fn mark_in_environment(id: Pid) -> Option<Mark> {
    let environ = std::fs::read(of(id).join("environ")).ok()?;
    let mut entries = environ.split(|byte| *byte == 0);
    let value = entries.find_map(|entry| entry.strip_prefix(MARK_VARIABLE.as_bytes())?.strip_prefix(b"="))?;
    Mark::from_limit(u64::from_str_radix(std::str::from_utf8(value).ok()?, 16).ok()?)
}

/// The folder of a process in `/proc`.
pub(super) fn of(id: Pid) -> PathBuf {
    PathBuf::from(format!("/proc/{}", id.as_raw_nonzero()))
}

/// What `/proc/PID/stat` tells.
struct Stat {
    state: char,
    parent: i32,
    group: i32,
    threads: u32,
    began: u64,
}

impl Stat {
    /// Whether nothing of it runs any more: a process whose first thread has ended looks like a zombie while others go on.
    fn has_ended(&self) -> bool {
        matches!(self.state, 'Z' | 'X') && self.threads <= 1
    }
}

/// What a short file of `/proc` holds, read at once.
fn read_short(path: &Path) -> Option<String> {
    let mut bytes = [0; MAX_SHORT];
    let count = File::open(path).ok()?.read(&mut bytes).ok()?;
    Some(String::from_utf8_lossy(bytes.get(..count)?).into_owned())
}

/// Longest short file, in bytes: some 50 numbers and a name.
const MAX_SHORT: usize = 2048;

/// How many fields lie between the process group and the number of threads, and between that and the time that a process
/// began.
const TO_THREADS: usize = 14;
const TO_BEGAN: usize = 1;

/// Reads the fields behind the name, which stands in brackets and may hold anything.
fn stat(id: Pid) -> Option<Stat> {
    let text = read_short(&of(id).join("stat"))?;
    let (_, rest) = text.rsplit_once(')')?;
    let mut fields = rest.split_whitespace();
    let state = fields.next()?.chars().next()?;
    let (parent, group) = (fields.next()?.parse().ok()?, fields.next()?.parse().ok()?);
    let threads = fields.nth(TO_THREADS)?.parse().ok()?;
    Some(Stat { state, parent, group, threads, began: fields.nth(TO_BEGAN)?.parse().ok()? })
}
