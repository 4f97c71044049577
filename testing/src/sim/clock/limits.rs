//! Invariants of dead-man limits, counted by the judge: from the records of runs when all is over, and not as the
//! engine finds them.

use chrono::TimeDelta;
use pumice_core::Timestamp;
use pumice_core::clock::{Cursor, LimitKind, PAUSED_BY, State};
use pumice_core::ids::{JobId, RunId, RunKey};
use pumice_core::run::{Late, Run, Status};
use serde_json::{Value, json};

use super::super::world::{BEGIN, World};
use super::calendar::Entry;
use super::judge::{CALM, Phase, SLACK};
use super::{LASTS, began};
use crate::prng::Prng;

/// How long after its time an alert is there, once nothing goes wrong.
const SOON: TimeDelta = TimeDelta::minutes(4);

/// The limits of an entry, in seconds.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Limits {
    must_start: Option<TimeDelta>,
    finish_by: Option<TimeDelta>,
    max_silence: Option<TimeDelta>,
    pub(super) pause_after: Option<u64>,
}

impl Limits {
    pub(super) fn read(given: &Value) -> Self {
        let span = |name: &str| given[name].as_i64().map(TimeDelta::seconds);
        let pause_after = given["pause_after"].as_u64();
        Self {
            must_start: span("must_start"),
            finish_by: span("finish_by"),
            max_silence: span("max_silence"),
            pause_after,
        }
    }
}

/// Gives limits to entries of a job, and runs that break them.
pub(super) fn give_limits(prng: &mut Prng, document: &mut Value) {
    let taken = prng.pick(&[500, 100_000, 900_000]);
    let fail = prng.pick(&[0, 30, 70]);
    document["payload"] = json!({ "from": 0, "to": taken, "fail": fail, "panic": 0, "permanent": 0 });
    document["on_late"] = json!([{ "action": "note", "when": "on_late" }]);
    limit_entries(prng, document);
}

/// Gives limits to entries of a job that was given some before.
pub(super) fn limit_entries(prng: &mut Prng, document: &mut Value) {
    if document.get("on_late").is_none() {
        return;
    }
    for entry in document["schedule"].as_array_mut().into_iter().flatten() {
        for (name, values) in [
            ("must_start", [5, 20, 300]),
            ("finish_by", [60, 300, 1_200]),
            ("max_silence", [900, 2_400, 5_400]),
        ] {
            if prng.below(2) == 0 {
                entry[name] = json!(prng.pick(&values));
            }
        }
        if prng.below(2) == 0 {
            entry["pause_after"] = json!(prng.within(1, 3));
        }
    }
}

/// The identity of an alert: two entries may have the same limit of a run, and it is one. Limits of two slots without a
/// run may be up at the same time.
pub(crate) type Told = (JobId, LimitKind, Timestamp, Option<Timestamp>, Option<RunId>, u32);

impl World {
    /// An alert is made.
    pub(crate) fn is_told(&mut self, run: &Run) {
        let Some(late) = run.late.as_deref() else { return };
        let job_id = run.job_id.clone();
        let is_of_an_entry = late.limit == LimitKind::MaxSilence || late.run_id.is_none();
        let entry = if is_of_an_entry { late.entry } else { 0 };
        let place = (job_id.clone(), late.limit, late.by, late.slot, late.run_id, entry);
        if let Some(other) = self.clocks.told.insert(place, run.key.clone()) {
            self.audit
                .fail("an alert is given once", format!("{} and {other} of {job_id}: {late:?}", run.key));
        }
        if self.now + SLACK < late.by {
            self.audit.fail("no alert comes before its time", format!("{job_id} at {}: {late:?}", self.now));
        }
        let about = late.run_id.and_then(|id| self.runs.get(&RunKey::root(id)));
        let is_false = match late.limit {
            LimitKind::MustStart => about.is_some_and(|run| began_by(run, late.by - SLACK)),
            LimitKind::FinishBy => about.is_some_and(|run| ended_by(run, late.by - SLACK)),
            LimitKind::PauseAfter => about.is_none_or(|run| !is_bad(run)),
            LimitKind::MaxSilence => self.was_heard(&job_id, late),
        };
        if is_false || !self.is_of_a_limit(&job_id, late) {
            let detail = format!("{job_id}: {late:?}, {about:?}");
            self.audit.fail("an alert is of a limit that is broken", detail);
        }
    }

