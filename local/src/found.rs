//! Objects in folders, read in part and listed.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::fs::{File, Metadata, OpenOptions};
use std::io::{self, ErrorKind};
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::path::Path;

use pumice_core::ports::{MAX_LISTED, MAX_PIECE, Object, ObjectPage, Piece};
use rustix::fs::OFlags;

/// How deep below a folder objects are looked for.
const MAX_DEPTH: usize = 64;

/// Opens a regular file. A command may have put a link there, or something that never ends.
fn open(path: &Path) -> io::Result<Option<(File, Metadata)>> {
    let flags = (OFlags::NOFOLLOW | OFlags::NONBLOCK).bits().cast_signed();
    let file = match OpenOptions::new().read(true).custom_flags(flags).open(path) {
        Ok(file) => file,
        Err(error) if matches!(error.kind(), ErrorKind::NotFound | ErrorKind::NotADirectory) => {
            return Ok(None);
        }
        Err(error) => return Err(error),
    };
    let found = file.metadata()?;
    Ok(found.is_file().then_some((file, found)))
}

/// Bytes of a file; `None` when there is none.
pub(crate) fn piece(path: &Path, from: u64, length: u64) -> io::Result<Option<Piece>> {
    let Some((file, found)) = open(path)? else { return Ok(None) };
    let size = found.len();
    let from = from.min(size);
    let length = length.min(MAX_PIECE).min(size - from);
    let mut bytes = vec![0; usize::try_from(length).unwrap_or(0)];
    let mut read = 0;
    while read < bytes.len() {
        match file.read_at(&mut bytes[read..], from + read as u64) {
            // It has become shorter.
            Ok(0) => break,
            Ok(more) => read += more,
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    bytes.truncate(read);
    Ok(Some(Piece { bytes, size }))
}

/// Regular files whose paths begin with a text, in the order of their bytes. Links are left out, and so are names that
/// are not text and files that are not whole yet.
pub(crate) fn list(prefix: &str, after: Option<&str>, limit: usize) -> io::Result<ObjectPage> {
    let limit = limit.clamp(1, MAX_LISTED);
    let folder = prefix.rfind('/').map_or("", |end| &prefix[..=end]);
    // What a folder holds comes after the folder's own path with a slash, and before all that comes after that.
    let mut open: BinaryHeap<Reverse<(String, usize)>> = BinaryHeap::new();
    open.push(Reverse((folder.to_owned(), 0)));
    let mut objects: Vec<Object> = Vec::new();
    while let Some(Reverse((path, depth))) = open.pop() {
        if !path.ends_with('/') && !path.is_empty() {
            let Ok(found) = std::fs::symlink_metadata(&path) else { continue };
            if objects.len() == limit {
                let next = objects.last().map(|last| last.location.clone());
                return Ok(ObjectPage { objects, next });
            }
            let modified = found.modified().ok().map(Into::into);
            objects.push(Object { location: path, size: found.len(), modified });
            continue;
        }
        if depth > MAX_DEPTH {
            return Err(io::Error::other(format!("{path} is more than {MAX_DEPTH} folders deep")));
        }
        let entries = match std::fs::read_dir(if path.is_empty() { "." } else { &path }) {
            Ok(entries) => entries,
            Err(error) if matches!(error.kind(), ErrorKind::NotFound | ErrorKind::NotADirectory) => continue,
            Err(error) => return Err(error),
        };
        for entry in entries {
            let entry = entry?;
            let Some(name) = entry.file_name().to_str().map(str::to_owned) else { continue };
            let kind = entry.file_type()?;
            let below = format!("{path}{name}{}", if kind.is_dir() { "/" } else { "" });
            let is_whole = !(name.starts_with('.') && name.ends_with(".new"));
            let is_meant = if kind.is_dir() {
                (below.starts_with(prefix) || prefix.starts_with(&below))
                    && after.is_none_or(|after| *below > *after || after.starts_with(&below))
            } else {
                kind.is_file()
                    && is_whole
                    && below.starts_with(prefix)
                    && after.is_none_or(|after| *below > *after)
            };
            if is_meant {
                open.push(Reverse((below, depth + 1)));
            }
        }
    }
    Ok(ObjectPage { objects, next: None })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn links_and_files_under_way_are_neither_opened_nor_listed() {
        let folder = tempfile::tempdir().unwrap();
        let at = |name: &str| folder.path().join(name);
        std::fs::write(at("stdout"), "printed").unwrap();
        std::fs::write(at(".stderr.new"), "half").unwrap();
        std::os::unix::fs::symlink("/etc/passwd", at("link")).unwrap();
        std::os::unix::fs::symlink("/etc", at("folder")).unwrap();
        let pipe = at("pipe");
        rustix::fs::mknodat(rustix::fs::CWD, &pipe, rustix::fs::FileType::Fifo, rustix::fs::Mode::RWXU, 0)
            .unwrap();
        assert!(piece(&at("link"), 0, 10).is_err());
        assert_eq!(piece(&pipe, 0, 10).unwrap(), None);
        assert_eq!(piece(folder.path(), 0, 10).unwrap(), None);
        let found = list(&format!("{}/", folder.path().display()), None, 10).unwrap();
        let names: Vec<String> = found.objects.into_iter().map(|object| object.location).collect();
        assert_eq!(names, [at("stdout").display().to_string()]);
    }
}
