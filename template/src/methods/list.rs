//! Methods of `list`, `tuple` and `range`.

use std::sync::Arc;

use crate::call::{self, Args};
use crate::fault::{Outcome, fail};
use crate::native::Methods;
use crate::runtime::Runtime;
use crate::value::{List, Val, compare};

pub(crate) const METHODS: Methods = &[
    ("append", append),
    ("clear", clear),
    ("copy", copy),
    ("count", count),
    ("extend", extend),
    ("index", index),
    ("insert", insert),
    ("pop", pop),
    ("remove", remove),
    ("reverse", reverse),
    ("sort", sort),
];

pub(crate) const TUPLE_METHODS: Methods = &[("count", count), ("index", index)];

fn own(this: &Val) -> Outcome<&Arc<List>> {
    match this {
        Val::List(list) => Ok(list),
        other => fail(format!("a {} is not a list", other.type_name())),
    }
}

fn append(rt: &Runtime<'_>, this: &Val, args: Args) -> Outcome {
    let [item] = args.bind("append", ["object"], 1)?;
    let item = item.unwrap_or(Val::None);
    rt.alloc_items(1)?;
    rt.knot(this, &item);
    own(this)?.write().push(item);
    Ok(Val::None)
}

fn extend(rt: &Runtime<'_>, this: &Val, args: Args) -> Outcome {
    let [items] = args.bind("extend", ["iterable"], 1)?;
    let items = rt.items(&items.unwrap_or(Val::None))?;
    rt.alloc_items(items.len())?;
    for item in &items {
        rt.knot(this, item);
    }
    own(this)?.write().extend(items);
    Ok(Val::None)
}

fn insert(rt: &Runtime<'_>, this: &Val, args: Args) -> Outcome {
    let [at, item] = args.bind("insert", ["index", "object"], 2)?;
    let item = item.unwrap_or(Val::None);
    let at = call::int(rt, "insert", "index", &at.unwrap_or(Val::None))?;
    rt.alloc_items(1)?;
    rt.knot(this, &item);
    let mut items = own(this)?.write();
    rt.step(items.len() as u64 / 64)?;
    let length = items.len() as i64;
    let at = if at < 0 { (at + length).max(0) } else { at.min(length) };
    items.insert(at as usize, item);
    Ok(Val::None)
}

fn pop(rt: &Runtime<'_>, this: &Val, args: Args) -> Outcome {
    let [at] = args.bind("pop", ["index"], 0)?;
    let at = call::int_or(rt, "pop", "index", at.as_ref(), -1)?;
    let mut items = own(this)?.write();
    rt.step(items.len() as u64 / 64)?;
    let length = items.len() as i64;
    let at = if at < 0 { at + length } else { at };
    if items.is_empty() || !(0..length).contains(&at) {
        return fail("pop(): there is no such item in the list");
    }
    Ok(items.remove(at as usize))
}

fn remove(rt: &Runtime<'_>, this: &Val, args: Args) -> Outcome {
    let [item] = args.bind("remove", ["value"], 1)?;
    let item = item.unwrap_or(Val::None);
    let list = own(this)?;
    rt.copy_items(list.len())?;
    let items = list.read().clone();
    for (at, other) in items.iter().enumerate() {
        if compare::equal(rt, other, &item)? {
            let removed = list.write().remove(at);
            drop(removed);
            return Ok(Val::None);
        }
    }
    fail("remove(): the value is not in the list")
}

fn clear(_rt: &Runtime<'_>, this: &Val, args: Args) -> Outcome {
    args.none("clear")?;
    let items = std::mem::take(&mut *own(this)?.write());
    drop(Val::list(items));
    Ok(Val::None)
}

fn copy(rt: &Runtime<'_>, this: &Val, args: Args) -> Outcome {
    args.none("copy")?;
    rt.step(own(this)?.len() as u64 / 8)?;
    rt.alloc_items(own(this)?.len())?;
    let items = own(this)?.read().clone();
    Ok(Val::list(items))
}

fn reverse(rt: &Runtime<'_>, this: &Val, args: Args) -> Outcome {
    args.none("reverse")?;
    let mut items = own(this)?.write();
    rt.step(items.len() as u64 / 16)?;
    items.reverse();
    Ok(Val::None)
}

fn sort(rt: &Runtime<'_>, this: &Val, mut args: Args) -> Outcome {
    let reverse = call::backwards(rt, "sort", args.take_kw("reverse").as_ref())?;
    let key = args.take_kw("key");
    args.none("sort")?;
    let list = own(this)?;
    rt.step(list.len() as u64 / 8)?;
    rt.alloc_items(list.len())?;
    let items = list.read().clone();
    let mut keyed = Vec::with_capacity(items.len());
    for item in items {
        let by = match &key {
            None | Some(Val::None) => item.clone(),
            Some(key) => call::call_value(rt, key, Args::of(vec![item.clone()]))?,
        };
        keyed.push((by, item));
    }
    compare::sort_by_key(rt, &mut keyed, reverse, |(by, _)| by)?;
    *list.write() = keyed.into_iter().map(|(_, item)| item).collect();
    Ok(Val::None)
}

fn count(rt: &Runtime<'_>, this: &Val, args: Args) -> Outcome {
    let [item] = args.bind("count", ["value"], 1)?;
    let item = item.unwrap_or(Val::None);
    let mut count = 0;
    for other in rt.items(this)? {
        count += i64::from(compare::equal(rt, &other, &item)?);
    }
    Ok(Val::Int(count))
}

fn index(rt: &Runtime<'_>, this: &Val, args: Args) -> Outcome {
    let [item, start, stop] = args.bind("index", ["value", "start", "stop"], 1)?;
    let item = item.unwrap_or(Val::None);
    let items = rt.items(this)?;
    let length = items.len() as i64;
    let bound = |value: Option<&Val>, default| {
        let at = call::int_or(rt, "index", "start", value, default)?;
        Ok::<_, Box<crate::fault::Fault>>(if at < 0 { (at + length).max(0) } else { at.min(length) })
    };
    let (start, stop) = (bound(start.as_ref(), 0)?, bound(stop.as_ref(), length)?);
    for at in start..stop {
        if compare::equal(rt, &items[at as usize], &item)? {
            return Ok(Val::Int(at));
        }
    }
    fail("index(): the value is not in the list")
}
