//! Serves the realm in the folder that the first argument names, with the types of this crate and Pumice's own.

use std::sync::Arc;

use own_job_type::{AddOne, CountWords, Tally, Words};
use pumice_core::job_type::{Registry, Runners};
use pumice_core::ports::Clock;
use pumice_local::{Durability, Home, Serve, SystemClock, Workers};

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let registry = pumice_job_types::add(Registry::builder()).leaf(Words).action(Tally).build()?;
    let runners = pumice_job_runners::add(Runners::builder()).leaf(CountWords).performer(AddOne);
    let runners = Arc::new(runners.build(Arc::new(registry))?);

    let folder = std::env::args_os().nth(1).ok_or("which folder?")?;
    let home = Home::open(folder.as_ref(), None, true, Durability::Normal).await?;
    let lock = home.lock(SystemClock.now()).await?;
    let workers = Workers::new(home.database().clone(), home.site().await?, runners, Serve::default());
    let stop = async {
        // Even if waiting for Ctrl-C fails, there is no reason to go on.
        let _ = tokio::signal::ctrl_c().await;
    };
    workers.serve(stop, std::future::pending()).await?;
    home.end(lock).await?;
    Ok(())
}
