//! The cgroups that commands start in, where this process may make some (cgroups(7), version 2).
//!
//! A process begins in the cgroup of the thread that starts it and leaves it only by a write to another cgroup. The
//! starter thread alone enters a command's cgroup and leaves it again, which only threaded cgroups allow (kernel
//! documentation, cgroup-v2, Threads). Such a move takes no lock of the whole machine, as the move of a process does.
//! Threaded cgroups have neither `cgroup.procs` nor `cgroup.kill`, so a cgroup is frozen before its processes are
//! killed: nothing forks meanwhile.

use std::collections::HashSet;
use std::fs::{File, OpenOptions};
use std::io::{self, ErrorKind, Write};
use std::os::unix::fs::{FileExt, MetadataExt};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::Duration;

use pumice_core::job_type::is_exhausted;
use rustix::process::{Pid, Signal, kill_process};

use super::mark::Instance;
use super::table;

/// Prefix of the names of Pumice's cgroups.
const PREFIX: &str = "pumice-";
/// Most cgroups kept for later commands.
const MAX_SPARE: usize = 64;
/// Most cgroups that a command may make in its own.
const MAX_NESTED: usize = 1000;
/// How many links a directory has that holds no other.
const LINKS_OF_NONE: u64 = 2;
/// Most looks for processes to kill, and the time between two.
const MAX_PASSES: usize = 200;
const PAUSE: Duration = Duration::from_millis(10);
/// Longest `cgroup.events`, in bytes.
const MAX_EVENTS: usize = 128;

/// The cgroup of this process, below which it makes those of its commands.
#[derive(Debug)]
struct Subtree {
    dir: PathBuf,
    /// Its `cgroup.threads`: a thread that writes here comes back.
    threads: File,
}

/// The directory of this process's own cgroup, and whether it is the root of all that can be seen. `None` where there is
/// no cgroup of version 2.
fn own_directory() -> Option<(PathBuf, bool)> {
    let cgroups = std::fs::read_to_string("/proc/self/cgroup").ok()?;
    let mounts = std::fs::read_to_string("/proc/self/mountinfo").ok()?;
    directory_in(&cgroups, &mounts)
}

/// The same of what `/proc/self/cgroup` and `/proc/self/mountinfo` say (cgroups(7), proc(5)).
fn directory_in(cgroups: &str, mounts: &str) -> Option<(PathBuf, bool)> {
    let own = Path::new(cgroups.lines().find_map(|line| line.strip_prefix("0::"))?);
    // Outside of this process's cgroup namespace.
    if own.components().any(|part| part.as_os_str() == "..") {
        return None;
    }
    let mounted = mounts.lines().find_map(|line| {
        let (mount, kind) = line.split_once(" - ")?;
        let mut fields = mount.split(' ').skip(3);
        let (root, at) = (fields.next()?, fields.next()?);
        // A path with a space or the like is written in octal, and is unlikely to be a cgroup's.
        let is_plain = !root.contains('\\') && !at.contains('\\');
        let below = own.strip_prefix(root).ok()?;
        (kind.starts_with("cgroup2 ") && is_plain).then(|| Path::new(at).join(below))
    })?;
    Some((mounted, own == Path::new("/")))
}

impl Subtree {
    /// The subtree that this process may do with as it likes: that of a service with `Delegate=yes` (systemd.exec(5)
    /// has its attribute), or all where no other manager of cgroups can be seen, as in a container.
    fn find() -> io::Result<Self> {
        let (dir, is_root) = own_directory().ok_or(ErrorKind::NotFound)?;
        let is_marked = |name: &str| {
            let mut value = [0; 2];
            rustix::fs::getxattr(&dir, name, &mut value[..])
                .is_ok_and(|length| value.get(..length) == Some(b"1"))
        };
        if !is_root && !is_marked("user.delegate") && !is_marked("trusted.delegate") {
            return Err(io::Error::new(
                ErrorKind::PermissionDenied,
                "the cgroup of this process is not delegated",
            ));
        }
        let threads = OpenOptions::new().write(true).open(dir.join("cgroup.threads"))?;
        Ok(Self { dir, threads })
    }
}

/// Whose cgroup it is, as its name says.
#[derive(Debug, PartialEq, Eq)]
struct Name {
    instance: Instance,
    process: u32,
    number: u32,
}

impl Name {
    fn to_text(&self) -> String {
        format!("{PREFIX}{}-{}-{}", self.instance.to_text(), self.process, self.number)
    }

