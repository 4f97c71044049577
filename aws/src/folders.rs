//! A folder of this machine as one object: a tar archive (pax, IEEE 1003.1).

use std::ffi::OsStr;
use std::fs::{File, Metadata};
use std::io::{self, Read};
use std::os::fd::{AsRawFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use rustix::fs::{Mode, OFlags, open, openat, readlinkat};
use rustix::io::Errno;

/// The most that a folder may hold that goes along from one invocation to the next, in bytes.
pub(crate) const MAX_CARRIED: u64 = 256 * 1024 * 1024;
/// Most files in such a folder.
const MAX_FILES: usize = 50_000;

/// Packs what a folder holds into a file without a name: regular files, folders and links; pipes, sockets and devices
/// are left out. Steps may run meanwhile: files and folders that vanish are left out too, and no link that takes the place
/// of one is followed.
pub(crate) fn pack(folder: &Path) -> io::Result<File> {
    let root = open(folder, FOLDER, Mode::empty())?;
    let mut packing = Packing { archive: tar::Builder::new(tempfile::tempfile()?), bytes: 0, files: 0 };
    let mut waiting = vec![PathBuf::new()];
    while let Some(below) = waiting.pop() {
        let Some(opened) = there(open_below(&root, &below))? else { continue };
        for entry in std::fs::read_dir(format!("/proc/self/fd/{}", opened.as_raw_fd()))? {
            let Some(entry) = there(entry)? else { break };
            let Some(metadata) = there(entry.metadata())? else { continue };
            let (name, own) = (below.join(entry.file_name()), entry.file_name());
            packing.count()?;
            if metadata.is_dir() {
                packing.add_folder(&metadata, &name)?;
                waiting.push(name);
            } else if metadata.is_symlink() {
                let target = readlinkat(&opened, &own, Vec::new()).map_err(io::Error::from);
                if let Some(target) = there(target)? {
                    packing.add_link(&metadata, &name, Path::new(OsStr::from_bytes(target.as_bytes())))?;
                }
            } else if metadata.is_file()
                && let Some(file) =
                    there(openat(&opened, &own, FILE, Mode::empty()).map_err(io::Error::from))?
            {
                packing.add_file(File::from(file), &name)?;
            }
        }
    }
    let mut file = packing.archive.into_inner()?;
    io::Seek::rewind(&mut file)?;
    Ok(file)
}

/// How folders and files are opened: no link is followed, and no pipe waited for.
const FOLDER: OFlags = OFlags::RDONLY.union(OFlags::DIRECTORY).union(OFlags::NOFOLLOW).union(OFlags::CLOEXEC);
const FILE: OFlags = OFlags::RDONLY.union(OFlags::NONBLOCK).union(OFlags::NOFOLLOW).union(OFlags::CLOEXEC);

/// A finding; `None` where a step removed the file meanwhile, or put something of another kind in its place.
fn there<T>(found: io::Result<T>) -> io::Result<Option<T>> {
    const OTHERS: [Errno; 5] = [Errno::NOENT, Errno::NOTDIR, Errno::LOOP, Errno::NXIO, Errno::INVAL];
    match found {
        Err(error) if OTHERS.iter().any(|other| error.raw_os_error() == Some(other.raw_os_error())) => {
            Ok(None)
        }
        found => found.map(Some),
    }
}

/// Opens a folder, one after another from the outermost on.
fn open_below(root: &OwnedFd, below: &Path) -> io::Result<OwnedFd> {
    let mut at = root.try_clone()?;
    for name in below.iter() {
        at = openat(&at, name, FOLDER, Mode::empty())?;
    }
    Ok(at)
}

/// An archive that is being made.
struct Packing {
    archive: tar::Builder<File>,
    bytes: u64,
    files: usize,
}

impl Packing {
    fn count(&mut self) -> io::Result<()> {
        self.files += 1;
        if self.files > MAX_FILES { Err(too_much()) } else { Ok(()) }
    }

    fn add_folder(&mut self, metadata: &Metadata, name: &Path) -> io::Result<()> {
        let mut header = tar::Header::new_gnu();
        header.set_metadata(metadata);
        self.archive.append_data(&mut header, name, io::empty())
    }

    fn add_link(&mut self, metadata: &Metadata, name: &Path, target: &Path) -> io::Result<()> {
        let mut header = tar::Header::new_gnu();
        header.set_metadata(metadata);
        self.archive.append_link(&mut header, name, target)
    }

    /// Adds a file as it is now: one that grows or shrinks meanwhile must not harm the others.
    fn add_file(&mut self, file: File, name: &Path) -> io::Result<()> {
        let metadata = file.metadata()?;
        if !metadata.is_file() {
            return Ok(());
        }
        self.bytes = self.bytes.saturating_add(metadata.len());
        if self.bytes > MAX_CARRIED {
            return Err(too_much());
        }
        let mut header = tar::Header::new_gnu();
        header.set_metadata(&metadata);
        self.archive.append_data(&mut header, name, file.chain(io::repeat(0)).take(metadata.len()))
    }
}

fn too_much() -> io::Error {
    io::Error::other(format!("it holds more than {MAX_CARRIED} bytes or {MAX_FILES} files, the limit"))
}

/// Unpacks such an archive into a folder. Nothing is written outside of it.
pub(crate) fn unpack(archive: File, folder: &Path) -> io::Result<()> {
    let mut archive = tar::Archive::new(archive);
    archive.set_preserve_permissions(true);
    archive.set_preserve_mtime(true);
    archive.unpack(folder)
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    #[test]
    fn folder_that_was_packed_is_the_same_when_unpacked() {
        let (from, to) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let deep = from.path().join("a/b");
        std::fs::create_dir_all(&deep).unwrap();
        std::fs::create_dir(from.path().join("empty")).unwrap();
        std::fs::write(deep.join("run.sh"), "#!/bin/sh").unwrap();
        std::fs::set_permissions(deep.join("run.sh"), std::fs::Permissions::from_mode(0o750)).unwrap();
        let long = "n".repeat(200);
        std::fs::write(from.path().join(&long), [0, 159, 146]).unwrap();
        std::os::unix::fs::symlink("a/b/run.sh", from.path().join("link")).unwrap();
        std::os::unix::fs::symlink("/etc", from.path().join("out")).unwrap();
        std::process::Command::new("mkfifo").arg(from.path().join("pipe")).status().unwrap();
        unpack(pack(from.path()).unwrap(), to.path()).unwrap();
        let read = |name: &str| std::fs::read(to.path().join(name)).unwrap();
        assert_eq!((read("a/b/run.sh"), read(&long)), (b"#!/bin/sh".to_vec(), vec![0, 159, 146]));
        assert_eq!(std::fs::metadata(to.path().join("link")).unwrap().permissions().mode() & 0o777, 0o750);
        assert_eq!(std::fs::read_link(to.path().join("out")).unwrap(), Path::new("/etc"));
        assert!(to.path().join("empty").is_dir() && !to.path().join("pipe").exists());
    }

    #[test]
    fn link_in_place_of_a_file_is_not_followed() {
        let from = tempfile::tempdir().unwrap();
        let root = open(from.path(), FOLDER, Mode::empty()).unwrap();
        let at = |name: &str| from.path().join(name);
        std::os::unix::fs::symlink("/proc/self/environ", at("link")).unwrap();
        std::os::unix::fs::symlink("/etc", at("folder")).unwrap();
        std::process::Command::new("mkfifo").arg(at("pipe")).status().unwrap();
        let _socket = std::os::unix::net::UnixListener::bind(at("socket")).unwrap();
        for name in ["link", "none", "socket"] {
            let opened = there(openat(&root, name, FILE, Mode::empty()).map_err(io::Error::from));
            assert!(opened.unwrap().is_none(), "{name}");
        }
        for name in ["folder", "none", "pipe", "folder/deep"] {
            assert!(there(open_below(&root, Path::new(name))).unwrap().is_none(), "{name}");
        }
        // No writer is waited for, and nothing of the pipe is kept.
        let pipe = openat(&root, "pipe", FILE, Mode::empty()).unwrap();
        let mut packing =
            Packing { archive: tar::Builder::new(tempfile::tempfile().unwrap()), bytes: 0, files: 0 };
        packing.add_file(File::from(pipe), Path::new("pipe")).unwrap();
        let archive = packing.archive.into_inner().unwrap();
        assert_eq!(tar::Archive::new(archive).entries().unwrap().count(), 0);
    }

    #[test]
    fn folders_that_vanish_meanwhile_harm_no_others() {
        let from = tempfile::tempdir().unwrap();
        std::fs::write(from.path().join("kept"), "x").unwrap();
        let stop = std::sync::atomic::AtomicBool::new(false);
        std::thread::scope(|scope| {
            scope.spawn(|| {
                while !stop.load(std::sync::atomic::Ordering::Relaxed) {
                    let deep = from.path().join("a/b");
                    std::fs::create_dir_all(&deep).unwrap();
                    std::fs::write(deep.join("file"), "x").unwrap();
                    std::fs::remove_dir_all(from.path().join("a")).unwrap();
                }
            });
            let packed: Vec<_> = (0..200).map(|_| pack(from.path())).collect();
            stop.store(true, std::sync::atomic::Ordering::Relaxed);
            for archive in packed {
                let to = tempfile::tempdir().unwrap();
                unpack(archive.unwrap(), to.path()).unwrap();
                assert!(to.path().join("kept").exists());
            }
        });
    }

    #[test]
    fn folder_that_holds_too_much_is_refused() {
        let from = tempfile::tempdir().unwrap();
        File::create(from.path().join("large")).unwrap().set_len(MAX_CARRIED + 1).unwrap();
        assert!(pack(from.path()).unwrap_err().to_string().contains("more than 268435456 bytes"));
    }
}
