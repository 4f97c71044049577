//! Making a rule, and showing it.

use std::sync::Arc;

use chrono::{Datelike, NaiveTime, Timelike};
use num_integer::Integer;

use super::{Freq, Rule};
use crate::call::{self, Args};
use crate::clock::classes;
use crate::clock::datetime::DateTime;
use crate::clock::relative::Weekday;
use crate::eval::objects::Object;
use crate::fault::{Outcome, fail};
use crate::runtime::Runtime;
use crate::value::Val;

/// The parameters, in their order.
const NAMES: [&str; 17] = [
    "freq",
    "dtstart",
    "interval",
    "wkst",
    "count",
    "until",
    "bysetpos",
    "bymonth",
    "bymonthday",
    "byyearday",
    "byeaster",
    "byweekno",
    "byweekday",
    "byhour",
    "byminute",
    "bysecond",
    "cache",
];

/// Numbers that one parameter may list.
const MOST_NUMBERS: usize = 1_000;

/// `rrule(freq, dtstart, interval, …)`.
pub(super) fn rrule(rt: &Runtime<'_>, args: Args) -> Outcome {
    let values = args.bind("rrule", NAMES, 1)?;
    let given = NAMES
        .into_iter()
        .zip(values)
        .filter_map(|(name, value)| Some((name, value.filter(|value| !value.is_none())?)))
        .collect();
    made(rt, given)
}

/// `rule.replace(…)`: the same rule but for some parameters.
pub(super) fn replaced(rt: &Runtime<'_>, rule: &Rule, args: Args) -> Outcome {
    if !args.pos.is_empty() {
        return fail("replace() takes named parameters only");
    }
    let values = args.bind("replace", NAMES, 0)?;
    let mut given = rule.given.clone();
    for (name, value) in NAMES.into_iter().zip(values) {
        if let Some(value) = value {
            given.retain(|(known, _)| *known != name);
            if !value.is_none() {
                given.push((name, value));
            }
        }
    }
    // Python keeps the moment that was taken where none was given.
    if !given.iter().any(|(name, _)| *name == "dtstart") {
        given.push(("dtstart", rule.start.clone().into_val()));
    }
    made(rt, given)
}

/// Whole seconds of a date or time.
fn moment(name: &str, value: &Val) -> Outcome<DateTime> {
    match value {
        Val::Date(date) => Ok(DateTime::new(date.0.and_time(NaiveTime::MIN), None)),
        Val::DateTime(at) => Ok((**at).clone()),
        other => call::wrong("rrule", name, "a datetime or date", other),
    }
}

fn whole_second(at: DateTime) -> DateTime {
    DateTime { wall: at.wall.with_nanosecond(0).unwrap_or(at.wall), ..at }
}

fn made(rt: &Runtime<'_>, given: Vec<(&'static str, Val)>) -> Outcome {
    let of = |name: &str| given.iter().find(|(known, _)| *known == name).map(|(_, value)| value);
    let int = |name: &str| of(name).map(|value| call::int(rt, "rrule", name, value)).transpose();
    let freq = int("freq")?.and_then(|freq| usize::try_from(freq).ok()).and_then(|freq| Freq::ALL.get(freq));
    let Some((freq, _)) = freq.copied() else {
        return fail("rrule() needs a frequency from YEARLY to SECONDLY");
    };
    let until = of("until").map(|value| moment("until", value)).transpose()?;
    let start = match of("dtstart") {
        Some(value) => moment("dtstart", value)?,
        None => match until.as_ref().and_then(|until| until.tz.clone()) {
            Some(tz) => DateTime::at_utc(rt.ctx.now().naive_utc(), tz)?,
            None => classes::now(rt)?,
        },
    };
    let start = whole_second(start);
    if until.as_ref().is_some_and(|until| until.tz.is_some() != start.tz.is_some()) {
        return fail("rrule(): \"until\" needs a zone as \"dtstart\" has one, or neither");
    }
    let interval = int("interval")?.unwrap_or(1);
    if !(1..=1_000_000).contains(&interval) {
        return fail("rrule(): \"interval\" must be at least 1");
    }
    let week_start = match of("wkst") {
        Some(Val::Weekday(weekday)) => weekday.day.into(),
        Some(value) => weekday(rt, "wkst", value)?,
        None => 0,
    };
    let numbers = |name: &'static str| numbers(rt, name, of(name));
    let mut rule = Rule {
        freq,
        interval,
        week_start,
        count: int("count")?,
        until,
        never: false,
        positions: numbers("bysetpos")?.unwrap_or_default(),
        months: sorted(numbers("bymonth")?.unwrap_or_default()),
        month_days: sorted(numbers("bymonthday")?.unwrap_or_default()),
        year_days: sorted(numbers("byyearday")?.unwrap_or_default()),
        easters: sorted(numbers("byeaster")?.unwrap_or_default()),
        weeks: sorted(numbers("byweekno")?.unwrap_or_default()),
        weekdays: Vec::new(),
        numbered: Vec::new(),
        hours: numbers("byhour")?,
        minutes: numbers("byminute")?,
        seconds: numbers("bysecond")?,
        given: Vec::new(),
        start,
    };
    if rule.positions.iter().any(|at| *at == 0 || at.abs() > 366) {
        return fail("rrule(): \"bysetpos\" must be between 1 and 366, or between -366 and -1");
    }
    weekdays(rt, &mut rule, of("byweekday"))?;
    let dated = ["byweekno", "byyearday", "bymonthday", "byweekday", "byeaster"];
    if dated.iter().all(|name| of(name).is_none()) {
        rule.date_of_start(of("bymonth").is_none());
    }
    rule.clock_of_start()?;
    // Day 0 of a month is no condition (dateutil: neither of the days from the start nor of those from the end).
    rule.month_days.retain(|day| *day != 0);
    rule.never = rule.asks_for_the_impossible();
    rule.given = given;
    Ok(Val::Object(Arc::new(Object::Rule(Box::new(rule)))))
}

