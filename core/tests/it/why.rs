//! Why a run stands where it stands: a sentence for each status, and for each rule that decides.

#![expect(clippy::unwrap_used, reason = "tests")]

use std::collections::BTreeSet;

use chrono::{DateTime, TimeDelta, Utc};
use pumice_core::duration::Span;
use pumice_core::ids::{HostId, JobId, PoolName, RunId, RunKey, WorkerName};
use pumice_core::permits::Permit;
use pumice_core::run::{
    Cause, Duties, Facts, GateFact, Input, Lease, LockLine, Outcome, PausedBy, RetryRule, Run, Status,
    StepFact, StopRequest, Worker, WorkerFacts, decide, explain,
};
use pumice_core::spec::{ActionsWhen, Overlap};
use serde_json::{Value, json};

mod over;

use over::over;

fn now() -> DateTime<Utc> {
    "2026-03-10T12:00:00Z".parse().unwrap()
}

fn ago(seconds: i64) -> DateTime<Utc> {
    now() - TimeDelta::seconds(seconds)
}

fn root(number: u32) -> RunKey {
    RunKey::root(format!("00000000-0000-0000-0000-00000000000{number}").parse().unwrap())
}

/// A run that was dispatched five seconds ago.
fn run() -> Run {
    let run_id: RunId = root(1).run_id().unwrap();
    let about = (JobId::new("etl/load").unwrap(), "cmd".to_owned(), WorkerName::new("core").unwrap());
    let made = Run::dispatched(root(1), run_id, about, ago(5), ago(5), Span::from_days(1));
    Run { retry: RetryRule { limit: 3, ..RetryRule::default() }, ..made }
}

/// The same under way since two minutes.
fn running() -> Run {
    let lease = Lease { owner: Worker("w".to_owned()), until: now() + TimeDelta::minutes(3) };
    Run {
        status: Status::Running,
        lease: Some(lease),
        ts_start: Some(ago(120)),
        hostname: Some("node-7".to_owned()),
        epoch: 1,
        ..run()
    }
}

fn ended(status: Status, reason: Option<&str>) -> Run {
    Run {
        status,
        reason: reason.map(str::to_owned),
        lease: None,
        due_at: None,
        ts_end: Some(now()),
        ..running()
    }
}

/// The same without having begun.
fn unbegun(status: Status, reason: &str) -> Run {
    Run { ts_start: None, hostname: None, ..ended(status, Some(reason)) }
}

fn served() -> Facts {
    Facts { workers: WorkerFacts { is_served: Some(true), ..WorkerFacts::default() }, ..Facts::default() }
}

fn unserved() -> Facts {
    Facts { workers: WorkerFacts { is_served: Some(false), ..WorkerFacts::default() }, ..Facts::default() }
}

fn in_line(holder: Option<RunKey>, place: Option<usize>) -> Facts {
    Facts { line: Some(LockLine { holder, place }), ..served() }
}

fn steps(count: usize) -> Facts {
    let step = |number| StepFact { name: format!("s{number}"), status: Status::Running, fault: None };
    Facts { steps: (0..count).map(step).collect(), is_composite: true, ..served() }
}

fn paused() -> Facts {
    let paused = PausedBy {
        what: "worker core".to_owned(),
        since: ago(600),
        until: Some(now() + TimeDelta::hours(2)),
        by: Some("ada".to_owned()),
        reason: Some("new disk".to_owned()),
    };
    Facts { paused: Some(paused), ..served() }
}

fn workers(alive: usize, last_seen: Option<i64>, ready: Option<u64>) -> Facts {
    let last_seen = last_seen.map(ago);
    let workers = WorkerFacts { is_served: None, alive, last_seen, ready, ..WorkerFacts::default() };
    Facts { workers, ..Facts::default() }
}

/// A folder whose server serves these workers.
fn serving(names: &[&str]) -> Facts {
    let serves = names.iter().map(|name| WorkerName::new(*name).unwrap()).collect();
    let workers = WorkerFacts { is_served: Some(true), serves, ready: Some(1), ..WorkerFacts::default() };
    Facts { workers, ..Facts::default() }
}

fn without_queue() -> Facts {
    Facts { workers: WorkerFacts { without_queue: true, ..WorkerFacts::default() }, ..Facts::default() }
}

