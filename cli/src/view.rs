//! How runs are shown.

use std::borrow::Cow;
use std::time::Duration;

use pumice_core::Timestamp;
use pumice_core::clock::utc;
use pumice_core::message::{iso, iso_naive};
use pumice_core::run::reason::split_way;
use pumice_core::run::{NEVER, Run, RunEvent, Status, Trigger};
use pumice_core::spec::RunSpec;
use pumice_core::text::escaped;
use serde_json::{Value, json};
use unicode_width::UnicodeWidthStr;

use crate::labels::{Labels, attempt_above};
use crate::unstarted::Unstarted;

/// How long a claim may have run out before the one that made it counts as gone, for clocks that differ.
const GONE_AFTER: chrono::TimeDelta = chrono::TimeDelta::minutes(1);

/// What runs are seen by.
#[derive(Clone, Debug)]
pub(crate) struct Seen {
    /// The time.
    pub(crate) now: Timestamp,
    /// Whether something runs the realm's jobs; `None` where that cannot be told.
    pub(crate) served: Option<bool>,
    /// What tells steps apart.
    pub(crate) labels: Labels,
    /// Steps that have no record.
    pub(crate) unstarted: Vec<Unstarted>,
}

/// Why a run did not end well. One that was cancelled while its worker was lost had begun all the same.
fn reason(run: &Run) -> Option<Cow<'_, str>> {
    let reason = run.reason.as_deref()?;
    if reason == "cancelled before it ran" && run.ts_start.is_some() {
        return Some(Cow::Borrowed("cancelled after its worker was lost"));
    }
    Some(Cow::Borrowed(reason))
}

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
        "trigger": run.trigger(),
        "status": run.status,
        "reason": reason(run),
        "iteration": run.attempt,
        "foreach_index": run.foreach_index,
        "worker": run.worker,
        "hostname": run.hostname,
        "ts_dispatch": iso(run.ts_dispatch),
        "not_before": iso(run.not_before),
        "ts_start": run.ts_start.map(iso),
        "ts_end": run.ts_end.map(iso),
        "ts_event": iso(last),
        "tu_event": iso_naive(last),
        "ttl": (run.expires != NEVER).then(|| run.expires.timestamp()),
        "payload": payload,
        "parameters": parameters,
        "result": run.result,
        "log": run.events().map(|event| event_json(&event)).collect::<Vec<_>>(),
    });
    if let Some(scheduled) = &run.scheduled {
        shown["schedule"] = json!({
            "entry": scheduled.entry,
            "slot": iso(scheduled.slot),
            "zone": scheduled.zone,
            "previous": scheduled.previous.map(iso),
            "backfill": scheduled.backfill,
        });
    }
    if let Some(late) = &run.late {
        shown["late"] = json!({
            "limit": late.limit, "entry": late.entry, "by": utc(late.by), "slot": late.slot.map(utc),
            "run_id": late.run_id, "status": late.status, "why": late.why,
        });
    }
    let notes = notes(run);
    if !notes.is_empty() {
        shown["notes"] = json!(notes);
    }
    shown
}

