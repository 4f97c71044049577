//! `schedules run`.

use pumice_core::ids::RunKey;
use pumice_core::ports::Clock;
use pumice_core::text::escaped;
use pumice_local::SystemClock;
use pumice_service::dispatch::Outcomes;
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
    let accepted = run(realm, &Asked { job, entry, at }).await?;
    if let Some(warning) = &accepted.warning {
        warn(global, &[format!("{}: {warning}", escaped(accepted.job_id.as_str()))]);
    }
    if !wait {
        return print(global.output, &accepted, || {
            let there = if accepted.existing { "  (was there already)" } else { "" };
            vec![format!("{}  {}{there}", accepted.run_id, escaped(accepted.job_id.as_str()))]
        });
    }
    let roots = [RunKey::root(accepted.run_id)];
    let runs = follow_shown(realm, &roots, global.quiet).await?;
    let tree = crate::commands::run::tree(global, realm.runs(), &runs).await?;
    let outcomes =
        Outcomes { accepted: vec![accepted], runs: Some(tree.runs.clone()), ..Outcomes::default() };
    print(global.output, &outcomes, || crate::view::tree(&tree, SystemClock.now()))?;
    if all_complete(&runs, &roots, false) { Ok(()) } else { Err(Failure::RunFailed) }
}
