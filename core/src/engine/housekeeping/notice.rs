//! Finds schedules that other tools changed, in a store that is not notified of their writes: an index shows them.

use std::collections::HashMap;

use super::Housekeeper;
use crate::clock::digest;
use crate::ids::JobId;
use crate::ports::StoreError;

impl Housekeeper {
    /// Has changed schedules looked at: those of the jobs of the lava dispatchers that Pumice replaces, where only an
    /// index shows changes. Returns how many.
    ///
    /// # Errors
    /// [`StoreError`] when a store cannot be reached. The next look finds the rest.
    pub async fn notice(&self) -> Result<usize, StoreError> {
        let Some(dispatchers) = self.rules().await?.settings.dispatchers else { return Ok(0) };
        let schedules = &self.site().ports.schedules;
        let Some(shown) = schedules.shown(&dispatchers).await? else { return Ok(0) };
        let shown: HashMap<JobId, String> =
            shown.into_iter().map(|(job_id, schedule)| (job_id, digest(&schedule))).collect();
        let known = match self.noticed.take() {
            Some(known) => known,
            None => self.looked_at().await?,
        };
        let changed = shown.iter().filter(|(job_id, digest)| known.get(*job_id) != Some(*digest));
        let gone = known.keys().filter(|job_id| !shown.contains_key(*job_id));
        let changed: Vec<JobId> = changed.map(|(job_id, _)| job_id).chain(gone).cloned().collect();
        self.touch(&changed, self.now()).await?;
        self.noticed.keep(shown);
        Ok(changed.len())
    }

    /// The schedules as they were looked at last.
    async fn looked_at(&self) -> Result<HashMap<JobId, String>, StoreError> {
        let timetables = self.site().ports.schedules.all().await?;
        Ok(timetables.into_iter().filter_map(|one| Some((one.job_id, one.spec?))).collect())
    }
}
