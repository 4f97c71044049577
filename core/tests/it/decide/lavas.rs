//! Runs of lava workers.

use pumice_core::run::LavaEnd;

use super::*;

fn given() -> Run {
    apply(&dispatched(), Input::HandOver, 1).run
}

fn told(status: Status, info: Value) -> Input {
    Input::LavaEnded(LavaEnd {
        status,
        info,
        began: Some(at(2)),
        ended: at(5),
        hostname: Some("ec2".to_owned()),
    })
}

#[test]
fn run_given_to_lava_is_looked_at_and_never_sent_again() {
    let mut run = given();
    assert_eq!((run.status, run.handed_over, run.due_at), (Status::Dispatched, Some(at(1)), Some(at(61))));
    for (now, next) in [(61, 122), (122, 244), (244, 488), (900, 1_800), (3_000, 3_900)] {
        let decision = apply(&run, Input::Sweep, now);
        assert_eq!((decision.wake, decision.run.due_at), (None, Some(at(next))), "at {now}");
        run = decision.run;
    }
    assert_eq!(decide(&given(), Input::HandOver, at(2)), Err(IllegalTransition::Nothing), "once is enough");
    let cancelled = apply(&given(), Input::Cancel, 2).run;
    assert_eq!((cancelled.status, cancelled.due_at), (Status::Cancelled, None));
    assert!(cancelled.reason.is_some_and(|reason| reason.contains("may run it all the same")));
}

#[test]
fn run_given_before_its_time_is_looked_at_after_it() {
    let mut run = dispatched();
    run.not_before = at(600);
    assert_eq!(apply(&run, Input::HandOver, 1).run.due_at, Some(at(660)));
}

#[test]
fn of_several_that_would_give_a_run_to_lava_one_may() {
    assert_eq!(
        decide(&dispatched(), Input::Giving, at(59)),
        Err(IllegalTransition::Nothing),
        "it is not due"
    );
    let mut run = dispatched();
    for (now, next) in [(60, 120), (120, 240), (1_000, 1_900)] {
        let decision = apply(&run, Input::Giving, now);
        assert_eq!((decision.wake, decision.run.due_at), (None, Some(at(next))), "at {now}");
        run = decision.run;
        assert_eq!(decide(&run, Input::Giving, at(now)), Err(IllegalTransition::Nothing), "another is at it");
    }
    assert_eq!(decide(&given(), Input::Giving, at(100)), Err(IllegalTransition::Nothing), "it was given");
}

#[test]
fn lava_report_ends_the_run() {
    let done = apply(&given(), told(Status::Complete, json!({ "exit_status": 0 })), 100);
    assert_eq!((done.wake, done.lock), (None, None));
    let run = done.run;
    assert_eq!((run.status, run.ts_start, run.ts_end), (Status::Complete, Some(at(2)), Some(at(5))));
    assert_eq!((&run.result["exit_status"], &run.reason, run.due_at), (&json!(0), &None, None));
    assert_eq!((run.hostname.as_deref(), run.crashes, run.epoch), (Some("ec2"), 0, 1));

    let failed =
        apply(&given(), told(Status::Failed, json!({ "error": "it broke", "exit_status": 3 })), 100).run;
    assert_eq!((failed.status, failed.reason.as_deref()), (Status::Failed, Some("it broke")));
    assert_eq!(
        (failed.duties, &failed.result["exit_status"]),
        (None, &json!(3)),
        "actions are lava's business"
    );

    let turned_away = apply(&given(), told(Status::Rejected, json!("too late")), 100).run;
    assert_eq!(
        (turned_away.reason.as_deref(), &turned_away.result["error"]),
        (Some("too late"), &json!("too late"))
    );
}

#[test]
fn lava_is_asked_of_nothing_that_another_has_begun() {
    let tell = || told(Status::Complete, json!({}));
    for (run, why) in
        [(running(), "runs"), (retrying(), "retries"), (suspended(), "waits"), (complete(), "has ended")]
    {
        assert!(!run.may_be_lavas(), "{why}");
        assert!(decide(&run, tell(), at(1_000)).is_err(), "{why}");
        assert!(decide(&run, Input::HandOver, at(1_000)).is_err(), "{why}");
    }
    let mut child = dispatched();
    child.key = child.key.child(1, 0);
    assert!(decide(&child, Input::HandOver, at(1)).is_err(), "lava has no steps");
    assert_eq!(decide(&given(), told(Status::Running, json!({})), at(9)), Err(IllegalTransition::Nothing));
}

#[test]
fn worker_with_records_may_run_a_run_taken_for_lavas() {
    let run = apply(&given(), claim_by("one"), 5).run;
    assert_eq!((run.status, run.handed_over), (Status::Running, None));
    let held = apply(&given(), Input::Hold { by: RunKey::root(RunId(Uuid::max())) }, 5).run;
    assert_eq!((held.status, held.handed_over), (Status::Waiting, None));
    assert!(apply(&held, Input::Sweep, 100).wake.is_some(), "it is woken again");
}
