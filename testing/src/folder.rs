//! A realm in a folder, as the service and the console see it, with outputs that are texts.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};

use async_trait::async_trait;
use chrono::TimeDelta;
use pumice_core::Timestamp;
use pumice_core::audit::{Actor, Origin};
use pumice_core::connection::{ConnectionStore, OpenedConnection};
use pumice_core::ids::{RealmName, SecretName, WorkerName};
use pumice_core::job_type::{Registry, Site};
use pumice_core::message::Message;
use pumice_core::ports::{
    AuditStore, BulkStore, Catalog, Clock, Consumer, DeadLetters, JobStore, Outgoing, Piece, Queue, Random,
    RunStore, ScheduleStore, StateStore, StoreError, TriggerStore,
};
use pumice_core::secret::SecretText;
use pumice_local::{Database, Durability, Home, ServeLock, SystemClock, SystemRandom};
use pumice_service::connections::{Prober, TestConnection, Trial};
use pumice_service::runs::Outputs;
use pumice_service::secrets::Vault;
use pumice_service::{Error, Realm};

/// A realm in a folder of its own, which goes with it.
pub struct Folder {
    outputs: Texts,
    home: Home,
    registry: Arc<Registry>,
    _folder: tempfile::TempDir,
}

impl std::fmt::Debug for Folder {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Folder").field("path", &self.home.path()).finish()
    }
}

/// Outputs by their location.
#[derive(Default)]
struct Texts(Mutex<BTreeMap<String, String>>);

#[async_trait]
impl Outputs for Texts {
    async fn read(&self, location: &str, from: u64, length: u64) -> Result<Option<Piece>, StoreError> {
        let text = self.0.lock().unwrap_or_else(PoisonError::into_inner).get(location).cloned();
        Ok(text.map(|text| {
            let place = |at: u64| usize::try_from(at).unwrap_or(usize::MAX).min(text.len());
            let bytes = text.as_bytes()[place(from)..place(from.saturating_add(length))].to_vec();
            Piece { bytes, size: text.len() as u64 }
        }))
    }
}

impl Folder {
    /// An empty realm.
    ///
    /// # Panics
    /// When there can be no folder.
    pub async fn new() -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let home = Home::open(folder.path(), None, true, Durability::Normal).await.expect("a realm");
        let registry = Arc::new(pumice_job_types::registry().expect("a registry"));
        Self { outputs: Texts::default(), home, registry, _folder: folder }
    }

    /// As it is while a process serves it, until the lock is dropped.
    ///
    /// # Panics
    /// When it is served already.
    pub async fn served(&self) -> ServeLock {
        self.home.lock(SystemClock.now()).await.expect("a lock")
    }

    /// Has a process serve it, which is stopping.
    ///
    /// # Panics
    /// When it is served already.
    pub async fn stopping(&self) -> ServeLock {
        let lock = self.served().await;
        self.home.database().note_stopping(SystemClock.now()).await.expect("a note");
        lock
    }

    /// Puts a message into the dead letters, as a worker does.
    ///
    /// # Panics
    /// When the store fails.
    pub async fn bury(&self, message: Message, reason: &str) {
        let (database, worker) = (self.home.database(), message.worker.clone());
        let sent = database.send(vec![Outgoing { message, at: self.now() - TimeDelta::seconds(1) }]).await;
        assert!(sent.iter().all(Result::is_ok), "a message was not sent");
        let taken = database.receive(&worker, 1, std::time::Duration::ZERO).await.expect("a message");
        database.bury(&taken[0].receipt, reason).await.expect("a dead letter");
    }

    /// Where it is.
    #[must_use]
    pub fn path(&self) -> &Path {
        self.home.path()
    }

    /// Its store.
    #[must_use]
    pub fn database(&self) -> &Database {
        self.home.database()
    }

    /// Puts a text where an output is.
    pub fn print(&self, location: &str, text: &str) {
        let mut texts = self.outputs.0.lock().unwrap_or_else(PoisonError::into_inner);
        texts.insert(location.to_owned(), text.to_owned());
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
        &self.outputs
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
