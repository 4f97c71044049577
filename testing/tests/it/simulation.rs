//! The simulation as ordinary tests: fresh seeds, seeds that once found a bug, and crashes at
//! every port call.

use std::sync::atomic::{AtomicU64, Ordering};

use pumice_testing::sim::{
    Mutant, Report, SCENARIOS, Scenario, scenario, scenario_of, simulate, simulate_crashes,
};

/// Calls a function with each number below `count`, on every core.
fn over(count: u64, each: impl Fn(u64) + Sync) {
    let next = AtomicU64::new(0);
    let threads = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
    std::thread::scope(|scope| {
        for _ in 0..threads {
            scope.spawn(|| {
                loop {
                    let number = next.fetch_add(1, Ordering::Relaxed);
                    if number >= count {
                        return;
                    }
                    each(number);
                }
            });
        }
    });
}

fn assert_holds(report: &Report, how: &str) {
    if let Some(violation) = &report.violation {
        panic!("seed {}, scenario {}{how}: {violation:?}", report.seed, report.scenario);
    }
}

#[test]
fn fresh_seeds_hold() {
    over(3_000, |seed| assert_holds(&simulate(seed, scenario_of(seed), None, false), ""));
}

/// Seeds that found a bug in the engine or its rules, with what the bug was.
const FOUND: [(u64, &str, &str); 18] = [
    (41, "mix", "a claim decided again after a conflict started a run that had ended"),
    (17, "foreach", "a refused read after a claim left the run held, and its attempt was made twice"),
    (31, "foreach", "a store that did not answer the write of an outcome lost the outcome"),
    (265, "mix", "a child was run after its parent had ended"),
    (13, "mix", "a host that stood still after its claim ran the job at the same time as its successor"),
    (125, "mix", "a record that was read did not equal the one that was written"),
    (1_577, "retry", "the same, by nanoseconds of a random delay"),
    (10_955, "queue", "a run whose worker was lost was made to wait for its own lock"),
    (3_049_446, "fanout", "an action recorded as done twice counted for the one after it"),
    (
        11_075_247,
        "keyed",
        "a client that got no answer met the run it had made itself; the check took that for another request",
    ),
    (1_930, "deep", "the simulation looked for room for another invocation once for each message in line"),
    (4_298, "dag", "a step that ended elsewhere was noticed only when one that ran here had ended"),
    (968, "timed", "the timeout of a job of steps was counted anew by each invocation"),
    (1_314, "late", "a host that stood still rejected as too late a run that others had started meanwhile"),
    (6_329, "queue", "a run that was held meanwhile was taken for one that was woken"),
    (4_968, "queue", "a run that got into line just after the lock was free was woken by no other run"),
    (146_908, "skip", "a host that stood still claimed a child after its parent had ended"),
    (
        930_197,
        "clock",
        "the simulation took alerts of two slots without a run for one, as they were up at the same time",
    ),
];

#[test]
fn seeds_that_found_bugs_hold() {
    for (seed, name, bug) in FOUND {
        let scenario = scenario(name).unwrap();
        assert_holds(&simulate(seed, scenario, None, false), &format!(" ({bug})"));
    }
}

#[test]
fn seed_gives_the_same_steps_each_time() {
    for seed in 0..28 {
        let [one, other] = [(); 2].map(|()| simulate(seed, scenario_of(seed), None, true));
        assert_eq!(one.trace, other.trace, "seed {seed}");
        assert!(!one.trace.is_empty());
    }
}

/// A seed and a scenario by which each mutant was caught, as `pumice-testing mutants` prints them: the rarest takes 10,000 seeds.
const CAUGHT: &str = include_str!("mutants.txt");

/// Whether a mutant is caught by the seed that caught it before. After a change of the engine another one may be needed.
fn is_caught_again(mutant: Mutant) -> bool {
    let name = format!("{mutant:?}: caught by seed ");
    let Some(line) = CAUGHT.lines().find_map(|line| line.strip_prefix(&name)) else { return false };
    let Some((seed, named)) = line.split_once(", ") else { return false };
    let named = named.split(':').next().and_then(scenario);
    seed.parse().ok().zip(named).is_some_and(|(seed, scenario)| {
        simulate(seed, scenario, Some(mutant), false).violation.is_some()
            && simulate(seed, scenario, None, false).violation.is_none()
    })
}

#[test]
fn every_mutant_is_caught() {
    for mutant in Mutant::ALL.into_iter().filter(|mutant| !is_caught_again(*mutant)) {
        let caught = AtomicU64::new(0);
        // The rarest are seen once in some 10,000 seeds; of the others a few are enough.
        over(20_000, |seed| {
            if caught.load(Ordering::Relaxed) == 0
                && simulate(seed, scenario_of(seed), Some(mutant), false).violation.is_some()
            {
                caught.fetch_add(1, Ordering::Relaxed);
            }
        });
        assert!(caught.into_inner() > 0, "{mutant:?} is not caught");
        eprintln!(
            "{mutant:?} took a search: write testing/tests/it/mutants.txt anew with `pumice-testing mutants`"
        );
    }
}

/// The seed that gives the scenario with the most port calls below `limit`, else with the fewest.
fn seed_for(scenario: &'static Scenario, limit: u64) -> (u64, u64) {
    let calls = |seed| simulate_crashes(seed, scenario, Vec::new(), false).calls;
    let seeds: Vec<(u64, u64)> = (0..40).map(|seed| (seed, calls(seed))).collect();
    let fitting = seeds.iter().filter(|(_, calls)| *calls < limit).max_by_key(|(_, calls)| *calls);
    *fitting.or(seeds.iter().min_by_key(|(_, calls)| *calls)).expect("there are seeds")
}

/// One crash before or after each port call, in every scenario.
#[test]
fn crash_at_any_call_is_survived() {
    for scenario in &SCENARIOS {
        for limit in [40, 150] {
            let (seed, calls) = seed_for(scenario, limit);
            over(calls * 2, |number| {
                let crash = (number / 2 + 1, number % 2 == 1);
                let report = simulate_crashes(seed, scenario, vec![crash], false);
                assert_holds(&report, &format!(", crash {crash:?}"));
            });
        }
    }
}

/// Two crashes, before or after any two port calls, in the small scenarios.
#[test]
fn two_crashes_at_any_calls_are_survived() {
    for scenario in SCENARIOS.iter().filter(|scenario| scenario.small) {
        let (seed, calls) = seed_for(scenario, 24);
        over(calls * 2, |number| {
            let first = (number / 2 + 1, number % 2 == 1);
            // After the first the calls are others: as many as the rest of this run has.
            let all = simulate_crashes(seed, scenario, vec![first], false).calls;
            for second in first.0 + 1..=all {
                for after in [false, true] {
                    let crashes = vec![first, (second, after)];
                    let report = simulate_crashes(seed, scenario, crashes.clone(), false);
                    assert_holds(&report, &format!(", crashes {crashes:?}"));
                }
            }
        });
    }
}

/// The page of promises to users names each bug that would break one.
#[test]
fn lifecycle_page_names_every_mutant() {
    let page = include_str!("../../../docs/LIFECYCLE.md");
    for mutant in Mutant::ALL {
        assert!(page.contains(&format!("`{mutant:?}`")), "{mutant:?} breaks no promise of the page");
    }
}
