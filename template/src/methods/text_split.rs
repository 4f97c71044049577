//! Methods of `str`: stripping, splitting, tabs.

use super::text::{alike, own};
use super::text_case::is_space;
use crate::call::{self, Args};
use crate::fault::{Outcome, fail};
use crate::native::Methods;
use crate::runtime::Runtime;
use crate::value::text::escape;
use crate::value::{Text, Val};

pub(crate) const METHODS: Methods = &[
    ("expandtabs", expandtabs),
    ("lstrip", lstrip),
    ("partition", partition),
    ("rpartition", rpartition),
    ("rsplit", rsplit),
    ("rstrip", rstrip),
    ("split", split),
    ("splitlines", splitlines),
    ("strip", strip),
    ("striptags", striptags),
    ("unescape", unescape),
    ("escape", escaped),
];

fn stripped(rt: &Runtime<'_>, this: &Val, args: Args, left: bool, right: bool) -> Outcome {
    let text = own(rt, this)?;
    let [chars] = args.bind("strip", ["chars"], 0)?;
    let set = match &chars {
        None | Some(Val::None) => None,
        Some(chars) => Some(CharSet::of(rt, &call::sought(rt, "strip", "chars", chars)?)?),
    };
    rt.rewrite(text.as_str())?;
    let hit = |c: char| set.as_ref().map_or_else(|| is_space(c), |set| set.has(rt.readable_char(c)));
    let mut rest = text.as_str();
    if left {
        rest = rest.trim_start_matches(hit);
    }
    if right {
        rest = &rest[..rt.end_of_escape(rest, rest.trim_end_matches(hit).len())];
    }
    rt.room(rest.len())?;
    Ok(Val::Str(text.part(rt, rest.to_owned())?))
}

/// The characters that `strip` and its kin take away.
pub(crate) struct CharSet(Vec<char>);

impl CharSet {
    pub(crate) fn of(rt: &Runtime<'_>, text: &str) -> Outcome<Self> {
        rt.step(text.len() as u64 / 4)?;
        rt.room(text.len().saturating_mul(4))?;
        let mut chars: Vec<char> = text.chars().collect();
        chars.sort_unstable();
        chars.dedup();
        Ok(Self(chars))
    }

    pub(crate) fn has(&self, c: char) -> bool {
        self.0.binary_search(&c).is_ok()
    }
}

fn strip(rt: &Runtime<'_>, this: &Val, args: Args) -> Outcome {
    stripped(rt, this, args, true, true)
}

fn lstrip(rt: &Runtime<'_>, this: &Val, args: Args) -> Outcome {
    stripped(rt, this, args, true, false)
}

fn rstrip(rt: &Runtime<'_>, this: &Val, args: Args) -> Outcome {
    stripped(rt, this, args, false, true)
}

/// The separator and the most splits.
fn split_args(rt: &Runtime<'_>, args: Args, function: &str) -> Outcome<(Option<String>, usize)> {
    let [separator, most] = args.bind(function, ["sep", "maxsplit"], 0)?;
    let separator = match &separator {
        None | Some(Val::None) => None,
        Some(separator) => Some(call::sought(rt, function, "sep", separator)?.into_owned()),
    };
    if separator.as_deref() == Some("") {
        return fail(format!("{function}() needs a separator that is not empty"));
    }
    let most = call::int_or(rt, function, "maxsplit", most.as_ref(), -1)?;
    Ok((separator, usize::try_from(most).unwrap_or(usize::MAX)))
}

/// Takes parts one by one, each charged before it is kept.
struct Parts<'r, 'c> {
    rt: &'r Runtime<'c>,
    like: Text,
    items: Vec<Val>,
}

impl<'r, 'c> Parts<'r, 'c> {
    fn new(rt: &'r Runtime<'c>, like: &Text) -> Self {
        Self { rt, like: like.clone(), items: Vec::new() }
    }

    fn push(&mut self, part: &str) -> Outcome<()> {
        self.rt.step(1 + part.len() as u64 / 64)?;
        self.rt.alloc_items(1)?;
        self.items.push(alike(self.rt, &self.like, part.to_owned())?);
        Ok(())
    }

