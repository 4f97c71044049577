//! Carries backfills out: makes the runs that come next, and writes how far each has come.
//!
//! As with the clock, the runs are made first and the record is written then, on its `rev`. A crash in between repeats the
//! look, which finds the runs; of several processes one writes, and all make the same runs. The sweeps that look at the clock
//! look at backfills, too, and so does a worker that has brought a run of one to its end.

use futures_util::future::join_all;

use super::Housekeeper;
use super::rules::Rules;
use crate::clock::backfill::{Found, Only, Stale, Taken, WantedSlot};
use crate::clock::{Backfill, JobSchedule};
use crate::engine::answer::Accepted;
use crate::engine::fresh::keyed_run;
use crate::engine::ledger::apply::ApplyError;
use crate::engine::replays::replays;
use crate::engine::slots::start_request;
use crate::ids::{JobId, RunKey};
use crate::job_type::DispatchError;
use crate::ports::{CommitError, StoreError, StoreErrorKind};
use crate::request::{When, again_key, anew_key};
use crate::run::Run;

/// Most backfills that one sweep looks at.
const MAX_DUE: usize = 1_000;
/// Most steps that one look takes: as long as runs end at once there is a further one.
const MAX_STEPS: usize = 8;
/// Most slots that one step deals with, and how many of them are looked at at the same time.
const MAX_EXAMINED: usize = 512;
const AT_ONCE: usize = 16;
/// Most other backfills of a job whose runs are searched for failures: the newest.
const MAX_OTHERS: usize = 20;
/// Most runs of a slot that are looked at, those that do others again among them.
const MAX_FOLLOWED: usize = 100;
/// How often a record is read again that another process writes all the time.
const MAX_TRIES: usize = 20;

/// A backfill that was asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BegunBackfill {
    /// The record.
    pub backfill: Backfill,
    /// Whether it was there already.
    pub existing: bool,
}

