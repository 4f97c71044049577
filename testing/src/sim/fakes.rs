//! Job types and an action that do nothing but take time, fail and dispatch, as their jobs say.

use std::sync::Arc;

use async_trait::async_trait;
use chrono::TimeDelta;
use futures_util::future::{Either, select};
use pumice_core::ids::{JobId, RunId};
use pumice_core::job_type::{
    Action, ActionContext, Composite, Ended, Given, JobContext, JobError, JobType, Leaf, Performer, Plan,
    PlanStep, Registry, Rendered, Runners, Stop, Templates,
};
use pumice_core::problem::Problem;
use pumice_core::request::DispatchRequest;
use pumice_core::spec::JobSpec;
use serde_json::{Map, Value, json};

use super::hand::Hand;
use super::world::{Shared, lock};

/// The global that gives a step the attempt of its parent that rendered the plan.
pub(crate) const STAMP: &str = "stamp_of_parent";

/// The job types and actions of the simulated engine.
pub(crate) fn runners(world: &Shared) -> Runners {
    let registry = Registry::builder().leaf(NapSpec).composite(Steps).action(NoteSpec).action(StartSpec);
    let hand = Hand::new(world.clone());
    let runners = Runners::builder()
        .leaf(Nap { world: world.clone() })
        .performer(Note { hand, world: world.clone() })
        .performer(Start);
    let registry = Arc::new(registry.build().expect("each has a name of its own"));
    runners.build(registry).expect("each has a runner")
}

/// The payload of the type `nap`.
struct NapSpec;

/// Takes time, may fail, may panic, may dispatch.
struct Nap {
    world: Shared,
}

/// The given payload, save for a stamp: the attempt that rendered it.
fn stamped(job: &JobSpec, templates: &Templates) -> Result<Rendered, JobError> {
    let mut payload = job.fields.payload.clone();
    if let Some(stamp) = payload.get_mut("stamp") {
        *stamp = templates.json(stamp, &[]).map_err(|error| JobError::permanent(error.to_string()))?;
    }
    Ok(Rendered { payload, parameters: job.parameters() })
}

impl JobType for NapSpec {
    const NAME: &'static str = "nap";
    const ABOUT: &'static str = "Takes time.";
    type Payload = Value;
    type Parameters = Map<String, Value>;

    fn render(&self, job: &JobSpec, templates: &Templates) -> Option<Result<Rendered, JobError>> {
        Some(stamped(job, templates))
    }
}

/// A job's own work, for as long as it is under way.
struct UnderWay {
    world: Shared,
    number: u64,
}

impl Drop for UnderWay {
    fn drop(&mut self) {
        lock(&self.world).audit.end(self.number);
    }
}

impl Nap {
    fn begin(&self, context: &JobContext<'_>, payload: &Value) -> UnderWay {
        let mut world = lock(&self.world);
        let number = world.number();
        world.note(|| format!("  executes {} attempt {}", context.run.key, context.run.attempt));
        let (now, task) = (world.now, world.current);
        let super::world::World { audit, runs, .. } = &mut *world;
        audit.begin(context.run, runs, now, task, number);
        audit.rendered(context.run, context.job, payload, runs);
        world.is_executed(context.run);
        UnderWay { world: self.world.clone(), number }
    }

    /// How this attempt ends, if it is not stopped.
    fn fate(&self, payload: &Value) -> Result<Ended, JobError> {
        let number = |name: &str| payload.get(name).and_then(Value::as_u64).unwrap_or(0);
        let mut world = lock(&self.world);
        let roll = world.prng.below(100);
        drop(world);
        let (panics, fails) = (number("panic"), number("fail"));
        if roll < panics {
            // The same as a panic, without its message on the terminal.
            std::panic::resume_unwind(Box::new("the nap panics"));
        }
        if roll < panics + fails {
            return Err(JobError::failed("bad dreams"));
        }
        if roll < panics + fails + number("permanent") {
            return Err(JobError::permanent("worse dreams"));
        }
        Ok(Ended::Done(json!({ "slept": true })))
    }
}

#[async_trait]
impl Leaf for Nap {
    type Of = NapSpec;
    type Payload = Value;

    async fn run(
        &self,
        context: &JobContext<'_>,
        payload: Value,
        _: Map<String, Value>,
    ) -> Result<Ended, JobError> {
        let payload = &payload;
        let _under_way = self.begin(context, payload);
        let folder = match payload.get("files") {
            Some(_) => Some(context.directories.work().await?.to_owned()),
            None => None,
        };
        if let Some(folder) = folder.as_ref().filter(|_| context.job.fields.work_dir.is_none()) {
            lock(&self.world).finds_files(context.run, folder);
        }
        let clock = context.clock;
        let millis = |name: &str| payload.get(name).and_then(Value::as_u64).unwrap_or(0);
        let taken = lock(&self.world).prng.within(millis("from"), millis("to"));
        let ends = clock.now() + TimeDelta::milliseconds(taken.cast_signed());
        for job_id in payload.get("dispatch").and_then(Value::as_array).into_iter().flatten() {
            let request = DispatchRequest::new(job(job_id)?);
            let outcomes = context.dispatches.dispatch(vec![request]).await;
            if let Some(Err(error)) = outcomes.into_iter().next() {
                return Err(JobError::failed(error.to_string()));
            }
        }
        let stopped = match select(clock.sleep_until(ends), std::pin::pin!(context.cancel.stopped())).await {
            Either::Left(_) => None,
            Either::Right((stop, _)) => Some(stop),
        };
        match stopped {
            None => {
                let ended = self.fate(payload)?;
                if let Some(folder) = folder {
                    lock(&self.world).leave_file(&folder, &context.run.key);
                }
                Ok(ended)
            }
            Some(Stop::Cancelled) => Ok(Ended::Cancelled),
            Some(_) => Err(JobError::failed("stopped")),
        }
    }
}

