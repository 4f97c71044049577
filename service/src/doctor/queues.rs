//! Checks of queues: whether each worker has one, whether something takes from it, what was set aside.

use std::collections::BTreeMap;

use chrono::TimeDelta;
use pumice_core::filter::{Filter, Wanted};
use pumice_core::glob::literal;
use pumice_core::ids::WorkerName;
use pumice_core::ports::{DeadQueue, Depth, Order, RunQuery, StoreErrorKind};
use pumice_core::run::{Run, Status, not_served};
use pumice_core::text::counted;

use super::{Check, few, span};
use crate::dead;
use crate::failure::Error;
use crate::pauses::workers_of_jobs;
use crate::realm::Realm;

/// Most workers that are looked at: each costs a look at its queue.
const MAX_WORKERS: usize = 100;
/// Most records that are looked at to find those of workers that nothing serves.
const MAX_LOOKED: usize = 10_000;
/// How long a run may wait that could start.
const WAITS: TimeDelta = TimeDelta::minutes(10);
/// Most runs that wait which are looked at, the oldest.
const MAX_WAITING: usize = 200;

/// Whether each worker that jobs name has a queue, and hosts that are alive where they have heartbeats.
pub(super) async fn workers(realm: &dyn Realm) -> Result<Check, Error> {
    const NAME: &str = "workers";
    let (site, now) = (realm.site().await?, realm.now());
    let mut workers = workers_of_jobs(realm).await?.workers;
    let named = site.settings.over(&realm.jobs().current_realm().await?.settings).on_late_worker;
    // No job may name the worker that performs the actions of broken limits.
    workers.extend(named.map(|worker| (worker, 0)));
    let workers: Vec<WorkerName> = workers.into_keys().collect();
    let (mut without, mut lost, mut stopped) = (Vec::new(), Vec::new(), Vec::new());
    let serves = realm.served_workers().await?;
    let unserved: Vec<&WorkerName> =
        workers.iter().filter(|worker| not_served(worker, &serves).is_some()).collect();
    for worker in workers.iter().take(MAX_WORKERS) {
        match site.ports.queue.depth(worker).await {
            Err(error) if error.kind == StoreErrorKind::Missing => without.push(worker.to_string()),
            Err(error) => return Err(error.into()),
            Ok(_) => {}
        }
        if let Some(store) = &site.ports.hosts {
            let hosts = store.hosts(worker).await?;
            let is_lost = |host: &&pumice_core::hosts::Host| host.ended.is_none() && !host.is_alive(now);
            let last = hosts.iter().map(|host| host.seen).max();
            // A host that another one has replaced is not a loss.
            if let (Some(last), true) = (last, hosts.iter().all(|host| !host.is_alive(now)))
                && hosts.iter().any(|host| is_lost(&host))
            {
                lost.push(format!("{worker} (seen {} ago)", span((now - last).num_seconds())));
            } else if !hosts.is_empty() && hosts.iter().all(|host| !host.is_alive(now)) {
                stopped.push(worker);
            }
        }
    }
    let more = workers.len().saturating_sub(MAX_WORKERS);
    let rest = if more > 0 { format!("; {more} were not looked at") } else { String::new() };
    Ok(if !without.is_empty() {
        let says = format!(
            "workers that jobs or ON_LATE_WORKER name have no queue: {}; deploy worker.yaml for each, or name another{rest}",
            few(&without)
        );
        Check::fault(NAME, says).fix(["workers", "list"])
    } else if !lost.is_empty() {
        Check::warning(
            NAME,
            format!("no host of these workers is alive, and one ended without a word: {}{rest}", few(&lost)),
        )
        .fix(["workers", "list"])
    } else if let Some(waits) = first_unserved(realm, &stopped).await? {
        let names = few(&stopped.iter().map(ToString::to_string).collect::<Vec<_>>());
        let says =
            format!("no host of these workers is alive: {names}; {}; start one", waiting_words(&waits));
        Check::warning(NAME, says).fix(["runs", "why", waits.0.key.as_str()])
    } else if let Some(waits) = first_unserved(realm, &unserved).await? {
        unserved_check(NAME, &unserved, &serves, &waits)
    } else if !unserved.is_empty() {
        let says = format!("{}; no run waits for it", unserved_words(&unserved, &serves));
        Check::ok(NAME, says)
    } else if workers.is_empty() {
        Check::ok(NAME, "no job names a worker yet")
    } else {
        Check::ok(
            NAME,
            format!("the queues of {} answer{rest}", counted(workers.len().min(MAX_WORKERS), "worker")),
        )
    })
}

/// The message about workers that the folder's server does not serve.
fn unserved_words(unserved: &[&WorkerName], serves: &[WorkerName]) -> String {
    let names = |all: Vec<&WorkerName>| few(&all.into_iter().map(ToString::to_string).collect::<Vec<_>>());
    let workers = if unserved.len() == 1 { "worker" } else { "workers" };
    format!(
        "nothing serves {workers} {}: this folder's server serves {}",
        names(unserved.to_vec()),
        names(serves.iter().collect())
    )
}

fn unserved_check(
    name: &str,
    unserved: &[&WorkerName],
    serves: &[WorkerName],
    waits: &(Run, usize),
) -> Check {
    let says = format!(
        "{}, and {}; stop the server, and run `pumice serve` with `--worker` for each that is needed, or without it",
        unserved_words(unserved, serves),
        waiting_words(waits),
    );
    Check::warning(name, says).fix(["runs", "why", waits.0.key.as_str()])
}

