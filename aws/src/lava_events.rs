//! Lava's table of events: lava's workers write their runs' events there, and Pumice writes those of its own, for
//! lava's tools (lava guide, The Events Table).

use async_trait::async_trait;
use aws_sdk_dynamodb::error::ProvideErrorMetadata;
use pumice_core::ids::{JobId, RunId};
use pumice_core::ports::{Doc, LavaEvent, LavaEvents, StoreError};

use crate::attribute::{item, object, text, whole};
use crate::failure::store_error;
use crate::store::Store;

/// The attribute of items that are not lava's: the revision of the record that they were made of.
const REV: &str = "pumice_rev";

#[async_trait]
impl LavaEvents for Store {
    /// Most realms have no such table: it is asked for once in five minutes.
    async fn event(&self, job_id: &JobId, run_id: RunId) -> Result<Option<Doc>, StoreError> {
        if self.is_without_lava() {
            return Ok(None);
        }
        let table = self.names.events();
        let request = self.client.get_item().table_name(&table).key("job_id", text(job_id.as_str()));
        match request.key("run_id", text(run_id.to_string())).consistent_read(true).send().await {
            Ok(answer) => Ok(answer.item.filter(|item| !item.contains_key(REV)).map(object)),
            Err(error) => {
                let what = format!("reading table {table}");
                match error.code() {
                    Some("ResourceNotFoundException") => {}
                    Some("AccessDeniedException") => {
                        let error = store_error(&what, &error);
                        tracing::warn!(%error, "the events of lava's workers are left out");
                    }
                    _ => return Err(store_error(&what, &error)),
                }
                self.remember_without_lava();
                Ok(None)
            }
        }
    }
    async fn put_event(&self, event: &LavaEvent) -> Result<(), StoreError> {
        let table = self.names.events();
        let mut fields = item(event.item.clone());
        fields.insert(REV.to_owned(), whole(event.rev));
        let request = self.client.put_item().table_name(&table).set_item(Some(fields));
        let request = request
            .condition_expression("attribute_not_exists(job_id) OR #rev < :rev")
            .expression_attribute_names("#rev", REV)
            .expression_attribute_values(":rev", whole(event.rev));
        match request.send().await {
            Ok(_) => Ok(()),
            // A later one is there, or a worker of lava's wrote it.
            Err(error) if error.code() == Some("ConditionalCheckFailedException") => Ok(()),
            Err(error) => Err(store_error(&format!("writing to table {table}"), &error)),
        }
    }
}
