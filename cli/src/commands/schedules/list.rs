//! `schedules list`.

use chrono::{DateTime, Datelike};
use chrono_tz::Tz;
use pumice_core::Timestamp;
use pumice_core::ports::Clock;
use pumice_core::text::escaped;
use pumice_local::SystemClock;
use pumice_service::schedules::{
    EntryStanding, ListSchedules, ScheduleList, ScheduleRow, UnreadJob, UnreadRow, list as list_schedules,
};

use super::warn_unread;
use crate::args::{Format, Global};
use crate::failure::Failure;
use crate::output::{Column, columns, note, print, warn};
use crate::target::Target;

/// Lists the entries of schedules.
pub(super) async fn list(global: &Global, realm: &Target, asked: ListSchedules) -> Result<(), Failure> {
    let found = realm.ask(list_schedules, &asked).await?;
    print(global.output, &found, || table(global.output, &found))?;
    if global.output.is_table() {
        tell(global, realm, &found).await;
        let troubles = found.schedules.iter().filter_map(|row| match row {
            ScheduleRow::Entry(entry) => trouble(entry),
            ScheduleRow::Unread(_) => None,
        });
        warn(global, &troubles.collect::<Vec<_>>());
        let unread = found.schedules.iter().filter_map(|row| match row {
            ScheduleRow::Entry(_) => None,
            ScheduleRow::Unread(UnreadRow { job_id, trouble, .. }) => {
                Some(UnreadJob { job_id: job_id.clone(), trouble: trouble.clone() })
            }
        });
        warn_unread(global, &unread.collect::<Vec<_>>());
    }
    Ok(())
}

fn table(format: Format, found: &ScheduleList) -> Vec<String> {
    let now = SystemClock.now();
    let rows: Vec<Vec<String>> = found
        .schedules
        .iter()
        .map(|row| match row {
            ScheduleRow::Entry(entry) => entry_row(format, entry, now),
            ScheduleRow::Unread(unread) => unread_row(unread),
        })
        .collect();
    let heading = [
        Column::Path("JOB", 10),
        Column::Whole("#"),
        Column::Text("WHAT", 8),
        Column::Whole("NEXT"),
        Column::Whole("LAST"),
        Column::Whole("STATE"),
        Column::Path("ZONE", 14),
        Column::Text("", 1),
    ];
    columns(format, &heading, &rows)
}

async fn tell(global: &Global, realm: &Target, found: &ScheduleList) {
    let entries = match found.schedules.len() {
        1 => "1 entry".to_owned(),
        count => format!("{count} entries"),
    };
    let mut notes = vec![format!(
        "{} of {} jobs with schedules, {entries}; times are in each entry's zone",
        found.jobs, found.all
    )];
    notes.extend(found.note.clone());
    if realm.is_served().await == Some(false) && !found.schedules.is_empty() {
        notes.push("nothing serves this folder: `pumice serve` starts what is due".to_owned());
    }
    note(global, &notes);
}

fn trouble(entry: &EntryStanding) -> Option<String> {
    let trouble = escaped(entry.trouble.as_deref()?);
    let what = if entry.what.is_none() { "cannot be used" } else { "had its last start refused" };
    Some(format!("{}: entry {} {what}: {trouble}", escaped(entry.job_id.as_str()), entry.entry))
}

fn entry_row(format: Format, entry: &EntryStanding, now: Timestamp) -> Vec<String> {
    let zone = zone_of(entry);
    let what = entry.what.as_ref().or(entry.trouble.as_ref()).map(String::as_str).unwrap_or_default();
    let time =
        |at: Option<Timestamp>| at.map(|at| short(format, at.with_timezone(&zone), now)).unwrap_or_default();
    vec![
        escaped(entry.job_id.as_str()).into_owned(),
        entry.entry.to_string(),
        escaped(what).into_owned(),
        time(entry.next.map(|next| next.0)),
        time(entry.last.map(|last| last.0)),
        entry.state.clone(),
        entry.zone.clone().unwrap_or_default(),
        escaped(&late(entry, zone).into_iter().chain(remark(entry)).collect::<Vec<_>>().join("; "))
            .into_owned(),
    ]
}

fn unread_row(unread: &UnreadRow) -> Vec<String> {
    let (job, why) = (escaped(unread.job_id.as_str()).into_owned(), escaped(&unread.trouble).into_owned());
    let none = String::new;
    vec![job, none(), why, none(), none(), unread.state.clone(), none(), none()]
}

/// The zone of an entry; UTC where its spec cannot be used.
fn zone_of(entry: &EntryStanding) -> Tz {
    entry.zone.as_ref().and_then(|zone| zone.parse().ok()).unwrap_or(Tz::UTC)
}

/// A time in few characters: no year within this one, no seconds.
fn short(format: Format, at: DateTime<Tz>, now: Timestamp) -> String {
    let is_this_year = at.year() == now.with_timezone(&at.timezone()).year();
    let pattern = match format {
        Format::Wide => "%Y-%m-%d %H:%M:%S",
        _ if is_this_year => "%m-%d %H:%M",
        _ => "%Y-%m-%d",
    };
    at.format(pattern).to_string()
}

fn remark(entry: &EntryStanding) -> Option<String> {
    match entry.state.as_str() {
        "paused" | "halted" => entry.silence.clone(),
        "active" if entry.overdue > 0 => Some("overdue".to_owned()),
        "active" => entry.trouble.clone(),
        _ => None,
    }
}

/// Limits that were broken when they were judged last.
fn late(entry: &EntryStanding, zone: Tz) -> Option<String> {
    let broken = entry.late.iter().map(|late| {
        format!("{} {}", late.limit.field(), late.by.0.with_timezone(&zone).format("%m-%d %H:%M"))
    });
    let late: Vec<String> = broken.collect();
    (!late.is_empty()).then(|| format!("late: {}", late.join(", ")))
}
