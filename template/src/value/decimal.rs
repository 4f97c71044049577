//! Numbers as DynamoDB gives them: Python's `decimal.Decimal` in its
//! default context (28 digits, half to even).

use std::cmp::Ordering;
use std::fmt;

use num_bigint::{BigInt, Sign};
use num_integer::Integer;
use num_traits::{One, Pow, Signed, ToPrimitive, Zero};

/// Significant digits of an arithmetic result.
const PRECISION: usize = 28;
/// How far an exponent may be from zero; DynamoDB's own range is ±130.
const MAX_EXPONENT: i64 = 1_000;

/// Most decimal places that a number can be rounded to, or as many digits before the point.
const MAX_PLACES: i64 = 8 * MAX_EXPONENT;

/// Why there is no result, where Python raises `InvalidOperation` or `DivisionByZero`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Impossible {
    ByZero,
    TooLong,
}

impl fmt::Display for Impossible {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::ByZero => "division by zero",
            Self::TooLong => "the result has more than the 28 digits of a Decimal",
        })
    }
}

/// `digits × 10^exponent`, keeping trailing zeros.
#[derive(Clone, Debug)]
pub(crate) struct Decimal {
    digits: BigInt,
    exponent: i64,
}

impl Decimal {
    /// Reads a decimal number such as `2.50` or `1E+3`.
    pub(crate) fn parse(text: &str) -> Option<Self> {
        let text = text.trim();
        let (number, exponent) = match text.split_once(['e', 'E']) {
            Some((number, exponent)) => (number, exponent.parse::<i64>().ok()?),
            None => (text, 0),
        };
        let (whole, fraction) = number.split_once('.').unwrap_or((number, ""));
        let digits = format!("{whole}{fraction}");
        let bare = digits.trim_start_matches(['+', '-']);
        let plain = bare.len() + 1 >= digits.len()
            && !bare.is_empty()
            && bare.len() <= 1_000
            && bare.bytes().all(|b| b.is_ascii_digit())
            && fraction.bytes().all(|b| b.is_ascii_digit());
        let exponent = exponent.checked_sub(i64::try_from(fraction.len()).ok()?)?;
        if !plain || exponent.abs() > MAX_EXPONENT {
            return None;
        }
        let digits = digits.trim_start_matches('+').parse().ok()?;
        Some(Self { digits, exponent })
    }

    pub(crate) fn from_parts(digits: BigInt, exponent: i64) -> Self {
        Self { digits, exponent }
    }

    /// Rounds to so many significant digits, if there are more.
    pub(crate) fn round_digits(&self, count: usize) -> Self {
        let length = |number: &Self| number.digits.magnitude().to_string().len();
        let rounded = match length(self).checked_sub(count) {
            None | Some(0) => return self.clone(),
            Some(extra) => self.drop_digits(extra as i64),
        };
        if length(&rounded) > count { rounded.drop_digits(1) } else { rounded }
    }

    pub(crate) fn from_int(number: &BigInt) -> Self {
        Self { digits: number.clone(), exponent: 0 }
    }

    /// The exact value of a finite float.
    pub(crate) fn from_float(number: f64) -> Option<Self> {
        if !number.is_finite() {
            return None;
        }
        let (mantissa, power, sign) = num_traits::float::FloatCore::integer_decode(number);
        let mantissa = BigInt::from(mantissa) * i64::from(sign);
        Some(if power >= 0 {
            Self { digits: mantissa << power.unsigned_abs(), exponent: 0 }
        } else {
            // m / 2^n is m * 5^n / 10^n.
            let n = u32::from(power.unsigned_abs());
            Self { digits: mantissa * BigInt::from(5).pow(n), exponent: -i64::from(n) }
        })
    }

    pub(crate) fn is_zero(&self) -> bool {
        self.digits.is_zero()
    }

    pub(crate) fn is_negative(&self) -> bool {
        self.digits.is_negative()
    }

    /// The whole part, towards zero.
    pub(crate) fn trunc(&self) -> BigInt {
        if self.exponent >= 0 {
            &self.digits * power_of_ten(self.exponent)
        } else {
            &self.digits / power_of_ten(-self.exponent)
        }
    }

    pub(crate) fn is_integer(&self) -> bool {
        self.exponent >= 0 || (&self.digits % power_of_ten(-self.exponent)).is_zero()
    }

    pub(crate) fn to_float(&self) -> f64 {
        format!("{}e{}", self.digits, self.exponent).parse().unwrap_or(f64::NAN)
    }

    /// Both numbers' digits at the smaller of the two exponents.
    fn align(&self, other: &Self) -> (BigInt, BigInt, i64) {
        let exponent = self.exponent.min(other.exponent);
        let lift = |number: &Self| &number.digits * power_of_ten(number.exponent - exponent);
        (lift(self), lift(other), exponent)
    }

