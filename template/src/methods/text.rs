//! Methods of `str`: searching, testing, replacing, joining, formatting.

use std::borrow::Cow;
use std::sync::Arc;

use crate::call::{self, Args};
use crate::fault::{Outcome, fail};
use crate::format::brace;
use crate::native::Methods;
use crate::runtime::Runtime;
use crate::value::containers::{Dict, Entries, Key};
use crate::value::text::escape;
use crate::value::undefined::with_article;
use crate::value::{Text, Val, compare, show};

pub(crate) const METHODS: Methods = &[
    ("count", count),
    ("encode", encode),
    ("endswith", endswith),
    ("find", find),
    ("format", format),
    ("format_map", format_map),
    ("index", index),
    ("join", join),
    ("maketrans", maketrans),
    ("removeprefix", removeprefix),
    ("removesuffix", removesuffix),
    ("replace", replace),
    ("rfind", rfind),
    ("rindex", rindex),
    ("startswith", startswith),
    ("translate", translate),
];

/// The text a method is called on; charges for looking at it.
pub(crate) fn own(rt: &Runtime<'_>, this: &Val) -> Outcome<Text> {
    match this {
        Val::Str(text) => {
            rt.step(text.as_str().len() as u64 / 64)?;
            Ok(text.clone())
        }
        other => fail(format!("{} is not text", with_article(other.type_name()))),
    }
}

/// New text that is markup if `like` is.
pub(crate) fn alike(rt: &Runtime<'_>, like: &Text, text: String) -> Outcome {
    rt.alloc(text.len())?;
    Ok(Val::Str(if like.is_markup() { Text::markup(text) } else { Text::plain(text) }))
}

/// The part of `text` between two character positions, by slicing rules,
/// and the position it begins at.
fn window<'t>(
    rt: &Runtime<'_>,
    text: &'t str,
    start: Option<&Val>,
    end: Option<&Val>,
) -> Outcome<Option<(&'t str, usize)>> {
    if start.is_none() && end.is_none() {
        return Ok(Some((text, 0)));
    }
    rt.rewrite(text)?;
    let length = text.chars().count() as i64;
    let bound = |value: Option<&Val>, default| -> Outcome<i64> {
        match value {
            None | Some(Val::None) => Ok(default),
            Some(value) => {
                let at = call::int(rt, "find", "start", value)?;
                Ok(if at < 0 { (at + length).max(0) } else { at })
            }
        }
    };
    let (start, end) = (bound(start, 0)?, bound(end, length)?.min(length));
    if start > end {
        return Ok(None);
    }
    let byte = |at: i64| text.char_indices().nth(at as usize).map_or(text.len(), |(at, _)| at);
    Ok(Some((&text[byte(start)..byte(end)], start as usize)))
}

/// The position of a part, in characters.
fn position(rt: &Runtime<'_>, this: &Val, args: Args, function: &str, last: bool) -> Outcome<Option<usize>> {
    let text = own(rt, this)?;
    let [part, start, end] = args.bind(function, ["sub", "start", "end"], 1)?;
    let part = part.unwrap_or(Val::None);
    let part = call::sought(rt, function, "sub", &part)?;
    let readable = rt.readable(text.as_str());
    let Some((text, offset)) = window(rt, &readable, start.as_ref(), end.as_ref())? else {
        return Ok(None);
    };
    rt.rewrite(text)?;
    let at = if last { text.rfind(&*part) } else { text.find(&*part) };
    Ok(at.map(|at| offset + text[..at].chars().count()))
}

fn found(at: Option<usize>) -> Val {
    at.map_or(Val::Int(-1), |at| Val::Int(at as i64))
}

fn find(rt: &Runtime<'_>, this: &Val, args: Args) -> Outcome {
    position(rt, this, args, "find", false).map(found)
}

fn rfind(rt: &Runtime<'_>, this: &Val, args: Args) -> Outcome {
    position(rt, this, args, "rfind", true).map(found)
}

fn index(rt: &Runtime<'_>, this: &Val, args: Args) -> Outcome {
    must_find(position(rt, this, args, "index", false)?)
}

fn rindex(rt: &Runtime<'_>, this: &Val, args: Args) -> Outcome {
    must_find(position(rt, this, args, "rindex", true)?)
}

fn must_find(at: Option<usize>) -> Outcome {
    match at {
        Some(_) => Ok(found(at)),
        None => fail("index(): the part is not in the text"),
    }
}

fn count(rt: &Runtime<'_>, this: &Val, args: Args) -> Outcome {
    let text = own(rt, this)?;
    let [part, start, end] = args.bind("count", ["sub", "start", "end"], 1)?;
    let part = part.unwrap_or(Val::None);
    let part = call::sought(rt, "count", "sub", &part)?;
    let readable = rt.readable(text.as_str());
    let Some((text, _)) = window(rt, &readable, start.as_ref(), end.as_ref())? else {
        return Ok(Val::Int(0));
    };
    rt.rewrite(text)?;
    let count = if part.is_empty() { text.chars().count() + 1 } else { text.matches(&*part).count() };
    Ok(Val::Int(count as i64))
}

