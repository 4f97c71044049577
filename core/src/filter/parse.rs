//! Reads a filter, and shows where it is wrong. A [`Vocabulary`] has the words, and the values of each.

use chrono::{Offset, TimeZone, Timelike};

use super::term::{FilterTime, Tag, Term, Wanted, Word};
use crate::Timestamp;
use crate::duration::Span;
use crate::problem::{did_you_mean, nearest};
use crate::request::{Instant, parse_instant};
use crate::run::{Fingerprint, Status, Trigger};
use crate::text::{escaped, quoted};

/// Longest filter, in bytes.
pub const MAX_FILTER: usize = 8 * 1024;
/// Fewest characters of an id that a filter takes for its beginning.
const MIN_ID: usize = 4;
/// Longest id, as records write it.
const MAX_ID: usize = 36;

/// A text that is not a filter: what is wrong, the text, and a caret below the place.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{message}{}", below(text, *at))]
pub struct BadFilter {
    /// The mistake: a lower-case fragment.
    pub message: String,
    /// The text.
    pub text: String,
    /// The place of the mistake, in bytes; `None` where it is not at one place.
    pub at: Option<usize>,
}

/// The text and the caret, each on a line of its own.
fn below(text: &str, at: Option<usize>) -> String {
    let Some(before) = at.and_then(|at| text.get(..at)) else { return String::new() };
    let blanks = " ".repeat(escaped(before).chars().count());
    format!("\n  {}\n  {blanks}^", escaped(text))
}

/// A mistake, and its place in the text.
pub(super) struct Mistake {
    at: usize,
    message: String,
}

pub(super) fn mistake<T>(at: usize, message: impl Into<String>) -> Result<T, Mistake> {
    Err(Mistake { at, message: message.into() })
}

/// A value with its place.
pub(super) struct Part {
    pub(super) at: usize,
    /// Where it ends.
    end: usize,
    pub(super) text: String,
}

/// The words of a kind of filter.
pub(super) trait Vocabulary: Copy + 'static {
    /// The values that a term asks for.
    type Wanted;
    /// Every word.
    fn all() -> impl Iterator<Item = Self>;
    /// A term with several values, for messages.
    fn several() -> String;
    /// A term that must not hold, for messages.
    fn not() -> String;
    /// The two words that a value without one may have been meant for.
    fn bare() -> [&'static str; 2];
    /// The message about a word that is not one of them.
    fn unknown(name: &str) -> String {
        format!("{} is not a word of filters", quoted(name))
    }
    /// The word as it is written.
    fn word(self) -> &'static str;
    /// The word for the other side of a time; `None` for a word that is about no time.
    fn opposite(self) -> Option<&'static str>;
    /// The values that it asks for, from these parts.
    fn wanted(self, parts: Vec<Part>) -> Result<Self::Wanted, Mistake>;
}

impl Vocabulary for Word {
    type Wanted = Wanted;

    fn all() -> impl Iterator<Item = Self> {
        Word::ALL.into_iter()
    }

    fn several() -> String {
        "status:failed,rejected".to_owned()
    }

    fn not() -> String {
        "-status:complete".to_owned()
    }

    fn bare() -> [&'static str; 2] {
        ["job", "reason"]
    }

    fn word(self) -> &'static str {
        self.as_str()
    }

    fn opposite(self) -> Option<&'static str> {
        match self {
            Self::Since => Some("until"),
            Self::Until => Some("since"),
            _ => None,
        }
    }

    fn wanted(self, parts: Vec<Part>) -> Result<Wanted, Mistake> {
        wanted(self, parts)
    }
}

/// The terms of a filter of runs.
pub(super) fn parse(text: &str) -> Result<Vec<Term>, BadFilter> {
    let terms = terms::<Word>(text)?;
    Ok(terms.into_iter().map(|(is_negated, wanted)| Term { is_negated, wanted }).collect())
}

/// The terms of a filter: whether each is negated, and what it asks for.
pub(super) fn terms<V: Vocabulary>(text: &str) -> Result<Vec<(bool, V::Wanted)>, BadFilter> {
    if text.len() > MAX_FILTER {
        let message = format!("a filter of {} bytes is longer than {MAX_FILTER}", text.len());
        return Err(BadFilter { message, text: String::new(), at: None });
    }
    let mut reader = Reader { text, at: 0 };
    let mut terms = Vec::new();
    let read = loop {
        reader.skip_blanks();
        if reader.rest().is_empty() {
            break Ok(());
        }
        match reader.term::<V>() {
            Ok(term) => terms.push(term),
            Err(mistake) => break Err(mistake),
        }
    };
    read.map(|()| terms).map_err(|Mistake { at, message }| BadFilter {
        message,
        text: text.to_owned(),
        at: Some(at),
    })
}

