//! Instants as people write them: ISO 8601, with or without a zone.

use chrono::{Datelike, NaiveDate, NaiveDateTime, NaiveTime, Offset, TimeDelta, TimeZone, Utc};

use crate::Timestamp;
use crate::text::quoted;

/// An instant, or a time on the wall whose zone is given later.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Instant {
    /// The text named its zone.
    Absolute(Timestamp),
    /// The text named none.
    Wall(NaiveDateTime),
}

impl Instant {
    /// The instant, in `zone` when the text named none. A time that a change of clock leaves out counts on from the time
    /// before it, one that comes twice is the first of the two (Python, PEP 495).
    #[must_use]
    pub fn in_zone(self, zone: chrono_tz::Tz) -> Timestamp {
        match self {
            Self::Absolute(instant) => instant,
            Self::Wall(wall) => {
                let found = zone.from_local_datetime(&wall).earliest();
                found.map_or_else(|| left_out(wall, zone), |found| found.with_timezone(&Utc))
            }
        }
    }
}

/// A time that a change of clock leaves out.
fn left_out(wall: NaiveDateTime, zone: chrono_tz::Tz) -> Timestamp {
    // No zone is further from UTC, so that this is before the change.
    let before = wall - TimeDelta::hours(27);
    let offset = zone.offset_from_utc_datetime(&before).fix().local_minus_utc();
    (wall - TimeDelta::seconds(offset.into())).and_utc()
}

/// A text that is not an instant.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum BadInstant {
    /// It has not the form of one.
    #[error(
        "{} is not an ISO 8601 time: write it as 2026-03-01T15:05:00+11:00, or without a zone for local time",
        quoted(_0)
    )]
    Malformed(String),
    /// No calendar has the day, or no clock the time.
    #[error("{} is a day or a time of day that does not exist", quoted(_0))]
    Nonexistent(String),
    /// Its year has another number of digits, or is another one in UTC.
    #[error("{} is beyond the years 0001 to 9999 in UTC, in which a time must be", quoted(_0))]
    Beyond(String),
}

/// Why a text is not an instant.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fault {
    Form,
    Nonexistent,
    Beyond,
}

impl Fault {
    fn of(self, text: &str) -> BadInstant {
        let text = text.to_owned();
        match self {
            Self::Form => BadInstant::Malformed(text),
            Self::Nonexistent => BadInstant::Nonexistent(text),
            Self::Beyond => BadInstant::Beyond(text),
        }
    }
}

/// Reads a time in any form of ISO 8601 that names a day: `2026-03-01T15:05:06+11:00`, `2026-03-01 15:05Z`, `2026-03-01`,
/// the basic form `20260301T150506Z`, weeks (`2026-W09-7`) and ordinal days (`2026-060`), a month or a year alone, a fraction
/// of the last part of a time, with a comma or a dot, the minus sign U+2212, and `T24:00` for the end of a day. Years are
/// 0001 to 9999.
///
/// # Errors
/// [`BadInstant`] when the text is none of these.
pub fn parse_instant(text: &str) -> Result<Instant, BadInstant> {
    instant(text.trim()).map_err(|fault| fault.of(text))
}

/// Reads the end of a range as [`parse_instant`] reads its beginning: where the text names a day, a week, a month or a year and
/// no time, that is its last moment, to the microsecond.
///
/// # Errors
/// [`BadInstant`] when the text is not a time.
pub fn parse_end(text: &str, zone: chrono_tz::Tz) -> Result<Timestamp, BadInstant> {
    let begin = parse_instant(text)?;
    match next_day(text.trim()) {
        None => Ok(begin.in_zone(zone)),
        Some(next) => {
            Ok(Instant::Wall(next.and_time(NaiveTime::MIN)).in_zone(zone) - TimeDelta::microseconds(1))
        }
    }
}

