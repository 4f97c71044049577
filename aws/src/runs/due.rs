//! Runs found by their next step: those due to be looked at, those in line for a lock.

use aws_sdk_dynamodb::operation::update_item::UpdateItemError;
use chrono::TimeDelta;
use futures_util::future::try_join_all;
use futures_util::stream::{self, StreamExt};
use pumice_core::Timestamp;
use pumice_core::ids::{JobId, RunKey};
use pumice_core::ports::{DuePage, DuePlace, StoreError};
use pumice_core::run::Run;

use super::record::{DUE_AT, DUE_SHARD, DUE_SHARDS, LINE, item_key, key_of, micros};
use crate::attribute::{Item, json, text, whole};
use crate::failure::store_error;
use crate::store::{Store, text_of};

/// How long a record that cannot be read is left alone.
const UNREADABLE_PAUSE: TimeDelta = TimeDelta::hours(1);
/// Most writes at the same time.
const AT_ONCE: usize = 16;

/// How many of those in line are looked at: an index lags, and the first may have left it.
const LOOKED_AT: i32 = 20;
/// Most items of an index that are read at once.
const MAX_PAGE: i32 = 1_000;

impl Store {
    /// Runs whose time to be looked at has passed, of all parts of the index.
    pub(super) async fn due_by(&self, now: Timestamp, limit: usize) -> Result<Vec<Run>, StoreError> {
        let parts = (0..DUE_SHARDS).map(|part| self.due_in(part, now, None, limit));
        let pages = try_join_all(parts).await?;
        let mut due: Vec<Run> = pages.into_iter().flat_map(|page| page.runs).collect();
        due.sort_by_key(|run| run.due_at);
        due.truncate(limit);
        Ok(due)
    }

    /// A page of one part of the index. The index may show a run too early, see `update`: that is put right here.
    pub(super) async fn due_in(
        &self,
        part: u8,
        now: Timestamp,
        after: Option<&DuePlace>,
        limit: usize,
    ) -> Result<DuePage, StoreError> {
        let (shown, next) = self.shown_due(part, now, after, limit).await?;
        let keys: Vec<RunKey> = shown.iter().filter_map(key_of).collect();
        let (found, mut unreadable) = self.readable(&keys).await?;
        // An item that is not the record of a run does not belong there.
        let others = shown.iter().filter(|item| key_of(item).is_none());
        unreadable.extend(others.map(|item| (item.clone(), "it is not the record of a run".to_owned())));
        let mut page = DuePage { unreadable: unreadable.len(), next, ..DuePage::default() };
        page.why = unreadable.first().map(|(item, why)| format!("{}: {why}", name_of(item)));
        let mut early = Vec::new();
        for run in found {
            match run.due_at {
                Some(at) if at <= now => page.runs.push(run),
                Some(_) => early.push(run),
                None => {}
            }
        }
        try_join_all(early.iter().map(|run| self.put_off(run))).await?;
        self.put_off_unreadable(unreadable.iter().map(|(item, _)| item), now).await?;
        page.runs.sort_by_key(|run| run.due_at);
        Ok(page)
    }

    /// Whether any run is to be looked at until then, readable or not.
    pub(crate) async fn has_due(&self, until: Timestamp) -> Result<bool, StoreError> {
        let parts = (0..DUE_SHARDS).map(|part| self.shown_due(part, until, None, 1));
        Ok(try_join_all(parts).await?.iter().any(|(shown, _)| !shown.is_empty()))
    }

    /// The keys that a part of the index shows, up to a few more than `limit`.
    pub(super) async fn due_keys(
        &self,
        part: u8,
        until: Timestamp,
        limit: usize,
    ) -> Result<Vec<RunKey>, StoreError> {
        let (mut keys, mut after) = (Vec::new(), None);
        loop {
            let (shown, next) = self.shown_due(part, until, after.as_ref(), limit).await?;
            keys.extend(shown.iter().filter_map(key_of));
            after = next;
            if after.is_none() || keys.len() >= limit {
                return Ok(keys);
            }
        }
    }

