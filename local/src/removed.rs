//! Runs that leave the store: those that have expired, and those that people remove before. How many there were of each job
//! stays, by day and outcome.

use std::collections::HashMap;

use chrono::{Days, NaiveDate};
use pumice_core::Timestamp;
use pumice_core::ids::{JobId, RunId, RunKey};
use pumice_core::ports::{PastCount, StoreError};
use pumice_core::run::Status;
use rusqlite::{Connection, OptionalExtension, params};

use crate::database::Database;
use crate::housekeeping::remove_outputs;
use crate::stored::text;
use crate::tally::{self, Counted, Tally};

/// A run and its steps. Keys have nothing in them that sorts after a slash and before a zero.
const FAMILY: &str = "key = ?1 OR (key > ?1 || '/' AND key < ?1 || '0')";
/// How many records are looked at in one go.
const PAGE: usize = 500;
/// After how many removed records a transaction ends: others wait for it.
const MAX_REMOVED: usize = 1_000;
/// For how many days counts stay.
const COUNTS_KEPT: Days = Days::new(400);

/// A run whose record was removed because it had expired.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Expired {
    /// The run, or the one that it was a step of.
    pub run_id: RunId,
    /// Its job.
    pub job_id: JobId,
    /// How many attempts it made.
    pub attempts: u32,
}

/// The result of a look at some of the records.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Removed {
    /// The runs and steps that were removed.
    pub runs: Vec<Expired>,
    /// Where the next look goes on; `None` after the last record.
    pub next: Option<i64>,
}

impl Database {
    /// Removes those runs that have expired, with their steps, of the next few records after a place, the first of which is
    /// 0. A step leaves with the run that it is a step of, whose journal it is.
    ///
    /// # Errors
    /// [`StoreError`] when the store cannot be reached.
    pub async fn remove_expired(&self, now: Timestamp, after: i64) -> Result<Removed, StoreError> {
        let (mut expired, next) = self.look(move |connection| expired(connection, now, after)).await?;
        let mut runs = Vec::new();
        while !expired.is_empty() {
            let some = self.run_counting(move |connection, tally| {
                let (mut removed, mut left) = (Vec::new(), expired.into_iter());
                while removed.len() < MAX_REMOVED
                    && let Some(key) = left.next()
                {
                    removed.extend(remove_if_expired(connection, tally, &key, now)?);
                }
                Ok((removed, left.collect()))
            });
            let (removed, left): (Vec<Expired>, Vec<String>) = match some.await {
                Ok(some) => some,
                // The runs that are gone have outputs to be removed; the rest is found by the next look.
                Err(error) if !runs.is_empty() => {
                    tracing::warn!(%error, "cannot remove all expired runs");
                    break;
                }
                Err(error) => return Err(error),
            };
            runs.extend(removed);
            expired = left;
        }
        Ok(Removed { runs, next })
    }

    /// Removes what else is kept for a time: backfills and acts on many runs that have expired, and counts of days long past.
    pub(crate) async fn remove_past(&self, now: Timestamp) -> Result<(), StoreError> {
        self.remove_expired_acts(now).await?;
        self.run(move |connection| {
            crate::backfills::remove_expired(connection, now)?;
            tally::forget_empty(connection)?;
            tally::forget_minutes(connection, now)?;
            let oldest = now.date_naive().checked_sub_days(COUNTS_KEPT).unwrap_or_default();
            let sql = "DELETE FROM past_counts WHERE day < ?";
            connection.prepare_cached(sql)?.execute([oldest.to_string()]).map(drop)
        })
        .await
    }

    /// Removes the records of a run that is done with, and of its steps; what they kept goes as what expired runs kept.
    pub(crate) async fn remove_run(&self, key: &RunKey) -> Result<bool, StoreError> {
        let key = key.clone();
        let removed = self.run_counting(move |connection, tally| {
            let sql = "SELECT due_at IS NULL FROM runs WHERE key = ?";
            let mut statement = connection.prepare_cached(sql)?;
            let is_done: Option<bool> = statement.query_row([key.as_str()], |row| row.get(0)).optional()?;
            if is_done != Some(true) {
                return Ok(None);
            }
            remove_family(connection, tally, key.as_str()).map(Some)
        });
        let Some(runs) = removed.await? else { return Ok(false) };
        for (folder, error) in remove_outputs(self, &runs).await? {
            tracing::warn!(path = %folder.display(), %error, "cannot remove what a run left; the next start of the server tries again");
        }
        Ok(true)
    }

