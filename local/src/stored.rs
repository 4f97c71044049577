//! How records of runs are read and found in SQLite.

use std::collections::HashMap;

use pumice_core::Timestamp;
use pumice_core::ids::RunKey;
use pumice_core::ports::{StoreError, StoreErrorKind};
use pumice_core::run::Run;
use rusqlite::{Connection, OptionalExtension, Params, Row, Statement};

/// The error of a record that cannot be read.
pub(crate) fn corrupt_record(error: serde_json::Error) -> StoreError {
    StoreError::of(StoreErrorKind::Corrupt, format!("the store has a corrupt record: {error}"))
}

/// The error of a record that cannot be written.
pub(crate) fn unwritable(error: serde_json::Error) -> StoreError {
    StoreError::of(StoreErrorKind::Invalid, format!("cannot write the record: {error}"))
}

/// JSON that cannot be written or read, within an operation of SQLite.
pub(crate) fn broken(error: serde_json::Error) -> rusqlite::Error {
    rusqlite::Error::FromSqlConversionFailure(0, rusqlite::types::Type::Text, Box::new(error))
}

pub(crate) fn read(record: &str) -> Result<Run, StoreError> {
    serde_json::from_str(record).map_err(corrupt_record)
}

/// A record; `None`, with a line in the log, for one that cannot be read: others are not to suffer for it.
pub(crate) fn read_if_good(key: &str, record: &str) -> Option<Run> {
    let read = serde_json::from_str(record);
    read.inspect_err(|error| tracing::error!(key, %error, "a record of the store cannot be read")).ok()
}

/// A record and its spec, which is in the same row or in one of its own.
pub(crate) const LOAD_WITH_SPEC: &str = "
    SELECT record, coalesce(pinned, (SELECT spec FROM long_specs WHERE long_specs.id = runs.id))
    FROM runs WHERE key = ?";

/// The run in a row of its key and its record.
pub(crate) fn run_of(row: &Row<'_>) -> Result<Option<Run>, rusqlite::Error> {
    Ok(read_if_good(&text(row, 0)?, &text(row, 1)?))
}

/// A time as rows have it: in microseconds.
pub(crate) fn micros(at: Timestamp) -> i64 {
    at.timestamp_micros()
}

/// The text in a column. Another type gives one that cannot be read, rather than an error for all callers that
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

/// A run, its children and all that these dispatched, parents first.
pub(crate) fn tree(connection: &Connection, root: &RunKey) -> Result<Vec<Run>, rusqlite::Error> {
    let mut found = Vec::new();
    let mut next = vec![root.as_str().to_owned()];
    let mut family = connection.prepare_cached(
        "SELECT key, record FROM runs WHERE key = ?1 OR (key > ?1 || '/' AND key < ?1 || '0') ORDER BY id",
    )?;
    // By one range each: a run may have a thousand steps, and most dispatch nothing.
    let mut dispatched = connection.prepare_cached(
        "SELECT dispatched_by, key, id FROM runs WHERE dispatched_by = ?1
         UNION ALL SELECT dispatched_by, key, id FROM runs
         WHERE dispatched_by > ?1 || '/' AND dispatched_by < ?1 || '0' ORDER BY id DESC",
    )?;
    while let Some(key) = next.pop() {
        let mut by: HashMap<String, Vec<String>> = HashMap::new();
        for (parent, child) in stored(&mut dispatched, [&key])? {
            by.entry(parent).or_default().push(child);
        }
        for (key, record) in stored(&mut family, [&key])? {
            next.extend(by.remove(&key).unwrap_or_default());
            found.extend(read_if_good(&key, &record));
        }
    }
    Ok(found)
}