fn affix(rt: &Runtime<'_>, this: &Val, args: Args, function: &str, test: fn(&str, &str) -> bool) -> Outcome {
    let text = own(rt, this)?;
    let [part, start, end] = args.bind(function, ["prefix", "start", "end"], 1)?;
    let readable = rt.readable(text.as_str());
    let Some((text, _)) = window(rt, &readable, start.as_ref(), end.as_ref())? else {
        return Ok(Val::Bool(false));
    };
    let part = part.unwrap_or(Val::None);
    if let Val::Tuple(parts) = &part {
        for part in &parts.items {
            rt.step(1)?;
            if test(text, &call::sought(rt, function, "prefix", part)?) {
                return Ok(Val::Bool(true));
            }
        }
        return Ok(Val::Bool(false));
    }
    Ok(Val::Bool(test(text, &call::sought(rt, function, "prefix", &part)?)))
}

fn startswith(rt: &Runtime<'_>, this: &Val, args: Args) -> Outcome {
    affix(rt, this, args, "startswith", |text, part| text.starts_with(part))
}

fn endswith(rt: &Runtime<'_>, this: &Val, args: Args) -> Outcome {
    affix(rt, this, args, "endswith", |text, part| text.ends_with(part))
}

fn removeprefix(rt: &Runtime<'_>, this: &Val, args: Args) -> Outcome {
    let text = own(rt, this)?;
    let [part] = args.bind("removeprefix", ["prefix"], 1)?;
    let part = part.unwrap_or(Val::None);
    let part = call::sought(rt, "removeprefix", "prefix", &part)?;
    rt.room(text.as_str().len())?;
    let from = if rt.readable(text.as_str()).starts_with(&*part) { part.len() } else { 0 };
    Ok(Val::Str(text.part(rt, text.as_str()[from..].to_owned())?))
}

fn removesuffix(rt: &Runtime<'_>, this: &Val, args: Args) -> Outcome {
    let text = own(rt, this)?;
    let [part] = args.bind("removesuffix", ["suffix"], 1)?;
    let part = part.unwrap_or(Val::None);
    let part = call::sought(rt, "removesuffix", "suffix", &part)?;
    rt.room(text.as_str().len())?;
    let less = if rt.readable(text.as_str()).ends_with(&*part) { part.len() } else { 0 };
    Ok(Val::Str(text.part(rt, text.as_str()[..text.as_str().len() - less].to_owned())?))
}

fn replace(rt: &Runtime<'_>, this: &Val, args: Args) -> Outcome {
    let text = own(rt, this)?;
    let [old, new, count] = args.bind("replace", ["old", "new", "count"], 2)?;
    let (old, new) = (old.unwrap_or(Val::None), new.unwrap_or(Val::None));
    let (old, new) = (call::sought(rt, "replace", "old", &old)?, call::text(rt, "replace", "new", &new)?);
    let count = call::int_or(rt, "replace", "count", count.as_ref(), -1)?;
    let replaced = replaced(rt, text.as_str(), &old, new, count)?;
    Ok(Val::Str(text.part(rt, replaced)?))
}

/// `text` with `count` times `old` replaced by `new`; all if negative.
pub(crate) fn replaced(rt: &Runtime<'_>, text: &str, old: &str, new: &str, count: i64) -> Outcome<String> {
    let most = usize::try_from(count).unwrap_or(usize::MAX);
    rt.rewrite(text)?;
    let (readable, old) = (rt.readable(text), rt.readable(old));
    let hits = if old.is_empty() { text.chars().count() + 1 } else { readable.matches(&*old).count() };
    rt.alloc(hits.min(most).saturating_mul(new.len()).saturating_add(text.len()))?;
    if old.is_empty() || matches!(readable, Cow::Borrowed(_)) {
        return Ok(text.replacen(&*old, new, most));
    }
    let mut out = String::with_capacity(text.len());
    let mut from = 0;
    for (at, _) in readable.match_indices(&*old).take(most) {
        out.push_str(&text[from..at]);
        out.push_str(new);
        from = at + old.len();
    }
    out.push_str(&text[from..]);
    Ok(out)
}

fn join(rt: &Runtime<'_>, this: &Val, args: Args) -> Outcome {
    let text = own(rt, this)?;
    let [items] = args.bind("join", ["iterable"], 1)?;
    let items = items.unwrap_or(Val::None);
    if items.is_undefined() {
        return Ok(Val::str(""));
    }
    let mut out = show::Shown::new(rt);
    for (at, item) in rt.items(&items)?.iter().enumerate() {
        let Val::Str(part) = item else {
            return fail(format!(
                "join() joins text, and item {at} is {}: use the join filter",
                with_article(item.type_name())
            ));
        };
        out.push(if at == 0 { "" } else { text.as_str() })?;
        if text.is_markup() && !part.is_markup() {
            out.push(&escape(rt, part.as_str())?)?;
        } else {
            out.push(part.as_str())?;
        }
    }
    alike(rt, &text, out.text)
}

