//! The workers that there are: what waits for each, which hosts take from its queue, whether it is paused.

use std::collections::BTreeMap;

use pumice_core::Timestamp;
use pumice_core::filter::{ItemWord, Items};
use pumice_core::hosts::Host;
use pumice_core::ids::WorkerName;
use pumice_core::pauses::{Pause, Scope};
use pumice_core::ports::Oldest;
use pumice_core::run::not_served;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::failure::Error;
use crate::listed::asked;
use crate::pauses::{PauseDetails, live, workers_of_jobs};
use crate::realm::Realm;
use crate::time::Instant;

/// Most hosts of a worker that a list has.
const MAX_HOSTS: usize = 20;

/// Which workers of a realm to list.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ListWorkers {
    /// Only workers that these terms mean: `worker:`, `status:`, `since:`, `until:`. The time is that at which one of its hosts
    /// was seen last.
    #[serde(default, rename = "where", skip_serializing_if = "Option::is_none")]
    pub filter: Option<String>,
}

/// Workers in a list.
struct Workers;

impl Items for Workers {
    type Item = WorkerShown;
    const NAME: &'static str = "workers";
    const WORDS: &'static [ItemWord<WorkerShown>] = &[
        ItemWord::pattern(WORKER, |one| vec![one.worker.as_str()]),
        ItemWord::one_of(
            "status",
            || vec!["paused", "active"],
            |one| vec![if one.paused.is_some() { "paused" } else { "active" }],
        ),
        ItemWord::since(|one| one.last_seen.map(|at| at.0)),
        ItemWord::until(|one| one.last_seen.map(|at| at.0)),
    ];
}

/// The word for a worker's name.
const WORKER: &str = "worker";

/// The workers of a realm.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct WorkerList {
    /// The workers, by name: those that jobs name.
    pub workers: Vec<WorkerShown>,
    /// Names in jobs that no worker can have, and how many jobs have each.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub misnamed: BTreeMap<String, usize>,
    /// All pauses of the realm.
    pub pauses: Vec<PauseDetails>,
    /// Whether a process runs the realm's jobs, where that is known.
    pub served: Option<bool>,
    /// The workers that this process serves, where it does not serve all.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub serves: Vec<WorkerName>,
    /// Since when this process is stopping, and begins nothing more.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stopping: Option<Instant>,
}

/// A worker.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct WorkerShown {
    /// Its name.
    pub worker: WorkerName,
    /// How many jobs name it.
    pub jobs: usize,
    /// How many hosts of it are alive, where hosts are known.
    pub hosts: Option<usize>,
    /// Its hosts, those too that are gone: the first of them.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub known_hosts: Vec<HostShown>,
    /// Whether the process that serves the folder takes from its queue; null where there is none, and on AWS.
    #[serde(default)]
    pub is_served: Option<bool>,
    /// When one of them was seen last.
    pub last_seen: Option<Instant>,
    /// Messages on its queue that can be handed out now; null where the queue cannot be asked.
    pub ready: Option<u64>,
    /// Messages that are not to be handed out yet.
    pub delayed: Option<u64>,
    /// Messages that were handed out and not yet dealt with.
    #[serde(default)]
    pub in_flight: Option<u64>,
    /// How long the message has waited that has waited longest; null where the queue cannot be asked.
    #[serde(default)]
    pub oldest: Option<OldestShown>,
    /// Why the queue cannot be asked.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub trouble: Option<String>,
    /// The pause that it or the realm has.
    pub paused: Option<PauseDetails>,
}

/// A host of a worker.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct HostShown {
    /// Its id.
    pub id: String,
    /// Whether it is alive, as far as its heartbeat says.
    pub is_alive: bool,
    /// When it was started.
    pub started: Instant,
    /// Its last heartbeat.
    pub seen: Instant,
}

impl HostShown {
    fn of(host: &Host, now: Timestamp) -> Self {
        Self {
            id: host.id.to_string(),
            is_alive: host.is_alive(now),
            started: Instant(host.started),
            seen: Instant(host.seen),
        }
    }
}

/// How long the message has waited that has waited longest.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum OldestShown {
    /// No message waits.
    None,
    /// So many seconds.
    Seconds(u64),
    /// The queue does not report it.
    Unknown,
}

impl From<Oldest> for OldestShown {
    fn from(oldest: Oldest) -> Self {
        match oldest {
            Oldest::None => Self::None,
            Oldest::Age(age) => Self::Seconds(age.as_secs()),
            Oldest::Unknown => Self::Unknown,
        }
    }
}

/// Lists the workers that jobs name: what waits for each, whether its hosts are alive, and whether it is paused.
///
/// # Errors
/// [`Error`] when the store cannot be read.
pub async fn list_workers(realm: &dyn Realm, request: &ListWorkers) -> Result<WorkerList, Error> {
    let meant = asked::<Workers>(realm, request.filter.as_deref(), None).await?;
    let (site, now) = (realm.site().await?, realm.now());
    let pauses = realm.runs().pauses().await?;
    let (served, serves) = (realm.is_served(), realm.served_workers().await?);
    let named = workers_of_jobs(realm).await?;
    let mut workers = Vec::new();
    for (worker, jobs) in named.workers {
        // Of a worker that is not meant the queue is not asked.
        if !meant.may_take(WORKER, &[worker.as_str()]) {
            continue;
        }
        let (mut hosts, mut last_seen, mut known_hosts) = (None, None, Vec::new());
        if let Some(store) = &site.ports.hosts {
            let found = store.hosts(&worker).await?;
            hosts = Some(found.iter().filter(|host| host.is_alive(now)).count());
            last_seen = found.iter().map(|host| host.seen).max().map(Instant);
            known_hosts = found.iter().take(MAX_HOSTS).map(|host| HostShown::of(host, now)).collect();
        }
        // Without the right to ask the rest is shown all the same.
        let (depth, trouble) = match site.ports.queue.depth(&worker).await {
            Ok(depth) => (Some(depth), None),
            Err(error) => (None, Some(error.to_string())),
        };
        let is_of = |pause: &&Pause| match &pause.scope {
            Scope::Realm => true,
            Scope::Worker(other) => *other == worker,
            Scope::Job(_) => false,
        };
        let paused = pauses.live(now).find(is_of).map(PauseDetails::from);
        let is_served = served.filter(|served| *served).map(|_| not_served(&worker, &serves).is_none());
        workers.push(WorkerShown {
            worker,
            jobs,
            hosts,
            known_hosts,
            is_served,
            last_seen,
            ready: depth.map(|depth| depth.ready),
            delayed: depth.map(|depth| depth.delayed),
            in_flight: depth.map(|depth| depth.in_flight),
            oldest: depth.map(|depth| depth.oldest.into()),
            trouble,
            paused,
        });
    }
    workers.retain(|worker| meant.takes(worker));
    let stopping = realm.stopping_since().await?.map(Instant);
    let misnamed = if request.filter.is_none() { named.misnamed } else { BTreeMap::new() };
    Ok(WorkerList { workers, misnamed, pauses: live(&pauses, realm), served, serves, stopping })
}
