//! Lists of runs, page by page.
//!
//! A record's row has a number that follows the time: the microsecond at which its run was dispatched, or one more than
//! the last row's where that is greater. So rows stand in the order in which the store took them, every index ends with
//! that order, and a row's number is never less than its run's time. By how much it may be greater is kept in `meta`:
//! little, unless a clock was put back.

use std::collections::{BinaryHeap, VecDeque};

use pumice_core::Timestamp;
use pumice_core::glob::fnmatch;
use pumice_core::ids::RunKey;
use pumice_core::ports::{Order, Pager, RunPage, RunQuery, is_pattern};
use rusqlite::{Connection, OptionalExtension, params};

use crate::stored::{read_if_good, text};
use crate::tally::estimate;

/// Most jobs whose runs are read from the index on jobs; where more are meant, all runs are looked at.
const MAX_SOURCES: usize = 1_000;
/// How many numbers of rows are read at once: the first time, and at most.
const CHUNKS: (usize, usize) = (32, 1_024);
/// In `meta`: how far a row's number may be ahead of its run's time, in microseconds.
const LEAD: &str = "lead";
/// The lead that needs no entry: what many runs that are taken at once come to.
const USUAL_LEAD: i64 = 1_000_000;
/// In `meta`: when the newest of the rows was dispatched that have the numbers of an earlier version, which do not
/// follow the time.
const COUNTED_UNTIL: &str = "counted_until";

/// The statement's part that gives a new row its number; `?1` is its run's time.
pub(crate) const NUMBER: &str = "max(?1, 1 + (SELECT coalesce(max(id), 0) FROM runs))";

fn meta(connection: &Connection, name: &str) -> Result<Option<i64>, rusqlite::Error> {
    let sql = "SELECT CAST(value AS INTEGER) FROM meta WHERE name = ?";
    connection.prepare_cached(sql)?.query_row([name], |row| row.get(0)).optional()
}

fn lead(connection: &Connection) -> Result<i64, rusqlite::Error> {
    Ok(meta(connection, LEAD)?.unwrap_or(USUAL_LEAD).max(USUAL_LEAD))
}

/// Takes note of a new row's number.
pub(crate) fn numbered(connection: &Connection, id: i64, at: Timestamp) -> Result<(), rusqlite::Error> {
    let ahead = id.saturating_sub(at.timestamp_micros());
    if ahead <= USUAL_LEAD || ahead <= lead(connection)? {
        return Ok(());
    }
    // Twice as much each time: while a clock is behind, it is written a few times only.
    let ahead = ahead.saturating_mul(2).to_string();
    connection.prepare_cached("INSERT OR REPLACE INTO meta VALUES (?, ?)")?.execute([LEAD, &ahead]).map(drop)
}

/// Rows of one kind, in the order of the query; their numbers are read some at a time.
struct Source {
    job: Option<String>,
    status: Option<String>,
    low: i64,
    high: i64,
    chunk: usize,
    read: VecDeque<i64>,
    is_end: bool,
}

impl Source {
    fn sql(&self, order: Order) -> &'static str {
        // The index must be the one on what is asked for, whatever SQLite makes of it.
        match (&self.job, &self.status, order) {
            (Some(_), _, Order::Newest) => {
                "SELECT id FROM runs INDEXED BY runs_job WHERE id BETWEEN ?1 AND ?2 AND job_id = ?4 ORDER BY id DESC LIMIT ?3"
            }
            (Some(_), _, Order::Oldest) => {
                "SELECT id FROM runs INDEXED BY runs_job WHERE id BETWEEN ?1 AND ?2 AND job_id = ?4 ORDER BY id LIMIT ?3"
            }
            (None, Some(_), Order::Newest) => {
                "SELECT id FROM runs INDEXED BY runs_status WHERE id BETWEEN ?1 AND ?2 AND status = ?4 ORDER BY id DESC LIMIT ?3"
            }
            (None, Some(_), Order::Oldest) => {
                "SELECT id FROM runs INDEXED BY runs_status WHERE id BETWEEN ?1 AND ?2 AND status = ?4 ORDER BY id LIMIT ?3"
            }
            (None, None, Order::Newest) => {
                "SELECT id FROM runs NOT INDEXED WHERE id BETWEEN ?1 AND ?2 AND ?4 IS NULL ORDER BY id DESC LIMIT ?3"
            }
            (None, None, Order::Oldest) => {
                "SELECT id FROM runs NOT INDEXED WHERE id BETWEEN ?1 AND ?2 AND ?4 IS NULL ORDER BY id LIMIT ?3"
            }
        }
    }

    /// The number of the next row.
    fn next(&mut self, connection: &Connection, order: Order) -> Result<Option<i64>, rusqlite::Error> {
        if self.read.is_empty() && !self.is_end {
            let mut statement = connection.prepare_cached(self.sql(order))?;
            let wanted = self.job.as_ref().or(self.status.as_ref());
            let parameters = params![self.low, self.high, self.chunk.cast_signed(), wanted];
            let ids = statement.query_map(parameters, |row| row.get(0))?;
            self.read = ids.collect::<Result<_, _>>()?;
            self.is_end = self.read.len() < self.chunk;
            self.chunk = (self.chunk * 2).min(CHUNKS.1);
            match (order, self.read.back()) {
                (Order::Newest, Some(last)) => self.high = last - 1,
                (Order::Oldest, Some(last)) => self.low = last + 1,
                (_, None) => {}
            }
        }
        Ok(self.read.pop_front())
    }
}

