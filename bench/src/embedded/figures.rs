//! Figures that are measured in this process.

use std::time::{Duration, Instant};

use super::realm::{CHILDREN, Realm, Running, block_on, processor_time, rate};
use futures_util::future::try_join_all;
use pumice_core::ports::{RunQuery, RunStore};
use pumice_local::Durability;

type Measured = Result<Vec<f64>, String>;

/// Requests in one batch.
pub(super) const BATCH: usize = 100;

/// Rows put into a table by SQLite alone, each in a transaction of its own; in transactions a second. The
/// limit of the machine and its disk at that moment, to compare the other figures with.
pub(super) fn sqlite(durability: Durability) -> Measured {
    const COUNT: usize = 20_000;
    let failed = |error: rusqlite::Error| error.to_string();
    let folder = tempfile::tempdir().map_err(|error| error.to_string())?;
    let connection = rusqlite::Connection::open(folder.path().join("floor.db")).map_err(failed)?;
    connection.pragma_update(None, "journal_mode", "WAL").map_err(failed)?;
    let synchronous = if durability == Durability::Full { "FULL" } else { "NORMAL" };
    connection.pragma_update(None, "synchronous", synchronous).map_err(failed)?;
    connection.execute("CREATE TABLE rows (id INTEGER PRIMARY KEY, value TEXT)", []).map_err(failed)?;
    let value = "x".repeat(100);
    let began = Instant::now();
    let mut statement = connection.prepare("INSERT INTO rows (value) VALUES (?)").map_err(failed)?;
    for _ in 0..COUNT {
        statement.execute([&value]).map_err(failed)?;
    }
    Ok(vec![rate(COUNT, began)])
}

/// Requests taken one by one, by a caller that waits for each; in runs a second.
pub(super) fn enqueue(durability: Durability) -> Measured {
    const COUNT: usize = 20_000;
    block_on(async {
        let realm = Realm::new(durability).await?;
        realm.dispatch("noop", 100).await?;
        let began = Instant::now();
        for _ in 0..COUNT {
            realm.dispatch("noop", 1).await?;
        }
        Ok(vec![rate(COUNT, began)])
    })?
}

/// Requests taken one by one from sixteen callers at the same time, each of which waits for its answer
/// before it asks again; in runs a second.
pub(super) fn enqueue_16(durability: Durability) -> Measured {
    const COUNT: usize = 20_000;
    const CALLERS: usize = 16;
    block_on(async {
        let realm = Realm::new(durability).await?;
        realm.dispatch("noop", 100).await?;
        let began = Instant::now();
        let caller = async || {
            for _ in 0..COUNT / CALLERS {
                realm.dispatch("noop", 1).await?;
            }
            Ok::<(), String>(())
        };
        try_join_all((0..CALLERS).map(|_| caller())).await?;
        Ok(vec![rate(COUNT, began)])
    })?
}

/// Requests taken in batches of a hundred; in runs a second.
pub(super) fn enqueue_bulk(durability: Durability) -> Measured {
    const COUNT: usize = 100_000;
    block_on(async {
        let realm = Realm::new(durability).await?;
        realm.dispatch("noop", BATCH).await?;
        let began = Instant::now();
        for _ in 0..COUNT / BATCH {
            realm.dispatch("noop", BATCH).await?;
        }
        Ok(vec![rate(COUNT, began)])
    })?
}

/// Runs a second, and the processor time of this process for each run in µs.
async fn processed(realm: &Realm, job: &str, count: usize) -> Measured {
    for _ in 0..count / BATCH {
        realm.dispatch(job, BATCH).await?;
    }
    let (began, worked) = (Instant::now(), processor_time());
    let mut running = realm.start().await?;
    running.drained(realm).await?;
    let measured = rate(count, began);
    let worked = (processor_time() - worked).as_secs_f64() * 1_000_000.0 / count as f64;
    running.stop().await?;
    Ok(vec![measured, worked])
}

/// Jobs that do nothing, from the queue to their end; in runs a second.
pub(super) fn process(durability: Durability) -> Measured {
    block_on(async { processed(&Realm::new(durability).await?, "noop", 20_000).await })?
}

/// The same from a queue of a hundred thousand.
pub(super) fn process_100k(durability: Durability) -> Measured {
    block_on(async { processed(&Realm::new(durability).await?, "noop", 100_000).await })?
}

/// Commands that do nothing, a process each; in runs a second.
pub(super) fn cmd_true(durability: Durability) -> Measured {
    block_on(async {
        Ok(processed(&Realm::new(durability).await?, "true", 2_000).await?.into_iter().take(1).collect())
    })?
}

