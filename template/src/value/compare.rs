//! Equality, order, membership and hashing by Python's rules.

use std::borrow::Cow;
use std::cmp::Ordering;
use std::hash::{Hash, Hasher};
use std::sync::Arc;

use num_traits::ToPrimitive;

use super::containers::Key;
use super::number::{self, Num};
use super::{Text, Val, ViewKind};
use crate::clock;
use crate::fault::{Outcome, fail};
use crate::rrule;
use crate::runtime::Runtime;

/// `a == b`.
pub(crate) fn equal(rt: &Runtime<'_>, a: &Val, b: &Val) -> Outcome<bool> {
    rt.step(1)?;
    Ok(match (a, b) {
        (Val::Str(x), Val::Str(y)) => {
            let (x, y) = (x.as_str(), y.as_str());
            if x.len() == y.len() {
                rt.look_at(x)?;
            }
            x == y || (x.len() == y.len() && rt.readable(x) == rt.readable(y))
        }
        (Val::List(x), Val::List(y)) => Arc::ptr_eq(x, y) || sequences(rt, &x.read(), &y.read())?,
        (Val::Tuple(x), Val::Tuple(y)) => Arc::ptr_eq(x, y) || sequences(rt, &x.items, &y.items)?,
        (Val::Dict(x), Val::Dict(y)) => {
            if Arc::ptr_eq(x, y) {
                return Ok(true);
            }
            let (x, y) = (x.read(), y.read());
            if x.len() != y.len() {
                return Ok(false);
            }
            for (key, value) in x.iter() {
                charge_key(rt, &key.0)?;
                let same = match y.get(key) {
                    Some(other) => rt.deeper(|| equal(rt, value, other))?,
                    None => false,
                };
                if !same {
                    return Ok(false);
                }
            }
            true
        }
        (Val::View(x), Val::View(y)) if x.kind != ViewKind::Values && x.kind == y.kind => {
            // Sets in Python: each item is looked up in the other.
            if x.dict.len() != y.dict.len() {
                return Ok(false);
            }
            let (kind, x, y) = (x.kind, x.dict.read(), y.dict.read());
            for (key, value) in x.iter() {
                charge_key(rt, &key.0)?;
                let same = match y.get(key) {
                    Some(_) if kind == ViewKind::Keys => true,
                    Some(other) => rt.deeper(|| equal(rt, value, other))?,
                    None => false,
                };
                if !same {
                    return Ok(false);
                }
            }
            true
        }
        _ => {
            charge_key(rt, a)?;
            same_key(a, b)
        }
    })
}

/// Charges for comparing or hashing a value that can be a key.
fn charge_key(rt: &Runtime<'_>, value: &Val) -> Outcome<()> {
    match value {
        Val::Str(text) => rt.look_at(text.as_str()),
        Val::Bytes(bytes) => rt.step(bytes.len() as u64 / 64),
        Val::Big(number) => rt.step(number.bits() / 512),
        // As large as a Decimal can be.
        Val::Decimal(_) => rt.step(8),
        Val::Pattern(pattern) => rt.look_at(pattern.source()),
        Val::Tuple(tuple) => {
            rt.step(1 + tuple.items.len() as u64 / 8)?;
            tuple.items.iter().try_for_each(|item| rt.deeper(|| charge_key(rt, item)))
        }
        _ => Ok(()),
    }
}

/// `a != b`. dateutil calls nothing but another one unequal to a
/// relativedelta.
pub(crate) fn unequal(rt: &Runtime<'_>, a: &Val, b: &Val) -> Outcome<bool> {
    if matches!(a, Val::Relative(_)) != matches!(b, Val::Relative(_)) {
        return Ok(false);
    }
    Ok(!equal(rt, a, b)?)
}

fn sequences(rt: &Runtime<'_>, x: &[Val], y: &[Val]) -> Outcome<bool> {
    if x.len() != y.len() {
        return Ok(false);
    }
    for (a, b) in x.iter().zip(y) {
        if !rt.deeper(|| equal(rt, a, b))? {
            return Ok(false);
        }
    }
    Ok(true)
}

