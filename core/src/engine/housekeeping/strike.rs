//! Makes the runs whose time has come by a schedule.
//!
//! The runs of a timetable are made first, each under the key of its slot, and the timetable is written then: a crash in
//! between repeats it, and finds the runs. Any number of sweepers may do this at the same time.

use std::collections::BTreeMap;

use chrono::TimeDelta;
use futures_util::future::{Either, join_all, select, try_join_all};

use super::Housekeeper;
use super::late::{tell_late, watched};
use super::looking::{Looking, Lookout};
use super::rules::Rules;
use super::second::schedule_looks;
use crate::Timestamp;
use crate::clock::{JobSchedule, Start, State, Timetable};
use crate::engine::slots::start_request;
use crate::ids::JobId;
use crate::job_type::DispatchError;
use crate::ports::{CommitError, DuePlace, StoreError};
use crate::request::again_key;

/// Most timetables that are read together, in all parts of what is due.
const TOGETHER: usize = 500;
/// Most of these that are dealt with together: the first runs start while those of the next are still to be made.
const PART: usize = 100;
/// Most of these rounds of one call: the rest is due in the next.
const MAX_ROUNDS: usize = 200;
/// How long one round may wait for the store, so that a call that hangs does not delay the next look.
const MAX_LOOK: TimeDelta = TimeDelta::seconds(60);
/// Most looks that follow one another at once at the same timetables: a change is seen, runs are named, and made.
const MAX_STEPS: usize = 5;
/// The outcome of one look at the clock.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Struck {
    /// How many timetables were written.
    pub moved: usize,
    /// How many runs were made that were not there.
    pub started: usize,
}

/// The refused starts of a slot, with the reasons: one, or one for each host.
#[derive(Default)]
struct Refusal {
    refused: Vec<(Start, String)>,
    /// Whether another host has a run of the slot.
    has_run: bool,
}

/// The runs that a look has made.
#[derive(Default)]
struct Made {
    /// How many were not there.
    started: usize,
    /// Those of them whose time is still to come, by job and idempotency key.
    early: Vec<(JobId, String)>,
}

/// The outcome of one round of a look.
#[derive(Default)]
struct Round {
    moved: usize,
    started: usize,
    /// Whether alerts are to be made at once, or another process wrote what is to be looked at again.
    has_more: bool,
    /// Timetables as they were written, which are to be looked at once more.
    again: Vec<Timetable>,
}

/// A place in a part of what is due: the timetables after it are still to be read.
#[derive(Clone)]
struct Unread {
    part: usize,
    after: Option<DuePlace>,
}

impl Housekeeper {
    /// Makes the runs that schedules have due, and those of the time up to `ahead` from now, which wait in their queue
    /// until then. Makes those of backfills that come next, too.
    ///
    /// # Errors
    /// [`StoreError`] when a store cannot be reached. The rest is still due.
    pub async fn strike(&self, ahead: TimeDelta) -> Result<Struck, StoreError> {
        self.check_clock()?;
        // Each by itself: one that fails is not in the way of the other.
        let (struck, filled) = (self.strike_schedules(ahead).await, self.advance_backfills().await);
        let struck = struck?;
        Ok(Struck { started: struck.started + filled?, ..struck })
    }

    /// Does a part of a look, and gives it up after [`MAX_LOOK`]: the rest is still due.
    async fn in_time<T>(&self, part: impl Future<Output = Result<T, StoreError>>) -> Result<T, StoreError> {
        let clock = &self.site().ports.clock;
        let up = clock.sleep_until(self.now() + MAX_LOOK);
        match select(std::pin::pin!(part), up).await {
            Either::Left((done, _)) => done,
            Either::Right(_) => {
                let seconds = MAX_LOOK.num_seconds();
                Err(StoreError::unreachable(format!(
                    "a look at the clock was given up after {seconds}s without an answer"
                )))
            }
        }
    }

