//! A clock that is set by hand, and chance that follows from a seed.

use std::sync::{Arc, Mutex, PoisonError};

use async_trait::async_trait;
use pumice_core::Timestamp;
use pumice_core::ports::{Clock, Random};
use uuid::Uuid;

use crate::prng::Prng;

/// A clock that stands still until it is moved. A sleeping caller moves it.
#[derive(Clone, Debug)]
pub struct ManualClock {
    now: Arc<Mutex<Timestamp>>,
}

impl ManualClock {
    /// A clock that shows this time.
    #[must_use]
    pub fn at(now: Timestamp) -> Self {
        Self { now: Arc::new(Mutex::new(now)) }
    }

    /// Moves it on to a time, never back.
    pub fn advance_to(&self, until: Timestamp) {
        let mut now = self.now.lock().unwrap_or_else(PoisonError::into_inner);
        *now = until.max(*now);
    }
}

#[async_trait]
impl Clock for ManualClock {
    fn now(&self) -> Timestamp {
        *self.now.lock().unwrap_or_else(PoisonError::into_inner)
    }

    async fn sleep_until(&self, until: Timestamp) {
        self.advance_to(until);
    }
}

/// Chance that follows from a seed.
#[derive(Debug)]
pub struct SeededRandom {
    prng: Mutex<Prng>,
}

impl SeededRandom {
    /// The same seed gives the same numbers.
    #[must_use]
    pub fn new(seed: u64) -> Self {
        Self { prng: Mutex::new(Prng::new(seed)) }
    }
}

impl Random for SeededRandom {
    fn uuid(&self, now: Timestamp) -> Uuid {
        let mut prng = self.prng.lock().unwrap_or_else(PoisonError::into_inner);
        let millis = u128::from(now.timestamp_millis().unsigned_abs()) << 80;
        let chance = (u128::from(prng.bits() & 0xffff) << 64) | u128::from(prng.bits());
        uuid::Builder::from_u128(millis | chance)
            .with_version(uuid::Version::SortRand)
            .with_variant(uuid::Variant::RFC4122)
            .into_uuid()
    }

    fn unit(&self) -> f64 {
        self.prng.lock().unwrap_or_else(PoisonError::into_inner).unit()
    }
}
