//! Pauses of jobs, of workers and of the whole realm: their forms, and how pages show them.

use axum::response::Response;
use pumice_core::ids::WorkerName;
use pumice_core::pauses::Scope;
use pumice_core::text::escaped;
use pumice_service::drain::{DrainWorkers, WorkerDrain, drain_workers};
use pumice_service::pauses::{
    EndMaintenance, PauseDetails, PauseJobs, PauseTerms, PauseWorkers, PausesChanged, ResumeJobs,
    ResumeWorkers, begin_maintenance, end_maintenance, pause_jobs, pause_workers, resume_jobs,
    resume_workers,
};
use pumice_service::{Error, Instant};
use serde_json::{Value, json};

use super::runs::back_to;
use super::schedules::time;
use crate::access::Role;
use crate::answer::{Fault, see};
use crate::ask::Ask;
use crate::view::{Clock, counted};

/// The fields of a form that pauses, with their labels.
pub(super) const TERMS: [(&str, &str); 2] =
    [("why", "Why"), ("until", "Until (2h, or a time; empty: until it is resumed)")];
/// Most pauses of a page.
pub(super) const MAX_PAUSES: usize = 100;

/// A pause as pages show it; `name` is what its form is sent with.
pub(super) fn shown(pause: &PauseDetails, clock: &Clock) -> Value {
    let name = match &pause.scope {
        Scope::Realm => String::new(),
        Scope::Worker(worker) => worker.to_string(),
        Scope::Job(pattern) => pattern.clone(),
    };
    let text = |text: &Option<String>| text.as_deref().map(|text| escaped(text).into_owned());
    json!({
        "shown": escaped(&name),
        "name": name,
        "what": escaped(&pause.scope.words()),
        "since": clock.moment(pause.since.0),
        "until": pause.until.map(|until| clock.moment(until.0)),
        "by": text(&pause.by),
        "why": text(&pause.why),
        "everything": pause.everything,
    })
}

/// The terms of a form: until when, and why. The caller is the actor.
async fn terms(ask: &Ask) -> Result<PauseTerms, Fault> {
    let until = time(ask, "until").await?.map(Instant);
    let why = ask.form.get("why").unwrap_or_default().to_owned();
    Ok(PauseTerms { until, by: ask.caller.name.clone(), why, dry_run: false })
}

/// The worker of a form.
fn worker(ask: &Ask) -> Result<Vec<WorkerName>, Fault> {
    let name = ask.form.need("worker")?;
    let name = WorkerName::new(name).map_err(|error| Fault::bad(format!("worker: {error}")))?;
    Ok(vec![name])
}

/// Says what became of a form, and goes back to its page.
fn answer(ask: &Ask, changed: Result<PausesChanged, Error>, page: &str) -> Result<Response, Fault> {
    let changed = changed?;
    let paused = changed.paused.iter().map(|pause| format!("{} paused", pause.scope.words()));
    let replaced = changed.replaced.iter().map(|pause| {
        let by = pause.by.as_deref().map(|by| format!(" by {by}")).unwrap_or_default();
        let why = pause.why.as_deref().map(|why| format!(" ({why})")).unwrap_or_default();
        format!("in place of the pause of {}{by}{why}", pause.scope.words())
    });
    let steps = changed.steps.iter().map(|step| format!("job {} goes on as a step of {}", step.job, step.of));
    let resumed = changed.resumed.iter().map(|pause| format!("{} resumed", pause.scope.words()));
    let unchanged = changed.unchanged.iter().map(|scope| format!("{} was not paused", scope.words()));
    let woken = (changed.woken > 0)
        .then(|| format!("{} woken", counted(usize::try_from(changed.woken).unwrap_or(usize::MAX), "run")));
    let changes: Vec<String> =
        paused.chain(replaced).chain(steps).chain(resumed).chain(unchanged).chain(woken).collect();
    ask.tell(changed.unchanged.is_empty(), escaped(&changes.join("; ")).into_owned());
    Ok(see(&back_to(ask, page)))
}

/// Pauses the jobs that a pattern matches.
pub(crate) async fn jobs_pause(ask: Ask) -> Result<Response, Fault> {
    ask.act(Role::Operator)?;
    let answer = pausing_jobs(&ask).await;
    let [why, until] = TERMS;
    ask.kept(answer, &[("jobs", "Jobs"), why, until])
}

