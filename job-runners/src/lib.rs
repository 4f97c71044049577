//! What workers do for Pumice's job types and actions, one file each. [`runners`] is the list; what specs may say is in
//! `pumice-job-types`.

mod actions;
mod archive;
mod buckets;
mod cache;
mod capture;
mod cmd;
mod dispatch;
mod exe;
#[cfg(test)]
mod fakes;
mod foreach;
mod items;
mod log;
mod payloads;
mod pkg;
mod process;
mod series;

use std::sync::Arc;

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
        .leaf(log::Log)
        .leaf(pkg::Pkg)
        .resolver(foreach::Foreach)
        .performer(actions::dispatch::Dispatch)
        .performer(actions::log::Log)
        .performer(actions::state::State)
}
