//! The classes `date`, `datetime`, `time` and `timedelta` with their class
//! methods, and dateutil's `tz` and `relativedelta` modules.

use std::sync::Arc;

use chrono::{Datelike, Duration, NaiveDateTime, NaiveTime};

use super::construct;
use super::date::{Date, from_iso_week};
use super::datetime::DateTime;
use super::delta::Delta;
use super::relative::Weekday;
use super::relative_build;
use super::time::Time;
use super::zone::TzInfo;
use super::{iso, range, strptime, tzstr};
use crate::Zone;
use crate::call::{self, Args};
use crate::fault::{Outcome, fail};
use crate::native::{Member, Native};
use crate::runtime::Runtime;
use crate::value::Val;
use crate::value::number::Num;

use Member::{Function, Value};

/// The members of a module of dateutil's, and the weekdays, each by itself and all together.
macro_rules! with_weekdays {
    ($($member:expr),* $(,)?) => {
        &[
            $($member,)*
            ("MO", $crate::native::Member::Value(|| $crate::clock::classes::weekday(0))),
            ("TU", $crate::native::Member::Value(|| $crate::clock::classes::weekday(1))),
            ("WE", $crate::native::Member::Value(|| $crate::clock::classes::weekday(2))),
            ("TH", $crate::native::Member::Value(|| $crate::clock::classes::weekday(3))),
            ("FR", $crate::native::Member::Value(|| $crate::clock::classes::weekday(4))),
            ("SA", $crate::native::Member::Value(|| $crate::clock::classes::weekday(5))),
            ("SU", $crate::native::Member::Value(|| $crate::clock::classes::weekday(6))),
            ("weekdays", $crate::native::Member::Value(|| {
                $crate::value::Val::tuple((0..7).map($crate::clock::classes::weekday).collect())
            })),
        ]
    };
}
pub(crate) static DATE: Native = Native::class(
    "datetime.date",
    construct::date,
    &[
        (
            "today",
            Function(|rt, args| {
                args.none("today")?;
                Ok(Val::Date(now(rt)?.date()))
            }),
        ),
        ("fromtimestamp", Function(|rt, args| Ok(Val::Date(from_timestamp(rt, args)?.date())))),
        ("fromordinal", Function(|rt, args| Ok(Val::Date(from_ordinal(rt, args)?)))),
        (
            "fromisoformat",
            Function(|rt, args| Ok(Val::Date(Date(iso::date(&text_arg(rt, "fromisoformat", args)?)?)))),
        ),
        ("fromisocalendar", Function(|rt, args| Ok(Val::Date(from_iso_calendar(rt, args)?)))),
        ("min", Value(|| Val::Date(first_day()))),
        ("max", Value(|| Val::Date(last_day()))),
        ("resolution", Value(|| Val::Delta(Delta::seconds(86_400)))),
    ],
);

pub(crate) static DATETIME: Native = Native::class(
    "datetime.datetime",
    construct::datetime,
    &[
        ("now", Function(now_in)),
        (
            "today",
            Function(|rt, args| {
                args.none("today")?;
                Ok(now(rt)?.into_val())
            }),
        ),
        (
            "utcnow",
            Function(|rt, args| {
                args.none("utcnow")?;
                Ok(super::datetime::naive(rt.ctx.now().naive_utc()))
            }),
        ),
        ("fromtimestamp", Function(|rt, args| Ok(from_timestamp(rt, args)?.into_val()))),
        (
            "utcfromtimestamp",
            Function(|rt, args| {
                let [at] = args.bind("utcfromtimestamp", ["timestamp"], 1)?;
                Ok(DateTime::checked(Some(epoch_plus(rt, &at.unwrap_or(Val::None))?), None)?.into_val())
            }),
        ),
        (
            "fromordinal",
            Function(|rt, args| {
                Ok(DateTime::new(from_ordinal(rt, args)?.0.and_time(NaiveTime::MIN), None).into_val())
            }),
        ),
        ("strptime", Function(strptime_call)),
        (
            "fromisoformat",
            Function(|rt, args| Ok(iso::datetime(&text_arg(rt, "fromisoformat", args)?)?.into_val())),
        ),
        (
            "fromisocalendar",
            Function(|rt, args| {
                Ok(DateTime::new(from_iso_calendar(rt, args)?.0.and_time(NaiveTime::MIN), None).into_val())
            }),
        ),
        ("combine", Function(combine)),
        ("min", Value(|| DateTime::new(first_day().0.and_time(NaiveTime::MIN), None).into_val())),
        ("max", Value(|| DateTime::new(last_day().0.and_time(last_time()), None).into_val())),
        ("resolution", Value(|| Val::Delta(Delta::RESOLUTION))),
    ],
);

