//! How runs are shown to people.

use std::time::Duration;

use pumice_core::Timestamp;
use pumice_core::run::Status;
use pumice_core::text::escaped;
use pumice_service::runs::{RunShown, RunTree, Unstarted, attempt_above};
use unicode_width::UnicodeWidthStr;

use crate::args::Format;
use crate::output::{cut_middle, wrapped};

/// How long a run took, or has taken.
pub(crate) fn duration(start: Option<Timestamp>, end: Option<Timestamp>, now: Timestamp) -> Option<Duration> {
    (end.unwrap_or(now) - start?).to_std().ok()
}

/// The same of a run that is shown.
pub(crate) fn took(run: &RunShown, now: Timestamp) -> Option<Duration> {
    duration(run.ts_start.map(|at| at.0), run.ts_end.map(|at| at.0), now)
}

/// Distinguishes a run from others of its job; shown after the job's id.
pub(crate) fn label(run: &RunShown) -> String {
    run.label.as_ref().map(|label| format!(" ({label})")).unwrap_or_default()
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

/// An instant as people here read it.
pub(crate) fn local_time(at: Timestamp) -> String {
    at.with_timezone(&chrono::Local).format("%Y-%m-%d %H:%M:%S").to_string()
}

/// The widest label of a tree, in columns, unless the format is wide; and how much is left of one that stands deep.
const MAX_LABEL: usize = 44;
const LEAST_LABEL: usize = 12;
/// The columns between a label and its remark: status, time and blanks.
const BEFORE_REMARK: usize = 22;
/// The furthest that the second line of a remark is indented.
const MAX_INDENT: usize = 50;

/// The lines of a tree of runs, each parent above what it started.
pub(crate) fn tree(format: Format, tree: &RunTree, now: Timestamp) -> Vec<String> {
    let runs = &tree.runs;
    let mut rows = Vec::new();
    let is_root = |run: &&RunShown| {
        run.parent.as_ref().is_none_or(|parent| runs.iter().all(|other| other.run_key != *parent))
    };
    for root in runs.iter().filter(is_root) {
        branch(root, tree, Indent::default(), &mut rows);
    }
    if format != Format::Wide {
        for (label, _) in &mut rows {
            let begins = label.find(|c| !" │├└─".contains(c)).unwrap_or(0);
            let room = MAX_LABEL.saturating_sub(label[..begins].width()).max(LEAST_LABEL);
            *label = format!("{}{}", &label[..begins], cut_middle(&label[begins..], room));
        }
    }
    let width = rows.iter().map(|(label, _)| label.width()).max().unwrap_or(0);
    // Further lines of a remark stand below its first one, where there is room for words.
    let indent = if width + BEFORE_REMARK <= MAX_INDENT { width + BEFORE_REMARK } else { 4 };
    rows.into_iter()
        .flat_map(|(label, row)| {
            let label = format!("{label}{}", " ".repeat(width - label.width()));
            let run = match row {
                Row::Run(run) => run,
                Row::Unstarted(step) => {
                    let (status, why) = (if step.waits { "waiting" } else { "not run" }, &step.why);
                    return wrapped(format, &format!("{label}  {status:<10} {:>7}  {why}", ""), indent);
                }
            };
            let took = took(run, now).map(short).unwrap_or_default();
            let above = runs.iter().find(|other| run.parent.as_ref() == Some(&other.run_key));
            let remark = run.remark_below(above, local_time);
            wrapped(format, &format!("{label}  {} {took:>7}  {remark}", coloured(run.status, 10)), indent)
        })
        .collect()
}

/// The beginnings of a tree's lines.
#[derive(Default)]
struct Indent {
    /// The run's own line.
    here: String,
    /// The lines of what it started.
    below: String,
}

/// A line of a tree.
enum Row<'a> {
    Run(&'a RunShown),
    Unstarted(&'a Unstarted),
}

/// A run's line, those of what it started, and those of its steps that have not begun.
fn branch<'a>(run: &'a RunShown, tree: &'a RunTree, indent: Indent, rows: &mut Vec<(String, Row<'a>)>) {
    let Indent { here, below } = indent;
    rows.push((format!("{here}{}{}", escaped(run.job_id.as_str()), label(run)), Row::Run(run)));
    let mut children: Vec<&RunShown> =
        tree.runs.iter().filter(|other| other.parent.as_ref() == Some(&run.run_key)).collect();
    // Steps that run at the same time begin in any order; the runs that were dispatched follow.
    children.sort_by_key(|child| (!child.is_child(), attempt_above(&child.run_key), child.run_key.step()));
    let steps: Vec<&Unstarted> = tree.unstarted.iter().filter(|step| step.parent == run.run_key).collect();
    let all = children.len() + steps.len();
    let corners = |index: usize| if index + 1 == all { ("└─ ", "   ") } else { ("├─ ", "│  ") };
    for (index, child) in children.iter().enumerate() {
        let (corner, bar) = corners(index);
        let indent = Indent { here: format!("{below}{corner}"), below: format!("{below}{bar}") };
        branch(child, tree, indent, rows);
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
    use pumice_core::run::Run;
    use pumice_service::runs::Viewpoint;

    use super::*;

    fn run(key: RunKey, job: &str) -> Run {
        let run_id: RunId = key.run_id().unwrap();
        let about = (JobId::stored(job).unwrap(), "log".to_owned(), WorkerName::new("core").unwrap());
        Run::dispatched(key, run_id, about, Timestamp::UNIX_EPOCH, Timestamp::UNIX_EPOCH, Span::from_days(1))
    }

    /// The lines of the tree of runs.
    fn lines(runs: &[Run]) -> Vec<String> {
        let now = Timestamp::UNIX_EPOCH;
        let shown = runs.iter().map(|run| RunShown::of(run, None, Viewpoint { now, served: None }));
        tree(
            Format::Table,
            &RunTree {
                runs: shown.collect(),
                unstarted: Vec::new(),
                served: None,
                why: None,
                by: None,
                is_done: false,
            },
            now,
        )
    }

    #[test]
    fn tree_has_steps_in_their_order_whenever_they_began() {
        let root = RunKey::root("00000000-0000-0000-0000-000000000001".parse().unwrap());
        let mut own = run(RunKey::root("00000000-0000-0000-0000-000000000002".parse().unwrap()), "own");
        own.dispatched_by = Some(root.clone());
        let steps = [(2, 0, "e"), (1, 10, "d"), (1, 2, "c"), (1, 0, "b")];
        let steps = steps.map(|(attempt, step, job)| run(root.child(attempt, step), job));
        let runs = [vec![run(root.clone(), "a"), own], steps.to_vec()].concat();
        let jobs: Vec<String> = lines(&runs)
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
        let lines = lines(&[odd]).join("\n");
        let text = anstream::adapter::strip_str(&lines).to_string();
        assert_eq!(text.lines().count(), 1, "{text:?}");
        assert!(text.contains("a\\u{202e}\\x1b[2J") && text.contains("why\\n\\x07"), "{text:?}");
    }
}
