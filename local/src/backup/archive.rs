//! Reads a backup's archive from its beginning to its end, and compares it with its manifest.

use std::collections::HashMap;
use std::fs::File;
use std::io::{self, BufReader, Read};
use std::path::{Component, Path};

use flate2::bufread::GzDecoder;
use sha2::{Digest, Sha256};

use super::{
    BackedUpFile, BackupError, BackupProgress, FILES, FORMAT, HEADING, Heading, MANIFEST, MAX_FILES,
    MAX_HEADING, MAX_MANIFEST_FILE, MAX_MANIFEST_REST, Manifest, ProgressListener, Stage, io_error,
};
use pumice_core::text::{hex, quoted};

/// The size of what is read at once, in bytes.
pub(super) const CHUNK: usize = 128 * 1024;

/// Reads a backup whole, and compares each file with the manifest; nothing is written.
///
/// # Errors
/// [`BackupError`] when it is not a backup, is damaged or newer than this program, or cannot be read.
pub fn check_backup(path: &Path, heard: ProgressListener<'_>) -> Result<Manifest, BackupError> {
    let mut sink = |_: &BackedUpFile, _: &mut dyn Read| Ok(());
    read(path, Stage::Checking, heard, &mut sink)
}

/// The heading of a backup; the rest is not looked at.
///
/// # Errors
/// [`BackupError`] when the file cannot be read, is not a backup, or is newer than this program.
pub fn heading_of(path: &Path) -> Result<Heading, BackupError> {
    let file = File::open(path).map_err(io_error("read", path))?;
    let mut archive = tar::Archive::new(GzDecoder::new(BufReader::with_capacity(CHUNK, file)));
    let foreign = |error: io::Error| BackupError::Foreign { path: path.to_owned(), why: error.to_string() };
    heading(path, archive.entries().map_err(foreign)?.next())
}

/// Takes a file of the archive: what it does not read is read and compared all the same.
pub(super) type Sink<'s> =
    &'s mut (dyn FnMut(&BackedUpFile, &mut dyn Read) -> Result<(), BackupError> + Send);

/// Reads a backup, hands each of its files to `sink`, and compares what was there with the manifest at the end.
pub(super) fn read(
    path: &Path,
    stage: Stage,
    heard: ProgressListener<'_>,
    sink: Sink<'_>,
) -> Result<Manifest, BackupError> {
    let file = File::open(path).map_err(io_error("read", path))?;
    let whole = file.metadata().map_err(io_error("read", path))?;
    if !whole.is_file() {
        return Err(BackupError::Foreign { path: path.to_owned(), why: "it is not a file".to_owned() });
    }
    let damaged = |why: String| BackupError::Damaged { path: path.to_owned(), why };
    let mut archive = tar::Archive::new(GzDecoder::new(BufReader::with_capacity(CHUNK, file)));
    let mut entries = archive.entries().map_err(|error| damaged(error.to_string()))?;
    let heading = heading(path, entries.next())?;
    let mut found: HashMap<String, (u64, String)> = HashMap::new();
    let (mut bytes, mut longest) = (0, MAX_MANIFEST_REST);
    let manifest = loop {
        let mut entry = match entries.next() {
            Some(Ok(entry)) => entry,
            Some(Err(error)) => return Err(damaged(error.to_string())),
            None => return Err(damaged("it ends before its manifest: it was cut short".to_owned())),
        };
        let name = entry.path().ok().and_then(|name| name.to_str().map(str::to_owned));
        let name = name.ok_or_else(|| damaged("a name in it is not UTF-8".to_owned()))?;
        if name == MANIFEST {
            break manifest(path, &mut entry, longest)?;
        }
        let below = below(&name).filter(|_| entry.header().entry_type().is_file());
        let Some(below) = below else {
            return Err(damaged(format!("{} is nothing that a backup has", quoted(&name))));
        };
        if found.len() >= MAX_FILES || found.contains_key(below) {
            return Err(damaged(format!("{} is there twice", quoted(below))));
        }
        let size = entry.header().size().map_err(|error| damaged(error.to_string()))?;
        let about = BackedUpFile { path: below.to_owned(), size, sha256: String::new() };
        let mut digested = Digested { inner: &mut entry, digest: Sha256::new(), size: 0 };
        sink(&about, &mut digested)?;
        io::copy(&mut digested, &mut io::sink()).map_err(|error| damaged(error.to_string()))?;
        bytes += digested.size;
        let (size, digest) = (digested.size, hex(&digested.digest.finalize()));
        // In JSON a byte of a name has six at most.
        longest += MAX_MANIFEST_FILE + 6 * below.len() as u64;
        found.insert(below.to_owned(), (size, digest));
        heard(BackupProgress { stage, bytes, all: None });
    };
    // The end of the compressed stream has a checksum of all.
    let mut rest = [0; 512];
    let mut stream = archive.into_inner();
    while stream.read(&mut rest).map_err(|error| damaged(error.to_string()))? > 0 {}
    let behind = stream.into_inner().read(&mut rest).map_err(io_error("read", path))?;
    if behind > 0 {
        return Err(damaged("there is more behind its end".to_owned()));
    }
    if manifest.heading != heading {
        return Err(damaged("its manifest is of another backup".to_owned()));
    }
    compare(&manifest, &found).map_err(damaged)?;
    Ok(manifest)
}

