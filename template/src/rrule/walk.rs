//! Going through the times of a rule.

use chrono::{Datelike, NaiveDate, NaiveTime, Timelike};
use num_integer::Integer;

use super::days::Year;
use super::{Freq, Rule, later};
use crate::clock::date::days_in_month;
use crate::clock::datetime::DateTime;
use crate::fault::{Outcome, fail};
use crate::runtime::Runtime;

/// The last year of Python's calendar.
const LAST_YEAR: i64 = 9999;

/// Takes a time; whether it wants more.
type Each<'e> = &'e mut dyn FnMut(DateTime) -> Outcome<bool>;

/// Where a walk stands.
struct At {
    year: i64,
    month: i64,
    day: i64,
    hour: i64,
    minute: i64,
    second: i64,
    weekday: i64,
}

/// The dates that are still to be given.
struct Given<'r> {
    rule: &'r Rule,
    left: Option<i64>,
}

impl Rule {
    /// Shows the times one by one to `each`, until it wants no more.
    pub(super) fn walk(&self, rt: &Runtime<'_>, each: Each<'_>) -> Outcome<()> {
        if self.never {
            return Ok(());
        }
        let (day, time) = (self.start.wall.date(), self.start.wall.time());
        let mut at = At {
            year: day.year().into(),
            month: day.month().into(),
            day: day.day().into(),
            hour: time.hour().into(),
            minute: time.minute().into(),
            second: time.second().into(),
            weekday: day.weekday().num_days_from_monday().into(),
        };
        let mut given = Given { rule: self, left: self.count };
        let Some(mut year) = Year::new(self, at.year, at.month) else {
            return Ok(());
        };
        let mut times = if self.starts_within(&at) { self.times(&at) } else { Vec::new() };
        loop {
            let (from, to) = self.days(&year, &at);
            rt.step(4 + (to - from) as u64)?;
            if given.is_over(&year, from)? {
                return Ok(());
            }
            let fitting: Vec<usize> = (from..to).filter(|day| year.fits(self, *day)).collect();
            let more = if self.positions.is_empty() || times.is_empty() {
                given.all(rt, &year, &fitting, &times, each)?
            } else {
                given.positions(rt, &year, &fitting, &times, each)?
            };
            if !more || !self.advance(rt, &mut at, fitting.len() < to - from)? {
                return Ok(());
            }
            if self.freq >= Freq::Hourly {
                times = self.times(&at);
            }
            let month_counts = self.freq == Freq::Monthly && !self.numbered.is_empty();
            if year.year != at.year || month_counts {
                rt.step(50)?;
                match Year::new(self, at.year, at.month) {
                    Some(next) => year = next,
                    None => return Ok(()),
                }
            }
        }
    }

    /// Whether the rule's own times allow the time it starts at.
    fn starts_within(&self, at: &At) -> bool {
        let allows = |unit, list: &Option<Vec<i64>>, now| {
            self.freq < unit || list.as_ref().is_none_or(|list| list.contains(&now))
        };
        allows(Freq::Hourly, &self.hours, at.hour)
            && allows(Freq::Minutely, &self.minutes, at.minute)
            && allows(Freq::Secondly, &self.seconds, at.second)
    }

    /// The times of a day, an hour, a minute or a second.
    fn times(&self, at: &At) -> Vec<NaiveTime> {
        let now = |unit, list: &Option<Vec<i64>>, now| {
            if self.freq >= unit { vec![now] } else { list.clone().unwrap_or_else(|| vec![now]) }
        };
        let mut times = Vec::new();
        for hour in now(Freq::Hourly, &self.hours, at.hour) {
            for minute in now(Freq::Minutely, &self.minutes, at.minute) {
                for second in now(Freq::Secondly, &self.seconds, at.second) {
                    times.extend(NaiveTime::from_hms_opt(hour as u32, minute as u32, second as u32));
                }
            }
        }
        times
    }

    /// The days of the year that are looked at together.
    fn days(&self, year: &Year, at: &At) -> (usize, usize) {
        let today = || year.range(at.month).0 + at.day as usize - 1;
        match self.freq {
            Freq::Yearly => (0, year.length),
            Freq::Monthly => year.range(at.month),
            Freq::Weekly => {
                let from = today();
                let mut to = from + 1;
                while to < from + 7 && year.weekday(to) != self.week_start {
                    to += 1;
                }
                (from, to)
            }
            _ => (today(), today() + 1),
        }
    }

    /// Goes on to the next period; `false` at the end of the calendar. `filtered` means that the
    /// day was left out.
    fn advance(&self, rt: &Runtime<'_>, at: &mut At, filtered: bool) -> Outcome<bool> {
        let interval = self.interval;
        match self.freq {
            Freq::Yearly => {
                at.year += interval;
                return Ok(at.year <= LAST_YEAR);
            }
            Freq::Monthly => {
                let months = at.year * 12 + at.month - 1 + interval;
                (at.year, at.month) = (months / 12, months % 12 + 1);
                return Ok(at.year <= LAST_YEAR);
            }
            Freq::Weekly => {
                let start = self.week_start;
                at.day += interval * 7
                    - if start > at.weekday { at.weekday + 1 + (6 - start) } else { at.weekday - start };
                at.weekday = start;
            }
            Freq::Daily => at.day += interval,
            Freq::Hourly => {
                if filtered {
                    at.hour += (23 - at.hour) / interval * interval;
                }
                let days = step(&mut at.hour, interval, &self.hours, 24)?;
                at.day += days;
            }
            Freq::Minutely => self.next_minute(rt, at, filtered)?,
            Freq::Secondly => self.next_second(rt, at, filtered)?,
        }
        Ok(carry_days(at))
    }