pub(crate) static TIME: Native = Native::class(
    "datetime.time",
    construct::time,
    &[
        (
            "fromisoformat",
            Function(|rt, args| {
                let (time, tz) = iso::time(&text_arg(rt, "fromisoformat", args)?)?;
                Ok(Val::Time(Arc::new(Time { time, tz: tz.map(Arc::new), fold: false })))
            }),
        ),
        ("min", Value(|| time_value(NaiveTime::MIN))),
        ("max", Value(|| time_value(last_time()))),
        ("resolution", Value(|| Val::Delta(Delta::RESOLUTION))),
    ],
);

pub(crate) static TIMEDELTA: Native = Native::class(
    "datetime.timedelta",
    construct::timedelta,
    &[
        ("min", Value(|| Val::Delta(Delta::MIN))),
        ("max", Value(|| Val::Delta(Delta::MAX))),
        ("resolution", Value(|| Val::Delta(Delta::RESOLUTION))),
    ],
);

static WEEKDAY: Native = Native::class("dateutil._common.weekday", Weekday::new_call, &[]);

static RELATIVEDELTA: Native =
    Native::class("dateutil.relativedelta.relativedelta", relative_build::new, &[]);

pub(crate) static RELATIVEDELTA_MODULE: Native = Native::module(
    "dateutil.relativedelta",
    with_weekdays![("relativedelta", Member::Native(&RELATIVEDELTA)), ("weekday", Member::Native(&WEEKDAY)),],
);

pub(crate) use with_weekdays;

/// A day of the week, of which 0 is Monday.
pub(crate) fn weekday(day: u8) -> Val {
    Val::Weekday(Weekday::new(day))
}

static TZUTC: Native = Native::class("dateutil.tz.tzutc", construct::tzutc, &[]);
static TZLOCAL: Native = Native::class("dateutil.tz.tzlocal", construct::tzlocal, &[]);
static TZOFFSET: Native = Native::class("dateutil.tz.tzoffset", construct::tzoffset, &[]);

static TZRANGE: Native = Native::class("dateutil.tz.tzrange", range::tzrange, &[]);
static TZSTR: Native = Native::class("dateutil.tz.tzstr", tzstr::tzstr, &[]);

const DISK: &str = "it looks at the worker's disk";
const WINDOWS: &str = "it is for Windows";

pub(crate) static TZ_MODULE: Native = Native::module(
    "dateutil.tz",
    &[
        ("UTC", Value(|| Val::Zone(Arc::new(TzInfo::TzUtc)))),
        ("tzutc", Member::Native(&TZUTC)),
        ("tzlocal", Member::Native(&TZLOCAL)),
        ("tzoffset", Member::Native(&TZOFFSET)),
        ("gettz", Function(construct::gettz)),
        ("datetime_exists", Function(construct::exists)),
        ("datetime_ambiguous", Function(construct::ambiguous)),
        ("resolve_imaginary", Function(construct::resolve_imaginary)),
        ("enfold", Function(construct::enfold)),
        ("tzrange", Member::Native(&TZRANGE)),
        ("tzstr", Member::Native(&TZSTR)),
        ("tzfile", Member::Refused(DISK)),
        ("tzical", Member::Refused(DISK)),
        ("tzwin", Member::Refused(WINDOWS)),
        ("tzwinlocal", Member::Refused(WINDOWS)),
    ],
);

fn first_day() -> Date {
    Date(chrono::NaiveDate::from_ymd_opt(1, 1, 1).unwrap_or_default())
}

fn last_day() -> Date {
    Date(chrono::NaiveDate::from_ymd_opt(9999, 12, 31).unwrap_or_default())
}

fn last_time() -> NaiveTime {
    NaiveTime::from_hms_micro_opt(23, 59, 59, 999_999).unwrap_or_default()
}

fn time_value(time: NaiveTime) -> Val {
    Val::Time(Arc::new(Time { time, tz: None, fold: false }))
}

fn text_arg(rt: &Runtime<'_>, function: &str, args: Args) -> Outcome<String> {
    let [text] = args.bind(function, ["date_string"], 1)?;
    let text = text.unwrap_or(Val::None);
    Ok(call::text(rt, function, "date_string", &text)?.to_owned())
}

/// The worker's wall-clock time now.
pub(crate) fn now(rt: &Runtime<'_>) -> Outcome<DateTime> {
    let utc = match super::datetime::naive(rt.ctx.now().naive_utc()) {
        Val::DateTime(now) => now.wall,
        _ => NaiveDateTime::default(),
    };
    local(rt.ctx.local_zone(), utc)
}

