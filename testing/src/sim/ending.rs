//! Invariants when all is over.

use pumice_core::run::{Run, Status};
use serde_json::Value;

use super::audit::state_of;
use super::fakes;
use super::lava::lavas;
use super::world::World;

/// Every run ended, every duty done, no lock held.
pub(crate) fn check(world: &mut World) {
    let mut found: Vec<(&'static str, String)> = Vec::new();
    for run in world.runs.all() {
        if !run.status.is_end() || run.due_at.is_some() || run.lease.is_some() {
            found.push(("everything ends", format!("{} is {}, due {:?}", run.key, run.status, run.due_at)));
        }
        if let Some(wrong) = misjudged(world, run) {
            found.push(("disabled jobs do not run", wrong));
        }
        if let Some(wrong) = world.untold(run) {
            found.push(("the end that lava reports is recorded", wrong));
        }
        if let Some(wrong) = world.refused_files(run) {
            found.push(("no step is refused files that are there", wrong));
        }
        if let Some(missing) = undone(world, run) {
            found.push(("every duty is done", missing));
        }
        if let Some(missing) = unfinished(world, run) {
            found.push(("complete runs have all their steps", missing));
        }
    }
    found.extend(unadopted(world).map(|wrong| ("a message of lava makes one run", wrong)));
    if let Some(left) = world.left_at_gates() {
        found.push(("no permit is held", left));
    }
    if let Some((job, run)) = world.runs.locks().first_key_value() {
        found.push(("no lock is held", format!("{run} holds the lock of {job}")));
    }
    if let Some(letter) = world.queues.dead().first().filter(|_| world.audit.prompt) {
        found.push(("no message is buried", format!("{letter:?}")));
    }
    world.clock_ends();
    if let Some((invariant, detail)) = found.into_iter().next() {
        world.audit.fail(invariant, detail);
    }
}

/// A run that ran although its template said no, or was skipped although it said yes.
fn misjudged(world: &World, run: &Run) -> Option<String> {
    let (_, spec) = world.runs.get_with_spec(&run.key)?;
    let wanted = spec.job.get("x-wanted")?.as_bool()?;
    let wrong = if wanted { run.status == Status::Skipped } else { run.ts_start.is_some() };
    wrong.then(|| format!("{} is {}, wanted: {wanted}", run.key, run.status))
}

/// A message that lava sent which made no run, another run, or more than one.
fn unadopted(world: &World) -> Option<String> {
    if world.letters.is_empty() {
        return None;
    }
    let mut roots: Vec<&Run> = world.runs.all().filter(|run| !run.is_child()).collect();
    for letter in &world.letters {
        let id = letter.run_id.to_string();
        let Some(place) = roots.iter().position(|run| run.run_id == letter.run_id) else {
            // It was handed out in vain too often.
            let dead = world.queues.dead().iter().any(|dead| dead.body.contains(&id));
            return (!dead).then(|| format!("{id} has no run"));
        };
        let run = roots.swap_remove(place);
        let master = run.lineage.as_ref().map(|lineage| lineage.master_job_id.as_str());
        let told = letter.lava.get("master_job_id").and_then(Value::as_str);
        if run.job_id != letter.job_id || master != told {
            return Some(format!("{id} made {} with lineage {:?}", run.job_id, run.lineage));
        }
    }
    roots.first().map(|run| format!("{} was never asked for", run.key))
}

/// The actions of a run's end that were never done.
fn undone(world: &World, run: &Run) -> Option<String> {
    if run.worker == lavas() {
        // They are its own business.
        return None;
    }
    let when = match run.status {
        _ if run.late.is_some() => "on_late",
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
