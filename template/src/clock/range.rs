//! dateutil's `tzrange`: standard time, and daylight saving time between two
//! moments of each year.

use std::sync::Arc;

use chrono::{Datelike, Duration, NaiveDate, NaiveDateTime, NaiveTime};

use super::datetime::DateTime;
use super::relative::RelativeDelta;
use crate::call::{self, Args};
use crate::fault::{Outcome, fail};
use crate::runtime::Runtime;
use crate::value::Val;

/// A zone by its rule.
#[derive(Clone, Debug)]
pub(crate) struct RangeZone {
    pub(crate) std_name: Option<Arc<str>>,
    pub(crate) dst_name: Option<Arc<str>>,
    /// Seconds east of UTC.
    pub(crate) std_offset: i32,
    pub(crate) dst_offset: i32,
    /// From 1 January, when daylight saving time begins and ends, both on the clock of standard
    /// time; none without daylight saving time.
    pub(crate) turns: Option<(RelativeDelta, RelativeDelta)>,
    /// The text of a `tzstr`.
    pub(crate) text: Option<Arc<str>>,
}

/// As dateutil compares them: by the rule.
impl PartialEq for RangeZone {
    fn eq(&self, other: &Self) -> bool {
        (&self.std_name, &self.dst_name, self.std_offset, self.dst_offset, &self.turns)
            == (&other.std_name, &other.dst_name, other.std_offset, other.dst_offset, &other.turns)
    }
}

impl RangeZone {
    /// The shift of daylight saving time.
    fn saving(&self) -> Duration {
        Duration::seconds((self.dst_offset - self.std_offset).into())
    }

    /// When daylight saving time begins and ends in a year.
    fn turns_in(&self, year: i32) -> Option<(NaiveDateTime, NaiveDateTime)> {
        let (start, end) = self.turns.as_ref()?;
        let new_year = DateTime::new(NaiveDate::from_ymd_opt(year, 1, 1)?.and_time(NaiveTime::MIN), None);
        Some((start.shift(&new_year).ok()?.wall, end.shift(&new_year).ok()?.wall))
    }

    fn is_between(wall: NaiveDateTime, (start, end): (NaiveDateTime, NaiveDateTime)) -> bool {
        if start < end { start <= wall && wall < end } else { !(end <= wall && wall < start) }
    }

    pub(crate) fn is_ambiguous(&self, wall: NaiveDateTime) -> bool {
        self.turns_in(wall.year()).is_some_and(|(_, end)| end <= wall && wall < end + self.saving())
    }

    fn is_dst(&self, wall: NaiveDateTime, fold: bool) -> bool {
        let Some(turns) = self.turns_in(wall.year()) else {
            return false;
        };
        Self::is_between(wall, turns) || (self.is_ambiguous(wall) && !fold)
    }

    pub(crate) fn offset(&self, wall: NaiveDateTime, fold: bool) -> i32 {
        if self.is_dst(wall, fold) { self.dst_offset } else { self.std_offset }
    }

    pub(crate) fn dst(&self, wall: NaiveDateTime, fold: bool) -> i32 {
        if self.is_dst(wall, fold) { self.dst_offset - self.std_offset } else { 0 }
    }

    pub(crate) fn name(&self, wall: NaiveDateTime, fold: bool) -> Option<String> {
        let name = if self.is_dst(wall, fold) { &self.dst_name } else { &self.std_name };
        name.as_ref().map(|name| (**name).to_owned())
    }

    /// The wall-clock time at a UTC time, and whether it is the second of two.
    pub(crate) fn wall_at(&self, utc: NaiveDateTime) -> Option<(NaiveDateTime, bool)> {
        let std = Duration::seconds(self.std_offset.into());
        let Some((start, end)) = self.turns_in(utc.year()) else {
            return Some((utc.checked_add_signed(std)?, false));
        };
        let dst = Self::is_between(utc, (start - std, end - std));
        let offset = if dst { self.dst_offset } else { self.std_offset };
        let wall = utc.checked_add_signed(Duration::seconds(offset.into()))?;
        Some((wall, !dst && self.is_ambiguous(wall)))
    }
}

