//! Runs of lava workers. Such a worker runs whatever it is sent, as often as it is sent, and reports in a table of
//! lava's: it knows nothing of records. So its message is sent once, and the record follows what that table says.

use chrono::SubsecRound;
use futures_util::future::join_all;
use serde_json::Value;

use super::message::message_for_lava;
use crate::Timestamp;
use crate::duration::Span;
use crate::engine::ledger::apply::ApplyError;
use crate::engine::ledger::{Ledger, Sent};
use crate::ports::{Doc, Outgoing};
use crate::request::parse_instant;
use crate::run::{IllegalTransition, Input, LavaEnd, Part, Run, Status};

/// Most records written at the same time.
const AT_ONCE: usize = 32;
/// After how long a run has failed that lava reports nothing of: no queue keeps a message for longer (SQS, message
/// retention period).
const MAX_SILENCE: Span = Span::from_days(14);
/// How much earlier than a run was dispatched lava may have reported it: the clocks of two hosts differ. A report
/// before that is of an earlier run under the same key.
const SKEW: Span = Span::from_mins(5);

/// How long before the next sweep of a run its message may still be sent to lava: a sender that stood still for longer
/// leaves it to that sweep. Clocks may differ by as much.
const MARGIN: Span = Span::from_secs(45);

/// Whether no other process may be sending a run's message by now.
pub(in crate::engine) fn may_give(run: &Run, now: Timestamp) -> bool {
    run.due_at.is_some_and(|due| now + MARGIN.delta() < due)
}

/// Records that the messages of these runs have been given to lava workers, so that the
/// sweeper sends none again.
pub(in crate::engine) async fn hand_over(ledger: &Ledger, runs: Vec<Run>) {
    for part in runs.chunks(AT_ONCE) {
        let writing = part.iter().map(|run| ledger.apply(run.clone(), Input::HandOver));
        for (run, outcome) in part.iter().zip(join_all(writing).await) {
            warn_unless_noted(run, outcome);
        }
    }
}

/// Sweeps a run that no Pumice worker has claimed. A lava worker may be running it, also where the realm's settings do not
/// say that the worker is lava's.
pub(in crate::engine) async fn look_at(ledger: &Ledger, run: Run) -> Result<Run, ApplyError> {
    let worker = ledger.site().settings.worker_kind(&run.worker);
    match lavas_account(ledger, &run).await {
        Account::Ended(report) => match ledger.apply(run.clone(), Input::LavaEnded(report)).await {
            // The store may refuse the details that lava reported: runs that wait for this end go on all the same.
            Err(ApplyError::Store(error)) => warn(&run, "cannot record the end that lava reported", &error),
            outcome => return outcome,
        },
        Account::Begun if run.handed_over.is_none() && !worker.is_lavas() => {
            let name_it = "name its worker in the realm's setting FOREIGN_WORKERS";
            warn(&run, "a lava worker has begun a run", &name_it);
        }
        Account::Begun => {}
        Account::None if worker.is_lavas() && run.handed_over.is_none() => {
            return give(ledger, run).await;
        }
        Account::None => return ledger.apply(run, Input::Sweep).await,
    }
    let input = if run.handed_over.is_some() { Input::Sweep } else { Input::HandOver };
    ledger.apply(run, input).await
}

/// Lava's report of a run that could have begun.
async fn lavas_account(ledger: &Ledger, run: &Run) -> Account {
    let now = ledger.now();
    let Some(events) = ledger.site().ports.lava_events.as_ref().filter(|_| run.not_before <= now) else {
        return Account::None;
    };
    let account = match events.event(&run.job_id, run.run_id).await {
        Ok(record) => record.map_or(Account::None, |record| account(&record, run, now)),
        Err(error) => {
            warn(run, "cannot read lava's event of a run", &error);
            return Account::None;
        }
    };
    let since = run.handed_over.map(|given| given.max(run.not_before));
    match account {
        Account::Ended(_) => account,
        _ if since.is_some_and(|since| now - since > MAX_SILENCE.delta()) => {
            let days = MAX_SILENCE.delta().num_days();
            Account::Ended(failed(
                ledger.now(),
                format!("the lava worker has reported no end of it for {days} days"),
            ))
        }
        _ => account,
    }
}

