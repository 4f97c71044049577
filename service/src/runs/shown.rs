//! A run as people and programs get it.

use pumice_core::Timestamp;
use pumice_core::clock::LimitKind;
use pumice_core::ids::{JobId, RunId, RunKey, WorkerName};
use pumice_core::message::iso_naive;
use pumice_core::run::{NEVER, Run, RunEvent, Status, Trigger};
use pumice_core::secret::{is_any_known, mask, mask_fields, mask_value};
use pumice_core::spec::{Asked, RunSpec, is_reserved_global};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::time::{Instant, Slot};

/// How long after its end a claim counts as abandoned, for clocks that differ.
const GONE_AFTER: chrono::TimeDelta = chrono::TimeDelta::minutes(1);

/// A run: the item of lava's events table, and what Pumice adds (lava guide, The Events Table).
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct RunShown {
    /// The job.
    #[serde(deserialize_with = "JobId::deserialize_stored")]
    pub job_id: JobId,
    /// The id; a child has its parent's.
    pub run_id: RunId,
    /// The key of its record.
    pub run_key: RunKey,
    /// The run that started it.
    pub parent: Option<RunKey>,
    /// The trigger that started it.
    pub trigger: Trigger,
    /// Where it stands.
    pub status: Status,
    /// Why it did not end well.
    pub reason: Option<String>,
    /// The attempt, from 1.
    pub iteration: u32,
    /// Its place in a foreach, from 0.
    pub foreach_index: Option<u32>,
    /// The worker it is for.
    pub worker: WorkerName,
    /// The host that ran it last.
    pub hostname: Option<String>,
    /// When it was dispatched.
    pub ts_dispatch: Instant,
    /// The time before which it does not start.
    pub not_before: Instant,
    /// When its first attempt started.
    pub ts_start: Option<Instant>,
    /// When it ended.
    pub ts_end: Option<Instant>,
    /// When its log was written last.
    pub ts_event: Instant,
    /// The same as lava writes it: UTC without an offset.
    pub tu_event: String,
    /// When its record expires, in seconds since 1970.
    pub ttl: Option<i64>,
    /// Its payload as it runs; `null` in a list without details.
    pub payload: Value,
    /// Its parameters as it runs; `null` in a list without details.
    pub parameters: Value,
    /// Its result.
    pub result: Value,
    /// Its events, in order.
    pub log: Vec<EventShown>,
    /// The input that it was given over its job's own spec; missing in a list, of a step, and where the record does not say.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub asked: Option<AskedShown>,
    /// The slot of a schedule that it was started for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub schedule: Option<ScheduledShown>,
    /// The broken limit, of an alert.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub late: Option<LateShown>,
    /// The step of another run that is kept in its place.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub kept: Option<RunKey>,
    /// Parts of its record that are gone.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub notes: Vec<String>,
    /// How many attempts it may have.
    #[serde(default)]
    pub attempts: u32,
    /// When it starts, if that is still to come.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub starts: Option<Instant>,
    /// Whether the process that runs it is gone, and no other has taken it up.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub orphaned: bool,
    /// How many entries of its log were dropped after the first.
    #[serde(default, skip_serializing_if = "pumice_core::omit::is_default")]
    pub log_dropped: u32,
    /// Distinguishes it from other steps of the same job: its item of a foreach, the attempt of its parent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub label: Option<String>,
}

/// An entry of a run's log.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct EventShown {
    /// The new status.
    pub status: Status,
    /// When.
    pub ts_event: Instant,
    /// The same as lava writes it: UTC without an offset.
    pub tu_event: String,
    /// More about it.
    pub info: Value,
}

/// The slot of a schedule that a run was started for.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct ScheduledShown {
    /// The place of its entry in the schedule, from 0; null where a schedule of the caller's own made a run that is none of an
    /// entry's.
    pub entry: Option<u32>,
    /// The slot.
    pub slot: Instant,
    /// The zone of the entry.
    pub zone: String,
    /// The slot before.
    pub previous: Option<Instant>,
    /// The backfill that started it.
    pub backfill: Option<String>,
}

