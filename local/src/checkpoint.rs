//! Checkpoints SQLite's write-ahead log concurrently with writers, which wait for the disk less then.
//!
//! The log must reach the disk before it is put into the file, and that is most of the writing.
//! It begins anew when it is in the file whole while no transaction writes: so its end, which was written
//! meanwhile, is left to the writer, which waits for the file to reach the disk too.

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use rusqlite::{Connection, OpenFlags};
use tokio::task::spawn_blocking;

use crate::database::explain;

/// After how many changed rows the log is put into the file. Each time the writer waits for the
/// disk at the end of it, so not too often: one by one, small requests make a log of 100 MB by then.
const ROWS: u64 = 16 * 1024;
/// How many pages the log may hold before SQLite has the next writer put all of it into the file: where
/// rows are large, and where a concurrent checkpoint fails.
pub(crate) const MAX_PAGES: i64 = 64 * 1024;
/// How many further rounds put into the file the changes of the round before, until the rest is left to
/// the writer.
const ROUNDS: usize = 2;

/// How long the last writers are waited for at the end.
const PATIENCE: Duration = Duration::from_secs(5);

/// The write-ahead log of a file, as its writer sees it.
#[derive(Debug)]
pub(crate) struct WriteAheadLog {
    file: PathBuf,
    progress: Mutex<Progress>,
    /// How often it was begun, and how often ended, to put it into the file.
    begun: AtomicU64,
    ended: AtomicU64,
}

#[derive(Debug, Default)]
struct Progress {
    stage: Stage,
    /// How many rows had been changed when it was last put into the file.
    rows: u64,
    /// The connection that puts it there, once there is one.
    checkpointer: Option<Connection>,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Stage {
    /// It may grow.
    #[default]
    Growing,
    /// It is put into the file concurrently with writers.
    Concurrent,
    /// All but the last of it is in the file.
    Last,
}

impl WriteAheadLog {
    pub(crate) fn new(file: &Path) -> Self {
        Self {
            file: file.to_owned(),
            progress: Mutex::default(),
            begun: AtomicU64::new(0),
            ended: AtomicU64::new(0),
        }
    }

    fn progress(&self) -> MutexGuard<'_, Progress> {
        self.progress.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// How often it was put into the file so far; `None` while it is.
    pub(crate) fn puts(&self) -> Option<u64> {
        let ended = self.ended.load(Ordering::SeqCst);
        (self.begun.load(Ordering::SeqCst) == ended).then_some(ended)
    }

    /// Puts as much of the log into the file as can be without holding up other connections.
    fn put(&self, connection: &Connection) -> Result<(), rusqlite::Error> {
        self.begun.fetch_add(1, Ordering::SeqCst);
        let sql = "PRAGMA wal_checkpoint(PASSIVE)";
        let done = connection.prepare_cached(sql).and_then(|mut put| put.query_row([], |_| Ok(())));
        self.ended.fetch_add(1, Ordering::SeqCst);
        done
    }

    /// Puts into the file what is in it now, and waits for no other connection.
    pub(crate) fn put_now(&self) -> Result<(), rusqlite::Error> {
        // On a connection of its own: the one that writes may be within a transaction.
        self.put(&open(&self.file)?)
    }

    /// Puts all of it into the file and empties it, as far as no other connection reads or writes.
    pub(crate) fn empty(&self) -> Result<(), rusqlite::Error> {
        // On a connection of its own: the one that writes may be within a transaction.
        let connection = open(&self.file)?;
        connection.busy_timeout(PATIENCE)?;
        connection.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |_| Ok(()))
    }

    /// Takes the next step with the log. To be called by the writer, after each transaction.
    pub(crate) fn keep_short(self: &Arc<Self>, writer: &Connection) {
        let stage = {
            let mut progress = self.progress();
            let next = match progress.stage {
                Stage::Growing if writer.total_changes() - progress.rows >= ROWS => Stage::Concurrent,
                Stage::Last => Stage::Growing,
                Stage::Growing | Stage::Concurrent => return,
            };
            progress.stage = next;
            progress.rows = writer.total_changes();
            next
        };
        if stage == Stage::Concurrent {
            let concurrent = Concurrent(self.clone());
            spawn_blocking(move || concurrent.0.put_concurrently());
        } else {
            or_warn(self.put(writer));
        }
    }