    /// Makes the runs that the schedules of these jobs have due, read by their keys: an index may not show yet that they were
    /// touched.
    ///
    /// # Errors
    /// [`StoreError`] when a store cannot be reached. The rest is still due.
    pub async fn strike_jobs(&self, job_ids: &[JobId], ahead: TimeDelta) -> Result<Struck, StoreError> {
        self.check_clock()?;
        let mut struck = Struck::default();
        for part in job_ids.chunks(TOGETHER).take(MAX_ROUNDS) {
            for _ in 0..MAX_STEPS {
                let stored = self.in_time(self.site().ports.schedules.load(part)).await?;
                let until = self.now() + ahead;
                let is_due = |one: &Timetable| one.due_at.is_some_and(|due| due <= until);
                let due = stored.into_iter().flatten().filter(is_due).collect();
                let round = self.in_time(self.strike_all(due, ahead)).await?;
                struck.moved += round.moved;
                struck.started += round.started;
                if round.moved == 0 || !round.has_more {
                    break;
                }
            }
        }
        Ok(struck)
    }

    async fn strike_schedules(&self, ahead: TimeDelta) -> Result<Struck, StoreError> {
        let mut struck = Struck::default();
        let begin: Vec<Unread> =
            (0..self.site().ports.schedules.parts()).map(|part| Unread { part, after: None }).collect();
        let (mut unread, mut moved, mut has_more) = (begin.clone(), 0, false);
        for _ in 0..MAX_ROUNDS {
            let (due, next) = self.in_time(self.due_of(&unread, self.now() + ahead)).await?;
            let round = self.in_time(self.strike_all(due, ahead)).await?;
            struck.moved += round.moved;
            struck.started += round.started;
            moved += round.moved;
            has_more |= round.has_more;
            unread = next;
            if unread.is_empty() {
                // A timetable that did not move would be found again at once.
                if moved == 0 || !has_more {
                    break;
                }
                (unread, moved, has_more) = (begin.clone(), 0, false);
            }
        }
        Ok(struck)
    }

    /// A page of each part that is not read to its end, the longest due first, and where the next pages begin. Where a page
    /// ends does not follow from how many it has: an index shows timetables that are not due any more.
    async fn due_of(
        &self,
        unread: &[Unread],
        until: Timestamp,
    ) -> Result<(Vec<Timetable>, Vec<Unread>), StoreError> {
        let schedules = &self.site().ports.schedules;
        let limit = TOGETHER.div_ceil(unread.len().max(1));
        let pages = unread.iter().map(|one| schedules.due(one.part, until, one.after.as_ref(), limit));
        let (mut due, mut next) = (Vec::new(), Vec::new());
        for (one, page) in unread.iter().zip(try_join_all(pages).await?) {
            due.extend(page.found);
            next.extend(page.next.map(|place| Unread { part: one.part, after: Some(place) }));
        }
        due.sort_by_key(|timetable| timetable.due_at);
        Ok((due, next))
    }

    async fn strike_all(&self, due: Vec<Timetable>, ahead: TimeDelta) -> Result<Round, StoreError> {
        let mut all = Round::default();
        let mut left = due.into_iter();
        loop {
            let part: Vec<Timetable> = left.by_ref().take(PART).collect();
            if part.is_empty() {
                return Ok(all);
            }
            let mut part = part;
            for _ in 0..MAX_STEPS {
                let round = self.strike_these(part, ahead).await?;
                all.moved += round.moved;
                all.started += round.started;
                all.has_more |= round.has_more;
                part = round.again;
                if part.is_empty() {
                    break;
                }
            }
        }
    }

