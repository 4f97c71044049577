//! The rules of a run's life as tables: which input fits which record, and what follows.

use chrono::{DateTime, TimeDelta};
use pumice_core::Timestamp;
use pumice_core::duration::Span;
use pumice_core::ids::{JobId, RunId, RunKey, WorkerName};
use pumice_core::request::MAX_DELAY;
use pumice_core::run::{
    Decision, DropReason, Duties, EARLY, Gathering, HOLD, IllegalTransition, Input, Lease, LockChange, Look,
    MAX_CRASHES, MAX_LULL, Outcome, POLL, RetryRule, Run, Status, StopRequest, WAKE_GRACE, WorkPlace, Worker,
    calls_next, decide, first_wake, look,
};
use pumice_core::spec::{ActionsWhen, Overlap, RetryBackoff};
use serde_json::{Value, json};
use uuid::Uuid;

mod lavas;
mod line;

const START: Timestamp = DateTime::from_timestamp(1_767_225_600, 0).unwrap();

fn at(seconds: i64) -> Timestamp {
    START + TimeDelta::seconds(seconds)
}

fn owner(name: &str) -> Worker {
    Worker(name.to_owned())
}

fn dispatched() -> Run {
    let run_id = RunId(Uuid::nil());
    let about = (JobId::new("a").expect("an id"), "log".to_owned(), WorkerName::new("core").expect("a name"));
    Run::dispatched(RunKey::root(run_id), run_id, about, at(0), at(0), Span::from_days(1))
}

fn claim_by(name: &str) -> Input {
    Input::Claim {
        worker: owner(name),
        hostname: name.to_owned(),
        until: at(300),
        event_log: None,
        admit: None,
    }
}

fn apply(run: &Run, input: Input, seconds: i64) -> Decision {
    let mut decision = decide(run, input, at(seconds)).expect("the input fits");
    decision.run.rev += 1;
    decision
}

/// Claimed by `one` at 0, until 300.
fn running() -> Run {
    apply(&dispatched(), claim_by("one"), 0).run
}

fn finish(outcome: Outcome, actions: [bool; 3]) -> Input {
    let (worker, epoch) = (owner("one"), 1);
    Input::Finish {
        worker,
        epoch,
        outcome,
        actions,
        tell_parent: true,
        jitter: 0.5,
        rendered: None,
        work: None,
    }
}

fn failure(retryable: bool) -> Outcome {
    Outcome::Failure { reason: "it broke".to_owned(), result: json!({ "error": "it broke" }), retryable }
}

fn suspended() -> Run {
    apply(
        &running(),
        Input::Suspend {
            worker: owner("one"),
            epoch: 1,
            resume: None,
            ends: None,
            gathers: None,
            work: None,
            fault: None,
        },
        10,
    )
    .run
}

fn retrying() -> Run {
    let mut run = running();
    run.retry = RetryRule { limit: 3, delay: Span::from_secs(60), ..RetryRule::default() };
    apply(&run, finish(failure(true), [false; 3]), 10).run
}

fn complete() -> Run {
    apply(&running(), finish(Outcome::Success(json!({})), [false; 3]), 10).run
}

fn with_duties() -> Run {
    apply(&running(), finish(Outcome::Success(json!({})), [true; 3]), 10).run
}

fn close() -> Input {
    let (status, reason) = (Status::Rejected, "too old".to_owned());
    let (epoch, worker) = (0, owner("two"));
    Input::Close { epoch, status, reason, on_fail: true, tell_parent: true, worker, until: at(900) }
}

#[test]
fn rejected_run_has_its_actions_and_skipped_run_none() {
    for (status, has) in [
        (Status::Rejected, true),
        (Status::Failed, true),
        (Status::Skipped, false),
        (Status::Cancelled, false),
    ] {
        let mut input = close();
        if let Input::Close { status: as_what, .. } = &mut input {
            *as_what = status;
        }
        let closed = apply(&dispatched(), input, 10).run;
        let actions = closed.duties.and_then(|duties| duties.actions);
        assert_eq!(actions.is_some(), has, "{status}");
    }
}

