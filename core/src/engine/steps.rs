//! Runs a chain, dag or foreach step by step. The children's records are the journal: whoever goes
//! on after a crash finds there what was done.

use futures_util::StreamExt;
use futures_util::future::{BoxFuture, Either, select};
use futures_util::stream::FuturesUnordered;

use super::apply::{Applied, ApplyError};
use super::attempt::{RunDispatches, child_lineage, failure, origin};
use super::handle::{Verdict, rest};
use super::{Engine, Invocation, MAX_DEPTH, MAX_STEPS};
use crate::globals::merge_globals;
use crate::ids::RunKey;
use crate::job_type::{
    Cancel, ChildState, Composite, JobContext, JobError, Next, Plan, Rendered, Stop, Templates,
};
use crate::ports::{CommitError, StoreError};
use crate::run::{Input, NewRun, Outcome, Run, Status};
use crate::spec::{JobSpec, Overlap, RealmSpec, RunSpec};

/// Where a composite run got to.
pub(super) enum Stepped {
    /// Its end.
    Ended(Outcome),
    /// It gave way, or is another worker's now.
    Rest(Run),
}

/// A child at rest, or why there can be none: then the whole fails, whatever may fail.
type ChildEnd = (usize, Result<Result<Run, String>, StoreError>);

/// One invocation's way through a composite run.
struct Walk<'a> {
    engine: &'a Engine,
    run: &'a Run,
    job: &'a JobSpec,
    plan: &'a Plan,
    invocation: &'a Invocation,
    cancel: &'a Cancel,
    states: Vec<ChildState>,
    refused: Option<String>,
    told_children: bool,
}

impl Engine {
    /// Goes on with a claimed composite run.
    pub(super) async fn step_through(
        &self,
        composite: &dyn Composite,
        run: &Run,
        spec: &RunSpec,
        job: &JobSpec,
        realm: &RealmSpec,
        invocation: &Invocation,
    ) -> Result<Stepped, StoreError> {
        let templates = self.templates(run, job, realm).await?;
        let (run, rendered) = match self.resolved(composite, run, spec, job, realm, &templates, invocation).await? {
            Ok(resolved) => resolved,
            Err(Stepped::Rest(run)) => return Ok(Stepped::Rest(run)),
            Err(ended) => return Ok(ended),
        };
        let run = &run;
        let planned = composite.plan(job, &rendered).and_then(|plan| check_size(&plan, run).map(|()| plan));
        let plan = match planned {
            Ok(plan) => plan,
            Err(error) => return Ok(Stepped::Ended(failure(error))),
        };
        let cancel = Cancel::default();
        let states = vec![ChildState::Missing; plan.steps.len()];
        let mut walk = Walk {
            engine: self,
            run,
            job,
            plan: &plan,
            invocation,
            cancel: &cancel,
            states,
            refused: None,
            told_children: false,
        };
        let watching = self.watch(run, job, invocation, &cancel);
        match select(std::pin::pin!(walk.go()), std::pin::pin!(watching)).await {
            Either::Left((stepped, _)) => stepped,
            Either::Right((stop, going)) => {
                cancel.stop(stop);
                going.await
            }
        }
    }
}

impl Engine {
    /// The run with all that its plan is made from, looked up at the start of the attempt and kept.
    #[expect(clippy::too_many_arguments, reason = "what a composite run is made of")]
    async fn resolved(
        &self,
        composite: &dyn Composite,
        run: &Run,
        spec: &RunSpec,
        job: &JobSpec,
        realm: &RealmSpec,
        templates: &Templates,
        invocation: &Invocation,
    ) -> Result<Result<(Run, Rendered), Stepped>, StoreError> {
        if let Some(rendered) = &run.rendered {
            return Ok(Ok((run.clone(), rendered.clone())));
        }
        let dispatches = RunDispatches::new(self.dispatcher.clone(), origin(run, job, "run"));
        let context = JobContext {
            run,
            job,
            realm,
            site: &self.site,
            templates,
            dispatches: &dispatches,
            work_dir: &invocation.work_dir,
            cancel: &Cancel::default(),
        };
        let looked_up = self.rendered(spec, job, templates).and_then(|rendered| {
            let resolved = composite.resolve(&context, &rendered)?;
            let keep = resolved.is_some() || spec.rendered.is_none();
            Ok((resolved.unwrap_or(rendered), keep))
        });
        match looked_up {
            Err(error) => Ok(Err(Stepped::Ended(failure(error)))),
            Ok((rendered, false)) => Ok(Ok((run.clone(), rendered))),
            Ok((rendered, true)) => {
                let (worker, epoch) = (invocation.owner.clone(), run.epoch);
                let input = Input::Pin { worker, epoch, rendered: rendered.clone() };
                match self.dispatcher.apply(run.clone(), input).await {
                    Ok(pinned) => Ok(Ok((pinned, rendered))),
                    Err(error) => Ok(Err(Stepped::Rest(rest(error)?))),
                }
            }
        }
    }
}