/// Sends a run's message, which did not reach its queue or was not to do so before. Of several that come to
/// do so one does, for it writes first; that also puts the next look off where the message cannot be sent.
async fn give(ledger: &Ledger, run: Run) -> Result<Run, ApplyError> {
    let run = ledger.apply(run, Input::Giving).await?;
    let spec = match ledger.site().ports.runs.load_with_spec(&run.key).await {
        Ok(Some((stored, spec))) if stored.rev == run.rev => match stored.gone(Part::Spec) {
            None => spec,
            Some(why) => {
                let report = failed(ledger.now(), why);
                return ledger.apply(run, Input::LavaEnded(report)).await;
            }
        },
        // Another process wrote first, and goes on with it.
        Ok(_) => return Ok(run),
        Err(error) => {
            warn(&run, "a run is not given to lava's worker", &error);
            return Ok(run);
        }
    };
    if !may_give(&run, ledger.now()) {
        return Ok(run);
    }
    let message = message_for_lava(&ledger.site().realm, &run, &spec.job);
    let outgoing = Outgoing { message, at: run.not_before.max(ledger.now()) };
    match ledger.send_all(vec![outgoing]).await.pop() {
        Some(Sent::Done) => {
            warn_unless_noted(&run, ledger.apply(run.clone(), Input::HandOver).await);
            Ok(run)
        }
        Some(Sent::Refused(why)) => refused(ledger, run, &why).await,
        Some(Sent::Later) | None => Ok(run),
    }
}

/// Ends a run whose message the queue of lava's worker never takes: it has all that the worker reads.
pub(in crate::engine) async fn refused(ledger: &Ledger, run: Run, why: &str) -> Result<Run, ApplyError> {
    let report = failed(ledger.now(), format!("its message cannot be sent to worker {}: {why}", run.worker));
    ledger.apply(run, Input::LavaEnded(report)).await
}

/// An end that lava has not reported.
fn failed(now: Timestamp, reason: String) -> LavaEnd {
    let info = Value::String(reason);
    LavaEnd { status: Status::Failed, info, began: None, ended: now, hostname: None }
}

fn warn(run: &Run, what: &str, error: &dyn std::fmt::Display) {
    let Run { run_id, job_id, worker, .. } = run;
    tracing::warn!(%run_id, %job_id, %worker, %error, "{what}");
}

/// Says so when it is not recorded that a run was given to lava.
fn warn_unless_noted(run: &Run, outcome: Result<Run, ApplyError>) {
    match outcome {
        Err(ApplyError::Illegal(IllegalTransition::Ended, stored)) if stored.status == Status::Cancelled => {
            warn(run, "a run was cancelled when it was on its way to lava's worker", &"it may run");
        }
        Ok(_) | Err(ApplyError::Illegal(..)) => {}
        Err(error) => warn(run, "that a run was given to lava's worker is not recorded", &error),
    }
}

/// Lava's report of a run.
#[derive(Debug, PartialEq)]
enum Account {
    /// Nothing.
    None,
    /// It has begun it.
    Begun,
    /// How it ended.
    Ended(LavaEnd),
}

