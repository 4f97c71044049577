//! Makes the children of a composite run, each once, and runs them within the parent's invocation.

use std::sync::Arc;

use futures_util::future::BoxFuture;

use super::apply::{ApplyError, rest};
use super::attempt::child_lineage;
use super::dispatch::{AtDispatch, with_globals};
use super::steps::Place;
use super::verdict::Verdict;
use super::{Above, Engine};
use crate::duration::Span;
use crate::globals::merge_globals;
use crate::job_type::Stop;
use crate::message::Message;
use crate::ports::{Outgoing, StoreError};
use crate::run::{Input, NewRun, Run, Status, Why, first_wake};
use crate::spec::{JobSpec, Overlap, RunSpec};

/// How often a child is tried to be made when the store does not answer.
const MAX_TRIES: u32 = 4;
/// How many levels of steps below a run are run in its invocation. Each costs the stack some 100 KiB
/// (and three times as much in a debug build), and a thread of the async runtime has 2 MiB;
/// deeper ones have an invocation of their own.
const INLINE_DEPTH: usize = 2;
/// The pause between.
const PAUSE: Span = Span::from_secs(1);

impl<'a> Place<'a> {
    /// Makes a child and takes it as far as it goes in this invocation. Boxed, because a child may
    /// have children.
    pub(super) fn run_child(self, step: usize) -> BoxFuture<'a, Result<Result<Run, Why>, StoreError>> {
        Box::pin(self.make_child(step))
    }

    async fn make_child(self, step: usize) -> Result<Result<Run, Why>, StoreError> {
        let Place { engine, run: parent, .. } = self;
        let planned = &self.plan.steps[step];
        let job_ids = [planned.job_id.clone()];
        let job = match engine.site.ports.jobs.jobs(&job_ids).await?.pop().flatten() {
            None => return Ok(Err(Why::worded("no such job", "No such job"))),
            Some(Err(error)) => return Ok(Err(Why::plain(format!("its spec is invalid: {error}")))),
            Some(Ok(job)) => job,
        };
        if job.fields.worker != parent.worker {
            let (theirs, ours) = (&job.fields.worker, &parent.worker);
            let reason = format!("it is for worker {theirs}, not {ours}");
            let error = format!("Worker mismatch: Expected {ours} but got {theirs}");
            return Ok(Err(Why::worded(reason, error)));
        }
        let warnings = match engine.dispatcher.check_once(&job) {
            Ok(warnings) => warnings,
            Err(error) => return Ok(Err(Why::plain(error.to_string()))),
        };
        let none = serde_json::Map::new();
        let globals = merge_globals(
            job.fields.globals.as_ref().unwrap_or(&none),
            self.job.fields.globals.as_ref().unwrap_or(&none),
            &planned.globals,
        );
        let job = with_globals(job, globals);
        let step = u32::try_from(step).unwrap_or(u32::MAX);
        let key = parent.key.child(parent.attempt, step);
        let mut run = engine.dispatcher.record(&job, key, parent.run_id, engine.now(), engine.now());
        run.warn(&warnings, engine.now());
        run.ts_dispatch = parent.ts_dispatch;
        run.lineage = Some(child_lineage(parent));
        run.scheduled = parent.scheduled.clone();
        run.host.clone_from(&parent.host);
        run.foreach_index = planned.foreach_index;
        // One that is to go on in another invocation finds the files there.
        let keep = run.overlap != Overlap::Allow || self.is_deep(&run);
        run.work = engine.work_place(parent, self.invocation, keep).await?;
        if keep && self.plan.width > 1 {
            self.invocation.files.kept_while_others_run();
        }
        Box::pin(self.begin_child(run, job)).await
    }

    async fn begin_child(self, run: Run, job: Arc<JobSpec>) -> Result<Result<Run, Why>, StoreError> {
        let Place { engine, invocation, cancel, grip, .. } = self;
        let above = Above { cancel, grip };
        let realm = engine.site.ports.jobs.realm().await?;
        let AtDispatch { rendered, anew, .. } = engine.dispatcher.render_now(&run, &job, &realm).await?;
        let spec = RunSpec { job: job.document.clone(), rendered, anew };
        // A child that must have its job's lock is made first and claimed then, as any other run.
        let first = match run.overlap {
            Overlap::Allow => match engine.verdict(&run, &job).await? {
                Verdict::Start(event_log) => Some(engine.claim(invocation, event_log)),
                Verdict::End(status, reason) => Some(self.end_unstarted(run.epoch, status, reason)),
                Verdict::TooLate(reason) => Some(self.end_unstarted(run.epoch, Status::Rejected, reason)),
            },
            Overlap::Skip | Overlap::Queue | Overlap::Latest | Overlap::CancelRunning => None,
        };
        if !above.may_begin(engine.now()) {
            // Whoever has the parent now makes its children.
            return Ok(Ok(run));
        }
        if self.is_deep(&run) {
            return self.leave_to_another(NewRun { run, spec }).await;
        }
        let (run, spec) = match self.create_begun(NewRun { run, spec }, first).await? {
            Ok(made) => made,
            Err(why) => return Ok(Err(Why::plain(why))),
        };
        if !run.is_held(&invocation.owner, run.epoch) {
            return Box::pin(engine.run_to_rest(run, &spec, invocation, Some(above))).await.map(Ok);
        }
        if matches!(cancel.is_stopped(), Some(Stop::Cancelled | Stop::TimedOut(_))) {
            // The others were told while this one was not there yet.
            let _ = engine.dispatcher.cancel(&run.key).await;
        }
        let run = Box::pin(engine.run_claimed(run, &spec, &job, invocation, Some(above))).await?;
        if run.status == Status::Retrying && run.lease.is_none() && run.not_before <= engine.now() {
            return Box::pin(engine.run_to_rest(run, &spec, invocation, Some(above))).await.map(Ok);
        }
        Ok(Ok(run))
    }

    /// Makes a child that begins at once, with less of its first entry where the store cannot keep it.
    async fn create_begun(
        self,
        new: NewRun,
        mut first: Option<Input>,
    ) -> Result<Result<(Run, RunSpec), String>, StoreError> {
        loop {
            let mut begun = new.clone();
            if let Some(first) = first.clone() {
                begun.run = self.engine.dispatcher.decide_new(begun.run, first);
            }
            let why = match self.create(begun, None).await? {
                Ok(made) => return Ok(Ok(made)),
                Err(why) => why,
            };
            first = first.and_then(|first| first.without_what_can_be_left_out(&why));
            if first.is_none() {
                return Ok(Err(why));
            }
        }
    }

    /// Whether the child has steps of its own, too many levels below the run that this invocation
    /// began with.
    fn is_deep(self, run: &Run) -> bool {
        self.engine.is_composite(&run.job_type) && run.key.depth() > self.invocation.depth + INLINE_DEPTH
    }

    /// Makes a child that runs in an invocation of its own, and reports when it has ended.
    async fn leave_to_another(self, mut new: NewRun) -> Result<Result<Run, Why>, StoreError> {
        let wake = first_wake(&mut new.run, self.engine.now());
        let message = Message::about(&self.engine.site.realm, &new.run);
        let outgoing = wake.map(|wake| Outgoing { message, at: wake.at });
        Ok(self.create(new, outgoing).await?.map(|(run, _)| run).map_err(Why::plain))
    }

    /// Makes the record, or finds the one that was made before: its key follows from its place. The
    /// inner error says why there can never be one.
    async fn create(
        self,
        new: NewRun,
        message: Option<Outgoing>,
    ) -> Result<Result<(Run, RunSpec), String>, StoreError> {
        let ports = &self.engine.site.ports;
        let making = [(new, message)];
        let mut tries = 0;
        let created = loop {
            tries += 1;
            match ports.runs.create(&making).await {
                Ok(created) => break created.into_iter().next().unwrap_or_default(),
                Err(error) if tries >= MAX_TRIES => return Err(error),
                Err(_) => ports.clock.sleep_until(self.engine.now() + PAUSE.delta()).await,
            }
        };
        let [(new, message)] = making;
        if let Some(why) = created.refused {
            return Ok(Err(why));
        }
        if let Some(error) = created.failed {
            return Err(error);
        }
        if let Some(outgoing) = message.filter(|_| created.is_unsent()) {
            self.engine.dispatcher.send_message(outgoing).await;
        }
        if created.existing.is_none() {
            return Ok(Ok((new.run, new.spec)));
        }
        let found = ports.runs.load_with_spec(&new.run.key).await?;
        let gone = || StoreError::new(format!("the record of run {} is gone", new.run.key));
        found.map(Ok).ok_or_else(gone)
    }

    /// The input that ends a child which may not start.
    fn end_unstarted(self, epoch: u64, status: Status, reason: String) -> Input {
        Input::Close {
            epoch,
            status,
            reason,
            on_fail: false,
            tell_parent: false,
            worker: self.invocation.owner.clone(),
            until: self.invocation.lease_until(self.engine.now(), self.engine.limits.lease),
        }
    }
}

impl Engine {
    /// Asks all children of a run's attempt to stop.
    pub(super) async fn cancel_children(&self, run: &Run) -> Result<(), StoreError> {
        for child in self.site.ports.runs.children(&run.key, run.attempt).await? {
            if !child.status.is_end() {
                match self.dispatcher.apply(child, Input::Cancel).await {
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
