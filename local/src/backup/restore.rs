//! Restores a backup into an empty place.

use std::fs::{DirBuilder, File, OpenOptions};
use std::io::{self, Read};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use pumice_core::Timestamp;
use pumice_core::clock::is_scheduled;
use pumice_core::pauses::{Pause, Scope};
use pumice_core::ports::{Catalog as _, JobStore as _, StoreError};
use pumice_core::spec::RealmSpec;
use pumice_host::remove_tree;

use super::archive::{check_backup, read};
use super::{BackedUpFile, BackupError, Manifest, ProgressListener, RESTORING, Stage, io_error, unused_name};
use crate::database::{Database, Durability};
use crate::ground::{Integrity, look_through};
use crate::home::STORE;

/// How long the restored store is looked through, at most.
const LOOK: Duration = Duration::from_secs(600);

/// Restores a backup into a folder that is empty or not there. All of it is compared with its manifest before anything is
/// written, and again while it is; the folder gets its name once everything is in it. The whole realm is paused then: the
/// one that the backup is of may still be served elsewhere, and nothing must run twice. Runs that had begun wait, too.
///
/// # Errors
/// [`BackupError`] when the folder is taken, the backup is damaged or newer than this program, or the disk is full:
/// nothing is restored then.
pub async fn restore(
    file: PathBuf,
    folder: PathBuf,
    by: String,
    now: Timestamp,
    mut heard: Box<dyn FnMut(super::BackupProgress) + Send>,
) -> Result<Manifest, BackupError> {
    let unpacked = tokio::task::spawn_blocking(move || {
        check_place(&folder)?;
        check_backup(&file, &mut *heard)?;
        let staged = Staged::claim(&folder, now)?;
        let manifest = unpack(&file, &staged.path, &|_| true, &mut *heard)?;
        check_store(&file, &staged.path)?;
        Ok((staged, manifest, folder))
    });
    let unpacked = unpacked
        .await
        .map_err(|error| BackupError::Sqlite { what: "restore the backup", error: error.to_string() })?;
    let (staged, manifest, folder) = unpacked?;
    let held = hold(&staged.path, by, now).await;
    held.map_err(|error| BackupError::Sqlite { what: "pause the restored realm", error: error.to_string() })?;
    staged.finish(&folder)?;
    Ok(manifest)
}

/// The realm that a backup is of, as far as a dry run looks.
#[derive(Debug)]
pub struct BackupContent {
    /// Everything that the backup has.
    pub manifest: Manifest,
    /// The realm's definition.
    pub definition: Arc<RealmSpec>,
    /// How many jobs it has.
    pub jobs: usize,
    /// How many of them have schedules.
    pub scheduled: usize,
    /// How many runs it has, without their steps.
    pub runs: u64,
    /// Why it cannot be restored into the folder.
    pub in_the_way: Option<BackupError>,
}

/// Checks a backup as [`restore`] does, and looks into its store, a copy of which is in a temporary folder meanwhile. Neither
/// the folder nor anything next to it is written to.
///
/// # Errors
/// [`BackupError`] when the backup is damaged or newer than this program, or the disk is full.
pub async fn look_into(
    file: PathBuf,
    folder: PathBuf,
    mut heard: Box<dyn FnMut(super::BackupProgress) + Send>,
) -> Result<BackupContent, BackupError> {
    let unpacked = tokio::task::spawn_blocking(move || {
        let in_the_way = check_place(&folder).err();
        check_backup(&file, &mut *heard)?;
        let temporary = tempfile::tempdir().map_err(io_error("write", &std::env::temp_dir()))?;
        let is_store = |about: &BackedUpFile| about.path == STORE;
        let manifest = unpack(&file, temporary.path(), &is_store, &mut *heard)?;
        check_store(&file, temporary.path())?;
        Ok((temporary, manifest, in_the_way))
    });
    let unpacked =
        unpacked.await.map_err(|error| BackupError::Sqlite { what: READ, error: error.to_string() })?;
    let (temporary, manifest, in_the_way) = unpacked?;
    let counted = count(temporary.path()).await;
    let counted = counted.map_err(|error| BackupError::Sqlite { what: READ, error: error.to_string() })?;
    let Counted { definition, jobs, scheduled, runs } = counted;
    Ok(BackupContent { manifest, definition, jobs, scheduled, runs, in_the_way })
}

/// The operation of a dry run, for errors.
const READ: &str = "read the store of the backup";

/// What a store has.
struct Counted {
    definition: Arc<RealmSpec>,
    jobs: usize,
    scheduled: usize,
    runs: u64,
}

