//! Files compressed by gz, bz2, xz or zst: recognised by their first bytes, never by their name.

use std::io::{self, BufRead, Read};

use bzip2::bufread::MultiBzDecoder;
use flate2::bufread::MultiGzDecoder;
use lzma_rust2::XzReader;
use ruzstd::decoding::errors::{FrameDecoderError, ReadFrameHeaderError};
use ruzstd::decoding::{BlockDecodingStrategy, FrameDecoder};

use super::refused;

/// How many first bytes decide a file's format: those of a tar's mark too.
pub(crate) const MAX_START: u64 = 512;
/// Most memory that the dictionary of an xz file may take, in KiB: that of `xz -9` is 64 MiB.
const MAX_DICTIONARY: u32 = 96 * 1024;

/// How something is compressed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Compression {
    None,
    Gz,
    Bz2,
    Xz,
    Zst,
}

/// How each begins (RFC 1952; bzip2; The .xz File Format; RFC 8878).
const MARKS: [(&[u8], Compression); 4] = [
    (b"\x1f\x8b", Compression::Gz),
    (b"BZh", Compression::Bz2),
    (b"\xfd7zXZ\x00", Compression::Xz),
    (b"\x28\xb5\x2f\xfd", Compression::Zst),
];

impl Compression {
    /// The one that a beginning shows.
    pub(crate) fn of(start: &[u8]) -> Self {
        // A frame to be skipped, which `pzstd` begins with.
        if let [0x50..=0x5f, 0x2a, 0x4d, 0x18, ..] = start {
            return Self::Zst;
        }
        let found = MARKS.iter().find(|(mark, _)| start.starts_with(mark));
        found.map_or(Self::None, |(_, compression)| *compression)
    }
}

/// The decompressed bytes: of all parts that were concatenated.
///
/// # Errors
/// The system's error when the beginning cannot be read.
pub(crate) fn decompress<'a>(
    from: impl BufRead + 'a,
    compression: Compression,
) -> io::Result<Box<dyn Read + 'a>> {
    Ok(match compression {
        Compression::None => Box::new(from),
        Compression::Gz => Box::new(Broken(MultiGzDecoder::new(from))),
        Compression::Bz2 => Box::new(Broken(MultiBzDecoder::new(from))),
        Compression::Xz => Box::new(Broken(XzReader::new_mem_limit(from, true, MAX_DICTIONARY))),
        Compression::Zst => Box::new(Broken(Zst { from, frame: FrameDecoder::new(), is_open: false })),
    })
}

/// Words the errors of a decoder.
struct Broken<R>(R);

impl<R: Read> Read for Broken<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.0.read(buffer).map_err(|error| match error.kind() {
            io::ErrorKind::Interrupted | io::ErrorKind::TimedOut | io::ErrorKind::ConnectionAborted => error,
            _ => refused(format!("cannot be decompressed: {error}")),
        })
    }
}

/// Frames of Zstandard, one after the other; `pzstd` writes skippable ones between them (RFC 8878).
struct Zst<R> {
    from: R,
    frame: FrameDecoder,
    is_open: bool,
}

impl<R: BufRead> Zst<R> {
    /// Begins with the next frame; gives whether there is one.
    fn next_frame(&mut self) -> io::Result<bool> {
        while !self.from.fill_buf()?.is_empty() {
            match self.frame.init(&mut self.from) {
                Ok(()) => {
                    self.is_open = true;
                    return Ok(true);
                }
                Err(FrameDecoderError::ReadFrameHeaderError(ReadFrameHeaderError::SkipFrame {
                    length,
                    ..
                })) => {
                    let skipped = io::copy(&mut self.from.by_ref().take(length.into()), &mut io::sink())?;
                    if skipped != u64::from(length) {
                        return Err(io::ErrorKind::UnexpectedEof.into());
                    }
                }
                Err(error) => return Err(io::Error::other(error)),
            }
        }
        Ok(false)
    }
}

impl<R: BufRead> Read for Zst<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        loop {
            if self.frame.can_collect() > 0 {
                return self.frame.read(buffer);
            }
            if self.is_open && !self.frame.is_finished() {
                let decoded = self.frame.decode_blocks(&mut self.from, BlockDecodingStrategy::UptoBlocks(1));
                decoded.map_err(io::Error::other)?;
                continue;
            }
            if self.is_open {
                self.is_open = false;
                let (written, found) =
                    (self.frame.get_checksum_from_data(), self.frame.get_calculated_checksum());
                if written.is_some() && written != found {
                    return Err(io::Error::other("the checksum is not that of the bytes"));
                }
            }
            if !self.next_frame()? {
                return Ok(0);
            }
        }
    }
}
