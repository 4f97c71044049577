//! Making runs.

use aws_sdk_dynamodb::error::SdkError;
use aws_sdk_dynamodb::operation::put_item::PutItemError;
use aws_sdk_dynamodb::operation::transact_write_items::TransactWriteItemsError;
use aws_sdk_dynamodb::types::{Put, ReturnValuesOnConditionCheckFailure, TransactWriteItem};
use futures_util::stream::{self, StreamExt, TryStreamExt};
use pumice_core::ports::{Created, StoreError};
use pumice_core::run::NewRun;

use super::record::{MAX_EMBEDDED, SPEC, run_item, run_key, spec_key};
use crate::attribute::{Item, text};
use crate::failure::store_error;
use crate::store::Store;

/// Most runs of one batch that are made at the same time.
const MAX_AT_ONCE: usize = 32;
/// The condition on which a run is made.
const ABSENT: &str = "attribute_not_exists(run_id)";
/// Most times a run is tried to be made while others write to it.
const MAX_TRIES: usize = 10;

impl Store {
    /// Makes each run that does not exist yet.
    pub(super) async fn create_all(&self, runs: &[NewRun]) -> Result<Vec<Created>, StoreError> {
        let making: Vec<_> = runs.iter().map(|new| self.create_one(new)).collect();
        stream::iter(making).buffered(MAX_AT_ONCE).try_collect().await
    }

    /// A small spec goes into the record; a large one is written with it, both or none.
    async fn create_one(&self, new: &NewRun) -> Result<Created, StoreError> {
        let key = &new.run.key;
        let mut record = run_item(&new.run)?;
        self.lighten(key, &mut record).await?;
        record.extend(run_key(key));
        let spec = serde_json::to_string(&new.spec)
            .map_err(|error| StoreError::new(format!("the spec of run {key} cannot be written: {error}")))?;
        let existing = if spec.len() <= MAX_EMBEDDED {
            record.insert(SPEC.to_owned(), text(spec));
            self.put_record(new, record).await?
        } else {
            let mut pinned = self.spec_attributes(key, spec).await?;
            pinned.insert("ttl".to_owned(), crate::attribute::whole(new.run.expires.timestamp()));
            pinned.extend(spec_key(key));
            self.put_both(new, record, pinned).await?
        };
        let existing = match existing {
            Some(item) => Some(Box::new(self.run_of(item).await?)),
            None => None,
        };
        Ok(Created { existing, sent: false })
    }

    /// Puts a record; gives the one that was there already.
    async fn put_record(&self, new: &NewRun, record: Item) -> Result<Option<Item>, StoreError> {
        let table = self.names.runs();
        let request = self
            .client
            .put_item()
            .table_name(&table)
            .set_item(Some(record))
            .condition_expression(ABSENT)
            .return_values_on_condition_check_failure(ReturnValuesOnConditionCheckFailure::AllOld);
        match request.send().await {
            Ok(_) => Ok(None),
            Err(SdkError::ServiceError(service)) if service.err().is_conditional_check_failed_exception() => {
                match service.into_err() {
                    PutItemError::ConditionalCheckFailedException(failed) => {
                        self.existing(new, failed.item).await
                    }
                    _ => Err(StoreError::new("a condition failed without saying so")),
                }
            }
            Err(error) => Err(store_error(&format!("making run {} in table {table}", new.run.key), &error)),
        }
    }

    /// Puts a record and its spec, both or none; gives the record that was there already.
    async fn put_both(&self, new: &NewRun, record: Item, spec: Item) -> Result<Option<Item>, StoreError> {
        let table = self.names.runs();
        let what = format!("making run {} in table {table}", new.run.key);
        let put = |item: &Item| {
            let put = Put::builder()
                .table_name(&table)
                .set_item(Some(item.clone()))
                .condition_expression(ABSENT)
                .return_values_on_condition_check_failure(ReturnValuesOnConditionCheckFailure::AllOld)
                .build();
            put.map(|put| TransactWriteItem::builder().put(put).build())
                .map_err(|error| StoreError::new(format!("{what}: {error}")))
        };
        for _ in 0..MAX_TRIES {
            let request =
                self.client.transact_write_items().transact_items(put(&record)?).transact_items(put(&spec)?);
            let error = match request.send().await {
                Ok(_) => return Ok(None),
                Err(error) => error,
            };
            let Some(TransactWriteItemsError::TransactionCanceledException(cancelled)) =
                error.as_service_error()
            else {
                return Err(store_error(&what, &error));
            };
            let reasons = cancelled.cancellation_reasons();
            if reasons.iter().any(|reason| reason.code() == Some("ConditionalCheckFailed")) {
                let there = reasons.first().and_then(|reason| reason.item().cloned());
                return self.existing(new, there).await;
            }
            if !reasons.iter().any(|reason| reason.code() == Some("TransactionConflict")) {
                return Err(store_error(&what, &error));
            }
        }
        Err(StoreError::new(format!("{what}: others wrote to it {MAX_TRIES} times")))
    }

    /// The record that is there: as the answer brought it, else as it is read now.
    async fn existing(&self, new: &NewRun, answered: Option<Item>) -> Result<Option<Item>, StoreError> {
        if let Some(item) = answered.filter(|item| !item.is_empty()) {
            return Ok(Some(item));
        }
        let key = &new.run.key;
        match self.record_item(key).await? {
            Some(item) => Ok(Some(item)),
            None => Err(StoreError::new(format!("run {key} was there and is gone"))),
        }
    }
}