/// A UTC time on the worker's wall clock, without a zone.
fn local(zone: Zone, utc: NaiveDateTime) -> Outcome<DateTime> {
    let local = DateTime::at_utc(utc, Arc::new(TzInfo::Local(zone)))?;
    Ok(DateTime { tz: None, ..local })
}

fn now_in(rt: &Runtime<'_>, args: Args) -> Outcome {
    let [tz] = args.bind("now", ["tz"], 0)?;
    match construct::zone_arg(rt, "now", tz.as_ref())? {
        None => Ok(now(rt)?.into_val()),
        Some(tz) => {
            let utc = now(rt)?.utc(rt.ctx.local_zone())?;
            Ok(DateTime::at_utc(utc, tz)?.into_val())
        }
    }
}

/// A number of seconds since the epoch as a UTC time, rounded to the
/// microsecond.
fn epoch_plus(rt: &Runtime<'_>, seconds: &Val) -> Outcome<NaiveDateTime> {
    if seconds.is_undefined() {
        return Err(rt.undefined(seconds));
    }
    let seconds = match Num::of(seconds) {
        Some(Num::Decimal(_)) | None => {
            return call::wrong("fromtimestamp", "timestamp", "a number", seconds);
        }
        Some(number) => number.to_float()?,
    };
    if !seconds.is_finite() || seconds.abs() > 1e12 {
        return fail("the timestamp is out of range");
    }
    let whole = seconds.floor();
    let micros = ((seconds - whole) * 1e6).round_ties_even();
    let at = Duration::seconds(whole as i64) + Duration::microseconds(micros as i64);
    match NaiveDateTime::default().checked_add_signed(at) {
        Some(at) => Ok(at),
        None => fail("the timestamp is out of range"),
    }
}

fn from_timestamp(rt: &Runtime<'_>, args: Args) -> Outcome<DateTime> {
    let [seconds, tz] = args.bind("fromtimestamp", ["timestamp", "tz"], 1)?;
    let utc = epoch_plus(rt, &seconds.unwrap_or(Val::None))?;
    match construct::zone_arg(rt, "fromtimestamp", tz.as_ref())? {
        Some(tz) => DateTime::at_utc(utc, tz),
        None => local(rt.ctx.local_zone(), utc),
    }
}

fn from_ordinal(rt: &Runtime<'_>, args: Args) -> Outcome<Date> {
    let [ordinal] = args.bind("fromordinal", ["ordinal"], 1)?;
    let ordinal = call::int(rt, "fromordinal", "ordinal", &ordinal.unwrap_or(Val::None))?;
    if ordinal < 1 {
        return fail("fromordinal() counts days from 1");
    }
    Date::from_ordinal(ordinal)
}

fn from_iso_calendar(rt: &Runtime<'_>, args: Args) -> Outcome<Date> {
    let [year, week, day] = args.bind("fromisocalendar", ["year", "week", "day"], 3)?;
    let number =
        |name: &str, value: Option<Val>| call::int(rt, "fromisocalendar", name, &value.unwrap_or(Val::None));
    let day = from_iso_week(number("year", year)?, number("week", week)?, number("day", day)?)?;
    Date::checked(Some(day).filter(|day| day.year() <= 9999))
}

fn strptime_call(rt: &Runtime<'_>, args: Args) -> Outcome {
    let [text, format] = args.bind("strptime", ["date_string", "format"], 2)?;
    let (text, format) = (text.unwrap_or(Val::None), format.unwrap_or(Val::None));
    let text = call::text(rt, "strptime", "date_string", &text)?;
    let format = call::text(rt, "strptime", "format", &format)?;
    Ok(strptime::strptime(rt, text, format)?.into_val())
}

fn combine(rt: &Runtime<'_>, args: Args) -> Outcome {
    let [date, time, tz] = args.bind("combine", ["date", "time", "tzinfo"], 2)?;
    let day = match date {
        Some(Val::Date(date)) => date.0,
        Some(Val::DateTime(at)) => at.wall.date(),
        _ => return fail("combine() needs a date and a time"),
    };
    let Some(Val::Time(time)) = time else {
        return fail("combine() needs a date and a time");
    };
    Ok(DateTime {
        wall: day.and_time(time.time),
        tz: match tz {
            None => time.tz.clone(),
            tz => construct::zone_arg(rt, "combine", tz.as_ref())?,
        },
        fold: time.fold,
    }
    .into_val())
}
