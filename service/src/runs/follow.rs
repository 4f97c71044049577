//! Waits for runs to end.

use std::collections::HashSet;
use std::time::{Duration, Instant};

use async_trait::async_trait;
use chrono::TimeDelta;
use pumice_core::Timestamp;
use pumice_core::ids::RunKey;
use pumice_core::ports::{Clock, RunQuery, RunStore};
use pumice_core::run::{Run, Status};
use pumice_core::secret::is_any_known;

use super::whole::whole_record;
use crate::failure::Error;
use crate::realm::Realm;

/// The first pause between two looks, and the longest.
const PAUSES: (Duration, Duration) = (Duration::from_millis(2), Duration::from_millis(100));
/// How long a run that could have started may wait before the watcher is notified that its realm may not be served.
const UNSERVED_AFTER: TimeDelta = TimeDelta::seconds(2);
/// The time between two checks of the server.
const GONE_EVERY: Duration = Duration::from_secs(1);

/// Something to know about runs that are followed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Notice {
    /// The process that ran them is gone.
    ServerGone,
    /// None of them starts before a time.
    StartsAt(Timestamp),
    /// They could have started, and nothing has started them.
    Unserved,
}

/// Sees what is followed while it happens.
#[async_trait]
pub trait Watcher: Send {
    /// The runs that were not done at the last look, as they are now.
    async fn look(&mut self, runs: &[Run]);
    /// Something to know. Each kind comes once.
    fn notice(&mut self, notice: Notice);
    /// All runs have ended.
    fn end(&mut self) {}
}

/// A watcher that does nothing.
#[derive(Clone, Copy, Debug)]
pub struct Unwatched;

#[async_trait]
impl Watcher for Unwatched {
    async fn look(&mut self, _: &[Run]) {}
    fn notice(&mut self, _: Notice) {}
}

/// All runs of the trees below these roots, each parent before what it started.
///
/// # Errors
/// [`Error`] when the store cannot be read.
pub async fn trees(store: &dyn RunStore, roots: &[RunKey]) -> Result<Vec<Run>, Error> {
    let mut runs = Vec::new();
    for root in roots {
        let query = RunQuery { tree_of: Some(root.clone()), ..RunQuery::default() };
        runs.extend(store.list(&query).await?);
    }
    Ok(runs)
}

/// Waits until the runs below these roots have ended, with everything they started, and nothing
/// is left to do about them. Returns them all. `realm` is the one whose server is looked after, if it has one.
///
/// # Errors
/// [`Error`] when the store cannot be read.
pub async fn follow(
    store: &dyn RunStore,
    clock: &dyn Clock,
    roots: &[RunKey],
    watcher: &mut dyn Watcher,
    realm: Option<&dyn Realm>,
) -> Result<Vec<Run>, Error> {
    let mut pause = PAUSES.0;
    let mut attention =
        Attention { realm, looked: Instant::now(), gone: false, unserved: false, announced: false };
    let mut open: Vec<RunKey> = roots.to_vec();
    let mut sure = false;
    // Runs of which it is known what is masked in their outputs.
    let mut known = HashSet::new();
    loop {
        // Only what is not done with is looked at again.
        let mut runs = Vec::new();
        let mut left = Vec::new();
        for root in open {
            let tree = trees(store, std::slice::from_ref(&root)).await?;
            if !tree.iter().all(Run::is_done) {
                left.push(root);
            }
            runs.extend(tree);
        }
        for run in runs.iter().filter(|run| run.status.is_end()) {
            if is_any_known() && known.insert(run.key.clone()) {
                whole_record(store, &run.key).await?;
            }
        }
        watcher.look(&runs).await;
        if left.is_empty() {
            if sure {
                watcher.end();
                return Ok(runs);
            }
            // A run that was dispatched in the last moment before an end may be seen later than the end.
            tokio::time::sleep(store.lag()).await;
            sure = true;
            open = roots.to_vec();
            continue;
        }
        sure = false;
        open = left;
        attention.pay(&runs, clock.now(), watcher);
        tokio::time::sleep(pause).await;
        pause = (pause * 5 / 4).min(PAUSES.1);
    }
}

/// The news that the watcher has heard already.
struct Attention<'a> {
    realm: Option<&'a dyn Realm>,
    looked: Instant,
    gone: bool,
    unserved: bool,
    announced: bool,
}

impl Attention<'_> {
    fn pay(&mut self, runs: &[Run], now: Timestamp, watcher: &mut dyn Watcher) {
        if self.is_server_gone(runs) {
            watcher.notice(Notice::ServerGone);
        }
        if runs.iter().any(|run| run.ts_start.is_some()) {
            return;
        }
        match runs.iter().filter(|run| !run.status.is_end()).map(|run| run.not_before).min() {
            Some(first) if first > now && !self.announced => {
                self.announced = true;
                watcher.notice(Notice::StartsAt(first));
            }
            Some(first) if now - first > UNSERVED_AFTER && self.realm.is_some() && !self.unserved => {
                self.unserved = true;
                watcher.notice(Notice::Unserved);
            }
            _ => {}
        }
    }

    /// Whether the server of the runs is gone, and the watcher does not know. Looks once a second.
    fn is_server_gone(&mut self, runs: &[Run]) -> bool {
        let Some(realm) = self.realm.filter(|_| !self.gone && self.looked.elapsed() > GONE_EVERY) else {
            return false;
        };
        self.looked = Instant::now();
        let held = runs.iter().any(|run| run.lease.is_some() && !run.status.is_end());
        self.gone = held && realm.is_served() == Some(false);
        self.gone
    }
}

