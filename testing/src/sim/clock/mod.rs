//! Jobs that the clock starts: their schedules are edited, paused and deleted while sweepers race, stop for hours and
//! have clocks that differ.

mod calendar;
mod fill;
mod judge;
mod limits;
mod withdrawn;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use chrono::TimeDelta;
use pumice_core::Timestamp;
use pumice_core::clock::{Cursor, JobSchedule, State, Timetable};
use pumice_core::ids::{JobId, RunKey};
use pumice_core::ports::{Doc, DuePlace, DueTimetables, StoredJob};
use pumice_core::spec::{JobSpec, RealmSpec};
use serde_json::{Value, json};

use self::fill::{Fill, Fills};
use self::judge::Phase;
use self::limits::Told;
use super::mutants::Mutant;
use super::runner::{Done, Runner};
use super::scenario::{Setup, short_nap};
use super::world::{BEGIN, Role, TaskId, What, World, lock};
use crate::prng::Prng;

/// How long a process may remember the realm's definition, as functions do.
const REMEMBERED: TimeDelta = TimeDelta::seconds(60);
/// How long the index of what is due shows a timetable as it was before it was touched, where runs are made ahead of their
/// time, as on AWS.
const LAG: TimeDelta = TimeDelta::seconds(2);
/// Most timetables of one page of that index.
const PAGE: usize = 1;
/// For how long jobs are started by the clock, in seconds.
const LASTS: u64 = 3 * 3_600 + 1_800;

