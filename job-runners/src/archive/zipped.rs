//! Zip archives (PKWARE, APPNOTE).

use std::collections::HashSet;
use std::io::{self, Read, Seek};

use pumice_core::text::quoted;
use zip::ZipArchive;
use zip::result::ZipError;

use super::tree::Tree;
use super::{is_refused, refused};

/// How an archive begins: with its first entry, or with its end when it holds none.
const MARKS: [&[u8]; 2] = [b"PK\x03\x04", b"PK\x05\x06"];
/// How the header of an entry in the central directory begins, how long it is without its name, and where the length of its name
/// stands, before those of its extra field and its comment (section 4.3.12).
const CENTRAL_MARK: &[u8] = b"PK\x01\x02";
const CENTRAL_HEADER: usize = 46;
const NAME_LENGTH: usize = 28;
/// The kind of a file in its mode (stat(2), `S_IFMT`), and the kinds.
const KIND: u32 = 0o170_000;
const LINK: u32 = 0o120_000;
const FOLDER: u32 = 0o040_000;
const REGULAR: u32 = 0o100_000;
/// The modes of what names none, as archives of Windows and of Java.
const FILE_MODE: u32 = 0o644;
const FOLDER_MODE: u32 = 0o755;
/// The longest target of a link, in bytes (Linux, `PATH_MAX`).
const MAX_TARGET: u64 = 4096;

/// Whether an archive begins like a zip.
pub(super) fn is_zip(start: &[u8]) -> bool {
    MARKS.iter().any(|mark| start.starts_with(mark))
}

/// Unpacks an archive.
pub(super) fn unpack(mut from: impl Read + Seek, tree: &mut Tree<'_>) -> io::Result<()> {
    let archive = ZipArchive::new(&mut from).map_err(broken)?;
    if archive.is_empty() {
        return Err(refused("holds nothing"));
    }
    tree.bounds.check_entries(archive.len())?;
    let (start, known) = (archive.central_directory_start(), archive.len());
    check_names(&mut from, start, known, tree)?;
    let mut archive = ZipArchive::new(from).map_err(broken)?;
    for index in 0..archive.len() {
        let entry = archive.by_index(index).map_err(broken)?;
        let (name, mode) = (entry.name().to_owned(), entry.unix_mode());
        let kind = mode.map_or(0, |mode| mode & KIND);
        let is_folder = name.ends_with('/');
        let mut from = tree.bounds.counted(entry);
        match kind {
            LINK => {
                let mut target = Vec::new();
                from.take(MAX_TARGET + 1).read_to_end(&mut target).map_err(unreadable)?;
                tree.link(name.as_bytes(), &target)?;
            }
            0 | FOLDER if is_folder => tree.folder(name.as_bytes(), mode.unwrap_or(FOLDER_MODE))?,
            0 | REGULAR if !is_folder => {
                let bytes = Unread(&mut from);
                tree.file(name.as_bytes(), mode.unwrap_or(FILE_MODE), bytes)?;
            }
            _ => {
                let name = quoted(&name);
                return Err(refused(format!("holds {name}, which is neither a file, a folder nor a link")));
            }
        }
    }
    Ok(())
}

/// Refuses an archive that has the name of a file twice: the crate gives the last of them alone, of `known` names. A folder may
/// be named again.
fn check_names(from: &mut (impl Read + Seek), start: u64, known: usize, tree: &Tree<'_>) -> io::Result<()> {
    let is_twice = |name: &[u8]| refused(format!("holds {} twice", quoted(&String::from_utf8_lossy(name))));
    let mut from = io::BufReader::new(from);
    from.seek(io::SeekFrom::Start(start))?;
    let mut names: HashSet<Vec<u8>> = HashSet::new();
    let mut last = Vec::new();
    loop {
        let mut header = [0; CENTRAL_HEADER];
        let read = from.read_exact(&mut header[..CENTRAL_MARK.len()]);
        if read.is_err() || !header.starts_with(CENTRAL_MARK) {
            break;
        }
        from.read_exact(&mut header[CENTRAL_MARK.len()..]).map_err(unreadable)?;
        let length = |at: usize| u16::from_le_bytes([header[at], header[at + 1]]);
        let mut name = vec![0; usize::from(length(NAME_LENGTH))];
        from.read_exact(&mut name).map_err(unreadable)?;
        let rest = i64::from(length(NAME_LENGTH + 2)) + i64::from(length(NAME_LENGTH + 4));
        from.seek_relative(rest)?;
        if !names.insert(name.clone()) && !name.ends_with(b"/") {
            return Err(is_twice(&name));
        }
        tree.bounds.check_entries(names.len())?;
        last = name;
    }
    // Names in two encodings may be the same name.
    if names.len() == known { Ok(()) } else { Err(is_twice(&last)) }
}

/// Distinguishes the errors of reading from those of writing.
struct Unread<R>(R);

impl<R: Read> Read for Unread<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.0.read(buffer).map_err(unreadable)
    }
}

fn unreadable(error: io::Error) -> io::Error {
    match error.kind() {
        io::ErrorKind::TimedOut | io::ErrorKind::ConnectionAborted | io::ErrorKind::Interrupted => error,
        _ if is_refused(&error) => error,
        _ => refused(format!("is broken: {error}")),
    }
}

fn broken(error: ZipError) -> io::Error {
    match error {
        ZipError::Io(error) => unreadable(error),
        other => refused(format!("cannot be unpacked: {other}")),
    }
}
