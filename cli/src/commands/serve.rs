//! `serve`: the workers of a realm's folder.

use pumice_core::ports::Clock;
use pumice_local::{Durability, Home, SystemClock, Workers};

use super::registry;
use crate::args::{Global, Serve};
use crate::failure::Failure;
use crate::signals::requests_to_stop;

/// Runs jobs until Ctrl-C, SIGTERM or SIGHUP, which lets running jobs finish; a second one stops them.
pub(super) async fn serve(global: &Global, options: Serve) -> Result<(), Failure> {
    let durability = if options.durable { Durability::Full } else { Durability::Normal };
    let home = Home::open(&global.home, global.realm.as_ref(), true, durability).await?;
    let _lock = home.lock(SystemClock.now()).await?.map_err(|in_use| Failure::Store(in_use.to_string()))?;
    let site = home.site().await?;
    let serve = pumice_local::Serve {
        slots: options.slots,
        workers: options.workers,
        ..pumice_local::Serve::default()
    };
    let workers = Workers::new(home.database().clone(), site, registry()?, serve);
    tracing::info!(home = %home.path().display(), realm = %home.realm(), slots = options.slots, "serving; Ctrl-C stops");
    let mut first = requests_to_stop()?;
    let mut second = first.clone();
    let stop = async move {
        // The sender lives as long as the process.
        let _ = first.wait_for(|count| *count > 0).await;
        tracing::info!("stopping: running jobs finish; Ctrl-C again stops them");
    };
    let kill = async move {
        let _ = second.wait_for(|count| *count > 1).await;
        tracing::warn!("stopping running jobs; they start over when the realm is served again");
    };
    workers.serve(stop, kill).await?;
    Ok(())
}
