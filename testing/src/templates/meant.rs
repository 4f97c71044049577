//! Differences from Jinja2 that are meant. The guide has them under "Differences from Jinja2".

/// A difference that is meant.
#[derive(Debug)]
pub struct Meant {
    /// Why.
    pub why: &'static str,
    fits: fn(template: &str, jinja: &str, pumice: &str) -> bool,
}

const ADDRESSES: &str = "the addresses in <bound method …> and the like are left out";

/// All of them.
pub static MEANT: [Meant; 14] = [
    Meant {
        why: "names that begin with _ are refused",
        fits: |_, _, pumice| pumice.contains("names that begin with _ are private"),
    },
    Meant {
        why: "an unknown filter or test is an error when the spec is read, though it is never reached",
        fits: |_, _, pumice| pumice.contains("unknown filter") || pumice.contains("unknown test"),
    },
    Meant { why: ADDRESSES, fits: |_, jinja, pumice| without_addresses(jinja) == without_addresses(pumice) },
    Meant {
        why: "a Decimal has no negative zero",
        fits: |template, jinja, pumice| {
            let bare = |text: &str| text.replace(['-', '*', '+', ' '], "");
            template.contains("dec") && jinja.contains("-0") && bare(jinja) == bare(pumice)
        },
    },
    Meant {
        why: "a loop goes over the list as it was when the loop began",
        fits: |template, _, _| {
            let changes = ["[l.", "[ls.", "[lm.", "(l.", "(ls.", "(lm.", " l.", " ls.", " lm."];
            template.contains("{% for") && changes.iter().any(|change| template.contains(change))
        },
    },
    Meant {
        why: "bytes have no methods but decode and hex, and are not paths",
        fits: |_, _, pumice| {
            let not_text = [
                "a bytes has no method",
                "must be text, not a bytes",
                "needs text, not a bytes",
                "looks at text, not at a bytes",
            ];
            not_text.iter().any(|told| pumice.contains(told))
        },
    },
    Meant {
        why: "a zone has its rules before 1902 and after 2037, where dateutil has standard time only",
        fits: |_, jinja, _| {
            if ["1899-", "1900-", "1901-"].iter().any(|year| jinja.contains(year)) {
                return true;
            }
            // Digits within a word are not a year: an address may have them.
            let begins = |at: usize| !jinja[..at].ends_with(char::is_alphanumeric);
            let year = |text: &str| text.get(..4).and_then(|year| year.parse::<u32>().ok());
            let mut years = jinja.match_indices("20").chain(jinja.match_indices("21"));
            years.any(|(at, _)| begins(at) && year(&jinja[at..]).is_some_and(|year| year > 2037))
        },
    },
    Meant {
        why: "map, select and their like look at their input at once",
        fits: |template, _, pumice| {
            let lazy = ["map(", "select", "reject", "unique", "batch(", "slice(", "items"];
            pumice.contains("cannot be looped over") && lazy.iter().any(|name| template.contains(name))
        },
    },
    Meant {
        why: "an unhashable key is an error when it is reached, where Jinja2 computes constants before",
        fits: |_, jinja, _| jinja.contains("unhashable type"),
    },
    Meant {
        why: "slicing what cannot be sliced is an error, be it a literal or not",
        fits: |_, _, pumice| pumice.contains("cannot be sliced"),
    },
    Meant {
        why: "a key of a map is plain text, though Jinja2 keeps markup as a key",
        fits: |template, jinja, pumice| {
            let plain = |text: &str| text.replace("&#34;", "\"").replace("&quot;", "\"");
            template.contains("xmlattr") && template.contains("fromkeys") && plain(jinja) == plain(pumice)
        },
    },
    Meant {
        why: "str.format gives plain text, though CPython hands on markup that it need not change",
        fits: |template, jinja, pumice| {
            template.contains(".format(")
                && jinja.replace("Markup(", "").replace("')", "'") == pumice.replace("')", "'")
        },
    },
    Meant {
        why: "sameas compares texts and numbers by value, where CPython compares objects",
        fits: |template, _, _| template.contains("' is sameas('"),
    },
    Meant {
        why: "a replacement of utils.re in markup is plain text, as of CPython 3.12; before, it is escaped",
        fits: |template, _, _| {
            let replaces = [".sub(", ".subn(", ".expand("].iter().any(|name| template.contains(name));
            let markup = ["safe", "escape", "|e", "tojson", "urlize", "xmlattr"];
            replaces && template.contains("'<\\\\") && markup.iter().any(|name| template.contains(name))
        },
    },
];

/// The text without what is shown of objects that show their address.
fn without_addresses(text: &str) -> String {
    let mut out = String::new();
    let mut rest = text;
    while let Some(at) = rest.find(" object") {
        // From the `<` that it begins with to the `>` it ends with.
        let from = rest[..at].rfind('<').unwrap_or(at);
        let to = rest[at..].find('>').map_or(rest.len(), |end| at + end + 1);
        out.push_str(&rest[..from]);
        rest = &rest[to..];
    }
    out + rest
}

/// The entry that a difference falls under.
pub(super) fn find(template: &str, jinja: &str, pumice: &str) -> Option<&'static Meant> {
    MEANT.iter().find(|meant| (meant.fits)(template, jinja, pumice))
}

/// The entry for what depends on the addresses of Jinja2's objects.
pub(super) fn addresses() -> &'static Meant {
    MEANT.iter().find(|meant| meant.why == ADDRESSES).expect("the list has it")
}

#[cfg(test)]
mod tests {
    use super::{MEANT, find};

    #[test]
    fn digits_of_an_address_are_not_a_year() {
        let why = |jinja: &str| find("", jinja, "").map(|meant| meant.why);
        let zones = "a zone has its rules before 1902 and after 2037, where dateutil has standard time only";
        assert_eq!(why("<BOUND METHOD AT 0X7F2094A0>"), None);
        assert_eq!(why("2040-01-01"), Some(zones));
        assert_eq!(why("in Jan 2140"), Some(zones));
        assert_eq!(why("20400101T000000"), Some(zones));
    }

    #[test]
    fn meant_difference_stands_in_the_guide() {
        let guide = include_str!("../../../docs/templates.md");
        for meant in &MEANT {
            assert!(guide.lines().any(|line| line == format!("- {}", meant.why)), "{}", meant.why);
        }
    }
}
