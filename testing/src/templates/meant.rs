//! Differences from Jinja2 that are meant. The guide has them under "What differs from Jinja2".

/// A difference that is meant.
#[derive(Debug)]
pub struct Meant {
    /// Why.
    pub why: &'static str,
    fits: fn(template: &str, jinja: &str, pumice: &str) -> bool,
}

/// All of them.
pub static MEANT: [Meant; 3] = [
    Meant {
        why: "names that begin with _ are refused",
        fits: |_, _, pumice| pumice.contains("names that begin with _ are private"),
    },
    Meant {
        why: "an unknown filter or test is an error when the spec is read, though it is never reached",
        fits: |_, _, pumice| pumice.contains("unknown filter") || pumice.contains("unknown test"),
    },
    Meant {
        why: "the addresses in <bound method …> and the like are left out",
        fits: |_, jinja, pumice| without_addresses(jinja) == without_addresses(pumice),
    },
];

/// The text without the addresses of Python's objects.
fn without_addresses(text: &str) -> String {
    let mut out = String::new();
    let mut rest = text;
    while let Some((before, after)) = rest.split_once(" at 0x") {
        out.push_str(before);
        rest = after.trim_start_matches(|c: char| c.is_ascii_hexdigit());
    }
    out + rest
}

/// The entry that a difference falls under.
pub(super) fn find(template: &str, jinja: &str, pumice: &str) -> Option<&'static Meant> {
    MEANT.iter().find(|meant| (meant.fits)(template, jinja, pumice))
}
