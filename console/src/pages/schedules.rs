//! Schedules: what the clock starts, and when next; pause, resume, start now, backfill.

use std::collections::HashMap;

use axum::response::Response;
use chrono_tz::Tz;
use pumice_core::Timestamp;
use pumice_core::duration::Span;
use pumice_core::glob::literal;
use pumice_core::ids::JobId;
use pumice_core::request::parse_instant;
use pumice_core::text::escaped;
use pumice_service::Instant;
use pumice_service::schedules::{
    EntryStanding, Held, ListBackfills, ListSchedules, NextStarts, PauseEntries, ResumeEntries, RunEntry,
    ScheduleRow, list, list_all, next, pause as pause_entries, resume as resume_entries, run as run_entry,
};
use serde_json::{Value, json};

use super::backfills::row as backfill_row;
use super::runs::back_to;
use super::{Head, render};
use crate::access::Role;
use crate::answer::{Fault, see};
use crate::ask::Ask;
use crate::view::{Clock, counted, job_link, run_link};

/// How many next starts the page shows.
const UPCOMING: usize = 20;
/// How many of each entry are shown, and how many times more starts are looked at for it.
const MAX_EACH: usize = 3;
const LOOKED: usize = 20;
/// Most entries of a page.
const MAX_ENTRIES: usize = 200;

/// The page.
pub(crate) async fn show(ask: Ask) -> Result<Response, Fault> {
    page(ask, Value::Null).await
}

/// The page, with what a backfill would start where that was asked for.
pub(super) async fn page(ask: Ask, foreseen: Value) -> Result<Response, Fault> {
    let clock = ask.clock().await?;
    let job = ask.query.get("job").or_else(|| ask.form.get("pattern")).map(str::to_owned);
    let (rows, all) = entries(&ask, job.as_deref(), &clock).await?;
    let coming = match rows.is_empty() {
        true => json!({ "slots": [], "silent": [] }),
        false => upcoming(&ask, job.as_deref(), UPCOMING, &clock).await?,
    };
    let backfills = list_all(ask.realm(), &ListBackfills { job: job.clone() }).await?;
    let backfills: Vec<Value> =
        backfills.backfills.iter().take(20).map(|one| backfill_row(one, &clock)).collect();
    let own = json!({
        "told": if rows.len() == all { counted(all, "entry").replace("entrys", "entries") }
            else { format!("{} of {all} entries", rows.len()) },
        "only": one_job(&rows),
        "rows": rows,
        "pattern": job,
        "coming": coming,
        "backfills": backfills,
        "foreseen": foreseen,
    });
    let command = ask.words(&["schedules", "list"]).option("--job", job.as_deref());
    render(&ask, "schedules.html", Head::new("Schedules", "schedules", &command).live("runs"), own).await
}

/// The job of all rows, where it is one.
fn one_job(rows: &[Value]) -> Option<String> {
    let first = rows.first()?["id"].as_str()?;
    rows.iter().all(|row| row["id"] == first).then(|| first.to_owned())
}

/// The entries of the jobs that match, as rows, and how many there are.
pub(super) async fn entries(
    ask: &Ask,
    job: Option<&str>,
    clock: &Clock,
) -> Result<(Vec<Value>, usize), Fault> {
    let found = list(ask.realm(), &ListSchedules { job: job.map(str::to_owned) }).await?;
    let all = found.schedules.len();
    let rows = found.schedules.iter().take(MAX_ENTRIES).map(|row| match row {
        ScheduleRow::Entry(entry) => row_of(entry, clock),
        ScheduleRow::Unread(unread) => json!({
            "id": unread.job_id.as_str(), "job": escaped(unread.job_id.as_str()), "href": job_link(unread.job_id.as_str()),
            "entry": Value::Null, "what": "", "zone": Value::Null, "state": unread.state, "next": Value::Null,
            "last": Value::Null, "started": 0, "notes": [unread.trouble], "can_pause": false, "can_resume": false,
        }),
    });
    Ok((rows.collect(), all))
}

fn row_of(entry: &EntryStanding, clock: &Clock) -> Value {
    let moment = |slot: Option<pumice_service::Slot>| slot.map(|slot| clock.moment(slot.0));
    let mut notes: Vec<String> = entry.trouble.clone().into_iter().collect();
    if let Some(pause) = &entry.paused {
        let until = pause.until.map(|until| clock.moment(until.0));
        let until = until.map(|until| format!(" until {} {}", until.text, until.zone)).unwrap_or_default();
        let by = if pause.by.is_empty() { String::new() } else { format!(" by {}", pause.by) };
        let why = if pause.why.is_empty() { String::new() } else { format!(": {}", pause.why) };
        notes.push(format!("paused{by}{until}{why}"));
    } else {
        notes.extend(entry.silence.clone().filter(|_| entry.state != "active"));
    }
    if entry.overdue > 0 {
        notes.push(format!("{} due, waiting for a server", counted(entry.overdue, "slot")));
    }
    notes.extend(entry.late.iter().map(|late| {
        let by = clock.moment(late.by.0);
        format!("{} was broken at {} {}", late.limit.field(), by.text, by.zone)
    }));
    notes.dedup();
    let notes: Vec<String> = notes.iter().map(|note| escaped(note).into_owned()).collect();
    let id = entry.job_id.as_str();
    json!({
        "id": id, "job": escaped(id), "href": job_link(id), "entry": entry.entry,
        "what": entry.what.clone().unwrap_or_default(), "zone": entry.zone, "state": entry.state,
        "next": moment(entry.next), "last": moment(entry.last), "started": entry.started, "notes": notes,
        "can_pause": matches!(entry.state.as_str(), "active" | "halted"),
        "can_resume": matches!(entry.state.as_str(), "paused" | "halted"),
    })
}

