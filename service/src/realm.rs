//! A realm, wherever it is kept.

use std::sync::Arc;

use async_trait::async_trait;
use pumice_core::Timestamp;
use pumice_core::audit::Actor;
use pumice_core::connection::ConnectionStore;
use pumice_core::ids::{JobId, RealmName, WorkerName};
use pumice_core::job_type::{Registry, Site};
use pumice_core::ports::{
    AuditStore, BulkStore, Catalog, DeadLetters, Doc, JobStore, Random, RunStore, ScheduleStore, StateStore,
    TriggerStore,
};
use pumice_core::spec::RealmSpec;

use crate::connections::Prober;
use crate::doctor::Ground;
use crate::failure::Error;
use crate::runs::Outputs;
use crate::secrets::Vault;

/// A realm that people look at and change. Adapters give its ports; the service functions do the rest.
#[async_trait]
pub trait Realm: Send + Sync {
    /// Its name.
    fn name(&self) -> &RealmName;
    /// Its documents, as people put them.
    fn catalog(&self) -> &dyn Catalog;
    /// Its jobs, as the engine reads them.
    fn jobs(&self) -> &dyn JobStore;
    /// Its runs.
    fn runs(&self) -> &dyn RunStore;
    /// How far its schedules and backfills have come.
    fn schedules(&self) -> &dyn ScheduleStore;
    /// The messages and requests that were set aside.
    fn dead_letters(&self) -> &dyn DeadLetters;
    /// Its state items.
    fn state(&self) -> &dyn StateStore;
    /// Its triggers.
    fn triggers(&self) -> &dyn TriggerStore;
    /// Its connections.
    fn connections(&self) -> &dyn ConnectionStore;
    /// Acts on many of its runs.
    fn bulk(&self) -> &dyn BulkStore;
    /// Its audit.
    fn audit(&self) -> &dyn AuditStore;
    /// The prober that tests its connections.
    fn prober(&self) -> &dyn Prober;
    /// Its secrets; `None` where they are kept by other means, as on AWS.
    fn vault(&self) -> Option<&dyn Vault>;
    /// The outputs of the commands of its runs.
    fn outputs(&self) -> &dyn Outputs;
    /// The job types and actions that its jobs may use.
    fn registry(&self) -> &Arc<Registry>;
    /// Chance.
    fn random(&self) -> &dyn Random;
    /// The time.
    fn now(&self) -> Timestamp;
    /// Whether a process runs its jobs; `None` where that cannot be known.
    fn is_served(&self) -> Option<bool>;
    /// The workers that the process serves which runs its jobs, where it does not serve all; none otherwise, and where that
    /// cannot be known.
    ///
    /// # Errors
    /// [`Error`] when the store cannot be read.
    async fn served_workers(&self) -> Result<Vec<WorkerName>, Error> {
        Ok(Vec::new())
    }
    /// Since when the process that runs its jobs is stopping, and begins nothing more; `None` where it is not, or there is none.
    ///
    /// # Errors
    /// [`Error`] when the store cannot be read.
    async fn stopping_since(&self) -> Result<Option<Timestamp>, Error> {
        Ok(None)
    }
    /// Whether it is on AWS, where no `pumice serve` starts and a path names no folder.
    fn is_aws(&self) -> bool;
    /// The region of AWS that it is in, where that is known.
    fn aws_region(&self) -> Option<String> {
        None
    }
    /// The actor, and its origin.
    ///
    /// # Errors
    /// [`Error`] when that cannot be found out.
    async fn actor(&self) -> Result<Actor, Error>;
    /// Checks of its ground; `None` where there are none.
    fn ground(&self) -> Option<&dyn Ground> {
        None
    }
    /// Where an engine on it runs: its settings, its zone and its ports.
    ///
    /// # Errors
    /// [`Error`] when the realm's definition cannot be read.
    async fn site(&self) -> Result<Arc<Site>, Error>;
}

/// The error that names a job which does not exist, and the one that may have been meant.
///
/// # Errors
/// [`Error`] when the store cannot be read.
pub async fn no_such_job(store: &dyn JobStore, job: &JobId) -> Result<Error, Error> {
    Ok(pumice_core::engine::no_such_job(store, job).await?.into())
}

/// A stored definition with what it means in the place of its realm; `None` when it cannot be read.
pub(crate) fn read_realm(realm: &dyn Realm, stored: Doc) -> Option<RealmSpec> {
    let spec = RealmSpec::stored(stored, &[]).ok()?;
    Some(if realm.is_aws() { spec.with_lava_table().0 } else { spec })
}