/// From a request to the start of its job while nothing else is done: median and 99th of a hundred, in ms.
pub(super) fn latency(durability: Durability) -> Measured {
    const COUNT: usize = 500;
    block_on(async {
        let realm = Realm::new(durability).await?;
        let mut running = realm.start().await?;
        realm.dispatch("noop", 10).await?;
        running.drained(&realm).await?;
        for _ in 0..COUNT {
            realm.dispatch("noop", 1).await?;
            running.drained(&realm).await?;
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        running.stop().await?;
        let runs = realm
            .database()
            .list(&RunQuery { limit: COUNT, ..RunQuery::default() })
            .await
            .map_err(|error| error.to_string())?;
        let mut waits: Vec<f64> = runs
            .iter()
            .filter_map(|run| (run.ts_start? - run.ts_dispatch).num_microseconds())
            .map(|micros| micros as f64 / 1_000.0)
            .collect();
        waits.sort_by(f64::total_cmp);
        let at = |share: usize| waits.get(waits.len() * share / 100).copied().unwrap_or(f64::NAN);
        Ok(vec![at(50), at(99)])
    })?
}

/// The extra cost of a payload of 1 MB over the same script as a command, from request to end: the median, in ms.
pub(super) fn payload(durability: Durability) -> Measured {
    const COUNT: usize = 100;
    block_on(async {
        let realm = Realm::new(durability).await?;
        let mut running = realm.start().await?;
        let (mut commands, mut payloads) = (Vec::new(), Vec::new());
        // In turn, so that an hour in which the machine is slow makes no difference.
        for _ in 0..COUNT {
            for (job, took) in [("script", &mut commands), ("payload", &mut payloads)] {
                let began = Instant::now();
                realm.dispatch(job, 1).await?;
                running.drained(&realm).await?;
                took.push(began.elapsed().as_secs_f64() * 1_000.0);
            }
        }
        running.stop().await?;
        let median = |took: &mut Vec<f64>| {
            took.sort_by(f64::total_cmp);
            took[COUNT / 2]
        };
        Ok(vec![median(&mut payloads) - median(&mut commands)])
    })?
}

async fn per_child(realm: &Realm, running: &mut Running, job: &str) -> Result<f64, String> {
    const COUNT: usize = 4;
    let mut took = Vec::new();
    for _ in 0..COUNT {
        let began = Instant::now();
        realm.dispatch(job, 1).await?;
        running.drained(realm).await?;
        took.push(began.elapsed().as_secs_f64() * 1_000.0 / CHILDREN as f64);
    }
    took.sort_by(f64::total_cmp);
    Ok(took[COUNT / 2])
}

/// The cost of a child of a chain, in ms.
pub(super) fn chain_child(durability: Durability) -> Measured {
    block_on(async {
        let realm = Realm::new(durability).await?;
        let mut running = realm.start().await?;
        let measured = vec![per_child(&realm, &mut running, "chain").await?];
        running.stop().await?;
        Ok(measured)
    })?
}

/// The cost of a child of a dag and of one of a foreach, in ms.
pub(super) fn other_children(durability: Durability) -> Measured {
    block_on(async {
        let realm = Realm::new(durability).await?;
        let mut running = realm.start().await?;
        let measured = vec![
            per_child(&realm, &mut running, "dag").await?,
            per_child(&realm, &mut running, "foreach").await?,
        ];
        running.stop().await?;
        Ok(measured)
    })?
}

/// How fast runs are taken in batches, and processed, while so many of them wait; in runs a second.
pub(super) fn with_backlog(backlog: usize, durability: Durability) -> Measured {
    const MEASURED: usize = 20_000;
    const MEASURED_FOR: Duration = Duration::from_secs(1);
    block_on(async {
        let realm = Realm::new(durability).await?;
        for _ in 0..backlog / BATCH {
            realm.dispatch("noop", BATCH).await?;
        }
        // Else the disk still writes the backlog while what comes after it is measured.
        realm.settle().await?;
        let began = Instant::now();
        for _ in 0..MEASURED / BATCH {
            realm.dispatch("noop", BATCH).await?;
        }
        let enqueue = rate(MEASURED, began);
        let began = Instant::now();
        let running = realm.start().await?;
        tokio::time::sleep(MEASURED_FOR).await;
        running.stop().await?;
        let took = began.elapsed().as_secs_f64();
        // Counting a million takes its time, and is not part of it.
        let left = realm.unfinished(backlog + MEASURED).await?;
        Ok(vec![enqueue, (backlog + MEASURED - left) as f64 / took])
    })?
}
