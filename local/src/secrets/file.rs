//! The file of a folder's secrets.

use std::collections::BTreeMap;
use std::fs::{File, OpenOptions};
use std::io::{ErrorKind, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use pumice_core::Timestamp;
use pumice_core::ids::SecretName;
use pumice_core::secret::{SecretText, remember_parts};
use serde::{Deserialize, Serialize};

use super::key::{Seal, SealError};

/// The file's name.
const NAME: &str = "secrets.json";
/// The file that a process which changes the secrets has locked.
const LOCK: &str = "secrets.lock";
/// The version of the file's form.
const VERSION: u32 = 1;
/// Largest secret, in bytes: twice that of an advanced SSM parameter.
pub const MAX_SECRET_BYTES: usize = 16 * 1024;
/// Most secrets of a folder.
const MAX_SECRETS: usize = 10_000;

/// A secret of a folder, without its value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SecretEntry {
    /// Its name.
    pub name: SecretName,
    /// When it was set.
    pub updated: Timestamp,
}

#[derive(Serialize, Deserialize)]
struct Entry {
    sealed: String,
    updated: Timestamp,
}

/// The content of the file.
#[derive(Serialize, Deserialize)]
pub(super) struct SecretFile {
    version: u32,
    #[serde(default)]
    secrets: BTreeMap<String, Entry>,
}

/// Whether there are secrets already, which the key that they were encrypted with opens alone. A file that cannot be read may
/// have some.
pub(super) fn has_secrets(folder: &Path) -> bool {
    SecretFile::read(folder).map_or(true, |file| !file.secrets.is_empty())
}

fn about(name: &SecretName) -> String {
    format!("secret {name}")
}

impl SecretFile {
    /// Reads the file; one that is not there has no secrets.
    pub(super) fn read(folder: &Path) -> Result<Self, SealError> {
        let path = folder.join(NAME);
        let text = match std::fs::read_to_string(&path) {
            Ok(text) => text,
            Err(error) if error.kind() == ErrorKind::NotFound => {
                return Ok(Self { version: VERSION, secrets: BTreeMap::new() });
            }
            Err(error) => return Err(SealError::File { path, error }),
        };
        let file: Self = serde_json::from_str(&text)
            .map_err(|error| SealError::Damaged(path.clone(), error.to_string()))?;
        if file.version != VERSION {
            let why = format!("it has the form of version {}, and this pumice knows {VERSION}", file.version);
            return Err(SealError::Damaged(path, why));
        }
        Ok(file)
    }

    /// Reads the file, changes it and writes it, whole or not at all, while no other process does.
    pub(super) fn change<T>(
        folder: &Path,
        change: impl FnOnce(&mut Self) -> Result<T, SealError>,
    ) -> Result<T, SealError> {
        let at = |path: &Path| {
            let path = path.to_owned();
            move |error| SealError::File { path, error }
        };
        let lock = folder.join(LOCK);
        let lock_file = private().truncate(false).open(&lock).map_err(at(&lock))?;
        lock_file.lock().map_err(at(&lock))?;
        let mut file = Self::read(folder)?;
        let changed = change(&mut file)?;
        let path = folder.join(NAME);
        let new = folder.join(format!("{NAME}.new"));
        let text =
            serde_json::to_string_pretty(&file).map_err(|error| SealError::Refused(error.to_string()))?;
        let mut written = private().truncate(true).open(&new).map_err(at(&new))?;
        written.write_all(text.as_bytes()).and_then(|()| written.sync_all()).map_err(at(&new))?;
        std::fs::rename(&new, &path).map_err(at(&path))?;
        // The name is on the disk once its folder is.
        File::open(folder).and_then(|folder| folder.sync_all()).map_err(at(folder))?;
        Ok(changed)
    }

    pub(super) fn entries(&self) -> Vec<SecretEntry> {
        let entry = |(name, entry): (&String, &Entry)| {
            Some(SecretEntry { name: SecretName::new(name).ok()?, updated: entry.updated })
        };
        self.secrets.iter().filter_map(entry).collect()
    }

    pub(super) fn has(&self, name: &SecretName) -> bool {
        self.secrets.contains_key(name.as_str())
    }

    pub(super) fn get(&self, seal: &Seal, name: &SecretName) -> Result<Option<SecretText>, SealError> {
        let Some(entry) = self.secrets.get(name.as_str()) else { return Ok(None) };
        let secret = seal.open(&about(name), &entry.sealed)?;
        remember_parts(secret.reveal());
        Ok(Some(secret))
    }

    /// Decrypts every secret: each is masked from then on.
    pub(super) fn open_all(&self, seal: &Seal) -> Result<(), SealError> {
        self.entries().iter().try_for_each(|entry| self.get(seal, &entry.name).map(drop))
    }

    pub(super) fn set(
        &mut self,
        seal: &Seal,
        name: &SecretName,
        value: &str,
        now: Timestamp,
    ) -> Result<bool, SealError> {
        if value.is_empty() {
            return Err(SealError::Refused(format!("the value of secret {name} is empty")));
        }
        if value.len() > MAX_SECRET_BYTES {
            let message = format!("the value of secret {name} is longer than {MAX_SECRET_BYTES} bytes");
            return Err(SealError::Refused(message));
        }
        if self.secrets.len() >= MAX_SECRETS && !self.has(name) {
            return Err(SealError::Refused(format!(
                "there are {MAX_SECRETS} secrets, the most that are kept"
            )));
        }
        let sealed = seal.close(&about(name), value)?;
        Ok(self.secrets.insert(name.to_string(), Entry { sealed, updated: now }).is_some())
    }

    pub(super) fn delete(&mut self, name: &SecretName) -> bool {
        self.secrets.remove(name.as_str()).is_some()
    }
}

/// How a file for this user alone is opened.
fn private() -> OpenOptions {
    let mut options = OpenOptions::new();
    options.write(true).create(true).mode(0o600);
    options
}
