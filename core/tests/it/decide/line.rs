//! The line for a job's lock.

use super::*;

#[test]
fn a_run_in_the_way_is_waited_for() {
    let by = RunKey::root(RunId(Uuid::max()));
    let held = apply(&dispatched(), Input::Hold { by }, 5).run;
    assert_eq!((held.status, held.not_before), (Status::Waiting, at(5) + HOLD.delta()));
    assert!(held.due_at.is_some());
    let freed = apply(&held, Input::Freed, 7);
    assert_eq!(freed.wake.map(|wake| wake.at), Some(at(7)));
    assert!(matches!(look(&freed.run, false, at(7)), Look::Start { first: true }));
}

#[test]
fn run_that_leaves_the_line_calls_the_next() {
    let queued = |run: Run| Run { overlap: Overlap::Queue, ..run };
    let held = || apply(&queued(dispatched()), Input::Hold { by: RunKey::root(RunId(Uuid::max())) }, 0).run;
    let called = || apply(&held(), Input::Freed, 10).run;
    let cancelled = |run: Run| apply(&run, Input::Cancel, 11).run;
    let closed = |run: Run| {
        let (status, reason, worker) = (Status::Rejected, "too old".to_owned(), owner("two"));
        let (epoch, until) = (0, at(900));
        apply(
            &run,
            Input::Close { epoch, status, reason, on_fail: false, tell_parent: false, worker, until },
            11,
        )
        .run
    };
    for (what, run, expected) in [
        ("had the lock", queued(complete()), true),
        ("had the lock, and waited for its next attempt", cancelled(queued(retrying())), true),
        ("cancelled when it was called", cancelled(called()), true),
        ("rejected when it was called", closed(called()), true),
        ("cancelled before it was called", cancelled(held()), false),
        ("never stood in line", closed(queued(dispatched())), false),
        ("has actions to do, and the lock", queued(with_duties()), false),
        ("has the lock", queued(running()), false),
        ("does not wait", complete(), false),
    ] {
        assert_eq!(calls_next(&run, at(11)), expected, "{what}: {run:?}");
    }
    let skipping = Run { overlap: Overlap::Skip, ..complete() };
    assert!(calls_next(&skipping, at(11)), "others may wait for one that would not have waited");
    // One that looked by itself has called itself.
    assert!(calls_next(&Run { status: Status::Rejected, due_at: None, ..held() }, at(28)));
}

#[test]
fn a_run_that_has_not_started_is_left_out_for_a_newer_one() {
    let newer = RunKey::root(RunId(Uuid::max()));
    let pass_over = |run: &Run| decide(run, Input::PassOver { by: newer.clone() }, at(12));
    let held = apply(&dispatched(), Input::Hold { by: newer.clone() }, 5).run;
    for run in [dispatched(), held.clone(), apply(&held, Input::Freed, 7).run] {
        let left = pass_over(&run).unwrap().run;
        assert_eq!((left.status, left.replaced_by.as_ref()), (Status::Skipped, Some(&newer)), "{run:?}");
        assert!(left.is_done() && left.reason.unwrap().contains("came after it"));
    }
    for run in [running(), retrying(), suspended(), complete(), with_duties()] {
        assert!(pass_over(&run).is_err(), "{run:?}");
    }
}

#[test]
fn replaced_run_names_the_run_in_its_place() {
    let newer = RunKey::root(RunId(Uuid::max()));
    let replace = Input::Replace { by: newer.clone() };
    let why = format!("cancelled: run {newer} of the same job takes its place");
    let between = apply(&retrying(), replace.clone(), 12).run;
    assert_eq!((between.status, between.reason), (Status::Cancelled, Some(why.clone())));
    let asked = apply(&running(), replace.clone(), 12).run;
    assert!(asked.cancel && asked.status == Status::Running);
    let stopped = apply(&asked, finish(Outcome::Cancelled, [false; 3]), 13).run;
    assert_eq!((stopped.status, stopped.reason), (Status::Cancelled, Some(why)));
    // The first reason holds.
    let cancelled = Run { cancel: true, ..running() };
    assert_eq!(decide(&cancelled, replace, at(12)).unwrap_err(), IllegalTransition::Nothing);
}

#[test]
fn the_newer_run_is_the_one_that_was_due_later() {
    let run = |number: u128, due: i64| {
        let mut run = Run { not_before: at(due), ..dispatched() };
        run.key = RunKey::root(RunId(Uuid::from_u128(number)));
        run.set_overlap(Overlap::Latest);
        run
    };
    // It was asked for before, and with a delay.
    assert!(run(1, 60).came_after(&run(2, 30)) && !run(2, 30).came_after(&run(1, 60)));
    // Of two that are due at once one is the newer, whichever is compared.
    assert!(run(2, 30).came_after(&run(1, 30)) && !run(1, 30).came_after(&run(2, 30)));
    // Waiting and starting do not make it newer.
    let later = Run { not_before: at(500), ..run(2, 30) };
    assert!(run(1, 60).came_after(&later));
}

#[test]
fn message_that_was_not_sent_is_noted_in_a_run_that_waits_for_it() {
    for (not_before, noted_at, due) in [(0, 10, -1), (300, 10, 10), (10, 10, 9)] {
        let sent = Run { not_before: at(not_before), due_at: Some(at(not_before + 60)), ..dispatched() };
        assert!(sent.only_waits());
        let unsent = apply(&sent, Input::Unsent, noted_at);
        let due_at = unsent.run.due_at.expect("a time");
        assert!(due_at < at(not_before) && due_at <= at(noted_at), "{due_at}");
        assert!((due_at - at(due)).num_seconds().abs() <= 1 && unsent.wake.is_none());
        assert!(!unsent.run.only_waits(), "it comes before those that wait");
        // The sweep that sends it makes it one of them.
        let again = apply(&unsent.run, Input::Sweep, noted_at + 60);
        assert!(again.wake.is_some() && again.run.only_waits());
    }
    let ended = Run { status: Status::Complete, ..running() };
    let given = Run { handed_over: Some(at(0)), ..dispatched() };
    for run in [running(), ended, given] {
        assert_eq!(decide(&run, Input::Unsent, at(10)).err(), Some(IllegalTransition::Nothing), "{run:?}");
    }
}

#[test]
fn message_may_be_lost_after_an_hour_two_and_four() {
    let minutes = |count: i64| at(count * 60);
    // Looked at each quarter of an hour from the first minute on.
    let lost = (1..600).step_by(15).filter(|minute| {
        let run = Run { due_at: Some(minutes(*minute)), ..dispatched() };
        run.may_be_lost(minutes(*minute))
    });
    assert_eq!(lost.collect::<Vec<_>>(), [61, 121, 241, 481]);
    // A sweeper that was out for long finds it once.
    let run = Run { due_at: Some(minutes(16)), ..dispatched() };
    assert!(run.may_be_lost(minutes(500)));
    assert!(!Run { due_at: None, ..dispatched() }.may_be_lost(minutes(500)));
}
