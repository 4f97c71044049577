//! Workers' queues in SQS.

mod aside;
mod dead;
mod requests;

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use aws_sdk_sqs::Client;
use aws_sdk_sqs::config::timeout::TimeoutConfig;
use aws_sdk_sqs::types::{
    DeleteMessageBatchRequestEntry, MessageSystemAttributeName, SendMessageBatchRequestEntry,
};
use futures_util::future::join_all;
use pumice_core::Timestamp;
use pumice_core::ids::WorkerName;
use pumice_core::ports::{
    Clock, Consumer, Delivery, Depth, Messaging, Outgoing, Queue, StoreError, StoreErrorKind,
};

use crate::connect::ATTEMPT;
use crate::failure::{kind_of_code, store_error};
use crate::names::Names;

/// Most messages of one call (SQS, batches: 10).
const MAX_BATCH: usize = 10;
/// Most bytes of the bodies of one call (SQS, batches: 1 MiB in all).
const MAX_BATCH_BYTES: usize = 1024 * 1024;
/// Longest delay of a message (SQS, DelaySeconds).
const MAX_DELAY: u64 = 900;
/// Longest time that one call waits for a message (SQS, long polling).
const MAX_WAIT: Duration = Duration::from_secs(20);
/// Longest time that a message stays hidden (SQS, visibility timeout: 12 hours).
const MAX_HIDDEN: Duration = Duration::from_secs(43_200);
/// The field of a dead letter of the dispatcher that has the beginning of its event, in place of `requestPayload`, where
/// all of it was too long.
pub const CUT_PAYLOAD: &str = "requestPayloadCut";
/// The target of the events about messages that could not be sent, which functions make a metric of.
pub(crate) const UNSENT: &str = "pumice::unsent";

/// The queues of a realm. Clones share what is known of them.
#[derive(Clone)]
pub struct Queues {
    client: Client,
    names: Names,
    clock: Arc<dyn Clock>,
    /// The prefix of the queues' URLs, if known.
    urls: Option<Arc<str>>,
    known: Arc<Mutex<HashMap<String, Arc<str>>>>,
    /// The bodies of the messages that this consumer has taken, for those that go to the dead-letter queue.
    taken: Arc<Mutex<HashMap<String, (WorkerName, String)>>>,
    /// How long a message stays hidden after it is handed out, in place of its queue's setting.
    hidden: Option<Duration>,
    /// Calls the dispatcher, to redrive its dead letters.
    messaging: Option<Arc<dyn Messaging>>,
}

impl std::fmt::Debug for Queues {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Queues({:?})", self.names)
    }
}

impl Queues {
    /// The queues of a realm. `urls` is what their URLs begin with, as in
    /// `https://sqs.eu-west-1.amazonaws.com/123456789012/`; without it each is asked for once.
    #[must_use]
    pub fn new(client: Client, names: Names, clock: Arc<dyn Clock>, urls: Option<&str>) -> Self {
        Self {
            client,
            names,
            clock,
            urls: urls.map(Arc::from),
            known: Arc::default(),
            taken: Arc::default(),
            hidden: None,
            messaging: None,
        }
    }

    /// The same, which can hand the dispatcher's dead letters to it once more.
    #[must_use]
    pub fn with_messaging(mut self, messaging: Arc<dyn Messaging>) -> Self {
        self.messaging = Some(messaging);
        self
    }

    /// The same, whose messages stay hidden for so long at first, whatever their queue's setting: for a
    /// process that extends their visibility while it works on them.
    #[must_use]
    pub fn hidden_for(mut self, hidden: Duration) -> Self {
        self.hidden = Some(hidden);
        self
    }

    async fn url(&self, queue: &str) -> Result<Arc<str>, StoreError> {
        if let Some(start) = &self.urls {
            return Ok(format!("{start}{queue}").into());
        }
        if let Some(url) = self.known.lock().unwrap_or_else(PoisonError::into_inner).get(queue) {
            return Ok(url.clone());
        }
        let answer = self.client.get_queue_url().queue_name(queue).send().await;
        let answer = answer.map_err(|error| store_error(&format!("looking for queue {queue}"), &error))?;
        let url: Arc<str> = answer.queue_url().unwrap_or_default().into();
        self.known.lock().unwrap_or_else(PoisonError::into_inner).insert(queue.to_owned(), url.clone());
        Ok(url)
    }

