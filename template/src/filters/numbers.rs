//! Filters on numbers.

use std::sync::Arc;

use num_bigint::BigInt;
use num_traits::Signed;

use super::attribute::Path;
use crate::call::{self, Args};
use crate::fault::{Outcome, fail};
use crate::methods::text_case::is_space;
use crate::runtime::Runtime;
use crate::value::number::{Arith, Num, float_to_int, parse_int};
use crate::value::undefined::with_article;
use crate::value::{Decimal, Val, float as floats, operators, show};

/// `value|abs`.
pub(super) fn abs(rt: &Runtime<'_>, value: &Val, args: Args) -> Outcome {
    args.none("abs")?;
    match value {
        Val::Undefined(_) => Err(rt.undefined(value)),
        Val::Float(number) => Ok(Val::Float(number.abs())),
        Val::Decimal(number) => Ok(Val::Decimal(Arc::new(number.abs()))),
        Val::Delta(delta) => Ok(Val::Delta(delta.abs()?)),
        Val::Relative(relative) => Ok(Val::Relative(Arc::new(relative.abs()))),
        other => match Num::of(other).and_then(|number| number.to_big()) {
            Some(number) => Ok(Val::big(number.abs())),
            None => fail(format!("abs needs a number, not {}", with_article(other.type_name()))),
        },
    }
}

/// `value|int(default, base)`: the default where the value is not a number.
pub(super) fn int(rt: &Runtime<'_>, value: &Val, args: Args) -> Outcome {
    let [default, base] = args.bind("int", ["default", "base"], 0)?;
    let default = default.unwrap_or(Val::Int(0));
    let base = call::int_or(rt, "int", "base", base.as_ref(), 10)?;
    let parsed = match value {
        Val::Undefined(_) => return Err(rt.undefined(value)),
        Val::Str(text) => {
            rt.step(text.as_str().len() as u64 / 4)?;
            // Where Python's int() refuses the base, Jinja2 goes on with float().
            let whole = base_of(text.as_str(), base).and_then(|base| parse_int(text.as_str(), base));
            whole.or_else(|| float_to_int(floats::parse(text.as_str())?))
        }
        Val::Bytes(bytes) => {
            rt.step(bytes.len() as u64 / 4)?;
            let text = std::str::from_utf8(bytes).ok().filter(|text| text.is_ascii());
            // Jinja2 minds the base of text only.
            text.and_then(|text| parse_int(text, 10).or_else(|| float_to_int(floats::parse(text)?)))
        }
        Val::Int(_) | Val::Big(_) => Some(value.clone()),
        Val::Bool(truth) => Some(Val::Int(i64::from(*truth))),
        Val::Float(number) if number.is_infinite() => {
            return fail("int cannot convert an infinite number");
        }
        Val::Float(number) => float_to_int(*number),
        Val::Decimal(number) => Some(Val::big(number.trunc())),
        _ => None,
    };
    Ok(parsed.unwrap_or(default))
}

/// The base that Python's `int(text, base)` reads a text in; `None` where it refuses.
fn base_of(text: &str, base: i64) -> Option<u32> {
    if base != 0 {
        return u32::try_from(base).ok().filter(|base| (2..=36).contains(base));
    }
    let digits = text.trim_matches(is_space);
    let digits = digits.strip_prefix(['+', '-']).unwrap_or(digits);
    match digits.get(..2).unwrap_or(digits) {
        "0x" | "0X" => Some(16),
        "0o" | "0O" => Some(8),
        "0b" | "0B" => Some(2),
        // A zero at the beginning may stand before other zeros alone.
        _ if digits.starts_with('0') && digits.contains(|c: char| !matches!(c, '0' | '_')) => None,
        _ => Some(10),
    }
}

/// `value|float(default)`.
pub(super) fn float(rt: &Runtime<'_>, value: &Val, args: Args) -> Outcome {
    let [default] = args.bind("float", ["default"], 0)?;
    let parsed = match value {
        Val::Undefined(_) => return Err(rt.undefined(value)),
        Val::Str(text) => {
            rt.step(text.as_str().len() as u64 / 4)?;
            floats::parse(text.as_str())
        }
        Val::Bytes(bytes) => {
            rt.step(bytes.len() as u64 / 4)?;
            std::str::from_utf8(bytes).ok().filter(|text| text.is_ascii()).and_then(floats::parse)
        }
        other => match Num::of(other) {
            Some(number) => Some(number.to_float()?),
            None => None,
        },
    };
    Ok(match parsed {
        Some(number) => Val::Float(number),
        None => default.unwrap_or(Val::Float(0.0)),
    })
}

