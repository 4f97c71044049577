//! Files of requests that are given again after an interruption, and make no run twice.

use std::fmt::Write as _;
use std::io::Read;

use pumice_core::text::quoted;
use sha2::{Digest, Sha256};
use uuid::Uuid;

use crate::failure::Error;

/// How much of a file is read at a time, in bytes.
const READ_BYTES: usize = 64 * 1024;
/// Bytes of a digest that a name has.
const DIGEST_BYTES: usize = 8;

/// The name of one dispatch of a file: what the file holds, and which dispatch of it. The ids of its runs follow from the
/// name and from the place of each request, so that a dispatch that goes on under it makes no run twice.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ListName(String);

/// The digest of a file's first bytes, so many of them.
///
/// # Errors
/// What the system says when it cannot be read.
pub fn digest(mut file: impl Read) -> std::io::Result<String> {
    let (mut hash, mut buffer) = (Sha256::new(), vec![0; READ_BYTES]);
    loop {
        match file.read(&mut buffer)? {
            0 => break,
            count => hash.update(&buffer[..count]),
        }
    }
    let mut text = String::new();
    for byte in hash.finalize().iter().take(DIGEST_BYTES) {
        // Writing to a text never fails.
        let _ = write!(text, "{byte:02x}");
    }
    Ok(text)
}

impl ListName {
    /// The name of a new dispatch of a file with this digest.
    #[must_use]
    pub fn new(digest: &str, chance: Uuid) -> Self {
        let (_, chance) = chance.as_u64_pair();
        Self(format!("{digest}-{chance:016x}"))
    }

    /// The name of a dispatch that goes on.
    ///
    /// # Errors
    /// [`Error`] when the text is not such a name, or the file is not the one with which the dispatch began.
    pub fn resumed(name: &str, digest: &str) -> Result<Self, Error> {
        let is_hex =
            |text: &str, length| text.len() == length && text.bytes().all(|byte| byte.is_ascii_hexdigit());
        match name.split_once('-') {
            Some((of, chance)) if is_hex(of, 2 * DIGEST_BYTES) && is_hex(chance, 16) => match of == digest {
                true => Ok(Self(name.to_owned())),
                false => Err(Error::new(
                    crate::ErrorKind::Conflict,
                    format!(
                        "the file is not the one with which {name} began: its digest is {digest}, not {of}"
                    ),
                )),
            },
            _ => Err(Error::invalid(format!(
                "{} is not the name of an interrupted dispatch: give the one that it printed when it began",
                quoted(name)
            ))),
        }
    }

    /// The name as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn name_goes_with_its_file_alone() {
        let first = digest(&b"a\nb\n"[..]).unwrap();
        let name = ListName::new(&first, Uuid::from_u128(7));
        assert_eq!(ListName::resumed(name.as_str(), &first).unwrap(), name);
        let other = digest(&b"a\nc\n"[..]).unwrap();
        let refused = ListName::resumed(name.as_str(), &other).unwrap_err();
        assert!(refused.message().contains("is not the one with which"), "{refused}");
        for wrong in ["", "night", "0-0", "zzzzzzzzzzzzzzzz-0000000000000007"] {
            assert!(ListName::resumed(wrong, &first).is_err(), "{wrong}");
        }
    }
}
