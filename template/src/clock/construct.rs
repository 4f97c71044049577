//! Constructors of `date`, `time`, `datetime`, `timedelta`, `timezone` and
//! of dateutil's zones.

use std::str::FromStr;
use std::sync::Arc;

use chrono_tz::Tz;

use super::date::{Date, ymd};
use super::datetime::DateTime;
use super::delta::{Delta, Parts};
use super::time::{Time, hms};
use super::tzstr;
use super::zone::{TzInfo, worker_names};
use crate::Zone;
use crate::call::{self, Args};
use crate::fault::{Outcome, fail};
use crate::runtime::Runtime;
use crate::value::Val;

/// A zone argument: a zone or none.
pub(crate) fn zone_arg(
    rt: &Runtime<'_>,
    function: &str,
    value: Option<&Val>,
) -> Outcome<Option<Arc<TzInfo>>> {
    match value {
        None | Some(Val::None) => Ok(None),
        Some(Val::Zone(zone)) => Ok(Some(Arc::clone(zone))),
        Some(value @ Val::Undefined(_)) => Err(rt.undefined(value)),
        Some(other) => call::wrong(function, "tzinfo", "a zone such as utils.dateutil.tz.UTC", other),
    }
}

fn required(rt: &Runtime<'_>, function: &str, name: &str, value: Option<&Val>) -> Outcome<i64> {
    call::int(rt, function, name, value.unwrap_or(&Val::None))
}

/// `date(year, month, day)`.
pub(crate) fn date(rt: &Runtime<'_>, args: Args) -> Outcome {
    let [year, month, day] = args.bind("date", ["year", "month", "day"], 3)?;
    Ok(Val::Date(Date::new(
        required(rt, "date", "year", year.as_ref())?,
        required(rt, "date", "month", month.as_ref())?,
        required(rt, "date", "day", day.as_ref())?,
    )?))
}

/// `datetime(year, month, day, hour, minute, second, microsecond, tzinfo)`.
pub(crate) fn datetime(rt: &Runtime<'_>, args: Args) -> Outcome {
    let [year, month, day, hour, minute, second, micro, tz, fold] = args.bind(
        "datetime",
        ["year", "month", "day", "hour", "minute", "second", "microsecond", "tzinfo", "fold"],
        3,
    )?;
    let part = |name: &str, value: Option<&Val>| call::int_or(rt, "datetime", name, value, 0);
    let day = ymd(
        required(rt, "datetime", "year", year.as_ref())?,
        required(rt, "datetime", "month", month.as_ref())?,
        required(rt, "datetime", "day", day.as_ref())?,
    )?;
    let time = hms(
        part("hour", hour.as_ref())?,
        part("minute", minute.as_ref())?,
        part("second", second.as_ref())?,
        part("microsecond", micro.as_ref())?,
    )?;
    Ok(DateTime {
        wall: day.and_time(time),
        tz: zone_arg(rt, "datetime", tz.as_ref())?,
        fold: fold.is_some_and(|fold| fold.truth()),
    }
    .into_val())
}

/// `time(hour, minute, second, microsecond, tzinfo)`.
pub(crate) fn time(rt: &Runtime<'_>, args: Args) -> Outcome {
    let [hour, minute, second, micro, tz, fold] =
        args.bind("time", ["hour", "minute", "second", "microsecond", "tzinfo", "fold"], 0)?;
    let part = |name: &str, value: Option<&Val>| call::int_or(rt, "time", name, value, 0);
    Ok(Val::Time(Arc::new(Time {
        time: hms(
            part("hour", hour.as_ref())?,
            part("minute", minute.as_ref())?,
            part("second", second.as_ref())?,
            part("microsecond", micro.as_ref())?,
        )?,
        tz: zone_arg(rt, "time", tz.as_ref())?,
        fold: fold.is_some_and(|fold| fold.truth()),
    })))
}