/// The first entry of the archive: what it is a backup of.
fn heading<R: Read>(
    path: &Path,
    first: Option<io::Result<tar::Entry<'_, R>>>,
) -> Result<Heading, BackupError> {
    let foreign = |why: &str| BackupError::Foreign { path: path.to_owned(), why: why.to_owned() };
    let mut entry = match first {
        Some(Ok(entry)) => entry,
        Some(Err(error)) => return Err(foreign(&error.to_string())),
        None => return Err(foreign("it is empty")),
    };
    if entry.path().map_or(true, |name| *name != *Path::new(HEADING)) {
        return Err(foreign("it does not begin as one"));
    }
    let mut text = Vec::new();
    let read = entry.by_ref().take(MAX_HEADING).read_to_end(&mut text);
    read.map_err(|error| foreign(&error.to_string()))?;
    // A later form may have another heading: its number stays.
    let form = serde_json::from_slice::<serde_json::Value>(&text).ok();
    let number = form.as_ref().and_then(|form| form.get("format")).and_then(serde_json::Value::as_u64);
    if number.is_some_and(|number| number > u64::from(FORMAT)) {
        let program = form.as_ref().and_then(|form| form.get("program")).and_then(|name| name.as_str());
        let program = program.unwrap_or("unknown").to_owned();
        return Err(BackupError::Newer { path: path.to_owned(), program });
    }
    let heading: Heading = serde_json::from_slice(&text).map_err(|error| foreign(&error.to_string()))?;
    if heading.store_version > crate::schema::VERSION {
        return Err(BackupError::Newer { path: path.to_owned(), program: heading.program });
    }
    Ok(heading)
}

/// The manifest, whose length the number of files limits.
fn manifest<R: Read>(
    path: &Path,
    entry: &mut tar::Entry<'_, R>,
    longest: u64,
) -> Result<Manifest, BackupError> {
    let damaged = |why: String| BackupError::Damaged { path: path.to_owned(), why };
    if entry.size() > longest {
        return Err(damaged(format!(
            "its manifest has {} bytes, more than its files call for",
            entry.size()
        )));
    }
    let mut text = Vec::new();
    let read = entry.take(longest).read_to_end(&mut text);
    read.map_err(|error| damaged(error.to_string()))?;
    serde_json::from_slice(&text).map_err(|error| damaged(format!("its manifest cannot be read: {error}")))
}

/// The path of a file below the realm's folder; `None` for one that could lead elsewhere.
fn below(name: &str) -> Option<&str> {
    let below = name.strip_prefix(FILES)?;
    let is_plain = !below.is_empty()
        && Path::new(below).components().all(|part| matches!(part, Component::Normal(_)))
        && !below.ends_with('/');
    is_plain.then_some(below)
}

fn compare(manifest: &Manifest, found: &HashMap<String, (u64, String)>) -> Result<(), String> {
    if manifest.files.first().is_none_or(|file| file.path != crate::home::STORE) {
        return Err("it has no store".to_owned());
    }
    for file in &manifest.files {
        let name = quoted(&file.path);
        match found.get(&file.path) {
            None => return Err(format!("{name} is missing")),
            Some((size, _)) if *size != file.size => {
                return Err(format!("{name} has {size} bytes, and the manifest says {}", file.size));
            }
            Some((_, digest)) if *digest != file.sha256 => {
                return Err(format!("{name} is not what the manifest says: its digest is another"));
            }
            Some(_) => {}
        }
    }
    match found.len() == manifest.files.len() {
        true => Ok(()),
        false => Err(format!("it has {} files, and its manifest {}", found.len(), manifest.files.len())),
    }
}

/// Computes the digest of what is read.
pub(super) struct Digested<R> {
    pub(super) inner: R,
    pub(super) digest: Sha256,
    pub(super) size: u64,
}

impl<R: Read> Read for Digested<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let read = self.inner.read(buffer)?;
        self.digest.update(&buffer[..read]);
        self.size += read as u64;
        Ok(read)
    }
}
