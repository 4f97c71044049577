//! The files that the steps of a run share: they are never silently missing or old.
//!
//! In a realm's folder they have one directory for as long as the run goes on, with a name of its own. The records of
//! steps name the directory that they left files in; where another is there, or none, a step fails rather than begin in
//! it.
//!
//! Elsewhere each invocation has a directory of its own, and the files go along through the object store when the run
//! goes on in another one. Records say in which invocation's directory the files were when they were written, and where
//! that one had them from. The worker that goes on fetches what that invocation kept; where there is nothing, it was
//! lost before it could keep it. Steps that ran at the same time in several invocations have several directories, which
//! cannot be merged.
//!
//! Once files of steps before are lost, each further step fails, save those whose jobs do without.

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::sync::{Mutex, MutexGuard, PoisonError};

use futures_util::future::{Either, select};

use super::places::{Apart, last_of};
use crate::Timestamp;
use crate::ids::RunKey;
use crate::job_type::{JobError, Site, made};
use crate::ports::Workspace;
use crate::run::{Run, WorkPlace, Worker};
use crate::spec::{JobSpec, RealmSpec, WorkDirs};

/// Why files are lost whose directory is not there any more.
const GONE: &str = "the directory that the steps of the run share is gone, with files that steps left there";
/// Why files are lost that were left in several directories.
const SEVERAL: &str =
    "steps that ran at the same time in several invocations left files in several directories";

/// How the files get from one invocation to another.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Way {
    /// Not at all: the job runs by itself.
    None,
    /// The directory outlives invocations.
    Folder,
    /// Through the object store.
    Carried,
}

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
    /// Whether that is known from the record of the invocation's first run alone.
    first: bool,
    /// This invocation's place, as the next record names it.
    own: WorkPlace,
    /// Whether a record names it.
    named: bool,
    /// Whether what is here now was kept under that name.
    kept: bool,
    /// Whether steps left files by now, here or elsewhere.
    left: bool,
    /// The names of the directories that steps left files in, in a realm's folder.
    ids: BTreeSet<String>,
    /// Attempts that work with them now.
    users: usize,
    /// How many have begun to.
    begun: u64,
    /// Where they were fetched from, and how the directory looked then.
    fetched: Option<(WorkPlace, u64)>,
    /// Why files of steps before are not among them.
    lost: Option<String>,
}

impl State {
    /// What is here from now on is not in the copy that was kept.
    fn go_on(&mut self) {
        if self.kept {
            self.own.version += 1;
            self.own.empty = false;
            (self.kept, self.named) = (false, false);
        }
    }

    /// Whether no more is known than the record of a step has with which the invocation began.
    const fn is_of_one_step(&self) -> bool {
        self.first && self.begun == 0
    }

    /// This invocation's place, for a record.
    fn named(&mut self) -> WorkPlace {
        self.named = true;
        WorkPlace { lost: self.lost.clone(), ..self.own.clone() }
    }

    /// Where files were that are lost.
    fn lost_place(&self) -> Option<WorkPlace> {
        self.lost.as_ref()?;
        Some(WorkPlace { lost: self.lost.clone(), empty: true, ..self.own.clone() })
    }
}

/// The shared files of a run, in one invocation.
#[derive(Debug)]
pub(super) struct SharedFiles {
    way: Way,
    state: Mutex<State>,
    /// Held while they are fetched or kept, while steps that begin at the same time wait.
    moving: futures_util::lock::Mutex<()>,
}

/// An attempt that works with the shared files; until this is dropped they may change.
#[derive(Debug)]
pub(super) struct Use<'a>(&'a SharedFiles);

impl Drop for Use<'_> {
    fn drop(&mut self) {
        let mut state = self.0.state();
        state.users = state.users.saturating_sub(1);
    }
}

/// What a step needs to come by the files.
#[derive(Clone, Copy)]
pub(super) struct Needs<'a> {
    pub(super) work_dir: &'a dyn Workspace,
    pub(super) site: &'a Site,
    pub(super) realm: &'a RealmSpec,
    pub(super) run: &'a Run,
    pub(super) job: &'a JobSpec,
}

impl Needs<'_> {
    /// Fails a step whose files are not to be had, unless its job does without them.
    fn without(&self, why: &str) -> Result<(), JobError> {
        if self.job.fields.work_dir == Some(WorkDirs::Fresh) {
            return Ok(());
        }
        let fix = "where its steps share no files, say `work_dir: fresh` in this job";
        Err(JobError::permanent(format!("{why}; {fix}")))
    }

    /// Whether the run began with files of others.
    fn has_files_of_others(&self) -> bool {
        self.run.work.as_ref().is_some_and(|place| place.since.is_some())
    }
}