    /// A page of a part of the index, and where the next one begins.
    async fn shown_due(
        &self,
        part: u8,
        now: Timestamp,
        after: Option<&DuePlace>,
        limit: usize,
    ) -> Result<(Vec<Item>, Option<DuePlace>), StoreError> {
        let shard = part.to_string();
        let request = self
            .client
            .query()
            .table_name(self.names.runs())
            .index_name("due")
            .key_condition_expression("#shard = :shard AND #due_at <= :now")
            .expression_attribute_names("#shard", DUE_SHARD)
            .expression_attribute_names("#due_at", DUE_AT)
            .expression_attribute_values(":shard", text(&*shard))
            .expression_attribute_values(":now", whole(micros(now)))
            .set_exclusive_start_key(after.map(|place| start_key(&shard, place)))
            .limit(i32::try_from(limit).unwrap_or(i32::MAX));
        let answer = request.send().await.map_err(|error| {
            store_error(&format!("reading index due of table {}", self.names.runs()), &error)
        })?;
        let next = answer.last_evaluated_key.as_ref().and_then(place_of);
        Ok((answer.items.unwrap_or_default(), next))
    }

    /// Leaves items of the index alone for a while that cannot be read, as they may be again: after a rollback they are of
    /// a version to come.
    pub(crate) async fn put_off_unreadable(
        &self,
        items: impl Iterator<Item = &Item>,
        now: Timestamp,
    ) -> Result<(), StoreError> {
        let until = now + UNREADABLE_PAUSE;
        let table = self.names.runs();
        let writing: Vec<_> = items
            .filter_map(|item| {
                let key = ["run_id", "path"].map(|name| Some((name.to_owned(), item.get(name)?.clone())));
                let key = key.into_iter().collect::<Option<Item>>()?;
                let request = self.client.update_item().table_name(&table).set_key(Some(key));
                let request = request
                    .update_expression("SET #due_at = :until")
                    .condition_expression("attribute_exists(#shard) AND #due_at <= :now")
                    .expression_attribute_names("#due_at", DUE_AT)
                    .expression_attribute_names("#shard", DUE_SHARD)
                    .expression_attribute_values(":until", whole(micros(until)))
                    .expression_attribute_values(":now", whole(micros(now)));
                Some(request.send())
            })
            .collect();
        let written: Vec<_> = stream::iter(writing).buffered(AT_ONCE).collect().await;
        for outcome in written {
            match outcome {
                Ok(_) => {}
                // A version that can read it has written to it meanwhile.
                Err(error)
                    if error
                        .as_service_error()
                        .is_some_and(UpdateItemError::is_conditional_check_failed_exception) => {}
                Err(error) => return Err(store_error(&format!("writing to table {table}"), &error)),
            }
        }
        Ok(())
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

/// The key at which a query of the index goes on.
fn start_key(shard: &str, place: &DuePlace) -> Item {
    let (run_id, path) = place.key.split_once('\n').unwrap_or((&place.key, ""));
    let mut key = item_key(run_id, path);
    key.insert(DUE_SHARD.to_owned(), text(shard));
    key.insert(DUE_AT.to_owned(), whole(micros(place.at)));
    key
}

fn place_of(key: &Item) -> Option<DuePlace> {
    let at = json(key.get(DUE_AT)?.clone()).as_i64()?;
    let key = format!("{}\n{}", text_of(key, "run_id")?, text_of(key, "path")?);
    Some(DuePlace { at: Timestamp::from_timestamp_micros(at)?, key })
}

/// An item as the log names it.
fn name_of(item: &Item) -> String {
    let part = |name| text_of(item, name).unwrap_or_default();
    match key_of(item) {
        Some(key) => format!("run {key}"),
        None => format!("item {} {}", part("run_id"), part("path")),
    }
}
