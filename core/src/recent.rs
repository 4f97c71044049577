//! The entries that were used last, kept while there is room.

use std::borrow::Borrow;
use std::hash::Hash;

use lru::LruCache;

/// Up to `MAX` entries. A further one takes the place of the entry that was used longest ago.
pub struct Recent<K, V, const MAX: usize>(LruCache<K, V>);

impl<K: Hash + Eq, V, const MAX: usize> Default for Recent<K, V, MAX> {
    fn default() -> Self {
        // One with a capacity makes its whole table at once.
        Self(LruCache::unbounded())
    }
}

impl<K, V, const MAX: usize> std::fmt::Debug for Recent<K, V, MAX> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Recent(at most {MAX})")
    }
}

impl<K: Hash + Eq, V, const MAX: usize> Recent<K, V, MAX> {
    /// The value of a key, which is used by that.
    pub fn get<Q>(&mut self, key: &Q) -> Option<&V>
    where
        K: Borrow<Q>,
        Q: Hash + Eq + ?Sized,
    {
        self.0.get(key)
    }

    /// Keeps a value, in place of the key's former one.
    pub fn put(&mut self, key: K, value: V) {
        self.0.put(key, value);
        if self.0.len() > MAX {
            self.0.pop_lru();
        }
    }

    /// Forgets everything.
    pub fn clear(&mut self) {
        self.0.clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn entry_used_longest_ago_makes_room() {
        let mut recent = Recent::<String, u32, 3>::default();
        for (key, value) in [("a", 1), ("b", 2), ("c", 3)] {
            recent.put(key.to_owned(), value);
        }
        recent.put("a".to_owned(), 4);
        assert_eq!(recent.get("b"), Some(&2));
        recent.put("d".to_owned(), 5);
        assert_eq!(
            ["a", "b", "c", "d"].map(|key| recent.get(key).copied()),
            [Some(4), Some(2), None, Some(5)]
        );
        recent.clear();
        assert_eq!(recent.get("a"), None);
    }
}