impl SharedFiles {
    /// Those of an invocation that begins with this run.
    pub(super) fn of(run: &Run, owner: &Worker, way: Way) -> Self {
        let left = run.work.as_ref().filter(|place| !place.empty);
        let state = State {
            files: run.work.clone().map_or(Files::None, Files::Elsewhere),
            first: true,
            own: WorkPlace::of(owner),
            named: false,
            kept: false,
            left: left.is_some(),
            ids: left.map(|place| place.id.clone()).into_iter().collect(),
            users: 0,
            begun: 0,
            fetched: None,
            lost: run.work.as_ref().and_then(|place| place.lost.clone()),
        };
        Self { way, state: Mutex::new(state), moving: futures_util::lock::Mutex::new(()) }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        // Words: whole whatever became of another holder.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The files are gone that steps left which are kept from a run that has ended.
    pub(super) fn went_with(&self, run: &RunKey) {
        self.state().lost = Some(went_with(run));
    }

    /// The place of files that the steps of an ending run left, for its record, where no others can have them.
    pub(super) fn left(&self, work_dir: &dyn Workspace) -> Option<WorkPlace> {
        work_dir.work_in_use()?;
        let not_kept = Some("its run has ended".to_owned());
        Some(WorkPlace { not_kept, ..self.state().own.clone() })
    }

    /// Whether all invocations have them in the same directory.
    pub(super) fn have_one_directory(&self) -> bool {
        self.way == Way::Folder
    }

    /// Learns the place of the files from the records of the steps of a run.
    pub(super) fn learn<'a>(&self, steps: impl IntoIterator<Item = &'a WorkPlace>) {
        let places: Vec<&WorkPlace> = steps.into_iter().collect();
        if self.way == Way::None || places.is_empty() {
            return;
        }
        let mut state = self.state();
        state.left |= places.iter().any(|place| !place.empty);
        if self.way == Way::Folder {
            let lost = places.iter().find_map(|place| place.lost.clone());
            state.lost = state.lost.take().or(lost);
            if std::mem::take(&mut state.first) {
                // What was where a run of steps rested is where its steps left it.
                state.ids.clear();
            }
            state.ids.extend(places.iter().filter(|place| !place.empty).map(|place| place.id.clone()));
            return;
        }
        let known = match &state.files {
            Files::Apart => return,
            Files::None => None,
            // Where no record names it and none works there, no step has left anything there that counts.
            Files::Here if !state.named && state.users == 0 => None,
            Files::Here => Some(state.own.clone()),
            Files::Elsewhere(place) => Some(place.clone()),
        };
        let all: Vec<&WorkPlace> = places.iter().copied().chain(&known).collect();
        // All that was where a run of steps rested is where its steps left it, unless it has none yet.
        let found = last_of(&all).or_else(|apart| if state.first { last_of(&places) } else { Err(apart) });
        state.first = false;
        match found {
            Ok(None) => {}
            Ok(Some(last)) if last.id == state.own.id => {}
            Ok(Some(last)) => {
                let last = last.clone();
                state.lost = last.lost.clone().or(state.lost.take());
                if state.files == Files::Here {
                    // A step elsewhere went on with what was kept here, and none here has since.
                    state.kept = true;
                    state.go_on();
                }
                state.files = Files::Elsewhere(last);
            }
            Err(Apart) => state.files = Files::Apart,
        }
    }

    /// The place that a step begins with which comes after others, where each has a directory of its own: the one that has
    /// all that these left, or where they left nothing the one that their run began with.
    pub(super) fn after(&self, run: Option<WorkPlace>, steps: &[&WorkPlace]) -> Option<WorkPlace> {
        if self.way == Way::Folder {
            return run;
        }
        match last_of(steps) {
            Ok(None) => run,
            Ok(Some(last)) => Some(last.clone()),
            Err(Apart) => {
                let own = self.state().own.clone();
                Some(WorkPlace { lost: Some(SEVERAL.to_owned()), empty: true, ..own })
            }
        }
    }

