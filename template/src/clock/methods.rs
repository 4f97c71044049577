//! Methods of dates, times, durations and zones.

use std::sync::Arc;

use chrono::{Datelike, Timelike};

use super::construct::zone_arg;
use super::date::{Date, ymd};
use super::datetime::DateTime;
use super::delta::Delta;
use super::strftime::{self, strftime};
use super::time::{Time, clock_text, hms, micros};
use super::zone::TzInfo;
use crate::Zone;
use crate::call::{self, Args};
use crate::fault::{Outcome, fail};
use crate::native::Methods;
use crate::runtime::Runtime;
use crate::value::containers::Fields;
use crate::value::{Tuple, Val};

pub(crate) const DATE: Methods = &[
    ("ctime", ctime),
    ("isocalendar", isocalendar),
    ("isoformat", |_, this, args| {
        args.none("isoformat")?;
        Ok(Val::str(&day_of(this)?.to_string()))
    }),
    ("isoweekday", |_, this, args| weekday(this, args, 1)),
    ("replace", replace_date),
    ("strftime", format),
    ("timetuple", timetuple),
    ("toordinal", toordinal),
    ("weekday", |_, this, args| weekday(this, args, 0)),
];

pub(crate) const DATETIME: Methods = &[
    ("astimezone", astimezone),
    ("date", |_, this, args| {
        args.none("date")?;
        Ok(Val::Date(day_of(this)?))
    }),
    ("dst", dst),
    ("isoformat", isoformat),
    ("replace", replace),
    ("time", |_, this, args| time_of(this, args, false)),
    ("timestamp", timestamp),
    ("timetz", |_, this, args| time_of(this, args, true)),
    ("tzname", tzname),
    ("utcoffset", utcoffset),
    ("utctimetuple", utctimetuple),
];

pub(crate) const DELTA: Methods = &[("total_seconds", total_seconds)];

pub(crate) const RELATIVE: Methods = &[("normalized", |_, this, args| {
    args.none("normalized")?;
    match this {
        Val::Relative(relative) => Ok(Val::Relative(Arc::new(relative.normalized()))),
        other => fail(format!("a {} is not a relativedelta", other.type_name())),
    }
})];

pub(crate) const ZONE: Methods = &[
    ("dst", |rt, this, args| {
        zone_at(rt, this, args, |tz, at| {
            tz.dst(at.wall, at.fold).map_or(Val::None, |dst| Val::Delta(Delta::seconds(dst.into())))
        })
    }),
    ("is_ambiguous", |rt, this, args| zone_at(rt, this, args, |tz, at| Val::Bool(tz.is_ambiguous(at.wall)))),
    ("tzname", |rt, this, args| {
        zone_at(rt, this, args, |tz, at| tz.name(at.wall, at.fold).map_or(Val::None, |name| Val::str(&name)))
    }),
    ("utcoffset", |rt, this, args| {
        zone_at(rt, this, args, |tz, at| Val::Delta(Delta::seconds(tz.offset(at.wall, at.fold).into())))
    }),
];

fn datetime_of(this: &Val) -> Outcome<&Arc<DateTime>> {
    match this {
        Val::DateTime(datetime) => Ok(datetime),
        other => fail(format!("a {} is not a datetime", other.type_name())),
    }
}

fn day_of(this: &Val) -> Outcome<Date> {
    match this {
        Val::Date(date) => Ok(*date),
        other => Ok(datetime_of(other)?.date()),
    }
}

pub(super) fn format(rt: &Runtime<'_>, this: &Val, args: Args) -> Outcome {
    let [format] = args.bind("strftime", ["format"], 1)?;
    let format = format.unwrap_or(Val::None);
    let text = strftime(rt, this, call::text(rt, "strftime", "format", &format)?)?;
    rt.text(text)
}

fn weekday(this: &Val, args: Args, first: i64) -> Outcome {
    args.none("weekday")?;
    Ok(Val::Int(i64::from(day_of(this)?.0.weekday().num_days_from_monday()) + first))
}

fn toordinal(_rt: &Runtime<'_>, this: &Val, args: Args) -> Outcome {
    args.none("toordinal")?;
    Ok(Val::Int(day_of(this)?.0.num_days_from_ce().into()))
}

static ISO_CALENDAR: Fields =
    Fields { type_name: "datetime.IsoCalendarDate", names: &["year", "week", "weekday"] };

static STRUCT_TIME: Fields = Fields {
    type_name: "time.struct_time",
    names: &["tm_year", "tm_mon", "tm_mday", "tm_hour", "tm_min", "tm_sec", "tm_wday", "tm_yday", "tm_isdst"],
};

