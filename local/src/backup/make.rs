//! Makes a backup of a realm's folder, while it is served.

use std::fs::{DirBuilder, File, OpenOptions};
use std::io::{self, BufWriter, Read, Seek, Write};
use std::os::unix::fs::{DirBuilderExt, FileTypeExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::time::Duration;

use flate2::Compression;
use flate2::write::GzEncoder;
use pumice_core::Timestamp;
use pumice_core::ids::RealmName;
use pumice_core::text::hex;
use pumice_host::remove_tree;
use rusqlite::{Connection, OpenFlags};
use rustix::fs::{CWD, RenameFlags, renameat_with};
use sha2::{Digest, Sha256};

use super::archive::{CHUNK, Digested, check_backup};
use super::{
    BackedUpFile, BackupError, BackupProgress, FILES, FORMAT, HEADING, Heading, MANIFEST, MAX_DEPTH,
    MAX_FILES, Manifest, PARTIAL, ProgressListener, Stage, io_error, unused_name,
};
use crate::database::explain;
use crate::home::{LOCK, SCRATCH, STORE, WORK};

/// How long to wait for a process that changes the store's form.
const PATIENCE: Duration = Duration::from_secs(10);
/// By how much the thread of a backup stands behind those of the server for the processor (nice(2)): it gets a tenth of one
/// that is busy, so that it comes to its end, and all of one that has nothing else to do.
pub(super) const NICE: i32 = 10;
/// After how many bytes what is written is put on the disk. Else the server's next wait for its log would be one for
/// all of it too: the file system writes what is new of all files at once.
const STEP: usize = 4 * 1024 * 1024;

/// Copies a realm's folder into a file that is not there yet. The store is as it was at one moment, whatever is written
/// meanwhile; the other files are read after it. `left_out` says what else is not in it. The file gets its name once all of it was read back and found whole.
/// All this is done on a thread that gives way to others.
///
/// # Errors
/// [`BackupError`] when the file exists, the disk is full, or a file cannot be read: nothing of it stays then.
pub fn back_up(
    folder: &Path,
    realm: &RealmName,
    file: &Path,
    left_out: Vec<String>,
    now: Timestamp,
    heard: ProgressListener<'_>,
) -> Result<Manifest, BackupError> {
    let work = || {
        // One that may not give way is slower for others, and no less whole.
        if let Err(error) = rustix::process::nice(NICE) {
            tracing::debug!(%error, "the backup does not give way to the server");
        }
        make(folder, realm, file, left_out, now, heard)
    };
    std::thread::scope(|scope| {
        let thread = std::thread::Builder::new().name("backup".to_owned()).spawn_scoped(scope, work);
        let made = thread.map_err(|error| io_error("begin", file)(error))?.join();
        made.unwrap_or_else(|panic| std::panic::resume_unwind(panic))
    })
}

fn make(
    folder: &Path,
    realm: &RealmName,
    file: &Path,
    left_out: Vec<String>,
    now: Timestamp,
    heard: ProgressListener<'_>,
) -> Result<Manifest, BackupError> {
    let folder = folder.canonicalize().map_err(io_error("read", folder))?;
    let file = named(&folder, file)?;
    let partial = Partial::claim(&file, now)?;
    heard(BackupProgress { stage: Stage::Snapshot, bytes: 0, all: None });
    let store_version = snapshot(&folder.join(STORE), &partial.store)?;
    let program = env!("CARGO_PKG_VERSION").to_owned();
    let heading = Heading { format: FORMAT, realm: realm.clone(), made: now, program, store_version };
    let manifest = write(&partial, &folder, heading, left_out, heard)?;
    let checked = check_backup(&partial.archive, heard)?;
    if checked != manifest {
        let why = "it was changed while it was written".to_owned();
        return Err(BackupError::Damaged { path: partial.archive.clone(), why });
    }
    partial.finish(&file)?;
    Ok(manifest)
}

/// Writes to a file, and puts it on the disk after every [`STEP`] bytes.
struct Paced<'f> {
    file: &'f File,
    written: usize,
}

impl Write for Paced<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let written = self.file.write(bytes)?;
        self.written += written;
        if self.written >= STEP {
            self.written = 0;
            self.file.sync_data()?;
        }
        Ok(written)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.file.flush()
    }
}

/// The file of a backup, by a path that does not change; refuses one that is there, or is in the folder.
fn named(folder: &Path, file: &Path) -> Result<PathBuf, BackupError> {
    let parent = match file.parent() {
        Some(parent) if parent != Path::new("") => parent,
        _ => Path::new("."),
    };
    let parent = parent.canonicalize().map_err(io_error("use the folder of", file))?;
    let Some(name) = file.file_name() else {
        let error = io::Error::from(io::ErrorKind::IsADirectory);
        return Err(io_error("write", file)(error));
    };
    let whole = parent.join(name);
    if whole.symlink_metadata().is_ok() {
        return Err(BackupError::Exists(file.to_owned()));
    }
    if parent.starts_with(folder) {
        return Err(BackupError::Inside(file.to_owned()));
    }
    Ok(whole)
}