/// An act on a schedule.
#[derive(Clone, Debug)]
pub(crate) enum Act {
    /// Puts a job, over one that may be there.
    Put(Value),
    /// Deletes a job.
    Delete(String),
    /// Pauses all entries of a job, for so many seconds or until they are resumed.
    Pause(String, Option<u64>),
    /// Resumes them; makes up for what was missed, or does not.
    Resume(String, bool),
    /// Asks for a backfill.
    Fill(Fill),
    /// Cancels the backfills of a job, or has them go on.
    ChangeFills(String, bool),
    /// Gives the realm another zone, or none.
    Zone(Option<&'static str>),
}

/// How the clock is looked at.
#[derive(Clone, Debug, Default)]
pub(crate) struct Clock {
    /// The acts on schedules, and their times in milliseconds.
    pub(crate) acts: Vec<(u64, Act)>,
    /// How far ahead runs are made, in seconds.
    pub(crate) ahead: u64,
    /// How often sweepers come, in seconds.
    pub(crate) period: u64,
    /// How many at the same time, at most.
    pub(crate) racing: u64,
    /// When none comes, in seconds.
    pub(crate) gap: Option<(u64, u64)>,
}

/// The audit's knowledge of schedules besides their timetables.
#[derive(Debug, Default)]
pub(crate) struct Clocks {
    pub(crate) setup: Clock,
    /// Each job's schedule, phase by phase.
    phases: BTreeMap<JobId, Vec<Phase>>,
    /// Until when each job that was paused last is.
    pauses: BTreeMap<JobId, Option<Timestamp>>,
    /// When each timetable was written last.
    looked: BTreeMap<JobId, Timestamp>,
    /// How many starts each sweep made of each job.
    made: BTreeMap<(TaskId, JobId), u32>,
    /// The audit's knowledge of backfills.
    fills: Fills,
    /// The alerts that were given.
    told: BTreeMap<Told, RunKey>,
    /// The keys of slots that timetables had as started.
    opened: BTreeSet<(JobId, String)>,
    /// The same with the fingerprints of their entries.
    opened_by: BTreeSet<(JobId, String, String)>,
    /// When each job was first paused for its failures.
    own_pauses: BTreeMap<JobId, Timestamp>,
    /// The realm before it got another zone, and until when a process may remember it.
    realm_before: Option<(Arc<RealmSpec>, Timestamp)>,
    /// When the realm got another zone last.
    zoned: Option<Timestamp>,
    /// The realm with its first zone.
    first_realm: Option<Arc<RealmSpec>>,
}

/// An entry of a schedule.
fn entry(prng: &mut Prng) -> Value {
    let mut entry = match prng.below(6) {
        0 => json!({ "every": prng.pick(&[290, 420, 3_600]), "from": "2026-11-01T00:00:00Z" }),
        1 => json!({ "crontab": prng.pick(&["*/10 * * * *", "*/20 * * * *"]) }),
        2 => json!({ "crontab": "*/20 * * * *", "timezone": "America/New_York" }),
        3 => json!({ "crontab": "30 1 * * *", "timezone": "America/New_York" }),
        4 => json!({ "crontab": "15,45 1 * * *", "timezone": "America/New_York" }),
        _ => json!({ "at": ["2026-11-01T05:00:00Z", "2026-11-01T05:00:01Z", "2026-11-01T07:30:10Z"] }),
    };
    match prng.below(5) {
        0 => entry["catch_up"] = json!("none"),
        1 => entry["catch_up"] = json!("all"),
        2 => {
            entry["catch_up"] = json!("all");
            entry["max"] = json!(100_000);
        }
        _ => {}
    }
    if prng.below(2) == 0 || entry["max"] == json!(100_000) {
        let days = if entry["max"] == json!(100_000) { 30 } else { prng.pick(&[0, 0, 30]) };
        entry["window"] = json!(if days > 0 { days * 86_400 } else { prng.pick(&[600, 7_200]) });
    }
    match prng.below(8) {
        0 | 1 => entry["jitter"] = json!(300),
        2 => entry["max_runs"] = json!(3),
        3 => entry["globals"] = json!({ "n": prng.below(2) }),
        _ => {}
    }
    entry
}

fn schedule(prng: &mut Prng) -> Value {
    let count = prng.within(1, 2);
    Value::Array((0..count).map(|_| entry(prng)).collect())
}

/// Jobs with schedules, which are edited, disabled, paused and deleted.
pub(crate) fn clock(prng: &mut Prng) -> Setup {
    let mut setup = Setup::default();
    let (ahead, period) = prng.pick(&[(0, 1), (0, 20), (90, 60)]);
    let mut clock = Clock { ahead, period, racing: prng.within(1, 3), ..Clock::default() };
    if prng.below(2) == 0 {
        let from = prng.within(0, 7_000);
        clock.gap = Some((from, from + prng.pick(&[70, 200, 3_000, 9_000])));
    }
    for _ in 0..prng.within(1, 2) {
        let mut document = short_nap(prng);
        let fail = prng.pick(&[0, 0, 40]);
        document["payload"] = json!({ "from": 0, "to": 500, "fail": fail, "panic": 0, "permanent": 0 });
        let id = setup.job(document);
        let mut document = setup.jobs.pop().unwrap_or_default();
        document["schedule"] = schedule(prng);
        if prng.below(2) == 0 {
            limits::give_limits(prng, &mut document);
        }
        let mut at = prng.within(0, 60_000);
        clock.acts.push((at, Act::Put(document.clone())));
        for _ in 0..prng.below(6) {
            at += prng.pick(&[1_000, 100_000, 1_000_000, 3_000_000]) + prng.below(60_000);
            if at >= (LASTS - 600) * 1_000 {
                break;
            }
            clock.acts.push((at, act(prng, &id, &mut document)));
        }
        fills(prng, &id, &mut clock);
        // Only its place is kept: jobs have ids by their number.
        setup.jobs.push(Value::Null);
        clock.acts.push((LASTS * 1_000, Act::Delete(id)));
    }
    setup.jobs.clear();
    // Last: the rest of a scenario stays as it was.
    zones(prng, &mut clock);
    come_back(prng, &mut clock);
    off_while_paused(prng, &mut clock);
    turn_off(prng, &mut clock);
    setup.clock = Some(clock);
    setup
}

/// Other zones of the realm, whose clocks are all put back in this night, and entries that go by them.
fn zones(prng: &mut Prng, clock: &mut Clock) {
    if prng.below(3) > 0 {
        return;
    }
    for (_, act) in &mut clock.acts {
        let Act::Put(document) = act else { continue };
        for entry in document["schedule"].as_array_mut().into_iter().flatten() {
            if let (true, Some(fields)) = (prng.below(4) > 0, entry.as_object_mut()) {
                fields.shift_remove("timezone");
            }
        }
    }
    let zone = |prng: &mut Prng| {
        prng.pick(&[None, Some("America/New_York"), Some("America/Chicago"), Some("America/Halifax")])
    };
    clock.acts.push((0, Act::Zone(zone(prng))));
    for _ in 0..prng.within(1, 4) {
        let at = prng.within(60_000, (LASTS - 600) * 1_000);
        clock.acts.push((at, Act::Zone(zone(prng))));
    }
}

/// A job that is deleted and put again while nothing looks at the clock.
fn come_back(prng: &mut Prng, clock: &mut Clock) {
    let is_long = |(from, to): &(u64, u64)| to - from >= 3_000 && *to < LASTS - 600;
    let Some((from, to)) = clock.gap.filter(is_long) else { return };
    let put = clock.acts.iter().find_map(|(_, act)| match act {
        Act::Put(document) => Some(document.clone()),
        _ => None,
    });
    let Some(mut document) = put.filter(|_| clock.ahead == 0 && from > 600 && prng.below(2) == 0) else {
        return;
    };
    let id = document["job_id"].as_str().map(str::to_owned).unwrap_or_default();
    document["enabled"] = json!(true);
    document["schedule"] =
        json!([{ "crontab": "*/10 * * * *", "catch_up": "all", "max": 100_000, "window": 30 * 86_400 }]);
    let act = if prng.below(2) == 0 {
        Act::Delete(id)
    } else {
        let mut off = document.clone();
        off["enabled"] = json!(false);
        Act::Put(off)
    };
    clock.acts.push(((from - 500) * 1_000, Act::Put(document.clone())));
    clock.acts.push(((from + 100) * 1_000, act));
    clock.acts.push(((to - 100) * 1_000, Act::Put(document)));
}

/// A job that is not enabled for a while in the midst of a pause, and then makes up for what it missed.
fn off_while_paused(prng: &mut Prng, clock: &mut Clock) {
    let put = clock.acts.iter().find_map(|(_, act)| match act {
        Act::Put(document) => Some(document.clone()),
        _ => None,
    });
    let Some(mut document) = put.filter(|_| clock.ahead == 0 && prng.below(4) == 0) else { return };
    let id = document["job_id"].as_str().map(str::to_owned).unwrap_or_default();
    document["enabled"] = json!(true);
    document["schedule"] =
        json!([{ "crontab": "*/10 * * * *", "catch_up": "all", "max": 100_000, "window": 30 * 86_400 }]);
    let mut off = document.clone();
    off["enabled"] = json!(false);
    let begin = prng.within(300, 8_000);
    let until = prng.pick(&[None, Some(900), Some(2_700)]);
    let back = prng.within(1_000, 3_000);
    for (seconds, act) in [
        (0, Act::Put(document.clone())),
        (120, Act::Pause(id.clone(), until)),
        (240, Act::Put(off)),
        (240 + back, Act::Put(document)),
        (240 + back + 120, Act::Resume(id, true)),
    ] {
        clock.acts.push(((begin + seconds) * 1_000, act));
    }
}

/// A job that is disabled when a run of it was made ahead, before the next sweep comes.
fn turn_off(prng: &mut Prng, clock: &mut Clock) {
    let put = clock.acts.iter().find_map(|(_, act)| match act {
        Act::Put(document) => Some(document.clone()),
        _ => None,
    });
    let Some(mut document) = put.filter(|_| clock.ahead > 0 && prng.below(2) == 0) else { return };
    document["enabled"] = json!(true);
    document["schedule"] = json!([{ "crontab": "*/10 * * * *" }]);
    let mut off = document.clone();
    off["enabled"] = json!(false);
    let slot = 600 * prng.within(15, 19);
    let before = prng.within(35, 50);
    clock.acts.push(((slot - 300) * 1_000, Act::Put(document)));
    clock.acts.push(((slot - before) * 1_000, Act::Put(off)));
}

/// Backfills of a job, which are cancelled and go on.
fn fills(prng: &mut Prng, id: &str, clock: &mut Clock) {
    for _ in 0..prng.below(3) {
        let at = prng.within(60_000, (LASTS - 1_800) * 1_000);
        clock.acts.push((at, Act::Fill(fill::fill(prng, id))));
        if prng.below(3) == 0 {
            let at = at + prng.pick(&[100, 3_000, 60_000]);
            clock.acts.push((at, Act::ChangeFills(id.to_owned(), false)));
            if prng.below(2) == 0 {
                clock.acts.push((at + 600_000, Act::ChangeFills(id.to_owned(), true)));
            }
        }
    }
}

fn act(prng: &mut Prng, id: &str, document: &mut Value) -> Act {
    match prng.below(6) {
        0 => Act::Pause(id.to_owned(), prng.pick(&[None, Some(300), Some(3_000)])),
        1 | 2 => Act::Resume(id.to_owned(), prng.below(3) == 0),
        3 => {
            document["enabled"] = json!(prng.below(2) == 0);
            Act::Put(document.clone())
        }
        _ => {
            document["schedule"] = schedule(prng);
            limits::limit_entries(prng, document);
            Act::Put(document.clone())
        }
    }
}

impl Runner {
    /// Has the acts about schedules, and the sweeps, happen at their times. Gives how many acts there are.
    pub(super) fn begin_clock(world: &mut World, clock: Clock) -> usize {
        let count = clock.acts.len();
        for (index, (at, _)) in clock.acts.iter().enumerate() {
            world.schedule(BEGIN + TimeDelta::milliseconds(at.cast_signed()), What::Act(index));
        }
        world.schedule(BEGIN, What::Strike);
        world.clocks.setup = clock;
        count
    }

