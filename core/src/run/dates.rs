//! Times of a text with English names of days and months, as `date`, mail headers, Java and logs of web servers write them:
//! `Mon Nov 29 01:02:03 UTC 2026`, `Sun, 29 Nov 2026 01:02:03 GMT`, `Nov 29, 2026 10:02:03 PM`, `29/Nov/2026:01:02:03`.

const MONTHS: [&str; 12] = [
    "january",
    "february",
    "march",
    "april",
    "may",
    "june",
    "july",
    "august",
    "september",
    "october",
    "november",
    "december",
];
const WEEKDAYS: [&str; 7] = ["monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday"];
/// Shortest abbreviation of a name, in letters.
const MIN_NAME: usize = 3;
/// Zones that are known wherever they stand; before a year any may stand.
const ZONES: [&str; 19] = [
    "UTC", "GMT", "WET", "WEST", "CET", "CEST", "EET", "EEST", "BST", "IST", "EST", "EDT", "CST", "CDT",
    "MST", "MDT", "PST", "PDT", "JST",
];
/// Most words of a time.
const MAX_WORDS: usize = 8;

/// The parts of a time that were found.
#[derive(Default)]
struct Parts {
    weekday: bool,
    day: bool,
    month: bool,
    year: bool,
    clock: bool,
    half: bool,
    zone: bool,
}

impl Parts {
    /// Takes a word that may go on with the time; `next` is the one after it.
    fn take(&mut self, word: &str, next: Option<&str>) -> bool {
        let part = if is_name(word, &WEEKDAYS) {
            &mut self.weekday
        } else if is_name(word, &MONTHS) {
            &mut self.month
        } else if is_day(word) {
            let is_of_date = self.month || next.is_some_and(|next| is_name(bare(next), &MONTHS));
            if !is_of_date {
                return false;
            }
            &mut self.day
        } else if self.month && is_year(word) {
            &mut self.year
        } else if is_date(word) && !self.day && !self.year {
            (self.day, self.year) = (true, true);
            &mut self.month
        } else if is_clock(word) {
            &mut self.clock
        } else if self.clock && ["AM", "PM", "A.M", "P.M"].iter().any(|half| word.eq_ignore_ascii_case(half))
        {
            &mut self.half
        } else if self.clock && is_zone(word, next) {
            &mut self.zone
        } else {
            return false;
        };
        !std::mem::replace(part, true)
    }

    /// Whether they are a time, and not just a word or a number as in a time.
    const fn is_time(&self) -> bool {
        self.month && (self.day || self.year) || self.clock && (self.weekday || self.half)
    }
}

/// How many words at the beginning of these are one time, and the punctuation before and after it.
pub(super) fn time_of_words<'w>(words: &[&'w str]) -> Option<(usize, &'w str, &'w str)> {
    let (before, first) = words.first()?.split_at(words.first()?.find(char::is_alphanumeric)?);
    let (mut parts, mut count, mut after) = (Parts::default(), 0, "");
    for (index, word) in words.iter().copied().enumerate().take(MAX_WORDS) {
        let word = if index == 0 { first } else { word };
        let next = words.get(index + 1).copied();
        let core = word.trim_end_matches(|c: char| !c.is_alphanumeric());
        if !parts.take(core, next) {
            break;
        }
        (count, after) = (index + 1, &word[core.len()..]);
        if !["", ",", "."].contains(&after) {
            break;
        }
    }
    parts.is_time().then_some((count, before, after))
}

/// The length in bytes of a date at the beginning of a text that has the month's name between numbers, with the time of day after
/// it.
pub(super) fn date_in_word(text: &str) -> Option<usize> {
    let digits = |text: &str| text.bytes().take_while(u8::is_ascii_digit).count();
    let letters = |text: &str| text.bytes().take_while(u8::is_ascii_alphabetic).count();
    let is_separator = |text: &str| text.starts_with(['-', '/']);
    let mut length = digits(text);
    if ![1, 2, 4].contains(&length) {
        return None;
    }
    let has_separators = is_separator(&text[length..]);
    length += usize::from(has_separators);
    let name = letters(&text[length..]);
    if !is_name(&text[length..length + name], &MONTHS) {
        return None;
    }
    length += name;
    if is_separator(&text[length..]) != has_separators {
        return None;
    }
    length += usize::from(has_separators);
    let last = digits(&text[length..]);
    if ![1, 2, 4].contains(&last) {
        return None;
    }
    length += last;
    let rest = &text[length..];
    if let Some(clock) = rest.strip_prefix([':', 'T']) {
        let end = clock.find(|c: char| !c.is_ascii_digit() && c != ':').unwrap_or(clock.len());
        if is_clock(&clock[..end]) {
            length += 1 + end;
        }
    }
    text[length..].chars().next().is_none_or(|c| !c.is_alphanumeric()).then_some(length)
}

/// Whether a word is one of these names or an abbreviation of one, with a capital letter: `may` is a verb.
fn is_name(word: &str, names: &[&str]) -> bool {
    let lower = word.to_ascii_lowercase();
    word.starts_with(|c: char| c.is_ascii_uppercase())
        && lower.len() >= MIN_NAME
        && names.iter().any(|name| name.starts_with(&lower))
}

fn bare(word: &str) -> &str {
    word.trim_matches(|c: char| !c.is_alphanumeric())
}

fn is_number(text: &str, lengths: std::ops::RangeInclusive<usize>) -> bool {
    lengths.contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_digit())
}

/// Whether a word is the day of a month: `3`, `03`, `3rd`.
fn is_day(word: &str) -> bool {
    let number = ["st", "nd", "rd", "th"].iter().find_map(|end| word.strip_suffix(end)).unwrap_or(word);
    is_number(number, 1..=2)
}

fn is_year(word: &str) -> bool {
    is_number(word, 4..=4) && ["19", "20", "21"].contains(&&word[..2])
}

/// Whether a word is a date of numbers: `2026-11-29`.
fn is_date(word: &str) -> bool {
    let mut parts = word.split('-');
    let mut is_next = |length| parts.next().is_some_and(|part| is_number(part, length..=length));
    is_next(4) && is_next(2) && is_next(2) && parts.next().is_none()
}

/// Whether a word is a time of day: `1:02`, `01:02:03`, `01:02:03.123`.
fn is_clock(word: &str) -> bool {
    let (clock, fraction) =
        word.split_once(['.', ',']).map_or((word, None), |(clock, rest)| (clock, Some(rest)));
    let parts: Vec<&str> = clock.split(':').collect();
    let is_fraction = fraction.is_none_or(|fraction| is_number(fraction, 1..=9));
    let has_parts = (2..=3).contains(&parts.len()) && is_number(parts[0], 1..=2);
    is_fraction && has_parts && parts[1..].iter().all(|part| is_number(part, 2..=2))
}

/// Whether a word is a zone: `UTC`, `+0100`, `-05:00`.
fn is_zone(word: &str, next: Option<&str>) -> bool {
    if let Some(offset) = word.strip_prefix(['+', '-']) {
        return is_number(&offset.replacen(':', "", 1), 2..=4);
    }
    let is_short = (MIN_NAME..=5).contains(&word.len()) && word.bytes().all(|byte| byte.is_ascii_uppercase());
    ZONES.contains(&word) || is_short && next.is_some_and(|next| is_year(bare(next)))
}
