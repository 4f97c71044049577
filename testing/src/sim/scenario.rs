//! Scenarios: jobs, requests for them, and requests to stop.

use pumice_core::duration::Span;
use pumice_core::ids::{JobId, RunId};
use pumice_core::request::{DispatchRequest, When};
use serde_json::{Value, json};

use super::clock::{self, Clock};
use super::crowd;
use super::files;
use super::hosts::{self, Visit};
use super::paused::{self, Pausing};
use super::permits::{self, Resizing};
use super::process::{self, Outage};
use super::redo::{self, Redoing};
use super::starts;
use crate::prng::Prng;

/// One request for a run.
#[derive(Clone, Debug)]
pub(crate) struct Ask {
    /// When, in milliseconds from the beginning.
    pub(crate) at: u64,
    pub(crate) request: DispatchRequest,
    /// Whether its key belongs to another request, so that it must be refused if that came first.
    pub(crate) clashes: bool,
}

/// A message that lava's dispatch sent.
#[derive(Clone, Debug)]
pub(crate) struct Letter {
    /// When, in milliseconds from the beginning.
    pub(crate) at: u64,
    pub(crate) job_id: JobId,
    pub(crate) run_id: RunId,
    /// The value under `globals.lava`; null for a job that no caller started.
    pub(crate) lava: Value,
}

/// The start of one simulation.
#[derive(Debug, Default)]
pub(crate) struct Setup {
    pub(crate) jobs: Vec<Value>,
    pub(crate) asks: Vec<Ask>,
    pub(crate) letters: Vec<Letter>,
    /// When some run is cancelled, in milliseconds.
    pub(crate) cancels: Vec<u64>,
    /// How long an invocation may take, in seconds.
    pub(crate) limit: Option<u64>,
    /// Whether runs that are due later than a queue holds a message have schedules.
    pub(crate) schedules: bool,
    /// Whether the realm's settings name the lava worker.
    pub(crate) lava_is_named: bool,
    /// Until when the sweeper is out, in seconds from the beginning.
    pub(crate) sweeper_from: u64,
    /// Whether no other process can run the realm's jobs.
    pub(crate) alone: bool,
    /// For how many seconds from the beginning the queue takes no message; it has many others all the time.
    pub(crate) crowd: Option<u64>,
    /// Whether the steps of a run share a directory that outlives invocations.
    pub(crate) folder: bool,
    /// When such directories are removed, in milliseconds.
    pub(crate) removals: Vec<u64>,
    /// Whether no two steps run at the same time, and nothing is removed.
    pub(crate) serial: bool,
    /// When nothing is answered.
    pub(crate) outage: Option<Outage>,
    /// Jobs that the clock starts.
    pub(crate) clock: Option<Clock>,
    /// When hosts of the worker come and go.
    pub(crate) hosts: Vec<Visit>,
    /// When something is paused, or resumed.
    pub(crate) pausings: Vec<Pausing>,
    /// When the pool of the realm gets another size.
    pub(crate) resizings: Vec<Resizing>,
    /// When some run that has ended is done again.
    pub(crate) redoings: Vec<Redoing>,
    /// How long a look at a run's steps takes at most, in milliseconds: there may be thousands.
    pub(crate) slow_looks: u64,
    /// When the process is stopped, and how long what runs may go on, in milliseconds.
    pub(crate) stops: Vec<(u64, u64)>,
}

/// A kind of simulation.
pub struct Scenario {
    /// Its name, as given to `--scenario`.
    pub name: &'static str,
    pub(crate) build: fn(&mut Prng) -> Setup,
    /// Whether it is so small that pairs of crashes can all be tried.
    pub small: bool,
}

