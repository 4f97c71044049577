//! From requests to runs: read, check, merge, render, record, send.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use chrono::TimeDelta;
use serde_json::{Map, Value};

use super::answer::{answer, keyed};
use super::fresh::{First, not_before, skipped};
use super::live::Live;
use super::notice::Noticed;
use super::same::same;
use crate::Timestamp;
use crate::globals::{merge_globals, merge_parameters};
use crate::ids::{JobId, RunId, RunKey};
use crate::job_type::{
    DispatchError, JobError, Origin, Registry, Rendered, Site, Templates, names_what_changes,
};
use crate::ports::{JobStore, StoreError, StoredJob};
use crate::problem::{JsonPath, Problem, SpecError, did_you_mean};
use crate::recent::Recent;
use crate::request::DispatchRequest;
use crate::run::{Lineage, NewRun, Run, Status};
use crate::spec::{Enabled, JobSpec, RealmSpec, RenderAt, RunSpec};

/// Most specs whose check is remembered.
const MAX_KNOWN: usize = 10_000;

/// A request that was taken.
#[derive(Clone, Debug, PartialEq)]
pub struct Accepted {
    /// The job.
    pub job_id: JobId,
    /// The run.
    pub run_id: RunId,
    /// Where it stands.
    pub status: Status,
    /// Whether the run was there already, under the same idempotency key.
    pub existing: bool,
    /// What its caller should know, as why its templates could not be rendered yet.
    pub warning: Option<String>,
}

/// Takes requests for runs.
#[derive(Clone, Debug)]
pub struct Dispatcher {
    site: Arc<Site>,
    registry: Arc<Registry>,
    /// Stored jobs that were checked.
    checked: Known<Checked>,
    /// Pinned documents as they were read last.
    pinned: Known<Arc<JobSpec>>,
    /// The invocations of this process.
    pub(super) live: Live,
    /// The schedules that an index showed last.
    pub(super) noticed: Arc<Noticed>,
}

type Known<T> = Arc<Mutex<Recent<JobId, T, MAX_KNOWN>>>;

/// A stored job that can run.
#[derive(Clone, Debug)]
pub(super) struct Checked {
    /// The job.
    pub(super) job: Arc<JobSpec>,
    /// What is wrong with it all the same, for the log of its runs.
    pub(super) warnings: Arc<[String]>,
}

/// Who asks for runs.
#[derive(Clone, Copy, Default)]
struct Asker<'a> {
    /// The run that does, if a run does.
    origin: Option<&'a Origin>,
    /// The event that does, if an event does.
    event: Option<&'a str>,
    /// Whether none is taken where one is refused.
    together: bool,
}

/// A run about to be made, with its message.
struct Prepared {
    new: NewRun,
    first: First,
    warning: Option<String>,
}

/// What came of rendering a job at dispatch.
#[derive(Debug, Default)]
pub(super) struct AtDispatch {
    /// Payload and parameters, unless that is left to the worker.
    pub(super) rendered: Option<Rendered>,
    /// Whether each attempt renders them anew all the same.
    pub(super) anew: bool,
    /// Why a template failed.
    pub(super) error: Option<String>,
}

impl Dispatcher {
    /// A dispatcher for a realm.
    #[must_use]
    pub fn new(site: Arc<Site>, registry: Arc<Registry>) -> Self {
        let (checked, pinned, live, noticed) = Default::default();
        Self { site, registry, checked, pinned, live, noticed }
    }

    /// Whether it works on this very site.
    #[must_use]
    pub fn is_on(&self, site: &Arc<Site>) -> bool {
        Arc::ptr_eq(&self.site, site)
    }

    pub(super) fn site(&self) -> &Site {
        &self.site
    }

    pub(super) fn registry(&self) -> &Arc<Registry> {
        &self.registry
    }

    pub(super) fn now(&self) -> Timestamp {
        self.site.ports.clock.now()
    }

