//! Scenarios about when runs start, and with what.

use chrono::TimeDelta;
use pumice_core::duration::Span;
use pumice_core::ids::RunId;
use pumice_core::request::When;
use pumice_core::spec::Overlap;
use serde_json::{Value, json};
use uuid::Uuid;

use super::lava::{GIVEN, lavas};
use super::scenario::{
    Letter, Setup, chain, dag, foreach, limit, nested, overlapping, retry, short_nap, single,
};
use super::world::BEGIN;
use crate::prng::Prng;

/// When the sweeper is back where it is out, in seconds: after every run is due.
const SWEEPER_BACK: u64 = 7_200;

/// Jobs of steps that have a time limit of their own, longer than that of an invocation.
pub(super) fn timed(prng: &mut Prng) -> Setup {
    let mut setup = limit(prng);
    setup.limit = Some(prng.pick(&[100, 300]));
    for job in setup.jobs.iter_mut().filter(|job| job["type"] == "steps") {
        job["timeout"] = json!(prng.pick(&["90s", "400s", "1000s"]));
    }
    setup
}

/// A job that may be started a few times only.
pub(super) fn tries(prng: &mut Prng) -> Setup {
    let mut setup = single(prng);
    for job in &mut setup.jobs {
        job["max_tries"] = json!(prng.pick(&[1, 2, 3]));
    }
    setup
}

/// Jobs that are rendered when they start, and others that are rendered when they are dispatched.
/// Each has a stamp: the attempt that rendered it.
pub(super) fn rendered(prng: &mut Prng) -> Setup {
    let mut setup = prng.pick(&[retry as fn(&mut Prng) -> Setup, single, chain, dag, nested])(prng);
    for job in &mut setup.jobs {
        job["payload"]["stamp"] = json!("{{ globals.lava.iteration }}");
        job["render_at"] = json!(prng.pick(&["run", "auto", "dispatch"]));
        job["iteration_limit"] = json!(prng.pick(&[1, 2, 3]));
    }
    setup
}

/// Jobs that may run or not, as a template says when they are to start.
pub(super) fn enabled(prng: &mut Prng) -> Setup {
    let mut setup = prng.pick(&[single as fn(&mut Prng) -> Setup, chain, dag, foreach, nested])(prng);
    for job in &mut setup.jobs {
        let wanted = prng.below(3) > 0;
        job["enabled"] = json!(if wanted { "{{ 2 > 1 }}" } else { "{{ 1 > 2 }}" });
        job["x-wanted"] = json!(wanted);
    }
    setup
}

/// Jobs that must start soon after they were dispatched, or not at all.
pub(super) fn late(prng: &mut Prng) -> Setup {
    let mut setup = single(prng);
    let job = setup.jobs[0]["job_id"].as_str().map(str::to_owned).unwrap_or_default();
    setup.jobs[0]["max_run_delay"] = json!(prng.pick(&["5s", "60s", "600s"]));
    for _ in 0..prng.within(1, 3) {
        setup.ask(prng.pick(&[0, 100, 30_000]), &job);
    }
    setup
}

/// Many runs of a job that runs one at a time, which wait for half an hour, and some that are due meanwhile, further ahead than a
/// queue holds a message.
pub(super) fn backlog(prng: &mut Prng) -> Setup {
    let mut setup = Setup::default();
    let mut slow = short_nap(prng);
    slow["payload"] = json!({ "from": 150_000, "to": 200_000 });
    slow["iteration_limit"] = json!(1);
    slow["overlap"] = json!("queue");
    let slow = setup.job(slow);
    for _ in 0..prng.within(10, 14) {
        setup.ask(0, &slow);
    }
    let timed = setup.job(short_nap(prng));
    for _ in 0..prng.within(1, 4) {
        let minutes = 16 + prng.below(20);
        let at = BEGIN + TimeDelta::minutes(minutes.cast_signed());
        setup.ask(prng.below(30_000), &timed).when = When::At(at);
    }
    setup
}

/// Jobs that run one at a time, and must start soon after they were dispatched, or not at all. Some
/// are stopped while they wait in line.
pub(super) fn line(prng: &mut Prng) -> Setup {
    let mut setup = overlapping(prng, "queue");
    for job in &mut setup.jobs {
        job["max_run_delay"] = json!(prng.pick(&["5s", "60s", "600s"]));
    }
    if prng.below(2) == 0 {
        // Several end, or fail and wait for another attempt, while others come.
        for job in setup.jobs.iter_mut().filter(|job| job["type"] == "nap") {
            job["payload"] = json!({ "from": 0, "to": 0, "fail": prng.pick(&[0, 60]) });
            job["max_run_delay"] = json!("600s");
        }
        for index in 0..setup.asks.len() {
            setup.asks[index].at = prng.below(200);
        }
    }
    for _ in 0..prng.below(4) {
        setup.cancels.push(prng.pick(&[10, 1_000, 40_000]) + prng.below(1_000));
    }
    setup
}

