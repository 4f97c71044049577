//! The engine's ports to the outside: stores, a queue, the clock, randomness.
//!
//! Each port is a trait that adapters implement. An adapter holds no rules: it carries out a call and
//! reports the outcome.

mod audit;
mod catalog;
mod clock;
mod databases;
mod dead_letters;
mod documents;
mod due;
mod failure;
mod http;
mod mail;
mod messaging;
mod objects;
mod pieces;
mod pool;
mod queries;
mod schedules;
mod servers;
mod starts;
mod state;
mod triggers;
mod workspaces;

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use chrono::NaiveDate;

pub use audit::{AuditQuery, AuditStore};
pub use catalog::{Catalog, Doc, JobChange, JobUpsert};
pub use clock::{Clock, Random};
pub use databases::{Cell, DatabaseError, Databases, NoDatabases, Rows, Session};
pub use dead_letters::{Buried, DeadLetter, DeadLetterPage, DeadLetters, DeadQueue, Depth, Oldest};
pub use documents::{DocumentChange, DocumentWrite, DocumentsWritten};
pub use due::{DuePage, DuePlace, DueTimetables};
pub use failure::{StoreError, StoreErrorKind};
pub use http::{Http, HttpError, HttpRequest, HttpResponse, MAX_REDIRECTS, MAX_RESPONSE, NoHttp};
pub use mail::{Attachment, Composed, Email, Mail, MailError, NoMail};
pub use messaging::{
    BusEvent, FunctionAnswer, FunctionCall, Messaging, NoMessaging, QueueMessage, SesEmail, TopicMessage,
    WITHOUT_AWS,
};
pub use objects::ObjectStore;
pub use pieces::{Fetched, MAX_LISTED, MAX_PIECE, Object, ObjectPage, Piece};
pub use pool::{AtOnce, BlockingPool, PoolError};
pub use queries::{BadCursor, Counts, Order, PageCursor, Pager, PastCount, RunCount, RunPage, RunQuery};
pub use schedules::{BackfillStore, ScheduleStore};
pub use servers::{Servers, WITHOUT_SQL};
pub use starts::{Minute, MinuteCount, Starts};
pub use state::{MAX_SECURE_BYTES, StateItem, StateStore, StateType};
pub use triggers::{TriggerStore, TriggerUpsert};
pub use workspaces::{TempDir, Workspace, Workspaces};

pub use crate::bulk::BulkStore;
pub use crate::hosts::HostStore;

use crate::Timestamp;
use crate::connection::{ConnectionStore, Secrets};
use crate::ids::{JobId, RunId, RunKey, WorkerName};
use crate::message::Message;
use crate::pauses::Pauses;
use crate::permits::{Gate, GateView, PermitChange};
use crate::problem::SpecError;
use crate::run::{LockChange, NewRun, Run};
use crate::spec::{JobSpec, RealmSpec, RunSpec};

/// A write that did not take place, or may not have.
#[derive(Debug, Clone, thiserror::Error)]
pub enum CommitError {
    /// Another writer was first: load the record and decide again.
    #[error("the record was changed meanwhile")]
    Conflict,
    /// Another run holds the job's lock.
    #[error("run {0} holds the lock of the job")]
    Locked(RunKey),
    /// The gate has no permit left, or its line is another than when it was looked at.
    #[error("no permit of {} is left", .0.words())]
    Full(Gate),
    /// No answer: the write may have taken place. Load and see.
    #[error("no answer to a write: {0}")]
    Unknown(String),
    /// The record is larger than the store takes, or of a form that it cannot keep: this write did
    /// not take place and never can. It says what, and what to do about it.
    #[error("{0}")]
    Unrecordable(String),
    /// The write did not take place.
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl From<CommitError> for StoreError {
    fn from(error: CommitError) -> Self {
        let kind = match error {
            CommitError::Store(error) => return error,
            CommitError::Conflict | CommitError::Locked(_) | CommitError::Full(_) => {
                StoreErrorKind::Throttled
            }
            CommitError::Unknown(_) => StoreErrorKind::Unreachable,
            CommitError::Unrecordable(_) => StoreErrorKind::Invalid,
        };
        Self::of(kind, error.to_string())
    }
}

/// One write of a run's record, on the condition that its `rev` is one more than the stored one.
#[derive(Clone, Debug)]
pub struct Change {
    /// The record as it is to be.
    pub run: Run,
    /// The change to its job's lock, in the same write.
    pub lock: Option<LockChange>,
    /// The change to its permit, in the same write.
    pub permit: Option<PermitChange>,
    /// The message to send after the write, or within it where the store can.
    pub message: Option<Outgoing>,
}

/// The outcome of creating a run.
#[derive(Clone, Debug, Default)]
pub struct Created {
    /// The run that was there already under this key.
    pub existing: Option<Box<Run>>,
    /// Whether the store has sent the message itself, within the same transaction.
    pub sent: bool,
    /// Why it was not made and never can be: it is too large for the store or of a form that it cannot
    /// keep, and what to do about it.
    pub refused: Option<String>,
    /// Why it is not known to be made, when others of its batch are: the store did not answer rightly.
    pub failed: Option<StoreError>,
}

impl Created {
    /// Whether it was made now.
    #[must_use]
    pub fn is_new(&self) -> bool {
        self.existing.is_none() && self.refused.is_none() && self.failed.is_none()
    }

