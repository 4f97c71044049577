//! Files that wait until they are whole, and when each is to be looked at.

use std::collections::HashMap;
use std::time::Duration;

use tokio::time::Instant;

/// How long a file is left alone after the one that wrote it has closed it, or moved it there.
pub(super) const SETTLED: Duration = Duration::from_millis(50);
/// How long to wait after a trigger failed, at first and at most. The wait doubles with each failure.
const FIRST_RETRY: Duration = Duration::from_secs(1);
const LAST_RETRY: Duration = Duration::from_mins(5);

/// How a file waits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stage {
    /// It was just made, by a process that may have it open.
    Made,
    /// It is being written to.
    Writing,
    /// It was written, and closed or moved there.
    Whole,
    /// It was found, and it is unknown whether a process has it open.
    Found,
}

#[derive(Clone, Copy, Debug)]
struct Waits {
    stage: Stage,
    /// When it is looked at; `None` while it is being written.
    due: Option<Instant>,
    /// How often its triggers failed.
    failures: u32,
}

/// Files that wait, by key.
#[derive(Debug, Default)]
pub(super) struct Waiting(HashMap<String, Waits>);

/// A file whose time has come.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Due {
    /// Its key.
    pub(super) key: String,
    /// Whether it is known to be whole; else it must have stayed as it is for a while.
    pub(super) is_whole: bool,
    /// How often its triggers failed.
    pub(super) failures: u32,
}

impl Waiting {
    fn set(&mut self, key: String, stage: Stage, due: Option<Instant>) {
        self.0.insert(key, Waits { stage, due, failures: 0 });
    }

    /// It was just made. One that no process opens, as a further name of a file, is looked at after a while.
    pub(super) fn made(&mut self, key: String, now: Instant, settle: Duration) {
        self.set(key, Stage::Made, Some(now + settle));
    }

    /// It was opened: one that was just made is being written to. Others are opened to be read as well.
    pub(super) fn opened(&mut self, key: &str) {
        if let Some(waits) = self.0.get_mut(key).filter(|waits| waits.stage == Stage::Made) {
            (waits.stage, waits.due) = (Stage::Writing, None);
        }
    }

    /// It is being written to.
    pub(super) fn written(&mut self, key: String) {
        self.set(key, Stage::Writing, None);
    }

    /// It is whole.
    pub(super) fn whole(&mut self, key: String, now: Instant) {
        self.set(key, Stage::Whole, Some(now + SETTLED));
    }

    /// It is gone.
    pub(super) fn gone(&mut self, key: &str) {
        self.0.remove(key);
    }

    /// It was found. The stage of one that waits already is better known.
    pub(super) fn found(&mut self, key: String, now: Instant) {
        self.0.entry(key).or_insert(Waits { stage: Stage::Found, due: Some(now), failures: 0 });
    }

    /// It is looked at again after a while, unless there was news of it meanwhile.
    pub(super) fn again(&mut self, due: &Due, at: Instant) {
        let stage = if due.is_whole { Stage::Whole } else { Stage::Found };
        self.0.entry(due.key.clone()).or_insert(Waits { stage, due: Some(at), failures: due.failures });
    }

    /// Its triggers failed: the same, later each time. Gives how long that is.
    pub(super) fn failed(&mut self, due: &Due, now: Instant) -> Duration {
        let after = FIRST_RETRY.saturating_mul(2_u32.saturating_pow(due.failures)).min(LAST_RETRY);
        self.again(&Due { failures: due.failures.saturating_add(1), ..due.clone() }, now + after);
        after
    }

    /// News was missed: for all files it is unknown whether a process has them open.
    pub(super) fn forget_writers(&mut self, now: Instant) {
        for waits in self.0.values_mut().filter(|waits| waits.failures == 0) {
            (waits.stage, waits.due) = (Stage::Found, Some(now));
        }
    }

    /// When the next one is due.
    pub(super) fn next(&self) -> Option<Instant> {
        self.0.values().filter_map(|waits| waits.due).min()
    }

