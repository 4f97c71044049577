//! Calendars: sets of days that schedules start on, or do not.

use std::collections::BTreeSet;

use chrono::{Datelike, NaiveDate, Weekday};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::problem::Invalid;
use crate::text::quoted;

/// Most days of a calendar that are named one by one.
const MAX_DAYS: usize = 10_000;

/// A set of days: those that it names, and those that are one of its weekdays.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Calendar {
    /// Days, as `2026-12-25`, and spans of days, as `2026-12-24/2027-01-02`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub days: Vec<Days>,
    /// Weekdays, as `mon-fri` or `sat,sun`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub weekdays: Option<Weekdays>,
    /// A file of days next to the realm's document: one a line, or a span of them, followed by a remark if any.
    /// `pumice apply` puts its days in its place.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub file: Option<String>,
}

impl Calendar {
    /// Whether a day is in it.
    #[must_use]
    pub fn has(&self, day: NaiveDate) -> bool {
        let named = self.days.iter().any(|days| days.first <= day && day <= days.last);
        named || self.weekdays.as_ref().is_some_and(|weekdays| weekdays.has(day.weekday()))
    }

    /// The mistake that keeps it from being used, if any.
    #[must_use]
    pub fn mistake(&self) -> Option<String> {
        if let Some(file) = &self.file {
            return Some(format!(
                "its file {} was not read, as `pumice apply` does: put the days in its place",
                quoted(file)
            ));
        }
        if self.days.len() > MAX_DAYS {
            return Some(format!("{} days are more than {MAX_DAYS}", self.days.len()));
        }
        (self.days.is_empty() && self.weekdays.is_none())
            .then(|| "it has neither days nor weekdays".to_owned())
    }
}

/// One day, or all from one to another.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Days {
    first: NaiveDate,
    last: NaiveDate,
}

impl std::str::FromStr for Days {
    type Err = Invalid;

    fn from_str(text: &str) -> Result<Self, Invalid> {
        let day = |text: &str| {
            let day = NaiveDate::parse_from_str(text.trim(), "%Y-%m-%d").ok();
            day.ok_or_else(|| format!("{} is not a day: write it as 2026-12-25", quoted(text)))
        };
        let (first, last) = match text.split_once('/') {
            Some((first, last)) => (day(first)?, day(last)?),
            None => (day(text)?, day(text)?),
        };
        if last < first {
            return Err(format!("{} ends before it begins", quoted(text)).into());
        }
        Ok(Self { first, last })
    }
}

impl std::fmt::Display for Days {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}", self.first)?;
        if self.last == self.first { Ok(()) } else { write!(f, "/{}", self.last) }
    }
}

/// Days of the week.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Weekdays(BTreeSet<u32>);

impl Weekdays {
    fn has(&self, day: Weekday) -> bool {
        self.0.contains(&day.num_days_from_sunday())
    }
}

impl std::str::FromStr for Weekdays {
    type Err = Invalid;

    fn from_str(text: &str) -> Result<Self, Invalid> {
        let mut days = BTreeSet::new();
        for item in text.split(',') {
            let (first, last) = item.split_once('-').unwrap_or((item, item));
            let (first, last) = (weekday(first)?, weekday(last)?);
            // From Friday to Monday goes through the weekend.
            let span = (last + 7 - first) % 7;
            days.extend((0..=span).map(|more| (first + more) % 7));
        }
        Ok(Self(days))
    }
}

/// A weekday by its English name, or by crontab's number.
fn weekday(text: &str) -> Result<u32, String> {
    let text = text.trim();
    let number = text.parse::<u32>().ok().filter(|number| *number <= 7).map(|number| number % 7);
    let named = || text.parse::<Weekday>().ok().map(|day| day.num_days_from_sunday());
    number.or_else(named).ok_or_else(|| format!("{} is not a weekday: write it as mon", quoted(text)))
}

impl std::fmt::Display for Weekdays {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        const NAMES: [&str; 7] = ["sun", "mon", "tue", "wed", "thu", "fri", "sat"];
        let names: Vec<&str> = self.0.iter().map(|day| NAMES[*day as usize]).collect();
        f.write_str(&names.join(","))
    }
}

written_as_text!(Days, "Days", "days");
written_as_text!(Weekdays, "Weekdays", "weekdays");

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn day(text: &str) -> NaiveDate {
        text.parse().unwrap()
    }

    #[test]
    fn calendar_has_its_days_and_its_weekdays() {
        let calendar: Calendar = serde_json::from_value(
            json!({ "days": ["2026-12-25", "2026-12-29/2027-01-02"], "weekdays": "sat,sun" }),
        )
        .unwrap();
        let inside = ["2026-12-25", "2026-12-29", "2027-01-01", "2026-12-26", "2026-12-27"];
        assert!(inside.iter().all(|text| calendar.has(day(text))));
        assert!(["2026-12-24", "2026-12-28", "2027-01-04"].iter().all(|text| !calendar.has(day(text))));
        assert_eq!(serde_json::to_value(&calendar).unwrap()["weekdays"], "sun,sat");
        for (weekdays, shown) in
            [("mon-fri", "mon,tue,wed,thu,fri"), ("fri-mon", "sun,mon,fri,sat"), ("0,7", "sun")]
        {
            assert_eq!(weekdays.parse::<Weekdays>().unwrap().to_string(), shown, "{weekdays}");
        }
    }

    #[test]
    fn text_that_is_not_a_day_is_refused() {
        for days in ["2026-02-30", "25.12.2026", "2027-01-02/2026-12-24", "", "mon"] {
            assert!(days.parse::<Days>().is_err(), "{days}");
        }
        for weekdays in ["", "m", "8", "mon-", "mon;tue"] {
            assert!(weekdays.parse::<Weekdays>().is_err(), "{weekdays}");
        }
        assert!(Calendar::default().mistake().is_some());
    }
}
