//! The record of a run.

use chrono::SubsecRound;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::event::{MAX_INFO_BYTES, RunEvent, RunLog, size};
use super::late::Late;
use super::offloaded::{Offloaded, Part};
use super::origin::{Keyed, Lineage, Scheduled};
use super::redo::Redo;
use super::status::Status;
use super::stop::StopRequest;
use super::trigger::Trigger;
use super::waits::{Gathering, WAKE_GRACE};
use super::worker::{Lease, WorkPlace, Worker};
use crate::Timestamp;
use crate::duration::Span;
use crate::ids::{HostId, JobId, RunId, RunKey, WorkerName};
use crate::job_type::Rendered;
use crate::permits::{Gate, Permit};
use crate::spec::{ActionsWhen, Overlap, RetryBackoff, RunSpec};

/// Duties that are left after an attempt has ended.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Duties {
    /// Which list of actions is due, if any.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub actions: Option<ActionsWhen>,
    /// How many actions of the list are done.
    #[serde(default)]
    pub done: u32,
    /// Whether to notify the parent.
    #[serde(default)]
    pub wake_parent: bool,
}

/// When a failed attempt is followed by another.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RetryRule {
    /// How many attempts are made.
    pub limit: u32,
    /// The delay between them.
    pub delay: Span,
    /// How the delay grows.
    pub backoff: RetryBackoff,
    /// How often the run may be started over, 0 for no limit of its own.
    pub max_tries: u32,
}

impl Default for RetryRule {
    fn default() -> Self {
        Self { limit: 1, delay: Span::ZERO, backoff: RetryBackoff::Fixed, max_tries: 0 }
    }
}

