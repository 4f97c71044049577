//! `time`.

use std::fmt;
use std::sync::Arc;

use chrono::{NaiveTime, Timelike};

use super::zone::{TzInfo, offset_text};
use crate::fault::{Outcome, fail};

/// A time of day, with or without a zone.
#[derive(Clone, Debug)]
pub(crate) struct Time {
    pub(crate) time: NaiveTime,
    pub(crate) tz: Option<Arc<TzInfo>>,
    pub(crate) fold: bool,
}

/// A time of day by its parts.
pub(crate) fn hms(hour: i64, minute: i64, second: i64, micro: i64) -> Outcome<NaiveTime> {
    let within = |value: i64, limit: i64, name: &str| match u32::try_from(value) {
        Ok(part) if value < limit => Ok(part),
        _ => fail(format!("{name} {value} is out of range: 0 to {}", limit - 1)),
    };
    let hour = within(hour, 24, "hour")?;
    let minute = within(minute, 60, "minute")?;
    let second = within(second, 60, "second")?;
    let micro = within(micro, 1_000_000, "microsecond")?;
    match NaiveTime::from_hms_micro_opt(hour, minute, second, micro) {
        Some(time) => Ok(time),
        None => fail("the time is out of range"),
    }
}

pub(crate) fn micros(time: NaiveTime) -> u32 {
    time.nanosecond() / 1_000 % 1_000_000
}

/// The parts of a time that `timespec` names.
pub(crate) fn clock_text(time: NaiveTime, timespec: &str) -> Outcome<String> {
    let (h, m, s, us) = (time.hour(), time.minute(), time.second(), micros(time));
    Ok(match timespec {
        "hours" => format!("{h:02}"),
        "minutes" => format!("{h:02}:{m:02}"),
        "seconds" => format!("{h:02}:{m:02}:{s:02}"),
        "milliseconds" => format!("{h:02}:{m:02}:{s:02}.{:03}", us / 1_000),
        "microseconds" => format!("{h:02}:{m:02}:{s:02}.{us:06}"),
        "auto" if us == 0 => format!("{h:02}:{m:02}:{s:02}"),
        "auto" => format!("{h:02}:{m:02}:{s:02}.{us:06}"),
        other => {
            return fail(format!(
                "timespec \"{other}\" is unknown: use auto, hours, minutes, seconds, milliseconds or microseconds"
            ));
        }
    })
}

/// The arguments that `repr` shows for a time of day.
pub(crate) fn repr_parts(time: NaiveTime) -> String {
    let (s, us) = (time.second(), micros(time));
    let mut text = format!("{}, {}", time.hour(), time.minute());
    if s != 0 || us != 0 {
        text += &format!(", {s}");
    }
    if us != 0 {
        text += &format!(", {us}");
    }
    text
}

impl Time {
    /// The zone's offset, which only fixed zones know without a date.
    pub(crate) fn offset(&self) -> Option<i32> {
        self.tz.as_ref()?.fixed_offset()
    }

    pub(crate) fn isoformat(&self, timespec: &str) -> Outcome<String> {
        let offset = self.offset().map(|offset| offset_text(offset, ":")).unwrap_or_default();
        Ok(clock_text(self.time, timespec)? + &offset)
    }

    pub(crate) fn repr(&self) -> String {
        let fold = if self.fold { ", fold=1" } else { "" };
        let zone = self.tz.as_ref().map(|tz| format!(", tzinfo={}", tz.repr())).unwrap_or_default();
        format!("datetime.time({}{fold}{zone})", repr_parts(self.time))
    }
}

impl fmt::Display for Time {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.isoformat("auto").unwrap_or_default())
    }
}
