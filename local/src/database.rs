//! The SQLite file of a realm, and what this process knows of it.

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use pumice_core::Timestamp;
use pumice_core::ids::{JobId, WorkerName};
use pumice_core::ports::{StoreError, StoredJob};
use pumice_core::problem::Problem;
use pumice_core::recent::Recent;
use pumice_core::spec::{RealmSpec, RunSpec};
use rusqlite::config::DbConfig;
use rusqlite::{Connection, OpenFlags, OptionalExtension};
use serde_json::{Value, json};
use tokio::sync::Notify;

use crate::checkpoint::{MAX_PAGES, WriteAheadLog};
use crate::flight::InFlight;
use crate::held::Held;
use crate::line::{Failed, Line};
use crate::readers::{Read, Readers};
use crate::schema::{self, Migration};
use crate::tally::Tally;

/// How long to wait for another process that writes.
pub(crate) const BUSY_TIMEOUT: Duration = Duration::from_secs(10);
/// For how long what was parsed is used without asking whether another process changed the file.
const FRESH: Duration = Duration::from_millis(5);
/// The size of a page of a new file, in bytes. A request alone writes the last page of five tables and
/// indexes, whole: with SQLite's usual 4 KiB the disk had twice as much to write.
const PAGE_BYTES: i64 = 2 * 1024;
/// SQLite's cache of pages, in KiB.
pub(crate) const CACHE_KIB: i64 = 2 * 1024;

/// Which writes survive which failures: SQLite's `synchronous`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Durability {
    /// Everything that was answered survives the end of the process; the last moments before a
    /// power failure may be lost.
    #[default]
    Normal,
    /// Everything that was answered survives a power failure too.
    Full,
}

/// A file that could not be opened as a realm's store.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// A newer program wrote it.
    #[error(
        "{path} was written by a newer version of pumice: its tables are version {found}, this program knows up to {known}; update pumice"
    )]
    Newer {
        /// The file.
        path: PathBuf,
        /// Its version.
        found: i64,
        /// The newest known one.
        known: i64,
    },
    /// It is of an earlier version, and cannot be copied before its tables are changed.
    #[error(
        "the store {path} is of an earlier version of pumice, and cannot be copied before it is brought up to date: {why}; nothing was changed"
    )]
    NotCopied {
        /// The file.
        path: PathBuf,
        /// Why not.
        why: String,
    },
    /// Another program wrote it.
    #[error("{0} is the store of another program")]
    Foreign(PathBuf),
    /// A file of the store was removed or replaced while it was opened.
    #[error("{0} was removed or replaced while the store was opened: try again")]
    Replaced(PathBuf),
    /// SQLite says no.
    #[error("cannot open the store {path}: {}", explain(error))]
    Sqlite {
        /// The file.
        path: PathBuf,
        /// Why.
        error: rusqlite::Error,
    },
}

/// A realm's SQLite file, shared by all adapters on it. Cheap to clone.
#[derive(Clone)]
pub struct Database {
    inner: Arc<Inner>,
    /// Whether records of runs are read on connections of their own.
    has_record_readers: bool,
}

struct Inner {
    /// Before the line: the connection that closes the file last removes its log, and a reader cannot.
    readers: Option<Arc<Readers>>,
    line: Arc<Line>,
    /// Notified when this process put a message on a queue.
    arrived: Notify,
    cache: Mutex<Cache>,
    /// Short pinned specs that were read last, by their texts.
    specs: Mutex<PinnedSpecs>,
    temp: String,
    payloads: String,
    /// The realm's folder.
    folder: PathBuf,
}

/// Pinned specs by their texts.
pub(crate) type PinnedSpecs = Recent<String, RunSpec, 256>;

/// Most jobs whose specs are kept as they were parsed.
const MAX_JOBS: usize = 20_000;

/// Specs as they were parsed, for as long as the file does not change under them.
#[derive(Default)]
pub(crate) struct Cache {
    /// The `data_version` when the cache was filled.
    pub(crate) version: i64,
    /// When that was looked at last.
    pub(crate) looked: Option<Instant>,
    pub(crate) jobs: Recent<JobId, Option<StoredJob>, MAX_JOBS>,
    pub(crate) realm: Option<Arc<RealmSpec>>,
    /// The warnings about the realm that the log has.
    pub(crate) warned: Vec<Problem>,
}

impl Cache {
    /// Whether another process can have changed the file only in the last moments.
    pub(crate) fn is_fresh(&self) -> bool {
        self.looked.is_some_and(|looked| looked.elapsed() < FRESH)
    }
}

