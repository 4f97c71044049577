//! Instants as people write them: ISO 8601, with or without a zone.

use chrono::{DateTime, NaiveDate, NaiveDateTime, TimeZone, Utc};

use crate::Timestamp;
use crate::text::quoted;

/// An instant, or a time on the wall whose zone is still to be told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Instant {
    /// The text named its zone.
    Absolute(Timestamp),
    /// The text named none.
    Wall(NaiveDateTime),
}

impl Instant {
    /// The instant, in `zone` when the text named none. A time that a clock change leaves out is
    /// taken as the first one after it, one that it repeats as the first of the two.
    #[must_use]
    pub fn in_zone(self, zone: chrono_tz::Tz) -> Timestamp {
        match self {
            Self::Absolute(instant) => instant,
            Self::Wall(wall) => {
                let skipped = || zone.from_local_datetime(&(wall + chrono::TimeDelta::hours(1))).earliest();
                zone.from_local_datetime(&wall)
                    .earliest()
                    .or_else(skipped)
                    .map_or_else(|| wall.and_utc(), |found| found.with_timezone(&Utc))
            }
        }
    }
}

/// A text that is no instant.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "{} is not an ISO 8601 time: write it as 2026-03-01T15:05:00+11:00, or without a zone for local time",
    quoted(_0)
)]
pub struct BadInstant(String);

/// Reads `2026-03-01T15:05:06+11:00`, `2026-03-01 15:05Z`, `2026-03-01T15:05`, `2026-03-01`.
///
/// # Errors
/// [`BadInstant`] when the text is none of these.
pub fn parse_instant(text: &str) -> Result<Instant, BadInstant> {
    let bad = || BadInstant(text.to_owned());
    let trimmed = text.trim();
    if let Ok(date) = NaiveDate::parse_from_str(trimmed, "%Y-%m-%d") {
        return date.and_hms_opt(0, 0, 0).map(Instant::Wall).ok_or_else(bad);
    }
    // One separator and one way to write UTC leave few forms to try.
    let unified = trimmed.replacen(' ', "T", 1).replace(['z', 'Z'], "+00:00");
    for format in
        ["%Y-%m-%dT%H:%M:%S%.f%:z", "%Y-%m-%dT%H:%M%:z", "%Y-%m-%dT%H:%M:%S%.f%z", "%Y-%m-%dT%H:%M%z"]
    {
        if let Ok(instant) = DateTime::parse_from_str(&unified, format) {
            return Ok(Instant::Absolute(instant.with_timezone(&Utc)));
        }
    }
    for format in ["%Y-%m-%dT%H:%M:%S%.f", "%Y-%m-%dT%H:%M"] {
        if let Ok(wall) = NaiveDateTime::parse_from_str(&unified, format) {
            return Ok(Instant::Wall(wall));
        }
    }
    Err(bad())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_iso_forms() {
        let utc =
            |text: &str| parse_instant(text).unwrap().in_zone(chrono_tz::Australia::Sydney).to_rfc3339();
        assert_eq!(utc("2026-03-01T15:05:06+11:00"), "2026-03-01T04:05:06+00:00");
        assert_eq!(utc("2026-03-01 15:05Z"), "2026-03-01T15:05:00+00:00");
        assert_eq!(utc("2026-03-01T15:05:06.5"), "2026-03-01T04:05:06.500+00:00");
        assert_eq!(utc("2026-03-01"), "2026-02-28T13:00:00+00:00");
        // 02:30 does not exist on 4 October 2026 in Sydney.
        assert_eq!(utc("2026-10-04T02:30"), "2026-10-03T16:30:00+00:00");
        for text in ["", "tomorrow", "2026-13-01", "15:05"] {
            assert!(parse_instant(text).is_err(), "{text}");
        }
    }
}
