//! `jobs pause|resume`, `workers` and `maintenance`: what is paused, and what waits.

use std::time::Duration;

use pumice_core::duration::Span;
use pumice_core::ids::{RunKey, WorkerName};
use pumice_core::pauses::Scope;
use pumice_core::ports::Clock;
use pumice_core::text::{counted, escaped};
use pumice_local::SystemClock;
use pumice_service::Instant;
use pumice_service::drain::{DrainWorkers, WorkerDrain, drain_workers, known_within, wait_for_drain};
use pumice_service::pauses::{
    self, EndMaintenance, PauseDetails, PauseJobs, PauseTerms, PauseWorkers, PausedStep, PausesChanged,
    ResumeJobs, ResumeWorkers,
};
use pumice_service::workers::{ListWorkers, OldestShown, WorkerList, WorkerShown, list_workers};

use super::instant;
use crate::args::{Format, Global, Maintenance, PauseTerms as Terms, Workers};
use crate::commands::schedules::user;
use crate::failure::{Failure, of_option};
use crate::output::{Column, columns, note, print};
use crate::target::Target;
use crate::view;

/// Pauses jobs.
pub(super) async fn pause_jobs(global: &Global, jobs: Vec<String>, terms: Terms) -> Result<(), Failure> {
    let realm = Target::open(global, false).await?;
    let terms = asked(&realm, terms).await?;
    show(global, &realm.ask(pauses::pause_jobs, &PauseJobs { jobs, terms }).await?)
}

/// Resumes jobs.
pub(super) async fn resume_jobs(global: &Global, jobs: Vec<String>, dry_run: bool) -> Result<(), Failure> {
    let realm = Target::open(global, false).await?;
    show(global, &realm.ask(pauses::resume_jobs, &ResumeJobs { jobs, dry_run }).await?)
}

/// Lists, pauses and resumes workers.
pub(super) async fn workers(global: &Global, command: Workers) -> Result<(), Failure> {
    match command {
        Workers::List { filter } => {
            let realm = Target::open_to_read(global).await?;
            let found = realm.ask(list_workers, &ListWorkers { filter }).await?;
            print(global.output, &found, || table(global.output, &found))
        }
        Workers::Pause { workers, terms } => {
            let realm = Target::open(global, false).await?;
            let terms = asked(&realm, terms).await?;
            show(global, &realm.ask(pauses::pause_workers, &PauseWorkers { workers, terms }).await?)
        }
        Workers::Drain { workers, terms, wait, timeout } => {
            let realm = Target::open(global, false).await?;
            let terms = asked(&realm, terms).await?;
            drain(global, &realm, DrainWorkers { workers, terms }, wait.then_some(timeout)).await
        }
        Workers::Resume { workers, dry_run } => {
            let realm = Target::open(global, false).await?;
            show(global, &realm.ask(pauses::resume_workers, &ResumeWorkers { workers, dry_run }).await?)
        }
    }
}

/// Drains workers, and waits for it where it is to be waited for.
async fn drain(
    global: &Global,
    realm: &Target,
    request: DrainWorkers,
    within: Option<Span>,
) -> Result<(), Failure> {
    let mut drained = realm.ask(drain_workers, &request).await?;
    let mut late = None;
    if let Some(within) = within {
        let realm = realm.here("`workers drain --wait`", "`workers drain --dry-run` shows what is left")?;
        let (is_drained, known) = (drained.drained, known_within(realm));
        let known_at = SystemClock.now() + known.delta();
        let saw = |left: &[WorkerDrain]| {
            let mut lines: Vec<String> = left.iter().map(left_line).collect();
            if !is_drained && left.iter().all(WorkerDrain::is_done) && SystemClock.now() < known_at {
                lines.push(format!("waiting until every process knows of the pause: {known} at most"));
            }
            note(global, &lines);
        };
        drained = wait_for_drain(realm, &SystemClock, drained, within, saw).await?;
        late = (!drained.drained).then(|| late_line(&drained.workers, within, known));
    }
    print(global.output, &drained, || {
        let mut lines = change_lines(&drained.changed);
        lines.extend(drained.workers.iter().map(left_line));
        lines
    })?;
    match late {
        Some(late) => {
            note(global, &[late]);
            Err(Failure::RunFailed)
        }
        None => Ok(()),
    }
}

