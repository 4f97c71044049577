//! The realm's rules for schedules: its zones, dispatchers and calendars, with the environment over them. A realm may be
//! changed while a process runs, so that every look goes by the realm as it is read then.

use std::sync::Arc;

use super::Housekeeper;
use crate::clock::{Timetable, rules_of};
use crate::ids::JobId;
use crate::ports::StoreError;
use crate::spec::{RealmSpec, Settings};

/// A realm as it is read for a look at schedules.
#[derive(Debug)]
pub(super) struct Rules {
    pub(super) realm: Arc<RealmSpec>,
    /// Its settings, with the environment over them.
    pub(super) settings: Settings,
    /// What these say about schedules, as a digest.
    pub(super) digest: String,
}

impl Housekeeper {
    /// The rules by the realm as it was read last.
    pub(super) async fn rules(&self) -> Result<Rules, StoreError> {
        Ok(self.rules_by(self.site().ports.jobs.realm().await?))
    }

    /// The rules for timetables that are to be looked at: where one of them may have been changed by a later realm than the
    /// one that was read last, by the realm as it is stored.
    pub(super) async fn rules_for(&self, due: &[Timetable]) -> Result<Rules, StoreError> {
        let rules = self.rules().await?;
        if due.iter().any(|timetable| timetable.needs_new_realm(&rules.digest)) {
            return self.current_rules().await;
        }
        Ok(rules)
    }

    /// The rules by the realm as it is stored.
    pub(super) async fn current_rules(&self) -> Result<Rules, StoreError> {
        Ok(self.rules_by(self.site().ports.jobs.current_realm().await?))
    }

    fn rules_by(&self, realm: Arc<RealmSpec>) -> Rules {
        let settings = self.site().settings.over(&realm.settings);
        let digest = rules_of(&realm, &settings);
        Rules { realm, settings, digest }
    }

    /// Has the timetables looked at that were looked at by other rules: the environment is another one than that of the
    /// process before, or another tool changed the realm. Gives their jobs.
    ///
    /// # Errors
    /// [`StoreError`] when a store cannot be reached. The next call finds the rest.
    pub async fn keep_to_rules(&self) -> Result<Vec<JobId>, StoreError> {
        let rules = self.current_rules().await?;
        let others = self.site().ports.schedules.keep_to(&rules.digest, self.now()).await?;
        if !others.is_empty() {
            tracing::info!(
                count = others.len(),
                "schedules are looked at again, as zones, dispatchers or calendars are others"
            );
        }
        Ok(others)
    }
}
