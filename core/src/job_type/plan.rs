//! The steps of a chain, a dag or a foreach, and which of them is next: pure rules.

use std::collections::BTreeSet;

use serde_json::{Map, Value, json};

use crate::glob::fnmatch;
use crate::ids::JobId;
use crate::run::{Outcome, Status, Why, failed_result, reason};

/// Deepest chain of jobs that start jobs, in levels: it ends what would start itself for ever.
pub const MAX_DEPTH: u32 = 32;

/// One step: a job, and the steps that it comes after.
#[derive(Clone, Debug, PartialEq)]
pub struct PlanStep {
    /// The job.
    pub job_id: JobId,
    /// The steps, by number, that must have ended before.
    pub after: Vec<usize>,
    /// Its place in a foreach, from 0.
    pub foreach_index: Option<u32>,
    /// Globals of this step alone, over the parent's.
    pub globals: Map<String, Value>,
}

/// All steps of a run, in the order in which they are started.
#[derive(Clone, Debug, PartialEq)]
pub struct Plan {
    /// The steps.
    pub steps: Vec<PlanStep>,
    /// How many may be under way at once.
    pub width: usize,
    /// Patterns of job ids that may fail without failing the whole.
    pub can_fail: Vec<String>,
    /// The most items that a foreach may have, for its result.
    pub limit: Option<usize>,
    /// Whether each step is a run that any invocation of the worker takes.
    pub spread: bool,
}

/// The known state of a step.
#[derive(Clone, Debug, PartialEq)]
pub enum ChildState {
    /// It has no record yet.
    Missing,
    /// It has a record, and has not ended.
    Live,
    /// It has ended.
    Ended(Status, Option<Why>),
}

/// The next move.
#[derive(Clone, Debug, PartialEq)]
pub enum Next {
    /// Start these steps.
    Start(Vec<usize>),
    /// Wait for one that is under way.
    Wait,
    /// All that is to be done is done.
    Done(Outcome),
}

impl Plan {
    /// A plan whose steps come one after the other.
    #[must_use]
    pub fn in_order(jobs: Vec<JobId>, can_fail: Vec<String>) -> Self {
        let step = |(index, job_id): (usize, JobId)| PlanStep {
            job_id,
            after: index.checked_sub(1).into_iter().collect(),
            foreach_index: None,
            globals: Map::new(),
        };
        let steps = jobs.into_iter().enumerate().map(step).collect();
        Self { steps, width: 1, can_fail, limit: None, spread: false }
    }

    /// Whether the failure of this step is forgiven (lava guide, Allowing Child Jobs to Fail).
    #[must_use]
    pub fn forgives(&self, step: usize) -> bool {
        let job_id = self.steps[step].job_id.as_str();
        self.can_fail.iter().any(|pattern| fnmatch(pattern, job_id))
    }

    /// Whether steps may come after others, which the items of a foreach never do.
    #[must_use]
    pub fn has_order(&self) -> bool {
        self.steps.iter().any(|step| step.foreach_index.is_none())
    }

    /// The steps that come before one, at whatever distance.
    #[must_use]
    pub fn before(&self, step: usize) -> BTreeSet<usize> {
        let (mut found, mut next) = (BTreeSet::new(), vec![step]);
        while let Some(step) = next.pop() {
            next.extend(self.steps[step].after.iter().filter(|before| found.insert(**before)));
        }
        found
    }

    /// The steps that come after one, at whatever distance.
    #[must_use]
    pub fn after(&self, step: usize) -> BTreeSet<usize> {
        let mut followers: Vec<Vec<usize>> = vec![Vec::new(); self.steps.len()];
        for (follower, spec) in self.steps.iter().enumerate() {
            spec.after.iter().for_each(|before| followers[*before].push(follower));
        }
        let (mut found, mut next) = (BTreeSet::new(), vec![step]);
        while let Some(step) = next.pop() {
            next.extend(followers[step].iter().filter(|follower| found.insert(**follower)));
        }
        found
    }

