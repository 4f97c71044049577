//! The program's own folders. Commands run as its user, so that a job can put a link, a pipe or a file in place of one: no
//! such link is ever followed.

use std::io;
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::os::unix::fs::PermissionsExt;
use std::path::{Component, Path, PathBuf};

use pumice_core::job_type::HostFault;
use rustix::fs::{
    AtFlags, FileType, IFlags, Mode, OFlags, fstat, ioctl_getflags, ioctl_setflags, mkdirat, open, openat,
    unlinkat,
};
use rustix::io::Errno;

use crate::clean::PRIVATE;

/// Most times that one folder is tried to be made: others may remove it at the same time because it was empty.
const MAX_TRIES: usize = 20;

/// A folder of the program's own, open: what is done by way of [`OwnFolder::path`] is done in this folder, whatever takes
/// its name meanwhile.
#[derive(Debug)]
pub struct OwnFolder(OwnedFd);

fn folder_flags() -> OFlags {
    OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC
}

impl OwnFolder {
    /// Opens the folder `base`, which is the user's choice, and from there `folder`, which is below it. Folders that are
    /// missing are made for this user alone. Anything else in place of one is removed, and the folder made anew. Rights that
    /// a job took away come back.
    ///
    /// # Errors
    /// What the system says of `base`; a [`HostFault`] with the path when a folder below it cannot be made or entered.
    pub fn make(base: &Path, folder: &Path) -> io::Result<Self> {
        let names = below(base, folder)?;
        let mut tries = 1;
        let mut path;
        let at = loop {
            path = base.to_owned();
            match make_below(open_base(base)?, &names, &mut path) {
                Ok(at) => break at,
                // One of them was removed at the same time, because it was empty.
                Err(error) if error.kind() == io::ErrorKind::NotFound && tries < MAX_TRIES => tries += 1,
                Err(error) => return Err(HostFault::of(base, &path, &error)),
            }
        };
        Self::with_all_rights(at).map_err(|error| HostFault::of(base, &path, &error))
    }

    /// Opens the same folder where it is there; `None` where it or one above it is missing or no folder.
    ///
    /// # Errors
    /// What else the system says.
    pub fn find(base: &Path, folder: &Path) -> io::Result<Option<Self>> {
        let opened = || -> io::Result<Self> {
            let mut at = open_base(base)?;
            for name in below(base, folder)? {
                let open = || openat(&at, name, folder_flags() | OFlags::NOFOLLOW, Mode::empty());
                at = match open() {
                    Err(Errno::ACCESS) => restore(&at).and_then(|()| Ok(open()?))?,
                    opened => opened?,
                };
            }
            Self::with_all_rights(at)
        };
        match opened() {
            Ok(folder) => Ok(Some(folder)),
            Err(error)
                if matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory)
                    || error.raw_os_error() == Some(Errno::LOOP.raw_os_error()) =>
            {
                Ok(None)
            }
            Err(error) => Err(error),
        }
    }

    /// A folder from which a job may have taken its rights away.
    fn with_all_rights(folder: OwnedFd) -> io::Result<Self> {
        if !rights_of(&folder)?.contains(Mode::RWXU) {
            restore(&folder)?;
        }
        Ok(Self(folder))
    }

    /// Does something in this folder, and once more where the system refuses it and the folder's rights could be restored.
    ///
    /// # Errors
    /// Those of what is done.
    pub fn with_rights<T>(&self, act: impl Fn() -> io::Result<T>) -> io::Result<T> {
        match act() {
            Err(error) if error.kind() == io::ErrorKind::PermissionDenied => {
                if restore(&self.0).is_ok() {
                    act()
                } else {
                    Err(error)
                }
            }
            done => done,
        }
    }

    /// The folder by its descriptor: a path for as long as this is open, in this process.
    #[must_use]
    pub fn path(&self) -> PathBuf {
        path_of(&self.0)
    }
}

fn path_of(file: &OwnedFd) -> PathBuf {
    PathBuf::from(format!("/proc/self/fd/{}", file.as_raw_fd()))
}

/// Enters one folder after another, and adds their names to a path.
fn make_below(base: OwnedFd, names: &[&Path], path: &mut PathBuf) -> io::Result<OwnedFd> {
    let mut at = base;
    for name in names {
        path.push(name);
        at = enter(&at, name, path)?;
    }
    Ok(at)
}

fn open_base(base: &Path) -> io::Result<OwnedFd> {
    let base = if base.as_os_str().is_empty() { Path::new(".") } else { base };
    Ok(open(base, folder_flags(), Mode::empty())?)
}

/// The names of the folders from one to another below it.
fn below<'a>(base: &Path, folder: &'a Path) -> io::Result<Vec<&'a Path>> {
    let inside =
        folder.strip_prefix(base).map_err(|error| io::Error::new(io::ErrorKind::InvalidInput, error))?;
    let name = |part| match part {
        Component::Normal(name) => Ok(Path::new(name)),
        _ => Err(io::ErrorKind::InvalidInput.into()),
    };
    inside.components().map(name).collect()
}

