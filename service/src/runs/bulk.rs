//! `runs bulk`: looks at acts on many runs, stops them, and resumes those that did not come to their end.

use pumice_core::bulk::{BulkAct, BulkKind, BulkState};
use pumice_core::filter::{ItemWord, Items};
use pumice_core::ports::CommitError;
use pumice_core::run::SpecOf;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::asked;
use super::cancel::stop_request;
use super::many::{
    Carrier, Heard, ManyDone, ManyOutcome, ManyRuns, Receipt, RetryMany, RunAct, Step, bounded, dispatcher,
    keep, unwritten,
};
use crate::audit::Act;
use crate::failure::{Error, ErrorKind};
use crate::realm::Realm;
use crate::time::Instant;

/// Most acts of a list.
const MAX_LISTED: usize = 1_000;
/// How many pages of receipts are looked through at a time: 10,000 receipts.
const MAX_PAGES: usize = 20;
/// How often a stop is written again whose act wrote its record meanwhile.
const MAX_TRIES: usize = 16;

/// Fewest characters of an id that name its act: its time, to the millisecond.
pub const MIN_BEGINNING: usize = 13;
/// How long an id is.
const ID_LENGTH: usize = 36;
/// Most acts that a message names.
const FEW: usize = 4;

/// The stop of an act.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct BulkStop {
    /// The actor that stopped it.
    pub by: String,
    /// Why.
    pub why: String,
}

/// An act on many runs, and how far it has come.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct BulkShown {
    /// Its id.
    pub id: String,
    /// The operation on each run.
    pub act: BulkKind,
    /// `active`, `interrupted`, `complete`, `stopped` or `failed`.
    pub state: String,
    /// The terms that mean the runs, those that follow from the act among them.
    #[serde(rename = "where")]
    pub filter: String,
    /// Only runs that were dispatched before this.
    pub before: Instant,
    /// The actor that began it.
    pub by: String,
    /// By which way: `cli`, `console`, `api` or `program`.
    pub from: String,
    /// Why, where that was said.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub why: Option<String>,
    /// When it began.
    pub begun: Instant,
    /// When its process last wrote how far it has come.
    pub last_write: Instant,
    /// When it ended, or was stopped.
    pub ended: Option<Instant>,
    /// How many runs were meant when it began.
    pub count: u64,
    /// How many it was done to.
    pub done: u64,
    /// How many had been dealt with before, or by others meanwhile.
    pub already: u64,
    /// How many it could not be done to.
    pub refused: u64,
    /// How many are left, at most.
    pub left: u64,
    /// By whom it was stopped.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stopped: Option<BulkStop>,
    /// The store's error when it failed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
    /// Whether all steps are run again; of `retry` alone.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub all: Option<bool>,
    /// Which spec is used; of `retry` alone.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub spec: Option<SpecOf>,
}

impl BulkShown {
    fn of(realm: &dyn Realm, act: &BulkAct) -> Self {
        let state = act.word(realm.now()).to_owned();
        let (stopped, error) = match &act.state {
            BulkState::Stopped { by, why } => (Some(BulkStop { by: by.clone(), why: why.clone() }), None),
            BulkState::Failed { why } => (None, Some(why.clone())),
            BulkState::Active | BulkState::Complete => (None, None),
        };
        let retry = serde_json::from_value::<RetryMany>(act.asked.clone()).ok();
        let is_over = act.state == BulkState::Complete;
        Self {
            id: act.id.clone(),
            act: act.kind,
            state,
            filter: act.terms.clone(),
            before: Instant(act.before),
            by: act.by.clone(),
            from: act.from.as_str().to_owned(),
            why: act.asked.get("why").and_then(Value::as_str).map(str::to_owned),
            begun: Instant(act.begun),
            last_write: Instant(act.beat),
            ended: act.ended.map(Instant),
            count: act.count,
            done: act.tally.done,
            already: act.tally.already,
            refused: act.tally.refused,
            left: if is_over { 0 } else { act.count.saturating_sub(act.tally.dealt_with()) },
            stopped,
            error,
            all: retry.as_ref().map(|retry| retry.all),
            spec: retry.map(|retry| retry.spec),
        }
    }
}

