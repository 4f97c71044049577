//! `strptime`: a format becomes a regular expression, as in Python.

use std::borrow::Cow;
use std::collections::HashMap;
use std::sync::Arc;

use chrono::{Datelike, NaiveDate};

use super::date::{Date, from_iso_week, ymd};
use super::datetime::DateTime;
use super::strftime::{DAYS, MONTHS};
use super::time::hms;
use super::zone::{TzInfo, worker_names};
use crate::fault::{Outcome, fail, over};
use crate::runtime::Runtime;
use crate::value::digits;
use crate::value::show::repr_str;

/// Bytes of a text or format.
const MAX_TEXT: usize = 10_000;

/// The pattern of a directive's numbers.
fn number_pattern(letter: char) -> Option<&'static str> {
    Some(match letter {
        'd' => r"3[01]|[12]\d|0[1-9]|[1-9]| [1-9]",
        'f' => r"[0-9]{1,6}",
        'H' => r"2[0-3]|[01]\d|\d",
        'I' => r"1[0-2]|0[1-9]|[1-9]",
        'G' | 'Y' => r"\d\d\d\d",
        'j' => r"36[0-6]|3[0-5]\d|[12]\d\d|0[1-9]\d|00[1-9]|[1-9]\d|0[1-9]|[1-9]",
        'm' => r"1[0-2]|0[1-9]|[1-9]",
        'M' => r"[0-5]\d|\d",
        'S' => r"6[01]|[0-5]\d|\d",
        'U' | 'W' => r"5[0-3]|[0-4]\d|\d",
        'V' => r"5[0-3]|0[1-9]|[1-4]\d|\d",
        'u' => r"[1-7]",
        'w' => r"[0-6]",
        'y' => r"\d\d",
        'z' => r"[+-]\d\d:?[0-5]\d(?::?[0-5]\d(?:\.\d{1,6})?)?|Z",
        _ => return None,
    })
}

/// The texts that a directive matches.
fn alternatives(rt: &Runtime<'_>, letter: char) -> Outcome<String> {
    let short = |names: &[&str]| names.iter().map(|name| name[..3].to_owned()).collect();
    let full = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect();
    let mut names: Vec<String> = match letter {
        'a' => short(&DAYS),
        'A' => full(&DAYS),
        'b' | 'h' => short(&MONTHS),
        'B' => full(&MONTHS),
        'p' => full(&["am", "pm"]),
        'Z' => {
            let zones = worker_names(rt.ctx.local_zone(), rt.ctx.about_now()).into_iter();
            let zones = zones.chain(["UTC".to_owned(), "GMT".to_owned()]);
            zones.map(|zone| zone.replace('+', "\\+")).collect()
        }
        letter => {
            return match number_pattern(letter) {
                Some(pattern) => Ok(pattern.to_owned()),
                None => fail(format!("%{letter} is not a directive of strptime")),
            };
        }
    };
    // The longest first, as the first that fits is taken.
    names.sort_by_key(|name| std::cmp::Reverse(name.len()));
    Ok(names.join("|"))
}

/// The pattern of a format, with a group for each directive.
fn pattern(rt: &Runtime<'_>, format: &str) -> Outcome<String> {
    let expanded =
        format.replace("%c", "%a %b %d %H:%M:%S %Y").replace("%x", "%m/%d/%y").replace("%X", "%H:%M:%S");
    let mut out = String::from(r"(?i)\A");
    let mut seen = String::new();
    let mut chars = expanded.chars().peekable();
    while let Some(c) = chars.next() {
        if c.is_whitespace() {
            while chars.peek().is_some_and(|c| c.is_whitespace()) {
                chars.next();
            }
            out.push_str(r"\s+");
            continue;
        }
        if c != '%' {
            if r"\.^$*+?{}[]|()#&-~".contains(c) {
                out.push('\\');
            }
            out.push(c);
            continue;
        }
        let letter = match chars.next() {
            Some('%') => {
                out.push('%');
                continue;
            }
            Some(letter) => letter,
            None => return fail("the format ends in a stray %"),
        };
        let alternatives = alternatives(rt, letter)?;
        let group = if letter == 'h' { 'b' } else { letter };
        if seen.contains(group) {
            return fail(format!("%{letter} is in the format twice"));
        }
        seen.push(group);
        out.push_str(&format!("(?P<{group}>{alternatives})"));
    }
    Ok(out)
}

/// `datetime.strptime(text, format)`.
pub(crate) fn strptime(rt: &Runtime<'_>, text: &str, format: &str) -> Outcome<DateTime> {
    rt.step((text.len() + format.len()) as u64)?;
    if text.len().max(format.len()) > MAX_TEXT {
        return over("the text or its format is too long to be a date", "10000 bytes");
    }
    let regex = rt.regexes.raw(rt, &pattern(rt, format)?)?;
    let mismatch = || fail(format!("{} does not match the format {}", repr_str(text), repr_str(format)));
    let Ok(Some(found)) = regex.captures(text) else {
        return mismatch();
    };
    let Some(all) = found.get(0) else {
        return mismatch();
    };
    if all.end() != text.len() {
        return fail(format!(
            "{} is left over after the format {}",
            repr_str(&text[all.end()..]),
            repr_str(format)
        ));
    }
    let mut fields = HashMap::new();
    for name in regex.capture_names().flatten() {
        if let (Some(letter), Some(part)) = (name.chars().next(), found.name(name)) {
            fields.insert(letter, digits::ascii(part.as_str()));
        }
    }
    build(&fields)
}