    /// An operator changes a schedule.
    pub(super) fn act(&mut self, index: usize) {
        self.to_come -= 1;
        let mut world = lock(&self.world);
        let act = world.clocks.setup.acts[index].1.clone();
        world.note(|| format!("{act:?}"));
        match &act {
            Act::Fill(fill) => {
                drop(world);
                return self.begin_fill(fill);
            }
            Act::ChangeFills(id, resume) => {
                drop(world);
                return self.change_fills(id, *resume);
            }
            _ => {}
        }
        let edited = match &act {
            Act::Put(document) => document["job_id"].as_str().and_then(|id| JobId::new(id).ok()),
            Act::Delete(id) => JobId::new(id.as_str()).ok(),
            _ => None,
        };
        match act {
            Act::Put(document) => world.put_scheduled(document),
            Act::Delete(id) => world.delete_scheduled(&id),
            Act::Pause(id, seconds) => world.pause(&id, seconds),
            Act::Resume(id, catch_up) => world.resume(&id, catch_up),
            Act::Zone(zone) => world.set_zone(zone),
            Act::Fill(_) | Act::ChangeFills(..) => {}
        }
        let edited = edited.filter(|_| world.clocks.setup.ahead > 0);
        let (ahead, by_index) =
            (TimeDelta::seconds(world.clocks.setup.ahead.cast_signed()), world.is(Mutant::EditLeftToIndex));
        drop(world);
        if let Some(job_id) = edited {
            self.look_at_edited(job_id, ahead, by_index);
        }
    }

