//! Copies of a realm's folder: made while it is served, checked by reading them back, restored into an empty place.
//!
//! A backup is one file, a tar archive compressed with gzip: a heading, a snapshot of the store, the realm's other files, and
//! last the manifest with the size and the SHA-256 digest of each. An archive without a manifest, or with anything that is
//! not as the manifest has it, is refused before anything is written.

mod archive;
mod make;
mod restore;

use std::io;
use std::path::{Path, PathBuf};

use pumice_core::Timestamp;
use pumice_core::ids::RealmName;
use pumice_core::ports::{Random as _, StoreErrorKind};
use pumice_host::SystemRandom;
use serde::{Deserialize, Serialize};

pub use archive::{check_backup, heading_of};
pub use make::back_up;
pub use restore::{BackupContent, look_into, restore};

/// The version of the form of backups that this program writes.
pub(crate) const FORMAT: u32 = 1;
/// Most files of a backup.
const MAX_FILES: usize = 2_000_000;
/// How deep below a realm's folder files may be.
const MAX_DEPTH: usize = 128;
/// The names of the heading and the manifest in the archive.
const HEADING: &str = "pumice-backup.json";
const MANIFEST: &str = "manifest.json";
/// The ending of a backup's name until it is whole, and that of a folder until everything is in it.
const PARTIAL: &str = ".partial";
const RESTORING: &str = ".restoring";
/// Where the realm's files are in the archive.
const FILES: &str = "realm/";
/// Largest heading, in bytes.
const MAX_HEADING: u64 = 64 * 1024;
/// Most bytes of a manifest without its list of files, and of a file's entry in that without its name.
const MAX_MANIFEST_REST: u64 = 32 * 1024 * 1024;
const MAX_MANIFEST_FILE: u64 = 256;

/// The origin of a backup: the first entry of its archive.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Heading {
    /// The version of its form.
    pub format: u32,
    /// The realm.
    pub realm: RealmName,
    /// When it was made.
    pub made: Timestamp,
    /// The version of the program that made it.
    pub program: String,
    /// The version of the store's tables.
    pub store_version: i64,
}

/// A file of a backup.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct BackedUpFile {
    /// Its path below the realm's folder.
    pub path: String,
    /// Its size, in bytes.
    pub size: u64,
    /// Its SHA-256 digest, in hexadecimal digits.
    pub sha256: String,
}

/// Everything that a backup has: the last thing in its archive.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Manifest {
    /// Its origin.
    #[serde(flatten)]
    pub heading: Heading,
    /// Its files, the store first.
    pub files: Vec<BackedUpFile>,
    /// Parts of the realm that are not in it, and why.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub left_out: Vec<String>,
}

impl Manifest {
    /// How many bytes its files have.
    #[must_use]
    pub fn bytes(&self) -> u64 {
        self.files.iter().map(|file| file.size).sum()
    }
}

/// How far a backup or a restoration has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BackupProgress {
    /// The current stage.
    pub stage: Stage,
    /// How many bytes were dealt with in this stage.
    pub bytes: u64,
    /// Of how many, where that is known.
    pub all: Option<u64>,
}

/// A stage of a backup or a restoration.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stage {
    /// The store is copied as it is at one moment.
    Snapshot,
    /// The copy and the other files are written into the archive.
    Writing,
    /// The archive is read back and compared with its manifest.
    Checking,
    /// The files are put into their place.
    Restoring,
}

impl Stage {
    /// Its words.
    #[must_use]
    pub const fn words(self) -> &'static str {
        match self {
            Self::Snapshot => "copying the store",
            Self::Writing => "writing",
            Self::Checking => "checking",
            Self::Restoring => "restoring",
        }
    }
}

/// An unused, unpredictable name next to a file or folder: a file that has it already is never of this process.
fn unused_name(path: &Path, ending: &str, now: Timestamp) -> Result<PathBuf, BackupError> {
    let name = path.file_name().map(std::ffi::OsStr::to_owned);
    let mut name =
        name.ok_or_else(|| io_error("write", path)(io::Error::other("it has no name of its own")))?;
    name.push(format!(".{}{ending}", SystemRandom.uuid(now).simple()));
    Ok(path.with_file_name(name))
}

