//! Writing the next revision of a run, and with it the lock of its job and its permit.

use std::collections::HashMap;

use aws_sdk_dynamodb::error::SdkError;
use aws_sdk_dynamodb::operation::transact_write_items::TransactWriteItemsError;
use aws_sdk_dynamodb::operation::update_item::UpdateItemError;
use aws_sdk_dynamodb::types::{
    AttributeValue, CancellationReason, Delete, Put, ReturnValuesOnConditionCheckFailure, TransactWriteItem,
    Update,
};
use pumice_core::ids::{JobId, RunKey};
use pumice_core::ports::{Change, CommitError, StoreError, StoreErrorKind};
use pumice_core::run::{LockChange, Run};

use super::record::{DUE_AT, DUE_SHARD, JOB, OPTIONAL, ORIGIN, item_key, micros, run_item, run_key};
use crate::attribute::{Item, text, whole};
use crate::failure::{advice, tells_of_bad_form, write_error};
use crate::store::{Store, text_of};

/// Most times a lock is tried while it changes hands.
const MAX_TRIES: usize = 5;

/// An update: what it sets and removes, on what condition, with the names and values it uses.
struct Written {
    update: String,
    condition: String,
    names: HashMap<String, String>,
    values: HashMap<String, AttributeValue>,
}

/// The update of a record: alone and within a transaction it has builders of two types.
macro_rules! filled_in {
    ($update:expr, $table:expr, $run:expr, $written:expr) => {
        $update
            .table_name($table)
            .set_key(Some(run_key(&$run.key)))
            .update_expression($written.update)
            .condition_expression($written.condition)
            .set_expression_attribute_names(Some($written.names))
            .set_expression_attribute_values(Some($written.values))
    };
}

impl Written {
    /// The update that makes a record what it is to be. `lazy` leaves the index on what is due as it
    /// is, on the condition that it is not later than it should be.
    fn new(run: &Run, mut item: Item, lazy: bool) -> Self {
        let (mut names, mut values) = (HashMap::new(), HashMap::new());
        let mut condition = "#rev = :expected".to_owned();
        values.insert(":expected".to_owned(), whole(run.rev - 1));
        if lazy && let Some(due) = run.due_at {
            item.remove(DUE_AT);
            names.insert("#due_at".to_owned(), DUE_AT.to_owned());
            values.insert(":due".to_owned(), whole(micros(due)));
            condition.push_str(" AND #due_at <= :due");
        }
        // They never change, and may be parts of a key.
        item.remove(JOB);
        item.remove(ORIGIN);
        let mut set = Vec::new();
        let keeps = |name: &str| name == ORIGIN || lazy && name == DUE_AT;
        let removed = OPTIONAL.iter().filter(|name| !item.contains_key(**name)).filter(|name| !keeps(name));
        let removed: Vec<String> = removed.map(|name| format!("#{name}")).collect();
        names.extend(removed.iter().map(|name| (name.clone(), name[1..].to_owned())));
        for (name, value) in item {
            set.push(format!("#{name} = :{name}"));
            names.insert(format!("#{name}"), name.clone());
            values.insert(format!(":{name}"), value);
        }
        set.sort();
        let update = format!("SET {} REMOVE {}", set.join(", "), removed.join(", "));
        Self { update, condition, names, values }
    }
}

/// The key of a job's lock.
fn lock_key(job_id: &JobId) -> Item {
    item_key(&format!("lock#{job_id}"), "lock")
}

impl Store {
    pub(super) async fn commit_run(&self, change: &Change) -> Result<(), CommitError> {
        let run = &change.run;
        let mut item = run_item(run)?;
        self.lighten(run, &mut item).await?;
        if change.lock.is_none() && change.permit.is_none() {
            return self.update(run, item).await;
        }
        self.update_with(change, item).await
    }

    /// A claim puts off a run's due time. The index need not know: a sweep that finds the run there
    /// too early corrects it. So most runs cost two writes of the index, not four.
    async fn update(&self, run: &Run, item: Item) -> Result<(), CommitError> {
        let lazy = run.lease.is_some() && run.due_at.is_some();
        match self.try_update(run, Written::new(run, item.clone(), lazy)).await? {
            Tried::Written => Ok(()),
            Tried::DueTooLate if lazy => match self.try_update(run, Written::new(run, item, false)).await? {
                Tried::Written => Ok(()),
                _ => Err(CommitError::Conflict),
            },
            _ => Err(CommitError::Conflict),
        }
    }

