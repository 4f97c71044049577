//! `timedelta`.

use std::fmt;

use num_bigint::BigInt;
use num_integer::Integer;
use num_traits::{Signed, ToPrimitive};

use crate::fault::{Outcome, fail};

/// Microseconds of a day.
pub(crate) const DAY: i128 = 86_400_000_000;
const MAX_DAYS: i128 = 999_999_999;

/// A duration, to the microsecond: whole days and the rest of a day, as
/// Python normalizes it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct Delta {
    days: i32,
    micros: i64,
}

impl Delta {
    pub(crate) const MAX: Self = Self { days: 999_999_999, micros: 86_399_999_999 };
    pub(crate) const MIN: Self = Self { days: -999_999_999, micros: 0 };
    pub(crate) const RESOLUTION: Self = Self { days: 0, micros: 1 };

    pub(crate) fn from_micros(micros: i128) -> Outcome<Self> {
        let days = micros.div_euclid(DAY);
        if days.abs() > MAX_DAYS {
            return fail(format!("a timedelta has at most {MAX_DAYS} days"));
        }
        Ok(Self { days: days as i32, micros: micros.rem_euclid(DAY) as i64 })
    }

    /// A duration in seconds that is known to be short.
    pub(crate) fn seconds(seconds: i64) -> Self {
        let micros = i128::from(seconds) * 1_000_000;
        Self {
            days: i32::try_from(micros.div_euclid(DAY)).unwrap_or(0),
            micros: micros.rem_euclid(DAY) as i64,
        }
    }

    pub(crate) fn total(self) -> i128 {
        i128::from(self.days) * DAY + i128::from(self.micros)
    }

    pub(crate) fn days(self) -> i64 {
        i64::from(self.days)
    }

    pub(crate) fn second_part(self) -> i64 {
        self.micros / 1_000_000
    }

    pub(crate) fn micro_part(self) -> i64 {
        self.micros % 1_000_000
    }

    pub(crate) fn is_zero(self) -> bool {
        self.days == 0 && self.micros == 0
    }

    pub(crate) fn total_seconds(self) -> f64 {
        self.total() as f64 / 1e6
    }

    pub(crate) fn negated(self) -> Outcome<Self> {
        Self::from_micros(-self.total())
    }

    pub(crate) fn abs(self) -> Outcome<Self> {
        Self::from_micros(self.total().abs())
    }

    pub(crate) fn to_chrono(self) -> chrono::Duration {
        chrono::Duration::days(self.days.into()) + chrono::Duration::microseconds(self.micros)
    }

    /// The duration times `numerator / denominator`, half to even.
    pub(crate) fn scaled(self, numerator: &BigInt, denominator: &BigInt) -> Outcome<Self> {
        let micros = round_ratio(&(BigInt::from(self.total()) * numerator), denominator);
        match micros.to_i128() {
            Some(micros) => Self::from_micros(micros),
            None => fail(format!("a timedelta has at most {MAX_DAYS} days")),
        }
    }

    pub(crate) fn repr(self) -> String {
        let mut parts = Vec::new();
        for (name, value) in
            [("days", self.days()), ("seconds", self.second_part()), ("microseconds", self.micro_part())]
        {
            if value != 0 {
                parts.push(format!("{name}={value}"));
            }
        }
        if parts.is_empty() {
            parts.push("0".to_owned());
        }
        format!("datetime.timedelta({})", parts.join(", "))
    }
}

/// A fraction as the nearest integer, half to even.
fn round_ratio(numerator: &BigInt, denominator: &BigInt) -> BigInt {
    let (quotient, rest) = numerator.div_mod_floor(denominator);
    let twice = rest.abs() * 2u8;
    let up = match twice.cmp(&denominator.abs()) {
        std::cmp::Ordering::Less => false,
        std::cmp::Ordering::Equal => quotient.is_odd(),
        std::cmp::Ordering::Greater => true,
    };
    if up { quotient + 1 } else { quotient }
}

/// A finite float as an exact fraction.
pub(crate) fn ratio(number: f64) -> Option<(BigInt, BigInt)> {
    if !number.is_finite() {
        return None;
    }
    let (mantissa, power, sign) = num_traits::float::FloatCore::integer_decode(number);
    let mantissa = BigInt::from(mantissa) * i64::from(sign);
    let shift = power.unsigned_abs();
    Some(if power >= 0 { (mantissa << shift, BigInt::from(1)) } else { (mantissa, BigInt::from(1) << shift) })
}

impl fmt::Display for Delta {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.days != 0 {
            let plural = if self.days.abs() == 1 { "" } else { "s" };
            write!(f, "{} day{plural}, ", self.days)?;
        }
        let seconds = self.second_part();
        write!(f, "{}:{:02}:{:02}", seconds / 3_600, seconds / 60 % 60, seconds % 60)?;
        match self.micro_part() {
            0 => Ok(()),
            micros => write!(f, ".{micros:06}"),
        }
    }
}

/// Sums the parts a `timedelta` is made of: whole parts exactly, fractions
/// rounded once at the end.
#[derive(Default)]
pub(crate) struct Parts {
    whole: i128,
    fraction: f64,
}

impl Parts {
    pub(crate) fn add_int(&mut self, count: i64, unit: i64) {
        self.whole += i128::from(count) * i128::from(unit);
    }

    pub(crate) fn add_float(&mut self, count: f64, unit: i64) -> Outcome<()> {
        if !count.is_finite() || count.abs() > 1e18 {
            return fail("the parts of a timedelta must be finite and not huge");
        }
        let unit_float = unit as f64;
        self.whole += count.trunc() as i128 * i128::from(unit);
        let rest = count.fract() * unit_float;
        self.whole += rest.trunc() as i128;
        self.fraction += rest.fract();
        Ok(())
    }

    pub(crate) fn finish(self) -> Outcome<Delta> {
        let mut extra = self.fraction.round_ties_even();
        if (self.fraction - self.fraction.trunc()).abs() == 0.5 && self.whole % 2 != 0 {
            // Half to even counts for the sum, not for its fraction.
            let floor = self.fraction.floor();
            extra = if (self.whole + floor as i128) % 2 == 0 { floor } else { floor + 1.0 };
        }
        Delta::from_micros(self.whole + extra as i128)
    }
}
