//! `schedules backfills`.

use pumice_core::clock::backfill::{Only, Place, Progress};
use pumice_core::clock::{Backfill, utc};
use pumice_core::engine::{BackfillError, Housekeeper};
use pumice_core::glob::fnmatch;
use pumice_core::text::escaped;
use serde_json::{Value, json};

use super::hold::user;
use crate::args::{Backfills, Global};
use crate::commands::registry;
use crate::failure::Failure;
use crate::output::{Column, columns, note, print};
use crate::realm::Realm;

/// Carries out a command.
pub(super) async fn backfills(global: &Global, realm: &Realm, command: Backfills) -> Result<(), Failure> {
    let housekeeper = Housekeeper::new(realm.site().await?, registry()?);
    match command {
        Backfills::List { job } => list(global, realm, &housekeeper, job.as_deref()).await,
        Backfills::Show { id } => show(global, &housekeeper, &stored(realm, &id).await?),
        Backfills::Cancel { id, runs, why, dry_run } => {
            let before = stored(realm, &id).await?;
            let (by, why) = (user(), why.unwrap_or_default());
            let change = |one: &Backfill| one.cancelled(by.clone(), why.clone());
            let (next, changed) = changed(&housekeeper, before, dry_run, change).await?;
            let mut asked = 0;
            if runs && !dry_run {
                asked = housekeeper.cancel_runs_of(&next).await?;
            }
            let value = json!({
                "backfill": backfill_json(&housekeeper, &next), "changed": changed, "runs_cancelled": asked, "dry_run": dry_run,
            });
            tell(global, &next, changed, dry_run, &value)?;
            let left = next.active.len().saturating_sub(asked);
            if left > 0 {
                note(
                    global,
                    &[format!("{left} of its runs are under way and go on: --runs cancels them, too")],
                );
            }
            Ok(())
        }
        Backfills::Resume { id, dry_run } => {
            let before = stored(realm, &id).await?;
            if before.progress == Progress::Complete {
                return Err(Failure::Wrong(format!("backfill {id} is complete")));
            }
            let (next, changed) = changed(&housekeeper, before, dry_run, Backfill::resumed).await?;
            let value = json!({
                "backfill": backfill_json(&housekeeper, &next), "changed": changed, "dry_run": dry_run,
            });
            tell(global, &next, changed, dry_run, &value)?;
            if !dry_run && let Err(error) = housekeeper.advance_backfill(&next.id).await {
                tracing::warn!(%error, "the backfill goes on with the next sweep");
            }
            Ok(())
        }
    }
}

async fn stored(realm: &Realm, id: &str) -> Result<Backfill, Failure> {
    let stored = realm.schedules().load_backfill(id).await?;
    Ok(stored.ok_or_else(|| BackfillError::Unknown(id.to_owned()))?)
}

/// The record changed, or as it would be.
async fn changed(
    housekeeper: &Housekeeper,
    before: Backfill,
    dry_run: bool,
    change: impl Fn(&Backfill) -> Option<Backfill>,
) -> Result<(Backfill, bool), Failure> {
    if dry_run {
        let next = change(&before);
        return Ok((next.clone().unwrap_or(before), next.is_some()));
    }
    Ok(housekeeper.change_backfill(&before.id, change).await?)
}

fn tell(
    global: &Global,
    backfill: &Backfill,
    changed: bool,
    dry_run: bool,
    value: &Value,
) -> Result<(), Failure> {
    print(global.output, value, || {
        let mut lines = vec![format!("{}{}", line(backfill), if changed { "" } else { "  (unchanged)" })];
        if dry_run {
            lines.push("(dry run: nothing was changed)".to_owned());
        }
        lines
    })
}

/// A backfill in a line.
pub(super) fn line(backfill: &Backfill) -> String {
    let Backfill { id, planned, from, to, .. } = backfill;
    let (state, job) = (backfill.progress.word(), escaped(backfill.job_id.as_str()));
    let slots = if *planned == 1 { "slot" } else { "slots" };
    format!("{id}  {state:<9}  {job}, {planned} {slots} from {} to {}", utc(*from), utc(*to))
}

const fn word(only: Only) -> &'static str {
    match only {
        Only::Missing => "missing",
        Only::Failed => "failed",
        Only::All => "all",
    }
}

