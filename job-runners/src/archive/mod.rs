//! Archives of `pkg` jobs: tar, compressed in any of four ways, and zip.
//!
//! The author of an archive may mean harm: nothing is written outside of its folder, and its unpacked size is limited.

mod bounds;
mod compressed;
mod tarball;
#[cfg(test)]
mod tests;
mod tree;
mod zipped;

use std::fmt;
use std::io::{self, Read, Seek};
use std::path::{Path, PathBuf};

pub(crate) use bounds::{Bounds, Stop};
pub(crate) use compressed::{Compression, MAX_START, decompress};
use tree::Tree;

/// The outcome of unpacking an archive.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Unpacked {
    /// Files whose names end in `_run.sh`, in the first two levels, seen from the folder.
    pub(crate) launchers: Vec<PathBuf>,
}

/// Why an archive is refused: completes "the package NAME …".
#[derive(Debug)]
struct Refused(String);

impl fmt::Display for Refused {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for Refused {}

fn refused(why: impl Into<String>) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, Refused(why.into()))
}

/// Whether an error has a reason in the words of this module.
fn is_refused(error: &io::Error) -> bool {
    error.get_ref().is_some_and(|inner| inner.is::<Refused>())
}

/// Unpacks an archive of `size` bytes into an empty folder, whatever its name is: its first bytes decide its format.
///
/// # Errors
/// [`InvalidData`](io::ErrorKind::InvalidData) of an archive that is refused or broken,
/// [`TimedOut`](io::ErrorKind::TimedOut) and [`Interrupted`](io::ErrorKind::ConnectionAborted) when it must stop; else what
/// the system says.
pub(crate) fn unpack(mut archive: impl Read + Seek, folder: &Path, bounds: Bounds) -> io::Result<Unpacked> {
    let mut start = Vec::new();
    archive.by_ref().take(MAX_START).read_to_end(&mut start)?;
    archive.rewind()?;
    let mut tree = Tree::new(folder, bounds);
    if zipped::is_zip(&start) {
        zipped::unpack(archive, &mut tree)?;
    } else {
        let compression = Compression::of(&start);
        if compression == Compression::None && !tarball::is_tar(&start) {
            return Err(refused(
                "is neither a tar nor a zip archive: tar may be compressed by gz, bz2, xz or zst",
            ));
        }
        tarball::unpack(decompress(io::BufReader::new(archive), compression)?, &mut tree)?;
    }
    tree.finish()
}
