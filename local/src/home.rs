//! A realm's folder: its store, its objects, the place where its jobs work.

use std::ffi::OsString;
use std::fs::{DirBuilder, File, OpenOptions};
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
use pumice_host::{DiskWorkspaces, OwnFolder, SystemClock, SystemRandom, ThreadPool, Web, remove_tree};
use pumice_template::{UnknownZone, Zone};
use serde_json::json;

use crate::database::{Database, Durability, OpenError};
use crate::lock::{HeldLock, ServeLock, check_files, is_locked};
use crate::lost;
use crate::objects::Folders;
use crate::presence;
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
    /// The store's file is a folder, or something else that is not a file.
    #[error("{0} is not a regular file, as a realm's store is: move it away, or use another folder")]
    NotAFile(PathBuf),
    /// The log of the store is gone.
    #[error(
        "{log} is gone or is another one, and with it what was written last, since the process that served {} ended by force; put it back, or a copy of the folder, or remove {} to go on without it",
        path.display(), path.join(LOCK).display()
    )]
    LogGone {
        /// The folder.
        path: PathBuf,
        /// The log's file.
        log: PathBuf,
    },
    /// The store's file is another store than the one that was served, whose log is next to it.
    #[error(
        "{store} is another store, or an earlier copy of the one that was served, since the process that served {} ended by force; put that one back, or a copy of the folder, or remove {} and {} to go on with this one",
        path.display(), path.join(LOCK).display(), store.with_extension("db-wal").display()
    )]
    OtherStore {
        /// The folder.
        path: PathBuf,
        /// The store's file.
        store: PathBuf,
    },
    /// A file of the store is not the one that the process has open which serves the folder.
    #[error("{0}: nothing is accepted until the realm is served anew, with `pumice serve`")]
    Replaced(String),
    /// Another process serves the folder.
    #[error("another pumice process serves {}{}; stop it first, or use another folder", path.display(), of_workers(workers))]
    InUse {
        /// The folder.
        path: PathBuf,
        /// The workers that it serves; none means all, or that it is not known.
        workers: Vec<WorkerName>,
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

/// Whether there is a file of a store; an error where that cannot be one.
fn check_store(file: &Path) -> Result<bool, HomeError> {
    use std::io::ErrorKind::{NotADirectory, NotFound};
    match std::fs::metadata(file) {
        Ok(found) if !found.is_file() => Err(HomeError::NotAFile(file.to_owned())),
        Ok(found) if found.len() == 0 => Err(HomeError::Empty(file.to_owned())),
        Ok(_) => Ok(true),
        Err(error) if matches!(error.kind(), NotFound | NotADirectory) => Ok(false),
        Err(error) => {
            let folder = file.parent().unwrap_or(file);
            Err(HomeError::Folder { path: folder.to_owned(), error })
        }
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
        if !check_store(&file)? && !create {
            return Err(HomeError::Missing(path.to_owned()));
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
        let left = check_files(&path, &file).await?;
        let database = Database::open(&file, &path, durability)?;
        if let Some(left) = left {
            // SQLite puts the log into the store when the last one closes it, and removes it.
            left.forget().map_err(folder)?;
        }
        let found = database.realm_document().await?;
        if found.is_none() {
            let name = realm.map_or(DEFAULT_REALM, RealmName::as_str);
            let document = json!({ "realm": name });
            database.put_realm(document.as_object().cloned().unwrap_or_default()).await?;
            database.empty_log().await?;
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
        if !check_store(&file)? {
            return Err(HomeError::Missing(path.to_owned()));
        }
        let path = path.canonicalize().map_err(|error| HomeError::Folder { path: path.to_owned(), error })?;
        check_files(&path, &file).await?;
        let database = Database::open_to_read(&file, &path)?;
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
        is_locked(&self.path)
    }

    /// The workers that the process serves which serves the folder. None where it serves all, or no process serves the folder.
    ///
    /// # Errors
    /// [`StoreError`] when the store cannot be read.
    pub async fn served_workers(&self) -> Result<Vec<WorkerName>, StoreError> {
        if self.is_served() { self.database.served_workers().await } else { Ok(Vec::new()) }
    }

    /// Since when the process that serves the folder is stopping; `None` where it is not, or no process serves the folder.
    ///
    /// # Errors
    /// [`StoreError`] when the store cannot be read.
    pub async fn stopping_since(&self) -> Result<Option<Timestamp>, StoreError> {
        if self.is_served() { self.database.stopping_since().await } else { Ok(None) }
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
    /// [`HomeError::InUse`] when another process has it, or the folder cannot be used.
    pub async fn lock(&self, now: Timestamp) -> Result<ServeLock, HomeError> {
        self.lock_for(now, &[]).await
    }

    /// The same for a process that serves these workers only, as others see then; none means all.
    ///
    /// # Errors
    /// As [`Self::lock`].
    pub async fn lock_for(&self, now: Timestamp, workers: &[WorkerName]) -> Result<ServeLock, HomeError> {
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
                    return Err(HomeError::InUse { path: self.path.clone(), workers });
                }
                Err(std::fs::TryLockError::Error(error)) => return Err(folder(error)),
            }
        }
        let held = HeldLock::new(file).map_err(folder)?;
        // While it is served there is a log with something in it.
        let since = now.to_rfc3339();
        self.database.begin_serving(since.clone()).await?;
        self.database.begin_log(since.clone(), workers).await?;
        let killed = kill_leftovers(&self.scratch()).await;
        let recovered = self.database.recover(now).await?;
        if killed + recovered > 0 {
            tracing::info!(killed, recovered, "took over from a process that is gone");
        }
        if let Err(error) = lost::keep_outputs(&self.path) {
            tracing::warn!(%error, "cannot keep what commands printed whose worker is gone");
        }
        // Each invocation has a directory of its own name: one that stays is in the way of no other.
        if let Err(error) = remove_tree(&self.scratch()) {
            tracing::warn!(%error, "cannot remove old work directories");
        }
        OwnFolder::make(&self.path, &self.scratch()).map_err(folder)?;
        let lock = held.serve(&self.path, &since).map_err(folder)?;
        self.database.held().serve();
        Ok(lock)
    }

    /// Ends serving the folder, once everything is in order.
    ///
    /// # Errors
    /// [`StoreError`] when the realm's files are not those that were served: what was written last may be lost.
    pub async fn end(&self, lock: ServeLock) -> Result<(), StoreError> {
        lock.end()?;
        if let Err(error) = self.database.empty_log().await {
            tracing::debug!(%error, "the store's log is put into it by the next one");
        }
        Ok(())
    }

    /// Returns what is wrong with the realm's files as soon as something is, while this process serves them.
    pub async fn fault(&self, lock: &ServeLock) -> StoreError {
        let (presence, check) = (lock.presence(), lock.is_after_unclean_end());
        StoreError::corrupt(presence::fault(presence, self.database.clone(), check).await)
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
        // Commands get no secret, and no key of the secrets.
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
                wake_ups: None,
                hosts: None,
                lava_events: None,
                objects: Arc::new(Folders::new(&self.path)),
                http: Arc::new(Web::default()),
                messaging: self.messaging.clone(),
                servers: self.servers.clone(),
                clock,
                random: Arc::new(SystemRandom),
                pool: Arc::new(ThreadPool::default()),
                workspaces: Arc::new(DiskWorkspaces),
            },
        }))
    }
}
