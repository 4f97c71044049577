//! `serve`: the workers of a realm's folder.

use std::time::Duration;

use pumice_core::engine::Limits;
use pumice_core::ids::WorkerName;
use pumice_core::ports::Clock;
use pumice_local::{Database, Durability, Home, SystemClock, Workers};

use super::{prepare_for_commands, runners};
use crate::args::{Global, Serve};
use crate::failure::Failure;
use crate::realm::more_secrets;
use crate::signals::asked_to_stop;
use crate::supervisor;

/// How long the note that the server is stopping may take: stopping does not wait for a store that hangs.
const NOTE: Duration = Duration::from_secs(1);

/// Runs jobs until Ctrl-C, SIGTERM or SIGHUP, which gives running jobs the time of `--drain` to finish; a second one stops them.
pub(super) async fn serve(global: &Global, options: Serve) -> Result<(), Failure> {
    if global.is_aws() {
        let message =
            "serve works on a realm's folder; on AWS functions run jobs, or `pumice --aws worker NAME` does";
        return Err(Failure::wrong(message));
    }
    let durability = if options.durable { Durability::Full } else { Durability::Normal };
    let home = Home::open(&global.home, global.realm.as_ref(), true, durability).await?;
    let home = match more_secrets() {
        Some(more) => home.with_secrets(more),
        None => home,
    };
    let home = home.with_messaging(crate::outside::messaging()).with_servers(crate::outside::servers());
    let lock = home.lock_for(SystemClock.now(), &options.workers).await?;
    if !options.console && options.doors.is_any_given() {
        let message = "--listen, --public-url, --tokens, --role, --read-only and those of a trusted proxy are of the console: give --console, too";
        return Err(Failure::wrong(message));
    }
    let console = match options.console {
        true => Some(super::console::open(global, options.doors).await?),
        false => None,
    };
    let slots = prepare_for_commands(None, options.slots, &options.containment);
    let site = home.site().await?;
    let names: Vec<&str> = options.workers.iter().map(WorkerName::as_str).collect();
    let served = if names.is_empty() { "all".to_owned() } else { names.join(",") };
    let serve = pumice_local::Serve {
        slots,
        workers: options.workers,
        drain: options.drain.drain.get(),
        limits: Limits { lease: options.lease, ..Limits::default() },
        clock: true,
    };
    let workers = Workers::new(home.database().clone(), site, runners()?, serve);
    // A supervisor may send SIGTERM as soon as it reads the next line.
    let (stop, kill) = asked_to_stop()?;
    tracing::info!(home = %home.path().display(), realm = %home.realm(), workers = %served, slots, "serving; Ctrl-C stops");
    supervisor::serving();
    let (stopping, stopped) = tokio::sync::watch::channel(false);
    let console = console.map(|console| tokio::spawn(console.serve_with_server(stopped)));
    let stop = async {
        stop.await;
        supervisor::stopping();
        note_stopping(home.database()).await;
    };
    let fault = tokio::select! {
        served = workers.serve(stop, kill) => {
            // The console goes with the server.
            drop(stopping);
            if let Some(console) = console {
                console.await.unwrap_or_else(|error| tracing::warn!(%error, "the console ended early"));
            }
            served?;
            return home.end(lock).await.map_err(|fault| Failure::store(format!("stopped serving: {fault}")));
        }
        fault = home.fault(&lock) => fault,
    };
    // Nothing that runs can be recorded any more; what was recorded goes on when the realm is served again.
    Err(Failure::store(format!("stopped serving: {fault}")))
}

/// Has others see that the server is stopping, while what runs may go on.
async fn note_stopping(database: &Database) {
    match tokio::time::timeout(NOTE, database.note_stopping(SystemClock.now())).await {
        Ok(Ok(())) => {}
        Ok(Err(error)) => tracing::warn!(%error, "cannot note that the server is stopping"),
        Err(_) => tracing::warn!("cannot note that the server is stopping: the store does not answer"),
    }
}
