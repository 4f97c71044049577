//! From a message to a run at rest: look, claim, run, finish, see to what is left.

use std::path::PathBuf;
use std::time::Duration;

use futures_util::future::BoxFuture;

use super::Engine;
use super::admission::Admitted;
use super::attempt::{Attempted, failure};
use super::files::{SharedFiles, Way};
use super::lease::Parent;
use super::steps::Stepped;
use super::task::{Invocation, Task};
use super::verdict::StartVerdict;
use crate::Timestamp;
use crate::duration::Span;
use crate::engine::lava::adopt::{Adopted, adopt, was_turned_away};
use crate::engine::ledger::apply::{ApplyError, rest};
use crate::ids::{RunKey, WorkerName};
use crate::job_type::{JobError, Rendered, Runner};
use crate::message::Message;
use crate::permits::refusal;
use crate::ports::{Delivery, StoreError};
use crate::run::{Input, Look, Outcome, Part, Run, Status, WorkPlace, Worker, look_on};
use crate::spec::{ActionsWhen, JobSpec, Overlap, RealmSpec, RunSpec};

/// The fate of a message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Handled {
    /// It is dealt with.
    Delete,
    /// It is to come again after a while: something could not be reached.
    Again(Duration),
    /// It can never be dealt with: to the dead letters, for this reason.
    Bury(String),
}

/// How long a run stays away that could not begin because something could not be reached.
const PAUSE: Span = Span::from_secs(10);
/// How long a message stays away when something could not be reached, at most.
const MAX_BACKOFF: Duration = Duration::from_secs(60);

impl Engine {
    /// Does what a message calls for. `ends` is the time at which this invocation must have ended,
    /// if it has one.
    pub async fn handle(&self, body: &str, receives: u32, ends: Option<Timestamp>) -> Handled {
        self.handle_with(body, receives, ends, None).await
    }

    /// The same for a message as it was handed out. Where the record of its run came with it, the engine goes by that: it was
    /// read after the message was sent, and each write is on the condition that the record is still the one that was read.
    pub async fn handle_delivery(&self, delivery: &mut Delivery, ends: Option<Timestamp>) -> Handled {
        let found = delivery.found.take();
        self.handle_with(&delivery.body, delivery.receives, ends, found).await
    }

    async fn handle_with(
        &self,
        body: &str,
        receives: u32,
        ends: Option<Timestamp>,
        found: Option<Box<(Run, RunSpec)>>,
    ) -> Handled {
        let message = match Message::read(body) {
            Ok(message) => message,
            Err(error) => return Handled::Bury(format!("the body is not a dispatch message: {error}")),
        };
        if message.realm != self.site.realm {
            return Handled::Bury(format!(
                "the message is for realm {}, not {}",
                message.realm, self.site.realm
            ));
        }
        if self.halt.is_resting() {
            return Handled::Again(Duration::ZERO);
        }
        let (run_id, job_id) = (message.run_id, message.job_id.clone());
        match self.handle_message(message, ends, found).await {
            Ok(handled) => handled,
            Err(error) => {
                tracing::error!(%run_id, %job_id, %error, receives, "a message goes back to its queue");
                Handled::Again(Duration::from_secs(1 << receives.min(6)).min(MAX_BACKOFF))
            }
        }
    }

