//! Jobs: a list with what starts each and how its last run ended.

use std::collections::HashMap;

use axum::response::Response;
use pumice_core::glob::literal;
use pumice_core::ids::JobId;
use pumice_core::pauses::Scope;
use pumice_core::ports::Doc;
use pumice_core::text::escaped;
use pumice_service::pauses::PauseDetails;
use pumice_service::runs::{ListRuns, list as list_runs};
use pumice_service::schedules::{ListSchedules, ScheduleRow, list as list_schedules};
use pumice_service::specs::{JobList, ListJobs, list};
use serde_json::{Value, json};

use super::now::blank;
use super::pauses::{MAX_PAUSES, shown};
use super::{Head, render};
use crate::answer::Fault;
use crate::ask::Ask;
use crate::view::{RunRow, counted, job_link, link};

/// Most jobs of a page.
const SHOWN: usize = 50;

/// The page.
pub(crate) async fn show(ask: Ask) -> Result<Response, Fault> {
    let clock = ask.clock().await?;
    let pattern = ask.query.get("pattern");
    let wanted = ask.query.get("where");
    let request = ListJobs { pattern: pattern.map(str::to_owned), filter: wanted.map(str::to_owned) };
    // A fault of the filter is shown where it can be corrected.
    let (found, trouble) = match list(ask.realm(), &request).await {
        Ok(found) => (found, None),
        Err(error) if error.kind().is_of_request() => {
            (JobList { jobs: Vec::new(), all: 0, unread: Vec::new() }, Some(Fault::of(&error)))
        }
        Err(error) => return Err(error.into()),
    };
    let after = ask.query.get("after").unwrap_or_default();
    let id_of = |job: &Doc| job.get("job_id").and_then(Value::as_str).unwrap_or_default().to_owned();
    let rest: Vec<&Doc> = found.jobs.iter().filter(|job| id_of(job).as_str() > after).collect();
    let words = schedules(&ask).await?;
    let unread: HashMap<&str, &str> =
        found.unread.iter().map(|one| (one.job_id.as_str(), one.trouble.as_str())).collect();
    let ids: Vec<JobId> = rest.iter().take(SHOWN).filter_map(|job| JobId::stored(id_of(job)).ok()).collect();
    let clocks = ask.clocks(ids.iter()).await?;
    let mut rows = Vec::new();
    for job in rest.iter().take(SHOWN) {
        let id = id_of(job);
        // A list of all jobs' last runs costs a query each, which is paid for on AWS.
        let last = if ask.realm().is_aws() { None } else { last(&ask, &id).await? };
        let text = |name: &str| job.get(name).and_then(Value::as_str).map(|text| escaped(text).into_owned());
        rows.push(json!({
            "id": escaped(&id), "href": job_link(&id), "type": text("type"), "worker": text("worker"),
            "enabled": enabled(job), "description": text("description"), "owner": text("owner"),
            "schedules": words.get(&id).cloned().unwrap_or_default(),
            "last": last.map(|run| RunRow::of(&run, clocks.of(&run.job_id), 8)),
            "trouble": unread.get(id.as_str()),
        }));
    }
    let end = rest.get(SHOWN - 1).filter(|_| rest.len() > SHOWN).map(|job| id_of(job));
    let filter: Vec<(&str, &str)> = [("where", wanted), ("pattern", pattern)]
        .into_iter()
        .filter_map(|(name, value)| Some((name, value?)))
        .collect();
    let pauses = ask.realm().runs().pauses().await?;
    let pauses = pauses.live(clock.now).filter(|pause| matches!(pause.scope, Scope::Job(_)));
    let pauses: Vec<Value> =
        pauses.take(MAX_PAUSES).map(|pause| shown(&PauseDetails::from(pause), &clock)).collect();
    let own = json!({
        "pauses": pauses,
        "rows": rows,
        "summary": if trouble.is_some() { String::new() }
            else if found.jobs.len() == found.all { counted(found.all, "job") }
            else { format!("{} of {}", found.jobs.len(), counted(found.all, "job")) },
        "pattern": pattern,
        "where": wanted,
        "trouble": trouble.as_ref().map(|fault| &fault.message),
        "next": end.map(|id| link("/jobs", &[filter.as_slice(), &[("after", id.as_str())]].concat())),
        "first": (!after.is_empty()).then(|| link("/jobs", &filter)),
        "has_last": !ask.realm().is_aws(),
        "is_empty": found.all == 0,
    });
    let words: Vec<&str> = ["jobs", "list"].into_iter().chain(pattern).collect();
    let command = ask.words(&words).option("--where", wanted);
    let mut response = render(&ask, "jobs.html", Head::new("Jobs", "jobs", &command), own).await?;
    if let Some(fault) = trouble {
        *response.status_mut() = fault.status;
    }
    Ok(response)
}

/// Whether a job may run: as a template decides, `by template`.
pub(super) fn enabled(job: &Doc) -> &'static str {
    match job.get("enabled") {
        Some(Value::Bool(true)) => "enabled",
        Some(Value::String(text)) if text.trim().eq_ignore_ascii_case("true") => "enabled",
        Some(Value::String(text)) if text.contains("{{") || text.contains("{%") => "by template",
        _ => "disabled",
    }
}

/// The last run of a job.
async fn last(ask: &Ask, id: &str) -> Result<Option<pumice_service::runs::RunShown>, Fault> {
    let request = ListRuns { job: Some(literal(id)), limit: 1, ..blank() };
    Ok(list_runs(ask.realm(), &request).await?.runs.pop())
}

/// The meaning of each schedule in words, by job.
async fn schedules(ask: &Ask) -> Result<HashMap<String, Vec<Value>>, Fault> {
    let mut words: HashMap<String, Vec<Value>> = HashMap::new();
    for row in list_schedules(ask.realm(), &ListSchedules::default()).await?.schedules {
        if let ScheduleRow::Entry(entry) = row {
            let text = entry.what.clone().unwrap_or_else(|| entry.trouble.clone().unwrap_or_default());
            words
                .entry(entry.job_id.to_string())
                .or_default()
                .push(json!({ "text": text, "state": entry.state }));
        }
    }
    Ok(words)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn enabled_says_what_the_spec_says() {
        for (value, word) in [
            (json!(true), "enabled"),
            (json!(false), "disabled"),
            (json!(null), "disabled"),
            (json!(" True "), "enabled"),
            (json!("{{ globals.on }}"), "by template"),
            (json!("no"), "disabled"),
        ] {
            assert_eq!(enabled(&Doc::from_iter([("enabled".to_owned(), value.clone())])), word, "{value}");
        }
        assert_eq!(enabled(&Doc::new()), "disabled");
    }
}
