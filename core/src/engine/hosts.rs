//! Runs that are for one host alone: how a host finds them, and what becomes of them when it is gone.
//!
//! They have no message, which any worker might take: the host asks for them with each heartbeat. The sweeper ends those
//! whose host is gone.

use std::collections::{BTreeMap, BTreeSet};

use futures_util::future::join_all;

use super::apply::ApplyError;
use super::dispatch::Dispatcher;
use super::{Engine, Site};
use crate::hosts::{BEAT, Host, Hosts};
use crate::ids::{RunKey, WorkerName};
use crate::message::Message;
use crate::ports::{Outgoing, StoreError};
use crate::run::{Input, Run};
use crate::spec::{ActionsWhen, JobSpec};

/// Most runs that a host reads at the same time.
const AT_ONCE: usize = 16;

impl Engine {
    /// The same on a host: it starts runs that are for this host, and none that are for another.
    #[must_use]
    pub fn on_host(mut self, host: Host) -> Self {
        self.host = Some(host.id);
        self
    }

    /// Writes the heartbeat of a host, and finds the runs that are for it: those which it is to look at before the next
    /// heartbeat, each with its time. It leaves out those that it has `in_hand`. A host that cannot look for its runs
    /// does not say that it is alive.
    ///
    /// # Errors
    /// [`StoreError`] when the store cannot be reached, or the realm keeps no hosts.
    pub async fn beat(&self, host: &Host, in_hand: &BTreeSet<RunKey>) -> Result<Vec<Outgoing>, StoreError> {
        let Some(hosts) = &self.site.ports.hosts else {
            return Err(StoreError::new("this realm keeps no hosts"));
        };
        self.dispatcher.check_clock()?;
        let keys = hosts.runs_for(&host.id).await?;
        let now = self.now();
        hosts.put_host(&Host { seen: now, ..host.clone() }).await?;
        let keys: Vec<RunKey> = keys.into_iter().filter(|key| !in_hand.contains(key)).collect();
        let mut found = Vec::new();
        for part in keys.chunks(AT_ONCE) {
            let runs = join_all(part.iter().map(|key| self.site.ports.runs.peek(key))).await;
            for (key, run) in part.iter().zip(runs) {
                match run {
                    Ok(run) => found.extend(run.and_then(|run| self.call_of(host, &run))),
                    // What is wrong with one record alone is not in the way of the others.
                    Err(error) => tracing::warn!(%key, %error, "a run for this host cannot be read"),
                }
            }
        }
        Ok(found)
    }

    fn call_of(&self, host: &Host, run: &Run) -> Option<Outgoing> {
        let at = run.calls_host_at().filter(|_| run.host.as_ref() == Some(&host.id))?;
        let message = Message::reminder(&self.site.realm, run);
        (at <= self.now() + BEAT.delta()).then_some(Outgoing { message, at })
    }
}

impl Dispatcher {
    /// The hosts of workers, for schedules that start a job on each.
    pub(super) async fn hosts_of(
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
            return self.apply(run, Input::Sweep).await;
        }
        let stopped = host.is_some_and(|host| host.ended.is_some());
        let on_fail = self.has_fail_actions(&run).await?;
        let ended = self.apply(run, Input::HostGone { stopped, on_fail }).await?;
        self.call_next(&ended).await;
        Ok(ended)
    }

    async fn has_fail_actions(&self, run: &Run) -> Result<bool, StoreError> {
        let site: &Site = self.site();
        let Some((run, spec)) = site.ports.runs.load_with_spec(&run.key).await? else { return Ok(false) };
        let realm = site.ports.jobs.realm().await?;
        let job = self.pinned_job(&run.job_id, &spec.job);
        Ok(job.is_ok_and(|job| !job.actions().or(&realm.actions(), ActionsWhen::OnFail).is_empty()))
    }
}
