//! The edge of the engine, tortured: real jobs write files, fork in every way, print through every path, retry and share
//! files, hostile ones among them, while `pumice serve` is killed, stopped, frozen past its lease, and runs out of disk
//! and of descriptors; then every step's output must be its own, byte for byte, and nothing must be left.

mod expected;
mod harm;
mod jobs;
mod judge;
mod leftovers;
mod lost;

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use pumice_core::engine::Dispatcher;
use pumice_core::ids::{JobId, RunKey};
use pumice_core::ports::{Catalog, RunQuery, RunStore};
use pumice_core::request::DispatchRequest;
use pumice_core::run::Run;
use pumice_local::{Durability, Home};
use rustix::process::Signal;

use super::server::Server;
use crate::Failed;
use harm::{Harm, SmallDisk};
use lost::Lost;
use pumice_testing::prng::Prng;

/// How long the last server may take to finish what is left.
const PATIENCE: Duration = Duration::from_secs(400);
/// How long the lease of a server is; it stands still for longer.
const LEASE: &str = "2s";
/// For how long a server stands still.
const FREEZE: Duration = Duration::from_millis(2_300);
/// How long a killed server's commands may take to be ended by its guard.
const GUARDING: Duration = Duration::from_secs(20);
/// How long a server may take to remove what an earlier one left.
const CLEARING: Duration = Duration::from_secs(10);
/// The longest line, where there is a disk for it and in a small form, in bytes.
const LONG_LINE: u64 = 1_000_000_000;
const SHORT_LINE: u64 = 10_000_000;
/// From so many jobs on a round is a full one.
const FULL: usize = 1_000;

/// How much is done to it.
#[derive(Clone, Copy, Debug)]
pub struct Edge {
    /// How many realms are tortured, one after the other.
    pub rounds: usize,
    /// How many jobs are asked for in each.
    pub jobs: usize,
    /// How many of them at the same time: a round mostly waits, for commands that must be killed and servers that stand
    /// still.
    pub at_once: usize,
    /// The seed of what is asked for, what is done, and when.
    pub seed: u64,
}

/// The outcome.
#[derive(Clone, Debug, Default)]
pub struct Borne {
    /// Runs that were accepted, children included.
    pub runs: usize,
    /// Commands that were started.
    pub commands: usize,
    /// The harms that were done, by name, and how often.
    pub harms: std::collections::BTreeMap<&'static str, usize>,
    /// The harm that could not be tried here, and why.
    pub left_out: Option<String>,
    /// The faults that were found: empty when all is well.
    pub wrong: Vec<String>,
}

impl Borne {
    fn add(&mut self, round: Self) {
        self.runs += round.runs;
        self.commands += round.commands;
        for (name, count) in round.harms {
            *self.harms.entry(name).or_default() += count;
        }
        self.left_out = self.left_out.take().or(round.left_out);
        self.wrong.extend(round.wrong);
    }
}

impl Edge {
    /// Does it, with the given `pumice` command.
    ///
    /// # Errors
    /// [`Failed`] when the test itself cannot be carried out.
    pub fn run(self, pumice: &Path) -> Result<Borne, Failed> {
        let (next, all) = (AtomicUsize::new(0), Mutex::new(Borne::default()));
        std::thread::scope(|scope| {
            let at_once = self.at_once.clamp(1, self.rounds.max(1));
            let workers: Vec<_> =
                (0..at_once).map(|_| scope.spawn(|| self.some_rounds(pumice, &next, &all))).collect();
            let ended =
                workers.into_iter().map(|worker| worker.join().map_err(|_| "a round panicked".to_owned())?);
            ended.collect::<Result<(), String>>()
        })?;
        Ok(all.into_inner().unwrap_or_else(PoisonError::into_inner))
    }

