//! A folder for the work of a process's jobs, where several processes may have one side by side.

use std::fs::{DirBuilder, File, Metadata, OpenOptions, TryLockError};
use std::io;
use std::os::unix::fs::{DirBuilderExt, MetadataExt};
use std::path::{Path, PathBuf};
use std::time::Duration;

use uuid::Uuid;

use crate::processes::kill_leftovers;
use crate::workspace::remove_tree;

/// The file in the folder that its process holds a lock on.
const LOCK: &str = "lock";

/// Most names that are tried for a new folder.
const MAX_NAMES: usize = 10;
/// How many hexadecimal digits at the end of a name are random.
const RANDOM_DIGITS: usize = 8;

/// How often a lock that a process which is gone seems to hold is tried again, and how long between two
/// tries: a second in all.
const LOCK_TRIES: usize = 50;
const LOCK_PAUSE: Duration = Duration::from_millis(20);

/// A process's folder for the work of its jobs.
#[derive(Debug)]
pub struct Scratch {
    path: PathBuf,
    lock: File,
}

impl Scratch {
    /// Makes a folder in `parent` whose name is `name`, this process's id and a random number, which
    /// only this user can enter, and clears up after processes of this user that had such a folder and
    /// are gone: their commands are killed, and it is removed.
    ///
    /// # Errors
    /// When the folder cannot be made.
    pub async fn take(parent: &Path, name: &str) -> io::Result<Self> {
        let parent = parent.canonicalize()?;
        clear_up(&parent, name).await;
        for _ in 0..MAX_NAMES {
            if let Some(scratch) = Self::make(parent.join(new_name(name)))? {
                return Ok(scratch);
            }
        }
        Err(io::Error::new(io::ErrorKind::AlreadyExists, "no name for a work folder is free"))
    }

    /// Makes the folder, or gives nothing when another name is needed.
    fn make(path: PathBuf) -> io::Result<Option<Self>> {
        match DirBuilder::new().mode(0o700).create(&path) {
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => return Ok(None),
            made => made?,
        }
        let at = path.join(LOCK);
        let lock = OpenOptions::new().write(true).create_new(true).open(&at)?;
        match lock.try_lock() {
            Ok(()) if is_at(&lock, &at) => Ok(Some(Self { path, lock })),
            // Another process took it for one that was left, before it was locked, and removes it.
            Ok(()) | Err(TryLockError::WouldBlock) => Ok(None),
            Err(TryLockError::Error(error)) => Err(error),
        }
    }

    /// The folder.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Removes the folder, once its jobs have ended. Work directories remove themselves; where one could
    /// not, it was said, and the folder stays.
    pub fn give_up(self) {
        let removed =
            std::fs::remove_file(self.path.join(LOCK)).and_then(|()| std::fs::remove_dir(&self.path));
        if let Err(error) = removed {
            tracing::debug!(path = %self.path.display(), %error, "a scratch folder stays");
        }
        drop(self.lock);
    }
}

fn new_name(name: &str) -> String {
    let (random, ..) = Uuid::new_v4().as_fields();
    format!("{name}-{}-{random:0width$x}", std::process::id(), width = RANDOM_DIGITS)
}

/// The process's id in a folder's name.
fn process_in(file: &str, name: &str) -> Option<u32> {
    let (id, random) = file.strip_prefix(name)?.strip_prefix('-')?.split_once('-')?;
    let is_random = random.len() == RANDOM_DIGITS && random.bytes().all(|byte| byte.is_ascii_hexdigit());
    if is_random { id.parse().ok() } else { None }
}

/// Whether no process has this id. Without /proc it cannot be known.
fn is_gone(id: u32) -> bool {
    let processes = Path::new("/proc");
    processes.join("self").exists() && !processes.join(id.to_string()).exists()
}

/// Whether this is of the kind, not a link to one, and this user's.
fn is_own(path: &Path, kind: fn(&Metadata) -> bool) -> bool {
    let user = rustix::process::geteuid().as_raw();
    std::fs::symlink_metadata(path).is_ok_and(|metadata| kind(&metadata) && metadata.uid() == user)
}

