//! The system's processes, as `/proc` shows them (proc(5)).

use std::fs::File;
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use pumice_core::job_type::is_exhausted;
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
///
/// # Errors
/// The system's error when `/proc` exists and cannot be read.
pub(super) fn ids() -> io::Result<Vec<Pid>> {
    let entries = match std::fs::read_dir("/proc") {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        entries => entries?,
    };
    let numbers = entries.flatten().filter_map(|entry| entry.file_name().to_str()?.parse().ok());
    Ok(numbers.filter_map(Pid::from_raw).collect())
}

/// The ids of a process's children; `None` where the kernel does not list them.
fn children(id: Pid) -> Option<Vec<Pid>> {
    let mut ids = Vec::new();
    for thread in std::fs::read_dir(of(id).join("task")).ok()?.flatten() {
        match std::fs::read_to_string(thread.path().join("children")) {
            Ok(text) => {
                ids.extend(text.split_whitespace().filter_map(|id| Pid::from_raw(id.parse().ok()?)));
            }
            // The thread has ended.
            Err(_) if !thread.path().exists() => {}
            Err(_) => return None,
        }
    }
    Some(ids)
}

/// The children of a process that are alive, without their marks.
pub(super) fn living_children(of: Pid) -> Vec<Process> {
    let ids = match children(of) {
        Some(ids) => ids,
        None => ids().unwrap_or_default(),
    };
    let found = ids.into_iter().filter_map(|id| process_where(id, |_| false).ok().flatten());
    found.filter(|process| process.parent == of.as_raw_nonzero().get()).collect()
}

/// Whether the first argument of a process's program is this one.
pub(super) fn has_first_argument(id: Pid, wanted: &str) -> bool {
    let arguments = std::fs::read(of(id).join("cmdline")).unwrap_or_default();
    arguments.split(|byte| *byte == 0).nth(1) == Some(wanted.as_bytes())
}

/// Whether this process ignores a signal.
pub(super) fn ignores(signal: i32) -> bool {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let mask = status.lines().find_map(|line| line.strip_prefix("SigIgn:")).map(str::trim);
    let mask = mask.and_then(|mask| u64::from_str_radix(mask, 16).ok()).unwrap_or(0);
    signal > 0 && mask >> (signal - 1) & 1 == 1
}

/// The id that was given last to a process or a thread (proc(5), `/proc/loadavg`).
pub(super) fn newest() -> Option<i32> {
    let text = read_short("/proc/loadavg".as_ref()).ok()?;
    text.split_whitespace().last()?.parse().ok()
}

/// Whether this is the id of a thread of this process.
pub(super) fn is_own_thread(id: Pid) -> bool {
    PathBuf::from(format!("/proc/self/task/{}", id.as_raw_nonzero())).exists()
}

/// The process of a thread; `None` when it is gone.
///
/// # Errors
/// The system's error when it cannot be looked at.
pub(super) fn process_of(thread: Pid) -> io::Result<Option<Pid>> {
    let Some(status) = unless_gone(std::fs::read_to_string(of(thread).join("status")))? else {
        return Ok(None);
    };
    let id = status.lines().find_map(|line| line.strip_prefix("Tgid:"));
    Ok(id.and_then(|id| Pid::from_raw(id.trim().parse().ok()?)))
}

/// All processes that are alive.
///
/// # Errors
/// The system's error when they cannot be looked at.
pub(super) fn processes() -> io::Result<Vec<Process>> {
    ids()?.into_iter().filter_map(|id| process(id).transpose()).collect()
}

/// The process with this id, unless it is gone or a zombie.
///
/// # Errors
/// The system's error when it cannot be looked at.
pub(super) fn process(id: Pid) -> io::Result<Option<Process>> {
    process_where(id, |_| true)
}

/// The same; the mark is read only of a process that is wanted, for that costs more than all else.
pub(super) fn process_where(
    id: Pid,
    is_wanted: impl FnOnce(&Process) -> bool,
) -> io::Result<Option<Process>> {
    let Some(found) = stat(id)?.filter(|found| !found.has_ended()) else { return Ok(None) };
    let mut process =
        Process { id, parent: found.parent, mark: None, began: found.began, group: found.group };
    if is_wanted(&process) {
        process.mark = mark(id)?;
    }
    Ok(Some(process))
}

/// When a process began, in the kernel's ticks since the machine started.
pub(super) fn began(id: Pid) -> Option<u64> {
    stat(id).ok().flatten().map(|stat| stat.began)
}