    /// Whether it was made now, and its message is still to be sent.
    #[must_use]
    pub fn is_unsent(&self) -> bool {
        self.is_new() && !self.sent
    }
}

/// A message to be sent.
#[derive(Clone, Debug, PartialEq)]
pub struct Outgoing {
    /// The message.
    pub message: Message,
    /// Not to be handed out before this: for a [`Queue`] at most 15 minutes ahead, for a [`WakeUps`]
    /// as far as one likes.
    pub at: Timestamp,
}

/// A job as it is stored: its spec, or why what is stored is none. The same spec is handed out
/// again and again, so that what was once checked need not be checked anew.
pub type StoredJob = Result<Arc<JobSpec>, SpecError>;

/// Job specs and the realm.
#[async_trait]
pub trait JobStore: Send + Sync {
    /// The realm's definition.
    async fn realm(&self) -> Result<Arc<RealmSpec>, StoreError>;
    /// The realm's definition as it is stored now, where [`realm`](Self::realm) may give one that was read a while ago.
    async fn current_realm(&self) -> Result<Arc<RealmSpec>, StoreError> {
        self.realm().await
    }
    /// The jobs with these ids, in this order; `None` for one that does not exist, the reason for
    /// one whose stored spec is invalid.
    async fn jobs(&self, ids: &[JobId]) -> Result<Vec<Option<StoredJob>>, StoreError>;
    /// The ids of all jobs, to find the one that was meant; `None` where that costs too much.
    async fn job_ids(&self) -> Result<Option<Vec<JobId>>, StoreError>;
}

/// Records of runs.
#[async_trait]
pub trait RunStore: Send + Sync {
    /// Makes runs that do not exist yet, each by itself: one that exists already is left as it is. An
    /// error says that none is known to be made.
    async fn create(&self, runs: &[(NewRun, Option<Outgoing>)]) -> Result<Vec<Created>, StoreError>;
    /// Writes a run and what it uses over the record of one that was turned away, on the condition of [`RunStore::commit`].
    /// Returns whether it did; a store that receives no such messages never does.
    async fn make_anew(&self, new: &NewRun) -> Result<bool, CommitError> {
        let _ = new;
        Ok(false)
    }
    /// The record.
    async fn load(&self, key: &RunKey) -> Result<Option<Run>, StoreError>;
    /// The record to be looked at: without the parts that are kept elsewhere.
    async fn peek(&self, key: &RunKey) -> Result<Option<Run>, StoreError> {
        self.load(key).await
    }
    /// The record and what it uses, in one round trip.
    async fn load_with_spec(&self, key: &RunKey) -> Result<Option<(Run, RunSpec)>, StoreError>;
    /// The same for a run that another one is to be made of: a store that signs specs checks the signature, also in a
    /// process that only shows runs. [`Run::gone`] says why the spec must not be used.
    async fn load_trusted(&self, key: &RunKey) -> Result<Option<(Run, RunSpec)>, StoreError> {
        self.load_with_spec(key).await
    }
    /// Writes a record unless another write came first; returns whether the message was sent with it.
    async fn commit(&self, change: &Change) -> Result<bool, CommitError>;
    /// The children of one attempt of a run, by step.
    async fn children(&self, key: &RunKey, attempt: u32) -> Result<Vec<Run>, StoreError>;
    /// The runs that are due for a look, the longest due first.
    async fn due(&self, now: Timestamp, limit: usize) -> Result<Vec<Run>, StoreError>;
    /// In how many parts a store keeps what is due, which can be read side by side.
    fn due_parts(&self) -> usize {
        1
    }
    /// A page of one part of what is due, the longest due first, after a place that an earlier page gave. A record that cannot
    /// be read is left alone for an hour. A store that gives no place to go on from gives the first `limit` alone.
    async fn due_page(
        &self,
        part: usize,
        now: Timestamp,
        after: Option<&DuePlace>,
        limit: usize,
    ) -> Result<DuePage, StoreError> {
        let _ = (part, after);
        Ok(DuePage { runs: self.due(now, limit).await?, ..DuePage::default() })
    }
    /// A page of runs, in the query's order. Runs made within the last [`RunStore::lag`] may be missing. Of the runs
    /// that there were when the first page was read, a list that is followed to its end misses none and has none twice.
    ///
    /// # Errors
    /// [`StoreError`] when the store cannot be reached, or the cursor is one of the other order.
    async fn page(&self, query: &RunQuery) -> Result<RunPage, StoreError>;
    /// The runs of one page.
    ///
    /// # Errors
    /// As [`RunStore::page`].
    async fn list(&self, query: &RunQuery) -> Result<Vec<Run>, StoreError> {
        self.page(query).await.map(|page| page.runs)
    }
    /// How many runs there are by job and status, as the store keeps count; `None` where it does not.
    ///
    /// # Errors
    /// [`StoreError`] when the store cannot be reached.
    async fn counts(&self) -> Result<Option<Counts>, StoreError> {
        Ok(None)
    }
    /// How many runs there were whose records are gone, of the days (UTC) of their dispatch from `since` until before `until`:
    /// neither steps nor alerts of broken limits. `None` where the store does not keep count.
    ///
    /// # Errors
    /// [`StoreError`] when the store cannot be reached.
    async fn past(&self, since: NaiveDate, until: NaiveDate) -> Result<Option<Vec<PastCount>>, StoreError> {
        let _ = (since, until);
        Ok(None)
    }
    /// How many runs there are of those that a query asks for, whatever its limit; `None` where that costs
    /// too much.
    ///
    /// # Errors
    /// [`StoreError`] when the store cannot be reached.
    async fn count(&self, query: &RunQuery) -> Result<Option<u64>, StoreError> {
        if !query.is_counted() {
            return Ok(None);
        }
        Ok(self.counts().await?.and_then(|counts| counts.of(query)))
    }
    /// How many runs of their own were dispatched in each minute from `since` until `until`, which is the present one. A run
    /// that a clock which was put back has dispatched later than that counts for `until`.
    ///
    /// # Errors
    /// [`StoreError`] when the store cannot be reached.
    async fn starts(&self, since: Minute, until: Minute) -> Result<Starts, StoreError> {
        starts::read(self, since, until).await
    }
    /// Runs of their own whose keys begin with a text, up to `limit`.
    async fn beginning(&self, prefix: &str, limit: usize) -> Result<Beginning, StoreError> {
        let query = RunQuery { limit: MAX_LOOKED, ..RunQuery::default() };
        let runs = self.list(&query).await?;
        let looked_at = (runs.len() == MAX_LOOKED).then_some(MAX_LOOKED);
        let keys = runs.into_iter().map(|run| run.key).filter(|key| key.as_str().starts_with(prefix));
        Ok(Beginning { keys: keys.take(limit).collect(), looked_at })
    }
    /// Whether [`RunStore::beginning`] costs no more than to read a record.
    fn looks_up_beginnings(&self) -> bool {
        false
    }
    /// How long after it was made a run may be missing from lists.
    fn lag(&self) -> Duration {
        Duration::ZERO
    }
    /// The pauses of the realm.
    ///
    /// # Errors
    /// [`StoreError`] when the store cannot be reached, or the record cannot be read.
    async fn pauses(&self) -> Result<Pauses, StoreError> {
        Ok(Pauses::default())
    }
    /// Writes the pauses on the condition that their `rev` is one more than the stored one.
    ///
    /// # Errors
    /// [`CommitError::Conflict`] when another writer was first; else that the store cannot be reached, or keeps none.
    async fn put_pauses(&self, pauses: &Pauses) -> Result<(), CommitError> {
        let _ = pauses;
        Err(StoreError::of(StoreErrorKind::Invalid, "this store keeps no pauses").into())
    }
    /// Removes the records of a run that is done with, and of its steps; returns whether it did so: not for one that
    /// is not done with, or has no record. A run that is removed may be made again under its key.
    ///
    /// # Errors
    /// [`StoreError`] when the store cannot be reached, or removes no runs.
    async fn remove(&self, key: &RunKey) -> Result<bool, StoreError> {
        Err(StoreError::of(StoreErrorKind::Invalid, format!("run {key} cannot be removed from this store")))
    }
    /// The run that has a job's lock; `None` where it is free, or the store does not report it.
    ///
    /// # Errors
    /// [`StoreError`] when the store cannot be reached.
    async fn holder(&self, job_id: &JobId) -> Result<Option<RunKey>, StoreError> {
        let _ = job_id;
        Ok(None)
    }
    /// A gate: its holders, and the first `limit` of its line, by their tickets. Earlier writes are seen.
    ///
    /// # Errors
    /// [`StoreError`] when the store cannot be reached, or keeps no gates.
    async fn gate(&self, gate: &Gate, limit: usize) -> Result<GateView, StoreError> {
        let _ = limit;
        Err(no_gates(gate))
    }
    /// Takes a run from a gate, and from its place in line, of which the record is gone or done: its own writes did not.
    ///
    /// # Errors
    /// [`StoreError`] when the store cannot be reached, or keeps no gates.
    async fn leave_gate(&self, gate: &Gate, key: &RunKey, ticket: Option<u64>) -> Result<(), StoreError> {
        let _ = (key, ticket);
        Err(no_gates(gate))
    }
    /// Runs of a job that wait for its lock, the longest waiting first.
    async fn in_line(&self, job_id: &JobId, limit: usize) -> Result<Vec<Run>, StoreError>;
}

fn no_gates(gate: &Gate) -> StoreError {
    StoreError::of(StoreErrorKind::Invalid, format!("this store keeps no permits of {}", gate.words()))
}

/// Most runs that a store looks at for the beginning of an id, unless it says otherwise.
const MAX_LOOKED: usize = 1_000;

/// Runs of their own whose keys begin with a text.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Beginning {
    /// Their keys.
    pub keys: Vec<RunKey>,
    /// Of how many of the newest runs, steps included, this is true; `None` when of all.
    pub looked_at: Option<usize>,
}