    /// Sees to it that the files are here, before a step works with them.
    pub(super) async fn fetch(&self, needs: Needs<'_>) -> Result<Use<'_>, JobError> {
        let _moving = self.moving.lock().await;
        if self.way != Way::None {
            self.see_to_lost(needs)?;
        }
        if self.way == Way::Carried {
            // Taken apart, so that the lock is free again.
            let known = self.state().files.clone();
            match known {
                Files::None | Files::Here => {}
                Files::Elsewhere(place) => self.fetch_from(&place, needs).await?,
                Files::Apart => {
                    needs.without(SEVERAL)?;
                    let mut state = self.state();
                    state.lost = Some(SEVERAL.to_owned());
                    // What is here goes on, by another name than the one that records have.
                    state.kept = true;
                }
            }
        }
        let mut state = self.state();
        state.go_on();
        (state.files, state.first) = (Files::Here, false);
        state.users += 1;
        state.begun += 1;
        Ok(Use(self))
    }

    /// Fails a step that needs files which are lost.
    fn see_to_lost(&self, needs: Needs<'_>) -> Result<(), JobError> {
        let lost = self.state().lost.clone();
        if let Some(why) = &lost {
            needs.without(why)?;
        }
        let is_gone = match self.way {
            Way::None => false,
            Way::Folder => {
                let there = needs.work_dir.work_id();
                self.state().ids.iter().any(|id| there.as_ref() != Some(id))
            }
            Way::Carried => {
                let is_here = self.state().files == Files::Here && self.state().left;
                is_here && !needs.work_dir.has_work()
            }
        };
        if is_gone {
            needs.without(GONE)?;
            let mut state = self.state();
            if self.way == Way::Carried || needs.has_files_of_others() || !state.is_of_one_step() {
                state.lost.get_or_insert_with(|| GONE.to_owned());
            } else {
                // Only the step's own, which it does without. Those of steps that ran at the same time were in a
                // directory of another name, which shows in the records.
                state.ids.clear();
            }
        }
        Ok(())
    }

    async fn fetch_from(&self, place: &WorkPlace, needs: Needs<'_>) -> Result<(), JobError> {
        let Needs { work_dir, .. } = needs;
        if work_dir.work_in_use().is_some() {
            // Older than what is fetched, or a part of it.
            made(work_dir.clear_work())?;
        }
        let missing = if place.empty { None } else { self.missing(place, needs).await? };
        if let Some(why) = &missing {
            needs.without(why)?;
        }
        let looks = work_dir.work_state();
        let mut state = self.state();
        if missing.is_none() || needs.has_files_of_others() || !state.is_of_one_step() {
            state.own.follow(place);
            let is_whole = missing.is_none() && !place.empty;
            state.fetched = looks.filter(|_| is_whole).map(|looks| (place.clone(), looks));
            state.lost = state.lost.take().or(missing);
        }
        // Else only the step's own are missing, which it does without: the steps after it miss nothing. Those of steps that
        // ran at the same time are not after them, which shows in the records.
        Ok(())
    }

    /// Fetches what was kept at a place. Gives the reason why it is not to be had.
    async fn missing(&self, place: &WorkPlace, needs: Needs<'_>) -> Result<Option<String>, JobError> {
        let Needs { work_dir, site, realm, run, .. } = needs;
        let lost = "the directory that the steps of the run share was lost with its worker";
        let location = match (&place.not_kept, location(realm, run, place)) {
            (Some(why), _) => return Ok(Some(format!("{lost}: {why}"))),
            (None, None) => {
                return Ok(Some(format!("{lost}: the realm has no s3_temp to carry it through")));
            }
            (None, Some(location)) => location,
        };
        let fetched = site.ports.objects.get_folder(&location, made(work_dir.work())?).await;
        let is_there =
            fetched.map_err(|error| JobError::failed(format!("cannot fetch {location}: {error}")))?;
        Ok((!is_there).then(|| lost.to_owned()))
    }

    /// Where the files are, for a record of this run that is about to be written. With `keep` the run goes on in another
    /// invocation, and the directory is kept for it first, if that can be done before the time that it gives.
    pub(super) async fn place(
        &self,
        work_dir: &dyn Workspace,
        site: &Site,
        realm: &RealmSpec,
        run: &Run,
        keep: Option<Timestamp>,
    ) -> Option<WorkPlace> {
        let place = match self.way {
            Way::None => None,
            Way::Folder => self.in_folder(work_dir),
            Way::Carried => match self.known(work_dir) {
                Known::Place(place) => place,
                Known::Here(folder) => Some(match keep {
                    Some(until) => self.keep(work_dir, &folder, site, realm, run, until).await,
                    None => self.state().named(),
                }),
            },
        };
        place.map(|place| place.goes_on(run.work.as_ref()))
    }

    /// Notices that a step removed the directory with the files of others.
    fn notice_gone(&self, work_dir: &dyn Workspace) {
        let mut state = self.state();
        if state.files == Files::Here && state.begun > 0 && state.left && !work_dir.has_work() {
            state.lost.get_or_insert_with(|| GONE.to_owned());
        }
    }

    fn in_folder(&self, work_dir: &dyn Workspace) -> Option<WorkPlace> {
        let there = work_dir.work_id();
        let in_use = there.clone().filter(|_| work_dir.work_in_use().is_some());
        let mut state = self.state();
        state.ids.extend(in_use);
        // Of several the one that is gone: the next step must learn of it.
        let gone = state.ids.iter().find(|id| Some(*id) != there.as_ref());
        match gone.or(state.ids.first()).cloned() {
            Some(id) => Some(WorkPlace { id, lost: state.lost.clone(), ..WorkPlace::default() }),
            None => state.lost_place(),
        }
    }

    /// Where the files are, as far as none must be kept for that.
    fn known(&self, work_dir: &dyn Workspace) -> Known {
        self.notice_gone(work_dir);
        let in_use = work_dir.work_in_use();
        let mut state = self.state();
        Known::Place(match (&state.files, in_use) {
            (Files::None, _) => state.lost_place(),
            (Files::Elsewhere(place), _) => {
                Some(WorkPlace { lost: state.lost.clone().or(place.lost.clone()), ..place.clone() })
            }
            (Files::Apart, _) => {
                let lost = Some(SEVERAL.to_owned());
                Some(WorkPlace { lost, empty: true, ..state.own.clone() })
            }
            (Files::Here, Some(_)) if state.kept => Some(state.named()),
            (Files::Here, Some(folder)) => {
                state.left = true;
                return Known::Here(folder);
            }
            (Files::Here, None) if state.left || state.lost.is_some() || state.own.after.is_some() => {
                // Records say that files were left: that there are none now must be said too.
                if state.named && !state.own.empty {
                    state.kept = true;
                    state.go_on();
                }
                (state.own.empty, state.kept) = (true, true);
                let place = state.named();
                if state.users > 0 {
                    state.go_on();
                }
                Some(place)
            }
            (Files::Here, None) => None,
        })
    }

    /// Keeps the directory for another invocation.
    async fn keep(
        &self,
        work_dir: &dyn Workspace,
        folder: &std::path::Path,
        site: &Site,
        realm: &RealmSpec,
        run: &Run,
        until: Timestamp,
    ) -> WorkPlace {
        let _moving = self.moving.lock().await;
        let unchanged = {
            let mut state = self.state();
            if state.kept {
                return state.named();
            }
            let is_unnamed = !state.named && state.users == 0;
            state.fetched.clone().filter(|_| is_unnamed)
        };
        if let Some((place, looked)) = unchanged
            && work_dir.work_state() == Some(looked)
        {
            // What was fetched is kept already, and nothing has changed.
            return WorkPlace { lost: self.state().lost.clone(), ..place };
        }
        let (mut place, is_still) = {
            let mut state = self.state();
            let place = state.named();
            let is_still = state.users == 0;
            if !is_still {
                // Attempts that are under way may change it meanwhile, and leave more than is kept.
                state.kept = true;
                state.go_on();
            }
            (place, is_still)
        };
        place.not_kept = match location(realm, run, &place) {
            None => Some("the realm has no s3_temp to carry it through".to_owned()),
            Some(location) => {
                let keeping = site.ports.objects.put_folder(&location, folder);
                match select(keeping, site.ports.clock.sleep_until(until)).await {
                    Either::Left((kept, _)) => {
                        kept.err().map(|error| format!("it could not be kept: {error}"))
                    }
                    Either::Right(_) => Some("it could not be kept in time".to_owned()),
                }
            }
        };
        match &place.not_kept {
            // None begins while it is kept.
            None => self.state().kept = is_still,
            Some(error) => {
                tracing::warn!(run_id = %run.run_id, job_id = %run.job_id, %error, "the files of a run do not go along");
            }
        }
        place
    }
}

/// Why files are lost that steps left which are kept from a run that has ended.
pub(super) fn went_with(run: &RunKey) -> String {
    format!("the files that steps left which are kept went with run {run}")
}

/// Where the files are, as an invocation knows it before it keeps any.
enum Known {
    /// As the record is to have it.
    Place(Option<WorkPlace>),
    /// In this directory, of which no copy was kept.
    Here(PathBuf),
}

/// The object that an invocation leaves its directory in.
fn location(realm: &RealmSpec, run: &Run, place: &WorkPlace) -> Option<String> {
    let base = realm.fields.s3_temp.as_deref()?.trim_end_matches('/');
    Some(format!("{base}/.work/{}/{}.tar", run.run_id, place.name()))
}
