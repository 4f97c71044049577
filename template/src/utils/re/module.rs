//! The functions of `re`, and the methods of patterns.

use std::borrow::Cow;
use std::sync::Arc;

use super::matched::Match;
use super::pattern::{Anchor, Pattern};
use super::substitute::Template;
use super::translate::flags;
use crate::call::{self, Args};
use crate::fault::{Outcome, fail};
use crate::methods::text::alike;
use crate::native::{Member, Native};
use crate::runtime::Runtime;
use crate::value::show::Shown;
use crate::value::undefined::with_article;
use crate::value::{Iter, Text, Val, show};

use Member::{Function, Value};

pub(crate) static MODULE: Native = Native::module(
    "re",
    &[
        ("search", Function(|rt, args| find_function(rt, args, "search", Anchor::Search))),
        ("match", Function(|rt, args| find_function(rt, args, "match", Anchor::Match))),
        ("fullmatch", Function(|rt, args| find_function(rt, args, "fullmatch", Anchor::Full))),
        (
            "findall",
            Function(|rt, args| {
                let (pattern, text) = two(rt, args, "findall")?;
                find_all(rt, &pattern, &text)
            }),
        ),
        (
            "finditer",
            Function(|rt, args| {
                let (pattern, text) = two(rt, args, "finditer")?;
                find_iter(rt, &pattern, &text)
            }),
        ),
        (
            "split",
            Function(|rt, args| {
                let [pattern, text, most, flags] =
                    args.bind("split", ["pattern", "string", "maxsplit", "flags"], 2)?;
                let pattern = pattern_of(rt, pattern, flags.as_ref())?;
                split(rt, &pattern, text, most.as_ref())
            }),
        ),
        ("sub", Function(|rt, args| Ok(sub_function(rt, args, "sub")?.0))),
        (
            "subn",
            Function(|rt, args| {
                let (text, count) = sub_function(rt, args, "subn")?;
                Ok(Val::tuple(vec![text, Val::Int(count)]))
            }),
        ),
        (
            "compile",
            Function(|rt, args| {
                let [pattern, flags] = args.bind("compile", ["pattern", "flags"], 1)?;
                Ok(Val::Pattern(pattern_of(rt, pattern, flags.as_ref())?))
            }),
        ),
        ("escape", Function(escape)),
        (
            "purge",
            Function(|_, args| {
                args.none("purge")?;
                Ok(Val::None)
            }),
        ),
        ("I", Value(|| Val::Int(flags::IGNORECASE))),
        ("IGNORECASE", Value(|| Val::Int(flags::IGNORECASE))),
        ("M", Value(|| Val::Int(flags::MULTILINE))),
        ("MULTILINE", Value(|| Val::Int(flags::MULTILINE))),
        ("S", Value(|| Val::Int(flags::DOTALL))),
        ("DOTALL", Value(|| Val::Int(flags::DOTALL))),
        ("X", Value(|| Val::Int(flags::VERBOSE))),
        ("VERBOSE", Value(|| Val::Int(flags::VERBOSE))),
        ("A", Value(|| Val::Int(flags::ASCII))),
        ("ASCII", Value(|| Val::Int(flags::ASCII))),
        ("U", Value(|| Val::Int(flags::UNICODE))),
        ("UNICODE", Value(|| Val::Int(flags::UNICODE))),
        ("NOFLAG", Value(|| Val::Int(0))),
    ],
);

/// A pattern argument: text, or a compiled pattern.
fn pattern_of(rt: &Runtime<'_>, pattern: Option<Val>, flags: Option<&Val>) -> Outcome<Arc<Pattern>> {
    let flags = call::int_or(rt, "compile", "flags", flags, 0)?;
    match pattern {
        Some(Val::Pattern(pattern)) if flags == 0 => Ok(pattern),
        Some(Val::Pattern(_)) => fail("a compiled pattern takes no flags"),
        Some(Val::Str(text)) => {
            let text = match rt.readable(text.as_str()) {
                Cow::Owned(readable) => Text::plain(readable),
                Cow::Borrowed(_) => text,
            };
            rt.regexes.pattern(rt, &text, flags)
        }
        Some(value @ Val::Undefined(_)) => Err(rt.undefined(&value)),
        other => fail(format!(
            "a pattern must be text, not {}",
            with_article(other.map_or("NoneType", |other| other.type_name()))
        )),
    }
}

fn text_of(rt: &Runtime<'_>, text: Option<Val>) -> Outcome<Text> {
    match text {
        Some(Val::Str(text)) => text.made_searchable(rt),
        Some(value @ Val::Undefined(_)) => Err(rt.undefined(&value)),
        other => fail(format!(
            "a regular expression looks at text, not at {}",
            with_article(other.map_or("NoneType", |other| other.type_name()))
        )),
    }
}

