//! The operators of expressions.

use std::sync::Arc;

use super::number::{self, Arith, Num};
use super::text::escape;
use super::{Text, Val, show};
use crate::clock;
use crate::fault::{Outcome, fail, over};
use crate::format::percent;
use crate::runtime::Runtime;

/// `a op b`.
pub(crate) fn binary(rt: &Runtime<'_>, op: Arith, a: &Val, b: &Val) -> Outcome {
    if op == Arith::Rem
        && let Val::Str(text) = a
    {
        return percent::format(rt, text, b);
    }
    if let (Some(x), Some(y)) = (Num::of(a), Num::of(b)) {
        return match number::arith(rt, op, &x, &y) {
            Some(result) => result,
            None => unsupported(op, a, b),
        };
    }
    match (op, a, b) {
        (_, Val::Undefined(_), _) => Err(rt.undefined(a)),
        (_, _, Val::Undefined(_)) => Err(rt.undefined(b)),
        (Arith::Add, Val::Str(x), Val::Str(y)) => join_text(rt, x, y),
        (Arith::Add, Val::List(x), Val::List(y)) => {
            let (x, y) = (x.read(), y.read());
            rt.step((x.len() + y.len()) as u64 / 8)?;
            rt.alloc_items(x.len() + y.len())?;
            Ok(Val::list(x.iter().chain(y.iter()).cloned().collect()))
        }
        (Arith::Add, Val::Tuple(x), Val::Tuple(y)) => {
            rt.step((x.items.len() + y.items.len()) as u64 / 8)?;
            rt.alloc_items(x.items.len() + y.items.len())?;
            Ok(Val::tuple(x.items.iter().chain(&y.items).cloned().collect()))
        }
        (Arith::Add, Val::Bytes(x), Val::Bytes(y)) => {
            rt.alloc(x.len() + y.len())?;
            Ok(Val::Bytes([&**x, &**y].concat().into()))
        }
        (Arith::Mul, Val::Str(_) | Val::List(_) | Val::Tuple(_) | Val::Bytes(_), _) => repeat(rt, a, b),
        (Arith::Mul, _, Val::Str(_) | Val::List(_) | Val::Tuple(_) | Val::Bytes(_)) => repeat(rt, b, a),
        _ => match clock::arith::binary(op, a, b)? {
            Some(value) => Ok(value),
            None => unsupported(op, a, b),
        },
    }
}

fn unsupported(op: Arith, a: &Val, b: &Val) -> Outcome {
    let symbol = op.symbol();
    let hint = match (op, a, b) {
        (Arith::Add, Val::Str(_), _) | (Arith::Add, _, Val::Str(_)) => ": join text and other values with ~",
        (_, Val::Decimal(_), Val::Float(_)) | (_, Val::Float(_), Val::Decimal(_)) => {
            ": convert one of them with |float"
        }
        _ => "",
    };
    fail(format!("\"{symbol}\" does not work between {} and {}{hint}", a.type_name(), b.type_name()))
}

/// `+` of two strings: next to markup, plain text is escaped.
fn join_text(rt: &Runtime<'_>, x: &Text, y: &Text) -> Outcome {
    rt.alloc(x.as_str().len() + y.as_str().len())?;
    if !x.is_markup() && !y.is_markup() {
        return Ok(Val::Str(Text::plain([x.as_str(), y.as_str()].concat())));
    }
    let safe = |text: &Text| {
        if text.is_markup() { Ok(text.as_str().to_owned()) } else { escape(rt, text.as_str()) }
    };
    let joined = safe(x)? + &safe(y)?;
    Ok(Val::Str(Text::markup(joined)))
}

