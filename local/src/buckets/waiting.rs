//! Files that wait until they are whole, and when each is to be looked at.

use std::collections::{BTreeSet, HashMap};
use std::time::Duration;

use tokio::time::Instant;

/// How long a file is left alone after the one that wrote it has closed it, or moved it there.
pub(super) const SETTLED: Duration = Duration::from_millis(50);
/// How long to wait after a trigger failed, at first and at most. The wait doubles with each failure.
const FIRST_RETRY: Duration = Duration::from_secs(1);
const LAST_RETRY: Duration = Duration::from_mins(5);

/// How a file waits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Stage {
    /// It was just made, by a process that may have it open; or it is a further name of a file.
    Made,
    /// It was just made and then opened: by the process that made it, or by a reader of a further name.
    Opened,
    /// It is being written to.
    Writing,
    /// It was written to, and the system has not reported that it was opened: by its name alone (`truncate(2)`), or by a process
    /// that has had it open for longer.
    Touched,
    /// It was written, and closed or moved there.
    Whole,
    /// It was found, and it is unknown whether a process has it open.
    Found,
}

#[derive(Clone, Debug)]
struct Waits {
    stage: Stage,
    /// When it is looked at; `None` while it is being written.
    due: Option<Instant>,
    /// How often its triggers failed.
    failures: u32,
    /// The mark of the event whose triggers failed.
    mark: Option<String>,
}

/// Files that wait.
#[derive(Debug, Default)]
pub(super) struct Waiting {
    by_key: HashMap<String, Waits>,
    /// Those that are looked at, by when: as many may wait as a folder has files.
    by_due: BTreeSet<(Instant, String)>,
}

/// A file whose time has come.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Due {
    /// Its key.
    pub(super) key: String,
    /// How it waited.
    pub(super) stage: Stage,
    /// How often its triggers failed.
    pub(super) failures: u32,
    /// The mark of the event whose triggers failed, by which those that did not fail find what they have started.
    pub(super) mark: Option<String>,
}

impl Waiting {
    fn put(&mut self, key: String, waits: Waits) {
        self.remove(&key);
        if let Some(due) = waits.due {
            self.by_due.insert((due, key.clone()));
        }
        self.by_key.insert(key, waits);
    }

    fn remove(&mut self, key: &str) -> Option<Waits> {
        let (key, waits) = self.by_key.remove_entry(key)?;
        if let Some(due) = waits.due {
            self.by_due.remove(&(due, key));
        }
        Some(waits)
    }

    fn set(&mut self, key: String, stage: Stage, due: Option<Instant>) {
        self.put(key, Waits { stage, due, failures: 0, mark: None });
    }

    /// The same for one that does not wait: what is known of the others is newer.
    fn set_new(&mut self, due: &Due, stage: Stage, at: Option<Instant>) {
        if !self.by_key.contains_key(&due.key) {
            let waits = Waits { stage, due: at, failures: due.failures, mark: due.mark.clone() };
            self.put(due.key.clone(), waits);
        }
    }

    /// It was just made. One that no process opens, as a further name of a file, is looked at after a while.
    pub(super) fn made(&mut self, key: String, now: Instant, settle: Duration) {
        self.set(key, Stage::Made, Some(now + settle));
    }

    /// It was opened, to be read or written.
    pub(super) fn opened(&mut self, key: &str, now: Instant, settle: Duration) {
        match self.by_key.get_mut(key) {
            Some(waits) if waits.stage == Stage::Made => waits.stage = Stage::Opened,
            // One that is emptied as it is opened is reported as written first.
            Some(Waits { stage: Stage::Touched, due: Some(due), .. }) if now + settle <= *due + SETTLED => {
                self.set(key.to_owned(), Stage::Writing, None);
            }
            _ => {}
        }
    }

    /// It is being written to. One that was not just made may have been written by its name alone: it is never closed.
    pub(super) fn written(&mut self, key: String, now: Instant, settle: Duration) {
        match self.by_key.get(&key).map(|waits| waits.stage) {
            Some(Stage::Made | Stage::Opened | Stage::Writing) => self.set(key, Stage::Writing, None),
            _ => self.set(key, Stage::Touched, Some(now + settle)),
        }
    }

