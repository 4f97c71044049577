//! The commands' executions, compared with those that the records allow.

use std::collections::BTreeMap;
use std::path::Path;

use pumice_core::run::{Run, Status};

/// A command's job, run and item.
type Mark = (String, String, String);

/// How many commands left a mark, and which did so more often than their records have attempts, or
/// not at all though they are recorded as complete.
pub(super) fn compare(marks: &Path, runs: &[Run]) -> Result<(usize, Vec<String>), String> {
    let text = std::fs::read_to_string(marks).map_err(|error| format!("{}: {error}", marks.display()))?;
    let mut made: BTreeMap<Mark, usize> = BTreeMap::new();
    for line in text.lines() {
        let mut words = line.split(' ').map(str::to_owned);
        let mut word = || words.next().unwrap_or_default();
        *made.entry((word(), word(), word())).or_default() += 1;
    }
    let mut allowed: BTreeMap<Mark, (usize, usize)> = BTreeMap::new();
    for run in runs.iter().filter(|run| run.job_type == "cmd") {
        let item = run.foreach_index.map_or_else(|| "-".to_owned(), |index| index.to_string());
        let mark = (run.job_id.to_string(), run.run_id.to_string(), item);
        let starts = run.log.entries.iter().filter(|entry| entry.status == Status::Running).count();
        let (most, least) = allowed.entry(mark).or_default();
        *most += starts + run.log.dropped as usize;
        *least += usize::from(run.status == Status::Complete);
    }
    let mut wrong = Vec::new();
    for (mark, times) in &made {
        let most = allowed.get(mark).map_or(0, |(most, _)| *most);
        if *times > most {
            wrong.push(format!("{mark:?} ran {times} times; its record allows {most}"));
        }
    }
    for (mark, (_, least)) in &allowed {
        let times = made.get(mark).copied().unwrap_or(0);
        if times < *least {
            wrong.push(format!("{mark:?} is recorded as complete {least} times and ran {times} times"));
        }
    }
    Ok((made.values().sum(), wrong))
}
