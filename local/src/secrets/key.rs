//! The key that secrets are encrypted with, and the encryption: XChaCha20-Poly1305.

use std::fs::{File, OpenOptions};
use std::io::{ErrorKind, Read, Write};
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use chacha20poly1305::aead::{Aead, OsRng, Payload};
use chacha20poly1305::{AeadCore, Key, KeyInit, XChaCha20Poly1305, XNonce};
use pumice_core::ports::{StoreError, StoreErrorKind};
use pumice_core::secret::SecretText;

/// The variable with the key itself.
const KEY: &str = "PUMICE_SECRET_KEY";
/// The variable with the name of the key's file.
const KEY_FILE: &str = "PUMICE_SECRET_KEY_FILE";
/// The prefix of all variables about secrets: commands never get them.
const VARIABLES: &str = "PUMICE_SECRET";
/// The key's file in the realm's folder, made with the first secret.
const OWN_FILE: &str = "secrets.key";
/// A file that says that a key was made, and something may be encrypted with it.
const MADE: &str = "secrets.made";
/// Most bytes of a key's file that are read.
const MAX_KEY_FILE: u64 = 1024;
/// Length of a nonce, in bytes.
const NONCE: usize = 24;
/// Length of a key, in bytes.
const KEY_LENGTH: usize = 32;

/// Whether a variable of the environment is about secrets, so that commands must not have it.
pub(crate) fn is_of_secrets(name: &std::ffi::OsStr) -> bool {
    name.as_encoded_bytes().starts_with(VARIABLES.as_bytes())
}

/// Why something cannot be encrypted or decrypted, or its file not be used. It never holds a secret.
#[derive(Debug, thiserror::Error)]
pub enum SealError {
    /// There is no key.
    #[error("there is no key for the secrets in {folder}: it was in {file}, or name it with {KEY} or {KEY_FILE}", folder = .0.display(), file = .0.join(OWN_FILE).display())]
    NoKey(PathBuf),
    /// The key is not one.
    #[error(
        "{0} is not a key: it must be 32 bytes in base64 or hex, as `openssl rand -base64 32` makes them"
    )]
    BadKey(String),
    /// Others may read the key.
    #[error("the key in {path} may be read by others: chmod 600 {path}", path = .0.display())]
    Exposed(PathBuf),
    /// It was encrypted with another key, or changed.
    #[error("cannot decrypt {what}: it was encrypted with another key than that of {key}, or it was changed")]
    Undecryptable {
        /// The file that cannot be decrypted.
        what: String,
        /// Where the key is from.
        key: String,
    },
    /// A file cannot be used.
    #[error("cannot use {path}: {error}", path = path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// Why.
        error: std::io::Error,
    },
    /// The file's content is not one of secrets.
    #[error("{path} is damaged: {why}; put a copy of it in its place, or remove it and set the secrets anew", path = .0.display(), why = .1)]
    Damaged(PathBuf, String),
    /// A value cannot be kept.
    #[error("{0}")]
    Refused(String),
}

impl From<SealError> for StoreError {
    fn from(error: SealError) -> Self {
        let kind = match &error {
            SealError::NoKey(_) => StoreErrorKind::Missing,
            SealError::Exposed(_) => StoreErrorKind::Denied,
            SealError::Damaged(..) | SealError::Undecryptable { .. } => StoreErrorKind::Corrupt,
            SealError::BadKey(_) | SealError::Refused(_) => StoreErrorKind::Invalid,
            SealError::File { error, .. } => error.kind().into(),
        };
        Self::of(kind, error.to_string())
    }
}

/// Encrypts and decrypts with a realm's key.
pub(crate) struct Seal {
    cipher: XChaCha20Poly1305,
    /// Where the key is from, for messages.
    from: String,
}

impl Seal {
    /// With the key of the environment, else of the folder.
    ///
    /// # Errors
    /// [`SealError`] when there is none, or it cannot be used.
    pub(crate) fn of(folder: &Path) -> Result<Self, SealError> {
        if let Ok(key) = std::env::var(KEY) {
            return Self::with(&key, KEY.to_owned());
        }
        let named = std::env::var_os(KEY_FILE).map(PathBuf::from);
        let is_named = named.is_some();
        let path = named.unwrap_or_else(|| folder.join(OWN_FILE));
        let failed = |error| SealError::File { path: path.clone(), error };
        let file = match File::open(&path) {
            Ok(file) => file,
            Err(error) if error.kind() == ErrorKind::NotFound && !is_named => {
                return Err(SealError::NoKey(folder.to_owned()));
            }
            Err(error) => return Err(failed(error)),
        };
        if file.metadata().map_err(failed)?.permissions().mode() & 0o077 != 0 {
            return Err(SealError::Exposed(path));
        }
        let mut text = String::new();
        file.take(MAX_KEY_FILE).read_to_string(&mut text).map_err(failed)?;
        Self::with(&text, path.display().to_string())
    }

