//! The workers' queues, in memory, with the guarantees of SQS.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use pumice_core::Timestamp;
use pumice_core::duration::Span;
use pumice_core::ids::WorkerName;
use pumice_core::ports::{
    Buried, DeadLetter, DeadLetterPage, DeadQueue, Delivery, Depth, Oldest, Outgoing, StoreError,
};

/// How long a message that was handed out stays hidden.
pub const VISIBILITY: Span = Span::from_mins(5);
/// How often a message is handed out before it goes to the dead letters.
pub const MAX_RECEIVES: u32 = 10;

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
    in_flight: bool,
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
            in_flight: false,
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
            self.bury(id, &reason, now);
            return None;
        }
        message.receives += 1;
        message.in_flight = true;
        message.visible_at = now + VISIBILITY.delta();
        let receives = message.receives;
        Some(Delivery {
            body: message.body.clone(),
            receives,
            receipt: format!("{id}:{receives}"),
            found: None,
        })
    }

    /// When the next message of any queue will be visible.
    #[must_use]
    pub fn next_visible(&self) -> Option<Timestamp> {
        self.messages.values().map(|message| message.visible_at).min()
    }

    /// Removes a message, unless it was handed out again since.
    ///
    /// # Errors
    /// [`StoreError`] when the receipt is invalid.
    pub fn delete(&mut self, receipt: &str) -> Result<(), StoreError> {
        if let Some(id) = self.current(receipt)? {
            self.messages.remove(&id);
        }
        Ok(())
    }

    /// Hides a message for so long from `now`, unless it was handed out again since.
    ///
    /// # Errors
    /// [`StoreError`] when the receipt is invalid.
    pub fn hide(&mut self, receipt: &str, hidden: Duration, now: Timestamp) -> Result<(), StoreError> {
        if let Some(id) = self.current(receipt)?
            && let Some(message) = self.messages.get_mut(&id)
        {
            message.visible_at = now + Span::from(hidden).delta();
        }
        Ok(())
    }

    /// How much is on a worker's queue.
    #[must_use]
    pub fn depth(&self, worker: &WorkerName, now: Timestamp) -> Depth {
        let of_it = || self.messages.values().filter(|message| message.queue == *worker);
        let ready = || of_it().filter(|message| message.visible_at <= now);
        let hidden = |in_flight: bool| {
            let is_one = |message: &&Waiting| message.visible_at > now && message.in_flight == in_flight;
            of_it().filter(is_one).count() as u64
        };
        let oldest = ready().map(|message| message.visible_at).min();
        let oldest = oldest.map_or(Oldest::None, |at| Oldest::Age((now - at).to_std().unwrap_or_default()));
        Depth { ready: ready().count() as u64, delayed: hidden(false), in_flight: hidden(true), oldest }
    }

    /// Moves a message to the dead letters.
    ///
    /// # Errors
    /// [`StoreError`] when the receipt is invalid.
    pub fn put_aside(&mut self, receipt: &str, reason: &str, now: Timestamp) -> Result<(), StoreError> {
        let (id, _) = parse(receipt)?;
        self.bury(id, reason, now);
        Ok(())
    }

    fn bury(&mut self, id: u64, reason: &str, now: Timestamp) {
        if let Some(message) = self.messages.remove(&id) {
            self.dead.push(DeadLetter {
                id: id.to_string(),
                queue: DeadQueue::Worker(message.queue),
                body: message.body,
                receives: Some(message.receives),
                reason: Some(reason.to_owned()),
                at: now,
            });
        }
    }

    /// The queues that have dead letters.
    #[must_use]
    pub fn dead_queues(&self) -> Vec<DeadQueue> {
        let all: BTreeSet<&DeadQueue> = self.dead.iter().map(|letter| &letter.queue).collect();
        all.into_iter().cloned().collect()
    }

    /// The dead letters of a queue, the oldest first.
    #[must_use]
    pub fn dead_of(&self, queue: &DeadQueue, limit: usize) -> DeadLetterPage {
        let mut of_it = self.dead.iter().filter(|letter| letter.queue == *queue);
        let letters = of_it.by_ref().take(limit).cloned().collect();
        DeadLetterPage { letters, has_more: of_it.next().is_some() }
    }

    /// Puts a dead letter of a worker back on its queue. The dispatcher has none here.
    pub fn redrive(&mut self, queue: &DeadQueue, id: &str, now: Timestamp) -> Buried {
        let DeadQueue::Worker(worker) = queue else { return Buried::NotFound };
        let Some(letter) = self.exhume(queue, id) else { return Buried::NotFound };
        self.put += 1;
        let message = Waiting {
            queue: worker.clone(),
            body: letter.body,
            visible_at: now,
            receives: 0,
            in_flight: false,
        };
        self.messages.insert(self.put, message);
        Buried::Done
    }

    /// Removes a dead letter for good.
    pub fn discard(&mut self, queue: &DeadQueue, id: &str) -> Buried {
        self.exhume(queue, id).map_or(Buried::NotFound, |_| Buried::Done)
    }

    fn exhume(&mut self, queue: &DeadQueue, id: &str) -> Option<DeadLetter> {
        let place = self.dead.iter().position(|letter| letter.id == id && letter.queue == *queue)?;
        Some(self.dead.remove(place))
    }

    /// The message of a receipt, if it was not handed out again since.
    fn current(&self, receipt: &str) -> Result<Option<u64>, StoreError> {
        let (id, receives) = parse(receipt)?;
        Ok(self.messages.get(&id).filter(|message| message.receives == receives).map(|_| id))
    }

    /// The dead letters.
    #[must_use]
    pub fn dead(&self) -> &[DeadLetter] {
        &self.dead
    }

    /// How many messages there are, hidden ones included.
    #[must_use]
    pub fn len(&self) -> usize {
        self.messages.len()
    }

    /// Whether it has no messages.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.messages.is_empty()
    }
}

fn parse(receipt: &str) -> Result<(u64, u32), StoreError> {
    let parts =
        receipt.split_once(':').and_then(|(id, receives)| Some((id.parse().ok()?, receives.parse().ok()?)));
    parts.ok_or_else(|| StoreError::invalid(format!("{receipt:?} is not a receipt")))
}
