//! How records of runs are kept, read and found in SQLite.

use std::collections::HashMap;

use pumice_core::Timestamp;
use pumice_core::ids::RunKey;
use pumice_core::ports::{StoreError, StoreErrorKind};
use pumice_core::run::Run;
use rusqlite::{Connection, OptionalExtension, Params, Row, Statement};

/// How many blanks a new record has at its end, in bytes: about what most have grown by when their runs have ended. SQLite
/// writes a row in place whose length stays as it was; else rows that grow have pages split that were full.
pub(crate) const ROOM: usize = 256;
/// Most blanks that a record keeps when it becomes shorter.
const MAX_BLANKS: usize = 2 * ROOM;

/// A record with this many blanks at its end.
pub(crate) fn with_blanks(record: &str, count: usize) -> String {
    let mut filled = String::with_capacity(record.len() + count);
    filled.push_str(record);
    filled.extend(std::iter::repeat_n(' ', count));
    filled
}

/// How many blanks a record needs to be as long as the one whose place it takes.
pub(crate) fn blanks(record: &str, before: i64) -> usize {
    let fewer = usize::try_from(before).ok().and_then(|before| before.checked_sub(record.len()));
    fewer.filter(|count| *count <= MAX_BLANKS).unwrap_or(0)
}

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

/// The texts of a record and of its spec.
pub(crate) fn load_with_spec(
    connection: &Connection,
    key: &RunKey,
) -> Result<Option<(String, String)>, rusqlite::Error> {
    let mut statement = connection.prepare_cached(LOAD_WITH_SPEC)?;
    statement.query_row([key.as_str()], |row| Ok((text(row, 0)?, text(row, 1)?))).optional()
}

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

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::time::Duration;

    use pumice_core::Timestamp;
    use pumice_core::duration::Span;
    use pumice_core::ids::{JobId, RealmName, RunId, WorkerName};
    use pumice_core::message::Message;
    use pumice_core::ports::{Change, Consumer, Outgoing, RunStore};
    use pumice_core::run::NewRun;
    use pumice_core::spec::RunSpec;
    use uuid::Uuid;

    use super::*;
    use crate::database::{Database, Durability};

    #[tokio::test]
    async fn record_comes_with_its_message_and_keeps_its_length() {
        let folder = tempfile::tempdir().unwrap();
        let database =
            Database::open(&folder.path().join("realm.db"), folder.path(), Durability::Normal).unwrap();
        let (run_id, worker) = (RunId(Uuid::nil()), WorkerName::new("core").unwrap());
        let about = (JobId::new("a").unwrap(), "log".to_owned(), worker.clone());
        let mut run = Run::dispatched(RunKey::root(run_id), run_id, about, NOW, NOW, Span::from_days(2));
        let made = NewRun { run: run.clone(), spec: RunSpec::of_job(Arc::default()) };
        let message = Message::about(&RealmName::new("r").unwrap(), &run);
        database.create(&[(made.clone(), Some(Outgoing { message, at: NOW }))]).await.unwrap();
        let delivery = database.receive(&worker, 1, Duration::ZERO).await.unwrap().remove(0);
        assert_eq!(delivery.found.map(|found| *found), Some((run.clone(), made.spec)));

        let length = async || {
            let sql = "SELECT octet_length(record) FROM runs";
            database.read(|connection| connection.query_row(sql, [], |row| row.get(0))).await.unwrap()
        };
        let first: i64 = length().await;
        let mut lengths = Vec::new();
        for reason in [ROOM / 2, 0, 4 * ROOM, 3 * ROOM, 0] {
            run.rev += 1;
            run.reason = Some("x".repeat(reason));
            let change = Change { run: run.clone(), lock: None, permit: None, message: None };
            database.commit(&change).await.unwrap();
            assert_eq!(database.load(&run.key).await.unwrap().as_ref(), Some(&run));
            lengths.push(length().await);
        }
        let [grown, shrunk, large, smaller, small] = lengths[..] else { panic!("{lengths:?}") };
        assert_eq!((grown, shrunk, smaller), (first, first, large));
        assert!(large > first && small < first, "{small} {first} {large}");
    }

    const NOW: Timestamp = chrono::DateTime::UNIX_EPOCH;
}