impl std::fmt::Debug for Database {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Database")
    }
}

impl Database {
    /// Opens a file, making it and its tables when they are not there. `folder` is where objects
    /// of a realm that names no place of its own are kept.
    ///
    /// # Errors
    /// [`OpenError`] when the file is none, cannot be read, or is of a newer version.
    pub fn open(path: &Path, folder: &Path, durability: Durability) -> Result<Self, OpenError> {
        let failed = |error| OpenError::Sqlite { path: path.to_owned(), error };
        let flags = OpenFlags::SQLITE_OPEN_READ_WRITE
            | OpenFlags::SQLITE_OPEN_CREATE
            | OpenFlags::SQLITE_OPEN_NO_MUTEX;
        let mut connection = Connection::open_with_flags(path, flags).map_err(failed)?;
        configure(&connection, durability).map_err(failed)?;
        let kept = schema::keep_copy(&connection, path);
        if let Some(copy) = kept.map_err(|why| OpenError::NotCopied { path: path.to_owned(), why })? {
            tracing::info!(
                target: "pumice::store",
                copy = %copy.display(),
                "the store is of an earlier version of pumice: it is brought up to date; the copy is of what it was"
            );
        }
        schema::migrate(&mut connection).map_err(|error| match error {
            Migration::Newer(found) => {
                OpenError::Newer { path: path.to_owned(), found, known: schema::VERSION }
            }
            Migration::Foreign => OpenError::Foreign(path.to_owned()),
            Migration::Sqlite(error) => failed(error),
        })?;
        let database = Self::on(connection, path, folder, Some(Arc::new(Readers::new(path))));
        match database.held().first_not_open() {
            Some(other) => Err(OpenError::Replaced(other)),
            None => Ok(database),
        }
    }

    /// Opens a file to read from it: nothing is written, and nothing waits for a process that writes. A file
    /// of an earlier version is brought up to date first, as [`Database::open`] does.
    ///
    /// # Errors
    /// [`OpenError`] when the file is none, cannot be read, or is of a newer version.
    pub fn open_to_read(path: &Path, folder: &Path) -> Result<Self, OpenError> {
        let failed = |error| OpenError::Sqlite { path: path.to_owned(), error };
        let connection = reader(path).map_err(failed)?;
        let found: i64 =
            connection.pragma_query_value(None, "user_version", |row| row.get(0)).map_err(failed)?;
        match found.cmp(&schema::VERSION) {
            std::cmp::Ordering::Less => Self::open(path, folder, Durability::Normal),
            std::cmp::Ordering::Greater => {
                Err(OpenError::Newer { path: path.to_owned(), found, known: schema::VERSION })
            }
            std::cmp::Ordering::Equal => Ok(Self::on(connection, path, folder, None)),
        }
    }

    /// The same, for people: records of runs are read on connections of their own, so that neither readers nor the engine's
    /// writes wait for each other. Lists, trees and counts are read so in any case.
    #[must_use]
    pub fn with_record_readers(&self) -> Self {
        Self { inner: self.inner.clone(), has_record_readers: true }
    }

    fn on(connection: Connection, path: &Path, folder: &Path, readers: Option<Arc<Readers>>) -> Self {
        let inside = |name: &str| folder.join(name).display().to_string();
        let inner = Inner {
            readers,
            line: Arc::new(Line::new(connection, Arc::new(WriteAheadLog::new(path)), Held::of(path, folder))),
            arrived: Notify::new(),
            cache: Mutex::default(),
            specs: Mutex::default(),
            temp: inside("temp"),
            payloads: inside("payloads"),
            folder: folder.to_owned(),
        };
        Self { inner: Arc::new(inner), has_record_readers: false }
    }

    /// Checkpoints the write-ahead log as far as no reader needs it.
    pub(crate) async fn empty_log(&self) -> Result<(), StoreError> {
        let log = self.inner.line.log().clone();
        let done = tokio::task::spawn_blocking(move || log.empty()).await;
        done.map_err(|error| StoreError::unreachable(error.to_string()))?
            .map_err(|error| Failed::Sqlite(error).into_store_error())
    }

    /// Writes since when the realm is served into the file itself, as far as other processes let it: the file is known by that.
    pub(crate) async fn begin_serving(&self, since: String) -> Result<(), StoreError> {
        let sql = "INSERT OR REPLACE INTO meta VALUES ('serving', ?)";
        self.run(move |connection| connection.execute(sql, [since]).map(drop)).await?;
        let log = self.inner.line.log().clone();
        let put = tokio::task::spawn_blocking(move || log.put_now()).await;
        if let Err(error) = put.map_err(|error| StoreError::invalid(error.to_string()))? {
            tracing::debug!(%error, "an earlier copy in the place of the store would not be noticed");
        }
        Ok(())
    }

