//! `schedules run`.

use chrono::TimeDelta;
use pumice_core::Timestamp;
use pumice_core::clock::{Planned, Start, standings, utc};
use pumice_core::engine::{Dispatcher, start_request};
use pumice_core::ids::RunKey;
use pumice_core::request::{DispatchRequest, When};
use pumice_core::text::{escaped, quoted};
use serde_json::json;

use super::{Scheduled, Which, find};
use crate::args::{Global, RunEntry};
use crate::commands::dispatch::accepted_json;
use crate::commands::{instant, registry};
use crate::failure::Failure;
use crate::follow::{Tell, all_complete, follow};
use crate::output::{print, warn};
use crate::realm::Realm;

/// How far back the slot before another one is looked for.
const BEFORE: TimeDelta = TimeDelta::days(3_660);

/// Starts a job as an entry of its schedule would.
pub(super) async fn start(global: &Global, realm: &Realm, options: RunEntry) -> Result<(), Failure> {
    let site = realm.site().await?;
    let at = options.at.as_deref().map(|at| instant("--at", at, site.zone)).transpose()?;
    let found = find(realm, Which::Named(options.job.as_str())).await?;
    if let Some((job, why)) = found.unread.first() {
        return Err(Failure::Wrong(format!("job {} cannot be read: {why}", escaped(job.as_str()))));
    }
    let Some(one) = found.scheduled.iter().find(|one| one.job_id == options.job) else {
        return Err(crate::commands::specs::no_such_job(realm.jobs(), &options.job).await?);
    };
    let request = request(one, options.entry, at, found.now)?;
    let mut outcomes = Dispatcher::new(site, registry()?).dispatch(vec![request], None).await;
    let Some(accepted) = outcomes.pop() else {
        return Err(Failure::Store("the store gave no answer".to_owned()));
    };
    let accepted = accepted?;
    let value = accepted_json(&accepted);
    if let Some(warning) = &accepted.warning {
        warn(global, &[format!("{}: {warning}", escaped(accepted.job_id.as_str()))]);
    }
    if !options.wait {
        return print(global.output, &value, || {
            let there = if accepted.existing { "  (was there already)" } else { "" };
            vec![format!("{}  {}{there}", accepted.run_id, escaped(accepted.job_id.as_str()))]
        });
    }
    let roots = [RunKey::root(accepted.run_id)];
    let runs =
        follow(realm.runs(), &roots, &realm.outputs(), Tell::fitting(global.quiet), Some(realm)).await?;
    if global.output.is_table() {
        crate::commands::run::show(global, realm.runs(), &runs).await?;
    } else {
        let shown = crate::commands::run::runs_json(realm.runs(), &runs).await?;
        print(global.output, &json!({ "accepted": [value], "runs": shown }), Vec::new)?;
    }
    if all_complete(&runs, &roots, false) { Ok(()) } else { Err(Failure::RunFailed) }
}

/// The request of a start: of a slot under its key, and of no slot under none.
fn request(
    one: &Scheduled,
    entry: Option<usize>,
    at: Option<Timestamp>,
    now: Timestamp,
) -> Result<DispatchRequest, Failure> {
    let (entry, planned) = chosen(one, entry)?;
    let standings = standings(&one.plan, &one.timetable, now);
    let standing = &standings[entry];
    let Some(at) = at else {
        let start = Start { previous: standing.last, ..Start::at_once(planned, entry, now) };
        let request = start_request(&one.job_id, planned, &start, now);
        return Ok(DispatchRequest { when: When::Now, idempotency_key: None, ..request });
    };
    let asked = planned.entry(standing.cursor.since);
    let slot = asked.next(at - TimeDelta::seconds(1)).filter(|slot| slot.at == at);
    let previous = asked.last(at - BEFORE, at - TimeDelta::seconds(1)).map(|slot| slot.at);
    let Some(slot) = slot else {
        let near = [previous, asked.next(at).map(|slot| slot.at)];
        let near: Vec<String> = near.into_iter().flatten().map(utc).collect();
        let hint =
            if near.is_empty() { String::new() } else { format!(": the nearest are {}", near.join(" and ")) };
        let job = quoted(one.job_id.as_str());
        return Err(Failure::Wrong(format!("{} is no slot of entry {entry} of job {job}{hint}", utc(at))));
    };
    let start = Start { slot, previous, ..Start::at_once(planned, entry, at) };
    Ok(DispatchRequest { when: When::Now, ..start_request(&one.job_id, planned, &start, now) })
}

/// The entry that is asked for, or the only one.
fn chosen(one: &Scheduled, entry: Option<usize>) -> Result<(usize, &Planned), Failure> {
    let count = one.plan.entries.len();
    let job = quoted(one.job_id.as_str());
    let entry = match entry {
        Some(entry) => entry,
        None if count == 1 => 0,
        None => {
            return Err(Failure::Wrong(format!(
                "job {job} has {count} entries: which one? --entry 0 to {}",
                count - 1
            )));
        }
    };
    match one.plan.entries.get(entry) {
        None => {
            Err(Failure::Wrong(format!("job {job} has no entry {entry}: it has {count}, counted from 0")))
        }
        Some(Err(error)) => {
            Err(Failure::Wrong(format!("entry {entry} of job {job} cannot be used: {error}")))
        }
        Some(Ok(planned)) => Ok((entry, planned)),
    }
}
