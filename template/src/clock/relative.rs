//! dateutil's `relativedelta`, and its weekdays.

use std::fmt;

use chrono::{Datelike, Timelike};

use super::date::{Date, days_in_month, is_leap, ymd};
use super::datetime::DateTime;
use super::delta::{Delta, Parts};
use super::time::{hms, micros};
use crate::call::{Args, int};
use crate::fault::{Outcome, fail};
use crate::format::number::float_body;
use crate::format::spec::Spec;
use crate::runtime::Runtime;
use crate::value::{Decimal, Val};

/// The names of the relative fields, in the order `repr` shows them.
pub(crate) const RELATIVE: [&str; 8] =
    ["years", "months", "days", "leapdays", "hours", "minutes", "seconds", "microseconds"];
/// The names of the absolute fields; the weekday comes after `day`.
pub(crate) const ABSOLUTE: [&str; 7] = ["year", "month", "day", "hour", "minute", "second", "microsecond"];

/// A weekday, or its nth occurrence: `MO`, `MO(-1)`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Weekday {
    pub(crate) day: u8,
    pub(crate) n: Option<i32>,
}

impl Weekday {
    pub(crate) const fn new(day: u8) -> Self {
        Self { day, n: None }
    }

    /// `weekday(day, n)`: 0 is Monday.
    pub(crate) fn new_call(rt: &Runtime<'_>, args: Args) -> Outcome {
        let [day, n] = args.bind("weekday", ["weekday", "n"], 1)?;
        let day = int(rt, "weekday", "weekday", &day.unwrap_or(Val::None))?;
        let Some(day) = u8::try_from(day).ok().filter(|day| *day < 7) else {
            return fail(format!("weekday(): {day} is not a day of the week: 0 is Monday, 6 is Sunday"));
        };
        match n.filter(|n| !n.is_none()) {
            Some(n) => Self::new(day).call(rt, Args::of(vec![n])),
            None => Ok(Val::Weekday(Self::new(day))),
        }
    }

    /// `MO(n)`.
    pub(crate) fn call(self, rt: &Runtime<'_>, args: Args) -> Outcome {
        let [n] = args.bind("weekday", ["n"], 1)?;
        let n = int(rt, "weekday", "n", &n.unwrap_or(Val::None))?;
        match i32::try_from(n) {
            Ok(n) => Ok(Val::Weekday(Self { day: self.day, n: Some(n) })),
            Err(_) => fail("the weekday's n is out of range"),
        }
    }
}

impl fmt::Display for Weekday {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names = ["MO", "TU", "WE", "TH", "FR", "SA", "SU"];
        f.write_str(names[usize::from(self.day) % 7])?;
        match self.n {
            Some(0) | None => Ok(()),
            Some(n) => write!(f, "({n:+})"),
        }
    }
}

/// A shift by calendar units, and fields to set. Amounts may be fractions, except years and months.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct RelativeDelta {
    pub(crate) years: f64,
    pub(crate) months: f64,
    pub(crate) days: f64,
    pub(crate) leapdays: f64,
    pub(crate) hours: f64,
    pub(crate) minutes: f64,
    pub(crate) seconds: f64,
    pub(crate) microseconds: f64,
    /// In the order of [`ABSOLUTE`].
    pub(crate) absolute: [Option<i64>; 7],
    pub(crate) weekday: Option<Weekday>,
}

impl RelativeDelta {
    pub(crate) fn amounts(&self) -> [f64; 8] {
        [
            self.years,
            self.months,
            self.days,
            self.leapdays,
            self.hours,
            self.minutes,
            self.seconds,
            self.microseconds,
        ]
    }

    pub(crate) fn truth(&self) -> bool {
        self.amounts().iter().any(|amount| *amount != 0.0)
            || self.absolute.iter().any(Option::is_some)
            || self.weekday.is_some()
    }