    /// The same; makes a key in the folder where nothing names one and nothing is encrypted yet.
    ///
    /// # Errors
    /// As [`of`](Self::of).
    pub(crate) fn making_key(folder: &Path) -> Result<Self, SealError> {
        match Self::of(folder) {
            Err(SealError::NoKey(_)) if !super::file::has_secrets(folder) && !folder.join(MADE).exists() => {}
            found => return found,
        }
        let path = folder.join(OWN_FILE);
        let failed = |error| SealError::File { path: path.clone(), error };
        let key = STANDARD.encode(XChaCha20Poly1305::generate_key(&mut OsRng));
        // Whole or not at all: another process may make one at the same time.
        let made = folder.join(format!("{OWN_FILE}.{}", uuid::Uuid::new_v4()));
        let mut file =
            OpenOptions::new().write(true).create_new(true).mode(0o600).open(&made).map_err(failed)?;
        let written = file.write_all(format!("{key}\n").as_bytes()).and_then(|()| file.sync_all());
        let linked = written.and_then(|()| std::fs::hard_link(&made, &path));
        let removed = std::fs::remove_file(&made);
        match linked {
            Err(error) if error.kind() != ErrorKind::AlreadyExists => return Err(failed(error)),
            _ => removed.map_err(failed)?,
        }
        OpenOptions::new()
            .write(true)
            .create(true)
            .truncate(false)
            .mode(0o600)
            .open(folder.join(MADE))
            .map_err(failed)?;
        Self::of(folder)
    }

    fn with(text: &str, from: String) -> Result<Self, SealError> {
        let text = text.trim();
        pumice_core::secret::remember(text);
        let bytes = STANDARD.decode(text).ok().filter(|bytes| bytes.len() == KEY_LENGTH);
        let bytes = bytes.or_else(|| from_hex(text)).ok_or_else(|| SealError::BadKey(from.clone()))?;
        let cipher = XChaCha20Poly1305::new(Key::from_slice(&bytes));
        Ok(Self { cipher, from })
    }

    /// Encrypts a text for what it is about: it can be decrypted for that alone.
    ///
    /// # Errors
    /// [`SealError::Refused`] when the cipher does not take it.
    pub(crate) fn close(&self, about: &str, text: &str) -> Result<String, SealError> {
        let nonce = XChaCha20Poly1305::generate_nonce(&mut OsRng);
        let payload = Payload { msg: text.as_bytes(), aad: about.as_bytes() };
        let sealed = self.cipher.encrypt(&nonce, payload);
        let sealed = sealed.map_err(|_| SealError::Refused(format!("cannot encrypt {about}")))?;
        Ok(STANDARD.encode([&nonce[..], &sealed].concat()))
    }

    /// Decrypts what [`close`](Self::close) gave.
    ///
    /// # Errors
    /// [`SealError::Undecryptable`] when it was made with another key or about something else.
    pub(crate) fn open(&self, about: &str, sealed: &str) -> Result<SecretText, SealError> {
        let opened = || {
            let bytes = STANDARD.decode(sealed).ok()?;
            let (nonce, sealed) = bytes.split_at_checked(NONCE)?;
            let payload = Payload { msg: sealed, aad: about.as_bytes() };
            let text = self.cipher.decrypt(XNonce::from_slice(nonce), payload).ok()?;
            String::from_utf8(text).ok()
        };
        let undecryptable = || SealError::Undecryptable { what: about.to_owned(), key: self.from.clone() };
        opened().map(SecretText::new).ok_or_else(undecryptable)
    }
}

fn from_hex(text: &str) -> Option<Vec<u8>> {
    let digits = text.as_bytes();
    if digits.len() != KEY_LENGTH * 2 || !digits.iter().all(u8::is_ascii_hexdigit) {
        return None;
    }
    (0..KEY_LENGTH).map(|index| u8::from_str_radix(text.get(index * 2..index * 2 + 2)?, 16).ok()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn key_is_read_in_base64_and_hex_and_nothing_else() {
        let bytes = [7_u8; KEY_LENGTH];
        let hex = "07".repeat(KEY_LENGTH);
        let of = |text: &str| Seal::with(text, "a test".to_owned());
        let sealed = of(&STANDARD.encode(bytes)).unwrap().close("x", "key-form-canary").unwrap();
        assert_eq!(of(&hex).unwrap().open("x", &sealed).unwrap().reveal(), "key-form-canary");
        for bad in ["", "short", &hex[2..], &STANDARD.encode([7_u8; 31]), &hex.replace('0', "g")] {
            let error = of(bad).err().unwrap().to_string();
            assert!(error.starts_with("a test is not a key"), "{bad}: {error}");
        }
    }

    #[test]
    fn sealed_text_opens_for_its_own_purpose_alone() {
        let seal = Seal::with(&"1f".repeat(KEY_LENGTH), "a test".to_owned()).unwrap();
        let sealed = seal.close("secret a", "purpose-canary").unwrap();
        assert_ne!(sealed, seal.close("secret a", "purpose-canary").unwrap(), "each has a nonce of its own");
        assert!(seal.open("secret b", &sealed).is_err());
        for broken in ["", "AAAA", &sealed[4..], &format!("A{}", &sealed[1..])] {
            assert!(seal.open("secret a", broken).is_err() || *broken == sealed, "{broken}");
        }
    }
}