/// The text that each directive matched, digits in ASCII.
type Fields<'t> = HashMap<char, Cow<'t, str>>;

fn number(fields: &Fields<'_>, letter: char) -> Option<i64> {
    fields.get(&letter)?.trim().parse().ok()
}

fn index_of(names: &[&str], text: &str) -> Option<i64> {
    let same = |name: &&str| name.eq_ignore_ascii_case(text) || name[..3].eq_ignore_ascii_case(text);
    Some(names.iter().position(same)? as i64)
}

fn build(fields: &Fields<'_>) -> Outcome<DateTime> {
    let mut hour = number(fields, 'H').unwrap_or(0);
    if let Some(hour12) = number(fields, 'I') {
        let afternoon = fields.get(&'p').is_some_and(|p| p.eq_ignore_ascii_case("pm"));
        hour = hour12 % 12 + if afternoon { 12 } else { 0 };
    }
    let micro = fields.get(&'f').map_or(Ok(0), |digits| format!("{digits:0<6}").parse());
    let second = number(fields, 'S').unwrap_or(0);
    let time = hms(hour, number(fields, 'M').unwrap_or(0), second, micro.unwrap_or(0))?;
    let zone = match fields.get(&'z') {
        Some(zone) => Some(Arc::new(zone_of(zone, fields.get(&'Z').map(|name| &**name))?)),
        None => None,
    };
    Ok(DateTime::new(day(fields)?.and_time(time), zone))
}

fn zone_of(text: &str, name: Option<&str>) -> Outcome<TzInfo> {
    if text.eq_ignore_ascii_case("z") {
        return Ok(TzInfo::Utc);
    }
    let digits: Vec<i64> = text.bytes().filter(u8::is_ascii_digit).map(|b| i64::from(b - b'0')).collect();
    let two = |at: usize| digits.get(at).zip(digits.get(at + 1)).map_or(0, |(a, b)| a * 10 + b);
    let seconds = two(0) * 3_600 + two(2) * 60 + two(4);
    if seconds >= 86_400 {
        return fail("a zone's offset must be less than a day");
    }
    let seconds = if text.starts_with('-') { -seconds } else { seconds } as i32;
    Ok(match name {
        Some(name) => TzInfo::Fixed { seconds, name: Some(name.into()) },
        None => TzInfo::fixed(seconds),
    })
}

fn day(fields: &Fields<'_>) -> Outcome<NaiveDate> {
    let year = match (number(fields, 'Y'), number(fields, 'y')) {
        (Some(year), _) => Some(year),
        (None, Some(short)) => Some(if short <= 68 { 2000 + short } else { 1900 + short }),
        (None, None) => None,
    };
    let month = number(fields, 'm')
        .or_else(|| Some(index_of(&MONTHS, fields.get(&'B').or_else(|| fields.get(&'b'))?)? + 1));
    let weekday = number(fields, 'u')
        .map(|day| day - 1)
        .or_else(|| number(fields, 'w').map(|day| (day + 6) % 7))
        .or_else(|| index_of(&DAYS, fields.get(&'A').or_else(|| fields.get(&'a'))?));
    if let (Some(iso_year), Some(week)) = (number(fields, 'G'), number(fields, 'V')) {
        let Some(weekday) = weekday else {
            return fail("%G and %V need a weekday too: add %u, %w or %A");
        };
        if fields.contains_key(&'j') {
            return fail("%j does not go with %G: use %Y for a calendar year");
        }
        return from_iso_week(iso_year, week, weekday + 1);
    }
    // Next to a week of the other kinds, Python ignores %V.
    let other_week = fields.contains_key(&'U') || fields.contains_key(&'W');
    if fields.contains_key(&'G') || (fields.contains_key(&'V') && !other_week) {
        return fail("%G and %V go together, with a weekday: use %Y for a calendar year");
    }
    let base = year.unwrap_or(1900);
    if let Some(ordinal) = number(fields, 'j') {
        let first = ymd(base, 1, 1)?;
        return Ok(Date::from_ordinal(i64::from(first.num_days_from_ce()) + ordinal - 1)?.0);
    }
    let week = number(fields, 'U')
        .map(|week| (week, false))
        .or_else(|| number(fields, 'W').map(|week| (week, true)));
    if let (Some((week, from_monday)), Some(weekday), Some(year)) = (week, weekday, year) {
        let first = ymd(year, 1, 1)?;
        let starts = i64::from(first.weekday().num_days_from_monday());
        let (starts, weekday) =
            if from_monday { (starts, weekday) } else { ((starts + 1) % 7, (weekday + 1) % 7) };
        let week_zero = (7 - starts) % 7;
        let ordinal = if week == 0 { 1 + weekday - starts } else { 1 + week_zero + 7 * (week - 1) + weekday };
        return Ok(Date::from_ordinal(i64::from(first.num_days_from_ce()) + ordinal - 1)?.0);
    }
    let day = number(fields, 'd').unwrap_or(1);
    ymd(base, month.unwrap_or(1), day)
}
