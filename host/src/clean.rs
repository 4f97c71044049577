//! Clean folders: as this process made them, so that another command can use them.

use std::os::fd::{AsFd, BorrowedFd};
use std::path::Path;

use rustix::fs::{IFlags, Mode, OFlags, RawDir, flistxattr, fstat, ioctl_getflags};
use rustix::process::{getegid, geteuid};

/// The rights of folders that this process makes for commands.
pub const PRIVATE: u32 = 0o700;
/// Longest list of the names of extended attributes that is read, in bytes.
const MAX_NAMES: usize = 1024;
/// How much of a list of a folder's entries is read at once, in bytes.
const MAX_ENTRIES: usize = 2048;

/// Whether this is an empty folder as this process makes them: its rights, its owner and its attributes too are as they
/// were, so that nothing which one command did to it reaches the next. A link to one is not.
#[must_use]
pub fn is_clean(path: &Path) -> bool {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let Ok(folder) = rustix::fs::open(path, flags, Mode::empty()) else { return false };
    fstat(&folder).is_ok_and(|found| {
        let rights = Mode::from_raw_mode(found.st_mode).as_raw_mode();
        rights == PRIVATE
            && (found.st_uid, found.st_gid) == (geteuid().as_raw(), getegid().as_raw())
            && has_no_attributes(folder.as_fd())
            && has_no_flags(folder.as_fd())
            && holds_nothing(folder.as_fd())
    })
}

/// Whether a folder has no extended attributes but those that the system itself gives: an access control list is one.
fn has_no_attributes(folder: BorrowedFd<'_>) -> bool {
    let mut names = [0; MAX_NAMES];
    match flistxattr(folder, &mut names[..]) {
        Ok(length) => {
            let mut names = names.get(..length).unwrap_or_default().split(|byte| *byte == 0);
            names.all(|name| name.is_empty() || name.starts_with(b"security."))
        }
        // A file system that knows none.
        Err(error) => error == rustix::io::Errno::NOTSUP,
    }
}

/// Flags that file systems give folders by themselves (FS_IOC_GETFLAGS(2const)).
const OF_FILE_SYSTEMS: [u32; 5] = [
    0x0000_1000, // FS_INDEX_FL
    0x0008_0000, // FS_EXTENT_FL
    0x1000_0000, // FS_INLINE_DATA_FL
    0x0000_0800, // FS_ENCRYPT_FL
    0x4000_0000, // FS_CASEFOLD_FL
];

/// Whether a folder has no flags but those of its file system: an immutable one, for instance, cannot be written to.
fn has_no_flags(folder: BorrowedFd<'_>) -> bool {
    let known = OF_FILE_SYSTEMS.iter().fold(0, |all, flag| all | flag);
    match ioctl_getflags(folder) {
        Ok(flags) => IFlags::from_bits_retain(known).contains(flags),
        // A file system that knows none.
        Err(error) => matches!(error, rustix::io::Errno::NOTTY | rustix::io::Errno::NOTSUP),
    }
}

fn holds_nothing(folder: BorrowedFd<'_>) -> bool {
    let mut entries = [std::mem::MaybeUninit::uninit(); MAX_ENTRIES];
    let mut entries = RawDir::new(folder, &mut entries);
    while let Some(entry) = entries.next() {
        if !entry.is_ok_and(|entry| matches!(entry.file_name().to_bytes(), b"." | b"..")) {
            return false;
        }
    }
    true
}

#[cfg(test)]
mod tests {
    use std::fs::Permissions;
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    #[test]
    fn folder_is_clean_only_as_it_was_made() {
        let parent = tempfile::tempdir().unwrap();
        let folder = parent.path().join("folder");
        std::fs::create_dir(&folder).unwrap();
        let rights = |mode| std::fs::set_permissions(&folder, Permissions::from_mode(mode)).unwrap();
        rights(PRIVATE);
        assert!(is_clean(&folder));
        for mode in [0o755, 0o2700, 0o1700, 0o500] {
            rights(mode);
            assert!(!is_clean(&folder), "{mode:o}");
        }
        rights(PRIVATE);
        std::fs::write(folder.join("file"), "").unwrap();
        assert!(!is_clean(&folder));
        std::fs::remove_file(folder.join("file")).unwrap();
        assert!(is_clean(&folder));
        let link = parent.path().join("link");
        std::os::unix::fs::symlink(&folder, &link).unwrap();
        assert!(!is_clean(&link) && !is_clean(&parent.path().join("none")));
        // File systems without extended attributes cannot show the rest.
        let named = rustix::fs::XattrFlags::empty();
        if rustix::fs::setxattr(&folder, "user.note", b"x", named).is_ok() {
            assert!(!is_clean(&folder));
            rustix::fs::removexattr(&folder, "user.note").unwrap();
            assert!(is_clean(&folder));
        }
        let open = std::fs::File::open(&folder).unwrap();
        if let Ok(flags) = ioctl_getflags(&open) {
            for more in [IFlags::IMMUTABLE, IFlags::APPEND, IFlags::NODUMP] {
                // Users other than root may not set all of them.
                if rustix::fs::ioctl_setflags(&open, flags | more).is_ok() {
                    let clean = is_clean(&folder);
                    rustix::fs::ioctl_setflags(&open, flags).unwrap();
                    assert!(!clean, "{more:?}");
                }
            }
            assert!(is_clean(&folder));
        }
        if geteuid().is_root() {
            std::os::unix::fs::chown(&folder, Some(65_534), None).unwrap();
            assert!(!is_clean(&folder));
        }
    }
}