    /// Takes each request by itself: one that is refused does not stop the others. The outcomes are
    /// in the same order. `origin` is the run that asks, if a run does.
    pub async fn dispatch(
        &self,
        requests: Vec<DispatchRequest>,
        origin: Option<&Origin>,
    ) -> Vec<Result<Accepted, DispatchError>> {
        self.dispatch_for(requests, Asker { origin, ..Asker::default() }).await
    }

    /// The same for requests of a run that belong together: where one is refused, none is taken.
    pub(super) async fn dispatch_together(
        &self,
        requests: Vec<DispatchRequest>,
        origin: &Origin,
    ) -> Vec<Result<Accepted, DispatchError>> {
        let asker = Asker { origin: Some(origin), together: true, ..Asker::default() };
        self.dispatch_for(requests, asker).await
    }

    /// The same for an event that may be delivered more than once: its requests make one run each,
    /// however often it comes. `event` names it, among all events that there are.
    pub async fn dispatch_event(
        &self,
        requests: Vec<DispatchRequest>,
        event: &str,
    ) -> Vec<Result<Accepted, DispatchError>> {
        self.dispatch_for(requests, Asker { event: Some(event), ..Asker::default() }).await
    }

    async fn dispatch_for(
        &self,
        requests: Vec<DispatchRequest>,
        asker: Asker<'_>,
    ) -> Vec<Result<Accepted, DispatchError>> {
        let count = requests.len();
        match self.dispatch_all(requests, asker).await {
            Ok(outcomes) => outcomes,
            Err(error) => (0..count).map(|_| Err(error.clone().into())).collect(),
        }
    }

    async fn dispatch_all(
        &self,
        requests: Vec<DispatchRequest>,
        asker: Asker<'_>,
    ) -> Result<Vec<Result<Accepted, DispatchError>>, StoreError> {
        let realm = self.site.ports.jobs.realm().await?;
        let ids: Vec<JobId> = requests.iter().map(|request| request.job_id.clone()).collect();
        let jobs = self.site.ports.jobs.jobs(&ids).await?;
        let mut outcomes = Vec::with_capacity(requests.len());
        let mut batch = Vec::new();
        for (index, (request, job)) in requests.into_iter().zip(jobs).enumerate() {
            match self.prepare(&request, job, &realm, asker, index).await {
                Ok(prepared) => {
                    batch.push(prepared);
                    outcomes.push(None);
                }
                Err(DispatchError::Store(error)) => return Err(error),
                Err(error) => outcomes.push(Some(Err(error))),
            }
        }
        if asker.together && batch.len() < outcomes.len() {
            return Ok(outcomes.into_iter().map(|o| o.unwrap_or(Err(DispatchError::Withheld))).collect());
        }
        let mut made = self.create(batch).await?.into_iter();
        let outcomes = outcomes.into_iter().map(|outcome| outcome.or_else(|| made.next()));
        // Every request that was prepared has its outcome from `create`.
        Ok(outcomes
            .map(|o| o.unwrap_or_else(|| Err(StoreError::new("the store lost a run").into())))
            .collect())
    }

