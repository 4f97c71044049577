//! Warnings about jobs whose worker has no queue.

use std::collections::{BTreeMap, BTreeSet};

use pumice_core::ids::WorkerName;
use pumice_core::ports::StoreErrorKind;
use pumice_core::problem::{JsonPath, Problem};
use pumice_core::spec::{JobSpec, RealmSpec};

use super::{Mistake, Specs, Warning, allowed};
use crate::failure::Error;
use crate::realm::Realm;

/// The name of the warning.
const NO_QUEUE: &str = "no-queue";

/// A warning for each job whose worker has no queue, so that its runs reach no worker, and one where the worker that the realm
/// names for the actions of broken limits has none. lava workers are not asked about, and without the right to ask there is
/// nothing to say.
///
/// # Errors
/// [`Error`] when the realm cannot be read.
pub(super) async fn without_queues(
    realm: &dyn Realm,
    specs: &Specs,
    definition: &RealmSpec,
) -> Result<Vec<Warning>, Error> {
    let mut by_worker: BTreeMap<&WorkerName, Vec<&JobSpec>> = BTreeMap::new();
    for job in specs.jobs.iter().filter(|job| !is_allowed(specs, job)) {
        by_worker.entry(&job.fields.worker).or_default().push(job);
    }
    by_worker.retain(|worker, _| !definition.settings.worker_kind(worker).is_lavas());
    let given = specs.realm.as_ref().filter(|realm| !allows(&allowed(&realm.document)));
    let named = given.and_then(|realm| Some((realm, realm.settings.on_late_worker.as_ref()?)));
    if by_worker.is_empty() && named.is_none() {
        return Ok(Vec::new());
    }
    let site = realm.site().await?;
    let mut missing = BTreeSet::new();
    let asked: BTreeSet<&WorkerName> =
        by_worker.keys().copied().chain(named.map(|(_, worker)| worker)).collect();
    for worker in asked {
        let depth = site.ports.queue.depth(worker).await;
        if depth.is_err_and(|error| error.kind == StoreErrorKind::Missing) {
            missing.insert(worker);
        }
    }
    let jobs = by_worker.into_iter().filter(|(worker, _)| missing.contains(worker));
    let warnings = jobs.flat_map(|(worker, jobs)| jobs.into_iter().map(move |job| warning(job, worker)));
    let named = named.filter(|(_, worker)| missing.contains(worker));
    Ok(warnings.chain(named.map(|(realm, worker)| realm_warning(realm, worker))).collect())
}

fn is_allowed(specs: &Specs, job: &JobSpec) -> bool {
    specs.allowed.get(&job.fields.job_id).is_some_and(|names| allows(names))
}

fn allows(names: &[String]) -> bool {
    names.iter().any(|name| name == NO_QUEUE)
}

fn realm_warning(realm: &RealmSpec, worker: &WorkerName) -> Warning {
    let message = format!(
        "worker {worker} has no queue in this realm: actions of broken limits wait until it is there"
    );
    let path = JsonPath::root().field("config").field("ON_LATE_WORKER");
    let hint = format!("deploy worker.yaml with Worker={worker}, or name another worker");
    let id = realm.fields.realm.as_str();
    let problem = Problem::warning(NO_QUEUE, path, message).with_hint(hint);
    Warning::of(&Mistake::new(id, problem)).about("realm", id)
}

fn warning(job: &JobSpec, worker: &WorkerName) -> Warning {
    let message = format!("worker {worker} has no queue in this realm: runs wait until it is there");
    let problem = Problem::warning(NO_QUEUE, JsonPath::root().field("worker"), message);
    let hint = format!("deploy worker.yaml with Worker={worker}, or name another worker");
    let id = job.fields.job_id.as_str();
    Warning::of(&Mistake::new(id, problem.with_hint(hint))).about("job", id)
}
