//! Runs that are done again: which may be, and which of their steps are kept.

#![expect(clippy::unwrap_used, reason = "tests")]

use std::collections::BTreeSet;

use chrono::{DateTime, Utc};
use pumice_core::duration::Span;
use pumice_core::engine::may_redo;
use pumice_core::ids::{JobId, RunId, RunKey, WorkerName};
use pumice_core::job_type::{Plan, PlanStep, StepRedo, redone};
use pumice_core::run::{RedoFrom, Run, Status, Trigger};
use serde_json::{Map, Value, json};

fn root() -> RunKey {
    RunKey::root("00000000-0000-0000-0000-000000000001".parse().unwrap())
}

fn run(key: RunKey, job: &str, status: Status) -> Run {
    let run_id: RunId = key.run_id().unwrap();
    let about = (JobId::new(job).unwrap(), "cmd".to_owned(), WorkerName::new("core").unwrap());
    let at = DateTime::<Utc>::UNIX_EPOCH;
    Run { status, ..Run::dispatched(key, run_id, about, at, at, Span::from_days(1)) }
}

/// The steps of the last attempt, which was the second.
fn ended(steps: &[(u32, &str, Status)]) -> Vec<Run> {
    steps.iter().map(|(step, job, status)| run(root().child(2, *step), job, *status)).collect()
}

fn step(job: &str, after: &[usize]) -> PlanStep {
    let job_id = JobId::new(job).unwrap();
    PlanStep { job_id, after: after.to_vec(), foreach_index: None, globals: Map::new() }
}

fn plan(steps: Vec<PlanStep>) -> Plan {
    Plan { steps, width: 4, can_fail: Vec::new(), limit: None, spread: false }
}

fn chain(jobs: &[&str]) -> Plan {
    Plan::in_order(jobs.iter().map(|id| JobId::new(id).unwrap()).collect(), Vec::new())
}

fn foreach(items: &[Value]) -> Plan {
    let item = |(index, value): (usize, &Value)| PlanStep {
        foreach_index: u32::try_from(index).ok(),
        globals: Map::from_iter([("item".to_owned(), value.clone())]),
        ..step("one", &[])
    };
    plan(items.iter().enumerate().map(item).collect())
}

/// The fate of the steps in a word each: `=2` kept from step 2, `2` again in its place, `2!` again with all its own
/// steps, `2>` again from below, `+` as there was none.
fn words(plan: &Plan, before: &Plan, ended: &[Run], from: &RedoFrom) -> String {
    words_forgiven(plan, before, ended, &[], from)
}

/// The same where a step below each of these failed and was forgiven.
fn words_forgiven(plan: &Plan, before: &Plan, ended: &[Run], forgiven: &[u32], from: &RedoFrom) -> String {
    let forgiven = forgiven.iter().map(|step| root().child(2, *step)).collect();
    let number = |key: &RunKey| key.step().unwrap();
    let word = |one: &StepRedo| match one {
        StepRedo::Kept(key) => format!("={}", number(key)),
        StepRedo::Again(None) => "+".to_owned(),
        StepRedo::Again(Some((key, RedoFrom::Failed))) => number(key).to_string(),
        StepRedo::Again(Some((key, RedoFrom::All))) => format!("{}!", number(key)),
        StepRedo::Again(Some((key, RedoFrom::Step(_)))) => format!("{}>", number(key)),
    };
    redone(plan, Some(before), ended, &forgiven, from).iter().map(word).collect::<Vec<_>>().join(" ")
}

#[test]
fn steps_that_ended_well_are_kept_and_no_others() {
    use Status::{Cancelled, Complete, Failed, Rejected, Skipped};
    let four = chain(&["a", "b", "c", "d"]);
    let some = ended(&[(0, "a", Complete), (1, "b", Skipped), (2, "c", Failed)]);
    assert_eq!(words(&four, &four, &some, &RedoFrom::Failed), "=0 1 2 +");
    assert_eq!(words(&four, &four, &some, &RedoFrom::All), "0! 1! 2! +");
    let others = ended(&[(0, "a", Rejected), (1, "b", Cancelled), (2, "c", Complete), (3, "d", Complete)]);
    // A step that failed and was forgiven is run again; the one after it ended well all the same.
    assert_eq!(words(&four, &four, &others, &RedoFrom::Failed), "0 1 =2 =3");
}

