//! `failures`: which runs failed lately, by cause.

use pumice_core::text::escaped;
use pumice_service::Instant;
use pumice_service::runs::{self, FailureGroup, FailureList, ListFailures, ManyRuns, RetryMany, of_cause};

use crate::args::{Failures, Format, Global};
use crate::commands::instant;
use crate::commands::runs::{changed, print_done, retry_all};
use crate::failure::Failure;
use crate::output::{note, print, wrapped};
use crate::target::Target;
use crate::view;

/// Most differences of a group that are shown to a person.
const MAX_CHANGES: usize = 5;

/// Lists failures by cause, or does those of one again.
pub(super) async fn failures(global: &Global, options: Failures) -> Result<(), Failure> {
    let since = options.since.map(|since| format!(" since:{since}")).unwrap_or_default();
    let filter = format!("{}{since}", options.filter.as_deref().unwrap_or_default());
    let Some(fingerprint) = &options.retry else {
        let realm = Target::open_to_read(global).await?;
        let request = ListFailures { filter: Some(filter), zone: None, limit: options.limit };
        let found = realm.ask(runs::failures, &request).await?;
        print(global.output, &found, || lines(global.output, &found))?;
        note(global, &found.note.iter().cloned().collect::<Vec<_>>());
        return Ok(());
    };
    let realm = Target::open(global, false).await?;
    let before = match &options.before {
        Some(text) => Some(Instant(instant("--before", text, realm.zone().await?)?)),
        None => None,
    };
    let (expect, dry_run) = (options.expect.clone(), options.dry_run);
    let runs = ManyRuns { filter, zone: None, expect, before, dry_run, why: None };
    let request = RetryMany { runs, all: options.all, spec: options.spec, ..RetryMany::default() };
    let request = of_cause(fingerprint, &request)?;
    let done = retry_all(global, &realm, &request).await?;
    if done.count == 0 {
        let filter = escaped(&done.filter);
        return Err(Failure::wrong(format!(
            "no run failed for the cause {fingerprint}: none is meant by {filter}"
        )));
    }
    print_done(global, &done, "retry")
}

fn lines(format: Format, found: &FailureList) -> Vec<String> {
    if found.runs == 0 {
        return vec![format!("no run failed that is meant by {}", escaped(&found.filter))];
    }
    let mut lines = Vec::new();
    for group in &found.groups {
        lines.extend(block(group).iter().flat_map(|line| wrapped(format, line, 4)));
        lines.push(String::new());
    }
    if found.more_groups > 0 {
        let causes = if found.more_groups == 1 { "cause" } else { "causes" };
        lines.push(format!("and {} more {causes}: --limit shows them", found.more_groups));
    }
    let cut = if found.is_cut { ", and older ones that were not looked at" } else { "" };
    let open = still_open(found.runs, found.open);
    let runs = if found.runs == 1 { "run" } else { "runs" };
    lines.push(format!("{} {runs} failed{cut}, {open}: {}", found.runs, escaped(&found.filter)));
    lines
}

/// How many of these runs have not been done again, in words.
fn still_open(runs: u64, open: u64) -> String {
    match open {
        0 => "done again".to_owned(),
        open if open == runs => "not done again".to_owned(),
        open => format!("{open} not done again"),
    }
}

fn block(group: &FailureGroup) -> Vec<String> {
    let style = view::style(pumice_core::run::Status::Failed);
    let times = if group.first == group.last {
        format!("at {}", view::local_time(group.last.0))
    } else {
        format!("from {} to {}", view::local_time(group.first.0), view::local_time(group.last.0))
    };
    let runs = if group.count == 1 { "run" } else { "runs" };
    let reason = if group.reason.is_empty() { "(no reason was recorded)" } else { &group.reason };
    let mut jobs: Vec<String> =
        group.jobs.iter().map(|job| format!("{} ({})", escaped(job.job_id.as_str()), job.count)).collect();
    jobs.extend((group.more_jobs > 0).then(|| format!("{} more jobs", group.more_jobs)));
    let mut lines = vec![
        format!(
            "{style}{}{style:#}  {} {runs}, {}, {times}",
            group.fingerprint,
            group.count,
            still_open(group.count, group.open)
        ),
        format!("  {}", escaped(reason)),
        format!("  of {}", jobs.join(", ")),
        format!("  the last: {}", group.example),
    ];
    let Some(success) = &group.success else { return lines };
    let changes: Vec<String> = group
        .spec
        .iter()
        .map(|change| changed("the spec's", change))
        .chain(group.input.iter().map(|change| changed("the input's", change)))
        .collect();
    let more = changes.len().saturating_sub(MAX_CHANGES);
    if changes.is_empty() {
        lines.push(format!("  spec and input as in {success}, which ended well"));
    } else {
        lines.push(format!("  since {success}, which ended well:"));
        lines.extend(changes.into_iter().take(MAX_CHANGES).map(|change| format!("    {change}")));
        lines.extend((more > 0).then(|| format!("    and {more} more")));
    }
    lines
}
