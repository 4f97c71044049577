//! A job: its spec, its schedule in words, its history, and a form that runs it.

use axum::http::StatusCode;
use axum::response::Response;
use pumice_core::duration::Span;
use pumice_core::glob::{literal, matches};
use pumice_core::ids::JobId;
use pumice_core::pauses::{Pause, Scope};
use pumice_core::ports::{Doc, MinuteCount};
use pumice_core::run::Status;
use pumice_core::text::escaped;
use pumice_service::dispatch::{Dispatch, dispatch};
use pumice_service::pauses::PauseDetails;
use pumice_service::render::{RenderJob, RenderedJob, render as render_job};
use pumice_service::runs::{ListRuns, RunShown, list as list_runs};
use pumice_service::schedules::{ListSchedules, list};
use pumice_service::specs::{DeleteJobs, JobName, delete as delete_jobs, show as show_job};
use serde_json::{Value, json};
use uuid::Uuid;

use super::form::{self, Inputs};
use super::jobs::enabled;
use super::now::blank;
use super::pauses::{MAX_PAUSES, shown};
use super::schedules::{rows as rows_of, upcoming};
use super::types::check_job;
use super::{Clocks, Head, render};
use crate::access::Role;
use crate::answer::{Fault, see};
use crate::ask::Ask;
use crate::svg::{Lasted, durations};
use crate::view::{Clock, RunRow, about, document, job_link, link, run_link, short, tone};

/// How many runs the history has.
const HISTORY: usize = 40;
/// How many of them are listed.
const LISTED: usize = 15;
/// How many next starts are shown.
const UPCOMING: usize = 5;

/// The page.
pub(crate) async fn show(ask: Ask) -> Result<Response, Fault> {
    let id = ask.query.need("id")?.to_owned();
    page(ask, &id, Tried::Nothing).await
}

/// The outcome of the form that the page answers.
enum Tried {
    Nothing,
    /// What would run.
    Preview(RenderedJob),
    /// Why nothing was run, or could be shown.
    Trouble(Fault),
}

impl Tried {
    fn shown(&self) -> Value {
        match self {
            Self::Nothing => Value::Null,
            Self::Preview(one) => {
                json!({ "payload": document(&one.payload), "when": one.when, "hidden": one.hidden, "trouble": Value::Null,
                "parameters": document(&Value::Object(one.parameters.clone())) })
            }
            Self::Trouble(fault) => json!({ "trouble": fault.message }),
        }
    }
}

async fn page(ask: Ask, id: &str, tried: Tried) -> Result<Response, Fault> {
    let job = JobId::stored(id).map_err(|error| Fault::bad(error.to_string()))?;
    let clock = *ask.clocks(std::iter::once(&job)).await?.of(&job);
    let spec = show_job(ask.realm(), &JobName { job: job.clone() }).await;
    // Of a job that was deleted the runs are there.
    let (spec, trouble) = match spec {
        Ok(spec) => (Some(spec), None),
        Err(error) => (None, Some(error)),
    };
    let request = ListRuns { job: Some(literal(id)), limit: HISTORY, ..blank() };
    let history = list_runs(ask.realm(), &request).await?;
    if let (Some(error), true) = (&trouble, history.runs.is_empty()) {
        return Err(Fault::of(error));
    }
    let pattern = literal(id);
    let (entries, coming) = schedule(&ask, id, spec.as_ref(), &clock).await?;
    let length = history.id_length.unwrap_or(8);
    let rows: Vec<RunRow> =
        history.runs.iter().take(LISTED).map(|run| RunRow::of(run, &clock, length)).collect();
    let graph = spec.as_ref().map_or(Value::Null, |spec| crate::svg::graph_of_job(ask.realm(), spec));
    let text = |name: &str| ask.form.typed(name).unwrap_or_default();
    let form = json!({ "globals": text("globals"), "params": text("params"), "delay": text("delay") });
    let schema = spec.as_ref().and_then(|spec| schema_of(&ask, spec));
    let fields = spec.as_ref().map(|spec| form::shown(spec, schema.as_ref(), &ask.form));
    let inputs = spec.as_ref().and_then(|spec| form::read(spec, schema.as_ref(), &ask.form).ok());
    let inputs = inputs.unwrap_or_default();
    let command = match &tried {
        Tried::Preview(_) => form::with_options(ask.words(&["render", id]), &inputs),
        Tried::Nothing | Tried::Trouble(_) => None,
    };
    let command = command.unwrap_or_else(|| ask.words(&["jobs", "show", id]));
    let pauses = pauses_of(&ask, id, spec.as_ref()).await?;
    let own_pause =
        pauses.iter().find(|pause| matches!(&pause.scope, Scope::Job(one) if one == id || *one == pattern));
    let word = if own_pause.is_some() { "resume" } else { "pause" };
    let own = json!({
        "pauses": pauses.iter().map(|pause| shown(pause, &clock)).collect::<Vec<_>>(),
        "own_pause": own_pause.map(|pause| shown(pause, &clock)),
        "pattern": pattern,
        "href": job_link(id),
        "pause_command": ask.words(&["jobs", word, &pattern]).line(),
        "id": id,
        "job": escaped(id),
        "facts": spec.as_ref().map(facts).unwrap_or_default(),
        "description": spec.as_ref().and_then(|spec| spec.get("description")).and_then(Value::as_str),
        "enabled": spec.as_ref().map_or("deleted", enabled),
        "spec": spec.map(|spec| document(&Value::Object(spec))),
        "trouble": trouble.map(|error| error.message().to_owned()),
        "graph": graph,
        "entries": entries,
        "coming": coming,
        "rows": rows,
        "all_href": link("/runs", &[("job", &pattern)]),
        "schedules_href": link("/schedules", &[("job", &pattern)]),
        "stats": stats(&history.runs, &clock),
        "form": form,
        "key": Uuid::new_v4().to_string(),
        "preview": tried.shown(),
        "run_command": dispatch_line(&ask, id, &inputs),
        "fields": fields,
        "edit_href": link("/job/edit", &[("id", id)]),
        "delete_command": ask.words(&["jobs", "delete", id]).line(),
    });
    // The answer to a form has its inputs: asked for anew it would be the page without them.
    let live = if matches!(tried, Tried::Nothing) { "runs" } else { "" };
    let head = Head::new(id, "jobs", &command).live(live).by(&clock);
    let mut response = render(&ask, "job.html", head, own).await?;
    if let Tried::Trouble(fault) = &tried {
        *response.status_mut() = fault.status;
    }
    Ok(response)
}

