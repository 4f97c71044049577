//! `schedules backfills`.

use pumice_core::clock::Backfill;
use pumice_core::clock::backfill::{Only, Progress};
use pumice_core::engine::{BackfillError, Housekeeper};
use pumice_core::filter::{ItemWord, Items};
use pumice_core::glob::matches;
use pumice_core::ids::{JobId, RunId, RunKey};
use pumice_core::run::Status;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::audit::Act;
use crate::failure::{Error, ErrorKind};
use crate::listed::asked;
use crate::realm::Realm;
use crate::time::Slot;

/// A backfill, and how far it has come.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct BackfillShown {
    /// Its id.
    pub id: String,
    /// The job.
    #[serde(deserialize_with = "JobId::deserialize_stored")]
    pub job_id: JobId,
    /// `active`, `complete`, `cancelled` or `stopped`.
    pub state: String,
    /// Only this entry, from 0.
    pub entry: Option<usize>,
    /// The first time that a slot may have.
    pub from: Slot,
    /// The last.
    pub to: Slot,
    /// Which slots are started.
    pub only: Only,
    /// How many of its runs are under way at the same time, at most.
    pub max_active: u32,
    /// Whether the newest slot comes first.
    pub reverse: bool,
    /// Its key.
    pub key: Option<String>,
    /// The actor that asked for it.
    pub by: String,
    /// Why.
    pub why: String,
    /// When it was begun.
    pub begun: Slot,
    /// When it ended.
    pub ended: Option<Slot>,
    /// How many slots it has.
    pub planned: u32,
    /// How many runs it started.
    pub started: u32,
    /// How many of them completed.
    pub completed: u32,
    /// How many of them did not.
    pub failed: u32,
    /// How many slots it passed over.
    pub passed_over: u32,
    /// How many slots are left.
    pub left: u32,
    /// The slot that it has come to.
    pub come_to: Option<Slot>,
    /// The runs that are under way.
    pub under_way: Vec<SlotUnderWay>,
    /// The runs that did not complete, as far as they are kept.
    pub bad: Vec<BadSlot>,
    /// Why it cannot go on as it was asked for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stopped: Option<Stoppage>,
    /// The actor that cancelled it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cancelled: Option<Cancellation>,
}

/// A run of a backfill that is under way.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct SlotUnderWay {
    /// The slot.
    pub slot: Slot,
    /// The place of its entry in the schedule, from 0.
    pub entry: usize,
    /// The run.
    pub run_id: RunKey,
}

/// A run of a backfill that did not complete.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct BadSlot {
    /// The slot.
    pub slot: Slot,
    /// The place of its entry in the schedule, from 0.
    pub entry: usize,
    /// The run; `null` where its record is gone.
    pub run_id: Option<RunId>,
    /// How it ended; `null` where its record is gone.
    pub status: Option<Status>,
}

/// Why a backfill stopped.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Stoppage {
    /// Why.
    pub why: String,
}

/// The actor that cancelled a backfill.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Cancellation {
    /// The actor's name.
    pub by: String,
    /// Why.
    pub why: String,
}

impl BackfillShown {
    pub(super) fn of(housekeeper: &Housekeeper, backfill: &Backfill) -> Self {
        let under_way = backfill.active.iter().map(|one| SlotUnderWay {
            slot: Slot(one.slot),
            entry: one.entry,
            run_id: housekeeper.run_of(backfill, &one.key),
        });
        let bad = backfill.bad.iter().map(|bad| BadSlot {
            slot: Slot(bad.slot),
            entry: bad.entry,
            run_id: bad.run_id,
            status: bad.status,
        });
        let (stopped, cancelled) = match backfill.progress.clone() {
            Progress::Stopped { why } => (Some(Stoppage { why }), None),
            Progress::Cancelled { by, why } => (None, Some(Cancellation { by, why })),
            Progress::Active | Progress::Complete => (None, None),
        };
        Self {
            id: backfill.id.clone(),
            job_id: backfill.job_id.clone(),
            state: backfill.progress.word().to_owned(),
            entry: backfill.entry,
            from: Slot(backfill.from),
            to: Slot(backfill.to),
            only: backfill.only,
            max_active: backfill.max_active,
            reverse: backfill.reverse,
            key: backfill.key.clone(),
            by: backfill.by.clone(),
            why: backfill.why.clone(),
            begun: Slot(backfill.begun),
            ended: backfill.ended.map(Slot),
            planned: backfill.planned,
            started: backfill.started(),
            completed: backfill.completed,
            failed: backfill.failed,
            passed_over: backfill.skipped,
            left: backfill.left(),
            come_to: backfill.at.map(|place| Slot(place.slot)),
            under_way: under_way.collect(),
            bad: bad.collect(),
            stopped,
            cancelled,
        }
    }
}

