//! Why a run has its status: by the rules of runs and further facts from the stores.

use pumice_core::engine::{Dispatcher, done_again};
use pumice_core::ids::RunKey;
use pumice_core::pauses::Pause;
use pumice_core::permits::Gate;
use pumice_core::ports::StoreErrorKind;
use pumice_core::run::{Cause, Facts, GateFact, LockLine, Run, Status, StepFact, WorkerFacts, explain};
use pumice_core::spec::Overlap;
use pumice_core::text::shown;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::since::{SinceSuccess, since_success};
use super::{RunName, find};
use crate::failure::Error;
use crate::realm::Realm;
use crate::time::Instant;

/// Most runs in line for a job's lock among which a run's place is looked for.
const MAX_IN_LINE: usize = 10_000;
/// Most messages of a queue among which a run's is looked for.
const MAX_MESSAGES: usize = 1_000;

/// Why a run waits, or ended as it did.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct RunWhy {
    /// The run.
    pub run: RunKey,
    /// Where it stands.
    pub status: Status,
    /// The cause, in a word.
    pub cause: Cause,
    /// One sentence.
    pub why: String,
    /// Another run that it is about.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub by: Option<RunKey>,
    /// The run that replaces a failed one, by doing it again.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub again: Option<RunKey>,
    /// The time that it is about: from when on it may start, until when it is paused.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub at: Option<Instant>,
    /// Changes since the last run of the job that ended well, of one that failed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub since: Option<SinceSuccess>,
}

/// Says why a run waits, or ended as it did.
///
/// # Errors
/// [`Error`] when there is no such run, or the store cannot be read.
pub async fn why(realm: &dyn Realm, request: &RunName) -> Result<RunWhy, Error> {
    let key = find(realm, &request.run).await?;
    let run = realm.runs().load(&key).await?;
    let run = run.ok_or_else(|| Error::not_found(format!("no such run {key}")))?;
    why_of(realm, &run).await
}

/// Says why a run stands where it stands.
///
/// # Errors
/// [`Error`] when the store cannot be read.
pub(super) async fn why_of(realm: &dyn Realm, run: &Run) -> Result<RunWhy, Error> {
    let facts = facts(realm, run).await?;
    let zone = realm.site().await?.zone.tz();
    let explained = explain(run, &facts, realm.now(), zone);
    let mut why = explained.sentence;
    let again = if run.status.is_failure() && !run.is_child() {
        done_again(realm.runs(), &realm.site().await?.realm, run).await?
    } else {
        None
    };
    if let Some(again) = &again {
        let Run { key, status, .. } = again;
        why.push_str(&format!("; it has been done again as run {key}, which is {status}"));
    }
    let again = again.map(|again| again.key);
    let since = since_success(realm, run).await?;
    let (run, status, at) = (run.key.clone(), run.status, explained.at.map(Instant));
    Ok(RunWhy { run, status, cause: explained.cause, why, by: explained.by, again, at, since })
}

/// Facts from the stores beyond a run's record, as far as they matter to this one.
async fn facts(realm: &dyn Realm, run: &Run) -> Result<Facts, Error> {
    let mut facts = Facts::default();
    let planner = realm.registry().job_type(&run.job_type).and_then(|job_type| job_type.planner());
    facts.is_composite = planner.is_some();
    if run.status.is_end() {
        if let (Status::Cancelled, Some(parent)) = (run.status, run.key.parent()) {
            facts.parent = realm.runs().peek(&parent).await?.map(|parent| (parent.status, parent.reason));
        }
        if run.duties.is_some() && run.lease.is_none() {
            facts.workers = workers(realm, run).await?;
        }
        return Ok(facts);
    }
    if facts.is_composite && run.ts_start.is_some() {
        facts.steps = steps(realm, run).await?;
    }
    if run.overlap != Overlap::Allow && run.ts_start.is_none() {
        facts.line = Some(line(realm, run).await?);
    }
    if let Some(gate) = run.gate().filter(|_| run.ts_start.is_none()) {
        facts.gate = Some(gate_fact(realm, run, gate).await?);
    }
    facts.workers = workers(realm, run).await?;
    facts.paused = realm.runs().pauses().await?.of(run, realm.now()).map(Pause::paused_by);
    if let (Some(host), Some(hosts)) = (&run.host, &realm.site().await?.ports.hosts) {
        let found = hosts.host(&run.worker, host).await?;
        facts.host_alive = Some(found.is_some_and(|host| host.is_alive(realm.now())));
    }
    Ok(facts)
}

