//! Lists of runs, page by page.

use std::collections::BTreeSet;

use futures_util::future::try_join_all;
use pumice_core::ids::RunKey;
use pumice_core::ports::{Beginning, Order, PageCursor, Pager, RunPage, RunQuery, StoreError};
use pumice_core::run::{Run, Status};

use super::bad_ends::Reliance;
use super::newest::{Found, Index, Runs};
use super::record::{BAD_SHARDS, DUE_SHARDS, bad_end, is_bad_end, micros};
use crate::store::Store;

/// Most records that are read at once, and most keys of an index.
const PAGE: usize = 100;
/// Most runs under way that are found by the index on what is due. Where there are more, they are found as quickly among
/// the runs of each job.
const MAX_OPEN: usize = 1_000;

/// The phases of a list, read one after the other; the parts of a phase are merged.
struct Phases {
    phases: Vec<Phase>,
    note: Option<String>,
}

/// The sources that are merged.
struct Phase {
    runs: Vec<Runs>,
    /// The mark of the index that all runs are looked at here which are older.
    all_before: Option<i64>,
}

impl From<Vec<Runs>> for Phase {
    fn from(runs: Vec<Runs>) -> Self {
        Self { runs, all_before: None }
    }
}

/// The times between which runs are listed, both included, in microseconds since 1970.
type During = (i64, i64);

fn during(query: &RunQuery, place: Option<&PageCursor>) -> During {
    let (mut from, mut to) = (0, i64::MAX);
    if let Some(since) = query.since {
        from = micros(since).max(0);
    }
    if let Some(until) = query.until {
        to = micros(until) - 1;
    }
    match (place, query.order) {
        (Some(place), Order::Newest) => to = to.min(place.place),
        (Some(place), Order::Oldest) => from = from.max(place.place),
        (None, _) => {}
    }
    (from, to)
}

impl Store {
    /// A page of the runs that a query asks for.
    pub(super) async fn page_of(&self, query: &RunQuery) -> Result<RunPage, StoreError> {
        let place = query.place()?;
        let (from, to) = during(query, place);
        let mut pager = Pager::new(query);
        if from > to {
            return Ok(pager.finish(true));
        }
        let Phases { phases, note } = self.phases(query, (from, to)).await?;
        let mut phases = phases.into_iter();
        let (mut phase, mut is_empty) = (phases.next(), true);
        let mut is_end = false;
        while pager.wants_more() {
            let Some(Phase { runs, all_before }) = &mut phase else {
                is_end = true;
                break;
            };
            let batch = self.batch(runs, query, place, pager.left().min(PAGE)).await?;
            is_empty &= batch.is_empty();
            if batch.is_empty() {
                if let Some(mark) = all_before.filter(|_| is_empty) {
                    self.is_alone(mark).await;
                }
                (phase, is_empty) = (phases.next(), true);
            }
            for Found { at, key, run, .. } in batch {
                if pager.wants_more() {
                    pager.look(at, key, run);
                }
            }
        }
        Ok(RunPage { note, ..pager.finish(is_end) })
    }

    /// The next runs, with the records of those that may be asked for.
    async fn batch(
        &self,
        runs: &mut [Runs],
        query: &RunQuery,
        place: Option<&PageCursor>,
        most: usize,
    ) -> Result<Vec<Found>, StoreError> {
        let mut batch: Vec<Found> = Vec::new();
        // No more records than it may take to fill the page and to know that there are more.
        let wanted = query.limit.saturating_add(1);
        let mut meant: Vec<RunKey> = Vec::new();
        while batch.len() < most
            && meant.len() < wanted
            && let Some(found) = self.next(runs).await?
        {
            if place.is_some_and(|place| is_passed(place, &found)) {
                continue;
            }
            let is_meant = (query.children || found.key.depth() == 0)
                && found.job_id.as_deref().is_none_or(|id| query.takes_job(id));
            if is_meant && found.run.is_none() {
                meant.push(found.key.clone());
            }
            batch.push(found);
        }
        let mut records = self.records(&meant).await?;
        for found in &mut batch {
            if let Some(place) = records.iter().position(|run| run.key == found.key) {
                found.run = Some(records.swap_remove(place));
            }
        }
        Ok(batch)
    }