/// The record of a run: small, and written whole with each change. A field with its usual value is left out.
/// The job's spec is pinned apart from it, in a [`RunSpec`].
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Run {
    /// The record's key.
    pub key: RunKey,
    /// The id that users see; a child shows its parent's.
    pub run_id: RunId,
    /// The job.
    #[serde(deserialize_with = "JobId::deserialize_stored")]
    pub job_id: JobId,
    /// The job's type.
    pub job_type: String,
    /// The worker it is for.
    pub worker: WorkerName,
    /// Where it stands.
    pub status: Status,
    /// How often the record was written; the store raises it by one with each change.
    pub rev: u64,
    /// How often it was claimed: the fence that keeps out a worker whose claim is history.
    pub epoch: u64,
    /// The worker that runs it now.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub lease: Option<Lease>,
    /// The number of the attempt, from 1.
    pub attempt: u32,
    /// How often a worker was lost while it ran.
    #[serde(default, skip_serializing_if = "is_usual")]
    pub crashes: u32,
    /// The time before which it does not start.
    #[serde(with = "chrono::serde::ts_microseconds")]
    pub not_before: Timestamp,
    /// When it was due at first, where `not_before` was moved since, as by each look at its job's lock.
    #[serde(
        default,
        with = "chrono::serde::ts_microseconds_option",
        skip_serializing_if = "Option::is_none"
    )]
    pub first_due: Option<Timestamp>,
    /// When it is due for the next look; `None` when nothing is left to do.
    #[serde(
        default,
        with = "chrono::serde::ts_microseconds_option",
        skip_serializing_if = "Option::is_none"
    )]
    pub due_at: Option<Timestamp>,
    /// When it was dispatched.
    #[serde(with = "chrono::serde::ts_microseconds")]
    pub ts_dispatch: Timestamp,
    /// When its message was given to a lava worker, which runs it and knows nothing of this record.
    #[serde(
        default,
        with = "chrono::serde::ts_microseconds_option",
        skip_serializing_if = "Option::is_none"
    )]
    pub handed_over: Option<Timestamp>,
    /// When its first attempt started.
    #[serde(
        default,
        with = "chrono::serde::ts_microseconds_option",
        skip_serializing_if = "Option::is_none"
    )]
    pub ts_start: Option<Timestamp>,
    /// When the attempt under way started, from the second on: the first starts when the run does.
    #[serde(
        default,
        with = "chrono::serde::ts_microseconds_option",
        skip_serializing_if = "Option::is_none"
    )]
    pub ts_attempt: Option<Timestamp>,
    /// When it ended.
    #[serde(
        default,
        with = "chrono::serde::ts_microseconds_option",
        skip_serializing_if = "Option::is_none"
    )]
    pub ts_end: Option<Timestamp>,
    /// The run that dispatched it, for a run of its own that a job or an action started.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub dispatched_by: Option<RunKey>,
    /// Its trigger, where the rest of the record does not say so: [`Run::trigger`] gives it for every run.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub trigger: Option<Trigger>,
    /// Where it comes from, when a job started it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub lineage: Option<Lineage>,
    /// The slot that it was started for, when a schedule started it; a step has its parent's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub scheduled: Option<Box<Scheduled>>,
    /// The broken limit that it reports, where it is an alert rather than a run of its job.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub late: Option<Box<Late>>,
    /// The ended run that it does again, and how.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub redo: Option<Box<Redo>>,
    /// The step of another run that ended well and is kept in its place: it is never run itself.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub kept: Option<RunKey>,
    /// Its place in a foreach, from 0.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub foreach_index: Option<u32>,
    /// Where the files were that it shares with the steps before it, where each invocation has a directory of its own.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub work: Option<WorkPlace>,
    /// How it hears of its steps, where each is a run that any worker takes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub gathers: Option<Gathering>,
    /// When it is tried again.
    #[serde(default, skip_serializing_if = "is_usual")]
    pub retry: RetryRule,
    /// The overlap policy, when its job already runs.
    #[serde(default, skip_serializing_if = "is_usual")]
    pub overlap: Overlap,
    /// When it was due at first, where it makes way for newer runs of its job.
    #[serde(
        default,
        with = "chrono::serde::ts_microseconds_option",
        skip_serializing_if = "Option::is_none"
    )]
    pub turn: Option<Timestamp>,
    /// Its permit, where its job says how many run at once.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub permit: Option<Box<Permit>>,
    /// The key of which a run above it has a permit: no step may wait for another meanwhile.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub below: Option<Gate>,
    /// The newer run of its job that takes its place.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub replaced_by: Option<RunKey>,
    /// Its idempotency key.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub keyed: Option<Keyed>,
    /// Whether it was asked to stop.
    #[serde(default, skip_serializing_if = "is_usual")]
    pub cancel: bool,
    /// The person or program that asked for it to stop, and why.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stopped_by: Option<Box<StopRequest>>,
    /// Duties of the attempt that ended last.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub duties: Option<Duties>,
    /// Payload and parameters as the last attempt had them, where they are rendered at its start.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rendered: Option<Rendered>,
    /// The result of the last attempt, or details of its failure.
    #[serde(default, skip_serializing_if = "Value::is_null")]
    pub result: Value,
    /// Which of its parts are kept elsewhere, and where: the store's to fill in.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub offloaded: Vec<Offloaded>,
    /// Why it did not end well.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// The host that it is for: no other starts it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub host: Option<HostId>,
    /// The host that ran it last.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hostname: Option<String>,
    /// When the record expires, once the run has ended; [`NEVER`] for one that is kept for good. Before its end it is
    /// when it would if the outcome were the one that is kept longest, counted from its start.
    #[serde(with = "chrono::serde::ts_seconds")]
    pub expires: Timestamp,
    /// The history of its statuses.
    pub log: RunLog,
}

/// When a record expires that is kept for good: the end of the year 9999.
pub const NEVER: Timestamp = match Timestamp::from_timestamp(253_402_300_799, 0) {
    Some(never) => never,
    None => Timestamp::MAX_UTC,
};

/// The whole second in which a time of this length after an instant is over; [`NEVER`] where there is none.
pub(super) fn expiry(since: Timestamp, kept: Option<Span>) -> Timestamp {
    let until = kept.and_then(|kept| since.checked_add_signed(kept.delta()));
    until.map_or(NEVER, |until| until.min(NEVER).trunc_subsecs(0))
}

/// Most warnings that a record keeps.
const MAX_WARNINGS: usize = 20;

/// Whether a field has the value that most records have.
fn is_usual<T: Default + PartialEq>(value: &T) -> bool {
    *value == T::default()
}

/// A run when it is made.
#[derive(Clone, Debug)]
pub struct NewRun {
    /// The record.
    pub run: Run,
    /// The spec that it uses, for good.
    pub spec: RunSpec,
}