    /// Makes the runs, and sends their messages or has them sent at their time.
    async fn create(&self, batch: Vec<Prepared>) -> Result<Vec<Result<Accepted, DispatchError>>, StoreError> {
        let (mut runs, mut reminders) = (Vec::with_capacity(batch.len()), Vec::with_capacity(batch.len()));
        let mut warnings = Vec::with_capacity(batch.len());
        for Prepared { new, first, warning } in batch {
            warnings.push(warning);
            let (message, reminder) = match first {
                First::None => (None, None),
                First::Now(message) => (Some(message), None),
                First::Later(reminder) => (None, Some(reminder)),
            };
            runs.push((new, message));
            reminders.push(reminder);
        }
        let created = self.site.ports.runs.create(&runs).await?;
        let (mut unsent, mut later, mut given) = (Vec::new(), Vec::new(), Vec::new());
        let mut outcomes = Vec::with_capacity(runs.len());
        for ((((new, message), reminder), created), warning) in
            runs.into_iter().zip(reminders).zip(created).zip(warnings)
        {
            let foreign = message.is_some() && created.is_new() && self.is_foreign(&new.run.worker);
            let message = message.filter(|_| created.is_unsent() && (!foreign || self.may_give(&new.run)));
            if foreign && (created.sent || message.is_some()) {
                given.push((new.run.clone(), message.is_some().then_some(unsent.len())));
            }
            unsent.extend(message);
            later.extend(reminder.filter(|_| created.is_new()));
            outcomes.push(answer(&new.run, created).map(|accepted| match accepted.existing {
                false => Accepted { warning, ..accepted },
                true => accepted,
            }));
        }
        let sent = self.send_all(unsent).await;
        self.schedule_all(later).await;
        given.retain(|(_, place)| place.is_none_or(|place| sent[place]));
        self.hand_over(given.into_iter().map(|(run, _)| run).collect()).await;
        Ok(outcomes)
    }

    async fn prepare(
        &self,
        request: &DispatchRequest,
        job: Option<StoredJob>,
        realm: &RealmSpec,
        asker: Asker<'_>,
        index: usize,
    ) -> Result<Prepared, DispatchError> {
        let origin = asker.origin;
        let job_id = &request.job_id;
        let job = match job {
            Some(Ok(job)) => job,
            Some(Err(error)) => return Err(DispatchError::BadSpec { job_id: job_id.to_string(), error }),
            None => return Err(no_such_job(&*self.site.ports.jobs, job_id).await?),
        };
        let now = self.now();
        let Checked { job, warnings } = self.specialise(&job, request, origin)?;
        let run_id = self.run_id(request, asker, index, now);
        let mut run = self.record(&job, RunKey::root(run_id), run_id, now, not_before(request.when, now));
        let of_realm: Vec<String> =
            realm.warnings.iter().map(|warning| format!("the realm's {warning}")).collect();
        run.warn(&[&*warnings, &*of_realm].concat(), now);
        run.dispatched_by = origin.map(|origin| origin.key.clone());
        run.lineage = origin.map(|origin| lineage(origin, run.not_before - now));
        let limit = self.site.settings.dispatch_max_depth;
        if let Some(lineage) = run.lineage.as_ref().filter(|lineage| lineage.depth > limit) {
            let (job_id, depth) = (job_id.to_string(), lineage.depth);
            return Err(DispatchError::TooDeep { job_id, depth, limit });
        }
        run.keyed = keyed(request);
        run.scheduled = request.scheduled.clone();
        run.host.clone_from(&request.host);
        run.set_overlap(request.overlap.unwrap_or(run.overlap));
        if job.fields.enabled == Enabled::Static(false) {
            let spec = RunSpec { job: job.document.clone(), rendered: None, anew: false };
            return Ok(Prepared {
                new: NewRun { run: skipped(&run, now), spec },
                first: First::None,
                warning: None,
            });
        }
        let AtDispatch { rendered, anew, error } = self.render_now(&run, &job, realm).await?;
        let warning = error.map(|error| format!("{error}; each attempt renders it anew"));
        run.warn(warning.as_slice(), now);
        let first = self.first_message(&mut run, &job, request, origin, now)?;
        Ok(Prepared {
            new: NewRun { run, spec: RunSpec { job: job.document.clone(), rendered, anew } },
            first,
            warning,
        })
    }

