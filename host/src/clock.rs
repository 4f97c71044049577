//! The machine's own clock and chance.

use std::sync::{Mutex, PoisonError};

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

/// The place of the last id: its millisecond and its number within that.
static LAST: Mutex<Place> = Mutex::new(Place { millis: 0, number: 0 });

/// The place of an id in the order of all that a process makes (RFC 9562, section 6.2, method 1).
#[derive(Clone, Copy)]
struct Place {
    millis: u64,
    /// The 12 bits behind the version: ids of one millisecond differ there already, so that few characters name each.
    number: u16,
}

impl Place {
    /// Where a number begins anew: below this, so that there is room for those that follow.
    const FIRST: u16 = 0x1ff;
    /// The last number of a millisecond.
    const LAST: u16 = 0xfff;

    /// The place after this one, at a time that may have been set back.
    fn next(self, millis: u64, chance: u64) -> Self {
        let first = (chance as u16) & Self::FIRST;
        match self {
            Self { millis: last, .. } if millis > last => Self { millis, number: first },
            Self { millis, number: Self::LAST } => Self { millis: millis + 1, number: first },
            Self { millis, number } => Self { millis, number: number + 1 },
        }
    }
}

impl Random for SystemRandom {
    fn uuid(&self, _: Timestamp) -> Uuid {
        let (high, low) = Uuid::new_v4().as_u64_pair();
        let now = Utc::now().timestamp_millis().unsigned_abs();
        let mut last = LAST.lock().unwrap_or_else(PoisonError::into_inner);
        *last = last.next(now, high >> 16);
        let Place { millis, number } = *last;
        drop(last);
        // The variant of a version 4 UUID is that of a version 7 one.
        Uuid::from_u64_pair(millis << 16 | 0x7000 | u64::from(number), low)
    }

    fn unit(&self) -> f64 {
        let (high, _) = Uuid::new_v4().as_u64_pair();
        // The top bits of a version 4 UUID are random.
        (high >> 16) as f64 / (1_u64 << 48) as f64
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_are_in_order_and_differ_in_eighteen_characters() {
        let ids: Vec<String> =
            (0..10_000).map(|_| SystemRandom.uuid(Timestamp::UNIX_EPOCH).to_string()).collect();
        for pair in ids.windows(2) {
            assert!(pair[0][..18] < pair[1][..18], "{pair:?}");
        }
        let id: Uuid = ids[0].parse().unwrap();
        assert_eq!((id.get_version_num(), id.get_variant()), (7, uuid::Variant::RFC4122));
        let (seconds, _) = id.get_timestamp().unwrap().to_unix();
        assert!(Utc::now().timestamp().unsigned_abs() - seconds < 60);
    }

    #[test]
    fn id_follows_the_last_one_though_the_clock_is_set_back() {
        let place = Place { millis: 100, number: Place::LAST - 1 };
        let next = place.next(50, 7);
        assert_eq!((next.millis, next.number), (100, Place::LAST));
        let over = next.next(100, 7);
        assert_eq!((over.millis, over.number), (101, 7));
        let later = over.next(102, 0xffff);
        assert_eq!((later.millis, later.number), (102, Place::FIRST));
    }
}