fn check_size(plan: &Plan, run: &Run) -> Result<(), JobError> {
    if plan.steps.len() > MAX_STEPS {
        return Err(JobError::permanent(format!("{} steps are more than {MAX_STEPS}", plan.steps.len())));
    }
    if run.key.depth() >= MAX_DEPTH as usize {
        return Err(JobError::permanent(format!("nested more than {MAX_DEPTH} levels deep")));
    }
    Ok(())
}

impl Walk<'_> {
    async fn go(&mut self) -> Result<Stepped, StoreError> {
        let engine = self.engine;
        self.look_at_children().await?;
        let mut under_way: FuturesUnordered<BoxFuture<'_, ChildEnd>> = FuturesUnordered::new();
        loop {
            let stop = self.cancel.is_stopped();
            if stop == Some(Stop::Lost) {
                return Ok(Stepped::Rest(self.run.clone()));
            }
            if stop.is_some() && !self.told_children {
                self.told_children = true;
                self.cancel_children().await?;
            }
            let next = self.plan.next(&self.states, stop.is_some() || self.refused.is_some());
            match next {
                Next::Done(outcome) => return Ok(Stepped::Ended(self.conclude(outcome, stop))),
                Next::Start(steps) if !self.invocation.is_late(engine.now()) => {
                    for step in steps {
                        self.states[step] = ChildState::Live;
                        let (run, job, plan, invocation) = (self.run, self.job, self.plan, self.invocation);
                        under_way.push(Box::pin(async move {
                            (step, engine.run_child(run, job, plan, step, invocation).await)
                        }));
                    }
                }
                Next::Start(_) | Next::Wait if !under_way.is_empty() => {
                    let stopped = std::pin::pin!(self.cancel.stopped());
                    let ended = match (stop, under_way.next()) {
                        (Some(_), next) => next.await,
                        (None, next) => match select(next, stopped).await {
                            Either::Left((ended, _)) => ended,
                            Either::Right(_) => continue,
                        },
                    };
                    if let Some((step, ended)) = ended {
                        self.record(step, ended?);
                    }
                }
                step => {
                    let resume = matches!(step, Next::Start(_));
                    if let Some(run) = self.give_way(resume).await? {
                        return Ok(Stepped::Rest(run));
                    }
                }
            }
        }
    }

    fn record(&mut self, step: usize, ended: Result<Run, String>) {
        match ended {
            Ok(child) => self.states[step] = state_of(&child),
            Err(reason) => {
                let job_id = &self.plan.steps[step].job_id;
                self.states[step] = ChildState::Missing;
                self.refused.get_or_insert_with(|| format!("job {job_id}: {reason}"));
            }
        }
    }

    fn conclude(&self, outcome: Outcome, stop: Option<Stop>) -> Outcome {
        if let Some(reason) = &self.refused {
            return failure(JobError::failed(reason.clone()));
        }
        match stop {
            Some(Stop::TimedOut(limit)) => failure(JobError::failed(format!("timed out after {limit}"))),
            Some(Stop::Cancelled) if !matches!(outcome, Outcome::Success(_)) => Outcome::Cancelled,
            _ => outcome,
        }
    }

    /// Reads the children's records; says whether anything is different from what was known.
    async fn look_at_children(&mut self) -> Result<bool, StoreError> {
        let children = self.engine.site.ports.runs.children(&self.run.key, self.run.attempt).await?;
        let mut states = vec![ChildState::Missing; self.plan.steps.len()];
        for child in &children {
            if let Some(state) = child.key.step().and_then(|step| states.get_mut(step as usize)) {
                *state = state_of(child);
            }
        }
        let changed = states != self.states;
        self.states = states;
        Ok(changed)
    }

    /// Gives the run up until a child reports, or to another invocation when `resume`. `None` when
    /// there is something to do after all.
    async fn give_way(&mut self, resume: bool) -> Result<Option<Run>, StoreError> {
        let engine = self.engine;
        // First the record, then the children: a child that reports in between changes the record.
        let Some(stored) = engine.site.ports.runs.load(&self.run.key).await? else {
            return Err(StoreError::new(format!("the record of run {} is gone", self.run.key)));
        };
        if !stored.is_held(&self.invocation.owner, self.run.epoch) {
            return Ok(Some(stored));
        }
        if stored.cancel && !self.told_children {
            self.cancel.stop(Stop::Cancelled);
            return Ok(None);
        }
        if self.look_at_children().await? {
            return Ok(None);
        }
        let input = Input::Suspend { worker: self.invocation.owner.clone(), epoch: self.run.epoch, resume };
        match engine.dispatcher.apply_once(&stored, input).await {
            Ok(suspended) => Ok(Some(suspended)),
            Err(Applied::Commit(CommitError::Store(error), _)) => Err(error),
            Err(_) => Ok(None),
        }
    }

    async fn cancel_children(&self) -> Result<(), StoreError> {
        let runs = &self.engine.site.ports.runs;
        for child in runs.children(&self.run.key, self.run.attempt).await? {
            if !child.status.is_end() {
                match self.engine.dispatcher.apply(child, Input::Cancel).await {
                    Ok(_) | Err(ApplyError::Illegal(..)) => {}
                    Err(error) => {
                        rest(error)?;
                    }
                }
            }
        }
        Ok(())
    }
}

