//! The directories that the jobs of one invocation work in.

use std::hash::{DefaultHasher, Hash, Hasher};
use std::io;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};

use pumice_core::ports::{TempDir, Workspace, Workspaces};
use rustix::fs::{CWD, XattrFlags, getxattr, setxattr};

use crate::clean::is_clean;
use crate::own::{OwnFolder, loosen};

/// The directories of one invocation, each made when it is first asked for. The directory that the steps of the run
/// share is kept until the run has ended, if the site has a place for it; all else is removed with this.
#[derive(Debug)]
pub struct DiskWorkspace {
    scratch: PathBuf,
    name: String,
    /// Removed at the end, or kept for another invocation where nothing is in it.
    own: OnceLock<Own>,
    /// Kept for the run's other invocations.
    shared: Option<PathBuf>,
    dir: OnceLock<PathBuf>,
    home: OnceLock<PathBuf>,
    /// Directories for temporary files that no command has now.
    temps: Arc<Mutex<Vec<PathBuf>>>,
}

/// A directory of one command's own; removed when dropped, or kept for the next command where nothing is in it.
#[derive(Debug)]
struct DiskTempDir {
    root: PathBuf,
    path: PathBuf,
    clean: Arc<Mutex<Vec<PathBuf>>>,
}

impl TempDir for DiskTempDir {
    fn path(&self) -> &Path {
        &self.path
    }
}

impl Drop for DiskTempDir {
    fn drop(&mut self) {
        if is_clean(&self.path) {
            lock(&self.clean).push(std::mem::take(&mut self.path));
        } else {
            remove_apart(&self.root, &self.path);
        }
    }
}

/// An invocation's directory, and the empty ones in it.
#[derive(Debug)]
struct Own {
    path: PathBuf,
    empty: Vec<PathBuf>,
}

/// Directories of invocations that left nothing in them, by scratch folder. To make one and remove it again for each
/// command takes a file system longer than all else.
static CLEAN: Mutex<Vec<(PathBuf, Own)>> = Mutex::new(Vec::new());
/// Most such directories; those of a folder that is not used any more go first.
const MAX_CLEAN: usize = 64;

/// Something of which no holder leaves a part undone.
fn lock<T>(of: &Mutex<T>) -> MutexGuard<'_, T> {
    of.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Whether this is a folder, and no link to one.
fn is_folder(path: &Path) -> bool {
    std::fs::symlink_metadata(path).is_ok_and(|found| found.is_dir())
}

/// A clean directory of a scratch folder, if there is one.
fn take_clean(scratch: &Path) -> Option<Own> {
    loop {
        let own = {
            let mut clean = lock(&CLEAN);
            let at = clean.iter().rposition(|(of, _)| of == scratch)?;
            clean.remove(at).1
        };
        // The folder may have been cleared since, or something put into it or in its place.
        if is_folder(scratch) && is_folder(&own.path) && own.empty.iter().all(|path| is_clean(path)) {
            return Some(own);
        }
        remove_apart(above(scratch, 1), &own.path);
    }
}

/// Keeps a directory for another invocation, if it holds nothing but empty directories as they were made; `known` are
/// such.
fn keep_clean(scratch: &Path, path: &Path, known: &[PathBuf]) -> bool {
    let Ok(entries) = std::fs::read_dir(path) else { return false };
    let mut empty = Vec::new();
    for entry in entries {
        let Ok(path) = entry.map(|entry| entry.path()) else { return false };
        if !known.contains(&path) && !is_clean(&path) {
            return false;
        }
        empty.push(path);
    }
    let mut clean = lock(&CLEAN);
    if clean.len() >= MAX_CLEAN {
        // It is in a folder that goes with the process.
        let Some(at) = clean.iter().position(|(of, _)| of != scratch) else { return false };
        clean.remove(at);
    }
    clean.push((scratch.to_owned(), Own { path: path.to_owned(), empty }));
    true
}

/// Directories of this machine's file system.
#[derive(Clone, Copy, Debug, Default)]
pub struct DiskWorkspaces;

