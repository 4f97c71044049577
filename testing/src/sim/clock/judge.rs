//! Invariants of the runs that the clock starts.

use std::sync::Arc;

use chrono::TimeDelta;
use pumice_core::Timestamp;
use pumice_core::clock::{Cursor, IN_TIME, State, Timetable};
use pumice_core::ids::{JobId, RunId, RunKey};
use pumice_core::ports::CommitError;
use pumice_core::request::{again_key, anew_key, slot_key};
use pumice_core::run::Run;
use pumice_core::spec::{Enabled, JobSpec};

use super::super::mutants::Mutant;
use super::super::world::{BEGIN, World};
use super::began;
use super::calendar::Entry;
use super::limits::over;

/// How far clocks are apart, at most, and how long calls take.
pub(super) const SLACK: TimeDelta = TimeDelta::seconds(60);
/// From then on nothing goes wrong.
pub(super) const CALM: TimeDelta = TimeDelta::hours(2);

/// A job's schedule from a time on.
#[derive(Clone, Debug)]
pub(crate) struct Phase {
    pub(super) from: Timestamp,
    pub(super) entries: Arc<Vec<Entry>>,
    pub(super) is_enabled: bool,
    is_paused: bool,
}

impl World {
    fn phase(&mut self, job_id: &JobId, next: impl FnOnce(Option<&Phase>) -> Phase) {
        let phases = self.clocks.phases.entry(job_id.clone()).or_default();
        let next = next(phases.last());
        phases.push(next);
    }

    pub(super) fn is_put(&mut self, job: &JobSpec) {
        let (from, realm) = (self.now, self.realm.clone());
        let is_enabled = job.fields.enabled != Enabled::Static(false);
        // Where runs are made ahead of their time, a schedule that was put and replaced between two looks was never there.
        let looked = self.clocks.looked.get(&job.fields.job_id).copied().unwrap_or(BEGIN);
        // So are two zones of the realm.
        let is_one = self.clocks.setup.ahead > 0 || self.clocks.zoned.is_some_and(|zoned| zoned >= looked);
        let known_from = if is_one { looked } else { from };
        let before = self.phases_within(&job.fields.job_id, known_from, from);
        let before: Vec<Entry> =
            before.iter().rev().flat_map(|phase| phase.entries.iter().cloned()).collect();
        self.phase(&job.fields.job_id, |last| {
            let mut entries = Entry::all(job, &realm, from, &before);
            // Where it may be that no look has seen the job as it was before, its slots may have gone on.
            if is_enabled && !is_one && last.is_some_and(|last| !last.is_enabled) {
                entries = entries.iter().map(|entry| entry.enabled(from)).collect();
            }
            let entries = Arc::new(entries);
            // A pause outlives an edit.
            let is_paused = last.is_some_and(|last| last.is_paused);
            Phase { from, entries, is_enabled, is_paused }
        });
    }

    pub(super) fn is_deleted(&mut self, job_id: &JobId) {
        let from = self.now;
        let ended = Phase { from, entries: Arc::default(), is_enabled: false, is_paused: false };
        self.phase(job_id, |_| ended);
    }

    pub(super) fn is_paused(&mut self, job_id: &JobId, until: Option<Timestamp>) {
        let from = self.now;
        let paused =
            |last: Option<&Phase>| Phase { from, is_paused: true, ..last.expect("it was put").clone() };
        self.phase(job_id, paused);
        // A pause ends without an act of any caller: later starts are judged by its end.
        self.clocks.pauses.insert(job_id.clone(), until);
    }

    /// Those of its entries that were paused or halted are resumed.
    pub(super) fn is_resumed(&mut self, job_id: &JobId, catch_up: bool, stopped: &[bool]) {
        let from = self.now;
        self.clocks.pauses.remove(job_id);
        self.phase(job_id, |last| {
            let last = last.expect("it was put").clone();
            let resumed = last.entries.iter().enumerate().map(|(index, entry)| {
                if stopped.get(index) == Some(&false) { entry.clone() } else { entry.anchored(from) }
            });
            let entries = if catch_up { last.entries.clone() } else { Arc::new(resumed.collect()) };
            Phase { from, entries, is_paused: false, ..last }
        });
    }