/// Which acts to list, and how many.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ListBulk {
    /// Only acts that these terms mean, of the newest 1,000: `id:`, `act:`, `status:`, `who:`, `from:`, `since:`, `until:`. The
    /// time is that at which it began.
    #[serde(default, rename = "where", skip_serializing_if = "Option::is_none")]
    pub filter: Option<String>,
    /// At most so many, up to 1,000.
    #[serde(default = "usual")]
    pub limit: usize,
}

const fn usual() -> usize {
    50
}

impl Default for ListBulk {
    fn default() -> Self {
        Self { filter: None, limit: usual() }
    }
}

/// Acts on many runs.
struct Acts;

impl Items for Acts {
    type Item = BulkShown;
    const NAME: &'static str = "acts on many runs";
    const WORDS: &'static [ItemWord<BulkShown>] = &[
        ItemWord::beginning("id", |act| vec![&*act.id]),
        ItemWord::one_of(
            "act",
            || BulkKind::ALL.map(BulkKind::as_str).to_vec(),
            |act| vec![act.act.as_str()],
        ),
        ItemWord::one_of("status", || BulkAct::WORDS.to_vec(), |act| vec![&*act.state]),
        ItemWord::pattern("who", |act| vec![&*act.by]),
        ItemWord::pattern("from", |act| vec![&*act.from]),
        ItemWord::since(|act| Some(act.begun.0)),
        ItemWord::until(|act| Some(act.begun.0)),
    ];
}

/// Acts on many runs, the newest first.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct BulkList {
    /// The acts.
    pub bulk: Vec<BulkShown>,
}

/// An act to show.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ShowBulk {
    /// Its id, or the beginning of it: 13 characters or more.
    pub id: String,
    /// Only receipts with this outcome.
    #[serde(default)]
    pub outcome: Option<ManyOutcome>,
    /// The page of receipts to begin with, from 0, as an earlier answer says.
    #[serde(default)]
    pub cursor: u64,
}

/// An act, and its receipts.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct BulkDetails {
    /// The act.
    pub bulk: BulkShown,
    /// Receipts, in the order in which the runs were dealt with: of up to 10,000 runs.
    pub receipts: Vec<Receipt>,
    /// The page at which the rest begins.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next: Option<u64>,
}

/// An act to stop.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct StopBulk {
    /// Its id, or the beginning of it: 13 characters or more.
    pub id: String,
    /// Why.
    #[serde(default)]
    pub why: String,
    /// Show what would change, and change nothing.
    #[serde(default)]
    pub dry_run: bool,
}

/// An act that is to go on.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ResumeBulk {
    /// Its id, or the beginning of it: 13 characters or more.
    pub id: String,
    /// Show what would change, and change nothing.
    #[serde(default)]
    pub dry_run: bool,
}

/// An act that was changed, or would be.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct BulkChanged {
    /// The act as it is, or would be.
    pub bulk: BulkShown,
    /// Whether that is something else than before.
    pub changed: bool,
    /// Whether nothing was changed, as this was only asked for.
    pub dry_run: bool,
}

/// Lists acts on many runs, the newest first.
///
/// # Errors
/// [`Error`] when the store cannot be read.
pub async fn list_bulk(realm: &dyn Realm, request: &ListBulk) -> Result<BulkList, Error> {
    if request.limit == 0 || request.limit > MAX_LISTED {
        return Err(Error::invalid(format!("limit: {} is not from 1 to {MAX_LISTED}", request.limit)));
    }
    let meant = crate::listed::asked::<Acts>(realm, request.filter.as_deref(), None).await?;
    // Terms are asked before acts are counted.
    let looked_at = if meant.is_empty() { request.limit } else { MAX_LISTED };
    let acts = realm.bulk().bulk_acts(looked_at).await?;
    let acts = acts.iter().map(|act| BulkShown::of(realm, act)).filter(|act| meant.takes(act));
    Ok(BulkList { bulk: acts.take(request.limit).collect() })
}

