//! Makes the runs whose time has come by a schedule.
//!
//! The runs of a timetable are made first, each under the key of its slot, and the timetable is written then: a crash in
//! between repeats it, and finds the runs. Any number of sweepers may do this at the same time.

use std::collections::BTreeMap;

use chrono::TimeDelta;
use futures_util::future::{Either, join_all, select};

use super::Housekeeper;
use super::late::{tell_late, watched};
use super::looking::{Looking, Lookout};
use super::rules::Rules;
use super::second::schedule_looks;
use crate::Timestamp;
use crate::clock::{JobSchedule, PlannedEntry, Start, State, Timetable};
use crate::ids::JobId;
use crate::job_type::DispatchError;
use crate::ports::{CommitError, StoreError};
use crate::request::{DispatchRequest, When, again_key};
use crate::run::Scheduled;
use crate::spec::Timezone;

/// Most timetables that are read together.
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

    async fn strike_schedules(&self, ahead: TimeDelta) -> Result<Struck, StoreError> {
        let mut struck = Struck::default();
        for _ in 0..MAX_ROUNDS {
            let due = self.in_time(self.site().ports.schedules.due(self.now() + ahead, TOGETHER)).await?;
            let count = due.len();
            if count == 0 {
                break;
            }
            let round = self.in_time(self.strike_all(due, ahead)).await?;
            struck.moved += round.moved;
            struck.started += round.started;
            // A timetable that did not move would be found again at once.
            if round.moved == 0 || (count < TOGETHER && !round.has_more) {
                break;
            }
        }
        Ok(struck)
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

/// The request for a start, as the clock makes it.
#[must_use]
pub fn start_request(
    job_id: &JobId,
    planned: &PlannedEntry,
    start: &Start,
    now: Timestamp,
) -> DispatchRequest {
    let scheduled = Scheduled {
        entry: u32::try_from(start.entry).unwrap_or(u32::MAX),
        slot: start.slot.at,
        zone: Timezone(planned.zone),
        previous: start.previous,
        missed: start.missed.clone(),
        backfill: None,
    };
    DispatchRequest {
        parameters: planned.spec.parameters.clone().unwrap_or_default(),
        globals: planned.spec.globals.clone().unwrap_or_default(),
        when: if start.at > now { When::At(start.at) } else { When::Now },
        idempotency_key: Some(start.key.clone()),
        scheduled: Some(Box::new(scheduled)),
        overlap: planned.spec.overlap,
        host: start.host.clone(),
        ..DispatchRequest::new(job_id.clone())
    }
}