    /// Whether a step's state lets those after it start.
    fn passed(&self, step: usize, state: &ChildState) -> bool {
        match state {
            ChildState::Ended(status, _) => !status.is_failure() || self.forgives(step),
            _ => false,
        }
    }

    /// The next thing to do, given what is known of each step, in order. After a failure that is
    /// not forgiven, or when `stopping`, nothing new is started.
    #[must_use]
    pub fn next(&self, states: &[ChildState], stopping: bool) -> Next {
        let live = states.iter().filter(|state| **state == ChildState::Live).count();
        let failed = self.first_failure(states);
        if failed.is_some() || stopping {
            if live > 0 {
                return Next::Wait;
            }
            return Next::Done(failed.map_or(Outcome::Cancelled, |step| self.failure(states, step)));
        }
        let ready: Vec<usize> = self
            .steps
            .iter()
            .enumerate()
            .filter(|(step, _)| states[*step] == ChildState::Missing)
            .filter(|(_, spec)| spec.after.iter().all(|before| self.passed(*before, &states[*before])))
            .map(|(step, _)| step)
            .take(self.width.saturating_sub(live))
            .collect();
        if !ready.is_empty() {
            Next::Start(ready)
        } else if live > 0 {
            Next::Wait
        } else {
            Next::Done(Outcome::Success(self.result(states, 0)))
        }
    }

    fn first_failure(&self, states: &[ChildState]) -> Option<usize> {
        (0..self.steps.len()).find(|step| {
            matches!(&states[*step], ChildState::Ended(status, _) if status.is_failure())
                && !self.forgives(*step)
        })
    }

    fn failure(&self, states: &[ChildState], step: usize) -> Outcome {
        let why = match &states[step] {
            ChildState::Ended(status, why) => why.clone().unwrap_or_else(|| Why::plain(status.to_string())),
            _ => Why::plain(String::new()),
        };
        self.failure_of(step, &why, true, self.result(states, 1))
    }

    /// The failure of the whole because a step cannot have a run.
    #[must_use]
    pub fn refusal(&self, states: &[ChildState], step: usize, why: &Why) -> Outcome {
        let mut data = self.result(states, 1);
        if let Some(Value::Array(failed)) = data.get_mut("failed_jobs") {
            failed.push(self.steps[step].job_id.as_str().into());
        }
        self.failure_of(step, why, false, data)
    }

    fn failure_of(&self, step: usize, why: &Why, ran: bool, mut data: Value) -> Outcome {
        let job_id = &self.steps[step].job_id;
        // Of an item that no run was made for lava does not say which.
        let (place, index) = match self.steps[step].foreach_index.filter(|_| ran) {
            Some(index) => (format!(" (item {index})"), format!("Index {index}: ")),
            None => (String::new(), String::new()),
        };
        let reason = reason::of_step(&format!("{job_id}{place}"), &why.reason);
        let error = format!("Job {job_id}: {index}{}", why.error);
        data["error"] = error.as_str().into();
        let result = failed_result(Some(&error), &reason, data);
        Outcome::Failure { reason, result, retryable: true }
    }

    /// The steps, each after those that it comes after, else in their own order.
    fn one_after_the_other(&self) -> Vec<usize> {
        let mut order = Vec::with_capacity(self.steps.len());
        let mut waits: Vec<usize> = self.steps.iter().map(|step| step.after.len()).collect();
        let mut followers: Vec<Vec<usize>> = vec![Vec::new(); self.steps.len()];
        for (step, spec) in self.steps.iter().enumerate() {
            spec.after.iter().for_each(|before| followers[*before].push(step));
        }
        let mut ready: BTreeSet<usize> = (0..waits.len()).filter(|step| waits[*step] == 0).collect();
        while let Some(step) = ready.pop_first() {
            order.push(step);
            for follower in &followers[step] {
                waits[*follower] -= 1;
                if waits[*follower] == 0 {
                    ready.insert(*follower);
                }
            }
        }
        order
    }

