//! State items.

use async_trait::async_trait;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::StoreError;
use crate::Timestamp;
use crate::ids::StateId;

/// A state item's form (lava guide, State Item Types).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "lowercase")]
#[schemars(inline)]
pub enum StateType {
    /// Kept as JSON text.
    #[default]
    Json,
    /// Kept as it is.
    Raw,
    /// Encrypted.
    Secure,
}

/// Longest value of a secure item as JSON text, in bytes, as KMS encrypts (lava guide, State Item Types).
pub const MAX_SECURE_BYTES: usize = 4096;

/// A state item (lava guide, The State Table).
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct StateItem {
    /// Its id.
    #[serde(deserialize_with = "StateId::deserialize_stored")]
    pub state_id: StateId,
    /// Its form.
    pub r#type: StateType,
    /// Its value.
    pub value: Value,
    /// The person or program that put it there.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub publisher: Option<String>,
    /// When it was put.
    pub timestamp: Timestamp,
    /// When it expires.
    pub expires: Timestamp,
}

impl StateItem {
    /// Refuses a secure value whose JSON text is longer than KMS encrypts.
    ///
    /// # Errors
    /// [`StoreError`] of the kind [`StoreErrorKind::Invalid`](super::StoreErrorKind::Invalid).
    pub fn check_secure_size(&self, text: &str) -> Result<(), StoreError> {
        if self.r#type != StateType::Secure || text.len() <= MAX_SECURE_BYTES {
            return Ok(());
        }
        let (id, bytes) = (&self.state_id, text.len());
        Err(StoreError::invalid(format!(
            "state item {id}: its value has {bytes} bytes, and a secure one {MAX_SECURE_BYTES} at most"
        )))
    }
}

/// State items. An item past its time does not exist.
#[async_trait]
pub trait StateStore: Send + Sync {
    /// The items with these ids, in this order.
    async fn get(&self, ids: &[StateId], now: Timestamp) -> Result<Vec<Option<StateItem>>, StoreError>;
    /// Puts an item, whole, over one that may be there.
    async fn put(&self, item: StateItem) -> Result<(), StoreError>;
}