/// Why workers are not drained when the time is over.
fn late_line(left: &[WorkerDrain], within: Span, known: Span) -> String {
    let why = match left.iter().all(WorkerDrain::is_done) {
        true => format!(
            ": nothing is left, but for up to {known} a process may go by what it read before the pause, and begin \
             something"
        ),
        false => String::new(),
    };
    format!("not drained within {within}{why}; the workers stay paused")
}

/// The runs that a worker has left, in a line.
fn left_line(left: &WorkerDrain) -> String {
    let WorkerDrain { worker, running, waiting, more, first } = left;
    if left.is_done() {
        return format!("worker {worker} has nothing left");
    }
    let least = if *more { "more than " } else { "" };
    let first: Vec<&str> = first.iter().map(RunKey::as_str).collect();
    format!(
        "worker {worker} has begun {least}{}, {running} of them run now: {}",
        counted(running + waiting, "run"),
        first.join(", ")
    )
}

/// Pauses the whole realm, and resumes it.
pub(super) async fn maintenance(global: &Global, command: Maintenance) -> Result<(), Failure> {
    let realm = Target::open(global, false).await?;
    match command {
        Maintenance::On { terms } => {
            let terms = asked(&realm, terms).await?;
            show(global, &realm.ask(pauses::begin_maintenance, &terms).await?)
        }
        Maintenance::Off { dry_run } => {
            show(global, &realm.ask(pauses::end_maintenance, &EndMaintenance { dry_run }).await?)
        }
    }
}

/// How something is to be paused.
async fn asked(realm: &Target, terms: Terms) -> Result<PauseTerms, Failure> {
    let Terms { until, why, dry_run } = terms;
    let until = match until {
        // Digits alone are a day of the basic form: 20270301.
        Some(text) if text.ends_with(|c: char| "smhdw".contains(c)) => {
            let span = Span::parse(&text).map_err(|error| of_option("--until", error))?;
            Some(SystemClock.now() + span.delta())
        }
        Some(text) => Some(instant("--until", &text, realm.zone().await?)?),
        None => None,
    };
    Ok(PauseTerms { until: until.map(Instant), by: user(), why: why.unwrap_or_default(), dry_run })
}

fn show(global: &Global, changed: &PausesChanged) -> Result<(), Failure> {
    print(global.output, changed, || change_lines(changed))
}

/// The scopes that were paused and resumed, in lines.
fn change_lines(changed: &PausesChanged) -> Vec<String> {
    let mut lines: Vec<String> =
        changed.paused.iter().map(|pause| format!("paused {}", line(pause))).collect();
    lines.extend(changed.replaced.iter().map(|pause| format!("in place of the pause of {}", line(pause))));
    lines.extend(changed.kept.iter().map(|pause| format!("paused already: {}", line(pause))));
    lines.extend(changed.steps.iter().map(step_line));
    if changed.more_steps > 0 {
        lines.push(format!("and {} more steps", changed.more_steps));
    }
    lines.extend(changed.resumed.iter().map(|pause| format!("resumed {}", name(&pause.scope))));
    lines.extend(changed.unchanged.iter().map(|scope| format!("{} was not paused", name(scope))));
    if changed.woken > 0 {
        let go = if changed.woken == 1 { "goes" } else { "go" };
        lines.push(format!(
            "{} that waited {go} on",
            counted(usize::try_from(changed.woken).unwrap_or(usize::MAX), "run")
        ));
    }
    let named =
        |left: &PauseDetails| changed.paused.iter().chain(&changed.kept).any(|one| one.scope == left.scope);
    for left in changed.pauses.iter().filter(|left| !named(left)) {
        lines.push(format!("still paused: {}", line(left)));
    }
    if changed.dry_run {
        lines.push("(dry run: nothing was changed)".to_owned());
    }
    lines
}

