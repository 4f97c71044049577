//! Going through the tokens.

use super::tokens;
use super::words;
use super::ymd::{Part, Ymd};

/// How ambiguous dates are read.
#[derive(Clone, Copy, Debug)]
pub(super) struct Options {
    pub(super) dayfirst: bool,
    pub(super) yearfirst: bool,
    /// Pass over words that are not part of a date.
    pub(super) fuzzy: bool,
}

/// The fields that were found.
#[derive(Debug, Default)]
pub(super) struct Found {
    pub(super) year: Option<i64>,
    pub(super) month: Option<i64>,
    pub(super) day: Option<i64>,
    pub(super) weekday: Option<u8>,
    pub(super) hour: Option<i64>,
    pub(super) minute: Option<i64>,
    pub(super) second: Option<i64>,
    pub(super) micro: Option<i64>,
    pub(super) zone: Option<String>,
    pub(super) offset: Option<i64>,
    pub(super) afternoon: Option<bool>,
}

impl Found {
    pub(super) fn is_empty(&self) -> bool {
        let numbers =
            [self.year, self.month, self.day, self.hour, self.minute, self.second, self.micro, self.offset];
        numbers.iter().all(Option::is_none)
            && self.weekday.is_none()
            && self.zone.is_none()
            && self.afternoon.is_none()
    }
}

/// Reads one text. Its steps give `None` where the text is not a date.
pub(super) struct Reader {
    pub(super) tokens: Vec<String>,
    pub(super) ymd: Ymd,
    pub(super) found: Found,
    pub(super) options: Options,
    this_year: i64,
    skipped: Vec<usize>,
}

impl Reader {
    pub(super) fn new(text: &str, this_year: i32, options: Options) -> Self {
        Self {
            tokens: tokens::split(text),
            ymd: Ymd::default(),
            found: Found::default(),
            options,
            this_year: this_year.into(),
            skipped: Vec::new(),
        }
    }

    /// A token, if there is one.
    pub(super) fn token(&self, at: usize) -> Option<&str> {
        self.tokens.get(at).map(String::as_str)
    }

    /// The fields in the text, and the parts that were skipped.
    pub(super) fn read(mut self) -> Option<(Found, Vec<String>)> {
        let mut at = 0;
        while at < self.tokens.len() {
            at = self.step(at)? + 1;
        }
        let (year, month, day) = self.ymd.resolve(self.options.yearfirst, self.options.dayfirst)?;
        self.found.year = match year {
            Some(year) if year < 0 => return None,
            Some(year) => Some(self.full_year(year, self.ymd.century)),
            None => None,
        };
        self.found.month = month;
        self.found.day = day;
        self.settle_zone();
        let skipped = self.joined_skipped();
        Some((self.found, skipped))
    }

    /// A year of two digits is within fifty years of this one.
    fn full_year(&self, year: i64, century: bool) -> i64 {
        if year >= 100 || century {
            return year;
        }
        let full = year + self.this_year / 100 * 100;
        if full >= self.this_year + 50 {
            full - 100
        } else if full < self.this_year - 50 {
            full + 100
        } else {
            full
        }
    }

    fn settle_zone(&mut self) {
        let found = &mut self.found;
        let name = found.zone.as_deref();
        if (found.offset == Some(0) && name.is_none()) || matches!(name, Some("Z" | "z")) {
            found.zone = Some("UTC".to_owned());
            found.offset = Some(0);
        } else if found.offset != Some(0) && name.is_some_and(words::is_utc) {
            found.offset = Some(0);
        }
    }

    /// Neighbouring parts that were passed over, joined.
    fn joined_skipped(&self) -> Vec<String> {
        let mut joined: Vec<String> = Vec::new();
        for (n, at) in self.skipped.iter().enumerate() {
            match joined.last_mut() {
                Some(last) if self.skipped[n - 1] + 1 == *at => last.push_str(&self.tokens[*at]),
                _ => joined.push(self.tokens[*at].clone()),
            }
        }
        joined
    }