    async fn handle_message(
        &self,
        message: Message,
        ends: Option<Timestamp>,
        found: Option<Box<(Run, RunSpec)>>,
    ) -> Result<Handled, StoreError> {
        let key = message.key();
        let found = match found.filter(|found| found.0.key == key) {
            Some(found) => Some(*found),
            None => self.site.ports.runs.load_with_spec(&key).await?,
        };
        let (run, spec) = match found {
            // Of a message that was put back: its job may be there now.
            Some((run, _)) if was_turned_away(&run) && !message.is_reminder() => {
                if let Some(reason) = self.elsewhere(&message).await? {
                    return Ok(Handled::Bury(reason));
                }
                match Box::pin(adopt(self.ledger(), self.jobs(), &message, Some(run))).await? {
                    Adopted::Run(run, spec) => (run, spec),
                    Adopted::Refused(reason) => return Ok(Handled::Bury(reason)),
                }
            }
            Some(found) => found,
            None if message.is_reminder() => {
                let (run_id, job_id) = (message.run_id, &message.job_id);
                tracing::warn!(%run_id, %job_id, "the record of a run is gone before its time; it is not run");
                return Ok(Handled::Delete);
            }
            None => match Box::pin(adopt(self.ledger(), self.jobs(), &message, None)).await? {
                Adopted::Run(run, spec) => (run, spec),
                Adopted::Refused(reason) => return Ok(Handled::Bury(reason)),
            },
        };
        let this = self.site.ports.random.uuid(self.now());
        let owner = Worker(format!("{}/{}", self.site.hostname, this.simple()));
        // A name of this invocation's own: steps that run apart must not clear up each other's files.
        let name = format!("{}-{}", run.run_id, this.simple());
        let work_dir = self.site.ports.workspaces.open(&self.site.scratch, &name, self.shared_dir(&run));
        if self.site.alone && self.ledger().live.has(&run) {
            return Ok(Handled::Delete);
        }
        let _alive = self.ledger().live.begin(owner.clone());
        let (began, halt) = (self.now(), self.halt.clone());
        let files = SharedFiles::of(&run, &owner, self.way_of_files(&run));
        let invocation = Invocation { owner, began, ends, work_dir, files, halt, depth: key.depth() };
        let run = Box::pin(self.run_to_rest(run, &spec, &invocation, None)).await?;
        if run.is_done() && !run.is_child() {
            invocation.work_dir.remove_shared();
            self.housekeeper.advance_after(&run).await;
        }
        Ok(Handled::Delete)
    }

    /// Why a message that was put back is not for this worker: its job is there now, and for another one. It is kept, so that it
    /// can be put back once more.
    async fn elsewhere(&self, message: &Message) -> Result<Option<String>, StoreError> {
        let Some(Ok(job)) = self.jobs().stored(&message.job_id).await? else { return Ok(None) };
        let worker = &job.fields.worker;
        Ok((*worker != self.worker).then(|| sent_elsewhere(&self.worker, worker)))
    }

    /// Where the steps of a run share their directory, beyond this invocation: all steps below a run that was
    /// dispatched share one, whichever invocation they run in. A job that runs by itself has its own each time.
    fn shared_dir(&self, run: &Run) -> Option<PathBuf> {
        let place = self.site.shared.as_deref()?;
        self.has_steps(run).then(|| place.join(run.run_id.to_string()))
    }

    /// How files that the steps of a run share get from one invocation to another.
    fn way_of_files(&self, run: &Run) -> Way {
        match (self.has_steps(run), &self.site.shared) {
            (false, _) => Way::None,
            (true, Some(_)) => Way::Folder,
            (true, None) => Way::Carried,
        }
    }

    /// Whether a run has steps, or is one.
    fn has_steps(&self, run: &Run) -> bool {
        run.is_child() || self.is_composite(&run.job_type)
    }

    /// By when the files of a run must have been kept: the next record must be written while the claim holds.
    fn keep_until(&self, invocation: &Invocation) -> Timestamp {
        let now = self.now();
        invocation.ends.map_or(now + self.limits.lease.delta() / 4, |ends| now + (ends - now) / 2)
    }

    /// Where the files are that the steps of a run share, for a record that is about to be written.
    pub(super) async fn work_place(
        &self,
        run: &Run,
        invocation: &Invocation,
        keep: bool,
    ) -> Result<Option<WorkPlace>, StoreError> {
        let realm = self.site.ports.jobs.realm().await?;
        let keep = keep.then(|| self.keep_until(invocation));
        Ok(invocation.files.place(&*invocation.work_dir, &self.site, &realm, run, keep).await)
    }

    /// Whether jobs of a type run step by step.
    pub(super) fn is_composite(&self, job_type: &str) -> bool {
        self.registry.job_type(job_type).is_some_and(|found| found.planner().is_some())
    }