/// What started a run.
pub(crate) fn trigger_line(run: &Run) -> String {
    match run.trigger() {
        Trigger::Caller => "triggered by a caller".to_owned(),
        Trigger::Run { run: Some(by) } => format!("triggered by run {by}"),
        Trigger::Run { run: None } => "triggered by a run of lava's".to_owned(),
        Trigger::Event { event } => format!("triggered by event {event}"),
        Trigger::Schedule { entry, slot, backfill } => {
            let slot = slot.map(|slot| format!(" for the slot {}", utc(slot))).unwrap_or_default();
            let by = backfill.map(|id| format!(", by backfill {id}")).unwrap_or_default();
            format!("triggered by the schedule{slot} of entry {entry}{by}")
        }
    }
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

/// An instant in few characters: of today the time, of another day no year and no seconds.
pub(crate) fn short_time(at: Timestamp, now: Timestamp) -> String {
    let local = |at: Timestamp| at.with_timezone(&chrono::Local);
    let today = local(at).date_naive() == local(now).date_naive();
    local(at).format(if today { "%H:%M:%S" } else { "%m-%d %H:%M" }).to_string()
}

/// A status in its colour.
pub(crate) fn coloured(status: Status, width: usize) -> String {
    let style = style(status);
    format!("{style}{status:<width$}{style:#}")
}

/// What a run has to say for itself in one line.
pub(crate) fn remark(run: &Run, seen: &Seen) -> String {
    remark_with(run, reason(run), seen)
}

fn remark_with(run: &Run, reason: Option<Cow<'_, str>>, seen: &Seen) -> String {
    let failed_actions = run.log.entries.iter().filter(|entry| entry.status == Status::ActionFailed).count();
    let mut parts = Vec::new();
    if run.attempt > 1 {
        parts.push(format!("attempt {} of {}", run.attempt, run.retry.limit));
    }
    parts.extend(starts(run, seen.now).map(|at| format!("starts {}", local_time(at))));
    parts.extend(reason.map(|reason| escaped(&reason).into_owned()));
    parts.extend(
        run.late.as_ref().map(|late| format!("alert: {}: {}", late.limit.field(), escaped(&late.why))),
    );
    parts.extend(waits(run));
    if is_orphan(run, seen) {
        parts.push("its server is gone".to_owned());
    }
    if failed_actions > 0 {
        parts.push(format!("{failed_actions} action{} failed", if failed_actions == 1 { "" } else { "s" }));
    }
    parts.join("; ")
}

/// What a run waits for.
fn waits(run: &Run) -> Option<String> {
    if run.status != Status::Waiting {
        return None;
    }
    let last = run.log.entries.iter().rev().find(|entry| entry.status == Status::Waiting)?;
    last.info.as_str().map(|info| format!("waits: {}", escaped(info)))
}

/// Whether the one that runs something is gone, and nothing has taken it up yet.
pub(crate) fn is_orphan(run: &Run, seen: &Seen) -> bool {
    let held = |run: &Run| run.lease.as_ref().filter(|_| !run.status.is_end()).map(|lease| lease.until);
    held(run).is_some_and(|until| seen.served == Some(false) || until + GONE_AFTER < seen.now)
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
pub(crate) fn tree(runs: &[Run], seen: &Seen) -> Vec<String> {
    let mut rows = Vec::new();
    let roots = runs
        .iter()
        .filter(|run| run.parent().is_none_or(|parent| runs.iter().all(|other| other.key != parent)));
    for root in roots {
        branch(root, runs, seen, Indent::default(), &mut rows);
    }
    let width = rows.iter().map(|(label, _)| label.width()).max().unwrap_or(0);
    rows.into_iter()
        .map(|(label, row)| {
            let label = format!("{label}{}", " ".repeat(width - label.width()));
            let run = match row {
                Row::Run(run) => run,
                Row::Unstarted(step) => {
                    let (status, why) = (if step.waits { "waiting" } else { "not run" }, &step.why);
                    return format!("{label}  {status:<10} {:>7}  {why}", "").trim_end().to_owned();
                }
            };
            let took = duration(run, seen.now).map(short).unwrap_or_default();
            let above = runs.iter().find(|other| run.parent().as_ref() == Some(&other.key));
            let remark = remark_with(run, reason_below(run, above), seen);
            let line = format!("{label}  {} {took:>7}  {remark}", coloured(run.status, 10));
            line.trim_end().to_owned()
        })
        .collect()
}

/// Why a run failed, as it is shown below another. Where both failed by the same step, the one above
/// tells why, and so does the step; between them the way to it is enough.
fn reason_below<'a>(run: &'a Run, above: Option<&Run>) -> Option<Cow<'a, str>> {
    let whole = run.reason.as_deref()?;
    let told = above.and_then(|above| split_way(above.reason.as_deref()?));
    match (split_way(whole), told) {
        (Some((_, why)), Some((_, told))) if why == told => {
            whole.strip_suffix(why)?.strip_suffix(": ").map(Cow::Borrowed)
        }
        _ => reason(run),
    }
}

/// What lines of a tree begin with.
#[derive(Default)]
struct Indent {
    /// The run's own line.
    here: String,
    /// The lines of what it started.
    below: String,
}