    /// One round after the other, until all have begun.
    fn some_rounds(self, pumice: &Path, next: &AtomicUsize, all: &Mutex<Borne>) -> Result<(), String> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
        let runtime = runtime.map_err(|error| error.to_string())?;
        loop {
            let number = next.fetch_add(1, Ordering::Relaxed);
            if number >= self.rounds {
                return Ok(());
            }
            let (began, mut borne) = (Instant::now(), Borne::default());
            runtime.block_on(self.round(pumice, number, &mut borne)).inspect_err(|_| {
                // The other rounds would be for nothing.
                next.store(self.rounds, Ordering::Relaxed);
            })?;
            eprintln!(
                "round {number}: {} runs, {} wrong, {:.0?}",
                borne.runs,
                borne.wrong.len(),
                began.elapsed()
            );
            borne.wrong.iter().for_each(|wrong| eprintln!("{wrong}"));
            all.lock().unwrap_or_else(PoisonError::into_inner).add(borne);
        }
    }

    async fn round(self, pumice: &Path, number: usize, borne: &mut Borne) -> Result<(), String> {
        let mut round = Round::new(self, pumice, number, borne).await?;
        let told = round.torture(borne).await;
        round.disk_is_free();
        told?;
        let judged = judge::judge(&round, borne).await;
        round.clear();
        judged
    }
}

/// One realm and what is done to it.
struct Round {
    edge: Edge,
    number: usize,
    chance: Prng,
    /// A name of the program of this round's own: every process under it was started here.
    pumice: PathBuf,
    /// In the folder: it goes first.
    disk: Option<SmallDisk>,
    folder: tempfile::TempDir,
    home: Home,
    dispatcher: Dispatcher,
    harms: Vec<Harm>,
    sleep: String,
    accepted: Vec<(RunKey, &'static str)>,
    server: Option<Server>,
    done: Vec<Harm>,
    lost: Lost,
}

impl Round {
    async fn new(edge: Edge, pumice: &Path, number: usize, borne: &mut Borne) -> Result<Self, String> {
        let failed = |error: std::io::Error| error.to_string();
        let folder = tempfile::tempdir().map_err(failed)?;
        let own = folder.path().join("pumice");
        if std::fs::hard_link(pumice, &own).is_err() {
            std::fs::copy(pumice, &own).map_err(failed)?;
        }
        let outside = folder.path().join("outside");
        std::fs::create_dir(&outside).map_err(failed)?;
        let mut chance = Prng::new(edge.seed.wrapping_mul(1_000_003).wrapping_add(number as u64));
        let harms = Harm::of_round(number);
        // Every other realm is on a small disk of its own, which can be filled.
        let disk = if harms.contains(&Harm::Disk) {
            SmallDisk::mount(&folder.path().join("disk"))
                .inspect_err(|why| borne.left_out = Some(format!("a full disk: {why}")))
                .ok()
        } else {
            None
        };
        let place = if disk.is_some() { folder.path().join("disk") } else { folder.path().to_owned() };
        let home = Home::open(&place.join("realm"), None, true, Durability::Normal).await;
        let home = home.map_err(|error| error.to_string())?;
        let sleep = format!("sleep 4{}{number:04}", std::process::id());
        let line =
            if disk.is_none() && edge.jobs >= FULL && chance.below(4) == 0 { LONG_LINE } else { SHORT_LINE };
        let marks = folder.path().join("marks");
        let place = jobs::Place { marks: &marks, outside: &outside, sleep: &sleep, line };
        home.database().put_jobs(jobs::all(&place)?, false).await.map_err(|error| error.to_string())?;
        let registry = Arc::new(pumice_job_types::registry().map_err(|error| error.to_string())?);
        let dispatcher = Dispatcher::new(home.site().await.map_err(|error| error.to_string())?, registry);
        let harms = harms.into_iter().filter(|harm| *harm != Harm::Disk || disk.is_some()).collect();
        let (accepted, server, done) = (Vec::new(), None, Vec::new());
        Ok(Self {
            edge,
            number,
            chance,
            pumice: own,
            disk,
            folder,
            home,
            dispatcher,
            harms,
            sleep,
            accepted,
            server,
            done,
            lost: Lost::default(),
        })
    }

