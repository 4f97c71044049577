//! Acts on all runs that a filter means: cancelling, doing again, deleting. A look counts them first, and the act is refused
//! where it would be about other ones. Each act has a record, by which others watch it, stop it and resume it.

mod act;
mod carry;
mod kept;
mod look;

use pumice_core::Timestamp;
use pumice_core::audit::{MAX_NAME, kept_text};
use pumice_core::bulk::{BulkAct, BulkKind, BulkState, Tally};
use pumice_core::duration::Span;
use pumice_core::engine::Dispatcher;
use pumice_core::filter::{Filter, Wanted};
use pumice_core::ids::{JobId, RunKey};
use pumice_core::ports::{CommitError, Order, PageCursor, RunPage, RunQuery, RunStore};
use pumice_core::run::{SpecOf, Status};
use pumice_core::secret::mask_value;
use pumice_core::spec::{Settings, Timezone};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

pub use pumice_core::bulk::{BulkOutcome as ManyOutcome, Receipt};

pub(in crate::runs) use act::RunAct;
pub(in crate::runs) use carry::{Carrier, Seen};

use super::asked;
use super::bulk::BulkStop;
use super::cancel::stop_request;
use crate::audit;
use crate::expect::{Expected, Tallied};
use crate::failure::{Error, ErrorKind};
use crate::realm::Realm;
use crate::time::Instant;

/// Most runs that a look shows.
const FIRST: usize = 20;
/// How many runs are read at once.
const PAGE: usize = 500;
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
    /// The `expect` of a look, or the number alone: where others are meant now, nothing is done. Spans of time in the terms, as
    /// `since:1d`, then count from `before`, as they did at the look.
    #[serde(default)]
    pub expect: Option<Expected>,
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

/// The runs that were found, and the outcome for each.
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
    /// Their number and a digest of which they are, to be given as `expect`; of a look alone.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expect: Option<Expected>,
    /// The first of them, the oldest first; of a look alone.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub first: Vec<ManyRun>,
    /// How many it was done to.
    pub done: u64,
    /// How many had been dealt with before, or by others meanwhile; of a look, among the first 500.
    pub already: u64,
    /// How many it could not be done to; of a look, among the first 500.
    pub refused: u64,
    /// The outcome for each, those that were refused first where there are very many.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub receipts: Vec<Receipt>,
    /// How many further outcomes are not listed one by one.
    #[serde(default)]
    pub more_receipts: u64,
    /// Parts that the store lacked, such as an index; of a look, the runs to which nothing will be done, and why.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub note: Option<String>,
    /// The id of its record, by which it can be watched, stopped and resumed; none where nothing was to be done.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub bulk: Option<String>,
    /// By whom it was stopped before it was over: it can be resumed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stopped: Option<BulkStop>,
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

/// How far an act has come.
#[derive(Clone, Copy, Debug)]
pub enum Step<'s> {
    /// Its record is made: nothing has been done yet.
    Begun {
        /// The record's id.
        id: &'s str,
        /// How many runs are meant.
        count: u64,
    },
    /// A run was dealt with.
    Done(&'s Receipt),
}

/// Hears of each step.
pub type Heard<'h> = &'h mut (dyn FnMut(Step<'_>) + Send);

/// Asks all runs that a filter means to stop.
///
/// # Errors
/// [`Error`] when the filter is invalid or empty, their number is not the one that is expected, or the store cannot be
/// reached: some may be cancelled then, and to ask again does no harm.
pub async fn cancel_many(realm: &dyn Realm, request: &ManyRuns) -> Result<ManyDone, Error> {
    cancel_many_heard(realm, request, &mut |_| {}).await
}

/// The same, with each step heard.
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
        let how = RunAct::Cancel(dispatcher(realm).await?, asker);
        let (kind, asked) = (BulkKind::Cancel, json(request)?);
        act(realm, Asking { runs: request, kind, asked, act: how, audited: &audited }, heard).await
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
    retry_many_heard(realm, request, &mut |_| {}).await
}

/// The same, with each step heard.
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
        let how = RunAct::Retry(dispatcher(realm).await?, Box::new(request.clone()));
        let (kind, asked) = (BulkKind::Retry, json(request)?);
        act(realm, Asking { runs: &request.runs, kind, asked, act: how, audited: &audited }, heard).await
    };
    audited.record(realm, work).await
}

