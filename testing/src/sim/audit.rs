//! The invariants, checked at every write, every execution and every crash.

mod line;
mod retention;
mod starts;
mod steps;
mod turns;

use std::collections::BTreeMap;

use chrono::TimeDelta;
use pumice_core::Timestamp;
use pumice_core::ids::{JobId, RunId, RunKey};
use pumice_core::job_type::ChildState;
use pumice_core::ports::Change;
use pumice_core::run::{EARLY, Run, Status, Why, Worker};
use pumice_core::spec::Overlap;

use super::fakes::hangs;
use super::permits::PermitAudit;
use super::world::{TaskId, task_of};
use crate::memory::RunTable;
pub(super) use retention::retention;
pub(super) use steps::attempt_of;

/// How far two clocks of the simulation are apart, at most.
pub(super) const APART: TimeDelta = TimeDelta::seconds(41);
/// How long anything may wait that nothing keeps, where nothing goes wrong.
pub(super) const PROMPT: TimeDelta = TimeDelta::seconds(5);
/// How long a run may stand still whose actions hang: each is given up after its time limit, and begun anew by another
/// process where its own was stopped.
const HUNG: TimeDelta = TimeDelta::minutes(4);

/// How long a run may stand still besides, because of its actions.
pub(super) fn hung(run_id: RunId) -> TimeDelta {
    if hangs(run_id) { HUNG } else { TimeDelta::zero() }
}

/// An invariant that is violated.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Violation {
    /// Which one.
    pub invariant: &'static str,
    /// The details.
    pub detail: String,
}

/// A job's own work that is under way.
#[derive(Debug)]
struct Execution {
    key: RunKey,
    job_id: JobId,
    alone: bool,
    task: TaskId,
    /// Its invocation stood still so long that others may have taken the run for lost.
    zombie: bool,
}

/// The observations so far.
#[derive(Debug, Default)]
pub(crate) struct Audit {
    pub(crate) violation: Option<Violation>,
    /// Messages that were sent.
    pub(crate) sent: u64,
    /// Writes that took place.
    pub(crate) writes: u64,
    /// Whether nothing goes wrong, so that everything must be prompt.
    pub(crate) prompt: bool,
    /// Whether steps must be too: no invocation has a limit, so that none gives way between steps.
    pub(crate) steps_prompt: bool,
    /// How much later a run may start because only a schedule wakes it.
    pub(crate) late: TimeDelta,
    /// When pauses were over, or may have been.
    pub(crate) unpaused: Vec<Timestamp>,
    /// How long each task stood still.
    still: BTreeMap<TaskId, TimeDelta>,
    crashes: BTreeMap<RunKey, u32>,
    /// Whether no other process can run the realm's jobs.
    pub(crate) alone: bool,
    /// How often each run was under way when its process was stopped.
    halts: BTreeMap<RunKey, u32>,
    executions: BTreeMap<(RunKey, u32), u32>,
    live: BTreeMap<u64, Execution>,
    keyed: BTreeMap<(JobId, String), RunKey>,
    /// When each run was due at first.
    due: BTreeMap<RunKey, Timestamp>,
    /// Since when the lock of a job is free.
    free: BTreeMap<JobId, Timestamp>,
    /// Since when each run stands in line for its job's lock.
    in_line: BTreeMap<RunKey, Timestamp>,
    /// Permits and lines.
    pub(crate) permits: PermitAudit,
    pub(crate) performed: BTreeMap<(RunId, JobId, String), u32>,
    /// Each task's first claims, for the mutants that never let go.
    pub(crate) claims: BTreeMap<(TaskId, RunKey), (Worker, u64)>,
}

impl Audit {
    pub(crate) fn fail(&mut self, invariant: &'static str, detail: String) {
        self.violation.get_or_insert(Violation { invariant, detail });
    }

    pub(super) fn expect(&mut self, holds: bool, invariant: &'static str, detail: impl FnOnce() -> String) {
        if !holds {
            self.fail(invariant, detail());
        }
    }