    fn list(self) -> Val {
        Val::list(self.items)
    }

    fn reversed(mut self) -> Val {
        self.items.reverse();
        self.list()
    }
}

fn split(rt: &Runtime<'_>, this: &Val, args: Args) -> Outcome {
    let text = own(rt, this)?;
    let (separator, most) = split_args(rt, args, "split")?;
    rt.rewrite(text.as_str())?;
    let mut parts = Parts::new(rt, &text);
    match separator {
        Some(separator) => {
            let mut from = 0;
            for part in rt.readable(text.as_str()).splitn(most.saturating_add(1), &*separator) {
                parts.push(&text.as_str()[from..from + part.len()])?;
                from += part.len() + separator.len();
            }
        }
        None => split_blanks(text.as_str(), most, &mut parts)?,
    }
    Ok(parts.list())
}

/// Splits at runs of blanks; what is left after the last split keeps its
/// inner blanks and loses those at its ends.
fn split_blanks(text: &str, most: usize, parts: &mut Parts<'_, '_>) -> Outcome<()> {
    let mut rest = text.trim_start_matches(is_space);
    while !rest.is_empty() {
        if parts.items.len() == most {
            return parts.push(rest.trim_end_matches(is_space));
        }
        let end = rest.find(is_space).unwrap_or(rest.len());
        parts.push(&rest[..end])?;
        rest = rest[end..].trim_start_matches(is_space);
    }
    Ok(())
}

fn rsplit(rt: &Runtime<'_>, this: &Val, args: Args) -> Outcome {
    let text = own(rt, this)?;
    let (separator, most) = split_args(rt, args, "rsplit")?;
    rt.rewrite(text.as_str())?;
    let mut parts = Parts::new(rt, &text);
    match separator {
        Some(separator) => {
            let mut to = text.as_str().len();
            for part in rt.readable(text.as_str()).rsplitn(most.saturating_add(1), &*separator) {
                parts.push(&text.as_str()[to - part.len()..to])?;
                to = to.saturating_sub(part.len() + separator.len());
            }
        }
        None => {
            let mut rest = text.as_str().trim_end_matches(is_space);
            while !rest.is_empty() {
                if parts.items.len() == most {
                    parts.push(rest.trim_start_matches(is_space))?;
                    break;
                }
                let start =
                    rest.char_indices().rfind(|(_, c)| is_space(*c)).map_or(0, |(at, c)| at + c.len_utf8());
                parts.push(&rest[start..])?;
                rest = rest[..start].trim_end_matches(is_space);
            }
        }
    }
    Ok(parts.reversed())
}

fn splitlines(rt: &Runtime<'_>, this: &Val, args: Args) -> Outcome {
    let text = own(rt, this)?;
    let [keep] = args.bind("splitlines", ["keepends"], 0)?;
    let keep = keep.is_some_and(|keep| keep.truth());
    rt.rewrite(text.as_str())?;
    let mut lines = Parts::new(rt, &text);
    for line in lines_with_ends(text.as_str()) {
        let bare = line.strip_suffix("\r\n").or_else(|| line.strip_suffix(is_line_end)).unwrap_or(line);
        lines.push(if keep { line } else { bare })?;
    }
    Ok(lines.list())
}

/// The lines of a text as Python's `splitlines` sees them, each with its end.
pub(crate) fn lines_with_ends(text: &str) -> Vec<&str> {
    let mut lines = Vec::new();
    let mut rest = text;
    while !rest.is_empty() {
        let end = match rest.find(is_line_end) {
            Some(at) if rest[at..].starts_with("\r\n") => at + 2,
            Some(at) => at + rest[at..].chars().next().map_or(1, char::len_utf8),
            None => rest.len(),
        };
        lines.push(&rest[..end]);
        rest = &rest[end..];
    }
    lines
}

fn is_line_end(c: char) -> bool {
    matches!(c, '\n' | '\r' | '\x0b' | '\x0c' | '\x1c'..='\x1e' | '\u{85}' | '\u{2028}' | '\u{2029}')
}

