//! Backfills: begun by one operator or two, cancelled and resumed, while sweepers race, stop and thaw; and what must hold
//! of them.

use std::collections::{BTreeMap, BTreeSet};

use chrono::TimeDelta;
use pumice_core::Timestamp;
use pumice_core::clock::backfill::{BackfillRequest, Found, Only, Progress, WantedSlot};
use pumice_core::clock::{Backfill, JobSchedule};
use pumice_core::ids::{JobId, RunId, RunKey};
use pumice_core::ports::CommitError;
use pumice_core::request::slot_key;
use pumice_core::run::{Run, Status};

use super::super::mutants::Mutant;
use super::super::runner::{Done, Runner};
use super::super::world::{Role, World, lock};
use super::began;
use super::calendar::Entry;
use crate::prng::Prng;

/// A backfill as it is asked for: of the time from and to so many seconds ago.
#[derive(Clone, Debug)]
pub(crate) struct Fill {
    job: String,
    from: u64,
    to: u64,
    only: Only,
    max_active: u32,
    reverse: bool,
    /// How many operators ask for it at the same time.
    operators: usize,
}

/// The audit's knowledge of backfills besides their records.
#[derive(Debug, Default)]
pub(crate) struct Fills {
    /// As they were begun, with the entries of their jobs then.
    known: BTreeMap<String, (Backfill, Vec<Entry>)>,
    /// Since when each is cancelled.
    cancelled: BTreeMap<String, Timestamp>,
    /// Runs that were made while their jobs were edited: the values that an entry gives to its runs distinguish them,
    /// so that one process may make the run of a slot as it was before, and another as it is since.
    excused: BTreeSet<RunKey>,
}

pub(super) fn fill(prng: &mut Prng, job: &str) -> Fill {
    let to = prng.pick(&[0, 0, 600]);
    Fill {
        job: job.to_owned(),
        from: to + prng.pick(&[600, 3_600, 7_200]),
        to,
        only: prng.pick(&[Only::Missing, Only::Missing, Only::Failed, Only::All]),
        max_active: prng.pick(&[1, 1, 2, 5]),
        reverse: prng.below(3) == 0,
        operators: if prng.below(3) == 0 { 2 } else { 1 },
    }
}

impl Runner {
    /// Operators ask for a backfill, all in the same moment.
    pub(super) fn begin_fill(&mut self, fill: &Fill) {
        let begun = {
            let world = lock(&self.world);
            world.fill_of(fill)
        };
        let Some(begun) = begun else { return };
        for _ in 0..fill.operators {
            let (housekeeper, begun) = (self.engine.housekeeper().clone(), begun.clone());
            self.spawn(Role::Striker, |_| {
                Box::pin(async move {
                    // An operator that gets no answer asks again, or does not.
                    let _ = housekeeper.begin_backfill(begun).await;
                    Done::Nothing
                })
            });
        }
    }

    /// An operator cancels what backfills of a job there are, or has them go on.
    pub(super) fn change_fills(&mut self, job: &str, resume: bool) {
        let all = lock(&self.world).backfills.all();
        for id in all.into_iter().filter(|one| one.job_id.as_str() == job).map(|one| one.id) {
            let housekeeper = self.engine.housekeeper().clone();
            self.spawn(Role::Striker, |_| {
                Box::pin(async move {
                    let change = |one: &Backfill| {
                        if resume { one.resumed() } else { one.cancelled("ann".to_owned(), String::new()) }
                    };
                    let _ = housekeeper.change_backfill(&id, change).await;
                    Done::Nothing
                })
            });
        }
    }
}

impl World {
    fn plan_of(&self, job_id: &JobId) -> Option<JobSchedule> {
        let job = self.jobs.get(job_id)?.as_ref().ok()?;
        Some(JobSchedule::of(job, &self.realm, &self.realm.settings))
    }

    fn fill_of(&self, fill: &Fill) -> Option<Backfill> {
        let job_id = JobId::new(&fill.job).expect("an id");
        let timetable = self.timetables.get(&job_id)?;
        let ago = |seconds: u64| self.now - TimeDelta::seconds(seconds.cast_signed());
        let asked = BackfillRequest {
            entry: None,
            from: ago(fill.from),
            to: ago(fill.to),
            only: fill.only,
            max_active: fill.max_active,
            reverse: fill.reverse,
            key: None,
            by: "ann".to_owned(),
            why: String::new(),
        };
        Backfill::begin(job_id.clone(), &self.plan_of(&job_id)?, timetable, asked, self.now).ok()
    }

    /// A record as the engine reads it.
    pub(crate) fn read_backfill(&self, id: &str) -> Option<Backfill> {
        let mut backfill = self.backfills.get(id)?.clone();
        if self.is(Mutant::BackfillUnbounded) {
            backfill.max_active *= 10;
        }
        Some(backfill)
    }

