//! The files of a store that a process has open. SQLite opens its log and the log's index by name, so that a process which
//! finds others there writes what no other process sees: the files are looked at before and after each write.
//!
//! The process that serves a realm notes its files in the lock's file ([`Note`]), and others compare theirs with these.

use std::fs::{File, Metadata};
use std::os::unix::fs::{FileExt, MetadataExt};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, OnceLock, PoisonError};
use std::time::{Duration, SystemTime};

use crate::home::LOCK;
use crate::identity::Identity;
use crate::presence::LOG_MAGIC;

/// How often a look that found a fault is repeated, and after how long: the server may have begun or ended meanwhile.
const LOOKS: usize = 4;
const PAUSE: Duration = Duration::from_millis(20);

/// How the lock's file begins while a process serves the folder.
pub(crate) const SERVED: &str = "served";
/// How the line with the files begins, and the one with the store's identity.
const FILES: &str = "files";
const IDENTITY: &str = "store ";

/// Which file it is, whatever its name: numbers are given again, times are not.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct FileId {
    device: u64,
    number: u64,
    /// When it was made, in nanoseconds; 0 where the file system does not say.
    made: u128,
}

impl FileId {
    pub(crate) fn of(found: &Metadata) -> Self {
        let made = found.created().ok().and_then(|made| made.duration_since(SystemTime::UNIX_EPOCH).ok());
        Self {
            device: found.dev(),
            number: found.ino(),
            made: made.map(|made| made.as_nanos()).unwrap_or_default(),
        }
    }

    fn at(path: &Path) -> Option<Self> {
        std::fs::metadata(path).ok().as_ref().map(Self::of)
    }

    fn to_text(id: Option<Self>) -> String {
        id.map_or_else(|| "-".to_owned(), |id| format!("{}:{}:{}", id.device, id.number, id.made))
    }

    fn from_text(text: &str) -> Option<Self> {
        let mut fields = text.split(':');
        let (device, number) = (fields.next()?.parse().ok()?, fields.next()?.parse().ok()?);
        Some(Self { device, number, made: fields.next()?.parse().ok()? })
    }
}

/// The store's file, its log and the log's index, each where it is there.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct FileIds([Option<FileId>; 3]);

/// The paths of the store's file, its log and the log's index.
pub(crate) fn files_of(store: &Path) -> [PathBuf; 3] {
    [store.to_owned(), store.with_extension("db-wal"), store.with_extension("db-shm")]
}

impl FileIds {
    /// Those that have the names of a store's files now.
    pub(crate) fn at(store: &Path) -> Self {
        Self(files_of(store).map(|path| FileId::at(&path)))
    }

    /// The first of the store's files that was one of these and is not.
    fn first_other(&self, store: &Path) -> Option<PathBuf> {
        let files = files_of(store).into_iter().zip(self.0);
        files
            .filter(|(_, known)| known.is_some())
            .find(|(path, known)| FileId::at(path) != *known)
            .map(|(path, _)| path)
    }

    /// The first of the store's files that is there and that this process has not opened.
    pub(crate) fn first_not_open(&self, store: &Path) -> Option<PathBuf> {
        // Without `/proc` the open files are unknown.
        let open: Vec<FileId> = std::fs::read_dir("/proc/self/fd")
            .ok()?
            .flatten()
            .filter_map(|entry| FileId::at(&entry.path()))
            .collect();
        let files = files_of(store).into_iter().zip(self.0);
        files
            .filter_map(|(path, id)| Some((path, id?)))
            .find(|(_, id)| !open.contains(id))
            .map(|(path, _)| path)
    }

    /// Whether both have the same store's file and another log: in a copy of a folder all are others.
    pub(crate) fn has_other_log(&self, noted: &Self) -> bool {
        self.0[0] == noted.0[0] && noted.0[1].is_some() && self.0[1] != noted.0[1]
    }
}

/// The note of the process that serves a folder, in the lock's file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Note {
    /// When it began to serve the folder.
    pub(crate) since: String,
    /// The files that it has open; a version before this one noted none.
    pub(crate) files: Option<FileIds>,
    /// Which store that is; a version before this one noted none.
    pub(crate) identity: Option<Identity>,
}

impl Note {
    /// As the lock's file has it.
    pub(crate) fn to_text(&self) -> String {
        let files = self.files.map(|files| files.0.map(FileId::to_text).join(" "));
        let files = files.map(|files| format!("{FILES} {files}\n")).unwrap_or_default();
        let identity = self.identity.as_ref().map(|identity| format!("{IDENTITY}{}\n", identity.to_text()));
        format!("{SERVED} {}\n{files}{}", self.since, identity.unwrap_or_default())
    }

