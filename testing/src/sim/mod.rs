//! The simulation: the real engine over ports that fail, in virtual time, from one seed.

mod audit;
mod clients;
mod clock;
mod crowd;
mod ending;
mod fakes;
mod faults;
mod files;
mod hand;
mod hosts;
mod lava;
mod mutants;
mod paused;
mod permits;
mod process;
mod records;
mod redo;
mod runner;
mod scenario;
mod starts;
mod versions;
mod world;

use std::collections::BTreeSet;
use std::sync::{Arc, LazyLock};

use chrono::TimeDelta;
use pumice_core::spec::{JobSpec, RealmSpec};
use serde_json::{Value, json};

pub use audit::Violation;
pub use mutants::Mutant;
pub use scenario::{SCENARIOS, Scenario};

use crate::prng::Prng;
use faults::{Crashes, Faults};
use hosts::Fleet;
use runner::{Outcome, Runner};
use world::{BEGIN, LATE, World};

/// The result of one simulation.
#[derive(Debug)]
pub struct Report {
    /// The seed.
    pub seed: u64,
    /// The scenario.
    pub scenario: &'static str,
    /// How many things happened.
    pub steps: u64,
    /// How many port calls there were.
    pub calls: u64,
    /// The invariant that was violated, if any.
    pub violation: Option<Violation>,
    /// The events, when they were asked for.
    pub trace: Vec<String>,
}

static REALM: LazyLock<Arc<RealmSpec>> = LazyLock::new(|| {
    // A constant document that holds.
    Arc::new(
        RealmSpec::parse(&json!({ "realm": "sim", "s3_temp": "s3://sim/tmp" }))
            .expect("the simulation's realm holds"),
    )
});

/// The scenario of this name.
#[must_use]
pub fn scenario(name: &str) -> Option<&'static Scenario> {
    SCENARIOS.iter().find(|scenario| scenario.name == name)
}

/// The scenario of a seed when none is named.
#[must_use]
pub fn scenario_of(seed: u64) -> &'static Scenario {
    &SCENARIOS[usize::try_from(seed % SCENARIOS.len() as u64).unwrap_or(0)]
}

/// Simulates a scenario from a seed, with faults by chance.
#[must_use]
pub fn simulate(seed: u64, scenario: &'static Scenario, mutant: Option<Mutant>, traced: bool) -> Report {
    let mut prng = Prng::new(seed);
    let faults = Faults::random(&mut prng);
    run(seed, scenario, faults, mutant, traced)
}

/// Simulates a scenario from a seed, with crashes at these port calls and nothing else: each is
/// the number of a call, and whether the crash comes after it took place.
#[must_use]
pub fn simulate_crashes(seed: u64, scenario: &'static Scenario, crashes: Crashes, traced: bool) -> Report {
    let transactional = seed.is_multiple_of(2);
    run(seed, scenario, Faults::At { crashes, transactional }, None, traced)
}

fn run(
    seed: u64,
    scenario: &'static Scenario,
    faults: Faults,
    mutant: Option<Mutant>,
    traced: bool,
) -> Report {
    let mut setup = (scenario.build)(&mut Prng::new(seed ^ 0x5ce7_a210));
    let mut world = World::new(Prng::new(seed ^ 0x0dde_4000), faults, mutant, REALM.clone(), traced);
    world.audit.prompt = world.faults.is_none();
    world.lava.named = setup.lava_is_named;
    world.alone = setup.alone && mutant != Some(Mutant::OwnTakenForLost);
    world.audit.alone = setup.alone;
    world.outage = setup.outage;
    world.slow_looks = setup.slow_looks;
    world.folder = setup.folder;
    world.disk.safe = setup.serial && world.faults.is_none();
    if let Some(seconds) = setup.crowd {
        world.crowded(seconds);
    }
    world.audit.prompt &= setup.outage.is_none() && setup.clock.is_none() && setup.crowd.is_none();
    world.audit.steps_prompt = world.audit.prompt && setup.limit.is_none() && setup.stops.is_empty();
    if !setup.hosts.is_empty() {
        world.schedule_visits(&setup.hosts);
        world.fleet = Some(Fleet::new(std::mem::take(&mut setup.hosts)));
    }
    world.paused.is_used = !setup.pausings.is_empty();
    if world.paused.is_used {
        world.audit.late = paused::LAPSE;
    }
    if setup.schedules {
        world.schedules = Some(BTreeSet::new());
    }
    if setup.sweeper_from > 0 {
        world.sweeper_from = BEGIN + TimeDelta::seconds(setup.sweeper_from.cast_signed());
        world.audit.late = LATE;
    }
    for document in std::mem::take(&mut setup.jobs) {
        let Value::Object(document) = document else { continue };
        let job = JobSpec::from_checked(Arc::new(document));
        let job_id = job.as_ref().expect("jobs of scenarios hold").fields.job_id.clone();
        world.jobs.insert(job_id, job.map(Arc::new));
    }
    let Outcome { steps, calls, violation, trace } = Runner::new(world, setup).run();
    Report { seed, scenario: scenario.name, steps, calls, violation, trace }
}
