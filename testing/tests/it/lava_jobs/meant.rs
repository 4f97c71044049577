//! Differences from lava that are meant. The guide has them under "What differs from lava".

use crate::lava_jobs::compare::Difference;

/// A difference that is meant.
pub(crate) struct Meant {
    /// Its name in cases.
    pub(crate) id: &'static str,
    /// Its text in the guide.
    pub(crate) why: &'static str,
    /// Whether it may show in any case; else only in those that name it.
    pub(crate) everywhere: bool,
    pub(crate) fits: fn(&Difference) -> bool,
}

/// Texts that lava makes itself, which results have word for word.
const OF_LAVA: [&str; 2] = ["Failed with exit status", "Job "];

/// All of them.
pub(crate) static MEANT: [Meant; 12] = [
    Meant {
        id: "words",
        why: "Errors that lava takes from Python or Jinja2, and why a run was skipped or rejected, are worded otherwise.",
        everywhere: true,
        fits: |difference| {
            let (place, text) = (&difference.place, difference.lava.as_str().unwrap_or_default());
            let own =
                OF_LAVA.iter().any(|begin| text.starts_with(begin)) && !text.contains("Timed out after");
            let error = place.ends_with(".error") && !own;
            let others = [".skipped", ".rejected", ".action_failed"];
            difference.pumice.is_string() && (error || others.iter().any(|end| place.ends_with(end)))
        },
    },
    Meant {
        id: "template-place",
        why: "`error_data` of a template that failed shows the place; in lava it is null.",
        everywhere: true,
        fits: |difference| {
            let fields = difference.pumice.as_object().into_iter().flat_map(|fields| fields.keys());
            let keys: Vec<&str> = fields.map(String::as_str).collect();
            difference.place.ends_with(".error_data") && difference.lava.is_null() && keys == ["template"]
        },
    },
    Meant {
        id: "checked",
        why: "`check` and `apply` refuse what can never run: an empty payload, an unknown field, type or source, a circle, limits above the realm's.",
        everywhere: false,
        fits: |difference| difference.place == "refused" && difference.lava.is_null(),
    },
    Meant {
        id: "decimals",
        why: "A number of a spec is an ordinary number. In lava it is a Decimal: `tojson`, a product with a fraction, `event_log` and the action `state` fail on it.",
        everywhere: false,
        fits: |difference| {
            let lava = difference.lava.to_string();
            let fails = lava.contains("Decimal") || lava.contains("failed") || difference.lava.is_null();
            let digits = |text: &str| text.chars().any(|c| c.is_ascii_digit());
            // Or it prints the number otherwise.
            fails || (difference.place.ends_with(".stdout") && digits(&lava))
        },
    },
    Meant {
        id: "attempt-directory",
        why: "Each attempt of a job that is dispatched by itself begins in an empty directory. In lava it finds what the attempt before left there.",
        everywhere: false,
        fits: |difference| difference.place.ends_with("output[0].stdout"),
    },
    Meant {
        id: "all-or-none",
        why: "A `dispatch` job starts nothing when one of its jobs cannot be started. lava starts those before it.",
        everywhere: false,
        fits: |difference| difference.place.contains(".jobs") || difference.pumice.is_null(),
    },
    Meant {
        id: "other-actions",
        why: "An action that fails does not keep the others from being done.",
        everywhere: false,
        fits: |difference| difference.lava.is_null(),
    },
    Meant {
        id: "unrunnable-step",
        why: "A step that does not exist or is for another worker fails the whole in the form of any other failure of a step.",
        everywhere: false,
        fits: |difference| difference.place.ends_with(".error") || difference.place.ends_with(".error_data"),
    },
    Meant {
        id: "structures",
        why: "No value can break a structure: quotes, backslashes and line ends in it stay as they are. In lava the structure is no longer JSON, and the job or the action fails.",
        everywhere: false,
        fits: |difference| difference.lava.to_string().contains("failed") || difference.lava.is_null(),
    },
    Meant {
        id: "null-actions",
        why: "`on_success: null` and the like are as if they were not there, and the realm's apply. In lava they fail.",
        everywhere: false,
        fits: |difference| difference.place.ends_with(".events") || difference.lava.is_null(),
    },
    Meant {
        id: "plain-environment",
        why: "With `jinja: false` a command gets its `env` all the same. lava leaves it out.",
        everywhere: false,
        fits: |difference| difference.place.ends_with(".stdout"),
    },
    Meant {
        id: "bad-event-log",
        why: "An `event_log` that fails is worded otherwise.",
        everywhere: false,
        fits: |difference| difference.pumice.as_str().is_some_and(|text| text.starts_with("bad event_log")),
    },
];