    /// Writes since when the realm is served, and for which workers (none means all), so that there is a write-ahead log.
    pub(crate) async fn begin_log(&self, since: String, workers: &[WorkerName]) -> Result<(), StoreError> {
        let names: Vec<&str> = workers.iter().map(WorkerName::as_str).collect();
        let of = json!({ "since": since, "workers": names }).to_string();
        let sql = "INSERT OR REPLACE INTO meta VALUES ('served', ?), ('served_workers', ?)";
        self.run(move |connection| connection.execute(sql, [since, of]).map(drop)).await
    }

    /// Writes since when the process that serves the realm is stopping.
    ///
    /// # Errors
    /// [`StoreError`] when the store cannot be written.
    pub async fn note_stopping(&self, at: Timestamp) -> Result<(), StoreError> {
        let sql = "INSERT OR REPLACE INTO meta SELECT 'stopping', json_object('since', value, 'at', ?)
                   FROM meta WHERE name = 'served'";
        let at = at.timestamp_micros();
        self.run(move |connection| connection.execute(sql, [at]).map(drop)).await
    }

    /// Since when the process is stopping which began to serve the realm last; `None` where it is not.
    pub(crate) async fn stopping_since(&self) -> Result<Option<Timestamp>, StoreError> {
        let sql = "SELECT stopping.value ->> 'at' FROM meta AS stopping, meta AS served
                   WHERE stopping.name = 'stopping' AND served.name = 'served'
                   AND json_valid(stopping.value) AND stopping.value ->> 'since' = served.value";
        let read = move |connection: &Connection| {
            connection.query_row(sql, [], |row| row.get::<_, Option<i64>>(0)).optional()
        };
        Ok(self.look(read).await?.flatten().and_then(Timestamp::from_timestamp_micros))
    }

    /// The workers that the process serves which began to serve the realm last; none means all.
    pub(crate) async fn served_workers(&self) -> Result<Vec<WorkerName>, StoreError> {
        let sql = "SELECT workers.value FROM meta AS workers, meta AS served
                   WHERE workers.name = 'served_workers' AND served.name = 'served'
                   AND json_valid(workers.value) AND workers.value ->> 'since' = served.value";
        let read = move |connection: &Connection| {
            connection.query_row(sql, [], |row| row.get::<_, String>(0)).optional()
        };
        // A program of another version may have begun since, and writes no workers.
        let found = self.look(read).await?.and_then(|text| serde_json::from_str::<Value>(&text).ok());
        let names = found.as_ref().and_then(|found| found.get("workers")).and_then(Value::as_array);
        let names = names.into_iter().flatten().filter_map(Value::as_str);
        Ok(names.filter_map(|name| WorkerName::new(name).ok()).collect())
    }

    /// How often this process put the write-ahead log into the file so far; `None` while it does.
    pub(crate) fn puts(&self) -> Option<u64> {
        self.inner.line.log().puts()
    }

    /// The files of the store that this process has open.
    pub(crate) fn held(&self) -> &Held {
        self.inner.line.held()
    }

    /// SQLite's message when it found the file damaged, if it did.
    pub(crate) fn damage(&self) -> Option<&str> {
        self.inner.line.damage()
    }

    pub(crate) fn arrived(&self) -> &Notify {
        &self.inner.arrived
    }

