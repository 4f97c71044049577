//! Follows runs to their end, and tells of it while it happens.

use std::collections::HashSet;
use std::io::IsTerminal;
use std::time::{Duration, Instant};

use chrono::TimeDelta;
use pumice_core::ids::RunKey;
use pumice_core::ports::{Clock, RunQuery, RunStore};
use pumice_core::run::{Run, Status};
use pumice_core::text::escaped;
use pumice_local::SystemClock;

use crate::failure::Failure;
use crate::output::{tell_line, tell_text};
use crate::printed::Outputs;
use crate::realm::Realm;
use crate::view::{duration, local_time, short, style};

/// The first pause between two looks, and the longest.
const PAUSES: (Duration, Duration) = (Duration::from_millis(2), Duration::from_millis(100));
/// How long after it could have started a run that has not makes one say that nobody may be serving it.
const UNSERVED_AFTER: TimeDelta = TimeDelta::seconds(2);

/// The time between two checks of the server.
const GONE_EVERY: Duration = Duration::from_secs(1);

/// How following is told of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Tell {
    /// Not at all.
    Nothing,
    /// A line that is written again and again, and one for each end.
    Terminal,
    /// A line for each end.
    Lines,
}

impl Tell {
    /// What fits where standard error goes.
    pub(crate) fn fitting(quiet: bool) -> Self {
        match (quiet, std::io::stderr().is_terminal()) {
            (true, _) => Self::Nothing,
            (false, true) => Self::Terminal,
            (false, false) => Self::Lines,
        }
    }
}

/// All runs of the trees below these roots, each parent before what it started.
pub(crate) async fn trees(store: &dyn RunStore, roots: &[RunKey]) -> Result<Vec<Run>, Failure> {
    let mut runs = Vec::new();
    for root in roots {
        let query = RunQuery { tree_of: Some(root.clone()), ..RunQuery::default() };
        runs.extend(store.list(&query).await?);
    }
    Ok(runs)
}

/// Waits until the runs below these roots have ended, with everything they started, and nothing
/// is left to do about them. Gives them all.
pub(crate) async fn follow(
    store: &dyn RunStore,
    roots: &[RunKey],
    outputs: &Outputs,
    tell: Tell,
    realm: Option<&Realm>,
) -> Result<Vec<Run>, Failure> {
    let mut teller = Teller { tell, outputs, ended: HashSet::new(), drawn: false };
    let mut pause = PAUSES.0;
    let (mut hint, mut announced) = (realm.map(Realm::unserved), false);
    let mut gone = Gone { realm, looked: Instant::now(), told: false };
    let mut open: Vec<RunKey> = roots.to_vec();
    let mut sure = false;
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
        teller.look(&runs).await;
        if left.is_empty() {
            if sure {
                teller.clear();
                return Ok(runs);
            }
            // What was dispatched in the last moment before an end may be seen later than the end.
            tokio::time::sleep(store.lag()).await;
            sure = true;
            open = roots.to_vec();
            continue;
        }
        sure = false;
        open = left;
        if gone.is_seen(&runs) {
            teller.say("the server that ran this is gone: it goes on when one serves again");
        }
        if runs.iter().all(|run| run.ts_start.is_none()) {
            let now = SystemClock.now();
            match runs.iter().filter(|run| !run.status.is_end()).map(|run| run.not_before).min() {
                Some(first) if first > now && !announced => {
                    announced = true;
                    teller.say(&format!("nothing starts before {}", local_time(first)));
                }
                Some(first) if now - first > UNSERVED_AFTER => {
                    if let Some(hint) = hint.take() {
                        teller.say(hint);
                    }
                }
                _ => {}
            }
        }
        tokio::time::sleep(pause).await;
        pause = (pause * 5 / 4).min(PAUSES.1);
    }
}

/// Checks once a second whether the server of a followed run is gone.
struct Gone<'a> {
    realm: Option<&'a Realm>,
    looked: Instant,
    told: bool,
}

