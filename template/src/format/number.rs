//! Numbers by format specification.

use num_bigint::BigInt;
use num_traits::{Signed, ToPrimitive};

use super::spec::Spec;
use crate::fault::{Outcome, fail, over};
use crate::runtime::Runtime;
use crate::value::number::{MAX_STR_DIGITS, Num};
use crate::value::{Decimal, float};

/// Columns that zeros with separators may fill.
const MAX_GROUPED: usize = 10_000;

/// A number as `spec` says.
pub(crate) fn format(rt: &Runtime<'_>, number: &Num, spec: &Spec) -> Outcome<String> {
    charge(rt, number, spec)?;
    let body = match (number, spec.kind) {
        (Num::Decimal(number), kind) => decimal_body(number, kind, spec)?,
        (Num::Float(number), kind) => float_body(*number, kind, spec)?,
        (integer, Some('e' | 'E' | 'f' | 'F' | 'g' | 'G' | '%')) => {
            float_body(integer.to_float()?, spec.kind, spec)?
        }
        (integer, kind) => {
            if spec.precision.is_some() {
                return fail("a precision does not go with an int");
            }
            int_body(&integer.to_big().unwrap_or_default(), kind, spec)?
        }
    };
    let signed = match (body.starts_with('-'), spec.sign) {
        (false, Some('+')) => format!("+{body}"),
        (false, Some(' ')) => format!(" {body}"),
        _ => body,
    };
    if spec.grouping.is_some() {
        rt.step((signed.len() + spec.width.min(MAX_GROUPED)) as u64 / 4)?;
    }
    spec.pad(rt, &group(&signed, spec), '>')
}

/// Charges for the digits of a number: their count grows with the
/// precision, and decimal ones of an integer with its square.
fn charge(rt: &Runtime<'_>, number: &Num, spec: &Spec) -> Outcome<()> {
    let bits = match number {
        Num::Big(number) => number.bits(),
        _ => 64,
    };
    rt.step(bits / 64 + (bits / 64) * (bits / 64) / 16)?;
    rt.step(spec.precision.unwrap_or(0).min(MAX_GROUPED) as u64 / 4)?;
    // A Decimal can have ten thousand digits before its point.
    rt.step(if matches!(number, Num::Decimal(_)) { 100 } else { 2 })?;
    rt.room((bits as usize).saturating_mul(4))
}

fn int_body(number: &BigInt, kind: Option<char>, spec: &Spec) -> Outcome<String> {
    let (radix, prefix) = match kind {
        None | Some('d' | 'n') => (10, ""),
        Some('b') => (2, "0b"),
        Some('o') => (8, "0o"),
        Some('x') => (16, "0x"),
        Some('X') => (16, "0X"),
        Some('c') => {
            let c = number.to_u32().and_then(char::from_u32);
            return match c {
                Some(c) => Ok(c.to_string()),
                None => fail("%c needs the code of a character"),
            };
        }
        Some(kind) => return fail(format!("an int cannot be formatted as \"{kind}\"")),
    };
    if radix == 10 && number.bits() * 3 / 10 > MAX_STR_DIGITS as u64 {
        return over("the integer has more than 4300 digits to show", "4300 digits, Python's");
    }
    let digits = number.abs().to_str_radix(radix);
    let digits = if kind == Some('X') { digits.to_uppercase() } else { digits };
    let sign = if number.is_negative() { "-" } else { "" };
    let prefix = if spec.alternate { prefix } else { "" };
    Ok(format!("{sign}{prefix}{digits}"))
}

/// A float by a type letter; without one, as `repr` writes it.
pub(crate) fn float_body(number: f64, kind: Option<char>, spec: &Spec) -> Outcome<String> {
    let precision = spec.bounded_precision()?;
    if !number.is_finite() {
        let text = float::repr(number);
        let upper = matches!(kind, Some('E' | 'F' | 'G'));
        let text = if upper { text.to_uppercase() } else { text };
        return Ok(if kind == Some('%') { text + "%" } else { text });
    }
    Ok(match kind {
        None => match precision {
            None => float::repr(number),
            Some(precision) => {
                // Without a type, room is left for the point and a digit.
                let most = precision.max(1) as i64 - 1;
                with_point(general(number, precision, most, spec.alternate))
            }
        },
        Some('e') => pointed(scientific(number, precision.unwrap_or(6)), spec),
        Some('E') => pointed(scientific(number, precision.unwrap_or(6)), spec).to_uppercase(),
        Some('f' | 'F') => {
            let text = format!("{number:.*}", precision.unwrap_or(6));
            if spec.alternate && precision == Some(0) { text + "." } else { text }
        }
        Some('g' | 'n') => {
            let precision = precision.unwrap_or(6);
            general(number, precision, precision.max(1) as i64, spec.alternate)
        }
        Some('G') => {
            let precision = precision.unwrap_or(6);
            general(number, precision, precision.max(1) as i64, spec.alternate).to_uppercase()
        }
        Some('%') => format!("{:.*}%", precision.unwrap_or(6), number * 100.0),
        Some(kind) => return fail(format!("a float cannot be formatted as \"{kind}\"")),
    })
}

/// `#` keeps the point where no digit follows it.
fn pointed(text: String, spec: &Spec) -> String {
    if spec.alternate && !text.contains('.') {
        return text.replacen('e', ".e", 1);
    }
    text
}

fn scientific(number: f64, precision: usize) -> String {
    let text = format!("{number:.precision$e}");
    let (digits, exponent) = text.split_once('e').unwrap_or((&text, "0"));
    let exponent: i32 = exponent.parse().unwrap_or(0);
    let sign = if exponent < 0 { '-' } else { '+' };
    format!("{digits}e{sign}{:02}", exponent.abs())
}