/// Removes the records of all runs that a filter means and that have ended, with those of their steps. The outputs of their commands
/// printed goes with them; their idempotency keys are free again.
///
/// # Errors
/// [`Error`] when the filter is invalid or empty, their number is not the one that is expected, or the store cannot be
/// reached: some may be deleted then.
pub async fn delete_many(realm: &dyn Realm, request: &ManyRuns) -> Result<ManyDone, Error> {
    delete_many_heard(realm, request, &mut |_| {}).await
}

/// The same, with each step heard.
///
/// # Errors
/// As [`delete_many`].
pub async fn delete_many_heard(
    realm: &dyn Realm,
    request: &ManyRuns,
    heard: Heard<'_>,
) -> Result<ManyDone, Error> {
    let audited = audit::Act::new("runs delete", request).dry(request.dry_run);
    let work = async {
        let (kind, asked) = (BulkKind::Delete, json(request)?);
        act(realm, Asking { runs: request, kind, asked, act: RunAct::Delete, audited: &audited }, heard).await
    };
    audited.record(realm, work).await
}

fn json(request: &impl Serialize) -> Result<Value, Error> {
    serde_json::to_value(request).map_err(|error| Error::invalid(format!("the request is not JSON: {error}")))
}

pub(super) async fn dispatcher(realm: &dyn Realm) -> Result<Dispatcher, Error> {
    Ok(Dispatcher::new(realm.site().await?, realm.registry().clone()))
}

/// The request, and its act.
struct Asking<'a> {
    runs: &'a ManyRuns,
    kind: BulkKind,
    /// The whole request.
    asked: Value,
    act: RunAct,
    audited: &'a audit::Act,
}

async fn act(realm: &dyn Realm, asking: Asking<'_>, heard: Heard<'_>) -> Result<ManyDone, Error> {
    let request = asking.runs;
    let filter = asked::parsed(Some(&request.filter))?;
    if filter.is_empty() {
        let message =
            "where: it is empty, and would mean every run: say which, as status:waiting, or job:* for all";
        return Err(Error::invalid(message));
    }
    let now = realm.now();
    let before = request.before.map_or(now, |before| before.0);
    let filter = filter.and(Wanted::Status(asking.act.statuses()));
    let terms = filter.to_string();
    let (filter, tagged) = asked::tags_replaced(realm, filter).await?;
    let query = bounded(realm, filter, request.zone, request.times_from(now), before).await?;
    let Counted { tallied, seen, note, first, in_hand, next } =
        counted(realm.runs(), &query, request.dry_run).await?;
    let (count, meant) = (tallied.count(), tallied.expected());
    let mut done = ManyDone {
        filter: terms,
        before: Some(Instant(before)),
        dry_run: request.dry_run,
        count,
        note,
        first,
        ..ManyDone::default()
    };
    if let Some(why) = request.expect.as_ref().and_then(|expected| expected.differs(&meant, "runs")) {
        return Err(Error::new(ErrorKind::Conflict, why));
    }
    if request.dry_run {
        let look::Foreseen { already, refused, notes } =
            look::foreseen(realm, &asking.act, &in_hand, count).await?;
        let notes: Vec<String> = done.note.take().into_iter().chain(notes).collect();
        done.note = Some(notes.join("; ")).filter(|note| !note.is_empty());
        (done.already, done.refused) = (already, refused);
    }
    if request.dry_run || count == 0 {
        done.expect = request.dry_run.then_some(meant);
        return Ok(done);
    }
    let (actor, keep) = (realm.actor().await?, keep(realm).await);
    let record = BulkAct {
        id: realm.random().uuid(now).to_string(),
        rev: 1,
        kind: asking.kind,
        asked: kept_request(asking.asked)?,
        terms: done.filter.clone(),
        tagged,
        before,
        by: kept_text(&actor.who, MAX_NAME),
        from: actor.from,
        state: BulkState::Active,
        carrier: realm.random().uuid(now).to_string(),
        count,
        tally: Tally::default(),
        pages: 0,
        in_hand,
        next,
        begun: now,
        beat: now,
        ended: None,
        expires: keep.map(|keep| now + keep.delta()),
    };
    realm.bulk().create_bulk(&record).await.map_err(|error| unwritten(&record.id, error))?;
    asking.audited.touched("bulk act", record.id.as_str());
    done.bulk = Some(record.id.clone());
    heard(Step::Begun { id: &record.id, count });
    Carrier { realm, act: asking.act, query, keep, record, seen: Some(seen) }.carry(&mut done, heard).await?;
    Ok(done)
}

