//! Floats as Python writes them.

use super::digits;
use crate::methods::text_case::is_space;

/// `repr(float)`: the shortest digits that read back the same, with an
/// exponent from 1e16 up and below 1e-4.
pub fn repr(number: f64) -> String {
    if number.is_nan() {
        return "nan".to_owned();
    }
    if number.is_infinite() {
        return if number > 0.0 { "inf" } else { "-inf" }.to_owned();
    }
    let mut scientific = format!("{number:e}");
    let length = scientific.bytes().take_while(|b| *b != b'e').filter(u8::is_ascii_digit).count();
    // Of two shortest texts as near, Python takes the even one; only long
    // ones can be that near.
    let long = length >= 15;
    if long {
        scientific = format!("{number:.*e}", length - 1);
    }
    let (digits, exponent) = scientific.split_once('e').unwrap_or((&scientific, "0"));
    let exponent: i32 = exponent.parse().unwrap_or(0);
    if number != 0.0 && !(-4..16).contains(&exponent) {
        let sign = if exponent < 0 { '-' } else { '+' };
        return format!("{digits}e{sign}{:02}", exponent.abs());
    }
    let plain = match usize::try_from(length as i32 - 1 - exponent) {
        Ok(places) if long => format!("{number:.places$}"),
        _ => format!("{number}"),
    };
    if plain.contains('.') { plain } else { plain + ".0" }
}

/// `float(text)`: Python's grammar, or `None`.
pub(crate) fn parse(text: &str) -> Option<f64> {
    let text = digits::ascii(text.trim_matches(is_space));
    if text.is_empty() || text.starts_with('_') || text.ends_with('_') || text.contains("__") {
        return None;
    }
    let plain = text.replace('_', "");
    let lower = plain.to_ascii_lowercase();
    match lower.trim_start_matches(['+', '-']) {
        "inf" | "infinity" | "nan" => {}
        digits if digits.starts_with(|c: char| c.is_ascii_digit() || c == '.') => {}
        _ => return None,
    }
    lower.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn floats_read_as_python_writes_them() {
        let cases = [
            (1.0, "1.0"),
            (1e16, "1e+16"),
            (1e-5, "1e-05"),
            (0.1 + 0.2, "0.30000000000000004"),
            (123_456_789.123, "123456789.123"),
            (1e15, "1000000000000000.0"),
            (1e100, "1e+100"),
            (-0.0, "-0.0"),
            (1.5e300, "1.5e+300"),
            (1_234_567_899_876_543.2, "1234567899876543.2"),
            (5e-324, "5e-324"),
        ];
        for (number, text) in cases {
            assert_eq!(repr(number), text);
        }
        assert_eq!(parse(" 1_0.5 "), Some(10.5));
        assert_eq!(parse("1e5x"), None);
        assert_eq!(parse("+-1"), None);
    }
}