/// Every scenario.
pub const SCENARIOS: [Scenario; 39] = [
    Scenario { name: "single", build: single, small: true },
    Scenario { name: "chain", build: chain, small: true },
    Scenario { name: "dag", build: dag, small: false },
    Scenario { name: "foreach", build: foreach, small: false },
    Scenario { name: "nested", build: nested, small: false },
    Scenario { name: "deep", build: deep, small: false },
    Scenario { name: "fanout", build: fanout, small: false },
    Scenario { name: "skip", build: |prng| overlapping(prng, "skip"), small: true },
    Scenario { name: "queue", build: |prng| overlapping(prng, "queue"), small: true },
    Scenario { name: "cancel", build: cancel, small: false },
    Scenario { name: "retry", build: retry, small: true },
    Scenario { name: "delayed", build: delayed, small: true },
    Scenario { name: "keyed", build: keyed, small: true },
    Scenario { name: "limit", build: limit, small: false },
    Scenario { name: "mix", build: mix, small: false },
    Scenario { name: "timed", build: starts::timed, small: false },
    Scenario { name: "tries", build: starts::tries, small: true },
    Scenario { name: "rendered", build: starts::rendered, small: false },
    Scenario { name: "enabled", build: starts::enabled, small: false },
    Scenario { name: "late", build: starts::late, small: true },
    Scenario { name: "adopted", build: starts::adopted, small: false },
    Scenario { name: "line", build: starts::line, small: true },
    Scenario { name: "ahead", build: starts::ahead, small: true },
    Scenario { name: "foreign", build: starts::foreign, small: true },
    Scenario { name: "alone", build: process::alone, small: false },
    Scenario { name: "stopped", build: process::stopped, small: false },
    Scenario { name: "circle", build: circle, small: false },
    Scenario { name: "clock", build: clock::clock, small: false },
    Scenario { name: "latest", build: |prng| overlapping(prng, "latest"), small: true },
    Scenario { name: "replaced", build: |prng| overlapping(prng, "cancel_running"), small: true },
    Scenario { name: "turns", build: starts::turns, small: false },
    Scenario { name: "hosts", build: hosts::hosts, small: false },
    Scenario { name: "redo", build: redo::redo, small: false },
    Scenario { name: "backlog", build: starts::backlog, small: false },
    Scenario { name: "paused", build: paused::paused, small: false },
    Scenario { name: "pools", build: permits::pools, small: false },
    Scenario { name: "spread", build: spread, small: false },
    Scenario { name: "crowd", build: crowd::crowd, small: false },
    Scenario { name: "files", build: files::files, small: false },
];

/// How many of the first scenarios are mixed: one more would make other scenarios of all seeds.
const MIXED: u64 = 14;

impl Setup {
    /// Adds a job and gives its id.
    pub(super) fn job(&mut self, mut document: Value) -> String {
        let id = format!("j{}", self.jobs.len());
        document["job_id"] = json!(id);
        document["worker"] = json!("core");
        document["enabled"] = json!(true);
        self.jobs.push(document);
        id
    }

    pub(super) fn ask(&mut self, at: u64, job_id: &str) -> &mut DispatchRequest {
        let request = DispatchRequest::new(JobId::new(job_id).expect("an id"));
        self.asks.push(Ask { at, request, clashes: false });
        let last = self.asks.len() - 1;
        &mut self.asks[last].request
    }
}

fn with_actions(prng: &mut Prng, mut document: Value) -> Value {
    for when in ["on_success", "on_retry", "on_fail"] {
        let note = json!({ "action": "note", "when": when });
        match prng.below(6) {
            0 => document[when] = json!([note]),
            1 => document[when] = json!([note.clone(), note]),
            _ => {}
        }
    }
    document
}

fn with_retries(prng: &mut Prng, mut document: Value) -> Value {
    document["iteration_limit"] = json!(prng.pick(&[1, 1, 2, 3]));
    document["iteration_delay"] = json!(prng.pick(&["0s", "5s", "60s"]));
    document["retry_backoff"] = json!(prng.pick(&["fixed", "exponential"]));
    document
}