#[test]
fn place_of_shared_files_is_the_last_one_written() {
    let place = |id: &str| Some(WorkPlace { id: id.to_owned(), ..WorkPlace::default() });
    let suspend = |work| Input::Suspend {
        worker: owner("one"),
        epoch: 1,
        resume: None,
        ends: None,
        gathers: None,
        work,
        fault: None,
    };
    let waiting = apply(&running(), suspend(place("a").map(Box::new)), 10).run;
    assert_eq!(waiting.work, place("a"));
    let mut input = finish(Outcome::Success(json!({})), [false; 3]);
    if let Input::Finish { work, .. } = &mut input {
        *work = place("b").map(Box::new);
    }
    assert_eq!(apply(&running(), input, 10).run.work, place("b"));
    // A step that removed them all leaves none.
    assert_eq!(apply(&Run { work: place("a"), ..running() }, suspend(None), 10).run.work, None);
}

#[test]
fn look_gives_the_next_step_for_each_record() {
    let lost = Run { crashes: MAX_CRASHES, ..running() };
    let cancelled = Run { cancel: true, ..dispatched() };
    // Its worker is lost for one time more than is recorded.
    let capped = |starts: u32| {
        let retry = RetryRule { max_tries: 2, ..RetryRule::default() };
        Run { crashes: starts.saturating_sub(1), retry, ..running() }
    };
    let later = Run { not_before: at(100), ..dispatched() };
    let (once, steps) = (false, true);
    let start = |first| Look::Start { first };
    let cases: Vec<(&str, Run, bool, i64, Look)> = vec![
        ("new", dispatched(), once, 0, start(true)),
        ("early", later.clone(), once, 97, Look::Drop(DropReason::Early)),
        ("early within what clocks differ", later, once, 98, start(true)),
        ("held", running(), once, 299, Look::Drop(DropReason::Held)),
        ("held no more", running(), once, 300, start(false)),
        ("ended", complete(), once, 20, Look::Drop(DropReason::Ended)),
        ("duties of another", with_duties(), once, 20, Look::Drop(DropReason::Held)),
        ("duties without a lease", with_duties(), once, 900, Look::Duties),
        ("suspended", suspended(), once, 20, start(false)),
        ("to be tried again", retrying(), once, 70, start(false)),
        ("not yet to be tried again", retrying(), once, 60, Look::Drop(DropReason::Early)),
        (
            "lost too often",
            lost,
            once,
            300,
            Look::Close(Status::Failed, format!("its worker was lost {} times", MAX_CRASHES + 1)),
        ),
        (
            "cancelled",
            cancelled.clone(),
            once,
            0,
            Look::Close(Status::Cancelled, "cancelled before it ran".to_owned()),
        ),
        (
            "cancelled before its first step",
            cancelled,
            steps,
            0,
            Look::Close(Status::Cancelled, "cancelled before it ran".to_owned()),
        ),
        ("cancelled between its steps", Run { cancel: true, ..suspended() }, steps, 20, start(false)),
        ("started often enough", capped(1), once, 300, start(false)),
        (
            "started too often",
            capped(2),
            once,
            300,
            Look::Close(Status::Rejected, "try 3 is more than its max_tries of 2".to_owned()),
        ),
        (
            "given back each time",
            Run { epoch: 9, retry: capped(0).retry, ..suspended() },
            once,
            300,
            start(false),
        ),
    ];
    for (what, run, composite, seconds, expected) in cases {
        assert_eq!(look(&run, composite, at(seconds)), expected, "{what}");
    }
}