impl Run {
    /// The record of a run that was just dispatched, to be kept for so long at most, or for good. The caller fills in what is
    /// particular.
    #[must_use]
    pub fn dispatched(
        key: RunKey,
        run_id: RunId,
        job: (JobId, String, WorkerName),
        now: Timestamp,
        not_before: Timestamp,
        keep: impl Into<Option<Span>>,
    ) -> Self {
        let (job_id, job_type, worker) = job;
        let mut log = RunLog::default();
        log.push(Status::Dispatched, now, Value::Null);
        Self {
            key,
            run_id,
            job_id,
            job_type,
            worker,
            status: Status::Dispatched,
            rev: 1,
            epoch: 0,
            lease: None,
            attempt: 1,
            crashes: 0,
            not_before,
            first_due: None,
            due_at: Some(not_before.max(now) + WAKE_GRACE.delta()),
            ts_dispatch: now,
            handed_over: None,
            ts_start: None,
            ts_attempt: None,
            ts_end: None,
            dispatched_by: None,
            trigger: None,
            lineage: None,
            scheduled: None,
            late: None,
            redo: None,
            kept: None,
            foreach_index: None,
            work: None,
            gathers: None,
            retry: RetryRule::default(),
            overlap: Overlap::Allow,
            turn: None,
            permit: None,
            below: None,
            replaced_by: None,
            keyed: None,
            cancel: false,
            stopped_by: None,
            duties: None,
            rendered: None,
            result: Value::Null,
            offloaded: Vec::new(),
            reason: None,
            host: None,
            hostname: None,
            // As it is stored, so that a record that was read equals the one that was written.
            expires: expiry(now.max(not_before), keep.into()),
            log,
        }
    }

    /// Records the mistakes of its job and its realm that do not keep it from running.
    pub fn warn(&mut self, warnings: &[String], now: Timestamp) {
        for warning in warnings.iter().take(MAX_WARNINGS) {
            self.log.push(Status::Logging, now, format!("warning: {warning}").into());
        }
        if let Some(more @ 1..) = warnings.len().checked_sub(MAX_WARNINGS) {
            self.log.push(Status::Logging, now, format!("warning: {more} more, in the worker's log").into());
        }
    }

    /// When the attempt under way started, in whichever invocation that was; `None` before it did.
    #[must_use]
    pub fn attempt_start(&self) -> Option<Timestamp> {
        if self.attempt > 1 { self.ts_attempt } else { self.ts_start }
    }

    /// Whether no worker that keeps records has begun it: a lava worker may have it.
    #[must_use]
    pub fn may_be_lavas(&self) -> bool {
        self.status == Status::Dispatched && self.ts_start.is_none() && !self.is_child()
    }

    /// Whether one host alone may go on with it. To the actions of an attempt that has ended any worker may see.
    #[must_use]
    pub fn is_addressed(&self) -> bool {
        self.host.is_some() && !self.status.is_end()
    }

    /// When its host is to look at it, since no message reminds the host. `None` for a run of any host.
    #[must_use]
    pub fn calls_host_at(&self) -> Option<Timestamp> {
        let due = self.due_at.filter(|_| self.is_addressed())?;
        Some(self.not_before.max(due - WAKE_GRACE.delta()))
    }

    /// Whether this is a child that runs under its parent's run id.
    #[must_use]
    pub fn is_child(&self) -> bool {
        self.key.depth() > 0
    }

    /// Whether the backfill with this id made it, or made the run that it is a step of.
    #[must_use]
    pub fn is_of_backfill(&self, id: &str) -> bool {
        self.scheduled.as_ref().is_some_and(|scheduled| scheduled.backfill.as_deref() == Some(id))
    }

    /// The run that started this one, whichever way.
    #[must_use]
    pub fn parent(&self) -> Option<RunKey> {
        self.key.parent().or_else(|| self.dispatched_by.clone())
    }

    /// Its trigger. A record of before that does not say so, and has none of the fields from which it follows, is one
    /// that a caller asked for.
    #[must_use]
    pub fn trigger(&self) -> Trigger {
        if let Some(trigger) = &self.trigger {
            return trigger.clone();
        }
        if let Some(redo) = self.redo.as_ref().filter(|_| !self.is_child()) {
            return Trigger::Replay { run: redo.of.clone() };
        }
        // A step has its parent's slot, too.
        if self.lineage.is_some() || self.parent().is_some() {
            return Trigger::Run { run: self.parent() };
        }
        let scheduled = self.scheduled.as_ref();
        match (scheduled.and_then(|scheduled| Some((scheduled.entry?, scheduled))), &self.late) {
            (Some((entry, scheduled)), _) => {
                Trigger::Schedule { entry, slot: Some(scheduled.slot), backfill: scheduled.backfill.clone() }
            }
            (None, Some(late)) => Trigger::Schedule { entry: late.entry, slot: late.slot, backfill: None },
            (None, None) => Trigger::Caller,
        }
    }

