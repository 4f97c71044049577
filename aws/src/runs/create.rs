//! Making runs.

use std::collections::HashSet;
use std::sync::OnceLock;

use aws_sdk_dynamodb::error::SdkError;
use aws_sdk_dynamodb::operation::put_item::PutItemError;
use aws_sdk_dynamodb::operation::transact_write_items::TransactWriteItemsError;
use aws_sdk_dynamodb::primitives::Blob;
use aws_sdk_dynamodb::types::{AttributeValue, Put, ReturnValuesOnConditionCheckFailure, TransactWriteItem};
use chrono::TimeDelta;
use futures_util::stream::{self, StreamExt};
use pumice_core::ports::{CommitError, Created, RunStore, StoreError, StoreErrorKind};
use pumice_core::run::{NEVER, NewRun};

use super::commit::refused;
use super::parts::{Spread, is_hot};
use super::record::{MAX_EMBEDDED, SIGNATURE, SPEC, read_run, run_item, run_key, spec_key};
use crate::attribute::{Item, text, whole};
use crate::failure::{store_error, write_error};
use crate::store::Store;

/// Most runs of one batch that are made at the same time.
const MAX_AT_ONCE: usize = 32;
/// How much longer than its record would be kept if the run ended at once a spec is kept that has an item of its own.
const SPEC_LONGER: TimeDelta = TimeDelta::days(90);
/// The condition on which a run is made.
const ABSENT: &str = "attribute_not_exists(run_id)";
/// Most times a run is tried to be made while others write to it.
const MAX_TRIES: usize = 10;

impl Store {
    /// Makes each run that does not exist yet. Runs that a batch names twice come after the rest: the
    /// second must find the first one's record as another's.
    pub(super) async fn create_all(&self, runs: &[&NewRun]) -> Result<Vec<Created>, StoreError> {
        let mut named = HashSet::new();
        let (first, again): (Vec<_>, Vec<_>) =
            runs.iter().copied().enumerate().partition(|(_, new)| named.insert(&new.run.key));
        let (trouble, spread) = (OnceLock::new(), self.spread(runs).await);
        let making: Vec<_> =
            first.iter().map(|(_, new)| self.create_unless(&trouble, new, &spread)).collect();
        let made: Vec<Created> = stream::iter(making).buffered(MAX_AT_ONCE).collect().await;
        if let Some(error) = trouble.get().filter(|_| made.iter().all(|created| created.failed.is_some())) {
            return Err(StoreError::clone(error));
        }
        let mut created: Vec<(usize, Created)> = first.iter().map(|(place, _)| *place).zip(made).collect();
        for (place, new) in again {
            let Some((_, twin)) = created.iter().find(|(other, _)| runs[*other].run.key == new.run.key)
            else {
                continue;
            };
            let mut twin = Created { sent: false, ..twin.clone() };
            if twin.refused.is_none() && twin.failed.is_none() {
                match self.load(&new.run.key).await {
                    Ok(existing) => twin.existing = existing.map(Box::new),
                    Err(error) => twin.failed = Some(error),
                }
            }
            created.push((place, twin));
        }
        created.sort_by_key(|(place, _)| *place);
        Ok(created.into_iter().map(|(_, created)| created).collect())
    }

    /// Makes one run, unless another of its batch failed: those under way come to their end, so that
    /// each run that is made has its message, and no further one is begun.
    async fn create_unless(&self, trouble: &OnceLock<StoreError>, new: &NewRun, spread: &Spread) -> Created {
        let failed = match trouble.get() {
            Some(error) => error.clone(),
            None => match self.create_one(new, spread).await {
                Ok(created) => return created,
                Err(error) => trouble.get_or_init(|| error).clone(),
            },
        };
        Created { failed: Some(failed), ..Created::default() }
    }

    /// Makes one run, unless it can never be made.
    async fn create_one(&self, new: &NewRun, spread: &Spread) -> Result<Created, StoreError> {
        let mut tried = self.try_create(new, spread).await;
        let job_id = &new.run.job_id;
        if matches!(tried, Err(CommitError::Store(_))) && !spread.has(job_id) && self.is_hot(job_id) {
            let spread = self.open(&[job_id]).await;
            if spread.has(job_id) {
                tried = self.try_create(new, &spread).await;
            }
        }
        match tried {
            Ok(created) => Ok(created),
            Err(CommitError::Unrecordable(why)) => Ok(Created { refused: Some(why), ..Created::default() }),
            Err(error) => Err(error.into()),
        }
    }

    /// A small spec goes into the record; a large one is written with it, both or none.
    async fn try_create(&self, new: &NewRun, spread: &Spread) -> Result<Created, CommitError> {
        let key = &new.run.key;
        let mut record = run_item(&new.run)?;
        self.lighten(&new.run, &mut record).await?;
        record.extend(run_key(key));
        spread.place(&new.run, &mut record);
        let wanted = record.clone();
        let existing = match self.pin(new, &mut record).await? {
            None => self.put_record(new, record).await?,
            Some(pinned) => self.put_both(new, record, pinned).await?,
        };
        let existing = match existing {
            // The answer to this very write was lost, and the SDK has written again: its message is not
            // sent yet.
            Some(item) if is_same(&wanted, &item) => None,
            Some(item) => Some(Box::new(Self::light(&item)?)),
            None => None,
        };
        Ok(Created { existing, ..Created::default() })
    }

