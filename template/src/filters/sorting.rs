//! Filters that order and group.

use std::cmp::Ordering;
use std::sync::Arc;

use indexmap::IndexSet;

use super::attribute::Path;
use super::sequence::iter;
use crate::call::{self, Args};
use crate::fault::{Outcome, fail};
use crate::runtime::Runtime;
use crate::value::containers::Fields;
use crate::value::{Missing, Text, Tuple, Val, compare};

/// The key that orders values: themselves or an attribute, text in lower case unless case counts.
struct By {
    path: Option<Path>,
    case_sensitive: bool,
}

impl By {
    fn new(attribute: Option<&Val>, case_sensitive: Option<&Val>) -> Outcome<Self> {
        Ok(Self {
            path: match attribute {
                None | Some(Val::None) => None,
                Some(attribute) => Some(Path::of(attribute)?),
            },
            case_sensitive: case_sensitive.is_some_and(Val::truth),
        })
    }

    fn key(&self, rt: &Runtime<'_>, value: &Val) -> Outcome {
        let key = match &self.path {
            Some(path) => path.get(rt, value, None)?,
            None => value.clone(),
        };
        if self.case_sensitive { Ok(key) } else { folded(rt, key) }
    }
}

fn folded(rt: &Runtime<'_>, value: Val) -> Outcome {
    Ok(match value {
        Val::Str(text) => {
            rt.rewrite(text.as_str())?;
            rt.room(text.as_str().len().saturating_mul(2))?;
            // A text that has nothing to fold stays the one it is.
            if text.as_str().chars().any(char::is_uppercase) {
                rt.alloc(text.as_str().len())?;
                Val::Str(Text::plain(text.as_str().to_lowercase()))
            } else {
                Val::Str(text)
            }
        }
        other => other,
    })
}

/// `value|sort(reverse, case_sensitive, attribute)`.
pub(super) fn sort(rt: &Runtime<'_>, value: &Val, args: Args) -> Outcome {
    let [reverse, case, attribute] = args.bind("sort", ["reverse", "case_sensitive", "attribute"], 0)?;
    let case = case.is_some_and(|case| case.truth());
    let paths: Vec<Option<Path>> = match &attribute {
        None | Some(Val::None) => vec![None],
        Some(Val::Str(names)) => {
            rt.step(names.as_str().len() as u64)?;
            rt.alloc(names.as_str().len().saturating_mul(16))?;
            let names = names.as_str().split(',');
            names.map(|name| Some(Path::parse(name.trim()))).collect()
        }
        Some(other) => vec![Some(Path::of(other)?)],
    };
    let mut keyed = Vec::new();
    for item in rt.items(value)? {
        let mut keys = Vec::with_capacity(paths.len());
        for path in &paths {
            let key = match path {
                Some(path) => path.get(rt, &item, None)?,
                None => item.clone(),
            };
            keys.push(if case { key } else { folded(rt, key)? });
        }
        rt.alloc_items(keys.len() + 3)?;
        keyed.push((Val::list(keys), item));
    }
    let reverse = call::backwards(rt, "sort", reverse.as_ref())?;
    compare::sort_by_key(rt, &mut keyed, reverse, |(key, _)| key)?;
    rt.list(keyed.into_iter().map(|(_, item)| item).collect())
}

/// `value|dictsort(case_sensitive, by, reverse)`.
pub(super) fn dictsort(rt: &Runtime<'_>, value: &Val, args: Args) -> Outcome {
    let [case, by, reverse] = args.bind("dictsort", ["case_sensitive", "by", "reverse"], 0)?;
    let by_value = match &by {
        None => false,
        Some(by) => match by.as_str() {
            Some("key") => false,
            Some("value") => true,
            _ => return fail("dictsort sorts by \"key\" or \"value\""),
        },
    };
    let Val::Dict(dict) = value else {
        if value.is_undefined() {
            return Err(rt.undefined(value));
        }
        return fail("dictsort needs a dict");
    };
    let case = case.is_some_and(|case| case.truth());
    rt.alloc_entries(dict.len())?;
    let mut keyed: Vec<(Val, Val)> = Vec::with_capacity(dict.len());
    for (key, value) in dict.read().iter() {
        let by = if by_value { value } else { &key.0 };
        let by = if case { by.clone() } else { folded(rt, by.clone())? };
        keyed.push((by, Val::tuple(vec![rt.key_value(&key.0), value.clone()])));
    }
    let reverse = call::backwards(rt, "dictsort", reverse.as_ref())?;
    compare::sort_by_key(rt, &mut keyed, reverse, |(key, _)| key)?;
    rt.list(keyed.into_iter().map(|(_, pair)| pair).collect())
}