/// A run in line for a permit of a pool.
fn gated() -> Run {
    let permit = Permit { ticket: Some(9), ..Permit::of_pool(PoolName::new("warehouse").unwrap()) };
    Run { status: Status::Waiting, first_due: Some(ago(5)), permit: Some(Box::new(permit)), ..run() }
}

fn at_gate(max: Option<u32>, taken: u32, place: Option<usize>) -> Facts {
    let holders = (2..taken + 2).map(root).collect();
    let first = place.map(|place| root(if place == 1 { 1 } else { 9 }));
    Facts { gate: Some(GateFact { max, holders, place, first }), ..served() }
}

/// A folder whose server is stopping since a minute.
fn stopping() -> Facts {
    let workers = WorkerFacts { is_served: Some(true), stopping: Some(ago(60)), ..WorkerFacts::default() };
    Facts { workers, ..Facts::default() }
}

/// A folder whose queue has so many messages, the run's own among them or not.
fn queued(ready: u64, has_message: bool) -> Facts {
    let (ready, has_message) = (Some(ready), Some(has_message));
    let workers = WorkerFacts { is_served: Some(true), ready, has_message, ..WorkerFacts::default() };
    Facts { workers, ..Facts::default() }
}

/// Runs that have not ended.
#[expect(clippy::too_many_lines, reason = "a table")]
fn open() -> Vec<(Run, Facts, Cause, &'static str)> {
    let queue = Run { overlap: Overlap::Queue, ..run() };
    let held = Run {
        status: Status::Waiting,
        first_due: Some(ago(5)),
        not_before: now() + TimeDelta::seconds(25),
        ..queue.clone()
    };
    let suspended = Run { status: Status::Waiting, lease: None, ..running() };
    let retrying = Run {
        status: Status::Retrying,
        attempt: 2,
        lease: None,
        reason: Some("exit status 3".to_owned()),
        not_before: now() + TimeDelta::seconds(90),
        ..running()
    };
    let early = Run { not_before: now() + TimeDelta::minutes(30), ..run() };
    let lost = Run { lease: Some(Lease { owner: Worker("w".to_owned()), until: ago(60) }), ..running() };
    let duties = Duties { actions: Some(ActionsWhen::OnRetry), done: 1, wake_parent: false };
    let acting = Run {
        status: Status::Retrying,
        duties: Some(duties),
        reason: Some("it broke".to_owned()),
        ..running()
    };
    let for_host = Run { host: Some(HostId::new("h-1").unwrap()), ..run() };
    let host = |alive| Facts { host_alive: Some(alive), ..served() };
    let unbegun_for = Some("cannot begin: no disk".to_owned());
    let unbegun_step =
        StepFact { name: "s0".to_owned(), status: Status::Waiting, fault: unbegun_for.clone() };
    let tried =
        Run { crashes: 2, retry: RetryRule { max_tries: 2, ..RetryRule::default() }, ..suspended.clone() };
    vec![
        (run(), served(), Cause::Queue, "it may start: the next free worker core takes it"),
        (
            run(),
            workers(1, Some(3), Some(214)),
            Cause::Queue,
            "it may start: 214 messages are on the queue of worker core, its own among them",
        ),
        (
            run(),
            without_queue(),
            Cause::NoWorker,
            "worker core has no queue in this realm: nothing can take it",
        ),
        (
            run(),
            workers(0, Some(240), None),
            Cause::NoWorker,
            "no worker core is alive: the last was seen at 2026-03-10T12:56:00+01:00, 4m ago",
        ),
        (run(), workers(0, None, Some(1)), Cause::Queue, "it may start: the next free worker core takes it"),
        (
            run(),
            stopping(),
            Cause::NoWorker,
            "the server of this folder is stopping since 2026-03-10T12:59:00+01:00, 1m ago, and begins nothing more; `pumice serve` runs it after that",
        ),
        (
            Run { due_at: Some(now() + TimeDelta::seconds(20)), ..run() },
            queued(5, false),
            Cause::Queue,
            "it may start: a worker core takes it up after 2026-03-10T13:00:20+01:00, in 20s",
        ),
        (
            Run { due_at: Some(now() + TimeDelta::minutes(15)), ..run() },
            queued(5, true),
            Cause::Queue,
            "it may start: 5 messages are on the queue of worker core, its own among them",
        ),
        (
            Run { due_at: Some(now() + TimeDelta::minutes(15)), ..run() },
            queued(1, true),
            Cause::Queue,
            "it may start: the next free worker core takes it",
        ),
        (
            Run { not_before: ago(300), due_at: Some(now() + TimeDelta::minutes(2)), ..run() },
            workers(1, None, Some(0)),
            Cause::Queue,
            "it may start: a worker core takes it up after 2026-03-10T13:02:00+01:00, in 2m",
        ),
        (run(), unserved(), Cause::NoWorker, "nothing serves this folder: `pumice serve` runs it"),
        (
            run(),
            serving(&["edge", "spare"]),
            Cause::NoWorker,
            "nothing serves worker core: this folder's server serves edge, spare",
        ),
        (run(), serving(&["edge", "core"]), Cause::Queue, "it may start: the next free worker core takes it"),
        (
            Run { due_at: Some(ago(600)), ..run() },
            workers(1, None, None),
            Cause::NoSweeper,
            "nothing has looked at it since it was due at 2026-03-10T12:50:00+01:00, 10m ago: no sweeper runs",
        ),
        (
            early.clone(),
            served(),
            Cause::NotBefore,
            "it is not to start before 2026-03-10T13:30:00+01:00, in 30m",
        ),
        // A message may start it two seconds before its time: until then it is not late.
        (
            Run {
                not_before: now() + TimeDelta::seconds(1),
                due_at: Some(now() + TimeDelta::seconds(61)),
                ..run()
            },
            workers(1, None, Some(0)),
            Cause::NotBefore,
            "it is not to start before 2026-03-10T13:00:01+01:00, in 1s",
        ),
        (
            Run { not_before: now() + TimeDelta::seconds(1), ..retrying.clone() },
            served(),
            Cause::Retry,
            "attempt 2 of 3 starts at 2026-03-10T13:00:01+01:00, in 1s; the one before failed: exit status 3",
        ),
        (
            early,
            paused(),
            Cause::Paused,
            "worker core is paused by ada since 2026-03-10T12:50:00+01:00, 10m ago, until 2026-03-10T15:00:00+01:00, in 2h: new disk",
        ),
        (
            held.clone(),
            in_line(Some(root(2)), Some(3)),
            Cause::Lock,
            "run 00000000-0000-0000-0000-000000000002 of the same job holds the lock (overlap: queue); it is third in line",
        ),
        (
            held,
            in_line(None, Some(1)),
            Cause::Lock,
            "the lock of its job is free; it is first in line; it looks again within 30 seconds",
        ),
        (
            gated(),
            at_gate(Some(4), 4, Some(3)),
            Cause::Permit,
            "it waits for pool warehouse: 4 of 4 taken by 00000000-0000-0000-0000-000000000002, 00000000-0000-0000-0000-000000000003, 00000000-0000-0000-0000-000000000004, 1 more; it is third in line",
        ),
        (
            gated(),
            at_gate(Some(4), 1, Some(1)),
            Cause::Permit,
            "it waits for pool warehouse, of which 1 of 4 are taken; it is first in line; it has been called or looks by itself",
        ),
        (
            gated(),
            at_gate(Some(2), 1, Some(2)),
            Cause::Permit,
            "it waits for pool warehouse, of which 1 of 2 are taken; it is second in line, and run 00000000-0000-0000-0000-000000000009, which is first, goes before it",
        ),
        (
            gated(),
            at_gate(None, 0, None),
            Cause::Permit,
            "it waits for pool warehouse, which the realm's definition does not have",
        ),
        (
            queue.clone(),
            in_line(Some(root(2)), None),
            Cause::Lock,
            "run 00000000-0000-0000-0000-000000000002 of the same job holds the lock (overlap: queue)",
        ),
        (
            queue,
            in_line(Some(root(1)), None),
            Cause::Queue,
            "it may start: the next free worker core takes it",
        ),
        (
            running(),
            served(),
            Cause::Running,
            "attempt 1 of 3 runs on node-7 since 2026-03-10T12:58:00+01:00, 2m ago",
        ),
        (
            Run { cancel: true, ..running() },
            served(),
            Cause::Running,
            "attempt 1 of 3 runs on node-7 since 2026-03-10T12:58:00+01:00, 2m ago; it is asked to stop",
        ),
        (
            running(),
            unserved(),
            Cause::WorkerLost,
            "its server is gone: attempt 1 of 3 ran on node-7 since 2026-03-10T12:58:00+01:00, 2m ago; nothing serves this folder: `pumice serve` goes on with it",
        ),
        (
            Run { cancel: true, ..running() },
            unserved(),
            Cause::WorkerLost,
            "its server is gone: attempt 1 of 3 ran on node-7 since 2026-03-10T12:58:00+01:00, 2m ago; nothing serves this folder: `pumice serve` stops it",
        ),
        (
            running(),
            steps(1),
            Cause::Running,
            "attempt 1 of 3 runs on node-7 since 2026-03-10T12:58:00+01:00, 2m ago; under way: s0 (running)",
        ),
        (
            lost,
            served(),
            Cause::WorkerLost,
            "the worker on node-7 that ran it is gone: its claim ran out at 2026-03-10T12:59:00+01:00, 1m ago; the next free worker core takes it",
        ),
        (
            Run {
                reason: unbegun_for.clone(),
                not_before: now() + TimeDelta::seconds(9),
                ..suspended.clone()
            },
            served(),
            Cause::HostFault,
            "attempt 1 of 3 cannot begin: no disk; it is tried again at 2026-03-10T13:00:09+01:00, in 9s",
        ),
        (
            Run { reason: unbegun_for, ..suspended.clone() },
            served(),
            Cause::HostFault,
            "attempt 1 of 3 cannot begin: no disk; it is to be tried again: it may start: the next free worker core takes it",
        ),
        (
            suspended.clone(),
            Facts { steps: vec![unbegun_step], is_composite: true, ..served() },
            Cause::Steps,
            "it waits for its steps: s0 (waiting, cannot begin: no disk)",
        ),
        (
            suspended.clone(),
            steps(5),
            Cause::Steps,
            "it waits for its steps: s0 (running), s1 (running), s2 (running) and 2 more",
        ),
        (
            suspended.clone(),
            served(),
            Cause::Queue,
            "it has begun and is to go on: it may start: the next free worker core takes it",
        ),
        (
            Run { not_before: now() + TimeDelta::seconds(10), ..suspended },
            served(),
            Cause::NotBefore,
            "it goes on at 2026-03-10T13:00:10+01:00, in 10s",
        ),
        (
            retrying,
            served(),
            Cause::Retry,
            "attempt 2 of 3 starts at 2026-03-10T13:01:30+01:00, in 1m 30s; the one before failed: exit status 3",
        ),
        (
            acting.clone(),
            served(),
            Cause::Actions,
            "the actions of attempt 1 of 3 are being done, which failed: it broke",
        ),
        (
            Run { lease: None, ..acting },
            served(),
            Cause::Actions,
            "the actions of attempt 1 of 3 are still to be done; the next free worker core takes it",
        ),
        (
            for_host.clone(),
            host(true),
            Cause::Host,
            "host h-1, which alone may start it, has not taken it yet",
        ),
        (
            for_host,
            host(false),
            Cause::HostGone,
            "host h-1, which alone may start it, is gone: it ends at the next sweep",
        ),
        (
            Run { handed_over: Some(ago(30)), ..run() },
            served(),
            Cause::Foreign,
            "lava worker core was given it at 2026-03-10T12:59:30+01:00, 30s ago, and has not reported its end",
        ),
        (
            Run { cancel: true, ..run() },
            served(),
            Cause::Ending,
            "it ends as cancelled at the next look: cancelled before it ran",
        ),
        (
            Run { status: Status::Running, ..tried },
            served(),
            Cause::Ending,
            "it ends as rejected at the next look: try 3 is more than its max_tries of 2",
        ),
    ]
}

