//! `serve` is killed at random while schedules start jobs each second: each slot has one run, and none is missing.

use std::collections::BTreeMap;
use std::path::Path;
use std::time::{Duration, Instant};

use chrono::{TimeDelta, Utc};
use pumice_core::Timestamp;
use pumice_core::ids::JobId;
use pumice_core::ports::{Catalog, RunQuery, RunStore, StoreError};
use pumice_core::run::Run;
use pumice_core::spec::JobSpec;
use pumice_local::{Durability, Home};
use serde_json::json;

use super::server::Server;
use crate::Failed;
use pumice_testing::prng::Prng;

/// The longest time from the last kill to the end of the last run.
const PATIENCE: Duration = Duration::from_secs(120);
/// How many jobs have schedules: each starts every second, or every other.
const JOBS: u64 = 40;

/// How the clock is tortured.
#[derive(Clone, Copy, Debug)]
pub struct ClockTorture {
    /// How often the server is killed.
    pub kills: usize,
    /// The least number of slots that must have come.
    pub starts: usize,
    /// The seed of when it is killed.
    pub seed: u64,
}

/// The outcome.
#[derive(Clone, Debug, Default)]
pub struct Struck {
    /// Runs that were started.
    pub runs: usize,
    /// How late they began, sorted.
    pub late: Vec<TimeDelta>,
    /// The faults that were found: empty when all is well.
    pub wrong: Vec<String>,
}

impl Struck {
    /// How late the runs began of which so many of a thousand began earlier.
    #[must_use]
    pub fn late(&self, of_a_thousand: usize) -> TimeDelta {
        let place = (self.late.len() * of_a_thousand / 1_000).min(self.late.len().saturating_sub(1));
        self.late.get(place).copied().unwrap_or_default()
    }
}

fn store(error: StoreError) -> String {
    error.to_string()
}

/// A job that starts each so many seconds.
fn job(number: u64) -> Result<JobSpec, String> {
    let entry = json!({
        "every": 1 + number % 2, "from": "2026-01-01T00:00:00Z",
        "catch_up": "all", "window": "1h", "max": 100_000,
    });
    let document = json!({
        "job_id": format!("clock/{number}"), "type": "log", "worker": "core", "enabled": true,
        "payload": "{{ schedule.slot }}", "schedule": entry,
    });
    JobSpec::parse(&document).map_err(|error| error.to_string())
}

impl ClockTorture {
    /// Does it, with the given `pumice` command.
    ///
    /// # Errors
    /// [`Failed`] when the test itself cannot be carried out.
    pub fn run(self, pumice: &Path) -> Result<Struck, Failed> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        Ok(runtime.block_on(self.go(pumice))?)
    }

    async fn go(self, pumice: &Path) -> Result<Struck, String> {
        let folder = tempfile::tempdir().map_err(|error| error.to_string())?;
        let home = Home::open(&folder.path().join("realm"), None, true, Durability::Normal).await;
        let home = home.map_err(|error| error.to_string())?;
        let jobs = (0..JOBS).map(job).collect::<Result<Vec<_>, _>>()?;
        // Slots between the two belong to some of the jobs.
        let before = Utc::now();
        home.database().put_jobs(jobs, false).await.map_err(store)?;
        let began = Utc::now();
        let mut chance = Prng::new(self.seed);
        for _ in 0..self.kills {
            let server = Server::start(pumice, home.path(), &[])?;
            tokio::time::sleep(Duration::from_millis(20 + chance.below(400))).await;
            server.kill()?;
            // Now and then it is down for longer than slots are apart.
            let pause = if chance.below(10) == 0 { 3_000 } else { chance.below(100) };
            tokio::time::sleep(Duration::from_millis(pause)).await;
        }
        let last = Server::start(pumice, home.path(), &[])?;
        let slots = (Utc::now() - began).num_seconds() * i64::try_from(JOBS).unwrap_or(1) * 3 / 4;
        let missing = i64::try_from(self.starts).unwrap_or(0) - slots;
        let seconds = missing.max(0) / 30 + 4;
        tokio::time::sleep(Duration::from_secs(u64::try_from(seconds).unwrap_or(0))).await;
        let ended = Utc::now();
        let ids = (0..JOBS).filter_map(|number| JobId::new(format!("clock/{number}")).ok()).collect();
        home.database().delete_jobs(ids).await.map_err(store)?;
        let waiting = Instant::now();
        while home.database().unfinished(1).await.map_err(store)? > 0 && waiting.elapsed() < PATIENCE {
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        last.kill()?;
        let query = RunQuery { limit: usize::MAX, ..RunQuery::default() };
        let runs = home.database().list(&query).await.map_err(store)?;
        Ok(judge(&runs, (before, began), ended))
    }
}

