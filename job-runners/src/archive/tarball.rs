//! Tar archives (IEEE 1003.1, pax; GNU's long names).

use std::io::{self, Read};

use pumice_core::text::quoted;
use tar::{Archive, Entry, EntryType};

use super::tree::Tree;
use super::{is_refused, refused};

/// Where the mark of a tar archive is, and the mark (IEEE 1003.1, pax, ustar).
const MARK_AT: usize = 257;
const MARK: &[u8] = b"ustar";
/// The mode of a file that names none.
const FILE_MODE: u32 = 0o644;

/// Whether an archive begins like a tar. Those of before 1988 have no mark.
pub(super) fn is_tar(start: &[u8]) -> bool {
    start.get(MARK_AT..).is_some_and(|rest| rest.starts_with(MARK))
}

/// Unpacks what comes, to its end.
pub(super) fn unpack(from: impl Read, tree: &mut Tree<'_>) -> io::Result<()> {
    let bounds = tree.bounds.clone();
    let mut archive = Archive::new(bounds.counted(from));
    bounds.before_entry();
    let mut entries = archive.entries().map_err(broken)?;
    let mut count = 0;
    loop {
        bounds.before_entry();
        let Some(entry) = entries.next() else { break };
        bounds.within_entry();
        let mut entry = entry.map_err(broken)?;
        count += 1;
        // Those that make no file count too.
        bounds.check_entries(count)?;
        put(&mut entry, tree).map_err(broken)?;
        // The next one begins where this one ends.
        io::copy(&mut entry, &mut io::sink()).map_err(broken)?;
    }
    if count == 0 {
        return Err(refused("holds nothing, or is not a tar archive"));
    }
    // The checksum of what is compressed stands at its end.
    bounds.within_entry();
    io::copy(&mut archive.into_inner(), &mut io::sink()).map_err(broken)?;
    Ok(())
}

fn put(entry: &mut Entry<'_, impl Read>, tree: &mut Tree<'_>) -> io::Result<()> {
    let name = entry.path_bytes().into_owned();
    let shown = || quoted(&String::from_utf8_lossy(&name));
    let mode = entry.header().mode().unwrap_or(FILE_MODE);
    let is_sparse =
        entry.pax_extensions().map_err(broken)?.into_iter().flatten().any(|extension| {
            extension.is_ok_and(|extension| extension.key_bytes().starts_with(b"GNU.sparse"))
        });
    if is_sparse {
        return Err(refused(format!("holds {} with holes: make it with tar without --sparse", shown())));
    }
    let target = entry.link_name_bytes().map(std::borrow::Cow::into_owned).unwrap_or_default();
    match entry.header().entry_type() {
        // Before POSIX a folder was a file whose name ends in a slash.
        EntryType::Regular | EntryType::Continuous if name.ends_with(b"/") => tree.folder(&name, mode),
        EntryType::Regular | EntryType::Continuous => tree.file(&name, mode, entry),
        EntryType::Directory => tree.folder(&name, mode),
        EntryType::Link => tree.hard_link(&name, &target),
        EntryType::Symlink => tree.link(&name, &target),
        // As git writes it: a comment.
        EntryType::XGlobalHeader => Ok(()),
        EntryType::Block | EntryType::Char => Err(refused(format!("holds {}, which is a device", shown()))),
        EntryType::Fifo => Err(refused(format!("holds {}, which is a pipe", shown()))),
        other => {
            Err(refused(format!("holds {}, of the unknown kind {:?}", shown(), other.as_byte() as char)))
        }
    }
}

/// An error of the archive's own; those of the limits and of the system stay as they are.
fn broken(error: io::Error) -> io::Error {
    match error.kind() {
        _ if is_refused(&error) => error,
        io::ErrorKind::Other
        | io::ErrorKind::UnexpectedEof
        | io::ErrorKind::InvalidInput
        | io::ErrorKind::InvalidData => refused(format!("is broken: {error}")),
        _ => error,
    }
}
