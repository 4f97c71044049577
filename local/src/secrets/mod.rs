//! Secrets of a realm in a folder: a file of their own, encrypted, and the environment.

mod file;
mod key;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use async_trait::async_trait;
use pumice_core::Timestamp;
use pumice_core::connection::{AwsKeys, RoleRequest, Secrets, TokenRequest};
use pumice_core::ids::SecretName;
use pumice_core::ports::{StoreError, StoreErrorKind};
use pumice_core::secret::SecretText;

pub use file::{MAX_SECRET_BYTES, SecretEntry};
pub use key::SealError;
pub(crate) use key::{Seal, is_of_secrets};

use file::SecretFile;

/// Variables of the environment that are secrets begin so; the rest is the secret's name in capitals, with `_` for what
/// is not a letter or digit.
pub const SECRET_VARIABLE: &str = "PUMICE_SECRET_VALUE_";

/// The secrets of a realm's folder. Clones share the file.
#[derive(Clone)]
pub struct FolderSecrets {
    folder: PathBuf,
    /// Where a name is looked for that is not here.
    more: Option<Arc<dyn Secrets>>,
    /// Which secrets the environment has been asked for, by variable.
    asked: Arc<Mutex<BTreeMap<String, SecretName>>>,
}

impl std::fmt::Debug for FolderSecrets {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("FolderSecrets").field(&self.folder).finish()
    }
}

/// The variable of the environment that may hold a secret.
#[must_use]
pub fn variable_of(name: &SecretName) -> String {
    let name = name.as_str().trim_start_matches(|c: char| !c.is_ascii_alphanumeric());
    let name = name.chars().map(|c| if c.is_ascii_alphanumeric() { c.to_ascii_uppercase() } else { '_' });
    SECRET_VARIABLE.chars().chain(name).collect()
}

impl FolderSecrets {
    /// The secrets of a folder. Those that are missing are looked for in `more`.
    #[must_use]
    pub fn new(folder: &Path, more: Option<Arc<dyn Secrets>>) -> Self {
        Self { folder: folder.to_owned(), more, asked: Arc::default() }
    }

    async fn on_blocking_thread<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Path) -> Result<T, SealError> + Send + 'static,
    ) -> Result<T, StoreError> {
        let folder = self.folder.clone();
        let done = tokio::task::spawn_blocking(move || work(&folder)).await;
        done.map_err(|error| StoreError::unreachable(error.to_string()))?.map_err(StoreError::from)
    }

    /// The names of the secrets in the folder's file, and when each was set.
    ///
    /// # Errors
    /// [`StoreError`] when the file cannot be read.
    pub async fn list(&self) -> Result<Vec<SecretEntry>, StoreError> {
        self.on_blocking_thread(|folder| SecretFile::read(folder).map(|file| file.entries())).await
    }

    /// Sets a secret; says whether there was one of that name.
    ///
    /// # Errors
    /// [`StoreError`] when it is empty or too large, or the key or the file cannot be used.
    pub async fn set(
        &self,
        name: &SecretName,
        value: SecretText,
        now: Timestamp,
    ) -> Result<bool, StoreError> {
        let name = name.clone();
        self.on_blocking_thread(move |folder| {
            let seal = Seal::making_key(folder)?;
            SecretFile::change(folder, |file| file.set(&seal, &name, value.reveal(), now))
        })
        .await
    }

    /// Deletes a secret; says whether it was there.
    ///
    /// # Errors
    /// [`StoreError`] when the file cannot be used.
    pub async fn delete(&self, name: &SecretName) -> Result<bool, StoreError> {
        let name = name.clone();
        self.on_blocking_thread(move |folder| match SecretFile::read(folder)?.has(&name) {
            true => SecretFile::change(folder, |file| Ok(file.delete(&name))),
            // Nothing is written into a folder that has none.
            false => Ok(false),
        })
        .await
    }

    /// Has all secrets of the folder's file and the environment masked in what this process prints. A file that cannot be
    /// decrypted has nothing masked.
    ///
    /// # Errors
    /// [`StoreError`] when the file or the key cannot be used.
    pub async fn remember_all(&self) -> Result<(), StoreError> {
        for (name, value) in std::env::vars() {
            if name.starts_with(SECRET_VARIABLE) {
                pumice_core::secret::remember(&value);
                pumice_core::secret::remember_parts(&value);
            }
        }
        self.on_blocking_thread(|folder| {
            let file = SecretFile::read(folder)?;
            if !file.entries().is_empty() {
                let seal = Seal::of(folder)?;
                file.open_all(&seal)?;
            }
            Ok(())
        })
        .await
    }

    async fn own(&self, name: &SecretName) -> Result<Option<SecretText>, StoreError> {
        let variable = variable_of(name);
        if let Ok(value) = std::env::var(&variable) {
            self.check_variable(&variable, name).await?;
            pumice_core::secret::remember_parts(&value);
            return Ok(Some(SecretText::new(value)));
        }
        let name = name.clone();
        self.on_blocking_thread(move |folder| {
            let file = SecretFile::read(folder)?;
            if !file.has(&name) {
                return Ok(None);
            }
            file.get(&Seal::of(folder)?, &name)
        })
        .await
    }

    /// Refuses a variable that is another secret's too, as `/a/b` and `a-b` have one: whose value it is would be
    /// ambiguous.
    async fn check_variable(&self, variable: &str, name: &SecretName) -> Result<(), StoreError> {
        let is_other = |other: &SecretName| other != name && variable_of(other) == variable;
        let asked = {
            let mut asked = self.asked.lock().unwrap_or_else(PoisonError::into_inner);
            asked.entry(variable.to_owned()).or_insert_with(|| name.clone()).clone()
        };
        let other = if is_other(&asked) {
            Some(asked)
        } else {
            self.list().await?.into_iter().map(|entry| entry.name).find(is_other)
        };
        let Some(other) = other else { return Ok(()) };
        Err(StoreError::of(
            StoreErrorKind::Corrupt,
            format!(
                "the variable {variable} names both secret {name} and secret {other}: rename one of them"
            ),
        ))
    }

    fn missing(name: &SecretName) -> StoreError {
        let variable = variable_of(name);
        let message = format!(
            "there is no secret {name}: set it with `pumice secrets set {name}`, or in the variable {variable}"
        );
        StoreError::of(StoreErrorKind::Missing, message)
    }
}

