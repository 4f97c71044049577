//! Files that outlive a run, in folders.

use std::ffi::OsString;
use std::fs::{DirBuilder, File, OpenOptions};
use std::io::{self, ErrorKind};
use std::os::fd::{AsRawFd, BorrowedFd};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Component, Path, PathBuf};

use async_trait::async_trait;
use pumice_core::ids::RunId;
use pumice_core::ports::{Fetched, Object, ObjectPage, ObjectStore, Piece, StoreError};
use pumice_host::OwnFolder;
use rustix::fs::{AtFlags, CWD, linkat};

use crate::found;
use crate::home::SCRATCH;
use crate::parts;
use crate::spare::Spare;

/// Keeps objects as files: a location is a path. Records keep those below the realm's folder relative to it.
#[derive(Clone, Debug)]
pub struct Folders {
    home: PathBuf,
    spare: Spare,
}

/// The path of a location, unless it leads elsewhere.
fn checked(location: &str) -> Result<&Path, StoreError> {
    let target = Path::new(location);
    if location.contains("://") {
        return Err(StoreError::invalid(format!(
            "{location} is not a path: an embedded realm keeps objects in folders"
        )));
    }
    // A job's id is part of the path, and could lead out of the realm's folder.
    if target.components().any(|part| part == Component::ParentDir) {
        return Err(StoreError::invalid(format!(
            "{location} leads upwards: objects stay below the realm's folder"
        )));
    }
    Ok(target)
}

impl Folders {
    /// Objects of a realm's folder.
    #[must_use]
    pub fn new(home: &Path) -> Self {
        Self { home: home.to_owned(), spare: Spare::below(home, home.join(SCRATCH).join("spare")) }
    }
}

/// Where a file is to be made: in the realm's folder by the descriptor of its folder, since no link may lead out of there.
struct Place {
    target: PathBuf,
    folder: Option<OwnFolder>,
    /// Whether the place is a run's: what a command has put there gives way. Elsewhere files are people's, such as payloads, and
    /// nothing is removed but the file that another replaces.
    is_of_a_run: bool,
}

impl Place {
    /// The place of a path, whose folder is made where it is missing.
    fn of(home: &Path, target: &Path) -> io::Result<Self> {
        let (Some(folder), Some(name)) = (target.parent(), target.file_name()) else {
            return Err(ErrorKind::InvalidInput.into());
        };
        let is_of_a_run = target.ancestors().any(is_of_a_run);
        if !folder.starts_with(home) {
            remove_links(folder)?;
            make_private(folder)?;
            return Ok(Self { target: target.to_owned(), folder: None, is_of_a_run });
        }
        if !is_of_a_run {
            refuse_others(home, folder)?;
        }
        let folder = OwnFolder::make(home, folder)?;
        Ok(Self { target: folder.path().join(name), folder: Some(folder), is_of_a_run })
    }

    /// Does something there, and once more where a job took the folder's rights away.
    fn with_rights(&self, act: impl Fn() -> io::Result<()>) -> io::Result<()> {
        self.folder.as_ref().map_or_else(&act, |folder| folder.with_rights(&act))
    }

    /// Removes what has a name.
    fn clear(&self, path: &Path) -> io::Result<()> {
        match std::fs::remove_file(path) {
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(()),
            Err(error) if error.kind() == ErrorKind::IsADirectory => self.clear_folder(path),
            other => other,
        }
    }

    fn clear_folder(&self, path: &Path) -> io::Result<()> {
        if self.is_of_a_run {
            return std::fs::remove_dir_all(path);
        }
        std::fs::remove_dir(path).map_err(|error| match error.kind() {
            ErrorKind::DirectoryNotEmpty => {
                let name = path.file_name().unwrap_or_default().display().to_string();
                io::Error::new(error.kind(), format!("{name} is a folder with files"))
            }
            _ => error,
        })
    }
}

