//! Acts on many runs, in SQLite: a row for each, and one for each page of its receipts.

use async_trait::async_trait;
use pumice_core::Timestamp;
use pumice_core::bulk::{BulkAct, Receipt, ReceiptPage};
use pumice_core::ports::{BulkStore, CommitError, StoreError, StoreErrorKind};
use rusqlite::{Connection, OptionalExtension, Row, params};

use crate::database::Database;
use crate::stored::broken;

/// Reads a record; `None`, with a line in the log, for one that cannot be read.
fn act(row: &Row<'_>) -> Result<Option<BulkAct>, rusqlite::Error> {
    let (id, record) = (row.get_ref(0)?.as_str()?, row.get_ref(1)?.as_str()?);
    let read = serde_json::from_str(record);
    Ok(read.inspect_err(|error| tracing::error!(%id, %error, "an act on many runs cannot be read")).ok())
}

/// When a record expires, in microseconds, and the record.
fn values(act: &BulkAct) -> Result<(Option<i64>, String), rusqlite::Error> {
    Ok((act.expires.map(|at| at.timestamp_micros()), serde_json::to_string(act).map_err(broken)?))
}

fn page(row: &Row<'_>) -> Result<ReceiptPage, rusqlite::Error> {
    let number: i64 = row.get(0)?;
    let receipts: Vec<Receipt> = serde_json::from_str(row.get_ref(1)?.as_str()?).map_err(broken)?;
    Ok(ReceiptPage { number: number.cast_unsigned(), receipts })
}

/// Removes records that have expired, with their receipts.
pub(crate) fn remove_expired(connection: &Connection, now: Timestamp) -> Result<(), rusqlite::Error> {
    let at = [now.timestamp_micros()];
    let sql = "DELETE FROM bulk_receipts WHERE id IN (SELECT id FROM bulk_acts WHERE expires < ?)";
    connection.prepare_cached(sql)?.execute(at)?;
    connection.prepare_cached("DELETE FROM bulk_acts WHERE expires < ?")?.execute(at).map(drop)
}

#[async_trait]
impl BulkStore for Database {
    async fn load_bulk(&self, id: &str) -> Result<Option<BulkAct>, StoreError> {
        let id = id.to_owned();
        let found = self.read(move |connection| {
            let sql = "SELECT id, record FROM bulk_acts WHERE id = ?";
            let found = connection.prepare_cached(sql)?.query_row([&id], act).optional()?;
            Ok(found.map(|found| found.ok_or(id)))
        });
        let unread =
            |id| StoreError::of(StoreErrorKind::Corrupt, format!("act {id} on many runs cannot be read"));
        found.await?.transpose().map_err(unread)
    }

    async fn bulk_acts(&self, limit: usize) -> Result<Vec<BulkAct>, StoreError> {
        self.look(move |connection| {
            let sql = "SELECT id, record FROM bulk_acts ORDER BY id DESC LIMIT ?";
            let mut statement = connection.prepare_cached(sql)?;
            let found = statement.query_map([limit.cast_signed()], act)?;
            found.filter_map(Result::transpose).collect()
        })
        .await
    }

    async fn create_bulk(&self, act: &BulkAct) -> Result<(), CommitError> {
        let act = act.clone();
        let made = self.run(move |connection| {
            let (expires, record) = values(&act)?;
            let sql = "INSERT INTO bulk_acts (id, rev, expires, record) VALUES (?, ?, ?, ?)
                       ON CONFLICT (id) DO NOTHING";
            let values = params![act.id, act.rev.cast_signed(), expires, record];
            Ok(connection.prepare_cached(sql)?.execute(values)? > 0)
        });
        made.await?.then_some(()).ok_or(CommitError::Conflict)
    }

    async fn put_bulk(&self, act: &BulkAct, receipts: Option<&ReceiptPage>) -> Result<(), CommitError> {
        let (act, receipts) = (act.clone(), receipts.cloned());
        let written = self.run(move |connection| {
            let (expires, record) = values(&act)?;
            let sql = "UPDATE bulk_acts SET rev = ?, expires = ?, record = ? WHERE id = ? AND rev = ?";
            let (rev, before) = (act.rev.cast_signed(), (act.rev - 1).cast_signed());
            let values = params![rev, expires, record, act.id, before];
            let is_written = connection.prepare_cached(sql)?.execute(values)? > 0;
            if let Some(page) = receipts.filter(|_| is_written) {
                let text = serde_json::to_string(&page.receipts).map_err(broken)?;
                let sql = "INSERT OR REPLACE INTO bulk_receipts (id, page, receipts) VALUES (?, ?, ?)";
                let values = params![act.id, page.number.cast_signed(), text];
                connection.prepare_cached(sql)?.execute(values)?;
            }
            Ok(is_written)
        });
        written.await?.then_some(()).ok_or(CommitError::Conflict)
    }

    async fn bulk_receipts(&self, id: &str, from: u64, pages: usize) -> Result<Vec<ReceiptPage>, StoreError> {
        let id = id.to_owned();
        self.look(move |connection| {
            let sql =
                "SELECT page, receipts FROM bulk_receipts WHERE id = ? AND page >= ? ORDER BY page LIMIT ?";
            let mut statement = connection.prepare_cached(sql)?;
            let found = statement.query_map(params![id, from.cast_signed(), pages.cast_signed()], page)?;
            found.collect()
        })
        .await
    }
}
