//! `schedules`: looks at what the clock starts, and pauses it. Entries are counted from 0, as in the records of runs.

mod backfill;
mod backfills;
mod export;
mod hold;
mod list;
mod next;
mod simulate;
mod start;

use std::sync::Arc;

use pumice_core::Timestamp;
use pumice_core::clock::{Plan, Timetable, is_scheduled};
use pumice_core::glob::fnmatch;
use pumice_core::ids::JobId;
use pumice_core::ports::Clock;
use pumice_core::spec::JobSpec;
use pumice_core::text::{escaped, quoted};
use pumice_local::SystemClock;

use crate::args::{Backfills, ExportFormat, Global, NewBackfill, Schedules};
use crate::failure::Failure;
use crate::output::warn;
use crate::realm::Realm;

/// Carries out a command.
pub(super) async fn schedules(global: &Global, command: Schedules) -> Result<(), Failure> {
    let realm = match command {
        Schedules::Backfill(NewBackfill { dry_run: true, .. })
        | Schedules::Backfills(Backfills::List { .. } | Backfills::Show { .. }) => {
            Realm::open_to_read(global).await?
        }
        Schedules::Pause(_)
        | Schedules::Resume(_)
        | Schedules::Run(_)
        | Schedules::Backfill(_)
        | Schedules::Backfills(_) => Realm::open(global, false).await?,
        _ => Realm::open_to_read(global).await?,
    };
    match command {
        Schedules::List { job } => list::list(global, &realm, job.as_deref()).await,
        Schedules::Next(options) => next::next(global, &realm, &options).await,
        Schedules::Pause(options) => hold::pause(global, &realm, options).await,
        Schedules::Resume(options) => hold::resume(global, &realm, options).await,
        Schedules::Run(options) => start::start(global, &realm, options).await,
        Schedules::Backfill(options) => backfill::begin(global, &realm, options).await,
        Schedules::Backfills(command) => backfills::backfills(global, &realm, command).await,
        Schedules::Simulate { job, down } => simulate::simulate(global, &realm, job.as_deref(), &down).await,
        Schedules::Export { job, format: ExportFormat::Eventbridge } => {
            export::export(global, &realm, job.as_deref()).await
        }
    }
}

/// A job with a schedule.
struct Scheduled {
    job_id: JobId,
    job: Arc<JobSpec>,
    plan: Plan,
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
    /// Tells of the jobs that cannot be read.
    fn warn(&self, global: &Global) {
        let line = |(job, why): &(JobId, String)| {
            format!("job {} cannot be read, so that nothing starts it: {why}", escaped(job.as_str()))
        };
        warn(global, &self.unread.iter().map(line).collect::<Vec<_>>());
    }
}

/// Finds the schedules that are asked for.
async fn find(realm: &Realm, which: Which<'_>) -> Result<Found, Failure> {
    let documents = realm.catalog().all_jobs().await?;
    let all = documents.iter().filter(|(_, document)| is_scheduled(document)).count();
    let exact = |asked: &str| documents.iter().any(|(id, _)| id.as_str() == asked);
    let is_exact = matches!(which, Which::Named(asked) if exact(asked));
    let is_asked = |id: &JobId| match which {
        Which::Matching(pattern) => pattern.is_none_or(|pattern| fnmatch(pattern, id.as_str())),
        Which::Named(asked) if is_exact => id.as_str() == asked,
        Which::Named(asked) => fnmatch(asked, id.as_str()),
    };
    let asked = documents.iter().filter(|(id, _)| is_asked(id));
    let mut ids: Vec<JobId> =
        asked.clone().filter(|(_, document)| is_scheduled(document)).map(|(id, _)| id.clone()).collect();
    if let Which::Named(text) = which
        && ids.is_empty()
    {
        return Err(match (JobId::new(text), asked.count()) {
            (Ok(job), 0) => super::specs::no_such_job(realm.jobs(), &job).await?,
            (Err(_), 0) => Failure::Wrong(format!("no job matches {}", quoted(text))),
            _ => Failure::Wrong(format!("{} has no schedule", quoted(text))),
        });
    }
    ids.sort();
    let found = read(realm, &ids).await?;
    Ok(Found { all, ..found })
}

/// Reads the schedules of jobs as the engine reads them: specs as they are stored, settings of the realm and its
/// environment.
async fn read(realm: &Realm, ids: &[JobId]) -> Result<Found, Failure> {
    let settings = realm.site().await?.settings.clone();
    let definition = realm.jobs().realm().await?;
    let jobs = realm.jobs().jobs(ids).await?;
    let timetables = realm.schedules().load(ids).await?;
    let now = SystemClock.now();
    let mut found = Found { scheduled: Vec::new(), unread: Vec::new(), all: ids.len(), now };
    for ((job_id, job), timetable) in ids.iter().cloned().zip(jobs).zip(timetables) {
        match job {
            // It was deleted meanwhile.
            None => {}
            Some(Err(error)) => found.unread.push((job_id, error.to_string())),
            Some(Ok(job)) => {
                let plan = Plan::of(&job, &definition, &settings);
                let is_stored = timetable.is_some();
                let timetable = timetable.unwrap_or_else(|| Timetable::new(job_id.clone(), now));
                found.scheduled.push(Scheduled { job_id, job, plan, timetable, is_stored });
            }
        }
    }
    Ok(found)
}