/// A request as its record keeps it. An act that is resumed reads it again, so that it must not be masked.
fn kept_request(asked: Value) -> Result<Value, Error> {
    let mut masked = asked.clone();
    mask_value(&mut masked);
    if masked == asked {
        return Ok(asked);
    }
    Err(Error::invalid(
        "the request has the value of a secret, which no record keeps: nothing is done; have the jobs look it up",
    ))
}

/// How long a record is kept after its last write.
pub(super) async fn keep(realm: &dyn Realm) -> Option<Span> {
    // A record is not kept for good because its realm's definition cannot be read.
    let settings = realm.site().await.map_or_else(|_| Settings::default(), |site| site.settings.clone());
    settings.event_ttl.longest()
}

/// Why a record could not be written.
pub(super) fn unwritten(id: &str, error: CommitError) -> Error {
    let message = format!("cannot write the record of act {id}: {error}");
    match error {
        CommitError::Store(error) => Error::from(error).because(message),
        CommitError::Unrecordable(_) => Error::invalid(message),
        CommitError::Conflict => Error::new(ErrorKind::Conflict, message),
        CommitError::Unknown(_) | CommitError::Locked(_) | CommitError::Full(_) => {
            Error::unreachable(message)
        }
    }
}

/// The query for the runs of a filter that were dispatched before a time, the oldest first.
pub(super) async fn bounded(
    realm: &dyn Realm,
    filter: Filter,
    zone: Option<Timezone>,
    now: Timestamp,
    before: Timestamp,
) -> Result<RunQuery, Error> {
    let query = asked::query_at(realm, filter, zone, false, now).await?;
    let until = query.until.map_or(before, |until| until.min(before));
    Ok(RunQuery { until: Some(until), order: Order::Oldest, limit: PAGE, without_alerts: true, ..query })
}

impl ManyRuns {
    /// From when spans of time in the terms count: where the runs of a look are meant, from that look.
    pub(super) fn times_from(&self, now: Timestamp) -> Timestamp {
        let is_of_look = self.expect.as_ref().is_some_and(|expected| expected.digest.is_some());
        self.before.filter(|_| is_of_look).map_or(now, |before| before.0)
    }
}

/// The result of a count.
#[derive(Default)]
struct Counted {
    tallied: Tallied,
    /// All of them, unless they are only looked at.
    seen: Seen,
    note: Option<String>,
    /// The first, where they are asked for.
    first: Vec<ManyRun>,
    /// The runs of the first page.
    in_hand: Vec<RunKey>,
    /// Where the list goes on after it.
    next: Option<PageCursor>,
}

async fn counted(store: &dyn RunStore, query: &RunQuery, shows: bool) -> Result<Counted, Error> {
    let mut counted = Counted::default();
    let mut query = query.clone();
    loop {
        let RunPage { runs, next, note, .. } = store.page(&query).await?;
        counted.note = counted.note.or(note);
        if counted.tallied.count() == 0 {
            counted.in_hand = runs.iter().map(|run| run.key.clone()).collect();
            counted.next.clone_from(&next);
        }
        for run in &runs {
            counted.tallied.add(run.key.as_str());
            if !shows {
                counted.seen.add(&run.key);
            }
        }
        if shows && counted.first.len() < FIRST {
            let rest = FIRST - counted.first.len();
            counted.first.extend(runs.into_iter().take(rest).map(|run| ManyRun {
                run: run.key,
                job_id: run.job_id,
                status: run.status,
                ts_dispatch: Instant(run.ts_dispatch),
                reason: run.reason,
            }));
        }
        match next {
            Some(next) => query.cursor = Some(next),
            None => return Ok(counted),
        }
    }
}

impl ManyDone {
    /// Whether a look found runs, and none to which anything would be done.
    #[must_use]
    pub const fn does_nothing(&self) -> bool {
        self.dry_run && self.count > 0 && self.already + self.refused >= self.count
    }

    /// Takes an outcome in.
    pub(super) fn take(&mut self, receipt: Receipt) {
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
        // Refusals are reported before successes.
        let is_worth = receipt.outcome == ManyOutcome::Refused;
        if let Some(other) =
            self.receipts.iter_mut().find(|other| is_worth && other.outcome != ManyOutcome::Refused)
        {
            *other = receipt;
        }
    }
}