/// The steps of a run's attempt that have not ended.
async fn steps(realm: &dyn Realm, run: &Run) -> Result<Vec<StepFact>, Error> {
    let children = realm.runs().children(&run.key, run.attempt).await?;
    let open = children.into_iter().filter(|child| !child.status.is_end());
    let name = |child: &Run| {
        let item = child.foreach_index.map(|index| format!(" (item {index})")).unwrap_or_default();
        format!("{}{item}", shown(child.job_id.as_str()))
    };
    Ok(open
        .map(|child| StepFact {
            name: name(&child),
            status: child.status,
            fault: child.host_fault().map(str::to_owned),
        })
        .collect())
}

/// The line for the lock of a run's job.
async fn line(realm: &dyn Realm, run: &Run) -> Result<LockLine, Error> {
    let holder = realm.runs().holder(&run.job_id).await?;
    let waits = realm.runs().in_line(&run.job_id, MAX_IN_LINE).await?;
    let place = waits.iter().position(|other| other.key == run.key).map(|before| before + 1);
    // Of those where the newest wins the place says nothing.
    let place = place.filter(|_| !run.overlap.newest_wins());
    Ok(LockLine { holder, place })
}

/// The gate that a run must pass.
async fn gate_fact(realm: &dyn Realm, run: &Run, gate: &Gate) -> Result<GateFact, Error> {
    let dispatcher = Dispatcher::new(realm.site().await?, realm.registry().clone());
    let max = dispatcher.permits_of(run).await?;
    let view = realm.runs().gate(gate, MAX_IN_LINE).await?;
    let place = view.line.iter().position(|(_, key)| *key == run.key).map(|before| before + 1);
    let first = view.line.into_iter().next().map(|(_, key)| key);
    Ok(GateFact { max, holders: view.holders, place, first })
}

/// The workers that could take a run.
async fn workers(realm: &dyn Realm, run: &Run) -> Result<WorkerFacts, Error> {
    let site = realm.site().await?;
    let serves = realm.served_workers().await?;
    let (is_served, stopping) = (realm.is_served(), realm.stopping_since().await?);
    let mut workers = WorkerFacts { is_served, serves, stopping, ..WorkerFacts::default() };
    if let Some(hosts) = &site.ports.hosts {
        let hosts = hosts.hosts(&run.worker).await?;
        workers.alive = hosts.iter().filter(|host| host.is_alive(realm.now())).count();
        workers.last_seen = hosts.iter().map(|host| host.seen).max();
    }
    // Without the right to ask the rest is shown all the same.
    match site.ports.queue.depth(&run.worker).await {
        Ok(depth) => workers.ready = Some(depth.ready),
        Err(error) => workers.without_queue = error.kind == StoreErrorKind::Missing,
    }
    workers.has_message = has_message(realm, run).await?;
    Ok(workers)
}

/// Whether a message about the run is on its worker's queue, where that can be known.
async fn has_message(realm: &dyn Realm, run: &Run) -> Result<Option<bool>, Error> {
    // Without the right to ask the rest is shown all the same.
    let listed = realm.site().await?.ports.queue.runs_on_it(&run.worker, MAX_MESSAGES).await;
    let Some(listed) = listed.ok().flatten() else { return Ok(None) };
    if listed.contains(&run.key) {
        return Ok(Some(true));
    }
    if listed.len() >= MAX_MESSAGES {
        return Ok(None);
    }
    // One that was written since it was read had its message then.
    let is_as_read = realm.runs().peek(&run.key).await?.is_some_and(|now| now.rev == run.rev);
    Ok(is_as_read.then_some(false))
}
