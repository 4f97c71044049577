//! Compiled templates, kept while there is room.

use std::borrow::Borrow;
use std::hash::Hash;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use lru::LruCache;

/// A cache that forgets what was used longest ago when it has too many entries, or they weigh too much.
pub(crate) struct Cache<K, V> {
    kept: Mutex<Kept<K, V>>,
    entries: usize,
    weight: usize,
}

struct Kept<K, V> {
    /// Each with its weight.
    by_use: LruCache<K, (usize, Arc<V>)>,
    weight: usize,
}

impl<K: Hash + Eq, V> Cache<K, V> {
    /// A cache for at most `entries` entries that weigh at most `weight`.
    pub(crate) fn new(entries: usize, weight: usize) -> Self {
        // One with a capacity makes its whole table at once.
        let kept = Kept { by_use: LruCache::unbounded(), weight: 0 };
        Self { kept: Mutex::new(kept), entries, weight }
    }

    fn lock(&self) -> MutexGuard<'_, Kept<K, V>> {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The entry of that key.
    pub(crate) fn get<Q>(&self, key: &Q) -> Option<Arc<V>>
    where
        K: Borrow<Q>,
        Q: Hash + Eq + ?Sized,
    {
        self.lock().by_use.get(key).map(|(_, value)| value.clone())
    }

    /// Keeps an entry, unless it alone would take more than half of the room.
    pub(crate) fn put(&self, key: K, weight: usize, value: Arc<V>) {
        if weight > self.weight / 2 || self.entries == 0 {
            return;
        }
        let mut kept = self.lock();
        kept.weight += weight;
        if let Some((before, _)) = kept.by_use.put(key, (weight, value)) {
            kept.weight -= before;
        }
        while kept.by_use.len() > self.entries || kept.weight > self.weight {
            let Some((_, (freed, _))) = kept.by_use.pop_lru() else { return };
            kept.weight -= freed;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cache_stays_within_its_bounds() {
        let cache: Cache<String, usize> = Cache::new(10, 1_000);
        for at in 0..100 {
            cache.put(at.to_string(), 10, Arc::new(at));
            let kept = cache.lock();
            assert!(kept.by_use.len() <= 10 && kept.weight == 10 * kept.by_use.len());
            drop(kept);
            assert_eq!(cache.get(at.to_string().as_str()).as_deref(), Some(&at));
        }
        assert!(cache.get("1").is_none());
        cache.put("heavy".to_owned(), 501, Arc::new(1));
        assert!(cache.get("heavy").is_none());
    }

    #[test]
    fn entry_used_longest_ago_makes_room_for_its_weight() {
        let cache: Cache<&str, usize> = Cache::new(10, 100);
        for (key, weight) in [("a", 40), ("b", 30), ("a", 10), ("c", 50)] {
            cache.put(key, weight, Arc::new(weight));
        }
        assert_eq!(cache.lock().weight, 90);
        assert_eq!(cache.get("b").as_deref(), Some(&30));
        cache.put("d", 20, Arc::new(20));
        let kept = ["a", "b", "c", "d"].map(|key| cache.get(key).is_some());
        assert_eq!((kept, cache.lock().weight), ([false, true, true, true], 100));
    }
}