fn three(rt: &Runtime<'_>, like: &Text, pieces: [&str; 3]) -> Outcome {
    let mut items = Vec::with_capacity(3);
    for piece in pieces {
        rt.room(piece.len())?;
        items.push(alike(rt, like, piece.to_owned())?);
    }
    Ok(Val::tuple(items))
}

/// The text before a separator, the separator, and the text after it.
fn three_at(rt: &Runtime<'_>, text: &Text, at: usize, length: usize) -> Outcome {
    let (whole, end) = (text.as_str(), at + length);
    three(rt, text, [&whole[..at], &whole[at..end], &whole[end..]])
}

fn partition(rt: &Runtime<'_>, this: &Val, args: Args) -> Outcome {
    let text = own(rt, this)?;
    let separator = partition_separator(rt, args)?;
    match rt.readable(text.as_str()).find(&*separator) {
        Some(at) => three_at(rt, &text, at, separator.len()),
        None => three(rt, &text, [text.as_str(), "", ""]),
    }
}

fn rpartition(rt: &Runtime<'_>, this: &Val, args: Args) -> Outcome {
    let text = own(rt, this)?;
    let separator = partition_separator(rt, args)?;
    match rt.readable(text.as_str()).rfind(&*separator) {
        Some(at) => three_at(rt, &text, at, separator.len()),
        None => three(rt, &text, ["", "", text.as_str()]),
    }
}

fn partition_separator(rt: &Runtime<'_>, args: Args) -> Outcome<String> {
    let [separator] = args.bind("partition", ["sep"], 1)?;
    let separator = separator.unwrap_or(Val::None);
    match call::sought(rt, "partition", "sep", &separator)? {
        empty if empty.is_empty() => fail("partition() needs a separator that is not empty"),
        separator => Ok(separator.into_owned()),
    }
}

fn expandtabs(rt: &Runtime<'_>, this: &Val, args: Args) -> Outcome {
    let text = own(rt, this)?;
    let [size] = args.bind("expandtabs", ["tabsize"], 0)?;
    let size = call::int_or(rt, "expandtabs", "tabsize", size.as_ref(), 8)?;
    let size = usize::try_from(size).unwrap_or(0);
    rt.rewrite(text.as_str())?;
    let tabs = text.as_str().matches('\t').count();
    rt.alloc(tabs.saturating_mul(size))?;
    let mut out = String::with_capacity(text.as_str().len());
    let mut column = 0;
    for c in text.as_str().chars() {
        match c {
            '\t' if size > 0 => {
                let blanks = size - column % size;
                out.push_str(&" ".repeat(blanks));
                column += blanks;
            }
            '\t' => {}
            c => {
                out.push(c);
                column = if matches!(c, '\n' | '\r') { 0 } else { column + 1 };
            }
        }
    }
    alike(rt, &text, out)
}

fn only_markup(rt: &Runtime<'_>, this: &Val, name: &str) -> Outcome<Text> {
    let text = own(rt, this)?;
    if text.is_markup() || name == "escape" {
        return Ok(text);
    }
    fail(format!("a str has no method \"{name}\": only markup has"))
}

fn striptags(rt: &Runtime<'_>, this: &Val, args: Args) -> Outcome {
    args.none("striptags")?;
    let text = only_markup(rt, this, "striptags")?;
    rt.rewrite(text.as_str())?;
    rt.room(text.as_str().len().saturating_mul(20))?;
    rt.text(crate::filters::html::stripped_tags(text.as_str()))
}

fn unescape(rt: &Runtime<'_>, this: &Val, args: Args) -> Outcome {
    args.none("unescape")?;
    let text = only_markup(rt, this, "unescape")?;
    rt.rewrite(text.as_str())?;
    rt.room(text.as_str().len())?;
    rt.text(crate::filters::html::unescaped(text.as_str()))
}

fn escaped(rt: &Runtime<'_>, this: &Val, args: Args) -> Outcome {
    let text = only_markup(rt, this, "unescape")?;
    let [value] = args.bind("escape", ["s"], 1)?;
    let value = value.map_or_else(|| Ok(text), |value| crate::value::show::text(rt, &value))?;
    Ok(Val::Str(Text::markup(escape(rt, value.as_str())?)))
}
