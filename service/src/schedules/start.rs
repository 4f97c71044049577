//! `schedules run`.

use chrono::TimeDelta;
use pumice_core::Timestamp;
use pumice_core::clock::{Planned, Start, standings, utc};
use pumice_core::engine::{Dispatcher, start_request};
use pumice_core::ids::JobId;
use pumice_core::request::{DispatchRequest, When};
use pumice_core::text::quoted;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{Scheduled, find_one};
use crate::dispatch::AcceptedRun;
use crate::failure::Error;
use crate::realm::Realm;
use crate::time::Instant;

/// How far back the slot before another one is looked for.
const BEFORE: TimeDelta = TimeDelta::days(3_660);

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
}

/// Starts a job as an entry of its schedule would.
///
/// # Errors
/// [`Error`] when there is no such job, entry or slot, the request is refused, or the store cannot be reached.
pub async fn run(realm: &dyn Realm, asked: &RunEntry) -> Result<AcceptedRun, Error> {
    let (one, now) = find_one(realm, &asked.job).await?;
    let request = request(&one, asked.entry, asked.at.map(|at| at.0), now)?;
    let dispatcher = Dispatcher::new(realm.site().await?, realm.registry().clone());
    let mut outcomes = dispatcher.dispatch(vec![request], None).await;
    let Some(accepted) = outcomes.pop() else {
        return Err(Error::unreachable("the store gave no answer"));
    };
    Ok(accepted?.into())
}

/// The request of a start: of a slot under its key, and of no slot under none.
fn request(
    one: &Scheduled,
    entry: Option<usize>,
    at: Option<Timestamp>,
    now: Timestamp,
) -> Result<DispatchRequest, Error> {
    let (entry, planned) = chosen(one, entry)?;
    let standings = standings(&one.plan, &one.timetable, now);
    let standing = &standings[entry];
    let Some(at) = at else {
        let start = Start { previous: standing.last, ..Start::at_once(planned, entry, now) };
        let request = start_request(&one.job_id, planned, &start, now);
        return Ok(DispatchRequest { when: When::Now, idempotency_key: None, ..request });
    };
    let asked = planned.entry(standing.cursor.since);
    let slot = asked.next(at - TimeDelta::seconds(1)).filter(|slot| slot.at == at);
    let previous = asked.last(at - BEFORE, at - TimeDelta::seconds(1)).map(|slot| slot.at);
    let Some(slot) = slot else {
        let near = [previous, asked.next(at).map(|slot| slot.at)];
        let near: Vec<String> = near.into_iter().flatten().map(utc).collect();
        let hint =
            if near.is_empty() { String::new() } else { format!(": the nearest are {}", near.join(" and ")) };
        let job = quoted(one.job_id.as_str());
        return Err(Error::invalid(format!("{} is no slot of entry {entry} of job {job}{hint}", utc(at))));
    };
    let start = Start { slot, previous, ..Start::at_once(planned, entry, at) };
    Ok(DispatchRequest { when: When::Now, ..start_request(&one.job_id, planned, &start, now) })
}

/// The entry that is asked for, or the only one.
fn chosen(one: &Scheduled, entry: Option<usize>) -> Result<(usize, &Planned), Error> {
    let count = one.plan.entries.len();
    let job = quoted(one.job_id.as_str());
    let entry = match entry {
        Some(entry) => entry,
        None if count == 1 => 0,
        None => {
            return Err(Error::invalid(format!(
                "job {job} has {count} entries: which one? --entry 0 to {}",
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
