//! Times, in one way on every page and always with their zone.

use std::time::Duration;

use chrono::{DateTime, Datelike};
use chrono_tz::{OffsetName, Tz};
use pumice_core::Timestamp;
use serde::Serialize;

/// How times are shown: in which zone, and what today is.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Clock {
    pub(crate) zone: Tz,
    pub(crate) now: Timestamp,
}

/// A time.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(crate) struct Moment {
    /// For programs.
    pub(crate) iso: String,
    /// In few characters: of today the time, of this year no year.
    pub(crate) text: String,
    /// The short name of the zone, or its offset.
    pub(crate) zone: String,
    /// To the second, with the zone and the time in UTC.
    pub(crate) full: String,
    /// How long ago it is, or is still to come.
    pub(crate) ago: String,
}

impl Clock {
    /// A time in a sentence, with its zone.
    pub(crate) fn words(&self, at: Timestamp) -> String {
        let moment = self.moment(at);
        format!("{} {}", moment.text, moment.zone)
    }

    /// A time as pages show it.
    pub(crate) fn moment(&self, at: Timestamp) -> Moment {
        let local = at.with_timezone(&self.zone);
        let today = self.now.with_timezone(&self.zone);
        let form = match local.year() == today.year() {
            _ if local.date_naive() == today.date_naive() => "%H:%M:%S",
            true => "%-d %b %H:%M",
            false => "%-d %b %Y %H:%M",
        };
        let zone = zone_word(&local);
        Moment {
            iso: at.format("%Y-%m-%dT%H:%M:%S%.3fZ").to_string(),
            text: local.format(form).to_string(),
            full: format!(
                "{} {zone} ({}), {}",
                local.format("%A %-d %B %Y, %H:%M:%S%.3f"),
                self.zone.name(),
                at.format("%H:%M:%S UTC")
            ),
            zone,
            ago: self.ago(at),
        }
    }

    fn ago(&self, at: Timestamp) -> String {
        let between = self.now - at;
        match (between.to_std(), (-between).to_std()) {
            (Ok(past), _) if past < Duration::from_secs(1) => "now".to_owned(),
            (Ok(past), _) => format!("{} ago", coarse(past)),
            (_, Ok(future)) => format!("in {}", coarse(future)),
            _ => String::new(),
        }
    }

    /// How long a run took, or has taken.
    pub(crate) fn took(&self, start: Option<Timestamp>, end: Option<Timestamp>) -> Option<String> {
        (end.unwrap_or(self.now) - start?).to_std().ok().map(short)
    }
}

/// The short name of a zone, as `CET`; its offset where it has no letters for a name.
fn zone_word(at: &DateTime<Tz>) -> String {
    match at.offset().abbreviation() {
        Some(word) if word.starts_with(|c: char| c.is_ascii_alphabetic()) => word.to_owned(),
        _ => at.format("%:z").to_string(),
    }
}

/// A duration in few characters.
pub(crate) fn short(duration: Duration) -> String {
    let seconds = duration.as_secs();
    match seconds {
        0 => format!("{}ms", duration.as_millis()),
        1..60 => format!("{:.1}s", duration.as_secs_f64()),
        60..3_600 => format!("{}m {:02}s", seconds / 60, seconds % 60),
        3_600..86_400 => format!("{}h {:02}m", seconds / 3_600, seconds / 60 % 60),
        _ => format!("{}d {:02}h", seconds / 86_400, seconds / 3_600 % 24),
    }
}

/// A duration in one unit.
fn coarse(duration: Duration) -> String {
    let seconds = duration.as_secs();
    match seconds {
        0..120 => format!("{seconds} s"),
        120..7_200 => format!("{} min", seconds / 60),
        7_200..172_800 => format!("{} h", seconds / 3_600),
        _ => format!("{} days", seconds / 86_400),
    }
}

/// The time of a text in RFC 3339.
#[cfg(test)]
fn at(text: &str) -> Timestamp {
    DateTime::parse_from_rfc3339(text).map(|at| at.to_utc()).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn time_is_short_and_has_its_zone() {
        let clock = |zone| Clock { zone, now: at("2026-11-28T12:00:00Z") };
        for (zone, time, text, word) in [
            (Tz::UTC, "2026-11-28T00:00:01Z", "00:00:01", "UTC"),
            (Tz::Europe__Berlin, "2026-11-27T23:00:01Z", "00:00:01", "CET"),
            (Tz::Europe__Berlin, "2026-07-01T10:00:00Z", "1 Jul 12:00", "CEST"),
            (Tz::UTC, "2025-11-28T12:00:00Z", "28 Nov 2025 12:00", "UTC"),
            (Tz::America__Sao_Paulo, "2026-11-28T12:00:00Z", "09:00:00", "-03:00"),
        ] {
            let moment = clock(zone).moment(at(time));
            assert_eq!((moment.text.as_str(), moment.zone.as_str()), (text, word), "{zone} {time}");
            assert!(moment.full.contains(zone.name()) && moment.full.ends_with("UTC"), "{}", moment.full);
        }
        let moment = clock(Tz::UTC).moment(at("2026-11-28T12:00:00.1234Z"));
        assert_eq!(moment.iso, "2026-11-28T12:00:00.123Z");
    }

    #[test]
    fn distance_is_shown_in_one_unit() {
        let clock = Clock { zone: Tz::UTC, now: at("2026-11-28T12:00:00Z") };
        for (time, ago) in [
            ("2026-11-28T12:00:00Z", "now"),
            ("2026-11-28T11:59:00Z", "60 s ago"),
            ("2026-11-28T11:00:00Z", "60 min ago"),
            ("2026-11-27T12:00:00Z", "24 h ago"),
            ("2026-10-28T12:00:00Z", "31 days ago"),
            ("2026-11-28T12:00:30Z", "in 30 s"),
        ] {
            assert_eq!(clock.moment(at(time)).ago, ago);
        }
    }

    #[test]
    fn duration_has_two_units_at_most() {
        for (millis, text) in [
            (0, "0ms"),
            (999, "999ms"),
            (1_000, "1.0s"),
            (59_900, "59.9s"),
            (60_000, "1m 00s"),
            (3_661_000, "1h 01m"),
            (90_000_000, "1d 01h"),
        ] {
            assert_eq!(short(Duration::from_millis(millis)), text);
        }
    }
}