fn format(rt: &Runtime<'_>, this: &Val, args: Args) -> Outcome {
    brace::format(rt, &own(rt, this)?, &args)
}

fn format_map(rt: &Runtime<'_>, this: &Val, args: Args) -> Outcome {
    let [map] = args.bind("format_map", ["mapping"], 1)?;
    let Some(Val::Dict(dict)) = map else {
        return fail("format_map() needs a dict");
    };
    rt.alloc_entries(dict.len())?;
    let mut args = Args::default();
    for (key, value) in dict.read().iter() {
        if let Val::Str(name) = &key.0 {
            args.kw.push((Arc::clone(name.shared()), value.clone()));
        }
    }
    brace::format(rt, &own(rt, this)?, &args)
}

fn encode(rt: &Runtime<'_>, this: &Val, args: Args) -> Outcome {
    let text = own(rt, this)?;
    let [encoding, _errors] = args.bind("encode", ["encoding", "errors"], 0)?;
    let encoding = encoding.unwrap_or_else(|| Val::str("utf-8"));
    let name = call::text(rt, "encode", "encoding", &encoding)?.to_lowercase().replace('_', "-");
    rt.rewrite(text.as_str())?;
    rt.alloc(2 * text.as_str().len())?;
    let narrow = |limit: u32| -> Outcome {
        text.as_str()
            .chars()
            .map(|c| u8::try_from(c).ok().filter(|byte| u32::from(*byte) < limit))
            .collect::<Option<Vec<u8>>>()
            .map_or_else(
                || fail(format!("the text has characters that {name} cannot encode")),
                |bytes| Ok(Val::Bytes(bytes.into())),
            )
    };
    match name.as_str() {
        "utf-8" | "utf8" => Ok(Val::Bytes(text.as_str().as_bytes().into())),
        "ascii" | "us-ascii" => narrow(0x80),
        "latin-1" | "latin1" | "iso-8859-1" => narrow(0x100),
        _ => fail(format!("unknown encoding \"{name}\": use utf-8, ascii or latin-1")),
    }
}

fn maketrans(rt: &Runtime<'_>, _this: &Val, args: Args) -> Outcome {
    let [from, to, drop] = args.bind("maketrans", ["x", "y", "z"], 1)?;
    let mut entries = Entries::new();
    let code = |c: char| Key(Val::Int(i64::from(u32::from(c))));
    match (&from, &to) {
        (Some(Val::Dict(dict)), None) => {
            rt.alloc_entries(dict.len())?;
            for (key, value) in dict.read().iter() {
                let key = match key.0.as_str().and_then(|text| text.chars().next()) {
                    Some(c) => code(c),
                    None => key.clone(),
                };
                entries.insert(key, value.clone());
            }
        }
        (Some(Val::Str(from)), Some(Val::Str(to))) if from.chars() == to.chars() => {
            rt.alloc_entries(from.chars())?;
            for (a, b) in from.as_str().chars().zip(to.as_str().chars()) {
                entries.insert(code(a), Val::Int(i64::from(u32::from(b))));
            }
            if let Some(Val::Str(drop)) = &drop {
                rt.alloc_entries(drop.chars())?;
                entries.extend(drop.as_str().chars().map(|c| (code(c), Val::None)));
            }
        }
        _ => return fail("maketrans() needs a dict, or two texts of one length"),
    }
    Ok(Val::Dict(Arc::new(Dict::new(entries))))
}

fn translate(rt: &Runtime<'_>, this: &Val, args: Args) -> Outcome {
    let text = own(rt, this)?;
    let [table] = args.bind("translate", ["table"], 1)?;
    let Some(Val::Dict(table)) = table else {
        return fail("translate() needs a dict of character codes");
    };
    let table = table.read();
    let mut out = show::Shown::new(rt);
    let mut buffer = [0; 4];
    for c in text.as_str().chars() {
        rt.step(1)?;
        let key = compare::key(rt, &Val::Int(i64::from(u32::from(c))))?;
        match table.get(&key) {
            None => out.push(c.encode_utf8(&mut buffer))?,
            Some(Val::None) => {}
            Some(Val::Str(part)) => out.push(part.as_str())?,
            Some(Val::Int(code)) => match u32::try_from(*code).ok().and_then(char::from_u32) {
                Some(c) => out.push(c.encode_utf8(&mut buffer))?,
                None => return fail("translate(): a code in the table is not a character"),
            },
            Some(_) => return fail("translate() maps to text, a code or none"),
        }
    }
    alike(rt, &text, out.text)
}
