//! `schedules pause` and `schedules resume`.

use pumice_core::Timestamp;
use pumice_core::clock::{Held, Outcome, Standing, Timetable, standings, utc};
use pumice_core::ids::JobId;
use pumice_core::ports::{Clock, CommitError};
use pumice_core::text::{escaped, quoted};
use pumice_local::SystemClock;
use serde_json::{Value, json};

use super::{Found, Scheduled, Which, find};
use crate::args::{Entries, Global, Pause, Resume};
use crate::commands::instant;
use crate::failure::Failure;
use crate::output::print;
use crate::realm::Realm;

/// How often a timetable is read again when another process wrote it first.
const MAX_TRIES: usize = 20;

/// What an entry came to.
struct Done {
    job_id: JobId,
    entry: usize,
    outcome: Outcome,
    next: Option<Timestamp>,
    /// Why it starts nothing now.
    silence: Option<String>,
}

/// Pauses entries.
pub(super) async fn pause(global: &Global, realm: &Realm, options: Pause) -> Result<(), Failure> {
    let until = match &options.until {
        Some(text) => Some(instant("--until", text, realm.site().await?.zone)?),
        None => None,
    };
    if let Some(until) = until.filter(|until| *until <= SystemClock.now()) {
        return Err(Failure::Wrong(format!("--until {} is past", utc(until))));
    }
    let asked = pumice_core::clock::Pause { until, by: user(), why: options.why.clone().unwrap_or_default() };
    let which = options.entries.entry;
    let change = |one: &Scheduled, now| one.timetable.paused(&one.plan, which, &asked, now);
    hold(global, realm, &options.entries, change).await
}

/// Resumes entries.
pub(super) async fn resume(global: &Global, realm: &Realm, options: Resume) -> Result<(), Failure> {
    let (which, catch_up) = (options.entries.entry, options.catch_up);
    let change = |one: &Scheduled, now| one.timetable.resumed(&one.plan, which, catch_up, now);
    hold(global, realm, &options.entries, change).await
}

/// The name of who asks.
fn user() -> String {
    let named = std::env::var("USER").ok().filter(|name| !name.is_empty());
    named.unwrap_or_else(|| format!("uid {}", rustix::process::getuid().as_raw()))
}

async fn hold(
    global: &Global,
    realm: &Realm,
    entries: &Entries,
    change: impl Fn(&Scheduled, Timestamp) -> Held,
) -> Result<(), Failure> {
    let mut jobs: Vec<JobId> = Vec::new();
    for asked in &entries.jobs {
        let found = find(realm, Which::Named(asked)).await?;
        check(&found, asked, entries.entry)?;
        let ids = found.scheduled.into_iter().map(|one| one.job_id);
        jobs.extend(ids.filter(|id| !jobs.contains(id)).collect::<Vec<_>>());
    }
    let mut done = Vec::new();
    for job in &jobs {
        done.extend(hold_one(realm, job, entries.dry_run, &change).await?);
    }
    let value =
        json!({ "entries": done.iter().map(done_json).collect::<Vec<_>>(), "dry_run": entries.dry_run });
    print(global.output, &value, || {
        let mut lines: Vec<String> = done.iter().map(line).collect();
        if entries.dry_run {
            lines.push("(dry run: nothing was changed)".to_owned());
        }
        lines
    })?;
    let halted: Vec<String> = done.iter().filter(|one| one.outcome == Outcome::WouldHalt).map(name).collect();
    if halted.is_empty() {
        return Ok(());
    }
    let message = "would halt again, as more was missed than may be made up for: raise its max, or resume it without --catch-up";
    Err(Failure::Wrong(format!("{} {message}", halted.join(", "))))
}

