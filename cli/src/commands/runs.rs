//! `runs`: looks at runs, and cancels them.

mod bulk;
mod export;
mod many;
mod output;
mod retry;

pub(super) use many::{print_done, retry_all};
pub(super) use retry::changed;

use pumice_core::clock::utc;
use pumice_core::ports::{Clock, Order};
use pumice_core::run::Status;
use pumice_core::text::escaped;
use pumice_local::SystemClock;
use pumice_service::runs::{
    ActBy, CancelRuns, ListRuns, RunList, RunName, RunShown, RunTree, RunWhy, ShowRun, cancel, list, show,
    why,
};
use serde_json::Value;

use crate::args::{BulkActs, Format, Global, Runs};
use crate::failure::Failure;
use crate::output::{Column, columns, note, print, wrapped, write_raw};
use crate::target::Target;
use crate::view;

/// How wide a reason stays in a list before other columns give way.
const REASON: usize = 40;
/// Most differences since the last success that are shown.
const MAX_CHANGES: usize = 5;

/// Lists, shows and cancels runs.
pub(super) async fn runs(global: &Global, command: Runs) -> Result<(), Failure> {
    let realm = match command {
        Runs::Cancel { .. }
        | Runs::Retry(_)
        | Runs::Delete { .. }
        | Runs::Bulk(BulkActs::Stop { .. } | BulkActs::Resume { .. }) => Target::open(global, false).await?,
        _ => Target::open_to_read(global).await?,
    };
    let details = !global.output.is_table();
    match command {
        Runs::List { filter, job, statuses, since, until, backfill, oldest, cursor, limit, children } => {
            let order = if oldest { Order::Oldest } else { Order::Newest };
            let is_rest = cursor.is_some();
            let request = ListRuns {
                filter,
                zone: None,
                job,
                statuses,
                since,
                until,
                backfill,
                order,
                cursor,
                limit,
                children,
                details,
            };
            let found = realm.ask(list, &request).await?;
            print(global.output, &found, || table(global.output, &found))?;
            let counted = if details { Vec::new() } else { counted(&found, is_rest) };
            note(global, &counted.into_iter().chain(found.note).collect::<Vec<_>>());
            Ok(())
        }
        Runs::Show { run, html: true } => {
            let instead = "its page in the browser shows the same, and `runs show -o json` has all of it";
            let here = realm.here("`runs show --html`", instead)?;
            let document = pumice_console::run_as_document(here, &run, None).await;
            write_raw(&document.map_err(pumice_service::Error::from)?)
        }
        Runs::Show { run, .. } => {
            let tree = realm.ask(show, &ShowRun { run, details }).await?;
            print(global.output, &tree, || tree_lines(global.output, &tree))?;
            if !details {
                note_unserved(global, &tree);
            }
            Ok(())
        }
        Runs::Why { run } => {
            let found = realm.ask(why, &RunName { run }).await?;
            print(global.output, &found, || why_lines(&found))
        }
        Runs::Export { filter, children } => export::print_all(global, &realm, filter, children).await,
        Runs::Output(options) => output::output(global, &realm, options).await,
        Runs::Retry(options) => retry::retry(global, &realm, options).await,
        Runs::Delete { bulk } => many::delete(global, &realm, bulk).await,
        Runs::Bulk(command) => bulk::bulk(global, &realm, command).await,
        Runs::Cancel { bulk, why, .. } if bulk.filter.is_some() => {
            many::cancel(global, &realm, bulk, why).await
        }
        Runs::Cancel { runs, why, bulk } => {
            cancel_named(global, &realm, CancelRuns { runs, why, dry_run: bulk.dry_run }).await
        }
    }
}

/// Cancels runs that are named.
async fn cancel_named(global: &Global, realm: &Target, request: CancelRuns) -> Result<(), Failure> {
    let cancelled = realm.ask(cancel, &request).await?;
    print(global.output, &cancelled, || {
        let (runs, would) = (cancelled.runs.iter(), if cancelled.dry_run { "would be: " } else { "" });
        let mut lines: Vec<String> =
            runs.map(|one| format!("{would}{} {}", one.outcome.words(), one.run)).collect();
        lines.extend(cancelled.dry_run.then(|| "(dry run: nothing was changed)".to_owned()));
        lines
    })?;
    let refused: Vec<&str> = cancelled.refused.iter().map(|one| one.error.as_str()).collect();
    if refused.is_empty() { Ok(()) } else { Err(Failure::wrong(refused.join("; "))) }
}

fn table(format: Format, found: &RunList) -> Vec<String> {
    let now = SystemClock.now();
    let characters = if format == Format::Wide { None } else { found.id_length };
    let id = |run: &RunShown| {
        let key = run.run_key.as_str();
        let (id, steps) = key.split_at(key.find('/').unwrap_or(key.len()));
        format!("{}{steps}", characters.and_then(|characters| id.get(..characters)).unwrap_or(id))
    };
    let row = |run: &RunShown| {
        let at = match format {
            Format::Wide => view::local_time(run.ts_dispatch.0),
            _ => view::short_time(run.ts_dispatch.0, now),
        };
        vec![
            id(run),
            format!("{}{}", escaped(run.job_id.as_str()), view::label(run)),
            view::coloured(run.status, 0),
            at,
            view::took(run, now).map(view::short).unwrap_or_default(),
            if format == Format::Wide {
                run.remark(view::local_time)
            } else {
                run.short_remark(view::local_time)
            },
        ]
    };
    let heading = [
        Column::Whole("RUN"),
        Column::Path("JOB", 8),
        Column::Whole("STATUS"),
        Column::Whole("WHEN"),
        Column::Whole("TOOK"),
        Column::Reason("", REASON),
    ];
    columns(format, &heading, &found.runs.iter().map(row).collect::<Vec<_>>())
}