/// The day after what a text without a time names; `None` of any other text, and after the last day of all.
fn next_day(text: &str) -> Option<NaiveDate> {
    if text.contains(['T', 't', ' ']) {
        return None;
    }
    let first = day(text).ok()?;
    let is_week = text.trim_end_matches(|c: char| c.is_ascii_digit()).ends_with(['W', 'w']);
    match text.len() {
        YEAR => first.checked_add_months(chrono::Months::new(12)),
        // 2026-W09, 2026W09; with the day's number it is longer.
        7 | 8 if is_week && (text.len() == 8) == text.contains('-') => {
            first.checked_add_days(chrono::Days::new(7))
        }
        7 if text.as_bytes().get(4) == Some(&b'-') && !is_week => {
            first.checked_add_months(chrono::Months::new(1))
        }
        _ => first.succ_opt(),
    }
}

fn instant(text: &str) -> Result<Instant, Fault> {
    let (date, rest) = match text.find(['T', 't', ' ']) {
        Some(at) => (&text[..at], Some(&text[at + 1..])),
        None => (text, None),
    };
    if rest.is_some() && date.len() == YEAR {
        return Err(Fault::Form);
    }
    let date = day(date)?;
    let Some(rest) = rest else { return Ok(Instant::Wall(date.and_time(NaiveTime::MIN))) };
    // ISO 8601 allows the minus sign of typesetters.
    let rest = &*rest.replace('\u{2212}', "-");
    let (clock, offset) = match rest.find(['Z', 'z', '+', '-']) {
        Some(at) => (&rest[..at], Some(offset(&rest[at..]).ok_or(Fault::Form)?)),
        None => (rest, None),
    };
    let wall = at_clock(date, clock)?;
    let Some(offset) = offset else { return Ok(Instant::Wall(wall)) };
    let instant = wall.checked_sub_signed(offset).ok_or(Fault::Beyond)?.and_utc();
    if (1..=9999).contains(&instant.year()) { Ok(Instant::Absolute(instant)) } else { Err(Fault::Beyond) }
}

/// So many digits and nothing else, as a number.
fn digits(text: &str, count: usize) -> Option<u32> {
    let all = text.len() == count && text.bytes().all(|byte| byte.is_ascii_digit());
    if all { text.parse().ok() } else { None }
}

/// A calendar date, an ordinal date or a week date.
fn day(text: &str) -> Result<NaiveDate, Fault> {
    if has_long_year(text) {
        return Err(Fault::Beyond);
    }
    let year = text.get(..YEAR).and_then(|year| digits(year, YEAR)).ok_or(Fault::Form)?;
    let year = i32::try_from(year).ok().filter(|year| *year > 0).ok_or(Fault::Beyond)?;
    let rest = &text[YEAR..];
    let (rest, dashed) = rest.strip_prefix('-').map_or((rest, false), |rest| (rest, true));
    let number = |from: usize, count: usize| {
        rest.get(from..from + count).and_then(|part| digits(part, count)).ok_or(Fault::Form)
    };
    if rest.starts_with(['W', 'w']) {
        let week = number(1, 2)?;
        let weekday = match (rest.len(), dashed) {
            (3, _) => 1,
            (5, true) if rest.as_bytes()[3] == b'-' => number(4, 1)?,
            (4, false) => number(3, 1)?,
            _ => return Err(Fault::Form),
        };
        let weekday = weekday.checked_sub(1).and_then(|day| u8::try_from(day).ok());
        let weekday =
            weekday.and_then(|day| chrono::Weekday::try_from(day).ok()).ok_or(Fault::Nonexistent)?;
        let date = NaiveDate::from_isoywd_opt(year, week, weekday).ok_or(Fault::Nonexistent)?;
        return if (1..=9999).contains(&date.year()) { Ok(date) } else { Err(Fault::Beyond) };
    }
    let date = match (rest.len(), dashed) {
        (0, false) => NaiveDate::from_ymd_opt(year, 1, 1),
        (3, _) => NaiveDate::from_yo_opt(year, number(0, 3)?),
        (4, false) => NaiveDate::from_ymd_opt(year, number(0, 2)?, number(2, 2)?),
        (2, true) => NaiveDate::from_ymd_opt(year, number(0, 2)?, 1),
        (5, true) if rest.as_bytes()[2] == b'-' => {
            NaiveDate::from_ymd_opt(year, number(0, 2)?, number(3, 2)?)
        }
        _ => return Err(Fault::Form),
    };
    date.ok_or(Fault::Nonexistent)
}