    /// A job was changed in a store that notifies of it: it is looked at at once.
    fn look_at_edited(&mut self, job_id: JobId, ahead: TimeDelta, by_index: bool) {
        let housekeeper = self.engine.housekeeper().clone();
        self.spawn(Role::Striker, |_| {
            Box::pin(async move {
                // The next strike repeats a failed one.
                let _ = match by_index {
                    true => housekeeper.strike(ahead).await,
                    false => housekeeper.strike_jobs(&[job_id], ahead).await,
                };
                Done::Nothing
            })
        });
    }

    /// Sweepers look at the clock.
    pub(super) fn strike(&mut self) {
        let (count, ahead) = {
            let mut world = lock(&self.world);
            let now = world.now;
            let Clock { period, racing, ahead, gap, .. } = world.clocks.setup.clone();
            let ahead = TimeDelta::seconds(ahead.cast_signed());
            let (acts, at) = (world.clocks.setup.acts.len(), |seconds: u64| {
                BEGIN + TimeDelta::seconds(seconds.cast_signed())
            });
            let filling = !world.backfills.due(Timestamp::MAX_UTC, 1).is_empty();
            if acts == 0 || (self.to_come == 0 && world.timetables.all().is_empty() && !filling) {
                return;
            }
            let latest = now + TimeDelta::seconds(period.cast_signed());
            // A slot that is due later than that is not looked for again and again.
            let next = world.timetables.next_due().map_or(now + TimeDelta::seconds(20), |due| due - ahead);
            world.schedule(latest.max(next.min(now + TimeDelta::seconds(20))), What::Strike);
            let is_out = gap.is_some_and(|(from, to)| at(from) <= now && now < at(to));
            let World { faults, prng, .. } = &mut *world;
            let is_out = is_out || faults.sweeper_is_out(prng);
            let due =
                world.timetables.next_due().is_some_and(|due| due <= now + ahead + TimeDelta::seconds(20));
            (if (due || filling) && !is_out { world.prng.within(1, racing) } else { 0 }, ahead)
        };
        for _ in 0..count {
            let housekeeper = self.engine.housekeeper().clone();
            self.spawn(Role::Striker, |_| {
                Box::pin(async move {
                    // The next strike repeats a failed one.
                    let _ = housekeeper.strike(ahead).await;
                    Done::Nothing
                })
            });
        }
    }
}

impl World {
    /// A page of what the index shows as due.
    pub(crate) fn shown_timetables(
        &mut self,
        until: Timestamp,
        after: Option<&DuePlace>,
        limit: usize,
    ) -> DueTimetables {
        if self.clocks.setup.ahead == 0 {
            return self.timetables.due(until, after, limit);
        }
        let Self { timetables, faults, prng, now, .. } = self;
        let timetables = &*timetables;
        let shown = |one: &Timetable| match timetables.touched(&one.job_id) {
            Some((at, before)) if *now < at + LAG || faults.is_stale(prng) => before,
            _ => one.due_at,
        };
        timetables.shown_due(until, after, limit.min(PAGE), shown)
    }

