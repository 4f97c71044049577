//! The messages that are handed out. What is hidden from others is known to this process alone: it is the only one that
//! takes from the file's queues, and when it dies all is to be visible again.

use std::collections::HashMap;

use pumice_core::ids::WorkerName;

/// A message that was handed out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Hidden {
    pub(crate) queue: WorkerName,
    /// Since when it could be handed out, in microseconds of Unix time.
    pub(crate) visible_at: i64,
    /// How often it was handed out.
    pub(crate) receives: u32,
    /// Until when it is hidden, in microseconds of Unix time.
    pub(crate) until: i64,
}

impl Hidden {
    /// Whether it is hidden at a time, and of this worker's queue.
    pub(crate) fn is_out(&self, worker: &WorkerName, now: i64) -> bool {
        self.queue == *worker && self.until > now
    }
}

/// The messages that are handed out, by their number. Changes of a transaction that fails are undone with it: else a message
/// that was never delivered would stay hidden.
#[derive(Debug, Default)]
pub(crate) struct InFlight {
    out: HashMap<i64, Hidden>,
    /// The entries as they were before the transaction that is under way changed them, in the order of the changes.
    before: Vec<(i64, Option<Hidden>)>,
}

impl InFlight {
    pub(crate) fn get(&self, id: i64) -> Option<&Hidden> {
        self.out.get(&id)
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = (i64, &Hidden)> {
        self.out.iter().map(|(id, hidden)| (*id, hidden))
    }

    /// Hands a message out, within a transaction.
    pub(crate) fn hide(&mut self, id: i64, hidden: Hidden) {
        let before = self.out.insert(id, hidden);
        self.before.push((id, before));
    }

    /// Takes a message out of flight, within a transaction, when `receives` is the number of its last delivery.
    pub(crate) fn land(&mut self, id: i64, receives: u32) -> Option<&Hidden> {
        self.out.get(&id).filter(|hidden| hidden.receives == receives)?;
        self.before.push((id, self.out.remove(&id)));
        self.before.last()?.1.as_ref()
    }

    /// Hides a message until another time, when `receives` is the number of its last delivery.
    pub(crate) fn hide_until(&mut self, id: i64, receives: u32, until: i64) {
        if let Some(hidden) = self.out.get_mut(&id).filter(|hidden| hidden.receives == receives) {
            hidden.until = until;
        }
    }

    /// The transaction has ended.
    pub(crate) fn settle(&mut self, is_committed: bool) {
        if is_committed {
            self.before.clear();
            return;
        }
        while let Some((id, before)) = self.before.pop() {
            match before {
                Some(hidden) => drop(self.out.insert(id, hidden)),
                None => drop(self.out.remove(&id)),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hidden(receives: u32) -> Hidden {
        Hidden { queue: WorkerName::new("core").unwrap(), visible_at: 1, receives, until: 10 }
    }

    #[test]
    fn changes_of_a_transaction_that_fails_are_undone() {
        let mut flight = InFlight::default();
        flight.hide(1, hidden(1));
        flight.settle(true);
        flight.hide(2, hidden(1));
        assert_eq!(flight.land(1, 1), Some(&hidden(1)));
        flight.hide(1, hidden(2));
        flight.settle(false);
        assert_eq!(flight.get(1), Some(&hidden(1)));
        assert_eq!(flight.get(2), None);
        // Another number is another delivery's.
        assert_eq!(flight.land(1, 2), None);
        assert_eq!(flight.land(1, 1), Some(&hidden(1)));
        flight.settle(true);
        flight.settle(false);
        assert_eq!(flight.get(1), None);
    }
}
