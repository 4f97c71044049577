//! Invariants of runs that wait for their job's lock.

use pumice_core::Timestamp;
use pumice_core::run::{Run, Status};
use pumice_core::spec::Overlap;

use super::{Audit, PROMPT};
use crate::memory::RunTable;

impl Audit {
    /// Without faults, the next run in line starts as soon as the lock is free.
    pub(super) fn line(&mut self, before: &Run, after: &Run, runs: &RunTable, now: Timestamp) {
        if after.overlap == Overlap::Allow {
            return;
        }
        if before.is_in_line() && after.status == Status::Running && self.prompt {
            let free = self.free.get(&after.job_id).copied().unwrap_or(now);
            let since = self.in_line.get(&after.key).map_or(free, |since| free.max(*since));
            let since = self.unpaused.iter().filter(|at| **at <= now).fold(since, |since, at| since.max(*at));
            self.expect(now - since <= PROMPT + self.late, "the next run in line starts promptly", || {
                format!("{} waited {} s for a lock that was free", after.key, (now - since).num_seconds())
            });
        }
        if after.is_in_line() {
            self.in_line.entry(after.key.clone()).or_insert(now);
        }
        let holder = runs.locks().get(&after.job_id).and_then(|holder| runs.get(holder));
        if holder.is_some_and(|holder| holder.due_at.is_some()) {
            self.free.remove(&after.job_id);
        } else {
            self.free.entry(after.job_id.clone()).or_insert(now);
        }
    }
}
