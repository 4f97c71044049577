//! `a.b`, `a[b]` and `a[b:c]`. An attribute that is not listed for a type does not exist.

use std::sync::Arc;

use crate::clock;
use crate::error::ErrorKind;
use crate::fault::{Fault, Outcome, fail};
use crate::methods;
use crate::native::{BoundMethod, Code, Native};
use crate::rrule;
use crate::runtime::Runtime;
use crate::value::undefined::with_article;
use crate::value::{Range, Text, Val, compare, show};

/// `owner.name`: the attribute, else the item of that name, else undefined.
pub(crate) fn attr(rt: &Runtime<'_>, owner: &Val, name: &Arc<str>) -> Outcome {
    if let Val::Dict(dict) = owner {
        if let Some((known, code)) = methods::find(owner, name) {
            return Ok(bound(owner, known, code));
        }
        return Ok(dict.get_str(name).unwrap_or_else(|| Val::missing_member(owner, Arc::clone(name))));
    }
    if let Val::Undefined(_) = owner {
        return Err(rt.undefined(owner));
    }
    match attribute(rt, owner, name)? {
        Some(value) => Ok(value),
        None => Ok(Val::missing_member(owner, Arc::clone(name))),
    }
}

/// Python's `getattr`: the attribute, which may have an undefined value, and `None` if it is missing.
pub(crate) fn attribute(rt: &Runtime<'_>, owner: &Val, name: &str) -> Outcome<Option<Val>> {
    refuse_private(owner, name)?;
    charge_member(rt, owner)?;
    member(owner, name).transpose()
}

/// Names that begin with `_` lead into Python's machinery, which does not exist here; asking for it
/// is an error rather than nothing.
fn refuse_private(owner: &Val, name: &str) -> Outcome<()> {
    if name.starts_with('_') {
        return fail(format!(
            "\"{name}\" of {} is refused: names that begin with _ are private",
            with_article(owner.type_name())
        ));
    }
    Ok(())
}

/// Charges for members that are found out anew each time.
fn charge_member(rt: &Runtime<'_>, owner: &Val) -> Outcome<()> {
    match owner {
        // Where a match lies is counted in characters.
        Val::Match(found) => rt.step(found.string().len() as u64 / 32),
        Val::Pattern(pattern) => rt.look_at(pattern.source()),
        _ => Ok(()),
    }
}

fn member(owner: &Val, name: &str) -> Option<Outcome> {
    if let Some(value) = field(owner, name) {
        return Some(Ok(value));
    }
    if let Some((known, code)) = methods::find(owner, name) {
        return Some(Ok(bound(owner, known, code)));
    }
    match owner {
        Val::Native(native) => native.member(name),
        other => class_of(other)?.member(name),
    }
}

fn bound(owner: &Val, name: &'static str, code: crate::native::MethodFn) -> Val {
    Val::Method(Arc::new(BoundMethod { this: owner.clone(), name, code: Code::Method(code) }))
}

/// The class whose members a value has too, as `start.fromtimestamp`.
fn class_of(value: &Val) -> Option<&'static Native> {
    match value {
        Val::Date(_) => Some(&clock::classes::DATE),
        Val::DateTime(_) => Some(&clock::classes::DATETIME),
        Val::Time(_) => Some(&clock::classes::TIME),
        Val::Delta(_) => Some(&clock::classes::TIMEDELTA),
        _ => None,
    }
}