    /// The phases of a job that held at some time from one instant to another.
    pub(super) fn phases_within(&self, job_id: &JobId, from: Timestamp, to: Timestamp) -> Vec<Phase> {
        let phases = self.clocks.phases.get(job_id).map_or(&[][..], Vec::as_slice);
        let ends = phases.iter().skip(1).map(|next| next.from).chain([Timestamp::MAX_UTC]);
        let within = phases.iter().zip(ends).filter(|(phase, end)| phase.from <= to && *end >= from);
        within.map(|(phase, _)| phase.clone()).collect()
    }

    /// A run is made that a schedule started.
    pub(crate) fn is_started(&mut self, run: &Run) {
        let Some(scheduled) = run.scheduled.as_ref().filter(|_| !run.is_child()) else { return };
        if let Some(id) = &scheduled.backfill {
            self.is_filled(run, id, scheduled.slot);
            return;
        }
        let (task, now) = (self.current, self.now);
        if self.audit.stood_still_for(task) > TimeDelta::zero() {
            // It may have looked long ago: a host that stands still in the middle of a call notices nothing.
            return;
        }
        let from = began(self, task) - SLACK;
        let ahead = TimeDelta::seconds(self.clocks.setup.ahead.cast_signed());
        let paused_until = self.clocks.pauses.get(&run.job_id).copied().flatten();
        let phases = self.phases_within(&run.job_id, from, now);
        let slot = scheduled.slot;
        let key_of = |entry: &Entry, slot: Timestamp| match &run.host {
            Some(host) if entry.is_on_each => format!("{}@{host}", entry.key(slot)),
            _ => entry.key(slot),
        };
        let is_wanted = |phase: &Phase, entry: &Entry| {
            let due = slot + entry.jitter;
            let is_over = paused_until.is_some_and(|until| until <= now + SLACK && due >= until - SLACK);
            let lateness = now - due;
            let made_up_for = entry.made_up_for.is_some_and(|window| lateness <= window + SLACK);
            entry.is_due(slot)
                && key_of(entry, slot) == run.keyed.as_ref().map_or("", |keyed| slot_key(&keyed.key))
                && slot > entry.put - SLACK
                && due > entry.anchor - SLACK
                && due <= now + ahead + SLACK
                && (lateness <= IN_TIME + SLACK || made_up_for)
                && phase.is_enabled
                && (!phase.is_paused || is_over)
        };
        let is_wanted = phases.iter().any(|phase| phase.entries.iter().any(|entry| is_wanted(phase, entry)));
        if !is_wanted {
            let detail = format!("{} of {} for {slot} at {now}: {phases:?}", run.key, run.job_id);
            self.audit.fail("only slots of a schedule are started", detail);
        }
        let made = self.clocks.made.entry((task, run.job_id.clone())).or_default();
        *made += 1;
        let is_full = |phase: &Phase| phase.entries.iter().any(|entry| entry.is_full);
        if *made > 2 * (20 + 4) && !phases.iter().any(is_full) {
            self.audit
                .fail("slots made up for at once are bounded", format!("{made} runs of {}", run.job_id));
        }
    }

    /// The entries of a job now.
    pub(super) fn entries_now(&self, job_id: &JobId) -> Vec<Entry> {
        let last = self.clocks.phases.get(job_id).and_then(|phases| phases.last());
        last.map_or_else(Vec::new, |phase| phase.entries.to_vec())
    }

    /// Whether a job was edited, or paused, since a time.
    pub(super) fn is_edited_since(&self, job_id: &JobId, from: Timestamp) -> bool {
        self.phases_within(job_id, from, self.now).len() > 1
    }

    /// All entries that a job has had since a time.
    pub(super) fn entries_since(&self, job_id: &JobId, from: Timestamp) -> Vec<Entry> {
        let phases = self.phases_within(job_id, from, self.now);
        phases.iter().flat_map(|phase| phase.entries.iter().cloned()).collect()
    }

