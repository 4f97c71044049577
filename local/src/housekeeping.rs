//! Removes what runs leave once nothing refers to it: records that have expired, what those runs kept, and directories
//! that the steps of a run shared.

use std::collections::HashSet;
use std::path::{Path, PathBuf};
use std::time::Duration;

use pumice_core::ids::RunId;
use pumice_core::job_type::outputs_of;
use pumice_core::ports::{AuditStore, JobStore, StoreError};
use pumice_host::remove_tree;

use crate::database::Database;
use crate::lost;
use crate::removed::{Expired, Removed};

/// How often all this is done.
const EVERY: Duration = Duration::from_secs(60);
/// How many looks at records find nothing that has expired before the rest is left to the next time. Each is of
/// hundreds of records and takes about a millisecond, so that millions are looked at in an hour.
const MAX_LOOKS: usize = 200;
/// Separates a run's id from the number of a further attempt in the name of a folder.
const ATTEMPT: &str = "-attempt-";
/// How deep below the place for temporary files a run's folder may be: a job's id is a path.
const MAX_DEPTH: usize = 64;

/// Keeps house until it is dropped. `shared` is where runs have their shared directories, `home` the realm's folder.
pub(crate) async fn keep_house(database: Database, shared: Option<PathBuf>, home: Option<PathBuf>) {
    let mut house = House { database, shared, home, at: 0, stuck: HashSet::new() };
    if let Err(error) = house.remove_outputs_without_record().await {
        tracing::warn!(%error, "cannot look for outputs of runs whose records are gone");
    }
    loop {
        if let Err(error) = house.remove_expired().await {
            tracing::warn!(%error, "cannot remove expired runs");
        }
        if let Err(error) = house.database.remove_expired_entries(chrono::Utc::now()).await {
            tracing::warn!(%error, "cannot remove expired entries of the audit");
        }
        match house.database.give_back_free_pages().await {
            Ok(0) => {}
            Ok(pages) => {
                tracing::info!(pages, "the store's file is smaller: its free pages went back to the disk")
            }
            Err(error) => tracing::warn!(%error, "cannot give free pages of the store back to the disk"),
        }
        if let Err(error) = house.remove_shared().await {
            tracing::warn!(%error, "cannot look for directories of runs that have ended");
        }
        if let Err(error) = house.remove_lost_outputs().await {
            tracing::warn!(%error, "cannot look for lost outputs of runs whose records are gone");
        }
        tokio::time::sleep(EVERY).await;
    }
}

struct House {
    database: Database,
    shared: Option<PathBuf>,
    home: Option<PathBuf>,
    /// Up to which place all records were looked at for what has expired.
    at: i64,
    /// Paths that could not be removed and were reported once.
    stuck: HashSet<PathBuf>,
}

impl House {
    /// Removes records that have expired, and what their runs kept.
    async fn remove_expired(&mut self) -> Result<(), StoreError> {
        self.database.remove_past(chrono::Utc::now()).await?;
        let mut looks_left = MAX_LOOKS;
        // Some outcomes are kept for longer than others: what has expired is not what is oldest.
        while looks_left > 0 {
            let Removed { runs, next } = self.database.remove_expired(chrono::Utc::now(), self.at).await?;
            self.at = next.unwrap_or(0);
            looks_left = match next {
                None => 0,
                Some(_) if runs.is_empty() => looks_left - 1,
                Some(_) => looks_left,
            };
            let failed = remove_outputs(&self.database, &runs).await?;
            self.tell(failed);
        }
        Ok(())
    }

    /// Removes directories that the steps of a run shared which has ended.
    async fn remove_shared(&mut self) -> Result<(), StoreError> {
        let Some(place) = self.shared.clone() else { return Ok(()) };
        let runs: Vec<RunId> = in_background(move || run_folders(&place, 1, &[])).await.into_keys().collect();
        let done = self.database.gone_or_done(runs).await?;
        let Some(place) = self.shared.clone() else { return Ok(()) };
        self.remove(done.iter().map(|run| place.join(run.to_string())).collect(), None).await;
        Ok(())
    }

    /// Removes what runs kept below the realm's own folder whose records are gone: a process that was killed may have
    /// removed the one and not the other.
    async fn remove_outputs_without_record(&mut self) -> Result<(), StoreError> {
        let temp = PathBuf::from(self.database.places().0);
        let at = temp.clone();
        let jobs = self.database.known_jobs().await?;
        let folders = in_background(move || run_folders(&at, MAX_DEPTH, &jobs)).await;
        let gone = self.database.without_record(folders.keys().copied().collect()).await?;
        let gone = gone.iter().filter_map(|run| folders.get(run)).flatten().cloned().collect();
        self.remove(gone, Some(temp)).await;
        Ok(())
    }

    /// Removes what was printed by executions whose worker was lost, once the records of their runs are gone.
    async fn remove_lost_outputs(&mut self) -> Result<(), StoreError> {
        let Some(home) = self.home.clone() else { return Ok(()) };
        let files = in_background(move || lost::of_runs(&home)).await;
        if files.is_empty() {
            return Ok(());
        }
        let runs: HashSet<RunId> = files.iter().map(|(run, _)| *run).collect();
        let gone = self.database.without_record(runs.into_iter().collect()).await?;
        let gone = files.into_iter().filter(|(run, _)| gone.contains(run)).map(|(_, file)| file);
        let gone: Vec<PathBuf> = gone.collect();
        in_background(move || gone.iter().for_each(|file| drop(std::fs::remove_file(file)))).await;
        Ok(())
    }

