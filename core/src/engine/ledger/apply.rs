//! Load, decide, write: until the write took place or no longer fits.

use futures_util::future::BoxFuture;

use super::Ledger;
use super::events::has_grown;
use super::span::tell_end;
use crate::Timestamp;
use crate::duration::Span;
use crate::engine::limits::LEASE_MARGIN;
use crate::ids::RunKey;
use crate::permits::{Gate, PermitChange};
use crate::ports::{Change, CommitError, Created, Outgoing, StoreError, StoreErrorKind};
use crate::run::{Decision, IllegalTransition, Input, NewRun, Part, Run, Status, Wake, decide, settle};

/// Most times one input is tried because others wrote first.
const MAX_TRIES: usize = 100;
/// How long a write that no claim waits for is tried when the store does not answer.
const PATIENCE: Span = Span::from_secs(5);
/// The pause after the first time the store did not answer; doubled each time.
const FIRST_PAUSE: Span = Span::from_secs(1);
/// The longest pause.
const MAX_PAUSE: Span = Span::from_secs(8);

/// An input that was not carried out.
#[derive(Debug, thiserror::Error)]
pub enum ApplyError {
    /// It does not fit the record, which is as given.
    #[error("{0}")]
    Illegal(IllegalTransition, Box<Run>),
    /// Another run holds the job's lock.
    #[error("run {0} holds the lock of the job")]
    Locked(RunKey),
    /// The gate has no permit left, or its line is another than when it was looked at.
    #[error("no permit of {} is left", .0.words())]
    Full(Gate),
    /// There is no such record.
    #[error("the record of run {0} is gone")]
    Gone(RunKey),
    /// The record was removed meanwhile; it was last as given.
    #[error("the record of run {} was removed", .0.key)]
    Removed(Box<Run>),
    /// The record would be larger than the store takes, or of a form that it cannot keep.
    #[error("{0}")]
    Unrecordable(String),
    /// The store could not be reached.
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl From<ApplyError> for StoreError {
    fn from(error: ApplyError) -> Self {
        let kind = match error {
            ApplyError::Store(error) => return error,
            ApplyError::Locked(_) | ApplyError::Full(_) => StoreErrorKind::Throttled,
            ApplyError::Gone(_) | ApplyError::Removed(_) => StoreErrorKind::Missing,
            ApplyError::Illegal(..) => StoreErrorKind::Corrupt,
            ApplyError::Unrecordable(_) => StoreErrorKind::Invalid,
        };
        Self::of(kind, error.to_string())
    }
}

impl Ledger {
    /// Carries out an input on a record, deciding again when others write first, and trying again
    /// for a while when the store does not answer: as long as the writer's claim holds. Details that
    /// the store can never keep are left out where possible: tried again as it is, the end of an
    /// attempt would be refused until the claim ran out, and the attempt made again.
    ///
    /// # Errors
    /// [`ApplyError`] when the input does not fit, or the store cannot be reached.
    pub(in crate::engine) fn apply(&self, run: Run, input: Input) -> BoxFuture<'_, Result<Run, ApplyError>> {
        // Boxed: else all that wait for it carry its room about, and there are many.
        Box::pin(self.apply_patiently(Known { run, stale: false, unsure: None }, input))
    }

    async fn apply_patiently(&self, mut known: Known, mut input: Input) -> Result<Run, ApplyError> {
        let (key, run_id, job_id) = (known.run.key.clone(), known.run.run_id, known.run.job_id.clone());
        let give_up = patience(&known.run, &input, self.now());
        let mut pause = FIRST_PAUSE;
        let mut tries = 0;
        while tries < MAX_TRIES {
            match self.try_apply(&key, &mut known, input.clone()).await {
                Ok(Some(next)) => return Ok(next),
                Ok(None) => tries += 1,
                Err(ApplyError::Store(error)) => {
                    let next = self.now() + pause.delta();
                    if give_up.is_some_and(|give_up| next >= give_up) {
                        return Err(error.into());
                    }
                    tracing::warn!(%run_id, %job_id, %key, %error, "a write is tried again");
                    self.site().ports.clock.sleep_until(next).await;
                    pause = Span::from(pause.get() * 2).min(MAX_PAUSE);
                }
                Err(ApplyError::Unrecordable(why)) => match input.without_what_can_be_left_out(&why) {
                    Some(less) => {
                        tries += 1;
                        tracing::warn!(%run_id, %job_id, %key, error = %why, "a write is tried again with less");
                        input = less;
                    }
                    None => return Err(ApplyError::Unrecordable(why)),
                },
                Err(error) => return Err(error),
            }
        }
        let why = format!("run {key} could not be written in {MAX_TRIES} tries, as others wrote to it");
        Err(StoreError::of(StoreErrorKind::Throttled, why).into())
    }