#[test]
fn steps_after_the_one_that_is_named_are_run_again() {
    use Status::{Complete, Failed};
    let diamond =
        plan(vec![step("a", &[]), step("b", &[0]), step("c", &[0]), step("d", &[1, 2]), step("e", &[])]);
    let all = ended(&[
        (0, "a", Complete),
        (1, "b", Complete),
        (2, "c", Complete),
        (3, "d", Complete),
        (4, "e", Failed),
    ]);
    let from = |step| RedoFrom::Step(root().child(2, step));
    assert_eq!(words(&diamond, &diamond, &all, &from(1)), "=0 1! =2 3! 4");
    assert_eq!(words(&diamond, &diamond, &all, &from(0)), "0! 1! 2! 3! 4");
    assert_eq!(words(&diamond, &diamond, &all, &from(3)), "=0 =1 =2 3! 4");
    // One of the steps of a step: the step above it is run again, from there.
    let below = RedoFrom::Step(root().child(2, 1).child(1, 0));
    assert_eq!(words(&diamond, &diamond, &all, &below), "=0 1> =2 3! 4");
    // A step of another attempt is none of these.
    assert_eq!(words(&diamond, &diamond, &all, &RedoFrom::Step(root().child(1, 1))), "=0 =1 =2 =3 4");
}

/// A failure that was forgiven further down is run again as one of the run's own steps is.
#[test]
fn step_with_a_forgiven_failure_below_is_run_again() {
    use Status::{Complete, Failed};
    let all = ended(&[(0, "a", Complete), (1, "b", Complete), (2, "c", Complete), (3, "d", Failed)]);
    let four = chain(&["a", "b", "c", "d"]);
    let words = |now: &Plan, from: &RedoFrom| words_forgiven(now, &four, &all, &[1], from);
    assert_eq!(words(&four, &RedoFrom::Failed), "=0 1 =2 3");
    assert_eq!(words(&four, &RedoFrom::All), "0! 1! 2! 3!");
    let from = |step| RedoFrom::Step(root().child(2, step));
    assert_eq!(words(&four, &from(2)), "=0 1 2! 3!");
    assert_eq!(words(&four, &from(0)), "0! 1! 2! 3!");
    // One below it that is named is run from there, with those that failed.
    assert_eq!(words(&four, &RedoFrom::Step(root().child(2, 1).child(1, 0))), "=0 1> 2! 3!");
    // Where the spec was edited, a step that changed places with it is run again, too.
    assert_eq!(words(&chain(&["b", "a", "c"]), &RedoFrom::Failed), "1 0! =2");
    let items = foreach(&[json!(1), json!(2), json!(3)]);
    let all = ended(&[(0, "one", Complete), (1, "one", Complete), (2, "one", Failed)]);
    assert_eq!(words_forgiven(&items, &items, &all, &[0], &RedoFrom::Failed), "0 =1 2");
}

#[test]
fn edited_plan_keeps_the_steps_that_it_still_has() {
    use Status::{Complete, Failed};
    let before = chain(&["a", "b", "a", "c"]);
    let all = ended(&[(0, "a", Complete), (1, "b", Complete), (2, "a", Complete), (3, "c", Failed)]);
    for (now, wanted) in [
        (vec!["a", "b", "a", "c"], "=0 =1 =2 3"),
        (vec!["new", "a", "b", "a", "c"], "+ =0 =1 =2 3"),
        (vec!["b", "a", "c"], "=1 =0 3"),
        (vec!["a", "a", "a"], "=0 =2 +"),
        (vec!["x", "y"], "+ +"),
    ] {
        assert_eq!(words(&chain(&now), &before, &all, &RedoFrom::Failed), wanted, "{now:?}");
    }
    let forgiven = BTreeSet::new();
    assert!(
        redone(&chain(&["a"]), None, &all, &forgiven, &RedoFrom::Failed).iter().all(|one| !one.is_kept())
    );
}

