//! How many runs of each job are in each status.
//!
//! Runs that have ended are counted in the transaction that ends or removes them, and so are runs of their own by the minute of
//! their dispatch. To count those under way as well would write another page with every request; they stand in the index on
//! what is due, and are counted there when asked for.

use std::collections::HashMap;

use pumice_core::Timestamp;
use pumice_core::ids::JobId;
use pumice_core::ports::{Counts, Minute, MinuteCount, RunCount, RunQuery, Starts};
use pumice_core::run::Status;
use rusqlite::{Connection, params};

use crate::stored::text;

/// Changes of counts by the operations of one transaction: written at its end, once for each count.
#[derive(Debug, Default)]
pub(crate) struct Tally {
    changes: HashMap<(JobId, Status, bool), i64>,
    /// Of runs of their own, by the minute of their dispatch.
    minutes: HashMap<i64, MinuteChange>,
}

/// By how many runs the count of a minute changes, and by how many failures.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct MinuteChange {
    runs: i64,
    failed: i64,
}

/// A run that is counted.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Counted<'a> {
    /// The number of its row, which follows the time of its dispatch.
    pub(crate) id: i64,
    pub(crate) job_id: &'a JobId,
    pub(crate) is_step: bool,
}

impl Tally {
    /// A run came into a status, or into the store.
    pub(crate) fn enters(&mut self, run: Counted<'_>, status: Status) {
        self.change(run, status, 1);
    }

    /// A run left a status, or the store.
    pub(crate) fn leaves(&mut self, run: Counted<'_>, status: Status) {
        self.change(run, status, -1);
    }

    fn change(&mut self, Counted { id, job_id, is_step }: Counted<'_>, status: Status, by: i64) {
        if !status.is_end() {
            return;
        }
        *self.changes.entry((job_id.clone(), status, is_step)).or_default() += by;
        if !is_step {
            let minute = self.minutes.entry(id / MINUTE).or_default();
            minute.runs += by;
            minute.failed += if MinuteCount::FAILED.contains(&status) { by } else { 0 };
        }
    }

    /// Writes the changes, and forgets them.
    pub(crate) fn write(&mut self, connection: &Connection) -> Result<(), rusqlite::Error> {
        for ((job_id, status, is_step), change) in self.changes.drain().filter(|(_, change)| *change != 0) {
            let sql = "INSERT INTO run_counts VALUES (?, ?, ?, ?)
                       ON CONFLICT DO UPDATE SET runs = runs + excluded.runs";
            let parameters = params![job_id.as_str(), status.as_str(), is_step, change];
            connection.prepare_cached(sql)?.execute(parameters)?;
        }
        let minutes = self.minutes.drain().filter(|(_, change)| *change != MinuteChange::default());
        for (minute, MinuteChange { runs, failed }) in minutes {
            // A run that only leaves may be of a minute whose count is gone.
            let sql = match runs > 0 {
                true => {
                    "INSERT INTO run_minutes VALUES (?1, ?2, ?3)
                     ON CONFLICT DO UPDATE SET runs = runs + excluded.runs, failed = failed + excluded.failed"
                }
                false => "UPDATE run_minutes SET runs = runs + ?2, failed = failed + ?3 WHERE minute = ?1",
            };
            connection.prepare_cached(sql)?.execute(params![minute, runs, failed])?;
        }
        Ok(())
    }
}

/// How many microseconds a minute has, by which a row's number gives its minute.
const MINUTE: i64 = 60_000_000;
/// For how many minutes the counts are kept.
const MINUTES_KEPT: i64 = 3 * 60;
/// Most runs under way that are looked at for the counts of minutes: it takes a hundredth of a second.
const MAX_OPEN_BY_MINUTE: i64 = 20_000;

