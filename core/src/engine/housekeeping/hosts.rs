//! Hosts of workers: on which of them a schedule starts its job, and how a run for one host ends when the host is gone.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;

use super::Housekeeper;
use crate::clock::JobSchedule;
use crate::engine::ledger::apply::ApplyError;
use crate::hosts::Hosts;
use crate::ids::WorkerName;
use crate::ports::{StoreError, StoredJob};
use crate::run::{Input, Part, Run};
use crate::spec::{ActionsWhen, JobSpec, RealmSpec, Settings};

impl Housekeeper {
    /// The hosts of the workers for which one of these jobs is to start on each.
    pub(super) async fn hosts_for_all(
        &self,
        jobs: &[Option<StoredJob>],
        realm: &RealmSpec,
        settings: &Settings,
    ) -> Result<BTreeMap<WorkerName, Hosts>, StoreError> {
        let jobs = jobs.iter().flatten().filter_map(|job| job.as_ref().ok());
        // Most schedules do not say `nodes` at all.
        let may_be = jobs.filter(|job| job.document.get("schedule").is_some_and(names_nodes));
        let all = may_be.filter(|job| JobSchedule::of(job, realm, settings).is_for_all_nodes());
        self.hosts_of(all.map(|job| job.fields.worker.clone()).collect()).await
    }

    /// The hosts of workers, for schedules that start a job on each.
    async fn hosts_of(
        &self,
        workers: BTreeSet<WorkerName>,
    ) -> Result<BTreeMap<WorkerName, Hosts>, StoreError> {
        let mut found = BTreeMap::new();
        let Some(hosts) = &self.site().ports.hosts else { return Ok(found) };
        for worker in workers {
            let records = hosts.hosts(&worker).await?;
            let known = Hosts::of(&worker, &records, self.now());
            found.insert(worker, known);
        }
        Ok(found)
    }

    /// The hosts on which an entry with `nodes: all` of this job starts it now.
    ///
    /// # Errors
    /// [`StoreError`] when the store cannot be reached.
    pub async fn hosts_for(&self, job: &JobSpec) -> Result<Hosts, StoreError> {
        let worker = job.fields.worker.clone();
        let mut hosts = self.hosts_of(BTreeSet::from([worker.clone()])).await?;
        Ok(hosts.remove(&worker).unwrap_or_default())
    }

    /// Ends a run whose host is gone; one whose host is alive is left to it.
    pub(super) async fn look_at_addressed(&self, run: Run) -> Result<Run, ApplyError> {
        let Some(id) = &run.host else { return Ok(run) };
        let host = match &self.site().ports.hosts {
            Some(hosts) => hosts.host(&run.worker, id).await?,
            None => None,
        };
        if host.as_ref().is_some_and(|host| host.is_alive(self.now())) {
            return self.ledger().apply(run, Input::Sweep).await;
        }
        let stopped = host.is_some_and(|host| host.ended.is_some());
        let on_fail = match self.fail_actions(&run).await? {
            FailActions::Due => true,
            FailActions::None => false,
            FailActions::Unknown(error) => {
                let Run { run_id, job_id, .. } = &run;
                tracing::error!(%run_id, %job_id, error, "a run's host is gone; its actions are not known and not done");
                false
            }
        };
        let ended = self.ledger().apply(run, Input::HostGone { stopped, on_fail }).await?;
        self.ledger().call_next(&ended).await;
        Ok(ended)
    }

    async fn fail_actions(&self, run: &Run) -> Result<FailActions, StoreError> {
        let site = self.site();
        let Some((run, spec)) = site.ports.runs.load_with_spec(&run.key).await? else {
            return Ok(FailActions::None);
        };
        if let Some(why) = run.gone(Part::Spec) {
            return Ok(FailActions::Unknown(why));
        }
        let realm = site.ports.jobs.realm().await?;
        Ok(match self.dispatcher.jobs().pinned_job(&run.job_id, &spec.job) {
            Ok(job) if job.actions().or(&realm.actions(), ActionsWhen::OnFail).is_empty() => {
                FailActions::None
            }
            Ok(_) => FailActions::Due,
            Err(error) => FailActions::Unknown(error.to_string()),
        })
    }
}

/// Whether a run that fails has `on_fail` actions.
enum FailActions {
    Due,
    None,
    /// Its spec cannot be read, for this reason.
    Unknown(String),
}

/// Whether an entry of a schedule says on which hosts it starts its job.
fn names_nodes(schedule: &Value) -> bool {
    let entries = schedule.as_array().map_or(std::slice::from_ref(schedule), Vec::as_slice);
    entries.iter().any(|entry| entry.get("nodes").is_some())
}
