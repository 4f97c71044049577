//! Integers, floats and decimals together: Python's numeric tower.

use std::cmp::Ordering;
use std::sync::Arc;

use num_bigint::BigInt;
use num_integer::Integer;
use num_traits::{FromPrimitive, Signed, ToPrimitive, Zero};

use super::{Decimal, Val, digits};
use crate::fault::{Outcome, fail, over};
use crate::methods::text_case::is_space;
use crate::runtime::Runtime;

/// Decimal digits that an integer may have to be shown or read, Python's
/// default limit.
pub(crate) const MAX_STR_DIGITS: usize = 4_300;

/// A number out of a value; booleans are numbers too.
#[derive(Clone, Debug)]
pub(crate) enum Num {
    Int(i64),
    Big(Arc<BigInt>),
    Float(f64),
    Decimal(Arc<Decimal>),
}

impl Num {
    pub(crate) fn of(value: &Val) -> Option<Self> {
        Some(match value {
            Val::Int(number) => Self::Int(*number),
            Val::Bool(truth) => Self::Int(i64::from(*truth)),
            Val::Float(number) => Self::Float(*number),
            Val::Big(number) => Self::Big(Arc::clone(number)),
            Val::Decimal(number) => Self::Decimal(Arc::clone(number)),
            _ => return None,
        })
    }

    pub(crate) fn to_big(&self) -> Option<BigInt> {
        match self {
            Self::Int(number) => Some(BigInt::from(*number)),
            Self::Big(number) => Some((**number).clone()),
            Self::Float(_) | Self::Decimal(_) => None,
        }
    }

    /// The nearest float; integers out of its range are refused as Python
    /// refuses them.
    pub(crate) fn to_float(&self) -> Outcome<f64> {
        match self {
            Self::Int(number) => Ok(*number as f64),
            Self::Float(number) => Ok(*number),
            Self::Decimal(number) => Ok(number.to_float()),
            Self::Big(number) => match number.to_f64() {
                Some(float) if float.is_finite() => Ok(float),
                _ => fail("the integer is too large to convert to a float"),
            },
        }
    }

    fn to_decimal(&self) -> Option<Decimal> {
        match self {
            Self::Decimal(number) => Some((**number).clone()),
            Self::Float(number) => Decimal::from_float(*number),
            other => other.to_big().map(|number| Decimal::from_int(&number)),
        }
    }

    fn is_zero(&self) -> bool {
        match self {
            Self::Int(number) => *number == 0,
            Self::Big(_) => false,
            Self::Float(number) => *number == 0.0,
            Self::Decimal(number) => number.is_zero(),
        }
    }
}

/// An arithmetic operator on two numbers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Arith {
    Add,
    Sub,
    Mul,
    Div,
    FloorDiv,
    Rem,
    Pow,
}

impl Arith {
    pub(crate) fn symbol(self) -> &'static str {
        match self {
            Self::Add => "+",
            Self::Sub => "-",
            Self::Mul => "*",
            Self::Div => "/",
            Self::FloorDiv => "//",
            Self::Rem => "%",
            Self::Pow => "**",
        }
    }
}

/// `a op b` for numbers; `None` when Python does not mix the two types.
pub(crate) fn arith(rt: &Runtime<'_>, op: Arith, a: &Num, b: &Num) -> Option<Outcome> {
    if matches!(op, Arith::Div | Arith::FloorDiv | Arith::Rem) && b.is_zero() {
        let mixed = matches!((a, b), (Num::Float(_), Num::Decimal(_)) | (Num::Decimal(_), Num::Float(_)));
        return (!mixed).then(|| fail("division by zero"));
    }
    match (a, b) {
        (Num::Int(x), Num::Int(y)) => {
            if let Some(result) = small(op, *x, *y) {
                return Some(Ok(result));
            }
        }
        (Num::Decimal(_), Num::Float(_)) | (Num::Float(_), Num::Decimal(_)) => return None,
        (Num::Decimal(_), _) | (_, Num::Decimal(_)) => {
            return Some(decimal(op, &a.to_decimal()?, &b.to_decimal()?));
        }
        (Num::Float(_), _) | (_, Num::Float(_)) => {
            return Some(match (a.to_float(), b.to_float()) {
                (Ok(x), Ok(y)) => float(op, x, y),
                (Err(fault), _) | (_, Err(fault)) => Err(fault),
            });
        }
        _ => {}
    }
    Some(big(rt, op, &a.to_big()?, &b.to_big()?))
}