    /// Makes sure that there is a queue for a worker.
    ///
    /// # Errors
    /// [`StoreError`] when the queue is missing, or cannot be reached.
    pub async fn find(&self, worker: &WorkerName) -> Result<(), StoreError> {
        self.url(&self.names.queue(worker)).await.map(drop)
    }

    /// Sends up to [`MAX_BATCH`] messages to one queue.
    async fn send_batch(&self, worker: &WorkerName, bodies: &[(String, i32)]) -> Vec<Result<(), StoreError>> {
        let queue = self.names.queue(worker);
        match self.try_send(&queue, bodies).await {
            Ok(outcomes) => outcomes,
            Err(error) => bodies.iter().map(|_| Err(error.clone())).collect(),
        }
    }

    async fn try_send(
        &self,
        queue: &str,
        bodies: &[(String, i32)],
    ) -> Result<Vec<Result<(), StoreError>>, StoreError> {
        let what = format!("sending to queue {queue}");
        let entries = bodies.iter().enumerate().map(|(index, (body, delay))| {
            SendMessageBatchRequestEntry::builder()
                .id(index.to_string())
                .message_body(body)
                .delay_seconds(*delay)
                .build()
                .map_err(|error| StoreError::invalid(format!("{what}: {error}")))
        });
        let entries = entries.collect::<Result<Vec<_>, _>>()?;
        let request =
            self.client.send_message_batch().queue_url(&*self.url(queue).await?).set_entries(Some(entries));
        let answer = match request.send().await {
            Ok(answer) => answer,
            Err(error) if error.as_service_error().is_some_and(refuses_contents) => match bodies {
                [_] => {
                    return Err(StoreError::of(StoreErrorKind::Invalid, store_error(&what, &error).message));
                }
                // One of them: the others are as good as alone.
                _ => {
                    let each = bodies.chunks(1).map(|body| Box::pin(self.try_send(queue, body)));
                    let sent = join_all(each).await.into_iter();
                    return Ok(sent
                        .map(|sent| sent.and_then(|mut one| one.pop().unwrap_or(Ok(()))))
                        .collect());
                }
            },
            Err(error) => return Err(store_error(&what, &error)),
        };
        let mut outcomes: Vec<Result<(), StoreError>> = bodies.iter().map(|_| Ok(())).collect();
        for failed in answer.failed() {
            if let Some(outcome) = failed.id().parse::<usize>().ok().and_then(|index| outcomes.get_mut(index))
            {
                let (code, message) = (failed.code(), failed.message().unwrap_or_default());
                let kind =
                    if REFUSALS.contains(&code) { StoreErrorKind::Invalid } else { kind_of_code(code) };
                *outcome = Err(StoreError::of(kind, format!("{what}: {code}: {message}")));
            }
        }
        Ok(outcomes)
    }

    /// Hides a message that was taken for so long from now; one that was dealt with stays away.
    ///
    /// # Errors
    /// [`StoreError`] when the queue cannot be reached.
    pub async fn hide(&self, worker: &WorkerName, handle: &str, hidden: Duration) -> Result<(), StoreError> {
        let queue = self.names.queue(worker);
        let seconds = i32::try_from(hidden.min(MAX_HIDDEN).as_secs()).unwrap_or(i32::MAX);
        let request = self.client.change_message_visibility().queue_url(&*self.url(&queue).await?);
        match request.receipt_handle(handle).visibility_timeout(seconds).send().await {
            Ok(_) => Ok(()),
            // It is gone, or another consumer has it now.
            Err(error)
                if error.as_service_error().is_some_and(|error| {
                    error.is_message_not_inflight()
                        || error.is_receipt_handle_is_invalid()
                        || is_invalid(error)
                }) =>
            {
                Ok(())
            }
            Err(error) => Err(store_error(&format!("hiding a message of queue {queue}"), &error)),
        }
    }

    fn taken(&self, receipt: &str) -> Option<(WorkerName, String)> {
        self.taken.lock().unwrap_or_else(PoisonError::into_inner).remove(receipt)
    }

