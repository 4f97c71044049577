//! The lock of a realm's folder, and what its file says of the process that has it or had it last.

use std::fs::{File, OpenOptions};
use std::io::Read;
use std::os::unix::fs::FileExt;
use std::path::Path;

use pumice_core::ports::{StoreError, StoreErrorKind};
use rusqlite::{Connection, OptionalExtension};

use crate::aftermath::{self, Log};
use crate::database::reader;
use crate::held::{FileIds, Note, SERVED, fault_next_to_server};
use crate::home::{HomeError, LOCK, STORE};
use crate::identity::Identity;
use crate::presence::Presence;

/// The content of the lock's file once another process has opened the store after an unclean end, or is about to serve it.
const LEFT: &str = "left\n";

/// How often the files are looked at that are not the server's, and after how long again: it may have just begun.
const LOOKS: u32 = 50;
const PAUSE: std::time::Duration = std::time::Duration::from_millis(20);

/// The right to run jobs of a folder; given up when dropped.
#[derive(Debug)]
pub struct ServeLock {
    file: File,
    presence: Presence,
    after_unclean_end: bool,
}

/// The lock of a folder, before the process serves it.
#[derive(Debug)]
pub(crate) struct HeldLock {
    file: File,
    after_unclean_end: bool,
}

/// Replaces what the lock's file says: others may read it meanwhile.
fn write(file: &File, text: &str) -> std::io::Result<()> {
    file.write_all_at(text.as_bytes(), 0)?;
    file.set_len(text.len() as u64)
}

impl HeldLock {
    /// Takes over the file, which is locked. The note of its last holder is invalid from now on.
    pub(crate) fn new(mut file: File) -> std::io::Result<Self> {
        let mut before = String::new();
        file.read_to_string(&mut before)?;
        let after_unclean_end = before.starts_with(SERVED) || before.starts_with(LEFT.trim_end());
        if after_unclean_end {
            write(&file, LEFT)?;
        }
        Ok(Self { file, after_unclean_end })
    }

    /// Serves a folder whose store this process has open and has written to.
    pub(crate) fn serve(self, folder: &Path, since: &str) -> std::io::Result<ServeLock> {
        let store = folder.join(STORE);
        let files = FileIds::at(&store);
        if let Some(other) = files.first_not_open(&store) {
            let other = other.display();
            return Err(std::io::Error::other(format!(
                "{other} was removed or replaced since it was opened"
            )));
        }
        let presence = Presence::of(folder, Identity::of_served(&store, since));
        let identity = presence.identity().cloned();
        write(&self.file, &Note { since: since.to_owned(), files: Some(files), identity }.to_text())?;
        Ok(ServeLock { file: self.file, presence, after_unclean_end: self.after_unclean_end })
    }
}

impl ServeLock {
    /// The realm's files as they were when this process began to serve them.
    pub(crate) fn presence(&self) -> Presence {
        self.presence.clone()
    }

    /// Whether the process that served the folder before ended by force.
    pub(crate) fn is_after_unclean_end(&self) -> bool {
        self.after_unclean_end
    }

    /// Gives it up at the end of a process that put everything in order.
    pub(crate) fn end(mut self) -> Result<(), StoreError> {
        if let Some(fault) = self.presence.fault().or_else(|| self.presence.other_store()) {
            let message = format!("{fault}: what was written last may be lost");
            return Err(StoreError::of(StoreErrorKind::Corrupt, message));
        }
        if let Err(error) = self.file.set_len(0) {
            tracing::debug!(%error, "the next start takes this end for an unclean one");
        }
        Ok(())
    }
}

/// The lock of a folder that a process served which ended by force.
pub(crate) struct LeftByForce {
    file: File,
    /// The note of that process.
    note: Note,
}

impl LeftByForce {
    /// The lock of a folder where the process that served it last ended by force.
    fn of(folder: &Path) -> Option<Self> {
        // Most ended otherwise: they need not be locked out for a moment.
        Note::of(folder)?;
        let file = OpenOptions::new().read(true).write(true).open(folder.join(LOCK)).ok()?;
        file.try_lock().ok()?;
        Some(Self { file, note: Note::of(folder)? })
    }

    /// Looks, before the store is opened to be written, whether it has what that process wrote. SQLite would not miss its
    /// log, nor take another one for another.
    fn check(&self, folder: &Path, store: &Path) -> Result<(), HomeError> {
        let log = aftermath::log_of(store);
        match &log {
            Ok(Log::Torn(pages)) => {
                tracing::error!(
                    pages,
                    "the end of the store's log cannot be read: what was written last is lost"
                );
            }
            Err(error) => tracing::warn!(%error, "the store's log could not be looked through"),
            Ok(Log::Gone | Log::Whole) => {}
        }
        let Note { since, files, identity } = &self.note;
        // Its log would go into the other one.
        if identity.as_ref().is_some_and(|identity| identity.is_other(store)) {
            return Err(HomeError::OtherStore { path: folder.to_owned(), store: store.to_owned() });
        }
        // Else opening it says what is wrong.
        let Ok(connection) = reader(store) else { return Ok(()) };
        if !since.is_empty() && served_since(&connection).as_deref() != Some(since) {
            return Err(HomeError::LogGone { path: folder.to_owned(), log: store.with_extension("db-wal") });
        }
        let is_other = files.is_some_and(|noted| FileIds::at(store).has_other_log(&noted));
        if matches!(log, Ok(Log::Gone)) || is_other {
            tracing::warn!(log = %store.with_extension("db-wal").display(), "the store's log is gone since the process that served it ended by force: what was written last is lost, unless another program put it into the store");
        }
        Ok(())
    }