    fn from_text(text: &str) -> Option<Self> {
        let mut parts = text.strip_prefix(PREFIX)?.split('-');
        let (instance, process, number) = (parts.next()?, parts.next()?, parts.next()?);
        let name = Self {
            instance: Instance::from_text(instance)?,
            process: process.parse().ok()?,
            number: number.parse().ok()?,
        };
        parts.next().is_none().then_some(name)
    }
}

/// The cgroups of this process.
#[derive(Default)]
struct Pool {
    enabled: bool,
    /// Found when the first command starts.
    subtree: Option<Arc<Subtree>>,
    spare: Vec<Arc<Cgroup>>,
    made: u32,
}

fn pool() -> MutexGuard<'static, Pool> {
    static POOL: OnceLock<Mutex<Pool>> = OnceLock::new();
    // A list and a number: whole even if another holder panicked.
    POOL.get_or_init(Mutex::default).lock().unwrap_or_else(PoisonError::into_inner)
}

/// Has each command start in a cgroup of its own where this process may make one. Elsewhere commands have subreapers
/// ([`super::use_subreapers`]).
pub fn use_cgroups() {
    pool().enabled = true;
}

/// The cgroup of one command and of all that it starts.
#[derive(Debug)]
pub(super) struct Cgroup {
    instance: Instance,
    dir: PathBuf,
    threads: File,
    events: File,
    /// Whether it is frozen.
    held: AtomicBool,
    subtree: Arc<Subtree>,
}

/// The thread that made this is in a cgroup until this is dropped.
pub(super) struct Inside<'a>(&'a Cgroup);

/// An empty cgroup for a command; `None` where there may be none.
pub(super) fn take(instance: Instance) -> Option<Arc<Cgroup>> {
    let mut pool = pool();
    if !pool.enabled {
        return None;
    }
    if let Some(spare) = pool.spare.iter().rposition(|spare| spare.instance == instance) {
        return Some(pool.spare.swap_remove(spare));
    }
    pool.made += 1;
    let name = Name { instance, process: std::process::id(), number: pool.made };
    let known = pool.subtree.clone();
    let subtree = known.map_or_else(|| Subtree::find().map(Arc::new), Ok);
    match subtree.and_then(|subtree| Cgroup::make(&name, subtree)) {
        Ok(made) => {
            pool.subtree = Some(made.subtree.clone());
            Some(Arc::new(made))
        }
        // Of the machine, or as many as the subtree may have (cgroup.max.descendants).
        Err(error) if is_exhausted(&error) || error.kind() == ErrorKind::WouldBlock => {
            tracing::debug!(%error, "no cgroup for a command for now");
            None
        }
        Err(error) => {
            tracing::debug!(%error, "no cgroups for commands");
            pool.enabled = false;
            None
        }
    }
}

/// Keeps a command's cgroup for a later one if nothing is in it. Removes it otherwise, unless something is alive in it.
pub(super) fn give_back(cgroup: Arc<Cgroup>) {
    if cgroup.held.load(Ordering::Relaxed) {
        cgroup.freeze(false);
    }
    // A directory of the kernel's has a link for each one in it.
    if std::fs::metadata(&cgroup.dir).is_ok_and(|found| found.nlink() > LINKS_OF_NONE) {
        remove_nested(&cgroup.dir);
    }
    let mut pool = pool();
    if pool.enabled && pool.spare.len() < MAX_SPARE && cgroup.is_unpopulated() {
        pool.spare.push(cgroup);
    } else {
        // One with processes that cannot be killed stays until they are gone, and a later server removes it.
        let _ = std::fs::remove_dir(&cgroup.dir);
    }
}

impl Cgroup {
    fn make(name: &Name, subtree: Arc<Subtree>) -> io::Result<Self> {
        let dir = subtree.dir.join(name.to_text());
        std::fs::create_dir(&dir)?;
        let made = || -> io::Result<Self> {
            std::fs::write(dir.join("cgroup.type"), "threaded")?;
            // Without it (before Linux 5.2) commands might fork faster than they are killed.
            std::fs::metadata(dir.join("cgroup.freeze"))?;
            let threads = OpenOptions::new().write(true).open(dir.join("cgroup.threads"))?;
            let events = File::open(dir.join("cgroup.events"))?;
            Ok(Self {
                instance: name.instance,
                dir: dir.clone(),
                threads,
                events,
                held: AtomicBool::new(false),
                subtree,
            })
        };
        made().inspect_err(|_| {
            // It is empty.
            let _ = std::fs::remove_dir(&dir);
        })
    }