/// A data attribute.
fn field(owner: &Val, name: &str) -> Option<Val> {
    match owner {
        Val::Tuple(tuple) => tuple.field(name).cloned(),
        Val::Bool(truth) if matches!(name, "real" | "numerator") => Some(Val::Int((*truth).into())),
        Val::Int(_) | Val::Big(_) | Val::Bool(_) => match name {
            "real" | "numerator" => Some(owner.clone()),
            "imag" => Some(Val::Int(0)),
            "denominator" => Some(Val::Int(1)),
            _ => None,
        },
        Val::Float(_) | Val::Decimal(_) => match name {
            "real" => Some(owner.clone()),
            "imag" => Some(Val::Float(0.0)),
            _ => None,
        },
        Val::Range(range) => match name {
            "start" => Some(Val::Int(range.start)),
            "stop" => Some(Val::Int(range.stop)),
            "step" => Some(Val::Int(range.step)),
            _ => None,
        },
        Val::Match(found) => found.field(name),
        Val::Pattern(pattern) => pattern.field(name),
        Val::Uuid(uuid) => match name {
            "hex" => Some(Val::str(&uuid.simple().to_string())),
            "urn" => Some(Val::str(&uuid.urn().to_string())),
            "version" => Some(Val::Int(uuid.get_version_num() as i64)),
            "int" => Some(Val::big(num_bigint::BigInt::from(uuid.as_u128()))),
            "bytes" => Some(Val::Bytes(uuid.as_bytes().as_slice().into())),
            _ => None,
        },
        Val::Macro(makro) => makro.field(name),
        Val::Object(object) => object.field(name),
        other => clock::fields::field(other, name),
    }
}

/// The names a value has, for hints.
pub(crate) fn member_names(owner: &Val) -> Vec<String> {
    let mut names: Vec<String> = match owner {
        Val::Dict(dict) => dict.read().keys().filter_map(|key| key.0.as_str().map(str::to_owned)).collect(),
        Val::Native(native) => native.members.iter().map(|(name, _)| (*name).to_owned()).collect(),
        Val::Object(object) => object.field_names(),
        Val::Tuple(tuple) => tuple
            .named
            .map_or_else(Vec::new, |fields| fields.names.iter().map(|name| (*name).to_owned()).collect()),
        other => clock::fields::names(other).iter().map(|name| (*name).to_owned()).collect(),
    };
    names.extend(methods::names(owner).map(str::to_owned));
    if let Some(class) = class_of(owner) {
        names.extend(class.members.iter().map(|(name, _)| (*name).to_owned()));
    }
    names
}

/// The error for calling a method that does not exist.
pub(crate) fn missing_method(rt: &Runtime<'_>, owner: &Val, name: &str) -> Box<Fault> {
    if owner.is_undefined() {
        return rt.undefined(owner);
    }
    let names = member_names(owner);
    let whose = match owner {
        Val::None => "None".to_owned(),
        Val::Native(native) => native.name.to_owned(),
        other => with_article(other.type_name()),
    };
    let what = if matches!(owner, Val::Native(_)) { "function" } else { "method" };
    Fault::new(ErrorKind::Undefined, format!("{whose} has no {what} \"{name}\""))
        .nearest(name, names.iter().map(String::as_str))
}

/// `owner[key]`: the item, else the attribute of that name, else undefined.
pub(crate) fn item(rt: &Runtime<'_>, owner: &Val, key: &Val) -> Outcome {
    if let Some(value) = subscript(rt, owner, key)? {
        return Ok(value);
    }
    if let Val::Str(name) = key {
        if !matches!(owner, Val::Dict(_)) {
            refuse_private(owner, name.as_str())?;
        }
        // A method that changes its owner is only reached by its plain name:
        // that is how the template is known to need copies.
        charge_member(rt, owner)?;
        let mutator = matches!(owner, Val::List(_) | Val::Dict(_));
        if let (false, Some(value)) = (mutator, member(owner, name.as_str())) {
            return value;
        }
        return Ok(Val::missing_member(owner, Arc::clone(name.shared())));
    }
    Ok(Val::missing_member(owner, show::repr(rt, key)?))
}