    pub(crate) fn add(&self, other: &Self) -> Self {
        let (a, b, exponent) = self.align(other);
        Self { digits: a + b, exponent }.rounded()
    }

    pub(crate) fn sub(&self, other: &Self) -> Self {
        let (a, b, exponent) = self.align(other);
        Self { digits: a - b, exponent }.rounded()
    }

    pub(crate) fn mul(&self, other: &Self) -> Self {
        Self { digits: &self.digits * &other.digits, exponent: self.exponent + other.exponent }.rounded()
    }

    /// Division to 28 digits.
    pub(crate) fn div(&self, other: &Self) -> Result<Self, Impossible> {
        if other.is_zero() {
            return Err(Impossible::ByZero);
        }
        let ideal = self.exponent - other.exponent;
        let length = |number: &Self| number.digits.magnitude().to_string().len();
        let shift = length(other) as i64 - length(self) as i64 + PRECISION as i64 + 1;
        let mut exponent = ideal - shift;
        let (numerator, denominator) = if shift >= 0 {
            (&self.digits * power_of_ten(shift), other.digits.clone())
        } else {
            (self.digits.clone(), &other.digits * power_of_ten(-shift))
        };
        let negative = numerator.is_negative() != denominator.is_negative();
        let (mut digits, rest) = numerator.abs().div_rem(&denominator.abs());
        if rest.is_zero() {
            let ten = BigInt::from(10);
            while exponent < ideal && (&digits % &ten).is_zero() {
                digits /= &ten;
                exponent += 1;
            }
        } else if (&digits % BigInt::from(5)).is_zero() {
            // A sticky digit, so that the rounding below sees the remainder.
            digits += 1;
        }
        if negative {
            digits = -digits;
        }
        Ok(Self { digits, exponent }.rounded())
    }

    /// The quotient towards zero and the remainder with the dividend's sign,
    /// as Decimal (unlike int) has them; a quotient of more than 28 digits is an error.
    pub(crate) fn div_rem(&self, other: &Self) -> Result<(Self, Self), Impossible> {
        if other.is_zero() {
            return Err(Impossible::ByZero);
        }
        let (a, b, exponent) = self.align(other);
        let (quotient, rest) = (&a / &b, &a % &b);
        let quotient = Self { digits: quotient, exponent: 0 }.within_precision()?;
        Ok((quotient, Self { digits: rest, exponent }.rounded()))
    }

    /// A whole power.
    pub(crate) fn powi(&self, power: i64) -> Result<Self, Impossible> {
        if self.is_zero() && power > 0 {
            return Ok(Self { digits: BigInt::zero(), exponent: 0 });
        }
        // With digits to spare, so that only the last rounding counts.
        let times = |a: &Self, b: &Self| {
            let product = Self { digits: &a.digits * &b.digits, exponent: a.exponent + b.exponent };
            product.round_digits(PRECISION + 20)
        };
        let mut result = Self { digits: BigInt::one(), exponent: 0 };
        let mut base = self.clone();
        let mut left = power.unsigned_abs().min(100_000);
        while left > 0 {
            if left & 1 == 1 {
                result = times(&result, &base);
            }
            base = times(&base, &base);
            left >>= 1;
        }
        if power < 0 {
            Self { digits: BigInt::one(), exponent: 0 }.div(&result)
        } else {
            Ok(result.rounded())
        }
    }

    /// `-d`, to 28 digits.
    pub(crate) fn neg(&self) -> Self {
        Self { digits: -&self.digits, exponent: self.exponent }.rounded()
    }

    /// `+d`, to 28 digits.
    pub(crate) fn pos(&self) -> Self {
        self.clone().rounded()
    }

    /// `abs(d)`, to 28 digits.
    pub(crate) fn abs(&self) -> Self {
        self.copy_abs().rounded()
    }

    /// `d.copy_abs()`, with all digits.
    pub(crate) fn copy_abs(&self) -> Self {
        Self { digits: self.digits.abs(), exponent: self.exponent }
    }

    /// `round(d, places)` and `d.quantize(…)`: a result of more than 28 digits is an error.
    pub(crate) fn quantized(&self, places: i64) -> Result<Self, Impossible> {
        let lifted = self.exponent.saturating_add(places);
        if !self.is_zero() && lifted > PRECISION as i64 || places.abs() > MAX_PLACES {
            return Err(Impossible::TooLong);
        }
        self.round_to(places).within_precision()
    }