/// The input of a run.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct AskedShown {
    /// Parameters over those of the job's spec.
    #[serde(default, skip_serializing_if = "Map::is_empty")]
    pub parameters: Map<String, Value>,
    /// Globals over those of the job's spec.
    #[serde(default, skip_serializing_if = "Map::is_empty")]
    pub globals: Map<String, Value>,
}

impl From<&Asked> for AskedShown {
    fn from(asked: &Asked) -> Self {
        let Asked { parameters, globals } = asked;
        let mut globals = globals.clone();
        globals.retain(|name, _| !is_reserved_global(name));
        Self { parameters: parameters.clone(), globals }
    }
}

/// The broken limit that an alert is about.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct LateShown {
    /// Which limit.
    pub limit: LimitKind,
    /// The place of its entry in the schedule, from 0.
    pub entry: u32,
    /// When it was up.
    pub by: Slot,
    /// The slot at which it was broken.
    pub slot: Option<Slot>,
    /// The run that it is about.
    pub run_id: Option<RunId>,
    /// Where that run stood.
    pub status: Option<Status>,
    /// The event, in a sentence.
    pub why: String,
}

/// The viewpoint of a reader of runs.
#[derive(Clone, Copy, Debug)]
pub struct Viewpoint {
    /// The time.
    pub now: Timestamp,
    /// Whether a process runs the realm's jobs; `None` where that cannot be known.
    pub served: Option<bool>,
}

impl RunShown {
    /// A run, with its payload and parameters where its spec is given, and with all of it masked then: of a page of runs the
    /// values to mask may be more than are remembered.
    #[must_use]
    pub fn of(run: &Run, spec: Option<&RunSpec>, from: Viewpoint) -> Self {
        let mut shown = Self::unmasked(run, spec, from);
        if let Some(spec) = spec.filter(|_| is_any_known()) {
            run.remember_marked();
            spec.remember_marked();
            shown.mask();
        }
        shown
    }

    fn mask(&mut self) {
        for value in [&mut self.payload, &mut self.parameters, &mut self.result] {
            mask_value(value);
        }
        self.log.iter_mut().for_each(|event| mask_value(&mut event.info));
        if let Some(reason) = &mut self.reason {
            *reason = mask(reason).into_owned();
        }
        if let Some(AskedShown { parameters, globals }) = &mut self.asked {
            mask_fields(parameters);
            mask_fields(globals);
        }
    }

    fn unmasked(run: &Run, spec: Option<&RunSpec>, from: Viewpoint) -> Self {
        let last = run.log.entries.last().map_or(run.ts_dispatch, |entry| entry.at);
        let (payload, parameters) = input(run, spec);
        Self {
            job_id: run.job_id.clone(),
            run_id: run.run_id,
            run_key: run.key.clone(),
            parent: run.parent(),
            trigger: run.trigger(),
            status: run.status,
            reason: run.reason.clone(),
            iteration: run.attempt,
            foreach_index: run.foreach_index,
            worker: run.worker.clone(),
            hostname: run.hostname.clone(),
            ts_dispatch: Instant(run.ts_dispatch),
            not_before: Instant(run.not_before),
            ts_start: run.ts_start.map(Instant),
            ts_end: run.ts_end.map(Instant),
            ts_event: Instant(last),
            tu_event: iso_naive(last),
            ttl: (run.expires != NEVER).then(|| run.expires.timestamp()),
            payload,
            parameters,
            result: run.result.clone(),
            log: run.events().map(EventShown::from).collect(),
            asked: spec.and_then(|spec| spec.asked.as_deref()).map(AskedShown::from),
            schedule: scheduled(run),
            late: late(run),
            kept: run.kept.clone(),
            notes: notes(run),
            attempts: run.retry.limit,
            starts: starts(run, from.now),
            orphaned: is_orphan(run, from),
            log_dropped: run.log.dropped,
            label: None,
        }
    }

    /// Whether it is a step of another run.
    #[must_use]
    pub fn is_child(&self) -> bool {
        self.run_key.depth() > 0
    }
}