/// A line of a tree.
enum Row<'a> {
    Run(&'a Run),
    Unstarted(&'a Unstarted),
}

/// A run's line, those of what it started, and those of its steps that have not begun.
fn branch<'a>(
    run: &'a Run,
    runs: &'a [Run],
    seen: &'a Seen,
    indent: Indent,
    rows: &mut Vec<(String, Row<'a>)>,
) {
    let Indent { here, below } = indent;
    let label = seen.labels.get(&run.key).map(String::as_str).unwrap_or_default();
    rows.push((format!("{here}{}{label}", escaped(run.job_id.as_str())), Row::Run(run)));
    let mut children: Vec<&Run> =
        runs.iter().filter(|other| other.parent().as_ref() == Some(&run.key)).collect();
    // Steps that run at the same time begin in any order; what was dispatched follows.
    children.sort_by_key(|child| (!child.is_child(), attempt_above(&child.key), child.key.step()));
    let steps: Vec<&Unstarted> = seen.unstarted.iter().filter(|step| step.parent == run.key).collect();
    let all = children.len() + steps.len();
    let corners = |index: usize| if index + 1 == all { ("└─ ", "   ") } else { ("├─ ", "│  ") };
    for (index, child) in children.iter().enumerate() {
        let (corner, bar) = corners(index);
        let indent = Indent { here: format!("{below}{corner}"), below: format!("{below}{bar}") };
        branch(child, runs, seen, indent, rows);
    }
    for (index, step) in steps.into_iter().enumerate() {
        let (corner, _) = corners(children.len() + index);
        rows.push((format!("{below}{corner}{}", step.label), Row::Unstarted(step)));
    }
}

#[cfg(test)]
mod tests {
    use pumice_core::duration::Span;
    use pumice_core::ids::{JobId, RunId, RunKey, WorkerName};

    use super::*;

    fn run(key: RunKey, job: &str) -> Run {
        let run_id: RunId = key.run_id().unwrap();
        let about = (JobId::stored(job).unwrap(), "log".to_owned(), WorkerName::new("core").unwrap());
        Run::dispatched(key, run_id, about, Timestamp::UNIX_EPOCH, Timestamp::UNIX_EPOCH, Span::from_days(1))
    }

    fn seen() -> Seen {
        Seen { now: Timestamp::UNIX_EPOCH, served: None, labels: Labels::new(), unstarted: Vec::new() }
    }

    #[test]
    fn tree_has_steps_in_their_order_whenever_they_began() {
        let root = RunKey::root("00000000-0000-0000-0000-000000000001".parse().unwrap());
        let mut own = run(RunKey::root("00000000-0000-0000-0000-000000000002".parse().unwrap()), "own");
        own.dispatched_by = Some(root.clone());
        let steps = [(2, 0, "e"), (1, 10, "d"), (1, 2, "c"), (1, 0, "b")];
        let steps = steps.map(|(attempt, step, job)| run(root.child(attempt, step), job));
        let runs = [vec![run(root.clone(), "a"), own], steps.to_vec()].concat();
        let jobs: Vec<String> = tree(&runs, &seen())
            .iter()
            .filter_map(|line| {
                line.trim_start_matches(['├', '└', '─', ' ']).split(' ').next().map(str::to_owned)
            })
            .collect();
        assert_eq!(jobs, ["a", "b", "c", "d", "e", "own"]);
    }

    #[test]
    fn run_shows_nothing_that_acts_on_a_terminal() {
        let mut odd =
            run(RunKey::root("00000000-0000-0000-0000-000000000001".parse().unwrap()), "a\u{202e}\u{1b}[2J");
        odd.reason = Some("why\n\u{7}".to_owned());
        let lines = tree(&[odd], &seen()).join("\n");
        let text = anstream::adapter::strip_str(&lines).to_string();
        assert_eq!(text.lines().count(), 1, "{text:?}");
        assert!(text.contains("a\\u{202e}\\x1b[2J") && text.contains("why\\n\\x07"), "{text:?}");
    }

    #[test]
    fn run_whose_claim_ran_out_is_an_orphan() {
        let mut held = run(RunKey::root("00000000-0000-0000-0000-000000000001".parse().unwrap()), "a");
        held.status = Status::Running;
        let until = Timestamp::UNIX_EPOCH + chrono::TimeDelta::minutes(5);
        held.lease = Some(pumice_core::run::Lease { owner: pumice_core::run::Worker("w".to_owned()), until });
        for (minutes, served, orphan) in [
            (0, None, false),
            (5, None, false),
            (7, None, true),
            (0, Some(false), true),
            (0, Some(true), false),
        ] {
            let seen =
                Seen { now: Timestamp::UNIX_EPOCH + chrono::TimeDelta::minutes(minutes), served, ..seen() };
            assert_eq!(is_orphan(&held, &seen), orphan, "{minutes} {served:?}");
        }
    }
}
