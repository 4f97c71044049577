//! How runs are shown.

use std::time::Duration;

use pumice_core::Timestamp;
use pumice_core::message::{iso, iso_naive};
use pumice_core::run::reason::split_way;
use pumice_core::run::{Run, RunEvent, Status};
use pumice_core::spec::RunSpec;
use serde_json::{Value, json};

/// A run as programs get it: lava's events item, and what Pumice adds (lava guide, The Events Table).
pub(crate) fn run_json(run: &Run, spec: Option<&RunSpec>) -> Value {
    let last = run.log.entries.last().map_or(run.ts_dispatch, |entry| entry.at);
    let rendered = run.rendered.as_ref().or_else(|| spec.and_then(|spec| spec.rendered.as_ref()));
    let (payload, parameters) = match rendered {
        Some(rendered) => (rendered.payload.clone(), Value::Object(rendered.parameters.clone())),
        None => {
            let field = |name: &str| spec.and_then(|spec| spec.job.get(name)).cloned().unwrap_or_default();
            (field("payload"), field("parameters"))
        }
    };
    let mut shown = json!({
        "job_id": run.job_id,
        "run_id": run.run_id,
        "run_key": run.key,
        "parent": run.parent(),
        "status": run.status,
        "reason": run.reason,
        "iteration": run.attempt,
        "worker": run.worker,
        "hostname": run.hostname,
        "ts_dispatch": iso(run.ts_dispatch),
        "not_before": iso(run.not_before),
        "ts_start": run.ts_start.map(iso),
        "ts_end": run.ts_end.map(iso),
        "ts_event": iso(last),
        "tu_event": iso_naive(last),
        "ttl": run.expires.timestamp(),
        "payload": payload,
        "parameters": parameters,
        "result": run.result,
        "log": run.log.entries.iter().map(event_json).collect::<Vec<_>>(),
    });
    let notes = notes(run);
    if !notes.is_empty() {
        shown["notes"] = json!(notes);
    }
    shown
}

/// What is missing of a run.
pub(crate) fn notes(run: &Run) -> Vec<String> {
    let gone = run.apart.iter().filter(|apart| apart.gone);
    gone.map(|apart| format!("its {} is gone from {}", apart.part, apart.place)).collect()
}

fn event_json(event: &RunEvent) -> Value {
    json!({
        "status": event.status,
        "ts_event": iso(event.at),
        "tu_event": iso_naive(event.at),
        "info": event.info,
    })
}

/// How long a run took, or has taken.
pub(crate) fn duration(run: &Run, now: Timestamp) -> Option<Duration> {
    let start = run.ts_start?;
    (run.ts_end.unwrap_or(now) - start).to_std().ok()
}

/// A duration in few characters.
pub(crate) fn short(duration: Duration) -> String {
    let seconds = duration.as_secs_f64();
    if seconds < 1.0 {
        format!("{}ms", duration.as_millis())
    } else if seconds < 60.0 {
        format!("{seconds:.1}s")
    } else if seconds < 3600.0 {
        format!("{}m{:02}s", duration.as_secs() / 60, duration.as_secs() % 60)
    } else {
        format!("{}h{:02}m", duration.as_secs() / 3600, duration.as_secs() / 60 % 60)
    }
}

/// The colour of a status.
pub(crate) fn style(status: Status) -> anstyle::Style {
    use anstyle::AnsiColor::{Blue, Green, Red, Yellow};
    let colour = match status {
        Status::Complete => Green,
        Status::Failed | Status::Rejected | Status::ActionFailed => Red,
        Status::Skipped | Status::Cancelled | Status::Retrying => Yellow,
        _ => Blue,
    };
    anstyle::Style::new().fg_color(Some(colour.into()))
}

/// A status in its colour.
pub(crate) fn coloured(status: Status, width: usize) -> String {
    let style = style(status);
    format!("{style}{status:<width$}{style:#}")
}

/// What a run has to say for itself in one line.
pub(crate) fn remark(run: &Run, now: Timestamp) -> String {
    remark_with(run, run.reason.as_deref(), now)
}

fn remark_with(run: &Run, reason: Option<&str>, now: Timestamp) -> String {
    let failed_actions = run.log.entries.iter().filter(|entry| entry.status == Status::ActionFailed).count();
    let mut parts = Vec::new();
    if run.attempt > 1 {
        parts.push(format!("attempt {} of {}", run.attempt, run.retry.limit));
    }
    parts.extend(starts(run, now).map(|at| format!("starts {}", local_time(at))));
    parts.extend(reason.map(str::to_owned));
    if failed_actions > 0 {
        parts.push(format!("{failed_actions} action{} failed", if failed_actions == 1 { "" } else { "s" }));
    }
    parts.join("; ")
}

/// When a run that waits for its time starts.
fn starts(run: &Run, now: Timestamp) -> Option<Timestamp> {
    let waits = matches!(run.status, Status::Dispatched | Status::Retrying) && run.lease.is_none();
    Some(run.not_before).filter(|at| waits && *at > now)
}

/// An instant as people here read it.
pub(crate) fn local_time(at: Timestamp) -> String {
    at.with_timezone(&chrono::Local).format("%Y-%m-%d %H:%M:%S").to_string()
}

/// The lines of a tree of runs, each parent above what it started.
pub(crate) fn tree(runs: &[Run], now: Timestamp) -> Vec<String> {
    let mut rows = Vec::new();
    let roots = runs
        .iter()
        .filter(|run| run.parent().is_none_or(|parent| runs.iter().all(|other| other.key != parent)));
    for root in roots {
        branch(root, runs, String::new(), String::new(), &mut rows);
    }
    let width = rows.iter().map(|(label, _)| label.chars().count()).max().unwrap_or(0);
    rows.into_iter()
        .map(|(label, run)| {
            let took = duration(run, now).map(short).unwrap_or_default();
            let above = runs.iter().find(|other| run.parent().as_ref() == Some(&other.key));
            let remark = remark_with(run, reason_below(run, above), now);
            let line = format!("{label:<width$}  {} {took:>7}  {remark}", coloured(run.status, 10));
            line.trim_end().to_owned()
        })
        .collect()
}

/// Why a run failed, as it is shown below another. Where both failed by the same step, the one above
/// tells why, and so does the step; between them the way to it is enough.
fn reason_below<'a>(run: &'a Run, above: Option<&Run>) -> Option<&'a str> {
    let whole = run.reason.as_deref()?;
    let told = above.and_then(|above| split_way(above.reason.as_deref()?));
    match (split_way(whole), told) {
        (Some((_, why)), Some((_, told))) if why == told => whole.strip_suffix(why)?.strip_suffix(": "),
        _ => Some(whole),
    }
}

fn branch<'a>(run: &'a Run, runs: &'a [Run], here: String, below: String, rows: &mut Vec<(String, &'a Run)>) {
    rows.push((format!("{here}{}", run.job_id), run));
    let children: Vec<&Run> = runs.iter().filter(|other| other.parent().as_ref() == Some(&run.key)).collect();
    for (index, child) in children.iter().enumerate() {
        let last = index + 1 == children.len();
        let (corner, bar) = if last { ("└─ ", "   ") } else { ("├─ ", "│  ") };
        branch(child, runs, format!("{below}{corner}"), format!("{below}{bar}"), rows);
    }
}
