//! Compiled patterns.

use std::fmt;
use std::sync::{Arc, OnceLock};

use fancy_regex::{Regex, RegexBuilder};

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

/// Compiled patterns, shared by the renderings of one renderer.
pub(crate) struct RegexCache {
    patterns: Cache<(Box<str>, i64), Pattern>,
    raw: Cache<Box<str>, Regex>,
    backtracks: usize,
    size: usize,
}

impl RegexCache {
    pub(crate) fn new(limits: &Limits) -> Self {
        Self {
            patterns: Cache::new(KEPT_PATTERNS, KEPT_PATTERNS * MAX_PATTERN),
            raw: Cache::new(KEPT_PATTERNS, KEPT_PATTERNS * MAX_PATTERN),
            backtracks: limits.regex_backtracks,
            size: limits.regex_bytes,
        }
    }

    fn build(&self, regex: &str) -> Outcome<Regex> {
        RegexBuilder::new(regex)
            .backtrack_limit(self.backtracks)
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

    /// A regular expression of our own making.
    pub(crate) fn raw(&self, regex: &str) -> Outcome<Arc<Regex>> {
        if let Some(found) = self.raw.get(regex) {
            return Ok(found);
        }
        let built = Arc::new(self.build(regex)?);
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
        let Translated { regex, flags } = translate(pattern.as_str(), flags)?;
        let mut letters = String::new();
        for (letter, _, bit) in flags::ALL {
            if "ims".contains(letter) && flags & bit != 0 {
                letters.push(letter);
            }
        }
        let prefix = if letters.is_empty() { letters } else { format!("(?{letters})") };
        let search = self.build(&format!("{prefix}{regex}"))?;
        let built = Arc::new(Pattern {
            pattern: pattern.clone(),
            flags,
            regex: format!("(?:{regex})"),
            prefix,
            search,
            at_start: OnceLock::new(),
            whole: OnceLock::new(),
        });
        self.patterns.put(key, pattern.as_str().len(), Arc::clone(&built));
        Ok(built)
    }
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
    prefix: String,
    regex: String,
    search: Regex,
    at_start: OnceLock<Regex>,
    whole: OnceLock<Regex>,
}

impl Pattern {
    pub(crate) fn is_same(&self, other: &Self) -> bool {
        self.flags == other.flags && self.pattern.as_str() == other.pattern.as_str()
    }

    fn anchored(&self, rt: &Runtime<'_>, anchor: Anchor) -> Outcome<&Regex> {
        let (cell, end) = match anchor {
            Anchor::Search => return Ok(&self.search),
            Anchor::Match => (&self.at_start, ""),
            Anchor::Full => (&self.whole, r"\z"),
        };
        if let Some(regex) = cell.get() {
            return Ok(regex);
        }
        rt.step(COMPILE_STEPS)?;
        let built = rt.regexes.build(&format!(r"{}\A{}{end}", self.prefix, self.regex))?;
        Ok(cell.get_or_init(|| built))
    }

    /// The first match from a byte position on.
    pub(super) fn find(
        self: &Arc<Self>,
        rt: &Runtime<'_>,
        text: &Text,
        from: usize,
        anchor: Anchor,
    ) -> Outcome<Option<Match>> {
        rt.step(100 + (text.as_str().len() - from.min(text.as_str().len())) as u64 / 8)?;
        let regex = self.anchored(rt, anchor)?;
        match regex.captures_from_pos(text.as_str(), from) {
            Ok(Some(captures)) => {
                rt.alloc_items(captures.len())?;
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

impl fmt::Debug for Pattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.repr())
    }
}