/// The text of a filter with the offset of a zone behind each time that names none. A text that is not a filter stays as it is.
pub(super) fn with_offsets<V: Vocabulary>(text: &str, zone: chrono_tz::Tz) -> String {
    if terms::<V>(text).is_err() {
        return text.to_owned();
    }
    let mut reader = Reader { text, at: 0 };
    let (mut whole, mut copied) = (String::with_capacity(text.len()), 0);
    loop {
        reader.skip_blanks();
        if reader.rest().is_empty() {
            break;
        }
        let Ok((_, word, parts)) = reader.parts::<V>() else { return text.to_owned() };
        if word.opposite().is_none() {
            continue;
        }
        for part in parts {
            let (at, end) = (part.at, part.end);
            let Ok(FilterTime::At(time @ Instant::Wall(_))) = when(word.word(), vec![part]) else { continue };
            whole.push_str(text.get(copied..at).unwrap_or_default());
            whole.push_str(&with_offset(time.in_zone(zone), zone));
            copied = end;
        }
    }
    whole.push_str(text.get(copied..).unwrap_or_default());
    whole
}

/// A time with its offset in a zone, in as few parts as say it.
fn with_offset(at: Timestamp, zone: chrono_tz::Tz) -> String {
    // Before there were zones, clocks were off by seconds.
    let is_written = zone.offset_from_utc_datetime(&at.naive_utc()).fix().local_minus_utc() % 60 == 0;
    let local = at.with_timezone(if is_written { &zone } else { &chrono_tz::UTC });
    let form = match (local.second(), local.nanosecond()) {
        (0, 0) => "%Y-%m-%dT%H:%M%:z",
        (_, 0) => "%Y-%m-%dT%H:%M:%S%:z",
        _ => "%Y-%m-%dT%H:%M:%S%.6f%:z",
    };
    local.format(form).to_string()
}

/// Reads a text from its beginning to its end.
struct Reader<'t> {
    text: &'t str,
    at: usize,
}

impl<'t> Reader<'t> {
    fn rest(&self) -> &'t str {
        self.text.get(self.at..).unwrap_or_default()
    }

    fn peek(&self) -> Option<char> {
        self.rest().chars().next()
    }

    fn skip_blanks(&mut self) {
        self.at = self.text.len() - self.rest().trim_start().len();
    }

    /// The text before the next of some characters, or a blank.
    fn until(&mut self, ends: &[char]) -> &'t str {
        let rest = self.rest();
        let end = rest.find(|c: char| c.is_whitespace() || ends.contains(&c)).unwrap_or(rest.len());
        self.at += end;
        &rest[..end]
    }

    fn term<V: Vocabulary>(&mut self) -> Result<(bool, V::Wanted), Mistake> {
        let (is_negated, word, parts) = self.parts::<V>()?;
        Ok((is_negated, word.wanted(parts)?))
    }

    /// Whether a term is negated, its word, and its values.
    fn parts<V: Vocabulary>(&mut self) -> Result<(bool, V, Vec<Part>), Mistake> {
        let begin = self.at;
        let is_negated = self.peek() == Some('-');
        self.at += usize::from(is_negated);
        let at = self.at;
        let name = self.until(&[':', '"', ',']);
        if self.peek() != Some(':') || name.is_empty() || name.starts_with(['(', '!']) {
            return mistake(begin, without_word::<V>(name, self.rest()));
        }
        let Some(word) = V::all().find(|word| word.word() == name.to_ascii_lowercase()) else {
            return mistake(at, unknown_word::<V>(name));
        };
        self.at += 1;
        if let Some(other) = word.opposite().filter(|_| is_negated) {
            return mistake(begin, format!("a time cannot be negated: write {other}: instead"));
        }
        let mut parts = Vec::new();
        loop {
            parts.push(self.value(word.word())?);
            if self.peek() != Some(',') {
                break;
            }
            self.at += 1;
        }
        Ok((is_negated, word, parts))
    }

    fn value(&mut self, word: &str) -> Result<Part, Mistake> {
        let at = self.at;
        if self.peek() == Some('"') {
            let text = self.quoted()?;
            if !self.rest().is_empty() && !self.rest().starts_with(|c: char| c == ',' || c.is_whitespace()) {
                return mistake(self.at, "a blank or a comma is missing after the closing quotation mark");
            }
            return if text.is_empty() {
                mistake(at, empty(word))
            } else {
                Ok(Part { at, end: self.at, text })
            };
        }
        let text = self.until(&[',', '"']);
        if self.peek() == Some('"') {
            return mistake(
                self.at,
                "a quotation mark within a value: put the whole value in quotation marks, and \\ before this one",
            );
        }
        if text.is_empty() {
            mistake(at, empty(word))
        } else {
            Ok(Part { at, end: self.at, text: text.to_owned() })
        }
    }

    /// A value in quotation marks, of which only `\"` and `\\` are written otherwise.
    fn quoted(&mut self) -> Result<String, Mistake> {
        let begin = self.at;
        let mut text = String::new();
        let mut rest = self.rest().char_indices().skip(1);
        while let Some((offset, c)) = rest.next() {
            match c {
                '"' => {
                    self.at = begin + offset + 1;
                    return Ok(text);
                }
                '\\' => match rest.next() {
                    Some((_, c @ ('"' | '\\'))) => text.push(c),
                    _ => {
                        return mistake(
                            begin + offset,
                            "\\ stands only before \" and \\ here: write \\\\ for one backslash",
                        );
                    }
                },
                c => text.push(c),
            }
        }
        mistake(begin, "the quotation mark is not closed")
    }
}

