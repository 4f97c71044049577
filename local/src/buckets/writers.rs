//! The processes that have a file open for writing, as far as this one may see them.

use std::fs::{metadata, read_dir, symlink_metadata};
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::Path;

/// Where the system shows processes and the files that they have open (proc(5)).
const PROCESSES: &str = "/proc";
/// The right in the mode of an open file's link that says that it can be written to (proc(5), `/proc/pid/fd`).
const FOR_WRITING: u32 = 0o200;

/// Whether a process that this one may look into has a file open for writing. The file is given by its device and its number there.
pub(super) fn is_open_for_writing(id: (u64, u64)) -> bool {
    let Ok(processes) = read_dir(PROCESSES) else { return false };
    let is_number = |name: &std::ffi::OsStr| name.as_encoded_bytes().iter().all(u8::is_ascii_digit);
    let mut processes = processes.flatten().filter(|process| is_number(&process.file_name()));
    processes.any(|process| has_open(&process.path().join("fd"), id))
}

/// Whether one of a process's open files is this one, to be written to.
fn has_open(files: &Path, id: (u64, u64)) -> bool {
    // It has ended, or is another user's.
    let Ok(files) = read_dir(files) else { return false };
    files.flatten().map(|file| file.path()).any(|file| {
        let writes = symlink_metadata(&file).is_ok_and(|link| link.permissions().mode() & FOR_WRITING != 0);
        writes && metadata(&file).is_ok_and(|found| (found.dev(), found.ino()) == id)
    })
}

#[cfg(test)]
mod tests {
    use std::fs::File;

    use super::*;

    #[test]
    fn file_is_open_for_writing_while_a_process_has_it_so() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a");
        let writer = File::create(&path).unwrap();
        let found = writer.metadata().unwrap();
        let id = (found.dev(), found.ino());
        assert!(is_open_for_writing(id));
        drop(writer);
        let reader = File::open(&path).unwrap();
        assert!(!is_open_for_writing(id), "a reader does not count");
        drop(reader);
        // It is the file that counts, and not the name by which it was opened.
        let link = folder.path().join("b");
        std::fs::hard_link(&path, &link).unwrap();
        let _writer = File::options().append(true).open(&link).unwrap();
        assert!(is_open_for_writing(id));
    }
}