/// Why a backfill is not begun, or not changed.
#[derive(Clone, Debug, thiserror::Error)]
pub enum BackfillError {
    /// Another one has its key.
    #[error(
        "the key {} was already used by backfill {id}, which asks for something else",
        crate::text::quoted(key)
    )]
    KeyTaken {
        /// The key.
        key: String,
        /// The other one.
        id: String,
    },
    /// There is none with this id.
    #[error("there is no backfill {}", crate::text::quoted(.0))]
    Unknown(String),
    /// An entry is not what it was when the backfill began.
    #[error(transparent)]
    Stale(#[from] Stale),
    /// A store cannot be reached.
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl Housekeeper {
    /// Begins a backfill, and makes its first runs. One that is there already stays as it is.
    ///
    /// # Errors
    /// [`BackfillError::KeyTaken`] when the key is that of another one; [`BackfillError::Store`] when the store cannot be
    /// reached.
    pub async fn begin_backfill(&self, backfill: Backfill) -> Result<BegunBackfill, BackfillError> {
        let store = &self.site().ports.schedules;
        let backfill = self.with_others(backfill).await?;
        match store.create_backfill(&backfill).await {
            Ok(()) => {}
            Err(CommitError::Conflict | CommitError::Unknown(_)) => {
                let Some(stored) = store.load_backfill(&backfill.id).await? else {
                    return Err(StoreError::unreachable("a backfill could not be written").into());
                };
                if !stored.asks_the_same(&backfill) {
                    let (key, id) = (stored.key.unwrap_or_default(), stored.id);
                    return Err(BackfillError::KeyTaken { key, id });
                }
                if stored.begun != backfill.begun {
                    return Ok(BegunBackfill { backfill: stored, existing: true });
                }
            }
            Err(CommitError::Store(error)) => return Err(error.into()),
            Err(error) => return Err(StoreError::of(StoreErrorKind::Invalid, error.to_string()).into()),
        }
        if let Err(error) = self.advance_backfill(&backfill.id).await {
            tracing::warn!(id = %backfill.id, %error, "the first runs of a backfill are made by the next sweep");
        }
        let stored = store.load_backfill(&backfill.id).await?;
        Ok(BegunBackfill { backfill: stored.unwrap_or(backfill), existing: false })
    }

    /// Changes a backfill, as with [`Backfill::cancelled`]. Gives the record and whether it was changed.
    ///
    /// # Errors
    /// [`BackfillError::Unknown`] when there is none with this id; [`BackfillError::Store`] when the store cannot be
    /// reached.
    pub async fn change_backfill(
        &self,
        id: &str,
        change: impl Fn(&Backfill) -> Option<Backfill>,
    ) -> Result<(Backfill, bool), BackfillError> {
        let store = &self.site().ports.schedules;
        for _ in 0..MAX_TRIES {
            let stored = store.load_backfill(id).await?;
            let stored = stored.ok_or_else(|| BackfillError::Unknown(id.to_owned()))?;
            let keep = self.site().settings.event_ttl.longest();
            let Some(next) = change(&stored).and_then(|next| next.written(&stored, self.now(), keep)) else {
                return Ok((stored, false));
            };
            match store.put_backfill(&next).await {
                Ok(()) => return Ok((next, true)),
                Err(CommitError::Conflict | CommitError::Unknown(_)) => {}
                Err(CommitError::Store(error)) => return Err(error.into()),
                Err(error) => return Err(StoreError::of(StoreErrorKind::Invalid, error.to_string()).into()),
            }
        }
        Err(StoreError::of(
            StoreErrorKind::Throttled,
            "the backfill is written by others all the time: try again",
        )
        .into())
    }

    /// Asks the runs of a backfill that are under way to stop. Gives how many were asked.
    ///
    /// # Errors
    /// [`ApplyError`] when a run could not be asked, after all others were. A run that ends meanwhile is not an error.
    pub async fn cancel_runs_of(&self, backfill: &Backfill) -> Result<usize, ApplyError> {
        let (mut asked, mut failed) = (0, None);
        for one in &backfill.active {
            let key = self.run_of(backfill, &one.key);
            let run = self.site().ports.runs.peek(&key).await?;
            if run.is_some_and(|run| backfill.made(&run) && !run.status.is_end()) {
                match self.ledger().stop(&key).await {
                    Ok(now) => asked += usize::from(now),
                    Err(error) => {
                        tracing::warn!(%key, %error, "a run of a backfill is not cancelled");
                        failed = Some(error);
                    }
                }
            }
        }
        failed.map_or(Ok(asked), Err)
    }

    /// The backfill that is there already and asks for the same.
    ///
    /// # Errors
    /// [`BackfillError::KeyTaken`] when the key is that of another one; [`BackfillError::Store`] when the store cannot be
    /// reached.
    pub async fn known_backfill(&self, backfill: &Backfill) -> Result<Option<Backfill>, BackfillError> {
        match self.site().ports.schedules.load_backfill(&backfill.id).await? {
            Some(stored) if !stored.asks_the_same(backfill) => {
                let (key, id) = (stored.key.unwrap_or_default(), stored.id);
                Err(BackfillError::KeyTaken { key, id })
            }
            stored => Ok(stored),
        }
    }

    /// The state of each slot that a backfill has still to deal with. Nothing is made by this.
    ///
    /// # Errors
    /// [`BackfillError::Stale`] when the plan's entries are not those of the backfill; [`BackfillError::Store`] when a store
    /// cannot be reached.
    pub async fn foresee_backfill(
        &self,
        backfill: &Backfill,
        plan: &JobSchedule,
    ) -> Result<Vec<(WantedSlot, Found)>, BackfillError> {
        let backfill = self.with_others(backfill.clone()).await?;
        let slots: Vec<WantedSlot> = backfill.coming(plan)?.collect();
        Ok(self.look_for(&backfill, slots).await?)
    }

    /// Makes the runs of a backfill that come next, as far as it may have so many. Gives how many were made.
    ///
    /// # Errors
    /// [`StoreError`] when a store cannot be reached. The next look does the rest.
    pub async fn advance_backfill(&self, id: &str) -> Result<usize, StoreError> {
        match self.site().ports.schedules.load_backfill(id).await? {
            Some(backfill) => self.advance(backfill).await,
            None => Ok(0),
        }
    }

    /// The same for all that are due.
    pub(super) async fn advance_backfills(&self) -> Result<usize, StoreError> {
        let due = self.site().ports.schedules.due_backfills(self.now(), MAX_DUE).await?;
        let (mut started, mut failed) = (0, None);
        for backfill in due {
            let id = backfill.id.clone();
            // One that cannot go on is not in the way of the others.
            match self.advance(backfill).await {
                Ok(count) => started += count,
                Err(error) => {
                    tracing::warn!(%id, %error, "a backfill goes on with the next sweep");
                    failed = Some(error);
                }
            }
        }
        failed.map_or(Ok(started), Err)
    }

    /// The same for the one that made a run which is done: the next run need not wait for a sweep.
    pub(in crate::engine) async fn advance_after(&self, run: &Run) {
        let Some(id) = run.scheduled.as_ref().and_then(|scheduled| scheduled.backfill.as_ref()) else {
            return;
        };
        if let Err(error) = Box::pin(self.advance_backfill(id)).await {
            tracing::debug!(%id, %error, "a backfill goes on with the next sweep");
        }
    }

    async fn advance(&self, mut backfill: Backfill) -> Result<usize, StoreError> {
        let store = &self.site().ports.schedules;
        let keep = self.site().settings.event_ttl.longest();
        let mut started = 0;
        for _ in 0..MAX_STEPS {
            if backfill.due_at.is_none() {
                break;
            }
            let (next, made) = self.step(&backfill).await?;
            started += made;
            let Some(next) = next.written(&backfill, self.now(), keep) else { break };
            match store.put_backfill(&next).await {
                Ok(()) => {
                    tell(&backfill, &next);
                    backfill = next;
                }
                // Another process was first, or this one and the answer was lost: the stored record counts.
                Err(CommitError::Conflict | CommitError::Unknown(_)) => {
                    let Some(stored) = store.load_backfill(&backfill.id).await? else { break };
                    backfill = stored;
                }
                Err(CommitError::Store(error)) => return Err(error),
                Err(error) => {
                    tracing::error!(id = %backfill.id, %error, "how far a backfill has come cannot be written");
                    break;
                }
            }
        }
        Ok(started)
    }

    /// The next record, and how many runs were made for it.
    async fn step(&self, backfill: &Backfill) -> Result<(Backfill, usize), StoreError> {
        let keys: Vec<&str> = backfill.active.iter().map(|one| one.key.as_str()).collect();
        let mut next = backfill.settled(&self.peek_all(backfill, &keys).await?);
        if next.free() == 0 {
            return Ok((next, 0));
        }
        let plan = match self.plan_of(&next).await? {
            PlanOf::Plan(plan) => plan,
            PlanOf::Nothing(why) => return Ok((next.stopped(why), 0)),
        };
        let before = next.clone();
        let mut coming = match before.coming(&plan) {
            Ok(coming) => coming,
            Err(stale) => return Ok((next.stopped(stale.to_string()), 0)),
        };
        let (mut examined, mut started) = (0, 0);
        loop {
            let most = if examined == 0 { next.free().min(AT_ONCE) } else { AT_ONCE };
            let slots: Vec<WantedSlot> = coming.by_ref().take(most).collect();
            let is_all = slots.len() < most;
            examined += slots.len();
            let slots = self.look_for(&before, slots).await?;
            let Taken { next: mut taken, starts } = next.taken(&slots, is_all);
            for wanted in starts {
                match self.make(&before, &plan, &wanted).await {
                    Ok(accepted) => {
                        started += usize::from(accepted.as_ref().is_some_and(|accepted| !accepted.existing));
                        let again = accepted.map_or(0, |accepted| accepted.again);
                        taken.rename(&wanted.start.key, again_key(&wanted.start.key, again));
                    }
                    Err(DispatchError::Store(error)) => return Err(error),
                    // Another request has the key: its run is found by the next look, and counts as there.
                    Err(DispatchError::KeyTaken { .. }) => {}
                    Err(error) => {
                        let until = slots.iter().take_while(|(one, _)| one.place != wanted.place).count();
                        let taken = next.taken(&slots[..until], false).next;
                        return Ok((taken.stopped(error.to_string()), started));
                    }
                }
            }
            next = taken;
            if is_all || next.free() == 0 || examined >= MAX_EXAMINED {
                return Ok((next, started));
            }
        }
    }

    /// The schedule of a backfill's job.
    async fn plan_of(&self, backfill: &Backfill) -> Result<PlanOf, StoreError> {
        let job = match self.dispatcher.jobs().stored(&backfill.job_id).await? {
            None => return Ok(PlanOf::Nothing("the job is gone".to_owned())),
            Some(Err(error)) => return Ok(PlanOf::Nothing(format!("the job cannot be read: {error}"))),
            Some(Ok(job)) => job,
        };
        let plan_by = |rules: Rules| JobSchedule::of(&job, &rules.realm, &rules.settings);
        let mut plan = plan_by(self.rules().await?);
        if backfill.coming(&plan).is_err() {
            // The backfill may have begun by a later realm than the one that was read last.
            plan = plan_by(self.current_rules().await?);
        }
        let is_off = !plan.enabled && !plan.is_empty();
        Ok(if is_off { PlanOf::Nothing("the job is not enabled".to_owned()) } else { PlanOf::Plan(plan) })
    }

    /// Makes the run of a slot; `None` where its entry is gone.
    async fn make(
        &self,
        backfill: &Backfill,
        plan: &JobSchedule,
        wanted: &WantedSlot,
    ) -> Result<Option<Accepted>, DispatchError> {
        let Some((planned, start)) = backfill.start(plan, wanted) else { return Ok(None) };
        let mut request = start_request(&backfill.job_id, planned, &start, self.now());
        request.when = When::Now;
        if let Some(scheduled) = &mut request.scheduled {
            scheduled.backfill = Some(backfill.id.clone());
        }
        match self.dispatcher.dispatch(vec![request], None).await.pop() {
            Some(outcome) => outcome.map(Some),
            None => Err(StoreError::unreachable("the store gave no answer").into()),
        }
    }

    /// The runs that exist at each of these slots.
    async fn look_for(
        &self,
        backfill: &Backfill,
        slots: Vec<WantedSlot>,
    ) -> Result<Vec<(WantedSlot, Found)>, StoreError> {
        let mut looked = Vec::with_capacity(slots.len());
        for part in slots.chunks(AT_ONCE) {
            let found = join_all(part.iter().map(|wanted| self.find(backfill, wanted))).await;
            for (wanted, found) in part.iter().zip(found) {
                looked.push((wanted.clone(), found?));
            }
        }
        Ok(looked)
    }

    async fn find(&self, backfill: &Backfill, wanted: &WantedSlot) -> Result<Found, StoreError> {
        let own = match backfill.only {
            // A run that is there is found when it is to be made.
            Only::All => None,
            Only::Missing | Only::Failed => {
                self.peek_all(backfill, &[&wanted.start.key]).await?.pop().flatten()
            }
        };
        if backfill.only == Only::All || own.is_some() {
            return Ok(backfill.found(own.as_ref(), &[]));
        }
        let others: Vec<String> = backfill.others.iter().map(|other| wanted.key_of(other)).collect();
        let clocks = (backfill.only == Only::Failed).then_some(wanted.clocks.as_str());
        let keys: Vec<&str> = clocks.into_iter().chain(others.iter().map(String::as_str)).collect();
        let mut runs: Vec<Run> = self.peek_all(backfill, &keys).await?.into_iter().flatten().collect();
        if backfill.only == Only::Failed {
            self.add_replays(&mut runs).await?;
        }
        Ok(backfill.found(None, &runs))
    }

    /// Adds the runs that do these again, and those again: a slot whose run has been done again well did not fail.
    async fn add_replays(&self, runs: &mut Vec<Run>) -> Result<(), StoreError> {
        let site = self.site();
        let mut next = 0;
        while let Some(run) = runs.get(next).filter(|_| next < MAX_FOLLOWED) {
            let replays = replays(&*site.ports.runs, &site.realm, run).await?;
            runs.extend(replays);
            next += 1;
        }
        Ok(())
    }

    /// The backfill with the others of its job that made runs under keys of their own before.
    async fn with_others(&self, backfill: Backfill) -> Result<Backfill, StoreError> {
        if backfill.only == Only::All {
            return Ok(backfill);
        }
        let all = self.site().ports.schedules.all_backfills().await?;
        let is_other = |one: &Backfill| {
            one.job_id == backfill.job_id
                && one.only != Only::Missing
                && one.id != backfill.id
                && one.begun <= backfill.begun
        };
        let others = all.into_iter().filter(is_other).take(MAX_OTHERS).map(|one| one.id).collect();
        Ok(Backfill { others, ..backfill })
    }

    async fn peek_all(&self, backfill: &Backfill, keys: &[&str]) -> Result<Vec<Option<Run>>, StoreError> {
        let mut runs = Vec::with_capacity(keys.len());
        for part in keys.chunks(AT_ONCE) {
            for run in join_all(part.iter().map(|key| self.peek_slot(backfill, key))).await {
                runs.push(run?);
            }
        }
        Ok(runs)
    }

    /// The run of a slot, by its key: of all its runs the one that was not withdrawn before it began.
    async fn peek_slot(&self, backfill: &Backfill, key: &str) -> Result<Option<Run>, StoreError> {
        for number in 0.. {
            let key = anew_key(key, number);
            let (mut again, mut is_known) = (0, number == 0);
            loop {
                let key = again_key(&key, again);
                match self.site().ports.runs.peek(&self.run_of(backfill, &key)).await? {
                    Some(run) if run.was_withdrawn() => is_known = true,
                    Some(run) => return Ok(Some(run)),
                    None => break,
                }
                again += 1;
            }
            if !is_known {
                break;
            }
        }
        Ok(None)
    }

    /// The run that a request of a backfill's job with this key makes.
    #[must_use]
    pub fn run_of(&self, backfill: &Backfill, key: &str) -> RunKey {
        self.run_under(&backfill.job_id, key)
    }

    /// The run that a request of a job with this key makes.
    #[must_use]
    pub fn run_under(&self, job_id: &JobId, key: &str) -> RunKey {
        RunKey::root(keyed_run(&self.site().realm, job_id, key))
    }
}

/// The schedule by which a backfill goes on.
enum PlanOf {
    Plan(JobSchedule),
    /// It cannot go on, for this reason.
    Nothing(String),
}

/// Says in the log when a backfill is over.
fn tell(before: &Backfill, after: &Backfill) {
    use crate::clock::backfill::Progress;
    if before.progress == after.progress {
        return;
    }
    let Backfill { id, job_id, .. } = after;
    match &after.progress {
        Progress::Stopped { why } => tracing::error!(%id, %job_id, %why, "a backfill stops"),
        progress => {
            let (completed, failed) = (after.completed, after.failed);
            tracing::info!(%id, %job_id, completed, failed, "a backfill is {}", progress.word());
        }
    }
}
