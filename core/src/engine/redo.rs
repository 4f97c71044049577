//! Does runs again that have ended. An end never changes: there is a new run, which refers to the one that ended.

use std::collections::BTreeSet;
use std::sync::Arc;

use futures_util::stream::{self, StreamExt, TryStreamExt};
use serde_json::{Map, Value};

use super::answer::Accepted;
use super::dispatch::{Dispatcher, Preview};
use super::jobs::no_such_job;
use super::replays::{next_replay, replays};
use crate::globals::{merge_globals, merge_parameters};
use crate::ids::{JobId, RunKey};
use crate::job_type::{DispatchError, JobError, Plan, Rendered, StepRedo, redone};
use crate::ports::StoreError;
use crate::request::DispatchRequest;
use crate::run::{Part, Redo, RedoFrom, Run, SpecOf, Status, replay_key};
use crate::secret::MASK;
use crate::spec::{Asked, JobSpec, RunSpec, is_reserved_global};
use crate::text::quoted;

/// Most times that the name of a new run is chosen while others take it.
const MAX_TRIES: u32 = 3;

/// Most steps that are looked through for failures at once.
const LOOKED_AT_ONCE: usize = 16;

/// A request for a run that has ended.
#[derive(Clone, Debug, PartialEq)]
pub struct RedoRequest {
    /// The run, and how it is done again.
    pub redo: Redo,
    /// Parameters over those that it had, key by key.
    pub parameters: Map<String, Value>,
    /// Globals over those that it had, key by key.
    pub globals: Map<String, Value>,
    /// Whether it may have been done again before.
    pub once_more: bool,
}

/// The steps of a run that is done again.
pub(super) enum Redone {
    /// Kept, or to run again, in the order of the plan.
    Steps(Vec<StepRedo>),
    /// Why it cannot be done again after all.
    Impossible(String),
}

/// Why a run is not done again.
#[derive(Debug, thiserror::Error)]
pub enum RedoError {
    /// There is no record of it.
    #[error("no such run {0}")]
    Gone(RunKey),
    /// It has not ended.
    #[error("run {0} has not ended: it is {1}")]
    Runs(RunKey, Status),
    /// It is a step.
    #[error("run {0} is a step: do run {1} again from it")]
    Step(RunKey, RunKey),
    /// It is an alert.
    #[error("run {0} is an alert, which does nothing but its actions")]
    Alert(RunKey),
    /// Lava ran it, which keeps its records.
    #[error("run {0} ran on a lava worker: dispatch job {1} anew")]
    Lavas(RunKey, JobId),
    /// Nothing of it failed.
    #[error("run {0} ended well, and none of its steps failed: do all of it again, or from one of its steps")]
    EndedWell(RunKey),
    /// The step that it is to be done again from is none of its.
    #[error("run {0} has no step {1}")]
    NoStep(RunKey, RunKey),
    /// It has been done again.
    #[error("run {of} has been done again as run {by}, which is {status}: {}", next_of(*.status))]
    DoneAgain {
        /// The run.
        of: RunKey,
        /// The one that does it again.
        by: RunKey,
        /// Where that one stands.
        status: Status,
    },
    /// A request for something else did it again under the same key.
    #[error(
        "key {} was already used by another request to do run {of} again: run {by} was made by {theirs}, this one is {ours}; \
         ask for the same, or do run {by} again",
        quoted(key)
    )]
    KeyTaken {
        /// The key.
        key: String,
        /// The run.
        of: RunKey,
        /// The one that does it again.
        by: RunKey,
        /// The request that made that one.
        theirs: String,
        /// This request.
        ours: String,
    },
    /// Its pinned spec is gone, or is not to be used.
    #[error("run {0} cannot be done again: {1}; dispatch its job anew")]
    SpecGone(RunKey, String),
    /// Its job has no plan of steps now.
    #[error("job {0} has no plan: {1}")]
    NoPlan(JobId, String),
    /// The new run was refused.
    #[error(transparent)]
    Dispatch(#[from] DispatchError),
    /// A store cannot be reached.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// The advice for a run that has already been done again.
const fn next_of(status: Status) -> &'static str {
    match status {
        Status::Complete => "do it once more only if all of it may be done twice",
        status if status.is_end() => "do that one again",
        _ => "wait for its end, or cancel it",
    }
}

