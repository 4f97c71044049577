//! A realm's folder: its store, its objects, the place where its jobs work.

use std::ffi::OsString;
use std::fs::{DirBuilder, File, OpenOptions};
use std::io::{Read, Seek, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use pumice_core::Timestamp;
use pumice_core::connection::{CachedSecrets, Secrets};
use pumice_core::ids::{RealmName, WorkerName};
use pumice_core::job_type::Site;
use pumice_core::ports::{Catalog, JobStore, Messaging, Ports, Servers, StoreError, WITHOUT_AWS};
use pumice_core::problem::SpecError;
use pumice_core::secret::mark_names;
use pumice_host::processes::kill_leftovers;
use pumice_host::{DiskWorkspaces, Pool, SystemClock, SystemRandom, Web, remove_tree};
use pumice_template::{UnknownZone, Zone};
use serde_json::json;

use crate::aftermath::{self, Log};
use crate::database::{Database, Durability, OpenError};
use crate::lost;
use crate::objects::Folders;
use crate::presence::{self, Presence};
use crate::secrets::{FolderSecrets, is_of_secrets};

/// The file of a realm's store, in its folder.
pub(crate) const STORE: &str = "pumice.db";
/// The file that the process which serves the folder has locked.
pub(crate) const LOCK: &str = "lock";
/// The folder for what passes with each command, in a realm's folder.
pub(crate) const SCRATCH: &str = "scratch";
/// The folder for the directories that the steps of a run share, in a realm's folder.
pub(crate) const WORK: &str = "work";
/// The name of a realm when none is given.
const DEFAULT_REALM: &str = "local";

/// How long to wait for the lock of a folder, and how long between two tries.
const LOCK_PATIENCE: Duration = Duration::from_secs(1);
const LOCK_PAUSE: Duration = Duration::from_millis(20);

/// A folder that cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum HomeError {
    /// The folder cannot be made or entered.
    #[error("cannot use the folder {path}: {error}")]
    Folder {
        /// The folder.
        path: PathBuf,
        /// Why.
        error: std::io::Error,
    },
    /// There is no realm in the folder.
    #[error("there is no realm in {0}: apply job specs first")]
    Missing(PathBuf),
    /// The store's file holds nothing.
    #[error(
        "{0} is empty: it was a realm's store, or was to become one; put a copy of it in its place, or remove it to begin anew"
    )]
    Empty(PathBuf),
    /// The log of the store is gone.
    #[error(
        "{log} is gone, and with it what was written last, since the process that served {} ended by force; put it back, or a copy of the folder, or remove {} to go on without it",
        path.display(), path.join(LOCK).display()
    )]
    LogGone {
        /// The folder.
        path: PathBuf,
        /// The log's file.
        log: PathBuf,
    },
    /// The folder holds another realm.
    #[error("{path} holds realm {found}, not {wanted}")]
    OtherRealm {
        /// The folder.
        path: PathBuf,
        /// The realm that it holds.
        found: RealmName,
        /// The one that was asked for.
        wanted: RealmName,
    },
    /// The store cannot be opened.
    #[error(transparent)]
    Open(#[from] OpenError),
    /// A setting in the environment is wrong.
    #[error("invalid environment variable: {0}")]
    Environment(#[source] SpecError),
    /// The zone that `TZ` names is not known.
    #[error(transparent)]
    Zone(#[from] UnknownZone),
    /// The store cannot be reached.
    #[error("{0}")]
    Store(#[from] StoreError),
}

/// Another process works on the folder.
#[derive(Debug, thiserror::Error)]
#[error("another pumice process serves {}{}; stop it first, or use another folder", path.display(), of_workers(workers))]
pub struct InUse {
    path: PathBuf,
    /// The workers that it serves; none means all, or that it is not known.
    workers: Vec<WorkerName>,
}

fn of_workers(workers: &[WorkerName]) -> String {
    let names: Vec<&str> = workers.iter().map(WorkerName::as_str).collect();
    let plural = if names.len() == 1 { "" } else { "s" };
    if names.is_empty() { String::new() } else { format!(" for worker{plural} {}", names.join(", ")) }
}

/// Says what stands in the way of a folder, where the system would speak of something else.
fn check_folder(path: &Path) -> Result<(), HomeError> {
    let unusable = |why: &str| {
        Err(HomeError::Folder { path: path.to_owned(), error: std::io::Error::other(why.to_owned()) })
    };
    match path.metadata() {
        Ok(found) if !found.is_dir() => unusable("it is a file, not a folder"),
        Err(_) if path.is_symlink() => unusable("it is a link that leads nowhere"),
        _ => Ok(()),
    }
}

/// A realm in a folder.
#[derive(Clone)]
pub struct Home {
    path: PathBuf,
    realm: RealmName,
    database: Database,
    secrets: FolderSecrets,
    messaging: Arc<dyn Messaging>,
    servers: Servers,
}

impl std::fmt::Debug for Home {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Home").field("path", &self.path).field("realm", &self.realm).finish_non_exhaustive()
    }
}

/// Opens a file, made for this user alone where it is not there.
fn private_file(path: &Path) -> std::io::Result<File> {
    OpenOptions::new().read(true).write(true).create(true).truncate(false).mode(0o600).open(path)
}

/// The right to run jobs of a folder; given up when dropped.
#[derive(Debug)]
pub struct ServeLock {
    file: File,
    after_unclean_end: bool,
}

/// What the lock's file begins with while a process serves the folder, and once another has opened it after an unclean end.
const SERVED: &[u8] = b"served";
const LEFT: &[u8] = b"left";

/// The lock of a folder that a process served which ended by force.
struct LeftByForce {
    file: File,
    /// When that process began to serve it.
    since: String,
}

/// The lock's file of a folder, locked, where the process that served it last ended by force.
fn after_force(path: &Path) -> Option<LeftByForce> {
    // Most ended otherwise: they need not be locked out for a moment.
    let mark = || std::fs::read(path.join(LOCK)).ok().filter(|mark| mark.starts_with(SERVED));
    mark()?;
    let file = OpenOptions::new().read(true).write(true).open(path.join(LOCK)).ok()?;
    file.try_lock().ok()?;
    let since = String::from_utf8_lossy(&mark()?[SERVED.len()..]).trim().to_owned();
    Some(LeftByForce { file, since })
}

/// Looks after an unclean end at the log of the store, which SQLite would not miss. Tells whether it is gone.
fn is_log_gone(store: &Path) -> bool {
    match aftermath::log_of(store) {
        Ok(log) => {
            if let Log::Torn(pages) = log {
                tracing::error!(
                    pages,
                    "the end of the store's log cannot be read: what was written last is lost"
                );
            }
            log == Log::Gone
        }
        Err(error) => {
            tracing::warn!(%error, "the store's log could not be looked through");
            false
        }
    }
}

/// What a log that is gone means: its beginning is in the store where somebody put it there, as whoever closes the store
/// last does.
async fn check_log_gone(
    path: &Path,
    store: &Path,
    since: &str,
    database: &Database,
) -> Result<(), HomeError> {
    let log = store.with_extension("db-wal");
    if !since.is_empty() && database.served_since().await?.as_deref() != Some(since) {
        return Err(HomeError::LogGone { path: path.to_owned(), log });
    }
    tracing::warn!(log = %log.display(), "the store's log is gone since the process that served it ended by force: what was written last is lost, unless another program put it into the store");
    Ok(())
}

fn write_mark(file: &mut File, mark: &[u8], since: &str) -> std::io::Result<()> {
    file.rewind()?;
    file.set_len(0)?;
    file.write_all(&[mark, b" ", since.as_bytes()].concat())
}

impl ServeLock {
    fn new(mut file: File, since: &str) -> std::io::Result<Self> {
        let mut before = Vec::new();
        file.read_to_end(&mut before)?;
        write_mark(&mut file, SERVED, since)?;
        Ok(Self { file, after_unclean_end: before.starts_with(SERVED) || before.starts_with(LEFT) })
    }

    /// Gives it up at the end of a process that put everything in order.
    fn end(self) {
        if let Err(error) = self.file.set_len(0) {
            tracing::debug!(%error, "the next start takes this end for an unclean one");
        }
    }
}

impl Home {
    /// Opens a folder, making it and its realm when `create`.
    ///
    /// # Errors
    /// [`HomeError`] when the folder or its store cannot be used, or it holds another realm.
    pub async fn open(
        path: &Path,
        realm: Option<&RealmName>,
        create: bool,
        durability: Durability,
    ) -> Result<Self, HomeError> {
        check_folder(path)?;
        let file = path.join(STORE);
        match std::fs::metadata(&file) {
            Err(_) if !create => return Err(HomeError::Missing(path.to_owned())),
            Ok(found) if found.len() == 0 => return Err(HomeError::Empty(file)),
            _ => {}
        }
        let folder = |error| HomeError::Folder { path: path.to_owned(), error };
        DirBuilder::new().recursive(true).mode(0o700).create(path).map_err(folder)?;
        let path = path.canonicalize().map_err(folder)?;
        // SQLite gives its other files the rights of this one. One that is there is not opened: closing it again would
        // drop the locks that this process may have on it (fcntl(2)).
        match OpenOptions::new().write(true).create_new(true).mode(0o600).open(&file) {
            Err(error) if error.kind() != std::io::ErrorKind::AlreadyExists => return Err(folder(error)),
            _ => {}
        }
        let left = after_force(&path);
        let gone = left.is_some() && is_log_gone(&file);
        let database = Database::open(&file, &path, durability)?;
        if let Some(mut left) = left {
            if gone {
                check_log_gone(&path, &file, &left.since, &database).await?;
            }
            // SQLite puts the log into the store when the last one closes it, and removes it.
            write_mark(&mut left.file, LEFT, "").map_err(folder)?;
        }
        let found = database.realm_document().await?;
        if found.is_none() {
            let name = realm.map_or(DEFAULT_REALM, RealmName::as_str);
            let document = json!({ "realm": name });
            database.put_realm(document.as_object().cloned().unwrap_or_default()).await?;
            database.put_log_away().await?;
        }
        Self::holding(path, realm, database).await
    }

    /// Opens a folder to read from it: nothing in it is written, and nothing waits for a process that writes.
    ///
    /// # Errors
    /// [`HomeError`] when there is no realm in the folder, it cannot be read, or it holds another realm.
    pub async fn open_to_read(path: &Path, realm: Option<&RealmName>) -> Result<Self, HomeError> {
        let file = path.join(STORE);
        check_folder(path)?;
        match std::fs::metadata(&file) {
            Err(_) => return Err(HomeError::Missing(path.to_owned())),
            Ok(found) if found.len() == 0 => return Err(HomeError::Empty(file)),
            Ok(_) => {}
        }
        let path = path.canonicalize().map_err(|error| HomeError::Folder { path: path.to_owned(), error })?;
        // Who may not lock the folder cannot tell.
        let gone = after_force(&path).filter(|_| is_log_gone(&file));
        let database = Database::open_to_read(&file, &path)?;
        if let Some(left) = gone {
            check_log_gone(&path, &file, &left.since, &database).await?;
        }
        Self::holding(path, realm, database).await
    }

    async fn holding(
        path: PathBuf,
        realm: Option<&RealmName>,
        database: Database,
    ) -> Result<Self, HomeError> {
        let found = database.realm().await?.fields.realm.clone();
        if let Some(wanted) = realm.filter(|wanted| **wanted != found) {
            return Err(HomeError::OtherRealm { path, found, wanted: wanted.clone() });
        }
        let secrets = FolderSecrets::new(&path, None);
        let messaging = Arc::new(WITHOUT_AWS);
        Ok(Self { path, realm: found, database, secrets, messaging, servers: Servers::default() })
    }

    /// The same, which looks for secrets that are not in the folder in `more`.
    #[must_use]
    pub fn with_secrets(self, more: Arc<dyn Secrets>) -> Self {
        Self { secrets: FolderSecrets::new(&self.path, Some(more)), ..self }
    }

    /// The realm's secrets.
    #[must_use]
    pub fn secrets(&self) -> &FolderSecrets {
        &self.secrets
    }

    /// The same, whose jobs and actions reach topics, queues, event buses and functions by this way.
    #[must_use]
    pub fn with_messaging(self, messaging: Arc<dyn Messaging>) -> Self {
        Self { messaging, ..self }
    }

    /// The same, whose jobs and actions reach other servers by this way.
    #[must_use]
    pub fn with_servers(self, servers: Servers) -> Self {
        Self { servers, ..self }
    }

    /// Whether a process serves the folder, as far as this one may see.
    #[must_use]
    pub fn is_served(&self) -> bool {
        let Ok(file) = File::open(self.path.join(LOCK)) else { return false };
        // It is let go at once; one that starts to serve meanwhile tries again.
        matches!(file.try_lock_shared(), Err(std::fs::TryLockError::WouldBlock))
    }

    /// The workers that the process serves which serves the folder. None where it serves all, or there is no such process.
    ///
    /// # Errors
    /// [`StoreError`] when the store cannot be read.
    pub async fn served_workers(&self) -> Result<Vec<WorkerName>, StoreError> {
        if self.is_served() { self.database.served_workers().await } else { Ok(Vec::new()) }
    }

    /// The folder.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The realm's name.
    #[must_use]
    pub fn realm(&self) -> &RealmName {
        &self.realm
    }

    /// The store.
    #[must_use]
    pub fn database(&self) -> &Database {
        &self.database
    }

    /// Where work directories are that end with their invocation.
    #[must_use]
    pub fn scratch(&self) -> PathBuf {
        self.path.join(SCRATCH)
    }

    /// Where the directories that the steps of a run share are kept until it has ended.
    fn work(&self) -> PathBuf {
        self.path.join(WORK)
    }

    /// Takes the right to run jobs of this folder, and clears up after a process that had it and
    /// is gone: its commands are killed, its claims given up, its work directories removed.
    ///
    /// # Errors
    /// The inner error is [`InUse`] when another process has it.
    pub async fn lock(&self, now: Timestamp) -> Result<Result<ServeLock, InUse>, HomeError> {
        self.lock_for(now, &[]).await
    }

    /// The same for a process that serves these workers only, as others see then; none means all.
    ///
    /// # Errors
    /// As [`Self::lock`].
    pub async fn lock_for(
        &self,
        now: Timestamp,
        workers: &[WorkerName],
    ) -> Result<Result<ServeLock, InUse>, HomeError> {
        let folder = |error| HomeError::Folder { path: self.path.clone(), error };
        let file = private_file(&self.path.join(LOCK)).map_err(folder)?;
        let began = std::time::Instant::now();
        loop {
            match file.try_lock() {
                Ok(()) => break,
                // A process that was just killed may leave a child that has yet to become its command,
                // and holds the lock until it does.
                Err(std::fs::TryLockError::WouldBlock) if began.elapsed() < LOCK_PATIENCE => {
                    tokio::time::sleep(LOCK_PAUSE).await;
                }
                Err(std::fs::TryLockError::WouldBlock) => {
                    let workers = self.database.served_workers().await.unwrap_or_default();
                    return Ok(Err(InUse { path: self.path.clone(), workers }));
                }
                Err(std::fs::TryLockError::Error(error)) => return Err(folder(error)),
            }
        }
        // While it is served there is a log with something in it.
        let since = now.to_rfc3339();
        self.database.begin_log(since.clone(), workers).await?;
        let killed = kill_leftovers(&self.scratch()).await;
        let recovered = self.database.recover(now).await?;
        if killed + recovered > 0 {
            tracing::info!(killed, recovered, "took over from a process that is gone");
        }
        if let Err(error) = lost::put_aside(&self.path) {
            tracing::warn!(%error, "cannot keep what commands printed whose worker is gone");
        }
        // Each invocation has a directory of its own name: one that stays is in the way of no other.
        if let Err(error) = remove_tree(&self.scratch()) {
            tracing::warn!(%error, "cannot remove old work directories");
        }
        DirBuilder::new().recursive(true).mode(0o700).create(self.scratch()).map_err(folder)?;
        ServeLock::new(file, &since).map(Ok).map_err(folder)
    }

    /// Ends serving the folder, once everything is in order.
    pub async fn end(&self, lock: ServeLock) {
        lock.end();
        if let Err(error) = self.database.put_log_away().await {
            tracing::debug!(%error, "the store's log is put into it by the next one");
        }
    }

    /// Returns what is wrong with the realm's files as soon as something is, while this process serves them.
    pub async fn fault(&self, lock: &ServeLock) -> StoreError {
        let (presence, check) = (Presence::of(&self.path), lock.after_unclean_end);
        StoreError::new(presence::fault(presence, self.database.clone(), check).await)
    }

    /// Where an engine on this folder runs.
    ///
    /// # Errors
    /// [`HomeError`] when the realm's definition cannot be read, or a setting in the environment is wrong.
    pub async fn site(&self) -> Result<Arc<Site>, HomeError> {
        let realm = self.database.realm().await?;
        let environment = |name: &str| std::env::var(name).ok();
        let settings =
            realm.settings.clone().with_environment(&environment).map_err(HomeError::Environment)?;
        // What decrypts the realm's secrets, or is one, is not a command's.
        let commands: Vec<(OsString, OsString)> =
            std::env::vars_os().filter(|(name, _)| !is_of_secrets(name)).collect();
        mark_names(&settings.redact);
        if let Err(error) = self.secrets.remember_all().await {
            tracing::error!(%error, "secrets that are not used by name are not masked");
        }
        let clock = Arc::new(SystemClock);
        let secrets = CachedSecrets::new(Arc::new(self.secrets.clone()), clock.clone());
        let database = Arc::new(self.database.clone());
        Ok(Arc::new(Site {
            realm: self.realm.clone(),
            settings,
            zone: Zone::checked_system()?,
            hostname: rustix::system::uname().nodename().to_string_lossy().into_owned(),
            alone: true,
            scratch: self.scratch(),
            shared: Some(self.work()),
            environment: commands,
            // Commands get the whole environment of the process.
            credentials: Vec::new(),
            ports: Ports {
                jobs: database.clone(),
                runs: database.clone(),
                schedules: database.clone(),
                state: database.clone(),
                connections: database.clone(),
                secrets: Arc::new(secrets),
                queue: database,
                // The sweeper comes every second: no run needs another way.
                scheduler: None,
                hosts: None,
                lava_events: None,
                objects: Arc::new(Folders::new(&self.path)),
                http: Arc::new(Web::default()),
                messaging: self.messaging.clone(),
                servers: self.servers.clone(),
                clock,
                random: Arc::new(SystemRandom),
                pool: Arc::new(Pool::default()),
                workspaces: Arc::new(DiskWorkspaces),
            },
        }))
    }
}
