//! The form of the specs of Pumice's job types and actions, one file each. [`registry`] is the list. Their runners are
//! in `pumice-job-runners`, which the dispatcher function does not need.

pub mod actions;
pub mod chain;
pub mod cmd;
pub mod command;
mod command_line;
pub mod connections;
pub mod dag;
pub mod dispatch;
pub mod exe;
pub mod foreach;
pub mod http;
mod job_list;
pub mod lambda;
pub mod log;
pub mod pkg;
pub mod sql;
pub mod sqlc;
pub mod web;
pub mod words;

use pumice_core::job_type::{BadRegistry, Registry, RegistryBuilder};

pub use job_list::{BadJobList, Globs, JobIds};

/// Every job type and action there is.
///
/// # Errors
/// [`BadRegistry`] when two have one name.
pub fn registry() -> Result<Registry, BadRegistry> {
    add(Registry::builder()).build()
}

/// Adds every job type and action there is to a registry, which may have others.
#[must_use]
pub fn add(registry: RegistryBuilder) -> RegistryBuilder {
    registry
        .composite(chain::Chain)
        .leaf(cmd::Cmd)
        .composite(dag::Dag)
        .leaf(dispatch::Dispatch)
        .leaf(exe::Exe)
        .composite(foreach::Foreach)
        .leaf(http::Http)
        .leaf(lambda::Lambda)
        .leaf(log::Log)
        .leaf(pkg::Pkg)
        .leaf(sql::Sql)
        .leaf(sql::Sqli)
        .leaf(sqlc::Sqlc)
        .action(actions::dispatch::Dispatch)
        .action(actions::email::Email)
        .action(actions::event::Event)
        .action(actions::log::Log)
        .action(actions::slack::Slack)
        .action(actions::sns::Sns)
        .action(actions::sqs::Sqs)
        .action(actions::state::State)
        .action(actions::webhook::Webhook)
}
