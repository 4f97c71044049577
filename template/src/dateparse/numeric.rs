//! The meanings that a number in a date can have.

use super::reader::{Reader, half_day};
use super::words;
use super::ymd::Part;

/// A decimal number: the whole part, and the digits after the point.
struct Number {
    whole: i64,
    fraction: String,
}

impl Number {
    fn parse(text: &str) -> Option<Self> {
        let (whole, fraction) = text.split_once('.').unwrap_or((text, ""));
        let digits = |part: &str| part.bytes().all(|b| b.is_ascii_digit());
        if !digits(whole) || !digits(fraction) || (whole.is_empty() && fraction.is_empty()) {
            return None;
        }
        // Longer numbers are out of any range.
        let whole = if whole.len() > 18 { i64::MAX / 2 } else { whole.parse().unwrap_or(0) };
        Some(Self { whole, fraction: fraction.to_owned() })
    }

    /// Sixty times the fraction, if there is one.
    fn sixtieths(&self) -> Option<i64> {
        let digits: String = self.fraction.chars().take(15).collect();
        let number: i64 = digits.parse().ok()?;
        if self.fraction.bytes().all(|b| b == b'0') {
            return None;
        }
        let scale = 10i128.pow(digits.len() as u32);
        i64::try_from(i128::from(number) * 60 / scale).ok()
    }
}

fn int(text: Option<&str>) -> Option<i64> {
    text?.parse().ok()
}

/// `28` or `28.5` as seconds and microseconds.
fn seconds(text: &str) -> Option<(i64, i64)> {
    match text.split_once('.') {
        None => Some((text.parse().ok()?, 0)),
        Some((whole, fraction)) => {
            let six: String = fraction.chars().chain("000000".chars()).take(6).collect();
            Some((whole.parse().ok()?, six.parse().ok()?))
        }
    }
}

impl Reader {
    /// Reads from a number; gives the last token that was used.
    pub(super) fn number(&mut self, at: usize) -> Option<usize> {
        let text = self.tokens[at].clone();
        let value = Number::parse(&text)?;
        let length = text.len();
        let next = self.token(at + 1).map(str::to_owned);
        let clock_follows = next.as_deref().is_some_and(|next| next == ":" || words::unit(next).is_some());
        if self.ymd.len() == 3 && matches!(length, 2 | 4) && self.found.hour.is_none() && !clock_follows {
            // 19990101T23[59]
            self.found.hour = Some(int(text.get(..2))?);
            if length == 4 {
                self.found.minute = Some(int(text.get(2..))?);
            }
            return Some(at);
        }
        if length == 6 || (length > 6 && text.find('.') == Some(6)) {
            return self.six_digits(at, &text);
        }
        if matches!(length, 8 | 12 | 14) {
            return self.compact(at, &text);
        }
        if let Some(unit_at) = self.unit_near(at) {
            return self.with_unit(at, unit_at, &text, &value);
        }
        if next.as_deref() == Some(":") && self.token(at + 2).is_some() {
            return self.clock(at, &value);
        }
        if let Some(separator @ ("-" | "/" | ".")) = next.as_deref() {
            return self.separated(at, &text, separator);
        }
        if next.as_deref().is_none_or(words::is_filler) {
            if let Some(afternoon) = self.token(at + 2).and_then(words::afternoon) {
                self.found.hour = Some(half_day(value.whole, afternoon));
                return Some(at + 2);
            }
            self.ymd.push_number(value.whole, None)?;
            return Some(at + 1);
        }
        let afternoon = next.as_deref().and_then(words::afternoon);
        if let (Some(afternoon), 0..24) = (afternoon, value.whole) {
            self.found.hour = Some(half_day(value.whole, afternoon));
            return Some(at + 1);
        }
        if value.fraction.is_empty() && self.ymd.could_be_day(value.whole) {
            self.ymd.push_number(value.whole, None)?;
        } else if !self.options.fuzzy {
            return None;
        }
        Some(at)
    }

