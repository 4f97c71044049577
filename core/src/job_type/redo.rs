//! Which steps of a run that ended are kept when it is done again: a pure rule over both plans.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;

use super::plan::{Plan, PlanStep};
use crate::ids::{JobId, RunKey};
use crate::run::{RedoFrom, Run, Status};

/// The fate of a step when its run is done again.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum StepRedo {
    /// This one of the run that ended is kept in its place.
    Kept(RunKey),
    /// It is run, in place of this one, if there was one; its own steps may be kept.
    Again(Option<(RunKey, RedoFrom)>),
}

impl StepRedo {
    /// Whether it is kept.
    #[must_use]
    pub const fn is_kept(&self) -> bool {
        matches!(self, Self::Kept(_))
    }
}

/// The fate of each step of a plan. `before` is the plan of the run that ended, `ended` the records of the steps of its
/// last attempt, `forgiven` the keys of those among them that ended well though a step below failed and was forgiven: they
/// are run again, with their own steps that ended well kept. A step is that of the other plan that has the same job, the same
/// globals of its own (of a foreach: the same item) and as many such steps before it: where a spec was edited, its steps have
/// other places. A step that came before one which is run again, and comes after it now, is run again too.
#[must_use]
pub fn redone(
    plan: &Plan,
    before: Option<&Plan>,
    ended: &[Run],
    forgiven: &BTreeSet<RunKey>,
    from: &RedoFrom,
) -> Vec<StepRedo> {
    let records: BTreeMap<usize, &Run> =
        ended.iter().filter_map(|run| Some((usize::try_from(run.key.step()?).ok()?, run))).collect();
    let mut there: BTreeMap<Identity<'_>, Vec<usize>> = BTreeMap::new();
    for (step, planned) in before.into_iter().flat_map(|plan| plan.steps.iter().enumerate()) {
        there.entry(identity(planned)).or_default().push(step);
    }
    // The first of those alike is the first there.
    there.values_mut().for_each(|steps| steps.reverse());
    let places: Vec<Option<usize>> =
        plan.steps.iter().map(|planned| there.get_mut(&identity(planned)).and_then(Vec::pop)).collect();
    let found: Vec<Option<&Run>> =
        places.iter().map(|place| place.and_then(|step| records.get(&step).copied())).collect();
    let mut again = anew(plan, &found, from);
    for (again, run) in again.iter_mut().zip(&found) {
        if again.is_none() && run.is_some_and(|run| forgiven.contains(&run.key)) {
            *again = Some(RedoFrom::Failed);
        }
    }
    if let Some(before) = before {
        turned_round((plan, &places), before, &found, &mut again);
    }
    let redo = |(step, run): (usize, &Option<&Run>)| {
        let Some(run) = run else { return StepRedo::Again(None) };
        // A step that was kept there is kept from where it ran.
        let key = run.kept.clone().unwrap_or_else(|| run.key.clone());
        match (&again[step], run.status) {
            (None, Status::Complete) => StepRedo::Kept(key),
            (from, _) => StepRedo::Again(Some((key, from.clone().unwrap_or_default()))),
        }
    };
    found.iter().enumerate().map(redo).collect()
}

/// Has steps run again that ended well before one which is run again, and come after it now: what they did was done without
/// it. `places` are the places that the steps have in the plan of before.
fn turned_round(
    (plan, places): (&Plan, &[Option<usize>]),
    before: &Plan,
    found: &[Option<&Run>],
    again: &mut [Option<RedoFrom>],
) {
    let is_as_it_was = places.iter().enumerate().all(|(step, place)| {
        let was = place.and_then(|place| before.steps.get(place));
        *place == Some(step) && was.is_some_and(|was| was.after == plan.steps[step].after)
    });
    let has_order = |plan: &Plan| plan.steps.iter().any(|step| !step.after.is_empty());
    if is_as_it_was || !has_order(plan) || !has_order(before) {
        return;
    }
    let is_kept = |again: &[Option<RedoFrom>], step: usize| {
        again[step].is_none() && found[step].is_some_and(|run| run.status == Status::Complete)
    };
    let mut next: Vec<usize> = (0..plan.steps.len()).filter(|step| !is_kept(again, *step)).collect();
    while let Some(first) = next.pop() {
        let Some(was) = places[first] else { continue };
        for step in plan.after(first) {
            let came_before = |place: usize| before.after(place).contains(&was);
            if is_kept(again, step) && places[step].is_some_and(came_before) {
                again[step] = Some(RedoFrom::All);
                next.push(step);
            }
        }
    }
}

/// The identity of a step in another plan.
type Identity<'a> = (&'a JobId, bool, String);

fn identity(step: &PlanStep) -> Identity<'_> {
    let mut globals = Value::Object(step.globals.clone());
    globals.sort_all_objects();
    (&step.job_id, step.foreach_index.is_some(), globals.to_string())
}

/// The steps that are run again though they may have ended well, and what of each.
fn anew(plan: &Plan, found: &[Option<&Run>], from: &RedoFrom) -> Vec<Option<RedoFrom>> {
    let mut again = vec![None; plan.steps.len()];
    match from {
        RedoFrom::Failed => {}
        RedoFrom::All => again.fill(Some(RedoFrom::All)),
        RedoFrom::Step(key) => {
            let is_it = |run: &&Run| *key == run.key || key.is_below(&run.key);
            let at = found.iter().position(|run| run.as_ref().is_some_and(is_it));
            if let Some((at, run)) = at.and_then(|at| Some((at, found[at]?))) {
                let below = if *key == run.key { RedoFrom::All } else { from.clone() };
                again[at] = Some(below);
                // Items of a foreach do not follow on each other, in whichever order they are taken.
                let is_item = plan.steps.get(at).is_some_and(|step| step.foreach_index.is_some());
                for step in plan.after(at).into_iter().filter(|_| !is_item) {
                    again[step] = Some(RedoFrom::All);
                }
            }
        }
    }
    again
}
