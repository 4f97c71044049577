//! Makes the children of a composite run, each once, and runs them within the parent's invocation.

use std::sync::Arc;

use futures_util::future::BoxFuture;
use futures_util::stream::{self, StreamExt};

use super::Engine;
use super::attempt::child_lineage;
use super::lease::Parent;
use super::steps::{Child, Place};
use super::task::Task;
use super::verdict::StartVerdict;
use crate::duration::Span;
use crate::engine::fresh::record;
use crate::engine::jobs::{Checked, with_globals};
use crate::engine::ledger::apply::{ApplyError, rest, unfit};
use crate::engine::rendered::AtDispatch;
use crate::globals::merge_globals;
use crate::ids::JobId;
use crate::job_type::{StepRedo, Stop};
use crate::message::Message;
use crate::permits::Gate;
use crate::ports::{Outgoing, StoreError, StoredJob};
use crate::run::{Input, NewRun, Redo, Run, SpecOf, Status, Why, WorkPlace, first_wake};
use crate::spec::{JobSpec, Overlap, RunSpec, WorkerKind};

/// How often a child is tried to be made when the store does not answer.
const MAX_TRIES: u32 = 4;
/// How many levels of steps below a run are run in its invocation. Each costs the stack some 100 KiB
/// (and three times as much in a debug build), and a thread of the async runtime has 2 MiB;
/// deeper ones have an invocation of their own.
const INLINE_DEPTH: usize = 2;
/// Most children that are asked to stop at the same time.
const STOPPED_AT_ONCE: usize = 16;
/// The pause between.
const PAUSE: Span = Span::from_secs(1);

/// The outcome of making the record of a step.
#[expect(clippy::large_enum_variant, reason = "one at a time, and taken apart at once")]
enum Made {
    /// It is there, with what it uses.
    Run(Run, RunSpec),
    /// There can never be one, for this reason.
    Refused(String),
}

/// The record of a step that is not there yet.
pub(super) enum Planned {
    /// It may be made.
    Step {
        /// Its record.
        run: Box<Run>,
        /// Its job.
        job: Arc<JobSpec>,
        /// The kind of worker that runs it.
        worker: WorkerKind,
    },
    /// There can be none.
    Refused(Why),
}

