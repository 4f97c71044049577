//! Pauses of jobs, of workers and of the whole realm; and the workers that there are.

use std::collections::{BTreeMap, BTreeSet};

use futures_util::stream::{self, StreamExt, TryStreamExt};
use pumice_core::engine::Dispatcher;
use pumice_core::glob::{is_pattern, matches};
use pumice_core::ids::{RunKey, WorkerName};
use pumice_core::pauses::{MAX_PAUSE_TEXT, Pause, Pauses, Scope};
use pumice_core::ports::{RunPage, RunQuery};
use pumice_core::problem::did_you_mean;
use pumice_core::run::{Status, not_served};
use pumice_core::text::quoted;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::audit::Act;
use crate::failure::Error;
use crate::realm::Realm;
use crate::time::Instant;

/// How many runs are read at once, and how many are woken at once.
const PAGE: usize = 500;
const AT_ONCE: usize = 64;

/// How a pause is asked for.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct PauseTerms {
    /// Until when; without it until it is resumed.
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

/// Jobs to pause.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct PauseJobs {
    /// The jobs, by id or pattern: `*` any text, `?` one character. A pattern goes for jobs to come as well.
    pub jobs: Vec<String>,
    /// How.
    #[serde(default)]
    pub terms: PauseTerms,
}

/// Jobs to resume.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ResumeJobs {
    /// The jobs, as they were paused.
    pub jobs: Vec<String>,
    /// Show what would change, and change nothing.
    #[serde(default)]
    pub dry_run: bool,
}

/// Workers to pause.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct PauseWorkers {
    /// The workers.
    pub workers: Vec<WorkerName>,
    /// How.
    #[serde(default)]
    pub terms: PauseTerms,
}

/// Workers to resume.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ResumeWorkers {
    /// The workers.
    pub workers: Vec<WorkerName>,
    /// Show what would change, and change nothing.
    #[serde(default)]
    pub dry_run: bool,
}

/// The whole realm, to resume.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct EndMaintenance {
    /// Show what would change, and change nothing.
    #[serde(default)]
    pub dry_run: bool,
}

/// The workers of a realm, to list.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ListWorkers {}

/// A pause.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct PauseDetails {
    /// The scope.
    pub scope: Scope,
    /// Since when.
    pub since: Instant,
    /// Until when; until it is resumed where it is missing.
    pub until: Option<Instant>,
    /// The actor that paused it.
    pub by: Option<String>,
    /// Why.
    pub why: Option<String>,
    /// Whether what has begun waits too, as in a realm that was restored from a backup.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub everything: bool,
}

impl From<&Pause> for PauseDetails {
    fn from(pause: &Pause) -> Self {
        Self {
            scope: pause.scope.clone(),
            since: Instant(pause.since),
            until: pause.until.map(Instant),
            by: pause.by.clone(),
            why: pause.why.clone(),
            everything: pause.everything,
        }
    }
}

/// The scopes that were paused or resumed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct PausesChanged {
    /// Whether nothing was changed.
    pub dry_run: bool,
    /// The scopes that were paused, or would be.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub paused: Vec<PauseDetails>,
    /// The scopes that were resumed, or would be, with the pauses that they had.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub resumed: Vec<PauseDetails>,
    /// The scopes that were to be resumed and were not paused.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub unchanged: Vec<Scope>,
    /// How many runs that waited for it were woken.
    #[serde(default)]
    pub woken: u64,
    /// All pauses of the realm after that.
    pub pauses: Vec<PauseDetails>,
}

/// The workers of a realm.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct WorkerList {
    /// The workers, by name: those that jobs name.
    pub workers: Vec<WorkerShown>,
    /// All pauses of the realm.
    pub pauses: Vec<PauseDetails>,
    /// Whether a process runs the realm's jobs, where that is known.
    pub served: Option<bool>,
    /// The workers that this process serves, where it does not serve all.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub serves: Vec<WorkerName>,
}

