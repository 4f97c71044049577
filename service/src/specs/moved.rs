//! Which entries of schedules start at other times once a realm's definition is another: its `TIMEZONE`, its
//! `DISPATCHER_ZONES`, its calendars.

use std::collections::BTreeSet;
use std::sync::Arc;

use pumice_core::Timestamp;
use pumice_core::clock::{JobSchedule, PlannedEntry, is_clock_changed, is_scheduled};
use pumice_core::ids::JobId;
use pumice_core::ports::Doc;
use pumice_core::spec::{JobSpec, RealmSpec};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::failure::Error;
use crate::realm::{Realm, read_realm};
use crate::time::Slot;

/// Most entries that are named.
const MAX_NAMED: usize = 10;

/// Entries of schedules that start at other times than before, as the realm's definition is another.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct MovedEntries {
    /// How many there are.
    pub count: usize,
    /// The first of them, by job: ten at most.
    pub entries: Vec<MovedEntry>,
}

/// An entry whose next slot is another than before.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct MovedEntry {
    /// The job.
    #[serde(deserialize_with = "JobId::deserialize_stored")]
    pub job_id: JobId,
    /// Its place in the schedule, from 0.
    pub entry: usize,
    /// When and where it would have been due next.
    pub before: NextSlot,
    /// When and where it is due next now.
    pub after: NextSlot,
}

/// The next slot of an entry.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct NextSlot {
    /// The slot; `null` where there is none.
    pub slot: Option<Slot>,
    /// The zone of the entry; `null` where it cannot be used.
    pub zone: Option<String>,
    /// Why the entry cannot be used.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub trouble: Option<String>,
}

impl NextSlot {
    fn of(planned: Option<&Result<PlannedEntry, pumice_core::clock::BadEntry>>, now: Timestamp) -> Self {
        match planned {
            Some(Ok(planned)) => Self {
                slot: planned.entry(now).next(now).map(|slot| Slot(slot.at)),
                zone: Some(planned.zone.name().to_owned()),
                trouble: None,
            },
            Some(Err(error)) => Self { slot: None, zone: None, trouble: Some(error.to_string()) },
            None => {
                let why = "another dispatcher starts it, or none".to_owned();
                Self { slot: None, zone: None, trouble: Some(why) }
            }
        }
    }
}

/// The entries that move as the realm's definition becomes another, of jobs that are stored and not put along with it.
/// `None` when nothing changes that moves any.
///
/// # Errors
/// [`Error`] when the jobs cannot be read.
pub(super) async fn moved(
    realm: &dyn Realm,
    before: &Doc,
    after: &RealmSpec,
    put: &BTreeSet<&JobId>,
) -> Result<Option<MovedEntries>, Error> {
    if !is_clock_changed(before, &after.document) {
        return Ok(None);
    }
    let Some(before) = read_realm(realm, before.clone()) else { return Ok(None) };
    let now = realm.now();
    let mut moved = MovedEntries::default();
    for (job_id, document) in realm.catalog().all_jobs().await? {
        if put.contains(&job_id) || !is_scheduled(&document) {
            continue;
        }
        // One that cannot be read starts nothing, whatever the realm says.
        let Ok(job) = JobSpec::stored(Arc::new(document)) else { continue };
        for (entry, before, after) in entries(&job, &before, after, now) {
            moved.count += 1;
            if moved.entries.len() < MAX_NAMED {
                moved.entries.push(MovedEntry { job_id: job_id.clone(), entry, before, after });
            }
        }
    }
    Ok((moved.count > 0).then_some(moved))
}

/// The entries of a job that move.
fn entries(
    job: &JobSpec,
    before: &RealmSpec,
    after: &RealmSpec,
    now: Timestamp,
) -> Vec<(usize, NextSlot, NextSlot)> {
    let [before, after] = [before, after].map(|realm| JobSchedule::of(job, realm, &realm.settings));
    if !before.enabled && !after.enabled {
        return Vec::new();
    }
    let places = 0..before.entries.len().max(after.entries.len());
    let both = places.map(|entry| {
        let next = |plan: &JobSchedule| NextSlot::of(plan.entries.get(entry), now);
        (entry, next(&before), next(&after))
    });
    both.filter(|(_, before, after)| (before.slot, &before.trouble) != (after.slot, &after.trouble)).collect()
}