    fn next_minute(&self, rt: &Runtime<'_>, at: &mut At, filtered: bool) -> Outcome<()> {
        if filtered {
            at.minute += (1_439 - (at.hour * 60 + at.minute)) / self.interval * self.interval;
        }
        let rate = 24 * 60;
        for _ in 0..rate / self.interval.gcd(&rate) {
            rt.step(1)?;
            let hours = step(&mut at.minute, self.interval, &self.minutes, 60)?;
            let (days, hour) = (at.hour + hours).div_mod_floor(&24);
            at.day += days;
            at.hour = hour;
            if self.hours.as_ref().is_none_or(|list| list.contains(&hour)) {
                return Ok(());
            }
        }
        fail("rrule(): the interval never meets one of the hours")
    }

    fn next_second(&self, rt: &Runtime<'_>, at: &mut At, filtered: bool) -> Outcome<()> {
        if filtered {
            let now = at.hour * 3_600 + at.minute * 60 + at.second;
            at.second += (86_399 - now) / self.interval * self.interval;
        }
        let rate = 24 * 3_600;
        let listed = |list: &Option<Vec<i64>>, now: i64| list.as_ref().is_none_or(|list| list.contains(&now));
        for _ in 0..rate / self.interval.gcd(&rate) {
            rt.step(1)?;
            let minutes = step(&mut at.second, self.interval, &self.seconds, 60)?;
            let (hours, minute) = (at.minute + minutes).div_mod_floor(&60);
            let (days, hour) = (at.hour + hours).div_mod_floor(&24);
            at.day += days;
            (at.hour, at.minute) = (hour, minute);
            if listed(&self.hours, hour) && listed(&self.minutes, minute) && listed(&self.seconds, at.second)
            {
                return Ok(());
            }
        }
        fail("rrule(): the interval never meets one of the times")
    }
}

/// Moves a part of the clock on by the interval until it is one of `list`;
/// gives what is carried over to the next.
fn step(value: &mut i64, interval: i64, list: &Option<Vec<i64>>, base: i64) -> Outcome<i64> {
    let mut carried = 0;
    for _ in 0..base {
        let (more, next) = (*value + interval).div_mod_floor(&base);
        carried += more;
        *value = next;
        if list.as_ref().is_none_or(|list| list.contains(&next)) {
            return Ok(carried);
        }
    }
    fail("rrule(): the interval never meets one of the times")
}

/// Makes a day beyond the month's end one of a later month.
fn carry_days(at: &mut At) -> bool {
    loop {
        let most = i64::from(days_in_month(at.year as i32, at.month as u32));
        if at.day <= most {
            return true;
        }
        at.day -= most;
        at.month += 1;
        if at.month == 13 {
            at.month = 1;
            at.year += 1;
            if at.year > LAST_YEAR {
                return false;
            }
        }
    }
}

impl Given<'_> {
    fn time(&self, year: &Year, day: usize, time: NaiveTime) -> Option<DateTime> {
        let ordinal = i32::try_from(year.ordinal + day as i64).ok()?;
        let date =
            NaiveDate::from_num_days_from_ce_opt(ordinal).filter(|date| date.year() <= LAST_YEAR as i32)?;
        Some(DateTime::new(date.and_time(time), self.rule.start.tz.clone()))
    }

    /// Whether a period that begins with a day lies beyond the end of the rule, even if none of its days fits.
    fn is_over(&self, year: &Year, day: usize) -> Outcome<bool> {
        let Some(until) = &self.rule.until else { return Ok(false) };
        match self.time(year, day, NaiveTime::MIN) {
            Some(first) => later(&first, &until.clone().into_val(), false),
            None => Ok(true),
        }
    }

    /// Gives one time; `false` if it is the end.
    fn one(&mut self, time: DateTime, each: Each<'_>) -> Outcome<bool> {
        if let Some(until) = &self.rule.until
            && later(&time, &until.clone().into_val(), false)?
        {
            return Ok(false);
        }
        if !later(&time, &self.rule.start.clone().into_val(), true)? {
            return Ok(true);
        }
        if let Some(left) = &mut self.left {
            *left -= 1;
            if *left < 0 {
                return Ok(false);
            }
        }
        each(time)
    }

    fn all(
        &mut self,
        rt: &Runtime<'_>,
        year: &Year,
        days: &[usize],
        times: &[NaiveTime],
        each: Each<'_>,
    ) -> Outcome<bool> {
        for day in days {
            for time in times {
                rt.step(4)?;
                let Some(time) = self.time(year, *day, *time) else {
                    return Ok(false);
                };
                if !self.one(time, each)? {
                    return Ok(false);
                }
            }
        }
        Ok(true)
    }

    /// Those of a period that `bysetpos` counts.
    fn positions(
        &mut self,
        rt: &Runtime<'_>,
        year: &Year,
        days: &[usize],
        times: &[NaiveTime],
        each: Each<'_>,
    ) -> Outcome<bool> {
        let mut found = Vec::new();
        let count = times.len() as i64;
        for position in &self.rule.positions {
            rt.step(2)?;
            let from = if *position < 0 { *position } else { position - 1 };
            let (day, time) = from.div_mod_floor(&count);
            let day = if day < 0 { day + days.len() as i64 } else { day };
            if let Some(day) = usize::try_from(day).ok().and_then(|day| days.get(day)) {
                found.push((*day, times[time as usize]));
            }
        }
        found.sort_unstable();
        found.dedup();
        for (day, time) in found {
            rt.step(4)?;
            let Some(time) = self.time(year, day, time) else {
                return Ok(false);
            };
            if !self.one(time, each)? {
                return Ok(false);
            }
        }
        Ok(true)
    }
}