async fn pausing_jobs(ask: &Ask) -> Result<Response, Fault> {
    let jobs = vec![ask.form.need("jobs")?.to_owned()];
    let request = PauseJobs { jobs, terms: terms(ask).await? };
    answer(ask, pause_jobs(ask.realm(), &request).await, "/jobs")
}

/// Resumes the jobs that were paused by a pattern.
pub(crate) async fn jobs_resume(ask: Ask) -> Result<Response, Fault> {
    ask.act(Role::Operator)?;
    let request = ResumeJobs { jobs: vec![ask.form.need("jobs")?.to_owned()], dry_run: false };
    answer(&ask, resume_jobs(ask.realm(), &request).await, "/jobs")
}

/// Pauses a worker.
pub(crate) async fn workers_pause(ask: Ask) -> Result<Response, Fault> {
    ask.act(Role::Operator)?;
    let answer = pausing_workers(&ask).await;
    ask.kept(answer, &TERMS)
}

async fn pausing_workers(ask: &Ask) -> Result<Response, Fault> {
    let request = PauseWorkers { workers: worker(ask)?, terms: terms(ask).await? };
    answer(ask, pause_workers(ask.realm(), &request).await, "/workers")
}

/// Resumes a worker.
pub(crate) async fn workers_resume(ask: Ask) -> Result<Response, Fault> {
    ask.act(Role::Operator)?;
    let request = ResumeWorkers { workers: worker(&ask)?, dry_run: false };
    answer(&ask, resume_workers(ask.realm(), &request).await, "/workers")
}

/// Pauses a worker, and says what it has begun and not ended.
pub(crate) async fn workers_drain(ask: Ask) -> Result<Response, Fault> {
    ask.act(Role::Operator)?;
    let answer = draining(&ask).await;
    ask.kept(answer, &TERMS)
}

async fn draining(ask: &Ask) -> Result<Response, Fault> {
    let request = DrainWorkers { workers: worker(ask)?, terms: terms(ask).await? };
    let drained = drain_workers(ask.realm(), &request).await?;
    let changes: Vec<String> = drained.workers.iter().map(left_of).collect();
    ask.tell(true, changes.join("; "));
    Ok(see(&back_to(ask, "/workers")))
}

/// The runs that a draining worker has left, in words.
fn left_of(left: &WorkerDrain) -> String {
    let WorkerDrain { worker, running, waiting, more, .. } = left;
    if left.is_done() {
        return format!("worker {worker} paused: it has nothing left that has begun");
    }
    let at_least = if *more { "at least " } else { "" };
    let runs = counted(*running, "run");
    format!("worker {worker} paused: {at_least}{runs} under way, {waiting} begun and waiting")
}

/// Pauses the whole realm.
pub(crate) async fn maintenance_on(ask: Ask) -> Result<Response, Fault> {
    ask.act(Role::Operator)?;
    let answer = stopping_realm(&ask).await;
    ask.kept(answer, &TERMS)
}

async fn stopping_realm(ask: &Ask) -> Result<Response, Fault> {
    let terms = terms(ask).await?;
    answer(ask, begin_maintenance(ask.realm(), &terms).await, "/workers")
}

/// Ends the pause of the whole realm.
pub(crate) async fn maintenance_off(ask: Ask) -> Result<Response, Fault> {
    ask.act(Role::Operator)?;
    let request = EndMaintenance { dry_run: false };
    answer(&ask, end_maintenance(ask.realm(), &request).await, "/workers")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn worker_that_drains_says_what_is_left() {
        let left = |running, waiting, more| WorkerDrain {
            worker: WorkerName::new("gpu").unwrap(),
            running,
            waiting,
            more,
            first: Vec::new(),
        };
        assert_eq!(left_of(&left(0, 0, false)), "worker gpu paused: it has nothing left that has begun");
        assert_eq!(left_of(&left(1, 0, false)), "worker gpu paused: 1 run under way, 0 begun and waiting");
        let most = left_of(&left(9_999, 1, true));
        assert_eq!(most, "worker gpu paused: at least 9999 runs under way, 1 begun and waiting");
    }
}
