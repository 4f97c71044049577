//! Pumice's job types and actions, one file each. [`registry`] is the list.

mod actions;
mod capture;
mod chain;
mod cmd;
mod command_line;
mod dag;
mod dispatch;
mod foreach;
mod items;
mod job_list;
mod log;
mod process;
mod typed;

use std::sync::Arc;

use pumice_core::job_type::{BadRegistry, Registry};

/// Every job type and action there is.
///
/// # Errors
/// [`BadRegistry`] when two have one name.
pub fn registry() -> Result<Registry, BadRegistry> {
    Registry::new(
        vec![
            Arc::new(chain::Chain),
            Arc::new(cmd::Cmd),
            Arc::new(dag::Dag),
            Arc::new(dispatch::Dispatch),
            Arc::new(foreach::Foreach),
            Arc::new(log::Log),
        ],
        vec![
            Arc::new(actions::dispatch::Dispatch),
            Arc::new(actions::log::Log),
            Arc::new(actions::state::State),
        ],
    )
}
