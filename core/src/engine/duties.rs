//! What is left to do when an attempt has ended: actions, the parent, the next in line.

use serde_json::Value;

use super::apply::rest;
use super::attempt::{RunDispatches, origin};
use super::rendering::action_fields;
use super::{Engine, Grip, Invocation};
use crate::job_type::{ActionContext, Templates};
use crate::ports::{ObjectStore, StoreError};
use crate::run::{Input, Run};
use crate::spec::{ActionSpec, ActionsWhen, JobSpec};

impl Engine {
    /// Does what is left about an attempt that has ended, if anything.
    pub(super) async fn see_to_duties(
        &self,
        mut run: Run,
        job: &JobSpec,
        invocation: &Invocation,
    ) -> Result<Run, StoreError> {
        let Some(duties) = run.duties.clone() else {
            self.dispatcher.call_next(&run).await;
            return Ok(run);
        };
        if let Some(when) = duties.actions {
            let realm = self.site.ports.jobs.realm().await?;
            let (own, inherited) = (job.actions(), realm.actions());
            let actions = own.or(&inherited, when);
            let templates = self.templates(&run, job, &realm).await?;
            for (index, action) in actions.iter().enumerate().skip(duties.done as usize) {
                if !Grip::of(&run, self.limits.lease, self.site.alone).is_firm(self.now()) {
                    // This host stood still, or they took too long: somebody else sees to the rest.
                    return Ok(run);
                }
                let error = self.perform(when, index, action, &run, job, &templates).await.err();
                let last = index + 1 == actions.len();
                // The last one that went well needs no record of its own: clearing the duties tells.
                if error.is_some() || !last {
                    let place = u32::try_from(index).unwrap_or(u32::MAX);
                    let input = Input::ActionDone {
                        worker: invocation.owner.clone(),
                        epoch: run.epoch,
                        index: place,
                        error,
                    };
                    run = match self.dispatcher.apply(run, input).await {
                        Ok(next) => next,
                        Err(error) => return rest(error),
                    };
                }
            }
        }
        self.tell_and_clear(run, invocation).await
    }

    /// Tells the parent where it must be told, and records that nothing is left.
    pub(super) async fn tell_and_clear(&self, run: Run, invocation: &Invocation) -> Result<Run, StoreError> {
        let Some(duties) = &run.duties else {
            self.dispatcher.call_next(&run).await;
            return Ok(run);
        };
        if duties.wake_parent
            && let Some(parent) = run.key.parent()
            && let Some(parent) = self.site.ports.runs.peek(&parent).await?
        {
            // A parent that does not wait for this child any more needs no telling.
            if let Err(error) = self.dispatcher.apply(parent, Input::ChildEnded).await {
                rest(error)?;
            }
        }
        let input = Input::DutiesDone { worker: invocation.owner.clone(), epoch: run.epoch };
        match self.dispatcher.apply(run, input).await {
            Ok(done) => {
                self.dispatcher.call_next(&done).await;
                Ok(done)
            }
            Err(error) => rest(error),
        }
    }

    async fn perform(
        &self,
        when: ActionsWhen,
        index: usize,
        spec: &ActionSpec,
        run: &Run,
        job: &JobSpec,
        templates: &Templates,
    ) -> Result<(), String> {
        let name = format!("{}[{index}] {}", when.field(), spec.kind());
        if let Some(fault) = spec.fault() {
            return Err(format!("{}[{index}]: {fault}", when.field()));
        }
        let action = self.registry.action(spec.kind()).ok_or_else(|| format!("{name}: no such action"))?;
        let mut result = with_locations(&run.result, &*self.site.ports.objects);
        if when == ActionsWhen::OnSuccess
            && let Some(fields) = result.as_object_mut()
            && fields.get("error").is_some_and(Value::is_null)
        {
            // lava adds it when the actions are done (lava's run_job).
            fields.remove("error");
        }
        let given = match spec.fields() {
            Value::Object(given) => given,
            _ => serde_json::Map::new(),
        };
        let fields = action_fields(&self.dispatcher, templates, given, action.structures(), result).await;
        let fields = fields.map_err(|error| format!("{name}: {error}"))?;
        let label = format!("{}.{index}", when.field());
        let dispatches = RunDispatches::new(self.dispatcher.clone(), origin(run, job, &label));
        let context = ActionContext {
            job_id: &run.job_id,
            run_id: run.run_id,
            dispatches: &dispatches,
            site: &self.site,
        };
        let outcome = action.perform(&context, &fields).await.map_err(|error| format!("{name}: {error}"));
        if let Err(error) = &outcome {
            tracing::warn!(job_id = %run.job_id, run_id = %run.run_id, %error, "an action failed");
        }
        outcome
    }
}

/// A result with the whole locations of what commands printed, for templates: records keep them short.
fn with_locations(result: &Value, objects: &dyn ObjectStore) -> Value {
    let mut result = result.clone();
    let below = if result.get("error_data").is_some_and(Value::is_object) {
        result.pointer_mut("/error_data/output")
    } else {
        result.pointer_mut("/output")
    };
    for output in below.and_then(Value::as_array_mut).into_iter().flatten() {
        for stream in ["stdout", "stderr"] {
            if let Some(Value::String(place)) = output.get_mut(stream) {
                *place = objects.located(place);
            }
        }
    }
    result
}
