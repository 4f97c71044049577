//! Parts of files, and files of several parts.

use std::fs::File;
use std::io::{self, ErrorKind, Read, Write};
use std::os::unix::fs::FileExt;
use std::path::PathBuf;

/// How much is copied at once, in bytes.
const CHUNK: usize = 256 * 1024;

/// Copies bytes of an open file, whose own place stays where it is.
pub(crate) fn copy_part(file: &File, from: u64, length: u64, to: &mut File) -> io::Result<()> {
    let (mut at, end) = (from, from.saturating_add(length));
    let mut chunk = vec![0; CHUNK];
    while at < end {
        let wanted = usize::try_from(end - at).map_or(CHUNK, |left| left.min(CHUNK));
        match file.read_at(&mut chunk[..wanted], at) {
            Ok(0) => return Err(ErrorKind::UnexpectedEof.into()),
            Ok(count) => {
                to.write_all(&chunk[..count])?;
                at += count as u64;
            }
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

/// Writes files one behind the other.
pub(crate) fn join(parts: &[PathBuf], to: &mut File) -> io::Result<()> {
    let mut chunk = vec![0; CHUNK];
    for part in parts {
        let mut file = File::open(part)?;
        loop {
            match file.read(&mut chunk) {
                Ok(0) => break,
                Ok(count) => to.write_all(&chunk[..count])?,
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
    }
    Ok(())
}