    /// Notes that another process has opened the store, so that later processes do not look for its log.
    pub(crate) fn forget(self) -> std::io::Result<()> {
        write(&self.file, LEFT)
    }
}

/// When the realm was served last, as the store has it. The beginning of a log is in the store once a checkpoint has put it there,
/// as the process that closes the store last does.
fn served_since(connection: &Connection) -> Option<String> {
    let sql = "SELECT value FROM meta WHERE name = 'served'";
    connection.query_row(sql, [], |row| row.get(0)).optional().ok().flatten()
}

/// Whether another process has the lock of a folder, as far as this one may see.
pub(crate) fn is_locked(folder: &Path) -> bool {
    let Ok(file) = File::open(folder.join(LOCK)) else { return false };
    // It is let go at once; one that starts to serve meanwhile tries again.
    matches!(file.try_lock_shared(), Err(std::fs::TryLockError::WouldBlock))
}

/// Looks, before the store is opened, whether its files are those that the process has open which serves the folder, or had
/// which ended by force: gives that one's lock.
///
/// # Errors
/// [`HomeError`] when they are not.
pub(crate) async fn check_files(folder: &Path, store: &Path) -> Result<Option<LeftByForce>, HomeError> {
    for _ in 1..LOOKS {
        if let Some(left) = LeftByForce::of(folder) {
            left.check(folder, store)?;
            return Ok(Some(left));
        }
        if fault_next_to_server(store, folder).is_none() {
            return Ok(None);
        }
        if !is_locked(folder) {
            // That process has ended meanwhile, or this one may not lock the folder.
            let left = LeftByForce::of(folder);
            return left.map(|left| left.check(folder, store).map(|()| left)).transpose();
        }
        // Another process may just begin to serve the folder, and note its files next.
        tokio::time::sleep(PAUSE).await;
    }
    fault_next_to_server(store, folder).map_or(Ok(None), |fault| Err(HomeError::Replaced(fault)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::database::Durability;
    use crate::home::Home;

    /// A realm that is served, with the lock's file as a process would leave it that is killed now.
    async fn served(folder: &Path) -> (Home, ServeLock) {
        let home = Home::open(folder, None, true, Durability::Normal).await.unwrap();
        let lock = home.lock(chrono::Utc::now()).await.unwrap();
        (home, lock)
    }

    async fn open(folder: &Path) -> Result<Home, HomeError> {
        Home::open(folder, None, false, Durability::Normal).await
    }

    async fn write_once(home: &Home) -> Result<(), StoreError> {
        let sql = "INSERT OR REPLACE INTO meta VALUES ('x', '')";
        home.database().run(move |connection| connection.execute(sql, []).map(drop)).await
    }

    #[tokio::test]
    async fn store_whose_log_or_index_is_not_the_servers_is_not_opened() {
        for name in ["pumice.db-shm", "pumice.db-wal", "pumice.db"] {
            for copied in [false, true] {
                let folder = tempfile::tempdir().unwrap();
                let (server, lock) = served(folder.path()).await;
                drop(open(folder.path()).await.unwrap());
                let (file, kept) = (folder.path().join(name), folder.path().join("kept"));
                std::fs::rename(&file, &kept).unwrap();
                if copied || name == "pumice.db" {
                    std::fs::copy(&kept, &file).unwrap();
                }
                for refused in [
                    open(folder.path()).await.map(drop),
                    Home::open_to_read(folder.path(), None).await.map(drop),
                ] {
                    let error = refused.unwrap_err().to_string();
                    assert!(error.contains(&format!("{name} was removed or replaced")), "{error}");
                }
                assert_eq!(file.exists(), copied || name == "pumice.db", "{name} is not made anew");
                let error = server.end(lock).await.unwrap_err().to_string();
                assert!(error.contains(name), "{error}");
            }
        }
    }

    #[tokio::test]
    async fn write_is_not_accepted_once_a_file_of_the_store_is_replaced() {
        for name in ["pumice.db-shm", "pumice.db-wal"] {
            let folder = tempfile::tempdir().unwrap();
            let (_server, _lock) = served(folder.path()).await;
            let client = open(folder.path()).await.unwrap();
            write_once(&client).await.unwrap();
            let file = folder.path().join(name);
            std::fs::rename(&file, folder.path().join("kept")).unwrap();
            let error = write_once(&client).await.unwrap_err();
            assert_eq!(error.kind, StoreErrorKind::Corrupt);
            assert!(error.to_string().contains("not accepted"), "{error}");
            std::fs::rename(folder.path().join("kept"), &file).unwrap();
            write_once(&client).await.unwrap();
        }
    }

    #[tokio::test]
    async fn write_is_not_accepted_once_the_log_is_cut_or_overwritten() {
        for length in [0, 1_000] {
            let folder = tempfile::tempdir().unwrap();
            let (_server, _lock) = served(folder.path()).await;
            let client = open(folder.path()).await.unwrap();
            write_once(&client).await.unwrap();
            let log = OpenOptions::new().write(true).open(folder.path().join("pumice.db-wal")).unwrap();
            log.set_len(length).unwrap();
            let error = write_once(&client).await.unwrap_err().to_string();
            assert!(error.contains("was cut short"), "{error}");
        }
        let folder = tempfile::tempdir().unwrap();
        let (_server, _lock) = served(folder.path()).await;
        let client = open(folder.path()).await.unwrap();
        write_once(&client).await.unwrap();
        let log = OpenOptions::new().write(true).open(folder.path().join("pumice.db-wal")).unwrap();
        log.write_all_at(&[0; 32], 0).unwrap();
        let error = write_once(&client).await.unwrap_err().to_string();
        assert!(error.contains("was overwritten"), "{error}");
    }

    #[tokio::test]
    async fn process_whose_log_was_replaced_leaves_the_other_log_alone() {
        let folder = tempfile::tempdir().unwrap();
        let first = Home::open(folder.path(), None, true, Durability::Normal).await.unwrap();
        write_once(&first).await.unwrap();
        for name in ["pumice.db-shm", "pumice.db-wal"] {
            std::fs::remove_file(folder.path().join(name)).unwrap();
            std::fs::write(folder.path().join(name), "another process's").unwrap();
        }
        drop(first);
        for name in ["pumice.db-shm", "pumice.db-wal"] {
            assert_eq!(std::fs::read(folder.path().join(name)).unwrap(), b"another process's", "{name}");
        }
    }

    #[tokio::test]
    async fn log_that_is_not_the_one_of_before_is_a_log_that_is_gone() {
        let folder = tempfile::tempdir().unwrap();
        let copy = tempfile::tempdir().unwrap();
        let (server, lock) = served(folder.path()).await;
        for name in ["pumice.db", "lock"] {
            std::fs::copy(folder.path().join(name), copy.path().join(name)).unwrap();
        }
        // As a program does that opens the store when its log is gone.
        let other = Connection::open(copy.path().join("pumice.db")).unwrap();
        other
            .execute_batch("PRAGMA journal_mode = WAL; INSERT OR REPLACE INTO meta VALUES ('x', '')")
            .unwrap();
        for refused in
            [open(copy.path()).await.map(drop), Home::open_to_read(copy.path(), None).await.map(drop)]
        {
            assert!(matches!(refused, Err(HomeError::LogGone { .. })), "{refused:?}");
        }
        drop(other);
        // A copy with its log is whole, though all its files are others.
        let whole = tempfile::tempdir().unwrap();
        for name in ["pumice.db", "pumice.db-wal", "lock"] {
            std::fs::copy(folder.path().join(name), whole.path().join(name)).unwrap();
        }
        open(whole.path()).await.unwrap();
        server.end(lock).await.unwrap();
        open(folder.path()).await.unwrap();
    }

    #[tokio::test]
    async fn store_overwritten_with_another_is_accepted_nowhere() {
        let [folder, other] = [tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap()];
        drop(Home::open(other.path(), None, true, Durability::Normal).await.unwrap());
        let (server, lock) = served(folder.path()).await;
        let client = open(folder.path()).await.unwrap();
        write_once(&client).await.unwrap();
        let file = OpenOptions::new().write(true).open(folder.path().join(STORE)).unwrap();
        file.write_all_at(&std::fs::read(other.path().join(STORE)).unwrap(), 0).unwrap();
        // With any descriptor of a file a process gives up its locks on that file.
        std::mem::forget(file);
        let said = "pumice.db was overwritten with another store";
        let refused = [
            open(folder.path()).await.map(drop).unwrap_err().to_string(),
            Home::open_to_read(folder.path(), None).await.map(drop).unwrap_err().to_string(),
            write_once(&client).await.unwrap_err().to_string(),
            server.fault(&lock).await.to_string(),
            server.end(lock).await.unwrap_err().to_string(),
        ];
        for error in refused {
            assert!(error.contains(said), "{error}");
        }
        let log = std::fs::read(folder.path().join("pumice.db-wal")).unwrap();
        drop((server, client));
        assert_eq!(std::fs::read(folder.path().join("pumice.db-wal")).unwrap(), log, "it goes into no other");
        let left = open(folder.path()).await.map(drop);
        assert!(matches!(left, Err(HomeError::OtherStore { .. })), "{left:?}");
    }
}
