//! Puts together what a run's templates see.

use chrono::SubsecRound;
use serde_json::{Map, Value};

use super::dispatch::Dispatcher;
use crate::Timestamp;
use crate::ids::StateId;
use crate::job_type::{LavaGlobals, Scene};
use crate::ports::{StateType, StoreError};
use crate::run::{Late, Run, Scheduled};
use crate::spec::{JobSpec, RealmSpec};

impl Dispatcher {
    /// What the templates of a run see when it starts at `start`, and whether a secret is among it.
    pub(super) async fn scene(
        &self,
        run: &Run,
        job: &JobSpec,
        realm: &RealmSpec,
        start: Timestamp,
    ) -> Result<(Scene, bool), StoreError> {
        let (state, secret) = self.state(job).await?;
        // As lava's times are (lava guide, Jinja Rendering): names and literals are made of them.
        let start = start.trunc_subsecs(0);
        let lineage = run.lineage.as_ref();
        let itself = || run.job_id.clone();
        let lava = LavaGlobals {
            master_job_id: lineage.map_or_else(itself, |l| l.master_job_id.clone()),
            master_start: lineage.map_or(start, |l| l.master_start.trunc_subsecs(0)),
            parent_job_id: lineage.map_or_else(itself, |l| l.parent_job_id.clone()),
            parent_start: lineage.map_or(start, |l| l.parent_start.trunc_subsecs(0)),
            iteration: run.attempt,
            foreach_index: run.foreach_index.or(lineage.and_then(|l| l.foreach_index)),
        };
        let zone = job.fields.timezone.map_or(self.site().zone, |zone| pumice_template::Zone::Named(zone.0));
        let scene = Scene {
            job: job.document.clone(),
            realm: realm.document.clone(),
            realm_name: self.site().realm.to_string(),
            state,
            run_id: run.run_id,
            ts_dispatch: run.ts_dispatch.trunc_subsecs(0),
            start,
            lava,
            scheduled: run.scheduled.as_deref().cloned().or_else(|| run.late.as_deref().and_then(slot_of)),
            late: run.late.as_deref().cloned(),
            zone,
        };
        Ok((scene, secret))
    }

    /// The state items that a job declares: what is stored, else the default.
    async fn state(&self, job: &JobSpec) -> Result<(Map<String, Value>, bool), StoreError> {
        let Some(declared) = job.fields.state.as_ref().filter(|state| !state.is_empty()) else {
            return Ok((Map::new(), false));
        };
        let ids: Vec<StateId> = declared.keys().filter_map(|id| StateId::stored(id).ok()).collect();
        let found = self.site().ports.state.get(&ids, self.now()).await?;
        let mut state = declared.clone();
        let mut secret = false;
        for item in found.into_iter().flatten() {
            secret |= item.r#type == StateType::Secure;
            state.insert(item.state_id.to_string(), item.value);
        }
        Ok((state, secret))
    }
}

/// The slot at which a limit was broken.
fn slot_of(late: &Late) -> Option<Scheduled> {
    let (entry, zone, previous) = (late.entry, late.zone, late.previous);
    late.slot.map(|slot| Scheduled { entry, slot, zone, previous, missed: None, backfill: None })
}
