//! Opens a realm, wherever it is kept.

use std::io::Read as _;
use std::sync::Arc;

use async_trait::async_trait;
use pumice_core::Timestamp;
use pumice_core::audit::{Actor, Origin};
use pumice_core::connection::{ConnectionStore, OpenedConnection, Secrets};
use pumice_core::ids::{RealmName, SecretName, WorkerName};
use pumice_core::job_type::{Registry, Site};
use pumice_core::ports::{
    AuditStore, BulkStore, Catalog, Clock, DeadLetters, JobStore, Random, RunStore, ScheduleStore,
    StateStore, StoreError, TriggerStore,
};
use pumice_core::secret::SecretText;
use pumice_job_runners::{Probe, test_connection};
use pumice_local::{Durability, FolderSecrets, Home, SystemClock, SystemRandom};
use pumice_service::connections::{Prober, TestConnection, Trial};
use pumice_service::doctor::Ground;
use pumice_service::runs::Outputs;
use pumice_service::secrets::Vault;
use pumice_service::{Error, Realm as _};

use crate::args::Global;
use crate::failure::{Failure, of_home, of_option};
use crate::ground::FolderGround;
use crate::printed::FolderOutputs;

/// A realm that commands look at and change.
pub(crate) struct Realm {
    place: Place,
    outputs: Box<dyn Outputs>,
    ground: Box<dyn Ground>,
    /// The secrets of a folder.
    vault: Option<FolderVault>,
    registry: Arc<Registry>,
}

/// Tests connections from this machine.
struct Connects;

#[async_trait]
impl Prober for Connects {
    async fn probe(&self, site: &Site, opened: &OpenedConnection, request: &TestConnection) -> Trial {
        let probe = Probe { target: request.target.clone(), send: request.send };
        let tried = test_connection(site, opened, &probe).await;
        Trial { tried: tried.what, failure: tried.failure }
    }
}

/// The secrets of a folder, for people.
struct FolderVault(FolderSecrets);

#[async_trait]
impl Vault for FolderVault {
    async fn list(&self) -> Result<Vec<(SecretName, Timestamp)>, StoreError> {
        let all = self.0.list().await?;
        Ok(all.into_iter().map(|entry| (entry.name, entry.updated)).collect())
    }

    async fn set(&self, name: &SecretName, value: SecretText, now: Timestamp) -> Result<bool, StoreError> {
        self.0.set(name, value, now).await
    }

    async fn delete(&self, name: &SecretName) -> Result<bool, StoreError> {
        self.0.delete(name).await
    }
}

/// Where a realm is.
enum Place {
    /// In a folder.
    Folder(Home),
    /// On AWS.
    #[cfg(feature = "aws")]
    Aws(Box<crate::aws::Remote>),
}

impl Realm {
    /// Opens the realm that the options name; makes a folder for it when `create`.
    pub(crate) async fn open(global: &Global, create: bool) -> Result<Self, Failure> {
        refuse_url(global)?;
        if global.is_aws() {
            return Self::on_aws(global).await;
        }
        let home = Home::open(&global.home, global.realm.as_ref(), create, Durability::Normal).await?;
        know_secrets(&home).await;
        Self::in_folder(reaching(home))
    }

    /// Opens the realm that the options name to look at it alone.
    pub(crate) async fn open_to_read(global: &Global) -> Result<Self, Failure> {
        refuse_url(global)?;
        if global.is_aws() {
            return Self::on_aws(global).await;
        }
        let home = Home::open_to_read(&global.home, global.realm.as_ref()).await?;
        know_secrets(&home).await;
        Self::in_folder(reaching(home))
    }

    /// The realm of a folder that is open.
    pub(crate) fn in_folder(home: Home) -> Result<Self, Failure> {
        let outputs = Box::new(FolderOutputs::new(home.path()));
        let ground = Box::new(FolderGround(home.path().to_owned()));
        let vault = Some(FolderVault(home.secrets().clone()));
        Ok(Self { place: Place::Folder(home), outputs, ground, vault, registry: registry()? })
    }

