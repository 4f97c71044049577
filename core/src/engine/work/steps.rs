//! Runs a chain, dag or foreach step by step. The children's records are the journal: after a crash, the next
//! worker finds there which steps were done.

use std::collections::{BTreeMap, BTreeSet};

use futures_util::StreamExt;
use futures_util::future::{BoxFuture, Either, select};
use futures_util::stream::FuturesUnordered;

use super::Engine;
use super::attempt::{RunDirectories, RunDispatches, failure};
use super::lease::LeaseGuard;
use super::news::News;
use super::task::Task;
use super::watch::{TimeLimit, Watch};
use crate::Timestamp;
use crate::duration::Span;
use crate::engine::ledger::apply::{ApplyError, NotApplied, log_gone, rest, took_effect};
use crate::engine::limits::MAX_STEPS;
use crate::engine::redo::Redone;
use crate::job_type::MAX_DEPTH;
use crate::job_type::{
    Cancel, ChildState, JobError, Next, Plan, Planner, Rendered, Resolves, StepRedo, Stop, Templates,
};
use crate::ports::{CommitError, StoreError};
use crate::run::{Input, Outcome, Part, Run, Why, WorkPlace};
use crate::secret::{is_any_known, value_holds_secret};
use crate::spec::RealmSpec;

/// Where a composite run got to.
#[expect(clippy::large_enum_variant, reason = "one at a time, and taken apart at once")]
pub(super) enum Stepped {
    /// Its end.
    Ended(Outcome),
    /// It was stopped with its process, and goes on elsewhere.
    Halted,
    /// The attempt could not begin for a fault of the host.
    Unbegun(JobError),
    /// It gave way, or is another worker's now.
    Rest(Run),
}

/// The outcome of a step.
#[expect(clippy::large_enum_variant, reason = "one at a time, and taken apart at once")]
pub(super) enum Child {
    /// Its run is at rest.
    AtRest(Run),
    /// It cannot have a run, for this reason: the whole fails, whatever may fail.
    Refused(Why),
}

/// Whose a run is after it was written.
pub(super) enum Held {
    /// Still this invocation's.
    Ours(Run),
    /// Another's by now.
    Theirs(Run),
}

/// The outcome of making steps that are spread.
#[derive(Default)]
pub(super) struct BegunSteps {
    /// The steps that are there.
    pub(super) there: Vec<(usize, Run)>,
    /// The first step that there can be no run of, and why.
    pub(super) refused: Option<(usize, Why)>,
    /// An error of the store; the states of the steps that are not in `there` are not known.
    pub(super) trouble: Option<StoreError>,
}

/// A step that came to rest, or whose state is not known.
type ChildEnd = (usize, Result<Child, StoreError>);

/// The first event for a walk that waits.
#[expect(clippy::large_enum_variant, reason = "one at a time, and taken apart at once")]
enum Heard {
    Ended(ChildEnd),
    News,
    Stopped,
}

/// One invocation's way through a composite run.
struct Walk<'a> {
    place: Place<'a>,
    states: Vec<ChildState>,
    /// The steps that this invocation has under way.
    here: BTreeSet<usize>,
    /// Where the steps left files that are spread, where some of them come after others.
    left: BTreeMap<usize, WorkPlace>,
    news: &'a News,
    /// When the time of the attempt is up, if it has a limit.
    ends: Option<Timestamp>,
    /// The step that cannot have a run, and why.
    refused: Option<(usize, Why)>,
    told_children: bool,
    /// Why no further step is begun, and the run is left to another invocation.
    trouble: Option<StoreError>,
}

/// The common context of the steps of a composite run in one invocation.
#[derive(Clone, Copy)]
pub(super) struct Place<'a> {
    pub(super) engine: &'a Engine,
    pub(super) task: &'a Task<'a>,
    pub(super) plan: &'a Plan,
    /// The fate of each step, where the run does another again.
    pub(super) redo: &'a [StepRedo],
    pub(super) cancel: &'a Cancel,
    pub(super) lease: &'a LeaseGuard,
}