    /// lava's result: of a chain and a dag the jobs that ran and those that failed, of a foreach
    /// how many items there were and which failed.
    fn result(&self, states: &[ChildState], exit_status: u8) -> Value {
        if self.steps.first().is_none_or(|step| step.foreach_index.is_some()) {
            let ended = |step: usize, failed| matches!(&states[step], ChildState::Ended(status, _) if status.is_failure() == failed);
            let count = (0..self.steps.len()).filter(|step| ended(*step, false)).count();
            return json!({
                "exit_status": exit_status,
                "limit": self.limit,
                "foreach_len": self.steps.len(),
                "jobs_completed": count,
                "failed_indexes": (0..self.steps.len()).filter(|step| ended(*step, true)).collect::<Vec<_>>(),
            });
        }
        let order = self.one_after_the_other();
        let of = |wanted: fn(Status) -> bool| -> Vec<&str> {
            let ended =
                |step: &usize| matches!(&states[*step], ChildState::Ended(status, _) if wanted(*status));
            let steps = order.iter().copied().filter(ended);
            steps.map(|step| self.steps[step].job_id.as_str()).collect()
        };
        json!({
            "exit_status": exit_status,
            "jobs": of(|status| !status.is_failure()),
            "failed_jobs": of(Status::is_failure),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn chain(can_fail: &[&str]) -> Plan {
        let jobs = ["a", "b", "c"].iter().map(|id| JobId::new(id).unwrap()).collect();
        Plan::in_order(jobs, can_fail.iter().map(ToString::to_string).collect())
    }

    fn ended(status: Status) -> ChildState {
        ChildState::Ended(status, Some(Why::plain("it broke".to_owned())))
    }

    #[test]
    fn a_chain_goes_step_by_step() {
        use ChildState::{Live, Missing};
        let plan = chain(&[]);
        let done = || ended(Status::Complete);
        for (states, next) in [
            ([Missing, Missing, Missing], Next::Start(vec![0])),
            ([Live, Missing, Missing], Next::Wait),
            ([done(), Missing, Missing], Next::Start(vec![1])),
            ([done(), ended(Status::Skipped), Missing], Next::Start(vec![2])),
        ] {
            assert_eq!(plan.next(&states, false), next, "{states:?}");
        }
        let all = plan.next(&[done(), ended(Status::Skipped), done()], false);
        assert_eq!(
            all,
            Next::Done(Outcome::Success(
                json!({"exit_status": 0, "jobs": ["a", "b", "c"], "failed_jobs": []})
            ))
        );
    }

    #[test]
    fn a_failure_stops_it_unless_forgiven() {
        let states = [ended(Status::Complete), ended(Status::Failed), ChildState::Missing];
        let Next::Done(Outcome::Failure { reason, result, .. }) = chain(&[]).next(&states, false) else {
            panic!("the chain must fail");
        };
        assert_eq!(reason, "job b: it broke");
        assert_eq!(result["error"], json!("Job b: it broke"));
        assert_eq!(result["reason"], json!("job b: it broke"));
        assert_eq!(result["error_data"]["error"], json!("Job b: it broke"));
        assert_eq!(result["error_data"]["failed_jobs"], json!(["b"]));
        assert_eq!(chain(&["[b]"]).next(&states, false), Next::Start(vec![2]));
    }

    #[test]
    fn a_stopping_run_starts_nothing() {
        let states = [ChildState::Live, ChildState::Missing, ChildState::Missing];
        assert_eq!(chain(&[]).next(&states, true), Next::Wait);
        let states = [ended(Status::Cancelled), ChildState::Missing, ChildState::Missing];
        assert!(matches!(chain(&["*"]).next(&states, true), Next::Done(Outcome::Cancelled)));
    }
}