    /// Moves the calling thread into it, and with it the processes that the thread starts.
    ///
    /// # Errors
    /// The kernel's error when it refuses.
    pub(super) fn enter(&self) -> io::Result<Inside<'_>> {
        (&self.threads).write_all(b"0")?;
        Ok(Inside(self))
    }

    /// The processes that are in it, or in a cgroup that one of them has made there.
    ///
    /// # Errors
    /// When this process has run out of something, or they have made too many cgroups.
    pub(super) fn processes(&self) -> io::Result<HashSet<Pid>> {
        if self.is_unpopulated() { Ok(HashSet::new()) } else { processes_in(&self.dir) }
    }

    /// Whether nothing is in it for sure.
    pub(super) fn is_unpopulated(&self) -> bool {
        let mut bytes = [0; MAX_EVENTS];
        let count = self.events.read_at(&mut bytes, 0).unwrap_or_default();
        bytes
            .get(..count)
            .is_some_and(|events| events.split(|byte| *byte == b'\n').any(|e| e == b"populated 0"))
    }

    /// Freezes or thaws its processes. A frozen one can be killed, and starts nothing.
    pub(super) fn freeze(&self, hold: bool) {
        self.held.store(hold, Ordering::Relaxed);
        freeze(&self.dir, hold);
    }
}

impl Drop for Inside<'_> {
    fn drop(&mut self) {
        if let Err(error) = (&self.0.subtree.threads).write_all(b"0") {
            // This thread starts what comes next in another cgroup or in none.
            tracing::warn!(%error, "no more cgroups for commands: cannot leave one");
            pool().enabled = false;
        }
    }
}

fn freeze(dir: &Path, hold: bool) {
    let file = dir.join("cgroup.freeze");
    let is_held = || std::fs::read(&file).is_ok_and(|held| held.starts_with(b"1"));
    if hold || is_held() {
        // Processes are killed without it too, unless they fork faster.
        let _ = std::fs::write(&file, if hold { "1" } else { "0" });
    }
}

/// A cgroup's directory and those that its processes have made in it, each before those in it.
///
/// # Errors
/// When there are more than [`MAX_NESTED`].
fn with_nested(dir: &Path) -> io::Result<Vec<PathBuf>> {
    let mut found = vec![dir.to_owned()];
    let mut next = 0;
    while let Some(dir) = found.get(next) {
        let entries = std::fs::read_dir(dir).into_iter().flatten().flatten();
        let nested = entries.filter(|entry| entry.file_type().is_ok_and(|kind| kind.is_dir()));
        let nested: Vec<PathBuf> = nested.map(|entry| entry.path()).collect();
        found.extend(nested);
        if found.len() > MAX_NESTED {
            return Err(io::Error::other(format!("a command has made more than {MAX_NESTED} cgroups")));
        }
        next += 1;
    }
    Ok(found)
}

/// Removes what a command's processes have made in its cgroup.
fn remove_nested(dir: &Path) {
    for nested in with_nested(dir).unwrap_or_default().iter().skip(1).rev() {
        // With something in it, it stays, and so does the one that it is in.
        let _ = std::fs::remove_dir(nested);
    }
}

/// The processes that have a thread in a cgroup or below it, except this one.
///
/// # Errors
/// When this process has run out of something, or too many cgroups are below it.
fn processes_in(dir: &Path) -> io::Result<HashSet<Pid>> {
    let own = rustix::process::getpid();
    let mut found = HashSet::new();
    for dir in with_nested(dir)? {
        let threads = match std::fs::read_to_string(dir.join("cgroup.threads")) {
            Err(error) if is_exhausted(&error) => return Err(error),
            // It is gone, or may have none.
            threads => threads.unwrap_or_default(),
        };
        for thread in threads.lines().filter_map(|line| Pid::from_raw(line.parse().ok()?)) {
            found.extend(table::process_of(thread)?.filter(|process| *process != own));
        }
    }
    Ok(found)
}

/// Kills the processes in the cgroups of the instances that `is_left` selects, waits until they are gone and removes
/// the cgroups; also removes empty ones whose process is gone. Gives the processes that were killed.
pub(super) fn kill_left(is_left: &dyn Fn(Instance) -> bool) -> HashSet<Pid> {
    own_directory().map_or_else(HashSet::new, |(dir, _)| kill_left_in(&dir, is_left))
}