/// A worker.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct WorkerShown {
    /// Its name.
    pub worker: WorkerName,
    /// How many jobs name it.
    pub jobs: usize,
    /// How many hosts of it are alive, where hosts are known.
    pub hosts: Option<usize>,
    /// Whether the process that serves the folder takes from its queue; null where there is none, and on AWS.
    #[serde(default)]
    pub is_served: Option<bool>,
    /// When one of them was seen last.
    pub last_seen: Option<Instant>,
    /// Messages on its queue that can be handed out now; null where the queue cannot be asked.
    pub ready: Option<u64>,
    /// Messages that are not to be handed out yet.
    pub delayed: Option<u64>,
    /// The pause that it or the realm has.
    pub paused: Option<PauseDetails>,
}

/// Pauses jobs: their runs that have not begun wait until they are resumed; what has begun goes on.
///
/// # Errors
/// [`Error`] when no job matches, the terms are invalid, or the store cannot be reached.
pub async fn pause_jobs(realm: &dyn Realm, request: &PauseJobs) -> Result<PausesChanged, Error> {
    let act = Act::new("jobs pause", request).on("job", &request.jobs).dry(request.terms.dry_run);
    act.record(realm, pausing_jobs(realm, request)).await
}

async fn pausing_jobs(realm: &dyn Realm, request: &PauseJobs) -> Result<PausesChanged, Error> {
    let known: Vec<String> =
        realm.catalog().all_jobs().await?.into_iter().map(|(id, _)| id.to_string()).collect();
    for job in &request.jobs {
        if !known.iter().any(|id| matches(job, id)) {
            let hint = did_you_mean(job, known.iter().map(String::as_str));
            let hint = hint.map(|hint| format!(": {hint}")).unwrap_or_default();
            let what = if is_pattern(job) { "no job matches" } else { "no such job" };
            return Err(Error::not_found(format!("{what} {}{hint}", quoted(job))));
        }
    }
    pause(realm, request.jobs.iter().cloned().map(Scope::Job).collect(), &request.terms).await
}

/// Resumes jobs: their runs that waited start at once.
///
/// # Errors
/// [`Error`] when the store cannot be reached.
pub async fn resume_jobs(realm: &dyn Realm, request: &ResumeJobs) -> Result<PausesChanged, Error> {
    let act = Act::new("jobs resume", request).on("job", &request.jobs).dry(request.dry_run);
    act.record(realm, resuming_jobs(realm, request)).await
}

async fn resuming_jobs(realm: &dyn Realm, request: &ResumeJobs) -> Result<PausesChanged, Error> {
    resume(realm, request.jobs.iter().cloned().map(Scope::Job).collect(), request.dry_run).await
}

/// Pauses workers: runs for them that have not begun wait until they are resumed; what has begun goes on.
///
/// # Errors
/// [`Error`] when no job names one of them, the terms are invalid, or the store cannot be reached.
pub async fn pause_workers(realm: &dyn Realm, request: &PauseWorkers) -> Result<PausesChanged, Error> {
    let act = Act::new("workers pause", request).on("worker", &request.workers).dry(request.terms.dry_run);
    act.record(realm, pausing_workers(realm, request)).await
}

/// [`pause_workers`], as a part of another act.
pub(crate) async fn pausing_workers(
    realm: &dyn Realm,
    request: &PauseWorkers,
) -> Result<PausesChanged, Error> {
    let known = workers_of_jobs(realm).await?;
    let lavas = realm.site().await?.settings.foreign_workers.clone();
    for worker in &request.workers {
        if lavas.iter().any(|name| name == worker.as_str()) {
            return Err(Error::invalid(format!(
                "worker {worker} is a lava worker, which takes its messages by itself: it cannot be paused from here"
            )));
        }
        if !known.contains_key(worker) {
            let hint = did_you_mean(worker.as_str(), known.keys().map(WorkerName::as_str));
            let hint = hint.map(|hint| format!(": {hint}")).unwrap_or_default();
            return Err(Error::not_found(format!("no job is for worker {worker}{hint}")));
        }
    }
    pause(realm, request.workers.iter().cloned().map(Scope::Worker).collect(), &request.terms).await
}

/// Resumes workers: runs for them that waited start at once.
///
/// # Errors
/// [`Error`] when the store cannot be reached.
pub async fn resume_workers(realm: &dyn Realm, request: &ResumeWorkers) -> Result<PausesChanged, Error> {
    let act = Act::new("workers resume", request).on("worker", &request.workers).dry(request.dry_run);
    act.record(realm, resuming_workers(realm, request)).await
}

