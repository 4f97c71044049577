//! Runs found in the indexes that have them by time.

use std::cmp::Ordering;
use std::collections::{BTreeSet, HashMap, VecDeque};
use std::ops::RangeInclusive;

use aws_sdk_dynamodb::types::AttributeValue;
use futures_util::stream::{self, StreamExt, TryStreamExt};
use pumice_core::Timestamp;
use pumice_core::glob::is_pattern;
use pumice_core::ids::{JobId, RunKey};
use pumice_core::ports::{Beginning, JobStore, Order, RunQuery, StoreError};
use pumice_core::run::{NEVER, Run};
use pumice_core::spec::Settings;

use super::bad_ends::BAD_INDEX;
use super::record::{BAD_END, JOB, item_key, key_of, without_part};
use crate::attribute::{Item, json, text, whole};
use crate::failure::store_error;
use crate::store::{Store, text_of};

/// Most jobs whose runs are asked for at the same time.
const MAX_AT_ONCE: usize = 16;
/// The same where a beginning of an id is looked for, which needs no records.
const KEY_PAGE: usize = 1_000;
/// Most keys that are searched for an id that does not contain its time: 11 MB of the index, or 1,400 read units.
const MAX_LOOKED: usize = 100_000;
/// How far the time in an id may be from its run's, in microseconds: two clocks may have made them.
const SKEW: i64 = 600_000_000;

/// Where items stand that name jobs which were deleted.
const DELETED: &str = "jobs#deleted";

/// The index that runs are read from, and its key.
pub(super) enum Index {
    /// The runs of a job, or of one part of them, under this key.
    Job(String),
    /// The runs of one part of the index on those that ended, but not well.
    BadEnd(String),
}

/// Runs of one kind in the order of a list, read as far as they are needed. Runs of one moment come by their keys.
pub(super) struct Runs {
    index: Index,
    /// When they were asked for, in microseconds since 1970.
    during: RangeInclusive<i64>,
    order: Order,
    page: usize,
    read: VecDeque<Found>,
    next: Option<HashMap<String, AttributeValue>>,
    more: bool,
}

/// A run as an index has it.
#[derive(Clone, Debug)]
pub(super) struct Found {
    pub(super) at: i64,
    pub(super) key: RunKey,
    /// Its job, where the index has it.
    pub(super) job_id: Option<String>,
    /// Its record, where that was read already.
    pub(super) run: Option<Run>,
}

impl Runs {
    pub(super) fn new(index: Index, during: RangeInclusive<i64>, order: Order, page: usize) -> Self {
        Self { index, during, order, page, read: VecDeque::new(), next: None, more: true }
    }

    /// Runs that were found already.
    pub(super) fn known(found: Vec<Found>, order: Order) -> Self {
        let index = Index::BadEnd(String::new());
        let mut known = Self { more: false, ..Self::new(index, 0..=0, order, 0) };
        known.read.extend(found);
        known.sort();
        known
    }

    fn sort(&mut self) {
        let order = self.order;
        self.read.make_contiguous().sort_by(|one, other| in_order(order, one, other));
    }

    /// Whether the first is known: others of its moment may be on the next page of the index.
    fn is_ready(&self) -> bool {
        match (self.read.front(), self.read.back()) {
            (Some(first), Some(last)) => !self.more || first.at != last.at,
            _ => !self.more,
        }
    }
}

fn in_order(order: Order, one: &Found, other: &Found) -> Ordering {
    let ascending = one.at.cmp(&other.at).then_with(|| one.key.cmp(&other.key));
    if order == Order::Newest { ascending.reverse() } else { ascending }
}

impl Store {
    /// Runs without a parent whose ids begin so, up to `few`. A time-ordered id (RFC 9562, version 7) contains the time
    /// to search; another one, as of a request with a key, is searched for among the newest `most` runs and steps.
    ///
    /// # Errors
    /// [`StoreError`] when the table cannot be read.
    pub async fn runs_beginning(
        &self,
        prefix: &str,
        few: usize,
        most: usize,
    ) -> Result<Beginning, StoreError> {
        let jobs = self.job_keys(&self.asked_for(&RunQuery::default()).await?).await?;
        let version = prefix.as_bytes().get(VERSION_AT);
        let mut keys = BTreeSet::new();
        if version.is_none_or(|version| *version == b'7') {
            let during = time_of(prefix);
            let of =
                |job: &String| Runs::new(Index::Job(job.clone()), during.clone(), Order::Newest, KEY_PAGE);
            let mut all: Vec<Runs> = jobs.iter().map(of).collect();
            while keys.len() < few {
                let Some(Found { key, .. }) = self.next(&mut all).await? else { break };
                keys.extend(Some(key).filter(|key| key.depth() == 0 && key.as_str().starts_with(prefix)));
            }
            let is_time_ordered = version.is_some();
            if keys.len() >= few || is_time_ordered && !keys.is_empty() {
                return Ok(Beginning { keys: keys.into_iter().collect(), looked_at: None });
            }
        }
        let of = |job: String| Runs::new(Index::Job(job), 0..=i64::MAX, Order::Newest, KEY_PAGE);
        let mut all: Vec<Runs> = jobs.into_iter().map(of).collect();
        for _ in 0..most {
            let next = if keys.len() < few { self.next(&mut all).await? } else { None };
            let Some(Found { key, .. }) = next else {
                return Ok(Beginning { keys: keys.into_iter().collect(), looked_at: None });
            };
            keys.extend(Some(key).filter(|key| key.depth() == 0 && key.as_str().starts_with(prefix)));
        }
        let looked_at = self.next(&mut all).await?.map(|_| most);
        Ok(Beginning { keys: keys.into_iter().collect(), looked_at })
    }

