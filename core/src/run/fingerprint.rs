//! The common cause of failures: a reason without the parts that differ from run to run, and its fingerprint.
//!
//! `order 4711 is not in /tmp/0190a0a0-0000-7000-8000-000000000001/part-00017.csv` and the same of another order, run and
//! part are one cause. Distinguishing parts stay: exit statuses, signals, error codes, names of jobs and tables.

use std::fmt;

use uuid::Uuid;

use super::dates::{date_in_word, time_of_words};
use super::reason::split_way;
use super::record::Run;

/// Most bytes of a reason that are looked at: the rest seldom distinguishes causes.
const MAX_LOOKED: usize = 2 * 1024;
/// Longest normalised reason, in bytes.
pub const MAX_NORMALISED: usize = 240;
/// Placeholders of the parts that differ.
const NUMBER: &str = "<n>";
const ID: &str = "<id>";
const TIME: &str = "<time>";
/// Shortest run of hexadecimal digits that counts as an id.
const MIN_HEX: usize = 7;
/// Shortest run of letters and digits that counts as an id, and how often one follows on the other in it, at least.
const MIN_MIXED: usize = 8;
const MIN_TURNS: usize = 4;
/// Shortest run of letters with some digits that counts as an id however these stand, and how many digits it has, at least.
const MIN_LONG: usize = 16;
const MIN_LONG_DIGITS: usize = 4;
/// Words before a number that distinguishes causes.
const TELLING: [&str; 7] = ["status", "signal", "code", "errno", "error", "sqlstate", "http"];
/// Longest such number, in digits.
const MAX_TELLING: usize = 5;
/// Letters after a number that are a unit.
const UNITS: [&str; 32] = [
    "ns", "us", "µs", "ms", "s", "sec", "secs", "m", "min", "mins", "h", "d", "w", "b", "k", "kb", "mb",
    "gb", "tb", "kib", "mib", "gib", "tib", "g", "t", "x", "st", "nd", "rd", "th", "am", "pm",
];
/// The namespace of fingerprints among UUIDs that follow from a text.
const FINGERPRINTS: Uuid = Uuid::from_u128(0x9d1c_7f5e_3b1a_4c52_8f0e_6a2b_91d4_07c3);
/// How many hexadecimal digits a fingerprint has: of a thousand causes two have the same in one realm of 8,000.
const LENGTH: usize = 8;

/// A name for all runs that failed for one cause: it follows from the normalised reason alone.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Fingerprint(String);

impl Fingerprint {
    /// Of a normalised reason.
    #[must_use]
    pub fn of_normalised(reason: &str) -> Self {
        let mut digest = Uuid::new_v5(&FINGERPRINTS, reason.as_bytes()).simple().to_string();
        digest.truncate(LENGTH);
        Self(digest)
    }

    /// Of a run's reason; of one that has none, that of an empty reason.
    #[must_use]
    pub fn of(run: &Run) -> Self {
        Self::of_normalised(&normalised_of(run))
    }

    /// Its text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Fingerprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}

/// A text that is not a fingerprint.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0} is not a fingerprint: it has {LENGTH} characters of 0-9 and a-f, as `pumice failures` shows it")]
pub struct NoFingerprint(String);

impl std::str::FromStr for Fingerprint {
    type Err = NoFingerprint;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let small = text.to_ascii_lowercase();
        let is_one = small.len() == LENGTH && small.bytes().all(|byte| byte.is_ascii_hexdigit());
        if is_one { Ok(Self(small)) } else { Err(NoFingerprint(crate::text::quoted(text))) }
    }
}

/// The reason of a run without the way to the step that failed, and without what differs from run to run.
#[must_use]
pub fn normalised_of(run: &Run) -> String {
    let reason = run.reason.as_deref().unwrap_or_default();
    normalised(split_way(reason).map_or(reason, |(_, why)| why))
}

