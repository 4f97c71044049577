//! `runs`: looks at runs, and cancels them.

use pumice_core::engine::{ApplyError, Dispatcher};
use pumice_core::ids::{RunId, RunKey};
use pumice_core::ports::{Clock, RunQuery, RunStore};
use pumice_core::run::{IllegalTransition, Run};
use pumice_local::SystemClock;
use serde_json::{Value, json};

use super::registry;
use crate::args::{Format, Global, Runs};
use crate::failure::Failure;
use crate::follow::trees;
use crate::output::{columns, note, print};
use crate::printed::{Stream, places};
use crate::realm::Realm;
use crate::view;

/// Lists, shows and cancels runs.
pub(super) async fn runs(global: &Global, command: Runs) -> Result<(), Failure> {
    let realm = match command {
        Runs::Cancel { .. } => Realm::open(global, false).await?,
        _ => Realm::open_to_read(global).await?,
    };
    let store = realm.runs();
    match command {
        Runs::List { job, statuses, since, limit, children } => {
            let now = SystemClock.now();
            let since = since.map(|span| now - span.delta());
            let query = RunQuery { job, statuses, since, tree_of: None, children, limit };
            list(global, store, &query).await
        }
        Runs::Show { run } => show(global, store, &key(&run)?).await,
        Runs::Output { run } => output(global, &realm, &key(&run)?).await,
        Runs::Cancel { runs } => {
            let keys = runs.iter().map(|run| key(run)).collect::<Result<Vec<_>, _>>()?;
            let dispatcher = Dispatcher::new(realm.site().await?, registry()?);
            cancel(global, &dispatcher, &keys).await
        }
    }
}

fn key(text: &str) -> Result<RunKey, Failure> {
    match text.parse::<RunId>() {
        Ok(run_id) => Ok(RunKey::root(run_id)),
        Err(_) => text
            .parse()
            .map_err(|error| Failure::Wrong(format!("{error}: `pumice runs list` shows the ids of runs"))),
    }
}

async fn list(global: &Global, store: &dyn RunStore, query: &RunQuery) -> Result<(), Failure> {
    let runs = store.list(query).await?;
    let now = SystemClock.now();
    if global.output != Format::Table {
        return super::run::show(global, store, &runs).await;
    }
    let rows: Vec<Vec<String>> = runs
        .iter()
        .map(|run| {
            vec![
                run.key.to_string(),
                run.job_id.to_string(),
                view::coloured(run.status, 0),
                view::local_time(run.ts_dispatch),
                view::duration(run, now).map(view::short).unwrap_or_default(),
                view::remark(run, now),
            ]
        })
        .collect();
    print(global.output, &Value::Null, || columns(&["RUN", "JOB", "STATUS", "DISPATCHED", "TOOK", ""], &rows))
}

async fn show(global: &Global, store: &dyn RunStore, key: &RunKey) -> Result<(), Failure> {
    let runs = trees(store, std::slice::from_ref(key)).await?;
    let Some(root) = runs.first() else { return Err(Failure::Wrong(format!("no such run {key}"))) };
    if global.output != Format::Table {
        return super::run::show(global, store, &runs).await;
    }
    // A list leaves out what is large.
    let whole = store.load_with_spec(key).await?;
    let root = whole.as_ref().map_or(root, |(whole, _)| whole);
    print(global.output, &Value::Null, || {
        let mut lines = view::tree(&runs, SystemClock.now());
        lines.push(String::new());
        lines.extend(log_lines(root));
        lines.extend(view::notes(root));
        if !root.result.is_null() {
            lines.push(String::new());
            lines.push(format!("result {}", serde_json::to_string_pretty(&root.result).unwrap_or_default()));
        }
        lines
    })
}

/// Copies what the commands of a run and its children printed, each stream to its own; for programs, says
/// where it is.
async fn output(global: &Global, realm: &Realm, key: &RunKey) -> Result<(), Failure> {
    let store = realm.runs();
    let tree = trees(store, std::slice::from_ref(key)).await?;
    let Some(root) = tree.first() else { return Err(Failure::Wrong(format!("no such run {key}"))) };
    let mut all = Vec::new();
    // What that run dispatched are runs of their own.
    for run in tree.iter().filter(|run| run.run_id == root.run_id) {
        // A list leaves out what is large.
        let whole = store.load(&run.key).await?;
        all.extend(places(whole.as_ref().unwrap_or(run)).into_iter().map(|place| (run, place)));
    }
    if global.output != Format::Table {
        let shown = all.iter().map(|(run, (stream, place))| {
            json!({ "job_id": run.job_id, "run_key": run.key, "stream": stream.name(), "location": place })
        });
        return print(global.output, &Value::from(shown.collect::<Vec<_>>()), Vec::new);
    }
    let mut notes = Vec::new();
    for (_, (stream, place)) in &all {
        let there = match stream {
            Stream::Stdout => realm.outputs().copy(place, &mut std::io::stdout()).await?,
            Stream::Stderr => realm.outputs().copy(place, &mut std::io::stderr()).await?,
        };
        if !there {
            notes.push(format!("it is gone from {place}"));
        }
    }
    if !root.status.is_end() {
        notes.push(format!("the run is {}: what a command prints is kept when it ends", root.status));
    } else if all.is_empty() {
        notes.push("nothing that its commands printed is kept".to_owned());
    }
    note(global, &notes);
    Ok(())
}

fn log_lines(run: &Run) -> Vec<String> {
    let mut lines = vec![format!("run {} of {} on worker {}", run.run_id, run.job_id, run.worker)];
    for event in &run.log.entries {
        let at = event.at.with_timezone(&chrono::Local).format("%Y-%m-%d %H:%M:%S%.3f");
        let info = match &event.info {
            Value::Null => String::new(),
            Value::String(text) => text.clone(),
            other => other.to_string(),
        };
        lines.push(format!("{at}  {}  {info}", view::coloured(event.status, 13)).trim_end().to_owned());
    }
    if run.log.dropped > 0 {
        lines.push(format!("({} entries after the first were dropped: a log is bounded)", run.log.dropped));
    }
    lines
}

async fn cancel(global: &Global, dispatcher: &Dispatcher, keys: &[RunKey]) -> Result<(), Failure> {
    let mut told = Vec::new();
    let mut wrong = Vec::new();
    for key in keys {
        match dispatcher.cancel(key).await {
            Ok(run) if run.handed_over.is_some() => {
                told.push((key, "cancelled, but lava's worker may run it all the same:"));
            }
            Ok(run) if run.status.is_end() => told.push((key, "cancelled")),
            Ok(_) => told.push((key, "stopping")),
            Err(ApplyError::Illegal(IllegalTransition::Ended, run)) => {
                wrong.push(format!("run {key} has ended: {}", run.status))
            }
            Err(ApplyError::Illegal(..)) => told.push((key, "stopping")),
            Err(ApplyError::Gone(_)) => wrong.push(format!("no such run {key}")),
            Err(error) => return Err(error.into()),
        }
    }
    let value = json!({ "runs": told.iter().map(|(key, what)| json!({ "run": key, "outcome": what })).collect::<Vec<_>>() });
    print(global.output, &value, || told.iter().map(|(key, what)| format!("{what} {key}")).collect())?;
    if wrong.is_empty() { Ok(()) } else { Err(Failure::Wrong(wrong.join("; "))) }
}
