//! The audit, in memory.

use std::collections::BTreeMap;

use async_trait::async_trait;
use pumice_core::Timestamp;
use pumice_core::audit::{AuditEntry, AuditId};
use pumice_core::ports::{AuditQuery, AuditStore, StoreError};

use super::Memory;

/// Entries by id.
pub(super) type AuditTable = BTreeMap<AuditId, AuditEntry>;

#[async_trait]
impl AuditStore for Memory {
    async fn begin(&self, entry: &AuditEntry) -> Result<(), StoreError> {
        self.tables().audit.insert(entry.id, entry.clone());
        Ok(())
    }

    async fn finish(&self, entry: &AuditEntry) -> Result<(), StoreError> {
        self.tables().audit.insert(entry.id, entry.clone());
        Ok(())
    }

    async fn entries(&self, query: &AuditQuery) -> Result<Vec<AuditEntry>, StoreError> {
        let tables = self.tables();
        let found = tables.audit.range(query.first..=query.last).rev();
        Ok(found.take(query.limit).map(|(_, entry)| entry.clone()).collect())
    }

    async fn remove_expired_entries(&self, now: Timestamp) -> Result<(), StoreError> {
        self.tables().audit.retain(|_, entry| entry.expires.is_none_or(|expires| expires >= now));
        Ok(())
    }
}
