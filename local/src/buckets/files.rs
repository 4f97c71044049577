//! The files of a folder that triggers call a bucket, as objects: their keys, and the marks of their versions.

use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use chrono::{SecondsFormat, TimeDelta};
use pumice_core::Timestamp;
use pumice_core::trigger::{MAX_KEY_BYTES, ObjectEvent};
use serde_json::json;

use super::waiting::Stage;

/// The event in S3's words: a file does not show how it came.
const CREATED: &str = "ObjectCreated:Put";

/// A file as it was seen.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Seen {
    /// Its size in bytes.
    pub(super) size: u64,
    /// Distinguishes it from earlier files of the key: the file itself, when it was written and its size, then [`MARK_CHANGED`] and
    /// when it was changed.
    pub(super) mark: String,
    /// The file itself: its device and its number there.
    pub(super) id: (u64, u64),
    /// How many names it has.
    pub(super) names: u64,
    /// When it was written.
    pub(super) written: Timestamp,
    /// When it, its name or its rights changed.
    pub(super) changed: Timestamp,
}

/// Stands before the part of a mark that a new name, other rights or a further name change too.
const MARK_CHANGED: char = '@';

/// The part of a mark that stays when a file is moved, or gets other rights.
fn content(mark: &str) -> &str {
    mark.split(MARK_CHANGED).next().unwrap_or_default()
}

impl Seen {
    /// Whether it is the file with this mark. Where the system has reported that it was written or moved there (`is_news`), one that was
    /// changed since is another: it may have its old time and size.
    pub(super) fn is_known(&self, mark: &str, is_news: bool) -> bool {
        content(mark) == content(&self.mark) && (!is_news || mark == self.mark)
    }

    /// The mark of its event: that of an earlier try for the same content, so that triggers which did not fail start nothing anew.
    pub(super) fn event_mark(&self, tried: Option<&str>) -> String {
        tried.filter(|tried| content(tried) == content(&self.mark)).unwrap_or(&self.mark).to_owned()
    }
}

/// Whether a file can be taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Readiness {
    /// It can.
    Ready,
    /// It must stay as it is for longer.
    Unsettled,
    /// The process that made it has it open, and will be reported to close it.
    Open,
    /// It can, unless a process has it open for writing.
    UnlessOpen,
}