/// A step that ended before one which is run again is not in place of one that comes after it.
#[test]
fn step_turned_round_with_one_that_is_run_again_is_run_too() {
    use Status::{Complete, Failed};
    let before = chain(&["ok", "flag", "ok"]);
    let all = ended(&[(0, "ok", Complete), (1, "flag", Failed)]);
    for (now, wanted) in [
        (vec!["ok", "flag", "ok"], "=0 1 +"),
        (vec!["flag", "ok"], "1 0!"),
        (vec!["flag", "ok", "ok"], "1 0! +"),
        (vec!["new", "ok", "flag"], "+ =0 1"),
    ] {
        assert_eq!(words(&chain(&now), &before, &all, &RedoFrom::Failed), wanted, "{now:?}");
    }
    // By way of another that is run again because of it; those that ended well and changed places stay.
    let before = chain(&["a", "b", "c", "d"]);
    let all = ended(&[(0, "a", Complete), (1, "b", Complete), (2, "c", Complete), (3, "d", Failed)]);
    let now = |jobs: &[&str], from: &RedoFrom| words(&chain(jobs), &before, &all, from);
    assert_eq!(now(&["b", "a", "d", "c"], &RedoFrom::Failed), "=1 =0 3 2!");
    assert_eq!(now(&["a", "d", "c", "b"], &RedoFrom::Failed), "=0 3 2! 1!");
    assert_eq!(now(&["b", "a", "c", "d"], &RedoFrom::Step(root().child(2, 1))), "1! 0! 2! 3!");
    // Steps that do not follow on each other may stand in any order.
    let apart = plan(vec![step("a", &[]), step("b", &[])]);
    let all = ended(&[(0, "a", Complete), (1, "b", Failed)]);
    assert_eq!(words(&chain(&["b", "a"]), &apart, &all, &RedoFrom::Failed), "1 =0");
    let turned = plan(vec![step("b", &[]), step("a", &[])]);
    assert_eq!(words(&turned, &chain(&["a", "b"]), &all, &RedoFrom::Failed), "1 =0");
}

#[test]
fn item_of_a_foreach_is_kept_where_it_is_the_same() {
    use Status::{Complete, Failed};
    let before = foreach(&[json!(1), json!({ "x": 1, "y": 2 }), json!(3), json!(3)]);
    let all = ended(&[(0, "one", Complete), (1, "one", Complete), (2, "one", Failed), (3, "one", Complete)]);
    let now = |items: &[Value]| words(&foreach(items), &before, &all, &RedoFrom::Failed);
    assert_eq!(now(&[json!(1), json!({ "y": 2, "x": 1 }), json!(3), json!(3)]), "=0 =1 2 =3");
    assert_eq!(now(&[json!(0), json!(1), json!(3)]), "+ =0 2");
    assert_eq!(now(&[json!({ "x": 1, "y": 3 })]), "+");
    // The item that is named is run again, and those that failed; the others stay, though they came later.
    let from = |step| RedoFrom::Step(root().child(2, step));
    let items = [json!(1), json!({ "x": 1, "y": 2 }), json!(3), json!(3)];
    assert_eq!(words(&foreach(&items), &before, &all, &from(0)), "0! =1 2 =3");
    // A step of a chain is not an item, whatever it is given.
    assert_eq!(words(&chain(&["one"]), &before, &all, &RedoFrom::Failed), "+");
}

