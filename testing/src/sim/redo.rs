//! Runs that have ended are done again: what is kept, and what is run.

use pumice_core::engine::{RedoError, RedoRequest};
use pumice_core::ids::RunKey;
use pumice_core::job_type::DispatchError;
use pumice_core::run::{Redo, RedoFrom, Run, SpecOf, Status};
use serde_json::{Map, json};

use super::audit::Audit;
use super::runner::{Done, Runner};
use super::scenario::{Setup, chain, dag, foreach, nested, retry};
use super::world::{Role, World, lock};
use crate::memory::RunTable;
use crate::prng::Prng;

/// Which part of a run is done again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Part {
    Failed,
    Step,
    All,
}

/// An operator redoes some run that has ended.
#[derive(Clone, Debug)]
pub(crate) struct Redoing {
    /// When, in milliseconds from the beginning.
    pub(crate) at: u64,
    part: Part,
    spec: SpecOf,
    /// How many ask for the same at the same time.
    askers: u64,
    /// Whether they do under one key.
    keyed: bool,
    /// Whether it may have been done again before.
    once_more: bool,
}

/// Jobs of steps that fail now and then, and are done again.
pub(super) fn redo(prng: &mut Prng) -> Setup {
    let build = prng.pick(&[chain as fn(&mut Prng) -> Setup, dag, foreach, nested, retry]);
    let mut setup = build(prng);
    for job in &mut setup.jobs {
        if job["type"] == "nap" {
            job["payload"]["fail"] = json!(prng.pick(&[0, 30, 60]));
        }
    }
    let count = prng.within(1, 4);
    for number in 1..=count {
        let at = number * prng.pick(&[1_000_000, 1_500_000, 2_000_000]) + prng.below(1_000);
        let part = prng.pick(&[Part::Failed, Part::Failed, Part::Failed, Part::Step, Part::All]);
        let spec = prng.pick(&[SpecOf::Latest, SpecOf::Pinned]);
        let askers = prng.within(1, 2);
        let (keyed, once_more) = (prng.pick(&[true, false]), prng.pick(&[true, false, false]));
        setup.redoings.push(Redoing { at, part, spec, askers, keyed, once_more });
    }
    setup
}

impl Runner {
    /// An operator redoes a run, or several do at once.
    pub(super) fn redo(&mut self, redoing: &Redoing) {
        self.to_come -= 1;
        let (chosen, number) = {
            let mut world = lock(&self.world);
            (choose(&mut world, redoing.part), world.number())
        };
        let Some((of, from)) = chosen else { return };
        let request = RedoRequest {
            redo: Redo {
                key: redoing.keyed.then(|| format!("redo {number}")),
                ..Redo::of(of, from, redoing.spec)
            },
            parameters: Map::new(),
            globals: Map::new(),
            once_more: redoing.once_more,
        };
        for _ in 0..redoing.askers {
            let (dispatcher, world) = (self.engine.dispatcher().clone(), self.world.clone());
            let request = request.clone();
            self.spawn(Role::Redoer, |_| {
                Box::pin(async move {
                    for _ in 0..20 {
                        match dispatcher.redo(&request).await {
                            Ok(accepted) => {
                                lock(&world).is_redone(&request, &accepted.run_id.into());
                                break;
                            }
                            // Asked again, with its key.
                            Err(RedoError::Store(_) | RedoError::Dispatch(DispatchError::Store(_))) => {}
                            Err(RedoError::DoneAgain { .. }) => break,
                            Err(error) => {
                                lock(&world).audit.fail("a request is taken", error.to_string());
                                break;
                            }
                        }
                    }
                    Done::Nothing
                })
            });
        }
    }
}

/// A run that has ended, and from where it is done again.
fn choose(world: &mut World, part: Part) -> Option<(RunKey, RedoFrom)> {
    let has_failed =
        |run: &Run| run.status != Status::Complete || has_failure_below(run.clone(), &world.runs);
    let is_it =
        |run: &&Run| run.status.is_end() && !run.is_child() && (part != Part::Failed || has_failed(run));
    let ended: Vec<Run> = world.runs.all().filter(is_it).cloned().collect();
    let chosen = usize::try_from(world.prng.below(ended.len() as u64)).unwrap_or(0);
    let run = ended.get(chosen)?;
    let from = match part {
        Part::Failed => RedoFrom::Failed,
        Part::All => RedoFrom::All,
        Part::Step => {
            let steps = world.runs.children(&run.key, run.attempt);
            let chosen = usize::try_from(world.prng.below(steps.len() as u64)).unwrap_or(0);
            RedoFrom::Step(steps.get(chosen)?.key.clone())
        }
    };
    Some((run.key.clone(), from))
}

