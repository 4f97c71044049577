//! The rules of permits as tables: which run passes a gate, is called, or leaves the line.

#![expect(clippy::unwrap_used, reason = "tests")]

use chrono::{DateTime, TimeDelta};
use pumice_core::Timestamp;
use pumice_core::duration::Span;
use pumice_core::ids::{JobId, PoolName, RunId, RunKey, WorkerName};
use pumice_core::permits::{
    Admission, Admit, Gate, GateView, MAX_KEY_BYTES, NO_SHOW, Permit, PermitChange, TURN, is_absent, refusal,
};
use pumice_core::run::{
    Decision, Figures, HOLD, Input, Outcome, POLL, RetryRule, Run, Status, Worker, decide,
};
use pumice_core::spec::{JobSpec, Overlap, RealmSpec};
use serde_json::{Value, json};
use uuid::Uuid;

const START: Timestamp = DateTime::from_timestamp(1_767_225_600, 0).unwrap();
const NOW_TICKET: u64 = 1_767_225_600_000_000;

fn at(seconds: i64) -> Timestamp {
    START + TimeDelta::seconds(seconds)
}

fn key(number: u128) -> RunKey {
    RunKey::root(RunId(Uuid::from_u128(number)))
}

fn pool() -> Gate {
    Gate::Pool(PoolName::new("p").unwrap())
}

fn run() -> Run {
    let about = (JobId::new("a").unwrap(), "log".to_owned(), WorkerName::new("core").unwrap());
    let run_id = RunId(Uuid::from_u128(1));
    let mut run = Run::dispatched(key(1), run_id, about, at(0), at(0), Span::from_days(1));
    run.permit = Some(Box::new(Permit::of_pool(PoolName::new("p").unwrap())));
    run
}

fn apply(run: &Run, input: Input, seconds: i64) -> Decision {
    decide(run, input, at(seconds)).unwrap()
}

const ADMIT: Admit = Admit { max: 2, tickets: 7, ticket: None };

fn claim(admit: Option<Admit>) -> Input {
    let (worker, hostname) = (Worker("one".to_owned()), "one".to_owned());
    Input::Claim { worker, hostname, until: at(300), event_log: None, admit }
}

fn close() -> Input {
    let (status, reason, worker) = (Status::Rejected, "too old".to_owned(), Worker("two".to_owned()));
    Input::Close { epoch: 0, status, reason, on_fail: true, tell_parent: false, worker, until: at(900) }
}

fn finish(actions: bool) -> Input {
    Input::Finish {
        worker: Worker("one".to_owned()),
        epoch: 1,
        outcome: Outcome::Success(Value::Null),
        actions: [actions; 3],
        tell_parent: false,
        jitter: 0.5,
        rendered: None,
        work: None,
    }
}

fn waiting() -> Run {
    apply(&run(), Input::Queue { ticket: 8, ahead: 0 }, 0).run
}

#[test]
fn admission_follows_from_the_line_and_permits_left() {
    let view = |holders: &[u128], line: &[u128], more| GateView {
        tickets: 7,
        holders: holders.iter().map(|number| key(*number)).collect(),
        line: line.iter().zip(1..).map(|(number, ticket)| (ticket, key(*number))).collect(),
        more,
    };
    let passes = |max, ticket| Admission::Pass(Admit { max, tickets: 7, ticket });
    let pass = |max| passes(max, None);
    let wait = |ticket, ahead| Admission::Wait { ticket, ahead };
    for (what, view, ticket, max, expected) in [
        ("the gate is empty", view(&[], &[], false), None, 1, pass(1)),
        ("one is left", view(&[2], &[], false), None, 2, pass(2)),
        ("none is left", view(&[2, 3], &[], false), None, 2, wait(NOW_TICKET, 0)),
        ("more run than may", view(&[2, 3, 4], &[], false), None, 2, wait(NOW_TICKET, 0)),
        ("the pool is gone", view(&[], &[], false), None, 0, wait(NOW_TICKET, 0)),
        ("another is first in line", view(&[], &[2], false), None, 1, wait(NOW_TICKET, 1)),
        ("there is one for both", view(&[], &[2], false), None, 2, pass(1)),
        ("the line was not seen whole", view(&[], &[2], true), None, 9, wait(NOW_TICKET, 1)),
        ("it is first in line", view(&[], &[1, 2], false), Some(1), 1, passes(1, Some(1))),
        ("it is second in line", view(&[], &[2, 1], false), Some(2), 1, wait(2, 1)),
        ("it is second of two that may", view(&[], &[2, 1], true), Some(2), 2, passes(1, Some(2))),
        ("it is further back than was looked", view(&[], &[2, 3], true), Some(5), 9, wait(5, 2)),
        ("it has one already", view(&[1], &[2], false), None, 2, pass(1)),
    ] {
        assert_eq!(view.admission(&key(1), ticket, max, at(0)), expected, "{what}");
    }
    let late = GateView { tickets: NOW_TICKET + 5, holders: vec![key(2)], ..GateView::default() };
    assert_eq!(late.admission(&key(1), None, 1, at(0)), wait(NOW_TICKET + 6, 0), "another clock is ahead");
}