async fn list(
    global: &Global,
    realm: &Realm,
    housekeeper: &Housekeeper,
    pattern: Option<&str>,
) -> Result<(), Failure> {
    let mut all = realm.schedules().all_backfills().await?;
    all.retain(|one| pattern.is_none_or(|pattern| fnmatch(pattern, one.job_id.as_str())));
    let shown: Vec<Value> = all.iter().map(|one| backfill_json(housekeeper, one)).collect();
    let row = |one: &Backfill| {
        vec![
            one.id.clone(),
            escaped(one.job_id.as_str()).into_owned(),
            one.progress.word().to_owned(),
            format!("{}/{}", one.completed + one.failed + one.skipped, one.planned),
            one.active.len().to_string(),
            one.failed.to_string(),
            one.begun.format("%Y-%m-%d %H:%MZ").to_string(),
            escaped(&why(one)).into_owned(),
        ]
    };
    let rows: Vec<Vec<String>> = all.iter().map(row).collect();
    let heading = [
        Column::Whole("ID"),
        Column::Path("JOB", 10),
        Column::Whole("STATE"),
        Column::Whole("DONE"),
        Column::Whole("RUN"),
        Column::Whole("BAD"),
        Column::Whole("BEGUN"),
        Column::Text("", 4),
    ];
    print(global.output, &json!({ "backfills": shown }), || columns(global.output, &heading, &rows))
}

/// Why it was asked for, or why it does not go on.
fn why(backfill: &Backfill) -> String {
    match &backfill.progress {
        Progress::Stopped { why } => why.clone(),
        Progress::Cancelled { by, why } if why.is_empty() => format!("cancelled by {by}"),
        Progress::Cancelled { by, why } => format!("cancelled by {by}: {why}"),
        Progress::Active | Progress::Complete => backfill.why.clone(),
    }
}

/// The same after what it is about.
fn because(backfill: &Backfill) -> String {
    let why = why(backfill);
    if why.is_empty() { why } else { format!(": {why}") }
}

fn show(global: &Global, housekeeper: &Housekeeper, backfill: &Backfill) -> Result<(), Failure> {
    print(global.output, &json!({ "backfill": backfill_json(housekeeper, backfill) }), || {
        let Backfill { planned, skipped, completed, failed, max_active, active, .. } = backfill;
        let order = if backfill.reverse { ", the newest first" } else { "" };
        let entry = backfill.entry.map(|entry| format!(" of entry {entry}")).unwrap_or_default();
        let mut lines = vec![
            line(backfill),
            format!(
                "begun {} by {}{}",
                utc(backfill.begun),
                escaped(&backfill.by),
                escaped(&because(backfill))
            ),
            format!("only {}{entry}{order}; at most {max_active} at the same time", word(backfill.only)),
            format!(
                "{planned} planned, {} started ({completed} completed, {failed} did not, {} under way), {skipped} passed over, {} left",
                backfill.started(),
                active.len(),
                backfill.left()
            ),
        ];
        lines.extend(backfill.at.map(|Place { slot, .. }| format!("come to {}", utc(slot))));
        for one in active {
            let run = housekeeper.run_of(backfill, &one.key);
            lines.push(format!("{}  entry {}  {run}  under way", utc(one.slot), one.entry));
        }
        for bad in &backfill.bad {
            let run = bad.run_id.map(|run| run.to_string()).unwrap_or_default();
            let status = bad.status.map_or("its record is gone", pumice_core::run::Status::as_str);
            lines.push(format!("{}  entry {}  {run}  {status}", utc(bad.slot), bad.entry));
        }
        lines
    })
}

/// A backfill for programs.
pub(super) fn backfill_json(housekeeper: &Housekeeper, backfill: &Backfill) -> Value {
    let active = backfill.active.iter().map(|one| {
        json!({ "slot": utc(one.slot), "entry": one.entry, "run_id": housekeeper.run_of(backfill, &one.key) })
    });
    let bad = backfill.bad.iter().map(
        |bad| json!({ "slot": utc(bad.slot), "entry": bad.entry, "run_id": bad.run_id, "status": bad.status }),
    );
    let mut shown = json!({
        "id": backfill.id,
        "job_id": backfill.job_id,
        "state": backfill.progress.word(),
        "entry": backfill.entry,
        "from": utc(backfill.from),
        "to": utc(backfill.to),
        "only": backfill.only,
        "max_active": backfill.max_active,
        "reverse": backfill.reverse,
        "key": backfill.key,
        "by": backfill.by,
        "why": backfill.why,
        "begun": utc(backfill.begun),
        "ended": backfill.ended.map(utc),
        "planned": backfill.planned,
        "started": backfill.started(),
        "completed": backfill.completed,
        "failed": backfill.failed,
        "passed_over": backfill.skipped,
        "left": backfill.left(),
        "come_to": backfill.at.map(|place| utc(place.slot)),
        "under_way": active.collect::<Vec<_>>(),
        "bad": bad.collect::<Vec<_>>(),
    });
    match &backfill.progress {
        Progress::Stopped { why } => shown["stopped"] = json!({ "why": why }),
        Progress::Cancelled { by, why } => shown["cancelled"] = json!({ "by": by, "why": why }),
        Progress::Active | Progress::Complete => {}
    }
    shown
}
