//! Workers: what is on their queues, which hosts take from them, which jobs they run.

use std::time::Duration;

use axum::response::Response;
use pumice_core::ids::RunKey;
use pumice_core::pauses::Scope;
use pumice_core::run::not_served;
use pumice_core::text::escaped;
use pumice_service::dead::counts;
use pumice_service::pools::{ListPools, PoolShown, list_pools};
use pumice_service::workers::{ListWorkers, OldestShown, WorkerList, WorkerShown, list_workers};
use serde_json::{Value, json};

use super::pauses::shown;
use super::{Head, render};
use crate::answer::Fault;
use crate::ask::Ask;
use crate::view::{Clock, counted, run_link, short};

/// Most workers of a page: each costs a look at its queue.
const MAX_WORKERS: usize = 50;
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
    let found = list_workers(ask.realm(), &ListWorkers::default()).await?;
    let pause_of = |scope: &Scope| {
        let pause = found.pauses.iter().find(|pause| pause.scope == *scope)?;
        Some(shown(pause, &clock))
    };
    let alive = health(&found);
    let mut rows = Vec::new();
    for (worker, alive) in found.workers.iter().zip(alive) {
        let mut row = row(worker, not_served(&worker.worker, &found.serves), &clock);
        row["alive"] = alive;
        row["pause"] = json!(pause_of(&Scope::Worker(worker.worker.clone())));
        rows.push(row);
    }
    let misnamed = found.misnamed.iter().map(|(name, jobs)| {
        json!({ "name": escaped(name), "jobs": jobs, "depth": Value::Null, "hosts": [],
            "trouble": "it is not a name of a worker", "worker": Value::Null, "pause": Value::Null,
            "alive": Value::Null })
    });
    rows.extend(misnamed.take(MAX_WORKERS));
    let count = found.workers.len() + found.misnamed.len();
    let realm_pause = pause_of(&Scope::Realm);
    let word = if realm_pause.is_some() { "off" } else { "on" };
    let own = json!({
        "realm_pause": realm_pause,
        "maintenance_command": ask.words(&["maintenance", word]).line(),
        "dead": dead(&ask).await,
        "summary": counted(count, "worker"),
        "more": count - rows.len(),
        "rows": rows,
        "pools": list_pools(ask.realm(), &ListPools::default()).await?.pools.iter().take(MAX_POOLS).map(pool).collect::<Vec<_>>(),
        "has_hosts": found.workers.iter().any(|worker| worker.hosts.is_some()),
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

fn row(worker: &WorkerShown, unserved: Option<String>, clock: &Clock) -> Value {
    let name = worker.worker.as_str();
    let hosts: Vec<Value> = worker
        .known_hosts
        .iter()
        .map(|host| {
            json!({ "id": host.id, "is_alive": host.is_alive, "seen": clock.moment(host.seen.0),
                "started": clock.moment(host.started.0) })
        })
        .collect();
    let oldest = worker.oldest.map(|oldest| match oldest {
        OldestShown::None => "–".to_owned(),
        OldestShown::Seconds(seconds) => short(Duration::from_secs(seconds)),
        OldestShown::Unknown => "unknown".to_owned(),
    });
    let depth = oldest.map(|oldest| {
        json!({ "ready": worker.ready, "delayed": worker.delayed, "in_flight": worker.in_flight, "oldest": oldest })
    });
    // A queue that is missing is what the page is looked at for.
    let trouble = worker.trouble.clone().or(unserved);
    json!({ "name": name, "worker": name, "jobs": worker.jobs, "depth": depth, "hosts": hosts, "trouble": trouble })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn queue_that_cannot_be_asked_says_why() {
        let shown = |more: Value| {
            let mut worker = json!({ "worker": "core", "jobs": 2, "hosts": null, "last_seen": null,
                "ready": null, "delayed": null, "paused": null });
            worker.as_object_mut().unwrap().extend(more.as_object().cloned().unwrap());
            let worker: WorkerShown = serde_json::from_value(worker).unwrap();
            let clock = Clock { zone: chrono_tz::UTC, now: pumice_core::Timestamp::UNIX_EPOCH };
            row(&worker, None, &clock)
        };
        let asked = shown(json!({ "ready": 3, "delayed": 0, "in_flight": 1, "oldest": { "seconds": 61 } }));
        assert_eq!((&asked["depth"]["ready"], &asked["depth"]["oldest"]), (&json!(3), &json!("1m 01s")));
        let silent = shown(json!({ "trouble": "no such queue" }));
        assert_eq!((&silent["depth"], &silent["trouble"]), (&Value::Null, &json!("no such queue")));
    }
}
