//! Signatures of what runs use.
//!
//! Every worker of a realm may write any record of its table, and a job that has its worker's credentials may do so too. A
//! worker runs what a record pins, with its own rights. So the process that pins it signs it, with a key that the functions of the
//! realm find in their environment, which jobs do not see, and which the roles of workers may not read.

use std::ffi::OsStr;
use std::sync::Arc;

use aws_config::SdkConfig;
use hmac::{Hmac, KeyInit, Mac};
use pumice_core::ids::{RealmName, RunKey};
use pumice_core::ports::{StoreError, StoreErrorKind};
use sha2::Sha256;
use tokio::sync::OnceCell;

use crate::failure::store_error;
use crate::function::BadEnvironment;

/// The variable that holds the key; template.yaml sets it for functions.
const KEY: &str = "PUMICE_SIGNING_KEY";
/// The variable that says whether a worker runs what has no signature: `admit`, or `refuse`, as without it.
const UNSIGNED: &str = "PUMICE_UNSIGNED_RUNS";
/// Whether an environment variable holds the key with which runs are signed: no command may see it.
#[must_use]
pub fn is_signing_key(name: &OsStr) -> bool {
    name == KEY
}

/// Shortest key, in bytes.
const MIN_KEY: usize = 32;
/// How much of a signature is kept, in bytes: half of it, as HMAC allows (RFC 2104, Truncated output).
const KEPT: usize = 16;
/// The prefix of the signed text: its format.
const FORM: &[u8] = b"pumice run spec 1\0";

/// Signs and checks the specs of a realm's runs. Clones share their state.
#[derive(Clone, Default)]
pub(crate) struct Signing {
    source: Source,
    checks: Checks,
    /// Whether this process only shows what it reads.
    only_shows: bool,
}

/// Where the key comes from.
#[derive(Clone, Default)]
enum Source {
    /// No key: nothing is signed, and nothing that is signed is run.
    #[default]
    None,
    /// The environment.
    Given(Arc<Key>),
    /// A secret of Secrets Manager, looked up when it is needed first.
    Secret(Arc<Secret>),
}

/// Which specs must have a valid signature when they are read.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Checks {
    /// All of them, as far as there is a key.
    #[default]
    All,
    /// All of them, and there must be a key: the environment says so.
    Strictly,
    /// Those that have one: for realms with older records that have none.
    Signed,
}

/// A key. It shows nothing of itself.
pub(crate) struct Key(Hmac<Sha256>);

struct Secret {
    config: SdkConfig,
    name: String,
    found: OnceCell<Option<Arc<Key>>>,
}

impl std::fmt::Debug for Signing {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Signing({:?})", self.checks)
    }
}

impl Signing {
    /// Signs with the key of the environment, if it has one, and checks what is read.
    ///
    /// # Errors
    /// [`BadEnvironment`] naming the variable that is invalid, or missing: without a key no signature can be checked.
    pub(crate) fn from_environment(
        variable: &dyn Fn(&str) -> Option<String>,
    ) -> Result<Self, BadEnvironment> {
        let given = Self::given(variable)?;
        if matches!(given.source, Source::None) && given.checks == Checks::Strictly {
            let why =
                format!("must be set where {UNSIGNED} is \"refuse\": without it no signature can be checked");
            return Err(BadEnvironment::new(KEY, why));
        }
        Ok(given)
    }

    /// What the environment says.
    fn given(variable: &dyn Fn(&str) -> Option<String>) -> Result<Self, BadEnvironment> {
        let checks = match variable(UNSIGNED).as_deref() {
            None | Some("") => Checks::All,
            Some("refuse") => Checks::Strictly,
            Some("admit") => Checks::Signed,
            Some(other) => {
                return Err(BadEnvironment::new(UNSIGNED, format!("{other:?} is neither admit nor refuse")));
            }
        };
        let source = match variable(KEY).filter(|text| !text.is_empty()) {
            None => Source::None,
            Some(text) => {
                let key = Key::new(&text).map_err(|why| BadEnvironment::new(KEY, why))?;
                Source::Given(Arc::new(key))
            }
        };
        Ok(Self { source, checks, only_shows: false })
    }

    /// The same, for people and processes: without a key in the environment it is the secret of this name. A realm that has no
    /// such secret signs nothing.
    ///
    /// # Errors
    /// [`BadEnvironment`] naming the variable that is invalid.
    pub(crate) fn with_secret(
        config: &SdkConfig,
        name: String,
        variable: &dyn Fn(&str) -> Option<String>,
    ) -> Result<Self, BadEnvironment> {
        let mut signing = Self::given(variable)?;
        if matches!(signing.source, Source::None) {
            let secret = Secret { config: config.clone(), name, found: OnceCell::new() };
            signing.source = Source::Secret(Arc::new(secret));
        }
        Ok(signing)
    }

    /// The same for a process that runs no jobs, and shows what it reads, whatever its signature.
    pub(crate) fn for_people(mut self) -> Self {
        self.only_shows = true;
        self
    }

    /// The same for a spec of which another run is made, whose spec is signed anew.
    pub(crate) fn for_pins(&self) -> Self {
        Self { only_shows: false, ..self.clone() }
    }

