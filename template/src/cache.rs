//! Compiled templates, kept while there is room.

use std::collections::HashMap;
use std::hash::Hash;
use std::sync::{Arc, Mutex, PoisonError};

/// A cache that forgets what was used longest ago, by generations: when the
/// young half is full, it becomes the old half, and the old half is dropped.
pub(crate) struct Cache<K, V> {
    halves: Mutex<Halves<K, V>>,
    entries: usize,
    weight: usize,
}

struct Halves<K, V> {
    young: HashMap<K, Arc<V>>,
    old: HashMap<K, Arc<V>>,
    young_weight: usize,
}

impl<K: Hash + Eq + Clone, V> Cache<K, V> {
    /// A cache for at most `entries` entries that weigh at most `weight`.
    pub(crate) fn new(entries: usize, weight: usize) -> Self {
        Self {
            halves: Mutex::new(Halves { young: HashMap::new(), old: HashMap::new(), young_weight: 0 }),
            entries: entries / 2,
            weight: weight / 2,
        }
    }

    /// The entry of that key.
    pub(crate) fn get<Q>(&self, key: &Q) -> Option<Arc<V>>
    where
        K: std::borrow::Borrow<Q>,
        Q: Hash + Eq + ?Sized,
    {
        let halves = self.halves.lock().unwrap_or_else(PoisonError::into_inner);
        let found = halves.young.get(key).or_else(|| halves.old.get(key));
        found.map(Arc::clone)
    }

    /// Keeps an entry, unless it alone is too heavy.
    pub(crate) fn put(&self, key: K, weight: usize, value: Arc<V>) {
        if weight > self.weight || self.entries == 0 {
            return;
        }
        let mut guard = self.halves.lock().unwrap_or_else(PoisonError::into_inner);
        let halves = &mut *guard;
        if halves.young.len() >= self.entries || halves.young_weight + weight > self.weight {
            halves.old = std::mem::take(&mut halves.young);
            halves.young_weight = 0;
        }
        halves.young_weight += weight;
        halves.young.insert(key, value);
    }

    #[cfg(test)]
    fn len(&self) -> usize {
        let halves = self.halves.lock().unwrap();
        halves.young.len() + halves.old.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stays_within_its_bounds() {
        let cache: Cache<String, usize> = Cache::new(10, 1_000);
        for at in 0..100 {
            cache.put(at.to_string(), 10, Arc::new(at));
            assert!(cache.len() <= 10);
            assert_eq!(cache.get(at.to_string().as_str()).as_deref(), Some(&at));
        }
        assert!(cache.get("1").is_none());
        cache.put("heavy".to_owned(), 501, Arc::new(1));
        assert!(cache.get("heavy").is_none());
    }
}