impl Gone<'_> {
    /// Whether the server is gone and the user does not know yet.
    fn is_seen(&mut self, runs: &[Run]) -> bool {
        let Some(realm) = self.realm.filter(|_| !self.told && self.looked.elapsed() > GONE_EVERY) else {
            return false;
        };
        self.looked = Instant::now();
        let held = runs.iter().any(|run| run.lease.is_some() && !run.status.is_end());
        self.told = held && realm.is_served() == Some(false);
        self.told
    }
}

/// Whether the runs that were asked for are complete, and nothing that they started failed: a child's failure
/// is its parent's to judge. Where `skipped` is allowed, it is as good as complete.
pub(crate) fn all_complete(runs: &[Run], roots: &[RunKey], skipped: bool) -> bool {
    let well = |run: &Run| match run.status {
        Status::Complete => true,
        Status::Skipped => skipped || !roots.contains(&run.key),
        _ => false,
    };
    runs.iter().filter(|run| !run.is_child()).all(well)
}

struct Teller<'a> {
    tell: Tell,
    outputs: &'a Outputs,
    ended: HashSet<RunKey>,
    drawn: bool,
}

/// Clears the progress line, however following ends.
impl Drop for Teller<'_> {
    fn drop(&mut self) {
        self.clear();
    }
}

impl Teller<'_> {
    async fn look(&mut self, runs: &[Run]) {
        if self.tell == Tell::Nothing {
            return;
        }
        let now = SystemClock.now();
        for run in runs {
            if run.status.is_end() && self.ended.insert(run.key.clone()) {
                let dim = anstyle::Style::new().dimmed();
                for line in self.outputs.first_lines(run).await {
                    let item = run.foreach_index.map(|index| format!(" (item {index})")).unwrap_or_default();
                    self.say(&format!("{dim}{}{item} |{dim:#} {line}", escaped(run.job_id.as_str())));
                }
            }
        }
        if self.tell == Tell::Terminal {
            self.draw(runs, now);
        }
    }

    fn say(&mut self, line: &str) {
        if self.tell == Tell::Nothing {
            return;
        }
        self.clear();
        tell_line(line);
    }

    fn draw(&mut self, runs: &[Run], now: pumice_core::Timestamp) {
        let live: Vec<&Run> = runs.iter().filter(|run| !run.status.is_end()).collect();
        let Some(deepest) = live.iter().rev().find(|run| run.status == Status::Running).or(live.first())
        else {
            return;
        };
        let took = duration(deepest, now).map(short).unwrap_or_default();
        let blue = style(Status::Running);
        let ended = runs.len() - live.len();
        let text = format!(
            "{blue}{}{blue:#} {} {took}  ({ended} of {} ended)",
            deepest.status,
            escaped(deepest.job_id.as_str()),
            runs.len()
        );
        tell_text(&format!("\r\x1b[K{text}"));
        self.drawn = true;
    }

    fn clear(&mut self) {
        if std::mem::take(&mut self.drawn) {
            tell_text("\r\x1b[K");
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;

    use async_trait::async_trait;
    use pumice_core::Timestamp;
    use pumice_core::duration::Span;
    use pumice_core::ids::{JobId, RunId, WorkerName};
    use pumice_core::ports::{Change, CommitError, Created, Outgoing, RunPage, StoreError};
    use pumice_core::run::NewRun;
    use pumice_core::spec::RunSpec;

    use super::*;
    use crate::printed::Kept;

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

        async fn commit(&self, _: Change) -> Result<bool, CommitError> {
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
        // What a run started may be skipped.
        assert!(all_complete(&[run(1, Complete), run(3, Skipped)], &roots, false));
        assert!(!all_complete(&[run(1, Complete), run(3, Failed)], &roots, false));
    }

    #[tokio::test]
    async fn what_is_seen_late_is_followed_too() {
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
            let runs = follow(
                &store,
                &[done().key],
                &Outputs::files(std::path::Path::new("."), Kept::ForGood),
                Tell::Nothing,
                None,
            )
            .await
            .unwrap();
            let statuses: Vec<Status> = runs.iter().map(|run| run.status).collect();
            assert_eq!(statuses, [Complete, Failed]);
        }
    }
}