    /// A run was made.
    pub(crate) fn created(&mut self, run: &Run, runs: &RunTable, now: Timestamp, task: TaskId) {
        self.writes += 1;
        self.well_formed(run);
        if let Some(keyed) = &run.keyed {
            let place = (run.job_id.clone(), keyed.key.clone());
            if let Some(other) = self.keyed.insert(place, run.key.clone()) {
                self.fail(
                    "one key, one run",
                    format!("{} and {other} have the key {:?}", run.key, keyed.key),
                );
            }
        }
        if let Some(lease) = &run.lease {
            self.expect(task_of(&lease.owner) == Some(task), "only the holder writes", || {
                run.key.to_string()
            });
        }
        self.kept(run, runs);
        self.again(run, runs);
        if run.is_child() {
            self.child_created(run, runs, now);
        }
    }

    /// A record was written over `before`.
    pub(crate) fn committed(
        &mut self,
        before: &Run,
        change: &Change,
        runs: &RunTable,
        now: Timestamp,
        task: TaskId,
    ) {
        let after = &change.run;
        self.writes += 1;
        self.well_formed(after);
        let key = &after.key;
        if before.status.is_end() {
            let same = before.status == after.status
                && before.result == after.result
                && before.ts_end == after.ts_end;
            self.expect(same, "an end is final", || format!("{key}: {} -> {}", before.status, after.status));
        }
        self.expect(after.epoch >= before.epoch, "no write by an older epoch", || {
            format!("{key}: epoch {} -> {}", before.epoch, after.epoch)
        });
        let grows =
            after.rev == before.rev + 1 && after.attempt >= before.attempt && after.crashes >= before.crashes;
        self.expect(grows, "counts only grow", || format!("{key}: {before:?} -> {after:?}"));
        self.expect(after.cancel || !before.cancel, "a request to stop is kept", || key.to_string());
        let asker_kept = before.stopped_by.is_none() || before.stopped_by == after.stopped_by;
        self.expect(asker_kept, "the requester of a stop is kept", || {
            format!("{key}: {:?}", before.stopped_by)
        });
        let lost = before.status == Status::Running && before.lease.is_some() && after.epoch > before.epoch;
        self.expect(
            after.crashes == before.crashes + u32::from(lost),
            "a try counts only when it was started",
            || format!("{key}: {} tries lost -> {}, {}", before.crashes, after.crashes, after.status),
        );
        self.expect(!self.prompt || after.crashes == 0, "a stop is not a crash", || {
            format!("{key}: {} workers lost where nothing went wrong", after.crashes)
        });
        self.expect(before.kept.is_none(), "a kept step is never run", || format!("{key} is written"));
        self.sent_in_time(before, after, now);
        self.holder(before, after, now, task);
        self.attempts(before, after);
        self.starts(before, after, runs, now);
        self.in_time(before, after, runs, now, task);
        self.line(before, after, runs, now);
        self.turns(before, after, runs, now);
        if after.status.is_end() && !before.status.is_end() {
            self.ended(after, runs, now);
        }
    }

    /// While a claim holds, only its holder writes; others may ask for a stop, or touch the record.
    fn holder(&mut self, before: &Run, after: &Run, now: Timestamp, task: TaskId) {
        let Some(lease) = &before.lease else {
            let taken = after.status == Status::Running && before.status != Status::Running;
            self.expect(!taken || after.epoch == before.epoch + 1, "a claim raises the epoch", || {
                after.key.to_string()
            });
            return;
        };
        if task_of(&lease.owner) == Some(task) {
            return;
        }
        let key = &after.key;
        if after.epoch == before.epoch {
            let mut touched = before.clone();
            (touched.cancel, touched.due_at, touched.rev) = (after.cancel, after.due_at, after.rev);
            touched.hostname.clone_from(&after.hostname);
            touched.replaced_by.clone_from(&after.replaced_by);
            touched.stopped_by.clone_from(&after.stopped_by);
            (touched.foreach_index, touched.ts_attempt) = (after.foreach_index, after.ts_attempt);
            touched.rendered.clone_from(&after.rendered);
            touched.gathers = after.gathers;
            self.expect(touched == *after, "only the holder writes", || {
                format!("{key}: {before:?} -> {after:?}")
            });
        } else {
            self.expect(lease.until <= now + APART, "no live claim is taken", || {
                format!("{key}: held by {:?} until {}, now {now}", lease.owner, lease.until)
            });
        }
    }

