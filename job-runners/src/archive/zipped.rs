//! Zip archives (PKWARE, APPNOTE).

use std::io::{self, Read, Seek};

use pumice_core::text::quoted;
use zip::ZipArchive;
use zip::result::ZipError;

use super::refused;
use super::tree::Tree;

/// How an archive begins: with its first entry, or with its end when it holds none.
const MARKS: [&[u8]; 2] = [b"PK\x03\x04", b"PK\x05\x06"];
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
pub(super) fn unpack(from: impl Read + Seek, tree: &mut Tree<'_>) -> io::Result<()> {
    let mut archive = ZipArchive::new(from).map_err(broken)?;
    if archive.is_empty() {
        return Err(refused("holds nothing"));
    }
    tree.bounds.check_entries(archive.len())?;
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
        io::ErrorKind::InvalidData if error.get_ref().is_some_and(|inner| !inner.is::<ZipError>()) => error,
        _ => refused(format!("is broken: {error}")),
    }
}

fn broken(error: ZipError) -> io::Error {
    match error {
        ZipError::Io(error) => unreadable(error),
        other => refused(format!("cannot be unpacked: {other}")),
    }
}
