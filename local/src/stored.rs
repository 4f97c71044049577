//! How records of runs are read and found in SQLite.

use pumice_core::ids::RunKey;
use pumice_core::ports::{RunQuery, StoreError, StoreErrorKind};
use pumice_core::run::Run;
use rusqlite::{Connection, OptionalExtension, Params, Row, Statement};

pub(crate) fn no_json(error: serde_json::Error) -> StoreError {
    StoreError::of(StoreErrorKind::Corrupt, format!("a record of the store is no good: {error}"))
}

/// JSON that cannot be written or read, within an operation of SQLite.
pub(crate) fn broken(error: serde_json::Error) -> rusqlite::Error {
    rusqlite::Error::FromSqlConversionFailure(0, rusqlite::types::Type::Text, Box::new(error))
}

pub(crate) fn read(record: &str) -> Result<Run, StoreError> {
    serde_json::from_str(record).map_err(no_json)
}

/// A record; `None`, with a line in the log, for one that cannot be read: others are not to suffer for it.
pub(crate) fn read_if_good(key: &str, record: &str) -> Option<Run> {
    let read = serde_json::from_str(record);
    read.inspect_err(|error| tracing::error!(key, %error, "a record of the store cannot be read")).ok()
}

/// A record and its spec, which stands beside it or in a row of its own.
pub(crate) const LOAD_WITH_SPEC: &str = "
    SELECT record, coalesce(spec, (SELECT spec FROM long_specs WHERE long_specs.id = runs.id))
    FROM runs WHERE key = ?";

/// The run in a row of its key and its record.
pub(crate) fn run_of(row: &Row<'_>) -> Result<Option<Run>, rusqlite::Error> {
    Ok(read_if_good(&text(row, 0)?, &text(row, 1)?))
}

/// The text in a column. What is none gives one that cannot be read, rather than an error for all who
/// share the transaction.
pub(crate) fn text(row: &Row<'_>, column: usize) -> Result<String, rusqlite::Error> {
    let bytes = row.get_ref(column)?.as_bytes_or_null().ok().flatten().unwrap_or_default();
    Ok(String::from_utf8_lossy(bytes).into_owned())
}

/// Keys and records, as they are stored.
pub(crate) type Stored = Vec<(String, String)>;

pub(crate) fn stored(
    statement: &mut Statement<'_>,
    parameters: impl Params,
) -> Result<Stored, rusqlite::Error> {
    statement.query_map(parameters, |row| Ok((text(row, 0)?, text(row, 1)?)))?.collect()
}

pub(crate) fn load(connection: &Connection, key: &str) -> Result<Option<String>, rusqlite::Error> {
    let mut statement = connection.prepare_cached("SELECT record FROM runs WHERE key = ?")?;
    statement.query_row([key], |row| text(row, 0)).optional()
}

pub(crate) fn newest(connection: &Connection, query: &RunQuery) -> Result<Vec<Run>, rusqlite::Error> {
    let exact = query.job.as_deref().filter(|job| !job.contains(['*', '?', '[']));
    let (sql, parameter) = match exact {
        Some(job) => ("SELECT key, record FROM runs WHERE job_id = ? ORDER BY id DESC", Some(job)),
        None => ("SELECT key, record FROM runs ORDER BY id DESC", None),
    };
    let mut statement = connection.prepare_cached(sql)?;
    let mut rows = statement.query(rusqlite::params_from_iter(parameter))?;
    let mut found = Vec::new();
    while found.len() < query.limit {
        let Some(row) = rows.next()? else { break };
        found.extend(run_of(row)?.filter(|run| holds(run, query)));
    }
    Ok(found)
}

/// How many runs a query asks for, alerts among them. Records are read only where what it asks for stands in them alone.
pub(crate) fn count(connection: &Connection, query: &RunQuery) -> Result<usize, rusqlite::Error> {
    let sql = match query.since {
        None => "SELECT key, status, job_id, 0 FROM runs",
        Some(_) => {
            "SELECT key, status, job_id, json_extract(record, '$.ts_dispatch') FROM runs WHERE json_valid(record)"
        }
    };
    let since = query.since.map(|since| since.timestamp_micros());
    let mut statement = connection.prepare_cached(sql)?;
    let mut rows = statement.query([])?;
    let mut count = 0;
    while let Some(row) = rows.next()? {
        let (key, status, job_id) = (text(row, 0)?, text(row, 1)?, text(row, 2)?);
        let at: Option<i64> = row.get(3)?;
        let holds = (query.children || !key.contains('/'))
            && (query.statuses.is_empty() || query.statuses.iter().any(|wanted| wanted.as_str() == status))
            && since.is_none_or(|since| at.is_some_and(|at| at >= since))
            && query.job.as_deref().is_none_or(|glob| pumice_core::glob::fnmatch(glob, &job_id));
        count += usize::from(holds);
    }
    Ok(count)
}

/// The keys of runs of their own that begin with a text.
pub(crate) fn beginning(
    connection: &Connection,
    prefix: &str,
    limit: usize,
) -> Result<Vec<String>, rusqlite::Error> {
    // Keys hold nothing that sorts after a tilde.
    let sql = "SELECT key FROM runs WHERE key >= ?1 AND key < ?1 || '~' AND instr(key, '/') = 0 LIMIT ?2";
    let mut statement = connection.prepare_cached(sql)?;
    statement.query_map(rusqlite::params![prefix, limit.cast_signed()], |row| text(row, 0))?.collect()
}

fn holds(run: &Run, query: &RunQuery) -> bool {
    (query.children || !run.is_child())
        && !(query.without_alerts && run.late.is_some())
        && (query.statuses.is_empty() || query.statuses.contains(&run.status))
        && query.since.is_none_or(|since| run.ts_dispatch >= since)
        && query.job.as_deref().is_none_or(|glob| pumice_core::glob::fnmatch(glob, run.job_id.as_str()))
}

/// A run, its children and all that these dispatched, parents first.
pub(crate) fn tree(connection: &Connection, root: &RunKey) -> Result<Vec<Run>, rusqlite::Error> {
    let mut found = Vec::new();
    let mut next = vec![root.as_str().to_owned()];
    while let Some(key) = next.pop() {
        let mut statement = connection.prepare_cached(
            "SELECT key, record FROM runs WHERE key = ?1 OR (key > ?1 || '/' AND key < ?1 || '0') ORDER BY id",
        )?;
        for (key, record) in stored(&mut statement, [&key])? {
            let mut statement =
                connection.prepare_cached("SELECT key FROM runs WHERE dispatched_by = ? ORDER BY id DESC")?;
            let dispatched: Vec<String> =
                statement.query_map([&key], |row| row.get(0))?.collect::<Result<_, _>>()?;
            next.extend(dispatched);
            found.extend(read_if_good(&key, &record));
        }
    }
    Ok(found)
}
