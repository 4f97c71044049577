//! The tables of a realm's file, and their versions.

use std::fs::OpenOptions;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use rusqlite::Connection;

use crate::database::explain;

/// The version of the tables that this program writes, kept in SQLite's `user_version`.
pub(crate) const VERSION: i64 = 17;

/// Statements that lead from each version to the next.
const STEPS: [&str; 17] = [
    "
    CREATE TABLE meta (name TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID;
    CREATE TABLE jobs (job_id TEXT PRIMARY KEY, spec TEXT NOT NULL) WITHOUT ROWID;
    CREATE TABLE runs (
        id INTEGER PRIMARY KEY,
        key TEXT NOT NULL UNIQUE,
        rev INTEGER NOT NULL,
        status TEXT NOT NULL,
        job_id TEXT NOT NULL,
        dispatched_by TEXT,
        due_at INTEGER,
        expires INTEGER NOT NULL,
        record TEXT NOT NULL
    );
    CREATE INDEX runs_due ON runs (due_at) WHERE due_at IS NOT NULL;
    CREATE INDEX runs_job ON runs (job_id);
    CREATE INDEX runs_dispatched_by ON runs (dispatched_by) WHERE dispatched_by IS NOT NULL;
    CREATE INDEX runs_waiting ON runs (job_id, id) WHERE status = 'waiting';
    CREATE TABLE specs (id INTEGER PRIMARY KEY, spec TEXT NOT NULL);
    CREATE TABLE locks (job_id TEXT PRIMARY KEY, key TEXT NOT NULL) WITHOUT ROWID;
    CREATE TABLE messages (
        queue TEXT NOT NULL,
        visible_at INTEGER NOT NULL,
        id INTEGER NOT NULL,
        receives INTEGER NOT NULL,
        body TEXT NOT NULL,
        PRIMARY KEY (queue, visible_at, id)
    ) WITHOUT ROWID;
    CREATE TABLE dead_letters (
        id INTEGER PRIMARY KEY,
        queue TEXT NOT NULL,
        body TEXT NOT NULL,
        receives INTEGER NOT NULL,
        reason TEXT NOT NULL,
        at INTEGER NOT NULL
    );
    CREATE TABLE state (
        state_id TEXT PRIMARY KEY,
        type TEXT NOT NULL,
        value TEXT NOT NULL,
        publisher TEXT,
        timestamp INTEGER NOT NULL,
        expires INTEGER NOT NULL
    ) WITHOUT ROWID;
",
    // A short spec is in the row of its record. The other name is for a process of the version before that has
    // the file open: it stops, where it would take a run for one without a spec.
    "ALTER TABLE runs ADD COLUMN spec TEXT; ALTER TABLE specs RENAME TO long_specs",
    // Records leave out what has its usual value, which a version before this one cannot read.
    "",
    // Schedules that were put before anything acted on them begin now.
    "
    CREATE TABLE schedules (
        job_id TEXT PRIMARY KEY,
        rev INTEGER NOT NULL,
        due_at INTEGER,
        changed INTEGER,
        cursors TEXT NOT NULL
    ) WITHOUT ROWID;
    CREATE INDEX schedules_due ON schedules (due_at) WHERE due_at IS NOT NULL;
    INSERT INTO schedules
        SELECT job_id, 1, unixepoch() * 1000000, unixepoch() * 1000000, '[]' FROM jobs
        WHERE json_valid(spec) AND json_extract(spec, '$.schedule') IS NOT NULL;
",
    "
    CREATE TABLE backfills (
        id TEXT PRIMARY KEY,
        rev INTEGER NOT NULL,
        begun INTEGER NOT NULL,
        due_at INTEGER,
        expires INTEGER,
        record TEXT NOT NULL
    ) WITHOUT ROWID;
    CREATE INDEX backfills_due ON backfills (due_at) WHERE due_at IS NOT NULL;
",
    // Rows get numbers that follow the time (pages.rs), and are counted once they have ended (tally.rs). A run that ends
    // well must not cost more for it: the index on those that did not is not its, and the one on what is due has what is
    // asked about runs under way. The other name is for a process of the version before, as above.
    "
    ALTER TABLE runs RENAME COLUMN spec TO pinned;
    CREATE INDEX runs_bad ON runs (status) WHERE status IN ('cancelled', 'failed', 'rejected', 'skipped');
    DROP INDEX runs_due;
    CREATE INDEX runs_due ON runs (due_at, status, job_id, instr(key, '/') > 0) WHERE due_at IS NOT NULL;
    CREATE TABLE run_counts (
        job_id TEXT NOT NULL,
        status TEXT NOT NULL,
        step INTEGER NOT NULL,
        runs INTEGER NOT NULL,
        PRIMARY KEY (job_id, status, step)
    ) WITHOUT ROWID;
    INSERT INTO run_counts
        SELECT job_id, status, instr(key, '/') > 0 AS step, count(*) FROM runs
        WHERE status IN ('complete', 'cancelled', 'failed', 'rejected', 'skipped') GROUP BY job_id, status, step;
    INSERT OR REPLACE INTO meta
        SELECT 'counted_until', max(json_extract(record, '$.ts_dispatch')) FROM runs WHERE json_valid(record)
        HAVING max(json_extract(record, '$.ts_dispatch')) IS NOT NULL;
",
    "
    CREATE TABLE triggers (
        trigger_id TEXT PRIMARY KEY,
        bucket TEXT,
        since INTEGER NOT NULL,
        spec TEXT NOT NULL
    ) WITHOUT ROWID;
    CREATE INDEX triggers_bucket ON triggers (bucket) WHERE bucket IS NOT NULL;
    CREATE TABLE objects_seen (
        bucket TEXT NOT NULL,
        key TEXT NOT NULL,
        mark TEXT NOT NULL,
        PRIMARY KEY (bucket, key)
    ) WITHOUT ROWID;
",
    "CREATE TABLE connections (conn_id TEXT PRIMARY KEY, spec TEXT NOT NULL) WITHOUT ROWID;",
    // One row. A process of the version before does not know of pauses, and would start what is paused.
    "CREATE TABLE pauses (id INTEGER PRIMARY KEY CHECK (id = 1), rev INTEGER NOT NULL, record TEXT NOT NULL);",
    "
    CREATE TABLE audit (id TEXT PRIMARY KEY, expires INTEGER, record TEXT NOT NULL) WITHOUT ROWID;
    CREATE INDEX audit_expires ON audit (expires) WHERE expires IS NOT NULL;
",
    // A process of the version before knows of no permits, and would run more at once than a pool has.
    "
    CREATE TABLE permits (
        gate TEXT NOT NULL,
        key TEXT NOT NULL,
        ticket INTEGER,
        PRIMARY KEY (gate, key)
    ) WITHOUT ROWID;
    CREATE INDEX permits_line ON permits (gate, ticket);
    CREATE TABLE gates (gate TEXT PRIMARY KEY, tickets INTEGER NOT NULL) WITHOUT ROWID;
",
    // A process of the version before would remove records without counting them.
    "
    CREATE TABLE past_counts (
        day TEXT NOT NULL,
        job_id TEXT NOT NULL,
        status TEXT NOT NULL,
        runs INTEGER NOT NULL,
        PRIMARY KEY (day, job_id, status)
    ) WITHOUT ROWID;
",
    "
    CREATE TABLE bulk_acts (
        id TEXT PRIMARY KEY,
        rev INTEGER NOT NULL,
        expires INTEGER,
        record TEXT NOT NULL
    ) WITHOUT ROWID;
    CREATE TABLE bulk_receipts (
        id TEXT NOT NULL,
        page INTEGER NOT NULL,
        receipts TEXT NOT NULL,
        PRIMARY KEY (id, page)
    );
",
    // A process of the version before would not count the runs that it ends.
    "
    CREATE TABLE run_minutes (minute INTEGER PRIMARY KEY, runs INTEGER NOT NULL, failed INTEGER NOT NULL);
    INSERT INTO run_minutes
        SELECT id / 60000000 AS minute, count(*), sum(status IN ('failed', 'rejected')) FROM runs
        WHERE id >= (unixepoch() - 10800) * 1000000 AND instr(key, '/') = 0
        AND status IN ('complete', 'cancelled', 'failed', 'rejected', 'skipped') GROUP BY minute;
",
    "ALTER TABLE schedules ADD COLUMN rules TEXT",
    "ALTER TABLE schedules ADD COLUMN superseded TEXT",
    // It distinguishes a store from any other (identity.rs).
    "INSERT OR IGNORE INTO meta VALUES ('identity', lower(hex(randomblob(16))));",
];

/// Most copies of one version that are kept next to a store.
const MAX_COPIES: usize = 100;

/// Copies a store whose tables are of an earlier version, as it is, to a file next to it: `pumice.db.v9`. Gives the copy;
/// `None` for one that needs none. Nothing of the store is changed.
///
/// # Errors
/// The message of SQLite or the disk: the tables must not be changed then.
pub(crate) fn keep_copy(connection: &Connection, store: &Path) -> Result<Option<PathBuf>, String> {
    let message = |error: rusqlite::Error| explain(&error);
    let found: i64 =
        connection.pragma_query_value(None, "user_version", |row| row.get(0)).map_err(message)?;
    if found <= 0 || found >= VERSION {
        return Ok(None);
    }
    let copy_path = |more: &str| {
        let mut name = store.file_name().unwrap_or_default().to_owned();
        name.push(format!(".v{found}{more}"));
        store.with_file_name(name)
    };
    let partial = copy_path(&format!(".partial-{}", std::process::id()));
    let copied = copy(connection, &partial).and_then(|()| {
        let names =
            (1..=MAX_COPIES).map(|n| copy_path(&if n == 1 { String::new() } else { format!("-{n}") }));
        for name in names {
            // A link replaces no file: an earlier copy stays.
            match std::fs::hard_link(&partial, &name) {
                Err(error) if error.kind() == std::io::ErrorKind::AlreadyExists => {}
                linked => return linked.map(|()| name).map_err(|error| error.to_string()),
            }
        }
        Err(format!("there are {MAX_COPIES} copies already: {} is the first", copy_path("").display()))
    });
    // If it stays, there is one copy more than needed.
    let _ = std::fs::remove_file(&partial);
    copied.map(Some)
}

fn copy(connection: &Connection, to: &Path) -> Result<(), String> {
    let target = to.to_str().ok_or_else(|| format!("{} is not UTF-8", to.display()))?;
    let _ = std::fs::remove_file(to);
    // Made for this user alone before SQLite writes into it.
    let made = OpenOptions::new().write(true).create_new(true).mode(0o600).open(to);
    made.map_err(|error| format!("{}: {error}", to.display()))?;
    connection.execute("VACUUM INTO ?", [target]).map_err(|error| explain(&error))?;
    std::fs::File::open(to).and_then(|file| file.sync_all()).map_err(|error| error.to_string())
}

/// Brings the tables to [`VERSION`], in one transaction.
///
/// # Errors
/// The version found, when it is newer than this program knows; else what SQLite says.
pub(crate) fn migrate(connection: &mut Connection) -> Result<(), Migration> {
    let transaction = connection.transaction_with_behavior(rusqlite::TransactionBehavior::Immediate)?;
    let found: i64 = transaction.pragma_query_value(None, "user_version", |row| row.get(0))?;
    if found > VERSION {
        return Err(Migration::Newer(found));
    }
    let is_new = found == 0;
    if is_new
        && transaction.query_row("SELECT count(*) FROM sqlite_schema", [], |row| row.get::<_, i64>(0))? > 0
    {
        return Err(Migration::Foreign);
    }
    let done = usize::try_from(found).unwrap_or(0);
    for step in &STEPS[done..] {
        transaction.execute_batch(step)?;
    }
    if found < VERSION {
        transaction.pragma_update(None, "user_version", VERSION)?;
    }
    transaction.commit()?;
    if found < VERSION {
        // Else they would be in the write-ahead log alone, and without that a realm would be taken for a new one.
        connection.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |_| Ok(()))?;
    }
    Ok(())
}

