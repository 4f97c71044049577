//! Objects in folders, read in part and listed.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::fs::{File, Metadata, OpenOptions};
use std::io::{self, ErrorKind};
use std::io::{Read, Seek};
use std::os::unix::fs::{FileExt, MetadataExt, OpenOptionsExt};
use std::path::Path;

use pumice_core::ports::{Fetched, MAX_LISTED, MAX_PIECE, Object, ObjectPage, Piece};
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
    // The entries of a folder come after the folder's own path with a slash, and before all that follows that.
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
            objects.push(object(path, &found));
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

/// A file as an object. Its version follows from size, time and number: to read all of it costs too much.
fn object(location: String, found: &Metadata) -> Object {
    let modified = found.modified().ok().map(Into::into);
    Object { location, size: found.len(), modified, version: Some(version(found)), class: None }
}

fn version(found: &Metadata) -> String {
    format!("{}.{:09}-{}-{}", found.mtime(), found.mtime_nsec(), found.len(), found.ino())
}

/// The regular files of one folder whose paths begin with a text. Anything else there is an error, but for folders and files
/// that are not whole yet.
pub(crate) fn level(prefix: &str, limit: usize) -> io::Result<Vec<Object>> {
    let folder = prefix.rfind('/').map_or("", |end| &prefix[..=end]);
    let entries = match std::fs::read_dir(if folder.is_empty() { "." } else { folder }) {
        Ok(entries) => entries,
        Err(error) if matches!(error.kind(), ErrorKind::NotFound | ErrorKind::NotADirectory) => {
            return Ok(Vec::new());
        }
        Err(error) => return Err(error),
    };
    let mut objects = Vec::new();
    for entry in entries {
        let entry = entry?;
        let name = entry.file_name();
        let Some(name) = name.to_str() else {
            let message = format!("{}: the name is not UTF-8", entry.path().display());
            return Err(io::Error::other(message));
        };
        let location = format!("{folder}{name}");
        let is_whole = !(name.starts_with('.') && name.ends_with(".new"));
        if !location.starts_with(prefix) || !is_whole {
            continue;
        }
        let found = match std::fs::symlink_metadata(&location) {
            // It was removed meanwhile.
            Err(error) if error.kind() == ErrorKind::NotFound => continue,
            found => found?,
        };
        if found.is_dir() {
            continue;
        }
        if !found.is_file() {
            let what = if found.is_symlink() { "a link" } else { "not a regular file" };
            return Err(io::Error::other(format!("{location} is {what}: only regular files are taken")));
        }
        objects.push(object(location, &found));
    }
    objects.sort_by(|one, other| one.location.cmp(&other.location));
    objects.truncate(limit);
    Ok(objects)
}

/// Copies a file that was found into another, and sees whether it stayed the same meanwhile.
pub(crate) fn fetch(wanted: &Object, mut into: File) -> io::Result<Fetched> {
    let Some((file, found)) = open(Path::new(&wanted.location))? else { return Ok(Fetched::Gone) };
    let is_wanted = |found: &Metadata| wanted.version.as_ref().is_none_or(|wanted| *wanted == version(found));
    if !is_wanted(&found) {
        return Ok(Fetched::Changed);
    }
    into.set_len(0)?;
    into.rewind()?;
    // One byte more shows that it has grown.
    let copied = io::copy(&mut (&file).take(wanted.size.saturating_add(1)), &mut into)?;
    into.rewind()?;
    Ok(if copied == wanted.size && is_wanted(&file.metadata()?) { Fetched::Whole } else { Fetched::Changed })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn level_holds_regular_files_and_refuses_the_rest() {
        let folder = tempfile::tempdir().unwrap();
        let at = |name: &str| folder.path().join(name).display().to_string();
        std::fs::create_dir_all(at("demo/deep")).unwrap();
        for name in ["demo/b.sh", "demo/a.sh", "demo/deep/c.sh", "demo/.x.new", "demo.sh"] {
            std::fs::write(at(name), "x").unwrap();
        }
        let names = |prefix: &str, limit| -> Vec<String> {
            level(&at(prefix), limit).unwrap().into_iter().map(|object| object.location).collect()
        };
        let demo = format!("{}/", at("demo"));
        let found: Vec<String> =
            level(&demo, 10).unwrap().into_iter().map(|object| object.location).collect();
        assert_eq!(found, [at("demo/a.sh"), at("demo/b.sh")]);
        assert_eq!(names("demo", 10), [at("demo.sh")]);
        assert_eq!(names("demo/b.sh", 10), [at("demo/b.sh")]);
        assert_eq!(level(&demo, 1).unwrap().len(), 1);
        assert_eq!(names("nowhere/x", 10), [] as [&str; 0]);
        std::os::unix::fs::symlink("/etc/passwd", at("demo/z")).unwrap();
        assert!(level(&demo, 10).unwrap_err().to_string().contains("demo/z is a link"));
        assert_eq!(names("demo/a", 10), [at("demo/a.sh")]);
    }

    #[test]
    fn file_that_changed_since_it_was_found_is_not_taken() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("x");
        std::fs::write(&path, "first").unwrap();
        let find = || level(&path.display().to_string(), 1).unwrap().pop().unwrap();
        let first = find();
        let into = tempfile::tempfile().unwrap();
        let read = || {
            let (mut text, mut file) = (String::new(), into.try_clone().unwrap());
            file.rewind().unwrap();
            file.read_to_string(&mut text).unwrap();
            text
        };
        assert_eq!(fetch(&first, into.try_clone().unwrap()).unwrap(), Fetched::Whole);
        assert_eq!(read(), "first");
        // Another file of the same size.
        std::fs::write(folder.path().join("y"), "later").unwrap();
        std::fs::rename(folder.path().join("y"), &path).unwrap();
        assert_eq!(fetch(&first, into.try_clone().unwrap()).unwrap(), Fetched::Changed);
        // One that grew.
        let second = find();
        std::fs::write(&path, "later on").unwrap();
        assert_eq!(fetch(&second, into.try_clone().unwrap()).unwrap(), Fetched::Changed);
        std::fs::write(&path, "z").unwrap();
        assert_eq!(fetch(&find(), into.try_clone().unwrap()).unwrap(), Fetched::Whole);
        assert_eq!(read(), "z");
        std::fs::remove_file(&path).unwrap();
        assert_eq!(fetch(&second, into.try_clone().unwrap()).unwrap(), Fetched::Gone);
    }

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