    /// Looks the key up before the first run. Without one, a warning: records without a signature are run.
    ///
    /// # Errors
    /// [`StoreError`] when there is none and the environment says that there must be, or the secret cannot be read.
    pub(crate) async fn look_for_key(&self) -> Result<Option<String>, StoreError> {
        if self.key().await?.is_some() {
            return Ok(None);
        }
        let place = match &self.source {
            Source::Secret(secret) => format!("neither {KEY} nor secret {} has a key", secret.name),
            _ => format!("{KEY} is not set"),
        };
        if self.checks == Checks::Strictly {
            let message =
                format!("{place}, and {UNSIGNED} is \"refuse\": no signature of a run can be checked");
            return Err(StoreError::of(StoreErrorKind::Invalid, message));
        }
        Ok(Some(format!("{place}: no signature of a run can be checked, and runs that have none are run")))
    }

    async fn key(&self) -> Result<Option<Arc<Key>>, StoreError> {
        match &self.source {
            Source::None => Ok(None),
            Source::Given(key) => Ok(Some(key.clone())),
            Source::Secret(secret) => secret.found.get_or_try_init(|| secret.look_up()).await.cloned(),
        }
    }

    /// The signature of a run's spec, given as its text; `None` where the realm has no key.
    pub(crate) async fn sign(
        &self,
        realm: &RealmName,
        key: &RunKey,
        spec: &str,
    ) -> Result<Option<Vec<u8>>, StoreError> {
        Ok(self.key().await?.map(|signing| signing.sign(realm, key, spec)))
    }

    /// Why what a record pins must not be run, if it must not.
    pub(crate) async fn refuse(
        &self,
        realm: &RealmName,
        key: &RunKey,
        spec: &str,
        signature: Option<&[u8]>,
    ) -> Result<Option<&'static str>, StoreError> {
        if self.only_shows {
            return Ok(None);
        }
        let Some(signing) = self.key().await? else {
            return Ok(signature.map(|_| "it is signed, and this process has no key to check that"));
        };
        Ok(match signature {
            None if self.checks == Checks::Signed => None,
            None => Some("it has no signature"),
            Some(signature) if signing.verifies(realm, key, spec, signature) => None,
            Some(_) => Some("its signature is not that of this realm"),
        })
    }
}

impl Secret {
    async fn look_up(&self) -> Result<Option<Arc<Key>>, StoreError> {
        let client = aws_sdk_secretsmanager::Client::new(&self.config);
        let what = format!("reading secret {}, with which runs are signed", self.name);
        match client.get_secret_value().secret_id(&self.name).send().await {
            Ok(answer) => {
                let key = Key::new(answer.secret_string().unwrap_or_default());
                let invalid = |why| StoreError::of(StoreErrorKind::Invalid, format!("{what}: {why}"));
                Ok(Some(Arc::new(key.map_err(invalid)?)))
            }
            Err(error)
                if error.as_service_error().is_some_and(|error| error.is_resource_not_found_exception()) =>
            {
                Ok(None)
            }
            Err(error) => Err(store_error(&what, &error)),
        }
    }
}

impl Key {
    fn new(text: &str) -> Result<Self, String> {
        if text.len() < MIN_KEY || text.starts_with("{{resolve:") {
            return Err(format!("the key must be a text of {MIN_KEY} bytes or more"));
        }
        let key = Hmac::new_from_slice(text.as_bytes());
        key.map(Self).map_err(|error| error.to_string())
    }

    fn of(&self, realm: &RealmName, key: &RunKey, spec: &str) -> Hmac<Sha256> {
        let mut mac = self.0.clone();
        mac.update(FORM);
        // Names hold no zero: no two triples are one text.
        for part in [realm.as_str(), "\0", key.as_str(), "\0", spec] {
            mac.update(part.as_bytes());
        }
        mac
    }

    fn sign(&self, realm: &RealmName, key: &RunKey, spec: &str) -> Vec<u8> {
        let mut whole = self.of(realm, key, spec).finalize().into_bytes().to_vec();
        whole.truncate(KEPT);
        whole
    }