/// Why the tables could not be brought up to date.
#[derive(Debug)]
pub(crate) enum Migration {
    /// A newer program wrote them.
    Newer(i64),
    /// Another program did.
    Foreign,
    /// SQLite failed.
    Sqlite(rusqlite::Error),
}

impl From<rusqlite::Error> for Migration {
    fn from(error: rusqlite::Error) -> Self {
        Self::Sqlite(error)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The text of every source file of the adapters.
    fn sources() -> String {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
        let files = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
        let files = files.filter(|path| path.extension().is_some_and(|extension| extension == "rs"));
        files.map(|path| std::fs::read_to_string(path).unwrap()).collect()
    }

    #[test]
    fn rows_of_each_table_that_expire_are_removed() {
        let mut connection = Connection::open_in_memory().unwrap();
        migrate(&mut connection).unwrap();
        let sql = "SELECT tables.name FROM sqlite_schema AS tables, pragma_table_info(tables.name) AS columns
                   WHERE tables.type = 'table' AND columns.name = 'expires'";
        let mut statement = connection.prepare(sql).unwrap();
        let tables: Vec<String> =
            statement.query_map([], |row| row.get(0)).unwrap().map(Result::unwrap).collect();
        assert!(tables.iter().any(|table| table == "audit") && tables.len() >= 5, "{tables:?}");
        let sources = sources();
        for table in tables {
            let removes = sources.contains(&format!("DELETE FROM {table} "));
            assert!(removes, "rows of {table} expire, and nothing removes them: see removed.rs");
        }
    }
}
