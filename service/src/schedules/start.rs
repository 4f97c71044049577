//! `schedules run`.

use chrono::TimeDelta;
use pumice_core::Timestamp;
use pumice_core::clock::{PlannedEntry, Start, standings, utc};
use pumice_core::engine::{Housekeeper, start_request};
use pumice_core::hosts::Hosts;
use pumice_core::ids::{JobId, RunKey};
use pumice_core::request::{DispatchRequest, When};
use pumice_core::text::quoted;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{Scheduled, find_one};
use crate::audit::Act;
use crate::dispatch::AcceptedRun;
use crate::failure::Error;
use crate::realm::Realm;
use crate::time::{Instant, Slot};

/// An entry to start now.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct RunEntry {
    /// The job.
    pub job: JobId,
    /// Which entry, from 0; may be left out where there is one.
    #[serde(default)]
    pub entry: Option<usize>,
    /// As the start of this slot, which makes one run however often it is asked for.
    #[serde(default)]
    pub at: Option<Instant>,
    /// Show what would be started, and start nothing.
    #[serde(default)]
    pub dry_run: bool,
}

/// The run that was started, or one on each host.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(untagged)]
pub enum StartedRuns {
    /// Of an entry that starts one.
    One(AcceptedRun),
    /// Of an entry with `nodes: all`, however many there are.
    OnEachHost(Vec<AcceptedRun>),
    /// The starts that would be made; only in a dry run.
    Foreseen(ForeseenStart),
}

/// A start that would be made.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct ForeseenStart {
    /// The job.
    #[serde(deserialize_with = "JobId::deserialize_stored")]
    pub job_id: JobId,
    /// The place of the entry in the schedule, from 0.
    pub entry: usize,
    /// The slot that the runs would have.
    pub slot: Slot,
    /// Whether the job is enabled: the run of one that is not is skipped.
    pub enabled: bool,
    /// The runs: one, or one for each host.
    pub runs: Vec<ForeseenRun>,
    /// The start of the clock that they would be instead of.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub note: Option<String>,
    /// Always true.
    pub dry_run: bool,
}

/// A run that would be started.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct ForeseenRun {
    /// The host that it would be for alone.
    pub host: Option<String>,
    /// The run that is there already, so that none would be started.
    pub existing: Option<RunKey>,
}

impl StartedRuns {
    /// The runs.
    #[must_use]
    pub fn accepted(&self) -> &[AcceptedRun] {
        match self {
            Self::One(run) => std::slice::from_ref(run),
            Self::OnEachHost(runs) => runs,
            Self::Foreseen(_) => &[],
        }
    }
}

/// Starts a job as an entry of its schedule would.
///
/// # Errors
/// [`Error`] when there is no such job, entry or slot, its worker has no host where the entry starts it on each, the request is
/// refused, or the store cannot be reached.
pub async fn run(realm: &dyn Realm, asked: &RunEntry) -> Result<StartedRuns, Error> {
    let act = Act::new("schedules run", asked).on("job", [&asked.job]).dry(asked.dry_run);
    act.record(realm, running(realm, asked)).await
}

async fn running(realm: &dyn Realm, asked: &RunEntry) -> Result<StartedRuns, Error> {
    let (one, now) = find_one(realm, &asked.job).await?;
    let at = asked.at.map(|at| at.0);
    let (planned, start) = start_of(&one, asked.entry, at, now)?;
    let note = at.and_then(|_| replaced(&one, planned, &start, now));
    let housekeeper = Housekeeper::new(realm.site().await?, realm.registry().clone());
    let is_for_all = planned.is_for_all_nodes();
    let starts = if is_for_all { on_each(&housekeeper, &one, start).await? } else { vec![start] };
    if asked.dry_run {
        let foreseen = foresee(realm, &housekeeper, &one, &starts, at.is_some()).await?;
        return Ok(StartedRuns::Foreseen(ForeseenStart { note, ..foreseen }));
    }
    let requests = starts.iter().map(|start| request(&one.job_id, planned, start, at.is_some(), now));
    let outcomes = housekeeper.dispatcher().dispatch(requests.collect(), None).await;
    let mut accepted = Vec::with_capacity(outcomes.len());
    for outcome in outcomes {
        let mut run = AcceptedRun::from(outcome?);
        if let Some(note) = note.as_ref().filter(|_| !run.existing) {
            run.warning =
                Some(run.warning.map_or_else(|| note.clone(), |warning| format!("{warning}; {note}")));
        }
        accepted.push(run);
    }
    if is_for_all {
        return Ok(StartedRuns::OnEachHost(accepted));
    }
    accepted.pop().map(StartedRuns::One).ok_or_else(|| Error::unreachable("the store gave no answer"))
}

