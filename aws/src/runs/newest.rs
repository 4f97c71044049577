//! Lists of runs, the newest first.

use std::collections::{BTreeSet, HashMap, VecDeque};
use std::ops::RangeInclusive;

use aws_sdk_dynamodb::types::AttributeValue;
use futures_util::stream::{self, StreamExt, TryStreamExt};
use pumice_core::Timestamp;
use pumice_core::glob::fnmatch;
use pumice_core::ids::{JobId, RunKey};
use pumice_core::ports::{Beginning, JobStore, RunQuery, StoreError};
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
/// The same where a beginning of an id is looked for, which needs no records.
const KEY_PAGE: usize = 1_000;
/// Most keys among which an id is looked for that does not tell its time: 11 MB of the index, or 1,400 read units.
const MAX_LOOKED: usize = 100_000;
/// How far the time in an id may be from its run's, in microseconds: two clocks may have made them.
const SKEW: i64 = 600_000_000;

/// Where items stand that name jobs which were deleted.
const DELETED: &str = "jobs#deleted";

/// The runs of one job, the newest first, read as far as they are needed.
struct Runs {
    job_id: JobId,
    /// When they were asked for, in microseconds since 1970.
    during: RangeInclusive<i64>,
    children: bool,
    page: usize,
    read: VecDeque<(i64, RunKey)>,
    next: Option<HashMap<String, AttributeValue>>,
    more: bool,
}

impl Runs {
    fn new(job_id: JobId, during: RangeInclusive<i64>, children: bool, page: usize) -> Self {
        Self { job_id, during, children, page, read: VecDeque::new(), next: None, more: true }
    }
}

impl Store {
    /// Runs of their own whose ids begin so, up to `few`. A time-ordered id (RFC 9562, version 7) tells when to look; what
    /// made another one, as of a request with a key, is looked for among the newest `most` runs and steps.
    ///
    /// # Errors
    /// [`StoreError`] when the table cannot be read.
    pub async fn runs_beginning(
        &self,
        prefix: &str,
        few: usize,
        most: usize,
    ) -> Result<Beginning, StoreError> {
        let jobs = self.asked_for(&RunQuery::default()).await?;
        let version = prefix.as_bytes().get(VERSION_AT);
        let mut keys = BTreeSet::new();
        if version.is_none_or(|version| *version == b'7') {
            let during = time_of(prefix);
            let of = |job: &JobId| Runs::new(job.clone(), during.clone(), false, KEY_PAGE);
            let mut all: Vec<Runs> = jobs.iter().map(of).collect();
            while keys.len() < few {
                let Some(key) = self.next(&mut all).await? else { break };
                keys.extend(Some(key).filter(|key| key.as_str().starts_with(prefix)));
            }
            let is_time_ordered = version.is_some();
            if keys.len() >= few || is_time_ordered && !keys.is_empty() {
                return Ok(Beginning { keys: keys.into_iter().collect(), looked_at: None });
            }
        }
        let of = |job: JobId| Runs::new(job, 0..=i64::MAX, true, KEY_PAGE);
        let mut all: Vec<Runs> = jobs.into_iter().map(of).collect();
        for _ in 0..most {
            let next = if keys.len() < few { self.next(&mut all).await? } else { None };
            let Some(key) = next else {
                return Ok(Beginning { keys: keys.into_iter().collect(), looked_at: None });
            };
            keys.extend(Some(key).filter(|key| key.depth() == 0 && key.as_str().starts_with(prefix)));
        }
        let looked_at = self.next(&mut all).await?.map(|_| most);
        Ok(Beginning { keys: keys.into_iter().collect(), looked_at })
    }

    /// What [`pumice_core::ports::RunStore::beginning`] gives.
    pub(super) async fn beginning_of(&self, prefix: &str, few: usize) -> Result<Beginning, StoreError> {
        self.runs_beginning(prefix, few, MAX_LOOKED).await
    }

    /// Runs that a query is after. Those of every job are found by way of the table of jobs: there is
    /// no place that all new runs of a realm would have to be written to.
    pub(super) async fn newest(&self, query: &RunQuery) -> Result<Vec<Run>, StoreError> {
        let mut all: Vec<Runs> = self
            .asked_for(query)
            .await?
            .into_iter()
            .map(|job_id| {
                let since = query.since.map_or(0, micros);
                Runs::new(job_id, since..=i64::MAX, query.children, PAGE.min(query.limit.max(1)))
            })
            .collect();
        let mut found = Vec::new();
        while found.len() < query.limit {
            let batch = self.next_batch(&mut all).await?;
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
    async fn next_batch(&self, all: &mut [Runs]) -> Result<Vec<RunKey>, StoreError> {
        let mut batch = Vec::new();
        while batch.len() < PAGE {
            let Some(key) = self.next(all).await? else { break };
            batch.push(key);
        }
        Ok(batch)
    }

    /// The key of the newest run that has not been looked at.
    async fn next(&self, all: &mut [Runs]) -> Result<Option<RunKey>, StoreError> {
        // Which is the newest is only known when one of each job is.
        let unknown = all.iter_mut().filter(|runs| runs.read.is_empty() && runs.more);
        let reads: Vec<_> = unknown.map(|runs| self.read_on(runs)).collect();
        stream::iter(reads).buffer_unordered(MAX_AT_ONCE).try_collect::<()>().await?;
        let newest = all.iter_mut().filter(|runs| !runs.read.is_empty());
        let newest = newest.max_by_key(|runs| runs.read.front().map(|(at, _)| *at));
        Ok(newest.and_then(|runs| runs.read.pop_front()).map(|(_, key)| key))
    }

    /// Reads on in the runs of one job, until there is one or no more.
    async fn read_on(&self, runs: &mut Runs) -> Result<(), StoreError> {
        let table = self.names.runs();
        while runs.read.is_empty() && runs.more {
            let request = self
                .client
                .query()
                .table_name(&table)
                .index_name("job")
                .key_condition_expression("job_id = :job AND ts_dispatch BETWEEN :from AND :to")
                .expression_attribute_values(":job", text(runs.job_id.as_str()))
                .expression_attribute_values(":from", whole(*runs.during.start()))
                .expression_attribute_values(":to", whole(*runs.during.end()))
                .scan_index_forward(false)
                .limit(i32::try_from(runs.page).unwrap_or(i32::MAX))
                .set_exclusive_start_key(runs.next.take());
            let answer = request.send().await;
            let answer = answer
                .map_err(|error| store_error(&format!("reading index job of table {table}"), &error))?;
            let keys = answer.items().iter().filter_map(at_and_key);
            runs.read.extend(keys.filter(|(_, key)| runs.children || key.depth() == 0));
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

fn at_and_key(item: &Item) -> Option<(i64, RunKey)> {
    Some((json(item.get("ts_dispatch")?.clone()).as_i64()?, key_of(item)?))
}

fn holds(run: &Run, query: &RunQuery) -> bool {
    (query.statuses.is_empty() || query.statuses.contains(&run.status))
        && !(query.without_alerts && run.late.is_some())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn time_in_the_beginning_of_an_id_bounds_when_its_run_was_asked_for() {
        // 0x019a0000_0000 and what may follow in the digits that are not given, each way ten minutes more.
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
