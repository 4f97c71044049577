//! `stats`: figures by job.

use std::time::Duration;

use pumice_core::text::escaped;
use pumice_service::stats::cost::Cost;
use pumice_service::stats::{self, AskStats, JobFigures, JobStats, Stats as Found};

use crate::args::{Format, Global, Stats};
use crate::failure::Failure;
use crate::output::{Column, columns, note, print};
use crate::target::Target;
use crate::view;

/// The column of the cost.
const COST: usize = 6;
/// How much of a change of times is worth an arrow, in hundredths.
const NOTABLE: u64 = 20;

/// Shows figures by job.
pub(super) async fn stats(global: &Global, options: Stats) -> Result<(), Failure> {
    let realm = Target::open_to_read(global).await?;
    let since = options.since.map(|since| format!(" since:{since}")).unwrap_or_default();
    let filter = format!("{}{since}", options.filter.unwrap_or_default());
    let request = AskStats { filter: Some(filter), zone: None, limit: options.limit };
    let found = realm.ask(stats::stats, &request).await?;
    print(global.output, &found, || lines(global.output, &found))?;
    let mut notes: Vec<String> = found.note.iter().cloned().collect();
    if found.is_cut {
        let from = view::local_time(found.looked_from.0);
        notes.push(format!(
            "{} records were looked at: the figures are of the runs since {from}",
            found.looked_at
        ));
    }
    if found.before_is_cut {
        notes.push("of the window before only the newest records were looked at".to_owned());
    }
    if let Some(basis) = &found.cost_basis {
        notes.push(format!(
            "COST is an estimate in {} by the list prices of {} in {}{}, for workers of {} MB; without {}",
            basis.currency,
            basis.prices_of,
            basis.prices_from,
            basis.region.as_ref().map(|region| format!(" (the realm is in {region})")).unwrap_or_default(),
            basis.worker_mb,
            basis.left_out
        ));
        notes.extend(found.cost_note.clone());
    }
    note(global, &notes);
    Ok(())
}

fn lines(format: Format, found: &Found) -> Vec<String> {
    if found.jobs.is_empty() && found.more_jobs == 0 {
        return vec![format!("no runs are meant by {}", escaped(&found.filter))];
    }
    let mut heading = vec![
        Column::Path("JOB", 12),
        Column::Whole("RUNS"),
        Column::Whole("FAILED"),
        Column::Whole("p50"),
        Column::Whole("p95"),
        Column::Whole("WAIT p95"),
        Column::Whole("COST"),
        Column::Text("TREND", 12),
    ];
    let mut rows: Vec<Vec<String>> = found.jobs.iter().map(row).collect();
    if found.jobs.len() + found.more_jobs > 1 {
        rows.push(cells("(all)".to_owned(), &found.all, found.cost, String::new()));
    }
    if found.cost.is_none() {
        heading.remove(COST);
        rows.iter_mut().for_each(|row| drop(row.remove(COST)));
    }
    let mut lines = columns(format, &heading, &rows);
    if found.more_jobs > 0 {
        lines.push(format!("and {} more jobs: --limit shows them", found.more_jobs));
    }
    lines
}

fn row(job: &JobStats) -> Vec<String> {
    let (name, trend) = (escaped(job.job_id.as_str()).into_owned(), trend(&job.figures, job.before.as_ref()));
    cells(name, &job.figures, job.cost, trend)
}

fn cells(name: String, figures: &JobFigures, cost: Option<Cost>, trend: String) -> Vec<String> {
    let time = |ms: Option<u64>| ms.map(|ms| view::short(Duration::from_millis(ms))).unwrap_or_default();
    let failed = match (figures.failed, figures.failures_per_mille) {
        (0, _) => String::new(),
        (failed, Some(share)) => format!("{failed} ({}.{} %)", share / 10, share % 10),
        (failed, None) => failed.to_string(),
    };
    vec![
        name,
        figures.runs.to_string(),
        failed,
        time(figures.took_p50_ms),
        time(figures.took_p95_ms),
        time(figures.waited_p95_ms),
        cost.map(|cost| format!("${}", cost.dollars())).unwrap_or_default(),
        trend,
    ]
}

/// How the figures compare with those of the window before, where that is worth a word.
fn trend(now: &JobFigures, before: Option<&JobFigures>) -> String {
    let Some(before) = before else { return "new".to_owned() };
    let mut parts = Vec::new();
    if let (Some(now), Some(before)) = (now.failures_per_mille, before.failures_per_mille) {
        let tenths = |share: u64| format!("{}.{} %", share / 10, share % 10);
        match now.cmp(&before) {
            std::cmp::Ordering::Greater => parts.push(format!("more failures (was {})", tenths(before))),
            std::cmp::Ordering::Less => parts.push(format!("fewer failures (was {})", tenths(before))),
            std::cmp::Ordering::Equal => {}
        }
    }
    if let (Some(now), Some(before)) = (now.took_p50_ms, before.took_p50_ms) {
        let share = (now.abs_diff(before) * 100).checked_div(before.max(1)).unwrap_or(0);
        // A few milliseconds are chance.
        if share >= NOTABLE && now.abs_diff(before) >= 10 {
            let word = if now > before { "slower" } else { "faster" };
            parts.push(format!("{word} (was {})", view::short(Duration::from_millis(before))));
        }
    }
    parts.join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn trend_says_what_is_worth_a_word() {
        let figures = |failures, took| JobFigures {
            failures_per_mille: Some(failures),
            took_p50_ms: Some(took),
            ..JobFigures::default()
        };
        for (now, before, expected) in [
            (figures(0, 100), Some(figures(0, 110)), ""),
            (figures(25, 100), Some(figures(0, 100)), "more failures (was 0.0 %)"),
            (figures(0, 5_000), Some(figures(125, 1_000)), "fewer failures (was 12.5 %), slower (was 1.0s)"),
            (figures(0, 1), Some(figures(0, 5)), ""),
            (figures(0, 100), Some(figures(0, 0)), "slower (was 0ms)"),
            (JobFigures::default(), Some(figures(0, 9)), ""),
            (figures(0, 1), None, "new"),
        ] {
            assert_eq!(trend(&now, before.as_ref()), expected);
        }
    }
}
