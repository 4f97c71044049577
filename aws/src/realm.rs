//! A realm on AWS, as one thing: its store, its queues, its objects.

use std::ffi::OsString;
use std::path::PathBuf;
use std::sync::Arc;

use aws_config::SdkConfig;
use pumice_core::Timestamp;
use pumice_core::connection::{CachedSecrets, NoSecrets, Secrets};
use pumice_core::job_type::Site;
use pumice_core::ports::{
    Catalog, Http, JobStore, Messaging, NoHttp, NoMessaging, Ports, Servers, StoreError, StoreErrorKind,
    WakeUps,
};
use pumice_host::{DiskWorkspaces, SystemClock, SystemRandom, ThreadPool};
use pumice_template::Zone;

use crate::connect::Clients;
use crate::function::BadEnvironment;
use crate::names::Names;
use crate::objects::Objects;
use crate::outside::Outside;
use crate::queue::Queues;
use crate::secrets::AwsSecrets;
use crate::signing::Signing;
use crate::skew::{Skew, WatchedClock};
use crate::store::Store;
use crate::wake_ups::Schedules;

/// A realm on AWS.
#[derive(Clone)]
pub struct Realm {
    store: Store,
    queues: Queues,
    objects: Objects,
    skew: Skew,
    wake_ups: Option<Arc<dyn WakeUps>>,
    secrets: Option<Arc<dyn Secrets>>,
    http: Arc<dyn Http>,
    messaging: Arc<dyn Messaging>,
    servers: Servers,
}

/// The messaging of a process that runs no jobs.
const NOTHING: NoMessaging = NoMessaging { why: "this process runs no jobs" };

impl std::fmt::Debug for Realm {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Realm({:?})", self.store.names)
    }
}

/// The host that an engine runs on.
#[derive(Clone, Debug)]
pub struct EngineHost {
    /// Its name, as records show it.
    pub name: String,
    /// Where work directories are made.
    pub scratch: PathBuf,
    /// The environment of commands.
    pub environment: Vec<(OsString, OsString)>,
    /// The variables that commands get in addition when their job asks for AWS credentials.
    pub credentials: Vec<(OsString, OsString)>,
}

impl Realm {
    /// A realm by its names. `urls` is what the URLs of its queues begin with, if that is known.
    #[must_use]
    pub fn new(clients: &Clients, names: &Names, urls: Option<&str>) -> Self {
        let objects = Objects::new(clients.s3.clone());
        Self {
            store: Store::new(clients.dynamodb.clone(), names.clone(), objects.clone()),
            queues: Queues::new(clients.sqs.clone(), names.clone(), Arc::new(SystemClock), urls),
            objects,
            skew: clients.skew.clone(),
            wake_ups: None,
            secrets: None,
            http: Arc::new(NoHttp),
            messaging: Arc::new(NOTHING),
            servers: Servers::default(),
        }
    }

    /// The same with a schedule for each run that is due later than a queue holds a message, if the
    /// environment names a group for them: see [`Schedules::from_environment`].
    ///
    /// # Errors
    /// [`BadEnvironment`] naming the variable that is missing or invalid.
    pub fn with_schedules(
        mut self,
        config: &SdkConfig,
        variable: &dyn Fn(&str) -> Option<String>,
    ) -> Result<Self, BadEnvironment> {
        // Kept behind its port, so that a program that never calls this is built without a client
        // of Scheduler.
        if let Some(schedules) = Schedules::from_environment(config, &self.store.names, variable)? {
            self.wake_ups = Some(Arc::new(schedules));
        }
        let unwatched = variable("PUMICE_JOBS_UNWATCHED").is_some_and(|text| text == "true");
        self.store = self.store.with_unwatched_jobs(unwatched);
        Ok(self)
    }

    /// The same, which signs what runs use with the key of the environment, and runs only what is signed by it: for
    /// functions. Without a key nothing is signed, and nothing that is signed is run.
    ///
    /// # Errors
    /// [`BadEnvironment`] naming the variable that is invalid, or the key that is missing where the environment says
    /// that unsigned runs are refused.
    pub fn with_signing(mut self, variable: &dyn Fn(&str) -> Option<String>) -> Result<Self, BadEnvironment> {
        self.store = self.store.with_signing(Signing::from_environment(variable)?);
        Ok(self)
    }

    /// The same for people and processes, which look the key up in the realm's secret if the environment has none. A
    /// process that runs no jobs shows what it reads, whatever its signature.
    ///
    /// # Errors
    /// [`BadEnvironment`] naming the variable that is invalid.
    pub fn with_signing_secret(
        mut self,
        config: &SdkConfig,
        runs_jobs: bool,
        variable: &dyn Fn(&str) -> Option<String>,
    ) -> Result<Self, BadEnvironment> {
        let signing = Signing::with_secret(config, self.store.names.signing_secret(), variable)?;
        let signing = if runs_jobs { signing } else { signing.for_people() };
        self.store = self.store.with_signing(signing);
        Ok(self)
    }

