//! Runs that are made anew over the record of a message that was turned away.

use aws_sdk_dynamodb::operation::transact_write_items::TransactWriteItemsError;
use aws_sdk_dynamodb::types::{Put, TransactWriteItem};
use pumice_core::ports::{CommitError, StoreError};
use pumice_core::run::NewRun;

use super::commit::refused;
use super::record::{run_item, run_key};
use crate::attribute::{Item, whole};
use crate::failure::write_error;
use crate::store::Store;

impl Store {
    /// Puts a record, and its spec where that has an item of its own, both or none, unless the record was written since.
    pub(super) async fn put_anew(&self, new: &NewRun) -> Result<(), CommitError> {
        let (key, table) = (&new.run.key, self.names.runs());
        let what = format!("making run {key} anew in table {table}");
        let bad = |error: &dyn std::fmt::Display| StoreError::invalid(format!("{what}: {error}"));
        let mut record = run_item(&new.run)?;
        self.lighten(&new.run, &mut record).await?;
        record.extend(run_key(key));
        let pinned = self.pin(new, &mut record).await?;
        let put = |item: Item| Put::builder().table_name(&table).set_item(Some(item));
        let record = put(record)
            .condition_expression("#rev = :expected")
            .expression_attribute_names("#rev", "rev")
            .expression_attribute_values(":expected", whole(new.run.rev - 1));
        let mut request = self.client.transact_write_items();
        for put in [Some(record), pinned.map(put)].into_iter().flatten() {
            let put = put.build().map_err(|error| bad(&error))?;
            request = request.transact_items(TransactWriteItem::builder().put(put).build());
        }
        let Err(error) = request.send().await else { return Ok(()) };
        match error.as_service_error() {
            Some(TransactWriteItemsError::TransactionCanceledException(cancelled)) => {
                let reasons = cancelled.cancellation_reasons();
                Err(refused(&what, reasons).unwrap_or(CommitError::Conflict))
            }
            _ => Err(write_error(&what, &error)),
        }
    }
}
