//! Time and chance, which tests replace.

use async_trait::async_trait;
use uuid::Uuid;

use crate::Timestamp;

/// The time.
#[async_trait]
pub trait Clock: Send + Sync {
    /// Now.
    fn now(&self) -> Timestamp;
    /// Returns at or after `until`.
    async fn sleep_until(&self, until: Timestamp);
    /// How far the store's clock is ahead of this one, to the second or two; negative when it is behind. `None` where
    /// it is unknown.
    fn store_ahead(&self) -> Option<chrono::TimeDelta> {
        None
    }
}

/// Chance.
pub trait Random: Send + Sync {
    /// A new UUID whose order follows the time (RFC 9562, version 7), so that stores grow at one end.
    fn uuid(&self, now: Timestamp) -> Uuid;
    /// A number from 0 up to 1.
    fn unit(&self) -> f64;
}
