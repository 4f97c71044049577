//! Compiled patterns.

use std::fmt;
use std::sync::{Arc, OnceLock};

use fancy_regex::{DebugRegex, Regex, RegexBuilder, RegexInput};

use super::matched::Match;
use super::module;
use super::translate::{Translated, flags, translate};
use crate::cache::Cache;
use crate::fault::{Fault, Outcome, fail, over};
use crate::limits::Limits;
use crate::native::Methods;
use crate::runtime::Runtime;
use crate::value::containers::{Dict, Entries, Key};
use crate::value::show::repr_str;
use crate::value::{Text, Val};

pub(crate) const PATTERN_METHODS: Methods = &[
    ("findall", module::pattern_findall),
    ("finditer", module::pattern_finditer),
    ("fullmatch", module::pattern_fullmatch),
    ("match", module::pattern_match),
    ("search", module::pattern_search),
    ("split", module::pattern_split),
    ("sub", module::pattern_sub),
    ("subn", module::pattern_subn),
];

/// Bytes of a pattern's text.
const MAX_PATTERN: usize = 20_000;
/// Patterns a renderer keeps compiled.
const KEPT_PATTERNS: usize = 256;
/// Steps that compiling a pattern is charged.
const COMPILE_STEPS: u64 = 10_000;
/// Backtracking steps of an attempt to match, for texts of any length. Each
/// step may go through the whole text.
const BACKTRACKS: [usize; 4] = [200_000, 25_000, 3_000, 400];
/// Characters that one attempt to match may go through by backtracking.
const ATTEMPT_WORK: usize = 100_000_000;
/// Bytes of text from which on each match is followed by a look at the clock.
const LONG_TEXT: usize = 4_096;

/// Compiled patterns, shared by the renderings of one renderer.
pub(crate) struct RegexCache {
    patterns: Cache<(Box<str>, i64), Pattern>,
    raw: Cache<Box<str>, Regex>,
    backtracks: usize,
    size: usize,
    work: usize,
}

impl RegexCache {
    pub(crate) fn new(limits: &Limits) -> Self {
        Self {
            patterns: Cache::new(KEPT_PATTERNS, KEPT_PATTERNS * MAX_PATTERN),
            raw: Cache::new(KEPT_PATTERNS, KEPT_PATTERNS * MAX_PATTERN),
            backtracks: limits.regex_backtracks,
            size: limits.regex_bytes,
            work: limits.regex_work,
        }
    }

    fn build(&self, regex: &str, backtracks: usize) -> Outcome<Regex> {
        RegexBuilder::new(regex)
            .backtrack_limit(backtracks.min(self.backtracks))
            .delegate_size_limit(self.size)
            .delegate_dfa_size_limit(self.size)
            .build()
            .map_err(|error| {
                let text = error.to_string();
                // The engine does not say more of a size limit.
                if text.contains("size limit") || text.contains("building NFA") {
                    Fault::new(
                        crate::ErrorKind::Limit,
                        "the regular expression is too large when compiled (limit regex_bytes)",
                    )
                } else {
                    Fault::new(
                        crate::ErrorKind::Runtime,
                        format!(
                            "the pattern is not a regular expression: {}",
                            text.lines().last().unwrap_or("")
                        ),
                    )
                }
            })
    }

    /// A regular expression of our own making, which never backtracks.
    pub(crate) fn raw(&self, rt: &Runtime<'_>, regex: &str) -> Outcome<Arc<Regex>> {
        if let Some(found) = self.raw.get(regex) {
            return Ok(found);
        }
        if regex.len() > MAX_PATTERN {
            return over("the pattern is too long", "20000 bytes");
        }
        rt.step(COMPILE_STEPS)?;
        let built = Arc::new(self.build(regex, self.backtracks)?);
        self.raw.put(regex.into(), regex.len(), Arc::clone(&built));
        Ok(built)
    }