    /// Carries what is too much for a unit over to the next, keeping signs.
    pub(crate) fn fixed(mut self) -> Self {
        fn carry(low: &mut f64, high: &mut f64, size: f64) {
            if low.abs() > size - 1.0 {
                let (sign, amount) = (low.signum(), low.abs());
                let over = (amount / size).floor();
                *low = (amount - over * size) * sign;
                *high += over * sign;
            }
        }
        carry(&mut self.microseconds, &mut self.seconds, 1_000_000.0);
        carry(&mut self.seconds, &mut self.minutes, 60.0);
        carry(&mut self.minutes, &mut self.hours, 60.0);
        carry(&mut self.hours, &mut self.days, 24.0);
        carry(&mut self.months, &mut self.years, 12.0);
        self
    }

    /// The same in whole units: the rest of each goes to the next smaller.
    pub(crate) fn normalized(&self) -> Self {
        let round = |number: f64, places| {
            Decimal::from_float(number).map_or(number, |exact| exact.round_to(places).to_float())
        };
        let days = self.days.trunc();
        let hours = round(self.hours + 24.0 * (self.days - days), 11);
        let minutes = round(self.minutes + 60.0 * (hours - hours.trunc()), 10);
        let seconds = round(self.seconds + 60.0 * (minutes - minutes.trunc()), 8);
        let micros = round(self.microseconds + 1e6 * (seconds - seconds.trunc()), 0);
        Self {
            days,
            hours: hours.trunc(),
            minutes: minutes.trunc(),
            seconds: seconds.trunc(),
            microseconds: micros,
            ..self.clone()
        }
        .fixed()
    }

    fn has_time(&self) -> bool {
        [self.hours, self.minutes, self.seconds, self.microseconds].iter().any(|part| *part != 0.0)
            || self.absolute[3..].iter().any(Option::is_some)
    }

    fn combined(&self, other: &Self, sign: f64, first: &Self, second: &Self) -> Self {
        let mut absolute = first.absolute;
        for (mine, theirs) in absolute.iter_mut().zip(second.absolute) {
            *mine = mine.or(theirs);
        }
        Self {
            years: self.years + sign * other.years,
            months: self.months + sign * other.months,
            days: self.days + sign * other.days,
            leapdays: if first.leapdays == 0.0 { second.leapdays } else { first.leapdays },
            hours: self.hours + sign * other.hours,
            minutes: self.minutes + sign * other.minutes,
            seconds: self.seconds + sign * other.seconds,
            microseconds: self.microseconds + sign * other.microseconds,
            absolute,
            weekday: first.weekday.or(second.weekday),
        }
        .fixed()
    }

    pub(crate) fn plus(&self, other: &Self) -> Self {
        self.combined(other, 1.0, other, self)
    }

    pub(crate) fn minus(&self, other: &Self) -> Self {
        self.combined(other, -1.0, self, other)
    }

    pub(crate) fn plus_delta(&self, delta: Delta) -> Self {
        Self {
            days: self.days + delta.days() as f64,
            seconds: self.seconds + delta.second_part() as f64,
            microseconds: self.microseconds + delta.micro_part() as f64,
            ..self.clone()
        }
        .fixed()
    }

    /// Each amount times `factor`, towards zero; fields to set stay.
    pub(crate) fn scaled(&self, factor: f64) -> Self {
        let scale = |amount: f64| {
            let scaled = amount * factor;
            if factor == -1.0 { scaled } else { scaled.trunc() }
        };
        Self {
            years: scale(self.years),
            months: scale(self.months),
            days: scale(self.days),
            hours: scale(self.hours),
            minutes: scale(self.minutes),
            seconds: scale(self.seconds),
            microseconds: scale(self.microseconds),
            ..self.clone()
        }
        .fixed()
    }

    pub(crate) fn abs(&self) -> Self {
        Self {
            years: self.years.abs(),
            months: self.months.abs(),
            days: self.days.abs(),
            hours: self.hours.abs(),
            minutes: self.minutes.abs(),
            seconds: self.seconds.abs(),
            microseconds: self.microseconds.abs(),
            ..self.clone()
        }
    }

