//! Makes the steps of a run that are spread: each is a run that any invocation of the worker takes, and reports its end.

use std::collections::{BTreeMap, HashMap};

use futures_util::future::join_all;

use super::Engine;
use super::children::Planned;
use super::lease::Parent;
use super::steps::{BegunSteps, Held, Place};
use super::task::Task;
use crate::engine::ledger::apply::rest;
use crate::engine::rendered::AtDispatch;
use crate::ids::JobId;
use crate::job_type::{ChildState, Plan};
use crate::message::Message;
use crate::ports::{Outgoing, StoreError, StoredJob};
use crate::run::{Gathering, Input, NewRun, Why, WorkPlace, first_wake};
use crate::spec::RunSpec;

/// Most steps that are made at once: a batch of the store's, and of its queue's.
const BATCH: usize = 250;

/// A record to be made, with its message.
type Making = (NewRun, Option<Outgoing>);

/// A step that is to be made, or the reason why it cannot.
enum NewStep {
    Made(Box<Making>),
    Refused(Why),
}

impl Engine {
    /// Makes a run whose steps are spread gather their reports, before the first of them can report.
    pub(super) async fn gather(&self, task: &Task<'_>, plan: &Plan) -> Result<Held, StoreError> {
        let run = task.run.clone();
        if !plan.spread || run.gathers.is_some() {
            return Ok(Held::Ours(run));
        }
        let gathers = Gathering::of(plan.steps.len(), true);
        let input = Input::Gather { worker: task.invocation.owner.clone(), epoch: run.epoch, gathers };
        match self.ledger().apply(run, input).await {
            Ok(run) => Ok(Held::Ours(run)),
            Err(error) => rest(error).map(Held::Theirs),
        }
    }
}

impl Place<'_> {
    /// How the run hears of its steps as they stand, where they are spread.
    pub(super) fn gathering(self, states: &[ChildState]) -> Option<Gathering> {
        let some_wait = states.contains(&ChildState::Missing);
        self.plan.spread.then(|| Gathering::of(self.plan.steps.len(), some_wait))
    }

    /// Makes the first of these steps, with a message for each. Those that come after others go on with what these `left`.
    pub(super) async fn begin_spread(self, steps: &[usize], left: &BTreeMap<usize, WorkPlace>) -> BegunSteps {
        let mut begun = BegunSteps::default();
        let steps = &steps[..steps.len().min(BATCH)];
        let jobs = match self.step_jobs(steps).await {
            Ok(jobs) => jobs,
            Err(error) => return BegunSteps { trouble: Some(error), ..begun },
        };
        let Task { run, invocation, .. } = self.task;
        let work = match self.engine.work_place(run, invocation, true).await {
            Ok(work) => work,
            Err(error) => return BegunSteps { trouble: Some(error), ..begun },
        };
        let making = steps.iter().zip(jobs).map(|(step, found)| {
            let before = self.plan.before(*step);
            let left: Vec<&WorkPlace> = before.iter().filter_map(|before| left.get(before)).collect();
            let work = invocation.files.after(work.clone(), &left);
            async move { (*step, self.new_step(*step, found, work).await) }
        });
        let mut batch = Vec::new();
        for (step, made) in join_all(making).await {
            match made {
                Ok(NewStep::Made(new)) => batch.push((step, *new)),
                Ok(NewStep::Refused(why)) => {
                    begun.refused.get_or_insert((step, why));
                }
                Err(error) => {
                    begun.trouble.get_or_insert(error);
                }
            }
        }
        if begun.refused.is_some() || begun.trouble.is_some() || batch.is_empty() {
            // None of them, rather than some for nothing.
            return begun;
        }
        self.create_spread(batch, &mut begun).await;
        begun
    }

    /// The jobs of these steps. One that several steps have is read once, unless each may have it as another run had it.
    async fn step_jobs(self, steps: &[usize]) -> Result<Vec<Option<StoredJob>>, StoreError> {
        let mut known: HashMap<&JobId, Option<StoredJob>> = HashMap::new();
        let mut jobs = Vec::with_capacity(steps.len());
        for step in steps {
            let job_id = &self.plan.steps[*step].job_id;
            let found = match known.get(job_id).filter(|_| self.task.run.redo.is_none()) {
                Some(found) => found.clone(),
                None => self.step_job(*step).await?,
            };
            known.insert(job_id, found.clone());
            jobs.push(found);
        }
        Ok(jobs)
    }

    /// The record of a step whose job was `found`, what it uses and its message.
    async fn new_step(
        self,
        step: usize,
        found: Option<StoredJob>,
        work: Option<WorkPlace>,
    ) -> Result<NewStep, StoreError> {
        let engine = self.engine;
        let (mut run, job, worker) = match Box::pin(self.planned_child(step, found)).await? {
            Planned::Step { run, job, worker } => (*run, job, worker),
            Planned::Refused(why) => return Ok(NewStep::Refused(why)),
        };
        run.work = work.map(WorkPlace::begins);
        let realm = engine.site.ports.jobs.realm().await?;
        let AtDispatch { rendered, anew, .. } = engine.jobs().render_now(&run, &job, worker, &realm).await?;
        let spec = RunSpec { job: job.document.clone(), rendered, anew, asked: None };
        let wake = first_wake(&mut run, engine.now());
        let message = Message::about(&engine.site.realm, &run);
        Ok(NewStep::Made(Box::new((
            NewRun { run, spec },
            wake.map(|wake| Outgoing { message, at: wake.at }),
        ))))
    }

    async fn create_spread(self, batch: Vec<(usize, Making)>, begun: &mut BegunSteps) {
        let parent = Parent { cancel: self.cancel, lease: self.lease };
        if self.cancel.is_stopped().is_some() || !parent.may_begin(self.engine.now()) {
            // Another has the parent now, and makes its steps; or there are to be no more.
            return;
        }
        let (steps, making): (Vec<usize>, Vec<_>) = batch.into_iter().unzip();
        let created = match self.engine.site.ports.runs.create(&making).await {
            Ok(created) => created,
            Err(error) => {
                begun.trouble = Some(error);
                return;
            }
        };
        let mut unsent = Vec::new();
        for ((step, (new, message)), created) in steps.into_iter().zip(making).zip(created) {
            if let Some(error) = created.failed {
                begun.trouble.get_or_insert(error);
            } else if let Some(why) = created.refused {
                begun.refused.get_or_insert((step, Why::plain(why)));
            } else {
                unsent.extend(message.filter(|_| created.existing.is_none() && !created.sent));
                begun.there.push((step, created.existing.map_or(new.run, |run| *run)));
            }
        }
        // The sweeper sends what is not sent now.
        self.engine.ledger().send_all(unsent).await;
    }
}
