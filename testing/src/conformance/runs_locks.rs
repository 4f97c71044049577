//! The lock of a job: one run holds it, from its claim until it is done.
#![expect(missing_docs, reason = "a case's name says what it is about")]

use pumice_core::ids::RunKey;
use pumice_core::ports::{Change, CommitError};
use pumice_core::run::LockChange::{Free, Take};
use pumice_core::run::{Duties, Status};

use super::{Adapters, at, job, key, run_of};

async fn three(on: &Adapters) {
    on.make([run_of(1, "report"), run_of(2, "report"), run_of(3, "etl/load")]).await;
}

fn locked_by(outcome: &Result<bool, CommitError>, number: u128) -> bool {
    matches!(outcome, Err(CommitError::Locked(by)) if *by == key(number))
}

async fn holder(on: &Adapters, job_id: &str) -> Option<RunKey> {
    on.runs.holder(&job(job_id)).await.expect("the store answers")
}

pub async fn free_lock_is_taken_once(on: &Adapters) {
    three(on).await;
    assert_eq!(holder(on, "report").await, None);
    assert!(on.lock(&key(1), Take).await.is_ok());
    assert_eq!(holder(on, "report").await, Some(key(1)));
    let refused = on.lock(&key(2), Take).await;
    assert!(locked_by(&refused, 1), "{refused:?}");
    assert_eq!(holder(on, "etl/load").await, None);
    assert!(on.lock(&key(3), Take).await.is_ok(), "each job has a lock of its own");
}

pub async fn refused_lock_leaves_the_record_as_it_was(on: &Adapters) {
    three(on).await;
    on.lock(&key(1), Take).await.expect("the lock is free");
    let before = on.get(&key(2)).await;
    assert!(on.lock(&key(2), Take).await.is_err());
    assert_eq!(on.get(&key(2)).await, before);
}

pub async fn holder_takes_its_lock_again(on: &Adapters) {
    three(on).await;
    on.lock(&key(1), Take).await.expect("the lock is free");
    assert!(on.lock(&key(1), Take).await.is_ok());
}

pub async fn freed_lock_can_be_taken(on: &Adapters) {
    three(on).await;
    on.lock(&key(1), Take).await.expect("the lock is free");
    on.lock(&key(1), Free).await.expect("it is its own");
    assert_eq!(holder(on, "report").await, None);
    assert!(on.lock(&key(2), Take).await.is_ok());
}

pub async fn only_its_holder_frees_a_lock(on: &Adapters) {
    three(on).await;
    on.lock(&key(1), Take).await.expect("the lock is free");
    on.lock(&key(2), Free).await.expect("the record is written all the same");
    let refused = on.lock(&key(2), Take).await;
    assert!(locked_by(&refused, 1), "{refused:?}");
}

pub async fn lock_of_a_finished_run_can_be_taken(on: &Adapters) {
    three(on).await;
    on.lock(&key(1), Take).await.expect("the lock is free");
    on.change(&key(1), |run| {
        run.status = Status::Failed;
        run.due_at = None;
    })
    .await;
    assert_eq!(holder(on, "report").await, None);
    assert!(on.lock(&key(2), Take).await.is_ok());
}

pub async fn run_with_duties_keeps_its_lock(on: &Adapters) {
    three(on).await;
    on.lock(&key(1), Take).await.expect("the lock is free");
    on.change(&key(1), |run| {
        run.status = Status::Failed;
        run.duties = Some(Duties { actions: None, done: 0, wake_parent: true });
    })
    .await;
    let refused = on.lock(&key(2), Take).await;
    assert!(locked_by(&refused, 1), "{refused:?}");
}

pub async fn conflict_changes_no_lock(on: &Adapters) {
    three(on).await;
    let run = on.get(&key(1)).await;
    let outcome = on.runs.commit(&Change { run, lock: Some(Take), permit: None, message: None }).await;
    assert!(matches!(outcome, Err(CommitError::Conflict)), "{outcome:?}");
    assert!(on.lock(&key(2), Take).await.is_ok());
}

pub async fn longest_waiting_run_is_first_in_line(on: &Adapters) {
    let line = async |job_id: &str, limit: usize| {
        let line = on.runs.in_line(&job(job_id), limit).await.expect("the store answers");
        line.into_iter().map(|run| run.key).collect::<Vec<_>>()
    };
    assert_eq!(line("report", 1).await, []);
    on.make([run_of(1, "report"), run_of(2, "report"), run_of(3, "report"), run_of(4, "report")]).await;
    // The first runs, the second was started and gave way, the others wait for the lock.
    on.change(&key(1), |run| run.status = Status::Running).await;
    on.change(&key(2), |run| {
        run.status = Status::Waiting;
        run.ts_start = Some(at(10));
    })
    .await;
    on.change(&key(4), |run| run.status = Status::Waiting).await;
    on.change(&key(3), |run| run.status = Status::Waiting).await;
    assert_eq!(line("report", 1).await, [key(3)]);
    assert_eq!(line("report", 1_000).await, [key(3), key(4)]);
    assert_eq!(line("etl/load", 1).await, []);
}