/// The files next to it of backups to a file, or restorations to a folder, that were killed or are under way.
#[must_use]
pub fn left_behind(path: &Path) -> Vec<PathBuf> {
    /// The digits of a name that [`unused_name`] gives.
    const DIGITS: usize = 32;
    let parent = path.parent().filter(|parent| *parent != Path::new("")).unwrap_or(Path::new("."));
    let (Some(name), Ok(listed)) = (path.file_name(), std::fs::read_dir(parent)) else { return Vec::new() };
    let is_ours = |other: &std::ffi::OsStr| {
        let rest = other.as_encoded_bytes().strip_prefix(name.as_encoded_bytes());
        let rest = rest.and_then(|rest| rest.strip_prefix(b"."));
        [PARTIAL, RESTORING].into_iter().any(|ending| {
            let digits = rest.and_then(|rest| rest.strip_suffix(ending.as_bytes()));
            digits.is_some_and(|digits| digits.len() == DIGITS && digits.iter().all(u8::is_ascii_hexdigit))
        })
    };
    let mut left: Vec<PathBuf> = listed
        .filter_map(Result::ok)
        .map(|entry| entry.file_name())
        .filter(|other| is_ours(other))
        .map(|other| path.with_file_name(other))
        .collect();
    left.sort();
    left
}

/// Hears how far it has come.
pub type ProgressListener<'h> = &'h mut (dyn FnMut(BackupProgress) + Send);

/// Why a backup was not made or not restored.
#[derive(Debug, thiserror::Error)]
pub enum BackupError {
    /// There is a file of that name.
    #[error("{} exists already: a backup replaces no file", .0.display())]
    Exists(PathBuf),
    /// The file would be in the folder that it is of.
    #[error("{} is in the realm's own folder: name a file elsewhere", .0.display())]
    Inside(PathBuf),
    /// The place to restore to is taken.
    #[error("{} {why}: a backup is restored into a folder that is empty or not there", path.display())]
    Occupied {
        /// The folder.
        path: PathBuf,
        /// The path.
        why: &'static str,
    },
    /// The file is not a backup.
    #[error("{} is not a backup of pumice: {why}", path.display())]
    Foreign {
        /// The file.
        path: PathBuf,
        /// The version that was found.
        why: String,
    },
    /// The file is a backup that was cut short or changed.
    #[error("the backup {} is damaged, and nothing of it is used: {why}", path.display())]
    Damaged {
        /// The file.
        path: PathBuf,
        /// The fault.
        why: String,
    },
    /// A newer program made it.
    #[error("the backup {} was made by a newer version of pumice ({program}): update pumice", path.display())]
    Newer {
        /// The file.
        path: PathBuf,
        /// The program's version.
        program: String,
    },
    /// There is more than a backup holds.
    #[error("the realm has more than {MAX_FILES} files, or folders more than {MAX_DEPTH} deep")]
    TooMany,
    /// A file was cut short while it was read.
    #[error("{} was cut short while it was read: try again", .0.display())]
    Shrunk(PathBuf),
    /// SQLite says no.
    #[error("cannot {what}: {error}")]
    Sqlite {
        /// The operation.
        what: &'static str,
        /// Why not, with a hint.
        error: String,
    },
    /// A file or folder cannot be used.
    #[error("cannot {what} {}: {}", path.display(), explained(error))]
    Io {
        /// The operation.
        what: &'static str,
        /// To what.
        path: PathBuf,
        /// Why not.
        error: io::Error,
    },
}

impl BackupError {
    /// Whether what was asked for is at fault, rather than the disk or the store.
    #[must_use]
    pub const fn is_of_request(&self) -> bool {
        !matches!(self, Self::Io { .. } | Self::Sqlite { .. } | Self::Shrunk(_) | Self::TooMany)
    }

    /// Its kind, as an error of the store.
    #[must_use]
    pub fn kind(&self) -> StoreErrorKind {
        match self {
            Self::Io { error, .. } => error.kind().into(),
            _ if self.is_of_request() => StoreErrorKind::Invalid,
            _ => StoreErrorKind::Unreachable,
        }
    }
}

fn explained(error: &io::Error) -> String {
    match error.kind() {
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => {
            "the disk is full; what was written is removed".to_owned()
        }
        _ => error.to_string(),
    }
}

/// An error about a path.
fn io_error(what: &'static str, path: &Path) -> impl Fn(io::Error) -> BackupError + use<> {
    let path = path.to_owned();
    move |error| BackupError::Io { what, path: path.clone(), error }
}

#[cfg(test)]
mod tests;
