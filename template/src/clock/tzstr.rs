//! Zones as the variable `TZ` writes them: as dateutil's `tzstr` reads them,
//! and as POSIX has it.

use std::sync::Arc;

use super::range::{RangeZone, default_turn, weekday_of};
use super::relative::{RelativeDelta, Weekday};
use super::relative_build::day_of_year;
use super::zone::TzInfo;
use crate::call::{self, Args};
use crate::fault::{Outcome, fail};
use crate::runtime::Runtime;
use crate::value::Val;
use crate::value::show::repr_str;

/// Bytes of such a text.
const MAX_TEXT: usize = 200;

/// A day of the year on which the clock turns.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Day {
    /// `Mm.w.d`: the weekday from Monday, and its number in the month, from
    /// the end if negative.
    Month { month: i64, week: i64, weekday: i64 },
    /// A day of a month.
    Date { month: i64, day: i64 },
    /// `Jn`: from 1, 29 February never counted.
    Julian(i64),
    /// From 1, 29 February counted.
    Ordinal(i64),
}

/// A turn of the clock, and the seconds after midnight.
#[derive(Clone, Copy, Debug, Default)]
struct Turn {
    day: Option<Day>,
    time: Option<i64>,
}

impl Turn {
    /// The turn from 1 January on; at its end the clock is put back by `saving`.
    fn delta(self, end: bool, saving: i64) -> Option<RelativeDelta> {
        let seconds = (self.time.unwrap_or(7_200) - if end { saving } else { 0 }) as f64;
        let mut delta = RelativeDelta { seconds, ..RelativeDelta::default() };
        match self.day {
            None => return Some(default_turn(end, seconds)),
            Some(Day::Month { month, week, weekday }) => {
                let weekday = Weekday { day: u8::try_from(weekday).ok()?, n: i32::try_from(week).ok() };
                return Some(weekday_of(month, if week > 0 { 1 } else { 31 }, weekday, seconds));
            }
            Some(Day::Date { month, day }) => {
                delta.absolute[1] = Some(month);
                delta.absolute[2] = Some(day);
            }
            Some(Day::Julian(day)) => day_of_year(&mut delta, 0, day).ok()?,
            Some(Day::Ordinal(day)) => day_of_year(&mut delta, day, 0).ok()?,
        }
        Some(delta.fixed())
    }
}

/// The parts of a zone's text.
#[derive(Debug, Default)]
struct Parsed {
    std_name: String,
    std_offset: i64,
    dst_name: Option<String>,
    dst_offset: Option<i64>,
    start: Turn,
    end: Turn,
}

impl Parsed {
    fn zone(self, text: &str) -> Option<RangeZone> {
        let dst_offset = match (self.dst_offset, &self.dst_name) {
            (Some(offset), _) => offset,
            (None, Some(_)) => self.std_offset + 3_600,
            (None, None) => 0,
        };
        let saving = dst_offset - self.std_offset;
        let turns = match self.dst_name {
            Some(_) => Some((self.start.delta(false, saving)?, self.end.delta(true, saving)?)),
            None => None,
        };
        let within = |offset: i64| i32::try_from(offset).ok().filter(|offset| offset.abs() < 86_400);
        Some(RangeZone {
            std_name: Some(self.std_name.into()),
            dst_name: self.dst_name.map(Into::into),
            std_offset: within(self.std_offset)?,
            dst_offset: within(dst_offset)?,
            turns,
            text: Some(text.into()),
        })
    }
}

/// `tzstr(s, posix_offset)`.
pub(crate) fn tzstr(rt: &Runtime<'_>, args: Args) -> Outcome {
    let [text, posix] = args.bind("tzstr", ["s", "posix_offset"], 1)?;
    let text = text.unwrap_or(Val::None);
    let text = call::text(rt, "tzstr", "s", &text)?;
    match read(text, posix.is_some_and(|posix| posix.truth())) {
        Some(zone) => Ok(Val::Zone(Arc::new(TzInfo::Range(Arc::new(zone))))),
        None => fail(format!("{} is not a zone such as \"EST5EDT\"", repr_str(text))),
    }
}

