//! Whether a realm's files are still those that were opened, and whole.

use std::collections::BTreeMap;
use std::fs::File;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use pumice_core::ports::StoreError;
use rusqlite::{Connection, OpenFlags};

use crate::database::Database;
use crate::held::{FileId, LogIndex, overwritten};
use crate::identity::Identity;
use crate::schema;

/// How often the files are looked at.
const EVERY: Duration = Duration::from_secs(1);

/// The files of a realm that a process serves.
#[derive(Clone, Debug)]
pub(crate) struct Presence {
    files: Vec<(PathBuf, Option<Seen>)>,
    /// The store's file. It is never closed: with any descriptor of a file a process gives up all its locks on that file
    /// (POSIX, `fcntl`), SQLite's too, and others would take the store for one that no process has open.
    store: Option<&'static File>,
    /// The log's index, which is never closed either.
    index: Option<&'static File>,
    /// Which store it is; `None` where that could not be read.
    identity: Option<Identity>,
}

/// A file as it was seen.
#[derive(Clone, Copy, Debug)]
struct Seen {
    /// Which one it is, whatever its name.
    id: FileId,
    /// How long it is, in bytes.
    length: u64,
}

fn seen(path: &Path) -> Option<Seen> {
    let found = std::fs::symlink_metadata(path).ok()?;
    Some(Seen { id: FileId::of(&found), length: found.len() })
}

/// When the store's file was written last, and how often this process had checkpointed its log by then.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Written {
    at: Option<SystemTime>,
    /// `None` while the process puts it there.
    puts: Option<u64>,
}

impl Written {
    fn now(file: &Path, puts: impl FnOnce() -> Option<u64>) -> Self {
        // In this order: what is written after the look at the file counts for the next one.
        let at = std::fs::metadata(file).and_then(|found| found.modified()).ok();
        Self { at, puts: puts() }
    }

    /// Whether the file was written since, and not by this process.
    fn is_of_another(self, before: Self) -> bool {
        self.at != before.at && self.puts.is_some() && self.puts == before.puts
    }
}

/// How each of SQLite's stores begins, and its log, but for the last bit (SQLite, "Database File Format").
const MAGIC: &[u8] = b"SQLite format 3\0";
pub(crate) const LOG_MAGIC: &[u8; 3] = &[0x37, 0x7f, 0x06];

/// Whether a file begins so. One that cannot be read is another look's; so is an empty one.
fn begins(file: &File, magic: &[u8]) -> bool {
    let mut begin = [0; MAGIC.len()];
    let begin = &mut begin[..magic.len()];
    match file.read_exact_at(begin, 0) {
        Ok(()) => begin == magic,
        Err(_) => true,
    }
}

impl Presence {
    /// The files of a realm's folder as they are now.
    pub(crate) fn of(home: &Path, identity: Option<Identity>) -> Self {
        let files = ["pumice.db", "lock", "pumice.db-wal", "pumice.db-shm"].map(|name| home.join(name));
        let open = |path: &Path| File::open(path).ok().map(|file| &*Box::leak(Box::new(file)));
        let (store, index) = (open(&files[0]), open(&files[3]));
        let files = files.into_iter().map(|path| (path.clone(), seen(&path))).collect();
        Self { files, store, index, identity }
    }

    /// Which store it is.
    pub(crate) fn identity(&self) -> Option<&Identity> {
        self.identity.as_ref()
    }

    /// The fault of the store's file, if another store was written over it.
    pub(crate) fn other_store(&self) -> Option<String> {
        let store = &self.files[0].0;
        self.identity.as_ref()?.is_other(store).then(|| overwritten(store, "while it was served"))
    }