    /// Takes a run as far as it goes now: to its end, or to where it waits. Gives its record as it
    /// then stands. `parent` is given for a child that runs in its parent's invocation, which sees
    /// its end unless the parent is lost meanwhile.
    pub(super) async fn run_to_rest(
        &self,
        mut run: Run,
        spec: &RunSpec,
        invocation: &Invocation,
        parent: Option<Parent<'_>>,
    ) -> Result<Run, StoreError> {
        if let Some(reason) = run.gone(Part::Spec) {
            return Box::pin(self.end_without_spec(run, reason, invocation, parent)).await;
        }
        let job = match self.jobs().pinned_job(&run.job_id, &spec.job) {
            Ok(job) => job,
            Err(error) => {
                let closing = Closing::quietly(Status::Rejected, error.to_string());
                return self.close(run, closing, invocation, parent).await;
            }
        };
        if job.fields.worker != run.worker {
            // The spec is what was signed, where a realm signs them.
            let reason =
                format!("its spec is for worker {}, its record for worker {}", job.fields.worker, run.worker);
            return self.close(run, Closing::quietly(Status::Rejected, reason), invocation, parent).await;
        }
        let composite = self.is_composite(&job.fields.r#type);
        let task = |run| Task { run, spec, job: &job, invocation, parent };
        loop {
            match look_on(&run, self.host.as_ref(), composite, self.now()) {
                Look::Drop(_) => return Ok(run),
                Look::Close(status, reason) => {
                    if composite && run.ts_start.is_some() {
                        // Its steps must not outlive it.
                        self.cancel_children(&run).await?;
                    }
                    return self.close_task(task(run), Closing::of(&job, status, reason)).await;
                }
                Look::Duties => match self.ledger().apply(run, self.claim_duties(invocation)).await {
                    Ok(claimed) => run = self.see_to_duties(claimed, &job, invocation).await?,
                    Err(error) => return rest(error),
                },
                Look::Start { first } => {
                    if self.worker != run.worker {
                        let reason = sent_elsewhere(&self.worker, &run.worker);
                        let closing = Closing::quietly(Status::Rejected, reason);
                        return self.close(run, closing, invocation, parent).await;
                    }
                    let claimed = match Box::pin(self.start(task(run), first)).await? {
                        Started::Claimed(claimed) => claimed,
                        Started::Rest(run) => return Ok(run),
                    };
                    run = Box::pin(self.run_claimed(task(claimed))).await?;
                }
            }
            let now = self.now();
            let is_free = run.lease.is_none() && run.duties.is_none();
            let again = run.status == Status::Retrying && is_free && run.not_before <= now;
            if parent.is_none() || !again || invocation.is_late(now) {
                return Ok(run);
            }
        }
    }

    /// Fails a run whose pinned spec is missing: neither its job nor its actions are known.
    async fn end_without_spec(
        &self,
        run: Run,
        reason: String,
        invocation: &Invocation,
        parent: Option<Parent<'_>>,
    ) -> Result<Run, StoreError> {
        match look_on(&run, self.host.as_ref(), false, self.now()) {
            Look::Drop(_) => Ok(run),
            Look::Duties => match self.ledger().apply(run, self.claim_duties(invocation)).await {
                Ok(claimed) => self.tell_and_clear(claimed, invocation).await,
                Err(error) => rest(error),
            },
            Look::Close(..) | Look::Start { .. } => {
                self.cancel_begun(&run).await?;
                self.close(run, Closing::quietly(Status::Failed, reason), invocation, parent).await
            }
        }
    }

    /// Ends a run that can never go on as failed, and stops the children that it started: their results would be lost.
    async fn give_up(&self, task: Task<'_>, reason: String) -> Result<Run, StoreError> {
        self.cancel_begun(&task.run).await?;
        let closing = Closing::of(task.job, Status::Failed, reason);
        self.close_task(task, closing).await
    }

    /// Stops what a run has started, if it has started anything.
    async fn cancel_begun(&self, run: &Run) -> Result<(), StoreError> {
        if run.ts_start.is_some() { self.cancel_children(run).await } else { Ok(()) }
    }

    fn claim_duties(&self, invocation: &Invocation) -> Input {
        let until = invocation.lease_until(self.now(), self.limits.lease);
        Input::ClaimDuties { worker: invocation.owner.clone(), until }
    }

    /// Claims a run, after checking whether it may start at all.
    async fn start(&self, task: Task<'_>, first: bool) -> Result<Started, StoreError> {
        if task.parent.is_some_and(|parent| !parent.may_begin(self.now())) {
            return Ok(Started::Rest(task.run));
        }
        if task.parent.is_none() && !self.is_wanted(&task.run).await? {
            let reason = "its parent went on without it".to_owned();
            let closing = self.close_task(task, Closing::quietly(Status::Cancelled, reason));
            return closing.await.map(Started::Rest);
        }
        if first && let Some(until) = self.pauses.of(&self.site, &task.run).await? {
            // Its message goes: it is looked at again when it is resumed, or due.
            return self
                .ledger()
                .apply(task.run, Input::Paused { until })
                .await
                .or_else(rest)
                .map(Started::Rest);
        }
        if first && let Some(reason) = refusal(&task.run, self.is_composite(&task.run.job_type)) {
            let closing = Closing::of(task.job, Status::Failed, reason);
            return self.close_task(task, closing).await.map(Started::Rest);
        }
        if let Some(left) = self.ledger().pass_over_for_newer(&task.run).await? {
            return Ok(Started::Rest(left));
        }
        let verdict =
            if first { self.verdict(&task.run, task.job).await? } else { StartVerdict::Start(None) };
        let event_log = match verdict {
            StartVerdict::Start(event_log) => event_log,
            StartVerdict::End(status, reason) => {
                return self.close_task(task, Closing::quietly(status, reason)).await.map(Started::Rest);
            }
            StartVerdict::TooLate(reason) => {
                let closing = Closing::of(task.job, Status::Rejected, reason);
                return self.close_task(task, closing).await.map(Started::Rest);
            }
        };
        let gate = task.run.gate().filter(|_| first).cloned();
        let claimed = match gate {
            Some(gate) => match Box::pin(self.admit(&task, &gate, event_log)).await {
                Ok(Admitted::Claimed(run)) => Ok(run),
                Ok(Admitted::Waits(run)) => return Ok(Started::Rest(run)),
                Err(error) => Err(error),
            },
            None => self.ledger().apply(task.run.clone(), self.claim(task.invocation, event_log)).await,
        };
        match claimed {
            Ok(claimed) => Ok(Started::Claimed(claimed)),
            Err(ApplyError::Locked(by)) => Box::pin(self.give_way(task, by)).await.map(Started::Rest),
            Err(ApplyError::Unrecordable(why)) => {
                Box::pin(self.end_unrecordable(task, &why)).await.map(Started::Rest)
            }
            Err(error) => rest(error).map(Started::Rest),
        }
    }

    /// Whether a run that starts apart from its parent is still a step of it: an invocation that
    /// stood still may have made it after its parent went on.
    async fn is_wanted(&self, run: &Run) -> Result<bool, StoreError> {
        let (Some(parent), Some(step)) = (run.key.parent(), run.key.step()) else { return Ok(true) };
        let parent = self.site.ports.runs.peek(&parent).await?;
        Ok(parent.is_some_and(|parent| {
            !parent.status.is_end() && parent.key.child(parent.attempt, step) == run.key
        }))
    }

    /// The input that claims a run for this invocation.
    pub(super) fn claim(&self, invocation: &Invocation, event_log: Option<serde_json::Value>) -> Input {
        Input::Claim {
            worker: invocation.owner.clone(),
            hostname: self.site.hostname.clone(),
            until: invocation.lease_until(self.now(), self.limits.lease),
            event_log,
            admit: None,
        }
    }

    /// The next step of a run whose job is already running.
    async fn give_way(&self, task: Task<'_>, by: RunKey) -> Result<Run, StoreError> {
        let run = &task.run;
        if run.key.is_below(&by) {
            // That run waits for this one: to wait for it would be for ever.
            let reason = format!(
                "job {} is a step of itself: run {by}, which stands above this step, holds the lock of the job",
                run.job_id
            );
            let closing = Closing::of(task.job, Status::Failed, reason);
            return self.close_task(task, closing).await;
        }
        if run.overlap == Overlap::Skip {
            let reason = format!("run {by} of the same job is not done");
            return self.close_task(task, Closing::quietly(Status::Skipped, reason)).await;
        }
        if run.overlap.newest_wins()
            && let Some(passed_over) = Box::pin(self.ledger().pass_over_for_holder(run, &by)).await?
        {
            return Ok(passed_over);
        }
        match self.ledger().apply(run.clone(), Input::Hold { by: by.clone() }).await {
            Ok(held) if held.overlap.newest_wins() => Ok(Box::pin(self.ledger().take_turn(held, &by)).await),
            Ok(held) => Ok(self.ledger().look_back(held, &by).await),
            Err(ApplyError::Unrecordable(why)) => self.end_unrecordable(task, &why).await,
            Err(error) => rest(error),
        }
    }

    /// Ends a run whose next record the store can never keep: each delivery would fail alike.
    async fn end_unrecordable(&self, task: Task<'_>, why: &str) -> Result<Run, StoreError> {
        self.give_up(task, format!("cannot record the transition: {why}")).await
    }

    /// Runs a claimed attempt to its end and records it.
    pub(super) async fn run_claimed(&self, task: Task<'_>) -> Result<Run, StoreError> {
        let carried_out = match self.site.ports.jobs.realm().await {
            Ok(realm) => {
                Box::pin(self.carry_out(&task, &realm)).await.map(|carried_out| (carried_out, realm))
            }
            Err(error) => Err(error),
        };
        let (CarriedOut { stepped, rendered }, realm) = match carried_out {
            Ok(carried_out) => carried_out,
            Err(error) => {
                return match Box::pin(self.put_back(task, PAUSE, None)).await {
                    Err(removed @ ApplyError::Removed(_)) => rest(removed),
                    _ => Err(error),
                };
            }
        };
        let outcome = match stepped {
            Stepped::Ended(outcome) => outcome,
            Stepped::Rest(run) => return Ok(run),
            Stepped::Halted => return Box::pin(self.put_back(task, Span::ZERO, None)).await.or_else(rest),
            Stepped::Unbegun(error) => {
                let kind = error.host_fault().unwrap_or(&error.message);
                if let Some(count) = self.trouble.count(kind, self.now()) {
                    tracing::error!(job_id = %task.run.job_id, run_id = %task.run.run_id, %error, count, "attempts cannot begin; they are made later and do not count");
                }
                return Box::pin(self.put_back(task, PAUSE, Some(error.message))).await.or_else(rest);
            }
        };
        let Task { run, invocation, parent, job, .. } = &task;
        // Another attempt, and what follows a step that ran apart, may have another invocation.
        let fails = matches!(&outcome, Outcome::Failure { retryable: true, .. });
        let is_retried = fails && run.attempt < run.retry.limit;
        let keep = is_retried || parent.is_none() && run.is_child();
        let keep = keep.then(|| self.keep_until(invocation));
        let mut work = invocation.files.place(&*invocation.work_dir, &self.site, &realm, run, keep).await;
        let is_last = !is_retried && !run.is_child() && !matches!(outcome, Outcome::Success(_));
        if work.is_none() && is_last && self.has_steps(run) {
            work = invocation.files.left(&*invocation.work_dir);
        }
        let input = Input::Finish {
            worker: invocation.owner.clone(),
            epoch: run.epoch,
            outcome,
            actions: self.due_actions(job, &realm),
            // A parent that this invocation lost while it stood still is with another, and waits.
            tell_parent: !parent.is_some_and(|parent| parent.sees(self.now())),
            jitter: self.site.ports.random.unit(),
            rendered,
            work: work.map(Box::new),
        };
        match self.ledger().apply(run.clone(), input).await {
            Ok(finished) => {
                self.measure(&finished, task.job);
                self.see_to_duties(finished, task.job, task.invocation).await
            }
            Err(error) => rest(error),
        }
    }

    /// Makes the attempt, or goes on with it.
    async fn carry_out(&self, task: &Task<'_>, realm: &RealmSpec) -> Result<CarriedOut, StoreError> {
        let (stepped, rendered) = match self.runners.runner(&task.job.fields.r#type) {
            Some(Runner::Leaf(leaf)) => match Box::pin(self.attempt(leaf, task, realm)).await? {
                Attempted::Ended(outcome, rendered) => (Stepped::Ended(outcome), rendered),
                Attempted::Lost => (Stepped::Rest(task.run.clone()), None),
                Attempted::Halted => (Stepped::Halted, None),
                Attempted::Unbegun(error) => (Stepped::Unbegun(error), None),
            },
            Some(Runner::Composite(planner, resolver)) => {
                // Boxed, as steps may have steps: each level costs the stack as little as can be.
                (Box::pin(self.step_through((planner, resolver), task, realm)).await?, None)
            }
            None => {
                let reason = format!("no such job type {:?}", task.job.fields.r#type);
                (Stepped::Ended(failure(JobError::permanent(reason))), None)
            }
        };
        Ok(CarriedOut { stepped, rendered })
    }

    /// Gives up the claim on a run whose attempt could not begin or was stopped with its process, or whose steps could
    /// not go on, because something could not be reached: no worker was lost, and none must be waited for. `fault` is the
    /// host's fault for which it could not begin.
    pub(super) async fn put_back(
        &self,
        task: Task<'_>,
        pause: Span,
        fault: Option<String>,
    ) -> Result<Run, ApplyError> {
        let Task { run, invocation, .. } = task;
        let (worker, epoch) = (invocation.owner.clone(), run.epoch);
        // A place that is not known now was lost with this invocation, for all that the next one knows.
        let work = self.work_place(&run, invocation, true).await.unwrap_or_else(|_| run.work.clone());
        let work = work.map(Box::new);
        let resume = Some(pause);
        let input = Input::Suspend { worker, epoch, resume, ends: None, gathers: None, work, fault };
        let (key, run_id, job_id) = (run.key.clone(), run.run_id, run.job_id.clone());
        self.ledger().apply(run, input).await.inspect_err(|error| {
            if !matches!(error, ApplyError::Removed(_)) {
                tracing::warn!(%run_id, %job_id, %key, %error, "a claim is not given up; it runs out");
            }
        })
    }

    /// Which of the lists `on_success`, `on_retry` and `on_fail` have actions.
    fn due_actions(&self, job: &JobSpec, realm: &RealmSpec) -> [bool; 3] {
        let (own, inherited) = (job.actions(), realm.actions());
        ActionsWhen::ENDS.map(|when| !own.or(&inherited, when).is_empty())
    }

    /// Ends a task's run without running it.
    fn close_task<'a>(
        &'a self,
        task: Task<'a>,
        closing: Closing<'a>,
    ) -> BoxFuture<'a, Result<Run, StoreError>> {
        self.close(task.run, closing, task.invocation, task.parent)
    }