/// Whether all that is asked for is there. Nothing is changed when it is not.
fn check(found: &Found, asked: &str, entry: Option<usize>) -> Result<(), Failure> {
    if let Some((job, why)) = found.unread.first() {
        return Err(Failure::Wrong(format!("job {} cannot be read: {why}", escaped(job.as_str()))));
    }
    let Some(entry) = entry else { return Ok(()) };
    match found.scheduled.iter().find(|one| entry >= one.plan.entries.len()) {
        None => Ok(()),
        Some(one) => {
            let count = one.plan.entries.len();
            let job = quoted(one.job_id.as_str());
            let of = if one.job_id.as_str() == asked {
                String::new()
            } else {
                format!(", which {} matches", quoted(asked))
            };
            Err(Failure::Wrong(format!("job {job}{of} has no entry {entry}: it has {count}, counted from 0")))
        }
    }
}

/// Changes the timetable of a job; reads it again when another process was first.
async fn hold_one(
    realm: &Realm,
    job: &JobId,
    dry_run: bool,
    change: &impl Fn(&Scheduled, Timestamp) -> Held,
) -> Result<Vec<Done>, Failure> {
    for _ in 0..MAX_TRIES {
        let found = find(realm, Which::Named(job.as_str())).await?;
        let Some(one) = found.scheduled.first() else {
            return Err(Failure::Wrong(format!("job {} is gone", quoted(job.as_str()))));
        };
        let held = change(one, found.now);
        let after = held.next.clone().unwrap_or_else(|| one.timetable.clone());
        let standings = standings(&one.plan, &after, found.now);
        let done = held
            .outcomes
            .iter()
            .map(|(entry, outcome)| outcome_of(job, *outcome, &standings[*entry], found.now));
        let done = done.collect();
        let Some(next) = held.next.filter(|_| !dry_run) else { return Ok(done) };
        if write(realm, job, next, found.now).await? {
            return Ok(done);
        }
    }
    let message =
        format!("the schedule of job {} is written by others all the time: try again", quoted(job.as_str()));
    Err(Failure::Store(message))
}

/// Writes a timetable; tells whether nothing was written meanwhile. One that is not there yet is made first.
async fn write(realm: &Realm, job: &JobId, next: Timetable, now: Timestamp) -> Result<bool, Failure> {
    let store = realm.schedules();
    let ids = std::slice::from_ref(job);
    if store.load(ids).await?.iter().all(Option::is_none) {
        store.touch(ids, now).await?;
        return Ok(false);
    }
    match store.put(vec![next]).await?.pop() {
        Some(Ok(())) => Ok(true),
        Some(Err(CommitError::Conflict)) | None => Ok(false),
        Some(Err(error)) => Err(Failure::Store(error.to_string())),
    }
}

fn outcome_of(job: &JobId, outcome: Outcome, standing: &Standing<'_>, now: Timestamp) -> Done {
    let next = standing.upcoming(now).next().map(|slot| slot.at);
    Done { job_id: job.clone(), entry: standing.entry, outcome, next, silence: standing.silence() }
}

const fn word(outcome: Outcome) -> &'static str {
    match outcome {
        Outcome::Paused => "paused",
        Outcome::Resumed => "resumed",
        Outcome::Unchanged => "unchanged",
        Outcome::WouldHalt => "halted",
    }
}

fn name(one: &Done) -> String {
    format!("{} entry {}", escaped(one.job_id.as_str()), one.entry)
}

fn line(one: &Done) -> String {
    let next = one.next.map(|next| format!(", next {}", utc(next))).unwrap_or_default();
    let why = match (one.outcome, &one.silence) {
        (Outcome::Paused | Outcome::WouldHalt, _) | (_, None) => String::new(),
        (_, Some(silence)) => format!(" ({})", escaped(silence)),
    };
    format!("{:<9} {}{next}{why}", word(one.outcome), name(one))
}

fn done_json(one: &Done) -> Value {
    json!({
        "job_id": one.job_id,
        "entry": one.entry,
        "outcome": word(one.outcome),
        "next": one.next.map(utc),
        "why": one.silence,
    })
}
