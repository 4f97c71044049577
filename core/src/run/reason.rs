//! Why a job of steps failed: the way to the step that failed, and what that step said.
//!
//! A reason is a text, `job mid > low: why`, so that records of other versions are read as well.

use serde_json::{Value, json};

use super::record::Run;

/// Why a run did not end well.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Why {
    /// As its record says it.
    pub reason: String,
    /// As lava words it, in `result.error`.
    pub error: String,
}

impl Why {
    /// Of a run that has ended; `None` when it ended well.
    #[must_use]
    pub fn of(run: &Run) -> Option<Self> {
        let reason = run.reason.clone()?;
        let error =
            run.result.get("error").and_then(Value::as_str).map_or_else(|| reason.clone(), str::to_owned);
        Some(Self { reason, error })
    }

    /// In our words and in lava's.
    #[must_use]
    pub fn worded(reason: impl Into<String>, error: impl Into<String>) -> Self {
        Self { reason: reason.into(), error: error.into() }
    }

    /// The same in both words.
    #[must_use]
    pub fn plain(reason: String) -> Self {
        Self { error: reason.clone(), reason }
    }
}

/// The result of a run that failed, as templates of actions see it (lava guide, Job Actions): lava's fields, and our
/// reason where that says more.
pub(crate) fn failed_result(error: Option<&str>, reason: &str, data: Value) -> Value {
    let mut result = json!({ "error": error.unwrap_or(reason), "error_data": data });
    if error.is_some_and(|error| error != reason) {
        result["reason"] = reason.into();
    }
    result
}

/// Longest way to a failed step, in bytes; of a longer one the middle is left out. A reason is cut at
/// its end, and must not be all way and no why.
const MAX_WAY: usize = 1024;
/// Separator between two steps of a way.
const BELOW: &str = " > ";
/// Placeholder of the steps that are left out.
const LEFT_OUT: &str = "…";

/// The reason of a run whose step `name` failed for the reason `why`, which is a reason of this form
/// itself when the step has steps.
#[must_use]
pub fn of_step(name: &str, why: &str) -> String {
    // Of records of before: `job mid: job low: why`.
    let (mut way, mut why) = (name.to_owned(), why);
    while let Some((below, rest)) = split_way(why) {
        way = format!("{way}{BELOW}{below}");
        why = rest;
    }
    if way.len() > MAX_WAY
        && let (Some((first, _)), Some((_, last))) = (way.split_once(BELOW), way.rsplit_once(BELOW))
    {
        way = [first, LEFT_OUT, last].join(BELOW);
    }
    format!("job {way}: {why}")
}

/// The way to the step that failed, and why it did; `None` of a reason of another form.
#[must_use]
pub fn split_way(reason: &str) -> Option<(&str, &str)> {
    let (way, why) = reason.strip_prefix("job ")?.split_once(": ")?;
    // A job's message about another one may begin with "job" as well; it has words in between.
    way.split(BELOW).all(is_step).then_some((way, why))
}

/// Whether this is a job's id, with its place in a foreach where it has one.
fn is_step(step: &str) -> bool {
    let id = step.split_once(" (item ").map_or(step, |(id, _)| id);
    !id.is_empty() && !id.contains(char::is_whitespace)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn step_reason_has_the_way_and_the_cause_once() {
        for (name, why, wanted) in [
            ("low", "exit status 3: boom", "job low: exit status 3: boom"),
            ("mid", "job low: exit status 3: boom", "job mid > low: exit status 3: boom"),
            ("top", "job mid > low: exit status 3", "job top > mid > low: exit status 3"),
            ("top", "job mid: job low: it broke", "job top > mid > low: it broke"),
            ("each", "job low (item 3): it broke", "job each > low (item 3): it broke"),
            ("each (item 0)", "job low: it broke", "job each (item 0) > low: it broke"),
            ("a", "job a may not dispatch itself: never", "job a: job a may not dispatch itself: never"),
            ("a", "job a may not dispatch itself", "job a: job a may not dispatch itself"),
            ("a", "failed", "job a: failed"),
            ("a", "", "job a: "),
            ("two words", "job low: it broke", "job two words > low: it broke"),
        ] {
            assert_eq!(of_step(name, why), wanted);
        }
    }

    #[test]
    fn a_long_way_loses_its_middle_and_never_its_why() {
        let mut reason = "it broke".to_owned();
        for level in (0..32).rev() {
            reason = of_step(&format!("{level}/{}", "x".repeat(100)), &reason);
        }
        assert!(reason.starts_with("job 0/x") && reason.ends_with("x: it broke"), "{reason}");
        assert!(reason.contains(" > … > 31/x") && reason.len() < MAX_WAY + 100, "{reason}");
        for level in 0..32 {
            reason = of_step(&format!("{level}/{}", "x".repeat(1_000)), &reason);
        }
        assert!(reason.ends_with("x: it broke") && reason.len() < 3 * MAX_WAY, "{}", reason.len());
    }
}