/// Whose backfills to list.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ListBackfills {
    /// Only jobs whose id matches: `*` any text, `?` one character.
    #[serde(default)]
    pub job: Option<String>,
    /// Only backfills that these terms mean: `id:`, `job:`, `status:`, `who:`, `since:`, `until:`. The time is that at which it
    /// was begun.
    #[serde(default, rename = "where", skip_serializing_if = "Option::is_none")]
    pub filter: Option<String>,
}

/// Backfills.
struct Backfills;

impl Items for Backfills {
    type Item = Backfill;
    const NAME: &'static str = "backfills";
    const WORDS: &'static [ItemWord<Backfill>] = &[
        ItemWord::beginning("id", |backfill| vec![&*backfill.id]),
        ItemWord::pattern("job", |backfill| vec![backfill.job_id.as_str()]),
        ItemWord::one_of("status", || Progress::WORDS.to_vec(), |backfill| vec![backfill.progress.word()]),
        ItemWord::pattern("who", |backfill| vec![&*backfill.by]),
        ItemWord::since(|backfill| Some(backfill.begun)),
        ItemWord::until(|backfill| Some(backfill.begun)),
    ];
}

/// Backfills, the newest first.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct BackfillList {
    /// The backfills.
    pub backfills: Vec<BackfillShown>,
}

/// One backfill.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct BackfillName {
    /// Its id.
    pub id: String,
}

/// A backfill.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct BackfillOne {
    /// The backfill.
    pub backfill: BackfillShown,
}

/// A backfill to cancel.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct CancelBackfill {
    /// Its id.
    pub id: String,
    /// Cancel its runs that are under way, too.
    #[serde(default)]
    pub runs: bool,
    /// The actor.
    #[serde(default)]
    pub by: String,
    /// Why.
    #[serde(default)]
    pub why: String,
    /// Show what would change, and change nothing.
    #[serde(default)]
    pub dry_run: bool,
}

/// A backfill that is to go on.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ResumeBackfill {
    /// Its id.
    pub id: String,
    /// Show what would change, and change nothing.
    #[serde(default)]
    pub dry_run: bool,
}

/// A backfill that was changed, or would be.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct BackfillChanged {
    /// The backfill as it is, or would be.
    pub backfill: BackfillShown,
    /// Whether that is something else than before.
    pub changed: bool,
    /// How many of its runs were asked to stop; only of one that was cancelled.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub runs_cancelled: Option<usize>,
    /// Whether nothing was changed, as this was only asked for.
    pub dry_run: bool,
}

/// Lists backfills, the newest first.
///
/// # Errors
/// [`Error`] when the terms are invalid, or the store cannot be read.
pub async fn list_all(realm: &dyn Realm, request: &ListBackfills) -> Result<BackfillList, Error> {
    let meant = asked::<Backfills>(realm, request.filter.as_deref(), None).await?;
    let housekeeper = housekeeper(realm).await?;
    let pattern = request.job.as_deref();
    let all = realm.schedules().all_backfills().await?;
    let is_asked = |one: &&Backfill| {
        pattern.is_none_or(|pattern| matches(pattern, one.job_id.as_str())) && meant.takes(one)
    };
    let listed = all.iter().filter(is_asked);
    Ok(BackfillList { backfills: listed.map(|one| BackfillShown::of(&housekeeper, one)).collect() })
}

