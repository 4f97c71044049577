//! Checks once all is done.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::process::Command;

use pumice_core::run::{Run, Status};

use super::harm::Harm;
use super::lost::{self, Executions};
use super::{Borne, Round, expected};

/// Most runs whose output is read through the command, too.
const MAX_READ: usize = 10;

/// Judges a round.
pub(super) async fn judge(round: &Round, borne: &mut Borne) -> Result<(), String> {
    let store = |error: pumice_core::ports::StoreError| error.to_string();
    let runs = round.runs().await?;
    let mut executions = lost::executions(&round.marks())?;
    borne.runs += runs.len();
    borne.commands += executions.values().sum::<usize>();
    let mut wrong = Vec::new();
    let known: HashMap<_, _> = runs.iter().map(|run| (&run.key, run)).collect();
    for (key, job) in &round.accepted {
        if !known.contains_key(key) {
            wrong.push(format!("run {key} of {job} was accepted and is gone"));
        }
    }
    for run in &runs {
        wrong.extend(Judged { round, run }.judge(&mut executions));
    }
    wrong.extend(
        executions.iter().map(|(mark, count)| format!("{mark} ran {count} times and is in no record")),
    );
    wrong.extend(read_back(round, &runs)?);
    wrong.extend(left_over(round));
    for letter in round.home.database().dead_letters().await.map_err(store)? {
        wrong.push(format!("a dead letter: {}", letter.reason.as_deref().unwrap_or_default()));
    }
    borne.wrong.extend(wrong.into_iter().map(|wrong| format!("round {}: {wrong}", round.number)));
    Ok(())
}

/// A record, held against what its job must have left.
struct Judged<'a> {
    round: &'a Round,
    run: &'a Run,
}

impl Judged<'_> {
    fn judge(&self, executions: &mut Executions) -> Vec<String> {
        let run = self.run;
        let what = format!("{} {}", run.job_id, run.key);
        if !run.status.is_end() || run.due_at.is_some() || run.lease.is_some() {
            return vec![format!("{what} is not done with: {}", run.status)];
        }
        let mut wrong = Vec::new();
        let claims = self.round.lost.claims(&run.key);
        if run.crashes as usize != claims {
            wrong.push(format!("{what} counts {} lost workers; {claims} were killed", run.crashes));
        }
        let is_command = run.job_type == "cmd";
        let before = wrong.len();
        if is_command {
            wrong.extend(self.executions(executions).into_iter().map(|wrong| format!("{what} {wrong}")));
        }
        if run.job_id.as_str().starts_with("bad-") {
            return wrong;
        }
        if run.status != Status::Complete {
            wrong.push(format!("{what} is {}: {:?}", run.status, run.reason));
        } else if is_command {
            wrong.extend(self.kept().into_iter().map(|wrong| format!("{what} {wrong}")));
        }
        if wrong.len() > before {
            let log: Vec<String> =
                run.log.entries.iter().map(|entry| format!("{} {}", entry.status, entry.info)).collect();
            wrong.push(format!("{what} has the log {log:?} and the result {}", run.result));
        }
        wrong
    }

    /// No attempt was made more often than it was lost.
    fn executions(&self, executions: &mut Executions) -> Vec<String> {
        let run = self.run;
        let mut wrong = Vec::new();
        for attempt in 1..=run.attempt {
            let (_, id) = lost::id(run, attempt);
            let count = executions.remove(&id).unwrap_or(0);
            let allowed = self.round.lost.allowed(&id);
            if count > allowed {
                wrong.push(format!("ran {count} times, of which {allowed} are allowed: {id}"));
            }
            if count == 0 && run.status == Status::Complete && attempt == run.attempt {
                wrong.push("is complete and never ran".to_owned());
            }
        }
        wrong
    }

    /// Checks that the kept output of each attempt is its script's.
    fn kept(&self) -> Vec<String> {
        let run = self.run;
        let usual = expected::attempts(run.job_id.as_str());
        let was_full = self.round.times(Harm::Disk) > 0;
        let mut wrong = Vec::new();
        if run.attempt != usual && !was_full {
            wrong.push(format!("took {} attempts", run.attempt));
        }
        // The output of an attempt that failed while the disk was full is lost.
        let first = if was_full { run.attempt } else { 1 };
        for attempt in first..=run.attempt {
            let (place, id) = lost::id(run, attempt);
            let left = expected::left(run, attempt, &id);
            let folder = self.round.home.path().join("temp").join(&place);
            wrong.extend(differs(&folder.join("stdout"), &left.stdout));
            wrong.extend(differs(&folder.join("stderr"), &left.stderr));
            let kept =
                self.round.home.path().join("temp").join(id.rsplit_once(' ').map_or("", |(kept, _)| kept));
            let last = format!("{attempt}.txt");
            // The files of an attempt that failed for want of room are not promised.
            let is_promised = |name: &str| {
                attempt == run.attempt && (!was_full || run.job_id.as_str() != "keep" || name == last)
            };
            let files = left.files.iter().filter(|(name, _)| is_promised(name));
            wrong.extend(files.filter_map(|(name, text)| differs(&kept.join(name), text.as_bytes())));
        }
        for output in run.result["output"].as_array().into_iter().flatten() {
            for stream in ["stdout", "stderr"] {
                let Some(place) = output[stream].as_str() else { continue };
                if !self.round.home.path().join(place).is_file() {
                    wrong.push(format!("promises {place}, which is not there"));
                }
            }
        }
        wrong
    }
}

