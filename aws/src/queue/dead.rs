//! How much is on a queue, and its dead letters: listed, put back and removed.
//!
//! SQS shows a message only to the one that receives it. So a look at dead letters receives them, and gives them
//! back when all were seen.

use std::collections::HashMap;
use std::time::Duration;

use async_trait::async_trait;
use aws_sdk_sqs::config::timeout::TimeoutConfig;
use aws_sdk_sqs::types::{Message, MessageSystemAttributeName, QueueAttributeName};
use pumice_core::Timestamp;
use pumice_core::ids::WorkerName;
use pumice_core::ports::{
    Buried, DeadLetter, DeadLetterPage, DeadLetters, DeadQueue, Depth, Oldest, StoreError,
};

use super::aside::REASON;
use super::{MAX_BATCH, Queues, requests};
use crate::connect::ATTEMPT;
use crate::failure::store_error;

/// The attribute with EventBridge's reason for sending an event to the dead-letter queue (EventBridge User Guide,
/// Dead-letter queues).
const ERROR_MESSAGE: &str = "ERROR_MESSAGE";
/// The attribute with SNS's reason, of a message that a subscription's redrive policy sent there (SNS Developer Guide, Dead-letter
/// queues).
const TOPICS_ERROR: &str = "ErrorMessage";
/// How long dead letters are hidden from others while they are looked at.
const HIDDEN: Duration = Duration::from_secs(120);
/// How long one look waits: from a second on SQS asks all of its servers (SQS, long polling).
const WAIT: Duration = Duration::from_secs(1);
/// Most dead letters that are received to find those which are named.
const MAX_LOOKED: usize = 10_000;

impl Queues {
    /// As [`pumice_core::ports::Queue::depth`]. SQS reports the age of the oldest message to CloudWatch alone.
    pub(super) async fn depth_of(&self, queue: &str) -> Result<Depth, StoreError> {
        let wanted = [
            QueueAttributeName::ApproximateNumberOfMessages,
            QueueAttributeName::ApproximateNumberOfMessagesDelayed,
            QueueAttributeName::ApproximateNumberOfMessagesNotVisible,
        ];
        let request = self.client.get_queue_attributes().queue_url(&*self.url(queue).await?);
        let answer = request.set_attribute_names(Some(wanted.to_vec())).send().await;
        let what = format!("asking how much is on queue {queue}");
        let answer = answer.map_err(|error| store_error(&what, &error))?;
        let attributes = answer.attributes.unwrap_or_default();
        let number = |name: &QueueAttributeName| {
            let told = attributes.get(name).and_then(|told| told.parse::<u64>().ok());
            told.ok_or_else(|| StoreError::corrupt(format!("{what}: {name} is missing")))
        };
        let [ready, delayed, in_flight] = &wanted;
        let (ready, delayed, in_flight) = (number(ready)?, number(delayed)?, number(in_flight)?);
        Ok(Depth { ready, delayed, in_flight, oldest: Oldest::Unknown })
    }

    /// Receives some dead letters, which hides them from other consumers; none when there are no
    /// more.
    async fn exhume(&self, queue: &str) -> Result<Vec<Message>, StoreError> {
        let timeouts = TimeoutConfig::builder()
            .operation_attempt_timeout(ATTEMPT + WAIT)
            .operation_timeout(ATTEMPT * 2 + WAIT)
            .build();
        let request = self
            .client
            .receive_message()
            .queue_url(&*self.url(queue).await?)
            .max_number_of_messages(i32::try_from(MAX_BATCH).unwrap_or(1))
            .wait_time_seconds(i32::try_from(WAIT.as_secs()).unwrap_or(1))
            .visibility_timeout(i32::try_from(HIDDEN.as_secs()).unwrap_or(0))
            .message_attribute_names(REASON)
            .message_attribute_names(ERROR_MESSAGE)
            .message_attribute_names(TOPICS_ERROR)
            .message_system_attribute_names(MessageSystemAttributeName::SentTimestamp)
            .customize()
            .config_override(aws_sdk_sqs::config::Builder::new().timeout_config(timeouts));
        let answer = request.send().await;
        let answer = answer.map_err(|error| store_error(&format!("receiving from queue {queue}"), &error))?;
        Ok(answer.messages.unwrap_or_default())
    }

    /// Makes dead letters visible to others again. One that fails here reappears by itself in a
    /// while.
    async fn inter(&self, queue: &str, messages: &[Message]) {
        for message in messages {
            let Ok(url) = self.url(queue).await else { return };
            let request = self.client.change_message_visibility().queue_url(&*url);
            let handle = message.receipt_handle().unwrap_or_default();
            if let Err(error) = request.receipt_handle(handle).visibility_timeout(0).send().await {
                tracing::warn!(error = %store_error("showing a dead letter again", &error), "it stays hidden for a while");
            }
        }
    }