/// Notes on a list of runs: how many there are, what was looked at, and how to go on.
fn counted(found: &RunList, is_rest: bool) -> Vec<String> {
    let shown = found.runs.len();
    let mut notes = vec![match found.all {
        Some(all) => format!("{shown} of {all} runs"),
        None => format!("{shown} runs"),
    }];
    match &found.next {
        Some(next) if found.is_cut => notes.push(format!(
            "only {} records were looked at, and there may be more: go on with --cursor {next}",
            found.looked_at
        )),
        Some(next) => notes.push(format!("more with --cursor {next}")),
        None if is_rest => notes.push("the list ends here".to_owned()),
        None => {}
    }
    notes
}

/// Where a run stands, and why; of one that failed also the changes since its job ended well last.
fn why_lines(why: &RunWhy) -> Vec<String> {
    let mut lines = vec![format!("{}: {}", view::coloured(why.status, 0), escaped(&why.why))];
    let Some(since) = &why.since else { return lines };
    let what = if since.spec.is_empty() { "what was asked for differs" } else { "the spec changed" };
    let by = since.changed.as_ref().map(|by| format!(", {}", by_words(by))).unwrap_or_default();
    lines.push(format!("since run {}, which ended well, {what}{by}:", since.success));
    let spec = since.spec.iter().map(|change| changed("the spec's", change));
    let all: Vec<String> =
        spec.chain(since.input.iter().map(|change| changed("the input's", change))).collect();
    let more = all.len().saturating_sub(MAX_CHANGES);
    lines.extend(all.into_iter().take(MAX_CHANGES).map(|change| format!("  {change}")));
    lines.extend((more > 0).then(|| format!("  and {more} more: -o json has all")));
    lines
}

/// The actor of an act: `by ada at 2026-11-29T04:12:12+00:00 (apply from cli, audit entry 0192...)`.
fn by_words(by: &ActBy) -> String {
    let (who, act) = (escaped(&by.who), escaped(&by.act));
    format!("by {who} at {} ({act} from {}, audit entry {})", view::local_time(by.at.0), by.from, by.entry)
}

/// The input of a run, and the slot that its templates see.
fn asked_lines(run: &RunShown) -> Vec<String> {
    let mut lines = Vec::new();
    let asked = run.asked.clone().unwrap_or_default();
    for (what, given) in [("parameter", &asked.parameters), ("global", &asked.globals)] {
        for (name, value) in given {
            let mut one = serde_json::json!({ (name.clone()): value });
            pumice_core::secret::mask_value(&mut one);
            let shown = one.as_object().and_then(|one| one.iter().next()).map(|(name, value)| match value {
                Value::String(text) => format!("{name}={text}"),
                other => format!("{name}={other}"),
            });
            lines.extend(shown.map(|shown| escaped(&format!("asked for with {what} {shown}")).into_owned()));
        }
    }
    if let Some(schedule) = &run.schedule {
        let slot = utc(schedule.slot.0);
        lines.push(format!("schedule.slot is {slot}, in zone {}", escaped(&schedule.zone)));
    }
    lines
}

fn tree_lines(format: Format, tree: &RunTree) -> Vec<String> {
    let mut lines: Vec<String> = tree.why.iter().flat_map(why_lines).collect();
    if !lines.is_empty() {
        lines.push(String::new());
    }
    lines.extend(view::tree(format, tree, SystemClock.now()));
    let Some(root) = tree.runs.first() else { return lines };
    lines.push(root.trigger_words(utc).text);
    lines.extend(tree.by.iter().flat_map(|by| wrapped(format, &format!("asked for {}", by_words(by)), 2)));
    lines.extend(asked_lines(root));
    lines.push(String::new());
    lines.extend(log_lines(root));
    lines.extend(root.notes.iter().cloned());
    if !root.result.is_null() {
        lines.push(String::new());
        let result = serde_json::to_string_pretty(&root.result).unwrap_or_default();
        lines.extend(format!("result {result}").lines().map(|line| escaped(line).into_owned()));
    }
    lines
}

fn note_unserved(global: &Global, tree: &RunTree) {
    if tree.runs.iter().any(|run| run.orphaned) {
        note(global, &["the server that ran it is gone: it goes on when one serves again".to_owned()]);
    } else if tree.served == Some(false) && tree.runs.iter().any(|run| !run.status.is_end()) {
        note(global, &["nothing serves this folder: `pumice serve` goes on with it".to_owned()]);
    }
}

fn log_lines(run: &RunShown) -> Vec<String> {
    let mut lines =
        vec![format!("run {} of {} on worker {}", run.run_id, escaped(run.job_id.as_str()), run.worker)];
    for event in &run.log {
        let at = event.ts_event.0.with_timezone(&chrono::Local).format("%Y-%m-%d %H:%M:%S%.3f");
        let info = match &event.info {
            // The result follows the log.
            info if info.is_null() || *info == run.result => match event.status {
                Status::Failed => escaped(run.reason.as_deref().unwrap_or_default()).into_owned(),
                _ => String::new(),
            },
            Value::String(text) => escaped(text).into_owned(),
            other => escaped(&other.to_string()).into_owned(),
        };
        lines.push(format!("{at}  {}  {info}", view::coloured(event.status, 13)).trim_end().to_owned());
    }
    if run.log_dropped > 0 {
        lines.push(format!("({} entries after the first were dropped: a log is bounded)", run.log_dropped));
    }
    lines
}