/// The entries of a job's schedule, and its next starts.
async fn schedule(
    ask: &Ask,
    id: &str,
    spec: Option<&Doc>,
    clock: &Clock,
) -> Result<(Vec<Value>, Value), Fault> {
    if spec.is_none_or(|spec| spec.get("schedule").is_none_or(Value::is_null)) {
        return Ok((Vec::new(), Value::Array(Vec::new())));
    }
    let found = list(ask.realm(), &ListSchedules { job: Some(literal(id)), filter: None }).await?;
    Ok((rows_of(&found, &Clocks::all(clock)), upcoming(ask, id, UPCOMING, clock).await?))
}

/// The schema of a job's parameters.
fn schema_of(ask: &Ask, spec: &Doc) -> Option<Value> {
    let job_type = ask.realm().registry().job_type(spec.get("type")?.as_str()?)?;
    Some(job_type.schemas().1)
}

/// The input of the form, for a job as it is stored.
async fn inputs(ask: &Ask, job: &JobId) -> Result<Inputs, Fault> {
    let spec = show_job(ask.realm(), &JobName { job: job.clone() }).await?;
    let inputs = form::read(&spec, schema_of(ask, &spec).as_ref(), &ask.form)?;
    check_job(ask.realm(), job, &ask.form).await?;
    Ok(inputs)
}

/// The command that runs the job with the form's input. Options have texts alone: other values are in a request.
fn dispatch_line(ask: &Ask, id: &str, inputs: &Inputs) -> String {
    let delay = ask.form.get("delay");
    if let Some(words) = form::with_options(ask.words(&["dispatch", id]), inputs) {
        return words.option("--delay", delay).line();
    }
    match form::as_request(id, inputs, delay) {
        Some(request) => format!(
            "printf %s {} | {}",
            crate::view::quote(&request),
            ask.words(&["dispatch", "--file=-"]).line()
        ),
        None => ask.words(&["dispatch", id]).line(),
    }
}

/// The pauses that hold the runs of a job.
async fn pauses_of(ask: &Ask, id: &str, spec: Option<&Doc>) -> Result<Vec<PauseDetails>, Fault> {
    let worker = spec.and_then(|spec| spec.get("worker")).and_then(Value::as_str);
    let pauses = ask.realm().runs().pauses().await?;
    let holds = |pause: &&Pause| match &pause.scope {
        Scope::Realm => true,
        Scope::Worker(other) => Some(other.as_str()) == worker,
        Scope::Job(pattern) => matches(pattern, id),
    };
    let live = pauses.live(ask.realm().now()).filter(holds).take(MAX_PAUSES);
    Ok(live.map(PauseDetails::from).collect())
}

fn facts(spec: &Doc) -> Vec<(String, String)> {
    let names = [
        ("Type", "type"),
        ("Worker", "worker"),
        ("Owner", "owner"),
        ("Timeout", "timeout"),
        ("Attempts", "iteration_limit"),
        ("Overlap", "overlap"),
        ("Zone", "timezone"),
        ("Tags", "tags"),
    ];
    let text = |value: &Value| match value {
        Value::String(text) => escaped(text).into_owned(),
        other => other.to_string(),
    };
    let given = names.iter().filter_map(|(name, field)| Some(about(name, text(spec.get(*field)?))));
    given.filter(|(_, text)| !text.is_empty() && text != "null").collect()
}