fn empty(name: &str) -> String {
    format!("{name}: has no value here: write {name}:VALUE without a blank, several with commas")
}

fn words<V: Vocabulary>() -> String {
    V::all().map(|word| format!("{}:", word.word())).collect::<Vec<_>>().join(" ")
}

fn unknown_word<V: Vocabulary>(name: &str) -> String {
    let near = did_you_mean(name, V::all().map(V::word));
    let hint = near.map(|near| format!("{near} ")).unwrap_or_default();
    format!("{}: {hint}the words are {}", V::unknown(name), words::<V>())
}

/// The error for a term that does not begin with a word and a colon.
fn without_word<V: Vocabulary>(name: &str, rest: &str) -> String {
    match name {
        "AND" | "and" => "terms all have to hold: leave out the and between them".to_owned(),
        "OR" | "or" => {
            format!("there is no or between terms: give several values to one word, as {}", V::several())
        }
        "NOT" | "not" => format!("write a minus sign before a term that must not hold: {}", V::not()),
        _ if name.starts_with('(') || name.starts_with('!') => {
            "parentheses and ! have no meaning here: write a minus sign before what must not hold".to_owned()
        }
        "" if !rest.starts_with('"') => format!("a word is missing here: one of {}", words::<V>()),
        _ => {
            let [one, other] = V::bare();
            let (value, words) = (shown(name), words::<V>());
            format!("a value without a word: write {one}:{value} or {other}:{value}, or another of {words}")
        }
    }
}

fn shown(name: &str) -> String {
    if name.is_empty() { "\"…\"".to_owned() } else { crate::text::shown(name) }
}

/// The values that a word asks for, from these parts.
fn wanted(word: Word, parts: Vec<Part>) -> Result<Wanted, Mistake> {
    let each = |check: fn(Part) -> Result<String, Mistake>, parts: Vec<Part>| {
        parts.into_iter().map(check).collect::<Result<Vec<_>, _>>()
    };
    let as_is = |part: Part| Ok(part.text);
    Ok(match word {
        Word::Status => Wanted::Status(parts.into_iter().map(status).collect::<Result<_, _>>()?),
        Word::Job => Wanted::Job(each(as_is, parts)?),
        Word::Since => Wanted::Since(when(word.as_str(), parts)?),
        Word::Until => Wanted::Until(when(word.as_str(), parts)?),
        Word::Worker => Wanted::Worker(each(as_is, parts)?),
        Word::Type => Wanted::Type(each(as_is, parts)?),
        Word::Trigger => Wanted::Trigger(each(trigger, parts)?),
        Word::Reason => Wanted::Reason(each(as_is, parts)?),
        Word::Fingerprint => {
            Wanted::Fingerprint(parts.into_iter().map(fingerprint).collect::<Result<_, _>>()?)
        }
        Word::Id => Wanted::Id(each(id, parts)?),
        Word::Key => Wanted::Key(each(as_is, parts)?),
        Word::Backfill => Wanted::Backfill(each(as_is, parts)?),
        Word::Host => Wanted::Host(each(as_is, parts)?),
        Word::Tag => Wanted::Tag(parts.into_iter().map(as_tag).collect()),
    })
}