/// Sends messages to workers' queues.
#[async_trait]
pub trait Queue: Send + Sync {
    /// Sends each; the outcomes are in the same order. A message may arrive more than once, and
    /// not in order.
    async fn send(&self, messages: Vec<Outgoing>) -> Vec<Result<(), StoreError>>;
    /// How much is on a worker's queue.
    ///
    /// # Errors
    /// [`StoreError`] when the queue cannot be reached.
    async fn depth(&self, worker: &WorkerName) -> Result<Depth, StoreError>;
    /// The runs that the first `limit` messages of a worker's queue are about, of those that can be handed out now or
    /// are in flight; `None` from a queue that cannot list them, as SQS.
    ///
    /// # Errors
    /// [`StoreError`] when the queue cannot be reached.
    async fn runs_on_it(&self, worker: &WorkerName, limit: usize) -> Result<Option<Vec<RunKey>>, StoreError> {
        let _ = (worker, limit);
        Ok(None)
    }
}

/// Sends wake-ups to workers' queues at times further ahead than a queue holds a message. The sweeper does the
/// same: a wake-up that is lost here costs nothing while the sweeper runs.
#[async_trait]
pub trait WakeUps: Send + Sync {
    /// Has each message put on its worker's queue at its time, or up to a minute later; the outcomes are
    /// in the same order. The messages are about runs that were dispatched, not about their children:
    /// asked again for the same run before that time, it puts one.
    async fn schedule(&self, messages: Vec<Outgoing>) -> Vec<Result<(), StoreError>>;
    /// Has the clock looked at, as the sweeper does, at each of these times or up to a minute later; the outcomes are in
    /// the same order. Asked again for the same time, it has it looked at once. The default does nothing.
    async fn look_at_clock(&self, times: Vec<Timestamp>) -> Vec<Result<(), StoreError>> {
        times.iter().map(|_| Ok(())).collect()
    }
}

