//! The record of a job's schedule, and the outcome of one look at it: pure rules.

use chrono::{SubsecRound, TimeDelta};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::cron::Slot;
use super::cursor::{Cursor, Missed, State, told_of};
use super::early::{Ahead, Pending};
use super::entry::Entry;
use super::limits::{Judge, Runs};
use super::planned::{BadEntry, JobSchedule, PlannedEntry};
use super::superseded::Superseded;
use super::watch::{Alert, MAX_ALERTS, MAX_PASSED, SlotOutcome};
use crate::Timestamp;
use crate::hosts::Hosts;
use crate::ids::{HostId, JobId};
use crate::request::schedule_key;

/// An entry that starts its job as soon as it is seen does not where its first slot comes within so much time.
const SOON: TimeDelta = TimeDelta::seconds(2);

/// How far a job's schedule has come: a cursor for each entry. One record for a job, so that an edit of the schedule, a
/// pause and a start are each one write.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Timetable {
    /// The job.
    #[serde(deserialize_with = "JobId::deserialize_stored")]
    pub job_id: JobId,
    /// How often the record was written; the store raises it by one with each change.
    pub rev: u64,
    /// When it must be looked at; `None` when there is nothing to come.
    #[serde(
        default,
        with = "chrono::serde::ts_microseconds_option",
        skip_serializing_if = "Option::is_none"
    )]
    pub due_at: Option<Timestamp>,
    /// When the job's spec was changed last, if there was no look since then.
    #[serde(
        default,
        with = "chrono::serde::ts_microseconds_option",
        skip_serializing_if = "Option::is_none"
    )]
    pub changed: Option<Timestamp>,
    /// How the job was before, where it was changed more than once since the last look, in order.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub superseded: Vec<Superseded>,
    /// The schedule as the spec had it when it was looked at last, as a digest.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub spec: Option<String>,
    /// What the realm and the environment said about schedules when it was looked at last, as a
    /// [`rules_of`](super::rules_of).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rules: Option<String>,
    /// One for each entry, in the order of the spec.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub cursors: Vec<Cursor>,
}

/// A run that is due.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Start {
    /// The place of its entry in the schedule.
    pub entry: usize,
    /// Its slot.
    pub slot: Slot,
    /// The slot before.
    pub previous: Option<Timestamp>,
    /// When it is to start: its slot, and the entry's jitter.
    pub at: Timestamp,
    /// Slots that were missed up to this one.
    pub missed: Option<Missed>,
    /// The idempotency key of its request.
    pub key: String,
    /// The host that it is for alone, where the entry starts the job on each.
    pub host: Option<HostId>,
}

/// The outcome of one look at a timetable.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Looked {
    /// The record once that is done; without cursors it is to be removed.
    pub next: Timetable,
    /// The runs to make.
    pub starts: Vec<Start>,
    /// Keys of runs that were made ahead of their time and are no longer wanted.
    pub withdrawn: Vec<String>,
    /// Entries that missed too much and start nothing until they are resumed.
    pub halted: Vec<usize>,
    /// Limits that were broken, as the record had it: their alerts are to be made before the next one is written.
    pub alerts: Vec<Alert>,
    /// Entries with more open slots than are kept, and how many were given up.
    pub given_up: Vec<(usize, u32)>,
    /// Whether the next record is to be looked at at once.
    pub again: bool,
}

impl Timetable {
    /// A timetable before the first look, of a job whose spec was put at a time.
    #[must_use]
    pub fn new(job_id: JobId, changed: Timestamp) -> Self {
        Self {
            job_id,
            rev: 1,
            due_at: Some(changed),
            changed: Some(changed),
            superseded: Vec::new(),
            spec: None,
            rules: None,
            cursors: Vec::new(),
        }
    }

    /// Whether it must be looked at by the realm as it is stored now, and not as it was read a while ago: the job or the
    /// realm was changed since the last look, or that look went by other rules.
    #[must_use]
    pub fn needs_new_realm(&self, rules: &str) -> bool {
        self.changed.is_some() || self.rules.as_deref() != Some(rules)
    }