/// Refuses a folder where something else is in its place, or in that of one above it.
fn refuse_others(home: &Path, folder: &Path) -> io::Result<()> {
    let above = folder.ancestors().take_while(|above| *above != home);
    for above in above {
        match std::fs::symlink_metadata(above) {
            Ok(found) if !found.is_dir() => {
                let message = format!("{} is not a folder", above.display());
                return Err(io::Error::new(ErrorKind::NotADirectory, message));
            }
            _ => {}
        }
    }
    Ok(())
}

/// Makes a folder and those above it. One above may be removed at the same time because it was empty: then again.
fn make_private(folder: &Path) -> io::Result<()> {
    let mut tries = 0;
    loop {
        tries += 1;
        match DirBuilder::new().recursive(true).mode(0o700).create(folder) {
            Err(error) if error.kind() == ErrorKind::NotFound && tries < MAX_TRIES => {}
            made => return made,
        }
    }
}

/// Removes links that a command has put in place of its folder, or of those above it that are its run's: through them its
/// output would go elsewhere.
fn remove_links(folder: &Path) -> io::Result<()> {
    let Some(above) = folder.ancestors().position(is_of_a_run) else { return Ok(()) };
    let mut links = folder.ancestors().take(above + 1).filter(|folder| folder.is_symlink());
    links.try_for_each(std::fs::remove_file)
}

/// Most times a folder is tried to be made.
const MAX_TRIES: usize = 20;

/// Gives an open file another name, or copies it where that is impossible. A file that has the name already stays as it is until
/// all of the file is there: another execution of the same attempt may have put it there, and its record may promise it.
fn keep(file: &File, place: &Place) -> io::Result<()> {
    let target = &*place.target;
    if link(file, target).is_ok() {
        return Ok(());
    }
    let fresh = unfinished(target)?;
    place.clear(&fresh)?;
    let kept = link(file, &fresh).or_else(|_| copy(file, &fresh)).and_then(|()| replace(&fresh, place));
    // After a failure, or when both were the same file already (rename(2)).
    place.clear(&fresh).and(kept)
}

/// Makes a file next to its place, and renames it once all of it is there.
fn make_fresh(place: &Place, make: impl Fn(&mut File) -> io::Result<()>) -> io::Result<()> {
    place.with_rights(|| {
        let fresh = unfinished(&place.target)?;
        place.clear(&fresh)?;
        let file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&fresh);
        let kept = file.and_then(|mut file| make(&mut file)).and_then(|()| replace(&fresh, place));
        place.clear(&fresh).and(kept)
    })
}

/// By the descriptor, since the name may be another file's by now (linkat(2)). Replaces nothing.
fn link(file: &File, target: &Path) -> io::Result<()> {
    let own = format!("/proc/self/fd/{}", file.as_raw_fd());
    Ok(linkat(CWD, own.as_str(), CWD, target, AtFlags::SYMLINK_FOLLOW)?)
}

fn copy(file: &File, target: &Path) -> io::Result<()> {
    let mut copy = OpenOptions::new().write(true).create_new(true).mode(0o600).open(target)?;
    let mut from = file;
    io::Seek::rewind(&mut from)?;
    io::copy(&mut from, &mut copy).map(drop)
}

/// Where a file is until all of it is there.
fn unfinished(target: &Path) -> io::Result<PathBuf> {
    let name = target.file_name().ok_or(ErrorKind::InvalidInput)?;
    let mut fresh = OsString::from(".");
    fresh.push(name);
    fresh.push(".new");
    Ok(target.with_file_name(fresh))
}

/// Gives a file the name of another, which goes. A folder that a command has put there goes too.
fn replace(fresh: &Path, place: &Place) -> io::Result<()> {
    match std::fs::rename(fresh, &place.target) {
        Err(error) if error.kind() == ErrorKind::IsADirectory => {
            place.clear_folder(&place.target)?;
            std::fs::rename(fresh, &place.target)
        }
        other => other,
    }
}

