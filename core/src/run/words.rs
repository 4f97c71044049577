//! Time spans, places and workers in words.

use crate::ids::WorkerName;

/// A time span by its two largest units: `2d 3h`, `4m 5s`, `12ms`.
pub(super) fn whole(span: std::time::Duration) -> String {
    let seconds = span.as_secs();
    let units = [("d", 86_400), ("h", 3_600), ("m", 60), ("s", 1)];
    let Some(largest) = units.iter().position(|(_, size)| seconds >= *size) else {
        return format!("{}ms", span.as_millis());
    };
    let mut left = seconds;
    let mut parts = Vec::new();
    for (unit, size) in units.into_iter().skip(largest).take(2) {
        if left / size > 0 {
            parts.push(format!("{}{unit}", left / size));
        }
        left %= size;
    }
    parts.join(" ")
}

/// `first`, `second`, `third`, `4th`.
pub(super) fn ordinal(place: usize) -> String {
    match place {
        1..=3 => ["first", "second", "third"][place - 1].to_owned(),
        place => {
            let end = match (place % 10, place % 100) {
                (1, 1..=10 | 12..) => "st",
                (2, 1..=11 | 13..) => "nd",
                (3, 1..=12 | 14..) => "rd",
                _ => "th",
            };
            format!("{place}{end}")
        }
    }
}

/// Says that a worker is not among those that a folder's server serves, where it is not; with none it serves all.
#[must_use]
pub fn not_served(worker: &WorkerName, serves: &[WorkerName]) -> Option<String> {
    if serves.is_empty() || serves.contains(worker) {
        return None;
    }
    let names: Vec<&str> = serves.iter().map(WorkerName::as_str).collect();
    Some(format!("nothing serves worker {worker}: this folder's server serves {}", names.join(", ")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn time_span_reads_in_its_two_largest_units() {
        for (millis, words) in [
            (0, "0ms"),
            (12, "12ms"),
            (1_999, "1s"),
            (60_000, "1m"),
            (245_000, "4m 5s"),
            (3_600_000, "1h"),
            (3_605_000, "1h"),
            (7_380_000, "2h 3m"),
            (183_600_000, "2d 3h"),
        ] {
            assert_eq!(whole(std::time::Duration::from_millis(millis)), words);
        }
    }

    #[test]
    fn ordinal_has_its_ending() {
        for (place, word) in [
            (1, "first"),
            (3, "third"),
            (4, "4th"),
            (11, "11th"),
            (12, "12th"),
            (13, "13th"),
            (21, "21st"),
            (22, "22nd"),
            (23, "23rd"),
            (111, "111th"),
            (112, "112th"),
            (113, "113th"),
            (121, "121st"),
        ] {
            assert_eq!(ordinal(place), word);
        }
    }
}