    async fn delete_batch(&self, worker: &WorkerName, handles: &[String]) -> Result<(), StoreError> {
        let queue = self.names.queue(worker);
        let what = format!("deleting from queue {queue}");
        let entries = handles.iter().enumerate().map(|(index, handle)| {
            DeleteMessageBatchRequestEntry::builder()
                .id(index.to_string())
                .receipt_handle(handle)
                .build()
                .map_err(|error| StoreError::invalid(format!("{what}: {error}")))
        });
        let entries = entries.collect::<Result<Vec<_>, _>>()?;
        let request = self.client.delete_message_batch().queue_url(&*self.url(&queue).await?);
        let answer = request.set_entries(Some(entries)).send().await;
        let answer = answer.map_err(|error| store_error(&what, &error))?;
        // An expired receipt is not an error: another consumer has the message.
        match answer.failed().iter().find(|failed| !failed.sender_fault()) {
            None => Ok(()),
            Some(failed) => {
                Err(StoreError::of(kind_of_code(failed.code()), format!("{what}: {}", failed.code())))
            }
        }
    }
}

/// The codes by which SQS says that it never takes a message with these contents: a character that XML does not know, or
/// more than the queue's `MaximumMessageSize` (SQS API Reference, SendMessage).
const REFUSALS: [&str; 4] = [
    "InvalidMessageContents",
    "InvalidParameterValue",
    "BatchRequestTooLong",
    "AWS.SimpleQueueService.BatchRequestTooLong",
];

/// Whether a request was refused for its contents.
fn refuses_contents(error: &impl aws_sdk_sqs::error::ProvideErrorMetadata) -> bool {
    error.code().is_some_and(|code| REFUSALS.contains(&code))
}

/// AWS answers an old receipt, and a message that is too long, with a code that the service's model
/// does not name.
fn is_invalid(error: &impl aws_sdk_sqs::error::ProvideErrorMetadata) -> bool {
    error.code() == Some("InvalidParameterValue")
}

/// The seconds until a time, rounded up: a message must not come before it.
fn delay(at: Timestamp, now: Timestamp) -> i32 {
    let millis = u64::try_from((at - now).num_milliseconds()).unwrap_or(0);
    i32::try_from(millis.div_ceil(1000).min(MAX_DELAY)).unwrap_or(0)
}

/// A receipt says which queue it is of.
fn receipt(worker: &WorkerName, handle: &str) -> String {
    format!("{worker}\n{handle}")
}

fn parts(receipt: &str) -> Result<(WorkerName, &str), StoreError> {
    let parts =
        receipt.split_once('\n').and_then(|(worker, handle)| Some((WorkerName::new(worker).ok()?, handle)));
    let strange = "the receipt does not belong to this queue";
    parts.ok_or_else(|| StoreError::of(StoreErrorKind::Invalid, strange))
}

#[async_trait]
impl Queue for Queues {
    async fn send(&self, messages: Vec<Outgoing>) -> Vec<Result<(), StoreError>> {
        let now = self.clock.now();
        let mut outcomes: Vec<Result<(), StoreError>> = messages.iter().map(|_| Ok(())).collect();
        let mut by_worker: HashMap<&WorkerName, Vec<(usize, (String, i32))>> = HashMap::new();
        for (index, outgoing) in messages.iter().enumerate() {
            let entry = (outgoing.message.body(), delay(outgoing.at, now));
            by_worker.entry(&outgoing.message.worker).or_default().push((index, entry));
        }
        let mut batches = Vec::new();
        for (worker, entries) in by_worker {
            for batch in batches_of(entries) {
                let (places, bodies): (Vec<usize>, Vec<(String, i32)>) = batch.into_iter().unzip();
                batches.push(async move { (places, self.send_batch(worker, &bodies).await) });
            }
        }
        for (places, sent) in join_all(batches).await {
            for (place, outcome) in places.into_iter().zip(sent) {
                outcomes[place] = outcome;
            }
        }
        // A message that is refused for what it holds ends its run, which says so.
        let is_unsent = |outcome: &&Result<(), StoreError>| {
            outcome.as_ref().is_err_and(|error| error.kind != StoreErrorKind::Invalid)
        };
        let count = outcomes.iter().filter(is_unsent).count();
        if count > 0 {
            tracing::info!(target: UNSENT, count, "messages could not be sent");
        }
        outcomes
    }

    async fn depth(&self, worker: &WorkerName) -> Result<Depth, StoreError> {
        self.depth_of(&self.names.queue(worker)).await
    }
}

/// Cuts entries into batches that one call takes.
fn batches_of(entries: Vec<(usize, (String, i32))>) -> Vec<Vec<(usize, (String, i32))>> {
    let mut batches: Vec<Vec<(usize, (String, i32))>> = Vec::new();
    let mut bytes = 0;
    for entry in entries {
        let size = entry.1.0.len();
        match batches.last_mut() {
            Some(batch) if batch.len() < MAX_BATCH && bytes + size <= MAX_BATCH_BYTES => {
                bytes += size;
                batch.push(entry);
            }
            _ => {
                bytes = size;
                batches.push(vec![entry]);
            }
        }
    }
    batches
}