    fn has_run(&self, job_id: &JobId, entry: &Entry, slot: Timestamp) -> bool {
        if entry.is_on_each {
            return self.has_run_on_each(job_id, &entry.key(slot));
        }
        self.stands(job_id, &entry.key(slot))
    }

    /// Whether a start by the clock has a run that was not withdrawn before it began.
    pub(in crate::sim) fn stands(&self, job_id: &JobId, key: &str) -> bool {
        let run = |key: String| {
            let run_id = RunId::from_key(&self.realm.fields.realm, job_id, &format!("key:{key}"));
            self.runs.get(&RunKey::root(run_id))
        };
        // A withdrawn run has others after it: under a key that its timetable gave, or one that the dispatcher did.
        (0..5).map(|number| anew_key(key, number)).any(|key| {
            let mut all = (0..).map_while(|again| run(again_key(&key, again)));
            all.any(|run| !run.was_withdrawn())
        })
    }

    /// Writes how far a schedule has come.
    pub(crate) fn put_timetable(&mut self, mut timetable: Timetable) -> Result<(), CommitError> {
        let before = self.timetables.get(&timetable.job_id).cloned();
        if self.is(Mutant::StaleSweeper)
            && let Some(before) = &before
        {
            timetable.rev = before.rev + 1;
        }
        if self.is(Mutant::LapseForgotten) {
            timetable.cursors.iter_mut().for_each(|cursor| cursor.lapsed = false);
        }
        if self.is(Mutant::SlotLost) {
            let active = timetable.cursors.iter_mut().find(|cursor| cursor.state == State::Active);
            if let Some(cursor) = active.filter(|cursor| cursor.last.is_some()) {
                cursor.next = cursor.next.map(|next| next + TimeDelta::hours(1));
            }
        }
        let next = timetable.clone();
        self.timetables.put(timetable)?;
        let looked = self.clocks.looked.insert(next.job_id.clone(), self.now).unwrap_or(BEGIN);
        let meanwhile = self.phases_within(&next.job_id, looked, self.now);
        self.note(|| format!("  {} is due {:?}: {:?}", next.job_id, next.due_at, next.cursors));
        next.cursors.iter().for_each(|cursor| self.opens(&next.job_id, cursor));
        self.is_withdrawn(before.as_ref(), &next);
        // A job that was deleted meanwhile begins anew, and so does an entry that one of several edits had taken out.
        let was_gone = meanwhile.len() > 2 || meanwhile.iter().any(|phase| phase.entries.is_empty());
        let known = before.filter(|_| !was_gone).map_or_else(Vec::new, |before| before.cursors);
        let was_off = meanwhile.iter().any(|phase| !phase.is_enabled);
        for (index, cursor) in next.cursors.iter().enumerate() {
            let is_same = |known: &&Cursor| known.fingerprint == cursor.fingerprint;
            // Of two entries that are due at the same times, which is which?
            let mut others = known.iter().filter(is_same);
            let is_one = next.cursors.iter().filter(is_same).count() == 1;
            if let (Some(known), None, true) = (others.next(), others.next(), is_one) {
                self.moved(&next.job_id, index, (known, cursor), was_off);
            }
        }
        Ok(())
    }

