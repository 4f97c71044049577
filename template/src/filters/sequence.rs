//! Filters on sequences as a whole.

use std::sync::Arc;

use crate::call::{self, Args};
use crate::fault::{Outcome, fail};
use crate::methods::text::alike;
use crate::rrule;
use crate::runtime::Runtime;
use crate::value::undefined::with_article;
use crate::value::{Iter, Missing, Text, Val, View, ViewKind};

/// A one-shot iterator over `items`.
pub(super) fn iter(rt: &Runtime<'_>, name: &'static str, items: Vec<Val>) -> Outcome {
    rt.alloc_items(items.len())?;
    Ok(iterator(name, items))
}

/// A one-shot iterator over items that are charged already.
pub(super) fn iterator(name: &'static str, items: Vec<Val>) -> Val {
    Val::Iter(Arc::new(Iter::new(name, items)))
}

/// `value|length`.
pub(super) fn length(rt: &Runtime<'_>, value: &Val, args: Args) -> Outcome {
    args.none("length")?;
    let length = match value {
        Val::Undefined(_) => 0,
        Val::Str(text) => {
            rt.look_at(text.as_str())?;
            text.chars()
        }
        Val::Bytes(bytes) => bytes.len(),
        Val::List(list) => list.len(),
        Val::Tuple(tuple) => tuple.items.len(),
        Val::Dict(dict) => dict.len(),
        Val::View(view) => view.dict.len(),
        Val::Range(range) => range.len(),
        Val::Iter(_) => return fail("a generator has no length: make a list of it with |list"),
        other => return fail(format!("{} has no length", with_article(other.type_name()))),
    };
    Ok(Val::Int(length as i64))
}

/// `value|list`.
pub(super) fn list(rt: &Runtime<'_>, value: &Val, args: Args) -> Outcome {
    args.none("list")?;
    let items = rt.items(value)?;
    rt.list(items)
}

/// `value|first`.
pub(super) fn first(rt: &Runtime<'_>, value: &Val, args: Args) -> Outcome {
    args.none("first")?;
    let first = match value {
        Val::Iter(iter) => iter.next(),
        Val::Str(text) => {
            let first = text.as_str().chars().next();
            first.map(|c| Val::Str(Text::plain(c.to_string())))
        }
        Val::List(list) => list.read().first().cloned(),
        Val::Tuple(tuple) => tuple.items.first().cloned(),
        Val::Dict(dict) => dict.read().first().map(|(key, _)| rt.key_value(&key.0)),
        Val::Range(range) => range.get(0).map(Val::Int),
        Val::Object(_) if rrule::of(value).is_some() => {
            rrule::of(value).map_or(Ok(Vec::new()), |rule| rule.taken(rt, 0, 1, 1))?.pop()
        }
        other => rt.items(other)?.into_iter().next(),
    };
    Ok(first
        .unwrap_or_else(|| Val::missing(Missing::Reason("there is no first item: the sequence is empty"))))
}

/// `value|last`.
pub(super) fn last(rt: &Runtime<'_>, value: &Val, args: Args) -> Outcome {
    args.none("last")?;
    if let Val::Iter(_) = value {
        return fail("a generator has no last item: make a list of it with |list");
    }
    let last = match value {
        Val::List(list) => list.read().last().cloned(),
        Val::Tuple(tuple) => tuple.items.last().cloned(),
        Val::Dict(dict) => dict.read().last().map(|(key, _)| rt.key_value(&key.0)),
        Val::Range(range) => range.len().checked_sub(1).and_then(|at| range.get(at)).map(Val::Int),
        Val::Str(text) => match text.as_str().chars().next_back() {
            Some(c) => Some(alike(rt, text, c.to_string())?),
            None => None,
        },
        other => rt.items(other)?.pop(),
    };
    Ok(last.unwrap_or_else(|| Val::missing(Missing::Reason("there is no last item: the sequence is empty"))))
}

