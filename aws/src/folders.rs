//! A folder of this machine as one object: a tar archive (pax, IEEE 1003.1).

use std::fs::File;
use std::io::{self, Read};
use std::path::{Path, PathBuf};

/// The most that a folder may hold that goes along from one invocation to the next, in bytes.
pub(crate) const MAX_CARRIED: u64 = 256 * 1024 * 1024;
/// Most files in such a folder.
const MAX_FILES: usize = 50_000;

/// Packs what a folder holds into a file without a name: regular files, folders and links; pipes, sockets and devices
/// are left out.
pub(crate) fn pack(folder: &Path) -> io::Result<File> {
    let mut archive = tar::Builder::new(tempfile::tempfile()?);
    archive.follow_symlinks(false);
    let (mut bytes, mut files) = (0_u64, 0_usize);
    let mut open = vec![PathBuf::new()];
    while let Some(below) = open.pop() {
        for entry in std::fs::read_dir(folder.join(&below))? {
            let entry = entry?;
            let name = below.join(entry.file_name());
            let metadata = match entry.metadata() {
                // A step that runs at the same time removed it.
                Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
                other => other?,
            };
            let kind = metadata.file_type();
            files += 1;
            if kind.is_file() {
                bytes = bytes.saturating_add(metadata.len());
            }
            if bytes > MAX_CARRIED || files > MAX_FILES {
                return Err(io::Error::other(format!(
                    "it holds more than {MAX_CARRIED} bytes or {MAX_FILES} files, the limit"
                )));
            }
            if kind.is_dir() {
                archive.append_dir(&name, entry.path())?;
                open.push(name);
            } else if kind.is_symlink() {
                archive.append_path_with_name(entry.path(), &name)?;
            } else if kind.is_file() {
                append_file(&mut archive, &entry.path(), &name)?;
            }
        }
    }
    let mut file = archive.into_inner()?;
    io::Seek::rewind(&mut file)?;
    Ok(file)
}

/// Adds a file as it is now: one that grows or shrinks meanwhile must not harm the others.
fn append_file(archive: &mut tar::Builder<File>, path: &Path, name: &Path) -> io::Result<()> {
    let file = match File::open(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        opened => opened?,
    };
    let metadata = file.metadata()?;
    let mut header = tar::Header::new_gnu();
    header.set_metadata(&metadata);
    archive.append_data(&mut header, name, file.chain(io::repeat(0)).take(metadata.len()))
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
    fn folder_that_holds_too_much_is_refused() {
        let from = tempfile::tempdir().unwrap();
        File::create(from.path().join("large")).unwrap().set_len(MAX_CARRIED + 1).unwrap();
        assert!(pack(from.path()).unwrap_err().to_string().contains("more than 268435456 bytes"));
    }
}
