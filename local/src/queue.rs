//! The workers' queues, in SQLite, with the guarantees of SQS.

use std::time::Duration;

use async_trait::async_trait;
use chrono::Utc;
use pumice_core::Timestamp;
use pumice_core::ids::WorkerName;
use pumice_core::ports::{Consumer, Delivery, Outgoing, Queue, StoreError};
use rusqlite::{Connection, OptionalExtension, params};

use crate::database::Database;

/// How long a message that was handed out stays hidden.
pub const VISIBILITY: Duration = Duration::from_secs(300);
/// How often a message is handed out before it goes to the dead letters.
pub const MAX_RECEIVES: u32 = 10;
/// How often to look for messages that other processes have put on the queue.
const POLL: Duration = Duration::from_millis(25);

/// A message that was put aside for a person to look at.
#[derive(Clone, Debug, PartialEq)]
pub struct DeadLetter {
    /// The queue it was on.
    pub queue: String,
    /// Its body.
    pub body: String,
    /// How often it was handed out.
    pub receives: u32,
    /// Why it was put aside.
    pub reason: String,
    /// When.
    pub at: Timestamp,
}

fn micros(duration: Duration) -> i64 {
    i64::try_from(duration.as_micros()).unwrap_or(i64::MAX)
}

pub(crate) fn insert(connection: &Connection, outgoing: &Outgoing) -> Result<(), rusqlite::Error> {
    let message = &outgoing.message;
    connection
        .prepare_cached("INSERT INTO messages (queue, visible_at, body) VALUES (?, ?, ?)")?
        .execute(params![message.worker.as_str(), outgoing.at.timestamp_micros(), message.body()])
        .map(drop)
}

/// Makes every message that was handed out visible again.
pub(crate) fn make_visible(connection: &Connection, now: Timestamp) -> Result<(), rusqlite::Error> {
    let now = now.timestamp_micros();
    connection
        .execute("UPDATE messages SET visible_at = ?1 WHERE receives > 0 AND visible_at > ?1", [now])
        .map(drop)
}

fn bury(connection: &Connection, id: i64, reason: &str, now: i64) -> Result<(), rusqlite::Error> {
    connection
        .prepare_cached(
            "INSERT INTO dead_letters (queue, body, receives, reason, at)
             SELECT queue, body, receives, ?, ? FROM messages WHERE id = ?",
        )?
        .execute(params![reason, now, id])?;
    connection.prepare_cached("DELETE FROM messages WHERE id = ?")?.execute([id]).map(drop)
}

/// Takes what is visible; with it, when the next message will be.
fn take(
    connection: &Connection,
    queue: &str,
    max: usize,
    now: i64,
) -> Result<(Vec<Delivery>, Option<i64>), rusqlite::Error> {
    let mut statement = connection.prepare_cached(
        "SELECT id, body, receives FROM messages WHERE queue = ? AND visible_at <= ? ORDER BY visible_at, id LIMIT ?",
    )?;
    let rows = statement.query_map(params![queue, now, max.cast_signed()], |row| {
        Ok((row.get::<_, i64>(0)?, row.get::<_, String>(1)?, row.get::<_, u32>(2)?))
    })?;
    let mut taken = Vec::new();
    for row in rows.collect::<Result<Vec<_>, _>>()? {
        let (id, body, receives) = row;
        if receives >= MAX_RECEIVES {
            bury(connection, id, &format!("handed out {receives} times"), now)?;
            continue;
        }
        connection
            .prepare_cached("UPDATE messages SET visible_at = ?, receives = receives + 1 WHERE id = ?")?
            .execute(params![now + micros(VISIBILITY), id])?;
        taken.push(Delivery { body, receives: receives + 1, receipt: format!("{id}:{}", receives + 1) });
    }
    let next = if taken.is_empty() {
        connection
            .prepare_cached("SELECT min(visible_at) FROM messages WHERE queue = ?")?
            .query_row([queue], |row| row.get(0))
            .optional()?
            .flatten()
    } else {
        None
    };
    Ok((taken, next))
}

/// The message and the number of the delivery that a receipt stands for.
fn parse(receipt: &str) -> Result<(i64, u32), StoreError> {
    let parts =
        receipt.split_once(':').and_then(|(id, receives)| Some((id.parse().ok()?, receives.parse().ok()?)));
    parts.ok_or_else(|| StoreError::new(format!("{receipt:?} is no receipt")))
}

#[async_trait]
impl Queue for Database {
    async fn send(&self, messages: Vec<Outgoing>) -> Vec<Result<(), StoreError>> {
        let count = messages.len();
        let sent = self
            .run(move |connection| messages.iter().try_for_each(|outgoing| insert(connection, outgoing)))
            .await;
        self.arrived().notify_one();
        vec![sent; count]
    }
}

#[async_trait]
impl Consumer for Database {
    async fn receive(
        &self,
        worker: &WorkerName,
        max: usize,
        wait: Duration,
    ) -> Result<Vec<Delivery>, StoreError> {
        let taken = self.receive_from(std::slice::from_ref(worker), max, wait).await?;
        Ok(taken.into_iter().map(|(_, delivery)| delivery).collect())
    }

