//! Clean-up of a worker function before each invocation.

use std::fs::{DirBuilder, Permissions};
use std::io;
use std::os::unix::fs::{DirBuilderExt, PermissionsExt};
use std::path::{Path, PathBuf};

use pumice_core::ports::StoreError;
use pumice_host::{processes, remove_tree};

use super::scratch::{OURS, Scratch};

/// How many names for a process's folder are tried.
const MAX_NAMES: usize = 100;

impl Scratch {
    /// Ends the processes that earlier invocations left running, removes the files that they left, and gives an
    /// empty folder. A file that cannot be removed stays, with a warning, and the jobs get another folder.
    pub(super) async fn clear(&self) -> Result<PathBuf, StoreError> {
        let before = self.path();
        if self.is_alone
            && let Err(error) = reopen(&self.tmp)
        {
            tracing::warn!(path = %self.tmp.display(), %error, "the folder of jobs stays closed to their files");
        }
        let mut killed = processes::kill_all_leftovers(&before).await;
        let ours = self.tmp.join(OURS);
        for left in left_in(&ours).into_iter().filter(|left| *left != before && !is_of_living(left)) {
            killed += processes::kill_all_leftovers(&left).await;
            remove(&left);
        }
        if killed > 0 {
            tracing::warn!(killed, "ended processes that an earlier invocation left running");
        }
        remove(&before);
        if self.is_alone {
            left_in(&self.tmp).iter().filter(|left| **left != ours).for_each(|left| remove(left));
        }
        let path = self.make()?;
        self.move_to(path.clone());
        Ok(path)
    }

    /// An empty folder under the first name that is free.
    fn make(&self) -> Result<PathBuf, StoreError> {
        let process = std::process::id();
        let mut failed = None;
        for number in 0..MAX_NAMES {
            let ours = if number == 0 { OURS.to_owned() } else { format!("{OURS}-{number}") };
            let parent = self.tmp.join(ours);
            for name in [process.to_string(), format!("{process}-{}", uuid::Uuid::new_v4().simple())] {
                let path = parent.join(name);
                match make(&parent, &path) {
                    Ok(()) => return Ok(path),
                    Err(error) => failed = Some((path, error)),
                }
            }
        }
        let (path, error) = failed.unwrap_or_else(|| (self.tmp.clone(), io::ErrorKind::Other.into()));
        Err(StoreError::of_io(format!("cannot make {} for the work of jobs", path.display()), error))
    }
}

/// Gives the owner all rights on a folder.
fn open(folder: &Path) -> io::Result<()> {
    std::fs::set_permissions(folder, Permissions::from_mode(0o700))
}

/// Gives the owner all rights on a folder again, and leaves those of others as they are.
fn reopen(folder: &Path) -> io::Result<()> {
    let mode = std::fs::symlink_metadata(folder)?.permissions().mode();
    if mode & 0o700 == 0o700 {
        return Ok(());
    }
    std::fs::set_permissions(folder, Permissions::from_mode(mode & 0o7777 | 0o700))
}

/// Makes an empty folder, and the one that it is in.
fn make(parent: &Path, path: &Path) -> io::Result<()> {
    match DirBuilder::new().mode(0o700).create(parent) {
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
            if !std::fs::symlink_metadata(parent)?.is_dir() {
                std::fs::remove_file(parent)?;
                DirBuilder::new().mode(0o700).create(parent)?;
            } else if let Err(error) = open(parent) {
                tracing::debug!(path = %parent.display(), %error, "a folder keeps its rights");
            }
        }
        made => made?,
    }
    DirBuilder::new().mode(0o700).create(path)
}

/// The contents of a folder, whose rights a job may have taken away; empty when it is not a folder.
fn left_in(folder: &Path) -> Vec<PathBuf> {
    let is_folder = std::fs::symlink_metadata(folder).is_ok_and(|found| found.is_dir());
    if !is_folder {
        return Vec::new();
    }
    let list = || std::fs::read_dir(folder);
    let entries = list().or_else(|_| {
        open(folder)?;
        list()
    });
    match entries {
        Ok(entries) => entries.flatten().map(|entry| entry.path()).collect(),
        Err(error) => {
            tracing::warn!(path = %folder.display(), %error, "cannot list the files of earlier invocations");
            Vec::new()
        }
    }
}