/// How many runs of their own were dispatched in each minute.
pub(crate) fn starts(
    connection: &Connection,
    since: Minute,
    until: Minute,
) -> Result<Starts, rusqlite::Error> {
    let mut starts = Starts::from(since);
    let sql = "SELECT minute, runs, failed FROM run_minutes WHERE minute >= ?";
    let mut statement = connection.prepare_cached(sql)?;
    let mut rows = statement.query([since.0])?;
    let number = |count: i64| u64::try_from(count).unwrap_or_default();
    while let Some(row) = rows.next()? {
        let count = MinuteCount { runs: number(row.get(1)?), failed: number(row.get(2)?) };
        starts.add(Minute(row.get(0)?).min(until), count);
    }
    let sql = "SELECT id / ?1, status, instr(key, '/') > 0 FROM runs INDEXED BY runs_due
               WHERE due_at IS NOT NULL ORDER BY due_at DESC LIMIT ?2";
    let mut statement = connection.prepare_cached(sql)?;
    let mut rows = statement.query(params![MINUTE, MAX_OPEN_BY_MINUTE + 1])?;
    let mut looked_at = 0;
    while let Some(row) = rows.next()? {
        looked_at += 1;
        if looked_at > MAX_OPEN_BY_MINUTE {
            starts.is_cut = true;
            break;
        }
        let (minute, is_step): (i64, bool) = (row.get(0)?, row.get(2)?);
        let is_open =
            || text(row, 1).is_ok_and(|status| status.parse().is_ok_and(|one: Status| !one.is_end()));
        if minute >= since.0 && !is_step && is_open() {
            starts.add(Minute(minute).min(until), MinuteCount { runs: 1, failed: 0 });
        }
    }
    Ok(starts)
}

/// Removes the counts of minutes long past.
pub(crate) fn forget_minutes(connection: &Connection, now: Timestamp) -> Result<(), rusqlite::Error> {
    let oldest = now.timestamp_micros() / MINUTE - MINUTES_KEPT;
    connection.prepare_cached("DELETE FROM run_minutes WHERE minute < ?")?.execute([oldest]).map(drop)
}

/// Most runs under way that are counted: it takes a tenth of a second.
const MAX_OPEN: i64 = 200_000;

/// The counts, by job and status; `None` when too many runs are under way.
pub(crate) fn counts(connection: &Connection) -> Result<Option<Counts>, rusqlite::Error> {
    counts_of(connection, &[])
}

/// How many runs a query asks for, where the counts suffice; other queries are not counted.
pub(crate) fn count(connection: &Connection, query: &RunQuery) -> Result<Option<u64>, rusqlite::Error> {
    if !query.is_counted() {
        return Ok(None);
    }
    Ok(counts_of(connection, &query.statuses)?.and_then(|counts| counts.of(query)))
}

/// The counts of these statuses, of which none means all.
fn counts_of(connection: &Connection, statuses: &[Status]) -> Result<Option<Counts>, rusqlite::Error> {
    let is_asked = |is_end: bool| statuses.is_empty() || statuses.iter().any(|one| one.is_end() == is_end);
    let mut by_job: Vec<RunCount> = Vec::new();
    if is_asked(false) {
        let sql = "SELECT count(*) FROM (SELECT 1 FROM runs WHERE due_at IS NOT NULL LIMIT ?)";
        let open: i64 = connection.prepare_cached(sql)?.query_row([MAX_OPEN + 1], |row| row.get(0))?;
        if open > MAX_OPEN {
            return Ok(None);
        }
        let sql = "SELECT job_id, status, instr(key, '/') > 0 AS step, count(*) FROM runs INDEXED BY runs_due
                   WHERE due_at IS NOT NULL AND status NOT IN ('complete', 'cancelled', 'failed', 'rejected', 'skipped')
                   GROUP BY job_id, status, step ORDER BY job_id, status, step";
        read_counts(connection, sql, &mut by_job)?;
    }
    if is_asked(true) {
        let sql =
            "SELECT job_id, status, step, runs FROM run_counts WHERE runs > 0 ORDER BY job_id, status, step";
        read_counts(connection, sql, &mut by_job)?;
    }
    by_job.sort_by(|one, other| {
        (&one.job_id, one.status.as_str()).cmp(&(&other.job_id, other.status.as_str()))
    });
    Ok(Some(Counts { by_job }))
}

