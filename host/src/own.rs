//! The program's own folders. Commands run as its user, so that a job can put a link, a pipe or a file in place of one: no
//! such link is ever followed.

use std::io;
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::os::unix::fs::PermissionsExt;
use std::path::{Component, Path, PathBuf};

use pumice_core::job_type::HostFault;
use rustix::fs::{AtFlags, Mode, OFlags, fstat, mkdirat, open, openat, unlinkat};
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
    /// missing are made for this user alone. Anything else in place of one is removed, and the folder made anew.
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
                Err(error) => return Err(HostFault::of(&path, &error)),
            }
        };
        // A job may have taken its rights away.
        let rights = Mode::from_raw_mode(fstat(&at)?.st_mode);
        if !rights.contains(Mode::RWXU) {
            give_rights(&at).map_err(|error| HostFault::of(&path, &error))?;
        }
        Ok(Self(at))
    }

    /// Opens the same folder where it is there; `None` where it or one above it is missing or no folder.
    ///
    /// # Errors
    /// What else the system says.
    pub fn find(base: &Path, folder: &Path) -> io::Result<Option<Self>> {
        let opened = || -> io::Result<OwnedFd> {
            let mut at = open_base(base)?;
            for name in below(base, folder)? {
                at = openat(&at, name, folder_flags() | OFlags::NOFOLLOW, Mode::empty())?;
            }
            Ok(at)
        };
        match opened() {
            Ok(folder) => Ok(Some(Self(folder))),
            Err(error)
                if matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory)
                    || error.raw_os_error() == Some(Errno::LOOP.raw_os_error()) =>
            {
                Ok(None)
            }
            Err(error) => Err(error),
        }
    }

    /// The folder by its descriptor: a path for as long as this is open, in this process.
    #[must_use]
    pub fn path(&self) -> PathBuf {
        PathBuf::from(format!("/proc/self/fd/{}", self.0.as_raw_fd()))
    }
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
        match last {
            Errno::NOENT => match mkdirat(at, name, Mode::from_raw_mode(PRIVATE)) {
                Ok(()) | Err(Errno::EXIST) => {}
                Err(error) => return Err(error.into()),
            },
            Errno::NOTDIR | Errno::LOOP => match unlinkat(at, name, AtFlags::empty()) {
                Ok(()) => {
                    tracing::warn!(path = %path.display(), "something else was in place of a folder: it is removed, and the folder made anew");
                }
                Err(Errno::NOENT | Errno::ISDIR) => {}
                Err(error) => return Err(error.into()),
            },
            Errno::ACCESS => give_rights(at)?,
            error => return Err(error.into()),
        }
    }
    Err(last.into())
}

/// Gives this user all rights on a folder.
fn give_rights(folder: &OwnedFd) -> io::Result<()> {
    let path = format!("/proc/self/fd/{}", folder.as_fd().as_raw_fd());
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(PRIVATE))
}

#[cfg(test)]
mod tests {
    use pumice_core::job_type::is_exhausted;
    use rustix::fs::{CWD, FileType, mknodat};

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

    #[test]
    fn folder_without_rights_gets_them_back() {
        let base = tempfile::tempdir().unwrap();
        let folder = base.path().join("a/b");
        OwnFolder::make(base.path(), &folder).unwrap();
        for place in ["a", "a/b"] {
            let none = std::fs::Permissions::from_mode(0o000);
            std::fs::set_permissions(base.path().join(place), none).unwrap();
            let made = OwnFolder::make(base.path(), &folder).unwrap();
            std::fs::write(made.path().join("file"), "x").unwrap();
            let rights = std::fs::metadata(&folder).unwrap().permissions().mode();
            assert_eq!(rights & 0o700, 0o700, "{place}");
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
