//! The other end of the scale: how fast a realm is whose file holds more and more ended runs, what their expiry costs, and whether the
//! file gives their space back.

use std::time::{Duration, Instant};

use pumice_core::ports::{RunQuery, RunStore};
use pumice_core::run::Status;
use pumice_local::Durability;

use super::figures::BATCH;
use super::queries::{self, median};
use super::realm::{Realm, Running, block_on, rate};

/// How many ended runs the file holds, at the points of the curve.
pub(super) const POINTS: [usize; 4] = [10_000, 100_000, 1_000_000, 10_000_000];
/// What is measured at each point.
pub(super) const NAMES: [&str; 5] =
    ["enqueue_bulk_s", "process_s", "list_p50_ms", "list_failed_p50_ms", "file_mb"];
/// What is measured of the expiry.
pub(super) const EXPIRY: [&str; 6] = [
    "process_s without expiry",
    "process_s with expiry",
    "slower_percent",
    "expiry_s",
    "file_mb before",
    "file_mb after",
];

/// Runs that are asked for and processed in one measurement; their median counts.
const MEASURED: usize = 20_000;
const TIMES: usize = 3;
/// How many expired runs are removed.
const EXPIRED: usize = 1_000_000;
/// How long the file may take to shrink after the last removal.
const PATIENCE: Duration = Duration::from_secs(300);

type Measured = Result<Vec<f64>, String>;

/// Measures one point.
pub(super) fn with_ended(ended: usize, durability: Durability) -> Measured {
    block_on(async {
        let realm = Realm::new(durability).await?;
        queries::fill(&realm, ended).await?;
        let (mut taken, mut processed) = (Vec::new(), Vec::new());
        for _ in 0..TIMES {
            taken.push(enqueue(&realm).await?);
            processed.push(process(&realm).await?);
        }
        let list = RunQuery { limit: 25, ..RunQuery::default() };
        let failed = RunQuery { statuses: vec![Status::Failed], ..list.clone() };
        let lists = [wait(&realm, &list).await?, wait(&realm, &failed).await?];
        Ok(vec![median(&mut taken), median(&mut processed), lists[0], lists[1], size(&realm)?])
    })?
}

/// Measures the expiry of a million runs, while others are processed.
pub(super) fn expiry(durability: Durability) -> Measured {
    block_on(async {
        let realm = Realm::new(durability).await?;
        queries::fill(&realm, EXPIRED).await?;
        let before = size(&realm)?;
        realm.expire(EXPIRED).await?;
        let (mut with, mut without) = (Vec::new(), Vec::new());
        // The housekeeping begins with the workers.
        let (mut running, began) = (realm.start().await?, Instant::now());
        while realm.expired().await? > 0 {
            with.push(asked_and_processed(&realm, &mut running).await?);
        }
        let took = began.elapsed().as_secs_f64();
        for _ in 0..with.len().max(TIMES) {
            without.push(asked_and_processed(&realm, &mut running).await?);
        }
        let until = Instant::now() + PATIENCE;
        while size(&realm)? > before / 2.0 && Instant::now() < until {
            tokio::time::sleep(Duration::from_secs(1)).await;
        }
        running.stop().await?;
        realm.settle().await?;
        let after = size(&realm)?;
        let (without, with) = (median(&mut without), median(&mut with));
        Ok(vec![without, with, (without / with - 1.0) * 100.0, took, before, after])
    })?
}

/// Asks for runs while workers process them; in runs a second.
async fn asked_and_processed(realm: &Realm, running: &mut Running) -> Result<f64, String> {
    let began = Instant::now();
    enqueue(realm).await?;
    running.drained(realm).await?;
    Ok(rate(MEASURED, began))
}

async fn enqueue(realm: &Realm) -> Result<f64, String> {
    let began = Instant::now();
    for _ in 0..MEASURED / BATCH {
        realm.dispatch("noop", BATCH).await?;
    }
    Ok(rate(MEASURED, began))
}

/// Runs what waits, by workers that start and stop.
async fn process(realm: &Realm) -> Result<f64, String> {
    realm.settle().await?;
    let began = Instant::now();
    let mut running = realm.start().await?;
    running.drained(realm).await?;
    let measured = rate(MEASURED, began);
    running.stop().await?;
    Ok(measured)
}

/// The median of a hundred answers, in ms.
async fn wait(realm: &Realm, query: &RunQuery) -> Result<f64, String> {
    let mut waits = Vec::new();
    for _ in 0..100 {
        let began = Instant::now();
        realm.database().page(query).await.map_err(|error| error.to_string())?;
        waits.push(began.elapsed().as_secs_f64() * 1_000.0);
    }
    Ok(median(&mut waits))
}

/// The size of the store's file, in MB.
fn size(realm: &Realm) -> Result<f64, String> {
    let file = realm.folder().join("pumice.db");
    let found = std::fs::metadata(&file).map_err(|error| format!("{}: {error}", file.display()))?;
    Ok(found.len() as f64 / 1e6)
}
