//! The history of runs in lava's table of events: for lava's tools, where the realm's setting `LAVA_EVENTS` is on.
//!
//! The whole item is made of the record each time. So a write that was lost is made up for by the next one, and writes that
//! come out of order do no harm.

use std::pin::pin;

use chrono::TimeDelta;
use futures_util::future::{Either, select};
use serde_json::{Value, json};

use super::Ledger;
use crate::message::{iso, iso_naive};
use crate::ports::{Doc, LavaEvent, StoreError};
use crate::run::{NEVER, Run, RunEvent, Status};

/// How long a write may take. The run and those that wait for it have moved on by then; only its worker waits.
const LIMIT: TimeDelta = TimeDelta::milliseconds(250);

/// Whether the log of a run has grown: else there is nothing to report.
pub(super) fn has_grown(before: &Run, after: &Run) -> bool {
    let length = |run: &Run| (run.log.entries.len(), run.log.dropped);
    length(before) != length(after)
}

impl Ledger {
    /// Writes what has become of a run. A failure is logged once a minute with how many there were,
    /// and touches nothing else.
    pub(in crate::engine) async fn tell_lava(&self, after: &Run) {
        let site = self.site();
        let Some(events) = site.ports.lava_events.as_ref().filter(|_| site.settings.lava_events) else {
            return;
        };
        // Lava workers report their runs themselves.
        if site.settings.worker_kind(&after.worker).is_lavas() {
            return;
        }
        let Some(event) = event(after) else { return };
        let until = self.now() + LIMIT;
        let put = pin!(events.put_event(&event));
        let outcome = match select(put, site.ports.clock.sleep_until(until)).await {
            Either::Left((outcome, _)) => outcome,
            Either::Right(_) => {
                Err(StoreError::unreachable(format!("no answer within {} ms", LIMIT.num_milliseconds())))
            }
        };
        if let Err(error) = outcome
            && let Some(lost) = self.trouble.count("lava's events", self.now())
        {
            let Run { run_id, job_id, .. } = after;
            tracing::warn!(%run_id, %job_id, %error, lost, "what became of runs is not in lava's table of events");
        }
    }
}

/// The item of a run that has begun or ended; `None` before. Times and fields are those of lava workers.
fn event(run: &Run) -> Option<LavaEvent> {
    let log = log(run);
    let last = log.last()?;
    let mut item = Doc::from_iter([
        ("job_id".to_owned(), json!(run.job_id)),
        // lava's steps have the id of the run that they are steps of. A step has its whole key here: the items of a foreach
        // are runs of one job at the same time, which lava's tools could not distinguish.
        ("run_id".to_owned(), json!(run.key.as_str())),
        ("ts_dispatch".to_owned(), json!(iso(run.ts_dispatch))),
        ("status".to_owned(), last["status"].clone()),
        ("ts_event".to_owned(), last["ts_event"].clone()),
        ("tu_event".to_owned(), last["tu_event"].clone()),
        ("worker".to_owned(), json!(run.worker)),
        ("worker_id".to_owned(), Value::Null),
        ("hostname".to_owned(), json!(run.hostname)),
        ("log".to_owned(), Value::Array(log)),
    ]);
    if run.expires < NEVER {
        item.insert("ttl".to_owned(), run.expires.timestamp().into());
    }
    Some(LavaEvent { item, rev: run.rev })
}

