//! Looks at runs whose time has passed, so that a lost message or a lost worker costs time only.
//!
//! A sweep goes on until nothing is due or its time is over, in each part of what is due at the same time. Runs that were
//! never sent and those whose worker was lost come first. The others wait in a queue: for them a message may have been lost,
//! which is rare, and costs little while the queue has others to hand out.

use std::collections::{HashMap, HashSet};

use futures_util::future::join_all;

use super::Housekeeper;
use super::late::report_undone;
use crate::Timestamp;
use crate::engine::lava::follow;
use crate::engine::ledger::Ledger;
use crate::engine::ledger::apply::{ApplyError, rest};
use crate::ids::{RunKey, WorkerName};
use crate::ports::{DuePage, DuePlace, StoreError, StoreErrorKind};
use crate::run::{Input, Run};

/// Most runs of one page.
const PAGE: usize = 1_000;
/// Most runs of one part of what is due that are looked at at the same time: a store far away answers many as fast as one.
/// Their messages are sent together (SQS, batches: 10).
const AT_ONCE: usize = 20;
/// Most runs that wait in a queue which a sweep keeps in memory, in all parts together: the function has 256 MB, and may have
/// a page of each part in hand at the same time. What comes behind them is read once more when it is their turn.
const MAX_KEPT: usize = 8_000;
/// How many messages on a worker's queue are a backlog: among them a message that was lost is not missed.
const BACKLOG: u64 = 100;
/// After how many runs in a row that a store does not answer about a part is left alone.
const MAX_TROUBLE: usize = 16;

/// The outcome of a sweep.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Swept {
    /// How many runs it looked at.
    pub looked_at: usize,
    /// How many records could not be read.
    pub unreadable: usize,
    /// Whether its time was over before it had looked at all that was due.
    pub is_cut_off: bool,
}

/// The times of a sweep.
#[derive(Clone, Copy)]
struct Times {
    /// What is due by then is looked at.
    now: Timestamp,
    /// Half of the sweep's time: by then the runs that wait in queues have their turn, unless others are found.
    half: Timestamp,
    /// With no further page and no further run the sweep begins from then on.
    ends: Timestamp,
}

/// A place in a part of what is due: the page after it is still to be read.
struct Unread {
    part: usize,
    after: Option<DuePlace>,
}

/// The progress of one part of a sweep.
#[derive(Default)]
struct Part {
    swept: Swept,
    /// The runs that wait in a queue.
    waiting: Vec<Run>,
    /// Where those begin that are not kept, or not read yet.
    unread: Vec<Unread>,
    /// The first record that cannot be read, and why.
    why: Option<String>,
    /// The store's failure: the first in a row.
    trouble: Option<StoreError>,
    in_a_row: usize,
}

impl Housekeeper {
    /// Sends a message for each run whose time to be looked at has passed. Returns how many runs it looked at.
    ///
    /// # Errors
    /// [`StoreError`] when the store cannot be reached.
    pub async fn sweep(&self) -> Result<usize, StoreError> {
        self.sweep_until(Timestamp::MAX_UTC).await.map(|swept| swept.looked_at)
    }

    /// The same, which reads no further page and begins with no further runs once a time has come.
    ///
    /// # Errors
    /// [`StoreError`] when the store did not answer about a run or a part of what is due; all else is done.
    pub async fn sweep_until(&self, until: Timestamp) -> Result<Swept, StoreError> {
        let now = self.now();
        let times = Times { now, half: now + (until - now) / 2, ends: until };
        let count = self.site().ports.runs.due_parts();
        let room = MAX_KEPT / count.max(1);
        let parts = (0..count).map(|part| self.sweep_part(part, room, times));
        let mut all = Part::default();
        for part in join_all(parts).await {
            all.swept.looked_at += part.swept.looked_at;
            all.swept.unreadable += part.swept.unreadable;
            all.swept.is_cut_off |= part.swept.is_cut_off;
            all.waiting.extend(part.waiting);
            all.unread.extend(part.unread);
            all.why = all.why.or(part.why);
            all.trouble = all.trouble.or(part.trouble);
        }
        self.sweep_waiting(&mut all, times).await;
        if let Some(why) = &all.why {
            let count = all.swept.unreadable;
            tracing::error!(target: "pumice::unreadable", count, first = %why, "records of runs that are due cannot be read; they are looked at again in an hour");
        }
        all.trouble.map_or(Ok(all.swept), Err)
    }

