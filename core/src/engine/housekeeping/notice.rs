//! Finds schedules that other tools changed, in a store that is not notified of their writes: an index shows them.

use std::collections::{HashMap, HashSet};

use serde_json::json;

use super::{Housekeeper, Known};
use crate::Timestamp;
use crate::clock::digest;
use crate::ids::JobId;
use crate::ports::StoreError;
use crate::spec::Enabled;

/// Most jobs of those that were not enabled which one call reads: with more they take turns.
const MAX_READ: usize = 500;
/// How often the next ones have their turn, in seconds: as the sweeper comes.
const TURN: i64 = 60;

impl Housekeeper {
    /// Has changed schedules looked at: those of the jobs of the lava dispatchers that Pumice replaces, where only an
    /// index shows changes. Gives their jobs.
    ///
    /// # Errors
    /// [`StoreError`] when a store cannot be reached. The next look finds the rest.
    pub async fn notice(&self) -> Result<Vec<JobId>, StoreError> {
        let Some(dispatchers) = self.rules().await?.settings.dispatchers else { return Ok(Vec::new()) };
        let schedules = &self.site().ports.schedules;
        let Some(shown) = schedules.shown(&dispatchers).await? else { return Ok(Vec::new()) };
        let shown: HashMap<JobId, String> =
            shown.into_iter().map(|(job_id, schedule)| (job_id, digest(&schedule))).collect();
        let known = match self.noticed.take() {
            Some(known) => known,
            None => Known { shown: self.looked_at().await?, ..Known::default() },
        };
        let changed = shown.iter().filter(|(job_id, digest)| known.shown.get(*job_id) != Some(*digest));
        let gone = known.shown.keys().filter(|job_id| !shown.contains_key(*job_id));
        let mut changed: HashSet<JobId> = changed.map(|(job_id, _)| job_id).chain(gone).cloned().collect();
        let enabled = self.enabled_again(&shown).await?;
        // One whose timetable still says otherwise has an entry that cannot be used: once is enough.
        let new = enabled.iter().filter(|(job_id, digest)| known.enabled.get(*job_id) != Some(*digest));
        changed.extend(new.map(|(job_id, _)| job_id.clone()));
        let changed: Vec<JobId> = changed.into_iter().collect();
        self.touch(&changed, self.now()).await?;
        self.noticed.keep(Known { shown, enabled });
        Ok(changed)
    }

    /// The schedules as they were looked at last.
    async fn looked_at(&self) -> Result<HashMap<JobId, String>, StoreError> {
        let timetables = self.site().ports.schedules.all().await?;
        Ok(timetables.into_iter().filter_map(|one| Some((one.job_id, one.spec?))).collect())
    }

    /// The jobs that were not enabled at the last look and are now, each as a digest. The index does not show that, and their
    /// timetables are not due.
    async fn enabled_again(
        &self,
        shown: &HashMap<JobId, String>,
    ) -> Result<HashMap<JobId, String>, StoreError> {
        let mut disabled = self.site().ports.schedules.disabled().await?;
        disabled.retain(|job_id| shown.contains_key(job_id));
        let disabled = in_turn(disabled, self.now());
        if disabled.is_empty() {
            return Ok(HashMap::new());
        }
        let jobs = self.site().ports.jobs.jobs(&disabled).await?;
        let enabled = disabled.into_iter().zip(jobs).filter_map(|(job_id, job)| {
            let job = job?.ok().filter(|job| job.fields.enabled != Enabled::Static(false))?;
            Some((job_id, digest(&json!(&*job.document))))
        });
        Ok(enabled.collect())
    }
}

/// The jobs whose turn it is at a time: all, or [`MAX_READ`] of more.
fn in_turn(mut jobs: Vec<JobId>, now: Timestamp) -> Vec<JobId> {
    if jobs.len() > MAX_READ {
        let turns = jobs.len().div_ceil(MAX_READ);
        let turn = usize::try_from(now.timestamp().div_euclid(TURN)).unwrap_or(0) % turns;
        jobs.rotate_left(turn * MAX_READ);
        jobs.truncate(MAX_READ);
    }
    jobs
}

#[cfg(test)]
mod tests {
    use super::*;
    use chrono::TimeDelta;

    #[test]
    fn jobs_that_are_too_many_take_turns() {
        let all: Vec<JobId> = (0..1_200).map(|number| JobId::new(format!("job-{number}")).unwrap()).collect();
        let few = all[..MAX_READ].to_vec();
        let begin = Timestamp::UNIX_EPOCH;
        assert_eq!(in_turn(few.clone(), begin), few);
        let mut seen = HashSet::new();
        for turn in 0..3 {
            let read = in_turn(all.clone(), begin + TimeDelta::seconds(TURN * turn));
            assert_eq!(read.len(), MAX_READ, "turn {turn}");
            seen.extend(read);
        }
        assert_eq!(seen.len(), all.len());
    }
}
