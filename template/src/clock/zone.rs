//! `tzinfo`: Python's `timezone` and dateutil's zones.

use std::fmt;
use std::sync::Arc;

use chrono::offset::LocalResult;
use chrono::{Duration, NaiveDateTime, Offset, TimeZone, Utc};
use chrono_tz::{OffsetComponents, OffsetName, Tz};

use super::delta::Delta;
use super::range::RangeZone;
use crate::Zone;
use crate::value::show::repr_str;

/// A zone as a datetime carries it.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum TzInfo {
    /// `datetime.timezone.utc`.
    Utc,
    /// dateutil's `tzutc()`.
    TzUtc,
    /// `datetime.timezone(offset, name)`.
    Fixed { seconds: i32, name: Option<Arc<str>> },
    /// dateutil's `tzoffset(name, seconds)`.
    Offset { name: Option<Arc<str>>, seconds: i32 },
    /// dateutil's `tzlocal()`.
    Local(Zone),
    /// dateutil's `gettz(name)`.
    File { zone: Tz, name: Arc<str> },
    /// dateutil's `tzrange(…)` or `tzstr(…)`.
    Range(Arc<RangeZone>),
    /// The zone of the context a value is going to be inserted in; until
    /// then the time is in UTC.
    Worker,
}

/// Where a zone's offsets come from.
enum Rules<'a> {
    Fixed(i32),
    Iana(Tz),
    Range(&'a RangeZone),
}

/// A zone's rules at one moment.
struct Moment {
    offset: i32,
    dst: i32,
    name: String,
}

impl TzInfo {
    /// `timezone(seconds)`: `timezone.utc` for zero.
    pub(crate) fn fixed(seconds: i32) -> Self {
        if seconds == 0 { Self::Utc } else { Self::Fixed { seconds, name: None } }
    }

