//! Acts on all runs that a filter means: cancelling, doing again, deleting. A look counts them first, and the act is refused
//! where it would be about other ones.

use futures_util::stream::{self, StreamExt};
use pumice_core::engine::{ApplyError, Dispatcher, RedoError, RedoRequest};
use pumice_core::filter::{Filter, Wanted};
use pumice_core::ids::{JobId, RunKey};
use pumice_core::job_type::DispatchError;
use pumice_core::ports::{Order, RunPage, RunQuery, RunStore};
use pumice_core::run::{IllegalTransition, Redo, RedoFrom, Run, SpecOf, Status, StopRequest};
use pumice_core::spec::Timezone;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::cancel::stop_request;
use super::retry::planned;
use super::{CancelOutcome, asked};
use crate::audit;
use crate::failure::Error;
use crate::realm::Realm;
use crate::time::Instant;

/// Most runs that a look shows.
const FIRST: usize = 20;
/// How many runs are read at once.
const PAGE: usize = 500;
/// How many acts are under way at once.
const AT_ONCE: usize = 64;
/// Most outcomes that an answer has one by one.
const MAX_RECEIPTS: usize = 10_000;

/// Which runs are meant.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ManyRuns {
    /// The terms that mean them, as `status:waiting job:etl/*`. Without any term it is refused.
    #[serde(rename = "where")]
    pub filter: String,
    /// The zone of times in it that name none, in place of the realm's.
    #[serde(default)]
    pub zone: Option<Timezone>,
    /// How many a look has shown: where there are more or fewer now, nothing is done.
    #[serde(default)]
    pub expect: Option<u64>,
    /// Only runs that were dispatched before this, as a look says it; those of now where it is missing.
    #[serde(default)]
    pub before: Option<Instant>,
    /// Why; the records of runs that are cancelled say so, and by whom.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub why: Option<String>,
    /// Only count them, and show the first.
    #[serde(default)]
    pub dry_run: bool,
}

/// Which runs are done again, and how.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct RetryMany {
    /// Which.
    pub runs: ManyRuns,
    /// Whether all steps are run again, rather than those that did not end well.
    #[serde(default)]
    pub all: bool,
    /// Which spec of the job and its steps is used.
    #[serde(default)]
    pub spec: SpecOf,
    /// Parameters over those that the runs had, key by key.
    #[serde(default)]
    pub parameters: Map<String, Value>,
    /// Globals over those that the runs had, key by key.
    #[serde(default)]
    pub globals: Map<String, Value>,
}

/// What was found, and what became of it.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct ManyDone {
    /// The terms, those that follow from the act among them.
    #[serde(rename = "where")]
    pub filter: String,
    /// They were dispatched before this.
    pub before: Option<Instant>,
    /// How many there were.
    pub count: u64,
    /// Whether nothing was done.
    pub dry_run: bool,
    /// The first of them, the oldest first; of a look alone.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub first: Vec<ManyRun>,
    /// How many it was done to.
    pub done: u64,
    /// How many had been dealt with before, or by others meanwhile.
    pub already: u64,
    /// How many it could not be done to.
    pub refused: u64,
    /// What became of each, those that were refused first where there are very many.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub receipts: Vec<Receipt>,
    /// How many more outcomes there are than are told one by one.
    #[serde(default)]
    pub more_receipts: u64,
    /// What the store had to do without.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub note: Option<String>,
}

/// A run that a look found.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct ManyRun {
    /// The run.
    pub run: RunKey,
    /// Its job.
    #[serde(deserialize_with = "JobId::deserialize_stored")]
    pub job_id: JobId,
    /// Where it stands.
    pub status: Status,
    /// When it was dispatched.
    pub ts_dispatch: Instant,
    /// Why it did not end well.
    pub reason: Option<String>,
}

/// What became of a run.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Receipt {
    /// The run.
    pub run: RunKey,
    /// What was done.
    pub outcome: ManyOutcome,
    /// The run that does it again.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub by: Option<RunKey>,
    /// Why it could not be done.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
}

/// What was done to a run.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum ManyOutcome {
    /// It never starts.
    Cancelled,
    /// It is asked to stop.
    Stopping,
    /// It is cancelled, but a worker of lava has its message, and may run it all the same.
    HandedOver,
    /// A new run does it again.
    Retried,
    /// Its records are gone.
    Deleted,
    /// It had been done before, or the run has ended or gone meanwhile.
    Already,
    /// It could not be done.
    Refused,
}

/// Hears of each outcome, and of how many there are in all.
pub type Heard<'h> = &'h mut (dyn FnMut(&Receipt, u64) + Send);

/// An act on one run.
enum Act {
    Cancel(Dispatcher, StopRequest),
    Retry(Dispatcher, Box<RetryMany>),
    Delete,
}