    /// Looks at the runs of one part that a queue has not been given yet, and collects the others.
    async fn sweep_part(&self, part: usize, room: usize, times: Times) -> Part {
        let (mut swept, mut after): (Part, Option<DuePlace>) = <_>::default();
        loop {
            let place = after.clone();
            let Some(page) = self.page_of(&mut swept, part, place.as_ref(), times).await else {
                return swept;
            };
            after = page.next;
            let (waiting, first): (Vec<Run>, Vec<Run>) = page.runs.into_iter().partition(Run::only_waits);
            let (has_waiting, has_first) = (!waiting.is_empty(), !first.is_empty());
            if swept.unread.is_empty() && swept.waiting.len() + waiting.len() <= room {
                swept.waiting.extend(waiting);
            } else if swept.unread.is_empty() && has_waiting {
                swept.unread.push(Unread { part, after: place });
            }
            let looking = first.into_iter().map(|run| (run, Aim::Start)).collect();
            self.look_at_each(looking, &mut swept, times.ends).await;
            if after.is_none() || swept.swept.is_cut_off || swept.in_a_row >= MAX_TROUBLE {
                return swept;
            }
            if has_waiting && !has_first && self.now() >= times.half {
                if swept.unread.is_empty() {
                    swept.unread.push(Unread { part, after });
                }
                return swept;
            }
        }
    }

    /// A page of one part; `None` when there is no time for it, or the store does not answer.
    async fn page_of(
        &self,
        swept: &mut Part,
        part: usize,
        after: Option<&DuePlace>,
        times: Times,
    ) -> Option<DuePage> {
        if self.now() >= times.ends {
            swept.swept.is_cut_off = true;
            return None;
        }
        match self.site().ports.runs.due_page(part, times.now, after, PAGE).await {
            Ok(page) => {
                swept.swept.unreadable += page.unreadable;
                swept.why = swept.why.take().or_else(|| page.why.clone());
                Some(page)
            }
            Err(error) => {
                swept.trouble.get_or_insert(error);
                None
            }
        }
    }

    /// Looks at the runs that wait in a queue: at those that were kept, and then at the others, page by page.
    async fn sweep_waiting(&self, all: &mut Part, times: Times) {
        let mut queues: HashMap<WorkerName, OnQueue> = HashMap::new();
        let mut waiting = std::mem::take(&mut all.waiting);
        waiting.sort_by_key(|run| run.due_at);
        self.look_at_waiting(waiting, &mut queues, all, times.ends).await;
        for Unread { part, mut after } in std::mem::take(&mut all.unread) {
            loop {
                let Some(page) = self.page_of(all, part, after.as_ref(), times).await else { break };
                self.look_at_waiting(page.runs, &mut queues, all, times.ends).await;
                after = page.next;
                if after.is_none() || all.swept.is_cut_off || all.in_a_row >= MAX_TROUBLE {
                    break;
                }
            }
        }
    }

    /// Looks at runs of which most wait in a queue. Those whose queue has a backlog, or lists a message for them, are left
    /// alone for longer.
    async fn look_at_waiting(
        &self,
        waiting: Vec<Run>,
        queues: &mut HashMap<WorkerName, OnQueue>,
        all: &mut Part,
        until: Timestamp,
    ) {
        for worker in waiting.iter().map(|run| &run.worker) {
            if !queues.contains_key(worker) {
                let found = self.on_queue(worker).await.unwrap_or_else(|error| {
                    tracing::debug!(%worker, %error, "how much is on a queue is not known");
                    OnQueue::Unknown
                });
                queues.insert(worker.clone(), found);
            }
        }
        let now = self.now();
        let aim = |run: &Run| match queues.get(&run.worker) {
            Some(found) if run.waits_in_queue() && found.has(run, now) => Aim::LeaveWaiting,
            _ => Aim::Start,
        };
        let looking = waiting.into_iter().map(|run| (aim(&run), run)).map(|(aim, run)| (run, aim)).collect();
        self.look_at_each(looking, all, until).await;
    }