/// Small integers, when the result is small too.
fn small(op: Arith, x: i64, y: i64) -> Option<Val> {
    Some(Val::Int(match op {
        Arith::Add => x.checked_add(y)?,
        Arith::Sub => x.checked_sub(y)?,
        Arith::Mul => x.checked_mul(y)?,
        Arith::FloorDiv => {
            x.checked_rem(y)?;
            Integer::div_floor(&x, &y)
        }
        Arith::Rem => {
            x.checked_rem(y)?;
            x.mod_floor(&y)
        }
        Arith::Pow => x.checked_pow(u32::try_from(y).ok()?)?,
        Arith::Div => {
            const EXACT: u64 = 1 << 53;
            if x.unsigned_abs() > EXACT || y.unsigned_abs() > EXACT {
                return None;
            }
            return Some(Val::Float(x as f64 / y as f64));
        }
    }))
}

fn big(rt: &Runtime<'_>, op: Arith, x: &BigInt, y: &BigInt) -> Outcome {
    let bits = match op {
        Arith::Mul => x.bits().saturating_add(y.bits()),
        Arith::Pow => x.bits().saturating_mul(y.to_u64().unwrap_or(u64::MAX)),
        _ => x.bits().max(y.bits()),
    };
    if op == Arith::Pow && y.is_negative() {
        return float(
            op,
            Num::Big(Arc::new(x.clone())).to_float()?,
            Num::Big(Arc::new(y.clone())).to_float()?,
        );
    }
    let tiny = op == Arith::Pow && x.magnitude().bits() <= 1;
    if bits > rt.limits.integer_bits && !tiny {
        return over("the integer is too large", "integer_bits");
    }
    rt.step(bits / 64)?;
    rt.alloc((bits / 8) as usize)?;
    Ok(match op {
        Arith::Add => Val::big(x + y),
        Arith::Sub => Val::big(x - y),
        Arith::Mul => Val::big(x * y),
        Arith::FloorDiv => Val::big(x.div_floor(y)),
        Arith::Rem => Val::big(x.mod_floor(y)),
        Arith::Pow if tiny => tiny_power(x, y),
        Arith::Pow => Val::big(x.pow(y.to_u32().unwrap_or(u32::MAX))),
        Arith::Div => return divide(x, y),
    })
}

/// Powers of -1, 0 and 1, whatever the exponent.
fn tiny_power(x: &BigInt, y: &BigInt) -> Val {
    if y.is_zero() || (x.is_negative() && y.is_even()) { Val::Int(1) } else { Val::big(x.clone()) }
}

/// True division of integers that no float holds exactly.
fn divide(x: &BigInt, y: &BigInt) -> Outcome {
    // Keep 64 significant bits of the quotient, so one rounding is left.
    let shift = 64 - (x.bits() as i64 - y.bits() as i64);
    let scaled = if shift > 0 { (x << shift.unsigned_abs()) / y } else { x / (y << shift.unsigned_abs()) };
    let quotient = scaled.to_f64().unwrap_or(f64::INFINITY) * 2f64.powi(-shift as i32);
    if quotient.is_finite() {
        Ok(Val::Float(quotient))
    } else {
        fail("the result of the integer division is too large for a float")
    }
}

fn float(op: Arith, x: f64, y: f64) -> Outcome {
    if matches!(op, Arith::Div | Arith::FloorDiv | Arith::Rem) && y == 0.0 {
        return fail("division by zero");
    }
    Ok(Val::Float(match op {
        Arith::Add => x + y,
        Arith::Sub => x - y,
        Arith::Mul => x * y,
        Arith::Div => x / y,
        Arith::FloorDiv => float_divmod(x, y).0,
        Arith::Rem => float_divmod(x, y).1,
        Arith::Pow => {
            if x == 0.0 && y < 0.0 {
                return fail("0 cannot be raised to a negative power");
            }
            if x < 0.0 && y.fract() != 0.0 && x.is_finite() && y.is_finite() {
                return fail("a negative number has no real fractional power");
            }
            let power = x.powf(y);
            if power.is_infinite() && x.is_finite() && y.is_finite() {
                return fail("the result of ** is too large for a float");
            }
            power
        }
    }))
}