    pub(crate) fn specs(&self) -> MutexGuard<'_, PinnedSpecs> {
        self.inner.specs.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn cache(&self) -> MutexGuard<'_, Cache> {
        self.inner.cache.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn in_flight(&self) -> MutexGuard<'_, InFlight> {
        self.inner.line.in_flight()
    }

    /// The realm's folder.
    pub(crate) fn folder(&self) -> &Path {
        &self.inner.folder
    }

    /// Where outputs and payloads of a realm that names no place are kept.
    pub(crate) fn places(&self) -> (&str, &str) {
        (&self.inner.temp, &self.inner.payloads)
    }

    /// Carries out an operation; its result is given once it is committed.
    pub(crate) async fn run<T, F>(&self, operation: F) -> Result<T, StoreError>
    where
        T: Send + 'static,
        F: FnOnce(&Connection) -> Result<T, rusqlite::Error> + Send + 'static,
    {
        self.inner.line.carry_out(true, |connection, _| operation(connection)).await
    }

    /// The same for an operation that makes, changes or removes records of runs, and counts them.
    pub(crate) async fn run_counting<T, F>(&self, operation: F) -> Result<T, StoreError>
    where
        T: Send + 'static,
        F: FnOnce(&Connection, &mut Tally) -> Result<T, rusqlite::Error> + Send + 'static,
    {
        self.inner.line.carry_out(true, operation).await
    }

    /// Carries out an operation that mostly reads, and needs no transaction of its own.
    pub(crate) async fn read<T, F>(&self, operation: F) -> Result<T, StoreError>
    where
        T: Send + 'static,
        F: FnOnce(&Connection) -> Result<T, rusqlite::Error> + Send + 'static,
    {
        self.inner.line.carry_out(false, |connection, _| operation(connection)).await
    }

    /// Carries out an operation that only reads, on a connection of its own.
    pub(crate) async fn look<T, F>(&self, operation: F) -> Result<T, StoreError>
    where
        T: Send + 'static,
        F: FnOnce(&Connection) -> Result<T, rusqlite::Error> + Send + 'static,
    {
        let Some(readers) = &self.inner.readers else { return self.read(operation).await };
        let Some(reader) = readers.take().await else { return self.read(operation).await };
        match readers.carry_out(reader, operation).await {
            Read::Done(value) => Ok(value),
            Read::Failed { error, damage } => {
                if let Some(damage) = damage {
                    self.inner.line.record_damage(damage);
                }
                Err(error)
            }
        }
    }

    /// Carries out an operation that reads a record: on a connection of its own where [`Database::with_record_readers`] says so.
    pub(crate) async fn read_record<T, F>(&self, operation: F) -> Result<T, StoreError>
    where
        T: Send + 'static,
        F: FnOnce(&Connection) -> Result<T, rusqlite::Error> + Send + 'static,
    {
        if self.has_record_readers { self.look(operation).await } else { self.read(operation).await }
    }

    /// Carries out a write at the beginning of the transaction in which this process writes next.
    pub(crate) fn run_ahead<F>(&self, operation: F)
    where
        F: Fn(&Connection) -> Result<(), rusqlite::Error> + Send + Sync + 'static,
    {
        self.inner.line.carry_out_ahead(operation);
    }

    /// Carries out an operation in the next transaction that takes place.
    pub(crate) fn run_soon<F>(&self, operation: F)
    where
        F: Fn(&Connection) -> Result<(), rusqlite::Error> + Send + Sync + 'static,
    {
        self.inner.line.carry_out_soon(operation);
    }
}

/// A connection that only reads. In a folder that cannot be written to SQLite has nowhere to put what readers
/// share; while no writer has a log either, the file alone is complete.
pub(crate) fn reader(path: &Path) -> Result<Connection, rusqlite::Error> {
    let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let looked = |connection: Connection| {
        connection.busy_timeout(BUSY_TIMEOUT)?;
        connection.pragma_update(None, "cache_size", -CACHE_KIB)?;
        connection.pragma_update(None, "temp_store", "MEMORY")?;
        connection.set_prepared_statement_cache_capacity(64);
        // Only then is the file looked at.
        connection.query_row("SELECT count(*) FROM sqlite_schema", [], |_| Ok(()))?;
        Ok(connection)
    };
    let log = path.with_extension("db-wal");
    match Connection::open_with_flags(path, flags).and_then(looked) {
        Err(error)
            if error.sqlite_error_code() == Some(rusqlite::ErrorCode::CannotOpen)
                && std::fs::metadata(&log).map_or(true, |log| log.len() == 0) =>
        {
            unlogged_reader(path).and_then(looked)
        }
        other => other,
    }
}

/// A connection that reads the file alone, without its log and without locks.
pub(crate) fn unlogged_reader(path: &Path) -> Result<Connection, rusqlite::Error> {
    let escaped = path.display().to_string().replace('%', "%25").replace('?', "%3f").replace('#', "%23");
    let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let uri = format!("file:{escaped}?immutable=1");
    Connection::open_with_flags(uri, flags | OpenFlags::SQLITE_OPEN_URI)
}

