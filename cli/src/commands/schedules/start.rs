//! `schedules run`.

use pumice_core::ids::RunKey;
use pumice_core::ports::Clock;
use pumice_core::text::escaped;
use pumice_local::SystemClock;
use pumice_service::dispatch::{AcceptedRun, Outcomes};
use pumice_service::runs::all_complete;
use pumice_service::schedules::{RunEntry as Asked, run};
use pumice_service::{Instant, Realm as _};

use crate::args::{Global, RunEntry};
use crate::commands::instant;
use crate::failure::Failure;
use crate::follow::follow_shown;
use crate::output::{print, warn};
use crate::realm::Realm;

/// Starts a job as an entry of its schedule would.
pub(super) async fn start(global: &Global, realm: &Realm, options: RunEntry) -> Result<(), Failure> {
    let RunEntry { job, entry, at, wait } = options;
    let zone = realm.site().await?.zone;
    let at = at.map(|at| instant("--at", &at, zone)).transpose()?.map(Instant);
    let started = run(realm, &Asked { job, entry, at }).await?;
    let accepted = started.accepted();
    for one in accepted {
        if let Some(warning) = &one.warning {
            warn(global, &[format!("{}: {warning}", escaped(one.job_id.as_str()))]);
        }
    }
    if !wait {
        return print(global.output, &started, || {
            let there = |one: &AcceptedRun| if one.existing { "  (was there already)" } else { "" };
            let line =
                |one: &AcceptedRun| format!("{}  {}{}", one.run_id, escaped(one.job_id.as_str()), there(one));
            accepted.iter().map(line).collect()
        });
    }
    let roots: Vec<RunKey> = accepted.iter().map(|one| RunKey::root(one.run_id)).collect();
    let runs = follow_shown(realm, &roots, global.quiet).await?;
    let tree = crate::commands::run::tree(global, realm.runs(), &runs).await?;
    let outcomes =
        Outcomes { accepted: accepted.to_vec(), runs: Some(tree.runs.clone()), ..Outcomes::default() };
    print(global.output, &outcomes, || crate::view::tree(&tree, SystemClock.now()))?;
    if all_complete(&runs, &roots, false) { Ok(()) } else { Err(Failure::RunFailed) }
}
