//! The worker function: SQS records in, engine calls, failed records out.

use std::collections::BTreeSet;
use std::time::Duration;

use aws_lambda_events::sqs::{SqsEvent, SqsMessage};
use futures_util::future::join_all;
use pumice_aws::Queues;
use pumice_core::Timestamp;
use pumice_core::duration::Span;
use pumice_core::engine::{Engine, Handled, Limits};
use pumice_core::ids::{RunKey, WorkerName};
use pumice_core::message::Message;
use serde_json::{Value, json};

/// How long before its deadline an invocation must have ended.
const MARGIN: Duration = Duration::from_secs(1);
/// The part of an invocation that a job which must stop gets for it.
const GRACE_PART: u32 = 10;
/// The shortest time that it gets.
const MIN_GRACE: Duration = Duration::from_secs(1);

/// An event that is none of a queue's.
#[derive(Debug, thiserror::Error)]
#[error("the event is no SQS event: {0}")]
pub struct BadEvent(serde_json::Error);

/// How jobs are run in invocations of this length: a short one must not give all its time to those
/// that are to stop.
#[must_use]
pub fn limits(invocation: Duration) -> Limits {
    let usual = Limits::default();
    let grace = (invocation / GRACE_PART).max(MIN_GRACE);
    Limits { grace: usual.grace.min(Span::from(grace)), ..usual }
}

/// The runs that the messages of an event are about, as far as they can be read.
#[must_use]
pub fn keys(event: &Value) -> Vec<RunKey> {
    let bodies =
        event["Records"].as_array().into_iter().flatten().filter_map(|record| record["body"].as_str());
    let messages = bodies.filter_map(|body| serde_json::from_str::<Message>(body).ok());
    // One run may have two messages, and a batch must not name a key twice.
    messages.map(|message| message.key()).collect::<BTreeSet<_>>().into_iter().collect()
}

/// Runs what the messages of an event call for, beside each other, and gives the answer that names
/// those which are to come again.
///
/// # Errors
/// [`BadEvent`] when the event is none of a queue's.
pub async fn handle(
    engine: &Engine,
    queues: &Queues,
    worker: &WorkerName,
    event: Value,
    deadline: Timestamp,
) -> Result<Value, BadEvent> {
    let event: SqsEvent = serde_json::from_value(event).map_err(BadEvent)?;
    let ends = deadline - MARGIN;
    let handling = event.records.iter().map(|record| one(engine, queues, worker, record, ends));
    let failed = event.records.iter().zip(join_all(handling).await).filter(|(_, done)| !done);
    let failures = failed.map(|(record, _)| json!({ "itemIdentifier": record.message_id }));
    Ok(json!({ "batchItemFailures": failures.collect::<Vec<_>>() }))
}

/// Does what one message calls for; tells whether it is dealt with.
async fn one(
    engine: &Engine,
    queues: &Queues,
    worker: &WorkerName,
    record: &SqsMessage,
    ends: Timestamp,
) -> bool {
    let body = record.body.as_deref().unwrap_or_default();
    let message_id = record.message_id.as_deref().unwrap_or_default();
    let receives = record.attributes.get("ApproximateReceiveCount").and_then(|count| count.parse().ok());
    match engine.handle(body, receives.unwrap_or(1), Some(ends)).await {
        Handled::Delete => true,
        Handled::Again(after) => {
            let handle = record.receipt_handle.as_deref().unwrap_or_default();
            if let Err(error) = queues.hide(worker, handle, after).await {
                // It comes again when the queue's own time is over.
                tracing::warn!(message_id, %error, "a message comes again later than it could");
            }
            false
        }
        Handled::Bury(reason) => {
            // What the body says of the run, as far as it can be read.
            let said = serde_json::from_str::<Value>(body).unwrap_or_default();
            let (run_id, job_id) = (said["run_id"].as_str(), said["job_id"].as_str());
            tracing::error!(message_id, run_id, job_id, reason, body, "a message goes to the dead letters");
            match queues.put_aside(worker, body, &reason).await {
                Ok(()) => true,
                Err(error) => {
                    // The queue puts it aside by itself when it has come often enough.
                    tracing::error!(message_id, %error, "a message could not be put aside");
                    false
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_runs_of_an_event_are_known_before_it_is_dealt_with() {
        let id = "0190a0a0-0000-7000-8000-000000000000";
        let body = |key: Option<&str>| {
            let message = json!({ "realm": "r", "worker": "w", "job_id": "j", "run_id": id, "ts_dispatch": "x", "run_key": key });
            json!({ "body": message.to_string() })
        };
        let child = format!("{id}/1.0");
        let event =
            json!({ "Records": [body(None), { "body": "hello" }, body(Some(&child)), body(None), {}] });
        let known: Vec<String> = keys(&event).iter().map(ToString::to_string).collect();
        assert_eq!(known, [id.to_owned(), child]);
        assert_eq!(keys(&json!({ "source": "aws.events" })), []);
    }

    #[test]
    fn short_invocations_give_short_grace() {
        let grace = |seconds| limits(Duration::from_secs(seconds)).grace;
        assert_eq!(grace(900), Span::from_secs(10));
        assert_eq!(grace(30), Span::from_secs(3));
        assert_eq!(grace(3), Span::from_secs(1));
    }
}