    /// The fault of the files, if any. One that appears counts from then on.
    pub(crate) fn fault(&mut self) -> Option<String> {
        for (path, known) in &mut self.files {
            let found = seen(path);
            match (*known, found) {
                (None, _) => {}
                // Neither the store nor its log, nor the log's index, ever gets shorter while it is open.
                (Some(known), Some(found)) if known.id == found.id && found.length < known.length => {
                    return Some(format!("{} was cut short while it was served", path.display()));
                }
                (Some(known), Some(found)) if known.id == found.id => {}
                (Some(_), None) => {
                    return Some(format!("{} was removed while it was served", path.display()));
                }
                (Some(_), Some(_)) => {
                    return Some(format!("{} was replaced while it was served", path.display()));
                }
            }
            *known = found;
        }
        // It may have grown and been cut since the last look. In this order: the log has what its index names.
        let wanted = self.index.and_then(LogIndex::pages_end);
        if wanted > seen(&self.files[2].0).map(|log| log.length) {
            return Some(format!("{} was cut short while it was served", self.files[2].0.display()));
        }
        // A log that was emptied may be as long again when it is looked at next: others write where they were.
        let (store, log) = (&self.files[0].0, &self.files[2].0);
        let is_whole = self.store.is_none_or(|file| begins(file, MAGIC));
        // SQLite has no locks on its log.
        let is_log_whole = File::open(log).map_or(true, |file| begins(&file, LOG_MAGIC));
        let other = [(store, is_whole), (log, is_log_whole)].into_iter().find(|(_, is_whole)| !is_whole);
        other.map(|(path, _)| format!("{} was overwritten while it was served", path.display()))
    }
}

/// Returns what is wrong with a realm as soon as something is: its files are not those that were opened, or a program of
/// another version changed their form, or, after an unclean end, they are damaged.
pub(crate) async fn fault(mut presence: Presence, database: Database, check: bool) -> String {
    let file = presence.files[0].0.clone();
    let mut form = Form::default();
    // As it is from the beginning.
    form.changed(&database).await;
    let looked_through = file.clone();
    if check && let Ok(Some(damage)) = tokio::task::spawn_blocking(move || damage(&looked_through)).await {
        return damage;
    }
    let look = || Written::now(&file, || database.puts());
    let mut written = look();
    // It may have been overwritten before the first look.
    if let Some(other) = other_store(&presence).await {
        return other;
    }
    loop {
        tokio::time::sleep(EVERY).await;
        if let Some(fault) = presence.fault() {
            return fault;
        }
        // Pages that are in memory are not read again, so what others do to them in the file would be seen late.
        let before = std::mem::replace(&mut written, look());
        // This process may have written to it, too, since it was overwritten.
        if written.at != before.at
            && let Some(other) = other_store(&presence).await
        {
            return other;
        }
        if let Some(damage) = database.damage() {
            return format!(
                "the store {} is damaged: {damage}; put a copy of it in its place",
                file.display()
            );
        }
        let path = file.clone();
        if written.is_of_another(before)
            && let Ok(Some(damage)) = tokio::task::spawn_blocking(move || damage(&path)).await
        {
            return damage;
        }
        if let Ok(found) = version(&database).await
            && found != schema::VERSION
        {
            let known = schema::VERSION;
            return format!("another program changed the store to version {found}; this one knows {known}");
        }
        if let Some(changed) = form.changed(&database).await {
            let file = file.display();
            return format!(
                "another program changed {changed} of the store {file}; put a copy of it in its place"
            );
        }
    }
}

async fn other_store(presence: &Presence) -> Option<String> {
    let presence = presence.clone();
    tokio::task::spawn_blocking(move || presence.other_store()).await.ok().flatten()
}

/// The form of a store's tables, as it was when they were looked at first.
#[derive(Debug, Default)]
struct Form {
    /// SQLite's own count of changes (`PRAGMA schema_version`).
    version: i64,
    /// Each table, index and trigger, and how it was made.
    parts: BTreeMap<String, Option<String>>,
}