/// A backup that is not whole yet, in a folder of its own that no other user can look into: all of it is removed at the end.
struct Partial {
    folder: PathBuf,
    archive: PathBuf,
    store: PathBuf,
    file: File,
}

impl Partial {
    /// Makes the folder, and the archive in it. Files that are there already are left alone, whatever their names.
    fn claim(file: &Path, now: Timestamp) -> Result<Self, BackupError> {
        let folder = unused_name(file, PARTIAL, now)?;
        DirBuilder::new().mode(0o700).create(&folder).map_err(io_error("write", &folder))?;
        let (archive, store) = (folder.join("archive"), folder.join("store"));
        let opened = OpenOptions::new()
            .read(true)
            .write(true)
            .create_new(true)
            .custom_flags(NO_FOLLOW)
            .mode(0o600)
            .open(&archive);
        match opened {
            Ok(file) => Ok(Self { folder, archive, store, file }),
            Err(error) => {
                // It is empty, and this process made it.
                let _ = std::fs::remove_dir(&folder);
                Err(io_error("write", &archive)(error))
            }
        }
    }

    fn remove_store(&self) -> Result<(), BackupError> {
        std::fs::remove_file(&self.store).map_err(io_error("remove", &self.store))
    }

    /// Gives it its name, which no other file may have got meanwhile.
    fn finish(self, file: &Path) -> Result<(), BackupError> {
        self.file.sync_all().map_err(io_error("write", &self.archive))?;
        match renameat_with(CWD, &self.archive, CWD, file, RenameFlags::NOREPLACE) {
            Ok(()) => {}
            Err(rustix::io::Errno::EXIST) => return Err(BackupError::Exists(file.to_owned())),
            // A file system that knows no such rename: a link does not replace a file either.
            Err(_) => {
                std::fs::hard_link(&self.archive, file).map_err(io_error("name", file))?;
            }
        }
        if let Some(folder) = file.parent().and_then(|folder| File::open(folder).ok()) {
            folder.sync_all().map_err(io_error("write", file))?;
        }
        Ok(())
    }
}

impl Drop for Partial {
    fn drop(&mut self) {
        // Also the files that SQLite has put next to the copy. `left_behind` reports those that stay.
        let _ = remove_tree(&self.folder);
    }
}

/// Copies the store as it is at one moment; gives the version of its tables. Writers go on meanwhile.
fn snapshot(store: &Path, to: &Path) -> Result<i64, BackupError> {
    let failed =
        |error: rusqlite::Error| BackupError::Sqlite { what: "copy the store", error: explain(&error) };
    let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let connection = Connection::open_with_flags(store, flags).map_err(failed)?;
    connection.busy_timeout(PATIENCE).map_err(failed)?;
    let target =
        to.to_str().ok_or_else(|| io_error("name", to)(io::Error::other("the name is not UTF-8")))?;
    // Made for this user alone before SQLite writes into it.
    let made = OpenOptions::new().write(true).create_new(true).mode(0o600).open(to);
    made.map_err(io_error("write", to))?;
    connection.execute("VACUUM INTO ?", [target]).map_err(failed)?;
    connection.pragma_query_value(None, "user_version", |row| row.get(0)).map_err(failed)
}

/// An archive that is written.
struct Archive<'a> {
    tar: tar::Builder<GzEncoder<BufWriter<Paced<'a>>>>,
    files: Vec<BackedUpFile>,
    left_out: Vec<String>,
    bytes: u64,
    path: &'a Path,
}

fn write(
    partial: &Partial,
    folder: &Path,
    heading: Heading,
    left_out: Vec<String>,
    heard: ProgressListener<'_>,
) -> Result<Manifest, BackupError> {
    let failed = io_error("write", &partial.archive);
    let buffered = BufWriter::with_capacity(CHUNK, Paced { file: &partial.file, written: 0 });
    let mut archive = Archive {
        tar: tar::Builder::new(GzEncoder::new(buffered, Compression::fast())),
        files: Vec::new(),
        left_out,
        bytes: 0,
        path: &partial.archive,
    };
    archive.text(HEADING, &heading)?;
    archive.file(&partial.store, STORE, heard)?;
    partial.remove_store()?;
    archive.folder(folder, heard)?;
    let Archive { files, left_out, .. } = &mut archive;
    let (files, left_out) = (std::mem::take(files), std::mem::take(left_out));
    let manifest = Manifest { heading, files, left_out };
    archive.text(MANIFEST, &manifest)?;
    let buffered = archive.tar.into_inner().and_then(GzEncoder::finish).map_err(&failed)?;
    buffered.into_inner().map_err(|error| failed(error.into_error()))?;
    partial.file.sync_all().map_err(&failed)?;
    // Read back from its beginning, by its name.
    (&partial.file).rewind().map_err(&failed)?;
    Ok(manifest)
}

