//! Reasons without the parts that differ from run to run, whatever they are made of.

use proptest::prelude::*;
use pumice_core::run::{MAX_NORMALISED, normalised};

/// The parts of a reason that differ from run to run.
#[derive(Clone, Copy, Debug)]
enum Varies {
    Number,
    Fraction,
    Uuid,
    Hex,
    Time,
    Clock,
    Size,
    Path,
}

impl Varies {
    /// The one of a number.
    fn made(self, number: u64) -> String {
        match self {
            Self::Number => number.to_string(),
            Self::Fraction => format!("{}.{:02}", number / 100, number % 100),
            Self::Uuid => format!("0190a0a0-{:04x}-7000-8000-{:012x}", number & 0xffff, number >> 16),
            Self::Hex => format!("a{:015x}1", number & 0x0fff_ffff_ffff_ffff),
            Self::Time => format!(
                "20{:02}-{:02}-{:02}T{:02}:{:02}:00Z",
                number % 90 + 10,
                number % 12 + 1,
                number % 28 + 1,
                number % 24,
                number % 60
            ),
            Self::Clock => format!("{:02}:{:02}:{:02}", number % 24, number % 60, number % 60),
            Self::Size => format!("{number}MB"),
            Self::Path => format!("/var/tmp/run-{number}/part-{:05}.csv", number % 100_000),
        }
    }
}

fn varies() -> impl Strategy<Value = Varies> {
    use Varies::{Clock, Fraction, Hex, Number, Path, Size, Time, Uuid};
    prop::sample::select(vec![Number, Fraction, Uuid, Hex, Time, Clock, Size, Path])
}

proptest! {
    #[test]
    fn reason_normalised_twice_is_the_same(text in "\\PC{0,80}") {
        let once = normalised(&text);
        prop_assert_eq!(normalised(&once), once);
    }

    #[test]
    fn reason_of_confusing_parts_normalised_twice_is_the_same(
        parts in prop::collection::vec(prop::sample::select(vec![
            "<n>", "<id>", "<time>", "1", "07", "4711", "a", "ORA-", "-", ".", ",", ":", " ", "status ", "ms", "T", "0x",
            "2026-03-01", "12:30", "é", "…", "\n", "/", "f3a", "<", ">", "code=", "Z",
        ]), 0..40),
    ) {
        let once = normalised(&parts.concat());
        prop_assert_eq!(normalised(&once), once);
    }

    #[test]
    fn reason_normalised_is_short_and_one_line(text in any::<String>(), times in 1_usize..40) {
        let told = normalised(&text.repeat(times));
        prop_assert!(told.len() <= MAX_NORMALISED);
        prop_assert!(!told.contains(char::is_control), "{told:?}");
        prop_assert!(!told.starts_with(' ') && !told.ends_with(' '));
    }

    #[test]
    fn varying_parts_make_no_other_cause(
        parts in prop::collection::vec((
            prop::sample::select(vec!["order", "is not in", "table:", "(of", "since", "exit status 3:", "ORA-00942 at"]),
            varies(),
            any::<u64>(),
            any::<u64>(),
        ), 1..8),
    ) {
        let [one, other] = [true, false].map(|is_one| {
            let made = parts.iter().map(|(word, varies, one, other)| {
                format!("{word} {}", varies.made(if is_one { *one } else { *other }))
            });
            made.collect::<Vec<_>>().join(" ")
        });
        prop_assert_eq!(normalised(&one), normalised(&other), "{} / {}", one, other);
    }

    #[test]
    fn exit_statuses_are_causes_of_their_own(one in 0_u16..256, other in 0_u16..256) {
        let of = |status: u16| normalised(&format!("exit status {status}: it broke"));
        prop_assert_eq!(of(one) == of(other), one == other);
    }
}
