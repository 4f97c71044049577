//! A batch of a queue's messages, as Lambda hands it to a function.

use std::collections::BTreeSet;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use pumice_core::ids::WorkerName;
use pumice_core::ports::{Consumer, Delivery, StoreError};
use serde_json::{Value, json};

/// The function's view of a message's queue.
#[async_trait]
pub trait MessageQueue: Send + Sync {
    /// Hides a message that the queue has handed out for so long from now.
    async fn hide(&self, worker: &WorkerName, handle: &str, hidden: Duration) -> Result<(), StoreError>;
    /// Sends a message to the dead-letter queue of its queue, with the reason.
    async fn put_aside(&self, worker: &WorkerName, body: &str, reason: &str) -> Result<(), StoreError>;
}

#[async_trait]
impl MessageQueue for pumice_aws::Queues {
    async fn hide(&self, worker: &WorkerName, handle: &str, hidden: Duration) -> Result<(), StoreError> {
        Self::hide(self, worker, handle, hidden).await
    }

    async fn put_aside(&self, worker: &WorkerName, body: &str, reason: &str) -> Result<(), StoreError> {
        Self::put_aside(self, worker, body, reason).await
    }
}

/// A message of an event: the fields that the function needs; others are ignored.
#[derive(Debug)]
struct SqsMessage {
    message_id: String,
    receipt_handle: String,
    body: String,
    receives: u32,
}

/// An event that is not of a queue.
#[derive(Debug, thiserror::Error)]
#[error("the event is not an SQS event: {0}")]
pub struct BadEvent(String);

/// The messages of an event (Lambda Developer Guide, Using Lambda with Amazon SQS).
fn messages(event: &Value) -> Result<Vec<SqsMessage>, BadEvent> {
    let records = event["Records"].as_array().ok_or_else(|| BadEvent("it has no Records".to_owned()))?;
    let message = |(place, record): (usize, &Value)| {
        let text = |name: &str| record[name].as_str().filter(|text| !text.is_empty()).map(str::to_owned);
        let needed =
            |name: &str| text(name).ok_or_else(|| BadEvent(format!("Records[{place}] has no {name}")));
        let receives = record["attributes"]["ApproximateReceiveCount"].as_str();
        Ok(SqsMessage {
            message_id: needed("messageId")?,
            receipt_handle: needed("receiptHandle")?,
            body: text("body").unwrap_or_default(),
            receives: receives.and_then(|count| count.parse().ok()).unwrap_or(1),
        })
    };
    records.iter().enumerate().map(message).collect()
}

/// The messages of one event. Lambda deletes those that the function's answer does not name; the others come again.
/// A receipt is a message's place in the event.
pub(crate) struct EventQueue<'a> {
    queue: &'a dyn MessageQueue,
    worker: &'a WorkerName,
    records: Vec<SqsMessage>,
    state: Mutex<State>,
}

struct State {
    /// The first record that was not handed out.
    next: usize,
    /// The records that are to come again.
    left: BTreeSet<usize>,
}

impl<'a> EventQueue<'a> {
    /// # Errors
    /// [`BadEvent`] when the event is not of a queue.
    pub(crate) fn new(
        event: &Value,
        queue: &'a dyn MessageQueue,
        worker: &'a WorkerName,
    ) -> Result<Self, BadEvent> {
        let records = messages(event)?;
        let state = Mutex::new(State { next: 0, left: (0..records.len()).collect() });
        Ok(Self { queue, worker, records, state })
    }

    fn state(&self) -> MutexGuard<'_, State> {
        // Numbers: whole even if another holder panicked.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// How many messages there are.
    pub(crate) fn len(&self) -> usize {
        self.records.len()
    }

    fn record(&self, receipt: &str) -> Result<(usize, &SqsMessage), StoreError> {
        let place = receipt.parse::<usize>().ok();
        let found = place.and_then(|place| Some((place, self.records.get(place)?)));
        found.ok_or_else(|| StoreError::invalid(format!("{receipt:?} is not a receipt of this event")))
    }

    fn done(&self, place: usize) {
        self.state().left.remove(&place);
    }

    /// The function's answer: the messages that are to come again (Lambda, partial batch responses).
    pub(crate) fn answer(&self) -> Value {
        let left = &self.state().left;
        let failures = left.iter().map(|place| json!({ "itemIdentifier": self.records[*place].message_id }));
        json!({ "batchItemFailures": failures.collect::<Vec<_>>() })
    }
}

/// The same error with the message that it is about.
fn about(record: &SqsMessage, error: &StoreError) -> StoreError {
    StoreError::of(error.kind, format!("message {}: {error}", record.message_id))
}