    /// The shift applied to a date or datetime; `None` for anything else.
    pub(crate) fn added_to(&self, value: &Val) -> Outcome<Option<Val>> {
        Ok(Some(match value {
            Val::Date(date) if self.has_time() => {
                let midnight = DateTime::new(date.0.and_time(chrono::NaiveTime::MIN), None);
                self.shift(&midnight)?.into_val()
            }
            Val::Date(date) => {
                let midnight = DateTime::new(date.0.and_time(chrono::NaiveTime::MIN), None);
                Val::Date(self.shift(&midnight)?.date())
            }
            Val::DateTime(datetime) => self.shift(datetime)?.into_val(),
            _ => return Ok(None),
        }))
    }

    pub(crate) fn shift(&self, from: &DateTime) -> Outcome<DateTime> {
        let [year, month, day, hour, minute, second, micro] = self.absolute;
        let (date, time) = (from.wall.date(), from.wall.time());
        // A zero counts as not given.
        let set = |field: Option<i64>, own: i64| field.filter(|value| *value != 0).unwrap_or(own);
        let mut year = set(year, date.year().into()) + self.years as i64;
        let mut month = set(month, date.month().into()) + self.months as i64;
        // Only months that were counted carry over; a month to set must exist.
        if self.months != 0.0 {
            if month > 12 {
                year += 1;
                month -= 12;
            } else if month < 1 {
                year -= 1;
                month += 12;
            }
        }
        ymd(year, month, 1)?;
        let last = i64::from(days_in_month(year as i32, month as u32));
        let day = ymd(year, month, set(day, date.day().into()).min(last))?;
        let time = hms(
            hour.unwrap_or(time.hour().into()),
            minute.unwrap_or(time.minute().into()),
            second.unwrap_or(time.second().into()),
            micro.unwrap_or(micros(time).into()),
        )?;
        let mut days = self.days;
        if self.leapdays != 0.0 && month > 2 && is_leap(year as i32) {
            days += self.leapdays;
        }
        let mut parts = Parts::default();
        for (amount, unit) in [
            (days, 86_400_000_000),
            (self.hours, 3_600_000_000),
            (self.minutes, 60_000_000),
            (self.seconds, 1_000_000),
            (self.microseconds, 1),
        ] {
            parts.add_float(amount, unit)?;
        }
        let shifted = DateTime::new(day.and_time(time), from.tz.clone()).plus(parts.finish()?)?;
        match self.weekday {
            Some(weekday) => to_weekday(&shifted, weekday),
            None => Ok(shifted),
        }
    }

    pub(crate) fn repr(&self) -> String {
        let mut parts = Vec::new();
        for (name, amount) in RELATIVE.iter().zip(self.amounts()) {
            if amount != 0.0 {
                let text = float_body(amount, Some('g'), &Spec::default()).unwrap_or_default();
                let sign = if amount < 0.0 { "" } else { "+" };
                parts.push(format!("{name}={sign}{text}"));
            }
        }
        for (at, (name, value)) in ABSOLUTE.iter().zip(self.absolute).enumerate() {
            if let (3, Some(weekday)) = (at, self.weekday) {
                parts.push(format!("weekday={weekday}"));
            }
            if let Some(value) = value {
                parts.push(format!("{name}={value}"));
            }
        }
        format!("relativedelta({})", parts.join(", "))
    }

    /// The date part of a value, as a datetime.
    pub(crate) fn midnight(value: &Val) -> Option<DateTime> {
        match value {
            Val::Date(Date(day)) => Some(DateTime::new(day.and_time(chrono::NaiveTime::MIN), None)),
            Val::DateTime(datetime) => Some((**datetime).clone()),
            _ => None,
        }
    }
}

/// The nth such weekday from a time on, that day included; backwards for a
/// negative n.
fn to_weekday(from: &DateTime, weekday: Weekday) -> Outcome<DateTime> {
    let n = i64::from(weekday.n.filter(|n| *n != 0).unwrap_or(1));
    let today = i64::from(from.wall.weekday().num_days_from_monday());
    let wanted = i64::from(weekday.day);
    let weeks = (n.abs() - 1) * 7;
    let days = if n > 0 {
        weeks + (7 - today + wanted).rem_euclid(7)
    } else {
        -(weeks + (today - wanted).rem_euclid(7))
    };
    from.plus(Delta::seconds(days.clamp(-10_000_000, 10_000_000) * 86_400))
}