/// Equality of values that can be keys; never fails.
pub(crate) fn same_key(a: &Val, b: &Val) -> bool {
    if let (Some(x), Some(y)) = (Num::of(a), Num::of(b)) {
        return number::compare(&x, &y) == Some(Ordering::Equal);
    }
    match (a, b) {
        (Val::Str(x), Val::Str(y)) => x.as_str() == y.as_str(),
        (Val::Undefined(_), Val::Undefined(_)) | (Val::None, Val::None) => true,
        (Val::Bytes(x), Val::Bytes(y)) => x == y,
        (Val::Tuple(x), Val::Tuple(y)) => {
            x.items.len() == y.items.len() && x.items.iter().zip(&y.items).all(|(a, b)| same_key(a, b))
        }
        (Val::Range(x), Val::Range(y)) => {
            x.len() == y.len() && (x.len() == 0 || (x.start == y.start && (x.len() == 1 || x.step == y.step)))
        }
        (Val::Uuid(x), Val::Uuid(y)) => x == y,
        (Val::Native(x), Val::Native(y)) => std::ptr::eq(*x, *y),
        (Val::Macro(x), Val::Macro(y)) => Arc::ptr_eq(x, y),
        (Val::Object(x), Val::Object(y)) => Arc::ptr_eq(x, y),
        (Val::Match(x), Val::Match(y)) => Arc::ptr_eq(x, y),
        (Val::Iter(x), Val::Iter(y)) => Arc::ptr_eq(x, y),
        (Val::Pattern(x), Val::Pattern(y)) => x.is_same(y),
        _ => clock::order::equal(a, b),
    }
}

/// `a < b` and friends: the order, or `None` where every comparison is
/// false (NaN).
pub(crate) fn order(rt: &Runtime<'_>, a: &Val, b: &Val, symbol: &str) -> Outcome<Option<Ordering>> {
    rt.step(1)?;
    if let (Some(x), Some(y)) = (Num::of(a), Num::of(b)) {
        charge_key(rt, a)?;
        return Ok(number::compare(&x, &y));
    }
    match (a, b) {
        (Val::Str(x), Val::Str(y)) => {
            rt.step(x.as_str().len().min(y.as_str().len()) as u64 / 64)?;
            Ok(Some(rt.readable(x.as_str()).cmp(&rt.readable(y.as_str()))))
        }
        (Val::Bytes(x), Val::Bytes(y)) => {
            rt.step(x.len().min(y.len()) as u64 / 64)?;
            Ok(Some(x.cmp(y)))
        }
        (Val::List(x), Val::List(y)) => order_items(rt, &x.read(), &y.read(), symbol),
        (Val::Tuple(x), Val::Tuple(y)) => order_items(rt, &x.items, &y.items, symbol),
        (Val::Undefined(_), _) => Err(rt.undefined(a)),
        (_, Val::Undefined(_)) => Err(rt.undefined(b)),
        (Val::Uuid(x), Val::Uuid(y)) => Ok(Some(x.cmp(y))),
        _ => match clock::order::order(a, b)? {
            Some(order) => Ok(Some(order)),
            None => fail(format!("\"{symbol}\" cannot compare {} with {}", a.type_name(), b.type_name())),
        },
    }
}

fn order_items(rt: &Runtime<'_>, x: &[Val], y: &[Val], symbol: &str) -> Outcome<Option<Ordering>> {
    for (a, b) in x.iter().zip(y) {
        if !rt.deeper(|| equal(rt, a, b))? {
            return rt.deeper(|| order(rt, a, b, symbol));
        }
    }
    Ok(Some(x.len().cmp(&y.len())))
}

/// Sorts as Python's `sorted`: stable, by `<` alone, and an error of a
/// comparison ends it.
pub(crate) fn sort_by_key<T>(
    rt: &Runtime<'_>,
    items: &mut [T],
    reverse: bool,
    key: impl Fn(&T) -> &Val,
) -> Outcome<()> {
    let mut trouble = None;
    // Room for the sort's own copy, and its comparisons of equal items.
    rt.copy_items(items.len())?;
    items.sort_by(|a, b| {
        if trouble.is_some() {
            return Ordering::Equal;
        }
        match order(rt, key(a), key(b), "<") {
            Ok(order) => {
                let order = order.unwrap_or(Ordering::Equal);
                if reverse { order.reverse() } else { order }
            }
            Err(fault) => {
                trouble = Some(fault);
                Ordering::Equal
            }
        }
    });
    trouble.map_or(Ok(()), Err)
}

