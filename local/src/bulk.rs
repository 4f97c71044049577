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

/// How many pages of receipts one transaction removes: writers wait for it, and a page has up to 500 receipts.
const MAX_REMOVED: usize = 20;

/// Removes some of the receipts whose records have expired. Gives whether there may be more.
fn remove_receipts(connection: &Connection, now: Timestamp) -> Result<bool, rusqlite::Error> {
    let sql = "DELETE FROM bulk_receipts WHERE rowid IN (
                   SELECT bulk_receipts.rowid FROM bulk_acts JOIN bulk_receipts USING (id)
                   WHERE bulk_acts.expires < ? LIMIT ?)";
    let removed = connection
        .prepare_cached(sql)?
        .execute(params![now.timestamp_micros(), MAX_REMOVED.cast_signed()])?;
    Ok(removed == MAX_REMOVED)
}

/// Removes records that have expired and have no receipts any more.
fn remove_acts(connection: &Connection, now: Timestamp) -> Result<(), rusqlite::Error> {
    let sql = "DELETE FROM bulk_acts WHERE expires < ?
               AND NOT EXISTS (SELECT 1 FROM bulk_receipts WHERE bulk_receipts.id = bulk_acts.id)";
    connection.prepare_cached(sql)?.execute([now.timestamp_micros()]).map(drop)
}

impl Database {
    /// Removes records of acts that have expired, after their receipts: what is interrupted goes on the next time.
    ///
    /// # Errors
    /// [`StoreError`] when the store cannot be reached.
    pub(crate) async fn remove_expired_acts(&self, now: Timestamp) -> Result<(), StoreError> {
        while self.run(move |connection| remove_receipts(connection, now)).await? {}
        self.run(move |connection| remove_acts(connection, now)).await
    }
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

#[cfg(test)]
mod tests {
    use super::*;

    fn count(connection: &Connection, id: &str) -> [usize; 2] {
        ["bulk_acts", "bulk_receipts"].map(|table| {
            let sql = format!("SELECT count(*) FROM {table} WHERE id = ?");
            connection.query_row(&sql, [id], |row| row.get::<_, u32>(0)).unwrap() as usize
        })
    }

    #[test]
    fn expired_receipts_leave_in_batches_before_their_act() {
        let mut connection = Connection::open_in_memory().unwrap();
        crate::schema::migrate(&mut connection).unwrap();
        let now = Timestamp::from_timestamp_micros(1_000).unwrap();
        let pages = 2 * MAX_REMOVED + 5;
        for (id, expires) in [("old", Some(999)), ("new", Some(1_000)), ("kept", None)] {
            let sql = "INSERT INTO bulk_acts VALUES (?, 1, ?, '{}')";
            connection.execute(sql, params![id, expires]).unwrap();
            for page in 0..pages {
                let sql = "INSERT INTO bulk_receipts VALUES (?, ?, '[]')";
                connection.execute(sql, params![id, page.cast_signed()]).unwrap();
            }
        }
        for left in [MAX_REMOVED + 5, 5, 0] {
            let is_more = remove_receipts(&connection, now).unwrap();
            assert_eq!((is_more, count(&connection, "old")), (left > 0, [1, left]));
            // A process that was killed here finds the rest by the record.
            remove_acts(&connection, now).unwrap();
            assert_eq!(count(&connection, "old"), [usize::from(left > 0), left]);
        }
        for id in ["new", "kept"] {
            assert_eq!(count(&connection, id), [1, pages], "{id}");
        }
    }
}