    /// A pattern in Python's dialect.
    pub(super) fn pattern(&self, rt: &Runtime<'_>, pattern: &Text, flags: i64) -> Outcome<Arc<Pattern>> {
        let key: (Box<str>, i64) = (pattern.as_str().into(), flags);
        if let Some(found) = self.patterns.get(&key) {
            return Ok(found);
        }
        if pattern.as_str().len() > MAX_PATTERN {
            return over("the pattern is too long", "20000 bytes");
        }
        rt.step(COMPILE_STEPS)?;
        let Translated { regex, flags, size } = translate(pattern.as_str(), flags)?;
        let mut letters = String::new();
        for (letter, _, bit) in flags::ALL {
            if "ims".contains(letter) && flags & bit != 0 {
                letters.push(letter);
            }
        }
        let prefix = if letters.is_empty() { letters } else { format!("(?{letters})") };
        let search = self.build(&format!("{prefix}{regex}"), self.backtracks)?;
        let built = Arc::new(Pattern {
            pattern: pattern.clone(),
            flags,
            size: usize::try_from(size).unwrap_or(usize::MAX),
            regex: format!("(?:{regex})"),
            prefix,
            backtracks: backtracks(&search),
            search,
            bounded: Default::default(),
            whole: Default::default(),
        });
        self.patterns.put(key, pattern.as_str().len(), Arc::clone(&built));
        Ok(built)
    }
}

/// Whether a regular expression is matched by backtracking: others take a
/// time that text and pattern together bound.
fn backtracks(regex: &Regex) -> bool {
    // The engine shows it in no other way.
    !DebugRegex(regex).to_string().starts_with("wrapped Regex")
}

/// How a pattern must lie in the text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Anchor {
    Search,
    Match,
    Full,
}

/// A compiled pattern.
pub(crate) struct Pattern {
    pattern: Text,
    flags: i64,
    size: usize,
    prefix: String,
    regex: String,
    backtracks: bool,
    search: Regex,
    /// The same with fewer backtracking steps, by their place in
    /// [`BACKTRACKS`].
    bounded: [OnceLock<Regex>; BACKTRACKS.len()],
    /// The same, up to the end of the text.
    whole: [OnceLock<Regex>; BACKTRACKS.len()],
}

impl Pattern {
    pub(crate) fn is_same(&self, other: &Self) -> bool {
        self.flags == other.flags && self.pattern.as_str() == other.pattern.as_str()
    }

    /// The compiled pattern for a text of so many bytes.
    fn compiled(&self, rt: &Runtime<'_>, anchor: Anchor, length: usize) -> Outcome<&Regex> {
        let level = if self.backtracks {
            let work = length.max(1).saturating_mul(1 + self.size / 32);
            let Some(level) = BACKTRACKS.iter().position(|most| most.saturating_mul(work) <= ATTEMPT_WORK)
            else {
                return too_long();
            };
            level
        } else {
            0
        };
        let (cell, end) = match anchor {
            Anchor::Full => (&self.whole[level], r"\z"),
            Anchor::Search | Anchor::Match if level == 0 => return Ok(&self.search),
            Anchor::Search | Anchor::Match => (&self.bounded[level], ""),
        };
        if let Some(regex) = cell.get() {
            return Ok(regex);
        }
        rt.step(COMPILE_STEPS)?;
        let built = rt.regexes.build(&format!("{}{}{end}", self.prefix, self.regex), BACKTRACKS[level])?;
        Ok(cell.get_or_init(|| built))
    }

    /// The first match from a byte position on.
    ///
    /// Text times pattern bounds a match that does not backtrack. One that
    /// does is tried at each place by itself: so many steps are allowed at a
    /// place that they end soon, and in between the clock is looked at.
    pub(super) fn find(
        self: &Arc<Self>,
        rt: &Runtime<'_>,
        text: &Text,
        from: usize,
        anchor: Anchor,
    ) -> Outcome<Option<Match>> {
        let whole = text.as_str();
        let length = whole.len().saturating_sub(from);
        if length.saturating_mul(self.size) > rt.regexes.work {
            return too_long();
        }
        rt.step(10)?;
        let regex = self.compiled(rt, anchor, length)?;
        let searches = anchor == Anchor::Search;
        if !self.backtracks || !searches {
            let found = self.attempt(rt, regex, text, from, !searches)?;
            let end = found.as_ref().map_or(whole.len(), |found| found.whole().1);
            rt.step(end.saturating_sub(from) as u64 / 8)?;
            if length > LONG_TEXT {
                rt.look()?;
            }
            return Ok(found);
        }
        let mut at = from;
        loop {
            rt.step(1)?;
            rt.look()?;
            if let Some(found) = self.attempt(rt, regex, text, at, true)? {
                return Ok(Some(found));
            }
            match whole.get(at..).and_then(|rest| rest.chars().next()) {
                Some(next) => at += next.len_utf8(),
                None => return Ok(None),
            }
        }
    }