    /// `YYMMDD`, or `HHMMSS[.ss]` after a date.
    fn six_digits(&mut self, at: usize, text: &str) -> Option<usize> {
        if self.ymd.len() == 0 && !text.contains('.') {
            for part in [text.get(..2)?, text.get(2..4)?, text.get(4..)?] {
                self.ymd.push_text(part, None)?;
            }
        } else {
            self.found.hour = Some(int(text.get(..2))?);
            self.found.minute = Some(int(text.get(2..4))?);
            let (second, micro) = seconds(text.get(4..)?)?;
            self.found.second = Some(second);
            self.found.micro = Some(micro);
        }
        Some(at)
    }

    /// `YYYYMMDD[hhmm[ss]]`.
    fn compact(&mut self, at: usize, text: &str) -> Option<usize> {
        self.ymd.push_text(text.get(..4)?, Some(Part::Year))?;
        self.ymd.push_text(text.get(4..6)?, None)?;
        self.ymd.push_text(text.get(6..8)?, None)?;
        if text.len() > 8 {
            self.found.hour = Some(int(text.get(8..10))?);
            self.found.minute = Some(int(text.get(10..12))?);
            if text.len() > 12 {
                self.found.second = Some(int(text.get(12..))?);
            }
        }
        Some(at)
    }

    /// Where the unit of a number stands: after it, or before the last one.
    fn unit_near(&self, at: usize) -> Option<usize> {
        let unit = |at: usize| self.token(at).and_then(words::unit).is_some();
        if unit(at + 1) {
            Some(at + 1)
        } else if self.token(at + 1) == Some(" ") && unit(at + 2) {
            Some(at + 2)
        } else if at > 0 && unit(at - 1) {
            Some(at - 1)
        } else if at > 1 && at == self.tokens.len() - 1 && self.token(at - 1) == Some(" ") && unit(at - 2) {
            Some(at - 2)
        } else {
            None
        }
    }

    /// `10h36m28.5s`; in `10h36` the last number's unit is the next smaller.
    fn with_unit(&mut self, at: usize, unit_at: usize, text: &str, value: &Number) -> Option<usize> {
        let unit = self.token(unit_at).and_then(words::unit)?;
        let (unit, last) = if unit_at > at { (unit, unit_at) } else { (unit + 1, at) };
        match unit {
            0 => {
                self.found.hour = Some(value.whole);
                if let Some(minute) = value.sixtieths() {
                    self.found.minute = Some(minute);
                }
            }
            1 => {
                self.found.minute = Some(value.whole);
                self.found.second = value.sixtieths();
            }
            2 => {
                let (second, micro) = seconds(text)?;
                self.found.second = Some(second);
                self.found.micro = Some(micro);
            }
            _ => {}
        }
        Some(last)
    }

    /// `HH:MM[:SS[.ss]]`.
    fn clock(&mut self, at: usize, value: &Number) -> Option<usize> {
        self.found.hour = Some(value.whole);
        let minutes = Number::parse(self.token(at + 2)?)?;
        self.found.minute = Some(minutes.whole);
        self.found.second = minutes.sixtieths();
        if self.token(at + 3) == Some(":") && self.token(at + 4).is_some() {
            let (second, micro) = seconds(self.token(at + 4)?)?;
            self.found.second = Some(second);
            self.found.micro = Some(micro);
            return Some(at + 4);
        }
        Some(at + 2)
    }

    /// `01-02-2026`, `1/Mar/2026`, `2026.03`.
    fn separated(&mut self, at: usize, text: &str, separator: &str) -> Option<usize> {
        self.ymd.push_text(text, None)?;
        let Some(second) = self.token(at + 2).filter(|token| !words::is_filler(token)).map(str::to_owned)
        else {
            return Some(at + 1);
        };
        self.push_part(&second)?;
        if self.token(at + 3) == Some(separator) {
            let third = self.token(at + 4)?.to_owned();
            match words::month(&third) {
                Some(month) => self.ymd.push_number(month, Some(Part::Month))?,
                None => self.ymd.push_text(&third, None)?,
            }
            return Some(at + 4);
        }
        Some(at + 2)
    }

    /// Digits, or the name of a month.
    fn push_part(&mut self, text: &str) -> Option<()> {
        if text.bytes().all(|b| b.is_ascii_digit()) {
            return self.ymd.push_text(text, None);
        }
        self.ymd.push_number(words::month(text)?, Some(Part::Month))
    }
}