    fn put_scheduled(&mut self, document: Value) {
        let mut given = document.clone();
        super::mutants::on_schedule(self, &mut given);
        let read = |document: Value| {
            let Value::Object(document) = document else { unreachable!("documents are objects") };
            JobSpec::from_checked(Arc::new(document)).expect("jobs of scenarios hold")
        };
        let (own, given) = (read(document), read(given));
        let job_id = own.fields.job_id.clone();
        let after = given.document.clone();
        let before = self.jobs.insert(job_id.clone(), Ok(Arc::new(given)));
        let at = if self.is(Mutant::EditStartsThePast) { self.now - TimeDelta::hours(2) } else { self.now };
        self.edited(&job_id, before, Some(&after), at);
        self.is_put(&own);
    }

    fn delete_scheduled(&mut self, id: &str) {
        let job_id = JobId::new(id).expect("an id");
        let before = self.jobs.remove(&job_id);
        let now = self.now;
        self.edited(&job_id, before, None, now);
        self.is_deleted(&job_id);
    }

    fn edited(&mut self, job_id: &JobId, before: Option<StoredJob>, after: Option<&Doc>, at: Timestamp) {
        if self.is(Mutant::EditForgotten) {
            return self.timetables.touch(job_id, at);
        }
        let before = before.and_then(Result::ok);
        self.timetables.edit(job_id, before.as_ref().map(|job| &*job.document), after, at);
    }

