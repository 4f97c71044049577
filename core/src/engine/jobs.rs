//! The jobs of a realm, as their runs use them: found, given what a request says, checked, and read from what is pinned.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use serde_json::{Map, Number, Value};

use crate::globals::{merge_globals, merge_parameters};
use crate::ids::JobId;
use crate::job_type::{DispatchError, OriginRun, Registry, Site};
use crate::ports::{JobStore, StoreError, StoredJob};
use crate::problem::{JsonPath, Problem, SpecError, did_you_mean};
use crate::recent::Recent;
use crate::request::DispatchRequest;
use crate::spec::{JobSpec, WorkerKind};

/// Most specs whose check is remembered.
const MAX_KNOWN: usize = 10_000;

/// A realm's jobs, and what is remembered of them. Cheap to clone; all clones are one.
#[derive(Clone, Debug)]
pub(super) struct Jobs {
    site: Arc<Site>,
    registry: Arc<Registry>,
    /// Stored jobs that were checked.
    checked: Known<Checked>,
    /// Pinned documents as they were read last.
    pinned: Known<Arc<JobSpec>>,
}

type Known<T> = Arc<Mutex<Recent<JobId, T, MAX_KNOWN>>>;

/// A stored job that can run.
#[derive(Clone, Debug)]
pub(super) struct Checked {
    /// The job.
    pub(super) job: Arc<JobSpec>,
    /// Mistakes that do not keep it from running, for the log of its runs.
    pub(super) warnings: Arc<[String]>,
    /// The kind of the worker that it is for.
    pub(super) worker: WorkerKind,
}

impl Jobs {
    /// The jobs of a realm, of these types.
    pub(super) fn new(site: Arc<Site>, registry: Arc<Registry>) -> Self {
        Self { site, registry, checked: Known::default(), pinned: Known::default() }
    }

    pub(super) fn site(&self) -> &Site {
        &self.site
    }

    pub(super) fn registry(&self) -> &Arc<Registry> {
        &self.registry
    }

    /// A job as it is stored, if it is.
    pub(super) async fn stored(&self, job_id: &JobId) -> Result<Option<StoredJob>, StoreError> {
        Ok(self.site.ports.jobs.jobs(std::slice::from_ref(job_id)).await?.pop().flatten())
    }

    /// The job with the request's parameters and globals in it, checked.
    pub(super) fn specialise(
        &self,
        job: &Arc<JobSpec>,
        request: &DispatchRequest,
        origin: Option<&OriginRun>,
    ) -> Result<Checked, DispatchError> {
        let known = self.check_once(job)?;
        let none = Map::new();
        let globals = merge_globals(
            job.fields.globals.as_ref().unwrap_or(&none),
            origin.map_or(&none, |origin| &origin.globals),
            &request.globals,
        );
        // As it is stored, most are used: it is shared then.
        let mut own = job.clone();
        if !request.parameters.is_empty() {
            let own = Arc::make_mut(&mut own);
            own.set_parameters(merge_parameters(&job.parameters(), &request.parameters));
            // The spec itself is valid: the fault is the request's.
            self.check(own).map_err(|error| match error {
                DispatchError::BadSpec { job_id, error } => DispatchError::BadParameters { job_id, error },
                other => other,
            })?;
        }
        Ok(Checked { job: with_globals(own, globals), ..known })
    }

    /// Checks a stored spec the first time it is seen.
    pub(super) fn check_once(&self, job: &Arc<JobSpec>) -> Result<Checked, DispatchError> {
        let mut checked = lock(&self.checked);
        let job_id = &job.fields.job_id;
        if let Some(known) = checked.get(job_id).filter(|known| Arc::ptr_eq(&known.job, job)) {
            return Ok(known.clone());
        }
        self.check(job)?;
        let worker = self.site.settings.worker_kind(&job.fields.worker);
        let warnings = self.warnings(job, worker);
        // Said once: a store hands out a new spec whenever anything in it has changed.
        let is_known = checked.get(job_id).is_some_and(|known| known.warnings == warnings);
        if !warnings.is_empty() && !is_known {
            let all = warnings.join("; ");
            tracing::warn!(%job_id, warnings = %all, "a stored job has mistakes that do not keep it from running");
        }
        let known = Checked { job: job.clone(), warnings, worker };
        checked.put(job_id.clone(), known.clone());
        Ok(known)
    }

    /// The mistakes of a job that do not keep it from running. A lava worker checks its jobs itself.
    fn warnings(&self, job: &JobSpec, worker: WorkerKind) -> Arc<[String]> {
        if worker.is_lavas() {
            return Arc::default();
        }
        // The reader and the registry may both find fault with an action: once is enough.
        let mut others = self.registry.check_beside(job, &self.site.settings);
        others.retain(|other| job.warnings.iter().all(|warning| warning.path != other.path));
        job.warnings.iter().chain(&others).map(ToString::to_string).collect()
    }

