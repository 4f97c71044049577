//! Connections that only read: what people ask for waits for no writer, nor does the engine wait for them.
//!
//! SQLite's write-ahead log lets readers see the last commit while others write. A reader never makes a file: it opens
//! the file that the writer has open, while its log is there.

use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use pumice_core::ports::StoreError;
use rusqlite::{Connection, OpenFlags};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::task::spawn_blocking;

use crate::database::{BUSY_TIMEOUT, CACHE_KIB, explain};
use crate::line::{Failed, is_damage};

/// How many read at the same time; further ones wait for one of these.
const MAX_READERS: usize = 4;

/// The readers of one file. They open when they are first needed.
#[derive(Debug)]
pub(crate) struct Readers {
    file: PathBuf,
    /// Which file it was when the writer opened it: its device and its number.
    identity: Option<(u64, u64)>,
    idle: Mutex<Vec<Connection>>,
    free: Arc<Semaphore>,
}

/// A connection, for as long as an operation has it.
#[derive(Debug)]
pub(crate) struct Reader {
    connection: Connection,
    free: OwnedSemaphorePermit,
}

/// The outcome of an operation on a reader.
pub(crate) enum Read<T> {
    Done(T),
    Failed {
        error: StoreError,
        /// SQLite's message where it found the file damaged.
        damage: Option<String>,
    },
}

fn identity(file: &Path) -> Option<(u64, u64)> {
    std::fs::metadata(file).ok().map(|found| (found.dev(), found.ino()))
}

impl Readers {
    pub(crate) fn new(file: &Path) -> Self {
        let free = Arc::new(Semaphore::new(MAX_READERS));
        Self { file: file.to_owned(), identity: identity(file), idle: Mutex::default(), free }
    }

    fn idle(&self) -> MutexGuard<'_, Vec<Connection>> {
        self.idle.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A reader, once one is free; `None` when the file cannot be read next to its writer.
    pub(crate) async fn take(self: &Arc<Self>) -> Option<Reader> {
        let free = self.free.clone().acquire_owned().await.ok()?;
        let idle = self.idle().pop();
        let connection = match idle {
            Some(connection) => Some(connection),
            None => {
                let readers = self.clone();
                spawn_blocking(move || readers.open()).await.ok()?
            }
        };
        connection.map(|connection| Reader { connection, free })
    }

    /// Opens the file, unless another one is in its place or it has no log: SQLite would make one.
    fn open(&self) -> Option<Connection> {
        let has_file = |end: &str| self.file.with_extension(format!("db-{end}")).exists();
        if self.identity.is_none()
            || identity(&self.file) != self.identity
            || !has_file("wal")
            || !has_file("shm")
        {
            return None;
        }
        let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
        let open = || -> Result<Connection, rusqlite::Error> {
            let connection = Connection::open_with_flags(&self.file, flags)?;
            connection.busy_timeout(BUSY_TIMEOUT)?;
            connection.pragma_update(None, "cache_size", -CACHE_KIB)?;
            connection.pragma_update(None, "temp_store", "MEMORY")?;
            connection.set_prepared_statement_cache_capacity(64);
            Ok(connection)
        };
        let opened = open();
        let warn = |error: &rusqlite::Error| {
            tracing::warn!(error = explain(error), "cannot read the store next to its writer");
        };
        opened.inspect_err(warn).ok()
    }

    /// Carries out an operation on one state of the file.
    pub(crate) async fn carry_out<T, F>(self: &Arc<Self>, reader: Reader, operation: F) -> Read<T>
    where
        T: Send + 'static,
        F: FnOnce(&Connection) -> Result<T, rusqlite::Error> + Send + 'static,
    {
        let readers = self.clone();
        let done = spawn_blocking(move || {
            let Reader { connection, free } = reader;
            let outcome = read(&connection, operation);
            // After a failure the connection may not be as it was.
            if outcome.is_ok() {
                readers.idle().push(connection);
            }
            drop(free);
            outcome
        });
        match done.await {
            Ok(Ok(value)) => Read::Done(value),
            Ok(Err(error)) => {
                let damage = is_damage(&error).then(|| error.to_string());
                Read::Failed { error: Failed::Sqlite(error).into_store_error(), damage }
            }
            Err(_) => Read::Failed { error: Failed::Panicked.into_store_error(), damage: None },
        }
    }
}

