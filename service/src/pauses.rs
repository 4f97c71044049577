//! Pauses of jobs, of workers and of the whole realm.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use futures_util::stream::{self, StreamExt, TryStreamExt};
use pumice_core::engine::{ChangedPauses, Dispatcher};
use pumice_core::glob::{is_pattern, matches};
use pumice_core::ids::{JobId, RunKey, WorkerName};
use pumice_core::job_type::Uses;
use pumice_core::pauses::{IfPaused, MAX_PAUSE_TEXT, Pause, Pauses, Scope};
use pumice_core::ports::{Doc, RunPage, RunQuery};
use pumice_core::problem::did_you_mean;
use pumice_core::run::Status;
use pumice_core::spec::JobSpec;
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
/// Most steps that an answer names.
const MAX_STEPS: usize = 100;

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
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct PausesChanged {
    /// Whether nothing was changed.
    pub dry_run: bool,
    /// The scopes that were paused, or would be.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub paused: Vec<PauseDetails>,
    /// The pauses of these scopes that others, or the same actor, had made before: they are replaced.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub replaced: Vec<PauseDetails>,
    /// The pauses that scopes had already, and keep.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub kept: Vec<PauseDetails>,
    /// Steps of jobs that are not paused with them: as a step a paused job goes on.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub steps: Vec<PausedStep>,
    /// How many more such steps there are.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub more_steps: usize,
    /// The scopes that were resumed, or would be, with the pauses that they had.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub resumed: Vec<PauseDetails>,
    /// The scopes that were to be resumed and were not paused.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub unchanged: Vec<Scope>,
    /// How many runs that waited for it were woken: not those that another pause still keeps.
    #[serde(default)]
    pub woken: u64,
    /// All pauses of the realm after that.
    pub pauses: Vec<PauseDetails>,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde gives a reference")]
const fn is_zero(count: &usize) -> bool {
    *count == 0
}

/// A paused job that is a step of one that is not paused.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct PausedStep {
    /// The paused job.
    #[serde(deserialize_with = "JobId::deserialize_stored")]
    pub job: JobId,
    /// The job of steps: a chain, a dag, a foreach.
    #[serde(deserialize_with = "JobId::deserialize_stored")]
    pub of: JobId,
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
    let jobs = realm.catalog().all_jobs().await?;
    let known: Vec<&str> = jobs.iter().map(|(id, _)| id.as_str()).collect();
    for job in &request.jobs {
        if !known.iter().any(|id| matches(job, id)) {
            let hint = did_you_mean(job, known.iter().copied());
            let hint = hint.map(|hint| format!(": {hint}")).unwrap_or_default();
            let what = if is_pattern(job) { "no job matches" } else { "no such job" };
            return Err(Error::not_found(format!("{what} {}{hint}", quoted(job))));
        }
    }
    let scopes = request.jobs.iter().cloned().map(Scope::Job).collect();
    let changed = pause(realm, scopes, &request.terms, IfPaused::Replace).await?;
    let mut steps = steps_of(realm, jobs, &request.jobs, &changed.pauses);
    let more_steps = steps.len().saturating_sub(MAX_STEPS);
    steps.truncate(MAX_STEPS);
    Ok(PausesChanged { steps, more_steps, ..changed })
}

/// The jobs of these patterns that are steps of others, which are not paused: a step begins with its run.
fn steps_of(
    realm: &dyn Realm,
    jobs: Vec<(JobId, Doc)>,
    patterns: &[String],
    pauses: &[PauseDetails],
) -> Vec<PausedStep> {
    let is_meant = |id: &JobId| patterns.iter().any(|pattern| matches(pattern, id.as_str()));
    let is_paused = |id: &JobId| {
        let is_of = |scope: &Scope| matches!(scope, Scope::Job(pattern) if matches(pattern, id.as_str()));
        pauses.iter().any(|pause| is_of(&pause.scope))
    };
    let mut steps = BTreeSet::new();
    for (of, document) in jobs {
        let Ok(spec) = JobSpec::from_checked(Arc::new(document)) else { continue };
        if is_paused(&of) {
            continue;
        }
        let named = realm.registry().named_by(&spec).into_iter();
        let paused = named.filter(|named| named.uses == Uses::Step && is_meant(&named.job_id));
        steps.extend(paused.map(|named| (named.job_id, of.clone())));
    }
    steps.into_iter().map(|(job, of)| PausedStep { job, of }).collect()
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
    act.record(realm, pausing_workers(realm, request, IfPaused::Replace)).await
}

