//! Messages on their way to a queue in SQLite.

use std::sync::LazyLock;
use std::sync::atomic::{AtomicU64, Ordering};

use pumice_core::ids::WorkerName;
use pumice_core::ports::Outgoing;
use rusqlite::{CachedStatement, Connection, params};
use uuid::Uuid;

/// A message as it is put on a queue.
#[derive(Debug)]
pub(crate) struct QueuedMessage {
    pub(crate) queue: WorkerName,
    pub(crate) visible_at: i64,
    pub(crate) id: i64,
    pub(crate) body: String,
}

impl From<&Outgoing> for QueuedMessage {
    fn from(outgoing: &Outgoing) -> Self {
        let message = &outgoing.message;
        Self {
            queue: message.worker.clone(),
            visible_at: outgoing.at.timestamp_micros(),
            id: next_id(),
            body: message.body(),
        }
    }
}

/// A number that no other message has: each process counts from somewhere else.
pub(crate) fn next_id() -> i64 {
    static NEXT: LazyLock<AtomicU64> = LazyLock::new(|| {
        let (_, random) = Uuid::new_v4().as_u64_pair();
        AtomicU64::new(random)
    });
    (NEXT.fetch_add(1, Ordering::Relaxed) & (u64::MAX >> 1)).cast_signed()
}

/// The statement that puts letters on their queues.
pub(crate) fn insertion(connection: &Connection) -> Result<CachedStatement<'_>, rusqlite::Error> {
    connection.prepare_cached("INSERT INTO messages VALUES (?, ?, ?, 0, ?)")
}

impl QueuedMessage {
    /// Puts it on its queue, with [`insertion`]'s statement.
    pub(crate) fn put(&self, insertion: &mut CachedStatement<'_>) -> Result<(), rusqlite::Error> {
        insertion.execute(params![self.queue.as_str(), self.visible_at, self.id, self.body]).map(drop)
    }
}
