//! Values as Python's `str` shows them, which is what lava writes.

use pumice_core::ports::DatabaseError;

/// A floating-point number as Python's `repr` has it.
pub(crate) fn float(number: f64) -> String {
    if number.is_nan() {
        return "nan".to_owned();
    }
    let shown = format!("{number:?}");
    match shown.split_once('e') {
        None => shown,
        // 1e16 is 1e+16 there, and 1e-5 is 1e-05.
        Some((digits, exponent)) => {
            let (sign, exponent) = match exponent.strip_prefix('-') {
                Some(exponent) => ('-', exponent),
                None => ('+', exponent),
            };
            format!("{digits}e{sign}{exponent:0>2}")
        }
    }
}

/// The text of a floating-point number as a database shows it, as Python shows the number.
pub(crate) fn float_text(text: &str) -> String {
    match text {
        "Infinity" => "inf".to_owned(),
        "-Infinity" => "-inf".to_owned(),
        "NaN" => "nan".to_owned(),
        text => text.parse().map_or_else(|_| text.to_owned(), float),
    }
}

/// A time whose fraction of a second has six digits or is left out, and whose offset has minutes.
pub(crate) fn time(text: &str) -> String {
    let end = |text: &str| text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    let with_fraction = match text.split_once('.') {
        None => text.to_owned(),
        Some((whole, rest)) => {
            let (digits, rest) = rest.split_at(end(rest));
            match digits.trim_end_matches('0').is_empty() {
                true => format!("{whole}{rest}"),
                false => format!("{whole}.{digits:0<6}{rest}"),
            }
        }
    };
    let bytes = with_fraction.as_bytes();
    // PostgreSQL writes +00 for +00:00.
    let is_short = bytes.len() > 3
        && matches!(bytes[bytes.len() - 3], b'+' | b'-')
        && bytes[bytes.len() - 2..].iter().all(u8::is_ascii_digit)
        && with_fraction.contains(':');
    if is_short { format!("{with_fraction}:00") } else { with_fraction }
}

/// Bytes as PostgreSQL shows them: `\x` and hexadecimal digits.
pub(crate) fn bytes(bytes: &[u8]) -> String {
    bytes.iter().fold("\\x".to_owned(), |text, byte| format!("{text}{byte:02x}"))
}

/// The text of a column, from 0.
///
/// # Errors
/// [`DatabaseError`] when it is not UTF-8: as anything else it would be another text.
pub(crate) fn text(bytes: Vec<u8>, column: usize) -> Result<String, DatabaseError> {
    String::from_utf8(bytes).map_err(|error| {
        let shown = self::bytes(error.as_bytes().get(..MAX_SHOWN).unwrap_or(error.as_bytes()));
        DatabaseError::lasting(format!(
            "column {} has a text that is not UTF-8, {shown}: cast it to bytes",
            column + 1
        ))
    })
}

/// How many bytes of a text an error shows.
const MAX_SHOWN: usize = 20;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn floats_are_shown_as_pythons() {
        for (number, wanted) in [
            (1.0, "1.0"),
            (-0.0, "-0.0"),
            (0.1, "0.1"),
            (1e16, "1e+16"),
            (1.5e300, "1.5e+300"),
            (123_456_789_012_345_680.0, "1.2345678901234568e+17"),
            (9_999_999_999_999_998.0, "9999999999999998.0"),
            (0.0001, "0.0001"),
            (0.00001, "1e-05"),
            (f64::INFINITY, "inf"),
            (f64::NEG_INFINITY, "-inf"),
            (f64::NAN, "nan"),
        ] {
            assert_eq!(float(number), wanted);
        }
        assert_eq!((float_text("1").as_str(), float_text("-Infinity").as_str()), ("1.0", "-inf"));
    }

    #[test]
    fn times_are_shown_as_pythons() {
        for (text, wanted) in [
            ("2020-01-02 03:04:05", "2020-01-02 03:04:05"),
            ("2020-01-02 03:04:05.5", "2020-01-02 03:04:05.500000"),
            ("2020-01-02 03:04:05.500", "2020-01-02 03:04:05.500000"),
            ("2020-01-02 03:04:05.000000", "2020-01-02 03:04:05"),
            ("2020-01-02 03:04:05.25+00", "2020-01-02 03:04:05.250000+00:00"),
            ("2020-01-02 03:04:05+00", "2020-01-02 03:04:05+00:00"),
            ("2020-01-02 03:04:05-03:30", "2020-01-02 03:04:05-03:30"),
            ("03:04:05", "03:04:05"),
            ("2020-01-02", "2020-01-02"),
        ] {
            assert_eq!(time(text), wanted);
        }
    }
}