    /// One match from a place, or only at that place.
    fn attempt(
        self: &Arc<Self>,
        rt: &Runtime<'_>,
        regex: &Regex,
        text: &Text,
        from: usize,
        here: bool,
    ) -> Outcome<Option<Match>> {
        match regex.captures_input(RegexInput::new(text.searched()).from_pos(from).anchored(here)) {
            Ok(Some(captures)) => {
                rt.alloc_items(captures.len() + 2)?;
                let spans = (0..captures.len())
                    .map(|group| captures.get(group).map(|part| (part.start(), part.end())))
                    .collect();
                Ok(Some(Match::new(Arc::clone(self), text.clone(), spans)))
            }
            Ok(None) => Ok(None),
            Err(error) => {
                let text = error.to_string();
                if text.to_lowercase().contains("backtrack") {
                    over(
                        "the regular expression backtracks too much: make it more definite",
                        "regex_backtracks",
                    )
                } else {
                    fail(format!("the regular expression failed: {text}"))
                }
            }
        }
    }

    /// All matches in turn, at most `limit`, as Python goes on after an
    /// empty one.
    pub(super) fn find_all(
        self: &Arc<Self>,
        rt: &Runtime<'_>,
        text: &Text,
        limit: usize,
    ) -> Outcome<Vec<Match>> {
        let mut found = Vec::new();
        let (mut from, mut empty_at) = (0, None);
        while found.len() < limit && from <= text.as_str().len() {
            let Some(next) = self.find(rt, text, from, Anchor::Search)? else {
                break;
            };
            let (start, end) = next.whole();
            if start == end && empty_at == Some(start) {
                let step = text.as_str()[start..].chars().next().map_or(1, char::len_utf8);
                from = start + step;
                empty_at = None;
                continue;
            }
            empty_at = (start == end).then_some(end);
            from = end;
            found.push(next);
        }
        Ok(found)
    }

    /// The pattern's text.
    pub(crate) fn source(&self) -> &str {
        self.pattern.as_str()
    }

    pub(super) fn group_count(&self) -> usize {
        self.search.captures_len() - 1
    }

    /// The number of a named group.
    pub(super) fn group_of(&self, name: &str) -> Option<usize> {
        self.search.capture_names().position(|known| known == Some(name))
    }

    /// The named groups and their numbers, in order.
    pub(super) fn names(&self) -> impl Iterator<Item = (&str, usize)> {
        self.search.capture_names().enumerate().filter_map(|(at, name)| Some((name?, at)))
    }

    pub(crate) fn field(&self, name: &str) -> Option<Val> {
        Some(match name {
            "pattern" => Val::Str(self.pattern.clone()),
            "flags" => Val::Int(self.flags),
            "groups" => Val::Int(self.group_count() as i64),
            "groupindex" => {
                let entries: Entries =
                    self.names().map(|(name, at)| (Key(Val::str(name)), Val::Int(at as i64))).collect();
                Val::Dict(Arc::new(Dict::new(entries)))
            }
            _ => return None,
        })
    }

    pub(crate) fn repr(&self) -> String {
        let names: Vec<&str> = flags::ALL
            .iter()
            .filter(|(letter, _, bit)| *letter != 'u' && self.flags & bit != 0)
            .map(|(_, name, _)| *name)
            .collect();
        let flags = if names.is_empty() { String::new() } else { format!(", {}", names.join("|")) };
        format!("re.compile({}{flags})", repr_str(self.pattern.as_str()))
    }
}

fn too_long<T>() -> Outcome<T> {
    over("the regular expression is too much work on so long a text: shorten one of them", "regex_work")
}

impl fmt::Debug for Pattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.repr())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn engine_reports_patterns_that_backtrack() {
        let regexes = RegexCache::new(&Limits::default());
        let hard = |pattern: &str| backtracks(&regexes.build(pattern, 1_000).unwrap());
        for linear in ["a+b", r"(\d{4})-(\d\d)", "(?i)abc|d", r"^\s+"] {
            assert!(!hard(linear), "{linear}");
        }
        for backtracking in [r"(a)\1", "(?=a*b)a", "(?<!a)b.*(?!c)d", "(?>a+)b"] {
            assert!(hard(backtracking), "{backtracking}");
        }
    }
}
