//! apalis on Redis and on SQLite, with the settings that do most for jobs that take no time.

use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use apalis::prelude::{BackendExt, BoxDynError, Strategy, TaskSink, WorkerBuilder, WorkerBuilderExt};
use apalis_redis::{ConnectionManager, RedisStorage};
use apalis_sqlite::SqliteStorage;
use futures::channel::mpsc::UnboundedReceiver;
use sqlx::SqlitePool;
use sqlx::sqlite::{SqliteConnectOptions, SqliteJournalMode, SqlitePoolOptions, SqliteSynchronous};

use crate::{LOOK, Starts, noop};

/// Jobs fetched at once, and run at once. On Redis 10 are half as fast, and 1,000 are no faster.
const BATCH: usize = 100;
/// How long an idle worker waits before it looks by itself. A channel wakes it for each push, since the pub/sub of apalis-redis
/// does not announce jobs that are due at once, and the hook of apalis-sqlite fires before the commit (both 1.0.0).
const POLL: Duration = Duration::from_millis(100);
const QUEUE: &str = "noop";
const WORKER: &str = "worker";

/// A store with a queue of jobs.
pub(crate) trait Store: Clone + Send + 'static {
    /// Adds jobs in one request.
    fn push(&mut self, jobs: Vec<u64>) -> impl Future<Output = Result<(), BoxDynError>> + Send;

    /// Makes a long queue ready for a worker.
    fn settle(&mut self) -> impl Future<Output = Result<(), BoxDynError>> + Send;

    /// Runs jobs. Each item of `woken` has the worker look for jobs at once.
    fn work(
        self,
        woken: UnboundedReceiver<()>,
        starts: Arc<Starts>,
    ) -> impl Future<Output = Result<(), BoxDynError>> + Send;

    /// How many jobs are recorded as done.
    fn done(&self) -> impl Future<Output = Result<usize, BoxDynError>> + Send;
}

#[derive(Clone)]
pub(crate) struct Redis {
    storage: RedisStorage<u64>,
    connection: ConnectionManager,
    config: apalis_redis::Config,
}

impl Redis {
    pub(crate) async fn open(url: &str) -> Result<Self, BoxDynError> {
        let connection = apalis_redis::connect(url).await?;
        // Leases are for jobs that outlive a heartbeat, events for subscribers: there are neither. With both, which is the
        // default, a queue of 20,000 jobs is emptied ten times as slowly.
        let config = apalis_redis::Config::default()
            .queue(QUEUE)
            .batch_size(BATCH)
            .lock_tasks(false)
            .emit_events(false);
        let storage = RedisStorage::new(connection.clone()).with_config(config.clone());
        Ok(Self { storage, connection, config })
    }
}

impl Store for Redis {
    async fn push(&mut self, jobs: Vec<u64>) -> Result<(), BoxDynError> {
        Ok(self.storage.push_bulk(jobs).await?)
    }

    /// apalis-redis 1.0.0 pushes each job as a scheduled one, and its worker moves all that are due with one command. From some
    /// 8,000 on that command fails: "too many results to unpack". So this moves them in parts.
    async fn settle(&mut self) -> Result<(), BoxDynError> {
        let script = redis::Script::new(
            "local due = redis.call('ZRANGE', KEYS[1], 0, 999)
             if #due > 0 then
               redis.call('RPUSH', KEYS[2], unpack(due))
               redis.call('ZREM', KEYS[1], unpack(due))
             end
             return #due",
        );
        let (due, queue) = (self.config.scheduled_jobs_set(), self.config.active_jobs_list());
        while script.key(&due).key(&queue).invoke_async::<usize>(&mut self.connection).await? > 0 {}
        Ok(())
    }

    async fn work(self, woken: UnboundedReceiver<()>, starts: Arc<Starts>) -> Result<(), BoxDynError> {
        let strategy = Strategy::new().stream(woken).interval(POLL);
        let worker = WorkerBuilder::new(WORKER)
            .backend(self.storage.poll_with_strategy(strategy))
            .data(starts)
            .concurrency(BATCH)
            .build(noop);
        Ok(worker.run().await?)
    }

    async fn done(&self) -> Result<usize, BoxDynError> {
        let mut connection = self.connection.clone();
        Ok(redis::cmd("SCARD").arg(self.config.done_jobs_set()).query_async(&mut connection).await?)
    }
}

#[derive(Clone)]
pub(crate) struct Sqlite {
    storage: SqliteStorage<u64>,
    pool: SqlitePool,
}

impl Sqlite {
    pub(crate) async fn open(file: &str) -> Result<Self, BoxDynError> {
        // What `SqliteStorage::setup` sets, but for `synchronous`, which it turns off.
        let options = SqliteConnectOptions::new()
            .filename(file)
            .create_if_missing(true)
            .journal_mode(SqliteJournalMode::Wal)
            .synchronous(SqliteSynchronous::Normal)
            .pragma("temp_store", "MEMORY")
            .pragma("cache_size", "64000")
            .pragma("journal_size_limit", "67108864");
        // There is one writer at a time, and `ANALYZE` serves the connection that runs it.
        let pool = SqlitePoolOptions::new().max_connections(1).connect_with(options).await?;
        SqliteStorage::migrations().run(&pool).await?;
        let config = apalis_sqlite::Config::default().queue(QUEUE).batch_size(BATCH).lock_tasks(false);
        Ok(Self { storage: SqliteStorage::new(&pool).with_config(config), pool })
    }
}

impl Store for Sqlite {
    async fn push(&mut self, jobs: Vec<u64>) -> Result<(), BoxDynError> {
        Ok(self.storage.push_bulk(jobs).await?)
    }

    async fn settle(&mut self) -> Result<(), BoxDynError> {
        Ok(())
    }

    async fn work(self, woken: UnboundedReceiver<()>, starts: Arc<Starts>) -> Result<(), BoxDynError> {
        let strategy = Strategy::new().stream(woken).interval(POLL);
        tokio::spawn(analyze(self.pool.clone(), starts.clone()));
        let worker = WorkerBuilder::new(WORKER)
            .backend(self.storage.poll_with_strategy(strategy))
            .data(starts)
            .concurrency(BATCH)
            .build(noop);
        Ok(worker.run().await?)
    }

    async fn done(&self) -> Result<usize, BoxDynError> {
        let count: i64 = sqlx::query_scalar("SELECT count(*) FROM Jobs WHERE status = 'Done'")
            .fetch_one(&self.pool)
            .await?;
        Ok(usize::try_from(count)?)
    }
}

/// Has SQLite gather statistics once, as in a database that has been in use. Without them the acknowledgement of a job goes
/// through all jobs that its worker has had (apalis-sqlite 1.0.0): 12,000 jobs take 38 s of processor time.
async fn analyze(pool: SqlitePool, starts: Arc<Starts>) -> Result<(), BoxDynError> {
    while starts.count() < BATCH {
        tokio::time::sleep(LOOK).await;
    }
    sqlx::query("ANALYZE").execute(&pool).await?;
    Ok(())
}
