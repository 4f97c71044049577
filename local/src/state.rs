//! State items, in SQLite.

use async_trait::async_trait;
use pumice_core::Timestamp;
use pumice_core::ids::StateId;
use pumice_core::ports::{StateItem, StateStore, StateType, StoreError};
use pumice_core::secret::remember_value;
use rusqlite::{Connection, OptionalExtension, Row, params};
use serde_json::Value;

use crate::database::Database;
use crate::secrets::Seal;

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
        r#type: match form.as_str() {
            "raw" => StateType::Raw,
            "secure" => StateType::Secure,
            _ => StateType::Json,
        },
        value: serde_json::from_str(&row.get::<_, String>(2)?).map_err(|error| broken(error.into()))?,
        publisher: row.get(3)?,
        timestamp: instant(row.get(4)?),
        expires: instant(row.get(5)?),
    })
}

pub(crate) const COLUMNS: &str = "state_id, type, value, publisher, timestamp, expires";

fn about(item: &StateItem) -> String {
    format!("state item {}", item.state_id)
}

impl Database {
    /// Encrypts the value of a secure item, and leaves others as they are.
    fn sealed(&self, item: StateItem) -> Result<StateItem, StoreError> {
        if item.r#type != StateType::Secure {
            return Ok(item);
        }
        remember_value(&item.value);
        let text = item.value.to_string();
        item.check_secure_size(&text)?;
        let sealed = Seal::making_key(self.folder())?.close(&about(&item), &text)?;
        Ok(StateItem { value: sealed.into(), ..item })
    }

    /// Has the values of all secure items masked from now on.
    ///
    /// # Errors
    /// [`StoreError`] when the store cannot be read, or an item not decrypted.
    pub async fn remember_secure(&self, now: Timestamp) -> Result<(), StoreError> {
        let sql = format!("SELECT {COLUMNS} FROM state WHERE type = 'secure' AND expires > ?");
        let items: Vec<StateItem> = self
            .read(move |connection| {
                connection.prepare(&sql)?.query_map([now.timestamp_micros()], item)?.collect()
            })
            .await?;
        items.into_iter().try_for_each(|item| self.unsealed(item).map(drop))
    }

    /// Decrypts the value of a secure item, which is masked from then on.
    fn unsealed(&self, item: StateItem) -> Result<StateItem, StoreError> {
        if item.r#type != StateType::Secure {
            return Ok(item);
        }
        let sealed = item.value.as_str().unwrap_or_default();
        let text = Seal::of(self.folder())?.open(&about(&item), sealed)?;
        let value = serde_json::from_str(text.reveal())
            .map_err(|_| StoreError::corrupt(format!("{}: its value is damaged", about(&item))))?;
        remember_value(&value);
        Ok(StateItem { value, ..item })
    }
}

fn write(connection: &Connection, item: &StateItem) -> Result<(), rusqlite::Error> {
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
}

impl Database {
    /// As [`Catalog::change_state`](pumice_core::ports::Catalog::change_state).
    pub(crate) async fn change_item(
        &self,
        before: &StateItem,
        after: Option<StateItem>,
    ) -> Result<bool, StoreError> {
        let after = after.map(|after| self.sealed(after)).transpose()?;
        let before = before.clone();
        self.run(move |connection| {
            let sql = format!("SELECT {COLUMNS} FROM state WHERE state_id = ?");
            let id = before.state_id.as_str();
            let there = connection.prepare_cached(&sql)?.query_row([id], item).optional()?;
            let is_unchanged = there.is_some_and(|there| match there.r#type {
                // It is sealed anew at each put, and has the time of its own.
                StateType::Secure => StateItem { value: before.value.clone(), ..there } == before,
                StateType::Json | StateType::Raw => there == before,
            });
            if !is_unchanged {
                return Ok(false);
            }
            match &after {
                Some(after) => write(connection, after)?,
                None => drop(connection.execute("DELETE FROM state WHERE state_id = ?", [id])?),
            }
            Ok(true)
        })
        .await
    }
}

#[async_trait]
impl StateStore for Database {
    async fn get(&self, ids: &[StateId], now: Timestamp) -> Result<Vec<Option<StateItem>>, StoreError> {
        let ids = ids.to_vec();
        let found: Vec<Option<StateItem>> = self
            .run(move |connection| {
                let sql = format!("SELECT {COLUMNS} FROM state WHERE state_id = ? AND expires > ?");
                let mut statement = connection.prepare_cached(&sql)?;
                ids.iter()
                    .map(|id| {
                        statement.query_row(params![id.as_str(), now.timestamp_micros()], item).optional()
                    })
                    .collect()
            })
            .await?;
        found.into_iter().map(|item| item.map(|item| self.unsealed(item)).transpose()).collect()
    }

    async fn put(&self, item: StateItem) -> Result<(), StoreError> {
        let item = self.sealed(item)?;
        self.run(move |connection| write(connection, &item)).await
    }
}