    /// It is whole.
    pub(super) fn whole(&mut self, key: String, now: Instant) {
        self.set(key, Stage::Whole, Some(now + SETTLED));
    }

    /// It is gone.
    pub(super) fn gone(&mut self, key: &str) {
        self.remove(key);
    }

    /// It was found. The stage of one that waits already is better known.
    pub(super) fn found(&mut self, key: String, now: Instant) {
        if !self.by_key.contains_key(&key) {
            self.set(key, Stage::Found, Some(now));
        }
    }

    /// It is looked at again after a while, unless there was news of it meanwhile.
    pub(super) fn again(&mut self, due: &Due, at: Instant) {
        self.set_new(due, due.stage, Some(at));
    }

    /// The process that made it has it open, and the system will report that it is closed.
    pub(super) fn open(&mut self, due: &Due) {
        self.set_new(due, Stage::Writing, None);
    }

    /// Its triggers failed, for an event with this mark: the same, later each time. Gives how long that is.
    pub(super) fn failed(&mut self, due: &Due, mark: Option<String>, now: Instant) -> Duration {
        let after = FIRST_RETRY.saturating_mul(2_u32.saturating_pow(due.failures)).min(LAST_RETRY);
        self.again(&Due { failures: due.failures.saturating_add(1), mark, ..due.clone() }, now + after);
        after
    }

    /// News was missed: for all files it is unknown whether a process has them open.
    pub(super) fn forget_writers(&mut self, now: Instant) {
        let unknown = self.by_key.iter().filter(|(_, waits)| waits.failures == 0);
        for key in unknown.map(|(key, _)| key.clone()).collect::<Vec<_>>() {
            self.set(key, Stage::Found, Some(now));
        }
    }

    /// When the next one is due.
    pub(super) fn next(&self) -> Option<Instant> {
        self.by_due.first().map(|(due, _)| *due)
    }

    /// Takes up to `most` whose time has come, the longest due first.
    pub(super) fn take(&mut self, now: Instant, most: usize) -> Vec<Due> {
        let mut taken = Vec::new();
        while taken.len() < most && self.next().is_some_and(|due| due <= now) {
            let Some((_, key)) = self.by_due.pop_first() else { break };
            let Some(waits) = self.by_key.remove(&key) else { continue };
            taken.push(Due { key, stage: waits.stage, failures: waits.failures, mark: waits.mark });
        }
        taken
    }

    /// How many wait.
    pub(super) fn len(&self) -> usize {
        self.by_key.len()
    }

    /// Whether a file waits.
    pub(super) fn has(&self, key: &str) -> bool {
        self.by_key.contains_key(key)
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
        waiting.opened("a", now, SETTLE);
        waiting.written("a".to_owned(), now, SETTLE);
        assert_eq!((waiting.next(), keys(&mut waiting, now + 100 * SETTLE).len()), (None, 0));
        waiting.opened("a", now, SETTLE);
        waiting.written("a".to_owned(), now + 100 * SETTLE, SETTLE);
        assert_eq!(
            (waiting.next(), keys(&mut waiting, now + 200 * SETTLE).len()),
            (None, 0),
            "it stays open"
        );
        waiting.whole("a".to_owned(), now);
        waiting.opened("a", now, SETTLE);
        assert!(keys(&mut waiting, now).is_empty(), "it settles first");
        assert_eq!(keys(&mut waiting, now + SETTLED), ["a"], "a reader changes nothing");
        waiting.whole("b".to_owned(), now);
        waiting.made("c".to_owned(), now, SETTLE);
        waiting.gone("c");
        assert_eq!(waiting.len(), 1, "one that is gone is waited for no more");
        waiting.written("b".to_owned(), now, SETTLE);
        assert!(keys(&mut waiting, now + SETTLED).is_empty(), "another writes to it");
        assert_eq!((waiting.next(), waiting.by_due.len()), (Some(now + SETTLE), 1));
    }