/// Whether a step of a run failed, at any depth, in the last attempt of the step above it.
fn has_failure_below(run: Run, runs: &RunTable) -> bool {
    let mut next = vec![run];
    while let Some(run) = next.pop() {
        let run = run.kept.as_ref().and_then(|kept| runs.get(kept).cloned()).unwrap_or(run);
        let steps = runs.children(&run.key, run.attempt);
        if steps.iter().any(|step| step.status.is_failure()) {
            return true;
        }
        next.extend(steps);
    }
    false
}

impl World {
    /// A request to do a run again was taken.
    fn is_redone(&mut self, request: &RedoRequest, key: &RunKey) {
        let told = match self.runs.get(key) {
            None => "no run".to_owned(),
            Some(run) => match run.redo.as_deref() {
                Some(redo) if Redo { number: 0, ..redo.clone() } == request.redo => {
                    let may = redo.number == 1 || request.once_more || request.redo.key.is_some();
                    let detail = || format!("{key} is number {}", redo.number);
                    self.audit.expect(may, AGAIN_ONCE, detail);
                    return;
                }
                redo => format!("{redo:?}"),
            },
        };
        self.audit.fail("a run that redoes another says so", format!("{key}: {told}"));
    }
}

/// The invariant on how often a run is done again.
const AGAIN_ONCE: &str = "a run is done again once, unless more is asked for";

impl Audit {
    /// A run that does another again has the next number, and no other does that one again by now.
    pub(super) fn again(&mut self, run: &Run, runs: &RunTable) {
        let Some(redo) = run.redo.as_deref().filter(|_| !run.is_child()) else { return };
        let does_same = |other: &&Run| {
            !other.is_child()
                && other.key != run.key
                && other.redo.as_ref().is_some_and(|it| it.of == redo.of)
        };
        let others: Vec<&Run> = runs.all().filter(does_same).collect();
        let is_next = redo.number as usize == others.len() + 1;
        let is_alone = others.iter().all(|other| other.status.is_end());
        self.expect(is_next && is_alone, AGAIN_ONCE, || {
            format!("{} is number {} of those of {}: {others:?}", run.key, redo.number, redo.of)
        });
    }

    /// A kept step ended well in the run that is redone, and has ended from the start.
    pub(super) fn kept(&mut self, run: &Run, runs: &RunTable) {
        let Some(kept) = &run.kept else { return };
        let ended = runs.get(kept);
        let is_good = ended.is_some_and(|ended| {
            ended.status == Status::Complete && ended.job_id == run.job_id && ended.kept.is_none()
        });
        self.expect(is_good, "kept steps ended well", || format!("{} keeps {ended:?}", run.key));
        let has_failed = ended.is_some_and(|ended| has_failure_below(ended.clone(), runs));
        self.expect(!has_failed, "failures below are run again", || format!("{} keeps {kept}", run.key));
        let parent = run.key.parent().and_then(|parent| runs.get(&parent));
        let is_asked =
            parent.is_some_and(|parent| parent.redo.as_ref().is_some_and(|redo| redo.from != RedoFrom::All));
        self.expect(is_asked, "only redone runs keep steps", || run.key.to_string());
        let is_done = run.is_done() && run.status == Status::Complete;
        self.expect(is_done, "a kept step is never run", || format!("{} is made {}", run.key, run.status));
    }

    /// A run is about to be executed, or its record was written anew: it is not kept, and neither is it a step that ended
    /// well, with all its own, in the run that is done again from what failed.
    pub(super) fn may_run(&mut self, run: &Run, runs: &RunTable) {
        self.expect(run.kept.is_none(), "a kept step is never run", || run.key.to_string());
        let Some((parent, step)) = run.key.parent().zip(run.key.step()) else { return };
        let Some(redo) = runs.get(&parent).and_then(|parent| parent.redo.as_deref()) else { return };
        if redo.from != RedoFrom::Failed {
            return;
        }
        // Jobs are not edited here: a step has the same place in both runs.
        let ended = runs.get(&redo.of).and_then(|of| runs.get(&of.key.child(of.attempt, step)));
        let is_again = ended
            .is_none_or(|ended| ended.status != Status::Complete || has_failure_below(ended.clone(), runs));
        self.expect(is_again, "steps that ended well are not run again", || {
            format!("{}: {ended:?}", run.key)
        });
    }
}