/// How a file differs from what it must hold; nothing printed makes no file.
fn differs(path: &Path, expected: &[u8]) -> Option<String> {
    let found = match std::fs::read(path) {
        Ok(found) => found,
        Err(_) if expected.is_empty() => return None,
        Err(error) => return Some(format!("has no {}: {error}", path.display())),
    };
    let short = |bytes: &[u8]| String::from_utf8_lossy(&bytes[..bytes.len().min(200)]).into_owned();
    (found != expected).then(|| {
        format!(
            "{} holds {} bytes {:?}, not {} bytes {:?}",
            path.display(),
            found.len(),
            short(&found),
            expected.len(),
            short(expected)
        )
    })
}

/// `runs output` shows what is kept.
fn read_back(round: &Round, runs: &[Run]) -> Result<Vec<String>, String> {
    let mut wrong = Vec::new();
    let whole = |run: &&Run| run.job_id.as_str() == "print" && !run.is_child() && run.attempt == 1;
    for run in runs.iter().filter(whole).filter(|run| run.status == Status::Complete).take(MAX_READ) {
        let printed = Command::new(&round.pumice)
            .args(["runs", "output", run.key.as_str(), "--home"])
            .arg(round.home.path())
            .output()
            .map_err(|error| error.to_string())?;
        let id = lost::id(run, 1).1;
        let left = expected::left(run, 1, &id);
        if printed.stdout != left.stdout || printed.stderr != left.stderr {
            wrong.push(format!("runs output of {} does not show what is kept", run.key));
        }
    }
    Ok(wrong)
}

/// Whether directories that the steps of a run share are there.
pub(super) fn has_shared(round: &Round) -> bool {
    !held(round.home.path().join("work")).is_empty()
}

fn held(folder: PathBuf) -> Vec<String> {
    let entries = std::fs::read_dir(folder).into_iter().flatten().flatten();
    entries.map(|entry| entry.path().display().to_string()).collect()
}

/// Nothing is left of commands that have ended, and nothing was made elsewhere.
fn left_over(round: &Round) -> Vec<String> {
    let home = round.home.path();
    [round.outside(), home.join("work"), home.join("scratch/live")]
        .into_iter()
        .flat_map(held)
        .map(|path| format!("{path} is left"))
        .collect()
}
