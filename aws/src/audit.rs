//! The audit, in the table of runs: each entry an item of its own, in a partition for each year.
//!
//! DynamoDB writes an act's items with requests of their own, so that an entry cannot come in one transaction with all of
//! them: it is written before the first of them, and again once the act is over.

use async_trait::async_trait;
use chrono::Datelike;
use pumice_core::Timestamp;
use pumice_core::audit::{AuditEntry, AuditId};
use pumice_core::ports::{AuditQuery, AuditStore, StoreError};

use crate::attribute::{Item, text, whole};
use crate::failure::store_error;
use crate::store::{Store, text_of};

/// Prefixes of the partition keys, and of the keys within a partition.
const PARTITION: &str = "audit#";
const PATH: &str = "audit/";
/// Most years that are looked through.
const MAX_YEARS: i32 = 12;

fn year(id: AuditId) -> Option<i32> {
    id.at().map(|at| at.year())
}

fn item_of(entry: &AuditEntry) -> Result<Item, StoreError> {
    let record = serde_json::to_string(entry)
        .map_err(|error| StoreError::invalid(format!("an entry of the audit cannot be written: {error}")))?;
    let mut item = Item::from([
        ("run_id".to_owned(), text(format!("{PARTITION}{}", entry.at.year()))),
        ("path".to_owned(), text(format!("{PATH}{}", entry.id))),
        ("record".to_owned(), text(record)),
    ]);
    if let Some(expires) = entry.expires {
        item.insert("ttl".to_owned(), whole(expires.timestamp()));
    }
    Ok(item)
}

/// Reads an item; `None`, with a line in the log, for one that cannot be read.
fn entry_of(item: &Item) -> Option<AuditEntry> {
    let id = text_of(item, "path")?.strip_prefix(PATH)?;
    let read = serde_json::from_str(text_of(item, "record")?);
    read.inspect_err(|error| tracing::error!(%id, %error, "an entry of the audit cannot be read")).ok()
}

impl Store {
    async fn write_entry(&self, entry: &AuditEntry) -> Result<(), StoreError> {
        let table = self.names.runs();
        let put = self.client.put_item().table_name(&table).set_item(Some(item_of(entry)?)).send().await;
        put.map(drop)
            .map_err(|error| store_error(&format!("writing an entry of the audit to table {table}"), &error))
    }

    /// Entries of a year, the newest first.
    async fn entries_of_year(&self, year: i32, query: &AuditQuery) -> Result<Vec<AuditEntry>, StoreError> {
        let table = self.names.runs();
        let request = self
            .client
            .query()
            .table_name(&table)
            .consistent_read(true)
            .scan_index_forward(false)
            .key_condition_expression("run_id = :partition AND #path BETWEEN :first AND :last")
            .expression_attribute_names("#path", "path")
            .expression_attribute_values(":partition", text(format!("{PARTITION}{year}")))
            .expression_attribute_values(":first", text(format!("{PATH}{}", query.first)))
            .expression_attribute_values(":last", text(format!("{PATH}{}", query.last)))
            .limit(i32::try_from(query.limit).unwrap_or(i32::MAX));
        let mut pages = request.into_paginator().items().send();
        let mut found = Vec::new();
        while found.len() < query.limit
            && let Some(item) = pages.next().await
        {
            let item =
                item.map_err(|error| store_error(&format!("reading the audit in table {table}"), &error))?;
            found.extend(entry_of(&item));
        }
        Ok(found)
    }
}

#[async_trait]
impl AuditStore for Store {
    async fn begin(&self, entry: &AuditEntry) -> Result<(), StoreError> {
        self.write_entry(entry).await
    }

    async fn finish(&self, entry: &AuditEntry) -> Result<(), StoreError> {
        self.write_entry(entry).await
    }

    async fn entries(&self, query: &AuditQuery) -> Result<Vec<AuditEntry>, StoreError> {
        let (Some(first), Some(last)) = (year(query.first), year(query.last)) else { return Ok(Vec::new()) };
        let mut found = Vec::new();
        for year in (first.max(last - MAX_YEARS)..=last).rev() {
            let rest = AuditQuery { limit: query.limit - found.len(), ..query.clone() };
            found.extend(self.entries_of_year(year, &rest).await?);
            if found.len() >= query.limit {
                break;
            }
        }
        Ok(found)
    }

    async fn remove_expired_entries(&self, _: Timestamp) -> Result<(), StoreError> {
        // The table's time to live does.
        Ok(())
    }
}