    /// Removes folders, and those above them that are empty then, up to `below`.
    async fn remove(&mut self, folders: Vec<PathBuf>, below: Option<PathBuf>) {
        let failed = remove_folders(folders, below).await;
        self.tell(failed);
    }

    /// Says once of each folder that it cannot be removed.
    fn tell(&mut self, failed: Vec<Stuck>) {
        for (folder, error) in failed {
            if self.stuck.insert(folder.clone()) {
                tracing::warn!(path = %folder.display(), %error, "cannot remove what a run left");
            }
        }
    }
}

/// A folder that could not be removed, and why.
pub(crate) type Stuck = (PathBuf, std::io::Error);

/// Removes what runs kept whose records are gone; gives what could not be removed.
pub(crate) async fn remove_outputs(database: &Database, runs: &[Expired]) -> Result<Vec<Stuck>, StoreError> {
    // Unless the realm has its place for temporary files elsewhere than on this machine.
    let temp = database.realm().await?.fields.s3_temp.as_deref().map(PathBuf::from);
    let Some(temp) = temp.filter(|temp| temp.is_absolute()) else { return Ok(Vec::new()) };
    let outputs = PathBuf::from(outputs_of(&temp.to_string_lossy()));
    let of = |run| [&temp, &outputs].into_iter().flat_map(move |place| folders_of(place, run));
    let mut folders: Vec<PathBuf> = runs.iter().flat_map(of).collect();
    folders.sort();
    folders.dedup();
    Ok(remove_folders(folders, Some(temp)).await)
}

/// Removes folders, and those above them that are empty then, up to `below`.
async fn remove_folders(folders: Vec<PathBuf>, below: Option<PathBuf>) -> Vec<Stuck> {
    in_background(move || {
        let mut failed = Vec::new();
        for folder in folders {
            if let Err(error) = remove_tree(&folder) {
                failed.push((folder, error));
                continue;
            }
            let above = folder.ancestors().skip(1).take_while(|above| Some(*above) != below.as_deref());
            if below.is_some() {
                // Each stops at the first that holds something.
                above.map_while(|above| std::fs::remove_dir(above).ok()).for_each(drop);
            }
        }
        failed
    })
    .await
}

/// The folders of a run below a place: its own, and those of its further attempts.
fn folders_of(place: &Path, run: &Expired) -> Vec<PathBuf> {
    let of_job = place.join(run.job_id.as_str());
    let further = (2..=run.attempts).map(|attempt| of_job.join(format!("{}{ATTEMPT}{attempt}", run.run_id)));
    std::iter::once(of_job.join(run.run_id.to_string())).chain(further).collect()
}

/// Folders below a place that have a run's id for a name, by run: a run with steps has several. A job's id may have such a
/// name in its path, too.
fn run_folders(
    place: &Path,
    depth: usize,
    jobs: &[String],
) -> std::collections::HashMap<RunId, Vec<PathBuf>> {
    let mut found = std::collections::HashMap::<RunId, Vec<PathBuf>>::new();
    if place.is_symlink() {
        // A job has put it there: what it leads to is not the realm's.
        return found;
    }
    let outputs = outputs_of(&place.to_string_lossy());
    let mut open = vec![(place.to_owned(), depth)];
    while let Some((folder, depth)) = open.pop() {
        let Ok(entries) = std::fs::read_dir(folder) else { continue };
        for entry in entries.flatten().filter(|entry| entry.file_type().is_ok_and(|kind| kind.is_dir())) {
            let path = entry.path();
            let below = path.strip_prefix(&outputs).or_else(|_| path.strip_prefix(place)).unwrap_or(&path);
            let is_of_a_job = jobs.iter().any(|job| Path::new(job).starts_with(below));
            match entry.file_name().to_str().and_then(run_id).filter(|_| !is_of_a_job) {
                Some(run_id) => found.entry(run_id).or_default().push(path),
                None if depth > 1 => open.push((path, depth - 1)),
                None => {}
            }
        }
    }
    found
}

/// The run that a folder is named after, as ids are written: its own, or that of a further attempt.
fn run_id(name: &str) -> Option<RunId> {
    let (name, attempt) = name.split_once(ATTEMPT).unwrap_or((name, "1"));
    let run_id = name.parse::<RunId>().ok().filter(|run_id| run_id.to_string() == name)?;
    attempt.parse::<u32>().is_ok().then_some(run_id)
}

/// Does what may take long apart from the threads that others wait for.
async fn in_background<T: Default + Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> T {
    tokio::task::spawn_blocking(work).await.unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn folder_of_a_job_is_not_taken_for_one_of_a_run() {
        let folder = tempfile::tempdir().unwrap();
        let (tenant, run) = ("3f2c1a52-0000-7000-8000-000000000000", "0190a0a0-0000-7000-8000-000000000001");
        let short = "0190a0a0000070008000000000000002";
        for path in [
            format!("tenant/{tenant}/load/{run}/1.0"),
            format!(".output/tenant/{tenant}/load/{run}/1.0"),
            format!("{short}/{run}"),
            format!("plain/{run}"),
            format!(".output/plain/{run}-attempt-2"),
            format!("plain/{run}-other"),
        ] {
            std::fs::create_dir_all(folder.path().join(path)).unwrap();
        }
        let jobs = [format!("tenant/{tenant}/load"), short.to_owned()];
        let found = run_folders(folder.path(), MAX_DEPTH, &jobs);
        assert_eq!(found.keys().map(ToString::to_string).collect::<Vec<_>>(), [run]);
        assert_eq!(found.values().next().map(Vec::len), Some(5));
    }
}
