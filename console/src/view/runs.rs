//! Runs as rows of lists.

use pumice_core::run::{Status, Trigger};
use pumice_core::text::escaped;
use pumice_service::runs::RunShown;
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
    let failed_actions = run.log.iter().filter(|entry| entry.status == Status::ActionFailed).count();
    let mut parts = Vec::new();
    if run.iteration > 1 {
        parts.push(format!("attempt {} of {}", run.iteration, run.attempts));
    }
    if let Some(at) = run.starts {
        let moment = clock.moment(at.0);
        parts.push(format!("starts {} {}", moment.text, moment.zone));
    }
    parts.extend(run.reason.as_deref().map(|reason| escaped(reason).into_owned()));
    parts.extend(
        run.late.as_ref().map(|late| format!("alert: {}: {}", late.limit.field(), escaped(&late.why))),
    );
    parts.extend(waits(run));
    if run.orphaned {
        parts.push("its server is gone".to_owned());
    }
    if failed_actions > 0 {
        parts.push(super::counted(failed_actions, "action") + " failed");
    }
    parts.join("; ")
}

/// The condition that a run waits for.
fn waits(run: &RunShown) -> Option<String> {
    if run.status != Status::Waiting {
        return None;
    }
    let last = run.log.iter().rev().find(|entry| entry.status == Status::Waiting)?;
    // The reason of a run that cannot begin stands there already.
    let info = last.info.as_str().filter(|info| run.reason.as_deref() != Some(*info))?;
    Some(format!("waits: {}", escaped(info)))
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
    let plain = |text: String| About { text, href: None };
    match &run.trigger {
        Trigger::Caller => plain("started by a caller".to_owned()),
        Trigger::Run { run: Some(by) } => {
            let word = if run.is_child() { "a step of run" } else { "dispatched by run" };
            About { text: format!("{word} {by}"), href: Some(run_link(by.as_str())) }
        }
        Trigger::Run { run: None } => plain("started by a run of lava's".to_owned()),
        Trigger::Replay { run } => {
            About { text: format!("does run {run} again"), href: Some(run_link(run.as_str())) }
        }
        Trigger::Event { event } => plain(format!("started by event {}", escaped(event))),
        Trigger::Object { trigger_id, bucket, key, event_type, .. } => About {
            text: escaped(&format!(
                "started by {event_type} of {key} in bucket {bucket}, trigger {trigger_id}"
            ))
            .into(),
            href: Some(link("/trigger", &[("id", trigger_id)])),
        },
        Trigger::Http { trigger_id, event_type, .. } => {
            let what = event_type.as_deref().unwrap_or("a request");
            let text = format!("started by {what} over HTTP, trigger {trigger_id}");
            About { text: escaped(&text).into(), href: Some(link("/trigger", &[("id", trigger_id)])) }
        }
        Trigger::Schedule { entry, slot, backfill } => {
            let slot = slot.map(|slot| clock.moment(slot));
            let slot = slot.map(|slot| format!(" for {} {}", slot.text, slot.zone)).unwrap_or_default();
            match backfill {
                Some(id) => About {
                    text: format!("started by backfill {id}{slot}, entry {entry}"),
                    href: Some(link("/backfill", &[("id", id)])),
                },
                None => About {
                    text: format!("started by the schedule{slot}, entry {entry}"),
                    href: Some(link("/schedules", &[("job", run.job_id.as_str())])),
                },
            }
        }
    }
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