    fn attempts(&mut self, before: &Run, after: &Run) {
        if after.attempt == before.attempt {
            return;
        }
        let failed = after.status == Status::Retrying
            && after.attempt == before.attempt + 1
            && (before.status == Status::Running || before.duties.is_some());
        self.expect(failed, "an attempt counts only when one failed", || {
            format!(
                "{}: {} {} -> {} {}",
                after.key, before.status, before.attempt, after.status, after.attempt
            )
        });
    }

    fn starts(&mut self, before: &Run, after: &Run, runs: &RunTable, now: Timestamp) {
        let claimed = after.status == Status::Running && after.epoch > before.epoch;
        if !claimed {
            return;
        }
        let key = &after.key;
        self.expect(now + EARLY.delta() + APART >= before.not_before, "no start before its time", || {
            format!("{key}: started {now}, not before {}", before.not_before)
        });
        if after.overlap != Overlap::Allow {
            let holds = runs.locks().get(&after.job_id) == Some(key);
            self.expect(holds, "one holder of a job's lock", || format!("{key} runs without the lock"));
        }
        let waits = matches!(before.status, Status::Dispatched | Status::Retrying);
        if self.prompt && waits && after.overlap == Overlap::Allow && !after.is_child() {
            let due = before.not_before.max(before.ts_dispatch);
            // A paused run is due when the last of its pauses was over.
            let over = self.unpaused.iter().filter(|at| **at <= now).max();
            let waited = now - over.map_or(due, |over| due.max(*over));
            self.expect(waited <= PROMPT + self.late + hung(after.run_id), "starts are prompt", || {
                format!("{key} waited {} s", waited.num_seconds())
            });
        }
    }

    fn ended(&mut self, run: &Run, runs: &RunTable, now: Timestamp) {
        if run.overlap != Overlap::Allow && run.due_at.is_some() && run.ts_start.is_some() {
            let holds = runs.locks().get(&run.job_id) == Some(&run.key);
            self.expect(holds, "one holder of a job's lock", || {
                format!("{} ended without the lock", run.key)
            });
        }
        let children = runs.children(&run.key, run.attempt);
        // A run that is closed, as its worker was lost too often, does not wait for the steps that it has asked to stop.
        if run.status == Status::Complete || self.prompt {
            let left = children.iter().find(|child| !child.status.is_end());
            self.expect(left.is_none(), "a run ends after its steps", || {
                format!("{} is {} before {:?}", run.key, run.status, left.map(|child| &child.key))
            });
        }
        let Some(last) = children.iter().filter_map(|child| child.ts_end).max() else { return };
        if self.prompt && !run.cancel {
            // A step's actions may bring about what the next one needs: they are waited for.
            self.expect(now - last <= PROMPT + hung(run.run_id), "ends are prompt", || {
                format!("{} ended {} s after its last child", run.key, (now - last).num_seconds())
            });
        }
    }

    /// Checks every record at rest.
    fn well_formed(&mut self, run: &Run) {
        let key = &run.key;
        let done = run.status.is_end() && run.duties.is_none();
        self.expect(run.due_at.is_none() == done, "unfinished runs are due", || format!("{key}: {run:?}"));
        self.expect(!done || run.lease.is_none(), "finished runs have no lease", || key.to_string());
        self.expires(run);
        let busy = run.status == Status::Running || run.duties.is_some();
        self.expect(run.lease.is_none() || busy, "only busy runs have a lease", || format!("{key}: {run:?}"));
        self.expect(run.attempt <= run.retry.limit.max(1), "no more attempts than the limit", || {
            key.to_string()
        });
        let aside = [Status::Starting, Status::Logging, Status::ActionFailed];
        let last =
            run.log.entries.iter().rev().map(|entry| entry.status).find(|status| !aside.contains(status));
        self.expect(last == Some(run.status), "the log folds to the record", || {
            format!("{key} is {}, its log says {last:?}", run.status)
        });
        let failed = run.log.entries.iter().filter(|entry| entry.status == Status::Retrying).count();
        let open = usize::from(run.status == Status::Retrying && run.duties.is_some());
        let told = run.log.dropped > 0 || failed + 1 == run.attempt as usize + open;
        self.expect(told, "the log folds to the record", || {
            format!("{key} is at attempt {}: {:?}", run.attempt, run.log)
        });
    }

