//! Runs found by what is to become of them: those due to be looked at, those in line for a lock.

use futures_util::future::try_join_all;
use pumice_core::Timestamp;
use pumice_core::ids::{JobId, RunKey};
use pumice_core::ports::StoreError;
use pumice_core::run::Run;

use super::record::{DUE_AT, DUE_SHARD, DUE_SHARDS, LINE, key_of, micros};
use crate::attribute::{Item, json, text, whole};
use crate::failure::store_error;
use crate::store::Store;

/// How many of those in line are looked at: an index lags, and the first may have left it.
const LOOKED_AT: i32 = 20;
/// Most items of an index that are read at once.
const MAX_PAGE: i32 = 1_000;

impl Store {
    /// Runs whose time to be looked at has passed. The index may say so too early, see `update`: it is
    /// put right here.
    pub(super) async fn due_by(&self, now: Timestamp, limit: usize) -> Result<Vec<Run>, StoreError> {
        let shards = (0..DUE_SHARDS).map(|shard| self.due_of(shard, now, limit));
        let mut found: Vec<(i64, RunKey)> = try_join_all(shards).await?.into_iter().flatten().collect();
        found.sort();
        found.truncate(limit);
        let keys: Vec<RunKey> = found.into_iter().map(|(_, key)| key).collect();
        let mut due = Vec::new();
        for run in self.records(&keys).await? {
            match run.due_at {
                Some(at) if at <= now => due.push(run),
                Some(_) => self.put_off(&run).await?,
                None => {}
            }
        }
        due.sort_by_key(|run| run.due_at);
        Ok(due)
    }

    pub(super) async fn due_of(
        &self,
        shard: u8,
        now: Timestamp,
        limit: usize,
    ) -> Result<Vec<(i64, RunKey)>, StoreError> {
        let what = format!("reading index due of table {}", self.names.runs());
        let mut pages = self
            .client
            .query()
            .table_name(self.names.runs())
            .index_name("due")
            .key_condition_expression("#shard = :shard AND #due_at <= :now")
            .expression_attribute_names("#shard", DUE_SHARD)
            .expression_attribute_names("#due_at", DUE_AT)
            .expression_attribute_values(":shard", text(shard.to_string()))
            .expression_attribute_values(":now", whole(micros(now)))
            .limit(i32::try_from(limit).unwrap_or(i32::MAX))
            .into_paginator()
            .items()
            .send();
        let mut found = Vec::new();
        while found.len() < limit
            && let Some(item) = pages.next().await
        {
            let item = item.map_err(|error| store_error(&what, &error))?;
            found.extend(due_and_key(&item));
        }
        Ok(found)
    }

    /// Runs that wait for their job's lock, the longest waiting first.
    pub(super) async fn waiting_in_line(&self, job_id: &JobId, limit: usize) -> Result<Vec<Run>, StoreError> {
        let table = self.names.runs();
        let what = format!("reading index line of table {table}");
        // One more than is wanted or two: a record may have changed since the index was written.
        let page = i32::try_from(limit).unwrap_or(i32::MAX).clamp(LOOKED_AT, MAX_PAGE);
        let request = self
            .client
            .query()
            .table_name(&table)
            .index_name("line")
            .key_condition_expression("#line = :job")
            .expression_attribute_names("#line", LINE)
            .expression_attribute_values(":job", text(job_id.as_str()))
            .limit(page);
        let mut pages = request.into_paginator().send();
        let mut line = Vec::new();
        while line.len() < limit
            && let Some(page) = pages.next().await
        {
            let page = page.map_err(|error| store_error(&what, &error))?;
            let keys: Vec<RunKey> = page.items().iter().filter_map(key_of).collect();
            line.extend(self.records(&keys).await?.into_iter().filter(Run::is_in_line));
        }
        line.truncate(limit);
        Ok(line)
    }
}

fn due_and_key(item: &Item) -> Option<(i64, RunKey)> {
    Some((json(item.get(DUE_AT)?.clone()).as_i64()?, key_of(item)?))
}