    /// Payload and parameters as they would run at `start`, with nothing recorded or sent.
    ///
    /// # Errors
    /// [`DispatchError`] when there is no such job or its spec does not hold; the inner error when
    /// a template fails.
    pub async fn preview(
        &self,
        request: &DispatchRequest,
        start: Timestamp,
    ) -> Result<Result<Rendered, JobError>, DispatchError> {
        let realm = self.site.ports.jobs.realm().await?;
        let job = self.site.ports.jobs.jobs(std::slice::from_ref(&request.job_id)).await?.pop().flatten();
        let job = match job {
            Some(Ok(job)) => self.specialise(&job, request, None)?.job,
            Some(Err(error)) => {
                return Err(DispatchError::BadSpec { job_id: request.job_id.to_string(), error });
            }
            None => return Err(no_such_job(&*self.site.ports.jobs, &request.job_id).await?),
        };
        let run_id = self.run_id(request, Asker::default(), 0, start);
        let run = self.record(&job, RunKey::root(run_id), run_id, start, start);
        let (scene, _) = self.scene(&run, &job, &realm, start).await?;
        let templates = Templates::new(self.registry.renderer().clone(), scene);
        Ok(self.render(&job, &templates).await)
    }

    /// The job with the request's parameters and globals in it, checked.
    pub(super) fn specialise(
        &self,
        job: &Arc<JobSpec>,
        request: &DispatchRequest,
        origin: Option<&Origin>,
    ) -> Result<Checked, DispatchError> {
        let warnings = self.check_once(job)?;
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
            self.check(own)?;
        }
        Ok(Checked { job: with_globals(own, globals), warnings })
    }

    /// Checks a stored spec the first time it is seen. Gives the mistakes that do not keep it from running.
    pub(super) fn check_once(&self, job: &Arc<JobSpec>) -> Result<Arc<[String]>, DispatchError> {
        let mut checked = lock(&self.checked);
        let job_id = &job.fields.job_id;
        if let Some(known) = checked.get(job_id).filter(|known| Arc::ptr_eq(&known.job, job)) {
            return Ok(known.warnings.clone());
        }
        self.check(job)?;
        let warnings = self.warnings(job);
        // Said once: a store hands out a new spec whenever anything in it has changed.
        let is_known = checked.get(job_id).is_some_and(|known| known.warnings == warnings);
        if !warnings.is_empty() && !is_known {
            let all = warnings.join("; ");
            tracing::warn!(%job_id, warnings = %all, "a stored job has mistakes that do not keep it from running");
        }
        checked.put(job_id.clone(), Checked { job: job.clone(), warnings: warnings.clone() });
        Ok(warnings)
    }

    /// The mistakes of a job that do not keep it from running. A worker of lava's own checks its jobs itself.
    fn warnings(&self, job: &JobSpec) -> Arc<[String]> {
        if self.is_foreign(&job.fields.worker) {
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
        let is_same = |known: &&Arc<JobSpec>| same(&known.document, document);
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

    /// A request with a key, of a run or of an event has an id that follows from it: made twice, it is
    /// made once.
    fn run_id(&self, request: &DispatchRequest, asker: Asker<'_>, index: usize, now: Timestamp) -> RunId {
        let follows = match (&request.idempotency_key, asker) {
            (Some(key), _) => format!("key:{key}"),
            (None, Asker { origin: Some(origin), .. }) => {
                format!("run:{}#{}#{index}", origin.key, origin.label)
            }
            (None, Asker { event: Some(event), .. }) => format!("event:{event}#{index}"),
            (None, Asker { origin: None, event: None, .. }) => {
                return RunId(self.site.ports.random.uuid(now));
            }
        };
        RunId::from_key(&self.site.realm, &request.job_id, &follows)
    }

    /// Renders at dispatch, unless the job is to be rendered at its start alone. A template that fails is left to the worker:
    /// its attempt may render well, else it fails, is recorded and has its actions.
    pub(super) async fn render_now(
        &self,
        run: &Run,
        job: &JobSpec,
        realm: &RealmSpec,
    ) -> Result<AtDispatch, StoreError> {
        if self.registry.job_type(&job.fields.r#type).is_none() {
            return Ok(AtDispatch::default());
        }
        let render_at = self.render_at(job);
        if render_at == RenderAt::Run || self.is_foreign(&job.fields.worker) {
            return Ok(AtDispatch::default());
        }
        let (scene, secret) = self.scene(run, job, realm, run.not_before).await?;
        if secret {
            return Ok(AtDispatch::default());
        }
        let templates = Templates::new(self.registry.renderer().clone(), scene);
        let rendered = match self.render(job, &templates).await {
            Ok(rendered) => Some(rendered),
            Err(error) => return Ok(AtDispatch { error: Some(error.message), ..AtDispatch::default() }),
        };
        let changes = templates.asked_for_the_moment() || rendered_anew_for(job).is_some();
        let anew = rendered.is_some() && render_at == RenderAt::Auto && changes;
        Ok(AtDispatch { rendered, anew, error: None })
    }

    /// When a job is rendered: as it says, else as the realm's setting `RENDER_AT` says.
    fn render_at(&self, job: &JobSpec) -> RenderAt {
        job.fields.render_at.unwrap_or(self.site.settings.render_at)
    }

    /// When a job is rendered, and what it names, if anything, for which it is rendered anew at each start.
    #[must_use]
    pub fn rendering(&self, job: &JobSpec) -> (RenderAt, Option<String>) {
        rendering(job, self.site.settings.render_at)
    }
}

/// Where a run comes from that starts after a delay. Jobs that start each other with one may do so for ever, as jobs that
/// poll do; without one they would take up the workers.
fn lineage(origin: &Origin, delay: TimeDelta) -> Lineage {
    let lineage = origin.lineage.clone();
    if delay >= TimeDelta::seconds(1) { Lineage { depth: 0, ..lineage } } else { lineage }
}

/// When a job is rendered in a realm whose setting `RENDER_AT` is `default`, and what it names, if anything, for which it is
/// rendered anew at each start.
#[must_use]
pub fn rendering(job: &JobSpec, default: RenderAt) -> (RenderAt, Option<String>) {
    match job.fields.render_at.unwrap_or(default) {
        RenderAt::Auto => (RenderAt::Auto, rendered_anew_for(job)),
        other => (other, None),
    }
}

/// What a job's templates name that may change until its run starts, if anything.
fn rendered_anew_for(job: &JobSpec) -> Option<String> {
    names_what_changes(
        std::iter::once(&job.fields.payload).chain(job.fields.parameters.iter().flat_map(|map| map.values())),
    )
}

/// The error that names a job which does not exist, and the one that may have been meant.
///
/// # Errors
/// [`StoreError`] when the store cannot be reached.
pub async fn no_such_job(jobs: &dyn JobStore, job_id: &JobId) -> Result<DispatchError, StoreError> {
    let hint = match jobs.job_ids().await? {
        Some(known) if known.is_empty() => {
            Some("the realm has no jobs yet: `pumice apply` adds them".to_owned())
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

#[cfg(test)]
mod tests {
    use super::*;

    /// How deep the last of 100 jobs stands that start each other after a delay.
    fn depth(delay: TimeDelta) -> u32 {
        let job_id = JobId::new("again").unwrap();
        let run_id = RunId(uuid::Uuid::nil());
        let start = Timestamp::UNIX_EPOCH;
        let (master_job_id, parent_job_id) = (job_id.clone(), job_id.clone());
        let first = Lineage {
            master_job_id,
            master_start: start,
            parent_job_id,
            parent_start: start,
            depth: 1,
            foreach_index: None,
        };
        let (key, globals, label) = (RunKey::root(run_id), Map::new(), String::new());
        let mut origin = Origin { key, job_id, lineage: first, globals, label };
        for _ in 0..100 {
            let below = lineage(&origin, delay);
            origin.lineage.depth = below.depth + 1;
        }
        origin.lineage.depth
    }

    #[test]
    fn jobs_that_start_each_other_after_a_second_never_get_deep() {
        assert_eq!(depth(TimeDelta::seconds(1)), 1);
        assert_eq!(depth(TimeDelta::milliseconds(999)), 101);
        assert_eq!(depth(TimeDelta::zero()), 101);
    }
}
