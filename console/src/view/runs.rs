//! Runs as rows of lists.

use pumice_core::run::{Status, Trigger};
use pumice_core::text::escaped;
use pumice_service::runs::{RunShown, TriggerAbout};
use serde::Serialize;

use super::{Clock, Moment, job_link, link, run_link};

/// The colour of a status. Its word and its sign say the same.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Tone {
    Good,
    Bad,
    Odd,
    Busy,
    Calm,
}

/// The colour of a status.
pub(crate) const fn tone(status: Status) -> Tone {
    match status {
        Status::Complete => Tone::Good,
        Status::Failed | Status::Rejected | Status::ActionFailed => Tone::Bad,
        Status::Skipped | Status::Cancelled | Status::Retrying => Tone::Odd,
        Status::Running | Status::Starting => Tone::Busy,
        Status::Dispatched | Status::Waiting | Status::Logging => Tone::Calm,
    }
}

/// The sign of a status, for readers that see no colours.
const fn sign(status: Status) -> &'static str {
    match status {
        Status::Complete => "✓",
        Status::Failed | Status::ActionFailed => "✗",
        Status::Rejected => "⊘",
        Status::Skipped => "–",
        Status::Cancelled => "■",
        Status::Retrying => "↻",
        Status::Running | Status::Starting => "▶",
        Status::Dispatched | Status::Waiting => "○",
        Status::Logging => "·",
    }
}

/// A status as pages show it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(crate) struct StatusShown {
    pub(crate) word: &'static str,
    pub(crate) sign: &'static str,
    pub(crate) tone: Tone,
}

impl From<Status> for StatusShown {
    fn from(status: Status) -> Self {
        let word = if status == Status::ActionFailed { "action failed" } else { status.as_str() };
        Self { word, sign: sign(status), tone: tone(status) }
    }
}

/// Most characters of an id in a list: the link next to it has all of them.
const MAX_ID: usize = 13;

/// A run in a list.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(crate) struct RunRow {
    pub(crate) key: String,
    /// As much of its key as names it in this list.
    pub(crate) name: String,
    pub(crate) href: String,
    pub(crate) job: String,
    pub(crate) job_href: String,
    /// Distinguishes it from others of its job.
    pub(crate) label: Option<String>,
    pub(crate) status: StatusShown,
    pub(crate) is_open: bool,
    pub(crate) dispatched: Moment,
    pub(crate) took: Option<String>,
    /// A remark about it in one line.
    pub(crate) remark: String,
    pub(crate) trigger: &'static str,
    pub(crate) worker: String,
}

impl RunRow {
    /// A run; `length` is how many characters of its id name it.
    pub(crate) fn of(run: &RunShown, clock: &Clock, length: usize) -> Self {
        let key = run.run_key.as_str();
        let (id, steps) = key.split_at(key.find('/').unwrap_or(key.len()));
        Self {
            key: key.to_owned(),
            name: format!("{}{steps}", id.get(..length.min(MAX_ID)).unwrap_or(id)),
            href: run_link(key),
            job: escaped(run.job_id.as_str()).into_owned(),
            job_href: job_link(run.job_id.as_str()),
            label: run.label.clone(),
            status: run.status.into(),
            is_open: !run.status.is_end(),
            dispatched: clock.moment(run.ts_dispatch.0),
            took: clock.took(run.ts_start.map(|at| at.0), run.ts_end.map(|at| at.0)),
            remark: remark(run, clock),
            trigger: trigger_word(&run.trigger),
            worker: run.worker.to_string(),
        }
    }
}

/// A remark about a run in one line.
pub(crate) fn remark(run: &RunShown, clock: &Clock) -> String {
    run.remark(|at| clock.words(at))
}

const fn trigger_word(trigger: &Trigger) -> &'static str {
    match trigger {
        Trigger::Caller => "by hand",
        Trigger::Run { .. } => "run",
        Trigger::Event { .. } => "event",
        Trigger::Object { .. } => "object",
        Trigger::Http { .. } => "http",
        Trigger::Schedule { backfill: Some(_), .. } => "backfill",
        Trigger::Schedule { .. } => "schedule",
        Trigger::Replay { .. } => "retry",
    }
}

/// The trigger of a run, with the page that shows it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(crate) struct About {
    pub(crate) text: String,
    pub(crate) href: Option<String>,
}

/// The trigger of a run.
pub(crate) fn trigger_words(run: &RunShown, clock: &Clock) -> About {
    let words = run.trigger_words(|slot| clock.words(slot));
    let href = words.about.map(|about| match about {
        TriggerAbout::Run(run) => run_link(run.as_str()),
        TriggerAbout::Trigger(id) => link("/trigger", &[("id", id)]),
        TriggerAbout::Backfill(id) => link("/backfill", &[("id", id)]),
        TriggerAbout::Schedule(job) => link("/schedules", &[("job", job.as_str())]),
    });
    About { text: words.text, href }
}

/// A name and a value, of what there is to know about a thing.
pub(crate) fn about(name: &str, value: impl Into<String>) -> (String, String) {
    (name.to_owned(), value.into())
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn status_has_a_word_and_a_sign_besides_its_colour() {
        let words: BTreeSet<&str> =
            Status::ALL.into_iter().map(|status| StatusShown::from(status).word).collect();
        assert_eq!(words.len(), Status::ALL.len());
        for status in Status::ALL {
            // Two statuses of one colour that mean different things have different signs.
            let shown = StatusShown::from(status);
            assert!(!shown.sign.is_empty());
            if status.is_failure() {
                assert_ne!(shown.tone, Tone::Good, "{status}");
            }
        }
        let ends = Status::ALL.into_iter().filter(|status| status.is_end());
        let signs: BTreeSet<&str> = ends.map(sign).collect();
        assert_eq!(signs.len(), 5);
    }
}
