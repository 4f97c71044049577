//! Runs that people remove before they expire.

use futures_util::stream::{self, StreamExt, TryStreamExt};
use pumice_core::ids::RunKey;
use pumice_core::ports::StoreError;

use crate::attribute::{Item, text};
use crate::failure::store_error;
use crate::store::Store;

/// Most items that are removed at the same time.
const MAX_AT_ONCE: usize = 16;

impl Store {
    /// Removes the records of a finished run and of its steps. Their objects in S3 expire with the bucket's lifecycle
    /// rule.
    pub(super) async fn remove_run(&self, key: &RunKey) -> Result<bool, StoreError> {
        let Some(record) = self.record_item(key).await? else { return Ok(false) };
        if key.depth() > 0 || !Self::light(&record)?.is_done() {
            return Ok(false);
        }
        let table = self.names.runs();
        let what = format!("removing run {key} from table {table}");
        let pages = self
            .client
            .query()
            .table_name(&table)
            .consistent_read(true)
            .key_condition_expression("run_id = :run_id")
            .projection_expression("run_id, #path")
            .expression_attribute_names("#path", "path")
            .expression_attribute_values(":run_id", text(key.as_str()))
            .into_paginator()
            .items()
            .send();
        let mut items: Vec<Item> =
            pages.collect::<Result<_, _>>().await.map_err(|error| store_error(&what, &error))?;
        // The run itself last: should this stop in between, it is still found.
        items.sort_by_key(|item| item.get("path") == Some(&text("/")));
        let root = items.pop();
        let remove = |item: Item| async {
            let request = self.client.delete_item().table_name(&table).set_key(Some(item));
            request.send().await.map(drop).map_err(|error| store_error(&what, &error))
        };
        let all: Vec<_> = items.into_iter().map(remove).collect();
        stream::iter(all).buffer_unordered(MAX_AT_ONCE).try_collect::<()>().await?;
        if let Some(root) = root {
            remove(root).await?;
        }
        Ok(true)
    }
}