/// The parameters of `timedelta`, with their microseconds.
const DELTA_UNITS: [(&str, i64); 7] = [
    ("days", 86_400_000_000),
    ("seconds", 1_000_000),
    ("microseconds", 1),
    ("milliseconds", 1_000),
    ("minutes", 60_000_000),
    ("hours", 3_600_000_000),
    ("weeks", 604_800_000_000),
];

/// `timedelta(days, seconds, microseconds, milliseconds, minutes, hours, weeks)`.
pub(crate) fn timedelta(rt: &Runtime<'_>, args: Args) -> Outcome {
    let values = args.bind("timedelta", DELTA_UNITS.map(|(name, _)| name), 0)?;
    let mut parts = Parts::default();
    for ((name, unit), value) in DELTA_UNITS.into_iter().zip(&values) {
        match value {
            None => {}
            Some(Val::Float(count)) => parts.add_float(*count, unit)?,
            Some(value @ (Val::Int(_) | Val::Bool(_))) => {
                parts.add_int(call::int(rt, "timedelta", name, value)?, unit);
            }
            Some(value @ Val::Undefined(_)) => return Err(rt.undefined(value)),
            Some(Val::Big(_)) => return fail(format!("timedelta(): \"{name}\" is out of range")),
            Some(other) => return call::wrong("timedelta", name, "a number", other),
        }
    }
    Ok(Val::Delta(parts.finish()?))
}

fn offset_seconds(rt: &Runtime<'_>, function: &str, value: &Val) -> Outcome<i32> {
    let seconds = match value {
        Val::Delta(delta) => delta.total_seconds(),
        Val::Float(number) => *number,
        value => call::int(rt, function, "offset", value)? as f64,
    };
    if seconds.abs() >= 86_400.0 || seconds.is_nan() {
        return fail("a zone's offset must be less than a day");
    }
    Ok(seconds as i32)
}

/// dateutil's `tzoffset(name, offset)`.
pub(crate) fn tzoffset(rt: &Runtime<'_>, args: Args) -> Outcome {
    let [name, offset] = args.bind("tzoffset", ["name", "offset"], 2)?;
    let name = match name {
        None | Some(Val::None) => None,
        Some(name) => Some(call::text(rt, "tzoffset", "name", &name)?.into()),
    };
    let seconds = offset_seconds(rt, "tzoffset", &offset.unwrap_or(Val::None))?;
    Ok(Val::Zone(Arc::new(TzInfo::Offset { name, seconds })))
}

/// `tzutc()`.
pub(crate) fn tzutc(_rt: &Runtime<'_>, args: Args) -> Outcome {
    args.none("tzutc")?;
    Ok(Val::Zone(Arc::new(TzInfo::TzUtc)))
}

/// `tzlocal()`: the worker's zone.
pub(crate) fn tzlocal(rt: &Runtime<'_>, args: Args) -> Outcome {
    args.none("tzlocal")?;
    Ok(Val::Zone(Arc::new(TzInfo::Local(rt.ctx.local_zone()))))
}

/// Where dateutil finds zones; names of its files are zones too.
const ZONE_FILES: &str = "/usr/share/zoneinfo/";