    /// Backfills that are due.
    pub(crate) fn due_backfills(&mut self, until: Timestamp, limit: usize) -> Vec<Backfill> {
        let due = self.backfills.due(until, limit);
        if self.is(Mutant::BackfillMovedFirst) {
            due.iter().for_each(|one| self.move_first(one));
        }
        due.into_iter()
            .filter_map(|one| {
                self.read_backfill(&one.id).map(|read| if read.rev == one.rev { read } else { one })
            })
            .collect()
    }

    /// Writes how far a backfill will have come, before anything is made.
    fn move_first(&mut self, backfill: &Backfill) {
        let run = |key: &str| self.run_under(&backfill.job_id, key).cloned();
        let runs: Vec<Option<Run>> = backfill.active.iter().map(|one| run(&one.key)).collect();
        let settled = backfill.settled(&runs);
        let Some(plan) = self.plan_of(&backfill.job_id) else { return };
        let Ok(coming) = settled.coming(&plan) else { return };
        let found = |wanted: WantedSlot| {
            let own = run(&wanted.start.key);
            let clocks = run(&wanted.clocks);
            let found = settled.found(own.as_ref(), clocks.as_slice());
            (wanted, found)
        };
        let slots: Vec<(WantedSlot, Found)> = coming.take(20).map(found).collect();
        let next = settled.taken(&slots, slots.len() < 20).next;
        if let Some(next) = next.written(backfill, self.now, None) {
            let _ = self.backfills.put(&next);
        }
    }

    /// A backfill is written for the first time.
    pub(crate) fn create_backfill(&mut self, backfill: &Backfill) -> Result<(), CommitError> {
        self.backfills.create(backfill)?;
        let entries = self.entries_now(&backfill.job_id);
        self.note(|| format!("  backfill {} of {} begins: {backfill:?}", backfill.id, backfill.job_id));
        self.clocks.fills.known.insert(backfill.id.clone(), (backfill.clone(), entries));
        Ok(())
    }

    /// Writes how far a backfill has come.
    pub(crate) fn put_backfill(&mut self, backfill: &Backfill) -> Result<(), CommitError> {
        let before = self.backfills.get(&backfill.id).cloned();
        let mut next = backfill.clone();
        if self.is(Mutant::BackfillCancelLost) && matches!(next.progress, Progress::Cancelled { .. }) {
            (next.progress, next.due_at, next.ended) = (Progress::Active, Some(self.now), None);
        }
        self.backfills.put(&next)?;
        self.note(|| {
            let Backfill { id, progress, at, active, .. } = backfill;
            format!("  backfill {id} is {progress:?} at {at:?}, under way: {active:?}")
        });
        let before = before.map_or(Progress::Active, |before| before.progress);
        let (was, is) = (
            matches!(before, Progress::Cancelled { .. }),
            matches!(backfill.progress, Progress::Cancelled { .. }),
        );
        if is && !was {
            self.clocks.fills.cancelled.insert(backfill.id.clone(), self.now);
        } else if was && !is {
            self.clocks.fills.cancelled.remove(&backfill.id);
        }
        Ok(())
    }

    fn run_under(&self, job_id: &JobId, key: &str) -> Option<&Run> {
        let realm = &self.realm.fields.realm;
        self.runs.get(&RunKey::root(RunId::from_key(realm, job_id, &format!("key:{key}"))))
    }

    /// The keys that runs of a backfill have for a slot of these entries of its job, by what they give to their runs.
    fn fill_keys(&self, backfill: &Backfill, entries: &[Entry], slot: Timestamp) -> Vec<String> {
        // The values given to runs may be edited meanwhile; their due times may not.
        let edited = self.entries_since(&backfill.job_id, backfill.begun - super::judge::SLACK);
        let edited = edited.iter().filter(|one| entries.iter().any(|entry| entry.is_due_with(one)));
        let due = entries.iter().chain(edited).filter(|entry| entry.is_due(slot));
        let key = |entry: &Entry| match backfill.only {
            Only::Missing => entry.key(slot),
            Only::Failed | Only::All => format!("backfill:{}:{}", backfill.id, entry.key(slot)),
        };
        due.map(key).collect()
    }