/// `value|random`.
pub(super) fn random(rt: &Runtime<'_>, value: &Val, args: Args) -> Outcome {
    args.none("random")?;
    let mut items = rt.items(value)?;
    if items.is_empty() {
        return Ok(Val::missing(Missing::Reason("there is no random item: the sequence is empty")));
    }
    let at = rt.ctx.random_u64() % items.len() as u64;
    Ok(items.swap_remove(at as usize))
}

/// `value|reverse`: text backwards, or an iterator.
pub(super) fn reverse(rt: &Runtime<'_>, value: &Val, args: Args) -> Outcome {
    args.none("reverse")?;
    if let Val::Str(text) = value {
        rt.rewrite(text.as_str())?;
        rt.alloc(text.as_str().len())?;
        return alike(rt, text, text.as_str().chars().rev().collect());
    }
    let mut items = rt.items(value)?;
    items.reverse();
    // An iterable that Python cannot reverse becomes a list.
    if matches!(value, Val::Iter(_) | Val::Object(_)) {
        return rt.list(items);
    }
    let name = match value {
        Val::List(_) => "list_reverseiterator object",
        Val::Dict(_) => "dict_reversekeyiterator object",
        Val::Range(_) => "range_iterator object",
        _ => "reversed object",
    };
    iter(rt, name, items)
}

/// `value|items`: the pairs of a dict; nothing for undefined.
pub(super) fn items(rt: &Runtime<'_>, value: &Val, args: Args) -> Outcome {
    args.none("items")?;
    match value {
        Val::Undefined(_) => iter(rt, "items", Vec::new()),
        Val::Dict(dict) => {
            let view = View { dict: Arc::clone(dict), kind: ViewKind::Items };
            Ok(iterator("items", rt.view_items(&view)?))
        }
        other => fail(format!("items needs a dict, not {}", with_article(other.type_name()))),
    }
}

/// `value|batch(size, fill_with)`.
pub(super) fn batch(rt: &Runtime<'_>, value: &Val, args: Args) -> Outcome {
    let [size, fill] = args.bind("batch", ["linecount", "fill_with"], 1)?;
    let size = call::int(rt, "batch", "linecount", &size.unwrap_or(Val::None))?;
    let Some(size) = usize::try_from(size).ok().filter(|size| *size > 0) else {
        return fail("batch needs a size of at least 1");
    };
    let items = rt.items(value)?;
    let mut batches = Vec::new();
    for chunk in items.chunks(size) {
        rt.alloc_items(chunk.len() + 1)?;
        let mut batch = chunk.to_vec();
        if let (Some(fill), false) = (&fill, matches!(fill, None | Some(Val::None))) {
            rt.alloc_items(size - batch.len())?;
            batch.resize(size, fill.clone());
        }
        batches.push(Val::list(batch));
    }
    iter(rt, "do_batch", batches)
}

/// `value|slice(count, fill_with)`: columns of nearly one length.
pub(super) fn slice(rt: &Runtime<'_>, value: &Val, args: Args) -> Outcome {
    let [count, fill] = args.bind("slice", ["slices", "fill_with"], 1)?;
    let count = call::int(rt, "slice", "slices", &count.unwrap_or(Val::None))?;
    let Some(count) = usize::try_from(count).ok().filter(|count| *count > 0) else {
        return fail("slice needs a count of at least 1");
    };
    rt.step(count as u64 / 2)?;
    rt.alloc_items(2 * count)?;
    let items = rt.items(value)?;
    rt.alloc_items(items.len())?;
    let (each, extra) = (items.len() / count, items.len() % count);
    let mut slices = Vec::with_capacity(count);
    let mut from = 0;
    for at in 0..count {
        let to = from + each + usize::from(at < extra);
        let mut part = items[from..to].to_vec();
        // Jinja2 fills every column that got no extra item, were it all of them.
        if let (Some(fill), true) = (&fill, at >= extra)
            && !fill.is_none()
        {
            part.push(fill.clone());
        }
        slices.push(Val::list(part));
        from = to;
    }
    iter(rt, "do_slice", slices)
}
