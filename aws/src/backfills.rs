//! Backfills, in the table of runs: each an item of its own, all of them in one partition, as there are few. The index
//! on due times finds those that are due.

use async_trait::async_trait;
use aws_sdk_dynamodb::operation::put_item::PutItemError;
use aws_sdk_dynamodb::types::AttributeValue;
use pumice_core::Timestamp;
use pumice_core::clock::Backfill;
use pumice_core::ports::{BackfillStore, CommitError, StoreError, StoreErrorKind};

use crate::attribute::{Item, text, whole};
use crate::failure::{store_error, write_error};
use crate::runs::{DUE_AT, DUE_SHARD};
use crate::store::{Store, text_of};

/// The key of the partition, and what the keys in it begin with.
const PARTITION: &str = "backfills";
const PATH: &str = "backfill/";

fn key(id: &str) -> Item {
    Item::from([("run_id".to_owned(), text(PARTITION)), ("path".to_owned(), text(format!("{PATH}{id}")))])
}

fn item_of(backfill: &Backfill) -> Result<Item, StoreError> {
    let record = serde_json::to_string(backfill)
        .map_err(|error| StoreError::invalid(format!("a backfill cannot be written: {error}")))?;
    let mut item = key(&backfill.id);
    item.insert("rev".to_owned(), whole(backfill.rev));
    item.insert("record".to_owned(), text(record));
    if let Some(due) = backfill.due_at {
        item.insert(DUE_SHARD.to_owned(), text(PARTITION));
        item.insert(DUE_AT.to_owned(), whole(due.timestamp_micros()));
    }
    if let Some(expires) = backfill.expires {
        item.insert("ttl".to_owned(), whole(expires.timestamp()));
    }
    Ok(item)
}

/// Reads an item; `None`, with a line in the log, for one that cannot be read: it must not stop the others.
fn backfill_of(item: &Item) -> Option<Backfill> {
    let id = text_of(item, "path")?.strip_prefix(PATH)?;
    let read = serde_json::from_str(text_of(item, "record")?);
    read.inspect_err(|error| tracing::error!(%id, %error, "a backfill cannot be read")).ok()
}

impl Store {
    /// The records with these ids, in no order.
    async fn backfills(&self, ids: &[String]) -> Result<Vec<Item>, StoreError> {
        let table = self.names.runs();
        let wanted = ids.iter().map(|id| (table.clone(), key(id))).collect();
        let items = self.get_all(&format!("reading backfills in table {table}"), wanted).await?;
        Ok(items.into_iter().map(|(_, item)| item).collect())
    }

    /// Writes a record on a condition, with the value that it names, if it names one.
    async fn write_backfill(
        &self,
        backfill: &Backfill,
        condition: &str,
        expected: Option<AttributeValue>,
    ) -> Result<(), CommitError> {
        let table = self.names.runs();
        let request = self.client.put_item().table_name(&table).set_item(Some(item_of(backfill)?));
        let request = request.condition_expression(condition);
        let request = match expected {
            Some(expected) => request.expression_attribute_values(":expected", expected),
            None => request,
        };
        request.send().await.map(drop).map_err(|error| match error.as_service_error() {
            Some(PutItemError::ConditionalCheckFailedException(_)) => CommitError::Conflict,
            _ => write_error(&format!("writing a backfill to table {table}"), &error),
        })
    }
}

#[async_trait]
impl BackfillStore for Store {
    async fn load_backfill(&self, id: &str) -> Result<Option<Backfill>, StoreError> {
        let found = self.backfills(&[id.to_owned()]).await?;
        // An unreadable backfill under this id must not make room for a second one.
        let read = |item| {
            backfill_of(item).ok_or_else(|| {
                StoreError::of(StoreErrorKind::Corrupt, format!("backfill {id} cannot be read"))
            })
        };
        found.first().map(read).transpose()
    }

    async fn all_backfills(&self) -> Result<Vec<Backfill>, StoreError> {
        let table = self.names.runs();
        let request = self.client.query().table_name(&table).consistent_read(true);
        let request = request
            .key_condition_expression("run_id = :partition")
            .expression_attribute_values(":partition", text(PARTITION));
        let items: Result<Vec<Item>, _> = request.into_paginator().items().send().collect().await;
        let items =
            items.map_err(|error| store_error(&format!("reading backfills in table {table}"), &error))?;
        let mut all: Vec<Backfill> = items.iter().filter_map(backfill_of).collect();
        all.sort_by(|one, other| (other.begun, &one.id).cmp(&(one.begun, &other.id)));
        Ok(all)
    }

    async fn due_backfills(&self, until: Timestamp, limit: usize) -> Result<Vec<Backfill>, StoreError> {
        let table = self.names.runs();
        let request = self
            .client
            .query()
            .table_name(&table)
            .index_name("due")
            .key_condition_expression("#shard = :shard AND #due <= :until")
            .expression_attribute_names("#shard", DUE_SHARD)
            .expression_attribute_names("#due", DUE_AT)
            .expression_attribute_values(":shard", text(PARTITION))
            .expression_attribute_values(":until", whole(until.timestamp_micros()))
            .limit(i32::try_from(limit).unwrap_or(i32::MAX));
        let answer = request.send().await;
        let answer =
            answer.map_err(|error| store_error(&format!("reading backfills in table {table}"), &error))?;
        let id = |item: &Item| text_of(item, "path")?.strip_prefix(PATH).map(str::to_owned);
        let ids: Vec<String> = answer.items().iter().filter_map(id).collect();
        // The index lags: a backfill that it shows may have been looked at meanwhile.
        let found = self.backfills(&ids).await?;
        let is_due = |one: &Backfill| one.due_at.is_some_and(|due| due <= until);
        let (read, unreadable): (Vec<_>, Vec<_>) =
            found.iter().map(|item| (item, backfill_of(item))).partition(|(_, read)| read.is_some());
        // They must not hold up the others for good.
        self.put_off_unreadable(unreadable.into_iter().map(|(item, _)| item), until).await?;
        let mut due: Vec<Backfill> = read.into_iter().filter_map(|(_, read)| read).filter(is_due).collect();
        due.sort_by_key(|one| one.due_at);
        Ok(due)
    }

    async fn create_backfill(&self, backfill: &Backfill) -> Result<(), CommitError> {
        self.write_backfill(backfill, "attribute_not_exists(run_id)", None).await
    }

    async fn put_backfill(&self, backfill: &Backfill) -> Result<(), CommitError> {
        self.write_backfill(backfill, "rev = :expected", Some(whole(backfill.rev - 1))).await
    }
}