#[async_trait]
impl Consumer for Queues {
    async fn receive(
        &self,
        worker: &WorkerName,
        max: usize,
        wait: Duration,
    ) -> Result<Vec<Delivery>, StoreError> {
        let queue = self.names.queue(worker);
        let wait = wait.min(MAX_WAIT);
        let timeouts = TimeoutConfig::builder()
            .operation_attempt_timeout(ATTEMPT + wait)
            .operation_timeout(ATTEMPT * 2 + wait)
            .build();
        let request = self
            .client
            .receive_message()
            .queue_url(&*self.url(&queue).await?)
            .max_number_of_messages(i32::try_from(max.clamp(1, MAX_BATCH)).unwrap_or(1))
            .wait_time_seconds(i32::try_from(wait.as_secs()).unwrap_or(0))
            .set_visibility_timeout(self.hidden.map(|hidden| i32::try_from(hidden.as_secs()).unwrap_or(0)))
            .message_system_attribute_names(MessageSystemAttributeName::ApproximateReceiveCount)
            .customize()
            .config_override(aws_sdk_sqs::config::Builder::new().timeout_config(timeouts));
        let answer = request.send().await;
        let answer = answer.map_err(|error| store_error(&format!("receiving from queue {queue}"), &error))?;
        let mut deliveries = Vec::new();
        let mut taken = self.taken.lock().unwrap_or_else(PoisonError::into_inner);
        for message in answer.messages.unwrap_or_default() {
            let count = MessageSystemAttributeName::ApproximateReceiveCount;
            let receives = message.attributes().and_then(|all| all.get(&count)?.parse().ok()).unwrap_or(1);
            let receipt = receipt(worker, message.receipt_handle().unwrap_or_default());
            let body = message.body.unwrap_or_default();
            taken.insert(receipt.clone(), (worker.clone(), body.clone()));
            deliveries.push(Delivery { body, receives, receipt, found: None });
        }
        Ok(deliveries)
    }

    async fn delete(&self, receipts: Vec<String>) -> Result<(), StoreError> {
        let mut by_worker: HashMap<WorkerName, Vec<String>> = HashMap::new();
        for receipt in &receipts {
            self.taken(receipt);
            let (worker, handle) = parts(receipt)?;
            by_worker.entry(worker).or_default().push(handle.to_owned());
        }
        for (worker, handles) in by_worker {
            for batch in handles.chunks(MAX_BATCH) {
                self.delete_batch(&worker, batch).await?;
            }
        }
        Ok(())
    }

    async fn release(&self, receipt: &str, after: Duration) -> Result<(), StoreError> {
        self.taken(receipt);
        self.keep(receipt, after).await
    }

    async fn keep(&self, receipt: &str, hidden: Duration) -> Result<(), StoreError> {
        let (worker, handle) = parts(receipt)?;
        self.hide(&worker, handle, hidden).await
    }

    async fn bury(&self, receipt: &str, reason: &str) -> Result<(), StoreError> {
        if let Some((worker, body)) = self.taken(receipt) {
            self.put_aside(&worker, &body, reason).await?;
        }
        self.delete(vec![receipt.to_owned()]).await
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn delays_are_whole_seconds_and_never_too_short() {
        let now = chrono::DateTime::from_timestamp(1_000, 0).unwrap();
        let after = |millis| delay(now + chrono::TimeDelta::milliseconds(millis), now);
        assert_eq!([after(-5_000), after(0), after(1), after(1_000), after(1_001)], [0, 0, 1, 1, 2]);
        assert_eq!(after(10_000_000), 900);
    }

    #[test]
    fn batches_hold_ten_messages_and_a_mebibyte() {
        let entries = |count: usize, bytes: usize| {
            (0..count).map(|index| (index, ("x".repeat(bytes), 0))).collect::<Vec<_>>()
        };
        let sizes = |entries| batches_of(entries).iter().map(Vec::len).collect::<Vec<_>>();
        assert_eq!(sizes(entries(23, 10)), [10, 10, 3]);
        assert_eq!(sizes(entries(4, 400 * 1024)), [2, 2]);
        assert_eq!(sizes(entries(1, 2 * MAX_BATCH_BYTES)), [1]);
    }
}