/// A job that runs by itself.
fn nap(prng: &mut Prng) -> Value {
    let (from, to) = prng.pick(&[(0, 0), (1, 1_000), (1_000, 30_000), (100_000, 400_000)]);
    let payload = json!({
        "from": from,
        "to": to,
        "fail": prng.pick(&[0, 0, 30]),
        "panic": prng.pick(&[0, 0, 0, 10]),
        "permanent": prng.pick(&[0, 0, 0, 10]),
    });
    let document = with_retries(prng, json!({ "type": "nap", "payload": payload }));
    with_actions(prng, document)
}

pub(super) fn short_nap(prng: &mut Prng) -> Value {
    let mut document = nap(prng);
    document["payload"]["from"] = json!(0);
    document["payload"]["to"] = json!(prng.pick(&[0, 500, 20_000]));
    document
}

#[derive(Clone, Copy)]
enum Shape {
    Chain,
    Dag,
    Foreach,
}

/// A job of steps, each one of `of`.
fn steps(prng: &mut Prng, shape: Shape, count: u64, of: &[String]) -> Value {
    let mut list = Vec::new();
    for index in 0..count {
        let after: Vec<u64> = match shape {
            Shape::Chain => index.checked_sub(1).into_iter().collect(),
            Shape::Foreach => Vec::new(),
            Shape::Dag => {
                let mut after: Vec<u64> = (0..prng.below(3).min(index)).map(|_| prng.below(index)).collect();
                after.sort_unstable();
                after.dedup();
                after
            }
        };
        let chosen = usize::try_from(prng.below(of.len() as u64)).unwrap_or(0);
        list.push(json!({ "job": of[chosen], "after": after }));
    }
    let width = match shape {
        Shape::Chain => 1,
        _ => prng.pick(&[1, 2, 4, 100]),
    };
    let can_fail = if prng.below(4) == 0 { json!(["*"]) } else { json!([]) };
    let document =
        json!({ "type": "steps", "payload": { "steps": list, "width": width, "can_fail": can_fail } });
    let document = with_retries(prng, document);
    with_actions(prng, document)
}

fn naps(prng: &mut Prng, setup: &mut Setup, count: u64) -> Vec<String> {
    (0..count).map(|_| setup.job(nap(prng))).collect()
}

pub(super) fn single(prng: &mut Prng) -> Setup {
    let mut setup = Setup::default();
    let job = setup.job(nap(prng));
    setup.ask(0, &job);
    setup
}

fn of_shape(prng: &mut Prng, shape: Shape, most: u64) -> Setup {
    let mut setup = Setup::default();
    let of = naps(prng, &mut setup, 3);
    let count = prng.within(1, most);
    let whole = steps(prng, shape, count, &of);
    let whole = setup.job(whole);
    setup.ask(0, &whole);
    setup
}

pub(super) fn chain(prng: &mut Prng) -> Setup {
    of_shape(prng, Shape::Chain, 4)
}

pub(super) fn dag(prng: &mut Prng) -> Setup {
    of_shape(prng, Shape::Dag, 7)
}

pub(super) fn foreach(prng: &mut Prng) -> Setup {
    of_shape(prng, Shape::Foreach, 8)
}

pub(super) fn nested(prng: &mut Prng) -> Setup {
    let mut setup = Setup::default();
    let mut of: Vec<String> = (0..2).map(|_| setup.job(short_nap(prng))).collect();
    for _ in 0..prng.within(1, 2) {
        let shape = prng.pick(&[Shape::Chain, Shape::Dag, Shape::Foreach]);
        let count = prng.within(1, 3);
        let inner = steps(prng, shape, count, &of);
        of.push(setup.job(inner));
    }
    let shape = prng.pick(&[Shape::Chain, Shape::Dag, Shape::Foreach]);
    let whole = steps(prng, shape, 3, &of);
    let whole = setup.job(whole);
    setup.ask(0, &whole);
    setup
}

