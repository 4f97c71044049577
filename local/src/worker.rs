//! The worker loop: takes messages, runs them beside each other, looks after what is due.

use std::collections::BTreeMap;
use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use chrono::TimeDelta;
use pumice_core::engine::{Engine, Halt, Handled, Housekeeper, Limits};
use pumice_core::ids::WorkerName;
use pumice_core::job_type::{Runners, Site};
use pumice_core::ports::{Clock, Consumer, Delivery, ScheduleStore, StoreError};
use pumice_system::{SystemClock, drain};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::task::{JoinHandle, JoinSet};

use crate::database::Database;
use crate::housekeeping::keep_house;

/// How long one look at the queues waits for a message; stopping waits no longer than this.
const WAIT: Duration = Duration::from_millis(100);
/// How often runs that are due, and new workers' names, are looked for.
const SWEEP: Duration = Duration::from_secs(1);
/// Most messages taken at once.
const MAX_TAKE: usize = 64;
/// How long to wait after the store could not be reached.
const STORE_PAUSE: Duration = Duration::from_millis(500);

/// How many jobs run at the same time unless somebody says otherwise: while the records of some are
/// written, the others go on.
pub const SLOTS: usize = 32;

/// How long what runs may go on once the process was asked to stop, unless somebody says otherwise.
pub const DRAIN: Duration = Duration::from_secs(30);

/// How jobs are run.
#[derive(Clone, Debug)]
pub struct Serve {
    /// How many run at the same time.
    pub slots: usize,
    /// The workers whose queues are served; none means all.
    pub workers: Vec<WorkerName>,
    /// How each is run.
    pub limits: Limits,
    /// How long what runs may go on once the process was asked to stop.
    pub drain: Duration,
    /// Whether schedules start jobs.
    pub clock: bool,
}

impl Default for Serve {
    fn default() -> Self {
        Self { slots: SLOTS, workers: Vec::new(), limits: Limits::default(), drain: DRAIN, clock: true }
    }
}

/// The workers of an embedded realm.
pub struct Workers {
    database: Database,
    site: Arc<Site>,
    runners: Arc<Runners>,
    options: Serve,
    halt: Halt,
    engines: BTreeMap<WorkerName, Engine>,
}

impl Workers {
    /// Workers on a realm's store.
    #[must_use]
    pub fn new(database: Database, site: Arc<Site>, runners: Arc<Runners>, options: Serve) -> Self {
        Self { database, site, runners, options, halt: Halt::default(), engines: BTreeMap::new() }
    }

    /// Runs jobs until `stop`. From then on no run and no step begins; what runs may end for as long as the options say,
    /// or until `kill`, and is told to stop then: its attempts are made again by the next process, and do not count.
    ///
    /// # Errors
    /// [`StoreError`] when the store cannot be reached at the start.
    pub async fn serve(
        mut self,
        stop: impl Future<Output = ()>,
        kill: impl Future<Output = ()>,
    ) -> Result<(), StoreError> {
        self.find_workers(true).await?;
        let sweeper =
            tokio::spawn(sweep(Housekeeper::new(self.site.clone(), self.runners.registry().clone())));
        let clock = self.options.clock.then(|| {
            let clock = Housekeeper::new(self.site.clone(), self.runners.registry().clone());
            tokio::spawn(keep_time(clock, self.site.ports.schedules.clone()))
        });
        let housekeeper = tokio::spawn(keep_house(self.database.clone(), self.site.shared.clone()));
        let mut running = JoinSet::new();
        let halt = self.halt.clone();
        tokio::select! {
            () = self.take(&mut running) => {}
            () = async { stop.await; halt.rest(); std::future::pending().await } => {}
        }
        let Serve { drain: patience, limits, .. } = &self.options;
        drain(&mut running, &self.halt, *patience, limits.grace.get(), kill).await;
        sweeper.abort();
        clock.iter().for_each(JoinHandle::abort);
        housekeeper.abort();
        Ok(())
    }

