//! Content of a realm's file that this program did not write just now.
#![expect(clippy::unwrap_used, reason = "a test says so by failing")]

use std::path::PathBuf;
use std::sync::Arc;

use chrono::{DateTime, TimeDelta};
use pumice_core::Timestamp;
use pumice_core::duration::Span;
use pumice_core::ids::{JobId, RunId, RunKey, WorkerName};
use pumice_core::ports::{Change, CommitError, RunQuery, RunStore};
use pumice_core::run::{LockChange, NewRun, Run};
use pumice_core::spec::RunSpec;
use pumice_local::{Database, Durability};
use serde_json::json;
use uuid::Uuid;

struct File {
    database: Database,
    path: PathBuf,
    folder: tempfile::TempDir,
}

impl File {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("realm.db");
        let database = Database::open(&path, folder.path(), Durability::Normal).unwrap();
        Self { database, path, folder }
    }

    /// Does something to the file that the program would not do.
    fn tamper(&self, sql: &str) {
        rusqlite::Connection::open(&self.path).unwrap().execute_batch(sql).unwrap();
    }

    fn reopened(self) -> Self {
        let Self { database, path, folder } = self;
        drop(database);
        let database = Database::open(&path, folder.path(), Durability::Normal).unwrap();
        Self { database, path, folder }
    }

    async fn make(&self, numbers: impl IntoIterator<Item = u32>) {
        let runs: Vec<_> = numbers.into_iter().map(|number| (new(number), None)).collect();
        assert!(self.database.create(&runs).await.unwrap().iter().all(|created| created.sent));
    }

    async fn due(&self, now: Timestamp) -> Vec<RunKey> {
        self.database.due(now, 10).await.unwrap().into_iter().map(|run| run.key).collect()
    }
}

fn at(seconds: i64) -> Timestamp {
    DateTime::from_timestamp(1_767_225_600 + seconds, 0).unwrap()
}

fn key(number: u32) -> RunKey {
    RunKey::root(RunId(Uuid::from_u128(number.into())))
}

fn new(number: u32) -> NewRun {
    let about = (JobId::new("load").unwrap(), "log".to_owned(), WorkerName::new("core").unwrap());
    let (key, now) = (key(number), at(number.into()));
    let run_id = key.run_id().unwrap();
    let run = Run::dispatched(key, run_id, about, now, now, Span::from_days(1));
    let job = json!({ "job_id": "load", "payload": number });
    NewRun { run, spec: RunSpec::of_job(Arc::new(job.as_object().cloned().unwrap())) }
}

fn break_record(number: u32) -> String {
    format!("UPDATE runs SET record = '{{\"status\": \"unheard of\"}}' WHERE key = '{}'", key(number))
}

#[tokio::test]
async fn unreadable_record_does_not_disturb_others() {
    let file = File::new();
    file.make(1..=3).await;
    file.tamper(&break_record(2));
    let others = [key(1), key(3)];
    let now = at(1_000);
    assert_eq!(file.due(now).await, others);
    let listed = file.database.list(&RunQuery { limit: 10, ..RunQuery::default() }).await.unwrap();
    assert_eq!(listed.into_iter().rev().map(|run| run.key).collect::<Vec<_>>(), others);
    assert_eq!(file.database.recover(now).await.unwrap(), 0);
    // A caller that asks for that one gets its error.
    let error = file.database.load(&key(2)).await.unwrap_err().to_string();
    assert!(error.contains("corrupt record"), "{error}");
    // Other callers at the same time do not.
    let created = file.database.create(&[(new(2), None), (new(4), None)]).await.unwrap();
    assert!(created[0].failed.is_some() && created[1].sent, "{created:?}");
}

#[tokio::test]
async fn record_of_invalid_text_does_not_disturb_others() {
    let file = File::new();
    file.make(1..=4).await;
    file.tamper(&format!(
        "UPDATE runs SET record = x'ff00' WHERE key = '{}'; UPDATE runs SET pinned = NULL WHERE key = '{}'",
        key(2),
        key(3)
    ));
    assert_eq!(file.due(at(1_000)).await, [key(1), key(3), key(4)]);
    for (number, good) in [(1, true), (2, false), (3, false), (4, true)] {
        assert_eq!(file.database.load_with_spec(&key(number)).await.is_ok(), good, "{number}");
    }
}