    /// Takes the dead letters that are named, and does something with each.
    async fn each_dead(
        &self,
        of: &DeadQueue,
        ids: &[String],
        puts_back: bool,
    ) -> Result<Vec<Buried>, StoreError> {
        let queue = self.names.dead_queue(of);
        let mut outcomes: HashMap<&str, Buried> =
            ids.iter().map(|id| (id.as_str(), Buried::NotFound)).collect();
        let (mut others, mut left, mut looked_at) = (Vec::new(), outcomes.len(), 0);
        let mut failed = None;
        while left > 0 && failed.is_none() {
            let messages = match self.exhume(&queue).await {
                Ok(messages) if messages.is_empty() => break,
                Ok(messages) => messages,
                Err(error) => {
                    failed = Some(error);
                    break;
                }
            };
            looked_at += messages.len();
            for message in messages {
                let outcome = outcomes.get_mut(message.message_id().unwrap_or_default());
                match outcome.filter(|outcome| **outcome == Buried::NotFound && failed.is_none()) {
                    Some(outcome) => match self.settle(of, &queue, &message, puts_back).await {
                        Ok(Buried::Done) => (*outcome, left) = (Buried::Done, left - 1),
                        Ok(refused) => {
                            (*outcome, left) = (refused, left - 1);
                            others.push(message);
                        }
                        Err(error) => failed = Some(error),
                    },
                    None => others.push(message),
                }
            }
            if left > 0 && looked_at >= MAX_LOOKED {
                let message = format!(
                    "{left} of the dead letters are not among {looked_at} of queue {queue}: try again"
                );
                failed = failed.or(Some(StoreError::unreachable(message)));
            }
        }
        self.inter(&queue, &others).await;
        match failed {
            Some(error) => Err(error),
            None => Ok(ids.iter().map(|id| outcomes[id.as_str()].clone()).collect()),
        }
    }

    /// Puts a dead letter back first, where it is to be, and then removes it. One that the dispatcher refuses stays.
    async fn settle(
        &self,
        of: &DeadQueue,
        queue: &str,
        message: &Message,
        puts_back: bool,
    ) -> Result<Buried, StoreError> {
        if puts_back {
            let body = message.body().unwrap_or_default();
            match of {
                DeadQueue::Worker(worker) => self.put_back(worker, body).await?,
                DeadQueue::Dispatcher => {
                    if let Some(reason) = self.hand_over(body).await? {
                        return Ok(Buried::Refused(reason));
                    }
                }
            }
        }
        let request = self.client.delete_message().queue_url(&*self.url(queue).await?);
        let deleted = request.receipt_handle(message.receipt_handle().unwrap_or_default()).send().await;
        deleted.map_err(|error| store_error(&format!("deleting from queue {queue}"), &error))?;
        Ok(Buried::Done)
    }

    async fn put_back(&self, worker: &WorkerName, body: &str) -> Result<(), StoreError> {
        let to = self.names.queue(worker);
        let request = self.client.send_message().queue_url(&*self.url(&to).await?);
        let sent = request.message_body(body).send().await;
        sent.map(drop).map_err(|error| store_error(&format!("sending to queue {to}"), &error))
    }
}

fn letter(queue: &DeadQueue, message: &Message) -> DeadLetter {
    let sent = message.attributes().and_then(|all| all.get(&MessageSystemAttributeName::SentTimestamp));
    let at = sent.and_then(|sent| Timestamp::from_timestamp_millis(sent.parse().ok()?));
    let attributes = message.message_attributes();
    let attribute = |name: &str| attributes.and_then(|all| all.get(name)?.string_value()).map(str::to_owned);
    let body = message.body().unwrap_or_default();
    let found = [REASON, ERROR_MESSAGE, TOPICS_ERROR].into_iter().find_map(attribute);
    let reason = found.or_else(|| match queue {
        DeadQueue::Worker(_) => None,
        DeadQueue::Dispatcher => requests::reason(body),
    });
    DeadLetter {
        id: message.message_id().unwrap_or_default().to_owned(),
        queue: queue.clone(),
        body: body.to_owned(),
        // SQS counts the looks at a dead letter, too.
        receives: None,
        reason,
        at: at.unwrap_or_default(),
    }
}

#[async_trait]
impl DeadLetters for Queues {
    async fn dead_queues(&self) -> Result<Option<Vec<DeadQueue>>, StoreError> {
        Ok(None)
    }

    async fn dead_count(&self, queue: &DeadQueue) -> Result<u64, StoreError> {
        let depth = self.depth_of(&self.names.dead_queue(queue)).await?;
        Ok(depth.ready + depth.delayed + depth.in_flight)
    }

    async fn dead_letters_of(&self, of: &DeadQueue, limit: usize) -> Result<DeadLetterPage, StoreError> {
        let queue = self.names.dead_queue(of);
        let (mut messages, mut failed) = (Vec::new(), None);
        while messages.len() <= limit {
            match self.exhume(&queue).await {
                Ok(more) if more.is_empty() => break,
                Ok(more) => messages.extend(more),
                Err(error) => {
                    failed = Some(error);
                    break;
                }
            }
        }
        self.inter(&queue, &messages).await;
        if let Some(error) = failed {
            return Err(error);
        }
        let mut letters: Vec<DeadLetter> = messages.iter().map(|message| letter(of, message)).collect();
        letters.sort_by(|one, other| (one.at, &one.id).cmp(&(other.at, &other.id)));
        letters.dedup_by(|one, other| one.id == other.id);
        let has_more = letters.len() > limit;
        letters.truncate(limit);
        Ok(DeadLetterPage { letters, has_more })
    }

    async fn redrive(&self, queue: &DeadQueue, ids: &[String]) -> Result<Vec<Buried>, StoreError> {
        self.each_dead(queue, ids, true).await
    }

    async fn discard(&self, queue: &DeadQueue, ids: &[String]) -> Result<Vec<Buried>, StoreError> {
        self.each_dead(queue, ids, false).await
    }
}