async fn resuming_workers(realm: &dyn Realm, request: &ResumeWorkers) -> Result<PausesChanged, Error> {
    resume(realm, request.workers.iter().cloned().map(Scope::Worker).collect(), request.dry_run).await
}

/// Pauses the whole realm: no run begins until the maintenance is over; what has begun goes on.
///
/// # Errors
/// [`Error`] when the terms are invalid, or the store cannot be reached.
pub async fn begin_maintenance(realm: &dyn Realm, terms: &PauseTerms) -> Result<PausesChanged, Error> {
    let act = Act::new("maintenance on", terms).on("realm", [realm.name()]).dry(terms.dry_run);
    act.record(realm, beginning_maintenance(realm, terms)).await
}

async fn beginning_maintenance(realm: &dyn Realm, terms: &PauseTerms) -> Result<PausesChanged, Error> {
    pause(realm, vec![Scope::Realm], terms).await
}

/// Ends the pause of the whole realm: runs that waited start at once.
///
/// # Errors
/// [`Error`] when the store cannot be reached.
pub async fn end_maintenance(realm: &dyn Realm, request: &EndMaintenance) -> Result<PausesChanged, Error> {
    let act = Act::new("maintenance off", request).on("realm", [realm.name()]).dry(request.dry_run);
    act.record(realm, ending_maintenance(realm, request)).await
}

async fn ending_maintenance(realm: &dyn Realm, request: &EndMaintenance) -> Result<PausesChanged, Error> {
    resume(realm, vec![Scope::Realm], request.dry_run).await
}

/// Lists the workers that jobs name: what waits for each, whether its hosts are alive, and whether it is paused.
///
/// # Errors
/// [`Error`] when the store cannot be read.
pub async fn list_workers(realm: &dyn Realm, _: &ListWorkers) -> Result<WorkerList, Error> {
    let (site, now) = (realm.site().await?, realm.now());
    let pauses = realm.runs().pauses().await?;
    let (served, serves) = (realm.is_served(), realm.served_workers().await?);
    let mut workers = Vec::new();
    for (worker, jobs) in workers_of_jobs(realm).await? {
        let (mut hosts, mut last_seen) = (None, None);
        if let Some(store) = &site.ports.hosts {
            let found = store.hosts(&worker).await?;
            hosts = Some(found.iter().filter(|host| host.is_alive(now)).count());
            last_seen = found.iter().map(|host| host.seen).max().map(Instant);
        }
        // Without the right to ask the rest is shown all the same.
        let depth = site.ports.queue.depth(&worker).await.ok();
        let is_of = |pause: &&Pause| match &pause.scope {
            Scope::Realm => true,
            Scope::Worker(other) => *other == worker,
            Scope::Job(_) => false,
        };
        let paused = pauses.live(now).find(is_of).map(PauseDetails::from);
        let (ready, delayed) = (depth.map(|depth| depth.ready), depth.map(|depth| depth.delayed));
        let is_served = served.filter(|served| *served).map(|_| not_served(&worker, &serves).is_none());
        workers.push(WorkerShown { worker, jobs, hosts, is_served, last_seen, ready, delayed, paused });
    }
    Ok(WorkerList { workers, pauses: live(&pauses, realm), served, serves })
}

/// The workers that jobs name, and how many jobs name each.
pub(crate) async fn workers_of_jobs(realm: &dyn Realm) -> Result<BTreeMap<WorkerName, usize>, Error> {
    let mut workers = BTreeMap::new();
    for (_, document) in realm.catalog().all_jobs().await? {
        let name = document.get("worker").and_then(|name| name.as_str());
        if let Some(worker) = name.and_then(|name| WorkerName::new(name).ok()) {
            *workers.entry(worker).or_default() += 1;
        }
    }
    Ok(workers)
}

fn live(pauses: &Pauses, realm: &dyn Realm) -> Vec<PauseDetails> {
    pauses.live(realm.now()).map(PauseDetails::from).collect()
}

