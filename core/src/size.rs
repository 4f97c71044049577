//! Sizes as lava writes them: `1024`, `10M`, `1.5 MiB`.

/// A text that is not a size.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is not a size: write a number and one of B, K, KB, KiB, M, MB, MiB, G, GB, GiB, T, TB, TiB")]
pub struct BadSize(String);

const UNITS: [(&str, f64); 17] = [
    ("", 1.0),
    ("B", 1.0),
    ("K", 1e3),
    ("KB", 1e3),
    ("KiB", 1024.0),
    ("M", 1e6),
    ("MB", 1e6),
    ("MiB", 1_048_576.0),
    ("G", 1e9),
    ("GB", 1e9),
    ("GiB", 1_073_741_824.0),
    ("T", 1e12),
    ("TB", 1e12),
    ("TiB", 1_099_511_627_776.0),
    ("P", 1e15),
    ("PB", 1e15),
    ("PiB", 1_125_899_906_842_624.0),
];

/// Reads a size in bytes: a number and a unit, none meaning bytes (lava's `size_to_bytes`).
/// Signed, because lava's `STDERR_SIZE` counts from the end when it is negative. `k` is taken
/// for `K`, as lava's defaults write it.
///
/// # Errors
/// [`BadSize`] when the text is not a number with a known unit.
pub fn parse_size(text: &str) -> Result<i64, BadSize> {
    let trimmed = text.trim();
    let bad = || BadSize(text.to_owned());
    let digits = trimmed.trim_end_matches(|c: char| c.is_ascii_alphabetic());
    let unit = trimmed[digits.len()..].replacen('k', "K", 1);
    let (_, factor) = UNITS.iter().find(|(name, _)| *name == unit).ok_or_else(bad)?;
    let number: f64 = digits.trim_end().parse().map_err(|_| bad())?;
    let bytes = (number * factor).round();
    if bytes.is_finite() && bytes.abs() < 9e18 { Ok(bytes as i64) } else { Err(bad()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_lava_forms() {
        for (text, bytes) in
            [("1024", 1024), ("10M", 10_000_000), ("1.5 MiB", 1_572_864), ("100k", 100_000), ("-1K", -1000)]
        {
            assert_eq!(parse_size(text).unwrap(), bytes, "{text}");
        }
        for text in ["", "M", "10X", "1 0", "inf", "1e300P"] {
            assert!(parse_size(text).is_err(), "{text}");
        }
    }
}