    /// Whether some entry that the job had has such a limit.
    fn is_of_a_limit(&self, job_id: &JobId, late: &Late) -> bool {
        let of = |entry: &Entry| {
            let up = |limit: Option<TimeDelta>| {
                let up = limit.zip(late.slot).map(|(limit, slot)| slot + entry.jitter + limit);
                up == Some(late.by)
            };
            match late.limit {
                LimitKind::MustStart => up(entry.limits.must_start),
                LimitKind::FinishBy => up(entry.limits.finish_by),
                LimitKind::MaxSilence => entry.limits.max_silence.is_some(),
                LimitKind::PauseAfter => entry.limits.pause_after.is_some(),
            }
        };
        self.phases_within(job_id, BEGIN - SLACK, self.now).iter().any(|phase| phase.entries.iter().any(of))
    }

    /// Whether a run ended well in a time that an alert reports to be without one.
    fn was_heard(&self, job_id: &JobId, late: &Late) -> bool {
        let phases = self.phases_within(job_id, BEGIN - SLACK, self.now);
        // Of several entries that come and go, whose run was it?
        let Some(max) = one_entry(&phases).and_then(|entry| entry.limits.max_silence) else { return false };
        let within = (late.by - max + SLACK)..(late.by - SLACK);
        let heard = |run: &&Run| {
            let is_within = run.ts_end.is_some_and(|end| within.contains(&end));
            let is_opened = slot_of(run)
                .is_some_and(|(_, key)| self.clocks.opened.contains(&(job_id.clone(), key.to_owned())));
            run.status == Status::Complete && is_within && !is_filled(run) && is_opened
        };
        self.starts_of(job_id).iter().any(heard)
    }

    /// The runs of the slots of a job, which the clock has started, or a backfill because they were missing.
    fn starts_of(&self, job_id: &JobId) -> Vec<&Run> {
        let is_start = |run: &&Run| {
            let is_of_a_slot = run.keyed.as_ref().is_some_and(|keyed| keyed.key.starts_with("schedule:"));
            run.job_id == *job_id && run.scheduled.is_some() && is_of_a_slot && !run.is_child()
        };
        self.runs.all().filter(is_start).collect()
    }

    /// A cursor is written: slots that were started are kept in mind.
    pub(super) fn opens(&mut self, job_id: &JobId, cursor: &Cursor) {
        for open in &cursor.watch.open {
            let run = RunId::from_key(&self.realm.fields.realm, job_id, &format!("key:{}", open.key));
            // One that is passed over and has no run is watched no longer, and a sweeper that stood still may make it one.
            if !open.passed || self.runs.get(&RunKey::root(run)).is_some() {
                self.clocks.opened.insert((job_id.clone(), open.key.clone()));
            }
            self.clocks.opened_by.insert((job_id.clone(), cursor.fingerprint.clone(), open.key.clone()));
        }
        if is_own(cursor) {
            self.clocks.own_pauses.entry(job_id.clone()).or_insert(self.now);
        }
    }

    /// Checks a cursor that was written: a slot that was started is open, and a job that failed too seldom is not
    /// paused.
    pub(super) fn is_watched(&mut self, job_id: &JobId, index: usize, before: &Cursor, after: &Cursor) {
        let phases = self.phases_within(job_id, began(self, self.current) - SLACK, self.now);
        let entries: Vec<&Entry> = phases.iter().filter_map(|phase| phase.entries.get(index)).collect();
        let is_limited =
            |entry: &&Entry| entry.limits.must_start.is_some() || entry.limits.finish_by.is_some();
        let is_new = |slot: Timestamp| Some(slot) > before.last && Some(slot) <= after.last;
        let is_open = after.watch.open.iter().any(|open| is_new(open.slot));
        if after.started > before.started && entries.iter().all(is_limited) && !is_open {
            self.audit
                .fail("a slot that is started is watched", format!("{job_id}: {before:?}, then {after:?}"));
        }
        self.pauses_rightly(job_id, &entries, before, after);
    }