    #[test]
    fn file_that_was_opened_and_not_closed_is_looked_at() {
        let (mut waiting, now) = (Waiting::default(), Instant::now());
        // A further name that is read: no close is reported of a reader.
        waiting.made("link".to_owned(), now, SETTLE);
        waiting.opened("link", now + SETTLE / 2, SETTLE);
        // A known file that is cut by its name: nothing opens or closes it.
        waiting.written("cut".to_owned(), now, SETTLE);
        // The same while a reader comes later.
        waiting.written("cut and read".to_owned(), now, SETTLE);
        waiting.opened("cut and read", now + 2 * SETTLED, SETTLE);
        // One that is emptied as it is opened has a writer.
        waiting.written("emptied".to_owned(), now, SETTLE);
        waiting.opened("emptied", now, SETTLE);
        waiting.written("emptied".to_owned(), now, SETTLE);
        let due: Vec<(String, Stage)> =
            waiting.take(now + SETTLE, 10).into_iter().map(|due| (due.key, due.stage)).collect();
        let wanted = [("cut", Stage::Touched), ("cut and read", Stage::Touched), ("link", Stage::Opened)];
        assert_eq!(due, wanted.map(|(key, stage)| (key.to_owned(), stage)));
        assert_eq!((waiting.len(), waiting.next()), (1, None));
        // Where its maker has it open, its end is waited for, unless that was heard meanwhile.
        let due = |key: &str| Due { key: key.to_owned(), stage: Stage::Touched, failures: 0, mark: None };
        waiting.whole("closed".to_owned(), now);
        waiting.open(&due("closed"));
        waiting.open(&due("open"));
        assert_eq!(keys(&mut waiting, now + 100 * SETTLE), ["closed"]);
        waiting.whole("open".to_owned(), now);
        assert_eq!(keys(&mut waiting, now + SETTLED), ["open"]);
    }

    #[test]
    fn file_without_a_writer_waits_until_it_settles() {
        let (mut waiting, now) = (Waiting::default(), Instant::now());
        waiting.made("link".to_owned(), now, SETTLE);
        waiting.opened("other", now, SETTLE);
        assert_eq!(waiting.next(), Some(now + SETTLE));
        let due = waiting.take(now + SETTLE, 1).remove(0);
        assert_eq!(due.stage, Stage::Made, "it must have stayed as it is");
    }

    #[test]
    fn file_that_was_found_does_not_hide_what_is_known() {
        let (mut waiting, now) = (Waiting::default(), Instant::now());
        waiting.made("a".to_owned(), now, SETTLE);
        waiting.written("a".to_owned(), now, SETTLE);
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
            waits.push(waiting.failed(&due, Some("mark".to_owned()), now).as_secs());
            due = waiting.take(now + LAST_RETRY, 1).remove(0);
            assert_eq!(due.mark.as_deref(), Some("mark"), "it is the same event");
        }
        assert_eq!(waits[..4], [1, 2, 4, 8]);
        assert_eq!(waits[11], 300);
        waiting.failed(&due, None, now);
        waiting.forget_writers(now);
        assert!(keys(&mut waiting, now).is_empty(), "it is not hurried");
        waiting.whole("a".to_owned(), now);
        let due = waiting.take(now + SETTLED, 1).remove(0);
        assert_eq!((due.failures, due.mark), (0, None), "it is another file");
    }

    #[test]
    fn longest_due_are_taken_first() {
        let (mut waiting, now) = (Waiting::default(), Instant::now());
        waiting.whole("later".to_owned(), now + SETTLED);
        waiting.whole("sooner".to_owned(), now);
        let taken = waiting.take(now + SETTLE, 1);
        assert_eq!((taken[0].key.as_str(), waiting.len()), ("sooner", 1));
    }

    #[test]
    fn file_waits_at_one_time_whatever_is_heard_of_it() {
        let (mut waiting, now) = (Waiting::default(), Instant::now());
        for round in 0..3 {
            let now = now + round * SETTLE;
            waiting.found("a".to_owned(), now);
            waiting.made("a".to_owned(), now, SETTLE);
            waiting.opened("a", now, SETTLE);
            waiting.written("a".to_owned(), now, SETTLE);
            waiting.whole("a".to_owned(), now);
            waiting.written("a".to_owned(), now, SETTLE);
            waiting.forget_writers(now);
            assert_eq!((waiting.by_key.len(), waiting.by_due.len()), (1, 1));
        }
        waiting.gone("a");
        assert_eq!((waiting.len(), waiting.next(), waiting.has("a")), (0, None, false));
    }
}