impl<'a> Place<'a> {
    /// Makes a child and takes it as far as it goes in this invocation. Boxed, because a child may
    /// have children.
    pub(super) fn run_child(self, step: usize) -> BoxFuture<'a, Result<Child, StoreError>> {
        Box::pin(self.make_child(step))
    }

    async fn make_child(self, step: usize) -> Result<Child, StoreError> {
        let found = self.step_job(step).await?;
        match Box::pin(self.planned_child(step, found)).await? {
            Planned::Step { mut run, job, worker } => {
                // One that is to go on in another invocation finds the files there.
                let keep = must_wait(&run) || self.is_deep(&run);
                let Place { engine, task, .. } = self;
                let work = engine.work_place(&task.run, task.invocation, keep).await?;
                run.work = work.map(WorkPlace::begins);
                Box::pin(self.begin_child(*run, job, worker)).await
            }
            Planned::Refused(why) => Ok(Child::Refused(why)),
        }
    }

    /// The job of a step, if there is one.
    pub(super) async fn step_job(self, step: usize) -> Result<Option<StoredJob>, StoreError> {
        self.stored(&self.plan.steps[step].job_id, self.redo_of(step).as_ref()).await
    }

    /// The record of a step that is not there yet, whose job was `found`, save for the place of its files.
    pub(super) async fn planned_child(
        self,
        step: usize,
        found: Option<StoredJob>,
    ) -> Result<Planned, StoreError> {
        let Place { engine, task, .. } = self;
        let parent = &task.run;
        let planned = &self.plan.steps[step];
        let redo = self.redo_of(step);
        let job = match found {
            None => return Ok(Planned::Refused(Why::worded("no such job", "No such job"))),
            Some(Err(error)) => {
                return Ok(Planned::Refused(Why::plain(format!("its spec is invalid: {error}"))));
            }
            Some(Ok(job)) => job,
        };
        if job.fields.worker != parent.worker {
            let (theirs, ours) = (&job.fields.worker, &parent.worker);
            let reason = format!("it is for worker {theirs}, not {ours}");
            let error = format!("Worker mismatch: Expected {ours} but got {theirs}");
            return Ok(Planned::Refused(Why::worded(reason, error)));
        }
        let Checked { warnings, worker, .. } = match engine.jobs().check_once(&job) {
            Ok(checked) => checked,
            Err(error) => return Ok(Planned::Refused(Why::plain(error.to_string()))),
        };
        let none = serde_json::Map::new();
        let globals = merge_globals(
            job.fields.globals.as_ref().unwrap_or(&none),
            task.job.fields.globals.as_ref().unwrap_or(&none),
            &planned.globals,
        );
        let job = with_globals(job, globals);
        let step = u32::try_from(step).unwrap_or(u32::MAX);
        let key = parent.key.child(parent.attempt, step);
        let keep = engine.site.settings.event_ttl.longest();
        let mut run = record(&job, key, parent.run_id, engine.now(), engine.now(), keep);
        run.warn(&warnings, engine.now());
        run.ts_dispatch = parent.ts_dispatch;
        run.lineage = Some(child_lineage(parent));
        run.scheduled = parent.scheduled.clone();
        run.host.clone_from(&parent.host);
        run.foreach_index = planned.foreach_index;
        run.redo = redo.map(Box::new);
        if job.fields.pool.is_some() || job.fields.concurrency.is_some() {
            let realm = engine.site.ports.jobs.realm().await?;
            run.permit = engine.jobs().permit(&run, &job, &realm).await?;
        }
        run.below =
            parent.gate().filter(|gate| matches!(gate, Gate::Key(_))).or(parent.below.as_ref()).cloned();
        Ok(Planned::Step { run: Box::new(run), job, worker })
    }

    /// The step that one does again, and how, where its parent does a run again.
    fn redo_of(self, step: usize) -> Option<Redo> {
        let spec = self.task.run.redo.as_ref()?.spec;
        match self.redo.get(step)? {
            StepRedo::Again(Some((of, from))) => Some(Redo::of(of.clone(), from.clone(), spec)),
            _ => None,
        }
    }

    /// The job of a step: as it is stored, or as the step had it that this one does again.
    async fn stored(self, job_id: &JobId, redo: Option<&Redo>) -> Result<Option<StoredJob>, StoreError> {
        let engine = self.engine;
        if let Some(redo) = redo.filter(|redo| redo.spec == SpecOf::Pinned)
            && let Some((_, spec)) = engine.site.ports.runs.load_with_spec(&redo.of).await?
        {
            return Ok(Some(engine.jobs().pinned_job(job_id, &spec.job)));
        }
        engine.jobs().stored(job_id).await
    }

    async fn begin_child(self, run: Run, job: Arc<JobSpec>, worker: WorkerKind) -> Result<Child, StoreError> {
        let Place { engine, task: Task { invocation, .. }, cancel, lease, .. } = self;
        let parent = Parent { cancel, lease };
        let realm = engine.site.ports.jobs.realm().await?;
        let AtDispatch { rendered, anew, .. } = engine.jobs().render_now(&run, &job, worker, &realm).await?;
        let spec = RunSpec { job: job.document.clone(), rendered, anew, asked: None };
        // A child that must have its job's lock, or a permit, is made first and claimed then, as any other run.
        let first = match must_wait(&run) {
            false => match engine.verdict(&run, &job).await? {
                StartVerdict::Start(event_log) => Some(engine.claim(invocation, event_log)),
                StartVerdict::End(status, reason) => Some(self.end_unstarted(run.epoch, status, reason)),
                StartVerdict::TooLate(reason) => {
                    Some(self.end_unstarted(run.epoch, Status::Rejected, reason))
                }
            },
            true => None,
        };
        if !parent.may_begin(engine.now()) {
            // The worker that has the parent now makes its children.
            return Ok(Child::AtRest(run));
        }
        if self.is_deep(&run) {
            return self.leave_to_another(NewRun { run, spec }).await;
        }
        let (run, spec) = match self.create_begun(NewRun { run, spec }, first).await? {
            Made::Run(run, spec) => (run, spec),
            Made::Refused(why) => return Ok(Child::Refused(Why::plain(why))),
        };
        if !run.is_held(&invocation.owner, run.epoch) {
            return Box::pin(engine.run_to_rest(run, &spec, invocation, Some(parent)))
                .await
                .map(Child::AtRest);
        }
        let mut begun = Task { run, spec: &spec, job: &job, invocation, parent: Some(parent) };
        if matches!(cancel.is_stopped(), Some(Stop::Cancelled | Stop::TimedOut(_))) {
            // The others were asked to stop while this one was not there yet.
            begun = engine.tell_begun(begun).await?;
        }
        let run = Box::pin(engine.run_claimed(begun)).await?;
        if run.status == Status::Retrying && run.lease.is_none() && run.not_before <= engine.now() {
            return Box::pin(engine.run_to_rest(run, &spec, invocation, Some(parent)))
                .await
                .map(Child::AtRest);
        }
        Ok(Child::AtRest(run))
    }

    /// Makes a child that begins at once, with less of its first entry where the store cannot keep it.
    async fn create_begun(self, new: NewRun, mut first: Option<Input>) -> Result<Made, StoreError> {
        loop {
            let mut begun = new.clone();
            if let Some(first) = first.clone() {
                let decided = self.engine.ledger().decide_new(&begun.run, first);
                begun.run = decided.map_err(|error| unfit(&begun.run.key, error))?;
            }
            let why = match self.create(begun, None).await? {
                made @ Made::Run(..) => return Ok(made),
                Made::Refused(why) => why,
            };
            first = first.and_then(|first| first.without_what_can_be_left_out(&why));
            if first.is_none() {
                return Ok(Made::Refused(why));
            }
        }
    }

    /// Whether the child has steps of its own, too many levels below the run that this invocation
    /// began with.
    fn is_deep(self, run: &Run) -> bool {
        self.engine.is_composite(&run.job_type) && run.key.depth() > self.task.invocation.depth + INLINE_DEPTH
    }

    /// Makes a child that runs in an invocation of its own, and reports when it has ended.
    async fn leave_to_another(self, mut new: NewRun) -> Result<Child, StoreError> {
        let wake = first_wake(&mut new.run, self.engine.now());
        let message = Message::about(&self.engine.site.realm, &new.run);
        let outgoing = wake.map(|wake| Outgoing { message, at: wake.at });
        Ok(match self.create(new, outgoing).await? {
            Made::Run(run, _) => Child::AtRest(run),
            Made::Refused(why) => Child::Refused(Why::plain(why)),
        })
    }

    /// Makes the record, or finds the one that was made before: its key follows from its place.
    async fn create(self, new: NewRun, message: Option<Outgoing>) -> Result<Made, StoreError> {
        let ports = &self.engine.site.ports;
        let making = [(new, message)];
        let mut tries = 0;
        let created = loop {
            tries += 1;
            match self.engine.ledger().create_one(&making).await {
                Ok(created) => break created,
                Err(error) if tries >= MAX_TRIES => return Err(error),
                Err(_) => ports.clock.sleep_until(self.engine.now() + PAUSE.delta()).await,
            }
        };
        let [(new, message)] = making;
        if let Some(why) = created.refused {
            return Ok(Made::Refused(why));
        }
        if let Some(outgoing) = message.filter(|_| created.is_unsent()) {
            self.engine.ledger().send_message(outgoing).await;
        }
        if created.existing.is_none() {
            return Ok(Made::Run(new.run, new.spec));
        }
        let found = ports.runs.load_with_spec(&new.run.key).await?;
        let gone = || StoreError::missing(format!("the record of run {} is gone", new.run.key));
        found.map(|(run, spec)| Made::Run(run, spec)).ok_or_else(gone)
    }

    /// The input that ends a child which may not start.
    fn end_unstarted(self, epoch: u64, status: Status, reason: String) -> Input {
        Input::Close {
            epoch,
            status,
            reason,
            on_fail: false,
            tell_parent: false,
            worker: self.task.invocation.owner.clone(),
            until: self.task.invocation.lease_until(self.engine.now(), self.engine.limits.lease),
        }
    }
}

