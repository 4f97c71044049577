//! A realm for an actor.

use std::sync::Arc;

use async_trait::async_trait;
use pumice_core::Timestamp;
use pumice_core::audit::Actor;
use pumice_core::connection::ConnectionStore;
use pumice_core::ids::{RealmName, WorkerName};
use pumice_core::job_type::{Registry, Site};
use pumice_core::ports::{
    AuditStore, BulkStore, Catalog, DeadLetters, JobStore, Random, RunStore, ScheduleStore, StateStore,
    TriggerStore,
};

use crate::connections::Prober;
use crate::doctor::Ground;
use crate::failure::Error;
use crate::realm::Realm;
use crate::runs::Outputs;
use crate::secrets::Vault;

/// A realm for an actor other than the process that opened it, as a user of a console.
pub struct Acting {
    realm: Arc<dyn Realm>,
    actor: Actor,
}

impl Acting {
    /// The realm, for an actor.
    #[must_use]
    pub fn new(realm: Arc<dyn Realm>, actor: Actor) -> Self {
        Self { realm, actor }
    }
}

#[async_trait]
impl Realm for Acting {
    fn name(&self) -> &RealmName {
        self.realm.name()
    }

    fn catalog(&self) -> &dyn Catalog {
        self.realm.catalog()
    }

    fn jobs(&self) -> &dyn JobStore {
        self.realm.jobs()
    }

    fn runs(&self) -> &dyn RunStore {
        self.realm.runs()
    }

    fn schedules(&self) -> &dyn ScheduleStore {
        self.realm.schedules()
    }

    fn state(&self) -> &dyn StateStore {
        self.realm.state()
    }

    fn triggers(&self) -> &dyn TriggerStore {
        self.realm.triggers()
    }

    fn connections(&self) -> &dyn ConnectionStore {
        self.realm.connections()
    }

    fn bulk(&self) -> &dyn BulkStore {
        self.realm.bulk()
    }

    fn audit(&self) -> &dyn AuditStore {
        self.realm.audit()
    }

    fn prober(&self) -> &dyn Prober {
        self.realm.prober()
    }

    fn vault(&self) -> Option<&dyn Vault> {
        self.realm.vault()
    }

    fn outputs(&self) -> &dyn Outputs {
        self.realm.outputs()
    }

    fn registry(&self) -> &Arc<Registry> {
        self.realm.registry()
    }

    fn random(&self) -> &dyn Random {
        self.realm.random()
    }

    fn now(&self) -> Timestamp {
        self.realm.now()
    }

    fn is_served(&self) -> Option<bool> {
        self.realm.is_served()
    }

    async fn served_workers(&self) -> Result<Vec<WorkerName>, Error> {
        self.realm.served_workers().await
    }

    async fn stopping_since(&self) -> Result<Option<Timestamp>, Error> {
        self.realm.stopping_since().await
    }

    fn is_aws(&self) -> bool {
        self.realm.is_aws()
    }

    fn aws_region(&self) -> Option<String> {
        self.realm.aws_region()
    }

    fn dead_letters(&self) -> &dyn DeadLetters {
        self.realm.dead_letters()
    }

    fn ground(&self) -> Option<&dyn Ground> {
        self.realm.ground()
    }

    async fn actor(&self) -> Result<Actor, Error> {
        Ok(self.actor.clone())
    }

    async fn site(&self) -> Result<Arc<Site>, Error> {
        self.realm.site().await
    }
}