    /// Checks what a job needs to run: its type, payload and parameters.
    fn check(&self, job: &JobSpec) -> Result<(), DispatchError> {
        let problems = self.registry.check_runnable(job, &self.site.settings);
        SpecError::check(problems)
            .map_err(|error| DispatchError::BadSpec { job_id: job.fields.job_id.to_string(), error })
    }

    /// The job of a run's pinned document: as it was read before where it is the same, in the same order.
    pub(super) fn pinned_job(
        &self,
        job_id: &JobId,
        document: &Arc<Map<String, Value>>,
    ) -> Result<Arc<JobSpec>, SpecError> {
        let is_same =
            |known: &&Arc<JobSpec>| Arc::ptr_eq(&known.document, document) || same(&known.document, document);
        let pinned = lock(&self.pinned).get(job_id).filter(is_same).cloned();
        let checked = || lock(&self.checked).get(job_id).map(|known| &known.job).filter(is_same).cloned();
        if let Some(known) = pinned.or_else(checked) {
            return Ok(known);
        }
        let job = Arc::new(JobSpec::from_checked(document.clone())?);
        // Folders are named after it: a run that was dispatched under the rules of before is not run.
        JobId::new(job.fields.job_id.as_str()).map_err(|error| {
            SpecError::one(Problem::new(JsonPath::root().field("job_id"), error.to_string()))
        })?;
        lock(&self.pinned).put(job_id.clone(), job.clone());
        Ok(job)
    }
}

/// The error that names a job which does not exist, and the one that may have been meant.
///
/// # Errors
/// [`StoreError`] when the store cannot be reached.
pub async fn no_such_job(jobs: &dyn JobStore, job_id: &JobId) -> Result<DispatchError, StoreError> {
    let hint = match jobs.job_ids().await? {
        Some(known) if known.is_empty() => {
            Some("the realm has no jobs yet: apply job specs first".to_owned())
        }
        Some(known) => did_you_mean(job_id.as_str(), known.iter().map(JobId::as_str)),
        None => None,
    };
    Ok(DispatchError::NoSuchJob { job_id: job_id.to_string(), hint })
}

/// The job with these globals: itself where they are its own.
pub(super) fn with_globals(mut job: Arc<JobSpec>, globals: Map<String, Value>) -> Arc<JobSpec> {
    if !same(&globals, job.fields.globals.as_ref().unwrap_or(&Map::new())) {
        Arc::make_mut(&mut job).set_globals(globals);
    }
    job
}

fn lock<T>(known: &Known<T>) -> MutexGuard<'_, Recent<JobId, T, MAX_KNOWN>> {
    known.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Whether two documents have the same fields with the same values in the same order.
pub(super) fn same(a: &Map<String, Value>, b: &Map<String, Value>) -> bool {
    a.len() == b.len()
        && a.iter().zip(b).all(|((name, own), (other, theirs))| name == other && same_value(own, theirs))
}

fn same_value(a: &Value, b: &Value) -> bool {
    match (a, b) {
        (Value::Object(a), Value::Object(b)) => same(a, b),
        (Value::Array(a), Value::Array(b)) => {
            a.len() == b.len() && a.iter().zip(b).all(|(a, b)| same_value(a, b))
        }
        (Value::Number(a), Value::Number(b)) => same_number(a, b),
        _ => a == b,
    }
}

/// Zero and minus zero are equal, but are written differently.
fn same_number(a: &Number, b: &Number) -> bool {
    a == b && (!a.is_f64() || a.as_f64().map(f64::to_bits) == b.as_f64().map(f64::to_bits))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn are_same(a: &str, b: &str) -> bool {
        let map = |text: &str| serde_json::from_str::<Map<String, Value>>(text).unwrap();
        assert!(same(&map(a), &map(a)) && same(&map(b), &map(b)), "each is the same as itself");
        same(&map(a), &map(b))
    }

    #[test]
    fn values_that_templates_can_distinguish_are_not_the_same() {
        for (a, b) in [
            (r#"{"a": 1, "b": 2}"#, r#"{"b": 2, "a": 1}"#),
            (r#"{"x": [{"y": {"a": 1, "b": 2}}]}"#, r#"{"x": [{"y": {"b": 2, "a": 1}}]}"#),
            (r#"{"a": 0.0}"#, r#"{"a": -0.0}"#),
            (r#"{"a": 1}"#, r#"{"a": 1.0}"#),
            (r#"{"a": 1}"#, r#"{"a": 1, "b": 2}"#),
            (r#"{"a": [1]}"#, r#"{"a": [1, 2]}"#),
            (r#"{"a": null}"#, r#"{"a": "null"}"#),
        ] {
            assert!(!are_same(a, b), "{a} {b}");
        }
        let spaced = r#"{ "a": 1.5, "b": [null, {"c": true}] }"#;
        assert!(are_same(spaced, r#"{"a":1.5,"b":[null,{"c":true}]}"#));
    }
}
