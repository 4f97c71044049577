//! Records of runs: found by what they are about.
#![expect(missing_docs, reason = "a case's name says what it is about")]

use pumice_core::clock::LimitKind;
use pumice_core::ids::{RunKey, WorkerName};
use pumice_core::ports::RunQuery;
use pumice_core::run::{Duties, Late, Run, Status};
use pumice_core::spec::{ActionsWhen, Timezone};

use super::{Adapters, at, child_of, key, run_of};

fn keys(runs: &[Run]) -> Vec<&str> {
    runs.iter().map(|run| run.key.as_str()).collect()
}

fn names(keys: &[RunKey]) -> Vec<&str> {
    keys.iter().map(RunKey::as_str).collect()
}

pub async fn children_come_by_step(on: &Adapters) {
    let parent = run_of(1, "report");
    on.make([parent.clone()]).await;
    // As text 10 comes before 9.
    let steps = [10, 2, 9, 0, 11, 1];
    on.make(steps.map(|step| child_of(&parent, 1, step))).await;
    let children = on.runs.children(&parent.key, 1).await.expect("the store answers");
    let found: Vec<_> = children.iter().filter_map(|run| run.key.step()).collect();
    assert_eq!(found, [0, 1, 2, 9, 10, 11]);
}

pub async fn children_are_of_one_attempt_and_one_level(on: &Adapters) {
    let parent = run_of(1, "report");
    let child = child_of(&parent, 1, 0);
    let (retried, much_later) = (child_of(&parent, 2, 0), child_of(&parent, 11, 0));
    let grandchild = child_of(&child, 1, 0);
    let stranger = child_of(&run_of(2, "report"), 1, 0);
    on.make([parent.clone(), child.clone(), retried.clone(), much_later, grandchild.clone(), stranger]).await;
    for (of, attempt, expected) in [
        (&parent.key, 1, vec![child.key.clone()]),
        (&parent.key, 2, vec![retried.key]),
        (&parent.key, 3, vec![]),
        (&child.key, 1, vec![grandchild.key]),
    ] {
        let children = on.runs.children(of, attempt).await.expect("the store answers");
        assert_eq!(keys(&children), names(&expected), "attempt {attempt} of {of}");
    }
}

pub async fn due_runs_come_longest_due_first(on: &Adapters) {
    let due = |number, seconds| Run { due_at: Some(at(seconds)), ..run_of(number, "report") };
    on.make([due(1, 30), due(2, 10), due(3, 20), due(4, 40)]).await;
    for (now, limit, expected) in [
        (9, 10, vec![]),
        (10, 10, vec![key(2)]),
        (30, 10, vec![key(2), key(3), key(1)]),
        (30, 2, vec![key(2), key(3)]),
    ] {
        let found = on.runs.due(at(now), limit).await.expect("the store answers");
        assert_eq!(keys(&found), names(&expected), "at {now}, at most {limit}");
    }
}

pub async fn finished_run_is_not_due(on: &Adapters) {
    on.make([run_of(1, "report"), run_of(2, "report")]).await;
    on.change(&key(1), |run| run.due_at = None).await;
    on.change(&key(2), |run| run.due_at = Some(at(5_000))).await;
    assert!(on.runs.due(at(4_000), 10).await.expect("the store answers").is_empty());
    assert_eq!(keys(&on.runs.due(at(5_000), 10).await.expect("the store answers")), names(&[key(2)]));
}

pub async fn lists_are_newest_first_and_bounded(on: &Adapters) {
    for number in 1..=4 {
        on.make([run_of(number, "report")]).await;
    }
    let query = RunQuery { limit: 3, ..RunQuery::default() };
    let found = on.runs.list(&query).await.expect("the store answers");
    assert_eq!(keys(&found), names(&[key(4), key(3), key(2)]));
}

