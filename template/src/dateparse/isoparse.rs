//! dateutil's `isoparse`.

use std::sync::Arc;

use chrono::{Datelike, NaiveDate, NaiveTime};

use crate::clock::date::{Date, is_leap, ymd};
use crate::clock::datetime::DateTime;
use crate::clock::delta::Delta;
use crate::clock::time::{Time, hms};
use crate::clock::zone::TzInfo;
use crate::fault::Outcome;

/// Up to `count` digits at `at`, as far as the text goes.
fn digits(text: &[u8], at: usize, count: usize) -> Option<i64> {
    let part = text.get(at..(at + count).min(text.len()))?;
    if part.is_empty() || !part.iter().all(u8::is_ascii_digit) {
        return None;
    }
    Some(part.iter().fold(0, |number, digit| number * 10 + i64::from(digit - b'0')))
}

/// A datetime; `None` if the text is not in the format, an error if it is
/// but there is no such time.
pub(super) fn isoparse(text: &[u8], separator: Option<u8>) -> Outcome<Option<DateTime>> {
    let Some((day, used)) = day(text)? else {
        return Ok(None);
    };
    if used >= text.len() {
        return Ok(Some(DateTime::new(day.and_time(NaiveTime::MIN), None)));
    }
    if separator.is_some_and(|separator| text[used] != separator) {
        return Ok(None);
    }
    let Some((mut clock, zone)) = time(&text[used + 1..]) else {
        return Ok(None);
    };
    let midnight = clock[0] == 24;
    if midnight {
        clock[0] = 0;
    }
    let time = hms(clock[0], clock[1], clock[2], clock[3])?;
    let datetime = DateTime::new(day.and_time(time), zone.map(Arc::new));
    Ok(Some(if midnight { datetime.plus(Delta::seconds(86_400))? } else { datetime }))
}

fn day(text: &[u8]) -> Outcome<Option<(NaiveDate, usize)>> {
    let found = common_date(text).map_or_else(|| uncommon_date(text), |found| Ok(Some(found)))?;
    Ok(match found {
        Some((date, used)) => Some((ymd(date[0], date[1], date[2])?, used)),
        None => None,
    })
}

/// A date alone.
pub(super) fn date(text: &[u8]) -> Outcome<Option<NaiveDate>> {
    Ok(day(text)?.filter(|(_, used)| *used >= text.len()).map(|(day, _)| day))
}

/// A time of day alone; 24:00 is 00:00.
pub(super) fn clock(text: &[u8]) -> Outcome<Option<Time>> {
    let Some(([hour, minute, second, micro], zone)) = time(text) else {
        return Ok(None);
    };
    let time = hms(hour % 24, minute, second, micro)?;
    Ok(Some(Time { time, tz: zone.map(Arc::new), fold: false }))
}

/// `YYYY`, `YYYY-MM`, `YYYY-MM-DD`, `YYYYMMDD`; also how far it goes.
fn common_date(text: &[u8]) -> Option<([i64; 3], usize)> {
    if text.len() < 4 {
        return None;
    }
    let year = digits(text, 0, 4)?;
    if text.len() == 4 {
        return Some(([year, 1, 1], 4));
    }
    let dash = usize::from(text[4] == b'-');
    let at = 4 + dash;
    if text.len() < at + 2 {
        return None;
    }
    let month = digits(text, at, 2)?;
    let at = at + 2;
    if at >= text.len() {
        return (dash == 1).then_some(([year, month, 1], at));
    }
    if dash == 1 && text[at] != b'-' {
        return None;
    }
    let at = at + dash;
    if text.len() < at + 2 {
        return None;
    }
    Some(([year, month, digits(text, at, 2)?], at + 2))
}