/// The report in lava's record of a run. A failed action is reported after the end (lava guide, The Events Table).
fn account(record: &Doc, run: &Run, now: Timestamp) -> Account {
    let at = |entry: &Value| {
        let instant = parse_instant(entry["ts_event"].as_str()?).ok()?;
        // Records keep microseconds: a record that is read must equal the one that was written.
        Some(instant.in_zone(chrono_tz::UTC).trunc_subsecs(6))
    };
    let status = |entry: &Value| entry["status"].as_str()?.parse::<Status>().ok();
    let log = record.get("log").and_then(Value::as_array);
    let earliest = run.ts_dispatch - SKEW.delta();
    let entries: Vec<(Status, Timestamp, &Value)> = log
        .into_iter()
        .flatten()
        .filter_map(|entry| Some((status(entry)?, at(entry).unwrap_or(now), entry)))
        .filter(|(_, at, _)| *at >= earliest)
        .collect();
    let Some((status, ended, entry)) = entries.iter().rfind(|(status, ..)| status.is_end()) else {
        return if entries.is_empty() { Account::None } else { Account::Begun };
    };
    Account::Ended(LavaEnd {
        status: *status,
        info: entry["info"].clone(),
        began: entries.iter().find(|(status, ..)| *status == Status::Starting).map(|(_, at, _)| *at),
        ended: *ended,
        hostname: record.get("hostname").and_then(Value::as_str).map(str::to_owned),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ids::{JobId, RunId, RunKey, WorkerName};
    use serde_json::json;
    use uuid::Uuid;

    fn entry(second: u32, status: &str, info: Value) -> Value {
        json!({ "ts_event": format!("2026-03-01T12:00:{second:02}.250000+01:00"), "status": status, "info": info })
    }

    /// Lava's report of a run that was dispatched at 12:00 in its zone.
    fn read(log: &[Value]) -> Account {
        let record = json!({ "job_id": "j", "hostname": "ec2", "log": log });
        let about = (JobId::new("j").unwrap(), "log".to_owned(), WorkerName::new("w").unwrap());
        let (run_id, at) = (RunId(Uuid::nil()), "2026-03-01T11:00:00Z".parse().unwrap());
        let run = Run::dispatched(RunKey::root(run_id), run_id, about, at, at, Span::from_days(1));
        account(record.as_object().unwrap(), &run, at + Span::from_mins(1).delta())
    }

    fn end(log: &[Value]) -> LavaEnd {
        match read(log) {
            Account::Ended(report) => report,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn lava_record_has_how_a_run_ended() {
        let (starting, running) =
            (entry(1, "starting", Value::Null), entry(2, "running", json!("Iteration 1")));
        let retrying = entry(3, "retrying", json!({ "error": "no" }));
        let failed_action = entry(5, "action_failed", json!("no such topic"));
        assert_eq!(read(&[]), Account::None);
        let begun = [starting.clone(), running.clone(), retrying.clone(), failed_action.clone()];
        assert_eq!(read(&begun), Account::Begun);
        let complete = entry(4, "complete", json!({ "exit_status": 0 }));
        let report = end(&[starting, running, retrying, complete, failed_action]);
        assert_eq!((report.status, &report.info), (Status::Complete, &json!({ "exit_status": 0 })));
        assert_eq!(report.began.unwrap().to_rfc3339(), "2026-03-01T11:00:01.250+00:00");
        assert_eq!(report.ended.to_rfc3339(), "2026-03-01T11:00:04.250+00:00");
        assert_eq!(report.hostname.as_deref(), Some("ec2"));
    }

    #[test]
    fn lava_report_of_an_earlier_run_of_the_key_is_ignored() {
        let old = |status: &str| json!({ "ts_event": "2026-01-01T12:00:00+01:00", "status": status });
        assert_eq!(read(&[old("starting"), old("complete")]), Account::None);
        assert_eq!(read(&[old("complete"), entry(1, "starting", Value::Null)]), Account::Begun);
        assert_eq!(end(&[old("complete"), entry(1, "failed", json!("no"))]).status, Status::Failed);
    }

    #[test]
    fn record_of_another_form_is_read_as_far_as_possible() {
        assert_eq!(read(&[json!("x"), json!({ "status": "blue" })]), Account::None);
        let report = end(&[json!({ "status": "rejected", "ts_event": "yesterday" })]);
        assert_eq!((report.status, report.info, report.began), (Status::Rejected, Value::Null, None));
        assert_eq!(report.ended.to_rfc3339(), "2026-03-01T11:01:00+00:00");
    }
}
