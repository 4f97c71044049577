//! Where triggers are kept.

use std::sync::Arc;

use async_trait::async_trait;

use super::{Doc, JobChange, StoreError};
use crate::ids::TriggerId;
use crate::trigger::TriggerSpec;

/// One trigger that was put.
#[derive(Clone, Debug, PartialEq)]
pub struct TriggerUpsert {
    /// The trigger.
    pub trigger_id: TriggerId,
    /// The change.
    pub change: JobChange,
    /// The document that was there before.
    pub before: Option<Doc>,
}

/// The triggers of a realm, as they are stored: any tool may have put them there.
#[async_trait]
pub trait TriggerStore: Send + Sync {
    /// The triggers of a bucket, in any order. A store may give those of up to a minute ago.
    ///
    /// # Errors
    /// [`StoreError`] when the store cannot be reached.
    async fn of_bucket(&self, bucket: &str) -> Result<Vec<Arc<Doc>>, StoreError>;
    /// Every trigger, by id.
    ///
    /// # Errors
    /// [`StoreError`] when the store cannot be reached.
    async fn all_triggers(&self) -> Result<Vec<Doc>, StoreError>;
    /// Puts triggers; returns the changes. Nothing is written on a `dry_run`.
    ///
    /// # Errors
    /// [`StoreError`] when the store cannot be reached.
    async fn put_triggers(
        &self,
        triggers: Vec<TriggerSpec>,
        dry_run: bool,
    ) -> Result<Vec<TriggerUpsert>, StoreError>;
    /// Removes triggers; returns which were there.
    ///
    /// # Errors
    /// [`StoreError`] when the store cannot be reached.
    async fn delete_triggers(&self, ids: Vec<TriggerId>) -> Result<Vec<bool>, StoreError>;
}
