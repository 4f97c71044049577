//! The files that the steps of a run share, where each invocation has a directory of its own: they go along through the
//! object store when the run goes on in another invocation, and are never silently missing or old.
//!
//! Records say in which invocation's directory the files were when they were written, and where that one had them from.
//! The worker that goes on fetches what that invocation kept; where there is nothing, it was lost before it could keep
//! it. Steps that ran at the same time in several invocations have several directories, which cannot be merged.

use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::{Mutex, MutexGuard, PoisonError};

use futures_util::future::{Either, select};

use crate::Timestamp;
use crate::ids::RunKey;
use crate::job_type::{JobError, Site, made};
use crate::ports::Workspace;
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
    /// Steps that ran at the same time left some in several.
    Apart,
}

#[derive(Debug)]
struct State {
    files: Files,
    /// This invocation's place, as the next record names it.
    own: WorkPlace,
    /// Whether what is here now was kept under that name.
    kept: bool,
}

/// The shared files of a run, in one invocation.
#[derive(Debug)]
pub(super) struct SharedFiles {
    /// Whether they must be carried at all: not where the directory outlives invocations, nor for a job by itself.
    carried: bool,
    state: Mutex<State>,
    /// Why they are gone that steps left which are kept from another run.
    lost: Mutex<Option<String>>,
    /// Held by the step that fetches them, while others that begin at the same time wait.
    fetching: futures_util::lock::Mutex<()>,
}

impl SharedFiles {
    /// Those of an invocation that begins with this run.
    pub(super) fn of(run: &Run, owner: &Worker, carried: bool) -> Self {
        let files = run.work.clone().map_or(Files::None, Files::Elsewhere);
        let state = State { files, own: WorkPlace::of(owner), kept: false };
        Self {
            carried,
            state: Mutex::new(state),
            lost: Mutex::default(),
            fetching: futures_util::lock::Mutex::new(()),
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        // Words: whole whatever became of another holder.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The files are gone that steps left which are kept from a run that has ended.
    pub(super) fn went_with(&self, run: &RunKey) {
        let why = format!("the files that steps left which are kept went with run {run}");
        *self.lost.lock().unwrap_or_else(PoisonError::into_inner) = Some(why);
    }

    /// The place of files that the steps of an ending run left, for its record, where no others can have them.
    pub(super) fn left(&self, work_dir: &dyn Workspace) -> Option<WorkPlace> {
        work_dir.work_in_use()?;
        let not_kept = Some("its run has ended".to_owned());
        Some(WorkPlace { not_kept, ..self.state().own.clone() })
    }

    /// Learns the place of the files from the records of the steps of a run.
    pub(super) fn learn(&self, steps: &[Run]) {
        if !self.carried {
            return;
        }
        let mut state = self.state();
        let mut places: Vec<&WorkPlace> = steps.iter().filter_map(|step| step.work.as_ref()).collect();
        let known = match &state.files {
            Files::Elsewhere(place) => Some(place.clone()),
            _ => None,
        };
        places.extend(&known);
        let own = state.own.id.clone();
        state.files = match (&state.files, last_of(&places)) {
            (_, Ok(None)) | (Files::Apart, _) => return,
            (_, Err(())) => Files::Apart,
            (_, Ok(Some(last))) if last.id == own => return,
            // A step elsewhere went on with what was kept here, and steps here went on too.
            (Files::Here, Ok(Some(_))) => Files::Apart,
            (_, Ok(Some(last))) => Files::Elsewhere(last.clone()),
        };
    }

    /// Sees to it that the files are here, before a step works with them.
    pub(super) async fn fetch(
        &self,
        work_dir: &dyn Workspace,
        site: &Site,
        realm: &RealmSpec,
        run: &Run,
        job: &JobSpec,
    ) -> Result<(), JobError> {
        let lost = self.lost.lock().unwrap_or_else(PoisonError::into_inner).clone();
        if let Some(why) = lost {
            without(job, &why)?;
        }
        if !self.carried {
            return Ok(());
        }
        let _fetching = self.fetching.lock().await;
        // Taken apart, so that the lock is free again.
        let known = self.state().files.clone();
        let after = match known {
            Files::None | Files::Here => None,
            Files::Elsewhere(place) => {
                self.fetch_from(&place, work_dir, site, realm, run, job).await?;
                Some(place.name())
            }
            Files::Apart => {
                let why = "steps that ran at the same time in several invocations left files in several directories";
                without(job, why)?;
                None
            }
        };
        let mut state = self.state();
        if state.kept {
            // The step's changes are not in the kept copy.
            state.own.version += 1;
            state.kept = false;
        }
        if after.is_some() {
            state.own.after = after;
        }
        state.files = Files::Here;
        Ok(())
    }

    async fn fetch_from(
        &self,
        place: &WorkPlace,
        work_dir: &dyn Workspace,
        site: &Site,
        realm: &RealmSpec,
        run: &Run,
        job: &JobSpec,
    ) -> Result<(), JobError> {
        let lost = "the directory that the steps of the run share was lost with its worker";
        let location = match (&place.not_kept, location(realm, run, place)) {
            (Some(why), _) => return without(job, &format!("{lost}: {why}")),
            (None, None) => {
                return without(job, &format!("{lost}: the realm has no s3_temp to carry it through"));
            }
            (None, Some(location)) => location,
        };
        let fetched = site.ports.objects.get_folder(&location, made(work_dir.work())?).await;
        if fetched.map_err(|error| JobError::failed(format!("cannot fetch {location}: {error}")))? {
            return Ok(());
        }
        without(job, lost)
    }

    /// Where the files are, for a record that is about to be written. With `keep` the run goes on in another
    /// invocation, and the directory is kept for it first, if that can be done before the time that it gives.
    pub(super) async fn place(
        &self,
        work_dir: &dyn Workspace,
        site: &Site,
        realm: &RealmSpec,
        run: &Run,
        keep: Option<Timestamp>,
    ) -> Option<WorkPlace> {
        if !self.carried {
            return None;
        }
        let (known, own, kept) = {
            let state = self.state();
            (state.files.clone(), state.own.clone(), state.kept)
        };
        match known {
            Files::None => return None,
            Files::Elsewhere(place) => return Some(place),
            Files::Apart => {
                let why = Some("steps in several invocations left files".to_owned());
                return Some(WorkPlace { not_kept: why, ..own });
            }
            Files::Here => {}
        }
        let folder: PathBuf = work_dir.work_in_use()?.to_owned();
        let mut place = own;
        let Some(until) = keep.filter(|_| !kept) else { return Some(place) };
        place.not_kept = match location(realm, run, &place) {
            None => Some("the realm has no s3_temp to carry it through".to_owned()),
            Some(location) => {
                let keeping = site.ports.objects.put_folder(&location, &folder);
                match select(keeping, site.ports.clock.sleep_until(until)).await {
                    Either::Left((kept, _)) => {
                        kept.err().map(|error| format!("it could not be kept: {error}"))
                    }
                    Either::Right(_) => Some("it could not be kept in time".to_owned()),
                }
            }
        };
        match &place.not_kept {
            None => self.state().kept = true,
            Some(error) => {
                tracing::warn!(run_id = %run.run_id, job_id = %run.job_id, %error, "the files of a run do not go along");
            }
        }
        Some(place)
    }

    /// Steps run at the same time: one that goes on may change files that were kept.
    pub(super) fn kept_while_others_run(&self) {
        let mut state = self.state();
        if state.kept {
            state.own.version += 1;
            state.kept = false;
        }
    }
}

/// The place that all others came before, by their records; an error when there is none such.
fn last_of<'a>(places: &[&'a WorkPlace]) -> Result<Option<&'a WorkPlace>, ()> {
    let by_name: HashMap<String, &WorkPlace> = places.iter().map(|place| (place.name(), *place)).collect();
    // Of one invocation the highest version has all that the lower ones had.
    let is_before = |place: &WorkPlace, last: &WorkPlace| {
        let mut at = Some(last);
        for _ in 0..=by_name.len() {
            let Some(here) = at else { return false };
            if here.id == place.id && here.version >= place.version {
                return true;
            }
            let Some(name) = &here.after else { return false };
            if *name == place.name() {
                return true;
            }
            at = by_name.get(name).copied();
        }
        false
    };
    match places.iter().find(|last| places.iter().all(|place| is_before(place, last))) {
        Some(last) => Ok(Some(last)),
        None if places.is_empty() => Ok(None),
        None => Err(()),
    }
}

