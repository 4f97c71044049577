//! Places for connections. When all are taken, a newcomer gets that of a connection without a login: such connections cannot
//! keep others out, however many there are and whatever they send.

use std::collections::{BTreeMap, HashMap};
use std::net::IpAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::Notify;

/// The places of a console.
#[derive(Debug)]
pub(crate) struct Room {
    most: usize,
    places: Mutex<Places>,
    freed: Notify,
}

#[derive(Debug, Default)]
struct Places {
    next: u64,
    taken: BTreeMap<u64, Taken>,
}

#[derive(Debug)]
struct Taken {
    peer: IpAddr,
    /// Whether a request with a login has come by it.
    is_known: bool,
    /// Whether a request is being answered.
    is_busy: bool,
    ended: Arc<Notify>,
}

/// A connection's place. Dropping it frees the place.
#[derive(Debug)]
pub(crate) struct Place {
    room: Arc<Room>,
    number: u64,
    ended: Arc<Notify>,
}

impl Room {
    pub(crate) fn new(most: usize) -> Arc<Self> {
        Arc::new(Self { most, places: Mutex::default(), freed: Notify::new() })
    }

    fn locked(&self) -> MutexGuard<'_, Places> {
        self.places.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A place for a new connection; waits while all are those of callers with a login that are being answered.
    pub(crate) async fn enter(self: &Arc<Self>, peer: IpAddr) -> Place {
        loop {
            // A place that is freed from now on is noticed.
            let freed = self.freed.notified();
            if let Some(place) = self.try_enter(peer) {
                return place;
            }
            freed.await;
        }
    }

    fn try_enter(self: &Arc<Self>, peer: IpAddr) -> Option<Place> {
        let mut places = self.locked();
        if places.taken.len() >= self.most {
            let number = places.first_to_go()?;
            if let Some(gone) = places.taken.remove(&number) {
                gone.ended.notify_one();
            }
        }
        let (number, ended) = (places.next, Arc::new(Notify::new()));
        places.next += 1;
        places.taken.insert(number, Taken { peer, is_known: false, is_busy: false, ended: ended.clone() });
        Some(Place { room: self.clone(), number, ended })
    }
}

impl Places {
    /// The connection that makes way: one without a login before one with, one that waits before one that is being answered,
    /// of the address that has most of them the oldest.
    fn first_to_go(&self) -> Option<u64> {
        let mut of_peer: HashMap<IpAddr, usize> = HashMap::new();
        for taken in self.taken.values().filter(|taken| !taken.is_known) {
            *of_peer.entry(taken.peer).or_default() += 1;
        }
        let may_go = self.taken.iter().filter(|(_, taken)| !(taken.is_known && taken.is_busy));
        let order = |(number, taken): &(&u64, &Taken)| {
            let most = std::cmp::Reverse(of_peer.get(&taken.peer).copied().unwrap_or_default());
            (taken.is_known, taken.is_busy, most, **number)
        };
        may_go.min_by_key(order).map(|(number, _)| *number)
    }
}

impl Place {
    /// Notes that a request has come, and is being answered.
    pub(crate) fn begin(&self) {
        self.change(|taken| taken.is_busy = true);
    }

    /// Notes that it has been answered, and whether it had a login.
    pub(crate) fn end(&self, is_known: bool) {
        self.change(|taken| {
            taken.is_busy = false;
            taken.is_known |= is_known;
        });
    }

    fn change(&self, change: impl FnOnce(&mut Taken)) {
        if let Some(taken) = self.room.locked().taken.get_mut(&self.number) {
            change(taken);
        }
    }

    /// Waits until the place has been given to another connection.
    pub(crate) async fn ended(&self) {
        self.ended.notified().await;
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.room.locked().taken.remove(&self.number);
        self.room.freed.notify_one();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn peer(last: u8) -> IpAddr {
        IpAddr::from([10, 0, 0, last])
    }

    fn is_out(place: &Place) -> bool {
        !place.room.locked().taken.contains_key(&place.number)
    }

    #[tokio::test]
    async fn newcomer_gets_the_place_of_one_without_a_login() {
        let room = Room::new(3);
        let known = room.enter(peer(1)).await;
        known.begin();
        known.end(true);
        let (first, second) = (room.enter(peer(2)).await, room.enter(peer(2)).await);
        second.begin();
        let third = room.enter(peer(3)).await;
        assert!(is_out(&first) && !is_out(&second) && !is_out(&known));
        first.ended().await;
        // The other address has fewer, but this one is being answered.
        let fourth = room.enter(peer(3)).await;
        assert!(is_out(&third) && !is_out(&second));
        fourth.begin();
        let fifth = room.enter(peer(3)).await;
        assert!(is_out(&second) && !is_out(&fourth) && !is_out(&known) && !is_out(&fifth));
    }

    #[tokio::test]
    async fn flood_of_one_address_takes_its_own_places() {
        let room = Room::new(8);
        let other = room.enter(peer(1)).await;
        let mut flood = Vec::new();
        for _ in 0..10_000 {
            flood.push(room.enter(peer(2)).await);
        }
        assert!(!is_out(&other));
        assert_eq!(room.locked().taken.len(), 8);
        drop(flood);
        assert_eq!(room.locked().taken.len(), 1);
    }

    #[tokio::test]
    async fn caller_with_a_login_is_answered_to_the_end() {
        let room = Room::new(1);
        let known = room.enter(peer(1)).await;
        known.end(true);
        known.begin();
        assert!(room.try_enter(peer(2)).is_none());
        let waiting = tokio::spawn({
            let room = room.clone();
            async move { room.enter(peer(2)).await.number }
        });
        tokio::task::yield_now().await;
        drop(known);
        assert_eq!(waiting.await.unwrap(), 1);
    }
}
