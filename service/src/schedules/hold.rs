//! `schedules pause` and `schedules resume`.

use pumice_core::Timestamp;
use pumice_core::clock::{
    EntryPause, HeldTimetable, HoldOutcome, MadeUp, Standing, Timetable, standings, utc,
};
use pumice_core::ids::JobId;
use pumice_core::ports::CommitError;
use pumice_core::text::quoted;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::backfills::housekeeper;
use super::{Found, Scheduled, Which, find, read, refuse_unread};
use crate::audit::Act;
use crate::failure::{Error, ErrorKind};
use crate::realm::Realm;
use crate::time::{Instant, Slot};

/// How often a timetable is read again when another process wrote it first.
const MAX_TRIES: usize = 20;

/// Entries to pause.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct PauseEntries {
    /// The jobs, by id or pattern: `*` any text, `?` one character.
    pub jobs: Vec<String>,
    /// Only this entry of each, from 0.
    #[serde(default)]
    pub entry: Option<usize>,
    /// Until when; without it until they are resumed.
    #[serde(default)]
    pub until: Option<Instant>,
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

/// Entries to resume.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ResumeEntries {
    /// The jobs, by id or pattern: `*` any text, `?` one character.
    pub jobs: Vec<String>,
    /// Only this entry of each, from 0.
    #[serde(default)]
    pub entry: Option<usize>,
    /// Make up for what was missed meanwhile, as the entries' `catch_up` says.
    #[serde(default)]
    pub catch_up: bool,
    /// Show what would change, and change nothing.
    #[serde(default)]
    pub dry_run: bool,
}

/// The outcome for entries.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Held {
    /// The entries, by job.
    pub entries: Vec<HeldEntry>,
    /// Whether nothing was changed, as this was only asked for.
    pub dry_run: bool,
}

/// The outcome for an entry.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct HeldEntry {
    /// The job.
    #[serde(deserialize_with = "JobId::deserialize_stored")]
    pub job_id: JobId,
    /// Its place in the schedule, from 0.
    pub entry: usize,
    /// Its outcome.
    pub outcome: EntryOutcome,
    /// The next slot that is started.
    pub next: Option<Slot>,
    /// Why it starts nothing now.
    pub why: Option<String>,
    /// The slots that it missed, where it was resumed with `catch_up`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub caught_up: Option<CaughtUp>,
}

/// The missed slots of an entry that goes on.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct CaughtUp {
    /// How many are started now.
    pub made_up: u32,
    /// How many are passed over, as far as they are counted: up to 1,000.
    pub passed_over: u32,
    /// Why those are.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub why: Option<String>,
}

impl From<MadeUp> for CaughtUp {
    fn from(made_up: MadeUp) -> Self {
        let MadeUp { starts, passed_over, why } = made_up;
        Self { made_up: starts, passed_over, why }
    }
}

impl CaughtUp {
    /// For people: the numbers, and why slots are passed over.
    #[must_use]
    pub fn text(&self) -> String {
        let Self { made_up, passed_over, why } = self;
        if (*made_up, *passed_over) == (0, 0) {
            return "nothing was missed".to_owned();
        }
        let why = why.as_ref().map(|why| format!(": {why}")).unwrap_or_default();
        let passed = match passed_over {
            0 => String::new(),
            passed => format!(", {passed} passed over{why}"),
        };
        format!("{made_up} made up for{passed}")
    }
}

/// The outcome for an entry.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum EntryOutcome {
    /// It was paused, or its pause was replaced.
    Paused,
    /// It goes on.
    Resumed,
    /// It was neither paused nor halted.
    Unchanged,
    /// It would halt again at once, as it missed more than it may make up for.
    Halted,
}

impl EntryOutcome {
    /// The word for people.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Paused => "paused",
            Self::Resumed => "resumed",
            Self::Unchanged => "unchanged",
            Self::Halted => "halted",
        }
    }
}

impl From<HoldOutcome> for EntryOutcome {
    fn from(outcome: HoldOutcome) -> Self {
        match outcome {
            HoldOutcome::Paused => Self::Paused,
            HoldOutcome::Resumed => Self::Resumed,
            HoldOutcome::Unchanged => Self::Unchanged,
            HoldOutcome::WouldHalt => Self::Halted,
        }
    }
}

/// Pauses entries.
///
/// # Errors
/// [`Error`] when the pause ends in the past, a job or an entry does not exist, in which cases nothing is changed, or
/// the store cannot be reached.
pub async fn pause(realm: &dyn Realm, request: &PauseEntries) -> Result<Held, Error> {
    let act = Act::new("schedules pause", request).on("job", &request.jobs).dry(request.dry_run);
    act.record(realm, pausing(realm, request)).await
}

async fn pausing(realm: &dyn Realm, request: &PauseEntries) -> Result<Held, Error> {
    let until = request.until.map(|until| until.0);
    if let Some(until) = until.filter(|until| *until <= realm.now()) {
        return Err(Error::invalid(format!("until {} is past", utc(until))));
    }
    let asked = EntryPause { until, by: request.by.clone(), why: request.why.clone() };
    let change = |one: &Scheduled, now| one.timetable.paused(&one.plan, request.entry, &asked, now);
    hold(realm, &request.jobs, request.entry, request.dry_run, change).await
}

/// Resumes entries. Those that would halt again at once are as they were: [`EntryOutcome::Halted`].
///
/// # Errors
/// [`Error`] when a job or an entry does not exist, in which case nothing is changed, or the store cannot be reached.
pub async fn resume(realm: &dyn Realm, request: &ResumeEntries) -> Result<Held, Error> {
    let act = Act::new("schedules resume", request).on("job", &request.jobs).dry(request.dry_run);
    act.record(realm, resuming(realm, request)).await
}