/// Python's `owner[key]`: the item, which may have an undefined value, and `None` if it is missing.
pub(crate) fn subscript(rt: &Runtime<'_>, owner: &Val, key: &Val) -> Outcome<Option<Val>> {
    if let Val::Undefined(_) = owner {
        return Err(rt.undefined(owner));
    }
    Ok(match (owner, key) {
        (Val::Dict(dict), Val::Str(name)) => {
            rt.look_at(name.as_str())?;
            dict.get_str(&rt.readable(name.as_str()))
        }
        (Val::Dict(dict), key) => match compare::key(rt, key) {
            Ok(key) => dict.read().get(&key).cloned(),
            Err(_) => None,
        },
        (Val::Object(_), Val::Int(index)) if rrule::of(owner).is_some() => nth(rt, owner, *index)?,
        (Val::Match(found), key) => found.charged(rt, key)?,
        (owner, Val::Int(index)) => {
            if let Val::Str(text) = owner {
                // Characters have to be counted unless all are ASCII.
                if text.as_str().is_ascii() {
                    rt.look_at(text.as_str())?;
                } else {
                    rt.rewrite(text.as_str())?;
                }
            }
            indexed(owner, *index)
        }
        (owner, Val::Bool(index)) => indexed(owner, i64::from(*index)),
        _ => None,
    })
}

/// The nth time of a rule, from the end if negative.
fn nth(rt: &Runtime<'_>, owner: &Val, index: i64) -> Outcome<Option<Val>> {
    let Some(rule) = rrule::of(owner) else {
        return Ok(None);
    };
    Ok(match usize::try_from(index) {
        Ok(index) => rule.taken(rt, index, index.saturating_add(1), 1)?.pop(),
        Err(_) => {
            let all = Val::list(rule.all(rt)?);
            indexed(&all, index)
        }
    })
}

fn indexed(owner: &Val, index: i64) -> Option<Val> {
    let at = |length: usize| {
        let index = if index < 0 { index + i64::try_from(length).ok()? } else { index };
        usize::try_from(index).ok().filter(|index| *index < length)
    };
    match owner {
        Val::List(list) => {
            let items = list.read();
            items.get(at(items.len())?).cloned()
        }
        Val::Tuple(tuple) => tuple.items.get(at(tuple.items.len())?).cloned(),
        Val::Str(text) => {
            let c = text.as_str().chars().nth(at(text.chars())?)?;
            let c = c.to_string();
            Some(Val::Str(if text.is_markup() { Text::markup(c) } else { Text::plain(c) }))
        }
        Val::Bytes(bytes) => Some(Val::Int(i64::from(*bytes.get(at(bytes.len())?)?))),
        Val::Range(range) => range.get(at(range.len())?).map(Val::Int),
        _ => None,
    }
}

/// `owner[start:stop:step]`.
pub(crate) fn slice(rt: &Runtime<'_>, owner: &Val, bounds: &[Val; 3]) -> Outcome {
    if let Val::Undefined(_) = owner {
        return Err(rt.undefined(owner));
    }
    let Some(numbers) = slice_bounds(bounds) else {
        return fail("a slice's bounds must be ints or left out");
    };
    if numbers[2] == Some(0) {
        return fail("a slice's step cannot be zero");
    }
    let picked = |length: usize| slice_indices(numbers, length);
    Ok(match owner {
        Val::Str(text) => {
            rt.rewrite(text.as_str())?;
            // The characters, and the places that are picked.
            rt.room(text.as_str().len().saturating_mul(12))?;
            let chars: Vec<char> = text.as_str().chars().collect();
            let part: String = picked(chars.len()).into_iter().map(|at| chars[at]).collect();
            Val::Str(text.part(rt, part)?)
        }
        Val::List(list) => {
            let items = list.read();
            let at = picked(items.len());
            rt.step(at.len() as u64 / 8)?;
            rt.alloc_items(at.len())?;
            Val::list(at.into_iter().map(|at| items[at].clone()).collect())
        }
        Val::Tuple(tuple) => {
            let items = &tuple.items;
            rt.step(items.len() as u64 / 8)?;
            rt.alloc_items(items.len())?;
            Val::tuple(picked(items.len()).into_iter().map(|at| items[at].clone()).collect())
        }
        Val::Bytes(bytes) => {
            rt.step(bytes.len() as u64 / 8)?;
            rt.room(bytes.len().saturating_mul(8))?;
            rt.alloc(bytes.len())?;
            Val::Bytes(picked(bytes.len()).into_iter().map(|at| bytes[at]).collect())
        }
        Val::Range(range) => {
            let (start, stop, step) = slice_indices_of(numbers, range.len());
            let at = |index: i64| range.start.saturating_add(range.step.saturating_mul(index));
            Val::Range(Arc::new(Range {
                start: at(start),
                stop: at(stop),
                step: range.step.saturating_mul(step),
            }))
        }
        Val::Object(_) if rrule::of(owner).is_some() => {
            let Some(rule) = rrule::of(owner) else {
                return Ok(Val::None);
            };
            if numbers[2].is_some_and(|step| step < 0) {
                return slice(rt, &Val::list(rule.all(rt)?), bounds);
            }
            let [start, stop, step] = numbers.map(|bound| bound.map(usize::try_from));
            match (start.unwrap_or(Ok(0)), stop.unwrap_or(Ok(usize::MAX)), step.unwrap_or(Ok(1))) {
                (Ok(start), Ok(stop), Ok(step)) => Val::list(rule.taken(rt, start, stop, step)?),
                _ => return fail("a slice of an rrule counts from its first time: make a list of it"),
            }
        }
        other => {
            let what = with_article(other.type_name());
            return fail(format!("{what} cannot be sliced"));
        }
    })
}

