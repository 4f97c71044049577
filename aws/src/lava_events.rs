//! What lava's own workers tell of runs (lava guide, The Events Table).

use async_trait::async_trait;
use aws_sdk_dynamodb::error::ProvideErrorMetadata;
use pumice_core::ids::{JobId, RunId};
use pumice_core::ports::{Doc, LavaEvents, StoreError};

use crate::attribute::{object, text};
use crate::failure::store_error;
use crate::store::Store;

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
            Ok(answer) => Ok(answer.item.map(object)),
            Err(error) => {
                let what = format!("reading table {table}");
                match error.code() {
                    Some("ResourceNotFoundException") => {}
                    Some("AccessDeniedException") => {
                        let error = store_error(&what, &error);
                        tracing::warn!(%error, "what lava's own workers tell of runs is left out");
                    }
                    _ => return Err(store_error(&what, &error)),
                }
                self.remember_without_lava();
                Ok(None)
            }
        }
    }
}