/// A reason without what differs from run to run: numbers, ids, hexadecimal digits, times (also those with English names of days
/// and months), and these parts of paths.
#[must_use]
pub fn normalised(reason: &str) -> String {
    let looked = &reason[..reason.floor_char_boundary(MAX_LOOKED)];
    let mut words: Vec<String> = Vec::new();
    let is_blank = |c: char| c.is_whitespace() || c.is_control();
    let all: Vec<&str> = looked.split(is_blank).filter(|word| !word.is_empty()).collect();
    let mut rest = &all[..];
    while let [word, ..] = rest {
        let mut count = 1;
        let word = match words.last() {
            Some(before) if is_telling(before) && is_code(word) => (*word).to_owned(),
            _ => match time_of_words(rest) {
                Some((length, before, after)) => {
                    count = length;
                    format!("{before}{TIME}{after}")
                }
                None => merged(&normalised_word(word)),
            },
        };
        rest = &rest[count..];
        // A date and a time of day are one time.
        if word.starts_with(TIME) && words.last().is_some_and(|before| before == TIME) {
            words.pop();
        }
        words.push(word);
    }
    let mut text = words.join(" ");
    if text.len() > MAX_NORMALISED {
        text.truncate(text.floor_char_boundary(MAX_NORMALISED - '…'.len_utf8()));
        // Between words: half a word may be another one.
        text.truncate(text.rfind(' ').unwrap_or(text.len()));
        text.push('…');
    }
    text
}

/// Whether the number after a word distinguishes causes.
fn is_telling(word: &str) -> bool {
    let bare = word.trim_matches(|c: char| !c.is_alphanumeric()).to_ascii_lowercase();
    TELLING.contains(&&*bare)
}

/// Whether a word is a number as exit statuses and codes of errors are: short, with a sign or punctuation around it.
fn is_code(word: &str) -> bool {
    let bare = word.trim_matches(|c: char| !c.is_alphanumeric());
    !bare.is_empty() && bare.len() <= MAX_TELLING && bare.bytes().all(|byte| byte.is_ascii_digit())
}

/// Numbers that stand together with a point, a comma or a sign between them are one, as `1,024.5`, `10.0.0.1` and `2m30s`.
fn merged(word: &str) -> String {
    let mut word = word.to_owned();
    // Each round halves what is left to merge, at least.
    loop {
        let mut next = word.clone();
        for between in ["", ".", ",", "-", "_", ":"] {
            next = next.replace(&format!("{NUMBER}{between}{NUMBER}"), NUMBER);
        }
        if next == word {
            return word;
        }
        word = next;
    }
}

/// A word without what differs.
fn normalised_word(word: &str) -> String {
    let mut out = String::with_capacity(word.len());
    let mut rest = word;
    while let Some(first) = rest.chars().next() {
        if !first.is_alphanumeric() {
            out.push(first);
            rest = &rest[first.len_utf8()..];
            continue;
        }
        let is_first = out.chars().next_back().is_none_or(|before| !before.is_alphanumeric());
        let named = || date_in_word(rest).map(|length| (length, Some(TIME)));
        let found = match is_first {
            true => uuid(rest).or_else(|| time(rest)).or_else(named).or_else(|| error_code(rest)),
            false => None,
        };
        if let Some((length, placeholder)) = found {
            out.push_str(placeholder.unwrap_or(&rest[..length]));
            rest = &rest[length..];
            continue;
        }
        let end = rest.find(|c: char| !c.is_alphanumeric()).unwrap_or(rest.len());
        run_of(&rest[..end], &mut out);
        rest = &rest[end..];
    }
    out
}

