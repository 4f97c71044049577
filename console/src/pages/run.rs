//! A run: why it ended so, what it started, what it printed, what it was given.

use axum::response::Response;
use pumice_core::ids::RunKey;
use pumice_core::run::{Cause, Run, Status, Trigger};
use pumice_core::text::escaped;
use pumice_service::Realm;
use pumice_service::runs::{
    CancelRuns, RecordedTree, RunShown, RunTree, ShowRun, cancel as cancel_runs, output_of,
    show_recorded as show_run, whole_with_spec,
};
use serde_json::{Map, Value, json};

use super::failures::{MAX_CHANGES, difference};
use super::output::{Most, Want, listed, window};
use super::{Head, render};
use crate::access::Role;
use crate::answer::{Fault, see};
use crate::ask::Ask;
use crate::view::{
    Clock, MAX_TEXT, about, counted, document, document_within, job_link, link, remark, run_link, tone,
    tree as branches, trigger_words,
};

/// How many characters of an id name a run in a tree.
const ID_LENGTH: usize = 8;
/// Most bytes and lines of an output on the page of its run; its own page has more.
const MOST_PRINTED: Most = Most { bytes: 8 * 1024, lines: 200 };
/// Most outputs whose ends are on the page of their run.
const MAX_OUTPUTS: usize = 6;
/// Most entries of a log on a page.
const MAX_ENTRIES: usize = 200;

/// Most bytes of each document on a page that has several, next to a tree and a graph.
const MAX_DOCUMENT: usize = 12 * 1024;
/// Most bytes of one entry of the log, and of all on a page.
const MAX_INFO: usize = 4 * 1024;
const MAX_INFOS: usize = 24 * 1024;

/// The page.
pub(crate) async fn show(ask: Ask) -> Result<Response, Fault> {
    let id = ask.query.need("id")?;
    ask.app.refresh().await;
    let recorded = show_run(ask.realm(), &ShowRun { run: id.to_owned(), details: false }).await?;
    let job = &root_of(&recorded.tree)?.job_id;
    let clock = *ask.clocks(std::iter::once(job)).await?.of(job);
    let mut own = context(ask.realm(), &recorded, &clock, true).await?;
    let tree = &recorded.tree;
    let root = root_of(tree)?;
    let key = root.run_key.as_str();
    // A step is done again with its run.
    let can_retry = root.status.is_end() && !root.is_child();
    own["retry_href"] = json!(can_retry.then(|| link("/run/retry", &[("id", key)])));
    own["cancel_command"] = json!(ask.words(&["runs", "cancel", key]).line());
    own["api"] = json!(link("/api/v1/runs/show", &[("run", key), ("details", "true")]));
    let title = format!("{} · {}", root.job_id, root.status);
    let command = ask.words(&["runs", "show", key]);
    let head = Head::new(title, "runs", &command).by(&clock);
    let head = if is_open(tree) { head.live(root.run_id.to_string()) } else { head };
    render(&ask, "run.html", head, own).await
}

/// Why it waits or ended so, in one sentence, with the run that it is about; `null` where the status says it all.
fn why(tree: &RunTree) -> Option<Value> {
    let why = tree.why.as_ref().filter(|why| !matches!(why.cause, Cause::Complete | Cause::Running))?;
    let by = why.by.as_ref().map(|by| run_link(by.as_str()));
    let since = why.since.as_ref().map(|since| {
        let differ = [("spec", &since.spec), ("input", &since.input)];
        let differ = differ.into_iter().flat_map(|(what, all)| all.iter().map(move |one| difference(what, one)));
        let by = since.changed.as_ref().map(|by| {
            json!({ "who": escaped(&by.who), "act": escaped(&by.act), "href": link("/audit/entry", &[("id", &by.entry)]) })
        });
        json!({ "success": since.success.as_str(), "href": run_link(since.success.as_str()), "by": by,
            "spec": !since.spec.is_empty(), "changes": differ.take(MAX_CHANGES).collect::<Vec<_>>(),
            "more": (since.spec.len() + since.input.len()).saturating_sub(MAX_CHANGES) })
    });
    Some(json!({ "text": crate::view::plain(&why.why), "by": by, "since": since }))
}

fn root_of(tree: &RunTree) -> Result<&RunShown, Fault> {
    tree.runs.first().ok_or_else(|| Fault::new(axum::http::StatusCode::NOT_FOUND, "no such run"))
}

