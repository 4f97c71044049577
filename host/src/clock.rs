//! The machine's own clock and chance.

use async_trait::async_trait;
use chrono::Utc;
use pumice_core::Timestamp;
use pumice_core::ports::{Clock, Random};
use uuid::Uuid;

/// The machine's clock.
#[derive(Clone, Copy, Debug, Default)]
pub struct SystemClock;

#[async_trait]
impl Clock for SystemClock {
    fn now(&self) -> Timestamp {
        // Records keep microseconds; what is finer would be lost on the way and compare unequal.
        let now = Utc::now();
        chrono::DateTime::from_timestamp_micros(now.timestamp_micros()).unwrap_or(now)
    }

    async fn sleep_until(&self, until: Timestamp) {
        if let Ok(pause) = (until - self.now()).to_std() {
            tokio::time::sleep(pause).await;
        }
    }
}

/// The machine's randomness.
#[derive(Clone, Copy, Debug, Default)]
pub struct SystemRandom;

impl Random for SystemRandom {
    fn uuid(&self, _: Timestamp) -> Uuid {
        Uuid::now_v7()
    }

    fn unit(&self) -> f64 {
        let (high, _) = Uuid::new_v4().as_u64_pair();
        // The top bits of a version 4 UUID are random.
        (high >> 16) as f64 / (1_u64 << 48) as f64
    }
}