fn extreme(rt: &Runtime<'_>, value: &Val, args: Args, wanted: Ordering) -> Outcome {
    let [case, attribute] = args.bind("min", ["case_sensitive", "attribute"], 0)?;
    let by = By::new(attribute.as_ref(), case.as_ref())?;
    let mut best: Option<(Val, Val)> = None;
    for item in rt.items(value)? {
        rt.step(1)?;
        let key = by.key(rt, &item)?;
        let better = match &best {
            None => true,
            Some((best, _)) => compare::order(rt, &key, best, "<")? == Some(wanted),
        };
        if better {
            best = Some((key, item));
        }
    }
    Ok(match best {
        Some((_, item)) => item,
        None => Val::missing(Missing::Reason("there is no smallest or largest item: the sequence is empty")),
    })
}

/// `value|min(case_sensitive, attribute)`.
pub(super) fn min(rt: &Runtime<'_>, value: &Val, args: Args) -> Outcome {
    extreme(rt, value, args, Ordering::Less)
}

/// `value|max(case_sensitive, attribute)`.
pub(super) fn max(rt: &Runtime<'_>, value: &Val, args: Args) -> Outcome {
    extreme(rt, value, args, Ordering::Greater)
}

/// `value|unique(case_sensitive, attribute)`.
pub(super) fn unique(rt: &Runtime<'_>, value: &Val, args: Args) -> Outcome {
    let [case, attribute] = args.bind("unique", ["case_sensitive", "attribute"], 0)?;
    let by = By::new(attribute.as_ref(), case.as_ref())?;
    let mut seen = IndexSet::new();
    let mut kept = Vec::new();
    for item in rt.items(value)? {
        let key = compare::key(rt, &by.key(rt, &item)?)?;
        rt.alloc_entries(1)?;
        if seen.insert(key) {
            kept.push(item);
        }
    }
    iter(rt, "do_unique", kept)
}

/// The fields of `groupby`'s pairs.
static GROUP: Fields = Fields { type_name: "tuple", names: &["grouper", "list"] };

/// `value|groupby(attribute, default, case_sensitive)`.
pub(super) fn groupby(rt: &Runtime<'_>, value: &Val, args: Args) -> Outcome {
    let [attribute, default, case] = args.bind("groupby", ["attribute", "default", "case_sensitive"], 1)?;
    let path = Path::of(&attribute.unwrap_or(Val::None))?;
    let case = case.is_some_and(|case| case.truth());
    let mut keyed = Vec::new();
    for item in rt.items(value)? {
        let key = path.get(rt, &item, default.as_ref())?;
        let folded = if case { key.clone() } else { folded(rt, key.clone())? };
        rt.alloc_items(3)?;
        keyed.push((folded, key, item));
    }
    rt.alloc_entries(keyed.len())?;
    compare::sort_by_key(rt, &mut keyed, false, |(by, _, _)| by)?;
    let mut groups: Vec<(Val, Val, Vec<Val>)> = Vec::new();
    for (by, key, item) in keyed {
        match groups.last_mut() {
            Some((last, _, items)) if compare::equal(rt, last, &by)? => items.push(item),
            _ => groups.push((by, key, vec![item])),
        }
    }
    let tuples = groups.into_iter().map(|(_, key, items)| {
        Val::Tuple(Arc::new(Tuple { items: vec![key, Val::list(items)], named: Some(&GROUP) }))
    });
    rt.list(tuples.collect())
}