/// `sequence * count`.
fn repeat(rt: &Runtime<'_>, sequence: &Val, count: &Val) -> Outcome {
    let count = match count {
        Val::Int(count) => usize::try_from(*count).unwrap_or(0),
        Val::Bool(truth) => usize::from(*truth),
        // Python's OverflowError, be there anything to repeat or not.
        Val::Big(_) => return fail("the number of repetitions does not fit into 64 bits"),
        other => return unsupported(Arith::Mul, sequence, other),
    };
    match sequence {
        Val::Str(text) => {
            rt.alloc(text.as_str().len().saturating_mul(count))?;
            let repeated = text.as_str().repeat(if text.as_str().is_empty() { 0 } else { count });
            Ok(Val::Str(if text.is_markup() { Text::markup(repeated) } else { Text::plain(repeated) }))
        }
        Val::Bytes(bytes) => {
            rt.alloc(bytes.len().saturating_mul(count))?;
            Ok(Val::Bytes(bytes.repeat(if bytes.is_empty() { 0 } else { count }).into()))
        }
        Val::List(list) => Ok(Val::list(repeat_items(rt, &list.read(), count)?)),
        Val::Tuple(tuple) => Ok(Val::tuple(repeat_items(rt, &tuple.items, count)?)),
        other => unsupported(Arith::Mul, other, &Val::Int(0)),
    }
}

fn repeat_items(rt: &Runtime<'_>, items: &[Val], count: usize) -> Outcome<Vec<Val>> {
    let total = items.len().saturating_mul(count);
    rt.alloc_items(total)?;
    rt.step(total as u64 / 8)?;
    let mut all = Vec::with_capacity(total);
    if !items.is_empty() {
        for _ in 0..count {
            all.extend_from_slice(items);
        }
    }
    Ok(all)
}

/// `-a`.
pub(crate) fn negate(rt: &Runtime<'_>, a: &Val) -> Outcome {
    match a {
        Val::Undefined(_) => Err(rt.undefined(a)),
        Val::Float(number) => Ok(Val::Float(-number)),
        Val::Decimal(number) => Ok(Val::Decimal(Arc::new(number.neg()))),
        Val::Delta(delta) => Ok(Val::Delta(delta.negated()?)),
        Val::Relative(relative) => Ok(Val::Relative(Arc::new(relative.scaled(-1.0)))),
        other => match Num::of(other) {
            Some(number) => number::arith(rt, Arith::Sub, &Num::Int(0), &number)
                .unwrap_or_else(|| fail("the number cannot be negated")),
            None => fail(format!(
                "unary \"-\" does not work on {}",
                super::undefined::with_article(other.type_name())
            )),
        },
    }
}

/// `+a`: numbers and durations only.
pub(crate) fn affirm(rt: &Runtime<'_>, a: &Val) -> Outcome {
    match a {
        Val::Undefined(_) => Err(rt.undefined(a)),
        Val::Bool(truth) => Ok(Val::Int(i64::from(*truth))),
        Val::Decimal(number) => Ok(Val::Decimal(Arc::new(number.pos()))),
        Val::Int(_) | Val::Big(_) | Val::Float(_) | Val::Delta(_) => Ok(a.clone()),
        other => fail(format!(
            "unary \"+\" does not work on {}",
            super::undefined::with_article(other.type_name())
        )),
    }
}

/// `a ~ b ~ c`: the text of each; nothing is escaped outside autoescape.
pub(crate) fn concat(rt: &Runtime<'_>, parts: &[Val], escaping: bool) -> Outcome {
    let markup = escaping && parts.iter().any(|part| matches!(part, Val::Str(text) if text.is_markup()));
    let mut joined = String::new();
    for part in parts {
        let text = show::text(rt, part)?;
        rt.alloc(text.as_str().len())?;
        if markup && !text.is_markup() {
            joined.push_str(&escape(rt, text.as_str())?);
        } else {
            joined.push_str(text.as_str());
        }
    }
    if joined.len() > rt.limits.memory_bytes {
        return over("the text is too long", "memory_bytes");
    }
    Ok(Val::Str(if markup { Text::markup(joined) } else { Text::plain(joined) }))
}
