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
fn who_leaves_the_line_calls_the_next() {
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
        ("waits for nobody", complete(), false),
    ] {
        assert_eq!(calls_next(&run, at(11)), expected, "{what}: {run:?}");
    }
    // One that looked by itself has called itself.
    assert!(calls_next(&Run { status: Status::Rejected, due_at: None, ..held() }, at(28)));
}