/// How long a beginning is, and what stands in its place; `None` for itself.
type Found = Option<(usize, Option<&'static str>)>;

/// Whether a text goes on with no letter or digit after so many bytes.
fn ends_at(text: &str, length: usize) -> bool {
    text.get(length..).is_some_and(|rest| !rest.starts_with(|c: char| c.is_alphanumeric()))
}

/// A UUID at the beginning of a text.
fn uuid(text: &str) -> Found {
    const LENGTH: usize = 36;
    let is_one = text.get(..LENGTH).is_some_and(|begin| Uuid::parse_str(begin).is_ok());
    (is_one && ends_at(text, LENGTH)).then_some((LENGTH, Some(ID)))
}

/// Whether a text begins as a pattern, in which `9` is any digit.
fn fits(text: &str, pattern: &str) -> bool {
    let mut bytes = text.bytes();
    pattern.bytes().all(|wanted| match (bytes.next(), wanted) {
        (Some(byte), b'9') => byte.is_ascii_digit(),
        (Some(byte), wanted) => byte == wanted,
        (None, _) => false,
    })
}

/// A date, a time of day or both at the beginning of a text, with fractions and a zone.
fn time(text: &str) -> Found {
    let date = "9999-99-99".len();
    let mut length = 0;
    if fits(text, "9999-99-99") {
        length = date;
        let rest = &text[date..];
        if fits(rest, "T99:99") || fits(rest, "T9999") {
            length += 1;
        } else {
            return ends_at(text, length).then_some((length, Some(TIME)));
        }
    }
    let clock = &text[length..];
    if fits(clock, "99:99") {
        length += "99:99".len();
        if fits(&text[length..], ":99") {
            length += ":99".len();
        }
    } else if length > 0 {
        length += clock.bytes().take_while(u8::is_ascii_digit).count();
    } else {
        return None;
    }
    let rest = &text[length..];
    if rest.starts_with(['.', ',']) && fits(&rest[1..], "9") {
        length += 1 + rest[1..].bytes().take_while(u8::is_ascii_digit).count();
    }
    let rest = &text[length..];
    if rest.starts_with('Z') {
        length += 1;
    } else if fits(rest, "+99:99") || fits(rest, "-99:99") {
        length += "+99:99".len();
    }
    ends_at(text, length).then_some((length, Some(TIME)))
}

/// A code as `ORA-00942` at the beginning of a text, which distinguishes causes.
fn error_code(text: &str) -> Found {
    let letters = text.bytes().take_while(u8::is_ascii_uppercase).count();
    let rest = text.get(letters..)?.strip_prefix('-')?;
    let digits = rest.bytes().take_while(u8::is_ascii_digit).count();
    let length = letters + 1 + digits;
    let is_one = (2..=4).contains(&letters) && (3..=MAX_TELLING).contains(&digits);
    (is_one && ends_at(text, length)).then_some((length, None))
}

/// A run of letters and digits, without what differs.
fn run_of(text: &str, out: &mut String) {
    let digits = text.bytes().filter(u8::is_ascii_digit).count();
    let hex = text.strip_prefix("0x").unwrap_or(text);
    let is_hex = hex.bytes().all(|byte| byte.is_ascii_hexdigit());
    // Hexadecimal digits that are all letters may be a word, and digits alone a number.
    let has_both = digits > 0 && hex.bytes().any(|byte| byte.is_ascii_alphabetic());
    let is_id = is_hex && has_both && hex.len() >= MIN_HEX || hex.len() < text.len() && is_hex;
    let is_long = text.len() >= MIN_LONG && digits >= MIN_LONG_DIGITS && digits < text.len();
    let is_mixed = text.len() >= MIN_MIXED && turns(text) >= MIN_TURNS && !is_span(text);
    if is_id || is_long || is_mixed {
        out.push_str(ID);
        return;
    }
    let mut rest = text;
    while !rest.is_empty() {
        let letters = rest.find(|c: char| c.is_ascii_digit()).unwrap_or(rest.len());
        out.push_str(&rest[..letters]);
        rest = &rest[letters..];
        let digits = rest.bytes().take_while(u8::is_ascii_digit).count();
        if digits == 0 {
            break;
        }
        // One digit behind letters is part of a name: s3, utf8, oauth2.
        let is_name = digits == 1 && out.ends_with(char::is_alphabetic);
        out.push_str(if is_name { &rest[..digits] } else { NUMBER });
        rest = &rest[digits..];
        if !is_name {
            let unit = rest.find(|c: char| c.is_ascii_digit()).unwrap_or(rest.len());
            if UNITS.contains(&&*rest[..unit].to_lowercase()) {
                rest = &rest[unit..];
            }
        }
    }
}

/// How often a letter follows on a digit in a text, or a digit on a letter.
fn turns(text: &str) -> usize {
    let is_digit = |c: char| c.is_ascii_digit();
    text.chars().zip(text.chars().skip(1)).filter(|(one, next)| is_digit(*one) != is_digit(*next)).count()
}

/// Whether a text is numbers with units, as `2h30m15s`.
fn is_span(text: &str) -> bool {
    let mut units = text.split(|c: char| c.is_ascii_digit()).filter(|unit| !unit.is_empty());
    text.starts_with(|c: char| c.is_ascii_digit()) && units.all(|unit| UNITS.contains(&&*unit.to_lowercase()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reason_keeps_parts_that_distinguish_causes() {
        for (reason, expected) in [
            ("", ""),
            ("exit status 3: fewer than a million orders", "exit status 3: fewer than a million orders"),
            ("exit status 3: 4711 orders", "exit status 3: <n> orders"),
            ("it took 2h30m15s", "it took <n>"),
            ("sha256sum of x86_64", "sha<n>sum of x<n>"),
            ("stopped by signal 9 after 2m30s", "stopped by signal 9 after <n>"),
            ("HTTP 503 of https://a.b/x/17?id=3", "HTTP 503 of https://a.b/x/<n>?id=<n>"),
            ("http status 404: nothing", "http status 404: nothing"),
            ("error: 23505", "error: 23505"),
            ("error 20260301123", "error <n>"),
            ("ORA-00942: table or view does not exist", "ORA-00942: table or view does not exist"),
            ("cannot read s3://b/k", "cannot read s3://b/k"),
            ("cannot decode utf8 at byte 17", "cannot decode utf8 at byte <n>"),
            ("batch-17 of 2026-03-01", "batch-<n> of <time>"),
            ("at 2026-03-01T09:00:00.123Z it broke", "at <time> it broke"),
            ("at 2026-03-01 09:00:00,123 it broke", "at <time> it broke"),
            ("at 2026-03-01T09:00:00+01:00: it broke", "at <time>: it broke"),
            ("[12:30:01] it broke", "[<time>] it broke"),
            (
                "/tmp/0190a0a0-0000-7000-8000-000000000001/part-00017.csv is gone",
                "/tmp/<id>/part-<n>.csv is gone",
            ),
            ("/tmp/tmp8x2kq91a/out", "/tmp/<id>/out"),
            ("object at 0x7f3a is gone", "object at <id> is gone"),
            ("commit 3fa9c1d2 deadbeef", "commit <id> deadbeef"),
            ("request 4Z9K1Q8W2N5R7T3V failed", "request <id> failed"),
            ("connect to 10.0.0.12:5432 refused", "connect to <n> refused"),
            ("1,024.5 MB of 2048MB", "<n> MB of <n>"),
            ("a\n  b\tc\u{0}d", "a b c d"),
            ("Größe 17 überschritten", "Größe <n> überschritten"),
        ] {
            assert_eq!(normalised(reason), expected, "{reason:?}");
            assert_eq!(normalised(expected), expected);
        }
    }

    /// One cause has one fingerprint, on whichever day it comes and in whichever form its time is written.
    #[test]
    fn time_with_names_is_left_out_on_every_day() {
        for (one, other, expected) in [
            ("Mon Nov 29 01:02:03 UTC 2026 boom", "Tue Dec  1 11:02:04 UTC 2026 boom", "<time> boom"),
            ("Sun Mar 29 01:02:03 CET 2026 boom", "Mon Mar 30 01:02:03 CEST 2026 boom", "<time> boom"),
            ("Sun Mar 29 01:02:03 +03 2026: boom", "Mon Mar 30 01:02:03 +03 2026: boom", "<time>: boom"),
            ("Sun Nov 29 10:24:38 PM UTC 2026 boom", "Wed May 6 9:24:38 AM UTC 2026 boom", "<time> boom"),
            ("at Sun, 29 Nov 2026 01:02:03 GMT", "at Mon, 7 Dec 2026 01:02:03 GMT", "at <time>"),
            ("date: Fri, 1 May 2026 01:02:03 +0200", "date: Sat, 12 Dec 2026 01:02:03 +0100", "date: <time>"),
            ("[Sun Nov 29 22:24:38.123456 2026] boom", "[Thu Sep 03 02:24:38.1 2026] boom", "[<time>] boom"),
            ("[29/Nov/2026:22:24:38 +0000] boom", "[01/Dec/2026:02:24:38 +0000] boom", "[<time> +<n>] boom"),
            ("Nov 29, 2026 10:24:38 PM boom", "Dec 1, 2026 9:24:38 AM boom", "<time> boom"),
            ("Nov 29 22:24:38 ERROR boom", "Dec  1 02:24:38 ERROR boom", "<time> ERROR boom"),
            ("no file of November 29th, 2026", "no file of May 3rd, 2026", "no file of <time>"),
            ("no file of Nov 2026.", "no file of March 2026.", "no file of <time>."),
            ("no file of 29 November", "no file of 1 Sept", "no file of <time>"),
            ("ORA-01843: 29-NOV-26 boom", "ORA-01843: 01-DEC-26 boom", "ORA-01843: <time> boom"),
            ("29NOV2026:22:24:38 boom", "1Dec2026:02:24:38 boom", "<time> boom"),
            ("2026-Nov-29 is gone", "2026-May-03 is gone", "<time> is gone"),
            ("2026-11-29 Sun 01:02 boom", "2026-11-30 Mon 11:02 boom", "<time> boom"),
            ("since 10:24 PM", "since 9:24 AM", "since <time>"),
            ("since 10:24pm", "since 11:24am", "since <n>"),
        ] {
            assert_eq!((normalised(one), normalised(other)), (expected.to_owned(), expected.to_owned()));
            assert_eq!(normalised(expected), expected);
        }
    }

    #[test]
    fn word_like_one_of_a_time_is_kept_where_there_is_none() {
        for (reason, expected) in [
            ("it may 5 times fail", "it may <n> times fail"),
            ("May it fail 5 times", "May it fail <n> times"),
            ("Sun is not a printer", "Sun is not a printer"),
            ("no file of Monday", "no file of Monday"),
            ("Sat 5 rows", "Sat <n> rows"),
            ("Mark 3 of 5", "Mark <n> of <n>"),
            ("Nov 29 1024 rows", "<time> <n> rows"),
            ("Nov 29 UTC", "<time> UTC"),
            ("at 12:30 ERROR", "at <time> ERROR"),
            ("exit status 3 Nov", "exit status 3 Nov"),
        ] {
            assert_eq!(normalised(reason), expected, "{reason:?}");
        }
    }

    #[test]
    fn long_reason_is_cut_between_characters() {
        let text = normalised(&"é ".repeat(MAX_LOOKED));
        assert!(text.len() <= MAX_NORMALISED && text.ends_with('…'), "{text}");
        assert_eq!(normalised(&text), text);
        let begin = "x ".repeat(MAX_NORMALISED);
        assert_eq!(normalised(&format!("{begin}a")), normalised(&format!("{begin}b")));
    }

    #[test]
    fn fingerprint_is_read_as_it_is_written() {
        let one = Fingerprint::of_normalised("exit status <n>");
        assert_eq!(one.to_string().parse(), Ok(one.clone()));
        assert_eq!(one.to_string().to_uppercase().parse(), Ok(one.clone()));
        assert_ne!(one, Fingerprint::of_normalised(""));
        for text in ["", "3fa9", "3fa9c1d2e", "3fa9c1dg"] {
            let told = text.parse::<Fingerprint>().unwrap_err().to_string();
            assert!(told.contains("is not a fingerprint: it has 8 characters"), "{told}");
        }
    }
}
