//! The data attributes of dates, times and durations.

use std::sync::Arc;

use chrono::{Datelike, Timelike};

use super::relative::{ABSOLUTE, RELATIVE};
use super::time::micros;
use crate::value::Val;

const DATE: &[&str] = &["year", "month", "day"];
const TIME: &[&str] = &["hour", "minute", "second", "microsecond", "tzinfo", "fold"];
const DATETIME: &[&str] =
    &["year", "month", "day", "hour", "minute", "second", "microsecond", "tzinfo", "fold"];
const DELTA: &[&str] = &["days", "seconds", "microseconds"];
const RELATIVE_NAMES: &[&str] = &[
    "years",
    "months",
    "days",
    "leapdays",
    "hours",
    "minutes",
    "seconds",
    "microseconds",
    "weeks",
    "year",
    "month",
    "day",
    "hour",
    "minute",
    "second",
    "microsecond",
    "weekday",
];

/// The names of the data attributes.
pub(crate) fn names(value: &Val) -> &'static [&'static str] {
    match value {
        Val::Date(_) => DATE,
        Val::Time(_) => TIME,
        Val::DateTime(_) => DATETIME,
        Val::Delta(_) => DELTA,
        Val::Relative(_) => RELATIVE_NAMES,
        Val::Weekday(_) => &["weekday", "n"],
        _ => &[],
    }
}

/// A data attribute.
pub(crate) fn field(value: &Val, name: &str) -> Option<Val> {
    match value {
        Val::Date(date) => day_field(date.0, name),
        Val::Time(time) => {
            clock_field(time.time, name).or_else(|| zone_field(time.tz.as_ref(), time.fold, name))
        }
        Val::DateTime(datetime) => day_field(datetime.wall.date(), name)
            .or_else(|| clock_field(datetime.wall.time(), name))
            .or_else(|| zone_field(datetime.tz.as_ref(), datetime.fold, name)),
        Val::Delta(delta) => Some(Val::Int(match name {
            "days" => delta.days(),
            "seconds" => delta.second_part(),
            "microseconds" => delta.micro_part(),
            _ => return None,
        })),
        Val::Relative(relative) => {
            if let Some(at) = RELATIVE.iter().position(|known| *known == name) {
                return Some(number(relative.amounts()[at]));
            }
            if let Some(at) = ABSOLUTE.iter().position(|known| *known == name) {
                return Some(relative.absolute[at].map_or(Val::None, Val::Int));
            }
            match name {
                "weeks" => Some(number((relative.days / 7.0).trunc())),
                "weekday" => Some(relative.weekday.map_or(Val::None, Val::Weekday)),
                _ => None,
            }
        }
        Val::Weekday(weekday) => match name {
            "weekday" => Some(Val::Int(weekday.day.into())),
            "n" => Some(weekday.n.map_or(Val::None, |n| Val::Int(n.into()))),
            _ => None,
        },
        _ => None,
    }
}

/// A whole amount as an int.
pub(crate) fn number(amount: f64) -> Val {
    if amount.fract() == 0.0 && amount.abs() < 9e15 { Val::Int(amount as i64) } else { Val::Float(amount) }
}

fn day_field(day: chrono::NaiveDate, name: &str) -> Option<Val> {
    Some(Val::Int(match name {
        "year" => day.year().into(),
        "month" => day.month().into(),
        "day" => day.day().into(),
        _ => return None,
    }))
}

fn clock_field(time: chrono::NaiveTime, name: &str) -> Option<Val> {
    Some(Val::Int(match name {
        "hour" => time.hour().into(),
        "minute" => time.minute().into(),
        "second" => time.second().into(),
        "microsecond" => micros(time).into(),
        _ => return None,
    }))
}

fn zone_field(tz: Option<&Arc<super::zone::TzInfo>>, fold: bool, name: &str) -> Option<Val> {
    match name {
        "tzinfo" => Some(tz.map_or(Val::None, |tz| Val::Zone(Arc::clone(tz)))),
        "fold" => Some(Val::Int(fold.into())),
        _ => None,
    }
}