    /// Reads the text of the lock's file; `None` unless a process serves the folder, or did so and ended by force.
    pub(crate) fn read(text: &str) -> Option<Self> {
        let mut lines = text.strip_prefix(SERVED)?.lines();
        let since = lines.next().unwrap_or_default().trim().to_owned();
        let ids = lines.next().and_then(|line| line.strip_prefix(FILES));
        let ids: Vec<_> = ids.unwrap_or_default().split_whitespace().map(FileId::from_text).collect();
        let identity = lines.next().and_then(|line| Identity::from_text(line.strip_prefix(IDENTITY)?));
        Some(Self { since, files: <[_; 3]>::try_from(ids).ok().map(FileIds), identity })
    }

    /// The note in a folder's lock file.
    pub(crate) fn of(folder: &Path) -> Option<Self> {
        Self::read(&String::from_utf8_lossy(&std::fs::read(folder.join(LOCK)).ok()?))
    }
}

/// The files of the store that this process has open.
#[derive(Debug)]
pub(crate) struct Held {
    store: PathBuf,
    /// The realm's folder.
    folder: PathBuf,
    own: FileIds,
    /// When the store's file had been written last as its identity was looked at.
    looked: Mutex<Option<SystemTime>>,
    /// Whether this process serves the folder: it looks once a second instead.
    serves: AtomicBool,
    /// The log's index. It is never closed: with any descriptor of a file a process gives up all its locks on that file
    /// (POSIX, `fcntl`), SQLite's too.
    index: OnceLock<Option<&'static File>>,
}

impl Held {
    /// Those of a store that was just opened.
    pub(crate) fn of(store: &Path, folder: &Path) -> Self {
        let (store, folder, own) = (store.to_owned(), folder.to_owned(), FileIds::at(store));
        let (looked, serves) = (Mutex::default(), AtomicBool::new(false));
        Self { store, folder, own, looked, serves, index: OnceLock::new() }
    }

    /// The first of the store's files that is not the one which this process has opened.
    pub(crate) fn first_not_open(&self) -> Option<PathBuf> {
        self.own.first_not_open(&self.store)
    }

    /// The process serves the folder from now on.
    pub(crate) fn serve(&self) {
        self.serves.store(true, Ordering::Relaxed);
    }

    /// Whether the files still have their names, and the store is the one that is served.
    pub(crate) fn is_in_place(&self) -> bool {
        let is_other = |identity: Identity| identity.is_other(&self.store);
        self.own.first_other(&self.store).is_none()
            && !Note::of(&self.folder).and_then(|note| note.identity).is_some_and(is_other)
    }

    /// The fault of the files, if any, for a process that is about to write or has just written.
    pub(crate) fn fault(&self) -> Option<String> {
        if self.serves.load(Ordering::Relaxed) {
            return None;
        }
        again(|| self.look())
    }

    fn look(&self) -> Option<String> {
        if let Some(other) = self.own.first_other(&self.store) {
            return Some(replaced(&other, "it was opened"));
        }
        let Note { files, identity, .. } = Note::of(&self.folder)?;
        if let Some(other) = files?.first_other(&self.store) {
            return Some(replaced(&other, SERVER_OPENED));
        }
        if let Some(fault) = identity.and_then(|identity| self.other_store(&identity)) {
            return Some(fault);
        }
        self.log_fault()
    }

    /// Whether another store was written over the one that is served, as far as it was written at all since the last look.
    fn other_store(&self, identity: &Identity) -> Option<String> {
        let mut looked = self.looked.lock().unwrap_or_else(PoisonError::into_inner);
        let written = std::fs::metadata(&self.store).and_then(|found| found.modified()).ok();
        if written.is_some() && *looked == written {
            return None;
        }
        if identity.seems_other(&self.store) {
            return Some(overwritten(&self.store, SINCE_SERVED));
        }
        *looked = written;
        None
    }

    /// Whether the log is shorter than its index says, or something else was written over it.
    fn log_fault(&self) -> Option<String> {
        let [_, log, index] = files_of(&self.store);
        let file = File::open(&log).ok()?;
        let opened =
            self.index.get_or_init(|| File::open(&index).ok().map(|file| &*Box::leak(Box::new(file))));
        // In this order: the log has what its index names.
        let wanted = (*opened)?.pages_end()?;
        let length = file.metadata().ok()?.len();
        if length < wanted {
            return Some(format!("{} was cut short while the realm is served", log.display()));
        }
        let mut begin = [0; LOG_MAGIC.len()];
        let is_log = length == 0 || file.read_exact_at(&mut begin, 0).is_err() || begin == *LOG_MAGIC;
        (!is_log).then(|| format!("{} was overwritten while the realm is served", log.display()))
    }
}