    /// Puts what is there into the file. Where that fails it costs time only: SQLite has a writer do it.
    fn put_concurrently(&self) {
        let connection = self.progress().checkpointer.take();
        let connection = connection.map_or_else(|| open(&self.file), Ok);
        let done = connection.and_then(|connection| {
            (0..ROUNDS).try_for_each(|_| self.put(&connection))?;
            Ok(connection)
        });
        let mut progress = self.progress();
        progress.checkpointer = or_warn(done);
        progress.stage = if progress.checkpointer.is_some() { Stage::Last } else { Stage::Growing };
    }
}

/// A concurrent checkpoint. However it ends, it does not stay under way.
struct Concurrent(Arc<WriteAheadLog>);

impl Drop for Concurrent {
    fn drop(&mut self) {
        let mut progress = self.0.progress();
        if progress.stage == Stage::Concurrent {
            progress.stage = Stage::Growing;
        }
    }
}

fn open(file: &Path) -> Result<Connection, rusqlite::Error> {
    Connection::open_with_flags(file, OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX)
}

fn or_warn<T>(outcome: Result<T, rusqlite::Error>) -> Option<T> {
    let warn = |error: &rusqlite::Error| {
        tracing::warn!(error = explain(error), "cannot put the write-ahead log into the store; it grows");
    };
    outcome.inspect_err(warn).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn writer(file: &Path) -> Connection {
        let connection = Connection::open(file).unwrap();
        connection.pragma_update(None, "journal_mode", "WAL").unwrap();
        connection.pragma_update(None, "wal_autocheckpoint", 0).unwrap();
        connection.execute("CREATE TABLE rows (id INTEGER PRIMARY KEY)", []).unwrap();
        connection
    }

    fn write(connection: &Connection, rows: u64) {
        let sql = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < ?)
                   INSERT INTO rows SELECT NULL FROM n";
        connection.execute(sql, [rows.cast_signed()]).unwrap();
    }

    /// How often the log has begun anew (SQLite, "The WAL File Format": checkpoint sequence number).
    fn beginnings(file: &Path) -> u32 {
        let log = std::fs::read(file.with_extension("db-wal")).unwrap();
        u32::from_be_bytes(log[12..16].try_into().unwrap())
    }

    async fn wait_for_checkpoint(log: &WriteAheadLog) {
        let put = async {
            while log.progress().stage == Stage::Concurrent {
                tokio::time::sleep(Duration::from_millis(1)).await;
            }
        };
        tokio::time::timeout(Duration::from_secs(20), put).await.expect("it comes to an end");
    }

    #[tokio::test]
    async fn grown_log_is_checkpointed_and_begins_anew() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("x.db");
        let (writer, log) = (writer(&file), Arc::new(WriteAheadLog::new(&file)));
        let size = std::fs::metadata(&file).unwrap().len();
        write(&writer, ROWS - 1);
        log.keep_short(&writer);
        assert_eq!(log.progress().stage, Stage::Growing);
        write(&writer, 1);
        log.keep_short(&writer);
        wait_for_checkpoint(&log).await;
        assert_eq!(log.progress().stage, Stage::Last);
        assert!(std::fs::metadata(&file).unwrap().len() > size + 50_000);
        // Later changes are left to the writer: else they would stay in the log.
        write(&writer, 1);
        let begun = beginnings(&file);
        log.keep_short(&writer);
        assert_eq!(log.progress().stage, Stage::Growing);
        write(&writer, 1);
        assert_eq!(beginnings(&file), begun + 1);
    }

    #[tokio::test]
    async fn writing_goes_on_where_a_concurrent_checkpoint_fails() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("x.db");
        let (writer, log) = (writer(&file), Arc::new(WriteAheadLog::new(&folder.path().join("none.db"))));
        for tried in 1..=2 {
            write(&writer, ROWS);
            log.keep_short(&writer);
            assert_eq!(log.progress().rows, tried * ROWS);
            wait_for_checkpoint(&log).await;
            assert_eq!(log.progress().stage, Stage::Growing);
        }
    }
}
