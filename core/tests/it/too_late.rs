//! How long a run may wait before its start, as a table.

use chrono::{DateTime, TimeDelta};
use pumice_core::Timestamp;
use pumice_core::duration::Span;
use pumice_core::ids::{JobId, RunId, RunKey, WorkerName};
use pumice_core::run::{Input, Run, Worker, decide, too_late};
use uuid::Uuid;

const START: Timestamp = DateTime::from_timestamp(1_767_225_600, 0).unwrap();

fn at(seconds: i64) -> Timestamp {
    START + TimeDelta::seconds(seconds)
}

fn dispatched() -> Run {
    let run_id = RunId(Uuid::nil());
    let about = (JobId::new("a").expect("an id"), "log".to_owned(), WorkerName::new("core").expect("a name"));
    Run::dispatched(RunKey::root(run_id), run_id, about, at(0), at(0), Span::from_days(1))
}

fn apply(run: &Run, input: Input, seconds: i64) -> Run {
    decide(run, input, at(seconds)).expect("the input fits").run
}

#[test]
fn run_waiting_for_its_lock_is_too_late_by_its_first_due() {
    let by = || RunKey::root(RunId(Uuid::max()));
    let held = |run: &Run, seconds| apply(run, Input::Hold { by: by() }, seconds);
    let (now, later) = (dispatched(), Run { not_before: at(100), ..dispatched() });
    let freed = apply(&held(&held(&now, 0), 40), Input::Freed, 55);
    let (worker, hostname) = (Worker("one".to_owned()), "one".to_owned());
    let claim = Input::Claim { worker, hostname, until: at(300), event_log: None, admit: None };
    let started = apply(&freed, claim, 56);
    assert_eq!((now.first_due, freed.first_due, started.first_due), (None, Some(at(0)), Some(at(0))));
    let mut old = serde_json::to_value(held(&now, 40)).unwrap();
    old.as_object_mut().unwrap().shift_remove("first_due");
    let old: Run = serde_json::from_value(old).unwrap();
    for (what, run, last) in [
        ("does not wait", now.clone(), 60),
        ("dispatched for later", later.clone(), 160),
        ("looked at once", held(&now, 40), 60),
        ("looked at twice", held(&held(&now, 0), 40), 60),
        ("called for the lock", freed, 60),
        ("dispatched for later, and waited", held(&held(&later, 105), 140), 160),
        ("a record of before", old, 70 + 60),
    ] {
        let limit = Some(Span::from_secs(60));
        assert_eq!(too_late(&run, limit, at(last)), None, "{what}");
        let reason = too_late(&run, limit, at(last + 1)).expect(what);
        assert_eq!(reason.contains("waited for another run"), run.first_due.is_some(), "{what}: {reason}");
        assert_eq!(too_late(&run, None, at(9_000)).or(too_late(&run, Some(Span::ZERO), at(9_000))), None);
    }
}
