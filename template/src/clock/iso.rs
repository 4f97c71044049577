//! `fromisoformat`, as of Python 3.11.

use std::sync::Arc;

use chrono::{NaiveDate, NaiveTime};

use super::date::{from_iso_week, ymd};
use super::datetime::DateTime;
use super::time::hms;
use super::zone::TzInfo;
use crate::fault::{Outcome, fail};

fn unreadable<T>(text: &str) -> Outcome<T> {
    fail(format!("\"{text}\" is not in ISO 8601 format"))
}

/// Reads exactly `count` digits at `at`.
fn digits(text: &[u8], at: usize, count: usize) -> Option<i64> {
    let part = text.get(at..at + count)?;
    if !part.iter().all(u8::is_ascii_digit) {
        return None;
    }
    Some(part.iter().fold(0, |number, digit| number * 10 + i64::from(digit - b'0')))
}

/// A date: `2026-03-01`, `20260301`, `2026-W09-7`, `2026W097`, `2026-W09`.
pub(crate) fn date(text: &str) -> Outcome<NaiveDate> {
    let bytes = text.as_bytes();
    let Some(year) = digits(bytes, 0, 4) else {
        return unreadable(text);
    };
    let dash = usize::from(bytes.get(4) == Some(&b'-'));
    let at = 4 + dash;
    if bytes.get(at) == Some(&b'W') {
        let Some(week) = digits(bytes, at + 1, 2) else {
            return unreadable(text);
        };
        let rest = at + 3;
        let weekday = match bytes.len() - rest {
            0 => Some(1),
            1 if dash == 0 => digits(bytes, rest, 1),
            2 if dash == 1 && bytes[rest] == b'-' => digits(bytes, rest + 1, 1),
            _ => None,
        };
        return match weekday {
            Some(weekday) => from_iso_week(year, week, weekday),
            None => unreadable(text),
        };
    }
    let month = digits(bytes, at, 2);
    let second = bytes.get(at + 2) == Some(&b'-');
    let day = digits(bytes, at + 2 + dash, 2);
    match (month, day) {
        (Some(month), Some(day)) if (dash == 1) == second && bytes.len() == at + 4 + dash => {
            ymd(year, month, day)
        }
        _ => unreadable(text),
    }
}

/// A time with its zone: `04:05:06.789+11:00`, `040506Z`, `04`.
pub(crate) fn time(text: &str) -> Outcome<(NaiveTime, Option<TzInfo>)> {
    let bare = text.strip_prefix('T').unwrap_or(text);
    let zone_at = bare.find(['+', '-', 'Z']);
    let (clock, zone) = bare.split_at(zone_at.unwrap_or(bare.len()));
    let Some([hour, minute, second, micro]) = parts(clock) else {
        return unreadable(text);
    };
    let time = hms(hour, minute, second, micro)?;
    let zone = match zone {
        "" => None,
        "Z" => Some(TzInfo::Utc),
        zone => {
            let Some([hours, minutes, seconds, _]) = parts(&zone[1..]) else {
                return unreadable(text);
            };
            let offset = hours * 3_600 + minutes * 60 + seconds;
            if offset >= 86_400 {
                return fail("a zone's offset must be less than a day");
            }
            let offset = if zone.starts_with('-') { -offset } else { offset };
            Some(TzInfo::fixed(offset as i32))
        }
    };
    Ok((time, zone))
}

/// Hours, minutes, seconds and microseconds, with or without colons.
fn parts(text: &str) -> Option<[i64; 4]> {
    let (clock, fraction) = match text.find(['.', ',']) {
        Some(at) => (&text[..at], Some(&text[at + 1..])),
        None => (text, None),
    };
    let bytes = clock.as_bytes();
    let colon = usize::from(bytes.get(2) == Some(&b':'));
    let mut parts = [0; 4];
    let mut at = 0;
    let mut count = 0;
    while count < 3 && at < bytes.len() {
        if count > 0 && colon == 1 {
            if bytes[at] != b':' {
                return None;
            }
            at += 1;
        }
        parts[count] = digits(bytes, at, 2)?;
        at += 2;
        count += 1;
    }
    if at != bytes.len() || count == 0 {
        return None;
    }
    if let Some(fraction) = fraction {
        if count != 3 || fraction.is_empty() || !fraction.bytes().all(|b| b.is_ascii_digit()) {
            return None;
        }
        let six: String = fraction.chars().chain("000000".chars()).take(6).collect();
        parts[3] = six.parse().ok()?;
    }
    Some(parts)
}

/// A date and time with any one character between them.
pub(crate) fn datetime(text: &str) -> Outcome<DateTime> {
    if !text.is_char_boundary(separator(text.as_bytes()).min(text.len())) || text.len() < 7 {
        return unreadable(text);
    }
    let (day, rest) = text.split_at(separator(text.as_bytes()).min(text.len()));
    let day = date(day)?;
    let mut rest = rest.chars();
    if rest.next().is_none() {
        return Ok(DateTime::new(day.and_time(NaiveTime::MIN), None));
    }
    let (clock, zone) = time(rest.as_str())?;
    Ok(DateTime::new(day.and_time(clock), zone.map(Arc::new)))
}

/// Where the date ends.
fn separator(text: &[u8]) -> usize {
    let digit = |at: usize| text.get(at).is_some_and(u8::is_ascii_digit);
    match (text.get(4), text.get(5)) {
        _ if text.len() == 7 => 7,
        (Some(b'-'), Some(b'W')) if text.get(8) == Some(&b'-') && !(text.len() > 10 && digit(10)) => 10,
        (Some(b'-'), _) => 10,
        (Some(b'W'), _) => {
            let end = (7..text.len()).find(|at| !digit(*at)).unwrap_or(text.len());
            match end {
                end if end < 9 => end,
                end if end % 2 == 0 => 7,
                _ => 8,
            }
        }
        _ => 8,
    }
}
