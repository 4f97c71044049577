//! Filters on text.

use super::attribute::Path;
use crate::call::{self, Args};
use crate::fault::{Outcome, fail};
use crate::format::percent;
use crate::methods::text::replaced;
use crate::methods::text_case::{capitalized, centered, is_space, may_grow};
use crate::methods::text_split::CharSet;
use crate::runtime::Runtime;
use crate::value::containers::{Dict, Entries, Key};
use crate::value::text::escape;
use crate::value::{Text, Val, show};

use std::sync::Arc;

/// Text like `like`: markup stays markup.
fn alike(rt: &Runtime<'_>, like: &Text, text: String) -> Outcome {
    rt.alloc(text.len())?;
    Ok(Val::Str(if like.is_markup() { Text::markup(text) } else { Text::plain(text) }))
}

/// `value|string`.
pub(super) fn string(rt: &Runtime<'_>, value: &Val, args: Args) -> Outcome {
    args.none("string")?;
    Ok(Val::Str(show::text(rt, value)?))
}

/// `value|upper`.
pub(super) fn upper(rt: &Runtime<'_>, value: &Val, args: Args) -> Outcome {
    args.none("upper")?;
    let text = show::text(rt, value)?;
    may_grow(rt, text.as_str())?;
    alike(rt, &text, text.as_str().to_uppercase())
}

/// `value|lower`.
pub(super) fn lower(rt: &Runtime<'_>, value: &Val, args: Args) -> Outcome {
    args.none("lower")?;
    let text = show::text(rt, value)?;
    may_grow(rt, text.as_str())?;
    alike(rt, &text, text.as_str().to_lowercase())
}

/// `value|capitalize`.
pub(super) fn capitalize(rt: &Runtime<'_>, value: &Val, args: Args) -> Outcome {
    args.none("capitalize")?;
    let text = show::text(rt, value)?;
    may_grow(rt, text.as_str())?;
    alike(rt, &text, capitalized(text.as_str()))
}

/// `value|title`: words begin after blanks, hyphens and opening brackets.
pub(super) fn title(rt: &Runtime<'_>, value: &Val, args: Args) -> Outcome {
    args.none("title")?;
    let text = show::text(rt, value)?;
    may_grow(rt, text.as_str())?;
    let mut out = String::with_capacity(text.as_str().len());
    let mut within = false;
    for c in text.as_str().chars() {
        if is_space(c) || matches!(c, '-' | '(' | '{' | '[' | '<') {
            out.push(c);
            within = false;
        } else if within {
            out.extend(c.to_lowercase());
        } else {
            out.extend(c.to_uppercase());
            within = true;
        }
    }
    rt.text(out)
}

/// `value|trim(chars)`.
pub(super) fn trim(rt: &Runtime<'_>, value: &Val, args: Args) -> Outcome {
    let [chars] = args.bind("trim", ["chars"], 0)?;
    let text = show::text(rt, value)?;
    rt.rewrite(text.as_str())?;
    let trimmed = match &chars {
        None | Some(Val::None) => text.as_str().trim_matches(is_space),
        Some(chars) => {
            let set = CharSet::of(rt, &call::sought(rt, "trim", "chars", chars)?)?;
            let hit = |c| set.has(rt.readable_char(c));
            let rest = text.as_str().trim_start_matches(hit);
            rest.get(..rt.end_of_escape(rest, rest.trim_end_matches(hit).len())).unwrap_or(rest)
        }
    };
    rt.room(trimmed.len())?;
    Ok(Val::Str(text.part(rt, trimmed.to_owned())?))
}

/// `value|center(width)`.
pub(super) fn center(rt: &Runtime<'_>, value: &Val, args: Args) -> Outcome {
    let [width] = args.bind("center", ["width"], 0)?;
    let width = call::int_or(rt, "center", "width", width.as_ref(), 80)?;
    centered(rt, &show::text(rt, value)?, width, ' ')
}

/// `value|replace(old, new, count)`.
pub(super) fn replace(rt: &Runtime<'_>, value: &Val, args: Args) -> Outcome {
    let [old, new, count] = args.bind("replace", ["old", "new", "count"], 2)?;
    let count = match count {
        None | Some(Val::None) => -1,
        Some(count) => call::int(rt, "replace", "count", &count)?,
    };
    let text = show::text(rt, value)?;
    let old = show::text(rt, &old.unwrap_or(Val::None))?;
    let new = show::text(rt, &new.unwrap_or(Val::None))?;
    if !rt.escaping.get() {
        let replaced = replaced(rt, text.as_str(), old.as_str(), new.as_str(), count)?;
        let part = text.part(rt, replaced)?;
        return Ok(Val::Str(if part.is_markup() { Text::plain(Arc::clone(part.shared())) } else { part }));
    }
    let markup = text.is_markup() || old.is_markup() || new.is_markup();
    if !markup {
        return rt.text(replaced(rt, text.as_str(), old.as_str(), new.as_str(), count)?);
    }
    let safe = |text: &Text| {
        if text.is_markup() { Ok(text.as_str().to_owned()) } else { escape(rt, text.as_str()) }
    };
    let replaced = replaced(rt, &safe(&text)?, old.as_str(), &safe(&new)?, count)?;
    Ok(Val::Str(Text::markup(replaced)))
}

/// `value|join(separator, attribute)`.
pub(super) fn join(rt: &Runtime<'_>, value: &Val, args: Args) -> Outcome {
    let [separator, attribute] = args.bind("join", ["d", "attribute"], 0)?;
    let separator = show::text(rt, &separator.unwrap_or_else(|| Val::str("")))?;
    let path = match &attribute {
        None | Some(Val::None) => None,
        Some(attribute) => Some(Path::of(attribute)?),
    };
    let mut parts = Vec::new();
    for item in rt.items(value)? {
        let item = match &path {
            Some(path) => path.get(rt, &item, None)?,
            None => item,
        };
        rt.step(1)?;
        parts.push(show::text(rt, &item)?);
    }
    let escaping = rt.escaping.get() && (separator.is_markup() || parts.iter().any(Text::is_markup));
    let mut out = show::Shown::new(rt);
    for (at, part) in parts.iter().enumerate() {
        for text in [&separator, part].into_iter().skip(usize::from(at == 0)) {
            if escaping && !text.is_markup() {
                out.push(&escape(rt, text.as_str())?)?;
            } else {
                out.push(text.as_str())?;
            }
        }
    }
    Ok(Val::Str(if escaping { Text::markup(out.text) } else { Text::plain(out.text) }))
}

/// `value|format(…)`: printf's way.
pub(super) fn format(rt: &Runtime<'_>, value: &Val, args: Args) -> Outcome {
    let text = show::text(rt, value)?;
    if args.kw.is_empty() {
        return percent::format(rt, &text, &Val::tuple(args.pos));
    }
    if !args.pos.is_empty() {
        return fail("format takes positional or named values, not both");
    }
    rt.alloc_entries(args.kw.len())?;
    let entries: Entries =
        args.kw.into_iter().map(|(name, value)| (Key(Val::Str(Text::plain(name))), value)).collect();
    percent::format(rt, &text, &Val::Dict(Arc::new(Dict::new(entries))))
}

/// `value|wordcount`.
pub(super) fn wordcount(rt: &Runtime<'_>, value: &Val, args: Args) -> Outcome {
    args.none("wordcount")?;
    let text = show::text(rt, value)?;
    rt.rewrite(text.as_str())?;
    let words =
        text.as_str().split(|c: char| !(c.is_alphanumeric() || c == '_')).filter(|word| !word.is_empty());
    Ok(Val::Int(words.count() as i64))
}
