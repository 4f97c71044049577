//! Stopping runs.

use pumice_core::engine::{ApplyError, Dispatcher};
use pumice_core::ids::RunKey;
use pumice_core::ports::RunStore;
use pumice_core::run::{IllegalTransition, Input, MAX_STOP_TEXT, Run, StopRequest, decide};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{find, trees};
use crate::audit::Act;
use crate::failure::Error;
use crate::realm::Realm;

/// Which runs to stop.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct CancelRuns {
    /// The runs: their ids or the beginnings of them, `latest`, or `latest:JOB`.
    pub runs: Vec<String>,
    /// Why; the runs' records say so, and by whom they were cancelled.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub why: Option<String>,
    /// Show what would become of each, and stop none.
    #[serde(default)]
    pub dry_run: bool,
}

/// The outcome for the runs.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Cancelled {
    /// Those that were cancelled, or are asked to stop.
    pub runs: Vec<CancelledRun>,
    /// Those that cannot be cancelled, and why.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub refused: Vec<NotCancelled>,
    /// Whether nothing was done.
    #[serde(default)]
    pub dry_run: bool,
}

/// A run that was cancelled.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct CancelledRun {
    /// The run.
    pub run: RunKey,
    /// Its outcome.
    pub outcome: CancelOutcome,
}

/// A run that cannot be cancelled.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct NotCancelled {
    /// The run.
    pub run: RunKey,
    /// Why: a lower-case fragment that names the run.
    pub error: String,
}

/// The outcome for a run that was to be cancelled.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum CancelOutcome {
    /// It never starts.
    Cancelled,
    /// It is asked to stop.
    Stopping,
    /// It is asked to stop, and nothing serves the folder that could stop it.
    Unserved,
    /// It is cancelled, but a worker of lava has its message, and may run it all the same.
    HandedOver,
}

impl CancelOutcome {
    /// The outcome for a run, by its record after the request.
    pub(super) const fn of(record: &Run) -> Self {
        match record.status.is_end() {
            _ if record.handed_over.is_some() => Self::HandedOver,
            true => Self::Cancelled,
            false => Self::Stopping,
        }
    }

    /// The words before the run.
    #[must_use]
    pub const fn words(self) -> &'static str {
        match self {
            Self::Cancelled => "cancelled",
            Self::Stopping => "stopping",
            Self::Unserved => "nothing serves this folder, and `pumice serve` stops",
            Self::HandedOver => "cancelled, but lava's worker may run it all the same:",
        }
    }
}

/// Asks runs to stop: one that waits never starts, one that runs is stopped.
///
/// # Errors
/// [`Error`] when one of the names is not a run's, in which case nothing is cancelled, or the store cannot be
/// reached.
pub async fn cancel(realm: &dyn Realm, request: &CancelRuns) -> Result<Cancelled, Error> {
    let act = Act::new("runs cancel", request).dry(request.dry_run);
    act.record(realm, cancelling(realm, request, &act)).await
}

/// Asks a run to stop, and all that it started: in a realm that is made for this run, and keeps no audit of it.
///
/// # Errors
/// [`Error`] when the store cannot be reached.
pub async fn cancel_tree(dispatcher: &Dispatcher, store: &dyn RunStore, root: &RunKey) -> Result<(), Error> {
    for run in trees(store, std::slice::from_ref(root)).await? {
        match dispatcher.cancel(&run.key).await {
            // One that has ended or was stopped meanwhile needs no cancelling.
            Ok(_) | Err(ApplyError::Illegal(..) | ApplyError::Gone(_) | ApplyError::Removed(_)) => {}
            Err(error) => return Err(error.into()),
        }
    }
    Ok(())
}

/// The request to stop runs, with its actor and reason.
///
/// # Errors
/// [`Error`] when the reason is too long, or the actor is unknown.
pub(super) async fn stop_request(realm: &dyn Realm, why: Option<&str>) -> Result<StopRequest, Error> {
    if let Some(why) = why.filter(|why| why.len() > MAX_STOP_TEXT) {
        return Err(Error::invalid(format!("why: {} bytes are more than {MAX_STOP_TEXT}", why.len())));
    }
    Ok(StopRequest::new(&realm.actor().await?.who, why))
}

async fn cancelling(realm: &dyn Realm, request: &CancelRuns, act: &Act) -> Result<Cancelled, Error> {
    let asker = stop_request(realm, request.why.as_deref()).await?;
    let mut keys = Vec::with_capacity(request.runs.len());
    for run in &request.runs {
        let key = find(realm, run).await?;
        act.touched("run", key.as_str());
        keys.push(key);
    }
    let dispatcher = Dispatcher::new(realm.site().await?, realm.registry().clone());
    let stopping = match realm.is_served() {
        Some(false) => CancelOutcome::Unserved,
        _ => CancelOutcome::Stopping,
    };
    let mut cancelled = Cancelled { dry_run: request.dry_run, ..Cancelled::default() };
    for run in keys {
        let stopped = match request.dry_run {
            true => foreseen(realm, &run, asker.clone()).await,
            false => dispatcher.cancel_for(&run, asker.clone()).await,
        };
        let refused = match stopped {
            Ok(record) => {
                let outcome = match CancelOutcome::of(&record) {
                    CancelOutcome::Stopping => stopping,
                    outcome => outcome,
                };
                cancelled.runs.push(CancelledRun { run, outcome });
                continue;
            }
            Err(ApplyError::Illegal(IllegalTransition::Ended, record)) => {
                format!("run {run} has ended: {}", record.status)
            }
            Err(ApplyError::Illegal(..)) => {
                cancelled.runs.push(CancelledRun { run, outcome: stopping });
                continue;
            }
            Err(ApplyError::Gone(_)) => format!("no such run {run}"),
            Err(error) => return Err(error.into()),
        };
        cancelled.refused.push(NotCancelled { run, error: refused });
    }
    if let (true, Some(first)) = (cancelled.runs.is_empty(), cancelled.refused.first()) {
        act.refuse(first.error.clone());
    }
    Ok(cancelled)
}

/// The record of a run as it would be once it was asked to stop now.
async fn foreseen(realm: &dyn Realm, key: &RunKey, asker: StopRequest) -> Result<Run, ApplyError> {
    let run = realm.runs().peek(key).await?.ok_or_else(|| ApplyError::Gone(key.clone()))?;
    match decide(&run, Input::Stop(Box::new(asker)), realm.now()) {
        Ok(decision) => Ok(decision.run),
        Err(error) => Err(ApplyError::Illegal(error, Box::new(run))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cancel_outcome_is_written_as_one_word() {
        for (outcome, word) in [
            (CancelOutcome::Cancelled, "cancelled"),
            (CancelOutcome::Stopping, "stopping"),
            (CancelOutcome::Unserved, "unserved"),
            (CancelOutcome::HandedOver, "handed_over"),
        ] {
            assert_eq!(serde_json::to_value(outcome).unwrap(), word);
            let words = outcome.words();
            assert!(words.starts_with("cancelled") || words.ends_with("serve` stops") || words == word);
        }
    }
}