/// How the last runs went: how long they took, how many failed.
fn stats(runs: &[RunShown], clock: &Clock) -> Value {
    let millis = |run: &RunShown| {
        let end = run.ts_end.map_or(clock.now, |at| at.0);
        Some((end - run.ts_start?.0).num_milliseconds().max(0).cast_unsigned())
    };
    let ran = runs.iter().filter_map(|run| Some(Lasted { millis: millis(run)?, tone: tone(run.status) }));
    let lasted: Vec<Lasted> = ran.collect::<Vec<_>>().into_iter().rev().collect();
    let mut well: Vec<u64> =
        runs.iter().filter(|run| run.status == Status::Complete).filter_map(millis).collect();
    well.sort_unstable();
    // The least value that so many of a hundred do not exceed.
    let percentile = |percent: usize| {
        let place = (well.len() * percent).div_ceil(100).checked_sub(1)?;
        well.get(place).map(|millis| short(std::time::Duration::from_millis(*millis)))
    };
    let ended = runs.iter().filter(|run| run.status.is_end()).count();
    json!({
        "svg": if lasted.len() > 1 { durations(&lasted, "how long the last runs took, the oldest first") } else { String::new() },
        "p50": percentile(50),
        "p95": percentile(95),
        "ended": ended,
        "failed": runs.iter().filter(|run| MinuteCount::FAILED.contains(&run.status)).count(),
        "cancelled": runs.iter().filter(|run| run.status == Status::Cancelled).count(),
    })
}

/// Runs a job, or shows what would run.
pub(crate) async fn run(ask: Ask) -> Result<Response, Fault> {
    let id = ask.form.need("id")?.to_owned();
    let job: JobId = id.parse().map_err(|error: pumice_core::ids::BadName| Fault::bad(error.to_string()))?;
    let is_preview = ask.form.has("preview");
    if !is_preview {
        ask.act(Role::Operator)?;
    }
    let tried = match is_preview {
        true => preview(&ask, job).await.map(Tried::Preview),
        false => match start(&ask, &id, &job).await {
            Ok(response) => return Ok(response),
            Err(fault) => Err(fault),
        },
    };
    match tried {
        Ok(tried) => page(ask, &id, tried).await,
        // The form may be corrected on the page, which keeps it.
        Err(fault) if fault.status.is_client_error() && fault.status != StatusCode::NOT_FOUND => {
            page(ask, &id, Tried::Trouble(fault)).await
        }
        Err(fault) => Err(fault),
    }
}

async fn preview(ask: &Ask, job: JobId) -> Result<RenderedJob, Fault> {
    let Inputs { globals, parameters } = inputs(ask, &job).await?;
    let request = RenderJob { job, globals, parameters, now: None, zone: None };
    Ok(render_job(ask.realm(), request).await?)
}

async fn start(ask: &Ask, id: &str, job: &JobId) -> Result<Response, Fault> {
    let Inputs { globals, parameters } = inputs(ask, job).await?;
    let delay = ask.form.get("delay").map(Span::parse).transpose();
    delay.map_err(|error| Fault::bad(format!("delay: {error}")))?;
    let mut asked = json!({ "job_id": id, "globals": globals, "parameters": parameters });
    if let Some(delay) = ask.form.get("delay") {
        asked["delay"] = json!(delay);
    }
    // A form that is sent twice makes one run.
    if let Some(key) = ask.form.get("key") {
        asked["idempotency_key"] = json!(format!("console:{key}"));
    }
    let outcomes = dispatch(
        ask.realm(),
        &Dispatch { requests: vec![asked], key: None, places: Vec::new(), dry_run: false },
    )
    .await?;
    match (outcomes.accepted.first(), outcomes.refused.first()) {
        (Some(run), _) => {
            let warning = run.warning.as_ref().map(|one| format!(": {one}")).unwrap_or_default();
            let word = if run.existing { "was dispatched already" } else { "dispatched" };
            ask.tell(true, format!("run {} of {} {word}{warning}", run.run_id, escaped(id)));
            Ok(see(&run_link(&run.run_id.to_string())))
        }
        (None, Some(refused)) => Err(Fault::bad(refused.error.clone())),
        (None, None) => Err(Fault::bad("nothing was dispatched")),
    }
}

/// Deletes a job; its runs stay.
pub(crate) async fn delete(ask: Ask) -> Result<Response, Fault> {
    ask.act(Role::Editor)?;
    let id = ask.form.need("id")?.to_owned();
    // The id is not a pattern: another job must not go with it.
    let deleted =
        delete_jobs(ask.realm(), &DeleteJobs { jobs: vec![literal(&id)], if_match: None, dry_run: false })
            .await?;
    let is_gone = deleted.jobs.iter().any(|job| job.deleted);
    let users: Vec<String> =
        deleted.users.iter().map(|user| escaped(user.job_id.as_str()).into_owned()).collect();
    let named =
        if users.is_empty() { String::new() } else { format!("; it is still named by {}", users.join(", ")) };
    let word = if is_gone { "deleted" } else { "was not there" };
    ask.tell(is_gone && users.is_empty(), format!("job {} {word}{named}", escaped(&id)));
    Ok(see(if is_gone { "/jobs".to_owned() } else { job_link(&id) }.as_str()))
}