/// `value|round(precision, method)`: half to even, as Python rounds.
pub(super) fn round(rt: &Runtime<'_>, value: &Val, args: Args) -> Outcome {
    let [precision, method] = args.bind("round", ["precision", "method"], 0)?;
    let method = method.unwrap_or_else(|| Val::str("common"));
    let method = call::text(rt, "round", "method", &method)?;
    if value.is_undefined() {
        return Err(rt.undefined(value));
    }
    let Some(number) = Num::of(value) else {
        return fail(format!("round needs a number, not {}", with_article(value.type_name())));
    };
    let direction = match method {
        "common" => {
            let places = call::int_or(rt, "round", "precision", precision.as_ref(), 0)?;
            return rounded(&number, places);
        }
        "ceil" => Direction::Up,
        "floor" => Direction::Down,
        _ => return fail("round knows the methods common, ceil and floor"),
    };
    // As Jinja2 computes it: `math.floor(value * 10**precision) / 10**precision`, with the types that follow.
    let scale = operators::binary(rt, Arith::Pow, &Val::Int(10), &precision.unwrap_or(Val::Int(0)))?;
    let whole = whole(&operators::binary(rt, Arith::Mul, value, &scale)?, direction)?;
    operators::binary(rt, Arith::Div, &whole, &scale)
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Direction {
    Up,
    Down,
}

/// Python's `math.ceil` and `math.floor`.
fn whole(value: &Val, direction: Direction) -> Outcome {
    match value {
        Val::Float(number) => {
            let whole = if direction == Direction::Up { number.ceil() } else { number.floor() };
            match float_to_int(whole) {
                Some(whole) => Ok(whole),
                None => fail(format!("round cannot convert {} to an int", floats::repr(*number))),
            }
        }
        Val::Decimal(number) => {
            let whole = number.trunc();
            Ok(Val::big(match direction {
                _ if number.is_integer() => whole,
                Direction::Up if !number.is_negative() => whole + 1,
                Direction::Down if number.is_negative() => whole - 1,
                _ => whole,
            }))
        }
        other => Ok(other.clone()),
    }
}

/// Most digits that are rounded away: far more than an integer may have.
const MAX_PLACES: i64 = 1_000_000_000;

fn rounded(number: &Num, places: i64) -> Outcome {
    let few = places.clamp(-400, 400);
    Ok(match number {
        Num::Float(number) => match Decimal::from_float(*number) {
            Some(exact) => {
                let rounded = exact.round_to(few).to_float();
                Val::Float(if rounded == 0.0 { rounded.copysign(*number) } else { rounded })
            }
            None => Val::Float(*number),
        },
        Num::Decimal(number) => match number.quantized(places) {
            Ok(rounded) => Val::Decimal(Arc::new(rounded)),
            Err(why) => return fail(why.to_string()),
        },
        integer => {
            let big = integer.to_big().unwrap_or_default();
            if places >= 0 {
                return Ok(Val::big(big));
            }
            let rounded = Decimal::from_int(&big).round_to(places.max(-MAX_PLACES));
            let (digits, exponent) = rounded.parts();
            if rounded.is_zero() {
                return Ok(Val::Int(0));
            }
            Val::big(digits * BigInt::from(10).pow(u32::try_from(exponent).unwrap_or(0)))
        }
    })
}

/// `value|sum(attribute, start)`.
pub(super) fn sum(rt: &Runtime<'_>, value: &Val, args: Args) -> Outcome {
    let [attribute, start] = args.bind("sum", ["attribute", "start"], 0)?;
    let path = match &attribute {
        None | Some(Val::None) => None,
        Some(attribute) => Some(Path::of(attribute)?),
    };
    let mut total = start.unwrap_or(Val::Int(0));
    if let Val::Str(_) = total {
        return fail("sum cannot add text: use the join filter");
    }
    for item in rt.items(value)? {
        rt.step(1)?;
        let item = match &path {
            Some(path) => path.get(rt, &item, None)?,
            None => item,
        };
        total = operators::binary(rt, Arith::Add, &total, &item)?;
    }
    Ok(total)
}

const DECIMAL_UNITS: [&str; 8] = ["kB", "MB", "GB", "TB", "PB", "EB", "ZB", "YB"];
const BINARY_UNITS: [&str; 8] = ["KiB", "MiB", "GiB", "TiB", "PiB", "EiB", "ZiB", "YiB"];

/// `value|filesizeformat(binary)`.
pub(super) fn filesizeformat(rt: &Runtime<'_>, value: &Val, args: Args) -> Outcome {
    let [binary] = args.bind("filesizeformat", ["binary"], 0)?;
    let binary = binary.is_some_and(|binary| binary.truth());
    if value.is_undefined() {
        return Err(rt.undefined(value));
    }
    let bytes = match value {
        Val::Str(text) => floats::parse(text.as_str()),
        other => Num::of(other).map(|number| number.to_float()).transpose()?,
    };
    let Some(bytes) = bytes.filter(|bytes| !bytes.is_nan()) else {
        return fail("filesizeformat needs a number");
    };
    let (base, units) = if binary { (1024f64, BINARY_UNITS) } else { (1000f64, DECIMAL_UNITS) };
    if bytes == 1.0 {
        return Ok(Val::str("1 Byte"));
    }
    if bytes < base {
        // Without a unit the number is an int.
        let whole = float_to_int(bytes).unwrap_or(Val::Float(bytes));
        return rt.text(format!("{} Bytes", show::repr(rt, &whole)?));
    }
    let mut unit = base;
    let mut name = units[0];
    for next in units {
        unit *= base;
        name = next;
        if bytes < unit {
            break;
        }
    }
    rt.text(format!("{:.1} {name}", base * bytes / unit))
}
