//! Shows runs on a terminal while they are followed.

use std::collections::HashSet;
use std::io::IsTerminal;
use std::time::Duration;

use async_trait::async_trait;
use pumice_core::ids::RunKey;
use pumice_core::ports::Clock;
use pumice_core::run::{Run, Status};
use pumice_core::text::escaped;
use pumice_local::SystemClock;
use pumice_service::Realm as _;
use pumice_service::runs::{
    Notice, Outputs, RunTree, ShowRun, Watcher, all_complete, are_complete, follow, show,
};
use unicode_width::UnicodeWidthStr;

use crate::args::Global;
use crate::failure::Failure;
use crate::output::{cut_middle, tell_line, tell_text, terminal_width};
use crate::printed::{Kept, first_lines};
use crate::realm::Realm;
use crate::target::Target;
use crate::view::{duration, local_time, short, style};

/// The first pause between two looks at a console, and the longest.
const PAUSES: (Duration, Duration) = (Duration::from_millis(200), Duration::from_secs(2));
/// How often in a row a console that does not answer is asked again, two seconds apart.
const MAX_MISSED: u32 = 30;

/// How following is reported.
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
    /// The form that fits standard error.
    pub(crate) fn fitting(quiet: bool) -> Self {
        match (quiet, std::io::stderr().is_terminal()) {
            (true, _) => Self::Nothing,
            (false, true) => Self::Terminal,
            (false, false) => Self::Lines,
        }
    }
}

/// Follows runs of a realm to their end, and shows them while they run.
pub(crate) async fn follow_shown(realm: &Realm, roots: &[RunKey], quiet: bool) -> Result<Vec<Run>, Failure> {
    let mut teller =
        Teller::new(Tell::fitting(quiet), realm.outputs(), Kept::ForGood, realm.unserved().await);
    Ok(follow(realm.runs(), &SystemClock, roots, &mut teller, Some(realm)).await?)
}

/// Runs that were followed to their end.
pub(crate) struct Followed {
    /// The runs and all that they started.
    pub(crate) tree: RunTree,
    /// Whether the runs that were asked for are complete, and nothing that they started failed.
    pub(crate) is_complete: bool,
}

/// Follows runs to their end, wherever they are kept. Where `skipped` is allowed, it is as good as complete.
pub(crate) async fn follow_to_end(
    global: &Global,
    target: &Target,
    roots: &[RunKey],
    skipped: bool,
) -> Result<Followed, Failure> {
    match target {
        Target::Here(realm) => {
            let runs = follow_shown(realm, roots, global.quiet).await?;
            let tree = crate::commands::tree(global, pumice_service::Realm::runs(&**realm), &runs).await?;
            Ok(Followed { tree, is_complete: all_complete(&runs, roots, skipped) })
        }
        Target::There(_) => follow_there(global, target, roots, skipped).await,
    }
}

/// Looks at runs of a console until they have ended, and once more: what they dispatched in the last moment may show later. A
/// console that does not answer for a while, as one that is started anew, is asked again.
async fn follow_there(
    global: &Global,
    target: &Target,
    roots: &[RunKey],
    skipped: bool,
) -> Result<Followed, Failure> {
    let mut teller = Looks { tell: Tell::fitting(global.quiet), said: false, drawn: false };
    let (mut pause, mut sure, mut missed) = (PAUSES.0, false, 0);
    loop {
        let tree = match look_there(global, target, roots).await {
            Err(failure) if failure.may_pass() && missed < MAX_MISSED => {
                if missed == 0 {
                    teller.say("the console does not answer: it is asked again");
                }
                missed += 1;
                tokio::time::sleep(PAUSES.1).await;
                continue;
            }
            looked => looked?,
        };
        missed = 0;
        if tree.is_done && sure {
            teller.clear();
            let ends = tree.runs.iter().map(|run| (&run.run_key, run.status));
            let is_complete = are_complete(ends, roots, skipped);
            return Ok(Followed { is_complete, tree: RunTree { served: None, ..tree } });
        }
        if teller.must_say_unserved(&tree) {
            teller.say(&target.unserved().await);
        }
        teller.draw(&tree);
        sure = tree.is_done;
        tokio::time::sleep(pause).await;
        pause = (pause * 3 / 2).min(PAUSES.1);
    }
}