#[test]
fn permit_is_taken_once_and_given_back_when_the_run_is_done() {
    let taken = apply(&run(), claim(Some(ADMIT)), 0);
    assert_eq!(taken.permit, Some(PermitChange::Take { gate: pool(), admit: ADMIT }));
    let put_back = Input::Suspend {
        worker: Worker("one".to_owned()),
        epoch: 1,
        resume: Some(Span::ZERO),
        ends: None,
        gathers: None,
        work: None,
        fault: None,
    };
    let suspended = apply(&taken.run, put_back, 1);
    assert_eq!(suspended.permit, None, "a run that gives way keeps it");
    assert_eq!(apply(&suspended.run, claim(None), 2).permit, None, "a run that goes on has it");
    let lost = apply(&taken.run, claim(None), 400);
    assert_eq!(lost.permit, None, "a run whose worker was lost has it");
    let left = Some(PermitChange::Leave { gate: pool(), ticket: None });
    assert_eq!(apply(&taken.run, finish(false), 1).permit, left);
    let ended = apply(&taken.run, finish(true), 1);
    assert_eq!(ended.permit, None, "its actions are still to be done");
    let done = Input::DutiesDone { worker: Worker("one".to_owned()), epoch: 1 };
    assert_eq!(apply(&ended.run, done, 2).permit, left);
    let cancelled = apply(&suspended.run, Input::Cancel, 2);
    assert_eq!(cancelled.permit, None, "one that has begun ends at its next look");
}

#[test]
fn run_in_line_keeps_its_place_until_it_leaves() {
    let queued = apply(&run(), Input::Queue { ticket: 8, ahead: 0 }, 0);
    assert_eq!(queued.permit, Some(PermitChange::Wait { gate: pool(), ticket: 8 }));
    assert!(queued.run.waits_for_permit() && !queued.run.is_in_line(), "it does not wait for a lock");
    assert_eq!(queued.run.not_before, at(0) + HOLD.delta());
    let back = apply(&run(), Input::Queue { ticket: 8, ahead: 500 }, 0).run;
    assert_eq!(back.not_before, at(0) + POLL.delta(), "far back it looks rarely");
    let again = apply(&queued.run, Input::Queue { ticket: 9, ahead: 0 }, 31);
    assert_eq!((again.permit, again.run.permit.unwrap().ticket), (None, Some(8)));
    let called = apply(&queued.run, Input::Freed, 5);
    assert_eq!((called.permit, called.run.not_before), (None, at(5)));
    assert_eq!(called.wake.map(|wake| wake.at), Some(at(0)), "its message goes before those that came later");
    assert!(decide(&called.run, Input::Freed, at(6)).is_err(), "it is called once");
    assert!(decide(&called.run, claim(Some(ADMIT)), at(6)).is_err(), "it stands in line meanwhile");
    let admit = Admit { ticket: Some(8), ..ADMIT };
    let passes = apply(&called.run, claim(Some(admit)), 6);
    assert_eq!(passes.permit, Some(PermitChange::Take { gate: pool(), admit }));
    assert_eq!((passes.run.permit.as_ref().unwrap().ticket, passes.run.first_due), (None, Some(at(0))));
    let left = Some(PermitChange::Leave { gate: pool(), ticket: Some(8) });
    for (what, input) in [
        ("cancelled", Input::Cancel),
        ("passed over for a newer run", Input::PassOver { by: key(2) }),
        ("rejected, its actions still to be done", close()),
        ("paused", Input::Paused { until: None }),
        ("held by the lock of its job", Input::Hold { by: key(2) }),
    ] {
        let decision = decide(&called.run, input, at(7)).unwrap();
        assert_eq!(decision.permit, left, "{what}");
        assert!(!decision.run.waits_for_permit(), "{what}");
    }
    let never = apply(&run(), Input::Cancel, 1);
    assert_eq!(never.permit, None, "it never stood in line");
}