impl Workspaces for DiskWorkspaces {
    fn open(&self, scratch: &Path, name: &str, shared: Option<PathBuf>) -> Box<dyn Workspace> {
        Box::new(DiskWorkspace::new(scratch, name, shared))
    }
}

impl DiskWorkspace {
    /// The directories of an invocation, below `scratch/name`; the directory that the steps of the run share is
    /// below `shared`, if that is given. Nothing is made yet.
    #[must_use]
    pub fn new(scratch: &Path, name: &str, shared: Option<PathBuf>) -> Self {
        let (dir, home, own, temps) = <_>::default();
        let (scratch, name) = (scratch.to_owned(), name.to_owned());
        Self { scratch, name, own, shared, dir, home, temps }
    }

    fn base(&self) -> &Path {
        self.shared.as_deref().unwrap_or_else(|| &self.own().path)
    }

    fn own(&self) -> &Own {
        self.own.get_or_init(|| {
            let own = take_clean(&self.scratch);
            let own = own.unwrap_or_else(|| Own { path: self.scratch.join(&self.name), empty: Vec::new() });
            let is_temp = |path: &&PathBuf| {
                path.file_name().and_then(|name| name.to_str()).is_some_and(|name| name.starts_with(TEMP))
            };
            lock(&self.temps).extend(own.empty.iter().filter(is_temp).cloned());
            own
        })
    }

    /// The folder that the user chose, below which the directories that are kept are.
    fn root(&self) -> &Path {
        match &self.shared {
            // The folder of all shared directories is between them.
            Some(shared) => above(shared, 2),
            None => above(&self.scratch, 1),
        }
    }

    /// One of the directories, made unless it is there.
    fn made<'a>(&'a self, known: &'a OnceLock<PathBuf>, name: &str) -> io::Result<&'a Path> {
        if let Some(path) = known.get() {
            // A job may have removed it since, or put something in its place.
            make(self.root(), path)?;
            return Ok(path);
        }
        let path = self.base().join(name);
        if self.shared.is_some() || !self.own().empty.contains(&path) {
            make(self.root(), &path)?;
        }
        Ok(known.get_or_init(|| path))
    }

    /// The name of the shared directory, where it is there and has one.
    fn id_there(&self) -> Option<String> {
        let (_, folder) = self.work_there()?;
        let mut name = [0; MAX_NAME];
        let own = getxattr(folder.path(), NAME, &mut name[..]).ok().and_then(|length| name.get(..length));
        let own = own.and_then(|name| Some(std::str::from_utf8(name).ok()?.to_owned()));
        own.or_else(|| {
            let shared = OwnFolder::find(self.root(), self.shared.as_deref()?).ok()??;
            std::fs::read_link(shared.path().join(ID)).ok()?.into_os_string().into_string().ok()
        })
    }

    /// Makes the shared directory, and gives it a name of its own, unless it is there and has one.
    fn make_shared(&self, shared: &Path) -> io::Result<()> {
        static NUMBER: AtomicU64 = AtomicU64::new(0);
        let _making = lock(&MAKING);
        if self.id_there().is_some() {
            return Ok(());
        }
        let folder = OwnFolder::make(self.root(), shared)?;
        let link = folder.path().join(ID);
        match folder.with_rights(|| std::fs::remove_file(&link)) {
            Err(error) if error.kind() == io::ErrorKind::IsADirectory => remove_tree(&link)?,
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
        let work = OwnFolder::make(self.root(), &shared.join(WORK))?;
        let invocation = self.name.rsplit('-').next().unwrap_or_default();
        let id = format!("{invocation}-{}", NUMBER.fetch_add(1, Ordering::Relaxed));
        match work.with_rights(|| Ok(setxattr(work.path(), NAME, id.as_bytes(), XattrFlags::empty())?)) {
            Ok(()) => Ok(()),
            Err(_) => folder.with_rights(|| std::os::unix::fs::symlink(&id, &link)),
        }
    }

    /// The directory that commands start in, where it is there already.
    fn work_there(&self) -> Option<(PathBuf, OwnFolder)> {
        let base = self.shared.as_deref().or_else(|| Some(&*self.own.get()?.path))?;
        let path = base.join(WORK);
        let folder = OwnFolder::find(self.root(), &path).ok()??;
        Some((path, folder))
    }
}

impl Workspace for DiskWorkspace {
    fn work(&self) -> io::Result<&Path> {
        if let Some(shared) = &self.shared {
            self.make_shared(shared)?;
        }
        self.made(&self.dir, WORK)
    }

