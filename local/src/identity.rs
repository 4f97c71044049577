//! Which store a file is: a copy of another one has other content under the same name, and the same number and birth of the
//! file when it was written over it in place.

use std::path::Path;

use rusqlite::{Connection, OptionalExtension};

use crate::database::unlogged_reader;

/// How often a look that found another store is repeated, and after how long: a checkpoint may have been under way.
const LOOKS: usize = 4;
const PAUSE: std::time::Duration = std::time::Duration::from_millis(20);

/// The identity that a store's file itself has, whatever is in its log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Identity {
    /// Made with the store, at random.
    store: String,
    /// Since when the process serves it that began to do so last. Copies of one store differ in it. `None` where it is not
    /// known to be in the file.
    serving: Option<String>,
}

impl Identity {
    /// The identity in a file; `None` for a store that has none.
    ///
    /// # Errors
    /// SQLite's when the file cannot be read, or a checkpoint is writing it.
    pub(crate) fn in_file(file: &Path) -> Result<Option<Self>, rusqlite::Error> {
        let connection = unlogged_reader(file)?;
        let store = value(&connection, "identity")?;
        Ok(match store {
            None => None,
            Some(store) => Some(Self { store, serving: value(&connection, "serving")? }),
        })
    }

    /// The identity of a store that is served since then; `None` where its file cannot be read.
    pub(crate) fn of_served(file: &Path, since: &str) -> Option<Self> {
        let found = Self::in_file(file).ok().flatten()?;
        // Else a checkpoint brings it later.
        Some(Self { serving: found.serving.filter(|serving| serving == since), ..found })
    }

    /// Whether a file is another store, or another copy of this one, at more than one look.
    pub(crate) fn is_other(&self, file: &Path) -> bool {
        self.seems_other(file)
            && (1..LOOKS).all(|_| {
                std::thread::sleep(PAUSE);
                self.seems_other(file)
            })
    }

    /// The same at one look. A file that cannot be read is not another: its fault is found otherwise.
    pub(crate) fn seems_other(&self, file: &Path) -> bool {
        match Self::in_file(file) {
            Err(_) => false,
            Ok(None) => true,
            Ok(Some(found)) => {
                found.store != self.store || self.serving.is_some() && found.serving != self.serving
            }
        }
    }

    /// The identity as the lock's file has it.
    pub(crate) fn to_text(&self) -> String {
        let serving = self.serving.iter().map(|serving| format!(" {serving}"));
        std::iter::once(self.store.clone()).chain(serving).collect()
    }

    /// The identity that a text names; `None` for any other text.
    pub(crate) fn from_text(text: &str) -> Option<Self> {
        let mut words = text.split_whitespace();
        Some(Self { store: words.next()?.to_owned(), serving: words.next().map(str::to_owned) })
    }
}

fn value(connection: &Connection, name: &str) -> Result<Option<String>, rusqlite::Error> {
    connection.query_row("SELECT value FROM meta WHERE name = ?", [name], |row| row.get(0)).optional()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::database::{Database, Durability};

    #[test]
    fn identity_is_read_as_it_was_written() {
        for serving in [None, Some("2026-11-29T11:40:45+00:00".to_owned())] {
            let identity = Identity { store: "5eed".to_owned(), serving };
            assert_eq!(Identity::from_text(&identity.to_text()), Some(identity));
        }
        assert_eq!(Identity::from_text(" "), None);
    }

    #[tokio::test]
    async fn store_has_an_identity_of_its_own_whatever_its_log_has() {
        let folder = tempfile::tempdir().unwrap();
        let paths = ["a.db", "b.db"].map(|name| folder.path().join(name));
        let stores = paths.each_ref().map(|path| {
            let store = Database::open(path, folder.path(), Durability::Normal).unwrap();
            (Identity::in_file(path).unwrap().unwrap(), store)
        });
        let [(first, store), (second, _)] = &stores;
        assert_ne!(first, second);
        assert!(!first.is_other(&paths[0]) && first.is_other(&paths[1]));
        // In the log alone.
        let sql = "UPDATE meta SET value = 'x' WHERE name = 'identity'";
        store.run(move |connection| connection.execute(sql, []).map(drop)).await.unwrap();
        assert_eq!(Identity::in_file(&paths[0]).unwrap().as_ref(), Some(first));
    }

    #[tokio::test]
    async fn copy_of_before_is_another_once_the_store_is_served() {
        let folder = tempfile::tempdir().unwrap();
        let (path, copy) = (folder.path().join("realm.db"), folder.path().join("copy.db"));
        let store = Database::open(&path, folder.path(), Durability::Normal).unwrap();
        std::fs::copy(&path, &copy).unwrap();
        let unserved = Identity::in_file(&path).unwrap().unwrap();
        assert!(!unserved.is_other(&copy));
        store.begin_serving("now".to_owned()).await.unwrap();
        let served = Identity::of_served(&path, "now").unwrap();
        assert_eq!(served.serving.as_deref(), Some("now"));
        assert!(!served.is_other(&path) && served.is_other(&copy));
    }

    #[test]
    fn store_of_the_version_before_gets_an_identity() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("realm.db");
        let opened = || {
            drop(Database::open(&path, folder.path(), Durability::Normal).unwrap());
            Identity::in_file(&path).unwrap()
        };
        let made = opened();
        assert!(made.is_some() && opened() == made, "it stays");
        let before = Connection::open(&path).unwrap();
        before.execute_batch("DELETE FROM meta WHERE name = 'identity'; PRAGMA user_version = 16").unwrap();
        drop(before);
        let given = opened();
        assert!(given.is_some() && given != made);
    }

    #[test]
    fn file_without_an_identity_is_another_store() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("realm.db");
        drop(Database::open(&path, folder.path(), Durability::Normal).unwrap());
        let known = Identity::in_file(&path).unwrap().unwrap();
        let other = Connection::open(&path).unwrap();
        other
            .execute_batch("DELETE FROM meta WHERE name = 'identity'; PRAGMA wal_checkpoint(TRUNCATE)")
            .unwrap();
        assert_eq!(Identity::in_file(&path), Ok(None));
        assert!(known.is_other(&path));
        std::fs::write(&path, "something else").unwrap();
        assert!(!known.is_other(&path), "its fault is found otherwise");
    }
}
