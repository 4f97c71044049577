//! Puts SQLite's write-ahead log into the file beside those who write, who need not wait for the disk then.

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};

use rusqlite::{Connection, OpenFlags};
use tokio::sync::Notify;
use tokio::task::spawn_blocking;

use crate::database::{CHECKPOINT_PAGES, Database, explain};

/// After how many changed rows the log is put into the file.
const CHECKPOINT_ROWS: u64 = 8 * 1024;
/// How many pages the log may hold nevertheless before whoever writes next puts it into the file: while
/// others write all the time, the last of it is never put there beside them, and it begins anew only then.
const MAX_PAGES: i64 = 32 * 1024;

/// What is known of the write-ahead log of a file.
#[derive(Debug)]
pub(crate) struct WriteAheadLog {
    file: PathBuf,
    /// How many rows had been changed when the log was last said to have grown.
    told: AtomicU64,
    grown: Notify,
}

impl WriteAheadLog {
    pub(crate) fn new(file: &Path) -> Self {
        Self { file: file.to_owned(), told: AtomicU64::new(0), grown: Notify::new() }
    }

    /// So many rows have been changed in all. To be called by one at a time.
    pub(crate) fn has_changed_rows(&self, changes: u64) {
        if changes - self.told.load(Ordering::Relaxed) >= CHECKPOINT_ROWS {
            self.told.store(changes, Ordering::Relaxed);
            self.grown.notify_one();
        }
    }
}

impl Database {
    /// Puts the log into the file whenever it has grown, on a connection of its own. Where that fails
    /// it costs time only: whoever writes does it.
    pub(crate) async fn keep_log_short(self) {
        let mut connection = None;
        loop {
            self.log().grown.notified().await;
            let file = self.log().file.clone();
            let first = connection.is_none();
            let put = spawn_blocking(move || checkpoint(&file, connection)).await;
            let put = put.map_err(|error| error.to_string());
            connection = match put.and_then(|put| put.map_err(|error| explain(&error))) {
                Ok(connection) => {
                    if first {
                        self.set_checkpoint_pages(MAX_PAGES).await;
                    }
                    Some(connection)
                }
                Err(error) => {
                    tracing::warn!(error, "cannot put the write-ahead log into the store; writers do");
                    self.set_checkpoint_pages(CHECKPOINT_PAGES).await;
                    None
                }
            };
        }
    }

    /// How many pages the log may hold before whoever writes next puts it into the file.
    async fn set_checkpoint_pages(&self, pages: i64) {
        let set = self.read(move |connection| connection.pragma_update(None, "wal_autocheckpoint", pages));
        if let Err(error) = set.await {
            tracing::warn!(%error, "the store keeps its limit of the write-ahead log");
        }
    }
}

/// Puts as much of the log into the file as can be without holding up anybody.
fn checkpoint(file: &Path, connection: Option<Connection>) -> Result<Connection, rusqlite::Error> {
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let connection = connection.map_or_else(|| Connection::open_with_flags(file, flags), Ok)?;
    connection.query_row("PRAGMA wal_checkpoint(PASSIVE)", [], |_| Ok(()))?;
    Ok(connection)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::database::Durability;

    /// Whether the log was said to have grown since this was asked last.
    fn told(log: &WriteAheadLog) -> bool {
        let mut context = std::task::Context::from_waker(std::task::Waker::noop());
        std::pin::pin!(log.grown.notified()).poll(&mut context).is_ready()
    }

    #[test]
    fn the_log_is_said_to_have_grown_once_in_a_while() {
        let log = WriteAheadLog::new(Path::new("x"));
        log.has_changed_rows(CHECKPOINT_ROWS - 1);
        assert!(!told(&log));
        log.has_changed_rows(CHECKPOINT_ROWS);
        assert!(told(&log));
        log.has_changed_rows(CHECKPOINT_ROWS * 2 - 1);
        assert!(!told(&log));
    }

    #[tokio::test]
    async fn what_was_written_is_put_into_the_file_while_it_is_open() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("realm.db");
        let database = Database::open(&file, folder.path(), Durability::Normal).unwrap();
        let before = std::fs::metadata(&file).unwrap().len();
        let large = "INSERT INTO meta VALUES ('large', hex(zeroblob(50000)))";
        database.run(|connection| connection.execute(large, [])).await.unwrap();
        let connection = checkpoint(&file, None).unwrap();
        assert!(std::fs::metadata(&file).unwrap().len() > before + 100_000);
        // The same connection does for the next time.
        checkpoint(&file, Some(connection)).unwrap();
    }
}
