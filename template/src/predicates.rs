//! Jinja2's tests: what stands after `is`.

use std::cmp::Ordering;
use std::sync::Arc;

use crate::call::{self, Args};
use crate::fault::{Outcome, fail};
use crate::filters;
use crate::methods::text_case::{is_lower, is_upper};
use crate::rrule;
use crate::runtime::Runtime;
use crate::value::number::{Arith, Num};
use crate::value::{Val, compare, operators, show};

type TestFn = fn(&Runtime<'_>, &Val, Args) -> Outcome<bool>;

/// A test by name.
#[derive(Debug)]
pub(crate) struct Test {
    pub(crate) name: &'static str,
    pub(crate) code: TestFn,
}

macro_rules! tests {
    ($($name:literal => $code:expr,)*) => {
        static TESTS: &[Test] = &[$(Test { name: $name, code: $code },)*];
    };
}

tests! {
    "boolean" => |_, v, a| plain(a, matches!(v, Val::Bool(_))),
    "callable" => |_, v, a| plain(a, call::is_callable(v)),
    "defined" => |_, v, a| plain(a, !v.is_undefined()),
    "divisibleby" => divisible_by,
    "eq" => |rt, v, a| with_other(a, |o| compare::equal(rt, v, o)),
    "equalto" => |rt, v, a| with_other(a, |o| compare::equal(rt, v, o)),
    "==" => |rt, v, a| with_other(a, |o| compare::equal(rt, v, o)),
    "escaped" => |_, v, a| plain(a, matches!(v, Val::Str(text) if text.is_markup())),
    "even" => |rt, v, a| parity(rt, v, a, true),
    "false" => |_, v, a| plain(a, matches!(v, Val::Bool(false))),
    "filter" => |_, v, a| plain(a, v.as_str().is_some_and(|name| filters::find(name).is_some())),
    "float" => |_, v, a| plain(a, matches!(v, Val::Float(_))),
    "ge" => |rt, v, a| ordered(rt, v, a, ">=", |o| o != Ordering::Less),
    ">=" => |rt, v, a| ordered(rt, v, a, ">=", |o| o != Ordering::Less),
    "gt" => |rt, v, a| ordered(rt, v, a, ">", |o| o == Ordering::Greater),
    "greaterthan" => |rt, v, a| ordered(rt, v, a, ">", |o| o == Ordering::Greater),
    ">" => |rt, v, a| ordered(rt, v, a, ">", |o| o == Ordering::Greater),
    "in" => |rt, v, a| with_other(a, |o| compare::contains(rt, o, v)),
    "integer" => |_, v, a| plain(a, matches!(v, Val::Int(_) | Val::Big(_))),
    "iterable" => |_, v, a| plain(a, is_iterable(v)),
    "le" => |rt, v, a| ordered(rt, v, a, "<=", |o| o != Ordering::Greater),
    "<=" => |rt, v, a| ordered(rt, v, a, "<=", |o| o != Ordering::Greater),
    "lt" => |rt, v, a| ordered(rt, v, a, "<", |o| o == Ordering::Less),
    "lessthan" => |rt, v, a| ordered(rt, v, a, "<", |o| o == Ordering::Less),
    "<" => |rt, v, a| ordered(rt, v, a, "<", |o| o == Ordering::Less),
    "lower" => |rt, v, a| { a.none("lower")?; Ok(is_lower(show::text(rt, v)?.as_str())) },
    "mapping" => |_, v, a| plain(a, matches!(v, Val::Dict(_))),
    "ne" => |rt, v, a| with_other(a, |o| compare::unequal(rt, v, o)),
    "!=" => |rt, v, a| with_other(a, |o| compare::unequal(rt, v, o)),
    "none" => |_, v, a| plain(a, v.is_none()),
    "number" => |_, v, a| plain(a, Num::of(v).is_some()),
    "odd" => |rt, v, a| parity(rt, v, a, false),
    "sameas" => |_, v, a| with_other(a, |o| Ok(is_same(v, o))),
    "sequence" => |_, v, a| plain(a, is_sequence(v)),
    "string" => |_, v, a| plain(a, matches!(v, Val::Str(_))),
    "test" => |_, v, a| plain(a, v.as_str().is_some_and(|name| find(name).is_some())),
    "true" => |_, v, a| plain(a, matches!(v, Val::Bool(true))),
    "undefined" => |_, v, a| plain(a, v.is_undefined()),
    "upper" => |rt, v, a| { a.none("upper")?; Ok(is_upper(show::text(rt, v)?.as_str())) },
}

/// The test of that name.
pub(crate) fn find(name: &str) -> Option<&'static Test> {
    TESTS.iter().find(|test| test.name == name)
}

