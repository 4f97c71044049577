//! Load, decide, write: until the write took place or no longer fits.

use super::dispatch::Dispatcher;
use crate::ids::RunKey;
use crate::message::Message;
use crate::ports::{Change, CommitError, Outgoing, StoreError};
use crate::run::{Decision, IllegalTransition, Input, Run, Status, decide};

/// Most times a write is decided again because others wrote first.
const MAX_CONFLICTS: usize = 32;

/// An input that was not carried out.
#[derive(Debug, thiserror::Error)]
pub enum ApplyError {
    /// It does not fit the record, which is as given.
    #[error("{0}")]
    Illegal(IllegalTransition, Box<Run>),
    /// Another run holds the job's lock.
    #[error("run {0} holds the lock of the job")]
    Locked(RunKey),
    /// The record is gone.
    #[error("the record of run {0} is gone")]
    Gone(RunKey),
    /// The store could not be reached.
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl Dispatcher {
    /// Carries out an input on a record, deciding again when others write first.
    ///
    /// # Errors
    /// [`ApplyError`] when the input does not fit, or the store cannot be reached.
    pub async fn apply(&self, mut run: Run, input: Input) -> Result<Run, ApplyError> {
        let key = run.key.clone();
        for _ in 0..MAX_CONFLICTS {
            match self.apply_once(&run, input.clone()).await {
                Ok(next) => return Ok(next),
                Err(Applied::Illegal(illegal)) => return Err(ApplyError::Illegal(illegal, Box::new(run))),
                Err(Applied::Commit(CommitError::Locked(by), _)) => return Err(ApplyError::Locked(by)),
                Err(Applied::Commit(CommitError::Store(error), _)) => return Err(error.into()),
                Err(Applied::Commit(CommitError::Conflict, _)) => {
                    run = self.reload(&key).await?;
                }
                Err(Applied::Commit(CommitError::Unknown(_), decision)) => {
                    run = self.reload(&key).await?;
                    if took_effect(&decision.run, &run) {
                        self.send(&decision).await;
                        return Ok(run);
                    }
                }
            }
        }
        Err(StoreError::new(format!("run {key} was changed by others {MAX_CONFLICTS} times in a row")).into())
    }

    /// Carries out an input on a record exactly as given.
    pub(super) async fn apply_once(&self, run: &Run, input: Input) -> Result<Run, Applied> {
        let now = self.now();
        let mut decision = decide(run, input, now).map_err(Applied::Illegal)?;
        decision.run.rev = run.rev + 1;
        let change = Change {
            run: decision.run.clone(),
            lock: decision.lock,
            message: self.message(&decision),
        };
        match self.site().ports.runs.commit(change).await {
            Ok(sent) => {
                log_change(run, &decision.run);
                if !sent {
                    self.send(&decision).await;
                }
                Ok(decision.run)
            }
            Err(error) => Err(Applied::Commit(error, Box::new(decision))),
        }
    }

    async fn reload(&self, key: &RunKey) -> Result<Run, ApplyError> {
        self.site().ports.runs.load(key).await?.ok_or_else(|| ApplyError::Gone(key.clone()))
    }

    fn message(&self, decision: &Decision) -> Option<Outgoing> {
        let wake = decision.wake.as_ref()?;
        Some(Outgoing { message: Message::about(&self.site().realm, &decision.run), at: wake.at })
    }

    /// Sends the message of a decision. One that is not sent costs time only: the sweeper sends it.
    async fn send(&self, decision: &Decision) {
        if let Some(outgoing) = self.message(decision) {
            for outcome in self.site().ports.queue.send(vec![outgoing]).await {
                if let Err(error) = outcome {
                    let run = &decision.run;
                    tracing::warn!(run_id = %run.run_id, job_id = %run.job_id, %error, "a message was not sent; the sweeper will");
                }
            }
        }
    }
}

/// Why one try at a write came to nothing.
pub(super) enum Applied {
    Illegal(IllegalTransition),
    Commit(CommitError, Box<Decision>),
}

/// Whether a write that was not answered took place: the stored record is the one that was to be
/// written, or one that somebody wrote later over it.
fn took_effect(wanted: &Run, stored: &Run) -> bool {
    stored == wanted
        || (stored.rev > wanted.rev
            && stored.epoch == wanted.epoch
            && stored.lease == wanted.lease
            && stored.status == wanted.status)
}

/// One line when a run ends or is tried again, with what one would search for.
fn log_change(before: &Run, after: &Run) {
    if before.status == after.status || !(after.status.is_end() || after.status == Status::Retrying) {
        return;
    }
    let reason = after.reason.as_deref().unwrap_or_default();
    tracing::info!(job_id = %after.job_id, run_id = %after.run_id, status = %after.status, iteration = before.attempt, reason, "run");
}
