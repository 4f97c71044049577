//! Pauses: which runs they keep from starting, and what becomes of these.

#![expect(clippy::unwrap_used, reason = "tests")]

use chrono::{DateTime, TimeDelta, Utc};
use pumice_core::duration::Span;
use pumice_core::ids::{JobId, PoolName, RunId, RunKey, WorkerName};
use pumice_core::pauses::{IfPaused, Pause, Pauses, Scope};
use pumice_core::permits::Permit;
use pumice_core::run::{IllegalTransition, Input, Run, Status, decide};

fn now() -> DateTime<Utc> {
    "2026-03-10T12:00:00Z".parse().unwrap()
}

fn run() -> Run {
    let run_id: RunId = "00000000-0000-0000-0000-000000000001".parse().unwrap();
    let about = (JobId::new("etl/load").unwrap(), "cmd".to_owned(), WorkerName::new("core").unwrap());
    Run::dispatched(RunKey::root(run_id), run_id, about, now(), now(), Span::from_days(1))
}

fn pause(scope: Scope, until: Option<i64>) -> Pause {
    let until = until.map(|seconds| now() + TimeDelta::seconds(seconds));
    Pause { scope, since: now(), until, by: Some("ada".to_owned()), why: None, everything: false }
}

fn job(pattern: &str) -> Scope {
    Scope::Job(pattern.to_owned())
}

fn worker(name: &str) -> Scope {
    Scope::Worker(WorkerName::new(name).unwrap())
}

fn pauses(all: Vec<Pause>) -> Pauses {
    Pauses { rev: 1, all }
}

#[test]
fn pause_is_of_the_runs_of_its_scope() {
    for (scope, is_paused) in [
        (Scope::Realm, true),
        (worker("core"), true),
        (worker("gpu"), false),
        (job("etl/load"), true),
        (job("etl/*"), true),
        (job("etl"), false),
    ] {
        for (until, is_over) in [(None, false), (Some(1), false), (Some(0), true), (Some(-9), true)] {
            let all = pauses(vec![pause(scope.clone(), until)]);
            assert_eq!(all.of(&run(), now()).is_some(), is_paused && !is_over, "{scope:?} {until:?}");
        }
    }
}

#[test]
fn run_that_has_begun_or_is_a_step_is_not_paused() {
    let all = pauses(vec![pause(Scope::Realm, None)]);
    let step = Run { key: run().key.child(1, 0), ..run() };
    let begun = Run { ts_start: Some(now()), status: Status::Waiting, ..run() };
    let asked = Run { cancel: true, ..run() };
    let ended = Run { status: Status::Cancelled, ..run() };
    for run in [step, begun, asked, ended] {
        assert_eq!(all.of(&run, now()), None, "{run:?}");
    }
    let in_line = Run { status: Status::Waiting, first_due: Some(now()), ..run() };
    assert!(all.of(&in_line, now()).is_some(), "it has yet to start");
}