/// Whether a process has ended and waits for its parent; then, its parent and when it began.
pub(super) fn zombie(id: Pid) -> io::Result<Option<(i32, u64)>> {
    Ok(stat(id)?.filter(Stat::has_ended).map(|stat| (stat.parent, stat.began)))
}

/// The mark of a process; `None` also for one that is gone or a zombie.
pub(super) fn mark(id: Pid) -> io::Result<Option<Mark>> {
    Ok(match mark_in_limits(id)? {
        None => mark_in_environment(id)?,
        found => found,
    })
}

fn mark_in_limits(id: Pid) -> io::Result<Option<Mark>> {
    let Some(limits) = unless_gone(std::fs::read_to_string(of(id).join("limits")))? else { return Ok(None) };
    let line = limits.lines().find_map(|line| line.strip_prefix("Max file locks"));
    Ok(line.and_then(|line| Mark::from_limit(line.split_whitespace().next()?.parse().ok()?)))
}

fn mark_in_environment(id: Pid) -> io::Result<Option<Mark>> {
    let Some(environ) = unless_gone(std::fs::read(of(id).join("environ")))? else { return Ok(None) };
    let mut entries = environ.split(|byte| *byte == 0);
    let value = entries.find_map(|entry| entry.strip_prefix(MARK_VARIABLE.as_bytes())?.strip_prefix(b"="));
    let number = value.and_then(|value| u64::from_str_radix(std::str::from_utf8(value).ok()?, 16).ok());
    Ok(number.and_then(Mark::from_limit))
}

/// The text that was read of a process, unless it is gone or another user's. A limit that this process has reached
/// says nothing about the other one, and is an error.
fn unless_gone<T>(read: io::Result<T>) -> io::Result<Option<T>> {
    match read {
        Err(error) if is_exhausted(&error) => Err(error),
        read => Ok(read.ok()),
    }
}

/// The folder of a process in `/proc`.
pub(super) fn of(id: Pid) -> PathBuf {
    PathBuf::from(format!("/proc/{}", id.as_raw_nonzero()))
}

/// The fields of `/proc/PID/stat`.
struct Stat {
    state: char,
    parent: i32,
    group: i32,
    threads: u32,
    began: u64,
}

impl Stat {
    /// Reads the fields behind the name, which stands in brackets and may hold anything.
    fn parse(text: &str) -> Option<Self> {
        let (_, rest) = text.rsplit_once(')')?;
        let mut fields = rest.split_whitespace();
        let state = fields.next()?.chars().next()?;
        let (parent, group) = (fields.next()?.parse().ok()?, fields.next()?.parse().ok()?);
        let threads = fields.nth(TO_THREADS)?.parse().ok()?;
        Some(Self { state, parent, group, threads, began: fields.nth(TO_BEGAN)?.parse().ok()? })
    }

    /// Whether nothing of it runs any more: a process whose first thread has ended looks like a zombie while others go on.
    fn has_ended(&self) -> bool {
        matches!(self.state, 'Z' | 'X') && self.threads <= 1
    }
}

/// The text of a short file of `/proc`, read at once.
fn read_short(path: &Path) -> io::Result<String> {
    let mut bytes = [0; MAX_SHORT];
    let count = File::open(path)?.read(&mut bytes)?;
    Ok(String::from_utf8_lossy(bytes.get(..count).unwrap_or_default()).into_owned())
}

/// Longest short file, in bytes: some 50 numbers and a name.
const MAX_SHORT: usize = 2048;

/// How many fields lie between the process group and the number of threads, and between that and the time that a process
/// began.
const TO_THREADS: usize = 14;
const TO_BEGAN: usize = 1;

fn stat(id: Pid) -> io::Result<Option<Stat>> {
    let text = unless_gone(read_short(&of(id).join("stat")))?;
    Ok(text.and_then(|text| Stat::parse(&text)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn process_whose_first_thread_ended_goes_on_while_it_has_others() {
        let stat = |state: char, threads: u32| {
            let text = format!(
                "4711 (a) b) {state} 1 4711 4711 0 -1 4194560 9 0 0 0 0 0 0 0 20 0 {threads} 0 98765 0 0"
            );
            Stat::parse(&text).unwrap()
        };
        let found = stat('S', 1);
        assert_eq!((found.parent, found.group, found.threads, found.began), (1, 4711, 1, 98765));
        let ended = [('S', 1), ('Z', 1), ('Z', 2), ('X', 1), ('Z', 0)]
            .map(|(state, threads)| stat(state, threads).has_ended());
        assert_eq!(ended, [false, true, false, true, true]);
        assert!(Stat::parse("4711 (sh) S 1").is_none());
    }
}