    fn pauses_rightly(&mut self, job_id: &JobId, entries: &[&Entry], before: &Cursor, after: &Cursor) {
        if is_own(before) || !is_own(after) {
            return;
        }
        let Some(least) = entries.iter().filter_map(|entry| entry.limits.pause_after).min() else {
            return self.audit.fail("an entry is paused for its failures", format!("{job_id}: {after:?}"));
        };
        // Entries may share a run, and a sweeper that stood still may make one of a slot that others have passed.
        let is_of_it = |run: &&Run| {
            let key = run.keyed.as_ref().map(|keyed| keyed.key.clone()).unwrap_or_default();
            self.clocks.opened_by.contains(&(job_id.clone(), after.fingerprint.clone(), key))
        };
        let runs = self.starts_of(job_id).into_iter().filter(is_of_it);
        // A backfill's run may or may not have counted: only runs that surely did not are left out.
        let counts = |run: &&Run| is_bad(run) || !is_filled(run);
        let mut ends: Vec<(Timestamp, bool)> = runs.filter(counts).filter_map(end_of).collect();
        ends.sort_unstable();
        // Of ends that are close to each other, which was first?
        let is_sure = |at: Timestamp| !ends.iter().any(|(other, bad)| *bad && (*other - at).abs() < SLACK);
        let (mut streak, mut longest) = (0, 0);
        for (at, bad) in &ends {
            streak = match *bad {
                true => streak + 1,
                false if is_sure(*at) => 0,
                false => streak,
            };
            longest = longest.max(streak);
        }
        if longest < least {
            let detail = format!("{job_id} after {longest} of {least} failures in a row: {after:?}");
            self.audit.fail("an entry is paused for its failures", detail);
        }
    }

    /// Checks limits when all is over: every limit that was broken after the faults ended was reported.
    pub(super) fn limits_end(&mut self, job_id: &JobId, phases: &[(Phase, Timestamp)]) {
        let calm = BEGIN + CALM + SOON;
        let mut missing = None;
        for run in self.starts_of(job_id) {
            let Some((slot, key)) = slot_of(run).filter(|_| !is_filled(run)) else { continue };
            if !self.clocks.opened.contains(&(job_id.clone(), key.to_owned())) {
                // A sweeper that stood still or stopped made it, when others had passed its slot.
                continue;
            }
            let mut of = phases
                .iter()
                .filter(|(phase, end)| phase.from <= run.ts_dispatch && run.ts_dispatch - SLACK * 2 <= *end);
            // Which entry had it made?
            let (Some((phase, end)), None) = (of.next(), of.next()) else { continue };
            let mut entries = phase.entries.iter().filter(|entry| {
                let is_begun = slot > entry.put + SLACK && slot + entry.jitter > entry.anchor + SLACK;
                entry.is_due(slot) && entry.key(slot) == key && is_begun
            });
            let (Some(entry), None) = (entries.next(), entries.next()) else { continue };
            let meant = slot + entry.jitter;
            let limits = [
                (LimitKind::MustStart, entry.limits.must_start),
                (LimitKind::FinishBy, entry.limits.finish_by),
            ];
            for (limit, by) in limits.into_iter().filter_map(|(limit, span)| Some((limit, meant + span?))) {
                let by_then = by.max(calm).max(run.ts_dispatch) + SOON;
                let is_kept = match limit {
                    LimitKind::MustStart => began_by(run, by + SLACK),
                    _ => ended_by(run, by + SLACK),
                };
                if is_kept || by_then >= *end || self.in_gap(by, by_then) {
                    continue;
                }
                let realm = &self.realm.fields.realm;
                let name = format!("late:{}:{}:{key}", limit.field(), by.timestamp_micros());
                let alert = RunKey::root(RunId::from_key(realm, job_id, &name));
                if self.runs.get(&alert).is_none() {
                    missing.get_or_insert(format!("{} of {job_id}, {limit:?} by {by}: {run:?}", run.key));
                }
            }
        }
        if let Some(missing) = missing {
            self.audit.fail("each broken limit is reported", missing);
        }
        for (phase, end) in phases {
            self.pauses_in_time(job_id, phase, *end);
        }
    }

