//! Which days of a year a rule recurs on.

use chrono::{Datelike, NaiveDate};

use super::{Freq, Rule};
use crate::clock::date::{days_in_month, is_leap};
use crate::utils::dateutil::easter_day;

/// A year as a rule looks at it, and the first week of the next one.
pub(super) struct Year {
    pub(super) year: i64,
    pub(super) length: usize,
    next_length: usize,
    /// The ordinal of 1 January.
    pub(super) ordinal: i64,
    weekday: i64,
    /// Days in weeks that the rule numbers.
    weeks: Option<Vec<bool>>,
    /// Days that are numbered weekdays.
    numbered: Option<Vec<bool>>,
    easters: Option<Vec<bool>>,
}

fn length(year: i64) -> usize {
    365 + usize::from(is_leap(year as i32))
}

impl Year {
    /// The days of a year; numbered weekdays are those of `month` in a
    /// monthly rule.
    pub(super) fn new(rule: &Rule, year: i64, month: i64) -> Option<Self> {
        let first = NaiveDate::from_ymd_opt(i32::try_from(year).ok()?, 1, 1)?;
        let mut days = Self {
            year,
            length: length(year),
            next_length: length(year + 1),
            ordinal: first.num_days_from_ce().into(),
            weekday: first.weekday().num_days_from_monday().into(),
            weeks: None,
            numbered: None,
            easters: None,
        };
        if !rule.weeks.is_empty() {
            days.weeks = Some(days.numbered_weeks(rule));
        }
        if !rule.numbered.is_empty() {
            days.numbered = Some(days.numbered_weekdays(rule, month));
        }
        if !rule.easters.is_empty() {
            let mut mask = vec![false; days.length + 7];
            let (month, day) = easter_day(year, 3);
            let easter = days.range(month).0 as i64 + day - 1;
            for offset in &rule.easters {
                let at = easter + offset;
                // Python counts from the end where it is negative.
                let at = if at < 0 { at + mask.len() as i64 } else { at };
                if let Some(day) = usize::try_from(at).ok().and_then(|at| mask.get_mut(at)) {
                    *day = true;
                }
            }
            days.easters = Some(mask);
        }
        Some(days)
    }

    /// The weekday of a day of the year, from Monday.
    pub(super) fn weekday(&self, day: usize) -> i64 {
        (self.weekday + day as i64) % 7
    }

    /// The days of a month: the first, and the one after the last.
    pub(super) fn range(&self, month: i64) -> (usize, usize) {
        let before = |month: i64| -> usize {
            (1..month).map(|month| days_in_month(self.year as i32, month as u32) as usize).sum()
        };
        (before(month), before(month + 1))
    }

    fn numbered_weekdays(&self, rule: &Rule, month: i64) -> Vec<bool> {
        let ranges = match rule.freq {
            Freq::Yearly if rule.months.is_empty() => vec![(0, self.length)],
            Freq::Yearly => {
                rule.months.iter().filter(|m| (1..=12).contains(*m)).map(|m| self.range(*m)).collect()
            }
            _ => vec![self.range(month)],
        };
        let mut mask = vec![false; self.length];
        for (first, end) in ranges {
            let (first, last) = (first as i64, end as i64 - 1);
            for (weekday, n) in &rule.numbered {
                let at = if *n < 0 {
                    let at = last + (n + 1) * 7;
                    at - (self.weekday + at - weekday).rem_euclid(7)
                } else {
                    let at = first + (n - 1) * 7;
                    at + (7 - (self.weekday + at) + weekday).rem_euclid(7)
                };
                if (first..=last).contains(&at) {
                    mask[at as usize] = true;
                }
            }
        }
        mask
    }

    /// dateutil's count of weeks, step by step.
    fn numbered_weeks(&self, rule: &Rule) -> Vec<bool> {
        let mut mask = vec![false; self.length + 7];
        let start = rule.week_start;
        let first_start = (7 - self.weekday + start).rem_euclid(7);
        let (first, weeks_length) = if first_start >= 4 {
            (0, self.length as i64 + (self.weekday - start).rem_euclid(7))
        } else {
            (first_start, self.length as i64 - first_start)
        };
        let weeks = weeks_length / 7 + weeks_length % 7 / 4;
        let fill = |mask: &mut Vec<bool>, from: i64| {
            for at in from..from + 7 {
                let Some(day) = usize::try_from(at).ok().and_then(|at| mask.get_mut(at)) else {
                    break;
                };
                *day = true;
                if (self.weekday + at + 1).rem_euclid(7) == start {
                    break;
                }
            }
        };
        for number in &rule.weeks {
            let number = if *number < 0 { number + weeks + 1 } else { *number };
            if !(1..=weeks).contains(&number) {
                continue;
            }
            let mut at = first;
            if number > 1 {
                at += (number - 1) * 7;
                if first != first_start {
                    at -= 7 - first_start;
                }
            }
            fill(&mut mask, at);
        }
        if rule.weeks.contains(&1) {
            let mut at = first + weeks * 7;
            if first != first_start {
                at -= 7 - first_start;
            }
            if at < self.length as i64 {
                fill(&mut mask, at);
            }
        }
        if first > 0 && rule.weeks.contains(&self.last_week_before(rule, first)) {
            mask[..first as usize].fill(true);
        }
        mask
    }

    /// The number of the last year's last week.
    fn last_week_before(&self, rule: &Rule, first: i64) -> i64 {
        if rule.weeks.contains(&-1) {
            return -1;
        }
        let weekday = NaiveDate::from_ymd_opt(self.year as i32 - 1, 1, 1)
            .map_or(0, |day| i64::from(day.weekday().num_days_from_monday()));
        let first_start = (7 - weekday + rule.week_start).rem_euclid(7);
        if first_start >= 4 {
            let days = length(self.year - 1) as i64 + (weekday - rule.week_start).rem_euclid(7);
            52 + days % 7 / 4
        } else {
            52 + (self.length as i64 - first).rem_euclid(7) / 4
        }
    }

    /// Whether a rule recurs on a day.
    pub(super) fn fits(&self, rule: &Rule, day: usize) -> bool {
        let own = day < self.length;
        let (in_year, length) = if own { (day, self.length) } else { (day - self.length, self.next_length) };
        let year = if own { self.year } else { self.year + 1 } as i32;
        let mut left = in_year;
        let mut month = 1;
        while month < 12 && left >= days_in_month(year, month) as usize {
            left -= days_in_month(year, month) as usize;
            month += 1;
        }
        let month_day = left as i64 + 1;
        let from_end = month_day - i64::from(days_in_month(year, month)) - 1;
        let listed = |list: &[i64], number: i64| list.is_empty() || list.contains(&number);
        let masked = |mask: &Option<Vec<bool>>| mask.as_ref().is_none_or(|mask| mask.get(day) == Some(&true));
        let year_day = in_year as i64 + 1;
        listed(&rule.months, month.into())
            && masked(&self.weeks)
            && (rule.weekdays.is_empty() || rule.weekdays.contains(&self.weekday(day)))
            && masked(&self.numbered)
            && masked(&self.easters)
            && (rule.month_days.is_empty()
                || rule.month_days.contains(&month_day)
                || rule.month_days.contains(&from_end))
            && (rule.year_days.is_empty()
                || rule.year_days.contains(&year_day)
                || rule.year_days.contains(&(year_day - length as i64 - 1)))
    }
}
