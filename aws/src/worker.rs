//! A worker as a process: takes messages of a queue for as long as it is let, for jobs that take
//! longer than a function may.

use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use pumice_core::engine::{Engine, Halt, Handled, Limits};
use pumice_core::hosts::Host;
use pumice_core::ids::WorkerName;
use pumice_core::ports::{Consumer, Delivery, StoreError};
use pumice_host::drain;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::task::JoinSet;

use crate::heartbeat::Heartbeat;
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
#[derive(Debug)]
pub struct QueueWorker {
    engine: Engine,
    queues: Queues,
    name: WorkerName,
    slots: usize,
    drain: Duration,
    halt: Halt,
    heartbeat: Option<Heartbeat>,
}

impl QueueWorker {
    /// A consumer that works on at most `slots` messages at the same time.
    #[must_use]
    pub fn new(engine: Engine, queues: Queues, name: WorkerName, slots: usize, drain: Duration) -> Self {
        let halt = Halt::default();
        let engine = engine.halted_by(halt.clone());
        let (queues, slots, heartbeat) = (queues.hidden_for(AT_FIRST), slots.max(1), None);
        Self { engine, queues, name, slots, drain, halt, heartbeat }
    }

    /// The same as a host: it writes a heartbeat, and also takes the runs that are for this host alone.
    #[must_use]
    pub fn on_host(mut self, host: Host) -> Self {
        self.heartbeat = Some(Heartbeat::new(self.engine.clone(), host, self.halt.clone()));
        self
    }

    /// Works until `stop`, then drains: no run and no step begins, and running jobs get the time of `drain`, or until
    /// `kill`, to end. Attempts that are stopped after that run again elsewhere and are not counted.
    ///
    /// # Errors
    /// [`StoreError`] when the queue cannot be reached at the start.
    pub async fn work(
        self,
        stop: impl Future<Output = ()>,
        kill: impl Future<Output = ()>,
    ) -> Result<(), StoreError> {
        let first = self.queues.receive(&self.name, 1, Duration::ZERO).await?;
        let worker = Arc::new(self);
        let slots = Arc::new(Semaphore::new(worker.slots));
        let (mut running, mut of_host) = (JoinSet::new(), JoinSet::new());
        tokio::select! {
            () = worker.clone().take(first, &slots, &mut running) => {}
            () = worker.beat(&slots, &mut of_host) => {}
            () = stop => {}
        }
        if let Some(heartbeat) = &worker.heartbeat {
            heartbeat.end().await;
            running.spawn(async move { while of_host.join_next().await.is_some() {} });
        }
        drain(&mut running, &worker.halt, worker.drain, Limits::default().grace.get(), kill).await;
        Ok(())
    }

    async fn beat(&self, slots: &Arc<Semaphore>, running: &mut JoinSet<()>) {
        match &self.heartbeat {
            Some(heartbeat) => heartbeat.beat(slots, running).await,
            None => std::future::pending().await,
        }
    }

    async fn take(self: Arc<Self>, first: Vec<Delivery>, slots: &Arc<Semaphore>, running: &mut JoinSet<()>) {
        let mut taken = first;
        loop {
            for delivery in taken.drain(..) {
                let Ok(permit) = slots.clone().acquire_owned().await else { return };
                let worker = self.clone();
                running.spawn(async move { worker.handle(delivery, permit).await });
            }
            while running.try_join_next().is_some() {}
            let free = async {
                let Ok(permit) = slots.acquire().await else { return 0 };
                drop(permit);
                slots.available_permits().clamp(1, MAX_TAKE)
            };
            let max = free.await;
            // A message that SQS hands out when this is dropped comes again soon: see [`AT_FIRST`].
            match self.queues.receive(&self.name, max, WAIT).await {
                Ok(received) => taken = received,
                Err(error) => {
                    tracing::error!(%error, "cannot take messages");
                    tokio::time::sleep(PAUSE).await;
                }
            }
        }
    }

    async fn handle(&self, delivery: Delivery, permit: OwnedSemaphorePermit) {
        let handling = self.engine.handle(&delivery.body, delivery.receives, None);
        let handled = tokio::select! {
            handled = handling => handled,
            never = self.keep_hidden(&delivery.receipt) => match never {},
        };
        let outcome = match handled {
            Handled::Delete => self.queues.delete(vec![delivery.receipt]).await,
            Handled::Again(after) => self.queues.release(&delivery.receipt, after).await,
            Handled::Bury(reason) => {
                tracing::error!(reason, body = delivery.body, "a message goes to the dead letters");
                self.queues.bury(&delivery.receipt, &reason).await
            }
        };
        if let Err(error) = outcome {
            // It comes again when its time of being hidden is over, and does nothing then.
            tracing::warn!(%error, "a message could not be put away");
        }
        drop(permit);
    }

    async fn keep_hidden(&self, receipt: &str) -> std::convert::Infallible {
        loop {
            if let Err(error) = self.queues.keep(receipt, HIDDEN).await {
                // It may come again; the run's own claim keeps others out.
                tracing::warn!(%error, "a message is not kept hidden");
            }
            tokio::time::sleep(HIDDEN / 2).await;
        }
    }
}
