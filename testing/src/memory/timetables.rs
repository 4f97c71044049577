//! How far schedules have come, in memory.

use std::collections::BTreeMap;

use pumice_core::Timestamp;
use pumice_core::clock::Timetable;
use pumice_core::ids::JobId;
use pumice_core::ports::{CommitError, Doc, DuePlace, DueTimetables};

/// Timetables by job.
#[derive(Clone, Debug, Default)]
pub struct TimetableTable {
    all: BTreeMap<JobId, Timetable>,
    /// Those that were touched and not looked at since: when, and when they were due before.
    touched: BTreeMap<JobId, (Timestamp, Option<Timestamp>)>,
}

impl TimetableTable {
    /// The timetable of a job.
    #[must_use]
    pub fn get(&self, job_id: &JobId) -> Option<&Timetable> {
        self.all.get(job_id)
    }

    /// All of them.
    #[must_use]
    pub fn all(&self) -> Vec<Timetable> {
        self.all.values().cloned().collect()
    }

    /// A page of those that are due, the longest due first, after the place of an earlier one.
    #[must_use]
    pub fn due(&self, until: Timestamp, after: Option<&DuePlace>, limit: usize) -> DueTimetables {
        self.shown_due(until, after, limit, |one| one.due_at)
    }

    /// The same by an index that may lag: it shows `due_at` of each. Those that are not due any more are left out of the page.
    #[must_use]
    pub fn shown_due(
        &self,
        until: Timestamp,
        after: Option<&DuePlace>,
        limit: usize,
        mut due_at: impl FnMut(&Timetable) -> Option<Timestamp>,
    ) -> DueTimetables {
        let places = self.all.values().filter_map(|one| {
            let at = due_at(one).filter(|at| *at <= until)?;
            Some((DuePlace { at, key: one.job_id.to_string() }, one))
        });
        let is_after = |place: &DuePlace| after.is_none_or(|after| place > after);
        let mut places: Vec<_> = places.filter(|(place, _)| is_after(place)).collect();
        places.sort_by(|(one, _), (other, _)| one.cmp(other));
        let is_full = places.len() >= limit;
        places.truncate(limit);
        let is_due = |one: &&Timetable| one.due_at.is_some_and(|at| at <= until);
        let mut found: Vec<Timetable> = places.iter().map(|(_, one)| *one).filter(is_due).cloned().collect();
        found.sort_by_key(|one| one.due_at);
        let next = places.pop().filter(|_| is_full).map(|(place, _)| place);
        DueTimetables { found, next }
    }

    /// When the next is due.
    #[must_use]
    pub fn next_due(&self) -> Option<Timestamp> {
        self.all.values().filter_map(|one| one.due_at).min()
    }

    /// Writes or removes one.
    ///
    /// # Errors
    /// [`CommitError::Conflict`] when another revision is stored.
    pub fn put(&mut self, timetable: Timetable) -> Result<(), CommitError> {
        if self.all.get(&timetable.job_id).is_none_or(|stored| stored.rev + 1 != timetable.rev) {
            return Err(CommitError::Conflict);
        }
        self.touched.remove(&timetable.job_id);
        if timetable.cursors.is_empty() {
            self.all.remove(&timetable.job_id);
        } else {
            self.all.insert(timetable.job_id.clone(), timetable);
        }
        Ok(())
    }

    /// When a timetable was touched, if it was not looked at since, and when it was due before: an index that lags shows that.
    #[must_use]
    pub fn touched(&self, job_id: &JobId) -> Option<(Timestamp, Option<Timestamp>)> {
        self.touched.get(job_id).copied()
    }

    /// Has the timetable of a job looked at, as a run of it ended.
    pub fn hurry(&mut self, job_id: &JobId, at: Timestamp) {
        if let Some(timetable) = self.all.get(job_id) {
            self.write(timetable.hurried(at), at);
        }
    }

    /// Has the timetable of a job looked at.
    pub fn touch(&mut self, job_id: &JobId, at: Timestamp) {
        let touched =
            self.all.get(job_id).map_or_else(|| Timetable::new(job_id.clone(), at), |one| one.touched(at));
        self.write(touched, at);
    }

    /// Has the timetable of a job looked at, as the realm's rules are others.
    pub fn go_by_other_rules(&mut self, job_id: &JobId, at: Timestamp) {
        if let Some(timetable) = self.all.get(job_id) {
            self.write(timetable.under_other_rules(at), at);
        }
    }

    /// Has the timetable of a job looked at that was changed.
    pub fn edit(&mut self, job_id: &JobId, before: Option<&Doc>, after: Option<&Doc>, at: Timestamp) {
        let edited = match self.all.get(job_id) {
            Some(known) => known.edited(before, after, at),
            None => Timetable::new(job_id.clone(), at),
        };
        self.write(edited, at);
    }

    fn write(&mut self, timetable: Timetable, at: Timestamp) {
        let job_id = timetable.job_id.clone();
        let before = self.all.insert(job_id.clone(), timetable).and_then(|before| before.due_at);
        self.touched.insert(job_id, (at, before));
    }
}
