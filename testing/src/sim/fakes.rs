//! Job types and an action that do nothing but take time, fail and dispatch, as their jobs say.

use std::sync::Arc;

use async_trait::async_trait;
use chrono::TimeDelta;
use futures_util::future::{Either, select};
use pumice_core::ids::JobId;
use pumice_core::job_type::{
    Action, ActionContext, Composite, Ended, JobContext, JobError, JobType, Kind, Leaf, Plan, PlanStep,
    Registry, Rendered, Stop, Templates,
};
use pumice_core::problem::Problem;
use pumice_core::request::DispatchRequest;
use pumice_core::spec::JobSpec;
use pumice_template::Renderer;
use serde_json::{Map, Value, json};

use super::hand::Hand;
use super::world::{Shared, lock};

/// The global that tells a step with which attempt of its parent the plan was rendered.
pub(crate) const STAMP: &str = "stamp_of_parent";

/// What the simulated engine knows.
pub(crate) fn registry(world: &Shared) -> Registry {
    let types: Vec<Arc<dyn JobType>> = vec![Arc::new(Nap { world: world.clone() }), Arc::new(Steps)];
    let hand = Hand::new(world.clone());
    let actions: Vec<Arc<dyn Action>> = vec![Arc::new(Note { hand, world: world.clone() }), Arc::new(Start)];
    Registry::new(types, actions).expect("each has a name of its own")
}

/// Takes time, may fail, may panic, may dispatch.
struct Nap {
    world: Shared,
}

/// As given, save for a stamp that tells with which attempt it was rendered.
fn stamped(job: &JobSpec, templates: &Templates) -> Result<Rendered, JobError> {
    let mut payload = job.fields.payload.clone();
    if let Some(stamp) = payload.get_mut("stamp") {
        *stamp = templates.json(stamp, &[]).map_err(|error| JobError::permanent(error.to_string()))?;
    }
    Ok(Rendered { payload, parameters: job.parameters() })
}

impl JobType for Nap {
    fn name(&self) -> &'static str {
        "nap"
    }

    fn about(&self) -> &'static str {
        "Takes time."
    }

    fn schemas(&self) -> (Value, Value) {
        (json!({}), json!({}))
    }

    fn check(&self, _: &JobSpec, _: &Renderer) -> Vec<Problem> {
        Vec::new()
    }

    fn render(&self, job: &JobSpec, templates: &Templates) -> Result<Rendered, JobError> {
        stamped(job, templates)
    }

    fn kind(&self) -> Kind<'_> {
        Kind::Leaf(self)
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

    /// How this attempt ends, if nobody stops it.
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
    async fn run(&self, context: &JobContext<'_>, rendered: &Rendered) -> Result<Ended, JobError> {
        let payload = &rendered.payload;
        let _under_way = self.begin(context, payload);
        let clock = &context.site.ports.clock;
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
            None => self.fate(payload),
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

/// The plan that a payload stands for.
pub(crate) fn plan_of(payload: Option<&Value>) -> Result<Plan, JobError> {
    let none = || JobError::permanent("there are no steps");
    let payload = payload.ok_or_else(none)?;
    let listed = payload.get("steps").and_then(Value::as_array).ok_or_else(none)?;
    // What the steps are told of the attempt that their plan was rendered with.
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
    Ok(Plan { steps, width, can_fail, limit: None })
}

impl JobType for Steps {
    fn name(&self) -> &'static str {
        "steps"
    }

    fn about(&self) -> &'static str {
        "Runs steps."
    }

    fn schemas(&self) -> (Value, Value) {
        (json!({}), json!({}))
    }

    fn check(&self, _: &JobSpec, _: &Renderer) -> Vec<Problem> {
        Vec::new()
    }

    fn render(&self, job: &JobSpec, templates: &Templates) -> Result<Rendered, JobError> {
        stamped(job, templates)
    }

    fn kind(&self) -> Kind<'_> {
        Kind::Composite(self)
    }
}

impl Composite for Steps {
    fn plan(&self, _: &JobSpec, rendered: &Rendered) -> Result<Plan, JobError> {
        plan_of(Some(&rendered.payload))
    }
}

/// An action that is seen: `{"action": "note", "when": …}`.
struct Note {
    hand: Hand,
    world: Shared,
}

#[async_trait]
impl Action for Note {
    fn name(&self) -> &'static str {
        "note"
    }

    fn about(&self) -> &'static str {
        "Is seen."
    }

    fn schema(&self) -> Value {
        json!({ "type": "object" })
    }

    fn check(&self, _: &Value, _: &Renderer) -> Vec<Problem> {
        Vec::new()
    }

    async fn perform(&self, context: &ActionContext<'_>, fields: &Value) -> Result<(), String> {
        let when = fields.get("when").and_then(Value::as_str).unwrap_or_default().to_owned();
        let place = (context.run_id, context.job_id.clone(), when);
        let about = format!("{} {}", place.1, place.2);
        self.hand
            .effect("action", &about, |world| *world.audit.performed.entry(place).or_default() += 1)
            .await;
        let fails = lock(&self.world).prng.below(10) == 0;
        if fails { Err("nobody listens".to_owned()) } else { Ok(()) }
    }
}

/// An action that starts a job: `{"action": "start", "job": …}`.
struct Start;

#[async_trait]
impl Action for Start {
    fn name(&self) -> &'static str {
        "start"
    }

    fn about(&self) -> &'static str {
        "Starts a job."
    }

    fn schema(&self) -> Value {
        json!({ "type": "object" })
    }

    fn check(&self, _: &Value, _: &Renderer) -> Vec<Problem> {
        Vec::new()
    }

    async fn perform(&self, context: &ActionContext<'_>, fields: &Value) -> Result<(), String> {
        let id = job(fields.get("job").unwrap_or(&Value::Null)).map_err(|error| error.message)?;
        let outcomes = context.dispatches.dispatch(vec![DispatchRequest::new(id)]).await;
        outcomes.into_iter().try_for_each(|outcome| outcome.map(drop).map_err(|error| error.to_string()))
    }
}
