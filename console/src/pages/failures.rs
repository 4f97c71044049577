//! Failures by cause: what failed lately, grouped by what their reasons have in common, and a way to do a group again.

use axum::response::Response;
use pumice_core::filter::Filter;
use pumice_core::spec::Timezone;
use pumice_core::text::escaped;
use pumice_service::runs::{FailureGroup, FailureList, ListFailures, failures};
use pumice_service::specs::FieldChange;
use serde_json::{Value, json};

use super::{Head, render};
use crate::access::Role;
use crate::answer::Fault;
use crate::ask::Ask;
use crate::view::{Clock, counted, job_link, link, run_link};

/// Most groups of a page.
const SHOWN: usize = 20;
/// Most differences of a group that are shown.
pub(super) const MAX_CHANGES: usize = 6;
/// Longest heading of a group, in characters.
const MAX_HEADLINE: usize = 90;
/// Longest value of a difference, in characters.
const MAX_VALUE: usize = 120;

/// The page.
pub(crate) async fn show(ask: Ask) -> Result<Response, Fault> {
    let clock = ask.clock_of_list(&ask.query).await?;
    if let Some(place) = ask.with_offsets(clock.zone, Filter::with_offsets) {
        return Ok(place);
    }
    let filter = ask.query.get("where").map(str::to_owned);
    let request = ListFailures { filter: filter.clone(), zone: Some(Timezone(clock.zone)), limit: SHOWN };
    // A fault of the filter is shown where it can be corrected.
    let (found, trouble) = match failures(ask.realm(), &request).await {
        Ok(found) => (Some(found), None),
        Err(error) if error.kind().is_of_request() => (None, Some(error.message().to_owned())),
        Err(error) => return Err(error.into()),
    };
    let groups: Vec<Value> =
        found.iter().flat_map(|found| found.groups.iter().map(|group| shown(group, found, &clock))).collect();
    let own = json!({
        "where": filter,
        "terms": found.as_ref().map(|found| &found.filter),
        "summary": found.as_ref().map(|found| counted(usize::try_from(found.runs).unwrap_or(usize::MAX), "run")),
        "open": found.as_ref().map(|found| found.open),
        "is_cut": found.as_ref().is_some_and(|found| found.is_cut),
        "more": found.as_ref().map_or(0, |found| found.more_groups),
        "note": found.as_ref().and_then(|found| found.note.clone()),
        "groups": groups,
        "trouble": trouble,
        "may_act": !ask.app.is_read_only && ask.caller.role >= Role::Operator,
    });
    let command = ask.words(&["failures"]).option("--where", filter.as_deref());
    render(&ask, "failures.html", Head::new("Failures by cause", "failures", &command).by(&clock), own).await
}

fn shown(group: &FailureGroup, found: &FailureList, clock: &Clock) -> Value {
    let terms = format!("{} fingerprint:{}", found.filter, group.fingerprint);
    let jobs = group.jobs.iter().map(|job| {
        json!({ "job": escaped(job.job_id.as_str()), "href": job_link(job.job_id.as_str()), "count": job.count })
    });
    let changes = group
        .spec
        .iter()
        .map(|change| ("spec", change))
        .chain(group.input.iter().map(|change| ("input", change)));
    let all: Vec<Value> = changes.map(|(what, change)| difference(what, change)).collect();
    json!({
        "fingerprint": group.fingerprint,
        "reason": escaped(&group.reason),
        "headline": headline(&group.reason),
        "count": group.count,
        "open": group.open,
        "jobs": jobs.collect::<Vec<_>>(),
        "more_jobs": group.more_jobs,
        "first": clock.moment(group.first.0),
        "last": clock.moment(group.last.0),
        "example": group.example.as_str(),
        "example_href": run_link(group.example.as_str()),
        "example_job": escaped(group.example_job.as_str()),
        "example_reason": group.example_reason.as_deref().map(escaped),
        "success": group.success.as_ref().map(|run| json!({ "run": run.as_str(), "href": run_link(run.as_str()) })),
        "more_changes": all.len().saturating_sub(MAX_CHANGES),
        "changes": all.into_iter().take(MAX_CHANGES).collect::<Vec<_>>(),
        "runs_href": link("/runs", &[("where", &terms)]),
        "retry_href": link("/runs/many", &[("act", "retry"), ("where", &terms)]),
    })
}

/// The first words of a reason.
fn headline(reason: &str) -> String {
    let line = reason.lines().find(|line| !line.trim().is_empty()).unwrap_or("No reason was recorded").trim();
    let short: String = line.chars().take(MAX_HEADLINE).collect();
    let mark = if short.len() < line.len() { "…" } else { "" };
    format!("{}{mark}", escaped(&short))
}

pub(super) fn difference(what: &str, change: &FieldChange) -> Value {
    let value = |value: &Option<Value>| match value {
        None => "nothing".to_owned(),
        Some(value) => {
            let text = value.to_string();
            let short: String = text.chars().take(MAX_VALUE).collect();
            let mark = if short.len() < text.len() { "…" } else { "" };
            format!("{}{mark}", escaped(&short))
        }
    };
    json!({ "what": what, "field": escaped(&change.field), "before": value(&change.before), "after": value(&change.after) })
}