/// Whether a run may have to wait before its first start, for others than its parent.
fn must_wait(run: &Run) -> bool {
    run.overlap != Overlap::Allow || run.permit.is_some()
}

impl Engine {
    /// Asks a child to stop that was made while its parent was stopping. Where that cannot be recorded its claim is given
    /// up, so that it does not go on: the next worker of the parent asks it again.
    async fn tell_begun<'a>(&self, begun: Task<'a>) -> Result<Task<'a>, StoreError> {
        let told = match self.ledger().apply(begun.run.clone(), Input::Cancel).await {
            Ok(_) | Err(ApplyError::Illegal(..)) => return Ok(begun),
            Err(error) => rest(error),
        };
        match told {
            Ok(_) => Ok(begun),
            Err(error) => {
                // It logs by itself that it fails: the claim runs out then.
                let _ = self.put_back(begun, PAUSE, None).await;
                Err(error)
            }
        }
    }

    /// Asks all children of a run's attempt to stop.
    pub(super) async fn cancel_children(&self, run: &Run) -> Result<(), StoreError> {
        let children = self.site.ports.runs.children(&run.key, run.attempt).await?;
        let live = children.into_iter().filter(|child| !child.status.is_end());
        let mut stopping = stream::iter(live.map(|child| self.ledger().apply(child, Input::Cancel)))
            .buffer_unordered(STOPPED_AT_ONCE);
        while let Some(stopped) = stopping.next().await {
            match stopped {
                Ok(_) | Err(ApplyError::Illegal(..)) => {}
                Err(error) => {
                    rest(error)?;
                }
            }
        }
        Ok(())
    }
}
