//! Schedules: what the clock starts, and when next; pause, resume, start now, backfill.

use std::collections::{BTreeMap, BTreeSet};

use axum::response::Response;
use chrono::{TimeDelta, Timelike};
use chrono_tz::Tz;
use pumice_core::Timestamp;
use pumice_core::duration::Span;
use pumice_core::glob::literal;
use pumice_core::ids::JobId;
use pumice_core::request::{BadInstant, parse_end, parse_instant};
use pumice_core::text::{escaped, quoted};
use pumice_service::Instant;
use pumice_service::schedules::{
    BackfillShown, EntryStanding, Held, ListBackfills, ListSchedules, NextStarts, PauseEntries,
    ResumeEntries, RunEntry, ScheduleList, ScheduleRow, UpcomingSlot, list, list_all, next,
    pause as pause_entries, resume as resume_entries, run as run_entry, touched,
};
use serde_json::{Value, json};

use super::backfills::row as backfill_row;
use super::pauses::TERMS;
use super::runs::back_to;
use super::{Clocks, Head, render};
use crate::access::Role;
use crate::answer::{Fault, see};
use crate::ask::Ask;
use crate::svg::heat;
use crate::view::{Clock, Words, counted, job_link, run_link};

/// How many next starts the page shows.
const UPCOMING: usize = 20;
/// Most entries of a page.
const MAX_ENTRIES: usize = 200;
/// Most backfills of it.
const MAX_BACKFILLS: usize = 20;
/// Most starts that the picture of the next day counts.
const MAX_COUNTED: usize = 5_000;
/// How many hours that picture has: the present one is not whole.
const HOURS: i64 = 25;
/// How far ahead a job's starts are looked through for what is to be known of them: over both changes of the clock.
const AHEAD: TimeDelta = TimeDelta::days(426);
/// Most starts that are shown of those.
const MAX_NOTED: usize = 80;

/// The page.
pub(crate) async fn show(ask: Ask) -> Result<Response, Fault> {
    page(ask, Value::Null, None).await
}

/// The page, with what a backfill would start where that was asked for, and the command that shows it.
pub(super) async fn page(ask: Ask, foreseen: Value, command: Option<Words>) -> Result<Response, Fault> {
    let asked = ask.query.get("job").or_else(|| ask.form.get("pattern")).map(str::to_owned);
    let job = asked.or_else(|| ask.form.get("id").map(literal));
    let filter = ask.query.get("where").or_else(|| ask.form.get("where")).map(str::to_owned);
    let request = ListSchedules { job: job.clone(), filter: filter.clone() };
    // A fault of the filter is shown where it can be corrected.
    let (found, trouble) = match list(ask.realm(), &request).await {
        Ok(found) => (found, None),
        Err(error) if error.kind().is_of_request() => (none(), Some(Fault::of(&error))),
        Err(error) => return Err(error.into()),
    };
    let all = found.schedules.len();
    // Of one job it is its own zone.
    let only = one_job(&found).cloned();
    let meant = filter.is_some().then(|| jobs_of(&found));
    let clocks = ask.clocks(found.schedules.iter().take(MAX_ENTRIES).map(ScheduleRow::job)).await?;
    let clock = *clocks.of_some(only.as_ref());
    let rows: Vec<Value> = rows(&found, &clocks);
    let only = only.map(|job| job.to_string());
    let coming = match &only {
        Some(job) => upcoming(&ask, job, UPCOMING, &clock).await?,
        None => next_of_each(&ask, &found, UPCOMING).await?,
    };
    let day = match rows.is_empty() {
        true => Value::Null,
        false => next_day(&ask, job.as_deref(), meant.as_ref(), &clock).await?,
    };
    let ahead = match &only {
        Some(job) => {
            let is_active = rows.iter().all(|row| row["state"] == "active");
            noted(&ask, job, is_active, &clock).await?
        }
        None => Value::Null,
    };
    let backfills = list_all(ask.realm(), &ListBackfills { job: job.clone(), filter: None }).await?;
    let is_meant = |one: &&BackfillShown| meant.as_ref().is_none_or(|meant| meant.contains(&one.job_id));
    let shown = backfills.backfills.iter().filter(is_meant).take(MAX_BACKFILLS);
    let clocks = ask.clocks(shown.clone().map(|one| &one.job_id)).await?;
    let backfills: Vec<Value> = shown.map(|one| backfill_row(one, clocks.of(&one.job_id))).collect();
    let own = json!({
        "summary": if trouble.is_some() { String::new() }
            else if rows.len() == all { counted(all, "entry").replace("entrys", "entries") }
            else { format!("{} of {all} entries", rows.len()) },
        "only": only,
        "rows": rows,
        "pattern": job,
        "where": filter,
        "trouble": trouble.as_ref().map(|fault| &fault.message),
        "coming": coming,
        "day": day,
        "ahead": ahead,
        "backfills": backfills,
        "foreseen": foreseen,
    });
    let list = || {
        let words = ask.words(&["schedules", "list"]).option("--where", filter.as_deref());
        words.option("--job", job.as_deref())
    };
    // The answer to a form has its inputs: asked for anew it would be the page without them.
    let live = if command.is_some() { "" } else { "runs" };
    let head = Head::new("Schedules", "schedules", &command.unwrap_or_else(list)).live(live);
    let head = if only.is_some() { head.by(&clock) } else { head };
    let mut response = render(&ask, "schedules.html", head, own).await?;
    if let Some(fault) = trouble {
        *response.status_mut() = fault.status;
    }
    Ok(response)
}