fn is_at(file: &File, path: &Path) -> bool {
    let id = |metadata: Metadata| (metadata.dev(), metadata.ino());
    match (file.metadata(), std::fs::symlink_metadata(path)) {
        (Ok(held), Ok(there)) => id(held) == id(there),
        _ => false,
    }
}

/// Clears up after each process that is gone.
async fn clear_up(parent: &Path, name: &str) {
    let Ok(entries) = std::fs::read_dir(parent) else { return };
    let mut held = Vec::new();
    for entry in entries.flatten() {
        let Some(id) = entry.file_name().to_str().and_then(|file| process_in(file, name)) else { continue };
        let path = entry.path();
        if clear_up_unless_held(&path).await && is_gone(id) {
            held.push(path);
        }
    }
    // A process that was just killed may leave a child that has yet to become its command, and holds the
    // lock until it does. But the lock may also be that of a process in another container, whose id says
    // nothing here: after a while it counts as one that lives.
    for _ in 0..LOCK_TRIES {
        if held.is_empty() {
            break;
        }
        tokio::time::sleep(LOCK_PAUSE).await;
        for path in std::mem::take(&mut held) {
            if clear_up_unless_held(&path).await {
                held.push(path);
            }
        }
    }
}

/// Clears up after the process that had the folder, unless its lock is held: then gives true.
async fn clear_up_unless_held(path: &Path) -> bool {
    let at = path.join(LOCK);
    // A folder of another user's or of another form was not made here, and one without a lock is just
    // being made or given up.
    if !is_own(path, Metadata::is_dir) || !is_own(&at, Metadata::is_file) {
        return false;
    }
    let Ok(lock) = File::open(&at) else { return false };
    match lock.try_lock() {
        Ok(()) if is_at(&lock, &at) => {}
        Err(TryLockError::WouldBlock) => return true,
        // Another process has cleared up meanwhile, or the lock's state is unknown.
        Ok(()) | Err(TryLockError::Error(_)) => return false,
    }
    let killed = kill_leftovers(path).await;
    if let Err(error) = remove_tree(path) {
        tracing::warn!(path = %path.display(), %error, "cannot remove old work directories");
    }
    tracing::info!(killed, path = %path.display(), "cleared up after a process that is gone");
    false
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;
    use std::pin::pin;
    use std::process::{Child, Command, Stdio};
    use std::task::{Context, Poll, Waker};

    use crate::processes::SCRATCH_VARIABLE;

    use super::*;

    fn command_of(path: &Path) -> Child {
        let mut command = Command::new("sleep");
        command.arg("600").env(SCRATCH_VARIABLE, path).stdout(Stdio::null()).spawn().unwrap()
    }

    /// A folder as a process leaves it. No process has an id as high as those in the tests.
    fn left(parent: &Path, name: &str) -> PathBuf {
        let path = parent.join(name);
        std::fs::create_dir_all(path.join("work")).unwrap();
        std::fs::write(path.join(LOCK), "").unwrap();
        path
    }

    /// The future's output, if it is ready at once.
    fn at_once<T>(future: impl Future<Output = T>) -> Option<T> {
        match pin!(future).poll(&mut Context::from_waker(Waker::noop())) {
            Poll::Ready(output) => Some(output),
            Poll::Pending => None,
        }
    }

    #[tokio::test]
    async fn folder_of_a_gone_process_is_cleared_a_living_ones_stays() {
        let folder = tempfile::tempdir().unwrap();
        let parent = folder.path().canonicalize().unwrap();
        let mine = Scratch::take(&parent, "pumice-a").await.unwrap();
        assert!(mine.path().join(LOCK).exists());
        assert_eq!(std::fs::metadata(mine.path()).unwrap().mode() & 0o777, 0o700);
        let dead = left(&parent, "pumice-a-4000000001-0123abcd");
        let other = left(&parent, "pumice-b-4000000001-0123abcd");
        let odd = left(&parent, "pumice-a-7-4000000001-0123abcd");
        // As of a process in another container.
        let live = left(&parent, "pumice-a-4000000002-0123abcd");
        let lock = File::open(live.join(LOCK)).unwrap();
        lock.lock().unwrap();
        let mut commands = [&dead, &other, &odd, &live, &mine.path].map(|path| command_of(path));
        clear_up(&parent, "pumice-a").await;
        let there = [&dead, &other, &odd, &live, &mine.path].map(|path| path.exists());
        let running = commands.each_mut().map(|command| command.try_wait().unwrap().is_none());
        for mut command in commands {
            // The first is gone already.
            let _ = command.kill();
            command.wait().unwrap();
        }
        assert_eq!((there, running), ([false, true, true, true, true], [false, true, true, true, true]));
        let path = mine.path().to_owned();
        mine.give_up();
        assert!(!path.exists());
    }

    #[tokio::test]
    async fn two_of_one_process_have_two_folders_and_neither_waits() {
        let folder = tempfile::tempdir().unwrap();
        let take = || at_once(Scratch::take(folder.path(), "pumice-a")).unwrap().unwrap();
        let (first, second) = (take(), take());
        assert_ne!(first.path(), second.path());
        for scratch in [first, second] {
            let path = scratch.path().to_owned();
            let name = path.file_name().unwrap().to_str().unwrap();
            assert_eq!(process_in(name, "pumice-a"), Some(std::process::id()));
            assert!(path.join(LOCK).exists());
            scratch.give_up();
            assert!(!path.exists());
        }
    }

    #[tokio::test]
    async fn lock_held_briefly_by_a_gone_process_is_waited_for() {
        let folder = tempfile::tempdir().unwrap();
        let parent = folder.path().canonicalize().unwrap();
        let dead = left(&parent, "pumice-a-4000000001-0123abcd");
        let lock = File::open(dead.join(LOCK)).unwrap();
        lock.lock().unwrap();
        let mut command = command_of(&dead);
        let mut clearing = pin!(clear_up(&parent, "pumice-a"));
        let waits = at_once(clearing.as_mut()).is_none();
        let stayed = dead.exists() && command.try_wait().unwrap().is_none();
        drop(lock);
        if waits {
            clearing.await;
        }
        let running = command.try_wait().unwrap().is_none();
        // It is gone already.
        let _ = command.kill();
        command.wait().unwrap();
        assert_eq!((waits, stayed, running, dead.exists()), (true, true, false, false));
    }

    #[tokio::test]
    async fn folder_not_made_here_is_left_alone() {
        let folder = tempfile::tempdir().unwrap();
        let parent = folder.path().canonicalize().unwrap();
        let target = parent.join("target");
        std::fs::write(&target, "kept").unwrap();
        let linked_lock = parent.join("pumice-a-4000000001-0123abcd");
        std::fs::create_dir(&linked_lock).unwrap();
        symlink(&target, linked_lock.join(LOCK)).unwrap();
        // Opening this would wait for a writer.
        let pipe_as_lock = parent.join("pumice-a-4000000002-0123abcd");
        std::fs::create_dir(&pipe_as_lock).unwrap();
        assert!(Command::new("mkfifo").arg(pipe_as_lock.join(LOCK)).status().unwrap().success());
        let elsewhere = left(&parent, "elsewhere");
        let link = parent.join("pumice-a-4000000003-0123abcd");
        symlink(&elsewhere, &link).unwrap();

        let mine = Scratch::take(&parent, "pumice-a").await.unwrap();
        assert!(linked_lock.join(LOCK).is_symlink() && pipe_as_lock.join(LOCK).exists());
        assert!(link.is_symlink() && elsewhere.join(LOCK).exists());
        // Nor is any of it taken.
        for path in [&linked_lock, &pipe_as_lock, &link, &target] {
            assert!(Scratch::make(path.clone()).unwrap().is_none());
        }
        assert_eq!(std::fs::read_to_string(&target).unwrap(), "kept");
        mine.give_up();
    }
}