    /// Takes up to `most` whose time has come, the longest due first.
    pub(super) fn take(&mut self, now: Instant, most: usize) -> Vec<Due> {
        let due = |(key, waits): (&String, &Waits)| Some((waits.due.filter(|due| *due <= now)?, key.clone()));
        let mut due: Vec<(Instant, String)> = self.0.iter().filter_map(due).collect();
        due.sort();
        due.truncate(most);
        let taken = due.into_iter().filter_map(|(_, key)| {
            let waits = self.0.remove(&key)?;
            Some(Due { key, is_whole: waits.stage == Stage::Whole, failures: waits.failures })
        });
        taken.collect()
    }

    /// How many wait.
    pub(super) fn len(&self) -> usize {
        self.0.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SETTLE: Duration = Duration::from_secs(5);

    fn keys(waiting: &mut Waiting, now: Instant) -> Vec<String> {
        waiting.take(now, 10).into_iter().map(|due| due.key).collect()
    }

    #[test]
    fn file_being_written_waits_until_it_is_closed() {
        let (mut waiting, now) = (Waiting::default(), Instant::now());
        waiting.made("a".to_owned(), now, SETTLE);
        waiting.opened("a");
        waiting.written("a".to_owned());
        assert_eq!((waiting.next(), keys(&mut waiting, now + 100 * SETTLE).len()), (None, 0));
        waiting.whole("a".to_owned(), now);
        waiting.opened("a");
        assert!(keys(&mut waiting, now).is_empty(), "it settles first");
        assert_eq!(keys(&mut waiting, now + SETTLED), ["a"], "a reader changes nothing");
        waiting.whole("b".to_owned(), now);
        waiting.written("c".to_owned());
        waiting.gone("c");
        assert_eq!(waiting.len(), 1, "one that is gone is waited for no more");
        waiting.written("b".to_owned());
        assert!(keys(&mut waiting, now + SETTLE).is_empty(), "another writes to it");
    }

    #[test]
    fn file_without_a_writer_waits_until_it_settles() {
        let (mut waiting, now) = (Waiting::default(), Instant::now());
        waiting.made("link".to_owned(), now, SETTLE);
        waiting.opened("other");
        assert_eq!(waiting.next(), Some(now + SETTLE));
        let due = waiting.take(now + SETTLE, 1).remove(0);
        assert!(!due.is_whole, "it must have stayed as it is");
    }

    #[test]
    fn file_that_was_found_does_not_hide_what_is_known() {
        let (mut waiting, now) = (Waiting::default(), Instant::now());
        waiting.written("a".to_owned());
        waiting.found("a".to_owned(), now);
        assert!(keys(&mut waiting, now).is_empty());
        waiting.forget_writers(now);
        assert_eq!(keys(&mut waiting, now), ["a"], "what was missed may be that it was closed");
    }

    #[test]
    fn failure_waits_longer_each_time_and_news_ends_the_wait() {
        let (mut waiting, now) = (Waiting::default(), Instant::now());
        waiting.whole("a".to_owned(), now);
        let mut due = waiting.take(now + SETTLED, 1).remove(0);
        let mut waits = Vec::new();
        for _ in 0..12 {
            waits.push(waiting.failed(&due, now).as_secs());
            due = waiting.take(now + LAST_RETRY, 1).remove(0);
        }
        assert_eq!(waits[..4], [1, 2, 4, 8]);
        assert_eq!(waits[11], 300);
        waiting.failed(&due, now);
        waiting.forget_writers(now);
        assert!(keys(&mut waiting, now).is_empty(), "it is not hurried");
        waiting.whole("a".to_owned(), now);
        let due = waiting.take(now + SETTLED, 1).remove(0);
        assert_eq!(due.failures, 0, "it is another file");
    }

    #[test]
    fn longest_due_are_taken_first() {
        let (mut waiting, now) = (Waiting::default(), Instant::now());
        waiting.whole("later".to_owned(), now + SETTLED);
        waiting.whole("sooner".to_owned(), now);
        let taken = waiting.take(now + SETTLE, 1);
        assert_eq!((taken[0].key.as_str(), waiting.len()), ("sooner", 1));
    }
}
