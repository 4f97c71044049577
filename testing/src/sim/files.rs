//! Directories of the simulated hosts and the objects that they are kept as, in memory: each step that ends well leaves a
//! file by its key. A step must find the files of those before it, or fail.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::os::fd::BorrowedFd;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;

use async_trait::async_trait;
use pumice_core::ids::RunKey;
use pumice_core::ports::{
    Fetched, Object, ObjectPage, ObjectStore, Piece, StoreError, TempDir, Workspace, Workspaces,
};
use pumice_core::run::{Run, Status};
use serde_json::json;

use super::audit::attempt_of;
use super::fakes;
use super::hand::Hand;
use super::scenario::{Setup, chain, dag, deep, limit, nested};
use super::world::{Shared, World, lock};
use crate::prng::Prng;

/// The folder of shared directories, where the realm has one.
pub(super) const SHARED: &str = "/shared";

/// What directories and objects hold.
#[derive(Debug, Default)]
pub(crate) struct Disk {
    folders: BTreeMap<PathBuf, BTreeSet<RunKey>>,
    objects: BTreeMap<String, BTreeSet<RunKey>>,
    /// The names of shared directories, and how many were given.
    ids: BTreeMap<PathBuf, u64>,
    named: u64,
    /// The steps whose file must be found.
    written: BTreeSet<RunKey>,
    /// Whether no file can be lost, and no two steps run at the same time.
    pub(super) safe: bool,
}

/// Runs of steps that share files, which a folder keeps, or which go along through objects.
pub(super) fn files(prng: &mut Prng) -> Setup {
    let build = prng.pick(&[chain as fn(&mut Prng) -> Setup, dag, nested, nested, limit, deep]);
    let mut setup = build(prng);
    let serial = prng.below(2) == 0;
    for job in &mut setup.jobs {
        if job["type"] == "nap" {
            job["payload"]["files"] = json!(true);
            if prng.below(6) == 0 {
                job["work_dir"] = json!("fresh");
            }
        } else if serial {
            job["payload"]["width"] = json!(1);
        } else if prng.below(4) == 0 {
            job["payload"]["spread"] = json!(true);
        }
    }
    setup.folder = prng.below(3) == 0;
    if setup.folder && prng.below(2) == 0 {
        setup.removals.push(prng.pick(&[10, 1_000, 20_000, 100_000]) + prng.below(1_000));
    }
    setup.serial = serial && setup.removals.is_empty();
    setup
}

impl World {
    /// All shared directories are removed, as by a restoration.
    pub(super) fn remove_shared(&mut self) {
        self.note(|| "the shared directories are removed".to_owned());
        let Self { disk, runs, .. } = self;
        disk.folders.retain(|path, _| !path.starts_with(SHARED));
        disk.ids.clear();
        // A file that no record knew of yet is not missed.
        disk.written.retain(|key| runs.get(key).is_some_and(|run| run.status == Status::Complete));
    }

    /// A step leaves its file, if its directory is there.
    pub(super) fn leave_file(&mut self, folder: &Path, key: &RunKey) {
        if let Some(files) = self.disk.folders.get_mut(folder) {
            files.insert(key.clone());
            self.disk.written.insert(key.clone());
        }
    }

    /// A step begins in a directory.
    pub(super) fn finds_files(&mut self, run: &Run, folder: &Path) {
        let Some(stored) = self.runs.get(&run.key) else { return };
        let root_goes_on = self.runs.get(&RunKey::root(run.run_id)).is_some_and(|root| !root.status.is_end());
        if stored.epoch != run.epoch || stored.status.is_end() || !root_goes_on {
            // Its work does not count.
            return;
        }
        let missing = {
            let there = self.disk.folders.get(folder);
            let wanted = self.files_before(&run.key);
            wanted.into_iter().find(|key| there.is_none_or(|there| !there.contains(key)))
        };
        let found = missing.is_none();
        self.audit.expect(found, "a step finds the files of those before it, or fails", || {
            format!("{} misses the file of {missing:?}", run.key)
        });
    }

    /// The steps that came before one, within its parent and above, and left files.
    fn files_before(&self, key: &RunKey) -> BTreeSet<RunKey> {
        let mut found = BTreeSet::new();
        let mut at = key.clone();
        while let (Some(parent), Some(step)) = (at.parent(), at.step()) {
            let attempt = attempt_of(&at);
            let plan = self.runs.get_with_spec(&parent);
            let plan = plan.and_then(|(_, spec)| fakes::plan_of(spec.job.get("payload")).ok());
            let before = plan.map(|plan| plan.before(step as usize)).unwrap_or_default();
            for step in before {
                let before = parent.child(attempt, u32::try_from(step).unwrap_or(u32::MAX));
                let complete = |key: &RunKey| {
                    self.runs.get(key).is_some_and(|run| run.status == Status::Complete && run.kept.is_none())
                };
                if complete(&before) {
                    let of_it = |key: &&RunKey| **key == before || key.is_below(&before);
                    let written = self.disk.written.iter().filter(of_it).filter(|key| complete(key));
                    found.extend(written.filter(|key| !self.was_made_good(key)).cloned());
                }
            }
            at = parent;
        }
        found
    }