/// The numbers of a parameter: one, or a list.
fn numbers(rt: &Runtime<'_>, name: &'static str, value: Option<&Val>) -> Outcome<Option<Vec<i64>>> {
    let list = match value {
        None => return Ok(None),
        Some(value @ (Val::Int(_) | Val::Bool(_))) => vec![value.clone()],
        Some(value) => rt.items(value)?,
    };
    if list.len() > MOST_NUMBERS {
        return fail(format!("rrule(): \"{name}\" lists more than {MOST_NUMBERS} numbers"));
    }
    list.iter().map(|number| call::int(rt, "rrule", name, number)).collect::<Outcome<Vec<i64>>>().map(Some)
}

fn sorted(mut numbers: Vec<i64>) -> Vec<i64> {
    numbers.sort_unstable();
    numbers.dedup();
    numbers
}

fn weekdays(rt: &Runtime<'_>, rule: &mut Rule, value: Option<&Val>) -> Outcome<()> {
    let list = match value {
        None => return Ok(()),
        Some(value @ (Val::Int(_) | Val::Weekday(_))) => vec![value.clone()],
        Some(value) => rt.items(value)?,
    };
    if list.len() > MOST_NUMBERS {
        return fail(format!("rrule(): \"byweekday\" lists more than {MOST_NUMBERS} days"));
    }
    for day in &list {
        match day {
            Val::Weekday(Weekday { day, n: Some(n) }) if *n != 0 && rule.freq <= Freq::Monthly => {
                rule.numbered.push(((*day).into(), (*n).into()));
            }
            Val::Weekday(Weekday { n: Some(0), .. }) => return fail("rrule(): a weekday's n is never 0"),
            Val::Weekday(weekday) => rule.weekdays.push(weekday.day.into()),
            other => rule.weekdays.push(weekday(rt, "byweekday", other)?),
        }
    }
    rule.weekdays = sorted(std::mem::take(&mut rule.weekdays));
    rule.numbered.sort_unstable();
    rule.numbered.dedup();
    Ok(())
}

/// A day of the week by its number, from 0 for Monday.
fn weekday(rt: &Runtime<'_>, name: &'static str, value: &Val) -> Outcome<i64> {
    match call::int(rt, "rrule", name, value)? {
        day @ 0..=6 => Ok(day),
        day => fail(format!("rrule(): {name} has {day}, which is not a weekday: 0 is Monday, 6 Sunday")),
    }
}

impl Rule {
    /// Whether a list has nothing but numbers that no date has: dateutil looks through all years for them.
    fn asks_for_the_impossible(&self) -> bool {
        let none_within = |list: &[i64], most: i64, back: bool| {
            let least = if back { -most } else { 1 };
            let is_possible = |number: &i64| (least..=most).contains(number) && *number != 0;
            !list.is_empty() && !list.iter().any(is_possible)
        };
        none_within(&self.months, 12, false)
            || none_within(&self.month_days, 31, true)
            || none_within(&self.year_days, 366, true)
            || none_within(&self.weeks, 53, true)
            || [&self.hours, &self.minutes, &self.seconds].into_iter().flatten().any(Vec::is_empty)
    }