#[tokio::test]
async fn sweeper_meets_an_unreadable_record_once_an_hour() {
    let file = File::new();
    file.make([1]).await;
    file.tamper(&break_record(1));
    let now = at(1_000);
    assert!(file.due(now).await.is_empty());
    // Written with the next that is written.
    file.make([2]).await;
    let due: i64 = {
        let connection = rusqlite::Connection::open(&file.path).unwrap();
        let sql = "SELECT due_at FROM runs WHERE key = ?";
        connection.query_row(sql, [key(1).as_str()], |row| row.get(0)).unwrap()
    };
    assert_eq!(due, (now + TimeDelta::hours(1)).timestamp_micros());
}

#[tokio::test]
async fn unreadable_record_holds_its_lock_until_it_is_done() {
    let file = File::new();
    file.make(1..=2).await;
    let take = async |number: u32| {
        let run = Run { rev: 2, ..new(number).run };
        file.database.commit(&Change { run, lock: Some(LockChange::Take), permit: None, message: None }).await
    };
    take(1).await.unwrap();
    file.tamper(&break_record(1));
    let refused = take(2).await;
    assert!(matches!(&refused, Err(CommitError::Locked(by)) if *by == key(1)), "{refused:?}");
    file.tamper(&format!("UPDATE runs SET due_at = NULL WHERE key = '{}'", key(1)));
    take(2).await.unwrap();
}

#[tokio::test]
async fn file_of_the_version_before_is_updated() {
    let file = File::new();
    file.make([1]).await;
    let tables = ["meta", "jobs", "runs", "long_specs", "locks", "messages", "dead_letters", "state"];
    file.tamper(&crate::drop_tables_but(&rusqlite::Connection::open(&file.path).unwrap(), &tables));
    // Specs had a table of their own.
    file.tamper(
        "ALTER TABLE long_specs RENAME TO specs; INSERT INTO specs SELECT id, pinned FROM runs;
         ALTER TABLE runs DROP COLUMN pinned; DROP INDEX runs_bad;
         DELETE FROM meta WHERE name = 'identity'; PRAGMA user_version = 1;
         INSERT INTO jobs VALUES ('daily', '{\"job_id\": \"daily\", \"schedule\": \"@daily\"}');
         INSERT INTO jobs VALUES ('never', '{\"job_id\": \"never\"}');",
    );
    let old = rusqlite::Connection::open(&file.path).unwrap();
    let sql = "SELECT record, spec FROM runs JOIN specs USING (id) WHERE key = ?";
    let mut loads = old.prepare(sql).unwrap();
    assert!(loads.exists([key(1).as_str()]).unwrap());
    let file = file.reopened();
    // A process of that version that has the file open stops: it would run jobs without their specs.
    let error = loads.exists([key(1).as_str()]).unwrap_err().to_string();
    assert!(error.contains("no such table"), "{error}");
    // Schedules that were put when nothing acted on them begin now.
    let timetables = pumice_core::ports::ScheduleStore::all(&file.database).await.unwrap();
    assert_eq!(timetables.iter().map(|one| one.job_id.as_str()).collect::<Vec<_>>(), ["daily"]);
    assert!(timetables[0].changed.is_some() && timetables[0].due_at == timetables[0].changed);
    file.make([2]).await;
    for number in 1..=2 {
        let (run, spec) = file.database.load_with_spec(&key(number)).await.unwrap().unwrap();
        let made = new(number);
        assert_eq!((run, spec), (made.run, made.spec));
    }
}

#[tokio::test]
async fn pauses_outlive_the_process_and_a_corrupt_record_fails() {
    let file = File::new();
    let pause = pumice_core::pauses::Pause {
        scope: pumice_core::pauses::Scope::Realm,
        since: at(1),
        until: None,
        by: None,
        why: None,
        everything: false,
    };
    let pauses = pumice_core::pauses::Pauses::default().with(pause, at(1));
    file.database.put_pauses(&pauses).await.unwrap();
    let file = file.reopened();
    assert_eq!(file.database.pauses().await.unwrap(), pauses);
    file.tamper("UPDATE pauses SET record = '{'");
    let error = file.database.pauses().await.unwrap_err();
    assert!(error.to_string().contains("pauses cannot be read"), "{error}");
}
