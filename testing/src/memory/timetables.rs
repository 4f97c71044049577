//! How far schedules have come, in memory.

use std::collections::BTreeMap;

use pumice_core::Timestamp;
use pumice_core::clock::Timetable;
use pumice_core::ids::JobId;
use pumice_core::ports::{CommitError, Doc};

/// Timetables by job.
#[derive(Clone, Debug, Default)]
pub struct TimetableTable(BTreeMap<JobId, Timetable>);

impl TimetableTable {
    /// The timetable of a job.
    #[must_use]
    pub fn get(&self, job_id: &JobId) -> Option<&Timetable> {
        self.0.get(job_id)
    }

    /// All of them.
    #[must_use]
    pub fn all(&self) -> Vec<Timetable> {
        self.0.values().cloned().collect()
    }

    /// Those that are due, the longest due first.
    #[must_use]
    pub fn due(&self, until: Timestamp, limit: usize) -> Vec<Timetable> {
        let mut due: Vec<&Timetable> =
            self.0.values().filter(|one| one.due_at.is_some_and(|at| at <= until)).collect();
        due.sort_by_key(|one| one.due_at);
        due.into_iter().take(limit).cloned().collect()
    }

    /// When the next is due.
    #[must_use]
    pub fn next_due(&self) -> Option<Timestamp> {
        self.0.values().filter_map(|one| one.due_at).min()
    }

    /// Writes or removes one.
    ///
    /// # Errors
    /// [`CommitError::Conflict`] when another revision is stored.
    pub fn put(&mut self, timetable: Timetable) -> Result<(), CommitError> {
        if self.0.get(&timetable.job_id).is_none_or(|stored| stored.rev + 1 != timetable.rev) {
            return Err(CommitError::Conflict);
        }
        if timetable.cursors.is_empty() {
            self.0.remove(&timetable.job_id);
        } else {
            self.0.insert(timetable.job_id.clone(), timetable);
        }
        Ok(())
    }

    /// Has the timetable of a job looked at, as a run of it ended.
    pub fn hurry(&mut self, job_id: &JobId, at: Timestamp) {
        if let Some(timetable) = self.0.get_mut(job_id) {
            *timetable = timetable.hurried(at);
        }
    }

    /// Has the timetable of a job looked at.
    pub fn touch(&mut self, job_id: &JobId, at: Timestamp) {
        let touched =
            self.0.get(job_id).map_or_else(|| Timetable::new(job_id.clone(), at), |one| one.touched(at));
        self.0.insert(job_id.clone(), touched);
    }

    /// Has the timetable of a job looked at, as the realm's rules are others.
    pub fn go_by_other_rules(&mut self, job_id: &JobId, at: Timestamp) {
        if let Some(timetable) = self.0.get_mut(job_id) {
            *timetable = timetable.under_other_rules(at);
        }
    }

    /// Has the timetable of a job looked at that was changed.
    pub fn edit(&mut self, job_id: &JobId, before: Option<&Doc>, after: Option<&Doc>, at: Timestamp) {
        let edited = match self.0.get(job_id) {
            Some(known) => known.edited(before, after, at),
            None => Timetable::new(job_id.clone(), at),
        };
        self.0.insert(job_id.clone(), edited);
    }
}