    /// Puts a run's spec, signed, into its record, or gives the item of its own that it needs.
    pub(super) async fn pin(&self, new: &NewRun, record: &mut Item) -> Result<Option<Item>, CommitError> {
        let key = &new.run.key;
        let spec = serde_json::to_string(&new.spec).map_err(|error| {
            StoreError::invalid(format!("the spec of run {key} cannot be written: {error}"))
        })?;
        let signature = self.signing.sign(self.names.realm(), key, &spec).await?;
        let signature = signature.map(|bytes| (SIGNATURE.to_owned(), AttributeValue::B(Blob::new(bytes))));
        if spec.len() <= MAX_EMBEDDED {
            record.insert(SPEC.to_owned(), text(spec));
            record.extend(signature);
            return Ok(None);
        }
        let mut pinned = self.spec_attributes(key, spec).await?;
        // It is written once, and the record expires by when its run ends.
        let ttl = new.run.expires.checked_add_signed(SPEC_LONGER).map_or(NEVER, |ttl| ttl.min(NEVER));
        pinned.insert("ttl".to_owned(), whole(ttl.timestamp()));
        pinned.extend(signature);
        pinned.extend(spec_key(key));
        Ok(Some(pinned))
    }

    /// Puts a record; gives the one that was there already.
    async fn put_record(&self, new: &NewRun, record: Item) -> Result<Option<Item>, CommitError> {
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
                        Ok(self.existing(new, failed.item).await?)
                    }
                    _ => Err(StoreError::corrupt("a condition failed without saying so").into()),
                }
            }
            Err(error) => {
                if error.as_service_error().is_some_and(is_hot) {
                    self.remember_hot(&new.run.job_id);
                }
                Err(write_error(&format!("making run {} in table {table}", new.run.key), &error))
            }
        }
    }

    /// Puts a record and its spec, both or none; gives the record that was there already. The condition
    /// is the record's alone: each expires by itself, and a spec without its record is never read.
    async fn put_both(&self, new: &NewRun, record: Item, spec: Item) -> Result<Option<Item>, CommitError> {
        let table = self.names.runs();
        let what = format!("making run {} in table {table}", new.run.key);
        let put = |item: &Item, condition: Option<&str>| {
            let put = Put::builder()
                .table_name(&table)
                .set_item(Some(item.clone()))
                .set_condition_expression(condition.map(str::to_owned))
                .return_values_on_condition_check_failure(ReturnValuesOnConditionCheckFailure::AllOld)
                .build();
            put.map(|put| TransactWriteItem::builder().put(put).build())
                .map_err(|error| StoreError::invalid(format!("{what}: {error}")))
        };
        for _ in 0..MAX_TRIES {
            let request = self.client.transact_write_items();
            let request =
                request.transact_items(put(&record, Some(ABSENT))?).transact_items(put(&spec, None)?);
            let error = match request.send().await {
                Ok(_) => return Ok(None),
                Err(error) => error,
            };
            let Some(TransactWriteItemsError::TransactionCanceledException(cancelled)) =
                error.as_service_error()
            else {
                return Err(write_error(&what, &error));
            };
            let reasons = cancelled.cancellation_reasons();
            if reasons.iter().any(|reason| reason.code() == Some("ConditionalCheckFailed")) {
                let there = reasons.first().and_then(|reason| reason.item().cloned());
                return Ok(self.existing(new, there).await?);
            }
            if !reasons.iter().any(|reason| reason.code() == Some("TransactionConflict")) {
                return Err(refused(&what, reasons).unwrap_or_else(|| store_error(&what, &error).into()));
            }
        }
        Err(StoreError::of(
            StoreErrorKind::Throttled,
            format!("{what}: others wrote to it {MAX_TRIES} times"),
        )
        .into())
    }

    /// The record that is there: as the answer brought it, else as it is read now.
    async fn existing(&self, new: &NewRun, answered: Option<Item>) -> Result<Option<Item>, StoreError> {
        if let Some(item) = answered.filter(|item| !item.is_empty()) {
            return Ok(Some(item));
        }
        let key = &new.run.key;
        match self.record_item(key).await? {
            Some(item) => Ok(Some(item)),
            None => Err(StoreError::missing(format!("run {key} was there and is gone"))),
        }
    }
}

/// Whether the record that was found is the one that was to be written, as it was made: no other
/// caller makes one at the very same microsecond.
fn is_same(wanted: &Item, found: &Item) -> bool {
    matches!((read_run(wanted), read_run(found)), (Ok(wanted), Ok(found)) if wanted == found)
}
