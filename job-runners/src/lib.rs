//! The runners of Pumice's job types and actions, one file each. [`runners`] is the list; the form of specs is in
//! `pumice-job-types`.

mod actions;
mod answer;
mod archive;
mod buckets;
mod cache;
mod capture;
mod cmd;
mod connections;
mod dispatch;
mod exe;
#[cfg(test)]
mod fakes;
mod foreach;
mod http;
mod items;
mod lambda;
mod log;
mod payloads;
mod pkg;
mod process;
mod series;
mod shipment;
mod sql;
mod sqlc;
mod web;

use std::sync::Arc;

pub use connections::probe::{Probe, Tried, test_connection};

use pumice_core::job_type::{BadRegistry, Runners, RunnersBuilder};

/// Every job type and action there is, with what runs them.
///
/// # Errors
/// [`BadRegistry`] when two have one name, or one has no runner.
pub fn runners() -> Result<Runners, BadRegistry> {
    add(Runners::builder()).build(Arc::new(pumice_job_types::registry()?))
}

/// Adds what runs every job type and action of `pumice-job-types`, to be built with a registry that has them all.
#[must_use]
pub fn add(runners: RunnersBuilder) -> RunnersBuilder {
    runners
        .leaf(cmd::Cmd)
        .leaf(dispatch::Dispatch)
        .leaf(exe::Exe)
        .leaf(http::Http)
        .leaf(lambda::Lambda)
        .leaf(log::Log)
        .leaf(pkg::Pkg)
        .leaf(sql::Sql)
        .leaf(sql::Sqli)
        .leaf(sqlc::Sqlc)
        .resolver(foreach::Foreach)
        .performer(actions::dispatch::Dispatch)
        .performer(actions::email::Email)
        .performer(actions::event::Event)
        .performer(actions::log::Log)
        .performer(actions::slack::Slack)
        .performer(actions::sns::Sns)
        .performer(actions::sqs::Sqs)
        .performer(actions::state::State)
        .performer(actions::webhook::Webhook)
}
