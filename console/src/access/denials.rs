//! Which refusals go into the audit: it must not fill up because a program asks again and again for what it may not have.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

/// For how long a caller's refusals of one command are one entry.
const TOGETHER: Duration = Duration::from_mins(1);
/// How many callers and commands are remembered before those of long ago are forgotten.
const MAX_KEPT: usize = 1_000;

/// The refusals of the last while, by caller and command.
#[derive(Debug, Default)]
pub(crate) struct Denials(Mutex<HashMap<(String, &'static str), Instant>>);

impl Denials {
    /// Whether a refusal is the first of its caller and command in a minute, and so goes into the audit.
    pub(crate) fn is_first(&self, caller: &str, command: &'static str, now: Instant) -> bool {
        let mut written = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let is_recent = |at: &Instant| now.saturating_duration_since(*at) < TOGETHER;
        let key = (caller.to_owned(), command);
        if written.get(&key).is_some_and(is_recent) {
            return false;
        }
        if written.len() >= MAX_KEPT {
            written.retain(|_, at| is_recent(at));
        }
        // So many in a minute are not people: none of them is remembered, and none is written.
        if written.len() >= MAX_KEPT {
            return false;
        }
        written.insert(key, now);
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn refusals_of_a_minute_are_one_entry() {
        let denials = Denials::default();
        let begun = Instant::now();
        let first = |caller: &str, command, seconds| {
            denials.is_first(caller, command, begun + Duration::from_secs(seconds))
        };
        assert!(first("ann", "apply", 0) && !first("ann", "apply", 59));
        assert!(first("ann", "runs cancel", 1) && first("bob", "apply", 1));
        assert!(first("ann", "apply", 60), "a minute later it is another");
    }

    #[test]
    fn many_callers_take_no_more_room_than_there_is() {
        let denials = Denials::default();
        let begun = Instant::now();
        let written = (0..3 * MAX_KEPT).filter(|n| denials.is_first(&n.to_string(), "apply", begun)).count();
        assert_eq!(written, MAX_KEPT);
        assert!(denials.is_first("ann", "apply", begun + TOGETHER));
    }
}