    /// Reads from the token at `at`; gives the last token that was used.
    fn step(&mut self, at: usize) -> Option<usize> {
        let token = self.tokens[at].clone();
        if token.starts_with(|c: char| c.is_ascii_digit()) {
            return self.number(at);
        }
        if ["nan", "inf", "infinity"].iter().any(|word| word.eq_ignore_ascii_case(&token)) {
            // Python reads these as numbers, and then not.
            return None;
        }
        if let Some(weekday) = words::weekday(&token) {
            self.found.weekday = Some(weekday);
            return Some(at);
        }
        if let Some(month) = words::month(&token) {
            self.ymd.push_number(month, Some(Part::Month))?;
            return self.after_month(at);
        }
        if let Some(afternoon) = words::afternoon(&token) {
            if self.takes_half()? {
                self.found.hour = self.found.hour.map(|hour| half_day(hour, afternoon));
                self.found.afternoon = Some(afternoon);
            } else {
                self.skipped.push(at);
            }
            return Some(at);
        }
        if self.could_be_zone(&token, self.found.offset) {
            return Some(self.zone_name(at, token));
        }
        if self.found.hour.is_some() && matches!(token.as_str(), "+" | "-") {
            return self.zone_offset(at, if token == "+" { 1 } else { -1 });
        }
        if !words::is_filler(&token) && !self.options.fuzzy {
            return None;
        }
        self.skipped.push(at);
        Some(at)
    }

    /// `Jan-01`, `Jan-01-99`, `Jan of 01`.
    fn after_month(&mut self, at: usize) -> Option<usize> {
        match self.token(at + 1) {
            Some(separator @ ("-" | "/")) => {
                let separator = separator.to_owned();
                let second = self.token(at + 2)?.to_owned();
                self.ymd.push_text(&second, None)?;
                if self.token(at + 3) == Some(&separator) {
                    let third = self.token(at + 4)?.to_owned();
                    self.ymd.push_text(&third, None)?;
                    return Some(at + 4);
                }
                Some(at + 2)
            }
            Some(" ")
                if self.token(at + 3) == Some(" ")
                    && self.token(at + 2).is_some_and(|word| word.eq_ignore_ascii_case("of"))
                    && self.token(at + 4).is_some() =>
            {
                if let Some(year) = self.token(at + 4).and_then(|year| year.parse().ok()) {
                    let year = self.full_year(year, false).to_string();
                    self.ymd.push_text(&year, Some(Part::Year))?;
                }
                Some(at + 4)
            }
            _ => Some(at),
        }
    }

    /// Whether am or pm can belong to what came before.
    fn takes_half(&self) -> Option<bool> {
        let fuzzy = self.options.fuzzy;
        let mut takes = !(fuzzy && self.found.afternoon.is_some());
        if !self.found.hour.is_some_and(|hour| (0..=12).contains(&hour)) {
            if !fuzzy {
                return None;
            }
            takes = false;
        }
        Some(takes)
    }

    fn could_be_zone(&self, token: &str, offset: Option<i64>) -> bool {
        self.found.hour.is_some()
            && self.found.zone.is_none()
            && offset.is_none()
            && token.chars().count() <= 5
            && (token.bytes().all(|b| b.is_ascii_uppercase()) || words::is_listed_utc(token))
    }

    /// A zone's name; `GMT+3` means three hours ahead, the sign turned.
    fn zone_name(&mut self, at: usize, name: String) -> usize {
        self.found.offset = (name == "z").then_some(0);
        let turned = match self.token(at + 1) {
            Some("+") => Some("-"),
            Some("-") => Some("+"),
            _ => None,
        };
        let utc = words::is_utc(&name);
        self.found.zone = Some(name);
        if let Some(turned) = turned {
            self.tokens[at + 1] = turned.to_owned();
            self.found.offset = None;
            if utc {
                self.found.zone = None;
            }
        }
        at
    }

    /// `+03`, `-0300`, `+03:00`, `-0300 (BRST)`.
    fn zone_offset(&mut self, mut at: usize, sign: i64) -> Option<usize> {
        let digits = self.token(at + 1)?.to_owned();
        let (hours, minutes) = if digits.len() == 4 {
            (digits.get(..2)?.parse::<i64>().ok()?, digits.get(2..)?.parse::<i64>().ok()?)
        } else if self.token(at + 2) == Some(":") {
            let minutes = self.token(at + 3)?.parse().ok()?;
            at += 2;
            (digits.parse().ok()?, minutes)
        } else if digits.len() <= 2 {
            (digits.parse().ok()?, 0)
        } else {
            return None;
        };
        self.found.offset = Some(sign * (hours * 3_600 + minutes * 60));
        if self.token(at + 2).is_some_and(words::is_filler)
            && self.token(at + 3) == Some("(")
            && self.token(at + 5) == Some(")")
        {
            let name = self.token(at + 4)?.to_owned();
            if name.chars().count() >= 3 && self.could_be_zone(&name, None) {
                self.found.zone = Some(name);
                at += 4;
            }
        }
        Some(at + 1)
    }
}

/// An hour of the twelve-hour clock.
pub(super) fn half_day(hour: i64, afternoon: bool) -> i64 {
    match (hour, afternoon) {
        (12, false) => 0,
        (hour, true) if hour < 12 => hour + 12,
        (hour, _) => hour,
    }
}