    /// As [`pumice_core::ports::RunStore::beginning`].
    pub(super) async fn beginning_of(&self, prefix: &str, few: usize) -> Result<Beginning, StoreError> {
        self.runs_beginning(prefix, few, MAX_LOOKED).await
    }

    /// The jobs whose runs a query asks for. Those of every job are found by way of the table of jobs: there is no place
    /// that all new runs of a realm would have to be written to.
    pub(super) async fn asked_for(&self, query: &RunQuery) -> Result<Vec<JobId>, StoreError> {
        let patterns = query.jobs();
        if let Some(jobs) = patterns.filter(|jobs| !jobs.iter().any(|job| is_pattern(job))) {
            let jobs: BTreeSet<JobId> = jobs.into_iter().filter_map(|job| JobId::stored(job).ok()).collect();
            return Ok(jobs.into_iter().collect());
        }
        let items = self.scan(&self.names.jobs(), Some("job_id")).await?;
        let mut ids: BTreeSet<JobId> =
            items.iter().filter_map(|item| JobId::stored(text_of(item, "job_id")?).ok()).collect();
        ids.extend(self.deleted().await?);
        ids.retain(|id| query.takes_job(id.as_str()));
        Ok(ids.into_iter().collect())
    }

    /// Keeps in mind that there were these jobs, for as long as their runs may be there.
    pub(crate) async fn remember_deleted(
        &self,
        ids: impl Iterator<Item = &JobId>,
        now: Timestamp,
    ) -> Result<(), StoreError> {
        // A realm that is invalid is not in the way.
        let keep = self
            .realm()
            .await
            .map_or_else(|_| Settings::default().event_ttl, |realm| realm.settings.event_ttl.clone())
            .longest();
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

    /// The next run in order that has not been looked at.
    pub(super) async fn next(&self, all: &mut [Runs]) -> Result<Option<Found>, StoreError> {
        // Which is the next is only known when one of each kind is.
        let unknown = all.iter_mut().filter(|runs| !runs.is_ready());
        let reads: Vec<_> = unknown.map(|runs| self.read_on(runs)).collect();
        stream::iter(reads).buffer_unordered(MAX_AT_ONCE).try_collect::<()>().await?;
        let heads =
            all.iter().enumerate().filter_map(|(place, runs)| Some((place, runs.order, runs.read.front()?)));
        let next = heads.min_by(|(_, order, one), (_, _, other)| in_order(*order, one, other));
        Ok(next.map(|(place, ..)| place).and_then(|place| all[place].read.pop_front()))
    }

    /// Reads on in the runs of one index, until the next is known or there are no more.
    async fn read_on(&self, runs: &mut Runs) -> Result<(), StoreError> {
        let table = self.names.runs();
        while !runs.is_ready() {
            let (index, attribute, value) = match &runs.index {
                Index::Job(key) => ("job", JOB, key.as_str()),
                Index::BadEnd(part) => (BAD_INDEX, BAD_END, part.as_str()),
            };
            let request = self
                .client
                .query()
                .table_name(&table)
                .index_name(index)
                .key_condition_expression("#hash = :hash AND ts_dispatch BETWEEN :from AND :to")
                .expression_attribute_names("#hash", attribute)
                .expression_attribute_values(":hash", text(value))
                .expression_attribute_values(":from", whole(*runs.during.start()))
                .expression_attribute_values(":to", whole(*runs.during.end()))
                .scan_index_forward(runs.order == Order::Oldest)
                .limit(i32::try_from(runs.page).unwrap_or(i32::MAX))
                .set_exclusive_start_key(runs.next.take());
            let answer = request.send().await;
            let answer = answer
                .map_err(|error| store_error(&format!("reading index {index} of table {table}"), &error))?;
            runs.read.extend(answer.items().iter().filter_map(found));
            runs.sort();
            runs.next = answer.last_evaluated_key;
            runs.more = runs.next.is_some();
        }
        Ok(())
    }
}

/// Where an id that is written with hyphens has its version (RFC 9562, section 4).
const VERSION_AT: usize = 14;
/// How many digits of a time-ordered id are its time, in milliseconds since 1970.
const TIME_DIGITS: usize = 12;

/// When runs may have been asked for whose time-ordered ids begin so, in microseconds since 1970.
fn time_of(prefix: &str) -> RangeInclusive<i64> {
    let digits: String = prefix.chars().filter(char::is_ascii_hexdigit).take(TIME_DIGITS).collect();
    let padded = |with: &str| {
        let rest = with.repeat(TIME_DIGITS - digits.len());
        i64::from_str_radix(&format!("{digits}{rest}"), 16).unwrap_or_default().saturating_mul(1_000)
    };
    padded("0").saturating_sub(SKEW).max(0)..=padded("f").saturating_add(SKEW)
}

fn found(item: &Item) -> Option<Found> {
    let at = json(item.get("ts_dispatch")?.clone()).as_i64()?;
    let job_id = text_of(item, JOB).map(|job| without_part(job).to_owned());
    Some(Found { at, key: key_of(item)?, job_id, run: None })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn beginning_of_a_time_ordered_id_bounds_its_time() {
        // 0x019a0000_0000 with any further digits, and ten minutes more in each direction.
        let ms = 0x019a_0000_0000_i64;
        for (prefix, last) in [
            ("019a", ms + 0xffff_ffff),
            ("019a0000", ms + 0xffff),
            ("019a0000-", ms + 0xffff),
            ("019a0000-0000", ms),
            ("019a0000-0000-7abc", ms),
        ] {
            assert_eq!(time_of(prefix), ms * 1_000 - SKEW..=last * 1_000 + SKEW, "{prefix}");
        }
        assert_eq!(*time_of("0000").start(), 0);
        assert_eq!("019a0000-0000-7".as_bytes()[VERSION_AT], b'7');
    }
}