    /// The realm gets another zone. Processes that remember the realm go by the one before for a while.
    fn set_zone(&mut self, zone: Option<&str>) {
        let mut realm = Value::Object((*self.realm.document).clone());
        realm["config"] = zone.map_or_else(|| json!({}), |zone| json!({ "TIMEZONE": zone }));
        let realm = Arc::new(RealmSpec::parse(&realm).expect("a realm"));
        let before = std::mem::replace(&mut self.realm, realm);
        self.clocks.realm_before = Some((before, self.now + REMEMBERED));
        self.clocks.zoned = Some(self.now);
        self.clocks.first_realm.get_or_insert_with(|| self.realm.clone());
        let all: Vec<JobId> = self.timetables.all().into_iter().map(|one| one.job_id).collect();
        let now = self.now;
        for job_id in all {
            self.timetables.go_by_other_rules(&job_id, now);
            if let Some(Ok(job)) = self.jobs.get(&job_id).cloned() {
                self.is_put(&job);
            }
        }
    }

    /// The realm as a process may have read it a while ago.
    pub(crate) fn remembered_realm(&mut self) -> Arc<RealmSpec> {
        if let (true, Some(first)) = (self.is(Mutant::RealmReadOnce), &self.clocks.first_realm) {
            return first.clone();
        }
        match &self.clocks.realm_before {
            Some((before, until)) if self.now < *until && self.prng.below(2) == 0 => before.clone(),
            _ => self.realm.clone(),
        }
    }

    /// The realm as it is stored.
    pub(crate) fn stored_realm(&mut self) -> Arc<RealmSpec> {
        if self.is(Mutant::RealmReadOnce) { self.remembered_realm() } else { self.realm.clone() }
    }

    /// The timetable of a job that was looked at, with its plan.
    fn looked_at(&self, job_id: &JobId) -> Option<(Timetable, JobSchedule)> {
        let timetable =
            self.timetables.get(job_id).filter(|one| !one.cursors.is_empty() && one.changed.is_none())?;
        let job = self.jobs.get(job_id)?.as_ref().ok()?;
        Some((timetable.clone(), timetable.schedule_of(job, &self.realm, &self.realm.settings)))
    }

    fn pause(&mut self, id: &str, seconds: Option<u64>) {
        let job_id = JobId::new(id).expect("an id");
        let Some((timetable, _)) = self.looked_at(&job_id) else { return };
        if timetable.cursors.iter().any(|cursor| cursor.state != State::Active) {
            return;
        }
        let until = seconds.map(|seconds| self.now + TimeDelta::seconds(seconds.cast_signed()));
        let paused = |cursor: &Cursor| cursor.paused(until, "ann".to_owned(), String::new());
        let cursors = timetable.cursors.iter().map(paused).collect();
        if !self.is(Mutant::PauseLost) {
            self.write(timetable, cursors);
        }
        self.is_paused(&job_id, until);
    }

    fn resume(&mut self, id: &str, catch_up: bool) {
        let job_id = JobId::new(id).expect("an id");
        let Some((timetable, plan)) = self.looked_at(&job_id) else { return };
        let is_stopped = |cursor: &Cursor| matches!(cursor.state, State::Paused { .. } | State::Halted);
        if !timetable.cursors.iter().any(is_stopped) {
            return;
        }
        let all = catch_up || self.is(Mutant::ResumeStartsThePast);
        let now = self.now;
        let cursors = timetable.cursors.iter().zip(&plan.entries).map(|(cursor, planned)| match planned {
            Ok(planned) if is_stopped(cursor) => {
                cursor.resumed(&planned.entry(cursor.since), all, now - planned.jitter)
            }
            _ => cursor.clone(),
        });
        let (cursors, stopped) =
            (cursors.collect(), timetable.cursors.iter().map(is_stopped).collect::<Vec<_>>());
        self.write(timetable, cursors);
        self.is_resumed(&job_id, catch_up, &stopped);
    }

    fn write(&mut self, timetable: Timetable, cursors: Vec<Cursor>) {
        let now = self.now;
        let next = Timetable { rev: timetable.rev + 1, due_at: Some(now), cursors, ..timetable };
        let _ = self.timetables.put(next);
    }
}

/// When a task began.
pub(super) fn began(world: &World, task: TaskId) -> Timestamp {
    world.tasks.get(&task).map_or(world.now, |task| task.began)
}