/// [`pause_workers`], as a part of another act.
pub(crate) async fn pausing_workers(
    realm: &dyn Realm,
    request: &PauseWorkers,
    paused: IfPaused,
) -> Result<PausesChanged, Error> {
    let known = workers_of_jobs(realm).await?.workers;
    let site = realm.site().await?;
    for worker in &request.workers {
        if site.settings.worker_kind(worker).is_lavas() {
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
    let scopes = request.workers.iter().cloned().map(Scope::Worker).collect();
    pause(realm, scopes, &request.terms, paused).await
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
    pause(realm, vec![Scope::Realm], terms, IfPaused::Replace).await
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

/// The names of workers in jobs, and how many jobs have each.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct NamedWorkers {
    pub(crate) workers: BTreeMap<WorkerName, usize>,
    /// Names that no worker can have.
    pub(crate) misnamed: BTreeMap<String, usize>,
}

/// The workers that jobs name.
pub(crate) async fn workers_of_jobs(realm: &dyn Realm) -> Result<NamedWorkers, Error> {
    let mut named = NamedWorkers::default();
    for (_, document) in realm.catalog().all_jobs().await? {
        let Some(name) = document.get("worker").and_then(|name| name.as_str()) else { continue };
        *match WorkerName::new(name) {
            Ok(worker) => named.workers.entry(worker).or_default(),
            Err(_) => named.misnamed.entry(name.to_owned()).or_default(),
        } += 1;
    }
    Ok(named)
}

pub(crate) fn live(pauses: &Pauses, realm: &dyn Realm) -> Vec<PauseDetails> {
    pauses.live(realm.now()).map(PauseDetails::from).collect()
}

async fn pause(
    realm: &dyn Realm,
    scopes: Vec<Scope>,
    terms: &PauseTerms,
    paused: IfPaused,
) -> Result<PausesChanged, Error> {
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
    let ChangedPauses { before, after } = if terms.dry_run {
        let before = realm.runs().pauses().await?;
        ChangedPauses { after: before.with_all(&asked, paused, now), before }
    } else {
        let dispatcher = dispatcher(realm).await?;
        let changed = dispatcher.pause(&asked, paused).await?;
        wake_sooner(realm, &dispatcher, &asked, &changed).await?;
        changed
    };
    let mut changed =
        PausesChanged { dry_run: terms.dry_run, pauses: live(&after, realm), ..PausesChanged::default() };
    for Pause { scope, .. } in &asked {
        let was = before.of_scope(scope, now).map(PauseDetails::from);
        let is = after.of_scope(scope, now).map(PauseDetails::from);
        if was.is_some() && paused == IfPaused::Keep {
            changed.kept.extend(was);
            continue;
        }
        changed.replaced.extend(was);
        changed.paused.extend(is);
    }
    Ok(changed)
}

/// Has runs looked at whose pause was replaced by one that ends sooner: they were put off until the end of that one.
async fn wake_sooner(
    realm: &dyn Realm,
    dispatcher: &Dispatcher,
    asked: &[Pause],
    changed: &ChangedPauses,
) -> Result<(), Error> {
    let ChangedPauses { before, after } = changed;
    let now = realm.now();
    let ends_sooner = |scope: &Scope| {
        let of_before = before.all.iter().find(|pause| pause.scope == *scope);
        of_before.zip(after.of_scope(scope, now)).is_some_and(|(was, is)| is.ends_before(was))
    };
    let sooner: Vec<Scope> =
        asked.iter().map(|pause| pause.scope.clone()).filter(|scope| ends_sooner(scope)).collect();
    if !sooner.is_empty() {
        wake(realm, dispatcher, &sooner, after).await?;
    }
    Ok(())
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
    Ok(PausesChanged { dry_run, resumed, unchanged, woken, pauses, ..PausesChanged::default() })
}

/// Has the runs looked at that waited for a pause of one of the scopes: those that may start now, and those that another
/// pause keeps, which ends sooner than they would be looked at. Gives how many may start.
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
        let waited = runs
            .into_iter()
            .filter(|run| scopes.iter().any(|scope| scope.has(run)) && pauses.calls(run, now));
        let called: Vec<(RunKey, bool)> =
            waited.map(|run| (run.key.clone(), pauses.of(&run, now).is_none())).collect();
        let wakes: Vec<_> = called.into_iter().map(|(key, goes)| woken_one(dispatcher, key, goes)).collect();
        let outcomes: Vec<bool> = stream::iter(wakes).buffer_unordered(AT_ONCE).try_collect().await?;
        woken += u64::try_from(outcomes.into_iter().filter(|woken| *woken).count()).unwrap_or(0);
        match next {
            Some(next) => query.cursor = Some(next),
            None => return Ok(woken),
        }
    }
}

/// Has a run looked at; returns whether it was, and goes on.
async fn woken_one(dispatcher: &Dispatcher, key: RunKey, goes: bool) -> Result<bool, Error> {
    Ok(dispatcher.wake_resumed(&key).await? && goes)
}

async fn dispatcher(realm: &dyn Realm) -> Result<Dispatcher, Error> {
    Ok(Dispatcher::new(realm.site().await?, realm.registry().clone()))
}
