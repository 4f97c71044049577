//! Whether a realm's files are still those that were opened, and whole.

use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use pumice_core::ports::StoreError;
use rusqlite::{Connection, OpenFlags};

use crate::database::Database;
use crate::schema;

/// How often the files are looked at.
const EVERY: Duration = Duration::from_secs(1);

/// The files of a realm that a process serves.
#[derive(Clone, Debug)]
pub(crate) struct Presence {
    files: Vec<(PathBuf, Option<Id>)>,
}

/// A file, whatever its name.
type Id = (u64, u64);

fn id(path: &Path) -> Option<Id> {
    std::fs::symlink_metadata(path).ok().map(|metadata| (metadata.dev(), metadata.ino()))
}

impl Presence {
    /// The files of a realm's folder as they are now.
    pub(crate) fn of(home: &Path) -> Self {
        let files = ["pumice.db", "lock", "pumice.db-wal"].map(|name| home.join(name));
        Self { files: files.into_iter().map(|path| (path.clone(), id(&path))).collect() }
    }

    /// What is wrong with the files, if anything is. One that appears counts from then on.
    pub(crate) fn fault(&mut self) -> Option<String> {
        for (path, known) in &mut self.files {
            let found = id(path);
            match (*known, found) {
                (None, _) => *known = found,
                (Some(known), Some(found)) if known == found => {}
                (Some(_), None) => {
                    return Some(format!("{} was removed while it was served", path.display()));
                }
                (Some(_), Some(_)) => {
                    return Some(format!("{} was replaced while it was served", path.display()));
                }
            }
        }
        None
    }
}

/// Returns what is wrong with a realm as soon as something is: its files are not those that were opened, or a program of
/// another version changed their form, or, after an unclean end, they are damaged.
pub(crate) async fn fault(mut presence: Presence, database: Database, check: Option<PathBuf>) -> String {
    if let Some(file) = check
        && let Ok(Some(damage)) = tokio::task::spawn_blocking(move || damage(&file)).await
    {
        return damage;
    }
    loop {
        tokio::time::sleep(EVERY).await;
        if let Some(fault) = presence.fault() {
            return fault;
        }
        if let Ok(found) = version(&database).await
            && found != schema::VERSION
        {
            let known = schema::VERSION;
            return format!("another program changed the store to version {found}; this one knows {known}");
        }
    }
}

async fn version(database: &Database) -> Result<i64, StoreError> {
    database.read(|connection| connection.query_row("PRAGMA user_version", [], |row| row.get(0))).await
}

/// Looks through a whole store (SQLite's `PRAGMA quick_check`); says what is wrong with it, if anything is.
pub(crate) fn damage(file: &Path) -> Option<String> {
    let check = || -> Result<String, rusqlite::Error> {
        let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
        let connection = Connection::open_with_flags(file, flags)?;
        connection.query_row("PRAGMA quick_check(1)", [], |row| row.get(0))
    };
    let told = match check() {
        Ok(told) if told == "ok" => return None,
        Ok(told) => told,
        Err(error) if error.sqlite_error_code() == Some(rusqlite::ErrorCode::DatabaseCorrupt) => {
            error.to_string()
        }
        Err(error) => {
            tracing::warn!(%error, "the store could not be looked through");
            return None;
        }
    };
    Some(format!("the store {} is damaged: {told}; put a copy of it in its place", file.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn file_that_is_removed_or_replaced_is_a_fault() {
        let folder = tempfile::tempdir().unwrap();
        let file = |name: &str| folder.path().join(name);
        for name in ["pumice.db", "lock"] {
            std::fs::write(file(name), "x").unwrap();
        }
        let mut presence = Presence::of(folder.path());
        assert_eq!(presence.fault(), None);
        // It is made with the first write.
        std::fs::write(file("pumice.db-wal"), "x").unwrap();
        assert_eq!(presence.fault(), None);
        for name in ["pumice.db", "lock", "pumice.db-wal"] {
            std::fs::rename(file(name), file("kept")).unwrap();
            assert!(presence.fault().unwrap().ends_with("was removed while it was served"), "{name}");
            std::fs::copy(file("kept"), file(name)).unwrap();
            assert!(presence.fault().unwrap().ends_with("was replaced while it was served"), "{name}");
            std::fs::rename(file("kept"), file(name)).unwrap();
            assert_eq!(presence.fault(), None);
        }
    }

    #[test]
    fn damaged_store_is_found() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("store.db");
        let connection = Connection::open(&file).unwrap();
        connection.execute_batch("CREATE TABLE t (x); WITH n(i) AS (SELECT 1 UNION ALL SELECT i+1 FROM n LIMIT 9999) INSERT INTO t SELECT hex(randomblob(50)) FROM n; CREATE INDEX i ON t (x)").unwrap();
        drop(connection);
        assert_eq!(damage(&file), None);
        let mut bytes = std::fs::read(&file).unwrap();
        let middle = bytes.len() / 2;
        bytes[middle..middle + 20_000].fill(7);
        std::fs::write(&file, bytes).unwrap();
        assert!(damage(&file).unwrap().contains("is damaged"));
    }
}
