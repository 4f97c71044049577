//! Now: what runs, what waits, what failed lately.

use axum::response::Response;
use pumice_core::duration::Span;
use pumice_core::run::Status;
use pumice_service::runs::{ListRuns, RunList, list};
use pumice_service::schedules::{ListSchedules, list as list_schedules};
use serde_json::{Value, json};

use super::schedules::next_of_each;
use super::{Head, render};
use crate::answer::Fault;
use crate::ask::Ask;
use crate::svg::{Bar, sparkline};
use crate::view::{Clock, RunRow, link};

/// How many runs each list shows.
const SHOWN: usize = 10;
/// How many next starts are shown.
const COMING: usize = 6;
/// How many minutes the starts are counted for, and most runs that are counted.
const MINUTES: usize = 60;
const MAX_COUNTED: usize = 2_000;
/// How far back failures are shown.
const LATELY: Span = Span::from_days(1);

/// The page.
pub(crate) async fn show(ask: Ask) -> Result<Response, Fault> {
    let clock = ask.clock().await?;
    let of = |statuses: &[Status], since: Option<Span>, limit: usize| ListRuns {
        statuses: statuses.to_vec(),
        since,
        limit,
        ..blank()
    };
    let realm = ask.realm();
    let running =
        list(realm, &of(&[Status::Running, Status::Starting, Status::Retrying], None, SHOWN)).await?;
    let waiting = list(realm, &of(&[Status::Dispatched, Status::Waiting], None, SHOWN)).await?;
    let failed = list(realm, &of(&[Status::Failed, Status::Rejected], Some(LATELY), SHOWN)).await?;
    let hour = list(realm, &of(&[], Some(Span::from_mins(MINUTES as u64)), MAX_COUNTED)).await?;
    let scheduled = list_schedules(realm, &ListSchedules::default()).await?;
    let bars = starts(&hour, &clock);
    let own = json!({
        "running": panel(&running, &clock, "running,starting,retrying", None),
        "waiting": panel(&waiting, &clock, "dispatched,waiting", None),
        "failed": panel(&failed, &clock, "failed,rejected", Some("1d")),
        "coming": next_of_each(&scheduled, COMING, &clock),
        "starts": { "count": hour.runs.len(), "is_all": hour.next.is_none(), "svg": sparkline(&bars, "starts a minute, the last hour") },
        "is_empty": hour.runs.is_empty() && running.runs.is_empty() && waiting.runs.is_empty() && failed.runs.is_empty(),
    });
    let command = ask.words(&["runs", "list", "--status", "running,dispatched,waiting,retrying"]);
    render(&ask, "now.html", Head::new("Now", "now", &command).live("runs"), own).await
}

/// A list that asks for nothing in particular.
pub(super) fn blank() -> ListRuns {
    ListRuns {
        filter: None,
        zone: None,
        job: None,
        statuses: Vec::new(),
        since: None,
        until: None,
        backfill: None,
        order: pumice_core::ports::Order::Newest,
        cursor: None,
        limit: SHOWN,
        children: false,
        details: false,
    }
}

fn panel(found: &RunList, clock: &Clock, statuses: &str, since: Option<&str>) -> Value {
    let length = found.id_length.unwrap_or(8);
    let rows: Vec<RunRow> = found.runs.iter().map(|run| RunRow::of(run, clock, length)).collect();
    let query: Vec<(&str, &str)> =
        [("status", statuses)].into_iter().chain(since.map(|since| ("since", since))).collect();
    let count = found.all.unwrap_or(rows.len());
    let has_more = found.next.is_some();
    json!({
        "rows": rows,
        "count": if found.all.is_none() && has_more { format!("{count}+") } else { count.to_string() },
        "href": link("/runs", &query),
        "has_more": has_more,
    })
}

/// The starts of each minute, the failures among them, the oldest minute first.
fn starts(hour: &RunList, clock: &Clock) -> Vec<Bar> {
    let mut bars = vec![Bar::default(); MINUTES];
    for run in &hour.runs {
        let minutes = (clock.now - run.ts_dispatch.0).num_minutes();
        let place = usize::try_from(minutes).ok().and_then(|minutes| MINUTES.checked_sub(minutes + 1));
        let Some(bar) = place.and_then(|place| bars.get_mut(place)) else { continue };
        bar.all += 1;
        bar.bad += usize::from(run.status.is_failure());
    }
    bars
}