    /// Looks for the key with which runs are signed, before the first run. Where there is none, gives a warning.
    ///
    /// # Errors
    /// [`StoreError`] when there is none and the environment says that unsigned runs are refused, or the secret cannot
    /// be read.
    pub async fn look_for_signing_key(&self) -> Result<Option<String>, StoreError> {
        self.store.signing.look_for_key().await
    }

    /// The same with secrets, for a process that runs jobs. A program that never calls this is
    /// built without clients for them.
    #[must_use]
    pub fn with_secrets(mut self, config: &SdkConfig) -> Self {
        let secrets = Arc::new(AwsSecrets::new(config.clone()));
        self.secrets = Some(Arc::new(CachedSecrets::new(secrets, Arc::new(SystemClock))));
        self
    }

    /// The same, for a process that runs jobs: with requests to servers of the web and others, and with topics, queues,
    /// buses and functions. A program that never calls this is built without clients for them.
    #[must_use]
    pub fn with_outside(mut self, config: &SdkConfig, http: Arc<dyn Http>, servers: Servers) -> Self {
        self.messaging = Arc::new(Outside::new(config.clone()));
        self.queues = self.queues.with_messaging(self.messaging.clone());
        (self.http, self.servers) = (http, servers);
        self
    }

    /// The same, for people: see [`Store::with_hints`].
    #[must_use]
    pub fn with_hints(mut self) -> Self {
        self.store = self.store.with_hints();
        self
    }

    /// The same with the bucket that it was deployed with: see [`Store::with_bucket`].
    #[must_use]
    pub fn with_bucket(mut self, bucket: Option<String>) -> Self {
        self.store = self.store.with_bucket(bucket);
        self
    }

    /// Its tables.
    #[must_use]
    pub fn store(&self) -> &Store {
        &self.store
    }

    /// Whether the realm is still empty: it has tables, no document, and no run that is to be looked at some time. After a
    /// restore without the document it has runs.
    pub async fn is_untouched(&self) -> bool {
        let document = self.store.realm_document().await;
        matches!(document, Ok(None)) && matches!(self.store.has_due(Timestamp::MAX_UTC).await, Ok(false))
    }

    /// Its queues.
    #[must_use]
    pub fn queues(&self) -> &Queues {
        &self.queues
    }

    /// Its objects, to be read.
    #[must_use]
    pub fn objects(&self) -> &Objects {
        &self.objects
    }

    /// Where an engine on this realm runs.
    ///
    /// # Errors
    /// [`StoreError`] when there is no such realm, it cannot be reached, or a setting of the environment is invalid.
    pub async fn site(&self, host: EngineHost) -> Result<Arc<Site>, StoreError> {
        let realm = self.store.realm().await?;
        let environment = |name: &str| std::env::var(name).ok();
        let settings = realm.settings.clone().with_environment(&environment).map_err(|error| {
            StoreError::of(StoreErrorKind::Invalid, format!("invalid environment variable: {error}"))
        })?;
        pumice_core::secret::mark_names(&settings.redact);
        let store = Arc::new(self.store.clone());
        Ok(Arc::new(Site {
            realm: self.store.names.realm().clone(),
            settings,
            zone: Zone::checked_system()
                .map_err(|error| StoreError::of(StoreErrorKind::Invalid, error.to_string()))?,
            hostname: host.name,
            // Other workers may take what a slow one has.
            alone: false,
            scratch: host.scratch,
            shared: None,
            environment: host.environment,
            credentials: host.credentials,
            ports: Ports {
                jobs: store.clone(),
                runs: store.clone(),
                schedules: store.clone(),
                state: store.clone(),
                connections: store.clone(),
                secrets: self.secrets.clone().unwrap_or_else(|| Arc::new(NoSecrets)),
                queue: Arc::new(self.queues.clone()),
                wake_ups: self.wake_ups.clone(),
                hosts: Some(store.clone()),
                lava_events: Some(store),
                objects: Arc::new(self.objects.clone().encrypted_with(realm.fields.s3_key.clone())),
                http: self.http.clone(),
                messaging: self.messaging.clone(),
                servers: self.servers.clone(),
                clock: Arc::new(WatchedClock(self.skew.clone())),
                random: Arc::new(SystemRandom),
                pool: Arc::new(ThreadPool::default()),
                workspaces: Arc::new(DiskWorkspaces),
            },
        }))
    }
}