    /// To be looked at, as the job's spec was changed.
    #[must_use]
    pub fn touched(&self, at: Timestamp) -> Self {
        Self { rev: self.rev + 1, due_at: Some(at), changed: Some(at), ..self.clone() }
    }

    /// To be looked at, as a run of the job ended. An earlier read by a sweeper is outdated.
    #[must_use]
    pub fn hurried(&self, at: Timestamp) -> Self {
        let due_at = self.due_at.map_or(at, |due| due.min(at));
        Self { rev: self.rev + 1, due_at: Some(due_at), ..self.clone() }
    }

    /// Whether an entry has no next slot, as one that starts with the service has none.
    #[must_use]
    pub fn lacks_next(&self) -> bool {
        self.cursors.iter().any(|cursor| cursor.next.is_none())
    }

    /// How many alerts the next look has made.
    #[must_use]
    pub fn alerts(&self) -> usize {
        self.cursors.iter().map(|cursor| cursor.watch.alerts.len()).sum()
    }

    /// The idempotency keys of the runs by which limits are judged at a time.
    #[must_use]
    pub fn asks_for(&self, now: Timestamp) -> Vec<&str> {
        let mut keys: Vec<&str> = self.cursors.iter().flat_map(|cursor| cursor.watch.asks_for(now)).collect();
        keys.sort_unstable();
        keys.dedup();
        keys
    }

    /// The outcome of a look at a time, and at the times up to `ahead` after it. Limits are left as they are.
    #[must_use]
    pub fn look(&self, plan: &JobSchedule, now: Timestamp, ahead: TimeDelta) -> Looked {
        self.look_with(plan, None, now, ahead)
    }

    /// The same, with limits judged by the runs that [`asks_for`](Self::asks_for) named.
    #[must_use]
    pub fn look_with(
        &self,
        plan: &JobSchedule,
        runs: Option<&Runs>,
        now: Timestamp,
        ahead: TimeDelta,
    ) -> Looked {
        let mut looked = self.looked_at(plan);
        let changed = self.changed.map_or(now, |changed| changed.min(now));
        let current = self.caught_up(plan, now);
        let mut before = current.matched(plan);
        let paused = current.paused_as_a_whole();
        for (index, planned) in plan.entries.iter().enumerate() {
            let known = before.get_mut(index).and_then(Option::take);
            let (cursor, due) = match planned {
                Ok(planned) => {
                    let is_changed = self.changed.is_some();
                    let entry = OneEntry::new(plan, (index, planned), &paused, now);
                    let entry = OneEntry { is_changed, runs, ahead, ..entry };
                    let cursor = entry.look(known, changed, &mut looked);
                    let limit = cursor.watch.due_at(&cursor, planned);
                    // Runs are made ahead of their time, and limits judged after it.
                    let limit = limit.map(|limit| limit + ahead);
                    looked.next.due_at = looked.next.due_at.into_iter().chain(limit).min();
                    let due = cursor.due_at(planned.jitter);
                    (cursor, due)
                }
                Err(error) => (looked.out_of_use(known, (changed, now), error), None),
            };
            looked.next.due_at = looked.next.due_at.into_iter().chain(due).min();
            looked.next.cursors.push(cursor);
        }
        // The rest belongs to entries that were removed.
        for mut gone in before.into_iter().flatten() {
            looked.withdraw(&mut gone, now);
        }
        looked
    }

    /// The outcome for a job that has no schedule any more, or is gone.
    #[must_use]
    pub fn ended(&self, now: Timestamp) -> Looked {
        self.look(&JobSchedule::none(), now, TimeDelta::zero())
    }