/// Jobs that have or had runs, and whose ids a pattern matches.
fn jobs_like(connection: &Connection, pattern: &str) -> Result<Vec<String>, rusqlite::Error> {
    // From one job to the next: there may be a million runs between.
    let sql = "WITH RECURSIVE jobs(name) AS (
                   SELECT min(job_id) FROM runs
                   UNION ALL SELECT (SELECT min(job_id) FROM runs WHERE job_id > name) FROM jobs WHERE name IS NOT NULL
               )
               SELECT name FROM jobs WHERE name IS NOT NULL";
    let mut statement = connection.prepare_cached(sql)?;
    let names: Vec<String> = statement.query_map([], |row| text(row, 0))?.collect::<Result<_, _>>()?;
    Ok(names.into_iter().filter(|name| fnmatch(pattern, name)).collect())
}

/// A source of rows: its job and its status, where it has one.
type Kind = (Option<String>, Option<String>);

/// What to read so that as few rows as can be are looked at in vain: for each source its job and its status.
fn kinds(connection: &Connection, query: &RunQuery) -> Result<Vec<Kind>, rusqlite::Error> {
    let mut statuses: Vec<String> = query.statuses.iter().map(|status| status.as_str().to_owned()).collect();
    statuses.sort_unstable();
    statuses.dedup();
    let jobs = match query.job.as_deref() {
        None => None,
        Some(job) if !is_pattern(job) => Some(vec![job.to_owned()]),
        Some(pattern) => Some(jobs_like(connection, pattern)?).filter(|jobs| jobs.len() <= MAX_SOURCES),
    };
    let by_status = |statuses: Vec<String>| statuses.into_iter().map(|status| (None, Some(status))).collect();
    let by_job = |jobs: Vec<String>| jobs.into_iter().map(|job| (Some(job), None)).collect();
    Ok(match jobs {
        None if statuses.is_empty() => vec![(None, None)],
        None => by_status(statuses),
        Some(jobs) if statuses.is_empty() => by_job(jobs),
        Some(jobs) => {
            let in_statuses = estimate(connection, "status", &statuses)?;
            let of_jobs = estimate(connection, "job_id", &jobs)?;
            if in_statuses < of_jobs { by_status(statuses) } else { by_job(jobs) }
        }
    })
}

/// The numbers that rows may have which a query asks for, the first and the last.
fn bounds(
    connection: &Connection,
    query: &RunQuery,
    place: Option<i64>,
) -> Result<(i64, i64), rusqlite::Error> {
    let (mut low, mut high) = (i64::MIN, i64::MAX);
    if let Some(since) = query.since.map(|since| since.timestamp_micros())
        && meta(connection, COUNTED_UNTIL)?.is_none_or(|until| since > until)
    {
        low = since;
    }
    if let Some(until) = query.until {
        high = until.timestamp_micros().saturating_add(lead(connection)?);
    }
    match (place, query.order) {
        (Some(place), Order::Newest) => high = high.min(place.saturating_sub(1)),
        (Some(place), Order::Oldest) => low = low.max(place.saturating_add(1)),
        (None, _) => {}
    }
    Ok((low, high))
}

/// A page of a list, after the row of this number.
pub(crate) fn page(
    connection: &Connection,
    query: &RunQuery,
    place: Option<i64>,
) -> Result<RunPage, rusqlite::Error> {
    let (low, high) = bounds(connection, query, place)?;
    let source = |(job, status)| Source {
        job,
        status,
        low,
        high,
        chunk: CHUNKS.0,
        read: VecDeque::new(),
        is_end: low > high,
    };
    let mut sources: Vec<Source> = kinds(connection, query)?.into_iter().map(source).collect();
    let rank = |id: i64| if query.order == Order::Newest { id } else { !id };
    let mut heads = BinaryHeap::with_capacity(sources.len());
    for (index, source) in sources.iter_mut().enumerate() {
        heads.extend(source.next(connection, query.order)?.map(|id| (rank(id), index, id)));
    }
    let mut pager = Pager::new(query);
    let mut statement =
        connection.prepare_cached("SELECT key, status, job_id, record FROM runs WHERE id = ?")?;
    while pager.wants_more() {
        let Some((_, index, id)) = heads.pop() else { return Ok(pager.finish(true)) };
        heads.extend(sources[index].next(connection, query.order)?.map(|id| (rank(id), index, id)));
        let mut rows = statement.query([id])?;
        let Some(row) = rows.next()? else { continue };
        let key = text(row, 0)?;
        let Ok(parsed) = key.parse::<RunKey>() else { continue };
        let is_meant = (query.children || !key.contains('/'))
            && is_one_of(query, &text(row, 1)?)
            && query.job.as_deref().is_none_or(|job| text(row, 2).is_ok_and(|id| fnmatch(job, &id)));
        let run = if is_meant { read_if_good(&key, &text(row, 3)?) } else { None };
        pager.look(id, parsed, run);
    }
    Ok(pager.finish(heads.is_empty()))
}

fn is_one_of(query: &RunQuery, status: &str) -> bool {
    query.statuses.is_empty() || query.statuses.iter().any(|wanted| wanted.as_str() == status)
}
