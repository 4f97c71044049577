//! The worker loop: takes messages, and has the engine handle them at the same time.

use std::collections::BTreeMap;
use std::convert::Infallible;
use std::future::Future;
use std::pin::pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use pumice_core::engine::{Engine, Halt};
use pumice_core::hosts::Host;
use pumice_core::ids::WorkerName;
use pumice_core::ports::{Consumer, Delivery, StoreError};
use tokio::sync::Semaphore;
use tokio::task::JoinSet;

use crate::drain;
use crate::heartbeat::Heartbeat;
use crate::messages::settle;

/// How long a call that takes messages may go on once the worker was asked to stop: a message that is handed out to a call
/// which is given up stays hidden for a while.
const LAST_CALL: Duration = Duration::from_secs(1);

/// How a worker takes messages.
#[derive(Clone, Copy, Debug)]
pub struct Taking {
    /// How many messages are worked on at the same time; at least one.
    pub slots: usize,
    /// Most messages taken at once.
    pub max_take: usize,
    /// How long one call waits for a message.
    pub wait: Duration,
    /// How long to wait after the queue could not be reached.
    pub pause: Duration,
    /// How long a message that is worked on is hidden; it is hidden anew after half of that. `None` where the engine knows
    /// without it that the message is in hand.
    pub hidden: Option<Duration>,
    /// How long what runs may go on once the worker was asked to stop.
    pub drain: Duration,
    /// How long attempts that are stopped after that may take for it.
    pub grace: Duration,
}

/// The engines of a process, one for each worker whose queue it takes from. Clones share them, so that one can add engines
/// while the loop runs.
#[derive(Clone, Debug, Default)]
pub struct Engines(Arc<Mutex<BTreeMap<WorkerName, Engine>>>);

impl Engines {
    fn lock(&self) -> MutexGuard<'_, BTreeMap<WorkerName, Engine>> {
        // A map of engines: whole even if another holder panicked.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Adds the engine of a worker, unless the worker has one.
    pub fn add(&self, name: WorkerName, make: impl FnOnce(WorkerName) -> Engine) {
        self.lock().entry(name.clone()).or_insert_with(|| make(name));
    }

    fn names(&self) -> Vec<WorkerName> {
        self.lock().keys().cloned().collect()
    }

    fn get(&self, name: &WorkerName) -> Option<Engine> {
        self.lock().get(name).cloned()
    }
}

/// The loop of a process that runs jobs.
pub struct WorkerLoop {
    consumer: Arc<dyn Consumer>,
    engines: Engines,
    taking: Taking,
    halt: Halt,
    heartbeat: Option<Heartbeat>,
}

impl WorkerLoop {
    /// A loop that takes from the queues of these engines' workers. `halt` is what the engines are
    /// [halted by](Engine::halted_by).
    #[must_use]
    pub fn new(consumer: Arc<dyn Consumer>, engines: Engines, halt: Halt, taking: Taking) -> Self {
        Self { consumer, engines, taking, halt, heartbeat: None }
    }

    /// The same as a host: it writes a heartbeat, and also runs what is for this host alone, with this engine.
    #[must_use]
    pub fn on_host(mut self, engine: Engine, host: Host) -> Self {
        self.heartbeat = Some(Heartbeat::new(engine, host, self.halt.clone()));
        self
    }

    /// Works until `stop`. From then on no run and no step begins; running attempts may end for the time of
    /// [`Taking::drain`], or until `kill`. Attempts that still run are stopped then; they are made again elsewhere, and
    /// do not count.
    ///
    /// # Errors
    /// [`StoreError`] when the queue cannot be reached at the start.
    pub async fn work(
        self,
        stop: impl Future<Output = ()>,
        kill: impl Future<Output = ()>,
    ) -> Result<(), StoreError> {
        let first = self.consumer.receive_from(&self.engines.names(), 1, Duration::ZERO).await?;
        let slots = Arc::new(Semaphore::new(self.taking.slots.max(1)));
        let (mut running, mut of_host) = (JoinSet::new(), JoinSet::new());
        {
            let mut taking = pin!(self.take(first, &slots, &mut running));
            let goes_on = tokio::select! {
                () = &mut taking => false,
                () = self.beat(&slots, &mut of_host) => true,
                () = stop => true,
            };
            self.halt.rest();
            let last_call = async {
                if goes_on && tokio::time::timeout(LAST_CALL, taking).await.is_err() {
                    tracing::debug!("a call for messages was given up");
                }
            };
            tokio::join!(last_call, self.end_heartbeat());
        }
        running.spawn(async move { while of_host.join_next().await.is_some() {} });
        drain(&mut running, &self.halt, self.taking.drain, self.taking.grace, kill).await;
        Ok(())
    }

