//! The ground of a realm's folder: the file of its store, and the disk.

use std::path::Path;
use std::sync::mpsc::{RecvTimeoutError, channel};
use std::time::{Duration, Instant};

use crate::database::{explain, reader};
use crate::home::STORE;

/// The result of a check of a folder's whole store.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Integrity {
    /// Nothing is wrong with it.
    Whole,
    /// This is.
    Damaged(String),
    /// Its time was over first.
    Unfinished,
    /// It cannot be read.
    Unreadable(String),
}

/// How often a check whose time is over is interrupted: an interruption has no effect on a check that has not begun.
const AGAIN: Duration = Duration::from_millis(5);

/// Looks through the store of a folder (SQLite's `PRAGMA quick_check`), for so long at most. It waits for no writer.
#[must_use]
pub fn look_through(home: &Path, limit: Duration) -> Integrity {
    let began = Instant::now();
    let connection = match reader(&home.join(STORE)) {
        Ok(connection) => connection,
        Err(error) if is_damage(&error) => return Integrity::Damaged(error.to_string()),
        Err(error) => return Integrity::Unreadable(explain(&error)),
    };
    let Some(left) = limit.checked_sub(began.elapsed()) else { return Integrity::Unfinished };
    let (done, waits) = channel::<()>();
    let interrupt = connection.get_interrupt_handle();
    let timer = std::thread::spawn(move || {
        let mut wait = left;
        while waits.recv_timeout(wait) == Err(RecvTimeoutError::Timeout) {
            interrupt.interrupt();
            wait = AGAIN;
        }
    });
    let finding = connection.query_row("PRAGMA quick_check(1)", [], |row| row.get::<_, String>(0));
    drop(done);
    // It ends at once, as its sender is gone.
    let _ = timer.join();
    match finding {
        Ok(finding) if finding == "ok" => Integrity::Whole,
        Ok(finding) => Integrity::Damaged(finding),
        Err(error) if is_damage(&error) => Integrity::Damaged(error.to_string()),
        Err(error) if error.sqlite_error_code() == Some(rusqlite::ErrorCode::OperationInterrupted) => {
            Integrity::Unfinished
        }
        Err(error) => Integrity::Unreadable(explain(&error)),
    }
}

fn is_damage(error: &rusqlite::Error) -> bool {
    use rusqlite::ErrorCode::{DatabaseCorrupt, NotADatabase};
    matches!(error.sqlite_error_code(), Some(DatabaseCorrupt | NotADatabase))
}

/// How much room a disk has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Room {
    /// Bytes that this user may still write.
    pub free: u64,
    /// Bytes in all.
    pub all: u64,
    /// How many more files there can be; `None` where the file system has no such limit.
    pub files: Option<u64>,
}

/// How much room the disk has that a folder is on.
///
/// # Errors
/// The error of the system.
pub fn room(folder: &Path) -> std::io::Result<Room> {
    let found = rustix::fs::statvfs(folder)?;
    let bytes = |blocks: u64| blocks.saturating_mul(found.f_frsize);
    let files = (found.f_files > 0).then_some(found.f_favail);
    Ok(Room { free: bytes(found.f_bavail), all: bytes(found.f_blocks), files })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Durability, Home};

    #[tokio::test]
    async fn store_is_looked_through_within_its_time() {
        let folder = tempfile::tempdir().unwrap();
        let limit = Duration::from_secs(60);
        assert!(matches!(look_through(folder.path(), limit), Integrity::Unreadable(_)));
        let home = Home::open(folder.path(), None, true, Durability::Normal).await.unwrap();
        assert_eq!(look_through(folder.path(), limit), Integrity::Whole);
        let filled = home.database().run(|connection| {
            connection.execute_batch(
                "CREATE TABLE filling (x); WITH n(i) AS (SELECT 1 UNION ALL SELECT i+1 FROM n LIMIT 200000)
                 INSERT INTO filling SELECT hex(randomblob(50)) FROM n",
            )
        });
        filled.await.unwrap();
        assert_eq!(look_through(folder.path(), Duration::ZERO), Integrity::Unfinished);
        drop(home);
        let file = folder.path().join(STORE);
        let mut bytes = std::fs::read(&file).unwrap();
        let middle = bytes.len() / 2;
        bytes[middle..middle + 20_000].fill(7);
        std::fs::write(&file, &bytes).unwrap();
        assert!(matches!(look_through(folder.path(), limit), Integrity::Damaged(_)));
        std::fs::write(
            &file,
            b"not a database, but a text that is long enough to be taken for a header of one",
        )
        .unwrap();
        assert!(matches!(look_through(folder.path(), limit), Integrity::Damaged(_)));
    }

    #[test]
    fn disk_has_room() {
        let room = room(&std::env::temp_dir()).unwrap();
        assert!(room.all >= room.free && room.all > 0, "{room:?}");
        assert!(super::room(Path::new("/no/such/folder")).is_err());
    }
}