/// Removes what has a name, in the realm's folder by the descriptor of its folder: no link leads out of there.
fn remove_below(home: &Path, target: &Path) -> io::Result<()> {
    let (Some(folder), Some(name), true) = (target.parent(), target.file_name(), target.starts_with(home))
    else {
        return remove_any(target);
    };
    if folder.starts_with(home)
        && let Some(folder) = OwnFolder::find(home, folder)?
    {
        let path = folder.path().join(name);
        return folder.with_rights(|| remove_any(&path));
    }
    Ok(())
}

fn remove_any(path: &Path) -> io::Result<()> {
    match std::fs::remove_file(path) {
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(()),
        Err(error) if error.kind() == ErrorKind::IsADirectory => std::fs::remove_dir_all(path),
        other => other,
    }
}

#[async_trait]
impl ObjectStore for Folders {
    async fn put_file(&self, location: &str, file: BorrowedFd<'_>) -> io::Result<()> {
        let target = checked(location).map_err(io::Error::other)?.to_owned();
        let file = File::from(file.try_clone_to_owned()?);
        // A file that must be copied may be large.
        let home = self.home.clone();
        let kept = tokio::task::spawn_blocking(move || {
            let place = Place::of(&home, &target)?;
            place.with_rights(|| keep(&file, &place))
        })
        .await;
        kept.map_err(io::Error::other)?
    }

    async fn put_part(&self, location: &str, file: BorrowedFd<'_>, from: u64, length: u64) -> io::Result<()> {
        let target = checked(location).map_err(io::Error::other)?.to_owned();
        let file = File::from(file.try_clone_to_owned()?);
        let home = self.home.clone();
        let kept = tokio::task::spawn_blocking(move || {
            make_fresh(&Place::of(&home, &target)?, |to| parts::copy_part(&file, from, length, to))
        });
        kept.await.map_err(io::Error::other)?
    }

    async fn join(&self, location: &str, parts: &[String]) -> io::Result<()> {
        let target = checked(location).map_err(io::Error::other)?.to_owned();
        let parts: Result<Vec<PathBuf>, _> =
            parts.iter().map(|part| checked(part).map(Path::to_owned)).collect();
        let parts = parts.map_err(io::Error::other)?;
        let home = self.home.clone();
        let kept = tokio::task::spawn_blocking(move || {
            make_fresh(&Place::of(&home, &target)?, |to| parts::join(&parts, to))
        });
        kept.await.map_err(io::Error::other)?
    }

    async fn remove(&self, locations: &[String]) -> Result<(), StoreError> {
        for location in locations {
            let removed = remove_below(&self.home, checked(location)?);
            removed.map_err(|error| StoreError::of_io(format!("removing {location}"), error))?;
        }
        Ok(())
    }

    async fn open_range(&self, location: &str, from: u64, length: u64) -> Result<Option<Piece>, StoreError> {
        let target = checked(location)?.to_owned();
        let read = tokio::task::spawn_blocking(move || found::piece(&target, from, length)).await;
        read.unwrap_or_else(|error| Err(io::Error::other(error)))
            .map_err(|error| StoreError::of_io(format!("reading {location}"), error))
    }

    async fn list_objects(
        &self,
        prefix: &str,
        after: Option<&str>,
        limit: usize,
    ) -> Result<ObjectPage, StoreError> {
        checked(prefix)?;
        let (from, after) = (prefix.to_owned(), after.map(str::to_owned));
        let listed = tokio::task::spawn_blocking(move || found::list(&from, after.as_deref(), limit)).await;
        listed
            .unwrap_or_else(|error| Err(io::Error::other(error)))
            .map_err(|error| StoreError::of_io(format!("listing {prefix}"), error))
    }

    async fn list_level(&self, prefix: &str, limit: usize) -> Result<Vec<Object>, StoreError> {
        checked(prefix)?;
        let from = prefix.to_owned();
        let listed = tokio::task::spawn_blocking(move || found::level(&from, limit)).await;
        listed
            .unwrap_or_else(|error| Err(io::Error::other(error)))
            .map_err(|error| StoreError::of_io(format!("listing {prefix}"), error))
    }