    /// The outcome for a job whose spec cannot be read: nothing happens until it can, and it has no slots of that time.
    #[must_use]
    pub fn unreadable(&self, why: &str, now: Timestamp, again: Timestamp) -> Looked {
        let mut looked = Looked::new(self.clone());
        let mut cursors: Vec<Cursor> = Vec::with_capacity(self.cursors.len());
        for known in &self.cursors {
            let mut cursor = Cursor { trouble: Some(why.to_owned()), lapsed: true, ..known.clone() };
            looked.stop(&mut cursor, now);
            cursors.push(cursor);
        }
        if cursors.is_empty() {
            let fresh = Cursor::unusable(self.changed.unwrap_or(again));
            cursors.push(Cursor { trouble: Some(why.to_owned()), ..fresh });
        }
        // A later change counts from itself. That the job was gone before is still to be seen.
        let was_gone = self.superseded.iter().any(|one| one.job.is_none());
        let superseded = was_gone.then_some(Superseded { since: now, job: None }).into_iter().collect();
        let (rev, due_at) = (self.rev + 1, Some(again));
        looked.next = Self { rev, due_at, changed: None, superseded, cursors, ..self.clone() };
        looked
    }

    /// The next record at the beginning of a look at a schedule: it knows the schedule, and has no entries yet.
    pub(super) fn looked_at(&self, plan: &JobSchedule) -> Looked {
        Looked::new(Self {
            rev: self.rev + 1,
            due_at: None,
            changed: None,
            superseded: Vec::new(),
            spec: plan.spec.clone(),
            rules: plan.rules.clone(),
            cursors: Vec::new(),
            ..self.clone()
        })
    }

    /// The pause of a job all of whose entries are paused.
    pub(super) fn paused_as_a_whole(&self) -> State {
        let is_paused = |cursor: &Cursor| matches!(cursor.state, State::Paused { .. });
        let first = self.cursors.first().filter(|_| self.cursors.iter().all(is_paused));
        first.map_or(State::Active, |first| first.state.clone())
    }
}

impl Timetable {
    /// Notes that starts of one slot were refused, before the record of the look is written: the reasons stay until the
    /// entry's next start. A slot that has no run on another host either does not count for `max_runs`.
    pub fn refuse(&mut self, plan: &JobSchedule, refused: &[(Start, String)], has_run: bool) {
        let Some((first, _)) = refused.first() else { return };
        let (Some(cursor), Some(Ok(planned))) =
            (self.cursors.get_mut(first.entry), plan.entries.get(first.entry))
        else {
            return;
        };
        for (start, why) in refused {
            cursor.watch.refuse(&start.key, why);
            cursor.ahead.retain(|made| made.key != start.key);
            cursor.trouble = Some(why.clone());
        }
        if has_run {
            return;
        }
        cursor.started = cursor.started.saturating_sub(1);
        cursor.at_once = cursor.at_once.filter(|came| *came != first.slot.at);
        if cursor.next.is_none() {
            let after = cursor.last.map_or(first.slot.at, |last| last.max(first.slot.at));
            cursor.next = planned.entry(cursor.since).next(after).map(|slot| slot.at);
            let due = cursor.due_at(planned.jitter);
            self.due_at = self.due_at.into_iter().chain(due).min();
        }
    }
}

impl Looked {
    pub(super) const fn new(next: Timetable) -> Self {
        Self {
            next,
            starts: Vec::new(),
            withdrawn: Vec::new(),
            halted: Vec::new(),
            alerts: Vec::new(),
            given_up: Vec::new(),
            again: false,
        }
    }

    /// Takes back what was started ahead by an entry, and has the runs cancelled.
    pub(super) fn withdraw(&mut self, cursor: &mut Cursor, now: Timestamp) {
        self.withdrawn.extend(cursor.take_back(now));
    }

    /// Takes back all that an entry was to start, and forgets the rest: nothing else looks at it while it cannot be used.
    fn stop(&mut self, cursor: &mut Cursor, now: Timestamp) {
        cursor.withdraw_all(now);
        cursor.forget_due(now);
        self.withdraw(cursor, now);
        cursor.ahead.clear();
    }