/// Each slot from when all jobs were put to the end has one run, and there is no other after the first was put.
fn judge(runs: &[Run], (before, began): (Timestamp, Timestamp), ended: Timestamp) -> Struck {
    let mut struck = Struck { runs: runs.len(), ..Struck::default() };
    let mut slots: BTreeMap<&JobId, BTreeMap<Timestamp, usize>> = BTreeMap::new();
    for run in runs {
        match (&run.scheduled, run.ts_start) {
            (Some(scheduled), Some(start)) => {
                *slots.entry(&run.job_id).or_default().entry(scheduled.slot).or_default() += 1;
                struck.late.push(start - scheduled.slot);
            }
            _ => struck.wrong.push(format!("run {} of {} is {}", run.key, run.job_id, run.status)),
        }
    }
    struck.late.sort();
    for number in 0..JOBS {
        let every = 1 + i64::try_from(number % 2).unwrap_or(0);
        let found = slots.iter().find(|(job_id, _)| job_id.as_str() == format!("clock/{number}"));
        let Some((job_id, found)) = found else {
            struck.wrong.push(format!("clock/{number} was never started"));
            continue;
        };
        // Slots of the last moments may have been due too late for the server.
        let first = (began.timestamp() / every + 1) * every;
        let last = (ended - TimeDelta::seconds(3)).timestamp();
        for second in (first..=last).step_by(usize::try_from(every).unwrap_or(1)) {
            let slot = Timestamp::from_timestamp(second, 0).unwrap_or_default();
            let count = found.get(&slot).copied().unwrap_or(0);
            if count != 1 {
                struck.wrong.push(format!("{job_id} has {count} runs for {slot}"));
            }
        }
        let stray =
            found.keys().filter(|slot: &&Timestamp| slot.timestamp() % every != 0 || **slot <= before);
        struck.wrong.extend(stray.map(|slot| format!("{job_id} has a run for {slot}")));
    }
    struck
}

#[cfg(test)]
mod tests {
    use super::*;
    use pumice_core::ids::{RunId, RunKey, WorkerName};
    use pumice_core::run::Scheduled;

    fn run(number: u64, second: i64) -> Run {
        let run_id =
            RunId(uuid::Uuid::from_u128(u128::from(number) << 64 | u128::from(second.unsigned_abs())));
        let at = Timestamp::from_timestamp(second, 0).expect("a time");
        let about = (
            JobId::new(format!("clock/{number}")).expect("an id"),
            "log".to_owned(),
            WorkerName::new("core").expect("a name"),
        );
        let zone = "UTC".parse().expect("a zone");
        let scheduled =
            Scheduled { entry: Some(0), slot: at, zone, previous: None, missed: None, backfill: None };
        let made = Run::dispatched(RunKey::root(run_id), run_id, about, at, at, None);
        Run { ts_start: Some(at), scheduled: Some(Box::new(scheduled)), ..made }
    }

    #[test]
    fn judge_finds_missing_doubled_and_stray_starts() {
        let at = |second| Timestamp::from_timestamp(second, 0).expect("a time");
        let whole = || -> Vec<Run> {
            let slots =
                |number: u64| (101..=107).filter(move |second| second % (1 + number.cast_signed() % 2) == 0);
            (0..JOBS).flat_map(|number| slots(number).map(move |second| run(number, second))).collect()
        };
        let wrong = |runs: &[Run]| judge(runs, (at(100), at(100)), at(110)).wrong;
        assert_eq!(wrong(&whole()), Vec::<String>::new());
        assert_eq!(wrong(&whole()[1..]), ["clock/0 has 0 runs for 1970-01-01 00:01:41 UTC"]);
        let doubled = [whole(), vec![run(1, 104)]].concat();
        assert_eq!(wrong(&doubled), ["clock/1 has 2 runs for 1970-01-01 00:01:44 UTC"]);
        let astray = [whole(), vec![run(1, 105)]].concat();
        assert_eq!(wrong(&astray), ["clock/1 has a run for 1970-01-01 00:01:45 UTC"]);
    }
}
