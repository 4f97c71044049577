//! `strftime` in the C locale, as glibc and Python do it together.

use chrono::{Datelike, NaiveDate, NaiveDateTime, NaiveTime, Timelike};

use super::time::micros;
use super::zone::{TzInfo, offset_text, worker_names, worker_to_utc};
use crate::fault::{Outcome, fail, over};
use crate::runtime::Runtime;
use crate::value::Val;

/// Columns a field may be padded to.
const MAX_WIDTH: usize = 1_000;

/// The parts of a date or time that a format can show.
struct Moment {
    wall: NaiveDateTime,
    offset: Option<i32>,
    zone: String,
    /// Whether the clock's own zone says that it saves daylight.
    saves: Option<bool>,
}

/// `value.strftime(format)`.
pub(crate) fn strftime(rt: &Runtime<'_>, value: &Val, format: &str) -> Outcome<String> {
    let moment = match value {
        Val::Date(date) => {
            Moment { wall: date.0.and_time(NaiveTime::MIN), offset: None, zone: String::new(), saves: None }
        }
        Val::DateTime(datetime) => Moment {
            wall: datetime.wall,
            offset: datetime.offset(),
            zone: datetime.tz_name().unwrap_or_default(),
            saves: datetime
                .tz
                .as_ref()
                .and_then(|tz| tz.dst(datetime.wall, datetime.fold))
                .map(|saving| saving != 0),
        },
        Val::Time(time) => Moment {
            // Python dates a time of day 1 January 1900.
            wall: NaiveDate::from_ymd_opt(1900, 1, 1).unwrap_or_default().and_time(time.time),
            offset: time.offset(),
            saves: None,
            zone: time
                .tz
                .as_ref()
                .filter(|tz| tz.fixed_offset().is_some())
                .and_then(|tz| tz.name(NaiveDateTime::default(), false))
                .unwrap_or_default(),
        },
        _ => return fail("only dates and times have strftime"),
    };
    rt.alloc(format.len().saturating_mul(8))?;
    moment.format(rt, format)
}

/// Flags and width between `%` and the letter.
#[derive(Default)]
struct Field {
    pad: Option<char>,
    upper: bool,
    swap: bool,
    width: usize,
}

impl Moment {
    fn format(&self, rt: &Runtime<'_>, format: &str) -> Outcome<String> {
        let mut out = String::with_capacity(format.len() + 16);
        let mut rest = format;
        while let Some(at) = rest.find('%') {
            out.push_str(&rest[..at]);
            let spec = &rest[at..];
            let (field, letter, length) = Field::read(spec);
            if field.width > MAX_WIDTH {
                return over("a strftime width is too large", "1000 columns");
            }
            match letter.map(|letter| self.directive(rt, letter, &field)) {
                Some(Ok(Some(text))) => out.push_str(&text),
                Some(Err(fault)) => return Err(fault),
                // Text that is not a directive is copied.
                _ => out.push_str(&spec[..length]),
            }
            rest = &spec[length..];
        }
        out.push_str(rest);
        Ok(out)
    }

