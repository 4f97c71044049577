//! Lists and counts of a realm's file, in states that the conformance suite cannot bring about.
#![expect(clippy::unwrap_used, reason = "a test says so by failing")]

use std::path::{Path, PathBuf};
use std::sync::Arc;

use chrono::{DateTime, NaiveDate};
use pumice_core::Timestamp;
use pumice_core::duration::Span;
use pumice_core::ids::{JobId, RunId, RunKey, WorkerName};
use pumice_core::ports::{Minute, Order, RunPage, RunQuery, RunStore};
use pumice_core::run::{NEVER, NewRun, Run, Status};
use pumice_core::spec::RunSpec;
use pumice_local::{Database, Durability};
use serde_json::json;
use uuid::Uuid;

struct File {
    database: Database,
    path: PathBuf,
    folder: tempfile::TempDir,
}

fn open(path: &Path) -> Database {
    Database::open(path, path.parent().unwrap(), Durability::Normal).unwrap()
}

fn at(seconds: i64) -> Timestamp {
    DateTime::from_timestamp(1_767_225_600 + seconds, 0).unwrap()
}

fn key(number: u32) -> RunKey {
    RunKey::root(RunId(Uuid::from_u128(number.into())))
}

/// A run that was dispatched at a time and kept for a day.
fn new(number: u32, now: Timestamp) -> NewRun {
    let job = ["load", "check"][number as usize % 2];
    let about = (JobId::new(job).unwrap(), "log".to_owned(), WorkerName::new("core").unwrap());
    let run_id = key(number).run_id().unwrap();
    let run = Run::dispatched(key(number), run_id, about, now, now, Span::from_days(1));
    let run = Run {
        status: if number.is_multiple_of(5) { Status::Failed } else { Status::Complete },
        due_at: None,
        ..run
    };
    let job = json!({ "job_id": job });
    NewRun { run, spec: RunSpec::of_job(Arc::new(job.as_object().cloned().unwrap())) }
}

impl File {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("pumice.db");
        Self { database: open(&path), path, folder }
    }

    /// Makes runs of these numbers, each so many seconds after the first moment.
    async fn make(&self, runs: &[(u32, i64)]) {
        for (number, seconds) in runs {
            let made = self.database.create(&[(new(*number, at(*seconds)), None)]).await.unwrap();
            assert!(made[0].is_new());
        }
    }

    async fn page(&self, query: RunQuery) -> RunPage {
        self.database.page(&RunQuery { limit: 10_000, ..query }).await.unwrap()
    }

    /// Removes all that has expired; gives how many records that were.
    async fn remove_expired(&self, now: Timestamp) -> usize {
        let (mut after, mut removed) = (0, 0);
        loop {
            let looked = self.database.remove_expired(now, after).await.unwrap();
            removed += looked.runs.len();
            match looked.next {
                Some(next) => after = next,
                None => return removed,
            }
        }
    }

    /// The counts of runs whose records are gone, of days after the first moment.
    async fn past(&self, since: i64, until: i64) -> Vec<(NaiveDate, String, Status, u64)> {
        let day = |day: i64| at(day * 86_400).date_naive();
        let counts = self.database.past(day(since), day(until)).await.unwrap().unwrap();
        counts.into_iter().map(|it| (it.day, it.job_id.to_string(), it.status, it.runs)).collect()
    }

    async fn keys(&self, query: RunQuery) -> Vec<RunKey> {
        self.page(query).await.runs.into_iter().map(|run| run.key).collect()
    }

    /// Holds every span of time in both orders against the runs that there are.
    async fn check_times(&self, runs: &[(u32, i64)]) {
        let mut times: Vec<i64> = runs.iter().flat_map(|(_, seconds)| [*seconds, seconds + 1]).collect();
        times.sort_unstable();
        times.dedup();
        let bounds: Vec<Option<i64>> = std::iter::once(None).chain(times.into_iter().map(Some)).collect();
        for (since, until) in bounds.iter().flat_map(|since| bounds.iter().map(move |until| (*since, *until)))
        {
            let is_in = |(_, seconds): &&(u32, i64)| {
                since.is_none_or(|since| *seconds >= since) && until.is_none_or(|until| *seconds < until)
            };
            let mut expected: Vec<RunKey> =
                runs.iter().filter(is_in).map(|(number, _)| key(*number)).collect();
            for order in [Order::Oldest, Order::Newest] {
                let query =
                    RunQuery { since: since.map(at), until: until.map(at), order, ..RunQuery::default() };
                assert_eq!(self.keys(query).await, expected, "{since:?} to {until:?}, {order:?}");
                expected.reverse();
            }
        }
    }

    /// How many runs there are in each status, by what is counted and by what is there.
    async fn check_counts(&self) {
        let counts = self.database.counts().await.unwrap().unwrap();
        for status in [Status::Complete, Status::Failed] {
            for job in ["load", "check"] {
                let query =
                    RunQuery { statuses: vec![status], job: Some(job.to_owned()), ..RunQuery::default() };
                let there = self.page(query.clone()).await.runs.len() as u64;
                assert_eq!(counts.of(&query), Some(there), "{job} {status}");
            }
        }
    }
}