/// Whether a run may be done again so, by its own record: one that ended well is [`RedoError::EndedWell`], though a step of it
/// may have failed and been forgiven.
///
/// # Errors
/// [`RedoError`] when it may not.
pub fn may_redo(run: &Run, from: &RedoFrom) -> Result<(), RedoError> {
    let key = run.key.clone();
    if let Some(parent) = run.key.parent() {
        let root = RunKey::root(run.run_id);
        let above = if parent == root { parent } else { root };
        return Err(RedoError::Step(key, above));
    }
    if run.late.is_some() {
        return Err(RedoError::Alert(key));
    }
    if !run.status.is_end() {
        return Err(RedoError::Runs(key, run.status));
    }
    if run.handed_over.is_some() {
        return Err(RedoError::Lavas(key, run.job_id.clone()));
    }
    match from {
        RedoFrom::Failed if run.status == Status::Complete => Err(RedoError::EndedWell(key)),
        RedoFrom::Step(step) if !step.is_below(&run.key) => Err(RedoError::NoStep(key, step.clone())),
        _ => Ok(()),
    }
}

/// A run that is to be done again, and what its new run starts from.
#[derive(Clone, Debug)]
pub struct Again {
    /// The run that ended.
    pub run: Run,
    /// The spec that it used.
    pub spec: RunSpec,
    /// The job that the new run is of, without what is asked for.
    pub job: Arc<JobSpec>,
    /// The changes that are asked for, over the job's own spec.
    pub request: DispatchRequest,
}

impl Dispatcher {
    /// The basis for doing a run again.
    ///
    /// # Errors
    /// [`RedoError`] when the run may not be done again, or its job or its spec is gone.
    pub async fn again(&self, request: &RedoRequest) -> Result<Again, RedoError> {
        let RedoRequest { redo, parameters, globals, .. } = request;
        // The new run's spec is signed: nothing goes into it that was not.
        let found = self.site().ports.runs.load_trusted(&redo.of).await?;
        let (run, spec) = found.ok_or_else(|| RedoError::Gone(redo.of.clone()))?;
        match may_redo(&run, &redo.from) {
            // Failures that were forgiven are done again, as they are of a run that failed.
            Err(RedoError::EndedWell(_)) if self.has_forgiven(&run).await? => {}
            outcome => outcome?,
        }
        // The values that were asked for are in it, too.
        if let Some(why) = run.gone(Part::Spec) {
            return Err(RedoError::SpecGone(run.key, why));
        }
        let job = match redo.spec {
            SpecOf::Latest => match self.jobs().stored(&run.job_id).await? {
                Some(Ok(job)) => job,
                Some(Err(error)) => {
                    return Err(DispatchError::BadSpec { job_id: run.job_id.to_string(), error }.into());
                }
                None => return Err(no_such_job(&*self.site().ports.jobs, &run.job_id).await?.into()),
            },
            SpecOf::Pinned => self.jobs().pinned_job(&run.job_id, &spec.job).map_err(|error| {
                RedoError::SpecGone(run.key.clone(), format!("its spec is invalid: {error}"))
            })?,
        };
        if self.jobs().check_once(&job)?.worker.is_lavas() {
            return Err(RedoError::Lavas(run.key, run.job_id));
        }
        let asked = asked(&spec, redo.spec);
        let mut scheduled = run.scheduled.clone();
        if let Some(scheduled) = &mut scheduled {
            // It is none of the runs that the backfill made.
            scheduled.backfill = None;
        }
        let request = DispatchRequest {
            parameters: merge_parameters(&asked.parameters, parameters),
            globals: merge_globals(&Map::new(), &asked.globals, globals),
            scheduled,
            host: run.host.clone(),
            redo: Some(Box::new(redo.clone())),
            ..DispatchRequest::new(run.job_id.clone())
        };
        Ok(Again { run, spec, job, request })
    }

