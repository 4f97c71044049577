//! Checks of what keeps a realm going: its server, its pauses, its sweeper.

use chrono::TimeDelta;
use pumice_core::pauses::Scope;
use pumice_core::ports::{Order, RunQuery};
use pumice_core::run::{MAX_LULL, Run, Status};
use pumice_core::text::counted;

use super::{Check, few, span};
use crate::failure::Error;
use crate::realm::Realm;

/// How long after its time a record may be looked at: sweepers come each minute, and a sweep may take one.
const OVERDUE: TimeDelta = TimeDelta::minutes(3);
/// Most records of a part that are looked at.
const MAX_DUE: usize = 20;
/// Most records of a part among which alerts are looked for.
const MAX_ALERTS: usize = 1_000;

/// Whether a process runs the jobs of a folder.
pub(super) async fn server(realm: &dyn Realm) -> Result<Check, Error> {
    const NAME: &str = "server";
    let statuses = vec![Status::Dispatched, Status::Waiting, Status::Running, Status::Retrying];
    if let Some(since) = realm.stopping_since().await? {
        let says = format!(
            "the server of the folder is stopping since {}, and begins nothing more: serve it again once that has ended",
            pumice_core::clock::utc(since)
        );
        return Ok(Check::warning(NAME, says));
    }
    Ok(match realm.is_served() {
        None => Check::skipped(NAME, "functions or `pumice worker` run the jobs of this realm"),
        Some(true) => Check::ok(NAME, "a process serves the folder"),
        Some(false) => {
            let open = RunQuery { statuses, order: Order::Oldest, limit: 1, ..RunQuery::default() };
            match realm.runs().list(&open).await?.first() {
                None => Check::warning(
                    NAME,
                    "nothing serves the folder: no job starts, by the clock or otherwise",
                ),
                Some(oldest) => Check::fault(
                    NAME,
                    format!(
                        "nothing serves the folder, and runs wait: run {} of {} since {}",
                        oldest.key,
                        pumice_core::text::shown(oldest.job_id.as_str()),
                        pumice_core::clock::utc(oldest.ts_dispatch)
                    ),
                ),
            }
            .fix(["serve"])
        }
    })
}

/// Whether something is paused.
pub(super) async fn pauses(realm: &dyn Realm) -> Result<Check, Error> {
    const NAME: &str = "pauses";
    let (pauses, now) = (realm.runs().pauses().await?, realm.now());
    let live: Vec<&pumice_core::pauses::Pause> = pauses.live(now).collect();
    if let Some(whole) = live.iter().find(|pause| pause.scope == Scope::Realm) {
        let why = whole.why.as_deref().map(|why| format!(": {why}")).unwrap_or_default();
        let says = format!(
            "the whole realm is paused for {}{why}: {}",
            span((now - whole.since).num_seconds()),
            if whole.everything { "nothing runs, also not what has begun" } else { "nothing begins" }
        );
        return Ok(Check::warning(NAME, says).fix(["maintenance", "off"]));
    }
    let names: Vec<String> = live.iter().map(|pause| pause.scope.words()).collect();
    Ok(if names.is_empty() {
        Check::ok(NAME, "nothing is paused")
    } else {
        Check::warning(NAME, format!("paused: {}", few(&names))).fix(["workers", "list"])
    })
}

/// Whether what is due is looked at: else lost messages and lost workers are not made up for.
pub(super) async fn sweeper(realm: &dyn Realm) -> Result<Check, Error> {
    const NAME: &str = "sweeper";
    if realm.is_served() == Some(false) {
        return Ok(Check::skipped(NAME, "the server sweeps, and there is none"));
    }
    let overdue = overdue(realm).await?;
    let Some((oldest, since)) =
        overdue.iter().filter_map(|run| Some((run, run.due_at?))).min_by_key(|(_, due)| *due)
    else {
        return Ok(Check::ok(
            NAME,
            format!("no run is overdue by more than {}", span(OVERDUE.num_seconds())),
        ));
    };
    let says = format!(
        "{}{} runs are due and nothing has looked at them, run {} since {}: is the sweeper there?",
        overdue.len(),
        if overdue.len() >= MAX_DUE { " or more" } else { "" },
        oldest.key,
        span((realm.now() - since).num_seconds()),
    );
    Ok(Check::fault(NAME, says).fix(["runs", "why", oldest.key.as_str()]))
}

/// Whether the actions of broken limits were performed: their worker may be the one that is out.
pub(super) async fn alerts(realm: &dyn Realm) -> Result<Check, Error> {
    const NAME: &str = "alerts";
    if realm.is_served() == Some(false) {
        return Ok(Check::skipped(
            NAME,
            "the server performs the actions of broken limits, and there is none",
        ));
    }
    let (store, now) = (realm.runs(), realm.now());
    let (mut undone, mut is_cut) = (Vec::new(), false);
    for part in 0..store.due_parts() {
        // The sweeper looks ever more rarely at what nothing takes, and so it is due later.
        let page = store.due_page(part, now + MAX_LULL.delta(), None, MAX_ALERTS).await?;
        is_cut |= page.runs.len() >= MAX_ALERTS;
        undone.extend(page.runs.into_iter().filter_map(|run| Some((run.undone_since(now)?, run))));
    }
    let Some((since, run)) = undone.iter().min_by_key(|(since, run)| (*since, run.key.clone())) else {
        let of = if is_cut { ", of the runs that are due first" } else { "" };
        return Ok(Check::ok(NAME, format!("no broken limit waits for its actions{of}")));
    };
    let mut workers: Vec<String> = undone.iter().map(|(_, run)| run.worker.to_string()).collect();
    workers.sort();
    workers.dedup();
    let says = format!(
        "the actions of {} are not performed, the first since {}, as nothing takes the messages of {}: start it, or name another worker in ON_LATE_WORKER",
        counted(undone.len(), "broken limit"),
        span((now - *since).num_seconds()),
        few(&workers),
    );
    Ok(Check::fault(NAME, says).fix(["runs", "why", run.key.as_str()]))
}

/// Runs that are due for longer than a sweeper needs.
async fn overdue(realm: &dyn Realm) -> Result<Vec<Run>, Error> {
    let (store, late) = (realm.runs(), realm.now() - OVERDUE);
    let mut overdue = Vec::new();
    for part in 0..store.due_parts() {
        overdue.extend(store.due_page(part, late, None, MAX_DUE).await?.runs);
    }
    Ok(overdue)
}