/// The log's length as its index has it (SQLite, "WAL-Mode File Format", The WAL-Index File Format).
pub(crate) trait LogIndex {
    /// How long the log is at least, in bytes.
    fn pages_end(&self) -> Option<u64>;
}

impl LogIndex for File {
    fn pages_end(&self) -> Option<u64> {
        const HEADER: u64 = 32;
        const FRAME_HEADER: u64 = 24;
        let mut header = [0; 20];
        self.read_exact_at(&mut header, 0).ok()?;
        let page = u64::from(u16::from_ne_bytes([header[14], header[15]]));
        // The largest size has no place in 16 bits.
        let page = if page == 1 { 65_536 } else { page };
        let frames = u64::from(u32::from_ne_bytes([header[16], header[17], header[18], header[19]]));
        Some(if frames == 0 { 0 } else { HEADER + frames * (FRAME_HEADER + page) })
    }
}

/// The fault of the store's files for a process that is about to open them next to the process that serves the folder.
pub(crate) fn fault_next_to_server(store: &Path, folder: &Path) -> Option<String> {
    let note = Note::of(folder)?;
    if let Some(other) = note.files?.first_other(store) {
        return Some(replaced(&other, SERVER_OPENED));
    }
    note.identity?.seems_other(store).then(|| overwritten(store, SINCE_SERVED))
}

/// When a fault came about, as messages say it.
const SERVER_OPENED: &str = "the process that serves the realm opened it";
const SINCE_SERVED: &str = "since the process that serves the realm opened it";

/// The fault of a file that another store, or an earlier copy of the same one, was written over.
pub(crate) fn overwritten(store: &Path, when: &str) -> String {
    format!("{} was overwritten with another store {when}", store.display())
}

fn replaced(file: &Path, since: &str) -> String {
    format!("{} was removed or replaced since {since}", file.display())
}

/// Repeats a look that found a fault.
fn again(look: impl Fn() -> Option<String>) -> Option<String> {
    let mut found = look()?;
    for _ in 1..LOOKS {
        std::thread::sleep(PAUSE);
        found = look()?;
    }
    Some(found)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn note_is_read_as_it_was_written() {
        let folder = tempfile::tempdir().unwrap();
        let store = folder.path().join("pumice.db");
        std::fs::write(&store, "x").unwrap();
        let files = Some(FileIds::at(&store));
        let identity = Identity::from_text("5eed 2026-11-29T11:40:45+00:00");
        let note = Note { since: "2026-11-29T11:40:45+00:00".to_owned(), files, identity };
        assert_eq!(Note::read(&note.to_text()), Some(note.clone()));
        // A shorter note leaves the end of a longer one behind it.
        assert_eq!(Note::read(&format!("{}3:4:5\n", note.to_text())), Some(note.clone()));
        let unnamed = Note { identity: None, ..note.clone() };
        assert_eq!(Note::read(&unnamed.to_text()), Some(unnamed));
        let before = Note { files: None, identity: None, ..note };
        assert_eq!(Note::read("served 2026-11-29T11:40:45+00:00"), Some(before));
        for other in ["", "left ", "left 2026\nfiles - - -\n"] {
            assert_eq!(Note::read(other), None, "{other}");
        }
    }

    #[test]
    fn file_made_anew_is_another_whatever_its_number() {
        let folder = tempfile::tempdir().unwrap();
        let store = folder.path().join("pumice.db");
        for path in files_of(&store) {
            std::fs::write(&path, "x").unwrap();
        }
        let known = FileIds::at(&store);
        assert_eq!(known.first_other(&store), None);
        for path in files_of(&store) {
            // It may get the number that has just become free.
            std::fs::rename(&path, folder.path().join("kept")).unwrap();
            assert_eq!(known.first_other(&store), Some(path.clone()));
            std::fs::write(&path, "x").unwrap();
            assert_eq!(known.first_other(&store), Some(path.clone()));
            std::fs::rename(folder.path().join("kept"), &path).unwrap();
        }
        assert!(known.first_not_open(&store).is_some());
        let _open = files_of(&store).map(|path| File::open(path).unwrap());
        assert_eq!(known.first_not_open(&store), None);
    }
}
