//! `schedules backfill`.

use pumice_core::Timestamp;
use pumice_core::clock::backfill::{BackfillRequest, Found, Only};
use pumice_core::clock::{Backfill, PlannedEntry, local, standings};
use pumice_core::engine::{BegunBackfill, Housekeeper};
use pumice_core::ids::JobId;
use pumice_core::job_type::Site;
use pumice_core::spec::Overlap;
use pumice_core::text::quoted;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{BackfillShown, Scheduled, find_one, zone_of};
use crate::audit::Act;
use crate::failure::Error;
use crate::realm::Realm;
use crate::time::{Instant, Slot};

/// A backfill to begin.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct BeginBackfill {
    /// The job.
    pub job: JobId,
    /// Only this entry, from 0.
    #[serde(default)]
    pub entry: Option<usize>,
    /// The first time that a slot may have.
    pub from: Instant,
    /// The last, which must not be in the future.
    pub to: Instant,
    /// Which slots are started.
    #[serde(default)]
    pub only: Only,
    /// At most so many of its runs are under way at the same time, up to 100.
    #[serde(default = "one")]
    pub max_active: u32,
    /// The newest slot first.
    #[serde(default)]
    pub reverse: bool,
    /// Asked for again with the same key it is the same backfill; without it what is asked for is the key.
    #[serde(default)]
    pub key: Option<String>,
    /// The actor.
    #[serde(default)]
    pub by: String,
    /// Why.
    #[serde(default)]
    pub why: String,
    /// Show what would be started, and start nothing.
    #[serde(default)]
    pub dry_run: bool,
}

const fn one() -> u32 {
    1
}

/// The outcome of the request.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(untagged)]
pub enum BackfillAnswer {
    /// The starts of a dry run.
    Foreseen(BackfillForeseen),
    /// The backfill.
    Begun(Box<BackfillBegun>),
}

/// A backfill that was begun.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct BackfillBegun {
    /// The backfill.
    pub backfill: BackfillShown,
    /// Whether it was there already.
    pub existing: bool,
    /// Notes.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub notes: Vec<String>,
}

/// The starts that a backfill would make.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct BackfillForeseen {
    /// Always `true`.
    pub dry_run: bool,
    /// The id that it would have.
    pub id: String,
    /// The backfill that is there already: nothing would be started.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub existing: Option<Box<BackfillShown>>,
    /// How many slots it has.
    pub planned: usize,
    /// How many of them it would start.
    pub starts: usize,
    /// The slots, in their order.
    pub slots: Vec<ForeseenSlot>,
    /// Notes.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub notes: Vec<String>,
}

/// A slot that would be started or passed over.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct ForeseenSlot {
    /// The job.
    #[serde(deserialize_with = "JobId::deserialize_stored")]
    pub job_id: JobId,
    /// The place of its entry in the schedule, from 0.
    pub entry: usize,
    /// The slot.
    pub slot: Slot,
    /// The same in the entry's zone.
    pub local: String,
    /// The entry's zone.
    pub zone: String,
    /// Whether it would be started.
    pub starts: bool,
    /// Why it would be passed over.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub why: Option<String>,
}

impl BackfillForeseen {
    /// Of a backfill that is there already.
    fn nothing(existing: BackfillShown) -> Self {
        let (id, slots, notes) = (existing.id.clone(), Vec::new(), Vec::new());
        Self { dry_run: true, id, existing: Some(Box::new(existing)), planned: 0, starts: 0, slots, notes }
    }
}

/// Why a slot is passed over.
const fn passed_over(found: Found, only: Only) -> Option<&'static str> {
    match (found, only) {
        (Found::Nothing, _) => None,
        (Found::Own, _) => Some("was started by this backfill"),
        (Found::Enough, Only::Missing | Only::All) => Some("has a run"),
        (Found::Enough, Only::Failed) => Some("did not fail, or its newest run did not"),
    }
}

/// Begins a backfill, or shows what it would start.
///
/// # Errors
/// [`Error`] when the job, its entry or the time is not as it must be, another backfill has the key, or the store
/// cannot be reached.
pub async fn begin(realm: &dyn Realm, request: &BeginBackfill) -> Result<BackfillAnswer, Error> {
    let act = Act::new("schedules backfill", request).on("job", [&request.job]).dry(request.dry_run);
    act.record(realm, beginning(realm, request)).await
}

