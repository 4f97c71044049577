//! Filters that apply a filter or a test to each item.

use super::attribute::Path;
use super::sequence::iterator;
use crate::call::Args;
use crate::error::ErrorKind;
use crate::fault::{Fault, Outcome, fail};
use crate::predicates::{self, Test};
use crate::runtime::Runtime;
use crate::value::Val;

/// `value|map(filter, …)` or `value|map(attribute=path, default=…)`.
pub(super) fn map(rt: &Runtime<'_>, value: &Val, mut args: Args) -> Outcome {
    let mut results = Vec::new();
    if args.pos.is_empty() {
        let Some(attribute) = args.take_kw("attribute") else {
            return fail("map needs the name of a filter, or an attribute");
        };
        let default = args.take_kw("default").filter(|default| !default.is_none());
        args.none("map")?;
        let path = Path::of(&attribute)?;
        for item in items_of(rt, value)? {
            rt.step(1)?;
            rt.alloc_items(1)?;
            results.push(path.get(rt, &item, default.as_ref())?);
        }
        return Ok(iterator("sync_do_map", results));
    }
    let name = args.pos.remove(0);
    let name = crate::call::text(rt, "map", "name", &name)?;
    let Some(filter) = super::find(name) else {
        return Err(Fault::new(ErrorKind::Runtime, format!("unknown filter \"{name}\""))
            .nearest(name, super::names()));
    };
    for item in items_of(rt, value)? {
        let args = copied(rt, &args)?;
        rt.alloc_items(1)?;
        results.push((filter.code)(rt, &item, args)?);
    }
    Ok(iterator("sync_do_map", results))
}

/// The arguments for one item more, charged.
fn copied(rt: &Runtime<'_>, args: &Args) -> Outcome<Args> {
    rt.step(1)?;
    rt.copy_items(args.pos.len() + 2 * args.kw.len())?;
    Ok(Args { pos: args.pos.clone(), kw: args.kw.clone() })
}

/// The items; a false value has none, be it a list or not.
fn items_of(rt: &Runtime<'_>, value: &Val) -> Outcome<Vec<Val>> {
    if value.truth() { rt.items(value) } else { Ok(Vec::new()) }
}

/// The test that `select` and its kin apply, with its arguments.
fn test(rt: &Runtime<'_>, args: &mut Args) -> Outcome<Option<&'static Test>> {
    if args.pos.is_empty() {
        return Ok(None);
    }
    let name = args.pos.remove(0);
    let name = crate::call::text(rt, "select", "test", &name)?;
    match predicates::find(name) {
        Some(test) => Ok(Some(test)),
        None => Err(Fault::new(ErrorKind::Runtime, format!("unknown test \"{name}\""))
            .nearest(name, predicates::names())),
    }
}

fn pick(rt: &Runtime<'_>, value: &Val, mut args: Args, by_attribute: bool, wanted: bool) -> Outcome {
    let path = if by_attribute {
        if args.pos.is_empty() {
            return fail("selectattr and rejectattr need the name of an attribute");
        }
        Some(Path::of(&args.pos.remove(0))?)
    } else {
        None
    };
    let test = test(rt, &mut args)?;
    let mut kept = Vec::new();
    for item in items_of(rt, value)? {
        rt.step(1)?;
        let subject = match &path {
            Some(path) => path.get(rt, &item, None)?,
            None => item.clone(),
        };
        let holds = match test {
            Some(test) => {
                let args = copied(rt, &args)?;
                (test.code)(rt, &subject, args)?
            }
            None => subject.truth(),
        };
        if holds == wanted {
            rt.alloc_items(1)?;
            kept.push(item);
        }
    }
    Ok(iterator("select_or_reject", kept))
}

/// `value|select(test, …)`.
pub(super) fn select(rt: &Runtime<'_>, value: &Val, args: Args) -> Outcome {
    pick(rt, value, args, false, true)
}

/// `value|reject(test, …)`.
pub(super) fn reject(rt: &Runtime<'_>, value: &Val, args: Args) -> Outcome {
    pick(rt, value, args, false, false)
}

/// `value|selectattr(attribute, test, …)`.
pub(super) fn selectattr(rt: &Runtime<'_>, value: &Val, args: Args) -> Outcome {
    pick(rt, value, args, true, true)
}

/// `value|rejectattr(attribute, test, …)`.
pub(super) fn rejectattr(rt: &Runtime<'_>, value: &Val, args: Args) -> Outcome {
    pick(rt, value, args, true, false)
}