/// A start for each host of the job's worker that is alive.
async fn on_each(housekeeper: &Housekeeper, one: &Scheduled, start: Start) -> Result<Vec<Start>, Error> {
    match housekeeper.hosts_for(&one.job).await? {
        Hosts::Single => Ok(vec![start]),
        Hosts::Alive(hosts) => Ok(hosts.iter().map(|host| start.on(host)).collect()),
        Hosts::Gone(why) | Hosts::Never(why) => Err(Error::invalid(why)),
    }
}

/// The outcome of starts, of which those of a slot may be there already.
async fn foresee(
    realm: &dyn Realm,
    housekeeper: &Housekeeper,
    one: &Scheduled,
    starts: &[Start],
    is_of_slot: bool,
) -> Result<ForeseenStart, Error> {
    let mut runs = Vec::with_capacity(starts.len());
    for start in starts {
        let key = housekeeper.run_under(&one.job_id, &start.key);
        let is_there = is_of_slot && realm.runs().peek(&key).await?.is_some();
        let host = start.host.as_ref().map(ToString::to_string);
        runs.push(ForeseenRun { host, existing: is_there.then_some(key) });
    }
    let Some(start) = starts.first() else {
        return Err(Error::unreachable("no host of the job's worker is alive"));
    };
    Ok(ForeseenStart {
        job_id: one.job_id.clone(),
        entry: start.entry,
        slot: Slot(start.slot.at),
        enabled: one.plan.enabled,
        runs,
        note: None,
        dry_run: true,
    })
}

/// The request of a start: of a slot under its key, and of no slot under none.
fn request(
    job_id: &JobId,
    planned: &PlannedEntry,
    start: &Start,
    is_of_slot: bool,
    now: Timestamp,
) -> DispatchRequest {
    let request = start_request(job_id, planned, start, now);
    let idempotency_key = request.idempotency_key.filter(|_| is_of_slot);
    DispatchRequest { when: When::Now, idempotency_key, ..request }
}

/// A start by an entry: of the slot that is asked for, else now.
fn start_of(
    one: &Scheduled,
    entry: Option<usize>,
    at: Option<Timestamp>,
    now: Timestamp,
) -> Result<(&PlannedEntry, Start), Error> {
    let (entry, planned) = chosen(one, entry)?;
    let standings = standings(&one.plan, &one.timetable, now);
    let standing = &standings[entry];
    let Some(at) = at else {
        return Ok((planned, Start::at_once(planned, entry, standing.cursor.since, now)));
    };
    let asked = planned.entry(standing.cursor.since);
    let slot = asked.next(at - TimeDelta::seconds(1)).filter(|slot| slot.at == at);
    let start = Start::at_once(planned, entry, standing.cursor.since, at);
    let Some(slot) = slot else {
        let near = [start.previous, asked.next(at).map(|slot| slot.at)];
        let near: Vec<String> = near.into_iter().flatten().map(utc).collect();
        let hint =
            if near.is_empty() { String::new() } else { format!(": the nearest are {}", near.join(" and ")) };
        let job = quoted(one.job_id.as_str());
        return Err(Error::invalid(format!("{} is not a slot of entry {entry} of job {job}{hint}", utc(at))));
    };
    Ok((planned, Start { slot, ..start }))
}

/// A note about a start to come, which the clock does not make any more: its slot has this run.
fn replaced(one: &Scheduled, planned: &PlannedEntry, start: &Start, now: Timestamp) -> Option<String> {
    let (slot, meant) = (start.slot.at, planned.start_of(start.slot.at));
    let standings = standings(&one.plan, &one.timetable, now);
    let is_to_come =
        standings[start.entry].upcoming(now).from(slot).next().is_some_and(|next| next.at == slot);
    (is_to_come && meant > now).then(|| {
        format!("it is the run of slot {}, which the clock would have started at {}", utc(slot), utc(meant))
    })
}

/// The entry that is asked for, or the only one.
fn chosen(one: &Scheduled, entry: Option<usize>) -> Result<(usize, &PlannedEntry), Error> {
    let count = one.plan.entries.len();
    let job = quoted(one.job_id.as_str());
    let entry = match entry {
        Some(entry) => entry,
        None if count == 1 => 0,
        None => {
            return Err(Error::invalid(format!(
                "job {job} has {count} entries: entry must be one of 0 to {}",
                count - 1
            )));
        }
    };
    match one.plan.entries.get(entry) {
        None => {
            Err(Error::invalid(format!("job {job} has no entry {entry}: it has {count}, counted from 0")))
        }
        Some(Err(error)) => {
            Err(Error::invalid(format!("entry {entry} of job {job} cannot be used: {error}")))
        }
        Some(Ok(planned)) => Ok((entry, planned)),
    }
}