/// A zone as dateutil reads it: `GMT+3` is ahead of GMT, unless `posix`.
pub(crate) fn read(text: &str, posix: bool) -> Option<RangeZone> {
    if text.len() > MAX_TEXT || !text.is_ascii() {
        return None;
    }
    let mut tokens = Tokens { list: split(text), at: 0 };
    let mut parsed = tokens.names()?;
    if matches!(parsed.std_name.as_str(), "GMT" | "UTC") && !posix {
        // dateutil fails on these without an offset.
        if tokens.at == 1 {
            return None;
        }
        parsed.std_offset = -parsed.std_offset;
    }
    tokens.turns(&mut parsed)?;
    parsed.zone(text)
}

/// Runs of letters, runs of digits, and other characters one by one but for
/// those that stand together.
fn split(text: &str) -> Vec<&str> {
    let kind = |c: char| match c {
        ',' | ':' | '.' => 0,
        c if c.is_ascii_alphabetic() => 1,
        c if c.is_ascii_digit() => 2,
        _ => 3,
    };
    let mut list: Vec<&str> = Vec::new();
    let mut from = 0;
    for (at, c) in text.char_indices().skip(1) {
        let before = text[..at].chars().next_back().map_or(3, kind);
        if before != kind(c) || before == 0 {
            list.push(&text[from..at]);
            from = at;
        }
    }
    if from < text.len() {
        list.push(&text[from..]);
    }
    list
}

struct Tokens<'t> {
    list: Vec<&'t str>,
    at: usize,
}

