//! Backfills, in SQLite.

use async_trait::async_trait;
use pumice_core::Timestamp;
use pumice_core::clock::Backfill;
use pumice_core::ports::{BackfillStore, CommitError, StoreError, StoreErrorKind};
use rusqlite::{Connection, OptionalExtension, Row, params};

use crate::database::Database;
use crate::stored::broken;

/// Reads a record; `None`, with a line in the log, for one that cannot be read: it must not be in the way of others.
fn backfill(row: &Row<'_>) -> Result<Option<Backfill>, rusqlite::Error> {
    let (id, record) = (row.get_ref(0)?.as_str()?, row.get_ref(1)?.as_str()?);
    let read = serde_json::from_str(record);
    Ok(read.inspect_err(|error| tracing::error!(%id, %error, "a backfill cannot be read")).ok())
}

/// The values of a record besides its `rev`: when it is due and when it expires, in microseconds, and the record.
type Values = (Option<i64>, Option<i64>, String);

fn values(backfill: &Backfill) -> Result<Values, rusqlite::Error> {
    let micros = |at: Option<Timestamp>| at.map(|at| at.timestamp_micros());
    let record = serde_json::to_string(backfill).map_err(broken)?;
    Ok((micros(backfill.due_at), micros(backfill.expires), record))
}

/// Removes records that have expired.
pub(crate) fn remove_expired(connection: &Connection, now: Timestamp) -> Result<(), rusqlite::Error> {
    let sql = "DELETE FROM backfills WHERE expires < ?";
    connection.prepare_cached(sql)?.execute([now.timestamp_micros()]).map(drop)
}

#[async_trait]
impl BackfillStore for Database {
    async fn load_backfill(&self, id: &str) -> Result<Option<Backfill>, StoreError> {
        let id = id.to_owned();
        let found = self.read(move |connection| {
            let sql = "SELECT id, record FROM backfills WHERE id = ?";
            let found = connection.prepare_cached(sql)?.query_row([&id], backfill).optional()?;
            // One that is there and cannot be read counts all the same: no other is begun.
            Ok(found.map(|found| found.ok_or(id)))
        });
        let unread = |id| StoreError::of(StoreErrorKind::Corrupt, format!("backfill {id} cannot be read"));
        found.await?.transpose().map_err(unread)
    }

    async fn all_backfills(&self) -> Result<Vec<Backfill>, StoreError> {
        self.read(|connection| {
            let sql = "SELECT id, record FROM backfills ORDER BY begun DESC, id";
            let mut statement = connection.prepare_cached(sql)?;
            let found = statement.query_map([], backfill)?;
            found.filter_map(Result::transpose).collect()
        })
        .await
    }

    async fn due_backfills(&self, until: Timestamp, limit: usize) -> Result<Vec<Backfill>, StoreError> {
        self.read(move |connection| {
            let sql = "SELECT id, record FROM backfills WHERE due_at <= ? ORDER BY due_at LIMIT ?";
            let mut statement = connection.prepare_cached(sql)?;
            let found =
                statement.query_map(params![until.timestamp_micros(), limit.cast_signed()], backfill)?;
            found.filter_map(Result::transpose).collect()
        })
        .await
    }

    async fn create_backfill(&self, backfill: &Backfill) -> Result<(), CommitError> {
        let backfill = backfill.clone();
        let made = self.run(move |connection| {
            let (due_at, expires, record) = values(&backfill)?;
            let sql =
                "INSERT INTO backfills (id, rev, begun, due_at, expires, record) VALUES (?, ?, ?, ?, ?, ?)
                ON CONFLICT (id) DO NOTHING";
            let (rev, begun) = (backfill.rev.cast_signed(), backfill.begun.timestamp_micros());
            let values = params![backfill.id, rev, begun, due_at, expires, record];
            Ok(connection.prepare_cached(sql)?.execute(values)? > 0)
        });
        made.await?.then_some(()).ok_or(CommitError::Conflict)
    }

    async fn put_backfill(&self, backfill: &Backfill) -> Result<(), CommitError> {
        let backfill = backfill.clone();
        let written = self.run(move |connection| {
            let (due_at, expires, record) = values(&backfill)?;
            let sql =
                "UPDATE backfills SET rev = ?, due_at = ?, expires = ?, record = ? WHERE id = ? AND rev = ?";
            let (rev, before) = (backfill.rev.cast_signed(), (backfill.rev - 1).cast_signed());
            let values = params![rev, due_at, expires, record, backfill.id, before];
            Ok(connection.prepare_cached(sql)?.execute(values)? > 0)
        });
        written.await?.then_some(()).ok_or(CommitError::Conflict)
    }
}
