//! Where backfills are kept.

use async_trait::async_trait;

use super::{CommitError, StoreError};
use crate::Timestamp;
use crate::clock::Backfill;

/// Records of backfills. One whose time to expire has passed may be gone, or not.
#[async_trait]
pub trait BackfillStore: Send + Sync {
    /// The record.
    async fn load_backfill(&self, id: &str) -> Result<Option<Backfill>, StoreError>;
    /// All of them, the newest first.
    async fn all_backfills(&self) -> Result<Vec<Backfill>, StoreError>;
    /// Those that are due by a time, the longest due first.
    async fn due_backfills(&self, until: Timestamp, limit: usize) -> Result<Vec<Backfill>, StoreError>;
    /// Writes a record that is not there yet; [`CommitError::Conflict`] when one has its id.
    async fn create_backfill(&self, backfill: &Backfill) -> Result<(), CommitError>;
    /// Writes a record on the condition that its `rev` is one more than the stored one.
    async fn put_backfill(&self, backfill: &Backfill) -> Result<(), CommitError>;
}
