//! Backfills: records that any number of processes may write.
#![expect(missing_docs, reason = "a case's name says what it is about")]

use pumice_core::clock::Backfill;
use pumice_core::clock::backfill::{BackfillEntry, Bad, Only, Place, Progress, Underway};
use pumice_core::ids::{JobId, RunId};
use pumice_core::ports::CommitError;
use pumice_core::run::Status;

use super::{Adapters, at};

/// A backfill with a value in each field that has one while it goes on.
fn backfill(id: &str) -> Backfill {
    let bad = |status| Bad { slot: at(3), entry: 1, run_id: Some(RunId(uuid::Uuid::from_u128(7))), status };
    Backfill {
        id: id.to_owned(),
        job_id: JobId::new("etl/load").expect("an id"),
        rev: 1,
        due_at: Some(at(20)),
        progress: Progress::Active,
        entry: Some(1),
        parts: vec![BackfillEntry {
            entry: 1,
            fingerprint: "f00d".to_owned(),
            given: Some("cafe".to_owned()),
            since: at(0),
            until: at(9),
        }],
        from: at(1),
        to: at(10),
        only: Only::Failed,
        max_active: 3,
        reverse: true,
        others: vec!["other".to_owned()],
        key: Some("a \"key\"".to_owned()),
        by: "ann".to_owned(),
        why: "ü \"quoted\"".to_owned(),
        begun: at(20),
        ended: None,
        expires: None,
        at: Some(Place { slot: at(2), part: 0 }),
        active: vec![Underway { slot: at(4), entry: 1, key: "backfill:x".to_owned() }],
        planned: 9,
        skipped: 4,
        completed: 2,
        failed: 2,
        bad: vec![bad(Some(Status::Failed)), Bad { run_id: None, ..bad(None) }],
    }
}

async fn stored(on: &Adapters, id: &str) -> Option<Backfill> {
    on.schedules.load_backfill(id).await.expect("the store answers")
}

async fn created(on: &Adapters, backfill: &Backfill) {
    on.schedules.create_backfill(backfill).await.expect("it is written");
}

pub async fn backfill_is_read_as_it_was_written(on: &Adapters) {
    assert_eq!(stored(on, "one").await, None);
    let made = backfill("one");
    created(on, &made).await;
    assert_eq!(stored(on, "one").await, Some(made.clone()));
    let cancelled = Progress::Cancelled { by: "bob".to_owned(), why: "too many".to_owned() };
    for progress in [Progress::Complete, Progress::Stopped { why: "the job is gone".to_owned() }, cancelled] {
        let before = stored(on, "one").await.expect("it is there");
        let rev = before.rev + 1;
        let (ended, expires) = (Some(at(30)), Some(at(9_000_000_000)));
        let next = Backfill { rev, progress, ended, expires, due_at: None, at: None, ..made.clone() };
        on.schedules.put_backfill(&next).await.expect("it is written");
        assert_eq!(stored(on, "one").await, Some(next));
    }
}

pub async fn existing_backfill_is_not_made_again(on: &Adapters) {
    let made = backfill("one");
    created(on, &made).await;
    let other = Backfill { planned: 1, ..made.clone() };
    assert!(matches!(on.schedules.create_backfill(&other).await, Err(CommitError::Conflict)));
    assert_eq!(stored(on, "one").await, Some(made));
}

pub async fn backfill_of_an_old_revision_is_a_conflict(on: &Adapters) {
    let made = backfill("one");
    assert!(matches!(on.schedules.put_backfill(&made).await, Err(CommitError::Conflict)));
    created(on, &made).await;
    let next = Backfill { rev: 2, skipped: 5, ..made.clone() };
    on.schedules.put_backfill(&next).await.expect("it is written");
    for rev in [1, 2, 4] {
        let stale = Backfill { rev, skipped: 6, ..made.clone() };
        assert!(matches!(on.schedules.put_backfill(&stale).await, Err(CommitError::Conflict)), "{rev}");
    }
    assert_eq!(stored(on, "one").await, Some(next));
}

pub async fn backfills_that_are_due_come_longest_due_first(on: &Adapters) {
    for (id, due) in [("a", Some(30)), ("b", Some(10)), ("c", None), ("d", Some(20))] {
        created(on, &Backfill { due_at: due.map(at), begun: at(due.unwrap_or(5)), ..backfill(id) }).await;
    }
    let due = async |until: i64, limit: usize| {
        let due = on.schedules.due_backfills(at(until), limit).await.expect("the store answers");
        due.into_iter().map(|one| one.id).collect::<Vec<_>>()
    };
    assert_eq!(due(20, 10).await, ["b", "d"]);
    assert_eq!(due(100, 10).await, ["b", "d", "a"]);
    assert_eq!(due(100, 1).await, ["b"]);
    assert_eq!(due(9, 10).await, Vec::<String>::new());
    // One that is over is not found any more.
    let over =
        Backfill { rev: 2, due_at: None, progress: Progress::Complete, begun: at(10), ..backfill("b") };
    on.schedules.put_backfill(&over).await.expect("it is written");
    assert_eq!(due(100, 10).await, ["d", "a"]);
    let all = on.schedules.all_backfills().await.expect("the store answers");
    let all: Vec<&str> = all.iter().map(|one| one.id.as_str()).collect();
    assert_eq!(all, ["a", "d", "b", "c"], "the newest first");
    // Nothing of this is taken for a timetable, or for a run.
    assert!(
        on.schedules
            .longest_due(at(100), 10)
            .await
            .expect("the store answers")
            .iter()
            .all(|one| { all.iter().all(|id| one.job_id.as_str() != *id) })
    );
    assert_eq!(on.runs.due(at(100), 10).await.expect("the store answers"), []);
}
