//! How many runs of each job are in each status.
//!
//! Runs that have ended are counted in the transaction that ends or removes them. To count those under way as well would
//! write another page with every request; they stand in the index on what is due, and are counted there when asked for.

use std::collections::HashMap;

use pumice_core::ids::JobId;
use pumice_core::ports::{Counts, RunCount};
use pumice_core::run::Status;
use rusqlite::{Connection, params};

use crate::stored::text;

/// What the operations of one transaction change of the counts: written at its end, once for each count.
#[derive(Debug, Default)]
pub(crate) struct Tally {
    changes: HashMap<(JobId, Status, bool), i64>,
}

impl Tally {
    /// A run came into a status, or into the store.
    pub(crate) fn enters(&mut self, job_id: &JobId, status: Status, is_step: bool) {
        if !status.is_end() {
            return;
        }
        *self.changes.entry((job_id.clone(), status, is_step)).or_default() += 1;
    }

    /// A run left a status, or the store.
    pub(crate) fn leaves(&mut self, job_id: &JobId, status: Status, is_step: bool) {
        if !status.is_end() {
            return;
        }
        *self.changes.entry((job_id.clone(), status, is_step)).or_default() -= 1;
    }

    /// Writes the changes, and forgets them.
    pub(crate) fn write(&mut self, connection: &Connection) -> Result<(), rusqlite::Error> {
        for ((job_id, status, is_step), change) in self.changes.drain().filter(|(_, change)| *change != 0) {
            let sql = "INSERT INTO run_counts VALUES (?, ?, ?, ?)
                       ON CONFLICT DO UPDATE SET runs = runs + excluded.runs";
            let parameters = params![job_id.as_str(), status.as_str(), is_step, change];
            connection.prepare_cached(sql)?.execute(parameters)?;
        }
        Ok(())
    }
}

/// Most runs under way that are counted: it takes a tenth of a second.
const MAX_OPEN: i64 = 200_000;

/// The counts, by job and status; `None` when too many runs are under way.
pub(crate) fn counts(connection: &Connection) -> Result<Option<Counts>, rusqlite::Error> {
    let sql = "SELECT count(*) FROM (SELECT 1 FROM runs WHERE due_at IS NOT NULL LIMIT ?)";
    let open: i64 = connection.prepare_cached(sql)?.query_row([MAX_OPEN + 1], |row| row.get(0))?;
    if open > MAX_OPEN {
        return Ok(None);
    }
    let sql = "SELECT job_id, status, step, runs FROM run_counts WHERE runs > 0
               UNION ALL
               SELECT job_id, status, instr(key, '/') > 0 AS step, count(*) FROM runs INDEXED BY runs_due
               WHERE due_at IS NOT NULL AND status NOT IN ('complete', 'cancelled', 'failed', 'rejected', 'skipped')
               GROUP BY job_id, status, step
               ORDER BY job_id, status, step";
    let mut statement = connection.prepare_cached(sql)?;
    let mut rows = statement.query([])?;
    let mut by_job: Vec<RunCount> = Vec::new();
    while let Some(row) = rows.next()? {
        let (job_id, is_step, count): (String, bool, i64) = (text(row, 0)?, row.get(2)?, row.get(3)?);
        let status = text(row, 1)?;
        let Ok(status) = status.parse::<Status>() else {
            tracing::warn!(job_id, status, "runs of an unknown status are not counted");
            continue;
        };
        let count = count.unsigned_abs();
        let (runs, steps) = if is_step { (0, count) } else { (count, 0) };
        match by_job.last_mut().filter(|last| last.job_id == job_id && last.status == status) {
            Some(last) => (last.runs, last.steps) = (last.runs + runs, last.steps + steps),
            None => by_job.push(RunCount { job_id, status, runs, steps }),
        }
    }
    Ok(Some(Counts { by_job }))
}

/// How many runs and steps have ended in some statuses, or are of some jobs.
pub(crate) fn estimate(
    connection: &Connection,
    column: &str,
    values: &[String],
) -> Result<i64, rusqlite::Error> {
    let sql = format!("SELECT coalesce(sum(runs), 0) FROM run_counts WHERE {column} = ?");
    let mut statement = connection.prepare_cached(&sql)?;
    values.iter().map(|value| statement.query_row([value], |row| row.get::<_, i64>(0))).sum()
}

/// Removes the counts of what there is none of: of jobs that are long gone.
pub(crate) fn forget_empty(connection: &Connection) -> Result<(), rusqlite::Error> {
    connection.prepare_cached("DELETE FROM run_counts WHERE runs = 0")?.execute([]).map(drop)
}