impl Act {
    /// The statuses that it is for.
    fn statuses(&self) -> Vec<Status> {
        let is_meant = |status: &Status| match self {
            Self::Cancel(..) => !status.is_end(),
            Self::Retry(_, how) if how.all => status.is_end(),
            Self::Retry(..) => status.is_failure(),
            Self::Delete => status.is_end(),
        };
        Status::of_runs().filter(is_meant).collect()
    }

    async fn on(&self, realm: &dyn Realm, run: RunKey) -> Result<Receipt, Error> {
        let store = realm.runs();
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
            Self::Delete => {
                let outcome =
                    if store.remove(&run).await? { ManyOutcome::Deleted } else { kept(store, &run).await? };
                let error = (outcome == ManyOutcome::Refused)
                    .then(|| "its actions are still being done: delete it later".to_owned());
                Ok(Receipt { run, outcome, by: None, error })
            }
        }
    }
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

/// What became of a run that was not removed.
async fn kept(store: &dyn RunStore, run: &RunKey) -> Result<ManyOutcome, Error> {
    let is_there = store.peek(run).await?.is_some();
    Ok(if is_there { ManyOutcome::Refused } else { ManyOutcome::Already })
}

fn cancelled(outcome: Result<Run, ApplyError>, run: RunKey) -> Result<Receipt, Error> {
    let outcome = match outcome {
        Ok(record) => match CancelOutcome::of(&record) {
            CancelOutcome::Cancelled => ManyOutcome::Cancelled,
            CancelOutcome::Stopping => ManyOutcome::Stopping,
            CancelOutcome::HandedOver => ManyOutcome::HandedOver,
        },
        Err(
            ApplyError::Illegal(IllegalTransition::Ended, _) | ApplyError::Gone(_) | ApplyError::Removed(_),
        ) => ManyOutcome::Already,
        // It was asked to before.
        Err(ApplyError::Illegal(..)) => ManyOutcome::Stopping,
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

/// Asks all runs that a filter means to stop.
///
/// # Errors
/// [`Error`] when the filter is invalid or empty, their number is not the one that is expected, or the store cannot be
/// reached: some may be cancelled then, and to ask again does no harm.
pub async fn cancel_many(realm: &dyn Realm, request: &ManyRuns) -> Result<ManyDone, Error> {
    cancel_many_heard(realm, request, &mut |_, _| {}).await
}

/// The same, told of each outcome.
///
/// # Errors
/// As [`cancel_many`].
pub async fn cancel_many_heard(
    realm: &dyn Realm,
    request: &ManyRuns,
    heard: Heard<'_>,
) -> Result<ManyDone, Error> {
    let audited = audit::Act::new("runs cancel --where", request).dry(request.dry_run);
    let work = async {
        let asker = stop_request(realm, request.why.as_deref()).await?;
        act(realm, request, Act::Cancel(dispatcher(realm).await?, asker), heard).await
    };
    audited.record(realm, work).await
}

/// Does all runs again that a filter means and that did not end well, each once: asked again, those that were done again
/// before are left as they are.
///
/// # Errors
/// [`Error`] when the filter is invalid or empty, their number is not the one that is expected, or the store cannot be
/// reached: some may be done again then, and to ask again does no harm.
pub async fn retry_many(realm: &dyn Realm, request: &RetryMany) -> Result<ManyDone, Error> {
    retry_many_heard(realm, request, &mut |_, _| {}).await
}

/// The same, told of each outcome.
///
/// # Errors
/// As [`retry_many`].
pub async fn retry_many_heard(
    realm: &dyn Realm,
    request: &RetryMany,
    heard: Heard<'_>,
) -> Result<ManyDone, Error> {
    let audited = audit::Act::new("runs retry --where", request).dry(request.runs.dry_run);
    let work = async {
        pumice_core::problem::SpecError::check(pumice_core::request::check_globals(&request.globals))?;
        let how = Act::Retry(dispatcher(realm).await?, Box::new(request.clone()));
        act(realm, &request.runs, how, heard).await
    };
    audited.record(realm, work).await
}

/// Removes the records of all runs that a filter means and that have ended, with those of their steps. What their commands
/// printed goes with them; their idempotency keys are free again.
///
/// # Errors
/// [`Error`] when the filter is invalid or empty, their number is not the one that is expected, or the store cannot be
/// reached: some may be deleted then.
pub async fn delete_many(realm: &dyn Realm, request: &ManyRuns) -> Result<ManyDone, Error> {
    delete_many_heard(realm, request, &mut |_, _| {}).await
}

/// The same, told of each outcome.
///
/// # Errors
/// As [`delete_many`].
pub async fn delete_many_heard(
    realm: &dyn Realm,
    request: &ManyRuns,
    heard: Heard<'_>,
) -> Result<ManyDone, Error> {
    let audited = audit::Act::new("runs delete", request).dry(request.dry_run);
    audited.record(realm, act(realm, request, Act::Delete, heard)).await
}

async fn dispatcher(realm: &dyn Realm) -> Result<Dispatcher, Error> {
    Ok(Dispatcher::new(realm.site().await?, realm.registry().clone()))
}

async fn act(realm: &dyn Realm, request: &ManyRuns, act: Act, heard: Heard<'_>) -> Result<ManyDone, Error> {
    let filter = asked::parsed(Some(&request.filter))?;
    if filter.is_empty() {
        let message =
            "where: it is empty, and would mean every run: say which, as status:waiting, or job:* for all";
        return Err(Error::invalid(message));
    }
    let before = request.before.map_or_else(|| realm.now(), |before| before.0);
    let filter = filter.and(Wanted::Status(act.statuses()));
    let query = bounded(realm, filter.clone(), request, before).await?;
    let mut done = ManyDone {
        filter: filter.to_string(),
        before: Some(Instant(before)),
        dry_run: request.dry_run,
        ..counted(realm.runs(), &query, request.dry_run).await?
    };
    if let Some(expected) = request.expect.filter(|expected| *expected != done.count) {
        return Err(Error::new(
            crate::failure::ErrorKind::Conflict,
            format!(
                "{} runs are meant now, and not {expected}: nothing is done; look again with a dry run",
                done.count
            ),
        ));
    }
    if !request.dry_run {
        act_on_all(realm, query, &act, &mut done, heard).await?;
    }
    Ok(done)
}

/// The query for the runs of a filter that were dispatched before a time, the oldest first.
async fn bounded(
    realm: &dyn Realm,
    filter: Filter,
    request: &ManyRuns,
    before: pumice_core::Timestamp,
) -> Result<RunQuery, Error> {
    let query = asked::query(realm, filter, request.zone, false).await?;
    let until = query.until.map_or(before, |until| until.min(before));
    Ok(RunQuery { until: Some(until), order: Order::Oldest, limit: PAGE, without_alerts: true, ..query })
}

/// How many there are, and the first where they are asked for.
async fn counted(store: &dyn RunStore, query: &RunQuery, shows: bool) -> Result<ManyDone, Error> {
    let mut done = ManyDone::default();
    let mut query = query.clone();
    loop {
        let RunPage { runs, next, note, .. } = store.page(&query).await?;
        done.count += u64::try_from(runs.len()).unwrap_or(u64::MAX);
        done.note = done.note.or(note);
        if shows && done.first.len() < FIRST {
            let rest = FIRST - done.first.len();
            done.first.extend(runs.into_iter().take(rest).map(|run| ManyRun {
                run: run.key,
                job_id: run.job_id,
                status: run.status,
                ts_dispatch: Instant(run.ts_dispatch),
                reason: run.reason,
            }));
        }
        match next {
            Some(next) => query.cursor = Some(next),
            None => return Ok(done),
        }
    }
}

/// Acts on the runs, page by page, and on no more than were counted.
async fn act_on_all(
    realm: &dyn Realm,
    mut query: RunQuery,
    act: &Act,
    done: &mut ManyDone,
    heard: Heard<'_>,
) -> Result<(), Error> {
    let mut left = done.count;
    while left > 0 {
        let RunPage { runs, next, .. } = realm.runs().page(&query).await?;
        let most = usize::try_from(left).unwrap_or(usize::MAX);
        let keys: Vec<RunKey> = runs.into_iter().map(|run| run.key).take(most).collect();
        left -= u64::try_from(keys.len()).unwrap_or(left);
        let mut acts = stream::iter(keys.into_iter().map(|key| act.on(realm, key))).buffer_unordered(AT_ONCE);
        let mut failed = None;
        while let Some(outcome) = acts.next().await {
            match outcome {
                Ok(receipt) => {
                    heard(&receipt, done.count);
                    done.take(receipt);
                }
                Err(error) => failed = Some(error),
            }
        }
        if let Some(error) = failed {
            let told = done.done + done.already + done.refused;
            let why =
                format!("{error}; {told} of {} runs were dealt with: ask again for the rest", done.count);
            return Err(error.because(why));
        }
        match next {
            Some(next) => query.cursor = Some(next),
            None => return Ok(()),
        }
    }
    Ok(())
}

impl ManyDone {
    fn take(&mut self, receipt: Receipt) {
        match receipt.outcome {
            ManyOutcome::Already => self.already += 1,
            ManyOutcome::Refused => self.refused += 1,
            _ => self.done += 1,
        }
        if self.receipts.len() < MAX_RECEIPTS {
            self.receipts.push(receipt);
            return;
        }
        self.more_receipts += 1;
        // What was refused is told of before what was done.
        let is_worth = receipt.outcome == ManyOutcome::Refused;
        if let Some(other) =
            self.receipts.iter_mut().find(|other| is_worth && other.outcome != ManyOutcome::Refused)
        {
            *other = receipt;
        }
    }
}