    /// `d.to_integral_value()`: a whole number stays as it is.
    pub(crate) fn to_integral(&self) -> Self {
        if self.exponent >= 0 { self.clone() } else { self.round_to(0) }
    }

    fn within_precision(self) -> Result<Self, Impossible> {
        let is_within = self.digits.magnitude().to_string().len() <= PRECISION;
        is_within.then_some(self).ok_or(Impossible::TooLong)
    }

    /// Rounds to `places` decimal places, half to even, however many digits that are.
    pub(crate) fn round_to(&self, places: i64) -> Self {
        let exponent = -places;
        if self.exponent >= exponent {
            return Self { digits: &self.digits * power_of_ten(self.exponent - exponent), exponent };
        }
        self.drop_digits(exponent - self.exponent)
    }

    fn rounded(self) -> Self {
        let length = self.digits.magnitude().to_string().len();
        if length <= PRECISION {
            return self;
        }
        let rounded = self.drop_digits((length - PRECISION) as i64);
        if rounded.digits.magnitude().to_string().len() > PRECISION {
            rounded.drop_digits(1)
        } else {
            rounded
        }
    }

    fn drop_digits(&self, count: i64) -> Self {
        // Beyond the first digit it is 0 all the same.
        let length = self.digits.magnitude().to_string().len();
        let unit = BigInt::from(10).pow(u32::try_from(count).unwrap_or(u32::MAX).min(length as u32 + 1));
        let (mut digits, rest) = self.digits.abs().div_rem(&unit);
        match (rest * 2u8).cmp(&unit) {
            Ordering::Greater => digits += 1,
            Ordering::Equal if digits.is_odd() => digits += 1,
            _ => {}
        }
        if self.digits.sign() == Sign::Minus {
            digits = -digits;
        }
        Self { digits, exponent: self.exponent + count }
    }

    pub(crate) fn compare(&self, other: &Self) -> Ordering {
        let (a, b, _) = self.align(other);
        a.cmp(&b)
    }

    /// The digits and the exponent, for formatting.
    pub(crate) fn parts(&self) -> (&BigInt, i64) {
        (&self.digits, self.exponent)
    }

    pub(crate) fn to_i64(&self) -> Option<i64> {
        self.is_integer().then(|| self.trunc().to_i64()).flatten()
    }
}

fn power_of_ten(power: i64) -> BigInt {
    let power = u32::try_from(power.clamp(0, 8 * MAX_EXPONENT)).unwrap_or(0);
    BigInt::from(10).pow(power)
}

impl fmt::Display for Decimal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let digits = self.digits.magnitude().to_string();
        let length = digits.len() as i64;
        if self.digits.is_negative() {
            f.write_str("-")?;
        }
        let point = self.exponent + length;
        if self.exponent <= 0 && point > -6 {
            return match point {
                _ if self.exponent == 0 => f.write_str(&digits),
                point if point <= 0 => {
                    write!(f, "0.{}{digits}", "0".repeat(point.unsigned_abs() as usize))
                }
                point => {
                    let (whole, fraction) = digits.split_at(point as usize);
                    write!(f, "{whole}.{fraction}")
                }
            };
        }
        let (first, rest) = digits.split_at(1);
        let dot = if rest.is_empty() { "" } else { "." };
        write!(f, "{first}{dot}{rest}E{:+}", point - 1)
    }
}

#[cfg(test)]
mod tests {
    use super::{Decimal, Impossible};

    fn d(text: &str) -> Decimal {
        Decimal::parse(text).unwrap()
    }

    #[test]
    fn shows_as_python_does() {
        for text in ["5", "2.50", "-0.001", "1E+3", "0.000001", "1.2E-7", "123.456"] {
            assert_eq!(d(text).to_string(), text);
        }
        assert_eq!(d("0.0000001").to_string(), "1E-7");
    }

    #[test]
    fn computes_as_python_does() {
        assert_eq!(d("2.50").mul(&d("2")).to_string(), "5.00");
        assert_eq!(d("5").div(&d("2")).unwrap().to_string(), "2.5");
        assert_eq!(d("1").div(&d("3")).unwrap().to_string(), "0.3333333333333333333333333333");
        assert_eq!(d("2").div(&d("3")).unwrap().to_string(), "0.6666666666666666666666666667");
        assert_eq!(d("-7").div_rem(&d("2")).unwrap().0.to_string(), "-3");
        assert_eq!(d("-7").div_rem(&d("2")).unwrap().1.to_string(), "-1");
        assert_eq!(d("1.005").round_to(2).to_string(), "1.00");
        assert_eq!(d("2.5").round_to(0).to_string(), "2");
        assert_eq!(d("1").div(&d("0")).unwrap_err(), Impossible::ByZero);
    }
}