#[async_trait]
impl Consumer for EventQueue<'_> {
    async fn receive(
        &self,
        worker: &WorkerName,
        max: usize,
        _: Duration,
    ) -> Result<Vec<Delivery>, StoreError> {
        if worker != self.worker {
            return Ok(Vec::new());
        }
        let mut state = self.state();
        let first = state.next;
        state.next = first.saturating_add(max).min(self.records.len());
        let delivery = |place: usize| {
            let SqsMessage { body, receives, .. } = &self.records[place];
            Delivery { body: body.clone(), receives: *receives, receipt: place.to_string(), found: None }
        };
        Ok((first..state.next).map(delivery).collect())
    }

    async fn delete(&self, receipts: Vec<String>) -> Result<(), StoreError> {
        for receipt in &receipts {
            self.done(self.record(receipt)?.0);
        }
        Ok(())
    }

    async fn release(&self, receipt: &str, after: Duration) -> Result<(), StoreError> {
        // It is among those that come again already.
        self.keep(receipt, after).await
    }

    async fn keep(&self, receipt: &str, hidden: Duration) -> Result<(), StoreError> {
        let (_, record) = self.record(receipt)?;
        self.queue
            .hide(self.worker, &record.receipt_handle, hidden)
            .await
            .map_err(|error| about(record, &error))
    }

    async fn bury(&self, receipt: &str, reason: &str) -> Result<(), StoreError> {
        let (place, record) = self.record(receipt)?;
        // After a failure SQS moves the message to the dead-letter queue by itself, once it was
        // received often enough.
        self.queue
            .put_aside(self.worker, &record.body, reason)
            .await
            .map_err(|error| about(record, &error))?;
        self.done(place);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use pumice_core::engine::Handled;
    use pumice_host::settle;

    use super::*;

    /// A queue that records each call; while `is_down` every call fails.
    #[derive(Default)]
    struct Recorder {
        is_down: bool,
        calls: Mutex<Vec<String>>,
    }

    impl Recorder {
        fn record(&self, call: String) -> Result<(), StoreError> {
            self.calls.lock().unwrap().push(call);
            if self.is_down { Err(StoreError::unreachable("out of order")) } else { Ok(()) }
        }
    }

    #[async_trait]
    impl MessageQueue for Recorder {
        async fn hide(&self, worker: &WorkerName, handle: &str, hidden: Duration) -> Result<(), StoreError> {
            self.record(format!("hide {worker} {handle} {hidden:?}"))
        }

        async fn put_aside(&self, worker: &WorkerName, body: &str, reason: &str) -> Result<(), StoreError> {
            self.record(format!("put aside {worker} {body} {reason}"))
        }
    }

    fn event() -> Value {
        let record = |id: &str| {
            json!({
                "messageId": id, "receiptHandle": format!("h-{id}"), "body": format!("b-{id}"),
                "attributes": { "ApproximateReceiveCount": "3" }, "messageAttributes": {},
            })
        };
        json!({ "Records": [record("m0"), record("m1"), record("m2")] })
    }

    async fn settled(queue: &Recorder) -> (Vec<u32>, Value) {
        let worker = WorkerName::new("core").unwrap();
        let messages = EventQueue::new(&event(), queue, &worker).unwrap();
        let all = messages.receive(&worker, messages.len(), Duration::ZERO).await.unwrap();
        let receives = all.iter().map(|delivery| delivery.receives).collect();
        let handled =
            [Handled::Delete, Handled::Again(Duration::from_secs(4)), Handled::Bury("why".to_owned())];
        for (delivery, handled) in all.into_iter().zip(handled) {
            settle(&messages, delivery, handled).await;
        }
        (receives, messages.answer())
    }

    #[test]
    fn record_needs_its_id_and_its_handle_alone() {
        let bare = json!({ "messageId": "m", "receiptHandle": "h", "body": "b" });
        let mut nulls = bare.clone();
        for name in ["attributes", "messageAttributes", "md5OfBody", "eventSource", "awsRegion"] {
            nulls[name] = Value::Null;
        }
        let mut lists = bare.clone();
        lists["attributes"] = json!({ "ApproximateReceiveCount": "1", "AWSTraceHeader": null });
        lists["messageAttributes"] = json!({ "x": { "stringListValues": null, "binaryListValues": null } });
        for record in [bare.clone(), nulls, lists] {
            let read = messages(&json!({ "Records": [record] })).unwrap();
            assert_eq!((read[0].message_id.as_str(), read[0].body.as_str(), read[0].receives), ("m", "b", 1));
        }
        for (event, wanted) in [
            (json!({ "source": "aws.events" }), "no Records"),
            (json!({ "Records": {} }), "no Records"),
            (json!({ "Records": [bare, { "messageId": "m" }] }), "Records[1] has no receiptHandle"),
            (json!({ "Records": [{ "receiptHandle": "h", "messageId": null }] }), "no messageId"),
        ] {
            let error = messages(&event).unwrap_err().to_string();
            assert!(error.contains(wanted), "{error}");
        }
    }

    #[tokio::test]
    async fn answer_names_messages_that_come_again() {
        let queue = Recorder::default();
        let (receives, answer) = settled(&queue).await;
        assert_eq!(receives, [3, 3, 3]);
        assert_eq!(answer, json!({ "batchItemFailures": [{ "itemIdentifier": "m1" }] }));
        let calls = queue.calls.into_inner().unwrap();
        assert_eq!(calls, ["hide core h-m1 4s", "put aside core b-m2 why"]);
    }

    #[tokio::test]
    async fn message_not_buried_is_redelivered() {
        let queue = Recorder { is_down: true, ..Recorder::default() };
        let failures = json!([{ "itemIdentifier": "m1" }, { "itemIdentifier": "m2" }]);
        assert_eq!(settled(&queue).await.1, json!({ "batchItemFailures": failures }));
    }

    #[tokio::test]
    async fn message_not_settled_comes_again() {
        let (queue, worker) = (Recorder::default(), WorkerName::new("core").unwrap());
        let messages = EventQueue::new(&event(), &queue, &worker).unwrap();
        let names = |answer: &Value| answer["batchItemFailures"].as_array().map(Vec::len);
        assert_eq!(names(&messages.answer()), Some(3));
        assert!(messages.delete(vec!["7".to_owned()]).await.is_err());
        assert!(
            messages.receive(&WorkerName::new("x").unwrap(), 9, Duration::ZERO).await.unwrap().is_empty()
        );
        let receive = async |max| messages.receive(&worker, max, Duration::ZERO).await.unwrap().len();
        assert_eq!([receive(2).await, receive(2).await, receive(2).await], [2, 1, 0]);
        assert_eq!(names(&messages.answer()), Some(3));
    }
}