impl Form {
    /// The name that was removed or changed since, if any. Those that another program adds for itself do not count.
    async fn changed(&mut self, database: &Database) -> Option<String> {
        let known = self.version;
        let read = database.read(move |connection| {
            let version: i64 = connection.query_row("PRAGMA schema_version", [], |row| row.get(0))?;
            if version == known {
                return Ok(None);
            }
            let sql =
                "SELECT type || ' ' || name, sql FROM sqlite_schema WHERE tbl_name NOT LIKE 'sqlite_stat%'";
            let mut statement = connection.prepare(sql)?;
            let parts = statement.query_map([], |row| Ok((row.get(0)?, row.get(1)?)))?;
            Ok(Some(Self { version, parts: parts.collect::<Result<_, rusqlite::Error>>()? }))
        });
        let found = read.await.ok().flatten()?;
        if self.version == 0 {
            *self = found;
            return None;
        }
        // A table that is gone takes its indexes along, which sort before it.
        let other = self.parts.iter().rev().find(|(name, sql)| found.parts.get(*name) != Some(*sql));
        let other = other.map(|(name, _)| name.clone());
        self.version = found.version;
        other
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
    let fault = match check() {
        Ok(fault) if fault == "ok" => return None,
        Ok(fault) => fault,
        Err(error) if error.sqlite_error_code() == Some(rusqlite::ErrorCode::DatabaseCorrupt) => {
            error.to_string()
        }
        Err(error) => {
            tracing::warn!(%error, "the store could not be looked through");
            return None;
        }
    };
    Some(format!("the store {} is damaged: {fault}; put a copy of it in its place", file.display()))
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::MetadataExt;

    use crate::database::Durability;

    use super::*;

    #[test]
    fn file_that_is_removed_or_replaced_is_a_fault() {
        let folder = tempfile::tempdir().unwrap();
        let file = |name: &str| folder.path().join(name);
        std::fs::write(file("pumice.db"), [MAGIC, b"and more"].concat()).unwrap();
        std::fs::write(file("lock"), "x").unwrap();
        let mut presence = Presence::of(folder.path(), None);
        assert_eq!(presence.fault(), None);
        // It is made with the first write.
        std::fs::write(file("pumice.db-wal"), LOG_MAGIC).unwrap();
        std::fs::write(file("pumice.db-shm"), "index").unwrap();
        assert_eq!(presence.fault(), None);
        for name in ["pumice.db", "lock", "pumice.db-wal", "pumice.db-shm"] {
            std::fs::rename(file(name), file("kept")).unwrap();
            assert!(presence.fault().unwrap().ends_with("was removed while it was served"), "{name}");
            std::fs::copy(file("kept"), file(name)).unwrap();
            assert!(presence.fault().unwrap().ends_with("was replaced while it was served"), "{name}");
            std::fs::rename(file("kept"), file(name)).unwrap();
            assert_eq!(presence.fault(), None);
        }
    }

    #[test]
    fn file_that_is_emptied_cut_short_or_overwritten_is_a_fault() {
        let folder = tempfile::tempdir().unwrap();
        let file = |name: &str| folder.path().join(name);
        let store = [MAGIC, b"and more"].concat();
        for name in ["pumice.db", "pumice.db-wal"] {
            std::fs::write(file("pumice.db"), &store).unwrap();
            std::fs::write(file("pumice.db-wal"), [&LOG_MAGIC[..], b"a log"].concat()).unwrap();
            let whole = Presence::of(folder.path(), None);
            assert_eq!(whole.clone().fault(), None);
            let mut grown = whole.clone();
            std::fs::write(file(name), [&*std::fs::read(file(name)).unwrap(), b"more"].concat()).unwrap();
            assert_eq!(grown.fault(), None);
            for length in [0, 3] {
                let opened = std::fs::OpenOptions::new().write(true).open(file(name)).unwrap();
                opened.set_len(length).unwrap();
                let fault = grown.clone().fault().unwrap();
                assert!(fault.ends_with(&format!("{name} was cut short while it was served")), "{fault}");
            }
        }
        for name in ["pumice.db", "pumice.db-wal"] {
            std::fs::write(file("pumice.db"), &store).unwrap();
            std::fs::write(file("pumice.db-wal"), [&LOG_MAGIC[..], b"a log"].concat()).unwrap();
            let mut presence = Presence::of(folder.path(), None);
            // As long as before, with nothing in it but what came last.
            std::fs::write(file(name), [0; 24]).unwrap();
            assert!(
                presence.fault().unwrap().ends_with(&format!("{name} was overwritten while it was served"))
            );
        }
    }

    #[test]
    fn log_that_grew_and_was_cut_between_two_looks_is_a_fault() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("pumice.db");
        let connection = Connection::open(&path).unwrap();
        connection.execute_batch("PRAGMA journal_mode = WAL; CREATE TABLE t (x)").unwrap();
        let mut presence = Presence::of(folder.path(), None);
        let log = std::fs::OpenOptions::new().write(true).open(folder.path().join("pumice.db-wal")).unwrap();
        let known = log.metadata().unwrap().len();
        connection.execute_batch("INSERT INTO t VALUES (hex(randomblob(9999)))").unwrap();
        assert_eq!(presence.clone().fault(), None);
        log.set_len(known).unwrap();
        assert!(presence.fault().unwrap().ends_with("pumice.db-wal was cut short while it was served"));
    }