/// Which inputs are refused, and why: the fences.
#[test]
fn input_that_does_not_fit_is_refused() {
    use IllegalTransition::{Early, Ended, Fenced, Held, Nothing};
    let (one, two) = (owner("one"), owner("two"));
    let suspend = |worker: &Worker, epoch| Input::Suspend {
        worker: worker.clone(),
        epoch,
        resume: None,
        ends: None,
        gathers: None,
        work: None,
        fault: None,
    };
    let extend = |worker: &Worker, epoch| Input::Extend { worker: worker.clone(), epoch, until: at(900) };
    let stolen = apply(&running(), claim_by("two"), 301).run;
    let success = || finish(Outcome::Success(Value::Null), [false; 3]);
    let duties = |worker: &Worker| Input::ClaimDuties { worker: worker.clone(), until: at(900) };
    let hold = || Input::Hold { by: RunKey::root(RunId(Uuid::max())) };
    let waiting = apply(&dispatched(), hold(), 0).run;
    let cases = [
        ("a claim on a live claim", running(), claim_by("two"), 299, Held),
        ("a claim on an end", complete(), claim_by("two"), 20, Ended),
        ("a claim on duties", with_duties(), claim_by("two"), 900, Ended),
        ("a claim before its time", retrying(), claim_by("two"), 60, Early),
        ("an outcome of a claim that is history", stolen.clone(), success(), 302, Fenced),
        ("an outcome of a claim given up", suspended(), success(), 20, Fenced),
        ("an outcome twice", complete(), success(), 20, Fenced),
        ("an outcome while duties are due", with_duties(), success(), 20, Fenced),
        ("a suspension by another epoch", running(), suspend(&one, 2), 20, Fenced),
        ("a suspension by another worker", running(), suspend(&two, 1), 20, Fenced),
        ("an extension of a claim that is history", stolen, extend(&one, 1), 302, Fenced),
        ("duties that another sees to", with_duties(), duties(&two), 20, Held),
        ("duties that are done", complete(), duties(&two), 20, Nothing),
        ("closing what is held", running(), close(), 20, Held),
        ("closing what was started since it was looked at", running(), close(), 301, Fenced),
        ("closing an end", complete(), close(), 20, Ended),
        ("waiting twice", waiting, hold(), 1, Early),
        ("waiting when its worker was lost", running(), hold(), 301, Held),
        ("a report to an end", complete(), Input::ChildEnded, 20, Ended),
        ("a report to a run not started", dispatched(), Input::ChildEnded, 20, Nothing),
        ("a lock for a run that does not wait", running(), Input::Freed, 20, Nothing),
        ("a lock for a run that has ended", with_duties(), Input::Freed, 20, Ended),
        ("a stop of an end", complete(), Input::Cancel, 20, Ended),
        ("a second stop", Run { cancel: true, ..running() }, Input::Cancel, 20, Nothing),
        ("a look before it is due", dispatched(), Input::Sweep, 59, Nothing),
        ("a look at what is done", complete(), Input::Sweep, 9_999, Nothing),
    ];
    for (what, run, input, seconds, expected) in cases {
        assert_eq!(decide(&run, input, at(seconds)).unwrap_err(), expected, "{what}");
    }
}

#[test]
fn a_claim_raises_the_epoch_and_counts_a_lost_worker() {
    let first = running();
    assert_eq!((first.status, first.epoch, first.crashes), (Status::Running, 1, 0));
    assert_eq!(first.ts_start, Some(at(0)));
    assert_eq!(first.lease, Some(Lease { owner: owner("one"), until: at(300) }));
    assert_eq!(first.due_at, Some(at(300) + WAKE_GRACE.delta()));
    let second = apply(&first, claim_by("two"), 301).run;
    assert_eq!((second.epoch, second.crashes, second.attempt), (2, 1, 1));
    assert_eq!(second.ts_start, first.ts_start);
    assert_eq!(
        apply(&suspended(), claim_by("two"), 20).run.crashes,
        0,
        "a worker that gives way is not lost"
    );
    assert_eq!(apply(&dispatched(), claim_by("one"), 0).lock, None);
    let alone = Run { overlap: Overlap::Queue, ..dispatched() };
    assert_eq!(apply(&alone, claim_by("one"), 0).lock, Some(LockChange::Take));
}