/// Whether the runs that were asked for are complete, and nothing that they started failed: a child's failure
/// is its parent's to judge. Where `skipped` is allowed, it is as good as complete.
#[must_use]
pub fn all_complete(runs: &[Run], roots: &[RunKey], skipped: bool) -> bool {
    are_complete(runs.iter().map(|run| (&run.key, run.status)), roots, skipped)
}

/// The same of runs by their keys and statuses.
#[must_use]
pub fn are_complete<'a>(
    runs: impl IntoIterator<Item = (&'a RunKey, Status)>,
    roots: &[RunKey],
    skipped: bool,
) -> bool {
    let well = |(key, status): (&RunKey, Status)| match status {
        Status::Complete => true,
        Status::Skipped => skipped || !roots.contains(key),
        _ => false,
    };
    runs.into_iter().filter(|(key, _)| key.depth() == 0).all(well)
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;

    use pumice_core::duration::Span;
    use pumice_core::ids::{JobId, RunId, WorkerName};
    use pumice_core::ports::{Change, CommitError, Created, Outgoing, RunPage, StoreError};
    use pumice_core::run::NewRun;
    use pumice_core::spec::RunSpec;

    use super::*;

    struct Epoch;

    #[async_trait]
    impl Clock for Epoch {
        fn now(&self) -> Timestamp {
            Timestamp::UNIX_EPOCH
        }

        async fn sleep_until(&self, _: Timestamp) {}
    }

    /// A store whose trees grow with each look: what a run dispatched is seen later than its end.
    struct Growing {
        looks: Mutex<usize>,
        lag: Duration,
        trees: Vec<Vec<Run>>,
    }

    #[async_trait]
    impl RunStore for Growing {
        async fn page(&self, query: &RunQuery) -> Result<RunPage, StoreError> {
            assert!(query.tree_of.is_some());
            let mut looks = self.looks.lock().unwrap();
            *looks += 1;
            let runs = self.trees[(*looks - 1).min(self.trees.len() - 1)].clone();
            Ok(RunPage { runs, ..RunPage::default() })
        }

        fn lag(&self) -> Duration {
            self.lag
        }

        async fn create(&self, _: &[(NewRun, Option<Outgoing>)]) -> Result<Vec<Created>, StoreError> {
            unreachable!()
        }

        async fn load(&self, _: &RunKey) -> Result<Option<Run>, StoreError> {
            unreachable!()
        }

        async fn load_with_spec(&self, _: &RunKey) -> Result<Option<(Run, RunSpec)>, StoreError> {
            unreachable!()
        }

        async fn commit(&self, _: &Change) -> Result<bool, CommitError> {
            unreachable!()
        }

        async fn children(&self, _: &RunKey, _: u32) -> Result<Vec<Run>, StoreError> {
            unreachable!()
        }

        async fn due(&self, _: Timestamp, _: usize) -> Result<Vec<Run>, StoreError> {
            unreachable!()
        }

        async fn in_line(&self, _: &JobId, _: usize) -> Result<Vec<Run>, StoreError> {
            unreachable!()
        }
    }

    fn run(number: u128, status: Status) -> Run {
        let run_id: RunId = format!("00000000-0000-0000-0000-{number:012}").parse().unwrap();
        let about = (JobId::new("a").unwrap(), "log".to_owned(), WorkerName::new("core").unwrap());
        let now = Timestamp::UNIX_EPOCH;
        let mut run = Run::dispatched(RunKey::root(run_id), run_id, about, now, now, Span::from_days(1));
        run.status = status;
        if status.is_end() {
            run.due_at = None;
        }
        run
    }

    #[test]
    fn only_complete_is_well_unless_skipped_is_allowed() {
        use Status::{Cancelled, Complete, Failed, Rejected, Skipped};
        let roots = [run(1, Complete).key, run(2, Complete).key];
        for (status, strict, allowed) in [
            (Complete, true, true),
            (Skipped, false, true),
            (Failed, false, false),
            (Cancelled, false, false),
            (Rejected, false, false),
        ] {
            let runs = [run(1, Complete), run(2, status)];
            assert_eq!(all_complete(&runs, &roots, false), strict, "{status}");
            assert_eq!(all_complete(&runs, &roots, true), allowed, "{status}");
        }
        // Runs that a run started may be skipped.
        assert!(all_complete(&[run(1, Complete), run(3, Skipped)], &roots, false));
        assert!(!all_complete(&[run(1, Complete), run(3, Failed)], &roots, false));
    }

    #[tokio::test]
    async fn runs_that_are_seen_late_are_followed_too() {
        use Status::{Complete, Failed, Running};
        let done = || run(1, Complete);
        for (lag, trees) in [
            // It shows at the last look, and would be taken for the end.
            (0, vec![vec![done()], vec![done(), run(2, Running)], vec![done(), run(2, Failed)]]),
            // It shows only when the index has caught up.
            (5, vec![vec![run(1, Running)], vec![done()], vec![done(), run(2, Failed)]]),
            (5, vec![vec![done()], vec![done(), run(2, Running)], vec![done(), run(2, Failed)]]),
        ] {
            let store = Growing { looks: Mutex::new(0), lag: Duration::from_millis(lag), trees };
            let runs = follow(&store, &Epoch, &[done().key], &mut Unwatched, None).await.unwrap();
            let statuses: Vec<Status> = runs.iter().map(|run| run.status).collect();
            assert_eq!(statuses, [Complete, Failed]);
        }
    }
}