    #[cfg(feature = "aws")]
    async fn on_aws(global: &Global) -> Result<Self, Failure> {
        let remote = Box::new(crate::aws::Remote::connect(global, false).await?);
        let outputs = Box::new(crate::aws::BucketOutputs(remote.objects().clone()));
        let ground = Box::new(crate::ground::AwsGround(remote.realm().clone()));
        Ok(Self { place: Place::Aws(remote), outputs, ground, vault: None, registry: registry()? })
    }

    #[cfg(not(feature = "aws"))]
    #[expect(clippy::unused_async, reason = "it connects where it can")]
    async fn on_aws(_: &Global) -> Result<Self, Failure> {
        let message =
            "this pumice was built without AWS: build it with `cargo install --path cli --features aws`";
        Err(Failure::wrong(message))
    }

    /// Has this process know what to mask, as it is now.
    pub(crate) async fn know_secrets(&self) {
        match &self.place {
            Place::Folder(home) => know_secrets(home).await,
            #[cfg(feature = "aws")]
            Place::Aws(_) => {}
        }
    }

    /// The message when nothing starts a run.
    pub(crate) async fn unserved(&self) -> String {
        if let Ok(Some(since)) = self.stopping_since().await {
            let since = crate::view::local_time(since);
            return format!(
                "nothing has started yet: this folder's server is stopping since {since}, and begins nothing more"
            );
        }
        let serves = self.served_workers().await.unwrap_or_default();
        let question = match &self.place {
            Place::Folder(_) if !serves.is_empty() => {
                let names: Vec<&str> = serves.iter().map(WorkerName::as_str).collect();
                return format!(
                    "nothing has started yet: this folder's server serves {}; `pumice runs why` says what a run waits for",
                    names.join(", ")
                );
            }
            Place::Folder(_) => "is `pumice serve` running on this folder?",
            #[cfg(feature = "aws")]
            Place::Aws(_) => "is the function, or `pumice worker`, of the job's worker there?",
        };
        format!("nothing has started yet: {question}")
    }
}

/// Refuses to open a realm from here where a console is to be asked. Commands that cannot ask one say so themselves.
fn refuse_url(global: &Global) -> Result<(), Failure> {
    match global.url {
        None => Ok(()),
        Some(_) => Err(of_option("--url", "this needs the realm itself: name it with --home or --aws")),
    }
}

/// A folder whose connections can be tried from this process. Nothing is connected before it is needed.
fn reaching(home: Home) -> Home {
    let home = home.with_messaging(crate::outside::messaging()).with_servers(crate::outside::servers());
    match more_secrets() {
        Some(more) => home.with_secrets(more),
        None => home,
    }
}

/// Has this process know what to mask in what it prints: secrets, secure state items, and what the realm marks.
async fn know_secrets(home: &Home) {
    if let Ok(realm) = home.database().realm().await {
        pumice_core::secret::mark_names(&realm.settings.redact);
    }
    let secrets = home.secrets().remember_all().await;
    let items = home.database().remember_secure(SystemClock.now()).await;
    if let Err(error) = secrets.and(items) {
        tracing::error!(%error, "what is printed may have secrets that are not masked");
    }
}

/// Where secrets are looked for that are not in a folder: on AWS, where this program knows it.
pub(crate) fn more_secrets() -> Option<Arc<dyn Secrets>> {
    #[cfg(feature = "aws")]
    return Some(Arc::new(pumice_aws::AwsSecrets::found()));
    #[cfg(not(feature = "aws"))]
    None
}

/// Largest list of users that is read, in bytes.
const MAX_USERS: u64 = 1024 * 1024;

/// The user that this process has, by the operating system's list; and the user behind sudo.
pub(crate) fn user() -> String {
    let uid = rustix::process::getuid().as_raw();
    let mut users = String::new();
    let read = std::fs::File::open("/etc/passwd").map(|file| file.take(MAX_USERS).read_to_string(&mut users));
    let is_this = |line: &&str| line.split(':').nth(2) == Some(uid.to_string().as_str());
    let line = read.ok().and_then(|_| users.lines().find(is_this));
    let name = line.and_then(|line| line.split(':').next()).filter(|name| !name.is_empty());
    let name = name.map_or_else(|| format!("uid {uid}"), str::to_owned);
    match std::env::var("SUDO_USER") {
        Ok(by) if uid == 0 && !by.is_empty() && by != name => format!("{name} (sudo by {by})"),
        _ => name,
    }
}