    /// Whether one of a run's steps failed, at any depth, in the last attempt of the step above it.
    async fn has_forgiven(&self, run: &Run) -> Result<bool, StoreError> {
        let runs = &self.site().ports.runs;
        let mut next = vec![run.clone()];
        while let Some(run) = next.pop() {
            let run = match &run.kept {
                None => run,
                // Its steps are where it ran.
                Some(kept) => match runs.peek(kept).await? {
                    Some(run) => run,
                    None => continue,
                },
            };
            let steps = runs.children(&run.key, run.attempt).await?;
            if steps.iter().any(|step| step.status.is_failure()) {
                return Ok(true);
            }
            next.extend(steps.into_iter().filter(|step| self.is_of_steps(step)));
        }
        Ok(false)
    }

    /// The keys of those steps that ended well though a step below failed and was forgiven.
    ///
    /// # Errors
    /// [`StoreError`] when a store cannot be reached.
    pub async fn forgiven(&self, ended: &[Run]) -> Result<BTreeSet<RunKey>, StoreError> {
        let well = ended.iter().filter(|step| step.status == Status::Complete && self.is_of_steps(step));
        let looks: Vec<_> = well.map(|step| self.forgiving(step)).collect();
        let found: Vec<Option<RunKey>> =
            stream::iter(looks).buffer_unordered(LOOKED_AT_ONCE).try_collect().await?;
        Ok(found.into_iter().flatten().collect())
    }

    /// The key of a step below which one failed.
    async fn forgiving(&self, step: &Run) -> Result<Option<RunKey>, StoreError> {
        Ok(self.has_forgiven(step).await?.then(|| step.key.clone()))
    }

    /// Whether a run goes step by step.
    fn is_of_steps(&self, run: &Run) -> bool {
        let job_type = self.jobs().registry().job_type(&run.job_type);
        job_type.is_some_and(|job_type| job_type.planner().is_some())
    }

    /// Does a run again: makes the new run. A request under the same key is given the run that is there.
    ///
    /// # Errors
    /// [`RedoError`] when the run may not be done again, or has been, or the new one is refused.
    pub async fn redo(&self, request: &RedoRequest) -> Result<Accepted, RedoError> {
        let Again { run, job, request: mut dispatched, .. } = self.again(request).await?;
        let mut tries = 0;
        loop {
            let number = self.next_replay(&run, request).await?;
            dispatched.idempotency_key = Some(replay_key(&run.key, number));
            dispatched.redo = Some(Box::new(Redo { number, ..request.redo.clone() }));
            tries += 1;
            match self.dispatch_job(&dispatched, job.clone()).await {
                // A request for something else was faster.
                Err(DispatchError::KeyTaken { .. }) if tries < MAX_TRIES => {}
                Err(DispatchError::KeyTaken { run_id, theirs, ours, .. }) if request.redo.key.is_some() => {
                    // The key in the error of the run is one that was made of the run's name.
                    let key = request.redo.key.clone().unwrap_or_default();
                    return Err(RedoError::KeyTaken { key, of: run.key, by: run_id.into(), theirs, ours });
                }
                outcome => return Ok(outcome?),
            }
        }
    }

    /// Which time of doing a run again a request is for.
    ///
    /// # Errors
    /// [`RedoError::DoneAgain`] when it has been done again, and the request does not ask for that once more.
    pub async fn next_replay(&self, run: &Run, request: &RedoRequest) -> Result<u32, RedoError> {
        let site = self.site();
        let replays = replays(&*site.ports.runs, &site.realm, run).await?;
        next_replay(&replays, request.redo.key.as_deref(), request.once_more).map_err(|stands| {
            RedoError::DoneAgain { of: run.key.clone(), by: stands.key.clone(), status: stands.status }
        })
    }

    /// The job with all that is asked for in it, as the new run uses it.
    ///
    /// # Errors
    /// [`RedoError`] when it is not valid so.
    pub fn effective(&self, again: &Again) -> Result<Arc<JobSpec>, RedoError> {
        Ok(self.jobs().specialise(&again.job, &again.request, None)?.job)
    }

