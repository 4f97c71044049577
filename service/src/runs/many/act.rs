//! An act on one run.

use pumice_core::engine::{ApplyError, Dispatcher, RedoError, RedoRequest};
use pumice_core::ids::RunKey;
use pumice_core::job_type::DispatchError;
use pumice_core::ports::RunStore;
use pumice_core::run::{Redo, RedoFrom, Run, Status, StopRequest};

use super::kept::kept_by_others;
use super::{ManyOutcome, Receipt, RetryMany};
use crate::failure::Error;
use crate::realm::Realm;
use crate::runs::CancelOutcome;
use crate::runs::retry::planned;

/// An act on one run.
pub(in crate::runs) enum Act {
    Cancel(Dispatcher, StopRequest),
    Retry(Dispatcher, Box<RetryMany>),
    Delete,
}

impl Act {
    /// The statuses that it is for.
    pub(in crate::runs) fn statuses(&self) -> Vec<Status> {
        let is_meant = |status: &Status| match self {
            Self::Cancel(..) => !status.is_end(),
            Self::Retry(_, how) if how.all => status.is_end(),
            Self::Retry(..) => status.is_failure(),
            Self::Delete => status.is_end(),
        };
        Status::of_runs().filter(is_meant).collect()
    }

    pub(in crate::runs) async fn on(&self, realm: &dyn Realm, run: RunKey) -> Result<Receipt, Error> {
        match self {
            Self::Cancel(dispatcher, asker) => {
                cancelled(dispatcher.cancel_for(&run, asker.clone()).await, run)
            }
            Self::Retry(dispatcher, how) => {
                let from = if how.all { RedoFrom::All } else { RedoFrom::Failed };
                let request = RedoRequest {
                    redo: Redo::of(run.clone(), from, how.spec),
                    parameters: how.parameters.clone(),
                    globals: how.globals.clone(),
                    // Asked again, it makes no other run.
                    once_more: false,
                };
                retry_one(realm, dispatcher, &request, run).await
            }
            Self::Delete => delete_one(realm, run).await,
        }
    }
}

/// Removes the record of a run, unless others need its steps.
async fn delete_one(realm: &dyn Realm, run: RunKey) -> Result<Receipt, Error> {
    if let Some(why) = kept_by_others(realm, &run).await? {
        return Ok(Receipt { run, outcome: ManyOutcome::Refused, by: None, error: Some(why) });
    }
    let store = realm.runs();
    let outcome = if store.remove(&run).await? { ManyOutcome::Deleted } else { kept(store, &run).await? };
    let error = (outcome == ManyOutcome::Refused)
        .then(|| "its actions are still being done: delete it later".to_owned());
    Ok(Receipt { run, outcome, by: None, error })
}

/// Does a run again, after the same checks as `retry` makes of one that is named.
async fn retry_one(
    realm: &dyn Realm,
    dispatcher: &Dispatcher,
    request: &RedoRequest,
    run: RunKey,
) -> Result<Receipt, Error> {
    let again = match dispatcher.again(request).await {
        Ok(again) => again,
        Err(error) => return retried(Err(error), run),
    };
    if let Err(error) = dispatcher.next_replay(&again.run, request).await {
        return retried(Err(error), run);
    }
    match planned(realm, dispatcher, request, again).await {
        Ok(_) => retried(dispatcher.redo(request).await.map(|run| (run.run_id.into(), run.existing)), run),
        Err(error) if error.kind().is_of_request() => {
            let error = Some(error.message().to_owned());
            Ok(Receipt { run, outcome: ManyOutcome::Refused, by: None, error })
        }
        Err(error) => Err(error),
    }
}

/// The outcome for a run that was not removed.
async fn kept(store: &dyn RunStore, run: &RunKey) -> Result<ManyOutcome, Error> {
    let is_there = store.peek(run).await?.is_some();
    Ok(if is_there { ManyOutcome::Refused } else { ManyOutcome::Already })
}

fn cancelled(outcome: Result<Run, ApplyError>, run: RunKey) -> Result<Receipt, Error> {
    let outcome = match outcome {
        Ok(record) => match CancelOutcome::of(&record) {
            CancelOutcome::Cancelled => ManyOutcome::Cancelled,
            CancelOutcome::Stopping | CancelOutcome::Unserved => ManyOutcome::Stopping,
            CancelOutcome::HandedOver => ManyOutcome::HandedOver,
        },
        // It has ended, or was asked to stop before.
        Err(ApplyError::Illegal(..) | ApplyError::Gone(_) | ApplyError::Removed(_)) => ManyOutcome::Already,
        Err(error) => return Err(error.into()),
    };
    Ok(Receipt { run, outcome, by: None, error: None })
}

fn retried(outcome: Result<(RunKey, bool), RedoError>, run: RunKey) -> Result<Receipt, Error> {
    match outcome {
        Ok((by, existing)) => {
            let outcome = if existing { ManyOutcome::Already } else { ManyOutcome::Retried };
            Ok(Receipt { run, outcome, by: Some(by), error: None })
        }
        Err(RedoError::DoneAgain { by, .. }) => {
            Ok(Receipt { run, outcome: ManyOutcome::Already, by: Some(by), error: None })
        }
        Err(RedoError::Store(error) | RedoError::Dispatch(DispatchError::Store(error))) => Err(error.into()),
        Err(error) => {
            Ok(Receipt { run, outcome: ManyOutcome::Refused, by: None, error: Some(error.to_string()) })
        }
    }
}