#[test]
fn every_run_says_why_in_one_exact_sentence() {
    for (run, facts, cause, sentence) in open().into_iter().chain(over()) {
        let told = explain(&run, &facts, now(), chrono_tz::Europe::Berlin);
        assert_eq!((told.sentence.as_str(), told.cause), (sentence, cause), "{run:?}");
    }
}

#[test]
fn every_status_of_a_run_has_a_case() {
    let tried: BTreeSet<&str> = open().iter().chain(&over()).map(|(run, ..)| run.status.as_str()).collect();
    assert_eq!(tried, Status::of_runs().map(Status::as_str).collect());
}

#[test]
fn explained_run_names_the_run_and_the_time_it_is_about() {
    let early = Run { not_before: now() + TimeDelta::minutes(30), ..run() };
    let told = explain(&early, &served(), now(), chrono_tz::UTC);
    assert_eq!((told.at, told.by), (Some(early.not_before), None));
    let queue = Run { overlap: Overlap::Queue, ..run() };
    let told = explain(&queue, &in_line(Some(root(2)), Some(1)), now(), chrono_tz::UTC);
    assert_eq!(told.by, Some(root(2)));
    assert_eq!(explain(&run(), &paused(), now(), chrono_tz::UTC).at, Some(now() + TimeDelta::hours(2)));
}

