//! Workers: what is on their queues, which hosts take from them, which jobs they run.

use std::collections::BTreeMap;

use axum::response::Response;
use pumice_core::ids::{RunKey, WorkerName};
use pumice_core::pauses::Scope;
use pumice_core::ports::{Depth, Oldest, StoreError};
use pumice_core::run::not_served;
use pumice_core::text::escaped;
use pumice_service::dead::counts;
use pumice_service::pauses::{ListWorkers, PauseDetails, WorkerList, WorkerShown, list_workers};
use pumice_service::pools::{ListPools, PoolShown, list_pools};
use pumice_service::specs::{ListJobs, list};
use serde_json::{Value, json};

use super::pauses::shown;
use super::{Head, render};
use crate::answer::Fault;
use crate::ask::Ask;
use crate::view::{counted, run_link, short};

/// Most workers of a page: each costs a look at its queue.
const MAX_WORKERS: usize = 50;
/// Most hosts of a worker that are listed.
const MAX_HOSTS: usize = 20;
/// Most pools of the page.
const MAX_POOLS: usize = 100;

/// Whether something runs the jobs of each worker, and what waits for it.
pub(super) fn health(found: &WorkerList) -> Vec<Value> {
    let row = |worker: &WorkerShown| {
        let (word, tone) = match (worker.hosts, found.served, worker.is_served) {
            (Some(0), ..) => ("no host".to_owned(), "bad"),
            (Some(hosts), ..) => (counted(hosts, "host"), "good"),
            (None, Some(true), Some(false)) => ("not served".to_owned(), "bad"),
            (None, Some(true), _) if found.stopping.is_some() => ("stopping".to_owned(), "bad"),
            (None, Some(true), _) => ("served".to_owned(), "good"),
            (None, Some(false), _) => ("no server".to_owned(), "bad"),
            (None, None, _) => ("unknown".to_owned(), "calm"),
        };
        json!({ "name": worker.worker.as_str(), "word": word, "tone": tone, "ready": worker.ready,
            "delayed": worker.delayed, "is_paused": worker.paused.is_some() })
    };
    found.workers.iter().take(MAX_WORKERS).map(row).collect()
}

/// The page.
pub(crate) async fn show(ask: Ask) -> Result<Response, Fault> {
    let clock = ask.clock().await?;
    let site = ask.realm().site().await?;
    let mut jobs: BTreeMap<String, usize> = BTreeMap::new();
    for job in list(ask.realm(), &ListJobs::default()).await?.jobs {
        if let Some(worker) = job.get("worker").and_then(Value::as_str) {
            *jobs.entry(worker.to_owned()).or_default() += 1;
        }
    }
    let serves = ask.realm().served_workers().await?;
    let pauses = ask.realm().runs().pauses().await?;
    let pause_of = |scope: &Scope| {
        let pause = pauses.live(clock.now).find(|pause| pause.scope == *scope)?;
        Some(shown(&PauseDetails::from(pause), &clock))
    };
    let health = health(&list_workers(ask.realm(), &ListWorkers::default()).await?);
    let mut rows = Vec::new();
    for (name, count) in jobs.iter().take(MAX_WORKERS) {
        let Ok(worker) = WorkerName::new(name) else {
            rows.push(json!({ "name": escaped(name), "jobs": count, "depth": Value::Null, "hosts": [],
                "trouble": "it is not a name of a worker", "worker": Value::Null, "pause": Value::Null,
                "alive": Value::Null }));
            continue;
        };
        let depth = site.ports.queue.depth(&worker).await;
        let hosts = match &site.ports.hosts {
            None => Vec::new(),
            Some(hosts) => hosts.hosts(&worker).await?.into_iter().take(MAX_HOSTS).collect(),
        };
        let hosts: Vec<Value> = hosts
            .iter()
            .map(|host| {
                json!({
            "id": host.id.as_str(), "is_alive": host.is_alive(clock.now), "seen": clock.moment(host.seen),
            "started": clock.moment(host.started) })
            })
            .collect();
        let mut row = row(name, *count, depth, hosts, not_served(&worker, &serves));
        row["worker"] = json!(worker.as_str());
        row["alive"] = json!(health.iter().find(|one| one["name"] == worker.as_str()));
        row["pause"] = json!(pause_of(&Scope::Worker(worker)));
        rows.push(row);
    }
    let realm_pause = pause_of(&Scope::Realm);
    let word = if realm_pause.is_some() { "off" } else { "on" };
    let own = json!({
        "realm_pause": realm_pause,
        "maintenance_command": ask.words(&["maintenance", word]).line(),
        "dead": dead(&ask).await,
        "rows": rows,
        "summary": counted(jobs.len(), "worker"),
        "more": jobs.len().saturating_sub(MAX_WORKERS),
        "pools": list_pools(ask.realm(), &ListPools::default()).await?.pools.iter().take(MAX_POOLS).map(pool).collect::<Vec<_>>(),
        "has_hosts": site.ports.hosts.is_some(),
    });
    let command = ask.words(&["workers", "list"]);
    render(&ask, "workers.html", Head::new("Workers", "workers", &command), own).await
}