    async fn beat(&self, slots: &Arc<Semaphore>, running: &mut JoinSet<()>) {
        match &self.heartbeat {
            Some(heartbeat) => heartbeat.beat(slots, running).await,
            None => std::future::pending().await,
        }
    }

    async fn end_heartbeat(&self) {
        if let Some(heartbeat) = &self.heartbeat {
            heartbeat.end().await;
        }
    }

    /// Takes messages until the process is to stop.
    async fn take(
        &self,
        mut taken: Vec<(WorkerName, Delivery)>,
        slots: &Arc<Semaphore>,
        running: &mut JoinSet<()>,
    ) {
        loop {
            for (worker, delivery) in taken.drain(..) {
                self.start(&worker, delivery, slots, running).await;
            }
            while running.try_join_next().is_some() {}
            let Some(max) = self.free(slots).await else { return };
            let names = self.engines.names();
            if names.is_empty() {
                self.pause(self.taking.wait).await;
                continue;
            }
            match self.consumer.receive_from(&names, max, self.taking.wait).await {
                Ok(received) => taken = received,
                Err(error) => {
                    tracing::error!(%error, "cannot take messages");
                    self.pause(self.taking.pause).await;
                }
            }
        }
    }

    /// How many messages may be taken now, once any may; `None` when the process is to stop.
    async fn free(&self, slots: &Arc<Semaphore>) -> Option<usize> {
        if self.halt.is_resting() {
            return None;
        }
        tokio::select! {
            permit = slots.acquire() => permit.ok().map(drop)?,
            () = self.halt.rested() => return None,
        }
        Some(slots.available_permits().clamp(1, self.taking.max_take))
    }

    async fn pause(&self, pause: Duration) {
        tokio::select! {
            () = tokio::time::sleep(pause) => {}
            () = self.halt.rested() => {}
        }
    }

    async fn start(
        &self,
        worker: &WorkerName,
        delivery: Delivery,
        slots: &Arc<Semaphore>,
        running: &mut JoinSet<()>,
    ) {
        let Some(engine) = self.engines.get(worker) else { return };
        // A halted engine gives the message back at once, and needs no slot for that.
        let permit = tokio::select! {
            permit = slots.clone().acquire_owned() => permit.ok(),
            () = self.halt.rested() => None,
        };
        let (consumer, hidden) = (self.consumer.clone(), self.taking.hidden);
        running.spawn(async move {
            work_on(&engine, &*consumer, delivery, hidden).await;
            drop(permit);
        });
    }
}

async fn work_on(engine: &Engine, consumer: &dyn Consumer, mut delivery: Delivery, hidden: Option<Duration>) {
    let receipt = delivery.receipt.clone();
    // Boxed: else each task is made, moved and kept with all the room that handling takes.
    let handling = Box::pin(engine.handle_delivery(&mut delivery, None));
    let handled = tokio::select! {
        handled = handling => handled,
        never = keep_hidden(consumer, &receipt, hidden) => match never {},
    };
    settle(consumer, delivery, handled).await;
}

async fn keep_hidden(consumer: &dyn Consumer, receipt: &str, hidden: Option<Duration>) -> Infallible {
    let Some(hidden) = hidden else { return std::future::pending().await };
    loop {
        if let Err(error) = consumer.keep(receipt, hidden).await {
            // It may come again; the run's own claim keeps others out.
            tracing::warn!(%error, "a message is not kept hidden");
        }
        tokio::time::sleep(hidden / 2).await;
    }
}