    /// The plan by which the new run goes, if that is known before it starts: `None` where it has no steps, or where a
    /// worker looks them up.
    ///
    /// # Errors
    /// [`RedoError`] when there is no such plan.
    pub async fn plan_ahead(&self, again: &Again, job: &JobSpec) -> Result<Option<Plan>, RedoError> {
        let job_type = self.jobs().registry().job_type(&job.fields.r#type);
        let Some(planner) = job_type.and_then(|job_type| job_type.planner()) else { return Ok(None) };
        if planner.is_resolved() {
            return Ok(None);
        }
        let bad = |error: JobError| RedoError::NoPlan(job.fields.job_id.clone(), error.message);
        match self.preview_job(&again.request, job, self.ledger().now()).await? {
            // The worker may render it well.
            Preview::Failed(..) => Ok(None),
            // With placeholders in place of secrets the steps may be others than the worker's.
            Preview::Rendered { hidden, .. } if !hidden.state.is_empty() => Ok(None),
            Preview::Rendered { rendered, hidden, .. } => match planner.plan(job, &rendered) {
                Ok(plan) => Ok(Some(plan).filter(|plan| !hidden.marked || !names_masked(plan))),
                Err(_) if hidden.marked => Ok(None),
                Err(error) => Err(bad(error)),
            },
        }
    }

    /// The fate of each step of a plan when a run is done again.
    ///
    /// # Errors
    /// [`StoreError`] when a store cannot be reached.
    pub(super) async fn redo_plan(&self, redo: &Redo, plan: &Plan) -> Result<Redone, StoreError> {
        let Some((run, spec)) = self.site().ports.runs.load_with_spec(&redo.of).await? else {
            if redo.from == RedoFrom::All && redo.spec == SpecOf::Latest {
                return Ok(Redone::Steps(vec![StepRedo::Again(None); plan.steps.len()]));
            }
            let of = &redo.of;
            let why = format!("run {of}, which it does again, is gone: dispatch the job anew");
            return Ok(Redone::Impossible(why));
        };
        // The plan of its steps follows from both.
        if let Some(why) = run.gone(Part::Rendered).or_else(|| run.gone(Part::Spec)) {
            let why = format!("run {} cannot be done again: {why}; dispatch the job anew", redo.of);
            return Ok(Redone::Impossible(why));
        }
        let before = self.plan_of(&run, &spec);
        let ended = self.site().ports.runs.children(&run.key, run.attempt).await?;
        let forgiven = self.forgiven(&ended).await?;
        Ok(Redone::Steps(redone(plan, before.as_ref(), &ended, &forgiven, &redo.from)))
    }

    /// The plan by which a run went; `None` where it had none.
    #[must_use]
    pub fn plan_of(&self, run: &Run, spec: &RunSpec) -> Option<Plan> {
        let job = self.jobs().pinned_job(&run.job_id, &spec.job).ok()?;
        let rendered = run.rendered.clone().or_else(|| spec.rendered.clone()).unwrap_or_else(|| Rendered {
            payload: job.fields.payload.clone(),
            parameters: job.parameters(),
        });
        let planner = self.jobs().registry().job_type(&run.job_type)?.planner()?;
        planner.plan(&job, &rendered).ok()
    }
}

/// Whether a plan has a step whose job is named by a value that is masked.
fn names_masked(plan: &Plan) -> bool {
    plan.steps.iter().any(|step| step.job_id.as_str().contains(MASK))
}

/// The request of the run that ended. A record of before does not have it: its new run has all that the old one had.
fn asked(spec: &RunSpec, of: SpecOf) -> Asked {
    match (of, &spec.asked) {
        // It is in the spec.
        (SpecOf::Pinned, _) => Asked::default(),
        (SpecOf::Latest, Some(asked)) => (**asked).clone(),
        (SpecOf::Latest, None) => {
            let field =
                |name: &str| spec.job.get(name).and_then(Value::as_object).cloned().unwrap_or_default();
            let mut globals = field("globals");
            globals.retain(|name, _| !is_reserved_global(name));
            Asked { parameters: field("parameters"), globals }
        }
    }
}