/// `YYYY-Www[-D]`, `YYYYWww[D]`, `YYYY-DDD`, `YYYYDDD`.
fn uncommon_date(text: &[u8]) -> Outcome<Option<([i64; 3], usize)>> {
    let Some(year) = digits(text, 0, 4).filter(|_| text.len() >= 4) else {
        return Ok(None);
    };
    let dash = usize::from(text.get(4) == Some(&b'-'));
    let mut at = 4 + dash;
    let first = ymd(year, 1, 1)?;
    let ordinal = if text.get(at) == Some(&b'W') {
        let Some(week) = digits(text, at + 1, 2).filter(|week| (1..54).contains(week)) else {
            return Ok(None);
        };
        at += 3;
        let mut weekday = Some(1);
        if text.len() > at {
            if (text[at] == b'-') != (dash == 1) {
                return Ok(None);
            }
            at += dash;
            weekday = digits(text, at, 1);
            at += 1;
        }
        let Some(weekday) = weekday.filter(|day| (1..8).contains(day)) else {
            return Ok(None);
        };
        let fourth = ymd(year, 1, 4)?;
        let monday = i64::from(fourth.num_days_from_ce() - fourth.weekday().num_days_from_monday() as i32);
        monday + (week - 1) * 7 + weekday - 1
    } else {
        let day = digits(text, at, 3).filter(|_| text.len() >= at + 3);
        let most = 365 + i64::from(is_leap(year as i32));
        let Some(day) = day.filter(|day| (1..=most).contains(day)) else {
            return Ok(None);
        };
        at += 3;
        i64::from(first.num_days_from_ce()) + day - 1
    };
    let date = Date::from_ordinal(ordinal)?.0;
    Ok(Some(([date.year().into(), date.month().into(), date.day().into()], at)))
}

/// `hh[:mm[:ss[.ssssss]]]` or without colons, and the zone.
fn time(text: &[u8]) -> Option<([i64; 4], Option<TzInfo>)> {
    if text.len() < 2 {
        return None;
    }
    let mut clock = [0; 4];
    let mut zone = None;
    let (mut at, mut part, mut colons) = (0, 0, false);
    while at < text.len() && part < 5 {
        if matches!(text[at], b'-' | b'+' | b'Z' | b'z') {
            zone = Some(offset(&text[at..], true)?);
            at = text.len();
            break;
        }
        if part == 1 && text[at] == b':' {
            colons = true;
            at += 1;
        } else if part == 2 && colons {
            if text[at] != b':' {
                return None;
            }
            at += 1;
        }
        if part < 3 {
            clock[part] = digits(text, at, 2)?;
            at += 2;
        } else if part == 3 && matches!(text[at], b'.' | b',') {
            let length = text[at + 1..].iter().take_while(|b| b.is_ascii_digit()).count();
            if length > 0 {
                let used = length.min(6);
                clock[3] = digits(text, at + 1, used)? * 10i64.pow(6 - used as u32);
                at += 1 + length;
            }
        }
        part += 1;
    }
    if at < text.len() || (clock[0] == 24 && clock[1..] != [0, 0, 0]) {
        return None;
    }
    Some((clock, zone))
}

/// `Z`, `+hh`, `+hhmm` or `+hh:mm`.
pub(super) fn offset(text: &[u8], zero_as_utc: bool) -> Option<TzInfo> {
    if matches!(text, b"Z" | b"z") {
        return Some(TzInfo::TzUtc);
    }
    if !matches!(text.len(), 3 | 5 | 6) {
        return None;
    }
    let sign = match text[0] {
        b'-' => -1,
        b'+' => 1,
        _ => return None,
    };
    let hours = digits(text, 1, 2)?;
    let minutes = match text.len() {
        3 => 0,
        _ => {
            let at = if text[3] == b':' { 4 } else { 3 };
            digits(text, at, text.len() - at)?
        }
    };
    if zero_as_utc && hours == 0 && minutes == 0 {
        return Some(TzInfo::TzUtc);
    }
    if minutes > 59 || hours > 23 {
        return None;
    }
    let seconds = (sign * (hours * 60 + minutes) * 60) as i32;
    Some(TzInfo::Offset { name: None, seconds })
}