fn status(part: Part) -> Result<Status, Mistake> {
    match part.text.parse::<Status>() {
        Ok(status) if Status::of_runs().any(|one| one == status) => Ok(status),
        Ok(status) => {
            let all = Status::of_runs().map(Status::as_str).collect::<Vec<_>>().join(", ");
            mistake(
                part.at,
                format!("no run is ever {status}, which stands in logs alone: a run is one of {all}"),
            )
        }
        Err(error) => mistake(part.at, error.to_string()),
    }
}

fn trigger(part: Part) -> Result<String, Mistake> {
    if Trigger::KINDS.contains(&&*part.text) {
        return Ok(part.text);
    }
    let near = nearest(&part.text, Trigger::KINDS).map(|near| format!("did you mean {near:?}? "));
    let (near, all) = (near.unwrap_or_default(), Trigger::KINDS.join(", "));
    mistake(part.at, format!("{} does not start runs: {near}use one of {all}", quoted(&part.text)))
}

fn fingerprint(part: Part) -> Result<Fingerprint, Mistake> {
    part.text.parse().or_else(|error: crate::run::NoFingerprint| mistake(part.at, error.to_string()))
}

fn id(part: Part) -> Result<String, Mistake> {
    let (id, steps) = part.text.split_at(part.text.find('/').unwrap_or(part.text.len()));
    let small = id.to_ascii_lowercase();
    let is_hex = small.bytes().all(|byte| byte.is_ascii_hexdigit() || byte == b'-');
    if !is_hex || small.len() > MAX_ID || (!steps.is_empty() && small.len() < MAX_ID) {
        return mistake(
            part.at,
            format!("{} is not a run's id, nor the beginning of one", quoted(&part.text)),
        );
    }
    let whole = format!("{small}{steps}");
    beginning(part).map(|_| whole)
}

/// The beginning of an id, which is long enough to mean few.
pub(super) fn beginning(part: Part) -> Result<Part, Mistake> {
    if part.text.len() >= MIN_ID {
        return Ok(part);
    }
    let text = quoted(&part.text);
    mistake(part.at, format!("{text} is too short for the beginning of an id: give {MIN_ID} characters"))
}

/// A time: a duration for how long ago it was, or ISO 8601.
pub(super) fn when(word: &str, parts: Vec<Part>) -> Result<FilterTime, Mistake> {
    let mut parts = parts.into_iter();
    let Some(part) = parts.next() else { return mistake(0, empty(word)) };
    if let Some(second) = parts.next() {
        return mistake(second.at, format!("{word}: takes one time, not several"));
    }
    if let Ok(span) = Span::parse(&part.text)
        // A year alone is a number of seconds as well, which is never meant.
        && part.text.bytes().any(|byte| byte.is_ascii_alphabetic())
    {
        return Ok(FilterTime::Ago(span));
    }
    match parse_instant(&part.text) {
        Ok(instant) => Ok(FilterTime::At(instant)),
        Err(_) if is_no_day(&part.text) => {
            mistake(part.at, format!("{}: there is no such day", quoted(&part.text)))
        }
        Err(_) => mistake(
            part.at,
            format!(
                "{} is neither how long ago it was, as 30m or 2d, nor a time, as 2026-03-01T15:05 or 2026-03-01",
                quoted(&part.text)
            ),
        ),
    }
}

/// `NAME` or `NAME=VALUE`.
pub(super) fn as_tag(part: Part) -> Tag {
    match part.text.split_once('=') {
        Some((name, value)) => Tag { name: name.to_owned(), value: Some(value.to_owned()) },
        None => Tag { name: part.text, value: None },
    }
}

/// Whether a text has the form of a date, of a day that no calendar has.
fn is_no_day(text: &str) -> bool {
    let date = text.split(['T', ' ']).next().unwrap_or_default();
    let mut parts = date.split('-').map(|part| (part.len(), part.bytes().all(|byte| byte.is_ascii_digit())));
    let has_form = [4, 2, 2].into_iter().all(|length| parts.next() == Some((length, true)));
    has_form && parts.next().is_none() && date.parse::<chrono::NaiveDate>().is_err()
}
