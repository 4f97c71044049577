//! `schedules run`.

use pumice_core::clock::utc;
use pumice_core::ids::RunKey;
use pumice_core::ports::Clock;
use pumice_core::text::escaped;
use pumice_local::SystemClock;
use pumice_service::Instant;
use pumice_service::dispatch::{AcceptedRun, Outcomes};
use pumice_service::schedules::{ForeseenRun, ForeseenStart, RunEntry as Asked, StartedRuns, run};

use crate::args::{Global, RunEntry};
use crate::commands::instant;
use crate::failure::Failure;
use crate::follow::{Followed, follow_to_end};
use crate::output::{print, warn};
use crate::target::Target;

/// Starts a job as an entry of its schedule would.
pub(super) async fn start(global: &Global, realm: &Target, options: RunEntry) -> Result<(), Failure> {
    let RunEntry { job, entry, at, dry_run, wait } = options;
    let zone = realm.zone().await?;
    let at = at.map(|at| instant("--at", &at, zone)).transpose()?.map(Instant);
    let started = realm.ask(run, &Asked { job, entry, at, dry_run }).await?;
    if let StartedRuns::Foreseen(foreseen) = &started {
        return print(global.output, &started, || foreseen_lines(foreseen));
    }
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
    let Followed { tree, is_complete } = follow_to_end(global, realm, &roots, false).await?;
    let outcomes =
        Outcomes { accepted: accepted.to_vec(), runs: Some(tree.runs.clone()), ..Outcomes::default() };
    print(global.output, &outcomes, || crate::view::tree(global.output, &tree, SystemClock.now()))?;
    if is_complete { Ok(()) } else { Err(Failure::RunFailed) }
}

fn foreseen_lines(foreseen: &ForeseenStart) -> Vec<String> {
    let ForeseenStart { job_id, entry, slot, enabled, runs, note, .. } = foreseen;
    let what = format!("{} entry {entry}, slot {}", escaped(job_id.as_str()), utc(slot.0));
    let line = |run: &ForeseenRun| {
        let host = run.host.as_ref().map(|host| format!(" on host {}", escaped(host))).unwrap_or_default();
        match &run.existing {
            Some(existing) => format!("{existing}  {what}{host}  (was there already)"),
            None if *enabled => format!("would start {what}{host}"),
            None => format!("would skip {what}{host}: the job is not enabled"),
        }
    };
    let nothing = "(dry run: nothing was started)".to_owned();
    runs.iter().map(line).chain(note.clone()).chain([nothing]).collect()
}
