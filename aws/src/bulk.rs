//! Acts on many runs, in the table of runs: each an item of its own, all of them in one partition, as there are few; the
//! receipts of each in a partition of their own.

use async_trait::async_trait;
use aws_sdk_dynamodb::operation::put_item::PutItemError;
use aws_sdk_dynamodb::operation::transact_write_items::TransactWriteItemsError;
use aws_sdk_dynamodb::types::{CancellationReason, Put, TransactWriteItem};
use pumice_core::bulk::{BulkAct, ReceiptPage};
use pumice_core::ports::{BulkStore, CommitError, StoreError, StoreErrorKind};

use crate::attribute::{Item, text, whole};
use crate::failure::{store_error, write_error};
use crate::store::{Store, text_of};

/// The key of the partition, and what the keys in it begin with.
const PARTITION: &str = "bulk";
const PATH: &str = "bulk/";
/// Prefix of the keys of receipts, in the partition of their act.
const RECEIPTS: &str = "receipts/";

fn key(id: &str) -> Item {
    Item::from([("run_id".to_owned(), text(PARTITION)), ("path".to_owned(), text(format!("{PATH}{id}")))])
}

/// The partition of an act's receipts.
fn partition(id: &str) -> String {
    format!("{PARTITION}#{id}")
}

/// The key of a page in it: in the order of the pages.
fn page_path(number: u64) -> String {
    format!("{RECEIPTS}{number:012}")
}

fn written(error: &serde_json::Error) -> StoreError {
    StoreError::invalid(format!("an act on many runs cannot be written: {error}"))
}

/// Whether another's write cancelled a transaction.
fn is_of_others(reason: &CancellationReason) -> bool {
    matches!(reason.code(), Some("ConditionalCheckFailed" | "TransactionConflict"))
}

fn expiring(mut item: Item, act: &BulkAct) -> Item {
    if let Some(expires) = act.expires {
        item.insert("ttl".to_owned(), whole(expires.timestamp()));
    }
    item
}

fn item_of(act: &BulkAct) -> Result<Item, StoreError> {
    let mut item = key(&act.id);
    item.insert("rev".to_owned(), whole(act.rev));
    item.insert("record".to_owned(), text(serde_json::to_string(act).map_err(|error| written(&error))?));
    Ok(expiring(item, act))
}

/// Reads an item; `None`, with a line in the log, for one that cannot be read.
fn act_of(item: &Item) -> Option<BulkAct> {
    let id = text_of(item, "path")?.strip_prefix(PATH)?;
    let read = serde_json::from_str(text_of(item, "record")?);
    read.inspect_err(|error| tracing::error!(%id, %error, "an act on many runs cannot be read")).ok()
}

fn page_of(item: &Item) -> Result<ReceiptPage, StoreError> {
    let path = text_of(item, "path").unwrap_or_default();
    let number = path.strip_prefix(RECEIPTS).and_then(|number| number.parse().ok());
    let receipts = text_of(item, "record").and_then(|record| serde_json::from_str(record).ok());
    let unread =
        || StoreError::of(StoreErrorKind::Corrupt, format!("page {path} of receipts cannot be read"));
    number.zip(receipts).map(|(number, receipts)| ReceiptPage { number, receipts }).ok_or_else(unread)
}

impl Store {
    /// Writes a record that follows the stored one, and a page of receipts: both or neither, so that a process that was
    /// overtaken does not put its page over that of the one that went on.
    async fn write_with_receipts(&self, act: &BulkAct, page: &ReceiptPage) -> Result<(), CommitError> {
        let table = self.names.runs();
        let doing = format!("writing an act on many runs, with receipts, to table {table}");
        let receipts = serde_json::to_string(&page.receipts).map_err(|error| written(&error))?;
        let receipts = Item::from([
            ("run_id".to_owned(), text(partition(&act.id))),
            ("path".to_owned(), text(page_path(page.number))),
            ("record".to_owned(), text(receipts)),
        ]);
        let put = |item: Item| Put::builder().table_name(&table).set_item(Some(item));
        let record = put(item_of(act)?)
            .condition_expression("rev = :expected")
            .expression_attribute_values(":expected", whole(act.rev - 1));
        let mut request = self.client.transact_write_items();
        for part in [record, put(expiring(receipts, act))] {
            let part = part.build().map_err(|error| StoreError::invalid(format!("{doing}: {error}")))?;
            request = request.transact_items(TransactWriteItem::builder().put(part).build());
        }
        request.send().await.map(drop).map_err(|error| match error.as_service_error() {
            // A transaction that met another one is decided like one that came after it.
            Some(TransactWriteItemsError::TransactionCanceledException(cancelled))
                if cancelled.cancellation_reasons().iter().any(is_of_others) =>
            {
                CommitError::Conflict
            }
            _ => write_error(&doing, &error),
        })
    }