/// The time from when a run was due at first to its first start: nothing that it waits for moves that, nor what comes after.
#[test]
fn wait_is_counted_whatever_a_run_waited_for() {
    let waited = |run: &Run| {
        let mut figures = Figures::default();
        figures.take(run);
        figures.waited(50).map(|waited| waited.as_secs())
    };
    let bare = || Run { permit: None, retry: RetryRule { limit: 3, ..RetryRule::default() }, ..run() };
    let held = |run: &Run| apply(run, Input::Hold { by: key(2) }, 21).run;
    let gated = Run { permit: run().permit, ..bare() };
    let in_line = apply(&gated, Input::Queue { ticket: 8, ahead: 0 }, 1).run;
    let worker = || Worker("one".to_owned());
    let fails = Outcome::Failure { reason: "it broke".to_owned(), result: Value::Null, retryable: true };
    let fail = |epoch| match finish(false) {
        Input::Finish { actions, tell_parent, jitter, rendered, work, .. } => {
            let (worker, outcome) = (worker(), fails.clone());
            Input::Finish { worker, epoch, outcome, actions, tell_parent, jitter, rendered, work }
        }
        other => other,
    };
    for (what, run, wait) in [
        ("its queue", bare(), 60),
        ("its time", Run { not_before: at(20), ..bare() }, 40),
        ("the lock", held(&bare()), 60),
        (
            "its time, and the lock twice",
            apply(&held(&Run { not_before: at(20), ..bare() }), Input::Freed, 55).run,
            40,
        ),
        ("a permit", in_line.clone(), 60),
        ("a permit, and was called", apply(&in_line, Input::Freed, 55).run, 60),
        ("a pause", apply(&bare(), Input::Paused { until: None }, 1).run, 60),
        ("a permit, and a pause", apply(&in_line, Input::Paused { until: None }, 40).run, 60),
    ] {
        let ticket = run.permit.as_ref().and_then(|permit| permit.ticket);
        let admit = run.permit.as_ref().map(|_| Admit { ticket, ..ADMIT });
        let begun = apply(&run, claim(admit), 60).run;
        let rests = Input::Suspend {
            worker: worker(),
            epoch: 1,
            resume: None,
            ends: None,
            gathers: None,
            work: None,
            fault: None,
        };
        let rested = apply(&begun, rests, 70).run;
        let resumed = apply(&apply(&rested, Input::ChildEnded, 80).run, claim(None), 81).run;
        let failed = apply(&resumed, fail(2), 90).run;
        let again = apply(&failed, claim(None), 95).run;
        assert_eq!((failed.status, again.attempt), (Status::Retrying, 2));
        for (when, run) in [(60, begun), (70, rested), (81, resumed), (90, failed), (95, again)] {
            assert_eq!(
                (waited(&run), run.was_due()),
                (u64::try_from(wait).ok(), at(60 - wait)),
                "{what}, at {when}"
            );
        }
    }
}

#[test]
fn run_that_does_not_come_is_passed() {
    let queued = waiting();
    let called = apply(&queued, Input::Freed, 5).run;
    for (what, run, seconds, expected) in [
        ("it waits", &queued, 29, false),
        ("it was to look by itself a moment ago", &queued, 60, false),
        ("it has not looked for long", &queued, 31 + NO_SHOW.delta().num_seconds(), true),
        ("it was called just now", &called, 10, false),
        ("it had its turn", &called, 6 + TURN.delta().num_seconds(), true),
    ] {
        assert_eq!(is_absent(run, at(seconds)), expected, "{what}");
        assert_eq!(decide(run, Input::Absent, at(seconds)).is_ok(), expected, "{what}");
    }
    let passed = apply(&called, Input::Absent, 30);
    assert_eq!(passed.permit, Some(PermitChange::Leave { gate: pool(), ticket: Some(8) }));
    assert!(passed.run.due_at.is_some_and(|due| due > at(30)), "it is looked at again");
    let back = apply(&passed.run, Input::Queue { ticket: 20, ahead: 3 }, 40);
    assert_eq!(back.permit, Some(PermitChange::Wait { gate: pool(), ticket: 20 }), "it stands at the end");
}

