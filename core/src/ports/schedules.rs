//! Ports of the clock: timetables and backfills.

use async_trait::async_trait;
use futures_util::future::try_join_all;
use serde_json::Value;

use super::{CommitError, DuePlace, DueTimetables, StoreError};
use crate::Timestamp;
use crate::clock::{Backfill, State, Timetable};
use crate::ids::JobId;

/// Records of backfills. One whose time to expire has passed may be gone, or not.
#[async_trait]
pub trait BackfillStore: Send + Sync {
    /// The record.
    async fn load_backfill(&self, id: &str) -> Result<Option<Backfill>, StoreError>;
    /// All of them, the newest first.
    async fn all_backfills(&self) -> Result<Vec<Backfill>, StoreError>;
    /// Those that are due by a time, the longest due first.
    async fn due_backfills(&self, until: Timestamp, limit: usize) -> Result<Vec<Backfill>, StoreError>;
    /// Writes a record that is not there yet; [`CommitError::Conflict`] when one has its id.
    async fn create_backfill(&self, backfill: &Backfill) -> Result<(), CommitError>;
    /// Writes a record on the condition that its `rev` is one more than the stored one.
    async fn put_backfill(&self, backfill: &Backfill) -> Result<(), CommitError>;
}

/// How far the schedules of jobs have come.
#[async_trait]
pub trait ScheduleStore: BackfillStore {
    /// The timetables of jobs, in this order.
    async fn load(&self, job_ids: &[JobId]) -> Result<Vec<Option<Timetable>>, StoreError>;
    /// How many parts it keeps what is due in. They can be read at the same time.
    fn parts(&self) -> usize {
        1
    }
    /// A page of the timetables of one part that are due by a time, the longest due first: of those after a place, up to
    /// `limit` that are shown as due.
    async fn due(
        &self,
        part: usize,
        until: Timestamp,
        after: Option<&DuePlace>,
        limit: usize,
    ) -> Result<DueTimetables, StoreError>;
    /// Up to `limit` of those that are due by a time, the longest due first, by the first page of each part.
    async fn longest_due(&self, until: Timestamp, limit: usize) -> Result<Vec<Timetable>, StoreError> {
        let pages = (0..self.parts()).map(|part| self.due(part, until, None, limit));
        let pages = try_join_all(pages).await?;
        let mut due: Vec<Timetable> = pages.into_iter().flat_map(|page| page.found).collect();
        due.sort_by_key(|one| one.due_at);
        due.truncate(limit);
        Ok(due)
    }
    /// The schedules of the jobs that name one of these dispatchers of lava's, in a store that is not notified of jobs
    /// that other tools put; `None` in a store that is.
    async fn shown(&self, dispatchers: &[String]) -> Result<Option<Vec<(JobId, Value)>>, StoreError> {
        let _ = dispatchers;
        Ok(None)
    }
    /// The jobs that were not enabled when their timetables were looked at last, by job. The answer may lag behind writes.
    async fn disabled(&self) -> Result<Vec<JobId>, StoreError> {
        let is_disabled = |one: &Timetable| one.cursors.iter().any(|cursor| cursor.state == State::Disabled);
        Ok(self.all().await?.into_iter().filter(is_disabled).map(|one| one.job_id).collect())
    }
    /// Has the timetables looked at, as [`touch`](Self::touch) does, that were looked at by other rules than these (see
    /// [`rules_of`](crate::clock::rules_of)), but for those that wait for a look anyway. Gives their jobs; a store may
    /// remember that it has done so.
    async fn keep_to(&self, rules: &str, at: Timestamp) -> Result<Vec<JobId>, StoreError> {
        let others = self.all().await?.into_iter();
        let others = others.filter(|one| one.changed.is_none() && one.rules.as_deref() != Some(rules));
        let ids: Vec<JobId> = others.map(|one| one.job_id).collect();
        self.touch(&ids, at).await?;
        Ok(ids)
    }
    /// When the next one is due.
    async fn next_due(&self) -> Result<Option<Timestamp>, StoreError>;
    /// All timetables, by job.
    async fn all(&self) -> Result<Vec<Timetable>, StoreError>;
    /// Those with an entry that has no next slot, by job: few of many, which a store need not hold at the same time.
    async fn without_next(&self) -> Result<Vec<Timetable>, StoreError> {
        Ok(self.all().await?.into_iter().filter(Timetable::lacks_next).collect())
    }
    /// Writes each on the condition that its `rev` is one more than the stored one; one without cursors is removed
    /// instead. The outcomes are in the same order. An error says that none is known to be written.
    async fn put(&self, timetables: Vec<Timetable>) -> Result<Vec<Result<(), CommitError>>, StoreError>;
    /// Has the timetable of a job looked at, as a run of it ended at a time, as
    /// [`Timetable::hurried`](crate::clock::Timetable::hurried) says; does nothing where there is none.
    async fn hurry(&self, job_id: &JobId, at: Timestamp) -> Result<(), StoreError>;
    /// Has the timetables of jobs looked at, as their specs were changed at a time, as
    /// [`Timetable::touched`](crate::clock::Timetable::touched) says; makes those that are not there.
    async fn touch(&self, job_ids: &[JobId], at: Timestamp) -> Result<(), StoreError>;
}
