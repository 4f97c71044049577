//! Carries out decisions: from a request to a record, from a message to an attempt, from its end
//! to what follows. One path, embedded and on AWS.

mod adopt;
mod answer;
mod apply;
mod attempt;
mod backfill;
mod children;
mod contexts;
mod dispatch;
mod duties;
mod files;
mod foreign;
mod fresh;
mod grip;
mod halt;
mod handle;
mod hosts;
mod late;
mod line;
mod live;
mod measure;
mod notice;
mod rendering;
mod same;
mod scene;
mod second;
mod steps;
mod strike;
mod sweep;
mod told;
mod trouble;
mod verdict;

use std::sync::Arc;

pub use apply::ApplyError;
pub use backfill::{BackfillError, Begun};
pub use dispatch::{Accepted, Dispatcher, no_such_job, rendering};
pub use halt::Halt;
pub use handle::Handled;
pub use strike::{Struck, start_request};

use crate::Timestamp;
use crate::duration::Span;
use crate::ids::{HostId, WorkerName};
use crate::job_type::{Registry, Runners, Site};
use crate::ports::Workspace;
use crate::run::Worker;
use files::SharedFiles;
use grip::{Above, Grip};
use trouble::Trouble;

/// Deepest chain of jobs that start jobs, in levels: it ends what would start itself for ever.
pub const MAX_DEPTH: u32 = 32;
/// Most jobs that one chain, dag, foreach or dispatch names.
pub const MAX_STEPS: usize = 10_000;

/// How long after the end of an invocation its claims still hold, for clocks that differ.
pub const LEASE_MARGIN: Span = Span::from_secs(60);

/// How a worker runs what it is given.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// How long a claim holds unless it is extended.
    pub lease: Span,
    /// How often a running attempt looks whether it was cancelled, and extends its claim.
    pub watch: Span,
    /// How long an attempt may go on after it was told to stop.
    pub grace: Span,
}

impl Default for Limits {
    fn default() -> Self {
        Self { lease: Span::from_mins(5), watch: Span::from_secs(1), grace: Span::from_secs(10) }
    }
}

/// Runs jobs: takes messages of one worker's queue and does what they call for.
#[derive(Clone, Debug)]
pub struct Engine {
    site: Arc<Site>,
    registry: Arc<Registry>,
    runners: Arc<Runners>,
    dispatcher: Dispatcher,
    worker: WorkerName,
    limits: Limits,
    trouble: Trouble,
    halt: Halt,
    /// The host that it runs on, where there may be several.
    host: Option<HostId>,
}

impl Engine {
    /// An engine that serves one worker's queue. What runs each job type and performs each action is there: the
    /// [`Runners`] were not made otherwise.
    #[must_use]
    pub fn new(site: Arc<Site>, runners: Arc<Runners>, worker: WorkerName, limits: Limits) -> Self {
        let registry = runners.registry().clone();
        let dispatcher = Dispatcher::new(site.clone(), registry.clone());
        Self {
            site,
            registry,
            runners,
            dispatcher,
            worker,
            limits,
            trouble: Trouble::default(),
            halt: Halt::default(),
            host: None,
        }
    }

    /// The same, told to stop by this.
    #[must_use]
    pub fn halted_by(mut self, halt: Halt) -> Self {
        self.halt = halt;
        self
    }

    /// The same in another process: it has begun nothing yet.
    #[must_use]
    pub fn restarted(self) -> Self {
        let dispatcher = Dispatcher::new(self.site.clone(), self.registry.clone());
        Self { dispatcher, halt: Halt::default(), ..self }
    }

    /// The part that takes requests.
    #[must_use]
    pub fn dispatcher(&self) -> &Dispatcher {
        &self.dispatcher
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

/// One invocation: who it is, how long it has, and the directory it works in.
pub(crate) struct Invocation {
    owner: Worker,
    began: Timestamp,
    ends: Option<Timestamp>,
    work_dir: Box<dyn Workspace>,
    files: SharedFiles,
    halt: Halt,
    /// How deep the run that it began with stands below its root.
    depth: usize,
}

impl Invocation {
    /// Until when a claim made now holds.
    fn lease_until(&self, now: Timestamp, lease: Span) -> Timestamp {
        self.ends.map_or(now + lease.delta(), |ends| ends.max(now) + LEASE_MARGIN.delta())
    }

    /// Whether more than half of the time is over, or the process is to stop: a step that starts now might be cut
    /// off, and would have more time in another invocation.
    fn is_late(&self, now: Timestamp) -> bool {
        self.halt.is_resting() || self.ends.is_some_and(|ends| ends - now < (ends - self.began) / 2)
    }
}