fn read<T>(
    connection: &Connection,
    operation: impl FnOnce(&Connection) -> Result<T, rusqlite::Error>,
) -> Result<T, rusqlite::Error> {
    connection.prepare_cached("BEGIN")?.execute([])?;
    let value = operation(connection)?;
    connection.prepare_cached("COMMIT")?.execute([])?;
    Ok(value)
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc;
    use std::time::Duration;

    use pumice_core::ports::StoreErrorKind;

    use crate::database::{Database, Durability};

    use super::*;

    fn open(folder: &tempfile::TempDir) -> Database {
        let database =
            Database::open(&folder.path().join("realm.db"), folder.path(), Durability::Normal).unwrap();
        assert!(folder.path().join("realm.db-wal").exists());
        database
    }

    fn count(connection: &Connection) -> Result<i64, rusqlite::Error> {
        connection.query_row("SELECT count(*) FROM meta WHERE name IN ('x', 'y')", [], |row| row.get(0))
    }

    fn put(connection: &Connection) -> Result<usize, rusqlite::Error> {
        connection.execute("INSERT INTO meta VALUES ('x', '')", [])
    }

    async fn soon<T>(future: impl Future<Output = Result<T, StoreError>>) -> T {
        tokio::time::timeout(Duration::from_secs(20), future).await.expect("it does not wait").unwrap()
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn look_during_a_write_does_not_wait_for_it() {
        let folder = tempfile::tempdir().unwrap();
        let database = open(&folder);
        let (began, begun) = mpsc::channel();
        let (release, released) = mpsc::channel::<()>();
        let writer = database.clone();
        let writing = tokio::spawn(async move {
            let write = move |connection: &Connection| {
                put(connection)?;
                began.send(()).unwrap();
                released.recv().unwrap();
                Ok(())
            };
            writer.run(write).await
        });
        spawn_blocking(move || begun.recv().unwrap()).await.unwrap();
        assert_eq!(soon(database.look(count)).await, 0);
        assert_eq!(soon(database.with_record_readers().read_record(count)).await, 0);
        release.send(()).unwrap();
        writing.await.unwrap().unwrap();
        assert_eq!(soon(database.look(count)).await, 1);
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn write_during_looks_does_not_wait_for_them() {
        let folder = tempfile::tempdir().unwrap();
        let database = open(&folder);
        let mut looks = Vec::new();
        // As many as there may be, and one that waits for these.
        for _ in 0..MAX_READERS {
            let (began, begun) = mpsc::channel();
            let (release, released) = mpsc::channel::<()>();
            let reader = database.clone();
            let look = move |connection: &Connection| {
                let before = count(connection)?;
                began.send(()).unwrap();
                released.recv().unwrap();
                Ok((before, count(connection)?))
            };
            looks.push((release, tokio::spawn(async move { reader.look(look).await })));
            spawn_blocking(move || begun.recv().unwrap()).await.unwrap();
        }
        let reader = database.clone();
        let last = tokio::spawn(async move { reader.look(count).await });
        soon(database.run(put)).await;
        for (release, look) in looks {
            release.send(()).unwrap();
            assert_eq!(look.await.unwrap().unwrap(), (0, 0), "a look sees one state of the file");
        }
        assert_eq!(last.await.unwrap().unwrap(), 1);
    }

    #[tokio::test]
    async fn damage_that_a_reader_finds_is_corrupt_and_remembered() {
        let folder = tempfile::tempdir().unwrap();
        let database = open(&folder);
        database.empty_log().await.unwrap();
        let path = folder.path().join("realm.db");
        let mut bytes = std::fs::read(&path).unwrap();
        bytes[2048..].fill(0x55);
        std::fs::write(&path, bytes).unwrap();
        let runs = |connection: &Connection| {
            connection.query_row("SELECT count(*) FROM runs", [], |row| row.get::<_, i64>(0))
        };
        assert_eq!(database.damage(), None);
        let error = database.look(runs).await.unwrap_err();
        assert_eq!(error.kind, StoreErrorKind::Corrupt, "{error}");
        assert!(database.damage().unwrap().contains("malformed"), "{:?}", database.damage());
    }

    #[tokio::test]
    async fn look_that_fails_or_panics_leaves_the_others_alone() {
        let folder = tempfile::tempdir().unwrap();
        let database = open(&folder);
        for _ in 0..2 * MAX_READERS {
            let bad = database.look(|connection| connection.execute("INSERT INTO meta VALUES ('y', '')", []));
            assert!(bad.await.unwrap_err().to_string().contains("read-only"));
            let panicked = database.look(|_| -> Result<(), _> { panic!("on purpose") }).await;
            assert!(panicked.unwrap_err().to_string().contains("panicked"));
        }
        assert_eq!(soon(database.look(count)).await, 0);
    }
}