async fn resuming(realm: &dyn Realm, request: &ResumeEntries) -> Result<Held, Error> {
    let change =
        |one: &Scheduled, now| one.timetable.resumed(&one.plan, request.entry, request.catch_up, now);
    hold(realm, &request.jobs, request.entry, request.dry_run, change).await
}

async fn hold(
    realm: &dyn Realm,
    jobs: &[String],
    entry: Option<usize>,
    dry_run: bool,
    change: impl Fn(&Scheduled, Timestamp) -> HeldTimetable,
) -> Result<Held, Error> {
    let mut asked: Vec<Scheduled> = Vec::new();
    let mut now = realm.now();
    for text in jobs {
        let found = find(realm, Which::Named(text)).await?;
        check(&found, text, entry)?;
        now = found.now;
        for one in found.scheduled {
            if asked.iter().all(|other| other.job_id != one.job_id) {
                asked.push(one);
            }
        }
    }
    let mut done = Vec::new();
    for _ in 0..MAX_TRIES {
        if asked.is_empty() {
            break;
        }
        let again = hold_once(realm, &asked, now, dry_run, &change, &mut done).await?;
        let found = read(realm, &again).await?;
        (asked, now) = (found.scheduled, found.now);
    }
    if let Some(one) = asked.first() {
        let job = quoted(one.job_id.as_str());
        let message = format!("the schedule of job {job} is written by others all the time: try again");
        return Err(Error::new(ErrorKind::Throttled, message));
    }
    done.sort_by(|one, other| (&one.job_id, one.entry).cmp(&(&other.job_id, other.entry)));
    Ok(Held { entries: done, dry_run })
}

/// Whether all that is asked for is there. Nothing is changed when it is not.
fn check(found: &Found, asked: &str, entry: Option<usize>) -> Result<(), Error> {
    refuse_unread(found)?;
    let Some(entry) = entry else { return Ok(()) };
    match found.scheduled.iter().find(|one| entry >= one.plan.entries.len()) {
        None => Ok(()),
        Some(one) => {
            let count = one.plan.entries.len();
            let job = quoted(one.job_id.as_str());
            let of = if one.job_id.as_str() == asked {
                String::new()
            } else {
                format!(", which {} matches", quoted(asked))
            };
            Err(Error::not_found(format!(
                "job {job}{of} has no entry {entry}: it has {count}, counted from 0"
            )))
        }
    }
}

/// Changes the timetables of jobs. Returns the jobs of which another process wrote one first, or which have none yet: it is
/// made, and they are to be read again.
async fn hold_once(
    realm: &dyn Realm,
    asked: &[Scheduled],
    now: Timestamp,
    dry_run: bool,
    change: &impl Fn(&Scheduled, Timestamp) -> HeldTimetable,
    done: &mut Vec<HeldEntry>,
) -> Result<Vec<JobId>, Error> {
    let store = realm.schedules();
    let (mut absent, mut writes, mut written) = (Vec::new(), Vec::new(), Vec::new());
    for one in asked {
        let held = change(one, now);
        let after = held.next.as_ref().unwrap_or(&one.timetable);
        let standings = standings(&one.plan, after, now);
        let caught_up = |entry: usize| held.made_up.iter().find(|(place, _)| *place == entry);
        let outcome = |(entry, outcome): &(usize, HoldOutcome)| HeldEntry {
            caught_up: caught_up(*entry).map(|(_, made_up)| made_up.clone().into()),
            ..outcome_of(&one.job_id, *outcome, &standings[*entry])
        };
        let outcomes: Vec<HeldEntry> = held.outcomes.iter().map(outcome).collect();
        match held.next.filter(|_| !dry_run) {
            None => done.extend(outcomes),
            Some(_) if !one.is_stored => absent.push(one.job_id.clone()),
            Some(next) => {
                writes.push(next);
                written.push(outcomes);
            }
        }
    }
    if !absent.is_empty() {
        store.touch(&absent, now).await?;
    }
    let mut again = absent;
    let puts = store.put(writes.clone()).await?;
    for ((next, outcomes), put) in writes.into_iter().zip(written).zip(puts) {
        match put {
            Ok(()) => {
                withdraw(realm, &next).await;
                done.extend(outcomes);
            }
            Err(CommitError::Conflict) => again.push(next.job_id),
            Err(error) => return Err(error.into()),
        }
    }
    Ok(again)
}

/// Cancels the runs that a timetable names as no longer wanted: one that was made ahead would start all the same before a
/// sweeper looks. Where that fails the sweeper does it.
async fn withdraw(realm: &dyn Realm, timetable: &Timetable) {
    if !timetable.is_unfinished() {
        return;
    }
    let withdrawn = match housekeeper(realm).await {
        Ok(housekeeper) => housekeeper.withdraw_named(timetable).await.map_err(Error::from),
        Err(error) => Err(error),
    };
    if let Err(error) = withdrawn {
        tracing::warn!(job_id = %timetable.job_id, %error, "runs that were made ahead are withdrawn by the next sweep");
    }
}

fn outcome_of(job: &JobId, outcome: HoldOutcome, standing: &Standing<'_>) -> HeldEntry {
    let next = standing.next_slot().map(Slot);
    HeldEntry {
        job_id: job.clone(),
        entry: standing.entry,
        outcome: outcome.into(),
        next,
        why: standing.silence(),
        caught_up: None,
    }
}