fn state_of(child: &Run) -> ChildState {
    if child.status.is_end() {
        ChildState::Ended(child.status, child.reason.clone())
    } else {
        ChildState::Live
    }
}

impl Engine {
    /// Makes a child and takes it as far as it goes in this invocation. Boxed, because a child may
    /// have children.
    fn run_child<'a>(
        &'a self,
        parent: &'a Run,
        parent_job: &'a JobSpec,
        plan: &'a Plan,
        step: usize,
        invocation: &'a Invocation,
    ) -> BoxFuture<'a, Result<Result<Run, String>, StoreError>> {
        Box::pin(self.make_child(parent, parent_job, plan, step, invocation))
    }

    async fn make_child(
        &self,
        parent: &Run,
        parent_job: &JobSpec,
        plan: &Plan,
        step: usize,
        invocation: &Invocation,
    ) -> Result<Result<Run, String>, StoreError> {
        let planned = &plan.steps[step];
        let job_ids = [planned.job_id.clone()];
        let job = match self.site.ports.jobs.jobs(&job_ids).await?.pop().flatten() {
            None => return Ok(Err("no such job".to_owned())),
            Some(Err(error)) => return Ok(Err(format!("its spec does not hold: {error}"))),
            Some(Ok(job)) => job,
        };
        if job.fields.worker != parent.worker {
            return Ok(Err(format!("it is for worker {}, not {}", job.fields.worker, parent.worker)));
        }
        if let Err(error) = self.dispatcher.check_once(&job) {
            return Ok(Err(error.to_string()));
        }
        let mut job = JobSpec::clone(&job);
        let none = serde_json::Map::new();
        let globals = merge_globals(
            job.fields.globals.as_ref().unwrap_or(&none),
            parent_job.fields.globals.as_ref().unwrap_or(&none),
            &planned.globals,
        );
        job.document.insert("globals".to_owned(), globals.clone().into());
        job.fields.globals = Some(globals);
        let step = u32::try_from(step).unwrap_or(u32::MAX);
        let key = parent.key.child(parent.attempt, step);
        let mut run = self.dispatcher.record(&job, key, parent.run_id, self.now(), self.now());
        run.ts_dispatch = parent.ts_dispatch;
        run.lineage = Some(child_lineage(parent));
        run.foreach_index = planned.foreach_index;
        self.begin_child(run, job, invocation).await.map(Ok)
    }

    async fn begin_child(&self, run: Run, job: JobSpec, invocation: &Invocation) -> Result<Run, StoreError> {
        let realm = self.site.ports.jobs.realm().await?;
        let rendered = self.dispatcher.render_now(&run, &job, &realm).await?;
        let spec = RunSpec { job: job.document.clone(), rendered };
        // A child that must have its job's lock is made first and claimed then, as any other run.
        let first = match run.overlap {
            Overlap::Allow => match self.verdict(&run, &job).await? {
                Verdict::Start(event_log) => self.claim(invocation, event_log),
                Verdict::End(status, reason) => self.end_unstarted(status, reason, invocation),
            },
            Overlap::Skip | Overlap::Queue => Input::ChildEnded,
        };
        let run = self.dispatcher.decide_new(run, first);
        let key: RunKey = run.key.clone();
        let new = NewRun { run: run.clone(), spec: spec.clone() };
        let created = self.site.ports.runs.create(vec![(new, None)]).await?.pop();
        if created.is_some_and(|created| created.existing.is_some()) {
            let Some((run, spec)) = self.site.ports.runs.load_with_spec(&key).await? else {
                return Err(StoreError::new(format!("the record of run {key} is gone")));
            };
            return self.run_to_rest(run, &spec, 1, invocation, true).await;
        }
        if run.lease.is_none() {
            return self.run_to_rest(run, &spec, 1, invocation, true).await;
        }
        let run = self.run_claimed(run, &spec, &job, invocation, true).await?;
        if run.status == Status::Retrying && run.lease.is_none() && run.not_before <= self.now() {
            return self.run_to_rest(run, &spec, 1, invocation, true).await;
        }
        Ok(run)
    }

    /// The input that ends a child which may not start.
    fn end_unstarted(&self, status: Status, reason: String, invocation: &Invocation) -> Input {
        Input::Close {
            status,
            reason,
            on_fail: false,
            tell_parent: false,
            worker: invocation.owner.clone(),
            until: invocation.lease_until(self.now(), self.limits.lease),
        }
    }
}