/// Shows an act on many runs: how far it has come, and what became of each run.
///
/// # Errors
/// [`Error`] when there is no such act, or the store cannot be read.
pub async fn show_bulk(realm: &dyn Realm, request: &ShowBulk) -> Result<BulkDetails, Error> {
    let act = stored(realm, &request.id).await?;
    let pages = realm.bulk().bulk_receipts(&act.id, request.cursor, MAX_PAGES).await?;
    let next = pages.last().map(|last| last.number + 1).filter(|next| *next < act.pages);
    let is_meant = |receipt: &Receipt| request.outcome.is_none_or(|outcome| receipt.outcome == outcome);
    let receipts = pages.into_iter().flat_map(|page| page.receipts).filter(is_meant).collect();
    Ok(BulkDetails { bulk: BulkShown::of(realm, &act), receipts, next })
}

/// Stops an act on many runs: its process ends with the page of at most 500 runs that it is at.
///
/// # Errors
/// [`Error`] when there is no such act, it is over, or the store cannot be reached.
pub async fn stop_bulk(realm: &dyn Realm, request: &StopBulk) -> Result<BulkChanged, Error> {
    let id = whole_id(realm, &request.id).await;
    let act = Act::new("runs bulk stop", request).on("bulk act", [&id]).dry(request.dry_run);
    act.record(realm, stopping(realm, request)).await
}

async fn stopping(realm: &dyn Realm, request: &StopBulk) -> Result<BulkChanged, Error> {
    // The same bounds as those of a run that is stopped.
    stop_request(realm, Some(&request.why)).await?;
    let (who, keep) = (realm.actor().await?.who, keep(realm).await);
    for _ in 0..MAX_TRIES {
        let before = stored(realm, &request.id).await?;
        if matches!(before.state, BulkState::Complete | BulkState::Failed { .. }) {
            let message = format!("act {} is {}: nothing of it goes on", before.id, before.word(realm.now()));
            return Err(Error::new(ErrorKind::Conflict, message));
        }
        let next = before.stopped(&who, &request.why, realm.now(), keep);
        let (changed, next) = (next.is_some(), next.unwrap_or(before));
        if changed && !request.dry_run {
            match realm.bulk().put_bulk(&next, None).await {
                // It has come to its next page.
                Err(CommitError::Conflict | CommitError::Unknown(_)) => continue,
                written => written.map_err(|error| unwritten(&next.id, error))?,
            }
        }
        return Ok(BulkChanged { bulk: BulkShown::of(realm, &next), changed, dry_run: request.dry_run });
    }
    let message = format!("act {} writes its record all the time: ask again", request.id);
    Err(Error::new(ErrorKind::Throttled, message))
}

/// Goes on with an act on many runs that was stopped, has failed or was interrupted, to its end.
///
/// # Errors
/// [`Error`] when there is no such act, it is complete, a process carries it out, or the store cannot be reached.
pub async fn resume_bulk(realm: &dyn Realm, request: &ResumeBulk) -> Result<BulkChanged, Error> {
    resume_bulk_heard(realm, request, &mut |_| {}).await
}

/// The same, with each step heard.
///
/// # Errors
/// As [`resume_bulk`].
pub async fn resume_bulk_heard(
    realm: &dyn Realm,
    request: &ResumeBulk,
    heard: Heard<'_>,
) -> Result<BulkChanged, Error> {
    let id = whole_id(realm, &request.id).await;
    let act = Act::new("runs bulk resume", request).on("bulk act", [&id]).dry(request.dry_run);
    act.record(realm, resuming(realm, request, heard)).await
}