fn two(rt: &Runtime<'_>, args: Args, function: &str) -> Outcome<(Arc<Pattern>, Text)> {
    let [pattern, text, flags] = args.bind(function, ["pattern", "string", "flags"], 2)?;
    Ok((pattern_of(rt, pattern, flags.as_ref())?, text_of(rt, text)?))
}

fn found(result: Option<Match>) -> Val {
    result.map_or(Val::None, |found| Val::Match(Arc::new(found)))
}

fn find_function(rt: &Runtime<'_>, args: Args, function: &str, anchor: Anchor) -> Outcome {
    let (pattern, text) = two(rt, args, function)?;
    Ok(found(pattern.find(rt, &text, 0, anchor)?))
}

fn own(this: &Val) -> Outcome<&Arc<Pattern>> {
    match this {
        Val::Pattern(pattern) => Ok(pattern),
        other => fail(format!("a {} is not a pattern", other.type_name())),
    }
}

/// The text between two positions that a pattern's method is given, as a
/// byte position to begin at.
fn positions(
    rt: &Runtime<'_>,
    text: Text,
    pos: Option<&Val>,
    endpos: Option<&Val>,
) -> Outcome<(Text, usize)> {
    rt.rewrite(text.as_str())?;
    let byte = |at: i64| {
        let at = usize::try_from(at).unwrap_or(0);
        text.as_str().char_indices().nth(at).map_or(text.as_str().len(), |(byte, _)| byte)
    };
    let from = byte(call::int_or(rt, "search", "pos", pos, 0)?);
    let to = byte(call::int_or(rt, "search", "endpos", endpos, i64::MAX)?);
    if to == text.as_str().len() {
        return Ok((text, from));
    }
    rt.alloc(to)?;
    Ok((Text::plain(&text.as_str()[..to]).made_searchable(rt)?, from.min(to)))
}

fn find_method(rt: &Runtime<'_>, this: &Val, args: Args, anchor: Anchor) -> Outcome {
    let [text, pos, endpos] = args.bind("search", ["string", "pos", "endpos"], 1)?;
    let (text, from) = positions(rt, text_of(rt, text)?, pos.as_ref(), endpos.as_ref())?;
    Ok(found(own(this)?.find(rt, &text, from, anchor)?))
}

pub(super) fn pattern_search(rt: &Runtime<'_>, this: &Val, args: Args) -> Outcome {
    find_method(rt, this, args, Anchor::Search)
}

pub(super) fn pattern_match(rt: &Runtime<'_>, this: &Val, args: Args) -> Outcome {
    find_method(rt, this, args, Anchor::Match)
}

pub(super) fn pattern_fullmatch(rt: &Runtime<'_>, this: &Val, args: Args) -> Outcome {
    find_method(rt, this, args, Anchor::Full)
}

pub(super) fn pattern_findall(rt: &Runtime<'_>, this: &Val, args: Args) -> Outcome {
    let [text] = args.bind("findall", ["string"], 1)?;
    find_all(rt, own(this)?, &text_of(rt, text)?)
}

pub(super) fn pattern_finditer(rt: &Runtime<'_>, this: &Val, args: Args) -> Outcome {
    let [text] = args.bind("finditer", ["string"], 1)?;
    find_iter(rt, own(this)?, &text_of(rt, text)?)
}

pub(super) fn pattern_split(rt: &Runtime<'_>, this: &Val, args: Args) -> Outcome {
    let [text, most] = args.bind("split", ["string", "maxsplit"], 1)?;
    split(rt, own(this)?, text, most.as_ref())
}

pub(super) fn pattern_sub(rt: &Runtime<'_>, this: &Val, args: Args) -> Outcome {
    let [repl, text, count] = args.bind("sub", ["repl", "string", "count"], 2)?;
    Ok(substituted(rt, own(this)?, repl, text, count.as_ref())?.0)
}

pub(super) fn pattern_subn(rt: &Runtime<'_>, this: &Val, args: Args) -> Outcome {
    let [repl, text, count] = args.bind("subn", ["repl", "string", "count"], 2)?;
    let (text, count) = substituted(rt, own(this)?, repl, text, count.as_ref())?;
    Ok(Val::tuple(vec![text, Val::Int(count)]))
}