/// The runs of a console as they are now, with all that they started.
async fn look_there(global: &Global, target: &Target, roots: &[RunKey]) -> Result<RunTree, Failure> {
    let mut tree =
        RunTree { runs: Vec::new(), unstarted: Vec::new(), served: None, why: None, by: None, is_done: true };
    for root in roots {
        let request = ShowRun { run: root.to_string(), details: !global.output.is_table() };
        let found: RunTree = target.ask(show, &request).await?;
        tree.is_done &= found.is_done;
        tree.runs.extend(found.runs);
        tree.unstarted.extend(found.unstarted);
        tree.served = tree.served.or(found.served);
    }
    Ok(tree)
}

/// Reports how far the runs of a console are.
struct Looks {
    tell: Tell,
    said: bool,
    drawn: bool,
}

/// Clears the progress line, however following ends.
impl Drop for Looks {
    fn drop(&mut self) {
        self.clear();
    }
}

impl Looks {
    /// Whether nothing starts the runs, which was not said yet.
    fn must_say_unserved(&mut self, tree: &RunTree) -> bool {
        let has_begun = tree.runs.iter().any(|run| run.ts_start.is_some());
        let must = !self.said && tree.served == Some(false) && !has_begun;
        self.said |= must;
        must
    }

    fn say(&mut self, line: &str) {
        if self.tell != Tell::Nothing {
            self.clear();
            tell_line(line);
        }
    }

    fn draw(&mut self, tree: &RunTree) {
        if self.tell == Tell::Terminal {
            let ended = tree.runs.iter().filter(|run| run.status.is_end()).count();
            tell_text(&format!("\r\x1b[K{ended} of {} runs ended", tree.runs.len()));
            self.drawn = true;
        }
    }

    fn clear(&mut self) {
        if std::mem::take(&mut self.drawn) {
            tell_text("\r\x1b[K");
        }
    }
}

/// Shows followed runs on standard error.
pub(crate) struct Teller<'a> {
    tell: Tell,
    outputs: &'a dyn Outputs,
    kept: Kept,
    unserved: String,
    ended: HashSet<RunKey>,
    drawn: bool,
}

/// Clears the progress line, however following ends.
impl Drop for Teller<'_> {
    fn drop(&mut self) {
        self.clear();
    }
}

#[async_trait]
impl Watcher for Teller<'_> {
    async fn look(&mut self, runs: &[Run]) {
        if self.tell == Tell::Nothing {
            return;
        }
        let now = SystemClock.now();
        for run in runs {
            if run.status.is_end() && self.ended.insert(run.key.clone()) {
                let dim = anstyle::Style::new().dimmed();
                for line in first_lines(self.outputs, self.kept, run).await {
                    let item = run.foreach_index.map(|index| format!(" (item {index})")).unwrap_or_default();
                    self.say(&format!("{dim}{}{item} |{dim:#} {line}", escaped(run.job_id.as_str())));
                }
            }
        }
        if self.tell == Tell::Terminal {
            self.draw(runs, now);
        }
    }

    fn notice(&mut self, notice: Notice) {
        match notice {
            Notice::ServerGone => {
                self.say("the server that ran this is gone: it goes on when one serves again");
            }
            Notice::StartsAt(first) => self.say(&format!("nothing starts before {}", local_time(first))),
            Notice::Unserved => {
                let unserved = std::mem::take(&mut self.unserved);
                self.say(&unserved);
            }
        }
    }

    fn end(&mut self) {
        self.clear();
    }
}

/// The least of a job's id that the line of progress shows, in columns.
const LEAST_JOB: usize = 8;

impl<'a> Teller<'a> {
    /// Shows runs whose outputs are read there; `unserved` is what to say when nothing starts them.
    pub(crate) fn new(tell: Tell, outputs: &'a dyn Outputs, kept: Kept, unserved: String) -> Self {
        Self { tell, outputs, kept, unserved, ended: HashSet::new(), drawn: false }
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
        let took = duration(deepest.ts_start, deepest.ts_end, now).map(short).unwrap_or_default();
        let blue = style(Status::Running);
        let ended = runs.len() - live.len();
        let (status, rest) =
            (deepest.status.to_string(), format!(" {took}  ({ended} of {} ended)", runs.len()));
        // A line that the terminal breaks could not be taken back. The last column stays free: some terminals go on in the
        // next line then.
        let room = terminal_width().saturating_sub(status.width() + 1 + rest.width() + 1);
        let job_id = cut_middle(&escaped(deepest.job_id.as_str()), room.max(LEAST_JOB));
        tell_text(&format!("\r\x1b[K{blue}{status}{blue:#} {job_id}{rest}"));
        self.drawn = true;
    }

    fn clear(&mut self) {
        if std::mem::take(&mut self.drawn) {
            tell_text("\r\x1b[K");
        }
    }
}
