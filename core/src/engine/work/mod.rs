//! A worker's engine: from a message to a run at rest.

mod admission;
mod attempt;
mod beat;
mod children;
mod duties;
mod files;
pub(super) mod handle;
mod lease;
mod news;
mod places;
mod redo;
mod spread;
mod steps;
mod task;
mod verdict;
mod watch;

use std::sync::Arc;

use super::dispatch::Dispatcher;
use super::halt::Halt;
use super::housekeeping::Housekeeper;
use super::jobs::Jobs;
use super::ledger::Ledger;
use super::limits::Limits;
use super::pausing::KnownPauses;
use crate::Timestamp;
use crate::engine::trouble::Trouble;
use crate::hosts::Host;
use crate::ids::{HostId, WorkerName};
use crate::job_type::{Registry, Runners, Site};

/// Runs jobs: takes messages of one worker's queue and does what they call for.
#[derive(Clone, Debug)]
pub struct Engine {
    site: Arc<Site>,
    registry: Arc<Registry>,
    runners: Arc<Runners>,
    housekeeper: Housekeeper,
    worker: WorkerName,
    limits: Limits,
    trouble: Trouble,
    pauses: Arc<KnownPauses>,
    halt: Halt,
    /// The host that it runs on, where there may be several.
    host: Option<HostId>,
}

impl Engine {
    /// An engine that serves one worker's queue. Each job type and action has its runner: the
    /// [`Runners`] were not made otherwise.
    #[must_use]
    pub fn new(site: Arc<Site>, runners: Arc<Runners>, worker: WorkerName, limits: Limits) -> Self {
        Self::with(Housekeeper::new(site, runners.registry().clone()), runners, worker, limits)
    }

    /// The same for one of several engines in a process: they share the housekeeper's knowledge of jobs and runs.
    #[must_use]
    pub fn with(housekeeper: Housekeeper, runners: Arc<Runners>, worker: WorkerName, limits: Limits) -> Self {
        Self {
            site: housekeeper.site().clone(),
            registry: runners.registry().clone(),
            runners,
            housekeeper,
            worker,
            limits,
            trouble: Trouble::default(),
            pauses: Arc::default(),
            halt: Halt::default(),
            host: None,
        }
    }

    /// The same, stopped by this.
    #[must_use]
    pub fn halted_by(mut self, halt: Halt) -> Self {
        self.halt = halt;
        self
    }

    /// The same in another process: it has begun nothing yet.
    #[must_use]
    pub fn restarted(self) -> Self {
        let housekeeper = Housekeeper::new(self.site.clone(), self.registry.clone());
        Self { housekeeper, halt: Halt::default(), ..self }
    }

    /// The part that takes requests.
    #[must_use]
    pub fn dispatcher(&self) -> &Dispatcher {
        self.housekeeper.dispatcher()
    }

    /// The part that sees to what is due.
    #[must_use]
    pub const fn housekeeper(&self) -> &Housekeeper {
        &self.housekeeper
    }

    fn ledger(&self) -> &Ledger {
        self.dispatcher().ledger()
    }

    fn jobs(&self) -> &Jobs {
        self.dispatcher().jobs()
    }

    /// The same on a host: it starts runs that are for this host, and none that are for another.
    #[must_use]
    pub fn on_host(mut self, host: Host) -> Self {
        self.host = Some(host.id);
        self
    }

    /// Where the engine runs.
    #[must_use]
    pub fn site(&self) -> &Site {
        &self.site
    }

    fn now(&self) -> Timestamp {
        self.site.ports.clock.now()
    }
}
