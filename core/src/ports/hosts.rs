//! The port to the hosts of workers.

use async_trait::async_trait;

use super::StoreError;
use crate::hosts::Host;
use crate::ids::{HostId, RunKey, WorkerName};

/// The hosts of workers, and the runs that are for one of them alone.
#[async_trait]
pub trait HostStore: Send + Sync {
    /// Writes the record of a host over the one that may be there.
    async fn put_host(&self, host: &Host) -> Result<(), StoreError>;
    /// The record of a host.
    async fn host(&self, worker: &WorkerName, id: &HostId) -> Result<Option<Host>, StoreError>;
    /// All hosts of a worker whose records have not expired, alive or not.
    async fn hosts(&self, worker: &WorkerName) -> Result<Vec<Host>, StoreError>;
    /// The runs for a host that have not ended. Runs made within the last seconds may be missing.
    async fn runs_for(&self, host: &HostId) -> Result<Vec<RunKey>, StoreError>;
}
