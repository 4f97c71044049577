//! A realm in a folder, with no outputs.

use std::sync::Arc;

use async_trait::async_trait;
use pumice_core::Timestamp;
use pumice_core::audit::{Actor, Origin};
use pumice_core::connection::{ConnectionStore, OpenedConnection};
use pumice_core::ids::{RealmName, SecretName, WorkerName};
use pumice_core::job_type::{Registry, Site};
use pumice_core::ports::{
    AuditStore, BulkStore, Catalog, Clock, DeadLetters, JobStore, Piece, Random, RunStore, ScheduleStore,
    StateStore, StoreError, TriggerStore,
};
use pumice_core::secret::SecretText;
use pumice_local::{Durability, Home, SystemClock, SystemRandom};
use pumice_service::connections::{Prober, TestConnection, Trial};
use pumice_service::runs::Outputs;
use pumice_service::secrets::Vault;
use pumice_service::{Error, Realm};

pub(crate) struct Folder {
    home: Home,
    registry: Arc<Registry>,
    /// It goes with the realm.
    folder: tempfile::TempDir,
}

struct NoOutputs;

#[async_trait]
impl Outputs for NoOutputs {
    async fn read(&self, _: &str, _: u64, _: u64) -> Result<Option<Piece>, StoreError> {
        Ok(None)
    }
}

impl Folder {
    pub(crate) async fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let home = Home::open(folder.path(), None, true, Durability::Normal).await.unwrap();
        let registry = Arc::new(pumice_job_types::registry().unwrap());
        Self { home, registry, folder }
    }

    /// As it is while a process serves it, until what is given is dropped.
    pub(crate) async fn served(&self) -> pumice_local::ServeLock {
        self.home.lock(SystemClock.now()).await.unwrap()
    }

    /// Changes the store behind the realm's back.
    pub(crate) fn change(&self, sql: &str) {
        let store = rusqlite::Connection::open(self.folder.path().join("pumice.db")).unwrap();
        store.busy_timeout(std::time::Duration::from_secs(10)).unwrap();
        store.execute_batch(sql).unwrap();
    }

    pub(crate) fn database(&self) -> &pumice_local::Database {
        self.home.database()
    }
}

/// Says what it was asked, and that it failed when a message was to be sent.
struct Says;

#[async_trait]
impl Prober for Says {
    async fn probe(&self, _: &Site, opened: &OpenedConnection, request: &TestConnection) -> Trial {
        let failure = request.send.then(|| "cannot send".to_owned());
        Trial { tried: format!("{} {:?}", opened.r#type, request.target), failure }
    }
}

#[async_trait]
impl Vault for Folder {
    async fn list(&self) -> Result<Vec<(SecretName, Timestamp)>, StoreError> {
        let all = self.home.secrets().list().await?;
        Ok(all.into_iter().map(|entry| (entry.name, entry.updated)).collect())
    }

    async fn set(&self, name: &SecretName, value: SecretText, now: Timestamp) -> Result<bool, StoreError> {
        self.home.secrets().set(name, value, now).await
    }

    async fn delete(&self, name: &SecretName) -> Result<bool, StoreError> {
        self.home.secrets().delete(name).await
    }
}

#[async_trait]
impl Realm for Folder {
    fn name(&self) -> &RealmName {
        self.home.realm()
    }

    fn catalog(&self) -> &dyn Catalog {
        self.home.database()
    }

    fn jobs(&self) -> &dyn JobStore {
        self.home.database()
    }

    fn runs(&self) -> &dyn RunStore {
        self.home.database()
    }

    fn schedules(&self) -> &dyn ScheduleStore {
        self.home.database()
    }

    fn dead_letters(&self) -> &dyn DeadLetters {
        self.home.database()
    }

    fn state(&self) -> &dyn StateStore {
        self.home.database()
    }

    fn triggers(&self) -> &dyn TriggerStore {
        self.home.database()
    }

    fn connections(&self) -> &dyn ConnectionStore {
        self.home.database()
    }

    fn bulk(&self) -> &dyn BulkStore {
        self.home.database()
    }

    fn audit(&self) -> &dyn AuditStore {
        self.home.database()
    }

    fn random(&self) -> &dyn Random {
        &SystemRandom
    }

    fn prober(&self) -> &dyn Prober {
        &Says
    }

    fn vault(&self) -> Option<&dyn Vault> {
        Some(self)
    }

    fn outputs(&self) -> &dyn Outputs {
        &NoOutputs
    }

    fn registry(&self) -> &Arc<Registry> {
        &self.registry
    }

    fn now(&self) -> Timestamp {
        SystemClock.now()
    }

    fn is_served(&self) -> Option<bool> {
        Some(self.home.is_served())
    }

    async fn served_workers(&self) -> Result<Vec<WorkerName>, Error> {
        Ok(self.home.served_workers().await?)
    }

    async fn stopping_since(&self) -> Result<Option<Timestamp>, Error> {
        Ok(self.home.stopping_since().await?)
    }

    fn is_aws(&self) -> bool {
        false
    }

    async fn actor(&self) -> Result<Actor, Error> {
        Ok(Actor { who: "tester".to_owned(), from: Origin::Program, host: None })
    }

    async fn site(&self) -> Result<Arc<Site>, Error> {
        self.home.site().await.map_err(|error| Error::unreachable(error.to_string()))
    }
}