    /// Nothing is started by an entry that failed too often.
    fn pauses_in_time(&mut self, job_id: &JobId, phase: &Phase, end: Timestamp) {
        let [entry] = &phase.entries[..] else { return };
        let Some(most) = entry.limits.pause_after else { return };
        let from = phase.from.max(BEGIN + CALM) + SOON;
        let runs: Vec<&Run> = self
            .starts_of(job_id)
            .into_iter()
            .filter(|run| {
                slot_of(run).is_some_and(|(slot, key)| entry.is_due(slot) && entry.key(slot) == key)
            })
            .collect();
        if runs.iter().any(|run| is_filled(run)) {
            return;
        }
        let ends: Vec<(Timestamp, bool)> = {
            // A success always breaks a row, be it of a run from before.
            let counted = runs.iter().filter(|run| {
                let is_new =
                    run.ts_dispatch >= from && slot_of(run).is_some_and(|(slot, _)| slot > entry.anchor);
                is_new || run.status == Status::Complete
            });
            let mut ends: Vec<_> = counted.filter_map(|run| end_of(run)).collect();
            ends.sort_unstable();
            ends
        };
        let (mut streak, mut paused) = (0, None);
        for (at, bad) in ends {
            streak = if bad { streak + 1 } else { 0 };
            if streak >= most {
                paused.get_or_insert(at + SOON);
            }
        }
        let Some(paused) = paused.filter(|paused| !self.in_gap(from, *paused)) else { return };
        let started = runs.iter().find(|run| run.ts_dispatch > paused && run.ts_dispatch < end - SOON);
        if let Some(run) = started {
            let detail =
                format!("{job_id}: {} is started, though it failed {most} times by {paused}", run.key);
            self.audit.fail("an entry that failed too often is paused", detail);
        }
    }
}

/// Whether a cursor was paused for its failures.
fn is_own(cursor: &Cursor) -> bool {
    matches!(&cursor.state, State::Paused { by, .. } if by == PAUSED_BY)
}

/// The one entry that a job always had, if so.
fn one_entry(phases: &[Phase]) -> Option<&Entry> {
    let first = phases.iter().flat_map(|phase| phase.entries.iter()).next()?;
    let is_one = |phase: &Phase| phase.entries.len() == 1 && phase.entries[0].limits == first.limits;
    phases.iter().all(is_one).then_some(first)
}

/// Whether a backfill made the run of a slot that was missing, be it that the clock had long passed it.
fn is_filled(run: &Run) -> bool {
    run.scheduled.as_ref().is_some_and(|scheduled| scheduled.backfill.is_some())
}

fn slot_of(run: &Run) -> Option<(Timestamp, &str)> {
    Some((run.scheduled.as_ref()?.slot, run.keyed.as_ref()?.key.as_str()))
}

fn began_by(run: &Run, by: Timestamp) -> bool {
    run.ts_start.is_some_and(|start| start <= by) || is_called_off(run, by)
}

fn ended_by(run: &Run, by: Timestamp) -> bool {
    let has_ended = run.ts_start.is_some() && run.status.is_end() && run.ts_end.is_some_and(|end| end <= by);
    has_ended || is_called_off(run, by)
}

fn is_called_off(run: &Run, by: Timestamp) -> bool {
    run.status == Status::Cancelled && run.ts_end.is_some_and(|end| end <= by)
}

fn is_bad(run: &Run) -> bool {
    matches!(run.status, Status::Failed | Status::Rejected)
}

/// When a run ended, and whether badly; `None` for one that counts neither way.
fn end_of(run: &Run) -> Option<(Timestamp, bool)> {
    let counts = is_bad(run) || run.status == Status::Complete;
    run.ts_end.filter(|_| counts).map(|end| (end, is_bad(run)))
}

/// When the last phase of a job ends.
pub(super) fn over() -> Timestamp {
    BEGIN + TimeDelta::seconds(LASTS.cast_signed())
}