fn is_open(tree: &RunTree) -> bool {
    tree.runs.iter().any(|run| !run.status.is_end())
}

/// The content of a run's page, and of a document about it.
///
/// # Errors
/// [`Fault`] when the store cannot be read.
async fn context(
    realm: &dyn Realm,
    RecordedTree { tree, records }: &RecordedTree,
    clock: &Clock,
    is_linked: bool,
) -> Result<Value, Fault> {
    let root = root_of(tree)?;
    let key = root.run_key.as_str();
    let spec = spec_of(realm, &root.run_key).await?;
    // A document that stands alone has no other place that has the whole.
    let (most, room) = if is_linked { (MAX_DOCUMENT, MAX_INFOS) } else { (MAX_TEXT, usize::MAX) };
    let outputs = outputs(realm, records, is_open(tree)).await?;
    let parents = parents(&root.run_key);
    // The page names the caller among its facts.
    let is_said = tree.by.is_some() && root.trigger == Trigger::Caller;
    let trigger = (!is_said).then(|| trigger_words(root, clock));
    Ok(json!({
        "run": {
            "key": key,
            "run_id": root.run_id.to_string(),
            "job": escaped(root.job_id.as_str()),
            "job_href": job_link(root.job_id.as_str()),
            "label": root.label,
            "status": shown(root.status),
            "tone": tone(root.status),
            "is_open": !root.status.is_end(),
            "is_orphaned": root.orphaned,
            "why": why(tree),
            "reason": root.reason.as_deref().map(crate::view::plain),
            "remark": remark(root, clock),
            "trigger": trigger,
            "notes": root.notes,
        },
        "parents": parents,
        "facts": facts(tree, root, clock),
        "tree": branches(tree, clock, ID_LENGTH),
        "is_tree": tree.runs.len() + tree.unstarted.len() > 1,
        "tree_size": counted(tree.runs.len(), "run"),
        "graph": crate::svg::graph_of_run(realm, tree, is_linked).await?,
        "outputs": outputs,
        "log": log_of(root, clock, room),
        "log_dropped": root.log_dropped,
        "log_more": root.log.len().saturating_sub(MAX_ENTRIES),
        "payload": document_within(&root.payload, most),
        "parameters": document_within(&root.parameters, most),
        "result": (!root.result.is_null()).then(|| document_within(&root.result, most)),
        "spec": spec.map(|spec| document_within(&spec, most)),
    }))
}

/// The entries of a run's log, the newest first. `room` is for what they say, in bytes.
fn log_of(root: &RunShown, clock: &Clock, mut room: usize) -> Vec<Value> {
    let entries = root.log.iter().rev().take(MAX_ENTRIES);
    let rows = entries.map(|entry| {
        let info = match &entry.info {
            // It stands on the page as the result.
            result if !result.is_null() && *result == root.result => String::new(),
            Value::Null => String::new(),
            Value::String(text) => pumice_core::secret::mask(text).into_owned(),
            other => document(other).text,
        };
        let info = beginning(info, room.min(MAX_INFO));
        room -= info.len().min(room);
        json!({ "status": shown(entry.status), "at": clock.moment(entry.ts_event.0), "info": crate::view::plain(&info) })
    });
    rows.collect()
}

/// The beginning of a text.
fn beginning(mut text: String, most: usize) -> String {
    if text.len() > most {
        text.truncate(text.floor_char_boundary(most));
        text.push('…');
    }
    text
}

/// The context of a document of a run that stands alone.
///
/// # Errors
/// [`Fault`] when there is no such run, or the store cannot be read.
pub(crate) async fn offline_context(realm: &dyn Realm, run: &str, clock: &Clock) -> Result<Value, Fault> {
    let tree = show_run(realm, &ShowRun { run: run.to_owned(), details: false }).await?;
    context(realm, &tree, clock, false).await
}

fn shown(status: Status) -> Value {
    json!(crate::view::StatusShown::from(status))
}

/// The runs that a step stands below, the outermost first.
fn parents(key: &RunKey) -> Vec<Value> {
    let mut above: Vec<RunKey> = std::iter::successors(key.parent(), RunKey::parent).collect();
    above.reverse();
    above.iter().map(|key| json!({ "key": key.as_str(), "href": run_link(key.as_str()) })).collect()
}