async fn pause(realm: &dyn Realm, scopes: Vec<Scope>, terms: &PauseTerms) -> Result<PausesChanged, Error> {
    let now = realm.now();
    if let Some(until) = terms.until.filter(|until| until.0 <= now) {
        let at = pumice_core::clock::utc(until.0);
        return Err(Error::invalid(format!("until: {at} is past: give a time to come")));
    }
    for (name, text) in [("by", &terms.by), ("why", &terms.why)] {
        if text.len() > MAX_PAUSE_TEXT {
            return Err(Error::invalid(format!(
                "{name}: {} bytes are more than {MAX_PAUSE_TEXT}",
                text.len()
            )));
        }
    }
    let text = |text: &str| Some(text.to_owned()).filter(|text| !text.is_empty());
    let of = |scope: Scope| Pause {
        scope,
        since: now,
        until: terms.until.map(|until| until.0),
        by: text(&terms.by),
        why: text(&terms.why),
        everything: false,
    };
    let scopes: BTreeSet<Scope> = scopes.into_iter().collect();
    let asked: Vec<Pause> = scopes.into_iter().map(of).collect();
    let after = if terms.dry_run {
        let before = realm.runs().pauses().await?;
        asked.iter().fold(before, |all, pause| all.with(pause.clone(), now))
    } else {
        dispatcher(realm).await?.pause(&asked).await?
    };
    Ok(PausesChanged {
        dry_run: terms.dry_run,
        paused: asked.iter().map(PauseDetails::from).collect(),
        resumed: Vec::new(),
        unchanged: Vec::new(),
        woken: 0,
        pauses: live(&after, realm),
    })
}

async fn resume(realm: &dyn Realm, scopes: Vec<Scope>, dry_run: bool) -> Result<PausesChanged, Error> {
    let before = realm.runs().pauses().await?;
    let scopes: BTreeSet<Scope> = scopes.into_iter().collect();
    let (paused, unchanged): (Vec<Scope>, Vec<Scope>) =
        scopes.into_iter().partition(|scope| before.live(realm.now()).any(|pause| pause.scope == *scope));
    let resumed = before.live(realm.now()).filter(|pause| paused.contains(&pause.scope));
    let resumed: Vec<PauseDetails> = resumed.map(PauseDetails::from).collect();
    let mut after = paused.iter().fold(before.clone(), |all, scope| all.without(scope, realm.now()));
    let mut woken = 0;
    if !dry_run {
        let dispatcher = dispatcher(realm).await?;
        // Runs of a scope that is not paused have their messages. The sweeper finds those of a resumption that was interrupted.
        if !paused.is_empty() {
            after = dispatcher.resume(&paused).await?;
            woken = wake(realm, &dispatcher, &paused, &after).await?;
        }
    }
    let pauses = live(&after, realm);
    Ok(PausesChanged { dry_run, paused: Vec::new(), resumed, unchanged, woken, pauses })
}

/// Has the runs looked at that waited for one of the scopes, and wait for no other.
async fn wake(
    realm: &dyn Realm,
    dispatcher: &Dispatcher,
    scopes: &[Scope],
    pauses: &Pauses,
) -> Result<u64, Error> {
    let statuses = vec![Status::Dispatched, Status::Waiting];
    let mut query = RunQuery { statuses, limit: PAGE, ..RunQuery::default() };
    let mut woken = 0;
    loop {
        let RunPage { runs, next, .. } = realm.runs().page(&query).await?;
        let now = realm.now();
        let waited = runs.into_iter().filter(|run| {
            scopes.iter().any(|scope| scope.has(run))
                && run.ts_start.is_none()
                // A run that was put off has left its line; one in a line is called.
                && !run.is_in_line()
                && !run.waits_for_permit()
                && pauses.of(run, now).is_none()
        });
        let keys: Vec<RunKey> = waited.map(|run| run.key).collect();
        let wakes: Vec<_> = keys.into_iter().map(|key| woken_one(dispatcher, key)).collect();
        let outcomes: Vec<bool> = stream::iter(wakes).buffer_unordered(AT_ONCE).try_collect().await?;
        woken += u64::try_from(outcomes.into_iter().filter(|woken| *woken).count()).unwrap_or(0);
        match next {
            Some(next) => query.cursor = Some(next),
            None => return Ok(woken),
        }
    }
}

async fn woken_one(dispatcher: &Dispatcher, key: RunKey) -> Result<bool, Error> {
    Ok(dispatcher.wake_resumed(&key).await?)
}

async fn dispatcher(realm: &dyn Realm) -> Result<Dispatcher, Error> {
    Ok(Dispatcher::new(realm.site().await?, realm.registry().clone()))
}