    async fn try_update(&self, run: &Run, written: Written) -> Result<Tried, CommitError> {
        let table = self.names.runs();
        let request = filled_in!(self.client.update_item(), &table, run, written)
            .return_values_on_condition_check_failure(ReturnValuesOnConditionCheckFailure::AllOld);
        match request.send().await {
            Ok(_) => Ok(Tried::Written),
            Err(error) => match error.as_service_error() {
                Some(UpdateItemError::ConditionalCheckFailedException(failed)) => {
                    let rev = failed.item().and_then(|item| item.get("rev"));
                    Ok(if rev == Some(&whole(run.rev - 1)) { Tried::DueTooLate } else { Tried::Conflict })
                }
                _ => Err(write_error(&format!("writing run {} to table {table}", run.key), &error)),
            },
        }
    }

    /// Writes a record with what happens to its job's lock and to its permit, all or none.
    async fn update_with(&self, change: &Change, item: Item) -> Result<(), CommitError> {
        let (run, mut over, mut frees) = (&change.run, change.run.key.clone(), true);
        for _ in 0..MAX_TRIES {
            let lock = match change.lock {
                Some(LockChange::Take) => Some(self.take_lock(run, &over)?),
                Some(LockChange::Free) if frees => Some(self.free_lock(run)?),
                _ => None,
            };
            let mut parts: Vec<TransactWriteItem> = lock.into_iter().collect();
            let locks = parts.len();
            if let Some(permit) = &change.permit {
                parts.extend(self.permit_parts(run, permit)?);
            }
            if parts.is_empty() {
                return self.update(run, item).await;
            }
            let count = parts.len();
            let reasons = match self.transact(run, &item, parts).await? {
                Transacted::Written => return Ok(()),
                Transacted::Cancelled(reasons) => reasons,
            };
            if failed(&reasons, 0) {
                return Err(CommitError::Conflict);
            }
            if locks == 1 && failed(&reasons, 1) {
                match change.lock {
                    Some(LockChange::Take) => match self.holder(run, &reasons).await? {
                        // Its run is done, or its record has expired: no run has the lock.
                        Holder::Done(key) => over = key,
                        Holder::Alive(key) => return Err(CommitError::Locked(key)),
                        Holder::Nobody => {}
                    },
                    // It is another's: the record is written all the same.
                    _ => frees = false,
                }
                continue;
            }
            let is_full = (locks + 1..=count).any(|place| failed(&reasons, place));
            return Err(match change.permit.as_ref().filter(|_| is_full) {
                Some(permit) => CommitError::Full(permit.gate().clone()),
                None => CommitError::Conflict,
            });
        }
        Err(CommitError::Conflict)
    }

    /// Gives up a job's lock, on the condition that it is this run's.
    fn free_lock(&self, run: &Run) -> Result<TransactWriteItem, StoreError> {
        let lock = Delete::builder()
            .table_name(self.names.runs())
            .set_key(Some(lock_key(&run.job_id)))
            .condition_expression("holder = :me")
            .expression_attribute_values(":me", text(run.key.as_str()))
            .build()
            .map_err(|error| StoreError::invalid(error.to_string()))?;
        Ok(TransactWriteItem::builder().delete(lock).build())
    }

    /// Puts the lock on the condition that it is free, this run's own, or of the run `over`.
    fn take_lock(&self, run: &Run, over: &RunKey) -> Result<TransactWriteItem, StoreError> {
        let mut item = lock_key(&run.job_id);
        item.insert("holder".to_owned(), text(run.key.as_str()));
        let put = Put::builder()
            .table_name(self.names.runs())
            .set_item(Some(item))
            .condition_expression("attribute_not_exists(run_id) OR holder IN (:me, :over)")
            .expression_attribute_values(":me", text(run.key.as_str()))
            .expression_attribute_values(":over", text(over.as_str()))
            .return_values_on_condition_check_failure(ReturnValuesOnConditionCheckFailure::AllOld)
            .build()
            .map_err(|error| StoreError::invalid(error.to_string()))?;
        Ok(TransactWriteItem::builder().put(put).build())
    }

    /// Writes a record and other items, all or none.
    async fn transact(
        &self,
        run: &Run,
        item: &Item,
        others: Vec<TransactWriteItem>,
    ) -> Result<Transacted, CommitError> {
        let table = self.names.runs();
        let written = Written::new(run, item.clone(), false);
        let update = filled_in!(Update::builder(), &table, run, written)
            .build()
            .map_err(|error| StoreError::invalid(error.to_string()))?;
        let update = TransactWriteItem::builder().update(update).build();
        let request =
            self.client.transact_write_items().set_transact_items(Some([vec![update], others].concat()));
        let what = format!("writing run {} to table {table}", run.key);
        match request.send().await {
            Ok(_) => Ok(Transacted::Written),
            Err(SdkError::ServiceError(service)) if service.err().is_transaction_canceled_exception() => {
                match service.into_err() {
                    TransactWriteItemsError::TransactionCanceledException(cancelled) => {
                        let reasons = cancelled.cancellation_reasons.unwrap_or_default();
                        refused(&what, &reasons).map_or(Ok(Transacted::Cancelled(reasons)), Err)
                    }
                    _ => Ok(Transacted::Cancelled(Vec::new())),
                }
            }
            Err(error) => Err(write_error(&what, &error)),
        }
    }

