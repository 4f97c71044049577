//! Backfills, in memory.

use std::collections::BTreeMap;

use pumice_core::Timestamp;
use pumice_core::clock::Backfill;
use pumice_core::ports::CommitError;

/// Backfills by id.
#[derive(Clone, Debug, Default)]
pub struct BackfillTable(BTreeMap<String, Backfill>);

impl BackfillTable {
    /// The record.
    #[must_use]
    pub fn get(&self, id: &str) -> Option<&Backfill> {
        self.0.get(id)
    }

    /// All of them, the newest first.
    #[must_use]
    pub fn all(&self) -> Vec<Backfill> {
        let mut all: Vec<Backfill> = self.0.values().cloned().collect();
        all.sort_by_key(|one| std::cmp::Reverse(one.begun));
        all
    }

    /// Those that are due, the longest due first.
    #[must_use]
    pub fn due(&self, until: Timestamp, limit: usize) -> Vec<Backfill> {
        let is_due = |one: &&Backfill| one.due_at.is_some_and(|at| at <= until);
        let mut due: Vec<&Backfill> = self.0.values().filter(is_due).collect();
        due.sort_by_key(|one| one.due_at);
        due.into_iter().take(limit).cloned().collect()
    }

    /// Writes one that is not there.
    ///
    /// # Errors
    /// [`CommitError::Conflict`] when one has its id.
    pub fn create(&mut self, backfill: &Backfill) -> Result<(), CommitError> {
        if self.0.contains_key(&backfill.id) {
            return Err(CommitError::Conflict);
        }
        self.0.insert(backfill.id.clone(), backfill.clone());
        Ok(())
    }

    /// Writes one.
    ///
    /// # Errors
    /// [`CommitError::Conflict`] when another revision is stored.
    pub fn put(&mut self, backfill: &Backfill) -> Result<(), CommitError> {
        match self.0.get_mut(&backfill.id) {
            Some(stored) if stored.rev + 1 == backfill.rev => {
                *stored = backfill.clone();
                Ok(())
            }
            _ => Err(CommitError::Conflict),
        }
    }
}
