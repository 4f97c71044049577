//! Lists of runs, the newest first.

use std::collections::{BTreeSet, HashMap, VecDeque};

use aws_sdk_dynamodb::types::AttributeValue;
use futures_util::stream::{self, StreamExt, TryStreamExt};
use pumice_core::Timestamp;
use pumice_core::glob::fnmatch;
use pumice_core::ids::{JobId, RunKey};
use pumice_core::ports::{JobStore, RunQuery, StoreError};
use pumice_core::run::{NEVER, Run};
use pumice_core::spec::Settings;

use super::record::{item_key, key_of, micros};
use crate::attribute::{Item, json, text, whole};
use crate::failure::store_error;
use crate::store::{Store, text_of};

/// Most jobs whose runs are asked for at the same time.
const MAX_AT_ONCE: usize = 16;
/// Most keys of one job that one question gives.
const PAGE: usize = 100;

/// Where items stand that name jobs which were deleted.
const DELETED: &str = "jobs#deleted";

/// The runs of one job, the newest first, read as far as they are needed.
struct Runs {
    job_id: JobId,
    read: VecDeque<(i64, RunKey)>,
    next: Option<HashMap<String, AttributeValue>>,
    more: bool,
}

impl Store {
    /// Runs that a query is after. Those of every job are found by way of the table of jobs: there is
    /// no place that all new runs of a realm would have to be written to.
    pub(super) async fn newest(&self, query: &RunQuery) -> Result<Vec<Run>, StoreError> {
        let mut all: Vec<Runs> = self
            .asked_for(query)
            .await?
            .into_iter()
            .map(|job_id| Runs { job_id, read: VecDeque::new(), next: None, more: true })
            .collect();
        let mut found = Vec::new();
        while found.len() < query.limit {
            let batch = self.next_batch(&mut all, query).await?;
            if batch.is_empty() {
                break;
            }
            found.extend(self.records(&batch).await?.into_iter().filter(|run| holds(run, query)));
        }
        found.truncate(query.limit);
        Ok(found)
    }

    async fn asked_for(&self, query: &RunQuery) -> Result<Vec<JobId>, StoreError> {
        let pattern = query.job.as_deref();
        if let Some(job) = pattern.filter(|job| !job.contains(['*', '?', '['])) {
            return Ok(JobId::stored(job).into_iter().collect());
        }
        let items = self.scan(&self.names.jobs(), Some("job_id")).await?;
        let mut ids: BTreeSet<JobId> =
            items.iter().filter_map(|item| JobId::stored(text_of(item, "job_id")?).ok()).collect();
        ids.extend(self.deleted().await?);
        ids.retain(|id| pattern.is_none_or(|pattern| fnmatch(pattern, id.as_str())));
        Ok(ids.into_iter().collect())
    }

    /// Keeps in mind that there were these jobs, for as long as their runs may be there.
    pub(crate) async fn remember_deleted(
        &self,
        ids: impl Iterator<Item = &JobId>,
        now: Timestamp,
    ) -> Result<(), StoreError> {
        // A realm that does not hold is not in the way.
        let keep = self
            .realm()
            .await
            .map_or_else(|_| Settings::default().event_ttl, |realm| realm.settings.event_ttl);
        let expires = keep.map_or(NEVER, |keep| now + keep.delta()).timestamp();
        let table = self.names.runs();
        for id in ids {
            let mut item = item_key(DELETED, id.as_str());
            item.insert("ttl".to_owned(), whole(expires));
            let request = self.client.put_item().table_name(&table).set_item(Some(item));
            let what = format!("writing to table {table} that there was a job {id}");
            request.send().await.map_err(|error| store_error(&what, &error))?;
        }
        Ok(())
    }

    /// Jobs that were deleted while their runs may still be there.
    async fn deleted(&self) -> Result<Vec<JobId>, StoreError> {
        let table = self.names.runs();
        let pages = self
            .client
            .query()
            .table_name(&table)
            .consistent_read(true)
            .key_condition_expression("run_id = :deleted")
            .expression_attribute_values(":deleted", text(DELETED))
            .into_paginator()
            .items()
            .send();
        let items: Vec<Item> = pages
            .collect::<Result<_, _>>()
            .await
            .map_err(|error| store_error(&format!("reading table {table}"), &error))?;
        Ok(items.iter().filter_map(|item| JobId::stored(text_of(item, "path")?).ok()).collect())
    }

    /// The keys of the newest runs that have not been looked at.
    async fn next_batch(&self, all: &mut [Runs], query: &RunQuery) -> Result<Vec<RunKey>, StoreError> {
        let mut batch = Vec::new();
        while batch.len() < PAGE {
            // Which is the newest is only known when one of each job is.
            let reads: Vec<_> = all.iter_mut().map(|runs| self.read_on(runs, query)).collect();
            stream::iter(reads).buffer_unordered(MAX_AT_ONCE).try_collect::<()>().await?;
            let newest = all.iter_mut().filter(|runs| !runs.read.is_empty());
            let Some(runs) = newest.max_by_key(|runs| runs.read.front().map(|(at, _)| *at)) else { break };
            batch.extend(runs.read.pop_front().map(|(_, key)| key));
        }
        Ok(batch)
    }

    /// Reads on in the runs of one job, until there is one or no more.
    async fn read_on(&self, runs: &mut Runs, query: &RunQuery) -> Result<(), StoreError> {
        let table = self.names.runs();
        while runs.read.is_empty() && runs.more {
            let request = self
                .client
                .query()
                .table_name(&table)
                .index_name("job")
                .key_condition_expression("job_id = :job AND ts_dispatch >= :since")
                .expression_attribute_values(":job", text(runs.job_id.as_str()))
                .expression_attribute_values(":since", whole(query.since.map_or(0, micros)))
                .scan_index_forward(false)
                .limit(i32::try_from(PAGE.min(query.limit.max(1))).unwrap_or(i32::MAX))
                .set_exclusive_start_key(runs.next.take());
            let answer = request.send().await;
            let answer = answer
                .map_err(|error| store_error(&format!("reading index job of table {table}"), &error))?;
            let keys = answer.items().iter().filter_map(at_and_key);
            runs.read.extend(keys.filter(|(_, key)| query.children || key.depth() == 0));
            runs.next = answer.last_evaluated_key;
            runs.more = runs.next.is_some();
        }
        Ok(())
    }
}

fn at_and_key(item: &Item) -> Option<(i64, RunKey)> {
    Some((json(item.get("ts_dispatch")?.clone()).as_i64()?, key_of(item)?))
}

fn holds(run: &Run, query: &RunQuery) -> bool {
    query.statuses.is_empty() || query.statuses.contains(&run.status)
}