/// Enters a folder of another, which is made where it is missing.
fn enter(at: &OwnedFd, name: &Path, path: &Path) -> io::Result<OwnedFd> {
    let mut last = Errno::LOOP;
    for _ in 0..MAX_TRIES {
        last = match openat(at, name, folder_flags() | OFlags::NOFOLLOW, Mode::empty()) {
            Ok(folder) => return Ok(folder),
            Err(error) => error,
        };
        let prepared = match last {
            Errno::NOENT => match mkdirat(at, name, Mode::from_raw_mode(PRIVATE)) {
                Err(Errno::EXIST) => Ok(()),
                made => made,
            },
            Errno::NOTDIR | Errno::LOOP => match unlinkat(at, name, AtFlags::empty()) {
                Ok(()) => {
                    tracing::warn!(path = %path.display(), "something else was in place of a folder: it is removed, and the folder made anew");
                    Ok(())
                }
                Err(Errno::NOENT | Errno::ISDIR) => Ok(()),
                removed => removed,
            },
            error => Err(error),
        };
        match prepared {
            Ok(()) => {}
            Err(error @ (Errno::ACCESS | Errno::PERM)) => {
                last = error;
                restore(at)?;
                // The entry itself may be immutable; the next try shows the rest.
                let _ = loosen(at, name);
            }
            Err(error) => return Err(error.into()),
        }
    }
    Err(last.into())
}

fn rights_of(folder: &OwnedFd) -> io::Result<Mode> {
    Ok(Mode::from_raw_mode(fstat(folder)?.st_mode))
}

/// Gives this user all rights on a folder again. Those of others stay: the outermost folder is the user's choice.
fn restore(folder: &OwnedFd) -> io::Result<()> {
    // Before the rights, which it would keep as they are. Most file systems of containers know no such flags.
    let _ = loosen(folder, Path::new("."));
    let rights = rights_of(folder)?;
    if rights.contains(Mode::RWXU) {
        return Ok(());
    }
    let rights = (rights | Mode::RWXU).as_raw_mode();
    std::fs::set_permissions(path_of(folder), std::fs::Permissions::from_mode(rights))
}