    fn has_work(&self) -> bool {
        self.work_there().is_some()
    }

    fn work_in_use(&self) -> Option<PathBuf> {
        let (path, folder) = self.work_there()?;
        let is_used = std::fs::read_dir(folder.path()).is_ok_and(|mut entries| entries.next().is_some());
        is_used.then_some(path)
    }

    fn work_state(&self) -> Option<u64> {
        let (_, folder) = self.work_there()?;
        look_of(&folder.path())
    }

    fn clear_work(&self) -> io::Result<()> {
        match self.work_there() {
            Some((path, _)) => remove_tree(&path).and_then(|()| make(self.root(), &path)),
            None => Ok(()),
        }
    }

    fn work_id(&self) -> Option<String> {
        let shared = self.shared.as_deref()?;
        self.work_there()?;
        // One that a step made in place of another gets a name too: it may hold files.
        self.make_shared(shared).ok()?;
        self.id_there()
    }

    fn home(&self) -> io::Result<&Path> {
        self.made(&self.home, "home")
    }

    fn temp(&self) -> io::Result<Box<dyn TempDir>> {
        static NUMBER: AtomicU64 = AtomicU64::new(0);
        let own = self.own();
        let known = lock(&self.temps).pop();
        let path = match known {
            Some(path) => path,
            None => {
                // Numbers are never used again: a directory passes from one invocation to others.
                let number = NUMBER.fetch_add(1, Ordering::Relaxed);
                let path = own.path.join(format!("{TEMP}{number}"));
                make(above(&self.scratch, 1), &path)?;
                path
            }
        };
        let root = above(&self.scratch, 1).to_owned();
        Ok(Box::new(DiskTempDir { root, path, clean: self.temps.clone() }))
    }