async fn count(folder: &Path) -> Result<Counted, StoreError> {
    let opened = Database::open(&folder.join(STORE), folder, Durability::Normal);
    let database = opened.map_err(|error| StoreError::unreachable(error.to_string()))?;
    let jobs = database.all_jobs().await?;
    let scheduled = jobs.iter().filter(|(_, job)| is_scheduled(job)).count();
    let sql = "SELECT count(*) FROM runs WHERE instr(key, '/') = 0";
    let runs = database.look(|connection| connection.query_row(sql, [], |row| row.get::<_, i64>(0))).await?;
    let definition = database.realm().await?;
    Ok(Counted { definition, jobs: jobs.len(), scheduled, runs: runs.cast_unsigned() })
}

/// Refuses a place where something is.
fn check_place(folder: &Path) -> Result<(), BackupError> {
    let taken = |why| Err(BackupError::Occupied { path: folder.to_owned(), why });
    match folder.symlink_metadata() {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(io_error("read", folder)(error)),
        Ok(found) if found.is_symlink() => return taken("is a link"),
        Ok(found) if !found.is_dir() => return taken("is not a folder"),
        Ok(_) => {}
    }
    if folder.join(STORE).symlink_metadata().is_ok() {
        return taken("holds a realm");
    }
    let mut inside = std::fs::read_dir(folder).map_err(io_error("read", folder))?;
    if inside.next().is_some() { taken("is not empty") } else { Ok(()) }
}

/// Refuses a store that is damaged, though it is the one that the archive has.
fn check_store(file: &Path, folder: &Path) -> Result<(), BackupError> {
    match look_through(folder, LOOK) {
        Integrity::Whole | Integrity::Unfinished => Ok(()),
        Integrity::Damaged(fault) | Integrity::Unreadable(fault) => {
            let why = format!("the store in it is not whole: {fault}");
            Err(BackupError::Damaged { path: file.to_owned(), why })
        }
    }
}

/// A folder in which a backup is unpacked: removed unless it is finished. A folder that is there already is left alone.
struct Staged {
    path: PathBuf,
    is_finished: bool,
}

impl Staged {
    fn claim(folder: &Path, now: Timestamp) -> Result<Self, BackupError> {
        let path = unused_name(folder, RESTORING, now)?;
        let failed = io_error("write", &path);
        if let Some(parent) = path.parent().filter(|parent| *parent != Path::new("")) {
            DirBuilder::new().recursive(true).mode(0o700).create(parent).map_err(&failed)?;
        }
        DirBuilder::new().mode(0o700).create(&path).map_err(&failed)?;
        Ok(Self { path, is_finished: false })
    }

    /// Gives it its name; a folder that got something in it meanwhile is left as it is.
    fn finish(mut self, folder: &Path) -> Result<(), BackupError> {
        check_place(folder)?;
        sync(&self.path)?;
        // A rename replaces an empty folder, and no other.
        std::fs::rename(&self.path, folder).map_err(io_error("name", folder))?;
        self.is_finished = true;
        folder.parent().map_or(Ok(()), sync)
    }
}

impl Drop for Staged {
    fn drop(&mut self) {
        if !self.is_finished {
            // `left_behind` reports a folder that stays.
            let _ = remove_tree(&self.path);
        }
    }
}

fn sync(folder: &Path) -> Result<(), BackupError> {
    let folder = if folder == Path::new("") { Path::new(".") } else { folder };
    File::open(folder).and_then(|folder| folder.sync_all()).map_err(io_error("write", folder))
}

/// Unpacks the files that are asked for. All are compared with the manifest a second time.
fn unpack(
    file: &Path,
    to: &Path,
    is_asked: &(dyn Fn(&BackedUpFile) -> bool + Sync),
    heard: ProgressListener<'_>,
) -> Result<Manifest, BackupError> {
    let mut put = |about: &BackedUpFile, content: &mut dyn Read| {
        if !is_asked(about) {
            return Ok(());
        }
        let target = to.join(&about.path);
        let failed = io_error("write", &target);
        if let Some(folder) = target.parent() {
            DirBuilder::new().recursive(true).mode(0o700).create(folder).map_err(&failed)?;
        }
        let made = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&target);
        let mut made = made.map_err(&failed)?;
        io::copy(content, &mut made).map_err(&failed)?;
        // The store's content reaches the disk before the folder has its name.
        if about.path == STORE { made.sync_all().map_err(&failed) } else { Ok(()) }
    };
    read(file, Stage::Restoring, heard, &mut put)
}

/// Has the whole realm stand still: also where it was paused, since a pause does not stop runs that have begun.
async fn hold(folder: &Path, by: String, now: Timestamp) -> Result<(), StoreError> {
    let opened = Database::open(&folder.join(STORE), folder, Durability::Full);
    let database = opened.map_err(|error| StoreError::unreachable(error.to_string()))?;
    let pauses = database.read_pauses().await?;
    let why = "restored from a backup: `pumice maintenance off` once the other is stopped".to_owned();
    let pause = Pause {
        scope: Scope::Realm,
        since: now,
        until: None,
        by: Some(by),
        why: Some(why),
        everything: true,
    };
    let written = database.write_pauses(&pauses.with(pause, now)).await;
    written.map_err(StoreError::from)?;
    database.empty_log().await
}
