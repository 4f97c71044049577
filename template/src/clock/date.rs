//! `date`.

use std::fmt;

use chrono::{Datelike, NaiveDate};

use crate::fault::{Outcome, fail};

/// The years Python's dates span.
pub(crate) const YEARS: std::ops::RangeInclusive<i32> = 1..=9999;

/// A day of the Gregorian calendar, in the years 1 to 9999.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct Date(pub(crate) NaiveDate);

impl Date {
    pub(crate) fn new(year: i64, month: i64, day: i64) -> Outcome<Self> {
        Ok(Self(ymd(year, month, day)?))
    }

    /// A day that has been computed.
    pub(crate) fn checked(day: Option<NaiveDate>) -> Outcome<Self> {
        match day {
            Some(day) if YEARS.contains(&day.year()) => Ok(Self(day)),
            _ => out_of_range(),
        }
    }

    pub(crate) fn from_ordinal(ordinal: i64) -> Outcome<Self> {
        let days = i32::try_from(ordinal).ok();
        Self::checked(days.and_then(NaiveDate::from_num_days_from_ce_opt))
    }

    pub(crate) fn repr(self) -> String {
        let day = self.0;
        format!("datetime.date({}, {}, {})", day.year(), day.month(), day.day())
    }
}

impl fmt::Display for Date {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let day = self.0;
        write!(f, "{:04}-{:02}-{:02}", day.year(), day.month(), day.day())
    }
}

pub(crate) fn out_of_range<T>() -> Outcome<T> {
    fail("the date is out of range: years go from 1 to 9999")
}

/// A day by year, month and day.
pub(crate) fn ymd(year: i64, month: i64, day: i64) -> Outcome<NaiveDate> {
    let Some(year) = i32::try_from(year).ok().filter(|year| YEARS.contains(year)) else {
        return fail(format!("year {year} is out of range: 1 to 9999"));
    };
    let Some(month) = u32::try_from(month).ok().filter(|month| (1..=12).contains(month)) else {
        return fail(format!("month {month} is out of range: 1 to 12"));
    };
    let found = u32::try_from(day).ok().and_then(|day| NaiveDate::from_ymd_opt(year, month, day));
    match found {
        Some(found) => Ok(found),
        None => fail(format!("day {day} is out of range for the month {year:04}-{month:02}")),
    }
}

/// How many days the month has.
pub(crate) fn days_in_month(year: i32, month: u32) -> u32 {
    let next = if month == 12 { (year + 1, 1) } else { (year, month + 1) };
    NaiveDate::from_ymd_opt(next.0, next.1, 1).and_then(|day| day.pred_opt()).map_or(31, |day| day.day())
}

pub(crate) fn is_leap(year: i32) -> bool {
    year % 4 == 0 && (year % 100 != 0 || year % 400 == 0)
}

/// The day of an ISO year, week and weekday.
pub(crate) fn from_iso_week(year: i64, week: i64, weekday: i64) -> Outcome<NaiveDate> {
    let first = ymd(year, 1, 4)?;
    let weeks = {
        let long = ymd(year, 1, 1)?.weekday() == chrono::Weekday::Thu
            || ymd(year, 12, 31)?.weekday() == chrono::Weekday::Thu;
        if long { 53 } else { 52 }
    };
    if !(1..=weeks).contains(&week) {
        return fail(format!("week {week} is out of range for {year}"));
    }
    if !(1..=7).contains(&weekday) {
        return fail(format!("weekday {weekday} is out of range: 1 to 7"));
    }
    let monday = i64::from(first.num_days_from_ce()) - i64::from(first.weekday().num_days_from_monday());
    Ok(Date::from_ordinal(monday + (week - 1) * 7 + weekday - 1)?.0)
}