    /// A job's own work begins; gives the number to end it with.
    pub(crate) fn begin(&mut self, run: &Run, runs: &RunTable, now: Timestamp, task: TaskId, number: u64) {
        let key = &run.key;
        let stored = runs.get(key);
        let held = stored.is_some_and(|stored| {
            stored.epoch == run.epoch
                && stored.lease.as_ref().is_some_and(|lease| task_of(&lease.owner) == Some(task))
        });
        self.expect(held, "nothing is run without its claim", || {
            format!("{key} at epoch {}: {stored:?}", run.epoch)
        });
        if let Some(parent) = key.parent().and_then(|parent| runs.get(&parent)) {
            // A host that stood still since its claim, which it still has, cannot know.
            let still = self.stood_still_for(task);
            let left = parent.ts_end.is_some_and(|end| end + APART + still < now)
                || attempt_of(key) != parent.attempt;
            self.expect(!left, "no child is run after its parent went on", || format!("{key}: {parent:?}"));
        }
        self.may_run(run, runs);
        let alone = run.overlap != Overlap::Allow;
        for other in self.live.values().filter(|other| !other.zombie) {
            if other.key == *key {
                self.violation.get_or_insert(Violation {
                    invariant: "one execution of a run at a time",
                    detail: format!("{key} by tasks {} and {task}", other.task),
                });
            } else if alone && other.alone && other.job_id == run.job_id {
                self.violation.get_or_insert(Violation {
                    invariant: "one run of a locked job at a time",
                    detail: format!("{key} and {}", other.key),
                });
            }
        }
        let count = self.executions.entry((key.clone(), run.attempt)).or_default();
        *count += 1;
        let times = |of: &BTreeMap<RunKey, u32>| of.get(key).copied().unwrap_or(0);
        let (count, most) = (*count, 1 + times(&self.crashes) + times(&self.halts));
        self.expect(count <= most, "executions of an attempt ≤ 1 + crashes + stops", || {
            format!("{key} attempt {} was executed {count} times", run.attempt)
        });
        let execution =
            Execution { key: key.clone(), job_id: run.job_id.clone(), alone, task, zombie: false };
        self.live.insert(number, execution);
    }

    /// A job's own work has ended, or was dropped.
    pub(crate) fn end(&mut self, number: u64) {
        self.live.remove(&number);
    }

    /// The process of a task may not go on.
    pub(crate) fn halted(&mut self, task: TaskId, runs: &RunTable) {
        for run in runs.all() {
            if run.lease.as_ref().is_some_and(|lease| task_of(&lease.owner) == Some(task)) {
                *self.halts.entry(run.key.clone()).or_default() += 1;
            }
        }
    }

    /// An invocation ended by itself: whatever it has left undone another one can begin.
    pub(crate) fn ended_in_order(&mut self, task: TaskId, runs: &RunTable) {
        if !self.prompt {
            return;
        }
        let holds = |run: &&Run| run.lease.as_ref().is_some_and(|lease| task_of(&lease.owner) == Some(task));
        let held = runs.all().find(holds);
        self.expect(held.is_none(), "an invocation that ended holds no claim", || {
            format!("task {task}: {held:?}")
        });
    }

    /// A task crashed, or stood still; for so long that its claims may be `lost`.
    pub(crate) fn crashed(&mut self, task: TaskId, runs: &RunTable, lost: bool) {
        if !lost {
            return;
        }
        for run in runs.all() {
            if run.lease.as_ref().is_some_and(|lease| task_of(&lease.owner) == Some(task)) {
                *self.crashes.entry(run.key.clone()).or_default() += 1;
            }
        }
        for execution in self.live.values_mut().filter(|execution| execution.task == task) {
            execution.zombie = true;
        }
    }
}

/// The state of a child, as a plan sees it.
pub(crate) fn state_of(run: &Run) -> ChildState {
    if run.status.is_end() { ChildState::Ended(run.status, Why::of(run)) } else { ChildState::Live }
}