#[test]
fn an_end_is_done_at_once_or_leaves_duties() {
    let run = complete();
    assert_eq!((run.status, run.ts_end, run.due_at, run.lease), (Status::Complete, Some(at(10)), None, None));
    let run = with_duties();
    let duties = Duties { actions: Some(ActionsWhen::OnSuccess), done: 0, wake_parent: false };
    assert_eq!((run.status, run.duties.as_ref()), (Status::Complete, Some(&duties)));
    assert!(
        run.due_at.is_some() && run.lease.is_some(),
        "the sweeper looks again, and no other worker before"
    );
    let done = Input::ActionDone { worker: owner("one"), epoch: 1, index: 0, error: Some("no".to_owned()) };
    let run = apply(&run, done.clone(), 11).run;
    let run = apply(&run, done, 11).run;
    assert_eq!(run.duties.as_ref().map(|duties| duties.done), Some(1));
    let run = apply(&run, Input::DutiesDone { worker: owner("one"), epoch: 1 }, 12).run;
    assert_eq!((run.status, run.due_at, run.lease, run.duties), (Status::Complete, None, None, None));
}

#[test]
fn duties_are_left_to_another_worker() {
    let retried = Run { retry: RetryRule { limit: 2, ..RetryRule::default() }, ..running() };
    let retrying = apply(&retried, finish(failure(true), [true; 3]), 10).run;
    for due in [with_duties(), retrying] {
        let leave = |worker| Input::LeaveDuties { worker: owner(worker), epoch: 1 };
        assert_eq!(decide(&due, leave("two"), at(11)), Err(IllegalTransition::Fenced));
        let left = apply(&due, leave("one"), 11);
        assert_eq!((&left.run.duties, &left.run.lease, left.run.status), (&due.duties, &None, due.status));
        assert_eq!(left.wake.map(|wake| wake.at), Some(at(11)));
        assert_eq!(look(&left.run, false, at(11)), Look::Duties);
        let taken = apply(&left.run, Input::ClaimDuties { worker: owner("two"), until: at(311) }, 12).run;
        assert_eq!((taken.epoch, taken.crashes, taken.attempt), (2, 0, due.attempt));
    }
    let nothing = Input::LeaveDuties { worker: owner("one"), epoch: 1 };
    assert_eq!(decide(&running(), nothing, at(11)), Err(IllegalTransition::Nothing));
}

#[test]
fn the_lock_is_freed_with_the_last_write_only() {
    let alone = Run { overlap: Overlap::Skip, ..running() };
    let success = |actions| finish(Outcome::Success(json!({})), actions);
    assert_eq!(apply(&alone, success([false; 3]), 10).lock, Some(LockChange::Free));
    let due = apply(&alone, success([true; 3]), 10);
    assert_eq!(due.lock, None);
    let done = Input::DutiesDone { worker: owner("one"), epoch: 1 };
    assert_eq!(apply(&due.run, done, 11).lock, Some(LockChange::Free));
    let never_started = Run { overlap: Overlap::Skip, ..dispatched() };
    assert_eq!(apply(&never_started, close(), 10).lock, None, "it never had it");
}