/// Fails a step whose files are not to be had, unless its job does without them.
fn without(job: &JobSpec, why: &str) -> Result<(), JobError> {
    if job.fields.work_dir == Some(WorkDirs::Fresh) {
        return Ok(());
    }
    let fix = "where its steps share no files, say `work_dir: fresh` in this job";
    Err(JobError::permanent(format!("{why}; {fix}")))
}

/// The object that an invocation leaves its directory in.
fn location(realm: &RealmSpec, run: &Run, place: &WorkPlace) -> Option<String> {
    let base = realm.fields.s3_temp.as_deref()?.trim_end_matches('/');
    Some(format!("{base}/.work/{}/{}.tar", run.run_id, place.name()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn place(id: &str, version: u32, after: Option<&str>) -> WorkPlace {
        WorkPlace { id: id.to_owned(), version, after: after.map(str::to_owned), not_kept: None }
    }

    #[test]
    fn last_place_is_the_one_that_has_all_files() {
        let first = place("i", 0, None);
        let more = place("i", 1, None);
        let next = place("j", 0, Some("i.0"));
        let third = place("k", 0, Some("j.0"));
        let name = |places: &[&WorkPlace]| last_of(places).map(|last| last.map(WorkPlace::name));
        assert_eq!(name(&[]), Ok(None));
        assert_eq!(name(&[&first, &more]), Ok(Some("i.1".to_owned())));
        assert_eq!(name(&[&third, &first, &next]), Ok(Some("k.0".to_owned())));
        // The step between them may leave no record of its own.
        assert_eq!(name(&[&next, &first]), Ok(Some("j.0".to_owned())));
        // Steps of the first went on when the next had begun.
        assert_eq!(name(&[&more, &next]), Err(()));
        assert_eq!(name(&[&first, &place("x", 0, None)]), Err(()));
    }
}