/// Whether a file can be taken that waited in this way, and has stayed as it is for so long.
pub(super) fn readiness(stage: Stage, seen: &Seen, quiet: TimeDelta, settle: Duration) -> Readiness {
    let settle = TimeDelta::from_std(settle).unwrap_or_default();
    match stage {
        Stage::Whole => Readiness::Ready,
        Stage::Writing => Readiness::Open,
        // As it is between being made and the first byte.
        Stage::Opened if seen.size == 0 && seen.names == 1 => Readiness::Open,
        // A clock that was put back must not make a file wait for ever.
        _ if quiet >= TimeDelta::zero() && quiet < settle => Readiness::Unsettled,
        Stage::Opened | Stage::Touched => Readiness::UnlessOpen,
        Stage::Made | Stage::Found => Readiness::Ready,
    }
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
        mark: format!(
            "{}.{:09}-{}-{}{MARK_CHANGED}{}.{:09}",
            found.mtime(),
            found.mtime_nsec(),
            found.len(),
            found.ino(),
            found.ctime(),
            found.ctime_nsec()
        ),
        id: (found.dev(), found.ino()),
        names: found.nlink(),
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

/// The event of a file that came, with its mark. `event` has the form of a record of S3's notifications, with the key as it is.
pub(super) fn event_of(bucket: &str, key: &str, path: PathBuf, seen: &Seen, mark: &str) -> ObjectEvent {
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
        mark: format!("file:{mark}"),
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

#[cfg(test)]
mod tests {
    use super::*;

    const SETTLE: Duration = Duration::from_secs(5);

    /// A file of three bytes in a folder, and a look at it.
    fn file(folder: &Path) -> (PathBuf, impl Fn() -> Seen) {
        let path = folder.join("a");
        std::fs::write(&path, "abc").unwrap();
        let looked = path.clone();
        (path, move || look_at(&looked).unwrap().unwrap())
    }

    #[test]
    fn file_that_comes_back_is_new_only_where_that_is_reported() {
        let folder = tempfile::tempdir().unwrap();
        let (path, look) = file(folder.path());
        let first = look();
        assert!(first.is_known(&first.mark, true) && first.is_known(&first.mark, false));
        // The time of a change goes by ticks.
        let changed = |change: &dyn Fn()| loop {
            change();
            let seen = look();
            if seen.changed != first.changed {
                return seen;
            }
        };
        let away = || {
            std::fs::rename(&path, folder.path().join("b")).unwrap();
            std::fs::rename(folder.path().join("b"), &path).unwrap();
        };
        let rewritten = || {
            let time = std::fs::metadata(&path).unwrap().modified().unwrap();
            std::fs::write(&path, "xyz").unwrap();
            std::fs::File::open(&path).unwrap().set_modified(time).unwrap();
        };
        for change in [&away as &dyn Fn(), &rewritten] {
            let seen = changed(change);
            assert!(!seen.is_known(&first.mark, true), "it came again");
            assert!(seen.is_known(&first.mark, false), "a look cannot tell it from one with other rights");
        }
        std::fs::write(&path, "longer").unwrap();
        assert!(!look().is_known(&first.mark, false));
    }

    #[test]
    fn event_that_is_tried_again_keeps_its_mark_while_the_content_stays() {
        let folder = tempfile::tempdir().unwrap();
        let (path, look) = file(folder.path());
        let seen = look();
        assert_eq!(seen.event_mark(None), seen.mark);
        let tried = format!("{}{MARK_CHANGED}0.000000000", content(&seen.mark));
        assert_eq!(seen.event_mark(Some(&tried)), tried);
        std::fs::write(&path, "longer").unwrap();
        assert_eq!(look().event_mark(Some(&tried)), look().mark);
    }

    #[test]
    fn file_is_taken_once_nothing_can_be_writing_to_it() {
        let folder = tempfile::tempdir().unwrap();
        let (_, look) = file(folder.path());
        let whole = look();
        let empty = Seen { size: 0, ..whole.clone() };
        let empty_link = Seen { names: 2, ..empty.clone() };
        let long = TimeDelta::seconds(6);
        for (stage, seen, quiet, wanted) in [
            (Stage::Whole, &whole, TimeDelta::zero(), Readiness::Ready),
            (Stage::Made, &whole, TimeDelta::zero(), Readiness::Unsettled),
            (Stage::Made, &empty, long, Readiness::Ready),
            (Stage::Found, &whole, TimeDelta::seconds(4), Readiness::Unsettled),
            (Stage::Found, &whole, TimeDelta::seconds(5), Readiness::Ready),
            (Stage::Found, &whole, TimeDelta::seconds(-1), Readiness::Ready),
            // A new file without content has just been opened by its maker.
            (Stage::Opened, &empty, long, Readiness::Open),
            // A further name that was read.
            (Stage::Opened, &whole, TimeDelta::seconds(1), Readiness::Unsettled),
            (Stage::Opened, &whole, long, Readiness::UnlessOpen),
            (Stage::Opened, &empty_link, long, Readiness::UnlessOpen),
            // A file that was cut by its name.
            (Stage::Touched, &empty, long, Readiness::UnlessOpen),
            (Stage::Touched, &empty, TimeDelta::zero(), Readiness::Unsettled),
            (Stage::Writing, &whole, long, Readiness::Open),
        ] {
            assert_eq!(readiness(stage, seen, quiet, SETTLE), wanted, "{stage:?} {quiet} {seen:?}");
        }
    }
}
