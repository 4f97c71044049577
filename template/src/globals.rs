//! The names every template has: Jinja2's functions, and lava's `utils`.

use std::sync::atomic::{AtomicBool, AtomicUsize};
use std::sync::{Arc, RwLock};

use crate::call::{Args, int};
use crate::eval::objects::Object;
use crate::fault::{Outcome, fail, over};
use crate::native::{Member, Native};
use crate::runtime::Runtime;
use crate::utils;
use crate::value::containers::{Dict, Entries, Key, Range};
use crate::value::{Text, Val, compare, show};

/// The built-in names, for hints.
pub(crate) const NAMES: [&str; 7] = ["utils", "range", "dict", "lipsum", "cycler", "joiner", "namespace"];

static RANGE: Native = Native::class("range", range, &[]);
static DICT: Native =
    Native::class("dict", dict, &[("fromkeys", Member::Function(crate::methods::dict::from_keys))]);
static LIPSUM: Native = Native::function("lipsum", lipsum);
static CYCLER: Native = Native::class("cycler", cycler, &[]);
static JOINER: Native = Native::class("joiner", joiner, &[]);
static NAMESPACE: Native = Native::class("namespace", namespace, &[]);

/// A built-in name.
pub(crate) fn find(name: &str) -> Option<Val> {
    Some(Val::Native(match name {
        "utils" => &utils::UTILS,
        "range" => &RANGE,
        "dict" => &DICT,
        "lipsum" => &LIPSUM,
        "cycler" => &CYCLER,
        "joiner" => &JOINER,
        "namespace" => &NAMESPACE,
        _ => return None,
    }))
}

fn range(rt: &Runtime<'_>, args: Args) -> Outcome {
    let [a, b, c] = args.bind("range", ["start", "stop", "step"], 1)?;
    let number =
        |value: &Option<Val>| value.as_ref().map(|value| int(rt, "range", "stop", value)).transpose();
    let (first, second, step) = (number(&a)?.unwrap_or(0), number(&b)?, number(&c)?.unwrap_or(1));
    let (start, stop) = match second {
        Some(stop) => (first, stop),
        None => (0, first),
    };
    if step == 0 {
        return fail("range() needs a step other than zero");
    }
    Ok(Val::Range(Arc::new(Range { start, stop, step })))
}

fn dict(rt: &Runtime<'_>, mut args: Args) -> Outcome {
    let kw = std::mem::take(&mut args.kw);
    let [source] = args.bind("dict", ["iterable"], 0)?;
    let mut entries = match source {
        Some(source) => dict_entries(rt, &source)?,
        None => Entries::new(),
    };
    for (name, value) in kw {
        entries.insert(Key(Val::Str(Text::plain(name))), value);
    }
    rt.alloc_items(entries.len())?;
    Ok(Val::Dict(Arc::new(Dict::new(entries))))
}

/// The entries of `dict(source)` and `update(source)`: of a dict, or of pairs.
pub(crate) fn dict_entries(rt: &Runtime<'_>, source: &Val) -> Outcome<Entries> {
    if let Val::Dict(dict) = source {
        return Ok(dict.read().clone());
    }
    if source.is_undefined() {
        return Err(rt.undefined(source));
    }
    let mut entries = Entries::new();
    for pair in rt.items(source)? {
        let pair = rt.items(&pair)?;
        let [key, value] = <[Val; 2]>::try_from(pair).map_err(|pair| {
            crate::fault::Fault::new(
                crate::ErrorKind::Runtime,
                format!("a dict is made of pairs, not of {} items", pair.len()),
            )
        })?;
        entries.insert(compare::key(rt, &key)?, value);
    }
    rt.alloc_items(entries.len())?;
    Ok(entries)
}

fn cycler(rt: &Runtime<'_>, args: Args) -> Outcome {
    if args.pos.is_empty() {
        return fail("cycler() needs something to cycle through");
    }
    let items = args.pos;
    rt.alloc_items(items.len())?;
    let Val::Tuple(items) = Val::tuple(items) else {
        return Ok(Val::None);
    };
    Ok(Val::Object(Arc::new(Object::Cycler { items, at: AtomicUsize::new(0) })))
}

fn joiner(rt: &Runtime<'_>, args: Args) -> Outcome {
    let [separator] = args.bind("joiner", ["sep"], 0)?;
    let separator = match separator {
        Some(separator) => show::text(rt, &separator)?,
        None => Text::plain(", "),
    };
    Ok(Val::Object(Arc::new(Object::Joiner { separator, used: AtomicBool::new(false) })))
}

/// Attributes of a namespace, which are looked for one after the other.
pub(crate) const MOST_FIELDS: usize = 10_000;

fn namespace(rt: &Runtime<'_>, mut args: Args) -> Outcome {
    let kw = std::mem::take(&mut args.kw);
    let [source] = args.bind("namespace", ["source"], 0)?;
    let mut fields = Vec::new();
    if let Some(source) = source {
        for (key, value) in dict_entries(rt, &source)? {
            fields.push((Arc::clone(show::text(rt, &key.0)?.shared()), value));
        }
    }
    fields.extend(kw);
    if fields.len() > MOST_FIELDS {
        return over("a namespace has too many attributes", "10000 of them");
    }
    rt.alloc_entries(fields.len())?;
    Ok(Val::Object(Arc::new(Object::Namespace(RwLock::new(fields)))))
}

/// The words `lipsum` strings together.
const LIPSUM_WORDS: [&str; 24] = [
    "lorem",
    "ipsum",
    "dolor",
    "sit",
    "amet",
    "consectetur",
    "adipiscing",
    "elit",
    "sed",
    "do",
    "eiusmod",
    "tempor",
    "incididunt",
    "ut",
    "labore",
    "et",
    "dolore",
    "magna",
    "aliqua",
    "enim",
    "minim",
    "veniam",
    "quis",
    "nostrud",
];
/// Most paragraphs, and most words of each, that `lipsum` makes.
const LIPSUM_MOST: i64 = 100;

fn lipsum(rt: &Runtime<'_>, args: Args) -> Outcome {
    let [n, html, min, max] = args.bind("lipsum", ["n", "html", "min", "max"], 0)?;
    let number = |value: &Option<Val>, default| match value {
        Some(value) => match int(rt, "lipsum", "n", value)? {
            n if n > LIPSUM_MOST => over(format!("lipsum of {n}"), "100 paragraphs of 100 words"),
            n => Ok(n.max(0)),
        },
        None => Ok(default),
    };
    let (count, least, most) = (number(&n, 5)?, number(&min, 20)?, number(&max, 100)?);
    let html = html.is_none_or(|html| html.truth());
    let mut paragraphs = Vec::new();
    for _ in 0..count {
        let span = most.saturating_sub(least).max(1) as u64;
        let words = least as u64 + rt.ctx.random_u64() % span;
        let words: Vec<&str> =
            (0..words).map(|_| LIPSUM_WORDS[(rt.ctx.random_u64() % 24) as usize]).collect();
        let mut text = words.join(" ");
        if let Some(first) = text.get_mut(..1) {
            first.make_ascii_uppercase();
        }
        text.push('.');
        paragraphs.push(if html { format!("<p>{text}</p>") } else { text });
    }
    let text = paragraphs.join(if html { "\n" } else { "\n\n" });
    rt.alloc(text.len())?;
    Ok(Val::Str(if html { Text::markup(text) } else { Text::plain(text) }))
}