    /// Where the runs of a query are read.
    async fn phases(&self, query: &RunQuery, during: During) -> Result<Phases, StoreError> {
        let of_jobs = async |note: Option<String>| {
            let jobs = self.of_jobs(query, during).await?;
            Ok(Phases { phases: vec![jobs.into()], note })
        };
        if let Some(found) = self.by_id(query).await? {
            let known = Runs::known(within(&found, during), query.order);
            return Ok(Phases { phases: vec![vec![known].into()], note: None });
        }
        if query.statuses.is_empty() || query.statuses.contains(&Status::Complete) {
            return of_jobs(None).await;
        }
        let mut bad: Vec<Status> =
            query.statuses.iter().copied().filter(|status| is_bad_end(*status)).collect();
        bad.sort_by_key(|status| status.as_str());
        bad.dedup();
        let has_open = query.statuses.iter().any(|status| !status.is_end());
        let open = if has_open { self.open_runs(query).await? } else { Some(Vec::new()) };
        let Some(open) = open else { return of_jobs(None).await };
        if bad.is_empty() {
            return Ok(Phases {
                phases: vec![vec![Runs::known(within(&open, during), query.order)].into()],
                note: None,
            });
        }
        let (at, alone) = match self.reliance().await? {
            Reliance::From { at, alone } => (at, alone),
            Reliance::No(note) => return of_jobs(note).await,
        };
        let (old, new) = ((during.0, during.1.min(at - 1)), (during.0.max(at), during.1));
        let mut phases: Vec<Phase> = Vec::new();
        if new.0 <= new.1 {
            let parts = bad.iter().flat_map(|status| (0..BAD_SHARDS).map(|shard| bad_end(*status, shard)));
            let part = |part| Runs::new(Index::BadEnd(part), new.0..=new.1, query.order, PAGE);
            let mut newer: Vec<Runs> = parts.map(part).collect();
            newer.push(Runs::known(within(&open, new), query.order));
            phases.push(newer.into());
        }
        if !alone && old.0 <= old.1 {
            let is_all = query.jobs().is_none() && old == (0, at - 1);
            phases.push(Phase { runs: self.of_jobs(query, old).await?, all_before: is_all.then_some(at) });
        } else if old.0 <= old.1 {
            phases.push(vec![Runs::known(within(&open, old), query.order)].into());
        }
        if query.order == Order::Oldest {
            phases.reverse();
        }
        Ok(Phases { phases, note: None })
    }

    /// The runs of each job that a query asks for.
    async fn of_jobs(&self, query: &RunQuery, (from, to): During) -> Result<Vec<Runs>, StoreError> {
        let keys = self.job_keys(&self.asked_for(query).await?).await?;
        let page = PAGE.min(query.limit.saturating_add(1));
        Ok(keys.into_iter().map(|job| Runs::new(Index::Job(job), from..=to, query.order, page)).collect())
    }

    /// The runs whose ids are asked for; `None` where none are, where steps are asked for as well, or where there are many.
    async fn by_id(&self, query: &RunQuery) -> Result<Option<Vec<Found>>, StoreError> {
        let Some(beginnings) = query.filter.ids().filter(|_| !query.children) else { return Ok(None) };
        let mut keys = BTreeSet::new();
        for beginning in beginnings {
            match beginning.parse::<RunKey>() {
                Ok(key) => keys.extend([key]),
                Err(_) => {
                    let Beginning { keys: found, looked_at } = self.beginning_of(beginning, MAX_OPEN).await?;
                    if looked_at.is_some() || found.len() >= MAX_OPEN {
                        return Ok(None);
                    }
                    keys.extend(found);
                }
            }
        }
        let keys: Vec<RunKey> = keys.into_iter().collect();
        Ok(Some(self.records(&keys).await?.into_iter().map(known).collect()))
    }

    /// The runs that have not ended; `None` when there are many.
    async fn open_runs(&self, query: &RunQuery) -> Result<Option<Vec<Found>>, StoreError> {
        let ever = chrono::DateTime::from_timestamp_micros(i64::MAX / 1_000).unwrap_or_default();
        let shards = (0..DUE_SHARDS).map(|shard| self.due_keys(shard, ever, MAX_OPEN + 1));
        let mut keys: Vec<RunKey> = try_join_all(shards).await?.into_iter().flatten().collect();
        if keys.len() > MAX_OPEN {
            return Ok(None);
        }
        keys.retain(|key| query.children || key.depth() == 0);
        let open = self.records(&keys).await?.into_iter().filter(|run| !run.status.is_end());
        Ok(Some(open.map(known).collect()))
    }
}

/// A run whose record was read already.
fn known(run: Run) -> Found {
    Found { at: micros(run.ts_dispatch), key: run.key.clone(), job_id: None, run: Some(run) }
}

fn within(found: &[Found], (from, to): During) -> Vec<Found> {
    found.iter().filter(|found| (from..=to).contains(&found.at)).cloned().collect()
}

/// Whether a list that goes on at a place has given a run already.
fn is_passed(place: &PageCursor, found: &Found) -> bool {
    let found = (found.at, &found.key);
    match place.order {
        Order::Newest => found >= (place.place, &place.key),
        Order::Oldest => found <= (place.place, &place.key),
    }
}
