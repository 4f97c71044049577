//! The depth of workers' queues, and their dead letters.

use std::fmt;
use std::time::Duration;

use async_trait::async_trait;

use super::StoreError;
use crate::Timestamp;
use crate::ids::WorkerName;

/// How long the message has waited that has waited longest.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Oldest {
    /// No message waits.
    None,
    /// So long, from the time at which it could first be handed out.
    Age(Duration),
    /// The queue does not report it.
    Unknown,
}

/// The depth of a worker's queue. SQS gives approximate numbers (SQS, GetQueueAttributes).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Depth {
    /// Messages that can be handed out now.
    pub ready: u64,
    /// Messages that are not to be handed out yet.
    pub delayed: u64,
    /// Messages that were handed out and are not dealt with. Another process's are counted as ready where only the
    /// process that takes from a queue knows of them.
    pub in_flight: u64,
    /// How long the one has waited that has waited longest.
    pub oldest: Oldest,
}

/// A dead-letter queue of a realm.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum DeadQueue {
    /// That of a worker's queue: messages about runs.
    Worker(WorkerName),
    /// That of the dispatcher: requests and events that it did not take. There is none where no function takes requests.
    Dispatcher,
}

impl fmt::Display for DeadQueue {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Worker(worker) => write!(f, "worker {worker}"),
            Self::Dispatcher => f.write_str("the dispatcher"),
        }
    }
}

/// A message in a dead-letter queue, for a person to look at.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DeadLetter {
    /// Its id among the dead letters of its queue.
    pub id: String,
    /// The dead-letter queue that it is on.
    pub queue: DeadQueue,
    /// Its body.
    pub body: String,
    /// How often it was handed out; `None` where the queue does not report it.
    pub receives: Option<u32>,
    /// Why it was moved there; `None` where the queue did it by itself, or had no room for the reason.
    pub reason: Option<String>,
    /// When it was moved there, or sent where the queue does not report the move.
    pub at: Timestamp,
}

/// Some of the letters of a dead-letter queue.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct DeadLetterPage {
    /// The letters; a store that keeps their order gives the oldest first.
    pub letters: Vec<DeadLetter>,
    /// Whether there may be more.
    pub has_more: bool,
}

/// The outcome for a dead letter that was named.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Buried {
    /// The request was carried out.
    Done,
    /// There is no dead letter by this id. SQS may also have hidden it, as another reader has it.
    NotFound,
    /// The dispatcher does not take it, for this reason: it stays where it is.
    Refused(String),
}

/// The dead letters: messages that were handed out too often, and messages that could not be dealt with.
#[async_trait]
pub trait DeadLetters: Send + Sync {
    /// The dead-letter queues that have letters; `None` where the store does not keep a list of its queues.
    ///
    /// # Errors
    /// [`StoreError`] when the store cannot be reached.
    async fn dead_queues(&self) -> Result<Option<Vec<DeadQueue>>, StoreError>;
    /// About how many letters a queue has.
    ///
    /// # Errors
    /// [`StoreError`] when the queue cannot be reached, or is not there where queues are made apart.
    async fn dead_count(&self, queue: &DeadQueue) -> Result<u64, StoreError>;
    /// Up to `limit` letters of a queue; they stay where they are. SQS hides what it shows from other readers for the moment,
    /// and counts the look.
    ///
    /// # Errors
    /// As [`DeadLetters::dead_count`].
    async fn dead_letters_of(&self, queue: &DeadQueue, limit: usize) -> Result<DeadLetterPage, StoreError>;
    /// Puts letters of a worker back on its queue, to be handed out now and counted from the beginning; hands those of the
    /// dispatcher to it once more, under the names that they had, so that what it took of them before is not taken again. The
    /// outcomes are in the order of the ids. Should the process end in between, a letter may be in both places, never in
    /// neither.
    ///
    /// # Errors
    /// [`StoreError`] when a queue cannot be reached: some may have been put back.
    async fn redrive(&self, queue: &DeadQueue, ids: &[String]) -> Result<Vec<Buried>, StoreError>;
    /// Removes letters for good. The outcomes are in the order of the ids.
    ///
    /// # Errors
    /// [`StoreError`] when the queue cannot be reached: some may have been removed.
    async fn discard(&self, queue: &DeadQueue, ids: &[String]) -> Result<Vec<Buried>, StoreError>;
}