    /// Writes a record on the condition that the stored one has a revision; without one, that none is stored.
    async fn write_bulk(&self, act: &BulkAct, rev: Option<u64>) -> Result<(), CommitError> {
        let table = self.names.runs();
        let request = self.client.put_item().table_name(&table).set_item(Some(item_of(act)?));
        let request = match rev {
            None => request.condition_expression("attribute_not_exists(run_id)"),
            Some(rev) => request
                .condition_expression("rev = :expected")
                .expression_attribute_values(":expected", whole(rev)),
        };
        request.send().await.map(drop).map_err(|error| match error.as_service_error() {
            Some(PutItemError::ConditionalCheckFailedException(_)) => CommitError::Conflict,
            _ => write_error(&format!("writing an act on many runs to table {table}"), &error),
        })
    }
}

#[async_trait]
impl BulkStore for Store {
    async fn load_bulk(&self, id: &str) -> Result<Option<BulkAct>, StoreError> {
        let table = self.names.runs();
        let doing = format!("reading an act on many runs in table {table}");
        let found = self.get_all(&doing, vec![(table, key(id))]).await?;
        let unread =
            || StoreError::of(StoreErrorKind::Corrupt, format!("act {id} on many runs cannot be read"));
        found.first().map(|(_, item)| act_of(item).ok_or_else(unread)).transpose()
    }

    async fn bulk_acts(&self, limit: usize) -> Result<Vec<BulkAct>, StoreError> {
        let table = self.names.runs();
        let request = self
            .client
            .query()
            .table_name(&table)
            .consistent_read(true)
            .scan_index_forward(false)
            .key_condition_expression("run_id = :partition")
            .expression_attribute_values(":partition", text(PARTITION));
        let mut items = request.into_paginator().items().send();
        let mut found = Vec::new();
        while found.len() < limit
            && let Some(item) = items.next().await
        {
            let doing = format!("reading acts on many runs in table {table}");
            found.extend(act_of(&item.map_err(|error| store_error(&doing, &error))?));
        }
        Ok(found)
    }

    async fn create_bulk(&self, act: &BulkAct) -> Result<(), CommitError> {
        self.write_bulk(act, None).await
    }

    async fn put_bulk(&self, act: &BulkAct, receipts: Option<&ReceiptPage>) -> Result<(), CommitError> {
        match receipts {
            Some(page) => self.write_with_receipts(act, page).await,
            None => self.write_bulk(act, Some(act.rev - 1)).await,
        }
    }

    async fn bulk_receipts(&self, id: &str, from: u64, pages: usize) -> Result<Vec<ReceiptPage>, StoreError> {
        let table = self.names.runs();
        let request = self
            .client
            .query()
            .table_name(&table)
            .consistent_read(true)
            .key_condition_expression("run_id = :partition AND #path >= :from")
            .expression_attribute_names("#path", "path")
            .expression_attribute_values(":partition", text(partition(id)))
            .expression_attribute_values(":from", text(page_path(from)));
        let mut items = request.into_paginator().items().send();
        let mut found = Vec::new();
        while found.len() < pages
            && let Some(item) = items.next().await
        {
            let doing = format!("reading receipts in table {table}");
            found.push(page_of(&item.map_err(|error| store_error(&doing, &error))?)?);
        }
        Ok(found)
    }
}
