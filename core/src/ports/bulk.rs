//! Where records of acts on many runs are kept.

use async_trait::async_trait;

use super::{CommitError, StoreError};
use crate::bulk::{BulkAct, ReceiptPage};

/// Records of acts on many runs, and their receipts. Those whose time to expire has passed may be gone, or not.
#[async_trait]
pub trait BulkStore: Send + Sync {
    /// The record.
    async fn load_bulk(&self, id: &str) -> Result<Option<BulkAct>, StoreError>;
    /// At most so many of them, the newest first. One that cannot be read is left out, with a line in the log.
    async fn bulk_acts(&self, limit: usize) -> Result<Vec<BulkAct>, StoreError>;
    /// Writes a record that is not there yet; [`CommitError::Conflict`] when one has its id.
    async fn create_bulk(&self, act: &BulkAct) -> Result<(), CommitError>;
    /// Writes a record on the condition that its `rev` is one more than the stored one, and a page of receipts in the same
    /// transaction. A store that has none for both writes the page first: the record never counts receipts that are missing.
    async fn put_bulk(&self, act: &BulkAct, receipts: Option<&ReceiptPage>) -> Result<(), CommitError>;
    /// At most so many pages of receipts of an act, from a number on, in their order.
    async fn bulk_receipts(&self, id: &str, from: u64, pages: usize) -> Result<Vec<ReceiptPage>, StoreError>;
}
