//! Faults of whole processes: they stand still, lose their store for a while, and are stopped and started.

use chrono::TimeDelta;
use pumice_core::engine::Halt;

use super::runner::Runner;
use super::scenario::{Setup, chain, dag, limit, nested, overlapping, retry, single};
use super::world::{BEGIN, TaskId, What, World, lock};
use crate::prng::Prng;

/// Between these times, in seconds from the beginning, no call of a store or queue is answered.
pub(crate) type Outage = (u64, u64);

/// The only process that can run the realm's jobs, as the lock of a folder sees to: it may stand still, and its store be
/// out, for longer than its claims hold.
pub(super) fn alone(prng: &mut Prng) -> Setup {
    let build = prng.pick(&[single as fn(&mut Prng) -> Setup, chain, dag, nested, retry]);
    let mut setup = build(prng);
    setup.alone = true;
    if prng.below(2) == 0 {
        let from = prng.pick(&[0, 1, 5, 20, 100]);
        setup.outage = Some((from, from + prng.pick(&[30, 280, 400, 1_500])));
    }
    setup
}

/// Processes that are stopped and replaced, as in a deployment.
pub(super) fn stopped(prng: &mut Prng) -> Setup {
    let build = prng.pick(&[single as fn(&mut Prng) -> Setup, chain, dag, nested, retry, limit, |prng| {
        overlapping(prng, "queue")
    }]);
    let mut setup = build(prng);
    for _ in 0..prng.within(1, 3) {
        let at = prng.pick(&[1, 100, 2_000, 20_000, 200_000]) + prng.below(1_000);
        setup.stops.push((at, prng.pick(&[0, 5_000, 30_000])));
    }
    setup
}

impl World {
    /// Whether the stores and queues are out now.
    pub(super) fn is_out(&self) -> bool {
        let at = |seconds: u64| BEGIN + TimeDelta::seconds(seconds.cast_signed());
        self.outage.is_some_and(|(from, to)| at(from) <= self.now && self.now < at(to))
    }
}

impl Runner {
    /// The process is stopped and another takes over: running attempts may go on for so many milliseconds.
    pub(super) fn stop(&mut self, drain: u64) {
        let halt = std::mem::take(&mut self.halt);
        halt.rest();
        self.engine = self.engine.clone().restarted().halted_by(self.halt.clone());
        let tasks: Vec<TaskId> = self.tasks();
        let mut world = lock(&self.world);
        world.note(|| "the process rests, another takes over".to_owned());
        let at = world.now + TimeDelta::milliseconds(drain.cast_signed());
        world.schedule(at, What::Halt(halt, tasks));
    }

    /// Nothing of a process may go on.
    pub(super) fn halt(&mut self, halt: &Halt, tasks: &[TaskId]) {
        {
            let mut world = lock(&self.world);
            world.note(|| "the resting process stops its running attempts".to_owned());
            let World { audit, runs, .. } = &mut *world;
            tasks.iter().for_each(|task| audit.halted(*task, runs));
        }
        halt.stop();
        self.poll_all(tasks);
    }
}
