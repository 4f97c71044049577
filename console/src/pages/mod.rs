//! The pages. Each function asks the service, makes what it gets ready for a template, and renders it.

mod audit;
mod backfills;
mod bulk;
mod connections;
mod dead;
mod doctor;
mod edit;
mod failures;
mod form;
mod job;
mod jobs;
pub(crate) mod login;
mod many;
mod metrics;
mod now;
mod output;
mod palette;
mod pauses;
mod payloads;
mod realm;
mod render;
mod retry;
mod run;
mod runs;
mod schedules;
mod screens;
mod secrets;
mod state;
mod stats;
mod taste;
mod triggers;
mod types;
pub(crate) mod views;
mod workers;

use std::sync::Arc;

use axum::Router;
use axum::routing::{get, post};
use pumice_core::problem::did_you_mean;
use pumice_core::text::quoted;

use crate::answer::Fault;
use crate::app::App;
use crate::ask::Fields;

pub(crate) use render::{Clocks, Head, fault, render, templates};
pub(crate) use run::offline_context;
pub use screens::{SCREENS, Screen, WITHOUT_SCREEN};

/// The fields that the queries of pages have; a page that is not here has none.
const QUERIES: [(&str, &[&str]); 23] = [
    ("/audit", &["where", "cursor"]),
    ("/audit/entry", &["id"]),
    ("/backfill", &["id"]),
    ("/bulk", &["id", "outcome", "cursor"]),
    ("/connection", &["id"]),
    ("/dead", &["where"]),
    ("/dead/letter", &["id"]),
    ("/failures", &["where"]),
    ("/job", &["id"]),
    ("/job/edit", &["id"]),
    ("/jobs", &["where", "pattern", "after"]),
    ("/payloads", &["prefix"]),
    ("/run", &["id"]),
    ("/run/output", &["id", "at", "step", "attempt", "name", "from", "before", "find"]),
    ("/run/output/raw", &["id", "at", "step", "attempt", "name", "from", "line"]),
    ("/run/retry", &["id", "from", "step", "spec", "globals", "params", "once_more"]),
    (
        "/runs",
        &["where", "job", "status", "since", "until", "backfill", "order", "children", "cursor", "limit"],
    ),
    ("/runs/many", &["act", "where"]),
    ("/schedules", &["where", "job"]),
    ("/stats", &["where"]),
    ("/trigger", &["id"]),
    ("/triggers", &["bucket", "key", "size", "event_type"]),
    ("/palette", &["text"]),
];

/// Refuses a query with a field that its page does not have: a filter that is misspelt would mean everything.
///
/// # Errors
/// [`Fault`] with the field, and one that is like it.
pub(crate) fn only_known(path: &str, query: &Fields) -> Result<(), Fault> {
    let known = QUERIES.iter().find(|(page, _)| *page == path).map_or(&[][..], |(_, names)| names);
    let unknown = query.iter().map(|(name, _)| name).find(|name| !known.contains(name));
    let Some(name) = unknown else { return only_once(query) };
    let hint = did_you_mean(name, known.iter().copied());
    let hint = hint.or_else(|| (!known.is_empty()).then(|| format!("there is {}", known.join(", "))));
    let hint = hint.map(|hint| format!(" ({hint})")).unwrap_or_default();
    Err(Fault::bad(format!("this page has no field {}{hint}", quoted(name))))
}

/// Refuses a field that is there twice with different values: one of them would have no effect. A list of statuses may be several
/// fields.
fn only_once(query: &Fields) -> Result<(), Fault> {
    let mut seen: Vec<(&str, &str)> = Vec::new();
    for (name, value) in query.iter().filter(|(name, _)| *name != "status") {
        match seen.iter().find(|(known, _)| *known == name) {
            Some((_, known)) if *known != value => {
                return Err(Fault::bad(format!("{name}: it is there twice, with different values")));
            }
            Some(_) => {}
            None => seen.push((name, value)),
        }
    }
    Ok(())
}

/// The routes of all pages but the login.
pub(crate) fn routes(router: Router<Arc<App>>) -> Router<Arc<App>> {
    router
        .route("/", get(now::show))
        .route("/runs", get(runs::show))
        .route("/runs/cancel", post(runs::cancel))
        .route("/runs/many", get(many::show).post(many::act))
        .route("/runs/views", post(views::keep))
        .route("/bulks", get(bulk::list))
        .route("/bulk", get(bulk::show))
        .route("/bulk/stop", post(bulk::stop))
        .route("/bulk/resume", post(bulk::resume))
        .route("/run", get(run::show))
        .route("/run/cancel", post(run::cancel))
        .route("/run/retry", get(retry::show).post(retry::act))
        .route("/run/output", get(output::show))
        .route("/run/output/raw", get(output::raw))
        .route("/jobs", get(jobs::show))
        .route("/job", get(job::show))
        .route("/job/edit", get(edit::show).post(edit::act))
        .route("/job/run", post(job::run))
        .route("/job/delete", post(job::delete))
        .route("/jobs/pause", post(pauses::jobs_pause))
        .route("/jobs/resume", post(pauses::jobs_resume))
        .route("/schedules", get(schedules::show))
        .route("/schedules/pause", post(schedules::pause))
        .route("/schedules/resume", post(schedules::resume))
        .route("/schedules/run", post(schedules::run))
        .route("/schedules/backfill", post(backfills::begin))
        .route("/backfill", get(backfills::show))
        .route("/backfill/cancel", post(backfills::cancel))
        .route("/backfill/resume", post(backfills::resume))
        .route("/workers", get(workers::show))
        .route("/workers/pause", post(pauses::workers_pause))
        .route("/workers/resume", post(pauses::workers_resume))
        .route("/workers/drain", post(pauses::workers_drain))
        .route("/maintenance/on", post(pauses::maintenance_on))
        .route("/maintenance/off", post(pauses::maintenance_off))
        .route("/dead", get(dead::show))
        .route("/dead/letter", get(dead::one))
        .route("/dead/redrive", post(dead::redrive))
        .route("/dead/drop", post(dead::discard))
        .route("/failures", get(failures::show))
        .route("/stats", get(stats::show))
        .route("/doctor", get(doctor::show))
        .route("/realm", get(realm::show))
        .route("/metrics", get(metrics::show))
        .route("/triggers", get(triggers::show))
        .route("/trigger", get(triggers::one))
        .route("/trigger/delete", post(triggers::delete))
        .route("/connections", get(connections::show))
        .route("/connection", get(connections::one))
        .route("/connection/test", post(connections::test))
        .route("/connection/delete", post(connections::delete))
        .route("/state", get(state::show))
        .route("/state/put", post(state::put))
        .route("/state/delete", post(state::delete))
        .route("/payloads", get(payloads::show))
        .route("/secrets", get(secrets::show))
        .route("/secrets/set", post(secrets::set))
        .route("/secrets/delete", post(secrets::delete))
        .route("/audit", get(audit::show))
        .route("/audit/entry", get(audit::one))
        .route("/palette", get(palette::show))
        .route("/taste", post(taste::set))
        .route("/logout", post(login::logout))
}
