//! How many runs were dispatched in each minute: counted by their keys in the index on jobs, which need no records.

use pumice_core::ports::{Minute, MinuteCount, Order, RunQuery, Starts, StoreError};

use super::newest::{Found, Index, Runs};
use super::record::micros;
use crate::store::Store;

/// Most keys of runs and steps that are read: 1 MB of the index, or 140 read units.
const MAX_LOOKED: usize = 10_000;
/// How many keys are read at once.
const PAGE: usize = 1_000;
/// Most failures that are read, and most records that are looked at for them.
const MAX_FAILED: usize = 500;
const MAX_LOOKED_FOR_FAILED: usize = 2_000;

impl Store {
    /// What [`pumice_core::ports::RunStore::starts`] gives.
    pub(super) async fn starts_of(&self, since: Minute, until: Minute) -> Result<Starts, StoreError> {
        let mut starts = Starts::from(since);
        let query = RunQuery { since: Some(since.begin()), order: Order::Newest, ..RunQuery::default() };
        let jobs = self.job_keys(&self.asked_for(&query).await?).await?;
        let during = micros(since.begin())..=i64::MAX;
        let of = |job: String| Runs::new(Index::Job(job), during.clone(), query.order, PAGE);
        let mut all: Vec<Runs> = jobs.into_iter().map(of).collect();
        for looked_at in 0.. {
            let Some(Found { at, key, .. }) = self.next(&mut all).await? else { break };
            let minute = minute_of(at);
            if looked_at == MAX_LOOKED {
                // Of its minute there may be more.
                starts.begin_at(Minute(minute.0.saturating_add(1)));
                break;
            }
            if key.depth() == 0 {
                starts.add(minute.min(until), MinuteCount { runs: 1, failed: 0 });
            }
        }
        self.add_failed(&mut starts, until).await?;
        Ok(starts)
    }

    /// Adds how many of the runs failed, which an index of its own tells.
    async fn add_failed(&self, starts: &mut Starts, until: Minute) -> Result<(), StoreError> {
        let query = RunQuery {
            since: Some(starts.since.begin()),
            statuses: MinuteCount::FAILED.to_vec(),
            limit: MAX_FAILED,
            look_limit: Some(MAX_LOOKED_FOR_FAILED),
            ..RunQuery::default()
        };
        let page = self.page_of(&query).await?;
        for run in &page.runs {
            starts.add(Minute::of(run.ts_dispatch).min(until), MinuteCount { runs: 0, failed: 1 });
        }
        if page.next.is_some() {
            let last = page.runs.last().map_or(until, |run| Minute::of(run.ts_dispatch));
            starts.begin_at(Minute(last.0.saturating_add(1)));
        }
        Ok(())
    }
}

fn minute_of(at: i64) -> Minute {
    Minute::of(pumice_core::Timestamp::from_timestamp_micros(at).unwrap_or_default())
}
