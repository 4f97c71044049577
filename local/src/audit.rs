//! The audit, in SQLite. An entry is written with the first write of its act, in one transaction.

use async_trait::async_trait;
use pumice_core::Timestamp;
use pumice_core::audit::AuditEntry;
use pumice_core::ports::{AuditQuery, AuditStore, StoreError};
use rusqlite::{Connection, Row, params};

use crate::database::Database;

/// The key of an entry, when it expires in microseconds, and its record.
type Values = (String, Option<i64>, String);

fn values(entry: &AuditEntry) -> Result<Values, StoreError> {
    let record = serde_json::to_string(entry)
        .map_err(|error| StoreError::invalid(format!("an entry of the audit cannot be written: {error}")))?;
    Ok((entry.id.to_string(), entry.expires.map(|at| at.timestamp_micros()), record))
}

/// Reads an entry; `None`, with a line in the log, for one that cannot be read.
fn entry(row: &Row<'_>) -> Result<Option<AuditEntry>, rusqlite::Error> {
    let (id, record) = (row.get_ref(0)?.as_str()?, row.get_ref(1)?.as_str()?);
    let read = serde_json::from_str(record);
    Ok(read.inspect_err(|error| tracing::error!(%id, %error, "an entry of the audit cannot be read")).ok())
}

fn put(connection: &Connection, sql: &str, values: &Values) -> Result<(), rusqlite::Error> {
    let (id, expires, record) = values;
    connection.prepare_cached(sql)?.execute(params![id, expires, record]).map(drop)
}

#[async_trait]
impl AuditStore for Database {
    async fn begin(&self, entry: &AuditEntry) -> Result<(), StoreError> {
        let values = values(entry)?;
        // The end of an act that wrote something stays: an act that wrote nothing takes its beginning along with its end.
        let sql = "INSERT INTO audit (id, expires, record) VALUES (?, ?, ?) ON CONFLICT (id) DO NOTHING";
        self.run_ahead(move |connection| put(connection, sql, &values));
        Ok(())
    }

    async fn finish(&self, entry: &AuditEntry) -> Result<(), StoreError> {
        let values = values(entry)?;
        let sql = "INSERT OR REPLACE INTO audit (id, expires, record) VALUES (?, ?, ?)";
        self.run(move |connection| put(connection, sql, &values)).await
    }

    async fn entries(&self, query: &AuditQuery) -> Result<Vec<AuditEntry>, StoreError> {
        let (first, last, limit) = (query.first.to_string(), query.last.to_string(), query.limit);
        self.look(move |connection| {
            let sql = "SELECT id, record FROM audit WHERE id BETWEEN ? AND ? ORDER BY id DESC LIMIT ?";
            let mut statement = connection.prepare_cached(sql)?;
            let found = statement.query_map(params![first, last, limit.cast_signed()], entry)?;
            found.filter_map(Result::transpose).collect()
        })
        .await
    }

    async fn remove_expired_entries(&self, now: Timestamp) -> Result<(), StoreError> {
        self.run(move |connection| {
            let sql = "DELETE FROM audit WHERE expires < ?";
            connection.prepare_cached(sql)?.execute([now.timestamp_micros()]).map(drop)
        })
        .await
    }
}

#[cfg(test)]
mod tests {
    use chrono::TimeDelta;
    use pumice_core::audit::{ActOutcome, AuditId, Origin};
    use pumice_core::ports::Clock;
    use pumice_host::SystemClock;

    use super::*;
    use crate::database::Durability;

    #[tokio::test]
    async fn entry_is_kept_until_it_expires_and_left_out_if_unreadable() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("realm.db");
        let database = Database::open(&path, folder.path(), Durability::Normal).unwrap();
        let now = SystemClock.now();
        let entry = |days: i64| AuditEntry {
            id: AuditId::first_at(now - TimeDelta::days(days)),
            at: now - TimeDelta::days(days),
            who: "ada".to_owned(),
            from: Origin::Cli,
            host: None,
            act: "apply".to_owned(),
            what: Vec::new(),
            unnamed: 0,
            asked: serde_json::Value::Null,
            changes: Vec::new(),
            outcome: ActOutcome::Done,
            answer: serde_json::Value::Null,
            error: None,
            ended: None,
            expires: Some(now + TimeDelta::days(400 - days)),
        };
        for days in [0, 399, 401] {
            database.finish(&entry(days)).await.unwrap();
        }
        let all =
            AuditQuery { first: AuditId::first_at(now - TimeDelta::days(999)), last: entry(0).id, limit: 9 };
        database.remove_expired_entries(now).await.unwrap();
        assert_eq!(database.entries(&all).await.unwrap(), [entry(0), entry(399)]);
        let id = entry(0).id.to_string();
        database
            .run(move |connection| connection.execute("UPDATE audit SET record = '{' WHERE id = ?", [id]))
            .await
            .unwrap();
        assert_eq!(database.entries(&all).await.unwrap(), [entry(399)]);
    }
}
