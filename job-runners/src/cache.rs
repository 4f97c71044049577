//! Payloads that were fetched from far away, kept for later runs.
//!
//! They are files without a name: no job finds them, and nothing is left of them when the process ends.

use std::collections::HashMap;
use std::fs::File;
use std::future::Future;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use pumice_core::job_type::JobError;
use pumice_core::ports::Object;
use tokio::sync::Mutex as Turn;

/// Most bytes that are kept.
pub(crate) const MAX_BYTES: u64 = 128 * 1024 * 1024;
/// Most payloads that are kept: each has a descriptor.
const MAX_KEPT: usize = 64;

/// Payloads by location and version.
#[derive(Default)]
pub(crate) struct Cache {
    kept: Mutex<Kept>,
}

#[derive(Default)]
struct Kept {
    by_location: HashMap<String, Entry>,
    /// Counts uses, to find the entry that was used longest ago.
    uses: u64,
}

struct Entry {
    version: String,
    size: u64,
    used: u64,
    /// The caller that fetches it holds the turn; the others wait for its result.
    slot: Arc<Turn<Option<Arc<File>>>>,
}

impl Cache {
    fn kept(&self) -> MutexGuard<'_, Kept> {
        // A map and a count: whole even if another holder panicked.
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// An object's bytes, fetched unless they are kept. Callers that ask for one object at the same time fetch it once.
    /// `fetch` gives the version that it came to besides: another one is not kept.
    ///
    /// # Errors
    /// The error of `fetch`; nothing is kept then.
    pub(crate) async fn get(
        &self,
        object: &Object,
        fetch: impl Future<Output = Result<(File, Option<String>), JobError>> + Send,
    ) -> Result<Arc<File>, JobError> {
        let Some(version) = object.version.as_ref().filter(|_| object.size <= MAX_BYTES / 2) else {
            return fetch.await.map(|(file, _)| Arc::new(file));
        };
        let slot = self.kept().slot(object, version);
        let mut turn = slot.lock().await;
        if let Some(file) = &*turn {
            return Ok(file.clone());
        }
        let (file, fetched) = fetch.await?;
        let file = Arc::new(file);
        if fetched.as_ref() == Some(version) {
            *turn = Some(file.clone());
        }
        drop(turn);
        self.kept().shrink();
        Ok(file)
    }
}

impl Kept {
    fn slot(&mut self, object: &Object, version: &str) -> Arc<Turn<Option<Arc<File>>>> {
        self.uses += 1;
        let fresh =
            || Entry { version: version.to_owned(), size: object.size, used: 0, slot: Arc::default() };
        let entry = self.by_location.entry(object.location.clone()).or_insert_with(fresh);
        if entry.version != version {
            *entry = fresh();
        }
        entry.used = self.uses;
        entry.slot.clone()
    }

    /// Forgets those that were not fetched after all, and the longest unused until the rest is within the limits.
    fn shrink(&mut self) {
        // One that is being fetched is locked, and counts.
        self.by_location.retain(|_, entry| entry.slot.try_lock().map_or(true, |kept| kept.is_some()));
        loop {
            let bytes: u64 = self.by_location.values().map(|entry| entry.size).sum();
            if bytes <= MAX_BYTES && self.by_location.len() <= MAX_KEPT {
                return;
            }
            let oldest = self.by_location.iter().min_by_key(|(_, entry)| entry.used);
            let Some(oldest) = oldest.map(|(location, _)| location.clone()) else { return };
            self.by_location.remove(&oldest);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use super::*;

    fn object(location: &str, version: &str, size: u64) -> Object {
        Object {
            location: location.to_owned(),
            size,
            modified: None,
            version: Some(version.to_owned()),
            class: None,
        }
    }

    #[derive(Default)]
    struct Fetches {
        cache: Cache,
        count: AtomicUsize,
    }

    impl Fetches {
        async fn get(&self, object: &Object) -> usize {
            let before = self.count.load(Ordering::Relaxed);
            let fetch = async {
                self.count.fetch_add(1, Ordering::Relaxed);
                tokio::task::yield_now().await;
                Ok((tempfile::tempfile().unwrap(), object.version.clone()))
            };
            self.cache.get(object, fetch).await.unwrap();
            self.count.load(Ordering::Relaxed) - before
        }
    }

    #[tokio::test]
    async fn payload_is_fetched_once_for_each_version() {
        let fetches = Fetches::default();
        let (first, second) = (object("s3://b/x", "1", 10), object("s3://b/x", "2", 10));
        assert_eq!(futures_util::future::join(fetches.get(&first), fetches.get(&first)).await, (1, 0));
        assert_eq!(fetches.count.load(Ordering::Relaxed), 1);
        assert_eq!(fetches.get(&first).await, 0);
        assert_eq!((fetches.get(&second).await, fetches.get(&second).await), (1, 0));
        assert_eq!(fetches.get(&object("s3://b/y", "1", 10)).await, 1);
    }

    #[tokio::test]
    async fn cache_stays_within_limits_and_keeps_used_entries() {
        let fetches = Fetches::default();
        let each = MAX_BYTES / 4;
        let of = |number: usize, size| object(&format!("s3://b/{number}"), "1", size);
        for number in 0..4 {
            assert_eq!(fetches.get(&of(number, each)).await, 1);
        }
        assert_eq!(fetches.get(&of(0, each)).await, 0);
        assert_eq!(fetches.get(&of(4, each)).await, 1);
        assert_eq!((fetches.get(&of(0, each)).await, fetches.get(&of(1, each)).await), (0, 1));
        for number in 100..100 + MAX_KEPT + 1 {
            assert_eq!(fetches.get(&of(number, 1)).await, 1);
        }
        assert_eq!(fetches.get(&of(100, 1)).await, 1);
        assert!(fetches.cache.kept().by_location.len() <= MAX_KEPT);
        // One that would push all others out is not kept.
        assert_eq!((fetches.get(&of(9, MAX_BYTES)).await, fetches.get(&of(9, MAX_BYTES)).await), (1, 1));
    }

    #[tokio::test]
    async fn failed_or_dropped_fetch_leaves_nothing_behind() {
        let fetches = Fetches::default();
        let wanted = object("s3://b/x", "1", 10);
        let failed = fetches.cache.get(&wanted, async { Err(JobError::failed("denied")) }).await;
        assert_eq!(failed.unwrap_err().message, "denied");
        let later = async { Ok((tempfile::tempfile().unwrap(), Some("2".to_owned()))) };
        fetches.cache.get(&wanted, later).await.unwrap();
        let mut dropped = Box::pin(fetches.get(&wanted));
        assert!(futures_util::FutureExt::now_or_never(dropped.as_mut()).is_none());
        drop(dropped);
        assert_eq!(fetches.get(&wanted).await, 1);
        assert_eq!(fetches.get(&object("s3://b/y", "1", 1)).await, 1);
        assert_eq!(fetches.cache.kept().by_location.len(), 2);
    }
}