    /// Whether it has ended and nothing is left to do about it.
    #[must_use]
    pub fn is_done(&self) -> bool {
        self.status.is_end() && self.due_at.is_none()
    }

    /// Sets the overlap policy; called before the run is stored.
    pub fn set_overlap(&mut self, overlap: Overlap) {
        self.overlap = overlap;
        self.turn = overlap.newest_wins().then_some(self.not_before);
    }

    /// Whether it is newer than another run of its job: it was due later at first.
    #[must_use]
    pub fn came_after(&self, other: &Self) -> bool {
        let place = |run: &Self| (run.turn.unwrap_or(run.ts_dispatch), run.ts_dispatch);
        (place(self), &self.key) > (place(other), &other.key)
    }

    /// Whether it waits for its job's lock, and never had it.
    #[must_use]
    pub fn is_in_line(&self) -> bool {
        self.status == Status::Waiting && self.ts_start.is_none() && !self.waits_for_permit()
    }

    /// Gives the run a result, in place of one that may be kept elsewhere.
    pub(super) fn set_result(&mut self, result: Value) {
        self.result = result;
        self.offloaded.retain(|offloaded| offloaded.part != Part::Result);
    }

    /// Gives the run what was rendered, or nothing, in place of what may be kept elsewhere.
    pub(super) fn set_rendered(&mut self, rendered: Option<Rendered>) {
        self.rendered = rendered;
        self.offloaded.retain(|offloaded| offloaded.part != Part::Rendered);
    }

    /// Why a part of the record is not there to be used, if it is not.
    #[must_use]
    pub fn gone(&self, part: Part) -> Option<String> {
        self.offloaded
            .iter()
            .find(|offloaded| offloaded.gone && offloaded.part == part)
            .map(super::offloaded::Offloaded::why_gone)
    }

    /// Where a part of the record is kept, unless it stands in the record.
    #[must_use]
    pub fn place_of(&self, part: Part) -> Option<&str> {
        self.offloaded.iter().find(|offloaded| offloaded.part == part).map(|offloaded| &*offloaded.place)
    }

    /// The entries of the log as lava has them: at its end stands the result, which the record keeps once (lava guide, The
    /// Events Table).
    pub fn events(&self) -> impl Iterator<Item = RunEvent> + '_ {
        let last = self.log.entries.len().saturating_sub(1);
        let end = self.log.entries.iter().rposition(|entry| entry.status.is_end()).unwrap_or(last);
        self.log.entries.iter().enumerate().map(move |(at, entry)| {
            let ends = at == end && entry.status == self.status;
            if ends && matches!(entry.status, Status::Complete | Status::Failed) && !self.result.is_null() {
                return RunEvent { info: self.result.clone(), ..entry.clone() };
            }
            entry.clone()
        })
    }

    /// The entry of the log for an attempt after which another is made: its result, unless that is long, and when the
    /// next begins.
    pub(super) fn log_retrying(&self, delay: Span) -> Value {
        let mut info = self.result.clone();
        if !info.is_object() || size(&info) > MAX_INFO_BYTES / 2 {
            info = json!({ "error": self.reason });
        }
        info["delay"] = delay.to_string().into();
        info
    }

    /// Whether `owner` holds the run at this epoch.
    #[must_use]
    pub fn is_held(&self, owner: &Worker, epoch: u64) -> bool {
        self.epoch == epoch && self.lease.as_ref().is_some_and(|lease| &lease.owner == owner)
    }
}

#[cfg(test)]
mod tests {
    use uuid::Uuid;

    use super::*;
    use crate::spec::Timezone;

    fn run(keep: Option<Span>) -> Run {
        let run_id = RunId(Uuid::nil());
        let about = (JobId::new("a").unwrap(), "log".to_owned(), WorkerName::new("core").unwrap());
        let now = Timestamp::UNIX_EPOCH;
        Run::dispatched(RunKey::root(run_id), run_id, about, now, now, keep)
    }

