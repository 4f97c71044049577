//! Starts by the clock: entries of schedules, their pauses, and backfills. Entries are counted from 0, as in the
//! records of runs.

mod backfill;
mod backfills;
mod export;
mod hold;
mod list;
mod next;
mod simulate;
mod start;

use std::sync::Arc;

use chrono_tz::Tz;
use pumice_core::Timestamp;
use pumice_core::clock::{JobSchedule, PlannedEntry, Timetable, is_scheduled};
use pumice_core::filter::ItemQuery;
use pumice_core::glob::matches;
use pumice_core::ids::JobId;
use pumice_core::ports::Doc;
use pumice_core::spec::JobSpec;
use pumice_core::text::{escaped, quoted};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::failure::Error;
use crate::listed::Jobs;
use crate::realm::{Realm, no_such_job};

pub use backfill::{BackfillAnswer, BackfillBegun, BackfillForeseen, BeginBackfill, ForeseenSlot, begin};
pub use backfills::{
    BackfillChanged, BackfillList, BackfillName, BackfillOne, BackfillShown, BadSlot, CancelBackfill,
    Cancellation, ListBackfills, ResumeBackfill, SlotUnderWay, Stoppage, cancel, list_all, resume_backfill,
    show,
};
pub use export::{CloudFormationTemplate, EntryRemarks, ExportSchedules, Metadata, export};
pub use hold::{CaughtUp, EntryOutcome, Held, HeldEntry, PauseEntries, ResumeEntries, pause, resume};
pub use list::{
    EntryStanding, LateEntry, ListSchedules, PauseShown, ScheduleList, ScheduleRow, UnreadRow, list,
};
pub use next::{
    MAX_SHOWN, NextStarts, SilentEntry, TouchedSlots, UpcomingSlot, UpcomingStarts, next, touched,
};
pub use simulate::{EntryRecovery, SimulateOutage, Simulated, simulate};
pub use start::{ForeseenRun, ForeseenStart, RunEntry, StartedRuns, run};

/// A job with a schedule.
struct Scheduled {
    job_id: JobId,
    job: Arc<JobSpec>,
    plan: JobSchedule,
    /// How far its schedule has come: a new one where the store has none.
    timetable: Timetable,
    /// Whether the store has one.
    is_stored: bool,
}

/// Which jobs are asked for.
#[derive(Clone, Copy)]
enum Which<'a> {
    /// Those that match, or all.
    Matching(Option<&'a str>),
    /// Those of them that terms mean.
    Meant(Option<&'a str>, &'a ItemQuery<Jobs>),
    /// A job by id, else those that match, of which there must be one.
    Named(&'a str),
}

/// The jobs that have schedules, by id, with those that cannot be read and why.
struct Found {
    scheduled: Vec<Scheduled>,
    unread: Vec<(JobId, String)>,
    /// How many jobs of the realm have schedules.
    all: usize,
    now: Timestamp,
}

impl Found {
    /// The jobs that cannot be read.
    fn unread(&self) -> Vec<UnreadJob> {
        let shown = |(job_id, trouble): &(JobId, String)| UnreadJob {
            job_id: job_id.clone(),
            trouble: trouble.clone(),
        };
        self.unread.iter().map(shown).collect()
    }
}

/// A job whose stored spec cannot be read, so that nothing starts it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct UnreadJob {
    /// The job.
    #[serde(deserialize_with = "JobId::deserialize_stored")]
    pub job_id: JobId,
    /// Why.
    pub trouble: String,
}

/// The one job that is asked for by its id.
async fn find_one(realm: &dyn Realm, job: &JobId) -> Result<(Scheduled, Timestamp), Error> {
    let found = find(realm, Which::Named(job.as_str())).await?;
    refuse_unread(&found)?;
    let now = found.now;
    match found.scheduled.into_iter().find(|one| one.job_id == *job) {
        Some(one) => Ok((one, now)),
        None => Err(no_such_job(realm.jobs(), job).await?),
    }
}

fn refuse_unread(found: &Found) -> Result<(), Error> {
    match found.unread.first() {
        None => Ok(()),
        Some((job, why)) => {
            Err(Error::invalid(format!("job {} cannot be read: {why}", escaped(job.as_str()))))
        }
    }
}

/// The zone of an entry; UTC where its spec cannot be used.
fn zone_of(planned: Option<&PlannedEntry>) -> Tz {
    planned.map_or(Tz::UTC, |planned| planned.zone)
}

/// Whether a stored spec cannot be read at all, so that it is unknown whether it has a schedule: a spec has fields.
fn is_unread(document: &Doc) -> bool {
    document.is_empty()
}

/// Finds the schedules that are asked for.
async fn find(realm: &dyn Realm, which: Which<'_>) -> Result<Found, Error> {
    let documents = realm.catalog().all_jobs().await?;
    let is_meant = |document: &Doc| is_scheduled(document) || is_unread(document);
    let all = documents.iter().filter(|(_, document)| is_meant(document)).count();
    let exact = |asked: &str| documents.iter().any(|(id, _)| id.as_str() == asked);
    let is_exact = matches!(which, Which::Named(asked) if exact(asked));
    let has = |pattern: Option<&str>, id: &JobId| pattern.is_none_or(|pattern| matches(pattern, id.as_str()));
    let is_asked = |job: &&(JobId, Doc)| match (which, &job.0) {
        (Which::Matching(pattern), id) => has(pattern, id),
        (Which::Meant(pattern, meant), id) => has(pattern, id) && meant.takes(job),
        (Which::Named(asked), id) if is_exact => id.as_str() == asked,
        (Which::Named(asked), id) => matches(asked, id.as_str()),
    };
    let asked = documents.iter().filter(is_asked);
    let mut ids: Vec<JobId> =
        asked.clone().filter(|(_, document)| is_meant(document)).map(|(id, _)| id.clone()).collect();
    if let Which::Named(text) = which
        && ids.is_empty()
    {
        return Err(match (JobId::new(text), asked.count()) {
            (Ok(job), 0) => no_such_job(realm.jobs(), &job).await?,
            (Err(_), 0) => Error::not_found(format!("no job matches {}", quoted(text))),
            _ => Error::invalid(format!("{} has no schedule", quoted(text))),
        });
    }
    ids.sort();
    let found = read(realm, &ids).await?;
    Ok(Found { all, ..found })
}

/// Reads the schedules of jobs as the engine reads them: specs as they are stored, settings of the realm and its
/// environment.
async fn read(realm: &dyn Realm, ids: &[JobId]) -> Result<Found, Error> {
    let definition = realm.jobs().current_realm().await?;
    let settings = realm.site().await?.settings.over(&definition.settings);
    let jobs = realm.jobs().jobs(ids).await?;
    let timetables = realm.schedules().load(ids).await?;
    let now = realm.now();
    let mut found = Found { scheduled: Vec::new(), unread: Vec::new(), all: ids.len(), now };
    for ((job_id, job), timetable) in ids.iter().cloned().zip(jobs).zip(timetables) {
        match job {
            // It was deleted meanwhile.
            None => {}
            Some(Err(error)) => found.unread.push((job_id, error.to_string())),
            Some(Ok(job)) => {
                let is_stored = timetable.is_some();
                let timetable = timetable.unwrap_or_else(|| Timetable::new(job_id.clone(), now));
                let plan = timetable.schedule_of(&job, &definition, &settings);
                let plan = if realm.is_aws() { plan.without_service() } else { plan };
                found.scheduled.push(Scheduled { job_id, job, plan, timetable, is_stored });
            }
        }
    }
    Ok(found)
}