#[test]
fn a_failed_attempt_is_followed_by_another_while_there_are_any() {
    let rule = |limit, backoff| RetryRule { limit, delay: Span::from_secs(60), backoff, max_tries: 0 };
    let cases = [
        ("the only one", 1, 1, true, false, None),
        ("the first of two", 1, 2, true, false, Some(60)),
        ("the last of two", 2, 2, true, false, None),
        ("one that cannot help", 1, 2, false, false, None),
        ("one asked to stop", 1, 2, true, true, None),
    ];
    for (what, attempt, limit, retryable, cancel, delay) in cases {
        let run = Run { attempt, cancel, retry: rule(limit, RetryBackoff::Fixed), ..running() };
        let decision = apply(&run, finish(failure(retryable), [false; 3]), 10);
        match delay {
            Some(delay) => {
                assert_eq!(decision.run.status, Status::Retrying, "{what}");
                assert_eq!((decision.run.attempt, decision.run.lease), (attempt + 1, None), "{what}");
                assert_eq!(decision.wake.map(|wake| wake.at), Some(at(10 + delay)), "{what}");
            }
            None => {
                assert_eq!((decision.run.status, decision.run.attempt), (Status::Failed, attempt), "{what}")
            }
        }
    }
    // Full jitter: a random part of a delay that doubles.
    for (attempt, delay) in [(1, 30), (2, 60), (3, 120), (9, 450)] {
        let run = Run { attempt, retry: rule(10, RetryBackoff::Exponential), ..running() };
        let next = apply(&run, finish(failure(true), [false; 3]), 10).run;
        assert_eq!(next.not_before, at(10 + delay), "after attempt {attempt}");
    }
}

#[test]
fn actions_between_attempts_see_the_one_that_failed() {
    let run = Run { retry: RetryRule { limit: 2, ..RetryRule::default() }, ..running() };
    let due = apply(&run, finish(failure(true), [true; 3]), 10);
    assert_eq!((due.run.status, due.run.attempt, due.wake), (Status::Retrying, 1, None));
    let next = apply(&due.run, Input::DutiesDone { worker: owner("one"), epoch: 1 }, 12);
    assert_eq!((next.run.attempt, next.run.lease, next.run.duties), (2, None, None));
    assert!(next.wake.is_some());
}

#[test]
fn a_run_that_gives_way_waits_for_a_report_or_goes_on() {
    let run = suspended();
    assert_eq!(
        (run.status, run.lease.as_ref(), run.due_at),
        (Status::Waiting, None, Some(at(10) + POLL.delta()))
    );
    let told = apply(&run, Input::ChildEnded, 20);
    assert_eq!((told.run.status, told.wake.map(|wake| wake.at)), (Status::Waiting, Some(at(20))));
    let resume = Input::Suspend {
        worker: owner("one"),
        epoch: 1,
        resume: Some(Span::from_secs(10)),
        ends: None,
        gathers: None,
        work: None,
        fault: None,
    };
    let later = apply(&running(), resume, 10);
    assert_eq!((later.run.not_before, later.wake.map(|wake| wake.at)), (at(20), Some(at(20))));
    // A report to one that runs changes nothing but the revision, so that it looks again.
    let before = running();
    let told = decide(&before, Input::ChildEnded, at(20)).unwrap();
    assert_eq!((told.run, told.wake), (before, None));
}

#[test]
fn attempt_that_cannot_begin_shows_its_reason_until_it_begins() {
    let put_back = |fault: Option<&str>| Input::Suspend {
        worker: owner("one"),
        epoch: 1,
        resume: Some(Span::from_secs(10)),
        ends: None,
        gathers: None,
        work: None,
        fault: fault.map(str::to_owned),
    };
    let waits = apply(&running(), put_back(Some("no disk")), 10).run;
    assert_eq!((waits.status, waits.host_fault()), (Status::Waiting, Some("cannot begin: no disk")));
    assert_eq!(waits.events().last().map(|event| event.info), Some(json!("cannot begin: no disk")));
    let begun = apply(&waits, claim_by("two"), 20).run;
    assert_eq!((begun.status, begun.reason, begun.crashes), (Status::Running, None, 0));
    let long = apply(&running(), put_back(Some(&"x".repeat(1_000_000))), 10).run;
    assert!(long.reason.is_some_and(|reason| reason.len() < 100_000));
    // The reason of an attempt that failed stays, whatever its next one waits for.
    let failed = Run { reason: Some("exit status 3".to_owned()), ..running() };
    let goes_on = apply(&failed, put_back(None), 10).run;
    assert_eq!((goes_on.reason.as_deref(), goes_on.host_fault()), (Some("exit status 3"), None));
    assert_eq!(apply(&goes_on, claim_by("two"), 20).run.reason, goes_on.reason);
}