fn configure(connection: &Connection, durability: Durability) -> Result<(), rusqlite::Error> {
    connection.busy_timeout(BUSY_TIMEOUT)?;
    connection.pragma_update(None, "page_size", PAGE_BYTES)?;
    // Of a new file alone: it can shrink.
    connection.pragma_update(None, "auto_vacuum", "INCREMENTAL")?;
    connection.pragma_update(None, "journal_mode", "WAL")?;
    let synchronous = match durability {
        Durability::Normal => "NORMAL",
        Durability::Full => "FULL",
    };
    connection.pragma_update(None, "synchronous", synchronous)?;
    connection.pragma_update(None, "cache_size", -CACHE_KIB)?;
    connection.pragma_update(None, "temp_store", "MEMORY")?;
    connection.pragma_update(None, "wal_autocheckpoint", MAX_PAGES)?;
    // Else SQLite compiles a statement anew for each value that it is given, lest another plan be better.
    connection.set_db_config(DbConfig::SQLITE_DBCONFIG_ENABLE_QPSG, true)?;
    connection.set_prepared_statement_cache_capacity(64);
    Ok(())
}

/// SQLite's message with a hint.
pub(crate) fn explain(error: &rusqlite::Error) -> String {
    match error.sqlite_error_code() {
        Some(rusqlite::ErrorCode::DiskFull) => "the disk is full".to_owned(),
        Some(rusqlite::ErrorCode::DatabaseBusy) => "another process keeps the store busy".to_owned(),
        Some(rusqlite::ErrorCode::ReadOnly) => "the store is read-only".to_owned(),
        Some(rusqlite::ErrorCode::CannotOpen) => {
            "the file cannot be opened: may this user read and write its folder?".to_owned()
        }
        _ => error.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn open(folder: &tempfile::TempDir) -> Database {
        Database::open(&folder.path().join("realm.db"), folder.path(), Durability::Normal).unwrap()
    }

    #[tokio::test]
    async fn reader_neither_waits_for_a_writer_nor_writes() {
        let folder = tempfile::tempdir().unwrap();
        open(&folder);
        let path = folder.path().join("realm.db");
        let writer = Connection::open(&path).unwrap();
        writer.execute_batch("BEGIN IMMEDIATE; INSERT INTO meta VALUES ('x', '')").unwrap();
        let reader = Database::open_to_read(&path, folder.path()).unwrap();
        let count = |connection: &Connection| {
            connection.query_row("SELECT count(*) FROM meta WHERE name = 'x'", [], |row| row.get::<_, i64>(0))
        };
        let before = reader.read(count).await.unwrap();
        writer.execute_batch("COMMIT").unwrap();
        assert_eq!(reader.read(count).await.unwrap(), before + 1);
        let error = reader.run(|connection| connection.execute("DELETE FROM meta", [])).await.unwrap_err();
        assert!(error.to_string().contains("read-only"), "{error}");
    }

    #[tokio::test]
    async fn damage_that_sqlite_finds_is_remembered() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("realm.db");
        open(&folder);
        let database = Database::open_to_read(&path, folder.path()).unwrap();
        assert_eq!(database.damage(), None);
        let mut bytes = std::fs::read(&path).unwrap();
        bytes[2048..].fill(0x55);
        std::fs::write(&path, bytes).unwrap();
        let count = |connection: &Connection| {
            connection.query_row("SELECT count(*) FROM runs", [], |row| row.get::<_, i64>(0))
        };
        assert!(database.read(count).await.is_err());
        assert!(database.damage().unwrap().contains("malformed"), "{:?}", database.damage());
    }

    #[test]
    fn reader_updates_an_older_version_and_leaves_a_newer_one() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("realm.db");
        drop(Connection::open(&path).unwrap());
        Database::open_to_read(&path, folder.path()).unwrap();
        let connection = Connection::open(&path).unwrap();
        let version = || connection.pragma_query_value(None, "user_version", |row| row.get::<_, i64>(0));
        assert_eq!(version(), Ok(schema::VERSION));
        connection.pragma_update(None, "user_version", schema::VERSION + 1).unwrap();
        let error = Database::open_to_read(&path, folder.path()).unwrap_err();
        assert!(matches!(error, OpenError::Newer { .. }), "{error}");
    }

    #[tokio::test]
    async fn statements_are_compiled_once_whatever_they_are_given() {
        let folder = tempfile::tempdir().unwrap();
        let database = open(&folder);
        let recompiled = database.run(|connection| {
            let mut statement = connection.prepare(crate::stored::LOAD_WITH_SPEC)?;
            for key in ["a", "b", "c"] {
                statement.exists([key])?;
            }
            Ok(statement.get_status(rusqlite::StatementStatus::RePrepare))
        });
        assert_eq!(recompiled.await.unwrap(), 0);
    }
}