    /// The cursor of an entry that cannot be used from a change on.
    pub(super) fn out_of_use(
        &mut self,
        known: Option<Cursor>,
        (changed, now): (Timestamp, Timestamp),
        why: &BadEntry,
    ) -> Cursor {
        let mut cursor = known.unwrap_or_else(|| Cursor::unusable(changed));
        self.stop(&mut cursor, now);
        Cursor { trouble: Some(why.to_string()), next: None, ..cursor }
    }
}

/// One entry as it is looked at.
pub(super) struct OneEntry<'a> {
    pub(super) index: usize,
    /// How many entries there are.
    pub(super) of: usize,
    pub(super) planned: &'a PlannedEntry,
    pub(super) enabled: bool,
    /// Whether the job or the realm was changed since the last look.
    pub(super) is_changed: bool,
    /// The hosts of the job's worker.
    pub(super) hosts: &'a Hosts,
    /// Paused, where all the entries are that the job had; else active.
    pub(super) paused: &'a State,
    /// The digest of the job and the realm, where runs are made ahead.
    pub(super) made_by: &'a Option<String>,
    /// The runs by which limits are judged; `None` where they are not.
    pub(super) runs: Option<&'a Runs>,
    pub(super) now: Timestamp,
    pub(super) ahead: TimeDelta,
}