/// A run as lava's tools read it (lava guide, The Events Table).
#[derive(Clone, Debug, PartialEq)]
pub struct LavaEvent {
    /// The item, with its key: `job_id` and `run_id`.
    pub item: Doc,
    /// The revision of the record that it was made of.
    pub rev: u64,
}

/// The records that lava workers write of their runs (lava guide, The Events Table).
#[async_trait]
pub trait LavaEvents: Send + Sync {
    /// The record of a run as a worker of lava's keeps it; `None` when there is none, or no such table, or
    /// [`put_event`](Self::put_event) wrote it.
    async fn event(&self, job_id: &JobId, run_id: RunId) -> Result<Option<Doc>, StoreError>;
    /// Writes the event of a run that a worker of Pumice's ran, over the event of an earlier revision. An event that a
    /// lava worker wrote stays as it is.
    async fn put_event(&self, event: &LavaEvent) -> Result<(), StoreError>;
}

/// A message as it was handed out.
#[derive(Clone, Debug)]
pub struct Delivery {
    /// Its body.
    pub body: String,
    /// How often it was handed out, this time included.
    pub receives: u32,
    /// The handle by which to delete, release or keep it.
    pub receipt: String,
    /// The record of its run and the spec, where the queue stands beside the records and has read them with the message.
    pub found: Option<Box<(Run, RunSpec)>>,
}