    /// One try; `None` when the record must be read again first.
    async fn try_apply(
        &self,
        key: &RunKey,
        known: &mut Known,
        input: Input,
    ) -> Result<Option<Run>, ApplyError> {
        if known.stale {
            let stored = self.site().ports.runs.load(key).await?;
            known.run = stored.ok_or_else(|| ApplyError::Removed(Box::new(known.run.clone())))?;
            known.stale = false;
        }
        if let Some(decision) = known.unsure.take()
            && took_effect(&decision.run, &known.run)
        {
            Box::pin(self.send(&decision)).await;
            if self.site().settings.lava_events {
                Box::pin(self.tell_lava(&known.run)).await;
            }
            return Ok(Some(known.run.clone()));
        }
        let applied = self.apply_once(&known.run, input).await;
        known.stale = !matches!(applied, Err(NotApplied::Commit(CommitError::Unrecordable(_), _)));
        match applied {
            Ok(next) => Ok(Some(next)),
            Err(NotApplied::Illegal(illegal)) => {
                Err(ApplyError::Illegal(illegal, Box::new(known.run.clone())))
            }
            Err(NotApplied::Commit(CommitError::Locked(by), _)) => Err(ApplyError::Locked(by)),
            Err(NotApplied::Commit(CommitError::Full(gate), _)) => Err(ApplyError::Full(gate)),
            Err(NotApplied::Commit(CommitError::Unrecordable(why), _)) => Err(ApplyError::Unrecordable(why)),
            // A conflict may be with this very write: an answer was lost and the request repeated.
            Err(NotApplied::Commit(CommitError::Conflict | CommitError::Unknown(_), decision)) => {
                known.unsure = Some(decision);
                Ok(None)
            }
            Err(NotApplied::Commit(CommitError::Store(error), decision)) => {
                known.unsure = Some(decision);
                Err(error.into())
            }
        }
    }

    /// Notes in a run's record that its message was not sent, so that the next sweep sends it, whatever else waits. Where
    /// that cannot be written, it is found as one whose message was lost.
    pub(super) async fn note_unsent(&self, key: &RunKey) {
        let noted = match self.site().ports.runs.load(key).await {
            Ok(Some(run)) => self.apply_once(&run, Input::Unsent).await.map(drop),
            Ok(None) => Ok(()),
            Err(error) => return tracing::debug!(%key, %error, "it is not noted that a message was not sent"),
        };
        // Its message may have come all the same: then the run is under way.
        if let Err(NotApplied::Commit(error, _)) = noted {
            tracing::debug!(%key, %error, "it is not noted that a message was not sent");
        }
    }

    /// Carries out an input on a record exactly as given.
    pub(in crate::engine) async fn apply_once(&self, run: &Run, input: Input) -> Result<Run, NotApplied> {
        let now = self.now();
        if self.site().alone && self.live.is_taken(run, &input) {
            // However long it stood still, no other process can have claimed the run, and it ends what it has begun.
            return Err(NotApplied::Illegal(IllegalTransition::Held));
        }
        let is_absent = matches!(input, Input::Absent);
        let (mut change, wake) = self.change(run, input, now).map_err(NotApplied::Illegal)?;
        match self.site().ports.runs.commit(&change).await {
            Ok(sent) => {
                log_change(run, &change.run);
                tell_end(run, &change.run);
                if must_hurry_clock(run, &change.run) {
                    Box::pin(self.hurry_clock(&change.run)).await;
                }
                if let Some(message) = change.message.take().filter(|_| !sent) {
                    Box::pin(self.send_message(message)).await;
                }
                // The caller that takes absent runs from a line goes on with it.
                if let Some(PermitChange::Leave { gate, .. }) = change.permit.take().filter(|_| !is_absent) {
                    Box::pin(self.call_waiting(&gate)).await;
                }
                // Last: nothing of the run waits for it.
                if self.site().settings.lava_events && has_grown(run, &change.run) {
                    Box::pin(self.tell_lava(&change.run)).await;
                }
                Ok(change.run)
            }
            Err(error) => {
                let Change { run, lock, permit, .. } = change;
                Err(NotApplied::Commit(error, Box::new(Decision { run, wake, lock, permit })))
            }
        }
    }

