//! Methods of `dict`.

use std::sync::Arc;

use crate::call::Args;
use crate::fault::{Outcome, fail};
use crate::globals::dict_entries;
use crate::native::Methods;
use crate::runtime::Runtime;
use crate::value::containers::{Dict, Entries, Key, View, ViewKind};
use crate::value::{Text, Val, compare, show};

pub(crate) const METHODS: Methods = &[
    ("clear", clear),
    ("copy", copy),
    ("fromkeys", fromkeys),
    ("get", get),
    ("items", |_, this, args| view(this, args, "items", ViewKind::Items)),
    ("keys", |_, this, args| view(this, args, "keys", ViewKind::Keys)),
    ("pop", pop),
    ("popitem", popitem),
    ("setdefault", setdefault),
    ("update", update),
    ("values", |_, this, args| view(this, args, "values", ViewKind::Values)),
];

fn own(this: &Val) -> Outcome<&Arc<Dict>> {
    match this {
        Val::Dict(dict) => Ok(dict),
        other => fail(format!("a {} is not a dict", other.type_name())),
    }
}

fn view(this: &Val, args: Args, function: &str, kind: ViewKind) -> Outcome {
    args.none(function)?;
    Ok(Val::View(Arc::new(View { dict: Arc::clone(own(this)?), kind })))
}

fn get(rt: &Runtime<'_>, this: &Val, args: Args) -> Outcome {
    let [key, default] = args.bind("get", ["key", "default"], 1)?;
    let key = compare::key(rt, &key.unwrap_or(Val::None))?;
    let found = own(this)?.read().get(&key).cloned();
    Ok(found.or(default).unwrap_or(Val::None))
}

fn pop(rt: &Runtime<'_>, this: &Val, args: Args) -> Outcome {
    let [key, default] = args.bind("pop", ["key", "default"], 1)?;
    let key = compare::key(rt, &key.unwrap_or(Val::None))?;
    let mut entries = own(this)?.write();
    rt.step(entries.len() as u64 / 16)?;
    match entries.shift_remove(&key).or(default) {
        Some(value) => Ok(value),
        None => fail(format!("pop(): there is no key {}", show::repr(rt, &key.0)?)),
    }
}

fn popitem(_rt: &Runtime<'_>, this: &Val, args: Args) -> Outcome {
    args.none("popitem")?;
    match own(this)?.write().pop() {
        Some((key, value)) => Ok(Val::tuple(vec![key.0, value])),
        None => fail("popitem(): the dict is empty"),
    }
}

fn setdefault(rt: &Runtime<'_>, this: &Val, args: Args) -> Outcome {
    let [key, default] = args.bind("setdefault", ["key", "default"], 1)?;
    let key = compare::key(rt, &key.unwrap_or(Val::None))?;
    let default = default.unwrap_or(Val::None);
    rt.alloc_entries(1)?;
    rt.knot(this, &default);
    Ok(own(this)?.write().entry(key).or_insert(default).clone())
}

fn update(rt: &Runtime<'_>, this: &Val, mut args: Args) -> Outcome {
    let kw = std::mem::take(&mut args.kw);
    let [source] = args.bind("update", ["other"], 0)?;
    let mut new = match source {
        Some(source) => dict_entries(rt, &source)?,
        None => Entries::new(),
    };
    for (name, value) in kw {
        new.insert(Key(Val::Str(Text::plain(name))), value);
    }
    rt.alloc_entries(new.len())?;
    for value in new.values() {
        rt.knot(this, value);
    }
    own(this)?.write().extend(new);
    Ok(Val::None)
}

fn clear(_rt: &Runtime<'_>, this: &Val, args: Args) -> Outcome {
    args.none("clear")?;
    let entries = std::mem::take(&mut *own(this)?.write());
    drop(Dict::new(entries));
    Ok(Val::None)
}

fn copy(rt: &Runtime<'_>, this: &Val, args: Args) -> Outcome {
    args.none("copy")?;
    rt.alloc_entries(own(this)?.len())?;
    let entries = own(this)?.read().clone();
    Ok(Val::Dict(Arc::new(Dict::new(entries))))
}

fn fromkeys(rt: &Runtime<'_>, _this: &Val, args: Args) -> Outcome {
    from_keys(rt, args)
}

/// `dict.fromkeys(iterable, value)`.
pub(crate) fn from_keys(rt: &Runtime<'_>, args: Args) -> Outcome {
    let [keys, value] = args.bind("fromkeys", ["iterable", "value"], 1)?;
    let value = value.unwrap_or(Val::None);
    let mut entries = Entries::new();
    for key in rt.items(&keys.unwrap_or(Val::None))? {
        rt.alloc_entries(1)?;
        entries.insert(compare::key(rt, &key)?, value.clone());
    }
    Ok(Val::Dict(Arc::new(Dict::new(entries))))
}