    #[test]
    fn looks_at_the_files_leave_sqlite_its_locks() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("pumice.db");
        let connection = Connection::open(&path).unwrap();
        let sql = "PRAGMA journal_mode = WAL; CREATE TABLE t (x); INSERT INTO t VALUES (1)";
        connection.execute_batch(sql).unwrap();
        let inode = std::fs::metadata(&path).unwrap().ino();
        let held = || {
            let locks = std::fs::read_to_string("/proc/locks").unwrap();
            let is_ours = |line: &&str| {
                line.contains(&format!(" {} ", std::process::id())) && line.contains(&format!(":{inode} "))
            };
            locks.lines().filter(is_ours).count()
        };
        let before = held();
        assert!(before > 0, "a connection with a log holds a lock on the file");
        let mut presence = Presence::of(folder.path(), None);
        assert_eq!(presence.fault(), None);
        assert_eq!(damage(&path), None);
        assert!(Identity::in_file(&path).is_err(), "it has no such table");
        drop(presence);
        assert_eq!(held(), before);
    }

    #[test]
    fn write_is_of_another_where_this_process_made_none() {
        let at = |seconds| Some(SystemTime::UNIX_EPOCH + Duration::from_secs(seconds));
        let before = Written { at: at(1), puts: Some(4) };
        for (after, expected) in [
            (Written { at: at(1), puts: Some(4) }, false),
            (Written { at: at(2), puts: Some(4) }, true),
            (Written { at: at(2), puts: Some(5) }, false),
            (Written { at: at(2), puts: None }, false),
        ] {
            assert_eq!(after.is_of_another(before), expected, "{after:?}");
        }
        assert!(!Written { at: at(2), puts: Some(4) }.is_of_another(Written { puts: None, ..before }));
    }

    #[tokio::test]
    async fn form_changed_by_another_program_is_found() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("pumice.db");
        let database = Database::open(&file, folder.path(), Durability::Normal).unwrap();
        let mut form = Form::default();
        assert_eq!(form.changed(&database).await, None);
        let other = Connection::open(&file).unwrap();
        other.execute_batch("CREATE TABLE own (x); ANALYZE").unwrap();
        assert_eq!(form.changed(&database).await, None, "what is added is the other's own");
        for (change, wanted) in [
            ("DROP INDEX runs_due", "index runs_due"),
            ("ALTER TABLE state ADD COLUMN more", "table state"),
            ("DROP TABLE runs", "table runs"),
        ] {
            other.execute_batch(change).unwrap();
            assert_eq!(form.changed(&database).await.as_deref(), Some(wanted), "{change}");
            form = Form::default();
            assert_eq!(form.changed(&database).await, None);
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