impl Archive<'_> {
    fn header(size: u64) -> tar::Header {
        let mut header = tar::Header::new_gnu();
        header.set_size(size);
        header.set_mode(0o600);
        header.set_entry_type(tar::EntryType::Regular);
        header
    }

    fn text(&mut self, name: &str, value: &impl serde::Serialize) -> Result<(), BackupError> {
        let failed = io_error("write", self.path);
        let text = serde_json::to_vec(value).map_err(|error| failed(io::Error::other(error)))?;
        self.tar.append_data(&mut Self::header(text.len() as u64), name, text.as_slice()).map_err(failed)
    }

    /// Puts a file into it, as long as it was when it was opened.
    fn file(&mut self, path: &Path, name: &str, heard: ProgressListener<'_>) -> Result<(), BackupError> {
        let opened = OpenOptions::new().read(true).custom_flags(NO_FOLLOW).open(path);
        let opened = match opened {
            // It has expired since its folder was read.
            Err(error) if error.kind() == io::ErrorKind::NotFound && name != STORE => return Ok(()),
            opened => opened.map_err(io_error("read", path))?,
        };
        let size = opened.metadata().map_err(io_error("read", path))?.len();
        if self.files.len() >= MAX_FILES {
            return Err(BackupError::TooMany);
        }
        let before = self.bytes;
        let mut source = Watched {
            inner: Digested { inner: opened.take(size), digest: Sha256::new(), size: 0 },
            before,
            heard,
            failed: None,
        };
        let named = format!("{FILES}{name}");
        let appended = self.tar.append_data(&mut Self::header(size), named, &mut source);
        if let Some(error) = source.failed.take() {
            return Err(io_error("read", path)(error));
        }
        let Digested { digest, size: read, .. } = source.inner;
        appended.map_err(io_error("write", self.path))?;
        if read != size {
            return Err(BackupError::Shrunk(path.to_owned()));
        }
        self.bytes += read;
        let sha256 = hex(&digest.finalize());
        self.files.push(BackedUpFile { path: name.to_owned(), size, sha256 });
        Ok(())
    }

    /// Puts the files of the realm's folder into it, but for the store, which is there, and what passes.
    fn folder(&mut self, folder: &Path, heard: ProgressListener<'_>) -> Result<(), BackupError> {
        let mut open = vec![(folder.to_owned(), String::new(), 0)];
        while let Some((place, below, depth)) = open.pop() {
            let listed = match std::fs::read_dir(&place) {
                Err(error) if error.kind() == io::ErrorKind::NotFound && depth > 0 => continue,
                listed => listed.map_err(io_error("read", &place))?,
            };
            let mut entries = listed.collect::<io::Result<Vec<_>>>().map_err(io_error("read", &place))?;
            entries.sort_by_key(std::fs::DirEntry::file_name);
            for entry in entries {
                let Ok(kind) = entry.file_type() else { continue };
                let Ok(name) = entry.file_name().into_string() else {
                    self.leave_out(&entry.path(), "its name is not UTF-8");
                    continue;
                };
                if depth == 0 && passes(&name) {
                    continue;
                }
                let name = format!("{below}{name}");
                if kind.is_dir() {
                    if depth >= MAX_DEPTH {
                        return Err(BackupError::TooMany);
                    }
                    open.push((entry.path(), format!("{name}/"), depth + 1));
                } else if kind.is_file() {
                    self.file(&entry.path(), &name, heard)?;
                } else if kind.is_symlink() {
                    self.leave_out(&entry.path(), "it is a link");
                } else if kind.is_fifo() || kind.is_socket() {
                    self.leave_out(&entry.path(), "it is not a file");
                }
            }
        }
        Ok(())
    }

    fn leave_out(&mut self, path: &Path, why: &str) {
        /// Most of them that are named.
        const MAX_NAMED: usize = 1_000;
        if self.left_out.len() < MAX_NAMED {
            self.left_out.push(format!("{}: {why}", path.display()));
        }
    }
}

/// A link that takes the place of a file is not followed.
const NO_FOLLOW: i32 = rustix::fs::OFlags::NOFOLLOW.bits().cast_signed();

/// Whether something in the realm's folder is of the process that serves it, or of the store that is copied otherwise.
fn passes(name: &str) -> bool {
    [LOCK, SCRATCH, WORK, "secrets.lock"].contains(&name) || name.starts_with(STORE)
}

/// Reports each piece that is read, and keeps the error of a failed read.
struct Watched<'h, R> {
    inner: Digested<R>,
    before: u64,
    heard: ProgressListener<'h>,
    failed: Option<io::Error>,
}

impl<R: Read> Read for Watched<'_, R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let read = self.inner.read(buffer).inspect_err(|error| {
            self.failed = Some(io::Error::new(error.kind(), error.to_string()));
        })?;
        let bytes = self.before + self.inner.size;
        (self.heard)(BackupProgress { stage: Stage::Writing, bytes, all: None });
        Ok(read)
    }
}
