//! `schedules run`.

use chrono::TimeDelta;
use pumice_core::Timestamp;
use pumice_core::clock::{Planned, Start, standings, utc};
use pumice_core::engine::{Accepted, Housekeeper, start_request};
use pumice_core::hosts::Hosts;
use pumice_core::ids::{JobId, RunKey};
use pumice_core::request::{DispatchRequest, When};
use pumice_core::spec::JobSpec;
use pumice_core::text::{escaped, quoted};
use serde_json::{Value, json};

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
    let housekeeper = Housekeeper::new(site, registry()?);
    let (planned, start) = start_of(one, options.entry, at, found.now)?;
    let starts =
        if planned.is_for_all_nodes() { on_each(&housekeeper, &one.job, start).await? } else { vec![start] };
    let requests = starts.iter().map(|start| request(&one.job_id, planned, start, at.is_some(), found.now));
    let outcomes = housekeeper.dispatcher().dispatch(requests.collect(), None).await;
    let accepted = outcomes.into_iter().collect::<Result<Vec<Accepted>, _>>()?;
    for one in &accepted {
        if let Some(warning) = &one.warning {
            warn(global, &[format!("{}: {warning}", escaped(one.job_id.as_str()))]);
        }
    }
    let values: Vec<Value> = accepted.iter().map(accepted_json).collect();
    if !options.wait {
        // One start is an object; starts on each host are a list, however many there are.
        let value = match &values[..] {
            [value] if !planned.is_for_all_nodes() => value.clone(),
            _ => Value::Array(values),
        };
        return print(global.output, &value, || {
            let there = |one: &Accepted| if one.existing { "  (was there already)" } else { "" };
            let line =
                |one: &Accepted| format!("{}  {}{}", one.run_id, escaped(one.job_id.as_str()), there(one));
            accepted.iter().map(line).collect()
        });
    }
    let roots: Vec<RunKey> = accepted.iter().map(|one| RunKey::root(one.run_id)).collect();
    let runs =
        follow(realm.runs(), &roots, &realm.outputs(), Tell::fitting(global.quiet), Some(realm)).await?;
    if global.output.is_table() {
        crate::commands::run::show(global, realm.runs(), &runs).await?;
    } else {
        let shown = crate::commands::run::runs_json(realm.runs(), &runs).await?;
        print(global.output, &json!({ "accepted": values, "runs": shown }), Vec::new)?;
    }
    if all_complete(&runs, &roots, false) { Ok(()) } else { Err(Failure::RunFailed) }
}

/// A start for each host of the job's worker that is alive.
async fn on_each(housekeeper: &Housekeeper, job: &JobSpec, start: Start) -> Result<Vec<Start>, Failure> {
    match housekeeper.hosts_for(job).await? {
        Hosts::Single => Ok(vec![start]),
        Hosts::Alive(hosts) => Ok(hosts.iter().map(|host| start.on(host)).collect()),
        Hosts::Gone(why) | Hosts::Never(why) => Err(Failure::Wrong(why)),
    }
}

/// The request of a start: of a slot under its key, and of no slot under none.
fn request(
    job_id: &JobId,
    planned: &Planned,
    start: &Start,
    is_of_slot: bool,
    now: Timestamp,
) -> DispatchRequest {
    let request = start_request(job_id, planned, start, now);
    let idempotency_key = request.idempotency_key.filter(|_| is_of_slot);
    DispatchRequest { when: When::Now, idempotency_key, ..request }
}

/// A start by an entry: of the slot that is asked for, else now.
fn start_of(
    one: &Scheduled,
    entry: Option<usize>,
    at: Option<Timestamp>,
    now: Timestamp,
) -> Result<(&Planned, Start), Failure> {
    let (entry, planned) = chosen(one, entry)?;
    let standings = standings(&one.plan, &one.timetable, now);
    let standing = &standings[entry];
    let Some(at) = at else {
        return Ok((planned, Start { previous: standing.last, ..Start::at_once(planned, entry, now) }));
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
    Ok((planned, Start { slot, previous, ..Start::at_once(planned, entry, at) }))
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