    async fn take(&mut self, running: &mut JoinSet<()>) {
        let slots = Arc::new(Semaphore::new(self.options.slots.max(1)));
        let mut looked = tokio::time::Instant::now();
        while !self.halt.is_resting() {
            while running.try_join_next().is_some() {}
            if looked.elapsed() >= SWEEP {
                looked = tokio::time::Instant::now();
                if let Err(error) = self.find_workers(false).await {
                    tracing::warn!(%error, "cannot look for workers");
                }
            }
            let Ok(first) = tokio::time::timeout(WAIT, slots.clone().acquire_owned()).await else { continue };
            let Ok(first) = first else { return };
            let mut permits = vec![first];
            while permits.len() < MAX_TAKE
                && let Ok(permit) = slots.clone().try_acquire_owned()
            {
                permits.push(permit);
            }
            let names: Vec<WorkerName> = self.engines.keys().cloned().collect();
            match self.database.receive_from(&names, permits.len(), WAIT).await {
                Ok(taken) => self.start(taken, permits, running),
                Err(error) => {
                    tracing::error!(%error, "cannot take messages");
                    tokio::time::sleep(STORE_PAUSE).await;
                }
            }
        }
    }

    fn start(
        &self,
        taken: Vec<(WorkerName, Delivery)>,
        permits: Vec<OwnedSemaphorePermit>,
        running: &mut JoinSet<()>,
    ) {
        for ((worker, delivery), permit) in taken.into_iter().zip(permits) {
            let Some(engine) = self.engines.get(&worker).cloned() else { continue };
            let database = self.database.clone();
            running.spawn(async move {
                handle(&engine, &database, delivery).await;
                drop(permit);
            });
        }
    }

    /// Makes an engine for each worker that has a job; at the start also for each that has a message.
    async fn find_workers(&mut self, first: bool) -> Result<(), StoreError> {
        let names = if self.options.workers.is_empty() {
            self.database.worker_names(first).await?
        } else {
            self.options.workers.clone()
        };
        for name in names {
            let (site, runners, limits) = (&self.site, &self.runners, self.options.limits);
            self.engines.entry(name.clone()).or_insert_with(|| {
                Engine::new(site.clone(), runners.clone(), name, limits).halted_by(self.halt.clone())
            });
        }
        Ok(())
    }
}

async fn handle(engine: &Engine, database: &Database, delivery: Delivery) {
    let outcome = match engine.handle(&delivery.body, delivery.receives, None).await {
        Handled::Delete => {
            database.delete_soon(delivery.receipt);
            return;
        }
        Handled::Again(after) => database.release(&delivery.receipt, after).await,
        Handled::Bury(reason) => {
            tracing::error!(%reason, "a message goes to the dead letters");
            database.bury(&delivery.receipt, &reason).await
        }
    };
    if let Err(error) = outcome {
        // It comes again when its time of being hidden is over, and does nothing then.
        tracing::warn!(%error, "a message could not be put away");
    }
}

/// Makes the runs that schedules have due, to the moment: it sleeps until the next is, and a second at most, as another
/// process may have put one, or the clock been set.
async fn keep_time(housekeeper: Housekeeper, schedules: Arc<dyn ScheduleStore>) {
    let mut is_new = true;
    loop {
        if let Err(error) = strike(&housekeeper, &mut is_new).await {
            tracing::warn!(%error, "cannot look for what schedules have due");
        }
        let next = schedules.next_due().await.ok().flatten();
        let now = SystemClock.now();
        let latest = now + SWEEP;
        // What is due still could not be done: it is not tried again without a pause.
        SystemClock.sleep_until(next.filter(|next| *next > now).unwrap_or(latest).min(latest)).await;
    }
}

async fn strike(housekeeper: &Housekeeper, is_new: &mut bool) -> Result<(), StoreError> {
    housekeeper.strike(TimeDelta::zero()).await?;
    if std::mem::take(is_new) {
        housekeeper.strike_at_start().await?;
    }
    Ok(())
}

async fn sweep(housekeeper: Housekeeper) {
    let mut tick = tokio::time::interval(SWEEP);
    tick.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        tick.tick().await;
        if let Err(error) = housekeeper.sweep().await {
            tracing::warn!(%error, "cannot look for runs that are due");
        }
    }
}