    fn directive(&self, rt: &Runtime<'_>, letter: char, field: &Field) -> Outcome<Option<String>> {
        let (day, time) = (self.wall.date(), self.wall.time());
        let number = |value: i64, width: usize, pad: char| field.number(value, width, pad);
        let two = |value: u32| number(value.into(), 2, '0');
        let hour12 = match time.hour() % 12 {
            0 => 12,
            hour => hour,
        };
        let monday = day.weekday().num_days_from_monday();
        let sunday = day.weekday().num_days_from_sunday();
        let iso = day.iso_week();
        let whole = |format: &str| self.format(rt, format).map(|text| Some(field.text(&text)));
        Ok(Some(match letter {
            'Y' => number(day.year().into(), 0, '0'),
            'G' => number(iso.year().into(), 0, '0'),
            'C' => number((day.year() / 100).into(), 0, '0'),
            'y' => two(day.year().unsigned_abs() % 100),
            'g' => two(iso.year().unsigned_abs() % 100),
            'm' => two(day.month()),
            'd' => two(day.day()),
            'e' => number(day.day().into(), 2, ' '),
            'H' => two(time.hour()),
            'k' => number(time.hour().into(), 2, ' '),
            'I' => two(hour12),
            'l' => number(hour12.into(), 2, ' '),
            'M' => two(time.minute()),
            'S' => two(time.second()),
            'f' => format!("{:06}", micros(time)),
            'j' => number(day.ordinal().into(), 3, '0'),
            'U' => two((day.ordinal() + 6 - sunday) / 7),
            'W' => two((day.ordinal() + 6 - monday) / 7),
            'V' => two(iso.week()),
            'u' => number(i64::from(monday) + 1, 1, '0'),
            'w' => number(sunday.into(), 1, '0'),
            'a' => field.text(&DAYS[monday as usize % 7][..3]),
            'A' => field.text(DAYS[monday as usize % 7]),
            'b' | 'h' => field.text(&MONTHS[day.month0() as usize % 12][..3]),
            'B' => field.text(MONTHS[day.month0() as usize % 12]),
            'p' if field.swap => (if time.hour() < 12 { "am" } else { "pm" }).to_owned(),
            'p' => field.text(if time.hour() < 12 { "AM" } else { "PM" }),
            'P' => (if time.hour() < 12 { "am" } else { "pm" }).to_owned(),
            'z' => self.offset.map(|offset| offset_text(offset, "")).unwrap_or_default(),
            // The flag `#` turns the case of a zone's name, and of other names makes capitals (strftime(3), Glibc notes).
            'Z' if field.swap => {
                Field { upper: false, swap: false, ..*field }.text(&self.zone.to_lowercase())
            }
            'Z' => field.text(&self.zone),
            's' => {
                let utc = worker_to_utc(rt.ctx.local_zone(), self.wall, false).unwrap_or(self.wall);
                // The C library takes the time for the worker's, and believes what is
                // said of daylight saving time.
                let worker = TzInfo::Local(rt.ctx.local_zone()).dst(self.wall, false).unwrap_or(0);
                let moved = match self.saves {
                    Some(false) => i64::from(worker),
                    Some(true)
                        if worker == 0 && worker_names(rt.ctx.local_zone(), rt.ctx.about_now()).len() > 1 =>
                    {
                        -3_600
                    }
                    _ => 0,
                };
                number(utc.and_utc().timestamp() + moved, 1, '0')
            }
            'n' => "\n".to_owned(),
            't' => "\t".to_owned(),
            '%' => "%".to_owned(),
            'D' | 'x' => return whole("%m/%d/%y"),
            'F' => return whole("%Y-%m-%d"),
            'T' | 'X' => return whole("%H:%M:%S"),
            'R' => return whole("%H:%M"),
            'r' => return whole("%I:%M:%S %p"),
            'c' => return whole("%a %b %e %H:%M:%S %Y"),
            _ => return Ok(None),
        }))
    }
}

impl Field {
    /// Reads `%` with flags, width and letter; also gives their length.
    fn read(spec: &str) -> (Self, Option<char>, usize) {
        let mut field = Self::default();
        let mut at = 1;
        let mut chars = spec[1..].chars().peekable();
        while let Some(flag @ ('-' | '_' | '0' | '^' | '#')) = chars.peek().copied() {
            match flag {
                '^' => field.upper = true,
                '#' => field.swap = true,
                flag => field.pad = Some(flag),
            }
            chars.next();
            at += 1;
        }
        while let Some(digit) = chars.peek().and_then(|c| c.to_digit(10)) {
            field.width = (field.width * 10 + digit as usize).min(MAX_WIDTH + 1);
            chars.next();
            at += 1;
        }
        if matches!(chars.peek(), Some('E' | 'O')) {
            chars.next();
            at += 1;
        }
        let letter = chars.next();
        (field, letter, at + letter.map_or(0, char::len_utf8))
    }

    fn number(&self, value: i64, width: usize, pad: char) -> String {
        let pad = match self.pad {
            Some('-') => return value.to_string(),
            Some('_') => ' ',
            Some(_) => '0',
            None => pad,
        };
        let width = width.max(self.width);
        let digits = value.unsigned_abs().to_string();
        let sign = if value < 0 { "-" } else { "" };
        let fill = pad.to_string().repeat(width.saturating_sub(digits.len() + sign.len()));
        if pad == ' ' { format!("{fill}{sign}{digits}") } else { format!("{sign}{fill}{digits}") }
    }

    fn text(&self, text: &str) -> String {
        let text = if self.upper || self.swap { text.to_uppercase() } else { text.to_owned() };
        let pad = if self.pad == Some('0') { "0" } else { " " };
        pad.repeat(self.width.saturating_sub(text.chars().count())) + &text
    }
}

/// Weekdays from Monday.
pub(crate) const DAYS: [&str; 7] =
    ["Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday"];
/// Months from January.
pub(crate) const MONTHS: [&str; 12] = [
    "January",
    "February",
    "March",
    "April",
    "May",
    "June",
    "July",
    "August",
    "September",
    "October",
    "November",
    "December",
];
