//! Invariants of runs that make way for newer ones of their job.

use chrono::TimeDelta;
use pumice_core::Timestamp;
use pumice_core::run::{Run, Status};
use pumice_core::spec::Overlap;

use super::{Audit, PROMPT, hung};
use crate::memory::RunTable;

/// How long a run that is asked to stop may take until the one that takes its place starts, where nothing goes wrong:
/// a job of steps looks for news each 20 seconds, and so does its step.
const STOPPED: TimeDelta = TimeDelta::seconds(70);

impl Audit {
    pub(super) fn turns(&mut self, before: &Run, after: &Run, runs: &RunTable, now: Timestamp) {
        if before.replaced_by != after.replaced_by {
            self.replaced(before, after, runs);
        }
        let starts = after.status == Status::Running && before.is_in_line() && after.overlap.newest_wins();
        if starts && self.prompt {
            self.is_newest(before, runs, now);
        }
    }

    /// A run is left out, or stopped, only for a newer one, and only where it or the newer one says so.
    fn replaced(&mut self, before: &Run, after: &Run, runs: &RunTable) {
        let by = after.replaced_by.as_ref().and_then(|by| runs.get(by));
        let newer =
            by.filter(|by| by.job_id == after.job_id && by.overlap.newest_wins() && by.came_after(after));
        self.expect(newer.is_some(), "the newest wins", || {
            format!("{} was replaced by {:?}: {by:?}", after.key, after.replaced_by)
        });
        let left_out = after.status == Status::Skipped;
        let agreed = after.overlap.newest_wins() && before.ts_start.is_none();
        let stopped = after.cancel && by.is_some_and(|by| by.overlap == Overlap::CancelRunning);
        self.expect(
            if left_out { agreed } else { stopped },
            "an older run gives way only where it may",
            || format!("{before:?} -> {after:?}"),
        );
    }

    /// Of those that wait the newest is started, and soon where it may stop the one in its way.
    fn is_newest(&mut self, run: &Run, runs: &RunTable, now: Timestamp) {
        let waited =
            |other: &Run| self.in_line.get(&other.key).map_or(TimeDelta::zero(), |since| now - *since);
        let newer = runs.all().find(|other| {
            other.job_id == run.job_id
                && other.is_in_line()
                && other.overlap.newest_wins()
                && other.came_after(run)
                && waited(other) > PROMPT
        });
        let key = newer.map(|newer| newer.key.clone());
        let waited = waited(run);
        self.expect(key.is_none(), "the newest wins", || format!("{} started before {key:?}", run.key));
        // Of those that are to wait for good the next may have had the lock meanwhile.
        let mut others = runs.all().filter(|other| other.job_id == run.job_id);
        let stops = run.overlap == Overlap::CancelRunning && others.all(|other| other.overlap.newest_wins());
        let hung = runs.all().filter(|other| other.job_id == run.job_id).map(|other| hung(other.run_id));
        let most = STOPPED + hung.max().unwrap_or_default();
        self.expect(!stops || waited <= most, "a run that takes a place starts soon", || {
            format!("{} waited {} s", run.key, waited.num_seconds())
        });
    }
}
