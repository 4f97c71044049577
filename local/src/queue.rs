//! The workers' queues, in SQLite, with the guarantees of SQS.

use std::time::Duration;

use async_trait::async_trait;
use chrono::Utc;
use pumice_core::ids::{RunKey, WorkerName};
use pumice_core::message::Message;
use pumice_core::ports::{Consumer, Delivery, Depth, Outgoing, Queue, StoreError};
use rusqlite::{Connection, OptionalExtension, params};

use crate::database::Database;
use crate::flight::{Hidden, InFlight};
use crate::letter::{QueuedMessage, insertion};
use crate::stored::load_with_spec;

/// How long a message that was handed out stays hidden.
pub const VISIBILITY: Duration = Duration::from_secs(300);
/// How often a message is handed out before it goes to the dead letters.
pub const MAX_RECEIVES: u32 = 10;
/// How often to look for messages that other processes have put on the queue.
const POLL: Duration = Duration::from_millis(25);

fn whole_micros(duration: Duration) -> i64 {
    i64::try_from(duration.as_micros()).unwrap_or(i64::MAX)
}

fn remove(connection: &Connection, id: i64, hidden: &Hidden) -> Result<(), rusqlite::Error> {
    connection
        .prepare_cached("DELETE FROM messages WHERE queue = ? AND visible_at = ? AND id = ?")?
        .execute(params![hidden.queue.as_str(), hidden.visible_at, id])
        .map(drop)
}

fn bury(
    connection: &Connection,
    id: i64,
    hidden: &Hidden,
    reason: &str,
    now: i64,
) -> Result<(), rusqlite::Error> {
    connection
        .prepare_cached(
            // The message's own id: one that is given anew would name another letter later.
            "INSERT INTO dead_letters (id, queue, body, receives, reason, at)
             SELECT id, queue, body, ?, ?, ? FROM messages WHERE queue = ? AND visible_at = ? AND id = ?",
        )?
        .execute(params![hidden.receives, reason, now, hidden.queue.as_str(), hidden.visible_at, id])?;
    remove(connection, id, hidden)
}

/// A message that was taken, with the record and the spec of its run as they are stored: nearly always the next question about
/// it, which would stand in line by itself.
struct Received {
    delivery: Delivery,
    stored: Option<(String, String)>,
}

/// Messages that were taken from a queue.
#[derive(Default)]
struct Takings {
    received: Vec<Received>,
    exhausted: Exhausted,
}

/// Takes what is visible, of one queue.
fn take(
    connection: &Connection,
    in_flight: &mut InFlight,
    queue: &WorkerName,
    max: usize,
    now: i64,
) -> Result<Takings, rusqlite::Error> {
    let mut statement = connection.prepare_cached(
        "SELECT visible_at, id, receives, body FROM messages WHERE queue = ? AND visible_at <= ? ORDER BY visible_at, id",
    )?;
    let mut rows = statement.query(params![queue.as_str(), now])?;
    let mut takings = Takings::default();
    while takings.received.len() < max {
        let Some(row) = rows.next()? else { break };
        let (visible_at, id, stored): (i64, i64, u32) = (row.get(0)?, row.get(1)?, row.get(2)?);
        let before = in_flight.get(id).filter(|hidden| hidden.visible_at == visible_at);
        if before.is_some_and(|hidden| hidden.until > now) {
            continue;
        }
        let times = before.map_or(stored, |hidden| hidden.receives);
        let receives = if times < MAX_RECEIVES { times + 1 } else { times };
        let until = now + whole_micros(VISIBILITY);
        in_flight.hide(id, Hidden { queue: queue.clone(), visible_at, receives, until });
        let receipt = format!("{id}:{receives}");
        if times < MAX_RECEIVES {
            let delivery = Delivery { body: row.get(3)?, receives, receipt, found: None };
            let key = Message::key_of(&delivery.body);
            let stored = key.map(|key| load_with_spec(connection, &key)).transpose()?.flatten();
            takings.received.push(Received { delivery, stored });
        } else {
            takings.exhausted.push((receipt, times));
        }
    }
    Ok(takings)
}

/// When the next message of a queue will be visible.
fn next_visible(
    connection: &Connection,
    queue: &WorkerName,
    now: i64,
) -> Result<Option<i64>, rusqlite::Error> {
    connection
        .prepare_cached("SELECT min(visible_at) FROM messages WHERE queue = ? AND visible_at > ?")?
        .query_row(params![queue.as_str(), now], |row| row.get(0))
        .optional()
        .map(Option::flatten)
}

