//! Up to three numbers that are year, month and day in some order.

use crate::clock::date::days_in_month;

/// The known meaning of a number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Part {
    Year,
    Month,
}

/// The numbers of a date as they were found.
#[derive(Debug, Default)]
pub(super) struct Ymd {
    numbers: Vec<i64>,
    year: Option<usize>,
    month: Option<usize>,
    /// A year was written with more than two digits.
    pub(super) century: bool,
}

/// Year, month and day, as far as they were given.
pub(super) type Resolved = (Option<i64>, Option<i64>, Option<i64>);

impl Ymd {
    pub(super) fn len(&self) -> usize {
        self.numbers.len()
    }

    /// Adds digits as they were written: more than two make a year.
    pub(super) fn push_text(&mut self, text: &str, label: Option<Part>) -> Option<()> {
        let digits = !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
        let number = text.parse().ok()?;
        self.push(number, digits && text.len() > 2, label)
    }

    /// Adds a number: one above 100 is a year.
    pub(super) fn push_number(&mut self, number: i64, label: Option<Part>) -> Option<()> {
        self.push(number, number > 100, label)
    }

    fn push(&mut self, number: i64, is_year: bool, mut label: Option<Part>) -> Option<()> {
        if is_year {
            self.century = true;
            if !matches!(label, None | Some(Part::Year)) {
                return None;
            }
            label = Some(Part::Year);
        }
        self.numbers.push(number);
        let at = self.numbers.len() - 1;
        let place = match label {
            None => return Some(()),
            Some(Part::Year) => &mut self.year,
            Some(Part::Month) => &mut self.month,
        };
        if place.is_some() {
            return None;
        }
        *place = Some(at);
        Some(())
    }

    /// Whether a number may still be the day.
    pub(super) fn could_be_day(&self, number: i64) -> bool {
        let most = match self.month.map(|at| self.numbers[at]) {
            None => 31,
            Some(month) => {
                // Without a year, a leap year is allowed for.
                let year = self.year.map_or(2000, |at| self.numbers[at]);
                let year = if (1..=9999).contains(&year) { year } else { 2000 + year.rem_euclid(400) };
                days_in_month(year as i32, month.clamp(1, 12) as u32).into()
            }
        };
        (1..=most).contains(&number)
    }

    /// Decides which number is what; `None` if there are too many.
    pub(super) fn resolve(&self, yearfirst: bool, dayfirst: bool) -> Option<Resolved> {
        let numbers = &self.numbers;
        let known = [self.year, self.month].iter().flatten().count();
        if (numbers.len() == known && known > 0) || (numbers.len() == 3 && known == 2) {
            return Some(self.resolve_known());
        }
        match (numbers.len(), self.month) {
            (0, _) => Some((None, None, None)),
            (1, None) => Some(day_or_year(numbers[0], None)),
            (1, Some(_)) => Some((None, Some(numbers[0]), None)),
            (2, Some(month)) => Some(day_or_year(numbers[1 - month], Some(numbers[month]))),
            (2, None) => Some(two(numbers[0], numbers[1], dayfirst)),
            (3, _) => Some(self.three(yearfirst, dayfirst)),
            _ => None,
        }
    }

    /// All are labelled, or all but one of three.
    fn resolve_known(&self) -> Resolved {
        let mut places = [self.year, self.month, None];
        if self.numbers.len() == 3 {
            let missing = (0..3).find(|at| !places.contains(&Some(*at)));
            if let Some(place) = places.iter_mut().find(|place| place.is_none()) {
                *place = missing;
            }
        }
        let get = |place: Option<usize>| place.and_then(|at| self.numbers.get(at).copied());
        (get(places[0]), get(places[1]), get(places[2]))
    }

    fn three(&self, yearfirst: bool, dayfirst: bool) -> Resolved {
        let (a, b, c) = (self.numbers[0], self.numbers[1], self.numbers[2]);
        let (year, month, day) = match self.month {
            Some(0) if b > 31 => (b, a, c),
            Some(0) => (c, a, b),
            Some(1) if a > 31 || (yearfirst && c <= 31) => (a, b, c),
            Some(1) => (c, b, a),
            Some(_) if b > 31 => (b, c, a),
            Some(_) => (a, c, b),
            None if a > 31 || self.year == Some(0) || (yearfirst && b <= 12 && c <= 31) => {
                if dayfirst && c <= 12 { (a, c, b) } else { (a, b, c) }
            }
            None if a > 12 || (dayfirst && b <= 12) => (c, b, a),
            None => (c, a, b),
        };
        (Some(year), Some(month), Some(day))
    }
}

fn day_or_year(number: i64, month: Option<i64>) -> Resolved {
    if number > 31 { (Some(number), month, None) } else { (None, month, Some(number)) }
}

fn two(a: i64, b: i64, dayfirst: bool) -> Resolved {
    if a > 31 {
        (Some(a), Some(b), None)
    } else if b > 31 {
        (Some(b), Some(a), None)
    } else if dayfirst && b <= 12 {
        (None, Some(b), Some(a))
    } else {
        (None, Some(a), Some(b))
    }
}