#[test]
fn run_that_gathers_is_looked_at_once_for_many_reports() {
    let gathers = Gathering { millis: 4_000, news: false };
    let suspend = Input::Suspend {
        worker: owner("one"),
        epoch: 1,
        resume: None,
        ends: None,
        gathers: Some(gathers),
        work: None,
        fault: None,
    };
    let of = |run: &Run, news| Run { gathers: Some(Gathering { news, ..gathers }), ..run.clone() };
    // It rests: the first report has it looked at a while later, and the others before that write nothing.
    let rests = apply(&of(&running(), false), suspend.clone(), 10);
    assert_eq!((rests.wake, rests.run.due_at), (None, Some(at(10) + POLL.delta())));
    let called = apply(&rests.run, Input::ChildEnded, 20);
    assert_eq!((called.run.not_before, called.wake.map(|wake| wake.at)), (at(24), Some(at(24))));
    for seconds in [21, 24, 70] {
        let again = decide(&called.run, Input::ChildEnded, at(seconds));
        assert_eq!(again.unwrap_err(), IllegalTransition::Nothing, "{seconds}");
    }
    // Its message was lost: the sweeper sends another, and a report after that too.
    let swept = apply(&called.run, Input::Sweep, 90).run;
    assert_eq!(apply(&swept, Input::ChildEnded, 91).wake.map(|wake| wake.at), Some(at(95)));
    // While it runs one report is noted, so that it does not rest before it has looked again.
    let claimed = apply(&called.run, claim_by("one"), 24).run;
    assert_eq!(claimed.gathers, Some(gathers));
    let noted = apply(&claimed, Input::ChildEnded, 25);
    assert_eq!((noted.run.gathers, noted.wake), (Some(Gathering { news: true, ..gathers }), None));
    assert_eq!(decide(&noted.run, Input::ChildEnded, at(26)).unwrap_err(), IllegalTransition::Nothing);
    let looks = apply(&of(&running(), true), suspend, 30);
    assert_eq!((looks.wake.map(|wake| wake.at), looks.run.gathers), (Some(at(34)), Some(gathers)));
    // A stop request is not gathered.
    assert_eq!(apply(&rests.run, Input::Cancel, 20).wake.map(|wake| wake.at), Some(at(20)));
    // How long follows from what a look costs, and from whether something waits for it.
    for (steps, some_wait, wanted) in
        [(1, true, 0), (100, true, 20), (100, false, 100), (10_000, true, 2_000), (10_000, false, 10_000)]
    {
        let span = Gathering::of(steps, some_wait).span();
        assert_eq!(span.delta().num_milliseconds(), wanted, "{steps} steps, {some_wait}");
    }
}

#[test]
fn stop_request_ends_waiting_runs_and_marks_running_ones() {
    let child = Run { key: dispatched().key.child(1, 0), ..dispatched() };
    let cases = [
        ("not started", dispatched(), Status::Cancelled, false),
        ("to be tried again", retrying(), Status::Cancelled, false),
        ("running", running(), Status::Running, false),
        ("between its steps", suspended(), Status::Waiting, true),
        ("a child, whose parent is to be notified", child, Status::Cancelled, true),
    ];
    for (what, run, status, wakes) in cases {
        let decision = apply(&run, Input::Cancel, 20);
        assert_eq!((decision.run.status, decision.run.cancel), (status, true), "{what}");
        let by = Box::new(StopRequest::new("ada", Some("wrong month")));
        let asked = apply(&run, Input::Stop(by.clone()), 20).run;
        let by = Some(Box::new(StopRequest { at: Some(at(20)), ..*by }));
        assert_eq!((asked.status, asked.cancel, &asked.stopped_by), (status, true, &by), "{what}");
        let names_asker = asked.reason.as_deref().is_some_and(|why| why.ends_with(", by ada: wrong month"));
        assert_eq!(names_asker, status == Status::Cancelled, "{what}: {:?}", asked.reason);
        assert_eq!(decision.wake.is_some(), wakes, "{what}");
    }
}