    /// The change of a record that follows from an input, with the wake-up that its message is for.
    ///
    /// Apart from [`Ledger::apply_once`], which keeps only what this gives while it waits: a record is large.
    fn change(
        &self,
        run: &Run,
        input: Input,
        now: Timestamp,
    ) -> Result<(Change, Option<Wake>), IllegalTransition> {
        let mut decision = self.decided(run, input, now)?;
        decision.run.rev = run.rev + 1;
        decision.run.mask_secrets();
        let message = self.message(&decision);
        let Decision { run, wake, lock, permit } = decision;
        Ok((Change { run, lock, permit, message }, wake))
    }

    /// The decision, with the time when the record expires: it follows from the realm's settings.
    fn decided(&self, run: &Run, input: Input, now: Timestamp) -> Result<Decision, IllegalTransition> {
        let mut decision = decide(run, input, now)?;
        if !run.status.is_end() {
            settle(&mut decision.run, &self.site().settings.event_ttl, now);
        }
        Ok(decision)
    }

    /// Has the clock look at a job of which a run that a schedule started has ended badly: it may have been the last that
    /// its entry may lose. Where that is not recorded the next slot finds it.
    async fn hurry_clock(&self, after: &Run) {
        if let Err(error) = self.site().ports.schedules.hurry(&after.job_id, self.now()).await {
            tracing::warn!(job_id = %after.job_id, run_id = %after.run_id, %error, "the clock sees the end of a run at its next look");
        }
    }

    /// Carries out an input on a record that is not stored yet.
    ///
    /// # Errors
    /// [`IllegalTransition`] when the input does not fit the record.
    pub(in crate::engine) fn decide_new(&self, run: &Run, input: Input) -> Result<Run, IllegalTransition> {
        let mut next = self.decided(run, input, self.now())?.run;
        next.rev = run.rev;
        next.mask_secrets();
        Ok(next)
    }

    /// Makes one record, or finds the one that is there.
    ///
    /// # Errors
    /// [`StoreError`] when it is not known to be made. One that the store refuses for good is not an error:
    /// [`Created::refused`] says why.
    pub(in crate::engine) async fn create_one(
        &self,
        making: &[(NewRun, Option<Outgoing>); 1],
    ) -> Result<Created, StoreError> {
        let created = self.site().ports.runs.create(making).await?.pop();
        let created = created.ok_or_else(|| StoreError::unreachable("the store gave no answer"))?;
        match &created.failed {
            Some(error) => Err(error.clone()),
            None => Ok(created),
        }
    }
}

/// Whether a run that a schedule started has ended badly.
fn must_hurry_clock(before: &Run, after: &Run) -> bool {
    let ends_badly = matches!(after.status, Status::Failed | Status::Rejected);
    ends_badly && !before.status.is_end() && after.scheduled.is_some() && !after.is_child()
}

/// Why one try at a write came to nothing.
pub(in crate::engine) enum NotApplied {
    Illegal(IllegalTransition),
    Commit(CommitError, Box<Decision>),
}

/// The state between two tries.
struct Known {
    /// The record as it was seen last.
    run: Run,
    /// Whether it must be read again.
    stale: bool,
    /// A write that may have taken place.
    unsure: Option<Box<Decision>>,
}

/// Until when an input is tried; `None` for as long as the store does not answer. The outcome of an attempt counts until
/// another worker has claimed the run: if it is not recorded, the attempt is made again.
fn patience(run: &Run, input: &Input, now: Timestamp) -> Option<Timestamp> {
    let claimed = match input {
        Input::Finish { worker, epoch, .. } if run.is_held(worker, *epoch) => return None,
        Input::Suspend { worker, epoch, .. }
        | Input::ActionDone { worker, epoch, .. }
        | Input::DutiesDone { worker, epoch }
        | Input::LeaveDuties { worker, epoch } => run.lease.as_ref().filter(|_| run.is_held(worker, *epoch)),
        _ => None,
    };
    // A write after the claim ran out does no harm: it is refused if another worker has the run.
    Some(claimed.map_or(now + PATIENCE.delta(), |lease| lease.until.max(now + LEASE_MARGIN.delta())))
}

