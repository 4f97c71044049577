//! Secrets, remembered for a while.

use std::sync::{Arc, Mutex, PoisonError};

use async_trait::async_trait;

use super::secrets::{AwsKeys, RoleRequest, Secrets, TokenRequest};
use crate::Timestamp;
use crate::duration::Span;
use crate::ids::SecretName;
use crate::ports::{Clock, StoreError};
use crate::recent::Recent;
use crate::secret::SecretText;

/// How long a secret is used without asking again (lava guide, The Connections Table: 2 minutes).
pub const SECRET_FRESH: Span = Span::from_secs(120);
/// Most secrets that are remembered.
pub const MAX_SECRETS: usize = 100;

/// One secret, once it is known. Callers that want it meanwhile wait for the one that asks.
type Place = Arc<futures_util::lock::Mutex<Option<(Timestamp, SecretText)>>>;

#[derive(Clone, Copy, PartialEq, Eq, Hash)]
enum Source {
    Parameter,
    Managed,
}

/// Secrets that are asked for once in [`SECRET_FRESH`]. An error is not remembered. A password of IAM is not either:
/// it is made without a call, or for one use.
pub struct CachedSecrets {
    from: Arc<dyn Secrets>,
    clock: Arc<dyn Clock>,
    places: Mutex<Recent<(Source, SecretName), Place, MAX_SECRETS>>,
}

impl CachedSecrets {
    /// The secrets of `from`, by this clock.
    #[must_use]
    pub fn new(from: Arc<dyn Secrets>, clock: Arc<dyn Clock>) -> Self {
        Self { from, clock, places: Mutex::default() }
    }

    fn place(&self, source: Source, name: &SecretName) -> Place {
        let mut places = self.places.lock().unwrap_or_else(PoisonError::into_inner);
        let key = (source, name.clone());
        if let Some(place) = places.get(&key) {
            return place.clone();
        }
        let place = Place::default();
        places.put(key, place.clone());
        place
    }

    async fn get(&self, source: Source, name: &SecretName) -> Result<SecretText, StoreError> {
        let place = self.place(source, name);
        let mut known = place.lock().await;
        if let Some((until, secret)) = &*known
            && self.clock.now() < *until
        {
            return Ok(secret.clone());
        }
        *known = None;
        let secret = match source {
            Source::Parameter => self.from.parameter(name).await?,
            Source::Managed => self.from.managed(name).await?,
        };
        *known = Some((self.clock.now() + SECRET_FRESH.delta(), secret.clone()));
        Ok(secret)
    }
}

#[async_trait]
impl Secrets for CachedSecrets {
    async fn parameter(&self, name: &SecretName) -> Result<SecretText, StoreError> {
        self.get(Source::Parameter, name).await
    }

    async fn managed(&self, name: &SecretName) -> Result<SecretText, StoreError> {
        self.get(Source::Managed, name).await
    }

    async fn database_token(&self, request: &TokenRequest) -> Result<(String, SecretText), StoreError> {
        self.from.database_token(request).await
    }

    async fn assume_role(&self, request: &RoleRequest) -> Result<AwsKeys, StoreError> {
        self.from.assume_role(request).await
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicI64, AtomicU32, Ordering};

    use futures_util::FutureExt;

    use super::*;

    #[derive(Default)]
    struct Counting {
        asked: AtomicU32,
        now: AtomicI64,
    }

    #[async_trait]
    impl Secrets for Counting {
        async fn parameter(&self, name: &SecretName) -> Result<SecretText, StoreError> {
            let asked = self.asked.fetch_add(1, Ordering::Relaxed);
            match name.as_str() {
                "gone" => Err(StoreError::missing("gone")),
                _ => Ok(SecretText::new(format!("cached-secret-{asked}"))),
            }
        }

        async fn managed(&self, name: &SecretName) -> Result<SecretText, StoreError> {
            self.parameter(name).await
        }
    }

    #[async_trait]
    impl Clock for Counting {
        fn now(&self) -> Timestamp {
            Timestamp::UNIX_EPOCH + chrono::TimeDelta::seconds(self.now.load(Ordering::Relaxed))
        }

        async fn sleep_until(&self, _: Timestamp) {}
    }

    fn ask(cached: &CachedSecrets, name: &str) -> Result<SecretText, StoreError> {
        let name = SecretName::new(name).unwrap();
        cached.parameter(&name).now_or_never().unwrap()
    }

    #[test]
    fn secret_is_fetched_once_in_two_minutes() {
        let from = Arc::new(Counting::default());
        let cached = CachedSecrets::new(from.clone(), from.clone());
        let first = ask(&cached, "a").unwrap();
        from.now.store(119, Ordering::Relaxed);
        assert_eq!(ask(&cached, "a").unwrap(), first);
        from.now.store(120, Ordering::Relaxed);
        assert_ne!(ask(&cached, "a").unwrap(), first);
        assert_eq!(from.asked.load(Ordering::Relaxed), 2);
    }

    #[test]
    fn secret_that_is_missing_is_asked_for_again() {
        let from = Arc::new(Counting::default());
        let cached = CachedSecrets::new(from.clone(), from.clone());
        assert!(ask(&cached, "gone").is_err() && ask(&cached, "gone").is_err());
        assert_eq!(from.asked.load(Ordering::Relaxed), 2);
    }

    #[test]
    fn secrets_beyond_the_limit_are_forgotten() {
        let from = Arc::new(Counting::default());
        let cached = CachedSecrets::new(from.clone(), from.clone());
        for number in 0..=MAX_SECRETS {
            ask(&cached, &format!("secret-{number}")).unwrap();
        }
        ask(&cached, "secret-0").unwrap();
        assert_eq!(from.asked.load(Ordering::Relaxed) as usize, MAX_SECRETS + 2);
    }
}
