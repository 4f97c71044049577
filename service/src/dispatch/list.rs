//! Files of requests that are given again after an interruption, and make no run twice.

use std::io::Read;

use pumice_core::text::{hex, quoted};
use sha2::{Digest, Sha256};
use uuid::Uuid;

use crate::failure::Error;

/// How much of a file is compared at a time, in bytes: it is in memory as a whole.
const CHUNK: usize = 256 * 1024;
/// Bytes of a digest that a name has.
const DIGEST_BYTES: usize = 8;
/// How many digits of a name are there by chance, and how many check it: one that is mistyped would begin anew.
const CHANCE_DIGITS: usize = 12;
const CHECK_DIGITS: usize = 4;

/// The name of one dispatch of a file: what the file holds, and which dispatch of it. The ids of its runs follow from the
/// name and from the place of each request, so that a dispatch that goes on under it makes no run twice.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ListName(String);

/// A digest of a file, by which a change between two readings is noticed: the digest of all of it, and of each chunk.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FileDigest {
    whole: String,
    chunks: Vec<[u8; 32]>,
    length: u64,
}

impl FileDigest {
    /// The digest of what a file holds now.
    ///
    /// # Errors
    /// The system's error when it cannot be read.
    pub fn of(mut file: impl Read) -> std::io::Result<Self> {
        let (mut hash, mut chunks, mut length) = (Sha256::new(), Vec::new(), 0);
        let mut chunk = Vec::with_capacity(CHUNK);
        loop {
            next_chunk(&mut file, CHUNK, &mut chunk)?;
            hash.update(&chunk);
            length += chunk.len() as u64;
            let is_last = chunk.len() < CHUNK;
            if !chunk.is_empty() {
                chunks.push(Sha256::digest(&chunk).into());
            }
            if is_last {
                let mut whole = hex(&hash.finalize());
                whole.truncate(2 * DIGEST_BYTES);
                return Ok(Self { whole, chunks, length });
            }
        }
    }

    /// The first digits of it, as a name has them.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.whole
    }

    /// How many bytes it is of.
    #[must_use]
    pub const fn length(&self) -> u64 {
        self.length
    }
}

/// Reads so many bytes, or fewer at the end, in place of what was read before.
fn next_chunk(file: &mut impl Read, most: usize, chunk: &mut Vec<u8>) -> std::io::Result<()> {
    chunk.clear();
    // Half of a chunk is not compared with anything.
    file.take(most as u64).read_to_end(chunk).map(drop).inspect_err(|_| chunk.clear())
}

/// Reads a file as it was when its digest was taken. A chunk that is another by now is not handed on: it is an error that says
/// after how many bytes. Text that was appended is not read.
#[derive(Debug)]
pub struct Unchanged<R> {
    file: R,
    of: FileDigest,
    /// How many chunks were read.
    read: usize,
    chunk: std::io::Cursor<Vec<u8>>,
}

impl<R: Read> Unchanged<R> {
    /// A file from its beginning.
    #[must_use]
    pub const fn new(file: R, of: FileDigest) -> Self {
        Self { file, of, read: 0, chunk: std::io::Cursor::new(Vec::new()) }
    }
}

impl<R: Read> Read for Unchanged<R> {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        if self.chunk.position() < self.chunk.get_ref().len() as u64 || buffer.is_empty() {
            return self.chunk.read(buffer);
        }
        let Some(wanted) = self.of.chunks.get(self.read) else { return Ok(0) };
        let before = (self.read * CHUNK) as u64;
        let most = usize::try_from(self.of.length - before).map_or(CHUNK, |rest| rest.min(CHUNK));
        let chunk = self.chunk.get_mut();
        next_chunk(&mut self.file, most, chunk)?;
        let digest: [u8; 32] = Sha256::digest(&*chunk).into();
        if digest != *wanted {
            // Nothing of it is handed on, however often it is asked for.
            chunk.clear();
            return Err(std::io::Error::other(format!(
                "it was changed while it was read: nothing is taken of what follows on its first {before} bytes"
            )));
        }
        self.read += 1;
        self.chunk.set_position(0);
        self.chunk.read(buffer)
    }
}

impl ListName {
    /// The name of a new dispatch of a file with this digest.
    #[must_use]
    pub fn new(digest: &str, chance: Uuid) -> Self {
        let (_, chance) = chance.as_u64_pair();
        let chance = chance & ((1 << (4 * CHANCE_DIGITS)) - 1);
        let chance = format!("{chance:0CHANCE_DIGITS$x}");
        let check = check_of(digest, &chance);
        Self(format!("{digest}-{chance}{check}"))
    }

