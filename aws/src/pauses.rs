//! The pauses of a realm: one item of the table of runs.

use aws_sdk_dynamodb::operation::put_item::PutItemError;
use pumice_core::pauses::Pauses;
use pumice_core::ports::{CommitError, StoreError, StoreErrorKind};

use crate::attribute::{Item, text, whole};
use crate::failure::write_error;
use crate::store::{Store, text_of};

/// The key of the item.
fn key() -> Item {
    Item::from([("run_id".to_owned(), text("pauses")), ("path".to_owned(), text("pauses"))])
}

impl Store {
    /// The pauses.
    pub(crate) async fn read_pauses(&self) -> Result<Pauses, StoreError> {
        let Some(item) = self.item(key()).await? else { return Ok(Pauses::default()) };
        let record = text_of(&item, "record").unwrap_or_default();
        serde_json::from_str(record).map_err(|error| {
            StoreError::of(
                StoreErrorKind::Corrupt,
                format!("the record of the realm's pauses cannot be read: {error}"),
            )
        })
    }

    /// Writes the pauses on the condition that their `rev` is one more than the stored one.
    pub(crate) async fn write_pauses(&self, pauses: &Pauses) -> Result<(), CommitError> {
        let table = self.names.runs();
        let record = serde_json::to_string(pauses)
            .map_err(|error| StoreError::invalid(format!("the pauses cannot be written: {error}")))?;
        let mut item = key();
        item.insert("rev".to_owned(), whole(pauses.rev));
        item.insert("record".to_owned(), text(record));
        let request = self.client.put_item().table_name(&table).set_item(Some(item));
        let request = match pauses.rev {
            0 | 1 => request.condition_expression("attribute_not_exists(run_id)"),
            rev => request
                .condition_expression("rev = :expected")
                .expression_attribute_values(":expected", whole(rev - 1)),
        };
        request.send().await.map(drop).map_err(|error| match error.as_service_error() {
            Some(PutItemError::ConditionalCheckFailedException(_)) => CommitError::Conflict,
            _ => write_error(&format!("writing the pauses to table {table}"), &error),
        })
    }
}
