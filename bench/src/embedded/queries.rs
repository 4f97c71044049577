//! People's questions to a large realm while it works: the time of the answers, and their cost for the engine.

use std::time::{Duration, Instant};

use pumice_core::ids::{JobId, RunKey};
use pumice_core::ports::{Order, RunQuery, RunStore};
use pumice_core::request::DispatchRequest;
use pumice_local::{Database, Durability};
use rusqlite::params;

use super::realm::{Realm, block_on};

/// Runs that have ended.
pub(super) const ENDED: usize = 1_000_000;
/// Jobs that they are of.
const JOBS: usize = 200;
/// How many of them failed.
const FAILED: usize = 100;
/// Runs a second that are asked for and processed meanwhile.
const RATE: usize = 1_000;
/// For how long each list is asked for, and how often in that time.
const MEASURED: Duration = Duration::from_secs(6);
const EACH: usize = 300;
/// How many of the newest ended runs have what the others are made of.
const MODELS: usize = JOBS;
/// How many copies one transaction puts.
const COPIED_AT_ONCE: usize = 100_000;

type Measured = Result<Vec<f64>, String>;

/// The names of the figures: for each question its median and its 99th percentile, in ms; the processor time of a
/// processed run in µs without and with questions, and the difference in percent.
pub(super) const NAMES: [&str; 17] = [
    "list_p50_ms",
    "list_p99_ms",
    "status_failed_p50_ms",
    "status_failed_p99_ms",
    "since_1m_p50_ms",
    "since_1m_p99_ms",
    "job_p50_ms",
    "job_p99_ms",
    "no_match_p50_ms",
    "no_match_p99_ms",
    "oldest_p50_ms",
    "oldest_p99_ms",
    "tree_p50_ms",
    "tree_p99_ms",
    "processed_s_without",
    "processed_s_with",
    "slower_percent",
];

/// Measures all of them, in one realm.
pub(super) fn measure(durability: Durability) -> Measured {
    block_on(async {
        let realm = Realm::new(durability).await?;
        fill(&realm, ENDED).await?;
        let mut running = realm.start().await?;
        let database = realm.database().clone();
        let mut figures = Vec::new();
        for question in questions(&realm).await? {
            let asked = async { ask(&database, &question).await };
            let (waits, fed) = tokio::join!(asked, feed(&realm, MEASURED));
            fed?;
            let mut waits = waits?;
            waits.sort_by(f64::total_cmp);
            let at = |share: usize| waits[(waits.len() * share / 100).min(waits.len() - 1)];
            figures.extend([at(50), at(99)]);
        }
        running.drained(&realm).await?;
        running.stop().await?;
        let (mut without, mut with) = (Vec::new(), Vec::new());
        for _ in 0..3 {
            without.push(drain(&realm, false).await?);
            with.push(drain(&realm, true).await?);
        }
        let (without, with) = (median(&mut without), median(&mut with));
        figures.extend([without, with, (without / with - 1.0) * 100.0]);
        Ok(figures)
    })?
}

/// The median of a few rates.
pub(super) fn median(rates: &mut [f64]) -> f64 {
    rates.sort_by(f64::total_cmp);
    rates.get(rates.len() / 2).copied().unwrap_or(f64::NAN)
}

/// Has a few runs processed, and puts so many copies of them, of which [`FAILED`] failed.
pub(super) async fn fill(realm: &Realm, ended: usize) -> Result<(), String> {
    for number in 0..MODELS {
        realm.dispatch(&format!("noop-{number}"), 1).await?;
    }
    realm.dispatch("chain", 1).await?;
    let mut running = realm.start().await?;
    running.drained(realm).await?;
    running.stop().await?;
    let file = realm.folder().join("pumice.db");
    let filled = tokio::task::spawn_blocking(move || copy(&file, ended).map_err(|error| error.to_string()));
    filled.await.map_err(|error| error.to_string())??;
    realm.settle().await
}

/// The columns that copies of a run are made of: its key, record, job, time of expiry, status, pinned spec and time of
/// dispatch.
type Model = (String, String, String, i64, String, Option<String>, i64);

/// Copies of the records of runs of their own, dispatched over the day before.
fn copy(file: &std::path::Path, ended: usize) -> Result<(), rusqlite::Error> {
    let mut connection = rusqlite::Connection::open(file)?;
    let models: Vec<Model> = connection
        .prepare(
            "SELECT key, record, job_id, expires, status, pinned, json_extract(record, '$.ts_dispatch') FROM runs
             WHERE job_id LIKE 'noop-%' AND instr(key, '/') = 0 ORDER BY id LIMIT ?",
        )?
        .query_map([MODELS.cast_signed()], |row| {
            Ok((row.get(0)?, row.get(1)?, row.get(2)?, row.get(3)?, row.get(4)?, row.get(5)?, row.get(6)?))
        })?
        .collect::<Result<_, _>>()?;
    let first = models.iter().map(|model| model.6).min().unwrap_or_default();
    let step = 86_400_000_000 / ended.cast_signed() as i64;
    // Each transaction is in the log at once: ten million would not fit.
    let numbers: Vec<usize> = (0..ended).collect();
    for numbers in numbers.chunks(COPIED_AT_ONCE) {
        let transaction = connection.transaction()?;
        put_copies(&transaction, numbers, (ended, first, step), &models)?;
        transaction.commit()?;
    }
    connection.execute("DELETE FROM run_counts", [])?;
    let sql = "INSERT INTO run_counts
         SELECT job_id, status, instr(key, '/') > 0 AS step, count(*) FROM runs WHERE due_at IS NULL
         GROUP BY job_id, status, step";
    connection.execute(sql, []).map(drop)
}