/// Takes away the flags that keep even the superuser from changing a file or a folder (chattr(1)): a job of the superuser may
/// have set them.
///
/// # Errors
/// What the system says.
pub(crate) fn loosen(at: impl AsFd, name: &Path) -> io::Result<()> {
    let there = openat(at, name, OFlags::PATH | OFlags::NOFOLLOW | OFlags::CLOEXEC, Mode::empty())?;
    let kind = FileType::from_raw_mode(fstat(&there)?.st_mode);
    if !matches!(kind, FileType::Directory | FileType::RegularFile) {
        return Ok(());
    }
    let file = open(path_of(&there), OFlags::RDONLY | OFlags::NONBLOCK | OFlags::CLOEXEC, Mode::empty())?;
    let (flags, keeping) = (ioctl_getflags(&file)?, IFlags::IMMUTABLE | IFlags::APPEND);
    if flags.intersects(keeping) {
        ioctl_setflags(&file, flags.difference(keeping))?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use pumice_core::job_type::is_exhausted;
    use rustix::fs::{CWD, mknodat};

    use super::*;

    #[test]
    fn whatever_is_in_place_of_a_folder_gives_way() {
        let base = tempfile::tempdir().unwrap();
        let elsewhere = tempfile::tempdir().unwrap();
        let folder = base.path().join("a/b/c");
        let puts: [&dyn Fn(&Path); 4] = [
            &|path| std::os::unix::fs::symlink(elsewhere.path(), path).unwrap(),
            &|path| std::os::unix::fs::symlink("nowhere", path).unwrap(),
            &|path| mknodat(CWD, path, FileType::Fifo, Mode::RWXU, 0).unwrap(),
            &|path| std::fs::write(path, "x").unwrap(),
        ];
        for put in puts {
            for place in ["a", "a/b", "a/b/c"] {
                OwnFolder::make(base.path(), &folder).unwrap();
                assert!(OwnFolder::find(base.path(), &folder).unwrap().is_some());
                std::fs::remove_dir_all(base.path().join(place)).unwrap();
                put(&base.path().join(place));
                assert!(OwnFolder::find(base.path(), &folder).unwrap().is_none(), "{place}");
                let made = OwnFolder::make(base.path(), &folder).unwrap();
                std::fs::write(made.path().join("file"), "x").unwrap();
                assert!(folder.join("file").exists() && !folder.is_symlink(), "{place}");
            }
        }
        assert_eq!(std::fs::read_dir(elsewhere.path()).unwrap().count(), 0);
    }

    /// Runs a test as the user of this process and, if that is root, which ignores rights, as an ordinary user too.
    fn as_each_user(test: impl Fn(&Path) + Send + Copy + 'static) {
        test(tempfile::tempdir().unwrap().path());
        if !rustix::process::geteuid().is_root() {
            return;
        }
        let folder = tempfile::tempdir().unwrap();
        std::os::unix::fs::chown(folder.path(), Some(65_534), Some(65_534)).unwrap();
        let path = folder.path().to_owned();
        let done = std::thread::spawn(move || {
            let ordinary = rustix::thread::Uid::from_raw(65_534);
            // Of this thread alone.
            rustix::thread::set_thread_res_uid(ordinary, ordinary, ordinary).unwrap();
            test(&path);
        });
        done.join().unwrap();
    }

    fn set_rights(path: &Path, mode: u32) {
        std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode)).unwrap();
    }

    #[test]
    fn folder_without_rights_gets_them_back() {
        for mode in [0o000, 0o100, 0o300, 0o400, 0o500, 0o600] {
            as_each_user(move |base| {
                let folder = base.join("a/b");
                for place in ["a/b", "a", ""] {
                    OwnFolder::make(base, &folder).unwrap();
                    set_rights(&base.join(place), mode);
                    let made = OwnFolder::make(base, &folder).unwrap();
                    std::fs::write(made.path().join("file"), "x").unwrap();
                    set_rights(&base.join(place), mode);
                    let found = OwnFolder::find(base, &folder).unwrap().unwrap();
                    std::fs::read(found.path().join("file")).unwrap();
                    set_rights(&base.join(place), 0o700);
                    let rights = std::fs::metadata(&folder).unwrap().permissions().mode();
                    assert_eq!(rights & 0o777, 0o700, "{place} {mode:o}");
                }
            });
        }
    }

    #[test]
    fn folder_is_made_where_its_parent_lacks_rights() {
        let puts: [fn(&Path); 3] = [
            |_| {},
            |path| std::fs::write(path, "x").unwrap(),
            |path| std::os::unix::fs::symlink("/etc", path).unwrap(),
        ];
        for put in puts {
            for mode in [0o000, 0o500, 0o555] {
                as_each_user(move |base| {
                    for place in ["", "a"] {
                        let parent = base.join(place);
                        OwnFolder::make(base, &parent).unwrap();
                        let folder = parent.join("new");
                        put(&folder);
                        set_rights(&parent, mode);
                        let made = OwnFolder::make(base, &folder.join("deep")).unwrap();
                        std::fs::write(made.path().join("file"), "x").unwrap();
                        set_rights(&folder, mode);
                        let made = OwnFolder::make(base, &folder).unwrap();
                        made.with_rights(|| std::fs::write(made.path().join("file"), "x")).unwrap();
                    }
                });
            }
        }
        assert!(Path::new("/etc/passwd").exists());
    }

    #[test]
    fn folder_that_was_made_immutable_is_changed_again() {
        let base = tempfile::tempdir().unwrap();
        let live = base.path().join("scratch/live");
        let flag = |sign: &str, path: &Path| {
            let changed = std::process::Command::new("chattr").arg(sign).arg(path).output();
            changed.is_ok_and(|changed| changed.status.success())
        };
        for sign in ["+i", "+a"] {
            OwnFolder::make(base.path(), &live).unwrap();
            std::fs::write(live.join("other"), "x").unwrap();
            // Only root may, and not on every file system; then nothing is in the way.
            flag(sign, &live);
            let made = OwnFolder::make(base.path(), &live.join("below")).map(drop);
            flag(sign, &live);
            let removed = OwnFolder::make(base.path(), &live)
                .and_then(|folder| folder.with_rights(|| std::fs::remove_file(folder.path().join("other"))));
            std::fs::write(base.path().join("file"), "x").unwrap();
            flag(sign, &base.path().join("file"));
            let replaced = OwnFolder::make(base.path(), &base.path().join("file")).map(drop);
            for path in [&live, &base.path().join("file")] {
                flag(&sign.replace('+', "-"), path);
            }
            assert!(
                made.is_ok() && removed.is_ok() && replaced.is_ok(),
                "{sign} {made:?} {removed:?} {replaced:?}"
            );
            std::fs::remove_dir(base.path().join("file")).unwrap();
            std::fs::remove_dir(live.join("below")).unwrap();
        }
    }

    #[test]
    fn folder_that_cannot_be_made_is_the_hosts_fault_and_named() {
        let base = tempfile::tempdir().unwrap();
        let long = base.path().join("x".repeat(300));
        let error = OwnFolder::make(base.path(), &long).unwrap_err();
        assert!(is_exhausted(&error) && error.to_string().contains("xxx"), "{error}");
        // The base is the user's choice.
        let error = OwnFolder::make(&base.path().join("none"), &base.path().join("none/a")).unwrap_err();
        assert!(!is_exhausted(&error), "{error}");
        assert!(OwnFolder::make(base.path(), Path::new("/etc")).is_err());
        assert!(OwnFolder::make(base.path(), &base.path().join("../x")).is_err());
    }
}
