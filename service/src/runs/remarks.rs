//! What is remarked about a run, in the same words on the command line and in the console.

use pumice_core::Timestamp;
use pumice_core::ids::{JobId, RunKey};
use pumice_core::run::reason::split_way;
use pumice_core::run::{Status, Trigger};
use pumice_core::text::{counted, escaped};

use super::RunShown;

/// The words about a run's trigger.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TriggerWords<'a> {
    /// The words, escaped.
    pub text: String,
    /// What the words are about, where it can be shown.
    pub about: Option<TriggerAbout<'a>>,
}

/// What the words about a trigger are about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TriggerAbout<'a> {
    /// Another run.
    Run(&'a RunKey),
    /// A trigger of the realm, by its id.
    Trigger(&'a str),
    /// A backfill, by its id.
    Backfill(&'a str),
    /// The schedule of a job.
    Schedule(&'a JobId),
}

impl RunShown {
    /// A remark in one line, escaped. `time` has the words of an instant.
    pub fn remark(&self, time: impl Fn(Timestamp) -> String) -> String {
        self.remark_with(self.reason.as_deref(), time)
    }

    /// The same without the way to the step that failed.
    pub fn short_remark(&self, time: impl Fn(Timestamp) -> String) -> String {
        let why = self.reason.as_deref().map(|reason| split_way(reason).map_or(reason, |(_, why)| why));
        self.remark_with(why, time)
    }

    /// The remark below the run that started it. Where both failed by the same step, the line above says why, and so does the
    /// step: between these two the way to the step is enough.
    pub fn remark_below(&self, above: Option<&Self>, time: impl Fn(Timestamp) -> String) -> String {
        self.remark_with(self.reason_below(above), time)
    }

    fn reason_below(&self, above: Option<&Self>) -> Option<&str> {
        let whole = self.reason.as_deref()?;
        let shown = above.and_then(|above| split_way(above.reason.as_deref()?));
        match (split_way(whole), shown) {
            (Some((_, why)), Some((_, shown))) if why == shown => whole.strip_suffix(why)?.strip_suffix(": "),
            _ => Some(whole),
        }
    }

    fn remark_with(&self, reason: Option<&str>, time: impl Fn(Timestamp) -> String) -> String {
        let failed_actions = self.log.iter().filter(|entry| entry.status == Status::ActionFailed).count();
        let mut parts = Vec::new();
        if self.iteration > 1 {
            parts.push(format!("attempt {} of {}", self.iteration, self.attempts));
        }
        parts.extend(self.kept.as_ref().map(|kept| format!("kept from run {kept}")));
        parts.extend(self.starts.map(|at| format!("starts {}", time(at.0))));
        parts.extend(reason.map(|reason| escaped(reason).into_owned()));
        parts.extend(
            self.late.as_ref().map(|late| format!("alert: {}: {}", late.limit.field(), escaped(&late.why))),
        );
        parts.extend(self.wait());
        if self.orphaned {
            parts.push("its server is gone".to_owned());
        }
        if failed_actions > 0 {
            parts.push(counted(failed_actions, "action") + " failed");
        }
        parts.join("; ")
    }

    /// The condition that it waits for.
    fn wait(&self) -> Option<String> {
        if self.status != Status::Waiting {
            return None;
        }
        let last = self.log.iter().rev().find(|entry| entry.status == Status::Waiting)?;
        // The reason of a run that cannot begin stands there already.
        let info = last.info.as_str().filter(|info| self.reason.as_deref() != Some(*info))?;
        Some(format!("waits: {}", escaped(info)))
    }

    /// The words about its trigger. `time` has the words of a slot.
    pub fn trigger_words(&self, time: impl Fn(Timestamp) -> String) -> TriggerWords<'_> {
        let (text, about) = match &self.trigger {
            Trigger::Caller => ("triggered by a caller".to_owned(), None),
            Trigger::Run { run: Some(by) } => {
                let word = if self.is_child() { "a step of run" } else { "triggered by run" };
                (format!("{word} {by}"), Some(TriggerAbout::Run(by)))
            }
            Trigger::Run { run: None } => ("triggered by a run of lava's".to_owned(), None),
            Trigger::Event { event } => (format!("triggered by event {event}"), None),
            Trigger::Object { trigger_id, bucket, key, event_type, version } => {
                let version =
                    version.as_ref().map(|version| format!(", version {version}")).unwrap_or_default();
                let text = format!(
                    "triggered by {event_type} of {key} in bucket {bucket}{version}, trigger {trigger_id}"
                );
                (text, Some(TriggerAbout::Trigger(trigger_id)))
            }
            Trigger::Http { trigger_id, event_type, delivery, .. } => {
                let delivery = delivery.as_ref().map(|id| format!(", delivery {id}")).unwrap_or_default();
                let what = event_type.as_deref().unwrap_or("a request");
                let text = format!("triggered by {what} over HTTP{delivery}, trigger {trigger_id}");
                (text, Some(TriggerAbout::Trigger(trigger_id)))
            }
            Trigger::Replay { run } => (format!("does run {run} again"), Some(TriggerAbout::Run(run))),
            Trigger::Schedule { entry, slot, backfill } => {
                let slot = slot.map(|slot| format!(" for the slot {}", time(slot))).unwrap_or_default();
                let by = backfill.as_ref().map(|id| format!(", by backfill {id}")).unwrap_or_default();
                let about = backfill.as_deref().map(TriggerAbout::Backfill);
                let text = format!("triggered by the schedule{slot} of entry {entry}{by}");
                (text, Some(about.unwrap_or(TriggerAbout::Schedule(&self.job_id))))
            }
        };
        TriggerWords { text: escaped(&text).into_owned(), about }
    }
}

#[cfg(test)]
mod tests {
    use pumice_core::duration::Span;
    use pumice_core::ids::WorkerName;
    use pumice_core::run::{Run, RunEvent};
    use serde_json::{Value, json};

    use super::*;
    use crate::runs::Viewpoint;

    fn shown() -> RunShown {
        shown_of(|_| {})
    }

    /// A run as it is shown after a change of its record.
    fn shown_of(change: impl Fn(&mut Run)) -> RunShown {
        let key = RunKey::root("00000000-0000-0000-0000-000000000001".parse().unwrap());
        let about = (JobId::stored("a").unwrap(), "log".to_owned(), WorkerName::new("core").unwrap());
        let (at, kept) = (Timestamp::UNIX_EPOCH, Span::from_days(1));
        let mut run = Run::dispatched(key.clone(), key.run_id().unwrap(), about, at, at, kept);
        change(&mut run);
        RunShown::of(&run, None, Viewpoint { now: at, served: None })
    }

    fn words(trigger: Value) -> (String, bool) {
        let run = RunShown { trigger: serde_json::from_value(trigger).unwrap(), ..shown() };
        let words = run.trigger_words(|_| "NOON".to_owned());
        (words.text.clone(), words.about.is_some())
    }

    #[test]
    fn remark_names_the_run_that_a_step_is_kept_from() {
        let from = RunKey::root("00000000-0000-0000-0000-000000000002".parse().unwrap()).child(1, 0);
        let run = RunShown { kept: Some(from.clone()), iteration: 2, attempts: 3, ..shown() };
        let remark = run.remark(|_| String::new());
        assert_eq!(remark, format!("attempt 2 of 3; kept from run {from}"));
        assert_eq!(run.short_remark(|_| String::new()), remark);
    }

    #[test]
    fn run_that_cannot_begin_says_why_once() {
        let fault = "cannot begin: no disk";
        let about =
            |info: &str| RunEvent { status: Status::Waiting, at: Timestamp::UNIX_EPOCH, info: info.into() };
        let waits = |of: &[&str]| {
            let waits = shown_of(|run| {
                (run.status, run.reason) = (Status::Waiting, Some(fault.to_owned()));
                run.log.entries.extend(of.iter().map(|info| about(info)));
            });
            waits.remark(|_| String::new())
        };
        assert_eq!(waits(&[fault]), fault);
        assert_eq!(waits(&[fault, "for its children"]), format!("{fault}; waits: for its children"));
    }

    #[test]
    fn trigger_words_name_the_version_and_the_delivery() {
        let object = json!({ "kind": "object", "trigger_id": "t", "bucket": "in", "key": "a.csv",
            "event_type": "ObjectCreated:Put", "version": "v1" });
        let wanted = "triggered by ObjectCreated:Put of a.csv in bucket in, version v1, trigger t";
        assert_eq!(words(object), (wanted.to_owned(), true));
        let http = json!({ "kind": "http", "trigger_id": "t", "event_type": "push", "delivery": "d-1" });
        assert_eq!(words(http), ("triggered by push over HTTP, delivery d-1, trigger t".to_owned(), true));
        let slot = json!({ "kind": "schedule", "entry": 1, "slot": "2026-01-01T12:00:00Z", "backfill": "b" });
        let wanted = "triggered by the schedule for the slot NOON of entry 1, by backfill b";
        assert_eq!(words(slot), (wanted.to_owned(), true));
        assert_eq!(words(json!({ "kind": "caller" })), ("triggered by a caller".to_owned(), false));
    }
}