impl<'t> Tokens<'t> {
    fn peek(&self) -> Option<&'t str> {
        self.list.get(self.at).copied()
    }

    fn next(&mut self) -> Option<&'t str> {
        let token = self.peek()?;
        self.at += 1;
        Some(token)
    }

    fn number(&mut self) -> Option<i64> {
        let token = self.next()?;
        (!token.is_empty() && token.bytes().all(|b| b.is_ascii_digit())).then(|| token.parse().ok())?
    }

    /// `BRST+3[BRDT[+2]]`.
    fn names(&mut self) -> Option<Parsed> {
        let mut parsed = Parsed::default();
        loop {
            let from = self.at;
            while self.peek().is_some_and(|token| !token.contains(|c: char| "0123456789:,-+".contains(c))) {
                self.at += 1;
            }
            if self.at == from {
                break;
            }
            let name = self.list[from..self.at].concat();
            let second = !parsed.std_name.is_empty();
            let offset = match self.peek() {
                Some(sign @ ("+" | "-")) => {
                    self.at += 1;
                    Some(if sign == "+" { -1 } else { 1 })
                }
                Some(token) if token.starts_with(|c: char| c.is_ascii_digit()) => Some(-1),
                _ => None,
            };
            let offset = match offset {
                Some(sign) => Some(sign * self.clock(false)?),
                None => None,
            };
            if second {
                parsed.dst_name = Some(name);
                parsed.dst_offset = offset;
                break;
            }
            parsed.std_name = name;
            parsed.std_offset = offset.unwrap_or(0);
        }
        (!parsed.std_name.is_empty()).then_some(parsed)
    }

    /// `0300`, `03:00` (`03:00:00` of a turn) or `3`, in seconds.
    fn clock(&mut self, seconds: bool) -> Option<i64> {
        let length = self.peek()?.len();
        let number = self.number()?;
        if length == 4 {
            return Some(number / 100 * 3_600 + number % 100 * 60);
        }
        if self.peek() == Some(":") {
            self.at += 1;
            let mut total = number * 3_600 + self.number()? * 60;
            if seconds && self.peek() == Some(":") {
                self.at += 1;
                total += self.number()?;
            }
            return Some(total);
        }
        (length <= 2).then_some(number * 3_600)
    }

    fn turns(&mut self, parsed: &mut Parsed) -> Option<()> {
        let Some(token) = self.next() else {
            return Some(());
        };
        if token != "," && token != ";" {
            return None;
        }
        let commas = self.list.iter().filter(|token| **token == ",").count();
        match commas {
            2 => {
                parsed.start = self.turn()?;
                if self.next()? != "," {
                    return None;
                }
                parsed.end = self.turn()?;
            }
            8 | 9 => self.numbers(parsed)?,
            _ => return None,
        }
        self.peek().is_none().then_some(())
    }

    /// `M3.2.0/2`, `J60` or `59`.
    fn turn(&mut self) -> Option<Turn> {
        let day = match self.peek()? {
            "J" => {
                self.at += 1;
                Day::Julian(self.number()?)
            }
            "M" => {
                self.at += 1;
                let month = self.number()?;
                let mut part = || matches!(self.next(), Some("." | "-")).then(|| self.number())?;
                let (week, weekday) = (part()?, part()?);
                let week = if week == 5 { -1 } else { week };
                Day::Month { month, week, weekday: (weekday - 1).rem_euclid(7) }
            }
            _ => Day::Ordinal(self.number()? + 1),
        };
        let time = match self.peek() {
            Some("/") => {
                self.at += 1;
                Some(self.clock(true)?)
            }
            _ => None,
        };
        Some(Turn { day: Some(day), time })
    }

    /// dateutil's own `GMT0BST,3,0,30,3600,10,0,26,7200[,3600]`.
    fn numbers(&mut self, parsed: &mut Parsed) -> Option<()> {
        let mut turns = [Turn::default(); 2];
        for (at, turn) in turns.iter_mut().enumerate() {
            if at > 0 && self.next()? != "," {
                return None;
            }
            let month = self.number()?;
            let comma = |tokens: &mut Self| (tokens.next()? == ",").then_some(());
            comma(self)?;
            let sign = if self.peek() == Some("-") { -1 } else { 1 };
            self.at += usize::from(sign < 0);
            let week = sign * self.number()?;
            comma(self)?;
            let day = self.number()?;
            comma(self)?;
            turn.day = Some(if week == 0 {
                Day::Date { month, day }
            } else {
                Day::Month { month, week, weekday: (day - 1).rem_euclid(7) }
            });
            turn.time = Some(self.number()?);
        }
        [parsed.start, parsed.end] = turns;
        if self.peek() == Some(",") {
            self.at += 1;
            let sign = match self.peek()? {
                "-" => -1,
                _ => 1,
            };
            self.at += usize::from(matches!(self.peek(), Some("-" | "+")));
            parsed.dst_offset = Some(parsed.std_offset + sign * self.number()?);
        }
        Some(())
    }
}

/// A rule of the variable `TZ` as POSIX has it: `GMT+3` is behind GMT, names
/// may stand in `<>`, and daylight saving time without dates is that of the
/// United States.
pub(crate) fn posix(text: &str) -> Option<RangeZone> {
    if text.len() > MAX_TEXT || !text.is_ascii() {
        return None;
    }
    let mut rest = text;
    let mut parsed = Parsed { std_name: posix_name(&mut rest)?, ..Parsed::default() };
    parsed.std_offset = -posix_clock(&mut rest)?;
    if rest.is_empty() {
        return parsed.zone(text);
    }
    parsed.dst_name = Some(posix_name(&mut rest)?);
    if !rest.is_empty() && !rest.starts_with(',') {
        parsed.dst_offset = Some(-posix_clock(&mut rest)?);
    }
    let turns = rest.strip_prefix(',').unwrap_or("M3.2.0,M11.1.0");
    let (start, end) = turns.split_once(',')?;
    parsed.start = posix_turn(start)?;
    parsed.end = posix_turn(end)?;
    parsed.zone(text)
}

