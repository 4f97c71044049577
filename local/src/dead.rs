//! How much is on the queues in SQLite, and their dead letters.

use std::collections::HashMap;
use std::time::Duration;

use async_trait::async_trait;
use chrono::{DateTime, Utc};
use pumice_core::ids::WorkerName;
use pumice_core::message::Message;
use pumice_core::ports::{
    Buried, DeadLetter, DeadLetterPage, DeadLetters, DeadQueue, Depth, Oldest, StoreError,
};
use rusqlite::{Connection, OptionalExtension, Row, params};

use crate::database::Database;
use crate::letter::next_id;
use crate::stored::text;

const COLUMNS: &str = "id, queue, body, receives, reason, at";

/// The letter in a row of [`COLUMNS`]; none where the queue has no name of a worker's.
fn letter(row: &Row<'_>) -> Result<Option<DeadLetter>, rusqlite::Error> {
    let Ok(worker) = WorkerName::new(text(row, 1)?) else { return Ok(None) };
    Ok(Some(DeadLetter {
        id: row.get::<_, i64>(0)?.to_string(),
        queue: DeadQueue::Worker(worker),
        body: text(row, 2)?,
        receives: row.get(3)?,
        reason: Some(text(row, 4)?).filter(|reason| !reason.is_empty()),
        at: DateTime::from_timestamp_micros(row.get(5)?).unwrap_or_default(),
    }))
}

/// Does something with each dead letter of a queue that is named. No function takes requests here: there are none of a
/// dispatcher.
async fn each(
    database: &Database,
    queue: &DeadQueue,
    ids: &[String],
    act: impl Fn(&Connection, &str, i64) -> Result<bool, rusqlite::Error> + Send + 'static,
) -> Result<Vec<Buried>, StoreError> {
    let DeadQueue::Worker(worker) = queue else { return Ok(vec![Buried::NotFound; ids.len()]) };
    let (queue, ids) = (worker.to_string(), ids.to_vec());
    let operation = move |connection: &Connection| {
        let acted = |id: &String| match id.parse::<i64>().ok().filter(|number| number.to_string() == *id) {
            Some(id) if act(connection, &queue, id)? => Ok(Buried::Done),
            _ => Ok(Buried::NotFound),
        };
        ids.iter().map(acted).collect()
    };
    database.run(operation).await
}

fn remove(connection: &Connection, queue: &str, id: i64) -> Result<bool, rusqlite::Error> {
    let sql = "DELETE FROM dead_letters WHERE id = ? AND queue = ?";
    Ok(connection.prepare_cached(sql)?.execute(params![id, queue])? > 0)
}

#[async_trait]
impl DeadLetters for Database {
    async fn dead_queues(&self) -> Result<Option<Vec<DeadQueue>>, StoreError> {
        let sql = "SELECT DISTINCT queue FROM dead_letters ORDER BY queue";
        let names: Vec<String> = self
            .look(move |connection| {
                connection.prepare_cached(sql)?.query_map([], |row| text(row, 0))?.collect()
            })
            .await?;
        Ok(Some(
            names
                .into_iter()
                .filter_map(|name| Some(DeadQueue::Worker(WorkerName::new(name).ok()?)))
                .collect(),
        ))
    }

    async fn dead_count(&self, queue: &DeadQueue) -> Result<u64, StoreError> {
        let DeadQueue::Worker(worker) = queue else { return Ok(0) };
        let (sql, queue) = ("SELECT count(*) FROM dead_letters WHERE queue = ?", worker.to_string());
        let count: i64 = self
            .look(move |connection| connection.prepare_cached(sql)?.query_row([queue], |row| row.get(0)))
            .await?;
        Ok(count.unsigned_abs())
    }

    async fn dead_letters_of(&self, queue: &DeadQueue, limit: usize) -> Result<DeadLetterPage, StoreError> {
        let DeadQueue::Worker(worker) = queue else { return Ok(DeadLetterPage::default()) };
        let queue = worker.to_string();
        let found: Vec<Option<DeadLetter>> = self
            .look(move |connection| {
                let sql =
                    format!("SELECT {COLUMNS} FROM dead_letters WHERE queue = ? ORDER BY at, id LIMIT ?");
                let most = i64::try_from(limit.saturating_add(1)).unwrap_or(i64::MAX);
                connection.prepare_cached(&sql)?.query_map(params![queue, most], letter)?.collect()
            })
            .await?;
        let mut letters: Vec<DeadLetter> = found.into_iter().flatten().collect();
        let has_more = letters.len() > limit;
        letters.truncate(limit);
        Ok(DeadLetterPage { letters, has_more })
    }