/// The entries that lava knows. Its tools take each end of an attempt for that of the last `running`, and fail without one.
fn log(run: &Run) -> Vec<Value> {
    let (mut log, mut runs) = (Vec::new(), false);
    for RunEvent { status, at, info } in &run.log.entries {
        let mut push = |status: Status, info: Value| {
            log.push(
                json!({ "ts_event": iso(*at), "tu_event": iso_naive(*at), "status": status, "info": info }),
            );
        };
        match status {
            Status::Dispatched | Status::Waiting => {}
            Status::Running => {
                runs = true;
                push(*status, info.clone());
            }
            Status::Complete | Status::Failed | Status::Retrying | Status::Cancelled => {
                if !std::mem::take(&mut runs) {
                    push(Status::Running, Value::Null);
                }
                match status {
                    // lava has no such end.
                    Status::Cancelled => {
                        let why = run.reason.as_deref().unwrap_or("cancelled");
                        push(Status::Failed, json!({ "error": why }));
                    }
                    _ => push(*status, info.clone()),
                }
            }
            _ => push(*status, info.clone()),
        }
    }
    log
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Timestamp;
    use crate::duration::Span;
    use crate::ids::{JobId, RunId, RunKey, WorkerName};

    fn at(ms: i64) -> Timestamp {
        Timestamp::from_timestamp_millis(1_767_225_600_000 + ms).unwrap()
    }

    fn run(log: &[(Status, i64)]) -> Run {
        let about = (JobId::new("etl/load").unwrap(), "cmd".to_owned(), WorkerName::new("core").unwrap());
        let run_id = RunId(uuid::Uuid::nil());
        let mut run = Run::dispatched(RunKey::root(run_id), run_id, about, at(0), at(0), Span::from_days(2));
        run.log = crate::run::RunLog::default();
        log.iter().for_each(|(status, ms)| run.log.push(*status, at(*ms), Value::Null));
        run
    }

    fn statuses(log: &[(Status, i64)]) -> Vec<String> {
        let log = event(&run(log)).unwrap().item["log"].clone();
        log.as_array().unwrap().iter().map(|one| one["status"].as_str().unwrap().to_owned()).collect()
    }

    #[test]
    fn item_has_the_fields_of_lavas_workers() {
        use Status::{Complete, Dispatched, Running, Starting};
        assert_eq!(event(&run(&[(Dispatched, 0)])), None, "nothing of it before it begins");
        let told = run(&[(Dispatched, 0), (Starting, 10), (Running, 20), (Complete, 1_250)]);
        let LavaEvent { item, rev } = event(&Run { rev: 7, hostname: Some("h".to_owned()), ..told }).unwrap();
        assert_eq!(
            (rev, item["job_id"].as_str(), item["status"].as_str()),
            (7, Some("etl/load"), Some("complete"))
        );
        assert_eq!((item["worker"].as_str(), item["hostname"].as_str()), (Some("core"), Some("h")));
        assert_eq!(item["ts_event"], "2026-01-01T00:00:01.250000+00:00");
        assert_eq!(item["tu_event"], "2026-01-01T00:00:01.250000");
        assert_eq!(item["ttl"], at(0).timestamp() + 2 * 86_400);
        assert_eq!(item["log"][1]["tu_event"], "2026-01-01T00:00:00.020000");
        let kept = Run { expires: NEVER, ..run(&[(Running, 1)]) };
        assert_eq!(event(&kept).unwrap().item.get("ttl"), None);
    }

    #[test]
    fn each_end_of_an_attempt_follows_a_running() {
        use Status::{Cancelled, Complete, Failed, Retrying, Running, Skipped, Starting, Waiting};
        for (log, expected) in [
            (
                &[(Starting, 1), (Running, 2), (Retrying, 3), (Running, 4), (Complete, 5)][..],
                &["starting", "running", "retrying", "running", "complete"][..],
            ),
            (&[(Starting, 1), (Failed, 2)], &["starting", "running", "failed"]),
            (
                &[(Starting, 1), (Running, 2), (Retrying, 3), (Failed, 4)],
                &["starting", "running", "retrying", "running", "failed"],
            ),
            (
                &[(Starting, 1), (Running, 2), (Waiting, 3), (Complete, 4)],
                &["starting", "running", "complete"],
            ),
            (&[(Starting, 1), (Running, 2), (Cancelled, 3)], &["starting", "running", "failed"]),
            (&[(Skipped, 1)], &["skipped"]),
        ] {
            assert_eq!(statuses(log), expected);
        }
    }
}
