//! The SQLite file, and the way to it: operations that come at the same time share a transaction.
//!
//! Whoever has an operation puts it in line. Whoever gets hold of the connection carries out all
//! that stand in line, in one transaction, and answers each once it is committed. So a single
//! caller goes straight through, and a busy engine pays for one commit for many writes.

use std::collections::{HashMap, VecDeque};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use pumice_core::ids::JobId;
use pumice_core::ports::{StoreError, StoredJob};
use pumice_core::spec::RealmSpec;
use rusqlite::config::DbConfig;
use rusqlite::{Connection, OpenFlags};
use tokio::sync::{Notify, oneshot};

use crate::checkpoint::WriteAheadLog;
use crate::queue::InFlight;
use crate::schema::{self, Migration};

/// Most operations in one transaction.
const MAX_BATCH: usize = 512;
/// How long to wait for another process that writes.
const BUSY_TIMEOUT: Duration = Duration::from_secs(10);
/// How many pages the write-ahead log holds before whoever writes next puts it into the file, and waits
/// for the disk.
const CHECKPOINT_PAGES: i64 = 8 * 1024;
/// For how long what was parsed is used without asking whether another process changed the file.
const FRESH: Duration = Duration::from_millis(5);
/// SQLite's cache of pages, in KiB.
const CACHE_KIB: i64 = 2 * 1024;

/// What survives what: SQLite's `synchronous`.
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
    /// SQLite says no.
    #[error("cannot open the store {path}: {error}")]
    Sqlite {
        /// The file.
        path: PathBuf,
        /// Why.
        error: rusqlite::Error,
    },
}

type Reply = Box<dyn FnOnce() + Send>;
type CarryOut = Box<dyn FnOnce(&Connection) -> Result<Reply, rusqlite::Error> + Send>;

/// An operation in line.
struct Operation {
    /// Whether it writes, and needs a transaction.
    writes: bool,
    carry_out: CarryOut,
}

/// A realm's SQLite file, shared by all adapters on it. Cheap to clone.
#[derive(Clone)]
pub struct Database {
    inner: Arc<Inner>,
}

struct Inner {
    connection: tokio::sync::Mutex<Connection>,
    line: Mutex<VecDeque<Operation>>,
    /// Told when a message was put on a queue by this process.
    pub(crate) arrived: Notify,
    cache: Mutex<Cache>,
    in_flight: Mutex<InFlight>,
    log: WriteAheadLog,
    /// Why the last transaction failed: what its callers are told.
    failure: Mutex<String>,
    temp: String,
    payloads: String,
}

/// Specs as they were parsed, for as long as the file does not change under them.
#[derive(Default)]
pub(crate) struct Cache {
    /// What `data_version` was when the cache was filled.
    pub(crate) version: i64,
    /// When that was looked at last.
    pub(crate) looked: Option<Instant>,
    pub(crate) jobs: HashMap<JobId, Option<StoredJob>>,
    pub(crate) realm: Option<Arc<RealmSpec>>,
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
        schema::migrate(&mut connection).map_err(|error| match error {
            Migration::Newer(found) => {
                OpenError::Newer { path: path.to_owned(), found, known: schema::VERSION }
            }
            Migration::Sqlite(error) => failed(error),
        })?;
        let inside = |name: &str| folder.join(name).display().to_string();
        let inner = Inner {
            connection: tokio::sync::Mutex::new(connection),
            line: Mutex::default(),
            arrived: Notify::new(),
            cache: Mutex::default(),
            in_flight: Mutex::default(),
            log: WriteAheadLog::new(path),
            failure: Mutex::default(),
            temp: inside("temp"),
            payloads: inside("payloads"),
        };
        Ok(Self { inner: Arc::new(inner) })
    }

    pub(crate) fn log(&self) -> &WriteAheadLog {
        &self.inner.log
    }

    pub(crate) fn arrived(&self) -> &Notify {
        &self.inner.arrived
    }

    pub(crate) fn cache(&self) -> MutexGuard<'_, Cache> {
        self.inner.cache.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn in_flight(&self) -> MutexGuard<'_, InFlight> {
        self.inner.in_flight.lock().unwrap_or_else(PoisonError::into_inner)
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
        self.stand_in_line(true, operation).await
    }

    /// Carries out an operation that mostly reads, and needs no transaction of its own.
    pub(crate) async fn read<T, F>(&self, operation: F) -> Result<T, StoreError>
    where
        T: Send + 'static,
        F: FnOnce(&Connection) -> Result<T, rusqlite::Error> + Send + 'static,
    {
        self.stand_in_line(false, operation).await
    }

    /// Carries out an operation with the next one that somebody waits for.
    pub(crate) fn run_soon<F>(&self, operation: F)
    where
        F: FnOnce(&Connection) -> Result<(), rusqlite::Error> + Send + 'static,
    {
        let carry_out = Box::new(move |connection: &Connection| {
            operation(connection)?;
            Ok(Box::new(|| ()) as Reply)
        });
        self.line().push_back(Operation { writes: true, carry_out });
    }

    async fn stand_in_line<T, F>(&self, writes: bool, operation: F) -> Result<T, StoreError>
    where
        T: Send + 'static,
        F: FnOnce(&Connection) -> Result<T, rusqlite::Error> + Send + 'static,
    {
        let (answer, answered) = oneshot::channel();
        let carry_out = Box::new(move |connection: &Connection| {
            let value = operation(connection)?;
            // Whoever asked may have gone; then nobody needs the answer.
            Ok(Box::new(move || drop(answer.send(Ok(value)))) as Reply)
        });
        self.line().push_back(Operation { writes, carry_out });
        // Let those who are ready join in.
        tokio::task::yield_now().await;
        let mut answered = std::pin::pin!(answered);
        loop {
            tokio::select! {
                biased;
                answer = &mut answered => {
                    let failed = |_| Err(StoreError::new(format!("the store failed: {}", self.failure())));
                    return answer.unwrap_or_else(failed);
                }
                // Those who wait get hold of it in turn, so that no thread works for others for ever.
                connection = self.inner.connection.lock() => self.work_off(&connection),
            }
        }
    }

    fn failure(&self) -> MutexGuard<'_, String> {
        self.inner.failure.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn line(&self) -> MutexGuard<'_, VecDeque<Operation>> {
        self.inner.line.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Carries out what stands in line.
    fn work_off(&self, connection: &Connection) {
        let batch: Vec<Operation> = {
            let mut line = self.line();
            let count = line.len().min(MAX_BATCH);
            line.drain(..count).collect()
        };
        if batch.is_empty() {
            return;
        }
        if let Err(error) = commit(connection, batch) {
            tracing::error!(%error, "the store failed");
            *self.failure() = error;
        }
        self.inner.log.has_grown_to(connection.total_changes());
    }
}

