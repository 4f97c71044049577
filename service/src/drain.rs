//! Draining workers: they are paused, and what they have begun is counted until it has ended.

use std::time::Duration;

use pumice_core::Timestamp;
use pumice_core::duration::Span;
use pumice_core::engine::{PAUSES_KEPT, PAUSES_KEPT_ALONE};
use pumice_core::filter::Filter;
use pumice_core::ids::{RunKey, WorkerName};
use pumice_core::pauses::IfPaused;
use pumice_core::ports::{Clock, RunPage, RunQuery};
use pumice_core::run::{Run, Status};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::audit::Act;
use crate::failure::Error;
use crate::pauses::{PauseTerms, PauseWorkers, PausesChanged, pausing_workers};
use crate::realm::Realm;

/// Most runs that one worker is said to have begun; how many more there are is not counted.
const MAX_BEGUN: usize = 10_000;
/// How many of them are named.
const NAMED: usize = 10;
/// How many records are read at once.
const PAGE: usize = 500;
/// How often a drain that is waited for looks: at first, and at most.
const PAUSES: (Duration, Duration) = (Duration::from_millis(200), Duration::from_secs(5));

/// Workers to drain.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct DrainWorkers {
    /// The workers.
    pub workers: Vec<WorkerName>,
    /// How they are paused.
    #[serde(default)]
    pub terms: PauseTerms,
}

/// Workers that were drained, or are about to be.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct WorkersDrained {
    /// The pause that they have now.
    pub changed: PausesChanged,
    /// The runs that each has begun and not ended.
    pub workers: Vec<WorkerDrain>,
    /// Whether none has anything left, and none can begin anything more.
    pub drained: bool,
}

/// The runs that a worker has begun and not ended.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct WorkerDrain {
    /// The worker.
    pub worker: WorkerName,
    /// Runs and steps under way now.
    pub running: usize,
    /// Runs and steps that have begun and wait: for another attempt, or for their steps.
    pub waiting: usize,
    /// Whether there are more than were counted.
    pub more: bool,
    /// The first of them.
    pub first: Vec<RunKey>,
}

impl WorkerDrain {
    /// Whether it has nothing left.
    #[must_use]
    pub const fn is_done(&self) -> bool {
        self.running == 0 && self.waiting == 0
    }
}

/// Pauses workers, and says what they have begun and not ended: that goes on, and once it has ended they are drained. They stay
/// paused until they are resumed. One that is paused keeps its pause, unless an end or a reason is given.
///
/// # Errors
/// [`Error`] as [`pause_workers`](crate::pauses::pause_workers), or when runs cannot be read.
pub async fn drain_workers(realm: &dyn Realm, request: &DrainWorkers) -> Result<WorkersDrained, Error> {
    let act = Act::new("workers drain", request).on("worker", &request.workers).dry(request.terms.dry_run);
    act.record(realm, draining_workers(realm, request)).await
}

async fn draining_workers(realm: &dyn Realm, request: &DrainWorkers) -> Result<WorkersDrained, Error> {
    let DrainWorkers { workers, terms } = request;
    let pausing = PauseWorkers { workers: workers.clone(), terms: terms.clone() };
    // To drain a worker that is paused needs no other pause, unless one is asked for.
    let is_bare = terms.until.is_none() && terms.why.is_empty();
    let paused = if is_bare { IfPaused::Keep } else { IfPaused::Replace };
    let changed = pausing_workers(realm, &pausing, paused).await?;
    let workers = begun(realm, workers).await?;
    // A process that runs jobs may go for a moment by what it read before, and begin something.
    let drained = !terms.dry_run && realm.is_served() == Some(false) && all_done(&workers);
    Ok(WorkersDrained { changed, workers, drained })
}

/// Waits until workers that were paused have nothing left and every process knows of the pause ([`known_within`]), or the time is
/// over. `saw` is given what is left whenever that changes. Gives what was left last; nothing is left where all were drained.
///
/// # Errors
/// [`Error`] when runs cannot be read.
pub async fn wait_for_drain(
    realm: &dyn Realm,
    clock: &dyn Clock,
    drained: WorkersDrained,
    within: Span,
    mut saw: impl FnMut(&[WorkerDrain]),
) -> Result<WorkersDrained, Error> {
    if drained.drained {
        saw(&drained.workers);
        return Ok(drained);
    }
    let began = clock.now();
    let settled = began + known_within(realm).delta();
    let ends = began.checked_add_signed(within.delta()).unwrap_or(Timestamp::MAX_UTC);
    let names: Vec<WorkerName> = drained.workers.iter().map(|left| left.worker.clone()).collect();
    let (mut left, mut pause) = (drained.workers, PAUSES.0);
    saw(&left);
    loop {
        let now = clock.now();
        let is_drained = all_done(&left) && settled <= now;
        if is_drained || ends <= now {
            return Ok(WorkersDrained { drained: is_drained, workers: left, changed: drained.changed });
        }
        tokio::time::sleep(pause).await;
        pause = (pause * 5 / 4).min(PAUSES.1);
        let found = begun(realm, &names).await?;
        if found != left {
            saw(&found);
            left = found;
        }
    }
}

/// For how long a process that runs jobs may go by what it read before a pause, and begin something.
#[must_use]
pub fn known_within(realm: &dyn Realm) -> Span {
    let kept = if realm.is_aws() { PAUSES_KEPT } else { PAUSES_KEPT_ALONE };
    // And a moment for what it was about to claim.
    Span::from(kept.get() + Duration::from_secs(1))
}

fn all_done(workers: &[WorkerDrain]) -> bool {
    workers.iter().all(WorkerDrain::is_done)
}

/// The runs that workers have begun and not ended.
async fn begun(realm: &dyn Realm, workers: &[WorkerName]) -> Result<Vec<WorkerDrain>, Error> {
    if workers.is_empty() {
        return Ok(Vec::new());
    }
    let new = |worker: &WorkerName| WorkerDrain {
        worker: worker.clone(),
        running: 0,
        waiting: 0,
        more: false,
        first: Vec::new(),
    };
    let mut found: Vec<WorkerDrain> = workers.iter().map(new).collect();
    found.sort_by(|one, other| one.worker.cmp(&other.worker));
    found.dedup_by(|one, other| one.worker == other.worker);
    let names: Vec<&str> = workers.iter().map(WorkerName::as_str).collect();
    let filter = Filter::parse(&format!("worker:{}", names.join(",")))
        .map_err(|error| Error::invalid(error.to_string()))?;
    let statuses = vec![Status::Running, Status::Retrying, Status::Waiting];
    let mut query = RunQuery { statuses, filter, children: true, limit: PAGE, ..RunQuery::default() };
    loop {
        let RunPage { runs, next, .. } = realm.runs().page(&query).await?;
        for run in runs.iter().filter(|run| run.ts_start.is_some()) {
            if let Some(worker) = found.iter_mut().find(|worker| worker.worker == run.worker) {
                worker.count(run, realm.now());
            }
        }
        match next {
            Some(next) if found.iter().any(|worker| !worker.more) => query.cursor = Some(next),
            _ => return Ok(found),
        }
    }
}

impl WorkerDrain {
    fn count(&mut self, run: &Run, now: Timestamp) {
        if self.running + self.waiting >= MAX_BEGUN {
            self.more = true;
            return;
        }
        let held = run.lease.as_ref().is_some_and(|lease| now < lease.until);
        *(if held { &mut self.running } else { &mut self.waiting }) += 1;
        if self.first.len() < NAMED {
            self.first.push(run.key.clone());
        }
    }
}
