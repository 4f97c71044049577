//! Whether attempts cannot begin for a fault of the host: they go back uncounted, and fail no run.

use pumice_core::filter::{Filter, Wanted};
use pumice_core::ports::{Order, RunQuery};
use pumice_core::run::{CANNOT_BEGIN, Run, Status};
use pumice_core::text::{counted, shown};

use super::Check;
use crate::failure::Error;
use crate::realm::Realm;

/// Most runs that are counted.
const MAX_COUNTED: usize = 200;
/// Most records that are looked at to find them.
const MAX_LOOKED: usize = 10_000;

/// Whether runs wait because the host cannot begin their attempts.
pub(super) async fn attempts(realm: &dyn Realm) -> Result<Check, Error> {
    const NAME: &str = "attempts";
    if realm.is_served() == Some(false) {
        return Ok(Check::skipped(NAME, "nothing serves the folder"));
    }
    let query = RunQuery {
        statuses: vec![Status::Waiting],
        filter: Filter::default().and(Wanted::Reason(vec![CANNOT_BEGIN.to_owned()])),
        order: Order::Oldest,
        children: true,
        limit: MAX_COUNTED,
        look_limit: Some(MAX_LOOKED),
        without_alerts: true,
        ..RunQuery::default()
    };
    let mut found = realm.runs().list(&query).await?;
    found.retain(|run| run.host_fault().is_some());
    let Some((first, fault)) = found.first().and_then(|run: &Run| Some((run, run.host_fault()?))) else {
        return Ok(Check::ok(NAME, "no fault of the host keeps attempts from beginning"));
    };
    let at_least = if found.len() >= MAX_COUNTED { "at least " } else { "" };
    let says = format!(
        "{at_least}{} for a fault of the host, the first run {} of {}: {fault}",
        match found.len() {
            1 => "the attempt of 1 run waits".to_owned(),
            count => format!("the attempts of {} wait", counted(count, "run")),
        },
        first.key,
        shown(first.job_id.as_str()),
    );
    Ok(Check::fault(NAME, says).fix(["runs", "why", first.key.as_str()]))
}