fn configure(connection: &Connection, durability: Durability) -> Result<(), rusqlite::Error> {
    connection.busy_timeout(BUSY_TIMEOUT)?;
    connection.pragma_update(None, "journal_mode", "WAL")?;
    let synchronous = match durability {
        Durability::Normal => "NORMAL",
        Durability::Full => "FULL",
    };
    connection.pragma_update(None, "synchronous", synchronous)?;
    connection.pragma_update(None, "cache_size", -CACHE_KIB)?;
    connection.pragma_update(None, "temp_store", "MEMORY")?;
    connection.pragma_update(None, "wal_autocheckpoint", CHECKPOINT_PAGES)?;
    // Else SQLite compiles a statement anew for each value that it is given, lest another plan be better.
    connection.set_db_config(DbConfig::SQLITE_DBCONFIG_ENABLE_QPSG, true)?;
    connection.set_prepared_statement_cache_capacity(64);
    Ok(())
}

/// Carries out operations in one transaction and answers each. When one fails, none took place, and
/// all callers are told by their answer being dropped.
fn commit(connection: &Connection, batch: Vec<Operation>) -> Result<(), String> {
    let begin = match batch.as_slice() {
        // A statement alone is a transaction of its own.
        [only] if !only.writes => None,
        operations if operations.iter().any(|operation| operation.writes) => Some("BEGIN IMMEDIATE"),
        _ => Some("BEGIN"),
    };
    let carry_out = |connection: &Connection| -> Result<Vec<Reply>, rusqlite::Error> {
        batch.into_iter().map(|operation| (operation.carry_out)(connection)).collect()
    };
    let outcome = match begin {
        Some(begin) => in_transaction(connection, begin, carry_out),
        None => carry_out(connection),
    };
    outcome.map(|replies| replies.into_iter().for_each(|reply| reply())).map_err(|error| explain(&error))
}

/// Carries out something between `begin` and a commit; rolls back what failed. Its statements are
/// compiled once, which those of rusqlite's transactions are not.
fn in_transaction<T>(
    connection: &Connection,
    begin: &str,
    carry_out: impl FnOnce(&Connection) -> Result<T, rusqlite::Error>,
) -> Result<T, rusqlite::Error> {
    if !connection.is_autocommit() {
        // An operation panicked in the middle of one.
        connection.execute_batch("ROLLBACK")?;
    }
    connection.prepare_cached(begin)?.execute([])?;
    let outcome = carry_out(connection)
        .and_then(|value| connection.prepare_cached("COMMIT")?.execute([]).map(|_| value));
    if outcome.is_err() && !connection.is_autocommit() {
        connection.execute_batch("ROLLBACK")?;
    }
    outcome
}

/// What SQLite says, in words that help.
pub(crate) fn explain(error: &rusqlite::Error) -> String {
    match error.sqlite_error_code() {
        Some(rusqlite::ErrorCode::DiskFull) => "the disk is full".to_owned(),
        Some(rusqlite::ErrorCode::DatabaseBusy) => "another process keeps the store busy".to_owned(),
        Some(rusqlite::ErrorCode::ReadOnly) => "the store is read-only".to_owned(),
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
    async fn statements_are_compiled_once_whatever_they_are_given() {
        let folder = tempfile::tempdir().unwrap();
        let database = open(&folder);
        let recompiled = database.run(|connection| {
            let mut statement =
                connection.prepare("SELECT record, spec FROM runs JOIN specs USING (id) WHERE key = ?")?;
            for key in ["a", "b", "c"] {
                statement.exists([key])?;
            }
            Ok(statement.get_status(rusqlite::StatementStatus::RePrepare))
        });
        assert_eq!(recompiled.await.unwrap(), 0);
    }

    #[tokio::test]
    async fn an_operation_that_panics_leaves_nothing_and_nobody_behind() {
        let folder = tempfile::tempdir().unwrap();
        let database = open(&folder);
        let put = |connection: &Connection| connection.execute("INSERT INTO meta VALUES ('half', '')", []);
        let other = database.clone();
        let panicking = tokio::spawn(async move {
            other.run(move |connection| -> Result<(), _> { panic!("after {:?}", put(connection)) }).await
        });
        assert!(panicking.await.unwrap_err().is_panic());
        let found = |connection: &Connection| {
            connection
                .query_row("SELECT count(*) FROM meta WHERE name = 'half'", [], |row| row.get::<_, u32>(0))
        };
        assert_eq!(database.run(found).await.unwrap(), 0);
    }
}
