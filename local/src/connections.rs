//! Connections, in SQLite.

use async_trait::async_trait;
use pumice_core::connection::{ConnectionSpec, ConnectionStore, ConnectionUpsert};
use pumice_core::ids::ConnId;
use pumice_core::ports::{Doc, JobChange, StoreError};
use rusqlite::{Connection, OptionalExtension, params};

use crate::database::Database;
use crate::jobs::parse;
use crate::stored::broken;

/// The text of a connection's document.
pub(crate) fn stored_connection(
    connection: &Connection,
    id: &ConnId,
) -> Result<Option<String>, rusqlite::Error> {
    let mut statement = connection.prepare_cached("SELECT spec FROM connections WHERE conn_id = ?")?;
    statement.query_row([id.as_str()], |row| row.get(0)).optional()
}

pub(crate) fn put_connection(
    connection: &Connection,
    spec: ConnectionSpec,
    dry_run: bool,
) -> Result<ConnectionUpsert, rusqlite::Error> {
    let conn_id = spec.conn_id;
    let before = stored_connection(connection, &conn_id)?.map(|text| parse(&text));
    let change = JobChange::between(before.as_ref(), &spec.document);
    if !dry_run && change != JobChange::Unchanged {
        let text = serde_json::to_string(&spec.document).map_err(broken)?;
        connection
            .execute("INSERT OR REPLACE INTO connections VALUES (?, ?)", params![conn_id.as_str(), text])?;
    }
    Ok(ConnectionUpsert { conn_id, change, before })
}

pub(crate) fn delete_connection(connection: &Connection, id: &ConnId) -> Result<bool, rusqlite::Error> {
    let deleted = connection.execute("DELETE FROM connections WHERE conn_id = ?", [id.as_str()])?;
    Ok(deleted > 0)
}

#[async_trait]
impl ConnectionStore for Database {
    async fn connection(&self, id: &ConnId) -> Result<Option<Doc>, StoreError> {
        let id = id.clone();
        let text = self.read(move |connection| stored_connection(connection, &id)).await?;
        Ok(text.map(|text| parse(&text)))
    }

    async fn all_connections(&self) -> Result<Vec<(ConnId, Doc)>, StoreError> {
        self.read(|connection| {
            let mut statement =
                connection.prepare_cached("SELECT conn_id, spec FROM connections ORDER BY conn_id")?;
            let rows =
                statement.query_map([], |row| Ok((row.get::<_, String>(0)?, row.get::<_, String>(1)?)))?;
            let rows = rows.collect::<Result<Vec<_>, _>>()?;
            Ok(rows
                .into_iter()
                .filter_map(|(id, spec)| Some((ConnId::stored(id).ok()?, parse(&spec))))
                .collect())
        })
        .await
    }

    async fn put_connections(
        &self,
        connections: Vec<ConnectionSpec>,
        dry_run: bool,
    ) -> Result<Vec<ConnectionUpsert>, StoreError> {
        let put_all = move |connection: &Connection| {
            connections.into_iter().map(|spec| put_connection(connection, spec, dry_run)).collect()
        };
        if dry_run { self.read(put_all).await } else { self.run(put_all).await }
    }

    async fn delete_connection(&self, id: &ConnId) -> Result<bool, StoreError> {
        let id = id.clone();
        self.run(move |connection| delete_connection(connection, &id)).await
    }
}