/// The message and the number of the delivery that a receipt names.
fn parse(receipt: &str) -> Result<(i64, u32), StoreError> {
    let parts =
        receipt.split_once(':').and_then(|(id, receives)| Some((id.parse().ok()?, receives.parse().ok()?)));
    parts.ok_or_else(|| StoreError::invalid(format!("{receipt:?} is not a receipt")))
}

#[async_trait]
impl Queue for Database {
    async fn send(&self, messages: Vec<Outgoing>) -> Vec<Result<(), StoreError>> {
        let count = messages.len();
        let letters: Vec<QueuedMessage> = messages.iter().map(QueuedMessage::from).collect();
        let sent = self
            .run(move |connection| {
                let mut insertion = insertion(connection)?;
                letters.iter().try_for_each(|letter| letter.put(&mut insertion))
            })
            .await;
        self.arrived().notify_one();
        vec![sent; count]
    }

    async fn depth(&self, worker: &WorkerName) -> Result<Depth, StoreError> {
        self.depth_of(worker).await
    }

    async fn runs_on_it(&self, worker: &WorkerName, limit: usize) -> Result<Option<Vec<RunKey>>, StoreError> {
        let (queue, now) = (worker.to_string(), Utc::now().timestamp_micros());
        let limit = i64::try_from(limit).unwrap_or(i64::MAX);
        let bodies: Vec<String> = self
            .look(move |connection| {
                let sql = "SELECT body FROM messages WHERE queue = ? AND visible_at <= ? ORDER BY visible_at, id LIMIT ?";
                let mut statement = connection.prepare_cached(sql)?;
                let rows = statement.query_map(params![queue, now, limit], |row| row.get(0))?;
                rows.collect()
            })
            .await?;
        // An unreadable message is about no known run.
        Ok(Some(bodies.iter().filter_map(|body| Message::read(body).ok()).map(|one| one.key()).collect()))
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

    async fn receive_from(
        &self,
        workers: &[WorkerName],
        max: usize,
        wait: Duration,
    ) -> Result<Vec<(WorkerName, Delivery)>, StoreError> {
        let until = tokio::time::Instant::now() + wait;
        loop {
            let queues = workers.to_vec();
            let now = Utc::now().timestamp_micros();
            let database = self.clone();
            let take_all = move |connection: &Connection| database.take_from(connection, &queues, max, now);
            let (taken, exhausted, next) = self.read(take_all).await?;
            for (receipt, times) in exhausted {
                if let Err(error) = self.bury(&receipt, &format!("handed out {times} times")).await {
                    // It stays hidden for a while and is found again; those that were taken do not wait.
                    tracing::warn!(%error, "a message could not be put away");
                }
            }
            let left = until.saturating_duration_since(tokio::time::Instant::now());
            if !taken.is_empty() || left.is_zero() {
                let read = |(worker, received): (_, Received)| (worker, self.delivery_of(received));
                return Ok(taken.into_iter().map(read).collect());
            }
            let next = next.map_or(POLL, |at| Duration::from_micros(u64::try_from(at - now).unwrap_or(0)));
            let pause = tokio::time::sleep(next.min(POLL).min(left));
            tokio::select! {
                () = self.arrived().notified() => {}
                () = pause => {}
            }
        }
    }

    async fn delete(&self, receipts: Vec<String>) -> Result<(), StoreError> {
        let operation = self.deletion(&receipts)?;
        self.run(operation).await
    }

    async fn delete_soon(&self, receipt: String) -> Result<(), StoreError> {
        self.run_soon(self.deletion(&[receipt])?);
        Ok(())
    }

    async fn release(&self, receipt: &str, after: Duration) -> Result<(), StoreError> {
        let (id, receives) = parse(receipt)?;
        let visible_at = Utc::now().timestamp_micros() + whole_micros(after);
        let database = self.clone();
        let released = self.run(move |connection| {
            let mut in_flight = database.in_flight();
            let Some(hidden) = in_flight.land(id, receives) else { return Ok(()) };
            connection
                .prepare_cached(
                    "UPDATE messages SET visible_at = ?, receives = ? WHERE queue = ? AND visible_at = ? AND id = ?",
                )?
                .execute(params![visible_at, hidden.receives, hidden.queue.as_str(), hidden.visible_at, id])
                .map(drop)
        });
        released.await.inspect_err(|_| {
            // This process still knows when the message is to come again.
            self.in_flight().hide_until(id, receives, visible_at);
        })
    }

    async fn keep(&self, receipt: &str, hidden: Duration) -> Result<(), StoreError> {
        let (id, receives) = parse(receipt)?;
        let until = Utc::now().timestamp_micros() + whole_micros(hidden);
        self.in_flight().hide_until(id, receives, until);
        Ok(())
    }

    async fn bury(&self, receipt: &str, reason: &str) -> Result<(), StoreError> {
        let (id, receives) = parse(receipt)?;
        let (reason, now) = (reason.to_owned(), Utc::now().timestamp_micros());
        let database = self.clone();
        self.run(move |connection| {
            let mut in_flight = database.in_flight();
            let Some(hidden) = in_flight.land(id, receives) else { return Ok(()) };
            bury(connection, id, hidden, &reason, now)
        })
        .await
    }
}

/// The receipts of messages that were handed out often enough, and how often that was.
type Exhausted = Vec<(String, u32)>;

/// A message, and the worker whose queue it was on.
type Taken = (WorkerName, Received);

impl Database {
    /// The delivery with the run that was read with it. A record that cannot be read is left to the engine, which says so.
    fn delivery_of(&self, Received { delivery, stored }: Received) -> Delivery {
        let found = stored.and_then(|stored| self.run_with_spec(stored).ok());
        Delivery { found: found.map(Box::new), ..delivery }
    }