/// Whether a folder is named after a process that is there.
fn is_of_living(folder: &Path) -> bool {
    let name = folder.file_name().and_then(|name| name.to_str()).unwrap_or_default();
    let process = name.split('-').next().unwrap_or_default();
    process.parse::<u32>().is_ok() && Path::new("/proc").join(process).exists()
}

/// Removes a folder with all below it, a file or a link; warns when it cannot.
fn remove(path: &Path) {
    let removed = match std::fs::symlink_metadata(path) {
        Ok(found) if found.is_dir() => remove_tree(path),
        Ok(_) => std::fs::remove_file(path).or_else(|_| {
            // The folder that it is in may be closed.
            let parent = path.parent().unwrap_or(path);
            open(parent)?;
            std::fs::remove_file(path)
        }),
        Err(error) => Err(error),
    };
    match removed {
        Err(error) if error.kind() != io::ErrorKind::NotFound => {
            tracing::warn!(path = %path.display(), %error, "cannot remove a file of an earlier invocation");
        }
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Leaves something at a place.
    type Leave = fn(&Path);

    /// Leftovers of jobs that stop a plain removal, each made at an existing folder.
    const LEFT: [(&str, Leave); 7] = [
        ("nothing", |_| {}),
        ("a read-only folder, as Go's module cache", |at| {
            std::fs::create_dir_all(at.join("go/pkg/mod/a@v1")).unwrap();
            std::fs::write(at.join("go/pkg/mod/a@v1/a.go"), "package a").unwrap();
            for folder in ["go/pkg/mod/a@v1", "go/pkg/mod", "go/pkg"] {
                rights(&at.join(folder), 0o555);
            }
        }),
        ("a folder that no user may enter", |at| {
            std::fs::create_dir_all(at.join("closed/deep/er")).unwrap();
            std::fs::write(at.join("closed/deep/er/file"), "x").unwrap();
            rights(&at.join("closed/deep"), 0o000);
            rights(&at.join("closed"), 0o000);
        }),
        ("links, one of them to itself", |at| {
            std::os::unix::fs::symlink("self", at.join("self")).unwrap();
            std::os::unix::fs::symlink("/etc", at.join("etc")).unwrap();
        }),
        ("a pipe and a file without rights", |at| {
            std::process::Command::new("mkfifo").arg(at.join("pipe")).status().unwrap();
            std::fs::write(at.join("file"), "x").unwrap();
            rights(&at.join("file"), 0o000);
        }),
        ("the folder itself closed", |at| rights(at, 0o000)),
        ("the folder itself read-only", |at| {
            std::fs::create_dir(at.join("in")).unwrap();
            rights(at, 0o555);
        }),
    ];

    fn rights(path: &Path, mode: u32) {
        std::fs::set_permissions(path, Permissions::from_mode(mode)).unwrap();
    }

    /// Runs a test as the user of this process and, if that is root, which ignores rights, as an ordinary user too.
    fn as_each_user(test: impl Fn(&Path) + Send + Sync + Copy + 'static) {
        test(tempfile::tempdir().unwrap().path());
        if !rustix::process::geteuid().is_root() {
            return;
        }
        let folder = tempfile::tempdir().unwrap();
        let nobody = rustix::thread::Uid::from_raw(65_534);
        std::os::unix::fs::chown(folder.path(), Some(65_534), Some(65_534)).unwrap();
        let path = folder.path().to_owned();
        let done = std::thread::spawn(move || {
            // Of this thread alone, and of those that it starts.
            rustix::thread::set_thread_res_uid(nobody, nobody, nobody).unwrap();
            test(&path);
        });
        done.join().unwrap();
    }

    fn clear(scratch: &Scratch) -> PathBuf {
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        runtime.block_on(scratch.clear()).unwrap()
    }

    fn is_empty(folder: &Path) -> bool {
        std::fs::read_dir(folder).unwrap().next().is_none()
    }

    #[test]
    fn folder_that_a_job_closed_is_opened_again() {
        let closed: [Leave; 4] = [
            |tmp| rights(tmp, 0o555),
            |tmp| rights(tmp, 0o000),
            |tmp| {
                std::fs::rename(tmp.join(OURS), tmp.join("old")).unwrap();
                rights(tmp, 0o1555);
            },
            |tmp| {
                std::fs::rename(tmp.join(OURS), tmp.join("old")).unwrap();
                std::os::unix::fs::symlink("/etc", tmp.join(OURS)).unwrap();
                rights(tmp, 0o500);
            },
        ];
        for close in closed {
            as_each_user(move |tmp| {
                let scratch = Scratch::new(Some(tmp.to_owned()));
                clear(&scratch);
                close(tmp);
                for _ in 0..2 {
                    let next = clear(&scratch);
                    std::fs::write(next.join("file"), "x").unwrap();
                    std::fs::write(tmp.join("of-a-job"), "x").unwrap();
                }
            });
        }
    }

    #[test]
    fn leftovers_of_a_job_in_its_folder_are_cleared() {
        for (what, leave) in LEFT {
            as_each_user(move |tmp| {
                let scratch = Scratch::new(Some(tmp.to_owned()));
                let first = clear(&scratch);
                // Of a process that is gone, whose folder has the name that this one would have on Lambda.
                let gone = tmp.join(OURS).join("4000000001");
                std::fs::create_dir(&gone).unwrap();
                for at in [&first, &gone] {
                    leave(at);
                }
                let next = clear(&scratch);
                assert!(next == first && is_empty(&next) && !gone.exists(), "{what}");
                std::fs::write(next.join("file"), "x").expect(what);
            });
        }
    }

    #[test]
    fn leftovers_of_a_job_outside_its_folder_are_cleared() {
        for (what, leave) in LEFT {
            as_each_user(move |tmp| {
                let scratch = Scratch::new(Some(tmp.to_owned()));
                clear(&scratch);
                std::fs::create_dir(tmp.join("mine")).unwrap();
                std::fs::write(tmp.join("secret"), "x").unwrap();
                leave(&tmp.join("mine"));
                let next = clear(&scratch);
                assert!(is_empty(&next), "{what}");
                let left: Vec<PathBuf> = left_in(tmp);
                assert_eq!(left, [tmp.join(OURS)], "{what}");
            });
        }
    }

    #[test]
    fn file_in_place_of_the_folder_stops_no_invocation() {
        let at_place: [(&str, Leave); 3] = [
            ("a file", |at| std::fs::write(at, "x").unwrap()),
            ("a link", |at| std::os::unix::fs::symlink("/etc", at).unwrap()),
            ("a link to nothing", |at| std::os::unix::fs::symlink("none", at).unwrap()),
        ];
        for (what, put) in at_place {
            as_each_user(move |tmp| {
                for depth in [1, 2] {
                    let scratch = Scratch::new(Some(tmp.to_owned()));
                    let path = clear(&scratch);
                    let place = if depth == 1 { path.clone() } else { tmp.join(OURS) };
                    remove(&place);
                    put(&place);
                    let next = clear(&scratch);
                    assert!(next.starts_with(tmp) && is_empty(&next), "{what}");
                    assert!(!std::fs::symlink_metadata(&next).unwrap().is_symlink(), "{what}");
                }
            });
        }
        assert!(Path::new("/etc/passwd").exists());
    }

    #[test]
    fn folder_that_cannot_be_cleared_gives_way_to_another() {
        // Only root may make a file immovable, and not on every file system.
        let tmp = tempfile::tempdir().unwrap();
        let scratch = Scratch::new(Some(tmp.path().to_owned()));
        let first = clear(&scratch);
        let stuck = first.join("stuck");
        std::fs::write(&stuck, "x").unwrap();
        let attribute = |sign: &str| {
            let changed = std::process::Command::new("chattr").arg(sign).arg(&stuck).output();
            changed.is_ok_and(|changed| changed.status.success())
        };
        let is_stuck = attribute("+i");
        let second = clear(&scratch);
        let (moved, empty) = (second != first, is_empty(&second));
        attribute("-i");
        assert_eq!((moved, empty), (is_stuck, true));
    }

    #[test]
    fn shared_folder_loses_only_our_files() {
        let tmp = tempfile::tempdir().unwrap();
        let mut scratch = Scratch::new(Some(tmp.path().to_owned()));
        scratch.is_alone = false;
        std::fs::write(tmp.path().join("theirs"), "x").unwrap();
        std::fs::create_dir_all(tmp.path().join(OURS).join("1")).unwrap();
        std::fs::create_dir_all(tmp.path().join(OURS).join("4000000001")).unwrap();
        clear(&scratch);
        let left = |name: &str| tmp.path().join(name).exists();
        assert_eq!([left("theirs"), left("pumice/1"), left("pumice/4000000001")], [true, true, false]);
    }
}