/// Runs steps: `{"steps": [{"job": …, "after": […]}], "width": …, "can_fail": […]}`.
struct Steps;

fn job(id: &Value) -> Result<JobId, JobError> {
    JobId::new(id.as_str().unwrap_or_default()).map_err(|error| JobError::permanent(error.to_string()))
}

/// The plan that a payload describes.
pub(crate) fn plan_of(payload: Option<&Value>) -> Result<Plan, JobError> {
    let none = || JobError::permanent("there are no steps");
    let payload = payload.ok_or_else(none)?;
    let listed = payload.get("steps").and_then(Value::as_array).ok_or_else(none)?;
    // Passes the attempt that rendered the plan to the steps.
    let stamp = payload.get("stamp").map(|stamp| (STAMP.to_owned(), stamp.clone()));
    let mut steps = Vec::with_capacity(listed.len());
    for step in listed {
        let after = step.get("after").and_then(Value::as_array).into_iter().flatten();
        steps.push(PlanStep {
            job_id: job(step.get("job").unwrap_or(&Value::Null))?,
            after: after.filter_map(Value::as_u64).filter_map(|n| usize::try_from(n).ok()).collect(),
            foreach_index: None,
            globals: Map::from_iter(stamp.clone()),
        });
    }
    let width =
        payload.get("width").and_then(Value::as_u64).and_then(|n| usize::try_from(n).ok()).unwrap_or(1);
    let can_fail = payload.get("can_fail").and_then(Value::as_array).into_iter().flatten();
    let can_fail = can_fail.filter_map(Value::as_str).map(str::to_owned).collect();
    let spread = payload.get("spread").is_some_and(|spread| *spread == true);
    Ok(Plan { steps, width, can_fail, limit: None, spread })
}

impl JobType for Steps {
    const NAME: &'static str = "steps";
    const ABOUT: &'static str = "Runs steps.";
    type Payload = Value;
    type Parameters = Map<String, Value>;

    fn render(&self, job: &JobSpec, templates: &Templates) -> Option<Result<Rendered, JobError>> {
        Some(stamped(job, templates))
    }
}

impl Composite for Steps {
    fn plan(&self, _: &JobSpec, payload: Value, _: Map<String, Value>) -> Result<Plan, JobError> {
        plan_of(Some(&payload))
    }

    /// Jobs of the simulation may have no plan.
    fn check_plan(&self, _: Given<'_, Self>) -> Vec<Problem> {
        Vec::new()
    }
}

/// An action that is seen: `{"action": "note", "when": …}`.
struct Note {
    hand: Hand,
    world: Shared,
}

/// Whether the actions of a run hang once they were seen: those of some runs always do.
pub(super) fn hangs(run_id: RunId) -> bool {
    run_id.0.as_u128() % 16 == 3
}

/// The fields of the action `note`.
struct NoteSpec;

impl Action for NoteSpec {
    const NAME: &'static str = "note";
    const ABOUT: &'static str = "Is seen.";
    type Fields = Map<String, Value>;
}

#[async_trait]
impl Performer for Note {
    type Of = NoteSpec;

    async fn perform(&self, context: &ActionContext<'_>, fields: Map<String, Value>) -> Result<(), JobError> {
        let when = fields.get("when").and_then(Value::as_str).unwrap_or_default().to_owned();
        let place = (context.run_id, context.job_id.clone(), when);
        let about = format!("{} {}", place.1, place.2);
        self.hand
            .effect("action", &about, |world| *world.audit.performed.entry(place).or_default() += 1)
            .await;
        if hangs(context.run_id) {
            std::future::pending::<()>().await;
        }
        let fails = lock(&self.world).prng.below(10) == 0;
        if fails { Err(JobError::failed("no listener answers")) } else { Ok(()) }
    }
}

/// An action that starts a job: `{"action": "start", "job": …}`.
struct Start;

/// The fields of the action `start`.
struct StartSpec;

impl Action for StartSpec {
    const NAME: &'static str = "start";
    const ABOUT: &'static str = "Starts a job.";
    type Fields = Map<String, Value>;
}

#[async_trait]
impl Performer for Start {
    type Of = StartSpec;

    async fn perform(&self, context: &ActionContext<'_>, fields: Map<String, Value>) -> Result<(), JobError> {
        let id = job(fields.get("job").unwrap_or(&Value::Null))?;
        let outcomes = context.dispatches.dispatch(vec![DispatchRequest::new(id)]).await;
        for outcome in outcomes {
            outcome.map_err(|error| JobError::failed(error.to_string()))?;
        }
        Ok(())
    }
}
