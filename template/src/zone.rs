//! The worker's time zone.

use std::env;
use std::fs;
use std::str::FromStr;

use chrono_tz::Tz;

/// The zone that local times are shown in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Zone {
    /// Coordinated universal time.
    Utc,
    /// A zone of the IANA database.
    Named(Tz),
}

impl Zone {
    /// The zone of this process: the `TZ` variable, else the zone that
    /// `/etc/localtime` links to, else UTC.
    ///
    /// Only names of the IANA database count (`Australia/Sydney`, with or
    /// without a leading colon); a POSIX rule such as `EST5EDT4` is passed over.
    pub fn system() -> Self {
        let named = env::var("TZ").ok().and_then(|name| Self::parse(&name));
        named.or_else(linked_zone).unwrap_or(Self::Utc)
    }

    /// The zone with this IANA name, or `None` if there is no such zone.
    pub fn parse(name: &str) -> Option<Self> {
        let name = name.trim().trim_start_matches(':');
        match name {
            "" => None,
            "UTC" | "Etc/UTC" | "utc" | "Z" => Some(Self::Utc),
            name => Tz::from_str(name).ok().map(Self::Named),
        }
    }

    /// The zone of the IANA database.
    pub fn tz(&self) -> Tz {
        match self {
            Self::Utc => Tz::UTC,
            Self::Named(zone) => *zone,
        }
    }

    /// The IANA name.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Utc => "UTC",
            Self::Named(zone) => zone.name(),
        }
    }
}

fn linked_zone() -> Option<Zone> {
    let target = fs::read_link("/etc/localtime").ok()?;
    let target = target.to_str()?;
    let (_, name) = target.split_once("zoneinfo/")?;
    Zone::parse(name)
}