/// Reads counts by job, status and whether they are of steps, in this order.
fn read_counts(
    connection: &Connection,
    sql: &str,
    by_job: &mut Vec<RunCount>,
) -> Result<(), rusqlite::Error> {
    let mut statement = connection.prepare_cached(sql)?;
    let mut rows = statement.query([])?;
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
    Ok(())
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

#[cfg(test)]
mod tests {
    use crate::schema;

    use super::*;

    const NOW: Minute = Minute(29_000_000);

    fn counted(connection: &Connection) -> Vec<(i64, u64, u64)> {
        let starts = starts(connection, Minute(0), NOW).unwrap();
        let counts = starts.by_minute.into_iter();
        counts.map(|(minute, count)| (minute.0 - NOW.0, count.runs, count.failed)).collect()
    }

    #[test]
    fn minute_long_past_is_forgotten_for_good() {
        let mut connection = Connection::open_in_memory().unwrap();
        schema::migrate(&mut connection).unwrap();
        let job_id = JobId::new("a").unwrap();
        let of =
            |minutes: i64| Counted { id: (NOW.0 + minutes) * MINUTE + 7, job_id: &job_id, is_step: false };
        let mut tally = Tally::default();
        for minutes in [-181, -180, -180, 0] {
            tally.enters(of(minutes), Status::Complete);
        }
        tally.leaves(of(-180), Status::Complete);
        tally.enters(of(-180), Status::Failed);
        tally.enters(Counted { is_step: true, ..of(0) }, Status::Complete);
        tally.write(&connection).unwrap();
        assert_eq!(counted(&connection), [(-181, 1, 0), (-180, 2, 1), (0, 1, 0)]);
        forget_minutes(&connection, NOW.begin()).unwrap();
        assert_eq!(counted(&connection), [(-180, 2, 1), (0, 1, 0)]);
        // Its records go later, and leave no count of less than nothing.
        tally.leaves(of(-181), Status::Complete);
        tally.write(&connection).unwrap();
        let rows = connection.query_row("SELECT count(*) FROM run_minutes", [], |row| row.get::<_, i64>(0));
        assert_eq!((rows, counted(&connection).len()), (Ok(2), 2));
    }

    #[test]
    fn minutes_of_an_older_version_are_counted_by_its_update() {
        let mut connection = Connection::open_in_memory().unwrap();
        schema::migrate(&mut connection).unwrap();
        connection
            .execute_batch(
                "DELETE FROM meta WHERE name = 'identity'; DROP TABLE run_minutes; ALTER TABLE schedules DROP COLUMN rules; ALTER TABLE schedules DROP COLUMN superseded; PRAGMA user_version = 13;
                 INSERT INTO runs (id, key, rev, status, job_id, due_at, expires, record)
                 SELECT unixepoch() * 1000000 + value, 'k' || value, 1,
                        CASE value WHEN 1 THEN 'failed' WHEN 2 THEN 'running' ELSE 'complete' END,
                        'a', NULL, 0, '{}' FROM json_each('[1, 2, 3, 4]')",
            )
            .unwrap();
        connection.execute("UPDATE runs SET key = 'k3/1.0' WHERE key = 'k3'", []).unwrap();
        schema::migrate(&mut connection).unwrap();
        let sum = "SELECT sum(runs), sum(failed) FROM run_minutes";
        let found = connection.query_row(sum, [], |row| Ok((row.get::<_, i64>(0)?, row.get::<_, i64>(1)?)));
        assert_eq!(found, Ok((2, 1)));
    }
}