#[tokio::test]
async fn runs_after_a_clock_step_back_are_listed_by_dispatch_time() {
    let file = File::new();
    let runs = [(1, 1_000), (2, 1_001), (3, 10), (4, 11), (5, 900), (6, 1_001), (7, 5_000), (8, 12)];
    file.make(&runs).await;
    file.check_times(&runs).await;
    // Another process has the same file, and another clock.
    let file = File { database: open(&file.path), ..file };
    let more = [(9, 100_000), (10, 3)];
    file.make(&more).await;
    file.check_times(&[&runs[..], &more].concat()).await;
}

#[tokio::test]
async fn store_of_the_version_before_is_listed_and_counted() {
    let file = File::new();
    let old = [(1, 10), (2, 11), (3, 5), (4, 12), (5, 400)];
    file.make(&old).await;
    let File { database, path, folder } = file;
    drop(database);
    let before = rusqlite::Connection::open(&path).unwrap();
    let tables = [
        "meta",
        "jobs",
        "runs",
        "long_specs",
        "locks",
        "messages",
        "dead_letters",
        "state",
        "schedules",
        "backfills",
    ];
    before.execute_batch(&crate::drop_tables_but(&before, &tables)).unwrap();
    before
        .execute_batch(
            "UPDATE runs SET id = (SELECT count(*) FROM runs AS earlier WHERE earlier.id <= runs.id);
             DELETE FROM meta; DROP INDEX runs_bad;
             ALTER TABLE runs RENAME COLUMN pinned TO spec;
             ALTER TABLE schedules DROP COLUMN rules; ALTER TABLE schedules DROP COLUMN superseded; PRAGMA user_version = 5;",
        )
        .unwrap();
    let insert = "INSERT INTO runs (key, rev, status, job_id, expires, record, spec) VALUES ('x', 1, '', '', 0, '', '')";
    let mut inserts = before.prepare(insert).unwrap();
    let file = File { database: open(&path), path, folder };
    // A process of that version that has the file open stops: its rows would have numbers that follow no time.
    let error = inserts.execute([]).unwrap_err().to_string();
    assert!(error.contains("no column named spec"), "{error}");
    file.check_times(&old).await;
    file.check_counts().await;
    let recent = [(6, 500), (7, 501)];
    file.make(&recent).await;
    file.check_times(&[&old[..], &recent].concat()).await;
    file.check_counts().await;
    let (run, spec) = file.database.load_with_spec(&key(2)).await.unwrap().unwrap();
    assert_eq!((run, spec), (new(2, at(11)).run, new(2, at(11)).spec));
}

#[tokio::test]
async fn list_since_a_time_looks_at_no_older_runs() {
    let file = File::new();
    let runs: Vec<(u32, i64)> = (1..=500).map(|number| (number, i64::from(number) * 60)).collect();
    file.make(&runs).await;
    for order in [Order::Newest, Order::Oldest] {
        for (query, most) in [
            (RunQuery { since: Some(at(490 * 60)), ..RunQuery::default() }, 11),
            (RunQuery { until: Some(at(11 * 60)), ..RunQuery::default() }, 11),
            (RunQuery { statuses: vec![Status::Failed], ..RunQuery::default() }, 100),
            (RunQuery { statuses: vec![Status::Rejected], ..RunQuery::default() }, 0),
            (RunQuery { job: Some("load".to_owned()), ..RunQuery::default() }, 250),
            (RunQuery { job: Some("l*".to_owned()), ..RunQuery::default() }, 250),
            (RunQuery { job: Some("no/such".to_owned()), ..RunQuery::default() }, 0),
        ] {
            let page = file.page(RunQuery { order, ..query.clone() }).await;
            assert!(page.looked_at <= most && !page.is_cut, "{query:?}: {}", page.looked_at);
        }
    }
}

#[tokio::test]
async fn runs_that_expire_leave_the_counts() {
    let file = File::new();
    file.make(&(1..=20).map(|number| (number, i64::from(number))).collect::<Vec<_>>()).await;
    file.check_counts().await;
    let removed = file.database.remove_expired(at(86_400 + 10), 0).await.unwrap();
    assert!(!removed.runs.is_empty() && removed.runs.len() < 20, "{}", removed.runs.len());
    file.check_counts().await;
    file.remove_expired(at(2 * 86_400)).await;
    assert!(file.database.counts().await.unwrap().unwrap().by_job.is_empty());
}