    /// The operation that removes messages which are dealt with.
    fn deletion(
        &self,
        receipts: &[String],
    ) -> Result<impl Fn(&Connection) -> Result<(), rusqlite::Error> + Send + Sync + 'static, StoreError> {
        let receipts = receipts.iter().map(|receipt| parse(receipt)).collect::<Result<Vec<_>, _>>()?;
        let database = self.clone();
        Ok(move |connection: &Connection| {
            receipts.iter().try_for_each(|(id, receives)| match database.in_flight().land(*id, *receives) {
                Some(hidden) => remove(connection, *id, hidden),
                None => Ok(()),
            })
        })
    }

    /// Takes from several queues; when nothing is visible, returns when something will be.
    fn take_from(
        &self,
        connection: &Connection,
        workers: &[WorkerName],
        max: usize,
        now: i64,
    ) -> Result<(Vec<Taken>, Exhausted, Option<i64>), rusqlite::Error> {
        let mut in_flight = self.in_flight();
        let (mut taken, mut exhausted) = (Vec::new(), Vec::new());
        for worker in workers {
            let some = take(connection, &mut in_flight, worker, max - taken.len(), now)?;
            taken.extend(some.received.into_iter().map(|received| (worker.clone(), received)));
            exhausted.extend(some.exhausted);
        }
        if !taken.is_empty() {
            return Ok((taken, exhausted, None));
        }
        let mut soonest: Option<i64> = None;
        for worker in workers {
            soonest = soonest.into_iter().chain(next_visible(connection, worker, now)?).min();
        }
        Ok((taken, exhausted, soonest))
    }