    /// A run is made that a backfill started.
    pub(super) fn is_filled(&mut self, run: &Run, id: &str, slot: Timestamp) {
        let Some((backfill, entries)) = self.clocks.fills.known.get(id).cloned() else {
            self.audit.fail("a backfill starts only the slots asked for", format!("{} of {id}", run.key));
            return;
        };
        let key = run.keyed.as_ref().map_or("", |keyed| keyed.key.as_str());
        let is_asked = backfill.from <= slot && slot <= backfill.to;
        if !is_asked || !self.fill_keys(&backfill, &entries, slot).iter().any(|one| one == slot_key(key)) {
            let detail = format!("{} for {slot} under {key:?}: {backfill:?}", run.key);
            self.audit.fail("a backfill starts only the slots asked for", detail);
        }
        let of_it = |other: &&Run| {
            !other.is_child() && other.scheduled.as_ref().is_some_and(|s| s.backfill.as_deref() == Some(id))
        };
        if self.is_edited_since(&run.job_id, began(self, self.current) - super::judge::SLACK) {
            self.clocks.fills.excused.insert(run.key.clone());
        }
        let counts = |run: &&Run| !run.status.is_end() && !self.clocks.fills.excused.contains(&run.key);
        let under_way = self.runs.all().filter(of_it).filter(counts).count();
        if under_way > backfill.max_active as usize {
            let detail = format!("{under_way} of {id}, which may have {}", backfill.max_active);
            self.audit.fail("a backfill has no more runs under way than it may", detail);
        }
        let is_same = |other: &&Run| {
            let keyed = other.keyed.as_ref().map_or("", |keyed| keyed.key.as_str());
            keyed == key && other.key != run.key
        };
        if let Some(other) = self.runs.all().filter(of_it).find(is_same) {
            let detail = format!("{} and {} for {slot} of {id}", run.key, other.key);
            self.audit.fail("a backfill starts a slot once", detail);
        }
        let since = self.clocks.fills.cancelled.get(id).copied();
        if since.is_some_and(|since| began(self, self.current) > since) {
            let detail = format!("{} of {id}, cancelled at {since:?}", run.key);
            self.audit.fail("nothing is started by a backfill that is cancelled", detail);
        }
    }

    /// Checks backfills when all is over.
    pub(super) fn fills_end(&mut self) {
        let all: Vec<(Backfill, Vec<Entry>)> = self.clocks.fills.known.values().cloned().collect();
        for (begun, entries) in all {
            let Some(over) = self.backfills.get(&begun.id).cloned() else { continue };
            let is_over =
                over.progress != Progress::Active && over.due_at.is_none() && over.active.is_empty();
            if !is_over {
                self.audit.fail("everything ends", format!("{over:?}"));
            }
            if over.progress != Progress::Complete {
                continue;
            }
            if over.skipped + over.completed + over.failed != over.planned {
                self.audit.fail("a backfill that is complete has dealt with each slot", format!("{over:?}"));
            }
            for entry in &entries {
                let until = begun.to.min(begun.begun - entry.jitter);
                let mut slot = entry.next(begun.from - TimeDelta::microseconds(1));
                while let Some(at) = slot.filter(|at| *at <= until) {
                    self.fill_ends(&begun, &entries, entry, at);
                    slot = entry.next(at);
                }
            }
        }
    }

    /// Checks a slot of a backfill that is complete.
    fn fill_ends(&mut self, begun: &Backfill, entries: &[Entry], entry: &Entry, slot: Timestamp) {
        let keys = self.fill_keys(begun, std::slice::from_ref(entry), slot);
        let has_run = keys.iter().any(|key| self.stands(&begun.job_id, key));
        let wants = match begun.only {
            Only::Missing | Only::All => true,
            Only::Failed => self.had_failed(begun, entry, slot),
        };
        // A run that another backfill made counts too: it may have come before this one looked.
        let is_of_another = |run: &Run| {
            let keyed = run.keyed.as_ref().map_or("", |keyed| keyed.key.as_str());
            let is_of_slot = keys.iter().any(|key| keyed.ends_with(&format!(":{key}")));
            run.job_id == begun.job_id && !run.is_child() && keyed.starts_with("backfill:") && is_of_slot
        };
        if begun.only == Only::Missing && !has_run && self.runs.all().any(is_of_another) {
            return;
        }
        // Of two that are due together and give other things, which is which?
        let is_one = entries.iter().filter(|one| one.is_due_with(entry)).count() == 1;
        if has_run != wants && (is_one || wants) {
            let detail =
                format!("{slot} of {}: has one: {has_run}, wants one: {wants}; {begun:?}", begun.job_id);
            self.audit.fail("each slot that a backfill wants has a run of it, and no other", detail);
        }
    }

    /// Whether the newest run of a slot had ended badly when a backfill began.
    fn had_failed(&self, begun: &Backfill, entry: &Entry, slot: Timestamp) -> bool {
        let own = format!("backfill:{}:", begun.id);
        let key = entry.key(slot);
        let of_slot = |run: &&Run| {
            let keyed = run.keyed.as_ref().map_or("", |keyed| keyed.key.as_str());
            run.job_id == begun.job_id
                && !run.is_child()
                && !run.was_withdrawn()
                && (slot_key(keyed) == key
                    || keyed.starts_with("backfill:") && keyed.ends_with(&format!(":{key}")))
                && !keyed.starts_with(&own)
                && run.ts_dispatch <= begun.begun
        };
        let newest = self.runs.all().filter(of_slot).max_by_key(|run| (run.ts_dispatch, run.run_id));
        newest.is_some_and(|run| {
            run.status != Status::Complete && run.ts_end.is_some_and(|end| end <= begun.begun)
        })
    }
}