fn kill_left_in(dir: &Path, is_left: &dyn Fn(Instance) -> bool) -> HashSet<Pid> {
    let mut killed = HashSet::new();
    for entry in std::fs::read_dir(dir).into_iter().flatten().flatten() {
        let Some(name) = entry.file_name().to_str().and_then(Name::from_text) else { continue };
        let at = entry.path();
        let is_own = name.process == std::process::id();
        if is_left(name.instance) {
            killed.extend(kill_in(&at));
        } else if is_own || Path::new(&format!("/proc/{}", name.process)).exists() {
            continue;
        }
        remove_nested(&at);
        if !is_own {
            // Something that cannot be killed is in it.
            let _ = std::fs::remove_dir(&at);
        }
    }
    killed
}

fn kill_in(dir: &Path) -> HashSet<Pid> {
    let mut killed = HashSet::new();
    freeze(dir, true);
    for _ in 0..MAX_PASSES {
        match processes_in(dir) {
            Ok(left) if left.is_empty() => break,
            Ok(left) => {
                for id in left {
                    // It may have ended by itself.
                    let _ = kill_process(id, Signal::KILL);
                    killed.insert(id);
                }
            }
            // This process has run out of something for a moment.
            Err(error) => tracing::debug!(%error, "cannot look for processes in a cgroup"),
        }
        std::thread::sleep(PAUSE);
    }
    freeze(dir, false);
    killed
}

#[cfg(test)]
mod tests {
    use std::os::unix::process::CommandExt;
    use std::process::{Child, Command, Stdio};

    use uuid::Uuid;

    use super::*;
    use crate::processes::mark::Place;

    /// A place for cgroups of one test, where no other process clears up.
    struct Ground {
        subtree: Arc<Subtree>,
    }

    impl Ground {
        /// `None` where this process may make no cgroups, which is printed.
        fn new(left_out: &str) -> Option<Self> {
            let subtree = Subtree::find().and_then(|Subtree { dir, threads }| {
                let dir = dir.join(format!("test-{}-{}", std::process::id(), Uuid::new_v4()));
                std::fs::create_dir(&dir)?;
                std::fs::write(dir.join("cgroup.type"), "threaded")?;
                Ok(Arc::new(Subtree { dir, threads }))
            });
            match subtree {
                Ok(subtree) => Some(Self { subtree }),
                Err(error) => {
                    eprintln!("left out: {left_out}: no cgroup may be made here: {error}");
                    None
                }
            }
        }

        /// A cgroup of a server that is gone: no process has such an id.
        fn cgroup(&self, random: u16) -> Cgroup {
            let instance = Instance::new(Place::of(Path::new("/of/a/test")), random);
            let name = Name { instance, process: 1 << 24, number: 1 };
            Cgroup::make(&name, self.subtree.clone()).unwrap()
        }
    }

    impl Drop for Ground {
        fn drop(&mut self) {
            kill_in(&self.subtree.dir);
            remove_nested(&self.subtree.dir);
            std::fs::remove_dir(&self.subtree.dir).unwrap();
        }
    }

    /// Starts a shell script in a cgroup.
    fn start(cgroup: &Cgroup, script: &str) -> Child {
        let inside = cgroup.enter().unwrap();
        let mut command = Command::new("sh");
        let child = command.args(["-c", script]).process_group(0).stdout(Stdio::piped()).spawn().unwrap();
        drop(inside);
        child
    }

    /// The first line that a command prints, as a process id.
    fn printed_id(child: &mut Child) -> Pid {
        let mut line = String::new();
        io::BufRead::read_line(&mut io::BufReader::new(child.stdout.take().unwrap()), &mut line).unwrap();
        Pid::from_raw(line.trim().parse().unwrap()).unwrap()
    }

    #[test]
    fn own_directory_follows_the_mount_and_its_root() {
        const MOUNTS: &str = "24 1 0:22 / /proc rw - proc proc rw\n\
            30 1 0:26 / /sys/fs/cgroup rw,nosuid shared:4 - cgroup2 cgroup2 rw,nsdelegate\n";
        const INNER: &str = "30 1 0:26 /docker/a /sys/fs/cgroup rw - cgroup2 cgroup rw\n";
        let cases = [
            ("0::/\n", MOUNTS, Some(("/sys/fs/cgroup", true))),
            (
                "4:memory:/x\n0::/system.slice/pumice.service\n",
                MOUNTS,
                Some(("/sys/fs/cgroup/system.slice/pumice.service", false)),
            ),
            ("0::/docker/a/b\n", INNER, Some(("/sys/fs/cgroup/b", false))),
            ("0::/docker/ab\n", INNER, None),
            ("0::/../b\n", MOUNTS, None),
            ("4:memory:/x\n", MOUNTS, None),
            ("0::/\n", "30 1 0:26 / /sys/fs/cgroup rw - cgroup cgroup rw,memory\n", None),
            ("0::/\n", "30 1 0:26 / /a\\040b rw - cgroup2 cgroup rw\n", None),
        ];
        for (cgroups, mounts, expected) in cases {
            let expected = expected.map(|(dir, is_root)| (PathBuf::from(dir), is_root));
            assert_eq!(directory_in(cgroups, mounts), expected, "{cgroups} {mounts}");
        }
    }