    /// Ends a run without running it.
    ///
    /// Boxed within, as [`Ledger::apply`](crate::engine::ledger::Ledger) is: its caller keeps a pointer on the stack.
    fn close<'a>(
        &'a self,
        run: Run,
        closing: Closing<'a>,
        invocation: &'a Invocation,
        parent: Option<Parent<'a>>,
    ) -> BoxFuture<'a, Result<Run, StoreError>> {
        Box::pin(async move {
            let Closing { status, reason, job } = closing;
            let realm = self.site.ports.jobs.realm().await?;
            let on_fail = job.is_some_and(|job| self.due_actions(job, &realm)[2]);
            let worker = invocation.owner.clone();
            let until = invocation.lease_until(self.now(), self.limits.lease);
            let (epoch, tell_parent) = (run.epoch, parent.is_none());
            let input = Input::Close { epoch, status, reason, on_fail, tell_parent, worker, until };
            match self.ledger().apply(run, input).await {
                Ok(closed) => match job {
                    Some(job) => self.see_to_duties(closed, job, invocation).await,
                    None => self.tell_and_clear(closed, invocation).await,
                },
                Err(error) => rest(error),
            }
        })
    }
}

fn sent_elsewhere(to: &WorkerName, worker: &WorkerName) -> String {
    format!("sent to worker {to}, but its job is for {worker}")
}

/// How a run ends that is not run.
struct Closing<'a> {
    status: Status,
    reason: String,
    /// The job whose `on_fail` actions are due, if any are.
    job: Option<&'a JobSpec>,
}

impl<'a> Closing<'a> {
    /// An end for which the job's `on_fail` actions run, where it is a failure.
    const fn of(job: &'a JobSpec, status: Status, reason: String) -> Self {
        Self { status, reason, job: Some(job) }
    }

    /// An end for which no action runs.
    const fn quietly(status: Status, reason: String) -> Self {
        Self { status, reason, job: None }
    }
}

/// The outcome of carrying out a claimed run.
struct CarriedOut {
    stepped: Stepped,
    /// Payload and parameters that were rendered for this attempt alone.
    rendered: Option<Rendered>,
}

enum Started {
    Claimed(Run),
    Rest(Run),
}
