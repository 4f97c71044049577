//! The worker function: SQS records in, engine calls, failed records out.

mod event;

use std::collections::BTreeSet;
use std::time::Duration;

use futures_util::future::join_all;
use pumice_core::Timestamp;
use pumice_core::duration::Span;
use pumice_core::engine::{Engine, Limits};
use pumice_core::ids::{RunKey, WorkerName};
use pumice_core::message::Message;
use pumice_core::ports::Consumer;
use serde_json::Value;

use event::EventQueue;
pub use event::{BadEvent, MessageQueue};

/// How long before its deadline an invocation must have ended.
const MARGIN: Duration = Duration::from_secs(1);
/// The part of an invocation that a job which must stop gets for it.
const GRACE_PART: u32 = 10;
/// The shortest time that it gets.
const MIN_GRACE: Duration = Duration::from_secs(1);

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

/// Has the engine handle the messages of an event, all at the same time. The answer names the messages that are to come
/// again.
///
/// # Errors
/// [`BadEvent`] when the event is not of a queue.
pub async fn handle(
    engine: &Engine,
    queue: &dyn MessageQueue,
    worker: &WorkerName,
    event: &Value,
    deadline: Timestamp,
) -> Result<Value, BadEvent> {
    let ends = deadline - MARGIN;
    let messages = EventQueue::new(event, queue, worker)?;
    let deliveries = messages.receive(worker, messages.len(), Duration::ZERO).await;
    let handling = deliveries.into_iter().flatten();
    join_all(handling.map(|delivery| pumice_host::handle(engine, &messages, delivery, Some(ends)))).await;
    Ok(messages.answer())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn runs_of_an_event_are_read_before_it_is_handled() {
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