/// The next starts of the jobs that match. Of each entry there are a few, so that one that starts often does not hide the
/// others.
pub(super) async fn upcoming(
    ask: &Ask,
    job: Option<&str>,
    number: usize,
    clock: &Clock,
) -> Result<Value, Fault> {
    let request =
        NextStarts { job: job.map(str::to_owned), number: Some(number * LOOKED), ..NextStarts::default() };
    let found = next(ask.realm(), &request).await?;
    let mut shown: HashMap<(&str, usize), usize> = HashMap::new();
    let mut slots = Vec::new();
    for slot in &found.slots {
        let id = slot.job_id.as_str();
        let count = shown.entry((id, slot.entry)).or_default();
        *count += 1;
        if *count > MAX_EACH || slots.len() >= number {
            continue;
        }
        let own = slot.zone.parse::<Tz>().ok().filter(|zone| *zone != clock.zone);
        let own = own.map(|zone| Clock { zone, ..*clock }.moment(slot.slot.0));
        slots.push(json!({ "job": escaped(id), "href": job_link(id), "entry": slot.entry,
            "at": clock.moment(slot.slot.0), "own": own, "zone": slot.zone, "notes": slot.notes }));
    }
    let silent = found.silent.iter().map(|one| {
        json!({ "job": escaped(one.job_id.as_str()), "entry": one.entry, "state": one.state, "why": one.why })
    });
    Ok(json!({ "slots": slots, "silent": silent.collect::<Vec<_>>() }))
}

/// A time that a form has: ISO 8601, in the zone of the page unless it names one, or how long from now.
pub(super) async fn time(ask: &Ask, name: &str) -> Result<Option<Timestamp>, Fault> {
    let Some(text) = ask.form.get(name) else { return Ok(None) };
    let clock = ask.clock().await?;
    if let Ok(span) = Span::parse(text)
        && !text.contains(['-', ':'])
    {
        return Ok(Some(clock.now + span.delta()));
    }
    let instant = parse_instant(text).map_err(|error| Fault::bad(format!("{name}: {error}")))?;
    Ok(Some(instant.in_zone(clock.zone)))
}

/// The job of a form, as a pattern that no other job matches, and its entry.
fn entry(ask: &Ask) -> Result<(String, Option<usize>), Fault> {
    Ok((ask.form.need("id")?.to_owned(), ask.form.parsed("entry")?))
}

fn tell(ask: &Ask, held: &Held) {
    let told = held.entries.iter().map(|entry| {
        let why = entry.why.as_ref().map(|why| format!(": {why}")).unwrap_or_default();
        format!("entry {} of {} {}{why}", entry.entry, escaped(entry.job_id.as_str()), entry.outcome.as_str())
    });
    let is_good = held.entries.iter().all(|entry| entry.outcome.as_str() != "halted");
    ask.tell(is_good, told.collect::<Vec<_>>().join("; "));
}

/// Pauses an entry.
pub(crate) async fn pause(ask: Ask) -> Result<Response, Fault> {
    ask.act(Role::Operator)?;
    let (id, entry) = entry(&ask)?;
    let until = time(&ask, "until").await?.map(Instant);
    let why = ask.form.get("why").unwrap_or_default().to_owned();
    let request = PauseEntries {
        jobs: vec![literal(&id)],
        entry,
        until,
        by: ask.caller.name.clone(),
        why,
        dry_run: false,
    };
    tell(&ask, &pause_entries(ask.realm(), &request).await?);
    Ok(see(&back_to(&ask, "/schedules")))
}

/// Resumes an entry.
pub(crate) async fn resume(ask: Ask) -> Result<Response, Fault> {
    ask.act(Role::Operator)?;
    let (id, entry) = entry(&ask)?;
    let catch_up = ask.form.has("catch_up");
    let request = ResumeEntries { jobs: vec![literal(&id)], entry, catch_up, dry_run: false };
    tell(&ask, &resume_entries(ask.realm(), &request).await?);
    Ok(see(&back_to(&ask, "/schedules")))
}

/// Starts a job now, as its entry would.
pub(crate) async fn run(ask: Ask) -> Result<Response, Fault> {
    ask.act(Role::Operator)?;
    let (id, entry) = entry(&ask)?;
    let job: JobId = id.parse().map_err(|error: pumice_core::ids::BadName| Fault::bad(error.to_string()))?;
    let started = run_entry(ask.realm(), &RunEntry { job, entry, at: None, dry_run: false }).await?;
    let runs = started.accepted();
    ask.tell(!runs.is_empty(), format!("{} of {} started", counted(runs.len(), "run"), escaped(&id)));
    match runs {
        [one] => Ok(see(&run_link(&one.run_id.to_string()))),
        _ => Ok(see(&back_to(&ask, "/schedules"))),
    }
}