    async fn redrive(&self, queue: &DeadQueue, ids: &[String]) -> Result<Vec<Buried>, StoreError> {
        let now = Utc::now().timestamp_micros();
        let outcomes = each(self, queue, ids, move |connection, queue, id| {
            let sql = "SELECT body FROM dead_letters WHERE id = ? AND queue = ?";
            let body: Option<String> = connection
                .prepare_cached(sql)?
                .query_row(params![id, queue], |row| text(row, 0))
                .optional()?;
            let Some(body) = body else { return Ok(false) };
            let put = "INSERT INTO messages VALUES (?, ?, ?, 0, ?)";
            connection.prepare_cached(put)?.execute(params![queue, now, next_id(), body])?;
            remove(connection, queue, id)
        })
        .await?;
        self.arrived().notify_one();
        Ok(outcomes)
    }

    async fn discard(&self, queue: &DeadQueue, ids: &[String]) -> Result<Vec<Buried>, StoreError> {
        each(self, queue, ids, remove).await
    }
}

impl Database {
    /// The dead letters of every worker, the newest first.
    ///
    /// # Errors
    /// [`StoreError`] when the store cannot be reached.
    pub async fn dead_letters(&self) -> Result<Vec<DeadLetter>, StoreError> {
        let found: Vec<Option<DeadLetter>> = self
            .look(|connection| {
                let sql = format!("SELECT {COLUMNS} FROM dead_letters ORDER BY at DESC, id DESC");
                connection.prepare(&sql)?.query_map([], letter)?.collect()
            })
            .await?;
        Ok(found.into_iter().flatten().collect())
    }

    /// The answer of [`pumice_core::ports::Queue::depth`]. A message is handed out when this process has handed it out, or when
    /// its run is under way: another process may serve the folder.
    pub(crate) async fn depth_of(&self, worker: &WorkerName) -> Result<Depth, StoreError> {
        let (queue, now) = (worker.to_string(), Utc::now().timestamp_micros());
        let out: HashMap<i64, i64> = {
            let in_flight = self.in_flight();
            let of_it = in_flight.iter().filter(|(_, hidden)| hidden.is_out(worker, now));
            of_it.map(|(id, hidden)| (id, hidden.visible_at)).collect()
        };
        self.look(move |connection| {
            // The index alone: bodies may be long.
            let count = |sql: &str| -> Result<u64, rusqlite::Error> {
                let mut count = connection.prepare_cached(sql)?;
                count.query_row(params![queue, now], |row| row.get::<_, i64>(0)).map(i64::unsigned_abs)
            };
            let visible = count("SELECT count(*) FROM messages WHERE queue = ?1 AND visible_at <= ?2")?;
            let delayed = count("SELECT count(*) FROM messages WHERE queue = ?1 AND visible_at > ?2")?;
            let (in_flight, oldest) = handed_out(connection, &queue, &out, now)?;
            Ok(Depth { ready: visible.saturating_sub(in_flight), delayed, in_flight, oldest })
        })
        .await
    }
}

/// Most messages whose runs are looked at, the oldest ones: those that are handed out are among them.
const MOST_LOOKED_AT: usize = 1_000;

/// How many messages of a queue are handed out, and the age of the oldest one that is not. `own` has those that this process
/// has handed out, with the times since which they were visible.
fn handed_out(
    connection: &Connection,
    queue: &str,
    own: &HashMap<i64, i64>,
    now: i64,
) -> Result<(u64, Oldest), rusqlite::Error> {
    let is_there = "SELECT 1 FROM messages WHERE queue = ? AND visible_at = ? AND id = ?";
    let mut is_there = connection.prepare_cached(is_there)?;
    let mut count = 0;
    for (id, visible_at) in own {
        // It may have been dealt with since.
        count += u64::from(is_there.exists(params![queue, visible_at, id])?);
    }
    let sql = "SELECT visible_at, id, body FROM messages WHERE queue = ? AND visible_at <= ? ORDER BY visible_at, id";
    let mut messages = connection.prepare_cached(sql)?;
    let mut rows = messages.query(params![queue, now])?;
    let leased = "SELECT 1 FROM runs WHERE key = ? AND record ->> '$.lease.until' > ?";
    let mut leased = connection.prepare_cached(leased)?;
    let (mut looked_at, mut oldest) = (0, Oldest::None);
    while looked_at < MOST_LOOKED_AT || matches!(oldest, Oldest::None) {
        let Some(row) = rows.next()? else { break };
        looked_at += 1;
        let (visible_at, id): (i64, i64) = (row.get(0)?, row.get(1)?);
        if own.get(&id) == Some(&visible_at) {
            continue;
        }
        let is_under_way = looked_at <= MOST_LOOKED_AT
            && match Message::read(&text(row, 2)?) {
                Ok(message) => leased.exists(params![message.key().as_str(), now])?,
                // One that cannot be read is about no run that is known.
                Err(_) => false,
            };
        count += u64::from(is_under_way);
        if !is_under_way && matches!(oldest, Oldest::None) {
            oldest = Oldest::Age(Duration::from_micros(now.saturating_sub(visible_at).unsigned_abs()));
        }
    }
    Ok((count, oldest))
}