/// Runs of a job, each with its own rule for others that are there, at once and later.
pub(super) fn turns(prng: &mut Prng) -> Setup {
    let mut setup = overlapping(prng, "latest");
    let ids: Vec<String> = setup.asks.iter().map(|ask| ask.request.job_id.to_string()).collect();
    for id in ids {
        let at = prng.pick(&[0, 10, 5_000, 40_000]) + prng.below(200);
        let request = setup.ask(at, &id);
        let delay = prng.pick(&[0, 0, 5, 60]);
        request.when = if delay == 0 { When::Now } else { When::After(Span::from_secs(delay)) };
    }
    for ask in &mut setup.asks {
        use Overlap::{CancelRunning, Latest, Queue, Skip};
        ask.request.overlap = prng.pick(&[None, Some(Latest), Some(CancelRunning), Some(Queue), Some(Skip)]);
    }
    for _ in 0..prng.below(3) {
        setup.cancels.push(prng.pick(&[10, 1_000, 40_000]) + prng.below(1_000));
    }
    setup
}

/// Runs that are due long after they are asked for, in a realm that makes schedules for them. The sweeper
/// may be out until long after that.
pub(super) fn ahead(prng: &mut Prng) -> Setup {
    let mut setup = Setup { schedules: true, ..Setup::default() };
    let job = setup.job(short_nap(prng));
    for _ in 0..prng.within(1, 3) {
        let due = BEGIN + TimeDelta::seconds(prng.pick(&[950, 2_000, 5_000]));
        let at = prng.pick(&[0, 20_000, 100_000]);
        let request = setup.ask(at, &job);
        request.when = When::At(due);
        if prng.below(3) == 0 {
            request.idempotency_key = Some(format!("due at {due}"));
        }
    }
    if prng.below(3) == 0 {
        setup.cancels.push(prng.pick(&[200_000, 1_000_000, 4_990_000, 5_010_000]));
    }
    if prng.below(2) == 0 {
        setup.sweeper_from = SWEEPER_BACK;
    }
    setup
}

/// Runs of a lava worker.
pub(super) fn foreign(prng: &mut Prng) -> Setup {
    let mut setup = Setup { lava_is_named: prng.below(3) > 0, ..Setup::default() };
    let job = setup.job(short_nap(prng));
    setup.jobs[0]["worker"] = json!(lavas());
    for _ in 0..prng.within(1, 3) {
        let at = prng.pick(&[0, 20_000, 100_000]);
        let due = BEGIN + TimeDelta::seconds(prng.pick(&[400, 950, 2_000]));
        let request = setup.ask(at, &job);
        request.globals.insert(GIVEN.to_owned(), json!(true));
        if prng.below(2) == 0 {
            request.when = When::At(due);
        }
        if prng.below(3) == 0 {
            request.idempotency_key = Some(format!("due at {due}"));
        }
    }
    if prng.below(3) == 0 {
        setup.cancels.push(prng.pick(&[10, 1_000, 200_000, 1_000_000]));
    }
    setup
}

/// Messages that lava's dispatch sent, which have no record.
pub(super) fn adopted(prng: &mut Prng) -> Setup {
    let mut setup = prng.pick(&[single as fn(&mut Prng) -> Setup, retry, chain, nested])(prng);
    for ask in std::mem::take(&mut setup.asks) {
        for _ in 0..prng.within(1, 3) {
            let lava = json!({
                "master_job_id": "top", "master_start": "2026-01-01T00:00:00+00:00",
                "parent_job_id": "above", "parent_start": "2026-01-01T00:00:01+00:00",
            });
            let number = 1 + setup.letters.len() as u128;
            setup.letters.push(Letter {
                at: ask.at + prng.pick(&[0, 10, 60_000]),
                job_id: ask.request.job_id.clone(),
                run_id: RunId(Uuid::from_u128((1 << 126) | number)),
                lava: if prng.below(2) == 0 { lava } else { Value::Null },
            });
        }
    }
    setup
}
