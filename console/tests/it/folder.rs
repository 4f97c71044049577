//! A realm in a folder, with runs in every status, and outputs that are texts.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

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
use pumice_local::{Durability, Home, SystemClock, SystemRandom};
use pumice_service::connections::{Prober, TestConnection, Trial};
use pumice_service::runs::Outputs;
use pumice_service::secrets::Vault;
use pumice_service::{Error, Realm};

use crate::fixtures;

pub(crate) struct Folder {
    outputs: Texts,
    home: Home,
    registry: Arc<Registry>,
    /// It goes with the realm.
    _folder: tempfile::TempDir,
}

/// Outputs by their location.
#[derive(Default)]
struct Texts(Mutex<BTreeMap<String, String>>);

#[async_trait]
impl Outputs for Texts {
    async fn read(&self, location: &str, from: u64, length: u64) -> Result<Option<Piece>, StoreError> {
        let text = self.0.lock().unwrap().get(location).cloned();
        Ok(text.map(|text| {
            let place = |at: u64| usize::try_from(at).unwrap_or(usize::MAX).min(text.len());
            let bytes = text.as_bytes()[place(from)..place(from.saturating_add(length))].to_vec();
            Piece { bytes, size: text.len() as u64 }
        }))
    }
}

impl Folder {
    pub(crate) async fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let home = Home::open(folder.path(), None, true, Durability::Normal).await.unwrap();
        let registry = Arc::new(pumice_job_types::registry().unwrap());
        Self { outputs: Texts::default(), home, registry, _folder: folder }
    }

    /// A realm with jobs of many kinds, and runs of each status with texts that attack.
    pub(crate) async fn lively() -> Self {
        let folder = Self::new().await;
        fixtures::fill(&folder).await;
        folder
    }

    /// Has a process serve it, which is stopping.
    pub(crate) async fn stopping(&self) -> pumice_local::ServeLock {
        let now = SystemClock.now();
        let lock = self.home.lock(now).await.unwrap();
        self.home.database().note_stopping(now).await.unwrap();
        lock
    }

    /// Puts a message aside, as a worker does.
    pub(crate) async fn bury(&self, message: Message, reason: &str) {
        let (database, worker) = (self.home.database(), message.worker.clone());
        let sent = database.send(vec![Outgoing { message, at: self.now() - TimeDelta::seconds(1) }]).await;
        assert!(sent.iter().all(Result::is_ok));
        let taken = database.receive(&worker, 1, std::time::Duration::ZERO).await.unwrap();
        database.bury(&taken[0].receipt, reason).await.unwrap();
    }

    /// Where it is.
    pub(crate) fn path(&self) -> &std::path::Path {
        self.home.path()
    }

    /// Puts a text where an output is.
    pub(crate) fn print(&self, location: &str, text: &str) {
        self.outputs.0.lock().unwrap().insert(location.to_owned(), text.to_owned());
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
