//! Now: what runs, what waits, what failed lately.

use axum::response::Response;
use pumice_core::duration::Span;
use pumice_core::ports::{Minute, Starts};
use pumice_core::run::Status;
use pumice_service::runs::{ListRuns, RunList, list};
use pumice_service::schedules::{ListSchedules, list as list_schedules};
use pumice_service::workers::{ListWorkers, list_workers};
use serde_json::{Value, json};

use super::schedules::next_of_each;
use super::workers::health;
use super::{Clocks, Head, render};
use crate::answer::Fault;
use crate::ask::Ask;
use crate::svg::{Bar, sparkline};
use crate::view::{RunRow, counted, link};

/// How many runs each list shows.
const SHOWN: usize = 10;
/// Up to how many failures are counted: a list with a time has no number of all.
const MAX_COUNTED: usize = 200;
/// How many next starts are shown.
const COMING: usize = 6;
/// For how many minutes the runs dispatched are counted, the present one among them.
const MINUTES: i64 = 60;
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
    let running = list(realm, &of(&[Status::Running, Status::Retrying], None, SHOWN)).await?;
    let waiting = list(realm, &of(&[Status::Dispatched, Status::Waiting], None, SHOWN)).await?;
    let failed = list(realm, &of(&[Status::Failed, Status::Rejected], Some(LATELY), MAX_COUNTED)).await?;
    let present = Minute::of(clock.now);
    let hour = realm.runs().starts(Minute(present.0 - MINUTES + 1), present).await?;
    let workers = list_workers(realm, &ListWorkers::default()).await?;
    let scheduled = list_schedules(realm, &ListSchedules::default()).await?;
    let bars = bars(&hour, present);
    let all = [&running, &waiting, &failed];
    let clocks = ask.clocks(all.iter().flat_map(|found| &found.runs).map(|run| &run.job_id)).await?;
    let own = json!({
        "running": panel(&running, &clocks, "running,retrying", None),
        "waiting": panel(&waiting, &clocks, "dispatched,waiting", None),
        "failed": panel(&failed, &clocks, "failed,rejected", Some("1d")),
        "workers": health(&workers),
        "coming": next_of_each(&ask, &scheduled, COMING).await?,
        "starts": { "count": counted(usize::try_from(hour.all()).unwrap_or(usize::MAX), "run"), "is_cut": hour.is_cut, "since": clock.moment(hour.since.begin()),
            "svg": sparkline(&bars, "runs dispatched a minute, the last hour") },
        "is_empty": hour.all() == 0 && running.runs.is_empty() && waiting.runs.is_empty() && failed.runs.is_empty(),
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

fn panel(found: &RunList, clocks: &Clocks, statuses: &str, since: Option<&str>) -> Value {
    let length = found.id_length.unwrap_or(8);
    let rows: Vec<RunRow> =
        found.runs.iter().take(SHOWN).map(|run| RunRow::of(run, clocks.of(&run.job_id), length)).collect();
    let query: Vec<(&str, &str)> =
        [("status", statuses)].into_iter().chain(since.map(|since| ("since", since))).collect();
    let count = found.all.unwrap_or(found.runs.len());
    let has_more = found.next.is_some() || found.runs.len() > rows.len();
    json!({
        "rows": rows,
        "count": if found.all.is_none() && found.next.is_some() { format!("{count}+") } else { count.to_string() },
        "href": link("/runs", &query),
        "has_more": has_more,
    })
}

/// The runs dispatched in each minute, the failures among them, the oldest minute first.
fn bars(hour: &Starts, present: Minute) -> Vec<Bar> {
    let number = |count: u64| usize::try_from(count).unwrap_or(usize::MAX);
    let bar = |minute: i64| {
        let count = hour.by_minute.get(&Minute(minute)).copied().unwrap_or_default();
        Bar { all: number(count.runs), bad: number(count.failed) }
    };
    (present.0 - MINUTES + 1..=present.0).map(bar).collect()
}

#[cfg(test)]
mod tests {
    use pumice_core::ports::MinuteCount;

    use super::*;

    #[test]
    fn bars_are_those_of_the_last_hour_in_order() {
        let mut hour = Starts::from(Minute(100));
        for (minute, runs, failed) in [(99, 7, 0), (100, 1, 0), (159, 5, 2), (160, 9, 9)] {
            hour.add(Minute(minute), MinuteCount { runs, failed });
        }
        let bars = bars(&hour, Minute(159));
        assert_eq!(bars.len(), 60);
        assert_eq!((bars[0], bars[59]), (Bar { all: 1, bad: 0 }, Bar { all: 5, bad: 2 }));
        assert!(bars[1..59].iter().all(|bar| bar.all == 0));
    }
}