fn named(fields: &'static Fields, numbers: &[i64]) -> Val {
    Val::Tuple(Arc::new(Tuple {
        items: numbers.iter().map(|number| Val::Int(*number)).collect(),
        named: Some(fields),
    }))
}

fn isocalendar(_rt: &Runtime<'_>, this: &Val, args: Args) -> Outcome {
    args.none("isocalendar")?;
    let day = day_of(this)?.0;
    let week = day.iso_week();
    Ok(named(
        &ISO_CALENDAR,
        &[week.year().into(), week.week().into(), day.weekday().number_from_monday().into()],
    ))
}

fn struct_time(wall: chrono::NaiveDateTime, dst: i64) -> Val {
    let (day, time) = (wall.date(), wall.time());
    named(
        &STRUCT_TIME,
        &[
            day.year().into(),
            day.month().into(),
            day.day().into(),
            time.hour().into(),
            time.minute().into(),
            time.second().into(),
            day.weekday().num_days_from_monday().into(),
            day.ordinal().into(),
            dst,
        ],
    )
}

fn timetuple(_rt: &Runtime<'_>, this: &Val, args: Args) -> Outcome {
    args.none("timetuple")?;
    Ok(match this {
        Val::DateTime(at) => {
            let dst = at.tz.as_ref().and_then(|tz| tz.dst(at.wall, at.fold));
            struct_time(at.wall, dst.map_or(-1, |dst| i64::from(dst != 0)))
        }
        other => struct_time(day_of(other)?.0.and_time(chrono::NaiveTime::MIN), -1),
    })
}

fn utctimetuple(_rt: &Runtime<'_>, this: &Val, args: Args) -> Outcome {
    args.none("utctimetuple")?;
    let at = datetime_of(this)?;
    Ok(struct_time(at.aware_utc().unwrap_or(at.wall), 0))
}

fn ctime(_rt: &Runtime<'_>, this: &Val, args: Args) -> Outcome {
    args.none("ctime")?;
    let wall = match this {
        Val::DateTime(at) => at.wall,
        other => day_of(other)?.0.and_time(chrono::NaiveTime::MIN),
    };
    let (day, time) = (wall.date(), wall.time());
    Ok(Val::str(&format!(
        "{} {} {:2} {:02}:{:02}:{:02} {:04}",
        &strftime::DAYS[day.weekday().num_days_from_monday() as usize % 7][..3],
        &strftime::MONTHS[day.month0() as usize % 12][..3],
        day.day(),
        time.hour(),
        time.minute(),
        time.second(),
        day.year()
    )))
}

fn time_of(this: &Val, args: Args, zoned: bool) -> Outcome {
    args.none("time")?;
    let at = datetime_of(this)?;
    Ok(Val::Time(Arc::new(Time {
        time: at.wall.time(),
        tz: if zoned { at.tz.clone() } else { None },
        fold: at.fold,
    })))
}

/// The worker's zone for what needs a zone of this time: one without a zone asks for it.
fn zone_for(rt: &Runtime<'_>, at: &DateTime) -> Zone {
    if at.tz.is_some() { rt.ctx.zone() } else { rt.ctx.local_zone() }
}

fn timestamp(rt: &Runtime<'_>, this: &Val, args: Args) -> Outcome {
    args.none("timestamp")?;
    let at = datetime_of(this)?;
    Ok(Val::Float(at.timestamp(zone_for(rt, at))?))
}

fn utcoffset(_rt: &Runtime<'_>, this: &Val, args: Args) -> Outcome {
    args.none("utcoffset")?;
    let offset = datetime_of(this)?.offset();
    Ok(offset.map_or(Val::None, |offset| Val::Delta(Delta::seconds(offset.into()))))
}

fn tzname(_rt: &Runtime<'_>, this: &Val, args: Args) -> Outcome {
    args.none("tzname")?;
    Ok(datetime_of(this)?.tz_name().map_or(Val::None, |name| Val::str(&name)))
}

fn dst(_rt: &Runtime<'_>, this: &Val, args: Args) -> Outcome {
    args.none("dst")?;
    let at = datetime_of(this)?;
    let dst = at.tz.as_ref().and_then(|tz| tz.dst(at.wall, at.fold));
    Ok(dst.map_or(Val::None, |dst| Val::Delta(Delta::seconds(dst.into()))))
}

fn isoformat(rt: &Runtime<'_>, this: &Val, args: Args) -> Outcome {
    let [separator, timespec] = args.bind("isoformat", ["sep", "timespec"], 0)?;
    let separator = separator.unwrap_or_else(|| Val::str("T"));
    let separator = call::text(rt, "isoformat", "sep", &separator)?;
    if separator.chars().count() != 1 {
        return fail("isoformat() needs a separator of one character");
    }
    let timespec = timespec.unwrap_or_else(|| Val::str("auto"));
    let timespec = call::text(rt, "isoformat", "timespec", &timespec)?;
    clock_text(chrono::NaiveTime::MIN, timespec)?;
    Ok(Val::str(&datetime_of(this)?.isoformat(separator, timespec)))
}