/// How many runs wait, and the first of them.
fn waiting_words((first, count): &(Run, usize)) -> String {
    let at_least = if *count >= MAX_WAITING { "at least " } else { "" };
    let wait = if *count == 1 { "waits" } else { "wait" };
    format!("{at_least}{} {wait} for it, the first {}", counted(*count, "run"), first.key)
}

/// The first run that could start and waits for one of these workers, and how many of those that were looked at do.
async fn first_unserved(realm: &dyn Realm, workers: &[&WorkerName]) -> Result<Option<(Run, usize)>, Error> {
    if workers.is_empty() {
        return Ok(None);
    }
    let names = workers.iter().map(|worker| literal(worker.as_str())).collect();
    let query = RunQuery {
        statuses: vec![Status::Dispatched, Status::Waiting, Status::Retrying],
        filter: Filter::default().and(Wanted::Worker(names)),
        order: Order::Oldest,
        children: true,
        limit: MAX_WAITING,
        look_limit: Some(MAX_LOOKED),
        without_alerts: true,
        ..RunQuery::default()
    };
    let (pauses, now) = (realm.runs().pauses().await?, realm.now());
    let found = realm.runs().list(&query).await?.into_iter();
    let mut waits =
        found.filter(|run| run.not_before <= now && run.lease.is_none() && pauses.of(run, now).is_none());
    Ok(waits.next().map(|first| (first, 1 + waits.count())))
}

/// Whether runs wait that could start: for a worker that takes nothing, or without a message.
pub(super) async fn waiting(realm: &dyn Realm) -> Result<Check, Error> {
    const NAME: &str = "waiting runs";
    if realm.is_served() == Some(false) {
        return Ok(Check::skipped(NAME, "nothing serves the folder"));
    }
    if realm.stopping_since().await?.is_some() {
        return Ok(Check::skipped(NAME, "the server of the folder is stopping"));
    }
    let site = realm.site().await?;
    let mut by_worker = late_starts(realm).await?;
    // The check of workers reports those of no server.
    let serves = realm.served_workers().await?;
    by_worker.retain(|worker, _| not_served(worker, &serves).is_none());
    let (mut without_message, mut stuck) = (Vec::new(), Vec::new());
    for (worker, (oldest, count)) in &by_worker {
        let depth = site.ports.queue.depth(worker).await?;
        let Depth { ready, delayed, in_flight, .. } = depth;
        let since = span((realm.now() - oldest.not_before.max(oldest.ts_dispatch)).num_seconds());
        let at_least = if *count >= MAX_WAITING { "at least " } else { "" };
        let says = format!("{at_least}{} for {worker} since {since}", counted(*count, "run"));
        if ready + delayed + in_flight == 0 {
            without_message.push((oldest, says))
        } else {
            stuck.push((oldest, says))
        }
    }
    let listed = |all: &[(&Run, String)]| few(&all.iter().map(|(_, says)| says.clone()).collect::<Vec<_>>());
    Ok(if let Some((run, _)) = without_message.first() {
        let says = format!(
            "runs are due and have no message: {}; the sweeper sends one within minutes, if it is there",
            listed(&without_message)
        );
        Check::fault(NAME, says).fix(["runs", "why", run.key.as_str()])
    } else if let Some((run, _)) = stuck.first() {
        let says = format!(
            "runs could have started and wait: {}; does the worker run, and keep up?",
            listed(&stuck)
        );
        Check::warning(NAME, says).fix(["runs", "why", run.key.as_str()])
    } else {
        Check::ok(NAME, format!("no run waits for more than {} that could start", span(WAITS.num_seconds())))
    })
}

/// The runs that could have started a while ago and did not, by worker: the oldest, and how many of those looked at.
async fn late_starts(realm: &dyn Realm) -> Result<BTreeMap<WorkerName, (Run, usize)>, Error> {
    let now = realm.now();
    let query = RunQuery {
        statuses: vec![Status::Dispatched],
        until: Some(now - WAITS),
        order: Order::Oldest,
        limit: MAX_WAITING,
        without_alerts: true,
        ..RunQuery::default()
    };
    let pauses = realm.runs().pauses().await?;
    let mut by_worker: BTreeMap<WorkerName, (Run, usize)> = BTreeMap::new();
    for run in realm.runs().list(&query).await? {
        let is_late =
            run.not_before <= now - WAITS && run.handed_over.is_none() && pauses.of(&run, now).is_none();
        // One that waits for the lock of its job has been looked at.
        if is_late && run.first_due.is_none() {
            by_worker.entry(run.worker.clone()).or_insert_with(|| (run, 0)).1 += 1;
        }
    }
    Ok(by_worker)
}

/// Whether messages and requests were set aside.
pub(super) async fn dead_letters(realm: &dyn Realm) -> Result<Check, Error> {
    const NAME: &str = "dead letters";
    let (mut some, mut without) = (Vec::new(), Vec::new());
    for (queue, count) in dead::counts(realm).await? {
        match (queue, count) {
            (_, Some(0)) => {}
            (queue, Some(count)) => some.push(format!("{count} of {queue}")),
            (DeadQueue::Worker(worker), None) => without.push(worker.to_string()),
            // A realm that lava made has no dispatcher of ours.
            (DeadQueue::Dispatcher, None) => {}
        }
    }
    Ok(if !some.is_empty() {
        Check::warning(NAME, format!("messages were set aside: {}", few(&some))).fix(["dead", "list"])
    } else if !without.is_empty() {
        let says = format!(
            "workers without a dead-letter queue, whose bad messages come again until they expire: {}",
            few(&without)
        );
        Check::warning(NAME, says)
    } else {
        Check::ok(NAME, "there are none")
    })
}