    fn verifies(&self, realm: &RealmName, key: &RunKey, spec: &str, signature: &[u8]) -> bool {
        signature.len() == KEPT && self.of(realm, key, spec).verify_truncated_left(signature).is_ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECRET: &str = "0123456789abcdef0123456789abcdef";

    fn signing(key: Option<&str>, unsigned: Option<&str>) -> Result<Signing, BadEnvironment> {
        let (key, unsigned) = (key.map(str::to_owned), unsigned.map(str::to_owned));
        Signing::from_environment(&move |name| match name {
            KEY => key.clone(),
            UNSIGNED => unsigned.clone(),
            _ => None,
        })
    }

    fn names() -> (RealmName, RunKey) {
        let key = "0190a8f2-7c1e-7b50-9d6f-2f1d6a1f3c55/1.0".parse().unwrap();
        (RealmName::new("demo").unwrap(), key)
    }

    #[tokio::test]
    async fn signature_holds_for_its_realm_run_and_spec_alone() {
        let (realm, key) = names();
        let signing = signing(Some(SECRET), None).unwrap();
        let signature = signing.sign(&realm, &key, "{}").await.unwrap().unwrap();
        assert_eq!(signature.len(), KEPT);
        let refuse = async |realm: &RealmName, key: &RunKey, spec: &str, signature: &[u8]| {
            signing.refuse(realm, key, spec, Some(signature)).await.unwrap()
        };
        assert_eq!(refuse(&realm, &key, "{}", &signature).await, None);
        let other: RunKey = "0190a8f2-7c1e-7b50-9d6f-2f1d6a1f3c55/1.1".parse().unwrap();
        let not_ours = Some("its signature is not that of this realm");
        assert_eq!(refuse(&RealmName::new("prod").unwrap(), &key, "{}", &signature).await, not_ours);
        assert_eq!(refuse(&realm, &other, "{}", &signature).await, not_ours);
        assert_eq!(refuse(&realm, &key, "{ }", &signature).await, not_ours);
        for bad in [&signature[..8], &[], &[0; KEPT], &[0; 32]] {
            assert_eq!(refuse(&realm, &key, "{}", bad).await, not_ours);
        }
        let another = self::signing(Some(&SECRET.replace('0', "9")), None).unwrap();
        assert_eq!(another.refuse(&realm, &key, "{}", Some(&signature)).await.unwrap(), not_ours);
    }

    #[tokio::test]
    async fn unsigned_is_refused_unless_it_is_admitted() {
        let (realm, key) = names();
        for (unsigned, refused) in [
            (None, Some("it has no signature")),
            (Some(""), Some("it has no signature")),
            (Some("refuse"), Some("it has no signature")),
            (Some("admit"), None),
        ] {
            let signing = signing(Some(SECRET), unsigned).unwrap();
            assert_eq!(signing.refuse(&realm, &key, "{}", None).await.unwrap(), refused, "{unsigned:?}");
            // A signature that is present must be valid, whatever is admitted.
            let forged = signing.refuse(&realm, &key, "{}", Some(&[1; KEPT])).await.unwrap();
            assert!(forged.is_some(), "{unsigned:?}");
            assert_eq!(signing.for_people().refuse(&realm, &key, "{}", None).await.unwrap(), None);
        }
    }

    #[tokio::test]
    async fn process_without_a_key_runs_nothing_that_is_signed() {
        let (realm, key) = names();
        let signature = signing(Some(SECRET), None).unwrap().sign(&realm, &key, "{}").await.unwrap();
        for unsigned in [None, Some(""), Some("admit")] {
            let none = signing(None, unsigned).unwrap();
            assert_eq!(none.sign(&realm, &key, "{}").await.unwrap(), None);
            assert_eq!(none.refuse(&realm, &key, "{}", None).await.unwrap(), None);
            let refused = none.refuse(&realm, &key, "{}", signature.as_deref()).await.unwrap();
            assert!(refused.is_some_and(|why| why.contains("no key")), "{unsigned:?}: {refused:?}");
            let warning = none.look_for_key().await.unwrap().unwrap();
            assert!(warning.contains("PUMICE_SIGNING_KEY is not set"), "{warning}");
        }
        // A process that is to refuse needs a key.
        let error = signing(None, Some("refuse")).unwrap_err().to_string();
        assert!(error.starts_with("PUMICE_SIGNING_KEY: must be set"), "{error}");
        let strictly = Signing { checks: Checks::Strictly, ..Signing::default() };
        let error = strictly.look_for_key().await.unwrap_err();
        assert_eq!(error.kind, StoreErrorKind::Invalid, "{error}");
        assert_eq!(signing(Some(SECRET), Some("refuse")).unwrap().look_for_key().await.unwrap(), None);
    }

    #[tokio::test]
    async fn spec_that_is_only_shown_is_checked_before_it_is_pinned() {
        let (realm, key) = names();
        let shows = signing(Some(SECRET), None).unwrap().for_people();
        for forged in [None, Some(&[1; KEPT][..])] {
            assert_eq!(shows.refuse(&realm, &key, "{}", forged).await.unwrap(), None);
            assert!(shows.for_pins().refuse(&realm, &key, "{}", forged).await.unwrap().is_some());
        }
        let good = shows.sign(&realm, &key, "{}").await.unwrap();
        assert_eq!(shows.for_pins().refuse(&realm, &key, "{}", good.as_deref()).await.unwrap(), None);
    }

    #[test]
    fn weak_keys_and_words_are_refused_by_name() {
        for (key, unsigned, wanted) in [
            (Some("short"), None, "PUMICE_SIGNING_KEY: the key must be"),
            (Some("{{resolve:secretsmanager:lava-demo-pumice-signing}}"), None, "PUMICE_SIGNING_KEY: "),
            (Some(SECRET), Some("yes"), "PUMICE_UNSIGNED_RUNS: \"yes\" is neither"),
        ] {
            let error = signing(key, unsigned).unwrap_err().to_string();
            assert!(error.starts_with(wanted) && !error.contains(key.unwrap_or("-")), "{error}");
        }
    }
}