impl<'a> OneEntry<'a> {
    /// An entry of a schedule as it is seen after a change: no limits are judged, and no runs made ahead.
    pub(super) fn new(
        plan: &'a JobSchedule,
        (index, planned): (usize, &'a PlannedEntry),
        paused: &'a State,
        now: Timestamp,
    ) -> Self {
        Self {
            index,
            of: plan.entries.len(),
            planned,
            enabled: plan.enabled,
            is_changed: true,
            hosts: &plan.hosts,
            paused,
            made_by: &plan.made_by,
            runs: None,
            now,
            ahead: TimeDelta::zero(),
        }
    }

    /// Its cursor afterwards, with what is due of it.
    fn look(&self, known: Option<Cursor>, changed: Timestamp, looked: &mut Looked) -> Cursor {
        let now = self.planned.begun_by(self.now);
        let (mut cursor, is_new) = self.seen(known, changed, looked);
        if let Some(runs) = self.runs {
            let (planned, since) = (self.planned, changed);
            let judge = Judge { entry: self.index, planned, runs, since, now: self.now };
            let known = std::mem::take(&mut cursor.watch.alerts);
            looked.alerts.extend(known.into_iter().map(|alert| Alert { entry: self.index, ..alert }));
            if looked.next.alerts() < MAX_ALERTS {
                cursor.watch.alerts = judge.look(&mut cursor);
            }
            if matches!(cursor.state, State::Paused { .. }) {
                looked.withdraw(&mut cursor, self.now);
            }
        }
        looked.starts.extend(self.named(&mut cursor));
        let entry = self.planned.entry(cursor.since);
        let mut starts = Vec::new();
        if is_new && self.planned.spec.run_now && cursor.state == State::Active {
            starts.extend(self.start_at_once(&cursor));
        }
        let came = starts.first().map(|start: &Start| start.at);
        let before = cursor.last;
        let mut missed = None;
        if let Some(halted) = self.halted_without_hosts(&cursor, &entry, !starts.is_empty()) {
            looked.halted.push(self.index);
            return halted;
        }
        if let Some(due) = cursor.due(&entry, self.planned.missing, now, self.ahead) {
            if due.cursor.state == State::Halted {
                looked.halted.push(self.index);
            }
            starts.extend(self.starts(&cursor, due.start, due.missed.clone()));
            cursor = due.cursor;
            missed = due.missed;
        }
        if !starts.is_empty() {
            cursor.trouble = None;
        }
        let mut cursor = self.counted(cursor, &mut starts);
        self.place(&mut cursor, &mut starts);
        if came.is_some_and(|came| starts.first().is_some_and(|start| start.at == came)) {
            cursor.at_once = came;
        }
        for start in &mut starts {
            start.key = cursor.key_for(&start.key);
        }
        cursor.ahead.extend(self.made_ahead(before, &starts));
        cursor.ahead.retain(|made| made.at > self.now);
        self.open(&mut cursor, &starts, missed, looked);
        looked.starts.extend(starts);
        cursor
    }

    /// Opens the slots that are started, and the last that was missed for good: of many, one alert is enough.
    fn open(&self, cursor: &mut Cursor, starts: &[Start], missed: Option<Missed>, looked: &mut Looked) {
        if let Some(missed) = missed.filter(|_| !self.is_over(cursor)) {
            self.open_missed(cursor, starts, &missed);
        }
        for start in starts {
            cursor.watch.begin(self.planned, start, SlotOutcome::Started);
        }
        let given_up = cursor.watch.bound(self.of);
        if given_up > 0 {
            looked.given_up.push((self.index, given_up));
        }
    }

    fn open_missed(&self, cursor: &mut Cursor, starts: &[Start], missed: &Missed) {
        if !self.planned.has_limits() {
            return;
        }
        let is_started = |slot: Timestamp| starts.iter().any(|start| start.slot.at == slot);
        let entry = self.planned.entry(cursor.since);
        let start = |slot: Slot| {
            let previous = entry.previous(slot.at).map(|slot| slot.at);
            Start::new(self.planned, self.index, slot, previous, None)
        };
        let early = (missed.count as usize).saturating_sub(MAX_PASSED + 1);
        let passed = entry.slots(missed.from - TimeDelta::seconds(1)).skip(early).take(MAX_PASSED);
        for slot in passed.filter(|slot| slot.at < missed.to && !is_started(slot.at)) {
            cursor.watch.begin(self.planned, &start(slot), SlotOutcome::Passed);
        }
        if !is_started(missed.to) {
            let local = missed.to.with_timezone(&self.planned.zone).naive_local();
            let slot = Slot { at: missed.to, local, change: None, moved_from: None };
            let more =
                if missed.count > 1 { format!(", {} slots in all", missed.count) } else { String::new() };
            let why = format!("it was missed, as nothing looked at the clock then{more}");
            cursor.watch.begin(self.planned, &start(slot), SlotOutcome::Missed(why));
        }
    }

    /// The starts that the record names already and whose runs are to be made now.
    fn named(&self, cursor: &mut Cursor) -> Vec<Start> {
        let start = |made: &mut Ahead| {
            let Pending { previous, missed, host } = made.pending.take()?;
            let at = made.slot();
            let local = at.with_timezone(&self.planned.zone).naive_local();
            let slot = Slot { at, local, change: None, moved_from: None };
            let (entry, key) = (self.index, made.key.clone());
            Some(Start { entry, slot, previous, at: made.at, missed, key, host })
        };
        cursor.ahead.iter_mut().filter_map(start).collect()
    }

    /// The starts as the record keeps them until their time; `last` is the last slot before them.
    fn made_ahead(&self, last: Option<Timestamp>, starts: &[Start]) -> Vec<Ahead> {
        let (mut after, mut current) = (last, None);
        let made = |start: &Start| {
            if current != Some(start.slot.at) {
                after = current.or(after);
                current = Some(start.slot.at);
            }
            let slot = (start.slot.at != start.at).then_some(start.slot.at);
            let made_by = self.made_by.clone();
            Ahead { at: start.at, key: start.key.clone(), slot, after, made_by, pending: None }
        };
        starts.iter().map(made).collect()
    }

    /// Whether it has made all the starts that it may.
    pub(super) fn is_over(&self, cursor: &Cursor) -> bool {
        self.planned.spec.max_runs.is_some_and(|max| cursor.started >= max.as_u32())
    }

    /// The cursor with the starts counted, as many as the entry may have, and those that are still to come.
    fn counted(&self, mut cursor: Cursor, starts: &mut Vec<Start>) -> Cursor {
        if let Some(max) = self.planned.spec.max_runs {
            starts.truncate(max.as_u32().saturating_sub(cursor.started) as usize);
        }
        let count = u32::try_from(starts.len()).unwrap_or(u32::MAX);
        cursor.started = cursor.started.saturating_add(count);
        if self.is_over(&cursor) {
            cursor.next = None;
        }
        cursor
    }

    /// The cursor, halted where it is, of an entry that has something to start on each host, where that cannot be.
    fn halted_without_hosts(&self, cursor: &Cursor, entry: &Entry, starts_at_once: bool) -> Option<Cursor> {
        let Hosts::Never(why) = self.hosts else { return None };
        let now = self.planned.begun_by(self.now);
        let is_due = || cursor.due(entry, self.planned.missing, now, self.ahead).is_some();
        let wants = self.planned.is_for_all_nodes() && (starts_at_once || is_due());
        wants.then(|| Cursor { state: State::Halted, trouble: Some(why.clone()), ..cursor.clone() })
    }

    /// Where the entry starts its job on each host: a start for each that is alive.
    fn place(&self, cursor: &mut Cursor, starts: &mut Vec<Start>) {
        if !self.planned.is_for_all_nodes() {
            return;
        }
        match self.hosts {
            Hosts::Alive(hosts) => {
                let everywhere = |start: Start| hosts.iter().map(move |host| start.on(host));
                *starts = std::mem::take(starts).into_iter().flat_map(everywhere).collect();
            }
            Hosts::Gone(why) => {
                for start in starts.drain(..) {
                    cursor.watch.begin(self.planned, &start, SlotOutcome::Missed(why.clone()));
                    cursor.trouble = Some(why.clone());
                }
            }
            Hosts::Single | Hosts::Never(_) => {}
        }
    }

    fn starts(&self, before: &Cursor, slots: Vec<Slot>, missed: Option<Missed>) -> Vec<Start> {
        let entry = self.planned.entry(before.since);
        let told = told_of(missed, &entry, &slots, self.planned.begun_by(self.now));
        let mut last = before.last;
        let start = |(slot, missed): (Slot, Option<Missed>)| {
            // Mostly it is the one that was started before: that takes no search.
            let follows = |last: &Timestamp| entry.next(*last).is_some_and(|next| next.at == slot.at);
            let previous = last.filter(follows).or_else(|| entry.previous(slot.at).map(|slot| slot.at));
            last = Some(slot.at);
            Start::new(self.planned, self.index, slot, previous, missed)
        };
        slots.into_iter().zip(told).map(start).collect()
    }

    /// The one start of an entry that is seen for the first time, unless one followed in a moment anyway.
    fn start_at_once(&self, cursor: &Cursor) -> Option<Start> {
        let is_soon = cursor.next.is_some_and(|next| self.planned.start_of(next) <= cursor.since + SOON);
        (!is_soon).then(|| Start::at_once(self.planned, self.index, cursor.since, cursor.since))
    }
}

impl Start {
    fn new(
        planned: &PlannedEntry,
        entry: usize,
        slot: Slot,
        previous: Option<Timestamp>,
        missed: Option<Missed>,
    ) -> Self {
        let given = |given: &Option<Map<String, Value>>| given.clone().map(Value::Object);
        let (parameters, globals) = (given(&planned.spec.parameters), given(&planned.spec.globals));
        let key = schedule_key(slot.at, None, parameters.as_ref(), globals.as_ref());
        Self { entry, at: planned.start_of(slot.at), slot, previous, missed, key, host: None }
    }

    /// The same for one host alone.
    #[must_use]
    pub fn on(&self, host: &HostId) -> Self {
        Self { key: format!("{}@{host}", self.key), host: Some(host.clone()), ..self.clone() }
    }

    /// A start of an entry at a time that it need not name; `since` is when the entry was first seen.
    #[must_use]
    pub fn at_once(planned: &PlannedEntry, entry: usize, since: Timestamp, now: Timestamp) -> Self {
        let at = now.trunc_subsecs(0);
        let local = at.with_timezone(&planned.zone).naive_local();
        let slot = Slot { at, local, change: None, moved_from: None };
        let previous = planned.entry(since).previous(at).map(|slot| slot.at);
        Self { at, ..Self::new(planned, entry, slot, previous, None) }
    }
}