/// The names of all tests.
pub(crate) fn names() -> impl Iterator<Item = &'static str> {
    TESTS.iter().map(|test| test.name)
}

fn plain(args: Args, holds: bool) -> Outcome<bool> {
    args.none("the test")?;
    Ok(holds)
}

fn with_other(args: Args, test: impl FnOnce(&Val) -> Outcome<bool>) -> Outcome<bool> {
    let [other] = args.bind("the test", ["other"], 1)?;
    test(&other.unwrap_or(Val::None))
}

fn ordered(
    rt: &Runtime<'_>,
    value: &Val,
    args: Args,
    symbol: &str,
    holds: fn(Ordering) -> bool,
) -> Outcome<bool> {
    with_other(args, |other| Ok(compare::order(rt, value, other, symbol)?.is_some_and(holds)))
}

fn remainder_is(rt: &Runtime<'_>, value: &Val, divisor: &Val, rest: i64) -> Outcome<bool> {
    if let Val::Str(_) = value {
        return fail("text is neither even nor odd: convert it with |int");
    }
    let remainder = operators::binary(rt, Arith::Rem, value, divisor)?;
    compare::equal(rt, &remainder, &Val::Int(rest))
}

fn parity(rt: &Runtime<'_>, value: &Val, args: Args, even: bool) -> Outcome<bool> {
    args.none("even")?;
    remainder_is(rt, value, &Val::Int(2), i64::from(!even))
}

fn divisible_by(rt: &Runtime<'_>, value: &Val, args: Args) -> Outcome<bool> {
    let [divisor] = args.bind("divisibleby", ["num"], 1)?;
    remainder_is(rt, value, &divisor.unwrap_or(Val::None), 0)
}

fn is_iterable(value: &Val) -> bool {
    is_sequence(value) || matches!(value, Val::Iter(_) | Val::View(_)) || rrule::of(value).is_some()
}

fn is_sequence(value: &Val) -> bool {
    matches!(
        value,
        Val::Str(_)
            | Val::Bytes(_)
            | Val::List(_)
            | Val::Tuple(_)
            | Val::Dict(_)
            | Val::Range(_)
            | Val::Undefined(_)
    )
}

/// Python's `is`, as far as a template can see it.
fn is_same(a: &Val, b: &Val) -> bool {
    match (a, b) {
        (Val::None, Val::None) => true,
        (Val::Bool(x), Val::Bool(y)) => x == y,
        (Val::Int(x), Val::Int(y)) => x == y,
        (Val::Str(x), Val::Str(y)) => x.as_str() == y.as_str(),
        (Val::List(x), Val::List(y)) => Arc::ptr_eq(x, y),
        (Val::Dict(x), Val::Dict(y)) => Arc::ptr_eq(x, y),
        (Val::Tuple(x), Val::Tuple(y)) => Arc::ptr_eq(x, y),
        (Val::DateTime(x), Val::DateTime(y)) => Arc::ptr_eq(x, y),
        (Val::Object(x), Val::Object(y)) => Arc::ptr_eq(x, y),
        (Val::Native(x), Val::Native(y)) => std::ptr::eq(*x, *y),
        (Val::Decimal(x), Val::Decimal(y)) => Arc::ptr_eq(x, y),
        (Val::Big(x), Val::Big(y)) => Arc::ptr_eq(x, y),
        (Val::Time(x), Val::Time(y)) => Arc::ptr_eq(x, y),
        (Val::Relative(x), Val::Relative(y)) => Arc::ptr_eq(x, y),
        (Val::Zone(x), Val::Zone(y)) => Arc::ptr_eq(x, y),
        (Val::Iter(x), Val::Iter(y)) => Arc::ptr_eq(x, y),
        (Val::Range(x), Val::Range(y)) => Arc::ptr_eq(x, y),
        (Val::Macro(x), Val::Macro(y)) => Arc::ptr_eq(x, y),
        (Val::Match(x), Val::Match(y)) => Arc::ptr_eq(x, y),
        (Val::Pattern(x), Val::Pattern(y)) => Arc::ptr_eq(x, y),
        (Val::Uuid(x), Val::Uuid(y)) => Arc::ptr_eq(x, y),
        _ => false,
    }
}