    pub(crate) fn type_name(&self) -> &'static str {
        match self {
            Self::Utc | Self::Fixed { .. } => "datetime.timezone",
            Self::TzUtc => "tzutc",
            Self::Offset { .. } => "tzoffset",
            Self::Local(_) | Self::Worker => "tzlocal",
            Self::File { .. } => "tzfile",
            Self::Range(zone) if zone.text.is_some() => "tzstr",
            Self::Range(_) => "tzrange",
        }
    }

    fn rules(&self) -> Rules<'_> {
        match self {
            Self::Utc | Self::TzUtc => Rules::Fixed(0),
            Self::Fixed { seconds, .. } | Self::Offset { seconds, .. } => Rules::Fixed(*seconds),
            Self::Local(Zone::Named(zone)) | Self::File { zone, .. } => Rules::Iana(*zone),
            Self::Local(Zone::Utc) | Self::Worker => Rules::Iana(Tz::UTC),
            Self::Local(Zone::Posix(zone)) => Rules::Range(zone.rules()),
            Self::Range(zone) => Rules::Range(zone),
        }
    }

    /// Whether Python makes another object for each call, even with the same
    /// arguments.
    pub(crate) fn is_made_anew(&self) -> bool {
        matches!(self, Self::Local(_)) || matches!(self, Self::Range(zone) if zone.text.is_none())
    }

    /// The offset of a zone that has only one.
    pub(crate) fn fixed_offset(&self) -> Option<i32> {
        match self {
            Self::Utc | Self::TzUtc => Some(0),
            Self::Fixed { seconds, .. } | Self::Offset { seconds, .. } => Some(*seconds),
            Self::Local(_) | Self::File { .. } | Self::Range(_) | Self::Worker => None,
        }
    }

    /// Seconds east of UTC at a wall-clock time.
    pub(crate) fn offset(&self, wall: NaiveDateTime, fold: bool) -> i32 {
        match self.rules() {
            Rules::Fixed(seconds) => seconds,
            Rules::Iana(zone) => at_wall(zone, wall, fold).offset,
            Rules::Range(zone) => zone.offset(wall, fold),
        }
    }

    /// The zone's abbreviation at a wall-clock time.
    pub(crate) fn name(&self, wall: NaiveDateTime, fold: bool) -> Option<String> {
        match self {
            Self::Utc | Self::TzUtc => Some("UTC".to_owned()),
            Self::Fixed { name: Some(name), .. } => Some((**name).to_owned()),
            Self::Fixed { seconds, .. } => Some(format!("UTC{}", offset_text(*seconds, ":"))),
            Self::Offset { name, .. } => name.as_ref().map(|name| (**name).to_owned()),
            Self::Local(_) | Self::File { .. } | Self::Range(_) | Self::Worker => match self.rules() {
                Rules::Fixed(_) => None,
                Rules::Iana(zone) => Some(at_wall(zone, wall, fold).name),
                Rules::Range(zone) => zone.name(wall, fold),
            },
        }
    }

    /// The part of the offset that is daylight saving; `None` for zones that
    /// do not say.
    pub(crate) fn dst(&self, wall: NaiveDateTime, fold: bool) -> Option<i32> {
        match self {
            Self::Utc | Self::Fixed { .. } => None,
            Self::TzUtc | Self::Offset { .. } => Some(0),
            Self::Local(_) | Self::File { .. } | Self::Range(_) | Self::Worker => match self.rules() {
                Rules::Fixed(_) => None,
                Rules::Iana(zone) => Some(at_wall(zone, wall, fold).dst),
                Rules::Range(zone) => Some(zone.dst(wall, fold)),
            },
        }
    }

    /// Wall-clock time, and whether it is the second of two, at a UTC time.
    pub(crate) fn wall_at(&self, utc: NaiveDateTime) -> Option<(NaiveDateTime, bool)> {
        let zone = match self.rules() {
            Rules::Fixed(seconds) => {
                return Some((utc.checked_add_signed(Duration::seconds(seconds.into()))?, false));
            }
            Rules::Range(zone) => return zone.wall_at(utc),
            Rules::Iana(zone) => zone,
        };
        let offset = zone.offset_from_utc_datetime(&utc).fix().local_minus_utc();
        let wall = utc.checked_add_signed(Duration::seconds(offset.into()))?;
        let fold = match zone.offset_from_local_datetime(&wall) {
            LocalResult::Ambiguous(_, later) => later.fix().local_minus_utc() == offset,
            _ => false,
        };
        Some((wall, fold))
    }

    /// Whether a wall-clock time happens twice.
    pub(crate) fn is_ambiguous(&self, wall: NaiveDateTime) -> bool {
        match self.rules() {
            Rules::Fixed(_) => false,
            Rules::Iana(zone) => {
                matches!(zone.offset_from_local_datetime(&wall), LocalResult::Ambiguous(..))
            }
            Rules::Range(zone) => zone.is_ambiguous(wall),
        }
    }

    /// Whether a wall-clock time is skipped when clocks go forward: it does
    /// not come back from UTC.
    pub(crate) fn is_imaginary(&self, wall: NaiveDateTime) -> bool {
        let utc = wall.checked_sub_signed(Duration::seconds(self.offset(wall, false).into()));
        utc.and_then(|utc| self.wall_at(utc)).is_some_and(|(back, _)| back != wall)
    }

    pub(crate) fn repr(&self) -> String {
        let shown =
            |name: &Option<Arc<str>>| name.as_ref().map_or_else(|| "None".to_owned(), |name| repr_str(name));
        match self {
            Self::Utc => "datetime.timezone.utc".to_owned(),
            Self::TzUtc => "tzutc()".to_owned(),
            Self::Fixed { seconds, name } => {
                let delta = Delta::seconds(i64::from(*seconds)).repr();
                match name {
                    Some(name) => format!("datetime.timezone({delta}, {})", repr_str(name)),
                    None => format!("datetime.timezone({delta})"),
                }
            }
            Self::Offset { name, seconds } => format!("tzoffset({}, {seconds})", shown(name)),
            Self::Local(_) | Self::Worker => "tzlocal()".to_owned(),
            Self::Range(zone) => match &zone.text {
                Some(text) => format!("tzstr({})", repr_str(text)),
                None => "tzrange(...)".to_owned(),
            },
            Self::File { name, .. } => {
                format!("tzfile({})", repr_str(&format!("/usr/share/zoneinfo/{name}")))
            }
        }
    }
}

impl fmt::Display for TzInfo {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Utc => f.write_str("UTC"),
            Self::Fixed { name: Some(name), .. } => f.write_str(name),
            Self::Fixed { seconds, .. } => write!(f, "UTC{}", offset_text(*seconds, ":")),
            other => f.write_str(&other.repr()),
        }
    }
}

/// The rules at a wall-clock time. Of a time that happens twice, the first
/// unless `fold`; of a time that is skipped, those that dateutil takes.
fn at_wall(zone: Tz, wall: NaiveDateTime, fold: bool) -> Moment {
    let offset = match zone.offset_from_local_datetime(&wall) {
        LocalResult::Single(offset) => offset,
        LocalResult::Ambiguous(first, second) => {
            if fold {
                second
            } else {
                first
            }
        }
        LocalResult::None => in_gap(zone, wall),
    };
    Moment { offset: offset.fix().local_minus_utc(), dst: dst_of(&offset), name: name_of(&offset) }
}

type TzOffset = <Tz as TimeZone>::Offset;

/// The abbreviation of a zone's offset. Where the zone database has none it is the offset in digits, as `-03` and `+0545`, as
/// the files have it that Python reads.
fn name_of(offset: &TzOffset) -> String {
    if let Some(name) = offset.abbreviation() {
        return name.to_owned();
    }
    let seconds = offset.fix().local_minus_utc();
    let (sign, minutes) = (if seconds < 0 { '-' } else { '+' }, seconds.abs() / 60);
    match (minutes / 60, minutes % 60) {
        (hours, 0) => format!("{sign}{hours:02}"),
        (hours, minutes) => format!("{sign}{hours:02}{minutes:02}"),
    }
}

