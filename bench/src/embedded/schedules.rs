//! The cost of the clock: the lateness of starts that are due together, and many schedules of which none is due.

use std::time::{Duration, Instant};

use chrono::{SubsecRound, TimeDelta, Utc};
use pumice_core::engine::Housekeeper;
use pumice_core::ports::{Catalog, RunQuery, RunStore, StoreError};
use pumice_core::spec::JobSpec;
use pumice_local::Durability;
use serde_json::{Value, json};

use super::realm::{Realm, block_on, processor_time};
use super::serve::resident;

/// How many jobs are due in one second.
const TOGETHER: usize = 1_000;
/// How long after it is put a schedule is due: by then the workers are there.
const NOTICE: TimeDelta = TimeDelta::seconds(3);
/// How many jobs are due once a day.
const DAILY: usize = 100_000;
/// How many jobs are put together.
const PUT: usize = 5_000;
/// How often the clock is looked at while nothing is due, in one of the rounds whose median is reported.
const LOOKS: u32 = 20;
const ROUNDS: usize = 5;

fn told(error: StoreError) -> String {
    error.to_string()
}

fn job(number: usize, schedule: &Value) -> Result<JobSpec, String> {
    let document = json!({
        "job_id": format!("clock/{number}"), "type": "log", "worker": "core", "enabled": true,
        "payload": null, "schedule": schedule,
    });
    JobSpec::parse(&document).map_err(|error| error.to_string())
}

/// How late the starts of jobs are that are due at one time, in ms: the median, the 99th of a hundred, the last.
pub(super) fn together(durability: Durability) -> Result<Vec<f64>, String> {
    block_on(async {
        let realm = Realm::new(durability).await?;
        let due = (Utc::now() + NOTICE).trunc_subsecs(0);
        let schedule = json!({ "at": due.to_rfc3339() });
        let jobs = (0..TOGETHER).map(|number| job(number, &schedule)).collect::<Result<_, _>>()?;
        realm.database().put_jobs(jobs, false).await.map_err(told)?;
        let mut running = realm.start().await?;
        tokio::time::sleep((due - Utc::now()).to_std().unwrap_or_default()).await;
        let query = RunQuery { limit: TOGETHER, ..RunQuery::default() };
        let began = Instant::now();
        while RunStore::list(realm.database(), &query).await.map_err(told)?.len() < TOGETHER {
            if began.elapsed() > Duration::from_secs(60) {
                return Err("not all were started".to_owned());
            }
            tokio::time::sleep(Duration::from_millis(200)).await;
        }
        running.drained(&realm).await?;
        let runs = RunStore::list(realm.database(), &query).await.map_err(told)?;
        running.stop().await?;
        let started = runs.iter().filter_map(|run| run.ts_start);
        let mut late: Vec<f64> = started
            .map(|start| (start - due).num_microseconds().unwrap_or(i64::MAX) as f64 / 1_000.0)
            .collect();
        late.sort_by(f64::total_cmp);
        if late.len() < TOGETHER {
            return Err(format!("{} of {TOGETHER} were started", late.len()));
        }
        Ok(vec![late[TOGETHER / 2], late[TOGETHER * 99 / 100], late[TOGETHER - 1]])
    })?
}

/// With many schedules of one start a day: the processor time of a look at the clock when nothing is due, in ms; how long it
/// takes to look at each for the first time, in s; by how much more memory `serve` has than without them, in MB.
pub(super) fn daily(durability: Durability) -> Result<Vec<f64>, String> {
    block_on(async {
        let realm = Realm::new(durability).await?;
        let without = resident(realm.folder())?;
        for first in (0..DAILY).step_by(PUT) {
            // An hour that is not now, whenever this is measured.
            let hour = (Utc::now().timestamp() / 3_600 + 12).rem_euclid(24);
            let daily = |number: usize| job(number, &json!(format!("{} {hour} * * *", number % 60)));
            let jobs = (first..first + PUT).map(daily).collect::<Result<_, _>>()?;
            realm.database().put_jobs(jobs, false).await.map_err(told)?;
        }
        let housekeeper = Housekeeper::with(realm.dispatcher().clone());
        let began = Instant::now();
        housekeeper.strike(TimeDelta::zero()).await.map_err(told)?;
        let seen = began.elapsed().as_secs_f64();
        let mut looks = Vec::with_capacity(ROUNDS);
        for _ in 0..ROUNDS {
            let before = processor_time();
            for _ in 0..LOOKS {
                let struck = housekeeper.strike(TimeDelta::zero()).await.map_err(told)?;
                if struck.moved > 0 {
                    return Err(format!("{} schedules were due", struck.moved));
                }
            }
            looks.push((processor_time() - before).as_secs_f64() * 1_000.0 / f64::from(LOOKS));
        }
        looks.sort_by(f64::total_cmp);
        let look = looks[ROUNDS / 2];
        let with = resident(realm.folder())?;
        Ok(vec![look, seen, with - without])
    })?
}