fn astimezone(rt: &Runtime<'_>, this: &Val, args: Args) -> Outcome {
    let [tz] = args.bind("astimezone", ["tz"], 0)?;
    let at = datetime_of(this)?;
    let mut utc = at.utc(zone_for(rt, at))?;
    if at.tz.is_none() {
        // Python takes the offset that the worker's zone has then: not that of before a gap, for a time within it.
        let local = DateTime::at_utc(utc, Arc::new(TzInfo::Local(rt.ctx.local_zone())))?;
        let own = DateTime { tz: Some(Arc::new(fixed(&local))), ..DateTime::clone(at) };
        utc = own.utc(rt.ctx.local_zone())?;
    }
    if let Some(tz) = zone_arg(rt, "astimezone", tz.as_ref())? {
        if at.tz.as_ref().is_some_and(|own| Arc::ptr_eq(own, &tz)) {
            return Ok(this.clone());
        }
        return Ok(DateTime::at_utc(utc, tz)?.into_val());
    }
    // Without a zone, Python gives the worker's as a fixed offset.
    let local = DateTime::at_utc(utc, Arc::new(TzInfo::Local(rt.ctx.local_zone())))?;
    Ok(DateTime { tz: Some(Arc::new(fixed(&local))), fold: false, ..local }.into_val())
}

/// The zone of a time as a fixed offset.
fn fixed(at: &DateTime) -> TzInfo {
    TzInfo::Fixed { seconds: at.offset().unwrap_or(0), name: at.tz_name().map(Into::into) }
}

fn replace_date(rt: &Runtime<'_>, this: &Val, args: Args) -> Outcome {
    let [year, month, day] = args.bind("replace", ["year", "month", "day"], 0)?;
    let own = day_of(this)?.0;
    Ok(Val::Date(Date::new(
        call::int_or(rt, "replace", "year", year.as_ref(), own.year().into())?,
        call::int_or(rt, "replace", "month", month.as_ref(), own.month().into())?,
        call::int_or(rt, "replace", "day", day.as_ref(), own.day().into())?,
    )?))
}

fn replace(rt: &Runtime<'_>, this: &Val, args: Args) -> Outcome {
    let [year, month, day, hour, minute, second, micro, tz, fold] = args.bind(
        "replace",
        ["year", "month", "day", "hour", "minute", "second", "microsecond", "tzinfo", "fold"],
        0,
    )?;
    let at = datetime_of(this)?;
    let (date, time) = (at.wall.date(), at.wall.time());
    let part = |name: &str, value: Option<&Val>, own: i64| call::int_or(rt, "replace", name, value, own);
    let date = ymd(
        part("year", year.as_ref(), date.year().into())?,
        part("month", month.as_ref(), date.month().into())?,
        part("day", day.as_ref(), date.day().into())?,
    )?;
    let time = hms(
        part("hour", hour.as_ref(), time.hour().into())?,
        part("minute", minute.as_ref(), time.minute().into())?,
        part("second", second.as_ref(), time.second().into())?,
        part("microsecond", micro.as_ref(), micros(time).into())?,
    )?;
    Ok(DateTime {
        wall: date.and_time(time),
        tz: match tz {
            None => at.tz.clone(),
            tz => zone_arg(rt, "replace", tz.as_ref())?,
        },
        fold: fold.map_or(at.fold, |fold| fold.truth()),
    }
    .into_val())
}

fn total_seconds(_rt: &Runtime<'_>, this: &Val, args: Args) -> Outcome {
    args.none("total_seconds")?;
    match this {
        Val::Delta(delta) => Ok(Val::Float(delta.total_seconds())),
        other => fail(format!("a {} is not a timedelta", other.type_name())),
    }
}

fn zone_at(_rt: &Runtime<'_>, this: &Val, args: Args, get: fn(&TzInfo, &DateTime) -> Val) -> Outcome {
    let [at] = args.bind("utcoffset", ["dt"], 1)?;
    match (this, &at) {
        (Val::Zone(zone), Some(Val::DateTime(at))) => Ok(get(zone, at)),
        (Val::Zone(zone), Some(Val::None)) if zone.fixed_offset().is_some() => {
            Ok(get(zone, &DateTime::new(chrono::NaiveDateTime::default(), None)))
        }
        (_, Some(Val::None)) => Ok(Val::None),
        _ => fail("a zone needs a datetime to look at"),
    }
}
