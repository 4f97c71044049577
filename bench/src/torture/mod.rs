//! The real thing, killed: `pumice serve` dies by SIGKILL again and again while jobs of every kind
//! run; then every run must have ended, once.

pub mod clock;
pub mod edge;
mod jobs;
mod marks;
mod server;

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use pumice_core::engine::Dispatcher;
use pumice_core::ids::RunKey;
use pumice_core::ports::{Catalog, RunQuery, RunStore};
use pumice_core::request::DispatchRequest;
use pumice_local::{Durability, Home};

use crate::Failed;
use crate::torture::server::Server;
use pumice_testing::prng::Prng;

/// How long the last `serve` may take to finish what is left.
const PATIENCE: Duration = Duration::from_secs(300);

/// How much is done to it.
#[derive(Clone, Copy, Debug)]
pub struct Torture {
    /// How often `serve` is killed.
    pub kills: usize,
    /// How many jobs are asked for.
    pub jobs: usize,
    /// The seed of what is asked for and when it is killed.
    pub seed: u64,
}

/// The outcome.
#[derive(Clone, Debug, Default)]
pub struct Survived {
    /// Runs that were accepted, children included.
    pub runs: usize,
    /// Commands that were started.
    pub commands: usize,
    /// Workers that were lost while they ran something.
    pub crashes: u32,
    /// The faults that were found: empty when all is well.
    pub wrong: Vec<String>,
}

impl Torture {
    /// Does it, with the given `pumice` command.
    ///
    /// # Errors
    /// [`Failed`] when the test itself cannot be carried out.
    pub fn run(self, pumice: &Path) -> Result<Survived, Failed> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        Ok(runtime.block_on(self.go(pumice))?)
    }

    async fn go(self, pumice: &Path) -> Result<Survived, String> {
        let folder = tempfile::tempdir().map_err(|error| error.to_string())?;
        let marks = folder.path().join("marks");
        let home = Home::open(&folder.path().join("realm"), None, true, Durability::Normal).await;
        let home = home.map_err(|error| error.to_string())?;
        let store = |error: pumice_core::ports::StoreError| error.to_string();
        home.database().put_jobs(jobs::all(&marks)?, false).await.map_err(store)?;
        let registry = Arc::new(pumice_job_types::registry().map_err(|error| error.to_string())?);
        let site = home.site().await.map_err(|error| error.to_string())?;
        let dispatcher = Dispatcher::new(site, registry);

        let mut chance = Prng::new(self.seed);
        let mut accepted = Vec::new();
        for kill in 0..self.kills {
            let server = Server::start(pumice, home.path(), &[])?;
            let until = Instant::now() + Duration::from_millis(20 + chance.below(230));
            let share = self.jobs * (kill + 1) / self.kills;
            while accepted.len() < share {
                accepted.push(dispatch(&dispatcher, &mut chance).await?);
            }
            tokio::time::sleep(until.saturating_duration_since(Instant::now())).await;
            server.kill()?;
        }
        let last = Server::start(pumice, home.path(), &[])?;
        let began = Instant::now();
        let left = || async {
            let database = home.database();
            Ok::<_, String>(
                database.unfinished(1).await.map_err(store)?
                    + database.waiting_messages().await.map_err(store)?,
            )
        };
        while left().await? > 0 && began.elapsed() < PATIENCE {
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        last.kill()?;
        self.judge(&home, &accepted, &marks).await
    }

    async fn judge(self, home: &Home, accepted: &[RunKey], marks: &Path) -> Result<Survived, String> {
        let store = |error: pumice_core::ports::StoreError| error.to_string();
        let database = home.database();
        let mut survived = Survived::default();
        for key in accepted {
            if database.load(key).await.map_err(store)?.is_none() {
                survived.wrong.push(format!("run {key} was accepted and is gone"));
            }
        }
        let query = RunQuery { children: true, limit: usize::MAX, ..RunQuery::default() };
        let runs = database.list(&query).await.map_err(store)?;
        for run in &runs {
            survived.crashes += run.crashes;
            if !run.status.is_end() || run.due_at.is_some() || run.lease.is_some() {
                survived
                    .wrong
                    .push(format!("run {} of {} is not done with: {}", run.key, run.job_id, run.status));
            }
        }
        survived.runs = runs.len();
        let (commands, wrong) = marks::compare(marks, &runs)?;
        survived.commands = commands;
        survived.wrong.extend(wrong);
        let waiting = database.waiting_messages().await.map_err(store)?;
        if waiting > 0 {
            survived.wrong.push(format!("{waiting} messages are left on the queues"));
        }
        let dead = database.dead_letters().await.map_err(store)?;
        survived.wrong.extend(
            dead.iter()
                .map(|letter| format!("a dead letter: {}", letter.reason.as_deref().unwrap_or_default())),
        );
        Ok(survived)
    }
}

async fn dispatch(dispatcher: &Dispatcher, chance: &mut Prng) -> Result<RunKey, String> {
    let (job_id, when) = jobs::any(chance);
    let request = DispatchRequest { when, ..DispatchRequest::new(job_id) };
    match dispatcher.dispatch(vec![request], None).await.pop() {
        Some(Ok(accepted)) => Ok(RunKey::root(accepted.run_id)),
        Some(Err(error)) => Err(error.to_string()),
        None => Err("a request had no outcome".to_owned()),
    }
}

/// The `pumice` command of the same build as this program.
///
/// # Errors
/// [`Failed`] with the command that builds it, when it is not there.
pub fn pumice_beside() -> Result<PathBuf, Failed> {
    let own = std::env::current_exe()?;
    let folders = own.ancestors().skip(1).take(2);
    let found = folders.map(|folder| folder.join("pumice")).find(|path| path.is_file());
    let missing =
        || format!("pumice is missing next to {}: run `cargo build --package pumice`", own.display()).into();
    found.ok_or_else(missing)
}