/// Whether a write that was not answered took place: the stored record has all that it was to
/// bring, even if others wrote since.
pub(in crate::engine) fn took_effect(wanted: &Run, stored: &Run) -> bool {
    // Not the whole record: another version of the program may have left out what it does not know.
    stored.rev >= wanted.rev
        && stored.epoch == wanted.epoch
        && stored.lease == wanted.lease
        && stored.status == wanted.status
        && stored.attempt == wanted.attempt
        && stored.not_before == wanted.not_before
        && stored.duties == wanted.duties
        && (stored.rendered == wanted.rendered || wanted.place_of(Part::Rendered).is_some())
        && stored.cancel >= wanted.cancel
        // Another person's request has the same effect, and is not this one.
        && (wanted.stopped_by.is_none() || stored.stopped_by == wanted.stopped_by)
        && stored.replaced_by.is_some() >= wanted.replaced_by.is_some()
        && stored.handed_over == wanted.handed_over
}

/// Logs a run whose record was removed while it went on.
pub(in crate::engine) fn log_gone(run: &Run) {
    tracing::warn!(run_id = %run.run_id, job_id = %run.job_id, key = %run.key, "the record is gone; nothing more is done about the run");
}

/// The record after an input that was not carried out: the run as others have it, which is theirs to go
/// on with, or as it was last when its record was removed. That is not an error: the message would come
/// again, and find no record, and start the job anew.
pub(in crate::engine) fn rest(error: ApplyError) -> Result<Run, StoreError> {
    match error {
        ApplyError::Illegal(_, run) => Ok(*run),
        ApplyError::Removed(run) => {
            log_gone(&run);
            Ok(*run)
        }
        error => Err(error.into()),
    }
}

/// The error of a new record that does not take the input with which it is to be made.
pub(in crate::engine) fn unfit(key: &RunKey, error: IllegalTransition) -> StoreError {
    StoreError::of(StoreErrorKind::Corrupt, format!("cannot record the transition of run {key}: {error}"))
}

/// How long a run waited for its first attempt, which is over: a retry has a time of its own.
fn delay(before: &Run, started: Option<Timestamp>) -> Option<chrono::TimeDelta> {
    let start = started.filter(|_| before.attempt == 1)?;
    Some(start - before.was_due().min(start))
}

/// One line when a run ends or is tried again, with what one would search for.
fn log_change(before: &Run, after: &Run) {
    if before.status == after.status || !(after.status.is_end() || after.status == Status::Retrying) {
        return;
    }
    let reason = after.reason.as_deref();
    let started = after.ts_start.or(before.ts_start);
    // How long it took, and how long it waited after it could have started.
    let took_ms = started.zip(after.ts_end).map(|(start, end)| (end - start).num_milliseconds());
    let delay_ms = delay(before, started).map(|delay| delay.num_milliseconds());
    macro_rules! tell {
        ($level:ident) => {
            tracing::$level!(target: "pumice::run", job_id = %after.job_id, run_id = %after.run_id, worker = %after.worker, status = %after.status, iteration = before.attempt, took_ms, delay_ms, reason, "run")
        };
    }
    match after.status {
        Status::Failed | Status::Rejected => tell!(warn),
        _ => tell!(info),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ids::{JobId, RunId, WorkerName};

    /// A run that is tried again has waited, too.
    #[test]
    fn delay_is_that_of_the_first_attempt_however_it_ends() {
        let at = |ms: i64| Timestamp::from_timestamp_millis(1_767_225_600_000 + ms).unwrap();
        let about = (JobId::new("etl/load").unwrap(), "cmd".to_owned(), WorkerName::new("core").unwrap());
        let run_id = RunId(uuid::Uuid::nil());
        let run = Run::dispatched(RunKey::root(run_id), run_id, about, at(0), at(500), Span::from_days(2));
        let of = |attempt, started| {
            let before = Run { attempt, not_before: at(500), ..run.clone() };
            delay(&before, started).map(|delay| delay.num_milliseconds())
        };
        assert_eq!(of(1, Some(at(750))), Some(250));
        assert_eq!(of(1, Some(at(400))), Some(0), "clocks differ");
        assert_eq!(of(1, None), None);
        assert_eq!(of(2, Some(at(750))), None);
    }
}