fn put_copies(
    transaction: &rusqlite::Transaction<'_>,
    numbers: &[usize],
    (ended, first, step): (usize, i64, i64),
    models: &[Model],
) -> Result<(), rusqlite::Error> {
    let mut insert = transaction.prepare(
        "INSERT INTO runs (id, key, rev, status, job_id, dispatched_by, due_at, expires, record, pinned)
         VALUES (?, ?, 3, ?, ?, NULL, NULL, ?, ?, ?)",
    )?;
    for &number in numbers {
        let (key, record, job_id, expires, status, pinned, at) = &models[number % models.len()];
        let when = first - 60_000_000 - (ended - number) as i64 * step;
        let millis = when.unsigned_abs() / 1_000;
        let own = format!("{:08x}-{:04x}-7000-8000-{number:012x}", millis >> 16, millis & 0xffff);
        let has_failed = number % (ended / FAILED) == 0;
        let status = if has_failed { "failed" } else { status };
        let record = record.replace(key, &own).replace(&at.to_string(), &when.to_string());
        let record = if has_failed {
            record.replacen("\"status\":\"complete\"", "\"status\":\"failed\"", 1)
        } else {
            record
        };
        insert.execute(params![when, own, status, job_id, expires, record, pinned])?;
    }
    Ok(())
}

/// The questions, as the commands ask them.
async fn questions(realm: &Realm) -> Result<Vec<RunQuery>, String> {
    let list = || RunQuery { limit: 25, ..RunQuery::default() };
    let since = chrono::Utc::now();
    let chain = RunQuery { job: Some("chain".to_owned()), limit: 1, ..RunQuery::default() };
    let found = realm.database().list(&chain).await.map_err(|error| error.to_string())?;
    let root: RunKey = found.first().map(|run| run.key.clone()).ok_or("no chain was run")?;
    Ok(vec![
        list(),
        RunQuery { statuses: vec![pumice_core::run::Status::Failed], ..list() },
        RunQuery { since: Some(since), ..list() },
        RunQuery { job: Some("noop-7".to_owned()), ..list() },
        RunQuery {
            statuses: vec![pumice_core::run::Status::Rejected],
            job: Some("*-1*".to_owned()),
            ..list()
        },
        RunQuery { order: Order::Oldest, ..list() },
        RunQuery { tree_of: Some(root), ..RunQuery::default() },
    ])
}

/// Asks a question again and again; the waits, in ms.
async fn ask(database: &Database, question: &RunQuery) -> Result<Vec<f64>, String> {
    let mut waits = Vec::with_capacity(EACH);
    let mut ticks = tokio::time::interval(MEASURED / EACH as u32);
    for _ in 0..EACH {
        ticks.tick().await;
        let mut question = question.clone();
        if question.since.is_some() {
            question.since = Some(chrono::Utc::now() - chrono::TimeDelta::minutes(1));
        }
        let began = Instant::now();
        database.page(&question).await.map_err(|error| error.to_string())?;
        waits.push(began.elapsed().as_secs_f64() * 1_000.0);
    }
    Ok(waits)
}

/// Asks for runs, so many a second, as long as is measured.
async fn feed(realm: &Realm, long: Duration) -> Result<(), String> {
    const BATCHES: usize = 50;
    let mut ticks = tokio::time::interval(Duration::from_secs(1) / BATCHES as u32);
    let until = Instant::now() + long;
    while Instant::now() < until {
        ticks.tick().await;
        let job = JobId::new("noop").map_err(|error| error.to_string())?;
        let requests = vec![DispatchRequest::new(job); RATE / BATCHES];
        for outcome in realm.dispatcher().dispatch(requests, None).await {
            outcome.map_err(|error| error.to_string())?;
        }
    }
    Ok(())
}

/// How many runs a second are processed from a queue, while people ask at the rate of ten questions a second or none.
async fn drain(realm: &Realm, asked: bool) -> Result<f64, String> {
    const COUNT: usize = 20_000;
    for _ in 0..COUNT / 100 {
        realm.dispatch("noop", 100).await?;
    }
    realm.settle().await?;
    let questions = questions(realm).await?;
    let asking = async {
        let mut ticks = tokio::time::interval(Duration::from_millis(100));
        for question in questions.iter().cycle() {
            ticks.tick().await;
            if asked && realm.database().page(question).await.is_err() {
                return;
            }
        }
    };
    let began = Instant::now();
    let mut running = realm.start().await?;
    let drained = async {
        tokio::select! {
            drained = running.drained(realm) => drained,
            () = asking => Err("a question failed".to_owned()),
        }
    };
    drained.await?;
    let rate = super::realm::rate(COUNT, began);
    running.stop().await?;
    Ok(rate)
}