    fn marks(&self) -> PathBuf {
        self.folder.path().join("marks")
    }

    /// All records.
    async fn runs(&self) -> Result<Vec<Run>, String> {
        let query = RunQuery { children: true, limit: usize::MAX, ..RunQuery::default() };
        self.home.database().list(&query).await.map_err(|error| error.to_string())
    }

    fn outside(&self) -> PathBuf {
        self.folder.path().join("outside")
    }

    /// How often something of a kind was done to it.
    fn times(&self, harm: Harm) -> usize {
        self.done.iter().filter(|done| **done == harm).count()
    }

    async fn torture(&mut self, borne: &mut Borne) -> Result<(), String> {
        let events = if self.edge.jobs >= FULL { 14 } else { 6 };
        self.dispatch("bad-line").await;
        for event in 0..events {
            self.serve(borne)?;
            let share = self.edge.jobs * (event + 1) / events;
            let until = Instant::now() + Duration::from_millis(100 + self.chance.below(1_000));
            while self.accepted.len() < share {
                let job = self.any();
                if !self.dispatch(job).await {
                    break;
                }
            }
            pause(until.saturating_duration_since(Instant::now())).await;
            let harm = self.harms.get(event).copied();
            let harm = harm.unwrap_or_else(|| self.chance.pick(&self.harms));
            self.harm(harm, borne).await?;
        }
        self.serve(borne)?;
        while self.accepted.len() < self.edge.jobs {
            let job = self.any();
            if !self.dispatch(job).await {
                pause(Duration::from_millis(100)).await;
            }
        }
        self.settle(borne).await
    }

    /// A job, at random.
    fn any(&mut self) -> &'static str {
        let total: u64 = jobs::MIX.iter().map(|(_, weight)| weight).sum();
        let mut at = self.chance.below(total);
        for (job, weight) in jobs::MIX {
            match at.checked_sub(weight) {
                Some(left) => at = left,
                None => return job,
            }
        }
        jobs::MIX[0].0
    }

    /// Asks for a run and returns whether it was accepted: a full disk takes none.
    async fn dispatch(&mut self, job: &'static str) -> bool {
        let Ok(job_id) = JobId::new(job) else { return false };
        match self.dispatcher.dispatch(vec![DispatchRequest::new(job_id)], None).await.pop() {
            Some(Ok(accepted)) => {
                self.accepted.push((RunKey::root(accepted.run_id), job));
                true
            }
            _ => false,
        }
    }

    /// Sees to it that a server is there. One that ended by itself is wrong.
    fn serve(&mut self, borne: &mut Borne) -> Result<(), String> {
        if let Some(server) = &mut self.server {
            if server.is_alive() {
                return Ok(());
            }
            let log = server.log();
            let last = log.iter().rev().take(3).rev().map(String::as_str).collect::<Vec<_>>().join("\n");
            borne.wrong.push(format!("round {}: the server ended by itself: {last}", self.number));
            self.server = None;
        }
        let options = ["--lease", LEASE, "--drain", "60s"];
        self.server = Some(Server::start(&self.pumice, self.home.path(), &options)?);
        Ok(())
    }

