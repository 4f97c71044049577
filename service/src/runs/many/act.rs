//! An act on one run.

use pumice_core::engine::{ApplyError, Dispatcher, RedoError, RedoRequest};
use pumice_core::ids::RunKey;
use pumice_core::job_type::DispatchError;
use pumice_core::ports::{RunStore, StoreErrorKind};
use pumice_core::run::{Redo, RedoFrom, Run, Status, StopRequest};

use super::kept::kept_by_others;
use super::{ManyOutcome, Receipt, RetryMany};
use crate::failure::{Error, ErrorKind};
use crate::realm::Realm;
use crate::runs::CancelOutcome;
use crate::runs::retry::planned;

/// An act on one run.
pub(in crate::runs) enum RunAct {
    Cancel(Dispatcher, StopRequest),
    Retry(Dispatcher, Box<RetryMany>),
    Delete,
}

impl RunAct {
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
                let request = redo_of(how, run.clone());
                match unfit(realm, dispatcher, &request, run.clone()).await? {
                    Some(receipt) => Ok(receipt),
                    None => {
                        let made = dispatcher.redo(&request).await;
                        retried(made.map(|made| (made.run_id.into(), made.existing)), run)
                    }
                }
            }
            Self::Delete => delete_one(realm, run).await,
        }
    }

    /// The receipt of a run to which it would do nothing, as it stands now; `None` for one to which it would be done.
    pub(super) async fn look(&self, realm: &dyn Realm, run: RunKey) -> Result<Option<Receipt>, Error> {
        let (key, store) = (run.clone(), realm.runs());
        let receipt = |outcome, error| Receipt { run: key, outcome, by: None, error };
        match self {
            Self::Retry(dispatcher, how) => {
                match unfit(realm, dispatcher, &redo_of(how, run.clone()), run).await {
                    // The act ends there.
                    Err(error) if error.kind() == ErrorKind::Corrupt => {
                        Ok(Some(receipt(ManyOutcome::Refused, Some(error.message().to_owned()))))
                    }
                    outcome => outcome,
                }
            }
            Self::Cancel(..) | Self::Delete => match store.peek(&run).await {
                Ok(Some(record)) => match self {
                    Self::Delete if !record.is_done() => {
                        Ok(Some(receipt(ManyOutcome::Refused, Some(STILL_ACTS.to_owned()))))
                    }
                    Self::Delete => {
                        let why = kept_by_others(realm, &run).await?;
                        Ok(why.map(|why| receipt(ManyOutcome::Refused, Some(why))))
                    }
                    _ => {
                        let is_over = record.cancel || record.status.is_end();
                        Ok(is_over.then(|| receipt(ManyOutcome::Already, None)))
                    }
                },
                Ok(None) => Ok(Some(receipt(ManyOutcome::Already, None))),
                // One that cannot be read may be deleted.
                Err(error) if error.kind == StoreErrorKind::Corrupt => Ok(None),
                Err(error) => Err(error.into()),
            },
        }
    }

    /// The words for runs that were dealt with before.
    pub(super) const fn dealt_with(&self, is_one: bool) -> &'static str {
        match (self, is_one) {
            (Self::Cancel(..), true) => "was asked to stop before or has ended",
            (Self::Cancel(..), false) => "were asked to stop before or have ended",
            (Self::Retry(..), true) => "has been done again",
            (Self::Retry(..), false) => "have been done again",
            (Self::Delete, true) => "is gone",
            (Self::Delete, false) => "are gone",
        }
    }
}

/// Why a run is not deleted whose actions are under way.
const STILL_ACTS: &str = "its actions are still being done: delete it later";

/// The request for one run.
fn redo_of(how: &RetryMany, run: RunKey) -> RedoRequest {
    let from = if how.all { RedoFrom::All } else { RedoFrom::Failed };
    RedoRequest {
        redo: Redo::of(run, from, how.spec),
        parameters: how.parameters.clone(),
        globals: how.globals.clone(),
        // Asked again, it makes no other run.
        once_more: false,
    }
}

/// Removes the record of a run, unless others need its steps.
async fn delete_one(realm: &dyn Realm, run: RunKey) -> Result<Receipt, Error> {
    if let Some(why) = kept_by_others(realm, &run).await? {
        return Ok(Receipt { run, outcome: ManyOutcome::Refused, by: None, error: Some(why) });
    }
    let store = realm.runs();
    let outcome = if store.remove(&run).await? { ManyOutcome::Deleted } else { kept(store, &run).await? };
    let error = (outcome == ManyOutcome::Refused).then(|| STILL_ACTS.to_owned());
    Ok(Receipt { run, outcome, by: None, error })
}

/// The receipt of a run that is not done again, after the same checks as `retry` makes of one that is named; `None` for one
/// that may be.
async fn unfit(
    realm: &dyn Realm,
    dispatcher: &Dispatcher,
    request: &RedoRequest,
    run: RunKey,
) -> Result<Option<Receipt>, Error> {
    let again = match dispatcher.again(request).await {
        Ok(again) => again,
        Err(error) => return retried(Err(error), run).map(Some),
    };
    if let Err(error) = dispatcher.next_replay(&again.run, request).await {
        return retried(Err(error), run).map(Some);
    }
    match planned(realm, dispatcher, request, again).await {
        Ok(_) => Ok(None),
        Err(error) if error.kind().is_of_request() => {
            let error = Some(error.message().to_owned());
            Ok(Some(Receipt { run, outcome: ManyOutcome::Refused, by: None, error }))
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
