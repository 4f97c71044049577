//! The pages. Each function asks the service, makes what it gets ready for a template, and renders it.

mod audit;
mod backfills;
mod bulk;
mod connections;
mod dead;
mod doctor;
mod edit;
mod failures;
mod job;
mod jobs;
pub(crate) mod login;
mod many;
mod metrics;
mod now;
mod output;
mod pauses;
mod payloads;
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
mod workers;

use std::sync::Arc;

use axum::Router;
use axum::routing::{get, post};

use crate::app::App;

pub(crate) use render::{Head, fault, render, templates};
pub(crate) use run::offline_context;
pub use screens::{SCREENS, Screen, WITHOUT_SCREEN};

/// The routes of all pages but the login.
pub(crate) fn routes(router: Router<Arc<App>>) -> Router<Arc<App>> {
    router
        .route("/", get(now::show))
        .route("/runs", get(runs::show))
        .route("/runs/cancel", post(runs::cancel))
        .route("/runs/many", get(many::show).post(many::act))
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
        .route("/taste", post(taste::set))
        .route("/logout", post(login::logout))
}