async fn resuming(realm: &dyn Realm, request: &ResumeBulk, heard: Heard<'_>) -> Result<BulkChanged, Error> {
    let (before, now) = (stored(realm, &request.id).await?, realm.now());
    let id = &before.id;
    let refused = match before.state {
        BulkState::Complete => Some(format!("act {id} is complete")),
        BulkState::Active if !before.is_interrupted(now) => Some(format!(
            "a process carries act {id} out: stop it first, or wait until it counts as interrupted"
        )),
        _ => None,
    };
    if let Some(refused) = refused {
        return Err(Error::new(ErrorKind::Conflict, refused));
    }
    let keep = keep(realm).await;
    let record = before.resumed(realm.random().uuid(now).to_string(), now, keep);
    let shown = |act: &BulkAct| BulkChanged {
        bulk: BulkShown::of(realm, act),
        changed: true,
        dry_run: request.dry_run,
    };
    if request.dry_run {
        return Ok(shown(&record));
    }
    let (act, runs) = asked_for(realm, &record).await?;
    let filter = asked::parsed(Some(&record.terms))?;
    let filter = asked::with_tagged(filter, &record.tagged);
    let query = bounded(realm, filter, runs.zone, runs.times_from(record.begun), record.before).await?;
    // Of two that resume it one writes first, and the other is refused.
    realm.bulk().put_bulk(&record, None).await.map_err(|error| unwritten(id, error))?;
    heard(Step::Begun { id, count: record.count.saturating_sub(record.tally.dealt_with()) });
    let carrier = Carrier { realm, act, query, keep, record, seen: None };
    let last = carrier.carry(&mut ManyDone::default(), heard).await?;
    Ok(shown(&last))
}

/// The operation on each run and the filter, as the record keeps them.
async fn asked_for(realm: &dyn Realm, record: &BulkAct) -> Result<(RunAct, ManyRuns), Error> {
    let unread = |error: serde_json::Error| {
        let message =
            format!("act {} was asked for in a form that this version cannot read: {error}", record.id);
        Error::new(ErrorKind::Corrupt, message)
    };
    if record.kind == BulkKind::Retry {
        let request: RetryMany = serde_json::from_value(record.asked.clone()).map_err(unread)?;
        let runs = request.runs.clone();
        return Ok((RunAct::Retry(dispatcher(realm).await?, Box::new(request)), runs));
    }
    let runs: ManyRuns = serde_json::from_value(record.asked.clone()).map_err(unread)?;
    let act = match record.kind {
        BulkKind::Cancel => {
            RunAct::Cancel(dispatcher(realm).await?, stop_request(realm, runs.why.as_deref()).await?)
        }
        _ => RunAct::Delete,
    };
    Ok((act, runs))
}

async fn stored(realm: &dyn Realm, id: &str) -> Result<BulkAct, Error> {
    if let Some(found) = realm.bulk().load_bulk(id).await? {
        return Ok(found);
    }
    let mut found = beginning(realm, id).await?;
    let quoted = pumice_core::text::quoted(id);
    match (found.pop(), found.len()) {
        (Some(one), 0) => Ok(one),
        (Some(last), _) => {
            let ids: Vec<&str> = found.iter().chain([&last]).take(FEW).map(|act| act.id.as_str()).collect();
            Err(Error::invalid(format!("{quoted} is the beginning of several ids: {}", ids.join(", "))))
        }
        (None, _) if id.len() < MIN_BEGINNING => Err(Error::not_found(format!(
            "no such act on many runs: {quoted}; the beginning of an id has at least {MIN_BEGINNING} characters"
        ))),
        (None, _) => Err(Error::not_found(format!("no such act on many runs: {quoted}"))),
    }
}

/// The acts whose ids begin so, of the newest.
async fn beginning(realm: &dyn Realm, id: &str) -> Result<Vec<BulkAct>, Error> {
    let id = id.to_ascii_lowercase();
    if !(MIN_BEGINNING..ID_LENGTH).contains(&id.len()) {
        return Ok(Vec::new());
    }
    let mut acts = realm.bulk().bulk_acts(MAX_LISTED).await?;
    acts.retain(|act| act.id.starts_with(&id));
    Ok(acts)
}

/// The whole id of an act for the audit; as it was given where it names none.
async fn whole_id(realm: &dyn Realm, id: &str) -> String {
    match beginning(realm, id).await.as_deref() {
        Ok([one]) => one.id.clone(),
        _ => id.to_owned(),
    }
}
