//! The workers of a folder: the worker loop, the sweeper, the clock and the housekeeping.

use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use chrono::TimeDelta;
use pumice_core::engine::{Engine, Halt, Housekeeper, Limits, Triggers};
use pumice_core::ids::WorkerName;
use pumice_core::job_type::{Runners, Site};
use pumice_core::ports::{Clock, JobStore, ScheduleStore, StoreError};
use pumice_host::{Engines, SystemClock, Taking, WorkerLoop};
use tokio::task::JoinSet;

use crate::buckets::watch_buckets;
use crate::database::Database;
use crate::housekeeping::keep_house;

/// How long one look at the queues waits for a message; stopping waits no longer than this.
const WAIT: Duration = Duration::from_millis(100);
/// How often runs that are due, and new workers' names, are looked for.
const SWEEP: Duration = Duration::from_secs(1);
/// How long before its slot a scheduled run is made: it waits in its queue, so that a thousand that are due together start
/// as fast as workers take them.
const LEAD: TimeDelta = TimeDelta::seconds(1);
/// Most messages taken at once.
const MAX_TAKE: usize = 64;
/// How long to wait after the store could not be reached.
const STORE_PAUSE: Duration = Duration::from_millis(500);
/// How often a realm that stands still is looked at.
const STILL: Duration = Duration::from_millis(500);

/// How many jobs run at the same time by default: while the records of some are
/// written, the others go on.
pub const SLOTS: usize = 32;

/// How long what runs may go on once the process was asked to stop, by default.
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
    /// Whether schedules and triggers start jobs.
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
    /// One for all that goes on here: a job that the clock has just read is not read again to be run.
    housekeeper: Housekeeper,
    options: Serve,
    halt: Halt,
    engines: Engines,
}

impl Workers {
    /// Workers on a realm's store.
    #[must_use]
    pub fn new(database: Database, site: Arc<Site>, runners: Arc<Runners>, options: Serve) -> Self {
        let housekeeper = Housekeeper::new(site.clone(), runners.registry().clone());
        let (halt, engines) = (Halt::default(), Engines::default());
        Self { database, site, runners, housekeeper, options, halt, engines }
    }

    /// Runs jobs until `stop`; nothing at all while the realm stands still. From then on no run and no step begins; what runs may end for as long as the options say,
    /// or until `kill`. Attempts that still run are stopped then; the next process makes them again, and they do not count.
    ///
    /// # Errors
    /// [`StoreError`] when the store cannot be reached at the start.
    pub async fn serve(
        self,
        stop: impl Future<Output = ()>,
        kill: impl Future<Output = ()>,
    ) -> Result<(), StoreError> {
        tokio::pin!(stop);
        tokio::select! {
            () = &mut stop => return Ok(()),
            set_going = self.set_going() => set_going?,
        }
        self.find_workers(true).await?;
        let Serve { slots, limits, drain, .. } = self.options;
        let taking = Taking {
            slots,
            max_take: MAX_TAKE,
            wait: WAIT,
            pause: STORE_PAUSE,
            // The engine knows which runs are in hand, and drops what comes again.
            hidden: None,
            drain,
            grace: limits.grace.get(),
        };
        let consumer = Arc::new(self.database.clone());
        let work = WorkerLoop::new(consumer, self.engines.clone(), self.halt.clone(), taking);
        let mut tasks = JoinSet::new();
        tasks.spawn(sweep(self.housekeeper.clone()));
        if self.options.clock {
            tasks.spawn(keep_time(self.housekeeper.clone(), self.site.ports.schedules.clone()));
            tasks.spawn(self.buckets());
        }
        let home = self.site.scratch.parent().map(std::path::Path::to_owned);
        tasks.spawn(keep_house(self.database.clone(), self.site.shared.clone(), home));
        tasks.spawn(self.keep_finding_workers());
        // Dropping the set ends these tasks with the loop.
        work.work(stop, kill).await
    }

    /// Waits until the realm does not stand still. Only a restoration has it do so, into a folder that nothing serves: it is
    /// enough to ask at the start.
    async fn set_going(&self) -> Result<(), StoreError> {
        let mut is_reported = false;
        loop {
            let pauses = self.database.read_pauses().await?;
            let Some(still) = pauses.stands_still(SystemClock.now()) else { return Ok(()) };
            if !is_reported {
                let why = still.why.as_deref().unwrap_or_default();
                tracing::warn!(why, "the realm stands still: nothing runs, also not what has begun");
                is_reported = true;
            }
            tokio::time::sleep(STILL).await;
        }
    }

    /// Takes files to the triggers of their buckets.
    fn buckets(&self) -> impl Future<Output = ()> + use<> {
        let store = Arc::new(self.database.clone());
        let triggers = Triggers::new(self.housekeeper.dispatcher().clone(), store);
        // The scratch folder is in the folder that is served.
        let home = self.site.scratch.parent().unwrap_or(&self.site.scratch).to_owned();
        watch_buckets(self.database.clone(), triggers, home, self.site.settings.s3trigger_settle.get())
    }

    /// Makes an engine for each worker that has a job, and for the one that performs the actions of broken limits; at the start
    /// also for each that has a message.
    async fn find_workers(&self, first: bool) -> Result<(), StoreError> {
        let names = if self.options.workers.is_empty() {
            let mut names = self.database.worker_names(first).await?;
            let realm = self.database.realm().await?;
            names.extend(self.site.settings.over(&realm.settings).on_late_worker);
            names
        } else {
            self.options.workers.clone()
        };
        for name in names {
            let (housekeeper, runners, limits) = (&self.housekeeper, &self.runners, self.options.limits);
            self.engines.add(name, |name| {
                Engine::with(housekeeper.clone(), runners.clone(), name, limits).halted_by(self.halt.clone())
            });
        }
        Ok(())
    }

    async fn keep_finding_workers(self) {
        loop {
            tokio::time::sleep(SWEEP).await;
            if let Err(error) = self.find_workers(false).await {
                tracing::warn!(%error, "cannot look for workers");
            }
        }
    }
}

/// Makes the runs of schedules [`LEAD`] ahead of their slots, and looks again at the moment itself for what cannot be made
/// ahead. It sleeps a second at most, as another process may have put a job, or the clock been set.
async fn keep_time(housekeeper: Housekeeper, schedules: Arc<dyn ScheduleStore>) {
    let mut began = Some(SystemClock.now());
    loop {
        if let Err(error) = strike(&housekeeper, &mut began).await {
            tracing::warn!(%error, "cannot look for what schedules have due");
        }
        let next = schedules.next_due().await.ok().flatten();
        let now = SystemClock.now();
        let latest = now + SWEEP;
        // Work that is still due failed: it is not tried again without a pause.
        let next = next.and_then(|next| [next - LEAD, next].into_iter().find(|wake| *wake > now));
        SystemClock.sleep_until(next.unwrap_or(latest).min(latest)).await;
    }
}

/// `began` is when the service started, until all that is started with it is.
async fn strike(
    housekeeper: &Housekeeper,
    began: &mut Option<pumice_core::Timestamp>,
) -> Result<(), StoreError> {
    let Some(at) = *began else { return housekeeper.strike(LEAD).await.map(drop) };
    // The environment may be another one than that of the process before.
    housekeeper.keep_to_rules().await?;
    housekeeper.strike(LEAD).await?;
    housekeeper.strike_at_start(at).await?;
    *began = None;
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
