//! Where the audit is kept.

use async_trait::async_trait;

use super::StoreError;
use crate::Timestamp;
use crate::audit::{AuditEntry, AuditId};

/// Which entries a page has.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AuditQuery {
    /// The first id that is asked for.
    pub first: AuditId,
    /// The last id that is asked for.
    pub last: AuditId,
    /// At most so many.
    pub limit: usize,
}

impl AuditQuery {
    /// The newest entries of all time.
    #[must_use]
    pub fn newest(limit: usize) -> Self {
        Self { first: AuditId(uuid::Uuid::nil()), last: AuditId(uuid::Uuid::max()), limit }
    }
}

/// Entries of the audit.
#[async_trait]
pub trait AuditStore: Send + Sync {
    /// Writes an entry before the act that it is about. A store with transactions may leave it to the next one in which this
    /// process writes, so that the entry comes with the act's first write or before it; any other writes it at once.
    async fn begin(&self, entry: &AuditEntry) -> Result<(), StoreError>;
    /// Writes an entry once its act is over, in place of what [`AuditStore::begin`] wrote.
    async fn finish(&self, entry: &AuditEntry) -> Result<(), StoreError>;
    /// Entries, the newest first. One that cannot be read is left out, with a line in the log.
    async fn entries(&self, query: &AuditQuery) -> Result<Vec<AuditEntry>, StoreError>;
    /// Removes entries that have expired, where the store does not do so by itself.
    async fn remove_expired_entries(&self, now: Timestamp) -> Result<(), StoreError>;
}