pub async fn lists_are_filtered(on: &Adapters) {
    let parent = run_of(1, "etl/load");
    on.make([parent.clone()]).await;
    on.make([child_of(&parent, 1, 0)]).await;
    for (number, job) in [(2, "etl/check"), (3, "report"), (4, "etl/load")] {
        on.make([run_of(number, job)]).await;
    }
    on.change(&key(4), |run| run.status = Status::Failed).await;
    let all = || RunQuery { limit: 10, ..RunQuery::default() };
    let text = |text: &str| Some(text.to_owned());
    let cases = [
        (all(), vec![key(4), key(3), key(2), key(1)]),
        (RunQuery { job: text("etl/load"), ..all() }, vec![key(4), key(1)]),
        (RunQuery { job: text("etl/*"), ..all() }, vec![key(4), key(2), key(1)]),
        (RunQuery { job: text("*o*d"), ..all() }, vec![key(4), key(1)]),
        (RunQuery { statuses: vec![Status::Failed, Status::Running], ..all() }, vec![key(4)]),
        (RunQuery { since: Some(at(3)), ..all() }, vec![key(4), key(3)]),
        (
            RunQuery { children: true, job: text("etl/load"), ..all() },
            vec![key(4), parent.key.child(1, 0), key(1)],
        ),
        (RunQuery { job: text("no/such"), ..all() }, vec![]),
    ];
    for (query, expected) in cases {
        let found = on.runs.list(&query).await.expect("the store answers");
        assert_eq!(keys(&found), names(&expected), "{query:?}");
    }
}

pub async fn alert_is_made_with_its_duties_and_left_out_where_asked(on: &Adapters) {
    let late = Late {
        limit: LimitKind::FinishBy,
        entry: 1,
        by: at(5),
        slot: Some(at(1)),
        previous: None,
        zone: Timezone(chrono_tz::Europe::Berlin),
        run_id: Some(run_of(1, "etl/load").run_id),
        status: Some(Status::Running),
        why: "ü".to_owned(),
        worker: Some(WorkerName::new("elsewhere").expect("a name")),
    };
    let mut alert = Run { late: Some(Box::new(late)), status: Status::Complete, ..run_of(2, "etl/load") };
    alert.ts_end = Some(at(6));
    alert.due_at = Some(at(7));
    alert.duties = Some(Duties { actions: Some(ActionsWhen::OnLate), done: 0, wake_parent: false });
    on.make([run_of(1, "etl/load")]).await;
    on.make([alert.clone()]).await;
    assert_eq!(on.get(&key(2)).await, alert);
    let due = on.runs.due(at(7), 10).await.expect("the store answers");
    assert_eq!(keys(&due), names(&[key(2)]));
    for job in [None, Some("etl/load".to_owned())] {
        let all = RunQuery { job, limit: 1, ..RunQuery::default() };
        let list = async |query: RunQuery| on.runs.list(&query).await.expect("the store answers");
        assert_eq!(keys(&list(all.clone()).await), names(&[key(2)]));
        assert_eq!(keys(&list(RunQuery { without_alerts: true, ..all }).await), names(&[key(1)]));
    }
    let done = on.change(&key(2), |run| (run.duties, run.due_at) = (None, None)).await;
    assert_eq!(on.get(&key(2)).await, done);
}

pub async fn tree_has_parents_before_their_children(on: &Adapters) {
    let parent = run_of(1, "etl/load");
    let child = child_of(&parent, 1, 0);
    let by_child = Run { dispatched_by: Some(child.key.clone()), ..run_of(2, "report") };
    let by_that = Run { dispatched_by: Some(by_child.key.clone()), ..run_of(3, "report") };
    for run in [parent.clone(), child.clone(), by_child.clone(), by_that.clone(), run_of(4, "report")] {
        on.make([run]).await;
    }
    let query =
        RunQuery { tree_of: Some(parent.key.clone()), children: true, limit: 10, ..RunQuery::default() };
    let found = on.runs.list(&query).await.expect("the store answers");
    assert_eq!(keys(&found), names(&[parent.key, child.key, by_child.key, by_that.key]));
}