    /// A cursor was moved from one to another; `was_off` where its job was not enabled since the look before.
    fn moved(&mut self, job_id: &JobId, index: usize, cursors: (&Cursor, &Cursor), was_off: bool) {
        let (before, after) = cursors;
        let goes_back = after.last < before.last || (after.next.is_some() && after.next < before.next);
        // A start that was made ahead of its time is taken back with the schedule that it was made by.
        let is_kept = |key: &str| after.ahead.iter().any(|made| made.key == key);
        let is_taken_back = before
            .ahead
            .iter()
            .any(|made| (made.pending.is_some() || made.at > self.now - SLACK) && !is_kept(&made.key));
        if goes_back && !is_taken_back {
            self.audit.fail("a cursor never goes back", format!("{job_id}: {before:?}, then {after:?}"));
        }
        self.is_watched(job_id, index, before, after);
        let Some(last) = after.last.filter(|last| Some(*last) > before.last) else { return };
        let phases = self.phases_within(job_id, began(self, self.current) - SLACK, self.now);
        let first = before.next.unwrap_or(last);
        let fits = |entry: &&Entry| entry.is_due(first) && entry.is_due(last);
        let entries: Vec<Entry> =
            phases.iter().filter_map(|phase| phase.entries.get(index).filter(fits).cloned()).collect();
        let is_right = |entry: &Entry| {
            let over = entry.max_runs.is_some_and(|max| u64::from(after.started) >= max);
            over || after.next == entry.next(last)
        };
        if !entries.iter().any(is_right) {
            let detail =
                format!("{job_id}: {after:?} after {last}; {:?}", entries.first().and_then(|e| e.next(last)));
            self.audit.fail("the next slot is the next", detail);
        }
        let in_time = self.now - IN_TIME + SLACK;
        // Slots that were due during a pause that is over, or before the job was enabled, are not made up for.
        let began_last = phases.last().map_or(self.now, |phase| phase.from + SLACK);
        let paused = match before.state {
            State::Paused { until: Some(until), .. } => until + SLACK,
            State::Disabled => began_last,
            _ => BEGIN - TimeDelta::days(1),
        };
        let paused = if was_off { paused.max(began_last) } else { paused };
        for entry in entries.iter().take(1).filter(|_| entries.iter().all(|entry| entry.max_runs.is_none())) {
            let mut slot = Some(first);
            while let Some(at) = slot.filter(|at| *at <= last) {
                let wanted = |entry: &Entry| {
                    let due = at + entry.jitter;
                    at > paused && (entry.is_full || due > in_time)
                };
                let wanted = entries.iter().all(wanted);
                let is_named = after.ahead.iter().any(|made| made.pending.is_some() && made.slot() == at);
                if wanted && !is_named && !entries.iter().any(|entry| self.has_run(job_id, entry, at)) {
                    let detail = format!("{job_id} has no run for {at}, but {after:?}");
                    self.audit.fail("a cursor passes no slot that is not started", detail);
                    return;
                }
                slot = entry.next(at);
            }
        }
    }

    /// Checks when all is over: every slot that was due after the faults ended has its run.
    pub(crate) fn clock_ends(&mut self) {
        self.fills_end();
        let slack = TimeDelta::minutes(4);
        let all: Vec<(JobId, Vec<Phase>)> = self.clocks.phases.clone().into_iter().collect();
        for (job_id, phases) in all {
            let ends: Vec<Timestamp> = phases.iter().skip(1).map(|next| next.from).chain([over()]).collect();
            let phases: Vec<(Phase, Timestamp)> = phases.into_iter().zip(ends).collect();
            self.limits_end(&job_id, &phases);
            for (phase, end) in phases {
                let (from, end) = (phase.from.max(BEGIN + CALM) + slack, end - slack);
                let halts = |entry: &Entry| {
                    let is_stopped = entry.max_runs.is_some() || entry.limits.pause_after.is_some();
                    is_stopped || !entry.is_full && entry.made_up_for.is_some()
                };
                // A pause outlives an edit of what it is for.
                let is_paused = self.clocks.own_pauses.get(&job_id).is_some_and(|paused| *paused < end);
                if !phase.is_enabled || phase.is_paused || is_paused || self.in_gap(from, end) {
                    continue;
                }
                for entry in phase.entries.iter().filter(|entry| !halts(entry)) {
                    let mut slot = entry.next(from.max(entry.anchor).max(entry.put));
                    while let Some(at) = slot.filter(|at| *at + entry.jitter <= end) {
                        if !self.has_run(&job_id, entry, at) {
                            self.audit
                                .fail("each slot that is wanted is started", format!("{job_id} at {at}"));
                            return;
                        }
                        slot = entry.next(at);
                    }
                }
            }
        }
    }

    pub(super) fn in_gap(&self, from: Timestamp, to: Timestamp) -> bool {
        let at = |seconds: u64| BEGIN + TimeDelta::seconds(seconds.cast_signed());
        self.clocks
            .setup
            .gap
            .is_some_and(|(begin, end)| at(begin) <= to && from <= at(end) + TimeDelta::minutes(4))
    }
}
