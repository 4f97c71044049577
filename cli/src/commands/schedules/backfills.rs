//! `schedules backfills`.

use pumice_core::clock::backfill::Only;
use pumice_core::clock::utc;
use pumice_core::run::Status;
use pumice_core::text::escaped;
use pumice_service::schedules::{
    BackfillChanged, BackfillName, BackfillShown, CancelBackfill, ListBackfills, ResumeBackfill, cancel,
    list_all, resume_backfill, show,
};

use super::user;
use crate::args::{Backfills, Format, Global};
use crate::failure::Failure;
use crate::output::{Column, columns, note, print};
use crate::target::Target;

/// Carries out a command.
pub(super) async fn backfills(global: &Global, realm: &Target, command: Backfills) -> Result<(), Failure> {
    match command {
        Backfills::List { job, filter } => {
            let found = realm.ask(list_all, &ListBackfills { job, filter }).await?;
            print(global.output, &found, || table(global.output, &found.backfills))
        }
        Backfills::Show { id } => {
            let found = realm.ask(show, &BackfillName { id }).await?;
            print(global.output, &found, || lines(&found.backfill))
        }
        Backfills::Cancel { id, runs, why, dry_run } => {
            let why = why.unwrap_or_default();
            let changed = realm.ask(cancel, &CancelBackfill { id, runs, by: user(), why, dry_run }).await?;
            show_changed(global, &changed)?;
            let asked = changed.runs_cancelled.unwrap_or_default();
            let left = changed.backfill.under_way.len().saturating_sub(asked);
            if left > 0 && !runs {
                let message = format!("{left} of its runs are under way and go on: --runs cancels them, too");
                note(global, &[message]);
            }
            Ok(())
        }
        Backfills::Resume { id, dry_run } => {
            let changed = realm.ask(resume_backfill, &ResumeBackfill { id, dry_run }).await?;
            show_changed(global, &changed)?;
            match &changed.backfill.stopped {
                Some(stopped) if !dry_run => {
                    let (id, why) = (&changed.backfill.id, &stopped.why);
                    Err(Failure::wrong(format!("backfill {id} stopped again: {why}")))
                }
                _ => Ok(()),
            }
        }
    }
}

fn show_changed(global: &Global, changed: &BackfillChanged) -> Result<(), Failure> {
    print(global.output, changed, || {
        let unchanged = if changed.changed { "" } else { "  (unchanged)" };
        let mut lines = vec![format!("{}{unchanged}", line(&changed.backfill))];
        if changed.dry_run {
            lines.push("(dry run: nothing was changed)".to_owned());
        }
        lines
    })
}

/// A backfill in a line.
pub(super) fn line(backfill: &BackfillShown) -> String {
    let BackfillShown { id, state, planned, from, to, .. } = backfill;
    let job = escaped(backfill.job_id.as_str());
    let slots = if *planned == 1 { "slot" } else { "slots" };
    format!("{id}  {state:<9}  {job}, {planned} {slots} from {} to {}", utc(from.0), utc(to.0))
}

const fn word(only: Only) -> &'static str {
    match only {
        Only::Missing => "missing",
        Only::Failed => "failed",
        Only::All => "all",
    }
}

fn table(format: Format, backfills: &[BackfillShown]) -> Vec<String> {
    let row = |one: &BackfillShown| {
        vec![
            one.id.clone(),
            escaped(one.job_id.as_str()).into_owned(),
            one.state.clone(),
            format!("{}/{}", one.completed + one.failed + one.passed_over, one.planned),
            one.under_way.len().to_string(),
            one.failed.to_string(),
            one.begun.0.format("%Y-%m-%d %H:%MZ").to_string(),
            escaped(&why(one)).into_owned(),
        ]
    };
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
    columns(format, &heading, &backfills.iter().map(row).collect::<Vec<_>>())
}

/// Why it was asked for, or why it does not go on.
fn why(backfill: &BackfillShown) -> String {
    match (&backfill.stopped, &backfill.cancelled) {
        (Some(stopped), _) => stopped.why.clone(),
        (_, Some(cancelled)) if cancelled.why.is_empty() => format!("cancelled by {}", cancelled.by),
        (_, Some(cancelled)) => format!("cancelled by {}: {}", cancelled.by, cancelled.why),
        (None, None) => backfill.why.clone(),
    }
}

/// The same after what it is about.
fn because(backfill: &BackfillShown) -> String {
    let why = why(backfill);
    if why.is_empty() { why } else { format!(": {why}") }
}

fn lines(backfill: &BackfillShown) -> Vec<String> {
    let BackfillShown { planned, started, passed_over, completed, failed, left, max_active, .. } = backfill;
    let order = if backfill.reverse { ", the newest first" } else { "" };
    let entry = backfill.entry.map(|entry| format!(" of entry {entry}")).unwrap_or_default();
    let under_way = &backfill.under_way;
    let begun = (utc(backfill.begun.0), escaped(&backfill.by), because(backfill));
    let mut lines = vec![
        line(backfill),
        format!("begun {} by {}{}", begun.0, begun.1, escaped(&begun.2)),
        format!("only {}{entry}{order}; at most {max_active} at the same time", word(backfill.only)),
        format!(
            "{planned} planned, {started} started ({completed} completed, {failed} did not, {} under way), {passed_over} passed over, {left} left",
            under_way.len(),
        ),
    ];
    if *started > 0 {
        lines.push(format!("its runs: pumice runs list --backfill {}", backfill.id));
    }
    lines.extend(backfill.come_to.map(|slot| format!("come to {}", utc(slot.0))));
    for one in under_way {
        lines.push(format!("{}  entry {}  {}  under way", utc(one.slot.0), one.entry, one.run_id));
    }
    for bad in &backfill.bad {
        let run = bad.run_id.map(|run| run.to_string()).unwrap_or_default();
        let status = bad.status.map_or("its record is gone", Status::as_str);
        lines.push(format!("{}  entry {}  {run}  {status}", utc(bad.slot.0), bad.entry));
    }
    lines
}