/// Seconds of an offset: an int, or a timedelta.
fn seconds(rt: &Runtime<'_>, name: &str, value: Option<&Val>) -> Outcome<Option<i32>> {
    let seconds = match value {
        None | Some(Val::None) => return Ok(None),
        Some(Val::Delta(delta)) => delta.total_seconds() as i64,
        Some(value) => call::int(rt, "tzrange", name, value)?,
    };
    match i32::try_from(seconds) {
        Ok(seconds) if seconds.abs() < 86_400 => Ok(Some(seconds)),
        _ => fail("a zone's offset must be less than a day"),
    }
}

fn name(rt: &Runtime<'_>, name: &str, value: Option<&Val>) -> Outcome<Option<Arc<str>>> {
    match value {
        None | Some(Val::None) => Ok(None),
        Some(value) => Ok(Some(call::text(rt, "tzrange", name, value)?.into())),
    }
}

fn turn(name: &str, value: Option<Val>) -> Outcome<Option<RelativeDelta>> {
    match value {
        None | Some(Val::None) => Ok(None),
        Some(Val::Relative(relative)) => Ok(Some((*relative).clone())),
        Some(Val::Delta(delta)) => Ok(Some(RelativeDelta::default().plus_delta(delta))),
        Some(other) => call::wrong("tzrange", name, "a relativedelta", &other),
    }
}

/// The nth such weekday of a month from a day on, at a time in seconds.
pub(crate) fn weekday_of(
    month: i64,
    day: i64,
    weekday: super::relative::Weekday,
    seconds: f64,
) -> RelativeDelta {
    let mut delta = RelativeDelta { seconds, weekday: Some(weekday), ..RelativeDelta::default() };
    delta.absolute[1] = Some(month);
    delta.absolute[2] = Some(day);
    delta.fixed()
}

/// dateutil's default: from the first Sunday of April to the last of October.
pub(crate) fn default_turn(end: bool, seconds: f64) -> RelativeDelta {
    let sunday = super::relative::Weekday { day: 6, n: Some(if end { -1 } else { 1 }) };
    if end { weekday_of(10, 31, sunday, seconds) } else { weekday_of(4, 1, sunday, seconds) }
}

/// `tzrange(stdabbr, stdoffset, dstabbr, dstoffset, start, end)`.
pub(crate) fn tzrange(rt: &Runtime<'_>, args: Args) -> Outcome {
    let [std_name, std, dst_name, dst, start, end] =
        args.bind("tzrange", ["stdabbr", "stdoffset", "dstabbr", "dstoffset", "start", "end"], 1)?;
    let (std_name, dst_name) =
        (name(rt, "stdabbr", std_name.as_ref())?, name(rt, "dstabbr", dst_name.as_ref())?);
    let std = seconds(rt, "stdoffset", std.as_ref())?;
    let dst = match (seconds(rt, "dstoffset", dst.as_ref())?, std) {
        (Some(dst), _) => dst,
        (None, Some(std)) if dst_name.is_some() => std + 3_600,
        _ => 0,
    };
    let saves = dst_name.as_ref().is_some_and(|name| !name.is_empty());
    let start = turn("start", start)?.or_else(|| saves.then(|| default_turn(false, 7_200.0)));
    let end = turn("end", end)?.or_else(|| saves.then(|| default_turn(true, 3_600.0)));
    let turns = match (start.filter(RelativeDelta::truth), end) {
        (None, _) => None,
        (Some(start), Some(end)) => Some((start, end)),
        (Some(_), None) => return fail("tzrange(): daylight saving time has a start and no end"),
    };
    let zone =
        RangeZone { std_name, dst_name, std_offset: std.unwrap_or(0), dst_offset: dst, turns, text: None };
    Ok(Val::Zone(Arc::new(super::zone::TzInfo::Range(Arc::new(zone)))))
}
