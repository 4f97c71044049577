//! The files of a folder that triggers call a bucket, as objects: their keys, and the marks of their versions.

use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use chrono::SecondsFormat;
use pumice_core::Timestamp;
use pumice_core::trigger::{MAX_KEY_BYTES, ObjectEvent};
use serde_json::json;

/// The event in S3's words: a file does not show how it came.
const CREATED: &str = "ObjectCreated:Put";

/// A file as it was seen.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Seen {
    /// Its size in bytes.
    pub(super) size: u64,
    /// Distinguishes it from earlier files of the key: the file itself, when it was written, and its size.
    pub(super) mark: String,
    /// When it was written.
    pub(super) written: Timestamp,
    /// When it, its name or its rights changed.
    pub(super) changed: Timestamp,
}

/// A path below a bucket's folder that can be no key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum NoKey {
    /// It is not UTF-8.
    NotText,
    /// It is longer than a key may be.
    TooLong,
}

impl NoKey {
    /// The reason, in words.
    pub(super) fn words(&self) -> String {
        match self {
            Self::NotText => "its path is not UTF-8".to_owned(),
            Self::TooLong => format!("its path is longer than {MAX_KEY_BYTES} bytes, the longest key"),
        }
    }
}

fn instant(seconds: i64, nanos: i64) -> Timestamp {
    Timestamp::from_timestamp(seconds, u32::try_from(nanos).unwrap_or_default()).unwrap_or_default()
}

/// A regular file as it is now; `None` of anything else. Links are not followed.
pub(super) fn look_at(path: &Path) -> std::io::Result<Option<Seen>> {
    let found = std::fs::symlink_metadata(path)?;
    if !found.is_file() {
        return Ok(None);
    }
    Ok(Some(Seen {
        size: found.len(),
        mark: format!("{}.{:09}-{}-{}", found.mtime(), found.mtime_nsec(), found.len(), found.ino()),
        written: instant(found.mtime(), found.mtime_nsec()),
        changed: instant(found.ctime(), found.ctime_nsec()),
    }))
}

/// The key of a file below a bucket's folder.
pub(super) fn key_of(root: &Path, path: &Path) -> Result<String, NoKey> {
    let below = path.strip_prefix(root).unwrap_or(path);
    let key = below.to_str().ok_or(NoKey::NotText)?;
    if key.len() > MAX_KEY_BYTES { Err(NoKey::TooLong) } else { Ok(key.to_owned()) }
}

/// The event of a file that came. `event` has the form of a record of S3's notifications, with the key as it is.
pub(super) fn event_of(bucket: &str, key: &str, path: PathBuf, seen: &Seen) -> ObjectEvent {
    let time = seen.changed;
    ObjectEvent {
        bucket: bucket.to_owned(),
        key: key.to_owned(),
        size: Some(seen.size),
        event_type: CREATED.to_owned(),
        time: Some(time),
        source_ip: None,
        aws_region: None,
        version: None,
        mark: format!("file:{}", seen.mark),
        raw: json!({
            "eventSource": "pumice:folder",
            "eventName": CREATED,
            "eventTime": time.to_rfc3339_opts(SecondsFormat::Millis, true),
            "s3": { "bucket": { "name": bucket }, "object": { "key": key, "size": seen.size } },
        }),
        location: path.into_os_string().into_string().unwrap_or_else(|_| key.to_owned()),
    }
}

/// Calls with the path of every file below a folder, until it says no; gives what could not be read. Links are not followed.
pub(super) fn walk(root: &Path, each: &mut dyn FnMut(PathBuf) -> bool) -> std::io::Result<Vec<PathBuf>> {
    let mut unread = Vec::new();
    let mut open = vec![(root.to_owned(), std::fs::read_dir(root)?)];
    while let Some((_, entries)) = open.last_mut() {
        let Some(entry) = entries.next() else {
            open.pop();
            continue;
        };
        let Ok(entry) = entry else { continue };
        let path = entry.path();
        match entry.file_type() {
            Ok(kind) if kind.is_dir() => match std::fs::read_dir(&path) {
                Ok(entries) => open.push((path, entries)),
                // It may have been removed meanwhile.
                Err(error) if error.kind() == std::io::ErrorKind::NotFound => {}
                Err(_) => unread.push(path),
            },
            Ok(kind) if kind.is_file() => {
                if each(path) {
                    continue;
                }
                return Ok(unread);
            }
            _ => {}
        }
    }
    Ok(unread)
}