    async fn harm(&mut self, harm: Harm, borne: &mut Borne) -> Result<(), String> {
        let Some(mut server) = self.server.take() else { return Ok(()) };
        self.done.push(harm);
        *borne.harms.entry(harm.name()).or_default() += 1;
        let a_while = Duration::from_millis(300 + self.chance.below(1_000));
        match harm {
            Harm::Kill => {
                self.heard(&server, borne);
                server.kill()?;
                self.lost.killed(&self.runs().await?);
                if self.chance.below(2) == 0 {
                    self.guarded("was killed", borne).await;
                }
                return Ok(());
            }
            Harm::Stop | Harm::Halt => {
                server.signal(Signal::TERM)?;
                if harm == Harm::Halt {
                    // A second signal that comes at once is one with the first.
                    pause(Duration::from_millis(50)).await;
                    server.signal(Signal::TERM)?;
                }
                self.ended(&mut server, borne).await;
                if harm == Harm::Halt {
                    self.lost.halted(&self.runs().await?, &lost::executions(&self.marks())?);
                }
                return Ok(());
            }
            Harm::Freeze => {
                server.signal(Signal::STOP)?;
                pause(FREEZE).await;
                server.signal(Signal::CONT)?;
            }
            Harm::Disk => {
                if let Some(disk) = &self.disk {
                    let left = self.chance.below(200_000);
                    disk.fill(left)?;
                    pause(a_while).await;
                    disk.free();
                }
            }
            Harm::Descriptors => {
                let more = self.chance.below(12);
                harm::few_descriptors(server.id()?, more, || pause(a_while)).await?;
            }
        }
        self.server = Some(server);
        Ok(())
    }

    /// Lines in a server's log that no server should write.
    fn heard(&self, server: &Server, borne: &mut Borne) {
        let panics = server.log().into_iter().filter(|line| line.contains("panicked at"));
        borne.wrong.extend(panics.map(|line| format!("round {}: {line}", self.number)));
    }

    /// Waits for the end of a server that was asked to.
    async fn ended(&self, server: &mut Server, borne: &mut Borne) {
        let status = server.end();
        self.heard(server, borne);
        if status != Some(0) {
            let log = server.log();
            let last = log.iter().rev().take(5).rev().map(String::as_str).collect::<Vec<_>>().join("\n");
            borne.wrong.push(format!(
                "round {}: a server that was stopped ended with {status:?}: {last}",
                self.number
            ));
        }
        // Its guard ends a moment later.
        self.guarded("was stopped", borne).await;
    }

    /// A killed server's guard ends its commands, and itself.
    async fn guarded(&self, after: &str, borne: &mut Borne) {
        let began = Instant::now();
        loop {
            let alive = leftovers::alive(&self.pumice, &self.sleep);
            if alive.is_empty() {
                return;
            }
            if began.elapsed() > GUARDING {
                borne.wrong.push(format!("round {}: alive after the server {after}: {alive:?}", self.number));
                return;
            }
            pause(Duration::from_millis(20)).await;
        }
    }

    /// Waits until all is done, and stops the last server.
    async fn settle(&mut self, borne: &mut Borne) -> Result<(), String> {
        let began = Instant::now();
        loop {
            let database = self.home.database();
            let left = match (database.unfinished(1).await, database.waiting_messages().await) {
                (Ok(runs), Ok(messages)) => runs + messages,
                _ => 1,
            };
            if left == 0 || began.elapsed() > PATIENCE {
                break;
            }
            self.serve(borne)?;
            pause(Duration::from_millis(50)).await;
        }
        self.end(borne).await?;
        // The next server removes at its start the files that the last one could not.
        self.serve(borne)?;
        let began = Instant::now();
        while judge::has_shared(self) && began.elapsed() < CLEARING {
            pause(Duration::from_millis(20)).await;
        }
        self.end(borne).await
    }

    /// Stops the server that is there.
    async fn end(&mut self, borne: &mut Borne) -> Result<(), String> {
        if let Some(mut server) = self.server.take() {
            server.signal(Signal::TERM)?;
            self.ended(&mut server, borne).await;
        }
        Ok(())
    }

    fn disk_is_free(&self) {
        if let Some(disk) = &self.disk {
            disk.free();
        }
    }

    /// Removes all of it, also what a job made hard to remove.
    fn clear(self) {
        leftovers::make_removable(self.folder.path());
    }
}

async fn pause(time: Duration) {
    tokio::time::sleep(time).await;
}
