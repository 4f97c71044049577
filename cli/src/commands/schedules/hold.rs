//! `schedules pause` and `schedules resume`.

use pumice_core::Timestamp;
use pumice_core::clock::{Held, Outcome, Standing, standings, utc};
use pumice_core::duration::Span;
use pumice_core::ids::JobId;
use pumice_core::ports::{Clock, CommitError};
use pumice_core::text::{escaped, quoted};
use pumice_local::SystemClock;
use serde_json::{Value, json};

use super::{Found, Scheduled, Which, find, read};
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
        // Digits alone are a day of the basic form: 20270301.
        Some(text) if text.ends_with(|c: char| "smhdw".contains(c)) => {
            let wrong = |error| Failure::Wrong(format!("--until: {error}"));
            Some(SystemClock.now() + Span::parse(text).map_err(wrong)?.delta())
        }
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
pub(super) fn user() -> String {
    let named = std::env::var("USER").ok().filter(|name| !name.is_empty());
    named.unwrap_or_else(|| format!("uid {}", rustix::process::getuid().as_raw()))
}

async fn hold(
    global: &Global,
    realm: &Realm,
    entries: &Entries,
    change: impl Fn(&Scheduled, Timestamp) -> Held,
) -> Result<(), Failure> {
    let mut asked: Vec<Scheduled> = Vec::new();
    let mut now = SystemClock.now();
    for text in &entries.jobs {
        let found = find(realm, Which::Named(text)).await?;
        check(&found, text, entries.entry)?;
        now = found.now;
        for one in found.scheduled {
            if asked.iter().all(|other| other.job_id != one.job_id) {
                asked.push(one);
            }
        }
    }
    let mut done = Vec::new();
    for _ in 0..MAX_TRIES {
        if asked.is_empty() {
            break;
        }
        let again = hold_once(realm, &asked, now, entries.dry_run, &change, &mut done).await?;
        let found = read(realm, &again).await?;
        (asked, now) = (found.scheduled, found.now);
    }
    if let Some(one) = asked.first() {
        let job = quoted(one.job_id.as_str());
        return Err(Failure::Store(format!(
            "the schedule of job {job} is written by others all the time: try again"
        )));
    }
    done.sort_by(|one, other| (&one.job_id, one.entry).cmp(&(&other.job_id, other.entry)));
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

/// Changes the timetables of jobs. Gives the jobs of which another process wrote one first, or which have none yet: it is
/// made, and they are to be read again.
async fn hold_once(
    realm: &Realm,
    asked: &[Scheduled],
    now: Timestamp,
    dry_run: bool,
    change: &impl Fn(&Scheduled, Timestamp) -> Held,
    done: &mut Vec<Done>,
) -> Result<Vec<JobId>, Failure> {
    let store = realm.schedules();
    let (mut absent, mut writes, mut written) = (Vec::new(), Vec::new(), Vec::new());
    for one in asked {
        let held = change(one, now);
        let after = held.next.as_ref().unwrap_or(&one.timetable);
        let standings = standings(&one.plan, after, now);
        let outcome =
            |(entry, outcome): &(usize, Outcome)| outcome_of(&one.job_id, *outcome, &standings[*entry], now);
        let outcomes: Vec<Done> = held.outcomes.iter().map(outcome).collect();
        match held.next.filter(|_| !dry_run) {
            None => done.extend(outcomes),
            Some(_) if !one.is_stored => absent.push(one.job_id.clone()),
            Some(next) => {
                writes.push(next);
                written.push(outcomes);
            }
        }
    }
    if !absent.is_empty() {
        store.touch(&absent, now).await?;
    }
    let mut again = absent;
    let ids: Vec<JobId> = writes.iter().map(|next| next.job_id.clone()).collect();
    for ((job, outcomes), put) in ids.into_iter().zip(written).zip(store.put(writes).await?) {
        match put {
            Ok(()) => done.extend(outcomes),
            Err(CommitError::Conflict) => again.push(job),
            Err(error) => return Err(Failure::Store(error.to_string())),
        }
    }
    Ok(again)
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
