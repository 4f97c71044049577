//! Schedules: what the clock starts, and when next; pause, resume, start now, backfill.

use axum::response::Response;
use chrono::TimeDelta;
use chrono_tz::Tz;
use pumice_core::Timestamp;
use pumice_core::duration::Span;
use pumice_core::glob::literal;
use pumice_core::ids::JobId;
use pumice_core::request::{BadInstant, parse_end, parse_instant};
use pumice_core::text::escaped;
use pumice_service::Instant;
use pumice_service::schedules::{
    EntryStanding, Held, ListBackfills, ListSchedules, NextStarts, PauseEntries, ResumeEntries, RunEntry,
    ScheduleList, ScheduleRow, UpcomingSlot, list, list_all, next, pause as pause_entries,
    resume as resume_entries, run as run_entry,
};
use serde_json::{Value, json};

use super::backfills::row as backfill_row;
use super::runs::back_to;
use super::{Head, render};
use crate::access::Role;
use crate::answer::{Fault, see};
use crate::ask::Ask;
use crate::svg::{Bar, sparkline};
use crate::view::{Clock, counted, job_link, run_link};

/// How many next starts the page shows.
const UPCOMING: usize = 20;
/// Most entries of a page.
const MAX_ENTRIES: usize = 200;
/// Most starts that the picture of the next day counts.
const MAX_COUNTED: usize = 5_000;
/// How many bars an hour has in that picture.
const BARS_AN_HOUR: i64 = 4;
/// How far ahead a job's starts are looked through for what is to be known of them: over both changes of the clock.
const AHEAD: TimeDelta = TimeDelta::days(426);
/// Most starts that are shown of those.
const MAX_NOTED: usize = 20;

/// The page.
pub(crate) async fn show(ask: Ask) -> Result<Response, Fault> {
    page(ask, Value::Null).await
}

