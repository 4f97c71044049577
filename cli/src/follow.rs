//! Shows runs on a terminal while they are followed.

use std::collections::HashSet;
use std::io::IsTerminal;

use async_trait::async_trait;
use pumice_core::ids::RunKey;
use pumice_core::ports::Clock;
use pumice_core::run::{Run, Status};
use pumice_core::text::escaped;
use pumice_local::SystemClock;
use pumice_service::Realm as _;
use pumice_service::runs::{Notice, Outputs, Watcher, follow};

use crate::failure::Failure;
use crate::output::{tell_line, tell_text};
use crate::printed::{Kept, first_lines};
use crate::realm::Realm;
use crate::view::{duration, local_time, short, style};

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

/// Follows runs of a realm to their end, and shows them while they run.
pub(crate) async fn follow_shown(realm: &Realm, roots: &[RunKey], quiet: bool) -> Result<Vec<Run>, Failure> {
    let mut teller =
        Teller::new(Tell::fitting(quiet), realm.outputs(), Kept::ForGood, realm.unserved().await);
    Ok(follow(realm.runs(), &SystemClock, roots, &mut teller, Some(realm)).await?)
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