#[tokio::test]
async fn expired_runs_are_removed_while_older_records_stay() {
    let file = File::new();
    let kept_for_good = |number| {
        let NewRun { run, spec } = new(number, at(i64::from(number)));
        NewRun { run: Run { expires: NEVER, ..run }, spec }
    };
    let old: Vec<_> = (1..=1_200).map(|number| (kept_for_good(number), None)).collect();
    file.database.create(&old).await.unwrap();
    file.make(&[(2_001, 2_001), (2_002, 2_002), (2_003, 90_000)]).await;
    assert_eq!(file.remove_expired(at(88_403)).await, 2);
    assert_eq!(file.keys(RunQuery::default()).await.len(), 1_201);
    file.check_counts().await;
}

#[tokio::test]
async fn steps_leave_with_their_run_and_busy_runs_stay() {
    let file = File::new();
    let step = |number: u32, step: u32| {
        let NewRun { run, spec } = new(number, at(0));
        NewRun { run: Run { key: run.key.child(1, step), ..run }, spec }
    };
    let busy = |new: NewRun| NewRun { run: Run { due_at: Some(at(0)), ..new.run }, ..new };
    let lasting = |new: NewRun| NewRun { run: Run { expires: NEVER, ..new.run }, ..new };
    let made = [
        // Gone with its steps, however long those would be kept by themselves.
        new(1, at(0)),
        lasting(step(1, 0)),
        lasting(step(1, 1)),
        // A run that goes on keeps its steps.
        busy(new(2, at(0))),
        step(2, 0),
        // So does one that is kept.
        lasting(new(3, at(0))),
        step(3, 0),
        // A step that is left over.
        step(4, 0),
        // A run whose end has something left to do.
        busy(new(6, at(0))),
    ];
    for new in made {
        file.database.create(&[(new, None)]).await.unwrap();
    }
    assert_eq!(file.remove_expired(at(86_401)).await, 4);
    let all = RunQuery { children: true, ..RunQuery::default() };
    let mut left = file.keys(all).await;
    left.sort();
    let root = |number: u32| key(number);
    assert_eq!(left, [root(2), root(2).child(1, 0), root(3), root(3).child(1, 0), root(6)]);
    file.check_counts().await;
}

#[tokio::test]
async fn runs_whose_records_are_gone_are_counted_by_day_and_outcome() {
    let file = File::new();
    // Of two days: 10 is failed, as all that 5 divides.
    file.make(&[(1, 10), (3, 20), (10, 30), (7, 86_400), (9, 86_401)]).await;
    let NewRun { run, spec } = new(11, at(40));
    let step = NewRun { run: Run { key: run.key.child(1, 0), ..run }, spec };
    file.database.create(&[(step, None)]).await.unwrap();
    assert_eq!(file.past(0, 2).await, []);
    file.remove_expired(at(3 * 86_400)).await;
    let counts =
        |day: i64, job: &str, status, runs| (at(day * 86_400).date_naive(), job.to_owned(), status, runs);
    let (first, second) = (
        [counts(0, "check", Status::Complete, 2), counts(0, "load", Status::Failed, 1)],
        [counts(1, "check", Status::Complete, 2)],
    );
    assert_eq!(file.past(0, 1).await, first);
    assert_eq!(file.past(1, 2).await, second);
    // A run of the same day that leaves later is added.
    file.make(&[(13, 50)]).await;
    file.remove_expired(at(3 * 86_400)).await;
    assert_eq!(file.past(0, 1).await[0].3, 3);
}

#[tokio::test]
async fn reader_makes_no_file_in_place_of_one_that_is_gone() {
    for kept in [&[][..], &["pumice.db"], &["pumice.db", "pumice.db-shm"]] {
        let file = File::new();
        file.make(&[(1, 1)]).await;
        for name in ["pumice.db", "pumice.db-wal", "pumice.db-shm"] {
            if !kept.contains(&name) {
                std::fs::remove_file(file.folder.path().join(name)).unwrap();
            }
        }
        // The connection of the writer serves as well.
        assert_eq!(file.keys(RunQuery::default()).await, [key(1)], "{kept:?}");
        let left: Vec<_> = std::fs::read_dir(file.folder.path()).unwrap().flatten().collect();
        assert_eq!(left.len(), kept.len(), "{left:?}");
    }
}

#[tokio::test]
async fn starts_of_many_runs_under_way_say_that_they_are_cut() {
    let file = File::new();
    let runs: Vec<_> = (1..=20_001)
        .map(|number| {
            let made = new(number, at(i64::from(number) / 1_000));
            let run = Run { status: Status::Dispatched, due_at: Some(at(0)), ..made.run };
            (NewRun { run, ..made }, None)
        })
        .collect();
    let minute = Minute::of(at(0));
    for (some, all, is_cut) in [(&runs[..20_000], 20_000, false), (&runs[20_000..], 20_000, true)] {
        file.database.create(some).await.unwrap();
        let starts = file.database.starts(minute, minute).await.unwrap();
        assert_eq!((starts.all(), starts.is_cut, starts.since), (all, is_cut, minute));
    }
}