/// Which of the two kinds of secrets of AWS to ask for.
enum Kind {
    Parameter,
    Managed,
}

impl FolderSecrets {
    async fn get(&self, name: &SecretName, kind: Kind) -> Result<SecretText, StoreError> {
        if let Some(secret) = self.own(name).await? {
            return Ok(secret);
        }
        let Some(more) = &self.more else { return Err(Self::missing(name)) };
        let found = match kind {
            Kind::Parameter => more.parameter(name).await,
            Kind::Managed => more.managed(name).await,
        };
        found.map_err(|error| match error.kind {
            StoreErrorKind::Corrupt => error,
            kind => match Self::missing(name).message {
                // It is the secrets of another folder that were asked.
                own if error.message.starts_with(&own) => error,
                own => StoreError::of(kind, format!("{own}; nor elsewhere: {error}")),
            },
        })
    }
}

#[async_trait]
impl Secrets for FolderSecrets {
    async fn parameter(&self, name: &SecretName) -> Result<SecretText, StoreError> {
        self.get(name, Kind::Parameter).await
    }

    async fn managed(&self, name: &SecretName) -> Result<SecretText, StoreError> {
        self.get(name, Kind::Managed).await
    }

    async fn database_token(&self, request: &TokenRequest) -> Result<(String, SecretText), StoreError> {
        match &self.more {
            Some(more) => more.database_token(request).await,
            None => pumice_core::connection::NoSecrets.database_token(request).await,
        }
    }