/// The spec that the run uses.
async fn spec_of(realm: &dyn Realm, key: &RunKey) -> Result<Option<Value>, Fault> {
    let found = whole_with_spec(realm.runs(), key).await?;
    Ok(found.map(|(_, spec)| Value::Object((*spec.job).clone())))
}

fn facts(tree: &RunTree, run: &RunShown, clock: &Clock) -> Vec<(String, String)> {
    let time = |at: pumice_service::Instant| {
        let moment = clock.moment(at.0);
        format!("{} {} · {}", moment.text, moment.zone, moment.ago)
    };
    let mut facts = vec![about("Run", run.run_key.as_str()), about("Worker", run.worker.as_str())];
    facts.push(about("Dispatched", time(run.ts_dispatch)));
    facts.extend(run.starts.map(|at| about("Starts", time(at))));
    facts.extend(run.ts_start.map(|at| about("Started", time(at))));
    facts.extend(run.ts_end.map(|at| about("Ended", time(at))));
    let took = clock.took(run.ts_start.map(|at| at.0), run.ts_end.map(|at| at.0));
    facts.extend(took.map(|took| about("Took", took)));
    if run.attempts > 1 {
        facts.push(about("Attempt", format!("{} of {}", run.iteration, run.attempts)));
    }
    facts.extend(run.hostname.as_deref().map(|host| about("Host", host)));
    facts.extend(run.schedule.as_ref().map(|schedule| {
        about("Slot", format!("{} ({})", pumice_core::clock::utc(schedule.slot.0), schedule.zone))
    }));
    facts.extend(
        tree.by.as_ref().map(|by| about("Asked for by", format!("{}, {} from {}", by.who, by.act, by.from))),
    );
    let asked = run.asked.as_ref().into_iter().flat_map(|asked| {
        let given = |given: &Map<String, Value>| {
            (!given.is_empty()).then(|| document(&Value::Object(given.clone())).text)
        };
        [("Parameters asked for", given(&asked.parameters)), ("Globals asked for", given(&asked.globals))]
    });
    facts.extend(asked.filter_map(|(name, text)| Some(about(name, text?))));
    facts
}

/// The ends of what the commands of a run and its steps printed.
async fn outputs(realm: &dyn Realm, records: &[Run], is_open: bool) -> Result<Vec<Value>, Fault> {
    let mut shown = Vec::new();
    let key = records.first().map(|run| run.key.to_string()).unwrap_or_default();
    for (place, printed) in output_of(realm, records).await?.iter().enumerate() {
        let mut one = listed(&key, printed);
        // The output of an ended run does not grow.
        let goes_on = is_open && !printed.lost && printed.epoch.is_some();
        one["is_slow"] = realm.is_aws().into();
        one["follow"] = if goes_on { one["raw"].clone() } else { Value::Null };
        one["window"] = match place < MAX_OUTPUTS {
            false => Value::Null,
            true => {
                match window(realm.outputs(), &printed.location, Want::Tail, MOST_PRINTED, is_open).await {
                    Ok(found) => json!(found),
                    // One that cannot be read must not hide the others.
                    Err(fault) => {
                        one["href"] = Value::Null;
                        json!({ "trouble": fault.message })
                    }
                }
            }
        };
        shown.push(one);
    }
    Ok(shown)
}

/// Cancels a run.
pub(crate) async fn cancel(ask: Ask) -> Result<Response, Fault> {
    ask.act(Role::Operator)?;
    let answer = cancelling(&ask).await;
    ask.kept(answer, &[("why", "Why")])
}

async fn cancelling(ask: &Ask) -> Result<Response, Fault> {
    let id = ask.form.need("id")?.to_owned();
    let cancelled = cancel_runs(
        ask.realm(),
        &CancelRuns { runs: vec![id.clone()], why: ask.form.get("why").map(str::to_owned), dry_run: false },
    )
    .await?;
    match (cancelled.runs.first(), cancelled.refused.first()) {
        (Some(done), _) => ask.tell(true, format!("{} {}", done.outcome.words(), done.run)),
        (None, Some(refused)) => ask.tell(false, refused.error.clone()),
        (None, None) => ask.tell(false, format!("no such run {id}")),
    }
    Ok(see(&run_link(&id)))
}
