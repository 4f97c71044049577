//! Logs a fault of the host once a minute, however many runs it keeps from going on.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use crate::Timestamp;
use crate::duration::Span;

/// How long the same trouble is not logged again.
const LULL: Span = Span::from_mins(1);
/// Most kinds of trouble that are counted apart.
const MAX_KINDS: usize = 64;
/// The kind of all that there are beyond those.
const OTHERS: &str = "others";

/// The troubles that were logged, and how often each happened since.
#[derive(Clone, Debug, Default)]
pub(in crate::engine) struct Trouble(Arc<Mutex<HashMap<String, (Timestamp, u64)>>>);

impl Trouble {
    /// Whether trouble of this kind is to be logged now; then, how often it happened since it was logged last, this time
    /// included.
    pub(in crate::engine) fn count(&self, kind: &str, now: Timestamp) -> Option<u64> {
        // Counts: whole whatever became of another holder.
        let mut known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let mut kind = kind;
        if known.len() >= MAX_KINDS && !known.contains_key(kind) {
            known.retain(|_, (logged, _)| now - *logged < LULL.delta());
            if known.len() >= MAX_KINDS {
                kind = OTHERS;
            }
        }
        match known.get_mut(kind) {
            Some((logged, count)) if now - *logged < LULL.delta() => {
                *count += 1;
                None
            }
            found => {
                let count = found.map_or(0, |(_, count)| *count) + 1;
                known.insert(kind.to_owned(), (now, 0));
                Some(count)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn trouble_is_logged_once_a_minute_with_its_count() {
        let trouble = Trouble::default();
        let at = |seconds: i64| Timestamp::UNIX_EPOCH + chrono::TimeDelta::seconds(seconds);
        assert_eq!(trouble.count("disk", at(0)), Some(1));
        assert_eq!(trouble.count("disk", at(1)), None);
        assert_eq!(trouble.count("files", at(2)), Some(1));
        assert_eq!(trouble.count("disk", at(59)), None);
        assert_eq!(trouble.count("disk", at(60)), Some(3));
        assert_eq!(trouble.count("disk", at(61)), None);
    }

    #[test]
    fn kinds_beyond_the_limit_are_counted_together() {
        let trouble = Trouble::default();
        let at = |seconds: i64| Timestamp::UNIX_EPOCH + chrono::TimeDelta::seconds(seconds);
        for number in 0..MAX_KINDS {
            assert_eq!(trouble.count(&number.to_string(), at(0)), Some(1));
        }
        assert_eq!([trouble.count("one", at(1)), trouble.count("two", at(2))], [Some(1), None]);
        assert_eq!(trouble.0.lock().unwrap().len(), MAX_KINDS + 1);
        // Those of the first minute are forgotten.
        assert_eq!([trouble.count("one", at(60)), trouble.count("three", at(60))], [Some(1), Some(1)]);
        assert_eq!(trouble.0.lock().unwrap().len(), 3);
    }
}