/// Sentences are found by the reasons that the rules write: a word that is changed in one place alone is missed.
#[test]
fn reasons_that_the_rules_write_have_causes() {
    let claimed = {
        let claim = Input::Claim {
            worker: Worker("w".to_owned()),
            hostname: "node-7".to_owned(),
            until: now() + TimeDelta::minutes(5),
            event_log: None,
            admit: None,
        };
        decide(&run(), claim, now()).unwrap().run
    };
    let finish = |outcome: Outcome| {
        let worker = Worker("w".to_owned());
        let input = Input::Finish {
            worker,
            epoch: 1,
            outcome,
            actions: [false; 3],
            tell_parent: false,
            jitter: 0.5,
            rendered: None,
            work: None,
        };
        decide(&claimed, input, now()).unwrap().run
    };
    let failure =
        |reason: &str| Outcome::Failure { reason: reason.to_owned(), result: Value::Null, retryable: false };
    let of = |input: Input| decide(&run(), input, now()).unwrap().run;
    let host = Run { host: Some(HostId::new("h-1").unwrap()), ..run() };
    for (run, cause) in [
        (finish(Outcome::Success(json!(1))), Cause::Complete),
        (finish(Outcome::Cancelled), Cause::Cancelled),
        (finish(failure("exit status 2")), Cause::ExitStatus),
        (of(Input::Cancel), Cause::Cancelled),
        (of(Input::Stop(Box::new(StopRequest::new("ada", Some("no"))))), Cause::Cancelled),
        (of(Input::PassOver { by: root(2) }), Cause::Replaced),
        (of(Input::Replace { by: root(2) }), Cause::Replaced),
        (
            decide(&host, Input::HostGone { stopped: true, on_fail: false }, now()).unwrap().run,
            Cause::HostGone,
        ),
        (
            decide(&host, Input::HostGone { stopped: false, on_fail: false }, now()).unwrap().run,
            Cause::HostGone,
        ),
    ] {
        assert_eq!(explain(&run, &served(), now(), chrono_tz::UTC).cause, cause, "{:?}", run.reason);
    }
    for (run, cause) in [
        (Run { crashes: 6, ..run() }, Cause::WorkerLost),
        (
            Run { crashes: 2, retry: RetryRule { max_tries: 1, ..RetryRule::default() }, ..run() },
            Cause::MaxTries,
        ),
    ] {
        let pumice_core::run::Look::Close(status, reason) = pumice_core::run::look(&run, false, now()) else {
            panic!("it is closed")
        };
        let closed = Run { reason: Some(reason), status, due_at: None, ..run };
        assert_eq!(explain(&closed, &served(), now(), chrono_tz::UTC).cause, cause);
    }
    let old = Run { ts_dispatch: ago(600), not_before: ago(600), ..run() };
    let reason = pumice_core::run::too_late(&old, Some(Span::from_secs(60)), now());
    let late = Run { reason, status: Status::Rejected, due_at: None, ..old };
    assert_eq!(explain(&late, &served(), now(), chrono_tz::UTC).cause, Cause::MaxRunDelay);
}