impl From<RunEvent> for EventShown {
    fn from(event: RunEvent) -> Self {
        let RunEvent { status, at, info } = event;
        Self { status, ts_event: Instant(at), tu_event: iso_naive(at), info }
    }
}

/// Payload and parameters as they run, else as the job has them.
fn input(run: &Run, spec: Option<&RunSpec>) -> (Value, Value) {
    let rendered = run.rendered.as_ref().or_else(|| spec.and_then(|spec| spec.rendered.as_ref()));
    match rendered {
        Some(rendered) => (rendered.payload.clone(), Value::Object(rendered.parameters.clone())),
        None => {
            let field = |name: &str| spec.and_then(|spec| spec.job.get(name)).cloned().unwrap_or_default();
            (field("payload"), field("parameters"))
        }
    }
}

fn scheduled(run: &Run) -> Option<ScheduledShown> {
    run.scheduled.as_ref().map(|scheduled| ScheduledShown {
        entry: scheduled.entry,
        slot: Instant(scheduled.slot),
        zone: scheduled.zone.0.name().to_owned(),
        previous: scheduled.previous.map(Instant),
        backfill: scheduled.backfill.clone(),
    })
}

fn late(run: &Run) -> Option<LateShown> {
    run.late.as_ref().map(|late| LateShown {
        limit: late.limit,
        entry: late.entry,
        by: Slot(late.by),
        slot: late.slot.map(Slot),
        run_id: late.run_id,
        status: late.status,
        why: late.why.clone(),
    })
}

fn notes(run: &Run) -> Vec<String> {
    let gone = run.offloaded.iter().filter(|offloaded| offloaded.gone);
    gone.map(pumice_core::run::Offloaded::why_gone).collect()
}

fn starts(run: &Run, now: Timestamp) -> Option<Instant> {
    let waits = matches!(run.status, Status::Dispatched | Status::Retrying) && run.lease.is_none();
    Some(run.not_before).filter(|at| waits && *at > now).map(Instant)
}

fn is_orphan(run: &Run, from: Viewpoint) -> bool {
    let held = run.lease.as_ref().filter(|_| !run.status.is_end()).map(|lease| lease.until);
    held.is_some_and(|until| from.served == Some(false) || until + GONE_AFTER < from.now)
}

#[cfg(test)]
mod tests {
    use pumice_core::duration::Span;

    use super::*;

    fn run() -> Run {
        let run_id: RunId = "00000000-0000-0000-0000-000000000001".parse().unwrap();
        let about = (JobId::new("a").unwrap(), "log".to_owned(), WorkerName::new("core").unwrap());
        let begun = Timestamp::UNIX_EPOCH;
        Run::dispatched(RunKey::root(run_id), run_id, about, begun, begun, Span::from_days(1))
    }

    #[test]
    fn run_whose_claim_ran_out_is_an_orphan() {
        let mut held = run();
        held.status = Status::Running;
        let until = Timestamp::UNIX_EPOCH + chrono::TimeDelta::minutes(5);
        held.lease = Some(pumice_core::run::Lease { owner: pumice_core::run::Worker("w".to_owned()), until });
        for (minutes, served, orphan) in [
            (0, None, false),
            (5, None, false),
            (7, None, true),
            (0, Some(false), true),
            (0, Some(true), false),
        ] {
            let now = Timestamp::UNIX_EPOCH + chrono::TimeDelta::minutes(minutes);
            let shown = RunShown::of(&held, None, Viewpoint { now, served });
            assert_eq!(shown.orphaned, orphan, "{minutes} {served:?}");
        }
    }

    #[test]
    fn shown_run_survives_a_round_trip() {
        let mut shown = RunShown::of(&run(), None, Viewpoint { now: Timestamp::UNIX_EPOCH, served: None });
        shown.label = Some("item 1".to_owned());
        let value = serde_json::to_value(&shown).unwrap();
        assert_eq!(value["parent"], Value::Null);
        assert_eq!(serde_json::from_value::<RunShown>(value).unwrap(), shown);
    }
}
