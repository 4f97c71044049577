//! The workers' queues, in memory, with the guarantees of SQS.

use std::collections::BTreeMap;
use std::time::Duration;

use pumice_core::Timestamp;
use pumice_core::duration::Span;
use pumice_core::ids::WorkerName;
use pumice_core::ports::{Delivery, Outgoing, StoreError};

/// How long a message that was handed out stays hidden.
pub const VISIBILITY: Span = Span::from_mins(5);
/// How often a message is handed out before it goes to the dead letters.
pub const MAX_RECEIVES: u32 = 10;

/// A message that was put aside.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DeadLetter {
    /// Its body.
    pub body: String,
    /// Why.
    pub reason: String,
}

/// All queues.
#[derive(Debug, Default)]
pub struct QueueTable {
    messages: BTreeMap<u64, Waiting>,
    put: u64,
    dead: Vec<DeadLetter>,
}

#[derive(Debug)]
struct Waiting {
    queue: WorkerName,
    body: String,
    visible_at: Timestamp,
    receives: u32,
}

impl QueueTable {
    /// Puts a message on its worker's queue.
    pub fn put(&mut self, outgoing: &Outgoing) {
        self.put += 1;
        let message = Waiting {
            queue: outgoing.message.worker.clone(),
            body: outgoing.message.body(),
            visible_at: outgoing.at,
            receives: 0,
        };
        self.messages.insert(self.put, message);
    }

    /// Takes up to `max` visible messages, the longest visible first.
    pub fn take(&mut self, queue: &WorkerName, max: usize, now: Timestamp) -> Vec<Delivery> {
        let visible = self.messages.iter().filter(|(_, m)| m.queue == *queue && m.visible_at <= now);
        let mut ids: Vec<(Timestamp, u64)> = visible.map(|(id, message)| (message.visible_at, *id)).collect();
        ids.sort_unstable();
        ids.truncate(max);
        ids.into_iter().filter_map(|(_, id)| self.hand_out(id, now)).collect()
    }

    fn hand_out(&mut self, id: u64, now: Timestamp) -> Option<Delivery> {
        let message = self.messages.get_mut(&id)?;
        if message.receives >= MAX_RECEIVES {
            let reason = format!("handed out {} times", message.receives);
            self.bury(id, &reason);
            return None;
        }
        message.receives += 1;
        message.visible_at = now + VISIBILITY.delta();
        let receives = message.receives;
        Some(Delivery { body: message.body.clone(), receives, receipt: format!("{id}:{receives}") })
    }

    /// When the next message of any queue will be visible.
    #[must_use]
    pub fn next_visible(&self) -> Option<Timestamp> {
        self.messages.values().map(|message| message.visible_at).min()
    }

    /// Removes a message, unless it was handed out again since.
    ///
    /// # Errors
    /// [`StoreError`] when the receipt is none.
    pub fn delete(&mut self, receipt: &str) -> Result<(), StoreError> {
        if let Some(id) = self.current(receipt)? {
            self.messages.remove(&id);
        }
        Ok(())
    }

    /// Hides a message for so long from `now`, unless it was handed out again since.
    ///
    /// # Errors
    /// [`StoreError`] when the receipt is none.
    pub fn hide(&mut self, receipt: &str, hidden: Duration, now: Timestamp) -> Result<(), StoreError> {
        if let Some(id) = self.current(receipt)?
            && let Some(message) = self.messages.get_mut(&id)
        {
            message.visible_at = now + Span::from(hidden).delta();
        }
        Ok(())
    }

    /// Puts a message aside.
    ///
    /// # Errors
    /// [`StoreError`] when the receipt is none.
    pub fn put_aside(&mut self, receipt: &str, reason: &str) -> Result<(), StoreError> {
        let (id, _) = parse(receipt)?;
        self.bury(id, reason);
        Ok(())
    }

    fn bury(&mut self, id: u64, reason: &str) {
        if let Some(message) = self.messages.remove(&id) {
            self.dead.push(DeadLetter { body: message.body, reason: reason.to_owned() });
        }
    }

    /// The message that a receipt stands for, if it was not handed out again since.
    fn current(&self, receipt: &str) -> Result<Option<u64>, StoreError> {
        let (id, receives) = parse(receipt)?;
        Ok(self.messages.get(&id).filter(|message| message.receives == receives).map(|_| id))
    }

    /// The messages that were put aside.
    #[must_use]
    pub fn dead(&self) -> &[DeadLetter] {
        &self.dead
    }

    /// How many messages there are, hidden ones included.
    #[must_use]
    pub fn len(&self) -> usize {
        self.messages.len()
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.messages.is_empty()
    }
}

fn parse(receipt: &str) -> Result<(u64, u32), StoreError> {
    let parts =
        receipt.split_once(':').and_then(|(id, receives)| Some((id.parse().ok()?, receives.parse().ok()?)));
    parts.ok_or_else(|| StoreError::new(format!("{receipt:?} is no receipt")))
}
