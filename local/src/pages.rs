//! Lists of runs, page by page.
//!
//! A record's row has a number that follows the time: the microsecond at which its run was dispatched, or one more than
//! the last row's where that is greater. So rows stand in the order in which the store took them, every index ends with
//! that order, and a row's number is never less than its run's time. By how much it may be greater is kept in `meta`:
//! little, unless a clock was put back.

use std::collections::{BinaryHeap, VecDeque};

use pumice_core::Timestamp;
use pumice_core::glob::is_pattern;
use pumice_core::ids::RunKey;
use pumice_core::ports::{Order, Pager, RunPage, RunQuery};
use pumice_core::run::Status;
use rusqlite::{Connection, OptionalExtension, params};

use crate::stored::{read_if_good, text};
use crate::tally::estimate;

/// Most jobs whose runs are read from the index on jobs; where more are meant, all runs are looked at.
const MAX_SOURCES: usize = 1_000;
/// Most runs under way that are found by the index on what is due, which has them in another order.
const MAX_OPEN: usize = 10_000;
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
            // With the index's own words, as SQLite asks for.
            (None, Some(_), Order::Newest) => {
                "SELECT id FROM runs INDEXED BY runs_bad WHERE id BETWEEN ?1 AND ?2 AND status = ?4 AND status IN ('cancelled', 'failed', 'rejected', 'skipped') ORDER BY id DESC LIMIT ?3"
            }
            (None, Some(_), Order::Oldest) => {
                "SELECT id FROM runs INDEXED BY runs_bad WHERE id BETWEEN ?1 AND ?2 AND status = ?4 AND status IN ('cancelled', 'failed', 'rejected', 'skipped') ORDER BY id LIMIT ?3"
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

/// Jobs that have or had runs, and that a query asks for.
fn jobs_like(connection: &Connection, query: &RunQuery) -> Result<Vec<String>, rusqlite::Error> {
    // From one job to the next: there may be a million runs between.
    let sql = "WITH RECURSIVE jobs(name) AS (
                   SELECT min(job_id) FROM runs
                   UNION ALL SELECT (SELECT min(job_id) FROM runs WHERE job_id > name) FROM jobs WHERE name IS NOT NULL
               )
               SELECT name FROM jobs WHERE name IS NOT NULL";
    let mut statement = connection.prepare_cached(sql)?;
    let names: Vec<String> = statement.query_map([], |row| text(row, 0))?.collect::<Result<_, _>>()?;
    Ok(names.into_iter().filter(|name| query.takes_job(name)).collect())
}

/// Whether an index has the runs that ended in a status.
fn is_bad_end(status: Status) -> bool {
    status.is_end() && status != Status::Complete
}

/// The query of a list.
#[derive(Default)]
struct Kinds {
    /// Of each source its job or its status; neither for all rows.
    sources: Vec<(Option<String>, Option<String>)>,
    /// The numbers of runs that are known already: those under way, or whose ids are asked for.
    open: Vec<i64>,
}

/// The numbers of runs under way in some statuses; `None` when there are many, which are soon met among all rows.
fn open_runs(connection: &Connection, statuses: &[Status]) -> Result<Option<Vec<i64>>, rusqlite::Error> {
    let sql = "SELECT id FROM runs INDEXED BY runs_due WHERE due_at IS NOT NULL AND status = ? LIMIT ?";
    let mut statement = connection.prepare_cached(sql)?;
    let mut open = Vec::new();
    for status in statuses.iter().filter(|status| !status.is_end()) {
        let most = (MAX_OPEN + 1 - open.len()).cast_signed();
        let ids = statement.query_map(params![status.as_str(), most], |row| row.get(0))?;
        open.extend(ids.collect::<Result<Vec<i64>, _>>()?);
        if open.len() > MAX_OPEN {
            return Ok(None);
        }
    }
    Ok(Some(open))
}

/// The numbers of the runs whose keys begin with one of these texts; `None` when there are many.
fn beginning(connection: &Connection, beginnings: &[String]) -> Result<Option<Vec<i64>>, rusqlite::Error> {
    // Keys hold nothing that sorts after a tilde.
    let sql = "SELECT id FROM runs WHERE key >= ?1 AND key < ?1 || '~' LIMIT ?2";
    let mut statement = connection.prepare_cached(sql)?;
    let mut found = Vec::new();
    for beginning in beginnings {
        let most = (MAX_OPEN + 1 - found.len()).cast_signed();
        let ids = statement.query_map(params![beginning, most], |row| row.get(0))?;
        found.extend(ids.collect::<Result<Vec<i64>, _>>()?);
        if found.len() > MAX_OPEN {
            return Ok(None);
        }
    }
    found.sort_unstable();
    found.dedup();
    Ok(Some(found))
}

/// The query that reads the fewest rows for nothing.
fn kinds(connection: &Connection, query: &RunQuery) -> Result<Kinds, rusqlite::Error> {
    let mut statuses = query.statuses.clone();
    statuses.sort_unstable_by_key(|status| status.as_str());
    statuses.dedup();
    if let Some(open) = query.filter.ids().map(|ids| beginning(connection, ids)).transpose()?.flatten() {
        return Ok(Kinds { open, ..Kinds::default() });
    }
    let jobs = match query.jobs() {
        None => None,
        Some(jobs) if !jobs.iter().any(|job| is_pattern(job)) => {
            let mut jobs: Vec<String> = jobs.into_iter().map(str::to_owned).collect();
            jobs.sort_unstable();
            jobs.dedup();
            Some(jobs)
        }
        Some(_) => Some(jobs_like(connection, query)?),
    }
    .filter(|jobs| jobs.len() <= MAX_SOURCES);
    let by_job = |jobs: Vec<String>| Kinds {
        sources: jobs.into_iter().map(|job| (Some(job), None)).collect(),
        ..Kinds::default()
    };
    let all =
        || jobs.clone().map_or_else(|| Kinds { sources: vec![(None, None)], ..Kinds::default() }, by_job);
    // Most runs end well, and are soon met among all rows.
    if statuses.is_empty() || statuses.contains(&Status::Complete) {
        return Ok(all());
    }
    let Some(open) = open_runs(connection, &statuses)? else { return Ok(all()) };
    let bad: Vec<String> = statuses
        .into_iter()
        .filter(|status| is_bad_end(*status))
        .map(|status| status.as_str().to_owned())
        .collect();
    if let Some(jobs) = &jobs {
        let in_statuses =
            estimate(connection, "status", &bad)?.saturating_add(open.len().cast_signed() as i64);
        if in_statuses > estimate(connection, "job_id", jobs)? {
            return Ok(all());
        }
    }
    Ok(Kinds { sources: bad.into_iter().map(|status| (None, Some(status))).collect(), open })
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
    let Kinds { sources, mut open } = kinds(connection, query)?;
    let mut sources: Vec<Source> = sources.into_iter().map(source).collect();
    open.retain(|id| (low..=high).contains(id));
    open.sort_unstable();
    if query.order == Order::Newest {
        open.reverse();
    }
    sources.push(Source { read: open.into(), is_end: true, ..source((None, None)) });
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
            && text(row, 2).is_ok_and(|id| query.takes_job(&id));
        let run = if is_meant { read_if_good(&key, &text(row, 3)?) } else { None };
        pager.look(id, parsed, run);
    }
    Ok(pager.finish(heads.is_empty()))
}

fn is_one_of(query: &RunQuery, status: &str) -> bool {
    query.statuses.is_empty() || query.statuses.iter().any(|wanted| wanted.as_str() == status)
}