/// `item in container`.
pub(crate) fn contains(rt: &Runtime<'_>, container: &Val, item: &Val) -> Outcome<bool> {
    match container {
        Val::Str(text) => match item {
            Val::Str(part) => {
                rt.step((text.as_str().len() + part.as_str().len()) as u64 / 64)?;
                Ok(rt.readable(text.as_str()).contains(&*rt.readable(part.as_str())))
            }
            Val::Undefined(_) => Err(rt.undefined(item)),
            other => fail(format!(
                "\"in\" looks for text in text, not for {}",
                super::undefined::with_article(other.type_name())
            )),
        },
        Val::Dict(dict) => Ok(dict.read().contains_key(&key(rt, item)?)),
        Val::View(view) if view.kind == ViewKind::Keys => Ok(view.dict.read().contains_key(&key(rt, item)?)),
        Val::Undefined(_) => Ok(false),
        Val::Bytes(bytes) => {
            rt.step(bytes.len() as u64 / 16)?;
            match item {
                Val::Bytes(part) => {
                    rt.step((bytes.len() as u64 * part.len() as u64) / 64)?;
                    Ok(part.is_empty() || bytes.windows(part.len()).any(|window| window == &**part))
                }
                Val::Int(byte) => match u8::try_from(*byte) {
                    Ok(byte) => Ok(bytes.contains(&byte)),
                    Err(_) => fail("a byte is from 0 to 255"),
                },
                other => fail(format!(
                    "\"in\" looks for bytes in bytes, not for {}",
                    super::undefined::with_article(other.type_name())
                )),
            }
        }
        Val::Range(range) => match item {
            Val::Int(number) => Ok(range.contains(*number)),
            Val::Bool(truth) => Ok(range.contains(i64::from(*truth))),
            Val::Float(number) => {
                Ok(number.fract() == 0.0 && number.abs() < 9e15 && range.contains(*number as i64))
            }
            Val::Decimal(number) => {
                Ok(number.is_integer() && number.to_i64().is_some_and(|number| range.contains(number)))
            }
            _ => Ok(false),
        },
        Val::Object(_) if rrule::of(container).is_some() => {
            rrule::of(container).map_or(Ok(false), |rule| rule.contains(rt, item))
        }
        other => {
            let items = rt.items(other).map_err(|_| {
                crate::fault::Fault::new(
                    crate::ErrorKind::Runtime,
                    format!("\"in\" cannot look into {}", super::undefined::with_article(other.type_name())),
                )
            })?;
            contains_item(rt, &items, item)
        }
    }
}

pub(crate) fn contains_item(rt: &Runtime<'_>, items: &[Val], item: &Val) -> Outcome<bool> {
    for other in items {
        if equal(rt, other, item)? {
            return Ok(true);
        }
    }
    Ok(false)
}

/// The value as a dict key; lists and dicts are refused.
pub(crate) fn key(rt: &Runtime<'_>, value: &Val) -> Outcome<Key> {
    check_hashable(rt, value)?;
    if let Val::Str(text) = value
        && let Cow::Owned(readable) = rt.readable(text.as_str())
    {
        return Ok(Key(Val::Str(Text::plain(readable))));
    }
    Ok(Key(value.clone()))
}

fn check_hashable(rt: &Runtime<'_>, value: &Val) -> Outcome<()> {
    match value {
        Val::List(_) | Val::Dict(_) | Val::View(_) => fail(format!(
            "{} cannot be a key: it is unhashable",
            super::undefined::with_article(value.type_name())
        )),
        Val::Tuple(tuple) => {
            rt.step(tuple.items.len() as u64)?;
            for item in &tuple.items {
                rt.deeper(|| check_hashable(rt, item))?;
            }
            Ok(())
        }
        _ => charge_key(rt, value),
    }
}

pub(crate) fn hash_str<H: Hasher>(text: &str, state: &mut H) {
    1u8.hash(state);
    text.hash(state);
}

/// Values that [`same_key`] calls equal hash alike.
pub(crate) fn hash_key<H: Hasher>(value: &Val, state: &mut H) {
    match value {
        Val::Str(text) => hash_str(text.as_str(), state),
        Val::Int(number) => hash_number(*number as f64, state),
        Val::Bool(truth) => hash_number(f64::from(u8::from(*truth)), state),
        Val::Float(number) => hash_number(*number, state),
        Val::Big(number) => hash_number(number.to_f64().unwrap_or(f64::INFINITY), state),
        Val::Decimal(number) => hash_number(number.to_float(), state),
        Val::Tuple(tuple) => {
            3u8.hash(state);
            for item in &tuple.items {
                hash_key(item, state);
            }
        }
        Val::Bytes(bytes) => bytes.hash(state),
        Val::Uuid(uuid) => uuid.hash(state),
        Val::Range(range) => {
            range.len().hash(state);
            if range.len() > 0 {
                range.start.hash(state);
            }
            if range.len() > 1 {
                range.step.hash(state);
            }
        }
        Val::Native(native) => std::ptr::from_ref(*native).hash(state),
        Val::Macro(makro) => Arc::as_ptr(makro).hash(state),
        Val::Object(object) => Arc::as_ptr(object).hash(state),
        Val::Match(found) => Arc::as_ptr(found).hash(state),
        Val::Iter(iter) => Arc::as_ptr(iter).hash(state),
        Val::Pattern(pattern) => pattern.source().hash(state),
        other if clock::order::hash(other, state) => {}
        // None and undefined: each is one value.
        other => other.type_name().len().hash(state),
    }
}

fn hash_number<H: Hasher>(number: f64, state: &mut H) {
    2u8.hash(state);
    // Zero has two signs.
    (number + 0.0).to_bits().hash(state);
}