    /// Whether a step could not hand its files on, and its parent has made another attempt for that.
    fn was_made_good(&self, key: &RunKey) -> bool {
        let place = self.runs.get(key).and_then(|run| run.work.as_ref());
        let parent = key.parent().and_then(|parent| self.runs.get(&parent));
        place.is_some_and(|place| place.not_kept.is_some())
            && parent.is_some_and(|parent| parent.attempt > attempt_of(key))
    }

    /// A run that failed for want of files, although none can be missing.
    pub(super) fn refused_files(&self, run: &Run) -> Option<String> {
        let why = run.reason.as_deref().filter(|why| why.contains("share no files"))?;
        self.disk.safe.then(|| format!("{}: {why}", run.key))
    }
}

/// Directories in memory.
pub(super) struct Directories {
    pub(super) world: Shared,
}

impl Workspaces for Directories {
    fn open(&self, _: &Path, name: &str, shared: Option<PathBuf>) -> Box<dyn Workspace> {
        let base = shared.clone().unwrap_or_else(|| Path::new("/own").join(name));
        Box::new(Directory {
            world: self.world.clone(),
            work: base.join("dir"),
            shared,
            made: OnceLock::new(),
        })
    }
}

struct Directory {
    world: Shared,
    work: PathBuf,
    shared: Option<PathBuf>,
    made: OnceLock<()>,
}

impl Workspace for Directory {
    fn work(&self) -> io::Result<&Path> {
        self.made.get_or_init(|| ());
        let disk = &mut lock(&self.world).disk;
        disk.folders.entry(self.work.clone()).or_default();
        if self.shared.is_some() && !disk.ids.contains_key(&self.work) {
            disk.named += 1;
            disk.ids.insert(self.work.clone(), disk.named);
        }
        Ok(&self.work)
    }

    fn has_work(&self) -> bool {
        lock(&self.world).disk.folders.contains_key(&self.work)
    }

    fn work_in_use(&self) -> Option<PathBuf> {
        let world = lock(&self.world);
        let files = world.disk.folders.get(&self.work)?;
        (!files.is_empty()).then(|| self.work.clone())
    }

    fn work_state(&self) -> Option<u64> {
        // Files are only added.
        lock(&self.world).disk.folders.get(&self.work).map(|files| files.len() as u64)
    }

    fn clear_work(&self) -> io::Result<()> {
        if let Some(files) = lock(&self.world).disk.folders.get_mut(&self.work) {
            files.clear();
        }
        Ok(())
    }

    fn work_id(&self) -> Option<String> {
        lock(&self.world).disk.ids.get(&self.work).map(u64::to_string)
    }

    fn home(&self) -> io::Result<&Path> {
        Err(io::ErrorKind::Unsupported.into())
    }

    fn temp(&self) -> io::Result<Box<dyn TempDir>> {
        Err(io::ErrorKind::Unsupported.into())
    }

    fn remove_shared(&self) {
        if self.shared.is_some() {
            let disk = &mut lock(&self.world).disk;
            disk.folders.remove(&self.work);
            disk.ids.remove(&self.work);
        }
    }
}

impl Drop for Directory {
    fn drop(&mut self) {
        // The directory of an invocation goes with it, whether it ends or crashes.
        if self.shared.is_none() && self.made.get().is_some() {
            lock(&self.world).disk.folders.remove(&self.work);
        }
    }
}

#[async_trait]
impl ObjectStore for Hand {
    async fn put_file(&self, _: &str, _: BorrowedFd<'_>) -> io::Result<()> {
        self.read("put_file", &"", |_| ()).await.map_err(io::Error::other)
    }

    async fn put_part(&self, _: &str, _: BorrowedFd<'_>, _: u64, _: u64) -> io::Result<()> {
        self.read("put_part", &"", |_| ()).await.map_err(io::Error::other)
    }

    async fn join(&self, _: &str, _: &[String]) -> io::Result<()> {
        self.read("join", &"", |_| ()).await.map_err(io::Error::other)
    }

    async fn remove(&self, _: &[String]) -> Result<(), StoreError> {
        self.read("remove", &"", |_| ()).await
    }

    async fn put_folder(&self, location: &str, folder: &Path) -> Result<(), StoreError> {
        self.read("put_folder", &location, |world| {
            let files = world.disk.folders.get(folder).cloned().unwrap_or_default();
            world.disk.objects.insert(location.to_owned(), files);
        })
        .await
    }

    async fn get_folder(&self, location: &str, folder: &Path) -> Result<bool, StoreError> {
        self.read("get_folder", &location, |world| {
            let Some(files) = world.disk.objects.get(location).cloned() else { return false };
            world.disk.folders.entry(folder.to_owned()).or_default().extend(files);
            true
        })
        .await
    }

    async fn open_range(&self, location: &str, _: u64, _: u64) -> Result<Option<Piece>, StoreError> {
        Err(StoreError::invalid(format!("{location}: the simulation keeps no such objects")))
    }

    async fn list_objects(&self, prefix: &str, _: Option<&str>, _: usize) -> Result<ObjectPage, StoreError> {
        Err(StoreError::invalid(format!("{prefix}: the simulation keeps no such objects")))
    }

    async fn list_level(&self, prefix: &str, _: usize) -> Result<Vec<Object>, StoreError> {
        Err(StoreError::invalid(format!("{prefix}: the simulation keeps no such objects")))
    }

    async fn fetch(&self, object: &Object, _: BorrowedFd<'_>) -> Result<Fetched, StoreError> {
        Err(StoreError::invalid(format!("{}: the simulation keeps no such objects", object.location)))
    }
}