async fn beginning(realm: &dyn Realm, request: &BeginBackfill) -> Result<BackfillAnswer, Error> {
    let site = realm.site().await?;
    let (one, now) = find_one(realm, &request.job).await?;
    let asked = BackfillRequest {
        entry: request.entry,
        from: request.from.0,
        to: request.to.0,
        only: request.only,
        max_active: request.max_active,
        reverse: request.reverse,
        key: request.key.clone(),
        by: request.by.clone(),
        why: request.why.clone(),
    };
    let begun = Backfill::begin(one.job_id.clone(), &one.plan, &one.timetable, asked, now);
    let job = quoted(request.job.as_str());
    let begun = begun.map_err(|refused| Error::invalid(format!("job {job}: {refused}")))?;
    let notes = notes(&begun, &one, &site, now);
    let housekeeper = Housekeeper::new(site, realm.registry().clone());
    if request.dry_run {
        if let Some(known) = housekeeper.known_backfill(&begun).await? {
            let existing = BackfillShown::of(&housekeeper, &known);
            return Ok(BackfillAnswer::Foreseen(BackfillForeseen::nothing(existing)));
        }
        let foreseen = foresee(&housekeeper, &one, &begun).await?;
        return Ok(BackfillAnswer::Foreseen(BackfillForeseen { notes, ..foreseen }));
    }
    let BegunBackfill { backfill, existing } = housekeeper.begin_backfill(begun).await?;
    let backfill = BackfillShown::of(&housekeeper, &backfill);
    let notes = if existing { Vec::new() } else { notes };
    Ok(BackfillAnswer::Begun(Box::new(BackfillBegun { backfill, existing, notes })))
}

/// Notes for the caller.
fn notes(begun: &Backfill, one: &Scheduled, site: &Site, now: Timestamp) -> Vec<String> {
    let mut notes = Vec::new();
    for standing in standings(&one.plan, &one.timetable, now) {
        let entry = standing.entry;
        let is_part = begun.parts.iter().any(|part| part.entry == entry);
        match standing.word() {
            "paused" | "halted" if is_part => {
                notes.push(format!(
                    "entry {entry} is {}: a backfill starts its slots all the same",
                    standing.word()
                ));
            }
            "broken" if begun.entry.is_none() => {
                notes.push(format!("entry {entry} cannot be used, and is left out"));
            }
            _ if begun.entry.is_none() && standing.planned.is_some_and(PlannedEntry::is_for_all_nodes) => {
                notes.push(format!("entry {entry} says nodes: all, and is left out"));
            }
            _ => {}
        }
        let overlap = standing.planned.filter(|_| is_part).and_then(|planned| losing(planned, one));
        if let Some(overlap) = overlap.filter(|_| begun.max_active > 1) {
            let become_of = if overlap == Overlap::CancelRunning { "cancelled" } else { "skipped" };
            let overlap = overlap.as_str();
            notes.push(format!(
                "entry {entry} has overlap: {overlap}: runs of the backfill are {become_of} for one another, unless --max-active is 1"
            ));
        }
    }
    let kept = site.settings.event_ttl.shortest().filter(|kept| begun.from < now - kept.delta());
    if let (Some(kept), Only::Missing | Only::Failed) = (kept, begun.only) {
        let counts =
            if begun.only == Only::Missing { "counts as missing" } else { "does not count as failed" };
        notes.push(format!("records of runs are kept for {kept}: a slot whose record is gone {counts}"));
    }
    notes
}

/// The overlap of an entry where of its runs that come at the same time not all are run.
fn losing(planned: &PlannedEntry, one: &Scheduled) -> Option<Overlap> {
    let overlap = planned.spec.overlap.or(one.job.fields.overlap)?;
    matches!(overlap, Overlap::Skip | Overlap::Latest | Overlap::CancelRunning).then_some(overlap)
}

async fn foresee(
    housekeeper: &Housekeeper,
    one: &Scheduled,
    begun: &Backfill,
) -> Result<BackfillForeseen, Error> {
    let foreseen = housekeeper.foresee_backfill(begun, &one.plan).await?;
    let slots: Vec<ForeseenSlot> = foreseen
        .iter()
        .map(|(wanted, found)| {
            let (entry, slot) = (wanted.start.entry, wanted.start.slot.at);
            let planned = one.plan.entries.get(entry).and_then(|planned| planned.as_ref().ok());
            let zone = zone_of(planned);
            ForeseenSlot {
                job_id: one.job_id.clone(),
                entry,
                slot: Slot(slot),
                local: local(slot, zone),
                zone: zone.name().to_owned(),
                starts: *found == Found::Nothing,
                why: passed_over(*found, begun.only).map(str::to_owned),
            }
        })
        .collect();
    let starts = slots.iter().filter(|slot| slot.starts).count();
    let (id, planned) = (begun.id.clone(), slots.len());
    Ok(BackfillForeseen { dry_run: true, id, existing: None, planned, starts, slots, notes: Vec::new() })
}
