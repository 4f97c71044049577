//! Invariants of the steps of a chain, a dag or a foreach.

use chrono::TimeDelta;
use pumice_core::Timestamp;
use pumice_core::duration::Span;
use pumice_core::ids::RunKey;
use pumice_core::run::Run;
use pumice_core::spec::RunSpec;
use serde_json::Value;

use super::super::fakes;
use super::super::faults::WATCH;
use super::{Audit, PROMPT, hung};
use crate::memory::RunTable;

/// How long a step may wait after a report of one that runs elsewhere, in seconds: until its parent
/// looks at its own record.
const TOLD: TimeDelta = TimeDelta::seconds(WATCH.cast_signed());

impl Audit {
    /// A child is made once, as its parent's plan says, after all that it waits for.
    pub(super) fn child_created(&mut self, run: &Run, runs: &RunTable, now: Timestamp) {
        let invariant = "a child is made once, after its predecessors";
        let found = run.key.parent().and_then(|parent| runs.get_with_spec(&parent));
        let Some((parent, spec)) = found else {
            return self.fail(invariant, format!("{} has no parent", run.key));
        };
        let Ok(plan) = fakes::plan_of(spec.job.get("payload")) else {
            return self.fail(invariant, format!("{} is a child of a run without a plan", run.key));
        };
        let attempt = attempt_of(&run.key);
        let step = run.key.step().map_or(usize::MAX, |step| step as usize);
        let Some(planned) = plan.steps.get(step).filter(|planned| planned.job_id == run.job_id) else {
            return self.fail(invariant, format!("{} is not in its parent's plan", run.key));
        };
        if run.kept.is_some() {
            // It has ended already, even if its predecessors have not.
            return;
        }
        let siblings = runs.children(&parent.key, attempt);
        for before in &planned.after {
            let sibling =
                siblings.iter().find(|run| run.key.step().map(|step| step as usize) == Some(*before));
            let passed = sibling.is_some_and(|run| {
                run.status.is_end() && (!run.status.is_failure() || plan.forgives(*before))
            });
            self.expect(passed, invariant, || {
                format!("{} was made before step {before} had ended well", run.key)
            });
        }
        let count = siblings.iter().filter(|run| !run.status.is_end()).count();
        self.expect(count <= plan.width, "no more children at once than the width", || {
            format!("{}: {count}", parent.key)
        });
        self.begun_in_time(run, parent, spec, now);
        let waited_for = siblings.iter().filter(|sibling| {
            let step = sibling.key.step().map_or(usize::MAX, |step| step as usize);
            planned.after.contains(&step)
        });
        let ready = waited_for.filter_map(|sibling| sibling.ts_end).chain(parent.attempt_start()).max();
        if self.steps_prompt && plan.width >= plan.steps.len() {
            self.expect(
                ready.is_some_and(|ready| now - ready <= TOLD + PROMPT + hung(run.run_id)),
                "steps are prompt",
                || format!("{} was made at {now}, ready since {ready:?}", run.key),
            );
        }
    }

    /// Where nothing goes wrong, no step begins when the time of its parent's attempt is up, however
    /// many invocations that took.
    fn begun_in_time(&mut self, run: &Run, parent: &Run, spec: &RunSpec, now: Timestamp) {
        let timeout = spec.job.get("timeout").and_then(Value::as_str).and_then(|text| Span::parse(text).ok());
        if let (true, Some(timeout), Some(began)) = (self.prompt, timeout, parent.attempt_start()) {
            self.expect(now <= began + timeout.delta() + PROMPT, "a timeout counts for the attempt", || {
                format!("{} began {} s after its parent", run.key, (now - began).num_seconds())
            });
        }
    }
}

/// The parent's attempt that a child belongs to.
pub(in crate::sim) fn attempt_of(key: &RunKey) -> u32 {
    let place = key.as_str().rsplit_once('/').and_then(|(_, place)| place.split_once('.'));
    place.and_then(|(attempt, _)| attempt.parse().ok()).unwrap_or(0)
}