/// `%g`: the shorter of fixed and scientific, without trailing zeros.
///
/// Scientific from an exponent of `most` up.
fn general(number: f64, precision: usize, most: i64, alternate: bool) -> String {
    let precision = precision.max(1);
    let text = scientific(number, precision - 1);
    let exponent: i64 = text.split_once('e').and_then(|(_, exponent)| exponent.parse().ok()).unwrap_or(0);
    let trimmed = |digits: &str| {
        if alternate || !digits.contains('.') {
            digits.to_owned()
        } else {
            digits.trim_end_matches('0').trim_end_matches('.').to_owned()
        }
    };
    if exponent < -4 || exponent >= most {
        let (digits, exponent) = text.split_once('e').unwrap_or((&text, "+00"));
        return format!("{}e{exponent}", trimmed(digits));
    }
    let places = usize::try_from(precision as i64 - 1 - exponent).unwrap_or(0);
    trimmed(&format!("{number:.places$}"))
}

/// A float without a type keeps a digit after the point.
fn with_point(text: String) -> String {
    if text.contains(['.', 'e', 'n']) { text } else { text + ".0" }
}

/// A Decimal, as Python's `Decimal.__format__` writes it.
fn decimal_body(number: &Decimal, kind: Option<char>, spec: &Spec) -> Outcome<String> {
    let mut precision = spec.bounded_precision()?;
    if spec.grouping == Some('_') || spec.alternate {
        return fail("a Decimal is formatted without _ and #");
    }
    let kind = match kind {
        None => 'G',
        Some('n') => 'g',
        Some('F') => 'f',
        Some(kind @ ('e' | 'E' | 'f' | 'g' | 'G' | '%')) => kind,
        Some(kind) => return fail(format!("a Decimal cannot be formatted as \"{kind}\"")),
    };
    let general = matches!(kind, 'g' | 'G');
    if general && precision == Some(0) {
        precision = Some(1);
    }
    let (digits, exponent) = number.parts();
    let mut number = Decimal::from_parts(digits.clone(), exponent + if kind == '%' { 2 } else { 0 });
    let length = |number: &Decimal| number.parts().0.magnitude().to_string().len();
    match precision {
        Some(places) if matches!(kind, 'e' | 'E') => number = number.round_digits(places + 1),
        Some(places) if general && length(&number) > places => number = number.round_digits(places),
        Some(places) if !general => number = number.round_to(places as i64),
        _ => {}
    }
    if number.is_zero() && number.parts().1 > 0 && matches!(kind, 'f' | '%') {
        number = number.round_to(0);
    }
    let (digits, exponent) = number.parts();
    let sign = if digits.is_negative() { "-" } else { "" };
    let digits = digits.magnitude().to_string();
    let left = exponent + digits.len() as i64;
    let place = match kind {
        'e' | 'E' if number.is_zero() => precision.map_or(1, |places| 1 - places as i64),
        'f' | '%' => left,
        'g' | 'G' if exponent <= 0 && left > -6 => left,
        _ => 1,
    };
    let (whole, fraction) = match usize::try_from(place) {
        Ok(place) if place > digits.len() => {
            (digits.clone() + &"0".repeat(place - digits.len()), String::new())
        }
        Ok(0) => ("0".to_owned(), digits),
        Ok(place) => (digits[..place].to_owned(), digits[place..].to_owned()),
        Err(_) => ("0".to_owned(), "0".repeat(place.unsigned_abs() as usize) + &digits),
    };
    // An exponent comes after as many digits as were asked for.
    let places = precision.filter(|_| matches!(kind, 'e' | 'E')).unwrap_or(0);
    let fraction = format!("{fraction:0<places$}");
    let point = if fraction.is_empty() { "" } else { "." };
    let power = left - place;
    let letter = if matches!(kind, 'e' | 'g') { 'e' } else { 'E' };
    let power =
        if power != 0 || matches!(kind, 'e' | 'E') { format!("{letter}{power:+}") } else { String::new() };
    let percent = if kind == '%' { "%" } else { "" };
    Ok(format!("{sign}{whole}{point}{fraction}{power}{percent}"))
}

/// Separates thousands; with zero padding, the padding too.
fn group(text: &str, spec: &Spec) -> String {
    let Some(separator) = spec.grouping else {
        return text.to_owned();
    };
    let size = match spec.kind {
        Some('x' | 'X' | 'b' | 'o') => 4,
        _ => 3,
    };
    let start = text.find(|c: char| c.is_ascii_hexdigit()).unwrap_or(0);
    let (sign, rest) = text.split_at(start);
    let end = match spec.kind {
        Some('x' | 'X') => rest.len(),
        _ => rest.find(|c: char| !c.is_ascii_digit()).unwrap_or(rest.len()),
    };
    let (whole, tail) = rest.split_at(end);
    let mut whole = whole.to_owned();
    let grouped = |whole: &str| {
        let mut out = String::new();
        for (at, c) in whole.chars().enumerate() {
            if at > 0 && (whole.len() - at).is_multiple_of(size) {
                out.push(separator);
            }
            out.push(c);
        }
        out
    };
    if spec.zero && spec.align.is_none() {
        let room = spec.width.min(MAX_GROUPED).saturating_sub(sign.len() + tail.len());
        // A separator never comes first: rather one digit more.
        let digits = room - room / (size + 1) + usize::from(room > 0 && room.is_multiple_of(size + 1));
        whole.insert_str(0, &"0".repeat(digits.saturating_sub(whole.len())));
    }
    format!("{sign}{}{tail}", grouped(&whole))
}