/// Shows a backfill: how far it has come, what runs, what did not complete.
///
/// # Errors
/// [`Error`] when there is no such backfill, or the store cannot be read.
pub async fn show(realm: &dyn Realm, request: &BackfillName) -> Result<BackfillOne, Error> {
    let housekeeper = housekeeper(realm).await?;
    let backfill = stored(realm, &request.id).await?;
    Ok(BackfillOne { backfill: BackfillShown::of(&housekeeper, &backfill) })
}

/// Cancels a backfill: it starts nothing more.
///
/// # Errors
/// [`Error`] when there is no such backfill, or the store cannot be reached.
pub async fn cancel(realm: &dyn Realm, request: &CancelBackfill) -> Result<BackfillChanged, Error> {
    let act =
        Act::new("schedules backfills cancel", request).on("backfill", [&request.id]).dry(request.dry_run);
    act.record(realm, cancelling(realm, request)).await
}

async fn cancelling(realm: &dyn Realm, request: &CancelBackfill) -> Result<BackfillChanged, Error> {
    let housekeeper = housekeeper(realm).await?;
    let before = stored(realm, &request.id).await?;
    let change = |one: &Backfill| one.cancelled(request.by.clone(), request.why.clone());
    let (next, changed) = changed(&housekeeper, before, request.dry_run, change).await?;
    let asked = match request.runs && !request.dry_run {
        true => housekeeper.cancel_runs_of(&next).await?,
        false => 0,
    };
    let backfill = BackfillShown::of(&housekeeper, &next);
    Ok(BackfillChanged { backfill, changed, runs_cancelled: Some(asked), dry_run: request.dry_run })
}

/// Has a backfill go on that was cancelled or has stopped.
///
/// # Errors
/// [`Error`] when there is no such backfill, it is complete, or the store cannot be reached.
pub async fn resume_backfill(realm: &dyn Realm, request: &ResumeBackfill) -> Result<BackfillChanged, Error> {
    let act =
        Act::new("schedules backfills resume", request).on("backfill", [&request.id]).dry(request.dry_run);
    act.record(realm, resuming(realm, request)).await
}

async fn resuming(realm: &dyn Realm, request: &ResumeBackfill) -> Result<BackfillChanged, Error> {
    let housekeeper = housekeeper(realm).await?;
    let before = stored(realm, &request.id).await?;
    if before.progress == Progress::Complete {
        return Err(Error::new(ErrorKind::Conflict, format!("backfill {} is complete", request.id)));
    }
    let (next, changed) = changed(&housekeeper, before, request.dry_run, Backfill::resumed).await?;
    if !request.dry_run
        && let Err(error) = housekeeper.advance_backfill(&next.id).await
    {
        tracing::warn!(%error, "the backfill goes on with the next sweep");
    }
    // The error that stopped it before may stop it again at once.
    let next = if request.dry_run { next } else { stored(realm, &request.id).await? };
    let backfill = BackfillShown::of(&housekeeper, &next);
    Ok(BackfillChanged { backfill, changed, runs_cancelled: None, dry_run: request.dry_run })
}

pub(super) async fn housekeeper(realm: &dyn Realm) -> Result<Housekeeper, Error> {
    Ok(Housekeeper::new(realm.site().await?, realm.registry().clone()))
}

async fn stored(realm: &dyn Realm, id: &str) -> Result<Backfill, Error> {
    let stored = realm.schedules().load_backfill(id).await?;
    Ok(stored.ok_or_else(|| BackfillError::Unknown(id.to_owned()))?)
}

/// The record changed, or as it would be.
async fn changed(
    housekeeper: &Housekeeper,
    before: Backfill,
    dry_run: bool,
    change: impl Fn(&Backfill) -> Option<Backfill>,
) -> Result<(Backfill, bool), Error> {
    if dry_run {
        let next = change(&before);
        return Ok((next.clone().unwrap_or(before), next.is_some()));
    }
    Ok(housekeeper.change_backfill(&before.id, change).await?)
}