/// A paused job that goes on as a step.
fn step_line(step: &PausedStep) -> String {
    let (job, of) = (escaped(step.job.as_str()), escaped(step.of.as_str()));
    format!("job {job} goes on as a step of {of}: pause that, too, where its new runs are to wait")
}

fn name(scope: &Scope) -> String {
    escaped(&scope.words()).into_owned()
}

/// A pause in a line.
fn line(pause: &PauseDetails) -> String {
    let until = pause.until.map(|until| format!(" until {}", view::local_time(until.0)));
    let until = until.unwrap_or_else(|| " until it is resumed".to_owned());
    let by = pause.by.as_deref().map(|by| format!(", by {}", escaped(by))).unwrap_or_default();
    let why = pause.why.as_deref().map(|why| format!(": {}", escaped(why))).unwrap_or_default();
    format!("{}{until}{by}{why}", name(&pause.scope))
}

/// How long the oldest message of a queue has waited.
fn oldest(oldest: Option<OldestShown>) -> String {
    match oldest {
        None => String::new(),
        Some(OldestShown::None) => "-".to_owned(),
        Some(OldestShown::Seconds(seconds)) => view::short(Duration::from_secs(seconds)),
        Some(OldestShown::Unknown) => "unknown".to_owned(),
    }
}

fn table(format: Format, found: &WorkerList) -> Vec<String> {
    let number = |number: Option<u64>| number.map(|number| number.to_string()).unwrap_or_default();
    let in_folder = found.served.is_some();
    let alive = |worker: &WorkerShown| match (in_folder, worker.is_served) {
        (true, Some(true)) if found.stopping.is_some() => "stopping".to_owned(),
        (true, Some(true)) => "served".to_owned(),
        (true, _) => "no".to_owned(),
        (false, _) => number(worker.hosts.and_then(|hosts| u64::try_from(hosts).ok())),
    };
    let words = |worker: &WorkerShown| {
        let paused = worker.paused.as_ref().map(|pause| format!("paused: {}", line(pause)));
        let unserved = match found.served {
            Some(false) => Some("nothing serves this folder".to_owned()),
            _ if worker.trouble.is_some() => worker.trouble.as_deref().map(|why| escaped(why).into_owned()),
            _ if worker.is_served == Some(false) => {
                let serves: Vec<&str> = found.serves.iter().map(WorkerName::as_str).collect();
                Some(format!("not served: the server serves {}", serves.join(", ")))
            }
            _ => found.stopping.map(|since| {
                let since = view::local_time(since.0);
                format!("the server is stopping since {since}, and begins nothing more")
            }),
        };
        paused.into_iter().chain(unserved).collect::<Vec<_>>().join("; ")
    };
    let is_wide = format == Format::Wide;
    let row = |worker: &WorkerShown| {
        let mut row = vec![
            worker.worker.to_string(),
            worker.jobs.to_string(),
            alive(worker),
            number(worker.ready),
            number(worker.delayed),
        ];
        if is_wide {
            row.extend([number(worker.in_flight), oldest(worker.oldest)]);
        }
        row.push(words(worker));
        row
    };
    let mut heading = ["WORKER", "JOBS", "ALIVE", "READY", "DELAYED"].map(Column::Whole).to_vec();
    if is_wide {
        heading.extend([Column::Whole("IN FLIGHT"), Column::Whole("OLDEST")]);
    }
    heading.push(Column::Text("", 8));
    let misnamed = found.misnamed.iter().map(|(name, jobs)| {
        let mut row = vec![String::new(); heading.len()];
        row[0] = escaped(name).into_owned();
        row[1] = jobs.to_string();
        row[heading.len() - 1] = "not a name of a worker".to_owned();
        row
    });
    columns(format, &heading, &found.workers.iter().map(row).chain(misnamed).collect::<Vec<_>>())
}