/// Whether a date begins with a year of more than four digits, or with a sign, as ISO 8601 allows where both sides agree.
fn has_long_year(text: &str) -> bool {
    let unsigned = text.trim_start_matches(['+', '-', '\u{2212}']);
    let digits = unsigned.bytes().take_while(u8::is_ascii_digit).count();
    let is_long = digits > YEAR || unsigned.len() < text.len();
    is_long && digits >= YEAR && unsigned[digits..].starts_with('-')
}

/// Length of a year: one alone has no time.
const YEAR: usize = 4;

/// The denominator of fifteen digits of a fraction.
const FRACTIONS: i128 = 1_000_000_000_000_000;

/// A time of a day: hours, and where wanted minutes, seconds and their fraction.
fn at_clock(date: NaiveDate, text: &str) -> Result<NaiveDateTime, Fault> {
    let (whole, fraction) = match text.find(['.', ',']) {
        Some(at) => (&text[..at], &text[at + 1..]),
        None => (text, ""),
    };
    let parts: Option<Vec<u32>> = if whole.contains(':') {
        whole.split(':').map(|part| digits(part, 2)).collect()
    } else {
        (0..whole.len()).step_by(2).map(|at| digits(whole.get(at..at + 2)?, 2)).collect()
    };
    let parts = parts.ok_or(Fault::Form)?;
    // The fraction is one of the last part.
    let ((hour, minute, second), unit) = match parts[..] {
        [hour] => ((hour, 0, 0), TimeDelta::hours(1)),
        [hour, minute] => ((hour, minute, 0), TimeDelta::minutes(1)),
        [hour, minute, second] => ((hour, minute, second), TimeDelta::seconds(1)),
        _ => return Err(Fault::Form),
    };
    let has_fraction = text.len() > whole.len();
    if has_fraction && (fraction.is_empty() || !fraction.bytes().all(|b| b.is_ascii_digit())) {
        return Err(Fault::Form);
    }
    let fraction: i128 = format!("{fraction:0<15.15}").parse().map_err(|_| Fault::Form)?;
    let nanos = i128::from(unit.num_nanoseconds().unwrap_or_default()) * fraction / FRACTIONS;
    let more = TimeDelta::nanoseconds(i64::try_from(nanos).map_err(|_| Fault::Form)?);
    if (hour, minute, second) == (24, 0, 0) && more.is_zero() {
        let next = date.succ_opt().filter(|date| date.year() <= 9999);
        return next.map(|date| date.and_time(NaiveTime::MIN)).ok_or(Fault::Beyond);
    }
    let begin = date.and_hms_opt(hour, minute, second).ok_or(Fault::Nonexistent)?;
    begin.checked_add_signed(more).ok_or(Fault::Beyond)
}

