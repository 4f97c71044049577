//! Operators on dates, times and durations.

use std::sync::Arc;

use num_bigint::BigInt;
use num_integer::Integer;
use num_traits::Zero;

use super::date::Date;
use super::datetime::DateTime;
use super::delta::{Delta, ratio};
use super::relative::RelativeDelta;
use crate::fault::{Outcome, fail};
use crate::value::Val;
use crate::value::number::{Arith, Num};

/// `a op b`; `None` if the types do not go together.
pub(crate) fn binary(op: Arith, a: &Val, b: &Val) -> Outcome<Option<Val>> {
    let value = match (op, a, b) {
        (Arith::Add, Val::DateTime(x), Val::Delta(d)) | (Arith::Add, Val::Delta(d), Val::DateTime(x)) => {
            x.plus(*d)?.into_val()
        }
        (Arith::Sub, Val::DateTime(x), Val::Delta(d)) => x.plus(d.negated()?)?.into_val(),
        (Arith::Sub, Val::DateTime(x), Val::DateTime(y)) => Val::Delta(between(x, y)?),
        (Arith::Add, Val::Date(x), Val::Delta(d)) | (Arith::Add, Val::Delta(d), Val::Date(x)) => {
            Val::Date(plus_days(*x, d.days())?)
        }
        (Arith::Sub, Val::Date(x), Val::Delta(d)) => Val::Date(plus_days(*x, d.days().saturating_neg())?),
        (Arith::Sub, Val::Date(x), Val::Date(y)) => {
            Val::Delta(Delta::seconds(x.0.signed_duration_since(y.0).num_seconds()))
        }
        (_, Val::Relative(_), _) | (_, _, Val::Relative(_)) => return relative(op, a, b),
        (_, Val::Delta(x), Val::Delta(y)) => return deltas(op, *x, *y),
        (_, Val::Delta(x), other) => return scale(op, *x, other),
        (Arith::Mul, other, Val::Delta(x)) => return scale(op, *x, other),
        _ => return Ok(None),
    };
    Ok(Some(value))
}

fn plus_days(date: Date, days: i64) -> Outcome<Date> {
    let days = chrono::Duration::try_days(days);
    Date::checked(days.and_then(|days| date.0.checked_add_signed(days)))
}

/// The time from `y` to `x`: on the wall clock if they share a zone.
pub(crate) fn between(x: &DateTime, y: &DateTime) -> Outcome<Delta> {
    if x.tz.is_some() != y.tz.is_some() {
        return fail(
            "a time with a zone and one without cannot be subtracted: give both a zone, or use .replace(tzinfo=none)",
        );
    }
    let difference = if x.same_zone(y) {
        x.wall.signed_duration_since(y.wall)
    } else {
        match (x.aware_utc(), y.aware_utc()) {
            (Some(x), Some(y)) => x.signed_duration_since(y),
            _ => return super::date::out_of_range(),
        }
    };
    let micros = difference.num_microseconds().unwrap_or(i64::MAX);
    Delta::from_micros(i128::from(micros))
}

fn deltas(op: Arith, x: Delta, y: Delta) -> Outcome<Option<Val>> {
    let (a, b) = (x.total(), y.total());
    if matches!(op, Arith::Div | Arith::FloorDiv | Arith::Rem) && b == 0 {
        return fail("division by zero");
    }
    Ok(Some(match op {
        Arith::Add => Val::Delta(Delta::from_micros(a + b)?),
        Arith::Sub => Val::Delta(Delta::from_micros(a - b)?),
        Arith::Div => Val::Float(a as f64 / b as f64),
        Arith::FloorDiv => Val::big(BigInt::from(Integer::div_floor(&a, &b))),
        Arith::Rem => Val::Delta(Delta::from_micros(a.mod_floor(&b))?),
        Arith::Mul | Arith::Pow => return Ok(None),
    }))
}

/// A duration times or divided by a number.
fn scale(op: Arith, delta: Delta, other: &Val) -> Outcome<Option<Val>> {
    let fraction = match Num::of(other) {
        Some(Num::Float(number)) if op != Arith::FloorDiv => match ratio(number) {
            Some(fraction) => fraction,
            None => return fail("a timedelta cannot be scaled by an infinite number"),
        },
        Some(Num::Float(_) | Num::Decimal(_)) | None => return Ok(None),
        Some(integer) => (integer.to_big().unwrap_or_default(), BigInt::from(1)),
    };
    let (numerator, denominator) = fraction;
    if matches!(op, Arith::Div | Arith::FloorDiv) && numerator.is_zero() {
        return fail("division by zero");
    }
    Ok(Some(Val::Delta(match op {
        Arith::Mul => delta.scaled(&numerator, &denominator)?,
        Arith::Div => delta.scaled(&denominator, &numerator)?,
        Arith::FloorDiv => {
            let micros = BigInt::from(delta.total()).div_floor(&numerator);
            Delta::from_micros(i128::try_from(micros).unwrap_or(i128::MAX))?
        }
        _ => return Ok(None),
    })))
}

fn relative(op: Arith, a: &Val, b: &Val) -> Outcome<Option<Val>> {
    let wrap = |relative: RelativeDelta| Val::Relative(Arc::new(relative));
    Ok(Some(match (op, a, b) {
        (Arith::Add, Val::Relative(x), Val::Relative(y)) => wrap(x.plus(y)),
        (Arith::Sub, Val::Relative(x), Val::Relative(y)) => wrap(x.minus(y)),
        (Arith::Add, Val::Relative(x), Val::Delta(d)) | (Arith::Add, Val::Delta(d), Val::Relative(x)) => {
            wrap(x.plus_delta(*d))
        }
        (Arith::Add, Val::Relative(x), date) | (Arith::Add, date, Val::Relative(x)) => {
            return x.added_to(date);
        }
        (Arith::Sub, Val::Delta(d), Val::Relative(x)) => wrap(x.scaled(-1.0).plus_delta(*d)),
        (Arith::Sub, date, Val::Relative(x)) => return x.scaled(-1.0).added_to(date),
        (Arith::Mul, Val::Relative(x), number) | (Arith::Mul, number, Val::Relative(x)) => {
            match Num::of(number) {
                Some(number) => wrap(x.scaled(number.to_float()?)),
                None => return Ok(None),
            }
        }
        (Arith::Div, Val::Relative(x), number) => match Num::of(number) {
            Some(number) => {
                let divisor = number.to_float()?;
                if divisor == 0.0 {
                    return fail("division by zero");
                }
                wrap(x.scaled(1.0 / divisor))
            }
            None => return Ok(None),
        },
        _ => return Ok(None),
    }))
}
