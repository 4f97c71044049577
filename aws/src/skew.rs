//! How far the clock of this host differs from that of AWS, by the header `Date` of each answer of DynamoDB.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

use async_trait::async_trait;
use aws_sdk_dynamodb::config::interceptors::BeforeDeserializationInterceptorContextRef;
use aws_sdk_dynamodb::config::{ConfigBag, Intercept, RuntimeComponents};
use aws_sdk_dynamodb::error::BoxError;
use chrono::{DateTime, TimeDelta, Utc};
use pumice_core::Timestamp;
use pumice_core::ports::Clock;
use pumice_host::SystemClock;

/// No answer has come yet.
const UNKNOWN: i64 = i64::MIN;

/// By how many seconds AWS is ahead, by the last answer. Cheap to clone; all clones are one.
#[derive(Clone, Debug)]
pub struct Skew(Arc<AtomicI64>);

impl Default for Skew {
    fn default() -> Self {
        Self(Arc::new(AtomicI64::new(UNKNOWN)))
    }
}

impl Skew {
    /// How far AWS is ahead; `None` until an answer has come.
    #[must_use]
    pub fn store_ahead(&self) -> Option<TimeDelta> {
        match self.0.load(Ordering::Relaxed) {
            UNKNOWN => None,
            seconds => TimeDelta::try_seconds(seconds),
        }
    }

    /// Notes the time in an answer's header that came now; a text that is not a date changes
    /// nothing.
    fn note(&self, date: &str, now: Timestamp) {
        if let Ok(date) = DateTime::parse_from_rfc2822(date) {
            self.0.store((date.to_utc() - now).num_seconds(), Ordering::Relaxed);
        }
    }
}

impl Intercept for Skew {
    fn name(&self) -> &'static str {
        "Skew"
    }

    fn read_before_deserialization(
        &self,
        context: &BeforeDeserializationInterceptorContextRef<'_>,
        _: &RuntimeComponents,
        _: &mut ConfigBag,
    ) -> Result<(), BoxError> {
        if let Some(date) = context.response().headers().get("date") {
            self.note(date, Utc::now());
        }
        Ok(())
    }
}

/// The host's clock, which knows how far it differs from that of AWS.
#[derive(Clone, Debug)]
pub(crate) struct WatchedClock(pub(crate) Skew);

#[async_trait]
impl Clock for WatchedClock {
    fn now(&self) -> Timestamp {
        SystemClock.now()
    }

    async fn sleep_until(&self, until: Timestamp) {
        SystemClock.sleep_until(until).await;
    }

    fn store_ahead(&self) -> Option<TimeDelta> {
        self.0.store_ahead()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn date_of_an_answer_gives_the_clock_skew() {
        let now: Timestamp = "2026-03-01T09:00:00Z".parse().unwrap();
        let skew = Skew::default();
        assert_eq!(skew.store_ahead(), None);
        for (date, seconds) in [
            ("Sun, 01 Mar 2026 09:00:00 GMT", 0),
            ("Sun, 01 Mar 2026 09:02:00 GMT", 120),
            ("Sun, 01 Mar 2026 08:00:00 GMT", -3_600),
            ("yesterday", -3_600),
            ("", -3_600),
        ] {
            skew.note(date, now);
            assert_eq!(skew.store_ahead(), Some(TimeDelta::seconds(seconds)), "{date}");
        }
    }
}
