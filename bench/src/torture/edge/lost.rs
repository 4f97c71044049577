//! Executions that a harm has cost, counted by the test itself.

use std::collections::{HashMap, HashSet};
use std::path::Path;

use pumice_core::ids::RunKey;
use pumice_core::job_type::{kept_at, temp_at};
use pumice_core::run::{Run, Status};

/// How often each execution's mark was left.
pub(super) type Executions = HashMap<String, usize>;

/// Counts the lines of a file of marks.
pub(super) fn executions(marks: &Path) -> Result<Executions, String> {
    let text = match std::fs::read_to_string(marks) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => String::new(),
        read => read.map_err(|error| format!("{}: {error}", marks.display()))?,
    };
    let mut executions = Executions::new();
    for line in text.lines() {
        *executions.entry(line.to_owned()).or_default() += 1;
    }
    Ok(executions)
}

/// The place of an attempt's outputs below the folder for temporary files, and how its script names it: its mark.
pub(super) fn id(run: &Run, attempt: u32) -> (String, String) {
    let below = |place: String| place.trim_start_matches('/').to_owned();
    let seen = if run.job_id.as_str() == "keep" { 1 } else { attempt };
    let seen = below(temp_at("", &run.job_id, &run.key, seen));
    (below(kept_at("", &run.job_id, &run.key, attempt)), format!("{seen} {attempt}"))
}

/// The cost of kills and halts. The engine's own count of crashes plays no part in it: a freeze that the engine
/// takes for a crash must not allow an execution.
#[derive(Default)]
pub(super) struct Lost {
    /// How many executions of an attempt were lost, by mark.
    executions: HashMap<String, usize>,
    /// The claims, by epoch, that a killed server held.
    claims: HashMap<RunKey, HashSet<u64>>,
}

impl Lost {
    /// A server was killed; the records are as it left them.
    pub(super) fn killed(&mut self, runs: &[Run]) {
        for run in runs.iter().filter(|run| run.status == Status::Running && run.lease.is_some()) {
            // Another server may have been killed before it could claim the run again.
            if self.claims.entry(run.key.clone()).or_default().insert(run.epoch) {
                *self.executions.entry(id(run, run.attempt).1).or_default() += 1;
            }
        }
    }

    /// A server stopped its running attempts, and none of their processes is alive any more.
    pub(super) fn halted(&mut self, runs: &[Run], marks: &Executions) {
        for run in runs.iter().filter(|run| !run.status.is_end() && run.attempt > 0) {
            let mark = id(run, run.attempt).1;
            let lost = self.executions.entry(mark.clone()).or_default();
            // One at most: the harm did not cause any more.
            *lost += usize::from(marks.get(&mark).is_some_and(|made| made > lost));
        }
    }

    /// How many executions of an attempt there may be.
    pub(super) fn allowed(&self, mark: &str) -> usize {
        1 + self.executions.get(mark).copied().unwrap_or(0)
    }

    /// How many claims of a run were lost with their servers.
    pub(super) fn claims(&self, key: &RunKey) -> usize {
        self.claims.get(key).map_or(0, HashSet::len)
    }
}

#[cfg(test)]
mod tests {
    use pumice_core::ids::{JobId, RunId, WorkerName};
    use pumice_core::run::{Lease, Worker};

    use super::*;

    /// A run of a command in its first attempt.
    fn run(epoch: u64, lease: bool) -> Run {
        let run_id = RunId(uuid::Uuid::from_u128(7));
        let job = (JobId::new("print").unwrap(), "cmd".to_owned(), WorkerName::new("core").unwrap());
        let now = chrono::Utc::now();
        let mut run = Run::dispatched(RunKey::root(run_id), run_id, job, now, now, None);
        run.lease = lease.then(|| Lease { owner: Worker("owner".to_owned()), until: now });
        run.status = if lease { Status::Running } else { Status::Waiting };
        (run.attempt, run.epoch) = (1, epoch);
        run
    }

    #[test]
    fn claim_that_was_killed_allows_one_more_execution_once() {
        let mut lost = Lost::default();
        let run = run(1, true);
        let mark = id(&run, 1).1;
        assert_eq!((lost.allowed(&mark), lost.claims(&run.key)), (1, 0));
        for _ in 0..2 {
            lost.killed(std::slice::from_ref(&run));
        }
        assert_eq!((lost.allowed(&mark), lost.claims(&run.key)), (2, 1));
    }

    #[test]
    fn halt_allows_no_execution_that_was_made_twice_already() {
        let mut lost = Lost::default();
        let run = run(1, false);
        let mark = id(&run, 1).1;
        lost.halted(std::slice::from_ref(&run), &Executions::new());
        assert_eq!(lost.allowed(&mark), 1);
        let twice = Executions::from([(mark.clone(), 2)]);
        lost.halted(std::slice::from_ref(&run), &twice);
        assert_eq!(lost.allowed(&mark), 2);
    }
}