/// The offset from UTC: `Z`, `+11`, `+1100` or `+11:00`.
fn offset(text: &str) -> Option<TimeDelta> {
    if matches!(text, "Z" | "z") {
        return Some(TimeDelta::zero());
    }
    let (sign, rest) = (if text.starts_with('-') { -1 } else { 1 }, text.get(1..)?);
    let (hours, minutes) = match rest.len() {
        2 => (digits(rest, 2)?, 0),
        4 => (digits(rest.get(..2)?, 2)?, digits(rest.get(2..)?, 2)?),
        5 => {
            let (hours, minutes) = rest.split_once(':')?;
            (digits(hours, 2)?, digits(minutes, 2)?)
        }
        _ => return None,
    };
    let all = TimeDelta::minutes(sign * i64::from(hours * 60 + minutes));
    (hours < 24 && minutes < 60).then_some(all)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_that_is_no_instant_is_told_why() {
        let told = |text: &str| match parse_instant(text) {
            Err(BadInstant::Malformed(_)) => "malformed",
            Err(BadInstant::Nonexistent(_)) => "nonexistent",
            Err(BadInstant::Beyond(_)) => "beyond",
            Ok(_) => "taken",
        };
        for (text, wanted) in [
            ("9999-12-31T23:59:59-12:00", "beyond"),
            ("0001-01-01T00:00:00+12:00", "beyond"),
            ("+10000-01-01T00:00:00Z", "beyond"),
            ("10000-01-01", "beyond"),
            ("-0044-03-15", "beyond"),
            ("0000-01-01", "beyond"),
            ("9999-12-31T24:00", "beyond"),
            ("2026-02-30", "nonexistent"),
            ("20260230T10", "nonexistent"),
            ("2026-13-01", "nonexistent"),
            ("2026-366", "nonexistent"),
            ("2026-W54", "nonexistent"),
            ("2026-W09-8", "nonexistent"),
            ("2026-03-01T25:00", "nonexistent"),
            ("2026-03-01T10:60Z", "nonexistent"),
            ("tomorrow", "malformed"),
            ("2026-3-1", "malformed"),
            ("2026-03-01T", "malformed"),
            ("2026-03-01T10:00 PM", "malformed"),
            ("2026-02-30x", "malformed"),
            ("", "malformed"),
        ] {
            assert_eq!(told(text), wanted, "{text}");
        }
    }

    #[test]
    fn time_in_a_gap_of_the_clock_counts_on_from_before_it() {
        for (zone, wall, wanted) in [
            ("Australia/Sydney", "2026-10-04T02:30", "2026-10-03T16:30:00+00:00"),
            // Half an hour is left out.
            ("Australia/Lord_Howe", "2026-10-04T02:15", "2026-10-03T15:45:00+00:00"),
            // A whole day is.
            ("Pacific/Apia", "2011-12-30T12:00", "2011-12-30T22:00:00+00:00"),
            ("Africa/Cairo", "2026-04-24T00:30", "2026-04-23T22:30:00+00:00"),
            ("Europe/Berlin", "2026-10-25T02:30", "2026-10-25T00:30:00+00:00"),
        ] {
            let read = parse_instant(wall).unwrap().in_zone(zone.parse().unwrap());
            assert_eq!(read.to_rfc3339(), wanted, "{zone} {wall}");
        }
    }

    #[test]
    fn end_of_a_range_is_the_end_of_the_day_that_it_names() {
        let zone = chrono_tz::Europe::Berlin;
        for (text, wanted) in [
            ("2026-11-28", "2026-11-28T22:59:59.999999+00:00"),
            ("20261128", "2026-11-28T22:59:59.999999+00:00"),
            (" 2026-W48-6 ", "2026-11-28T22:59:59.999999+00:00"),
            ("2026W486", "2026-11-28T22:59:59.999999+00:00"),
            ("2026-332", "2026-11-28T22:59:59.999999+00:00"),
            ("2026332", "2026-11-28T22:59:59.999999+00:00"),
            ("2026-W48", "2026-11-29T22:59:59.999999+00:00"),
            ("2026W48", "2026-11-29T22:59:59.999999+00:00"),
            ("2026-11", "2026-11-30T22:59:59.999999+00:00"),
            ("2026", "2026-12-31T22:59:59.999999+00:00"),
            // The days on which clocks change have 23 and 25 hours.
            ("2026-03-29", "2026-03-29T21:59:59.999999+00:00"),
            ("2026-10-25", "2026-10-25T22:59:59.999999+00:00"),
            ("2026-11-28T00:00", "2026-11-27T23:00:00+00:00"),
            ("2026-11-28 06:00Z", "2026-11-28T06:00:00+00:00"),
            ("9999-12-31", "9999-12-31T22:59:59.999999+00:00"),
        ] {
            let read = parse_end(text, zone).unwrap_or_else(|error| panic!("{error}"));
            assert_eq!(read.to_rfc3339(), wanted, "{text}");
        }
        assert!(parse_end("28 November", zone).is_err());
    }

    #[test]
    fn reads_iso_forms() {
        let utc =
            |text: &str| parse_instant(text).unwrap().in_zone(chrono_tz::Australia::Sydney).to_rfc3339();
        assert_eq!(utc("2026-03-01T15:05:06+11:00"), "2026-03-01T04:05:06+00:00");
        assert_eq!(utc("2026-03-01 15:05Z"), "2026-03-01T15:05:00+00:00");
        assert_eq!(utc("2026-03-01T15:05:06.5"), "2026-03-01T04:05:06.500+00:00");
        assert_eq!(utc("2026-03-01"), "2026-02-28T13:00:00+00:00");
        // 02:30 does not exist on 4 October 2026 in Sydney.
        assert_eq!(utc("2026-10-04T02:30"), "2026-10-03T16:30:00+00:00");
        for (text, wanted) in [
            ("20260301T150506Z", "2026-03-01T15:05:06+00:00"),
            ("20260301T1505+1100", "2026-03-01T04:05:00+00:00"),
            ("2026-03-01T15+11", "2026-03-01T04:00:00+00:00"),
            ("2026-03-01t15:05:06,25z", "2026-03-01T15:05:06.250+00:00"),
            ("2026-03-01T24:00Z", "2026-03-02T00:00:00+00:00"),
            ("2026-W09-7T00:00Z", "2026-03-01T00:00:00+00:00"),
            ("2026W097T00Z", "2026-03-01T00:00:00+00:00"),
            ("2026-060T12:00:00Z", "2026-03-01T12:00:00+00:00"),
            ("2026060T12Z", "2026-03-01T12:00:00+00:00"),
            ("20190301", "2019-02-28T13:00:00+00:00"),
            ("2026-03", "2026-02-28T13:00:00+00:00"),
            ("2026", "2025-12-31T13:00:00+00:00"),
            ("2026-03-01T15:30.5Z", "2026-03-01T15:30:30+00:00"),
            ("2026-03-01T15:30,25Z", "2026-03-01T15:30:15+00:00"),
            ("2026-03-01T15.25Z", "2026-03-01T15:15:00+00:00"),
            ("20260301T1530.5Z", "2026-03-01T15:30:30+00:00"),
            ("20260301T15.5+01", "2026-03-01T14:30:00+00:00"),
            ("2026-03-01T23.999999999999999Z", "2026-03-01T23:59:59.999999999+00:00"),
            ("2026-03-01T15:05:06.1234567891Z", "2026-03-01T15:05:06.123456789+00:00"),
            ("2026-03-01T24:00.0Z", "2026-03-02T00:00:00+00:00"),
            ("2026-03-01T15:05\u{2212}05:00", "2026-03-01T20:05:00+00:00"),
            ("2026-03-01T15\u{2212}0530", "2026-03-01T20:30:00+00:00"),
            ("9999-12-31T23:59:59Z", "9999-12-31T23:59:59+00:00"),
        ] {
            assert_eq!(utc(text), wanted, "{text}");
        }
        for text in [
            "+262142-12-31T00:00Z",
            "10000-01-01",
            "0000-01-01",
            "9999-12-31T23:00-05:00",
            "9999-12-31T24:00Z",
            "202",
            "2026T12Z",
            "2026-",
            "2026\u{2212}03\u{2212}01",
            "2026-03-01T24.5Z",
            "2026-03-01T24:00.5Z",
            "2026-03-01T15:.5Z",
            "2026-03-01T24:01Z",
            "2026-03-01T15:05:60Z",
            "2026-03-01T15:05+24:00",
            "2026-03-01T15:5Z",
            "2026-03-01T",
            "2026-03-01T15:05:06.Z",
            "2026-366",
            "2026-W54-1",
            "2026-02-29",
            "２０２６-03-01",
            "2026-03-01T15.Z",
            "2026-03-01T15.5.5Z",
        ] {
            assert!(parse_instant(text).is_err(), "{text}");
        }
        for text in ["", "tomorrow", "2026-13-01", "15:05"] {
            assert!(parse_instant(text).is_err(), "{text}");
        }
    }
}
