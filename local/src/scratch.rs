//! A folder for the work of a process's jobs, where several processes may have one side by side.

use std::ffi::OsString;
use std::fs::{File, TryLockError};
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use crate::leftovers;

/// The file in the folder that its process holds a lock on.
const LOCK: &str = "lock";

/// A process's folder for the work of its jobs.
#[derive(Debug)]
pub struct Scratch {
    path: PathBuf,
    lock: File,
}

impl Scratch {
    /// Makes a folder in `parent` whose name is `name` and this process's id, and clears up after
    /// processes that had such a folder and are gone: their commands are killed, and it is removed.
    ///
    /// # Errors
    /// When the folder cannot be made.
    pub async fn take(parent: &Path, name: &str) -> io::Result<Self> {
        let parent = parent.canonicalize()?;
        clear_up(&parent, name).await;
        let path = parent.join(format!("{name}-{}", std::process::id()));
        loop {
            std::fs::create_dir_all(&path)?;
            let lock = match File::create(path.join(LOCK)) {
                Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
                opened => opened?,
            };
            lock.lock()?;
            // Another process may have taken it for one that was left, before it was locked.
            if is_at(&lock, &path.join(LOCK)) {
                return Ok(Self { path, lock });
            }
        }
    }

    /// The folder.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The variable that marks every command as one of this process.
    #[must_use]
    pub fn mark(&self) -> (OsString, OsString) {
        (leftovers::MARK.into(), self.path.clone().into_os_string())
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

fn is_at(file: &File, path: &Path) -> bool {
    let id = |metadata: std::fs::Metadata| (metadata.dev(), metadata.ino());
    match (file.metadata(), std::fs::metadata(path)) {
        (Ok(held), Ok(there)) => id(held) == id(there),
        _ => false,
    }
}

/// Clears up after each process that is gone.
async fn clear_up(parent: &Path, name: &str) {
    let Ok(entries) = std::fs::read_dir(parent) else { return };
    let of_process = |entry: &std::fs::DirEntry| {
        let file = entry.file_name();
        let id = file.to_str().and_then(|file| file.strip_prefix(name)?.strip_prefix('-'));
        id.is_some_and(|id| id.parse::<u32>().is_ok())
    };
    for entry in entries.flatten().filter(of_process) {
        let path = entry.path();
        // Others' folders cannot be opened, and one without a lock is just being made or given up.
        let Ok(lock) = File::open(path.join(LOCK)) else { continue };
        match lock.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock | TryLockError::Error(_)) => continue,
        }
        let killed = leftovers::kill(&path).await;
        if let Err(error) = std::fs::remove_dir_all(&path) {
            tracing::warn!(path = %path.display(), %error, "cannot remove old work directories");
        }
        tracing::info!(killed, path = %path.display(), "cleared up after a process that is gone");
    }
}

#[cfg(test)]
mod tests {
    use std::process::{Child, Command, Stdio};

    use super::*;

    fn command_of(path: &Path) -> Child {
        let mut command = Command::new("sleep");
        command.arg("600").env(leftovers::MARK, path).stdout(Stdio::null()).spawn().unwrap()
    }

    #[tokio::test]
    async fn what_is_gone_is_cleared_up_and_what_lives_is_left_alone() {
        let folder = tempfile::tempdir().unwrap();
        let parent = folder.path().canonicalize().unwrap();
        let mine = Scratch::take(&parent, "pumice-a").await.unwrap();
        assert!(mine.path().join(LOCK).exists());
        // No process has such an id.
        let made = |name: &str| {
            let path = parent.join(name);
            std::fs::create_dir_all(path.join("work")).unwrap();
            std::fs::write(path.join(LOCK), "").unwrap();
            path
        };
        let (dead, other, odd) =
            (made("pumice-a-4000000001"), made("pumice-b-4000000001"), made("pumice-a-b-4000000001"));
        let live = made("pumice-a-4000000002");
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
}
