//! A worker as a process: takes messages of a queue for as long as it is let, for jobs that take
//! longer than a function may.

use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use pumice_core::engine::{Engine, Halt, Limits};
use pumice_core::hosts::Host;
use pumice_core::ids::WorkerName;
use pumice_core::ports::StoreError;
use pumice_host::{Engines, Taking, WorkerLoop};

use crate::queue::Queues;

/// How long one call waits for a message.
const WAIT: Duration = Duration::from_secs(20);
/// How long a message stays hidden while it is worked on; it is hidden anew after half of that.
const HIDDEN: Duration = Duration::from_secs(300);
/// How long a message stays hidden until it is worked on. One that is handed out to a call which is given up,
/// because it is time to stop, comes again after that.
const AT_FIRST: Duration = Duration::from_secs(30);
/// How long to wait after the queue could not be reached.
const PAUSE: Duration = Duration::from_secs(2);
/// Most messages taken at once (SQS: 10).
const MAX_TAKE: usize = 10;

/// The consumer of one worker's queue.
pub struct QueueWorker {
    engine: Engine,
    work: WorkerLoop,
}

impl QueueWorker {
    /// A consumer that works on at most `slots` messages at the same time.
    #[must_use]
    pub fn new(engine: Engine, queues: Queues, name: WorkerName, slots: usize, drain: Duration) -> Self {
        let (halt, engines) = (Halt::default(), Engines::default());
        let engine = engine.halted_by(halt.clone());
        engines.add(name, |_| engine.clone());
        let grace = Limits::default().grace.get();
        let taking = Taking {
            slots,
            max_take: MAX_TAKE,
            wait: WAIT,
            pause: PAUSE,
            hidden: Some(HIDDEN),
            drain,
            grace,
        };
        let work = WorkerLoop::new(Arc::new(queues.hidden_for(AT_FIRST)), engines, halt, taking);
        Self { engine, work }
    }

    /// The same as a host: it writes a heartbeat, and also takes the runs that are for this host alone.
    #[must_use]
    pub fn on_host(mut self, host: Host) -> Self {
        self.work = self.work.on_host(self.engine.clone(), host);
        self
    }

    /// Works until `stop`, then drains, until `kill` at most: see [`WorkerLoop::work`].
    ///
    /// # Errors
    /// [`StoreError`] when the queue cannot be reached at the start.
    pub async fn work(
        self,
        stop: impl Future<Output = ()>,
        kill: impl Future<Output = ()>,
    ) -> Result<(), StoreError> {
        self.work.work(stop, kill).await
    }
}
