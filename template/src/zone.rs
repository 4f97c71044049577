//! The worker's time zone.

use std::env;
use std::fmt;
use std::fs;
use std::str::FromStr;
use std::sync::{Mutex, PoisonError};

use chrono::{Days, NaiveDate, Offset, TimeZone};
use chrono_tz::Tz;

use crate::clock::range::RangeZone;
use crate::clock::tzstr;

/// The zone that local times are shown in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Zone {
    /// Coordinated universal time.
    Utc,
    /// A zone of the IANA database.
    Named(Tz),
    /// A POSIX rule such as `EST5EDT,M3.2.0,M11.1.0`.
    Posix(PosixZone),
}

/// A zone by a POSIX rule. Made by [`Zone::parse`].
#[derive(Clone, Copy)]
pub struct PosixZone(&'static Kept);

/// A rule that is kept for as long as the process lives.
struct Kept {
    text: String,
    rules: RangeZone,
}

/// The rules that were read.
static KEPT: Mutex<Vec<&'static Kept>> = Mutex::new(Vec::new());
/// Rules that a process keeps: a host has one, its jobs a few more.
const MOST_KEPT: usize = 1_000;

impl PosixZone {
    fn parse(text: &str) -> Option<Self> {
        let mut kept = KEPT.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(known) = kept.iter().find(|known| known.text == text) {
            return Some(Self(known));
        }
        if kept.len() >= MOST_KEPT {
            return None;
        }
        let rules = tzstr::posix(text)?;
        let new: &'static Kept = Box::leak(Box::new(Kept { text: text.to_owned(), rules }));
        kept.push(new);
        Some(Self(new))
    }

    pub(crate) fn text(&self) -> &'static str {
        &self.0.text
    }

    pub(crate) fn rules(&self) -> &'static RangeZone {
        &self.0.rules
    }

    /// The zone of the IANA database that keeps the same time in these years.
    fn like(&self) -> Option<Tz> {
        let rules = self.rules();
        let noon = |day| {
            NaiveDate::from_ymd_opt(2026, 1, 1)?.checked_add_days(Days::new(day))?.and_hms_opt(12, 0, 0)
        };
        let moments: Vec<_> = (0..1_461).filter_map(noon).collect();
        let same = |tz: &&Tz| {
            moments.iter().all(|utc| {
                let offset = tz.offset_from_utc_datetime(utc).fix().local_minus_utc();
                rules.wall_at(*utc).is_some_and(|(wall, _)| (wall - *utc).num_seconds() == i64::from(offset))
            })
        };
        chrono_tz::TZ_VARIANTS.iter().find(same).copied()
    }
}

impl PartialEq for PosixZone {
    fn eq(&self, other: &Self) -> bool {
        self.0.text == other.0.text
    }
}

impl Eq for PosixZone {}

impl fmt::Debug for PosixZone {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0.text)
    }
}

/// The variable `TZ` names no zone, or one that cannot be used.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UnknownZone(String);

impl fmt::Display for UnknownZone {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "TZ={} is not a time zone: use a name such as Europe/London", self.0)
    }
}

impl std::error::Error for UnknownZone {}

impl Zone {
    /// The zone of this process: the `TZ` variable, else the zone that `/etc/localtime` links to,
    /// else UTC. If `TZ` does not name a zone, UTC, as the C library has it;
    /// [`checked_system`](Self::checked_system) reports it.
    pub fn system() -> Self {
        Self::checked_system().unwrap_or(Self::Utc)
    }

    /// As [`system`](Self::system).
    ///
    /// # Errors
    /// [`UnknownZone`] where the `TZ` variable names no zone.
    pub fn checked_system() -> Result<Self, UnknownZone> {
        match env::var("TZ") {
            Ok(name) if !name.trim().is_empty() => Self::parse(&name).ok_or(UnknownZone(name)),
            _ => Ok(linked_zone().unwrap_or(Self::Utc)),
        }
    }

    /// The zone with this IANA name, or by this POSIX rule; `None` if it is
    /// neither. A colon before it is passed over.
    pub fn parse(name: &str) -> Option<Self> {
        let name = name.trim().trim_start_matches(':');
        match name {
            "" => None,
            "UTC" | "Etc/UTC" | "utc" | "Z" => Some(Self::Utc),
            name => match Tz::from_str(name) {
                Ok(zone) => Some(Self::Named(zone)),
                Err(_) => PosixZone::parse(name).map(Self::Posix),
            },
        }
    }

    /// The zone of the IANA database. For a POSIX rule, the first that keeps
    /// the same time from 2026 to 2029, else UTC.
    pub fn tz(&self) -> Tz {
        match self {
            Self::Utc => Tz::UTC,
            Self::Named(zone) => *zone,
            Self::Posix(zone) => zone.like().unwrap_or(Tz::UTC),
        }
    }

    /// The IANA name, or the POSIX rule.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Utc => "UTC",
            Self::Named(zone) => zone.name(),
            Self::Posix(zone) => &zone.0.text,
        }
    }
}

fn linked_zone() -> Option<Zone> {
    let target = fs::read_link("/etc/localtime").ok()?;
    let target = target.to_str()?;
    let (_, name) = target.split_once("zoneinfo/")?;
    Zone::parse(name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn posix_rule_keeps_its_name_and_has_its_like() {
        let zone = Zone::parse("EST5EDT,M3.2.0,M11.1.0").unwrap();
        assert_eq!(zone.name(), "EST5EDT,M3.2.0,M11.1.0");
        assert_eq!(Zone::parse(zone.name()), Some(zone));
        let at = chrono::NaiveDate::from_ymd_opt(2027, 7, 1).unwrap().and_hms_opt(0, 0, 0).unwrap();
        assert_eq!(zone.tz().offset_from_utc_datetime(&at).fix().local_minus_utc(), -14_400);
        assert_eq!(Zone::parse("nowhere"), None);
    }
}