/// The matches' text: of the whole, of the only group, or of all groups.
fn find_all(rt: &Runtime<'_>, pattern: &Arc<Pattern>, text: &Text) -> Outcome {
    let mut items = Vec::new();
    let empty = Val::str("");
    for found in pattern.find_all(rt, text, usize::MAX)? {
        let groups = 1 + found.groups();
        rt.step(groups as u64)?;
        rt.alloc((1..groups.max(2)).map(|group| found.part(group % groups).map_or(0, str::len)).sum())?;
        rt.alloc_items(groups)?;
        items.push(match found.groups() {
            0 => found.value(0, &empty),
            1 => found.value(1, &empty),
            groups => Val::tuple((1..=groups).map(|group| found.value(group, &empty)).collect()),
        });
    }
    Ok(Val::list(items))
}

fn find_iter(rt: &Runtime<'_>, pattern: &Arc<Pattern>, text: &Text) -> Outcome {
    let found = pattern.find_all(rt, text, usize::MAX)?;
    let items = found.into_iter().map(|found| Val::Match(Arc::new(found))).collect();
    Ok(Val::Iter(Arc::new(Iter::new("finditer", items))))
}

/// A count of which zero means all.
fn limit(rt: &Runtime<'_>, name: &str, count: Option<&Val>) -> Outcome<usize> {
    let count = call::int_or(rt, "sub", name, count, 0)?;
    Ok(match usize::try_from(count) {
        Ok(0) => usize::MAX,
        Ok(count) => count,
        // Python takes a negative count for none.
        Err(_) => 0,
    })
}

fn split(rt: &Runtime<'_>, pattern: &Arc<Pattern>, text: Option<Val>, most: Option<&Val>) -> Outcome {
    let text = text_of(rt, text)?;
    let most = limit(rt, "maxsplit", most)?;
    let mut parts = Vec::new();
    let mut from = 0;
    for found in pattern.find_all(rt, &text, most)? {
        let (start, end) = found.whole();
        rt.alloc_items(1 + found.groups())?;
        parts.push(rt.text(&text.as_str()[from..start])?);
        for group in 1..=found.groups() {
            rt.alloc(found.part(group).map_or(0, str::len))?;
            parts.push(found.value(group, &Val::None));
        }
        from = end;
    }
    rt.alloc_items(1)?;
    parts.push(rt.text(&text.as_str()[from..])?);
    Ok(Val::list(parts))
}

fn sub_function(rt: &Runtime<'_>, args: Args, function: &str) -> Outcome<(Val, i64)> {
    let [pattern, repl, text, count, flags] =
        args.bind(function, ["pattern", "repl", "string", "count", "flags"], 3)?;
    let pattern = pattern_of(rt, pattern, flags.as_ref())?;
    substituted(rt, &pattern, repl, text, count.as_ref())
}

fn substituted(
    rt: &Runtime<'_>,
    pattern: &Arc<Pattern>,
    repl: Option<Val>,
    text: Option<Val>,
    count: Option<&Val>,
) -> Outcome<(Val, i64)> {
    let text = text_of(rt, text)?;
    let most = limit(rt, "count", count)?;
    let repl = repl.unwrap_or(Val::None);
    let template = match &repl {
        Val::Str(template) => {
            rt.rewrite(template.as_str())?;
            rt.room(template.as_str().len().saturating_mul(32))?;
            Some(Template::parse(pattern, &rt.readable_slashes(template.as_str()))?)
        }
        value if call::is_callable(value) && !value.is_undefined() => None,
        Val::Undefined(_) => return Err(rt.undefined(&repl)),
        other => return call::wrong("sub", "repl", "text", other),
    };
    let mut out = Shown::new(rt);
    let mut from = 0;
    let mut done = 0;
    for found in pattern.find_all(rt, &text, most)? {
        let (start, end) = found.whole();
        out.push(&text.as_str()[from..start])?;
        match &template {
            Some(template) => template.expand(&found, &mut out)?,
            None => {
                let args = Args::of(vec![Val::Match(Arc::new(found))]);
                let value = call::call_value(rt, &repl, args)?;
                out.push(show::text(rt, &value)?.as_str())?;
            }
        }
        from = end;
        done += 1;
    }
    out.push(&text.as_str()[from..])?;
    Ok((rt.text(out.text)?, done))
}

/// `re.escape(text)`.
fn escape(rt: &Runtime<'_>, args: Args) -> Outcome {
    let [text] = args.bind("escape", ["pattern"], 1)?;
    let text = text_of(rt, text)?;
    rt.rewrite(text.as_str())?;
    rt.room(text.as_str().len().saturating_mul(2))?;
    let mut out = String::with_capacity(text.as_str().len());
    for c in text.as_str().chars() {
        if "()[]{}?*+-|^$\\.&~# \t\n\r\x0b\x0c".contains(c) {
            out.push('\\');
        }
        out.push(c);
    }
    alike(rt, &text, out)
}