fn pool(pool: &PoolShown) -> Value {
    let shown = |key: &RunKey| json!({ "name": key.as_str(), "href": run_link(key.as_str()) });
    let first = |keys: &[RunKey]| keys.iter().map(shown).collect::<Vec<_>>();
    json!({ "name": pool.pool.as_str(), "size": pool.size, "jobs": pool.jobs, "taken": pool.taken,
        "waiting": pool.waiting, "more": pool.more, "holders": first(&pool.holders), "line": first(&pool.line) })
}

/// How many messages were set aside. Where that cannot be asked, the page says so and has all else.
async fn dead(ask: &Ask) -> Value {
    match counts(ask.realm()).await {
        Err(error) => json!({ "count": 0, "of": [], "trouble": error.message() }),
        Ok(found) => {
            let some: Vec<_> = found
                .iter()
                .filter_map(|(queue, count)| Some((queue, (*count)?)))
                .filter(|(_, count)| *count > 0)
                .collect();
            let of: Vec<Value> = some
                .iter()
                .map(|(queue, count)| json!({ "name": queue.to_string(), "count": count }))
                .collect();
            json!({ "count": some.iter().map(|(_, count)| count).sum::<u64>(), "of": of, "trouble": Value::Null })
        }
    }
}

fn row(
    name: &str,
    jobs: usize,
    depth: Result<Depth, StoreError>,
    hosts: Vec<Value>,
    unserved: Option<String>,
) -> Value {
    let (depth, trouble) = match depth {
        Ok(depth) => (Some(depth), unserved),
        // A queue that is missing is what the page is looked at for.
        Err(error) => (None, Some(error.to_string())),
    };
    let depth = depth.map(|depth| {
        let oldest = match depth.oldest {
            Oldest::None => "–".to_owned(),
            Oldest::Age(age) => short(age),
            Oldest::Unknown => "unknown".to_owned(),
        };
        json!({ "ready": depth.ready, "delayed": depth.delayed, "in_flight": depth.in_flight, "oldest": oldest })
    });
    json!({ "name": name, "jobs": jobs, "depth": depth, "hosts": hosts, "trouble": trouble })
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn queue_that_cannot_be_asked_says_why() {
        let depth =
            Depth { ready: 3, delayed: 0, in_flight: 1, oldest: Oldest::Age(Duration::from_secs(61)) };
        let shown = row("core", 2, Ok(depth), Vec::new(), None);
        assert_eq!((&shown["depth"]["ready"], &shown["depth"]["oldest"]), (&json!(3), &json!("1m 01s")));
        let shown = row("core", 2, Err(StoreError::missing("no such queue")), Vec::new(), None);
        assert_eq!((&shown["depth"], &shown["trouble"]), (&Value::Null, &json!("no such queue")));
    }
}