    #[test]
    fn name_of_a_cgroup_is_read_back_and_others_are_not() {
        let instance = Instance::new(Place::of(Path::new("/a")), 7);
        let name = Name { instance, process: 12, number: 3 };
        assert_eq!(Name::from_text(&name.to_text()), Some(name));
        for other in
            ["", "pumice-", "pumice-1.2", "pumice-1.2-3", "pumice-1.2-3-4-5", "pumice-x-1-2", "a-1.2-3-4"]
        {
            assert_eq!(Name::from_text(other), None, "{other}");
        }
    }

    #[test]
    fn process_without_any_mark_is_found_and_killed_in_its_cgroup() {
        let Some(ground) = Ground::new("a process without any mark") else { return };
        let cgroup = ground.cgroup(1);
        assert!(cgroup.is_unpopulated());
        let script = "(env -i setsid sh -c 'echo $$; exec sleep 1000' &) & wait";
        let mut child = start(&cgroup, script);
        let escaped = printed_id(&mut child);
        child.wait().unwrap();
        assert_eq!(cgroup.processes().unwrap(), HashSet::from([escaped]));
        // The thread that started it has left.
        assert_eq!(std::fs::read_to_string("/proc/thread-self/cgroup").unwrap().matches(PREFIX).count(), 0);
        cgroup.freeze(true);
        assert_eq!(kill_in(&cgroup.dir), HashSet::from([escaped]));
        assert!(cgroup.is_unpopulated());
        std::fs::remove_dir(&cgroup.dir).unwrap();
    }

    #[test]
    fn cgroup_that_a_command_made_within_its_own_is_cleared_too() {
        let Some(ground) = Ground::new("a cgroup within a command's") else { return };
        let cgroup = ground.cgroup(2);
        let nested = cgroup.dir.join("own");
        let script = format!(
            "mkdir {0} && echo threaded > {0}/cgroup.type && echo $$ > {0}/cgroup.threads && echo $$ && exec sleep 1000",
            nested.display()
        );
        let mut child = start(&cgroup, &script);
        let id = printed_id(&mut child);
        assert!(!cgroup.is_unpopulated());
        assert_eq!(cgroup.processes().unwrap(), HashSet::from([id]));
        let dir = cgroup.dir.clone();
        assert_eq!(kill_in(&dir), HashSet::from([id]));
        child.wait().unwrap();
        give_back(Arc::new(cgroup));
        assert!(!dir.exists());
    }

    #[test]
    fn leftovers_of_one_server_are_killed_and_those_of_another_stay() {
        let Some(ground) = Ground::new("the cgroups of a server that is gone") else { return };
        let (dead, other) = (ground.cgroup(3), ground.cgroup(4));
        let empty = ground.cgroup(5);
        let mut children = [&dead, &other].map(|cgroup| start(cgroup, "exec sleep 1000"));
        let ids = children.each_ref().map(|child| Pid::from_raw(child.id().cast_signed()).unwrap());
        assert_eq!(
            kill_left_in(&ground.subtree.dir, &|instance| instance == dead.instance),
            HashSet::from([ids[0]])
        );
        assert!(!dead.dir.exists() && !empty.dir.exists() && other.dir.exists());
        assert_eq!(other.processes().unwrap(), HashSet::from([ids[1]]));
        assert_eq!(
            kill_left_in(&ground.subtree.dir, &|instance| instance == other.instance),
            HashSet::from([ids[1]])
        );
        assert!(!other.dir.exists());
        children.iter_mut().for_each(|child| assert!(!child.wait().unwrap().success()));
    }

    #[test]
    fn removed_cgroup_is_not_entered() {
        let Some(ground) = Ground::new("a cgroup that another program removed") else { return };
        let cgroup = ground.cgroup(6);
        std::fs::remove_dir(&cgroup.dir).unwrap();
        assert!(cgroup.enter().is_err());
        assert!(cgroup.processes().unwrap().is_empty());
    }
}