/// Python's `divmod` for floats: the remainder has the divisor's sign.
fn float_divmod(x: f64, y: f64) -> (f64, f64) {
    let mut rest = x % y;
    let mut quotient = (x - rest) / y;
    if rest == 0.0 {
        rest = 0f64.copysign(y);
    } else if (y < 0.0) != (rest < 0.0) {
        rest += y;
        quotient -= 1.0;
    }
    let whole = if quotient == 0.0 {
        0f64.copysign(x / y)
    } else {
        let floor = quotient.floor();
        if quotient - floor > 0.5 { floor + 1.0 } else { floor }
    };
    (whole, rest)
}

fn decimal(op: Arith, x: &Decimal, y: &Decimal) -> Outcome {
    let result = match op {
        Arith::Add => Ok(x.add(y)),
        Arith::Sub => Ok(x.sub(y)),
        Arith::Mul => Ok(x.mul(y)),
        Arith::Div => x.div(y),
        Arith::FloorDiv => x.div_rem(y).map(|(quotient, _)| quotient),
        Arith::Rem => x.div_rem(y).map(|(_, rest)| rest),
        Arith::Pow => match y.to_i64() {
            Some(power) => x.powi(power),
            None => return fail("a Decimal can only be raised to a whole power here"),
        },
    };
    match result {
        Ok(number) if number.parts().1.abs() > 10_000 => fail("the Decimal is out of range"),
        Ok(number) => Ok(Val::Decimal(Arc::new(number))),
        Err(why) => fail(why.to_string()),
    }
}

/// Numeric order; `None` with a NaN.
pub(crate) fn compare(a: &Num, b: &Num) -> Option<Ordering> {
    match (a, b) {
        (Num::Int(x), Num::Int(y)) => Some(x.cmp(y)),
        (Num::Float(x), Num::Float(y)) => x.partial_cmp(y),
        (Num::Float(x), _) if !x.is_finite() => x.partial_cmp(&0.0),
        (_, Num::Float(y)) if !y.is_finite() => 0.0f64.partial_cmp(y),
        (Num::Int(x), Num::Float(y)) if x.unsigned_abs() < 1 << 53 => (*x as f64).partial_cmp(y),
        (Num::Float(x), Num::Int(y)) if y.unsigned_abs() < 1 << 53 => x.partial_cmp(&(*y as f64)),
        (Num::Big(x), Num::Big(y)) => Some(x.cmp(y)),
        _ => Some(a.to_decimal()?.compare(&b.to_decimal()?)),
    }
}

/// A float towards zero as an integer; `None` for infinities and NaN.
pub(crate) fn float_to_int(number: f64) -> Option<Val> {
    BigInt::from_f64(number.trunc()).map(Val::big)
}

/// Python's `int(text)`: surrounding blanks, a sign, underscores between
/// digits.
pub(crate) fn parse_int(text: &str, radix: u32) -> Option<Val> {
    let text = digits::ascii(text.trim_matches(is_space));
    let text = &*text;
    let (sign, digits) = match text.strip_prefix(['-', '+']) {
        Some(digits) => (&text[..1], digits),
        None => ("", text),
    };
    let prefix = match radix {
        2 => ["0b", "0B"],
        8 => ["0o", "0O"],
        16 => ["0x", "0X"],
        _ => ["", ""],
    };
    let digits = prefix.iter().find_map(|prefix| digits.strip_prefix(prefix)).unwrap_or(digits);
    let bad = digits.is_empty()
        || digits.len() > MAX_STR_DIGITS
        || digits.starts_with(['_', '-', '+'])
        || digits.ends_with('_')
        || digits.contains("__");
    if bad {
        return None;
    }
    let plain: String = digits.chars().filter(|c| *c != '_').collect();
    let number = BigInt::parse_bytes(plain.as_bytes(), radix)?;
    Some(Val::big(if sign == "-" { -number } else { number }))
}
