//! The commands, one function each.

use std::collections::BTreeMap;
use std::process::ExitCode;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

use clap::Args;
use pumice_testing::sim::{Mutant, Report, SCENARIOS, Scenario, scenario, scenario_of, simulate};

/// Most violations that are shown in full.
const MAX_SHOWN: usize = 3;

fn parse_scenario(name: &str) -> Result<&'static Scenario, String> {
    scenario(name).ok_or_else(|| {
        let names: Vec<&str> = SCENARIOS.iter().map(|scenario| scenario.name).collect();
        format!("no such scenario; known: {}", names.join(", "))
    })
}

/// Simulates the life of runs while everything fails.
#[derive(Args)]
pub(crate) struct Sim {
    /// How many seeds.
    #[arg(long, default_value_t = 10_000)]
    seeds: u64,
    /// The first of them.
    #[arg(long, default_value_t = 0)]
    from: u64,
    /// Replays this seed alone and prints what happened.
    #[arg(long)]
    seed: Option<u64>,
    /// Only this scenario.
    #[arg(long, value_parser = parse_scenario)]
    scenario: Option<&'static Scenario>,
}

impl Sim {
    fn scenario(&self, seed: u64) -> &'static Scenario {
        self.scenario.unwrap_or_else(|| scenario_of(seed))
    }

    pub(crate) fn run(&self) -> ExitCode {
        if let Some(seed) = self.seed {
            let report = simulate(seed, self.scenario(seed), None, true);
            show(&report);
            println!("seeds 1, steps {}, violations {}", report.steps, u64::from(report.violation.is_some()));
            return code(report.violation.is_none());
        }
        let started = Instant::now();
        let steps = AtomicU64::new(0);
        let found = Mutex::new(Vec::new());
        over_seeds(self.from, self.seeds, |seed| {
            let report = simulate(seed, self.scenario(seed), None, false);
            steps.fetch_add(report.steps, Ordering::Relaxed);
            if let Some(violation) = report.violation {
                found.lock().expect("no thread panics").push((seed, violation.invariant));
            }
        });
        let mut found = found.into_inner().expect("no thread panics");
        found.sort_unstable();
        for (seed, _) in found.iter().take(MAX_SHOWN) {
            show(&simulate(*seed, self.scenario(*seed), None, true));
        }
        let mut by_invariant = BTreeMap::<&str, Vec<u64>>::new();
        for (seed, invariant) in &found {
            by_invariant.entry(invariant).or_default().push(*seed);
        }
        for (invariant, seeds) in by_invariant {
            println!("{invariant}: {} seeds, the first {:?}", seeds.len(), &seeds[..seeds.len().min(10)]);
        }
        let (steps, seconds) = (steps.into_inner(), started.elapsed().as_secs_f64());
        println!("seeds {}, steps {steps}, violations {} ({seconds:.1} s)", self.seeds, found.len());
        code(found.is_empty())
    }
}

fn code(good: bool) -> ExitCode {
    if good { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

/// Calls a function with each seed, on every core.
fn over_seeds(from: u64, count: u64, each: impl Fn(u64) + Sync) {
    let next = AtomicU64::new(from);
    let threads = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
    std::thread::scope(|scope| {
        for _ in 0..threads {
            scope.spawn(|| {
                loop {
                    let seed = next.fetch_add(1, Ordering::Relaxed);
                    if seed >= from + count {
                        return;
                    }
                    each(seed);
                }
            });
        }
    });
}

fn show(report: &Report) {
    for line in &report.trace {
        println!("{line}");
    }
    let Report { seed, scenario, .. } = report;
    match &report.violation {
        Some(violation) => println!(
            "violation: seed {seed}, scenario {scenario}: {}: {}\nreplay: sim --seed {seed} --scenario {scenario}",
            violation.invariant, violation.detail
        ),
        None => println!("seed {seed}, scenario {scenario}: no violation in {} steps", report.steps),
    }
}

/// Puts in deliberate bugs and looks whether the simulation sees each.
#[derive(Args)]
pub(crate) struct Mutants {
    /// How many seeds are tried for each, at most.
    #[arg(long, default_value_t = 20_000)]
    seeds: u64,
    /// Only this scenario.
    #[arg(long, value_parser = parse_scenario)]
    scenario: Option<&'static Scenario>,
    /// Only these bugs, by name.
    names: Vec<String>,
}

impl Mutants {
    pub(crate) fn run(&self) -> ExitCode {
        let mut caught = 0;
        let is_asked = |mutant: &Mutant| self.names.is_empty() || self.names.contains(&format!("{mutant:?}"));
        let asked: Vec<Mutant> = Mutant::ALL.into_iter().filter(is_asked).collect();
        for mutant in asked.iter().copied() {
            let first = Mutex::new(None::<Report>);
            over_seeds(0, self.seeds, |seed| {
                if first.lock().expect("no thread panics").is_some() {
                    return;
                }
                let scenario = self.scenario.unwrap_or_else(|| scenario_of(seed));
                let report = simulate(seed, scenario, Some(mutant), false);
                if report.violation.is_some() {
                    let mut first = first.lock().expect("no thread panics");
                    first.get_or_insert(report);
                }
            });
            match first.into_inner().expect("no thread panics") {
                Some(Report { seed, scenario, violation: Some(violation), .. }) => {
                    caught += 1;
                    println!("{mutant:?}: caught by seed {seed}, {scenario}: {}", violation.invariant);
                }
                _ => println!("{mutant:?}: NOT CAUGHT in {} seeds", self.seeds),
            }
        }
        println!("mutants caught {caught} of {}", asked.len());
        code(!asked.is_empty() && caught == asked.len())
    }
}
