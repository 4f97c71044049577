//! What must hold when all is over.

use pumice_core::run::{Run, Status};
use serde_json::Value;

use super::audit::state_of;
use super::fakes;
use super::world::World;

/// Every run ended, every duty done, no lock held.
pub(crate) fn check(world: &mut World) {
    let mut found: Vec<(&'static str, String)> = Vec::new();
    for run in world.runs.all() {
        if !run.status.is_end() || run.due_at.is_some() || run.lease.is_some() {
            found.push(("everything ends", format!("{} is {}, due {:?}", run.key, run.status, run.due_at)));
        }
        if let Some(missing) = undone(world, run) {
            found.push(("every duty is done", missing));
        }
        if let Some(missing) = unfinished(world, run) {
            found.push(("what is complete has all its steps", missing));
        }
    }
    if let Some((job, run)) = world.runs.locks().first_key_value() {
        found.push(("no lock is held", format!("{run} holds the lock of {job}")));
    }
    if let Some(letter) = world.queues.dead().first().filter(|_| world.audit.prompt) {
        found.push(("no message is buried", format!("{letter:?}")));
    }
    if let Some((invariant, detail)) = found.into_iter().next() {
        world.audit.fail(invariant, detail);
    }
}

/// The actions of a run's end that nobody did.
fn undone(world: &World, run: &Run) -> Option<String> {
    let when = match run.status {
        Status::Complete => "on_success",
        Status::Failed => "on_fail",
        _ => return None,
    };
    let (_, spec) = world.runs.get_with_spec(&run.key)?;
    let notes = |action: &Value| action["action"] == "note";
    let wanted =
        spec.job.get(when).and_then(Value::as_array).is_some_and(|actions| actions.iter().any(notes));
    let place = (run.run_id, run.job_id.clone(), when.to_owned());
    let done = world.audit.performed.contains_key(&place);
    (wanted && !done).then(|| format!("{when} of {}", run.key))
}

/// The step that a run which ended well never made or did not pass.
fn unfinished(world: &World, run: &Run) -> Option<String> {
    if run.status != Status::Complete || run.job_type != "steps" {
        return None;
    }
    let (_, spec) = world.runs.get_with_spec(&run.key)?;
    let plan = fakes::plan_of(spec.job.get("payload")).ok()?;
    let children = world.runs.children(&run.key, run.attempt);
    (0..plan.steps.len()).find_map(|step| {
        let child = children.iter().find(|child| child.key.step().map(|step| step as usize) == Some(step));
        let passed = child.is_some_and(|child| match state_of(child) {
            pumice_core::job_type::ChildState::Ended(status, _) => {
                !status.is_failure() || plan.forgives(step)
            }
            _ => false,
        });
        (!passed).then(|| format!("step {step} of {}", run.key))
    })
}
