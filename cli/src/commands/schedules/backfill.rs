//! `schedules backfill`.

use pumice_core::Timestamp;
use pumice_core::clock::backfill::{Asked, Found, Only, Progress, Wanted};
use pumice_core::clock::{Backfill, local, standings, utc};
use pumice_core::engine::{Begun, Housekeeper};
use pumice_core::job_type::Site;
use pumice_core::spec::Timezone;
use pumice_core::text::{escaped, quoted};
use pumice_template::Zone;
use serde_json::{Value, json};

use super::backfills::{backfill_json, line};
use super::hold::user;
use super::{Scheduled, Which, find};
use crate::args::{Global, NewBackfill};
use crate::commands::{instant, registry};
use crate::failure::Failure;
use crate::output::{note, print};
use crate::realm::Realm;

/// Begins a backfill, or shows what it would start.
pub(super) async fn begin(global: &Global, realm: &Realm, options: NewBackfill) -> Result<(), Failure> {
    let site = realm.site().await?;
    let (from, to) = range(&options, site.zone)?;
    let found = find(realm, Which::Named(options.job.as_str())).await?;
    if let Some((job, why)) = found.unread.first() {
        return Err(Failure::Wrong(format!("job {} cannot be read: {why}", escaped(job.as_str()))));
    }
    let Some(one) = found.scheduled.iter().find(|one| one.job_id == options.job) else {
        return Err(crate::commands::specs::no_such_job(realm.jobs(), &options.job).await?);
    };
    let asked = Asked {
        entry: options.entry,
        from,
        to,
        only: options.only.into(),
        max_active: options.max_active,
        reverse: options.reverse,
        key: options.key.clone(),
        by: user(),
        why: options.why.clone().unwrap_or_default(),
    };
    let begun = Backfill::begin(one.job_id.clone(), &one.plan, &one.timetable, asked, found.now);
    let job = quoted(options.job.as_str());
    let begun = begun.map_err(|refused| Failure::Wrong(format!("job {job}: {refused}")))?;
    let notes = notes(&begun, one, &site, found.now);
    let housekeeper = Housekeeper::new(site, registry()?);
    if options.dry_run {
        foresee(global, &housekeeper, one, &begun).await?;
        note(global, &notes);
        return Ok(());
    }
    let Begun { backfill, existing } = housekeeper.begin_backfill(begun).await?;
    let value = json!({ "backfill": backfill_json(&housekeeper, &backfill), "existing": existing });
    print(global.output, &value, || {
        let there = if existing { "  (was there already)" } else { "" };
        vec![format!("{}{there}", line(&backfill))]
    })?;
    if existing {
        let id = &backfill.id;
        let again = match backfill.progress {
            Progress::Active => "it goes on, and nothing is begun anew".to_owned(),
            Progress::Complete => "it is complete: with another --key another one is begun".to_owned(),
            Progress::Cancelled { .. } | Progress::Stopped { .. } => {
                format!(
                    "`pumice schedules backfills resume {id}` has it go on; with another --key another one is begun"
                )
            }
        };
        note(global, &[again]);
        return Ok(());
    }
    note(global, &notes);
    if realm.is_served() == Some(false) {
        note(
            global,
            &["nothing serves this folder: `pumice serve` runs what was started, and goes on".to_owned()],
        );
    }
    Ok(())
}

/// The time that is asked for.
fn range(options: &NewBackfill, zone: Zone) -> Result<(Timestamp, Timestamp), Failure> {
    let named = options.tz.as_deref().map(str::parse::<Timezone>).transpose();
    let named = named.map_err(|error| Failure::Wrong(format!("--tz: {error}")))?;
    let zone = named.map_or(zone, |zone| Zone::Named(zone.0));
    Ok((instant("--from", &options.from, zone)?, instant("--to", &options.to, zone)?))
}

/// What is to be known before.
fn notes(begun: &Backfill, one: &Scheduled, site: &Site, now: Timestamp) -> Vec<String> {
    let mut notes = Vec::new();
    for standing in standings(&one.plan, &one.timetable, now) {
        let entry = standing.entry;
        let is_part = begun.parts.iter().any(|part| part.entry == entry);
        match standing.word() {
            "paused" | "halted" if is_part => {
                notes.push(format!(
                    "entry {entry} is {}: a backfill starts its slots all the same",
                    standing.word()
                ));
            }
            "broken" if begun.entry.is_none() => {
                notes.push(format!("entry {entry} cannot be used, and is left out"));
            }
            _ => {}
        }
    }
    let kept = site.settings.event_ttl.filter(|kept| begun.from < now - kept.delta());
    if let (Some(kept), Only::Missing | Only::Failed) = (kept, begun.only) {
        let counts =
            if begun.only == Only::Missing { "counts as missing" } else { "does not count as failed" };
        notes.push(format!("records of runs are kept for {kept}: a slot whose record is gone {counts}"));
    }
    notes
}

/// Shows what would be started.
async fn foresee(
    global: &Global,
    housekeeper: &Housekeeper,
    one: &Scheduled,
    begun: &Backfill,
) -> Result<(), Failure> {
    let slots = housekeeper.foresee_backfill(begun, &one.plan).await?;
    let is_started = |found: Found| found == Found::Nothing;
    let shown: Vec<Value> = slots
        .iter()
        .map(|(wanted, found)| {
            let (slot, zone) = (wanted.start.slot.at, zone_of(one, wanted));
            json!({
                "job_id": one.job_id,
                "entry": wanted.start.entry,
                "slot": utc(slot),
                "local": local(slot, zone),
                "zone": zone.name(),
                "starts": is_started(*found),
            })
        })
        .collect();
    let starts = slots.iter().filter(|(_, found)| is_started(*found)).count();
    let value =
        json!({ "dry_run": true, "id": begun.id, "planned": slots.len(), "starts": starts, "slots": shown });
    print(global.output, &value, || {
        let why = match begun.only {
            Only::Missing => "has a run",
            Only::Failed => "did not fail",
            Only::All => "was started",
        };
        let mut lines: Vec<String> = slots
            .iter()
            .map(|(wanted, found)| {
                let (slot, zone) = (wanted.start.slot.at, zone_of(one, wanted));
                let what = if is_started(*found) { "start" } else { "pass " };
                let why = if is_started(*found) { String::new() } else { format!("  {why}") };
                format!("{what}  {}  {}  entry {}{why}", utc(slot), local(slot, zone), wanted.start.entry)
            })
            .collect();
        lines.push(format!("(dry run: {starts} of {} slots would be started)", slots.len()));
        lines
    })
}

fn zone_of(one: &Scheduled, wanted: &Wanted) -> chrono_tz::Tz {
    let planned = one.plan.entries.get(wanted.start.entry).and_then(|planned| planned.as_ref().ok());
    planned.map_or(chrono_tz::Tz::UTC, |planned| planned.zone)
}