    /// Without days of its own a rule recurs on the day it starts.
    fn date_of_start(&mut self, any_month: bool) {
        let day = self.start.wall.date();
        match self.freq {
            Freq::Yearly => {
                if any_month {
                    self.months = vec![day.month().into()];
                }
                self.month_days = vec![day.day().into()];
            }
            Freq::Monthly => self.month_days = vec![day.day().into()],
            Freq::Weekly => self.weekdays = vec![day.weekday().num_days_from_monday().into()],
            _ => {}
        }
    }

    /// Without times of its own a rule recurs at the time it starts.
    fn clock_of_start(&mut self) -> Outcome<()> {
        let time = self.start.wall.time();
        let (freq, interval) = (self.freq, self.interval);
        for (numbers, unit, now, base) in [
            (&mut self.hours, Freq::Hourly, time.hour(), 24),
            (&mut self.minutes, Freq::Minutely, time.minute(), 60),
            (&mut self.seconds, Freq::Secondly, time.second(), 60),
        ] {
            let now = i64::from(now);
            *numbers = match numbers.take() {
                None if freq < unit => Some(vec![now]),
                None => None,
                Some(given) => {
                    let step = interval.gcd(&base);
                    let reached = |number: &i64| freq != unit || (number - now).rem_euclid(step) == 0;
                    let kept: Vec<i64> = given.into_iter().filter(reached).collect();
                    if kept.is_empty() && freq == unit {
                        return fail("rrule(): the rule never recurs at one of its times");
                    }
                    if kept.iter().any(|number| !(0..base).contains(number)) {
                        return fail("rrule(): an hour, minute or second is out of range");
                    }
                    Some(sorted(kept))
                }
            };
        }
        Ok(())
    }

    /// As iCalendar writes the rule.
    pub(crate) fn text(&self) -> String {
        let at = |at: &DateTime| at.wall.format("%Y%m%dT%H%M%S").to_string();
        let name = Freq::ALL.iter().find(|(freq, _)| *freq == self.freq).map_or("", |(_, name)| name);
        let mut parts = vec![format!("FREQ={name}")];
        if self.interval != 1 {
            parts.push(format!("INTERVAL={}", self.interval));
        }
        let day = |day: i64| Weekday::new(day.rem_euclid(7) as u8).to_string();
        if self.week_start != 0 {
            parts.push(format!("WKST={}", day(self.week_start)));
        }
        if let Some(count) = self.count {
            parts.push(format!("COUNT={count}"));
        }
        if let Some(until) = &self.until {
            parts.push(format!("UNTIL={}", at(until)));
        }
        let has = |name: &str| self.given.iter().any(|(known, _)| *known == name);
        let mut list = |name: &str, key: &str, values: Vec<String>| {
            if has(key) && !values.is_empty() {
                parts.push(format!("{name}={}", values.join(",")));
            }
        };
        let shown = |numbers: &[i64]| numbers.iter().map(i64::to_string).collect::<Vec<_>>();
        let (negative, positive): (Vec<i64>, Vec<i64>) = self.month_days.iter().partition(|day| **day < 0);
        list("BYSETPOS", "bysetpos", shown(&self.positions));
        list("BYMONTH", "bymonth", shown(&self.months));
        list("BYMONTHDAY", "bymonthday", shown(&[positive, negative].concat()));
        list("BYYEARDAY", "byyearday", shown(&self.year_days));
        list("BYWEEKNO", "byweekno", shown(&self.weeks));
        let plain = self.weekdays.iter().map(|weekday| day(*weekday));
        let numbered = self.numbered.iter().map(|(weekday, n)| format!("{n:+}{}", day(*weekday)));
        list("BYDAY", "byweekday", plain.chain(numbered).collect());
        list("BYHOUR", "byhour", shown(self.hours.as_deref().unwrap_or_default()));
        list("BYMINUTE", "byminute", shown(self.minutes.as_deref().unwrap_or_default()));
        list("BYSECOND", "bysecond", shown(self.seconds.as_deref().unwrap_or_default()));
        list("BYEASTER", "byeaster", shown(&self.easters));
        format!("DTSTART:{}\nRRULE:{}", at(&self.start), parts.join(";"))
    }
}