/// The bounds of a slice as numbers; `None` if one is neither that nor none.
fn slice_bounds(bounds: &[Val; 3]) -> Option<[Option<i64>; 3]> {
    let mut numbers = [None; 3];
    for (number, bound) in numbers.iter_mut().zip(bounds) {
        *number = match bound {
            Val::None => None,
            Val::Int(number) => Some(*number),
            Val::Bool(truth) => Some(i64::from(*truth)),
            Val::Big(big) if big.sign() == num_bigint::Sign::Minus => Some(i64::MIN),
            Val::Big(_) => Some(i64::MAX),
            _ => return None,
        };
    }
    Some(numbers)
}

/// Start, stop and step of a slice, by Python's clamping.
fn slice_indices_of([start, stop, step]: [Option<i64>; 3], length: usize) -> (i64, i64, i64) {
    let length = i64::try_from(length).unwrap_or(i64::MAX);
    let step = step.unwrap_or(1);
    let (lowest, highest) = if step > 0 { (0, length) } else { (-1, length - 1) };
    let clamp = |bound: Option<i64>, default: i64| match bound {
        None => default,
        Some(bound) if bound < 0 => bound.saturating_add(length).max(lowest),
        Some(bound) => bound.min(highest),
    };
    let (first, last) = if step > 0 { (0, length) } else { (length - 1, -1) };
    (clamp(start, first), clamp(stop, last), step)
}

/// The positions a slice picks.
fn slice_indices(bounds: [Option<i64>; 3], length: usize) -> Vec<usize> {
    let (mut at, stop, step) = slice_indices_of(bounds, length);
    let mut indices = Vec::new();
    while (step > 0 && at < stop) || (step < 0 && at > stop) {
        indices.extend(usize::try_from(at));
        at = at.saturating_add(step);
    }
    indices
}

#[cfg(test)]
mod tests {
    use super::slice_indices;

    #[test]
    fn slices_as_python_does() {
        assert_eq!(slice_indices([Some(1), None, None], 3), [1, 2]);
        assert_eq!(slice_indices([None, None, Some(-1)], 3), [2, 1, 0]);
        assert_eq!(slice_indices([Some(-2), Some(100), None], 3), [1, 2]);
        assert_eq!(slice_indices([Some(5), Some(0), Some(-2)], 3), [2]);
        assert_eq!(slice_indices([Some(2), Some(1), None], 3), [0usize; 0]);
        assert_eq!(slice_indices([Some(-10), Some(-1), None], 3), [0, 1]);
    }
}