/// `gettz(name)`: a zone of the IANA database, else one that the text itself
/// describes (`EST5EDT4`), else the worker's if that goes by the name, else
/// none.
pub(crate) fn gettz(rt: &Runtime<'_>, args: Args) -> Outcome {
    let [name] = args.bind("gettz", ["name"], 0)?;
    let name = match &name {
        None | Some(Val::None) => "",
        Some(name) => call::text(rt, "gettz", "name", name)?,
    };
    let name = name.strip_prefix(':').unwrap_or(name);
    let file = name.strip_prefix(ZONE_FILES).unwrap_or(name);
    if file.starts_with('/') {
        return fail("gettz is refused for a path: it looks at the worker's disk");
    }
    let local = || TzInfo::Local(rt.ctx.local_zone());
    let tz = match file {
        "" => match rt.ctx.local_zone() {
            Zone::Named(zone) => TzInfo::File { zone, name: zone.name().into() },
            // dateutil reads the variable TZ as any other name.
            Zone::Posix(zone) => match tzstr::read(zone.text(), false) {
                Some(zone) => TzInfo::Range(Arc::new(zone)),
                None => local(),
            },
            Zone::Utc => local(),
        },
        file => match Tz::from_str(file).or_else(|_| Tz::from_str(&file.replace(' ', "_"))) {
            Ok(zone) => TzInfo::File { zone, name: file.replace(' ', "_").into() },
            Err(_) if file.contains(|c: char| c.is_ascii_digit()) => match tzstr::read(file, false) {
                Some(zone) => TzInfo::Range(Arc::new(zone)),
                None => return Ok(Val::None),
            },
            Err(_)
                if worker_names(rt.ctx.local_zone(), rt.ctx.about_now())
                    .iter()
                    .any(|known| known == file) =>
            {
                local()
            }
            Err(_) => return Ok(Val::None),
        },
    };
    Ok(Val::Zone(Arc::new(tz)))
}

fn moment(rt: &Runtime<'_>, args: Args, test: fn(&TzInfo, chrono::NaiveDateTime) -> bool) -> Outcome {
    let [value, tz] = args.bind("datetime_exists", ["dt", "tz"], 1)?;
    let Some(Val::DateTime(datetime)) = value else {
        return fail("a datetime is needed");
    };
    let zone = zone_arg(rt, "datetime_exists", tz.as_ref())?.or_else(|| datetime.tz.clone());
    match zone {
        Some(zone) => Ok(Val::Bool(test(&zone, datetime.wall))),
        None => fail("the datetime has no zone: give one"),
    }
}

/// dateutil's `datetime_exists(dt, tz)`.
pub(crate) fn exists(rt: &Runtime<'_>, args: Args) -> Outcome {
    moment(rt, args, |tz, wall| !tz.is_imaginary(wall))
}

/// dateutil's `datetime_ambiguous(dt, tz)`.
pub(crate) fn ambiguous(rt: &Runtime<'_>, args: Args) -> Outcome {
    moment(rt, args, TzInfo::is_ambiguous)
}

/// dateutil's `enfold(dt, fold)`: the first or the second of two equal times.
pub(crate) fn enfold(rt: &Runtime<'_>, args: Args) -> Outcome {
    let [value, fold] = args.bind("enfold", ["dt", "fold"], 1)?;
    let Some(Val::DateTime(datetime)) = value else {
        return fail("enfold() needs a datetime");
    };
    let fold = call::int_or(rt, "enfold", "fold", fold.as_ref(), 1)?;
    if !matches!(fold, 0 | 1) {
        return fail("enfold(): \"fold\" must be 0 or 1");
    }
    Ok(DateTime { fold: fold == 1, ..(*datetime).clone() }.into_val())
}

/// dateutil's `resolve_imaginary(dt)`: a time that is skipped, later by what
/// the clock went forward.
pub(crate) fn resolve_imaginary(_rt: &Runtime<'_>, args: Args) -> Outcome {
    let [value] = args.bind("resolve_imaginary", ["dt"], 1)?;
    let Some(Val::DateTime(datetime)) = value else {
        return fail("resolve_imaginary() needs a datetime");
    };
    if !datetime.tz.as_ref().is_some_and(|tz| tz.is_imaginary(datetime.wall)) {
        return Ok(Val::DateTime(datetime));
    }
    let day = Delta::seconds(86_400);
    let (before, after) = (datetime.plus(day.negated()?)?.offset(), datetime.plus(day)?.offset());
    let moved = i64::from(after.unwrap_or(0)) - i64::from(before.unwrap_or(0));
    Ok(datetime.plus(Delta::seconds(moved))?.into_val())
}
