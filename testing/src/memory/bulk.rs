//! Acts on many runs, in memory.

use std::collections::BTreeMap;

use async_trait::async_trait;
use pumice_core::bulk::{BulkAct, ReceiptPage};
use pumice_core::ports::{BulkStore, CommitError, StoreError};

use super::Memory;

/// Acts by id, and their receipts by page.
#[derive(Debug, Default)]
pub(super) struct BulkTable {
    acts: BTreeMap<String, BulkAct>,
    receipts: BTreeMap<(String, u64), ReceiptPage>,
}

#[async_trait]
impl BulkStore for Memory {
    async fn load_bulk(&self, id: &str) -> Result<Option<BulkAct>, StoreError> {
        Ok(self.tables().bulk.acts.get(id).cloned())
    }

    async fn bulk_acts(&self, limit: usize) -> Result<Vec<BulkAct>, StoreError> {
        Ok(self.tables().bulk.acts.values().rev().take(limit).cloned().collect())
    }

    async fn create_bulk(&self, act: &BulkAct) -> Result<(), CommitError> {
        let acts = &mut self.tables().bulk.acts;
        if acts.contains_key(&act.id) {
            return Err(CommitError::Conflict);
        }
        acts.insert(act.id.clone(), act.clone());
        Ok(())
    }

    async fn put_bulk(&self, act: &BulkAct, receipts: Option<&ReceiptPage>) -> Result<(), CommitError> {
        let mut tables = self.tables();
        match tables.bulk.acts.get_mut(&act.id) {
            Some(stored) if stored.rev + 1 == act.rev => *stored = act.clone(),
            _ => return Err(CommitError::Conflict),
        }
        if let Some(page) = receipts {
            tables.bulk.receipts.insert((act.id.clone(), page.number), page.clone());
        }
        Ok(())
    }

    async fn bulk_receipts(&self, id: &str, from: u64, pages: usize) -> Result<Vec<ReceiptPage>, StoreError> {
        let tables = self.tables();
        let of = tables.bulk.receipts.range((id.to_owned(), from)..=(id.to_owned(), u64::MAX));
        Ok(of.take(pages).map(|(_, page)| page.clone()).collect())
    }
}