/// Whatever has more to be done waits in a realm that stands still, until that pause is ended; an ordinary pause in its place
/// does not set it going.
#[test]
fn realm_that_stands_still_holds_runs_that_have_begun() {
    let still = Pause { everything: true, ..pause(Scope::Realm, None) };
    let all = pauses(vec![still.clone(), pause(job("*"), None)]);
    let step = Run { key: run().key.child(1, 0), ..run() };
    let begun = Run { ts_start: Some(now()), status: Status::Running, ..run() };
    let retried = Run { ts_start: Some(now()), status: Status::Waiting, ..run() };
    let asked = Run { cancel: true, ..run() };
    for run in [run(), step, begun, retried, asked] {
        assert_eq!(all.of(&run, now()), Some(&still), "{run:?}");
    }
    let ended = Run { status: Status::Complete, duties: None, ..run() };
    assert_eq!(all.of(&ended, now()), None);
    assert_eq!(all.stands_still(now()), Some(&still));
    let replaced = all.with(pause(Scope::Realm, Some(60)), now());
    assert!(replaced.stands_still(now()).is_some(), "{replaced:?}");
    // A pause that ends sooner does not set it going.
    assert!(replaced.stands_still(now() + TimeDelta::seconds(60)).is_some(), "{replaced:?}");
    let for_a_minute = pauses(vec![Pause { everything: true, ..pause(Scope::Realm, Some(60)) }]);
    let longer = for_a_minute.with(pause(Scope::Realm, Some(90)), now());
    assert!(longer.stands_still(now() + TimeDelta::seconds(80)).is_some(), "{longer:?}");
    assert_eq!(longer.stands_still(now() + TimeDelta::seconds(90)), None);
    assert_eq!(replaced.without(&Scope::Realm, now()).stands_still(now()), None);
    assert_eq!(pauses(vec![pause(Scope::Realm, None)]).stands_still(now()), None);
    // A record of a version before this one has no such field.
    let read: Pause = serde_json::from_str(r#"{"scope":"realm","since":1}"#).unwrap();
    assert!(!read.everything);
}

#[test]
fn pause_that_lasts_longest_is_reported() {
    let all = pauses(vec![
        pause(job("*"), Some(60)),
        pause(worker("core"), Some(600)),
        pause(Scope::Realm, Some(-1)),
    ]);
    assert_eq!(all.of(&run(), now()).unwrap().scope, worker("core"));
    let all = pauses(vec![pause(job("*"), None), pause(worker("core"), Some(600))]);
    assert_eq!(all.of(&run(), now()).unwrap().scope, job("*"));
}

#[test]
fn record_has_one_pause_of_each_scope_and_none_that_is_over() {
    let before =
        pauses(vec![pause(job("a"), None), pause(job("b"), Some(-1)), pause(Scope::Realm, Some(60))]);
    let next = before.with(pause(job("a"), Some(60)), now());
    let scopes: Vec<&Scope> = next.all.iter().map(|pause| &pause.scope).collect();
    assert_eq!((next.rev, scopes), (2, vec![&Scope::Realm, &job("a")]));
    assert_eq!(next.all[1].until, Some(now() + TimeDelta::seconds(60)));
    let resumed = next.without(&Scope::Realm, now());
    assert_eq!((resumed.rev, resumed.all.len()), (3, 1));
    assert_eq!(resumed.without(&worker("core"), now()).all, resumed.all, "it had none");
}

#[test]
fn paused_run_is_looked_at_more_rarely_and_at_the_end() {
    let put_off =
        |run: &Run, until, now| decide(run, Input::Paused { until }, now).map(|decision| decision.run);
    let first = put_off(&run(), None, now()).unwrap();
    assert_eq!((first.status, first.due_at), (Status::Dispatched, Some(now() + TimeDelta::minutes(1))));
    assert_eq!(first.not_before, run().not_before, "its max_run_delay counts on");
    let later = now() + TimeDelta::minutes(10);
    assert_eq!(put_off(&first, None, later).unwrap().due_at, Some(later + TimeDelta::minutes(10)));
    let soon = later + TimeDelta::minutes(2);
    assert_eq!(put_off(&first, Some(soon), later).unwrap().due_at, Some(soon));
    let much_later = now() + TimeDelta::days(1);
    assert_eq!(put_off(&first, None, much_later).unwrap().due_at, Some(much_later + TimeDelta::minutes(15)));
    let begun = Run { ts_start: Some(now()), status: Status::Running, ..run() };
    assert_eq!(put_off(&begun, None, now()), Err(IllegalTransition::Nothing));
    let ended = Run { status: Status::Cancelled, due_at: None, ..run() };
    assert_eq!(put_off(&ended, None, now()), Err(IllegalTransition::Ended));
}

/// After a pause was changed or taken away: a run that nothing keeps any more, and one that may have been put off for longer
/// than the pause that is left lasts.
#[test]
fn changed_pause_calls_the_runs_that_it_kept() {
    let put_off = decide(&run(), Input::Paused { until: None }, now()).unwrap().run;
    let in_line = Permit { ticket: Some(9), ..Permit::of_pool(PoolName::new("p").unwrap()) };
    let waits = |permit| Run { status: Status::Waiting, first_due: Some(now()), permit, ..run() };
    // One that was in line was put off, too, and has left it.
    let left = waits(Some(Box::new(Permit { ticket: None, ..in_line.clone() })));
    let lines = waits(Some(Box::new(in_line)));
    let begun = Run { ts_start: Some(now()), status: Status::Waiting, ..run() };
    let ended = Run { status: Status::Cancelled, due_at: None, ..run() };
    for (what, run, calls) in [
        ("put off", &put_off, true),
        ("waits for the lock of its job", &waits(None), true),
        ("was put off in a line", &left, true),
        ("stands in a line", &lines, false),
        ("has begun", &begun, false),
        ("has ended", &ended, false),
    ] {
        for (left, pauses, by_pause) in [
            ("no pause", pauses(Vec::new()), true),
            ("one of another job", pauses(vec![pause(job("other"), None)]), true),
            ("one that is over", pauses(vec![pause(worker("core"), Some(0))]), true),
            ("one that ends", pauses(vec![pause(worker("core"), Some(9))]), true),
            ("one without an end", pauses(vec![pause(worker("core"), None)]), false),
            (
                "one without an end, and one that ends",
                pauses(vec![pause(Scope::Realm, None), pause(job("*"), Some(9))]),
                false,
            ),
        ] {
            assert_eq!(pauses.calls(run, now()), calls && by_pause, "{what}, with {left}");
        }
    }
}

/// A run that was put off for long, and whose pause is to end sooner, is looked at again and put off until that end.
#[test]
fn run_put_off_for_long_starts_at_a_nearer_end() {
    let later = now() + TimeDelta::minutes(10);
    let long = decide(&run(), Input::Paused { until: None }, later).unwrap().run;
    assert_eq!(long.due_at, Some(later + TimeDelta::minutes(10)));
    let until = later + TimeDelta::seconds(4);
    let looked_at = decide(&long, Input::Resumed, later).unwrap();
    assert_eq!(looked_at.wake.map(|wake| wake.at), Some(later));
    let anew = decide(&looked_at.run, Input::Paused { until: Some(until) }, later).unwrap().run;
    assert_eq!((anew.due_at, anew.not_before), (Some(until), run().not_before));
}

#[test]
fn pause_of_what_is_paused_is_replaced_or_kept() {
    let before = pauses(vec![pause(worker("core"), Some(600)), pause(job("old"), Some(-1))]);
    let new = [pause(worker("core"), None), pause(worker("gpu"), None), pause(job("old"), None)];
    let of = |after: &Pauses, scope: &Scope| after.of_scope(scope, now()).map(|pause| pause.until);
    let (replaced, kept) =
        (before.with_all(&new, IfPaused::Replace, now()), before.with_all(&new, IfPaused::Keep, now()));
    assert_eq!(of(&replaced, &worker("core")), Some(None));
    assert_eq!(of(&kept, &worker("core")), Some(before.all[0].until));
    for after in [&replaced, &kept] {
        assert_eq!(of(after, &worker("gpu")), Some(None));
        // What is over is not kept.
        assert_eq!(of(after, &job("old")), Some(None));
    }
    assert_eq!(of(&before, &job("old")), None);
    let ends = |one: Option<i64>, other: Option<i64>| {
        pause(Scope::Realm, one).ends_before(&pause(Scope::Realm, other))
    };
    assert!(ends(Some(1), None) && ends(Some(1), Some(2)));
    assert!(!ends(None, Some(2)) && !ends(Some(2), Some(2)) && !ends(None, None));
}

#[test]
fn resumed_run_has_a_message_at_once() {
    let put_off = decide(&run(), Input::Paused { until: None }, now()).unwrap().run;
    let later = now() + TimeDelta::seconds(30);
    let resumed = decide(&put_off, Input::Resumed, later).unwrap();
    assert_eq!(resumed.wake.unwrap().at, later);
    let early = Run { not_before: now() + TimeDelta::hours(1), ..run() };
    assert_eq!(decide(&early, Input::Resumed, now()), Err(IllegalTransition::Early));
    let begun = Run { ts_start: Some(now()), status: Status::Running, ..run() };
    assert_eq!(decide(&begun, Input::Resumed, now()), Err(IllegalTransition::Nothing));
}