    /// The state of a worker's queue.
    async fn on_queue(&self, worker: &WorkerName) -> Result<OnQueue, StoreError> {
        let queue = &self.site().ports.queue;
        if queue.depth(worker).await?.ready >= BACKLOG {
            return Ok(OnQueue::Backlog);
        }
        let runs = queue.runs_on_it(worker, PAGE).await?;
        Ok(runs.map_or(OnQueue::Unknown, |runs| OnQueue::Runs(runs.into_iter().collect())))
    }

    /// Looks at each of these runs, some at the same time, while there is time.
    async fn look_at_each(&self, runs: Vec<(Run, Aim)>, swept: &mut Part, until: Timestamp) {
        let mut runs = runs.into_iter();
        loop {
            let some: Vec<(Run, Aim)> = runs.by_ref().take(AT_ONCE).collect();
            if some.is_empty() || swept.in_a_row >= MAX_TROUBLE {
                return;
            }
            if self.now() >= until {
                swept.swept.is_cut_off = true;
                return;
            }
            let ledger = self.ledger().collecting();
            let looking = some.into_iter().map(|(run, aim)| self.look_at(&ledger, run, aim));
            for outcome in join_all(looking).await {
                swept.count(outcome);
            }
            ledger.send_kept().await;
        }
    }

    /// Sends a message for a run, or records what a worker of lava's has made of it.
    async fn look_at(&self, ledger: &Ledger, run: Run, aim: Aim) -> Result<Run, ApplyError> {
        report_undone(&run, self.now());
        if run.is_addressed() {
            self.look_at_addressed(run).await
        } else if aim == Aim::LeaveWaiting {
            ledger.apply(run, Input::StillQueued).await
        } else if run.may_be_lavas() {
            follow::look_at(ledger, run).await
        } else {
            ledger.apply(run, Input::Sweep).await
        }
    }
}

/// The known state of a worker's queue.
enum OnQueue {
    /// It has so many messages that one which was lost is not missed, for an hour at least.
    Backlog,
    /// It has messages for these runs.
    Runs(HashSet<RunKey>),
    /// It does not report its depth, and may be empty.
    Unknown,
}

impl OnQueue {
    /// Whether a run needs no further message.
    fn has(&self, run: &Run, now: Timestamp) -> bool {
        match self {
            Self::Backlog => !run.may_be_lost(now),
            Self::Runs(runs) => runs.contains(&run.key),
            Self::Unknown => false,
        }
    }
}

/// The aim of a look at a run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Aim {
    /// A message for it.
    Start,
    /// No message: those that its queue has are enough.
    LeaveWaiting,
}

impl Part {
    /// Counts a run that was looked at. A fault of one record alone does not keep the others waiting.
    fn count(&mut self, outcome: Result<Run, ApplyError>) {
        let error = match outcome {
            Ok(_) => None,
            Err(error @ (ApplyError::Removed(_) | ApplyError::Unrecordable(_))) => {
                tracing::warn!(%error, "a run that is due cannot be looked at");
                return;
            }
            Err(error) => rest(error).err(),
        };
        match error {
            None => {
                self.swept.looked_at += 1;
                self.in_a_row = 0;
            }
            Some(error) => {
                tracing::warn!(%error, "a run that is due cannot be looked at");
                if !matches!(error.kind, StoreErrorKind::Corrupt | StoreErrorKind::Invalid) {
                    self.in_a_row += 1;
                    self.trouble.get_or_insert(error);
                }
            }
        }
    }
}