#[test]
fn run_that_might_wait_for_itself_is_refused() {
    let key_gate =
        |text: &str| Some(Box::new(Permit { gate: Gate::of_key(text).ok(), ..*run().permit.unwrap() }));
    let below = |run: Run| Run { below: Gate::of_key("k").ok(), ..run };
    let free = || Run { permit: None, ..run() };
    let with_key = || Run { permit: key_gate("k2"), ..run() };
    let locked = |overlap| Run { overlap, ..free() };
    for (run, is_composite, words) in [
        (run(), false, None),
        (
            run(),
            true,
            Some("a job of type log waits for its steps, which might wait for the same pool \"p\""),
        ),
        (with_key(), true, None),
        (below(run()), false, None),
        (below(with_key()), false, Some("must not wait for key \"k2\": give the limit to one of them")),
        (below(locked(Overlap::Queue)), false, Some("must not wait for the lock of job a")),
        (below(locked(Overlap::Skip)), false, None),
        (locked(Overlap::Queue), false, None),
    ] {
        let told = refusal(&run, is_composite);
        match words {
            None => assert_eq!(told, None),
            Some(words) => assert!(told.as_ref().is_some_and(|told| told.contains(words)), "{told:?}"),
        }
    }
}

#[test]
fn key_that_names_nothing_is_refused() {
    for (key, words) in [
        ("", "an empty text"),
        (" \n", "an empty text"),
        (&*"é".repeat(MAX_KEY_BYTES), "512 bytes; the limit is 256"),
        ("a\u{7}b", "control characters"),
    ] {
        let told = Gate::of_key(key).unwrap_err().to_string();
        assert!(told.contains(words), "{told}");
    }
    for gate in [Gate::of_key(" a:b é ").unwrap(), pool()] {
        assert_eq!(gate.to_string().parse::<Gate>().unwrap(), gate);
        assert_eq!(serde_json::from_value::<Gate>(serde_json::to_value(&gate).unwrap()).unwrap(), gate);
    }
    for text in ["", "pool:", "pool:a b", "key:", "lock:a"] {
        assert!(text.parse::<Gate>().is_err(), "{text}");
    }
}

#[test]
fn bad_sizes_and_names_in_specs_are_named() {
    let job = |concurrency: Value| {
        let document = json!({ "job_id": "a", "type": "log", "worker": "core", "payload": "x", "concurrency": concurrency });
        JobSpec::parse(&document)
    };
    assert_eq!(job(json!({ "max": 3 })).unwrap().fields.concurrency.unwrap().max(), 3);
    for (wrong, words) in [
        (json!({ "max": 0 }), "0 is less than 1"),
        (json!({ "max": 1001 }), "1001 is more than 1000"),
        (json!({ "max": "many" }), "max"),
        (json!({ "key": "a" }), "max"),
        (json!({ "max": 1, "kee": "a" }), "kee"),
    ] {
        let told = job(wrong).unwrap_err().to_string();
        assert!(told.contains(words), "{told}");
    }
    let realm = |pools: Value| RealmSpec::parse(&json!({ "realm": "r", "pools": pools }));
    let good = realm(json!({ "p": { "size": 4 } })).unwrap();
    assert_eq!(good.pool_size(&PoolName::new("p").unwrap()), Some(4));
    assert_eq!(good.pool_size(&PoolName::new("q").unwrap()), None);
    for (wrong, words) in [
        (json!({ "p": { "size": 0 } }), "0 is less than 1"),
        (json!({ "p": {} }), "size"),
        (json!({ "a b": { "size": 1 } }), "a b"),
        (json!({ "p": 4 }), "p"),
    ] {
        let told = realm(wrong).unwrap_err().to_string();
        assert!(told.contains(words), "{told}");
    }
}

#[test]
fn stored_realm_with_bad_pools_stops_only_jobs_of_pools() {
    let pool = PoolName::new("p").expect("a name");
    for pools in [json!({ "p": 5 }), json!("x"), json!(["p"]), json!({ "p": { "size": 0 } })] {
        let document = json!({ "realm": "local", "pools": pools });
        let stored = document.as_object().cloned().expect("an object");
        let realm = RealmSpec::stored(stored, &[]).expect("it is taken");
        assert_eq!(realm.pool_size(&pool), None, "{pools}");
        let warnings = &realm.warnings;
        assert!(warnings.iter().any(|one| one.to_string().contains("pools")), "{warnings:?}");
        assert!(RealmSpec::parse(&document).is_err(), "{pools}");
    }
}
