//! `schedules list`.

use chrono::{DateTime, Datelike};
use chrono_tz::Tz;
use pumice_core::Timestamp;
use pumice_core::clock::{Broken, Standing, State, limits_in_words, standings, starts_in_words, utc};
use pumice_core::ids::JobId;
use pumice_core::text::escaped;
use serde_json::{Value, json};

use super::{Found, Scheduled, Which, find};
use crate::args::{Format, Global};
use crate::failure::Failure;
use crate::output::{Column, columns, note, print, warn};
use crate::realm::Realm;

/// Lists the entries of schedules.
pub(super) async fn list(global: &Global, realm: &Realm, pattern: Option<&str>) -> Result<(), Failure> {
    let found = find(realm, Which::Matching(pattern)).await?;
    let mut rows = Vec::new();
    let (mut shown, mut troubles) = (Vec::new(), Vec::new());
    for one in &found.scheduled {
        for standing in standings(&one.plan, &one.timetable, found.now) {
            rows.push(row(global.output, one, &standing, found.now));
            shown.push(entry_json(one, &standing));
            if let Some(trouble) = &standing.trouble {
                let job = escaped(one.job_id.as_str());
                let (what, why) = (
                    if standing.planned.is_none() { "cannot be used" } else { "had its last start refused" },
                    escaped(trouble),
                );
                troubles.push(format!("{job}: entry {} {what}: {why}", standing.entry));
            }
        }
    }
    let unread = |(job, why): &(JobId, String)| json!({ "job_id": job, "entry": null, "state": "broken", "trouble": why });
    shown.extend(found.unread.iter().map(unread));
    let broken = |(job, why): &(JobId, String)| {
        let (job, why) = (escaped(job.as_str()).into_owned(), escaped(why).into_owned());
        let none = String::new();
        vec![job, none.clone(), why, none.clone(), none.clone(), "broken".to_owned(), none.clone(), none]
    };
    rows.extend(found.unread.iter().map(broken));
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
    print(global.output, &json!({ "schedules": shown }), || columns(global.output, &heading, &rows))?;
    if global.output.is_table() {
        tell(global, realm, &found, rows.len());
        warn(global, &troubles);
        found.warn(global);
    }
    Ok(())
}

fn tell(global: &Global, realm: &Realm, found: &Found, entries: usize) {
    let jobs = found.scheduled.len() + found.unread.len();
    let entries = if entries == 1 { "1 entry".to_owned() } else { format!("{entries} entries") };
    let mut notes = vec![format!(
        "{jobs} of {} jobs with schedules, {entries}; times are in each entry's zone",
        found.all
    )];
    if realm.is_served() == Some(false) && entries != "0 entries" {
        notes.push("nothing serves this folder: `pumice serve` starts what is due".to_owned());
    }
    note(global, &notes);
}

fn row(format: Format, one: &Scheduled, standing: &Standing<'_>, now: Timestamp) -> Vec<String> {
    let zone = standing.planned.map_or(Tz::UTC, |planned| planned.zone);
    let what = match standing.planned {
        Some(planned) => starts_in_words(&planned.spec) + &limits_in_words(&planned.spec),
        None => standing.trouble.clone().unwrap_or_default(),
    };
    let time =
        |at: Option<Timestamp>| at.map(|at| short(format, at.with_timezone(&zone), now)).unwrap_or_default();
    vec![
        escaped(one.job_id.as_str()).into_owned(),
        standing.entry.to_string(),
        escaped(&what).into_owned(),
        time(next(standing)),
        time(standing.last),
        standing.word().to_owned(),
        standing.planned.map(|planned| planned.zone.name().to_owned()).unwrap_or_default(),
        escaped(&late(standing).into_iter().chain(remark(standing)).collect::<Vec<_>>().join("; "))
            .into_owned(),
    ]
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

/// The next slot that is started.
fn next(standing: &Standing<'_>) -> Option<Timestamp> {
    match standing.cursor.state {
        State::Active => standing.overdue.first().map(|slot| slot.at).or(standing.cursor.next),
        State::Paused { until: Some(until), .. } => standing.upcoming(until).next().map(|slot| slot.at),
        _ => None,
    }
}

fn remark(standing: &Standing<'_>) -> Option<String> {
    match standing.word() {
        "paused" | "halted" => standing.silence(),
        "active" if !standing.overdue.is_empty() => Some("overdue".to_owned()),
        "active" => standing.trouble.clone(),
        _ => None,
    }
}

/// What is late: limits that were broken when they were judged last.
fn late(standing: &Standing<'_>) -> Option<String> {
    let zone = standing.planned.map_or(Tz::UTC, |planned| planned.zone);
    let told = |broken: &Broken| {
        format!("{} {}", broken.limit.field(), broken.by.with_timezone(&zone).format("%m-%d %H:%M"))
    };
    let late: Vec<String> = standing.cursor.watch.broken.iter().map(told).collect();
    (!late.is_empty()).then(|| format!("late: {}", late.join(", ")))
}

fn late_json(standing: &Standing<'_>) -> Vec<Value> {
    let broken = standing.cursor.watch.broken.iter();
    let shown = broken
        .map(|broken| json!({ "limit": broken.limit, "slot": broken.slot.map(utc), "by": utc(broken.by) }));
    shown.collect()
}

fn entry_json(one: &Scheduled, standing: &Standing<'_>) -> Value {
    let mut shown = json!({
        "job_id": one.job_id,
        "entry": standing.entry,
        "what": standing.planned.map(|planned| starts_in_words(&planned.spec) + &limits_in_words(&planned.spec)),
        "zone": standing.planned.map(|planned| planned.zone.name()),
        "state": standing.word(),
        "next": next(standing).map(utc),
        "last": standing.last.map(utc),
        "overdue": standing.overdue.len(),
        "started": standing.cursor.started,
        "trouble": standing.trouble,
        "late": late_json(standing),
    });
    if let State::Paused { until, by, why } = &standing.cursor.state {
        shown["paused"] = json!({ "until": until.map(utc), "by": by, "why": why });
    }
    shown
}