    async fn delete(&self, receipts: Vec<String>) -> Result<(), StoreError> {
        let receipts = receipts.iter().map(|receipt| parse(receipt)).collect::<Result<Vec<_>, _>>()?;
        self.run(move |connection| {
            let mut statement =
                connection.prepare_cached("DELETE FROM messages WHERE id = ? AND receives = ?")?;
            receipts.iter().try_for_each(|(id, receives)| statement.execute(params![id, receives]).map(drop))
        })
        .await
    }

    async fn release(&self, receipt: &str, after: Duration) -> Result<(), StoreError> {
        self.keep(receipt, after).await
    }

    async fn keep(&self, receipt: &str, hidden: Duration) -> Result<(), StoreError> {
        let (id, receives) = parse(receipt)?;
        let visible_at = Utc::now().timestamp_micros() + micros(hidden);
        self.run(move |connection| {
            connection
                .prepare_cached("UPDATE messages SET visible_at = ? WHERE id = ? AND receives = ?")?
                .execute(params![visible_at, id, receives])
                .map(drop)
        })
        .await
    }

    async fn bury(&self, receipt: &str, reason: &str) -> Result<(), StoreError> {
        let (id, _) = parse(receipt)?;
        let (reason, now) = (reason.to_owned(), Utc::now().timestamp_micros());
        self.run(move |connection| bury(connection, id, &reason, now)).await
    }
}

/// A message, and the worker whose queue it was on.
pub(crate) type Taken = (WorkerName, Delivery);

/// Takes from several queues, and tells when the next message on one of them will be visible.
fn take_from(
    connection: &Connection,
    workers: &[WorkerName],
    max: usize,
    now: i64,
) -> Result<(Vec<Taken>, Option<i64>), rusqlite::Error> {
    let mut taken = Vec::new();
    let mut soonest: Option<i64> = None;
    for worker in workers {
        let (some, next) = take(connection, worker.as_str(), max - taken.len(), now)?;
        taken.extend(some.into_iter().map(|delivery| (worker.clone(), delivery)));
        soonest = soonest.into_iter().chain(next).min();
        if taken.len() == max {
            break;
        }
    }
    Ok((taken, soonest))
}

impl Database {
    /// Takes up to `max` messages of several workers' queues, waiting up to `wait` for the first.
    /// Not to be dropped while it waits: what it took would stay hidden for [`VISIBILITY`].
    ///
    /// # Errors
    /// [`StoreError`] when the store cannot be reached.
    pub async fn receive_from(
        &self,
        workers: &[WorkerName],
        max: usize,
        wait: Duration,
    ) -> Result<Vec<Taken>, StoreError> {
        let until = tokio::time::Instant::now() + wait;
        loop {
            let queues = workers.to_vec();
            let now = Utc::now().timestamp_micros();
            let (taken, next) = self.run(move |connection| take_from(connection, &queues, max, now)).await?;
            let left = until.saturating_duration_since(tokio::time::Instant::now());
            if !taken.is_empty() || left.is_zero() {
                return Ok(taken);
            }
            let next = next.map_or(POLL, |at| Duration::from_micros(u64::try_from(at - now).unwrap_or(0)));
            let pause = tokio::time::sleep(next.min(POLL).min(left));
            tokio::select! {
                () = self.arrived().notified() => {}
                () = pause => {}
            }
        }
    }

    /// The names of workers that have a job, and, when `queued`, of those that have a message.
    ///
    /// # Errors
    /// [`StoreError`] when the store cannot be reached.
    pub(crate) async fn worker_names(&self, queued: bool) -> Result<Vec<WorkerName>, StoreError> {
        self.run(move |connection| {
            let sql = if queued {
                "SELECT DISTINCT spec ->> 'worker' FROM jobs UNION SELECT DISTINCT queue FROM messages"
            } else {
                "SELECT DISTINCT spec ->> 'worker' FROM jobs"
            };
            let mut statement = connection.prepare_cached(sql)?;
            let names =
                statement.query_map([], |row| row.get::<_, String>(0))?.collect::<Result<Vec<_>, _>>()?;
            Ok(names.into_iter().filter_map(|name| WorkerName::new(name).ok()).collect())
        })
        .await
    }

    /// The messages that were put aside, newest first.
    ///
    /// # Errors
    /// [`StoreError`] when the store cannot be reached.
    pub async fn dead_letters(&self) -> Result<Vec<DeadLetter>, StoreError> {
        self.run(|connection| {
            let mut statement = connection
                .prepare("SELECT queue, body, receives, reason, at FROM dead_letters ORDER BY id DESC")?;
            let rows = statement.query_map([], |row| {
                Ok(DeadLetter {
                    queue: row.get(0)?,
                    body: row.get(1)?,
                    receives: row.get(2)?,
                    reason: row.get(3)?,
                    at: chrono::DateTime::from_timestamp_micros(row.get(4)?).unwrap_or_default(),
                })
            })?;
            rows.collect()
        })
        .await
    }

    /// How many messages are on the queues, hidden ones included.
    ///
    /// # Errors
    /// [`StoreError`] when the store cannot be reached.
    pub async fn waiting_messages(&self) -> Result<usize, StoreError> {
        self.run(|connection| {
            connection.query_row("SELECT count(*) FROM messages", [], |row| row.get::<_, i64>(0))
        })
        .await
        .map(|count| usize::try_from(count).unwrap_or(0))
    }
}