#[test]
fn stop_request_of_a_lost_run_names_the_asker_before_the_loss() {
    for (why, wanted) in [
        (None, "cancelled by ada; its worker was lost while it ran"),
        (Some("wrong month"), "cancelled by ada: wrong month; its worker was lost while it ran"),
    ] {
        let asked = apply(&running(), Input::Stop(Box::new(StopRequest::new("ada", why))), 20).run;
        assert_eq!(look(&asked, false, at(301)), Look::Close(Status::Cancelled, wanted.to_owned()));
    }
}

#[test]
fn a_start_far_ahead_has_no_message_until_a_queue_can_hold_it() {
    let ahead = MAX_DELAY.delta() + TimeDelta::seconds(100);
    let mut run = Run { not_before: at(0) + ahead, ..dispatched() };
    assert_eq!(first_wake(&mut run, at(0)), None);
    assert_eq!(run.due_at, Some(at(100)));
    let swept = apply(&run, Input::Sweep, 100);
    assert_eq!(swept.wake.map(|wake| wake.at), Some(run.not_before));
    assert_eq!(swept.run.due_at, Some(run.not_before + WAKE_GRACE.delta()));
}

#[test]
fn run_in_a_long_line_is_looked_at_ever_more_rarely() {
    let mut run = dispatched();
    let mut looks = Vec::new();
    while run.due_at.unwrap() < at(4 * 3_600) {
        let now = run.due_at.unwrap();
        looks.push((now - START).num_seconds());
        run = decide(&run, Input::Sweep, now).unwrap().run;
    }
    assert_eq!(looks[..5], [60, 120, 240, 480, 960]);
    let last = looks[looks.len() - 1] - looks[looks.len() - 2];
    assert_eq!(last, MAX_LULL.delta().num_seconds());
    assert!(EARLY < WAKE_GRACE);
}

#[test]
fn an_attempt_starts_once_however_many_invocations_it_takes() {
    let begun = running();
    assert_eq!((dispatched().attempt_start(), begun.attempt_start()), (None, Some(at(0))));
    let resumed = apply(&suspended(), claim_by("two"), 20).run;
    assert_eq!(resumed.attempt_start(), Some(at(0)));
    let waits = retrying();
    assert_eq!((waits.attempt, waits.attempt_start()), (2, None));
    let second = apply(&waits, claim_by("two"), 70).run;
    assert_eq!(second.attempt_start(), Some(at(70)));
    let third = apply(&second, claim_by("three"), 400).run;
    assert_eq!((third.crashes, third.attempt_start()), (1, Some(at(70))), "its worker was lost");
    // A worker of an older version may have begun it and dropped what it does not know.
    let old = Run { ts_attempt: None, ..second };
    assert_eq!(apply(&old, claim_by("three"), 400).run.attempt_start(), Some(at(400)));
}

#[test]
fn run_that_waits_for_steps_is_looked_at_at_its_time_limit() {
    let cases = [
        ("no limit", None, at(10) + POLL.delta()),
        ("a limit later than the next look", Some(at(9_000)), at(10) + POLL.delta()),
        ("a limit before the next look", Some(at(60)), at(60)),
        ("a limit that has passed: its steps are stopped", Some(at(10)), at(10) + POLL.delta()),
    ];
    for (what, ends, due) in cases {
        let input = Input::Suspend {
            worker: owner("one"),
            epoch: 1,
            resume: None,
            ends,
            gathers: None,
            work: None,
            fault: None,
        };
        assert_eq!(apply(&running(), input, 10).run.due_at, Some(due), "{what}");
    }
}