    /// The name of a dispatch that goes on.
    ///
    /// # Errors
    /// [`Error`] when the text is not such a name, one of its halves is mistyped, or the file is not the one with which the
    /// dispatch began.
    pub fn resumed(name: &str, digest: &str) -> Result<Self, Error> {
        let is_hex =
            |text: &str, length| text.len() == length && text.bytes().all(|byte| byte.is_ascii_hexdigit());
        let name = name.to_ascii_lowercase();
        match name.split_once('-') {
            Some((of, rest))
                if is_hex(of, 2 * DIGEST_BYTES) && is_hex(rest, CHANCE_DIGITS + CHECK_DIGITS) =>
            {
                let (chance, check) = rest.split_at(CHANCE_DIGITS);
                let wrong = |half: &str| {
                    let why =
                        format!("{name} is mistyped: {half} is not what was printed when the dispatch began");
                    Err(Error::new(crate::ErrorKind::Conflict, why))
                };
                match (of == digest, check == check_of(of, chance), check == check_of(digest, chance)) {
                    (true, true, _) => Ok(Self(name)),
                    (true, false, _) => wrong("its second half, behind the dash,"),
                    (false, false, true) => {
                        wrong(&format!("its first half, before the dash, which is {digest} for this file,"))
                    }
                    (false, true, _) => Err(Error::new(
                        crate::ErrorKind::Conflict,
                        format!(
                            "the file is not the one with which {name} began: its digest is {digest}, not {of}"
                        ),
                    )),
                    (false, false, false) => wrong("one of its halves"),
                }
            }
            _ => Err(Error::invalid(format!(
                "{} is not the name of an interrupted dispatch: give the one that it printed when it began",
                quoted(&name)
            ))),
        }
    }

    /// The name as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// The digits that check a name.
fn check_of(digest: &str, chance: &str) -> String {
    let hash = Sha256::digest(format!("{digest}-{chance}"));
    let mut text = hex(&hash);
    text.truncate(CHECK_DIGITS);
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Any one digit that is wrong is found: else the whole file would be dispatched again.
    #[test]
    fn name_with_a_wrong_digit_is_refused_with_its_half() {
        let of = FileDigest::of(&b"a\nb\n"[..]).unwrap();
        let name = ListName::new(of.as_str(), Uuid::from_u128(0x0123_4567_89ab_cdef));
        assert_eq!(ListName::resumed(&name.as_str().to_uppercase(), of.as_str()).unwrap(), name);
        for place in (0..name.as_str().len()).filter(|place| *place != 2 * DIGEST_BYTES) {
            let mut wrong = name.as_str().as_bytes().to_vec();
            wrong[place] = if wrong[place] == b'0' { b'1' } else { b'0' };
            let wrong = String::from_utf8(wrong).unwrap();
            let error = ListName::resumed(&wrong, of.as_str()).unwrap_err().to_string();
            let half = if place < 2 * DIGEST_BYTES { "its first half" } else { "its second half" };
            assert!(error.contains("is mistyped") && error.contains(half), "{place}: {error}");
        }
    }

    #[test]
    fn changing_file_is_read_as_it_was_or_not_at_all() {
        let text: Vec<u8> = (0..2_500_000_u32).flat_map(|n| n.to_le_bytes()).take(5 * CHUNK / 2).collect();
        let of = FileDigest::of(&*text).unwrap();
        let read = |file: &[u8]| {
            let mut got = Vec::new();
            let outcome =
                Unchanged::new(std::io::Cursor::new(file.to_vec()), of.clone()).read_to_end(&mut got);
            (got, outcome.map_err(|error| error.to_string()))
        };
        assert_eq!(read(&text), (text.clone(), Ok(text.len())));
        // Text that was appended since is not read.
        let longer = [text.as_slice(), b"more"].concat();
        assert_eq!(read(&longer), (text.clone(), Ok(text.len())));
        for (at, whole) in [(0, 0), (CHUNK - 1, 0), (CHUNK, 1), (text.len() - 1, 2)] {
            let mut changed = text.clone();
            changed[at] ^= 1;
            let (got, outcome) = read(&changed);
            assert_eq!(got, text[..whole * CHUNK], "{at}");
            let why = outcome.unwrap_err();
            assert!(
                why.contains("changed while it was read") && why.contains(&got.len().to_string()),
                "{why}"
            );
        }
        let (got, outcome) = read(&text[..CHUNK + 1]);
        assert!(got == text[..CHUNK] && outcome.is_err(), "{outcome:?}");
        assert_eq!(FileDigest::of(&b""[..]).unwrap().length(), 0);
    }

    #[test]
    fn name_goes_with_its_file_alone() {
        let first = FileDigest::of(&b"a\nb\n"[..]).unwrap();
        let first = first.as_str();
        let name = ListName::new(first, Uuid::from_u128(7));
        assert_eq!(ListName::resumed(name.as_str(), first).unwrap(), name);
        let other = FileDigest::of(&b"a\nc\n"[..]).unwrap();
        let refused = ListName::resumed(name.as_str(), other.as_str()).unwrap_err();
        assert!(refused.message().contains("is not the one with which"), "{refused}");
        for wrong in ["", "night", "0-0", "zzzzzzzzzzzzzzzz-0000000000000007"] {
            assert!(ListName::resumed(wrong, first).is_err(), "{wrong}");
        }
    }
}
