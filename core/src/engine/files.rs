//! The files that the steps of a run share, where each invocation has a directory of its own: they go along through the
//! object store when the run goes on in another invocation, and are never silently missing.
//!
//! Records say in which invocation's directory the files were when they were written. Whoever goes on fetches them from
//! the object that this invocation left; where there is none, it was lost before it could leave one.

use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};

use crate::job_type::{JobError, Site, WorkDir};
use crate::run::{Run, WorkPlace, Worker};
use crate::spec::{JobSpec, RealmSpec, WorkDirs};

/// Where the shared files are, as an invocation knows it.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Files {
    /// No step has left any so far.
    None,
    /// Another invocation left them.
    Elsewhere(WorkPlace),
    /// They are in this invocation's directory.
    Here,
}

/// The shared files of a run, in one invocation.
#[derive(Debug)]
pub(crate) struct SharedFiles {
    own: WorkPlace,
    /// Whether they must be carried at all: not where the directory outlives invocations, nor for a job by itself.
    carried: bool,
    files: Mutex<Files>,
}

impl SharedFiles {
    /// Those of an invocation that begins with this run.
    pub(super) fn of(run: &Run, owner: &Worker, carried: bool) -> Self {
        let own = WorkPlace::of(owner);
        let files = run.work.clone().map_or(Files::None, Files::Elsewhere);
        Self { own, carried, files: Mutex::new(files) }
    }

    fn files(&self) -> MutexGuard<'_, Files> {
        // A word: whole whatever became of another holder.
        self.files.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What the records of the steps of a run tell: the one that wrote last knows best.
    pub(super) fn learn(&self, steps: &[Run]) {
        let last = steps.iter().filter(|step| step.work.is_some()).max_by_key(|step| {
            step.ts_end.or_else(|| step.log.entries.last().map(|entry| entry.at)).unwrap_or(step.ts_dispatch)
        });
        let mut files = self.files();
        if *files != Files::Here
            && let Some(place) = last.and_then(|step| step.work.clone()).filter(|place| !place.is(&self.own))
        {
            *files = Files::Elsewhere(place);
        }
    }

    /// Sees to it that the files are here, before a step works with them.
    pub(crate) async fn fetch(
        &self,
        work_dir: &WorkDir,
        site: &Site,
        realm: &RealmSpec,
        run: &Run,
        job: &JobSpec,
    ) -> Result<(), JobError> {
        if !self.carried {
            return Ok(());
        }
        // Taken apart, so that the lock is free again.
        let known = self.files().clone();
        let Files::Elsewhere(place) = known else {
            // Whatever a step leaves from now on is here.
            self.come_here();
            return Ok(());
        };
        let fresh = job.fields.work_dir == Some(WorkDirs::Fresh);
        let lost = |why: &str| {
            let message = format!(
                "the directory that the steps of the run share was lost with its worker{why}; where they share no files, say `work_dir: fresh` in this job"
            );
            if fresh { Ok(()) } else { Err(JobError::permanent(message)) }
        };
        match (&place.not_kept, location(realm, run, &place)) {
            (Some(why), _) => lost(&format!(": {why}"))?,
            (None, None) => lost(": the realm has no s3_temp to carry it through")?,
            (None, Some(location)) => {
                let fetched = site.ports.objects.get_folder(&location, work_dir.path()?).await;
                if !fetched.map_err(|error| JobError::failed(format!("cannot fetch {location}: {error}")))? {
                    lost("")?;
                }
            }
        }
        self.come_here();
        Ok(())
    }

    fn come_here(&self) {
        *self.files() = Files::Here;
    }

    /// Where the files are, for a record that is about to be written. With `keep` the run goes on in another
    /// invocation, and what is here is kept for it first.
    pub(super) async fn place(
        &self,
        work_dir: &WorkDir,
        site: &Site,
        realm: &RealmSpec,
        run: &Run,
        keep: bool,
    ) -> Option<WorkPlace> {
        let known = self.files().clone();
        match known {
            _ if !self.carried => return None,
            Files::None => return None,
            Files::Elsewhere(place) => return Some(place),
            Files::Here => {}
        }
        let folder: PathBuf = work_dir.made_path().filter(|folder| holds_something(folder))?.to_owned();
        let mut place = self.own.clone();
        if keep {
            place.not_kept = match location(realm, run, &place) {
                None => Some("the realm has no s3_temp to carry it through".to_owned()),
                Some(location) => {
                    let kept = site.ports.objects.put_folder(&location, &folder).await;
                    kept.err().map(|error| format!("it could not be kept: {error}"))
                }
            };
            if let Some(error) = &place.not_kept {
                tracing::warn!(run_id = %run.run_id, job_id = %run.job_id, %error, "the files of a run do not go along");
            }
        }
        Some(place)
    }
}

fn holds_something(folder: &Path) -> bool {
    std::fs::read_dir(folder).is_ok_and(|mut entries| entries.next().is_some())
}

/// The object that an invocation leaves its directory in.
fn location(realm: &RealmSpec, run: &Run, place: &WorkPlace) -> Option<String> {
    let base = realm.fields.s3_temp.as_deref()?.trim_end_matches('/');
    Some(format!("{base}/.work/{}/{}.tar", run.run_id, place.id))
}