/// The job types and actions of this program.
pub(crate) fn registry() -> Result<Arc<Registry>, Failure> {
    pumice_job_types::registry().map(Arc::new).map_err(|error| Failure::wrong(error.to_string()))
}

/// Gives a port of the realm, wherever it is.
macro_rules! port {
    ($name:ident, $port:ident) => {
        fn $name(&self) -> &dyn $port {
            match &self.place {
                Place::Folder(home) => home.database(),
                #[cfg(feature = "aws")]
                Place::Aws(remote) => remote.store(),
            }
        }
    };
}

#[async_trait]
impl pumice_service::Realm for Realm {
    port!(catalog, Catalog);
    port!(jobs, JobStore);
    port!(runs, RunStore);
    port!(schedules, ScheduleStore);
    port!(state, StateStore);
    port!(triggers, TriggerStore);
    port!(connections, ConnectionStore);
    port!(bulk, BulkStore);
    port!(audit, AuditStore);

    fn name(&self) -> &RealmName {
        match &self.place {
            Place::Folder(home) => home.realm(),
            #[cfg(feature = "aws")]
            Place::Aws(remote) => remote.name(),
        }
    }

    fn dead_letters(&self) -> &dyn DeadLetters {
        match &self.place {
            Place::Folder(home) => home.database(),
            #[cfg(feature = "aws")]
            Place::Aws(remote) => remote.realm().queues(),
        }
    }

    fn prober(&self) -> &dyn Prober {
        &Connects
    }

    fn vault(&self) -> Option<&dyn Vault> {
        match &self.place {
            Place::Folder(_) => self.vault.as_ref().map(|vault| vault as &dyn Vault),
            #[cfg(feature = "aws")]
            Place::Aws(_) => None,
        }
    }

    fn outputs(&self) -> &dyn Outputs {
        &*self.outputs
    }

    fn registry(&self) -> &Arc<Registry> {
        &self.registry
    }

    fn random(&self) -> &dyn Random {
        &SystemRandom
    }

    fn now(&self) -> Timestamp {
        SystemClock.now()
    }

    fn ground(&self) -> Option<&dyn Ground> {
        Some(&*self.ground)
    }

    fn is_served(&self) -> Option<bool> {
        match &self.place {
            Place::Folder(home) => Some(home.is_served()),
            #[cfg(feature = "aws")]
            Place::Aws(_) => None,
        }
    }

    async fn served_workers(&self) -> Result<Vec<WorkerName>, Error> {
        match &self.place {
            Place::Folder(home) => Ok(home.served_workers().await?),
            #[cfg(feature = "aws")]
            Place::Aws(_) => Ok(Vec::new()),
        }
    }

    async fn stopping_since(&self) -> Result<Option<Timestamp>, Error> {
        match &self.place {
            Place::Folder(home) => Ok(home.stopping_since().await?),
            #[cfg(feature = "aws")]
            Place::Aws(_) => Ok(None),
        }
    }

    fn is_aws(&self) -> bool {
        !matches!(self.place, Place::Folder(_))
    }

    fn aws_region(&self) -> Option<String> {
        match &self.place {
            Place::Folder(_) => None,
            #[cfg(feature = "aws")]
            Place::Aws(remote) => remote.region().map(str::to_owned),
        }
    }

    async fn actor(&self) -> Result<Actor, Error> {
        let host = Some(rustix::system::uname().nodename().to_string_lossy().into_owned());
        let who = match &self.place {
            Place::Folder(_) => user(),
            #[cfg(feature = "aws")]
            Place::Aws(remote) => match remote.caller().await {
                Ok(arn) => arn,
                // The user of this machine is known all the same.
                Err(error) => format!("{} (AWS did not tell the ARN: {error})", user()),
            },
        };
        Ok(Actor { who, from: Origin::Cli, host })
    }

    async fn site(&self) -> Result<Arc<Site>, Error> {
        match &self.place {
            Place::Folder(home) => home.site().await.map_err(of_home),
            #[cfg(feature = "aws")]
            Place::Aws(remote) => Ok(remote.site().await?),
        }
    }
}

impl std::fmt::Debug for Realm {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("Realm").field(self.name()).finish()
    }
}