    /// The names of workers that have a job, and, when `queued`, of those that have a message.
    ///
    /// # Errors
    /// [`StoreError`] when the store cannot be reached.
    pub(crate) async fn worker_names(&self, queued: bool) -> Result<Vec<WorkerName>, StoreError> {
        self.run(move |connection| {
            // From one queue to the next: there may be a million messages between.
            let sql = if queued {
                "WITH RECURSIVE queues(name) AS (
                     SELECT min(queue) FROM messages
                     UNION ALL SELECT (SELECT min(queue) FROM messages WHERE queue > name) FROM queues WHERE name IS NOT NULL
                 )
                 SELECT CASE WHEN json_valid(spec) THEN spec ->> 'worker' END FROM jobs
                 UNION SELECT name FROM queues WHERE name IS NOT NULL"
            } else {
                "SELECT DISTINCT CASE WHEN json_valid(spec) THEN spec ->> 'worker' END FROM jobs"
            };
            let mut statement = connection.prepare_cached(sql)?;
            let names = statement.query_map([], |row| row.get::<_, rusqlite::types::Value>(0))?;
            // A stored job may name none, or an invalid name: its runs are refused, and it needs no worker.
            let names = names.filter_map(|name| match name {
                Ok(rusqlite::types::Value::Text(name)) => WorkerName::new(name).ok().map(Ok),
                Ok(_) => None,
                Err(error) => Some(Err(error)),
            });
            names.collect()
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

#[cfg(test)]
mod tests {
    use crate::database::Durability;

    use super::*;

    fn open(folder: &tempfile::TempDir) -> Database {
        Database::open(&folder.path().join("realm.db"), folder.path(), Durability::Normal).unwrap()
    }

    /// Puts a message on the queue `core`.
    async fn put(database: &Database) {
        let queue = WorkerName::new("core").unwrap();
        let letter = QueuedMessage { queue, visible_at: 1, id: 1, body: "one".to_owned() };
        database.run(move |connection| letter.put(&mut insertion(connection)?)).await.unwrap();
    }

    async fn receive(database: &Database) -> Result<Option<(u32, String)>, StoreError> {
        let received = database.receive(&WorkerName::new("core").unwrap(), 1, Duration::ZERO).await?;
        Ok(received.into_iter().next().map(|delivery| (delivery.receives, delivery.receipt)))
    }

    async fn is_on_it(database: &Database) -> bool {
        let exists = |connection: &Connection| connection.prepare("SELECT 1 FROM messages")?.exists([]);
        database.run(exists).await.unwrap()
    }

    /// An operation that fails, with the transaction that it is part of.
    async fn fail(database: &Database) {
        let twice = |connection: &Connection| {
            connection.execute("INSERT INTO meta VALUES ('twice', ''), ('twice', '')", [])
        };
        database.run(twice).await.unwrap_err();
    }

    #[tokio::test]
    async fn message_that_was_taken_in_a_failed_transaction_is_not_hidden() {
        let folder = tempfile::tempdir().unwrap();
        let database = open(&folder);
        put(&database).await;
        let (received, ()) = tokio::join!(receive(&database), fail(&database));
        received.unwrap_err();
        assert_eq!(receive(&database).await.unwrap().unwrap().0, 1);
        assert_eq!(receive(&database).await.unwrap(), None);
    }

    #[tokio::test]
    async fn handled_message_is_deleted_by_the_next_transaction_that_takes_place() {
        let folder = tempfile::tempdir().unwrap();
        let database = open(&folder);
        put(&database).await;
        let (_, receipt) = receive(&database).await.unwrap().unwrap();
        database.delete_soon(receipt).await.unwrap();
        fail(&database).await;
        fail(&database).await;
        assert_eq!(receive(&database).await.unwrap(), None, "it is hidden");
        assert!(!is_on_it(&database).await);
    }

    #[tokio::test]
    async fn message_whose_release_fails_comes_again_at_its_time() {
        for (after, comes_again) in [(Duration::ZERO, true), (Duration::from_secs(60), false)] {
            let folder = tempfile::tempdir().unwrap();
            let database = open(&folder);
            put(&database).await;
            let (_, receipt) = receive(&database).await.unwrap().unwrap();
            let (released, ()) = tokio::join!(database.release(&receipt, after), fail(&database));
            released.unwrap_err();
            let received = receive(&database).await.unwrap().map(|(receives, _)| receives);
            assert_eq!(received, comes_again.then_some(2), "{after:?}");
        }
    }

    #[tokio::test]
    async fn every_queue_that_holds_a_message_is_found() {
        let folder = tempfile::tempdir().unwrap();
        let database = open(&folder);
        let names = async |queued| {
            let found = database.worker_names(queued).await.unwrap();
            found.into_iter().map(|name| name.to_string()).collect::<Vec<_>>()
        };
        assert!(names(true).await.is_empty());
        for (id, queue) in (0..).zip(["core", "a", "core", "zoo", "a", "core"]) {
            let queue = WorkerName::new(queue).unwrap();
            let letter = QueuedMessage { queue, visible_at: id, id, body: String::new() };
            database.run(move |connection| letter.put(&mut insertion(connection)?)).await.unwrap();
        }
        assert_eq!(names(true).await, ["a", "core", "zoo"]);
        assert!(names(false).await.is_empty(), "these are of jobs");
    }
}
