//! State items, as lava keeps them (lava guide, The State Table).

use std::collections::HashMap;

use async_trait::async_trait;
use pumice_core::Timestamp;
use pumice_core::document::parse_json;
use pumice_core::ids::StateId;
use pumice_core::message::iso;
use pumice_core::ports::{StateItem, StateStore, StateType, StoreError, StoreErrorKind};
use pumice_core::request::parse_instant;
use serde_json::Value;

use crate::attribute::{Item, attribute, check_numbers, json, text, whole};
use crate::failure::store_error;
use crate::store::{Store, text_of};

/// A state item as it is stored. Its time to live counts whole seconds. lava refuses items with
/// further fields.
pub(crate) fn state_item(state: StateItem) -> Item {
    let (form, value) = match state.r#type {
        StateType::Raw => ("raw", attribute(state.value)),
        _ => ("json", text(state.value.to_string())),
    };
    let mut item = Item::from([
        ("state_id".to_owned(), text(state.state_id.as_str())),
        ("type".to_owned(), text(form)),
        ("value".to_owned(), value),
        ("timestamp".to_owned(), text(iso(state.timestamp))),
        ("ttl".to_owned(), whole(state.expires.timestamp())),
    ]);
    item.extend(state.publisher.map(|publisher| ("publisher".to_owned(), text(publisher))));
    item
}

/// Refuses an item that would have to be encrypted.
///
/// # Errors
/// [`StoreError`] of such an item.
pub(crate) fn refuse_secure(item: &StateItem, what: &str) -> Result<(), StoreError> {
    match item.r#type {
        StateType::Secure => Err(StoreError::of(
            StoreErrorKind::Invalid,
            format!("{what}: secure items need KMS, which Pumice does not use yet"),
        )),
        StateType::Json | StateType::Raw => Ok(()),
    }
}

/// Reads a stored state item; `None` when it has expired.
pub(crate) fn read_state(mut item: Item, now: Timestamp) -> Result<Option<StateItem>, StoreError> {
    let id = text_of(&item, "state_id").unwrap_or_default().to_owned();
    let bad = |what: String| StoreError::of(StoreErrorKind::Corrupt, format!("state item {id}: {what}"));
    let ttl = item.remove("ttl").map(json).and_then(|ttl| ttl.as_i64());
    // An item without a time to live stays.
    let expires = ttl.and_then(|ttl| chrono::DateTime::from_timestamp(ttl, 0)).unwrap_or(Timestamp::MAX_UTC);
    if expires <= now {
        return Ok(None);
    }
    check_numbers(&item).map_err(bad)?;
    let value = item.remove("value").map(json).unwrap_or_default();
    let form = text_of(&item, "type").unwrap_or("json").to_owned();
    let (r#type, value) = match (form.as_str(), value) {
        ("raw", value) => (StateType::Raw, value),
        ("json", Value::String(text)) => {
            let value = parse_json(&text).map_err(|error| bad(format!("its value is {error}")))?;
            (StateType::Json, value)
        }
        ("secure", _) => {
            return Err(bad("it is encrypted with KMS, which Pumice does not read yet".to_owned()));
        }
        (other, _) => return Err(bad(format!("its type is {other:?}; it must be json or raw"))),
    };
    let timestamp = text_of(&item, "timestamp")
        .and_then(|text| parse_instant(text).ok())
        .map_or(Timestamp::UNIX_EPOCH, |instant| instant.in_zone(chrono_tz::UTC));
    let publisher = text_of(&item, "publisher").map(str::to_owned);
    let state_id = StateId::stored(&id).map_err(|error| bad(error.to_string()))?;
    Ok(Some(StateItem { state_id, r#type, value, publisher, timestamp, expires }))
}

#[async_trait]
impl StateStore for Store {
    async fn get(&self, ids: &[StateId], now: Timestamp) -> Result<Vec<Option<StateItem>>, StoreError> {
        let table = self.names.state();
        let mut keys: Vec<(String, Item)> = Vec::new();
        for id in ids {
            let key = Item::from([("state_id".to_owned(), text(id.as_str()))]);
            if keys.iter().all(|(_, known)| *known != key) {
                keys.push((table.clone(), key));
            }
        }
        let found = self.get_all(&format!("reading table {table}"), keys).await?;
        let mut by_id: HashMap<String, StateItem> = HashMap::new();
        for (_, item) in found {
            if let Some(state) = read_state(item, now)? {
                by_id.insert(state.state_id.as_str().to_owned(), state);
            }
        }
        Ok(ids.iter().map(|id| by_id.get(id.as_str()).cloned()).collect())
    }

    async fn put(&self, item: StateItem) -> Result<(), StoreError> {
        let table = self.names.state();
        let what = format!("writing state item {} to table {table}", item.state_id);
        refuse_secure(&item, &what)?;
        let request = self.client.put_item().table_name(&table).set_item(Some(state_item(item)));
        request.send().await.map(drop).map_err(|error| store_error(&what, &error))
    }
}