fn posix_name(rest: &mut &str) -> Option<String> {
    let (name, after) = match rest.strip_prefix('<') {
        Some(quoted) => quoted.split_once('>')?,
        None => rest.split_at(rest.find(|c: char| !c.is_ascii_alphabetic()).unwrap_or(rest.len())),
    };
    *rest = after;
    (name.len() >= 3).then(|| name.to_owned())
}

/// `[+-]h[h][:mm[:ss]]` in seconds; hours of a turn may be up to 167.
fn posix_clock(rest: &mut &str) -> Option<i64> {
    let length = rest.find(|c: char| !(c.is_ascii_digit() || "+-:".contains(c))).unwrap_or(rest.len());
    let (clock, after) = rest.split_at(length);
    *rest = after;
    let (sign, digits) = match clock.strip_prefix('-') {
        Some(digits) => (-1, digits),
        None => (1, clock.strip_prefix('+').unwrap_or(clock)),
    };
    let mut seconds = 0;
    let mut parts = digits.split(':');
    for (unit, most) in [(3_600, 167), (60, 59), (1, 59)] {
        let Some(part) = parts.next() else {
            break;
        };
        let number: i64 = part.parse().ok().filter(|number| (0..=most).contains(number))?;
        seconds += number * unit;
    }
    parts.next().is_none().then_some(sign * seconds)
}

fn posix_turn(text: &str) -> Option<Turn> {
    let (day, time) = text.split_once('/').map_or((text, None), |(day, time)| (day, Some(time)));
    let within = |text: &str, least: i64, most: i64| {
        text.parse::<i64>().ok().filter(|number| (least..=most).contains(number))
    };
    let day = if let Some(day) = day.strip_prefix('J') {
        Day::Julian(within(day, 1, 365)?)
    } else if let Some(day) = day.strip_prefix('M') {
        let mut parts = day.split('.');
        let mut part = |least, most| within(parts.next()?, least, most);
        let (month, week, weekday) = (part(1, 12)?, part(1, 5)?, part(0, 6)?);
        let week = if week == 5 { -1 } else { week };
        Day::Month { month, week, weekday: (weekday - 1).rem_euclid(7) }
    } else {
        Day::Ordinal(within(day, 0, 365)? + 1)
    };
    let time = match time {
        Some(mut time) => Some(posix_clock(&mut time).filter(|_| time.is_empty())?),
        None => None,
    };
    Some(Turn { day: Some(day), time })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn posix_rules_are_read() {
        let zone = posix("<+0330>-3:30<+0430>,J79/24,J263/24").unwrap();
        assert_eq!((zone.std_offset, zone.dst_offset), (12_600, 16_200));
        assert_eq!(zone.std_name.as_deref(), Some("+0330"));
        assert_eq!(posix("EST5EDT4"), posix("EST5EDT,M3.2.0,M11.1.0"));
        assert_eq!(posix("UTC+3").unwrap().std_offset, -10_800);
        for bad in [
            "",
            "E5",
            "EST",
            "EST5EDT,M3.2.0",
            "EST5EDT,M13.1.0,M1.1.0",
            "EST5:60",
            "Europe/London",
            "EST200",
        ] {
            assert!(posix(bad).is_none(), "{bad}");
        }
    }

    #[test]
    fn dateutils_texts_are_read() {
        assert_eq!(read("UTC+3", false).unwrap().std_offset, 10_800);
        assert_eq!(read("EST+5", false).unwrap().std_offset, -18_000);
        assert_eq!(read("BRST+3BRDT+2", false).unwrap().dst_offset, -7_200);
        for bad in ["", "<+03>-3", "5", "EST5EDT,M3.2.0", "EST500"] {
            assert!(read(bad, false).is_none(), "{bad}");
        }
    }
}
