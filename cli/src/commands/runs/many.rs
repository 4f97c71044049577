//! `runs cancel|retry|delete --where`: acts on all runs that some terms mean.

use std::io::IsTerminal;
use std::time::{Duration, Instant as Moment};

use pumice_core::text::escaped;
use pumice_service::runs::{
    ManyDone, ManyOutcome, ManyRuns, RetryMany, Step, cancel_many, cancel_many_heard, delete_many,
    delete_many_heard, retry_many, retry_many_heard,
};
use pumice_service::{Error, ErrorKind, Instant};

use crate::args::{Bulk, Global};
use crate::commands::instant;
use crate::failure::Failure;
use crate::output::{note, print, tell_text};
use crate::target::Target;
use crate::view;

/// How long apart a terminal is shown how far it has come, at least.
const BETWEEN: Duration = Duration::from_millis(100);
/// Most runs that were refused which are shown to a person.
const MAX_REFUSED: usize = 20;

/// The runs that options mean.
pub(super) async fn asked(realm: &Target, bulk: Bulk) -> Result<ManyRuns, Failure> {
    let Bulk { filter, dry_run, expect, before } = bulk;
    let before = match before {
        Some(text) => Some(Instant(instant("--before", &text, realm.zone().await?)?)),
        None => None,
    };
    let filter = filter.unwrap_or_default();
    Ok(ManyRuns { filter, zone: None, expect, before, why: None, dry_run })
}

/// Cancels runs.
pub(super) async fn cancel(
    global: &Global,
    realm: &Target,
    bulk: Bulk,
    why: Option<String>,
) -> Result<(), Failure> {
    let request = ManyRuns { why, ..asked(realm, bulk).await? };
    let done = match realm {
        Target::There(_) => realm.ask(cancel_many, &request).await.map_err(goes_on),
        Target::Here(here) => {
            let mut progress = Progress::new(global);
            cancel_many_heard(&**here, &request, &mut |step| progress.heard(step)).await
        }
    };
    print_done(global, &done?, "cancel")
}

/// Deletes runs.
pub(super) async fn delete(global: &Global, realm: &Target, bulk: Bulk) -> Result<(), Failure> {
    let request = asked(realm, bulk).await?;
    let done = match realm {
        Target::There(_) => realm.ask(delete_many, &request).await.map_err(goes_on),
        Target::Here(here) => {
            let mut progress = Progress::new(global);
            delete_many_heard(&**here, &request, &mut |step| progress.heard(step)).await
        }
    };
    print_done(global, &done?, "delete")
}

/// Does runs again.
pub(in crate::commands) async fn retry_all(
    global: &Global,
    realm: &Target,
    request: &RetryMany,
) -> Result<ManyDone, Failure> {
    let done = match realm {
        Target::There(_) => realm.ask(retry_many, request).await.map_err(goes_on),
        Target::Here(here) => {
            let mut progress = Progress::new(global);
            retry_many_heard(&**here, request, &mut |step| progress.heard(step)).await
        }
    };
    Ok(done?)
}

/// The error of a console, which may go on with an act when it has no answer yet.
pub(super) fn goes_on(error: Error) -> Error {
    if error.kind() != ErrorKind::Unreachable {
        return error;
    }
    let message = format!("{error}; `runs bulk list` shows how far the act has come");
    error.because(message)
}

/// Shows a person at a terminal how far it has come, and how it can be stopped.
pub(super) struct Progress {
    shows: bool,
    heard: u64,
    count: u64,
    drawn: Option<Moment>,
}

impl Progress {
    pub(super) fn new(global: &Global) -> Self {
        let shows = !global.quiet && std::io::stderr().is_terminal();
        Self { shows, heard: 0, count: 0, drawn: None }
    }

    pub(super) fn heard(&mut self, step: Step<'_>) {
        match step {
            Step::Begun { id, count } => {
                self.count = count;
                if self.shows {
                    tell_text(&format!("act {id}: `pumice runs bulk stop {id}` stops it\n"));
                }
            }
            Step::Done(_) => self.heard += 1,
        }
        if self.shows && self.drawn.is_none_or(|drawn| drawn.elapsed() >= BETWEEN) {
            self.drawn = Some(Moment::now());
            tell_text(&format!("\r\x1b[K{} of {} runs", self.heard, self.count));
        }
    }
}

/// Clears the line, however it ends.
impl Drop for Progress {
    fn drop(&mut self) {
        if self.drawn.is_some() {
            tell_text("\r\x1b[K");
        }
    }
}

/// Prints what was found or done. The exit status of an act is 1 where it could not be done to all, or was stopped.
pub(in crate::commands) fn print_done(global: &Global, done: &ManyDone, act: &str) -> Result<(), Failure> {
    print(global.output, done, || lines(done, act))?;
    note(global, &done.note.iter().cloned().collect::<Vec<_>>());
    if !done.dry_run && done.refused > 0 || done.stopped.is_some() { Err(Failure::RunFailed) } else { Ok(()) }
}

fn lines(done: &ManyDone, act: &str) -> Vec<String> {
    let count = done.count;
    if done.dry_run {
        let mut lines: Vec<String> = done
            .first
            .iter()
            .map(|run| {
                let why = run.reason.as_deref().map(|why| format!("  {}", escaped(why))).unwrap_or_default();
                let (status, at) = (view::coloured(run.status, 10), view::local_time(run.ts_dispatch.0));
                format!("{}  {status}  {at}  {}{why}", run.run, escaped(run.job_id.as_str()))
            })
            .collect();
        if count > done.first.len() as u64 {
            lines.push(format!("and {} more", count - done.first.len() as u64));
        }
        let before = done.before.map(|before| pumice_core::message::iso(before.0)).unwrap_or_default();
        let runs = if count == 1 { "run is" } else { "runs are" };
        lines.push(format!("{count} {runs} meant by {}", escaped(&done.filter)));
        if done.does_nothing() {
            lines.push(format!("there is nothing to {act} among them"));
        } else if count > 0 {
            let expect = done.expect.as_ref().map_or_else(|| count.to_string(), ToString::to_string);
            lines.push(format!(
                "to {act} these and no others: the same with --expect {expect} --before {before}"
            ));
        }
        return lines;
    }
    let refused = done.receipts.iter().filter(|one| one.outcome == ManyOutcome::Refused);
    let mut lines: Vec<String> = refused
        .take(MAX_REFUSED)
        .map(|one| format!("refused {}: {}", one.run, escaped(one.error.as_deref().unwrap_or_default())))
        .collect();
    if done.refused > MAX_REFUSED as u64 {
        lines.push(format!("and {} more were refused: -o json has them", done.refused - MAX_REFUSED as u64));
    }
    let words = match act {
        "cancel" => "cancelled or asked to stop",
        "retry" => "done again",
        _ => "deleted",
    };
    let mut parts = vec![format!("{} of {count} runs {words}", done.done)];
    parts.extend((done.already > 0).then(|| format!("{} dealt with before", done.already)));
    parts.extend((done.refused > 0).then(|| format!("{} refused", done.refused)));
    lines.push(parts.join(", "));
    let id = done.bulk.as_deref().unwrap_or_default();
    lines.extend(done.stopped.as_ref().map(|stop| {
        let why = if stop.why.is_empty() { String::new() } else { format!(": {}", escaped(&stop.why)) };
        format!("stopped by {}{why}; `pumice runs bulk resume {id}` goes on", escaped(&stop.by))
    }));
    lines
}