    async fn strike_these(&self, due: Vec<Timetable>, ahead: TimeDelta) -> Result<Round, StoreError> {
        let ids: Vec<JobId> = due.iter().map(|timetable| timetable.job_id.clone()).collect();
        let Rules { realm, settings, .. } = self.rules_for(&due).await?;
        let jobs = self.site().ports.jobs.jobs(&ids).await?;
        let now = self.now();
        let runs = watched(self.ledger(), &due, now).await?;
        let hosts = self.hosts_for_all(&jobs, &realm, &settings).await?;
        let lookout = Lookout { realm: &realm, settings: &settings, hosts: &hosts, now, ahead };
        let looking = due.iter().zip(jobs).zip(&runs);
        let mut looking: Vec<Looking> =
            looking.map(|((timetable, job), runs)| Looking::of(timetable, job, runs, &lookout)).collect();
        // First, so that a slot which is wanted once more has another run.
        self.withdraw(&mut looking).await;
        let Made { started, mut early } = self.start_all(&mut looking, now).await;
        tell_late(self.ledger(), &mut looking, &realm, now).await;
        let looking = looking.into_iter().filter(|one| one.is_done);
        let (done, again): (Vec<Timetable>, Vec<bool>) =
            looking.map(|one| (one.looked.next, one.looked.again)).unzip();
        schedule_looks(self.site(), &done, now).await;
        let mut round = Round { started, ..Round::default() };
        let mut passed = Vec::new();
        let outcomes = self.site().ports.schedules.put(done.clone()).await?;
        for ((timetable, again), outcome) in done.into_iter().zip(again).zip(outcomes) {
            match outcome {
                Ok(()) => {
                    round.moved += 1;
                    round.has_more |= timetable.alerts() > 0;
                    round.again.extend(again.then_some(timetable));
                }
                // Another sweeper, or an operator, was first: the next look finds the rest.
                Err(CommitError::Conflict) => {
                    round.moved += 1;
                    round.has_more |= again;
                    passed.push(timetable.job_id);
                }
                Err(error) => {
                    let job_id = &timetable.job_id;
                    tracing::warn!(%job_id, %error, "the schedule of a job is looked at again");
                }
            }
        }
        early.retain(|(job_id, _)| passed.contains(job_id));
        self.withdraw_unnamed(early).await?;
        Ok(round)
    }

    /// Cancels runs that were made ahead by a look which another one passed, where the record does not name them any more.
    async fn withdraw_unnamed(&self, made: Vec<(JobId, String)>) -> Result<(), StoreError> {
        if made.is_empty() {
            return Ok(());
        }
        let ids: Vec<JobId> = made.iter().map(|(job_id, _)| job_id.clone()).collect();
        let stored = self.site().ports.schedules.load(&ids).await?;
        for ((job_id, key), stored) in made.into_iter().zip(stored) {
            if stored.is_none_or(|stored| stored.named(&key).is_none()) {
                self.ledger().withdraw(&job_id, &key).await?;
            }
        }
        Ok(())
    }

    /// Makes all runs that are due.
    async fn start_all(&self, looking: &mut [Looking], now: Timestamp) -> Made {
        let (mut requests, mut places) = (Vec::new(), Vec::new());
        for (place, one) in looking.iter().enumerate() {
            for start in one.looked.starts.iter().filter(|_| one.is_done) {
                let Some(Ok(planned)) = one.plan.entries.get(start.entry) else { continue };
                requests.push(start_request(&one.looked.next.job_id, planned, start, now));
                places.push((place, start.clone()));
            }
        }
        let mut made = Made::default();
        if requests.is_empty() {
            return made;
        }
        let mut refusals: BTreeMap<(usize, usize, Timestamp), Refusal> = BTreeMap::new();
        for ((place, start), outcome) in
            places.into_iter().zip(self.dispatcher.dispatch(requests, None).await)
        {
            let one = &mut looking[place];
            let slot = refusals.entry((place, start.entry, start.slot.at)).or_default();
            match outcome {
                Ok(accepted) => {
                    made.started += usize::from(!accepted.existing);
                    slot.has_run = true;
                    if !accepted.existing && start.at > now {
                        made.early.push((one.looked.next.job_id.clone(), start.key.clone()));
                    }
                    if accepted.again > 0 {
                        let key = again_key(&start.key, accepted.again);
                        one.looked.next.rename(start.entry, &start.key, &key);
                    }
                }
                Err(DispatchError::Store(error)) => {
                    tracing::warn!(job_id = %one.looked.next.job_id, %error, "a start by the clock is made later");
                    one.is_done = false;
                }
                Err(error) => {
                    let entry = start.entry;
                    tracing::error!(job_id = %one.looked.next.job_id, entry, %error, "a start by the clock is refused");
                    slot.refused.push((start, error.to_string()));
                }
            }
        }
        for ((place, ..), Refusal { refused, has_run }) in refusals {
            let Looking { looked, plan, .. } = &mut looking[place];
            looked.next.refuse(plan, &refused, has_run);
        }
        made
    }