/// The page, with what a backfill would start where that was asked for.
pub(super) async fn page(ask: Ask, foreseen: Value) -> Result<Response, Fault> {
    let clock = ask.clock().await?;
    let job = ask.query.get("job").or_else(|| ask.form.get("pattern")).map(str::to_owned);
    let found = list(ask.realm(), &ListSchedules { job: job.clone() }).await?;
    let all = found.schedules.len();
    let rows: Vec<Value> = rows(&found, &clock);
    let only = one_job(&rows);
    let coming = match &only {
        Some(job) => upcoming(&ask, job, UPCOMING, &clock).await?,
        None => next_of_each(&found, UPCOMING, &clock),
    };
    let day = match rows.is_empty() {
        true => Value::Null,
        false => next_day(&ask, job.as_deref(), &clock).await?,
    };
    let ahead = match &only {
        Some(job) => noted(&ask, job, &clock).await?,
        None => Value::Null,
    };
    let backfills = list_all(ask.realm(), &ListBackfills { job: job.clone() }).await?;
    let backfills: Vec<Value> =
        backfills.backfills.iter().take(20).map(|one| backfill_row(one, &clock)).collect();
    let own = json!({
        "summary": if rows.len() == all { counted(all, "entry").replace("entrys", "entries") }
            else { format!("{} of {all} entries", rows.len()) },
        "only": only,
        "rows": rows,
        "pattern": job,
        "coming": coming,
        "day": day,
        "ahead": ahead,
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

/// Entries as rows.
pub(super) fn rows(found: &ScheduleList, clock: &Clock) -> Vec<Value> {
    let row = |row: &ScheduleRow| match row {
        ScheduleRow::Entry(entry) => row_of(entry, clock),
        ScheduleRow::Unread(unread) => json!({
            "id": unread.job_id.as_str(), "job": escaped(unread.job_id.as_str()), "href": job_link(unread.job_id.as_str()),
            "entry": Value::Null, "what": "", "zone": Value::Null, "state": unread.state, "next": Value::Null,
            "last": Value::Null, "started": 0, "notes": [unread.trouble], "can_pause": false, "can_resume": false,
        }),
    };
    found.schedules.iter().take(MAX_ENTRIES).map(row).collect()
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

/// The next starts of a job.
pub(super) async fn upcoming(ask: &Ask, job: &str, number: usize, clock: &Clock) -> Result<Value, Fault> {
    let request = NextStarts { job: Some(job.to_owned()), number: Some(number), ..NextStarts::default() };
    let found = next(ask.realm(), &request).await?;
    let start = |slot: &UpcomingSlot| {
        start_shown((slot.job_id.as_str(), slot.entry), slot.slot.0, Some(&slot.zone), &slot.notes, clock)
    };
    Ok(Value::Array(found.slots.iter().map(start).collect()))
}

/// How many starts there are in each quarter of an hour of the next day: whether many come at once shows.
async fn next_day(ask: &Ask, job: Option<&str>, clock: &Clock) -> Result<Value, Fault> {
    let (now, until) = (clock.now, clock.now + TimeDelta::days(1));
    let request = NextStarts {
        job: job.map(str::to_owned),
        number: Some(MAX_COUNTED),
        to: Some(Instant(until)),
        ..NextStarts::default()
    };
    let found = next(ask.realm(), &request).await?;
    let Some(last) = found.slots.last().map(|slot| slot.slot.0) else { return Ok(Value::Null) };
    let is_cut = found.cut || found.slots.len() >= MAX_COUNTED;
    let bars = usize::try_from(24 * BARS_AN_HOUR).unwrap_or_default();
    let mut counts = vec![Bar::default(); bars];
    for slot in &found.slots {
        let place = (slot.slot.0 - now).num_minutes() / (60 / BARS_AN_HOUR);
        if let Some(bar) = usize::try_from(place).ok().and_then(|place| counts.get_mut(place)) {
            bar.all += 1;
        }
    }
    let most = counts.iter().enumerate().max_by_key(|(place, bar)| (bar.all, std::cmp::Reverse(*place)));
    let most = most.map(|(place, bar)| {
        let from = now + TimeDelta::minutes(i64::try_from(place).unwrap_or_default() * 60 / BARS_AN_HOUR);
        json!({ "count": bar.all, "from": clock.moment(from) })
    });
    Ok(json!({
        "svg": sparkline(&counts, "starts in each quarter of an hour of the next 24 hours"),
        "count": found.slots.len(),
        "most": most,
        "until": is_cut.then(|| clock.moment(last)),
    }))
}

/// The starts of a job of the next 14 months of which there is something to be known: changes of the clock, calendars.
async fn noted(ask: &Ask, job: &str, clock: &Clock) -> Result<Value, Fault> {
    let until = clock.now + AHEAD;
    let request = NextStarts { job: Some(job.to_owned()), to: Some(Instant(until)), ..NextStarts::default() };
    let found = next(ask.realm(), &request).await?;
    let last = found.slots.last().map(|slot| slot.slot.0).filter(|_| found.cut);
    let noted = found.slots.iter().filter(|slot| !slot.notes.is_empty()).take(MAX_NOTED);
    let start = |slot: &UpcomingSlot| {
        start_shown((slot.job_id.as_str(), slot.entry), slot.slot.0, Some(&slot.zone), &slot.notes, clock)
    };
    Ok(json!({
        "starts": noted.map(start).collect::<Vec<_>>(),
        "count": found.slots.len(),
        "until": clock.moment(last.unwrap_or(until)),
    }))
}

/// The next start of each entry of all jobs that match: one that starts often does not hide the others.
pub(super) fn next_of_each(found: &ScheduleList, number: usize, clock: &Clock) -> Value {
    let entries = found.schedules.iter().filter_map(|row| match row {
        ScheduleRow::Entry(entry) => Some((entry.next?.0, &**entry)),
        ScheduleRow::Unread(_) => None,
    });
    let mut entries: Vec<_> = entries.collect();
    entries.sort_by_key(|(at, _)| *at);
    let start = |(at, entry): &(Timestamp, &EntryStanding)| {
        start_shown((entry.job_id.as_str(), entry.entry), *at, entry.zone.as_deref(), &[], clock)
    };
    Value::Array(entries.iter().take(number).map(start).collect())
}

/// A start, with its time in its own zone where that is another one than the page's.
fn start_shown(
    (job, entry): (&str, usize),
    at: Timestamp,
    zone: Option<&str>,
    notes: &[String],
    clock: &Clock,
) -> Value {
    let own = zone.and_then(|zone| zone.parse::<Tz>().ok()).filter(|zone| *zone != clock.zone);
    let own = own.map(|zone| Clock { zone, ..*clock }.moment(at));
    json!({ "job": escaped(job), "href": job_link(job), "entry": entry, "at": clock.moment(at), "own": own,
        "zone": zone, "notes": notes })
}

/// A time that a form has: ISO 8601, in the zone of the page unless it names one, or how long from now.
pub(super) async fn time(ask: &Ask, name: &str) -> Result<Option<Timestamp>, Fault> {
    time_read(ask, name, |text, zone| parse_instant(text).map(|instant| instant.in_zone(zone))).await
}

/// The same for the end of a range: a day without a time is that whole day.
pub(super) async fn range_end(ask: &Ask, name: &str) -> Result<Option<Timestamp>, Fault> {
    time_read(ask, name, parse_end).await
}

async fn time_read(
    ask: &Ask,
    name: &str,
    read: fn(&str, Tz) -> Result<Timestamp, BadInstant>,
) -> Result<Option<Timestamp>, Fault> {
    let Some(text) = ask.form.get(name) else { return Ok(None) };
    let clock = ask.clock().await?;
    if let Ok(span) = Span::parse(text)
        && !text.contains(['-', ':'])
    {
        return Ok(Some(clock.now + span.delta()));
    }
    read(text, clock.zone).map(Some).map_err(|error| Fault::bad(format!("{name}: {error}")))
}

/// The job of a form, as a pattern that no other job matches, and its entry.
fn entry(ask: &Ask) -> Result<(String, Option<usize>), Fault> {
    Ok((ask.form.need("id")?.to_owned(), ask.form.parsed("entry")?))
}

fn tell(ask: &Ask, held: &Held) {
    let outcomes = held.entries.iter().map(|entry| {
        let why = entry.why.as_ref().map(|why| format!(": {why}")).unwrap_or_default();
        format!("entry {} of {} {}{why}", entry.entry, escaped(entry.job_id.as_str()), entry.outcome.as_str())
    });
    let is_good = held.entries.iter().all(|entry| entry.outcome.as_str() != "halted");
    ask.tell(is_good, outcomes.collect::<Vec<_>>().join("; "));
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