    async fn fetch(&self, object: &Object, into: BorrowedFd<'_>) -> Result<Fetched, StoreError> {
        checked(&object.location)?;
        let failed = |error: io::Error| StoreError::of_io(format!("reading {}", object.location), error);
        let into = File::from(into.try_clone_to_owned().map_err(failed)?);
        let object = object.clone();
        let fetched = tokio::task::spawn_blocking(move || found::fetch(&object, into)).await;
        fetched.unwrap_or_else(|error| Err(io::Error::other(error))).map_err(failed)
    }

    fn is_near(&self) -> bool {
        true
    }

    fn recorded(&self, location: &str) -> String {
        let short = Path::new(location).strip_prefix(&self.home).ok().and_then(Path::to_str);
        short.unwrap_or(location).to_owned()
    }

    fn located(&self, recorded: &str) -> String {
        self.home.join(recorded).display().to_string()
    }

    async fn make_folder(&self, location: &str) -> io::Result<()> {
        let folder = checked(location).map_err(io::Error::other)?;
        let place = Place::of(&self.home, folder)?;
        match (self.spare.give(&place.target), &place.folder) {
            (true, _) => Ok(()),
            (false, Some(_)) => OwnFolder::make(&self.home, folder).map(drop),
            (false, None) => make_private(folder),
        }
    }

    async fn remove_empty_folder(&self, location: &str) {
        let Ok(folder) = checked(location) else { return };
        for (above, folder) in folder.ancestors().enumerate() {
            let is_taken = above == 0 && self.spare.take(folder);
            // It holds something, or is another user's.
            if !is_taken && std::fs::remove_dir(folder).is_err() || is_of_a_run(folder) {
                return;
            }
        }
    }
}

/// Whether a folder holds what one run keeps: those above are shared by many.
fn is_of_a_run(folder: &Path) -> bool {
    folder.file_name().and_then(|name| name.to_str()).is_some_and(|name| {
        // An attempt after the first has a folder next to that of the first.
        let run = name.split_once("-attempt-").map_or(name, |(run, _)| run);
        run.parse::<RunId>().is_ok()
    })
}

#[cfg(test)]
mod tests {
    use std::io::Write;
    use std::os::fd::AsFd;

    use super::*;

    #[tokio::test]
    async fn file_is_kept_whatever_became_of_its_name() {
        let folder = tempfile::tempdir().unwrap();
        let folders = Folders::new(folder.path());
        let live = folder.path().join("live");
        let open = || {
            let mut file = OpenOptions::new().read(true).append(true).create_new(true).open(&live).unwrap();
            file.write_all(b"printed").unwrap();
            file
        };
        let location = |name: &str| folder.path().join("temp").join(name).display().to_string();
        let file = open();
        std::fs::remove_file(&live).unwrap();
        std::os::unix::fs::symlink("/proc/self/environ", &live).unwrap();
        // Whatever a command has put into its run's folder gives way: links as links.
        let of_run = "a/0190a0a0-0000-7000-8000-000000000001";
        let [folder_of_run, link] = ["dir", "link"].map(|name| format!("{of_run}/{name}"));
        std::fs::create_dir_all(location(&format!("{folder_of_run}/x"))).unwrap();
        std::os::unix::fs::symlink("/etc/passwd", location(&link)).unwrap();
        for name in ["new/stdout", &folder_of_run, &link] {
            folders.put_file(&location(name), file.as_fd()).await.unwrap();
            assert_eq!(std::fs::read_to_string(location(name)).unwrap(), "printed", "{name}");
        }
        // Nor does it go elsewhere through a link in place of its folder.
        let elsewhere = folder.path().join("elsewhere");
        std::fs::create_dir(&elsewhere).unwrap();
        let run = "0190a0a0-0000-7000-8000-000000000000";
        for link in [location(run), location(&format!("{run}/1.0"))] {
            if let Some(folder) = Path::new(&link).parent() {
                std::fs::create_dir_all(folder).unwrap();
            }
            std::os::unix::fs::symlink(&elsewhere, &link).unwrap();
            folders.put_file(&format!("{link}/stdout"), file.as_fd()).await.unwrap();
            assert_eq!(std::fs::read_to_string(format!("{link}/stdout")).unwrap(), "printed", "{link}");
            assert_eq!(std::fs::read_dir(&elsewhere).unwrap().count(), 0, "{link}");
        }
        std::fs::remove_file(&live).unwrap();
        let named = open();
        folders.put_file(&location("named"), named.as_fd()).await.unwrap();
        assert_eq!(std::fs::read_to_string(location("named")).unwrap(), "printed");
        for bad in ["s3://bucket/x", "temp/../../x"] {
            assert!(folders.put_file(bad, named.as_fd()).await.is_err(), "{bad}");
        }
    }