/// Steps within steps, nearly as deep as is allowed.
pub(super) fn deep(prng: &mut Prng) -> Setup {
    let mut setup = Setup::default();
    let mut job = setup.job(short_nap(prng));
    for _ in 0..prng.pick(&[4, 10, 30]) {
        let document = json!({ "type": "steps", "payload": { "steps": [{ "job": job }] } });
        let document = with_actions(prng, document);
        job = setup.job(document);
    }
    setup.ask(0, &job);
    setup
}

fn fanout(prng: &mut Prng) -> Setup {
    let mut setup = Setup::default();
    let of: Vec<String> = (0..2).map(|_| setup.job(short_nap(prng))).collect();
    let mut first = short_nap(prng);
    let count = prng.within(1, 5);
    first["payload"]["dispatch"] = (0..count).map(|index| json!(of[usize::from(index % 2 == 0)])).collect();
    first["on_success"] =
        json!([{ "action": "start", "job": of[0] }, { "action": "note", "when": "on_success" }]);
    let first = setup.job(first);
    setup.ask(0, &first);
    setup
}

pub(super) fn overlapping(prng: &mut Prng, overlap: &str) -> Setup {
    let mut setup = Setup::default();
    let mut document = nap(prng);
    document["overlap"] = json!(overlap);
    let mut job = setup.job(document);
    if prng.below(3) == 0 {
        let of = [job.clone()];
        let whole = steps(prng, Shape::Foreach, 2, &of);
        job = setup.job(whole);
    } else if prng.below(3) == 0 {
        let of = [setup.job(short_nap(prng))];
        let mut whole = steps(prng, Shape::Chain, 2, &of);
        whole["overlap"] = json!(overlap);
        job = setup.job(whole);
    }
    for _ in 0..prng.within(2, 4) {
        let at = prng.pick(&[0, 0, 10, 30_000]);
        setup.ask(at, &job);
    }
    setup
}

/// Jobs that are steps of themselves by way of others, with a lock.
fn circle(prng: &mut Prng) -> Setup {
    let mut setup = Setup::default();
    let overlap = prng.pick(&["queue", "skip", "latest", "cancel_running"]);
    let between = prng.below(4);
    let count = between + 1;
    for index in 0..count {
        let next = format!("j{}", (index + 1) % count);
        let mut document = json!({ "type": "steps", "payload": { "steps": [{ "job": next }] } });
        // One of them is enough, and with none it ends as it is too deep.
        if index == 0 || prng.below(2) == 0 {
            document["overlap"] = json!(overlap);
        }
        let document = with_actions(prng, document);
        setup.job(document);
    }
    for _ in 0..prng.within(1, 2) {
        setup.ask(0, "j0");
    }
    setup
}

fn cancel(prng: &mut Prng) -> Setup {
    let build = prng.pick(&[single as fn(&mut Prng) -> Setup, chain, dag, nested, retry, delayed]);
    let mut setup = build(prng);
    for _ in 0..prng.within(1, 3) {
        setup.cancels.push(prng.pick(&[10, 100, 2_000, 100_000, 600_000]) + prng.below(1_000));
    }
    setup
}

pub(super) fn retry(prng: &mut Prng) -> Setup {
    let mut setup = Setup::default();
    let mut document = short_nap(prng);
    document["payload"]["fail"] = json!(60);
    document["iteration_limit"] = json!(4);
    document["on_retry"] = json!([{ "action": "note", "when": "on_retry" }]);
    let job = setup.job(document);
    setup.ask(0, &job);
    setup
}

fn delayed(prng: &mut Prng) -> Setup {
    let mut setup = Setup::default();
    let job = setup.job(short_nap(prng));
    for _ in 0..prng.within(1, 2) {
        let seconds = prng.pick(&[1, 30, 900]);
        setup.ask(0, &job).when = When::After(Span::from_secs(seconds));
    }
    let at = super::world::BEGIN + chrono::TimeDelta::seconds(prng.pick(&[10, 1_000, 5_000]));
    setup.ask(0, &job).when = When::At(at);
    setup
}