    #[test]
    fn warnings_beyond_the_most_are_counted() {
        let told = |count: usize| {
            let mut run = run(None);
            run.warn(&vec!["w".to_owned(); count], Timestamp::UNIX_EPOCH);
            (run.log.entries.len() - 1, run.log.entries.last().map(|entry| entry.info.clone()))
        };
        assert_eq!(told(0), (0, Some(Value::Null)));
        assert_eq!(told(20), (20, Some("warning: w".into())));
        assert_eq!(told(23), (21, Some("warning: 3 more, in the worker's log".into())));
    }

    fn scheduled() -> Scheduled {
        let slot = Timestamp::UNIX_EPOCH;
        let zone = Timezone(chrono_tz::UTC);
        Scheduled { entry: Some(2), slot, zone, previous: None, missed: None, backfill: Some("b".to_owned()) }
    }

    fn lineage() -> Lineage {
        let job_id = JobId::new("top").unwrap();
        let (master_start, parent_start) = (Timestamp::UNIX_EPOCH, Timestamp::UNIX_EPOCH);
        let (master_job_id, parent_job_id) = (job_id.clone(), job_id);
        Lineage {
            master_job_id,
            master_start,
            parent_job_id,
            parent_start,
            depth: 1,
            foreach_index: None,
            master_sent: false,
        }
    }

    fn late(slot: Option<Timestamp>) -> Late {
        Late {
            limit: crate::clock::LimitKind::MustStart,
            entry: 3,
            by: Timestamp::UNIX_EPOCH,
            slot,
            previous: None,
            zone: Timezone(chrono_tz::UTC),
            run_id: None,
            status: None,
            why: "w".to_owned(),
            worker: None,
        }
    }

    #[test]
    fn record_without_a_trigger_has_the_one_that_follows() {
        let root = run(None);
        let other = root.key.clone();
        let slot = Some(Timestamp::UNIX_EPOCH);
        let by_run = Trigger::Run { run: Some(other.clone()) };
        let by_slot = Trigger::Schedule { entry: 2, slot, backfill: Some("b".to_owned()) };
        let step = Run { key: other.child(1, 0), ..run(None) };
        for (record, trigger) in [
            (root.clone(), Trigger::Caller),
            (
                Run { dispatched_by: Some(other.clone()), lineage: Some(lineage()), ..run(None) },
                by_run.clone(),
            ),
            (Run { lineage: Some(lineage()), ..run(None) }, Trigger::Run { run: None }),
            (Run { scheduled: Some(Box::new(scheduled())), ..run(None) }, by_slot),
            (step.clone(), by_run.clone()),
            // A step has its parent's slot.
            (Run { scheduled: Some(Box::new(scheduled())), ..step }, by_run),
            (
                Run { late: Some(Box::new(late(slot))), ..run(None) },
                Trigger::Schedule { entry: 3, slot, backfill: None },
            ),
            (
                Run { late: Some(Box::new(late(None))), ..run(None) },
                Trigger::Schedule { entry: 3, slot: None, backfill: None },
            ),
        ] {
            let stored = serde_json::to_value(&record).unwrap();
            assert!(stored.get("trigger").is_none(), "what follows is not stored");
            assert_eq!(serde_json::from_value::<Run>(stored).unwrap().trigger(), trigger);
        }
    }

    #[test]
    fn trigger_that_is_stored_is_read_again() {
        let trigger = Trigger::Event { event: "sns:1".to_owned() };
        let record =
            Run { trigger: Some(trigger.clone()), scheduled: Some(Box::new(scheduled())), ..run(None) };
        let stored = serde_json::to_value(&record).unwrap();
        assert_eq!(stored["trigger"], json!({ "kind": "event", "event": "sns:1" }));
        let read: Run = serde_json::from_value(stored).unwrap();
        assert_eq!((read.trigger(), &read), (trigger, &record));
    }

    #[test]
    fn record_kept_for_good_never_expires() {
        assert_eq!(run(None).expires.to_rfc3339(), "9999-12-31T23:59:59+00:00");
        assert_eq!(run(Some(Span::from_days(1))).expires, Timestamp::UNIX_EPOCH + Span::from_days(1).delta());
    }
}