    #[tokio::test]
    async fn removal_follows_no_link_out_of_the_realm() {
        let (realm, elsewhere) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let folders = Folders::new(realm.path());
        let kept = realm.path().join("temp/.output/a");
        std::fs::create_dir_all(&kept).unwrap();
        for name in ["own", "other"] {
            std::fs::write(kept.join(name), "x").unwrap();
        }
        std::fs::write(elsewhere.path().join("other"), "x").unwrap();
        let removed = |name: &str| vec![kept.join(name).display().to_string()];
        let none = std::os::unix::fs::PermissionsExt::from_mode(0o500);
        std::fs::set_permissions(&kept, none).unwrap();
        folders.remove(&removed("own")).await.unwrap();
        folders.remove(&removed("own")).await.unwrap();
        assert!(!kept.join("own").exists());
        std::fs::remove_dir_all(&kept).unwrap();
        std::os::unix::fs::symlink(elsewhere.path(), &kept).unwrap();
        folders.remove(&removed("other")).await.unwrap();
        assert!(elsewhere.path().join("other").exists());
    }

    #[tokio::test]
    async fn file_of_people_replaces_a_file_and_nothing_else() {
        let folder = tempfile::tempdir().unwrap();
        let folders = Folders::new(folder.path());
        let at = |name: &str| folder.path().join("payloads").join(name);
        for name in ["w/2.sh", ".x.new/2.sh", "v"] {
            std::fs::create_dir_all(at(name).parent().unwrap()).unwrap();
            std::fs::write(at(name), "kept").unwrap();
        }
        std::fs::create_dir_all(folder.path().join("elsewhere")).unwrap();
        std::os::unix::fs::symlink(folder.path().join("elsewhere"), at("linked")).unwrap();
        std::fs::create_dir(at("empty")).unwrap();
        let new = folder.path().join("new");
        std::fs::write(&new, "new").unwrap();
        // Of another file system, so that it is copied under a name of its own first.
        let null = File::open("/dev/null").unwrap();
        for name in ["w", "v/x.sh", "linked/x.sh", "x"] {
            let file = if name == "x" { &null } else { &File::open(&new).unwrap() };
            let put = folders.put_file(&at(name).display().to_string(), file.as_fd()).await;
            assert!(put.is_err(), "{name}");
        }
        for name in ["w/2.sh", ".x.new/2.sh", "v"] {
            assert_eq!(std::fs::read_to_string(at(name)).unwrap(), "kept", "{name}");
        }
        assert!(at("linked").is_symlink() && !folder.path().join("elsewhere/x.sh").exists());
        for name in ["v", "empty", "deep/er/new"] {
            folders
                .put_file(&at(name).display().to_string(), File::open(&new).unwrap().as_fd())
                .await
                .unwrap();
            assert_eq!(std::fs::read_to_string(at(name)).unwrap(), "new", "{name}");
        }
    }

