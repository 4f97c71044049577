//! Methods of `int`, `float` and `Decimal`.

use std::sync::Arc;

use num_bigint::BigInt;
use num_integer::Integer;
use num_traits::Pow;

use crate::call::Args;
use crate::fault::{Outcome, fail};
use crate::native::Methods;
use crate::runtime::Runtime;
use crate::value::number::Num;
use crate::value::{Decimal, Val};

pub(crate) const INT_METHODS: Methods = &[
    ("as_integer_ratio", int_ratio),
    ("bit_count", bit_count),
    ("bit_length", bit_length),
    ("conjugate", same),
];

pub(crate) const FLOAT_METHODS: Methods =
    &[("as_integer_ratio", float_ratio), ("conjugate", same), ("is_integer", is_integer)];

pub(crate) const DECIMAL_METHODS: Methods = &[
    ("as_integer_ratio", float_ratio),
    ("conjugate", same),
    ("copy_abs", copy_abs),
    ("is_signed", is_signed),
    ("is_zero", is_zero),
    ("quantize", quantize),
    ("to_integral_value", to_integral),
];

/// A bool as the int it is.
fn whole(this: &Val) -> Val {
    match this {
        Val::Bool(truth) => Val::Int((*truth).into()),
        other => other.clone(),
    }
}

fn same(_rt: &Runtime<'_>, this: &Val, args: Args) -> Outcome {
    args.none("conjugate")?;
    Ok(whole(this))
}

fn int_ratio(_rt: &Runtime<'_>, this: &Val, args: Args) -> Outcome {
    args.none("as_integer_ratio")?;
    Ok(Val::tuple(vec![whole(this), Val::Int(1)]))
}

fn float_ratio(_rt: &Runtime<'_>, this: &Val, args: Args) -> Outcome {
    args.none("as_integer_ratio")?;
    let exact = match this {
        Val::Float(number) => Decimal::from_float(*number),
        other => Some(own(other)?.clone()),
    };
    let Some(exact) = exact else {
        return fail("an infinite number is not a ratio of integers");
    };
    let (digits, exponent) = exact.parts();
    let power = BigInt::from(10).pow(u32::try_from(exponent.unsigned_abs()).unwrap_or(u32::MAX).min(2_000));
    if exponent >= 0 {
        return Ok(Val::tuple(vec![Val::big(digits * power), Val::Int(1)]));
    }
    let divisor = digits.gcd(&power);
    Ok(Val::tuple(vec![Val::big(digits / &divisor), Val::big(power / divisor)]))
}

fn bit_length(_rt: &Runtime<'_>, this: &Val, args: Args) -> Outcome {
    args.none("bit_length")?;
    let number = Num::of(this).and_then(|number| number.to_big()).unwrap_or_default();
    Ok(Val::Int(number.bits() as i64))
}

fn bit_count(_rt: &Runtime<'_>, this: &Val, args: Args) -> Outcome {
    args.none("bit_count")?;
    let number = Num::of(this).and_then(|number| number.to_big()).unwrap_or_default();
    Ok(Val::Int(number.magnitude().count_ones() as i64))
}

fn is_integer(_rt: &Runtime<'_>, this: &Val, args: Args) -> Outcome {
    args.none("is_integer")?;
    Ok(Val::Bool(matches!(this, Val::Float(number) if number.fract() == 0.0)))
}

fn own(this: &Val) -> Outcome<&Decimal> {
    match this {
        Val::Decimal(number) => Ok(number),
        other => fail(format!("a {} is not a Decimal", other.type_name())),
    }
}

fn is_zero(_rt: &Runtime<'_>, this: &Val, args: Args) -> Outcome {
    args.none("is_zero")?;
    Ok(Val::Bool(own(this)?.is_zero()))
}

fn is_signed(_rt: &Runtime<'_>, this: &Val, args: Args) -> Outcome {
    args.none("is_signed")?;
    Ok(Val::Bool(own(this)?.is_negative()))
}

fn copy_abs(_rt: &Runtime<'_>, this: &Val, args: Args) -> Outcome {
    args.none("copy_abs")?;
    Ok(Val::Decimal(Arc::new(own(this)?.copy_abs())))
}

fn to_integral(_rt: &Runtime<'_>, this: &Val, args: Args) -> Outcome {
    args.none("to_integral_value")?;
    Ok(Val::Decimal(Arc::new(own(this)?.to_integral())))
}

fn quantize(_rt: &Runtime<'_>, this: &Val, args: Args) -> Outcome {
    let [exponent] = args.bind("quantize", ["exp"], 1)?;
    let Some(Val::Decimal(unit)) = exponent else {
        return fail("quantize() needs a Decimal");
    };
    match own(this)?.quantized(-unit.parts().1) {
        Ok(number) => Ok(Val::Decimal(Arc::new(number))),
        Err(why) => fail(why.to_string()),
    }
}
