//! Invariants of the start of runs: when, with which rendering, and whether at all.

use chrono::TimeDelta;
use pumice_core::Timestamp;
use pumice_core::duration::Span;
use pumice_core::ids::RunKey;
use pumice_core::run::{Run, Status};
use pumice_core::spec::JobSpec;
use serde_json::Value;

use super::super::fakes::STAMP;
use super::super::runner::SWEEP;
use super::super::world::TaskId;
use super::steps::attempt_of;
use super::{APART, Audit, PROMPT};
use crate::memory::RunTable;

/// Within how many sweeps a run must be sent that its queue could not hold before.
const MAX_SWEEPS: i32 = 2;

impl Audit {
    /// A run that a queue could not hold until its time is sent once the queue can, even if others are due.
    pub(super) fn sent_in_time(&mut self, before: &Run, after: &Run, now: Timestamp) {
        let is_free = |run: &Run| run.lease.is_none() && !run.status.is_end();
        let was_unsent = is_free(before) && before.due_at.is_some_and(|due| due < before.not_before);
        let is_sent = is_free(after) && after.due_at.is_some_and(|due| due > after.not_before);
        // Where the sweeper is out for long, a schedule sends it.
        let watched = self.prompt && self.late.is_zero() && was_unsent && is_sent;
        let Some(due) = before.due_at.filter(|_| watched) else { return };
        self.expect(now <= due + SWEEP * MAX_SWEEPS, "a timed run is sent within two sweeps", || {
            format!("{}: due {due}, sent {now}", after.key)
        });
    }

    /// How long a task stood still so far.
    pub(crate) fn stood_still_for(&self, task: TaskId) -> TimeDelta {
        self.still.get(&task).copied().unwrap_or_default()
    }

    /// A task stood still for so long.
    pub(crate) fn stood_still(&mut self, task: TaskId, pause: TimeDelta) {
        *self.still.entry(task).or_default() += pause;
    }

    /// A run keeps when it was due at first, through all that it waits for and all its attempts. It is started before its
    /// `max_run_delay` is over, and rejected after that only.
    pub(super) fn in_time(
        &mut self,
        before: &Run,
        after: &Run,
        runs: &RunTable,
        now: Timestamp,
        task: TaskId,
    ) {
        let due = *self.due.entry(after.key.clone()).or_insert(before.was_due());
        self.expect(after.was_due() == due, "a run keeps when it was due at first", || {
            format!("{}: {due} -> {}", after.key, after.was_due())
        });
        let limit = runs
            .get_with_spec(&after.key)
            .and_then(|(_, spec)| Span::parse(spec.job.get("max_run_delay")?.as_str()?).ok());
        let Some(limit) = limit else { return };
        let waited = now - due;
        // Between the look at the clock and the write a host may stand still, and the store refuse.
        let still = self.still.get(&task).copied().unwrap_or_default();
        let started = before.ts_start.is_none() && after.ts_start.is_some();
        let most = limit.delta() + APART + still + PROMPT * 2;
        self.expect(!started || waited <= most, "nothing starts too late", || {
            format!("{} waited {} s, at most {limit}", after.key, waited.num_seconds())
        });
        let rejected = after.status == Status::Rejected && before.status != Status::Rejected;
        self.expect(
            !rejected || waited + APART >= limit.delta(),
            "nothing is too late before its time",
            || format!("{} waited {} s of {limit}", after.key, waited.num_seconds()),
        );
    }

    /// A job's payload was rendered at this attempt if its job is rendered at the start of each,
    /// else when the run was made; and the plan that it is a step of likewise.
    pub(crate) fn rendered(&mut self, run: &Run, job: &JobSpec, payload: &Value, runs: &RunTable) {
        let invariant = "payloads are rendered as their job says";
        if job.document.get("x-wanted") == Some(&Value::Bool(false)) {
            self.fail("disabled jobs do not run", run.key.to_string());
        }
        if let Some(stamp) = payload.get("stamp") {
            let expected = if at_run(&job.document) { run.attempt } else { 1 };
            self.expect(stamp.as_str() == Some(&expected.to_string()), invariant, || {
                format!("{} attempt {}: rendered with {stamp}", run.key, run.attempt)
            });
        }
        let stamp = job.fields.globals.as_ref().and_then(|globals| globals.get(STAMP));
        let parent = run.key.parent().and_then(|parent: RunKey| runs.get_with_spec(&parent));
        if let (Some(stamp), Some((_, spec))) = (stamp, parent) {
            let expected = if at_run(&spec.job) { attempt_of(&run.key) } else { 1 };
            self.expect(stamp.as_str() == Some(&expected.to_string()), invariant, || {
                format!("the plan of the parent of {} was rendered with {stamp}", run.key)
            });
        }
    }
}

/// Whether the stamp, which names the attempt, is rendered anew for each: unless the job says `dispatch`.
fn at_run(document: &serde_json::Map<String, Value>) -> bool {
    document.get("render_at").and_then(Value::as_str) != Some("dispatch")
}