/// Takes messages from a worker's queue, with the guarantees of SQS: at least once, hidden from
/// others for a while, to the dead letters after too many times.
#[async_trait]
pub trait Consumer: Send + Sync {
    /// Takes up to `max` messages, waiting up to `wait` for the first.
    async fn receive(
        &self,
        worker: &WorkerName,
        max: usize,
        wait: Duration,
    ) -> Result<Vec<Delivery>, StoreError>;
    /// Takes up to `max` messages of several workers' queues, waiting up to `wait` for the first. Not to be dropped while it
    /// waits: what it took would stay hidden.
    ///
    /// # Errors
    /// [`StoreError`] when a queue cannot be reached and no message was taken of another.
    async fn receive_from(
        &self,
        workers: &[WorkerName],
        max: usize,
        wait: Duration,
    ) -> Result<Vec<(WorkerName, Delivery)>, StoreError> {
        // The queues share the wait; a consumer that can wait for all at once does so itself.
        let each = wait / u32::try_from(workers.len().max(1)).unwrap_or(u32::MAX);
        let mut taken: Vec<(WorkerName, Delivery)> = Vec::new();
        for worker in workers.iter() {
            let wait = if taken.is_empty() { each } else { Duration::ZERO };
            match self.receive(worker, max - taken.len(), wait).await {
                Ok(some) => taken.extend(some.into_iter().map(|delivery| (worker.clone(), delivery))),
                Err(error) if taken.is_empty() => return Err(error),
                Err(error) => tracing::warn!(%worker, %error, "cannot take messages"),
            }
            if taken.len() >= max {
                break;
            }
        }
        Ok(taken)
    }
    /// The messages are dealt with.
    async fn delete(&self, receipts: Vec<String>) -> Result<(), StoreError>;
    /// The message is dealt with. It may be deleted with what is written next: if the process ends before that, it comes again
    /// and meets a run that has ended.
    async fn delete_soon(&self, receipt: String) -> Result<(), StoreError> {
        self.delete(vec![receipt]).await
    }
    /// The message is to be handed out again, after a while.
    async fn release(&self, receipt: &str, after: Duration) -> Result<(), StoreError>;
    /// The message is to stay hidden for so long from now.
    async fn keep(&self, receipt: &str, hidden: Duration) -> Result<(), StoreError>;
    /// Moves the message to the dead-letter queue, for a person to look at.
    async fn bury(&self, receipt: &str, reason: &str) -> Result<(), StoreError>;
}

/// Everything the engine asks of the world.
#[derive(Clone)]
pub struct Ports {
    /// Job specs and the realm.
    pub jobs: Arc<dyn JobStore>,
    /// Records of runs.
    pub runs: Arc<dyn RunStore>,
    /// How far schedules have come.
    pub schedules: Arc<dyn ScheduleStore>,
    /// State items.
    pub state: Arc<dyn StateStore>,
    /// Connections.
    pub connections: Arc<dyn ConnectionStore>,
    /// Secrets.
    pub secrets: Arc<dyn Secrets>,
    /// The workers' queues.
    pub queue: Arc<dyn Queue>,
    /// Wake-ups for runs that are due later than a queue holds a message; `None` leaves them to the sweeper
    /// alone.
    pub wake_ups: Option<Arc<dyn WakeUps>>,
    /// The hosts of workers; `None` where a single host runs all jobs.
    pub hosts: Option<Arc<dyn HostStore>>,
    /// The records that lava workers write; `None` where there are none.
    pub lava_events: Option<Arc<dyn LavaEvents>>,
    /// Files that outlive a run.
    pub objects: Arc<dyn ObjectStore>,
    /// Requests to servers of the web.
    pub http: Arc<dyn Http>,
    /// Topics, queues, event buses and functions outside the realm.
    pub messaging: Arc<dyn Messaging>,
    /// Servers that speak neither HTTP nor AWS's interfaces.
    pub servers: Servers,
    /// The time.
    pub clock: Arc<dyn Clock>,
    /// Chance.
    pub random: Arc<dyn Random>,
    /// Threads for what may take long.
    pub pool: Arc<dyn BlockingPool>,
    /// The directories that jobs work in.
    pub workspaces: Arc<dyn Workspaces>,
}

impl std::fmt::Debug for Ports {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Ports")
    }
}