fn keyed(prng: &mut Prng) -> Setup {
    let mut setup = Setup::default();
    let job = setup.job(short_nap(prng));
    for _ in 0..prng.within(2, 4) {
        let at = prng.pick(&[0, 5, 100, 60_000]);
        setup.ask(at, &job).idempotency_key = Some("one".to_owned());
    }
    let clash = setup.ask(200_000, &job);
    clash.idempotency_key = Some("one".to_owned());
    clash.parameters.insert("other".to_owned(), json!(true));
    if let Some(ask) = setup.asks.last_mut() {
        ask.clashes = true;
    }
    setup
}

pub(super) fn limit(prng: &mut Prng) -> Setup {
    let mut setup = prng.pick(&[dag as fn(&mut Prng) -> Setup, foreach, nested, chain])(prng);
    for job in &mut setup.jobs {
        if job["type"] == "nap" {
            job["payload"]["from"] = json!(0);
            job["payload"]["to"] = json!(prng.pick(&[1_000, 20_000, 40_000, 200_000]));
        }
    }
    setup.limit = Some(prng.pick(&[100, 300, 900]));
    setup
}

/// Jobs whose steps are runs that any invocation takes, some of them within others.
fn spread(prng: &mut Prng) -> Setup {
    let build = prng.pick(&[foreach as fn(&mut Prng) -> Setup, foreach, dag, nested, limit]);
    let mut setup = build(prng);
    for job in setup.jobs.iter_mut().filter(|job| job["type"] == "steps") {
        job["payload"]["spread"] = json!(true);
        if prng.below(4) == 0 {
            job["timeout"] = json!(prng.pick(&["90s", "1000s"]));
        }
    }
    setup.slow_looks = prng.pick(&[0, 1_000, 1_000]);
    // Many end while their parent looks at the others.
    if prng.below(3) > 0 {
        for job in setup.jobs.iter_mut().filter(|job| job["type"] == "nap") {
            job["payload"]["from"] = json!(0);
            job["payload"]["to"] = json!(500);
        }
    }
    if prng.below(3) == 0 {
        setup.cancels.push(prng.pick(&[10, 100, 2_000, 100_000]) + prng.below(1_000));
    }
    setup
}

fn mix(prng: &mut Prng) -> Setup {
    let mut setup = Setup::default();
    for _ in 0..prng.within(2, 3) {
        let index = usize::try_from(prng.below(MIXED)).unwrap_or(0);
        let other = (SCENARIOS[index].build)(prng);
        setup.join(other);
    }
    setup
}

impl Setup {
    /// Takes in another setup, its jobs under other names.
    fn join(&mut self, other: Self) {
        let prefix = format!("m{}", self.jobs.len());
        let renamed = |id: &str| format!("{prefix}{id}");
        for mut job in other.jobs {
            rename(&mut job, &renamed);
            self.jobs.push(job);
        }
        for mut ask in other.asks {
            ask.request.job_id = JobId::new(renamed(ask.request.job_id.as_str())).expect("an id");
            self.asks.push(ask);
        }
        self.cancels.extend(other.cancels);
        self.limit = self.limit.or(other.limit);
    }
}

/// Renames every job that a job's document names.
fn rename(value: &mut Value, renamed: &dyn Fn(&str) -> String) {
    match value {
        Value::Object(fields) => {
            for (name, field) in fields {
                match (name.as_str(), &mut *field) {
                    ("job_id" | "job", Value::String(id)) => *id = renamed(id),
                    ("dispatch", Value::Array(ids)) => {
                        for id in ids {
                            *id = json!(renamed(id.as_str().unwrap_or_default()));
                        }
                    }
                    (_, field) => rename(field, renamed),
                }
            }
        }
        Value::Array(items) => items.iter_mut().for_each(|item| rename(item, renamed)),
        _ => {}
    }
}
