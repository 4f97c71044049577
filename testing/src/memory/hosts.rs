//! Hosts of workers, in memory.

use std::collections::BTreeMap;

use pumice_core::hosts::Host;
use pumice_core::ids::{HostId, WorkerName};

/// Hosts by worker and id.
#[derive(Clone, Debug, Default)]
pub struct HostTable(BTreeMap<(WorkerName, HostId), Host>);

impl HostTable {
    /// Writes a record over the one that may be there.
    pub fn put(&mut self, host: Host) {
        self.0.insert((host.worker.clone(), host.id.clone()), host);
    }

    /// The record of a host.
    #[must_use]
    pub fn get(&self, worker: &WorkerName, id: &HostId) -> Option<&Host> {
        self.0.get(&(worker.clone(), id.clone()))
    }

    /// All hosts of a worker.
    #[must_use]
    pub fn of(&self, worker: &WorkerName) -> Vec<Host> {
        self.0.values().filter(|host| host.worker == *worker).cloned().collect()
    }
}