/// A list without entries.
const fn none() -> ScheduleList {
    ScheduleList { schedules: Vec::new(), jobs: 0, all: 0, note: None }
}

/// The jobs of entries.
fn jobs_of(found: &ScheduleList) -> BTreeSet<JobId> {
    found.schedules.iter().map(|row| row.job().clone()).collect()
}

/// The job of all entries, where it is one.
fn one_job(found: &ScheduleList) -> Option<&JobId> {
    let first = found.schedules.first()?.job();
    found.schedules.iter().all(|row| row.job() == first).then_some(first)
}

/// Entries as rows.
pub(super) fn rows(found: &ScheduleList, clocks: &Clocks) -> Vec<Value> {
    let row = |row: &ScheduleRow| match row {
        ScheduleRow::Entry(entry) => row_of(entry, clocks.of(&entry.job_id)),
        ScheduleRow::Unread(unread) => json!({
            "id": unread.job_id.as_str(), "job": escaped(unread.job_id.as_str()), "href": job_link(unread.job_id.as_str()),
            "entry": Value::Null, "what": "", "zone": Value::Null, "state": unread.state, "next": Value::Null,
            "last": Value::Null, "started": 0, "notes": [unread.trouble], "can_pause": false, "can_resume": false, "read_in": Value::Null,
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
        "next": moment(entry.starts.or(entry.next)), "last": moment(entry.last), "started": entry.started, "notes": notes,
        "can_pause": matches!(entry.state.as_str(), "active" | "halted"),
        "can_resume": matches!(entry.state.as_str(), "paused" | "halted"),
        // Of a time that is typed without a zone.
        "read_in": clock.zone.name(),
    })
}

/// The next starts of a job.
pub(super) async fn upcoming(ask: &Ask, job: &str, number: usize, clock: &Clock) -> Result<Value, Fault> {
    let request = NextStarts { job: Some(job.to_owned()), number: Some(number), ..NextStarts::default() };
    let found = next(ask.realm(), &request).await?;
    let mut slots = found.slots;
    slots.sort_by_key(|slot| slot.starts.unwrap_or(slot.slot));
    let start = |slot: &UpcomingSlot| {
        let mut notes = slot.notes.clone();
        if slot.starts.is_some() {
            notes.retain(|note| !note.ends_with("(jitter)"));
            notes.push(format!("its slot is {}, and its jitter makes it later", slot.local));
        }
        let at = slot.starts.unwrap_or(slot.slot).0;
        start_shown((slot.job_id.as_str(), slot.entry), at, Some(&slot.zone), &notes, clock)
    };
    Ok(Value::Array(slots.iter().map(start).collect()))
}

/// How many starts there are in each minute of the next day: whether many come at once shows.
async fn next_day(
    ask: &Ask,
    job: Option<&str>,
    meant: Option<&BTreeSet<JobId>>,
    clock: &Clock,
) -> Result<Value, Fault> {
    let to = clock.now + TimeDelta::days(1);
    let request = NextStarts {
        job: job.map(str::to_owned),
        number: Some(MAX_COUNTED),
        to: Some(Instant(to)),
        ..NextStarts::default()
    };
    let found = next(ask.realm(), &request).await?;
    let Some(last) = found.slots.last().map(|slot| slot.slot.0) else { return Ok(Value::Null) };
    let is_cut = found.cut || found.slots.len() >= MAX_COUNTED;
    let begin = hour_of(clock);
    let mut counts: BTreeMap<usize, u64> = BTreeMap::new();
    // A start is later than its slot by the jitter of its entry.
    let is_meant = |slot: &&UpcomingSlot| meant.is_none_or(|meant| meant.contains(&slot.job_id));
    let starts = found
        .slots
        .iter()
        .filter(is_meant)
        .map(|slot| slot.starts.unwrap_or(slot.slot).0)
        .filter(|at| *at <= to);
    let starts: Vec<Timestamp> = starts.collect();
    for at in &starts {
        if let Ok(minute) = usize::try_from((*at - begin).num_minutes()) {
            *counts.entry(minute).or_default() += 1;
        }
    }
    let hours: Vec<String> = (0..HOURS)
        .map(|hour| (begin + TimeDelta::hours(hour)).with_timezone(&clock.zone).format("%H:%M").to_string())
        .collect();
    let most = counts.iter().max_by_key(|(minute, count)| (**count, std::cmp::Reverse(**minute)));
    let most = most.filter(|(_, count)| **count > 1).map(|(minute, count)| {
        let at = begin + TimeDelta::minutes(i64::try_from(*minute).unwrap_or_default());
        json!({ "count": count, "at": clock.moment(at) })
    });
    Ok(json!({
        "svg": heat(&counts, &hours, "starts in each minute of the next 24 hours"),
        "count": counted(starts.len(), "start"),
        "most": most,
        "until": is_cut.then(|| clock.moment(last)),
    }))
}

/// The beginning of the present hour in the zone of the page.
fn hour_of(clock: &Clock) -> Timestamp {
    let local = clock.now.with_timezone(&clock.zone);
    let past = i64::from(local.minute() * 60 + local.second());
    clock.now - TimeDelta::seconds(past) - TimeDelta::nanoseconds(i64::from(local.nanosecond()))
}

/// The slots of a job in the next 14 months of which there is something to be known: changes of the clock, calendars. An
/// entry that is paused or halted is taken as if it were active.
async fn noted(ask: &Ask, job: &str, is_active: bool, clock: &Clock) -> Result<Value, Fault> {
    let until = clock.now + AHEAD;
    let found = touched(ask.realm(), job, Instant(clock.now), Instant(until)).await?;
    let noted = found.slots.iter().take(MAX_NOTED);
    let start = |slot: &UpcomingSlot| {
        start_shown((slot.job_id.as_str(), slot.entry), slot.slot.0, Some(&slot.zone), &slot.notes, clock)
    };
    Ok(json!({
        "starts": noted.map(start).collect::<Vec<_>>(),
        "more": found.slots.len().saturating_sub(MAX_NOTED),
        "is_active": is_active,
        "until": clock.moment(found.looked_to.map_or(until, |at| at.0)),
    }))
}

/// The next start of each entry of all jobs that match: one that starts often does not hide the others.
pub(super) async fn next_of_each(ask: &Ask, found: &ScheduleList, number: usize) -> Result<Value, Fault> {
    let entries = found.schedules.iter().filter_map(|row| match row {
        ScheduleRow::Entry(entry) => Some((entry.starts.or(entry.next)?.0, &**entry)),
        ScheduleRow::Unread(_) => None,
    });
    let mut entries: Vec<_> = entries.collect();
    entries.sort_by_key(|(at, _)| *at);
    entries.truncate(number);
    let clocks = ask.clocks(entries.iter().map(|(_, entry)| &entry.job_id)).await?;
    let start = |(at, entry): &(Timestamp, &EntryStanding)| {
        let clock = clocks.of(&entry.job_id);
        start_shown((entry.job_id.as_str(), entry.entry), *at, entry.zone.as_deref(), &[], clock)
    };
    Ok(Value::Array(entries.iter().map(start).collect()))
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

/// How the times of a form are read that name no zone: in that which its page has named, else as pages show them.
pub(super) async fn form_clock(ask: &Ask) -> Result<Clock, Fault> {
    let clock = ask.clock().await?;
    match ask.form.get("zone") {
        None => Ok(clock),
        Some(name) => {
            let zone =
                name.parse().map_err(|_| Fault::bad(format!("zone: {} is not a time zone", quoted(name))))?;
            Ok(Clock { zone, ..clock })
        }
    }
}

async fn time_read(
    ask: &Ask,
    name: &str,
    read: fn(&str, Tz) -> Result<Timestamp, BadInstant>,
) -> Result<Option<Timestamp>, Fault> {
    let Some(text) = ask.form.get(name) else { return Ok(None) };
    let clock = form_clock(ask).await?;
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
        let caught_up = entry.caught_up.as_ref().map(|caught_up| format!(", {}", caught_up.text()));
        let (job, outcome) = (escaped(entry.job_id.as_str()), entry.outcome.as_str());
        format!("entry {} of {job} {outcome}{}{why}", entry.entry, caught_up.unwrap_or_default())
    });
    let is_good = held.entries.iter().all(|entry| entry.outcome.as_str() != "halted");
    ask.tell(is_good, outcomes.collect::<Vec<_>>().join("; "));
}

/// Pauses an entry.
pub(crate) async fn pause(ask: Ask) -> Result<Response, Fault> {
    ask.act(Role::Operator)?;
    let answer = pausing(&ask).await;
    ask.kept(answer, &TERMS)
}

async fn pausing(ask: &Ask) -> Result<Response, Fault> {
    let (id, entry) = entry(ask)?;
    let until = time(ask, "until").await?.map(Instant);
    let why = ask.form.get("why").unwrap_or_default().to_owned();
    let request = PauseEntries {
        jobs: vec![literal(&id)],
        entry,
        until,
        by: ask.caller.name.clone(),
        why,
        dry_run: false,
    };
    tell(ask, &pause_entries(ask.realm(), &request).await?);
    Ok(see(&back_to(ask, "/schedules")))
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