    #[tokio::test]
    async fn failed_replacement_leaves_the_output_that_was_there() {
        let folder = tempfile::tempdir().unwrap();
        let folders = Folders::new(folder.path());
        let at = folder.path().join("temp/run/stdout");
        let location = at.display().to_string();
        let first = folder.path().join("first");
        std::fs::write(&first, "all of it").unwrap();
        folders.put_file(&location, File::open(&first).unwrap().as_fd()).await.unwrap();
        // Files of another file system, which can neither be linked nor be read from their beginning.
        for unreadable in ["/proc/self/mem", "/proc"] {
            let file = File::open(unreadable).unwrap();
            folders.put_file(&location, file.as_fd()).await.unwrap_err();
            assert_eq!(std::fs::read_to_string(&at).unwrap(), "all of it", "{unreadable}");
            let names: Vec<_> = std::fs::read_dir(at.parent().unwrap()).unwrap().flatten().collect();
            assert_eq!(names.len(), 1, "{unreadable}: {names:?}");
            folders
                .put_file(&folder.path().join("new").display().to_string(), file.as_fd())
                .await
                .unwrap_err();
            assert!(!folder.path().join("new").exists(), "{unreadable}");
        }
        // The same file again, and another one in its place.
        folders.put_file(&location, File::open(&first).unwrap().as_fd()).await.unwrap();
        std::fs::write(folder.path().join("second"), "other").unwrap();
        std::fs::create_dir_all(at.with_file_name(".stdout.new")).unwrap();
        let second = File::open(folder.path().join("second")).unwrap();
        folders.put_file(&location, second.as_fd()).await.unwrap();
        assert_eq!(std::fs::read_to_string(&at).unwrap(), "other");
        assert_eq!(std::fs::read_dir(at.parent().unwrap()).unwrap().count(), 1);
    }

    #[tokio::test]
    async fn empty_folders_of_a_run_are_removed_and_no_others() {
        let folder = tempfile::tempdir().unwrap();
        let folders = Folders::new(folder.path());
        let run = folder.path().join("temp/etl/load/0190a0a0-0000-7000-8000-000000000000");
        let step = run.join("1.0/attempt-2").display().to_string();
        folders.make_folder(&step).await.unwrap();
        folders.remove_empty_folder(&step).await;
        assert!(!run.exists() && folder.path().join("temp/etl/load").exists());
        folders.make_folder(&step).await.unwrap();
        std::fs::write(run.join("1.0/report.csv"), "x").unwrap();
        folders.remove_empty_folder(&step).await;
        assert!(run.join("1.0/report.csv").exists() && !run.join("1.0/attempt-2").exists());
    }

    #[tokio::test]
    async fn folder_of_any_attempt_replaces_what_a_job_put_above_it() {
        let (folder, other) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let folders = Folders::new(folder.path());
        for name in ["0190a0a0-0000-7000-8000-000000000000", "0190a0a0-0000-7000-8000-000000000000-attempt-2"]
        {
            let job = folder.path().join("temp/job");
            std::fs::create_dir_all(folder.path().join("temp")).unwrap();
            std::os::unix::fs::symlink(other.path(), &job).unwrap();
            folders.make_folder(&job.join(name).display().to_string()).await.unwrap();
            assert!(!job.is_symlink() && job.join(name).is_dir(), "{name}");
            folders.remove_empty_folder(&job.join(name).display().to_string()).await;
            assert!(!job.join(name).exists() && job.is_dir(), "{name}");
            std::fs::remove_dir(&job).unwrap();
        }
        assert_eq!(std::fs::read_dir(other.path()).unwrap().count(), 0);
    }

    #[test]
    fn location_in_the_realm_is_recorded_relative_to_its_folder() {
        let folders = Folders::new(Path::new("/srv/realm"));
        assert_eq!(folders.recorded("/srv/realm/temp/a/b/stdout"), "temp/a/b/stdout");
        assert_eq!(folders.located("temp/a/b/stdout"), "/srv/realm/temp/a/b/stdout");
        for elsewhere in ["/data/temp/a", "s3://bucket/a"] {
            assert_eq!(folders.recorded(elsewhere), elsewhere);
        }
        assert_eq!(folders.located("/data/temp/a"), "/data/temp/a");
    }
}