fn dst_of(offset: &TzOffset) -> i32 {
    i32::try_from(offset.dst_offset().num_seconds()).unwrap_or(0)
}

/// The rules for a wall-clock time that never was.
///
/// dateutil puts each turn of the clock at its moment by the new standard
/// time (by the old one, where standard time itself moves as daylight saving
/// time begins or ends), and what is before that counts by the old rules.
fn in_gap(zone: Tz, wall: NaiveDateTime) -> TzOffset {
    let at = |utc: NaiveDateTime| zone.offset_from_utc_datetime(&utc);
    let seconds = |offset: &TzOffset| offset.fix().local_minus_utc();
    let before_seconds = around_gap(zone, wall, false);
    let mut late = wall - Duration::seconds(before_seconds.into());
    let after = at(late);
    let mut early = wall - Duration::seconds(seconds(&after).into());
    let before = at(early);
    // The turn is between the two moments: both have rules of their own.
    while late - early > Duration::seconds(1) {
        let middle = early + (late - early) / 2;
        let middle = middle - Duration::nanoseconds(middle.and_utc().timestamp_subsec_nanos().into());
        if middle <= early {
            break;
        }
        if at(middle) == after { late = middle } else { early = middle }
    }
    let turn = late - Duration::nanoseconds(late.and_utc().timestamp_subsec_nanos().into());
    let (saved_before, saves) = (dst_of(&before) != 0, dst_of(&after) != 0);
    let saving = match (saved_before, saves) {
        (_, false) => 0,
        (false, true) => seconds(&after) - seconds(&before),
        (true, true) => dst_of(&before),
    };
    let standard = seconds(&after) - saving;
    let standard_before = seconds(&before) - dst_of(&before);
    let clock = if standard != standard_before && saves != saved_before { standard_before } else { standard };
    if wall >= turn + Duration::seconds(clock.into()) { after } else { before }
}

/// The offset in force before the gap that `wall` lies in; with `fold` the one after it (PEP 495).
fn around_gap(zone: Tz, wall: NaiveDateTime, fold: bool) -> i32 {
    let day = Duration::days(1);
    let other = if fold { wall.checked_add_signed(day) } else { wall.checked_sub_signed(day) };
    zone.offset_from_utc_datetime(&other.unwrap_or(wall)).fix().local_minus_utc()
}

/// The UTC time of a wall-clock time of the worker, as the C library has it:
/// a skipped time counts by the rules before it, with `fold` by those after it.
pub(crate) fn worker_to_utc(zone: Zone, wall: NaiveDateTime, fold: bool) -> Option<NaiveDateTime> {
    let offset = match zone {
        Zone::Utc => 0,
        Zone::Posix(zone) => {
            let rules = zone.rules();
            let offset = rules.offset(wall, fold);
            let skipped = TzInfo::Local(Zone::Posix(zone)).is_imaginary(wall);
            match (skipped, fold) {
                (true, false) => rules.std_offset,
                (true, true) => rules.dst_offset,
                (false, _) => offset,
            }
        }
        Zone::Named(zone) => match zone.offset_from_local_datetime(&wall) {
            LocalResult::None => around_gap(zone, wall, fold),
            _ => at_wall(zone, wall, fold).offset,
        },
    };
    wall.checked_sub_signed(Duration::seconds(offset.into()))
}

/// The abbreviations the worker's zone uses this year: standard time, and
/// daylight saving time if it has that.
pub(crate) fn worker_names(zone: Zone, now: chrono::DateTime<Utc>) -> Vec<String> {
    let zone = match zone {
        Zone::Utc => return vec!["UTC".to_owned()],
        Zone::Posix(zone) => {
            let rules = zone.rules();
            return [&rules.std_name, &rules.dst_name]
                .into_iter()
                .flatten()
                .map(|name| name.to_string())
                .collect();
        }
        Zone::Named(zone) => zone,
    };
    let mut names = Vec::new();
    for month in 0..12 {
        let offset = zone.offset_from_utc_datetime(&(now - Duration::days(30 * month)).naive_utc());
        let name = name_of(&offset);
        if !names.contains(&name) {
            names.push(name);
        }
    }
    names
}

/// An offset as `+11:00`; seconds are shown only if there are any.
pub(crate) fn offset_text(seconds: i32, separator: &str) -> String {
    let sign = if seconds < 0 { '-' } else { '+' };
    let size = seconds.abs();
    let (h, m, s) = (size / 3_600, size / 60 % 60, size % 60);
    let mut text = format!("{sign}{h:02}{separator}{m:02}");
    if s != 0 {
        text += &format!("{separator}{s:02}");
    }
    text
}