impl Engine {
    /// Goes on with a claimed composite run.
    pub(super) async fn step_through(
        &self,
        (planner, resolver): (&dyn Planner, Option<&dyn Resolves>),
        task: &Task<'_>,
        realm: &RealmSpec,
    ) -> Result<Stepped, StoreError> {
        let templates = self.templates(&task.run, task.job, realm).await?;
        let (run, rendered) = match Box::pin(self.resolved(resolver, task, realm, &templates)).await? {
            Resolved::Plan(run, rendered) => (run, rendered),
            Resolved::Stepped(stepped) => return Ok(stepped),
        };
        let task = &Task { run, ..*task };
        let Task { run, job, invocation, .. } = task;
        let planned = planner.plan(job, &rendered).and_then(|plan| check_size(&plan, run).map(|()| plan));
        let plan = match planned {
            Ok(plan) => planner.within(plan, &rendered, &self.site.settings),
            Err(error) => return Ok(Stepped::Ended(failure(error))),
        };
        let steps = match self.redo_steps(task, &plan).await? {
            Redone::Steps(steps) => steps,
            Redone::Impossible(why) => return Ok(Stepped::Ended(failure(JobError::permanent(why)))),
        };
        let run = match self.gather(task, &plan).await? {
            Held::Ours(run) => run,
            Held::Theirs(run) => return Ok(Stepped::Rest(run)),
        };
        let task = &Task { run, ..*task };
        let run = &task.run;
        let cancel = Cancel::default();
        if run.cancel {
            cancel.stop(Stop::Cancelled);
        }
        let lease = LeaseGuard::of(run, self.limits.lease, self.site.alone);
        let place = Place { engine: self, task, plan: &plan, redo: &steps, cancel: &cancel, lease: &lease };
        let states = vec![ChildState::Missing; plan.steps.len()];
        // The invocation's own end is not a limit here: the run gives way between two steps. Its timeout
        // counts for the whole attempt, however many invocations that takes.
        let began = run.attempt_start().unwrap_or_else(|| self.now());
        let limit = job.fields.timeout.map(|limit| TimeLimit { ends: began + limit.delta(), limit });
        if let Some(TimeLimit { ends, limit }) = limit
            && self.now() >= ends
        {
            cancel.stop(Stop::TimedOut(limit));
        }
        let ends = limit.map(|limit| limit.ends);
        let news = News::of(run);
        let mut walk = Walk {
            place,
            states,
            here: BTreeSet::new(),
            left: BTreeMap::new(),
            news: &news,
            ends,
            refused: None,
            told_children: false,
            trouble: None,
        };
        let watch =
            Watch { engine: self, run, invocation, lease: &lease, cancel: &cancel, news: Some(&news) };
        match select(std::pin::pin!(walk.go()), std::pin::pin!(watch.stopped(limit))).await {
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
    async fn resolved(
        &self,
        resolver: Option<&dyn Resolves>,
        task: &Task<'_>,
        realm: &RealmSpec,
        templates: &Templates,
    ) -> Result<Resolved, StoreError> {
        let Task { run, spec, job, invocation, .. } = task;
        if let Some(rendered) = &run.rendered {
            return Ok(Resolved::Plan(run.clone(), rendered.clone()));
        }
        if run.gone(Part::Rendered).is_some() {
            let place = run.place_of(Part::Rendered).unwrap_or_default();
            // Looked up anew, the plan might be another, and its steps those of two plans.
            self.cancel_children(run).await?;
            let reason = format!("the plan of its steps is gone from {place}: dispatch the job again");
            return Ok(Resolved::failed(JobError::permanent(reason)));
        }
        let dispatches = RunDispatches::new(self.dispatcher(), run, job, "run");
        let (directories, cancel) = (RunDirectories::new(&self.site, task, realm), Cancel::default());
        let context = self.job_context(&directories, templates, &dispatches, &cancel);
        let looked_up = match (self.rendered(spec, job, templates).await, resolver) {
            (Ok(rendered), Some(resolver)) => {
                resolver.resolve(&context, &rendered).await.map(|resolved| (resolved, rendered))
            }
            (Ok(rendered), None) => Ok((None, rendered)),
            (Err(error), _) => Err(error),
        };
        let looked_up = looked_up.map(|(resolved, rendered)| {
            let keep = resolved.is_some() || spec.rendered_for_good().is_none();
            (resolved.unwrap_or(rendered), keep)
        });
        match looked_up {
            Err(error) if error.host_fault().is_some() => Ok(Resolved::Stepped(Stepped::Unbegun(error))),
            Err(error) => Ok(Resolved::failed(error)),
            Ok((rendered, _)) if holds_secret(&rendered) => {
                let reason = "payload or parameters have a secret, and the plan of steps is kept in the record: let the steps read the secret themselves";
                Ok(Resolved::failed(JobError::permanent(reason)))
            }
            Ok((rendered, false)) => Ok(Resolved::Plan(run.clone(), rendered)),
            Ok((rendered, true)) => {
                let (worker, epoch) = (invocation.owner.clone(), run.epoch);
                let input = Input::Pin { worker, epoch, rendered: rendered.clone() };
                match self.ledger().apply(run.clone(), input).await {
                    Ok(pinned) => Ok(Resolved::Plan(pinned, rendered)),
                    Err(ApplyError::Unrecordable(why)) => Ok(Resolved::failed(JobError::permanent(why))),
                    Err(error) => Ok(Resolved::Stepped(Stepped::Rest(rest(error)?))),
                }
            }
        }
    }
}

/// Whether what was rendered would be masked in a record, so that other steps than those asked for would run.
fn holds_secret(rendered: &Rendered) -> bool {
    is_any_known()
        && (value_holds_secret(&rendered.payload) || rendered.parameters.values().any(value_holds_secret))
}

/// The source of the plan of a run's steps.
enum Resolved {
    /// The record, and what was rendered and looked up.
    Plan(Run, Rendered),
    /// There is no plan, and the run got no further than this.
    Stepped(Stepped),
}

impl Resolved {
    fn failed(error: JobError) -> Self {
        Self::Stepped(Stepped::Ended(failure(error)))
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
        self.look_at_children().await?;
        let mut under_way: FuturesUnordered<BoxFuture<'_, ChildEnd>> = FuturesUnordered::new();
        loop {
            let stop = self.place.cancel.is_stopped();
            if stop == Some(Stop::Lost) {
                // The children that are under way are runs of their own: they come to rest as such.
                while under_way.next().await.is_some() {}
                return Ok(Stepped::Rest(self.place.task.run.clone()));
            }
            if stop.is_some() && !self.told_children {
                self.told_children = true;
                let told = self.place.engine.cancel_children(&self.place.task.run).await;
                self.trouble = told.err().or(self.trouble.take());
            }
            let stopping = stop.is_some() || self.refused.is_some() || self.trouble.is_some();
            match self.plan_next(stopping) {
                Next::Start(steps) if self.place.plan.spread && self.may_begin() => {
                    let begun = Box::pin(self.place.begin_spread(&steps, &self.left)).await;
                    self.record_begun(begun);
                }
                Next::Start(steps) if self.may_begin() => {
                    for step in steps {
                        self.states[step] = ChildState::Live;
                        self.here.insert(step);
                        let place = self.place;
                        under_way.push(Box::pin(async move { (step, place.run_child(step).await) }));
                    }
                }
                _ if !under_way.is_empty() => match self.heard(stop, under_way.next()).await {
                    Heard::Ended((step, ended)) => self.record(step, ended),
                    Heard::News => self.look_elsewhere().await,
                    Heard::Stopped => {}
                },
                next => {
                    if let Some(error) = self.trouble.take() {
                        return Err(error);
                    }
                    if let Next::Done(outcome) = next {
                        if matches!(outcome, Outcome::Success(_)) {
                            // The steps that come after this run go on with what its steps left.
                            self.place.task.invocation.files.learn(self.left.values());
                        }
                        return Ok(Stepped::Ended(self.conclude(outcome, stop)));
                    }
                    let resume = matches!(next, Next::Start(_));
                    if let Some(stepped) = Box::pin(self.give_way(resume)).await? {
                        return Ok(stepped);
                    }
                }
            }
        }
    }

    fn plan_next(&self, stopping: bool) -> Next {
        self.place.plan.next(&self.states, stopping)
    }

    /// Whether there is time to begin a step, and the claim on the run surely holds.
    fn may_begin(&self) -> bool {
        let now = self.place.engine.now();
        !self.place.task.invocation.is_late(now) && self.place.lease.is_firm(now)
    }

    /// The first event: the end of a step that is under way here, a report of one that runs
    /// elsewhere, or a reason to stop when there was none before.
    async fn heard(&self, stop: Option<Stop>, next: impl Future<Output = Option<ChildEnd>>) -> Heard {
        let stopped = async {
            match stop {
                Some(_) => std::future::pending().await,
                None => self.place.cancel.stopped().await,
            }
        };
        let (stopped, told) = (std::pin::pin!(stopped), std::pin::pin!(self.news.heard()));
        let others = select(stopped, told);
        match select(std::pin::pin!(next), others).await {
            Either::Left((Some(ended), _)) => Heard::Ended(ended),
            Either::Left((None, _)) | Either::Right((Either::Left(_), _)) => Heard::Stopped,
            Either::Right((Either::Right(_), _)) => Heard::News,
        }
    }

    /// Reads how the steps stand that run elsewhere, so that what one was waited for can begin.
    async fn look_elsewhere(&mut self) {
        match self.read_children().await {
            Ok(states) => {
                for (step, state) in states.into_iter().enumerate() {
                    // Of those under way here the records may not be there yet.
                    if !self.here.contains(&step) {
                        self.states[step] = state;
                    }
                }
            }
            Err(_) => self.news.again(),
        }
    }

    fn record(&mut self, step: usize, ended: Result<Child, StoreError>) {
        self.here.remove(&step);
        match ended {
            Ok(Child::AtRest(child)) => {
                self.states[step] = state_of(&child);
            }
            // How the step stands is not known; those under way come to rest first.
            Err(error) => self.trouble = Some(error),
            Ok(Child::Refused(why)) => {
                self.states[step] = ChildState::Missing;
                self.refused.get_or_insert((step, why));
            }
        }
    }

    /// Steps of a run that spreads them were made.
    fn record_begun(&mut self, begun: BegunSteps) {
        let has_order = self.place.plan.has_order();
        for (step, run) in begun.there {
            self.states[step] = state_of(&run);
            if let Some(place) = run.work.filter(|_| has_order) {
                self.left.insert(step, place);
            }
        }
        if let Some((step, why)) = begun.refused {
            self.refused.get_or_insert((step, why));
        }
        self.trouble = begun.trouble.or(self.trouble.take());
    }

    fn conclude(&self, outcome: Outcome, stop: Option<Stop>) -> Outcome {
        if let Some((step, why)) = &self.refused {
            return self.place.plan.refusal(&self.states, *step, why);
        }
        match stop {
            Some(Stop::TimedOut(limit)) => failure(JobError::timed_out(limit)),
            Some(Stop::Cancelled) if !matches!(outcome, Outcome::Success(_)) => Outcome::Cancelled,
            _ => outcome,
        }
    }

    /// The states of the steps, from their records.
    async fn read_children(&mut self) -> Result<Vec<ChildState>, StoreError> {
        let children = self
            .place
            .engine
            .site
            .ports
            .runs
            .children(&self.place.task.run.key, self.place.task.run.attempt)
            .await?;
        let places =
            || children.iter().filter_map(|child| Some((child.key.step()? as usize, child.work.as_ref()?)));
        let files = &self.place.task.invocation.files;
        if !self.place.plan.spread || files.have_one_directory() {
            files.learn(places().map(|(_, place)| place));
        } else if self.place.plan.has_order() {
            // Steps that are spread have a directory of their own each; those of items have no others after them.
            self.left = places().map(|(step, place)| (step, place.clone())).collect();
        }
        let mut states = vec![ChildState::Missing; self.place.plan.steps.len()];
        for child in &children {
            if let Some(state) = child.key.step().and_then(|step| states.get_mut(step as usize)) {
                *state = state_of(child);
            }
        }
        Ok(states)
    }

    /// Reads the children's records; says whether anything is different from what was known.
    async fn look_at_children(&mut self) -> Result<bool, StoreError> {
        let states = self.read_children().await?;
        let changed = states != self.states;
        self.states = states;
        Ok(changed)
    }

    /// Gives the run up until a child reports, or to another invocation when `resume`. `None` when
    /// there is something to do after all.
    async fn give_way(&mut self, resume: bool) -> Result<Option<Stepped>, StoreError> {
        let Place { engine, task, .. } = self.place;
        let Task { run, invocation, .. } = task;
        // First the record, then the children: a child that reports in between changes the record.
        let Some(stored) = engine.site.ports.runs.peek(&run.key).await? else {
            // Not an error, see `rest`. The watch over the run may have logged it.
            if self.place.cancel.is_stopped() != Some(Stop::Lost) {
                log_gone(run);
            }
            return Ok(Some(Stepped::Rest(run.clone())));
        };
        if !stored.is_held(&invocation.owner, run.epoch) {
            return Ok(Some(Stepped::Rest(stored)));
        }
        if stored.cancel && !self.told_children {
            self.place.cancel.stop(Stop::Cancelled);
            return Ok(None);
        }
        let gathers = self.place.gathering(&self.states);
        // The record of a run that gathers reports says whether a step has ended since the claim, and its steps were read after
        // that. To read thousands again for a few that ended would never come to an end.
        if gathers.is_none() && self.look_at_children().await? {
            return Ok(None);
        }
        let resume = resume.then_some(Span::ZERO);
        let work = engine.work_place(run, invocation, true).await?;
        let (worker, ends) = (invocation.owner.clone(), self.ends);
        let work = work.map(Box::new);
        let input = Input::Suspend { worker, epoch: run.epoch, resume, ends, gathers, work, fault: None };
        match engine.ledger().apply_once(&stored, input).await {
            Ok(suspended) => Ok(Some(Stepped::Rest(suspended))),
            Err(NotApplied::Commit(CommitError::Store(error), _)) => Err(error),
            Err(NotApplied::Commit(CommitError::Unrecordable(why), _)) => {
                // It cannot wait for them, however often it is tried.
                engine.cancel_children(run).await?;
                Ok(Some(Stepped::Ended(failure(JobError::permanent(why)))))
            }
            Err(NotApplied::Commit(_, decision)) => {
                // One that is gone is seen by the next look.
                let Some(now_stored) = engine.site.ports.runs.peek(&run.key).await? else { return Ok(None) };
                if took_effect(&decision.run, &now_stored) {
                    engine.ledger().send(&decision).await;
                    return Ok(Some(Stepped::Rest(now_stored)));
                }
                Ok(None)
            }
            Err(NotApplied::Illegal(_)) => Ok(None),
        }
    }
}

fn state_of(child: &Run) -> ChildState {
    if child.status.is_end() { ChildState::Ended(child.status, Why::of(child)) } else { ChildState::Live }
}