    /// Cancels the runs that were made ahead and are no longer wanted, as records name them. A timetable of which one could not
    /// be cancelled is not done: written now, it would no longer name that run, which would start.
    async fn withdraw(&self, looking: &mut [Looking]) {
        let keys = looking.iter().enumerate().flat_map(|(place, one)| {
            let job_id = &one.looked.next.job_id;
            one.looked.withdrawn.iter().map(move |key| (place, job_id, key))
        });
        let cancelling = keys.map(|(place, job_id, key)| async move {
            (place, self.ledger().withdraw(job_id, key).await.map_err(|error| (error, key.clone())))
        });
        for (place, withdrawn) in join_all(cancelling).await {
            if let Err((error, key)) = withdrawn {
                let one = &mut looking[place];
                tracing::warn!(job_id = %one.looked.next.job_id, %key, %error, "a start that is no longer wanted is withdrawn later");
                one.is_done = false;
            }
        }
    }

    /// Cancels the runs that a timetable names as no longer wanted, so that none of them starts before the next look. The
    /// timetable must be stored as it is given.
    ///
    /// # Errors
    /// [`StoreError`] when the store cannot be reached: the next look cancels the rest.
    pub async fn withdraw_named(&self, timetable: &Timetable) -> Result<(), StoreError> {
        for key in timetable.withdrawing() {
            self.ledger().withdraw(&timetable.job_id, key).await?;
        }
        Ok(())
    }

    /// Starts the jobs whose schedules say `@reboot`, as far as their entries hold at `began`, when the service started.
    /// Called again with the same time, it starts only what it did not start before.
    ///
    /// # Errors
    /// [`StoreError`] when a store cannot be reached: some of the jobs may not be started.
    pub async fn strike_at_start(&self, began: Timestamp) -> Result<usize, StoreError> {
        // Such an entry has no next slot.
        let candidates = self.site().ports.schedules.without_next().await?;
        let ids: Vec<JobId> = candidates.iter().map(|timetable| timetable.job_id.clone()).collect();
        let Rules { realm, settings, .. } = self.current_rules().await?;
        let jobs = self.site().ports.jobs.jobs(&ids).await?;
        let mut requests = Vec::new();
        for (timetable, job) in candidates.iter().zip(jobs) {
            let Some(Ok(job)) = job else { continue };
            let plan = JobSchedule::of(&job, &realm, &settings);
            for (entry, planned) in plan.entries.iter().enumerate() {
                let Ok(planned) = planned else { continue };
                let cursor = timetable.cursors.get(entry);
                let is_active = cursor.is_some_and(|cursor| cursor.state == State::Active);
                if plan.enabled && planned.is_reboot() && is_active && planned.entry(began).holds(began) {
                    let start = Start::at_once(planned, entry, began, began);
                    requests.push(start_request(&timetable.job_id, planned, &start, self.now()));
                }
            }
        }
        let outcomes = self.dispatcher.dispatch(requests, None).await;
        let (mut started, mut failed) = (0, None);
        for outcome in outcomes {
            match outcome {
                Ok(accepted) => started += usize::from(!accepted.existing),
                Err(DispatchError::Store(error)) => failed = Some(error),
                Err(error) => tracing::error!(%error, "a start with the service is refused"),
            }
        }
        failed.map_or(Ok(started), Err)
    }
}
