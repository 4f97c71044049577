//! Figures by job.

use std::time::Duration;

use axum::response::Response;
use pumice_core::filter::Filter;
use pumice_core::spec::Timezone;
use pumice_core::text::escaped;
use pumice_service::stats::cost::{Cost, CostBasis};
use pumice_service::stats::{AskStats, JobFigures, stats};
use serde_json::{Value, json};

use super::{Head, render};
use crate::answer::Fault;
use crate::ask::Ask;
use crate::view::{job_link, link, short};

/// Most jobs of a page.
const SHOWN: usize = 100;

/// The page.
pub(crate) async fn show(ask: Ask) -> Result<Response, Fault> {
    let clock = ask.clock_of_list(&ask.query).await?;
    if let Some(place) = ask.with_offsets(clock.zone, Filter::with_offsets) {
        return Ok(place);
    }
    let filter = ask.query.get("where").map(str::to_owned);
    let request = AskStats { filter: filter.clone(), zone: Some(Timezone(clock.zone)), limit: SHOWN };
    let (found, trouble) = match stats(ask.realm(), &request).await {
        Ok(found) => (Some(found), None),
        Err(error) if error.kind().is_of_request() => (None, Some(error.message().to_owned())),
        Err(error) => return Err(error.into()),
    };
    let rows: Vec<Value> = found
        .iter()
        .flat_map(|found| &found.jobs)
        .map(|job| {
            let id = job.job_id.as_str();
            json!({ "job": escaped(id), "href": job_link(id), "now": figures(&job.figures),
                "cost": job.cost.map(Cost::dollars), "before": job.before.as_ref().map(figures) })
        })
        .collect();
    let own = json!({
        "where": filter,
        "trouble": trouble,
        "rows": rows,
        "all": found.as_ref().map(|found| figures(&found.all)),
        "cost": found.as_ref().and_then(|found| found.cost).map(Cost::dollars),
        "cost_basis": found.as_ref().and_then(|found| found.cost_basis.as_ref()).map(basis),
        "cost_note": found.as_ref().and_then(|found| found.cost_note.clone()),
        "terms": found.as_ref().map(|found| &found.filter),
        "from": found.as_ref().map(|found| clock.moment(found.looked_from.0)),
        "to": found.as_ref().map(|found| clock.moment(found.until.0)),
        "is_cut": found.as_ref().is_some_and(|found| found.is_cut),
        "looked_at": found.as_ref().map(|found| found.looked_at),
        "more": found.as_ref().map_or(0, |found| found.more_jobs),
        "note": found.as_ref().and_then(|found| found.note.clone()),
        "failures_href": link("/failures", &filter.as_deref().map(|filter| ("where", filter)).into_iter().collect::<Vec<_>>()),
    });
    let command = ask.words(&["stats"]).option("--where", filter.as_deref());
    render(&ask, "stats.html", Head::new("Figures by job", "stats", &command).by(&clock), own).await
}

/// The basis of the estimates, in a sentence.
fn basis(basis: &CostBasis) -> String {
    let region = basis.region.as_ref().map(|region| format!(" (the realm is in {region})"));
    format!(
        "Costs are estimates in {} by the list prices of {} in {}{}, for workers of {} MB; without {}.",
        basis.currency,
        basis.prices_of,
        basis.prices_from,
        region.unwrap_or_default(),
        basis.worker_mb,
        basis.left_out
    )
}

fn figures(figures: &JobFigures) -> Value {
    let time = |ms: Option<u64>| ms.map_or_else(|| "–".to_owned(), |ms| short(Duration::from_millis(ms)));
    let share = figures.failures_per_mille.map(|share| format!("{}.{} %", share / 10, share % 10));
    json!({ "runs": figures.runs, "failed": figures.failed, "share": share, "open": figures.open,
        "p50": time(figures.took_p50_ms), "p95": time(figures.took_p95_ms),
        "wait50": time(figures.waited_p50_ms), "wait95": time(figures.waited_p95_ms) })
}