    /// How many runs there were whose records are gone, of days from `since` until before `until`.
    pub(crate) async fn past_counts(
        &self,
        since: NaiveDate,
        until: NaiveDate,
    ) -> Result<Vec<PastCount>, StoreError> {
        self.look(move |connection| {
            let sql = "SELECT day, job_id, status, runs FROM past_counts WHERE day >= ? AND day < ?";
            let mut statement = connection.prepare_cached(sql)?;
            let mut rows = statement.query(params![since.to_string(), until.to_string()])?;
            let mut counts = Vec::new();
            while let Some(row) = rows.next()? {
                let (day, job_id, status) = (text(row, 0)?, text(row, 1)?, text(row, 2)?);
                let runs: i64 = row.get(3)?;
                if let (Ok(day), Ok(job_id), Ok(status)) =
                    (day.parse(), JobId::stored(&job_id), status.parse())
                {
                    counts.push(PastCount { day, job_id, status, runs: runs.unsigned_abs() });
                }
            }
            Ok(counts)
        })
        .await
    }
}

/// The keys of what has expired of the next records, and where the look after this one goes on.
fn expired(
    connection: &Connection,
    now: Timestamp,
    after: i64,
) -> Result<(Vec<String>, Option<i64>), rusqlite::Error> {
    let sql = "SELECT id, key, due_at IS NULL AND expires < ? FROM runs WHERE id > ? ORDER BY id LIMIT ?";
    let mut statement = connection.prepare_cached(sql)?;
    let mut rows = statement.query(params![now.timestamp(), after, PAGE.cast_signed()])?;
    let (mut expired, mut last, mut looked_at) = (Vec::new(), after, 0);
    while let Some(row) = rows.next()? {
        (last, looked_at) = (row.get(0)?, looked_at + 1);
        if row.get(2)? {
            expired.push(text(row, 1)?);
        }
    }
    Ok((expired, (looked_at == PAGE).then_some(last)))
}

/// Removes a run that has expired, with its steps; a step alone only when no run has it any more.
fn remove_if_expired(
    connection: &Connection,
    tally: &mut Tally,
    key: &str,
    now: Timestamp,
) -> Result<Vec<Expired>, rusqlite::Error> {
    let sql = "SELECT 1 FROM runs WHERE key = ?1 AND due_at IS NULL AND expires < ?2 AND (instr(?1, '/') = 0
               OR NOT EXISTS (SELECT 1 FROM runs WHERE key = substr(?1, 1, instr(?1, '/') - 1)))";
    match connection.prepare_cached(sql)?.exists(params![key, now.timestamp()])? {
        true => remove_family(connection, tally, key),
        false => Ok(Vec::new()),
    }
}

/// Removes the records of a run and of its steps, but of those with something left to do, and counts the run among those
/// of its day.
fn remove_family(
    connection: &Connection,
    tally: &mut Tally,
    key: &str,
) -> Result<Vec<Expired>, rusqlite::Error> {
    let family = format!("({FAMILY}) AND due_at IS NULL");
    let specs = format!("DELETE FROM long_specs WHERE id IN (SELECT id FROM runs WHERE {family})");
    connection.prepare_cached(&specs)?.execute([key])?;
    let sql = format!(
        "DELETE FROM runs WHERE {family} RETURNING key, job_id, status, id,
         iif(json_valid(record), record ->> '$.attempt', 1),
         CASE WHEN json_valid(record) AND record ->> '$.late' IS NULL THEN date((record ->> '$.ts_dispatch') / 1000000, 'unixepoch') END"
    );
    let mut statement = connection.prepare_cached(&sql)?;
    let mut rows = statement.query([key])?;
    let mut removed = Vec::new();
    let mut past: HashMap<(String, JobId, Status), i64> = HashMap::new();
    while let Some(row) = rows.next()? {
        let (key, job_id, status) = (text(row, 0)?, text(row, 1)?, text(row, 2)?);
        let (Ok(job_id), Ok(status)) = (JobId::stored(&job_id), status.parse::<Status>()) else { continue };
        let is_step = key.contains('/');
        tally.leaves(Counted { id: row.get(3)?, job_id: &job_id, is_step }, status);
        if let Some(day) = row.get::<_, Option<String>>(5)?.filter(|_| !is_step) {
            *past.entry((day, job_id.clone(), status)).or_default() += 1;
        }
        if let Some(run_id) = key.parse::<RunKey>().ok().and_then(|key| key.run_id()) {
            let attempts = row.get::<_, Option<u32>>(4)?.unwrap_or(1);
            removed.push(Expired { run_id, job_id, attempts });
        }
    }
    for ((day, job_id, status), runs) in past {
        let sql = "INSERT INTO past_counts VALUES (?, ?, ?, ?) ON CONFLICT DO UPDATE SET runs = runs + excluded.runs";
        connection.prepare_cached(sql)?.execute(params![day, job_id.as_str(), status.as_str(), runs])?;
    }
    Ok(removed)
}
