//! From what was found to a datetime.

use std::sync::Arc;

use chrono::{Datelike, Timelike};

use super::reader::Found;
use super::words;
use crate::call::{self, Args};
use crate::clock::date::{days_in_month, ymd};
use crate::clock::datetime::DateTime;
use crate::clock::relative::{RelativeDelta, Weekday};
use crate::clock::time::{hms, micros};
use crate::clock::zone::{TzInfo, worker_names};
use crate::fault::{Outcome, fail};
use crate::runtime::Runtime;
use crate::value::undefined::with_article;
use crate::value::{Val, compare};

/// The date and time found, with the rest from `default`, else from the
/// midnight that today began with.
pub(super) fn build(
    rt: &Runtime<'_>,
    found: &Found,
    default: Option<&Val>,
    now: &DateTime,
) -> Outcome<DateTime> {
    let default = match default {
        None | Some(Val::None) => DateTime::new(now.wall.date().and_time(chrono::NaiveTime::MIN), None),
        Some(Val::DateTime(default)) => (**default).clone(),
        Some(value @ Val::Undefined(_)) => return Err(rt.undefined(value)),
        Some(other) => {
            return fail(format!("the default must be a datetime, not {}", with_article(other.type_name())));
        }
    };
    let (date, time) = (default.wall.date(), default.wall.time());
    let year = found.year.unwrap_or(date.year().into());
    let month = found.month.unwrap_or(date.month().into());
    ymd(year, month, 1)?;
    let day = match found.day {
        Some(day) => day,
        // The default's day may not exist in the month found.
        None => i64::from(date.day().min(days_in_month(year as i32, month as u32))),
    };
    let date = ymd(year, month, day)?;
    let time = hms(
        found.hour.unwrap_or(time.hour().into()),
        found.minute.unwrap_or(time.minute().into()),
        found.second.unwrap_or(time.second().into()),
        found.micro.unwrap_or(micros(time).into()),
    )?;
    let built = DateTime { wall: date.and_time(time), tz: default.tz, fold: default.fold };
    match found.weekday {
        Some(weekday) if found.day.is_none_or(|day| day == 0) => {
            let relative = RelativeDelta { weekday: Some(Weekday::new(weekday)), ..RelativeDelta::default() };
            relative.shift(&built)
        }
        _ => Ok(built),
    }
}

/// The time with the zone that was found.
pub(super) fn with_zone(
    rt: &Runtime<'_>,
    naive: DateTime,
    found: &Found,
    tzinfos: Option<&Val>,
) -> Outcome<DateTime> {
    let name = found.zone.as_deref();
    if let Some(zone) = given_zone(rt, found, tzinfos)? {
        return Ok(named(DateTime { tz: zone, ..naive }, name));
    }
    if let Some(name) = name
        && worker_names(rt.ctx.local_zone(), rt.ctx.about_now()).iter().any(|known| known == name)
    {
        let local = Arc::new(TzInfo::Local(rt.ctx.local_zone()));
        let aware = named(DateTime { tz: Some(local), ..naive.clone() }, Some(name));
        if aware.tz_name().as_deref() != Some(name) && words::is_listed_utc(name) {
            return Ok(DateTime { tz: Some(Arc::new(TzInfo::TzUtc)), ..naive });
        }
        return Ok(aware);
    }
    Ok(match found.offset {
        Some(0) => DateTime { tz: Some(Arc::new(TzInfo::TzUtc)), ..naive },
        Some(offset) => {
            if offset.abs() >= 86_400 {
                return fail("the zone's offset must be less than a day");
            }
            let zone = TzInfo::Offset { name: name.map(Into::into), seconds: offset as i32 };
            DateTime { tz: Some(Arc::new(zone)), ..naive }
        }
        // A name that says nothing is passed over.
        None => naive,
    })
}

/// The second of two equal times, if only that goes by the name.
fn named(at: DateTime, name: Option<&str>) -> DateTime {
    if at.tz_name().as_deref() == name {
        return at;
    }
    let second = DateTime { fold: true, ..at.clone() };
    if second.tz_name().as_deref() == name { second } else { at }
}

/// The zone that `tzinfos` gives for the name found.
fn given_zone(
    rt: &Runtime<'_>,
    found: &Found,
    tzinfos: Option<&Val>,
) -> Outcome<Option<Option<Arc<TzInfo>>>> {
    let name = found.zone.as_deref().map_or(Val::None, Val::str);
    let value = match tzinfos {
        None | Some(Val::None) => return Ok(None),
        Some(Val::Dict(dict)) => match dict.read().get(&compare::key(rt, &name)?) {
            Some(value) => value.clone(),
            None => return Ok(None),
        },
        Some(function) => {
            let offset = found.offset.map_or(Val::None, Val::Int);
            call::call_value(rt, function, Args::of(vec![name.clone(), offset]))?
        }
    };
    match value {
        Val::None => Ok(Some(None)),
        Val::Zone(zone) => Ok(Some(Some(zone))),
        Val::Int(seconds) if seconds.abs() < 86_400 => {
            let name = found.zone.as_deref().map(Into::into);
            Ok(Some(Some(Arc::new(TzInfo::Offset { name, seconds: seconds as i32 }))))
        }
        other => {
            fail(format!("tzinfos must give a zone or seconds, not {}", with_article(other.type_name())))
        }
    }
}