    /// The run that holds the lock.
    async fn holder(&self, run: &Run, reasons: &[CancellationReason]) -> Result<Holder, CommitError> {
        let answered =
            reasons.get(1).and_then(|reason| reason.item().cloned()).filter(|item| !item.is_empty());
        let lock = match answered {
            Some(lock) => Some(lock),
            None => self.item(lock_key(&run.job_id)).await?,
        };
        let Some(holder) = lock.as_ref().and_then(|lock| text_of(lock, "holder")) else {
            return Ok(Holder::Nobody);
        };
        let key: RunKey = holder
            .parse()
            .map_err(|error| StoreError::corrupt(format!("the lock of job {}: {error}", run.job_id)))?;
        let other = match self.record_item(&key).await? {
            Some(item) => Some(Self::light(&item)?),
            None => None,
        };
        let alive = other.is_some_and(|other| !other.is_done());
        Ok(if alive { Holder::Alive(key) } else { Holder::Done(key) })
    }

    /// The run that has a job's lock and is not done with.
    pub(super) async fn lock_holder(&self, job_id: &JobId) -> Result<Option<RunKey>, StoreError> {
        let lock = self.item(lock_key(job_id)).await?;
        let Some(key) = lock.as_ref().and_then(|lock| text_of(lock, "holder")?.parse::<RunKey>().ok()) else {
            return Ok(None);
        };
        let Some(item) = self.record_item(&key).await? else { return Ok(None) };
        Ok((!Self::light(&item)?.is_done()).then_some(key))
    }

    /// Puts the index right about a run that is due later than it says.
    pub(super) async fn put_off(&self, run: &Run) -> Result<(), StoreError> {
        let Some(due) = run.due_at else { return Ok(()) };
        let table = self.names.runs();
        let request = self
            .client
            .update_item()
            .table_name(&table)
            .set_key(Some(run_key(&run.key)))
            .update_expression("SET #due_at = :due")
            .condition_expression("#rev = :rev AND attribute_exists(#shard)")
            .expression_attribute_names("#due_at", DUE_AT)
            .expression_attribute_names("#shard", DUE_SHARD)
            .expression_attribute_names("#rev", "rev")
            .expression_attribute_values(":due", whole(micros(due)))
            .expression_attribute_values(":rev", whole(run.rev));
        match request.send().await {
            Ok(_) => Ok(()),
            // Another writer was first: the next look finds the run as it is then.
            Err(error)
                if error
                    .as_service_error()
                    .is_some_and(UpdateItemError::is_conditional_check_failed_exception) =>
            {
                Ok(())
            }
            Err(error) => {
                Err(crate::failure::store_error(&format!("writing run {} to table {table}", run.key), &error))
            }
        }
    }
}

/// The outcome of an update.
enum Tried {
    Written,
    /// The index would be later than it should be.
    DueTooLate,
    Conflict,
}

/// The outcome of a transaction.
enum Transacted {
    Written,
    /// Nothing was written; the reasons are in the order of the items.
    Cancelled(Vec<CancellationReason>),
}

enum Holder {
    Done(RunKey),
    Alive(RunKey),
    Nobody,
}

/// The cause, other than another writer, that cancelled a transaction, if any: a table that is busy
/// needs a pause, and a record that does not fit never will.
pub(super) fn refused(what: &str, reasons: &[CancellationReason]) -> Option<CommitError> {
    reasons.iter().find_map(|reason| {
        let code = reason.code().unwrap_or_default();
        let message = reason.message().unwrap_or_default();
        let told = || format!("{what}: {code}: {message}{}", advice(code, message));
        match code {
            "ValidationError" if tells_of_bad_form(message) => Some(CommitError::Unrecordable(told())),
            "ValidationError" => Some(StoreError::missing(told()).into()),
            "ThrottlingError" | "ProvisionedThroughputExceeded" => {
                Some(StoreError::of(StoreErrorKind::Throttled, told()).into())
            }
            _ => None,
        }
    })
}

/// Whether the condition of the part at this place did not hold.
fn failed(reasons: &[CancellationReason], place: usize) -> bool {
    reasons.get(place).and_then(CancellationReason::code) == Some("ConditionalCheckFailed")
}
