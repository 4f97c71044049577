//! Whether runs hold what others have waited for too long: the lock of a job, a permit of a pool or a key.

use std::collections::HashMap;

use chrono::TimeDelta;
use pumice_core::Timestamp;
use pumice_core::glob::literal;
use pumice_core::ids::{JobId, RunKey};
use pumice_core::ports::{Order, RunQuery};
use pumice_core::run::{Run, Status};
use pumice_core::text::shown;

use super::{Check, span};
use crate::failure::Error;
use crate::realm::Realm;

/// How long a run may wait for a lock or a permit, whatever the one takes that has it.
const LONG: TimeDelta = TimeDelta::hours(1);
/// How many times as long as the holder's job usually takes it may wait; never less than [`LEAST`].
const TIMES: i32 = 10;
/// Shorter waits are not worth a word.
const LEAST: TimeDelta = TimeDelta::minutes(1);
/// Most runs that wait which are looked at, the oldest.
const MAX_WAITING: usize = 200;
/// Most locks and gates that are looked at: each costs a few reads.
const MAX_PLACES: usize = 20;
/// Of how many of a job's last runs it is said what they usually take, and of how many at least.
const LAST: usize = 20;
const ENOUGH: usize = 3;
/// Most records that are looked at for these.
const MAX_LOOKED: usize = 1_000;

const NAME: &str = "locks";

/// A run that holds what another waits for.
struct HeldUp {
    holder: RunKey,
    says: String,
}

/// Whether a lock or a permit is held while others have waited for it for long.
pub(super) async fn locks(realm: &dyn Realm) -> Result<Check, Error> {
    if realm.is_served() == Some(false) {
        return Ok(Check::skipped(NAME, "nothing serves the folder"));
    }
    let mut held = Vec::new();
    for (what, (run, since)) in first_waiting(realm).await?.into_iter().take(MAX_PLACES) {
        held.extend(held_up(realm, &what, &run, realm.now() - since).await?);
    }
    let Some(first) = held.first() else {
        return Ok(Check::ok(NAME, "no run has waited for long for a lock or a permit"));
    };
    let says: Vec<&str> = held.iter().map(|one| &*one.says).collect();
    let rest = if says.len() > 1 { format!(" (and {} more)", says.len() - 1) } else { String::new() };
    Ok(Check::warning(NAME, format!("{}{rest}", says[0])).fix(["runs", "show", first.holder.as_str()]))
}

/// Of each lock and gate that runs wait for, in words, the one that has waited longest, and since when.
async fn first_waiting(realm: &dyn Realm) -> Result<Vec<(String, (Run, Timestamp))>, Error> {
    let query = RunQuery {
        statuses: vec![Status::Waiting],
        order: Order::Oldest,
        children: true,
        limit: MAX_WAITING,
        without_alerts: true,
        ..RunQuery::default()
    };
    let (pauses, now) = (realm.runs().pauses().await?, realm.now());
    let mut found: HashMap<String, (Run, Timestamp)> = HashMap::new();
    for run in realm.runs().list(&query).await? {
        let waits = run.first_due.is_some() && run.ts_start.is_none();
        if !waits || pauses.of(&run, now).is_some() {
            continue;
        }
        let what = match run.gate().filter(|_| run.waits_for_permit()) {
            Some(gate) => format!("a permit of {}", gate.words()),
            None => format!("the lock of job {}", shown(run.job_id.as_str())),
        };
        let since = run.was_due();
        let first = found.entry(what).or_insert_with(|| (run.clone(), since));
        if since < first.1 {
            *first = (run, since);
        }
    }
    let mut found: Vec<_> = found.into_iter().collect();
    found.sort_by_key(|(_, (_, since))| *since);
    Ok(found)
}

/// The run that holds what another has waited for, if that is too long.
async fn held_up(
    realm: &dyn Realm,
    what: &str,
    waits: &Run,
    waited: TimeDelta,
) -> Result<Option<HeldUp>, Error> {
    if waited < LEAST {
        return Ok(None);
    }
    let holders = match waits.gate().filter(|_| waits.waits_for_permit()) {
        Some(gate) => realm.runs().gate(gate, 1).await?.holders,
        None => realm.runs().holder(&waits.job_id).await?.into_iter().collect(),
    };
    // The one that has had it longest.
    let mut first: Option<Run> = None;
    for key in holders.iter().take(MAX_PLACES) {
        let Some(run) = realm.runs().peek(key).await? else { continue };
        let since = |run: &Run| run.ts_start.unwrap_or(run.ts_dispatch);
        if first.as_ref().is_none_or(|first| since(&run) < since(first)) {
            first = Some(run);
        }
    }
    let Some(holder) = first else { return Ok(None) };
    let usual = usual(realm, &holder.job_id).await?;
    if waited < LONG && usual.is_none_or(|usual| waited < usual * TIMES) {
        return Ok(None);
    }
    let job = |run: &Run| shown(run.job_id.as_str());
    let usually = usual.map(|usual| format!(", and usually takes {}", span(usual.num_seconds())));
    let others = match holders.len() {
        0 | 1 => String::new(),
        all => format!(" with {} more runs", all - 1),
    };
    let runs = holder.ts_start.map(|start| format!(" for {}", span((realm.now() - start).num_seconds())));
    let says = format!(
        "run {} of {} has {what}{others}, has run{}{}: run {} of {} has waited for it for {}",
        holder.key,
        job(&holder),
        runs.unwrap_or_default(),
        usually.unwrap_or_default(),
        waits.key,
        job(waits),
        span(waited.num_seconds()),
    );
    Ok(Some(HeldUp { holder: holder.key, says }))
}

/// How long the last runs of a job took that ended well: as long as the one in the middle of them.
async fn usual(realm: &dyn Realm, job: &JobId) -> Result<Option<TimeDelta>, Error> {
    let query = RunQuery {
        job: Some(literal(job.as_str())),
        statuses: vec![Status::Complete],
        limit: LAST,
        look_limit: Some(MAX_LOOKED),
        children: true,
        without_alerts: true,
        ..RunQuery::default()
    };
    let ended = realm.runs().list(&query).await?;
    let mut took: Vec<TimeDelta> = ended.iter().filter_map(|run| Some(run.ts_end? - run.ts_start?)).collect();
    took.sort();
    Ok((took.len() >= ENOUGH).then(|| took[took.len() / 2]))
}