#[test]
fn kept_step_is_kept_from_where_it_ran() {
    let mut all = ended(&[(0, "a", Status::Complete), (1, "b", Status::Failed)]);
    let first: RunKey = "00000000-0000-0000-0000-000000000009/1.0".parse().unwrap();
    all[0].kept = Some(first.clone());
    let two = chain(&["a", "b"]);
    let none = BTreeSet::new();
    let kept = &redone(&two, Some(&two), &all, &none, &RedoFrom::Failed)[0];
    assert_eq!(*kept, StepRedo::Kept(first.clone()));
    let again = &redone(&two, Some(&two), &all, &none, &RedoFrom::All)[0];
    assert_eq!(*again, StepRedo::Again(Some((first.clone(), RedoFrom::All))));
    // A record of before may keep a step below which one failed.
    let forgiven = BTreeSet::from([all[0].key.clone()]);
    let again = &redone(&two, Some(&two), &all, &forgiven, &RedoFrom::Failed)[0];
    assert_eq!(*again, StepRedo::Again(Some((first, RedoFrom::Failed))));
}

#[test]
fn run_that_may_not_be_done_again_says_why() {
    let failed = run(root(), "a", Status::Failed);
    let step = |number| RedoFrom::Step(root().child(1, number));
    let other: RunKey = "00000000-0000-0000-0000-000000000009/1.0".parse().unwrap();
    for (run, from, wanted) in [
        (failed.clone(), RedoFrom::Failed, None),
        (run(root(), "a", Status::Cancelled), RedoFrom::Failed, None),
        (run(root(), "a", Status::Rejected), RedoFrom::Failed, None),
        (run(root(), "a", Status::Complete), RedoFrom::Failed, Some("ended well")),
        (run(root(), "a", Status::Complete), RedoFrom::All, None),
        (run(root(), "a", Status::Complete), step(0), None),
        (failed.clone(), RedoFrom::Step(other), Some("has no step")),
        (failed.clone(), RedoFrom::Step(root()), Some("has no step")),
        (run(root(), "a", Status::Running), RedoFrom::Failed, Some("has not ended: it is running")),
        (run(root(), "a", Status::Waiting), RedoFrom::All, Some("has not ended: it is waiting")),
        (
            run(root().child(1, 0), "a", Status::Failed),
            RedoFrom::Failed,
            Some("is a step: do run 00000000-0000-0000-0000-000000000001 again"),
        ),
        (
            run(root().child(1, 0).child(1, 2), "a", Status::Failed),
            RedoFrom::All,
            Some("is a step: do run 00000000-0000-0000-0000-000000000001 again"),
        ),
        (
            Run { handed_over: Some(DateTime::UNIX_EPOCH), ..failed.clone() },
            RedoFrom::All,
            Some("ran on a lava worker: dispatch job a"),
        ),
    ] {
        let told = may_redo(&run, &from).err().map(|error| error.to_string());
        match wanted {
            None => assert_eq!(told, None, "{run:?}"),
            Some(wanted) => assert!(told.as_ref().is_some_and(|told| told.contains(wanted)), "{told:?}"),
        }
    }
}

#[test]
fn record_of_a_run_done_again_has_its_trigger() {
    let stored = json!({ "of": root(), "from": { "step": root().child(1, 0) }, "spec": "pinned" });
    let mut again =
        run("00000000-0000-0000-0000-000000000002".parse::<RunId>().unwrap().into(), "a", Status::Dispatched);
    again.redo = serde_json::from_value(stored.clone()).unwrap();
    let written = serde_json::to_value(&again).unwrap();
    assert_eq!(written["redo"], stored);
    let read: Run = serde_json::from_value(written).unwrap();
    assert_eq!((read.trigger(), &read), (Trigger::Replay { run: root() }, &again));
    let bare: Run = serde_json::from_value({
        let mut bare = serde_json::to_value(&again).unwrap();
        bare["redo"] = json!({ "of": root() });
        bare
    })
    .unwrap();
    assert_eq!(bare.redo.unwrap().from, RedoFrom::Failed);
}
