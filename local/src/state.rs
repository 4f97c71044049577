//! State items, in SQLite.

use async_trait::async_trait;
use pumice_core::Timestamp;
use pumice_core::ids::StateId;
use pumice_core::ports::{StateItem, StateStore, StateType, StoreError, StoreErrorKind};
use rusqlite::{OptionalExtension, Row, params};
use serde_json::Value;

use crate::database::Database;

fn name(form: StateType) -> &'static str {
    match form {
        StateType::Json => "json",
        StateType::Raw => "raw",
        StateType::Secure => "secure",
    }
}

fn instant(micros: i64) -> Timestamp {
    chrono::DateTime::from_timestamp_micros(micros).unwrap_or_default()
}

pub(crate) fn item(row: &Row<'_>) -> Result<StateItem, rusqlite::Error> {
    let broken = |error: Box<dyn std::error::Error + Send + Sync>| {
        rusqlite::Error::FromSqlConversionFailure(0, rusqlite::types::Type::Text, error)
    };
    let form: String = row.get(1)?;
    Ok(StateItem {
        state_id: StateId::stored(row.get::<_, String>(0)?).map_err(|error| broken(error.into()))?,
        r#type: if form == "raw" { StateType::Raw } else { StateType::Json },
        value: serde_json::from_str(&row.get::<_, String>(2)?).map_err(|error| broken(error.into()))?,
        publisher: row.get(3)?,
        timestamp: instant(row.get(4)?),
        expires: instant(row.get(5)?),
    })
}

pub(crate) const COLUMNS: &str = "state_id, type, value, publisher, timestamp, expires";

#[async_trait]
impl StateStore for Database {
    async fn get(&self, ids: &[StateId], now: Timestamp) -> Result<Vec<Option<StateItem>>, StoreError> {
        let ids = ids.to_vec();
        self.run(move |connection| {
            let sql = format!("SELECT {COLUMNS} FROM state WHERE state_id = ? AND expires > ?");
            let mut statement = connection.prepare_cached(&sql)?;
            ids.iter()
                .map(|id| statement.query_row(params![id.as_str(), now.timestamp_micros()], item).optional())
                .collect()
        })
        .await
    }

    async fn put(&self, item: StateItem) -> Result<(), StoreError> {
        if item.r#type == StateType::Secure {
            return Err(StoreError::of(
                StoreErrorKind::Invalid,
                "secure state items need KMS; an embedded realm has none: use json or raw",
            ));
        }
        self.run(move |connection| {
            connection
                .prepare_cached("INSERT OR REPLACE INTO state VALUES (?, ?, ?, ?, ?, ?)")?
                .execute(params![
                    item.state_id.as_str(),
                    name(item.r#type),
                    Value::to_string(&item.value),
                    item.publisher,
                    item.timestamp.timestamp_micros(),
                    item.expires.timestamp_micros(),
                ])
                .map(drop)
        })
        .await
    }
}