    fn remove_shared(&self) {
        if let Some(shared) = &self.shared {
            remove_apart(self.root(), shared);
        }
    }
}

impl Drop for DiskWorkspace {
    fn drop(&mut self) {
        if let Some(own) = self.own.get()
            && !keep_clean(&self.scratch, &own.path, &lock(&self.temps))
        {
            remove_apart(above(&self.scratch, 1), &own.path);
        }
    }
}

/// The directory that commands start in.
const WORK: &str = "dir";
/// The extended attribute with the name that the directory was given when it was made: another in its place lacks it.
const NAME: &str = "user.pumice.name";
/// Longest such name, in bytes.
const MAX_NAME: usize = 128;
/// Where the file system has no such attributes, a link next to the directory that leads nowhere: its text is the name. A link
/// is made whole or not at all, and read without waiting, whatever a job puts in its place.
const ID: &str = "id";
/// Held while a directory and its name are made.
static MAKING: Mutex<()> = Mutex::new(());
/// Most files of a directory that are looked at to find out whether any is another.
const MAX_LOOK: usize = 5_000;

/// How a directory looks: a number of the kinds, places, sizes and times of all in it. `None` where it holds too much, or
/// cannot be read.
fn look_of(folder: &Path) -> Option<u64> {
    let (mut look, mut seen) = (0_u64, 0_usize);
    let mut open = vec![PathBuf::new()];
    while let Some(below) = open.pop() {
        for entry in std::fs::read_dir(folder.join(&below)).ok()? {
            let entry = entry.ok()?;
            let (name, found) = (below.join(entry.file_name()), entry.metadata().ok()?);
            seen += 1;
            if seen > MAX_LOOK {
                return None;
            }
            let mut hasher = DefaultHasher::new();
            let times = [found.mtime(), found.mtime_nsec(), found.ctime(), found.ctime_nsec()];
            (&name, found.mode(), found.ino(), found.size(), times).hash(&mut hasher);
            // Whatever the order in which the system lists them.
            look = look.wrapping_add(hasher.finish());
            if found.is_dir() {
                open.push(name);
            }
        }
    }
    Some(look)
}

/// How the names of directories for temporary files begin.
const TEMP: &str = "tmp-";

/// The folder so many levels above a path.
fn above(path: &Path, levels: usize) -> &Path {
    path.ancestors().nth(levels).unwrap_or(path)
}

/// Makes a directory that only this user can enter, and those between `root` and it.
fn make(root: &Path, path: &Path) -> io::Result<()> {
    OwnFolder::make(root, path).map(drop)
}

/// Removes a directory below `root`; one with many files on a thread of its own, for the caller has others to see to.
fn remove_apart(root: &Path, path: &Path) {
    if remove_small(path).is_ok() {
        return;
    }
    let (root, path) = (root.to_owned(), path.to_owned());
    let removing = std::thread::Builder::new().name("remover".to_owned()).spawn(move || {
        if let Err(error) = remove_below(&root, &path) {
            tracing::warn!(path = %path.display(), %error, "cannot remove a work directory");
        }
    });
    if let Err(error) = removing {
        tracing::warn!(%error, "a work directory stays until the next start");
    }
}

/// Removes a directory below `root`, also where a job took the rights of those above it away.
fn remove_below(root: &Path, path: &Path) -> io::Result<()> {
    match OwnFolder::find(root, above(path, 1))? {
        Some(parent) => parent.with_rights(|| remove_tree(path)),
        None => Ok(()),
    }
}

/// Removes a directory that holds nothing but empty ones, and links.
fn remove_small(path: &Path) -> io::Result<()> {
    match std::fs::remove_dir(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        Err(_) => {
            for entry in std::fs::read_dir(path)? {
                let entry = entry?;
                match entry.file_type()?.is_symlink() {
                    true => std::fs::remove_file(entry.path())?,
                    false => std::fs::remove_dir(entry.path())?,
                }
            }
            std::fs::remove_dir(path)
        }
        Ok(()) => Ok(()),
    }
}

/// Removes a directory and all below it, links as links, also where a job took its own rights away. Nothing is
/// removed when it is not there.
///
/// # Errors
/// The system's error when something cannot be removed; all else is removed.
pub fn remove_tree(path: &Path) -> io::Result<()> {
    match std::fs::remove_dir_all(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        Err(_) => {
            open_up(path);
            remove_rest(path, MAX_DESCENT)
        }
        Ok(()) => Ok(()),
    }
}

/// How deep below what cannot be removed at once each entry is tried by itself.
const MAX_DESCENT: u32 = 64;

/// Removes all that can be removed: one file that cannot must not keep the others. Gives the first error.
fn remove_rest(path: &Path, descent: u32) -> io::Result<()> {
    let Err(error) = std::fs::remove_dir_all(path) else { return Ok(()) };
    if descent == 0 {
        return Err(error);
    }
    for entry in std::fs::read_dir(path)? {
        let entry = entry?;
        let is_dir = entry.file_type()?.is_dir();
        // The folder above reports what fails: it cannot be removed.
        let _ =
            if is_dir { remove_rest(&entry.path(), descent - 1) } else { std::fs::remove_file(entry.path()) };
    }
    match std::fs::remove_dir(path) {
        Err(left) if left.kind() == io::ErrorKind::NotFound => Ok(()),
        Err(_) => Err(error),
        Ok(()) => Ok(()),
    }
}

/// Gives the owner all rights on a directory and those below it, as far as that can be.
fn open_up(path: &Path) {
    let mut open = vec![path.to_owned()];
    while let Some(path) = open.pop() {
        // A folder that stays closed cannot be removed; the caller reports that.
        let _ = loosen(CWD, &path);
        let _ = std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o700));
        let entries = std::fs::read_dir(&path).into_iter().flatten().flatten();
        let folders = entries.filter(|entry| entry.file_type().is_ok_and(|kind| kind.is_dir()));
        open.extend(folders.map(|entry| entry.path()));
    }
}

#[cfg(test)]
mod tests;