    async fn assume_role(&self, request: &RoleRequest) -> Result<AwsKeys, StoreError> {
        match &self.more {
            Some(more) => more.assume_role(request).await,
            None => pumice_core::connection::NoSecrets.assume_role(request).await,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    fn named(name: &str) -> SecretName {
        SecretName::new(name).unwrap()
    }

    fn secrets() -> (tempfile::TempDir, FolderSecrets) {
        let folder = tempfile::tempdir().unwrap();
        let secrets = FolderSecrets::new(folder.path(), None);
        (folder, secrets)
    }

    async fn set(secrets: &FolderSecrets, name: &str, value: &str) -> Result<bool, StoreError> {
        secrets.set(&named(name), SecretText::new(value), Timestamp::UNIX_EPOCH).await
    }

    #[tokio::test]
    async fn secret_set_is_read_back_and_stands_nowhere_in_the_clear() {
        let (folder, secrets) = secrets();
        assert!(!set(&secrets, "/lava/pg", "clear-canary-1").await.unwrap());
        assert!(set(&secrets, "/lava/pg", "clear-canary-2").await.unwrap());
        assert_eq!(secrets.parameter(&named("/lava/pg")).await.unwrap().reveal(), "clear-canary-2");
        assert_eq!(secrets.managed(&named("/lava/pg")).await.unwrap().reveal(), "clear-canary-2");
        for file in std::fs::read_dir(folder.path()).unwrap() {
            let path = file.unwrap().path();
            let text = String::from_utf8_lossy(&std::fs::read(&path).unwrap()).into_owned();
            assert!(!text.contains("clear-canary"), "{}", path.display());
            let mode = path.metadata().unwrap().permissions().mode() & 0o777;
            assert_eq!(mode, 0o600, "{}", path.display());
        }
        let names: Vec<String> =
            secrets.list().await.unwrap().into_iter().map(|entry| entry.name.to_string()).collect();
        assert_eq!(names, ["/lava/pg"]);
        assert!(secrets.delete(&named("/lava/pg")).await.unwrap());
        assert!(!secrets.delete(&named("/lava/pg")).await.unwrap());
        let error = secrets.parameter(&named("/lava/pg")).await.unwrap_err();
        assert_eq!(error.kind, StoreErrorKind::Missing);
        assert!(error.message.contains("PUMICE_SECRET_VALUE_LAVA_PG"), "{error}");
    }

    #[tokio::test]
    async fn deleting_an_absent_secret_leaves_room_for_the_first() {
        let (folder, secrets) = secrets();
        assert!(!secrets.delete(&named("a")).await.unwrap());
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0);
        // As an earlier version left it.
        std::fs::write(folder.path().join("secrets.json"), r#"{"version":1,"secrets":{}}"#).unwrap();
        assert!(!set(&secrets, "a", "first-canary").await.unwrap());
    }

    #[tokio::test]
    async fn secret_of_another_key_or_name_is_refused() {
        let (folder, secrets) = secrets();
        set(&secrets, "a", "other-key-canary").await.unwrap();
        set(&secrets, "b", "other-name-canary").await.unwrap();
        // The entry of one name under another.
        let path = folder.path().join("secrets.json");
        let mut file: serde_json::Value =
            serde_json::from_str(&std::fs::read_to_string(&path).unwrap()).unwrap();
        file["secrets"]["a"] = file["secrets"]["b"].clone();
        std::fs::write(&path, file.to_string()).unwrap();
        let error = secrets.parameter(&named("a")).await.unwrap_err();
        assert!(error.message.contains("cannot decrypt secret a"), "{error}");
        std::fs::remove_file(folder.path().join("secrets.key")).unwrap();
        let error = secrets.parameter(&named("b")).await.unwrap_err();
        assert!(error.message.contains("there is no key"), "{error}");
        // A new key would lock the old secrets out for good.
        let error = set(&secrets, "c", "new-key-canary").await.unwrap_err();
        assert!(error.message.contains("there is no key"), "{error}");
    }

    #[tokio::test]
    async fn secrets_that_cannot_be_kept_are_refused() {
        let (folder, secrets) = secrets();
        for (value, wanted) in [("", "is empty"), (&*"x".repeat(MAX_SECRET_BYTES + 1), "longer than")] {
            let error = set(&secrets, "a", value).await.unwrap_err();
            assert!(error.message.contains(wanted), "{error}");
        }
        set(&secrets, "a", "file-canary").await.unwrap();
        for (text, wanted) in [("{", "is damaged"), ("[]", "is damaged"), (r#"{"version":9}"#, "version 9")] {
            std::fs::write(folder.path().join("secrets.json"), text).unwrap();
            let error = secrets.parameter(&named("a")).await.unwrap_err();
            assert!(error.message.contains(wanted), "{text}: {error}");
            assert!(set(&secrets, "a", "file-canary").await.is_err(), "{text}: what is there is kept");
        }
    }

    #[tokio::test]
    async fn key_file_that_others_may_read_is_refused() {
        let (folder, secrets) = secrets();
        set(&secrets, "a", "mode-canary").await.unwrap();
        let key = folder.path().join("secrets.key");
        std::fs::set_permissions(&key, std::fs::Permissions::from_mode(0o644)).unwrap();
        let error = secrets.parameter(&named("a")).await.unwrap_err();
        assert!(error.message.contains("chmod 600"), "{error}");
    }

    #[tokio::test]
    async fn many_secrets_set_at_once_are_all_kept() {
        let (_folder, secrets) = secrets();
        let all = (0..20).map(|number| {
            let secrets = secrets.clone();
            async move { set(&secrets, &format!("s{number}"), "at-once-canary").await.unwrap() }
        });
        let mut tasks: tokio::task::JoinSet<bool> = all.collect();
        while let Some(done) = tasks.join_next().await {
            assert!(!done.unwrap());
        }
        assert_eq!(secrets.list().await.unwrap().len(), 20);
    }
}
